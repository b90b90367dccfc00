//! Files and links of a restore: what is to be done with each, from what stands there to its name.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::super::beneath;
use super::super::facts::{self, Facts};
use super::super::metadata::Metadata;
use super::super::place::{place_hard_link, place_link};
use super::super::restored::{Fate, Options, TargetError};
use super::filling::Filling;
use super::standing::{look, Standing, Wanted};
use super::{Current, Tree};
use crate::file::entry::Stat;
use crate::node::ports::FoundKind;

/// What is to be done with a file or link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// Nothing; it is counted.
    Done,
    /// It is made; `fate` says whether something is replaced by it.
    Make {
        /// New or overwritten.
        fate: Fate,
    },
    /// Only its content says whether it is there.
    Compare,
}

impl Tree {
    /// Looks what stands at `name`.
    fn decide(
        &mut self,
        path: &[u8],
        name: &[u8],
        wanted: Wanted<'_>,
        metadata: &Metadata,
    ) -> Result<Decision, TargetError> {
        let standing = match self.levels.deepest() {
            Ok(Some(directory)) => look(directory, name, wanted),
            Ok(None) => Ok(Standing::Nothing),
            Err(errno) => Err(errno),
        };
        let Options { overwrite, checksum, .. } = self.options;
        match standing {
            Err(errno) => self.fail(path.to_vec(), "look at", errno).map(|()| Decision::Done),
            Ok(Standing::Directory) => {
                self.report.lose(path.to_vec(), "a directory stands there; move it away");
                Ok(Decision::Done)
            }
            Ok(Standing::Nothing) => Ok(Decision::Make { fate: Fate::New }),
            Ok(Standing::Same(facts) | Standing::Other(facts))
                if checksum && facts.kind == FoundKind::File && matches!(wanted, Wanted::File(_)) =>
            {
                Ok(Decision::Compare)
            }
            Ok(Standing::Same(facts)) if !(overwrite && self.is_apart(&metadata.stat, &facts)) => {
                self.equal(path, name, metadata, &facts);
                Ok(Decision::Done)
            }
            Ok(_) if overwrite => Ok(Decision::Make { fate: Fate::Overwritten }),
            Ok(_) => {
                self.settle(path.to_vec(), Fate::Kept, metadata.stat.size);
                Ok(Decision::Done)
            }
        }
    }

    /// Whether it should be a further name of a file, and is a file of its own.
    fn is_apart(&self, stat: &Stat, standing: &Facts) -> bool {
        self.links.first(stat).is_some_and(|first| first.inode != standing.stat.inode)
    }

    /// What is wanted stands there.
    fn equal(&mut self, path: &[u8], name: &[u8], metadata: &Metadata, standing: &Facts) {
        let Options { overwrite, owner, dry_run, .. } = self.options;
        if standing.kind == FoundKind::File {
            self.report.equal_bytes += standing.stat.size;
            self.links.remember(&metadata.stat, path, standing.stat.inode);
            let suspect =
                || metadata.differs_in_stat(&standing.stat, owner) || !metadata.attributes.is_empty();
            if overwrite && suspect() {
                let opened = self.levels.deepest().and_then(|directory| {
                    let directory = directory.ok_or(Errno::NOENT)?;
                    beneath::open(directory, name, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())
                });
                if let Ok(file) = opened {
                    self.correct(file.as_fd(), metadata, dry_run);
                }
            } else if !overwrite {
                let (now, then) = (&standing.stat, &metadata.stat);
                self.not_kept.modes += u64::from(now.mode & 0o7777 != then.mode & 0o7777);
                self.not_kept.owners += u64::from(owner && (now.uid, now.gid) != (then.uid, then.gid));
            }
        }
        self.settle(path.to_vec(), Fate::Equal, metadata.stat.size);
    }

    /// Puts right what is known of a file besides its content, if it is not.
    fn correct(&mut self, file: BorrowedFd<'_>, metadata: &Metadata, dry_run: bool) {
        if metadata.differs(file, self.options.owner) {
            self.report.corrected += 1;
            if !dry_run {
                metadata.apply(file, self.options.owner, &mut self.not_kept);
            }
        }
    }

    /// A regular file begins.
    pub(super) fn begin_file(
        &mut self,
        path: Vec<u8>,
        name: &[u8],
        metadata: Metadata,
    ) -> Result<(), TargetError> {
        let decision = self.decide(&path, name, Wanted::File(&metadata.stat), &metadata)?;
        match decision {
            Decision::Done => return Ok(()),
            Decision::Make { fate } if self.options.dry_run => {
                self.report.bytes += metadata.stat.size;
                self.settle(path, fate, metadata.stat.size);
                return Ok(());
            }
            Decision::Make { .. } if self.link_to_first(&path, name, &metadata.stat) => return Ok(()),
            Decision::Make { .. } | Decision::Compare => {}
        }
        let (aside, overwrite) = (self.names.draw(), self.options.overwrite);
        let filling = match self.levels.deepest() {
            Ok(Some(directory)) if decision == Decision::Compare => {
                Filling::comparing(directory, name, aside, overwrite)
            }
            Ok(Some(directory)) => Filling::aside(directory, aside, overwrite),
            Ok(None) => Err(Errno::NOENT),
            Err(errno) => Err(errno),
        };
        match filling {
            Ok(filling) => self.current = Current::File { path, filling, metadata },
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
                self.settle(path.to_vec(), placed.into(), stat.size);
                true
            }
            Err(errno) => {
                log::debug!("a hard link becomes a copy: {errno}");
                self.report.links_copied += 1;
                false
            }
        }
    }

    /// The current file, if there is one, is complete.
    pub(super) fn end_file(&mut self) -> Result<(), TargetError> {
        let Current::File { path, mut filling, metadata } =
            std::mem::replace(&mut self.current, Current::None)
        else {
            return Ok(());
        };
        if let Err(errno) = filling.end() {
            return self.fail(path, "write", errno);
        }
        if filling.position().is_some_and(|position| position != metadata.stat.size) {
            log::warn!("a restored file has another length than its entry says");
            self.report.torn += 1;
        }
        let mut inode = None;
        if let Some(file) = filling.file() {
            inode = facts::look(file).map(|facts| facts.stat.inode).ok();
            if filling.is_new() {
                metadata.apply(file, self.options.owner, &mut self.not_kept);
            } else if self.options.overwrite {
                self.correct(file, &metadata, false);
            }
        }
        match filling.place(beneath::split(&path).1) {
            Ok(fate) => {
                if let (Some(inode), true) = (inode, fate != Fate::Kept) {
                    self.links.remember(&metadata.stat, &path, inode);
                }
                if matches!(fate, Fate::Equal | Fate::Kept) {
                    // It came, but it was not written.
                    self.report.bytes = self.report.bytes.saturating_sub(metadata.stat.size);
                    self.report.equal_bytes += if fate == Fate::Equal { metadata.stat.size } else { 0 };
                }
                self.settle(path, fate, metadata.stat.size);
                Ok(())
            }
            Err(errno) => self.fail(path, "name", errno),
        }
    }

    /// A symbolic link.
    pub(super) fn link(
        &mut self,
        path: Vec<u8>,
        name: &[u8],
        target: &[u8],
        metadata: &Metadata,
    ) -> Result<(), TargetError> {
        match self.decide(&path, name, Wanted::Link(target), metadata)? {
            Decision::Make { fate } if self.options.dry_run => {
                self.settle(path, fate, 0);
                return Ok(());
            }
            Decision::Make { .. } => {}
            Decision::Done | Decision::Compare => return Ok(()),
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
                self.settle(path, placed.into(), 0);
                Ok(())
            }
            Err(errno) => self.fail(path, "link", errno),
        }
    }
}
