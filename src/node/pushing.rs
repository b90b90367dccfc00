//! Pushing: new chunks of a running backup go at once to the connected nodes that hold their groups, and what others push here is
//! taken. Without it everything waits for the snapshot and is pulled then (`node/keep.rs`).
//!
//! Owns the connection of `replicate/push.rs` and `replicate/take.rs` with the store, the sessions and the backups; decides nothing
//! about what is protected. A chunk is offered when it is synced here, so it never goes out before it is safe at home; it is read
//! from the store again when somebody wants it, after what peers have asked for by name, so that pushing costs a backup no
//! memory and a restore no time. Nodes of a tree go where their groups are; nodes of a manifest to everybody who holds anything.

pub mod conduct;

use std::collections::BTreeMap;

use serde_json::{json, Value};

use super::auditing::PROVE_DUTY;
use super::core::{Core, Duty};
use super::duty::{Ask, Ops};
use crate::base::ids::{ChunkId, FolderId, Group, NodeId, SnapshotId};
use crate::base::limits::{PUSH_QUEUES_MAX, PUSH_ROOM_EVERY};
use crate::base::units::{Copies, Time};
use crate::feed::entry::{GroupSet, Role};
use crate::replicate::push::take::{Order, Take};
use crate::replicate::push::Push;
use crate::store::service::{Op, Reply, Request};
use crate::wire::frame::Lane;
use crate::wire::message::{Message, Offered};
use conduct::is_right;

/// The duty number of pushing's own operations.
pub(super) const PUSH_DUTY: u64 = PROVE_DUTY + 1;

/// Both sides of pushing.
#[derive(Debug)]
pub struct Pushing {
    /// Numbers of its own operations.
    ops: Ops,
    /// What is offered.
    push: Push,
    /// What is taken.
    take: Take,
    /// For how many copies each backup at work is made.
    copies: BTreeMap<u64, Option<Copies>>,
    /// Puts of backups that are not synced.
    puts: BTreeMap<Op, New>,
    /// Looks into the store, and for whom.
    looks: BTreeMap<Op, NodeId>,
    /// Puts of what peers sent: by whom, which, and how long.
    taking: BTreeMap<Op, (NodeId, ChunkId, u64)>,
    /// `Membership::placing_version` when the groups were asked for.
    seats: u64,
    /// The groups of each holder, until the placement changes.
    groups: BTreeMap<(NodeId, Copies), GroupSet>,
    /// Bytes that may be taken, and when the store was asked.
    room: Option<(u64, Time)>,
    /// It is being asked.
    room_asked: bool,
}

/// A chunk that a backup has put.
#[derive(Debug, Clone, Copy)]
struct New {
    /// Which, and how long.
    chunk: Offered,
    /// For how many copies.
    copies: Copies,
    /// A node of a manifest, which everybody needs.
    is_listing: bool,
}

impl Default for Pushing {
    fn default() -> Self {
        Self {
            ops: Ops::new(PUSH_DUTY),
            push: Push::default(),
            take: Take::default(),
            copies: BTreeMap::new(),
            puts: BTreeMap::new(),
            looks: BTreeMap::new(),
            taking: BTreeMap::new(),
            seats: 0,
            groups: BTreeMap::new(),
            room: None,
            room_asked: false,
        }
    }
}

impl Pushing {
    /// A chunk is to be fetched; if it is on its way here already, from whom.
    pub fn take_over(&mut self, id: &ChunkId) -> Option<NodeId> {
        self.take.take_over(id)
    }

    /// Of what is to be asked of a peer, what is not on its way from it already.
    pub fn not_coming(&mut self, peer: &NodeId, mut ids: Vec<ChunkId>) -> Vec<ChunkId> {
        ids.retain(|id| !self.take.expects(peer, id) || self.take.take_over(id).is_none());
        ids
    }

    /// Whether collection waits for a backup of somebody else that may come to list what it has pushed here.
    pub fn holds(&self, now: Time) -> bool {
        self.take.holds(now)
    }

    /// When something is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.push.deadline().into_iter().chain(self.take.deadline()).min()
    }
}

impl Core {
    /// A session stands.
    pub(super) fn push_peer_up(&mut self, node: NodeId) {
        let role = self.member.as_ref().and_then(|member| member.view.roster().role_of(&node));
        self.pushing.push.peer_up(node);
        self.pushing.take.peer_up(node, role == Some(Role::Full));
        self.conduct.peer_up(node);
    }

    /// A session has ended.
    pub(super) fn push_peer_down(&mut self, node: &NodeId) {
        self.pushing.push.peer_down(node);
        self.pushing.take.peer_down(node);
        self.pushing.looks.retain(|_, peer| peer != node);
        self.conduct.peer_down(node);
    }

    /// A backup asks for something: new chunks are remembered until they are synced.
    pub(super) fn push_sees(&mut self, number: u64, folder: FolderId, ask: &Ask) {
        let Ask::Store(Request::Put { op, id, bytes }) = ask else { return };
        let Ok(bytes) = u32::try_from(bytes.len()) else { return };
        let is_worth_it =
            self.setup.config.push && !self.pausing.is_on() && self.gossip.peers().next().is_some();
        if !is_worth_it || self.pushing.puts.len() >= PUSH_QUEUES_MAX {
            return;
        }
        let Some(copies) = self.copies_of(number, folder) else { return };
        let is_listing = match self.duties.get(&number) {
            Some(Duty::Backup(backup, _)) => backup.is_listing(),
            Some(Duty::Merge(merging, _)) => merging.is_listing(),
            _ => false,
        };
        self.pushing.puts.insert(*op, New { chunk: Offered { id: *id, bytes }, copies, is_listing });
    }

    /// For how many copies a backup is made.
    fn copies_of(&mut self, number: u64, folder: FolderId) -> Option<Copies> {
        if let Some(copies) = self.pushing.copies.get(&number) {
            return *copies;
        }
        let facts = self.member.as_ref()?.view.folders();
        let copies = facts.filter(|fact| fact.entry.folder == folder).map(|fact| fact.entry.copies).max();
        self.pushing.copies.retain(|number, _| self.duties.contains_key(number));
        self.pushing.copies.insert(number, copies);
        copies
    }

    /// The store answered a put of whomever: a new chunk of a backup is offered to its holders.
    pub(super) fn push_synced(&mut self, reply: &Reply) {
        let Reply::Put { op, result, .. } = reply else { return };
        let Some(new) = self.pushing.puts.remove(op) else { return };
        if result.is_err() {
            return;
        }
        let peers: Vec<NodeId> = self.gossip.peers().copied().collect();
        for peer in peers {
            let is_full = self.gossip.free_bytes(&peer) == Some(0);
            if !is_full && self.is_holder(peer, &new) {
                self.pushing.push.enqueue(&peer, new.chunk);
            }
        }
        self.pump_push();
    }

    /// Whether a peer shall hold a new chunk.
    fn is_holder(&mut self, peer: NodeId, new: &New) -> bool {
        let Some(member) = &self.member else { return false };
        let version = member.placing_version();
        if std::mem::replace(&mut self.pushing.seats, version) != version {
            self.pushing.groups.clear();
        }
        let groups = self
            .pushing
            .groups
            .entry((peer, new.copies))
            .or_insert_with(|| member.kept_groups_of(&peer, new.copies));
        (new.is_listing && !groups.is_empty()) || groups.contains(Group::of(&new.chunk.id))
    }

    /// A share of this snapshot is kept: what its writer pushed here is listed now.
    pub(super) fn pushed_is_listed(&mut self, snapshot: &SnapshotId) {
        let fact = self.member.as_ref().and_then(|member| member.view.snapshot(snapshot));
        if let Some(writer) = fact.map(|fact| fact.writer) {
            self.pushing.take.listed(&writer);
            self.upkeep.recheck(self.now.time);
        }
    }

    /// A peer offers chunks.
    pub(super) fn push_offered(&mut self, node: &NodeId, chunks: Vec<Offered>) {
        let now = self.now.time;
        if let Err(fault) = self.pushing.take.offered(node, chunks) {
            return self.blame(node, fault);
        }
        let is_old = self.pushing.room.is_none_or(|(_, asked)| now.since(asked) >= PUSH_ROOM_EVERY);
        if is_old && !std::mem::replace(&mut self.pushing.room_asked, true) {
            let op = self.pushing.ops.draw();
            self.ask(Ask::Store(Request::Stats { op }));
        }
        self.pump_push();
    }

    /// A peer wants some of what it was offered.
    pub(super) fn push_wanted(&mut self, node: &NodeId, ids: &[ChunkId]) {
        match self.pushing.push.wanted(self.now.time, node, ids) {
            Ok(ids) => self.source.wanted(node, ids),
            Err(fault) => self.blame(node, fault),
        }
    }

    /// A peer has stored what it was offered.
    pub(super) fn push_stored(&mut self, node: &NodeId, ids: &[ChunkId]) {
        if let Err(fault) = self.pushing.push.stored(self.now.time, node, ids) {
            return self.blame(node, fault);
        }
        self.pump_push();
    }

    /// A peer declines what it was offered.
    pub(super) fn push_declined(&mut self, node: &NodeId, ids: &[ChunkId]) {
        if let Err(fault) = self.pushing.push.declined(self.now.time, node, ids) {
            return self.blame(node, fault);
        }
        self.pump_push();
    }

    /// What a peer wanted is not here any more.
    pub(super) fn push_vanished(&mut self, node: &NodeId, ids: &[ChunkId]) {
        for id in ids {
            self.pushing.push.vanished(node, id);
        }
    }

    /// A peer does not have what it was asked for.
    pub(super) fn chunks_missing(&mut self, node: &NodeId, ids: &[ChunkId]) {
        self.seeks_lack(node, ids);
        self.source.missing(self.now.time, node, ids);
        self.pushing.take.missing(node, ids);
        self.pump_push();
    }

    /// A peer sent a chunk: for a duty, as it was offered, or for nobody.
    pub(super) fn chunk_came(&mut self, node: &NodeId, id: ChunkId, bytes: Vec<u8>) {
        let now = self.now.time;
        let wrong = "the bytes of a chunk that it sent are not what its id says";
        if self.pushing.take.expects(node, &id) {
            self.share_claims(&id);
        }
        if self.source.is_wanted(&id) {
            if self.pushing.take.expects(node, &id) {
                self.pushing.take.take_over(&id);
            }
            if self.source.arrived(now, node, id, bytes) {
                self.conduct.right(node);
            } else {
                self.blame(node, wrong);
            }
        } else if self.pushing.take.expects(node, &id) {
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            if !is_right(&id, &bytes) {
                self.pushing.take.wrong(node, &id);
                self.blame(node, wrong);
            } else if let Err(fault) = self.pushing.take.came(now, node, &id, length) {
                self.blame(node, fault);
            } else {
                self.conduct.right(node);
                // A pass that is at work stops before it can drop this for nothing.
                self.upkeep.was_pushed(now, self.pushing.take.holds(now));
                if let Some((room, _)) = &mut self.pushing.room {
                    *room = room.saturating_sub(length);
                }
                let op = self.pushing.ops.draw();
                self.pushing.taking.insert(op, (*node, id, length));
                self.ask(Ask::Store(Request::Put { op, id, bytes }));
            }
        } else {
            self.unasked(node);
        }
        self.pump_push();
    }

    /// The store answered one of pushing's own operations.
    pub(super) fn push_replied(&mut self, op: Op, reply: Reply) {
        if let Some(peer) = self.pushing.looks.remove(&op) {
            let have = if let Reply::Has { have, .. } = &reply { Some(have.as_slice()) } else { None };
            let source = &self.source;
            self.pushing.take.looked(&peer, have, |id| source.is_wanted(id));
        }
        match reply {
            Reply::Put { op, result, .. } => {
                if let Some((peer, id, length)) = self.pushing.taking.remove(&op) {
                    self.pushing.take.put(&peer, id, length, result.is_ok());
                }
            }
            Reply::Stats { stats, .. } => {
                let room = self.setup.config.capacity.room(&stats).unwrap_or(0);
                self.pushing.room = Some((room, self.now.time));
                self.pushing.room_asked = false;
            }
            Reply::Failed { .. } => self.pushing.room_asked = false,
            _ => {}
        }
        self.pump_push();
    }

    /// What is due by the clock.
    pub(super) fn pushing_timeout(&mut self) {
        let now = self.now.time;
        if self.pushing.deadline().is_some_and(|due| due <= now) {
            self.pushing.push.handle_timeout(now);
            self.pushing.take.handle_timeout(now);
            self.pump_push();
        }
    }

    /// Does what the machines of both sides want done.
    pub(super) fn pump_push(&mut self) {
        let now = self.now.time;
        loop {
            let source = &self.source;
            let room = self.pushing.room.map(|(room, _)| room);
            self.pushing.take.pump(now, room, |id| source.is_wanted(id));
            let mut is_any = false;
            while let Some(order) = self.pushing.take.poll() {
                is_any = true;
                self.push_order(order);
            }
            while let Some((peer, chunks)) = self.pushing.push.poll(now) {
                if !self.send(&peer, Lane::Interactive, &Message::Offer { chunks }) {
                    self.pushing.push.mute(&peer);
                }
            }
            if !is_any {
                return;
            }
        }
    }

    /// Does what the taking side wants. A peer that cannot be answered for want of room is left to pull.
    fn push_order(&mut self, order: Order) {
        let (peer, message) = match order {
            Order::Look(peer, ids) => {
                let op = self.pushing.ops.draw();
                self.pushing.looks.insert(op, peer);
                return self.ask(Ask::Store(Request::Has { op, ids }));
            }
            Order::Want(peer, ids) => (peer, Message::Want { ids }),
            Order::Decline(peer, ids) => (peer, Message::Decline { ids }),
            Order::Stored(peer, ids) => (peer, Message::Stored { ids }),
            Order::Cancel(peer, ids) => {
                self.conduct.cancelled(&peer, ids.len());
                (peer, Message::Cancel { ids })
            }
        };
        if !self.send(&peer, Lane::Interactive, &message) {
            self.pushing.take.mute(&peer);
        }
    }

    /// For `status`: what was pushed and taken since the start.
    pub(super) fn push_status(&self) -> Value {
        let counts = self.pushing.push.counts();
        let (taken, taken_bytes) = self.pushing.take.taken();
        let (faults, unasked, cuts) = self.conduct.counts();
        json!({
            "enabled": self.setup.config.push,
            "open_chunks": self.pushing.push.open_count(),
            "stored_chunks": counts.stored, "stored_bytes": counts.stored_bytes,
            "declined_chunks": counts.declined, "left_chunks": counts.left,
            "taken_chunks": taken, "taken_bytes": taken_bytes,
            "unlisted_bytes": self.pushing.take.unlisted_bytes(),
            "faults": faults, "unasked_chunks": unasked, "cut_sessions": cuts,
        })
    }
}

#[cfg(test)]
impl Core {
    /// Says something to a peer that no node of this program would say.
    pub(crate) fn say_wrongly(&mut self, node: &NodeId, message: &Message) -> bool {
        // It does not mind what comes back.
        self.conduct.peer_up(*node);
        self.send(node, Lane::Interactive, message)
    }
}
