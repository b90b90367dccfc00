//! Conduct: what peers do that a node of this program never does, and what follows.
//!
//! A member may have gone bad, or run a program with a mistake. Chunks with wrong bytes, chunks that nobody asked for and broken rules
//! of pushing are counted for each session; beyond a bound the session is cut and the owner is told. Nothing that such a peer
//! sends is kept, so the bounds are about work and traffic, not about safety.

use std::collections::BTreeMap;
use std::fmt;

use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits::{FAULTS_MAX, UNASKED_CHUNKS_MAX};
use crate::node::activity::Level;
use crate::node::core::Core;
use crate::seal::sealed::chunk_id;

/// How peers behave.
#[derive(Debug, Default)]
pub struct Conduct {
    /// In their present sessions.
    peers: BTreeMap<NodeId, Record>,
    /// Faults since the start, of all peers.
    faults: u64,
    /// Chunks that nobody had asked for since the start.
    unasked: u64,
    /// Sessions that were cut since the start.
    cuts: u64,
}

/// What one peer did in its present session.
#[derive(Debug, Default)]
struct Record {
    /// Rules broken.
    faults: u64,
    /// Chunks that came unasked.
    unasked: u64,
    /// Chunks that may still come though they are not wanted any more: they were cancelled, or asked for twice.
    excused: u64,
    /// Chunks that came as they should.
    right: u64,
}

impl Conduct {
    /// A session begins.
    pub fn peer_up(&mut self, peer: NodeId) {
        self.peers.insert(peer, Record::default());
    }

    /// A session has ended.
    pub fn peer_down(&mut self, peer: &NodeId) {
        self.peers.remove(peer);
    }

    /// A peer was told that these need not come; they may all the same.
    pub fn cancelled(&mut self, peer: &NodeId, chunks: usize) {
        if let Some(record) = self.peers.get_mut(peer) {
            record.excused = record.excused.saturating_add(u64::try_from(chunks).unwrap_or(0));
        }
    }

    /// A chunk came that was wanted.
    pub fn right(&mut self, peer: &NodeId) {
        if let Some(record) = self.peers.get_mut(peer) {
            record.right += 1;
        }
    }

    /// A chunk came that nobody asked for. True: it was one too many. An eighth of what comes may come twice.
    pub fn unasked(&mut self, peer: &NodeId) -> bool {
        let Some(record) = self.peers.get_mut(peer) else { return false };
        record.unasked += 1;
        self.unasked += 1;
        record.unasked > UNASKED_CHUNKS_MAX + record.excused + record.right / 8
    }

    /// A peer broke a rule. True: it was one too many.
    pub fn fault(&mut self, peer: &NodeId) -> bool {
        let Some(record) = self.peers.get_mut(peer) else { return false };
        record.faults += 1;
        self.faults += 1;
        record.faults >= FAULTS_MAX
    }

    /// Faults, unasked chunks and cut sessions since the start.
    #[must_use]
    pub const fn counts(&self) -> (u64, u64, u64) {
        (self.faults, self.unasked, self.cuts)
    }
}

impl Core {
    /// A peer broke a rule; `what` says which, for a person.
    pub(in crate::node) fn blame(&mut self, node: &NodeId, what: impl fmt::Display) {
        log::info!("{}: {what}", node.short());
        if self.conduct.fault(node) {
            self.cut(node, what);
        }
    }

    /// A peer sent a chunk that nobody asked for.
    pub(in crate::node) fn unasked(&mut self, node: &NodeId) {
        if self.conduct.unasked(node) {
            self.cut(node, "it sends chunks that nobody asked for");
        }
    }

    /// Ends the session with a peer, and says why.
    fn cut(&mut self, node: &NodeId, what: impl fmt::Display) {
        self.conduct.cuts += 1;
        self.conduct.peer_down(node);
        let name = self.member.as_ref().map_or_else(|| node.short(), |member| member.name_of(node));
        let message = format!("the connection with {name} was closed: {what}; update nuthatch there, or remove it if it is not yours any more");
        self.note(Level::Warn, "peers", message);
        self.endpoint.disconnect(self.now.time, *node);
    }
}

/// Whether these are the bytes that the id stands for.
pub fn is_right(id: &ChunkId, bytes: &[u8]) -> bool {
    chunk_id(bytes) == *id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_mistakes_are_forgiven_and_many_are_not() {
        let peer = NodeId::from_bytes([1; 32]);
        let mut conduct = Conduct::default();
        conduct.peer_up(peer);
        assert!((1..FAULTS_MAX).all(|_| !conduct.fault(&peer)));
        assert!(conduct.fault(&peer));
        conduct.cancelled(&peer, 10);
        for _ in 0..80 {
            conduct.right(&peer);
        }
        assert!((0..UNASKED_CHUNKS_MAX + 20).all(|_| !conduct.unasked(&peer)));
        assert!(conduct.unasked(&peer));
        conduct.peer_up(peer);
        assert!(!conduct.fault(&peer) && !conduct.unasked(&peer), "a new session is a new chance");
        assert_eq!(conduct.counts(), (FAULTS_MAX + 1, UNASKED_CHUNKS_MAX + 22, 0));
    }
}
