//! Frames: what an opened data packet says.
//!
//! Owns the layout of every frame, and the four lanes. Refuses to know what a frame means for a session; it only
//! checks what can be checked by looking at the frame alone. Nothing here allocates: frames borrow the packet, and
//! writing goes into the datagram that is sent. Read "Frames" in `PROTOCOL.md` first.

use crate::base::limits::{ACK_RANGES_MAX, CLOSE_TEXT_BYTES_MAX};
use core::fmt;

/// Type number of padding; the only frame of one zero byte.
const PADDING: u8 = 0;
/// Type number of [`Frame::Ping`].
const PING: u8 = 1;
/// Type number of [`Frame::Ack`].
const ACK: u8 = 2;
/// Type number of [`Frame::Lane`].
const LANE: u8 = 3;
/// Type number of [`Frame::LaneMax`].
const LANE_MAX: u8 = 4;
/// Type number of [`Frame::Close`].
const CLOSE: u8 = 5;

/// Bytes of a [`Frame::Lane`] before its data.
pub const LANE_HEADER_BYTES: usize = 12;
/// Bytes of a [`Frame::LaneMax`].
pub const LANE_MAX_BYTES: usize = 10;
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
    /// Credit: the receiver of a lane takes bytes below this offset.
    LaneMax {
        /// Of which lane.
        lane: Lane,
        /// First offset that may not be sent yet.
        offset: u64,
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
    /// A lane frame carries nothing, or reaches beyond [`LANE_OFFSET_MAX`].
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

/// Writes frames into the payload of a packet that is being built. A frame that does not fit is not written.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    /// The payload.
    out: &'a mut [u8],
    /// How much of it has been written.
    length: usize,
}

impl<'a> FrameWriter<'a> {
    /// A writer from the beginning of `out`.
    #[must_use]
    pub fn new(out: &'a mut [u8]) -> Self {
        Self { out, length: 0 }
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
        self.out.len() - self.length
    }

    /// Appends bytes that the caller knows to fit.
    fn put(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.out[self.length..end].copy_from_slice(bytes);
        self.length = end;
    }

    /// Writes a ping; whether it fitted.
    pub fn ping(&mut self) -> bool {
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

    /// Writes a credit; whether it fitted.
    pub fn lane_max(&mut self, lane: Lane, offset: u64) -> bool {
        let fits = self.room() >= LANE_MAX_BYTES;
        if fits {
            self.put(&[LANE_MAX, lane.number()]);
            self.put(&offset.to_le_bytes());
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

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::{RngCore, SeedableRng};

    /// What `write` writes.
    fn written(write: impl FnOnce(&mut FrameWriter<'_>)) -> Vec<u8> {
        let mut out = [0xee; 1_200];
        let mut writer = FrameWriter::new(&mut out);
        write(&mut writer);
        let length = writer.len();
        out[..length].to_vec()
    }

    #[test]
    fn every_frame_is_golden() {
        // type 1
        assert_eq!(written(|writer| assert!(writer.ping())), [1]);
        // type 2, three ranges, delay, largest; 20 to 15; gap of 3; 11 to 11; gap of 1; 9 to 0
        let ack = written(|writer| assert!(writer.ack(0x0403_0201, &[(0, 9), (11, 11), (15, 20)])));
        let golden = [
            2, 3, 1, 2, 3, 4, 20, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, // 20..=15
            2, 0, 0, 0, 0, 0, 0, 0, // 11
            0, 0, 0, 0, 9, 0, 0, 0, // 9..=0
        ];
        assert_eq!(ack, golden);
        // type 3, lane 2, length, offset, data
        let lane = written(|writer| {
            let place = writer.lane(Lane::Bulk, 0x0807_0605_0403_0201, 3).expect("it fits");
            place.copy_from_slice(b"abc");
        });
        assert_eq!(lane, [3, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, b'a', b'b', b'c']);
        // type 4, lane 3, offset
        let credit = written(|writer| assert!(writer.lane_max(Lane::Background, 0x0807_0605_0403_0201)));
        assert_eq!(credit, [4, 3, 1, 2, 3, 4, 5, 6, 7, 8]);
        // type 5, code, length, text
        let close = written(|writer| assert!(writer.close(0x0201, "bye")));
        assert_eq!(close, [5, 1, 2, 3, b'b', b'y', b'e']);
    }

    #[test]
    fn frames_are_read_as_they_were_written() {
        let payload = written(|writer| {
            writer.ack(7, &[(0, 9), (11, 11), (15, 20)]);
            writer.lane_max(Lane::Control, 99);
            writer.lane(Lane::Interactive, 5, 2).expect("it fits").copy_from_slice(b"hi");
            writer.ping();
            writer.close(3, "so long");
        });
        let mut padded = vec![0, 0];
        padded.extend(payload);
        padded.push(0);
        let frames: Vec<Frame<'_>> = Frames::new(&padded).map(|frame| frame.expect("well formed")).collect();
        let Frame::Ack(ack) = frames[0] else { panic!("the acknowledgement comes first") };
        assert_eq!((ack.delay_us, ack.largest), (7, 20));
        assert_eq!(ack.ranges().collect::<Vec<_>>(), [(15, 20), (11, 11), (0, 9)]);
        let rest = [
            Frame::LaneMax { lane: Lane::Control, offset: 99 },
            Frame::Lane { lane: Lane::Interactive, offset: 5, data: b"hi" },
            Frame::Ping,
            Frame::Close { code: 3, text: "so long" },
        ];
        assert_eq!(frames[1..], rest);
    }

    #[test]
    fn impossible_frames_are_refused_by_name() {
        let first = |bytes: &[u8]| Frames::new(bytes).next().expect("one frame").expect_err("impossible");
        assert_eq!(first(&[9]), FrameError::UnknownType(9));
        assert_eq!(first(&[4, 4, 0, 0, 0, 0, 0, 0, 0, 0]), FrameError::UnknownLane(4));
        assert_eq!(first(&[4, 3, 0, 0, 0, 0, 0, 0, 0]), FrameError::Truncated);
        assert_eq!(first(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), FrameError::BadLaneData);
        assert_eq!(first(&[3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 1]), FrameError::BadLaneData);
        assert_eq!(first(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), FrameError::BadAck);
        assert_eq!(first(&[2, 1, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0]), FrameError::BadAck);
        assert_eq!(first(&[5, 0, 0, 1, 0xff]), FrameError::BadText);
        let mut long = vec![5, 0, 0, 65];
        long.resize(4 + 65, b'a');
        assert_eq!(first(&long), FrameError::BadText);
    }

    #[test]
    fn an_acknowledgement_keeps_its_newest_ranges_when_room_is_short() {
        let ranges: Vec<(u64, u64)> = (0..40).map(|index| (index * 10, index * 10 + 1)).collect();
        let whole = written(|writer| assert!(writer.ack(0, &ranges)));
        assert_eq!(whole.len(), ACK_BYTES_MIN + (ACK_RANGES_MAX - 1) * ACK_RANGE_BYTES);
        let mut out = [0; ACK_BYTES_MIN + ACK_RANGE_BYTES + 3];
        let mut writer = FrameWriter::new(&mut out);
        assert!(writer.ack(0, &ranges));
        let length = writer.len();
        let Some(Ok(Frame::Ack(ack))) = Frames::new(&out[..length]).next() else {
            panic!("no acknowledgement")
        };
        assert_eq!(ack.ranges().collect::<Vec<_>>(), [(390, 391), (380, 381)]);
        assert!(!FrameWriter::new(&mut out[..ACK_BYTES_MIN - 1]).ack(0, &ranges));
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let text = "\u{e9}".repeat(CLOSE_TEXT_BYTES_MAX);
        let mut payload = written(|writer| assert!(writer.close(0, &format!("x{text}"))));
        let Some(Ok(Frame::Close { text, .. })) = Frames::new(&payload).next() else { panic!("no close") };
        assert_eq!(text.len(), CLOSE_TEXT_BYTES_MAX - 1);
        payload.pop();
        assert_eq!(Frames::new(&payload).next(), Some(Err(FrameError::Truncated)));
    }

    #[test]
    fn mutated_frames_never_panic() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(2);
        let good = written(|writer| {
            writer.ack(7, &[(0, 9), (11, 11), (15, 20), (30, 31)]);
            writer.lane(Lane::Interactive, 5, 20).expect("it fits").fill(3);
            writer.lane_max(Lane::Control, 99);
            writer.close(3, "so long");
        });
        let (mut whole, mut refused) = (0, 0);
        for _ in 0..100_000 {
            let mut payload = good.clone();
            for _ in 0..random.next_u32() % 4 {
                let place = usize::try_from(random.next_u32()).expect("32 bits") % payload.len();
                payload[place] = random.next_u32().to_le_bytes()[0] % 36;
            }
            let length = usize::try_from(random.next_u32()).expect("32 bits") % (payload.len() + 1);
            for frame in Frames::new(&payload[..length]) {
                match frame {
                    Ok(Frame::Ack(ack)) => {
                        whole +=
                            usize::from(ack.ranges().all(|(start, end)| start <= end && end <= ack.largest));
                    }
                    Ok(_) => {}
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(whole > 1_000 && refused > 1_000, "both ways are taken: {whole}, {refused}");
    }
}
