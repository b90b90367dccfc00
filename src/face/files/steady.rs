//! A file that is read to its end only if it is still the one that was opened: what changes while it is sent would be stored as a mix
//! of before and after, under the time of before.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt as _;

/// The file.
#[derive(Debug)]
pub(super) struct Steady {
    /// It.
    file: File,
    /// What tells whether it has changed.
    before: Mark,
}

/// Size, and the times of content and of anything else, to the nanosecond.
type Mark = (u64, i64, i64, i64, i64);

/// What tells whether a file has changed.
fn mark(found: &Metadata) -> Mark {
    (found.len(), found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec())
}

impl Steady {
    /// The file as it was found.
    pub(super) fn new(file: File, found: &Metadata) -> Self {
        Self { file, before: mark(found) }
    }
}

impl Read for Steady {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.file.read(buffer)?;
        if length == 0 && !buffer.is_empty() && mark(&self.file.metadata()?) != self.before {
            return Err(io::Error::other(
                "it changed while it was sent, and nothing of it was kept; try again",
            ));
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_while_it_is_read_has_no_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, "as it was").unwrap();
        let open = || {
            let file = File::open(&path).unwrap();
            let found = file.metadata().unwrap();
            Steady::new(file, &found)
        };
        let mut text = String::new();
        open().read_to_string(&mut text).unwrap();
        assert_eq!(text, "as it was");
        let mut changing = open();
        std::fs::write(&path, "as it is now").unwrap();
        assert!(changing.read_to_string(&mut text).is_err());
    }
}
