//! Marking and dropping: one pass over all chunks here, which gives up those that no manifest lists.
//!
//! ```text
//!   Between --roots--> Marking --all nodes read--> Scanning --page--> (Dropping) --> Scanning .. --> Between (next slice)
//!      ^                  |                            |                  |
//!      '-- disturbed: a backup or a share has begun ---'------------------'       last slice --> Finished
//! ```
//!
//! The space of ids is cut into slices, so that what is listed in one fits in memory. For a slice every manifest is walked: nodes above the
//! leaves always (nodes of manifests are chunks too), leaves where they reach into the slice; a node that is shared is read once. Then the index is scanned.
//!
//! **Why nothing needed is dropped.** Whoever lists a chunk in a new manifest, or counts on its being here, is a backup or
//! a share at work. The roots of a slice are taken, and its drops are asked of the store, in turns of the core between
//! which no such duty ran. Every pin that was set before is among the roots; every put and every look that comes later
//! comes later in the store's queue too, and finds the chunk gone. See docs/DESIGN.md, section 7.

use std::collections::BTreeSet;

use super::duty::{Ask, Ops, Told};
use crate::base::ids::{ChunkId, Group};
use crate::base::limits::{
    COLLECT_PAUSE, COLLECT_SLICE_IDS, COLLECT_SLICE_IDS_MAX, COLLECT_VISITED_MAX, PAGE_IDS_MAX,
};
use crate::base::units::Time;
use crate::feed::entry::GroupSet;
use crate::file::map::node::NodeReader;
use crate::store::service::{Op, Reply, Request, ScanState};

/// A manifest that lists what stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Root {
    /// Its root node.
    pub manifest: ChunkId,
    /// Nothing may go if it cannot be read. Of others only what is here is read: nothing was promised on them.
    pub pinned: bool,
    /// All that it lists stays; else not what lies in groups that were moved to others.
    pub whole: bool,
}

/// How the node around the pass is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct World {
    /// Grows whenever a backup or a share begins, or a manifest is pinned.
    pub disturbances: u64,
    /// Neither runs.
    pub is_calm: bool,
    /// Nobody waits for the disk.
    pub is_idle: bool,
}

/// What a [`Pass`] wants.
#[derive(Debug)]
pub enum PassOutput {
    /// All roots: [`Pass::begin_slice`].
    Roots,
    /// Of the core.
    Ask(Ask),
    /// It is over; an error leaves the rest for the next pass.
    Finished(Result<(), String>),
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PassCounts {
    /// Chunks looked at.
    pub chunks: u64,
    /// Chunks given up.
    pub dropped: u64,
    /// Their sealed bytes.
    pub dropped_bytes: u64,
}

/// The machine.
#[derive(Debug)]
pub struct Pass {
    /// Numbers of what is asked.
    ops: Ops,
    /// Where it stands.
    state: State,
    /// The space of ids is cut into 2 to this many slices.
    bits: u32,
    /// The slice at hand.
    slice: u64,
    /// Disturbances when its roots were taken.
    began: u64,
    /// Nodes that are to be read.
    todo: Vec<Node>,
    /// What is listed in this slice; sorted while scanning.
    live: Vec<ChunkId>,
    /// Groups that were moved to others.
    moved: GroupSet,
    /// Nodes of this slice that were read, and whether as whole ones.
    visited: BTreeSet<(ChunkId, bool)>,
    /// The last id that was scanned.
    after: Option<ChunkId>,
    /// What was counted.
    counts: PassCounts,
    /// Nothing is asked before then.
    rest_until: Time,
}

/// The states of a [`Pass`].
#[derive(Debug)]
enum State {
    /// The roots of the next slice are needed.
    Between,
    /// The next node is needed, or all were read.
    Marking,
    /// A node was asked for.
    Reading(Op, Node),
    /// The next page is needed.
    Scanning,
    /// A page was asked for.
    Looking(Op),
    /// These are to be dropped; then, whether the slice goes on behind them.
    Condemned(Vec<ChunkId>, bool),
    /// They are being dropped.
    Dropping(Op, bool),
    /// The end is to be told.
    Ending(Result<(), String>),
    /// It was told.
    Over,
}

/// A node of a manifest that is to be read.
#[derive(Debug, Clone, Copy)]
struct Node {
    /// Which.
    id: ChunkId,
    /// Its level, if its parent tells.
    level: Option<u8>,
    /// Of which manifest.
    root: Root,
}

impl Pass {
    /// Begins a pass over a store with so many chunks.
    #[must_use]
    pub fn new(chunks: u64, duty: u64) -> Self {
        let slices = chunks.div_ceil(COLLECT_SLICE_IDS).max(1).next_power_of_two();
        Self {
            ops: Ops::new(duty),
            state: State::Between,
            bits: slices.trailing_zeros(),
            slice: 0,
            began: 0,
            todo: Vec::new(),
            live: Vec::new(),
            moved: GroupSet::new(),
            visited: BTreeSet::new(),
            after: None,
            counts: PassCounts::default(),
            rest_until: Time::ZERO,
        }
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counts(&self) -> PassCounts {
        self.counts
    }

    /// How far it is, in thousandths.
    #[must_use]
    pub const fn done_per_mille(&self) -> u64 {
        (self.slice * 1_000) >> self.bits
    }

    /// When it goes on if nothing happens.
    #[must_use]
    pub const fn rests_until(&self) -> Time {
        self.rest_until
    }

    /// Takes the roots for the slice at hand, and what was moved to others; `world` is that of this very turn.
    pub fn begin_slice(&mut self, roots: Vec<Root>, moved: GroupSet, world: World) {
        self.moved = moved;
        self.began = world.disturbances;
        self.live.clear();
        self.visited.clear();
        let node = |root: Root| Node { id: root.manifest, level: None, root };
        self.todo = roots.into_iter().map(node).collect();
        // The last is read first: what is shared with a pinned manifest must not count as read with a part missing.
        self.todo.sort_by_key(|node| node.root.pinned);
        self.state = State::Marking;
    }

    /// The next thing it wants; None while it waits or rests.
    pub fn poll(&mut self, now: Time, world: World) -> Option<PassOutput> {
        if let State::Ending(_) = self.state {
            let State::Ending(end) = std::mem::replace(&mut self.state, State::Over) else { return None };
            return Some(PassOutput::Finished(end));
        }
        let waits =
            matches!(self.state, State::Reading(..) | State::Looking(_) | State::Dropping(..) | State::Over);
        if waits || now < self.rest_until || !world.is_calm || !world.is_idle {
            return None;
        }
        if world.disturbances != self.began {
            self.state = State::Between;
        }
        self.rest_until = now + COLLECT_PAUSE;
        if matches!(self.state, State::Marking) {
            match self.todo.pop() {
                Some(node) => return Some(self.read(node)),
                None => self.begin_scan(),
            }
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Condemned(ids, more) => {
                let op = self.ops.draw();
                self.state = State::Dropping(op, more);
                Some(PassOutput::Ask(Ask::Store(Request::Drop { op, ids })))
            }
            State::Scanning => {
                let op = self.ops.draw();
                self.state = State::Looking(op);
                let after = self.after;
                Some(PassOutput::Ask(Ask::Store(Request::Scan {
                    op,
                    after,
                    limit: PAGE_IDS_MAX,
                    read: false,
                })))
            }
            _ => {
                self.state = State::Between;
                Some(PassOutput::Roots)
            }
        }
    }

    /// Takes an answer.
    pub fn told(&mut self, told: Told) {
        match (std::mem::replace(&mut self.state, State::Over), told) {
            (State::Reading(op, node), Told::Store(Reply::Get { op: of, result, .. })) if of == op => {
                match result {
                    Ok(Some(bytes)) => self.node_came(node, bytes),
                    Ok(None) => self.state = State::Marking,
                    Err(error) => self.end(format!("the list of chunks {}: {error}", node.id.short())),
                }
            }
            (State::Reading(op, node), Told::Chunk { op: of, result, .. }) if of == op => match result {
                Ok(bytes) => self.node_came(node, bytes),
                Err(_) => {
                    let reason = "is not here and cannot be had now";
                    self.end(format!("the list of chunks {} {reason}", node.id.short()));
                }
            },
            (State::Looking(op), Told::Store(Reply::Scan { op: of, found, more })) if of == op => {
                self.scanned(&found, more)
            }
            (State::Dropping(op, more), Told::Store(Reply::Drop { op: of, result })) if of == op => {
                match result {
                    Ok(dropped) => {
                        self.counts.dropped += dropped.chunks;
                        self.counts.dropped_bytes += dropped.bytes;
                        self.go_on(more);
                    }
                    Err(error) => self.end(error.to_string()),
                }
            }
            (_, Told::Store(Reply::Failed { error, .. })) => self.end(error.to_string()),
            (state, _) => self.state = state,
        }
    }

    /// Asks for a node, unless it was read for this slice already.
    fn read(&mut self, node: Node) -> PassOutput {
        let op = self.ops.draw();
        self.state = State::Reading(op, node);
        // Those that are pinned are fetched if they are not here; of the others nothing is fetched.
        PassOutput::Ask(if node.root.pinned {
            Ask::Chunk { op, id: node.id }
        } else {
            Ask::Store(Request::Get { op, id: node.id })
        })
    }

    /// A node of a manifest: what it lists stays.
    fn node_came(&mut self, node: Node, bytes: Vec<u8>) {
        self.state = State::Marking;
        if self.visited.len() >= COLLECT_VISITED_MAX {
            self.visited.clear();
        }
        self.visited.insert((node.id, node.root.whole));
        self.keep(node.id);
        if let Err(error) = self.mark(node, bytes) {
            // Of one that nothing was promised on, damage means nothing; its receipt was never written.
            if node.root.pinned {
                self.end(format!("the list of chunks {} is damaged: {error}", node.id.short()));
            }
        }
        if self.live.len() > COLLECT_SLICE_IDS_MAX {
            self.live.sort_unstable();
            self.live.dedup();
            if self.live.len() > COLLECT_SLICE_IDS_MAX / 2 && self.bits < SLICE_BITS_MAX {
                // More is listed than is here. Half of the slice is tried.
                self.bits += 1;
                self.slice *= 2;
                self.state = State::Between;
            }
        }
    }

    /// Marks what a node lists.
    fn mark(&mut self, node: Node, bytes: Vec<u8>) -> Result<(), String> {
        let mut reader = NodeReader::new(bytes).map_err(|error| error.to_string())?;
        let level = reader.level();
        if node.level.is_some_and(|expected| expected != level) {
            return Err("a node stands at the wrong level".into());
        }
        let mut before = 0;
        while reader.advance().map_err(|error| error.to_string())? {
            let key = ChunkId::from_bytes(reader.key().try_into().map_err(|_| "a key is no chunk id")?);
            if level == 0 {
                if node.root.whole || !self.moved.contains(Group::of(&key)) {
                    self.keep(key);
                }
                continue;
            }
            let (child, last) = (reader.child(), self.slice_of(&key));
            self.keep(child);
            let is_wanted = level > 1 || (before <= self.slice && self.slice <= last);
            let is_read =
                self.visited.contains(&(child, true)) || self.visited.contains(&(child, node.root.whole));
            if is_wanted && !is_read {
                self.todo.push(Node { id: child, level: Some(level - 1), ..node });
            }
            before = last;
        }
        Ok(())
    }

    /// Remembers an id, if it lies in this slice.
    fn keep(&mut self, id: ChunkId) {
        if self.slice_of(&id) == self.slice {
            self.live.push(id);
        }
    }

    /// Everything is marked: the index is looked at.
    fn begin_scan(&mut self) {
        self.live.sort_unstable();
        self.live.dedup();
        self.visited.clear();
        self.after = self.slice.checked_sub(1).map(|before| {
            let mut id = [u8::MAX; ChunkId::SIZE];
            let first = (before << (u64::BITS - self.bits)) | (u64::MAX >> self.bits);
            id[..8].copy_from_slice(&first.to_be_bytes());
            ChunkId::from_bytes(id)
        });
        self.state = State::Scanning;
    }

    /// A page of what is here.
    fn scanned(&mut self, found: &[(ChunkId, ScanState)], more: bool) {
        let here: Vec<ChunkId> =
            found.iter().map(|(id, _)| *id).take_while(|id| self.slice_of(id) == self.slice).collect();
        let more = more && here.len() == found.len();
        self.after = here.last().copied().or(self.after);
        self.counts.chunks += u64::try_from(here.len()).unwrap_or(0);
        let condemned: Vec<ChunkId> =
            here.into_iter().filter(|id| self.live.binary_search(id).is_err()).collect();
        if condemned.is_empty() {
            self.go_on(more);
        } else {
            self.state = State::Condemned(condemned, more);
        }
    }

    /// The next page, or the next slice, or the end.
    fn go_on(&mut self, more: bool) {
        self.state = if more {
            State::Scanning
        } else {
            self.slice += 1;
            if self.slice >> self.bits == 0 {
                State::Between
            } else {
                self.live = Vec::new();
                State::Ending(Ok(()))
            }
        };
    }

    /// Nothing more is looked at.
    fn end(&mut self, reason: String) {
        self.state = State::Ending(Err(reason));
    }

    /// The slice in which an id lies.
    fn slice_of(&self, id: &ChunkId) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = *id.as_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]).checked_shr(u64::BITS - self.bits).unwrap_or(0)
    }
}

/// Finer slices than these are not needed by any store that fits on a disk.
const SLICE_BITS_MAX: u32 = 32;
