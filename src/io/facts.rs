//! What the system knows of one file (statx), in the words of the core, and its errors likewise.
//!
//! Nothing here follows a symbolic link. Needs Linux 4.11; every machine that nuthatch is made for has it.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, StatxTimestamp};
use rustix::io::Errno;

use crate::file::applied::Disk;
use crate::file::entry::Stat;
use crate::node::ports::{FileError, FileErrorKind, Found, FoundKind};

/// The file system's device number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Major part.
    pub major: u32,
    /// Minor part.
    pub minor: u32,
}

/// One file, as the system describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Its type.
    pub kind: FoundKind,
    /// What is kept of it.
    pub stat: Stat,
    /// Where it lies.
    pub device: Device,
    /// It takes less room than its length: some of it may be holes.
    pub sparse: bool,
}

impl Facts {
    /// In the words of the core, for a folder whose root lies on `root`, in a directory that lies on `parent`.
    #[must_use]
    pub fn found(&self, root: Device, parent: Device) -> Found {
        let disk = match self.device {
            device if device != parent => Disk::Mounted,
            device if device == root => Disk::Root,
            _ => Disk::Other,
        };
        Found { kind: self.kind, stat: self.stat, disk }
    }
}

/// Looks at `name` in `directory`; a symbolic link is looked at itself.
///
/// # Errors
/// What the system says.
pub fn look_at(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Facts, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    rustix::fs::statx(directory, name, flags, StatxFlags::BASIC_STATS).map(|facts| read(&facts))
}

/// Looks at what is open.
///
/// # Errors
/// What the system says.
pub fn look(file: BorrowedFd<'_>) -> Result<Facts, Errno> {
    rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map(|facts| read(&facts))
}

/// Translates the system's answer.
fn read(facts: &Statx) -> Facts {
    let kind = match FileType::from_raw_mode(facts.stx_mode.into()) {
        FileType::RegularFile => FoundKind::File,
        FileType::Directory => FoundKind::Directory,
        FileType::Symlink => FoundKind::Symlink,
        _ => FoundKind::Special,
    };
    Facts {
        kind,
        stat: Stat {
            size: facts.stx_size,
            mtime_ns: nanos(facts.stx_mtime),
            ctime_ns: nanos(facts.stx_ctime),
            inode: facts.stx_ino,
            mode: u32::from(facts.stx_mode) & 0o7777,
            uid: facts.stx_uid,
            gid: facts.stx_gid,
            links: facts.stx_nlink,
        },
        device: Device { major: facts.stx_dev_major, minor: facts.stx_dev_minor },
        sparse: facts.stx_blocks.saturating_mul(512) < facts.stx_size,
    }
}

/// Nanoseconds since 1970; years before 1678 or after 2261 become the nearest that can be told.
fn nanos(time: StatxTimestamp) -> i64 {
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec.into())
}

/// An error of the file thread: what was tried, and the system's answer.
#[must_use]
pub fn failure(verb: &str, errno: Errno) -> FileError {
    let kind = match errno {
        Errno::NOENT => FileErrorKind::Missing,
        Errno::ACCESS | Errno::PERM => FileErrorKind::Denied,
        Errno::LOOP | Errno::NOTDIR | Errno::XDEV | Errno::ISDIR | Errno::NXIO => FileErrorKind::Changed,
        _ => FileErrorKind::Failed,
    };
    FileError { kind, detail: format!("{verb}: {}", words(errno)) }
}

/// The system's words for an error.
#[must_use]
pub fn words(errno: Errno) -> String {
    std::io::Error::from(errno).to_string()
}

/// An error of the file thread that is not the system's: something is not what it was.
#[must_use]
pub fn changed(detail: &str) -> FileError {
    FileError { kind: FileErrorKind::Changed, detail: detail.to_owned() }
}
