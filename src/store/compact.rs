//! Compaction: a segment of which half is dead is given back, its live records appended anew.
//!
//! ```text
//!  choose -> Copying -> (Searching, where the segment is damaged) -> Removing -> the segment is gone
//!               |  ^                                                   |
//!               v  |  the caller says which dropped chunks are held    v
//!              asking <------------------------------------------------+
//! ```
//!
//! Owns the order that makes this safe: copies are synced, runs cover all that the segment said, dropped chunks are asked for once more, the
//! log states that the segment is gone, and only then is it removed. A crash anywhere before leaves doubles, which the log itself
//! puts right; so nothing about compaction is remembered but in memory. Refuses to choose when: the caller gives a budget.
//! Read `chunks.rs` and FORMAT.md, "Removed segments", first.

use std::sync::Arc;

use super::chunks::Chunks;
use super::delta::Change;
use super::error::StoreError;
use super::request::{CompactState, Compacted};
use super::segment::{
    bytes, moved_from, Frame, Location, Position, FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES,
};
use super::walk::{Dropped, Found, Walk};
use crate::base::ids::ChunkId;
use crate::base::limits::PAGE_IDS_MAX;

/// A segment that is being compacted.
#[derive(Debug)]
pub(super) struct Compaction {
    /// Which.
    segment: u32,
    /// Where it ends.
    end: u64,
    /// How far this is.
    stage: Stage,
    /// Chunks whose records go with the segment and that are nowhere else: the caller is asked whether they are held.
    doubtful: Vec<(ChunkId, Location)>,
    /// Whether the caller was asked for these, and not only for some of them.
    asked: bool,
    /// Whether a place was met that no frame explains.
    damaged: bool,
    /// Syncs that had failed when this began: after another one it begins again.
    syncs_failed: u64,
}

/// How far a compaction is.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Frames before this offset were dealt with.
    Copying(u64),
    /// The index is searched for records that the walk did not meet; ids up to this one were.
    Searching(Option<ChunkId>),
    /// All that lives is elsewhere.
    Removing,
}

/// What a step came to.
enum Step {
    /// There is more to do.
    Goes,
    /// The caller is to be asked.
    Asks,
    /// The segment is gone.
    Ends,
}

impl Chunks {
    /// Goes on compacting until about `budget` bytes were read and written. `keep`: those of the chunks asked for last that are held.
    ///
    /// # Errors
    /// When the disk fails; what was begun is gone on with next time.
    pub fn compact(&mut self, budget: u64, keep: &[ChunkId]) -> Result<Compacted, StoreError> {
        let mut done = Compacted::default();
        let job = match self.compaction.take() {
            Some(job) => Some(job),
            None => self.choose()?.map(|segment| self.begin(segment)).transpose()?,
        };
        let Some(mut job) = job else { return Ok(done) };
        let result = self.go_on(&mut job, budget, keep, &mut done);
        // Where there is no room for what lives in this one there may be for another; what was moved stays moved.
        if !matches!(result, Ok(Step::Ends) | Err(StoreError::Full { .. })) {
            self.compaction = Some(job);
        }
        self.flush_if_full();
        result.map(|_| done)
    }

    /// Carries out steps of `job` while the budget lasts.
    fn go_on(
        &mut self,
        job: &mut Compaction,
        budget: u64,
        keep: &[ChunkId],
        done: &mut Compacted,
    ) -> Result<Step, StoreError> {
        done.state = CompactState::Working;
        if std::mem::take(&mut job.asked) && self.syncs_failed == job.syncs_failed {
            // If this fails the caller is asked again.
            self.keep_held(job, keep, done)?;
        }
        let mut spent = 0;
        while spent < budget {
            if self.syncs_failed != job.syncs_failed {
                // What was copied may be lost.
                *job = self.begin(job.segment)?;
            }
            let step = match job.stage {
                Stage::Copying(at) => self.copy(job, at, budget, &mut spent, done)?,
                Stage::Searching(after) => {
                    spent = spent.saturating_add(SEARCH_COST);
                    self.search(job, after, done)?
                }
                Stage::Removing => self.finish(job, done)?,
            };
            match step {
                Step::Goes => {}
                Step::Asks => {
                    job.asked = true;
                    done.state = CompactState::Asking;
                    done.asks = job.doubtful.iter().map(|(id, _)| *id).collect();
                    return Ok(step);
                }
                Step::Ends => return Ok(step),
            }
        }
        Ok(Step::Goes)
    }

    /// The segment to compact next: one that is damaged or hastened, if there is room for what lives in it, else the one with the most dead bytes, if that is
    /// at least half of it.
    fn choose(&mut self) -> Result<Option<u32>, StoreError> {
        let segments = self.log.segments();
        let Some((_, closed)) = segments.split_last() else { return Ok(None) };
        if self.urgent.segments().next().is_some() {
            let free = self.disk.free_bytes()?;
            let urgent = self.urgent.segments().find(|segment| {
                closed.contains(segment)
                    && self.log.may_remove(*segment)
                    && self.index.usage().row(*segment).used_bytes() <= free
            });
            if urgent.is_some() {
                return Ok(urgent);
            }
        }
        let mut best: Option<(u64, u32)> = None;
        for segment in closed.iter().copied() {
            let used = self.index.usage().row(segment).used_bytes() + SEGMENT_HEADER_BYTES;
            if used > self.log.bytes_max() / 2 || !self.log.may_remove(segment) {
                continue;
            }
            let length = match self.lengths.get(&segment) {
                Some(length) => *length,
                None => {
                    let length = self.log.length_of(segment)?;
                    self.lengths.insert(segment, length);
                    length
                }
            };
            let dead = length.saturating_sub(used);
            if dead >= length / 2 && best.is_none_or(|(most, _)| dead > most) {
                best = Some((dead, segment));
            }
        }
        Ok(best.map(|(_, segment)| segment))
    }

    /// A compaction of that segment, at its beginning.
    fn begin(&self, segment: u32) -> Result<Compaction, StoreError> {
        Ok(Compaction {
            segment,
            end: self.log.end_of(segment)?,
            stage: Stage::Copying(SEGMENT_HEADER_BYTES),
            doubtful: Vec::new(),
            asked: false,
            damaged: false,
            syncs_failed: self.syncs_failed,
        })
    }

    /// Walks through the segment and appends anew what lives.
    fn copy(
        &mut self,
        job: &mut Compaction,
        at: u64,
        budget: u64,
        spent: &mut u64,
        done: &mut Compacted,
    ) -> Result<Step, StoreError> {
        let disk = Arc::clone(&self.disk);
        let mut walk = Walk::new(&*disk, Position { segment: job.segment, offset: at }, job.end, u64::MAX);
        while *spent < budget && self.syncs_failed == job.syncs_failed {
            if job.doubtful.len() >= PAGE_IDS_MAX {
                return Ok(Step::Asks);
            }
            let Some(found) = walk.step()? else {
                let is_empty = self.index.usage().row(job.segment).chunks == 0;
                job.stage = if is_empty && !job.damaged { Stage::Removing } else { Stage::Searching(None) };
                return Ok(Step::Goes);
            };
            *spent = spent.saturating_add(bytes(FRAME_HEADER_BYTES));
            match found {
                Found::Chunk(id, location, note) => {
                    if let Some(source) = moved_from(note, job.segment, |number| self.log.has(number)) {
                        // It must go first: what is dropped from here might else come back from there.
                        *job = self.begin(source)?;
                        return Ok(Step::Goes);
                    }
                    let known = self.index.find(&self.log, &id, &mut self.report)?;
                    match known {
                        Some(known) if known == location => {
                            *spent = spent.saturating_add(2 * u64::from(location.length));
                            self.move_one(id, location, done)?;
                        }
                        Some(_) => {}
                        None => job.doubtful.push((id, location)),
                    }
                }
                Found::Drop(id, said) => self.say_again(job.segment, id, &said)?,
                Found::Gap(_) => job.damaged = true,
                Found::Mark(_) | Found::Void | Found::Removed(_) => {}
            }
            job.stage = Stage::Copying(walk.position().offset);
        }
        Ok(Step::Goes)
    }

    /// Searches a page of the index for records of the segment that the walk did not meet.
    fn search(
        &mut self,
        job: &mut Compaction,
        after: Option<ChunkId>,
        done: &mut Compacted,
    ) -> Result<Step, StoreError> {
        let page = self.index.page(&self.log, after.as_ref(), PAGE_IDS_MAX, &mut self.report)?;
        for (id, location) in page.iter().filter(|(_, location)| location.segment == job.segment) {
            self.move_one(*id, *location, done)?;
        }
        job.stage = match page.last() {
            Some((last, _)) if page.len() == PAGE_IDS_MAX => Stage::Searching(Some(*last)),
            _ => Stage::Removing,
        };
        Ok(Step::Goes)
    }

    /// Appends a live record anew; one that is damaged is set aside.
    pub(super) fn move_one(
        &mut self,
        id: ChunkId,
        location: Location,
        done: &mut Compacted,
    ) -> Result<(), StoreError> {
        self.keep_bounded()?;
        let frame = Frame::moved(id, location.length, location.segment);
        self.make_way(&frame);
        if self.index.find(&self.log, &id, &mut self.report)? != Some(location) {
            return Ok(());
        }
        match self.read_at(&id, location) {
            Ok(sealed) => {
                let to = self.append_frame(&frame, &sealed)?;
                self.take_in(None, id, Change::Moved(location, to));
                done.copied_bytes += frame.total();
                self.flush_if_full();
                Ok(())
            }
            Err(StoreError::Damaged { id }) => {
                done.damaged.push(id);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Appends a drop anew if the record that it hides is in a segment that stays.
    fn say_again(&mut self, segment: u32, id: ChunkId, said: &Dropped) -> Result<(), StoreError> {
        if said.location.segment == segment || !self.log.has(said.location.segment) {
            return Ok(());
        }
        self.keep_bounded()?;
        self.make_way(&Frame::drop_of(id, said.damaged));
        let at = self.log.append_drop(id, &said.location, Some(said.first), said.damaged)?;
        self.take_in(None, id, Change::Kept(said.first, at));
        self.flush_if_full();
        Ok(())
    }

    /// Brings back those of the doubtful chunks that are held.
    fn keep_held(
        &mut self,
        job: &mut Compaction,
        keep: &[ChunkId],
        done: &mut Compacted,
    ) -> Result<(), StoreError> {
        while let Some((id, location)) = job.doubtful.last().copied() {
            if keep.contains(&id) && self.index.find(&self.log, &id, &mut self.report)?.is_none() {
                self.bring_back(id, location, done)?;
            }
            job.doubtful.pop();
        }
        Ok(())
    }

    /// Puts a chunk again whose record is still there, though it was dropped.
    fn bring_back(
        &mut self,
        id: ChunkId,
        location: Location,
        done: &mut Compacted,
    ) -> Result<(), StoreError> {
        self.keep_bounded()?;
        let frame = Frame::moved(id, location.length, location.segment);
        self.make_way(&frame);
        let Some(sealed) = self.read_once(&id, location)? else { return Ok(()) };
        log::warn!("chunk {} was given up and is held after all; it is kept", id.short());
        let to = self.append_frame(&frame, &sealed)?;
        self.take_in(None, id, Change::Put(to));
        done.copied_bytes += frame.total();
        done.kept += 1;
        Ok(())
    }

    /// Removes the segment, when everything of it that counts is durable elsewhere.
    fn finish(&mut self, job: &mut Compaction, done: &mut Compacted) -> Result<Step, StoreError> {
        if !job.doubtful.is_empty() {
            return Ok(Step::Asks);
        }
        self.flush()?;
        if self.syncs_failed != job.syncs_failed {
            return Ok(Step::Goes);
        }
        if self.index.covered().segment <= job.segment {
            // Else a crash might make somebody ask the log for what only this segment told.
            self.index.write_map(&self.log)?;
        }
        self.log.remove_segment(job.segment)?;
        self.index.usage_mut().remove(job.segment);
        self.lengths.remove(&job.segment);
        self.urgent.removed(job.segment);
        done.removed_segments += 1;
        done.freed_bytes += job.end;
        Ok(Step::Ends)
    }
}

/// What a page of the index costs to search, in bytes.
const SEARCH_COST: u64 = 64 * 1024;
