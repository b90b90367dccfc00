//! Healing: chunks that were found damaged on this disk are fetched anew from whoever has them, and where nobody has one, the
//! files that it may be of are read again. It does not matter who came upon it: the scrub, a compaction, or whoever wanted to read it.
//!
//! So are those that another node asked for in vain, if a manifest lists them of which this node has promised their group: it may
//! compare itself with nobody there, for its place has changed since. And one that was lost is seldom alone: everything that this node
//! has promised or written is looked through then.
//!
//! A chunk of a snapshot that no other device has yet exists here alone, and in the file it was cut from. That has the stat it had,
//! so no scan would read it again: this makes one that reads everything (`backup --checksum`), once a day at most. That something
//! is not healed yet outlives a restart; what it was does not, so that then everything is read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::activity::Level;
use super::after::AfterSave;
use super::core::{Core, Duty};
use super::duty::{Ops, Told};
use super::events::{Event, Kind};
use super::ports::CallId;
use super::reconcile::Reconcile;
use super::reconciling::RECONCILE_DUTY;
use super::verify::job::VerifyJob;
use super::verify::Verify;
use crate::base::ids::{ChunkId, FolderId, Group, NodeId};
use crate::base::limits::{LOOK_THROUGH_EVERY, MISSED_MAX, READ_AGAIN_EVERY, READ_FOR_MAX};
use crate::base::units::Time;
use crate::seal::sealed::Sealer;
use crate::store::service::{Op, Reply, StoreError};

/// What is being healed.
#[derive(Debug, Default)]
pub struct Healing {
    /// Chunks on their way.
    asked: BTreeSet<Op>,
    /// When files were read again last.
    read_again: Option<Time>,
    /// They are to be read again.
    reads_again: bool,
    /// What they were read again for: where that did not help, it does not help another time.
    read_for: BTreeSet<ChunkId>,
    /// Folders that are still to be read again.
    unread: BTreeSet<FolderId>,
    /// The settings say that something is not healed yet.
    is_open: bool,
    /// What others asked for in vain, and who did last.
    missed: BTreeMap<ChunkId, NodeId>,
    /// When everything was looked through last.
    looked_through: Option<Time>,
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
        self.healing_opens();
        for id in damaged {
            let op = self.ops.draw();
            self.upkeep.healing.asked.insert(op);
            self.source.keep(self.now.time, op, *id, None);
        }
        self.source.pump(self.now.time);
    }

    /// A chunk that was to be read, for whomever, was found damaged and set aside. (What a check finds it asks for itself.)
    pub(super) fn rotted(&mut self, reply: &Reply) {
        let Reply::Get { op, result: Err(StoreError::Damaged { id }), .. } = reply else { return };
        if !matches!(self.duties.get(&Ops::duty(*op)), Some(Duty::Verify(..))) {
            self.heal(&[*id]);
        }
    }

    /// A peer asks for what is not here.
    pub(super) fn missed(&mut self, peer: NodeId, id: ChunkId) {
        let missed = &mut self.upkeep.healing.missed;
        if missed.len() < MISSED_MAX {
            missed.insert(id, peer);
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

    /// Something that should be here was not: is anything else missing? What is gets fetched.
    pub(super) fn look_through(&mut self) {
        let (now, last) = (self.now.time, self.upkeep.healing.looked_through);
        if last.is_some_and(|last| last + LOOK_THROUGH_EVERY > now)
            || self.duties.values().any(|duty| matches!(duty, Duty::Verify(_, None)))
        {
            return;
        }
        let Some(mut snapshots) = self.held_snapshots() else { return };
        self.upkeep.healing.looked_through = Some(now);
        // Their trees are chunks that the manifests list.
        snapshots.iter_mut().for_each(|snapshot| snapshot.tree = None);
        let job = VerifyJob { snapshots, all: false };
        self.begin_duty(|duty| Duty::Verify(Box::new(Verify::new(job, duty).fetching()), None));
    }

    /// A line of what is verified, for whoever asked for it, or for the log.
    pub(super) fn verified(&mut self, call: Option<CallId>, line: Value) {
        if let Some(call) = call {
            return self.json(call, line);
        }
        let count = ["damaged", "missing"].into_iter().filter_map(|key| line[key].as_u64()).sum::<u64>();
        if line["event"] == "result" && count > 0 {
            let message = format!(
                "{count} more chunks that this device keeps for the vault are not on its disk; they are fetched from other devices"
            );
            let event = Event::new(Kind::Damaged, Level::Error, "copies", message);
            self.raise(event.about(count.to_string()));
        }
    }

    /// The manifests that may list a chunk which this node has promised, or written.
    pub(super) fn promised_with(&self, id: ChunkId) -> Vec<ChunkId> {
        let Some(own) = self.member.as_ref().map(|member| member.node) else { return Vec::new() };
        let mut roots = self.claimed_by(&own, Some(Group::of(&id)), true);
        // The root of one is promised with any group.
        roots.extend(self.claimed_by(&own, None, true).into_iter().filter(|root| *root == id));
        roots
    }

    /// Looks whether a damaged chunk that was asked for here, or by a check that a person began, cannot be had now.
    pub(super) fn healed(&mut self, duty: u64, told: &Told) {
        let Told::Kept { op, id, result } = told else { return };
        let is_healed = self.upkeep.healing.asked.remove(op);
        let is_checked = matches!(self.duties.get(&duty), Some(Duty::Verify(..)));
        if (is_healed || is_checked) && result.is_err() {
            self.not_to_be_had(*id);
        }
        if is_healed {
            self.healing_closes();
        }
    }

    /// Nobody has a chunk that was here: the files of this device are read again for it, once, if they are not being read anyway.
    fn not_to_be_had(&mut self, id: ChunkId) {
        let healing = &mut self.upkeep.healing;
        let is_new = healing.unread.is_empty() && healing.read_for.len() < READ_FOR_MAX;
        if is_new && healing.read_for.insert(id) {
            healing.reads_again = true;
            self.read_files_again();
        }
    }

    /// After start.
    pub(super) fn healing_begins(&mut self, settings: &BTreeMap<String, Vec<u8>>) {
        self.upkeep.healing.is_open = settings.contains_key(OPEN_KEY);
        self.upkeep.healing.reads_again = self.upkeep.healing.is_open;
        self.read_files_again();
    }

    /// Something is to be healed: a restart is to know.
    fn healing_opens(&mut self) {
        if !std::mem::replace(&mut self.upkeep.healing.is_open, true) {
            self.save(vec![(OPEN_KEY.to_owned(), Some(Vec::new()))], AfterSave::Nothing);
        }
    }

    /// Nothing is left to be done, if so.
    fn healing_closes(&mut self) {
        let healing = &mut self.upkeep.healing;
        if healing.is_open && !healing.reads_again && healing.asked.is_empty() && healing.unread.is_empty() {
            healing.is_open = false;
            self.save(vec![(OPEN_KEY.to_owned(), None)], AfterSave::Nothing);
        }
    }

    /// A scan of a folder is over.
    pub(super) fn read_again(&mut self, folder: FolderId, is_read: bool) {
        if !self.upkeep.healing.unread.contains(&folder) {
            return;
        }
        if !is_read {
            self.local(folder).checksum = true;
        } else if !self.local(folder).checksum {
            self.upkeep.healing.unread.remove(&folder);
            self.healing_closes();
        }
    }

    /// If nobody has what was damaged here: the files of this device are read again, as soon as that may be.
    pub(super) fn read_files_again(&mut self) {
        let now = self.now.time;
        let last = self.upkeep.healing.read_again;
        if !self.upkeep.healing.reads_again || last.is_some_and(|last| last + READ_AGAIN_EVERY > now) {
            return;
        }
        self.upkeep.healing.reads_again = false;
        let has_older_keys =
            self.member.as_ref().and_then(|member| member.sealer.as_ref()).is_none_or(Sealer::has_older_keys);
        let own = self.own_folders();
        if has_older_keys || own.is_empty() {
            return;
        }
        self.upkeep.healing.read_again = Some(now);
        self.healing_opens();
        for (entry, _) in own {
            self.upkeep.healing.unread.insert(entry.folder);
            let local = self.local(entry.folder);
            (local.checksum, local.next_scan) = (true, Some(now));
        }
        let message = "what was damaged here can be had from no device that is connected: the files of the folders here are read \
                       again, which stores it anew if it is still in one of them";
        self.note(Level::Warn, "store", message);
    }
}

/// Under which name it is kept that something is not healed yet.
const OPEN_KEY: &str = "healing:open";
