//! Moving: giving up what placement no longer wants here, when the space is needed.
//!
//! ```text
//!   Resting --short of space: what enough others have receipted is released (it counts for nobody from then on)--> Resting
//!   Resting --short, and there is something that is nobody's part here: holders are asked--> Asking
//!   Asking  --all have answered, or the time is over--> Leaving --each has proven a chunk--> (a pass drops it) --> Resting
//!              \-- not enough have confirmed --> Resting         \-- too few can, or the time is over --> Resting
//! ```
//!
//! What is kept beyond a node's part (its place has changed, or it has stood in for somebody: `node/surplus.rs`) does no harm and
//! makes reading faster: it is given up only when three quarters of what the node may hold are used. The questions are
//! `replicate/leave.rs`, and why those who leave at once never delete the last copies stands there; `node/leaving.rs` answers them,
//! `node/auditing.rs` has the holders prove what they confirm, `node/marking.rs` drops.
//!
//! **Nothing of this is saved** but the Release, which is an entry of the feed. A crash or a restart forgets the round, and
//! what was released and is still here is asked for anew, whatever feed it was released in: on what the newest does not receipt nobody counts.
//!
//! **What a pass may drop** is chunks in groups that the round confirmed and that are still nobody's part here, and of those
//! only what no other manifest lists: of snapshots that were not asked for (retired ones, which may be taken back for as long as they are in the
//! trash; those that came since; own ones and drafts) everything stays, and so do nodes of manifests. Whoever puts or
//! fetches such a chunk meanwhile is a share or a backup, before which the pass takes its roots anew, or nobody counts on it
//! (`node/marking.rs`). Who confirmed and is no member, holder or believed any more when the pass takes its roots, does not count.
//!
//! **No copies are made and given up in turn**: a stand-in's part has what it stands in for, and what it gives up afterwards
//! the holder itself has confirmed. If that falls silent again it must be for longer than twice the longest absence but one
//! before it is stood in for anew (`node/absence.rs`).

use std::collections::{BTreeMap, BTreeSet};

use rand_core::RngCore;
use serde_json::{json, Value};

use super::activity::Level;
use super::after::AfterAppend;
use super::challenge::Outcome;
use super::core::Core;
use super::leaving::Answered;
use crate::base::gather;
use crate::base::ids::{FeedId, NodeId, SnapshotId};
use crate::base::limits::{
    LEAVING_SNAPSHOTS_MAX, MOVE_AGAIN, MOVE_ANSWER_TIME, MOVE_CONFIRMED_FOR, MOVE_LOOK_EVERY, MOVE_LOT_PAUSE,
    MOVE_LOT_TIME, MOVE_PROOF_PAUSE, MOVE_PROOF_TRIES, MOVE_SNAPSHOTS_MAX, MOVE_SPREAD, MOVE_USED_PERCENT,
};
use crate::base::units::{Copies, Time};
use crate::feed::entry::{Body, GroupSet, Release};
use crate::replicate::leave::Round;
use crate::replicate::reconcile::{bitmap, groups_of};
use crate::wire::frame::Lane;
use crate::wire::message::{Confirmed, Leaving, Message};

/// What is being given up.
#[derive(Debug, Default)]
pub(super) struct Moving {
    /// Where it stands.
    step: Step,
    /// What the pass that runs may drop; None: it began before this was known.
    dropping: Option<GroupSet>,
    /// What the last pass has left, and when.
    left: Option<(Time, GroupSet)>,
    /// Others' questions of this kind.
    pub(super) answered: Answered,
    /// Groups given up since the start.
    given_up_count: u64,
    /// When to look again.
    due: Option<Time>,
}

/// The states of [`Moving`].
#[derive(Debug, Default)]
enum Step {
    /// Nothing is under way.
    #[default]
    Resting,
    /// Others are asked.
    Asking(Questions),
    /// They have confirmed; they prove it, and a pass drops.
    Leaving(Questions),
}

/// A round and what it is about.
#[derive(Debug)]
struct Questions {
    /// Until when answers are waited for; then, until when what they say is good.
    until: Time,
    /// The number of the question for the first lot; each lot has the next.
    number: u64,
    /// The own feed, and how long it was without a receipt for any of the groups.
    head: (FeedId, u64),
    /// What every group is asked for, in lots.
    lots: Vec<Vec<SnapshotId>>,
    /// All of it.
    snapshots: BTreeSet<SnapshotId>,
    /// The answers.
    round: Round,
    /// How often nothing was found that a peer could prove.
    tries: BTreeMap<NodeId, u8>,
}

impl Moving {
    /// When to look again.
    pub(super) const fn deadline(&self) -> Option<Time> {
        self.due
    }

    /// Something has changed: looks again.
    pub(super) fn recheck(&mut self, now: Time) {
        self.due = Some(now);
    }

    /// The round under way.
    fn round(&mut self) -> Option<&mut Round> {
        match &mut self.step {
            Step::Resting => None,
            Step::Asking(questions) | Step::Leaving(questions) => Some(&mut questions.round),
        }
    }

    /// The round whose holders prove what they have confirmed.
    fn leaving(&mut self) -> Option<&mut Questions> {
        match &mut self.step {
            Step::Leaving(questions) => Some(questions),
            _ => None,
        }
    }

    /// This node has receipted these groups: whatever it was about to do with them, it holds them now.
    pub(super) fn receipted(&mut self, groups: &GroupSet) {
        if let Some(round) = self.round() {
            round.withdraw(groups);
        }
        let ways = self.dropping.iter_mut().chain(self.left.iter_mut().map(|(_, left)| left));
        ways.for_each(|way| way.subtract(groups));
    }

    /// Rests; the longer the more was asked.
    fn rest(&mut self, now: Time) {
        let lots = match std::mem::take(&mut self.step) {
            Step::Resting => 0,
            Step::Asking(questions) | Step::Leaving(questions) => questions.lots.len(),
        };
        self.dropping = None;
        self.due = Some(now + MOVE_LOOK_EVERY + MOVE_LOT_PAUSE.times(u64::try_from(lots).unwrap_or(0)));
    }
}

impl Core {
    /// The state is loaded.
    pub(super) fn moving_begins(&mut self) {
        let due = Some(self.now.time + MOVE_LOOK_EVERY);
        self.upkeep.moving = Moving { due, ..Moving::default() };
    }

    /// Releases what is to go, asks others for what was released, and gives up waiting for them.
    pub(super) fn moving_timeout(&mut self) {
        let now = self.now.time;
        if self.upkeep.moving.due.is_none_or(|due| due > now) {
            return;
        }
        self.upkeep.moving.due = Some(now + MOVE_LOOK_EVERY);
        let is_short = self.is_short_of_space();
        match &mut self.upkeep.moving.step {
            Step::Asking(questions) if questions.until <= now => self.questions_end(),
            Step::Asking(questions) => self.upkeep.moving.due = Some(questions.until),
            Step::Leaving(questions) if questions.until <= now => {
                self.upkeep.moving.rest(now);
                // A pass that rests in the midst of a slice drops nothing any more of what nobody confirms now.
                self.upkeep.collect.disturb();
            }
            Step::Leaving(questions) => {
                let gossip = &self.gossip;
                let gone = questions.round.unproven().filter(|peer| !gossip.is_connected(peer));
                let gone: Vec<NodeId> = gone.copied().collect();
                gone.iter().for_each(|peer| questions.round.forget(peer));
                self.proofs_come();
            }
            Step::Resting if is_short => {
                if self.release_superfluous() {
                    self.upkeep.moving.due = Some(now + MOVE_SPREAD);
                } else {
                    self.ask_who_holds();
                }
            }
            Step::Resting => {}
        }
    }

    /// Whether room is wanted. A node that is meant to hold nothing wants all of it.
    fn is_short_of_space(&self) -> bool {
        let Some(stats) = self.upkeep.offer.stats() else { return false };
        let used = self.setup.config.capacity.used_percent(stats);
        self.upkeep.room.is_full() || used.is_none_or(|used| used >= MOVE_USED_PERCENT)
    }

    /// Releases what is superfluous; whether there was anything.
    fn release_superfluous(&mut self) -> bool {
        let groups = self.held_for_others().map(|held| self.superfluous(&held)).unwrap_or_default();
        if groups.is_empty() {
            return false;
        }
        let count = groups.len();
        let release = Release { snapshot: None, groups };
        let is_written = self.append(Body::Release(release), Vec::new(), AfterAppend::Nothing).is_some();
        if is_written {
            let message =
                format!("{count} of 4096 parts of what others store are no longer kept here: others hold them, and space is short");
            self.note(Level::Info, "copies", message);
        }
        is_written
    }

    /// Asks the holders that are connected what they hold of all that is nobody's part here.
    fn ask_who_holds(&mut self) {
        let now = self.now.time;
        let (Some(held), Some(member)) = (self.held_for_others(), &self.member) else { return };
        if held.facts.is_empty() || held.facts.len() > MOVE_SNAPSHOTS_MAX {
            return;
        }
        let mut groups = held.unclaimed();
        if let Some((since, left)) = &self.upkeep.moving.left {
            if now.since(*since) < MOVE_AGAIN {
                groups.subtract(left);
            }
        }
        let peers = self.who_may_confirm(&held, &mut groups);
        if groups.is_empty() {
            return;
        }
        let mut kinds: BTreeMap<Copies, Vec<SnapshotId>> = BTreeMap::new();
        held.facts.iter().for_each(|fact| kinds.entry(fact.entry.copies).or_default().push(fact.id));
        let (mut lots, mut copies) = (Vec::new(), Vec::new());
        for (kind, snapshots) in &kinds {
            for lot in snapshots.chunks(LEAVING_SNAPSHOTS_MAX) {
                lots.push(lot.to_vec());
                copies.push(*kind);
            }
        }
        let until =
            now + MOVE_ANSWER_TIME + MOVE_LOT_TIME.times(u64::try_from(lots.len()).unwrap_or(u64::MAX));
        let snapshots = held.facts.iter().map(|fact| fact.id).collect();
        let head = (member.own, member.next_sequence());
        let round = Round::new(groups, copies, &peers);
        let (number, tries) = (self.rng.next_u64(), BTreeMap::new());
        self.upkeep.moving.step =
            Step::Asking(Questions { until, number, head, lots, snapshots, round, tries });
        self.upkeep.moving.due = Some(until);
        for peer in peers {
            self.ask_lot(&peer, 0);
        }
    }

    /// Asks a peer for a lot of snapshots.
    fn ask_lot(&mut self, peer: &NodeId, lot: usize) {
        let Step::Asking(questions) = &self.upkeep.moving.step else { return };
        let message = Message::Leaving(Leaving {
            number: questions.number.wrapping_add(u64::try_from(lot).unwrap_or(0)),
            feed: questions.head.0,
            length: questions.head.1,
            groups: bitmap(questions.round.groups()),
            snapshots: questions.lots.get(lot).cloned().unwrap_or_default(),
        });
        self.send(peer, Lane::Background, &message);
    }

    /// A peer says what it holds.
    pub(super) fn confirmed_came(&mut self, node: &NodeId, confirmed: &Confirmed) {
        let Step::Asking(questions) = &mut self.upkeep.moving.step else { return };
        let Ok(lot) = usize::try_from(confirmed.number.wrapping_sub(questions.number)) else { return };
        let next = questions.round.answered(node, lot, &groups_of(&confirmed.groups));
        if let Some(lot) = next {
            self.ask_lot(node, lot);
        } else if questions.round.is_answered() {
            self.questions_end();
        }
    }

    /// All have answered, or were waited for long enough: they prove what they have confirmed.
    fn questions_end(&mut self) {
        let now = self.now.time;
        let Step::Asking(mut questions) = std::mem::take(&mut self.upkeep.moving.step) else { return };
        questions.round.close();
        questions.until = now + MOVE_CONFIRMED_FOR;
        let peers: Vec<NodeId> = questions.round.unproven().copied().collect();
        self.upkeep.moving.step = Step::Leaving(questions);
        self.upkeep.moving.due = Some(now + MOVE_LOOK_EVERY);
        peers.iter().for_each(|peer| self.reconciling.auditing.ask_at(peer, now));
        self.proofs_come();
    }

    /// What a peer is to prove a chunk of before this node drops what it has confirmed.
    pub(super) fn unproven_of(&mut self, peer: &NodeId) -> Option<GroupSet> {
        self.upkeep.moving.leaving()?.round.to_prove(peer)
    }

    /// A peer has proven a chunk of that, or has not.
    pub(super) fn move_audited(&mut self, peer: &NodeId, outcome: Outcome) {
        let again = self.now.time + MOVE_PROOF_PAUSE;
        let Some(questions) = self.upkeep.moving.leaving() else { return };
        let tries = questions.tries.entry(*peer).or_default();
        *tries += 1;
        match outcome {
            Outcome::Proven => questions.round.proven(peer),
            // The next thing that is asked for may be here, and listed.
            Outcome::Skipped if *tries < MOVE_PROOF_TRIES => {
                return self.reconciling.auditing.ask_at(peer, again);
            }
            Outcome::Skipped | Outcome::Failed(_) | Outcome::Broken(_) => questions.round.forget(peer),
        }
        self.proofs_come();
    }

    /// If nobody is to prove anything any more: a pass may begin, or there is nothing to be dropped.
    fn proofs_come(&mut self) {
        let now = self.now.time;
        let is_open = |questions: &mut Questions| questions.round.unproven().next().is_some();
        if self.upkeep.moving.leaving().is_none_or(is_open) {
            return;
        }
        if self.confirmed_now().is_empty() {
            self.upkeep.moving.rest(now);
        } else {
            self.upkeep.pass_now(now);
        }
    }

    /// What was confirmed and proven, by holders that are believed, and is nobody's part here, all by what is known in this turn.
    fn confirmed_now(&self) -> GroupSet {
        let (Step::Leaving(questions), Some(held)) = (&self.upkeep.moving.step, self.held_for_others())
        else {
            return GroupSet::new();
        };
        let places: BTreeMap<Copies, BTreeMap<NodeId, GroupSet>> =
            gather::map(held.kinds.iter().map(|copies| (*copies, self.believed_places(*copies))));
        let counts = |peer: &NodeId, copies: Copies| {
            places.get(&copies).and_then(|places| places.get(peer)).cloned().unwrap_or_default()
        };
        let mut groups = questions.round.confirmed(counts, |peer| self.is_known_for_long(peer));
        groups.intersect(&held.unclaimed());
        groups
    }

    /// A pass begins: it may drop what was confirmed so far.
    pub(super) fn moving_pass_begins(&mut self) {
        let is_ready = |questions: &mut Questions| questions.round.unproven().next().is_none();
        let is_ready = self.upkeep.moving.leaving().is_some_and(is_ready);
        self.upkeep.moving.dropping = is_ready.then(|| self.confirmed_now());
    }

    /// What the pass that runs may drop: in no slice more than in the one before.
    pub(super) fn moved_groups(&mut self) -> GroupSet {
        if self.upkeep.moving.dropping.is_none() {
            return GroupSet::new();
        }
        let now = self.confirmed_now();
        let dropping = self.upkeep.moving.dropping.get_or_insert_with(GroupSet::new);
        dropping.intersect(&now);
        dropping.clone()
    }

    /// Whether groups of a snapshot may go: it was asked for, and stands.
    pub(super) fn may_be_moved(&self, id: &SnapshotId) -> bool {
        let (Step::Leaving(questions), Some(member)) = (&self.upkeep.moving.step, &self.member) else {
            return false;
        };
        let fact = member.view.snapshot(id).filter(|_| member.view.stands(id));
        questions.snapshots.contains(id) && fact.is_some_and(|fact| fact.writer != member.node)
    }

    /// A pass has come to its end, or has failed and is tried again.
    pub(super) fn moving_pass_ends(&mut self, is_whole: bool) {
        let now = self.now.time;
        let Some(dropped) = self.upkeep.moving.dropping.take().filter(|_| is_whole) else { return };
        self.upkeep.moving.rest(now);
        if dropped.is_empty() {
            return;
        }
        self.upkeep.moving.given_up_count += u64::from(dropped.len());
        let message = format!("{} of 4096 parts that others hold were given up here", dropped.len());
        let left = self.upkeep.moving.left.get_or_insert_with(|| (now, GroupSet::new()));
        if now.since(left.0) >= MOVE_AGAIN {
            *left = (now, GroupSet::new());
        }
        left.1.union(&dropped);
        self.note(Level::Info, "copies", message);
    }

    /// For `status`.
    pub(super) fn moving_status(&self) -> Value {
        let moving = &self.upkeep.moving;
        let (step, asked) = match &moving.step {
            Step::Resting => ("resting", 0),
            Step::Asking(questions) => ("asking", questions.round.groups().len()),
            Step::Leaving(questions) => ("leaving", questions.round.groups().len()),
        };
        json!({
            "is_short": self.is_short_of_space(),
            "surplus_groups": self.held_for_others().map(|held| held.surplus().len()),
            "step": step, "asked_groups": asked, "given_up_groups": moving.given_up_count,
        })
    }
}
