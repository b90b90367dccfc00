//! Building the index: from the runs that are there, and from the log where they lack.
//!
//! Owns what becomes of a damaged run: its range is read from the segments again. What is in use of each segment is taken from the newest
//! run and followed from there; where anything was not as it should be it is counted anew, in one pass over the index.
//! Refuses to throw anything away before it is replaced. Read `index.rs` first.

use std::sync::Arc;

use super::delta::{Change, Delta};
use super::disk::{Disk, DiskErrorKind};
use super::error::StoreError;
use super::index::{find_in, Index, OVERFULL};
use super::log::{replay, Log};
use super::merge::RunFault;
use super::request::StoreOptions;
use super::run::{Cover, Entry, Run, RunError, INDEX_DIRECTORY};
use super::runs::{open_runs, run_error, IndexReport};
use super::segment::{Location, Position};
use super::usage::Usage;
use super::walk::{Dropped, Found};
use crate::base::ids::ChunkId;
use crate::base::limits::PAGE_IDS_MAX;

impl Index {
    /// Opens the index of `log`: reads the footers of its runs, and the log itself from where they end.
    ///
    /// # Errors
    /// When the disk fails, or a newer format is found.
    pub fn open(
        disk: Arc<dyn Disk>,
        log: &Log,
        options: StoreOptions,
    ) -> Result<(Self, IndexReport), StoreError> {
        if !disk.exists(INDEX_DIRECTORY)? {
            disk.create_dir(INDEX_DIRECTORY)?;
            disk.sync_dir("")?;
        }
        let mut report = IndexReport::default();
        let (found, next_number) = open_runs(&*disk, log, &mut report)?;
        let mut index = Self::empty(disk, options, next_number);
        let mut covered = Position::START;
        let mut found = found.into_iter();
        while let Some(run) = found.next() {
            let cover = run.cover();
            if cover.from < covered {
                // Left over from a merge whose result is there, or overlapping for no good reason.
                report.runs_discarded += u64::from(cover.to > covered);
                index.remove(&run);
                continue;
            }
            if cover.from > covered {
                match index.rebuild(log, covered, cover.from, &mut report) {
                    Err(StoreError::Full { .. }) => {
                        // What comes later makes room for what lacks, and is read from the log as well: as far as memory goes, that needs none.
                        covered = index.runs.last().map_or(Position::START, |last| last.cover().to);
                        for later in std::iter::once(run).chain(found) {
                            report.runs_discarded += 1;
                            index.remove(&later);
                        }
                        break;
                    }
                    rebuilt => rebuilt?,
                }
            }
            covered = cover.to;
            index.runs.push(run);
        }
        // Segments are removed only when a run covers them: else there are facts that nobody can tell any more.
        let mut is_known =
            report == IndexReport::default() && log.removed.last().is_none_or(|last| last < covered.segment);
        match index.runs.last().map(|last| last.usage(&*index.disk)).transpose()? {
            None => {}
            Some(Some(usage)) => index.usage = usage,
            Some(None) => is_known = false,
        }
        index.usage.retain(log.segments());
        let before = report;
        index.delta = index.read_log(log, covered, log.synced(), true, &mut report)?;
        is_known &= report.rotten_places == before.rotten_places;
        if !is_known {
            index.count_anew(log, &mut report)?;
        }
        Ok((index, report))
    }

    /// Counts from the index itself what is in use of each segment; which drops are needed is not known then.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn count_anew(&mut self, log: &Log, report: &mut IndexReport) -> Result<(), StoreError> {
        let mut usage = Usage::empty(self.usage.damaged);
        let mut after: Option<ChunkId> = None;
        loop {
            let page = self.page(log, after.as_ref(), PAGE_IDS_MAX, report)?;
            for (_, location) in &page {
                usage.add(*location);
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE_IDS_MAX => after = Some(*last),
                _ => break,
            }
        }
        self.usage = usage;
        Ok(())
    }

    /// Reads the footers, fences and tables of all runs again. What is damaged is built anew.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn check_footers(&mut self, log: &Log, report: &mut IndexReport) -> Result<(), StoreError> {
        let mut place = 0;
        while let Some(run) = self.runs.get(place) {
            let fault = match Run::open(&*self.disk, run.name()) {
                Ok(read) if read.has_table() && read.usage(&*self.disk)?.is_none() => RunError::Damaged,
                Ok(_) => {
                    place += 1;
                    continue;
                }
                Err(error) => error,
            };
            self.repair(log, (place, fault), report)?;
        }
        Ok(())
    }

    /// Throws a damaged run away and builds it anew from the log.
    pub(super) fn repair(
        &mut self,
        log: &Log,
        fault: RunFault,
        report: &mut IndexReport,
    ) -> Result<(), StoreError> {
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
        let mut built = self.rebuild(log, bad.cover().from, bad.cover().to, report);
        if matches!(built, Err(StoreError::Full { .. })) && self.disk.remove(bad.name()).is_ok() {
            // The log tells all of it again; its room is needed for that.
            self.take_back(place);
            built = self.rebuild(log, bad.cover().from, bad.cover().to, report);
        }
        if built.is_ok() {
            self.remove(&bad);
        } else {
            // Keep it in the list: wrong answers are noticed each time, missing ones would not be.
            self.take_back(place);
            self.runs.push(bad);
        }
        self.runs.extend(later);
        built
    }

    /// Removes the runs from `place` on: what they belong to was not finished.
    fn take_back(&mut self, place: usize) {
        for run in self.runs.split_off(place) {
            self.remove(&run);
        }
    }

    /// What was said of `id` last, while a damaged run cannot be built anew for lack of room: what it covers is read from the log.
    pub(super) fn find_without_room(&self, log: &Log, id: &ChunkId) -> Result<Option<Entry>, StoreError> {
        let mut last = self.delta.entries.get(id).copied();
        let mut covered_from = self.delta.from;
        for run in self.runs.iter().rev() {
            if last.is_some_and(|last| last.said_at() >= covered_from) {
                break;
            }
            let found = match run.find(&*self.disk, id) {
                Ok(found) => found,
                Err(_) => said_in(log, run.cover(), id)?,
            };
            if let Some(found) = found.filter(|found| last.is_none_or(|last| found.is_newer_than(last))) {
                last = Some(found);
            }
            covered_from = run.cover().from;
        }
        Ok(last)
    }

    /// Reads a range of the log and appends runs of it to the list.
    fn rebuild(
        &mut self,
        log: &Log,
        from: Position,
        to: Position,
        report: &mut IndexReport,
    ) -> Result<(), StoreError> {
        let rest = self.read_log(log, from, to, false, report)?;
        // Even without entries: the range counts as covered from now on.
        let run = self.write_run(&rest, to, None)?;
        self.runs.push(run);
        Ok(())
    }

    /// Reads a range of the log; appends a run to the list whenever the map is full, and gives the rest. `follow`: everything before
    /// the range is in the index, and usage is to be kept up.
    fn read_log(
        &mut self,
        log: &Log,
        from: Position,
        to: Position,
        follow: bool,
        report: &mut IndexReport,
    ) -> Result<Delta, StoreError> {
        let mut delta = Delta::new(from);
        // Behind a torn place, to the end of its group: a fact may lack the one that it builds on.
        let mut torn = false;
        replay(log, from, to, &mut |found, after| {
            let (id, change) = match found {
                Found::Chunk(id, location, 0) if !torn => (id, Change::Put(location)),
                Found::Chunk(id, location, _) => {
                    let before = if follow { self.stood_at(&delta, &id) } else { None };
                    (id, before.map_or(Change::Put(location), |before| Change::Moved(before, location)))
                }
                Found::Drop(id, said) => {
                    let at = Position { offset: after.offset - said.total(), ..after };
                    match if follow && torn { self.stood_at(&delta, &id) } else { Some(said.location) } {
                        Some(location) => (id, Dropped { location, ..said }.change(at)),
                        None => (id, Change::Kept(said.first, at)),
                    }
                }
                Found::Mark(_) | Found::Void | Found::Removed(_) => {
                    torn = match found {
                        Found::Void => true,
                        Found::Mark(_) => false,
                        _ => torn,
                    };
                    return Ok(());
                }
                Found::Gap(gap) => {
                    report.rotten(gap.to - gap.from);
                    return Ok(());
                }
            };
            report.replayed += 1;
            if follow {
                self.usage.apply(change);
            } else if let Change::Rot(..) = change {
                self.usage.damaged += 1;
            }
            delta.apply(id, change);
            if self.is_run(&delta) {
                let usage = follow.then(|| self.usage.clone());
                match self.write_run(&delta, after, usage.as_ref()) {
                    Ok(run) => self.runs.push(run),
                    // A full disk must not keep the store from being opened and read.
                    Err(StoreError::Full { .. })
                        if delta.entries.len() < self.options.delta_entries_max * OVERFULL =>
                    {
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

    /// Where a chunk stood before it was moved. If that cannot be told now, what is in use is known less exactly.
    fn stood_at(&self, delta: &Delta, id: &ChunkId) -> Option<Location> {
        find_in(&*self.disk, &self.runs, delta, id).ok().flatten().and_then(Entry::location)
    }
}

/// What a part of the log says of `id`.
fn said_in(log: &Log, part: Cover, id: &ChunkId) -> Result<Option<Entry>, StoreError> {
    let mut last: Option<Entry> = None;
    replay(log, part.from, part.to, &mut |found, after| {
        let entry = match found {
            Found::Chunk(of, location, _) if of == *id => Entry::Here(location),
            Found::Drop(of, said) if of == *id => {
                said.change(Position { offset: after.offset - said.total(), ..after }).entry()
            }
            _ => return Ok(()),
        };
        if last.is_none_or(|last| entry.is_newer_than(last)) {
            last = Some(entry);
        }
        Ok(())
    })?;
    Ok(last)
}
