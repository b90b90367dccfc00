//! Wrong passwords: who has tried how often, and how long they have to wait.
//!
//! Counted for each address and for each user, so that neither one machine that tries many users nor many machines that try
//! one get far. Pauses grow from one second to five minutes and are forgotten after an hour. While an address waits, its
//! right password is refused too; a user's own address that has logged in before is not held up by others' guesses beyond
//! that, since whoever is logged in stays so.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::base::limits::{ATTEMPTS_FREE, ATTEMPTS_MAX, ATTEMPT_PAUSE_MAX, ATTEMPT_PAUSE_MIN};
use crate::base::units::{Span, Time};

/// How long a wrong password is remembered.
const MEMORY: Span = Span::from_secs(3_600);

/// Whose wrong passwords are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// Of an address; of IPv6 its network.
    Address(IpAddr),
    /// For a user.
    User(String),
}

impl Source {
    /// An address as it is counted: who has one address of an IPv6 network has them all.
    pub(super) fn address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(six) => {
                let mut octets = six.octets();
                octets[8..].fill(0);
                IpAddr::from(octets)
            }
            four => four,
        })
    }
}

/// What is known of one source.
#[derive(Debug, Clone, Copy)]
struct Record {
    /// Wrong ones in a row.
    count: u32,
    /// The last one.
    last: Time,
}

impl Record {
    /// Until when it has to wait.
    fn until(self) -> Time {
        let Some(doublings) = self.count.checked_sub(ATTEMPTS_FREE) else { return self.last };
        let pause = ATTEMPT_PAUSE_MIN.as_micros().saturating_mul(1 << doublings.min(20));
        self.last + Span::from_micros(pause.min(ATTEMPT_PAUSE_MAX.as_micros()))
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Attempts(HashMap<Source, Record>);

impl Attempts {
    /// How long these have to wait; None: they may try.
    pub(super) fn pause(&self, sources: &[Source], now: Time) -> Option<Span> {
        let waits = sources.iter().filter_map(|source| {
            let until = self.0.get(source)?.until();
            (until > now).then(|| until.since(now))
        });
        waits.max()
    }

    /// They were wrong.
    pub(super) fn wrong(&mut self, sources: &[Source], now: Time) {
        self.0.retain(|_, record| now.since(record.last) < MEMORY);
        for source in sources {
            if self.0.len() >= ATTEMPTS_MAX && !self.0.contains_key(source) {
                // Whoever has waited longest is forgotten: more than this many at once is a flood, and costs us nothing else.
                let oldest =
                    self.0.iter().min_by_key(|(_, record)| record.last).map(|(source, _)| source.clone());
                oldest.and_then(|oldest| self.0.remove(&oldest));
            }
            let record = self.0.entry(source.clone()).or_insert(Record { count: 0, last: now });
            record.count = record.count.saturating_add(1);
            record.last = now;
        }
    }

    /// They were right.
    pub(super) fn right(&mut self, sources: &[Source]) {
        for source in sources {
            self.0.remove(source);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_end_with_the_right_password() {
        let mut attempts = Attempts::default();
        let source = [Source::User("ada".into())];
        let mut now = Time::from_micros(0);
        let mut pauses = Vec::new();
        for _ in 0..14 {
            attempts.wrong(&source, now);
            let pause = attempts.pause(&source, now).map_or(0, Span::as_micros);
            pauses.push(pause / 1_000_000);
            now = now + Span::from_micros(pause);
            assert_eq!(attempts.pause(&source, now), None);
        }
        assert_eq!(pauses, [0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        attempts.right(&source);
        attempts.wrong(&source, now);
        assert_eq!(attempts.pause(&source, now), None);
    }

    #[test]
    fn a_flood_of_addresses_takes_bounded_memory_and_an_ipv6_network_counts_once() {
        let mut attempts = Attempts::default();
        for number in 0..10_000_u32 {
            attempts.wrong(
                &[Source::address(IpAddr::from(number.to_be_bytes()))],
                Time::from_micros(u64::from(number)),
            );
        }
        assert_eq!(attempts.0.len(), ATTEMPTS_MAX);
        let one = Source::address("2001:db8::1".parse().unwrap());
        assert_eq!(one, Source::address("2001:db8::ffff".parse().unwrap()));
        assert_ne!(one, Source::address("2001:db8:1::1".parse().unwrap()));
        assert_eq!(
            Source::address("::ffff:10.0.0.1".parse().unwrap()),
            Source::address("10.0.0.1".parse().unwrap())
        );
    }
}
