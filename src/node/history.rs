//! `history`: what became of one path over all snapshots of a folder, as JSON Lines, oldest first.
//!
//! ```text
//!   tree of snapshot 1 --root--> ... --leaf--> the entry: version 1 -.
//!   tree of snapshot 2 --another root--> ... --the same node-------->'  the same version, and nothing more is read
//! ```
//!
//! Only the nodes between a tree's root and the path are read, and of the next tree only those that differ from them. Snapshots in a row
//! with the same version (or without the path) are one line. Owns the shape of a line; reads no content.

use std::collections::VecDeque;

use serde_json::{json, Map, Value};

use super::api::ApiError;
use super::duty::{Ask, Ops, Told};
use super::list::{entry_line, Lines, ListOutput};
use super::outbox::Outbox;
use super::ports::Ending;
use crate::base::ids::{ChunkId, SnapshotId};
use crate::base::units::WallTime;
use crate::file::entry::Entry;
use crate::file::map::{MapCursor, Step};
use crate::file::tree::path_of;
use crate::seal::sealed::{ChunkKind, Sealer};
use crate::store::service::Op;

/// One snapshot of the folder.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Its id.
    pub snapshot: SnapshotId,
    /// When it was taken, as its writer's clock had it.
    pub taken: WallTime,
    /// Its tree; None: this node has not got the key.
    pub tree: Option<ChunkId>,
}

/// The job.
#[derive(Debug)]
pub struct History {
    /// The key of the path.
    key: Vec<u8>,
    /// Snapshots that were not looked at, oldest first.
    moments: VecDeque<Moment>,
    /// The descent that runs.
    descent: Option<Descent>,
    /// Nodes on the way to the entry of the last tree, from the root on.
    way: Vec<ChunkId>,
    /// Snapshots in a row that are alike.
    row: Option<Row>,
    /// Numbers of what is asked.
    ops: Ops,
    /// Questions and lines on their way out.
    out: Outbox,
    /// The path was in a snapshot.
    found: bool,
    /// A line was told.
    told: bool,
    /// A part of a tree cannot be had.
    partial: bool,
    /// The end was told.
    over: bool,
}

/// The way down in one tree.
#[derive(Debug)]
struct Descent {
    /// Of this snapshot.
    moment: Moment,
    /// The walk.
    cursor: MapCursor,
    /// Nodes that it went through.
    way: Vec<ChunkId>,
    /// The node that is on its way.
    asked: Option<(Op, ChunkId)>,
}

/// What a snapshot has at the path.
#[derive(Debug, Clone, PartialEq)]
enum State {
    /// This entry: what is the same for equal versions, and its line.
    There([u8; 32], Map<String, Value>),
    /// Nothing.
    Absent,
    /// It is not known, for this reason.
    Unknown(String),
}

/// Snapshots in a row.
#[derive(Debug)]
struct Row {
    /// What they have.
    state: State,
    /// The first of them.
    first: (SnapshotId, WallTime),
    /// The last.
    last: (SnapshotId, WallTime),
    /// How many.
    count: u64,
}

impl History {
    /// The history of `key` in these snapshots; `duty` numbers its operations.
    #[must_use]
    pub fn new(key: Vec<u8>, moments: VecDeque<Moment>, duty: u64) -> Self {
        Self {
            key,
            moments,
            descent: None,
            way: Vec::new(),
            row: None,
            ops: Ops::new(duty),
            out: Outbox::new(),
            found: false,
            told: false,
            partial: false,
            over: false,
        }
    }

    /// Goes on by a node, at most. False if it waits.
    fn work(&mut self) -> bool {
        let Some(descent) = &mut self.descent else {
            let Some(moment) = self.moments.pop_front() else { return false };
            match moment.tree {
                Some(root) => {
                    let mut cursor = MapCursor::new(root);
                    cursor.seek(&self.key);
                    self.descent = Some(Descent { moment, cursor, way: Vec::new(), asked: None });
                }
                None => self.arrived(&moment, State::Unknown("this node has not got its key".into())),
            }
            return true;
        };
        if descent.asked.is_some() {
            return false;
        }
        let state = match descent.cursor.step() {
            Ok(Step::Need(id)) => {
                // Below the same node lies the same entry.
                if let Some(at) = self.way.iter().position(|known| *known == id) {
                    descent.way.extend_from_slice(&self.way[at..]);
                    self.row.as_ref().map(|row| row.state.clone())
                } else {
                    let op = self.ops.draw();
                    descent.asked = Some((op, id));
                    self.out.asks.push_back(Ask::Chunk { op, id });
                    return true;
                }
            }
            Ok(Step::Entry { key, value, tail }) if key == self.key => Some(version(key, value, tail)),
            Ok(Step::Entry { .. } | Step::End) => Some(State::Absent),
            Err(error) => Some(State::Unknown(error.to_string())),
        };
        if let (Some(Descent { moment, way, .. }), Some(state)) = (self.descent.take(), state) {
            // What could not be read is tried again in the next tree.
            self.way = if matches!(state, State::Unknown(_)) { Vec::new() } else { way };
            self.arrived(&moment, state);
        }
        true
    }

    /// It is known what a snapshot has.
    fn arrived(&mut self, moment: &Moment, state: State) {
        self.found |= matches!(state, State::There(..));
        self.partial |= matches!(state, State::Unknown(_));
        let here = (moment.snapshot, moment.taken);
        match &mut self.row {
            Some(row) if is_alike(&row.state, &state) => {
                row.last = here;
                row.count += 1;
            }
            _ => {
                let before = self.row.replace(Row { state, first: here, last: here, count: 1 });
                self.tell(before);
            }
        }
    }

    /// A row is over. That there was nothing before the first version goes without saying.
    fn tell(&mut self, row: Option<Row>) {
        let Some(Row { state, first, last, count }) = row else { return };
        let (word, mut line) = match state {
            State::There(_, line) => ("there", line),
            State::Absent if !self.told => return,
            State::Absent => ("absent", Map::new()),
            State::Unknown(reason) => {
                let reason = [("reason".to_owned(), Value::from(reason))];
                ("unknown", reason.into_iter().collect())
            }
        };
        line.insert("state".into(), word.into());
        let moment = |(snapshot, taken): (SnapshotId, WallTime)| json!({"snapshot": snapshot.hex(), "taken": taken.to_string()});
        line.insert("first".into(), moment(first));
        line.insert("last".into(), moment(last));
        line.insert("snapshots".into(), count.into());
        self.out.tell(Value::Object(line));
        self.told = true;
    }

    /// The end, once all is told.
    fn end(&self) -> Result<Ending, ApiError> {
        match (self.found, self.partial) {
            (true, false) => Ok(Ending::Complete),
            (_, true) => Ok(Ending::Partial),
            (false, false) => {
                let path = String::from_utf8_lossy(&path_of(&self.key)).into_owned();
                Err(ApiError::new(
                    "not_found",
                    format!("there is no '{path}' in any snapshot of this folder"),
                    "look for it with `nuthatch find --all`",
                ))
            }
        }
    }
}

impl Lines for History {
    fn busy(&self) -> bool {
        let waits = self.descent.as_ref().is_some_and(|descent| descent.asked.is_some());
        !self.over && !waits && (self.out.has_credit() || !self.out.has_lines())
    }

    fn taken(&mut self) {
        self.out.taken();
    }

    fn told(&mut self, told: Told, sealer: &mut Sealer) {
        let (Told::Chunk { op, result, .. }, Some(descent)) = (told, &mut self.descent) else { return };
        let Some((_, id)) = descent.asked.take_if(|(asked, _)| *asked == op) else { return };
        let plain = result
            .map_err(|lost| lost.reason)
            .and_then(|bytes| sealer.open(ChunkKind::Tree, &bytes).map_err(|error| error.to_string()));
        let given = plain.and_then(|plain| descent.cursor.give(id, plain).map_err(|error| error.to_string()));
        match given {
            Ok(()) => descent.way.push(id),
            Err(reason) => {
                if let Some(Descent { moment, .. }) = self.descent.take() {
                    self.way.clear();
                    self.arrived(&moment, State::Unknown(reason));
                }
            }
        }
    }

    fn poll(&mut self) -> Option<ListOutput> {
        loop {
            if let Some(output) = self.out.pop() {
                return Some(output);
            }
            if self.out.has_lines()
                || self.over
                || self.descent.as_ref().is_some_and(|descent| descent.asked.is_some())
            {
                return None;
            }
            if !self.work() && self.descent.is_none() {
                let row = self.row.take();
                if row.is_none() {
                    self.over = true;
                    return Some(ListOutput::Finished(self.end()));
                }
                self.tell(row);
            }
        }
    }
}

/// Whether two snapshots have the same.
fn is_alike(one: &State, other: &State) -> bool {
    match (one, other) {
        (State::There(one, _), State::There(other, _)) => one == other,
        (one, other) => one == other,
    }
}

/// The entry as a version: what a person does not see, as the number of the inode, makes none.
fn version(key: &[u8], value: &[u8], tail: &[u8]) -> State {
    let Ok(mut entry) = Entry::decode(value) else {
        return State::Unknown("the entry in the tree is damaged".into());
    };
    let line = entry_line(&path_of(key), &entry);
    (entry.stat.ctime_ns, entry.stat.inode, entry.stat.links) = (0, 0, 0);
    entry.version = None;
    let Ok(seen) = entry.encode() else {
        return State::Unknown("the entry in the tree is damaged".into());
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seen).update(tail);
    State::There(*hasher.finalize().as_bytes(), line)
}
