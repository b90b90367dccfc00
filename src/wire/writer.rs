//! Writing frames into a packet.
//!
//! Owns the other direction of [`super::frame`]: what is written here is what is read there. Refuses to write half a
//! frame, and to allocate. Read "Frames" in `PROTOCOL.md` first.

use super::frame::{
    Lane, ACK, ACK_BYTES_MIN, ACK_RANGE_BYTES, CLOSE, LANE, LANE_HEADER_BYTES, LANE_MAX, LANE_MAX_BYTES,
    LANE_SKIP, LANE_SKIP_BYTES, LANE_TAIL, LANE_TAIL_HEADER_BYTES, LANE_TAIL_PING, LANE_WANT,
    LANE_WANT_BYTES, PING,
};
use crate::base::limits::{ACK_RANGES_MAX, CLOSE_TEXT_BYTES_MAX};

/// Writes frames into the payload of a packet that is being built. A frame that does not fit is not written.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    /// The payload.
    out: &'a mut [u8],
    /// How much of it has been written.
    length: usize,
    /// Where a frame begins that goes on to the end of the packet: nothing is written behind it.
    tail: Option<usize>,
}

impl<'a> FrameWriter<'a> {
    /// A writer from the beginning of `out`.
    #[must_use]
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, length: 0, tail: None }
    }

    /// Bytes written so far.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether no frame was written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Bytes that still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        match self.tail {
            Some(_) => 0,
            None => self.out.len() - self.length,
        }
    }

    /// Appends bytes that the caller knows to fit.
    fn put(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.out[self.length..end].copy_from_slice(bytes);
        self.length = end;
    }

    /// Writes a ping, or makes the tail ask for one; whether it fitted.
    pub fn ping(&mut self) -> bool {
        if let Some(at) = self.tail {
            self.out[at] |= LANE_TAIL_PING;
            return true;
        }
        let fits = self.room() >= 1;
        if fits {
            self.put(&[PING]);
        }
        fits
    }

    /// Writes an acknowledgement of `ranges` (both ends belong; oldest first, apart by at least one packet), the
    /// newest first and as many as fit; whether at least the newest did.
    pub fn ack(&mut self, delay_us: u32, ranges: &[(u64, u64)]) -> bool {
        let Some((&(start, largest), older)) = ranges.split_last() else { return false };
        if self.room() < ACK_BYTES_MIN {
            return false;
        }
        let first = u32::try_from(largest - start).unwrap_or(u32::MAX);
        let count_at = self.length + 1;
        self.put(&[ACK, 1]);
        self.put(&delay_us.to_le_bytes());
        self.put(&largest.to_le_bytes());
        self.put(&first.to_le_bytes());
        let mut lowest = largest - u64::from(first);
        for &(start, end) in older.iter().rev().take(ACK_RANGES_MAX - 1) {
            let (Ok(gap), Ok(length)) = (u32::try_from(lowest - end - 2), u32::try_from(end - start)) else {
                break;
            };
            if self.room() < ACK_RANGE_BYTES {
                break;
            }
            self.put(&gap.to_le_bytes());
            self.put(&length.to_le_bytes());
            self.out[count_at] += 1;
            lowest = start;
        }
        true
    }

    /// Writes the head of a lane frame and gives out the place for `length` bytes of data, which the caller fills;
    /// None if that does not fit.
    pub fn lane(&mut self, lane: Lane, offset: u64, length: usize) -> Option<&mut [u8]> {
        let short = u16::try_from(length).ok()?;
        if self.room() < LANE_HEADER_BYTES + length {
            return None;
        }
        self.put(&[LANE, lane.number()]);
        self.put(&short.to_le_bytes());
        self.put(&offset.to_le_bytes());
        let start = self.length;
        self.length += length;
        Some(&mut self.out[start..start + length])
    }

    /// Writes the head of a lane frame that ends with the packet, and gives out the place for its `length` bytes of data;
    /// None if that does not fit. Nothing fits behind it but a ping.
    pub fn lane_tail(&mut self, lane: Lane, offset: u64, length: usize) -> Option<&mut [u8]> {
        if self.room() < LANE_TAIL_HEADER_BYTES + length {
            return None;
        }
        let at = self.length;
        self.put(&[LANE_TAIL + lane.number()]);
        self.put(&offset.to_le_bytes()[..4]);
        let start = self.length;
        self.length += length;
        self.tail = Some(at);
        Some(&mut self.out[start..start + length])
    }

    /// Whether a ping still fits.
    #[must_use]
    pub fn takes_ping(&self) -> bool {
        self.tail.is_some() || self.room() > 0
    }

    /// Writes a credit; whether it fitted.
    pub fn lane_max(&mut self, lane: Lane, offset: u64) -> bool {
        let fits = self.room() >= LANE_MAX_BYTES;
        if fits {
            self.put(&[LANE_MAX, lane.number()]);
            self.put(&offset.to_le_bytes());
        }
        fits
    }

    /// Writes how far a lane is queued; whether it fitted.
    pub fn lane_want(&mut self, lane: Lane, offset: u64) -> bool {
        let fits = self.room() >= LANE_WANT_BYTES;
        if fits {
            self.put(&[LANE_WANT, lane.number()]);
            self.put(&offset.to_le_bytes());
        }
        fits
    }

    /// Writes what of a lane was withdrawn; whether it fitted.
    pub fn lane_skip(&mut self, lane: Lane, start: u64, end: u64) -> bool {
        let fits = self.room() >= LANE_SKIP_BYTES;
        if fits {
            self.put(&[LANE_SKIP, lane.number()]);
            self.put(&start.to_le_bytes());
            self.put(&end.to_le_bytes());
        }
        fits
    }

    /// Writes a close with as much of `text` as is allowed; whether it fitted.
    pub fn close(&mut self, code: u16, text: &str) -> bool {
        let mut length = text.len().min(CLOSE_TEXT_BYTES_MAX);
        while !text.is_char_boundary(length) {
            length -= 1;
        }
        let (Ok(short), true) = (u8::try_from(length), self.room() >= 4 + length) else { return false };
        self.put(&[CLOSE]);
        self.put(&code.to_le_bytes());
        self.put(&[short]);
        self.put(&text.as_bytes()[..length]);
        true
    }
}
