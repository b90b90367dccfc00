//! Whether a directory can have a name as it is: file systems that fold case, normalise, shorten or refuse names (FAT, exFAT, NTFS,
//! HFS+, ext4 with casefold, shares of other systems).
//!
//! No list of file systems: what counts is what the directory does. What stands at a name is compared with how it is listed there; an
//! unusual name is first tried in an empty directory of our own beside it, which no scan looks at. Plain names cost a look or two.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Mode, OFlags, RawDir};
use rustix::io::Errno;

use crate::io::{beneath, facts};
use crate::node::ports::{FileError, FileErrorKind};

/// Something cannot be there as it is.
pub(super) fn unfit(detail: impl Into<String>) -> FileError {
    FileError { kind: FileErrorKind::Unfit, detail: detail.into() }
}

/// An error of making or naming something: of the kind Unfit where it is for what is named, and not for rights or room.
pub(super) fn refusal(verb: &str, errno: Errno) -> FileError {
    match errno {
        Errno::INVAL | Errno::ILSEQ | Errno::NAMETOOLONG => {
            unfit(format!("the file system here does not take this name ({verb}: {})", facts::words(errno)))
        }
        Errno::FBIG => unfit("it is larger than a file may be on the file system here"),
        errno => facts::failure(verb, errno),
    }
}

/// An error of making a name in an empty directory of our own: it is for the name, unless it is for room, rights or the disk itself.
fn tried(errno: Errno) -> FileError {
    let elsewhere = [
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::ROFS,
        Errno::ACCESS,
        Errno::PERM,
        Errno::IO,
        Errno::NOMEM,
        Errno::NFILE,
        Errno::MFILE,
        Errno::STALE,
        Errno::NODEV,
    ];
    if elsewhere.contains(&errno) {
        facts::failure("create", errno)
    } else {
        // A driver in user space says NOENT.
        unfit(format!("the file system here does not take this name ({})", facts::words(errno)))
    }
}

/// What stands at `name` is listed under that name, too: else the file system takes it for the name of something else.
pub(super) fn check_listed(directory: BorrowedFd<'_>, name: &[u8]) -> Result<(), FileError> {
    if is_plain(name) {
        let other = other_case(name);
        // Where the same letters in the other case are nobody's name, case is not folded.
        if other == name || matches!(facts::look_at(directory, &other), Err(Errno::NOENT)) {
            return Ok(());
        }
    }
    let real = listed(directory, name).map_err(|errno| facts::failure("list", errno))?;
    match real {
        Listed::AsItIs => Ok(()),
        Listed::As(real) => Err(unfit(format!(
            "the file system here takes this name for that of {}, which stands there",
            String::from_utf8_lossy(&real)
        ))),
        Listed::Not => {
            Err(unfit("the file system here takes this name for that of something else, which stands there"))
        }
    }
}

/// A name that nothing has yet can be had, and is listed as it is then. Looks closely at unusual names, and at short ones where case is
/// folded (`folds`): FAT may list those in the other case. `probe`: a name of our own.
pub(super) fn check_new(
    directory: BorrowedFd<'_>,
    name: &[u8],
    folds: bool,
    probe: &str,
) -> Result<(), FileError> {
    if is_plain(name) && !(folds && name.len() <= SHORT_BYTES_MAX) {
        return Ok(());
    }
    let failed = |verb: &'static str| move |errno| facts::failure(verb, errno);
    match rustix::fs::mkdirat(directory, probe, Mode::RWXU) {
        // Left over.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(facts::failure("create", errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let tried = beneath::open(directory, probe.as_bytes(), flags, Mode::empty())
        .map_err(failed("open"))
        .and_then(|inside| try_name(inside.as_fd(), name));
    // One that stays behind is in nobody's way, and the next scan takes it away.
    let _ = rustix::fs::unlinkat(directory, probe, AtFlags::REMOVEDIR);
    tried
}

/// Whether case is folded in a directory in which `own` is a name of ours.
pub(super) fn folds(directory: BorrowedFd<'_>, own: &str) -> bool {
    facts::look_at(directory, &other_case(own.as_bytes())).is_ok()
}

/// Tries a name in an empty directory of our own.
fn try_name(inside: BorrowedFd<'_>, name: &[u8]) -> Result<(), FileError> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    drop(rustix::fs::openat(inside, name, flags, Mode::RUSR | Mode::WUSR).map_err(tried)?);
    let listed = listed(inside, name);
    let _ = rustix::fs::unlinkat(inside, name, AtFlags::empty());
    match listed.map_err(|errno| facts::failure("list", errno))? {
        Listed::AsItIs => Ok(()),
        Listed::As(real) => {
            Err(unfit(format!("the file system here would call it {}", String::from_utf8_lossy(&real))))
        }
        Listed::Not => Err(unfit("the file system here would call it something else")),
    }
}

/// How what stands at a name is listed.
enum Listed {
    /// Under that name.
    AsItIs,
    /// Under this one.
    As(Vec<u8>),
    /// It cannot be told.
    Not,
}

/// How what stands at `name` is listed in its directory.
fn listed(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Listed, Errno> {
    let again = beneath::open(directory, b"", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
    let inode = facts::look_at(directory, name).map(|facts| facts.stat.inode).ok();
    let folded = |name: &[u8]| String::from_utf8_lossy(name).to_lowercase();
    let mut buffer = [MaybeUninit::uninit(); LIST_BUFFER_BYTES];
    let mut names = RawDir::new(&again, &mut buffer);
    let mut real = Listed::Not;
    while let Some(entry) = names.next() {
        let entry = entry?;
        let there = entry.file_name().to_bytes();
        if there == name {
            return Ok(Listed::AsItIs);
        }
        let is_it = Some(entry.ino()) == inode || folded(there) == folded(name);
        if is_it && !matches!(there, b"." | b"..") {
            real = Listed::As(there.to_vec());
        }
    }
    Ok(real)
}

/// A name that every file system takes and gives back, but for the case of its letters: ASCII letters, digits and a few marks, no dot or
/// blank at an end, no device of DOS.
fn is_plain(name: &[u8]) -> bool {
    let is_taken = |byte: &u8| byte.is_ascii_alphanumeric() || b" !#$%&'()+,-.;=@[]^_`{}".contains(byte);
    let stem = name.split(|byte| *byte == b'.').next().unwrap_or_default();
    let is_end = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'.'));
    name.len() <= PLAIN_BYTES_MAX
        && name.iter().all(is_taken)
        && !is_end(name.last())
        && name.first() != Some(&b' ')
        && !is_device(stem)
}

/// Whether DOS has a device of that name.
fn is_device(stem: &[u8]) -> bool {
    let numbered = |name: &[u8], prefix: &[u8]| {
        name.split_at_checked(prefix.len())
            .is_some_and(|(start, rest)| start == prefix && matches!(rest, [digit] if digit.is_ascii_digit()))
    };
    let stem = stem.trim_ascii_end().to_ascii_lowercase();
    matches!(&stem[..], b"con" | b"prn" | b"aux" | b"nul")
        || numbered(&stem, b"com")
        || numbered(&stem, b"lpt")
}

/// The same name with its ASCII letters in the other case.
fn other_case(name: &[u8]) -> Vec<u8> {
    let flip = |byte: &u8| {
        if byte.is_ascii_lowercase() {
            byte.to_ascii_uppercase()
        } else {
            byte.to_ascii_lowercase()
        }
    };
    name.iter().map(flip).collect()
}

/// Longer names are no short ones of FAT: eight bytes, a dot, three.
const SHORT_BYTES_MAX: usize = 12;
/// Longer names are tried first: some file systems take 143 bytes (eCryptfs), those of FAT at least 255.
const PLAIN_BYTES_MAX: usize = 140;
/// Room for the names of one system call, in bytes.
const LIST_BUFFER_BYTES: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn unusual_names_are_told_from_plain_ones() {
        for name in ["README", "readme.txt", "a b (1).tar.gz", ".hidden", "console", "com10", "x.con", "lpt"]
        {
            assert!(is_plain(name.as_bytes()), "{name}");
        }
        let long = "x".repeat(141);
        for name in [
            "a:b",
            "what?",
            "back\\slash",
            "end.",
            "end ",
            " start",
            "CON",
            "nul.txt",
            "Com1",
            "LPT9.x",
            "con .x",
            "\u{e4}",
            "a~1",
            "tab\t",
            &long,
        ] {
            assert!(!is_plain(name.as_bytes()), "{name}");
        }
        assert!(!is_plain(b"\xff") && other_case(b"aB-\xc4.9") == b"Ab-\xc4.9");
    }

    #[test]
    fn a_directory_that_tells_all_names_apart_takes_all_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let directory = fs::File::open(folder.path()).unwrap();
        let probe = ".nuthatch-aside-1-1";
        for name in [&b"plain"[..], b"a:b", b"CON", b"end.", b"\xff\xfe", "\u{e4}\u{308}".as_bytes()] {
            check_new(directory.as_fd(), name, true, probe).unwrap();
        }
        let long = "x".repeat(256);
        let refused = check_new(directory.as_fd(), long.as_bytes(), false, probe).unwrap_err();
        assert_eq!(refused.kind, FileErrorKind::Unfit, "{refused:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays behind");
        fs::write(folder.path().join("one"), "").unwrap();
        fs::write(folder.path().join("ONE"), "").unwrap();
        check_listed(directory.as_fd(), b"one").unwrap();
        check_listed(directory.as_fd(), b"ONE").unwrap();
        assert!(!folds(directory.as_fd(), "two") && folds(directory.as_fd(), "one"));
    }
}
