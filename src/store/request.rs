//! The words between the store and whoever uses it: requests, replies, figures.
//!
//! Owns no behaviour; `service.rs` carries requests out, and names everything here again for its users.

use super::error::StoreError;
use super::meter::Written;
use crate::base::ids::{ChunkId, FeedId};
use crate::base::limits::{DELTA_ENTRIES_MAX, RESERVE_BYTES, SEGMENT_BYTES_MAX};

/// Chosen by the caller; the reply repeats it.
pub type Op = u64;

/// What can be asked of the store.
///
/// Requests are carried out in order. Replies come in that order too, except that a [`Reply::Put`] or [`Reply::Drop`] waits for
/// the group sync that covers it (replies of later requests overtake it) and comes before the reply of a later `Flush`.
/// A request that fails as a whole and whose reply has no `result` is answered by [`Reply::Failed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Keep a chunk. The caller vouches that `id` is SHA-256 of `bytes`; [`Request::Get`] checks it.
    Put {
        /// Repeated in the reply.
        op: Op,
        /// SHA-256 of `bytes`.
        id: ChunkId,
        /// Sealed bytes, at most [`crate::base::limits::SEALED_BYTES_MAX`].
        bytes: Vec<u8>,
    },
    /// The bytes of a chunk, checked against its id.
    Get {
        /// Repeated in the reply.
        op: Op,
        /// Which chunk.
        id: ChunkId,
    },
    /// Which of these chunks are here (by the index; not read).
    Has {
        /// Repeated in the reply.
        op: Op,
        /// At most [`crate::base::limits::PAGE_IDS_MAX`].
        ids: Vec<ChunkId>,
    },
    /// Give up chunks: from the reply on they are not here, until they are put again. Their bytes stay on the disk
    /// until their segments are compacted. It works on a full disk as well.
    Drop {
        /// Repeated in the reply.
        op: Op,
        /// At most [`crate::base::limits::PAGE_IDS_MAX`]; those that are not here are passed over.
        ids: Vec<ChunkId>,
    },
    /// Sync now; replied when every earlier request is durable.
    Flush {
        /// Repeated in the reply.
        op: Op,
    },
    /// Adds ids to a temporary set, which begins empty and is gone when the store is opened again. No reply; a
    /// failure is told by the next [`Request::SetPage`] of that set.
    SetAdd {
        /// The caller's number for the set.
        set: u64,
        /// At most [`crate::base::limits::PAGE_IDS_MAX`] at once.
        ids: Vec<ChunkId>,
    },
    /// The next ids of a set in ascending order, each once.
    SetPage {
        /// Repeated in the reply.
        op: Op,
        /// Which set; one never added to is empty.
        set: u64,
        /// Begin after this id.
        after: Option<ChunkId>,
        /// At most this many, and at most [`crate::base::limits::PAGE_IDS_MAX`]. Fewer mean that the set ends.
        limit: usize,
    },
    /// Forgets a set. No reply.
    SetDrop {
        /// Which set.
        set: u64,
    },
    /// Feed entries and settings in one transaction, durable when replied. Entries that are there already are
    /// replaced (the caller checks chains); entries that would leave a hole before them are refused.
    Append {
        /// Repeated in the reply.
        op: Op,
        /// The feed of all `entries`.
        feed: FeedId,
        /// Sequence of the first entry.
        sequence: u64,
        /// Signed entries, each at most [`crate::base::limits::FEED_ENTRY_BYTES_MAX`].
        entries: Vec<Vec<u8>>,
        /// Settings to write with them: name and value; `None` removes.
        settings: Vec<(String, Option<Vec<u8>>)>,
    },
    /// A page of feed entries in order of (feed, sequence).
    Entries {
        /// Repeated in the reply.
        op: Op,
        /// Only this feed; `None`: all of them.
        feed: Option<FeedId>,
        /// Begin after this entry.
        after: Option<(FeedId, u64)>,
        /// Stop before the entries' bytes exceed this; one entry is given in any case.
        limit_bytes: usize,
    },
    /// Writes settings in one transaction, durable when replied.
    Save {
        /// Repeated in the reply.
        op: Op,
        /// Name and value; `None` removes.
        settings: Vec<(String, Option<Vec<u8>>)>,
    },
    /// All settings whose name begins so.
    Load {
        /// Repeated in the reply.
        op: Op,
        /// `""`: all.
        prefix: String,
    },
    /// The chunks here, in order of their ids.
    Scan {
        /// Repeated in the reply.
        op: Op,
        /// Begin after this id.
        after: Option<ChunkId>,
        /// At most this many, and at most [`crate::base::limits::PAGE_IDS_MAX`].
        limit: usize,
        /// Read and check each one; else they are [`ScanState::Unread`].
        read: bool,
    },
    /// Counts and sizes.
    Stats {
        /// Repeated in the reply.
        op: Op,
    },
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To [`Request::Put`]: durable; `true` if the chunk was not here before.
    Put {
        /// Of the request.
        op: Op,
        /// Of the request.
        id: ChunkId,
        /// Whether it is new.
        result: Result<bool, StoreError>,
    },
    /// To [`Request::Get`]: `None` if it is not here. [`StoreError::Damaged`]: it was, and is quarantined now.
    Get {
        /// Of the request.
        op: Op,
        /// Of the request.
        id: ChunkId,
        /// The sealed bytes.
        result: Result<Option<Vec<u8>>, StoreError>,
    },
    /// To [`Request::Has`]: one answer for each id.
    Has {
        /// Of the request.
        op: Op,
        /// In the order of the request.
        have: Vec<bool>,
    },
    /// To [`Request::Drop`]: durable. After an error any of them may be gone, or come back when the store is opened again.
    Drop {
        /// Of the request.
        op: Op,
        /// How much was given up.
        result: Result<Dropped, StoreError>,
    },
    /// To [`Request::Flush`].
    Flush {
        /// Of the request.
        op: Op,
        /// Whether all before it is durable.
        result: Result<(), StoreError>,
    },
    /// To [`Request::SetPage`].
    SetPage {
        /// Of the request.
        op: Op,
        /// Ascending.
        ids: Vec<ChunkId>,
    },
    /// To [`Request::Append`].
    Append {
        /// Of the request.
        op: Op,
        /// Whether it is durable.
        result: Result<(), StoreError>,
    },
    /// To [`Request::Entries`].
    Entries {
        /// Of the request.
        op: Op,
        /// Feed, sequence, signed bytes.
        entries: Vec<(FeedId, u64, Vec<u8>)>,
        /// Whether others follow.
        more: bool,
    },
    /// To [`Request::Save`].
    Save {
        /// Of the request.
        op: Op,
        /// Whether it is durable.
        result: Result<(), StoreError>,
    },
    /// To [`Request::Load`].
    Load {
        /// Of the request.
        op: Op,
        /// By name, ascending.
        settings: Vec<(String, Vec<u8>)>,
    },
    /// To [`Request::Scan`].
    Scan {
        /// Of the request.
        op: Op,
        /// Ascending.
        found: Vec<(ChunkId, ScanState)>,
        /// Whether others follow.
        more: bool,
    },
    /// To [`Request::Stats`].
    Stats {
        /// Of the request.
        op: Op,
        /// The figures.
        stats: StoreStats,
    },
    /// To a `Has`, `SetPage`, `Entries`, `Load`, `Scan` or `Stats` that could not be carried out.
    Failed {
        /// Of the request.
        op: Op,
        /// Why.
        error: StoreError,
    },
}

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

/// What was given up by a [`Request::Drop`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Chunks that were here.
    pub chunks: u64,
    /// Their sealed bytes.
    pub bytes: u64,
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
    /// Kept free; see [`StoreError::Full`].
    pub reserve_bytes: u64,
    /// Chunks found damaged and given up, ever.
    pub quarantined: u64,
    /// Bytes of segments that no whole record explains, found since the store was opened (rot, not torn tails).
    pub rotten_bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// Index runs.
    pub runs: u64,
    /// Bytes written since the store was opened.
    pub written: Written,
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
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            segment_bytes_max: SEGMENT_BYTES_MAX,
            reserve_bytes: RESERVE_BYTES,
            delta_entries_max: DELTA_ENTRIES_MAX,
        }
    }
}
