//! What becomes of a merge: it is told, its snapshot is kept, and what waited for it goes on.

use crate::base::ids::FolderId;
use crate::node::activity::Level;
use crate::node::core::Core;
use crate::node::merging::MergeEnd;
use crate::node::order::backup_error;
use crate::node::outcome::BackupError;

impl Core {
    /// A merge has ended.
    pub(in crate::node) fn merge_finished(
        &mut self,
        number: u64,
        folder: FolderId,
        result: Result<Box<MergeEnd>, BackupError>,
    ) {
        self.duties.remove(&number);
        self.local(folder).running = None;
        let has_room = result.as_ref().is_ok_and(|end| end.has_room);
        let is_again = std::mem::take(&mut self.local(folder).again) || has_room;
        let goes_on = match result {
            Ok(end) => self.merged(folder, *end),
            Err(error) if self.is_shared(&folder) => {
                self.backup_failed(folder, backup_error(&error));
                false
            }
            Err(error) => {
                self.edits_fail(folder, &backup_error(&error));
                false
            }
        };
        if is_again || (goes_on && self.news(&folder).iter().any(|fact| self.is_whole(&fact.id))) {
            self.begin_scan(folder);
        } else {
            self.begin_edits(folder);
        }
    }

    /// A merge has come to its end: whether it may be worth another one at once.
    fn merged(&mut self, folder: FolderId, mut end: MergeEnd) -> bool {
        let is_awaited = self.edits_made(folder, &mut end);
        self.merge_told(folder, &end);
        let MergeEnd { taken, is_new, is_here, .. } = end;
        if !is_new {
            return false;
        }
        let mut settings = Vec::new();
        if is_here {
            self.local(folder).binding.applied = taken.shared.as_ref().map(|shared| shared.applied);
            settings = self.binding_settings(folder);
        }
        match self.draft_of(folder, &taken, true) {
            Some(draft) if is_awaited => {
                let line = self.snapshot_line(&folder, &draft.id(), &taken);
                self.keep_snapshot(draft, line, settings);
            }
            Some(draft) => self.keep_unasked(draft, settings),
            None => self.backup_failed(folder, self.refusal()),
        }
        // Whoever has seen the same and chose otherwise has to come to the same by itself: nothing is gained by trying again.
        is_here && self.own_shared(&folder).is_some_and(|fact| fact.tree == Some(taken.tree))
    }

    /// Notes what a merge did to the disk.
    fn merge_told(&mut self, folder: FolderId, end: &MergeEnd) {
        let MergeEnd { is_here, written, conflicts, .. } = end;
        let name = self.folder_name(&folder);
        if *written > 0 {
            self.note(Level::Info, "sync", format!("{name}: {written} changes were written here"));
        }
        self.conflicts_kept(&name, *conflicts);
        if *is_here {
            self.unwritten_told(folder, &name, end);
        }
    }
}
