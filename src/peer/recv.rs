//! The receiving side of lanes: bytes in any order become whole messages in order.
//!
//! Owns reassembly, credit, and the bounds of both. Bytes that arrive in order go straight into the message they belong
//! to; those beyond a gap wait in pages. A lane holds at most its window and one message, whatever the peer does. Refuses
//! to know packets and what messages mean. Read "Flow control" in `wire/PROTOCOL.md` first.

use super::ranges::RangeSet;
use super::send::PREFIX_BYTES;
use crate::base::limits::{
    LANE_GAPS_MAX, LANE_WINDOW_BYTES, MESSAGE_BYTES_MAX, MESSAGE_RESERVE_BYTES, READY_MESSAGES_MAX,
};
use crate::wire::frame::Lane;
use std::collections::VecDeque;

/// Bytes of one page of data beyond a gap.
const PAGE_BYTES: u64 = 32 * 1024;
/// The same as a length.
const PAGE_LENGTH: usize = 32 * 1024;
/// Empty pages that a lane keeps for the next gap.
const PAGES_SPARE_MAX: usize = 2;

/// Why bytes of a lane cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneError {
    /// They lie beyond the credit that the peer was given.
    BeyondCredit,
    /// A message's length is zero or over [`MESSAGE_BYTES_MAX`].
    BadLength,
    /// There are too many gaps; the packet is treated as if it had not arrived.
    Crowded,
}

/// Bytes beyond a gap, in pages that are allocated as they are needed.
#[derive(Debug, Default)]
struct Pages {
    /// Pages from number `first` on.
    pages: VecDeque<Option<Box<[u8]>>>,
    /// Number of the first page: its offset in the stream in pages.
    first: u64,
    /// Empty pages.
    spare: Vec<Box<[u8]>>,
}

impl Pages {
    /// Keeps `data` for `offset`, which is not below what was released.
    fn write(&mut self, mut offset: u64, mut data: &[u8]) {
        if self.pages.is_empty() {
            self.first = offset / PAGE_BYTES;
        }
        while !data.is_empty() {
            while self.first > offset / PAGE_BYTES {
                self.pages.push_front(None);
                self.first -= 1;
            }
            let index = within(offset / PAGE_BYTES - self.first);
            if self.pages.len() <= index {
                self.pages.resize_with(index + 1, || None);
            }
            let spare = &mut self.spare;
            let page = self.pages[index].get_or_insert_with(|| {
                spare.pop().unwrap_or_else(|| vec![0; PAGE_LENGTH].into_boxed_slice())
            });
            let start = within(offset % PAGE_BYTES);
            let length = data.len().min(PAGE_LENGTH - start);
            page[start..start + length].copy_from_slice(&data[..length]);
            data = &data[length..];
            offset += distance(length);
        }
    }

    /// The bytes from `offset` to the end of its page; empty if nothing was kept there.
    fn read(&self, offset: u64) -> &[u8] {
        let Some(index) = (offset / PAGE_BYTES).checked_sub(self.first) else { return &[] };
        match self.pages.get(within(index)) {
            Some(Some(page)) => &page[within(offset % PAGE_BYTES)..],
            Some(None) | None => &[],
        }
    }

    /// Gives up all pages wholly below `offset`; all of them if `all`.
    fn release(&mut self, offset: u64, all: bool) {
        while !self.pages.is_empty() && (all || (self.first + 1) * PAGE_BYTES <= offset) {
            let page = self.pages.pop_front().flatten();
            self.first += 1;
            self.spare.extend(page.filter(|_| self.spare.len() < PAGES_SPARE_MAX));
        }
    }

    /// Bytes of memory.
    fn bytes(&self) -> usize {
        (self.pages.iter().flatten().count() + self.spare.len()) * PAGE_LENGTH
    }
}

/// The message that is being put together.
#[derive(Debug, Default)]
struct Assembly {
    /// Its length, as far as it is known.
    prefix: [u8; PREFIX_BYTES],
    /// How much of the prefix has arrived.
    prefix_length: usize,
    /// What has arrived of the message.
    body: Vec<u8>,
}

impl Assembly {
    /// Takes bytes up to the end of the message; how many, and the message if it is whole.
    fn take(&mut self, data: &[u8]) -> Result<(usize, Option<Vec<u8>>), LaneError> {
        let mut used = 0;
        if self.prefix_length < PREFIX_BYTES {
            used = (PREFIX_BYTES - self.prefix_length).min(data.len());
            self.prefix[self.prefix_length..self.prefix_length + used].copy_from_slice(&data[..used]);
            self.prefix_length += used;
            if self.prefix_length < PREFIX_BYTES {
                return Ok((used, None));
            }
        }
        let length = usize::try_from(u32::from_le_bytes(self.prefix)).map_err(|_| LaneError::BadLength)?;
        if length == 0 || length > MESSAGE_BYTES_MAX {
            return Err(LaneError::BadLength);
        }
        let missing = length - self.body.len();
        let part = &data[used..used + missing.min(data.len() - used)];
        if self.body.capacity() - self.body.len() < part.len() {
            // Doubles, but never beyond the claimed length, and never by more than really came.
            let more = self.body.len().max(MESSAGE_RESERVE_BYTES).min(missing);
            self.body.reserve_exact(more);
        }
        self.body.extend_from_slice(part);
        used += part.len();
        if part.len() < missing {
            return Ok((used, None));
        }
        self.prefix_length = 0;
        Ok((used, Some(core::mem::take(&mut self.body))))
    }
}

/// One lane's incoming stream.
#[derive(Debug)]
struct RecvLane {
    /// Credit beyond what was taken.
    window: u64,
    /// All below has gone into messages.
    next: u64,
    /// The credit that the peer was given.
    limit: u64,
    /// Bytes at or beyond `next` that are in `pages`.
    held: RangeSet,
    /// Their bytes.
    pages: Pages,
    /// The message that is being put together.
    assembly: Assembly,
    /// Whole messages.
    ready: VecDeque<Vec<u8>>,
    /// Bytes of the stream in `ready`.
    ready_bytes: u64,
}

impl RecvLane {
    /// An empty lane.
    fn new(window: u64) -> Self {
        Self {
            window,
            next: 0,
            limit: window,
            held: RangeSet::default(),
            pages: Pages::default(),
            assembly: Assembly::default(),
            ready: VecDeque::new(),
            ready_bytes: 0,
        }
    }

    /// Takes bytes from a packet.
    fn insert(&mut self, offset: u64, data: &[u8]) -> Result<(), LaneError> {
        let end = offset + distance(data.len());
        if end > self.limit {
            return Err(LaneError::BeyondCredit);
        }
        if end <= self.next {
            return Ok(());
        }
        let start = offset.max(self.next);
        let mut data = &data[within(start - offset)..];
        if start == self.next {
            let used = self.feed(data)?;
            data = &data[used..];
        }
        if !data.is_empty() {
            let start = end - distance(data.len());
            if self.held.len() >= LANE_GAPS_MAX && self.held.is_apart(start, end) {
                return Err(LaneError::Crowded);
            }
            self.pages.write(start, data);
            self.held.insert(start, end);
        }
        self.drain_held()
    }

    /// Puts bytes at `next` into messages while there is room for whole ones; how many.
    fn feed(&mut self, data: &[u8]) -> Result<usize, LaneError> {
        let mut total = 0;
        while total < data.len() && self.ready.len() < READY_MESSAGES_MAX {
            let (used, whole) = self.assembly.take(&data[total..])?;
            total += used;
            if let Some(message) = whole {
                self.ready_bytes += distance(PREFIX_BYTES + message.len());
                self.ready.push_back(message);
            }
        }
        self.next += distance(total);
        Ok(total)
    }

    /// Moves bytes from pages into messages.
    fn drain_held(&mut self) -> Result<(), LaneError> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.held.remove_below(self.next);
        while let Some((_, end)) = self.held.first().filter(|range| range.0 <= self.next) {
            let pages = core::mem::take(&mut self.pages);
            let bytes = pages.read(self.next);
            let used = self.feed(&bytes[..bytes.len().min(within(end - self.next))]);
            self.pages = pages;
            self.held.remove_below(self.next);
            if used? == 0 {
                break;
            }
        }
        self.pages.release(self.next, self.held.is_empty());
        Ok(())
    }

    /// Gives out the next whole message.
    fn pop(&mut self) -> Result<Option<Vec<u8>>, LaneError> {
        let Some(message) = self.ready.pop_front() else { return Ok(None) };
        self.ready_bytes -= distance(PREFIX_BYTES + message.len());
        self.drain_held()?;
        Ok(Some(message))
    }

    /// The credit that could be given: the window beyond all that was taken or is being put together.
    fn credit(&self) -> u64 {
        (self.next - self.ready_bytes + self.window).max(self.limit)
    }
}

/// All lanes of a session, incoming.
#[derive(Debug)]
pub struct RecvLanes {
    /// By lane.
    lanes: [RecvLane; Lane::COUNT],
    /// Credits that were lost on the way and must be given again, one bit a lane.
    repeat: u8,
}

impl Default for RecvLanes {
    fn default() -> Self {
        Self::new()
    }
}

impl RecvLanes {
    /// Nothing received.
    #[must_use]
    pub fn new() -> Self {
        Self { lanes: LANE_WINDOW_BYTES.map(RecvLane::new), repeat: 0 }
    }

    /// Takes the bytes of a lane frame.
    ///
    /// # Errors
    /// [`LaneError::Crowded`]: take no notice of the packet. Otherwise the peer breaks the rules.
    pub fn insert(&mut self, lane: Lane, offset: u64, data: &[u8]) -> Result<(), LaneError> {
        self.lanes[lane.index()].insert(offset, data)
    }

    /// The next whole message, of the most urgent lane that has one.
    ///
    /// # Errors
    /// When the bytes that wait behind it are no message.
    pub fn pop(&mut self) -> Result<Option<(Lane, Vec<u8>)>, LaneError> {
        for lane in Lane::ALL {
            if let Some(message) = self.lanes[lane.index()].pop()? {
                return Ok(Some((lane, message)));
            }
        }
        Ok(None)
    }

    /// Whether a lane has credit to give that is worth a frame.
    fn is_credit_due(&self, lane: Lane) -> bool {
        let stream = &self.lanes[lane.index()];
        self.repeat & (1 << lane.number()) != 0 || stream.credit() - stream.limit >= stream.window / 4
    }

    /// Whether any lane has.
    #[must_use]
    pub fn is_any_credit_due(&self) -> bool {
        Lane::ALL.into_iter().any(|lane| self.is_credit_due(lane))
    }

    /// The credit to be sent for this lane now, if it is due: from now on the peer may use it.
    pub fn take_credit(&mut self, lane: Lane) -> Option<u64> {
        if !self.is_credit_due(lane) {
            return None;
        }
        self.repeat &= !(1 << lane.number());
        let stream = &mut self.lanes[lane.index()];
        stream.limit = stream.credit();
        Some(stream.limit)
    }

    /// Packets with credits of these lanes were lost.
    pub fn repeat_credits(&mut self, lanes: u8) {
        self.repeat |= lanes;
    }

    /// Bytes held in memory for lanes: whole messages, begun ones, and what lies beyond gaps.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lanes
            .iter()
            .map(|lane| {
                lane.ready.iter().map(Vec::capacity).sum::<usize>()
                    + lane.assembly.body.capacity()
                    + lane.pages.bytes()
                    + lane.held.len() * 16
            })
            .sum()
    }

    /// Forgets all that was not taken.
    pub fn clear(&mut self) {
        *self = Self::new();
    }
}

/// A length in memory as a distance in a stream.
fn distance(length: usize) -> u64 {
    u64::try_from(length).expect("no memory has 2^64 bytes")
}

/// A distance within the window as a length in memory.
fn within(length: u64) -> usize {
    usize::try_from(length).expect("the window is in memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::{RngCore, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// A message with its prefix.
    fn prefixed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).expect("short");
        [&length.to_le_bytes(), message].concat()
    }

    /// A number below `end`.
    fn below(random: &mut ChaCha8Rng, end: usize) -> usize {
        usize::try_from(random.next_u32()).expect("32 bits") % end.max(1)
    }

    #[test]
    fn bytes_in_any_order_become_messages_in_order() {
        for seed in 0..40 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let messages: Vec<Vec<u8>> = (0..150)
                .map(|_| {
                    let mut message = vec![0; 1 + below(&mut random, 900)];
                    random.fill_bytes(&mut message);
                    message
                })
                .collect();
            let stream: Vec<u8> = messages.iter().flat_map(|message| prefixed(message)).collect();
            let mut pieces = Vec::new();
            let mut start = 0;
            while start < stream.len() {
                let end = (start + 1 + below(&mut random, 1_200)).min(stream.len());
                // Reaches back now and then, as a retransmission cut otherwise does.
                pieces.push((start.saturating_sub(below(&mut random, 90)), end));
                start = end;
            }
            for index in (1..pieces.len()).rev() {
                let other = index - below(&mut random, 30).min(index);
                pieces.swap(index, other);
            }
            let mut lanes = RecvLanes::new();
            let mut out = Vec::new();
            for (start, end) in pieces {
                lanes.insert(Lane::Bulk, distance(start), &stream[start..end]).expect("within the rules");
                while let Some((lane, message)) = lanes.pop().expect("good lengths") {
                    assert_eq!(lane, Lane::Bulk);
                    out.push(message);
                }
            }
            assert_eq!(out, messages, "seed {seed}");
            assert!(lanes.bytes() <= PAGES_SPARE_MAX * PAGE_LENGTH, "seed {seed}: {}", lanes.bytes());
        }
    }

    #[test]
    fn tiny_messages_stay_bytes_until_there_is_room() {
        let mut lanes = RecvLanes::new();
        let stream: Vec<u8> = (0..1_000_u32).flat_map(|index| prefixed(&index.to_le_bytes())).collect();
        lanes.insert(Lane::Control, 0, &stream[..5_000]).expect("fits");
        lanes.insert(Lane::Control, 5_000, &stream[5_000..]).expect("fits");
        assert_eq!(lanes.lanes[0].ready.len(), READY_MESSAGES_MAX);
        for index in 0..1_000_u32 {
            let message = lanes.pop().expect("good").expect("there are a thousand");
            assert_eq!(message, (Lane::Control, index.to_le_bytes().to_vec()));
        }
        assert_eq!(lanes.pop(), Ok(None));
    }

    #[test]
    fn a_claimed_length_costs_no_memory() {
        let mut lanes = RecvLanes::new();
        let claimed = u32::try_from(MESSAGE_BYTES_MAX).expect("fits").to_le_bytes();
        lanes.insert(Lane::Bulk, 0, &[&claimed[..], &[1; 100]].concat()).expect("fits");
        assert_eq!(lanes.bytes(), MESSAGE_RESERVE_BYTES);
        let mut lanes = RecvLanes::new();
        let claimed = u32::try_from(MESSAGE_BYTES_MAX + 1).expect("fits").to_le_bytes();
        assert_eq!(lanes.insert(Lane::Bulk, 0, &claimed), Err(LaneError::BadLength));
        assert_eq!(RecvLanes::new().insert(Lane::Bulk, 0, &[0; 4]), Err(LaneError::BadLength));
    }

    #[test]
    fn credit_follows_what_is_taken_and_what_is_being_put_together() {
        let mut lanes = RecvLanes::new();
        let window = LANE_WINDOW_BYTES[0];
        let stream = prefixed(&vec![9; 200 * 1024]);
        assert_eq!(lanes.take_credit(Lane::Control), None);
        lanes.insert(Lane::Control, 0, &stream[..64 * 1024]).expect("fits");
        assert_eq!(
            lanes.take_credit(Lane::Control),
            Some(window + 64 * 1024),
            "or a long message would never end"
        );
        lanes.insert(Lane::Control, 64 * 1024, &stream[64 * 1024..192 * 1024]).expect("fits");
        assert_eq!(
            lanes.insert(Lane::Control, 192 * 1024, &[0]),
            Err(LaneError::BeyondCredit),
            "it is credit that was sent that counts"
        );
        lanes.repeat_credits(1);
        assert_eq!(lanes.take_credit(Lane::Control), Some(window + 192 * 1024));
        lanes.insert(Lane::Control, 192 * 1024, &stream[192 * 1024..]).expect("fits");
        assert_eq!(
            lanes.take_credit(Lane::Control),
            None,
            "a whole message that nobody takes gives no credit"
        );
        lanes.pop().expect("good").expect("whole");
        lanes.repeat_credits(1);
        assert_eq!(lanes.take_credit(Lane::Control), Some(window + distance(stream.len())));
    }

    #[test]
    fn too_many_gaps_are_not_kept() {
        let mut lanes = RecvLanes::new();
        for index in 0..LANE_GAPS_MAX {
            lanes.insert(Lane::Bulk, distance(index * 2 + 1), &[1]).expect("a gap is kept");
        }
        let beyond = distance(LANE_GAPS_MAX * 2 + 1);
        assert_eq!(lanes.insert(Lane::Bulk, beyond, &[1]), Err(LaneError::Crowded));
        lanes.insert(Lane::Bulk, 2, &[1]).expect("what closes a gap is taken");
        lanes.insert(Lane::Bulk, beyond, &[1]).expect("and then there is room");
    }
}
