//! The restore writer: reads a restore stream (`node/frames.rs`) and writes files below a target directory, with the
//! rights of whoever runs it.
//!
//! Refuses paths that could leave the target, never follows a symbolic link below it, and replaces nothing without
//! leave. One file that cannot be written is counted and named, and the rest goes on; a full disk ends the restore.
//! Content is synced once, at the end. Read `io/unpack.rs` for what
//! a frame does, `io/place.rs` and `io/levels.rs` for how things get their names.

use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::os;
pub use super::restored::{Fate, Options, Planned, Report, TargetError};
use super::splitter::{Splitter, Taker};
use super::unpack::Tree;
use crate::base::ids::hex;
use crate::node::frames::Frame;

/// Writes what a restore stream says.
#[derive(Debug)]
pub struct Writer {
    /// Cuts the stream into frames.
    splitter: Splitter,
    /// Turns frames into files.
    tree: Tree,
}

impl Writer {
    /// Restores into `target`, which is made if need be.
    ///
    /// # Errors
    /// When it cannot be made or opened.
    pub fn new(target: &Path, options: Options) -> Result<Self, TargetError> {
        let failed = |verb, error| TargetError::Target { verb, path: target.to_path_buf(), error };
        if !options.dry_run {
            std::fs::create_dir_all(target).map_err(|error| failed("create", error))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = match rustix::fs::open(target, flags, Mode::empty()) {
            Ok(root) => Some(root),
            Err(Errno::NOENT) if options.dry_run => None,
            Err(errno) => return Err(failed("open", errno.into())),
        };
        let random = os::entropy().map_err(|error| failed("draw a name in", io::Error::other(error)))?;
        let tree = Tree::new(root, options, hex(&random[..8]));
        Ok(Self { splitter: Splitter::default(), tree })
    }

    /// What was done so far.
    #[must_use]
    pub fn report(&self) -> &Report {
        self.tree.report()
    }

    /// What a dry run has found since this was asked last.
    pub fn take_planned(&mut self) -> Vec<Planned> {
        self.tree.take_planned()
    }

    /// Takes the next bytes of the stream, cut anywhere.
    ///
    /// # Errors
    /// When the restore cannot go on.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), TargetError> {
        self.splitter.take(bytes, &mut self.tree)
    }

    /// The stream is over: makes sure that all of it is on the disk.
    ///
    /// # Errors
    /// [`TargetError::Short`] when it was cut off, or when the disk fails at last.
    pub fn finish(self) -> Result<Report, TargetError> {
        if self.splitter.is_over() {
            Ok(self.tree.into_report())
        } else {
            Err(TargetError::Short)
        }
    }
}

impl Taker for Tree {
    fn frame(&mut self, frame: Frame) -> Result<(), TargetError> {
        Self::frame(self, frame)
    }

    fn data(&mut self, data: &[u8]) -> Result<(), TargetError> {
        Self::data(self, data)
    }
}

#[cfg(test)]
mod tests;
