//! Healing: chunks that should be here and are not, or were found damaged, are fetched anew from whoever has them. It does not
//! matter who came upon it: the scrub, a compaction, a check, or whoever wanted to read it.
//!
//! ```text
//!   found damaged --\
//!   a check misses --+--> wanted --(a few at a time)--> asked --> here again
//!   looked through --/                                    \--> to be had from nobody:
//!        ^-- something was lost: is anything else? <---------- whose it is, is not known
//!                               files are read again <-------- a snapshot of this device lists it (reading.rs)
//! ```
//!
//! So are those that another node asked for in vain, if a manifest lists them of which this node has promised their group: it may
//! compare itself with nobody there, for its place has changed since. And one that was lost is seldom alone: everything that this node
//! has promised or written is looked through then, once an hour at most. That something is not healed yet outlives a restart; what it
//! was is found by looking through everything again.
//!
//! What was found damaged may be listed by nothing any more, and come back when a pass over all chunks has just given up what was beside
//! it: another pass is due an hour after that, so that it does not lie there until the next one comes by itself.

mod reading;

use std::collections::BTreeMap;

use self::reading::Reading;
use super::activity::Level;
use super::core::{Core, Duty};
use super::duty::{Ops, Told};
use super::events::{Event, Kind};
use super::reconcile::Reconcile;
use super::reconciling::RECONCILE_DUTY;
use super::verify::job::VerifyJob;
use super::verify::Verify;
use crate::base::ids::{ChunkId, Group, NodeId};
use crate::base::limits::{
    HEAL_FETCHES_MAX, HEAL_MAX, LOOKS_AGAIN_MAX, LOOK_AGAIN_EVERY, LOOK_THROUGH_EVERY, MISSED_MAX,
    MISSED_PAUSE,
};
use crate::base::units::Time;
use crate::store::service::{Op, Reply, StoreError};

/// Whose a chunk is that is missing here; the greater one is what is known when both are said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whose {
    /// That is not known.
    Unknown,
    /// A snapshot lists it that another device wrote.
    Others,
    /// One that this device wrote.
    Own,
}

/// What is being healed.
#[derive(Debug, Default)]
pub struct Healing {
    /// Chunks to be fetched.
    wanted: Vec<(ChunkId, Whose)>,
    /// Chunks on their way.
    asked: Vec<(Op, ChunkId, Whose)>,
    /// What others asked for in vain, and who did last.
    missed: BTreeMap<ChunkId, NodeId>,
    /// When one of those was last taken up that somebody wanted to have.
    named: Option<Time>,
    /// Everything is to be looked through, as soon as that may be.
    looks: bool,
    /// It is being looked through.
    is_looking: bool,
    /// When everything was looked through last.
    looked_through: Option<Time>,
    /// How often in a row that is to be done again, for own snapshots that came back.
    again: u8,
    /// What was found missing by that: all of it, and what was news.
    found: (u64, u64),
    /// What was said of the last one.
    said: u64,
    /// More was missing than waits here: everything is looked through again, if anything of it can be had.
    has_more: bool,
    /// Something could not be had from those who were there: everything is looked through again when somebody comes.
    waits: bool,
    /// Somebody has come since, too early to look again at once.
    has_come: bool,
    /// Files that are read again.
    reading: Reading,
}

impl Healing {
    /// When something may be due.
    pub(super) fn deadline(&self) -> Option<Time> {
        if self.is_looking || !self.asked.is_empty() {
            return None;
        }
        let after = |pause| self.looked_through.map_or(Time::ZERO, |last| last + pause);
        let looks = Some(after(LOOK_THROUGH_EVERY)).filter(|_| self.looks);
        let again = Some(after(LOOK_AGAIN_EVERY)).filter(|_| self.waits && self.has_come);
        [looks, again, self.reading.deadline()].into_iter().flatten().min()
    }

    /// A chunk is missing here. Whether that is news.
    fn want(&mut self, id: ChunkId, whose: Whose) -> bool {
        // Looked at first, so that however much is missing, little is compared.
        if self.wanted.len() >= HEAL_MAX {
            self.has_more = true;
            return false;
        }
        let asked = self.asked.iter_mut().map(|(_, asked, known)| (asked, known));
        let wanted = self.wanted.iter_mut().map(|(wanted, known)| (wanted, known));
        if let Some((_, known)) = asked.chain(wanted).find(|(one, _)| **one == id) {
            *known = whose.max(*known);
            return false;
        }
        self.wanted.push((id, whose));
        true
    }
}

impl Core {
    /// Chunks that were found damaged and set aside are fetched anew from whoever has them.
    pub(super) fn heal(&mut self, damaged: &[ChunkId]) {
        if damaged.is_empty() {
            return;
        }
        let message = format!(
            "{} chunks on this disk were damaged; they are fetched from other devices",
            damaged.len()
        );
        let event = Event::new(Kind::Damaged, Level::Error, "store", message);
        self.raise(event.about(damaged.len().to_string()));
        damaged.iter().for_each(|id| self.heals(*id, Whose::Unknown));
        self.healing_goes_on();
    }

    /// A chunk that was to be read, for whomever, was found damaged and set aside. (What a check finds it says itself.)
    pub(super) fn rotted(&mut self, reply: &Reply) {
        let Reply::Get { op, result: Err(StoreError::Damaged { id }), .. } = reply else { return };
        if matches!(self.duties.get(&Ops::duty(*op)), Some(Duty::Verify(..))) {
            return;
        }
        if self.upkeep.healing.asked.is_empty() {
            return self.heal(&[*id]);
        }
        self.heals(*id, Whose::Unknown);
    }

    /// A check has found that a chunk is not here, or damaged.
    pub(super) fn check_misses(&mut self, id: ChunkId, whose: Whose) {
        self.heals(id, whose);
        self.healing_goes_on();
    }

    /// A chunk is to be here again.
    fn heals(&mut self, id: ChunkId, whose: Whose) {
        let healing = &mut self.upkeep.healing;
        let was_in_vain = whose == Whose::Unknown && healing.reading.was_here(&id);
        let is_news = healing.want(id, whose) && !healing.reading.is_in_vain(&id);
        healing.found.0 += 1;
        healing.found.1 += u64::from(is_news);
        self.healing_opens();
        if was_in_vain {
            self.healing_saves();
        }
    }

    /// A peer asks for what is not here.
    pub(super) fn missed(&mut self, peer: NodeId, id: ChunkId) {
        let missed = &mut self.upkeep.healing.missed;
        if missed.len() < MISSED_MAX {
            missed.insert(id, peer);
        }
    }

    /// A peer asked for a chunk that is not here. Most of them this node is not to have: one is looked for now and then.
    pub(super) fn asked_in_vain(&mut self, peer: NodeId, id: ChunkId) {
        let (now, healing) = (self.now.time, &mut self.upkeep.healing);
        let is_lost = healing.reading.is_in_vain(&id);
        if !is_lost && healing.named.is_none_or(|last| last + MISSED_PAUSE <= now) {
            healing.named = Some(now);
            self.missed(peer, id);
        }
    }

    /// Looks for one of these. False: there is none.
    pub(super) fn heal_missed(&mut self) -> bool {
        if self.pausing.is_on() {
            return false;
        }
        let Some((id, peer)) = self.upkeep.healing.missed.pop_first() else { return false };
        self.reconciling.running = Some(Box::new(Reconcile::of_missed(peer, id, RECONCILE_DUTY)));
        true
    }

    /// The manifests that may list a chunk which this node has promised, or written.
    pub(super) fn promised_with(&self, id: ChunkId) -> Vec<ChunkId> {
        let Some(own) = self.member.as_ref().map(|member| member.node) else { return Vec::new() };
        let mut roots = self.claimed_by(&own, Some(Group::of(&id)), true);
        // The root of one is promised with any group.
        roots.extend(self.claimed_by(&own, None, true).into_iter().filter(|root| *root == id));
        roots
    }

    /// Something that should be here was not: is anything else missing? What is gets fetched.
    pub(super) fn look_through(&mut self) {
        self.upkeep.healing.looks = true;
        self.healing_settles();
    }

    /// Somebody came who may have what could not be had: a few times a day, for it may be missing for ever.
    pub(super) fn healing_peer_up(&mut self) {
        let (now, healing) = (self.now.time, &mut self.upkeep.healing);
        healing.has_come |= healing.waits;
        if healing.has_come && healing.looked_through.is_none_or(|last| last + LOOK_AGAIN_EVERY <= now) {
            self.look_through();
        }
    }

    /// Everything was looked through, and what is missing is on its way; or the disk did not answer.
    pub(super) fn look_ended(&mut self, is_whole: bool) {
        let healing = &mut self.upkeep.healing;
        (healing.is_looking, healing.looks) = (false, healing.looks || !is_whole);
        let (all, count) = std::mem::take(&mut healing.found);
        let returned = self.returned();
        if !returned.is_empty() {
            let healing = &mut self.upkeep.healing;
            let may_again = healing.again < LOOKS_AGAIN_MAX;
            // Nothing is missing of all that is here: nor of what came while this look went on, which it may have passed by.
            if is_whole && all == 0 && !healing.looks {
                healing.again = 0;
                self.pin_returned(returned);
            } else if may_again {
                // They are pinned when nothing is missing any more.
                (healing.again, healing.looks) = (healing.again + 1, true);
            }
        }
        let healing = &mut self.upkeep.healing;
        healing.reading.lacks(all);
        if count > 0 && std::mem::replace(&mut healing.said, count) != count {
            let message = format!(
                "{count} more chunks that this device keeps for the vault are not on its disk; they are fetched from other devices"
            );
            let event = Event::new(Kind::Damaged, Level::Error, "copies", message);
            self.raise(event.about(count.to_string()));
        }
        self.healing_goes_on();
    }

    /// Looks whether a chunk that was asked for here is here again, or cannot be had now.
    pub(super) fn healed(&mut self, told: &Told) {
        let Told::Kept { op, result, .. } = told else { return };
        let healing = &mut self.upkeep.healing;
        let Some(place) = healing.asked.iter().position(|(asked, ..)| asked == op) else { return };
        let (_, id, whose) = healing.asked.swap_remove(place);
        match (result, whose) {
            (Ok(_), _) => {
                healing.looks |= std::mem::take(&mut healing.has_more);
                if healing.asked.is_empty() && healing.wanted.is_empty() {
                    self.holding.count_again(self.now.time);
                }
                self.upkeep.pass_by(self.now.time + LOOK_THROUGH_EVERY);
            }
            (Err(_), Whose::Others) => healing.waits = true,
            (Err(_), Whose::Unknown) => healing.looks = true,
            (Err(_), Whose::Own) => {
                healing.waits = true;
                healing.reading.not_had(id);
            }
        }
        self.healing_goes_on();
    }

    /// Asks for the next ones.
    fn healing_goes_on(&mut self) {
        let now = self.now.time;
        while self.upkeep.healing.asked.len() < HEAL_FETCHES_MAX {
            let Some((id, whose)) = self.upkeep.healing.wanted.pop() else { break };
            let op = self.ops.draw();
            self.upkeep.healing.asked.push((op, id, whose));
            self.source.keep(now, op, id, false, None);
        }
        self.source.pump(now);
        self.healing_settles();
    }

    /// What is due by the clock.
    pub(super) fn healing_timeout(&mut self) {
        if self.upkeep.healing.deadline().is_some_and(|due| due <= self.now.time) {
            if self.upkeep.healing.has_come {
                self.healing_peer_up();
            }
            self.healing_settles();
        }
    }

    /// When nothing is on its way: everything is looked through, or files are read again, or all is well.
    pub(super) fn healing_settles(&mut self) {
        let now = self.now.time;
        let healing = &self.upkeep.healing;
        if healing.is_looking || !healing.asked.is_empty() {
            return;
        }
        let is_early = healing.looked_through.is_some_and(|last| last + LOOK_THROUGH_EVERY > now);
        if !healing.looks || is_early {
            return self.files_settle(healing.looks || healing.waits);
        }
        let mut snapshots = self.held_snapshots().unwrap_or_default();
        // Their trees are chunks that the manifests list.
        snapshots.iter_mut().for_each(|snapshot| snapshot.tree = None);
        let healing = &mut self.upkeep.healing;
        (healing.looks, healing.is_looking) = (false, true);
        (healing.waits, healing.has_come) = (false, false);
        (healing.looked_through, healing.found, healing.has_more) = (Some(now), (0, 0), false);
        let job = VerifyJob { snapshots, all: false };
        self.begin_duty(|duty| Duty::Verify(Box::new(Verify::new(job, duty).fetching()), None));
    }
}
