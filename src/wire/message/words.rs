//! What messages are made of: heads, offers, sightings. No behaviour.

use crate::base::ids::{ChunkId, EntryHash, FeedId, NodeId};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// How far a feed goes as its sender has it. (feed/ has its own type; floors do not look sideways.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedHead {
    /// Which feed.
    pub feed: FeedId,
    /// How many entries.
    pub length: u64,
    /// The last entry's hash.
    pub hash: EntryHash,
}

/// A chunk as it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// Which.
    pub id: ChunkId,
    /// Its sealed length in bytes, from 1 to [`SEALED_BYTES_MAX`](crate::base::limits::SEALED_BYTES_MAX).
    pub bytes: u32,
}

/// What a Who asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum About {
    /// Where this node was seen.
    Node(NodeId),
    /// Who holds this chunk.
    Chunk(ChunkId),
}

/// A node and where it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Who.
    pub node: NodeId,
    /// Where, newest first; at most [`ADDRESSES_PER_MESSAGE_MAX`](crate::base::limits::ADDRESSES_PER_MESSAGE_MAX).
    pub addresses: Vec<SocketAddr>,
}
