//! Holding: which snapshots this node still owes a receipt for, one after the other.
//!
//! A receipt is owed for every snapshot of another node whose groups placed here (or stood in for: `node/around.rs`) are not
//! yet covered by this node's own receipts. What has the fewest copies left comes first. One share is kept at a time, so that memory stays bounded. A share that could not be had is tried
//! again after [`KEEP_RETRY`] ([`KEEP_RETRY_RARE`] while nobody is connected, or when it could not again and again), when somebody else has
//! signed for it, or when a peer comes up. One that takes long gives way to others (`node/holding/turn.rs`).
//!
//! A node that is full, or about to leave, takes nothing more; but what it has said in an earlier feed that it holds it says again, as far as it is here.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::activity::Level;
use super::after::AfterAppend;
use super::core::{Core, Duty};
use super::keep::{Keep, KeepEnd};
use crate::base::ids::{ChunkId, NodeId, SnapshotId};
use crate::base::limits::{KEEP_FAILURES_MAX, KEEP_FAILURES_SOON, KEEP_RETRY, KEEP_RETRY_RARE};
use crate::base::units::{Span, Time, WallTime};
use crate::feed::entry::{Body, GroupSet, Receipt};
use crate::feed::view::SnapshotFact;
use crate::wire::frame::Lane;
use crate::wire::message::Message;

mod turn;

use turn::{Turn, Urgency};

/// What is owed and tried.
#[derive(Debug, Default)]
pub struct Holding {
    /// When to look again.
    due: Option<Time>,
    /// The share that is being kept.
    running: Option<Running>,
    /// Shares that could not be had.
    tried: BTreeMap<SnapshotId, Tried>,
    /// Shares that could not be had, whose manifests' pins are saved: another try need not write to the disk.
    pinned: BTreeSet<SnapshotId>,
    /// Since when there always was a share at work.
    busy_since: Option<Time>,
    /// Before then those have their turn that have waited for longest.
    others_until: Time,
    /// Nothing but what a shared folder waits for is begun before then.
    rests_until: Time,
}

/// A share that could not be had.
#[derive(Debug, Default)]
struct Tried {
    /// It is not tried before then.
    until: Time,
    /// How often in a row: what nobody has must not keep this node from what somebody has.
    failed: u8,
    /// It has given way to others, and goes on as soon as nothing else is owed.
    has_yielded: bool,
    /// When it has had its last turn.
    served: Time,
    /// It is not counted before then, whoever comes or signs: it was, and is not all here.
    counted_until: Time,
}

impl Tried {
    /// It is not tried before then, or not counted.
    fn waits_until(&self, recounts: bool) -> Time {
        self.until.max(if recounts { self.counted_until } else { Time::ZERO })
    }
}

/// A share that is owed.
struct Owed {
    /// Of which snapshot.
    snapshot: SnapshotId,
    /// Who wrote that.
    writer: NodeId,
    /// The root of its manifest.
    manifest: ChunkId,
    /// What is owed of it.
    groups: GroupSet,
    /// Who waits for it.
    urgency: Urgency,
    /// Only what is here is counted.
    recounts: bool,
    /// It could not be had again and again.
    has_failed: bool,
}

/// The share at work.
#[derive(Debug)]
struct Running {
    /// Its duty.
    duty: u64,
    /// Its turn.
    turn: Turn,
    /// Who wrote the snapshot.
    writer: NodeId,
    /// What the writer was told last.
    told_held: u64,
    /// When.
    told_at: Time,
}

impl Holding {
    /// Something changed: look again.
    pub fn recheck(&mut self, now: Time) {
        self.due = Some(self.due.map_or(now, |due| due.min(now)));
    }

    /// Nothing can be done before then.
    pub fn look_at(&mut self, then: Time) {
        self.due = Some(then);
    }

    /// A peer came up: what could not be had may be had now.
    pub fn peer_up(&mut self, now: Time) {
        self.tried.values_mut().for_each(|tried| tried.until = Time::ZERO);
        self.recheck(now);
    }

    /// A share was not had: it is not tried before then.
    fn wait(&mut self, snapshot: SnapshotId, until: Time) {
        self.tried.entry(snapshot).or_default().until = until;
    }

    /// A share could not be had once more. How long it waits: longer when it failed again and again.
    fn could_not(&mut self, snapshot: SnapshotId) -> Span {
        let tried = self.tried.entry(snapshot).or_default();
        tried.failed = tried.failed.saturating_add(1);
        KEEP_RETRY.times(1 << tried.failed.saturating_sub(KEEP_FAILURES_SOON).min(8)).min(KEEP_RETRY_RARE)
    }

    /// Somebody else has signed for a snapshot: what could not be had may be had now.
    pub fn has_signed(&mut self, snapshot: &SnapshotId) {
        if let Some(tried) = self.tried.get_mut(snapshot) {
            *tried = Tried { counted_until: tried.counted_until, ..Tried::default() };
        }
    }

    /// Chunks have come back: what was counted and is not all here is counted again.
    pub fn count_again(&mut self, now: Time) {
        self.tried.values_mut().for_each(|tried| tried.counted_until = Time::ZERO);
        self.recheck(now);
    }

    /// When to look again.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        match &self.running {
            None => self.due,
            Some(running) => Some(running.turn.look(self.due)),
        }
    }

    /// Whether a share is being kept.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }
}

impl Core {
    /// Begins the next share, if one is owed.
    pub(super) fn holding_timeout(&mut self) {
        self.tell_progress(false);
        if self.holding.deadline().is_none_or(|due| due > self.now.time) {
            return;
        }
        if self.holding.running.is_some() {
            return self.see_whose_turn();
        }
        self.holding.due = None;
        let mut owed = self.owed(None, false);
        if owed.is_none() && self.holding.go_on() {
            owed = self.owed(None, false);
        }
        let Some(mut owed) = owed else {
            let waits = self.holding.tried.values().map(|tried| tried.waits_until(true));
            self.holding.due = waits.filter(|until| *until > self.now.time).min();
            self.holding.busy_since = None;
            return;
        };
        if owed.urgency > Urgency::Shared && self.holding.rests(self.now.time) {
            return;
        }
        if !owed.recounts && !self.has_room() {
            // What needs no room does not wait for it.
            let is_full = self.upkeep.room.is_full();
            let Some(recount) = is_full.then(|| self.owed(None, true)).flatten() else { return };
            owed = recount;
        }
        let Owed { snapshot, writer, .. } = owed;
        let connected = self.gossip.peers().any(|peer| *peer == writer);
        self.source.prefer((connected || self.reach.linking.is_choosing()).then_some(writer));
        // What was given up in between is pinned anew.
        let is_pinned =
            self.holding.pinned.contains(&snapshot) && self.upkeep.collect.pins().contains_key(&snapshot);
        if !is_pinned {
            self.holding.pinned.remove(&snapshot);
        }
        self.upkeep.collect.pin(snapshot, owed.manifest);
        let duty = self.begin_duty(|duty| {
            let keep = Keep::new(snapshot, owed.manifest, owed.groups, duty);
            let keep = if owed.recounts { keep.recounting() } else { keep };
            Duty::Keep(Box::new(if is_pinned { keep.pinned() } else { keep }))
        });
        let (now, turn) = (self.now.time, Turn::new(self.now.time, owed.urgency));
        self.holding.busy_since.get_or_insert(now);
        self.holding.running = Some(Running { duty, turn, writer, told_held: 0, told_at: now });
    }

    /// Whether somebody waits for the chunks that a duty asks for: not for those of a share that others have signed for already.
    pub(super) fn is_awaited(&self, duty: u64) -> bool {
        match self.duties.get(&duty) {
            Some(Duty::Keep(_)) => {
                self.holding.running.as_ref().is_some_and(|running| running.turn.urgency() < Urgency::Spare)
            }
            _ => false,
        }
    }

    /// Of the snapshots for which this node owes a receipt, and that may be tried now, the one of which the fewest copies are
    /// left among those who are here; of equals the newest. But for `but`, which is at work; `counting`: only of what is counted without room.
    fn owed(&mut self, but: Option<SnapshotId>, counting: bool) -> Option<Owed> {
        let now = self.now.time;
        let tried = &mut self.holding.tried;
        if let Some(member) = &self.member {
            tried.retain(|snapshot, _| member.view.snapshot(snapshot).is_some());
        }
        let wanted = self.shared_wanted();
        // A receipt is an entry: none is written before a peer has shown what it knows of this node.
        let member = self.member.as_ref().filter(|member| member.confirmed && !member.stopped)?;
        let (pins, takes_no_more) = (self.upkeep.collect.pins(), member.takes_no_more());
        let mut best: Option<(Rank, &SnapshotFact, GroupSet, bool)> = None;
        for fact in member.view.snapshots() {
            let tried = self.holding.tried.get(&fact.id);
            // What a shared folder here is waiting for is kept whole.
            let is_wanted = wanted.contains(&fact.id) && !counting;
            let recounts = !is_wanted && takes_no_more && pins.contains_key(&fact.id);
            let waits = tried.is_some_and(|tried| tried.waits_until(recounts) > now);
            if fact.writer == member.node || but == Some(fact.id) || waits {
                continue;
            }
            let groups = match (is_wanted, recounts) {
                (true, _) => GroupSet::all(),
                (_, true) => member.view.once_receipted(&fact.id, &member.node),
                _ => member.own_kept_groups(fact.entry.copies),
            };
            let mut lacking = groups.clone();
            let own = member.view.receipts(&fact.id).find(|(node, _)| *node == member.node);
            own.iter().for_each(|(_, held)| lacking.subtract(held));
            if lacking.is_empty() || counting && !recounts {
                continue;
            }
            // What was counted is not signed for twice.
            let groups = if recounts { lacking.clone() } else { groups };
            let copies = if is_wanted { 0 } else { member.live_copies(fact, &lacking) };
            let has_failed = tried.is_some_and(|tried| tried.failed >= KEEP_FAILURES_MAX);
            let is_turn = self.holding.others_until > now && !is_wanted;
            let served = tried.filter(|_| is_turn).map_or(Time::ZERO, |tried| tried.served);
            let rank = Rank(has_failed, served, copies, Reverse(fact.entry.taken));
            if best.as_ref().is_none_or(|(first, ..)| rank < *first) {
                best = Some((rank, fact, groups, recounts));
            }
        }
        best.map(|(rank, fact, groups, recounts)| {
            // Of some of it nobody but the writer has said that it has it.
            let mut alone = groups.clone();
            member.view.receipts(&fact.id).for_each(|(_, has)| alone.subtract(has));
            let urgency = match (wanted.contains(&fact.id), alone.is_empty()) {
                (true, _) => Urgency::Shared,
                (_, false) => Urgency::Awaited,
                _ => Urgency::Spare,
            };
            let (snapshot, writer, manifest) = (fact.id, fact.writer, fact.entry.manifest);
            let has_failed = rank.0;
            Owed { snapshot, writer, manifest, groups, urgency, recounts, has_failed }
        })
    }

    /// The disk did not take a chunk: no share that is being kept may be receipted on it.
    pub(super) fn put_failed(&mut self, reason: &str) {
        for duty in self.duties.values_mut() {
            if let Duty::Keep(keep) = duty {
                keep.put_failed(reason);
            }
        }
    }

    /// A chunk that was offered comes: the share that is being kept has it from here on, if it misses it.
    pub(super) fn share_claims(&mut self, id: &ChunkId) {
        let Some(number) = self.holding.running.as_ref().map(|running| running.duty) else { return };
        let Some(Duty::Keep(keep)) = self.duties.get_mut(&number) else { return };
        if let Some(ask) = keep.claim(id) {
            self.ask(ask);
        }
    }

    /// A share is kept, or could not be.
    pub(super) fn keep_finished(&mut self, number: u64, end: KeepEnd) {
        self.tell_progress(true);
        let Some(Duty::Keep(keep)) = self.duties.remove(&number) else { return };
        let turn = self.holding.running.take().map(|running| running.turn);
        self.source.prefer(None);
        let snapshot = keep.snapshot();
        match end {
            KeepEnd::Kept => {
                let held = keep.progress().held;
                self.holding.pinned.remove(&snapshot);
                self.holding.tried.remove(&snapshot);
                self.pushed_is_listed(&snapshot);
                self.upkeep.moving.receipted(keep.groups());
                let receipt = Receipt { snapshot, groups: keep.groups().clone() };
                if self.append(Body::Receipt(receipt), Vec::new(), AfterAppend::Nothing).is_some() {
                    let message = format!("snapshot {} is kept here: {held} chunks", snapshot.short());
                    self.note(Level::Info, "copies", message);
                    self.share_kept(&snapshot);
                } else {
                    self.holding.wait(snapshot, self.now.time + KEEP_RETRY);
                }
            }
            KeepEnd::Lacking { chunks } => {
                log::info!("snapshot {}: {chunks} chunks cannot be had now", snapshot.short());
                self.holding.pinned.insert(snapshot);
                let again = self.holding.could_not(snapshot);
                // Alone there is nobody to have them from, and a peer that comes up is asked at once.
                let is_alone = self.gossip.peers().next().is_none();
                let pause = if is_alone { KEEP_RETRY_RARE } else { again };
                self.holding.wait(snapshot, self.now.time + pause);
            }
            KeepEnd::Yielded => self.yielded(snapshot, turn),
            KeepEnd::Disk { reason } => {
                self.note(
                    Level::Error,
                    "copies",
                    format!("snapshot {} is not kept: {reason}", snapshot.short()),
                );
                let until = self.room_ended(keep.progress().fetched_bytes);
                self.holding.wait(snapshot, until);
            }
            KeepEnd::Damaged { reason } => {
                let message = format!("the manifest of snapshot {} is damaged: {reason}", snapshot.short());
                self.note(Level::Error, "copies", message);
                self.holding.could_not(snapshot);
                self.holding.wait(snapshot, self.now.time + KEEP_RETRY_RARE);
            }
        }
        if keep.is_short() {
            // What is not here any more is not fetched, and not looked for again and again.
            let again = self.now.time + KEEP_RECOUNT_AGAIN;
            self.holding.tried.entry(snapshot).or_default().counted_until = again;
        }
        self.holding.recheck(self.now.time);
    }

    /// Ends the share that is being kept when it has brought more than there is room for.
    fn keep_within_budget(&mut self) {
        let Some(number) = self.holding.running.as_ref().map(|running| running.duty) else { return };
        let Some(Duty::Keep(keep)) = self.duties.get(&number) else { return };
        let Some(reason) = self.over_budget(keep.progress().fetched_bytes) else { return };
        if let Some(Duty::Keep(keep)) = self.duties.get_mut(&number) {
            keep.put_failed(reason);
        }
    }

    /// Tells the writer how far its snapshot is here, now and then.
    fn tell_progress(&mut self, last: bool) {
        self.keep_within_budget();
        let Some(running) = &mut self.holding.running else { return };
        let Some(Duty::Keep(keep)) = self.duties.get(&running.duty) else { return };
        let progress = keep.progress();
        let is_much = progress.held >= running.told_held + PROGRESS_CHUNKS;
        let is_old =
            progress.held > running.told_held && self.now.time.since(running.told_at) >= PROGRESS_PAUSE;
        if !last && !is_much && !is_old {
            return;
        }
        (running.told_held, running.told_at) = (progress.held, self.now.time);
        let (writer, snapshot) = (running.writer, keep.snapshot());
        self.send(
            &writer,
            Lane::Control,
            &Message::Status { snapshot, held: progress.held, total: progress.seen },
        );
    }
}

/// What is kept first: what did not fail again and again, if it is time for that what has waited for longest, what has the fewest copies, the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank(bool, Time, usize, Reverse<WallTime>);

/// What is not all here on a node that takes no more is counted again after this long.
const KEEP_RECOUNT_AGAIN: Span = Span::from_secs(6 * 3_600);

/// The writer is told after every so many chunks,
const PROGRESS_CHUNKS: u64 = 64;

/// or after this long, if there is anything new.
const PROGRESS_PAUSE: Span = Span::from_secs(1);
