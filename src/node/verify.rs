//! Verifying: is everything that should be on this disk there, and is it what it should be?
//!
//! ```text
//!   Reading (only with `all`) --last page--> Manifest(snapshot) --End--> Tree(snapshot) --End--> next snapshot
//!   every chunk of the store                 structure, presence         structure (key holders)      or the result
//! ```
//!
//! Reads this node's own store and nothing else: a chunk that only another node has is missing here. Each damage is told
//! as it is found, and fetched from others meanwhile; memory is one node a level and one page. Where nobody waits for the answer,
//! a node of a manifest that is missing is waited for, and the walk goes on below it.

pub(super) mod job;

use std::collections::VecDeque;

use serde_json::{json, Value};

use self::job::{VerifyJob, VerifySnapshot, DAMAGE_LINES_MAX};
use super::api::ApiError;
use super::duty::{Ask, Ops, Told};
use super::healing::Whose;
use super::ports::Ending;
use crate::base::ids::{ChunkId, Group};
use crate::base::limits::PAGE_IDS_MAX;
use crate::file::entry::Entry;
use crate::file::map::{MapCursor, Step};
use crate::file::tree;
use crate::seal::sealed::{ChunkKind, Sealer};
use crate::store::service::{Op, Reply, Request, ScanState};

/// What a [`Verify`] wants.
#[derive(Debug)]
pub enum VerifyOutput {
    /// Of the core.
    Ask(Ask),
    /// A line of the answer.
    Line(Value),
    /// A chunk is not here, or damaged: it is to be fetched.
    Misses(ChunkId, Whose),
    /// It is over; damage was told in lines and makes the call fail.
    Finished(Result<Ending, ApiError>),
}

/// The machine.
#[derive(Debug)]
pub struct Verify {
    /// What is still to be done, next first.
    snapshots: VecDeque<VerifySnapshot>,
    /// Numbers of what is asked.
    ops: Ops,
    /// Where it stands.
    state: State,
    /// What is to be said and asked.
    outputs: VecDeque<VerifyOutput>,
    /// The answer that is awaited.
    awaited: Option<Op>,
    /// What was counted.
    counts: VerifyCounts,
    /// The ids of the page that was asked about.
    page: Vec<ChunkId>,
    /// Missing nodes of manifests are waited for; the last one that was.
    fetches: Option<ChunkId>,
}

/// The states of a [`Verify`].
#[derive(Debug)]
enum State {
    /// All chunks are read, page by page.
    Reading,
    /// A manifest is walked.
    Manifest(VerifySnapshot, Box<MapCursor>),
    /// A tree is walked.
    Tree(VerifySnapshot, Box<MapCursor>),
    /// The next snapshot begins.
    Next,
    /// The result was told.
    Over,
}

/// What was counted.
#[derive(Debug, Default)]
struct VerifyCounts {
    /// Chunks that were read or looked up.
    chunks: u64,
    /// Chunks whose bytes were read.
    read: u64,
    /// Damaged ones.
    damaged: u64,
    /// Missing ones.
    missing: u64,
    /// Files and directories seen in trees.
    entries: u64,
    /// Lines of damage that were told.
    told: u64,
}

impl Verify {
    /// Begins to verify.
    #[must_use]
    pub fn new(job: VerifyJob, duty: u64) -> Self {
        let state = if job.all { State::Reading } else { State::Next };
        let mut verify = Self {
            snapshots: job.snapshots.into(),
            ops: Ops::new(duty),
            state,
            outputs: VecDeque::new(),
            awaited: None,
            counts: VerifyCounts::default(),
            page: Vec::new(),
            fetches: None,
        };
        if job.all {
            verify.scan(None);
        }
        verify
    }

    /// A node of a manifest that is missing is waited for.
    #[must_use]
    pub fn fetching(self) -> Self {
        Self { fetches: Some(ChunkId::from_bytes([0; ChunkId::SIZE])), ..self }
    }

    /// Takes an answer.
    pub fn told(&mut self, told: Told, sealer: Option<&mut Sealer>) {
        let reply = match told {
            Told::Store(reply) => reply,
            Told::Kept { op, id, .. } if self.awaited == Some(op) => return self.get(id),
            _ => return,
        };
        if self.awaited != Some(super::duty::op_of(&reply)) {
            return;
        }
        self.awaited = None;
        match (std::mem::replace(&mut self.state, State::Over), reply) {
            (State::Reading, Reply::Scan { found, more, .. }) => self.scanned(&found, more),
            (State::Manifest(snapshot, cursor), Reply::Get { id, result, .. }) => {
                let bytes = result.ok().flatten();
                self.state = self.manifest_node(snapshot, cursor, id, bytes);
            }
            (State::Manifest(snapshot, cursor), Reply::Has { have, .. }) => {
                self.looked_up(&snapshot, &have);
                self.state = State::Manifest(snapshot, cursor);
            }
            (State::Tree(snapshot, cursor), Reply::Get { id, result, .. }) => {
                let sealed = result.ok().flatten();
                self.state = self.tree_node(snapshot, cursor, id, sealed, sealer);
            }
            (state, Reply::Failed { error, .. }) => {
                self.state = state;
                self.fail(&error.to_string());
            }
            (state, _) => self.state = state,
        }
    }

    /// The next thing it wants; drained to None. A page of a walk is done in one call.
    pub fn poll(&mut self, _sealer: Option<&mut Sealer>) -> Option<VerifyOutput> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        if self.awaited.is_some() {
            return None;
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Next => self.begin_next(),
            State::Manifest(snapshot, cursor) => self.walk_manifest(snapshot, cursor),
            State::Tree(snapshot, cursor) => self.walk_tree(snapshot, cursor),
            state => self.state = state,
        }
        self.outputs.pop_front()
    }

    /// Whether a call of `poll` would do something now.
    #[must_use]
    pub fn busy(&self) -> bool {
        !self.outputs.is_empty()
            || (self.awaited.is_none() && !matches!(self.state, State::Over | State::Reading))
    }

    /// Asks for the next page of chunks, read and checked.
    fn scan(&mut self, after: Option<ChunkId>) {
        let op = self.ops.draw();
        self.awaited = Some(op);
        self.ask(Request::Scan { op, after, limit: SCAN_PAGE, read: true });
    }

    /// A page of chunks was read.
    fn scanned(&mut self, found: &[(ChunkId, ScanState)], more: bool) {
        for (id, state) in found {
            self.counts.chunks += 1;
            self.counts.read += 1;
            if *state == ScanState::Damaged {
                self.counts.damaged += 1;
                self.tell_damage(Some((*id, Whose::Unknown)), json!({"event": "damaged", "damaged": id.hex(), "reason": "its bytes on this disk are not what was stored"}));
            }
        }
        let last = found.last().map(|(id, _)| *id);
        self.progress("read", "");
        if more && last.is_some() {
            self.state = State::Reading;
            self.scan(last);
        } else {
            self.state = State::Next;
        }
    }

    /// Begins with the next snapshot, or tells the result.
    fn begin_next(&mut self) {
        if let Some(snapshot) = self.snapshots.pop_front() {
            let cursor = Box::new(MapCursor::new(snapshot.manifest));
            self.state = State::Manifest(snapshot, cursor);
            return;
        }
        let counts = &self.counts;
        let result = json!({
            "event": "result", "chunks": counts.chunks, "read": counts.read, "entries": counts.entries,
            "damaged": counts.damaged, "missing": counts.missing,
        });
        let bad = counts.damaged + counts.missing;
        self.outputs.push_back(VerifyOutput::Line(result));
        let end = if bad == 0 {
            Ok(Ending::Complete)
        } else {
            let hint =
                "it is being fetched from the devices that hold it: run `verify` again; what stays damaged no device has (`nuthatch forget` lets go of a snapshot that lists it); think of replacing the disk";
            Err(ApiError::new("damaged", format!("{bad} chunks are damaged or missing on this disk"), hint))
        };
        self.outputs.push_back(VerifyOutput::Finished(end));
    }

    /// Walks a manifest until a page is full or a node is needed.
    fn walk_manifest(&mut self, snapshot: VerifySnapshot, mut cursor: Box<MapCursor>) {
        while self.page.len() < PAGE_IDS_MAX {
            match cursor.step() {
                Ok(Step::Entry { key, .. }) => {
                    if let Ok(bytes) = <[u8; 32]>::try_from(key) {
                        let id = ChunkId::from_bytes(bytes);
                        if snapshot.groups.contains(Group::of(&id)) {
                            self.page.push(id);
                        }
                    }
                }
                Ok(Step::Need(id)) => {
                    if self.look_up() {
                        break;
                    }
                    self.get(id);
                    break;
                }
                Ok(Step::End) => {
                    if self.look_up() {
                        break;
                    }
                    self.progress("presence", &snapshot.folder);
                    self.state = match snapshot.tree {
                        Some(root) => State::Tree(snapshot, Box::new(MapCursor::new(root))),
                        None => State::Next,
                    };
                    return;
                }
                Err(error) => {
                    self.structure_is_damaged(&snapshot, &snapshot.manifest, &error.to_string());
                    self.state = State::Next;
                    return;
                }
            }
        }
        if self.awaited.is_none() {
            self.look_up();
        }
        self.state = State::Manifest(snapshot, cursor);
    }

    /// Asks which chunks of the page are here. False if the page is empty.
    fn look_up(&mut self) -> bool {
        if self.page.is_empty() {
            return false;
        }
        let op = self.ops.draw();
        self.awaited = Some(op);
        self.ask(Request::Has { op, ids: self.page.clone() });
        true
    }

    /// The store said which of the page are here.
    fn looked_up(&mut self, snapshot: &VerifySnapshot, have: &[bool]) {
        let page = std::mem::take(&mut self.page);
        for (id, have) in page.iter().zip(have) {
            self.counts.chunks += 1;
            if !have {
                self.counts.missing += 1;
                self.tell_damage(
                    Some((*id, snapshot.whose)),
                    json!({
                        "event": "damaged", "damaged": id.hex(), "reason": "it is not on this disk",
                        "folder": snapshot.folder, "snapshot": snapshot.id.hex(),
                    }),
                );
            }
        }
    }

    /// A node of a manifest was read.
    fn manifest_node(
        &mut self,
        snapshot: VerifySnapshot,
        mut cursor: Box<MapCursor>,
        id: ChunkId,
        bytes: Option<Vec<u8>>,
    ) -> State {
        let given = bytes
            .ok_or_else(|| NOT_HERE.to_owned())
            .and_then(|bytes| cursor.give(id, bytes).map_err(|error| error.to_string()));
        match given {
            Ok(()) => State::Manifest(snapshot, cursor),
            Err(reason) => {
                if self.fetches.is_some_and(|last| last != id) {
                    let op = self.ops.draw();
                    (self.fetches, self.awaited) = (Some(id), Some(op));
                    self.outputs.push_back(VerifyOutput::Ask(Ask::Keep { op, id }));
                    self.counts.missing += 1;
                    return State::Manifest(snapshot, cursor);
                }
                self.structure_is_damaged(&snapshot, &id, &reason);
                State::Next
            }
        }
    }

    /// Walks a tree for a while, or until a node is needed.
    fn walk_tree(&mut self, snapshot: VerifySnapshot, mut cursor: Box<MapCursor>) {
        for _ in 0..PAGE_IDS_MAX {
            let problem = match cursor.step() {
                Ok(Step::Entry { key, value, .. }) => {
                    self.counts.entries += 1;
                    let checked = tree::check_key(key).map_err(|error| error.to_string());
                    let checked = checked
                        .and_then(|()| Entry::decode(value).map(drop).map_err(|error| error.to_string()));
                    checked
                        .err()
                        .map(|reason| (String::from_utf8_lossy(&tree::path_of(key)).into_owned(), reason))
                }
                Ok(Step::Need(id)) => {
                    self.get(id);
                    break;
                }
                Ok(Step::End) => {
                    self.progress("structure", &snapshot.folder);
                    self.state = State::Next;
                    return;
                }
                Err(error) => {
                    let root = snapshot.tree.unwrap_or(snapshot.manifest);
                    self.structure_is_damaged(&snapshot, &root, &error.to_string());
                    self.state = State::Next;
                    return;
                }
            };
            if let Some((path, reason)) = problem {
                self.counts.damaged += 1;
                self.tell_damage(None, json!({
                    "event": "damaged", "path": path, "reason": reason, "folder": snapshot.folder, "snapshot": snapshot.id.hex(),
                }));
            }
        }
        self.state = State::Tree(snapshot, cursor);
    }

    /// A node of a tree was read.
    fn tree_node(
        &mut self,
        snapshot: VerifySnapshot,
        mut cursor: Box<MapCursor>,
        id: ChunkId,
        sealed: Option<Vec<u8>>,
        sealer: Option<&mut Sealer>,
    ) -> State {
        let Some(sealer) = sealer else { return State::Next };
        if sealed.is_none() && !snapshot.groups.contains(Group::of(&id)) {
            // Another node's share: its tree cannot be walked here without asking others, which verify does not.
            return State::Next;
        }
        let opened = sealed
            .ok_or_else(|| NOT_HERE.to_owned())
            .and_then(|sealed| sealer.open(ChunkKind::Tree, &sealed).map_err(|error| error.to_string()))
            .and_then(|plain| cursor.give(id, plain).map_err(|error| error.to_string()));
        match opened {
            Ok(()) => State::Tree(snapshot, cursor),
            Err(reason) => {
                self.structure_is_damaged(&snapshot, &id, &reason);
                State::Next
            }
        }
    }

    /// A node that gives structure is damaged or missing: what is below it was not looked at.
    fn structure_is_damaged(&mut self, snapshot: &VerifySnapshot, id: &ChunkId, reason: &str) {
        self.page.clear();
        self.counts.damaged += 1;
        self.tell_damage(Some((*id, snapshot.whose)), json!({
            "event": "damaged", "damaged": id.hex(), "reason": reason, "folder": snapshot.folder, "snapshot": snapshot.id.hex(),
        }));
    }

    /// Asks for a node.
    fn get(&mut self, id: ChunkId) {
        let op = self.ops.draw();
        self.awaited = Some(op);
        self.ask(Request::Get { op, id });
    }

    /// Asks the store.
    fn ask(&mut self, request: Request) {
        self.outputs.push_back(VerifyOutput::Ask(Ask::Store(request)));
    }

    /// Tells of a damage, as long as the list is of use to anybody, and has the chunk fetched from others.
    fn tell_damage(&mut self, of: Option<(ChunkId, Whose)>, line: Value) {
        self.counts.told += 1;
        if self.counts.told <= DAMAGE_LINES_MAX {
            self.outputs.push_back(VerifyOutput::Line(line));
        }
        self.outputs.extend(of.map(|(id, whose)| VerifyOutput::Misses(id, whose)));
    }

    /// Tells how far it is.
    fn progress(&mut self, phase: &str, folder: &str) {
        let line = json!({"event": "progress", "phase": phase, "folder": folder, "chunks": self.counts.chunks, "damaged": self.counts.damaged});
        self.outputs.push_back(VerifyOutput::Line(line));
    }

    /// The store could not answer.
    fn fail(&mut self, reason: &str) {
        self.state = State::Over;
        let error = ApiError::new(
            "disk",
            format!("the store cannot be read: {reason}"),
            "look at the disk and at `nuthatch log`",
        );
        self.outputs.push_back(VerifyOutput::Finished(Err(error)));
    }
}

/// Why a node cannot be looked at.
const NOT_HERE: &str = "it is not on this disk, or damaged";

/// Chunks that are read before progress is told and other work has its turn.
const SCAN_PAGE: usize = 64;
