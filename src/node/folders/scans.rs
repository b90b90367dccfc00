//! Scans that are cut off in the middle: nothing may be sealed for a while, or their folder is somewhere else now.

use crate::base::ids::FolderId;
use crate::node::api::ApiError;
use crate::node::core::Core;

impl Core {
    /// Nothing may be sealed for a while: scans that run are given up, and who waits for them is told.
    pub(in crate::node) fn stop_scans(&mut self, why: &ApiError) {
        let running = self.folders.local.iter().filter(|(_, local)| local.running.is_some());
        for folder in running.map(|(folder, _)| *folder).collect::<Vec<_>>() {
            self.cut_scan_off(folder);
            self.backup_failed(folder, why.clone());
        }
    }

    /// A scan ends here. Who waits for it waits for the next one, or is told; what it was to read, or has counted, is the next one's.
    pub(in crate::node) fn cut_scan_off(&mut self, folder: FolderId) {
        let is_unread = self.is_still_unread(&folder);
        let local = self.local(folder);
        let Some(number) = local.running.take() else { return };
        local.progress = None;
        local.telling.append(&mut local.waiters);
        local.again = false;
        local.checksum |= is_unread;
        self.folders.guards.forget_scan(&folder);
        self.drop_duty(Some(number));
    }

    /// What could not be sealed may be now.
    pub(in crate::node) fn scan_all_now(&mut self) {
        let now = self.now.time;
        for (entry, _) in self.own_folders() {
            let local = self.local(entry.folder);
            local.next_scan = if local.running.is_some() { local.next_scan } else { Some(now) };
        }
        self.publish_drafts();
    }
}
