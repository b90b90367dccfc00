//! Bounds of cutting, sealing, feeds and retention.

use crate::base::units::{Span, WallTime};

// ---- cutting and sealing (file/, seal/) ----

/// Smallest piece that content-defined cutting makes, except at the end of a file, in bytes.
pub const CUT_BYTES_MIN: usize = 64 * 1024;
/// Mean piece, in bytes: a compromise of deduplication against index and request overhead.
pub const CUT_BYTES_MEAN: usize = 256 * 1024;
/// Largest piece, in bytes; a reader never needs more of a file than two of these.
pub const CUT_BYTES_MAX: usize = 1024 * 1024;
/// Largest sealed chunk, in bytes: the largest piece, Padme padding (at most 1/32 there), header and tag.
pub const SEALED_BYTES_MAX: usize = CUT_BYTES_MAX + CUT_BYTES_MAX / 16;
/// Content key epochs that a node keeps: one more for each full node that was removed. A joiner is given all of them.
pub const EPOCHS_MAX: usize = 128;
/// Files up to this size lie inside their tree entry, in bytes.
pub const INLINE_BYTES_MAX: usize = 4 * 1024;
/// A map node's target length, in bytes: a key closes its node with probability (its encoded length / this).
pub const NODE_BYTES_MEAN: usize = 32 * 1024;
/// A cut is forced when a map node is this long, in bytes.
pub const NODE_BYTES_MAX: usize = 512 * 1024;
/// Largest encoded map entry (key and value; inline content apart), in bytes.
pub const ENTRY_BYTES_MAX: usize = 64 * 1024;
/// A map deeper than this is corrupt: 32 KiB nodes of 100-byte entries hold 300^8 keys.
pub const MAP_LEVELS_MAX: u8 = 8;
/// Pieces of a file listed in its entry before the list moves into chunks of its own.
pub const PIECES_INLINE_MAX: usize = 256;

/// Where cutting becomes eager, in bytes: short of the mean by what makes the mean come out right.
pub const CUT_BYTES_NORMAL: usize = 210 * 1024;
/// Longest key of a map, in bytes: the longest path that Linux takes. With every key this long a node still holds
/// eight, and the levels below `MAP_LEVELS_MAX` sixteen million.
pub const MAP_KEY_BYTES_MAX: usize = 4 * 1024;
/// Longest tail of a map entry, in bytes: inline content that did not shrink, and one byte that says so.
pub const TAIL_BYTES_MAX: usize = INLINE_BYTES_MAX + 1;
/// Longest component of a path, in bytes: NAME_MAX of every file system that Linux mounts itself.
pub const COMPONENT_BYTES_MAX: usize = 255;
/// Longest target of a symbolic link, in bytes (PATH_MAX).
pub const TARGET_BYTES_MAX: usize = 4 * 1024;
/// Extended attributes of up to this length, encoded, stand in the entry; longer ones in a chunk of their own.
pub const ATTRIBUTES_HERE_BYTES_MAX: usize = 16 * 1024;
/// Longest encoded extended attributes of one file, in bytes: one chunk.
pub const ATTRIBUTES_BYTES_MAX: usize = CUT_BYTES_MAX;
/// Extended attributes of one file: Linux lists 64 KiB of names, none of them shorter than `user.x` and a zero.
pub const ATTRIBUTES_MAX: usize = 10_000;
/// Bytes of one ignore file that are read, in bytes; lines beyond are counted and not followed.
pub const IGNORE_FILE_BYTES_MAX: usize = 64 * 1024;

/// Feeds whose changes one shared folder can tell apart: one for each device that ever changed something in it, and one more each
/// time that it had to begin a new feed. The vector stands in the sealed text of a snapshot.
pub const VECTOR_FEEDS_MAX: usize = 200;
/// Versions that lose their place and become conflict copies in one pass of a merge, in bytes of keys and entries; where there are
/// more, the merge goes round again.
pub const CONFLICT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Changes of a shared folder that people make without a directory, and that one merge takes; each is an entry with what is inline.
/// More wait, each with the call that asks for it.
pub const EDITS_AT_ONCE_MAX: usize = 32;
/// Such a change waits this long at the most until what other devices have of the folder is here.
pub const EDIT_WAIT_MAX: Span = Span::from_secs(3_600);

const _: () = assert!(CUT_BYTES_MIN < CUT_BYTES_MEAN && CUT_BYTES_MEAN < CUT_BYTES_MAX);
const _: () = assert!(CUT_BYTES_MIN < CUT_BYTES_NORMAL && CUT_BYTES_NORMAL < CUT_BYTES_MEAN);
const _: () = assert!(MAP_KEY_BYTES_MAX * 8 <= NODE_BYTES_MEAN && MAP_KEY_BYTES_MAX < ENTRY_BYTES_MAX);
// An entry holds a key, a link's target or a list of pieces, and attributes: all of them together fit.
const _: () = assert!(
    MAP_KEY_BYTES_MAX + ATTRIBUTES_HERE_BYTES_MAX + TARGET_BYTES_MAX + PIECES_INLINE_MAX * 48
        < ENTRY_BYTES_MAX
);
const _: () = assert!(NODE_BYTES_MAX + ENTRY_BYTES_MAX + INLINE_BYTES_MAX < CUT_BYTES_MAX);

// ---- feeds (feed/) ----

/// Longest signed feed entry, in bytes; a receipt's bitmap (512) and a sealed folder description fit well.
pub const FEED_ENTRY_BYTES_MAX: usize = 16 * 1024;
/// Longest chain of Admit entries from the root to a node; it must fit the first handshake packet.
pub const ADMIT_CHAIN_MAX: usize = 4;
/// Most members of a vault that this version keeps in memory.
pub const MEMBERS_MAX: usize = 1024;
/// ... and with so many nobody more is invited: whoever comes back from the words is always let in, and would take a place from another.
pub const INVITED_MAX: usize = MEMBERS_MAX - 24;
/// Longest name of a node, a site or a folder, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// Addresses in one Describe: several interfaces, two families.
pub const ADDRESSES_MAX: usize = 16;
/// Feeds of a removed node that its Remove names; a node begins a new one only after a disaster.
pub const REMOVE_HEADS_MAX: usize = 64;
/// What an Alert is about (an id, at most two), in bytes.
pub const ALERT_ABOUT_BYTES_MAX: usize = 64;
/// Longest sealed text in an entry (a folder's description), in bytes; the envelope must fit beside it.
pub const SEALED_TEXT_BYTES_MAX: usize = 12 * 1024;
/// Longest path of a folder's directory, in bytes: what Linux takes (PATH_MAX).
pub const DIRECTORY_BYTES_MAX: usize = 4 * 1024;
/// Ignore patterns of one folder.
pub const IGNORE_GLOBS_MAX: usize = 256;
/// Longest ignore pattern, in bytes.
pub const GLOB_BYTES_MAX: usize = 1024;
/// Feeds that a view follows: every member began a few,
pub const FEEDS_MAX: usize = FEEDS_SURE * MEMBERS_MAX;
/// ... and so many of each member's are followed however many the others have begun. The root's always are.
pub const FEEDS_SURE: usize = 4;
/// Feeds of one node that a view follows: it begins a new one only when its disk has lost what others have seen of the last, or when
/// nobody else is left. Twice what a Remove of it names: a device to which that happens more often is to be joined anew.
pub const FEEDS_PER_NODE_MAX: usize = 2 * REMOVE_HEADS_MAX;
/// Entries of one feed that a view follows; ten a day are 270 years of them, and a node may begin a new feed.
pub const FEED_ENTRIES_MAX: usize = 1_000_000;
/// Entries of its own feed after which a node begins another one, for nothing may follow in one that is full.
pub const FEED_ENTRIES_OWN_MAX: u64 = 990_000;
/// Receipts of one node for snapshots that no entry here has written: of so many a person is told. They cost 2 to 11 MB.
pub const RECEIPTS_UNWRITTEN_MANY: usize = 16 * 1024;
/// Admit and Remove entries of one feed that count; those after these are void.
pub const ROSTER_FACTS_PER_FEED_MAX: usize = 2 * MEMBERS_MAX;
/// Snapshots that one Checkpoint lists; of more, several speak, each of its own places.
pub const CHECKPOINT_STANDING_MAX: usize = 1_024;
/// Snapshots that one Erase names; of more, several speak.
pub const ERASED_PER_ENTRY_MAX: usize = 256;
/// Snapshots that the Erase entries of one feed speak of, 100 bytes of memory each; what is beyond is void. The words of the root are in
/// a new feed each time.
pub const ERASED_PER_FEED_MAX: usize = 4_096;

/// Nodes that the Leave entries of one feed speak of, 110 bytes of memory each; what is beyond is void, and a node is then removed at once or not at all.
pub const LEAVES_PER_FEED_MAX: usize = 256;

/// Nodes that one Key entry wraps an epoch's key for; for more there are more entries.
pub const KEY_WRAPS_MAX: usize = 128;
/// Removed full nodes that an epoch keeps out: as many as there may be epochs.
pub const KEY_WITHOUT_MAX: usize = EPOCHS_MAX;
/// Key entries of one feed that are kept, and what they wrap together (80 bytes each); those after these are void.
pub const KEY_ENTRIES_PER_FEED_MAX: usize = 1_024;
/// See [`KEY_ENTRIES_PER_FEED_MAX`].
pub const KEY_WRAPS_PER_FEED_MAX: usize = 8_192;
/// Epochs that one node may begin: no one of them may use up [`EPOCHS_MAX`].
pub const EPOCHS_BEGUN_MAX: usize = EPOCHS_MAX / 4;

// ---- retention (file/retain.rs) ----

/// Largest number in a rule of a retention policy.
pub const RETAIN_COUNT_MAX: u16 = 10_000;
/// Labels before this are of a clock that was never set: 1 January 2020.
pub const RETAIN_LABEL_MIN: WallTime = WallTime::from_micros(1_577_836_800_000_000);
/// Labels closer together than this were counted on by a writer whose clock was set back.
pub const RETAIN_STEP_MIN: Span = Span::from_secs(1);

// A place and a flag for each: at most 11 bytes.
const _: () = assert!(CHECKPOINT_STANDING_MAX * 11 + 512 < FEED_ENTRY_BYTES_MAX);
// An id and a version for each: at most 42 bytes.
const _: () = assert!(
    ERASED_PER_ENTRY_MAX * 42 + 512 < FEED_ENTRY_BYTES_MAX && ERASED_PER_ENTRY_MAX <= ERASED_PER_FEED_MAX
);

const _: () = assert!(KEY_WRAPS_MAX * 80 + KEY_WITHOUT_MAX * 32 + 512 < FEED_ENTRY_BYTES_MAX);
const _: () = assert!(SEALED_TEXT_BYTES_MAX + 1024 <= FEED_ENTRY_BYTES_MAX);
const _: () = assert!(FEEDS_SURE < FEEDS_PER_NODE_MAX && FEEDS_PER_NODE_MAX < FEEDS_MAX);
// A vector of versions (40 bytes and a counter of up to 10 for each feed) fits into a snapshot's text.
const _: () = assert!(VECTOR_FEEDS_MAX * 50 + 256 < SEALED_TEXT_BYTES_MAX);
const _: () = assert!(REMOVE_HEADS_MAX * 90 + 256 < FEED_ENTRY_BYTES_MAX);
const _: () = assert!(DIRECTORY_BYTES_MAX + NAME_BYTES_MAX < SEALED_TEXT_BYTES_MAX);
