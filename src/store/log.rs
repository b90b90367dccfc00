//! The growing end of the log: frames are appended to the newest segment and synced in groups.
//!
//! Owns which bytes of which segment are durable. Each group sync is followed by a sync mark, which the next sync makes
//! durable: at open only what stands after the last mark can be a torn tail. The header of a new segment states how
//! much of the one before counts, so the same holds for every segment. Refuses to go on in a segment after a failed
//! sync: the kernel may have dropped the pages, so the segment ends at its last good sync. Read `segment.rs`, `walk.rs`.

use std::sync::Arc;

use super::disk::{Disk, DiskError};
use super::error::StoreError;
use super::removed::{removed_frame, Removed, UNKNOWN};
use super::segment::{
    bytes, checksum, drop_body, segment_name, Frame, Location, Position, SegmentError, SegmentHeader, FORMAT,
    FRAME_HEADER_BYTES, SEGMENT_DIRECTORY, SEGMENT_HEADER_BYTES,
};
use super::walk::{Found, Gap, Walk};
use crate::base::ids::ChunkId;
use crate::base::limits::SEGMENTS_CACHED;

/// The log, open for appending.
#[derive(Debug)]
pub struct Log {
    /// Where the segments are.
    pub(super) disk: Arc<dyn Disk>,
    /// Length at which a segment is closed.
    bytes_max: u64,
    /// Numbers of all segments, ascending.
    pub(super) segments: Vec<u32>,
    /// Which others were, and are not any more.
    pub(super) removed: Removed,
    /// The segment that is written; `None` before the first, and after one was given up.
    pub(super) tail: Option<Tail>,
    /// Everything before this is durable.
    pub(super) synced: Position,
    /// What is written is seldom read.
    pub(super) streams: bool,
}

/// The segment that is written.
#[derive(Debug)]
pub(super) struct Tail {
    /// Its number.
    pub(super) number: u32,
    /// Its name.
    pub(super) name: String,
    /// Where the next frame goes.
    pub(super) end: u64,
    /// Where the last list of removed segments in it begins.
    pub(super) removed_at: u64,
    /// Whether a mark was written that no sync has covered yet.
    pub(super) mark_waits: bool,
}

impl Log {
    /// A log of these segments; nothing can be appended to the last of them yet.
    pub(super) fn unopened(
        disk: Arc<dyn Disk>,
        bytes_max: u64,
        segments: Vec<u32>,
        removed: Removed,
    ) -> Self {
        Self { disk, bytes_max, segments, removed, tail: None, synced: Position::START, streams: false }
    }

    /// Everything before this is durable.
    #[must_use]
    pub fn synced(&self) -> Position {
        self.synced
    }

    /// Numbers of all segments, ascending.
    #[must_use]
    pub fn segments(&self) -> &[u32] {
        &self.segments
    }

    /// Whether that segment is there and part of the log.
    #[must_use]
    pub fn has(&self, segment: u32) -> bool {
        self.segments.binary_search(&segment).is_ok()
    }

    /// Where the next frame is going to stand, or would if the segment at hand goes on.
    #[must_use]
    pub fn end(&self) -> Position {
        let tail = self.tail.as_ref();
        tail.map_or(self.synced, |tail| Position { segment: tail.number, offset: tail.end })
    }

    /// Length at which a segment is closed.
    #[must_use]
    pub fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Whether the list of removed segments can take that one.
    #[must_use]
    pub fn may_remove(&self, segment: u32) -> bool {
        let near = [segment.checked_sub(1), segment.checked_add(1)];
        self.removed.has_room() || near.into_iter().flatten().any(|number| self.removed.contains(number))
    }

    /// Bytes of a segment's file.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn length_of(&self, segment: u32) -> Result<u64, DiskError> {
        self.disk.len(&segment_name(segment))
    }

    /// Where a segment ends that is not the last one: what it has beyond is not part of the log.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn end_of(&self, segment: u32) -> Result<u64, StoreError> {
        Ok(self.stated_end_of(segment)?.min(self.length_of(segment)?))
    }

    /// The same, though the file may be shorter than that.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn stated_end_of(&self, segment: u32) -> Result<u64, StoreError> {
        let stated = stated_end(&*self.disk, &self.segments, &self.removed, segment)?;
        stated.map_or_else(|| Ok(self.length_of(segment)?), Ok)
    }

    /// States durably that `segment` is no longer part of the log, then removes it. Everything must be synced.
    ///
    /// # Errors
    /// When that could not be stated: the segment still counts.
    pub fn remove_segment(&mut self, segment: u32) -> Result<(), StoreError> {
        let end_before = read_header(&*self.disk, segment)?.map_or(UNKNOWN, |header| header.previous_bytes);
        self.state_removed(segment, end_before)?;
        let gone =
            self.disk.remove(&segment_name(segment)).and_then(|()| self.disk.sync_dir(SEGMENT_DIRECTORY));
        if let Err(error) = gone {
            log::warn!("a segment that is not needed any more could not be removed; it is tried again at the next start: {error}");
        }
        Ok(())
    }

    /// States durably that `segment` is not part of the log.
    ///
    /// # Errors
    /// When it could not be made durable: then nothing changes.
    pub fn state_removed(&mut self, segment: u32, end_before: u64) -> Result<(), DiskError> {
        let before = self.removed.clone();
        self.removed.insert(segment, end_before);
        let stated = self.append_removed().and_then(|()| self.sync());
        if stated.is_err() {
            self.removed = before;
            return stated;
        }
        self.segments.retain(|number| *number != segment);
        Ok(())
    }

    /// Appends what was removed, unless a new segment is begun, which says it by itself.
    pub(super) fn append_removed(&mut self) -> Result<(), DiskError> {
        let body = self.removed.encode();
        let frame = removed_frame(&body);
        if self.tail.is_none() || self.must_roll(&frame) {
            if self.tail.is_some() {
                self.close_segment()?;
            }
            return self.begin_segment();
        }
        let at = u64::from(self.append(&frame, &body)?.offset);
        if let Some(tail) = &mut self.tail {
            tail.removed_at = at;
        }
        Ok(())
    }

    /// Whether the next frame needs a new segment: everything must be synced before it is appended.
    #[must_use]
    pub fn must_roll(&self, frame: &Frame) -> bool {
        match &self.tail {
            Some(tail) => tail.end > SEGMENT_HEADER_BYTES && tail.end + frame.total() > self.bytes_max,
            None => false,
        }
    }

    /// Appends a frame. It is not durable before [`sync`](Self::sync).
    ///
    /// # Errors
    /// When the disk fails: the frame counts as not written.
    ///
    /// # Panics
    /// When [`must_roll`](Self::must_roll) and something is not synced: our own mistake.
    pub fn append(&mut self, frame: &Frame, body: &[u8]) -> Result<Location, DiskError> {
        self.prepare(frame)?;
        let tail = self.tail.as_mut().expect("a segment was just begun");
        let at = Position { segment: tail.number, offset: tail.end };
        let parts = [&frame.encode(at)[..], body, &checksum(body)];
        // What a failure leaves is written over by the next frame, or cut at the next open.
        self.disk.write_parts_at(&tail.name, tail.end, &parts)?;
        tail.end += frame.total();
        let offset = u32::try_from(at.offset).expect("a frame begins below the segment limit, a u32");
        Ok(Location { segment: at.segment, offset, length: frame.length })
    }

    /// Appends that a chunk whose record stands at `location` is gone; `first` is where that was said before, if it was. Gives the place.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_drop(
        &mut self,
        id: ChunkId,
        location: &Location,
        first: Option<Position>,
        damaged: bool,
    ) -> Result<Position, DiskError> {
        let frame = Frame::drop_of(id, damaged);
        self.prepare(&frame)?;
        let at = self.end();
        self.append(&frame, &drop_body(location, first.unwrap_or(at)))?;
        Ok(at)
    }

    /// Sees to it that there is a segment with room for this frame.
    fn prepare(&mut self, frame: &Frame) -> Result<(), DiskError> {
        if self.must_roll(frame) {
            self.close_segment()?;
        }
        if self.tail.is_none() {
            self.begin_segment()?;
        }
        Ok(())
    }

    /// States durably where the log ends, if a segment was given up and none follows yet: until then what a failed sync gave up may come back
    /// when the store is opened.
    ///
    /// # Errors
    /// When the disk fails: it may still come back.
    pub fn state_end(&mut self) -> Result<(), DiskError> {
        if self.tail.is_none() && !self.segments.is_empty() {
            self.begin_segment()?;
        }
        Ok(())
    }

    /// Makes everything appended durable, then writes a mark.
    ///
    /// # Errors
    /// When the sync fails: everything after [`synced`](Self::synced) counts as lost, and the segment is given up.
    pub fn sync(&mut self) -> Result<(), DiskError> {
        let Some(tail) = &mut self.tail else { return Ok(()) };
        if let Err(error) = self.disk.sync(&tail.name) {
            self.tail = None;
            return Err(error);
        }
        self.synced = Position { segment: tail.number, offset: tail.end };
        tail.mark_waits = false;
        let mark = Frame::mark(tail.removed_at).encode(self.synced);
        // Without the mark the next open has more to check, no more; so its failure is none of the group's.
        if self.disk.write_at(&tail.name, tail.end, &mark).is_ok() {
            tail.end += bytes(mark.len());
            tail.mark_waits = true;
        }
        Ok(())
    }

    /// Makes the last mark durable, so that the next open has nothing to check.
    ///
    /// # Errors
    /// When the disk fails; nothing synced is lost by that.
    pub fn sync_mark(&mut self) -> Result<(), DiskError> {
        let Some(tail) = &mut self.tail else { return Ok(()) };
        if tail.mark_waits {
            if let Err(error) = self.disk.sync(&tail.name) {
                self.tail = None;
                return Err(error);
            }
            tail.mark_waits = false;
            self.synced.offset = tail.end;
        }
        Ok(())
    }

    /// Ends the segment that is written: a durable mark at its end.
    pub(super) fn close_segment(&mut self) -> Result<(), DiskError> {
        if let Some(tail) = &self.tail {
            let mark = if tail.mark_waits { bytes(FRAME_HEADER_BYTES) } else { 0 };
            assert_eq!(
                self.synced.offset + mark,
                tail.end,
                "a segment is closed only when its groups are synced"
            );
        }
        // If this fails the segment is given up, and ends at the last good sync just as well.
        let _ = self.sync_mark();
        self.tail = None;
        Ok(())
    }

    /// Makes the next segment, durable with its name before anything is written to it.
    fn begin_segment(&mut self) -> Result<(), DiskError> {
        let number = self.segments.last().map_or(0, |last| last + 1);
        let name = segment_name(number);
        let header = SegmentHeader { number, previous_bytes: self.synced.offset };
        if self.disk.exists(&name)? {
            self.disk.set_len(&name, 0)?;
        }
        let body = self.removed.encode();
        let frame = removed_frame(&body);
        let at = Position { segment: number, offset: SEGMENT_HEADER_BYTES };
        let parts = [&header.encode()[..], &frame.encode(at), &body, &checksum(&body)];
        self.disk.write_parts_at(&name, 0, &parts)?;
        self.disk.sync(&name)?;
        self.disk.sync_dir(SEGMENT_DIRECTORY)?;
        let end = SEGMENT_HEADER_BYTES + frame.total();
        self.segments.push(number);
        self.synced = Position { segment: number, offset: end };
        self.tail = Some(Tail { number, name, end, removed_at: SEGMENT_HEADER_BYTES, mark_waits: false });
        let before = number.checked_sub(SEGMENTS_CACHED).filter(|before| self.has(*before));
        if let Some(before) = before.filter(|_| self.streams) {
            self.disk.let_go(&segment_name(before));
        }
        Ok(())
    }
}

/// Where a segment ends, if a later one tells that.
fn stated_end(
    disk: &dyn Disk,
    segments: &[u32],
    removed: &Removed,
    segment: u32,
) -> Result<Option<u64>, StoreError> {
    let Some(next) = segment.checked_add(1) else { return Ok(None) };
    if segments.binary_search(&next).is_ok() {
        return Ok(read_header(disk, next)?.map(|header| header.previous_bytes));
    }
    Ok(removed.end_of(segment))
}

/// The header of segment `number`; `None` if it is damaged.
pub(super) fn read_header(disk: &dyn Disk, number: u32) -> Result<Option<SegmentHeader>, StoreError> {
    let name = segment_name(number);
    let mut header = [0; 32];
    if disk.read_at(&name, 0, &mut header)? < header.len() {
        return Ok(None);
    }
    match SegmentHeader::decode(&header, number) {
        Ok(header) => Ok(Some(header)),
        Err(SegmentError::Damaged) => Ok(None),
        Err(SegmentError::NewerFormat(found)) => {
            Err(StoreError::NewerFormat { name, found, supported: FORMAT })
        }
    }
}

/// Walks `log` from `from`, where a frame begins, to `to` (both positions that were synced). `each` gets what is
/// found and the position behind it.
///
/// # Errors
/// When the disk fails, a newer format is found, or `each` fails.
pub fn replay(
    log: &Log,
    from: Position,
    to: Position,
    each: &mut dyn FnMut(Found, Position) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (disk, segments) = (&*log.disk, &log.segments);
    for (index, number) in segments.iter().copied().enumerate() {
        if number < from.segment || number > to.segment {
            continue;
        }
        let header = read_header(disk, number)?;
        let before = index.checked_sub(1).map_or(0, |before| segments[before] + 1);
        if before < number && from.segment < number && !log.removed.contains(number - 1) {
            // The segment before is gone; how long it was stands in this one.
            let lost = header.map_or(0, |header| header.previous_bytes);
            let gap = Gap { from: 0, to: lost, unreadable: false };
            each(Found::Gap(gap), Position { segment: number, offset: 0 })?;
        }
        let length = disk.len(&segment_name(number))?;
        let stated = if number == to.segment {
            Some(to.offset)
        } else {
            stated_end(disk, segments, &log.removed, number)?
        };
        let end = stated.map_or(length, |stated| stated.min(length));
        let start =
            if number == from.segment { from.offset.max(SEGMENT_HEADER_BYTES) } else { SEGMENT_HEADER_BYTES };
        let mut walk = Walk::new(disk, Position { segment: number, offset: start }, end, u64::MAX);
        while let Some(found) = walk.step()? {
            each(found, walk.position())?;
        }
        if let Some(stated) = stated.filter(|stated| *stated > length) {
            let gap = Gap { from: length, to: stated, unreadable: false };
            each(Found::Gap(gap), Position { segment: number, offset: stated })?;
        }
    }
    Ok(())
}
