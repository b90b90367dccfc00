//! Bounds of what a node does.

use super::content::{CUT_BYTES_MAX, INLINE_BYTES_MAX};
use super::peers::HANDSHAKE_TIME_MAX;
use super::store::GROUP_BYTES_MAX;
use crate::base::units::Span;

// ---- node (node/) ----

/// Chunk requests on their way at once, over all peers, of each of two kinds (what somebody waits for, what nobody does): their bytes are what
/// a fetch keeps in memory.
pub const FETCH_CHUNKS_MAX: usize = 16;
/// Of these, on their way to one peer.
pub const FETCH_CHUNKS_PER_PEER_MAX: usize = 8;
/// What was asked of a peer that has sent nothing of it for this long is asked of the next one.
pub const FETCH_TIMEOUT: Span = Span::from_secs(20);
/// Bytes that a peer must send within that time to count as sending, in bytes: more than its acknowledgements and signs of
/// life, and what a line of 7 kbit/s carries.
pub const FETCH_PROGRESS_BYTES_MIN: u64 = 16 * 1024;
/// A peer that has sent this many chunks which were asked of it later has passed one over: it is asked of the next one.
pub const FETCH_PASSED_CHUNKS_MAX: usize = 32;
/// Chunks that a peer whose speed is not known is asked for at once, if others have them too.
pub const FETCH_TRIAL_CHUNKS: usize = 2;
/// A chunk that somebody waits for is late after this long...
pub const FETCH_LATE_MIN: Span = Span::from_millis(250);
/// ... and so many times as long as another peer would need for it; then it is asked of that one too.
pub const FETCH_LATE_TIMES: u64 = 3;
/// ... and of a peer whose pace is not known it is thought that it needs this long: a chunk over a line of 100 kbit/s.
pub const FETCH_LATE_UNKNOWN: Span = Span::from_secs(100);
/// A peer that was asked for chunks and has sent none of them for this long is not asked any more for what it was asked, whatever else
/// it sends: 1 MiB in that time is 5 kbit/s.
pub const FETCH_STALL: Span = Span::from_secs(1_800);
/// What was measured of a peer's speed counts for so long: a slow one may have become faster.
pub const FETCH_PACE_TIME: Span = Span::from_secs(30);
/// After so many sessions in a row with a holder that ended before anything of what was asked of it had come, that counts as what it
/// does not have.
pub const FETCH_BARREN_MAX: usize = 3;
/// A holder that went down may come back for so long before a chunk that only it may have counts as out of reach: it restarts, or
/// its cable was pulled.
pub const HOLDER_PATIENCE: Span = Span::from_secs(60);
/// Chunk reads for one peer that are on their way from the disk at once.
pub const SERVE_CHUNKS_PER_PEER_MAX: usize = 4;
/// Requested ids that one peer may have waiting here.
pub const SERVE_QUEUE_PER_PEER_MAX: usize = 64;
/// Fetched bytes that wait for a sync; above, nothing more is fetched. More than a group and a chunk, or the two would wait for each other.
pub const UNSYNCED_BYTES_MAX: u64 = GROUP_BYTES_MAX + 5 * 256 * 1024;
/// Calls of the API at once; more are refused.
pub const CALLS_MAX: usize = 64;
/// A backup that waits for copies gives up this long after the last device that could make one was heard.
pub const WAIT_FOR_PEERS_MAX: Span = Span::from_secs(15);
/// ... or after this long without progress, when a connected device still owes a copy.
pub const WAIT_FOR_STALLED_MAX: Span = Span::from_secs(60);
/// A full node that was there when this node came into the vault, or came within this time of the node's own running, is as old as the vault
/// for all that this node knows: its word to erase something counts at once. Later ones must have been here for the whole floor.
pub const KNOWN_FROM_THE_START: Span = Span::from_secs(86_400);
/// Snapshots that one line of `status` names.
pub const ERASED_NAMED_MAX: usize = 16;
/// How long a retired snapshot keeps its chunks, in the node's own running time,
pub const RETIRED_FLOOR: Span = Span::from_secs(30 * 86_400);
/// ... and how long it is in the trash after that, from where it can be taken back as well.
pub const TRASH_FLOOR: Span = Span::from_secs(7 * 86_400);
/// Both together: the least, and the default, of `store.retired`,
pub const RETIRED_MIN: Span = Span::from_micros(RETIRED_FLOOR.as_micros() + TRASH_FLOOR.as_micros());
/// ... and the most.
pub const RETIRED_MAX: Span = Span::from_secs(3_650 * 86_400);
/// Running time is saved at least so often while something waits for it.
pub const RUNNING_SAVE_EVERY: Span = Span::from_secs(86_400);
/// Chunks that no manifest lists are looked for so often, and whenever a retired snapshot is given up,
pub const COLLECT_EVERY: Span = Span::from_secs(7 * 86_400);
/// ... not sooner after start than this: an interrupted backup goes on first.
pub const COLLECT_AFTER_START: Span = Span::from_secs(1_800);
/// A collection that may not begin, or has failed, is tried again after this long.
pub const COLLECT_RETRY: Span = Span::from_secs(600);
/// ... and after this long while something erased waits for it: somebody is looking on.
pub const ERASED_RETRY: Span = Span::from_secs(10);
/// Pause between two requests of a collection: 10 million chunks take half an hour.
pub const COLLECT_PAUSE: Span = Span::from_millis(20);
/// Chunks here in one slice of a collection: with what else is listed about 2 MiB.
pub const COLLECT_SLICE_IDS: u64 = 32 * 1024;
/// Listed ids of one slice in memory: 4 MiB; if there are more, the slice is halved.
pub const COLLECT_SLICE_IDS_MAX: usize = 128 * 1024;
/// Nodes of manifests that a slice remembers to have read; others may be read again.
pub const COLLECT_VISITED_MAX: usize = 8 * 1024;
/// Retired snapshots that are given up in one turn.
pub const EXPIRED_PER_TURN_MAX: usize = 64;
/// So many snapshots of one writer, and more than half of what is here of it, retired within [`MASS_WITHIN`]: a mass, which
/// freezes and asks.
pub const MASS_RETIRED_MIN: usize = 30;
/// See [`MASS_RETIRED_MIN`]; in own running time.
pub const MASS_WITHIN: Span = Span::from_secs(86_400);
/// What is retired this close to a snapshot that stands is no part of a mass: of a hundred snapshots of a busy day a policy keeps one an hour.
pub const MASS_CLOSE: Span = Span::from_secs(3_600);
/// What one step of compaction, or of the scrub, reads and writes, in bytes: a fraction of a second on an SD card.
pub const UPKEEP_STEP_BYTES: u64 = 1024 * 1024;
/// Pause between two steps of compaction, and the least between two of the scrub.
pub const UPKEEP_PAUSE: Span = Span::from_millis(200);
/// Whether a segment is half dead is looked at so often, and whenever chunks were given up.
pub const COMPACT_EVERY: Span = Span::from_secs(86_400);
/// The least and the most that everything may take to be read again, in days.
pub const SCRUB_DAYS_MIN: u64 = 1;
/// See [`SCRUB_DAYS_MIN`].
pub const SCRUB_DAYS_MAX: u64 = 365;
/// A node that is full looks again after this long whether it still is.
pub const ROOM_LOOK_EVERY: Span = Span::from_secs(600);
/// What a node offers to hold is compared with its disk so often, and while it is full as often as above.
pub const OFFER_LOOK_EVERY: Span = Span::from_secs(86_400);
/// ... and said anew at most so often: a change of capacity moves data everywhere.
pub const OFFER_EVERY: Span = Span::from_secs(86_400);
/// ... when it differs by more than one part in so many.
pub const OFFER_CHANGE_PART: u64 = 8;
/// A node that was full is full for at least so long, unless a person changes what it may hold,
pub const OFFER_FULL_MIN: Span = Span::from_secs(6 * 3_600);
/// and until one part in so many of what it offers is free again.
pub const OFFER_AGAIN_PART: u64 = 16;
/// A person is warned when so many hundredths of the room are used.
pub const ROOM_WARNING_PERCENT: u64 = 90;
/// Sealed bytes that a backup must have stored before it is noted as unfinished: less is soon read and stored again.
pub const UNFINISHED_BYTES_MIN: u64 = 8 * 1024 * 1024;
/// A running backup publishes what it has as a partial snapshot after so many newly stored bytes, unless `backup.partial` says
/// otherwise: on a home line some hours of work,
pub const PARTIAL_BYTES: u64 = 64 * 1024 * 1024 * 1024;
/// ... (the least that may be said)
pub const PARTIAL_BYTES_MIN: u64 = 16 * 1024 * 1024;
/// ... but of a large folder only when they are one part in so many of what was scanned, since a manifest is as long as the
/// whole (about a part in 8,000): listing costs a thousandth of what is stored;
pub const PARTIAL_PART: u64 = 8;
/// and after this long in any case, if at least [`UNFINISHED_BYTES_MIN`] are new.
pub const PARTIAL_EVERY: Span = Span::from_secs(6 * 3_600);
/// A folder's retention policy is applied after a snapshot, at most so often.
pub const RETAIN_EVERY: Span = Span::from_secs(86_400);
/// A share that could not be had is tried again after this long (or when a peer comes up).
pub const KEEP_RETRY: Span = Span::from_secs(30);
/// ... and where nothing is to be hoped for soon: the disk did not take it, or nobody is connected.
pub const KEEP_RETRY_RARE: Span = Span::from_secs(600);
/// A share that could not be had so often in a row comes after all others.
pub const KEEP_FAILURES_MAX: u8 = 3;
/// ... and from so often on the pause grows.
pub const KEEP_FAILURES_SOON: u8 = 20;
/// A device is called silent after twice its usual pause, but never before this: a day, and some time for who is late.
pub const SILENCE_FLOOR: Span = Span::from_secs(26 * 3_600);
/// ... and after this in any case.
pub const SILENCE_LIMIT_MAX: Span = Span::from_secs(60 * 86_400);
/// Pauses older than this are forgotten, in own running time.
pub const SILENCE_WINDOW: Span = Span::from_secs(30 * 86_400);
/// A node that has listened for so long goes by what it heard, not by what snapshots say of when they were taken.
pub const SILENCE_LEARNT_AFTER: Span = Span::from_secs(14 * 86_400);
/// Pauses that are remembered of one folder: the longest.
pub const SILENCE_PAUSES_MAX: usize = 16;
/// Snapshots of one folder whose labels are looked at.
pub const SILENCE_LABELS_MAX: usize = 32;
/// What was heard of a folder is saved at most so often, and only when something else is written.
pub const SILENCE_SAVE_EVERY: Span = Span::from_secs(3_600);
/// Whether somebody has grown silent is looked at so often at least.
pub const SILENCE_LOOK_EVERY: Span = Span::from_secs(3_600);
/// Marks are passed on as they come in vaults of up to so many members; in larger ones only when a session begins.
pub const MARKS_PASSED_MEMBERS_MAX: usize = 16;
/// Key entries that a node writes in one turn; the rest follows.
pub const KEY_ENTRIES_PER_TURN_MAX: usize = 16;
/// A new epoch or a key for somebody that could not be written is tried again after this long.
pub const KEY_RETRY: Span = Span::from_secs(60);
/// Init, join and recover are given up after this long without an end.
pub const ENTER_TIME_MAX: Span = Span::from_secs(30);
/// A join whose inviter has said that it is too late looks for another inviter only this much longer.
pub const ENTER_CLOSED_WAIT: Span = Span::from_secs(3);
/// What would write an entry waits this long for a peer's word on the own feed: time to reach one after start, a handshake
/// that is given up included.
pub const CONFIRM_WAIT_MAX: Span = Span::from_secs(15);
/// When one peer has given its word, others that may have heard more of this node are waited for so long, and once more where one says
/// that it has: of those that are on and where they were, all have answered by then, the first datagram lost included.
pub const CONFIRM_OTHERS_WAIT: Span = Span::from_secs(5);
/// Folders of a vault.
pub const FOLDERS_MAX: usize = 256;
/// After start every folder is scanned this soon, so that what was interrupted is completed.
pub const SCAN_AFTER_START: Span = Span::from_secs(3);
/// Files of all folders are read again because something that only this node had was damaged, at most this often.
pub const READ_AGAIN_EVERY: Span = Span::from_secs(24 * 3_600);
/// ... and so often for the same chunks, where that does not come to its end.
pub const READS_MAX: u8 = 3;
/// Chunks of which a node remembers that files were read again for them in vain.
pub const IN_VAIN_MAX: usize = 4_096;
/// Chunks that are missing here and wait to be fetched; with more, everything is looked through once more if anything could be had.
pub const HEAL_MAX: usize = 4_096;
/// Of these, on their way.
pub const HEAL_FETCHES_MAX: usize = 32;
/// All is well again so long after the last one came, for it is to be on the disk.
pub const HEAL_PAUSE: Span = Span::from_secs(60);
/// First and longest pause between attempts to reach a member.
pub const CONNECT_PAUSE_MIN: Span = Span::from_secs(1);
/// Of several addresses of one node, the next is tried this long after the one before (RFC 8305, section 5).
pub const CONNECT_STAGGER: Span = Span::from_millis(250);
/// A packet of an unknown session, which anybody can send, hastens the next attempt at its sender this often.
pub const CONNECT_HINT_EVERY: Span = Span::from_secs(5);
/// See [`CONNECT_PAUSE_MIN`].
pub const CONNECT_PAUSE_MAX: Span = Span::from_secs(60);
/// ... and in the first hour after a member was lost, or an address was heard of: an attempt is a handful of datagrams of
/// 200 bytes, and a person waits for what was only a router that was started anew.
pub const CONNECT_PAUSE_EAGER_MAX: Span = Span::from_secs(15);
/// That hour.
pub const CONNECT_EAGER_TIME: Span = Span::from_secs(3_600);
/// Addresses remembered for unconnected announcers.
pub const REACH_ADDRESSES_MAX: usize = 512;
/// Pieces of an answer that wait for a slow client.
pub const CALL_PIECES_MAX: usize = 4;
/// Entries of the activity log kept in memory.
pub const ACTIVITY_ENTRIES_MAX: usize = 1_000;
/// Names of one directory listed at once, in bytes of names; larger directories are listed in passes.
pub const LIST_BYTES_MAX: usize = 1024 * 1024;
/// Files that are opened ahead of the one being cut; they are asked for anew when half of them are done, so that requests and replies go
/// in lots and not one by one.
pub const READ_AHEAD_FILES: usize = 64;
/// ... whose first blocks have at most about so many bytes.
pub const OPEN_AHEAD_BYTES: usize = 16 * FIRST_BLOCK_BYTES;

const _: () = assert!(UNFINISHED_BYTES_MIN < PARTIAL_BYTES_MIN && PARTIAL_BYTES_MIN < PARTIAL_BYTES);
const _: () = assert!(FETCH_CHUNKS_PER_PEER_MAX <= FETCH_CHUNKS_MAX);
const _: () = assert!(FETCH_TRIAL_CHUNKS < FETCH_CHUNKS_PER_PEER_MAX);
const _: () = assert!(FETCH_PASSED_CHUNKS_MAX >= 2 * FETCH_CHUNKS_PER_PEER_MAX);
const _: () = assert!(
    HANDSHAKE_TIME_MAX.as_micros() < CONNECT_PAUSE_EAGER_MAX.as_micros(),
    "an attempt is over when the next one begins"
);
const _: () = assert!(HANDSHAKE_TIME_MAX.as_micros() < CONFIRM_WAIT_MAX.as_micros());
const _: () = assert!(2 * CONFIRM_OTHERS_WAIT.as_micros() < CONFIRM_WAIT_MAX.as_micros());
const _: () = assert!(FETCH_CHUNKS_PER_PEER_MAX <= SERVE_QUEUE_PER_PEER_MAX);

// ---- duties (node/backup.rs, restore.rs, list.rs, verify.rs) ----

/// Bytes of listings that a scan keeps over all levels of a deep tree; beyond, the upper ones are listed again.
pub const SCAN_BYTES_MAX: usize = 2 * LIST_BYTES_MAX;
/// What an item of a listing costs beside its name, in bytes of memory.
pub const LIST_ITEM_BYTES: usize = 128;
/// Content bytes read with the opening of a file.
pub const FIRST_BLOCK_BYTES: usize = 256 * 1024;
/// Content bytes of each later read of a file.
pub const NEXT_BLOCK_BYTES: usize = 512 * 1024;
/// Shorter holes of sparse files are kept as zeros: a list of tiny pieces costs more than zeros that compress.
pub const HOLE_BYTES_MIN: u64 = 64 * 1024;
/// A file that grew by this much while it was read is cut off there, and read again.
pub const GROWTH_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A file that changed while it was read is read so often in all before it is stored as torn.
pub const READ_ATTEMPTS_MAX: u8 = 3;
/// Changes this shortly before a scan may hide behind an equal stat: they are read again at the next one.
pub const RACY_SPAN: Span = Span::from_secs(3);
/// Entries that wait between the comparison and the tree, in bytes.
pub const SCAN_QUEUE_BYTES_MAX: usize = 512 * 1024;
/// Steps of a walk in one turn of the main thread, each about a microsecond.
pub const STEPS_PER_TURN_MAX: usize = 1_024;
/// Sealed bytes on their way to the store; more than a group, or the two would wait for each other.
pub const PUT_BYTES_MAX: u64 = GROUP_BYTES_MAX + 5 * 512 * 1024;
/// Pages of ids on their way into a temporary set.
pub const SET_PAGES_MAX: usize = 8;
/// Paths that a report names; more are counted.
pub const REPORTED_PATHS_MAX: usize = 100;
/// Names of a directory that are looked at to find the nearest to one that is not there.
pub const NEAREST_NAMES_MAX: usize = 2_000;
/// Content chunks that a restore asks for ahead.
pub const RESTORE_CHUNKS_MAX: usize = 8;
/// Content that the reading of one file asks for ahead, in bytes: twenty that read at once are to fit beside all else.
pub const READ_AHEAD_BYTES: u64 = 512 * 1024;
/// It is given out in pieces of at most this many bytes.
pub const READ_PIECE_BYTES: usize = 64 * 1024;
/// Acts of writing into a shared folder that are asked of the file thread before the first is answered, at most a chunk each.
pub const PUTS_AHEAD_MAX: usize = 4;
/// Entries, holes and chunks of a restore that wait for those before them.
pub const RESTORE_PARTS_MAX: usize = 128;
/// Map nodes that a walk asks for beyond the one that it needs.
pub const NODES_AHEAD_MAX: usize = 3;
/// Ranges of files whose content a restore asks for, where some is there already: a list that would be longer asks for what lies
/// between some of them too.
pub const SELECTION_RANGES_MAX: usize = 1_000;
/// Bytes of the paths in it.
pub const SELECTION_BYTES_MAX: usize = 256 * 1024;
/// Small frames of a restore are sent together up to this length, in bytes.
pub const RESTORE_BATCH_BYTES: usize = 64 * 1024;

const _: () = assert!(FIRST_BLOCK_BYTES > INLINE_BYTES_MAX && NEXT_BLOCK_BYTES <= CUT_BYTES_MAX);
const _: () = assert!(PUT_BYTES_MAX > GROUP_BYTES_MAX + 2 * 1024 * 1024);
const _: () = assert!(UNSYNCED_BYTES_MAX > GROUP_BYTES_MAX + 1024 * 1024 + 1024 * 1024 / 16);
/// A holder that has said nothing of its progress for so long has no pace.
pub const PROGRESS_STALE: Span = Span::from_secs(60);
