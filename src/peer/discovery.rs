//! Facts about mDNS announcements: what a node says of itself, which announcements are of our vault, and in which
//! order addresses are worth a try.
//!
//! Owns: the TXT keys `v`, `s` and `t`, the daily vault tag, the order of addresses. Refuses: when they are tried
//! (`node/reach.rs`), sockets and the mDNS daemon
//! (`io/mdns.rs`), and trust: an announcement is a hint, the handshake decides. Read first: PROTOCOL.md, "Discovery".

use super::handshake::derive;
use crate::base::ids::hex;
use crate::base::limits::INSTANCE_BYTES_MAX;
use crate::base::units::WallTime;
use hmac::{Hmac, Mac};
use sha2::Sha256;
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

/// Orders addresses by how soon they are worth a try, after RFC 8305 (section 4): those nearby first, and of each kind
/// IPv4 and IPv6 in turn, so that one of them that does not work costs little.
pub fn in_order(addresses: &mut [SocketAddr]) {
    addresses.sort_unstable_by_key(|address| (rank(&address.ip()), *address));
    let mut keys: Vec<_> = Vec::with_capacity(addresses.len());
    let mut counts = [[0_usize; 2]; 3];
    for address in addresses.iter() {
        let (rank, family) = (rank(&address.ip()), usize::from(address.is_ipv6()));
        let count = &mut counts[usize::from(rank.min(2))][family];
        keys.push((rank, *count, family, *address));
        *count += 1;
    }
    keys.sort_unstable();
    for (place, (.., address)) in addresses.iter_mut().zip(keys) {
        *place = address;
    }
}

/// Nearest first: of this network, of others, this machine.
const fn rank(ip: &IpAddr) -> u8 {
    match ip {
        _ if ip.is_loopback() => 2,
        IpAddr::V4(four) if four.is_private() || four.is_link_local() => 0,
        IpAddr::V6(six) if six.is_unicast_link_local() || six.is_unique_local() => 0,
        _ => 1,
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

    /// A member's announcement.
    fn member(instance: &str, tag: String) -> Announcement {
        Announcement { instance: instance.to_owned(), port: 7117, state: State::Member, tag: Some(tag) }
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
    fn near_addresses_come_first_and_families_take_turns() {
        let texts = [
            "127.0.0.1:1",
            "8.8.8.8:1",
            "[2001:db8::1]:1",
            "192.168.1.5:1",
            "10.0.0.1:1",
            "[fe80::1%2]:1",
            "[fd00::1]:1",
            "9.9.9.9:1",
        ];
        let mut addresses: Vec<SocketAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
        in_order(&mut addresses);
        let ordered: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(
            ordered,
            [
                "10.0.0.1:1",
                "[fd00::1]:1",
                "192.168.1.5:1",
                "[fe80::1%2]:1",
                "8.8.8.8:1",
                "[2001:db8::1]:1",
                "9.9.9.9:1",
                "127.0.0.1:1"
            ]
        );
    }
}
