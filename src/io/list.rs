//! Sorted pages of a directory of any size, in bounded memory.
//!
//! A pass reads the whole directory and keeps the smallest names after the last one given, at most
//! [`LIST_BYTES_MAX`] bytes of them; when they are used up, the next pass follows. Names that vanish between the pass
//! and the look at them are left out, as if they had vanished before.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};
use rustix::io::Errno;

use super::facts::{self, Device};
use super::names::Names;
use crate::base::limits::{IGNORE_BYTES_MAX, LIST_BYTES_MAX, LIST_ITEMS_MAX};
use crate::file::ignore::CACHEDIR_SIGNATURE;
use crate::node::ports::{FileError, FoundKind, Item, Listing};

/// A directory that is being listed.
#[derive(Debug)]
pub struct Pages {
    /// The open directory.
    directory: OwnedFd,
    /// The file system of the folder's root.
    root: Device,
    /// That of the directory.
    own: Device,
    /// Names of the present pass that were not given yet.
    names: Names,
    /// How many of them were given.
    given: usize,
    /// The last name given, or left out because it had vanished.
    last: Option<Vec<u8>>,
    /// The last name given.
    reported: Option<Vec<u8>>,
    /// The first pass saw a name `.nuthatchignore`.
    has_ignore: bool,
    /// The first pass saw a name `CACHEDIR.TAG`.
    has_tag: bool,
}

/// The file of patterns.
const IGNORE_NAME: &[u8] = b".nuthatchignore";
/// The mark of a cache directory (Bryan Ford, Cache Directory Tagging Specification).
const TAG_NAME: &[u8] = b"CACHEDIR.TAG";

impl Pages {
    /// Begins after the name `after`, keeping at most `budget` bytes of names at a time. The folder's root and the directory lie on these.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn new(
        directory: OwnedFd,
        (root, own): (Device, Device),
        after: Option<Vec<u8>>,
        budget: usize,
    ) -> Result<Self, FileError> {
        let mut pages = Self {
            directory,
            root,
            own,
            names: Names::new(budget.min(LIST_BYTES_MAX)),
            given: 0,
            reported: after.clone(),
            last: after,
            has_ignore: false,
            has_tag: false,
        };
        pages.pass().map_err(|errno| facts::failure("list", errno))?;
        Ok(pages)
    }

    /// The last name of the last page; where the next page begins.
    #[must_use]
    pub fn reported(&self) -> Option<&[u8]> {
        self.reported.as_deref()
    }

    /// The next page, of at most `count` names (and never more than [`LIST_ITEMS_MAX`]). Only the last one may be empty.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn page(&mut self, count: usize) -> Result<Listing, FileError> {
        let mut listing = Listing::default();
        if self.last.is_none() {
            listing.ignore = if self.has_ignore { self.ignore_text()? } else { None };
            listing.cache = self.has_tag && self.has_valid_tag();
        }
        loop {
            if self.given == self.names.len() && self.names.is_cut_off() {
                self.pass().map_err(|errno| facts::failure("list", errno))?;
            }
            self.look_at_next(count.min(LIST_ITEMS_MAX), &mut listing);
            listing.more = self.given < self.names.len() || self.names.is_cut_off();
            if !listing.items.is_empty() || !listing.more {
                break;
            }
        }
        if let Some(item) = listing.items.last() {
            self.reported = Some(item.name.clone());
        }
        Ok(listing)
    }

    /// Looks at the next `count` names of the present pass.
    fn look_at_next(&mut self, count: usize, listing: &mut Listing) {
        let end = self.names.len().min(self.given + count);
        for position in self.given..end {
            let name = self.names.name(position);
            let found = match facts::look_at(self.directory.as_fd(), name) {
                Ok(facts) => Ok(facts.found(self.root, self.own)),
                Err(Errno::NOENT) => continue,
                Err(errno) => Err(facts::failure("stat", errno)),
            };
            listing.items.push(Item { name: name.to_vec(), found });
        }
        if end > self.given {
            self.last = Some(self.names.name(end - 1).to_vec());
        }
        self.given = end;
    }

    /// Reads the directory from its start and keeps the names that come next.
    fn pass(&mut self) -> Result<(), Errno> {
        rustix::fs::seek(&self.directory, SeekFrom::Start(0))?;
        self.names.clear();
        self.given = 0;
        let mut buffer = vec![MaybeUninit::uninit(); 32 * 1024];
        let mut entries = RawDir::new(&self.directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            self.has_ignore |= name == IGNORE_NAME;
            self.has_tag |= name == TAG_NAME;
            if self.last.as_deref().is_none_or(|last| name > last) {
                self.names.push(name);
            }
        }
        self.names.finish();
        Ok(())
    }

    /// The patterns of this directory; whole lines only where the file is too long. A disk that fails in the middle of
    /// it is an error: with half of the patterns, things would be kept that nobody wants kept.
    fn ignore_text(&self) -> Result<Option<Vec<u8>>, FileError> {
        let Some(file) = open_regular(self.directory.as_fd(), IGNORE_NAME) else {
            return Ok(None);
        };
        let mut text = read_start(file.as_fd(), IGNORE_BYTES_MAX + 1)
            .map_err(|errno| facts::failure("read .nuthatchignore", errno))?;
        if text.len() > IGNORE_BYTES_MAX {
            log::warn!(
                "a .nuthatchignore is longer than {IGNORE_BYTES_MAX} bytes; the rest of it is not used"
            );
            text.truncate(IGNORE_BYTES_MAX);
            let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            text.truncate(whole);
        }
        Ok(Some(text))
    }

    /// Whether the tag begins with the signature that makes it one.
    fn has_valid_tag(&self) -> bool {
        open_regular(self.directory.as_fd(), TAG_NAME)
            .and_then(|file| read_start(file.as_fd(), CACHEDIR_SIGNATURE.len()).ok())
            .is_some_and(|start| start == CACHEDIR_SIGNATURE)
    }
}

/// Opens a regular file in `directory`; None if it is anything else or cannot be opened.
fn open_regular(directory: BorrowedFd<'_>, name: &[u8]) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty()).ok()?;
    let facts = facts::look(file.as_fd()).ok()?;
    (facts.kind == FoundKind::File).then_some(file)
}

/// The first `length` bytes of a file, or all of a shorter one.
fn read_start(file: BorrowedFd<'_>, length: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match rustix::io::read(file, &mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;

    /// Lists `directory` in pages of `count` with `budget` bytes of names a pass; a new `Pages` for each page if
    /// `afresh`.
    fn list(directory: &std::path::Path, budget: usize, count: usize, afresh: bool) -> Vec<Vec<u8>> {
        let open = |after| {
            let file = OwnedFd::from(fs::File::open(directory).unwrap());
            let device = facts::look(file.as_fd()).unwrap().device;
            Pages::new(file, (device, device), after, budget).unwrap()
        };
        let mut pages = open(None);
        let mut names = Vec::new();
        loop {
            let page = pages.page(count).unwrap();
            assert!(page.items.len() <= count);
            names.extend(page.items.into_iter().map(|item| item.name));
            if !page.more {
                return names;
            }
            if afresh {
                pages = open(pages.reported().map(<[u8]>::to_vec));
            }
        }
    }

    #[test]
    fn a_large_directory_listed_in_passes_is_the_same_as_sorted() {
        let directory = tempfile::tempdir().unwrap();
        let mut wanted = BTreeSet::new();
        for number in 0_u32..3_000 {
            let mut name = blake3::hash(&number.to_le_bytes()).to_hex()[..4 + (number % 20) as usize]
                .to_owned()
                .into_bytes();
            if number % 7 == 0 {
                name.extend_from_slice(b"\xff\x01");
            }
            fs::write(directory.path().join(std::ffi::OsStr::from_bytes(&name)), b"").unwrap();
            wanted.insert(name);
        }
        let wanted: Vec<_> = wanted.into_iter().collect();
        assert_eq!(list(directory.path(), 4_000, 100, false), wanted);
        assert_eq!(list(directory.path(), 4_000, 1_000, true), wanted);
        assert_eq!(list(directory.path(), LIST_BYTES_MAX, LIST_ITEMS_MAX, false), wanted);
    }

    #[test]
    fn patterns_and_the_cache_tag_come_with_the_first_page_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::write(path.join(".nuthatchignore"), b"*.o\n").unwrap();
        fs::write(path.join("CACHEDIR.TAG"), [CACHEDIR_SIGNATURE, b"\n# more"].concat()).unwrap();
        fs::write(path.join("z"), b"").unwrap();
        let file = OwnedFd::from(fs::File::open(path).unwrap());
        let device = facts::look(file.as_fd()).unwrap().device;
        let mut pages = Pages::new(file, (device, device), None, LIST_BYTES_MAX).unwrap();
        let first = pages.page(2).unwrap();
        assert_eq!((first.ignore.as_deref(), first.cache, first.more), (Some(&b"*.o\n"[..]), true, true));
        let second = pages.page(2).unwrap();
        assert_eq!((second.ignore, second.cache, second.more), (None, false, false));
        assert_eq!(second.items.len(), 1);
    }

    #[test]
    fn a_false_cache_tag_and_a_linked_pattern_file_are_not_believed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        fs::write(path.join("CACHEDIR.TAG"), b"Signature: no").unwrap();
        std::os::unix::fs::symlink("/etc/hostname", path.join(".nuthatchignore")).unwrap();
        let file = OwnedFd::from(fs::File::open(path).unwrap());
        let device = facts::look(file.as_fd()).unwrap().device;
        let first = Pages::new(file, (device, device), None, LIST_BYTES_MAX).unwrap().page(10).unwrap();
        assert_eq!((first.ignore, first.cache), (None, false));
    }
}
