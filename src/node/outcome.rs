//! What a backup is asked to do, and how it ends: plain values, no behaviour. `node/backup.rs` is the machine.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{json, Value};

use super::duty::Ask;
use super::guard::guarding::Guarded;
use super::guard::tally::Tally;
use super::share_scan::SharedScan;
use crate::base::ids::{ChunkId, FolderId};
use crate::base::limits::REPORTED_PATHS_MAX;
use crate::base::units::WallTime;
use crate::feed::entry::{Counts, SharedText};
use crate::store::service::StoreError;

/// One scan of one folder.
#[derive(Debug, Clone)]
pub struct BackupJob {
    /// Which folder: for its watches, and for whoever reads logs.
    pub folder: FolderId,
    /// Absolute path of its directory on this node.
    pub root: Vec<u8>,
    /// Patterns in gitignore syntax.
    pub ignore: Vec<String>,
    /// Do not go into other file systems mounted below.
    pub one_file_system: bool,
    /// Leave out files of more bytes than that.
    pub max_size: Option<u64>,
    /// File system and inode that the root had when it was first scanned; None: this is the first time.
    pub marker: Option<(u64, u64)>,
    /// The newest complete snapshot of the folder.
    pub parent: Option<Parent>,
    /// A partial one that is newer: the backup that took it was interrupted.
    pub partial: Option<Partial>,
    /// When the last scan that completed began: what changed later than shortly before it is read again, even if its
    /// stat is the same (a file system's clock is coarse).
    pub trusted_before: WallTime,
    /// The vault's cut key.
    pub cut_key: [u8; 32],
    /// The vault's map key.
    pub map_key: [u8; 32],
    /// Build the manifest anew instead of adding to the parent's.
    pub exact: bool,
    /// The same, also where nothing has changed: what the parent's manifest lists and its tree does not need shall go.
    pub anew: bool,
    /// Its directories are watched from now on.
    pub watch: bool,
    /// Every file is read, whatever its stat says.
    pub checksum: bool,
    /// So is every file that lists one of these, which no device has any more; and the manifest is built anew, without them.
    pub lost: BTreeSet<ChunkId>,
    /// A snapshot is made though nothing has changed: what is wanted of it has.
    pub fresh: bool,
    /// It is known that something has changed: the folder need not be compared before it is built.
    pub news: bool,
    /// Of a shared folder: what else it begins with.
    pub shared: Option<SharedScan>,
    /// What the guard over it knows.
    pub guarded: Guarded,
}

/// The snapshot that a new one follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// Root of its tree.
    pub tree: ChunkId,
    /// Root of its manifest.
    pub manifest: ChunkId,
    /// What it counted.
    pub counts: Counts,
}

/// A partial snapshot that a backup goes on behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// What it has; its manifest lists all that the complete snapshot before it lists, too.
    pub known: Parent,
    /// When the backup that took it began, in the manner of [`BackupJob::trusted_before`].
    pub trusted_before: WallTime,
}

impl BackupJob {
    /// It is a shared folder, and what this disk has of it is not known: it was attached here, or lies elsewhere now.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.applied.is_none())
    }

    /// The newest snapshot, complete or not: what the manifest of the next one is made from.
    #[must_use]
    pub fn base(&self) -> Option<Parent> {
        self.partial.map(|partial| partial.known).or(self.parent)
    }
}

/// A state of the folder, all of it durable in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Root of the tree.
    pub tree: ChunkId,
    /// Root of the manifest.
    pub manifest: ChunkId,
    /// What was counted.
    pub counts: Counts,
    /// What a person should hear of.
    pub report: Report,
    /// File system and inode of the root, to be kept as the folder's marker.
    pub marker: (u64, u64),
    /// Of a shared folder: what else is known now.
    pub shared: Option<SharedText>,
}

/// What a backup wants, or tells.
#[derive(Debug)]
pub enum BackupOutput {
    /// Of the core.
    Ask(Ask),
    /// How far it is.
    Progress(Progress),
    /// A partial snapshot was taken; the backup goes on.
    Partial(Box<Taken>),
    /// It is over.
    Finished(Result<Outcome, BackupError>),
}

/// How far a backup is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Files and links compared or stored so far.
    pub files: u64,
    /// Their content, in bytes.
    pub bytes: u64,
    /// Sealed bytes that the store did not have.
    pub new_bytes: u64,
    /// Where it is: components joined by `/`, relative to the folder.
    pub path: Vec<u8>,
}

/// How a backup that did not fail ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The folder is as the parent has it: no snapshot is needed.
    Unchanged {
        /// Files and links.
        files: u64,
        /// Their content, in bytes.
        bytes: u64,
        /// What a person should hear of.
        report: Report,
        /// File system and inode of the root, to be kept as the folder's marker.
        marker: (u64, u64),
    },
    /// There is something new; all of it is durable in the store.
    Changed(Taken),
}

/// What could not be kept as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Sockets, devices and pipes, which are never kept.
    pub special: u64,
    /// Files of more bytes than the folder's greatest size.
    pub large: u64,
    /// Files that changed while they were read, each time that they were.
    pub torn: u64,
    /// Files with other content than the parent has, though their stats are the same.
    pub silent: u64,
    /// Names that could not be read; where the parent has them, its version was kept.
    pub unreadable: u64,
    /// Of a shared folder: paths at which this disk does not have what other devices have made of them.
    pub owed: u64,
    /// The first of the unreadable and torn ones, with the reason; at most [`REPORTED_PATHS_MAX`].
    pub paths: Vec<(Vec<u8>, String)>,
    /// What went and came, for the guard over the folder.
    pub tally: Box<Tally>,
}

impl Report {
    /// Everything that the snapshot lacks or has from before: what a snapshot entry calls skipped.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.special + self.unreadable
    }

    /// Counts one that could not be read.
    pub(super) fn unreadable(&mut self, path: Vec<u8>, reason: impl Into<String>) {
        self.unreadable += 1;
        self.name(path, reason.into());
    }

    /// Counts one that has changed without a sign of it.
    pub(super) fn silent(&mut self, path: Vec<u8>) {
        self.silent += 1;
        self.name(path, "its content has changed, though its size and times are the same".into());
    }

    /// Counts one that would not hold still.
    pub(super) fn torn(&mut self, path: Vec<u8>) {
        self.torn += 1;
        self.name(path, "it changed while it was read".into());
    }

    /// Remembers a path while there is room.
    fn name(&mut self, path: Vec<u8>, reason: String) {
        if self.paths.len() < REPORTED_PATHS_MAX {
            self.paths.push((path, reason));
        }
    }
}

/// Why there is no snapshot. Nothing was changed by the attempt, and no older snapshot is touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupError {
    /// The folder's directory is not there.
    RootMissing {
        /// Where it was looked for.
        root: Vec<u8>,
    },
    /// It is there and cannot be read.
    RootUnreadable {
        /// Where.
        root: Vec<u8>,
        /// The system's words.
        detail: String,
    },
    /// Another directory or file system is in its place: an unmounted disk, most likely.
    RootChanged {
        /// Where.
        root: Vec<u8>,
    },
    /// It had entries and is empty now.
    RootEmptied {
        /// Where.
        root: Vec<u8>,
    },
    /// Much of a shared folder is gone or noise, and nobody has said that it is meant.
    Guarded {
        /// What was found.
        what: String,
    },
    /// A pattern of the folder's ignore list is none.
    Ignore {
        /// What is wrong with it.
        reason: String,
    },
    /// The store could not keep a chunk.
    Store(StoreError),
    /// Something that must hold did not: a mistake of this program.
    Broken {
        /// What.
        what: String,
    },
}

impl BackupError {
    /// Whether the folder's directory is not there as it was: looking for it costs next to nothing, and it may be plugged in any time.
    #[must_use]
    pub const fn is_of_root(&self) -> bool {
        matches!(
            self,
            Self::RootMissing { .. }
                | Self::RootChanged { .. }
                | Self::RootEmptied { .. }
                | Self::RootUnreadable { .. }
        )
    }
}

impl fmt::Display for BackupError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |root: &Vec<u8>| String::from_utf8_lossy(root).into_owned();
        match self {
            Self::RootMissing { root } => {
                write!(formatter, "the directory {} is not there; mount it or put it back, or remove the folder", show(root))
            }
            Self::RootUnreadable { root, detail } => {
                let root = show(root);
                write!(formatter, "the directory {root} cannot be read ({detail}); let the node's user read it")
            }
            Self::RootChanged { root } => write!(
                formatter,
                "another directory or file system is at {}; mount the right one, or add the folder anew if it moved",
                show(root)
            ),
            Self::RootEmptied { root } => write!(
                formatter,
                "the directory {} has become empty, which is not taken for a deletion; put its content back, or \
                 confirm that it was emptied on purpose",
                show(root)
            ),
            Self::Guarded { what } => write!(
                formatter,
                "{what}, which is not passed on to other devices before it is confirmed"
            ),
            Self::Ignore { reason } => write!(formatter, "the folder's ignore list is wrong: {reason}"),
            Self::Store(error) => write!(formatter, "the backup could not be stored: {error}"),
            Self::Broken { what } => {
                write!(formatter, "the backup was given up: {what}; run verify, and report it if it happens again")
            }
        }
    }
}

impl std::error::Error for BackupError {}

/// What could not be read, as JSON.
pub(super) fn paths(report: &Report) -> Vec<Value> {
    let path =
        |(path, reason): &(Vec<u8>, String)| json!({"path": String::from_utf8_lossy(path), "reason": reason});
    report.paths.iter().map(path).collect()
}
