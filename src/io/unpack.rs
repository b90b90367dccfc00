//! Frames of a restore stream become files, directories and links below the target.
//!
//! Decides for each entry whether it is made, kept, replaced or lost, or stands there already, and counts it. The stream's bytes
//! are cut into frames by `io/target.rs`; what concerns files and links is in `io/unpack/files.rs`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use super::beneath;
use super::levels::{clean, Entered, Levels};
use super::links::Links;
use super::metadata::{Metadata, NotKept};
use super::place::AsideNames;
use super::restored::{is_fatal, Fate, Options, Planned, Report, TargetError};
use crate::file::entry::Kind;
use crate::node::frames::{Frame, FrameError};

mod files;
mod filling;
mod standing;

use self::filling::Filling;

/// Turns frames into files.
#[derive(Debug)]
pub struct Tree {
    /// How to restore.
    options: Options,
    /// What was done.
    report: Report,
    /// What of the metadata was not.
    not_kept: NotKept,
    /// Directories.
    levels: Levels,
    /// Names for files that are being written.
    names: AsideNames,
    /// Where content goes.
    current: Current,
    /// What stands in the way of all below it.
    blocked: Option<Vec<u8>>,
    /// Files with several names.
    links: Links,
    /// What a dry run has found, and nobody has taken yet.
    planned: Vec<Planned>,
    /// [`Frame::Begin`] was seen.
    begun: bool,
}

/// Where content goes.
#[derive(Debug)]
enum Current {
    /// There is no file.
    None,
    /// What has this path is not written, or needs no content.
    Skip(Vec<u8>),
    /// Into a file.
    File {
        /// From the target on.
        path: Vec<u8>,
        /// Being written, or compared.
        filling: Filling,
        /// Applied at its end.
        metadata: Metadata,
    },
}

impl Tree {
    /// Nothing is written yet.
    #[must_use]
    pub fn new(root: Option<OwnedFd>, options: Options, random: String) -> Self {
        if let (Some(root), false) = (&root, options.dry_run) {
            let _ = clean(root.as_fd());
        }
        Self {
            options,
            report: Report::default(),
            not_kept: NotKept::default(),
            levels: Levels::new(root, options.dry_run),
            names: AsideNames::new(random),
            current: Current::None,
            blocked: None,
            links: Links::default(),
            planned: Vec::new(),
            begun: false,
        }
    }

    /// What was done so far.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// What a dry run has found since this was asked last.
    pub fn take_planned(&mut self) -> Vec<Planned> {
        std::mem::take(&mut self.planned)
    }

    /// What was done.
    #[must_use]
    pub fn into_report(self) -> Report {
        self.report
    }

    /// One frame; the bytes of [`Frame::Data`] follow through [`Tree::data`].
    ///
    /// # Errors
    /// When the restore cannot go on.
    pub fn frame(&mut self, frame: Frame) -> Result<(), TargetError> {
        let first = !std::mem::replace(&mut self.begun, true);
        if first != matches!(frame, Frame::Begin { .. }) {
            return Err(TargetError::Stream(FrameError));
        }
        match frame {
            Frame::Begin { snapshot, files, bytes, partial } => {
                self.report.snapshot = snapshot;
                self.report.partial = partial;
                self.report.files_expected = files;
                self.report.bytes_expected = bytes;
            }
            Frame::Entry { path, kind, stat, attributes, target, torn } => {
                self.end_file()?;
                self.report.torn += u64::from(torn);
                self.entry(path, kind, Metadata { stat, attributes }, target)?;
            }
            Frame::Data(_) => {
                if matches!(self.current, Current::None) {
                    return Err(TargetError::Stream(FrameError));
                }
            }
            Frame::Hole(length) => self.hole(length)?,
            Frame::Lost { path, reason } => {
                // A further name of a file that is there already needs no content.
                if matches!(&self.current, Current::File { path: current, .. } if *current != path) {
                    self.end_file()?;
                }
                if !matches!(&self.current, Current::Skip(skipped) if *skipped == path) {
                    self.report.lose(path.clone(), reason);
                }
                self.current = Current::Skip(path);
            }
            Frame::LeftOut => self.left_out()?,
            Frame::End { .. } => {
                self.end_file()?;
                self.end()?;
            }
        }
        self.report.not_kept(&self.not_kept);
        Ok(())
    }

    /// Something could not be written: one file is lost, unless no other could be written either.
    fn fail(&mut self, path: Vec<u8>, verb: &str, errno: Errno) -> Result<(), TargetError> {
        if is_fatal(errno) {
            return Err(TargetError::Disk { path, error: errno.into() });
        }
        let reason = format!("cannot {verb} it: {}", io::Error::from(errno));
        self.report.lose(path, reason);
        Ok(())
    }

    /// A file, directory or link begins.
    fn entry(
        &mut self,
        path: Vec<u8>,
        kind: Kind,
        metadata: Metadata,
        target: Option<Vec<u8>>,
    ) -> Result<(), TargetError> {
        self.current = Current::Skip(path.clone());
        if path.is_empty() || !beneath::is_plain(&path) {
            self.report.lose(path, "its name is not one that a file can have below the target");
            return Ok(());
        }
        if let Some(blocked) = &self.blocked {
            if path.strip_prefix(blocked.as_slice()).is_some_and(|rest| rest.first() == Some(&b'/')) {
                self.report.lose(path, "its directory is not there");
                return Ok(());
            }
            self.blocked = None;
        }
        let (parent, name) = beneath::split(&path);
        if !self.go_to(parent)? {
            self.report.lose(path, "its directory is not there");
            return Ok(());
        }
        let name = name.to_vec();
        match (kind, target) {
            (Kind::Directory, _) => self.enter(path, &name, Some(metadata)),
            (Kind::File, _) => self.begin_file(path, &name, metadata),
            (Kind::Symlink, Some(target)) => self.link(path, &name, &target, &metadata),
            (Kind::Symlink, None) => {
                self.report.lose(path, "the link has no target");
                Ok(())
            }
        }
    }

    /// Makes `parent` the deepest directory; false if that cannot be.
    fn go_to(&mut self, parent: &[u8]) -> Result<bool, TargetError> {
        self.levels.leave_until(parent, self.options.owner, &mut self.not_kept);
        while self.levels.path() != parent {
            let here = self.levels.path().len();
            let rest = &parent[if here == 0 { 0 } else { here + 1 }..];
            let name = rest.split(|&byte| byte == b'/').next().unwrap_or_default().to_vec();
            let path = parent[..parent.len() - rest.len() + name.len()].to_vec();
            self.enter(path, &name, None)?;
            if self.blocked.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Enters a directory.
    fn enter(&mut self, path: Vec<u8>, name: &[u8], metadata: Option<Metadata>) -> Result<(), TargetError> {
        let entered = self.levels.enter(name, metadata, self.options.overwrite);
        match entered {
            Ok(Entered::Reused) => {}
            Ok(Entered::New | Entered::Overwrote) => {
                let fate = if matches!(entered, Ok(Entered::New)) { Fate::New } else { Fate::Overwritten };
                self.report.directories += 1;
                self.report.overwritten += u64::from(fate == Fate::Overwritten);
                self.plan(Planned { fate, directory: true, path, size: 0 });
            }
            Ok(Entered::Blocked) => {
                self.blocked = Some(path.clone());
                self.report.lose(
                    path,
                    "something that is no directory stands there; move it away, or use --overwrite",
                );
            }
            Err(errno) => {
                self.blocked = Some(path.clone());
                self.fail(path, "make or enter", errno)?;
            }
        }
        Ok(())
    }

    /// A file or link is settled, or would be.
    fn settle(&mut self, path: Vec<u8>, fate: Fate, size: u64) {
        self.report.settle(&path, fate);
        self.plan(Planned { fate, directory: false, path, size });
    }

    /// A dry run has found something.
    fn plan(&mut self, planned: Planned) {
        if self.options.dry_run {
            self.planned.push(planned);
        }
    }

    /// Content of the current file.
    ///
    /// # Errors
    /// When the restore cannot go on.
    pub fn data(&mut self, bytes: &[u8]) -> Result<(), TargetError> {
        let Current::File { filling, .. } = &mut self.current else { return Ok(()) };
        if let Err(errno) = filling.write(bytes) {
            return self.break_off(errno);
        }
        self.report.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(())
    }

    /// A hole in the current file.
    fn hole(&mut self, length: u64) -> Result<(), TargetError> {
        match &mut self.current {
            Current::None => Err(TargetError::Stream(FrameError)),
            Current::Skip(_) => Ok(()),
            Current::File { filling, .. } => {
                if let Err(errno) = filling.hole(length) {
                    return self.break_off(errno);
                }
                self.report.bytes = self.report.bytes.saturating_add(length);
                Ok(())
            }
        }
    }

    /// The content of the current file does not come, since it was not asked for: what stood there then was as it should be, or
    /// was to stay.
    fn left_out(&mut self) -> Result<(), TargetError> {
        match std::mem::replace(&mut self.current, Current::None) {
            Current::None => return Err(TargetError::Stream(FrameError)),
            Current::Skip(path) => self.current = Current::Skip(path),
            Current::File { path, .. } => {
                self.current = Current::Skip(path.clone());
                self.report.lose(path, "what stood there has changed during the restore; run it again");
            }
        }
        Ok(())
    }

    /// The current file cannot be written.
    fn break_off(&mut self, errno: Errno) -> Result<(), TargetError> {
        let Current::File { path, .. } = &self.current else { return Ok(()) };
        let path = path.clone();
        self.current = Current::Skip(path.clone());
        self.fail(path, "write", errno)
    }

    /// The end of the stream.
    fn end(&mut self) -> Result<(), TargetError> {
        let root = self.levels.leave_all(self.options.owner, &mut self.not_kept);
        if let (Some(root), false) = (root, self.options.dry_run) {
            rustix::fs::syncfs(root)
                .map_err(|errno| TargetError::Disk { path: b"(sync)".to_vec(), error: errno.into() })?;
        }
        self.report.corrected += self.levels.corrected();
        Ok(())
    }
}
