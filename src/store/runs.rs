//! The runs that are there when the index is opened: which are whole, and which lie within the log.
//!
//! Owns what becomes of files that are not: they are removed, for the log can tell it all again. Read `run.rs` first.

use super::disk::Disk;
use super::error::StoreError;
use super::log::Log;
use super::reading::head_of;
use super::run::{Run, RunError, INDEX_DIRECTORY};
use super::segment::FORMAT;

/// What was found while the index was opened or repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexReport {
    /// Records read again from segments.
    pub replayed: u64,
    /// Runs thrown away because they were damaged.
    pub runs_discarded: u64,
    /// Damaged places of segments, before a sync mark.
    pub rotten_places: u64,
    /// Bytes in them.
    pub rotten_bytes: u64,
}

impl IndexReport {
    /// Adds a damaged place.
    pub(super) fn rotten(&mut self, length: u64) {
        self.rotten_places += 1;
        self.rotten_bytes += length;
    }
}

/// Opens all runs that are whole and lie within the log, sorted by what they cover, the longest first where they begin
/// at the same place; gives also the greatest number in use.
pub(super) fn open_runs(
    disk: &dyn Disk,
    log: &Log,
    report: &mut IndexReport,
) -> Result<(Vec<Run>, u64), StoreError> {
    let mut greatest = 0;
    let mut found: Vec<Run> = Vec::new();
    for leaf in disk.list(INDEX_DIRECTORY)? {
        let name = format!("{INDEX_DIRECTORY}/{leaf}");
        let Some((number, is_run)) = run_number(&leaf) else { continue };
        greatest = greatest.max(number);
        if !is_run {
            disk.remove(&name)?;
            continue;
        }
        match Run::open(disk, &name) {
            Ok(run) if run.cover().to <= log.synced() => match is_of(&run, disk, log) {
                Ok(true) => found.push(run),
                Ok(false) => {
                    report.runs_discarded += 1;
                    disk.remove(&name)?;
                }
                // Whatever it is, it is met again when the run is used.
                Err(_) => found.push(run),
            },
            Ok(run) => {
                // The log was longer once: what is missing at its end was synced.
                let (to, end) = (run.cover().to, log.synced());
                report.rotten(if to.segment == end.segment { to.offset - end.offset } else { 0 });
                report.runs_discarded += 1;
                disk.remove(&name)?;
            }
            Err(RunError::Damaged) => {
                report.runs_discarded += 1;
                disk.remove(&name)?;
            }
            Err(error) => return Err(run_error(&name, error)),
        }
    }
    found.sort_by_key(|run| (run.cover().from, std::cmp::Reverse(run.cover().to)));
    Ok((found, greatest))
}

/// The number in the name of a file of the index, and whether it is a whole run.
fn run_number(leaf: &str) -> Option<(u64, bool)> {
    let (digits, ending) = leaf.split_once('.')?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    let is_own = format!("{number:016x}") == digits && (ending == "run" || ending == "tmp");
    is_own.then_some((number, ending == "run"))
}

/// Whether a run belongs to this log, by some of its entries: a run of another store says where records are that are not there, and
/// would have us believe that we have them. One that is there is enough: others may be damaged.
fn is_of(run: &Run, disk: &dyn Disk, log: &Log) -> Result<bool, RunError> {
    let mut looked = 0;
    for (id, location) in run.sample(disk)? {
        if looked == SAMPLES || !log.has(location.segment) {
            continue;
        }
        looked += 1;
        if head_of(disk, location)?.is_some_and(|frame| frame.id == id) {
            return Ok(true);
        }
    }
    Ok(looked == 0)
}

/// Entries of a run that are compared with the log at open.
const SAMPLES: usize = 4;

/// A run's failure as the store tells it.
pub(super) fn run_error(name: &str, error: RunError) -> StoreError {
    match error {
        RunError::Disk(error) => error.into(),
        RunError::Damaged => StoreError::Corrupt { name: name.to_owned(), reason: "an index run".to_owned() },
        RunError::NewerFormat(found) => {
            StoreError::NewerFormat { name: name.to_owned(), found, supported: FORMAT }
        }
    }
}
