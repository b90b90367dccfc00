//! How to restore, what was restored, and what ends a restore early.

use std::fmt;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use super::metadata::NotKept;
use super::place::Placed;
use crate::base::limits::REPORT_PATHS_MAX;
use crate::node::frames::FrameError;

/// How to restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Replace files that are there.
    pub overwrite: bool,
    /// Write nothing, only count.
    pub dry_run: bool,
    /// Set owner and group (needs to be root).
    pub owner: bool,
    /// What stands there is equal only if its content is: it is read.
    pub checksum: bool,
}

/// What becomes of a path, or would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing was there, and it is made.
    New,
    /// Something else was there and is replaced.
    Overwritten,
    /// Something else was there and stays.
    Kept,
    /// It is there already.
    Equal,
}

impl From<Placed> for Fate {
    fn from(placed: Placed) -> Self {
        match placed {
            Placed::New => Self::New,
            Placed::Overwrote => Self::Overwritten,
            Placed::Kept => Self::Kept,
        }
    }
}

/// A line of the plan that a dry run makes, in the order of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// What would become of it.
    pub fate: Fate,
    /// It is, or would be, a directory; those that are there are not told.
    pub directory: bool,
    /// From the target on.
    pub path: Vec<u8>,
    /// Bytes of content.
    pub size: u64,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// The snapshot, in full.
    pub snapshot: String,
    /// It is a partial one.
    pub partial: bool,
    /// Files and links that were not there.
    pub new: u64,
    /// Files and links that replaced others.
    pub overwritten: u64,
    /// Files and links that were there and stay.
    pub kept: u64,
    /// Of these, the first.
    pub kept_paths: Vec<Vec<u8>>,
    /// Files and links that were there already as they should be; none of their content was written.
    pub equal: u64,
    /// Their bytes.
    pub equal_bytes: u64,
    /// Of these, and of directories that were there, those whose mode, owner, time or attributes were put right.
    pub corrected: u64,
    /// Directories that were made.
    pub directories: u64,
    /// Bytes of files as they are long, holes included.
    pub bytes: u64,
    /// Files that the stream announced.
    pub files_expected: u64,
    /// Bytes that the stream announced.
    pub bytes_expected: u64,
    /// What could not be restored.
    pub lost_count: u64,
    /// Of these, the first, and why.
    pub lost: Vec<(Vec<u8>, String)>,
    /// Files that changed while they were backed up.
    pub torn: u64,
    /// Owners not set though asked for.
    pub owners_not_kept: u64,
    /// Extended attributes not set.
    pub attributes_not_kept: u64,
    /// Modes not set, or without setuid or setgid because the owner is another.
    pub modes_not_kept: u64,
    /// Times not set.
    pub times_not_kept: u64,
    /// Further names of a file that became files of their own.
    pub links_copied: u64,
}

impl Report {
    /// Counts what could not be restored.
    pub fn lose(&mut self, path: Vec<u8>, reason: impl Into<String>) {
        self.lost_count += 1;
        if self.lost.len() < REPORT_PATHS_MAX {
            self.lost.push((path, reason.into()));
        }
    }

    /// Counts a file or link.
    pub fn settle(&mut self, path: &[u8], fate: Fate) {
        match fate {
            Fate::New => self.new += 1,
            Fate::Overwritten => self.overwritten += 1,
            Fate::Equal => self.equal += 1,
            Fate::Kept => {
                self.kept += 1;
                if self.kept_paths.len() < REPORT_PATHS_MAX {
                    self.kept_paths.push(path.to_vec());
                }
            }
        }
    }

    /// Says how much of the metadata could not be kept so far.
    pub fn not_kept(&mut self, not_kept: &NotKept) {
        self.owners_not_kept = not_kept.owners;
        self.attributes_not_kept = not_kept.attributes;
        self.modes_not_kept = not_kept.modes;
        self.times_not_kept = not_kept.times;
    }
}

/// Whether no other file could be written after this error either.
#[must_use]
pub const fn is_fatal(errno: Errno) -> bool {
    matches!(errno, Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::IO | Errno::NFILE | Errno::MFILE)
}

/// What ends a restore.
#[derive(Debug)]
pub enum TargetError {
    /// The target directory cannot be used.
    Target {
        /// What was tried.
        verb: &'static str,
        /// The target.
        path: PathBuf,
        /// The system's words.
        error: io::Error,
    },
    /// The disk takes nothing more.
    Disk {
        /// What was being written, relative to the target.
        path: Vec<u8>,
        /// The system's words.
        error: io::Error,
    },
    /// The stream is no restore stream.
    Stream(FrameError),
    /// The stream ended too early.
    Short,
}

impl fmt::Display for TargetError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target { verb, path, error } => {
                write!(formatter, "cannot {verb} {}: {error}; choose another target", path.display())
            }
            Self::Disk { path, error } => write!(
                formatter,
                "cannot write {}: {error}; make room and run the restore again, what is there already is kept",
                String::from_utf8_lossy(path)
            ),
            Self::Stream(error) => error.fmt(formatter),
            Self::Short => formatter.write_str("the restore broke off; run it again, what is there already is kept"),
        }
    }
}

impl std::error::Error for TargetError {}
