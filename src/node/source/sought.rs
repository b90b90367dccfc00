//! Chunks whose holders were looked up (`node/seeking.rs`) before anybody was asked for them.

use super::Source;
use crate::base::ids::{ChunkId, NodeId};
use crate::base::units::Time;

impl Source {
    /// These are connected and may have a chunk that somebody waits for.
    pub fn found(&mut self, now: Time, id: ChunkId, peers: Vec<NodeId>) {
        let Some(waiters) = self.waiting.get(&id) else { return };
        let is_urgent = waiters.iter().any(|waiter| waiter.urgent);
        self.fetch.want_of(id, peers.into_iter().collect(), self.preferred, is_urgent);
        self.pump(now);
    }

    /// Whether somebody waits for a chunk.
    #[must_use]
    pub fn is_waited_for(&self, id: &ChunkId) -> bool {
        self.waiting.contains_key(id)
    }

    /// Whether something is on its way from a peer.
    #[must_use]
    pub fn is_asking(&self, peer: &NodeId) -> bool {
        self.fetch.is_asking(peer)
    }

    /// Who is asked first.
    #[must_use]
    pub const fn preferred(&self) -> Option<NodeId> {
        self.preferred
    }
}
