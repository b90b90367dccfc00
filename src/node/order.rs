//! What a person orders of scans, and how often they repeat themselves when they fail.
//!
//! A call that comes while a folder is being scanned waits for the scan after that: what it is about may have changed behind the
//! one that runs. A scan that fails is tried again, and said once: a disk that lies in a drawer for a month must not fill the
//! log. Read `node/folders.rs` for what becomes of a scan, `node/watching.rs` for those that begin by themselves.

use super::activity::Level;
use super::api::ApiError;
use super::core::Core;
use super::events::{Event, Kind};
use super::names;
use super::outcome::{BackupError, Outcome, Report};
use super::ports::{CallId, Ending};
use crate::base::ids::FolderId;
use crate::base::limits::SCAN_RETRY;
use crate::base::units::Span;
use crate::feed::entry::Counts;
use crate::seal::sealed::Sealer;
use crate::store::error::StoreError;
use serde_json::json;

impl Core {
    /// `backup`: scans one folder, or all.
    pub(super) fn call_backup(&mut self, call: CallId, name: Option<&str>, wait: bool) {
        let own = self.own_folders();
        let wanted: Vec<FolderId> = own
            .iter()
            .filter(|(_, text)| name.is_none_or(|name| name == text.name))
            .map(|(entry, _)| entry.folder)
            .collect();
        if wanted.is_empty() {
            let message = match name {
                Some(name) => {
                    let near = names::nearest(name, own.iter().map(|(_, text)| text.name.as_str()));
                    format!("this node has no folder '{name}'{near}")
                }
                None => "this node has no folder".to_owned(),
            };
            return self.end_call(
                call,
                Err(ApiError::new(
                    "no_folder",
                    message,
                    "see `nuthatch folder list`; add one with `nuthatch folder add NAME DIR`",
                )),
            );
        }
        self.calls.expect_backups(call, wanted.len());
        for folder in wanted {
            self.local(folder).later.push((call, wait));
            self.begin_scan(folder);
        }
    }

    /// `backup --checksum`: the same, and every file is read.
    pub(super) fn call_checksum(&mut self, call: CallId, name: Option<&str>, wait: bool) {
        if self.member.as_ref().and_then(|member| member.sealer.as_ref()).is_some_and(Sealer::has_older_keys)
        {
            let message = "a full node was removed from this vault: what is read again would be sealed with the new key, and stored anew";
            let hint =
                "`nuthatch verify --all` reads what is stored; files that change are found by their times";
            return self.end_call(call, Err(ApiError::new("not_supported", message, hint)));
        }
        let own = self.own_folders();
        for (entry, _) in own.iter().filter(|(_, text)| name.is_none_or(|name| name == text.name)) {
            self.local(entry.folder).checksum = true;
        }
        self.call_backup(call, name, wait);
    }

    /// A scan has read everything: what has changed without a sign of it is said.
    pub(super) fn silent_changes(&mut self, folder: FolderId, report: &Report) {
        if report.silent > 0 {
            let name = self.folder_name(&folder);
            let message = format!(
                "{name}: {} files have other content than before, though their size and times are the same: a failing disk, or a \
                 program that sets times back; what they were is in the snapshots before",
                report.silent
            );
            self.note(Level::Warn, "backup", message);
        }
    }

    /// `sync`: tries all members at once, and scans all folders.
    pub(super) fn call_sync(&mut self, call: CallId, wait: bool) {
        let now = self.now.time;
        self.reach.network_changed(now);
        self.holding.peer_up(now);
        let connected = self.gossip.peers().count();
        let members = self.member.as_ref().map_or(0, |member| member.view.roster().members().count());
        let folders = self.own_folders().len();
        let line = json!({"event": "sync", "connected": connected, "members": members, "folders": folders});
        self.json(call, line);
        if folders == 0 {
            return self.end_call(call, Ok(Ending::Complete));
        }
        self.call_backup(call, None, wait);
    }

    /// After what time a folder is scanned again, whether anything changes or not.
    pub(super) fn scan_again_after(&self, result: &Result<Outcome, BackupError>) -> Span {
        let rescan = self.setup.config.rescan;
        match result {
            Err(error) if error.is_of_root() => rescan.min(SCAN_RETRY),
            _ => rescan,
        }
    }

    /// A backup has made a new snapshot.
    pub(super) fn snapshot_noted(&mut self, folder: FolderId, counts: &Counts) {
        let name = self.folder_name(&folder);
        let message = format!("{name}: {} files, {} new bytes", counts.files, counts.stored_bytes);
        self.raise(Event::new(Kind::BackupDone, Level::Info, "backup", message).of_folder(name));
    }

    /// A merge of a shared folder has kept both versions of so many files.
    pub(super) fn conflicts_kept(&mut self, name: &str, conflicts: u64) {
        if conflicts > 0 {
            let message = format!(
                "{name}: {conflicts} files were changed on two devices at once; both versions are kept, one as a copy with `conflict` in its name"
            );
            let event = Event::new(Kind::Conflict, Level::Warn, "sync", message).of_folder(name);
            self.raise(event.about(conflicts.to_string()));
        }
    }

    /// A scan has failed: it is said if it did not fail for the same reason before.
    pub(super) fn scan_fails(&mut self, folder: FolderId, error: &ApiError) {
        let before = self.local(folder).failure.replace(error.clone());
        // What the guard asks it says itself.
        let is_asked = matches!(error.code.as_str(), "folder_emptied" | "folder_guarded");
        if before.as_ref() != Some(error) && !is_asked {
            let name = self.folder_name(&folder);
            let event = Event::new(Kind::BackupFailed, Level::Error, "backup", format!("{name}: {error}"));
            self.raise(event.of_folder(name).about(error.code.clone()));
        }
    }

    /// A scan has come to its end.
    pub(super) fn scan_works_again(&mut self, folder: FolderId) {
        if self.local(folder).failure.take().is_some() {
            let name = self.folder_name(&folder);
            let message = format!("{name} can be backed up again");
            self.raise(Event::new(Kind::BackupWorks, Level::Info, "backup", message).of_folder(name));
        }
    }
}

/// A failed scan as the API tells it.
pub(super) fn backup_error(error: &BackupError) -> ApiError {
    let code = match error {
        BackupError::RootMissing { .. } => "folder_missing",
        BackupError::RootUnreadable { .. } => "folder_unreadable",
        BackupError::RootChanged { .. } => "folder_changed",
        BackupError::RootEmptied { .. } => "folder_emptied",
        BackupError::Guarded { .. } => "folder_guarded",
        BackupError::Ignore { .. } => "bad_pattern",
        BackupError::Store(StoreError::Full { .. }) => "no_room",
        BackupError::Store(_) => "disk",
        BackupError::Broken { .. } => "internal",
    };
    let hint = match code {
        "no_room" => "make room on this node's disk, then try again; nothing was changed",
        _ => "nothing was changed; older snapshots stay as they are",
    };
    ApiError::new(code, error.to_string(), hint)
}
