//! Reaching the other members: which addresses are tried, and when.
//!
//! Addresses come from the members' own descriptions, from mDNS, from the configuration, and from where a peer was seen
//! last. Each is tried on its own, with a pause that doubles up to [`CONNECT_PAUSE_MAX`]; an address that leads to a
//! member with a session is left alone. Nothing here knows what a session is: the endpoint does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::activity::Level;
use super::after::AfterSave;
use super::core::Core;
use crate::base::ids::NodeId;
use crate::base::limits::{
    ADDRESSES_PER_MESSAGE_MAX, CONNECT_PAUSE_MAX, CONNECT_PAUSE_MIN, REACH_ADDRESSES_MAX, SIGHTINGS_MAX,
};
use crate::base::units::{Span, Time};
use crate::peer::discovery::{Announcement, Search, State};

/// The setting that remembers where peers were seen last.
const SEEN_KEY: &str = "seen";

/// Addresses and when to try them.
#[derive(Debug, Default)]
pub struct Reach {
    /// By address.
    candidates: BTreeMap<SocketAddr, Candidate>,
    /// Where members were met last; saved.
    seen: BTreeMap<NodeId, SocketAddr>,
    /// Look at the roster's addresses again.
    recheck: Option<Time>,
    /// What was last announced on the network, by instance: mDNS tells a change once, and perhaps before it matters.
    heard: BTreeMap<String, Heard>,
}

/// One announcer.
#[derive(Debug)]
struct Heard {
    /// Where it is.
    addresses: Vec<SocketAddr>,
    /// What it says.
    announcement: Announcement,
    /// When it did.
    last: Time,
}

/// One address.
#[derive(Debug)]
struct Candidate {
    /// Who is there, if that is known.
    node: Option<NodeId>,
    /// Not before then.
    due: Time,
    /// The pause after the next attempt.
    pause: Span,
}

impl Reach {
    /// Remembers an announcement; the oldest is forgotten where there are too many.
    fn hear(&mut self, now: Time, addresses: &[SocketAddr], announcement: &Announcement) {
        if !self.heard.contains_key(&announcement.instance) && self.heard.len() >= SIGHTINGS_MAX {
            let oldest = self.heard.iter().min_by_key(|(_, one)| one.last).map(|(name, _)| name.clone());
            oldest.map(|name| self.heard.remove(&name));
        }
        let addresses = addresses.iter().take(ADDRESSES_PER_MESSAGE_MAX).copied().collect();
        let heard = Heard { addresses, announcement: announcement.clone(), last: now };
        self.heard.insert(announcement.instance.clone(), heard);
    }

    /// What was remembered.
    pub fn load(&mut self, settings: &BTreeMap<String, Vec<u8>>) {
        let bytes = settings.get(SEEN_KEY).map_or(&[][..], Vec::as_slice);
        if let Ok((seen, [])) = postcard::take_from_bytes::<Vec<(NodeId, SocketAddr)>>(bytes) {
            self.seen = seen.into_iter().collect();
        }
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
        if self.candidates.len() < REACH_ADDRESSES_MAX {
            self.candidates.insert(address, Candidate { node, due: now, pause: CONNECT_PAUSE_MIN });
        }
    }

    /// Tries an address at once, whatever came of it before.
    pub fn add_now(&mut self, now: Time, address: SocketAddr) {
        self.add(now, address, None);
        if let Some(candidate) = self.candidates.get_mut(&address) {
            (candidate.due, candidate.pause) = (now, CONNECT_PAUSE_MIN);
        }
    }

    /// The roster or a description changed.
    pub fn recheck(&mut self, now: Time) {
        self.recheck = Some(now);
    }

    /// When something is to be tried.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.candidates.values().map(|candidate| candidate.due).chain(self.recheck).min()
    }
}

impl Core {
    /// Tries what is due.
    pub(super) fn reach_timeout(&mut self) {
        let now = self.now.time;
        if self.member.is_none() {
            for candidate in self.reach.candidates.values_mut() {
                candidate.due = candidate.due.max(now + CONNECT_PAUSE_MAX);
            }
            return;
        }
        if self.reach.recheck.is_some_and(|due| due <= now) {
            self.reach.recheck = None;
            self.collect_addresses();
        }
        let connected: BTreeMap<NodeId, SocketAddr> =
            self.endpoint.peers().map(|peer| (peer.node, peer.address)).collect();
        let at: BTreeSet<SocketAddr> = connected.values().copied().collect();
        let mut attempts = Vec::new();
        for (address, candidate) in &mut self.reach.candidates {
            if candidate.due > now {
                continue;
            }
            let idle = at.contains(address)
                || self.listening.contains(address)
                || candidate.node.is_some_and(|node| connected.contains_key(&node));
            if idle {
                candidate.due = now + CONNECT_PAUSE_MAX;
                continue;
            }
            candidate.due = now + candidate.pause;
            candidate.pause = candidate.pause.times(2).min(CONNECT_PAUSE_MAX);
            attempts.push((candidate.node, *address));
        }
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
        for other in member.view.roster().members().filter(|other| other.node != member.node) {
            if let Some(describe) = member.view.describe(&other.node) {
                found.extend(describe.addresses.iter().map(|address| (*address, Some(other.node))));
            }
            found.extend(self.reach.seen.get(&other.node).map(|address| (*address, Some(other.node))));
        }
        found.extend(self.setup.config.peers.iter().map(|address| (*address, None)));
        for (address, node) in found {
            self.reach.add(self.now.time, address, node);
        }
    }

    /// A session stands.
    pub(super) fn peer_up(&mut self, node: NodeId, address: SocketAddr) {
        let now = self.now.time;
        self.reach.add(now, address, Some(node));
        if let Some(candidate) = self.reach.candidates.get_mut(&address) {
            candidate.node = Some(node);
            candidate.due = now + CONNECT_PAUSE_MAX;
            candidate.pause = CONNECT_PAUSE_MIN;
        }
        let name = self.member.as_ref().map_or_else(|| node.short(), |member| member.name_of(&node));
        self.note(Level::Info, "peers", format!("connected to {name} at {address}"));
        self.greet(node);
        self.source.peer_up(now, node);
        self.holding.peer_up(now);
        self.entered_up(node);
        if self.reach.seen.insert(node, address) != Some(address) {
            let seen: Vec<(NodeId, SocketAddr)> =
                self.reach.seen.iter().map(|(node, address)| (*node, *address)).collect();
            let bytes = postcard::to_stdvec(&seen).ok();
            self.save(vec![(SEEN_KEY.to_owned(), bytes)], AfterSave::Nothing);
        }
    }

    /// A session has ended.
    pub(super) fn peer_down(&mut self, node: &NodeId, reason: &str) {
        let now = self.now.time;
        let name = self.member.as_ref().map_or_else(|| node.short(), |member| member.name_of(node));
        self.note(Level::Info, "peers", format!("lost {name}: {reason}"));
        self.forget_feeds_of(node);
        self.source.peer_down(now, node);
        for candidate in self.reach.candidates.values_mut().filter(|candidate| candidate.node == Some(*node))
        {
            (candidate.due, candidate.pause) = (now + CONNECT_PAUSE_MIN, CONNECT_PAUSE_MIN);
        }
        self.reach.recheck(now);
        self.check_waiting_backups();
    }

    /// Somebody announced itself on the network.
    pub(super) fn sighted(&mut self, addresses: &[SocketAddr], announcement: &Announcement) {
        self.reach.hear(self.now.time, addresses, announcement);
        self.heed(addresses, announcement);
    }

    /// A way into a vault has begun: what was announced before is news again.
    pub(super) fn heed_all(&mut self) {
        let heard: Vec<_> =
            self.reach.heard.values().map(|one| (one.addresses.clone(), one.announcement.clone())).collect();
        for (addresses, announcement) in heard {
            self.heed(&addresses, &announcement);
        }
    }

    /// Does what an announcement calls for.
    fn heed(&mut self, addresses: &[SocketAddr], announcement: &Announcement) {
        let now = self.now.time;
        if announcement.state == State::Inviting {
            self.entering_sighted(addresses);
        }
        let day = self.day();
        let ours = self
            .member
            .as_ref()
            .is_some_and(|member| announcement.matches(Search::Vault(member.keys.door().as_bytes(), day)));
        if ours {
            for address in addresses {
                self.reach.add(now, *address, None);
            }
            self.entering_vault_sighted(addresses);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
