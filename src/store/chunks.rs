//! Chunks: put, get, has, scan; the log and its index as one thing.
//!
//! Owns what is acknowledged and when: a put is answered after the sync that covers it, and after a failed sync with
//! an error, its chunk forgotten. A chunk whose bytes do not match its id is set aside durably, so that it counts as missing
//! and can be put again. Refuses puts that would use the reserve. Read `log.rs` and `index.rs` first.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::compact::Compaction;
use super::delta::Change;
use super::disk::{Disk, DiskError};
use super::dropping::Urgent;
use super::error::StoreError;
use super::index::Index;
use super::log::Log;
use super::request::{Dropped, Op, OpenReport, Reply, ScanState, StoreOptions, StoreStats};
use super::run::Entry;
use super::runs::IndexReport;
use super::scrub::Scrub;
use super::segment::{bytes, Frame, Location};
use crate::base::ids::ChunkId;
use crate::base::limits::{
    GROUP_BYTES_MAX, GROUP_CHUNKS_MAX, MERGE_STEPS_PER_CHUNK, PAGE_IDS_MAX, SEALED_BYTES_MAX,
};

/// All chunks of a data home.
#[derive(Debug)]
pub struct Chunks {
    /// Where they are.
    pub(super) disk: Arc<dyn Disk>,
    /// Their records.
    pub(super) log: Log,
    /// Where each record is.
    pub(super) index: Index,
    /// Facts that wait for the next sync, in order.
    pub(super) group: Vec<Waiting>,
    /// Requests to give chunks up that wait for it too.
    pub(super) drops: Vec<(Op, Dropped)>,
    /// Bytes that wait.
    pub(super) group_bytes: u64,
    /// Bytes that may be written before the disk is asked again how much is free.
    room_bytes: u64,
    /// Damage that was found, since the store was opened.
    pub(super) report: IndexReport,
    /// Answers that are ready.
    pub(super) replies: Vec<Reply>,
    /// Sealed bytes of chunks that were new.
    pub(super) payload_bytes: u64,
    /// Groups synced.
    syncs: u64,
    /// Syncs that failed.
    pub(super) syncs_failed: u64,
    /// The segment that is being compacted.
    pub(super) compaction: Option<Compaction>,
    /// What is being read again.
    pub(super) scrub: Scrub,
    /// Which segments are compacted next.
    pub(super) urgent: Urgent,
    /// Lengths of closed segments, as far as they were asked for.
    pub(super) lengths: BTreeMap<u32, u64>,
}

/// One fact that waits for the next sync.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Whose put is to be answered, if it is one.
    pub(super) op: Option<Op>,
    /// The chunk.
    pub(super) id: ChunkId,
    /// What was appended, and what the index said before; `None` if an earlier fact of this group is waited for.
    pub(super) change: Option<(Change, Option<Entry>)>,
}

impl Chunks {
    /// Opens them.
    ///
    /// # Errors
    /// When the disk fails, or a newer format is found.
    pub fn open(disk: Arc<dyn Disk>, options: StoreOptions) -> Result<(Self, OpenReport), StoreError> {
        let (log, found) = Log::open(Arc::clone(&disk), options.segment_bytes_max)?;
        let (index, report) = Index::open(Arc::clone(&disk), &log, options)?;
        let mut open_report = OpenReport {
            new: log.segments().is_empty(),
            replayed: report.replayed,
            runs_discarded: report.runs_discarded,
            torn_bytes: found.torn_bytes,
            segments_lost: bytes(found.lost.len()),
            segments_renamed: found.renamed,
            files_set_aside: found.set_aside,
            chunks_lost: 0,
            rotten_places: report.rotten_places,
            rotten_bytes: report.rotten_bytes,
        };
        let mut chunks = Self {
            disk,
            log,
            index,
            group: Vec::new(),
            drops: Vec::new(),
            group_bytes: 0,
            room_bytes: 0,
            report,
            replies: Vec::new(),
            payload_bytes: 0,
            syncs: 0,
            syncs_failed: 0,
            compaction: None,
            scrub: Scrub::from(0),
            urgent: Urgent::default(),
            lengths: BTreeMap::new(),
        };
        chunks.give_up_lost(&found.lost, &mut open_report);
        Ok((chunks, open_report))
    }

    /// What is written from now on is seldom read: the system need not keep more than the newest of it in memory.
    pub const fn stream(&mut self) {
        self.log.streams = true;
    }

    /// Moves the answers that are ready to `replies`.
    pub fn drain(&mut self, replies: &mut Vec<Reply>) {
        replies.append(&mut self.replies);
    }

    /// Keeps a chunk; the reply comes now, or with the sync that covers it.
    pub fn put(&mut self, op: Op, id: ChunkId, sealed: &[u8]) {
        match self.append(op, id, sealed) {
            Ok(true) => {}
            Ok(false) => self.replies.push(Reply::Put { op, id, bytes: 0, result: Ok(false) }),
            Err(error) => self.replies.push(Reply::Put { op, id, bytes: 0, result: Err(error) }),
        }
        self.flush_if_full();
    }

    /// Where a chunk is.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn find(&mut self, id: &ChunkId) -> Result<Option<Location>, StoreError> {
        self.index.find(&self.log, id, &mut self.report)
    }

    /// Whether a chunk is here, by the index.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn has(&mut self, id: &ChunkId) -> Result<bool, StoreError> {
        Ok(self.find(id)?.is_some())
    }

    /// A page of all chunks in order, each read and checked if `read`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn scan(
        &mut self,
        after: Option<&ChunkId>,
        limit: usize,
        read: bool,
    ) -> Result<(Vec<(ChunkId, ScanState)>, bool), StoreError> {
        let limit = limit.min(PAGE_IDS_MAX);
        let mut page = self.index.page(&self.log, after, limit + 1, &mut self.report)?;
        let more = page.len() > limit;
        page.truncate(limit);
        let mut found = Vec::with_capacity(page.len());
        for (id, location) in page {
            let state = match read.then(|| self.read_at(&id, location)) {
                None => ScanState::Unread,
                Some(Ok(_)) => ScanState::Good,
                Some(Err(StoreError::Damaged { .. })) => ScanState::Damaged,
                Some(Err(error)) => return Err(error),
            };
            found.push((id, state));
        }
        Ok((found, more))
    }

    /// Whether something waits for a sync.
    #[must_use]
    pub fn unsynced(&self) -> bool {
        !self.group.is_empty()
    }

    /// Syncs what waits and answers its puts.
    ///
    /// # Errors
    /// When the sync fails; the puts are answered with that.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        if self.group.is_empty() {
            return Ok(());
        }
        let group = std::mem::take(&mut self.group);
        let drops = std::mem::take(&mut self.drops);
        self.group_bytes = 0;
        let durable_before = self.log.synced();
        match self.log.sync() {
            Ok(()) => {
                self.syncs += 1;
                let steps = (group.len() + 1) * MERGE_STEPS_PER_CHUNK;
                for waiting in group {
                    let bytes = match waiting.change {
                        Some((Change::Put(to), _)) => to.length,
                        _ => 0,
                    };
                    let (id, result) = (waiting.id, Ok(waiting.change.is_some()));
                    self.replies.extend(waiting.op.map(|op| Reply::Put { op, id, bytes, result }));
                }
                self.replies
                    .extend(drops.into_iter().map(|(op, dropped)| Reply::Drop { op, result: Ok(dropped) }));
                if let Err(error) = self.index.settle(&self.log, steps, &mut self.report) {
                    log::warn!("the chunk index could not be brought up to date, it is tried again: {error}");
                }
                Ok(())
            }
            Err(cause) => {
                self.syncs_failed += 1;
                log::error!("what was just written may be lost and counts as not stored: {cause}");
                let error = StoreError::NotSynced { cause };
                for waiting in group.iter().rev() {
                    if let Some((change, before)) = waiting.change {
                        self.index.undo(waiting.id, change, before);
                    }
                }
                for waiting in group {
                    let (id, result) = (waiting.id, Err(error.clone()));
                    self.replies.extend(waiting.op.map(|op| Reply::Put { op, id, bytes: 0, result }));
                }
                for (op, _) in drops {
                    self.replies.push(Reply::Drop { op, result: Err(error.clone()) });
                }
                self.check_segment(durable_before);
                Err(error)
            }
        }
    }

    /// Ends it cleanly, so that the next open has nothing to check.
    ///
    /// # Errors
    /// When the last sync fails; nobody waits for an answer any more.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.flush()?;
        self.log.sync_mark()?;
        self.index.close(&self.log)
    }

    /// Counts and sizes, but for what was written.
    ///
    /// # Errors
    /// When the disk does not tell what is free.
    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        let (chunks, sealed) = self.index.usage().sum();
        Ok(StoreStats {
            chunks,
            bytes: sealed,
            free_bytes: self.disk.free_bytes()?,
            reserve_bytes: self.index.reserve_bytes(),
            quarantined: self.index.usage().damaged,
            rotten_bytes: self.report.rotten_bytes,
            segments: bytes(self.log.segments().len()),
            runs: bytes(self.index.runs()),
            merge_wants_bytes: self.index.merge_wants_bytes(),
            wear: self.disk.wear(),
            syncs: self.syncs,
            syncs_failed: self.syncs_failed,
            ..StoreStats::default()
        })
    }

    /// What is in use of each segment: number, chunks, their sealed bytes.
    #[must_use]
    pub fn usage_by_segment(&self) -> Vec<(u32, u32, u32)> {
        self.index.usage().chunks_by_segment().collect()
    }

    /// Appends a chunk that is not here yet. `true`: the reply waits for a sync; `false`: it is here already, durably.
    fn append(&mut self, op: Op, id: ChunkId, sealed: &[u8]) -> Result<bool, StoreError> {
        let length = match u32::try_from(sealed.len()) {
            Ok(length) if sealed.len() <= SEALED_BYTES_MAX => length,
            _ => {
                return Err(StoreError::TooMuch {
                    what: "bytes",
                    found: sealed.len(),
                    limit: SEALED_BYTES_MAX,
                })
            }
        };
        if let Some(location) = self.index.find(&self.log, &id, &mut self.report)? {
            if location.position() < self.log.synced() {
                return Ok(false);
            }
            self.group.push(Waiting { op: Some(op), id, change: None });
            return Ok(true);
        }
        self.keep_bounded()?;
        let frame = Frame::chunk(id, length);
        self.take_room(frame.total())?;
        let to = self.append_frame(&frame, sealed)?;
        self.take_in(Some(op), id, Change::Put(to));
        self.payload_bytes += u64::from(length);
        Ok(true)
    }

    /// Takes in a fact that was just appended.
    pub(super) fn take_in(&mut self, op: Option<Op>, id: ChunkId, change: Change) {
        let before = self.index.apply(id, change);
        self.group.push(Waiting { op, id, change: Some((change, before)) });
        self.group_bytes += change.frame(id).total();
    }

    /// Takes nothing more in while runs could not be written for so long that too much is in memory.
    pub(super) fn keep_bounded(&mut self) -> Result<(), StoreError> {
        if self.index.is_overfull() {
            self.flush()?;
            self.index.settle(&self.log, 0, &mut self.report)?;
        }
        Ok(())
    }

    /// Syncs when much waits.
    pub(super) fn flush_if_full(&mut self) {
        if self.group_bytes >= GROUP_BYTES_MAX || self.group.len() >= GROUP_CHUNKS_MAX || self.index.is_full()
        {
            // A failure is told to those who wait.
            let _ = self.flush();
        }
    }

    /// Syncs what waits if the next frame begins a new segment. That may fail, and take back what the index says.
    pub(super) fn make_way(&mut self, frame: &Frame) {
        if self.log.must_roll(frame) {
            // If this fails its puts are answered and the segment is given up: the frame goes to a new one all the same.
            let _ = self.flush();
        }
    }

    /// Appends a frame, to a new segment if need be.
    pub(super) fn append_frame(&mut self, frame: &Frame, body: &[u8]) -> Result<Location, DiskError> {
        self.make_way(frame);
        let appended = self.log.append(frame, body);
        if appended.is_err() {
            self.room_bytes = 0;
        }
        appended
    }

    /// Makes sure that `wanted` bytes can be written without using the reserve.
    fn take_room(&mut self, wanted: u64) -> Result<(), StoreError> {
        if self.room_bytes < wanted {
            let free_bytes = self.disk.free_bytes()?;
            let reserve_bytes = self.index.reserve_bytes();
            let room = free_bytes.saturating_sub(reserve_bytes);
            if room < wanted {
                return Err(StoreError::Full { free_bytes, reserve_bytes });
            }
            // Others write to this disk as well, and so does the index: ask again soon.
            self.room_bytes = room.min(GROUP_BYTES_MAX).min(self.log.bytes_max()).max(wanted);
        }
        self.room_bytes = self.room_bytes.saturating_sub(wanted);
        Ok(())
    }
}
