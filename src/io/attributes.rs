//! Extended attributes: read for a backup, written by a restore.
//!
//! Kept are `user.*`, `security.*`, `trusted.*` (as far as this process may see them) and the two POSIX ACLs; what
//! file systems invent for themselves (`btrfs.*`, `system.nfs4_acl` and such) means nothing elsewhere.

use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::base::limits::SOURCE_ATTRIBUTES_BYTES_MAX;

/// What carries the attributes.
#[derive(Debug, Clone, Copy)]
pub enum Carrier<'a> {
    /// A file or directory that is open for reading.
    Open(BorrowedFd<'a>),
    /// Anything, symbolic links too, opened for its path alone (O_PATH): reached through /proc.
    Path(BorrowedFd<'a>),
}

/// Names and values.
pub type Attributes = Vec<(Vec<u8>, Vec<u8>)>;

/// Reads attributes into buffers that it keeps.
#[derive(Debug, Default)]
pub struct Reader {
    /// The list of names, each ended by NUL.
    names: Vec<u8>,
    /// One value.
    value: Vec<u8>,
}

impl Reader {
    /// All that are kept, sorted by name. A file system without attributes has none; one attribute that cannot be
    /// read is left out.
    pub fn read(&mut self, carrier: Carrier<'_>) -> Attributes {
        let mut found = Attributes::new();
        if fill(&mut self.names, |buffer| list(carrier, buffer)).is_err() {
            return found;
        }
        let mut total = 0;
        for name in self.names.split(|&byte| byte == 0).filter(|name| is_kept(name)) {
            if fill(&mut self.value, |buffer| read_one(carrier, name, buffer)).is_ok() {
                total += name.len() + self.value.len();
                if total > SOURCE_ATTRIBUTES_BYTES_MAX {
                    log::warn!("a file has more than {SOURCE_ATTRIBUTES_BYTES_MAX} bytes of extended attributes; the rest is left out");
                    break;
                }
                found.push((name.to_vec(), self.value.clone()));
            }
        }
        found.sort_unstable();
        found
    }
}

/// Sets attributes and returns how many could not be set.
pub fn write<'a>(carrier: Carrier<'_>, attributes: impl Iterator<Item = &'a (Vec<u8>, Vec<u8>)>) -> u64 {
    let mut refused = 0;
    for (name, value) in attributes {
        let answer = if name.contains(&0) || !is_kept(name) {
            Err(Errno::INVAL)
        } else {
            match carrier {
                Carrier::Open(file) => {
                    rustix::fs::fsetxattr(file, name.as_slice(), value, XattrFlags::empty())
                }
                Carrier::Path(file) => {
                    rustix::fs::setxattr(path_of(file), name.as_slice(), value, XattrFlags::empty())
                }
            }
        };
        if let Err(errno) = answer {
            log::debug!("extended attribute {}: {errno}", String::from_utf8_lossy(name));
            refused += 1;
        }
    }
    refused
}

/// Whether an attribute of this name is kept.
fn is_kept(name: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 3] = [b"user.", b"security.", b"trusted."];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix) && name.len() > prefix.len())
        || name == b"system.posix_acl_access"
        || name == b"system.posix_acl_default"
}

/// The path by which an O_PATH descriptor can be handed to calls that know only paths.
fn path_of(file: BorrowedFd<'_>) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Lists names into `buffer`; an empty one asks for the length.
fn list(carrier: Carrier<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    match carrier {
        Carrier::Open(file) => rustix::fs::flistxattr(file, buffer),
        Carrier::Path(file) => rustix::fs::listxattr(path_of(file), buffer),
    }
}

/// Reads one value into `buffer`.
fn read_one(carrier: Carrier<'_>, name: &[u8], buffer: &mut [u8]) -> Result<usize, Errno> {
    match carrier {
        Carrier::Open(file) => rustix::fs::fgetxattr(file, name, buffer),
        Carrier::Path(file) => rustix::fs::getxattr(path_of(file), name, buffer),
    }
}

/// Calls `read` with room enough; `buffer` holds the answer.
fn fill(buffer: &mut Vec<u8>, mut read: impl FnMut(&mut [u8]) -> Result<usize, Errno>) -> Result<(), Errno> {
    // XATTR_LIST_MAX and XATTR_SIZE_MAX are both 64 KiB.
    for room in [256, 64 * 1024] {
        buffer.clear();
        buffer.resize(room, 0);
        match read(buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(());
            }
            Err(Errno::RANGE) => {}
            Err(errno) => {
                buffer.clear();
                return Err(errno);
            }
        }
    }
    buffer.clear();
    Err(Errno::RANGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn attributes_survive_a_round_trip_sorted_and_of_any_length() {
        let directory = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(directory.path().join("f")).unwrap();
        let wanted = vec![
            (b"user.a".to_vec(), b"1".to_vec()),
            (b"user.b".to_vec(), vec![7; 3_000]),
            (b"user.c".to_vec(), Vec::new()),
        ];
        let refused = write(Carrier::Open(file.as_fd()), wanted.iter().rev());
        if refused == 3 {
            return; // this file system has none
        }
        assert_eq!(refused, 0);
        let mut reader = Reader::default();
        let ours = |found: Attributes| -> Attributes {
            found.into_iter().filter(|(name, _)| name.starts_with(b"user.")).collect()
        };
        assert_eq!(ours(reader.read(Carrier::Open(file.as_fd()))), wanted);
        let path =
            rustix::fs::open(directory.path().join("f"), rustix::fs::OFlags::PATH, rustix::fs::Mode::empty());
        assert_eq!(ours(reader.read(Carrier::Path(path.unwrap().as_fd()))), wanted);
    }

    #[test]
    fn what_is_not_kept_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(directory.path().join("f")).unwrap();
        let strange = [
            (b"btrfs.compression".to_vec(), b"zstd".to_vec()),
            (b"user.".to_vec(), b"x".to_vec()),
            (b"user.a\0b".to_vec(), b"x".to_vec()),
        ];
        assert_eq!(write(Carrier::Open(file.as_fd()), strange.iter()), 3);
    }
}
