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
//! passes themselves are `node/compare.rs`, `node/build.rs` and `node/manifest.rs`. An unchanged folder costs one pass over stats and the parent's tree;
//! where a change is known of, there is nothing to compare.
//! In the midst of the build pass a partial snapshot may be taken (`node/backup/partial.rs`); a backup that begins behind one does not compare, it builds.

use std::rc::Rc;

use super::build::{Build, Built};
use super::compare::{Compare, Compared};
use super::content::Tools;
use super::duty::{Ask, Ops, Told};
use super::former::Former;
use super::join::Join;
use super::manifest::{Merge, Merged};
pub use super::outcome::{
    BackupError, BackupJob, BackupOutput, Outcome, Parent, Partial, Progress, Report, Taken,
};
use super::ports::{FileError, FileReply, RootFacts};
use super::root::{self, Marker};
use super::scan::Walker;
use super::scanned::{Meter, Scanned};
use super::sink::{Out, Sink};
use crate::base::ids::ChunkId;
use crate::file::cut::Gear;
use crate::file::entry::InlineCodec;
use crate::seal::sealed::Sealer;
use crate::store::service::{Op, Reply, Request, StoreError};
use partial::Making;

mod ending;
mod partial;

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
    /// A partial snapshot is to be taken as soon as that is possible.
    wants_partial: bool,
    /// How far the last one was: entries and listed ids.
    partial_at: (u64, u64),
    /// One that was taken and not told yet.
    taken: Option<Box<Taken>>,
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
    /// The same stands still while a partial snapshot is taken.
    Partial(Box<Build>, Box<Making>),
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
            wants_partial: false,
            partial_at: (0, 0),
            taken: None,
        }
    }

    /// There is work to do without waiting for an answer: poll again, after something else had its turn.
    #[must_use]
    pub fn busy(&self) -> bool {
        !self.idle && !matches!(self.state, State::Over)
    }

    /// What it puts now are nodes of a manifest.
    #[must_use]
    pub fn is_listing(&self) -> bool {
        match &self.state {
            State::Manifest(..) | State::Flush(..) => true,
            State::Partial(_, making) => making.is_listing(),
            _ => false,
        }
    }

    /// Takes an answer.
    pub fn told(&mut self, told: Told, sealer: &mut Sealer) {
        self.idle = false;
        match told {
            Told::Store(reply) => self.store_told(reply),
            Told::File(reply) => self.file_told(reply),
            Told::Chunk { op, result, .. } => {
                let reader = match &mut self.state {
                    State::Compare(compare) => compare.join.reader_of(op),
                    State::Build(build) => build.reader_of(op),
                    State::Partial(build, making) => making.reader_of(op).or_else(|| build.reader_of(op)),
                    State::Manifest(_, _, merge) => merge.reader_of(op),
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
            if let Some(taken) = self.taken.take() {
                return Some(BackupOutput::Partial(taken));
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
            State::Partial(build, making) => self.go_on_partial(build, making),
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
        match (std::mem::replace(&mut self.state, State::Over), reply) {
            (State::Partial(build, making), reply) => self.partial_stored(build, making, reply),
            (state, Reply::Flush { op, result }) => self.flushed(state, op, result),
            (state, _) => self.state = state,
        }
    }

    /// A sync that was asked for is over.
    fn flushed(&mut self, state: State, op: Op, result: Result<(), StoreError>) {
        match state {
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
            (State::Partial(build, making), reply) => self.partial_filed(build, making, reply),
            (State::Build(mut build), reply) => {
                build.file_told(reply);
                self.state = State::Build(build);
            }
            (state, _) => self.state = state,
        }
    }

    /// The root was looked at for the first time.
    fn root_came(&mut self, result: Result<RootFacts, FileError>) {
        match root::before(&mut self.job, result) {
            Err(error) => return self.end(Err(error)),
            Ok(marker) => self.marker = marker,
        }
        match (self.job.base(), self.job.partial) {
            (Some(base), Some(_)) => {
                self.begin_build(true, self.job.exact || base.is_stale() || self.job.anew)
            }
            (Some(_), None) if self.job.anew => self.begin_build(true, true),
            (Some(_), None) if self.job.is_elsewhere() => self.begin_build(true, self.job.exact),
            (Some(_), None) if !self.job.lost.is_empty() => self.begin_build(true, true),
            (Some(base), None) if self.job.news || self.job.checksum || self.job.fresh => {
                self.begin_build(true, self.job.exact || base.is_stale())
            }
            (Some(_), None) => {
                if let Some(join) = self.join(true) {
                    self.state = State::Compare(Box::new(Compare::new(join, self.job.trusted_ns())));
                }
            }
            (None, _) => self.begin_build(false, true),
        }
    }

    /// What is known from before cannot be read: the folder is read anew. Of a shared one that would make whatever is not here a deletion.
    fn old_lost(&mut self) {
        if self.job.shared.is_some() {
            let what = "what is known of the shared folder cannot be read here at present".into();
            return self.end(Err(BackupError::Broken { what }));
        }
        self.begin_build(false, true);
    }

    /// The merge of the directory with what is known from before, or with nothing.
    fn join(&mut self, with_old: bool) -> Option<Join> {
        let partial = self.job.partial.filter(|_| with_old).map(|partial| partial.known.tree);
        let tree = self.job.parent.filter(|_| with_old).map(|parent| parent.tree);
        let old = match &self.job.shared {
            Some(shared) => Former::shared(tree, shared.applied.filter(|_| with_old)),
            None => Former::new(partial, tree),
        };
        match Walker::new(&self.job.root, &self.job.ignore, self.job.one_file_system) {
            Ok(walker) => {
                let walker =
                    walker.watching(self.job.watch.then_some(self.job.folder)).up_to(self.job.max_size);
                Some(Join::new(walker.shared(self.job.shared.is_some()), old, self.job.guarded.is_empty))
            }
            Err(error) => {
                self.end(Err(BackupError::Ignore { reason: error.to_string() }));
                None
            }
        }
    }

    /// Begins the build pass, with what is known from before or from nothing.
    fn begin_build(&mut self, with_old: bool, exact: bool) {
        self.job.exact = exact;
        let Some(join) = self.join(with_old) else { return };
        let tools = Tools {
            gear: Rc::clone(&self.gear),
            map_key: self.job.map_key,
            inline: InlineCodec::new(),
            root: self.job.root.clone(),
        };
        self.meter = Meter::default();
        let trusted_ns = (self.job.trusted_ns(), self.job.partial_trusted_ns());
        let build = Build::new(join, tools, trusted_ns, exact, self.job.shared.as_ref());
        let build = build.guarded(self.before(with_old), &self.job.guarded.missed);
        self.state = State::Build(Box::new(build.reading_again(self.job.checksum, &self.job.lost)));
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
                self.check(Scanned::same(counts, report));
            }
            Compared::Different => {
                let exact = self.job.exact || self.job.parent.is_some_and(|parent| parent.is_stale());
                self.begin_build(true, exact);
            }
            Compared::OldLost => self.old_lost(),
            Compared::RootFailed(error) => {
                let error = root::unreadable(&self.job, error);
                self.end(Err(error));
            }
        }
        true
    }

    /// Builds on. False if it waits.
    fn build(&mut self, mut build: Box<Build>, sealer: &mut Sealer) -> bool {
        if self.is_partial_possible(&build) {
            return self.begin_partial(build, sealer);
        }
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
                let scanned = build.scanned(tree);
                self.check(scanned);
                true
            }
            Built::OldLost => {
                self.sink.drop_set();
                self.old_lost();
                true
            }
            Built::RootFailed(error) => {
                let error = root::unreadable(&self.job, error);
                self.end(Err(error));
                true
            }
        }
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
