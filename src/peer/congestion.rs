//! How much may be on its way: the congestion window and the pace.
//!
//! Owns NewReno (RFC 9002, section 7) behind [`CongestionControl`], and [`Pacer`]. Refuses to know packets: it is told
//! bytes and moments, and [`super::loss`] counts what is in flight.

use crate::base::limits::{
    DATAGRAM_BYTES_BASE, PACING_BURST_BYTES_MIN, PACING_BURST_SPAN, WINDOW_BYTES_INITIAL, WINDOW_BYTES_MAX,
    WINDOW_BYTES_MIN,
};
use crate::base::units::{Span, Time};

/// One datagram, in bytes.
const DATAGRAM_BYTES: u64 = 1_200;
const _: () = assert!(DATAGRAM_BYTES_BASE == 1_200);

/// Decides the congestion window.
pub trait CongestionControl {
    /// A packet of `bytes`, sent at `sent`, was acknowledged. `limited`: the window was what held the sender back, so
    /// that the acknowledgement says something about the window (RFC 9002, section 7.8).
    fn on_acked(&mut self, sent: Time, bytes: u64, limited: bool);

    /// Packets were lost, the youngest of them sent at `sent`. `persistent`: so many, for so long, that the path is to
    /// be learnt anew.
    fn on_lost(&mut self, now: Time, sent: Time, persistent: bool);

    /// Bytes that may be in flight.
    fn window(&self) -> u64;

    /// Whether the window is still doubling.
    fn is_slow_start(&self) -> bool;
}

/// NewReno (RFC 9002, appendix B).
#[derive(Debug, Clone)]
pub struct NewReno {
    /// Bytes that may be in flight.
    window: u64,
    /// Above this, growth is linear.
    threshold: u64,
    /// Losses of packets sent until then are part of a reaction that has been made.
    recovery_until: Option<Time>,
    /// Bytes acknowledged towards the next linear step.
    acked: u64,
}

impl Default for NewReno {
    fn default() -> Self {
        Self::new()
    }
}

impl NewReno {
    /// At the initial window.
    #[must_use]
    pub const fn new() -> Self {
        Self { window: WINDOW_BYTES_INITIAL, threshold: u64::MAX, recovery_until: None, acked: 0 }
    }

    /// Whether a packet sent then belongs to a loss that was reacted to.
    fn is_recovering(&self, sent: Time) -> bool {
        self.recovery_until.is_some_and(|until| sent <= until)
    }
}

impl CongestionControl for NewReno {
    fn on_acked(&mut self, sent: Time, bytes: u64, limited: bool) {
        if self.is_recovering(sent) || !limited {
            return;
        }
        if self.is_slow_start() {
            self.window = (self.window + bytes).min(WINDOW_BYTES_MAX);
            return;
        }
        self.acked += bytes;
        if self.acked >= self.window {
            self.acked -= self.window;
            self.window = (self.window + DATAGRAM_BYTES).min(WINDOW_BYTES_MAX);
        }
    }

    fn on_lost(&mut self, now: Time, sent: Time, persistent: bool) {
        if !self.is_recovering(sent) {
            self.recovery_until = Some(now);
            self.window = (self.window / 2).max(WINDOW_BYTES_MIN);
            self.threshold = self.window;
            self.acked = 0;
        }
        if persistent {
            self.window = WINDOW_BYTES_MIN;
            self.recovery_until = None;
        }
    }

    fn window(&self) -> u64 {
        self.window
    }

    fn is_slow_start(&self) -> bool {
        self.window < self.threshold
    }
}

/// Spreads a window over its round trip (RFC 9002, section 7.7): a bucket that fills at 5/4 of window per round trip,
/// twice the window in slow start. Its size makes it inactive where a round trip is shorter than
/// [`PACING_BURST_SPAN`].
#[derive(Debug, Clone)]
pub struct Pacer {
    /// Bytes that may go now.
    budget: u64,
    /// When `budget` was right.
    updated: Time,
}

impl Pacer {
    /// A full bucket.
    #[must_use]
    pub const fn new(now: Time) -> Self {
        Self { budget: PACING_BURST_BYTES_MIN, updated: now }
    }

    /// What the bucket gets in `elapsed`.
    fn refill(control: &impl CongestionControl, round_trip: Span, elapsed: Span) -> u64 {
        let (numerator, denominator) = if control.is_slow_start() { (2, 1) } else { (5, 4) };
        let micros = round_trip.as_micros().max(1);
        control.window().saturating_mul(numerator).saturating_mul(elapsed.as_micros())
            / (denominator * micros)
    }

    /// Fills the bucket; whether a datagram may go.
    pub fn is_ready(&mut self, now: Time, control: &impl CongestionControl, round_trip: Span) -> bool {
        let size = Self::refill(control, round_trip, PACING_BURST_SPAN).max(PACING_BURST_BYTES_MIN);
        let gained = Self::refill(control, round_trip, now.since(self.updated));
        if gained > 0 {
            self.budget = self.budget.saturating_add(gained).min(size);
            self.updated = now;
        }
        self.budget >= DATAGRAM_BYTES
    }

    /// When [`Self::is_ready`] will be true.
    #[must_use]
    pub fn ready_at(&self, control: &impl CongestionControl, round_trip: Span) -> Time {
        let missing = DATAGRAM_BYTES.saturating_sub(self.budget);
        if missing == 0 {
            return self.updated;
        }
        let a_milli = Self::refill(control, round_trip, Span::from_millis(1)).max(1);
        self.updated + Span::from_micros((missing * 1_000).div_ceil(a_milli) + 1)
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
    fn the_window_doubles_then_halves_once_a_round_trip_then_grows_by_a_datagram() {
        let mut reno = NewReno::new();
        reno.on_acked(at(1), 12_000, true);
        assert_eq!(reno.window(), 24_000);
        reno.on_lost(at(10), at(5), false);
        reno.on_lost(at(11), at(9), false);
        assert_eq!(reno.window(), 12_000, "both were sent before the first reaction");
        reno.on_acked(at(9), 12_000, true);
        assert_eq!(reno.window(), 12_000, "what was sent before the loss proves nothing");
        reno.on_acked(at(12), 11_999, true);
        assert_eq!(reno.window(), 12_000);
        reno.on_acked(at(12), 1, true);
        assert_eq!(reno.window(), 13_200);
        reno.on_acked(at(12), 50_000, false);
        assert_eq!(reno.window(), 13_200, "an idle sender learns nothing of the window");
        reno.on_lost(at(30), at(20), true);
        assert_eq!(reno.window(), WINDOW_BYTES_MIN);
        for moment in 31..60 {
            reno.on_lost(at(moment), at(moment), false);
        }
        assert_eq!(reno.window(), WINDOW_BYTES_MIN);
    }

    #[test]
    fn the_pacer_spreads_a_window_over_a_long_round_trip() {
        let reno = NewReno { window: 120_000, threshold: 1, recovery_until: None, acked: 0 };
        let trip = Span::from_millis(100);
        let mut pacer = Pacer::new(at(0));
        let mut now = at(0);
        let mut sent = 0;
        while now < at(1_000) {
            while pacer.is_ready(now, &reno, trip) {
                pacer.on_sent(DATAGRAM_BYTES);
                sent += DATAGRAM_BYTES;
            }
            let next = pacer.ready_at(&reno, trip);
            assert!(next > now, "a deadline that is always ahead");
            now = next;
        }
        let expected = 120_000 * 10 * 5 / 4;
        assert!(sent > expected * 97 / 100 && sent < expected * 103 / 100, "{sent} of {expected}");
    }

    #[test]
    fn the_pacer_stands_aside_on_a_short_round_trip() {
        let reno = NewReno { window: 1_200_000, threshold: 1, recovery_until: None, acked: 0 };
        let mut pacer = Pacer::new(at(0));
        let mut count = 0;
        while pacer.is_ready(at(10), &reno, Span::from_micros(500)) {
            pacer.on_sent(DATAGRAM_BYTES);
            count += 1;
        }
        assert!(count >= 1_000, "a whole window goes at once: {count}");
    }
}
