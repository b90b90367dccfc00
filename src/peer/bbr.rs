//! The controller for all that somebody waits for: a model of the path instead of a reaction to loss.
//!
//! Owns [`Bbr`], after BBR (Cardwell and others, "BBR: congestion-based congestion control", ACM Queue 2016; draft-ietf-
//! ccwg-bbr): the window and the pace come from the highest rate at which the path has lately delivered and the
//! shortest round trip that it has shown. Differences, each for a home network and a small machine:
//!
//! - A loss that comes without a queue is the radio's and not congestion: the pace is raised by the share that is lost,
//!   so that what *arrives* fills the path (at most by an eighth); measured while cruising only, so that what probing
//!   itself drops does not count. Loss with a queue lowers the model at once.
//! - While cruising a short queue is kept on purpose, and no more: a machine that is late by a
//!   millisecond does not let the path run dry.
//! - A round trip within a small tolerance of the shortest confirms it: an undisturbed flow never stops to measure.
//!
//! Refuses to know packets, clocks and lanes. Read "Congestion control" in `wire/PROTOCOL.md` first.

mod bunching;
mod own_loss;
mod state;

use self::bunching::{over, Bunching};
use self::own_loss::OwnLoss;
use self::state::{Round, State};
use super::congestion::{Acked, Lost};
use super::rate::RateSample;
use crate::base::limits::{
    BBR_CRUISE_MIN, BBR_PROBE_TRIP_EVERY, BBR_PROBE_TRIP_TIME, RTT_INITIAL, WINDOW_BYTES_MAX,
    WINDOW_DATAGRAMS_INITIAL, WINDOW_DATAGRAMS_MIN,
};
use crate::base::units::{Span, Time};

/// A model-based controller.
#[derive(Debug, Clone)]
pub struct Bbr {
    /// What it is doing.
    state: State,
    /// Bytes of a datagram.
    datagram: u64,
    /// Bytes that may be in flight.
    window: u64,
    /// The highest delivery rates of this probing cycle and of the one before, in bytes a second.
    rates: [u64; 2],
    /// The last round trips: only the longest of them counts, for a packet that overtakes all others shows a
    /// round trip that no flow has.
    trips: [Span; 5],
    /// The shortest round trip, and when it was last confirmed.
    shortest: Option<(Span, Time)>,
    /// The round that is on its way.
    round: Round,
    /// By how much the shortest round trip of the last whole round was longer than the shortest of all.
    queue: Span,
    /// What comes in bunches.
    bunching: Bunching,
    /// What the path loses by itself.
    loss: OwnLoss,
    /// Draws the length of the next cruise, so that flows do not probe in step.
    dice: u64,
}

impl Bbr {
    /// Nothing known of the path; it takes datagrams of `datagram` bytes.
    #[must_use]
    pub fn new(datagram: u64) -> Self {
        Self {
            state: State::Startup { best: 0, rounds: 0 },
            datagram,
            window: WINDOW_DATAGRAMS_INITIAL * datagram,
            rates: [0; 2],
            trips: [Span::ZERO; 5],
            shortest: None,
            round: Round::default(),
            queue: Span::ZERO,
            bunching: Bunching::default(),
            loss: OwnLoss::default(),
            dice: 0,
        }
    }

    /// The rate at which the path delivers, in bytes a second; 0 before it was measured.
    #[must_use]
    pub fn bandwidth(&self) -> u64 {
        self.rates[0].max(self.rates[1])
    }

    /// Whether the path was never full yet: answers are wanted as soon as can be.
    #[must_use]
    pub const fn is_starting(&self) -> bool {
        matches!(self.state, State::Startup { .. })
    }

    /// The shortest round trip.
    #[must_use]
    pub fn shortest_trip(&self) -> Option<Span> {
        self.shortest.map(|(trip, _)| trip)
    }

    /// Whether so much in flight fills the path, as far as it is known, even if the sender could send more.
    #[must_use]
    pub fn is_filled(&self, in_flight: u64) -> bool {
        self.bandwidth() > 0 && in_flight * 4 >= self.product() * 5
    }

    /// Bytes that fill the path without a queue. A round trip below a millisecond counts as one: on such a path the
    /// machines' own delays are what must be bridged.
    fn product(&self) -> u64 {
        let trip = self.shortest_trip().unwrap_or(RTT_INITIAL).max(Span::from_millis(1));
        over(self.bandwidth(), trip)
    }

    /// The queue that cruising keeps.
    fn queue_wanted(&self) -> Span {
        let trip = self.shortest_trip().unwrap_or(RTT_INITIAL);
        (Span::from_millis(1) + trip.part(8)).min(Span::from_millis(5))
    }

    /// More queue than that is somebody's congestion.
    fn queue_crowded(&self) -> Span {
        let trip = self.shortest_trip().unwrap_or(RTT_INITIAL);
        trip.part(4).max(Span::from_millis(4))
    }

    /// A little more than the rate while the queue is shorter than wanted, a little less while it is longer, in
    /// thousandths.
    fn cruise_gain(&self) -> u64 {
        let (queue, wanted) = (self.queue.as_micros(), self.queue_wanted().as_micros());
        if queue <= wanted {
            1_000 + CRUISE_GAIN_RANGE * (wanted - queue) / wanted
        } else {
            1_000 - (CRUISE_GAIN_RANGE * (queue - wanted) / (2 * wanted)).min(CRUISE_GAIN_RANGE)
        }
    }

    /// Takes a rate sample; whether a round ends with it.
    fn take_rate(&mut self, delivered: u64, sample: &RateSample) -> bool {
        self.round.rate = self.round.rate.max(sample.rate);
        self.round.app_limited = sample.app_limited;
        if !sample.app_limited || sample.rate > self.bandwidth() {
            self.rates[0] = self.rates[0].max(sample.rate);
        }
        if sample.prior_delivered < self.round.ends_at {
            return false;
        }
        self.round.ends_at = delivered;
        true
    }

    /// Takes a round trip.
    fn take_trip(&mut self, now: Time, trip: Span) {
        self.trips.rotate_right(1);
        self.trips[0] = trip;
        let trip = self.trips.into_iter().fold(Span::from_micros(1), Span::max);
        self.round.trips += 1;
        self.round.shortest = Some(self.round.shortest.map_or(trip, |least| least.min(trip)));
        if let State::ProbeTrip { until: Some(_), shortest } = &mut self.state {
            *shortest = Some(shortest.map_or(trip, |least| least.min(trip)));
        }
        match self.shortest {
            Some((least, _)) if trip > least => {
                let tolerance = least.part(8).max(Span::from_millis(1));
                if trip <= least + tolerance {
                    self.shortest = Some((least, now));
                }
            }
            _ => self.shortest = Some((trip, now)),
        }
    }

    /// Judges the round that has ended, and begins another one.
    fn end_round(&mut self, now: Time) {
        let round = self.round;
        if let (Some(shortest), Some(least)) = (round.shortest, self.shortest_trip()) {
            self.queue = shortest - least;
        }
        let crowded = self.queue > self.queue_crowded();
        self.loss.crowded |= crowded;
        let total = round.acked + round.lost;
        let heavy = round.lost > 8 * self.datagram && round.lost * 8 > total && crowded;
        match &mut self.state {
            State::Startup { best, rounds } => {
                if self.rates[0] * 4 >= *best * 5 {
                    (*best, *rounds) = (self.rates[0], 0);
                } else if !round.app_limited {
                    *rounds += 1;
                }
                if *rounds >= STARTUP_ROUNDS || round.lost * 5 > total.max(40 * self.datagram) {
                    self.state = State::Drain;
                }
            }
            State::Cruise { .. } | State::Up { .. } if heavy => {
                self.rates = [round.rate.max(1), 0];
                self.state = State::Down { since: now };
            }
            State::Cruise { .. }
            | State::Up { .. }
            | State::Down { .. }
            | State::Drain
            | State::ProbeTrip { .. } => {}
        }
        self.bunching.end_round();
        self.round = Round { ends_at: round.ends_at, ..Round::default() };
    }

    /// Moves on to the next state where it is time.
    fn advance(&mut self, now: Time, in_flight: u64) {
        let product = self.product();
        let trip = self.shortest_trip().unwrap_or(RTT_INITIAL);
        let drained = product
            + over(self.bandwidth(), self.queue_wanted().part(2))
            + (8 * self.datagram).min(product / 8);
        match self.state {
            State::Startup { .. } => {
                // Even what went first in this round has waited: a queue stands (HyStart++, RFC 9406).
                let waited = self.round.shortest.map_or(Span::ZERO, |shortest| shortest - trip);
                if self.round.trips >= STARTUP_TRIPS && waited > self.queue_crowded() {
                    self.state = State::Drain;
                }
            }
            State::Drain => {
                if in_flight <= drained {
                    self.cruise(now, trip);
                }
            }
            State::Cruise { until } => {
                if now >= until {
                    self.loss.judge(self.datagram);
                    if self.rates[0] > 0 {
                        self.rates = [0, self.rates[0]];
                    }
                    self.state = State::Up { since: now, from: self.bandwidth() };
                }
            }
            State::Up { since, from } => {
                let long = now.since(since);
                let bandwidth = self.bandwidth();
                let grows = bandwidth * 10 >= from * 11 && self.queue <= self.queue_wanted();
                if long > trip && grows {
                    // There is more than was known: go on while it is found.
                    self.state = State::Up { since: now, from: bandwidth };
                } else if long > trip && (in_flight * 4 >= product * 5 || long > trip.times(3)) {
                    self.state = State::Down { since: now };
                }
            }
            State::Down { since } => {
                if in_flight <= drained || now.since(since) > trip.times(4) {
                    self.cruise(now, trip);
                }
            }
            State::ProbeTrip { until: None, shortest } => {
                if in_flight <= self.window {
                    self.state =
                        State::ProbeTrip { until: Some(now + BBR_PROBE_TRIP_TIME.max(trip)), shortest };
                }
            }
            State::ProbeTrip { until: Some(until), shortest } => {
                if now >= until {
                    self.shortest = shortest.map(|least| (least, now)).or(self.shortest);
                    self.cruise(now, trip);
                }
            }
        }
        let old = self.shortest.is_some_and(|(_, confirmed)| now.since(confirmed) > BBR_PROBE_TRIP_EVERY);
        if old && in_flight > 0 && !matches!(self.state, State::ProbeTrip { .. }) {
            self.state = State::ProbeTrip { until: None, shortest: None };
            // Confirmed for now, or a path that cannot be emptied would be probed without end.
            self.shortest = self.shortest.map(|(least, _)| (least, now));
        }
    }

    /// Begins a cruise of six round trips or more, drawn by dice.
    fn cruise(&mut self, now: Time, trip: Span) {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(now.as_micros() | 1);
        let span = trip.times(6).max(BBR_CRUISE_MIN);
        let drawn = span.times(3).part(4) + Span::from_micros((self.dice >> 33) % (span.as_micros() / 2 + 1));
        self.state = State::Cruise { until: now + drawn };
    }

    /// Sets the window after an acknowledgement of `bytes`.
    fn set_window(&mut self, bytes: u64) {
        let least = WINDOW_DATAGRAMS_MIN * self.datagram;
        let extra = self.bunching.extra();
        let product = self.product();
        self.window = match self.state {
            // The window doubles each round; after one without growth, to what the rate needs.
            State::Startup { rounds, .. } => {
                let target = product * STARTUP_GAIN / 1_000;
                let most = if rounds == 0 { u64::MAX } else { target.max(self.window) };
                (self.window + bytes).min(most)
            }
            State::ProbeTrip { .. } => (product / 2).max(least),
            State::Drain | State::Cruise { .. } | State::Up { .. } | State::Down { .. } => {
                (2 * product + extra).min((self.window + bytes).max(least))
            }
        }
        .clamp(least, WINDOW_BYTES_MAX);
    }

    /// An acknowledgement has come.
    pub fn on_acked(&mut self, acked: &Acked) {
        self.round.acked += acked.bytes;
        if let Some(trip) = acked.round_trip {
            self.take_trip(acked.now, trip);
        }
        let ended = acked.rate.is_some_and(|sample| self.take_rate(acked.delivered, &sample));
        self.bunching.take(acked.now, acked.bytes, self.bandwidth());
        if matches!(self.state, State::Cruise { .. }) {
            self.loss.acked += acked.bytes;
        }
        if ended {
            self.end_round(acked.now);
        }
        self.advance(acked.now, acked.in_flight);
        self.set_window(acked.bytes);
    }

    /// Packets were lost.
    pub fn on_lost(&mut self, lost: &Lost) {
        self.round.lost += lost.bytes;
        if matches!(self.state, State::Cruise { .. }) {
            self.loss.lost += lost.bytes;
        }
        if lost.persistent {
            let shortest = self.shortest;
            *self = Self { shortest, dice: self.dice, ..Self::new(self.datagram) };
            self.round.ends_at = 0;
            self.window = WINDOW_DATAGRAMS_MIN * self.datagram;
        }
    }

    /// Datagrams are of another length now: `datagram` bytes.
    pub fn on_datagram_length(&mut self, datagram: u64) {
        self.datagram = datagram;
        self.window = self.window.max(WINDOW_DATAGRAMS_MIN * datagram);
    }

    /// Bytes that may be in flight.
    #[must_use]
    pub const fn window(&self) -> u64 {
        self.window
    }

    /// Bytes a second.
    #[must_use]
    pub fn rate(&self) -> u64 {
        let bandwidth = self.bandwidth();
        let first = {
            let trip = self.shortest_trip().unwrap_or(RTT_INITIAL).as_micros().max(1);
            self.window.saturating_mul(1_000_000) / trip
        };
        let gain = match self.state {
            State::Startup { .. } => {
                return (bandwidth.max(first).saturating_mul(STARTUP_GAIN) / 1_000).max(self.datagram)
            }
            State::Drain => 360,
            State::Cruise { .. } => self.cruise_gain(),
            State::Up { .. } => 1_250,
            State::Down { .. } => 750,
            State::ProbeTrip { .. } => 1_000,
        };
        // Probing adds the same to every flow on top: a small one gains more by it, and shares become equal.
        let even = match self.state {
            State::Up { .. } => {
                let trip = self.shortest_trip().unwrap_or(RTT_INITIAL).max(Span::from_millis(1));
                let bytes = (PROBE_DATAGRAMS * self.datagram).min(self.product() / 2);
                bytes * 1_000_000 / trip.as_micros()
            }
            _ => 0,
        };
        let arriving = bandwidth.saturating_mul(gain) / 1_000 + even;
        // What arrives is what was sent less what the path loses.
        let sent = (arriving << 16) / ((1 << 16) - self.loss.share().min(LOSS_MAX));
        sent.max(self.datagram * 8)
    }
}

/// The pace of Startup, in thousandths of the rate: 4 ln 2 doubles what is delivered each round.
const STARTUP_GAIN: u64 = 2_000;
/// Datagrams a round trip that Up sends beside its share of the rate, at most half of a full path.
const PROBE_DATAGRAMS: u64 = 4;
/// Round trips of one round that tell a queue.
const STARTUP_TRIPS: u32 = 8;
/// Rounds without growth by a quarter that end Startup.
const STARTUP_ROUNDS: u8 = 3;
/// How far cruising deviates from the rate for the sake of the queue, in thousandths.
const CRUISE_GAIN_RANGE: u64 = 40;
/// Most of the path's own loss that is made up for: an eighth.
const LOSS_MAX: u64 = (1 << 16) / 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// A path without packets: 10 MB/s, 20 ms, of which `lost` thousandths are lost and that adds `queue`. Each step is a
    /// quarter of a round trip of acknowledgements at the controller's own pace.
    fn walk(bbr: &mut Bbr, now: &mut Time, steps: u32, lost: u64, queue: Span) {
        for _ in 0..steps {
            *now = *now + Span::from_millis(5);
            let sent = (bbr.rate() / 200).min(10_000_000 / 200);
            let bytes = sent * (1_000 - lost) / 1_000;
            if sent > bytes {
                bbr.on_lost(&Lost { now: *now, bytes: sent - bytes, youngest: *now, persistent: false });
            }
            let delivered = bbr.round.ends_at.max(1) + bytes;
            bbr.on_acked(&Acked {
                now: *now,
                bytes,
                in_flight: bbr.product(),
                delivered,
                round_trip: Some(Span::from_millis(20) + queue),
                rate: Some(RateSample {
                    rate: bytes * 200,
                    prior_delivered: delivered - bytes,
                    app_limited: false,
                }),
            });
        }
    }

    /// One that knows the path above.
    fn settled(now: &mut Time) -> Bbr {
        let mut bbr = Bbr::new(1_472);
        walk(&mut bbr, now, 200, 0, Span::ZERO);
        assert!(!matches!(bbr.state, State::Startup { .. } | State::Drain), "{:?}", bbr.state);
        assert_eq!((bbr.bandwidth(), bbr.shortest_trip()), (10_000_000, Some(Span::from_millis(20))));
        bbr
    }

    #[test]
    fn what_the_path_loses_by_itself_is_sent_on_top_and_not_more_than_an_eighth() {
        let mut now = Time::from_micros(1_000_000);
        for (lost, low, high) in [(50, 3_000, 3_500), (500, LOSS_MAX, 1 << 16)] {
            let mut bbr = settled(&mut now);
            walk(&mut bbr, &mut now, 4_000, lost, Span::ZERO);
            assert!((low..=high).contains(&bbr.loss.share()), "{lost}: {:?}", bbr.loss);
            let probing = PROBE_DATAGRAMS * bbr.datagram * 50;
            let most = (bbr.bandwidth() * 1_250 / 1_000 + probing) * 8 / 7;
            assert!(bbr.rate() <= most.max(bbr.datagram * 8) + 10, "{lost}: {} of {most}", bbr.rate());
        }
    }

    #[test]
    fn loss_with_a_queue_is_congestion_and_lowers_the_rate_at_once() {
        let mut now = Time::from_micros(1_000_000);
        let mut bbr = settled(&mut now);
        walk(&mut bbr, &mut now, 24, 300, Span::from_millis(15));
        assert!(bbr.bandwidth() < 8_000_000, "{}", bbr.bandwidth());
        walk(&mut bbr, &mut now, 2_000, 300, Span::from_millis(15));
        assert_eq!(bbr.loss.share(), 0, "it is not the path's own");
    }

    #[test]
    fn a_packet_that_overtakes_all_others_does_not_shorten_the_path() {
        let mut now = Time::from_micros(1_000_000);
        let mut bbr = settled(&mut now);
        bbr.take_trip(now, Span::from_millis(2));
        bbr.take_trip(now, Span::from_millis(21));
        bbr.take_trip(now, Span::from_millis(2));
        assert_eq!(bbr.shortest_trip(), Some(Span::from_millis(20)));
        for _ in 0..5 {
            bbr.take_trip(now, Span::from_millis(10));
        }
        assert_eq!(bbr.shortest_trip(), Some(Span::from_millis(10)), "a new way is believed");
    }

    #[test]
    fn an_old_round_trip_is_measured_anew_with_little_in_flight() {
        let mut now = Time::from_micros(1_000_000);
        let mut bbr = settled(&mut now);
        let mut probed = false;
        for _ in 0..3_000 {
            walk(&mut bbr, &mut now, 1, 0, Span::from_millis(30));
            probed |= matches!(bbr.state, State::ProbeTrip { .. }) && bbr.window() <= bbr.product();
        }
        assert!(probed);
    }

    #[test]
    fn a_path_that_is_gone_is_learnt_anew_from_the_smallest_window() {
        let mut now = Time::from_micros(1_000_000);
        let mut bbr = settled(&mut now);
        bbr.on_lost(&Lost { now, bytes: 200_000, youngest: now, persistent: true });
        assert_eq!((bbr.window(), bbr.bandwidth()), (WINDOW_DATAGRAMS_MIN * 1_472, 0));
        assert!(matches!(bbr.state, State::Startup { .. }) && bbr.rate() > 0);
    }
}
