//! A disk that looks as if it could be written: what is written stays in memory, and the disk below is only read.
//!
//! So a store can be opened by the same code as ever, with all that opening repairs, and nothing changes. Owns pages of what was written,
//! within a bound ([`OVERLAY_BYTES_MAX`]); beyond that the disk is full. Read `disk.rs` first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskError, DiskErrorKind};
use super::segment::bytes;
use crate::base::limits::OVERLAY_BYTES_MAX;

/// Such a disk.
#[derive(Debug)]
pub struct Overlay {
    /// What is only read.
    below: Arc<dyn Disk>,
    /// What differs from it.
    above: Mutex<Above>,
}

/// What was written.
#[derive(Debug, Default)]
struct Above {
    /// Files that were changed or made, by name; None: removed.
    files: BTreeMap<String, Option<File>>,
    /// Directories that were made.
    directories: BTreeSet<String>,
    /// Bytes of all pages.
    used: u64,
}

/// A file that was changed.
#[derive(Debug, Clone, Default)]
struct File {
    /// What it was below, and how much of that still counts.
    base: Option<(String, u64)>,
    /// Its length.
    length: u64,
    /// What was written, in whole pages, by their number.
    pages: BTreeMap<u64, Vec<u8>>,
}

/// Bytes of a page.
const PAGE: usize = 4096;
/// The same as the disk counts.
const PAGE_BYTES: u64 = 4096;

impl Overlay {
    /// Nothing is written yet.
    #[must_use]
    pub fn new(below: Arc<dyn Disk>) -> Self {
        Self { below, above: Mutex::default() }
    }

    /// What was written. It is whole whoever held it last: every change is one step.
    fn above(&self) -> MutexGuard<'_, Above> {
        self.above.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file as it is, changed before or not.
    fn file(&self, above: &Above, verb: &'static str, name: &str) -> Result<File, DiskError> {
        match above.files.get(name) {
            Some(Some(file)) => Ok(file.clone()),
            Some(None) => Err(missing(verb, name)),
            None => {
                let length = self.below.len(name)?;
                Ok(File { base: Some((name.to_owned(), length)), length, pages: BTreeMap::new() })
            }
        }
    }

    /// Reads from a file that was changed.
    fn read(&self, file: &File, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let left = usize::try_from(file.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let buffer = &mut buffer[..wanted];
        buffer.fill(0);
        if let Some((name, counts)) = &file.base {
            let there = usize::try_from(counts.saturating_sub(offset)).unwrap_or(usize::MAX).min(wanted);
            self.below.read_at(name, offset, &mut buffer[..there])?;
        }
        let first = offset / PAGE_BYTES;
        for (number, page) in file.pages.range(first..(offset + bytes(wanted)).div_ceil(PAGE_BYTES)) {
            for (at, byte) in (number * PAGE_BYTES..).zip(page) {
                let index = at.checked_sub(offset).and_then(|index| usize::try_from(index).ok());
                if let Some(place) = index.and_then(|index| buffer.get_mut(index)) {
                    *place = *byte;
                }
            }
        }
        Ok(wanted)
    }

    /// Lays bytes over a file.
    fn patch(&self, file: &mut File, offset: u64, content: &[u8]) -> Result<(), DiskError> {
        let (mut at, mut rest) = (offset, content);
        while !rest.is_empty() {
            let number = at / PAGE_BYTES;
            let within = usize::try_from(at % PAGE_BYTES).unwrap_or(0);
            let count = rest.len().min(PAGE - within);
            if !file.pages.contains_key(&number) {
                let mut page = vec![0; PAGE];
                self.read(file, number * PAGE_BYTES, &mut page)?;
                file.pages.insert(number, page);
            }
            if let Some(page) = file.pages.get_mut(&number) {
                page[within..within + count].copy_from_slice(&rest[..count]);
            }
            at += bytes(count);
            rest = &rest[count..];
        }
        file.length = file.length.max(at);
        Ok(())
    }
}

impl Disk for Overlay {
    fn list(&self, directory: &str) -> Result<Vec<String>, DiskError> {
        let above = self.above();
        let mut names: BTreeSet<String> = match self.below.list(directory) {
            Ok(names) => names.into_iter().collect(),
            Err(_) if above.directories.contains(directory) => BTreeSet::new(),
            Err(error) => return Err(error),
        };
        for (name, file) in &above.files {
            let (parent, leaf) = name.rsplit_once('/').unwrap_or(("", name));
            if parent == directory {
                match file {
                    Some(_) => names.insert(leaf.to_owned()),
                    None => names.remove(leaf),
                };
            }
        }
        Ok(names.into_iter().collect())
    }

    fn create_dir(&self, directory: &str) -> Result<(), DiskError> {
        self.above().directories.insert(directory.to_owned());
        Ok(())
    }

    fn len(&self, name: &str) -> Result<u64, DiskError> {
        match self.above().files.get(name) {
            Some(Some(file)) => Ok(file.length),
            Some(None) => Err(missing("stat", name)),
            None => self.below.len(name),
        }
    }

    fn exists(&self, name: &str) -> Result<bool, DiskError> {
        let above = self.above();
        match above.files.get(name) {
            Some(file) => Ok(file.is_some()),
            None => Ok(above.directories.contains(name) || self.below.exists(name)?),
        }
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let above = self.above();
        match above.files.get(name) {
            Some(Some(file)) => self.read(file, offset, buffer),
            Some(None) => Err(missing("read", name)),
            None => self.below.read_at(name, offset, buffer),
        }
    }

    fn write_at(&self, name: &str, offset: u64, content: &[u8]) -> Result<(), DiskError> {
        let mut above = self.above();
        let mut file = match above.files.remove(name) {
            Some(Some(file)) => file,
            Some(None) => File::default(),
            None => self.file(&above, "write", name).unwrap_or_default(),
        };
        let before = file.pages.len();
        let written = self.patch(&mut file, offset, content);
        above.used += bytes(file.pages.len() - before) * PAGE_BYTES;
        above.files.insert(name.to_owned(), Some(file));
        if above.used > OVERLAY_BYTES_MAX {
            let reason = "only so much is kept in memory while nothing may be written";
            return Err(DiskError::new("write", name, DiskErrorKind::Full, reason));
        }
        written
    }

    fn set_len(&self, name: &str, length: u64) -> Result<(), DiskError> {
        let mut above = self.above();
        let mut file = self.file(&above, "cut", name)?;
        if let Some((_, counts)) = &mut file.base {
            *counts = length.min(*counts);
        }
        let beyond = file.pages.split_off(&length.div_ceil(PAGE_BYTES));
        if let Some(page) = file.pages.get_mut(&(length / PAGE_BYTES)) {
            page[usize::try_from(length % PAGE_BYTES).unwrap_or(0)..].fill(0);
        }
        file.length = length;
        above.used = above.used.saturating_sub(bytes(beyond.len()) * PAGE_BYTES);
        above.files.insert(name.to_owned(), Some(file));
        Ok(())
    }

    fn sync(&self, _name: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_dir(&self, _directory: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        let mut above = self.above();
        let file = self.file(&above, "rename", from)?;
        above.files.insert(to.to_owned(), Some(file));
        above.files.insert(from.to_owned(), None);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        let mut above = self.above();
        let file = self.file(&above, "remove", name)?;
        above.used = above.used.saturating_sub(bytes(file.pages.len()) * PAGE_BYTES);
        above.files.insert(name.to_owned(), None);
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64, DiskError> {
        Ok(OVERLAY_BYTES_MAX.saturating_sub(self.above().used))
    }
}

/// There is nothing of that name.
fn missing(verb: &'static str, name: &str) -> DiskError {
    DiskError::new(verb, name, DiskErrorKind::NotFound, "it was removed")
}
