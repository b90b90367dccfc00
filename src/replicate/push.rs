//! Pushing: chunks that are new here go at once to nodes that shall hold them, before any snapshot lists them.
//!
//! ```text
//!   enqueue --> Queued --Offer--> Offered --Want--> Wanted --Stored--> gone
//!                                    '--Decline--------'--Decline----> gone (pull has it, or will)
//! ```
//!
//! This is the side that has the chunks; `push/take.rs` is the other one. An addition for speed, nothing more: what is not pushed is
//! pulled when the snapshot is known, and only a receipt counts. So nothing here is ever tried again, and whatever is in doubt is
//! dropped. Offers go in messages of many chunks; a smaller one goes only while nothing else is under way, so that a chunk
//! never waits for company and a stream of small ones never costs a round trip each.
//!
//! Bounded by [`PUSH_QUEUE_MAX`], [`PUSH_QUEUES_MAX`] and [`PUSH_OFFERED_MAX`]; it keeps ids and lengths, no bytes: what is
//! wanted is read from the store. Knows no peer's address and no disk.

pub mod take;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use crate::base::derived::Derived;
use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits::{
    IDS_PER_MESSAGE_MAX, PUSH_OFFERED_MAX, PUSH_PATIENCE, PUSH_QUEUES_MAX, PUSH_QUEUE_MAX,
};
use crate::base::units::Time;
use crate::wire::message::Offered;

/// All that is offered to peers.
#[derive(Debug, Default)]
pub struct Push {
    /// The peers that can be offered something.
    peers: Derived<BTreeMap<NodeId, Outlet>, Option<Time>>,
    /// Chunks that are queued, for all peers.
    queued_count: usize,
    /// What came of it all.
    counts: PushCounts,
}

/// What came of the offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PushCounts {
    /// Chunks that peers have stored because they were offered.
    pub stored: u64,
    /// Their bytes.
    pub stored_bytes: u64,
    /// Chunks that were declined.
    pub declined: u64,
    /// Chunks that were left to pull: there was no room, or the peer did not answer.
    pub left: u64,
}

/// What a peer did that the rules of pushing do not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It asked for a chunk, or spoke of one, that it was not offered.
    NotOffered,
    /// It has offered more than may be unanswered.
    TooMany,
    /// It offered a chunk of a length that no chunk has, or not of the length that came.
    Length,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotOffered => "it answers offers that were not made",
            Self::TooMany => "it offers more than may be offered at once",
            Self::Length => "it offers chunks of wrong lengths",
        })
    }
}

/// One peer.
#[derive(Debug, Default)]
struct Outlet {
    /// To be offered, oldest first.
    queue: VecDeque<Offered>,
    /// Offered and not answered.
    offered: BTreeMap<ChunkId, u32>,
    /// Asked for, and not known to be stored.
    wanted: BTreeMap<ChunkId, u32>,
    /// What it will not ask for any more, and may still speak of: it was given up here.
    dropped: BTreeSet<ChunkId>,
    /// When it last answered, or was first offered something.
    heard: Time,
    /// It does not answer: nothing is offered in this session any more.
    is_mute: bool,
}

impl Outlet {
    /// Chunks under way.
    fn open_count(&self) -> usize {
        self.offered.len() + self.wanted.len()
    }
}

impl Push {
    /// A peer can be offered chunks from now on.
    pub fn peer_up(&mut self, peer: NodeId) {
        self.peer_down(&peer);
        self.peers.insert(peer, Outlet::default());
    }

    /// A peer is gone: what it was offered is left to pull.
    pub fn peer_down(&mut self, peer: &NodeId) {
        if let Some(outlet) = self.peers.remove(peer) {
            self.queued_count -= outlet.queue.len();
            self.counts.left += count(outlet.queue.len() + outlet.open_count());
        }
    }

    /// A chunk is to be offered to a peer. False: there is no room for that, it is left to pull.
    pub fn enqueue(&mut self, peer: &NodeId, chunk: Offered) -> bool {
        let Some(outlet) = self.peers.get_mut(peer) else { return false };
        let fits = outlet.queue.len() < PUSH_QUEUE_MAX && self.queued_count < PUSH_QUEUES_MAX;
        if outlet.is_mute || !fits {
            self.counts.left += 1;
            return false;
        }
        outlet.queue.push_back(chunk);
        self.queued_count += 1;
        true
    }

    /// A peer asks for chunks that it was offered: those that are to be served.
    ///
    /// # Errors
    /// When one of them was not offered; then none is served.
    pub fn wanted(&mut self, now: Time, peer: &NodeId, ids: &[ChunkId]) -> Result<Vec<ChunkId>, Fault> {
        let Some(outlet) = self.peers.get_mut(peer).filter(|outlet| !outlet.is_mute) else {
            return Ok(Vec::new());
        };
        if ids.iter().any(|id| !outlet.offered.contains_key(id)) {
            return Err(Fault::NotOffered);
        }
        outlet.heard = now;
        let mut served = Vec::with_capacity(ids.len());
        for id in ids {
            // An id that stands twice in one message is served once.
            if let Some(bytes) = outlet.offered.remove(id) {
                outlet.wanted.insert(*id, bytes);
                served.push(*id);
            }
        }
        Ok(served)
    }

    /// A peer has stored chunks that it asked for.
    ///
    /// # Errors
    /// When it did not ask for one of them.
    pub fn stored(&mut self, now: Time, peer: &NodeId, ids: &[ChunkId]) -> Result<(), Fault> {
        let Some(outlet) = self.peers.get_mut(peer).filter(|outlet| !outlet.is_mute) else { return Ok(()) };
        for id in ids {
            let bytes = outlet.wanted.remove(id).ok_or(Fault::NotOffered)?;
            outlet.heard = now;
            self.counts.stored += 1;
            self.counts.stored_bytes += u64::from(bytes);
        }
        Ok(())
    }

    /// A peer needs no more of these.
    ///
    /// # Errors
    /// When it was not offered one of them.
    pub fn declined(&mut self, now: Time, peer: &NodeId, ids: &[ChunkId]) -> Result<(), Fault> {
        let Some(outlet) = self.peers.get_mut(peer).filter(|outlet| !outlet.is_mute) else { return Ok(()) };
        for id in ids {
            let found = outlet.offered.remove(id).or_else(|| outlet.wanted.remove(id));
            if found.is_none() && !outlet.dropped.remove(id) {
                return Err(Fault::NotOffered);
            }
            outlet.heard = now;
            self.counts.declined += u64::from(found.is_some());
        }
        Ok(())
    }

    /// A chunk that a peer asked for is not here any more: the peer is told so, and may have declined it before it hears.
    pub fn vanished(&mut self, peer: &NodeId, id: &ChunkId) {
        let Some(outlet) = self.peers.get_mut(peer) else { return };
        if outlet.wanted.remove(id).is_some() && outlet.dropped.len() < PUSH_OFFERED_MAX {
            outlet.dropped.insert(*id);
        }
    }

    /// Nothing more is offered to a peer in this session.
    pub fn mute(&mut self, peer: &NodeId) {
        let Some(outlet) = self.peers.get_mut(peer) else { return };
        self.queued_count -= outlet.queue.len();
        self.counts.left += count(outlet.queue.len() + outlet.open_count());
        *outlet = Outlet { is_mute: true, ..Outlet::default() };
    }

    /// Whoever has not answered for too long is not offered anything any more.
    pub fn handle_timeout(&mut self, now: Time) {
        let silent: Vec<NodeId> = self
            .peers
            .iter()
            .filter(|(_, outlet)| outlet.open_count() > 0 && outlet.heard + PUSH_PATIENCE <= now)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in silent {
            log::info!("{} does not answer offers; it is left to fetch by itself", peer.short());
            self.mute(&peer);
        }
    }

    /// When [`Push::handle_timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.peers.follows(|peers| {
            let open = peers.values().filter(|outlet| outlet.open_count() > 0);
            open.map(|outlet| outlet.heard + PUSH_PATIENCE).min()
        })
    }

    /// The next offer: to whom, and what. Drained to None after each change.
    pub fn poll(&mut self, now: Time) -> Option<(NodeId, Vec<Offered>)> {
        let ready = |outlet: &Outlet| {
            let free = PUSH_OFFERED_MAX - outlet.open_count();
            let wanted = if outlet.open_count() == 0 { 1 } else { IDS_PER_MESSAGE_MAX };
            free >= IDS_PER_MESSAGE_MAX && outlet.queue.len() >= wanted
        };
        while let Some((peer, outlet)) = self.peers.iter_mut().find(|(_, outlet)| ready(outlet)) {
            if outlet.open_count() == 0 {
                outlet.heard = now;
            }
            let lot = outlet.queue.len().min(IDS_PER_MESSAGE_MAX);
            self.queued_count -= lot;
            let mut chunks: Vec<Offered> = outlet.queue.drain(..lot).collect();
            // What is under way already is not offered a second time.
            chunks.retain(|chunk| {
                !outlet.wanted.contains_key(&chunk.id)
                    && outlet.offered.insert(chunk.id, chunk.bytes).is_none()
            });
            if !chunks.is_empty() {
                return Some((*peer, chunks));
            }
        }
        None
    }

    /// What came of it all.
    #[must_use]
    pub const fn counts(&self) -> PushCounts {
        self.counts
    }

    /// Chunks that are queued or under way.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.peers.values().map(Outlet::open_count).sum::<usize>() + self.queued_count
    }
}

/// A number of chunks as it is counted.
fn count(chunks: usize) -> u64 {
    u64::try_from(chunks).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 32])
    }

    fn chunk(number: u16) -> Offered {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&number.to_be_bytes());
        Offered { id: ChunkId::from_bytes(id), bytes: 1_000 }
    }

    fn ids(chunks: &[Offered]) -> Vec<ChunkId> {
        chunks.iter().map(|chunk| chunk.id).collect()
    }

    fn drain(push: &mut Push, now: Time) -> Vec<Offered> {
        std::iter::from_fn(|| push.poll(now)).flat_map(|(_, chunks)| chunks).collect()
    }

    #[test]
    fn the_first_chunk_goes_at_once_and_those_that_follow_go_together() {
        let mut push = Push::default();
        push.peer_up(node(1));
        push.enqueue(&node(1), chunk(0));
        let first = drain(&mut push, Time::ZERO);
        assert_eq!(first, [chunk(0)]);
        for number in 1..10 {
            push.enqueue(&node(1), chunk(number));
            assert_eq!(drain(&mut push, Time::ZERO), [], "they wait for the answer, or for a full message");
        }
        assert_eq!(push.wanted(Time::ZERO, &node(1), &ids(&first)), Ok(ids(&first)));
        assert_eq!(push.stored(Time::ZERO, &node(1), &ids(&first)), Ok(()));
        assert_eq!(drain(&mut push, Time::ZERO).len(), 9);
        assert_eq!((push.counts().stored, push.counts().stored_bytes), (1, 1_000));
    }

    #[test]
    fn what_is_under_way_and_what_waits_is_bounded() {
        let mut push = Push::default();
        push.peer_up(node(1));
        let taken = (0..u16::MAX).filter(|number| push.enqueue(&node(1), chunk(*number))).count();
        assert_eq!(taken, PUSH_QUEUE_MAX);
        let offered = drain(&mut push, Time::ZERO);
        assert_eq!(offered.len(), PUSH_OFFERED_MAX);
        assert_eq!(push.declined(Time::ZERO, &node(1), &ids(&offered[..63])), Ok(()));
        assert_eq!(drain(&mut push, Time::ZERO), [], "not worth a message yet");
        assert_eq!(push.declined(Time::ZERO, &node(1), &ids(&offered[63..64])), Ok(()));
        assert_eq!(drain(&mut push, Time::ZERO).len(), IDS_PER_MESSAGE_MAX);
        for number in 2..9 {
            push.peer_up(node(number));
            for number_of_chunk in 0..u16::MAX {
                push.enqueue(&node(number), chunk(number_of_chunk));
            }
        }
        assert_eq!(push.queued_count, PUSH_QUEUES_MAX);
        for number in 1..9 {
            push.peer_down(&node(number));
        }
        assert_eq!((push.queued_count, push.open_count()), (0, 0));
    }

    #[test]
    fn a_peer_that_asks_for_what_it_was_not_offered_gets_nothing() {
        let mut push = Push::default();
        push.peer_up(node(1));
        push.enqueue(&node(1), chunk(1));
        drain(&mut push, Time::ZERO);
        let both = [chunk(1).id, chunk(2).id];
        assert_eq!(push.wanted(Time::ZERO, &node(1), &both), Err(Fault::NotOffered));
        assert_eq!(push.wanted(Time::ZERO, &node(1), &[both[0], both[0]]), Ok(vec![both[0]]));
        assert_eq!(push.wanted(Time::ZERO, &node(1), &both[..1]), Err(Fault::NotOffered), "it has it");
        assert_eq!(push.stored(Time::ZERO, &node(1), &both[1..]), Err(Fault::NotOffered));
        assert_eq!(push.declined(Time::ZERO, &node(1), &both[1..]), Err(Fault::NotOffered));
        assert_eq!(push.wanted(Time::ZERO, &node(2), &both), Ok(vec![]), "who is gone may still speak");
    }

    #[test]
    fn a_peer_that_never_takes_what_it_wanted_is_left_alone() {
        let mut push = Push::default();
        push.peer_up(node(1));
        for number in 0..1_000 {
            push.enqueue(&node(1), chunk(number));
        }
        let offered = drain(&mut push, Time::ZERO);
        assert_eq!(push.wanted(Time::ZERO, &node(1), &ids(&offered)).unwrap().len(), PUSH_OFFERED_MAX);
        assert_eq!(drain(&mut push, Time::ZERO), []);
        let due = push.deadline().unwrap();
        push.handle_timeout(due);
        assert_eq!((push.deadline(), push.open_count(), push.counts().left), (None, 0, 1_000));
        assert!(!push.enqueue(&node(1), chunk(7)));
        push.peer_up(node(1));
        assert!(push.enqueue(&node(1), chunk(7)), "a new session is a new chance");
    }
}
