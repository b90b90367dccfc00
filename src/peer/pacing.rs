//! When the next packets may go: bursts at a rate instead of a window at once (RFC 9002, section 7.7).
//!
//! Owns [`Pacer`], a bucket that opens when it holds a burst and closes when it is empty, so that packets leave in
//! batches that the kernel takes with one call. Refuses to choose the rate: [`super::bbr`] and [`super::ledbat`] do.

use crate::base::limits::{PACING_BURST_BYTES_MAX, PACING_BURST_SPAN, PACING_BURST_SPAN_MIN};
use crate::base::units::{Span, Time};

/// A bucket of bytes that fills at the pacing rate.
#[derive(Debug, Clone)]
pub struct Pacer {
    /// Bytes that may go now.
    budget: u64,
    /// What of a byte the last filling left over, in millionths.
    rest: u64,
    /// When `budget` was right.
    updated: Time,
    /// It held a burst, and that has not all gone.
    open: bool,
}

impl Pacer {
    /// A bucket that lets a first flight of `budget` bytes go.
    #[must_use]
    pub const fn new(now: Time, budget: u64) -> Self {
        Self { budget, rest: 0, updated: now, open: true }
    }

    /// Bytes that go at once at this rate: what is sent in a quarter of a round trip, but at least in 250 us and at most
    /// in a millisecond; two datagrams where that is less.
    #[must_use]
    pub fn burst(rate: u64, round_trip: Span, datagram: u64) -> u64 {
        let span = round_trip.part(4).clamp(PACING_BURST_SPAN_MIN, PACING_BURST_SPAN);
        (rate.saturating_mul(span.as_micros()) / 1_000_000)
            .clamp(2 * datagram, PACING_BURST_BYTES_MAX.max(2 * datagram))
    }

    /// Fills the bucket; whether a datagram may go.
    pub fn is_ready(&mut self, now: Time, rate: u64, round_trip: Span, datagram: u64) -> bool {
        let elapsed = now.since(self.updated).as_micros();
        if elapsed > 0 {
            let millionths = rate.saturating_mul(elapsed).saturating_add(self.rest);
            self.rest = millionths % 1_000_000;
            // What was missed while the machine was busy elsewhere is made up for, up to a few milliseconds' worth.
            let most =
                2 * Self::burst(rate, round_trip, datagram) + rate / 1_000 * PACING_BURST_SPAN.as_millis();
            self.budget = self.budget.saturating_add(millionths / 1_000_000).min(most.max(self.budget));
            self.updated = now;
        }
        if !self.open {
            self.open = self.budget >= Self::burst(rate, round_trip, datagram);
        } else if self.budget < datagram {
            self.open = false;
        }
        self.open
    }

    /// When [`Self::is_ready`] will be true.
    #[must_use]
    pub fn ready_at(&self, rate: u64, round_trip: Span, datagram: u64) -> Time {
        let wanted = if self.open { datagram } else { Self::burst(rate, round_trip, datagram) };
        let missing = wanted.saturating_sub(self.budget);
        if missing == 0 {
            return self.updated;
        }
        self.updated + Span::from_micros(missing.saturating_mul(1_000_000).div_ceil(rate.max(1)) + 1)
    }

    /// Bytes went out.
    pub fn on_sent(&mut self, bytes: u64) {
        self.budget = self.budget.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment, in milliseconds.
    fn at(millis: u64) -> Time {
        Time::ZERO + Span::from_millis(millis)
    }

    #[test]
    fn bytes_go_at_the_rate_and_in_bursts() {
        for (rate, trip) in [(1_250_000, 20), (12_500_000, 20), (125_000_000, 1), (3_000, 100)] {
            let trip = Span::from_millis(trip);
            let mut pacer = Pacer::new(at(0), 0);
            let (mut now, mut sent, mut bursts) = (at(0), 0_u64, 0_u64);
            while now < at(4_000) {
                while pacer.is_ready(now, rate, trip, 1_200) {
                    pacer.on_sent(1_200);
                    sent += 1_200;
                }
                let next = pacer.ready_at(rate, trip, 1_200);
                assert!(next > now, "a moment that is always ahead");
                (now, bursts) = (next, bursts + 1);
            }
            assert!(
                sent + 2_400 > rate * 4 * 97 / 100 && sent < rate * 4 * 102 / 100 + 2_400,
                "{sent} of {rate} * 4"
            );
            assert!(sent / bursts.max(1) >= 1_200, "{bursts}");
        }
    }

    #[test]
    fn a_machine_that_was_busy_for_a_moment_catches_up_but_does_not_flood() {
        let (rate, trip) = (12_500_000, Span::from_millis(20));
        let mut pacer = Pacer::new(at(0), 0);
        let mut sent = 0;
        while pacer.is_ready(at(1_000), rate, trip, 1_200) {
            pacer.on_sent(1_200);
            sent += 1_200;
        }
        assert!((12_500..=40_000).contains(&sent), "{sent}");
    }
}
