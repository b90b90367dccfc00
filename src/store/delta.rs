//! A part of the log, sorted in memory: the newest part of the index, and what runs are made of.
//!
//! Owns what one fact of the log means for the index. Read `index.rs` for how large it may become.

use std::collections::BTreeMap;

use super::run::Entry;
use super::segment::{Frame, Location, Position};
use crate::base::ids::ChunkId;

/// A part of the log, sorted in memory.
#[derive(Debug)]
pub(super) struct Delta {
    /// What it says of each chunk.
    pub(super) entries: BTreeMap<ChunkId, Entry>,
    /// Where the part begins.
    pub(super) from: Position,
    /// Bytes of the frames that were taken in, of those too that count no more.
    pub(super) log_bytes: u64,
}

/// One fact of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A chunk was stored there.
    Put(Location),
    /// A chunk was moved from the one place to the other.
    Moved(Location, Location),
    /// The chunk whose record stood there was given up. The position is where that was said.
    Drop(Location, Position),
    /// The chunk whose record stood there was found damaged. The position is where that was said.
    Rot(Location, Position),
    /// A drop was said again: first said there, and now here.
    Kept(Position, Position),
}

impl Delta {
    /// Nothing yet, from `from` on.
    pub(super) fn new(from: Position) -> Self {
        Self { entries: BTreeMap::new(), from, log_bytes: 0 }
    }

    /// Takes in one fact; gives what it said before. Facts that are older than what is known say nothing.
    pub(super) fn apply(&mut self, id: ChunkId, change: Change) -> Option<Entry> {
        self.log_bytes = self.log_bytes.saturating_add(change.frame(id).total());
        let before = self.entries.get(&id).copied();
        let entry = change.entry();
        if before.is_none_or(|before| entry.is_newer_than(before)) {
            self.entries.insert(id, entry);
        }
        before
    }
}

impl Change {
    /// A frame that says it, as far as its length goes.
    pub(super) fn frame(self, id: ChunkId) -> Frame {
        match self {
            Self::Put(to) | Self::Moved(_, to) => Frame::chunk(id, to.length),
            Self::Drop(..) | Self::Rot(..) | Self::Kept(..) => Frame::drop_of(id, false),
        }
    }

    /// What the index says after it, if nothing newer is known.
    pub(super) fn entry(self) -> Entry {
        match self {
            Self::Put(to) | Self::Moved(_, to) => Entry::Here(to),
            Self::Drop(_, first) | Self::Rot(_, first) | Self::Kept(first, _) => Entry::Gone(first),
        }
    }
}
