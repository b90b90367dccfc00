//! Frames of a restore stream become files, directories and links below the target.
//!
//! Decides for each entry whether it is made, kept, replaced or lost, and counts it. The stream's bytes are cut into
//! frames by `io/target.rs`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;

use super::levels::{Entered, Levels};
use super::links::Links;
use super::metadata::{Metadata, NotKept};
use super::place::{place_hard_link, place_link, standing, Aside, AsideNames, Placed};
use super::restored::{is_fatal, Options, Report, TargetError};
use super::{beneath, facts};
use crate::file::entry::{Kind, Stat};
use crate::node::frames::{Frame, FrameError};
use crate::node::ports::FoundKind;

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
        /// Being written.
        aside: Aside,
        /// Applied at its end.
        metadata: Metadata,
    },
}

impl Tree {
    /// Nothing is written yet.
    #[must_use]
    pub fn new(root: Option<OwnedFd>, options: Options, random: String) -> Self {
        Self {
            options,
            report: Report::default(),
            not_kept: NotKept::default(),
            levels: Levels::new(root, options.dry_run),
            names: AsideNames::new(random),
            current: Current::None,
            blocked: None,
            links: Links::default(),
            begun: false,
        }
    }

    /// What was done so far.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
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
            Frame::Begin { files, bytes, partial, .. } => {
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
        match self.levels.enter(name, metadata, self.options.overwrite) {
            Ok(Entered::New) => self.report.directories += 1,
            Ok(Entered::Reused) => {}
            Ok(Entered::Overwrote) => {
                self.report.directories += 1;
                self.report.overwritten += 1;
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

    /// Looks what stands at `name`: Some(false) if it is to be made, Some(true) if it replaces something, None if
    /// there is nothing to do (which is counted).
    fn decide(&mut self, path: &[u8], name: &[u8]) -> Result<Option<bool>, TargetError> {
        let standing = match self.levels.deepest() {
            Ok(Some(directory)) => standing(directory, name),
            Ok(None) => Ok(None),
            Err(errno) => Err(errno),
        };
        match standing {
            Err(errno) => self.fail(path.to_vec(), "look at", errno).map(|()| None),
            Ok(Some(FoundKind::Directory)) => {
                self.report.lose(path.to_vec(), "a directory stands there; move it away");
                Ok(None)
            }
            Ok(Some(_)) if !self.options.overwrite => {
                self.report.placed(path.to_vec(), Placed::Kept);
                Ok(None)
            }
            Ok(found) => Ok(Some(found.is_some())),
        }
    }

    /// A regular file begins.
    fn begin_file(&mut self, path: Vec<u8>, name: &[u8], metadata: Metadata) -> Result<(), TargetError> {
        let Some(replaces) = self.decide(&path, name)? else { return Ok(()) };
        if self.options.dry_run {
            self.report.placed(path, if replaces { Placed::Overwrote } else { Placed::New });
            self.report.bytes += metadata.stat.size;
            return Ok(());
        }
        if self.link_to_first(&path, name, &metadata.stat) {
            return Ok(());
        }
        let aside = match self.levels.deepest() {
            Ok(Some(directory)) => Aside::new(directory, self.names.draw()),
            Ok(None) => Err(Errno::NOENT),
            Err(errno) => Err(errno),
        };
        match aside {
            Ok(aside) => self.current = Current::File { path, aside, metadata },
            Err(errno) => self.fail(path, "make", errno)?,
        }
        Ok(())
    }

    /// Makes a further name of a file that was restored before; whether that is done.
    fn link_to_first(&mut self, path: &[u8], name: &[u8], stat: &Stat) -> bool {
        let Some(first) = self.links.first(stat) else {
            return false;
        };
        let (first_parent, first_name) = beneath::split(&first.path);
        let aside = self.names.draw();
        let linked = self.levels.open(first_parent).and_then(|first_directory| {
            if facts::look_at(first_directory.as_fd(), first_name)?.stat.inode != first.inode {
                return Err(Errno::NOENT);
            }
            let directory = self.levels.deepest()?.ok_or(Errno::NOENT)?;
            let from = (first_directory.as_fd(), first_name);
            place_hard_link(from, directory, name, self.options.overwrite, &aside)
        });
        match linked {
            Ok(placed) => {
                self.report.placed(path.to_vec(), placed);
                true
            }
            Err(errno) => {
                log::debug!("a hard link becomes a copy: {errno}");
                self.report.links_copied += 1;
                false
            }
        }
    }

    /// Content of the current file.
    ///
    /// # Errors
    /// When the restore cannot go on.
    pub fn data(&mut self, bytes: &[u8]) -> Result<(), TargetError> {
        let Current::File { aside, .. } = &mut self.current else { return Ok(()) };
        if let Err(errno) = aside.write(bytes) {
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
            Current::File { aside, .. } => {
                if let Err(errno) = aside.hole(length) {
                    return self.break_off(errno);
                }
                self.report.bytes = self.report.bytes.saturating_add(length);
                Ok(())
            }
        }
    }

    /// The current file cannot be written.
    fn break_off(&mut self, errno: Errno) -> Result<(), TargetError> {
        let Current::File { path, .. } = &self.current else { return Ok(()) };
        let path = path.clone();
        self.current = Current::Skip(path.clone());
        self.fail(path, "write", errno)
    }

    /// The current file, if there is one, is complete.
    fn end_file(&mut self) -> Result<(), TargetError> {
        let Current::File { path, aside, metadata } = std::mem::replace(&mut self.current, Current::None)
        else {
            return Ok(());
        };
        if let Err(errno) = aside.end() {
            return self.fail(path, "write", errno);
        }
        if aside.position() != metadata.stat.size {
            log::warn!("a restored file has another length than its entry says");
            self.report.torn += 1;
        }
        metadata.apply(aside.file(), self.options.owner, &mut self.not_kept);
        let inode = facts::look(aside.file()).map(|facts| facts.stat.inode);
        let placed = aside.place(beneath::split(&path).1, self.options.overwrite);
        match placed {
            Ok(placed) => {
                if let (Ok(inode), true) = (inode, placed != Placed::Kept) {
                    self.links.remember(&metadata.stat, &path, inode);
                }
                self.report.placed(path, placed);
                Ok(())
            }
            Err(errno) => self.fail(path, "name", errno),
        }
    }

    /// A symbolic link.
    fn link(
        &mut self,
        path: Vec<u8>,
        name: &[u8],
        target: &[u8],
        metadata: &Metadata,
    ) -> Result<(), TargetError> {
        let Some(replaces) = self.decide(&path, name)? else { return Ok(()) };
        if self.options.dry_run {
            self.report.placed(path, if replaces { Placed::Overwrote } else { Placed::New });
            return Ok(());
        }
        let aside = self.names.draw();
        let (options, not_kept) = (self.options, &mut self.not_kept);
        let placed = match self.levels.deepest() {
            Ok(Some(directory)) => place_link(directory, name, target, options.overwrite, &aside, |made| {
                metadata.apply_to_link(directory, made, options.owner, not_kept);
            }),
            Ok(None) => Err(Errno::NOENT),
            Err(errno) => Err(errno),
        };
        match placed {
            Ok(placed) => {
                self.report.placed(path, placed);
                Ok(())
            }
            Err(errno) => self.fail(path, "link", errno),
        }
    }

    /// The end of the stream.
    fn end(&mut self) -> Result<(), TargetError> {
        let root = self.levels.leave_all(self.options.owner, &mut self.not_kept);
        if let (Some(root), false) = (root, self.options.dry_run) {
            rustix::fs::syncfs(root)
                .map_err(|errno| TargetError::Disk { path: b"(sync)".to_vec(), error: errno.into() })?;
        }
        Ok(())
    }
}
