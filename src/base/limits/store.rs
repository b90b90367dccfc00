//! Bounds of the store.

use super::content::FEED_ENTRY_BYTES_MAX;
use crate::base::units::Span;

/// Length at which a segment file is closed and the next begun, in bytes.
pub const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A group of chunks is synced at the latest when this much is unsynced, in bytes. On a slow disk what waits for it is memory: with 8 MiB
/// a node that was sent chunks faster than they were written came to 38 MiB.
pub const GROUP_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// ... or after this long.
pub const GROUP_DELAY_MAX: Span = Span::from_millis(200);
/// Ids in one page of a set or a scan.
pub const PAGE_IDS_MAX: usize = 1_024;
/// Free bytes kept so that reading, restoring and collecting always work.
pub const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// A group of chunks is synced at the latest when it has this many: their bookkeeping is what a group keeps in memory.
pub const GROUP_CHUNKS_MAX: usize = 4 * 1024;
/// Index entries in memory before they become a run: about 1.3 MiB as a sorted map.
pub const DELTA_ENTRIES_MAX: usize = 16 * 1024;
/// Bytes of the log that no index run covers before one is written, however few entries that makes: after a crash so much is read again, a
/// header every so often. Half of it would have a chunk of 256 KiB cost more than 250 bytes of index and record at a million.
pub const DELTA_LOG_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// What the reserve holds for each chunk in bytes, above its fixed part: half of what it takes to say that one is gone (80 of log, 46 of index), for when
/// half of every segment is dead, compaction gives back more than it takes.
pub const RESERVE_BYTES_PER_CHUNK: u64 = 64;
/// Stretches of removed segments that the log states: one list is at most a megabyte, and they are fewer than the segments that are there.
pub const REMOVED_STRETCHES_MAX: usize = 64 * 1024;
/// How often a scrub saves where it is while it reads everything once, at most: what it reads twice after a restart is a small part.
pub const SCRUB_SAVES_MAX: usize = 64;
/// Damaged places of one segment that a scrub tells apart; more are taken together.
pub const SCRUB_GAPS_MAX: usize = 1_024;
/// Runs of one size before they are merged: more means less writing and more reading.
pub const RUNS_PER_TIER: usize = 4;
/// Runs with fewer entries than a full map before they are merged.
pub const SMALL_RUNS_MAX: usize = 8;
/// Runs merged at once, each with a block in memory.
pub const MERGE_RUNS_MAX: usize = 16;
/// Entries merged for each chunk stored: above the number of tiers that 100 million chunks make, so merging keeps up.
pub const MERGE_STEPS_PER_CHUNK: usize = 10;
/// Ids of all temporary sets in memory, before they go to disk: 1 MiB.
pub const SET_IDS_IN_MEMORY_MAX: usize = 32 * 1024;
/// Temporary sets at once.
pub const SETS_MAX: usize = 64;
/// Files of one temporary set before they are merged; each has a block in memory while a page is read.
pub const SET_RUNS_MAX: usize = 64;
/// Cache of the database of small state, in bytes.
pub const STATE_CACHE_BYTES: usize = 512 * 1024;
/// Longest name of a setting, in bytes.
pub const SETTING_NAME_BYTES_MAX: usize = 256;
/// Longest value of a setting, in bytes.
pub const SETTING_VALUE_BYTES_MAX: usize = 1024 * 1024;
/// Most feed entry bytes in one page, whatever was asked for, in bytes.
pub const ENTRIES_PAGE_BYTES_MAX: usize = 256 * 1024;
/// What is kept in memory of the repairs of a store that may not be written, in bytes: a whole segment, and the index of a million chunks.
pub const OVERLAY_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// Bytes whose count may be lost at a clean end, so that a node that did little writes nothing then.
pub const WRITTEN_UNNOTED_MAX: u64 = 1024 * 1024;
/// Chunks named in a list of what is damaged or missing; the others are counted.
pub const CHECK_LIST_MAX: usize = 1_000;
/// Records that await, in memory, that the log says why the index does not have them: 8 bytes each, some of which a tree adds.
pub const CHECK_PENDING_MAX: usize = 1_000_000;
/// After how long a disk that did not take an entry of a feed is tried again.
pub const AFRESH_EVERY: Span = Span::from_secs(300);
/// How many of the newest segments, the one that is written included, a store member has the system keep in memory (section 7 of the design).
pub const SEGMENTS_CACHED: u32 = 2;
/// How often a start is put off, so long each time, for what it would cut off.
pub const AFRESH_PUT_OFF_MAX: u32 = 12;

const _: () = assert!(SEGMENT_BYTES_MAX < OVERLAY_BYTES_MAX);
const _: () = assert!(GROUP_CHUNKS_MAX <= DELTA_ENTRIES_MAX && PAGE_IDS_MAX <= SET_IDS_IN_MEMORY_MAX);
const _: () = assert!(DELTA_LOG_BYTES_MAX > SEGMENT_BYTES_MAX && SMALL_RUNS_MAX <= MERGE_RUNS_MAX);
const _: () = assert!(RUNS_PER_TIER >= 2 && RUNS_PER_TIER <= MERGE_RUNS_MAX);
const _: () = assert!(FEED_ENTRY_BYTES_MAX <= ENTRIES_PAGE_BYTES_MAX);
