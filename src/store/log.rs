//! The growing end of the log: frames are appended to the newest segment and synced in groups.
//!
//! Owns which bytes of which segment are durable. Each group sync is followed by a sync mark, which the next sync makes
//! durable: at open only what stands after the last mark can be a torn tail. The header of a new segment states how
//! much of the one before counts, so the same holds for every segment. Refuses to go on in a segment after a failed
//! sync: the kernel may have dropped the pages, so the segment ends at its last good sync. Read `segment.rs`, `walk.rs`.

use std::sync::Arc;

use super::disk::{Disk, DiskError, DiskErrorKind};
use super::error::StoreError;
use super::segment::{
    bytes, checksum, segment_name, segment_number, Frame, Location, Position, SegmentError, SegmentHeader,
    FORMAT, FRAME_HEADER_BYTES, SEGMENT_DIRECTORY, SEGMENT_HEADER_BYTES,
};
use super::walk::{Found, Gap, Walk};

/// The log, open for appending.
#[derive(Debug)]
pub struct Log {
    /// Where the segments are.
    disk: Arc<dyn Disk>,
    /// Length at which a segment is closed.
    bytes_max: u64,
    /// Numbers of all segments, ascending.
    segments: Vec<u32>,
    /// The segment that is written; `None` before the first, and after one was given up.
    tail: Option<Tail>,
    /// Everything before this is durable.
    synced: Position,
}

/// The segment that is written.
#[derive(Debug)]
struct Tail {
    /// Its number.
    number: u32,
    /// Its name.
    name: String,
    /// Where the next frame goes.
    end: u64,
    /// Whether a mark was written that no sync has covered yet.
    mark_waits: bool,
}

/// The end of the last segment, as it was found.
#[derive(Debug, Default)]
struct TailState {
    /// After the last mark: where each torn place is.
    torn: Vec<Gap>,
    /// Where the last mark ends, or the header if there is none.
    marked: u64,
}

impl Log {
    /// Opens the log: cuts a torn tail, makes what is whole after the last mark durable, and marks it. Also gives the
    /// number of torn bytes.
    ///
    /// # Errors
    /// When the disk fails, or a newer format is found.
    pub fn open(disk: Arc<dyn Disk>, bytes_max: u64) -> Result<(Self, u64), StoreError> {
        if !disk.exists(SEGMENT_DIRECTORY)? {
            disk.create_dir(SEGMENT_DIRECTORY)?;
        }
        disk.sync_dir("")?;
        let mut segments: Vec<u32> =
            disk.list(SEGMENT_DIRECTORY)?.iter().filter_map(|leaf| segment_number(leaf)).collect();
        segments.sort_unstable();
        if let Some(last) = segments.last() {
            let name = segment_name(*last);
            if read_header(&*disk, *last)?.is_none() && disk.len(&name)? <= SEGMENT_HEADER_BYTES {
                // A crash came between making the file and syncing its header: it never held a record.
                disk.remove(&name)?;
                disk.sync_dir(SEGMENT_DIRECTORY)?;
                segments.pop();
            }
        }
        let mut log = Self { disk, bytes_max, segments, tail: None, synced: Position::START };
        let torn_bytes = match log.segments.last() {
            Some(last) => log.open_tail(*last)?,
            None => 0,
        };
        Ok((log, torn_bytes))
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
        if self.must_roll(frame) {
            self.close_segment()?;
        }
        if self.tail.is_none() {
            self.begin_segment()?;
        }
        let tail = self.tail.as_mut().expect("a segment was just begun");
        let at = Position { segment: tail.number, offset: tail.end };
        let parts = [&frame.encode(at)[..], body, &checksum(body)];
        // What a failure leaves is written over by the next frame, or cut at the next open.
        self.disk.write_parts_at(&tail.name, tail.end, &parts)?;
        tail.end += frame.total();
        let offset = u32::try_from(at.offset).expect("a frame begins below the segment limit, a u32");
        Ok(Location { segment: at.segment, offset, length: frame.length })
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
        let mark = Frame::mark().encode(self.synced);
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
    fn close_segment(&mut self) -> Result<(), DiskError> {
        if let Some(tail) = &self.tail {
            let mark = if tail.mark_waits { Frame::mark().total() } else { 0 };
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
        self.disk.write_at(&name, 0, &header.encode())?;
        self.disk.sync(&name)?;
        self.disk.sync_dir(SEGMENT_DIRECTORY)?;
        self.segments.push(number);
        self.synced = Position { segment: number, offset: SEGMENT_HEADER_BYTES };
        self.tail = Some(Tail { number, name, end: SEGMENT_HEADER_BYTES, mark_waits: false });
        Ok(())
    }

    /// Brings the last segment into a state to go on from; tells how many bytes were torn.
    fn open_tail(&mut self, number: u32) -> Result<u64, StoreError> {
        let name = segment_name(number);
        let mut end = self.disk.len(&name)?;
        let state = survey(&*self.disk, number, end)?;
        let unreadable = state.torn.iter().any(|gap| gap.unreadable);
        let mut torn_bytes = 0;
        if !unreadable {
            for gap in &state.torn {
                torn_bytes += gap.to - gap.from;
                if gap.to == end {
                    self.disk.set_len(&name, gap.from)?;
                    end = gap.from;
                } else if let Some(void) = Frame::void(gap.to - gap.from) {
                    let at = Position { segment: number, offset: gap.from };
                    self.disk.write_at(&name, gap.from, &void.encode(at))?;
                }
            }
        }
        self.synced = Position { segment: number, offset: end };
        if unreadable {
            // Nothing here is cut, and nothing more is written here: the next segment says that all of it counts.
            self.disk.sync(&name)?;
            return Ok(0);
        }
        self.tail = Some(Tail { number, name, end, mark_waits: false });
        if state.marked < end || torn_bytes > 0 {
            self.rewrite(number, state.marked, end)?;
            self.sync()?;
        }
        Ok(torn_bytes)
    }

    /// Writes what stands after the last mark once more, the mark included. A sync that failed before the last process
    /// ended may have left pages that are read but were never written and that no later sync would write.
    fn rewrite(&self, number: u32, marked: u64, end: u64) -> Result<(), DiskError> {
        let name = segment_name(number);
        let mut at = marked.saturating_sub(Frame::mark().total()).max(SEGMENT_HEADER_BYTES);
        let mut piece = vec![0; REWRITE_BYTES];
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(REWRITE_BYTES);
            let read = self.disk.read_at(&name, at, &mut piece[..wanted])?;
            if read == 0 {
                break;
            }
            self.disk.write_at(&name, at, &piece[..read])?;
            at += bytes(read);
        }
        Ok(())
    }
}

/// How much is written again at once.
const REWRITE_BYTES: usize = 64 * 1024;

/// Finds what stands after the last mark of the last segment.
fn survey(disk: &dyn Disk, number: u32, end: u64) -> Result<TailState, StoreError> {
    if ends_with_mark(disk, number, end)? {
        return Ok(TailState { torn: Vec::new(), marked: end });
    }
    let from = Position { segment: number, offset: SEGMENT_HEADER_BYTES };
    let mut walk = Walk::new(disk, from, end, u64::MAX);
    let mut last_mark = SEGMENT_HEADER_BYTES;
    while let Some(found) = walk.step()? {
        if let Found::Mark(after) = found {
            last_mark = after;
        }
    }
    let mut state = TailState { torn: Vec::new(), marked: last_mark };
    let mut walk = Walk::new(disk, Position { segment: number, offset: last_mark }, end, last_mark);
    while let Some(found) = walk.step()? {
        if let Found::Gap(gap) = found {
            state.torn.push(gap);
        }
    }
    Ok(state)
}

/// Whether a mark is the last thing before `end`: then all was synced, and nothing of the segment need be read.
fn ends_with_mark(disk: &dyn Disk, number: u32, end: u64) -> Result<bool, DiskError> {
    let mark = Frame::mark();
    let Some(offset) = end.checked_sub(mark.total()).filter(|at| *at >= SEGMENT_HEADER_BYTES) else {
        return Ok(false);
    };
    let mut found = [0; FRAME_HEADER_BYTES];
    match disk.read_at(&segment_name(number), offset, &mut found) {
        Ok(_) => Ok(found == mark.encode(Position { segment: number, offset })),
        // A place that cannot be read is the business of the walk.
        Err(error) if error.kind == DiskErrorKind::Io => Ok(false),
        Err(error) => Err(error),
    }
}

/// The header of segment `number`; `None` if it is damaged.
fn read_header(disk: &dyn Disk, number: u32) -> Result<Option<SegmentHeader>, StoreError> {
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

/// Walks the log from `from`, where a frame begins, to `to` (both positions that were synced). `each` gets what is
/// found and the position behind it.
///
/// # Errors
/// When the disk fails, a newer format is found, or `each` fails.
pub fn replay(
    disk: &dyn Disk,
    segments: &[u32],
    from: Position,
    to: Position,
    each: &mut dyn FnMut(Found, Position) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for (index, number) in segments.iter().copied().enumerate() {
        if number < from.segment || number > to.segment {
            continue;
        }
        let header = read_header(disk, number)?;
        let before = index.checked_sub(1).map_or(0, |before| segments[before] + 1);
        if before < number && from.segment < number {
            // The segment before is gone; how long it was stands in this one.
            let lost = header.map_or(0, |header| header.previous_bytes);
            let gap = Gap { from: 0, to: lost, unreadable: false };
            each(Found::Gap(gap), Position { segment: number, offset: 0 })?;
        }
        let length = disk.len(&segment_name(number))?;
        let stated = match segments.get(index + 1) {
            _ if number == to.segment => Some(to.offset),
            Some(next) if *next == number + 1 => {
                read_header(disk, *next)?.map(|header| header.previous_bytes)
            }
            _ => None,
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
