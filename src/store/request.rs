//! The words between the store and whoever uses it: requests, replies, figures.
//!
//! Owns no behaviour; `service.rs` carries requests out, and names everything here again for its users.

use super::error::StoreError;
pub use super::figures::{
    CompactState, Compacted, Dropped, OpenReport, ScanState, Scrubbed, StoreOptions, StoreStats,
};
use crate::base::ids::{ChunkId, FeedId};
use crate::base::ranges::GroupTallies;

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
    /// The bytes of a chunk for somebody who checks them against its id before use: here they are checked against their record's checksum,
    /// which takes less time (docs/PERFORMANCE.md). Answered by [`Reply::Get`].
    Lend {
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
    /// Goes on compacting, a segment at a time, if one has enough dead bytes: a small step between other requests. It works on a full disk
    /// as well.
    Compact {
        /// Repeated in the reply.
        op: Op,
        /// About how many bytes may be read and written now.
        bytes: u64,
        /// Those of the chunks that the last reply asked for ([`Compacted::asks`]) that a hold or a pinned manifest lists: they are kept. The
        /// bytes of the others are gone for good then.
        keep: Vec<ChunkId>,
    },
    /// The bytes of what was dropped since the store was opened shall go: the segments that they are in are compacted next, however little of
    /// them is dead. No reply: [`Request::Compact`] does it.
    Hasten,
    /// What is written from now on is seldom read here: the system need not keep more than the newest of it in memory, where a stream of it
    /// would push everything else out. No reply.
    Stream,
    /// Reads on, where the last one ended, in what is kept: the caller decides how much at a time, and so how long all of it takes. Where it is
    /// survives a restart, nearly.
    Scrub {
        /// Repeated in the reply.
        op: Op,
        /// About how many bytes may be read now.
        bytes: u64,
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
    /// What the ids of all chunks add up to. The first time they are counted, a step each time this is asked.
    Tally {
        /// Repeated in the reply.
        op: Op,
        /// Ids that are counted in a step.
        limit: usize,
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
        /// Sealed bytes that were written for it; 0 if it is not new.
        bytes: u32,
        /// Whether it is new.
        result: Result<bool, StoreError>,
    },
    /// To [`Request::Get`] and [`Request::Lend`]: `None` if it is not here. [`StoreError::Damaged`]: it was, and is quarantined now.
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
    /// To [`Request::Compact`].
    Compact {
        /// Of the request.
        op: Op,
        /// What was done. After an error it is gone on with by the next request.
        result: Result<Compacted, StoreError>,
    },
    /// To [`Request::Scrub`].
    Scrub {
        /// Of the request.
        op: Op,
        /// What was found. After an error it is gone on with by the next request.
        result: Result<Scrubbed, StoreError>,
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
    /// To [`Request::Tally`].
    Tally {
        /// Of the request.
        op: Op,
        /// By placement group; None: it is to be asked again.
        groups: Option<GroupTallies>,
    },
    /// To a `Has`, `SetPage`, `Entries`, `Load`, `Scan`, `Stats` or `Tally` that could not be carried out.
    Failed {
        /// Of the request.
        op: Op,
        /// Why.
        error: StoreError,
    },
}
