//! What was sent and is not acknowledged yet: loss detection (RFC 9002, section 6).
//!
//! Owns the records of sent packets, bytes in flight, and the decision that a packet is lost: by a younger one that was
//! acknowledged, by time, or probed for when nothing comes back. Refuses to keep packets: a record names the ranges of
//! lanes that its packet carried. Records lie in one ring that is reused, numbered without gaps, so that a number is a
//! place. Read "Loss detection" in `wire/PROTOCOL.md` first.

use super::congestion::CongestionControl;
use super::send::{CarriedList, SendLanes};
use super::timers::RoundTrip;
use crate::base::limits::{LOST_REMEMBERED_MAX, REORDER_PACKETS_MAX, REORDER_PACKETS_MIN};
use crate::base::units::{Span, Time};
use crate::wire::frame::{Ack, Lane};
use std::collections::VecDeque;

/// Where a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Carries only acknowledgements: nobody acknowledges it for its own sake, and it is not in flight.
    Unasked,
    /// On its way, or lost without our knowing.
    InFlight,
    /// Acknowledged or declared lost.
    Settled,
}

/// A sent packet.
#[derive(Debug, Clone)]
pub struct SentPacket {
    /// When.
    pub sent: Time,
    /// Its length as a datagram, in bytes.
    pub bytes: u16,
    /// Where it is.
    pub fate: Fate,
    /// Whether it asked for an acknowledgement at once.
    pub at_once: bool,
    /// Credits that it carried, one bit a lane.
    pub credits: u8,
    /// The largest number that it acknowledged.
    pub acknowledges: Option<u64>,
    /// Ranges of lanes that it carried.
    pub carried: CarriedList,
}

/// What an acknowledgement, or the passing of time, has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether any packet was newly acknowledged.
    pub progress: bool,
    /// A round trip: the newest acknowledged packet was newly acknowledged and asked for it.
    pub sample: Option<Span>,
    /// The largest number in an Ack frame that has now arrived.
    pub acknowledges: Option<u64>,
    /// Credits in packets that were lost, one bit a lane.
    pub lost_credits: u8,
}

/// Sent packets of a session.
#[derive(Debug)]
pub struct SentPackets {
    /// Records from number `base` on; the first is in flight.
    records: VecDeque<SentPacket>,
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
    /// Packets lately declared lost: number, and what they carried.
    remembered: VecDeque<(u64, CarriedList)>,
    /// Packets declared lost so far.
    lost_packets: u64,
    /// Packets declared lost that were only late.
    spurious_packets: u64,
    /// When the first round trip was measured.
    measured_at: Option<Time>,
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
            remembered: VecDeque::new(),
            lost_packets: 0,
            spurious_packets: 0,
            measured_at: None,
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

    /// The packet with [`Self::next_number`] was sent.
    pub fn push(&mut self, packet: SentPacket) {
        match packet.fate {
            Fate::InFlight => {
                self.in_flight += u64::from(packet.bytes);
                self.last_asking = Some((packet.sent, packet.at_once));
                self.at_once += u32::from(packet.at_once);
            }
            Fate::Unasked | Fate::Settled => {}
        }
        self.records.push_back(packet);
        self.drop_settled();
    }

    /// Drops records from the front that nobody waits for.
    fn drop_settled(&mut self) {
        while self.records.front().is_some_and(|record| record.fate != Fate::InFlight) {
            self.records.pop_front();
            self.base += 1;
        }
    }

    /// Takes an acknowledgement; None if it names a packet that was never sent.
    pub fn on_ack(
        &mut self,
        now: Time,
        ack: &Ack<'_>,
        lanes: &mut SendLanes,
        control: &mut impl CongestionControl,
    ) -> Option<Outcome> {
        let next = self.next_number();
        if ack.largest >= next {
            return None;
        }
        let mut outcome = Outcome::default();
        // RFC 9002, section 7.8, with the slack that a window just emptied by an earlier acknowledgement needs.
        let limited = self.in_flight + 3 * 1_200 >= control.window()
            || (control.is_slow_start() && self.in_flight * 2 >= control.window());
        for (start, end) in ack.ranges() {
            for number in start.max(self.base)..=end {
                self.acknowledge(now, number, ack.largest, limited, lanes, control, &mut outcome);
            }
            self.notice_spurious(start, end, lanes);
        }
        if self.largest_acked.is_none_or(|largest| ack.largest > largest) {
            self.largest_acked = Some(ack.largest);
        }
        if outcome.progress {
            self.backoff = 0;
        }
        if outcome.sample.is_some() && self.measured_at.is_none() {
            self.measured_at = Some(now);
        }
        self.drop_settled();
        Some(outcome)
    }

    /// One packet has arrived.
    #[allow(clippy::too_many_arguments)] // the inner loop of on_ack, on its own to be readable
    fn acknowledge(
        &mut self,
        now: Time,
        number: u64,
        largest: u64,
        limited: bool,
        lanes: &mut SendLanes,
        control: &mut impl CongestionControl,
        outcome: &mut Outcome,
    ) {
        let place = usize::try_from(number - self.base).expect("it was sent: the record is in memory");
        let Some(record) = self.records.get_mut(place) else { return };
        let fate = core::mem::replace(&mut record.fate, Fate::Settled);
        if fate == Fate::Settled {
            return;
        }
        outcome.acknowledges = outcome.acknowledges.max(record.acknowledges);
        if fate == Fate::Unasked {
            return;
        }
        outcome.progress = true;
        if number == largest {
            outcome.sample = Some(now.since(record.sent));
        }
        self.in_flight -= u64::from(record.bytes);
        self.at_once -= u32::from(record.at_once);
        control.on_acked(record.sent, u64::from(record.bytes), limited);
        lanes.on_acked(&record.carried);
    }

    /// Packets from `start` to `end` have arrived: those that were declared lost were only late, and the path reorders
    /// more than was thought.
    fn notice_spurious(&mut self, start: u64, end: u64, lanes: &mut SendLanes) {
        if self.remembered.is_empty() {
            return;
        }
        let low = self.remembered.partition_point(|(number, _)| *number < start);
        let high = self.remembered.partition_point(|(number, _)| *number <= end);
        for (number, carried) in self.remembered.drain(low..high.max(low)) {
            lanes.on_acked(&carried);
            self.spurious_packets += 1;
            let distance = self.largest_acked.map_or(0, |largest| largest.saturating_sub(number) + 1);
            self.reorder_packets = distance.clamp(self.reorder_packets, REORDER_PACKETS_MAX);
        }
    }

    /// Declares lost what must be; the credits they carried, one bit a lane.
    pub fn detect_lost(
        &mut self,
        now: Time,
        trip: &RoundTrip,
        lanes: &mut SendLanes,
        control: &mut impl CongestionControl,
    ) -> u8 {
        let Some(largest) = self.largest_acked else { return 0 };
        let delay = trip.loss_delay();
        let mut credits = 0;
        let mut youngest = None;
        let (mut run_start, mut persistent) = (None, false);
        let duration = trip.persistent_congestion();
        for (number, record) in (self.base..largest).zip(self.records.iter_mut()) {
            if record.fate != Fate::InFlight {
                // Unasked packets break no run of losses; acknowledged ones do (RFC 9002, section 7.6.2).
                run_start = run_start.filter(|_| record.fate == Fate::Unasked);
                continue;
            }
            if largest - number < self.reorder_packets && record.sent + delay > now {
                break;
            }
            record.fate = Fate::Settled;
            self.in_flight -= u64::from(record.bytes);
            self.at_once -= u32::from(record.at_once);
            self.lost_packets += 1;
            credits |= record.credits;
            youngest = Some(record.sent);
            if self.measured_at.is_some_and(|measured| record.sent > measured) {
                let started: Time = *run_start.get_or_insert(record.sent);
                persistent |= duration.is_some_and(|duration| record.sent.since(started) > duration);
            }
            lanes.on_lost(&record.carried);
            remember(&mut self.remembered, number, &record.carried);
        }
        self.drop_settled();
        if let Some(sent) = youngest {
            control.on_lost(now, sent, persistent);
        }
        credits
    }

    /// When [`Self::detect_lost`] will find the next loss by time; None if nothing is suspected.
    fn loss_time(&self, trip: &RoundTrip) -> Option<Time> {
        let first = self.records.front()?;
        self.largest_acked.filter(|largest| *largest > self.base).map(|_| first.sent + trip.loss_delay())
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
            let probed = self.records.iter().filter(|record| !record.carried.is_empty()).take(2);
            for record in probed.filter(|record| record.fate == Fate::InFlight) {
                lanes.on_lost(&record.carried);
            }
        }
        true
    }

    /// Credits carried by packets in flight, one bit a lane: a probe repeats them.
    #[must_use]
    pub fn credits_in_flight(&self) -> u8 {
        self.records
            .iter()
            .filter(|record| record.fate == Fate::InFlight)
            .fold(0, |credits, record| credits | record.credits)
    }
}

/// Keeps a lost packet's ranges for a while.
fn remember(remembered: &mut VecDeque<(u64, CarriedList)>, number: u64, carried: &CarriedList) {
    if remembered.len() >= LOST_REMEMBERED_MAX {
        remembered.pop_front();
    }
    remembered.push_back((number, carried.clone()));
}

/// The bit of a lane in a set of credits.
#[must_use]
pub fn credit_bit(lane: Lane) -> u8 {
    1 << lane.number()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::WINDOW_BYTES_MIN;
    use crate::peer::congestion::NewReno;
    use crate::peer::send::Carried;
    use crate::wire::frame::{Frame, FrameWriter, Frames};

    /// All that loss detection works on.
    struct Bench {
        /// What is tested.
        sent: SentPackets,
        /// One long message on Bulk.
        lanes: SendLanes,
        /// The window.
        control: NewReno,
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
            lanes.push(Lane::Bulk, vec![0; 100_000]);
            lanes.on_credit(Lane::Bulk, 200_000);
            let sent = SentPackets { measured_at: Some(at(0)), ..SentPackets::new() };
            Self { sent, lanes, control: NewReno::new(), trip }
        }

        /// Sends the next 1,000 bytes.
        fn send(&mut self, now: Time) {
            let mut carried = CarriedList::new();
            let mut out = [0; 1_013];
            self.lanes.write(&mut FrameWriter::new(&mut out), &mut carried);
            let [Carried { length: 1_000, .. }] = carried[..] else { panic!("{carried:?}") };
            self.sent.push(SentPacket {
                sent: now,
                bytes: 1_100,
                fate: Fate::InFlight,
                at_once: false,
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
            let outcome = self.sent.on_ack(now, &ack, &mut self.lanes, &mut self.control);
            self.detect(now);
            outcome
        }

        /// Detects losses.
        fn detect(&mut self, now: Time) {
            self.sent.detect_lost(now, &self.trip, &mut self.lanes, &mut self.control);
        }
    }

    #[test]
    fn a_packet_is_lost_when_the_third_younger_one_arrives() {
        let mut bench = Bench::new();
        for millis in 0..10 {
            bench.send(at(millis));
        }
        let outcome = bench.ack(at(101), &[(1, 2)]).expect("they were sent");
        assert_eq!((outcome.progress, outcome.sample), (true, Some(Span::from_millis(99))));
        assert_eq!((bench.sent.losses(), bench.sent.in_flight()), ((0, 0), 8 * 1_100));
        bench.ack(at(102), &[(1, 3)]);
        assert_eq!((bench.sent.losses(), bench.sent.in_flight()), ((1, 0), 6 * 1_100));
        assert_eq!(bench.control.window(), (12_000 + 3 * 1_100) / 2, "grown by three, then halved once");
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
                bench.sent.records[place].fate = Fate::Settled;
                bench.sent.in_flight -= 1_100;
            }
            bench.ack(at(1_400), &[(11, 11)]);
            assert_eq!(bench.control.window() == WINDOW_BYTES_MIN, persistent);
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
