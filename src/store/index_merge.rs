//! Merging the runs of the index, as long as there is room for it.
//!
//! Owns when a merge is put off: its result stands beside what it merges until it is durable, which for a large store is more than the reserve.
//! It begins, and goes on, only where half of the reserve stays free for what gives room back: drops, and the copies of compaction. While
//! it waits the index is right and longer. Read `merge.rs` for the merge itself, and `index.rs` first.

use std::ops::Range;

use super::error::StoreError;
use super::index::Index;
use super::log::Log;
use super::merge::{choose, Merge};
use super::run::Run;
use super::run_writer::run_bytes_max;
use super::runs::{run_error, IndexReport};
use super::segment::bytes;
use crate::base::limits::RESERVE_BYTES_PER_CHUNK;

impl Index {
    /// Free bytes that puts leave alone: more with more chunks, for it takes room to say that they are gone.
    #[must_use]
    pub fn reserve_bytes(&self) -> u64 {
        match self.options.reserve_bytes {
            0 => 0,
            fixed => {
                let (chunks, _) = self.usage.sum();
                fixed.saturating_add(chunks.saturating_mul(RESERVE_BYTES_PER_CHUNK))
            }
        }
    }

    /// Bytes that a merge needs beside half of the reserve, if it waits for them; else 0.
    #[must_use]
    pub fn merge_wants_bytes(&self) -> u64 {
        self.merge_wants_bytes
    }

    /// Goes on with the merge under way, or begins one, if there is room.
    pub(super) fn go_on_merging(
        &mut self,
        log: &Log,
        steps: usize,
        report: &mut IndexReport,
    ) -> Result<(), StoreError> {
        let Some(mut merge) = self.merge_with_room(log, report)? else { return Ok(()) };
        match merge.advance(&self.runs, &*self.disk, steps) {
            Ok(false) => {
                self.merge = Some(merge);
                Ok(())
            }
            Ok(true) => self.finish_merge(merge),
            Err((place, error)) => {
                let range = merge.range();
                merge.abandon(&*self.disk);
                if place < range.end {
                    return self.repair(log, (place, error), report);
                }
                Err(run_error(&self.next_name("tmp"), error))
            }
        }
    }

    /// The merge under way, or one that is begun; None if there is nothing to merge, or no room.
    fn merge_with_room(&mut self, log: &Log, report: &mut IndexReport) -> Result<Option<Merge>, StoreError> {
        if let Some(merge) = self.merge.take() {
            let left = self.bytes_of(merge.range()).saturating_sub(merge.written_bytes());
            return match self.has_room(left) {
                Ok(true) => Ok(Some(merge)),
                other => {
                    merge.abandon(&*self.disk);
                    other.map(|_| None)
                }
            };
        }
        let sizes: Vec<u64> = self.runs.iter().map(Run::entries).collect();
        let Some(range) = choose(&sizes, bytes(self.options.delta_entries_max)) else {
            self.merge_wants_bytes = 0;
            return Ok(None);
        };
        if !self.has_room(self.bytes_of(range.clone()))? {
            return Ok(None);
        }
        let name = self.next_name("tmp");
        match Merge::new(&self.runs, range, &*self.disk, &name) {
            Ok(merge) => Ok(Some(merge)),
            Err(fault) => self.repair(log, fault, report).map(|()| None),
        }
    }

    /// Whether a merge may write so much now. If not, that is said once.
    fn has_room(&mut self, wanted: u64) -> Result<bool, StoreError> {
        let kept = self.reserve_bytes() / 2;
        let free = self.disk.free_bytes()?;
        if free >= wanted.saturating_add(kept) {
            self.merge_wants_bytes = 0;
            return Ok(true);
        }
        if self.merge_wants_bytes == 0 {
            log::warn!(
                "the chunk index is not put in order for lack of space: {} MiB are free, {} MiB are needed; until then \
                 look-ups take longer, and nothing else; free some space on this disk",
                free >> 20,
                wanted.saturating_add(kept) >> 20
            );
        }
        self.merge_wants_bytes = wanted;
        Ok(false)
    }

    /// What a run of all that is in these would take, at most.
    fn bytes_of(&self, range: Range<usize>) -> u64 {
        let entries = self.runs.get(range).unwrap_or_default().iter().map(Run::entries).sum();
        run_bytes_max(entries, self.usage.rows())
    }

    /// Puts the result of a merge in the place of what it merged.
    fn finish_merge(&mut self, merge: Merge) -> Result<(), StoreError> {
        let range = merge.range();
        let name = self.next_name("run");
        let run = merge.finish(&self.runs, &*self.disk, &name).map_err(|error| run_error(&name, error))?;
        for old in self.runs.splice(range, [run]).collect::<Vec<_>>() {
            self.remove(&old);
        }
        Ok(())
    }
}
