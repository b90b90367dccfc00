//! Reading the frames of one segment in order, and finding the way again after damage.
//!
//! Owns what counts as a record that is really there. After a place that is no frame the walk goes on at the next one,
//! but trusts no header any more: a chunk counts only if all its bytes match its id, for the bytes between may have
//! been sent by somebody and may look like frames. Refuses to change anything: cutting is the business of `log.rs`.
//! Read `segment.rs` first.

use super::delta::Change;
use super::disk::{Disk, DiskError, DiskErrorKind};
use super::removed::Removed;
use super::segment::{
    bytes, checksum, is_chunk, segment_name, Frame, FrameKind, Location, Position, DAMAGED,
    FRAME_HEADER_BYTES, FRAME_MAGIC, FRAME_TRAILER_BYTES,
};
use crate::base::ids::ChunkId;

/// What stands next in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A chunk's record, and the note of its frame: zero, or where it was moved from.
    Chunk(ChunkId, Location, u32),
    /// A chunk is gone.
    Drop(ChunkId, Dropped),
    /// Which segments are no longer part of the log.
    Removed(Removed),
    /// A sync mark that ends here (offset).
    Mark(u64),
    /// A place that was torn: what followed in its group may not fit together.
    Void,
    /// Bytes that are no frame.
    Gap(Gap),
}

/// What a drop says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dropped {
    /// Where the record stood.
    pub location: Location,
    /// Where this was said first.
    pub first: Position,
    /// Whether the chunk was damaged.
    pub damaged: bool,
}

impl Dropped {
    /// What it means, said at `at`.
    #[must_use]
    pub fn change(&self, at: Position) -> Change {
        match self.damaged {
            _ if self.first != at => Change::Kept(self.first, at),
            true => Change::Rot(self.location, at),
            false => Change::Drop(self.location, at),
        }
    }

    /// Length of its frame.
    #[must_use]
    pub fn total(&self) -> u64 {
        Frame::drop_of(ChunkId::from_bytes([0; 32]), self.damaged).total()
    }
}

/// A range of a segment that no frame explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Where it begins.
    pub from: u64,
    /// Where the next frame begins, or the end.
    pub to: u64,
    /// The medium refused to read some of it: it must not be cut or written over.
    pub unreadable: bool,
}

/// A walk through one segment.
#[derive(Debug)]
pub struct Walk<'a> {
    /// Where the segment is.
    disk: &'a dyn Disk,
    /// Its number.
    segment: u32,
    /// Its name.
    name: String,
    /// Where the next frame is expected.
    offset: u64,
    /// Where to stop.
    end: u64,
    /// From here on chunks are read and checked.
    verify_from: u64,
    /// After a gap: check everything, believe nothing else.
    suspicious: bool,
    /// A piece of the segment.
    window: Vec<u8>,
    /// Where it begins.
    window_at: u64,
    /// A read failed in the gap at hand.
    unreadable: bool,
}

impl<'a> Walk<'a> {
    /// Walks segment `from.segment` from `from.offset`, where a frame begins, to `end`. The bodies of chunks from
    /// `verify_from` on are checked.
    #[must_use]
    pub fn new(disk: &'a dyn Disk, from: Position, end: u64, verify_from: u64) -> Self {
        Self {
            disk,
            segment: from.segment,
            name: segment_name(from.segment),
            offset: from.offset,
            end,
            verify_from,
            suspicious: false,
            window: Vec::new(),
            window_at: 0,
            unreadable: false,
        }
    }

    /// Where the next frame is expected.
    #[must_use]
    pub fn position(&self) -> Position {
        Position { segment: self.segment, offset: self.offset }
    }

    /// The next thing, or `None` at the end.
    ///
    /// # Errors
    /// When the file is gone; places that cannot be read are gaps.
    pub fn step(&mut self) -> Result<Option<Found>, DiskError> {
        if self.offset >= self.end {
            return Ok(None);
        }
        let at = self.offset;
        self.unreadable = false;
        if let Some((frame, found)) = self.frame_at(at)? {
            self.offset = at + frame.total();
            return Ok(Some(found));
        }
        self.suspicious = true;
        let to = self.resume_after(at)?;
        self.offset = to;
        Ok(Some(Found::Gap(Gap { from: at, to, unreadable: self.unreadable })))
    }

    /// The frame that begins at `at`, and what it tells; `None` if none that counts does.
    fn frame_at(&mut self, at: u64) -> Result<Option<(Frame, Found)>, DiskError> {
        let mut header = [0; FRAME_HEADER_BYTES];
        match self.window(at, FRAME_HEADER_BYTES)? {
            Some(content) => header.copy_from_slice(&content[..FRAME_HEADER_BYTES]),
            None => return Ok(None),
        }
        let place = Position { segment: self.segment, offset: at };
        let Ok(frame) = Frame::decode(&header, place) else { return Ok(None) };
        let end = at + frame.total();
        if end > self.end {
            return Ok(None);
        }
        let found = match frame.kind {
            FrameKind::Chunk => {
                let careful = self.suspicious || at >= self.verify_from;
                let Ok(offset) = u32::try_from(at) else { return Ok(None) };
                if careful && !self.chunk_is_whole(&frame, at)? {
                    return Ok(None);
                }
                let location = Location { segment: self.segment, offset, length: frame.length };
                Found::Chunk(frame.id, location, frame.note)
            }
            FrameKind::Mark => Found::Mark(end),
            FrameKind::Void if !self.suspicious => Found::Void,
            FrameKind::Drop | FrameKind::Removed if !self.suspicious => {
                match self.body(&frame, at)?.and_then(|body| statement(&frame, &body)) {
                    Some(found) => found,
                    None => return Ok(None),
                }
            }
            FrameKind::Drop | FrameKind::Removed | FrameKind::Void => return Ok(None),
        };
        Ok(Some((frame, found)))
    }

    /// Whether all bytes of the chunk's record at `at` are as they were written.
    fn chunk_is_whole(&mut self, frame: &Frame, at: u64) -> Result<bool, DiskError> {
        Ok(self.body(frame, at)?.is_some_and(|sealed| is_chunk(&frame.id, &sealed)))
    }

    /// The body of the frame at `at`, if its checksum fits.
    fn body(&mut self, frame: &Frame, at: u64) -> Result<Option<Vec<u8>>, DiskError> {
        let length = usize::try_from(frame.length).unwrap_or(usize::MAX);
        let mut body = vec![0; length + FRAME_TRAILER_BYTES];
        let from = at + bytes(FRAME_HEADER_BYTES);
        if body.len() <= WINDOW_BYTES {
            let Some(content) = self.window(from, body.len())? else { return Ok(None) };
            body.copy_from_slice(&content[..length + FRAME_TRAILER_BYTES]);
        } else {
            let read = self.disk.read_at(&self.name, from, &mut body);
            if self.readable(read)? != Some(body.len()) {
                return Ok(None);
            }
        }
        let whole = body[length..] == checksum(&body[..length]);
        body.truncate(length);
        Ok(whole.then_some(body))
    }

    /// The first place after `gap` where a frame that counts begins, or the end.
    fn resume_after(&mut self, gap: u64) -> Result<u64, DiskError> {
        let mut at = gap + 1;
        while at < self.end {
            let wanted = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(WINDOW_BYTES);
            let Some(content) = self.window(at, wanted)? else {
                // Unreadable: try again behind the next block boundary.
                at = (at / BLOCK_BYTES + 1) * BLOCK_BYTES;
                continue;
            };
            let candidate = content.windows(FRAME_MAGIC.len()).position(|four| *four == FRAME_MAGIC);
            let Some(candidate) = candidate else {
                // The magic may begin in the last three bytes of this window.
                at += bytes(content.len().saturating_sub(FRAME_MAGIC.len() - 1).max(1));
                continue;
            };
            at += bytes(candidate);
            if self.frame_at(at)?.is_some() {
                return Ok(at);
            }
            at += 1;
        }
        Ok(self.end)
    }

    /// At least `length` bytes at `at` (more if they are at hand), or `None` if the range cannot be read or is not there.
    fn window(&mut self, at: u64, length: usize) -> Result<Option<&[u8]>, DiskError> {
        if at + bytes(length) > self.end {
            return Ok(None);
        }
        let inside = at >= self.window_at && at + bytes(length) <= self.window_at + bytes(self.window.len());
        if !inside {
            let mut window = std::mem::take(&mut self.window);
            let left = usize::try_from(self.end - at).unwrap_or(usize::MAX);
            window.resize(left.min(WINDOW_BYTES).max(length), 0);
            let read = self.disk.read_at(&self.name, at, &mut window);
            let Some(read) = self.readable(read)? else { return Ok(None) };
            window.truncate(read);
            self.window = window;
            self.window_at = at;
            if read < length {
                return Ok(None);
            }
        }
        let start = usize::try_from(at - self.window_at).unwrap_or(usize::MAX);
        Ok(self.window.get(start..))
    }

    /// Turns a medium error into `None` and remembers it; other errors are passed on.
    fn readable(&mut self, read: Result<usize, DiskError>) -> Result<Option<usize>, DiskError> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind == DiskErrorKind::Io => {
                self.unreadable = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// What a drop or a list of removed segments says; `None` if it is none.
fn statement(frame: &Frame, body: &[u8]) -> Option<Found> {
    if frame.kind == FrameKind::Removed {
        return Removed::decode(body).map(Found::Removed);
    }
    let mut location = [0; 12];
    location.copy_from_slice(body.get(..12)?);
    let first = Position::decode(body.get(12..20)?);
    let dropped = Dropped { location: Location::decode(&location), first, damaged: frame.note == DAMAGED };
    Some(Found::Drop(frame.id, dropped))
}

/// How much of a segment is read at once: many small records, or one header of a large one without much waste.
const WINDOW_BYTES: usize = 16 * 1024;
/// What a medium fails to read at once.
const BLOCK_BYTES: u64 = 4096;
