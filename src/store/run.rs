//! One index run: a sorted, immutable file of (chunk id -> where its record is).
//!
//! Owns the encoding and the search; `run_cursor.rs` reads in order. Ids are hashes, so their places in the file can be
//! guessed: two interpolations, then bisection (Perl, Itai, Avni 1978, for why that is O(log log n)). In memory stands a
//! fence of at most 256 ids, two kilobytes, however long the run is. Refuses a block or footer whose checksum does not fit:
//! `index.rs` then throws the run away and builds it anew. Read FORMAT.md, "Index runs".

use super::disk::{Disk, DiskError};
use super::segment::{bytes, checksum, u32_at, u64_at, Location, Position, FORMAT};
use super::usage::{Usage, ROW_BYTES};
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
/// The number of rows that stands for no table.
pub(super) const NO_TABLE: u32 = u32::MAX;
/// Guesses by interpolation before a search bisects.
const GUESSES: u32 = 2;

const _: () = assert!(BLOCK_ENTRIES * ENTRY_BYTES + 8 <= BLOCK_BYTES);

/// What the index knows of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// It is there.
    Here(Location),
    /// It was dropped; what was said before this position does not count.
    Gone(Position),
}

impl Entry {
    /// Where the record is, if it is there.
    #[must_use]
    pub fn location(self) -> Option<Location> {
        match self {
            Self::Here(location) => Some(location),
            Self::Gone(_) => None,
        }
    }

    /// Where in the log that was said first: of two entries the one that was said later counts.
    #[must_use]
    pub fn said_at(self) -> Position {
        match self {
            Self::Here(location) => location.position(),
            Self::Gone(first) => first,
        }
    }

    /// Whether this counts and `other` does not. A drop that could not be written may seem to stand where a chunk does.
    #[must_use]
    pub fn is_newer_than(self, other: Self) -> bool {
        let rank = |entry: Self| (entry.said_at(), matches!(entry, Self::Here(_)));
        rank(self) >= rank(other)
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

/// The range of the log that a run covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cover {
    /// Everything from here ...
    pub from: Position,
    /// ... to here is in the run.
    pub to: Position,
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
    /// Its table of what was in use, where it ends.
    table: Option<Table>,
}

/// Where a run has its table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Table {
    /// Rows.
    pub(super) rows: u32,
    /// Chunks found damaged, ever.
    pub(super) damaged: u64,
    /// Of its bytes.
    pub(super) checksum: [u8; 8],
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
        let table = decode_table(&footer);
        let table_bytes = table.map_or(0, |table| table.length());
        let whole = footer[88..] == checksum(&footer[..88])
            && format == FORMAT
            && u64::from(fence_ids) <= FENCE_IDS_MAX
            && fence_stride > 0
            && u64::from(fence_ids) == blocks.div_ceil(fence_stride)
            && blocks
                .checked_mul(bytes(BLOCK_BYTES))
                .and_then(|end| end.checked_add(fence_bytes + table_bytes))
                == Some(footer_at);
        if !whole {
            return Err(RunError::Damaged);
        }
        let mut fence_read = vec![0; usize::try_from(fence_bytes).map_err(|_| RunError::Damaged)?];
        let read = disk.read_at(name, footer_at - table_bytes - fence_bytes, &mut fence_read)?;
        if read < fence_read.len() || footer[80..88] != checksum(&fence_read) {
            return Err(RunError::Damaged);
        }
        let fence = fence_read.chunks_exact(8).map(prefix).collect();
        Ok(Self { name: name.to_owned(), cover: decode_cover(&footer), entries, fence_stride, fence, table })
    }

    /// A run that was just written.
    pub(super) fn written(
        name: &str,
        cover: Cover,
        entries: u64,
        fence_stride: u64,
        fence: Vec<u64>,
        table: Option<Table>,
    ) -> Self {
        Self { name: name.to_owned(), cover, entries, fence_stride, fence, table }
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

    /// Whether it says what was in use.
    #[must_use]
    pub fn has_table(&self) -> bool {
        self.table.is_some()
    }

    /// What was in use when the log ended where this run does; `None` if the run does not say, or not legibly.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn usage(&self, disk: &dyn Disk) -> Result<Option<Usage>, DiskError> {
        let Some(table) = self.table else { return Ok(None) };
        let at = self.blocks() * bytes(BLOCK_BYTES) + bytes(self.fence.len()) * 8;
        let mut rows = vec![0; usize::try_from(table.length()).unwrap_or(0)];
        let read = disk.read_at(&self.name, at, &mut rows)?;
        let whole = read == rows.len() && table.checksum == checksum(&rows);
        Ok(whole.then(|| Usage::decode(&rows, table.damaged)))
    }

    /// The chunks that a block in the middle says are here.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn sample(&self, disk: &dyn Disk) -> Result<Vec<(ChunkId, Location)>, RunError> {
        let mut block = [0; BLOCK_BYTES];
        let count = if self.entries == 0 { 0 } else { self.block(disk, self.blocks() / 2, &mut block)? };
        let entries = (0..count).map(|index| entry_at(&block, index));
        Ok(entries.filter_map(|(id, entry)| Some((id, entry.location()?))).collect())
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
    pub(super) fn blocks(&self) -> u64 {
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

/// The entry at `index` of a block.
pub(super) fn entry_at(block: &Block, index: usize) -> (ChunkId, Entry) {
    let at = index * ENTRY_BYTES;
    let (mut id, mut location) = ([0; 32], [0; 12]);
    id.copy_from_slice(&block[at..at + 32]);
    location.copy_from_slice(&block[at + 32..at + ENTRY_BYTES]);
    let location = Location::decode(&location);
    let entry =
        if location.length == GONE { Entry::Gone(location.position()) } else { Entry::Here(location) };
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
    Cover {
        from: Position { segment: u32_at(footer, 32), offset: u64_at(footer, 40) },
        to: Position { segment: u32_at(footer, 36), offset: u64_at(footer, 48) },
    }
}

/// The table in a footer, if the run has one.
fn decode_table(footer: &[u8; FOOTER_BYTES]) -> Option<Table> {
    let mut sum = [0; 8];
    sum.copy_from_slice(&footer[72..80]);
    let table = Table { rows: u32_at(footer, 56), damaged: u64_at(footer, 64), checksum: sum };
    (table.rows != NO_TABLE).then_some(table)
}

impl Table {
    /// Its length in the file.
    fn length(self) -> u64 {
        u64::from(self.rows) * bytes(ROW_BYTES)
    }
}
