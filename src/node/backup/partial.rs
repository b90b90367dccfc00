//! A partial snapshot, taken in the midst of the build pass: what was stored so far becomes listed and can be restored.
//!
//! ```text
//!   Build --wanted--> Check --the root is there--> Settle --synced--> Merge --> Flush --told--> Build
//!                                                                       '-- a manifest from before is lost --^
//! ```
//!
//! Its tree is that of the entries so far: what is open of the tree's builder, a node a level, is copied and ended, so that
//! no entry is looked at twice. Its manifest lists what was listed so far, the nodes of that copy, and all that the
//! snapshot before lists, for the rest of the folder is as that one has it. Files whose answers come meanwhile wait.
//! None is taken before the scan is behind the end of an earlier partial snapshot: each one goes further than those before it.

use super::{root, Backup, BackupError, Build, ChunkId, FileReply, Merge, Merged, Op, Out, Reply, Sealer};
use super::{Scanned, State, Taken};
use crate::node::reader::Reader;

/// A partial snapshot in the making.
#[derive(Debug)]
pub(super) struct Making {
    /// Where it stands.
    stage: Stage,
    /// Root of its tree.
    tree: ChunkId,
    /// What was counted so far.
    scanned: Scanned,
    /// Nodes that only this tree has.
    apart: Vec<ChunkId>,
}

/// The stages of a [`Making`].
#[derive(Debug)]
enum Stage {
    /// The root is looked at: files of a disk that was unplugged are not gone.
    Check(Op),
    /// What was put is being synced.
    Settle(Op),
    /// The manifest is built.
    Merge(Box<Merge>),
    /// It is being synced.
    Flush(Op, Box<Taken>),
}

impl Making {
    /// What is put now are nodes of a manifest.
    pub(super) const fn is_listing(&self) -> bool {
        matches!(self.stage, Stage::Merge(_) | Stage::Flush(..))
    }

    /// The walk that waits for the answer to this request.
    pub(super) fn reader_of(&mut self, op: Op) -> Option<&mut Reader> {
        match &mut self.stage {
            Stage::Merge(merge) => merge.reader_of(op),
            _ => None,
        }
    }
}

impl Backup {
    /// Takes a partial snapshot as soon as there is something that it could have.
    pub fn take_partial(&mut self) {
        self.wants_partial = true;
    }

    /// Whether one is wanted, can be taken now, and would have more than the last one.
    pub(super) fn is_partial_possible(&self, build: &Build) -> bool {
        self.wants_partial
            && self.job.shared.is_none()
            && self.sink.has_room()
            && build.behind_partial().is_some_and(|entries| (entries, self.sink.listed()) != self.partial_at)
    }

    /// Begins to take a partial snapshot.
    pub(super) fn begin_partial(&mut self, mut build: Box<Build>, sealer: &mut Sealer) -> bool {
        self.wants_partial = false;
        self.partial_at = (build.behind_partial().unwrap_or(0), self.sink.listed());
        let ended = build.so_far(&mut Out { sealer, sink: &mut self.sink });
        let Some((tree, apart)) = ended else {
            self.state = State::Build(build);
            return true;
        };
        let scanned = build.scanned(tree);
        let op = root::ask(&self.job, &mut self.sink);
        let making = Making { stage: Stage::Check(op), tree, scanned, apart };
        self.state = State::Partial(build, Box::new(making));
        true
    }

    /// The file thread answered.
    pub(super) fn partial_filed(&mut self, mut build: Box<Build>, mut making: Box<Making>, reply: FileReply) {
        match (&making.stage, reply) {
            (Stage::Check(asked), FileReply::Root { op, result }) if *asked == op => {
                if let Err(error) = root::after(&self.job, self.marker, result) {
                    return self.end(Err(error));
                }
                making.stage = Stage::Settle(self.flush());
            }
            (_, reply) => build.file_told(reply),
        }
        self.state = State::Partial(build, making);
    }

    /// The store answered.
    pub(super) fn partial_stored(&mut self, build: Box<Build>, mut making: Box<Making>, reply: Reply) {
        let making = match (&mut making.stage, reply) {
            (Stage::Settle(asked), Reply::Flush { op, result }) if *asked == op => {
                if let Err(error) = result {
                    return self.end(Err(BackupError::Store(error)));
                }
                let base = self.job.base().map(|base| base.manifest);
                let merge = Merge::new(self.duty, base, std::mem::take(&mut making.apart));
                making.stage = Stage::Merge(Box::new(merge));
                Some(making)
            }
            (Stage::Merge(merge), reply) => {
                merge.told(reply, &mut self.sink);
                Some(making)
            }
            (Stage::Flush(asked, taken), Reply::Flush { op, result }) if *asked == op => {
                if let Err(error) = result {
                    return self.end(Err(BackupError::Store(error)));
                }
                self.taken = Some(taken.clone());
                None
            }
            _ => Some(making),
        };
        self.state = match making {
            Some(making) => State::Partial(build, making),
            None => State::Build(build),
        };
    }

    /// Merges on. False if it waits.
    pub(super) fn go_on_partial(&mut self, build: Box<Build>, mut making: Box<Making>) -> bool {
        let merged = match &mut making.stage {
            Stage::Merge(merge) => merge.step(&mut self.sink),
            _ => Merged::Wait,
        };
        match merged {
            Merged::Wait | Merged::Worked => {
                self.state = State::Partial(build, making);
                return matches!(merged, Merged::Worked);
            }
            // What the rest of the folder needs cannot be listed: the scan goes on to its end without one.
            Merged::ParentLost => self.state = State::Build(build),
            Merged::Whole(manifest) => {
                let Making { tree, scanned, .. } = *making;
                let new_bytes = self.sink.new_bytes();
                let base = self.job.base();
                let taken =
                    Box::new(scanned.clone().taken(base, false, tree, manifest, new_bytes, self.marker));
                let stage = Stage::Flush(self.flush(), taken);
                let making = Making { stage, tree, scanned, apart: Vec::new() };
                self.state = State::Partial(build, Box::new(making));
            }
        }
        true
    }
}
