//! Finding: where a member is and who holds a chunk, asked of others when the own view is stale; and answering them.
//!
//! ```text
//!   own:      open --Known (the first that names somebody)--> attempts, sessions prove who is there
//!                \--LOOKUP_TIME_MAX--> over; asked again after LOOKUP_EVERY
//!   others':  known here --> Known.    not known, not forwarded yet --> passed on to LOOKUP_PEERS
//!                                         --their Known--> Known     --RELAY_TIME_MAX--> Known (what is here)
//! ```
//!
//! Every member has every other's address record (Describe) and every receipt, so most of the time nobody asks. The record is stale
//! when a node has moved and its entry has not come here yet; then whoever has a session with it knows better. An answer is
//! a hint (`hints.rs`) to a question that was asked; all else is dropped. Questions are passed on once, counted by peer
//! and bounded in number.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use serde_json::{json, Value};

use super::activity::Level;
use super::core::Core;
use super::seeking::Seeking;
use crate::base::ids::{Group, NodeId};
use crate::base::limits::{
    ADDRESSES_PER_MESSAGE_MAX, LOOKUPS_MAX, LOOKUPS_PER_TURN_MAX, LOOKUP_AFTER, LOOKUP_EVERY, LOOKUP_PEERS,
    LOOKUP_TIME_MAX, LOOKUP_TURN, RELAYS_MAX, RELAY_ASKERS_MAX, RELAY_TIME_MAX, SIGHTINGS_PER_MESSAGE_MAX,
};
use crate::base::units::Time;
use crate::wire::frame::Lane;
use crate::wire::message::{About, Message, Sighting};
use askers::Askers;
use hints::{is_possible, Hints};

mod askers;
mod hints;

/// Questions and answers.
#[derive(Debug, Default)]
pub struct Finding {
    /// This node's own.
    questions: BTreeMap<About, Question>,
    /// Others', passed on.
    relays: BTreeMap<About, Relay>,
    /// What each peer has asked.
    askers: Askers,
    /// Members that are missed: since when, and when they were asked for last.
    missed: BTreeMap<NodeId, (Time, Option<Time>)>,
    /// When to look for the next who is missed.
    turn_due: Option<Time>,
    /// Where answers have led.
    hints: Hints,
    /// What was done.
    counts: Counts,
    /// Chunks that are sought.
    pub(super) seeking: Seeking,
}

/// What was done so far.
#[derive(Debug, Default)]
struct Counts {
    /// Questions of this node.
    asked: u64,
    /// Of these, answered with somebody's name.
    found: u64,
    /// Questions of others that were answered.
    answered: u64,
    /// Questions of others that were passed on.
    forwarded: u64,
    /// Answers that nobody had asked for.
    unasked: u64,
}

/// A question of this node.
#[derive(Debug)]
struct Question {
    /// Whom it was asked of.
    peers: BTreeSet<NodeId>,
    /// When it is over.
    until: Time,
}

/// A question that was passed on.
#[derive(Debug)]
struct Relay {
    /// Who waits for the answer.
    askers: BTreeSet<NodeId>,
    /// Whom it was passed on to and who has not answered.
    peers: BTreeSet<NodeId>,
    /// When it is answered at the latest.
    until: Time,
}

impl Finding {
    /// When something is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let questions = self.questions.values().map(|question| question.until);
        let relays = self.relays.values().map(|relay| relay.until);
        questions.chain(relays).chain(self.turn_due).min()
    }

    /// A session stands: nobody is missed there. Who else is may be asked for here.
    pub fn up(&mut self, now: Time, node: &NodeId) {
        self.missed.remove(node);
        if !self.missed.is_empty() {
            self.turn_due = Some(self.turn_due.map_or(now, |due| due.min(now)));
        }
    }
}

impl Core {
    /// Asks those who are likeliest to know. False if nobody could be asked, or it was asked just now.
    pub(super) fn look_for(&mut self, about: About) -> bool {
        let now = self.now.time;
        if self.reach.linking.finding.questions.contains_key(&about)
            || self.reach.linking.finding.questions.len() >= LOOKUPS_MAX
        {
            return false;
        }
        let peers = self.who_may_know(&about, &[]);
        let mut asked = BTreeSet::new();
        for peer in peers {
            if self.send(&peer, Lane::Control, &Message::Who { about, forwarded: false }) {
                asked.insert(peer);
            }
        }
        if asked.is_empty() {
            return false;
        }
        self.reach.linking.finding.counts.asked += 1;
        self.reach
            .linking
            .finding
            .questions
            .insert(about, Question { peers: asked, until: now + LOOKUP_TIME_MAX });
        true
    }

    /// Connected peers that are likeliest to know: those nearest on the ring, for they are linked with it.
    fn who_may_know(&self, about: &About, but: &[NodeId]) -> Vec<NodeId> {
        let bytes = match about {
            About::Node(node) => *node.as_bytes(),
            About::Chunk(id) => *id.as_bytes(),
        };
        let target = u64::from_be_bytes(*bytes.first_chunk().unwrap_or(&[0; 8]));
        let distance = |node: &NodeId| {
            let place = u64::from_be_bytes(*node.as_bytes().first_chunk().unwrap_or(&[0; 8]));
            place.wrapping_sub(target).min(target.wrapping_sub(place))
        };
        let is_other = |peer: &&NodeId| *about != About::Node(**peer) && !but.contains(peer);
        let mut peers: Vec<NodeId> = self.gossip.peers().filter(is_other).copied().collect();
        peers.sort_by_key(distance);
        peers.truncate(LOOKUP_PEERS);
        peers
    }

    /// A peer asks or answers.
    pub(super) fn lookup_came(&mut self, node: &NodeId, message: Message) {
        match message {
            Message::Who { about, forwarded } => self.who_came(node, about, forwarded),
            Message::Known { about, sightings } => self.known_came(node, about, sightings),
            other => log::debug!("{other:?} is none of lookup's"),
        }
    }

    /// A peer asks.
    fn who_came(&mut self, node: &NodeId, about: About, forwarded: bool) {
        let now = self.now.time;
        let (may_ask, is_too_much) = self.reach.linking.finding.askers.admit(now, node);
        if is_too_much {
            let name = self.member.as_ref().map_or_else(|| node.short(), |member| member.name_of(node));
            let message = format!("{name} asks too often where others are; it is not answered for a while");
            self.note(Level::Warn, "peers", message);
        }
        if !may_ask {
            return;
        }
        let (sightings, is_certain) = self.known_of(&about);
        if is_certain || forwarded || !self.pass_on(node, about) {
            self.reach.linking.finding.counts.answered += 1;
            self.send(node, Lane::Control, &Message::Known { about, sightings });
        }
    }

    /// Passes a question on, once. False if nobody else could know, or too many wait.
    fn pass_on(&mut self, asker: &NodeId, about: About) -> bool {
        let is_own = matches!(&self.member, Some(member) if about == About::Node(member.node));
        if let Some(relay) = self.reach.linking.finding.relays.get_mut(&about) {
            let fits = relay.askers.len() < RELAY_ASKERS_MAX;
            if fits {
                relay.askers.insert(*asker);
            }
            return fits;
        }
        if is_own || self.reach.linking.finding.relays.len() >= RELAYS_MAX {
            return false;
        }
        let mut peers = BTreeSet::new();
        for peer in self.who_may_know(&about, &[*asker]) {
            if self.send(&peer, Lane::Control, &Message::Who { about, forwarded: true }) {
                peers.insert(peer);
            }
        }
        if peers.is_empty() {
            return false;
        }
        self.reach.linking.finding.counts.forwarded += 1;
        let until = self.now.time + RELAY_TIME_MAX;
        self.reach
            .linking
            .finding
            .relays
            .insert(about, Relay { askers: BTreeSet::from([*asker]), peers, until });
        true
    }

    /// What is known here, and whether it is so by a session rather than by a record.
    fn known_of(&self, about: &About) -> (Vec<Sighting>, bool) {
        let Some(member) = &self.member else { return (Vec::new(), true) };
        match about {
            About::Node(node) if member.view.roster().member(node).is_none() => (Vec::new(), true),
            About::Node(node) => {
                let is_certain = *node == member.node || self.gossip.is_connected(node);
                (vec![self.sighting_of(node)], is_certain)
            }
            About::Chunk(id) => {
                let holders = self.holders_of(Group::of(id));
                let sightings = holders.iter().take(SIGHTINGS_PER_MESSAGE_MAX);
                (sightings.map(|node| self.sighting_of(node)).collect(), !holders.is_empty())
            }
        }
    }

    /// Where a member is, as far as is known here, newest first: its session, where it was met last, what it says.
    fn sighting_of(&self, node: &NodeId) -> Sighting {
        let mut addresses: Vec<SocketAddr> = Vec::new();
        let connected = self.endpoint.peers().find(|peer| peer.node == *node).map(|peer| peer.address);
        let own = self.member.as_ref().filter(|member| member.node == *node);
        let own = own.map_or(&[][..], |_| &self.listening.addresses);
        let described = self.member.as_ref().and_then(|member| member.view.describe(node));
        let described = described.map_or(&[][..], |describe| &describe.addresses);
        let all = connected.iter().chain(own).chain(self.reach.seen.at(node)).chain(described);
        for address in all.filter(|address| is_possible(address, true)) {
            if addresses.len() < ADDRESSES_PER_MESSAGE_MAX && !addresses.contains(address) {
                addresses.push(*address);
            }
        }
        Sighting { node: *node, addresses }
    }

    /// A peer answers.
    fn known_came(&mut self, node: &NodeId, about: About, sightings: Vec<Sighting>) {
        let names_somebody = sightings.iter().any(|sighting| !sighting.addresses.is_empty());
        let mut expected = false;
        if let Some(question) = self.reach.linking.finding.questions.get_mut(&about) {
            expected = question.peers.remove(node);
            if expected && (names_somebody || question.peers.is_empty()) {
                self.reach.linking.finding.questions.remove(&about);
            }
        }
        if expected && names_somebody {
            self.reach.linking.finding.counts.found += 1;
            self.heed_sightings(&about, &sightings);
        }
        let relay = self.reach.linking.finding.relays.get_mut(&about);
        let relayed = relay.is_some_and(|relay| {
            let is_theirs = relay.peers.remove(node);
            is_theirs && (names_somebody || relay.peers.is_empty())
        });
        if relayed {
            self.answer_relay(about, sightings);
        } else if !expected {
            self.reach.linking.finding.counts.unasked += 1;
        }
    }

    /// Tells those who wait for it.
    fn answer_relay(&mut self, about: About, mut sightings: Vec<Sighting>) {
        let Some(relay) = self.reach.linking.finding.relays.remove(&about) else { return };
        if sightings.iter().all(|sighting| sighting.addresses.is_empty()) {
            sightings = self.known_of(&about).0;
        }
        for asker in relay.askers {
            self.reach.linking.finding.counts.answered += 1;
            let sightings = sightings.clone();
            self.send(&asker, Lane::Control, &Message::Known { about, sightings });
        }
    }

    /// Tries the addresses in an answer to an own question, if they are worth it.
    fn heed_sightings(&mut self, about: &About, sightings: &[Sighting]) {
        let now = self.now.time;
        for sighting in sightings {
            let node = sighting.node;
            let is_meant = match about {
                About::Node(wanted) => *wanted == node,
                About::Chunk(id) => self.found_holder(id, node),
            };
            let is_member =
                self.member.as_ref().is_some_and(|member| member.view.roster().member(&node).is_some());
            if let (true, About::Chunk(id)) = (self.gossip.is_connected(&node), about) {
                // It has newer receipts than are known here, and can be asked at once.
                self.seek(*id, true);
            }
            if !is_meant || !is_member || self.gossip.is_connected(&node) {
                continue;
            }
            for address in
                self.reach.linking.finding.hints.take(now, &sighting.addresses, &self.listening.addresses)
            {
                self.endpoint.connect(now, Some(node), address);
            }
        }
    }

    /// Looks for who is missed, answers what waits for too long, forgets what nobody has answered.
    pub(super) fn finding_timeout(&mut self) {
        let now = self.now.time;
        if self.reach.linking.finding.deadline().is_none_or(|due| due > now) {
            return;
        }
        self.reach.linking.finding.questions.retain(|_, question| question.until > now);
        let late: Vec<About> = self
            .reach
            .linking
            .finding
            .relays
            .iter()
            .filter(|(_, relay)| relay.until <= now)
            .map(|(about, _)| *about)
            .collect();
        for about in late {
            self.answer_relay(about, Vec::new());
        }
        if self.reach.linking.finding.turn_due.is_some_and(|due| due <= now) {
            self.look_for_missed();
        }
    }

    /// Somebody may be missed, or no longer: looks at the members that are wanted and not connected.
    pub(super) fn note_missed(&mut self) {
        let now = self.now.time;
        let Some(member) = &self.member else { return };
        let wanted =
            self.reach.linking.wanted(member).into_iter().filter(|node| !self.gossip.is_connected(node));
        let wanted: BTreeSet<NodeId> = wanted.collect();
        self.reach.linking.finding.missed.retain(|node, _| wanted.contains(node));
        for node in wanted {
            self.reach.linking.finding.missed.entry(node).or_insert((now, None));
        }
        let due = now + LOOKUP_AFTER;
        if !self.reach.linking.finding.missed.is_empty() {
            self.reach.linking.finding.turn_due =
                Some(self.reach.linking.finding.turn_due.map_or(due, |before| before.min(due)));
        }
    }

    /// Asks for those who have been missed for long enough, a few at a time.
    fn look_for_missed(&mut self) {
        let now = self.now.time;
        self.reach.linking.finding.turn_due = None;
        if self.gossip.peers().next().is_none() {
            // The next session brings the next turn.
            return;
        }
        let due_at = |(since, asked): &(Time, Option<Time>)| {
            asked.map_or(*since + LOOKUP_AFTER, |asked| asked + LOOKUP_EVERY)
        };
        let due: Vec<NodeId> = self
            .reach
            .linking
            .finding
            .missed
            .iter()
            .filter(|(_, times)| due_at(times) <= now)
            .map(|(node, _)| *node)
            .take(LOOKUPS_PER_TURN_MAX)
            .collect();
        for node in due {
            if self.look_for(About::Node(node)) {
                if let Some((_, last)) = self.reach.linking.finding.missed.get_mut(&node) {
                    *last = Some(now);
                }
            }
        }
        let next = self.reach.linking.finding.missed.values().map(due_at).min();
        self.reach.linking.finding.turn_due = next.map(|next| next.max(now + LOOKUP_TURN));
    }

    /// For `status`.
    pub(super) fn lookup_status(&self) -> Value {
        let counts = &self.reach.linking.finding.counts;
        json!({
            "asked": counts.asked, "found": counts.found, "answered": counts.answered,
            "forwarded": counts.forwarded, "dropped": self.reach.linking.finding.askers.dropped_count(), "unasked": counts.unasked,
            "hints_refused": self.reach.linking.finding.hints.refused_count(),
        })
    }
}
