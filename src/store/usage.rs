//! How much of each segment is in use: what compaction chooses by.
//!
//! Owns the counts. They follow every fact of the log, and each index run carries them as they were where it ends, so that they are known
//! after open without reading a segment; where that does not hold (a run was lost, rot was met) they are counted anew from the index, which
//! is the truth. Refuses to decide anything. Read `delta.rs` for what a fact is.

use std::collections::BTreeMap;

use super::delta::Change;
use super::segment::{bytes, u32_at, Frame, Location, FRAME_HEADER_BYTES, FRAME_TRAILER_BYTES};
use crate::base::ids::ChunkId;

/// What is in use, by segment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Usage {
    /// Segments in which something is.
    rows: BTreeMap<u32, Row>,
    /// Chunks found damaged, ever, as far as is known.
    pub damaged: u64,
}

/// What is in use of one segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Row {
    /// Chunks whose records stand there.
    pub chunks: u32,
    /// Their sealed bytes.
    pub bytes: u32,
    /// Drops that stand there and may hide older records.
    pub drops: u32,
}

/// Length of a row in a run.
pub(super) const ROW_BYTES: usize = 16;

impl Usage {
    /// Nothing is in use, and so many chunks were found damaged.
    pub(super) fn empty(damaged: u64) -> Self {
        Self { rows: BTreeMap::new(), damaged }
    }

    /// Follows a fact of the log.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Put(to) => self.add(to),
            Change::Moved(from, to) => {
                self.subtract(from);
                self.add(to);
            }
            Change::Drop(from, at) | Change::Rot(from, at) => {
                self.subtract(from);
                let row = self.rows.entry(at.segment).or_default();
                row.drops = row.drops.saturating_add(1);
                self.damaged += u64::from(matches!(change, Change::Rot(..)));
            }
            Change::Kept(_, at) => {
                let row = self.rows.entry(at.segment).or_default();
                row.drops = row.drops.saturating_add(1);
            }
        }
    }

    /// Takes back what [`apply`](Self::apply) did.
    pub(super) fn undo(&mut self, change: Change) {
        match change {
            Change::Put(to) => self.subtract(to),
            Change::Moved(from, to) => {
                self.subtract(to);
                self.add(from);
            }
            Change::Drop(from, at) | Change::Rot(from, at) => {
                self.add(from);
                self.forget_drop(at.segment);
                self.damaged -= u64::from(matches!(change, Change::Rot(..)));
            }
            Change::Kept(_, at) => self.forget_drop(at.segment),
        }
    }

    /// A chunk stands there.
    pub(super) fn add(&mut self, location: Location) {
        let row = self.rows.entry(location.segment).or_default();
        row.chunks = row.chunks.saturating_add(1);
        row.bytes = row.bytes.saturating_add(location.length);
    }

    /// It does no more.
    fn subtract(&mut self, location: Location) {
        if let Some(row) = self.rows.get_mut(&location.segment) {
            row.chunks = row.chunks.saturating_sub(1);
            row.bytes = row.bytes.saturating_sub(location.length);
        }
    }

    /// One drop less.
    fn forget_drop(&mut self, segment: u32) {
        if let Some(row) = self.rows.get_mut(&segment) {
            row.drops = row.drops.saturating_sub(1);
        }
    }

    /// What is in use of a segment.
    #[must_use]
    pub fn row(&self, segment: u32) -> Row {
        self.rows.get(&segment).copied().unwrap_or_default()
    }

    /// So many drops of that segment are still needed: it was read.
    pub fn set_drops(&mut self, segment: u32, drops: u32) {
        self.rows.entry(segment).or_default().drops = drops;
    }

    /// A segment is gone.
    pub fn remove(&mut self, segment: u32) {
        self.rows.remove(&segment);
    }

    /// Keeps only segments that are there.
    pub fn retain(&mut self, segments: &[u32]) {
        self.rows.retain(|segment, _| segments.binary_search(segment).is_ok());
    }

    /// Chunks and their sealed bytes, of all segments.
    #[must_use]
    pub fn sum(&self) -> (u64, u64) {
        self.rows.values().fold((0, 0), |(chunks, sealed), row| {
            (chunks + u64::from(row.chunks), sealed + u64::from(row.bytes))
        })
    }

    /// Segments in which chunks are, how many, and their sealed bytes.
    pub fn chunks_by_segment(&self) -> impl Iterator<Item = (u32, u32, u32)> + '_ {
        let rows = self.rows.iter().filter(|(_, row)| row.chunks > 0 || row.bytes > 0);
        rows.map(|(segment, row)| (*segment, row.chunks, row.bytes))
    }

    /// Segments in which something is.
    #[must_use]
    pub fn rows(&self) -> u64 {
        bytes(self.rows.len())
    }

    /// The rows as a run carries them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let used = self.rows.iter().filter(|(_, row)| **row != Row::default());
        used.flat_map(|(segment, row)| [*segment, row.chunks, row.bytes, row.drops].map(u32::to_le_bytes))
            .flatten()
            .collect()
    }

    /// Reads what a run carries.
    #[must_use]
    pub fn decode(table: &[u8], damaged: u64) -> Self {
        let row = |one: &[u8]| {
            (u32_at(one, 0), Row { chunks: u32_at(one, 4), bytes: u32_at(one, 8), drops: u32_at(one, 12) })
        };
        Self { rows: table.chunks_exact(ROW_BYTES).map(row).collect(), damaged }
    }
}

impl Row {
    /// Bytes of the segment that are in use, the frames around them included.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        let around = bytes(FRAME_HEADER_BYTES + FRAME_TRAILER_BYTES);
        let drop = Frame::drop_of(ChunkId::from_bytes([0; 32]), false).total();
        u64::from(self.bytes) + u64::from(self.chunks) * around + u64::from(self.drops) * drop
    }
}
