//! Opening what lies beneath a directory without ever leaving it: no symbolic link is followed, no `..` is taken.
//!
//! Used by the file thread (`io/walk.rs`) and the restore writer (`io/target.rs`). One `openat2` where the kernel has
//! it (Linux 5.6), else component by component. Races with somebody who renames directories meanwhile are answered by
//! the kernel: what is opened was beneath the root at that moment.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Set when the kernel (or a sandbox around us) does not know `openat2`; asked once.
static OPENAT2_MISSING: AtomicBool = AtomicBool::new(false);

/// Longest path that one system call takes, in bytes (PATH_MAX with its NUL).
const PATH_BYTES_MAX: usize = 4_095;

/// Whether every component of `path` is a plain name; "" (the root itself) is.
#[must_use]
pub fn is_plain(path: &[u8]) -> bool {
    path.is_empty() || path.split(|&byte| byte == b'/').all(is_plain_name)
}

/// Whether `name` is one component that names something in its directory.
#[must_use]
pub fn is_plain_name(name: &[u8]) -> bool {
    !name.is_empty() && name != b"." && name != b".." && !name.contains(&0) && !name.contains(&b'/')
}

/// Splits a relative path into its directory ("" for none) and its last name.
#[must_use]
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (&[], path),
    }
}

/// Opens `path` (components joined by `/`; "" is `root` itself) beneath `root`. A symbolic link as the last component
/// is an error (LOOP), unless `flags` has PATH and NOFOLLOW: then the link itself is opened.
///
/// # Errors
/// INVAL for a path that is not plain; LOOP or NOTDIR where something other than a directory stands in the way; else
/// what the system says.
pub fn open(root: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    if !is_plain(path) {
        return Err(Errno::INVAL);
    }
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if path.is_empty() {
        return rustix::fs::openat(root, c".", flags, mode);
    }
    if path.len() <= PATH_BYTES_MAX && !OPENAT2_MISSING.load(Ordering::Relaxed) {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(root, path, flags, mode, resolve) {
            // EPERM is what some sandboxes answer to calls they do not know; the fall-back tells it from a real one.
            Err(Errno::NOSYS) => OPENAT2_MISSING.store(true, Ordering::Relaxed),
            Err(Errno::PERM | Errno::AGAIN | Errno::INTR) => {}
            answer => return answer,
        }
    }
    open_by_component(root, path, flags, mode)
}

/// The same without `openat2`: every directory on the way is opened by itself, following nothing.
fn open_by_component(root: BorrowedFd<'_>, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let through = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (directory, name) = split(path);
    let mut held: Option<OwnedFd> = None;
    if !directory.is_empty() {
        for component in directory.split(|&byte| byte == b'/') {
            let parent = held.as_ref().map_or(root, AsFd::as_fd);
            held = Some(rustix::fs::openat(parent, component, through, Mode::empty())?);
        }
    }
    rustix::fs::openat(held.as_ref().map_or(root, AsFd::as_fd), name, flags, mode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    /// Both ways of opening.
    type Way = fn(BorrowedFd<'_>, &[u8], OFlags, Mode) -> Result<OwnedFd, Errno>;

    #[test]
    fn no_link_is_followed_beneath_the_root_by_either_way() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        fs::create_dir_all(base.join("root/a/b")).unwrap();
        fs::write(base.join("root/a/b/file"), b"x").unwrap();
        fs::write(base.join("secret"), b"s").unwrap();
        symlink("b", base.join("root/a/inner")).unwrap();
        symlink("../..", base.join("root/a/outer")).unwrap();
        symlink("file", base.join("root/a/b/link")).unwrap();
        let root = fs::File::open(base.join("root")).unwrap();
        let read = OFlags::RDONLY;
        for way in [open as Way, |root, path, flags, mode| {
            open_by_component(root, path, flags | OFlags::NOFOLLOW, mode)
        }] {
            assert!(way(root.as_fd(), b"a/b/file", read, Mode::empty()).is_ok());
            for path in ["a/inner/file", "a/outer/secret", "a/b/link"] {
                let refused = way(root.as_fd(), path.as_bytes(), read, Mode::empty()).unwrap_err();
                assert!(matches!(refused, Errno::LOOP | Errno::NOTDIR), "{path}: {refused}");
            }
            let link = way(root.as_fd(), b"a/b/link", OFlags::PATH | OFlags::NOFOLLOW, Mode::empty());
            assert!(link.is_ok(), "the link itself can be looked at");
        }
        assert_eq!(open(root.as_fd(), b"a/../../secret", read, Mode::empty()).unwrap_err(), Errno::INVAL);
        assert_eq!(open(root.as_fd(), b"/etc/passwd", read, Mode::empty()).unwrap_err(), Errno::INVAL);
    }

    #[test]
    fn a_path_longer_than_one_system_call_takes_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs::File::open(directory.path()).unwrap();
        let name = "d".repeat(200);
        let mut path = Vec::new();
        for _ in 0..30 {
            let parent = open(root.as_fd(), &path, OFlags::RDONLY, Mode::empty()).unwrap();
            rustix::fs::mkdirat(&parent, &name, Mode::RWXU).unwrap();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name.as_bytes());
        }
        assert!(path.len() > PATH_BYTES_MAX);
        assert!(open(root.as_fd(), &path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).is_ok());
    }
}
