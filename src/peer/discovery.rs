//! Facts about mDNS announcements: what a node says of itself, which announcements are of our vault, and which of the
//! sighted addresses to try next.
//!
//! Owns: the TXT keys `v`, `s` and `t`, the daily vault tag, the pace of tries. Refuses: sockets and the mDNS daemon
//! (`io/mdns.rs`), and trust: an announcement is a hint, the handshake decides. Read first: PROTOCOL.md, "Discovery".

use super::handshake::derive;
use crate::base::ids::hex;
use crate::base::limits::{
    ADDRESSES_PER_MESSAGE_MAX, DISCOVERY_DEFER, DISCOVERY_RETRY, DISCOVERY_STEP, INSTANCE_BYTES_MAX,
    SIGHTINGS_MAX,
};
use crate::base::units::{Time, WallTime};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// What a node is, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// In no vault yet.
    New,
    /// In a vault.
    Member,
    /// In a vault, and showing a code.
    Inviting,
}

/// One announcement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Its name on the network: random, new with each run, so that it names nobody.
    pub instance: String,
    /// UDP port.
    pub port: u16,
    /// What the node is.
    pub state: State,
    /// Its vault's tag of the day.
    pub tag: Option<String>,
}

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search<'a> {
    /// Members of the vault with this door secret, on this day.
    Vault(&'a [u8; 32], i64),
    /// Nodes that invite.
    Inviters,
}

/// Nodes that were sighted, and when to try which of their addresses.
#[derive(Debug)]
pub struct Sightings {
    /// This node's own name on the network.
    own: String,
    /// The others, by theirs.
    seen: BTreeMap<String, Sighted>,
}

/// One of them.
#[derive(Debug)]
struct Sighted {
    /// What it said last.
    announcement: Announcement,
    /// Where it is: likeliest first.
    addresses: Vec<SocketAddr>,
    /// Which of them is tried next.
    turn: usize,
    /// When.
    next: Time,
    /// When it was sighted last.
    last: Time,
}

impl State {
    /// As in TXT `s`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Member => "member",
            Self::Inviting => "inviting",
        }
    }
}

impl Announcement {
    /// The TXT record.
    #[must_use]
    pub fn txt(&self) -> Vec<(&'static str, String)> {
        let mut txt = vec![("v", VERSION.to_owned()), ("s", self.state.word().to_owned())];
        txt.extend(self.tag.iter().map(|tag| ("t", tag.clone())));
        txt
    }

    /// Reads an announcement; `value` looks up TXT keys. None if it is of another version or malformed.
    #[must_use]
    pub fn read<'a>(instance: &str, port: u16, value: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        if value("v") != Some(VERSION) || port == 0 || instance.len() > INSTANCE_BYTES_MAX {
            return None;
        }
        let state = [State::New, State::Member, State::Inviting]
            .into_iter()
            .find(|state| value("s") == Some(state.word()))?;
        let tag = value("t").filter(|tag| tag.len() == TAG_DIGITS).map(str::to_owned);
        Some(Self { instance: instance.to_owned(), port, state, tag })
    }

    /// Whether this is what is looked for.
    #[must_use]
    pub fn matches(&self, search: Search<'_>) -> bool {
        match search {
            Search::Inviters => self.state == State::Inviting,
            Search::Vault(door, today) => {
                let is_one = |tag: &String| (today - 1..=today + 1).any(|day| *tag == vault_tag(door, day));
                self.state != State::New && self.tag.as_ref().is_some_and(is_one)
            }
        }
    }
}

impl Sightings {
    /// None yet.
    #[must_use]
    pub const fn new(own: String) -> Self {
        Self { own, seen: BTreeMap::new() }
    }

    /// An announcement was seen (again: each repetition brings what is known up to date). This node's own is ignored.
    pub fn sighted(&mut self, now: Time, announcement: Announcement, addresses: &[IpAddr]) {
        if announcement.instance == self.own {
            return;
        }
        let mut addresses: Vec<_> = addresses
            .iter()
            .filter(|ip| is_usable(ip))
            .map(|ip| SocketAddr::new(*ip, announcement.port))
            .collect();
        addresses.sort_by_key(|address| (rank(&address.ip()), *address));
        addresses.dedup();
        addresses.truncate(ADDRESSES_PER_MESSAGE_MAX);
        if let Some(known) = self.seen.get_mut(&announcement.instance) {
            if known.addresses != addresses || known.announcement != announcement {
                // What is new is tried soon.
                known.next = known.next.min(now + DISCOVERY_STEP);
            }
            known.last = now;
            (known.announcement, known.addresses) = (announcement, addresses);
            return;
        }
        if self.seen.len() >= SIGHTINGS_MAX {
            let oldest =
                self.seen.iter().min_by_key(|(_, sighted)| sighted.last).map(|(name, _)| name.clone());
            oldest.map(|name| self.seen.remove(&name));
        }
        // Of two nodes that see each other, the one with the lower name goes first, so that they do not collide.
        let next = if self.own < announcement.instance { now } else { now + DISCOVERY_DEFER };
        let name = announcement.instance.clone();
        self.seen.insert(name, Sighted { announcement, addresses, turn: 0, next, last: now });
    }

    /// A node has said that it goes.
    pub fn gone(&mut self, instance: &str) {
        self.seen.remove(instance);
    }

    /// Addresses to try now, one of each node that is looked for. Nodes with a connected address are left alone.
    pub fn due(
        &mut self,
        now: Time,
        search: Search<'_>,
        is_connected: impl Fn(&SocketAddr) -> bool,
    ) -> Vec<SocketAddr> {
        let mut due = Vec::new();
        for sighted in self.seen.values_mut().filter(|sighted| sighted.next <= now) {
            sighted.next = now + DISCOVERY_RETRY;
            if !sighted.announcement.matches(search) || sighted.addresses.iter().any(&is_connected) {
                continue;
            }
            let Some(address) = sighted.addresses.get(sighted.turn).or_else(|| sighted.addresses.first())
            else {
                continue;
            };
            due.push(*address);
            sighted.turn += 1;
            if sighted.turn < sighted.addresses.len() {
                sighted.next = now + DISCOVERY_STEP;
            } else {
                sighted.turn = 0;
            }
        }
        due
    }

    /// When [`Sightings::due`] may have something.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.seen.values().map(|sighted| sighted.next).min()
    }

    /// All addresses of the nodes that are looked for, whenever they were tried.
    pub fn all<'a>(&'a self, search: Search<'a>) -> impl Iterator<Item = SocketAddr> + 'a {
        let matching = self.seen.values().filter(move |sighted| sighted.announcement.matches(search));
        matching.flat_map(|sighted| sighted.addresses.iter().copied())
    }
}

/// Days since 1970, of a clock that may be wrong.
#[must_use]
pub const fn day_of(wall: WallTime) -> i64 {
    wall.as_micros().div_euclid(86_400_000_000)
}

/// A vault's tag of a day: members recognise it, others learn nothing and cannot link days.
#[must_use]
pub fn vault_tag(door: &[u8; 32], day: i64) -> String {
    let key = derive(door, b"nuthatch discovery tag v1");
    let mut hmac = <Hmac<Sha256> as Mac>::new_from_slice(&key[..]).expect("HMAC takes keys of any length");
    hmac.update(&day.to_le_bytes());
    hex(&hmac.finalize().into_bytes()[..TAG_DIGITS / 2])
}

/// Whether a node could be there. Link-local IPv6 addresses need a scope, which announcements have not.
fn is_usable(ip: &IpAddr) -> bool {
    let is_special = ip.is_unspecified() || ip.is_multicast();
    match ip {
        IpAddr::V4(four) => !is_special && !four.is_broadcast(),
        IpAddr::V6(six) => !is_special && six.segments()[0] & 0xffc0 != 0xfe80,
    }
}

/// Likeliest first: private IPv4, then IPv6, then other IPv4, then this machine.
fn rank(ip: &IpAddr) -> u8 {
    match ip {
        _ if ip.is_loopback() => 3,
        IpAddr::V4(four) if four.is_private() => 0,
        IpAddr::V6(_) => 1,
        IpAddr::V4(_) => 2,
    }
}

/// The DNS-SD service.
pub const SERVICE: &str = "_nuthatch._udp.local.";
/// TXT `v`.
const VERSION: &str = "1";
/// Length of a tag: 8 bytes in hexadecimal.
const TAG_DIGITS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Span;

    /// A member's announcement.
    fn member(instance: &str, tag: String) -> Announcement {
        Announcement { instance: instance.to_owned(), port: 7117, state: State::Member, tag: Some(tag) }
    }

    /// An address.
    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Reads back a TXT record.
    fn read(txt: &[(&'static str, String)]) -> Option<Announcement> {
        Announcement::read("a", 7117, |key| {
            txt.iter().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
        })
    }

    #[test]
    fn announcements_survive_a_round_trip_and_others_are_ignored() {
        let announcement = member("a", vault_tag(&[1; 32], 20_000));
        let mut txt = announcement.txt();
        assert_eq!(read(&txt), Some(announcement));
        txt[1].1 = "elsewhere".to_owned();
        assert_eq!(read(&txt), None);
        assert_eq!(read(&[("v", "2".to_owned()), ("s", "new".to_owned())]), None);
        let new = read(&[("v", "1".to_owned()), ("s", "new".to_owned()), ("t", "short".to_owned())]).unwrap();
        assert_eq!((new.state, new.tag), (State::New, None));
    }

    #[test]
    fn the_tag_is_golden_and_changes_daily() {
        assert_eq!(vault_tag(&[1; 32], 20_000), "572ba7e992e3b329");
        assert_ne!(vault_tag(&[1; 32], 20_001), vault_tag(&[1; 32], 20_000));
        assert_eq!(day_of(WallTime::from_micros(1_795_305_600_000_000)), 20_779);
        assert_eq!(day_of(WallTime::from_micros(-1)), -1);
    }

    #[test]
    fn clocks_may_differ_by_a_day() {
        let announcement = member("a", vault_tag(&[1; 32], 100));
        let matches = |door: u8, day| announcement.matches(Search::Vault(&[door; 32], day));
        assert!(
            (99..=101).all(|day| matches(1, day)) && !matches(1, 98) && !matches(1, 102) && !matches(2, 100)
        );
        assert!(!announcement.matches(Search::Inviters));
    }

    #[test]
    fn addresses_are_tried_one_after_another_and_likely_ones_first() {
        let mut sightings = Sightings::new("a".to_owned());
        let addresses = [
            "127.0.0.1",
            "fe80::1",
            "8.8.8.8",
            "fd00::1",
            "192.168.1.5",
            "0.0.0.0",
            "ff02::1",
            "192.168.1.5",
        ];
        let door = [1; 32];
        let search = Search::Vault(&door, 100);
        let start = Time::from_micros(5);
        sightings.sighted(start, member("b", vault_tag(&door, 100)), &addresses.map(ip));
        sightings.sighted(start, member("a", vault_tag(&door, 100)), &[ip("192.168.1.9")]);
        sightings.sighted(start, member("c", vault_tag(&[2; 32], 100)), &[ip("192.168.1.10")]);
        let mut tried = Vec::new();
        let mut now = start;
        while tried.len() < 5 {
            assert!(sightings.deadline().unwrap() <= now);
            tried.extend(
                sightings.due(now, search, |_| false).iter().map(|address| (address.ip().to_string(), now)),
            );
            now = sightings.deadline().unwrap();
        }
        let order: Vec<_> = tried.iter().map(|(address, _)| address.as_str()).collect();
        assert_eq!(order, ["192.168.1.5", "fd00::1", "8.8.8.8", "127.0.0.1", "192.168.1.5"]);
        assert_eq!(tried[1].1, start + DISCOVERY_STEP);
        assert!(tried[4].1 >= tried[3].1 + DISCOVERY_RETRY);
        assert_eq!(sightings.all(search).count(), 4);
    }

    #[test]
    fn connected_nodes_are_left_alone_and_the_higher_name_waits() {
        let door = [1; 32];
        let search = Search::Vault(&door, 100);
        let mut sightings = Sightings::new("b".to_owned());
        sightings.sighted(Time::ZERO, member("a", vault_tag(&door, 100)), &[ip("192.168.1.5")]);
        assert_eq!(sightings.due(Time::ZERO, search, |_| false), []);
        assert_eq!(sightings.deadline(), Some(Time::ZERO + DISCOVERY_DEFER));
        let later = Time::ZERO + DISCOVERY_DEFER;
        assert_eq!(sightings.due(later, search, |_| true), []);
        assert_eq!(sightings.due(later + DISCOVERY_RETRY, search, |_| false).len(), 1);
        sightings.gone("a");
        assert_eq!(sightings.deadline(), None);
    }

    #[test]
    fn sightings_are_bounded() {
        let mut sightings = Sightings::new("own".to_owned());
        for count in 0..1_000_u64 {
            let announcement = member(&format!("node {count}"), vault_tag(&[1; 32], 1));
            sightings.sighted(Time::ZERO + Span::from_secs(count), announcement, &[ip("10.0.0.1")]);
        }
        assert_eq!(sightings.seen.len(), SIGHTINGS_MAX);
        assert!(sightings.seen.contains_key("node 999") && !sightings.seen.contains_key("node 0"));
    }
}
