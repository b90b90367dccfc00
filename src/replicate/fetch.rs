//! Fetching: which wanted chunk is asked of which peer, and what happens when it does not come.
//!
//! ```text
//!   want ---> Queued ---ask---> Asked(peer) ---chunk---> gone (the caller has it)
//!                ^                  |
//!                |   missing, peer silent or down, passed over
//!                +--- another peer -+--- no peer left ---> Failed (told once, gone)
//!                +--- one that went down lately may come back: wait for it
//! ```
//!
//! What somebody waits for goes before what is only to be here some day.
//!
//! How long a chunk may take depends on the line, so no chunk has a time of its own: a peer may take as long as it needs while
//! bytes of it go on arriving, and is given up when it has been silent for [`FETCH_TIMEOUT`].
//!
//! Knows no peer's address and no disk: it emits [`Order`]s. A slow peer has its window full and gets less; a peer
//! that lacks a chunk costs one round trip. Bounded by [`FETCH_CHUNKS_MAX`] and [`FETCH_CHUNKS_PER_PEER_MAX`];
//! the queue of wants is bounded by who calls [`Fetch::want`] (duties keep windows).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits::{
    FETCH_CHUNKS_MAX, FETCH_CHUNKS_PER_PEER_MAX, FETCH_PASSED_CHUNKS_MAX, FETCH_PROGRESS_BYTES_MIN,
    FETCH_TIMEOUT, HOLDER_PATIENCE, IDS_PER_MESSAGE_MAX,
};
use crate::base::units::{Span, Time};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Ask this peer for these chunks.
    Ask {
        /// Whom.
        peer: NodeId,
        /// What.
        ids: Vec<ChunkId>,
    },
    /// Tell this peer that these need not come any more.
    Cancel {
        /// Whom.
        peer: NodeId,
        /// What.
        ids: Vec<ChunkId>,
    },
    /// No peer that is connected has it.
    Failed {
        /// What.
        id: ChunkId,
    },
}

/// All wanted chunks.
#[derive(Debug, Default)]
pub struct Fetch {
    /// By id.
    wants: BTreeMap<ChunkId, Want>,
    /// Those that are queued and that somebody waits for, oldest first.
    urgent: VecDeque<ChunkId>,
    /// The others that are queued, oldest first.
    queue: VecDeque<ChunkId>,
    /// The peers that can be asked.
    peers: BTreeMap<NodeId, Load>,
    /// Those that went down lately: until when they may come back without anybody noticing.
    away: BTreeMap<NodeId, Time>,
    /// Ids that nobody has, not yet told.
    failed: VecDeque<ChunkId>,
    /// What was asked of a peer and need not come from it any more, not yet told.
    cancelled: BTreeMap<NodeId, Vec<ChunkId>>,
    /// Chunks that are on their way.
    asked_count: usize,
}

/// One wanted chunk.
#[derive(Debug)]
struct Want {
    /// Somebody waits for it.
    urgent: bool,
    /// Who is to be asked first.
    preferred: Option<NodeId>,
    /// Who may be asked; None: everybody.
    only: Option<BTreeSet<NodeId>>,
    /// Who said that it lacks it, or let it time out.
    tried: BTreeSet<NodeId>,
    /// Whom it was asked of.
    asked: Option<Asked>,
}

/// One request on its way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// Whom.
    peer: NodeId,
    /// When.
    at: Time,
    /// Chunks that had come from the peer by then.
    after: usize,
}

/// What one peer is busy with.
#[derive(Debug, Default)]
struct Load {
    /// Chunks on their way from it.
    asked_count: usize,
    /// Smoothed time from asking to having, for choosing the faster one.
    smoothed: Span,
    /// When something of what was asked last came, or was first asked for.
    heard: Time,
    /// Bytes that had come from it in all by then, as far as is known.
    heard_bytes: u64,
    /// Chunks that came from it.
    arrived_count: usize,
}

impl Fetch {
    /// Wants a chunk; `urgent`: somebody waits for it. Wanting it again can only make it urgent.
    pub fn want(&mut self, id: ChunkId, preferred: Option<NodeId>, urgent: bool) {
        match self.wants.get_mut(&id) {
            None => {
                let want = Want { urgent, preferred, only: None, tried: BTreeSet::new(), asked: None };
                self.wants.insert(id, want);
                self.line(urgent).push_back(id);
            }
            Some(want) if urgent && !want.urgent => {
                want.urgent = true;
                if want.asked.is_none() {
                    self.queue.retain(|queued| *queued != id);
                    self.urgent.push_back(id);
                }
            }
            Some(_) => {}
        }
    }

    /// Wants a chunk that these may have, and nobody else.
    pub fn want_of(&mut self, id: ChunkId, only: BTreeSet<NodeId>, preferred: Option<NodeId>, urgent: bool) {
        self.want(id, preferred, urgent);
        if let Some(want) = self.wants.get_mut(&id) {
            want.only = Some(only);
        }
    }

    /// Where a chunk waits for its turn.
    fn line(&mut self, urgent: bool) -> &mut VecDeque<ChunkId> {
        if urgent {
            &mut self.urgent
        } else {
            &mut self.queue
        }
    }

    /// Whether it is wanted at present.
    #[must_use]
    pub fn is_wanted(&self, id: &ChunkId) -> bool {
        self.wants.contains_key(id)
    }

    /// A peer can be asked from now on.
    pub fn peer_up(&mut self, now: Time, peer: NodeId) {
        self.peer_down(now, &peer);
        self.away.remove(&peer);
        self.peers.insert(peer, Load::default());
    }

    /// A peer is gone: what was asked of it is asked of others, or of itself if it comes back soon.
    pub fn peer_down(&mut self, now: Time, peer: &NodeId) {
        if self.peers.remove(peer).is_none() {
            return;
        }
        self.cancelled.remove(peer);
        self.away.insert(*peer, now + HOLDER_PATIENCE);
        let lost: Vec<ChunkId> = self
            .wants
            .iter()
            .filter(|(_, want)| want.asked.is_some_and(|asked| asked.peer == *peer))
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            self.requeue(&id, false);
        }
    }

    /// So many bytes have come from a peer in all: if there are more than a while ago, it is at work.
    pub fn heard(&mut self, now: Time, peer: &NodeId, received_bytes: u64) {
        let Some(load) = self.peers.get_mut(peer) else { return };
        if received_bytes >= load.heard_bytes.saturating_add(FETCH_PROGRESS_BYTES_MIN) {
            (load.heard, load.heard_bytes) = (now, received_bytes);
        }
    }

    /// A chunk came from a peer and is right. True if it was wanted (by whomever it was asked).
    pub fn arrived(&mut self, now: Time, peer: &NodeId, id: &ChunkId) -> bool {
        let Some(want) = self.wants.remove(id) else { return false };
        if let Some(load) = self.peers.get_mut(peer) {
            load.heard = now;
            load.arrived_count = load.arrived_count.wrapping_add(1);
            if let Some(asked) = want.asked.filter(|asked| asked.peer == *peer) {
                load.smoothed = (load.smoothed.times(7) + now.since(asked.at)).part(8);
            }
        }
        match want.asked {
            Some(asked) => {
                if asked.peer != *peer {
                    self.cancel(&asked.peer, *id);
                }
                self.release(&asked.peer);
            }
            None => self.line(want.urgent).retain(|queued| queued != id),
        }
        self.pass_over(peer);
        true
    }

    /// What a peer has left out, while it sent much that was asked of it later, is asked of others.
    fn pass_over(&mut self, peer: &NodeId) {
        let Some(count) = self.peers.get(peer).map(|load| load.arrived_count) else { return };
        let is_left_out =
            |asked: &Asked| asked.peer == *peer && count.wrapping_sub(asked.after) > FETCH_PASSED_CHUNKS_MAX;
        let left_out: Vec<ChunkId> = self
            .wants
            .iter()
            .filter(|(_, want)| want.asked.as_ref().is_some_and(is_left_out))
            .map(|(id, _)| *id)
            .collect();
        for id in left_out {
            self.cancel(peer, id);
            self.requeue(&id, true);
        }
    }

    /// A peer said that it has none of these.
    pub fn missing(&mut self, peer: &NodeId, ids: &[ChunkId]) {
        for id in ids {
            let asked = self.wants.get(id).and_then(|want| want.asked);
            if asked.is_some_and(|asked| asked.peer == *peer) {
                self.requeue(id, true);
            }
        }
    }

    /// What was asked of a peer that has become silent is asked of others. Tell [`Fetch::heard`] first.
    pub fn handle_timeout(&mut self, now: Time) {
        let asked = |(id, want): (&ChunkId, &Want)| want.asked.map(|asked| (*id, asked.peer));
        let late: Vec<(ChunkId, NodeId)> =
            self.wants.iter().filter_map(asked).filter(|(_, peer)| self.is_silent(peer, now)).collect();
        for (id, peer) in late {
            self.cancel(&peer, id);
            self.requeue(&id, true);
        }
        self.away.retain(|_, until| *until > now);
    }

    /// When [`Fetch::handle_timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let busy = self.peers.values().filter(|load| load.asked_count > 0);
        let silent = busy.map(|load| load.heard + FETCH_TIMEOUT).min();
        let waits = !(self.urgent.is_empty() && self.queue.is_empty());
        silent.into_iter().chain(self.away.values().copied().filter(|_| waits)).min()
    }

    /// Whether nothing has come from a peer for too long.
    fn is_silent(&self, peer: &NodeId, now: Time) -> bool {
        self.peers.get(peer).is_none_or(|load| load.heard + FETCH_TIMEOUT <= now)
    }

    /// The next thing to do; drained to None after each change.
    pub fn poll(&mut self, now: Time) -> Option<Order> {
        if let Some(id) = self.failed.pop_front() {
            return Some(Order::Failed { id });
        }
        if let Some((peer, ids)) = self.cancelled.pop_first() {
            return Some(Order::Cancel { peer, ids });
        }
        let mut order: Option<(NodeId, Vec<ChunkId>)> = None;
        for urgent in [true, false] {
            self.ask_in_line(now, urgent, &mut order);
        }
        match order {
            Some((peer, ids)) => Some(Order::Ask { peer, ids }),
            None => self.failed.pop_front().map(|id| Order::Failed { id }),
        }
    }

    /// Fills an order from one of the lines.
    fn ask_in_line(&mut self, now: Time, urgent: bool, order: &mut Option<(NodeId, Vec<ChunkId>)>) {
        let mut skipped = VecDeque::new();
        while self.asked_count < FETCH_CHUNKS_MAX && skipped.len() <= FETCH_CHUNKS_MAX {
            let Some(id) = self.line(urgent).pop_front() else { break };
            match self.choose(&id, order.as_ref().map(|(peer, _)| *peer), now) {
                Choice::Peer(peer) => {
                    self.mark(&id, peer, now);
                    order.get_or_insert((peer, Vec::new())).1.push(id);
                }
                Choice::Later => skipped.push_back(id),
                Choice::Nobody => {
                    self.wants.remove(&id);
                    self.failed.push_back(id);
                }
            }
        }
        while let Some(id) = skipped.pop_back() {
            self.line(urgent).push_front(id);
        }
    }

    /// Notes that `id` was asked of `peer`.
    fn mark(&mut self, id: &ChunkId, peer: NodeId, now: Time) {
        let mut after = 0;
        if let Some(load) = self.peers.get_mut(&peer) {
            if load.asked_count == 0 {
                load.heard = now;
            }
            load.asked_count += 1;
            after = load.arrived_count;
        }
        if let Some(want) = self.wants.get_mut(id) {
            want.asked = Some(Asked { peer, at: now, after });
        }
        self.asked_count += 1;
    }

    /// Whom to ask: the preferred peer if it has room, else the one that will have it soonest. While an order is being
    /// filled (`only`), other peers wait for the next one.
    fn choose(&self, id: &ChunkId, only: Option<NodeId>, now: Time) -> Choice {
        let Some(want) = self.wants.get(id) else { return Choice::Nobody };
        let may = |node: &NodeId| {
            !want.tried.contains(node) && want.only.as_ref().is_none_or(|only| only.contains(node))
        };
        let mut candidates = self.peers.iter().filter(|(node, _)| may(node)).peekable();
        if candidates.peek().is_none() {
            let away = self.away.iter().any(|(node, until)| *until > now && may(node));
            return if away { Choice::Later } else { Choice::Nobody };
        }
        let best = candidates.filter(|(_, load)| load.asked_count < FETCH_CHUNKS_PER_PEER_MAX).min_by_key(
            |(node, load)| {
                let waiting = u64::try_from(load.asked_count + 1).unwrap_or(u64::MAX);
                (want.preferred != Some(**node), load.smoothed.times(waiting), load.asked_count, **node)
            },
        );
        match best {
            Some((node, _)) if only.is_none_or(|only| only == *node) => Choice::Peer(*node),
            _ => Choice::Later,
        }
    }

    /// Back into the queue, in front; with `tried` the peer it was asked of is not asked again.
    fn requeue(&mut self, id: &ChunkId, tried: bool) {
        let Some(want) = self.wants.get_mut(id) else { return };
        let Some(Asked { peer, .. }) = want.asked.take() else { return };
        if tried {
            want.tried.insert(peer);
        }
        let urgent = want.urgent;
        self.release(&peer);
        self.line(urgent).push_front(*id);
    }

    /// A chunk need not come from `peer` any more.
    fn cancel(&mut self, peer: &NodeId, id: ChunkId) {
        if !self.peers.contains_key(peer) {
            return;
        }
        let ids = self.cancelled.entry(*peer).or_default();
        if ids.len() < IDS_PER_MESSAGE_MAX {
            ids.push(id);
        }
    }

    /// One chunk less on its way from `peer`.
    fn release(&mut self, peer: &NodeId) {
        self.asked_count = self.asked_count.saturating_sub(1);
        if let Some(load) = self.peers.get_mut(peer) {
            load.asked_count = load.asked_count.saturating_sub(1);
        }
    }
}

/// What [`Fetch::choose`] found.
enum Choice {
    /// This one.
    Peer(NodeId),
    /// Somebody, but not now.
    Later,
    /// All have been tried, or nobody is there.
    Nobody,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 32])
    }

    fn chunk(number: u8) -> ChunkId {
        ChunkId::from_bytes([number; 32])
    }

    fn drain(fetch: &mut Fetch, now: Time) -> Vec<Order> {
        std::iter::from_fn(|| fetch.poll(now)).collect()
    }

    #[test]
    fn a_chunk_that_one_peer_lacks_is_asked_of_the_next_and_then_fails() {
        let mut fetch = Fetch::default();
        fetch.peer_up(Time::ZERO, node(1));
        fetch.peer_up(Time::ZERO, node(2));
        fetch.want(chunk(9), Some(node(2)), false);
        assert_eq!(drain(&mut fetch, Time::ZERO), [Order::Ask { peer: node(2), ids: vec![chunk(9)] }]);
        fetch.missing(&node(1), &[chunk(9)]);
        assert_eq!(drain(&mut fetch, Time::ZERO), [], "only the asked peer can say that it lacks it");
        fetch.missing(&node(2), &[chunk(9)]);
        assert_eq!(drain(&mut fetch, Time::ZERO), [Order::Ask { peer: node(1), ids: vec![chunk(9)] }]);
        fetch.missing(&node(1), &[chunk(9)]);
        assert_eq!(drain(&mut fetch, Time::ZERO), [Order::Failed { id: chunk(9) }]);
        assert!(!fetch.is_wanted(&chunk(9)));
    }

    #[test]
    fn the_only_holder_may_restart() {
        let mut fetch = Fetch::default();
        fetch.peer_up(Time::ZERO, node(1));
        fetch.want(chunk(9), None, true);
        let asked = [Order::Ask { peer: node(1), ids: vec![chunk(9)] }];
        assert_eq!(drain(&mut fetch, Time::ZERO), asked);
        fetch.peer_down(Time::ZERO, &node(1));
        assert_eq!(drain(&mut fetch, Time::ZERO), []);
        let later = Time::ZERO + Span::from_secs(5);
        fetch.handle_timeout(later);
        fetch.peer_up(later, node(1));
        assert_eq!(drain(&mut fetch, later), asked);
        fetch.peer_down(later, &node(1));
        let due = fetch.deadline().unwrap();
        assert_eq!(due, later + HOLDER_PATIENCE);
        fetch.handle_timeout(due);
        assert_eq!(drain(&mut fetch, due), [Order::Failed { id: chunk(9) }]);
        assert_eq!(fetch.deadline(), None);
    }

    #[test]
    fn what_somebody_waits_for_goes_first() {
        let mut fetch = Fetch::default();
        for number in 0..50 {
            fetch.want(chunk(number), None, false);
        }
        fetch.want(chunk(40), None, true);
        fetch.want(chunk(60), None, true);
        fetch.peer_up(Time::ZERO, node(1));
        let orders = drain(&mut fetch, Time::ZERO);
        let [Order::Ask { ids, .. }] = &orders[..] else { panic!("{orders:?}") };
        assert_eq!(ids[..3], [chunk(40), chunk(60), chunk(0)]);
        assert_eq!(ids.len(), FETCH_CHUNKS_PER_PEER_MAX);
    }

    #[test]
    fn windows_bound_what_is_on_its_way_and_every_chunk_comes_in_the_end() {
        let mut fetch = Fetch::default();
        fetch.peer_up(Time::ZERO, node(1));
        fetch.peer_up(Time::ZERO, node(2));
        for number in 0..100 {
            fetch.want(chunk(number), None, false);
        }
        let mut on_the_way: VecDeque<(NodeId, ChunkId)> = VecDeque::new();
        let mut got = 0;
        loop {
            for order in drain(&mut fetch, Time::ZERO) {
                let Order::Ask { peer, ids } = order else { panic!("nobody may fail here") };
                on_the_way.extend(ids.into_iter().map(|id| (peer, id)));
            }
            assert!(on_the_way.len() <= FETCH_CHUNKS_MAX);
            for peer in [node(1), node(2)] {
                assert!(
                    on_the_way.iter().filter(|(asked, _)| *asked == peer).count()
                        <= FETCH_CHUNKS_PER_PEER_MAX
                );
            }
            let Some((peer, id)) = on_the_way.pop_front() else { break };
            assert!(fetch.arrived(Time::from_micros(5), &peer, &id));
            got += 1;
        }
        assert_eq!(got, 100);
    }

    #[test]
    fn silence_is_a_no_after_the_timeout() {
        let mut fetch = Fetch::default();
        fetch.peer_up(Time::ZERO, node(1));
        fetch.want(chunk(1), None, false);
        assert_eq!(drain(&mut fetch, Time::ZERO).len(), 1);
        let due = fetch.deadline().unwrap();
        fetch.handle_timeout(due);
        let cancelled = Order::Cancel { peer: node(1), ids: vec![chunk(1)] };
        assert_eq!(drain(&mut fetch, due), [cancelled, Order::Failed { id: chunk(1) }]);
        assert_eq!(fetch.deadline(), None);
    }

    #[test]
    fn a_slow_peer_may_take_as_long_as_its_bytes_go_on_arriving() {
        let mut fetch = Fetch::default();
        fetch.peer_up(Time::ZERO, node(1));
        for number in 0..8 {
            fetch.want(chunk(number), None, false);
        }
        let mut now = Time::ZERO;
        assert_eq!(drain(&mut fetch, now).len(), 1);
        // A line of 100 kbit/s: the eight chunks take three minutes.
        for (number, bytes) in (0..8).zip((1..).map(|chunks| chunks * 256 * 1024)) {
            now = now + Span::from_secs(19);
            fetch.heard(now, &node(1), bytes);
            fetch.handle_timeout(now);
            assert_eq!(drain(&mut fetch, now), [], "nothing is given up");
            now = now + Span::from_secs(2);
            assert!(fetch.arrived(now, &node(1), &chunk(number)));
        }
        assert_eq!(fetch.deadline(), None);
    }

    #[test]
    fn signs_of_life_are_no_chunks() {
        let mut fetch = Fetch::default();
        fetch.peer_up(Time::ZERO, node(1));
        fetch.want(chunk(1), None, false);
        drain(&mut fetch, Time::ZERO);
        let due = fetch.deadline().unwrap();
        fetch.heard(due, &node(1), FETCH_PROGRESS_BYTES_MIN - 1);
        fetch.handle_timeout(due);
        assert_eq!(drain(&mut fetch, due).last(), Some(&Order::Failed { id: chunk(1) }));
    }

    #[test]
    fn a_chunk_that_a_busy_peer_passes_over_is_asked_of_another() {
        let mut fetch = Fetch::default();
        fetch.peer_up(Time::ZERO, node(1));
        fetch.want(chunk(255), None, false);
        drain(&mut fetch, Time::ZERO);
        fetch.peer_up(Time::ZERO, node(2));
        for number in 0..=u8::try_from(FETCH_PASSED_CHUNKS_MAX).unwrap() {
            fetch.want(chunk(number), Some(node(1)), false);
            let asked = drain(&mut fetch, Time::ZERO);
            assert_eq!(asked, [Order::Ask { peer: node(1), ids: vec![chunk(number)] }]);
            assert!(fetch.arrived(Time::ZERO, &node(1), &chunk(number)));
        }
        let cancelled = Order::Cancel { peer: node(1), ids: vec![chunk(255)] };
        let asked = Order::Ask { peer: node(2), ids: vec![chunk(255)] };
        assert_eq!(drain(&mut fetch, Time::ZERO), [cancelled, asked]);
        assert!(fetch.arrived(Time::ZERO, &node(1), &chunk(255)), "it came all the same");
        let cancelled = Order::Cancel { peer: node(2), ids: vec![chunk(255)] };
        assert_eq!(drain(&mut fetch, Time::ZERO), [cancelled], "and need not come twice");
    }
}
