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
