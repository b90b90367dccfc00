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
//! **Who is asked.** Whoever will have sent it first, by the bytes a second that came from each ([`Pace`]): peers are drawn from in
//! parallel, each in proportion to its speed. A peer that would need longer for one chunk than all others for everything that is
//! wanted is not asked at all: at the end of a restore everybody would wait for it, and it carries less than a sixteenth of
//! the whole ([`FETCH_CHUNKS_MAX`]). A chunk that somebody waits for, and that is late by what another peer would need for it, is
//! asked of that one too; the loser is told that it need not come. A peer whose speed is not known is tried with a chunk or two.
//!
//! How long a chunk may take depends on the line, so no chunk has a time of its own: a peer may take as long as it needs while
//! bytes of it go on arriving, and is given up when it has been silent for [`FETCH_TIMEOUT`].
//!
//! Knows no peer's address and no disk: it emits [`Order`]s. A peer that lacks a chunk costs one round trip. Bounded by
//! [`FETCH_CHUNKS_MAX`] and [`FETCH_CHUNKS_PER_PEER_MAX`](crate::base::limits::FETCH_CHUNKS_PER_PEER_MAX); the queue of wants is bounded by who calls [`Fetch::want`] (duties keep windows).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::derived::Derived;
use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits::{
    CUT_BYTES_MEAN, FETCH_CHUNKS_MAX, FETCH_PROGRESS_BYTES_MIN, FETCH_STALL, FETCH_TIMEOUT, HOLDER_PATIENCE,
};
use crate::base::units::Time;
use choose::Choice;
use pace::Pace;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Ask this peer for these chunks.
    Ask {
        /// Whom.
        peer: NodeId,
        /// What.
        ids: Vec<ChunkId>,
        /// Somebody waits for them.
        urgent: bool,
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
#[derive(Debug)]
pub struct Fetch {
    /// By id.
    wants: BTreeMap<ChunkId, Want>,
    /// Those that are queued and that somebody waits for, oldest first.
    urgent: VecDeque<ChunkId>,
    /// The others that are queued, oldest first.
    queue: VecDeque<ChunkId>,
    /// The peers that can be asked.
    peers: Derived<BTreeMap<NodeId, Load>, Option<Time>>,
    /// Those that went down lately: until when they may come back without anybody noticing.
    away: BTreeMap<NodeId, Time>,
    /// A peer for each session in a row that ended with it before anything of what was asked had come.
    barren: Vec<NodeId>,
    /// Those that were ever waited for without having been met: each is so once.
    expected: BTreeSet<NodeId>,
    /// Ids that nobody has, not yet told.
    failed: VecDeque<ChunkId>,
    /// What was asked of a peer and need not come from it any more, not yet told.
    cancelled: BTreeMap<NodeId, Vec<ChunkId>>,
    /// Requests that are on their way.
    asked: Counts,
    /// What they are for.
    on_way: BTreeSet<ChunkId>,
    /// When the next of it counts as late, if that is still to come.
    late_at: Option<Time>,
    /// Smoothed length of the chunks that came, in bytes.
    mean_bytes: u64,
    /// Of peers that are as good as each other, everybody asks another one first.
    salt: u64,
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
    /// Whom it was asked of: one, or a second one too when the first was late.
    asked: Vec<Asked>,
}

/// One request on its way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    /// Whom.
    peer: NodeId,
    /// When.
    at: Time,
    /// Chunks of this kind that had come from the peer by then.
    after: usize,
    /// Somebody waited for it by then: the peer sends it before what nobody waits for.
    urgent: bool,
}

/// What one peer is busy with.
#[derive(Debug, Default)]
struct Load {
    /// Chunks on their way from it.
    asked: Counts,
    /// How fast chunks come from it.
    pace: Pace,
    /// When something of what was asked last came, or was first asked for.
    heard: Time,
    /// Bytes that had come from it in all by then, as far as is known.
    heard_bytes: u64,
    /// Chunks that came from it.
    arrived: Counts,
    /// When the last one came, or something was first asked for.
    came: Time,
}

impl Load {
    /// From when on it counts as silent: it sends nothing, or does for long but none of what was asked.
    fn silent_from(&self) -> Time {
        (self.heard + FETCH_TIMEOUT).min(self.came + FETCH_STALL)
    }
}

/// Chunks: those that nobody waits for, and those that somebody does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts([usize; 2]);

impl Counts {
    /// Those of one kind.
    fn of(&mut self, urgent: bool) -> &mut usize {
        &mut self.0[usize::from(urgent)]
    }

    /// What is before one of this kind: what nobody waits for holds up nobody.
    const fn ahead(self, urgent: bool) -> usize {
        self.0[1] + if urgent { 0 } else { self.0[0] }
    }
}

impl Default for Fetch {
    fn default() -> Self {
        Self {
            wants: BTreeMap::new(),
            urgent: VecDeque::new(),
            queue: VecDeque::new(),
            peers: Derived::default(),
            away: BTreeMap::new(),
            barren: Vec::new(),
            expected: BTreeSet::new(),
            failed: VecDeque::new(),
            cancelled: BTreeMap::new(),
            asked: Counts::default(),
            on_way: BTreeSet::new(),
            late_at: None,
            mean_bytes: u64::try_from(CUT_BYTES_MEAN).unwrap_or(u64::MAX),
            salt: 0,
        }
    }
}

impl Fetch {
    /// Who asks: of peers that are as good as each other, not the same one is asked first by everybody.
    pub fn asks_for(&mut self, own: &NodeId) {
        self.salt = number_of(own);
    }

    /// Where a peer stands among those that are as good.
    fn order_of(&self, peer: &NodeId) -> (u64, NodeId) {
        (number_of(peer) ^ self.salt, *peer)
    }

    /// Wants a chunk; `urgent`: somebody waits for it. Wanting it again can make it urgent, and whoever had it not then may be
    /// asked once more: it may have come there meanwhile.
    pub fn want(&mut self, id: ChunkId, preferred: Option<NodeId>, urgent: bool) {
        match self.wants.get_mut(&id) {
            None => {
                let want = Want { urgent, preferred, only: None, tried: BTreeSet::new(), asked: Vec::new() };
                self.wants.insert(id, want);
                self.line(urgent).push_back(id);
            }
            Some(want) => {
                want.tried.clear();
                let is_raised = urgent && !want.urgent;
                want.urgent |= urgent;
                if is_raised {
                    self.raise(id);
                }
            }
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

    /// Whether something is on its way from a peer.
    #[must_use]
    pub fn is_asking(&self, peer: &NodeId) -> bool {
        self.peers.get(peer).is_some_and(|load| load.asked.ahead(false) > 0)
    }

    /// A peer can be asked from now on.
    pub fn peer_up(&mut self, now: Time, peer: NodeId) {
        self.peer_down(now, &peer);
        self.away.remove(&peer);
        self.peers.insert(peer, Load::default());
    }

    /// A peer is gone: what was asked of it is asked of others, or of itself if it comes back soon.
    pub fn peer_down(&mut self, now: Time, peer: &NodeId) {
        let Some(load) = self.peers.remove(peer) else { return };
        self.cancelled.remove(peer);
        self.away.insert(*peer, now + HOLDER_PATIENCE);
        let asked = self.asked_of(|asked| asked.peer == *peer);
        let tried = !asked.is_empty() && self.is_barren(peer, &load);
        for id in asked {
            self.requeue(&id, peer, tried);
        }
    }

    /// So many bytes have come from a peer in all: if there are more than a while ago, it is at work.
    pub fn heard(&mut self, now: Time, peer: &NodeId, received_bytes: u64) {
        let Some(load) = self.peers.get_mut(peer) else { return };
        if received_bytes >= load.heard_bytes.saturating_add(FETCH_PROGRESS_BYTES_MIN) {
            (load.heard, load.heard_bytes) = (now, received_bytes);
        }
    }

    /// What was asked like that.
    fn asked_of(&self, is_it: impl Fn(&Asked) -> bool) -> Vec<ChunkId> {
        let wants = self.on_way.iter().filter_map(|id| Some((id, self.wants.get(id)?)));
        wants.filter(|(_, want)| want.asked.iter().any(&is_it)).map(|(id, _)| *id).collect()
    }

    /// A chunk of so many bytes came from a peer and is right. True if it was wanted (by whomever it was asked).
    pub fn arrived(&mut self, now: Time, peer: &NodeId, id: &ChunkId, bytes: u64) -> bool {
        let Some(want) = self.wants.remove(id) else { return false };
        self.on_way.remove(id);
        self.mean_bytes = (self.mean_bytes * 7 + bytes) / 8;
        let was_asked = want.asked_of(peer);
        let urgent = was_asked.map_or(want.urgent, |asked| asked.urgent);
        if let Some(load) = self.peers.get_mut(peer) {
            (load.heard, load.came) = (now, now);
            *load.arrived.of(urgent) += 1;
            if was_asked.is_some() {
                load.pace.came(now, bytes);
            }
        }
        if want.asked.is_empty() {
            self.line(want.urgent).retain(|queued| queued != id);
        }
        let mean = self.mean_bytes;
        for asked in &want.asked {
            if asked.peer != *peer {
                // Another one was faster, though it was asked later or not at all.
                if let Some(load) = self.peers.get_mut(&asked.peer).filter(|_| want.asked.len() > 1) {
                    load.pace.was_late(now, asked.at, mean);
                }
                self.cancel(&asked.peer, *id);
            }
            self.release(asked);
        }
        self.pass_over(peer);
        true
    }

    /// What was asked of a peer that has become silent is asked of others. Tell [`Fetch::heard`] first.
    pub fn handle_timeout(&mut self, now: Time) {
        let silent: Vec<NodeId> =
            self.peers.keys().filter(|peer| self.is_silent(peer, now)).copied().collect();
        for peer in silent {
            for id in self.asked_of(|asked| asked.peer == peer) {
                self.cancel(&peer, id);
                self.requeue(&id, &peer, true);
            }
        }
        self.away.retain(|_, until| *until > now);
        // Whatever is late by now is seen to by the next poll, if there is room for it.
        self.late_at = self.late_at.filter(|late| *late > now);
    }

    /// Whether nothing has come from a peer for too long.
    fn is_silent(&self, peer: &NodeId, now: Time) -> bool {
        self.peers.get(peer).is_none_or(|load| load.silent_from() <= now)
    }

    /// The next thing to do; drained to None after each change.
    pub fn poll(&mut self, now: Time) -> Option<Order> {
        if let Some(id) = self.failed.pop_front() {
            return Some(Order::Failed { id });
        }
        if let Some((peer, ids)) = self.cancelled.pop_first() {
            return Some(Order::Cancel { peer, ids });
        }
        let order = self.ask_in_line(now, true).or_else(|| self.ask_in_line(now, false));
        let failed = |fetch: &mut Self| fetch.failed.pop_front().map(|id| Order::Failed { id });
        order.or_else(|| failed(self)).or_else(|| self.rescue(now))
    }

    /// An order from one of the lines.
    fn ask_in_line(&mut self, now: Time, urgent: bool) -> Option<Order> {
        let mut order: Option<(NodeId, Vec<ChunkId>)> = None;
        let mut skipped = VecDeque::new();
        while self.asked.ahead(urgent) < FETCH_CHUNKS_MAX && skipped.len() <= FETCH_CHUNKS_MAX {
            let Some(id) = self.line(urgent).pop_front() else { break };
            match self.choose(&id, order.as_ref().map(|(peer, _)| *peer), now) {
                Choice::Peer(peer) => {
                    self.mark(&id, peer, now, urgent);
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
        order.map(|(peer, ids)| Order::Ask { peer, ids, urgent })
    }

    /// Notes that `id` was asked of `peer`.
    fn mark(&mut self, id: &ChunkId, peer: NodeId, now: Time, urgent: bool) {
        let mut after = 0;
        if let Some(load) = self.peers.get_mut(&peer) {
            if load.asked.ahead(false) == 0 {
                (load.heard, load.came) = (now, now);
                load.pace.begins(now);
            }
            *load.asked.of(urgent) += 1;
            after = *load.arrived.of(urgent);
        }
        if let Some(want) = self.wants.get_mut(id) {
            want.asked.push(Asked { peer, at: now, after, urgent });
        }
        self.on_way.insert(*id);
        *self.asked.of(urgent) += 1;
    }
}

/// The first bytes of an id: ids are hashes.
fn number_of(node: &NodeId) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *node.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

mod choose;
mod ending;
pub mod pace;

#[cfg(test)]
mod tests;
