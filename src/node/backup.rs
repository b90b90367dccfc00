//! Backup: one scan of one folder, from "look at the directory" to "all of a new snapshot is durable here".
//!
//! ```text
//!   Root --ok--> Compare --all the same--> Check --> Finished(Unchanged)
//!     |             | first difference                    ^
//!     |             v                                     | same tree as the parent's
//!     +--------> Build --tree--> Check again --> Settle --+
//!                  ^                                      | another tree
//!                  |                                      v
//!                  +--- parent's manifest lost ------- Manifest --> Flush --> Finished(Changed)
//! ```
//!
//! Owns the order of the passes. The root is looked at before the first file and after the last (`node/root.rs`); the
//! passes themselves are `node/compare.rs`, `node/build.rs` and `node/manifest.rs`. An unchanged folder costs one pass over stats and the parent's tree.

use std::rc::Rc;

use super::build::{Build, Built};
use super::compare::{Compare, Compared};
use super::content::Tools;
use super::duty::{Ask, Ops, Told};
use super::join::Join;
use super::manifest::{Merge, Merged};
pub use super::outcome::{BackupError, BackupJob, BackupOutput, Outcome, Parent, Progress, Report};
use super::ports::{FileError, FileReply, RootFacts};
use super::reader::{Form, Reader};
use super::root::{self, Marker};
use super::scan::Walker;
use super::scanned::{Meter, Scanned};
use super::sink::{Out, Sink};
use crate::base::ids::ChunkId;
use crate::file::cut::Gear;
use crate::file::entry::InlineCodec;
use crate::seal::sealed::Sealer;
use crate::store::service::{Op, Reply, Request};

/// A backup.
#[derive(Debug)]
pub struct Backup {
    /// What is to be done.
    job: BackupJob,
    /// Number of the duty, and of its temporary set.
    duty: u64,
    /// The way into the store, and all that is asked.
    sink: Sink,
    /// The cutter's table.
    gear: Rc<Gear>,
    /// Where it stands.
    state: State,
    /// The root as it was at the start.
    marker: Marker,
    /// Nothing can be done before something is told.
    idle: bool,
    /// This turn's work is done.
    worked: bool,
    /// Tells progress now and then.
    meter: Meter,
}

/// The states of a [`Backup`].
#[derive(Debug)]
enum State {
    /// The root is looked at.
    Root(Op),
    /// Directory and parent are compared by stat.
    Compare(Box<Compare>),
    /// The tree is built.
    Build(Box<Build>),
    /// The root is looked at once more.
    Check(Op, Scanned),
    /// What was put is awaited, to see what was new.
    Settle(Op, Scanned, ChunkId),
    /// The manifest is built.
    Manifest(Scanned, ChunkId, Box<Merge>),
    /// The last sync is awaited.
    Flush(Op, Box<Outcome>),
    /// It ended, and that was not told yet.
    Ended(Result<Box<Outcome>, BackupError>),
    /// That was told.
    Over,
}

impl Backup {
    /// A backup that has not begun; `duty` numbers its operations.
    #[must_use]
    pub fn new(job: BackupJob, duty: u64) -> Self {
        let mut sink = Sink::new(Ops::new(duty), duty);
        let gear = Rc::new(Gear::new(&job.cut_key));
        let op = root::ask(&job, &mut sink);
        Self {
            job,
            duty,
            sink,
            gear,
            state: State::Root(op),
            marker: (0, 0),
            idle: false,
            worked: false,
            meter: Meter::default(),
        }
    }

    /// There is work to do without waiting for an answer: poll again, after something else had its turn.
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
                    State::Compare(compare) => compare.join.old(),
                    State::Build(build) => build.reader_of(op),
                    State::Manifest(_, _, merge) => merge.parent(),
                    _ => None,
                };
                reader.map(|reader| reader.chunk_came(op, result, sealer));
            }
            Told::Kept { .. } => {}
        }
    }

    /// The next thing it wants or tells; drained to None. At most one piece is cut and sealed until then.
    pub fn poll(&mut self, sealer: &mut Sealer) -> Option<BackupOutput> {
        loop {
            match (&self.state, self.sink.take_failure()) {
                (State::Ended(Err(_)) | State::Over, _) | (_, None) => {}
                (_, Some(error)) => self.end(Err(error)),
            }
            if let Some(ask) = self.sink.asks.pop_front() {
                return Some(BackupOutput::Ask(ask));
            }
            match std::mem::replace(&mut self.state, State::Over) {
                State::Ended(result) => return Some(BackupOutput::Finished(result.map(|outcome| *outcome))),
                going => self.state = going,
            }
            if self.idle || self.worked || matches!(self.state, State::Over) {
                self.worked = false;
                return None;
            }
            self.idle = !self.work(sealer);
            self.worked = !self.idle;
            if let Some(progress) = self.progress() {
                return Some(BackupOutput::Progress(progress));
            }
        }
    }

    /// Does a turn's work. False if nothing can be done before something is told.
    fn work(&mut self, sealer: &mut Sealer) -> bool {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Compare(compare) => self.compare(compare),
            State::Build(build) => self.build(build, sealer),
            State::Manifest(scanned, tree, merge) => self.merge(scanned, tree, merge),
            waiting => {
                self.state = waiting;
                false
            }
        }
    }

    /// Takes an answer of the store.
    fn store_told(&mut self, reply: Reply) {
        let Some(reply) = self.sink.told(reply) else { return };
        if let State::Manifest(_, _, merge) = &mut self.state {
            merge.told(reply, &mut self.sink);
            return;
        }
        let Reply::Flush { op, result } = reply else { return };
        match std::mem::replace(&mut self.state, State::Over) {
            State::Settle(asked, scanned, tree) if asked == op => match result {
                Ok(()) => self.settled(scanned, tree),
                Err(error) => self.end(Err(BackupError::Store(error))),
            },
            State::Flush(asked, outcome) if asked == op => self.end(match result {
                Ok(()) => Ok(outcome),
                Err(error) => Err(BackupError::Store(error)),
            }),
            other => self.state = other,
        }
    }

    /// Takes an answer of the file thread.
    fn file_told(&mut self, reply: FileReply) {
        match (std::mem::replace(&mut self.state, State::Over), reply) {
            (State::Root(asked), FileReply::Root { op, result }) if asked == op => self.root_came(result),
            (State::Check(asked, scanned), FileReply::Root { op, result }) if asked == op => {
                self.checked(scanned, result);
            }
            (State::Compare(mut compare), FileReply::List { op, result }) => {
                compare.join.walker().listed(op, result);
                self.state = State::Compare(compare);
            }
            (State::Build(mut build), reply) => {
                build.file_told(reply);
                self.state = State::Build(build);
            }
            (state, _) => self.state = state,
        }
    }

    /// The root was looked at for the first time.
    fn root_came(&mut self, result: Result<RootFacts, FileError>) {
        match root::before(&self.job, result) {
            Err(error) => return self.end(Err(error)),
            Ok(marker) => self.marker = marker,
        }
        match self.job.parent {
            Some(parent) => {
                if let Some(join) = self.join(Some(parent.tree)) {
                    self.state = State::Compare(Box::new(Compare::new(join, self.job.trusted_ns())));
                }
            }
            None => self.begin_build(None, true),
        }
    }

    /// The merge of the directory with a tree.
    fn join(&mut self, tree: Option<ChunkId>) -> Option<Join> {
        let old = tree.map(|tree| Reader::new(tree, Form::Tree));
        match Walker::new(&self.job.root, &self.job.ignore, self.job.one_file_system) {
            Ok(walker) => Some(Join::new(walker, old)),
            Err(error) => {
                self.end(Err(BackupError::Ignore { reason: error.to_string() }));
                None
            }
        }
    }

    /// Begins the build pass.
    fn begin_build(&mut self, tree: Option<ChunkId>, exact: bool) {
        self.job.exact = exact;
        let Some(join) = self.join(tree) else { return };
        let tools = Tools {
            gear: Rc::clone(&self.gear),
            map_key: self.job.map_key,
            inline: InlineCodec::new(),
            root: self.job.root.clone(),
        };
        self.meter = Meter::default();
        self.state = State::Build(Box::new(Build::new(join, tools, self.job.trusted_ns(), exact)));
    }

    /// Compares on. False if it waits.
    fn compare(&mut self, mut compare: Box<Compare>) -> bool {
        let compared = compare.step(&mut self.sink);
        match compared {
            Compared::Wait | Compared::Worked => {
                self.state = State::Compare(compare);
                return matches!(compared, Compared::Worked);
            }
            Compared::Same => {
                let Compare { counts, report, .. } = *compare;
                self.check(Scanned { tree: None, counts, report, dropped: 0 });
            }
            Compared::Different => {
                let exact = self.job.exact || self.job.parent.is_some_and(|parent| parent.is_stale());
                self.begin_build(self.job.parent.map(|parent| parent.tree), exact);
            }
            Compared::OldLost => self.begin_build(None, true),
            Compared::RootFailed(error) => {
                let error = root::unreadable(&self.job, error);
                self.end(Err(error));
            }
        }
        true
    }

    /// Builds on. False if it waits.
    fn build(&mut self, mut build: Box<Build>, sealer: &mut Sealer) -> bool {
        match build.step(&mut Out { sealer, sink: &mut self.sink }) {
            Built::Wait => {
                self.state = State::Build(build);
                false
            }
            Built::Worked => {
                self.state = State::Build(build);
                true
            }
            Built::Tree(tree) => {
                let (report, dropped) = (build.take_report(), build.dropped());
                self.check(Scanned { tree: Some(tree), counts: *build.counts(), report, dropped });
                true
            }
            Built::OldLost => {
                self.sink.drop_set();
                self.begin_build(None, true);
                true
            }
            Built::RootFailed(error) => {
                let error = root::unreadable(&self.job, error);
                self.end(Err(error));
                true
            }
        }
    }

    /// Looks at the root once more.
    fn check(&mut self, scanned: Scanned) {
        let op = root::ask(&self.job, &mut self.sink);
        self.state = State::Check(op, scanned);
    }

    /// The root was looked at once more.
    fn checked(&mut self, scanned: Scanned, result: Result<RootFacts, FileError>) {
        match (root::after(&self.job, self.marker, result), scanned.tree) {
            (Err(error), _) => self.end(Err(error)),
            (Ok(()), None) => self.unchanged(scanned),
            (Ok(()), Some(tree)) => {
                let op = self.flush();
                self.state = State::Settle(op, scanned, tree);
            }
        }
    }

    /// Asks for a sync of all that was put.
    fn flush(&mut self) -> Op {
        let op = self.sink.ops.draw();
        self.sink.asks.push_back(Ask::Store(Request::Flush { op }));
        op
    }

    /// All chunks of the tree are durable.
    fn settled(&mut self, scanned: Scanned, tree: ChunkId) {
        let parent = self.job.parent;
        if parent.is_some_and(|parent| parent.tree == tree) {
            self.sink.drop_set();
            self.unchanged(scanned);
            return;
        }
        let base = parent.filter(|_| !self.job.exact).map(|parent| parent.manifest);
        self.state = State::Manifest(scanned, tree, Box::new(Merge::new(self.duty, base)));
    }

    /// Merges on. False if it waits.
    fn merge(&mut self, scanned: Scanned, tree: ChunkId, mut merge: Box<Merge>) -> bool {
        let merged = merge.step(&mut self.sink);
        match merged {
            Merged::Whole(manifest) => {
                self.sink.drop_set();
                let outcome = scanned.changed(&self.job, tree, manifest, self.sink.new_bytes(), self.marker);
                let op = self.flush();
                self.state = State::Flush(op, Box::new(outcome));
                true
            }
            Merged::ParentLost => {
                self.sink.drop_set();
                self.begin_build(self.job.parent.map(|parent| parent.tree), true);
                true
            }
            Merged::Wait | Merged::Worked => {
                self.state = State::Manifest(scanned, tree, merge);
                matches!(merged, Merged::Worked)
            }
        }
    }

    /// There is nothing new.
    fn unchanged(&mut self, scanned: Scanned) {
        let outcome = scanned.unchanged(self.marker);
        self.end(Ok(Box::new(outcome)));
    }

    /// Progress, if there was enough since it was last told.
    fn progress(&mut self) -> Option<Progress> {
        let progress = match &self.state {
            State::Compare(compare) => {
                Progress { files: compare.counts.files, bytes: compare.counts.bytes, ..Progress::default() }
            }
            State::Build(build) => build.progress(self.sink.new_bytes()),
            _ => return None,
        };
        self.meter.due(progress)
    }

    /// It is over. What was asked and not taken yet is not wanted any more, but for the set.
    fn end(&mut self, result: Result<Box<Outcome>, BackupError>) {
        if result.is_err() {
            self.sink.asks.clear();
            self.sink.drop_set();
        }
        self.state = State::Ended(result);
    }
}
