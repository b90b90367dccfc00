//! Bounds of pushing chunks to other nodes, and of what a peer may do wrong.

use super::content::SEALED_BYTES_MAX;
use super::node::FETCH_CHUNKS_MAX;
use super::peers::{IDS_PER_MESSAGE_MAX, SESSION_ANSWER_MAX};
use crate::base::units::Span;

// ---- push (replicate/push.rs, replicate/push/take.rs) ----

/// Chunks that wait here to be offered to one peer: 80 KiB of memory. What does not fit is left to pull.
pub const PUSH_QUEUE_MAX: usize = 2_048;
/// ... and to all peers together: 320 KiB.
pub const PUSH_QUEUES_MAX: usize = 4 * PUSH_QUEUE_MAX;
/// Chunks that one peer was offered and has neither declined nor stored. Four messages: a round trip of 50 ms with chunks of
/// 16 KiB still carries 80 MB/s. A peer that offers more breaks the rule.
pub const PUSH_OFFERED_MAX: usize = 4 * IDS_PER_MESSAGE_MAX;
/// Chunks that were offered and asked for, on their way here from one peer, in bytes: what a line of 160 Mbit/s carries in
/// 100 ms. Their lengths are known, so small ones are asked for in large numbers.
pub const PUSH_WANTED_PEER_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// ... and from all peers together: a quarter of what a fetch may have on its way.
pub const PUSH_WANTED_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A peer that was offered chunks, or has offered some, and lets this pass without a word of them is left to pull.
pub const PUSH_PATIENCE: Span = Span::from_secs(120);
/// Chunks that are synced are named to their sender in lots of so many.
pub const PUSH_STORED_LOT: usize = 32;
/// Bytes that one full member may push here before a snapshot lists any of them (256 GiB), and never more than half of the room
/// that there is: what a first backup sends on a day, and an end to what a member gone bad can fill.
pub const PUSH_UNLISTED_BYTES_MAX: u64 = 256 * 1024 * 1024 * 1024;
/// What was pushed keeps collection waiting for so long after the last of it: a laptop that was closed on its first backup is
/// opened again.
pub const PUSH_HOLD: Span = Span::from_secs(2 * 86_400);
/// ... and for so long after the first of it at the most, so that nobody can stop collection by pushing on and on: it begins anew
/// only when a share of what that member wrote was kept.
pub const PUSH_HOLD_MAX: Span = Span::from_secs(14 * 86_400);
/// How much room there is, is asked of the store so often while chunks are pushed here.
pub const PUSH_ROOM_EVERY: Span = Span::from_secs(60);

// ---- conduct (node/pushing/conduct.rs) ----

/// Chunks that a peer may send without having been asked, beyond those that were cancelled on the way.
pub const UNASKED_CHUNKS_MAX: u64 = 64;
/// Chunks whose bytes are not what their id says, and other broken rules, before a session is cut.
pub const FAULTS_MAX: u64 = 3;

const _: () = assert!(PUSH_WANTED_PEER_BYTES_MAX <= PUSH_WANTED_BYTES_MAX);
const _: () = assert!(PUSH_WANTED_PEER_BYTES_MAX > SEALED_BYTES_MAX as u64);
const _: () = assert!(PUSH_WANTED_BYTES_MAX <= (FETCH_CHUNKS_MAX * SEALED_BYTES_MAX) as u64 / 4);
const _: () = assert!(
    PUSH_PATIENCE.as_micros() > SESSION_ANSWER_MAX.as_micros(),
    "a session that is gone is noticed first"
);
const _: () = assert!(PUSH_HOLD.as_micros() < PUSH_HOLD_MAX.as_micros());
