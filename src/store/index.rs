//! Where each chunk's record is: sorted runs on disk, and a small map of what is newer.
//!
//! Owns the order of truth: the map, then runs from the newest to the oldest; the first that knows an id decides. The
//! index is nothing but the log, sorted: each run states the range of the log that it covers, and what no good run
//! covers is read from the segments again. Refuses to hold more in memory than the map and a fence for each run.
//! Read `run.rs` and `merge.rs` first; `log.rs` for positions.

use std::sync::Arc;

use super::delta::{Change, Delta};
use super::disk::{Disk, DiskErrorKind};
use super::error::StoreError;
use super::log::{replay, Log};
use super::merge::{choose, Merge, RunFault, Sweep};
use super::run::{Cover, Entry, Run, RunError, Tally, INDEX_DIRECTORY};
use super::run_writer::RunWriter;
use super::runs::{open_runs, run_error, IndexReport};
use super::segment::{bytes, Location, Position};
use super::walk::Found;
use crate::base::ids::ChunkId;

/// The index of one log.
#[derive(Debug)]
pub struct Index {
    /// Where the runs are.
    disk: Arc<dyn Disk>,
    /// Entries of the map before they become a run.
    delta_max: usize,
    /// Oldest first; each covers what follows the one before.
    runs: Vec<Run>,
    /// What is newer than the runs.
    delta: Delta,
    /// The number of the next run.
    next_number: u64,
    /// A merge under way.
    merge: Option<Merge>,
}

impl Index {
    /// Opens the index of `log`: reads the footers of its runs, and the log itself from where they end.
    ///
    /// # Errors
    /// When the disk fails, or a newer format is found.
    pub fn open(disk: Arc<dyn Disk>, log: &Log, delta_max: usize) -> Result<(Self, IndexReport), StoreError> {
        if !disk.exists(INDEX_DIRECTORY)? {
            disk.create_dir(INDEX_DIRECTORY)?;
            disk.sync_dir("")?;
        }
        let mut report = IndexReport::default();
        let (found, next_number) = open_runs(&*disk, log, &mut report)?;
        let mut index = Self {
            disk,
            delta_max,
            runs: Vec::new(),
            delta: Delta::new(Position::START),
            next_number,
            merge: None,
        };
        let mut covered = Position::START;
        for run in found {
            let cover = run.cover();
            if cover.from < covered {
                // Left over from a merge whose result is there, or overlapping for no good reason.
                report.runs_discarded += u64::from(cover.to > covered);
                index.remove(&run);
                continue;
            }
            if cover.from > covered {
                index.rebuild(log, covered, cover.from, &mut report)?;
            }
            covered = cover.to;
            index.runs.push(run);
        }
        index.delta = Delta::new(covered);
        let rest = index.read_log(log, covered, log.synced(), &mut report)?;
        index.delta = rest;
        Ok((index, report))
    }

    /// Where the record of a chunk is, if it is here. Damaged runs are built anew on the way and counted in `report`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn find(
        &mut self,
        log: &Log,
        id: &ChunkId,
        report: &mut IndexReport,
    ) -> Result<Option<Location>, StoreError> {
        loop {
            match self.find_once(id) {
                Ok(entry) => return Ok(entry.and_then(Entry::location)),
                Err(fault) => self.repair(log, fault, report)?,
            }
        }
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
            match self.page_once(after, limit) {
                Ok(page) => return Ok(page),
                Err(fault) => self.repair(log, fault, report)?,
            }
        }
    }

    /// Takes in one fact of the log; gives what the map said before, for [`undo`](Self::undo).
    pub fn apply(&mut self, id: ChunkId, change: Change) -> Option<Entry> {
        self.delta.apply(id, change)
    }

    /// Takes back the latest fact about `id`, which was `change`: it did not reach the disk.
    pub fn undo(&mut self, id: ChunkId, change: Change, before: Option<Entry>) {
        self.delta.tally = self.delta.tally.minus(change.tally());
        match before {
            Some(entry) => self.delta.entries.insert(id, entry),
            None => self.delta.entries.remove(&id),
        };
    }

    /// Whether the map holds as much as it may: time to sync.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.delta.entries.len() >= self.delta_max
    }

    /// Whether the map holds more than it should because runs cannot be written: nothing more may be taken in.
    #[must_use]
    pub fn is_overfull(&self) -> bool {
        self.delta.entries.len() >= self.delta_max * OVERFULL
    }

    /// To be called after every group sync, when all facts taken in are durable: writes a run if the map is full, and goes
    /// on with merging for `steps` entries. What cannot be written now is tried again next time.
    ///
    /// # Errors
    /// When the disk fails: nothing is lost, but the map stays as full as it is.
    pub fn settle(&mut self, log: &Log, steps: usize, report: &mut IndexReport) -> Result<(), StoreError> {
        if self.is_full() {
            self.keep_delta(log)?;
        }
        self.go_on_merging(log, steps, report)
    }

    /// Writes a run of what the map holds, so that the next open need not read it from the segments. Everything is durable.
    ///
    /// # Errors
    /// When the disk fails: the next open has more to read, no more.
    pub fn close(mut self, log: &Log) -> Result<(), StoreError> {
        if self.delta.entries.is_empty() {
            return Ok(());
        }
        self.keep_delta(log)
    }

    /// What all of the log adds up to.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.runs.iter().fold(self.delta.tally, |sum, run| sum.plus(run.cover().tally))
    }

    /// Number of runs.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.runs.len()
    }

    /// Makes a run of the map, which then begins anew; or leaves it as it is.
    fn keep_delta(&mut self, log: &Log) -> Result<(), StoreError> {
        let delta = std::mem::replace(&mut self.delta, Delta::new(log.synced()));
        match self.write_run(&delta, log.synced()) {
            Ok(run) => self.runs.push(run),
            Err(error) => {
                self.delta = delta;
                return Err(error);
            }
        }
        Ok(())
    }

    /// What the newest part that knows `id` says.
    fn find_once(&self, id: &ChunkId) -> Result<Option<Entry>, RunFault> {
        if let Some(entry) = self.delta.entries.get(id) {
            return Ok(Some(*entry));
        }
        for (place, run) in self.runs.iter().enumerate().rev() {
            let found = run.find(&*self.disk, id).map_err(|error| (place, error))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// See [`page`](Self::page).
    fn page_once(&self, after: Option<&ChunkId>, limit: usize) -> Result<Vec<(ChunkId, Location)>, RunFault> {
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
                (Some((id, entry)), Some((old, _))) if **id <= old => (**id, **entry),
                (Some((id, entry)), None) => (**id, **entry),
                (_, Some(old)) => old,
            };
            if newer.peek().is_some_and(|(newest, _)| **newest == id) {
                newer.next();
            }
            if older.is_some_and(|(old, _)| old == id) {
                older = sweep.step(&self.runs, &*self.disk)?;
            }
            if let Some(location) = entry.location() {
                page.push((id, location));
            }
        }
        Ok(page)
    }

    /// Goes on with the merge under way, or begins one.
    fn go_on_merging(&mut self, log: &Log, steps: usize, report: &mut IndexReport) -> Result<(), StoreError> {
        let merge = match self.merge.take() {
            Some(merge) => Ok(merge),
            None => {
                let sizes: Vec<u64> = self.runs.iter().map(Run::entries).collect();
                let Some(range) = choose(&sizes, bytes(self.delta_max)) else { return Ok(()) };
                let name = self.next_name("tmp");
                Merge::new(&self.runs, range, &*self.disk, &name)
            }
        };
        let mut merge = match merge {
            Ok(merge) => merge,
            Err(fault) => return self.repair(log, fault, report),
        };
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

    /// Puts the result of a merge in the place of what it merged.
    fn finish_merge(&mut self, merge: Merge) -> Result<(), StoreError> {
        let range = merge.range();
        let name = self.next_name("run");
        let run = merge.finish(&*self.disk, &name).map_err(|error| run_error(&name, error))?;
        for old in self.runs.splice(range, [run]).collect::<Vec<_>>() {
            self.remove(&old);
        }
        Ok(())
    }

    /// Throws a damaged run away and builds it anew from the log.
    fn repair(&mut self, log: &Log, fault: RunFault, report: &mut IndexReport) -> Result<(), StoreError> {
        let (place, error) = fault;
        let Some(run) = self.runs.get(place) else { return Err(run_error(INDEX_DIRECTORY, error)) };
        match error {
            RunError::NewerFormat(_) => return Err(run_error(run.name(), error)),
            RunError::Disk(error) if !matches!(error.kind, DiskErrorKind::Io | DiskErrorKind::NotFound) => {
                return Err(error.into());
            }
            RunError::Disk(_) | RunError::Damaged => {}
        }
        if let Some(merge) = self.merge.take() {
            merge.abandon(&*self.disk);
        }
        report.runs_discarded += 1;
        let later = self.runs.split_off(place + 1);
        let bad = self.runs.pop();
        let Some(bad) = bad else { return Ok(()) };
        let built = self.rebuild(log, bad.cover().from, bad.cover().to, report);
        if built.is_ok() {
            self.remove(&bad);
        } else {
            // Keep what there is: wrong answers are noticed each time, missing ones would not be.
            self.runs.truncate(place);
            self.runs.push(bad);
        }
        self.runs.extend(later);
        built
    }

    /// Reads a range of the log and appends runs of it to the list.
    fn rebuild(
        &mut self,
        log: &Log,
        from: Position,
        to: Position,
        report: &mut IndexReport,
    ) -> Result<(), StoreError> {
        let rest = self.read_log(log, from, to, report)?;
        // Even without entries: the range counts as covered from now on.
        let run = self.write_run(&rest, to)?;
        self.runs.push(run);
        Ok(())
    }

    /// Reads a range of the log; appends a run to the list whenever the map is full, and gives the rest.
    fn read_log(
        &mut self,
        log: &Log,
        from: Position,
        to: Position,
        report: &mut IndexReport,
    ) -> Result<Delta, StoreError> {
        let disk = Arc::clone(&self.disk);
        let mut delta = Delta::new(from);
        replay(&*disk, log.segments(), from, to, &mut |found, after| {
            match found {
                Found::Chunk(id, location) => {
                    delta.apply(id, Change::Put(location));
                    report.replayed += 1;
                }
                Found::Drop(id, location, damaged) => {
                    delta.apply(id, if damaged { Change::Rot(location) } else { Change::Drop(location) });
                    report.replayed += 1;
                }
                Found::Mark(_) => {}
                Found::Gap(gap) => report.rotten(gap.to - gap.from),
            }
            if delta.entries.len() >= self.delta_max {
                match self.write_run(&delta, after) {
                    Ok(run) => self.runs.push(run),
                    // A full disk must not keep the store from being opened and read.
                    Err(StoreError::Full { .. }) if delta.entries.len() < self.delta_max * OVERFULL => {
                        return Ok(())
                    }
                    Err(error) => return Err(error),
                }
                delta = Delta::new(after);
            }
            Ok(())
        })?;
        Ok(delta)
    }

    /// Writes a part of the log that ends at `to` as a run.
    fn write_run(&mut self, delta: &Delta, to: Position) -> Result<Run, StoreError> {
        let aside = self.next_name("tmp");
        let name = self.next_name("run");
        let mut writer = RunWriter::new(&aside, bytes(delta.entries.len()));
        for (id, entry) in &delta.entries {
            if let Err(error) = writer.push(&*self.disk, id, entry) {
                writer.abandon(&*self.disk);
                return Err(error.into());
            }
        }
        let cover = Cover { from: delta.from, to, tally: delta.tally };
        Ok(writer.finish(&*self.disk, &name, cover)?)
    }

    /// A name that was never used.
    fn next_name(&mut self, ending: &str) -> String {
        self.next_number += 1;
        format!("{INDEX_DIRECTORY}/{:016x}.{ending}", self.next_number)
    }

    /// Removes the file of a run that is not needed any more.
    fn remove(&self, run: &Run) {
        // If it stays, the next open finds its range covered by another and removes it.
        let _ = self.disk.remove(run.name());
    }
}

/// How much fuller than usual the map may become while a full disk is opened.
const OVERFULL: usize = 4;
