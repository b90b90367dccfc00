//! Bounds of lookup, and of which members a node holds sessions with.

use super::{
    ADDRESSES_PER_MESSAGE_MAX, CONNECT_PAUSE_EAGER_MAX, CONNECT_PAUSE_MAX, HANDSHAKE_TIME_MAX, SESSIONS_MAX,
    SIGHTINGS_PER_MESSAGE_MAX,
};
use crate::base::units::Span;

// ---- the mesh (replicate/mesh.rs, node/linking.rs) ----

/// Fewest sessions that `peers.sessions` may allow: a ring and a little more.
pub const SESSIONS_MIN: usize = 8;
/// Neighbours on each side of the ring that a node is linked with: two in a row may be away.
pub const MESH_RING: usize = 3;
/// Mean number of links beside the ring, where the members are a power of two; else down to half of it.
pub const MESH_LINKS_MEAN: u64 = 16;
/// Sessions that a node holds by its own choice where it cannot have one with everybody: the others are for those who come,
/// and for what is needed now. Three quarters of what it may have.
pub const LINKS_OWN_MAX: usize = SESSIONS_MAX / 4 * 3;
/// With fewer sessions than this, a node tries any member it knows an address of: it may know of no others yet.
pub const LINKS_FEW: usize = 4;
/// A session that is not of the mesh counts as idle when no chunk went or came, and nobody was looked for, for this long.
pub const LINK_IDLE: Span = Span::from_secs(60);
/// ... or for this long, where no place is free: somebody may come who knows nobody else.
pub const LINK_IDLE_FULL: Span = Span::from_secs(10);
/// ... or for this long, where no place is free for somebody whom this node needs.
pub const LINK_IDLE_NEEDED: Span = Span::from_secs(2);
/// A member that is needed for a transfer is connected with for at least this long.
pub const LINK_NEED_TIME: Span = Span::from_secs(120);
/// Members that are needed at once, beside the mesh.
pub const LINKS_NEEDED_MAX: usize = 16;
/// A node that said it holds as many sessions as it may is not tried again for this long...
pub const LINK_CROWDED_PAUSE: Span = Span::from_secs(300);
/// ... or this long, by who has hardly any sessions, or needs it now.
pub const LINK_CROWDED_PAUSE_MIN: Span = Span::from_secs(15);
/// Addresses of members are collected anew no more often than this.
pub const RECHECK_PAUSE: Span = Span::from_millis(500);
/// Which sessions are kept is looked at this often while there are more than may be held by choice.
pub const LINKS_CHECK: Span = Span::from_secs(10);

// ---- lookup (node/finding.rs) ----

/// Questions of this node's own that are open at once.
pub const LOOKUPS_MAX: usize = 64;
/// Peers that one question goes to: those that are nearest on the ring to whom it is about, and so likeliest to know.
pub const LOOKUP_PEERS: usize = 3;
/// A question is over after this long: two round trips over the slowest line, one of them by a peer of the peer.
pub const LOOKUP_TIME_MAX: Span = Span::from_secs(10);
/// A member is asked for when all of its addresses have failed for this long...
pub const LOOKUP_AFTER: Span = Span::from_secs(30);
/// ... and again this often.
pub const LOOKUP_EVERY: Span = Span::from_secs(300);
/// Members that are asked for in one turn: the others have theirs soon after.
pub const LOOKUPS_PER_TURN_MAX: usize = 8;
/// Pause between two such turns.
pub const LOOKUP_TURN: Span = Span::from_secs(5);
/// Questions of others that were passed on and are not answered yet.
pub const RELAYS_MAX: usize = 64;
/// Those who wait for the answer to one of them.
pub const RELAY_ASKERS_MAX: usize = 8;
/// What was passed on is answered at the latest after this long, so that the asker hears it in time.
pub const RELAY_TIME_MAX: Span = Span::from_secs(5);
/// Questions that one peer may ask at once...
pub const WHO_BURST: u32 = 32;
/// ... and one more this often. What is asked beyond is dropped and counted.
pub const WHO_PAUSE: Span = Span::from_millis(500);
/// A peer of which so many questions were dropped is told of in the log, and is answered nothing for [`WHO_SILENCE`].
pub const WHO_DROPPED_MAX: u32 = 256;
/// See [`WHO_DROPPED_MAX`].
pub const WHO_SILENCE: Span = Span::from_secs(600);
/// Peers whose questions are counted; beyond, whoever asked least recently begins anew.
pub const WHO_PEERS_MAX: usize = 4 * SESSIONS_MAX;
/// Addresses of one answer that are tried for one node.
pub const HINT_ADDRESSES_MAX: usize = 4;
/// Attempts at one IP address (IPv4, or the first 64 bits of IPv6) that hints may lead to within [`HINT_PAUSE`], whoever gave
/// them: each is at most five datagrams, so this is what a member gone bad can make this node send to a stranger.
pub const HINT_ATTEMPTS_MAX: u32 = 4;
/// See [`HINT_ATTEMPTS_MAX`].
pub const HINT_PAUSE: Span = Span::from_secs(300);
/// IP addresses that are told apart for that; where there are more, nothing that was hinted is tried until some are forgotten.
pub const HINT_PLACES_MAX: usize = 256;

// ---- chunks that no connected peer is known to hold (node/seeking.rs) ----

/// Chunks that are sought at once; more cannot be had.
pub const SEEKS_MAX: usize = 128;
/// A chunk is sought for this long: sessions with its holders, and a question on the way to them.
pub const SEEK_TIME_MAX: Span = Span::from_secs(30);
/// Where as many members are needed as can be, this is how often it is looked whether one of them is done with,
pub const SEEK_RETRY: Span = Span::from_secs(1);
/// and how long a chunk waits for that at the most.
pub const SEEK_CROWDED_MAX: Span = Span::from_secs(600);
/// Holders of a chunk that are reached for it.
pub const SEEK_NODES_MAX: usize = 8;
/// Newest snapshots whose receipts are looked at to find holders.
pub const SEEK_SNAPSHOTS_MAX: usize = 64;

const _: () = assert!(LINKS_OWN_MAX + LINKS_NEEDED_MAX <= SESSIONS_MAX);
const _: () = assert!(SESSIONS_MIN / 4 * 3 >= 2 * MESH_RING, "the ring fits the smallest choice");
const _: () = assert!(HINT_ADDRESSES_MAX <= ADDRESSES_PER_MESSAGE_MAX);
const _: () = assert!(SEEK_NODES_MAX <= SIGHTINGS_PER_MESSAGE_MAX && SEEK_NODES_MAX < LINKS_NEEDED_MAX);
const _: () = assert!(RELAY_TIME_MAX.as_micros() < LOOKUP_TIME_MAX.as_micros());
const _: () =
    assert!(LOOKUP_AFTER.as_micros() > CONNECT_PAUSE_EAGER_MAX.as_micros() + HANDSHAKE_TIME_MAX.as_micros());
const _: () = assert!(LOOKUP_EVERY.as_micros() > CONNECT_PAUSE_MAX.as_micros());
const _: () =
    assert!(HANDSHAKE_TIME_MAX.as_micros() + LOOKUP_TIME_MAX.as_micros() < SEEK_TIME_MAX.as_micros());
