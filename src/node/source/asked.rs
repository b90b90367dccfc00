//! What peers ask for: by name, or of what they were offered; and what they no longer want.
//!
//! What somebody waits for at a peer and what it only keeps for others stand in lines of their own, are read side by side and go on
//! lanes of their own, so that a repair neither holds up a restore of the same peer nor waits for its end. Bounds:
//! [`SERVE_QUEUE_PER_PEER_MAX`] ids a line, and [`SERVE_CHUNKS_PER_PEER_MAX`] chunks of it in memory.

use super::{Line, Read, Serving, Source, SourceOutput};
use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits::{PUSH_OFFERED_MAX, SERVE_CHUNKS_PER_PEER_MAX, SERVE_QUEUE_PER_PEER_MAX};
use crate::peer::table::MessageId;
use crate::store::service::Request;

impl Serving {
    /// One of the lines.
    fn line(&mut self, urgent: bool) -> &mut Line {
        &mut self.lines[usize::from(urgent)]
    }

    /// The chunk to be read next, if one may be: beside what somebody waits for there is room for one that nobody does.
    fn next(&mut self) -> Option<(ChunkId, bool)> {
        let [slow, urgent] = &mut self.lines;
        if urgent.busy() < SERVE_CHUNKS_PER_PEER_MAX {
            if let Some(id) = urgent.queue.pop_front().or_else(|| self.pushed.pop_front()) {
                urgent.reading += 1;
                return Some((id, true));
            }
        }
        let room = if urgent.busy() == 0 { SERVE_CHUNKS_PER_PEER_MAX } else { 1 };
        let id = if slow.busy() < room { slow.queue.pop_front() } else { None };
        slow.reading += usize::from(id.is_some());
        Some((id?, false))
    }
}

impl Line {
    /// Chunks in memory, or on their way there.
    fn busy(&self) -> usize {
        self.reading + self.held.len()
    }
}

impl Source {
    /// A peer asks for chunks, for which somebody waits there or not. What goes beyond its queue is not served; a peer of ours never
    /// asks for so many.
    pub fn asked(&mut self, peer: &NodeId, ids: Vec<ChunkId>, urgent: bool) {
        let Some(serving) = self.serving.get_mut(peer) else { return };
        for id in ids {
            if serving.line(urgent).queue.len() < SERVE_QUEUE_PER_PEER_MAX {
                serving.pushed.retain(|pushed| *pushed != id);
                serving.line(urgent).queue.push_back(id);
            }
        }
        self.serve(peer);
    }

    /// A peer wants chunks that it was offered. It was offered no more at once than may be, which it may have asked for again meanwhile;
    /// what goes beyond that it has said of to have it already, and is not sent.
    pub fn wanted(&mut self, peer: &NodeId, ids: Vec<ChunkId>) {
        let Some(serving) = self.serving.get_mut(peer) else { return };
        let room = (2 * PUSH_OFFERED_MAX).saturating_sub(serving.pushed.len());
        serving.pushed.extend(ids.into_iter().take(room));
        self.serve(peer);
    }

    /// A peer no longer wants what it asked for.
    pub fn cancelled(&mut self, peer: &NodeId, ids: &[ChunkId]) {
        let Some(serving) = self.serving.get_mut(peer) else { return };
        serving.pushed.retain(|id| !ids.contains(id));
        for line in &mut serving.lines {
            line.queue.retain(|id| !ids.contains(id));
            line.held.retain(|(id, _)| !ids.contains(id));
        }
        // What is being read counts until it was: the disk cannot be told to stop.
        let reads = self.serve_reads.values_mut().filter(|read| read.peer == *peer && ids.contains(&read.id));
        reads.for_each(|read| read.wanted = false);
        for (_, message) in serving.taken.iter().filter(|(id, _)| ids.contains(id)) {
            self.outputs.push_back(SourceOutput::Withdraw { peer: *peer, message: *message });
        }
        serving.taken.retain(|(id, _)| !ids.contains(id));
        self.serve(peer);
    }

    /// A peer's queue has room again: first for one of those that nobody waits for, which take no more of it while others do.
    pub fn room(&mut self, peer: &NodeId) {
        self.send_held(peer, false);
        self.send_held(peer, true);
        self.serve(peer);
    }

    /// Sends what the session's queue did not take before.
    fn send_held(&mut self, peer: &NodeId, urgent: bool) -> bool {
        let held = self.serving.get_mut(peer).and_then(|serving| serving.line(urgent).held.pop_front());
        let Some((id, bytes)) = held else { return false };
        self.outputs.push_back(SourceOutput::Send { peer: *peer, id, bytes, urgent });
        true
    }

    /// The session's queue did not take a chunk.
    pub fn hold(&mut self, peer: &NodeId, id: ChunkId, bytes: Vec<u8>, urgent: bool) {
        if let Some(serving) = self.serving.get_mut(peer) {
            serving.line(urgent).held.push_front((id, bytes));
        }
    }

    /// The session's queue took a chunk.
    pub fn sent(&mut self, peer: &NodeId, id: ChunkId, message: MessageId, urgent: bool) {
        if let Some(serving) = self.serving.get_mut(peer) {
            serving.served_count += 1;
            if serving.taken.len() >= SERVE_QUEUE_PER_PEER_MAX {
                serving.taken.pop_front();
            }
            serving.taken.push_back((id, message));
        }
        if !self.send_held(peer, urgent) {
            self.serve(peer);
        }
    }

    /// Reads what a peer asked for, a few at a time.
    fn serve(&mut self, peer: &NodeId) {
        let Some(serving) = self.serving.get_mut(peer) else { return };
        while let Some((id, urgent)) = serving.next() {
            let op = self.ops.draw();
            self.serve_reads.insert(op, Read { peer: *peer, id, urgent, wanted: true });
            self.outputs.push_back(SourceOutput::Store(Request::Lend { op, id }));
        }
    }

    /// A chunk for a peer was read, or is not here.
    pub(super) fn read_for(&mut self, read: Read, bytes: Option<Vec<u8>>) {
        let Read { peer, id, urgent, wanted } = read;
        let Some(serving) = self.serving.get_mut(&peer) else { return };
        let line = serving.line(urgent);
        line.reading = line.reading.saturating_sub(1);
        match bytes {
            _ if !wanted => {}
            Some(bytes) if line.held.is_empty() => {
                self.outputs.push_back(SourceOutput::Send { peer, id, bytes, urgent });
            }
            Some(bytes) => line.held.push_back((id, bytes)),
            None => self.outputs.push_back(SourceOutput::Missing { peer, ids: vec![id] }),
        }
        self.serve(&peer);
    }
}
