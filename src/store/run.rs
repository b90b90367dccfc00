//! One index run: a sorted, immutable file of (chunk id -> where its record is).
//!
//! Owns the encoding, the search and the reading in order. Ids are hashes, so their places in the file can be
//! guessed: two interpolations, then bisection (Perl, Itai, Avni 1978, for why that is O(log log n)). In memory stands a
//! fence of at most 256 ids, two kilobytes, however long the run is. Refuses a block or footer whose checksum does not fit:
//! `index.rs` then throws the run away and builds it anew. Read FORMAT.md, "Index runs".

use super::disk::{Disk, DiskError};
use super::segment::{bytes, checksum, u32_at, u64_at, Location, Position, FORMAT};
use crate::base::ids::ChunkId;

/// Where index runs are.
pub const INDEX_DIRECTORY: &str = "index";
/// Length of a block: one page of the disk.
pub const BLOCK_BYTES: usize = 4096;
/// Length of an entry.
pub(super) const ENTRY_BYTES: usize = 44;
/// Entries in a full block.
pub const BLOCK_ENTRIES: usize = 92;
/// Length of the footer.
pub(super) const FOOTER_BYTES: usize = 96;
/// Most ids in the fence.
pub(super) const FENCE_IDS_MAX: u64 = 256;
/// First bytes of a footer.
pub(super) const RUN_MAGIC: [u8; 8] = *b"NUTHRUN\0";
/// The length that stands for "gone" in an entry.
pub(super) const GONE: u32 = u32::MAX;
/// Guesses by interpolation before a search bisects.
const GUESSES: u32 = 2;

const _: () = assert!(BLOCK_ENTRIES * ENTRY_BYTES + 8 <= BLOCK_BYTES);

/// What the index knows of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It is there.
    Here(Location),
    /// It was dropped; whatever older runs say does not count.
    Gone,
}

impl Entry {
    /// Where the record is, if it is there.
    #[must_use]
    pub fn location(self) -> Option<Location> {
        match self {
            Self::Here(location) => Some(location),
            Self::Gone => None,
        }
    }
}

/// What a part of the log adds up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Chunks added, less those dropped.
    pub chunks: i64,
    /// Their sealed bytes.
    pub bytes: i64,
    /// Chunks found damaged.
    pub drops: u64,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            chunks: self.chunks.saturating_add(other.chunks),
            bytes: self.bytes.saturating_add(other.bytes),
            drops: self.drops.saturating_add(other.drops),
        }
    }

    /// This without `other`, which it contains.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            chunks: self.chunks.saturating_sub(other.chunks),
            bytes: self.bytes.saturating_sub(other.bytes),
            drops: self.drops.saturating_sub(other.drops),
        }
    }
}

/// Why a run cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunError {
    /// The disk failed.
    Disk(DiskError),
    /// Its bytes are not as they were written.
    Damaged,
    /// A newer version wrote it.
    NewerFormat(u32),
}

impl From<DiskError> for RunError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

/// The range of the log that a run covers, and what it adds up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cover {
    /// Everything from here ...
    pub from: Position,
    /// ... to here is in the run.
    pub to: Position,
    /// The sum of it.
    pub tally: Tally,
}

/// An open run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its name.
    name: String,
    /// What it covers.
    cover: Cover,
    /// How many entries it has.
    entries: u64,
    /// Every how many blocks the fence has an id.
    fence_stride: u64,
    /// First eight bytes of the first id of every `fence_stride`-th block.
    fence: Vec<u64>,
}

/// One block, checked.
pub type Block = [u8; BLOCK_BYTES];

impl Run {
    /// Reads the footer of a run.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn open(disk: &dyn Disk, name: &str) -> Result<Self, RunError> {
        let length = disk.len(name)?;
        let footer_at = length.checked_sub(bytes(FOOTER_BYTES)).ok_or(RunError::Damaged)?;
        let mut footer = [0; FOOTER_BYTES];
        if disk.read_at(name, footer_at, &mut footer)? < FOOTER_BYTES || footer[..8] != RUN_MAGIC {
            return Err(RunError::Damaged);
        }
        let (format, fence_ids) = (u32_at(&footer, 8), u32_at(&footer, 12));
        if format > FORMAT && footer[88..] == checksum(&footer[..88]) {
            return Err(RunError::NewerFormat(format));
        }
        let (entries, fence_stride) = (u64_at(&footer, 16), u64_at(&footer, 24));
        let blocks = entries.div_ceil(bytes(BLOCK_ENTRIES));
        let fence_bytes = u64::from(fence_ids) * 8;
        let whole = footer[88..] == checksum(&footer[..88])
            && format == FORMAT
            && u64::from(fence_ids) <= FENCE_IDS_MAX
            && fence_stride > 0
            && u64::from(fence_ids) == blocks.div_ceil(fence_stride)
            && blocks.checked_mul(bytes(BLOCK_BYTES)).and_then(|end| end.checked_add(fence_bytes))
                == Some(footer_at);
        if !whole {
            return Err(RunError::Damaged);
        }
        let mut fence_read = vec![0; usize::try_from(fence_bytes).map_err(|_| RunError::Damaged)?];
        let read = disk.read_at(name, footer_at - fence_bytes, &mut fence_read)?;
        if read < fence_read.len() || footer[80..88] != checksum(&fence_read) {
            return Err(RunError::Damaged);
        }
        let fence = fence_read.chunks_exact(8).map(prefix).collect();
        Ok(Self { name: name.to_owned(), cover: decode_cover(&footer), entries, fence_stride, fence })
    }

    /// A run that was just written.
    pub(super) fn written(
        name: &str,
        cover: Cover,
        entries: u64,
        fence_stride: u64,
        fence: Vec<u64>,
    ) -> Self {
        Self { name: name.to_owned(), cover, entries, fence_stride, fence }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it covers.
    #[must_use]
    pub fn cover(&self) -> Cover {
        self.cover
    }

    /// How many entries it has.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// What the run says of a chunk.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn find(&self, disk: &dyn Disk, id: &ChunkId) -> Result<Option<Entry>, RunError> {
        let (found, block) = self.search(disk, id)?;
        let (Some(block), Some(entry)) = (block, found.exact) else { return Ok(None) };
        Ok(Some(entry_at(&block, entry).1))
    }

    /// Where the first entry after `id` (or at it) is: block and entry within.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn seek(&self, disk: &dyn Disk, id: &ChunkId) -> Result<(u64, usize), RunError> {
        let (found, _) = self.search(disk, id)?;
        Ok(found.place)
    }

    /// Reads and checks one block; tells how many entries it has.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn block(&self, disk: &dyn Disk, index: u64, block: &mut Block) -> Result<usize, RunError> {
        let read = disk.read_at(&self.name, index * bytes(BLOCK_BYTES), block)?;
        if read < BLOCK_BYTES || block[BLOCK_BYTES - 8..] != checksum(&block[..BLOCK_BYTES - 8]) {
            return Err(RunError::Damaged);
        }
        let before = index * bytes(BLOCK_ENTRIES);
        Ok(usize::try_from(self.entries.saturating_sub(before)).unwrap_or(BLOCK_ENTRIES).min(BLOCK_ENTRIES))
    }

    /// Number of blocks.
    fn blocks(&self) -> u64 {
        self.entries.div_ceil(bytes(BLOCK_ENTRIES))
    }

    /// Searches for `id`; also gives the block that holds it, if one does.
    fn search(&self, disk: &dyn Disk, id: &ChunkId) -> Result<(Search, Option<Block>), RunError> {
        let wanted = prefix(&id.as_bytes()[..8]);
        // Blocks before `low` end below the id; blocks from `high` on begin above it.
        let before = bytes(self.fence.partition_point(|first| *first < wanted));
        let after = bytes(self.fence.partition_point(|first| *first <= wanted));
        let mut low = before.saturating_sub(1) * self.fence_stride;
        let mut high = (after * self.fence_stride).min(self.blocks());
        let mut low_prefix = if before == 0 { 0 } else { self.fence_prefix(before - 1) };
        let mut high_prefix = self.fence_prefix(after);
        let mut block = [0; BLOCK_BYTES];
        let mut probes = 0;
        while low < high {
            let middle = if probes < GUESSES {
                interpolate(wanted, (low, low_prefix), (high, high_prefix))
            } else {
                low + (high - low) / 2
            };
            probes += 1;
            let count = self.block(disk, middle, &mut block)?;
            let (first, last) = (entry_at(&block, 0).0, entry_at(&block, count - 1).0);
            if *id < first {
                high = middle;
                high_prefix = prefix(&first.as_bytes()[..8]);
            } else if *id > last {
                low = middle + 1;
                low_prefix = prefix(&last.as_bytes()[..8]);
            } else {
                let entry = partition(count, |entry| entry_at(&block, entry).0 < *id);
                let exact = (entry_at(&block, entry).0 == *id).then_some(entry);
                return Ok((Search { place: (middle, entry), exact }, Some(block)));
            }
        }
        Ok((Search { place: (low, 0), exact: None }, None))
    }

    /// The fence's id at `index`, or the greatest there can be.
    fn fence_prefix(&self, index: u64) -> u64 {
        usize::try_from(index).ok().and_then(|index| self.fence.get(index)).copied().unwrap_or(u64::MAX)
    }
}

/// How a search ended.
#[derive(Debug, Clone, Copy)]
struct Search {
    /// Block and entry of the first id not below the wanted one.
    place: (u64, usize),
    /// The entry of the wanted id.
    exact: Option<usize>,
}

/// Reads a run in order, one block in memory.
#[derive(Debug)]
pub struct RunCursor {
    /// The block at hand, if it was read.
    block: Box<Block>,
    /// Entries in it.
    count: usize,
    /// Which block is next to be read.
    next_block: u64,
    /// The next entry of the block at hand.
    entry: usize,
}

impl RunCursor {
    /// Stands before the first entry that is not below `id`; `None`: before the first of all.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn new(run: &Run, disk: &dyn Disk, id: Option<&ChunkId>) -> Result<Self, RunError> {
        let (block, entry) = match id {
            Some(id) => run.seek(disk, id)?,
            None => (0, 0),
        };
        let mut cursor = Self { block: Box::new([0; BLOCK_BYTES]), count: 0, next_block: block, entry: 0 };
        cursor.peek(run, disk)?;
        cursor.entry = entry;
        Ok(cursor)
    }

    /// The entry that it stands before, or `None` at the end.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn peek(&mut self, run: &Run, disk: &dyn Disk) -> Result<Option<(ChunkId, Entry)>, RunError> {
        if self.entry >= self.count {
            if self.next_block >= run.blocks() {
                return Ok(None);
            }
            self.count = run.block(disk, self.next_block, &mut self.block)?;
            self.next_block += 1;
            self.entry = 0;
        }
        Ok(Some(entry_at(&self.block, self.entry)))
    }

    /// Steps over the entry that [`peek`](Self::peek) gave.
    pub fn skip(&mut self) {
        self.entry += 1;
    }
}

/// The entry at `index` of a block.
fn entry_at(block: &Block, index: usize) -> (ChunkId, Entry) {
    let at = index * ENTRY_BYTES;
    let (mut id, mut location) = ([0; 32], [0; 12]);
    id.copy_from_slice(&block[at..at + 32]);
    location.copy_from_slice(&block[at + 32..at + ENTRY_BYTES]);
    let location = Location::decode(&location);
    let entry = if location.length == GONE { Entry::Gone } else { Entry::Here(location) };
    (ChunkId::from_bytes(id), entry)
}

/// The block where `wanted` lies if ids are spread evenly between `low` and `high` (block, prefix).
fn interpolate(wanted: u64, low: (u64, u64), high: (u64, u64)) -> u64 {
    let span = u128::from(high.1.saturating_sub(low.1)).max(1);
    let share = u128::from(wanted.saturating_sub(low.1)) * u128::from(high.0 - low.0) / span;
    let guess = low.0.saturating_add(u64::try_from(share).unwrap_or(u64::MAX));
    guess.clamp(low.0, high.0 - 1)
}

/// The first of `count` indices for which `below` does not hold.
fn partition(count: usize, below: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if below(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// The first eight bytes of an id as a number that sorts as ids do.
pub(super) fn prefix(id: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&id[..8]);
    u64::from_be_bytes(eight)
}

/// The cover in a footer.
fn decode_cover(footer: &[u8; FOOTER_BYTES]) -> Cover {
    let signed = |at: usize| i64::from_le_bytes(u64_at(footer, at).to_le_bytes());
    Cover {
        from: Position { segment: u32_at(footer, 32), offset: u64_at(footer, 40) },
        to: Position { segment: u32_at(footer, 36), offset: u64_at(footer, 48) },
        tally: Tally { chunks: signed(56), bytes: signed(64), drops: u64_at(footer, 72) },
    }
}
