//! The only way from the store to a disk: trait [`Disk`], what it promises, and how it fails.
//!
//! Owns no file format and opens nothing. Refuses absolute names and `..`: names are relative to the data home,
//! components joined by `/`, and `""` is the home itself. `io/disk.rs` implements it on real files and
//! `sim/disk.rs` on memory with crashes. Read FORMAT.md first for what is kept where.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use super::meter::Wear;

/// Files below one directory. All calls are synchronous; a `&self` may be used from several threads.
///
/// # What is durable when
///
/// Nothing is durable until it is synced, and a crash may keep any subset of what was not:
///
/// - the *content and length* of a file are durable after [`sync`](Disk::sync) of that file returned `Ok`;
/// - a *name* (a file created, renamed or removed, a directory created) is durable after
///   [`sync_dir`](Disk::sync_dir) of the directory that it stands in returned `Ok`;
/// - a rename over an existing file is atomic: after a crash the name means the old file or the new one;
/// - after a failed `sync` the state of everything written since the last good one is unknown, **and a later good
///   `sync` does not change that**: the kernel may have dropped the pages (fsyncgate, Rebello et al., USENIX ATC 2020).
pub trait Disk: Send + Sync + fmt::Debug {
    /// Names of the files and directories directly in `directory`, sorted, without their path.
    ///
    /// # Errors
    /// When the directory is missing or cannot be read.
    fn list(&self, directory: &str) -> Result<Vec<String>, DiskError>;

    /// Creates `directory` (its parent exists); one that is there already is fine.
    ///
    /// # Errors
    /// When it cannot be created.
    fn create_dir(&self, directory: &str) -> Result<(), DiskError>;

    /// Length of a file in bytes.
    ///
    /// # Errors
    /// [`DiskErrorKind::NotFound`] when there is no such file.
    fn len(&self, name: &str) -> Result<u64, DiskError>;

    /// Whether a file or directory of that name is there.
    ///
    /// # Errors
    /// When that cannot be told.
    fn exists(&self, name: &str) -> Result<bool, DiskError>;

    /// Reads from `offset` until `buffer` is full or the file ends; tells how many bytes were read.
    ///
    /// # Errors
    /// When the file is missing or a byte cannot be read.
    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError>;

    /// Writes all of `bytes` at `offset`; creates the file, and fills a gap before `offset` with zeros.
    ///
    /// # Errors
    /// When not all could be written; any part of it may have been.
    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;

    /// Writes `parts` one after the other from `offset` on, in one call where the system can (the default joins them).
    ///
    /// # Errors
    /// As [`write_at`](Disk::write_at).
    fn write_parts_at(&self, name: &str, offset: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.write_at(name, offset, &parts.concat())
    }

    /// Cuts a file, or lengthens it with zeros.
    ///
    /// # Errors
    /// When the file is missing or its length cannot be changed.
    fn set_len(&self, name: &str, length: u64) -> Result<(), DiskError>;

    /// Makes content and length of a file durable.
    ///
    /// # Errors
    /// See the trait: after an error nothing since the last good sync is to be relied on.
    fn sync(&self, name: &str) -> Result<(), DiskError>;

    /// Makes the names in `directory` durable.
    ///
    /// # Errors
    /// As [`sync`](Disk::sync), for names.
    fn sync_dir(&self, directory: &str) -> Result<(), DiskError>;

    /// Gives a file a new name in the same file system, replacing what had that name.
    ///
    /// # Errors
    /// [`DiskErrorKind::NotFound`] when `from` is missing.
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError>;

    /// Removes a file.
    ///
    /// # Errors
    /// [`DiskErrorKind::NotFound`] when it is missing.
    fn remove(&self, name: &str) -> Result<(), DiskError>;

    /// Bytes that could still be written.
    ///
    /// # Errors
    /// When the file system does not tell.
    fn free_bytes(&self) -> Result<u64, DiskError>;

    /// What is in that file will hardly be read soon, so that nothing of it need be kept in memory. A hint: all is as before.
    fn let_go(&self, _name: &str) {}

    /// How worn the medium is, where it tells.
    fn wear(&self) -> Option<Wear> {
        None
    }
}

/// What kind of failure it was, as far as the store decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskErrorKind {
    /// There is nothing of that name.
    NotFound,
    /// No space, or a quota is used up.
    Full,
    /// The medium or the system failed.
    Io,
    /// The file system or the file may not be written.
    ReadOnly,
}

/// A failed disk call: what was tried on what, and what the system said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskError {
    /// What was tried: `read`, `write`, `sync`, ...
    pub verb: &'static str,
    /// The name it was tried on, relative to the home.
    pub name: String,
    /// The kind of failure.
    pub kind: DiskErrorKind,
    /// The system's words.
    pub detail: String,
}

impl DiskError {
    /// The error for `verb` on `name`.
    #[must_use]
    pub fn new(verb: &'static str, name: &str, kind: DiskErrorKind, detail: &str) -> Self {
        Self { verb, name: name.to_owned(), kind, detail: detail.to_owned() }
    }

    /// The same from an error of the standard library.
    #[must_use]
    pub fn from_io(verb: &'static str, name: &str, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => DiskErrorKind::NotFound,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskErrorKind::Full,
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => DiskErrorKind::ReadOnly,
            _ => DiskErrorKind::Io,
        };
        Self { verb, name: name.to_owned(), kind, detail: error.to_string() }
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let advice = match self.kind {
            DiskErrorKind::NotFound => "check that the data home is mounted and complete",
            DiskErrorKind::Full => "free some space on this disk",
            DiskErrorKind::Io => "look at the system log; the disk may be failing",
            DiskErrorKind::ReadOnly => "check the mount options and the owner of the data home",
        };
        write!(formatter, "cannot {} `{}`: {}", self.verb, self.name, self.detail)?;
        // What another error of the disk is the reason of says it already.
        if self.detail.ends_with(advice) {
            return Ok(());
        }
        write!(formatter, "; {advice}")
    }
}

impl std::error::Error for DiskError {}

/// One file of a [`Disk`] as redb's storage, so that whatever the simulator does to a disk happens to redb as well.
#[derive(Debug)]
pub struct RedbFile {
    /// Where the file is.
    disk: Arc<dyn Disk>,
    /// Its name.
    name: String,
    /// Becomes true when a sync of it fails.
    sync_failed: Arc<AtomicBool>,
}

impl RedbFile {
    /// The file `name` of `disk`; created, and its name synced, if it is not there. redb does not tell which call failed: `sync_failed` becomes true
    /// when it was a sync.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn open(disk: Arc<dyn Disk>, name: &str, sync_failed: Arc<AtomicBool>) -> Result<Self, DiskError> {
        if !disk.exists(name)? {
            disk.write_at(name, 0, &[])?;
            let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
            disk.sync_dir(directory)?;
        }
        Ok(Self { disk, name: name.to_owned(), sync_failed })
    }
}

impl redb::StorageBackend for RedbFile {
    fn len(&self) -> Result<u64, io::Error> {
        self.disk.len(&self.name).map_err(io_error)
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, io::Error> {
        let mut bytes = vec![0; len];
        let read = self.disk.read_at(&self.name, offset, &mut bytes).map_err(io_error)?;
        if read < len {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file is shorter than its header says",
            ));
        }
        Ok(bytes)
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.disk.set_len(&self.name, len).map_err(io_error)
    }

    fn sync_data(&self, _eventual: bool) -> Result<(), io::Error> {
        self.disk.sync(&self.name).map_err(|error| {
            self.sync_failed.store(true, Ordering::Relaxed);
            io_error(error)
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.disk.write_at(&self.name, offset, data).map_err(io_error)
    }
}

/// A disk error in the words of the standard library, which redb speaks.
fn io_error(error: DiskError) -> io::Error {
    let kind = match error.kind {
        DiskErrorKind::NotFound => io::ErrorKind::NotFound,
        DiskErrorKind::Full => io::ErrorKind::StorageFull,
        DiskErrorKind::ReadOnly => io::ErrorKind::ReadOnlyFilesystem,
        DiskErrorKind::Io => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_was_tried_on_what_and_what_to_do() {
        let error = DiskError::from_io("write", "segments/00000001.seg", &io::ErrorKind::StorageFull.into());
        assert_eq!(error.kind, DiskErrorKind::Full);
        let text = error.to_string();
        assert!(
            text.contains("cannot write `segments/00000001.seg`")
                && text.ends_with("free some space on this disk"),
            "{text}"
        );
    }
}
