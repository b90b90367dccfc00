//! Temporary sorted sets of chunk ids, larger than memory: an external merge sort.
//!
//! Owns `tmp/`: whatever is there when the store is opened is removed. Ids are collected in memory (a megabyte for all
//! sets together), written as sorted files, and read back in pages through all files of a set. Nothing here is ever
//! synced; nothing here survives. Refuses to hold more sets than a bound.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::disk::{Disk, DiskError};
use super::error::StoreError;
use super::segment::bytes;
use crate::base::ids::ChunkId;
use crate::base::limits::{PAGE_IDS_MAX, SETS_MAX, SET_IDS_IN_MEMORY_MAX, SET_RUNS_MAX};

/// All sets.
#[derive(Debug)]
pub struct Sets {
    /// Where they are.
    disk: Arc<dyn Disk>,
    /// Free bytes that they leave alone.
    reserve_bytes: u64,
    /// By the caller's number.
    sets: BTreeMap<u64, Set>,
    /// Ids in memory, of all sets together.
    in_memory: usize,
    /// How many that may be.
    in_memory_max: usize,
}

/// One set.
#[derive(Debug, Default)]
struct Set {
    /// Not yet written; sorted and without doubles if `sorted`.
    fresh: Vec<ChunkId>,
    /// Whether `fresh` is.
    sorted: bool,
    /// Sorted files, each without doubles.
    runs: Vec<SetRun>,
    /// The number of the next file.
    next_run: u64,
    /// What went wrong since the set was begun: it may lack ids, so no page of it is given any more.
    failed: Option<StoreError>,
}

/// One sorted file.
#[derive(Debug)]
struct SetRun {
    /// Its name.
    name: String,
    /// Ids in it.
    count: u64,
}

impl Sets {
    /// No sets; removes what an earlier run left.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(disk: Arc<dyn Disk>, reserve_bytes: u64) -> Result<Self, StoreError> {
        Self::with_memory(disk, reserve_bytes, SET_IDS_IN_MEMORY_MAX)
    }

    /// The same with room for so many ids in memory.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn with_memory(
        disk: Arc<dyn Disk>,
        reserve_bytes: u64,
        in_memory_max: usize,
    ) -> Result<Self, StoreError> {
        if disk.exists(SET_DIRECTORY)? {
            for leaf in disk.list(SET_DIRECTORY)? {
                disk.remove(&format!("{SET_DIRECTORY}/{leaf}"))?;
            }
        } else {
            disk.create_dir(SET_DIRECTORY)?;
        }
        Ok(Self { disk, reserve_bytes, sets: BTreeMap::new(), in_memory: 0, in_memory_max })
    }

    /// Adds ids to a set. A failure is kept and told by [`page`](Self::page).
    pub fn add(&mut self, number: u64, ids: &[ChunkId]) {
        if let Err(error) = self.try_add(number, ids) {
            if let Some(set) = self.sets.get_mut(&number) {
                set.failed.get_or_insert(error);
            }
        }
    }

    /// The next ids after `after`, each once, ascending.
    ///
    /// # Errors
    /// When the set may be incomplete, or cannot be read.
    pub fn page(
        &mut self,
        number: u64,
        after: Option<&ChunkId>,
        limit: usize,
    ) -> Result<Vec<ChunkId>, StoreError> {
        let limit = limit.min(PAGE_IDS_MAX);
        let Some(set) = self.sets.get_mut(&number) else { return self.absent() };
        if let Some(error) = &set.failed {
            return Err(error.clone());
        }
        let before = set.fresh.len();
        set.sort();
        self.in_memory -= before - set.fresh.len();
        let mut cursors = Vec::with_capacity(set.runs.len());
        for run in &set.runs {
            cursors.push(SetCursor::new(&*self.disk, run, after)?);
        }
        let start = after.map_or(0, |after| set.fresh.partition_point(|id| id <= after));
        let mut fresh = set.fresh[start..].iter().copied().peekable();
        let mut page = Vec::with_capacity(limit);
        while page.len() < limit {
            let least = cursors.iter().filter_map(SetCursor::peek).chain(fresh.peek().copied()).min();
            let Some(least) = least else { break };
            for (cursor, run) in cursors.iter_mut().zip(&set.runs) {
                if cursor.peek() == Some(least) {
                    cursor.skip(&*self.disk, run)?;
                }
            }
            if fresh.peek() == Some(&least) {
                fresh.next();
            }
            page.push(least);
        }
        Ok(page)
    }

    /// Forgets a set.
    pub fn remove(&mut self, number: u64) {
        if let Some(set) = self.sets.remove(&number) {
            self.in_memory -= set.fresh.len();
            for run in &set.runs {
                // A file that stays is removed when the store is opened.
                let _ = self.disk.remove(&run.name);
            }
        }
    }

    /// The page of a set that does not exist: empty, unless it is missing because there were too many.
    fn absent(&self) -> Result<Vec<ChunkId>, StoreError> {
        if self.sets.len() >= SETS_MAX {
            return Err(StoreError::TooMuch { what: "temporary sets", found: SETS_MAX + 1, limit: SETS_MAX });
        }
        Ok(Vec::new())
    }

    /// See [`add`](Self::add).
    fn try_add(&mut self, number: u64, ids: &[ChunkId]) -> Result<(), StoreError> {
        if !self.sets.contains_key(&number) {
            self.absent()?;
        }
        let set = self.sets.entry(number).or_default();
        if ids.len() > PAGE_IDS_MAX {
            return Err(StoreError::TooMuch { what: "ids", found: ids.len(), limit: PAGE_IDS_MAX });
        }
        set.fresh.extend_from_slice(ids);
        set.sorted = false;
        self.in_memory += ids.len();
        while self.in_memory > self.in_memory_max {
            let largest = self.sets.iter().max_by_key(|(_, set)| set.fresh.len()).map(|(number, _)| *number);
            let Some(largest) = largest else { break };
            self.spill(largest);
        }
        Ok(())
    }

    /// Moves what a set has in memory to a file. Whether that works or not, the memory is free afterwards.
    fn spill(&mut self, number: u64) {
        let Some(set) = self.sets.get_mut(&number) else { return };
        self.in_memory -= set.fresh.len();
        if set.failed.is_none() {
            if let Err(error) = set.write_fresh(&*self.disk, number, self.reserve_bytes) {
                set.failed = Some(error);
            }
        }
        set.fresh = Vec::new();
    }
}

impl Set {
    /// Sorts what is in memory.
    fn sort(&mut self) {
        if !self.sorted {
            self.fresh.sort_unstable();
            self.fresh.dedup();
            self.sorted = true;
        }
    }

    /// Writes what is in memory as a new file, and merges the files if they are many.
    fn write_fresh(&mut self, disk: &dyn Disk, number: u64, reserve_bytes: u64) -> Result<(), StoreError> {
        self.sort();
        let free_bytes = disk.free_bytes()?;
        if free_bytes.saturating_sub(bytes(self.fresh.len()) * ID_BYTES) < reserve_bytes {
            return Err(StoreError::Full { free_bytes, reserve_bytes });
        }
        let mut writer = SetWriter::new(self.next_name(number));
        for id in &self.fresh {
            writer.push(disk, id)?;
        }
        let run = writer.finish(disk)?;
        self.runs.push(run);
        if self.runs.len() > SET_RUNS_MAX {
            self.merge(disk, number)?;
        }
        Ok(())
    }

    /// Makes one file of all.
    fn merge(&mut self, disk: &dyn Disk, number: u64) -> Result<(), StoreError> {
        let mut cursors = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            cursors.push(SetCursor::new(disk, run, None)?);
        }
        let mut writer = SetWriter::new(self.next_name(number));
        while let Some(least) = cursors.iter().filter_map(SetCursor::peek).min() {
            for (cursor, run) in cursors.iter_mut().zip(&self.runs) {
                if cursor.peek() == Some(least) {
                    cursor.skip(disk, run)?;
                }
            }
            writer.push(disk, &least)?;
        }
        let merged = writer.finish(disk)?;
        for old in std::mem::replace(&mut self.runs, vec![merged]) {
            let _ = disk.remove(&old.name);
        }
        Ok(())
    }

    /// The name of the next file.
    fn next_name(&mut self, number: u64) -> String {
        self.next_run += 1;
        format!("{SET_DIRECTORY}/set-{number}-{}.run", self.next_run)
    }
}

/// Reads one file in order.
#[derive(Debug)]
struct SetCursor {
    /// Ids read ahead.
    ahead: Vec<ChunkId>,
    /// The next of them.
    next: usize,
    /// How many ids of the file were read.
    read: u64,
}

impl SetCursor {
    /// Stands before the first id of `run` after `after`.
    fn new(disk: &dyn Disk, run: &SetRun, after: Option<&ChunkId>) -> Result<Self, DiskError> {
        let mut low = 0;
        if let Some(after) = after {
            let mut high = run.count;
            while low < high {
                let middle = low + (high - low) / 2;
                if run.ids(disk, middle, 1)?.first().is_some_and(|id| id <= after) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
        }
        let mut cursor = Self { ahead: Vec::new(), next: 0, read: low };
        cursor.fill(disk, run)?;
        Ok(cursor)
    }

    /// The id that it stands before.
    fn peek(&self) -> Option<ChunkId> {
        self.ahead.get(self.next).copied()
    }

    /// Steps over one id.
    fn skip(&mut self, disk: &dyn Disk, run: &SetRun) -> Result<(), DiskError> {
        self.next += 1;
        if self.next >= self.ahead.len() {
            self.fill(disk, run)?;
        }
        Ok(())
    }

    /// Reads ahead.
    fn fill(&mut self, disk: &dyn Disk, run: &SetRun) -> Result<(), DiskError> {
        self.ahead = run.ids(disk, self.read, READ_IDS)?;
        self.read += bytes(self.ahead.len());
        self.next = 0;
        Ok(())
    }
}

impl SetRun {
    /// At most `limit` ids from `first` on.
    fn ids(&self, disk: &dyn Disk, first: u64, limit: usize) -> Result<Vec<ChunkId>, DiskError> {
        let left = usize::try_from(self.count.saturating_sub(first)).unwrap_or(usize::MAX);
        let mut content = vec![0; left.min(limit) * ChunkId::SIZE];
        let read = disk.read_at(&self.name, first * ID_BYTES, &mut content)?;
        if read < content.len() {
            let kind = super::disk::DiskErrorKind::Io;
            return Err(DiskError::new(
                "read",
                &self.name,
                kind,
                "the file is shorter than what was written",
            ));
        }
        let id = |content: &[u8]| {
            let mut id = [0; ChunkId::SIZE];
            id.copy_from_slice(content);
            ChunkId::from_bytes(id)
        };
        Ok(content.chunks_exact(ChunkId::SIZE).map(id).collect())
    }
}

/// Writes one file in order.
#[derive(Debug)]
struct SetWriter {
    /// Its name.
    name: String,
    /// Ids written.
    count: u64,
    /// Bytes to be written.
    waiting: Vec<u8>,
}

impl SetWriter {
    /// Begins the file `name`.
    fn new(name: String) -> Self {
        Self { name, count: 0, waiting: Vec::new() }
    }

    /// Appends an id.
    fn push(&mut self, disk: &dyn Disk, id: &ChunkId) -> Result<(), DiskError> {
        self.waiting.extend_from_slice(id.as_bytes());
        if self.waiting.len() >= WRITE_BYTES {
            self.write(disk)?;
        }
        Ok(())
    }

    /// Writes what waits.
    fn write(&mut self, disk: &dyn Disk) -> Result<(), DiskError> {
        disk.write_at(&self.name, self.count * ID_BYTES, &self.waiting)?;
        self.count += bytes(self.waiting.len() / ChunkId::SIZE);
        self.waiting.clear();
        Ok(())
    }

    /// Ends the file.
    fn finish(mut self, disk: &dyn Disk) -> Result<SetRun, DiskError> {
        self.write(disk)?;
        Ok(SetRun { name: self.name, count: self.count })
    }
}

/// Where sets are.
const SET_DIRECTORY: &str = "tmp";
/// Length of an id in a file.
const ID_BYTES: u64 = 32;
/// Ids read ahead from each file of a set.
const READ_IDS: usize = 128;
/// Bytes written at once.
const WRITE_BYTES: usize = 64 * 1024;
