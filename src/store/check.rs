//! A store without its node: is everything there, and what is it? Nothing is changed.
//!
//! Owns the comparison of the log with its index and the reading of every chunk, in the order in which they stand on the disk. The store
//! is opened as ever, on an [`Overlay`] that keeps its repairs in memory. Memory is bounded: the lists of what is wrong end at
//! [`CHECK_LIST_MAX`], what is beyond is only counted. Read `log.rs` and `index.rs` first.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::chunks::Chunks;
use super::disk::{Disk, DiskError};
use super::error::StoreError;
use super::feeds::{Feeds, STATE_NAME};
use super::log::replay;
use super::overlay::Overlay;
use super::reading::head_of;
use super::request::{OpenReport, StoreOptions};
use super::run::prefix;
use super::segment::{
    bytes, checksum, is_chunk, segment_name, Location, Position, FRAME_HEADER_BYTES, FRAME_TRAILER_BYTES,
    SEGMENT_DIRECTORY,
};
use super::walk::{Found, Gap};
use crate::base::ids::{ChunkId, FeedId};
use crate::base::limits::{CHECK_LIST_MAX, CHECK_PENDING_MAX, ENTRIES_PAGE_BYTES_MAX, PAGE_IDS_MAX};

/// Something that is whole.
#[derive(Debug, Clone, Copy)]
pub enum Whole<'a> {
    /// A chunk: its id and its sealed bytes.
    Chunk(&'a ChunkId, &'a [u8]),
    /// A feed entry: the feed, its place there, its signed bytes.
    Entry(&'a FeedId, u64, &'a [u8]),
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// Chunks that are whole.
    pub chunks: u64,
    /// Their sealed bytes.
    pub bytes: u64,
    /// Feed entries.
    pub entries: u64,
    /// Records of chunks that were dropped or stored again since.
    pub dead: u64,
    /// Chunks whose bytes are not what they were.
    pub damaged: Named,
    /// Chunks that the index has and the log has not.
    pub missing: Named,
    /// Chunks that the log has and the index has not; None: damage of the log hides whether there are any.
    pub unindexed: Option<u64>,
    /// Places of segments that no record explains.
    pub rotten_places: u64,
    /// Bytes in them.
    pub rotten_bytes: u64,
    /// What the next start is going to repair.
    pub open: OpenReport,
    /// Why feed entries and settings cannot be read.
    pub state: Option<StoreError>,
}

/// Chunks that something is wrong with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// How many.
    pub count: u64,
    /// The first of them.
    pub ids: Vec<ChunkId>,
}

impl Named {
    /// One more.
    fn add(&mut self, id: ChunkId) {
        self.count += 1;
        if self.ids.len() < CHECK_LIST_MAX {
            self.ids.push(id);
        }
    }
}

impl CheckReport {
    /// Whether nothing that was stored is lost or damaged. What the next start repairs by itself is neither.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damaged.count == 0
            && self.missing.count == 0
            && self.unindexed == Some(0)
            && self.rotten_places == 0
            && self.open.segments_lost == 0
            && self.state.is_none()
    }
}

/// Reads and checks all that is in `disk`, which is not written to; `each` gets what is whole.
///
/// # Errors
/// When there is no store, a newer version wrote it, the disk fails as a whole, or `each` does.
pub fn check(
    disk: Arc<dyn Disk>,
    each: &mut dyn FnMut(Whole<'_>) -> Result<(), DiskError>,
) -> Result<CheckReport, StoreError> {
    let mut report = CheckReport::default();
    let has_state = disk.exists(STATE_NAME)?;
    if !disk.exists(SEGMENT_DIRECTORY)? {
        let reason = if has_state { "it is missing, and state.redb is there" } else { "there is no store" };
        return Err(lost(SEGMENT_DIRECTORY, reason));
    }
    let overlay: Arc<dyn Disk> = Arc::new(Overlay::new(disk));
    report.state = match has_state.then(|| read_state(&overlay, &mut report.entries, each)) {
        Some(Ok(())) => None,
        Some(Err(error @ StoreError::Corrupt { .. })) => Some(error),
        Some(Err(error)) => return Err(error),
        None => Some(lost(STATE_NAME, "it is missing")),
    };
    let options = StoreOptions { reserve_bytes: 0, ..StoreOptions::default() };
    let (mut chunks, open) = Chunks::open(overlay, options)?;
    report.open = open;
    // Opening gave up what was in segments that are gone; it knows how much that was.
    report.missing.count = open.chunks_lost;
    let gaps = read_log(&mut chunks, &mut report, each)?;
    let (indexed, _) = chunks.index.usage().sum();
    if indexed != report.chunks + report.damaged.count {
        account_for_rest(&mut chunks, &gaps, &mut report, each)?;
    }
    // A log that ends before its index does is told by whoever opens it.
    report.rotten_places = report.rotten_places.max(report.open.rotten_places);
    report.rotten_bytes = report.rotten_bytes.max(report.open.rotten_bytes);
    report.open.runs_discarded = report.open.runs_discarded.max(chunks.report.runs_discarded);
    Ok(report)
}

/// Walks the log, reads what counts, and compares each record with the index. Gives the places that no record explains, in order.
fn read_log(
    chunks: &mut Chunks,
    report: &mut CheckReport,
    each: &mut dyn FnMut(Whole<'_>) -> Result<(), DiskError>,
) -> Result<Gaps, StoreError> {
    let mut gaps = Gaps::default();
    // Records that the index does not have, until the log says that they were dropped: beginnings of ids.
    let mut pending = BTreeSet::new();
    let Chunks { disk, log, index, report: met, .. } = chunks;
    replay(log, Position::START, log.synced(), &mut |found, behind| {
        match found {
            Found::Chunk(id, location, _) => match index.find(log, &id, met)? {
                Some(newest) if newest == location => match body(&**disk, &id, location) {
                    Some(sealed) => {
                        report.chunks += 1;
                        report.bytes += bytes(sealed.len());
                        each(Whole::Chunk(&id, &sealed))?;
                    }
                    None => report.damaged.add(id),
                },
                Some(newest) if newest.position() > location.position() => report.dead += 1,
                _ => {
                    report.dead += 1;
                    if pending.len() < CHECK_PENDING_MAX {
                        pending.insert(prefix(&id.as_bytes()[..]));
                    }
                }
            },
            Found::Drop(id, ..) => drop(pending.remove(&prefix(&id.as_bytes()[..]))),
            Found::Gap(gap) => {
                report.rotten_places += 1;
                report.rotten_bytes += gap.to - gap.from;
                gaps.add(&gap, behind);
            }
            Found::Mark(_) | Found::Void | Found::Removed(_) => {}
        }
        Ok(())
    })?;
    // Behind damage nothing is believed to be a drop, so what was dropped there cannot be told from what was forgotten.
    let is_known = report.rotten_places == 0 && pending.len() < CHECK_PENDING_MAX;
    report.unindexed = is_known.then(|| bytes(pending.len()));
    Ok(gaps)
}

/// Places of the log that no record explains, in order: segment, begin and end. After [`CHECK_PENDING_MAX`] no more are kept.
#[derive(Debug, Default)]
struct Gaps(Vec<(u32, u64, u64)>);

impl Gaps {
    /// One more, which ends at `behind`; the gap that stands for a segment that is gone lies in none.
    fn add(&mut self, gap: &Gap, behind: Position) {
        if behind.offset == gap.to && self.0.len() < CHECK_PENDING_MAX {
            self.0.push((behind.segment, gap.from, gap.to));
        }
    }

    /// Whether the record at `location` begins in one.
    fn cover(&self, location: Location) -> bool {
        let at = (location.segment, u64::from(location.offset));
        let next = self.0.partition_point(|(segment, from, _)| (*segment, *from) <= at);
        self.0[..next].last().is_some_and(|(segment, _, to)| *segment == at.0 && at.1 < *to)
    }
}

/// What is in the index and was not met in the log: behind damage the walk believes no head, so the index says what stands there. A body
/// that is right counts though its head is not; a chunk whose head and body are gone is missing.
fn account_for_rest(
    chunks: &mut Chunks,
    gaps: &Gaps,
    report: &mut CheckReport,
    each: &mut dyn FnMut(Whole<'_>) -> Result<(), DiskError>,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = chunks.index.page(&chunks.log, after.as_ref(), PAGE_IDS_MAX, &mut chunks.report)?;
        for (id, location) in &page {
            let in_gap = gaps.cover(*location);
            if let Some(sealed) = in_gap.then(|| body(&*chunks.disk, id, *location)).flatten() {
                report.chunks += 1;
                report.bytes += bytes(sealed.len());
                each(Whole::Chunk(id, &sealed))?;
                continue;
            }
            match head_of(&*chunks.disk, *location) {
                Ok(Some(frame)) if frame.id == *id && in_gap => report.damaged.add(*id),
                Ok(Some(frame)) if frame.id == *id => {}
                _ => report.missing.add(*id),
            }
        }
        match page.last() {
            Some((id, _)) if page.len() == PAGE_IDS_MAX => after = Some(*id),
            _ => return Ok(()),
        }
    }
}

/// Reads all feed entries.
fn read_state(
    disk: &Arc<dyn Disk>,
    count: &mut u64,
    each: &mut dyn FnMut(Whole<'_>) -> Result<(), DiskError>,
) -> Result<(), StoreError> {
    let mut feeds = Feeds::open(Arc::clone(disk))?;
    let mut after: Option<(FeedId, u64)> = None;
    loop {
        let (page, more) = feeds.entries(None, after.as_ref(), ENTRIES_PAGE_BYTES_MAX)?;
        for (feed, sequence, entry) in &page {
            each(Whole::Entry(feed, *sequence, entry))?;
            *count += 1;
            after = Some((*feed, *sequence));
        }
        if !more {
            return Ok(());
        }
    }
}

/// The sealed bytes of the chunk at `location`, if they are what they were.
fn body(disk: &dyn Disk, id: &ChunkId, location: Location) -> Option<Vec<u8>> {
    let length = usize::try_from(location.length).ok()?;
    let mut record = vec![0; length.checked_add(FRAME_TRAILER_BYTES)?];
    let at = u64::from(location.offset) + bytes(FRAME_HEADER_BYTES);
    let read = disk.read_at(&segment_name(location.segment), at, &mut record).ok()?;
    let (sealed, sum) = record.split_at(length);
    let whole = read == record.len() && *sum == checksum(sealed) && is_chunk(id, sealed);
    record.truncate(length);
    whole.then_some(record)
}

/// Something is not there.
fn lost(name: &str, reason: &str) -> StoreError {
    StoreError::Corrupt { name: name.to_owned(), reason: reason.to_owned() }
}
