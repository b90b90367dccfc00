//! Giving a restored file, directory or link what is known of it besides its content.
//!
//! The order matters: a change of owner clears setuid bits and capabilities, attributes cannot be set on what is
//! read-only already, and times come last. What cannot be kept is counted, never an error: the content is there.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, UTIME_OMIT};
use rustix::io::Errno;

use super::attributes::{self, Carrier};
use super::facts;
use crate::file::entry::Stat;
use crate::node::ports::FoundKind;

/// What is known of a file besides its name and content.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// Mode, owner, times.
    pub stat: Stat,
    /// Extended attributes.
    pub attributes: attributes::Attributes,
}

/// How much of it could not be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NotKept {
    /// Files, directories and links whose owner or group could not be set, though it was asked for.
    pub owners: u64,
    /// Single extended attributes.
    pub attributes: u64,
    /// Modes; also those without the setuid or setgid bit they had, because another owner would get it.
    pub modes: u64,
    /// Times of last modification.
    pub times: u64,
}

/// The setuid bit.
const SET_USER: u32 = 0o4000;
/// The setgid bit.
const SET_GROUP: u32 = 0o2000;

impl Metadata {
    /// Applies all to an open file or directory; the owner only if `owner`.
    pub fn apply(&self, file: BorrowedFd<'_>, owner: bool, not_kept: &mut NotKept) {
        if owner && !self.own(|user, group| rustix::fs::fchown(file, user, group)) {
            not_kept.owners += 1;
        }
        not_kept.attributes += attributes::write(Carrier::Open(file), self.attributes.iter());
        let standing = facts::look(file).ok();
        let mode = self.mode_beside(standing.as_ref().map(|facts| &facts.stat));
        let set = rustix::fs::fchmod(file, Mode::from_raw_mode(mode));
        if set.is_err() || mode != self.stat.mode & 0o7777 {
            not_kept.modes += 1;
        }
        if !standing.is_some_and(|facts| self.is_timeless(facts.kind)) {
            self.apply_times(file, not_kept);
        }
    }

    /// Applies only the time of last modification, if it is known.
    pub fn apply_times(&self, file: BorrowedFd<'_>, not_kept: &mut NotKept) {
        if rustix::fs::futimens(file, &self.times()).is_err() {
            not_kept.times += 1;
        }
    }

    /// Whether it is that of a shared folder's directory, which has no time of its own: it changes with whatever changes in it.
    #[must_use]
    pub fn is_timeless(&self, kind: FoundKind) -> bool {
        let Stat { mtime_ns, ctime_ns, inode, .. } = self.stat;
        kind == FoundKind::Directory && (mtime_ns, ctime_ns, inode) == (0, 0, 0)
    }

    /// Whether [`Metadata::apply`] would change anything of an open file or directory. To apply it to what has all of it
    /// already would still change its ctime, and a backup would look at it again.
    #[must_use]
    pub fn differs(&self, file: BorrowedFd<'_>, owner: bool) -> bool {
        let Ok(facts) = facts::look(file) else { return true };
        let mut now = facts.stat;
        if self.is_timeless(facts.kind) {
            now.mtime_ns = 0;
        }
        if self.differs_in_stat(&now, owner) || self.attributes.is_empty() {
            return self.differs_in_stat(&now, owner);
        }
        let standing = attributes::Reader::default().read(Carrier::Open(file));
        !self.attributes.iter().all(|attribute| standing.contains(attribute))
    }

    /// The same of mode, owner and time alone.
    #[must_use]
    pub fn differs_in_stat(&self, now: &Stat, owner: bool) -> bool {
        let owned = !owner || (now.uid, now.gid) == (self.stat.uid, self.stat.gid);
        !owned
            || now.mode & 0o7777 != self.mode_beside(Some(now))
            || !is_same_time(now.mtime_ns, self.stat.mtime_ns)
    }

    /// The mode that a file with this stat can get: without the bits that would lend another owner's rights.
    fn mode_beside(&self, now: Option<&Stat>) -> u32 {
        let mut mode = self.stat.mode & 0o7777;
        if now.is_none_or(|now| now.uid != self.stat.uid) {
            mode &= !SET_USER;
        }
        if now.is_none_or(|now| now.gid != self.stat.gid) {
            mode &= !SET_GROUP;
        }
        mode
    }

    /// Applies what a symbolic link can have to `name` in `directory`.
    pub fn apply_to_link(&self, directory: BorrowedFd<'_>, name: &[u8], owner: bool, not_kept: &mut NotKept) {
        let itself = AtFlags::SYMLINK_NOFOLLOW;
        if owner && !self.own(|user, group| rustix::fs::chownat(directory, name, user, group, itself)) {
            not_kept.owners += 1;
        }
        if !self.attributes.is_empty() {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            not_kept.attributes += match rustix::fs::openat(directory, name, flags, Mode::empty()) {
                Ok(link) => attributes::write(Carrier::Path(link.as_fd()), self.attributes.iter()),
                Err(_) => u64::try_from(self.attributes.len()).unwrap_or(u64::MAX),
            };
        }
        if rustix::fs::utimensat(directory, name, &self.times(), itself).is_err() {
            not_kept.times += 1;
        }
    }

    /// Sets the owner, or at least the group; tells whether both are right.
    fn own(&self, set: impl Fn(Option<Uid>, Option<Gid>) -> Result<(), Errno>) -> bool {
        let (user, group) = (self.stat.uid, self.stat.gid);
        // The largest number means "leave it" to the system call.
        if user == u32::MAX || group == u32::MAX {
            return false;
        }
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        if set(Some(user), Some(group)).is_ok() {
            return true;
        }
        let _ = set(None, Some(group));
        false
    }

    /// The time of last modification; that of access stays.
    fn times(&self) -> Timestamps {
        let nanos = i32::try_from(self.stat.mtime_ns.rem_euclid(1_000_000_000)).unwrap_or(0);
        Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec {
                tv_sec: self.stat.mtime_ns.div_euclid(1_000_000_000),
                tv_nsec: nanos.into(),
            },
        }
    }
}

/// Whether a file that was given the time `wanted` has the time `standing`: file systems that count in coarser steps cut it
/// off (100 ns NTFS, microseconds many through FUSE, a second old ext, two seconds FAT).
#[must_use]
pub fn is_same_time(standing: i64, wanted: i64) -> bool {
    const STEPS: [i64; 5] = [1, 100, 1_000, 1_000_000_000, 2_000_000_000];
    STEPS.iter().any(|step| standing == wanted - wanted.rem_euclid(*step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_the_same_if_it_was_only_cut_off() {
        let wanted = 1_500_000_001_123_456_789;
        for same in [
            wanted,
            1_500_000_001_123_456_700,
            1_500_000_001_123_456_000,
            1_500_000_001_000_000_000,
            1_500_000_000_000_000_000,
        ] {
            assert!(is_same_time(same, wanted), "{same}");
        }
        for other in [wanted + 1, wanted - 1, 1_500_000_002_000_000_000, 1_499_999_999_000_000_000] {
            assert!(!is_same_time(other, wanted), "{other}");
        }
        assert!(is_same_time(-2_000_000_000, -1_500_000_000), "before 1970 it is cut off downwards too");
    }
}
