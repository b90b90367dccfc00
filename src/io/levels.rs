//! The directories along the path that a restore is writing to, from the target down.
//!
//! A directory gets its own mode and times only when nothing more will be written into it. Nothing here follows a
//! symbolic link: one that stands where a directory should be is in the way.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::metadata::{is_same_time, Metadata, NotKept};
use super::place::{remove_left_over, standing};
use super::{beneath, facts};
use crate::base::limits::TARGET_LEVELS_OPEN_MAX;
use crate::node::ports::FoundKind;
use crate::node::put::ASIDE_PREFIX;

/// The mode of a directory that a restore has made and not left yet, until it gets its own. With the sticky bit and nothing
/// for others it is one that people hardly choose: a restore that finds it finishes what one that was killed has begun.
const UNFINISHED_MODE: u32 = 0o1700;

/// The stack.
#[derive(Debug)]
pub struct Levels {
    /// The target; None in a dry run where it does not exist.
    root: Option<OwnedFd>,
    /// From the target's child down.
    stack: Vec<Level>,
    /// Write nothing.
    dry_run: bool,
    /// Directories that were there, and whose metadata was put right.
    corrected: u64,
}

/// One directory.
#[derive(Debug)]
struct Level {
    /// From the target on.
    path: Vec<u8>,
    /// How it can be reached.
    handle: Handle,
    /// What happens when it is left.
    finish: Finish,
}

/// What happens when a directory is left.
#[derive(Debug)]
enum Finish {
    /// It stays as it is.
    Nothing,
    /// It gets its metadata.
    Whole(Metadata),
    /// It gets its metadata if anything of it is different.
    Differing(Metadata),
    /// It had its time when it was entered, and has it again.
    Time(Metadata),
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
        Self { root, stack: Vec::new(), dry_run, corrected: 0 }
    }

    /// Directories that were there, and whose metadata was put right.
    #[must_use]
    pub const fn corrected(&self) -> u64 {
        self.corrected
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
        let finish = self.stack.last_mut().map(|level| std::mem::replace(&mut level.finish, Finish::Nothing));
        let dry_run = self.dry_run;
        let directory = match self.deepest() {
            Ok(Some(directory)) => directory,
            Ok(None) => return self.pop(),
            Err(_) => {
                not_kept.times += u64::from(!matches!(finish, None | Some(Finish::Nothing)));
                return self.pop();
            }
        };
        let mut corrected = 0;
        match finish {
            None | Some(Finish::Nothing) => {}
            Some(Finish::Whole(metadata)) if !dry_run => metadata.apply(directory, owner, not_kept),
            Some(Finish::Differing(metadata)) => {
                if metadata.differs(directory, owner) {
                    corrected = 1;
                    if !dry_run {
                        metadata.apply(directory, owner, not_kept);
                    }
                }
            }
            Some(Finish::Time(metadata)) if !dry_run && !metadata.is_timeless(FoundKind::Directory) => {
                let now = facts::look(directory).map(|facts| facts.stat.mtime_ns);
                if !now.is_ok_and(|now| is_same_time(now, metadata.stat.mtime_ns)) {
                    metadata.apply_times(directory, not_kept);
                }
            }
            Some(Finish::Whole(_) | Finish::Time(_)) => {}
        }
        self.corrected += corrected;
        self.pop();
    }

    /// The deepest is left.
    fn pop(&mut self) {
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

    /// Enters `name` in the deepest directory. `metadata` is applied when it is left, but to one that was there only if it may be
    /// overwritten, or is one that a killed restore has begun; None: it is made with what the system gives it.
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
        let mode = Mode::from_raw_mode(if metadata.is_some() { UNFINISHED_MODE } else { 0o777 });
        let (entered, handle) = match self.deepest()? {
            None => (Entered::New, Handle::Imagined),
            Some(parent) if dry_run => imagine(parent, name, overwrite)?,
            Some(parent) => make(parent, name, mode, overwrite)?,
        };
        if entered == Entered::Blocked {
            return Ok(entered);
        }
        let finish = metadata.map_or(Finish::Nothing, |metadata| match (&handle, entered) {
            (Handle::Open(directory), Entered::Reused) => {
                let cleaned = !dry_run && clean(directory.as_fd());
                finish_of(directory.as_fd(), metadata, overwrite, cleaned)
            }
            _ => Finish::Whole(metadata),
        });
        self.stack.push(Level { path, handle, finish });
        if let Some(above) = self.stack.len().checked_sub(TARGET_LEVELS_OPEN_MAX + 1) {
            if matches!(self.stack[above].handle, Handle::Open(_)) {
                self.stack[above].handle = Handle::Closed;
            }
        }
        Ok(entered)
    }
}

/// What is to happen to a directory that was there; `cleaned`: a restore that was killed has written in it.
fn finish_of(directory: BorrowedFd<'_>, metadata: Metadata, overwrite: bool, cleaned: bool) -> Finish {
    match facts::look(directory).map(|facts| facts.stat) {
        Ok(now) if now.mode & 0o7777 == UNFINISHED_MODE => Finish::Whole(metadata),
        _ if overwrite => Finish::Differing(metadata),
        Ok(now) if cleaned || is_same_time(now.mtime_ns, metadata.stat.mtime_ns) => Finish::Time(metadata),
        _ => Finish::Nothing,
    }
}

/// Removes what restores that were killed have left aside in a directory; whether there was any. What cannot be removed is in
/// nobody's way.
pub fn clean(directory: BorrowedFd<'_>) -> bool {
    // A descriptor of its own: listing moves the position.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(listed) = rustix::fs::openat(directory, c".", flags, Mode::empty()) else { return false };
    let (mut any, mut buffer) = (false, vec![MaybeUninit::uninit(); 16 * 1024]);
    let mut entries = rustix::fs::RawDir::new(&listed, &mut buffer);
    while let Some(Ok(entry)) = entries.next() {
        let name = entry.file_name().to_bytes();
        if name.starts_with(ASIDE_PREFIX) {
            any |= remove_left_over(directory, name).unwrap_or(false);
        }
    }
    any
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
