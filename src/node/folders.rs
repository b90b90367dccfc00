//! This node's folders: when they are scanned, what becomes of a scan, and who waits for it.
//!
//! A scan ends as a snapshot. It is published in the feed at once when a peer has confirmed this node's head since
//! start; otherwise it is kept as a draft (`node/drafts.rs`), which can be listed and restored like any other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::after::AfterSave;
use super::api::ApiError;
use super::backup::Backup;
use super::core::{Core, Duty};
use super::daily::Looks;
use super::drafts::Draft;
use super::editing::Ordered;
use super::guard::guarding::Guards;
use super::member::Membership;
use super::order::backup_error;
use super::outcome::{paths, BackupError, BackupJob, Outcome, Progress, Report, Taken};
use super::partials::Pace;
use super::ports::{CallId, Ending};
use super::share::unwritten::Unwritten;
use super::watching::{Timing, Watched};
use crate::base::ids::{ChunkId, FolderId, NodeId};
use crate::base::limits::SCAN_AFTER_START;
use crate::base::units::{Moment, Time, WallTime};
use crate::feed::entry::{FolderEntry, FolderText};

mod removing;
mod scans;

/// What this node remembers of its folders.
#[derive(Default)]
pub struct Folders {
    /// By id.
    pub(super) local: BTreeMap<FolderId, Local>,
    /// Snapshots that are not in a feed yet, oldest first.
    pub(super) drafts: Vec<Draft>,
    /// Bindings as they were saved.
    bindings: BTreeMap<FolderId, Binding>,
    /// The clock, for times of day.
    pub(super) looks: Looks,
    /// Why nothing is watched, if the system gives no watches.
    pub(super) unwatched: Option<String>,
    /// What is asked before anything follows from a loss.
    pub(super) guards: Guards,
}

/// One folder of this node.
#[derive(Default)]
pub(super) struct Local {
    /// Where it lies, as it was found.
    pub(super) binding: Binding,
    /// The running scan.
    pub(super) running: Option<u64>,
    /// A scan was asked for while one ran.
    pub(super) again: bool,
    /// The next scan lists only what is needed: something was erased.
    pub(super) anew: bool,
    /// Calls that wait for the running scan; true: until protected.
    pub(super) waiters: Vec<(CallId, bool)>,
    /// Calls that wait for what it found to be durable.
    pub(super) telling: Vec<(CallId, bool)>,
    /// Calls that came while it ran: what they are about it may not have seen, so they wait for the next one.
    pub(super) later: Vec<(CallId, bool)>,
    /// When it is scanned because something has changed.
    pub(super) timing: Timing,
    /// What is watched of it, once that is known.
    pub(super) watched: Option<Watched>,
    /// The next scan reads everything.
    pub(super) checksum: bool,
    /// When the next scan begins by itself.
    pub(super) next_scan: Option<Time>,
    /// When the running scan began.
    pub(super) started: WallTime,
    /// When it took a partial snapshot last.
    pub(super) pace: Pace,
    /// Why the last scan failed.
    pub(super) failure: Option<ApiError>,
    /// How far the running scan is.
    pub(super) progress: Option<Progress>,
    /// When the last scan ended well.
    pub(super) checked: Option<WallTime>,
    /// Unreadable files of the last scan.
    pub(super) unreadable: u64,
    /// Files that the last scan left out for their size.
    pub(super) too_large: u64,
    /// Of a shared folder: what other devices have made that could not be written here.
    pub(super) unwritten: Unwritten,
    /// Of a shared folder: what people want of it; this may be a device that has no directory of it.
    pub(super) edits: Vec<Ordered>,
    /// Those that the running merge makes.
    pub(super) editing: Vec<Ordered>,
}

/// What identifies a folder's place, so that an unplugged disk is not taken for an emptied folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Binding {
    /// File system and inode of its root.
    pub(super) marker: Option<(u64, u64)>,
    /// Start of the last scan that was completed.
    trusted_before: WallTime,
    /// Start of the one that took the newest partial snapshot, if none was completed since.
    pub(super) partial_from: Option<WallTime>,
    /// Of a shared folder: the applied map that this disk is as. A disk that was restored from an image has an older one than the
    /// newest snapshot of this node tells.
    pub(super) applied: Option<ChunkId>,
}

impl Binding {
    /// A scan that began then was completed.
    const fn complete(&mut self, marker: (u64, u64), started: WallTime) {
        (self.marker, self.trusted_before, self.partial_from) = (Some(marker), started, None);
    }
}

/// Prefix of the settings that keep bindings.
const BINDING_PREFIX: &str = "folder:";

impl Folders {
    /// What was remembered.
    pub fn load(&mut self, settings: &BTreeMap<String, Vec<u8>>) {
        for (key, bytes) in settings {
            if let Some(folder) = key.strip_prefix(BINDING_PREFIX).and_then(|id| id.parse().ok()) {
                if let Ok((binding, [])) = postcard::take_from_bytes(bytes) {
                    self.bindings.insert(folder, binding);
                }
            }
        }
        self.drafts = super::drafts::load(settings);
        self.guards.load(settings);
    }

    /// What is known of a folder's place.
    pub(super) fn binding(&self, folder: &FolderId) -> Binding {
        let saved = || self.bindings.get(folder).copied().unwrap_or_default();
        self.local.get(folder).map_or_else(saved, |local| local.binding)
    }

    /// When a scan begins by itself, or it is looked whether one does.
    #[must_use]
    pub fn deadline(&self, paused: bool) -> Option<Time> {
        let due = self.local.values().filter(|_| !paused).filter_map(Local::due);
        let edits = self.local.values().filter(|local| local.running.is_none());
        let edits = edits.flat_map(|local| local.edits.iter().map(Ordered::due));
        due.chain(self.looks.deadline()).chain(edits).min()
    }
}

impl Local {
    /// When the next scan begins by itself: at its time, or because something has changed.
    fn due(&self) -> Option<Time> {
        [self.next_scan, self.timing.due()].into_iter().flatten().filter(|_| self.running.is_none()).min()
    }
}

/// Folders that a member writes, with what is said of them: the entry, its text, the feed and place it stands at.
pub(super) fn folders_of(member: &Membership, writer: &NodeId) -> Vec<(FolderEntry, FolderText, WallTime)> {
    member
        .view
        .folders()
        .filter(|fact| fact.writer == *writer && !fact.entry.removed)
        .filter_map(|fact| {
            let plain =
                member.sealer.as_ref()?.open_text(&fact.feed, fact.sequence, &fact.entry.sealed).ok()?;
            Some((fact.entry.clone(), FolderText::decode(&plain).ok()?, fact.wall))
        })
        .collect()
}

impl Core {
    /// This node's own folders.
    pub(super) fn own_folders(&self) -> Vec<(FolderEntry, FolderText)> {
        let Some(member) = &self.member else { return Vec::new() };
        folders_of(member, &member.node).into_iter().map(|(entry, text, _)| (entry, text)).collect()
    }

    /// Every folder of the vault: writer, entry, text.
    pub(super) fn all_folders(&self) -> Vec<(NodeId, FolderEntry, FolderText)> {
        let Some(member) = &self.member else { return Vec::new() };
        member
            .view
            .folders()
            .filter_map(|fact| {
                let plain =
                    member.sealer.as_ref()?.open_text(&fact.feed, fact.sequence, &fact.entry.sealed).ok()?;
                Some((fact.writer, fact.entry.clone(), FolderText::decode(&plain).ok()?))
            })
            .collect()
    }

    /// After start: every folder is scanned soon, so that what was interrupted is completed.
    pub(super) fn folders_begin(&mut self) {
        self.daily_configured();
        let due = self.now.time + SCAN_AFTER_START;
        for (entry, _) in self.own_folders() {
            self.local(entry.folder).next_scan = Some(due);
        }
    }

    /// The local side of a folder.
    pub(super) fn local(&mut self, folder: FolderId) -> &mut Local {
        let binding = self.folders.binding(&folder);
        self.folders.local.entry(folder).or_insert_with(|| Local { binding, ..Local::default() })
    }

    /// Begins scans that are due.
    pub(super) fn folders_timeout(&mut self) {
        self.daily_timeout();
        let (now, paused) = (self.now.time, self.pausing.is_on());
        let due: Vec<FolderId> = self
            .folders
            .local
            .iter()
            .filter(|_| !paused)
            .filter(|(_, local)| local.due().is_some_and(|due| due <= now))
            .map(|(folder, _)| *folder)
            .collect();
        for folder in due {
            self.begin_scan(folder);
        }
        self.give_up_waiting();
        self.give_up_edits();
    }

    /// Begins to scan a folder; if it is being scanned, once more afterwards.
    pub(super) fn begin_scan(&mut self, folder: FolderId) {
        let found = self.own_folders().into_iter().find(|(entry, _)| entry.folder == folder);
        let stopped = self.member.as_ref().is_none_or(|member| member.stopped) || !self.keyring.may_seal();
        let Some((entry, text)) = found.filter(|_| !stopped) else {
            // Another device's by now; or the newest snapshot believed here is on no disk, and is nothing to compare with.
            let local = self.local(folder);
            (local.next_scan, local.timing) = (None, Timing::default());
            local.telling.append(&mut local.later);
            return self.backup_failed(folder, self.refusal());
        };
        let Moment { time, wall } = self.now;
        let partial_from = self.local(folder).binding.partial_from;
        let shared = if self.is_shared(&folder) { self.shared_scan(&folder) } else { None };
        if shared.is_some() && (!self.may_number() || self.waits_for_others(&folder)) {
            let hint = "it goes on by itself as soon as one is reached";
            let waits = ApiError::new("offline", "a shared folder waits for what other devices have", hint);
            let local = self.local(folder);
            (local.next_scan, local.timing) = (None, Timing::default());
            return self.backup_waits(folder, waits);
        }
        let (parent, partial, shared, exact) = match shared {
            Some((parent, scan)) => (parent, None, Some(scan), false),
            None => {
                let (parent, partial) = self.scan_begins_behind(&folder, partial_from);
                (parent, partial, None, self.is_taken_over(&folder))
            }
        };
        let newest = if shared.is_some() { self.own_shared(&folder) } else { self.newest_complete(&folder) };
        let fresh = newest.is_some_and(|fact| fact.entry.copies != entry.copies);
        let Some(keys) = self.member.as_ref().and_then(|member| match &member.keys {
            super::member::Keys::Full(keys) => Some((keys.cut, keys.map)),
            super::member::Keys::Store(_) => None,
        }) else {
            return;
        };
        let local = self.local(folder);
        if local.running.is_some() {
            local.again = true;
            return;
        }
        (local.started, local.pace) = (wall, Pace::begin(time));
        local.next_scan = None;
        local.waiters.append(&mut local.later);
        let (watch, news) = (self.watch_begins(folder), self.expects_news(folder));
        let guarded = self.folders.guards.of_scan(&folder, self.now.wall);
        let (checksum, lost) = self.reads_again(folder);
        let local = self.local(folder);
        let job = BackupJob {
            folder,
            root: text.directory,
            ignore: text.ignore,
            one_file_system: text.one_file_system,
            max_size: text.max_size,
            marker: local.binding.marker,
            parent,
            partial,
            trusted_before: local.binding.trusted_before,
            cut_key: keys.0,
            map_key: keys.1,
            exact,
            anew: std::mem::take(&mut local.anew),
            checksum,
            lost,
            fresh,
            watch,
            news,
            shared,
            guarded,
        };
        let number = self.begin_duty(|duty| Duty::Backup(Box::new(Backup::new(job, duty)), folder));
        self.local(folder).running = Some(number);
    }

    /// A scan goes on.
    pub(super) fn backup_progress(&mut self, folder: FolderId, progress: &Progress) {
        self.backup_stored(folder, progress);
        self.partial_due(folder, progress);
        let name = self.folder_name(&folder);
        let local = self.local(folder);
        local.progress = Some(progress.clone());
        let line = json!({
            "event": "progress", "folder": name, "phase": "store",
            "files": progress.files, "bytes": progress.bytes, "new_bytes": progress.new_bytes,
        });
        let calls: Vec<CallId> = local.waiters.iter().map(|(call, _)| *call).collect();
        for call in calls {
            self.progress(call, line.clone());
        }
    }

    /// A scan has ended.
    pub(super) fn backup_finished(
        &mut self,
        number: u64,
        folder: FolderId,
        result: Result<Outcome, BackupError>,
    ) {
        self.duties.remove(&number);
        let result = self.guarded(folder, result);
        self.looked_after(folder, &result);
        self.backup_ended(&folder, &result);
        self.watch_ended(folder, &result);
        let (rescan, wall) = (self.now.time + self.scan_again_after(&result), self.now.wall);
        let local = self.local(folder);
        local.running = None;
        local.progress = None;
        local.telling.append(&mut local.waiters);
        local.next_scan = Some(rescan);
        let is_asked = !local.telling.is_empty();
        let is_scanned = result.is_ok();
        self.scan_is_over(folder, &result);
        let local = self.local(folder);
        match result {
            Ok(Outcome::Unchanged { files, bytes, report, marker }) => {
                local.binding.complete(marker, local.started);
                local.checked = Some(wall);
                (local.unreadable, local.too_large) = (report.unreadable, report.large);
                local.unwritten.scanned(report.owed, is_asked);
                self.scan_unchanged(folder, (files, bytes), &report);
            }
            Ok(Outcome::Changed(taken)) => {
                local.binding.complete(taken.marker, local.started);
                local.binding.applied = taken.shared.as_ref().map(|shared| shared.applied);
                local.checked = Some(wall);
                (local.unreadable, local.too_large) = (taken.report.unreadable, taken.report.large);
                local.unwritten.scanned(taken.report.owed, true);
                self.snapshot_made(folder, &taken);
            }
            Err(error) => self.backup_failed(folder, backup_error(&error)),
        }
        if is_scanned && self.begin_merge(folder) {
            return;
        }
        self.edits_fail(folder, &self.unconfirmed());
        if std::mem::take(&mut self.local(folder).again) {
            self.begin_scan(folder);
        }
    }

    /// A scan cannot begin yet, which is no failure: who waits is told.
    fn backup_waits(&mut self, folder: FolderId, error: ApiError) {
        self.edits_fail(folder, &error);
        let local = self.local(folder);
        let mut waiters = std::mem::take(&mut local.waiters);
        waiters.append(&mut local.later);
        for (call, _) in waiters {
            self.backup_call_ends(call, Err(error.clone()));
        }
    }

    /// Nothing has changed since the last snapshot.
    fn scan_unchanged(&mut self, folder: FolderId, (files, bytes): (u64, u64), report: &Report) {
        let Some(fact) = self.newest_complete(&folder) else { return };
        let line = json!({
            "event": "snapshot", "folder": self.folder_name(&folder), "snapshot": fact.id.hex(), "draft": fact.draft,
            "files": files, "bytes": bytes, "chunks": fact.entry.counts.chunks, "stored_bytes": 0, "unchanged": true,
            "skipped": fact.skipped, "torn": fact.torn, "silent": report.silent, "too_large": report.large, "unreadable": paths(report),
        });
        self.scan_told(folder, &line);
    }

    /// A new snapshot: published, or kept as a draft.
    fn snapshot_made(&mut self, folder: FolderId, taken: &Taken) {
        let Some(draft) = self.draft_of(folder, taken, true) else {
            return self.backup_failed(folder, self.refusal());
        };
        self.silent_changes(folder, &taken.report);
        let line = self.snapshot_line(&folder, &draft.id(), taken);
        let settings = self.binding_settings(folder);
        self.snapshot_noted(folder, &taken.counts);
        self.keep_snapshot(draft, line, settings);
    }

    /// What is to be saved of a folder's place.
    pub(super) fn binding_settings(&mut self, folder: FolderId) -> Vec<(String, Option<Vec<u8>>)> {
        let binding = self.local(folder).binding;
        vec![(format!("{BINDING_PREFIX}{folder}"), postcard::to_stdvec(&binding).ok())]
    }

    /// Nothing is known of a folder's place any more: it may lie elsewhere.
    pub(super) fn forget_place(&mut self, folder: FolderId) {
        self.folders.bindings.remove(&folder);
        self.local(folder).binding = Binding::default();
        self.save(vec![(format!("{BINDING_PREFIX}{folder}"), None)], AfterSave::Nothing);
    }

    /// A snapshot is durable, as an entry or as a draft: who waits is told.
    pub(super) fn published(&mut self, folder: FolderId, announce: bool) {
        if !announce {
            return;
        }
        let Some(mut line) = self.calls.take_snapshot_line(&folder) else { return };
        if let Some(fact) = self.newest_snapshot(&folder) {
            line["snapshot"] = json!(fact.id.hex());
            line["draft"] = json!(fact.draft);
        }
        self.scan_told(folder, &line);
    }

    /// Tells the waiting calls how the scan ended; those that want protection wait on.
    fn scan_told(&mut self, folder: FolderId, line: &serde_json::Value) {
        self.scan_works_again(folder);
        let waiters = std::mem::take(&mut self.local(folder).telling);
        for (call, wait) in waiters {
            self.json(call, line.clone());
            if wait {
                self.calls.wait_protected(call, folder, self.now.time);
            } else {
                self.backup_call_ends(call, Ok(Ending::Complete));
            }
        }
        self.check_waiting_backups();
    }

    /// A scan failed: nothing was retired, the last snapshot stands.
    pub(super) fn backup_failed(&mut self, folder: FolderId, error: ApiError) {
        self.scan_fails(folder, &error);
        self.edits_fail(folder, &error);
        let local = self.local(folder);
        let waiters = std::mem::take(&mut local.telling);
        for (call, _) in waiters {
            self.backup_call_ends(call, Err(error.clone()));
        }
    }

    /// The name of a folder.
    pub(super) fn folder_name(&self, folder: &FolderId) -> String {
        let found = self.all_folders().into_iter().find(|(_, entry, _)| entry.folder == *folder);
        found.map_or_else(|| folder.short(), |(_, _, text)| text.name)
    }
}
