//! Taking: which of the chunks that peers offer are asked for, and when. The other side of `push.rs`.
//!
//! ```text
//!   Offer --> Waiting --Look--> (store) --lacking--> Fresh --Want--> Wanted --chunk--> Putting --synced--> Stored
//!                                  |                   |               |
//!                                  '-- here already,   '-- no quota,   '-- the share at work takes it over,
//!                                      on its way          no room         the peer has it no more, silence
//!                                         '----------- Decline -----------'
//! ```
//!
//! Asks for no more than a few megabytes at a time, whose lengths are known, so that memory is bounded and small chunks cost no
//! round trip each. What a full member pushes before any snapshot lists it counts against a quota until a share of that member
//! is kept here; a store node, which writes no snapshots, has none. Nothing depends on what is taken here: a snapshot that
//! needs it is pulled by `node/keep.rs`, which looks at what is here by itself.
//!
//! Knows no peer's address and no disk. Bounded by [`PUSH_OFFERED_MAX`] a peer and [`PUSH_WANTED_BYTES_MAX`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Fault;
use crate::base::derived::Derived;
use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits::{
    IDS_PER_MESSAGE_MAX, PUSH_HOLD, PUSH_HOLD_MAX, PUSH_OFFERED_MAX, PUSH_PATIENCE, PUSH_STORED_LOT,
    PUSH_UNLISTED_BYTES_MAX, PUSH_WANTED_BYTES_MAX, PUSH_WANTED_PEER_BYTES_MAX, SEALED_BYTES_MAX,
    UNSYNCED_BYTES_MAX,
};
use crate::base::units::Time;
use crate::wire::message::Offered;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Ask the store which of these are here; [`Take::looked`] for this peer.
    Look(NodeId, Vec<ChunkId>),
    /// Ask the peer for these.
    Want(NodeId, Vec<ChunkId>),
    /// Tell the peer that these need not come as an offer.
    Decline(NodeId, Vec<ChunkId>),
    /// Tell the peer that these are stored.
    Stored(NodeId, Vec<ChunkId>),
    /// Tell the peer that these, which were wanted, need not come any more.
    Cancel(NodeId, Vec<ChunkId>),
}

/// All that peers offer.
#[derive(Debug, Default)]
pub struct Take {
    /// The peers that may offer something.
    peers: Derived<BTreeMap<NodeId, Inlet>, Option<Time>>,
    /// What is asked for, and of whom.
    on_way: BTreeMap<ChunkId, NodeId>,
    /// The bytes of it.
    wanted_bytes: u64,
    /// Bytes that came and are not synced.
    unsynced_bytes: u64,
    /// What was pushed here and no snapshot lists, by who pushed it.
    unlisted: BTreeMap<NodeId, Unlisted>,
    /// What is to be done.
    orders: VecDeque<Order>,
    /// Chunks that were taken.
    taken_count: u64,
    /// Their bytes.
    taken_bytes: u64,
}

/// One peer.
#[derive(Debug, Default)]
struct Inlet {
    /// It may write snapshots.
    is_full: bool,
    /// Offered, not looked for.
    waiting: VecDeque<Offered>,
    /// Being looked for in the store.
    looking: Vec<Offered>,
    /// Not here; to be asked for.
    fresh: VecDeque<Offered>,
    /// Asked for, with their lengths.
    wanted: BTreeMap<ChunkId, u32>,
    /// The bytes of these.
    wanted_bytes: u64,
    /// Came, not synced.
    putting: BTreeSet<ChunkId>,
    /// Synced, and that was not told.
    stored: Vec<ChunkId>,
    /// When something that was wanted last came, or was first asked for.
    heard: Time,
    /// It does not send what it has offered: nothing is taken in this session any more.
    is_mute: bool,
}

/// What one member pushed that no snapshot lists.
#[derive(Debug, Clone, Copy)]
struct Unlisted {
    /// How much.
    bytes: u64,
    /// When the first of it came.
    first: Time,
    /// When the last of it came.
    last: Time,
}

impl Inlet {
    /// Chunks that the peer counts as under way.
    fn open_count(&self) -> usize {
        let offered = self.waiting.len() + self.looking.len() + self.fresh.len();
        offered + self.wanted.len() + self.putting.len() + self.stored.len()
    }
}

impl Take {
    /// A peer may offer chunks from now on; `is_full`: it is a full member.
    pub fn peer_up(&mut self, peer: NodeId, is_full: bool) {
        self.peer_down(&peer);
        self.peers.insert(peer, Inlet { is_full, ..Inlet::default() });
    }

    /// A peer is gone.
    pub fn peer_down(&mut self, peer: &NodeId) {
        if let Some(inlet) = self.peers.remove(peer) {
            self.wanted_bytes -= inlet.wanted_bytes;
            self.on_way.retain(|_, from| from != peer);
        }
    }

    /// A peer offers chunks.
    ///
    /// # Errors
    /// When it may not offer so many, or no chunk has such a length; then none of them is looked at.
    pub fn offered(&mut self, peer: &NodeId, chunks: Vec<Offered>) -> Result<(), Fault> {
        let Some(inlet) = self.peers.get_mut(peer) else { return Ok(()) };
        let is_length =
            |bytes: u32| usize::try_from(bytes).is_ok_and(|bytes| (1..=SEALED_BYTES_MAX).contains(&bytes));
        if chunks.iter().any(|chunk| !is_length(chunk.bytes)) {
            return Err(Fault::Length);
        }
        if inlet.open_count() + chunks.len() > PUSH_OFFERED_MAX {
            return Err(Fault::TooMany);
        }
        if inlet.is_mute || !inlet.is_full {
            self.decline(peer, chunks.iter().map(|chunk| chunk.id));
            return Ok(());
        }
        inlet.waiting.extend(chunks);
        self.look(peer);
        Ok(())
    }

    /// The store said which of those that were looked for are here; None: it could not say. `is_fetched`: a chunk is on its way
    /// here anyhow.
    pub fn looked(&mut self, peer: &NodeId, have: Option<&[bool]>, is_fetched: impl Fn(&ChunkId) -> bool) {
        let Some(inlet) = self.peers.get_mut(peer) else { return };
        let mut declined = Vec::new();
        for (place, chunk) in std::mem::take(&mut inlet.looking).into_iter().enumerate() {
            let is_here = have.and_then(|have| have.get(place).copied()).unwrap_or(true);
            if is_here || is_fetched(&chunk.id) || self.on_way.contains_key(&chunk.id) {
                declined.push(chunk.id);
            } else {
                inlet.fresh.push_back(chunk);
            }
        }
        self.decline(peer, declined);
        self.look(peer);
    }

    /// Asks for as much as the windows, the quotas and `room` (bytes that may be stored here; None: not known yet) allow.
    /// What is on its way by now otherwise (`is_fetched`) is not.
    pub fn pump(&mut self, now: Time, room: Option<u64>, is_fetched: impl Fn(&ChunkId) -> bool) {
        let Some(mut room) = room else { return };
        room = room.saturating_sub(self.wanted_bytes + self.unsynced_bytes);
        let peers: Vec<NodeId> = self.peers.keys().copied().collect();
        for peer in peers {
            while self.want_some(now, &peer, &mut room, &is_fetched) {}
        }
    }

    /// Asks one peer for some, as one message. False when nothing more can be asked of it now.
    fn want_some(
        &mut self,
        now: Time,
        peer: &NodeId,
        room: &mut u64,
        is_fetched: &impl Fn(&ChunkId) -> bool,
    ) -> bool {
        let Some(inlet) = self.peers.get_mut(peer) else { return false };
        let unlisted = self.unlisted.get(peer).map_or(0, |unlisted| unlisted.bytes);
        let quota =
            PUSH_UNLISTED_BYTES_MAX.min((*room).saturating_add(unlisted) / 2).saturating_sub(unlisted);
        let (mut wanted, mut declined) = (Vec::new(), Vec::new());
        while wanted.len() + declined.len() < IDS_PER_MESSAGE_MAX {
            let Some(chunk) = inlet.fresh.front().copied() else { break };
            let bytes = u64::from(chunk.bytes);
            let is_coming = self.on_way.contains_key(&chunk.id) || is_fetched(&chunk.id);
            if inlet.wanted_bytes + bytes > quota || is_coming {
                declined.push(chunk.id);
                inlet.fresh.pop_front();
                continue;
            }
            let all = self.wanted_bytes + bytes;
            if inlet.wanted_bytes + bytes > PUSH_WANTED_PEER_BYTES_MAX
                || all > PUSH_WANTED_BYTES_MAX
                || all + self.unsynced_bytes > UNSYNCED_BYTES_MAX
            {
                break;
            }
            inlet.fresh.pop_front();
            if inlet.wanted.is_empty() {
                inlet.heard = now;
            }
            inlet.wanted.insert(chunk.id, chunk.bytes);
            inlet.wanted_bytes += bytes;
            self.on_way.insert(chunk.id, *peer);
            self.wanted_bytes += bytes;
            *room = room.saturating_sub(bytes);
            wanted.push(chunk.id);
        }
        let is_any = !wanted.is_empty() || !declined.is_empty();
        self.decline(peer, declined);
        if !wanted.is_empty() {
            self.orders.push_back(Order::Want(*peer, wanted));
        }
        is_any
    }

    /// Whether a chunk was asked of this peer because it was offered.
    #[must_use]
    pub fn expects(&self, peer: &NodeId, id: &ChunkId) -> bool {
        self.on_way.get(id) == Some(peer)
    }

    /// A chunk that was expected came, and is right: it is to be put, and [`Take::put`] told of it.
    ///
    /// # Errors
    /// When it has not the length that was offered; it is not to be put then.
    pub fn came(&mut self, now: Time, peer: &NodeId, id: &ChunkId, bytes: u64) -> Result<(), Fault> {
        let Some(offered) = self.forget(peer, id) else { return Err(Fault::NotOffered) };
        if u64::from(offered) != bytes {
            return Err(Fault::Length);
        }
        let Some(inlet) = self.peers.get_mut(peer) else { return Err(Fault::NotOffered) };
        inlet.heard = now;
        inlet.putting.insert(*id);
        self.unsynced_bytes += bytes;
        self.taken_count += 1;
        self.taken_bytes += bytes;
        let unlisted = self.unlisted.entry(*peer).or_insert(Unlisted { bytes: 0, first: now, last: now });
        unlisted.bytes += bytes;
        unlisted.last = now;
        Ok(())
    }

    /// A chunk of this length that came from a peer is synced, or the disk did not take it.
    pub fn put(&mut self, peer: &NodeId, id: ChunkId, bytes: u64, is_synced: bool) {
        self.unsynced_bytes = self.unsynced_bytes.saturating_sub(bytes);
        let Some(inlet) = self.peers.get_mut(peer) else { return };
        // Of an earlier session the peer knows nothing any more.
        if !inlet.putting.remove(&id) {
            return;
        }
        if !is_synced {
            return self.decline(peer, [id]);
        }
        inlet.stored.push(id);
        if inlet.stored.len() >= PUSH_STORED_LOT || inlet.putting.is_empty() {
            let ids = std::mem::take(&mut inlet.stored);
            self.orders.push_back(Order::Stored(*peer, ids));
        }
    }

    /// A peer has some of what it offered no more.
    pub fn missing(&mut self, peer: &NodeId, ids: &[ChunkId]) {
        for id in ids {
            self.forget(peer, id);
        }
    }

    /// A chunk is to be fetched: if it is on its way here already, from whom. It is no offer any more, nor is what was found to be lacking
    /// and not asked for yet: it would come a second time after it was fetched.
    pub fn take_over(&mut self, id: &ChunkId) -> Option<NodeId> {
        let on_way = self.on_way.get(id).copied();
        let is_lacking = |inlet: &Inlet| inlet.fresh.iter().any(|chunk| chunk.id == *id);
        let lacking = self.peers.iter().filter(|(_, inlet)| is_lacking(inlet)).map(|(peer, _)| *peer);
        for peer in lacking.chain(on_way).collect::<Vec<_>>() {
            self.forget(&peer, id);
            let inlet = self.peers.get_mut(&peer);
            inlet.into_iter().for_each(|inlet| inlet.fresh.retain(|chunk| chunk.id != *id));
            self.decline(&peer, [*id]);
        }
        on_way
    }

    /// What came from a peer was not what its id says: it does not come again.
    pub fn wrong(&mut self, peer: &NodeId, id: &ChunkId) {
        if self.forget(peer, id).is_some() {
            self.decline(peer, [*id]);
        }
    }

    /// Nothing more is taken from a peer in this session: it has not sent what it was asked for, or cannot be answered.
    pub fn mute(&mut self, peer: &NodeId) {
        let Some(inlet) = self.peers.get_mut(peer) else { return };
        let dropped = std::mem::take(inlet);
        // What is being put goes on; it is counted to the end.
        *inlet =
            Inlet { is_full: dropped.is_full, is_mute: true, putting: dropped.putting, ..Inlet::default() };
        self.wanted_bytes -= dropped.wanted_bytes;
        self.on_way.retain(|_, from| from != peer);
        let wanted: Vec<ChunkId> = dropped.wanted.into_keys().collect();
        for ids in wanted.chunks(IDS_PER_MESSAGE_MAX) {
            self.orders.push_back(Order::Cancel(*peer, ids.to_vec()));
        }
        let offered = dropped.waiting.into_iter().chain(dropped.looking).chain(dropped.fresh);
        self.decline(peer, wanted.into_iter().chain(offered.map(|chunk| chunk.id)));
    }

    /// Peers that do not send what they were asked for are not asked any more; what nobody lists any more stops counting.
    pub fn handle_timeout(&mut self, now: Time) {
        let silent: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, inlet)| !inlet.wanted.is_empty() && inlet.heard + PUSH_PATIENCE <= now)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in silent {
            log::info!("{} does not send what it offers; its offers are declined", peer.short());
            self.mute(&peer);
        }
    }

    /// When [`Take::handle_timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.peers.follows(|peers| {
            let busy = peers.values().filter(|inlet| !inlet.wanted.is_empty());
            busy.map(|inlet| inlet.heard + PUSH_PATIENCE).min()
        })
    }

    /// The next thing to do; drained to None.
    pub fn poll(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// A share of what this member wrote is kept: what it pushed is listed now. (What belongs to another backup, which still runs,
    /// is held no longer either: it is pulled again if it is dropped.)
    pub fn listed(&mut self, writer: &NodeId) {
        self.unlisted.remove(writer);
    }

    /// Whether something was pushed here that a backup may still come to list: to drop it would be a waste, no more. What has
    /// waited for too long is left to collection, and goes on counting against its sender until a share of that one is kept.
    #[must_use]
    pub fn holds(&self, now: Time) -> bool {
        self.unlisted.values().any(|one| now < one.last + PUSH_HOLD && now < one.first + PUSH_HOLD_MAX)
    }

    /// Chunks that were taken, and their bytes.
    #[must_use]
    pub const fn taken(&self) -> (u64, u64) {
        (self.taken_count, self.taken_bytes)
    }

    /// Bytes that were pushed here and that no snapshot is known to list.
    #[must_use]
    pub fn unlisted_bytes(&self) -> u64 {
        self.unlisted.values().map(|unlisted| unlisted.bytes).sum()
    }

    /// Has the store look for the next of what a peer offers.
    fn look(&mut self, peer: &NodeId) {
        let Some(inlet) = self.peers.get_mut(peer) else { return };
        if inlet.looking.is_empty() && !inlet.waiting.is_empty() {
            let lot = inlet.waiting.len().min(IDS_PER_MESSAGE_MAX);
            inlet.looking = inlet.waiting.drain(..lot).collect();
            let ids = inlet.looking.iter().map(|chunk| chunk.id).collect();
            self.orders.push_back(Order::Look(*peer, ids));
        }
    }

    /// A chunk is not expected from a peer any more; the length that it should have.
    fn forget(&mut self, peer: &NodeId, id: &ChunkId) -> Option<u32> {
        let inlet = self.peers.get_mut(peer)?;
        let bytes = inlet.wanted.remove(id)?;
        inlet.wanted_bytes -= u64::from(bytes);
        self.wanted_bytes -= u64::from(bytes);
        self.on_way.remove(id);
        Some(bytes)
    }

    /// Tells a peer that these need not come as an offer.
    fn decline(&mut self, peer: &NodeId, ids: impl IntoIterator<Item = ChunkId>) {
        let ids: Vec<ChunkId> = ids.into_iter().collect();
        for ids in ids.chunks(IDS_PER_MESSAGE_MAX) {
            self.orders.push_back(Order::Decline(*peer, ids.to_vec()));
        }
    }
}

#[cfg(test)]
mod tests;
