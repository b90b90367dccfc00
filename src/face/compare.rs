//! Compares two directory trees byte by byte and by everything a backup promises to keep.
//!
//! Reads both sides in step, a block at a time, and holds the names of one directory a level; only the inodes of hard
//! links are remembered. Changes nothing. What a backup says that it cannot keep (sockets, devices, pipes) and what
//! it was told to leave out is counted apart, for that is no difference. See `face/demo.rs` for who asks.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::show;
use crate::base::limits::COMPARE_BLOCK_BYTES;
use crate::file::ignore::{IgnoreStack, CACHEDIR_SIGNATURE};

/// What was found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Regular files that were compared.
    pub files: u64,
    /// Directories, the root not counted.
    pub directories: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Content bytes that were compared.
    pub bytes: u64,
    /// Names that share their inode with one seen before.
    pub hard_links: u64,
    /// Sockets, devices and pipes on the first side, which no backup keeps.
    pub special: u64,
    /// Entries of the first side that ignore rules leave out.
    pub ignored: u64,
    /// Bytes on disk of files with holes, on either side; for information.
    pub sparse_allocated_bytes: (u64, u64),
    /// How many differences there are.
    pub differences: u64,
    /// The first of them, in words.
    pub examples: Vec<String>,
}

/// Differences that are told one by one.
const EXAMPLES_MAX: usize = 20;

/// Compares everything below `first` with what is below `second`; the roots themselves are only where they stand.
///
/// # Errors
/// When a side cannot be read.
pub fn compare(first: &Path, second: &Path) -> io::Result<Comparison> {
    let mut run = Run::new(first, second)?;
    let mut levels = vec![run.enter(&PathBuf::new())?];
    while let Some(level) = levels.last_mut() {
        match level.next() {
            None => {
                levels.pop();
                run.ignore.leave();
            }
            Some((path, sides)) => {
                if let Some(directory) = run.pair(&path, sides)? {
                    levels.push(run.enter(&directory)?);
                }
            }
        }
    }
    Ok(run.found)
}

/// A comparison on its way.
struct Run<'a> {
    /// Root of the first side.
    first: &'a Path,
    /// Root of the second side.
    second: &'a Path,
    /// The rules that the first side's backup followed.
    ignore: IgnoreStack,
    /// The first path seen of each inode with several names, on either side.
    links: [HashMap<(u64, u64), PathBuf>; 2],
    /// Whether owners can be kept.
    root: bool,
    /// For content, reused.
    buffers: [Vec<u8>; 2],
    /// The result so far.
    found: Comparison,
}

/// On which sides a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sides {
    /// Only on the first.
    First,
    /// Only on the second.
    Second,
    /// On both.
    Both,
}

/// The names of one directory that are still to be compared.
struct Level {
    /// Its path below the roots.
    path: PathBuf,
    /// Names on the first side, last first.
    first: Vec<std::ffi::OsString>,
    /// Names on the second side, last first.
    second: Vec<std::ffi::OsString>,
}

impl Level {
    /// The next name in order.
    fn next(&mut self) -> Option<(PathBuf, Sides)> {
        let (name, sides) = match (self.first.last(), self.second.last()) {
            (None, None) => return None,
            (Some(one), Some(other)) if one == other => {
                self.second.pop();
                (self.first.pop(), Sides::Both)
            }
            (Some(one), Some(other)) if one < other => (self.first.pop(), Sides::First),
            (Some(_), None) => (self.first.pop(), Sides::First),
            _ => (self.second.pop(), Sides::Second),
        };
        name.map(|name| (self.path.join(name), sides))
    }
}

impl<'a> Run<'a> {
    /// Nothing compared yet.
    fn new(first: &'a Path, second: &'a Path) -> io::Result<Self> {
        let ignore = IgnoreStack::new(&[]).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self {
            first,
            second,
            ignore,
            links: [HashMap::new(), HashMap::new()],
            root: rustix::process::geteuid().is_root(),
            buffers: [vec![0; COMPARE_BLOCK_BYTES], vec![0; COMPARE_BLOCK_BYTES]],
            found: Comparison::default(),
        })
    }

    /// Lists a directory on both sides and takes its ignore file into account.
    fn enter(&mut self, path: &Path) -> io::Result<Level> {
        let rules = match std::fs::read(self.first.join(path).join(".nuthatchignore")) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        self.ignore.enter(path.as_os_str().as_bytes(), rules.as_deref());
        let cache = holds_cache_tag(&self.first.join(path));
        let (first, second) = (names(&self.first.join(path))?, names(&self.second.join(path))?);
        let level = Level { path: path.to_path_buf(), first, second };
        if !cache {
            return Ok(level);
        }
        // Of a cache directory a backup keeps at most itself and its tag.
        let kept = |name: &std::ffi::OsString| name == CACHE_TAG && level.second.contains(name);
        let (kept, dropped): (Vec<_>, Vec<_>) = level.first.into_iter().partition(kept);
        self.found.ignored += u64::try_from(dropped.len()).unwrap_or(u64::MAX);
        Ok(Level { first: kept, ..level })
    }

    /// Compares one name; the path is returned if it is a directory to go into.
    fn pair(&mut self, path: &Path, sides: Sides) -> io::Result<Option<PathBuf>> {
        match sides {
            Sides::Second => {
                self.differ(path, "is only in the second tree");
                return Ok(None);
            }
            Sides::First => {
                self.missing(path)?;
                return Ok(None);
            }
            Sides::Both => {}
        }
        let (one, other) = (self.first.join(path), self.second.join(path));
        let facts = [std::fs::symlink_metadata(&one)?, std::fs::symlink_metadata(&other)?];
        if facts[0].file_type() != facts[1].file_type() {
            self.differ(path, "is of another type");
            return Ok(None);
        }
        self.metadata(path, &facts)?;
        if facts[0].is_dir() {
            self.found.directories += 1;
            return Ok(Some(path.to_path_buf()));
        }
        if facts[0].is_symlink() {
            self.found.symlinks += 1;
            if std::fs::read_link(&one)? != std::fs::read_link(&other)? {
                self.differ(path, "points elsewhere");
            }
        } else {
            self.found.files += 1;
            self.content(path, &facts)?;
        }
        Ok(None)
    }

    /// A name that only the first side has: a difference, unless no backup keeps it.
    fn missing(&mut self, path: &Path) -> io::Result<()> {
        let facts = std::fs::symlink_metadata(self.first.join(path))?;
        let kind = facts.file_type();
        if kind.is_socket() || kind.is_fifo() || kind.is_block_device() || kind.is_char_device() {
            self.found.special += 1;
        } else if self.ignore.is_ignored(path.as_os_str().as_bytes(), facts.is_dir()) {
            self.found.ignored += 1;
        } else {
            self.differ(path, "is missing in the second tree");
        }
        Ok(())
    }

    /// Compares mode, times, owner, extended attributes and hard links.
    fn metadata(&mut self, path: &Path, facts: &[Metadata; 2]) -> io::Result<()> {
        let [one, other] = facts;
        let times = |facts: &Metadata| (facts.mtime(), facts.mtime_nsec());
        if times(one) != times(other) {
            let what =
                format!("was modified at {:?} in the first, {:?} in the second", times(one), times(other));
            self.differ(path, &what);
        }
        if !one.is_symlink() && one.mode() & 0o7777 != other.mode() & 0o7777 {
            self.differ(
                path,
                &format!("has mode {:o}, {:o} in the second", one.mode() & 0o7777, other.mode() & 0o7777),
            );
        }
        if self.root && (one.uid(), one.gid()) != (other.uid(), other.gid()) {
            self.differ(path, "has another owner");
        }
        if attributes(&self.first.join(path))? != attributes(&self.second.join(path))? {
            self.differ(path, "has other extended attributes");
        }
        if !one.is_dir() && (one.nlink() > 1 || other.nlink() > 1) {
            let mut leader = |side: usize, facts: &Metadata| {
                let group = self.links[side].entry((facts.dev(), facts.ino()));
                group.or_insert_with(|| path.to_path_buf()).clone()
            };
            let leaders = (leader(0, one), leader(1, other));
            if leaders.0 != leaders.1 {
                self.differ(path, "is linked with other names");
            } else if leaders.0 != path {
                self.found.hard_links += 1;
            }
        }
        Ok(())
    }

    /// Compares the bytes of two files.
    fn content(&mut self, path: &Path, facts: &[Metadata; 2]) -> io::Result<()> {
        if facts[0].len() != facts[1].len() {
            self.differ(path, &format!("has {} bytes, {} in the second", facts[0].len(), facts[1].len()));
            return Ok(());
        }
        let allocated = |facts: &Metadata| facts.blocks().saturating_mul(512);
        if allocated(&facts[0]) < facts[0].len() {
            self.found.sparse_allocated_bytes.0 += allocated(&facts[0]);
            self.found.sparse_allocated_bytes.1 += allocated(&facts[1]);
        }
        let mut sides = [File::open(self.first.join(path))?, File::open(self.second.join(path))?];
        let mut offset = 0;
        loop {
            let [one, other] = &mut self.buffers;
            let read = (fill(&mut sides[0], one)?, fill(&mut sides[1], other)?);
            let same = read.0 == read.1 && one[..read.0] == other[..read.1];
            if !same {
                let at = one.iter().zip(other.iter()).take_while(|(one, other)| one == other).count();
                self.differ(path, &format!("differs in content near byte {}", offset + at));
                return Ok(());
            }
            self.found.bytes += u64::try_from(read.0).unwrap_or(u64::MAX);
            offset += read.0;
            if read.0 < COMPARE_BLOCK_BYTES {
                return Ok(());
            }
        }
    }

    /// Notes a difference.
    fn differ(&mut self, path: &Path, what: &str) {
        self.found.differences += 1;
        if self.found.examples.len() < EXAMPLES_MAX {
            self.found.examples.push(format!("{} {what}", show::name(path.as_os_str().as_bytes())));
        }
    }
}

/// The file that marks a cache directory.
const CACHE_TAG: &str = "CACHEDIR.TAG";

/// Whether a directory carries a valid tag (Cache Directory Tagging Specification).
fn holds_cache_tag(directory: &Path) -> bool {
    let mut head = vec![0; CACHEDIR_SIGNATURE.len()];
    let read = File::open(directory.join(CACHE_TAG)).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head == CACHEDIR_SIGNATURE
}

/// The names in a directory, last first.
fn names(directory: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names: Vec<_> = std::fs::read_dir(directory)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()?;
    names.sort_unstable_by(|one, other| other.cmp(one));
    Ok(names)
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The extended attributes of a file, directory or link (not followed), in order of their names.
fn attributes(path: &Path) -> io::Result<Vec<(std::ffi::OsString, Vec<u8>)>> {
    let mut list = Vec::with_capacity(256);
    list.resize(64 * 1024, 0);
    let length = match rustix::fs::llistxattr(path, &mut list[..]) {
        Ok(length) => length,
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno.into()),
    };
    let mut found = Vec::new();
    for name in list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        // A label of the machine, not of the file: it is set anew wherever the file goes.
        if name == b"security.selinux" {
            continue;
        }
        let name = std::ffi::OsString::from_vec(name.to_vec());
        let mut value = vec![0; 64 * 1024];
        match rustix::fs::lgetxattr(path, &name, &mut value[..]) {
            Ok(length) => value.truncate(length),
            Err(errno) => return Err(errno.into()),
        }
        found.push((name, value));
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{symlink, PermissionsExt as _};
    use std::time::{Duration, SystemTime};

    /// Two equal trees with a file, a directory, a link and two names of one inode.
    fn trees() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for side in ["a", "b"] {
            let root = directory.path().join(side);
            std::fs::create_dir_all(root.join("d")).unwrap();
            std::fs::write(root.join("d/file"), b"content").unwrap();
            std::fs::write(root.join("one"), vec![7; COMPARE_BLOCK_BYTES + 1]).unwrap();
            std::fs::hard_link(root.join("one"), root.join("two")).unwrap();
            symlink("nowhere", root.join("link")).unwrap();
            settle(&root);
        }
        directory
    }

    /// Gives everything below a root the same time.
    fn settle(root: &Path) {
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
        for name in ["d/file", "one", "d"] {
            let file = File::open(root.join(name)).unwrap();
            file.set_modified(time).unwrap();
        }
        let stamp = rustix::fs::Timespec { tv_sec: 1_000_000_000, tv_nsec: 5 };
        let times = rustix::fs::Timestamps { last_access: stamp, last_modification: stamp };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, root.join("link"), &times, flags).unwrap();
    }

    /// The first difference after `change` was made in the second tree.
    fn after(change: impl FnOnce(&Path)) -> Comparison {
        let directory = trees();
        change(&directory.path().join("b"));
        compare(&directory.path().join("a"), &directory.path().join("b")).unwrap()
    }

    #[test]
    fn equal_trees_are_equal() {
        let found = after(|_| {});
        assert_eq!(found.differences, 0, "{:?}", found.examples);
        assert_eq!((found.files, found.directories, found.symlinks, found.hard_links), (3, 1, 1, 1));
        assert_eq!(found.bytes, 2 * u64::try_from(COMPARE_BLOCK_BYTES).unwrap() + 2 + 7);
    }

    #[test]
    fn every_kind_of_difference_is_seen() {
        let seen = |change: fn(&Path), words: &str| {
            let found = after(change);
            let told = found.examples.iter().any(|example| example.contains(words));
            assert!(told, "{words}: {:?}", found.examples);
        };
        seen(|root| std::fs::remove_file(root.join("link")).unwrap(), "link is missing");
        seen(|root| std::fs::write(root.join("more"), b"").unwrap(), "more is only in the second");
        seen(
            |root| std::fs::write(root.join("d/file"), b"c0ntent").unwrap(),
            "d/file differs in content near byte 1",
        );
        seen(|root| std::fs::write(root.join("d/file"), b"conten").unwrap(), "d/file has 7 bytes, 6");
        seen(
            |root| File::open(root.join("d")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap(),
            "d was modified",
        );
        seen(
            |root| std::fs::set_permissions(root.join("d"), std::fs::Permissions::from_mode(0o700)).unwrap(),
            "d has mode",
        );
        seen(
            |root| {
                std::fs::remove_file(root.join("two")).unwrap();
                std::fs::copy(root.join("one"), root.join("two")).unwrap();
            },
            "two is linked with other names",
        );
        seen(
            |root| {
                std::fs::remove_file(root.join("link")).unwrap();
                symlink("elsewhere", root.join("link")).unwrap();
            },
            "link points elsewhere",
        );
        seen(
            |root| {
                std::fs::remove_file(root.join("link")).unwrap();
                std::fs::create_dir(root.join("link")).unwrap();
            },
            "link is of another type",
        );
    }

    #[test]
    fn what_a_backup_leaves_out_is_no_difference() {
        let directory = trees();
        let first = directory.path().join("a");
        std::fs::create_dir(first.join("cache")).unwrap();
        std::fs::write(first.join("cache").join(CACHE_TAG), [CACHEDIR_SIGNATURE, b"\n"].concat()).unwrap();
        std::fs::write(first.join("cache/big"), b"x").unwrap();
        std::fs::create_dir(directory.path().join("b/cache")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            first.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        let found = compare(&first, &directory.path().join("b")).unwrap();
        assert_eq!((found.special, found.ignored), (1, 2));
        // Only the time of the new directory differs.
        assert!(
            found.examples.iter().all(|example| example.starts_with("cache was modified")),
            "{:?}",
            found.examples
        );
    }
}
