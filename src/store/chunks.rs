//! Chunks: put, get, has, scan; the log and its index as one thing.
//!
//! Owns what is acknowledged and when: a put is answered after the sync that covers it, and after a failed sync with
//! an error, its chunk forgotten. A chunk whose bytes do not match its id is set aside durably, so that it counts as missing
//! and can be put again. Refuses puts that would use the reserve. Read `log.rs` and `index.rs` first.

use std::sync::Arc;

use super::delta::Change;
use super::disk::{Disk, DiskError, DiskErrorKind};
use super::error::StoreError;
use super::index::Index;
use super::log::Log;
use super::request::{Op, OpenReport, Reply, ScanState, StoreOptions, StoreStats};
use super::run::Entry;
use super::runs::IndexReport;
use super::segment::{
    bytes, checksum, is_chunk, segment_name, Frame, Location, Position, FRAME_HEADER_BYTES,
    FRAME_TRAILER_BYTES, SEGMENT_DIRECTORY, SEGMENT_HEADER_BYTES,
};
use super::walk::{Found, Walk};
use crate::base::ids::ChunkId;
use crate::base::limits::{
    GROUP_BYTES_MAX, GROUP_CHUNKS_MAX, MERGE_STEPS_PER_CHUNK, PAGE_IDS_MAX, SEALED_BYTES_MAX,
};

/// All chunks of a data home.
#[derive(Debug)]
pub struct Chunks {
    /// Where they are.
    disk: Arc<dyn Disk>,
    /// Their records.
    log: Log,
    /// Where each record is.
    index: Index,
    /// Free bytes that puts leave alone.
    reserve_bytes: u64,
    /// What waits for the next sync, in order.
    group: Vec<Waiting>,
    /// Its bytes.
    group_bytes: u64,
    /// Bytes that may be written before the disk is asked again how much is free.
    room_bytes: u64,
    /// Damage that was found, since the store was opened.
    report: IndexReport,
    /// Answers that are ready.
    replies: Vec<Reply>,
    /// Groups synced.
    syncs: u64,
    /// Syncs that failed.
    syncs_failed: u64,
}

/// One fact that waits for the next sync.
#[derive(Debug)]
struct Waiting {
    /// Who is to be answered, if anybody.
    op: Option<Op>,
    /// The chunk.
    id: ChunkId,
    /// What was appended, and what the index said before; `None` if an earlier fact of this group is waited for.
    change: Option<(Change, Option<Entry>)>,
}

impl Chunks {
    /// Opens them.
    ///
    /// # Errors
    /// When the disk fails, or a newer format is found.
    pub fn open(disk: Arc<dyn Disk>, options: StoreOptions) -> Result<(Self, OpenReport), StoreError> {
        let (log, torn_bytes) = Log::open(Arc::clone(&disk), options.segment_bytes_max)?;
        let (index, report) = Index::open(Arc::clone(&disk), &log, options.delta_entries_max)?;
        let open_report = OpenReport {
            new: log.segments().is_empty(),
            replayed: report.replayed,
            runs_discarded: report.runs_discarded,
            torn_bytes,
            rotten_places: report.rotten_places,
            rotten_bytes: report.rotten_bytes,
        };
        let chunks = Self {
            disk,
            log,
            index,
            reserve_bytes: options.reserve_bytes,
            group: Vec::new(),
            group_bytes: 0,
            room_bytes: 0,
            report,
            replies: Vec::new(),
            syncs: 0,
            syncs_failed: 0,
        };
        Ok((chunks, open_report))
    }

    /// Moves the answers that are ready to `replies`.
    pub fn drain(&mut self, replies: &mut Vec<Reply>) {
        replies.append(&mut self.replies);
    }

    /// Keeps a chunk; the reply comes now, or with the sync that covers it.
    pub fn put(&mut self, op: Op, id: ChunkId, sealed: &[u8]) {
        match self.append(op, id, sealed) {
            Ok(true) => {}
            Ok(false) => self.replies.push(Reply::Put { op, id, result: Ok(false) }),
            Err(error) => self.replies.push(Reply::Put { op, id, result: Err(error) }),
        }
        if self.group_bytes >= GROUP_BYTES_MAX || self.group.len() >= GROUP_CHUNKS_MAX || self.index.is_full()
        {
            // A failure is told to the puts of the group.
            let _ = self.flush();
        }
    }

    /// The sealed bytes of a chunk.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if they are not what they were: the chunk is set aside.
    pub fn read(&mut self, id: &ChunkId) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(location) = self.index.find(&self.log, id, &mut self.report)? else { return Ok(None) };
        self.read_at(id, location).map(Some)
    }

    /// Whether a chunk is here, by the index.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn has(&mut self, id: &ChunkId) -> Result<bool, StoreError> {
        Ok(self.index.find(&self.log, id, &mut self.report)?.is_some())
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
        self.group_bytes = 0;
        let durable_before = self.log.synced();
        match self.log.sync() {
            Ok(()) => {
                self.syncs += 1;
                let steps = (group.len() + 1) * MERGE_STEPS_PER_CHUNK;
                for waiting in group {
                    let (id, result) = (waiting.id, Ok(waiting.change.is_some()));
                    self.replies.extend(waiting.op.map(|op| Reply::Put { op, id, result }));
                }
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
                    self.replies.extend(waiting.op.map(|op| Reply::Put { op, id, result }));
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
        Ok(self.log.sync_mark()?)
    }

    /// Counts and sizes.
    ///
    /// # Errors
    /// When the disk does not tell what is free.
    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        let tally = self.index.tally();
        Ok(StoreStats {
            chunks: u64::try_from(tally.chunks).unwrap_or(0),
            bytes: u64::try_from(tally.bytes).unwrap_or(0),
            free_bytes: self.disk.free_bytes()?,
            reserve_bytes: self.reserve_bytes,
            quarantined: tally.drops,
            rotten_bytes: self.report.rotten_bytes,
            segments: bytes(self.log.segments().len()),
            runs: bytes(self.index.runs()),
            written_bytes: self.log.written_bytes(),
            index_written_bytes: self.index.written_bytes(),
            syncs: self.syncs,
            syncs_failed: self.syncs_failed,
        })
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
        if self.index.is_overfull() {
            // Runs could not be written for a while. Nothing more is taken until one can be.
            self.flush()?;
            self.index.settle(&self.log, 0, &mut self.report)?;
        }
        let frame = Frame::chunk(id, length);
        self.take_room(frame.total())?;
        let change = Change::Put(self.append_frame(&frame, sealed)?);
        let before = self.index.apply(id, change);
        self.group.push(Waiting { op: Some(op), id, change: Some((change, before)) });
        self.group_bytes += frame.total();
        Ok(true)
    }

    /// Appends a frame, to a new segment if need be.
    fn append_frame(&mut self, frame: &Frame, body: &[u8]) -> Result<Location, DiskError> {
        if self.log.must_roll(frame) {
            // If this fails its puts are answered and the segment is given up: the frame goes to a new one all the same.
            let _ = self.flush();
        }
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
            let room = free_bytes.saturating_sub(self.reserve_bytes);
            if room < wanted {
                return Err(StoreError::Full { free_bytes, reserve_bytes: self.reserve_bytes });
            }
            // Others write to this disk as well: ask again soon.
            self.room_bytes = room.min(GROUP_BYTES_MAX);
        }
        self.room_bytes = self.room_bytes.saturating_sub(wanted);
        Ok(())
    }

    /// Reads and checks the record at `location`; sets the chunk aside if it is damaged.
    fn read_at(&mut self, id: &ChunkId, location: Location) -> Result<Vec<u8>, StoreError> {
        for _ in 0..READS {
            match self.read_once(id, location) {
                Ok(Some(sealed)) => return Ok(sealed),
                Ok(None) => {}
                Err(error) if self.is_outage(&error, location) => return Err(error.into()),
                Err(_) => {}
            }
        }
        self.set_aside(*id, location);
        Err(StoreError::Damaged { id: *id })
    }

    /// Reads the record at `location`; `None` if it is not what was written.
    fn read_once(&self, id: &ChunkId, location: Location) -> Result<Option<Vec<u8>>, DiskError> {
        let length = usize::try_from(location.length).unwrap_or(usize::MAX);
        // The checksum comes in the same read, and is cut off without moving the rest.
        let mut record = vec![0; length.saturating_add(FRAME_TRAILER_BYTES)];
        let at = u64::from(location.offset) + bytes(FRAME_HEADER_BYTES);
        let read = self.disk.read_at(&segment_name(location.segment), at, &mut record)?;
        let (sealed, sum) = record.split_at(length);
        if read < record.len() || *sum != checksum(sealed) || !is_chunk(id, sealed) {
            return Ok(None);
        }
        record.truncate(length);
        Ok(Some(record))
    }

    /// Whether the disk as a whole fails, and not only the place where the record stands.
    fn is_outage(&self, error: &DiskError, location: Location) -> bool {
        match error.kind {
            DiskErrorKind::NotFound => !self.disk.exists(SEGMENT_DIRECTORY).unwrap_or(false),
            DiskErrorKind::Io => self.disk.read_at(&segment_name(location.segment), 0, &mut [0; 32]).is_err(),
            DiskErrorKind::Full | DiskErrorKind::ReadOnly => true,
        }
    }

    /// States that a chunk is not here any more.
    fn set_aside(&mut self, id: ChunkId, location: Location) {
        log::error!(
            "chunk {} is damaged and was set aside; it is to be fetched from another node",
            id.short()
        );
        // Who waits to hear that it is stored must not be told so.
        for waiting in self.group.iter_mut().filter(|waiting| waiting.id == id) {
            let reply = |op| Reply::Put { op, id, result: Err(StoreError::Damaged { id }) };
            self.replies.extend(waiting.op.take().map(reply));
        }
        let frame = Frame::drop_of(id);
        let change = Change::Drop(location);
        // If this cannot be written it is found damaged again after the next start.
        let appended = self.append_frame(&frame, &location.encode()).is_ok();
        let before = self.index.apply(id, change);
        if appended {
            self.group.push(Waiting { op: None, id, change: Some((change, before)) });
            self.group_bytes += frame.total();
        }
    }

    /// After a failed sync: reads what was durable of the segment that was given up, and sets aside what is damaged.
    fn check_segment(&mut self, durable: Position) {
        let disk = Arc::clone(&self.disk);
        let from = Position { offset: SEGMENT_HEADER_BYTES, ..durable };
        let mut walk = Walk::new(&*disk, from, durable.offset, u64::MAX);
        while let Ok(Some(found)) = walk.step() {
            let Found::Chunk(id, location) = found else { continue };
            let known = self.index.find(&self.log, &id, &mut self.report);
            if known == Ok(Some(location)) {
                match self.read_at(&id, location) {
                    Ok(_) | Err(StoreError::Damaged { .. }) => {}
                    // The disk is gone; what it holds is checked when it is read.
                    Err(_) => return,
                }
            }
        }
    }
}

/// How often a record is read before it is held to be damaged: memory and cables fail as well.
const READS: u32 = 2;
