//! Writing an index run, from its first block to its name.
//!
//! Owns nothing that `run.rs` does not describe. A run is written under a name that no reader looks at, synced, and renamed.

use super::disk::{Disk, DiskError};
use super::run::{
    prefix, Block, Cover, Entry, Run, Table, BLOCK_BYTES, BLOCK_ENTRIES, ENTRY_BYTES, FENCE_IDS_MAX,
    FOOTER_BYTES, GONE, INDEX_DIRECTORY, NO_TABLE, RUN_MAGIC,
};
use super::segment::{bytes, checksum, Location, FORMAT};
use super::usage::{Usage, ROW_BYTES};
use crate::base::ids::ChunkId;

/// Writes a run in order, one block in memory.
#[derive(Debug)]
pub struct RunWriter {
    /// The file, under a name that no reader looks at.
    name: String,
    /// The block at hand.
    block: Box<Block>,
    /// Entries in it.
    count: usize,
    /// Entries written before.
    entries: u64,
    /// Blocks written before.
    blocks: u64,
    /// Every how many blocks an id goes into the fence.
    fence_stride: u64,
    /// The fence so far.
    fence: Vec<u8>,
}

impl RunWriter {
    /// Begins the file `name` for at most `entries_max` entries.
    #[must_use]
    pub fn new(name: &str, entries_max: u64) -> Self {
        let blocks = entries_max.div_ceil(bytes(BLOCK_ENTRIES));
        Self {
            name: name.to_owned(),
            block: Box::new([0; BLOCK_BYTES]),
            count: 0,
            entries: 0,
            blocks: 0,
            fence_stride: blocks.div_ceil(FENCE_IDS_MAX).max(1),
            fence: Vec::new(),
        }
    }

    /// Bytes written so far.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.blocks * bytes(BLOCK_BYTES)
    }

    /// Appends an entry; ids ascend strictly.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn push(&mut self, disk: &dyn Disk, id: &ChunkId, entry: &Entry) -> Result<(), DiskError> {
        if self.count == 0 && self.blocks % self.fence_stride == 0 {
            self.fence.extend_from_slice(&id.as_bytes()[..8]);
        }
        let at = self.count * ENTRY_BYTES;
        self.block[at..at + 32].copy_from_slice(id.as_bytes());
        let location = match entry {
            Entry::Here(location) => *location,
            Entry::Gone(first) => {
                let offset = u32::try_from(first.offset).unwrap_or(u32::MAX);
                Location { segment: first.segment, offset, length: GONE }
            }
        };
        self.block[at + 32..at + ENTRY_BYTES].copy_from_slice(&location.encode());
        self.count += 1;
        self.entries += 1;
        if self.count == BLOCK_ENTRIES {
            self.write_block(disk)?;
        }
        Ok(())
    }

    /// Makes what was written so far durable, so that the last sync is short.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&self, disk: &dyn Disk) -> Result<(), DiskError> {
        if self.blocks > 0 {
            disk.sync(&self.name)?;
        }
        Ok(())
    }

    /// Writes the footer, syncs, and gives the file its name. `usage` is what is in use where the run ends, if that is known.
    ///
    /// # Errors
    /// When the disk fails: then no file is left.
    pub fn finish(
        mut self,
        disk: &dyn Disk,
        name: &str,
        cover: Cover,
        usage: Option<&Usage>,
    ) -> Result<Run, DiskError> {
        let run = self.end(disk, name, cover, usage);
        if run.is_err() {
            // On a full disk what is left over would take the room that the next attempt needs.
            let _ = disk.remove(name);
            self.abandon(disk);
        }
        run
    }

    /// See [`finish`](Self::finish).
    fn end(
        &mut self,
        disk: &dyn Disk,
        name: &str,
        cover: Cover,
        usage: Option<&Usage>,
    ) -> Result<Run, DiskError> {
        if self.count > 0 {
            self.write_block(disk)?;
        }
        let fence: Vec<u64> = self.fence.chunks_exact(8).map(prefix).collect();
        let mut footer = [0; FOOTER_BYTES];
        footer[..8].copy_from_slice(&RUN_MAGIC);
        footer[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        let fence_ids = u32::try_from(fence.len()).expect("the stride keeps the fence at 256 ids");
        footer[12..16].copy_from_slice(&fence_ids.to_le_bytes());
        footer[16..24].copy_from_slice(&self.entries.to_le_bytes());
        footer[24..32].copy_from_slice(&self.fence_stride.to_le_bytes());
        encode_cover(&cover, &mut footer);
        let rows = usage.map(Usage::encode).unwrap_or_default();
        let table = usage.map(|usage| Table {
            rows: u32::try_from(rows.len() / ROW_BYTES).expect("segments are numbered by 32 bits"),
            damaged: usage.damaged,
            checksum: checksum(&rows),
        });
        encode_table(table, &mut footer);
        footer[80..88].copy_from_slice(&checksum(&self.fence));
        let sum = checksum(&footer[..88]);
        footer[88..].copy_from_slice(&sum);
        disk.write_parts_at(&self.name, self.blocks * bytes(BLOCK_BYTES), &[&self.fence, &rows, &footer])?;
        disk.sync(&self.name)?;
        disk.rename(&self.name, name)?;
        disk.sync_dir(INDEX_DIRECTORY)?;
        Ok(Run::written(name, cover, self.entries, self.fence_stride, fence, table))
    }

    /// Gives up: removes the file.
    pub fn abandon(self, disk: &dyn Disk) {
        // A file that stays is removed when the store is opened.
        let _ = disk.remove(&self.name);
    }

    /// Writes the block at hand.
    fn write_block(&mut self, disk: &dyn Disk) -> Result<(), DiskError> {
        self.block[self.count * ENTRY_BYTES..].fill(0);
        let sum = checksum(&self.block[..BLOCK_BYTES - 8]);
        self.block[BLOCK_BYTES - 8..].copy_from_slice(&sum);
        disk.write_at(&self.name, self.blocks * bytes(BLOCK_BYTES), &self.block[..])?;
        self.blocks += 1;
        self.count = 0;
        Ok(())
    }
}

/// Length of a run of so many entries and rows, at most.
pub(super) fn run_bytes_max(entries: u64, rows: u64) -> u64 {
    let blocks = entries.div_ceil(bytes(BLOCK_ENTRIES)).saturating_mul(bytes(BLOCK_BYTES));
    let table = rows.saturating_mul(bytes(ROW_BYTES));
    blocks.saturating_add(table).saturating_add(FENCE_IDS_MAX * 8 + bytes(FOOTER_BYTES))
}

/// Writes a cover into a footer.
fn encode_cover(cover: &Cover, footer: &mut [u8; FOOTER_BYTES]) {
    footer[32..36].copy_from_slice(&cover.from.segment.to_le_bytes());
    footer[36..40].copy_from_slice(&cover.to.segment.to_le_bytes());
    footer[40..48].copy_from_slice(&cover.from.offset.to_le_bytes());
    footer[48..56].copy_from_slice(&cover.to.offset.to_le_bytes());
}

/// Writes the place of the table into a footer.
fn encode_table(table: Option<Table>, footer: &mut [u8; FOOTER_BYTES]) {
    footer[56..60].copy_from_slice(&table.map_or(NO_TABLE, |table| table.rows).to_le_bytes());
    if let Some(table) = table {
        footer[64..72].copy_from_slice(&table.damaged.to_le_bytes());
        footer[72..80].copy_from_slice(&table.checksum);
    }
}
