//! What a simulated disk is made of: files, names, and how to take back what is not durable.
//!
//! Owns what a crash keeps and loses. Refuses to know of calls and faults as users see them: that is `disk.rs`.

use std::collections::{BTreeMap, BTreeSet};

use rand_core::RngCore;

use super::disk::Fault;
use crate::store::disk::{DiskError, DiskErrorKind};

/// Everything on the disk, and what of it would survive.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// Files by a number that renames keep.
    pub(super) files: BTreeMap<u64, File>,
    /// What names mean now.
    pub(super) names: BTreeMap<String, u64>,
    /// Directories now.
    pub(super) directories: BTreeSet<String>,
    /// What names mean for sure after a crash.
    pub(super) durable_names: BTreeMap<String, u64>,
    /// Directories that are there for sure after a crash.
    pub(super) durable_directories: BTreeSet<String>,
    /// Changes of names since each directory was synced, in order.
    pub(super) pending_names: Vec<NameChange>,
    /// The number of the next file.
    pub(super) next_inode: u64,
    /// Size of the disk.
    pub(super) capacity: u64,
    /// Calls made.
    pub(super) calls: u64,
    /// Good syncs of files made.
    pub(super) syncs: u64,
    /// Files that need not be kept in memory.
    pub(super) let_go: BTreeSet<String>,
    /// What shall go wrong, by call number.
    pub(super) faults: BTreeMap<u64, Fault>,
    /// Which good syncs shall fail instead.
    pub(super) sync_faults: BTreeSet<u64>,
    /// No power.
    pub(super) off: bool,
    /// What calls were for, while that is wanted.
    pub(super) traced: Option<Vec<&'static str>>,
    /// Copies of all this as it was before each call, while that is wanted.
    pub(super) watched: Option<Vec<State>>,
}

/// One file: what reads see, and how to take back what is not durable.
#[derive(Debug, Clone, Default)]
pub(super) struct File {
    /// What reads see.
    pub(super) bytes: Vec<u8>,
    /// Changes since the last sync, in order.
    pending: Vec<Change>,
    /// What a failed sync gave up, in order: seen by reads, but the medium has these bytes (zeros where it had none).
    doomed: Vec<(u64, Vec<u8>)>,
}

/// One change of a file, with what it replaced.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// Where.
    offset: u64,
    /// Bytes written; `None` for a change of length to `offset`.
    written: Option<u64>,
    /// What stood in the range (or after the cut) before.
    old: Vec<u8>,
    /// The length before.
    old_length: u64,
}

/// One change of names.
#[derive(Debug, Clone)]
pub(super) enum NameChange {
    /// A directory was made.
    Directory(String),
    /// A name was given to a new file.
    Create(String, u64),
    /// A file was renamed.
    Rename(String, String, u64),
    /// A name was removed.
    Remove(String),
}

impl NameChange {
    /// Whether a sync of `directory` makes it durable.
    pub(super) fn stands_in(&self, directory: &str) -> bool {
        match self {
            Self::Directory(name) | Self::Create(name, _) | Self::Remove(name) => parent(name) == directory,
            Self::Rename(_, to, _) => parent(to) == directory,
        }
    }
}

impl State {
    /// Counts a call and lets its fault happen. `true`: do the work, then fail for lack of power.
    pub(super) fn begin(&mut self, verb: &'static str, name: &str) -> Result<bool, DiskError> {
        let call = self.calls;
        self.calls += 1;
        if self.watched.is_some() {
            let copy = self.copy();
            self.watched.get_or_insert_default().push(copy);
        }
        if let Some(traced) = &mut self.traced {
            traced.push(verb);
        }
        if self.off {
            return Err(DiskError::new(verb, name, DiskErrorKind::Io, "no power"));
        }
        match self.faults.remove(&call) {
            None => Ok(false),
            Some(Fault::Io) => Err(DiskError::new(verb, name, DiskErrorKind::Io, "medium error")),
            Some(fault @ (Fault::Full | Fault::Fills)) => {
                if fault == Fault::Fills {
                    self.capacity = self.used();
                }
                Err(DiskError::new(verb, name, DiskErrorKind::Full, "no space left"))
            }
            Some(Fault::PowerLoss) => {
                self.off = true;
                Ok(true)
            }
        }
    }

    /// A copy without what nobody can see any more, now or after a crash.
    pub(super) fn copy(&self) -> Self {
        let named: BTreeSet<u64> = self.names.values().chain(self.durable_names.values()).copied().collect();
        let made = self.pending_names.iter().filter_map(|change| match change {
            NameChange::Create(_, inode) | NameChange::Rename(_, _, inode) => Some(*inode),
            NameChange::Directory(_) | NameChange::Remove(_) => None,
        });
        let seen: BTreeSet<u64> = made.chain(named).collect();
        let files = self.files.iter().filter(|(inode, _)| seen.contains(inode));
        Self {
            files: files.map(|(inode, file)| (*inode, file.clone())).collect(),
            names: self.names.clone(),
            directories: self.directories.clone(),
            durable_names: self.durable_names.clone(),
            durable_directories: self.durable_directories.clone(),
            pending_names: self.pending_names.clone(),
            next_inode: self.next_inode,
            capacity: self.capacity,
            ..Self::default()
        }
    }

    /// The file of that name.
    pub(super) fn file(&mut self, verb: &'static str, name: &str) -> Result<&mut File, DiskError> {
        let missing = || DiskError::new(verb, name, DiskErrorKind::NotFound, "no such file");
        let inode = *self.names.get(name).ok_or_else(missing)?;
        self.files.get_mut(&inode).ok_or_else(missing)
    }

    /// The file of that name, made if it is not there.
    pub(super) fn file_or_new(&mut self, name: &str) -> Result<&mut File, DiskError> {
        if !self.names.contains_key(name) {
            let directory = parent(name);
            if !directory.is_empty() && !self.directories.contains(directory) {
                return Err(DiskError::new("write", name, DiskErrorKind::NotFound, "no such directory"));
            }
            let inode = self.next_inode;
            self.next_inode += 1;
            self.names.insert(name.to_owned(), inode);
            self.files.insert(inode, File::default());
            self.pending_names.push(NameChange::Create(name.to_owned(), inode));
        }
        self.file("write", name)
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> u64 {
        self.names.values().map(|inode| length(&self.files[inode].bytes)).sum()
    }

    /// See `SimDisk::crash`.
    pub(super) fn crash(&mut self, rng: &mut dyn RngCore) {
        let mood = rng.next_u32() % 4;
        let mut names = std::mem::take(&mut self.durable_names);
        let mut directories = std::mem::take(&mut self.durable_directories);
        for change in std::mem::take(&mut self.pending_names) {
            if mood == 0 || (mood != 1 && rng.next_u32() % 2 == 0) {
                apply_name(&change, &mut names, &mut directories);
            }
        }
        names.retain(|name, _| parent(name).is_empty() || directories.contains(parent(name)));
        let mut files = std::mem::take(&mut self.files);
        for inode in names.values() {
            let mut file = files.remove(inode).unwrap_or_default();
            file.crash(rng);
            self.files.insert(*inode, file);
        }
        self.durable_names.clone_from(&names);
        self.durable_directories.clone_from(&directories);
        self.names = names;
        self.directories = directories;
        self.faults.clear();
        self.sync_faults.clear();
        self.off = false;
    }
}

impl File {
    /// Writes, remembering what was there.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        let (start, end) = (place(offset), place(offset) + bytes.len());
        let old_length = length(&self.bytes);
        let old = self
            .bytes
            .get(start.min(self.bytes.len())..end.min(self.bytes.len()))
            .unwrap_or_default()
            .to_vec();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[start..end].copy_from_slice(bytes);
        self.pending.push(Change { offset, written: Some(length(bytes)), old, old_length });
    }

    /// Changes the length, remembering what was cut.
    pub(super) fn set_len(&mut self, new: u64) {
        let old_length = length(&self.bytes);
        let old = self.bytes.get(place(new)..).unwrap_or_default().to_vec();
        self.bytes.resize(place(new), 0);
        self.pending.push(Change { offset: new, written: None, old, old_length });
    }

    /// All changes are durable now, but for what an earlier failed sync gave up.
    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            let from = change.offset;
            let to = from + change.written.unwrap_or(0);
            self.doomed = self.doomed.iter().flat_map(|given_up| without(given_up, (from, to))).collect();
        }
    }

    /// The sync failed: the changes stay visible and are not durable, nor will they be.
    pub(super) fn sync_failed(&mut self) {
        for change in self.pending.drain(..) {
            if let Some(written) = change.written {
                let mut old = change.old;
                old.resize(place(written), 0);
                self.doomed.push((change.offset, old));
            }
        }
    }

    /// Takes back what is not durable and keeps a random part of it.
    pub(super) fn crash(&mut self, rng: &mut dyn RngCore) {
        let mut undone = Vec::new();
        while let Some(change) = self.pending.pop() {
            let start = place(change.offset);
            match change.written {
                Some(written) => {
                    undone.push((change.offset, Some(self.bytes[start..start + place(written)].to_vec())));
                    self.bytes[start..start + change.old.len()].copy_from_slice(&change.old);
                    self.bytes.truncate(place(change.old_length));
                }
                None => {
                    undone.push((change.offset, None));
                    self.bytes.truncate(start);
                    self.bytes.extend_from_slice(&change.old);
                    self.bytes.resize(place(change.old_length), 0);
                }
            }
        }
        let length_kept = self.bytes.len();
        let longest =
            undone.iter().map(|(offset, new)| place(*offset) + new.as_ref().map_or(0, Vec::len)).max();
        let mood = rng.next_u32() % 4;
        for (offset, new) in undone.into_iter().rev() {
            if mood != 1 {
                self.keep_some(offset, new, mood == 0, rng);
            }
        }
        if mood == 3 {
            // The length was journalled and the bytes were not: zeros.
            let longest = longest.unwrap_or(0).max(length_kept).max(self.bytes.len());
            self.bytes.resize(longest, 0);
        }
        for (from, old) in std::mem::take(&mut self.doomed).into_iter().rev() {
            if rng.next_u32() % 4 != 0 {
                let end = (place(from) + old.len()).min(self.bytes.len());
                let start = place(from).min(end);
                self.bytes[start..end].copy_from_slice(&old[..end - start]);
            }
        }
    }

    /// Keeps all, nothing or some 512-byte sectors of one change.
    fn keep_some(&mut self, offset: u64, new: Option<Vec<u8>>, all: bool, rng: &mut dyn RngCore) {
        let fate = if all { 0 } else { rng.next_u32() % 3 };
        match (new, fate) {
            (_, 1) => {}
            (None, _) => self.bytes.resize(place(offset), 0),
            (Some(new), 0) => self.write(offset, &new),
            (Some(new), _) => {
                let mut start = 0;
                while start < new.len() {
                    let sector_end = (place(offset) + start) / SECTOR_BYTES * SECTOR_BYTES + SECTOR_BYTES;
                    let end = (sector_end - place(offset)).min(new.len());
                    if rng.next_u32() % 2 == 0 {
                        self.write(offset + length(&new[..start]), &new[start..end]);
                    }
                    start = end;
                }
            }
        }
        self.pending.clear();
    }
}

/// Carries out one change of names.
pub(super) fn apply_name(
    change: &NameChange,
    names: &mut BTreeMap<String, u64>,
    directories: &mut BTreeSet<String>,
) {
    match change {
        NameChange::Directory(name) => {
            directories.insert(name.clone());
        }
        NameChange::Create(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        NameChange::Rename(from, to, inode) => {
            if names.get(from) == Some(inode) {
                names.remove(from);
            }
            names.insert(to.clone(), *inode);
        }
        NameChange::Remove(name) => {
            names.remove(name);
        }
    }
}

/// The directory that a name stands in.
pub(super) fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

/// The end of a call in which power was lost.
pub(super) fn power(lost: bool, verb: &'static str, name: &str) -> Result<(), DiskError> {
    if lost {
        return Err(DiskError::new(verb, name, DiskErrorKind::Io, "no power"));
    }
    Ok(())
}

/// What is left of bytes at a place without `hole`.
fn without(given_up: &(u64, Vec<u8>), hole: (u64, u64)) -> impl Iterator<Item = (u64, Vec<u8>)> {
    let range = (given_up.0, given_up.0 + length(&given_up.1));
    let before = (range.0, range.1.min(hole.0));
    let after = (range.0.max(hole.1), range.1);
    let parts = if hole.0 >= hole.1 { [range, (0, 0)] } else { [before, after] };
    let bytes = |(from, to)| given_up.1[place(from - range.0)..place(to - range.0)].to_vec();
    let left = parts.into_iter().filter(|(from, to)| from < to).map(|part| (part.0, bytes(part)));
    left.collect::<Vec<_>>().into_iter()
}

/// An offset as an index into memory.
pub(super) fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("simulated files fit into memory")
}

/// A length as the disk counts it.
pub(super) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("lengths fit into 64 bits")
}

/// What a medium writes at once.
const SECTOR_BYTES: usize = 512;
