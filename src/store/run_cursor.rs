//! Reading an index run in order of its ids.
//!
//! Owns nothing but a block in memory. Read `run.rs` first.

use super::disk::Disk;
use super::run::{entry_at, Block, Entry, Run, RunError, BLOCK_BYTES};
use crate::base::ids::ChunkId;

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
