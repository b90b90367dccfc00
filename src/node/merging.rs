//! Merging: what other devices have made of a shared folder becomes part of it here, in the tree and on the disk.
//!
//! ```text
//!   Root --the same--> Meet --tree--> Insert (if there are conflicts) --tree--> ... once for each device that has something new
//!                        ^---------------'  (and again while conflicts were put off)
//!     ... --> Edit (what people ask for) --> Apply --all that can be written is written--> Sync --> Manifest --> Flush --> Finished
//! ```
//!
//! On a device that has no directory of the folder, Root, Apply and Sync are left out: its applied map is empty (`node/editing.rs`).
//! All chunks of what is merged are here before it begins (`node/share.rs` sees to that), so nothing waits for the network.
//! Nothing is published before the disk is as the applied map says. Passes are in `node/merge_pass.rs` and `node/apply_pass.rs`.

use std::collections::{BTreeMap, VecDeque};

use super::api::ApiError;
use super::apply_pass::{Applied, Apply, Tools};
use super::duty::{Ask, Ops, Told};
use super::edit::{Done, Edit};
use super::edit_pass::{EditPass, Edited};
use super::manifest::{Merge, Merged};
use super::merge_pass::{Copy, Insert, Meet, Passed};
use super::outcome::{BackupError, Parent, Taken};
use super::ports::{FileError, FileErrorKind, FileReply, FileRequest, RootFacts};
use super::put::{Act, Put};
use super::root::Marker;
use super::sink::{Out, Sink};
use crate::base::ids::{ChunkId, FeedId, NodeId};
use crate::base::version::Vector;
use crate::feed::entry::{Counts, SharedText};
use crate::seal::sealed::Sealer;
use crate::store::service::{Op, Reply, Request};

mod editing;
mod ending;

/// One merge of one folder.
#[derive(Debug, Clone)]
pub struct MergeJob {
    /// Absolute path of its directory here; None: this device has none.
    pub root: Option<Vec<u8>>,
    /// File system and inode that the root has.
    pub marker: Option<Marker>,
    /// The folder as this device has it.
    pub ours: (Parent, SharedText),
    /// What other devices have.
    pub theirs: Vec<(Parent, SharedText)>,
    /// The feed in which this device's changes are numbered.
    pub feed: FeedId,
    /// What devices are called.
    pub names: BTreeMap<NodeId, String>,
    /// What this device is called.
    pub own_name: String,
    /// The vault's map key.
    pub map_key: [u8; 32],
    /// What people want of it, none of which touches another.
    pub edits: Vec<Edit>,
}

/// How a merge that did not fail ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergeEnd {
    /// The folder as it is now.
    pub taken: Taken,
    /// Something of it is new to this device's feed.
    pub is_new: bool,
    /// There is a directory of it here.
    pub is_here: bool,
    /// Paths that could not be written here yet.
    pub pending: u64,
    /// Those of them that cannot be here as long as the disk is as it is.
    pub unfit: u64,
    /// Something of them may be here now, for something else went.
    pub has_room: bool,
    /// Paths that were written, made or removed here.
    pub written: u64,
    /// Conflict copies that were made.
    pub conflicts: u64,
    /// What became of each edit.
    pub edits: Vec<Result<Done, ApiError>>,
}

/// What a merge wants, or tells.
#[derive(Debug)]
pub enum MergeOutput {
    /// Of the core.
    Ask(Ask),
    /// It is over.
    Finished(Result<Box<MergeEnd>, BackupError>),
}

/// A merge.
#[derive(Debug)]
pub struct Merging {
    /// What is to be done.
    job: MergeJob,
    /// Number of the duty, and of its temporary set.
    duty: u64,
    /// The way into the store, and all that is asked.
    sink: Sink,
    /// Where it stands.
    state: State,
    /// Those still to be met.
    left: VecDeque<(Parent, SharedText)>,
    /// The tree so far.
    tree: ChunkId,
    /// What was seen so far.
    seen: Vector,
    /// What the last pass left: the other side, and where to go on.
    rest: Option<(Parent, SharedText, Vec<u8>)>,
    /// Conflict copies so far.
    conflicts: u64,
    /// Manifests of what people have put.
    put: Vec<ChunkId>,
    /// What became of people's edits, once they are in the tree.
    edited: Option<Edited>,
    /// The root at the start.
    marker: Marker,
    /// Nothing can be done before something is told.
    idle: bool,
    /// This turn's work is done.
    worked: bool,
}

/// The states of a [`Merging`].
#[derive(Debug)]
enum State {
    /// The root is looked at.
    Root(Op),
    /// Two trees become one.
    Meet(Box<Meet>),
    /// Conflict copies are put in.
    Insert(Box<Insert>),
    /// People's edits are put in.
    Edit(Box<EditPass>),
    /// The disk becomes as the tree is.
    Apply(Box<Apply>),
    /// What was written is made durable.
    Sync(Op, Box<Applied>),
    /// The manifest is built.
    Manifest(Box<Applied>, Box<Merge>),
    /// The last sync of the store is awaited.
    Flush(Op, Box<MergeEnd>),
    /// It ended, and that was not told yet.
    Ended(Result<Box<MergeEnd>, BackupError>),
    /// That was told.
    Over,
}

impl Merging {
    /// A merge that has not begun; `duty` numbers its operations.
    #[must_use]
    pub fn new(job: MergeJob, duty: u64) -> Self {
        let mut sink = Sink::new(Ops::new(duty), duty);
        let op = sink.ops.draw();
        if let Some(root) = job.root.clone() {
            sink.asks.push_back(Ask::File(FileRequest::Root { op, root }));
        }
        let mut merging = Self {
            duty,
            sink,
            state: State::Root(op),
            left: job.theirs.clone().into(),
            tree: job.ours.0.tree,
            seen: job.ours.1.seen.clone(),
            rest: None,
            conflicts: 0,
            put: Vec::new(),
            edited: None,
            marker: (0, 0),
            idle: false,
            worked: false,
            job,
        };
        if merging.job.root.is_none() {
            merging.next_side();
        }
        merging
    }

    /// There is work to do without waiting for an answer.
    #[must_use]
    pub fn busy(&self) -> bool {
        !self.idle && !matches!(self.state, State::Over)
    }

    /// What it puts now are nodes of a manifest.
    #[must_use]
    pub const fn is_listing(&self) -> bool {
        matches!(self.state, State::Manifest(..) | State::Flush(..))
    }

    /// Takes an answer.
    pub fn told(&mut self, told: Told, sealer: &mut Sealer) {
        self.idle = false;
        match told {
            Told::Store(reply) => self.store_told(reply),
            Told::File(reply) => self.file_told(reply),
            Told::Chunk { op, result, .. } => {
                let reader = match &mut self.state {
                    State::Meet(meet) => meet.reader_of(op),
                    State::Insert(insert) => insert.reader_of(op),
                    State::Edit(edit) => edit.reader_of(op),
                    State::Apply(apply) => return apply.chunk_came(op, result, sealer),
                    State::Manifest(_, merge) => merge.reader_of(op),
                    _ => None,
                };
                reader.map(|reader| reader.chunk_came(op, result, sealer));
            }
            Told::Kept { .. } => {}
        }
    }

    /// The next thing it wants or tells; drained to None.
    pub fn poll(&mut self, sealer: &mut Sealer) -> Option<MergeOutput> {
        loop {
            if let (false, Some(error)) =
                (matches!(self.state, State::Ended(_) | State::Over), self.sink.take_failure())
            {
                self.end(Err(error));
            }
            if let Some(ask) = self.sink.asks.pop_front() {
                return Some(MergeOutput::Ask(ask));
            }
            match std::mem::replace(&mut self.state, State::Over) {
                State::Ended(result) => return Some(MergeOutput::Finished(result)),
                going => self.state = going,
            }
            if self.idle || self.worked || matches!(self.state, State::Over) {
                self.worked = false;
                return None;
            }
            self.idle = !self.work(sealer);
            self.worked = !self.idle;
        }
    }

    /// Does a turn's work. False if nothing can be done before something is told.
    fn work(&mut self, sealer: &mut Sealer) -> bool {
        let mut out = Out { sealer, sink: &mut self.sink };
        let passed = match &mut self.state {
            State::Meet(meet) => meet.step(&mut out),
            State::Insert(insert) => insert.step(&mut self.seen, &mut out),
            State::Edit(edit) => edit.step(&mut self.seen, &mut out),
            State::Apply(apply) => match apply.step(&mut out) {
                Ok(Some(applied)) => {
                    self.sync(applied);
                    return true;
                }
                Ok(None) => return apply.did_something(),
                Err(reason) => Passed::Lost(reason),
            },
            State::Manifest(_, merge) => {
                return match merge.step(&mut self.sink) {
                    Merged::Wait => false,
                    Merged::Worked => true,
                    Merged::ParentLost => {
                        let what = "a manifest of the shared folder cannot be read".into();
                        self.end(Err(BackupError::Broken { what }));
                        true
                    }
                    Merged::Whole(manifest) => {
                        self.listed(manifest.root, manifest.chunks);
                        true
                    }
                }
            }
            _ => return false,
        };
        match passed {
            Passed::Wait => false,
            Passed::Worked => true,
            Passed::Lost(what) => {
                self.end(Err(BackupError::Broken { what }));
                true
            }
            Passed::Tree(root) => {
                self.tree = root;
                self.passed(sealer);
                true
            }
        }
    }

    /// A pass has come to its end.
    fn passed(&mut self, sealer: &mut Sealer) {
        let copies = match std::mem::replace(&mut self.state, State::Over) {
            State::Edit(edit) => return self.edits_are_in(edit.end(), sealer),
            State::Meet(mut meet) => {
                let (losers, put_off) = meet.take_losers();
                match (put_off, &mut self.rest) {
                    (Some(key), Some((_, _, from))) => *from = key,
                    (Some(_), None) => {}
                    (None, rest) => {
                        if let Some((_, shared, _)) = rest.take() {
                            self.seen.join(&shared.seen);
                        }
                    }
                }
                self.conflicts += u64::try_from(losers.len()).unwrap_or(0);
                losers.into_iter().map(|loser| Copy { loser, attempt: 1 }).collect()
            }
            State::Insert(mut insert) => insert.take_again(),
            _ => Vec::new(),
        };
        if copies.is_empty() {
            return self.next_side();
        }
        let Self { job, tree, .. } = self;
        self.state = State::Insert(Box::new(Insert::new(&job.map_key, *tree, copies, &job.names, job.feed)));
    }

    /// Begins the next pass, or goes on to the disk.
    fn next_side(&mut self) {
        if self.rest.is_none() {
            self.rest = self.left.pop_front().map(|(parent, shared)| (parent, shared, Vec::new()));
        }
        let Some((parent, shared, from)) = &self.rest else { return self.edit() };
        let ours = (self.tree, self.seen.clone());
        let theirs = (parent.tree, shared.seen.clone());
        self.state = State::Meet(Box::new(Meet::new(&self.job.map_key, ours, theirs, from.clone())));
    }

    /// Begins to make the disk as the tree is.
    fn apply(&mut self, root: Vec<u8>) {
        let (parent, shared) = &self.job.ours;
        let before = (parent.tree, shared.applied);
        let tools = Tools { root, map_key: self.job.map_key, own_name: self.job.own_name.clone() };
        self.state = State::Apply(Box::new(Apply::new(self.tree, before, tools)));
    }

    /// Takes an answer of the store.
    fn store_told(&mut self, reply: Reply) {
        let Some(reply) = self.sink.told(reply) else { return };
        if let State::Manifest(_, merge) = &mut self.state {
            merge.told(reply, &mut self.sink);
            return;
        }
        match (std::mem::replace(&mut self.state, State::Over), reply) {
            (State::Flush(asked, mut end), Reply::Flush { op, result }) if asked == op => match result {
                Ok(()) => {
                    end.taken.counts.stored_bytes = self.sink.new_bytes();
                    self.end(Ok(end));
                }
                Err(error) => self.end(Err(BackupError::Store(error))),
            },
            (state, _) => self.state = state,
        }
    }

    /// Takes an answer of the file thread.
    fn file_told(&mut self, reply: FileReply) {
        match (std::mem::replace(&mut self.state, State::Over), reply) {
            (State::Root(asked), FileReply::Root { op, result }) if asked == op => self.root_came(result),
            (State::Apply(mut apply), FileReply::Put { op, result }) => {
                apply.put_came(op, result);
                self.state = State::Apply(apply);
            }
            (State::Sync(asked, applied), FileReply::Put { op, result }) if asked == op => match result {
                Ok(_) => self.list(applied),
                Err(error) => {
                    let root = self.root();
                    self.end(Err(BackupError::RootUnreadable { root, detail: error.detail }));
                }
            },
            (state, _) => self.state = state,
        }
    }
}
