//! What peers ask for: by name, or of what they were offered; and what they no longer want.

use super::{Source, SourceOutput};
use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits::SERVE_QUEUE_PER_PEER_MAX;

impl Source {
    /// A peer asks for chunks. What goes beyond its queue is not served; a peer of ours never asks for so many.
    pub fn asked(&mut self, peer: &NodeId, ids: Vec<ChunkId>) {
        let Some(serving) = self.serving.get_mut(peer) else { return };
        for id in ids {
            if serving.queue.len() < SERVE_QUEUE_PER_PEER_MAX {
                serving.pushed.retain(|pushed| *pushed != id);
                serving.queue.push_back(id);
            }
        }
        self.serve(peer);
    }

    /// A peer wants chunks that it was offered (no more of them than may be offered at once).
    pub fn wanted(&mut self, peer: &NodeId, ids: Vec<ChunkId>) {
        let Some(serving) = self.serving.get_mut(peer) else { return };
        serving.pushed.extend(ids);
        self.serve(peer);
    }

    /// A peer no longer wants what it asked for.
    pub fn cancelled(&mut self, peer: &NodeId, ids: &[ChunkId]) {
        let Some(serving) = self.serving.get_mut(peer) else { return };
        serving.queue.retain(|id| !ids.contains(id));
        serving.pushed.retain(|id| !ids.contains(id));
        serving.held.retain(|(id, _)| !ids.contains(id));
        let unread = self.serve_reads.len();
        self.serve_reads.retain(|_, (asker, id)| asker != peer || !ids.contains(id));
        serving.reading = serving.reading.saturating_sub(unread - self.serve_reads.len());
        for (_, message) in serving.taken.iter().filter(|(id, _)| ids.contains(id)) {
            self.outputs.push_back(SourceOutput::Withdraw { peer: *peer, message: *message });
        }
        serving.taken.retain(|(id, _)| !ids.contains(id));
        self.serve(peer);
    }
}
