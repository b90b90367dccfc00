//! Frames: what an opened data packet says.
//!
//! Owns the layout of every frame, and the four lanes. Refuses to know what a frame means for a session; it only
//! checks what can be checked by looking at the frame alone. Nothing here allocates: frames borrow the packet. They are
//! written by [`super::writer`]. Read "Frames" in `PROTOCOL.md` first.

use crate::base::limits::{ACK_RANGES_MAX, CLOSE_TEXT_BYTES_MAX};
use core::fmt;

pub use super::writer::FrameWriter;

/// Type number of padding; the only frame of one zero byte.
const PADDING: u8 = 0;
/// Type number of [`Frame::Ping`].
pub(super) const PING: u8 = 1;
/// Type number of [`Frame::Ack`].
pub(super) const ACK: u8 = 2;
/// Type number of [`Frame::Lane`].
pub(super) const LANE: u8 = 3;
/// Type number of [`Frame::LaneMax`].
pub(super) const LANE_MAX: u8 = 4;
/// Type number of [`Frame::Close`].
pub(super) const CLOSE: u8 = 5;
/// Type number of [`Frame::LaneWant`].
pub(super) const LANE_WANT: u8 = 6;
/// Type number of [`Frame::LaneSkip`].
pub(super) const LANE_SKIP: u8 = 7;
/// Type number of a [`Frame::LaneTail`] of lane 0; those of the other lanes follow, then those that ask as a Ping does.
pub(super) const LANE_TAIL: u8 = 8;
/// Added to the type of a [`Frame::LaneTail`] that asks to be acknowledged at once.
pub(super) const LANE_TAIL_PING: u8 = 4;

/// Bytes of a [`Frame::Lane`] before its data.
pub const LANE_HEADER_BYTES: usize = 12;
/// Bytes of a [`Frame::LaneTail`] before its data.
pub const LANE_TAIL_HEADER_BYTES: usize = 5;
/// Bytes of a [`Frame::LaneMax`].
pub const LANE_MAX_BYTES: usize = 10;
/// Bytes of a [`Frame::LaneWant`].
pub const LANE_WANT_BYTES: usize = 10;
/// Bytes of a [`Frame::LaneSkip`].
pub const LANE_SKIP_BYTES: usize = 18;
/// Bytes of an [`Frame::Ack`] with one range.
pub const ACK_BYTES_MIN: usize = 18;
/// Bytes of each further range of an [`Frame::Ack`].
pub const ACK_RANGE_BYTES: usize = 8;
/// Lane offsets stay below this, so that sums of an offset and a length cannot overflow.
pub const LANE_OFFSET_MAX: u64 = 1 << 62;

/// One of four independent byte streams in each direction; a lower one goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Feeds, receipts, small answers that others wait for.
    Control = 0,
    /// What a person waits for.
    Interactive = 1,
    /// Chunks on their way to be safe.
    Bulk = 2,
    /// What may take as long as it takes.
    Background = 3,
}

/// A frame, borrowed from its packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Asks to be acknowledged at once.
    Ping,
    /// Which packets have arrived.
    Ack(Ack<'a>),
    /// Bytes of a lane.
    Lane {
        /// Of which lane.
        lane: Lane,
        /// Where in the lane's stream they begin.
        offset: u64,
        /// The bytes, not empty.
        data: &'a [u8],
    },
    /// Bytes of a lane up to the end of the packet.
    LaneTail {
        /// Of which lane.
        lane: Lane,
        /// The lowest 32 bits of where in the lane's stream they begin: far more than a lane's credit.
        offset: u32,
        /// Whether the packet asks to be acknowledged at once, as by a Ping.
        ping: bool,
        /// The bytes, not empty.
        data: &'a [u8],
    },
    /// Credit: the receiver of a lane takes bytes below this offset.
    LaneMax {
        /// Of which lane.
        lane: Lane,
        /// First offset that may not be sent yet.
        offset: u64,
    },
    /// The sender of a lane has bytes to send up to this offset.
    LaneWant {
        /// Of which lane.
        lane: Lane,
        /// First offset beyond what is queued.
        offset: u64,
    },
    /// Messages of a lane were withdrawn: these bytes of its stream will not be sent any more.
    LaneSkip {
        /// Of which lane.
        lane: Lane,
        /// Where the first of the messages begins.
        start: u64,
        /// Where the next message begins; above `start`.
        end: u64,
    },
    /// The session is over.
    Close {
        /// Why, for programs.
        code: u16,
        /// Why, for people; at most [`CLOSE_TEXT_BYTES_MAX`] bytes of UTF-8, never to be trusted.
        text: &'a str,
    },
}

/// An acknowledgement. Its ranges were checked when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ack<'a> {
    /// Microseconds between the arrival of `largest` and the sending of this frame.
    pub delay_us: u32,
    /// The largest packet number that has arrived.
    pub largest: u64,
    /// Packets below `largest` that arrived without a gap, in its range.
    first: u32,
    /// (gap, length) pairs, both less one, newest first.
    rest: &'a [u8],
}

/// Why a packet's payload is no sequence of frames. It was authenticated: the peer is wrong, not the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// A frame ends after the packet does.
    Truncated,
    /// No frame has this type.
    UnknownType(u8),
    /// No lane has this number.
    UnknownLane(u8),
    /// A lane frame carries nothing, skips nothing, or reaches beyond [`LANE_OFFSET_MAX`].
    BadLaneData,
    /// An acknowledgement's ranges reach below packet number 0, or there are none or too many.
    BadAck,
    /// The text of a close is too long or not UTF-8.
    BadText,
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => formatter.write_str("a frame ends after its packet does"),
            Self::UnknownType(number) => write!(formatter, "no frame has the type {number}"),
            Self::UnknownLane(number) => write!(formatter, "there is no lane {number}"),
            Self::BadLaneData => formatter.write_str("a lane frame is empty or reaches too far"),
            Self::BadAck => formatter.write_str("the ranges of an acknowledgement are impossible"),
            Self::BadText => formatter.write_str("the text of a close is too long or not UTF-8"),
        }
    }
}

impl std::error::Error for FrameError {}

impl Lane {
    /// All lanes, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Control, Self::Interactive, Self::Bulk, Self::Background];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The lane's number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Control => 0,
            Self::Interactive => 1,
            Self::Bulk => 2,
            Self::Background => 3,
        }
    }

    /// The lane's place in arrays.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Control => 0,
            Self::Interactive => 1,
            Self::Bulk => 2,
            Self::Background => 3,
        }
    }

    /// The lane with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl Ack<'_> {
    /// The ranges of packet numbers, newest (largest) first; both ends belong to a range.
    pub fn ranges(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut lowest = self.largest - u64::from(self.first);
        let first = (lowest, self.largest);
        core::iter::once(first).chain(self.rest.chunks_exact(ACK_RANGE_BYTES).map(move |pair| {
            let (gap, length) = gap_and_length(pair);
            let end = lowest - gap - 1;
            lowest = end - (length - 1);
            (lowest, end)
        }))
    }
}

/// The two numbers of an encoded range, both at least 1.
fn gap_and_length(pair: &[u8]) -> (u64, u64) {
    let [g0, g1, g2, g3, l0, l1, l2, l3] = pair.first_chunk().copied().unwrap_or_default();
    let gap = u32::from_le_bytes([g0, g1, g2, g3]);
    let length = u32::from_le_bytes([l0, l1, l2, l3]);
    (u64::from(gap) + 1, u64::from(length) + 1)
}

/// Reads the frames of an opened packet, one after another; ends after the first error.
#[derive(Debug, Clone)]
pub struct Frames<'a> {
    /// What has not been read yet.
    rest: &'a [u8],
}

impl<'a> Frames<'a> {
    /// A reader of this payload.
    #[must_use]
    pub const fn new(payload: &'a [u8]) -> Self {
        Self { rest: payload }
    }

    /// The next `N` bytes.
    fn take<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(FrameError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    /// The next `length` bytes.
    fn take_slice(&mut self, length: usize) -> Result<&'a [u8], FrameError> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(FrameError::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The next byte, as a lane.
    fn take_lane(&mut self) -> Result<Lane, FrameError> {
        let [number] = self.take()?;
        Lane::from_number(number).ok_or(FrameError::UnknownLane(number))
    }

    /// The frame of type `kind`, whose type byte has been read.
    fn read(&mut self, kind: u8) -> Result<Frame<'a>, FrameError> {
        match kind {
            PING => Ok(Frame::Ping),
            ACK => self.read_ack().map(Frame::Ack),
            LANE => {
                let lane = self.take_lane()?;
                let length = u16::from_le_bytes(self.take()?);
                let offset = u64::from_le_bytes(self.take()?);
                let data = self.take_slice(usize::from(length))?;
                if data.is_empty() || offset >= LANE_OFFSET_MAX {
                    return Err(FrameError::BadLaneData);
                }
                Ok(Frame::Lane { lane, offset, data })
            }
            LANE_MAX => {
                let lane = self.take_lane()?;
                let offset = u64::from_le_bytes(self.take()?);
                Ok(Frame::LaneMax { lane, offset })
            }
            LANE_WANT => {
                let lane = self.take_lane()?;
                let offset = u64::from_le_bytes(self.take()?);
                Ok(Frame::LaneWant { lane, offset })
            }
            LANE_SKIP => {
                let lane = self.take_lane()?;
                let start = u64::from_le_bytes(self.take()?);
                let end = u64::from_le_bytes(self.take()?);
                if start >= end || end > LANE_OFFSET_MAX {
                    return Err(FrameError::BadLaneData);
                }
                Ok(Frame::LaneSkip { lane, start, end })
            }
            CLOSE => {
                let code = u16::from_le_bytes(self.take()?);
                let [length] = self.take()?;
                let bytes = self.take_slice(usize::from(length))?;
                if bytes.len() > CLOSE_TEXT_BYTES_MAX {
                    return Err(FrameError::BadText);
                }
                let text = core::str::from_utf8(bytes).map_err(|_| FrameError::BadText)?;
                Ok(Frame::Close { code, text })
            }
            LANE_TAIL..=15 => {
                let lane = Lane::from_number(kind & 3).ok_or(FrameError::UnknownLane(kind & 3))?;
                let offset = u32::from_le_bytes(self.take()?);
                let data = self.take_slice(self.rest.len())?;
                if data.is_empty() {
                    return Err(FrameError::BadLaneData);
                }
                Ok(Frame::LaneTail { lane, offset, ping: kind & LANE_TAIL_PING != 0, data })
            }
            other => Err(FrameError::UnknownType(other)),
        }
    }

    /// An acknowledgement, whose type byte has been read.
    fn read_ack(&mut self) -> Result<Ack<'a>, FrameError> {
        let [count] = self.take()?;
        let delay_us = u32::from_le_bytes(self.take()?);
        let largest = u64::from_le_bytes(self.take()?);
        let first = u32::from_le_bytes(self.take()?);
        let further = usize::from(count).checked_sub(1).ok_or(FrameError::BadAck)?;
        if further >= ACK_RANGES_MAX {
            return Err(FrameError::BadAck);
        }
        let rest = self.take_slice(further * ACK_RANGE_BYTES)?;
        let mut lowest = largest.checked_sub(u64::from(first)).ok_or(FrameError::BadAck)?;
        for pair in rest.chunks_exact(ACK_RANGE_BYTES) {
            let (gap, length) = gap_and_length(pair);
            lowest = lowest.checked_sub(gap + length).ok_or(FrameError::BadAck)?;
        }
        Ok(Ack { delay_us, largest, first, rest })
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Result<Frame<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame = loop {
            let (&kind, rest) = self.rest.split_first()?;
            self.rest = rest;
            if kind != PADDING {
                break self.read(kind);
            }
        };
        if frame.is_err() {
            self.rest = &[];
        }
        Some(frame)
    }
}

#[cfg(test)]
mod tests;
