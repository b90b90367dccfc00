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
use super::unpack::Tree;
use crate::base::ids::hex;
use crate::node::frames::{Frame, FrameError, FRAME_BYTES_MAX};

/// Writes what a restore stream says.
#[derive(Debug)]
pub struct Writer {
    /// Bytes of a frame that is not complete.
    buffer: Vec<u8>,
    /// What comes next in the stream.
    next: Next,
    /// Turns frames into files.
    tree: Tree,
}

/// What comes next in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The length of a frame.
    Length,
    /// This many bytes of a frame.
    Frame(usize),
    /// This many bytes of content.
    Data(usize),
    /// Nothing.
    Nothing,
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
        Ok(Self { buffer: Vec::new(), next: Next::Length, tree })
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
    pub fn take(&mut self, mut bytes: &[u8]) -> Result<(), TargetError> {
        loop {
            match self.next {
                Next::Length => {
                    if !self.gather(&mut bytes, 4) {
                        return Ok(());
                    }
                    let length = self.buffer.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    if length > FRAME_BYTES_MAX {
                        return Err(TargetError::Stream(FrameError));
                    }
                    self.buffer.clear();
                    self.next = Next::Frame(length);
                }
                Next::Frame(length) => {
                    if !self.gather(&mut bytes, length) {
                        return Ok(());
                    }
                    let frame = Frame::decode(&self.buffer).map_err(TargetError::Stream)?;
                    self.buffer.clear();
                    self.next = match frame {
                        Frame::Data(length) => Next::Data(usize::try_from(length).unwrap_or(usize::MAX)),
                        Frame::End { .. } => Next::Nothing,
                        _ => Next::Length,
                    };
                    self.tree.frame(frame)?;
                }
                Next::Data(0) => self.next = Next::Length,
                Next::Data(left) => {
                    if bytes.is_empty() {
                        return Ok(());
                    }
                    let (data, rest) = bytes.split_at(left.min(bytes.len()));
                    self.tree.data(data)?;
                    self.next = Next::Data(left - data.len());
                    bytes = rest;
                }
                Next::Nothing if bytes.is_empty() => return Ok(()),
                Next::Nothing => return Err(TargetError::Stream(FrameError)),
            }
        }
    }

    /// The stream is over: makes sure that all of it is on the disk.
    ///
    /// # Errors
    /// [`TargetError::Short`] when it was cut off, or when the disk fails at last.
    pub fn finish(self) -> Result<Report, TargetError> {
        if self.next == Next::Nothing {
            Ok(self.tree.into_report())
        } else {
            Err(TargetError::Short)
        }
    }

    /// Moves bytes to the buffer until it has `length`; whether it has.
    fn gather(&mut self, bytes: &mut &[u8], length: usize) -> bool {
        let (taken, rest) = bytes.split_at(length.saturating_sub(self.buffer.len()).min(bytes.len()));
        self.buffer.extend_from_slice(taken);
        *bytes = rest;
        self.buffer.len() == length
    }
}

#[cfg(test)]
mod tests;
