//! What was sent and is not acknowledged yet: loss detection (RFC 9002, section 6).
//!
//! Owns the records of sent packets, bytes in flight, and the decision that a packet is lost: by a younger one that was
//! acknowledged, by time, or probed for when nothing comes back. Refuses to keep packets: a record names the ranges of
//! lanes that its packet carried. Records lie in one ring that is reused, numbered without gaps, so that a number is a
//! place. Refuses to judge what a loss means for the window: it reports. Read "Loss detection" in `wire/PROTOCOL.md` first.

pub use self::records::{Fate, Losses, Outcome, SentPacket};
use self::records::{Missed, Record};
use super::rate::DeliveryRate;
use super::send::SendLanes;
use super::timers::RoundTrip;
use crate::base::limits::{LOST_REMEMBERED_MAX, REORDER_PACKETS_MAX, REORDER_PACKETS_MIN};
use crate::base::units::{Span, Time};
use crate::wire::frame::{Ack, Lane};
use std::collections::VecDeque;

mod records;

/// Sent packets of a session.
#[derive(Debug)]
pub struct SentPackets {
    /// Records from number `base` on; the first is in flight.
    records: VecDeque<Record>,
    /// Number of the first record.
    base: u64,
    /// Bytes in flight.
    in_flight: u64,
    /// The largest number that was acknowledged.
    largest_acked: Option<u64>,
    /// When the last packet that asks for an acknowledgement was sent, and whether it asked for it at once.
    last_asking: Option<(Time, bool)>,
    /// Packets in flight that asked for an acknowledgement at once.
    at_once: u32,
    /// Probe timeouts in a row.
    backoff: u32,
    /// A packet is lost when one this much younger is acknowledged.
    reorder_packets: u64,
    /// ... or when a younger one is and this much more than a round trip has passed.
    reorder_span: Span,
    /// Packets lately declared lost.
    missed: VecDeque<Missed>,
    /// Packets declared lost so far.
    lost_packets: u64,
    /// Packets declared lost that were only late.
    spurious_packets: u64,
    /// When the first round trip was measured.
    measured_at: Option<Time>,
    /// What is delivered.
    delivery: DeliveryRate,
}

impl Default for SentPackets {
    fn default() -> Self {
        Self::new()
    }
}

impl SentPackets {
    /// Nothing sent.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            records: VecDeque::new(),
            base: 0,
            in_flight: 0,
            largest_acked: None,
            last_asking: None,
            at_once: 0,
            backoff: 0,
            reorder_packets: REORDER_PACKETS_MIN,
            reorder_span: Span::ZERO,
            missed: VecDeque::new(),
            lost_packets: 0,
            spurious_packets: 0,
            measured_at: None,
            delivery: DeliveryRate::new(),
        }
    }

    /// The number of the next packet.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.base + u64::try_from(self.records.len()).expect("records are bounded by the window")
    }

    /// Bytes in flight.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Bytes delivered since the session began.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.delivery.delivered()
    }

    /// Whether a packet in flight has asked for an acknowledgement at once.
    #[must_use]
    pub const fn is_answer_due(&self) -> bool {
        self.at_once > 0
    }

    /// When the last packet that asks for an acknowledgement was sent.
    #[must_use]
    pub fn last_asking(&self) -> Option<Time> {
        self.last_asking.map(|(sent, _)| sent)
    }

    /// Packets declared lost, and how many of them were only late.
    #[must_use]
    pub const fn losses(&self) -> (u64, u64) {
        (self.lost_packets, self.spurious_packets)
    }

    /// Probe timeouts in a row.
    #[must_use]
    pub const fn timeouts(&self) -> u32 {
        self.backoff
    }

    /// There is nothing to send although window and pace would let it go.
    pub fn on_app_limited(&mut self) {
        self.delivery.on_app_limited(self.in_flight);
    }

    /// The path is another one: what was learnt of its reordering does not hold, and probing starts over.
    pub fn on_path_change(&mut self) {
        (self.reorder_packets, self.reorder_span, self.backoff) = (REORDER_PACKETS_MIN, Span::ZERO, 0);
    }

    /// The packet with [`Self::next_number`] was sent.
    pub fn push(&mut self, packet: SentPacket) {
        let stamp = self.delivery.on_sent(packet.sent, self.in_flight == 0);
        match packet.fate {
            Fate::InFlight => {
                self.in_flight += u64::from(packet.bytes);
                self.last_asking = Some((packet.sent, packet.at_once));
                self.at_once += u32::from(packet.at_once);
            }
            Fate::Unasked | Fate::Settled => {}
        }
        self.records.push_back(Record { packet, stamp });
        self.drop_settled();
    }

    /// Drops records from the front that nobody waits for.
    fn drop_settled(&mut self) {
        while self.records.front().is_some_and(|record| record.packet.fate != Fate::InFlight) {
            self.records.pop_front();
            self.base += 1;
        }
    }

    /// Takes an acknowledgement; None if it names a packet that was never sent. A rate over less than `shortest` is
    /// noise.
    pub fn on_ack(
        &mut self,
        now: Time,
        ack: &Ack<'_>,
        shortest: Span,
        lanes: &mut SendLanes,
    ) -> Option<Outcome> {
        let next = self.next_number();
        if ack.largest >= next {
            return None;
        }
        let mut outcome = Outcome::default();
        for (start, end) in ack.ranges() {
            for number in start.max(self.base)..=end {
                self.acknowledge(now, number, ack.largest, lanes, &mut outcome);
            }
            self.notice_spurious(now, start, end, lanes);
        }
        if self.largest_acked.is_none_or(|largest| ack.largest > largest) {
            self.largest_acked = Some(ack.largest);
        }
        if outcome.bytes > 0 {
            self.backoff = 0;
            outcome.rate = self.delivery.sample(now, shortest);
        }
        if outcome.sample.is_some() && self.measured_at.is_none() {
            self.measured_at = Some(now);
        }
        self.drop_settled();
        Some(outcome)
    }

    /// One packet has arrived.
    fn acknowledge(
        &mut self,
        now: Time,
        number: u64,
        largest: u64,
        lanes: &mut SendLanes,
        outcome: &mut Outcome,
    ) {
        let place = usize::try_from(number - self.base).expect("it was sent: the record is in memory");
        let Some(Record { packet, stamp }) = self.records.get_mut(place) else { return };
        let fate = core::mem::replace(&mut packet.fate, Fate::Settled);
        if fate == Fate::Settled {
            return;
        }
        outcome.acknowledges = outcome.acknowledges.max(packet.acknowledges);
        if fate == Fate::Unasked {
            return;
        }
        let bytes = u64::from(packet.bytes);
        outcome.bytes += bytes;
        if number == largest {
            outcome.sample = Some(now.since(packet.sent));
        }
        if packet.tries_length {
            outcome.length = outcome.length.max(Some(packet.bytes));
        }
        self.in_flight -= bytes;
        self.at_once -= u32::from(packet.at_once);
        self.delivery.on_acked(now, packet.sent, *stamp, bytes);
        lanes.on_acked(&packet.carried);
    }

    /// Packets from `start` to `end` have arrived: those that were declared lost were only late, and the path reorders
    /// more than was thought.
    fn notice_spurious(&mut self, now: Time, start: u64, end: u64, lanes: &mut SendLanes) {
        if self.missed.is_empty() {
            return;
        }
        let low = self.missed.partition_point(|missed| missed.number < start);
        let high = self.missed.partition_point(|missed| missed.number <= end);
        for missed in self.missed.drain(low..high.max(low)) {
            lanes.on_acked(&missed.carried);
            self.delivery.on_late(u64::from(missed.bytes));
            self.spurious_packets += 1;
            let distance = self.largest_acked.map_or(0, |largest| largest.saturating_sub(missed.number) + 1);
            self.reorder_packets = distance.clamp(self.reorder_packets, REORDER_PACKETS_MAX);
            self.reorder_span = self.reorder_span.max(now.since(missed.sent));
        }
    }

    /// By how much packets come later than a round trip; never believed beyond half a round trip more.
    fn late(&self, trip: &RoundTrip) -> Span {
        (self.reorder_span - trip.smoothed()).min(trip.smoothed().part(2))
    }

    /// Declares lost what must be.
    pub fn detect_lost(&mut self, now: Time, trip: &RoundTrip, lanes: &mut SendLanes) -> Losses {
        let mut losses = Losses::default();
        let Some(largest) = self.largest_acked else { return losses };
        let delay = trip.loss_delay(self.late(trip));
        let mut run_start = None;
        let duration = trip.persistent_congestion();
        for (number, record) in (self.base..largest).zip(self.records.iter_mut()) {
            let packet = &mut record.packet;
            if packet.fate != Fate::InFlight {
                // Unasked packets break no run of losses; acknowledged ones do (RFC 9002, section 7.6.2).
                run_start = run_start.filter(|_| packet.fate == Fate::Unasked);
                continue;
            }
            if largest - number < self.reorder_packets && packet.sent + delay > now {
                break;
            }
            packet.fate = Fate::Settled;
            self.in_flight -= u64::from(packet.bytes);
            self.at_once -= u32::from(packet.at_once);
            losses.credits |= packet.credits;
            if packet.tries_length {
                losses.length = true;
                continue;
            }
            self.lost_packets += 1;
            losses.bytes += u64::from(packet.bytes);
            losses.youngest = Some(packet.sent);
            if self.measured_at.is_some_and(|measured| packet.sent > measured) {
                let started: Time = *run_start.get_or_insert(packet.sent);
                losses.persistent |= duration.is_some_and(|duration| packet.sent.since(started) > duration);
            }
            lanes.on_lost(&packet.carried);
            if self.missed.len() >= LOST_REMEMBERED_MAX {
                self.missed.pop_front();
            }
            let (sent, bytes, carried) = (packet.sent, packet.bytes, packet.carried.clone());
            self.missed.push_back(Missed { number, sent, bytes, carried });
        }
        self.drop_settled();
        losses
    }

    /// When [`Self::detect_lost`] will find the next loss by time; None if nothing is suspected.
    fn loss_time(&self, trip: &RoundTrip) -> Option<Time> {
        let first = self.records.front()?;
        let suspects = self.largest_acked.filter(|largest| *largest > self.base);
        suspects.map(|_| first.packet.sent + trip.loss_delay(self.late(trip)))
    }

    /// When to come back: for a loss by time, or else to probe.
    #[must_use]
    pub fn deadline(&self, trip: &RoundTrip) -> Option<Time> {
        if self.records.is_empty() {
            return None;
        }
        let probe = self.last_asking.map(|(sent, at_once)| sent + trip.probe_timeout(self.backoff, at_once));
        self.loss_time(trip).or(probe)
    }

    /// The deadline has passed. True: nothing is suspected, and it is time to probe; what the oldest packet in flight
    /// carried is queued again in case there is nothing new to send. False: [`Self::detect_lost`] will find a loss.
    pub fn on_deadline(&mut self, trip: &RoundTrip, lanes: &mut SendLanes) -> bool {
        if self.loss_time(trip).is_some() {
            return false;
        }
        self.backoff = self.backoff.saturating_add(1);
        if !lanes.is_pending() {
            let packets = self.records.iter().map(|record| &record.packet);
            let probed = packets.filter(|packet| !packet.carried.is_empty()).take(2);
            for packet in probed.filter(|packet| packet.fate == Fate::InFlight) {
                lanes.on_lost(&packet.carried);
            }
        }
        true
    }

    /// Credits carried by packets in flight, one bit a lane: a probe repeats them.
    #[must_use]
    pub fn credits_in_flight(&self) -> u8 {
        let packets = self.records.iter().map(|record| &record.packet);
        let flying = packets.filter(|packet| packet.fate == Fate::InFlight);
        flying.fold(0, |credits, packet| credits | packet.credits)
    }
}

/// The bit of a lane in a set of credits.
#[must_use]
pub fn credit_bit(lane: Lane) -> u8 {
    1 << lane.number()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::send::{Carried, CarriedList};
    use crate::wire::frame::{Frame, FrameWriter, Frames};

    /// All that loss detection works on.
    struct Bench {
        /// What is tested.
        sent: SentPackets,
        /// One long message on Bulk.
        lanes: SendLanes,
        /// What was lost lately.
        losses: Losses,
        /// The round trip.
        trip: RoundTrip,
    }

    /// A moment, in milliseconds.
    fn at(millis: u64) -> Time {
        Time::ZERO + Span::from_millis(millis)
    }

    impl Bench {
        /// A round trip of 100 ms was measured at 0 ms.
        fn new() -> Self {
            let mut trip = RoundTrip::new();
            trip.update(Span::from_millis(100), Span::ZERO);
            let mut lanes = SendLanes::new();
            lanes.push(Lane::Bulk, &[], vec![0; 100_000]);
            lanes.on_credit(Lane::Bulk, 200_000);
            let sent = SentPackets { measured_at: Some(at(0)), ..SentPackets::new() };
            Self { sent, lanes, losses: Losses::default(), trip }
        }

        /// Sends the next 1,000 bytes.
        fn send(&mut self, now: Time) {
            let mut carried = CarriedList::new();
            let mut out = [0; 1_005];
            self.lanes.write(&mut FrameWriter::new(&mut out), &mut carried);
            let [Carried { length: 1_000, .. }] = carried[..] else { panic!("{carried:?}") };
            self.sent.push(SentPacket {
                sent: now,
                bytes: 1_100,
                fate: Fate::InFlight,
                at_once: false,
                tries_length: false,
                credits: 0,
                acknowledges: None,
                carried,
            });
        }

        /// Takes an acknowledgement of `ranges`, oldest first, then detects losses.
        fn ack(&mut self, now: Time, ranges: &[(u64, u64)]) -> Option<Outcome> {
            let mut out = [0; 1_000];
            let mut writer = FrameWriter::new(&mut out);
            assert!(writer.ack(0, ranges));
            let Some(Ok(Frame::Ack(ack))) = Frames::new(&out).next() else { panic!("no acknowledgement") };
            let outcome = self.sent.on_ack(now, &ack, Span::ZERO, &mut self.lanes);
            self.detect(now);
            outcome
        }

        /// Detects losses.
        fn detect(&mut self, now: Time) {
            self.losses = self.sent.detect_lost(now, &self.trip, &mut self.lanes);
        }
    }

    #[test]
    fn a_packet_is_lost_when_the_third_younger_one_arrives() {
        let mut bench = Bench::new();
        for millis in 0..10 {
            bench.send(at(millis));
        }
        let outcome = bench.ack(at(101), &[(1, 2)]).expect("they were sent");
        assert_eq!((outcome.bytes, outcome.sample), (2_200, Some(Span::from_millis(99))));
        assert_eq!((bench.sent.losses(), bench.sent.in_flight()), ((0, 0), 8 * 1_100));
        bench.ack(at(102), &[(1, 3)]);
        assert_eq!((bench.sent.losses(), bench.sent.in_flight()), ((1, 0), 6 * 1_100));
        assert_eq!((bench.losses.bytes, bench.losses.youngest), (1_100, Some(at(0))));
    }

    #[test]
    fn a_packet_is_lost_when_a_younger_one_arrived_and_time_has_passed() {
        let mut bench = Bench::new();
        bench.send(at(0));
        bench.send(at(50));
        bench.ack(at(100), &[(1, 1)]);
        // 9/8 of 100 ms
        let due = Time::from_micros(112_500);
        assert_eq!((bench.sent.losses(), bench.sent.deadline(&bench.trip)), ((0, 0), Some(due)));
        assert!(!bench.sent.on_deadline(&bench.trip, &mut bench.lanes), "a loss, no probe");
        bench.detect(due);
        assert_eq!((bench.sent.losses(), bench.sent.deadline(&bench.trip)), ((1, 0), None));
    }

    #[test]
    fn a_late_packet_teaches_patience() {
        let mut bench = Bench::new();
        for millis in 0..30 {
            bench.send(at(millis));
        }
        bench.ack(at(105), &[(1, 8)]);
        assert_eq!(bench.sent.losses(), (1, 0));
        bench.ack(at(106), &[(0, 8)]);
        assert_eq!(bench.sent.losses(), (1, 1), "it was only late");
        bench.ack(at(107), &[(10, 16)]);
        assert_eq!(bench.sent.losses(), (1, 1), "seven later ones prove nothing any more");
        bench.ack(at(108), &[(10, 18)]);
        assert_eq!(bench.sent.losses(), (2, 1));
    }

    #[test]
    fn the_probe_timeout_doubles_until_something_arrives() {
        let mut bench = Bench::new();
        bench.send(at(0));
        // 100 + 4 * 50 + 25
        assert_eq!(bench.sent.deadline(&bench.trip), Some(at(325)));
        assert!(bench.sent.on_deadline(&bench.trip, &mut bench.lanes));
        assert_eq!(bench.sent.deadline(&bench.trip), Some(at(650)));
        bench.send(at(325));
        assert_eq!(bench.sent.deadline(&bench.trip), Some(at(975)));
        bench.ack(at(425), &[(1, 1)]);
        assert_eq!(bench.sent.losses(), (1, 0), "it is long overdue");
        bench.send(at(500));
        assert_eq!(bench.sent.deadline(&bench.trip), Some(at(825)));
    }

    #[test]
    fn losses_over_three_probe_timeouts_start_anew_unless_something_arrived_between() {
        for (arrived, persistent) in [(None, true), (Some(5), false)] {
            let mut bench = Bench::new();
            for index in 0..12 {
                bench.send(at(100 + index * 100));
            }
            if let Some(number) = arrived {
                let place: usize = number;
                bench.sent.records[place].packet.fate = Fate::Settled;
                bench.sent.in_flight -= 1_100;
            }
            bench.ack(at(1_400), &[(11, 11)]);
            assert_eq!(bench.losses.persistent, persistent);
        }
    }

    #[test]
    fn an_acknowledgement_of_what_was_never_sent_is_refused() {
        let mut bench = Bench::new();
        assert_eq!(bench.ack(at(0), &[(0, 0)]), None);
        bench.send(at(0));
        assert!(bench.ack(at(1), &[(0, 0)]).is_some());
        assert_eq!(bench.ack(at(1), &[(1, 1)]), None);
        let again = bench.ack(at(2), &[(0, 0)]).expect("it was sent");
        assert_eq!(again, Outcome::default(), "an old one changes nothing");
    }
}
