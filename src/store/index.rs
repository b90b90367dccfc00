//! Where each chunk's record is: sorted runs on disk, and a small map of what is newer.
//!
//! Owns the order of truth: what was said last of an id counts; the map is asked first, then runs from the newest to the oldest, until what is
//! found was said later than all that older ones cover. The index is nothing but the log, sorted: each run states the range of the log that it covers, and what no good run
//! covers is read from the segments again. Refuses to hold more in memory than the map and a fence for each run.
//! Read `run.rs` and `merge.rs` first; `log.rs` for positions; `index_build.rs` for how it is built, `index_merge.rs` for how it is kept short.

use std::sync::Arc;

use super::delta::{Change, Delta};
use super::disk::Disk;
use super::error::StoreError;
use super::log::Log;
use super::merge::{Merge, RunFault, Sweep};
use super::request::StoreOptions;
use super::run::{Cover, Entry, Run, INDEX_DIRECTORY};
use super::run_writer::RunWriter;
use super::runs::IndexReport;
use super::segment::{bytes, Location, Position};
use super::tallies::Tallies;
use super::usage::Usage;
use crate::base::ids::ChunkId;
use crate::base::ranges::GroupTallies;

/// The index of one log.
#[derive(Debug)]
pub struct Index {
    /// Where the runs are.
    pub(super) disk: Arc<dyn Disk>,
    /// How much the map holds before it becomes a run, and what is kept free.
    pub(super) options: StoreOptions,
    /// Oldest first; each covers what follows the one before.
    pub(super) runs: Vec<Run>,
    /// What is newer than the runs.
    pub(super) delta: Delta,
    /// The number of the next run.
    pub(super) next_number: u64,
    /// What is in use of each segment, by all facts taken in.
    pub(super) usage: Usage,
    /// A merge under way.
    pub(super) merge: Option<Merge>,
    /// Bytes that the next merge waits for.
    pub(super) merge_wants_bytes: u64,
    /// What all ids add up to, if somebody has asked.
    pub(super) tallies: Option<Tallies>,
}

impl Index {
    /// Knows nothing yet.
    pub(super) fn empty(disk: Arc<dyn Disk>, options: StoreOptions, next_number: u64) -> Self {
        Self {
            disk,
            options,
            runs: Vec::new(),
            delta: Delta::new(Position::START),
            usage: Usage::default(),
            next_number,
            merge: None,
            merge_wants_bytes: 0,
            tallies: None,
        }
    }

    /// Where the record of a chunk is, if it is here. Damaged runs are built anew on the way and counted in `report`; while there is no room for
    /// that the log is read instead, which takes long. A run that was built anew may lack a drop that went with its segment: what is said to be in a
    /// segment that was removed is gone as well.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn find(
        &mut self,
        log: &Log,
        id: &ChunkId,
        report: &mut IndexReport,
    ) -> Result<Option<Location>, StoreError> {
        let entry = loop {
            let fault = match self.find_once(id) {
                Ok(entry) => break entry,
                Err(fault) => fault,
            };
            match self.repair(log, fault, report) {
                Ok(()) => {}
                Err(StoreError::Full { .. }) => break self.find_without_room(log, id)?,
                Err(error) => return Err(error),
            }
        };
        Ok(entry.and_then(Entry::location).filter(|location| !log.removed.contains(location.segment)))
    }

    /// The chunks with ids after `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn page(
        &mut self,
        log: &Log,
        after: Option<&ChunkId>,
        limit: usize,
        report: &mut IndexReport,
    ) -> Result<Vec<(ChunkId, Location)>, StoreError> {
        loop {
            match self.page_once(log, after, limit) {
                Ok(page) => return Ok(page),
                Err(fault) => self.repair(log, fault, report)?,
            }
        }
    }

    /// What all ids add up to, by placement group; None while that is still being counted, `limit` ids more each time.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn tally(
        &mut self,
        log: &Log,
        limit: usize,
        report: &mut IndexReport,
    ) -> Result<Option<GroupTallies>, StoreError> {
        let after = self.tallies.get_or_insert_default().after().copied();
        if self.tallies.as_ref().is_some_and(|tallies| tallies.whole().is_none()) {
            let page = self.page(log, after.as_ref(), limit, report)?;
            let more = page.len() >= limit;
            let tallies = self.tallies.get_or_insert_default();
            tallies.count(page.into_iter().map(|(id, _)| id), more);
        }
        Ok(self.tallies.as_ref().and_then(Tallies::whole).cloned())
    }

    /// Takes in one fact of the log; gives what the map said before, for [`undo`](Self::undo).
    pub fn apply(&mut self, id: ChunkId, change: Change) -> Option<Entry> {
        self.usage.apply(change);
        if let Some(tallies) = &mut self.tallies {
            tallies.apply(&id, change);
        }
        self.delta.apply(id, change)
    }

    /// Takes back the latest fact about `id`, which was `change`: it did not reach the disk.
    pub fn undo(&mut self, id: ChunkId, change: Change, before: Option<Entry>) {
        self.usage.undo(change);
        self.tallies = None;
        match before {
            Some(entry) => self.delta.entries.insert(id, entry),
            None => self.delta.entries.remove(&id),
        };
    }

    /// Whether the map holds as much as it may: time to sync.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_run(&self.delta)
    }

    /// Whether so much of the log is a run.
    pub(super) fn is_run(&self, part: &Delta) -> bool {
        part.entries.len() >= self.options.delta_entries_max
            || part.log_bytes >= self.options.delta_log_bytes_max
    }

    /// Whether the map holds more than it should because runs cannot be written: nothing more may be taken in.
    #[must_use]
    pub fn is_overfull(&self) -> bool {
        self.delta.entries.len() >= self.options.delta_entries_max * OVERFULL
    }

    /// To be called after every group sync, when all facts taken in are durable: writes a run if the map is full, and goes
    /// on with merging for `steps` entries. What cannot be written now is tried again next time.
    ///
    /// # Errors
    /// When the disk fails: nothing is lost, but the map stays as full as it is.
    pub fn settle(&mut self, log: &Log, steps: usize, report: &mut IndexReport) -> Result<(), StoreError> {
        if self.is_full() {
            self.write_map(log)?;
        }
        self.go_on_merging(log, steps, report)
    }

    /// Makes the map a run now, so that runs cover all of the log up to where it was synced last. Everything taken in must be durable.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    pub fn write_map(&mut self, log: &Log) -> Result<(), StoreError> {
        if self.delta.from < log.synced() {
            let delta = std::mem::replace(&mut self.delta, Delta::new(log.synced()));
            let usage = std::mem::take(&mut self.usage);
            let written = self.write_run(&delta, log.synced(), Some(&usage));
            self.usage = usage;
            match written {
                Ok(run) => self.runs.push(run),
                Err(error) => {
                    self.delta = delta;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Writes a run of what the map holds, so that the next open need not read it from the segments. Everything is durable.
    ///
    /// # Errors
    /// When the disk fails: the next open has more to read, no more.
    pub fn close(mut self, log: &Log) -> Result<(), StoreError> {
        if self.delta.entries.is_empty() {
            return Ok(());
        }
        self.write_map(log)
    }

    /// Where the part of the log begins that no run covers.
    #[must_use]
    pub fn covered(&self) -> Position {
        self.delta.from
    }

    /// What is in use of each segment.
    #[must_use]
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// The same, to be put right by one who read a segment.
    pub fn usage_mut(&mut self) -> &mut Usage {
        &mut self.usage
    }

    /// Number of runs.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// What was said of `id` last.
    pub(super) fn find_once(&self, id: &ChunkId) -> Result<Option<Entry>, RunFault> {
        find_in(&*self.disk, &self.runs, &self.delta, id)
    }

    /// See [`page`](Self::page).
    pub(super) fn page_once(
        &self,
        log: &Log,
        after: Option<&ChunkId>,
        limit: usize,
    ) -> Result<Vec<(ChunkId, Location)>, RunFault> {
        use std::ops::Bound::{Excluded, Unbounded};
        let mut newer = self
            .delta
            .entries
            .range((after.map_or(Unbounded, |after| Excluded(*after)), Unbounded))
            .peekable();
        let mut sweep = Sweep::new(&self.runs, &*self.disk, after)?;
        let mut older = sweep.step(&self.runs, &*self.disk)?;
        if older.is_some_and(|(id, _)| Some(&id) == after) {
            older = sweep.step(&self.runs, &*self.disk)?;
        }
        let mut page = Vec::new();
        while page.len() < limit {
            let (id, entry) = match (newer.peek(), older) {
                (None, None) => break,
                (Some((id, entry)), Some((old, said)))
                    if **id < old || **id == old && entry.is_newer_than(said) =>
                {
                    (**id, **entry)
                }
                (Some((id, entry)), None) => (**id, **entry),
                (_, Some(old)) => old,
            };
            if newer.peek().is_some_and(|(newest, _)| **newest == id) {
                newer.next();
            }
            if older.is_some_and(|(old, _)| old == id) {
                older = sweep.step(&self.runs, &*self.disk)?;
            }
            if let Some(location) = entry.location().filter(|at| !log.removed.contains(at.segment)) {
                page.push((id, location));
            }
        }
        Ok(page)
    }

    /// Writes a part of the log that ends at `to` as a run, with what is in use there.
    pub(super) fn write_run(
        &mut self,
        delta: &Delta,
        to: Position,
        usage: Option<&Usage>,
    ) -> Result<Run, StoreError> {
        let aside = self.next_name("tmp");
        let name = self.next_name("run");
        let mut writer = RunWriter::new(&aside, bytes(delta.entries.len()));
        for (id, entry) in &delta.entries {
            if let Err(error) = writer.push(&*self.disk, id, entry) {
                writer.abandon(&*self.disk);
                return Err(error.into());
            }
        }
        let cover = Cover { from: delta.from, to };
        Ok(writer.finish(&*self.disk, &name, cover, usage)?)
    }

    /// A name that was never used.
    pub(super) fn next_name(&mut self, ending: &str) -> String {
        self.next_number += 1;
        format!("{INDEX_DIRECTORY}/{:016x}.{ending}", self.next_number)
    }

    /// Removes the file of a run that is not needed any more.
    pub(super) fn remove(&self, run: &Run) {
        // If it stays, the next open finds its range covered by another and removes it.
        let _ = self.disk.remove(run.name());
    }
}

/// What was said of `id` last, in these parts.
pub(super) fn find_in(
    disk: &dyn Disk,
    runs: &[Run],
    delta: &Delta,
    id: &ChunkId,
) -> Result<Option<Entry>, RunFault> {
    let mut last = delta.entries.get(id).copied();
    let mut covered_from = delta.from;
    for (place, run) in runs.iter().enumerate().rev() {
        // Older parts cover only what comes before; but a drop that compaction said again was said long before.
        if last.is_some_and(|last| last.said_at() >= covered_from) {
            break;
        }
        if let Some(found) = run.find(disk, id).map_err(|error| (place, error))? {
            if last.is_none_or(|last| found.is_newer_than(last)) {
                last = Some(found);
            }
        }
        covered_from = run.cover().from;
    }
    Ok(last)
}

/// How much fuller than usual the map may become while a full disk is opened.
pub(super) const OVERFULL: usize = 4;
