//! What the store tells of itself: what was done, counts, sizes, and the sizes that tests make small.
//!
//! Owns no behaviour. Read `request.rs` first.

use super::meter::{Wear, Written};
use crate::base::ids::ChunkId;
use crate::base::limits::{DELTA_ENTRIES_MAX, DELTA_LOG_BYTES_MAX, RESERVE_BYTES, SEGMENT_BYTES_MAX};

/// What a scan says of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanState {
    /// Read, and its bytes match its id.
    Good,
    /// Read, and they do not; quarantined now.
    Damaged,
    /// Not read.
    Unread,
}

/// What was given up by a [`Request::Drop`](super::request::Request::Drop).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Chunks that were here.
    pub chunks: u64,
    /// Their sealed bytes.
    pub bytes: u64,
}

/// What a [`Request::Compact`](super::request::Request::Compact) came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compacted {
    /// What comes next.
    pub state: CompactState,
    /// Chunks that were given up and whose bytes go now: the next request says which of them are held after all. At most
    /// [`crate::base::limits::PAGE_IDS_MAX`].
    pub asks: Vec<ChunkId>,
    /// Chunks that were found damaged: they are missing now.
    pub damaged: Vec<ChunkId>,
    /// Chunks that were asked for, and kept.
    pub kept: u64,
    /// Bytes written anew.
    pub copied_bytes: u64,
    /// Segments removed.
    pub removed_segments: u64,
    /// Their bytes.
    pub freed_bytes: u64,
}

/// What a compaction does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CompactState {
    /// Nothing: no segment has enough dead bytes.
    #[default]
    Idle,
    /// It goes on.
    Working,
    /// It waits for an answer to [`Compacted::asks`].
    Asking,
}

/// What a [`Request::Scrub`](super::request::Request::Scrub) came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scrubbed {
    /// Bytes read.
    pub bytes: u64,
    /// Chunks read.
    pub chunks: u64,
    /// Chunks that were found damaged: they are missing now, and to be fetched anew.
    pub damaged: Vec<ChunkId>,
    /// Damaged places that no record explains. Whole bodies there were saved.
    pub places: u64,
    /// Segments there are.
    pub segments: u64,
    /// Segments still to be read.
    pub segments_left: u64,
    /// Whether everything has been read; the next request begins again.
    pub finished: bool,
}

/// Counts and sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// Chunks here.
    pub chunks: u64,
    /// Their sealed bytes.
    pub bytes: u64,
    /// Free on the disk, the reserve included.
    pub free_bytes: u64,
    /// Kept free; see [`StoreError::Full`](super::error::StoreError::Full).
    pub reserve_bytes: u64,
    /// Chunks found damaged and given up, ever.
    pub quarantined: u64,
    /// Bytes of segments that no whole record explains, found since the store was opened (rot, not torn tails).
    pub rotten_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Index runs.
    pub runs: u64,
    /// Bytes that a merge of index runs needs beside half of the reserve, while it waits for them; 0: none waits. Until then a look-up takes longer.
    pub merge_wants_bytes: u64,
    /// Bytes written since the store was opened.
    pub written: Written,
    /// Bytes written since the store was made, as far as they were noted: with other writes, and at a clean end.
    pub written_ever: Written,
    /// How worn the medium is, where it tells.
    pub wear: Option<Wear>,
    /// Groups synced since the store was opened.
    pub syncs: u64,
    /// Syncs that failed since the store was opened.
    pub syncs_failed: u64,
}

/// What was found when the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenReport {
    /// Whether this home was empty.
    pub new: bool,
    /// Records read again from the segments because no index run covered them.
    pub replayed: u64,
    /// Index runs thrown away because they were damaged.
    pub runs_discarded: u64,
    /// Bytes after the last sync mark that were cut off: a torn tail, never acknowledged.
    pub torn_bytes: u64,
    /// Segments that are gone though the store did not remove them.
    pub segments_lost: u64,
    /// Chunks that were in them, as far as the index knows: they are missing now.
    pub chunks_lost: u64,
    /// Segments that stood under a wrong name and have their own again.
    pub segments_renamed: u64,
    /// Files that look like segments and do not belong here: they were renamed and left alone.
    pub files_set_aside: u64,
    /// Damaged places before a sync mark: rot of what was acknowledged.
    pub rotten_places: u64,
    /// Bytes in these places.
    pub rotten_bytes: u64,
}

/// Sizes that tests make small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// Length at which a segment is closed, in bytes.
    pub segment_bytes_max: u64,
    /// Free bytes that puts leave alone.
    pub reserve_bytes: u64,
    /// Index entries in memory before they become a run.
    pub delta_entries_max: usize,
    /// Bytes of the log before what they say becomes a run.
    pub delta_log_bytes_max: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            segment_bytes_max: SEGMENT_BYTES_MAX,
            reserve_bytes: RESERVE_BYTES,
            delta_entries_max: DELTA_ENTRIES_MAX,
            delta_log_bytes_max: DELTA_LOG_BYTES_MAX,
        }
    }
}
