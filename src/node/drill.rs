//! A restore drill: some files of some snapshots, drawn at random, are read from other devices as if this one had burned.
//!
//! ```text
//!   Idle --a snapshot is drawn--> Descending --a random way down its tree, to a file--> Reading --its pieces--> Idle
//! ```
//!
//! Owns what is drawn and what is compared: every node of the tree on the way and every piece has the id that this device's own tree
//! names, opens under the vault's key, and has the length that is told. Whom a chunk is asked of is decided in `node/drill/drilling.rs`,
//! which also checks the id; nothing is read from the own store but what the feed says: the root of each tree.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_chacha::ChaCha20Rng;
use serde_json::{json, Value};

use crate::base::ids::{ChunkId, NodeId, SnapshotId};
use crate::base::limits::{DRILL_ATTEMPTS_MAX, DRILL_BYTES_MAX, DRILL_FILES_MAX, DRILL_NODES_MAX};
use crate::file::entry::InlineCodec;
use crate::seal::sealed::{ChunkKind, Sealer};

mod drawing;
pub(super) mod drilling;

/// A snapshot to be drilled.
#[derive(Debug, Clone)]
pub struct Target {
    /// The name of its folder.
    pub folder: String,
    /// Which.
    pub snapshot: SnapshotId,
    /// Root of its tree.
    pub tree: ChunkId,
}

/// What a drill wants next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// A chunk of this snapshot, of another device.
    Chunk {
        /// Which snapshot lists it.
        snapshot: SnapshotId,
        /// Which.
        id: ChunkId,
    },
    /// To tell a line.
    Line(Value),
    /// Nothing more.
    Over,
}

/// What did not work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Folder and path.
    pub what: String,
    /// Which device; empty: none that is connected.
    pub node: String,
    /// Why.
    pub reason: String,
}

/// What a drill has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drilled {
    /// Files that came back.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Files that nobody could be asked for.
    pub untested: u64,
    /// Who gave anything.
    pub nodes: BTreeSet<NodeId>,
    /// What did not work.
    pub problems: Vec<Problem>,
}

/// The machine.
#[derive(Debug)]
pub struct Drill {
    /// Draws.
    rng: ChaCha20Rng,
    /// All snapshots.
    targets: Vec<Target>,
    /// Those that are drawn from.
    open: Vec<usize>,
    /// What it has come to.
    pub drilled: Drilled,
    /// Files that may still be drawn, and attempts to find one.
    left: (u64, u64),
    /// Bytes that may still be asked for.
    bytes_left: u64,
    /// What it does.
    doing: Doing,
    /// Nodes of trees that came lately.
    nodes: BTreeMap<ChunkId, Vec<u8>>,
    /// Files that were drawn: target and key.
    drawn: BTreeSet<(usize, Vec<u8>)>,
    /// Lines to be told.
    lines: VecDeque<Value>,
    /// Unpacks small content.
    inline: InlineCodec,
}

/// The states of a [`Drill`].
#[derive(Debug)]
enum Doing {
    /// The next file is to be drawn.
    Idle,
    /// A way down the tree of this target; the node that comes next.
    Descending(usize, ChunkId),
    /// A file is read.
    Reading(Box<Reading>),
    /// It is over.
    Over,
}

/// A file that is read.
#[derive(Debug)]
struct Reading {
    /// Of which target.
    target: usize,
    /// Its path.
    path: Vec<u8>,
    /// Its length as its entry says.
    size: u64,
    /// What is still to be read of it, next last.
    todo: Vec<Todo>,
    /// Bytes that came.
    bytes: u64,
    /// All of it is read, not only some pieces.
    whole: bool,
}

/// A part of a file.
#[derive(Debug, Clone, Copy)]
enum Todo {
    /// A piece of so many bytes.
    Piece(ChunkId, u32),
    /// A node of the list of pieces, in which one is drawn.
    List(ChunkId),
}

impl Drill {
    /// A drill over these snapshots.
    #[must_use]
    pub fn new(targets: Vec<Target>, rng: ChaCha20Rng) -> Self {
        Self {
            rng,
            open: (0..targets.len()).collect(),
            targets,
            drilled: Drilled::default(),
            left: (DRILL_FILES_MAX, DRILL_ATTEMPTS_MAX),
            bytes_left: DRILL_BYTES_MAX,
            doing: Doing::Idle,
            nodes: BTreeMap::new(),
            drawn: BTreeSet::new(),
            lines: VecDeque::new(),
            inline: InlineCodec::new(),
        }
    }

    /// What comes next; the same chunk until [`Drill::came`] or [`Drill::lost`] is called.
    pub fn step(&mut self) -> Next {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Next::Line(line);
            }
            match &self.doing {
                Doing::Over => return Next::Over,
                Doing::Idle => self.draw(),
                Doing::Descending(target, id) => {
                    let (target, id) = (*target, *id);
                    match self.nodes.get(&id).cloned() {
                        Some(node) => self.descend(target, &node),
                        None => return Next::Chunk { snapshot: self.targets[target].snapshot, id },
                    }
                }
                Doing::Reading(reading) => match reading.todo.last() {
                    Some(Todo::Piece(id, _) | Todo::List(id)) => {
                        return Next::Chunk { snapshot: self.targets[reading.target].snapshot, id: *id }
                    }
                    None => self.file_ends(),
                },
            }
        }
    }

    /// What it reads now, for people.
    #[must_use]
    pub fn what(&self) -> String {
        match &self.doing {
            Doing::Reading(reading) => {
                let folder = &self.targets[reading.target].folder;
                format!("{folder}:{}", String::from_utf8_lossy(&reading.path))
            }
            Doing::Descending(target, _) => format!("the tree of {}", self.targets[*target].folder),
            Doing::Idle | Doing::Over => "nothing".into(),
        }
    }

    /// The chunk that was wanted came from this device, and its id is right.
    pub fn came(&mut self, node: (NodeId, &str), sealed: &[u8], sealer: &mut Sealer) {
        self.drilled.nodes.insert(node.0);
        let kind = match &self.doing {
            Doing::Descending(..) => ChunkKind::Tree,
            Doing::Reading(reading) => match reading.todo.last() {
                Some(Todo::List(_)) => ChunkKind::Pieces,
                _ => ChunkKind::Content,
            },
            Doing::Idle | Doing::Over => return,
        };
        let plain = match sealer.open(kind, sealed) {
            Ok(plain) => plain,
            Err(error) => return self.wrong(node.1, &format!("it cannot be opened: {error}")),
        };
        let length = u64::try_from(plain.len()).unwrap_or(u64::MAX);
        self.bytes_left = self.bytes_left.saturating_sub(length);
        match &mut self.doing {
            Doing::Descending(target, id) => {
                let (target, id) = (*target, *id);
                if self.nodes.len() >= DRILL_NODES_MAX {
                    self.nodes.clear();
                }
                self.nodes.insert(id, plain.clone());
                self.descend(target, &plain);
            }
            Doing::Reading(reading) => match reading.todo.pop() {
                Some(Todo::Piece(_, expected)) if u64::from(expected) == length => reading.bytes += length,
                Some(Todo::Piece(_, expected)) => {
                    self.wrong(node.1, &format!("{length} bytes instead of {expected}"));
                }
                Some(Todo::List(_)) => self.list(&plain),
                None => {}
            },
            Doing::Idle | Doing::Over => {}
        }
    }

    /// A device did not give the chunk that was wanted; another may.
    pub fn failed(&mut self, node: &str, reason: &str) {
        let (what, node, reason) = (self.what(), node.to_owned(), reason.to_owned());
        self.lines.push_back(json!({"event": "problem", "what": what, "node": node, "reason": reason}));
        self.drilled.problems.push(Problem { what, node, reason });
    }

    /// Nobody can be asked for the chunk that is wanted; `tried`: of those who were, none gave it.
    pub fn lost(&mut self, tried: bool) {
        if !tried {
            self.drilled.untested += 1;
            let what = self.what();
            self.lines.push_back(
                json!({"event": "untested", "what": what, "reason": "no connected device holds a copy"}),
            );
        }
        self.give_up(tried);
    }

    /// Ends before its time.
    pub fn stop(&mut self) {
        self.doing = Doing::Over;
    }

    /// What came is not what it should be.
    fn wrong(&mut self, node: &str, reason: &str) {
        self.failed(node, reason);
        self.give_up(true);
    }

    /// The file that is read, or looked for, is left. Where nobody can be asked, other files of that snapshot fare no better.
    fn give_up(&mut self, goes_on: bool) {
        let target = match &self.doing {
            Doing::Descending(target, _) => *target,
            Doing::Reading(reading) => reading.target,
            Doing::Idle | Doing::Over => return,
        };
        if !goes_on {
            self.open.retain(|open| *open != target);
        }
        self.doing = Doing::Idle;
    }

    /// All that was wanted of a file came: is it as long as its entry says?
    fn file_ends(&mut self) {
        let Doing::Reading(reading) = std::mem::replace(&mut self.doing, Doing::Idle) else { return };
        if reading.whole && reading.bytes != reading.size {
            let reason = format!("it has {} bytes, and should have {}", reading.bytes, reading.size);
            self.doing = Doing::Reading(reading);
            return self.wrong("", &reason);
        }
        let Reading { target, path, bytes, whole, .. } = *reading;
        self.drilled.files += 1;
        self.drilled.bytes = self.drilled.bytes.saturating_add(bytes);
        self.lines.push_back(json!({
            "event": "restored", "folder": self.targets[target].folder, "path": String::from_utf8_lossy(&path),
            "bytes": bytes, "in_part": !whole,
        }));
    }
}
