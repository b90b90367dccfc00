//! Several index runs as one: read in order, and written as a new run.
//!
//! Owns the rule that of equal ids the entry that was said last counts, which is not always that of the newest run: compaction
//! says drops again. A merge is done in small steps, each after a
//! group was synced, so that no request waits for a whole one. Refuses to touch the list of runs: `index.rs` puts the
//! result in place. Read `run.rs` first.

use std::ops::Range;

use super::disk::Disk;
use super::run::{Cover, Entry, Run, RunError};
use super::run_cursor::RunCursor;
use super::run_writer::RunWriter;
use super::segment::Position;
use crate::base::ids::ChunkId;
use crate::base::limits::{GROUP_BYTES_MAX, MERGE_RUNS_MAX, RUNS_PER_TIER, SMALL_RUNS_MAX};

/// A run, by its place in the list that it was taken from, and what is wrong with it.
pub type RunFault = (usize, RunError);

/// Reads runs (oldest first) together, in order of ids, each id once.
#[derive(Debug)]
pub struct Sweep {
    /// One for each run.
    cursors: Vec<RunCursor>,
}

impl Sweep {
    /// Stands before the first id of `runs` that is not below `from`.
    ///
    /// # Errors
    /// Which run failed, and how.
    pub fn new(runs: &[Run], disk: &dyn Disk, from: Option<&ChunkId>) -> Result<Self, RunFault> {
        let mut cursors = Vec::with_capacity(runs.len());
        for (index, run) in runs.iter().enumerate() {
            cursors.push(RunCursor::new(run, disk, from).map_err(|error| (index, error))?);
        }
        Ok(Self { cursors })
    }

    /// The next id, with what was said of it last. `runs` are those it was made with.
    ///
    /// # Errors
    /// Which run failed, and how.
    pub fn step(&mut self, runs: &[Run], disk: &dyn Disk) -> Result<Option<(ChunkId, Entry)>, RunFault> {
        let mut least: Option<(ChunkId, Entry)> = None;
        for (index, (cursor, run)) in self.cursors.iter_mut().zip(runs).enumerate() {
            let Some(next) = cursor.peek(run, disk).map_err(|error| (index, error))? else { continue };
            let counts = |least: (ChunkId, Entry)| {
                next.0 < least.0 || (next.0 == least.0 && next.1.is_newer_than(least.1))
            };
            if least.is_none_or(counts) {
                least = Some(next);
            }
        }
        let Some((id, _)) = least else { return Ok(None) };
        for (index, (cursor, run)) in self.cursors.iter_mut().zip(runs).enumerate() {
            let next = cursor.peek(run, disk).map_err(|error| (index, error))?;
            if next.is_some_and(|next| next.0 == id) {
                cursor.skip();
            }
        }
        Ok(least)
    }
}

/// A merge under way.
#[derive(Debug)]
pub struct Merge {
    /// Which runs of the index it merges.
    runs: Range<usize>,
    /// Reads them.
    sweep: Sweep,
    /// Writes the result.
    writer: RunWriter,
    /// What the result covers.
    cover: Cover,
    /// Bytes written when it last synced.
    synced_bytes: u64,
}

impl Merge {
    /// Begins to merge `range` of `runs` into the file `name`.
    ///
    /// # Errors
    /// Which run failed (its place in `runs`), and how.
    pub fn new(runs: &[Run], range: Range<usize>, disk: &dyn Disk, name: &str) -> Result<Self, RunFault> {
        let chosen = &runs[range.clone()];
        let sweep = Sweep::new(chosen, disk, None).map_err(|(index, error)| (range.start + index, error))?;
        let cover = chosen.iter().map(Run::cover).reduce(|all, next| Cover { from: all.from, to: next.to });
        let empty = Cover { from: Position::START, to: Position::START };
        let writer = RunWriter::new(name, chosen.iter().map(Run::entries).sum());
        Ok(Self { runs: range, sweep, writer, cover: cover.unwrap_or(empty), synced_bytes: 0 })
    }

    /// Which runs of the index it merges.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.runs.clone()
    }

    /// Bytes of the result that are written.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.writer.written_bytes()
    }

    /// Merges at most `steps` entries; `true` when all are.
    ///
    /// # Errors
    /// Which run of the index failed, and how; or, with the place behind the last one, that the result could not be written.
    pub fn advance(&mut self, runs: &[Run], disk: &dyn Disk, steps: usize) -> Result<bool, RunFault> {
        let (first, behind) = (self.runs.start, self.runs.end);
        let chosen = &runs[self.runs.clone()];
        for _ in 0..steps {
            let next = self.sweep.step(chosen, disk).map_err(|(index, error)| (first + index, error))?;
            let Some((id, entry)) = next else { return Ok(true) };
            // Nothing is older than the first run, so there is nothing that "gone" would have to hide.
            if matches!(entry, Entry::Gone(_)) && self.cover.from == Position::START {
                continue;
            }
            self.writer.push(disk, &id, &entry).map_err(|error| (behind, error.into()))?;
        }
        if self.writer.written_bytes() - self.synced_bytes >= GROUP_BYTES_MAX {
            self.writer.sync(disk).map_err(|error| (behind, error.into()))?;
            self.synced_bytes = self.writer.written_bytes();
        }
        Ok(false)
    }

    /// Makes the result durable under `name`. `runs` are those it was made with.
    ///
    /// # Errors
    /// When the disk fails; the merged runs are still there.
    pub fn finish(self, runs: &[Run], disk: &dyn Disk, name: &str) -> Result<Run, RunError> {
        let last = runs.get(self.runs.end - 1);
        let usage = last.map(|last| last.usage(disk)).transpose()?.flatten();
        Ok(self.writer.finish(disk, name, self.cover, usage.as_ref())?)
    }

    /// Gives up.
    pub fn abandon(self, disk: &dyn Disk) {
        self.writer.abandon(disk);
    }
}

/// Which runs to merge next: at least [`RUNS_PER_TIER`] of one size that stand together, with smaller ones among them. `unit` is the size of
/// the smallest; below it are those that a clean end or a long stretch of the log made: they wait until there are [`SMALL_RUNS_MAX`], or
/// until they make one of that size, for else each would be written again many times.
#[must_use]
pub fn choose(sizes: &[u64], unit: u64) -> Option<Range<usize>> {
    let base = u64::try_from(RUNS_PER_TIER).ok()?;
    let tiers: Vec<u32> =
        sizes.iter().map(|size| (size / unit.max(1)).checked_ilog(base).map_or(0, |tier| tier + 1)).collect();
    let highest = tiers.iter().copied().max()?;
    for tier in 0..=highest {
        let mut start = 0;
        for stretch in tiers.split(|other| *other > tier) {
            let end = start + stretch.len();
            let is_enough = if tier == 0 {
                let sum: u64 = sizes[start..end].iter().sum();
                stretch.len() >= SMALL_RUNS_MAX || stretch.len() > 1 && sum >= unit
            } else {
                stretch.iter().filter(|other| **other == tier).count() >= RUNS_PER_TIER
            };
            if is_enough {
                return Some(start..end.min(start + MERGE_RUNS_MAX));
            }
            start = end + 1;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_size_that_stand_together_are_merged() {
        assert_eq!(choose(&[], 10), None);
        assert_eq!(choose(&[10, 10, 10], 10), None);
        assert_eq!(choose(&[10, 10, 10, 10], 10), Some(0..4));
        assert_eq!(choose(&[200, 50, 50, 10, 10, 10, 10], 10), Some(3..7));
        assert_eq!(
            choose(&[200, 40, 40, 1, 40, 40, 10], 10),
            Some(1..7),
            "a small run among larger ones goes along"
        );
        assert_eq!(choose(&[200, 40, 40, 10, 10], 10), None);
    }

    #[test]
    fn small_runs_wait_until_they_make_a_full_one_or_are_too_many() {
        assert_eq!(choose(&[10, 10, 10, 2, 2, 2, 2], 10), None);
        assert_eq!(choose(&[10, 10, 10, 2, 2, 2, 2, 2], 10), Some(3..8));
        assert_eq!(choose(&[10, 9], 10), None);
        assert_eq!(choose(&[10, 9, 1], 10), Some(1..3));
        assert_eq!(choose(&[0; 7], 10), None);
        assert_eq!(choose(&[0; 8], 10), Some(0..8));
        assert_eq!(choose(&[1; 40], 1_000), Some(0..MERGE_RUNS_MAX));
    }

    #[test]
    fn the_number_of_runs_grows_with_the_logarithm() {
        let mut sizes: Vec<u64> = Vec::new();
        let mut written = 0;
        for _ in 0..1_000 {
            sizes.push(1);
            written += 1;
            while let Some(range) = choose(&sizes, 1) {
                let sum: u64 = sizes[range.clone()].iter().sum();
                written += sum;
                sizes.splice(range, [sum]);
            }
            assert!(sizes.len() <= 15, "{sizes:?}");
        }
        assert!(written <= 6 * 1_000, "{written}");
    }
}
