//! Round-trip time, and the timeouts made from it (RFC 9002, sections 5 and 6).
//!
//! Owns the estimator and the formulas. Refuses to know what is sent or when: [`super::loss`] and [`super::session`]
//! do.

use crate::base::limits::{
    ACK_DELAY_MAX, PERSISTENT_CONGESTION_TIMEOUTS, PROBE_TIMEOUT_MAX, RTT_INITIAL, TIMER_GRANULARITY,
};
use crate::base::units::Span;

/// What is known of the round trip.
#[derive(Debug, Clone, Copy)]
pub struct RoundTrip {
    /// None before the first sample.
    measured: Option<Measured>,
}

/// Samples, digested (RFC 9002, section 5).
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// The latest sample.
    latest: Span,
    /// The smallest sample.
    min: Span,
    /// Exponentially weighted mean.
    smoothed: Span,
    /// Mean deviation.
    variation: Span,
}

impl Default for RoundTrip {
    fn default() -> Self {
        Self::new()
    }
}

impl RoundTrip {
    /// Nothing measured yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { measured: None }
    }

    /// Takes a sample: the newest acknowledged packet was sent `sample` ago, and the peer says that it waited `delay`
    /// (RFC 9002, section 5.3; a claimed delay counts only as far as the rules allow it to wait).
    pub fn update(&mut self, sample: Span, delay: Span) {
        let Some(before) = self.measured else {
            self.measured =
                Some(Measured { latest: sample, min: sample, smoothed: sample, variation: sample.part(2) });
            return;
        };
        let min = before.min.min(sample);
        let delay = delay.min(ACK_DELAY_MAX);
        let adjusted = if sample >= min + delay { sample - delay } else { sample };
        let difference =
            if before.smoothed > adjusted { before.smoothed - adjusted } else { adjusted - before.smoothed };
        self.measured = Some(Measured {
            latest: sample,
            min,
            smoothed: (before.smoothed.times(7) + adjusted).part(8),
            variation: (before.variation.times(3) + difference).part(4),
        });
    }

    /// The smoothed round trip, if one was measured.
    #[must_use]
    pub fn measured(&self) -> Option<Span> {
        self.measured.map(|measured| measured.smoothed)
    }

    /// The smoothed round trip, or the assumed one.
    #[must_use]
    pub fn smoothed(&self) -> Span {
        self.measured().unwrap_or(RTT_INITIAL)
    }

    /// The longer of the latest and the smoothed round trip, or the assumed one.
    #[must_use]
    pub fn longer(&self) -> Span {
        self.measured.map_or(RTT_INITIAL, |measured| measured.latest.max(measured.smoothed))
    }

    /// A packet is lost when a younger one is acknowledged and this time has passed since it was sent
    /// (RFC 9002, section 6.1.2). `late`: packets have been seen to come so much later than a round trip.
    #[must_use]
    pub fn loss_delay(&self, late: Span) -> Span {
        let base = self.longer();
        (base + base.part(8).max(late)).max(TIMER_GRANULARITY)
    }

    /// How long to wait for an acknowledgement, without the time the peer may keep it (RFC 9002, section 6.2.1).
    fn patience(&self) -> Span {
        match self.measured {
            Some(measured) => measured.smoothed + measured.variation.times(4).max(TIMER_GRANULARITY),
            None => RTT_INITIAL.times(3),
        }
    }

    /// The probe timeout after `backoff` of them in a row. `at_once`: the newest packet asked for an acknowledgement
    /// at once, so the peer's delay need not be waited for.
    #[must_use]
    pub fn probe_timeout(&self, backoff: u32, at_once: bool) -> Span {
        let delay = if at_once && backoff == 0 { TIMER_GRANULARITY } else { ACK_DELAY_MAX };
        let doubled = 1_u64.checked_shl(backoff).unwrap_or(u64::MAX);
        (self.patience() + delay).times(doubled).min(PROBE_TIMEOUT_MAX)
    }

    /// When everything sent over this long is lost, congestion is persistent (RFC 9002, section 7.6.1); None before
    /// the first sample.
    #[must_use]
    pub fn persistent_congestion(&self) -> Option<Span> {
        self.measured.map(|_| (self.patience() + ACK_DELAY_MAX).times(PERSISTENT_CONGESTION_TIMEOUTS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_smoothed_as_rfc_9002_says() {
        let mut trip = RoundTrip::new();
        assert_eq!((trip.measured(), trip.smoothed()), (None, RTT_INITIAL));
        assert_eq!(trip.persistent_congestion(), None);
        trip.update(Span::from_millis(40), Span::from_millis(10));
        assert_eq!(trip.measured(), Some(Span::from_millis(40)), "the first delay is not taken off");
        // 60 - 10 of delay: 7/8 * 40 + 1/8 * 50; variation 3/4 * 20 + 1/4 * 10
        trip.update(Span::from_millis(60), Span::from_millis(10));
        assert_eq!(trip.measured(), Some(Span::from_micros(41_250)));
        assert_eq!(trip.loss_delay(Span::ZERO), Span::from_micros(67_500));
        assert_eq!(trip.loss_delay(Span::from_millis(10)), Span::from_millis(70));
        assert_eq!(trip.probe_timeout(0, false), Span::from_micros(41_250 + 4 * 17_500 + 25_000));
        assert_eq!(trip.probe_timeout(0, true), Span::from_micros(41_250 + 4 * 17_500 + 1_000));
        assert_eq!(trip.probe_timeout(1, true), trip.probe_timeout(0, false).times(2));
        assert_eq!(trip.probe_timeout(40, false), PROBE_TIMEOUT_MAX);
        assert_eq!(trip.persistent_congestion(), Some(trip.probe_timeout(0, false).times(3)));
    }

    #[test]
    fn a_claimed_delay_cannot_push_the_round_trip_below_its_minimum() {
        let mut trip = RoundTrip::new();
        trip.update(Span::from_millis(20), Span::ZERO);
        trip.update(Span::from_millis(30), Span::from_secs(1_000));
        assert_eq!(trip.measured(), Some(Span::from_micros(21_250)), "30 - 25 is below 20, so 30 counts");
    }
}
