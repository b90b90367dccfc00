//! The controller for what nobody waits for: it keeps a short queue at the most, and gives way to everybody else.
//!
//! Owns [`Ledbat`], after LEDBAT++ (draft-irtf-iccrg-ledbat-plus-plus) and RFC 6817: the window grows while the path's
//! queue is shorter than a target and shrinks in proportion when it is longer, multiplicatively and never by more than half
//! a round trip. The target is shorter than theirs (60 ms): a home router's buffer may never hold that much, and then
//! nobody would give way. The base is the shortest round trip that [`super::bbr`] keeps anyhow. Refuses to know packets.

use super::congestion::{Acked, Lost};
use crate::base::limits::{
    LEDBAT_TARGET_MAX, LEDBAT_TARGET_MIN, RTT_INITIAL, WINDOW_BYTES_MAX, WINDOW_DATAGRAMS_INITIAL,
};
use crate::base::units::{Span, Time};

/// A yielding controller: an upper bound to what lies in flight while only background work is sent.
#[derive(Debug, Clone)]
pub struct Ledbat {
    /// Bytes of a datagram.
    datagram: u64,
    /// Bytes that may be in flight.
    window: u64,
    /// Above this, growth is linear.
    threshold: u64,
    /// The shortest round trip of the present round, and when the round began.
    shortest: Option<Span>,
    /// See above.
    round_began: Time,
    /// The queue as the last whole round saw it.
    queue: Span,
    /// Losses of packets sent until then have been answered.
    answered_until: Time,
    /// Bytes acknowledged towards the next step.
    acked: u64,
}

impl Ledbat {
    /// At the smallest useful window; the path takes datagrams of `datagram` bytes.
    #[must_use]
    pub const fn new(datagram: u64) -> Self {
        Self {
            datagram,
            window: 2 * datagram,
            threshold: u64::MAX,
            shortest: None,
            round_began: Time::ZERO,
            queue: Span::ZERO,
            answered_until: Time::ZERO,
            acked: 0,
        }
    }

    /// Bytes that may be in flight.
    #[must_use]
    pub const fn window(&self) -> u64 {
        self.window
    }

    /// The queue that is kept: a quarter of the round trip, within bounds.
    fn target(base: Span) -> Span {
        base.part(4).clamp(LEDBAT_TARGET_MIN, LEDBAT_TARGET_MAX)
    }

    /// An acknowledgement has come; `base` is the path's shortest round trip. `limited`: the window was what held
    /// background work back.
    pub fn on_acked(&mut self, acked: &Acked, base: Option<Span>, limited: bool) {
        let base = base.unwrap_or(RTT_INITIAL);
        if let Some(trip) = acked.round_trip {
            self.shortest = Some(self.shortest.map_or(trip, |least| least.min(trip)));
        }
        self.acked += acked.bytes;
        let target = Self::target(base);
        if limited && self.window < self.threshold && self.queue.times(4) < target.times(3) {
            // Slow start, left for good when the queue is at three quarters of the target.
            self.window = (self.window + acked.bytes).min(WINDOW_BYTES_MAX);
        }
        if acked.now.since(self.round_began) < base.max(Span::from_millis(1)) {
            return;
        }
        if let Some(shortest) = self.shortest.take() {
            self.queue = shortest - base;
            self.step(target, base, limited);
        }
        (self.round_began, self.acked) = (acked.now, 0);
    }

    /// Once a round: a step up, or down in proportion to what the queue is too long.
    fn step(&mut self, target: Span, base: Span, limited: bool) {
        let (queue, wanted) = (self.queue.as_micros(), target.as_micros());
        if queue.saturating_mul(4) >= wanted * 3 {
            self.threshold = self.threshold.min(self.window);
        }
        if queue > wanted {
            // Half of LEDBAT++'s answer: several who share a line all answer at once, and would leave it idle.
            let less = self.window.saturating_mul(queue - wanted) / (2 * wanted);
            self.window -= less.min(self.window / 2);
        } else if limited && self.window >= self.threshold {
            // LEDBAT++: a sixteenth of a datagram a round where the base is short against the target. Half of one at the most.
            let share = (2 * wanted).div_ceil(base.as_micros().max(1)).clamp(2, 16);
            self.window = (self.window + self.datagram.max(self.window / 32) / share).min(WINDOW_BYTES_MAX);
        }
        self.window = self.window.max(2 * self.datagram);
    }

    /// Packets were lost. A loss without a queue is the radio's; with one it halves the window once a round trip.
    pub fn on_lost(&mut self, lost: &Lost, base: Option<Span>) {
        let target = Self::target(base.unwrap_or(RTT_INITIAL));
        if lost.youngest > self.answered_until && (lost.persistent || self.queue.times(2) > target) {
            self.answered_until = lost.now;
            self.window = (self.window / 2).max(2 * self.datagram);
            self.threshold = self.window;
        }
    }

    /// Datagrams are of another length now.
    pub fn on_datagram_length(&mut self, datagram: u64) {
        self.datagram = datagram;
        self.window = self.window.max(2 * datagram);
    }
}

const _: () = assert!(WINDOW_DATAGRAMS_INITIAL > 2);

#[cfg(test)]
mod tests {
    use super::*;

    /// An acknowledgement of `bytes` at `millis` with this round trip.
    fn acked(millis: u64, bytes: u64, trip: u64) -> Acked {
        Acked {
            now: Time::from_micros(millis * 1_000),
            bytes,
            in_flight: 0,
            delivered: 0,
            round_trip: Some(Span::from_millis(trip)),
            rate: None,
        }
    }

    #[test]
    fn it_grows_on_an_empty_path_and_gives_way_to_a_queue() {
        let mut ledbat = Ledbat::new(1_000);
        let base = Some(Span::from_millis(20));
        let mut now = 100;
        for _ in 0..6 {
            now += 20;
            ledbat.on_acked(&acked(now, ledbat.window(), 20), base, true);
        }
        let grown = ledbat.window();
        assert!(grown >= 32_000, "it doubles: {grown}");
        for _ in 0..6 {
            now += 20;
            ledbat.on_acked(&acked(now, 1_000, 60), base, true);
        }
        assert!(ledbat.window() <= grown / 16, "a queue of 40 ms: {}", ledbat.window());
        let low = ledbat.window();
        for _ in 0..10 {
            now += 20;
            ledbat.on_acked(&acked(now, 1_000, 20), base, true);
        }
        assert!(
            ledbat.window() > low && ledbat.window() < 4 * low + 10_000,
            "then slowly: {}",
            ledbat.window()
        );
        let idle = ledbat.window();
        ledbat.on_acked(&acked(now + 20, 1_000, 20), base, false);
        assert_eq!(ledbat.window(), idle, "what is not used is not raised");
    }

    #[test]
    fn loss_halves_it_once_a_round_trip_and_only_with_a_queue() {
        let mut ledbat = Ledbat::new(1_000);
        ledbat.window = 100_000;
        let lost = |now: u64, sent: u64| Lost {
            now: Time::from_micros(now * 1_000),
            bytes: 1_000,
            youngest: Time::from_micros(sent * 1_000),
            persistent: false,
        };
        let base = Some(Span::from_millis(20));
        ledbat.on_lost(&lost(100, 80), base);
        assert_eq!(ledbat.window(), 100_000);
        ledbat.queue = Span::from_millis(10);
        ledbat.on_lost(&lost(101, 81), base);
        ledbat.on_lost(&lost(102, 82), base);
        assert_eq!(ledbat.window(), 50_000);
        ledbat.on_lost(&lost(140, 110), base);
        assert_eq!(ledbat.window(), 25_000);
    }
}
