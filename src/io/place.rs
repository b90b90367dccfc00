//! Putting one restored thing into its directory: written aside under a name of our own, then renamed or linked to
//! where it belongs, so that nobody ever sees half of it, and nothing that was there is lost without leave.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::facts;
use crate::node::ports::FoundKind;
use crate::node::put::ASIDE_PREFIX;

/// Bytes that the kernel copies in one call.
const COPY_BYTES: usize = 64 << 20;
/// Bytes that are copied at once where it does not.
const STEP_BYTES: usize = 64 * 1024;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// Nothing was there.
    New,
    /// Something was there and is replaced.
    Overwrote,
    /// Something was there and stays.
    Kept,
}

/// Makes names for what is written aside, which are in nobody's way.
#[derive(Debug)]
pub struct AsideNames {
    /// Drawn once a restore.
    random: String,
    /// Counts.
    next: u64,
}

impl AsideNames {
    /// Names with this part in them.
    #[must_use]
    pub const fn new(random: String) -> Self {
        Self { random, next: 0 }
    }

    /// A name not used before by this restore.
    pub fn draw(&mut self) -> String {
        self.next += 1;
        format!("{}{}-{}", String::from_utf8_lossy(ASIDE_PREFIX), self.random, self.next)
    }
}

/// A file that is being written aside; dropped before it is placed, it is removed.
#[derive(Debug)]
pub struct Aside {
    /// Where it will be placed.
    directory: OwnedFd,
    /// Its name for the time being; None once it is placed.
    name: Option<String>,
    /// The open file.
    file: OwnedFd,
    /// Bytes and holes so far.
    position: u64,
}

impl Aside {
    /// Begins an empty file that only its owner may read. It is locked while it is written: see [`remove_left_over`].
    ///
    /// # Errors
    /// What the system says.
    pub fn new(directory: BorrowedFd<'_>, name: String) -> Result<Self, Errno> {
        let directory = rustix::io::fcntl_dupfd_cloexec(directory, 0)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&directory, &name, flags, Mode::RUSR | Mode::WUSR)?;
        // Where a file system knows no locks, nobody else finds one either.
        let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        Ok(Self { directory, name: Some(name), file, position: 0 })
    }

    /// The file itself, for its metadata.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Bytes and holes so far.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Whether the file system has files of this many bytes.
    #[must_use]
    pub fn can_be_so_long(&self, size: u64) -> bool {
        rustix::fs::seek(&self.file, rustix::fs::SeekFrom::Start(size)) != Err(Errno::INVAL)
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// What the system says; the file is then good for nothing.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), Errno> {
        while !bytes.is_empty() {
            match rustix::io::pwrite(&self.file, bytes, self.position) {
                Ok(0) => return Err(Errno::IO),
                Ok(count) => {
                    bytes = &bytes[count..];
                    self.position += u64::try_from(count).unwrap_or(u64::MAX);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Takes the first bytes of another file to where this one begins, without a copy where the file system can share them. False
    /// where the other is shorter.
    ///
    /// # Errors
    /// What the system says.
    pub fn copy_from(&mut self, other: BorrowedFd<'_>, length: u64) -> Result<bool, Errno> {
        let mut buffer = Vec::new();
        while self.position < length {
            let left = usize::try_from(length - self.position).unwrap_or(usize::MAX).min(COPY_BYTES);
            let (mut from, mut to) = (self.position, self.position);
            let copied = if buffer.is_empty() {
                rustix::fs::copy_file_range(other, Some(&mut from), &self.file, Some(&mut to), left)
            } else {
                Err(Errno::NOSYS)
            };
            match copied {
                Ok(0) => return Ok(false),
                Ok(count) => self.position += u64::try_from(count).unwrap_or(u64::MAX),
                Err(Errno::INTR) => {}
                Err(Errno::NOSYS | Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::PERM) => {
                    buffer.resize(STEP_BYTES, 0);
                    let step = STEP_BYTES.min(left);
                    match rustix::io::pread(other, &mut buffer[..step], self.position)? {
                        0 => return Ok(false),
                        count => self.write(&buffer[..count])?,
                    }
                }
                Err(errno) => return Err(errno),
            }
        }
        Ok(true)
    }

    /// Appends a hole.
    ///
    /// # Errors
    /// FBIG when the file would become longer than can be told.
    pub fn hole(&mut self, length: u64) -> Result<(), Errno> {
        self.position = self.position.checked_add(length).ok_or(Errno::FBIG)?;
        Ok(())
    }

    /// Gives the file the length it was written to (it may end with a hole).
    ///
    /// # Errors
    /// What the system says.
    pub fn end(&self) -> Result<(), Errno> {
        rustix::fs::ftruncate(&self.file, self.position)
    }

    /// Gives it its name. What was placed cannot be lost any more.
    ///
    /// # Errors
    /// ISDIR where a directory stands there; else what the system says.
    pub fn place(mut self, name: &[u8], overwrite: bool) -> Result<Placed, Errno> {
        let aside = self.name.take().unwrap_or_default();
        let placed = place(self.directory.as_fd(), aside.as_bytes(), name, overwrite);
        if !matches!(placed, Ok(Placed::New | Placed::Overwrote)) {
            self.name = Some(aside);
        }
        placed
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            // A left-over with such a name is harmless; there is nobody to tell here.
            let _ = rustix::fs::unlinkat(&self.directory, name, AtFlags::empty());
        }
    }
}

/// Removes what a killed process has left aside under `name`, unless somebody is writing it: then the system's lock on it
/// is held, which ends with whoever holds it. False if it stays.
///
/// # Errors
/// What the system says.
pub fn remove_left_over(directory: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match rustix::fs::openat(directory, name, flags, Mode::empty()) {
        Ok(file) => {
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
                return Ok(false);
            }
        }
        // A symbolic link, which nobody locks.
        Err(Errno::LOOP) => {}
        // Another user's, who may well be writing it.
        Err(Errno::ACCESS | Errno::PERM) => return Ok(false),
        Err(errno) => return Err(errno),
    }
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        // Names were tried in it (`io/put/fit.rs`); one of those may still be there.
        Err(Errno::ISDIR | Errno::PERM) => remove_tried(directory, name),
        other => other,
    }
    .map(|()| true)
}

/// Removes a directory and the files in it.
fn remove_tried(directory: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let inside = rustix::fs::openat(directory, name, flags, Mode::empty())?;
    let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
    let mut names = rustix::fs::RawDir::new(&inside, &mut buffer);
    while let Some(entry) = names.next() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            rustix::fs::unlinkat(&inside, entry.file_name(), AtFlags::empty())?;
        }
    }
    rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR)
}

/// What stands at a name.
///
/// # Errors
/// What the system says, but not that nothing is there.
pub fn standing(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Option<FoundKind>, Errno> {
    match facts::look_at(directory, name) {
        Ok(facts) => Ok(Some(facts.kind)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Renames `aside` to `name`. If that is [`Placed::Kept`], `aside` is still there.
fn place(directory: BorrowedFd<'_>, aside: &[u8], name: &[u8], overwrite: bool) -> Result<Placed, Errno> {
    match rename_new(directory, aside, name) {
        Ok(()) => return Ok(Placed::New),
        Err(Errno::EXIST) if overwrite => {}
        Err(Errno::EXIST) => return Ok(Placed::Kept),
        Err(errno) => return Err(errno),
    }
    rustix::fs::renameat(directory, aside, directory, name)?;
    Ok(Placed::Overwrote)
}

/// Renames only to a name that is free.
///
/// # Errors
/// EXIST when something has the name; else what the system says.
pub fn rename_new(directory: BorrowedFd<'_>, aside: &[u8], name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::renameat_with(directory, aside, directory, name, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        answer => return answer,
    }
    match rustix::fs::linkat(directory, aside, directory, name, AtFlags::empty()) {
        Ok(()) => return rustix::fs::unlinkat(directory, aside, AtFlags::empty()),
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {}
        Err(errno) => return Err(errno),
    }
    // A file system that has neither (FAT through FUSE): look first, and accept the moment in between.
    match standing(directory, name)? {
        Some(_) => Err(Errno::EXIST),
        None => rustix::fs::renameat(directory, aside, directory, name),
    }
}

/// Makes a symbolic link and gives it, through `finish`, what else is known of it, before it gets its name.
///
/// # Errors
/// What the system says.
pub fn place_link(
    directory: BorrowedFd<'_>,
    name: &[u8],
    target: &[u8],
    overwrite: bool,
    aside: &str,
    finish: impl FnOnce(&[u8]),
) -> Result<Placed, Errno> {
    rustix::fs::symlinkat(target, directory, aside)?;
    finish(aside.as_bytes());
    let placed = place(directory, aside.as_bytes(), name, overwrite);
    if !matches!(placed, Ok(Placed::New | Placed::Overwrote)) {
        let _ = rustix::fs::unlinkat(directory, aside, AtFlags::empty());
    }
    placed
}

/// Gives the file `first` in `first_directory` a further name.
///
/// # Errors
/// What the system says: not every file system has hard links.
pub fn place_hard_link(
    (first_directory, first): (BorrowedFd<'_>, &[u8]),
    directory: BorrowedFd<'_>,
    name: &[u8],
    overwrite: bool,
    aside: &str,
) -> Result<Placed, Errno> {
    match rustix::fs::linkat(first_directory, first, directory, name, AtFlags::empty()) {
        Ok(()) => return Ok(Placed::New),
        Err(Errno::EXIST) if overwrite => {}
        Err(Errno::EXIST) => return Ok(Placed::Kept),
        Err(errno) => return Err(errno),
    }
    rustix::fs::linkat(first_directory, first, directory, aside, AtFlags::empty())?;
    let placed = rustix::fs::renameat(directory, aside, directory, name);
    // Renaming one name of a file to another name of the same file does nothing and says Ok (rename(2)).
    let _ = rustix::fs::unlinkat(directory, aside, AtFlags::empty());
    placed.map(|()| Placed::Overwrote)
}
