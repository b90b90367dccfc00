//! Pace: how fast a peer sends what it is asked for, in bytes a second.
//!
//! Measured over the time in which something was asked of it, disk and network together, from one chunk that came to the next.
//! Old measurements weigh less with every new one, and count for nothing after [`FETCH_PACE_TIME`].

use crate::base::limits::FETCH_PACE_TIME;
use crate::base::units::{Span, Time};

/// The pace of one peer.
#[derive(Debug, Default)]
pub struct Pace {
    /// Bytes that came, old ones weighing less.
    bytes: u64,
    /// Microseconds that they took, likewise.
    micros: u64,
    /// Since when the next chunk is awaited.
    since: Time,
    /// When it was last measured.
    measured: Time,
}

impl Pace {
    /// Something is asked of the peer, and nothing was before.
    pub fn begins(&mut self, now: Time) {
        self.since = now;
    }

    /// A chunk came.
    pub fn came(&mut self, now: Time, bytes: u64) {
        self.measure(now, self.since, bytes);
        self.since = now;
    }

    /// A chunk of about so many bytes had not come since it was asked for when another peer sent it.
    pub fn was_late(&mut self, now: Time, asked: Time, bytes: u64) {
        // If some of it has come, nobody knows how much.
        let known = self.is_known(now);
        self.measure(now, self.since.max(asked), if known { 0 } else { bytes / 2 });
        self.since = now;
    }

    /// Whether it was measured lately.
    #[must_use]
    pub fn is_known(&self, now: Time) -> bool {
        self.micros > 0 && now < self.measured + FETCH_PACE_TIME
    }

    /// Bytes a second, if known.
    #[must_use]
    pub fn per_second(&self, now: Time) -> Option<u64> {
        let per_second = u128::from(self.bytes) * 1_000_000 / u128::from(self.micros.max(1));
        self.is_known(now).then(|| u64::try_from(per_second).unwrap_or(u64::MAX).max(1))
    }

    /// How long so many bytes take, if known.
    #[must_use]
    pub fn time_for(&self, now: Time, bytes: u64) -> Option<Span> {
        let micros = u128::from(bytes) * 1_000_000 / u128::from(self.per_second(now)?);
        Some(Span::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
    }

    /// So many bytes took from then until now.
    fn measure(&mut self, now: Time, since: Time, bytes: u64) {
        if !self.is_known(now) {
            (self.bytes, self.micros) = (0, 0);
        }
        self.bytes = self.bytes / 8 * 7 + bytes;
        self.micros = self.micros / 8 * 7 + now.since(since).as_micros().max(1);
        self.measured = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_came_in_the_time_that_something_was_awaited() {
        let mut pace = Pace::default();
        let mut now = Time::from_micros(5_000_000);
        assert_eq!(pace.per_second(now), None);
        for _ in 0..40 {
            pace.begins(now);
            now = now + Span::from_millis(100);
            pace.came(now, 100_000);
            now = now + Span::from_millis(900);
        }
        let rate = pace.per_second(now).unwrap();
        assert!((990_000..1_010_000).contains(&rate), "{rate}: pauses do not count");
        let needed = pace.time_for(now, 500_000).unwrap().as_millis();
        assert!((495..=505).contains(&needed));
        pace.begins(now);
        pace.was_late(now + Span::from_secs(3), now, 100_000);
        assert!(pace.per_second(now).unwrap() < rate / 4);
        assert_eq!(pace.per_second(now + FETCH_PACE_TIME + Span::from_secs(3)), None, "it is tried again");
    }
}
