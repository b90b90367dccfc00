//! Where others say that a member is: which of it is worth an attempt, and how many attempts a place gets.
//!
//! What a peer says of a third node is a hint. A handshake there proves who is there and nothing is lost if nobody is; but
//! each attempt is a handful of datagrams to an address that somebody else has chosen. So addresses at which no member
//! can be are dropped, a few of an answer are tried, and any one place gets so few attempts in a while that a member
//! gone bad could do more harm from its own socket.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::base::limits::{HINT_ADDRESSES_MAX, HINT_ATTEMPTS_MAX, HINT_PAUSE, HINT_PLACES_MAX};
use crate::base::units::Time;

/// Attempts that hints have led to lately.
#[derive(Debug, Default)]
pub struct Hints {
    /// By place: since when, and how many.
    places: BTreeMap<IpAddr, (Time, u32)>,
    /// Addresses that were not tried: nobody can be there, or too much was tried there lately.
    refused_count: u64,
}

impl Hints {
    /// Of these addresses those that are to be tried now; they are counted as tried. `own` are this node's.
    pub fn take(&mut self, now: Time, addresses: &[SocketAddr], own: &[SocketAddr]) -> Vec<SocketAddr> {
        self.places.retain(|_, (since, _)| *since + HINT_PAUSE > now);
        let is_local = own.iter().any(|address| address.ip().is_loopback());
        let mut taken: Vec<SocketAddr> = Vec::new();
        for address in addresses {
            let possible = is_possible(address, is_local) && !own.contains(address);
            let fits = taken.len() < HINT_ADDRESSES_MAX && !taken.contains(address);
            if possible && fits && self.count(now, address) {
                taken.push(*address);
            } else {
                self.refused_count = self.refused_count.saturating_add(1);
            }
        }
        taken
    }

    /// Addresses that were not tried.
    #[must_use]
    pub const fn refused_count(&self) -> u64 {
        self.refused_count
    }

    /// Counts an attempt at an address; false if its place has had its share.
    fn count(&mut self, now: Time, address: &SocketAddr) -> bool {
        let place = place_of(address);
        if !self.places.contains_key(&place) && self.places.len() >= HINT_PLACES_MAX {
            return false;
        }
        let (_, count) = self.places.entry(place).or_insert((now, 0));
        *count += 1;
        *count <= HINT_ATTEMPTS_MAX
    }
}

/// Whether a member that others can name may be at this address: a unicast one that means the same to everybody. One of this
/// machine only if this node is itself reached there.
#[must_use]
pub fn is_possible(address: &SocketAddr, is_local: bool) -> bool {
    let ip = address.ip();
    let is_odd = match ip {
        IpAddr::V4(four) => four.is_broadcast() || four.is_link_local() || four.octets()[0] == 0,
        IpAddr::V6(six) => six.is_unicast_link_local() || six.to_ipv4_mapped().is_some(),
    };
    address.port() != 0
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && !is_odd
        && (is_local || !ip.is_loopback())
}

/// What counts as one place: an IPv4 address, or a network of IPv6.
fn place_of(address: &SocketAddr) -> IpAddr {
    match address.ip() {
        IpAddr::V4(four) => IpAddr::V4(four),
        IpAddr::V6(six) => {
            let [one, two, three, four, ..] = six.segments();
            IpAddr::from([one, two, three, four, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses from texts.
    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn nonsense_is_not_tried() {
        let odd = addresses(&[
            "0.0.0.0:7117",
            "0.1.2.3:7117",
            "255.255.255.255:7117",
            "224.0.0.251:5353",
            "169.254.1.1:7117",
            "10.0.0.1:0",
            "127.0.0.1:7117",
            "[::]:7117",
            "[ff02::fb]:5353",
            "[fe80::1]:7117",
            "[::ffff:10.0.0.1]:7117",
            "10.0.0.9:7117",
        ]);
        let own = addresses(&["10.0.0.9:7117"]);
        let mut hints = Hints::default();
        for address in odd {
            assert_eq!(hints.take(Time::ZERO, &[address], &own), [], "{address}");
        }
        let local = addresses(&["127.0.0.1:7000"]);
        assert_eq!(hints.take(Time::ZERO, &local, &addresses(&["127.0.0.1:7117"])), local);
    }

    #[test]
    fn one_place_gets_few_attempts_whatever_port_and_whoever_names_it() {
        let mut hints = Hints::default();
        let victim = |number: u16| SocketAddr::from(([203, 0, 113, 5], 1_000 + number));
        let six = |number: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 1, 0, 0, 0, number], 7117));
        let mut tried = 0;
        for number in 0..500 {
            tried += hints.take(Time::ZERO, &[victim(number), victim(number)], &[]).len();
            tried += hints.take(Time::ZERO, &[six(number)], &[]).len();
        }
        assert_eq!(u32::try_from(tried).unwrap(), 2 * HINT_ATTEMPTS_MAX);
        assert_eq!(hints.take(Time::ZERO + HINT_PAUSE, &[victim(0)], &[]).len(), 1);
    }

    #[test]
    fn an_answer_leads_to_few_attempts_and_many_places_are_bounded() {
        let mut hints = Hints::default();
        let many: Vec<SocketAddr> =
            (0..8).map(|number| SocketAddr::from(([10, 9, 9, number], 7117))).collect();
        assert_eq!(hints.take(Time::ZERO, &many, &[]).len(), HINT_ADDRESSES_MAX);
        for number in 0..2_000_u16 {
            let [high, low] = number.to_be_bytes();
            hints.take(Time::ZERO, &[SocketAddr::from(([11, 1, high, low], 7117))], &[]);
        }
        assert!(hints.places.len() <= HINT_PLACES_MAX);
    }
}
