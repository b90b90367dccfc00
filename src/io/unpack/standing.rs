//! What stands where a restore would write, and whether it is what would be written: then it stays untouched.
//!
//! A file is taken for the same by size and time of last modification, as a backup takes it for unchanged; who does not trust
//! that has its content compared (`io/unpack/filling.rs`). A symbolic link is the same by its target.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::super::facts::{self, Facts};
use super::super::metadata::is_same_time;
use crate::file::entry::Stat;
use crate::node::ports::FoundKind;

/// What is to stand there.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// A file.
    File(&'a Stat),
    /// A symbolic link with this target.
    Link(&'a [u8]),
}

/// What stands there.
#[derive(Debug, Clone, Copy)]
pub enum Standing {
    /// Nothing.
    Nothing,
    /// What is wanted, as far as this can be seen from outside.
    Same(Facts),
    /// A directory.
    Directory,
    /// Anything else.
    Other(Facts),
}

/// Looks at `name` in `directory`.
///
/// # Errors
/// What the system says, but not that nothing is there.
pub fn look(directory: BorrowedFd<'_>, name: &[u8], wanted: Wanted<'_>) -> Result<Standing, Errno> {
    let found = match facts::look_at(directory, name) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(Standing::Nothing),
        Err(errno) => return Err(errno),
    };
    let same = match (found.kind, wanted) {
        (FoundKind::Directory, _) => return Ok(Standing::Directory),
        (FoundKind::File, Wanted::File(stat)) => {
            found.stat.size == stat.size && is_same_time(found.stat.mtime_ns, stat.mtime_ns)
        }
        (FoundKind::Symlink, Wanted::Link(target)) => {
            rustix::fs::readlinkat(directory, name, Vec::new())?.to_bytes() == target
        }
        _ => false,
    };
    Ok(if same { Standing::Same(found) } else { Standing::Other(found) })
}
