//! A part of the log, sorted in memory: the newest part of the index, and what runs are made of.
//!
//! Owns what one fact of the log means for the index. Read `index.rs` for how large it may become.

use std::collections::BTreeMap;

use super::run::{Entry, Tally};
use super::segment::{Location, Position};
use crate::base::ids::ChunkId;

/// A part of the log, sorted in memory.
#[derive(Debug)]
pub(super) struct Delta {
    /// What it says of each chunk.
    pub(super) entries: BTreeMap<ChunkId, Entry>,
    /// Where the part begins.
    pub(super) from: Position,
    /// What it adds up to.
    pub(super) tally: Tally,
}

/// One fact of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A chunk was stored there.
    Put(Location),
    /// The chunk whose record stood there was given up.
    Drop(Location),
    /// The chunk whose record stood there was found damaged.
    Rot(Location),
}

impl Delta {
    /// Nothing yet, from `from` on.
    pub(super) fn new(from: Position) -> Self {
        Self { entries: BTreeMap::new(), from, tally: Tally::default() }
    }

    /// Takes in one fact; gives what it said before.
    pub(super) fn apply(&mut self, id: ChunkId, change: Change) -> Option<Entry> {
        self.tally = self.tally.plus(change.tally());
        let entry = match change {
            Change::Put(location) => Entry::Here(location),
            Change::Drop(_) | Change::Rot(_) => Entry::Gone,
        };
        self.entries.insert(id, entry)
    }
}

impl Change {
    /// What it adds up to.
    pub(super) fn tally(self) -> Tally {
        match self {
            Self::Put(location) => Tally { chunks: 1, bytes: i64::from(location.length), drops: 0 },
            Self::Drop(location) => Tally { chunks: -1, bytes: -i64::from(location.length), drops: 0 },
            Self::Rot(location) => Tally { chunks: -1, bytes: -i64::from(location.length), drops: 1 },
        }
    }
}
