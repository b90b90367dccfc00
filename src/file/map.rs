//! The sorted map cut into chunks by content: trees, manifests and long lists of pieces are three uses of it.
//!
//! A map is a tree of nodes. Leaves (level 0) hold the entries: key, value and an optional tail. A node above holds
//! for each child its last key and its chunk id. Where nodes end is decided by the keys alone: a key closes its node
//! when its hash, keyed by the map key and the level, is below the entry's length / 32 KiB as a fraction; and a cut is
//! forced 512 KiB after the node's start. So the shape is a function of the set of entries, whatever the history, and
//! equal ranges of two maps are equal nodes. The lowest level that has but one node is the root.
//!
//! ```text
//!  level 1                [ c | f | k ]
//!                        /      |      \
//!  level 0      [ a b c ]   [ d e f ]   [ g h i j k ]
//! ```
//!
//! This file builds; `map/node.rs` owns the bytes of a node, `map/cursor.rs` reads. None of them knows a cipher or a
//! store: who builds is given a function from node to chunk id, who reads gives the nodes that are asked for. Memory
//! is one open node a level, whatever the number of entries.

#[cfg(test)]
mod build_tests;
pub mod cursor;
pub mod differ;
pub mod error;
pub mod node;
#[cfg(test)]
mod node_tests;

pub use cursor::{MapCursor, Step};
pub use differ::{Differ, Difference, Side};
pub use error::MapError;
pub use node::{check_node_bytes, NodeParts};

use crate::base::ids::ChunkId;
use crate::base::limits::{
    ENTRY_BYTES_MAX, MAP_KEY_BYTES_MAX, MAP_LEVELS_MAX, NODE_BYTES_MAX, NODE_BYTES_MEAN, TAIL_BYTES_MAX,
};
use node::{Added, NodeWriter};

/// Takes a finished node away and says what it is called from now on.
pub type SealNode<'a> = dyn FnMut(NodeParts<'_>) -> ChunkId + 'a;

/// Builds a map from its entries in ascending order.
#[derive(Debug, Clone)]
pub struct MapBuilder {
    /// What decides over cuts.
    key: [u8; 32],
    /// The open node of each level that has begun, leaves first.
    levels: Vec<Level>,
    /// Entries so far.
    entries: u64,
}

/// The open node of one level.
#[derive(Debug, Clone)]
struct Level {
    /// The map key, bound to this level.
    key: [u8; 32],
    /// The node.
    open: NodeWriter,
    /// Length of the open node as the rule of cutting counts it, in bytes.
    length: usize,
    /// The last entry closes the node. It is sealed only when another follows on this level, or at the end: only then it
    /// is known whether it is the root.
    closed: bool,
    /// A node of this level was sealed.
    sealed: bool,
}

impl MapBuilder {
    /// Begins an empty map whose shape is decided by `key`.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self { key: *key, levels: vec![Level::new(key, 0)], entries: 0 }
    }

    /// Adds an entry, whose key is greater than all so far. Nodes that it closes are given to `seal`, children first.
    ///
    /// # Errors
    /// When the key is not greater, or something is longer than limits.rs allows. The entry is not added then.
    pub fn push(
        &mut self,
        key: &[u8],
        value: &[u8],
        tail: &[u8],
        seal: &mut SealNode<'_>,
    ) -> Result<(), MapError> {
        if key.len() > MAP_KEY_BYTES_MAX
            || key.len() + value.len() > ENTRY_BYTES_MAX
            || tail.len() > TAIL_BYTES_MAX
        {
            return Err(MapError::TooLong);
        }
        if self.entries > 0 && key <= self.levels[0].open.last_key() {
            return Err(MapError::Order);
        }
        if self.levels[0].closed {
            self.rise(0, seal)?;
        }
        self.levels[0].add(Added { key, value, tail });
        self.entries += 1;
        Ok(())
    }

    /// How many entries it has.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// The map of the entries so far, as if it ended here; building goes on as if nothing had happened. What is open, a node
    /// a level, is copied for it.
    ///
    /// # Errors
    /// As [`MapBuilder::finish`].
    pub fn so_far(&self, seal: &mut SealNode<'_>) -> Result<ChunkId, MapError> {
        self.clone().finish(seal)
    }

    /// Ends the map: seals what is open and gives the root. An empty map is one empty leaf.
    ///
    /// # Errors
    /// When there are too many levels.
    pub fn finish(mut self, seal: &mut SealNode<'_>) -> Result<ChunkId, MapError> {
        let mut level = 0;
        loop {
            let top = &mut self.levels[level];
            if !top.sealed {
                // The only node of its level; above the leaves it has several children, for the level below was sealed
                // before.
                return Ok(top.seal(seal));
            }
            self.rise(level, seal)?;
            level += 1;
        }
    }

    /// Seals the open node of `level` and tells the level above of it.
    fn rise(&mut self, level: usize, seal: &mut SealNode<'_>) -> Result<(), MapError> {
        let above = level + 1;
        if above == self.levels.len() {
            let number = u8::try_from(above).map_err(|_| MapError::TooDeep)?;
            if number >= MAP_LEVELS_MAX {
                return Err(MapError::TooDeep);
            }
            self.levels.push(Level::new(&self.key, number));
        }
        if self.levels[above].closed {
            self.rise(above, seal)?;
        }
        let (below, upper) = self.levels.split_at_mut(above);
        let id = below[level].seal(seal);
        upper[0].add(Added { key: below[level].open.last_key(), value: id.as_bytes(), tail: &[] });
        Ok(())
    }
}

impl Level {
    /// A level without a node.
    fn new(key: &[u8; 32], number: u8) -> Self {
        let key = *blake3::keyed_hash(key, &[number]).as_bytes();
        Self { key, open: NodeWriter::new(number), length: 0, closed: false, sealed: false }
    }

    /// Adds an entry to the open node, and decides whether it closes it.
    fn add(&mut self, entry: Added<'_>) {
        self.open.add(entry);
        let length = entry.key.len() + entry.value.len() + entry.tail.len() + ENTRY_OVERHEAD_BYTES;
        self.length += length;
        self.closed = self.length >= NODE_BYTES_MAX || self.closes(entry.key, length);
    }

    /// Is the hash of `key` below `length` / [`NODE_BYTES_MEAN`] as a fraction?
    fn closes(&self, key: &[u8], length: usize) -> bool {
        let hash = blake3::keyed_hash(&self.key, key);
        let (eight, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        // hash / 2^64 < length / mean, without division. Both lengths are below 2^20.
        let mean = u128::try_from(NODE_BYTES_MEAN).unwrap_or(u128::MAX);
        let length = u128::try_from(length).unwrap_or(0);
        u128::from(u64::from_be_bytes(*eight)) * mean < length << 64
    }

    /// Gives the open node to `seal` and begins the next.
    fn seal(&mut self, seal: &mut SealNode<'_>) -> ChunkId {
        let id = seal(self.open.parts());
        self.open.clear();
        self.length = 0;
        self.closed = false;
        self.sealed = true;
        id
    }
}

/// What an entry counts beside its key, value and tail: about what their lengths take in a node.
const ENTRY_OVERHEAD_BYTES: usize = 4;
