//! Opening the log: what is there, what is gone on purpose, what was lost, and where to go on.
//!
//! Owns the repair of what a crash or a hand left: a torn tail is cut, a segment that stands under a wrong name gets its own again, what is no
//! part of this log is set aside and never removed. Refuses to guess: a segment that nobody removed and that is not there is
//! lost, and said to be. Read `log.rs` and `removed.rs` first.

use std::sync::Arc;

use super::disk::{Disk, DiskError, DiskErrorKind};
use super::error::StoreError;
use super::log::{read_header, Log, Tail};
use super::removed::Removed;
use super::segment::{
    bytes, segment_name, segment_number, Frame, FrameKind, Position, SegmentHeader, FRAME_HEADER_BYTES,
    SEGMENT_DIRECTORY, SEGMENT_HEADER_BYTES,
};
use super::walk::{Found, Gap, Walk};

/// What was found while the log was opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogReport {
    /// Bytes cut off: never acknowledged.
    pub torn_bytes: u64,
    /// Segments that are gone though nobody removed them.
    pub lost: Vec<u32>,
    /// Segments that stood under a wrong name and have their own again.
    pub renamed: u64,
    /// Files that look like segments of another log or like doubles; they were renamed and are left alone.
    pub set_aside: u64,
}

/// The end of the last segment, as it was found.
#[derive(Debug, Default)]
struct TailState {
    /// After the last mark: where each torn place is.
    torn: Vec<Gap>,
    /// Where the last mark ends, or the header if there is none.
    marked: u64,
    /// Where the last list of removed segments begins.
    removed_at: u64,
}

impl Log {
    /// Opens the log: cuts a torn tail, makes what is whole after the last mark durable, and marks it.
    ///
    /// # Errors
    /// When the disk fails, or a newer format is found.
    pub fn open(disk: Arc<dyn Disk>, bytes_max: u64) -> Result<(Self, LogReport), StoreError> {
        if !disk.exists(SEGMENT_DIRECTORY)? {
            disk.create_dir(SEGMENT_DIRECTORY)?;
        }
        disk.sync_dir("")?;
        let mut report = LogReport::default();
        let mut segments = list(&*disk)?;
        if !ends_well(&*disk, &mut segments)? {
            put_names_right(&*disk, &mut segments, &Removed::default(), true, &mut report)?;
        }
        let mut removed = read_removed(&*disk, &segments)?;
        if removed.holes(&segments).any(|(_, known)| !known) || has_strangers(&*disk, &segments, &removed)? {
            put_names_right(&*disk, &mut segments, &removed, false, &mut report)?;
            removed = read_removed(&*disk, &segments)?;
        }
        report.lost =
            removed.holes(&segments).filter(|(_, known)| !known).map(|(number, _)| number).collect();
        let mut log = Self::unopened(disk, bytes_max, segments, removed);
        if let Some(last) = log.segments.last() {
            report.torn_bytes = log.open_tail(*last)?;
        }
        log.remove_again()?;
        Ok((log, report))
    }

    /// Removes segments that were removed before: a crash may have brought them back.
    fn remove_again(&mut self) -> Result<(), DiskError> {
        if self.tail.is_none() {
            // What says so could not be made durable.
            let removed = &self.removed;
            self.segments.retain(|number| !removed.contains(*number));
            return Ok(());
        }
        let (back, segments) = self.segments.iter().partition(|number| self.removed.contains(**number));
        self.segments = segments;
        let back: Vec<u32> = back;
        for number in &back {
            self.disk.remove(&segment_name(*number))?;
        }
        if !back.is_empty() {
            self.disk.sync_dir(SEGMENT_DIRECTORY)?;
        }
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
        let removed_at = state.removed_at;
        self.tail = Some(Tail { number, name, end, removed_at, mark_waits: false });
        if end == SEGMENT_HEADER_BYTES {
            // What it began with was torn.
            match self.append_removed() {
                Err(error) if error.kind == DiskErrorKind::Full => {
                    // It can be read all the same; another segment is begun when there is room.
                    self.tail = None;
                    return Ok(torn_bytes);
                }
                stated => stated?,
            }
        }
        if state.marked < end || torn_bytes > 0 || end == SEGMENT_HEADER_BYTES {
            self.rewrite(number, state.marked, end)?;
            self.sync()?;
        }
        Ok(torn_bytes)
    }

    /// Writes what stands after the last mark once more, the mark included. A sync that failed before the last process
    /// ended may have left pages that are read but were never written and that no later sync would write.
    fn rewrite(&self, number: u32, marked: u64, end: u64) -> Result<(), DiskError> {
        let name = segment_name(number);
        let mut at = marked.saturating_sub(bytes(FRAME_HEADER_BYTES)).max(SEGMENT_HEADER_BYTES);
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

/// Numbers of all files that are named like segments, ascending.
fn list(disk: &dyn Disk) -> Result<Vec<u32>, DiskError> {
    let leaves = disk.list(SEGMENT_DIRECTORY)?;
    let mut segments: Vec<u32> = leaves.iter().filter_map(|leaf| segment_number(leaf)).collect();
    segments.sort_unstable();
    Ok(segments)
}

/// Whether the last file is a segment of that number. If it is what a crash left of one that was being made, it is removed.
fn ends_well(disk: &dyn Disk, segments: &mut Vec<u32>) -> Result<bool, StoreError> {
    let Some(last) = segments.last().copied() else { return Ok(true) };
    let name = segment_name(last);
    if read_header(disk, last)?.is_some() {
        return Ok(true);
    }
    let length = disk.len(&name)?;
    let mut walk = Walk::new(disk, Position { segment: last, offset: SEGMENT_HEADER_BYTES }, length, 0);
    while let Some(found) = walk.step()? {
        match found {
            Found::Gap(Gap { unreadable: false, .. }) => {}
            // The header is damaged, or cannot be read now, and the rest is there.
            _ => return Ok(true),
        }
    }
    if stated_number(disk, &name)?.is_some() || length > UNMADE_BYTES_MAX {
        return Ok(false);
    }
    disk.remove(&name)?;
    disk.sync_dir(SEGMENT_DIRECTORY)?;
    segments.pop();
    Ok(true)
}

/// What the log last said of removed segments.
fn read_removed(disk: &dyn Disk, segments: &[u32]) -> Result<Removed, StoreError> {
    for number in segments.iter().rev() {
        let end = disk.len(&segment_name(*number))?;
        if let Some(at) = last_mark(disk, *number, end)? {
            let from = Position { segment: *number, offset: at.max(SEGMENT_HEADER_BYTES) };
            if let Some(Found::Removed(removed)) = Walk::new(disk, from, end, u64::MAX).step()? {
                return Ok(removed);
            }
        }
        let from = Position { segment: *number, offset: SEGMENT_HEADER_BYTES };
        let mut walk = Walk::new(disk, from, end, u64::MAX);
        let mut latest = None;
        while let Some(found) = walk.step()? {
            if let Found::Removed(removed) = found {
                latest = Some(removed);
            }
        }
        if let Some(latest) = latest {
            return Ok(latest);
        }
    }
    Ok(Removed::default())
}

/// Whether a file stands where a segment was removed and is not that segment.
fn has_strangers(disk: &dyn Disk, segments: &[u32], removed: &Removed) -> Result<bool, StoreError> {
    for number in segments.iter().filter(|number| removed.contains(**number)) {
        if stated_number(disk, &segment_name(*number))?.is_some_and(|stated| stated != *number) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Gives segments that stand under wrong names their own, where those are free; sets other files that are no segment of
/// their number aside. `ends_badly`: the last one is no segment, whatever its header says.
fn put_names_right(
    disk: &dyn Disk,
    segments: &mut Vec<u32>,
    removed: &Removed,
    ends_badly: bool,
    report: &mut LogReport,
) -> Result<(), StoreError> {
    let last = segments.last().copied();
    for number in segments.clone() {
        let name = segment_name(number);
        let stated = stated_number(disk, &name)?;
        let is_own = match stated {
            Some(stated) => stated == number,
            // Rot in the header: everything else tells what it is.
            None => !ends_badly || Some(number) != last,
        };
        if is_own {
            continue;
        }
        let own = stated.filter(|own| !removed.contains(*own) && segments.binary_search(own).is_err());
        match own {
            Some(own) => {
                log::warn!("`{name}` is segment {own:08x} under a wrong name; it was renamed");
                disk.rename(&name, &segment_name(own))?;
                report.renamed += 1;
            }
            None => {
                let aside = free_name(disk, number)?;
                log::warn!("`{name}` does not belong to this store and was renamed to `{aside}`");
                disk.rename(&name, &aside)?;
                report.set_aside += 1;
            }
        }
        disk.sync_dir(SEGMENT_DIRECTORY)?;
        *segments = list(disk)?;
    }
    Ok(())
}

/// The number that a file states in its header, if it has one.
fn stated_number(disk: &dyn Disk, name: &str) -> Result<Option<u32>, DiskError> {
    let mut header = [0; 32];
    let read = disk.read_at(name, 0, &mut header)?;
    Ok(if read < header.len() { None } else { SegmentHeader::stated_number(&header) })
}

/// A name for a file that is to be left alone.
fn free_name(disk: &dyn Disk, number: u32) -> Result<String, DiskError> {
    let mut turn = 0_u32;
    loop {
        let name = format!("{SEGMENT_DIRECTORY}/{number:08x}.aside-{turn}");
        if !disk.exists(&name)? {
            return Ok(name);
        }
        turn += 1;
    }
}

/// Finds what stands after the last mark of the last segment.
fn survey(disk: &dyn Disk, number: u32, end: u64) -> Result<TailState, StoreError> {
    if let Some(removed_at) = last_mark(disk, number, end)? {
        return Ok(TailState { torn: Vec::new(), marked: end, removed_at });
    }
    let from = Position { segment: number, offset: SEGMENT_HEADER_BYTES };
    let mut state = TailState { torn: Vec::new(), marked: from.offset, removed_at: from.offset };
    let mut walk = Walk::new(disk, from, end, u64::MAX);
    let mut at = from.offset;
    while let Some(found) = walk.step()? {
        match found {
            Found::Mark(after) => state.marked = after,
            Found::Removed(_) => state.removed_at = at,
            _ => {}
        }
        at = walk.position().offset;
    }
    let mut walk = Walk::new(disk, Position { segment: number, offset: state.marked }, end, state.marked);
    while let Some(found) = walk.step()? {
        if let Found::Gap(gap) = found {
            state.torn.push(gap);
        }
    }
    Ok(state)
}

/// If a mark is the last thing before `end`, all was synced, and nothing else of the segment need be read: where it says that the list of
/// removed segments is.
fn last_mark(disk: &dyn Disk, number: u32, end: u64) -> Result<Option<u64>, DiskError> {
    let mark = bytes(FRAME_HEADER_BYTES);
    let Some(offset) = end.checked_sub(mark).filter(|at| *at >= SEGMENT_HEADER_BYTES) else {
        return Ok(None);
    };
    let mut found = [0; FRAME_HEADER_BYTES];
    match disk.read_at(&segment_name(number), offset, &mut found) {
        Ok(read) if read < found.len() => Ok(None),
        Ok(_) => {
            let frame = Frame::decode(&found, Position { segment: number, offset });
            let mark = frame.ok().filter(|frame| frame.kind == FrameKind::Mark);
            Ok(mark.map(|mark| mark.removed_at()))
        }
        // A place that cannot be read is the business of the walk.
        Err(error) if error.kind == DiskErrorKind::Io => Ok(None),
        Err(error) => Err(error),
    }
}

/// How much is written again at once.
const REWRITE_BYTES: usize = 64 * 1024;
/// What a crash leaves of a segment that was being made is shorter than this: a header and one frame.
const UNMADE_BYTES_MAX: u64 = 2 * 1024 * 1024;
