//! Reaching the other members: which addresses are tried, and when.
//!
//! Addresses come from the members' own descriptions, from mDNS, from the configuration, and from where a peer was seen
//! last. Each has a pause of its own that doubles, up to [`CONNECT_PAUSE_EAGER_MAX`] for the first hour and up to
//! [`CONNECT_PAUSE_MAX`] later; those of one node are tried in parallel, each a little after the one before (RFC 8305),
//! until one of them answers. An address that leads to a member with a session is left alone. Nothing here knows what a
//! session is: the endpoint does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use rand_core::RngCore;

use super::core::Core;
use super::linking::Linking;
use super::seen::Seen;
use crate::base::derived::Derived;
use crate::base::gather;
use crate::base::ids::NodeId;
use crate::base::limits::{
    ADDRESSES_PER_MESSAGE_MAX, CONNECT_EAGER_TIME, CONNECT_HINT_EVERY, CONNECT_PAUSE_EAGER_MAX,
    CONNECT_PAUSE_MAX, CONNECT_PAUSE_MIN, CONNECT_STAGGER, LINKS_FEW, REACH_ADDRESSES_MAX, RECHECK_PAUSE,
    SIGHTINGS_MAX,
};
use crate::base::units::{Span, Time};
use crate::peer::discovery::{in_order, Announcement};
use crate::peer::event::Event;

/// Addresses and when to try them.
#[derive(Debug, Default)]
pub struct Reach {
    /// By address.
    candidates: Derived<BTreeMap<SocketAddr, Candidate>, Option<Time>>,
    /// When it was done last.
    rechecked: Option<Time>,
    /// Where members were met last.
    pub(super) seen: Seen,
    /// Whom to reach at all.
    pub(super) linking: Linking,
    /// Look at the roster's addresses again.
    recheck: Option<Time>,
    /// What was last announced on the network, by instance: mDNS tells a change once, and perhaps before it matters.
    pub(super) heard: BTreeMap<String, Heard>,
    /// Since when this node listens.
    pub(super) listening_since: Option<Time>,
    /// When this node's own announcement was heard last.
    pub(super) own_heard: Option<Time>,
    /// It has been said that multicast does not get through.
    pub(super) doubted: bool,
}

/// One announcer.
#[derive(Debug)]
pub(super) struct Heard {
    /// Where it is.
    pub(super) addresses: Vec<SocketAddr>,
    /// What it says.
    pub(super) announcement: Announcement,
    /// When it did.
    pub(super) last: Time,
}

/// One address.
#[derive(Debug)]
struct Candidate {
    /// Who is there, if that is known.
    node: Option<NodeId>,
    /// Who has announced it: all that one has announced are one node.
    announcer: Option<String>,
    /// Not before then.
    due: Time,
    /// The pause after the next attempt.
    pause: Span,
    /// Until then the pauses stay short: whoever was there lately, or may be, comes back soon most often.
    eager_until: Time,
    /// When an attempt was hastened last by something that anybody could have sent.
    hinted: Option<Time>,
}

/// Whose an address is, as far as is known: of its addresses one is tried at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Whose {
    /// A member's.
    Node(NodeId),
    /// An announcer's.
    Announcer(String),
    /// Nobody has said.
    Unknown(SocketAddr),
}

impl Candidate {
    /// There is a reason of its own to try this address: next at `due`, and often for a while.
    fn begin_anew(&mut self, now: Time, due: Time) {
        (self.due, self.pause, self.eager_until) = (due, CONNECT_PAUSE_MIN, now + CONNECT_EAGER_TIME);
    }

    /// An attempt is made now: when the next one is due.
    fn attempted(&mut self, now: Time) {
        let longest = if now < self.eager_until { CONNECT_PAUSE_EAGER_MAX } else { CONNECT_PAUSE_MAX };
        self.due = now + self.pause;
        self.pause = self.pause.times(2).min(longest);
    }

    /// Somebody seems to be there: an attempt is made now, unless one was made for such a reason a moment ago.
    fn hasten(&mut self, now: Time) {
        if self.hinted.is_none_or(|hinted| hinted + CONNECT_HINT_EVERY <= now) {
            self.hinted = Some(now);
            (self.due, self.pause) = (now, CONNECT_PAUSE_MIN);
        }
    }

    /// Whose it is.
    fn whose(&self, address: SocketAddr) -> Whose {
        match (&self.node, &self.announcer) {
            (Some(node), _) => Whose::Node(*node),
            (None, Some(announcer)) => Whose::Announcer(announcer.clone()),
            (None, None) => Whose::Unknown(address),
        }
    }
}

impl Reach {
    /// Remembers an announcement; the oldest is forgotten where there are too many.
    pub(super) fn hear(&mut self, now: Time, addresses: &[SocketAddr], announcement: &Announcement) {
        if !self.heard.contains_key(&announcement.instance) && self.heard.len() >= SIGHTINGS_MAX {
            let oldest = self.heard.iter().min_by_key(|(_, one)| one.last).map(|(name, _)| name.clone());
            oldest.map(|name| self.heard.remove(&name));
        }
        let addresses = addresses.iter().take(ADDRESSES_PER_MESSAGE_MAX).copied().collect();
        let heard = Heard { addresses, announcement: announcement.clone(), last: now };
        self.heard.insert(announcement.instance.clone(), heard);
    }

    /// An address that may lead to a member (to this one, if it is known).
    pub fn add(&mut self, now: Time, address: SocketAddr, node: Option<NodeId>) {
        if address.port() == 0 || address.ip().is_unspecified() {
            return;
        }
        if let Some(candidate) = self.candidates.get_mut(&address) {
            candidate.node = candidate.node.or(node);
            return;
        }
        if self.candidates.len() >= REACH_ADDRESSES_MAX {
            self.give_up_hopeless();
        }
        if self.candidates.len() < REACH_ADDRESSES_MAX {
            let (pause, eager_until) = (CONNECT_PAUSE_MIN, now + CONNECT_EAGER_TIME);
            let candidate = Candidate { node, announcer: None, due: now, pause, eager_until, hinted: None };
            self.candidates.insert(address, candidate);
        }
    }

    /// There is no more room: of the addresses at which nobody was ever met, the one that was tried in vain for longest goes; if there are none,
    /// the one for which there was no reason for longest (whoever was there may have another one every day). What is configured,
    /// announced or described comes again.
    fn give_up_hopeless(&mut self) {
        let strange = self.candidates.iter().filter(|(_, one)| one.node.is_none());
        let hopeless = strange.max_by_key(|(_, one)| (one.pause, one.due)).map(|(address, _)| *address);
        let stale = self.candidates.iter().min_by_key(|(_, one)| one.eager_until);
        let stale = stale.map(|(address, _)| *address);
        hopeless.or(stale).map(|address| self.candidates.remove(&address));
    }

    /// An address that an announcer of this name has: it is there, so it is tried now. A name that is new is a node that
    /// was started just now.
    pub(super) fn add_announced(&mut self, now: Time, address: SocketAddr, announcer: &str) {
        self.add(now, address, None);
        if let Some(candidate) = self.candidates.get_mut(&address) {
            if candidate.announcer.as_deref() == Some(announcer) {
                candidate.hasten(now);
            } else {
                candidate.announcer = Some(announcer.to_owned());
                candidate.begin_anew(now, now);
            }
        }
    }

    /// `node` was met at this address: now this is known of all that were announced together. Gives the others.
    fn met(&mut self, now: Time, address: SocketAddr, node: NodeId) -> Vec<SocketAddr> {
        self.add(now, address, Some(node));
        let announcer = self.candidates.get(&address).and_then(|candidate| candidate.announcer.clone());
        let mut others = Vec::new();
        for (place, candidate) in self.candidates.iter_mut() {
            let announced_together = announcer.is_some() && candidate.announcer == announcer;
            if *place == address || announced_together {
                candidate.node = Some(node);
                candidate.begin_anew(now, now + CONNECT_PAUSE_MAX);
                if *place != address {
                    others.push(*place);
                }
            }
        }
        others
    }

    /// This node's own addresses have changed: what could not be reached before may be reached now.
    pub(super) fn network_changed(&mut self, now: Time) {
        for candidate in self.candidates.values_mut() {
            candidate.begin_anew(now, now);
        }
    }

    /// Somebody is at this address who believes in a session that is not there: if it is tried at all, it is tried now.
    fn hint(&mut self, now: Time, address: SocketAddr) {
        if let Some(candidate) = self.candidates.get_mut(&address) {
            candidate.hasten(now);
        }
    }

    /// What is tried now, likeliest first and one address of each node; its other addresses follow a little later. What is
    /// not to be tried is looked at again in a minute, or sooner by a node that has hardly any sessions.
    fn take_due(
        &mut self,
        now: Time,
        is_lonely: bool,
        is_idle: impl Fn(&SocketAddr, &Whose) -> bool,
    ) -> Vec<(Option<NodeId>, SocketAddr)> {
        let mut due: BTreeMap<Whose, Vec<SocketAddr>> = BTreeMap::new();
        for (address, candidate) in self.candidates.iter_mut() {
            if candidate.due > now {
                continue;
            }
            let whose = candidate.whose(*address);
            if is_idle(address, &whose) {
                candidate.due = now + CONNECT_PAUSE_EAGER_MAX.times(if is_lonely { 1 } else { 4 });
            } else {
                due.entry(whose).or_default().push(*address);
            }
        }
        let mut attempts = Vec::new();
        for addresses in due.values_mut() {
            in_order(addresses);
            for (turn, address) in (0_u64..).zip(addresses.iter()) {
                let Some(candidate) = self.candidates.get_mut(address) else { continue };
                if turn == 0 {
                    candidate.attempted(now);
                    attempts.push((candidate.node, *address));
                } else {
                    candidate.due = now + CONNECT_STAGGER.times(turn);
                }
            }
        }
        attempts
    }

    /// Tries an address at once, whatever came of it before.
    pub fn add_now(&mut self, now: Time, address: SocketAddr) {
        self.add(now, address, None);
        if let Some(candidate) = self.candidates.get_mut(&address) {
            candidate.begin_anew(now, now);
        }
    }

    /// The roster or a description changed. In a large vault that is often: it is looked at once in a while.
    pub fn recheck(&mut self, now: Time) {
        let then = self.rechecked.map_or(now, |last| now.max(last + RECHECK_PAUSE));
        self.recheck = Some(self.recheck.map_or(then, |due| due.min(then)));
    }

    /// When something is to be tried.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let next =
            self.candidates.follows(|candidates| candidates.values().map(|candidate| candidate.due).min());
        next.into_iter().chain(self.recheck).min()
    }
}

impl Core {
    /// Tries what is due.
    pub(super) fn reach_timeout(&mut self) {
        let now = self.now.time;
        self.note_multicast();
        if self.reach.deadline().is_none_or(|due| due > now) {
            return;
        }
        if self.member.is_none() {
            let later = now + CONNECT_PAUSE_MAX;
            self.reach.candidates.values_mut().for_each(|one| one.due = one.due.max(later));
            self.reach.recheck = None;
            return;
        }
        if self.reach.recheck.is_some_and(|due| due <= now) {
            (self.reach.recheck, self.reach.rechecked) = (None, Some(now));
            self.collect_addresses();
            self.note_missed();
        }
        let connected: BTreeMap<NodeId, SocketAddr> =
            gather::map(self.endpoint.peers().map(|peer| (peer.node, peer.address)));
        let at: BTreeSet<SocketAddr> = gather::set(connected.values().copied());
        let listening = &self.listening.addresses;
        let (sessions, is_enough) = (connected.len(), self.has_links_enough(connected.len()));
        let is_lonely = self.reach.linking.is_choosing() && sessions < LINKS_FEW;
        let known = self.reach.candidates.values().filter_map(|candidate| candidate.node);
        let open: BTreeSet<NodeId> =
            known.filter(|node| self.reach.linking.may_try(now, node, sessions)).collect();
        let attempts = self.reach.take_due(now, is_lonely, |address, whose| {
            let is_needless = match whose {
                Whose::Node(node) => connected.contains_key(node) || !open.contains(node),
                Whose::Announcer(_) | Whose::Unknown(_) => is_enough,
            };
            is_needless || at.contains(address) || listening.contains(address)
        });
        for (node, address) in attempts {
            let member = node.filter(|node| {
                self.member.as_ref().is_some_and(|own| own.view.roster().member(node).is_some())
            });
            self.endpoint.connect(now, member, address);
        }
    }

    /// Collects addresses of members from what they say and where they were.
    fn collect_addresses(&mut self) {
        let Some(member) = &self.member else { return };
        let mut found: Vec<(SocketAddr, Option<NodeId>)> = Vec::new();
        for other in self.reach.linking.wanted(member) {
            if let Some(describe) = member.view.describe(&other) {
                found.extend(describe.addresses.iter().map(|address| (*address, Some(other))));
            }
            found.extend(self.reach.seen.at(&other).map(|address| (*address, Some(other))));
        }
        // Whom it was linked with before is not tried any more, nor who is no member. What was configured or announced would come again.
        let (linking, configured) = (&self.reach.linking, &self.setup.config.peers);
        let is_choosing = linking.is_choosing();
        let is_wanted = |node: NodeId| {
            member.view.roster().member(&node).is_some() && (!is_choosing || linking.wants(&node))
        };
        self.reach.candidates.retain(|address, one| {
            one.node.is_none_or(is_wanted) || one.announcer.is_some() || configured.contains(address)
        });
        found.extend(self.setup.config.peers.iter().map(|address| (*address, None)));
        for (address, node) in found {
            self.reach.add(self.now.time, address, node);
        }
    }

    /// A session stands.
    pub(super) fn peer_up(&mut self, node: NodeId, address: SocketAddr) {
        let now = self.now.time;
        self.peer_met(node, address);
        let name = self.member.as_ref().map_or_else(|| node.short(), |member| member.name_of(&node));
        self.note_session(&node, format!("connected to {name} at {address}"));
        self.reach.linking.up(now, node);
        self.reach.linking.finding.up(now, &node);
        self.greet(node);
        self.member.iter().for_each(|member| self.source.asks_for(&member.node));
        self.source.peer_up(now, node);
        self.seeking_up(&node);
        self.holding.peer_up(now);
        self.healing_peer_up();
        let chance = self.rng.next_u64();
        let for_long = self.reach.linking.is_meshed(&node);
        self.reconciling.peer_up(now, node, for_long, chance);
        self.entered_up(node);
        self.remember_seen(node, address);
    }

    /// Something came of an attempt to reach somebody, or calls for one.
    pub(super) fn reach_event(&mut self, event: &Event) {
        match event {
            Event::ConnectFailed { peer: _, address } => self.connect_failed(*address),
            Event::Reached { node, address } => self.peer_met(*node, *address),
            Event::Unclaimed { from } => self.unclaimed(*from),
            Event::Crowded { node } => self.reach.linking.crowded(self.now.time, *node),
            other => log::debug!("{other:?} is none of reaching's"),
        }
    }

    /// A node was met at an address: attempts at its other addresses are needless.
    pub(super) fn peer_met(&mut self, node: NodeId, address: SocketAddr) {
        let now = self.now.time;
        for other in self.reach.met(now, address, node) {
            self.endpoint.abandon(now, other);
        }
    }

    /// Somebody sends packets of a session that this node does not know (any more). If a member may be there it is tried
    /// at once: it may have been left behind by a restart of this node, and would not notice for long.
    pub(super) fn unclaimed(&mut self, from: SocketAddr) {
        self.reach.hint(self.now.time, from);
    }

    /// A session has ended.
    pub(super) fn peer_down(&mut self, node: &NodeId, reason: &str) {
        let now = self.now.time;
        let name = self.member.as_ref().map_or_else(|| node.short(), |member| member.name_of(node));
        self.note_session(node, format!("lost {name}: {reason}"));
        self.forget_feeds_of(node);
        self.reach.linking.down(node);
        self.source.peer_down(now, node);
        self.drill_peer_down(node);
        self.reconciling.peer_down(now, node);
        for candidate in self.reach.candidates.values_mut().filter(|candidate| candidate.node == Some(*node))
        {
            candidate.begin_anew(now, now + CONNECT_PAUSE_MIN);
        }
        self.reach.recheck(now);
        self.check_waiting_backups();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::discovery::State;

    #[test]
    fn an_announcement_is_remembered_as_it_was_said_last_and_the_oldest_is_forgotten() {
        let mut reach = Reach::default();
        let address: SocketAddr = "10.0.0.1:7117".parse().unwrap();
        let said =
            |instance: &str, state| Announcement { instance: instance.into(), port: 7117, state, tag: None };
        reach.hear(Time::ZERO, &[address], &said("a", State::Member));
        reach.hear(Time::ZERO + Span::from_secs(1), &[address], &said("a", State::Inviting));
        assert_eq!(reach.heard["a"].announcement.state, State::Inviting);
        for number in 0..SIGHTINGS_MAX {
            reach.hear(Time::ZERO + Span::from_secs(2), &[address], &said(&format!("n{number}"), State::New));
        }
        assert_eq!(reach.heard.len(), SIGHTINGS_MAX);
        assert!(!reach.heard.contains_key("a"));
    }

    #[test]
    fn where_members_had_all_the_addresses_that_may_be_kept_a_new_one_takes_the_place_of_the_oldest() {
        let mut reach = Reach::default();
        let at = |number: usize| SocketAddr::from(([10, 0, 0, 1], u16::try_from(number + 1).unwrap()));
        let day = |number: usize| Time::ZERO + Span::from_secs(86_400).times(u64::try_from(number).unwrap());
        let node = NodeId::from_bytes([1; 32]);
        for number in 0..REACH_ADDRESSES_MAX {
            reach.met(day(number), at(number), node);
        }
        // Where it was first it is again.
        reach.met(day(REACH_ADDRESSES_MAX), at(0), node);
        reach.add(day(REACH_ADDRESSES_MAX), at(REACH_ADDRESSES_MAX), None);
        assert_eq!(reach.candidates.len(), REACH_ADDRESSES_MAX);
        assert!(
            reach.candidates.contains_key(&at(REACH_ADDRESSES_MAX)) && reach.candidates.contains_key(&at(0))
        );
        assert!(!reach.candidates.contains_key(&at(1)), "nobody was there for longest");
    }

    #[test]
    fn where_there_is_no_room_the_address_tried_in_vain_for_longest_goes_and_no_members() {
        let mut reach = Reach::default();
        let at = |number: usize| SocketAddr::from(([10, 0, 0, 1], u16::try_from(number + 1).unwrap()));
        let node = NodeId::from_bytes([1; 32]);
        reach.add(Time::ZERO, at(0), Some(node));
        reach.add(Time::ZERO, at(1), None);
        let now = Time::ZERO + Span::from_secs(1);
        assert_eq!(reach.take_due(now, false, |_, _| false), [(Some(node), at(0)), (None, at(1))]);
        for number in 2..REACH_ADDRESSES_MAX + 1 {
            reach.add(now, at(number), None);
        }
        assert_eq!(reach.candidates.len(), REACH_ADDRESSES_MAX);
        let has = |number| reach.candidates.contains_key(&at(number));
        assert!(has(0) && !has(1) && has(REACH_ADDRESSES_MAX));
    }

    /// A few addresses.
    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_packet_of_an_unknown_session_hastens_an_attempt_but_not_again_and_again() {
        let mut reach = Reach::default();
        let (known, unknown) = ("10.0.0.1:1".parse().unwrap(), "10.0.0.2:1".parse().unwrap());
        reach.add(Time::ZERO, known, None);
        let (mut last, mut attempts) = (Time::ZERO, 0);
        while last < Time::ZERO + CONNECT_EAGER_TIME.times(2) {
            let now = reach.deadline().unwrap();
            assert_eq!(reach.take_due(now, false, |_, _| false).len(), 1);
            let is_eager = now < Time::ZERO + CONNECT_EAGER_TIME;
            assert!(now.since(last) <= if is_eager { CONNECT_PAUSE_EAGER_MAX } else { CONNECT_PAUSE_MAX });
            (last, attempts) = (now, attempts + 1);
        }
        assert!((290..=310).contains(&attempts), "an hour of short pauses, an hour of long ones: {attempts}");
        let late = reach.deadline().unwrap();
        let now = last + Span::from_secs(10);
        assert!(now + Span::from_secs(30) < late, "the pauses have grown");
        reach.hint(now, unknown);
        assert_eq!(
            (reach.deadline(), reach.candidates.len()),
            (Some(late), 1),
            "only addresses that are known"
        );
        reach.hint(now, known);
        assert_eq!(reach.take_due(now, false, |_, _| false), [(None, known)]);
        let soon = now + Span::from_micros(900_000);
        reach.hint(soon, known);
        assert_eq!(reach.take_due(soon, false, |_, _| false), []);
    }

    #[test]
    fn an_announcement_ends_the_pause_at_once() {
        let mut reach = Reach::default();
        let place = addresses(&["10.0.0.1:1"])[0];
        let tries = |reach: &mut Reach, now| reach.take_due(now, false, |_, _| false).len();
        reach.add_announced(Time::ZERO, place, "a");
        for _ in 0..8 {
            let now = reach.deadline().unwrap();
            assert_eq!(tries(&mut reach, now), 1);
        }
        let between = reach.deadline().unwrap() - Span::from_secs(6);
        assert_eq!(tries(&mut reach, between), 0);
        reach.add_announced(between, place, "a");
        assert_eq!(tries(&mut reach, between), 1);
        // mDNS tells a thing several times: that is no reason to try as often.
        let soon = between + Span::from_micros(900_000);
        reach.add_announced(soon, place, "a");
        assert_eq!(tries(&mut reach, soon), 0);
        // A node that was started anew announces itself under a new name.
        reach.add_announced(soon, place, "b");
        assert_eq!(tries(&mut reach, soon), 1);
    }

    #[test]
    fn the_addresses_of_a_node_are_tried_one_after_another_until_one_answers() {
        let mut reach = Reach::default();
        let all = addresses(&["8.8.8.8:1", "192.168.1.5:1", "[fe80::1%2]:1", "192.168.1.6:1"]);
        for address in &all {
            reach.add_announced(Time::ZERO, *address, "a");
        }
        reach.add(Time::ZERO, "10.0.0.9:1".parse().unwrap(), None);
        let mut tried = Vec::new();
        for _ in 0..3 {
            let now = reach.deadline().unwrap();
            tried.extend(reach.take_due(now, false, |_, _| false).iter().map(|(_, address)| (*address, now)));
        }
        let after = |steps: u64| Time::ZERO + CONNECT_STAGGER.times(steps);
        let expected = [("192.168.1.5:1", 0), ("10.0.0.9:1", 0), ("[fe80::1%2]:1", 1), ("192.168.1.6:1", 2)];
        let expected = expected.map(|(text, steps)| (text.parse().unwrap(), after(steps)));
        assert_eq!(tried, expected, "unrelated ones do not wait for each other");
        // The second one answers: the others are known to be the same node's, and are left alone.
        let node = NodeId::from_bytes([7; 32]);
        let mut others = reach.met(after(2), all[2], node);
        others.sort();
        assert_eq!(others, addresses(&["8.8.8.8:1", "192.168.1.5:1", "192.168.1.6:1"]));
        let is_idle = |_: &SocketAddr, whose: &Whose| *whose == Whose::Node(node);
        let later = Time::ZERO + CONNECT_PAUSE_MAX;
        assert_eq!(reach.take_due(later, false, is_idle), [(None, "10.0.0.9:1".parse().unwrap())]);
    }
}
