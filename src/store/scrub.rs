//! Scrub: everything that is kept is read again, a little at a time, so that rot is found while other nodes still have copies.
//!
//! Owns where it is and what counts as found: records in the order of the log, then all of the index. What is damaged is set aside and told; a
//! body behind a damaged header is whole, and saved; a segment with a damaged place is compacted next. Refuses to choose its pace: the caller gives
//! a budget. What it met of the log is more exact than what is counted, so it puts that right. Read `chunks.rs` first.

use std::sync::Arc;

use super::chunks::Chunks;
use super::error::StoreError;
use super::log::read_header;
use super::request::{Compacted, Scrubbed};
use super::segment::{bytes, Location, Position, FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES};
use super::walk::{Found, Gap, Walk};
use crate::base::ids::ChunkId;
use crate::base::limits::{PAGE_IDS_MAX, SCRUB_GAPS_MAX, SCRUB_SAVES_MAX};

/// Where a scrub is.
#[derive(Debug)]
pub(super) struct Scrub {
    /// What it reads now.
    stage: Stage,
    /// Damaged places of the segment at hand.
    gaps: Vec<Gap>,
    /// Drops of the segment at hand that are still needed.
    drops: u32,
    /// Whether the segment at hand was read from its beginning.
    whole: bool,
    /// Segments finished since the position was saved.
    unsaved: usize,
}

/// What a scrub reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The log; this is where the next frame is.
    Log(Position),
    /// The index; ids up to this one were read.
    Index(Option<ChunkId>),
}

impl Scrub {
    /// A scrub that begins with that segment, or the next that is there.
    pub(super) fn from(segment: u32) -> Self {
        let stage = Stage::Log(Position { segment, offset: 0 });
        Self { stage, gaps: Vec::new(), drops: 0, whole: false, unsaved: 0 }
    }
}

impl Chunks {
    /// Goes on reading until about `budget` bytes were read.
    ///
    /// # Errors
    /// When the disk fails as a whole; it is gone on with next time.
    pub fn scrub(&mut self, budget: u64) -> Result<Scrubbed, StoreError> {
        let mut done = Scrubbed::default();
        while done.bytes < budget && !done.finished && done.damaged.len() < PAGE_IDS_MAX {
            match self.scrub.stage {
                Stage::Log(at) => self.scrub_log(at, budget, &mut done)?,
                Stage::Index(after) => self.scrub_index(after, &mut done)?,
            }
        }
        let segments = self.log.segments();
        let from = match self.scrub.stage {
            Stage::Log(at) => segments.partition_point(|number| *number < at.segment),
            Stage::Index(_) => segments.len(),
        };
        (done.segments, done.segments_left) = (bytes(segments.len()), bytes(segments.len() - from));
        self.flush_if_full();
        Ok(done)
    }

    /// The scrub begins with that segment: an earlier run of the program came so far.
    pub fn scrub_from(&mut self, segment: u32) {
        self.scrub = Scrub::from(segment);
    }

    /// Where to go on after a restart, if it is time to save that: seldom enough that an idle disk stays idle.
    pub fn scrub_to_save(&mut self) -> Option<u32> {
        let often = self.log.segments().len() / SCRUB_SAVES_MAX;
        if self.scrub.unsaved <= often {
            return None;
        }
        self.scrub.unsaved = 0;
        match self.scrub.stage {
            Stage::Log(at) => Some(at.segment),
            Stage::Index(_) => Some(u32::MAX),
        }
    }

    /// Reads frames from `at` on.
    fn scrub_log(&mut self, at: Position, budget: u64, done: &mut Scrubbed) -> Result<(), StoreError> {
        let segments = self.log.segments();
        let place = segments.partition_point(|number| *number < at.segment);
        let Some(segment) = segments.get(place).copied() else {
            self.index.check_footers(&self.log, &mut self.report)?;
            self.scrub.stage = Stage::Index(None);
            return Ok(());
        };
        let end = self.readable_end(segment)?;
        let mut offset = at.offset;
        if segment != at.segment || offset < SEGMENT_HEADER_BYTES {
            offset = self.begin_segment(segment, end, done)?;
        }
        let disk = Arc::clone(&self.disk);
        let length = self.log.length_of(segment)?;
        let mut walk = Walk::new(&*disk, Position { segment, offset }, end.min(length), u64::MAX);
        while done.bytes < budget && done.damaged.len() < PAGE_IDS_MAX {
            let Some(found) = walk.step()? else {
                return self.end_segment(segment, done);
            };
            done.bytes += bytes(FRAME_HEADER_BYTES);
            match found {
                Found::Chunk(id, location, _) => {
                    if self.index.find(&self.log, &id, &mut self.report)? == Some(location) {
                        done.bytes += u64::from(location.length);
                        done.chunks += 1;
                        self.scrub_one(id, location, done)?;
                    }
                }
                Found::Drop(_, said) => {
                    let target = said.location.segment;
                    self.scrub.drops += u32::from(target != segment && self.log.has(target));
                }
                Found::Gap(gap) => self.note_gap(segment, gap, done),
                Found::Mark(_) | Found::Void | Found::Removed(_) => {}
            }
            self.scrub.stage = Stage::Log(walk.position());
        }
        Ok(())
    }

    /// Where the part of a segment ends that is durable.
    fn readable_end(&self, segment: u32) -> Result<u64, StoreError> {
        let synced = self.log.synced();
        if segment == synced.segment {
            return Ok(synced.offset);
        }
        self.log.stated_end_of(segment)
    }

    /// Looks at a segment's header and length; gives where its frames begin.
    fn begin_segment(&mut self, segment: u32, end: u64, done: &mut Scrubbed) -> Result<u64, StoreError> {
        self.scrub.gaps.clear();
        (self.scrub.drops, self.scrub.whole) = (0, true);
        if read_header(&*self.disk, segment)?.is_none() {
            let gap = Gap { from: 0, to: SEGMENT_HEADER_BYTES, unreadable: false };
            self.note_gap(segment, gap, done);
        }
        let length = self.log.length_of(segment)?;
        if length < end {
            self.note_gap(segment, Gap { from: length, to: end, unreadable: false }, done);
        }
        self.scrub.stage = Stage::Log(Position { segment, offset: SEGMENT_HEADER_BYTES });
        Ok(SEGMENT_HEADER_BYTES)
    }

    /// Reads a chunk and checks it.
    fn scrub_one(&mut self, id: ChunkId, location: Location, done: &mut Scrubbed) -> Result<(), StoreError> {
        let sick = self.urgent.sick.len();
        match self.read_at(&id, location) {
            Ok(_) => {
                // The chunk is right, and something of its record is not.
                done.places += bytes(self.urgent.sick.len() - sick);
                Ok(())
            }
            Err(StoreError::Damaged { id }) => {
                done.damaged.push(id);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Takes note of a damaged place.
    fn note_gap(&mut self, segment: u32, gap: Gap, done: &mut Scrubbed) {
        log::error!(
            "bytes {} to {} of segment {segment:08x} are damaged; what stands there is saved or counts as missing",
            gap.from,
            gap.to
        );
        done.places += 1;
        self.urgent.sick.insert(segment);
        if self.scrub.gaps.len() < SCRUB_GAPS_MAX {
            self.scrub.gaps.push(gap);
        } else if let Some(last) = self.scrub.gaps.last_mut() {
            last.to = last.to.max(gap.to);
        }
    }

    /// Saves what stands in the damaged places of a segment, and goes on with the next.
    fn end_segment(&mut self, segment: u32, done: &mut Scrubbed) -> Result<(), StoreError> {
        let gaps = std::mem::take(&mut self.scrub.gaps);
        if !gaps.is_empty() {
            self.rescue(segment, &gaps, done)?;
        } else if self.scrub.whole {
            let drops = self.scrub.drops;
            self.index.usage_mut().set_drops(segment, drops);
        }
        self.scrub.unsaved = self.scrub.unsaved.saturating_add(1);
        self.scrub.stage = Stage::Log(Position { segment: segment + 1, offset: 0 });
        Ok(())
    }

    /// Reads all records that the index knows in these places; those whose bodies are whole are written anew.
    fn rescue(&mut self, segment: u32, gaps: &[Gap], done: &mut Scrubbed) -> Result<(), StoreError> {
        let mut after: Option<ChunkId> = None;
        let mut moved = Compacted::default();
        loop {
            let page = self.index.page(&self.log, after.as_ref(), PAGE_IDS_MAX, &mut self.report)?;
            for (id, location) in page.iter().filter(|(_, location)| location.segment == segment) {
                let at = u64::from(location.offset);
                if gaps.iter().any(|gap| gap.from <= at && at < gap.to) {
                    self.move_one(*id, *location, &mut moved)?;
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE_IDS_MAX => after = Some(*last),
                _ => break,
            }
        }
        done.damaged.append(&mut moved.damaged);
        Ok(())
    }

    /// Reads a page of the index. Damaged blocks are built anew on the way; what is said to be in no segment is missing.
    fn scrub_index(&mut self, after: Option<ChunkId>, done: &mut Scrubbed) -> Result<(), StoreError> {
        let page = self.index.page(&self.log, after.as_ref(), PAGE_IDS_MAX, &mut self.report)?;
        done.bytes += bytes(page.len()) * ENTRY_COST + ENTRY_COST;
        for (id, location) in &page {
            if !self.log.has(location.segment) {
                self.scrub_one(*id, *location, done)?;
            }
        }
        match page.last() {
            Some((last, _)) if page.len() == PAGE_IDS_MAX => self.scrub.stage = Stage::Index(Some(*last)),
            _ => {
                self.scrub = Scrub { unsaved: usize::MAX, ..Scrub::from(0) };
                done.finished = true;
            }
        }
        Ok(())
    }
}

/// What an entry of the index counts for in the budget, in bytes.
const ENTRY_COST: u64 = 44;
