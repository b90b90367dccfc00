//! The directories along the path that a restore is writing to, from the target down.
//!
//! A directory gets its own mode and times only when nothing more will be written into it. Nothing here follows a
//! symbolic link: one that stands where a directory should be is in the way.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::beneath;
use super::metadata::{Metadata, NotKept};
use super::place::standing;
use crate::base::limits::TARGET_LEVELS_OPEN_MAX;

/// The stack.
#[derive(Debug)]
pub struct Levels {
    /// The target; None in a dry run where it does not exist.
    root: Option<OwnedFd>,
    /// From the target's child down.
    stack: Vec<Level>,
    /// Write nothing.
    dry_run: bool,
}

/// One directory.
#[derive(Debug)]
struct Level {
    /// From the target on.
    path: Vec<u8>,
    /// How it can be reached.
    handle: Handle,
    /// Applied when it is left.
    metadata: Option<Metadata>,
}

/// How a directory can be reached.
#[derive(Debug)]
enum Handle {
    /// It is open.
    Open(OwnedFd),
    /// It was closed because too many would be open.
    Closed,
    /// It would be made, if this were no dry run.
    Imagined,
}

/// What became of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entered {
    /// It was made (or would be).
    New,
    /// It was there.
    Reused,
    /// Something else was there and was replaced.
    Overwrote,
    /// Something else is there and stays.
    Blocked,
}

impl Levels {
    /// Nothing is entered yet.
    #[must_use]
    pub const fn new(root: Option<OwnedFd>, dry_run: bool) -> Self {
        Self { root, stack: Vec::new(), dry_run }
    }

    /// Leaves directories until `path` is the deepest one or lies below it.
    pub fn leave_until(&mut self, path: &[u8], owner: bool, not_kept: &mut NotKept) {
        while let Some(level) = self.stack.last() {
            let above = path.strip_prefix(level.path.as_slice());
            if above.is_some_and(|rest| rest.is_empty() || rest[0] == b'/') {
                return;
            }
            self.leave(owner, not_kept);
        }
    }

    /// Leaves all, and gives back the target.
    pub fn leave_all(&mut self, owner: bool, not_kept: &mut NotKept) -> Option<BorrowedFd<'_>> {
        while !self.stack.is_empty() {
            self.leave(owner, not_kept);
        }
        self.root.as_ref().map(AsFd::as_fd)
    }

    /// Leaves the deepest.
    fn leave(&mut self, owner: bool, not_kept: &mut NotKept) {
        let metadata = self.stack.last_mut().and_then(|level| level.metadata.take());
        if let Some(metadata) = metadata {
            match self.deepest() {
                Ok(Some(directory)) => metadata.apply(directory, owner, not_kept),
                Ok(None) => {}
                Err(_) => not_kept.times += 1,
            }
        }
        self.stack.pop();
    }

    /// The deepest directory; None if it is only imagined.
    ///
    /// # Errors
    /// When it cannot be opened again.
    pub fn deepest(&mut self) -> Result<Option<BorrowedFd<'_>>, Errno> {
        let root = self.root.as_ref();
        let Some(level) = self.stack.last_mut() else {
            return Ok(root.map(AsFd::as_fd));
        };
        if let (Handle::Closed, Some(root)) = (&level.handle, root) {
            level.handle = Handle::Open(open_directory(root.as_fd(), &level.path)?);
        }
        Ok(match &level.handle {
            Handle::Open(directory) => Some(directory.as_fd()),
            Handle::Closed | Handle::Imagined => None,
        })
    }

    /// Which directory is the deepest, from the target on.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.stack.last().map_or(&[], |level| &level.path)
    }

    /// Opens another directory beneath the target.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let root = self.root.as_ref().ok_or(Errno::NOENT)?;
        open_directory(root.as_fd(), path)
    }

    /// Enters `name` in the deepest directory. `metadata` is applied when it is left, but not to one that was there,
    /// unless it may be overwritten; None: it is made with what the system gives it.
    ///
    /// # Errors
    /// What the system says.
    pub fn enter(
        &mut self,
        name: &[u8],
        metadata: Option<Metadata>,
        overwrite: bool,
    ) -> Result<Entered, Errno> {
        let mut path = self.path().to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        let dry_run = self.dry_run;
        let mode = if metadata.is_some() { Mode::RWXU } else { Mode::from_raw_mode(0o777) };
        let (entered, handle) = match self.deepest()? {
            None => (Entered::New, Handle::Imagined),
            Some(parent) if dry_run => imagine(parent, name, overwrite)?,
            Some(parent) => make(parent, name, mode, overwrite)?,
        };
        if entered == Entered::Blocked {
            return Ok(entered);
        }
        let metadata = metadata.filter(|_| entered != Entered::Reused || overwrite);
        self.stack.push(Level { path, handle, metadata });
        if let Some(above) = self.stack.len().checked_sub(TARGET_LEVELS_OPEN_MAX + 1) {
            if matches!(self.stack[above].handle, Handle::Open(_)) {
                self.stack[above].handle = Handle::Closed;
            }
        }
        Ok(entered)
    }
}

/// Opens a directory beneath `root`; one that may not be listed at least for its path.
fn open_directory(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    match beneath::open(root, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
        Err(Errno::ACCESS) => beneath::open(root, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()),
        answer => answer,
    }
}

/// What [`make`] would do.
fn imagine(parent: BorrowedFd<'_>, name: &[u8], overwrite: bool) -> Result<(Entered, Handle), Errno> {
    Ok(match open_directory(parent, name) {
        Ok(directory) => (Entered::Reused, Handle::Open(directory)),
        Err(Errno::NOENT) => (Entered::New, Handle::Imagined),
        Err(Errno::LOOP | Errno::NOTDIR) if overwrite => (Entered::Overwrote, Handle::Imagined),
        Err(Errno::LOOP | Errno::NOTDIR) => (Entered::Blocked, Handle::Imagined),
        Err(errno) => return Err(errno),
    })
}

/// Makes the directory, or opens the one that is there.
fn make(
    parent: BorrowedFd<'_>,
    name: &[u8],
    mode: Mode,
    overwrite: bool,
) -> Result<(Entered, Handle), Errno> {
    let mut entered = match rustix::fs::mkdirat(parent, name, mode) {
        Ok(()) => Entered::New,
        Err(Errno::EXIST) => Entered::Reused,
        Err(errno) => return Err(errno),
    };
    match open_directory(parent, name) {
        Ok(directory) => return Ok((entered, Handle::Open(directory))),
        Err(Errno::LOOP | Errno::NOTDIR) if !overwrite => return Ok((Entered::Blocked, Handle::Imagined)),
        Err(Errno::LOOP | Errno::NOTDIR) => {}
        Err(errno) => return Err(errno),
    }
    if standing(parent, name)?.is_some() {
        rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
        entered = Entered::Overwrote;
    }
    rustix::fs::mkdirat(parent, name, mode)?;
    Ok((entered, Handle::Open(open_directory(parent, name)?)))
}
