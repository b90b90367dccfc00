//! What becomes of a request that is over: it came, it does not come, it need not come, or it shall come sooner.

use super::{Asked, Counts, Fetch, Load};
use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits::{FETCH_BARREN_MAX, FETCH_PASSED_CHUNKS_MAX, IDS_PER_MESSAGE_MAX};

impl Fetch {
    /// A peer said that it has none of these.
    pub fn missing(&mut self, peer: &NodeId, ids: &[ChunkId]) {
        for id in ids {
            if self.wants.get(id).is_some_and(|want| want.asked_of(peer).is_some()) {
                self.requeue(id, peer, true);
            }
        }
    }

    /// A chunk does not come from a peer that it was asked of; with `tried` it is not asked of it again. If it comes from nobody
    /// else, it is queued again, in front.
    pub(super) fn requeue(&mut self, id: &ChunkId, peer: &NodeId, tried: bool) {
        let Some(want) = self.wants.get_mut(id) else { return };
        let Some(place) = want.asked.iter().position(|asked| asked.peer == *peer) else { return };
        let asked = want.asked.remove(place);
        if tried {
            want.tried.insert(*peer);
        }
        let (urgent, is_queued) = (want.urgent, want.asked.is_empty());
        self.release(&asked);
        if is_queued {
            self.on_way.remove(id);
            self.line(urgent).push_front(*id);
        }
    }

    /// A session ended with this while something was on its way. True if that was the last of several that brought nothing at all: it may
    /// be what it is asked for that ends them (a disk that fails when it reads that), and others, or the caller, are to hear of it.
    pub(super) fn is_barren(&mut self, peer: &NodeId, load: &Load) -> bool {
        let is_barren = load.arrived == Counts::default();
        if is_barren {
            self.barren.push(*peer);
        }
        let is_last = self.barren.iter().filter(|barren| *barren == peer).count() >= FETCH_BARREN_MAX;
        if is_last || !is_barren {
            self.barren.retain(|barren| barren != peer);
        }
        is_last
    }

    /// A chunk need not come from `peer` any more.
    pub(super) fn cancel(&mut self, peer: &NodeId, id: ChunkId) {
        if !self.peers.contains_key(peer) {
            return;
        }
        let ids = self.cancelled.entry(*peer).or_default();
        if ids.len() < IDS_PER_MESSAGE_MAX {
            ids.push(id);
        }
    }

    /// One chunk less on its way.
    pub(super) fn release(&mut self, asked: &Asked) {
        let less = |counts: &mut Counts| {
            let count = counts.of(asked.urgent);
            *count = count.saturating_sub(1);
        };
        less(&mut self.asked);
        if let Some(load) = self.peers.get_mut(&asked.peer) {
            less(&mut load.asked);
        }
    }

    /// Somebody waits for a chunk now that was wanted before: it is asked for anew if it comes with what nobody waits for.
    pub(super) fn raise(&mut self, id: ChunkId) {
        let Some(want) = self.wants.get_mut(&id) else { return };
        let slow: Vec<Asked> = want.asked.iter().filter(|asked| !asked.urgent).copied().collect();
        if slow.len() < want.asked.len() {
            return;
        }
        want.asked.clear();
        for asked in &slow {
            self.cancel(&asked.peer, id);
            self.release(asked);
        }
        self.on_way.remove(&id);
        self.queue.retain(|queued| *queued != id);
        self.urgent.push_back(id);
    }

    /// What a peer has left out, while it sent much that was asked of it later, is asked of others.
    pub(super) fn pass_over(&mut self, peer: &NodeId) {
        let Some(arrived) = self.peers.get(peer).map(|load| load.arrived) else { return };
        let is_left_out = |asked: &Asked| {
            let since = arrived.0[usize::from(asked.urgent)].saturating_sub(asked.after);
            asked.peer == *peer && since > FETCH_PASSED_CHUNKS_MAX
        };
        for id in self.asked_of(is_left_out) {
            self.cancel(peer, id);
            self.requeue(&id, peer, true);
        }
    }
}
