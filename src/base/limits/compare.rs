//! Bounds of comparing what two nodes hold (`replicate/reconcile.rs`) and of proving it (`replicate/audit.rs`).

use super::peers::MESSAGE_BYTES_MAX;
use super::store::PAGE_IDS_MAX;
use crate::base::ids::ChunkId;
use crate::base::ranges::IdRange;
use crate::base::units::Span;

/// Ranges that one message speaks of.
pub const RANGE_PARTS_MAX: usize = 64;
/// Ids that are named of one range, short or whole.
pub const RANGE_IDS_MAX: usize = 128;
/// A range with so few ids is told by short ids (8 bytes each), for the fingerprints of its children are as long.
pub const RANGE_SHORTS_MAX: usize = IdRange::CHILDREN;
/// A range with so few ids is told by whole ids (32 bytes each), for the same reason.
pub const RANGE_WHOLE_MAX: usize = IdRange::CHILDREN / 4;
/// Ranges that differ and wait for their turn on the side that asks; half a kilobyte each.
pub const RANGES_WAITING_MAX: usize = 256;
/// Messages that one side asks in an exchange; twenty levels of nonsense, or 1,000 ranges that differ.
pub const EXCHANGE_MESSAGES_MAX: usize = 24;
/// Ids that an exchange finds; if there are more the next one goes on.
pub const EXCHANGE_FOUND_MAX: usize = 1_024;
/// An exchange that is not answered for so long is given up: the other side may have to read its index first, which for 10
/// million chunks takes a minute.
pub const EXCHANGE_PATIENCE: Span = Span::from_secs(300);
/// Ids that are counted in one step of the storage thread: milliseconds.
pub const TALLY_STEP_IDS: usize = 4_096;
/// Pause between two such steps.
pub const TALLY_PAUSE: Span = Span::from_millis(10);
/// What is held in common with a peer is compared so often,
pub const COMPARE_EVERY: Span = Span::from_secs(86_400);
/// ... and this soon (up to twice as late, by chance) after the peer came back, or this node did,
pub const COMPARE_AFTER_ABSENCE: Span = Span::from_secs(120);
/// ... if it was away for longer than this.
pub const COMPARE_ABSENCE_MIN: Span = Span::from_secs(3_600);
/// A comparison that cannot begin, or ended early, is tried again after this long,
pub const COMPARE_RETRY: Span = Span::from_secs(600);
/// ... and one that waits for a peer's receipts is made all the same after this long.
pub const COMPARE_OVERDUE: Span = Span::from_secs(2 * 86_400);
/// Where more differs than one exchange tells, the next one follows this soon.
pub const COMPARE_GO_ON: Span = Span::from_secs(30);
/// Missing chunks that are fetched at once after a comparison.
pub const COMPARE_FETCHES_MAX: usize = 8;
/// The fewest groups that are compared at once where more differs than one exchange can say.
pub const COMPARE_GROUPS_MIN: u16 = 64;
/// Messages of other nodes' comparisons that wait here for their answer; others are refused.
pub const ANSWERS_WAITING_MAX: usize = 8;
/// Messages of one peer's comparisons that are answered within [`ANSWERS_WITHIN`]: eight exchanges that all go on to their bound.
pub const ANSWERS_PER_PEER_MAX: u32 = 192;
/// See [`ANSWERS_PER_PEER_MAX`].
pub const ANSWERS_WITHIN: Span = Span::from_secs(3_600);

const _: () = assert!(RANGE_SHORTS_MAX <= RANGE_IDS_MAX && RANGE_WHOLE_MAX <= RANGE_IDS_MAX);
const _: () = assert!(RANGE_PARTS_MAX * (RANGE_IDS_MAX * ChunkId::SIZE + 16) < MESSAGE_BYTES_MAX);
const _: () =
    assert!(EXCHANGE_FOUND_MAX <= PAGE_IDS_MAX, "one question to the store tells which of them are here");

// ---- audit ----

/// Bytes of a chunk that a proof is about.
pub const AUDIT_RANGE_BYTES: u32 = 16 * 1024;
/// Chunks among which one is found that the holder has promised: of what both are to hold, some is of nobody's snapshot any more.
pub const AUDIT_CHOICES_MAX: usize = 8;
/// A holder is asked for a proof so often,
pub const AUDIT_EVERY: Span = Span::from_secs(6 * 3_600);
/// ... not sooner after it came up than this (up to twice as late, by chance),
pub const AUDIT_AFTER_UP: Span = Span::from_secs(1_800);
/// ... or, where not everybody is linked with everybody and it may be gone soon, this,
pub const AUDIT_CALLED: Span = Span::from_secs(5);
/// ... nor after it was marked, from which on the pause grows to the usual one,
/// ... and so often while it is doubted, or has begun to prove again.
pub const AUDIT_SOON: Span = Span::from_secs(300);
/// ... or, of one that may be gone soon, so often; and so soon again where the disk was busy.
pub const AUDIT_FAR_SOON: Span = Span::from_secs(30);
/// Where not everybody is linked with everybody, somebody is sought out to be asked only so often, and each at most ...
pub const AUDIT_SEEK_PAUSE: Span = Span::from_secs(600);
/// ... once in so long, whether it was reached or not: of a thousand devices each is asked by its writers about once a week, by
/// its fellows about once a day.
pub const AUDIT_SEEK_AGAIN: Span = Span::from_secs(3_600);
/// ... of so many that come first, one that has promised something which this node has promised or written, too.
pub const AUDIT_SEEK_LOOKS: usize = 8;
/// Challenges after a failure before a holder is believed again, and such as lift a mark.
pub const AUDIT_SAMPLES: u8 = 8;
/// So many failures of them mark a holder.
pub const AUDIT_FAILURES_MAX: u8 = 3;
/// A proof that has not come after this long is none, if the session stood all the time.
pub const AUDIT_PATIENCE: Span = Span::from_secs(120);
/// Chunks here that are looked through behind a random id for one that a holder can be asked for.
pub const AUDIT_LOOK_MAX: usize = 256;
/// Times that such a look goes on behind where it has come to, half of them before it begins anew at the first chunk.
pub const AUDIT_LOOKS_MAX: u8 = 16;
/// Chunks that others asked for in vain and that wait here to be looked for.
pub const MISSED_MAX: usize = 32;
/// Of chunks that others wanted to have from here one is taken up so often.
pub const MISSED_PAUSE: Span = Span::from_secs(60);
/// All that a node has promised is looked through so often at most, when something of it was missing.
pub const LOOK_THROUGH_EVERY: Span = Span::from_secs(3_600);
/// ... and so often when somebody came who may have what could not be had.
pub const LOOK_AGAIN_EVERY: Span = Span::from_secs(6 * 3_600);
/// ... and so often in a row, where own snapshots came back and not all of them is here yet.
pub const LOOKS_AGAIN_MAX: u8 = 24;
/// Challenges of one peer that are answered within [`ANSWERS_WITHIN`].
pub const PROOFS_PER_PEER_MAX: u32 = 32;
/// Challenges of one peer that wait here for the disk: it makes one at a time, and may have begun anew.
pub const PROOFS_WAITING_PER_PEER_MAX: usize = 2;

const _: () = assert!(AUDIT_FAILURES_MAX > 1 && AUDIT_FAILURES_MAX <= AUDIT_SAMPLES);
const _: () = assert!(ANSWERS_WITHIN.as_micros() / AUDIT_SOON.as_micros() < PROOFS_PER_PEER_MAX as u64);
