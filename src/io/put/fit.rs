//! Whether a directory can have a name as it is: file systems that fold case, normalise, shorten or refuse names (FAT, exFAT, NTFS,
//! HFS+, ext4 with casefold, shares of other systems).
//!
//! No list of file systems: what counts is what the directory does. What stands at a name is compared with how it is listed there; an
//! unusual name is first tried in an empty directory of our own beside it, which no scan looks at. Plain names cost a look or two.
//! Where a second unusual name is met in a directory, all that file systems are known to do with names is tried once: if names are
//! nothing but bytes there, that is remembered for the pass, and unusual ones cost a look as well ([`Fit`]).

use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Mode, OFlags, RawDir};
use rustix::io::Errno;

use super::own_prefix;
use crate::io::facts::Device;
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

/// What is known of directories in which unusual names were met.
#[derive(Debug, Default)]
pub(super) struct Fit {
    /// File system and inode of each, the last one met first; whether names are nothing but bytes there, once that was found out.
    known: VecDeque<((Device, u64), Option<bool>)>,
    /// Counts names of our own.
    drawn: u64,
}

impl Fit {
    /// A name of our own, which nothing has yet.
    pub(super) fn draw(&mut self) -> String {
        self.drawn += 1;
        format!("{}{}", own_prefix(), self.drawn)
    }

    /// Nothing is known any more: a disk may be another one by now, and a directory that is empty may be made to fold case.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// What stands at `name` is listed under that name, too: else the file system takes it for the name of something else.
    pub(super) fn check_listed(&mut self, directory: BorrowedFd<'_>, name: &[u8]) -> Result<(), FileError> {
        if is_plain(name) {
            let other = other_case(name);
            // Where the same letters in the other case are nobody's name, case is not folded.
            if other == name || matches!(facts::look_at(directory, &other), Err(Errno::NOENT)) {
                return Ok(());
            }
        }
        if self.takes_all(directory) {
            return Ok(());
        }
        let real = listed(directory, name).map_err(|errno| facts::failure("list", errno))?;
        match real {
            Listed::AsItIs => Ok(()),
            Listed::As(real) => Err(unfit(format!(
                "the file system here takes this name for that of {}, which stands there",
                String::from_utf8_lossy(&real)
            ))),
            Listed::Not => Err(unfit(
                "the file system here takes this name for that of something else, which stands there",
            )),
        }
    }

    /// A name that nothing has yet can be had, and is listed as it is then. Looks closely at unusual names, and at short ones where case
    /// is folded (`folds`): FAT may list those in the other case.
    pub(super) fn check_new(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        folds: bool,
    ) -> Result<(), FileError> {
        if is_plain(name) && !(folds && name.len() <= SHORT_BYTES_MAX) {
            return Ok(());
        }
        if self.takes_all(directory) && name.len() <= NAME_BYTES_MAX {
            return Ok(());
        }
        aside(directory, &self.draw(), |inside| try_name(inside, name))?
    }

    /// Whether names are nothing but bytes in a directory, as in most file systems of Linux. To find that out costs as much as some twenty
    /// unusual names would, so the second one that is met in a directory leads to it.
    fn takes_all(&mut self, directory: BorrowedFd<'_>) -> bool {
        let Ok(facts) = facts::look(directory) else { return false };
        let key = (facts.device, facts.stat.inode);
        let known = self.known.iter().position(|(known, _)| *known == key);
        let answer = match known.and_then(|at| self.known.remove(at)) {
            None => None,
            Some((_, Some(known))) => Some(known),
            Some((_, None)) => Some(aside(directory, &self.draw(), try_all) == Ok(Ok(true))),
        };
        self.known.push_front((key, answer));
        self.known.truncate(DIRECTORIES_KNOWN_MAX);
        answer == Some(true)
    }
}

/// Does something in an empty directory of our own, which goes then.
fn aside<T>(
    directory: BorrowedFd<'_>,
    name: &str,
    act: impl FnOnce(BorrowedFd<'_>) -> T,
) -> Result<T, FileError> {
    match rustix::fs::mkdirat(directory, name, Mode::RWXU) {
        // Left over.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(facts::failure("create", errno)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let inside = beneath::open(directory, name.as_bytes(), flags, Mode::empty());
    let done = inside.map(|inside| act(inside.as_fd())).map_err(|errno| facts::failure("open", errno));
    // One that stays behind is in nobody's way, and the next scan takes it away.
    let _ = rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR);
    done
}

/// Whether all of [`TELLING`] can be had beside each other, and are listed as they are.
fn try_all(inside: BorrowedFd<'_>) -> Result<bool, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let long = [b'x'; NAME_BYTES_MAX];
    let all: Vec<&[u8]> = TELLING.iter().copied().chain([&long[..]]).collect();
    let make = |name: &&&[u8]| rustix::fs::openat(inside, **name, flags, Mode::RUSR | Mode::WUSR).is_ok();
    let made = all.iter().take_while(make).count();
    let listed = if made == all.len() { is_listed_so(inside, &all) } else { Ok(false) };
    for name in &all[..made] {
        let _ = rustix::fs::unlinkat(inside, *name, AtFlags::empty());
    }
    listed
}

/// Whether just these names are listed.
fn is_listed_so(inside: BorrowedFd<'_>, wanted: &[&[u8]]) -> Result<bool, Errno> {
    let mut buffer = [MaybeUninit::uninit(); LIST_BUFFER_BYTES];
    let mut names = RawDir::new(inside, &mut buffer);
    let mut count = 0;
    while let Some(entry) = names.next() {
        let entry = entry?;
        match entry.file_name().to_bytes() {
            b"." | b".." => {}
            name if wanted.contains(&name) => count += 1,
            _ => return Ok(false),
        }
    }
    Ok(count == wanted.len())
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

/// Names that tell apart a file system to which they are nothing but bytes: no two of them are one, and none is refused or changed. Case of
/// ASCII and other letters, composed and decomposed, what one letter is to another, what FAT and NTFS refuse, cut off or shorten, what is
/// no text, is beyond 16 bits, or counts as nothing.
const TELLING: [&[u8]; 22] = [
    b"a",
    b"A",
    b"\xff\xfe",
    "\u{e4}".as_bytes(),
    "a\u{308}".as_bytes(),
    "\u{c4}".as_bytes(),
    "\u{df}".as_bytes(),
    b"ss",
    "\u{3c3}".as_bytes(),
    "\u{3c2}".as_bytes(),
    b"end",
    b"end.",
    b"end ",
    b" end",
    b"con",
    b"aux.txt",
    b"a:b",
    b"*?\"<>|\\~1",
    b"tab\t\x01\x7f",
    "\u{1f426}".as_bytes(),
    "x\u{200c}y".as_bytes(),
    b"xy",
];
/// Directories of which it is remembered what they do with names: a pass goes through them one in the other.
const DIRECTORIES_KNOWN_MAX: usize = 32;
/// The longest name that Linux takes (NAME_MAX).
const NAME_BYTES_MAX: usize = 255;
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
        let (directory, mut fit) = (directory.as_fd(), Fit::default());
        let long = "x".repeat(256);
        for _ in 0..2 {
            // Each by itself first, then by what is known of the directory.
            for name in [&b"plain"[..], b"a:b", b"CON", b"end.", b"\xff\xfe", "\u{e4}\u{308}".as_bytes()] {
                fit.check_new(directory, name, true).unwrap();
            }
            let refused = fit.check_new(directory, long.as_bytes(), false).unwrap_err();
            assert_eq!(refused.kind, FileErrorKind::Unfit, "{refused:?}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing stays behind");
        }
        assert!(matches!(fit.known.front(), Some((_, Some(true)))), "{:?}", fit.known);
        fs::write(folder.path().join("one"), "").unwrap();
        fs::write(folder.path().join("ONE"), "").unwrap();
        let drawn = fit.drawn;
        for name in [&b"one"[..], b"ONE", "\u{e4}".as_bytes()] {
            fit.check_listed(directory, name).unwrap();
        }
        assert_eq!(fit.drawn, drawn, "nothing is tried any more");
        assert!(!folds(directory, "two") && folds(directory, "one"));
        fit.forget();
        fit.check_listed(directory, b"one").unwrap();
        fit.check_listed(directory, b"one").unwrap();
        let gone = fit.check_listed(directory, "\u{e4}".as_bytes());
        assert!(gone.is_ok(), "what stands there is not asked where names are bytes: {gone:?}");
    }

    #[test]
    fn what_is_known_is_known_of_one_directory_and_of_few() {
        let folder = tempfile::tempdir().unwrap();
        let mut fit = Fit::default();
        for number in 0..2 * DIRECTORIES_KNOWN_MAX {
            let path = folder.path().join(number.to_string());
            fs::create_dir(&path).unwrap();
            let directory = fs::File::open(&path).unwrap();
            fit.check_new(directory.as_fd(), b"a:b", false).unwrap();
            assert!(matches!(fit.known.front(), Some((_, None))), "one name is tried by itself");
            fit.check_new(directory.as_fd(), b"a:c", false).unwrap();
            assert!(matches!(fit.known.front(), Some((_, Some(true)))));
            assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
        }
        assert_eq!(fit.known.len(), DIRECTORIES_KNOWN_MAX);
    }

    #[test]
    fn a_directory_that_has_one_name_less_or_another_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let is_so = |wanted: &[&[u8]]| {
            let directory = fs::File::open(folder.path()).unwrap();
            is_listed_so(directory.as_fd(), wanted).unwrap()
        };
        assert!(
            is_so(&[b"a", b"b"]) && !is_so(&[b"a", b"b", b"c"]) && !is_so(&[b"a", b"c"]) && !is_so(&[b"a"])
        );
        // Something is in the way, as in a directory that folds case.
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::write(folder.path().join("in/A"), "").unwrap();
        let inside = fs::File::open(folder.path().join("in")).unwrap();
        assert_eq!(try_all(inside.as_fd()), Ok(false));
        assert_eq!(fs::read_dir(folder.path().join("in")).unwrap().count(), 1, "what was made is gone");
    }
}
