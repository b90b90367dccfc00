//! The bytes of a segment file: its header, and the frames that follow one another in it.
//!
//! Owns the encoding and nothing else: no file is opened here. `log.rs` writes frames, `walk.rs` reads them.
//! Refuses a header whose checksum does not fit its own place, so that bytes that were copied, shifted or left from
//! another time are not taken for a record. FORMAT.md, "Segments", says the same for a second implementation.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::base::ids::ChunkId;
use crate::base::limits::{SEALED_BYTES_MAX, SEGMENT_BYTES_MAX};

/// The format that this version writes, of everything in a data home.
pub const FORMAT: u32 = 1;
/// Length of a segment's header.
pub const SEGMENT_HEADER_BYTES: u64 = 32;
/// Length of a frame's header.
pub const FRAME_HEADER_BYTES: usize = 52;
/// Length of the checksum after a frame's body.
pub const FRAME_TRAILER_BYTES: usize = 8;
/// First bytes of a segment file.
const SEGMENT_MAGIC: [u8; 8] = *b"NUTHSEG\0";
/// First bytes of a frame; the first is no ASCII and no UTF-8.
pub const FRAME_MAGIC: [u8; 4] = [0xbf, b'n', b'u', b't'];

const _: () = assert!(SEGMENT_BYTES_MAX < u32::MAX as u64 && SEALED_BYTES_MAX as u64 * 2 < SEGMENT_BYTES_MAX);

/// A place in the log: all segments, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which segment.
    pub segment: u32,
    /// Bytes from its beginning.
    pub offset: u64,
}

impl Position {
    /// Before everything.
    pub const START: Self = Self { segment: 0, offset: 0 };
    /// The position that eight bytes name: segment and offset.
    pub(super) fn decode(content: &[u8]) -> Self {
        Self { segment: u32_at(content, 0), offset: u64::from(u32_at(content, 4)) }
    }
}

/// Where a chunk's record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Which segment.
    pub segment: u32,
    /// Where its frame begins.
    pub offset: u32,
    /// Length of the sealed bytes.
    pub length: u32,
}

impl Location {
    /// Where the frame begins.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { segment: self.segment, offset: u64::from(self.offset) }
    }

    /// Twelve bytes, little-endian.
    #[must_use]
    pub fn encode(&self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&self.segment.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..].copy_from_slice(&self.length.to_le_bytes());
        bytes
    }

    /// The location in these bytes; any bytes are one.
    #[must_use]
    pub fn decode(bytes: &[u8; 12]) -> Self {
        Self { segment: u32_at(bytes, 0), offset: u32_at(bytes, 4), length: u32_at(bytes, 8) }
    }
}

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// A chunk: `id` is its id, the body its sealed bytes.
    Chunk,
    /// The chunk `id`, whose record stood at the location in the body, is no longer here. After it in the body: the place where
    /// that was said first, for compaction says it again.
    Drop,
    /// Everything before this frame was synced when it was written. No body.
    Mark,
    /// A place that a crash left torn; its body means nothing and has no checksum.
    Void,
    /// Which segments are no longer part of the log.
    Removed,
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// Length of its body.
    pub length: u32,
    /// Which chunk; zeros where the kind has none.
    pub id: ChunkId,
    /// What else there is to say, in three bytes; of a drop, [`DAMAGED`] if that was why; of a chunk that compaction moved,
    /// [`source_note`] of the segment that it was in before.
    pub note: u32,
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SegmentError {
    /// They begin otherwise, a checksum does not fit, or a length exceeds its bound.
    Damaged,
    /// A newer version wrote them.
    NewerFormat(u32),
}

impl fmt::Display for SegmentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => {
                formatter.write_str("these bytes are no header; fetch the chunk from another node")
            }
            Self::NewerFormat(found) => {
                write!(formatter, "format {found} is newer than {FORMAT}; update nuthatch")
            }
        }
    }
}

impl std::error::Error for SegmentError {}

impl Frame {
    /// The frame of a chunk.
    #[must_use]
    pub fn chunk(id: ChunkId, length: u32) -> Self {
        Self { kind: FrameKind::Chunk, length, id, note: 0 }
    }

    /// The frame of a chunk that another segment holds as well, which is about to be removed.
    #[must_use]
    pub fn moved(id: ChunkId, length: u32, source: u32) -> Self {
        Self { note: source_note(source), ..Self::chunk(id, length) }
    }

    /// The frame that says which segments are no longer part of the log.
    #[must_use]
    pub fn removed(length: u32) -> Self {
        Self { kind: FrameKind::Removed, length, ..Self::mark(0) }
    }

    /// The frame that says that a chunk is gone.
    #[must_use]
    pub fn drop_of(id: ChunkId, damaged: bool) -> Self {
        let note = if damaged { DAMAGED } else { 0 };
        Self { kind: FrameKind::Drop, length: DROP_BODY_BYTES, id, note }
    }

    /// A sync mark, in a segment whose last list of removed segments begins at `removed_at`: in the place of an id.
    #[must_use]
    pub fn mark(removed_at: u64) -> Self {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&removed_at.to_le_bytes());
        Self { kind: FrameKind::Mark, length: 0, id: ChunkId::from_bytes(id), note: 0 }
    }

    /// Where the last list of removed segments begins, as this mark tells.
    #[must_use]
    pub fn removed_at(&self) -> u64 {
        u64_at(self.id.as_bytes(), 0)
    }

    /// A torn place of `total` bytes, this header included; `None` if the header does not fit in.
    #[must_use]
    pub fn void(total: u64) -> Option<Self> {
        let length = u32::try_from(total.checked_sub(bytes(FRAME_HEADER_BYTES))?).ok()?;
        Some(Self { kind: FrameKind::Void, length, ..Self::mark(0) })
    }

    /// Length of the whole frame.
    #[must_use]
    pub fn total(&self) -> u64 {
        let trailer = match self.kind {
            FrameKind::Chunk | FrameKind::Drop | FrameKind::Removed => FRAME_TRAILER_BYTES,
            FrameKind::Mark | FrameKind::Void => 0,
        };
        u64::from(self.length) + bytes(FRAME_HEADER_BYTES + trailer)
    }

    /// The header's bytes for a frame that begins at `at`.
    #[must_use]
    pub fn encode(&self, at: Position) -> [u8; FRAME_HEADER_BYTES] {
        let mut header = [0; FRAME_HEADER_BYTES];
        header[..4].copy_from_slice(&FRAME_MAGIC);
        header[4] = self.kind.number();
        header[5..8].copy_from_slice(&self.note.to_le_bytes()[..3]);
        header[8..12].copy_from_slice(&self.length.to_le_bytes());
        header[12..44].copy_from_slice(self.id.as_bytes());
        let sum = header_checksum(&header[..44], at);
        header[44..].copy_from_slice(&sum);
        header
    }

    /// Reads the header of a frame that begins at `at`.
    ///
    /// # Errors
    /// [`SegmentError::Damaged`] unless every byte is as [`encode`](Self::encode) writes it there.
    pub fn decode(header: &[u8; FRAME_HEADER_BYTES], at: Position) -> Result<Self, SegmentError> {
        if header[..4] != FRAME_MAGIC || header[44..] != header_checksum(&header[..44], at) {
            return Err(SegmentError::Damaged);
        }
        let kind = FrameKind::from_number(header[4]).ok_or(SegmentError::Damaged)?;
        let mut id = [0; 32];
        id.copy_from_slice(&header[12..44]);
        let note = u32::from_le_bytes([header[5], header[6], header[7], 0]);
        let frame = Self { kind, length: u32_at(header, 8), id: ChunkId::from_bytes(id), note };
        let bounded = match kind {
            FrameKind::Chunk => u64::from(frame.length) <= bytes(SEALED_BYTES_MAX),
            FrameKind::Removed => note == 0 && u64::from(frame.length) <= bytes(SEALED_BYTES_MAX),
            FrameKind::Drop => frame.length == DROP_BODY_BYTES && note <= DAMAGED,
            FrameKind::Mark => note == 0 && frame.length == 0,
            FrameKind::Void => note == 0 && u64::from(frame.length) <= SEGMENT_BYTES_MAX,
        };
        if bounded {
            Ok(frame)
        } else {
            Err(SegmentError::Damaged)
        }
    }
}

impl FrameKind {
    /// Its number in a header.
    const fn number(self) -> u8 {
        match self {
            Self::Chunk => 1,
            Self::Drop => 2,
            Self::Mark => 3,
            Self::Void => 4,
            Self::Removed => 5,
        }
    }

    /// The kind with that number.
    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Chunk),
            2 => Some(Self::Drop),
            3 => Some(Self::Mark),
            4 => Some(Self::Void),
            5 => Some(Self::Removed),
            _ => None,
        }
    }
}

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The segment's number, as in its name.
    pub number: u32,
    /// How much of the segment with the number before was synced when this one was begun; what it has beyond counts for
    /// nothing. Zero for the first.
    pub previous_bytes: u64,
}

impl SegmentHeader {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; 32] {
        let mut header = [0; 32];
        header[..8].copy_from_slice(&SEGMENT_MAGIC);
        header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        header[12..16].copy_from_slice(&self.number.to_le_bytes());
        header[16..24].copy_from_slice(&self.previous_bytes.to_le_bytes());
        let sum = checksum(&header[..24]);
        header[24..].copy_from_slice(&sum);
        header
    }

    /// Reads the header of segment `number`.
    ///
    /// # Errors
    /// [`SegmentError`]; a newer format is told only if the checksum fits.
    pub fn decode(header: &[u8; 32], number: u32) -> Result<Self, SegmentError> {
        if header[..8] != SEGMENT_MAGIC || header[24..] != checksum(&header[..24]) {
            return Err(SegmentError::Damaged);
        }
        let format = u32_at(header, 8);
        if format > FORMAT {
            return Err(SegmentError::NewerFormat(format));
        }
        if format == 0 || u32_at(header, 12) != number {
            return Err(SegmentError::Damaged);
        }
        Ok(Self { number, previous_bytes: u64_at(header, 16) })
    }

    /// The number in a header, whichever it is, if the checksum fits.
    #[must_use]
    pub fn stated_number(header: &[u8; 32]) -> Option<u32> {
        let whole = header[..8] == SEGMENT_MAGIC && header[24..] == checksum(&header[..24]);
        whole.then(|| u32_at(header, 12))
    }
}

/// The name of segment `number`.
#[must_use]
pub fn segment_name(number: u32) -> String {
    format!("{SEGMENT_DIRECTORY}/{number:08x}.seg")
}

/// The number in a segment's name (without its directory), if it is one.
#[must_use]
pub fn segment_number(leaf: &str) -> Option<u32> {
    let digits = leaf.strip_suffix(".seg")?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    (format!("{number:08x}") == digits).then_some(number)
}

/// First eight bytes of BLAKE3.
#[must_use]
pub fn checksum(content: &[u8]) -> [u8; 8] {
    truncate(&blake3::hash(content))
}

/// The checksum of a frame header: over its bytes and the place where it stands.
fn header_checksum(header: &[u8], at: Position) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(header).update(&at.segment.to_le_bytes()).update(&at.offset.to_le_bytes());
    truncate(&hasher.finalize())
}

/// The first eight bytes of a hash.
fn truncate(hash: &blake3::Hash) -> [u8; 8] {
    u64_at(hash.as_bytes(), 0).to_le_bytes()
}

/// Whether these sealed bytes are the chunk of that name.
#[must_use]
pub fn is_chunk(id: &ChunkId, sealed: &[u8]) -> bool {
    Sha256::digest(sealed)[..] == id.as_bytes()[..]
}

/// Four bytes at `at`, little-endian; they are there.
pub(super) fn u32_at(content: &[u8], at: usize) -> u32 {
    let mut four = [0; 4];
    four.copy_from_slice(&content[at..at + 4]);
    u32::from_le_bytes(four)
}

/// Eight bytes at `at`, little-endian; they are there.
pub(super) fn u64_at(content: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&content[at..at + 8]);
    u64::from_le_bytes(eight)
}

/// A length in memory as the disk counts it.
pub(super) fn bytes(length: usize) -> u64 {
    u64::try_from(length).expect("usize has at most 64 bits on every platform of Rust's std")
}

/// The note of a drop whose chunk was found damaged.
pub const DAMAGED: u32 = 1;
/// Their directory.
pub const SEGMENT_DIRECTORY: &str = "segments";
/// The body of a drop is a location and a position.
pub(super) const DROP_BODY_BYTES: u32 = 20;
/// Numbers of segments fit into the note of a frame but for this modulus: one petabyte of log.
const SOURCE_MODULUS: u32 = 0x00ff_ffff;

/// How a moved chunk names the segment that it was in: never zero. Numbers that share a note are so far apart that it does
/// no harm to take one for the other.
#[must_use]
pub fn source_note(segment: u32) -> u32 {
    segment % SOURCE_MODULUS + 1
}

/// The segment below `segment` that a frame with this note was moved from, if it is there.
#[must_use]
pub fn moved_from(note: u32, segment: u32, is_there: impl Fn(u32) -> bool) -> Option<u32> {
    let first = note.checked_sub(1)?;
    let step = usize::try_from(SOURCE_MODULUS).unwrap_or(usize::MAX);
    (first..segment).step_by(step).find(|number| is_there(*number))
}

/// The body of a drop.
#[must_use]
pub fn drop_body(location: &Location, first: Position) -> [u8; 20] {
    let mut body = [0; 20];
    body[..12].copy_from_slice(&location.encode());
    body[12..16].copy_from_slice(&first.segment.to_le_bytes());
    body[16..].copy_from_slice(&u32::try_from(first.offset).unwrap_or(u32::MAX).to_le_bytes());
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::hex;

    /// Where the golden frames stand.
    const AT: Position = Position { segment: 2, offset: 0x0102_0304 };

    #[test]
    fn golden_bytes_of_a_segment_header() {
        let header = SegmentHeader { number: 0x1f, previous_bytes: 0x0400_0000 };
        let golden = [
            "4e55544853454700", // magic: NUTHSEG and a zero
            "01000000",         // format 1
            "1f000000",         // segment number
            "0000000400000000", // synced bytes of the segment before
            "377a0be9f81bb3a1", // BLAKE3 of the above, first 8 bytes
        ];
        assert_eq!(hex(&header.encode()), golden.concat());
        assert_eq!(SegmentHeader::decode(&header.encode(), 0x1f), Ok(header));
        assert_eq!(SegmentHeader::decode(&header.encode(), 0x1e), Err(SegmentError::Damaged));
    }

    #[test]
    fn golden_bytes_of_a_record() {
        let sealed = b"seed";
        let id = ChunkId::from_bytes(Sha256::digest(sealed).into());
        let frame = Frame::chunk(id, 4);
        let record = [&frame.encode(AT)[..], sealed, &checksum(sealed)].concat();
        let golden = [
            "bf6e7574",                                                         // magic
            "01",                                                               // kind: chunk
            "000000",                                                           // zeros
            "04000000",                                                         // length of the sealed bytes
            "19b25856e1c150ca834cffc8b59b23adbd0ec0389e58eb22b3b64768098d002b", // id
            "940ef6c37efceb87", // BLAKE3 of the above, segment (4 bytes LE) and offset (8 bytes LE), first 8
            "73656564",         // sealed bytes
            "606ec154e4634e71", // BLAKE3 of the sealed bytes, first 8
        ];
        assert_eq!(hex(&record), golden.concat());
        assert_eq!(frame.total(), bytes(record.len()));
    }

    #[test]
    fn golden_bytes_of_a_mark_and_a_drop() {
        let mark = [
            "bf6e7574",                                         // magic
            "03",                                               // kind: mark
            "000000",                                           // zeros
            "00000000",                                         // no body
            "2000000000000000",                                 // where the list of removed segments is
            "000000000000000000000000000000000000000000000000", // no id
            "47c46b513a07b80d",                                 // checksum as of a record's header
        ];
        assert_eq!(hex(&Frame::mark(0x20).encode(AT)), mark.concat());
        let id = ChunkId::from_bytes([7; 32]);
        let body = drop_body(&Location { segment: 1, offset: 32, length: 4 }, AT);
        let drop = [
            "bf6e7574",                                                         // magic
            "02",                                                               // kind: drop
            "010000",                                                           // the chunk was damaged
            "14000000",                                                         // length of the body
            "0707070707070707070707070707070707070707070707070707070707070707", // id
            "8dc95e1e4f2c4cbb",         // checksum as of a record's header
            "010000002000000004000000", // body: where the record stood: segment, offset, length ...
            "0200000004030201",         // ... and where that was said first: segment, offset
            "955b3098b4d2e1ee",         // BLAKE3 of the body, first 8
        ];
        let frame = Frame::drop_of(id, true);
        assert_eq!(hex(&[&frame.encode(AT)[..], &body, &checksum(&body)].concat()), drop.concat());
    }

    #[test]
    fn golden_bytes_of_a_moved_chunk_and_of_what_was_removed() {
        for (source, note) in
            [(0, "010000"), (0x1f, "200000"), (0x00ff_fffe, "ffffff"), (0x00ff_ffff, "010000")]
        {
            let moved = Frame::moved(ChunkId::from_bytes([7; 32]), 4, source).encode(AT);
            assert_eq!(hex(&moved[4..12]), format!("01{note}04000000"), "kind, note, length");
        }
        let removed = Frame::removed(16).encode(AT);
        assert_eq!(hex(&removed[4..12]), "0500000010000000");
    }

    #[test]
    fn a_frame_is_known_only_at_its_own_place_and_only_whole() {
        let header = Frame::chunk(ChunkId::from_bytes([9; 32]), 70_000).encode(AT);
        assert!(Frame::decode(&header, AT).is_ok());
        assert!(Frame::decode(&header, Position { offset: AT.offset + 1, ..AT }).is_err());
        assert!(Frame::decode(&header, Position { segment: AT.segment + 1, ..AT }).is_err());
        for place in 0..header.len() {
            let mut damaged = header;
            damaged[place] ^= 1;
            assert!(Frame::decode(&damaged, AT).is_err(), "byte {place}");
        }
        let long = u32::try_from(SEALED_BYTES_MAX + 1).unwrap();
        assert!(Frame::decode(&Frame::chunk(ChunkId::from_bytes([9; 32]), long).encode(AT), AT).is_err());
    }

    #[test]
    fn a_newer_format_is_told_from_damage() {
        let mut header = SegmentHeader { number: 0, previous_bytes: 0 }.encode();
        header[8] = 2;
        assert_eq!(SegmentHeader::decode(&header, 0), Err(SegmentError::Damaged));
        let sum = checksum(&header[..24]);
        header[24..].copy_from_slice(&sum);
        assert_eq!(SegmentHeader::decode(&header, 0), Err(SegmentError::NewerFormat(2)));
    }

    #[test]
    fn names_and_numbers_of_segments_agree() {
        assert_eq!(segment_name(0x1f), "segments/0000001f.seg");
        assert_eq!(segment_number("0000001f.seg"), Some(0x1f));
        for wrong in ["1f.seg", "0000001F.seg", "0000001f", "0000001f.seg.tmp", "+000001f.seg"] {
            assert_eq!(segment_number(wrong), None, "{wrong}");
        }
    }
}
