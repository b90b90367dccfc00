//! Where chunks come from and go to: for the node's own duties from the store, else from holders; for peers from the store.
//!
//! Owns the fetch machine, the waiting duties and the peers' requests. Knows nothing of folders or snapshots. Bounds:
//! what waits for the disk is limited by [`UNSYNCED_BYTES_MAX`], what peers ask in `source/asked.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::duty::{ChunkLost, Ops, Told};
use super::pushing::conduct::is_right;
use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits::UNSYNCED_BYTES_MAX;
use crate::base::units::Time;
use crate::peer::table::MessageId;
use crate::replicate::fetch::{Fetch, Order};
use crate::store::service::{Op, Reply, Request};

mod asked;
mod sought;

/// The duty number of the source's own operations.
pub const SOURCE_DUTY: u64 = 1;

/// Chunks in both directions.
#[derive(Debug)]
pub struct Source {
    /// Numbers of its own operations.
    ops: Ops,
    /// Store reads for duties: which duty's operation waits for which chunk.
    reading: BTreeMap<Op, Waiter>,
    /// Who waits for a chunk that is being fetched.
    waiting: BTreeMap<ChunkId, Vec<Waiter>>,
    /// The fetch machine.
    fetch: Fetch,
    /// Bytes handed to the store and not yet synced, by operation.
    unsynced: BTreeMap<Op, u64>,
    /// Their sum.
    unsynced_bytes: u64,
    /// What peers asked for.
    serving: BTreeMap<NodeId, Serving>,
    /// Store reads for peers.
    serve_reads: BTreeMap<Op, Read>,
    /// What is to be done.
    outputs: VecDeque<SourceOutput>,
    /// Whom to ask first for chunks, if somebody is known to have what is wanted at present.
    preferred: Option<NodeId>,
    /// Not everybody is connected who could be: who has a chunk is looked up before anybody is asked.
    pub(super) looks_up: bool,
}

/// A duty that waits for a chunk.
#[derive(Debug, Clone, Copy)]
struct Waiter {
    /// The duty's operation.
    op: Op,
    /// Which chunk.
    id: ChunkId,
    /// The bytes are wanted, not only their being here.
    bytes: bool,
    /// Somebody waits for it: it goes before what is only to be here some day.
    urgent: bool,
}

/// A chunk that is read for a peer.
#[derive(Debug)]
struct Read {
    /// Whose.
    peer: NodeId,
    /// Which.
    id: ChunkId,
    /// Somebody waits for it there.
    urgent: bool,
    /// It was not cancelled meanwhile.
    wanted: bool,
}

/// What one peer wants from here.
#[derive(Debug, Default)]
struct Serving {
    /// What nobody waits for there, and what somebody does.
    lines: [Line; 2],
    /// Wanted of what was offered, not yet read: after what somebody waits for.
    pushed: VecDeque<ChunkId>,
    /// The newest of those that the session took: they can be withdrawn until they have gone.
    taken: VecDeque<(ChunkId, MessageId)>,
    /// Chunks served since the session began.
    served_count: u64,
}

/// Chunks of one kind for a peer.
#[derive(Debug, Default)]
struct Line {
    /// Asked for, not yet read.
    queue: VecDeque<ChunkId>,
    /// Being read from the disk.
    reading: usize,
    /// Read, but the session's queue was full.
    held: VecDeque<(ChunkId, Vec<u8>)>,
}

/// What the source wants of the core.
#[derive(Debug)]
pub enum SourceOutput {
    /// For the storage thread.
    Store(Request),
    /// For a duty.
    Tell(Told),
    /// Ask a peer.
    Ask {
        /// Whom.
        peer: NodeId,
        /// For what.
        ids: Vec<ChunkId>,
        /// Somebody waits for it.
        urgent: bool,
    },
    /// Tell a peer that these need not come any more.
    Cancel {
        /// Whom.
        peer: NodeId,
        /// Which.
        ids: Vec<ChunkId>,
    },
    /// Find out who may have a chunk; to be answered with [`Source::found`] or [`Source::lost`].
    Seek {
        /// Which.
        id: ChunkId,
        /// Those that were found before lack it.
        again: bool,
    },
    /// Withdraw a chunk from a session's queue, if it has not gone.
    Withdraw {
        /// Whose.
        peer: NodeId,
        /// Which.
        message: MessageId,
    },
    /// Send a peer a chunk; when its queue is full, give it back through [`Source::hold`].
    Send {
        /// Whom.
        peer: NodeId,
        /// Which.
        id: ChunkId,
        /// Its bytes.
        bytes: Vec<u8>,
        /// Somebody waits for it there.
        urgent: bool,
    },
    /// Tell a peer that these are not here.
    Missing {
        /// Whom.
        peer: NodeId,
        /// Which.
        ids: Vec<ChunkId>,
    },
}

impl Default for Source {
    fn default() -> Self {
        Self {
            ops: Ops::new(SOURCE_DUTY),
            reading: BTreeMap::new(),
            waiting: BTreeMap::new(),
            fetch: Fetch::default(),
            unsynced: BTreeMap::new(),
            unsynced_bytes: 0,
            serving: BTreeMap::new(),
            serve_reads: BTreeMap::new(),
            outputs: VecDeque::new(),
            preferred: None,
            looks_up: false,
        }
    }
}

impl Source {
    /// A duty wants a chunk's bytes, from here or from anywhere.
    pub fn chunk(&mut self, op: Op, id: ChunkId) {
        let read = self.ops.draw();
        self.reading.insert(read, Waiter { op, id, bytes: true, urgent: true });
        self.outputs.push_back(SourceOutput::Store(Request::Get { op: read, id }));
    }

    /// A duty wants a chunk of a holder to be here; `urgent`: somebody waits for that; `on_way`: it comes from this peer already.
    pub fn keep(&mut self, now: Time, op: Op, id: ChunkId, urgent: bool, on_way: Option<NodeId>) {
        let waiter = Waiter { op, id, bytes: false, urgent };
        let Some(peer) = on_way else { return self.fetch_for(waiter) };
        if self.looks_up && !self.fetch.is_wanted(&id) {
            // Who has it need not be looked up.
            self.waiting.entry(id).or_default().push(waiter);
            self.fetch.want_of(id, BTreeSet::from([peer]), None, urgent);
        } else {
            self.fetch_for(waiter);
        }
        self.fetch.is_asked_of(now, &id, peer);
    }

    /// Whether a chunk is being fetched for a duty.
    #[must_use]
    pub fn is_wanted(&self, id: &ChunkId) -> bool {
        self.fetch.is_wanted(id)
    }

    /// Who should be asked first from now on.
    pub fn prefer(&mut self, peer: Option<NodeId>) {
        self.preferred = peer;
    }

    /// Whether something is on its way from peers.
    #[must_use]
    pub fn is_fetching(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Chunks served to a peer in its present session.
    #[must_use]
    pub fn served(&self, peer: &NodeId) -> u64 {
        self.serving.get(peer).map_or(0, |serving| serving.served_count)
    }

    /// Who asks others.
    pub fn asks_for(&mut self, own: &NodeId) {
        self.fetch.asks_for(own);
    }

    /// A session stands.
    pub fn peer_up(&mut self, now: Time, peer: NodeId) {
        self.serving.insert(peer, Serving::default());
        self.fetch.peer_up(now, peer);
        self.pump(now);
    }

    /// A member of which nothing is known yet in this run: what only it has is waited for a while.
    pub fn expect(&mut self, now: Time, node: NodeId) {
        self.fetch.expect(now, node);
    }

    /// A session has ended.
    pub fn peer_down(&mut self, now: Time, peer: &NodeId) {
        self.serving.remove(peer);
        // What is being read for it is no part of its next session.
        self.serve_reads.retain(|_, read| read.peer != *peer);
        self.fetch.peer_down(now, peer);
        self.pump(now);
    }

    /// A peer sent a chunk that is wanted. False: its bytes are wrong, which is as good as none.
    pub fn arrived(&mut self, now: Time, peer: &NodeId, id: ChunkId, bytes: Vec<u8>) -> bool {
        if !is_right(&id, &bytes) {
            self.fetch.missing(peer, &[id]);
            self.pump(now);
            return false;
        }
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.fetch.arrived(now, peer, &id, length);
        for waiter in self.waiting.remove(&id).unwrap_or_default() {
            let told = if waiter.bytes {
                Told::Chunk { op: waiter.op, id, result: Ok(bytes.clone()) }
            } else {
                Told::Kept { op: waiter.op, id, result: Ok(length) }
            };
            self.outputs.push_back(SourceOutput::Tell(told));
        }
        let op = self.ops.draw();
        self.unsynced.insert(op, length);
        self.unsynced_bytes += length;
        self.outputs.push_back(SourceOutput::Store(Request::Put { op, id, bytes }));
        self.pump(now);
        true
    }

    /// A peer says that it lacks chunks.
    pub fn missing(&mut self, now: Time, peer: &NodeId, ids: &[ChunkId]) {
        self.fetch.missing(peer, ids);
        self.pump(now);
    }

    /// The store answered one of the source's operations.
    pub fn stored(&mut self, now: Time, reply: Reply) {
        match reply {
            Reply::Get { op, id, result } => {
                if let Some(waiter) = self.reading.remove(&op) {
                    match result {
                        Ok(Some(bytes)) => {
                            let told = Told::Chunk { op: waiter.op, id, result: Ok(bytes) };
                            self.outputs.push_back(SourceOutput::Tell(told));
                        }
                        Ok(None) | Err(_) => self.fetch_for(waiter),
                    }
                } else if let Some(read) = self.serve_reads.remove(&op) {
                    self.read_for(read, result.ok().flatten());
                }
            }
            Reply::Put { op, .. } => {
                if let Some(length) = self.unsynced.remove(&op) {
                    self.unsynced_bytes -= length;
                }
            }
            _ => {}
        }
        self.pump(now);
    }

    /// So many bytes have come from a peer in all.
    pub fn heard(&mut self, now: Time, peer: &NodeId, received_bytes: u64) {
        self.fetch.heard(now, peer, received_bytes);
    }

    /// Something may be due. Tell [`Source::heard`] of every peer first.
    pub fn handle_timeout(&mut self, now: Time) {
        self.fetch.handle_timeout(now);
        self.pump(now);
    }

    /// When.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.fetch.deadline()
    }

    /// The next thing to do; drained to None.
    pub fn poll(&mut self) -> Option<SourceOutput> {
        self.outputs.pop_front()
    }

    /// Lets a duty wait for a chunk that is not here.
    fn fetch_for(&mut self, waiter: Waiter) {
        let waiters = self.waiting.entry(waiter.id).or_default();
        waiters.push(waiter);
        if !self.looks_up || self.fetch.is_wanted(&waiter.id) {
            self.fetch.want(waiter.id, self.preferred, waiter.urgent);
        } else if waiters.len() == 1 {
            self.outputs.push_back(SourceOutput::Seek { id: waiter.id, again: false });
        }
    }

    /// Turns the fetch machine's orders into outputs, as far as the disk keeps up.
    pub fn pump(&mut self, now: Time) {
        while self.unsynced_bytes < UNSYNCED_BYTES_MAX {
            match self.fetch.poll(now) {
                Some(Order::Ask { peer, ids, urgent }) => {
                    self.outputs.push_back(SourceOutput::Ask { peer, ids, urgent });
                }
                Some(Order::Cancel { peer, ids }) => {
                    self.outputs.push_back(SourceOutput::Cancel { peer, ids });
                }
                Some(Order::Failed { id }) if self.looks_up => {
                    self.outputs.push_back(SourceOutput::Seek { id, again: true });
                }
                Some(Order::Failed { id }) => self.lost(id),
                None => break,
            }
        }
    }

    /// Nobody who can be reached has it.
    pub fn lost(&mut self, id: ChunkId) {
        // It may come from somebody who was not looked for.
        if self.fetch.is_wanted(&id) {
            return;
        }
        for waiter in self.waiting.remove(&id).unwrap_or_default() {
            let lost = ChunkLost { reason: "no connected device holds it".into() };
            let told = if waiter.bytes {
                Told::Chunk { op: waiter.op, id, result: Err(lost) }
            } else {
                Told::Kept { op: waiter.op, id, result: Err(lost) }
            };
            self.outputs.push_back(SourceOutput::Tell(told));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::{PUSH_OFFERED_MAX, SERVE_CHUNKS_PER_PEER_MAX};
    use crate::peer::send::SendLanes;
    use crate::wire::frame::Lane;

    #[test]
    fn what_comes_from_a_peer_already_is_neither_looked_up_nor_asked_for_and_is_taken() {
        let peer = NodeId::from_bytes([1; 32]);
        for looks_up in [false, true] {
            let bytes = b"a chunk".to_vec();
            let id = crate::seal::sealed::chunk_id(&bytes);
            let mut source = Source { looks_up, ..Source::default() };
            source.peer_up(Time::ZERO, peer);
            source.keep(Time::ZERO, 7, id, true, Some(peer));
            source.pump(Time::ZERO);
            assert!(source.is_wanted(&id) && source.poll().is_none(), "looks_up: {looks_up}");
            assert!(source.arrived(Time::ZERO, &peer, id, bytes));
            let told = std::iter::from_fn(|| source.poll())
                .any(|output| matches!(output, SourceOutput::Tell(Told::Kept { op: 7, result: Ok(7), .. })));
            assert!(told, "looks_up: {looks_up}");
        }
    }

    #[test]
    fn what_a_peer_no_longer_wants_is_neither_read_nor_sent() {
        let (peer, other) = (NodeId::from_bytes([1; 32]), NodeId::from_bytes([2; 32]));
        let ids: Vec<ChunkId> = (0..8).map(|number| ChunkId::from_bytes([number; 32])).collect();
        let mut source = Source::default();
        source.peer_up(Time::ZERO, peer);
        source.peer_up(Time::ZERO, other);
        source.asked(&peer, ids.clone(), true);
        source.asked(&other, vec![ids[0]], true);
        let mut reads = VecDeque::new();
        let mut sends = Vec::new();
        let mut lanes = SendLanes::new();
        let mut withdrawn = Vec::new();
        let mut turn = |source: &mut Source, reads: &mut VecDeque<(Op, ChunkId)>| {
            while let Some(output) = source.poll() {
                match output {
                    SourceOutput::Store(Request::Lend { op, id }) => reads.push_back((op, id)),
                    SourceOutput::Send { peer, id, bytes, urgent } => {
                        let message = lanes.push(Lane::Bulk, &[], bytes);
                        sends.push((peer, id, message));
                        source.sent(&peer, id, message, urgent);
                    }
                    SourceOutput::Withdraw { peer, message } => withdrawn.push((peer, message)),
                    other => panic!("{other:?}"),
                }
            }
        };
        turn(&mut source, &mut reads);
        // The first is sent, the next three are being read, the others wait.
        let (op, id) = reads.pop_front().unwrap();
        source.stored(Time::ZERO, Reply::Get { op, id, result: Ok(Some(vec![7; 9])) });
        turn(&mut source, &mut reads);
        source.cancelled(&peer, &ids[..7]);
        turn(&mut source, &mut reads);
        while let Some((op, id)) = reads.pop_front() {
            source.stored(Time::ZERO, Reply::Get { op, id, result: Ok(Some(vec![7; 9])) });
            turn(&mut source, &mut reads);
        }
        let sent: Vec<_> = sends.iter().map(|(peer, id, _)| (*peer, *id)).collect();
        assert_eq!(sent, [(peer, ids[0]), (other, ids[0]), (peer, ids[7])]);
        assert_eq!(withdrawn, [(peer, sends[0].2)]);
    }

    /// Without that a few kB let a disk read, and a memory hold, what a peer never takes.
    #[test]
    fn whoever_asks_and_cancels_without_end_has_no_more_read_for_it_than_others() {
        let peer = NodeId::from_bytes([1; 32]);
        let ids: Vec<ChunkId> = (0..64).map(|number| ChunkId::from_bytes([number; 32])).collect();
        let mut source = Source::default();
        source.peer_up(Time::ZERO, peer);
        let mut reads = Vec::new();
        let mut turn = |source: &mut Source| {
            while let Some(output) = source.poll() {
                match output {
                    SourceOutput::Store(Request::Lend { op, id }) => reads.push((op, id)),
                    other => panic!("{other:?}"),
                }
            }
            reads.len()
        };
        for _ in 0..100 {
            source.asked(&peer, ids.clone(), true);
            source.cancelled(&peer, &ids);
            assert!(turn(&mut source) <= SERVE_CHUNKS_PER_PEER_MAX);
        }
        // What was read is nothing that it wants; then there is room for others.
        for (op, id) in reads {
            source.stored(Time::ZERO, Reply::Get { op, id, result: Ok(Some(vec![7; 9])) });
        }
        assert!(source.poll().is_none());
        source.asked(&peer, ids, true);
        assert_eq!(std::iter::from_fn(|| source.poll()).count(), SERVE_CHUNKS_PER_PEER_MAX);
    }

    #[test]
    fn whoever_wants_without_end_what_it_was_offered_fills_no_memory() {
        let peer = NodeId::from_bytes([1; 32]);
        let mut source = Source::default();
        source.peer_up(Time::ZERO, peer);
        for number in 0..10_000_u32 {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            source.wanted(&peer, vec![ChunkId::from_bytes(bytes)]);
        }
        assert_eq!(source.serving[&peer].pushed.len(), 2 * PUSH_OFFERED_MAX);
    }

    #[test]
    fn after_wrong_bytes_the_next_peer_is_asked_at_once() {
        let peers = [NodeId::from_bytes([1; 32]), NodeId::from_bytes([2; 32])];
        let id = crate::seal::sealed::chunk_id(b"right");
        let mut source = Source::default();
        peers.iter().for_each(|peer| source.peer_up(Time::ZERO, *peer));
        source.chunk(9, id);
        let Some(SourceOutput::Store(Request::Get { op, .. })) = source.poll() else { panic!("it is read") };
        source.stored(Time::ZERO, Reply::Get { op, id, result: Ok(None) });
        let Some(SourceOutput::Ask { peer, .. }) = source.poll() else { panic!("one is asked") };
        assert!(!source.arrived(Time::ZERO, &peer, id, b"wrong".to_vec()));
        let Some(SourceOutput::Ask { peer: next, ids, .. }) = source.poll() else {
            panic!("the next is asked")
        };
        assert_eq!((next != peer, ids), (true, vec![id]));
        assert!(source.poll().is_none(), "nothing was told or put");
        assert!(source.arrived(Time::ZERO, &next, id, b"right".to_vec()));
        let told = source.poll();
        assert!(matches!(told, Some(SourceOutput::Tell(Told::Chunk { result: Ok(_), .. }))), "{told:?}");
    }

    #[test]
    fn a_session_that_is_replaced_leaves_no_reads_behind() {
        let peer = NodeId::from_bytes([1; 32]);
        let ids: Vec<ChunkId> = (0..4).map(|number| ChunkId::from_bytes([number; 32])).collect();
        let mut source = Source::default();
        source.peer_up(Time::ZERO, peer);
        source.asked(&peer, ids.clone(), true);
        source.peer_down(Time::ZERO, &peer);
        source.peer_up(Time::ZERO, peer);
        while source.poll().is_some() {}
        source.cancelled(&peer, &ids);
        source.asked(&peer, ids.clone(), true);
        let read = std::iter::from_fn(|| source.poll());
        assert_eq!(read.filter(|output| matches!(output, SourceOutput::Store(_))).count(), ids.len());
    }
}
