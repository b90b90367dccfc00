//! Counts what is written, and for what: the bytes that wear a medium.
//!
//! Owns the counts of one data home since it was opened. What a file system adds of its own (its journal, its tables, whole blocks
//! for parts of them) is not seen from here. Refuses to know what is in a file: its name says what it is for. Read `disk.rs` first.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

use super::disk::{Disk, DiskError};
use super::feeds::STATE_NAME;
use super::run::INDEX_DIRECTORY;
use super::segment::{bytes, u64_at, SEGMENT_DIRECTORY};

/// Bytes written, by what they were written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Segments: chunks with their records, and marks.
    pub segments: u64,
    /// Index runs, those too that were merged since.
    pub index: u64,
    /// Feed entries and settings.
    pub state: u64,
    /// Temporary sets.
    pub sets: u64,
    /// Sealed bytes of chunks that were new: what all of that was written for.
    pub payload: u64,
}

impl Written {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.segments.saturating_add(self.index).saturating_add(self.state).saturating_add(self.sets)
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut sum = self.numbers();
        for (sum, more) in sum.iter_mut().zip(other.numbers()) {
            *sum = sum.saturating_add(more);
        }
        Self::from_numbers(sum)
    }

    /// Forty bytes: the numbers, little-endian.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.numbers().into_iter().flat_map(u64::to_le_bytes).collect()
    }

    /// Reads such bytes; None if they are of another length.
    #[must_use]
    pub fn decode(content: &[u8]) -> Option<Self> {
        let mut numbers = [0; 5];
        if content.len() != numbers.len() * 8 {
            return None;
        }
        for (number, at) in numbers.iter_mut().zip((0..).step_by(8)) {
            *number = u64_at(content, at);
        }
        Some(Self::from_numbers(numbers))
    }

    /// The numbers in their order.
    fn numbers(&self) -> [u64; 5] {
        [self.segments, self.index, self.state, self.sets, self.payload]
    }

    /// The same, backwards.
    fn from_numbers([segments, index, state, sets, payload]: [u64; 5]) -> Self {
        Self { segments, index, state, sets, payload }
    }
}

/// How far a medium is through its life, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wear {
    /// At most so much of it is used up, in percent; media tell it in steps.
    pub used_percent_max: u8,
    /// Days that are left at least, if it goes on being written to as much as since it was made; None: it does not tell its age.
    pub days_left: Option<u32>,
}

/// A disk that counts.
#[derive(Debug)]
pub struct Metered {
    /// The disk itself.
    disk: Arc<dyn Disk>,
    /// In the order of [`Written`].
    counts: [AtomicU64; 4],
}

impl Metered {
    /// Counts from zero what is written to `disk` through this.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, counts: Default::default() }
    }

    /// What was written so far; for what payload, is not known here.
    #[must_use]
    pub fn written(&self) -> Written {
        let [segments, index, state, sets] = &self.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Written::from_numbers([read(segments), read(index), read(state), read(sets), 0])
    }

    /// Counts a write that is about to be tried: what of it a failure leaves unwritten is not known.
    fn count(&self, name: &str, length: usize) {
        let cause = match name.split('/').next() {
            Some(SEGMENT_DIRECTORY) => 0,
            Some(INDEX_DIRECTORY) => 1,
            Some(first) if first.starts_with(STATE_NAME) => 2,
            _ => 3,
        };
        self.counts[cause].fetch_add(bytes(length), Ordering::Relaxed);
    }
}

impl Disk for Metered {
    fn list(&self, directory: &str) -> Result<Vec<String>, DiskError> {
        self.disk.list(directory)
    }

    fn create_dir(&self, directory: &str) -> Result<(), DiskError> {
        self.disk.create_dir(directory)
    }

    fn len(&self, name: &str) -> Result<u64, DiskError> {
        self.disk.len(name)
    }

    fn exists(&self, name: &str) -> Result<bool, DiskError> {
        self.disk.exists(name)
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.disk.read_at(name, offset, buffer)
    }

    fn write_at(&self, name: &str, offset: u64, content: &[u8]) -> Result<(), DiskError> {
        self.count(name, content.len());
        self.disk.write_at(name, offset, content)
    }

    fn write_parts_at(&self, name: &str, offset: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        self.count(name, parts.iter().map(|part| part.len()).sum());
        self.disk.write_parts_at(name, offset, parts)
    }

    fn set_len(&self, name: &str, length: u64) -> Result<(), DiskError> {
        self.disk.set_len(name, length)
    }

    fn sync(&self, name: &str) -> Result<(), DiskError> {
        self.disk.sync(name)
    }

    fn sync_dir(&self, directory: &str) -> Result<(), DiskError> {
        self.disk.sync_dir(directory)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.disk.remove(name)
    }

    fn free_bytes(&self) -> Result<u64, DiskError> {
        self.disk.free_bytes()
    }

    fn let_go(&self, name: &str) {
        self.disk.let_go(name);
    }

    fn wear(&self) -> Option<Wear> {
        self.disk.wear()
    }
}
