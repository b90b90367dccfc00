//! A walk over a map that lies in chunks: a tree, a long list of pieces, or a manifest.
//!
//! Owns which node is asked for: a few nodes ahead, so that a map on another device streams. Opens sealed
//! nodes. Does not know what the entries mean. Read `file/map.rs` first.
//!
//! ```text
//!   look() -> Wait   until the node came        advance() -> the next entry
//!          -> Entry  key(), value(), tail()     skip()    -> behind a node that is lost
//!          -> Lost   the node cannot be had     seek(key) -> the first entry from there on
//!          -> End
//! ```

use std::collections::{BTreeMap, VecDeque};

use super::duty::{Ask, ChunkLost, Ops};
use crate::base::ids::ChunkId;
use crate::base::limits::NODES_AHEAD_MAX;
use crate::file::map::{MapCursor, Step};
use crate::seal::sealed::{ChunkKind, Sealer};
use crate::store::service::Op;

/// What is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Sealed nodes of a tree.
    Tree,
    /// Sealed nodes of a list of pieces.
    Pieces,
    /// Open nodes of a manifest.
    Manifest,
}

/// What a look finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// An entry: see [`Reader::key`].
    Entry,
    /// Nothing yet: a node is on its way.
    Wait,
    /// The map ends.
    End,
    /// The next node cannot be had, or is none: [`Reader::skip`] it or give up.
    Lost {
        /// Which, if it is one.
        id: Option<ChunkId>,
        /// Why, for a person.
        reason: String,
    },
}

/// Where a reader stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Before something that was not looked at.
    Before,
    /// Before a node that is awaited.
    Need(ChunkId),
    /// Before a node that cannot be had; without an id: the walk cannot go on at all.
    Lost(Option<ChunkId>, String),
    /// On an entry.
    Entry,
    /// At the end.
    End,
}

/// A walk over one map.
#[derive(Debug)]
pub(super) struct Reader {
    /// What is walked.
    form: Form,
    /// The walk.
    cursor: MapCursor,
    /// Where it stands.
    place: Place,
    /// Nodes on their way.
    asked: BTreeMap<Op, ChunkId>,
    /// Plain nodes that came before they were needed, or why they do not come.
    came: BTreeMap<ChunkId, Result<Vec<u8>, String>>,
    /// Key of the entry, if on one.
    key: Vec<u8>,
    /// Its value.
    value: Vec<u8>,
    /// Its tail.
    tail: Vec<u8>,
    /// Nodes read so far.
    nodes: u64,
    /// Their ids, where somebody takes them.
    visited: Option<Vec<ChunkId>>,
}

impl Reader {
    /// A walk over the map with this root, from its first entry on.
    pub(super) fn new(root: ChunkId, form: Form) -> Self {
        Self {
            form,
            cursor: MapCursor::new(root),
            place: Place::Before,
            asked: BTreeMap::new(),
            came: BTreeMap::new(),
            key: Vec::new(),
            value: Vec::new(),
            tail: Vec::new(),
            nodes: 0,
            visited: None,
        }
    }

    /// The same, and the ids of all nodes read are collected for [`Reader::take_visited`].
    pub(super) fn recording(root: ChunkId, form: Form) -> Self {
        Self { visited: Some(Vec::new()), ..Self::new(root, form) }
    }

    /// What comes next; asks for what is missing.
    pub(super) fn look(&mut self, ops: &mut Ops, asks: &mut VecDeque<Ask>) -> Seen {
        loop {
            match &self.place {
                Place::Entry => return Seen::Entry,
                Place::End => return Seen::End,
                Place::Lost(id, reason) => return Seen::Lost { id: *id, reason: reason.clone() },
                Place::Need(id) => {
                    let id = *id;
                    match self.came.remove(&id) {
                        None => return Seen::Wait,
                        Some(result) => self.take_node(id, result),
                    }
                }
                Place::Before => self.step(ops, asks),
            }
        }
    }

    /// Goes on behind the entry.
    pub(super) fn advance(&mut self) {
        if self.place == Place::Entry {
            self.place = Place::Before;
        }
    }

    /// Goes on behind a node that is lost.
    pub(super) fn skip(&mut self) {
        match self.place {
            Place::Lost(Some(_), _) => {
                self.cursor.skip();
                self.place = Place::Before;
            }
            Place::Lost(None, _) => self.place = Place::End,
            Place::Before | Place::Need(_) | Place::Entry | Place::End => {}
        }
    }

    /// The next entry will be the first whose key is not below `key`.
    pub(super) fn seek(&mut self, key: &[u8]) {
        self.cursor.seek(key);
        self.place = Place::Before;
        self.came.clear();
    }

    /// Key of the entry.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Value of the entry.
    pub(super) fn value(&self) -> &[u8] {
        &self.value
    }

    /// Tail of the entry.
    pub(super) fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Nodes read so far.
    pub(super) const fn nodes(&self) -> u64 {
        self.nodes
    }

    /// Ids of the nodes read since the last call.
    pub(super) fn take_visited(&mut self) -> Vec<ChunkId> {
        self.visited.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// It waits for the answer to this request.
    pub(super) fn has_asked(&self, op: Op) -> bool {
        self.asked.contains_key(&op)
    }

    /// Takes an answer to a chunk request; false if it is not for this walk.
    pub(super) fn chunk_came(
        &mut self,
        op: Op,
        result: Result<Vec<u8>, ChunkLost>,
        sealer: &mut Sealer,
    ) -> bool {
        let Some(id) = self.asked.remove(&op) else { return false };
        let plain = match result {
            Ok(bytes) => self.open(bytes, sealer),
            Err(lost) => Err(lost.reason),
        };
        self.came.insert(id, plain);
        true
    }

    /// One step of the cursor.
    fn step(&mut self, ops: &mut Ops, asks: &mut VecDeque<Ask>) {
        match self.cursor.step() {
            Ok(Step::Entry { key, value, tail }) => {
                refill(&mut self.key, key);
                refill(&mut self.value, value);
                refill(&mut self.tail, tail);
                self.place = Place::Entry;
            }
            Ok(Step::End) => self.place = Place::End,
            Ok(Step::Need(id)) => {
                self.place = Place::Need(id);
                self.ask_ahead(id, ops, asks);
            }
            Err(error) => self.place = Place::Lost(None, error.to_string()),
        }
    }

    /// Asks for a node and those that will follow it.
    fn ask_ahead(&mut self, id: ChunkId, ops: &mut Ops, asks: &mut VecDeque<Ask>) {
        if !self.came.contains_key(&id) && self.came.len() >= NODES_AHEAD_MAX {
            // Left over from before a seek.
            self.came.clear();
        }
        let upcoming = self.cursor.upcoming(NODES_AHEAD_MAX);
        for wanted in std::iter::once(id).chain(upcoming) {
            let known = self.came.contains_key(&wanted) || self.asked.values().any(|asked| *asked == wanted);
            let full = self.asked.len() + self.came.len() > NODES_AHEAD_MAX;
            if known || (full && wanted != id) {
                continue;
            }
            let id = wanted;
            let op = ops.draw();
            self.asked.insert(op, id);
            asks.push_back(Ask::Chunk { op, id });
        }
    }

    /// A node that is needed came, or does not.
    fn take_node(&mut self, id: ChunkId, result: Result<Vec<u8>, String>) {
        let given = result.and_then(|bytes| self.cursor.give(id, bytes).map_err(|error| error.to_string()));
        match given {
            Ok(()) => {
                self.nodes += 1;
                if let Some(visited) = &mut self.visited {
                    visited.push(id);
                }
                self.place = Place::Before;
            }
            Err(reason) => self.place = Place::Lost(Some(id), reason),
        }
    }

    /// The plain node in these bytes of a chunk.
    fn open(&self, bytes: Vec<u8>, sealer: &mut Sealer) -> Result<Vec<u8>, String> {
        let kind = match self.form {
            Form::Manifest => return Ok(bytes),
            Form::Tree => ChunkKind::Tree,
            Form::Pieces => ChunkKind::Pieces,
        };
        sealer.open(kind, &bytes).map_err(|error| error.to_string())
    }
}

/// Replaces what is in a buffer, keeping its room.
fn refill(buffer: &mut Vec<u8>, bytes: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(bytes);
}
