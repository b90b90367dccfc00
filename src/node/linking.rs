//! Links: which members this node holds sessions with.
//!
//! ```text
//!   members <= peers.sessions:  with everybody
//!   more:   the mesh (replicate/mesh.rs) ----------.
//!           needed for a transfer (node/seeking.rs) +--> tried (node/reach.rs)
//!           fewer than LINKS_FEW: anybody ---------'
//!           those who come are let in as long as there is room
//! ```
//!
//! Feeds travel over the mesh, so every entry reaches everybody over a few hops; everything else goes straight to whom it is
//! for, over a session that is opened for it. Where there are more sessions than this node would hold by choice, those
//! that are neither of the mesh nor needed and were not used for a while are closed, the one unused for longest first,
//! with a word that keeps the peer from coming again at once. Whom we reach, and how, is `reach.rs`; this file owns whom we
//! want.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{json, Value};

use super::activity::Level;
use super::core::Core;
use super::finding::Finding;
use super::member::Membership;
use crate::base::gather;
use crate::base::ids::NodeId;
use crate::base::limits::{
    LINKS_CHECK, LINKS_FEW, LINKS_NEEDED_MAX, LINK_CROWDED_PAUSE, LINK_CROWDED_PAUSE_MIN, LINK_IDLE,
    LINK_IDLE_FULL, LINK_IDLE_NEEDED, LINK_NEED_TIME,
};
use crate::base::units::{Span, Time};
use crate::replicate::mesh;
use crate::wire::message::Message;

/// Whom this node wants sessions with.
#[derive(Debug, Default)]
pub struct Linking {
    /// How many sessions there may be, as was configured when the node started.
    pub(super) most: usize,
    /// The mesh; None: everybody.
    mesh: Option<BTreeSet<NodeId>>,
    /// Needed for a transfer: until when.
    needed: BTreeMap<NodeId, Time>,
    /// Connected members: when a session was last used for more than feeds, or began.
    used: BTreeMap<NodeId, Time>,
    /// Said that they hold as many sessions as they may: when.
    crowded: BTreeMap<NodeId, Time>,
    /// When to look again whom to part with.
    due: Option<Time>,
    /// Sessions closed here to make room.
    closed_count: u64,
    /// Sessions that others have closed, or not begun, for want of room.
    crowded_count: u64,
    /// Where others are, as others say.
    pub(super) finding: Finding,
}

impl Linking {
    /// Whether there is a choice at all: with few members everybody is linked with everybody.
    #[must_use]
    pub const fn is_choosing(&self) -> bool {
        self.mesh.is_some()
    }

    /// Whether a member is of the mesh (or everybody is).
    #[must_use]
    pub fn is_meshed(&self, node: &NodeId) -> bool {
        self.mesh.as_ref().is_none_or(|mesh| mesh.contains(node))
    }

    /// Whether a session with a member is wanted, whoever begins it.
    #[must_use]
    pub fn wants(&self, node: &NodeId) -> bool {
        self.is_meshed(node) || self.needed.contains_key(node)
    }

    /// All with whom a session is wanted.
    #[must_use]
    pub fn wanted(&self, member: &Membership) -> Vec<NodeId> {
        let roster = member.view.roster();
        match &self.mesh {
            Some(mesh) => {
                let all: BTreeSet<&NodeId> = gather::set(mesh.iter().chain(self.needed.keys()));
                let is_other = |node: &&NodeId| **node != member.node && roster.member(node).is_some();
                all.into_iter().filter(is_other).copied().collect()
            }
            None => roster.members().map(|other| other.node).filter(|node| *node != member.node).collect(),
        }
    }

    /// Whether a member may be tried now, by a node that has so many sessions.
    #[must_use]
    pub fn may_try(&self, now: Time, node: &NodeId, sessions: usize) -> bool {
        let is_needed = self.needed.contains_key(node);
        let pause =
            if is_needed || sessions < LINKS_FEW { LINK_CROWDED_PAUSE_MIN } else { LINK_CROWDED_PAUSE };
        let is_resting = self.crowded.get(node).is_some_and(|since| *since + pause > now);
        !is_resting && (self.wants(node) || sessions < LINKS_FEW)
    }

    /// A member is needed for a transfer from now on. False if `most` are.
    pub fn need(&mut self, now: Time, node: NodeId, most: usize) -> bool {
        if !self.needed.contains_key(&node) && self.needed.len() >= most {
            return false;
        }
        self.needed.insert(node, now + LINK_NEED_TIME);
        let is_here = self.used.contains_key(&node);
        self.look_at(if is_here { now + LINK_NEED_TIME } else { now });
        true
    }

    /// Somebody who is needed no more gives way to others: one of those with whom a session stands and nothing is under way, the one whose
    /// session was not used for longest. False if all are busy or still to be reached.
    pub fn release(&mut self, is_busy: impl Fn(&NodeId) -> bool) -> bool {
        let done = self.needed.keys().filter(|node| !is_busy(node));
        let Some((_, node)) = done.filter_map(|node| Some((*self.used.get(node)?, *node))).min() else {
            return false;
        };
        self.needed.remove(&node);
        true
    }

    /// A member cannot be reached. False if that was not tried.
    pub fn give_up(&mut self, node: &NodeId) -> bool {
        self.needed.remove(node).is_some()
    }

    /// A session was used for this.
    pub fn used(&mut self, now: Time, node: &NodeId, message: &Message) {
        let is_feed = matches!(
            message,
            Message::Hello { .. }
                | Message::FeedHave { .. }
                | Message::FeedWant { .. }
                | Message::FeedEntries { .. }
        );
        if !is_feed {
            if let Some(used) = self.used.get_mut(node) {
                *used = now;
            }
        }
    }

    /// A session stands.
    pub fn up(&mut self, now: Time, node: NodeId) {
        self.crowded.remove(&node);
        self.used.insert(node, now);
        if self.is_choosing() {
            self.look_at(now);
        }
    }

    /// A session has ended.
    pub fn down(&mut self, node: &NodeId) {
        self.used.remove(node);
    }

    /// A member has said that it holds as many sessions as it may.
    pub fn crowded(&mut self, now: Time, node: NodeId) {
        self.crowded_count += 1;
        self.crowded.insert(node, now);
    }

    /// Whether a member has said so, and may have room later.
    #[must_use]
    pub fn is_crowded(&self, node: &NodeId) -> bool {
        self.crowded.contains_key(node)
    }

    /// When something is to be looked at.
    #[must_use]
    pub const fn deadline(&self) -> Option<Time> {
        self.due
    }

    /// Looks again then, or sooner.
    fn look_at(&mut self, then: Time) {
        self.due = Some(self.due.map_or(then, |due| due.min(then)));
    }

    /// Whom to part with so that at most `own_max` sessions are left, if that many can be spared.
    fn spare(&self, now: Time, own_max: usize, idle: Span) -> Vec<NodeId> {
        let surplus = self.used.len().saturating_sub(own_max);
        let is_idle = |used: &Time| *used + idle <= now;
        let mut idle: Vec<(Time, NodeId)> = self
            .used
            .iter()
            .filter(|(node, used)| !self.wants(node) && is_idle(used))
            .map(|(node, used)| (*used, *node))
            .collect();
        idle.sort_unstable();
        idle.into_iter().take(surplus).map(|(_, node)| node).collect()
    }
}

impl Core {
    /// Sessions that this node holds by its own choice where it cannot have one with everybody.
    fn links_own_max(&self) -> usize {
        self.reach.linking.most / 4 * 3
    }

    /// How many members may be needed at once, beside those of the mesh: as many as there is room for.
    pub(super) fn needed_max(&self) -> usize {
        (self.reach.linking.most - self.links_own_max()).clamp(1, LINKS_NEEDED_MAX)
    }

    /// Whether a node with so many sessions tries nobody whom it does not know.
    pub(super) fn has_links_enough(&self, sessions: usize) -> bool {
        self.reach.linking.is_choosing() && sessions >= self.links_own_max()
    }

    /// The members have changed: whom to be linked with?
    pub(super) fn choose_links(&mut self) {
        let Some(member) = &self.member else { return };
        let members: Vec<NodeId> = member.view.roster().members().map(|other| other.node).collect();
        self.reach.linking.mesh = (members.len() > self.reach.linking.most).then(|| {
            let links = mesh::links(&member.node, &members);
            links.into_iter().take(self.links_own_max()).collect()
        });
        self.source.looks_up = self.reach.linking.is_choosing();
        let roster = member.view.roster();
        self.reach.linking.crowded.retain(|node, _| roster.member(node).is_some());
        if self.reach.linking.is_choosing() {
            self.reach.linking.look_at(self.now.time);
        }
        self.reconciling.keep_members(|node| roster.member(node).is_some());
        for other in self.reach.linking.wanted(member) {
            self.source.expect(self.now.time, other);
        }
    }

    /// When something is due of all that has to do with links: feeds, sessions, lookups.
    pub(super) fn links_deadline(&self) -> Option<Time> {
        let (finding, seeking) =
            (self.reach.linking.finding.deadline(), self.reach.linking.finding.seeking.deadline());
        [self.gossip.deadline(), self.reach.linking.deadline(), finding, seeking].into_iter().flatten().min()
    }

    /// Does what is due of it.
    pub(super) fn links_timeout(&mut self) {
        self.gossip_timeout();
        self.linking_timeout();
        self.finding_timeout();
        self.seeking_timeout();
    }

    /// Forgets who is needed no more, and parts with whom nothing is done with if there are too many.
    pub(super) fn linking_timeout(&mut self) {
        let now = self.now.time;
        if self.reach.linking.due.is_none_or(|due| due > now) {
            return;
        }
        self.reach.linking.due = None;
        let before = self.reach.linking.needed.len();
        self.reach.linking.needed.retain(|_, until| *until > now);
        if self.reach.linking.needed.len() < before {
            self.reach.recheck(now);
        }
        self.reach.linking.crowded.retain(|_, since| *since + LINK_CROWDED_PAUSE > now);
        let mut next = self.reach.linking.needed.values().min().copied();
        if self.reach.linking.is_choosing() {
            let own_max = self.links_own_max();
            // Where no place is free, nobody could come who knows nobody else, nor could this node go to whom it needs.
            let linking = &self.reach.linking;
            let is_full = linking.used.len() >= self.reach.linking.most;
            let is_waiting = is_full && linking.needed.keys().any(|node| !linking.used.contains_key(node));
            let (idle, check) = match (is_waiting, is_full) {
                (true, _) => (LINK_IDLE_NEEDED, LINK_IDLE_NEEDED),
                (false, true) => (LINK_IDLE_FULL, LINKS_CHECK),
                (false, false) => (LINK_IDLE, LINKS_CHECK),
            };
            for node in linking.spare(now, own_max, idle) {
                self.reach.linking.closed_count += 1;
                self.endpoint.make_room(now, node);
                self.reach.linking.used.remove(&node);
            }
            if self.reach.linking.used.len() > own_max {
                next = Some(next.map_or(now + check, |next| next.min(now + check)));
            }
        }
        self.reach.linking.due = next;
    }

    /// Notes that somebody has come or gone. Where not everybody can be linked with everybody, who comes and goes in passing is no news.
    pub(super) fn note_session(&mut self, node: &NodeId, message: String) {
        if self.reach.linking.is_meshed(node) {
            self.note(Level::Info, "peers", message);
        } else {
            log::info!("{message}");
        }
    }

    /// For `status`.
    pub(super) fn links_status(&self) -> Value {
        let linking = &self.reach.linking;
        json!({
            "sessions": linking.used.len(),
            "sessions_max": self.reach.linking.most,
            "mesh": linking.mesh.as_ref().map(BTreeSet::len),
            "needed": linking.needed.len(),
            "closed": linking.closed_count,
            "crowded": linking.crowded_count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node of this number.
    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 32])
    }

    /// One that is linked with the nodes 1 to 6 and has sessions with 1 to 12, each a second after the one before.
    fn linking() -> Linking {
        let mut linking = Linking { mesh: Some((1..=6).map(node).collect()), ..Linking::default() };
        for number in 1..=12 {
            linking.up(Time::ZERO + Span::from_secs(u64::from(number)), node(number));
        }
        linking
    }

    #[test]
    fn of_too_many_sessions_those_unused_for_longest_are_closed_and_never_those_of_the_mesh() {
        let mut linking = linking();
        let now = Time::ZERO + LINK_IDLE + Span::from_secs(10);
        assert_eq!(linking.spare(now, 10, LINK_IDLE), [node(7), node(8)]);
        assert_eq!(
            linking.spare(now, 6, LINK_IDLE),
            [node(7), node(8), node(9), node(10)],
            "the others are not idle yet"
        );
        linking.used(now, &node(7), &Message::Get { ids: Vec::new() });
        linking.used(now, &node(8), &Message::FeedHave { heads: Vec::new(), more: false });
        assert!(linking.need(now, node(9), LINKS_NEEDED_MAX));
        assert_eq!(linking.spare(now, 6, LINK_IDLE), [node(8), node(10)], "one works, and one is needed");
        assert_eq!(linking.spare(now, 12, LINK_IDLE), []);
    }

    #[test]
    fn who_has_no_room_is_left_alone_for_a_while_and_a_little_shorter_if_it_is_needed() {
        let mut linking = linking();
        let now = Time::ZERO;
        linking.crowded(now, node(1));
        let may = |linking: &Linking, after, sessions| linking.may_try(now + after, &node(1), sessions);
        assert!(!may(&linking, LINK_CROWDED_PAUSE - Span::from_secs(1), LINKS_FEW));
        assert!(may(&linking, LINK_CROWDED_PAUSE, LINKS_FEW));
        assert!(may(&linking, LINK_CROWDED_PAUSE_MIN, 0), "by who has nobody");
        assert!(linking.need(now, node(1), LINKS_NEEDED_MAX));
        assert!(may(&linking, LINK_CROWDED_PAUSE_MIN, LINKS_FEW));
        assert!(!may(&linking, LINK_CROWDED_PAUSE_MIN - Span::from_secs(1), LINKS_FEW));
        // Who is not of the mesh is tried only by who has hardly anybody.
        assert!(!linking.may_try(now, &node(99), LINKS_FEW) && linking.may_try(now, &node(99), 1));
    }

    #[test]
    fn who_is_needed_gives_way_when_nothing_is_under_way_whoever_was_used_least_lately_first() {
        let mut linking = linking();
        for number in [9, 11, 99] {
            assert!(linking.need(Time::ZERO, node(number), 3));
        }
        assert!(!linking.need(Time::ZERO, node(12), 3));
        assert!(linking.release(|other| *other == node(9)), "9 is busy, and 99 still to be reached");
        assert!(linking.need(Time::ZERO, node(12), 3));
        assert!(linking.wants(&node(9)) && linking.wants(&node(99)) && !linking.wants(&node(11)));
        assert!(linking.release(|_| false) && !linking.wants(&node(9)), "its session is the oldest");
        assert!(!linking.release(|_| true));
        assert!(linking.give_up(&node(99)) && !linking.give_up(&node(99)));
    }

    #[test]
    fn only_so_many_are_needed_at_once() {
        let mut linking = linking();
        let count =
            (100..200).filter(|number| linking.need(Time::ZERO, node(*number), LINKS_NEEDED_MAX)).count();
        assert_eq!(count, LINKS_NEEDED_MAX);
        assert!(linking.need(Time::ZERO, node(100), LINKS_NEEDED_MAX), "who is needed already stays so");
    }
}
