//! Whom a chunk is asked of: who will have sent it first; and who else, when it is late or passed over.

use super::{Asked, Fetch, Load, Order, Want};
use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits::{
    FETCH_CHUNKS_MAX, FETCH_CHUNKS_PER_PEER_MAX, FETCH_LATE_MIN, FETCH_LATE_TIMES, FETCH_LATE_UNKNOWN,
    FETCH_TRIAL_CHUNKS, HOLDER_PATIENCE,
};
use crate::base::units::{Span, Time};

/// What [`Fetch::choose`] found.
pub(super) enum Choice {
    /// This one.
    Peer(NodeId),
    /// Somebody, but not now.
    Later,
    /// All have been tried, or nobody is there.
    Nobody,
}

impl Want {
    /// Whether a peer may be asked for it (still).
    pub(super) fn may(&self, peer: &NodeId) -> bool {
        !self.tried.contains(peer) && self.only.as_ref().is_none_or(|only| only.contains(peer))
    }

    /// How it was asked of this peer.
    pub(super) fn asked_of(&self, peer: &NodeId) -> Option<Asked> {
        self.asked.iter().find(|asked| asked.peer == *peer).copied()
    }
}

impl Fetch {
    /// When [`Fetch::handle_timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let silent = self.peers.follows(|peers| {
            let busy = peers.values().filter(|load| load.asked.ahead(false) > 0);
            busy.map(Load::silent_from).min()
        });
        let waits = !(self.urgent.is_empty() && self.queue.is_empty());
        let away = self.away.values().copied().filter(|_| waits);
        silent.into_iter().chain(self.late_at).chain(away).min()
    }

    /// A chunk that was wanted just now comes from this peer already, unasked: it need not be asked for.
    pub fn is_asked_of(&mut self, now: Time, id: &ChunkId, peer: NodeId) {
        let Some(want) = self.wants.get(id).filter(|want| want.asked.is_empty()) else { return };
        if self.peers.contains_key(&peer) {
            let urgent = want.urgent;
            self.line(urgent).retain(|queued| queued != id);
            self.mark(id, peer, now, true);
        }
    }

    /// A node that has not been met yet in this run may come within [`HOLDER_PATIENCE`]: what nobody else has waits for it so long.
    pub fn expect(&mut self, now: Time, node: NodeId) {
        if !self.peers.contains_key(&node) && self.expected.insert(node) {
            self.away.entry(node).or_insert(now + HOLDER_PATIENCE);
        }
    }

    /// Whom to ask: the preferred peer if it has room, else the one that will have sent it soonest. While an order is being
    /// filled (`only`), other peers wait for the next one.
    pub(super) fn choose(&self, id: &ChunkId, only: Option<NodeId>, now: Time) -> Choice {
        let Some(want) = self.wants.get(id) else { return Choice::Nobody };
        let candidates: Vec<(&NodeId, &Load)> =
            self.peers.iter().filter(|(node, _)| want.may(node)).collect();
        if candidates.is_empty() {
            let away = self.away.iter().any(|(node, until)| *until > now && want.may(node));
            return if away { Choice::Later } else { Choice::Nobody };
        }
        let is_alone = candidates.len() == 1;
        let ahead = |load: &Load| load.asked.ahead(want.urgent);
        let time = |load: &Load| load.pace.time_for(now, self.bytes_for(ahead(load) + 1));
        let has_room = |load: &Load| {
            let tried = is_alone || load.pace.is_known(now) || ahead(load) < FETCH_TRIAL_CHUNKS;
            tried && ahead(load) < FETCH_CHUNKS_PER_PEER_MAX
        };
        let best = candidates.iter().filter(|(_, load)| has_room(load)).min_by_key(|(node, load)| {
            (want.preferred != Some(**node), time(load).unwrap_or_default(), ahead(load), self.order_of(node))
        });
        let Some((node, load)) = best else { return Choice::Later };
        // The fastest of all has no room now, or it would be the best: it will have.
        let is_too_slow = want.preferred != Some(**node)
            && time(load).is_some_and(|needed| {
                let faster =
                    candidates.iter().any(|(_, other)| time(other).is_some_and(|time| time < needed));
                faster && needed > self.horizon(now, want.urgent)
            });
        if is_too_slow || only.is_some_and(|only| only != **node) {
            Choice::Later
        } else {
            Choice::Peer(**node)
        }
    }

    /// How long all that is wanted, or all of it that somebody waits for, would take if everybody sends.
    fn horizon(&self, now: Time, urgent: bool) -> Span {
        let queued = self.urgent.len() + if urgent { 0 } else { self.queue.len() };
        let chunks = self.asked.ahead(urgent) + queued + 1;
        let per_second: u64 = self.peers.values().filter_map(|load| load.pace.per_second(now)).sum();
        let micros = u128::from(self.bytes_for(chunks)) * 1_000_000 / u128::from(per_second.max(1));
        Span::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Asks a second peer for a chunk that is late.
    pub(super) fn rescue(&mut self, now: Time) -> Option<Order> {
        self.late_at = None;
        let mut next: Option<(Time, ChunkId, NodeId)> = None;
        for id in &self.on_way {
            let Some((peer, late)) = self.rescuer(id, now) else { continue };
            if next.is_none_or(|(first, ..)| late < first) {
                next = Some((late, *id, peer));
            }
        }
        let (late, id, peer) = next?;
        if late > now {
            self.late_at = Some(late);
            return None;
        }
        let urgent = self.wants.get(&id).is_some_and(|want| want.urgent);
        self.mark(&id, peer, now, urgent);
        Some(Order::Ask { peer, ids: vec![id], urgent })
    }

    /// Whom a chunk may be asked of beside the one that it was asked of, and when it counts as late: a few times what that one
    /// would need, or is thought to need where its pace is not known. None: nobody waits for it while others are queued, or there is
    /// nobody else.
    fn rescuer(&self, id: &ChunkId, now: Time) -> Option<(NodeId, Time)> {
        let want = self.wants.get(id)?;
        let [asked] = want.asked.as_slice() else { return None };
        let is_over = self.urgent.is_empty() && self.queue.is_empty();
        if !(want.urgent || is_over) || self.asked.ahead(want.urgent) >= FETCH_CHUNKS_MAX {
            return None;
        }
        let ahead = |load: &Load| load.asked.ahead(want.urgent);
        let others = self.peers.iter().filter(|(node, load)| {
            **node != asked.peer && want.may(node) && ahead(load) < FETCH_CHUNKS_PER_PEER_MAX
        });
        let time = |load: &Load| load.pace.time_for(now, self.bytes_for(ahead(load) + 1));
        let (node, needed) = others
            .map(|(node, load)| (*node, time(load).unwrap_or(FETCH_LATE_UNKNOWN)))
            .min_by_key(|(node, needed)| (*needed, self.order_of(node)))?;
        Some((node, asked.at + FETCH_LATE_MIN + needed.times(FETCH_LATE_TIMES)))
    }

    /// About how long so many chunks are, in bytes.
    fn bytes_for(&self, chunks: usize) -> u64 {
        self.mean_bytes.saturating_mul(u64::try_from(chunks).unwrap_or(u64::MAX))
    }
}
