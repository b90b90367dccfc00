//! Backups that were interrupted: what they have stored is listed by no manifest yet, and stays for a while.
//!
//! ```text
//!   a backup stores much --noted with the running time--> unfinished --its snapshot is kept--> (nothing)
//!                                                            |  '------ the disk had no room for it ------^
//!                                                            '-- a week of running time without a step --^
//! ```
//!
//! While a backup runs no collection does. After a crash it is gone on with in seconds, unless its directory is not there: an
//! unplugged disk must not cost the days that a first backup took. So collection waits while anything is noted here,
//! for [`TRASH_FLOOR`] of running time behind the last step of the backup. What a restore fetched is not noted, and may go.

use std::collections::BTreeMap;

use super::after::AfterSave;
use super::collect::Settings;
use super::core::Core;
use super::outcome::{BackupError, Outcome, Progress};
use crate::base::ids::FolderId;
use crate::base::limits::{RUNNING_SAVE_EVERY, TRASH_FLOOR, UNFINISHED_BYTES_MIN};
use crate::base::units::Span;
use crate::store::service::StoreError;

/// Folders whose backup has stored what no snapshot lists, and the running time when that was noted last.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    /// By folder.
    noted: BTreeMap<FolderId, Span>,
}

impl Unfinished {
    /// What was saved.
    pub(super) fn load(settings: &BTreeMap<String, Vec<u8>>) -> Self {
        let noted = settings.iter().filter_map(|(key, bytes)| {
            let folder = key.strip_prefix(PREFIX)?.parse().ok()?;
            let micros = u64::from_le_bytes(bytes.as_slice().try_into().ok()?);
            Some((folder, Span::from_micros(micros)))
        });
        Self { noted: noted.collect() }
    }

    /// Whether there is any.
    pub(super) fn is_any(&self) -> bool {
        !self.noted.is_empty()
    }

    /// A backup has stored something: what is to be saved, if that is worth it.
    fn note(&mut self, folder: FolderId, running: Span) -> Option<Settings> {
        let is_fresh = self.noted.get(&folder).is_some_and(|noted| running - *noted < RUNNING_SAVE_EVERY);
        if is_fresh {
            return None;
        }
        self.noted.insert(folder, running);
        Some(vec![(key(&folder), Some(running.as_micros().to_le_bytes().to_vec()))])
    }

    /// It is listed, or given up: what is to be saved.
    fn clear(&mut self, folder: &FolderId) -> Settings {
        self.noted.remove(folder).map(|_| vec![(key(folder), None)]).unwrap_or_default()
    }

    /// Those whose time is over.
    fn over(&self, running: Span) -> Vec<FolderId> {
        let over = self.noted.iter().filter(|(_, noted)| running - **noted >= TRASH_FLOOR);
        over.map(|(folder, _)| *folder).collect()
    }
}

impl Core {
    /// A backup goes on.
    pub(super) fn backup_stored(&mut self, folder: FolderId, progress: &Progress) {
        let running = self.upkeep.collect.running(self.now.time);
        if progress.new_bytes < UNFINISHED_BYTES_MIN {
            return;
        }
        if let Some(settings) = self.upkeep.unfinished.note(folder, running) {
            self.save(settings, AfterSave::Nothing);
        }
    }

    /// The folder's snapshot is being kept: what is saved with it.
    pub(super) fn backup_listed(&mut self, folder: &FolderId) -> Settings {
        self.upkeep.unfinished.clear(folder)
    }

    /// A scan has ended: nothing waits for what it stored if it found nothing new, or if the disk has no room for it.
    pub(super) fn backup_ended(&mut self, folder: &FolderId, result: &Result<Outcome, BackupError>) {
        if matches!(result, Ok(Outcome::Unchanged { .. }) | Err(BackupError::Store(StoreError::Full { .. })))
        {
            self.backup_forsaken(folder);
        }
    }

    /// Nothing waits for what the folder's backup has stored.
    fn backup_forsaken(&mut self, folder: &FolderId) {
        let settings = self.upkeep.unfinished.clear(folder);
        if !settings.is_empty() {
            self.save(settings, AfterSave::Nothing);
        }
    }

    /// Whether collection waits for an interrupted backup. One whose time is over, or whose folder is not this node's any
    /// more, is waited for no longer.
    pub(super) fn waits_for_backup(&mut self) -> bool {
        let running = self.upkeep.collect.running(self.now.time);
        let own: Vec<FolderId> = self.own_folders().into_iter().map(|(entry, _)| entry.folder).collect();
        let mut over = self.upkeep.unfinished.over(running);
        over.extend(self.upkeep.unfinished.noted.keys().filter(|folder| !own.contains(folder)));
        for folder in over {
            self.backup_forsaken(&folder);
        }
        self.upkeep.unfinished.is_any()
    }
}

/// Under which name it is kept.
fn key(folder: &FolderId) -> String {
    format!("{PREFIX}{folder}")
}

/// What the names of these settings begin with.
const PREFIX: &str = "unfinished:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_renewed_daily_and_ends_after_a_week_without_a_step() {
        let (mut unfinished, folder) = (Unfinished::default(), FolderId::from_bytes([7; 16]));
        let hours = |count| Span::from_secs(3_600).times(count);
        let saved = unfinished.note(folder, hours(1)).expect("the first is saved");
        assert_eq!(unfinished.note(folder, hours(2)), None, "not each step is");
        assert!(unfinished.note(folder, hours(30)).is_some());
        assert_eq!(unfinished.over(hours(30 + 24 * 7 - 1)), vec![]);
        assert_eq!(unfinished.over(hours(30 + 24 * 7)), vec![folder]);
        let settings = saved.into_iter().map(|(key, value)| (key, value.unwrap())).collect();
        let loaded = Unfinished::load(&settings);
        assert_eq!(loaded.noted.get(&folder), Some(&hours(1)));
        assert_eq!(unfinished.clear(&folder), vec![(key(&folder), None)]);
        assert!(!unfinished.is_any() && unfinished.clear(&folder).is_empty());
    }
}
