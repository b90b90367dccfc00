//! The sending side of lanes: messages wait here until every byte of them is acknowledged.
//!
//! Owns the queue and, for each lane, which of its bytes are unsent, lost or acknowledged. A message is moved in, never
//! copied, and copied once into each datagram that carries a part of it; what is lost is named by its range and read
//! from the queue again. Refuses to know packets and time. Read "Lanes" in `wire/PROTOCOL.md` first.

use super::ranges::RangeSet;
use super::withdrawn::Withdrawn;
use crate::base::limits::{
    LANE_CREDIT_BYTES, LANE_SHARE_PACKETS, LANE_WANT_STEP_BYTES, SEND_QUEUE_BULK_BYTES, SEND_QUEUE_BYTES_MAX,
    SEND_QUEUE_URGENT_BYTES,
};
use crate::wire::frame::{
    FrameWriter, Lane, LANE_HEADER_BYTES, LANE_OFFSET_MAX, LANE_SKIP_BYTES, LANE_TAIL_HEADER_BYTES,
};
use segment::Segment;
use std::collections::VecDeque;

/// Length of the length before each message, in bytes.
pub const PREFIX_BYTES: usize = 4;
/// Lane frames in one packet at most; a fourth lane's bytes go with the next.
pub const CARRIED_MAX: usize = 3;
/// Left free in every packet, so that the last one of a burst can ask for an answer.
const PING_BYTES: usize = 1;
/// Fewer bytes of a lane than this are not begun at the end of a packet that carries something already.
const LANE_DATA_BYTES_MIN: usize = 32;

/// Bytes of a lane that a packet carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// Of which lane.
    pub lane: Lane,
    /// How many; 0: the LaneSkip that begins there.
    pub length: u16,
    /// From where in its stream.
    pub offset: u64,
}

/// All that one packet carried.
pub type CarriedList = heapless::Vec<Carried, CARRIED_MAX>;

/// A message in the queue, for [`SendLanes::cancel`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// On which lane.
    lane: Lane,
    /// Where it begins in its stream.
    start: u64,
}

/// One lane's outgoing stream: `acknowledged <= sent <= end`, and no bytes beyond `credit` are sent.
#[derive(Debug)]
struct SendLane {
    /// Messages of which not every byte is acknowledged, in order.
    segments: VecDeque<Segment>,
    /// Index of the segment that was read last: the next read is nearly always there.
    hint: usize,
    /// All below is acknowledged.
    acknowledged: u64,
    /// First byte that was never sent.
    sent: u64,
    /// End of what is queued.
    end: u64,
    /// The receiver takes bytes below.
    credit: u64,
    /// How far the receiver knows the lane to be queued, where the credit does not cover all.
    told: u64,
    /// Messages that are not to be sent, of which the receiver is not known to know.
    withdrawn: Withdrawn,
    /// Acknowledged beyond `acknowledged`. At most one range a packet in flight.
    islands: RangeSet,
    /// To be sent again. At most one range a packet in flight.
    lost: RangeSet,
}

impl SendLane {
    /// An empty lane.
    fn new(credit: u64) -> Self {
        Self {
            segments: VecDeque::new(),
            hint: 0,
            acknowledged: 0,
            sent: 0,
            end: 0,
            credit,
            told: 0,
            withdrawn: Withdrawn::default(),
            islands: RangeSet::default(),
            lost: RangeSet::default(),
        }
    }

    /// Whether nothing of it is queued or unacknowledged.
    fn is_empty(&self) -> bool {
        self.acknowledged == self.end
    }

    /// Whether there is something that may be sent.
    fn is_pending(&self) -> bool {
        !self.lost.is_empty() || self.withdrawn.is_due() || self.sent < self.end.min(self.credit)
    }

    /// Whether the receiver is to be told how far the lane is queued: it gives credit only for that.
    fn is_want_due(&self) -> bool {
        self.end > self.credit && (self.told <= self.credit || self.end >= self.told + LANE_WANT_STEP_BYTES)
    }

    /// Withdraws the message that begins at `start`, unless all of it was sent; bytes of memory that gives free.
    fn cancel(&mut self, start: u64) -> Option<usize> {
        let place = self.segments.partition_point(|segment| segment.start < start);
        let segment = self.segments.get_mut(place).filter(|segment| segment.start == start)?;
        if segment.end <= self.sent || segment.body.is_empty() {
            return None;
        }
        let end = segment.end;
        let freed = core::mem::take(&mut segment.body).len();
        self.lost.remove(start, end);
        self.withdrawn.add(start, end, start < self.sent);
        if start < self.sent {
            self.sent = end;
        }
        self.sent = self.withdrawn.pass(self.sent);
        Some(freed)
    }

    /// The next at most `length_max` bytes to send, which count as sent, and whether they are sent again.
    fn take(&mut self, length_max: usize) -> Option<(u64, u64, bool)> {
        if let Some((start, end)) = self.lost.take_first(bytes_u64(length_max)) {
            return Some((start, end, true));
        }
        let start = self.sent;
        let end = self.end.min(self.credit).min(start + bytes_u64(length_max)).min(self.withdrawn.ahead());
        if start >= end {
            return None;
        }
        self.sent = self.withdrawn.pass(end);
        Some((start, end, false))
    }

    /// Copies the stream from `offset` on into `out`; all of it is queued.
    fn copy(&mut self, mut offset: u64, mut out: &mut [u8]) {
        if !self
            .segments
            .get(self.hint)
            .is_some_and(|segment| segment.start <= offset && offset < segment.end)
        {
            self.hint = self.segments.partition_point(|segment| segment.end <= offset);
        }
        while !out.is_empty() {
            let segment = &self.segments[self.hint];
            let copied = segment.copy(bytes_usize(offset - segment.start), out);
            offset += bytes_u64(copied);
            out = &mut out[copied..];
            if !out.is_empty() {
                self.hint += 1;
            }
        }
    }

    /// Bytes from `start` to `end` have arrived; how many bytes of messages that gives free.
    fn on_acked(&mut self, start: u64, end: u64) -> usize {
        if !self.lost.is_empty() {
            self.lost.remove(start, end);
        }
        if start > self.acknowledged {
            self.islands.insert(start, end);
            return 0;
        }
        self.acknowledged = self.acknowledged.max(end);
        while let Some((_, end)) = self.islands.first().filter(|range| range.0 <= self.acknowledged) {
            self.acknowledged = self.acknowledged.max(end);
            self.islands.take_first(u64::MAX);
        }
        let mut freed = 0;
        while let Some(segment) = self.segments.front().filter(|segment| segment.end <= self.acknowledged) {
            freed += segment.len();
            self.segments.pop_front();
            self.hint = self.hint.saturating_sub(1);
        }
        freed
    }

    /// Bytes from `start` to `end` are probably lost.
    fn on_lost(&mut self, start: u64, end: u64) {
        let start = start.max(self.acknowledged);
        self.lost.insert(start, end);
        self.lost.remove_common(&self.islands, start, end);
        self.withdrawn.exclude_from(&mut self.lost);
    }
}

/// All lanes of a session, outgoing.
#[derive(Debug)]
pub struct SendLanes {
    /// By lane.
    lanes: [SendLane; Lane::COUNT],
    /// Bytes of messages not wholly acknowledged, prefixes included.
    queued: usize,
    /// Counts packets, for the share of less urgent lanes.
    turn: u32,
    /// Bytes that were sent more than once.
    retransmitted: u64,
}

impl Default for SendLanes {
    fn default() -> Self {
        Self::new()
    }
}

impl SendLanes {
    /// Nothing queued.
    #[must_use]
    pub fn new() -> Self {
        Self { lanes: LANE_CREDIT_BYTES.map(SendLane::new), queued: 0, turn: 0, retransmitted: 0 }
    }

    /// The longest message that the queue takes on this lane now, in bytes.
    #[must_use]
    pub fn room(&self, lane: Lane) -> usize {
        let reserved = match lane {
            Lane::Control | Lane::Interactive => 0,
            Lane::Bulk => SEND_QUEUE_URGENT_BYTES,
            // Of it there is always one message, or none would ever go while bulk fills the queue.
            Lane::Background if self.lanes[lane.index()].is_empty() => SEND_QUEUE_URGENT_BYTES,
            Lane::Background => SEND_QUEUE_URGENT_BYTES + SEND_QUEUE_BULK_BYTES,
        };
        (SEND_QUEUE_BYTES_MAX - reserved).saturating_sub(self.queued + PREFIX_BYTES)
    }

    /// Bytes queued or unacknowledged.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.queued
    }

    /// Bytes that were sent more than once.
    #[must_use]
    pub const fn retransmitted(&self) -> u64 {
        self.retransmitted
    }

    /// Queues a message that [`Self::room`] has room for: `head`, of at most `MESSAGE_HEAD_BYTES_MAX`, and then `body`.
    pub fn push(&mut self, lane: Lane, head: &[u8], body: Vec<u8>) -> MessageId {
        let stream = &mut self.lanes[lane.index()];
        let start = stream.end;
        let segment = Segment::new(start, head, body);
        stream.end = segment.end;
        assert!(stream.end < LANE_OFFSET_MAX, "four exabytes do not pass in the life of a session");
        self.queued += segment.len();
        stream.segments.push_back(segment);
        MessageId { lane, start }
    }

    /// Withdraws a message, unless all of it was sent: what has not gone will not go, and holds up nothing behind it.
    pub fn cancel(&mut self, message: MessageId) -> bool {
        let freed = self.lanes[message.lane.index()].cancel(message.start);
        self.queued -= freed.unwrap_or(0);
        freed.is_some()
    }

    /// Whether a receiver is to be told how far a lane is queued.
    #[must_use]
    pub fn is_any_want_due(&self) -> bool {
        self.lanes.iter().any(SendLane::is_want_due)
    }

    /// How far this lane is queued, if its receiver is to be told now.
    pub fn take_want(&mut self, lane: Lane) -> Option<u64> {
        let stream = &mut self.lanes[lane.index()];
        if !stream.is_want_due() {
            return None;
        }
        stream.told = stream.end;
        Some(stream.end)
    }

    /// Packets that told of these lanes, one bit each, were lost.
    pub fn repeat_wants(&mut self, lanes: u8) {
        for lane in Lane::ALL {
            if lanes & (1 << lane.number()) != 0 {
                self.lanes[lane.index()].told = 0;
            }
        }
    }

    /// Fills a packet, the most urgent lane first; but every [`LANE_SHARE_PACKETS`]th packet begins with another one,
    /// in turn, so that none starves.
    pub fn write(&mut self, writer: &mut FrameWriter<'_>, carried: &mut CarriedList) {
        self.turn = self.turn.wrapping_add(1);
        if self.turn % LANE_SHARE_PACKETS == 0 {
            let favoured = match self.turn / LANE_SHARE_PACKETS % 3 {
                0 => Lane::Background,
                1 => Lane::Bulk,
                _ => Lane::Interactive,
            };
            self.write_lane(favoured, writer, carried);
        }
        for lane in Lane::ALL {
            self.write_lane(lane, writer, carried);
        }
    }

    /// Writes what fits of one lane.
    fn write_lane(&mut self, lane: Lane, writer: &mut FrameWriter<'_>, carried: &mut CarriedList) {
        let stream = &mut self.lanes[lane.index()];
        while !carried.is_full() && writer.room() >= LANE_SKIP_BYTES + PING_BYTES {
            let Some((start, end)) = stream.withdrawn.take() else { break };
            writer.lane_skip(lane, start, end);
            carried.push(Carried { lane, length: 0, offset: start }).expect("is_full() was asked");
        }
        while stream.is_pending() && !carried.is_full() {
            let length_max = writer.room().saturating_sub(LANE_TAIL_HEADER_BYTES);
            if length_max == 0 || (length_max < LANE_DATA_BYTES_MIN && !writer.is_empty()) {
                return;
            }
            let Some((start, end, again)) = stream.take(length_max) else { return };
            let length = bytes_usize(end - start);
            // Where nothing more would fit behind it, the frame ends with the packet, and its head is short.
            let place = if writer.room() < LANE_HEADER_BYTES + length + PING_BYTES {
                writer.lane_tail(lane, start, length)
            } else {
                writer.lane(lane, start, length)
            };
            let place = place.expect("take() was told the room");
            stream.copy(start, place);
            if again {
                self.retransmitted += end - start;
            }
            let length = u16::try_from(length).expect("a frame is shorter than a datagram");
            carried.push(Carried { lane, length, offset: start }).expect("is_full() was asked");
        }
    }

    /// A packet that carried these has arrived.
    pub fn on_acked(&mut self, carried: &[Carried]) {
        for part in carried {
            let stream = &mut self.lanes[part.lane.index()];
            let end = match part.length {
                0 => stream.withdrawn.on_acked(part.offset),
                length => Some(part.offset + u64::from(length)),
            };
            if let Some(end) = end {
                self.queued -= stream.on_acked(part.offset, end);
            }
        }
    }

    /// A packet that carried these is lost, or is probably lost and is probed for.
    pub fn on_lost(&mut self, carried: &[Carried]) {
        for part in carried {
            let stream = &mut self.lanes[part.lane.index()];
            match part.length {
                0 => stream.withdrawn.on_lost(part.offset),
                length => stream.on_lost(part.offset, part.offset + u64::from(length)),
            }
        }
    }

    /// The receiver gives credit; late and repeated ones change nothing.
    pub fn on_credit(&mut self, lane: Lane, offset: u64) {
        let credit = &mut self.lanes[lane.index()].credit;
        *credit = offset.min(LANE_OFFSET_MAX).max(*credit);
    }

    /// Forgets all that is queued, because nobody will get it.
    pub fn clear(&mut self) {
        let retransmitted = self.retransmitted;
        *self = Self { retransmitted, ..Self::new() };
    }
}

/// A length in memory as a distance in a stream.
fn bytes_u64(length: usize) -> u64 {
    u64::try_from(length).expect("no memory has 2^64 bytes")
}

/// A distance within one packet or one message as a length in memory.
fn bytes_usize(length: u64) -> usize {
    usize::try_from(length).expect("it is within one message, which is in memory")
}

mod pending;
mod segment;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::{Frame, Frames};

    /// What the next packet of `room` bytes carries: lane, offset, data.
    fn packet(lanes: &mut SendLanes, room: usize) -> (CarriedList, Vec<(Lane, u64, Vec<u8>)>) {
        let mut out = vec![0; room];
        let mut carried = CarriedList::new();
        let mut writer = FrameWriter::new(&mut out);
        lanes.write(&mut writer, &mut carried);
        let length = writer.len();
        let frames = Frames::new(&out[..length]).map(|frame| match frame {
            Ok(Frame::Lane { lane, offset, data }) => (lane, offset, data.to_vec()),
            Ok(Frame::LaneTail { lane, offset, data, .. }) => (lane, u64::from(offset), data.to_vec()),
            other => panic!("{other:?}"),
        });
        (carried, frames.collect())
    }

    #[test]
    fn messages_follow_each_other_in_a_stream_with_their_lengths() {
        let mut lanes = SendLanes::new();
        lanes.push(Lane::Control, &[], b"one".to_vec());
        lanes.push(Lane::Control, &[], b"three".to_vec());
        let (_, frames) = packet(&mut lanes, LANE_TAIL_HEADER_BYTES + 6);
        assert_eq!(frames, [(Lane::Control, 0, vec![3, 0, 0, 0, b'o', b'n'])]);
        let (_, frames) = packet(&mut lanes, 100);
        assert_eq!(frames, [(Lane::Control, 6, b"e\x05\0\0\0three".to_vec())]);
        assert!(!lanes.is_pending());
    }

    #[test]
    fn lost_bytes_are_read_again_and_acknowledged_ones_are_freed() {
        let mut lanes = SendLanes::new();
        lanes.push(Lane::Bulk, &[], vec![1; 96]);
        lanes.push(Lane::Bulk, &[], vec![2; 96]);
        let packets: Vec<_> = (0..5).map(|_| packet(&mut lanes, LANE_TAIL_HEADER_BYTES + 40)).collect();
        assert_eq!(lanes.queued(), 200);
        lanes.on_acked(&packets[1].0);
        lanes.on_acked(&packets[4].0);
        assert_eq!(lanes.queued(), 200, "the beginning is missing");
        lanes.on_lost(&packets[0].0);
        lanes.on_lost(&packets[1].0);
        lanes.on_lost(&packets[2].0);
        assert!(lanes.is_pending() && !lanes.lanes.iter().any(|lane| lane.sent < lane.end.min(lane.credit)));
        let (first, frames) = packet(&mut lanes, 1_000);
        assert_eq!(
            frames,
            [packets[0].1.clone(), packets[2].1.clone()].concat(),
            "what arrived is not sent again"
        );
        assert_eq!(lanes.retransmitted(), 80);
        lanes.on_acked(&first);
        assert_eq!(lanes.queued(), 100, "the first message is whole at the other end");
        lanes.on_acked(&packets[3].0);
        assert_eq!(lanes.queued(), 0);
        lanes.on_lost(&packets[3].0);
        assert!(!lanes.is_pending());
    }

    #[test]
    fn urgent_lanes_go_first_but_the_others_do_not_starve() {
        let mut lanes = SendLanes::new();
        for lane in Lane::ALL {
            for _ in 0..100 {
                lanes.push(lane, &[], vec![0; 996]);
            }
            lanes.on_credit(lane, 100_000);
        }
        let mut counts = [0; Lane::COUNT];
        for _ in 0..96 {
            let (_, frames) = packet(&mut lanes, LANE_TAIL_HEADER_BYTES + 1_000);
            counts[frames[0].0.index()] += 1;
        }
        assert_eq!(counts, [84, 4, 4, 4]);
    }

    #[test]
    fn nothing_is_sent_beyond_the_credit() {
        let mut lanes = SendLanes::new();
        lanes.push(Lane::Control, &[], vec![0; 200 * 1024]);
        let mut sent = 0;
        while lanes.is_pending() {
            sent += packet(&mut lanes, 1_005).1[0].2.len();
        }
        assert_eq!(bytes_u64(sent), LANE_CREDIT_BYTES[0]);
        lanes.on_credit(Lane::Control, 5);
        assert!(!lanes.is_pending());
        lanes.on_credit(Lane::Control, LANE_CREDIT_BYTES[0] + 7);
        assert_eq!(packet(&mut lanes, 1_005).1[0].2.len(), 7);
    }

    #[test]
    fn bulk_cannot_fill_the_room_of_urgent_lanes() {
        let mut lanes = SendLanes::new();
        for lane in [Lane::Background, Lane::Bulk] {
            while lanes.room(lane) >= 100_000 {
                lanes.push(lane, &[], vec![0; 100_000]);
            }
        }
        assert!(lanes.room(Lane::Control) >= SEND_QUEUE_URGENT_BYTES && lanes.room(Lane::Background) == 0);
        let room = lanes.room(Lane::Control);
        lanes.push(Lane::Control, &[], vec![0; room]);
        assert_eq!((lanes.room(Lane::Control), lanes.queued()), (0, SEND_QUEUE_BYTES_MAX));
    }
}
