//! The receiving side of lanes: bytes in any order become whole messages in order.
//!
//! Owns reassembly, and what a peer may send. A message's buffer is allocated once, at its exact length, when the credit
//! covers it, and its bytes go there in whatever order they arrive; only bytes of later messages wait in pages. So what a
//! lane holds is bounded by its credit, whatever the peer does. Refuses to know packets, what messages mean, and how much
//! credit a lane may have: [`super::pool`] decides that. Read "Flow control" in `wire/PROTOCOL.md` first.

use super::pages::Pages;
use super::ranges::RangeSet;
use super::send::PREFIX_BYTES;
use crate::base::limits::{
    LANE_CREDIT_BYTES, LANE_GAPS_MAX, LANE_SKIPS_MAX, MESSAGE_BYTES_MAX, READY_MESSAGES_MAX,
};
use crate::base::units::Time;
use crate::wire::frame::{Lane, LANE_OFFSET_MAX};
use crate::wire::packet::nearest;
use message::Message;
use std::collections::VecDeque;

/// Why bytes of a lane cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneError {
    /// They lie beyond the credit that the peer was given.
    BeyondCredit,
    /// A message's length is zero or over [`MESSAGE_BYTES_MAX`].
    BadLength,
    /// What is skipped does not begin with a message.
    BadSkip,
    /// There are too many gaps; the packet is treated as if it had not arrived.
    Crowded,
}

/// One lane's incoming stream: `taken <= begin <= next`, and all that has arrived lies below `limit <= granted`.
#[derive(Debug)]
pub(super) struct RecvLane {
    /// Which lane.
    lane: Lane,
    /// First byte of the message that is being put together; all before it is in messages, or void.
    begin: u64,
    /// All below has arrived.
    next: u64,
    /// The credit that the lane may have.
    granted: u64,
    /// The credit that the peer was given.
    limit: u64,
    /// The peer says that it has bytes to send up to here.
    want: u64,
    /// Bytes beyond `next` that have arrived.
    held: RangeSet,
    /// Those from `next` on and those of `held` that belong to no begun message.
    pages: Pages,
    /// The message that begins at `begin`.
    message: Option<Message>,
    /// Parts of the stream that the peer will not send, and that `begin` has not reached.
    skips: heapless::Vec<(u64, u64), LANE_SKIPS_MAX>,
    /// Whole messages.
    ready: VecDeque<Vec<u8>>,
    /// Bytes of the stream in `ready`.
    ready_bytes: u64,
    /// What the pool counts as given to the lane.
    pub(super) charged: u64,
    /// Whether the pool counts the lane among those that want more than their own credit.
    pub(super) wanting: bool,
    /// Since when, and from which `next` on, the peer has been expected to use what it was given.
    pub(super) mark: (Time, u64),
}

impl RecvLane {
    /// An empty lane.
    fn new(lane: Lane) -> Self {
        let credit = LANE_CREDIT_BYTES[lane.index()];
        Self {
            lane,
            begin: 0,
            next: 0,
            granted: credit,
            limit: credit,
            want: 0,
            held: RangeSet::default(),
            pages: Pages::default(),
            message: None,
            skips: heapless::Vec::new(),
            ready: VecDeque::new(),
            ready_bytes: 0,
            charged: 0,
            wanting: false,
            mark: (Time::ZERO, 0),
        }
    }

    /// First byte that the layer above has not taken.
    pub(super) fn taken(&self) -> u64 {
        self.begin - self.ready_bytes
    }

    /// All below has arrived.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// The credit that the lane may have.
    pub(super) fn granted(&self) -> u64 {
        self.granted
    }

    /// The peer says that it has bytes to send up to here.
    pub(super) fn want(&self) -> u64 {
        self.want
    }

    /// Whether it is the layer above that keeps the lane from going on.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The end of the message that is being put together, if its length is known.
    pub(super) fn message_end(&self) -> Option<u64> {
        if let Some(message) = &self.message {
            return Some(message.end);
        }
        let length = self.length().and_then(|length| usize::try_from(length).ok());
        let length = length.filter(|length| *length <= MESSAGE_BYTES_MAX)?;
        Some(self.begin + distance(PREFIX_BYTES + length))
    }

    /// The lane may have credit up to here.
    pub(super) fn grant(&mut self, offset: u64) -> Result<(), LaneError> {
        self.granted = self.granted.max(offset);
        self.advance()
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
        let data = &data[within(start - offset)..];
        if start > self.next {
            if self.held.len() >= LANE_GAPS_MAX[self.lane.index()] && self.held.is_apart(start, end) {
                return Err(LaneError::Crowded);
            }
            self.place(start, data);
            self.held.insert(start, end);
            return Ok(());
        }
        self.place(start, data);
        self.arrive(end);
        self.advance()
    }

    /// The peer will not send `start..end`: a message begins at `start`, and another one at `end`.
    fn skip(&mut self, start: u64, end: u64) -> Result<(), LaneError> {
        if end <= self.begin || self.skips.contains(&(start, end)) {
            return Ok(());
        }
        self.skips.push((start, end)).map_err(|_| LaneError::Crowded)?;
        self.advance()
    }

    /// Copies bytes to where they belong.
    fn place(&mut self, start: u64, mut data: &[u8]) {
        let mut at = start;
        if let Some(message) = self.message.as_mut().filter(|message| start < message.end) {
            let part = data.len().min(within(message.end - start));
            message.write(start, &data[..part]);
            data = &data[part..];
            at = message.end;
        }
        self.pages.write(at, data);
    }

    /// All below `end` has arrived.
    fn arrive(&mut self, end: u64) {
        self.next = self.next.max(end);
        while let Some((_, end)) = self.held.first().filter(|range| range.0 <= self.next) {
            self.next = self.next.max(end);
            self.held.take_first(u64::MAX);
        }
    }

    /// The length of the message at `begin`, which has no buffer, if it has arrived.
    fn length(&self) -> Option<u32> {
        let end = self.begin + distance(PREFIX_BYTES);
        if self.next < end {
            return None;
        }
        let mut prefix = [0; PREFIX_BYTES];
        for (offset, part) in self.pages.parts(self.begin, end) {
            let place = within(offset - self.begin);
            prefix[place..place + part.len()].copy_from_slice(part);
        }
        Some(u32::from_le_bytes(prefix))
    }

    /// Completes messages and begins others, as far as bytes, credit and room for whole messages go.
    fn advance(&mut self) -> Result<(), LaneError> {
        loop {
            if let Some(place) = self.skips.iter().position(|skip| skip.0 <= self.begin) {
                let (start, end) = self.skips.swap_remove(place);
                if start < self.begin {
                    return Err(LaneError::BadSkip);
                }
                self.message = None;
                self.begin = end;
                self.held.remove_below(end);
                self.arrive(end);
            } else if self.ready.len() >= READY_MESSAGES_MAX || !self.step()? {
                break;
            }
        }
        let floor = self.message.as_ref().map_or(self.begin, |message| message.end);
        self.pages.release(floor, self.next.max(self.held.last_end()) <= floor);
        Ok(())
    }

    /// Completes the message, or begins one; whether anything was done.
    fn step(&mut self) -> Result<bool, LaneError> {
        match self.message.take() {
            Some(message) if message.end <= self.next => {
                self.ready_bytes += message.end - self.begin;
                self.begin = message.end;
                self.ready.push_back(message.body);
                Ok(true)
            }
            Some(message) => {
                self.message = Some(message);
                Ok(false)
            }
            None => {
                let Some(length) = self.length() else { return Ok(false) };
                let length = usize::try_from(length).map_err(|_| LaneError::BadLength)?;
                if length == 0 || length > MESSAGE_BYTES_MAX {
                    return Err(LaneError::BadLength);
                }
                let start = self.begin + distance(PREFIX_BYTES);
                let end = start + distance(length);
                if end > self.granted {
                    return Ok(false);
                }
                let mut message = Message { start, end, body: Vec::with_capacity(length) };
                let arrived = end.min(self.next.max(self.held.last_end()));
                for (offset, part) in self.pages.parts(start, arrived) {
                    message.write(offset, part);
                }
                self.message = Some(message);
                Ok(true)
            }
        }
    }

    /// Gives out the next whole message.
    fn pop(&mut self) -> Result<Option<Vec<u8>>, LaneError> {
        let Some(message) = self.ready.pop_front() else { return Ok(None) };
        self.ready_bytes -= distance(PREFIX_BYTES + message.len());
        self.advance()?;
        Ok(Some(message))
    }

    /// Bytes of memory.
    fn bytes(&self) -> usize {
        self.ready.iter().map(Vec::capacity).sum::<usize>()
            + self.ready.capacity() * size_of::<Vec<u8>>()
            + self.message.as_ref().map_or(0, |message| message.body.capacity())
            + self.pages.bytes()
            + self.held.bytes()
    }
}

/// All lanes of a session, incoming.
#[derive(Debug)]
pub struct RecvLanes {
    /// By lane.
    pub(super) lanes: [RecvLane; Lane::COUNT],
    /// Credits that were lost on the way and must be given again, one bit a lane.
    repeat: u8,
    /// Bytes that were new when they came.
    arrived: u64,
}

impl Default for RecvLanes {
    fn default() -> Self {
        Self::new()
    }
}

impl RecvLanes {
    /// Nothing received.
    pub fn new() -> Self {
        Self { lanes: Lane::ALL.map(RecvLane::new), repeat: 0, arrived: 0 }
    }

    /// The whole offset of which only the lowest 32 bits were sent: the one nearest to what is expected.
    pub fn expanded(&self, lane: Lane, low: u32) -> u64 {
        nearest(u64::from(low), self.lanes[lane.index()].next, u32::BITS)
    }

    /// Takes the bytes of a lane frame.
    ///
    /// # Errors
    /// [`LaneError::Crowded`]: take no notice of the packet. Otherwise the peer breaks the rules.
    pub fn insert(&mut self, lane: Lane, offset: u64, data: &[u8]) -> Result<(), LaneError> {
        let stream = &mut self.lanes[lane.index()];
        let new = (offset + distance(data.len())).saturating_sub(offset.max(stream.next));
        stream.insert(offset, data)?;
        self.arrived += new;
        Ok(())
    }

    /// Bytes of lanes that were new when they came.
    pub const fn arrived(&self) -> u64 {
        self.arrived
    }

    /// The peer has bytes to send up to this offset; late and repeated words change nothing.
    pub fn on_want(&mut self, lane: Lane, offset: u64) {
        let want = &mut self.lanes[lane.index()].want;
        *want = offset.min(LANE_OFFSET_MAX).max(*want);
    }

    /// The peer has withdrawn `start..end`.
    ///
    /// # Errors
    /// As for [`Self::insert`].
    pub fn on_skip(&mut self, lane: Lane, start: u64, end: u64) -> Result<(), LaneError> {
        self.lanes[lane.index()].skip(start, end)
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

    /// Whether a lane has credit to give.
    fn is_credit_due(&self, lane: Lane) -> bool {
        let stream = &self.lanes[lane.index()];
        self.repeat & (1 << lane.number()) != 0 || stream.granted > stream.limit
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
        stream.limit = stream.granted;
        Some(stream.limit)
    }

    /// Packets with credits of these lanes were lost.
    pub fn repeat_credits(&mut self, lanes: u8) {
        self.repeat |= lanes & ((1 << Lane::COUNT) - 1);
    }

    /// Bytes held in memory for lanes: whole messages, begun ones, and what lies beyond gaps.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lanes.iter().map(RecvLane::bytes).sum()
    }

    /// Forgets all that was not taken; what the pool counts stays to be given back.
    pub fn clear(&mut self) {
        let counted = self.lanes.each_ref().map(|lane| (lane.charged, lane.wanting));
        *self = Self { arrived: self.arrived, ..Self::new() };
        for (lane, counted) in self.lanes.iter_mut().zip(counted) {
            (lane.charged, lane.wanting) = counted;
        }
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

mod message;
#[cfg(test)]
mod tests;
