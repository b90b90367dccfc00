//! Files that are read again, for something that was lost here was in them and no device has it.
//!
//! A chunk of a snapshot that no other device has yet exists here alone, and in the file it was cut from. That has the stat it had,
//! so no scan would read it again: this makes one that reads everything (`backup --checksum`), or, where a full node was removed and all that is
//! read would be sealed with the new key and sent again, the files that list it; the next snapshot then names other chunks. That takes hours where there is much: it is
//! done once a day at most, for all that is missed by then; three times at most for the same, where it does not come to its end; and
//! not again for what it did not bring back, which is in no file any more.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::gather;
use crate::base::ids::{ChunkId, FolderId};
use crate::base::limits::{HEAL_PAUSE, IN_VAIN_MAX, READS_MAX, READ_AGAIN_EVERY};
use crate::base::units::Time;
use crate::node::activity::Level;
use crate::node::after::AfterSave;
use crate::node::core::Core;
use crate::node::outcome::{BackupError, Outcome};
use crate::seal::sealed::Sealer;

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// Own snapshots list it, and nobody has it.
    unhad: BTreeSet<ChunkId>,
    /// What files are being read for.
    reads_for: BTreeSet<ChunkId>,
    /// Folders that are still to be read.
    unread: BTreeSet<FolderId>,
    /// Folders that are to be read as soon as their directories are there.
    away: BTreeSet<FolderId>,
    /// One of them could not be.
    has_failed: bool,
    /// When it began last.
    last: Option<Time>,
    /// How often it has begun since it came to its end last.
    begun: u8,
    /// What they were read for in vain.
    in_vain: BTreeSet<ChunkId>,
    /// That is more than is remembered here: all that is missing was.
    all_in_vain: bool,
    /// The settings say that something is not healed yet.
    is_open: bool,
    /// When they may say that all is.
    closes: Option<Time>,
}

impl Reading {
    /// When something may be due.
    pub(super) fn deadline(&self) -> Option<Time> {
        if !self.unread.is_empty() {
            return None;
        }
        let reads = self.last.map_or(Time::ZERO, |last| last + READ_AGAIN_EVERY);
        Some(reads).filter(|_| !self.unhad.is_empty()).into_iter().chain(self.closes).min()
    }

    /// A chunk was here until now: if files were read for it in vain once, then not for what it is now. Whether they were.
    pub(super) fn was_here(&mut self, id: &ChunkId) -> bool {
        self.in_vain.remove(id)
    }

    /// Whether files were read for a chunk in vain.
    pub(super) fn is_in_vain(&self, id: &ChunkId) -> bool {
        self.all_in_vain || self.in_vain.contains(id)
    }

    /// So much is missing, by a look at everything.
    pub(super) fn lacks(&mut self, count: u64) {
        self.all_in_vain &= usize::try_from(count).is_ok_and(|count| count > IN_VAIN_MAX / 2);
    }

    /// Nobody has a chunk that an own snapshot lists.
    pub(super) fn not_had(&mut self, id: ChunkId) {
        if !self.is_in_vain(&id) && !self.reads_for.contains(&id) && self.unhad.len() <= IN_VAIN_MAX {
            self.unhad.insert(id);
        }
    }

    /// Files were read for these in vain, or cannot be.
    fn given_up(&mut self, ids: BTreeSet<ChunkId>) {
        self.begun = 0;
        self.in_vain.extend(ids);
        if self.in_vain.len() > IN_VAIN_MAX {
            self.in_vain.clear();
            self.all_in_vain = true;
        }
    }
}

impl Core {
    /// After start.
    pub(in crate::node) fn healing_begins(&mut self, settings: &BTreeMap<String, Vec<u8>>) {
        let saved = settings.get(KEY).and_then(|bytes| postcard::from_bytes::<Saved>(bytes).ok());
        let Some((is_open, begun, in_vain, all_in_vain, away)) = saved else { return };
        let ids = in_vain.chunks_exact(ChunkId::SIZE).filter_map(|bytes| bytes.try_into().ok());
        let in_vain = ids.map(ChunkId::from_bytes).collect();
        let ids = away.chunks_exact(FolderId::SIZE).filter_map(|bytes| bytes.try_into().ok());
        let mut away: BTreeSet<FolderId> = ids.map(FolderId::from_bytes).collect();
        let own: BTreeSet<FolderId> = self.own_folders().iter().map(|(entry, _)| entry.folder).collect();
        away.retain(|folder| own.contains(folder));
        away.iter().for_each(|folder| self.local(*folder).checksum = true);
        let healing = &mut self.upkeep.healing;
        healing.looks = is_open;
        healing.reading = Reading { is_open, begun, in_vain, all_in_vain, away, ..Reading::default() };
    }

    /// A restart is to know how it stands.
    pub(super) fn healing_saves(&mut self) {
        let Reading { is_open, begun, in_vain, all_in_vain, away, .. } = &self.upkeep.healing.reading;
        let ids = in_vain.iter().flat_map(|id| *id.as_bytes());
        let folders = away.iter().flat_map(|id| *id.as_bytes());
        let saved: Saved = (*is_open, *begun, ids.collect(), *all_in_vain, folders.collect());
        let is_worth_it = *is_open || *all_in_vain || !in_vain.is_empty() || !away.is_empty();
        let value = postcard::to_stdvec(&saved).ok().filter(|_| is_worth_it);
        self.save(vec![(KEY.to_owned(), value)], AfterSave::Nothing);
    }

    /// Something is to be healed.
    pub(in crate::node) fn healing_opens(&mut self) {
        let reading = &mut self.upkeep.healing.reading;
        reading.closes = None;
        if !std::mem::replace(&mut reading.is_open, true) {
            self.healing_saves();
        }
    }

    /// The disk did not take a chunk: it may be one that had come to be healed, and was taken for here.
    pub(in crate::node) fn heal_again_if_healing(&mut self) {
        if self.upkeep.healing.reading.is_open {
            self.look_through();
        }
    }

    /// Nothing is on its way: files are read again if there is a reason to and it may be; or all is well, a moment after the last chunk
    /// came, for it is to be on the disk. (`is_unsure`: something is still to be looked for.)
    pub(super) fn files_settle(&mut self, is_unsure: bool) {
        let now = self.now.time;
        let reading = &mut self.upkeep.healing.reading;
        if !reading.unread.is_empty() {
            return self.folders_that_are_left();
        }
        if !reading.unhad.is_empty() {
            return self.read_files_again();
        }
        if is_unsure {
            reading.closes = None;
        } else if reading.is_open && *reading.closes.get_or_insert(now + HEAL_PAUSE) <= now {
            (reading.is_open, reading.closes, reading.begun) = (false, None, 0);
            self.healing_saves();
        }
    }

    /// The files of this device are read again for what nobody has, unless they were lately.
    fn read_files_again(&mut self) {
        let now = self.now.time;
        let own = self.own_folders();
        let reading = &mut self.upkeep.healing.reading;
        if reading.last.is_some_and(|last| last + READ_AGAIN_EVERY > now) {
            return;
        }
        let unhad = std::mem::take(&mut reading.unhad);
        let count = unhad.len();
        if own.is_empty() || reading.begun >= READS_MAX {
            reading.given_up(unhad);
            let message = format!("{count} chunks of backups of this device are on no device that is connected; `nuthatch verify` names the snapshots that list them");
            self.note(Level::Error, "store", message);
            return self.healing_saves();
        }
        (reading.last, reading.has_failed, reading.reads_for) = (Some(now), false, unhad);
        reading.begun += 1;
        reading.unread = own.iter().map(|(entry, _)| entry.folder).collect();
        self.healing_saves();
        for (entry, _) in own {
            let local = self.local(entry.folder);
            (local.checksum, local.next_scan) = (true, Some(now));
        }
        let message = "what was damaged here can be had from no device that is connected: the files of the folders here are read \
                       again, which stores it anew if it is still in one of them";
        self.note(Level::Warn, "store", message);
    }

    /// Whether a scan that begins now reads everything, or what is lost, for which it reads the files that list it: with older keys all that
    /// is read is sealed with the newest, and stored anew.
    pub(in crate::node) fn reads_again(&mut self, folder: FolderId) -> (bool, BTreeSet<ChunkId>) {
        let sealer = self.member.as_ref().and_then(|member| member.sealer.as_ref());
        let may_read_all = !sealer.is_none_or(Sealer::has_older_keys);
        match std::mem::take(&mut self.local(folder).checksum) {
            true if may_read_all => (true, BTreeSet::new()),
            true => {
                // A folder that was away is read when it is there: by then the others were read in vain.
                let Reading { reads_for, in_vain, .. } = &self.upkeep.healing.reading;
                (false, gather::set(reads_for.union(in_vain).copied()))
            }
            false => (false, BTreeSet::new()),
        }
    }

    /// Whether a folder is to be read again, and was not yet.
    pub(in crate::node) fn is_still_unread(&self, folder: &FolderId) -> bool {
        self.upkeep.healing.reading.unread.contains(folder)
    }

    /// A scan of a folder is over.
    pub(in crate::node) fn scan_is_over(&mut self, folder: FolderId, result: &Result<Outcome, BackupError>) {
        let is_away = result.as_ref().is_err_and(BackupError::is_of_root);
        if self.upkeep.healing.reading.away.contains(&folder) {
            if is_away {
                self.local(folder).checksum = true;
                return;
            }
            self.upkeep.healing.reading.away.remove(&folder);
            self.healing_saves();
        }
        if !self.upkeep.healing.reading.unread.contains(&folder) {
            return;
        }
        let now = self.now.time;
        let local = self.local(folder);
        if local.checksum {
            // It had begun before; the next one reads everything.
            local.next_scan = Some(now);
            return;
        }
        let reading = &mut self.upkeep.healing.reading;
        reading.unread.remove(&folder);
        match result {
            Ok(_) => {}
            // It is read as soon as it is there; nothing waits for that.
            Err(_) if is_away => {
                reading.away.insert(folder);
                self.local(folder).checksum = true;
            }
            Err(_) => reading.has_failed = true,
        }
        self.folders_that_are_left();
    }

    /// Folders that are no more need not be read; after the last one is seen what it was good for.
    fn folders_that_are_left(&mut self) {
        let own: BTreeSet<FolderId> = self.own_folders().iter().map(|(entry, _)| entry.folder).collect();
        let reading = &mut self.upkeep.healing.reading;
        reading.unread.retain(|folder| own.contains(folder));
        if !reading.unread.is_empty() {
            return;
        }
        let read_for = std::mem::take(&mut reading.reads_for);
        if reading.has_failed {
            reading.unhad.extend(read_for);
        } else {
            reading.given_up(read_for);
        }
        self.healing_saves();
        self.healing_settles();
    }
}

/// Whether something is not healed yet, how often files were read again for it, for what they were in vain, whether that is all that is
/// missing, and which folders are to be read when they are there.
type Saved = (bool, u8, Vec<u8>, bool, Vec<u8>);

/// Under which name that is kept.
const KEY: &str = "healing";

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids that are all different.
    fn ids(count: usize) -> BTreeSet<ChunkId> {
        let id = |number: usize| {
            let mut bytes = [0; ChunkId::SIZE];
            bytes[..8].copy_from_slice(&u64::try_from(number).unwrap_or(0).to_le_bytes());
            ChunkId::from_bytes(bytes)
        };
        (0..count).map(id).collect()
    }

    #[test]
    fn files_are_not_read_another_time_for_more_than_can_be_remembered() {
        let mut reading = Reading::default();
        let many = ids(IN_VAIN_MAX + 2);
        many.iter().for_each(|id| reading.not_had(*id));
        assert!(reading.deadline().is_some());
        let unhad = std::mem::take(&mut reading.unhad);
        reading.given_up(unhad);
        many.iter().for_each(|id| reading.not_had(*id));
        assert_eq!((reading.deadline(), reading.unhad.len()), (None, 0));
        // As long as so much is missing; then again for what is.
        reading.lacks(u64::MAX);
        many.iter().for_each(|id| reading.not_had(*id));
        assert_eq!(reading.unhad.len(), 0);
        reading.lacks(3);
        many.iter().take(3).for_each(|id| reading.not_had(*id));
        assert_eq!(reading.unhad.len(), 3);
    }

    #[test]
    fn files_are_read_again_for_what_rots_after_it_was_here_again() {
        let mut reading = Reading::default();
        let some = ids(2);
        reading.given_up(some.clone());
        some.iter().for_each(|id| reading.not_had(*id));
        assert!(reading.unhad.is_empty());
        let rotten = *some.first().expect("one");
        assert!(reading.was_here(&rotten));
        some.iter().for_each(|id| reading.not_had(*id));
        assert_eq!(reading.unhad, BTreeSet::from([rotten]));
    }
}
