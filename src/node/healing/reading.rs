//! Files that are read again, for something that was lost here was in them and no device has it.
//!
//! A chunk of a snapshot that no other device has yet exists here alone, and in the file it was cut from. That has the stat it had,
//! so no scan would read it again: this makes one that reads everything (`backup --checksum`). That takes hours where there is much: it is
//! done once a day at most, for all that is missed by then; three times at most for the same, where it does not come to its end; and
//! not again for what it did not bring back, which is in no file any more.

use std::collections::{BTreeMap, BTreeSet};

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
    /// One of them could not be.
    has_failed: bool,
    /// When it began last.
    last: Option<Time>,
    /// How often it has begun since it came to its end last.
    begun: u8,
    /// What they were read for in vain.
    in_vain: BTreeSet<ChunkId>,
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

    /// A chunk was here until now: if files were read for it in vain once, then not for what it is now.
    pub(super) fn was_here(&mut self, id: &ChunkId) {
        self.in_vain.remove(id);
    }

    /// Whether files were read for a chunk in vain.
    pub(super) fn is_in_vain(&self, id: &ChunkId) -> bool {
        self.in_vain.contains(id)
    }

    /// Nobody has a chunk that an own snapshot lists.
    pub(super) fn not_had(&mut self, id: ChunkId) {
        let is_known = self.in_vain.contains(&id) || self.reads_for.contains(&id);
        if !is_known && self.unhad.len() < IN_VAIN_MAX {
            self.unhad.insert(id);
        }
    }

    /// Files were read for these in vain, or cannot be.
    fn given_up(&mut self, ids: BTreeSet<ChunkId>) {
        self.begun = 0;
        self.in_vain.extend(ids);
        while self.in_vain.len() > IN_VAIN_MAX {
            self.in_vain.pop_first();
        }
    }
}

impl Core {
    /// After start.
    pub(in crate::node) fn healing_begins(&mut self, settings: &BTreeMap<String, Vec<u8>>) {
        let saved = settings.get(KEY).and_then(|bytes| postcard::from_bytes::<Saved>(bytes).ok());
        let Some((is_open, begun, in_vain)) = saved else { return };
        let in_vain = in_vain.into_iter().map(ChunkId::from_bytes).collect();
        let healing = &mut self.upkeep.healing;
        healing.looks = is_open;
        healing.reading = Reading { is_open, begun, in_vain, ..Reading::default() };
    }

    /// A restart is to know how it stands.
    fn healing_saves(&mut self) {
        let Reading { is_open, begun, in_vain, .. } = &self.upkeep.healing.reading;
        let saved: Saved = (*is_open, *begun, in_vain.iter().map(|id| *id.as_bytes()).collect());
        let value = postcard::to_stdvec(&saved).ok().filter(|_| *is_open || !in_vain.is_empty());
        self.save(vec![(KEY.to_owned(), value)], AfterSave::Nothing);
    }

    /// Something is to be healed.
    pub(super) fn healing_opens(&mut self) {
        let reading = &mut self.upkeep.healing.reading;
        reading.closes = None;
        if !std::mem::replace(&mut reading.is_open, true) {
            self.healing_saves();
        }
    }

    /// Nothing is on its way: files are read again if there is a reason to and it may be; or all is well, a moment after the last chunk
    /// came, for it is to be on the disk.
    pub(super) fn files_settle(&mut self) {
        let now = self.now.time;
        let reading = &mut self.upkeep.healing.reading;
        if !reading.unread.is_empty() {
            return self.folders_that_are_left();
        }
        if !reading.unhad.is_empty() {
            return self.read_files_again();
        }
        if reading.is_open && *reading.closes.get_or_insert(now + HEAL_PAUSE) <= now {
            (reading.is_open, reading.closes) = (false, None);
            self.healing_saves();
        }
    }

    /// The files of this device are read again for what nobody has, unless they were lately.
    fn read_files_again(&mut self) {
        let now = self.now.time;
        let (own, reads_all) = (self.own_folders(), self.may_read_all());
        let reading = &mut self.upkeep.healing.reading;
        if reading.last.is_some_and(|last| last + READ_AGAIN_EVERY > now) {
            return;
        }
        let unhad = std::mem::take(&mut reading.unhad);
        let count = unhad.len();
        if !reads_all || own.is_empty() || reading.begun >= READS_MAX {
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

    /// Whether a scan may read everything: with older keys it would be sealed with the newest, and stored anew.
    pub(in crate::node) fn may_read_all(&self) -> bool {
        let sealer = self.member.as_ref().and_then(|member| member.sealer.as_ref());
        !sealer.is_none_or(Sealer::has_older_keys)
    }

    /// A scan of a folder is over.
    pub(in crate::node) fn read_again(&mut self, folder: FolderId, result: &Result<Outcome, BackupError>) {
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
            Err(error) if error.is_of_root() => self.local(folder).checksum = true,
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

/// Whether something is not healed yet, how often files were read again for it, and for what they were in vain.
type Saved = (bool, u8, Vec<[u8; ChunkId::SIZE]>);

/// Under which name that is kept.
const KEY: &str = "healing";
