//! The files that `nuthatch demo` makes up when it is given none: the same ones every time.
//!
//! A mix of what a home directory has and of what breaks backup programs: small files, one large one, copies, odd names,
//! links of both kinds, empty things, holes, read-only modes, old times. Writes only below the directory it is given.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{symlink, PermissionsExt as _};
use std::path::Path;

use crate::face::options::Size;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rustix::fs::{AtFlags, Timespec, Timestamps, XattrFlags, CWD};

/// How much is made.
struct Plan {
    /// Small files.
    small: u32,
    /// Mebibytes of the large one.
    large_mib: u32,
    /// Mebibytes of the file that is there twice.
    twice_mib: u32,
}

/// About how many bytes [`generate`] writes.
#[must_use]
pub const fn expected_bytes(size: Size) -> u64 {
    match size {
        Size::Small => 24 * 1024 * 1024,
        Size::Normal => 340 * 1024 * 1024,
    }
}

/// Makes the files below `root`, which must be an empty directory.
///
/// # Errors
/// When something cannot be written.
pub fn generate(root: &Path, size: Size) -> io::Result<()> {
    let plan = match size {
        Size::Small => Plan { small: 300, large_mib: 16, twice_mib: 1 },
        Size::Normal => Plan { small: 3_000, large_mib: 256, twice_mib: 8 },
    };
    let mut random = ChaCha8Rng::seed_from_u64(7_117);
    small_files(&root.join("documents"), plan.small, &mut random)?;
    large_file(&root.join("large.bin"), plan.large_mib, &mut random)?;
    let twice = root.join("twice");
    make(&twice)?;
    large_file(&twice.join("first"), plan.twice_mib, &mut random)?;
    std::fs::copy(twice.join("first"), twice.join("second"))?;
    sparse_file(&root.join("sparse.img"))?;
    odd_names(&root.join("odd names"), &mut random)?;
    links(&root.join("links"))?;
    empty_things(&root.join("empty"))?;
    guarded(&root.join("read-only"))?;
    old_times(&root.join("old"))
}

/// Text and random files, in directories of 50.
fn small_files(root: &Path, count: u32, random: &mut ChaCha8Rng) -> io::Result<()> {
    for index in 0..count {
        let directory = root.join(format!("{:03}", index / 50));
        if index % 50 == 0 {
            make(&directory)?;
        }
        // Most files are short, some are longer than what lies inside a tree entry, few longer than a chunk's minimum.
        let scale =
            [200, 2_000, 6_000, 6_000, 30_000, 150_000][usize::try_from(random.next_u32() % 6).unwrap_or(0)];
        let length = usize::try_from(random.next_u32() % scale).unwrap_or(0);
        let content = if index % 4 == 0 { noise(length, random) } else { prose(length, random) };
        let name = format!("{index:05}.{}", if index % 4 == 0 { "bin" } else { "txt" });
        std::fs::write(directory.join(name), content)?;
    }
    Ok(())
}

/// A file of random bytes.
fn large_file(path: &Path, mebibytes: u32, random: &mut ChaCha8Rng) -> io::Result<()> {
    let mut file = File::create(path)?;
    for _ in 0..mebibytes {
        file.write_all(&noise(1024 * 1024, random))?;
    }
    Ok(())
}

/// A file of 64 MiB with data at three places only, and a hole at its end.
fn sparse_file(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    for (offset, text) in [(0, "begin"), (20 * 1024 * 1024 + 13, "middle"), (40 * 1024 * 1024, "late")] {
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(text.as_bytes())?;
    }
    file.set_len(64 * 1024 * 1024)
}

/// Names that are legal and seldom expected.
fn odd_names(root: &Path, random: &mut ChaCha8Rng) -> io::Result<()> {
    make(root)?;
    let long = "n".repeat(255);
    let names: [&[u8]; 14] = [
        b"a line\nand another",
        b"not UTF-8 \xff\xfe\x80",
        b" begins and ends with a space ",
        b"-rf",
        b"*?[]{}$`\\\"'",
        b"\x01\x1b[31mred",
        b"...",
        b"NUL.txt",
        b"caf\xc3\xa9",
        b"cafe\xcc\x81",
        "\u{1f426} nuthatch \u{5c71}\u{96c0}".as_bytes(),
        "\u{202e}turned".as_bytes(),
        b"a\ttab",
        long.as_bytes(),
    ];
    for name in names {
        let path = root.join(OsStr::from_bytes(name));
        match std::fs::write(path, noise(64, random)) {
            // Some file systems take UTF-8 only.
            Err(error) if std::str::from_utf8(name).is_err() => log::debug!("a name was left out: {error}"),
            other => other?,
        }
    }
    let mut deep = root.to_path_buf();
    for _ in 0..40 {
        deep.push("deep");
    }
    make(&deep)?;
    std::fs::write(deep.join("down here"), b"found")
}

/// Symbolic links, also such that lead nowhere, and hard links.
fn links(root: &Path) -> io::Result<()> {
    make(root)?;
    symlink("original", root.join("to a file"))?;
    symlink("../documents", root.join("to a directory"))?;
    symlink("/etc/hostname", root.join("absolute"))?;
    symlink("no such file", root.join("dangling"))?;
    symlink("itself", root.join("itself"))?;
    symlink(OsStr::from_bytes(b"\xff\n"), root.join("to an odd name"))?;
    std::fs::write(root.join("original"), prose(10_000, &mut ChaCha8Rng::seed_from_u64(1)))?;
    std::fs::hard_link(root.join("original"), root.join("second name"))?;
    make(&root.join("below"))?;
    std::fs::hard_link(root.join("original"), root.join("below/third name"))?;
    let path = root.join("with attributes");
    std::fs::write(&path, b"described")?;
    for (name, value) in [("user.comment", &b"a comment"[..]), ("user.binary", &[0, 255, 10])] {
        if let Err(errno) = rustix::fs::setxattr(&path, name, value, XattrFlags::empty()) {
            log::debug!("this file system keeps no attributes: {errno}");
        }
    }
    Ok(())
}

/// Nothing, in several forms.
fn empty_things(root: &Path) -> io::Result<()> {
    make(&root.join("directory"))?;
    make(&root.join("directories/within/directories"))?;
    std::fs::write(root.join("file"), b"")
}

/// Modes that forbid writing, or reading by others, or mean something special.
fn guarded(root: &Path) -> io::Result<()> {
    make(&root.join("directory"))?;
    let modes = [
        ("file", 0o400),
        ("program", 0o755),
        ("private", 0o600),
        ("everybody", 0o666),
        ("directory/inside", 0o444),
    ];
    for (name, mode) in modes {
        std::fs::write(root.join(name), name)?;
        std::fs::set_permissions(root.join(name), Permissions::from_mode(mode))?;
    }
    std::fs::set_permissions(root.join("directory"), Permissions::from_mode(0o555))
}

/// Files that were last changed long ago, to the nanosecond.
fn old_times(root: &Path) -> io::Result<()> {
    make(root)?;
    for (name, seconds, nanos) in
        [("1970", 1, 1), ("1985", 500_000_000, 999_999_999), ("2001", 1_000_000_000, 123_456_789)]
    {
        std::fs::write(root.join(name), name)?;
        age(&root.join(name), seconds, nanos)?;
    }
    symlink("1985", root.join("link"))?;
    age(&root.join("link"), 600_000_000, 7)?;
    make(&root.join("directory"))?;
    age(&root.join("directory"), 700_000_000, 8)
}

/// Sets the time of last change, of a link itself too.
fn age(path: &Path, seconds: i64, nanos: i64) -> io::Result<()> {
    let stamp = Timespec { tv_sec: seconds, tv_nsec: nanos };
    let times = Timestamps { last_access: stamp, last_modification: stamp };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Makes a directory and those above it.
fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

/// Bytes that do not compress.
fn noise(length: usize, random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill_bytes(&mut bytes);
    bytes
}

/// Text that compresses about as well as text does.
fn prose(length: usize, random: &mut ChaCha8Rng) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "the", "nuthatch", "hides", "seeds", "in", "many", "places", "so", "that", "no", "single", "loss",
        "matters", "bark", "winter", "tree",
    ];
    let mut text = Vec::with_capacity(length + 16);
    while text.len() < length {
        let draw = random.next_u32();
        text.extend_from_slice(WORDS[usize::try_from(draw % 16).unwrap_or(0)].as_bytes());
        text.push(if draw % 11 == 0 { b'\n' } else { b' ' });
        if draw % 7 == 0 {
            text.extend_from_slice((draw >> 8).to_string().as_bytes());
        }
    }
    text.truncate(length);
    text
}

/// Removes a directory and everything below it, whatever modes its directories have. What is not there is fine.
///
/// # Errors
/// When something cannot be removed.
pub fn remove_tree(root: &Path) -> io::Result<()> {
    let mut waiting: Vec<OsString> = vec![root.as_os_str().to_owned()];
    while let Some(directory) = waiting.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) => {
                std::fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
                std::fs::read_dir(&directory)?
            }
            Ok(entries) => entries,
        };
        std::fs::set_permissions(&directory, Permissions::from_mode(0o700))?;
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                waiting.push(entry.path().into_os_string());
            }
        }
    }
    std::fs::remove_dir_all(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::compare::compare;

    #[test]
    fn the_same_files_are_made_every_time_and_can_be_removed() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (directory.path().join("a"), directory.path().join("b"));
        for root in [&first, &second] {
            make(root).unwrap();
            generate(root, Size::Small).unwrap();
        }
        let found = compare(&first, &second).unwrap();
        // The times of making differ, nothing else.
        let others: Vec<_> =
            found.examples.iter().filter(|example| !example.contains("was modified")).collect();
        assert!(others.is_empty(), "{others:?}");
        assert!(found.files > 320 && found.symlinks == 7 && found.hard_links == 2, "{found:?}");
        remove_tree(&first).unwrap();
        assert!(!first.exists());
        remove_tree(&first).unwrap();
        remove_tree(&second).unwrap();
    }
}
