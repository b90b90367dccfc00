//! How long a datagram the path takes: found by trying (RFC 8899, packetization layer path MTU discovery).
//!
//! Owns [`PathLength`]: the length in use, which lengths are tried and when, and the way back when a path takes less than
//! it did. A probe is a packet of padding, so that its loss costs nothing but itself and says nothing about congestion.
//! Refuses to send: [`super::session`] asks when there is traffic anyhow; an idle session tries nothing.

use crate::base::limits::{
    DATAGRAM_BYTES_BASE, DATAGRAM_BYTES_MAX, PATH_PROBES_MAX, PATH_SEARCH_EVERY, PROBE_TIMEOUTS_BLACK_HOLE,
};
use crate::base::units::Time;

/// Lengths that paths have, in bytes of UDP payload: IPv6's minimum; tunnels; PPPoE or WireGuard; Ethernet with IPv6 and
/// with IPv4; jumbo frames with IPv6 and with IPv4.
const LADDER: [usize; 9] =
    [DATAGRAM_BYTES_BASE, 1_232, 1_372, 1_412, 1_452, ETHERNET, 4_052, 8_952, DATAGRAM_BYTES_MAX];
/// The length that is tried first: nearly every path takes it.
const ETHERNET: usize = 1_472;
/// Where it stands.
const ETHERNET_PLACE: usize = 5;
const _: () = assert!(LADDER[ETHERNET_PLACE] == ETHERNET);

/// The search.
///
/// ```text
///  Trying 1,472 --arrives--> Trying 8,972 --lost 3 times--> Trying one lower ... --arrives, or none left--> Resting
///      '--lost 3 times--> Trying one lower ...                                                    |
///      ^---------------------------- PATH_SEARCH_EVERY, another path ------------------------------'
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    /// A length is tried.
    Trying {
        /// Its place in the ladder, above that of the length in use.
        place: usize,
        /// Probes of it that were lost.
        lost: u8,
        /// One is on its way.
        waiting: bool,
    },
    /// Nothing longer is tried before then.
    Resting {
        /// When the search begins again.
        until: Time,
    },
}

/// The longest datagram that the path is known to take.
#[derive(Debug, Clone)]
pub struct PathLength {
    /// Its place in the ladder.
    place: usize,
    /// The search for a longer one.
    search: Search,
}

impl Default for PathLength {
    fn default() -> Self {
        Self::new()
    }
}

impl PathLength {
    /// Only the base is known.
    #[must_use]
    pub const fn new() -> Self {
        Self { place: 0, search: Search::Trying { place: ETHERNET_PLACE, lost: 0, waiting: false } }
    }

    /// The length in use, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        LADDER[self.place]
    }

    /// The length of a probe that may go now.
    #[must_use]
    pub fn probe(&mut self, now: Time) -> Option<usize> {
        match self.search {
            Search::Trying { place, waiting: false, .. } => Some(LADDER[place]),
            Search::Trying { waiting: true, .. } => None,
            Search::Resting { until } => {
                if now >= until && self.place + 1 < LADDER.len() {
                    let place = if self.place < ETHERNET_PLACE { ETHERNET_PLACE } else { LADDER.len() - 1 };
                    self.search = Search::Trying { place, lost: 0, waiting: false };
                    return Some(LADDER[place]);
                }
                None
            }
        }
    }

    /// The probe goes.
    pub fn on_probe_sent(&mut self) {
        if let Search::Trying { waiting, .. } = &mut self.search {
            *waiting = true;
        }
    }

    /// A probe of `bytes` has arrived; whether longer datagrams go from now on.
    pub fn on_probe_acked(&mut self, now: Time, bytes: usize) -> bool {
        let Some(arrived) = LADDER.iter().position(|step| *step == bytes).filter(|place| *place > self.place)
        else {
            return false;
        };
        self.place = arrived;
        self.search = if arrived == ETHERNET_PLACE {
            Search::Trying { place: LADDER.len() - 1, lost: 0, waiting: false }
        } else {
            Search::Resting { until: now + PATH_SEARCH_EVERY }
        };
        true
    }

    /// A probe was lost: it is tried again a few times, then a shorter one.
    pub fn on_probe_lost(&mut self, now: Time) {
        let Search::Trying { place, lost, waiting: true } = self.search else { return };
        self.search = if lost + 1 < PATH_PROBES_MAX {
            Search::Trying { place, lost: lost + 1, waiting: false }
        } else if place > self.place + 1 {
            Search::Trying { place: place - 1, lost: 0, waiting: false }
        } else {
            Search::Resting { until: now + PATH_SEARCH_EVERY }
        };
    }

    /// So many probe timeouts in a row without a sign of life: perhaps the path takes only shorter datagrams now. Whether
    /// the length in use has changed.
    pub fn on_timeouts(&mut self, now: Time, count: u32) -> bool {
        if count < PROBE_TIMEOUTS_BLACK_HOLE || self.place == 0 {
            return false;
        }
        self.place = 0;
        self.search = Search::Resting { until: now + PATH_SEARCH_EVERY.part(10) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Span;

    /// Searches on a path that takes `most` bytes; the length found and the probes it took.
    fn found(most: usize) -> (usize, u32) {
        let mut path = PathLength::new();
        let (now, mut probes) = (Time::ZERO, 0);
        while let Some(bytes) = path.probe(now) {
            probes += 1;
            path.on_probe_sent();
            assert_eq!(path.probe(now), None, "one at a time");
            if bytes <= most {
                assert!(path.on_probe_acked(now, bytes));
            } else {
                path.on_probe_lost(now);
            }
        }
        (path.bytes(), probes)
    }

    #[test]
    fn the_longest_length_that_the_path_takes_is_found() {
        let found: Vec<_> = [1_200, 1_300, 1_420, 1_452, 1_472, 5_000, 8_952, 65_000].map(found).to_vec();
        let expected = [
            (1_200, 15),
            (1_232, 13),
            (1_412, 7),
            (1_452, 4),
            (1_472, 10),
            (4_052, 8),
            (8_952, 5),
            (8_972, 2),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_path_that_takes_less_is_noticed_and_searched_again() {
        let mut path = PathLength::new();
        let mut now = Time::ZERO;
        for _ in 0..2 {
            let bytes = path.probe(now).expect("it is searched");
            path.on_probe_sent();
            path.on_probe_acked(now, bytes);
        }
        assert_eq!(path.bytes(), 8_972);
        assert!(!path.on_timeouts(now, 1));
        assert!(path.on_timeouts(now, 3));
        assert_eq!((path.bytes(), path.probe(now)), (1_200, None));
        now = now + PATH_SEARCH_EVERY + Span::from_secs(1);
        assert_eq!(path.probe(now), Some(1_472));
        path.on_probe_sent();
        path.on_probe_acked(now, 1_472);
        assert!(!path.on_probe_acked(now, 1_452), "an old probe makes it no shorter");
        assert_eq!(path.bytes(), 1_472);
    }
}
