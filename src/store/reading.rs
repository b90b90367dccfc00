//! Reading a chunk, and what becomes of one whose bytes are not what they were.
//!
//! Owns the quarantine: a damaged chunk is dropped from the log durably, so that it counts as missing and is fetched anew. Refuses
//! to take a disk that is gone for a damaged record. Read `chunks.rs` first.

use std::sync::Arc;

use super::chunks::Chunks;
use super::delta::Change;
use super::disk::{Disk, DiskError, DiskErrorKind};
use super::error::StoreError;
use super::removed::UNKNOWN;
use super::request::{OpenReport, Reply};
use super::segment::{
    bytes, checksum, is_chunk, segment_name, Frame, FrameKind, Location, Position, FRAME_HEADER_BYTES,
    FRAME_TRAILER_BYTES, SEGMENT_DIRECTORY, SEGMENT_HEADER_BYTES,
};
use super::walk::{Found, Walk};
use crate::base::ids::ChunkId;
use crate::base::limits::PAGE_IDS_MAX;

impl Chunks {
    /// The sealed bytes of a chunk. Bytes that are the chunk are right whatever their checksum says: what has rotted of the record around them
    /// is found by the scrub, and the head's rot here as well.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if they are not what they were: the chunk is set aside.
    pub fn read(&mut self, id: &ChunkId) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_if(id, |sealed, _| is_chunk(id, sealed))
    }

    /// The same for somebody who checks the bytes against the id: only their checksum is looked at.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if they are not what they were: the chunk is set aside.
    pub fn lend(&mut self, id: &ChunkId) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_if(id, |sealed, sum| *sum == checksum(sealed))
    }

    /// Reads a chunk; where its bytes are not right, or cannot be read, it is looked at more closely.
    fn read_if(
        &mut self,
        id: &ChunkId,
        is_right: impl Fn(&[u8], &Checksum) -> bool,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(location) = self.find(id)? else { return Ok(None) };
        match self.record_at(location) {
            Ok(Some((sealed, sum))) if is_right(&sealed, &sum) => {
                self.look_at_head(id, location);
                Ok(Some(sealed))
            }
            _ => self.read_at(id, location).map(Some),
        }
    }

    /// Reads and checks the record at `location`; sets the chunk aside if its bytes are not the chunk.
    pub(super) fn read_at(&mut self, id: &ChunkId, location: Location) -> Result<Vec<u8>, StoreError> {
        for _ in 0..READS {
            match self.record_at(location) {
                Ok(Some((sealed, sum))) if is_chunk(id, &sealed) => {
                    self.look_at_head(id, location);
                    if sum != checksum(&sealed) {
                        self.mark_sick(id, location, "checksum");
                    }
                    return Ok(sealed);
                }
                Ok(_) => {}
                Err(error) if self.is_outage(&error, location) => return Err(error.into()),
                Err(_) => {}
            }
        }
        self.set_aside(*id, location);
        Err(StoreError::Damaged { id: *id })
    }

    /// Reads the chunk at `location`; `None` if it is not what was written.
    pub(super) fn read_once(&self, id: &ChunkId, location: Location) -> Result<Option<Vec<u8>>, DiskError> {
        let record = self.record_at(location)?;
        Ok(record.map(|(sealed, _)| sealed).filter(|sealed| is_chunk(id, sealed)))
    }

    /// The bytes at `location` and their checksum; None if the segment ends before.
    fn record_at(&self, location: Location) -> Result<Option<(Vec<u8>, Checksum)>, DiskError> {
        let length = usize::try_from(location.length).unwrap_or(usize::MAX);
        // The checksum comes in the same read, and is cut off without moving the rest.
        let mut record = vec![0; length.saturating_add(FRAME_TRAILER_BYTES)];
        let at = u64::from(location.offset) + bytes(FRAME_HEADER_BYTES);
        let read = self.disk.read_at(&segment_name(location.segment), at, &mut record)?;
        if read < record.len() {
            return Ok(None);
        }
        let mut sum = [0; FRAME_TRAILER_BYTES];
        sum.copy_from_slice(&record[length..]);
        record.truncate(length);
        Ok(Some((record, sum)))
    }

    /// A body is found by the index, but whoever has to build that anew needs the head before it: where that has rotted, the segment
    /// is written anew soon.
    fn look_at_head(&mut self, id: &ChunkId, location: Location) {
        if head_of(&*self.disk, location).is_ok_and(|head| head.is_none_or(|frame| frame.id != *id)) {
            self.mark_sick(id, location, "head");
        }
    }

    /// A record has rotted in a place that is not its chunk: the segment is written anew soon.
    fn mark_sick(&mut self, id: &ChunkId, location: Location, place: &str) {
        if self.urgent.sick.insert(location.segment) {
            log::warn!(
                "the record of chunk {} in segment {:08x} has a damaged {place}; its bytes are right and are saved by the next compaction",
                id.short(),
                location.segment
            );
        }
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
        self.quarantine(id, location);
    }

    /// The same without a word to the log.
    fn quarantine(&mut self, id: ChunkId, location: Location) {
        // Who waits to hear that it is stored must not be told so.
        for waiting in self.group.iter_mut().filter(|waiting| waiting.id == id) {
            let reply = |op| Reply::Put { op, id, bytes: 0, result: Err(StoreError::Damaged { id }) };
            self.replies.extend(waiting.op.take().map(reply));
        }
        self.make_way(&Frame::drop_of(id, true));
        if self.index.find(&self.log, &id, &mut self.report) != Ok(Some(location)) {
            return;
        }
        match self.log.append_drop(id, &location, None, true) {
            Ok(at) => self.take_in(None, id, Change::Rot(location, at)),
            // It is found damaged again after the next start.
            Err(_) => drop(self.index.apply(id, Change::Rot(location, self.log.end()))),
        }
    }

    /// States that chunks whose segments are lost are not here any more, and that these segments are no part of the log.
    pub(super) fn give_up_lost(&mut self, lost: &[u32], report: &mut OpenReport) {
        if lost.is_empty() {
            return;
        }
        log::error!(
            "{} segments of the store are gone; what was in them counts as missing and is to be fetched from other nodes",
            lost.len()
        );
        if let Err(error) = self.try_give_up_lost(lost, report) {
            log::warn!(
                "not all that was lost could be noted, that is tried again at the next start: {error}"
            );
        }
    }

    /// See [`give_up_lost`](Self::give_up_lost).
    fn try_give_up_lost(&mut self, lost: &[u32], report: &mut OpenReport) -> Result<(), StoreError> {
        let mut after: Option<ChunkId> = None;
        loop {
            let page = self.index.page(&self.log, after.as_ref(), PAGE_IDS_MAX, &mut self.report)?;
            let gone = page.iter().filter(|(_, location)| lost.binary_search(&location.segment).is_ok());
            for (id, location) in gone {
                self.keep_bounded()?;
                self.quarantine(*id, *location);
                self.flush_if_full();
                report.chunks_lost += 1;
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE_IDS_MAX => after = Some(*last),
                _ => break,
            }
        }
        self.flush()?;
        for segment in lost {
            self.log.state_removed(*segment, UNKNOWN)?;
        }
        Ok(())
    }

    /// After a failed sync: reads what was durable of the segment that was given up, and sets aside what is damaged.
    pub(super) fn check_segment(&mut self, durable: Position) {
        let disk = Arc::clone(&self.disk);
        let from = Position { offset: SEGMENT_HEADER_BYTES, ..durable };
        let mut walk = Walk::new(&*disk, from, durable.offset, u64::MAX);
        while let Ok(Some(found)) = walk.step() {
            let Found::Chunk(id, location, _) = found else { continue };
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

/// The head of the chunk's record at `location`; `None` if it is not what was written.
pub(super) fn head_of(disk: &dyn Disk, location: Location) -> Result<Option<Frame>, DiskError> {
    let mut header = [0; FRAME_HEADER_BYTES];
    let read = disk.read_at(&segment_name(location.segment), u64::from(location.offset), &mut header)?;
    let frame = Frame::decode(&header, location.position()).ok();
    Ok(frame.filter(|frame| {
        read == header.len() && frame.kind == FrameKind::Chunk && frame.length == location.length
    }))
}

/// What stands behind a body.
type Checksum = [u8; FRAME_TRAILER_BYTES];

/// How often a record is read before it is held to be damaged: memory and cables fail as well.
const READS: u32 = 2;
