//! Partial snapshots of this node's folders: when a running backup takes one, and what becomes of it.
//!
//! ```text
//!   backup runs --so many new bytes, or so long--> partial --a complete one as well protected--> retired (floor, trash)
//!        ^                                            |
//!        '---- interrupted; the next one goes on -----'
//! ```
//!
//! A first backup may take weeks. What it has stored is listed by a partial snapshot now and then, so that others keep it,
//! count it and can restore it though this node burns down in the midst. It is published like any other, says
//! `complete: false`, and is never called a backup of the folder: `latest` is the newest complete one while there is one.
//! The next scan takes it for what is known (`node/former.rs`), so that nothing is read twice. Taking it is
//! `node/backup/partial.rs`.

use std::collections::BTreeSet;

use serde_json::{json, Value};

use super::activity::Level;
use super::after::AfterAppend;
use super::collect::Settings;
use super::core::{Core, Duty};
use super::drafts::Draft;
use super::folders::Local;
use super::member::SnapshotFact;
use super::outcome::{paths, Parent, Partial, Progress, Taken};
use super::ports::CallId;
use crate::base::ids::{FolderId, SnapshotId};
use crate::base::limits::{PARTIAL_EVERY, PARTIAL_PART, UNFINISHED_BYTES_MIN};
use crate::base::units::{Time, WallTime};
use crate::feed::entry::{Counts, FolderKind, SnapshotEntry, SnapshotText};
use crate::file::retain::Policy;

/// When a running backup has taken a partial snapshot last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Pace {
    /// When; or when it began.
    at: Time,
    /// Sealed bytes that were new then.
    new_bytes: u64,
}

impl Pace {
    /// A backup begins now.
    pub(super) const fn begin(now: Time) -> Self {
        Self { at: now, new_bytes: 0 }
    }

    /// Whether another one is due: after `every_bytes` that are new, or a part of the whole if that is more (a manifest is as
    /// long as the whole), or after some time if there is anything worth it.
    fn is_due(&mut self, now: Time, progress: &Progress, every_bytes: u64) -> bool {
        let fresh = progress.new_bytes.saturating_sub(self.new_bytes);
        let is_much = fresh >= every_bytes.max(progress.bytes / PARTIAL_PART);
        let is_long = fresh >= UNFINISHED_BYTES_MIN && now.since(self.at) >= PARTIAL_EVERY;
        let is_due = is_much || is_long;
        if is_due {
            *self = Self { at: now, new_bytes: progress.new_bytes };
        }
        is_due
    }
}

impl Core {
    /// The newest complete snapshot of a folder.
    pub(super) fn newest_complete(&self, folder: &FolderId) -> Option<SnapshotFact> {
        self.newest_of(folder, |fact| fact.entry.complete)
    }

    /// The newest snapshot of a folder.
    pub(super) fn newest_snapshot(&self, folder: &FolderId) -> Option<SnapshotFact> {
        self.newest_of(folder, |_| true)
    }

    /// Whether a member, or a former one, has said that it writes the folder, or it is everybody's: what others say of a backup folder is
    /// listed, and no more.
    pub(super) fn is_by_a_writer(&self, fact: &SnapshotFact) -> bool {
        let member = self.member.as_ref();
        let mut facts = member.into_iter().flat_map(|member| member.view.folder_facts(&fact.entry.folder));
        facts.any(|folder| folder.writer == fact.writer || folder.entry.kind == FolderKind::Shared)
    }

    /// The newest of those snapshots of a folder that fit, of devices that write it. In a backup folder of this node its own go before
    /// those of devices that were removed, whose folder it may have taken over, and what another member says of it counts for nothing:
    /// it would be what the next one goes on from.
    fn newest_of(&self, folder: &FolderId, fits: impl Fn(&SnapshotFact) -> bool) -> Option<SnapshotFact> {
        let mut fitting = self.snapshots(Some(folder));
        fitting.retain(|fact| fits(fact) && self.is_by_a_writer(fact));
        let member = self.member.as_ref()?;
        if !member.backs_up(folder) {
            return fitting.pop();
        }
        let place = fitting.iter().rposition(|fact| fact.writer == member.node);
        let place =
            place.or_else(|| fitting.iter().rposition(|fact| member.view.roster().is_removed(&fact.writer)));
        place.map(|place| fitting.swap_remove(place))
    }

    /// The newest partial snapshot of a folder, if no complete one is newer.
    pub(super) fn newest_partial(&self, folder: &FolderId) -> Option<SnapshotFact> {
        self.newest_snapshot(folder).filter(|fact| !fact.entry.complete)
    }

    /// What a scan of a folder begins with: the newest complete snapshot, and a partial one that is newer.
    pub(super) fn scan_begins_behind(
        &self,
        folder: &FolderId,
        partial_from: Option<WallTime>,
    ) -> (Option<Parent>, Option<Partial>) {
        let parent = |fact: SnapshotFact| {
            Some(Parent { tree: fact.tree?, manifest: fact.entry.manifest, counts: fact.entry.counts })
        };
        // Of one that another node or an earlier life of this one took, no stat can be trusted.
        let trusted_before = partial_from.unwrap_or(WallTime::from_micros(i64::MIN));
        let partial = self.newest_partial(folder).and_then(parent);
        let partial = partial.map(|known| Partial { known, trusted_before });
        (self.newest_complete(folder).and_then(parent), partial)
    }

    /// Whether the newest snapshot of an own folder is another device's, whose folder this one took over. Of what that lists there may
    /// be little here, and as whoever writes a snapshot counts as having all that its manifest lists, the next manifest is built
    /// anew: it lists no more than was stored or found here.
    pub(super) fn is_taken_over(&self, folder: &FolderId) -> bool {
        let own = self.member.as_ref().map(|member| member.node);
        let newest = self.newest_complete(folder).into_iter().chain(self.newest_partial(folder));
        newest.into_iter().any(|fact| Some(fact.writer) != own)
    }

    /// A scan goes on: has it stored enough for another partial snapshot?
    pub(super) fn partial_due(&mut self, folder: FolderId, progress: &Progress) {
        let (now, every_bytes) = (self.now.time, self.setup.config.partial_bytes);
        let Local { pace, running, .. } = self.local(folder);
        let running = *running;
        if !pace.is_due(now, progress, every_bytes) {
            return;
        }
        if let Some(Duty::Backup(backup, _)) = running.and_then(|number| self.duties.get_mut(&number)) {
            backup.take_partial();
        }
    }

    /// A running backup has taken a partial snapshot: published, or kept as a draft.
    pub(super) fn partial_taken(&mut self, folder: FolderId, taken: &Taken) {
        let Some(draft) = self.draft_of(folder, taken, false) else { return };
        self.guard_counts(folder, &taken.report.tally);
        let local = self.local(folder);
        local.binding.marker = Some(taken.marker);
        local.binding.partial_from = Some(local.started);
        let settings = self.binding_settings(folder);
        let Counts { files, bytes, chunks, stored_bytes, .. } = taken.counts;
        let name = self.folder_name(&folder);
        let message = format!(
            "{name}: a partial snapshot lists what is stored so far, {files} files; the backup goes on"
        );
        self.note(Level::Info, "backup", message);
        let line = json!({
            "event": "partial", "folder": name, "files": files, "bytes": bytes, "chunks": chunks,
            "stored_bytes": stored_bytes,
        });
        let calls: Vec<CallId> = self.local(folder).waiters.iter().map(|(call, _)| *call).collect();
        for call in calls {
            self.progress(call, line.clone());
        }
        self.keep_unasked(draft, settings);
    }

    /// A snapshot of this folder, to be kept; None when the folder is not this node's any more.
    pub(super) fn draft_of(&mut self, folder: FolderId, taken: &Taken, complete: bool) -> Option<Draft> {
        let (entry, _) = self.writable_folder(&folder)?;
        let parent = match entry.kind {
            FolderKind::Backup => self.newest_snapshot(&folder),
            // Other devices' clocks have no say in when this one took its snapshots.
            FolderKind::Shared => self.own_shared(&folder),
        };
        let parent = parent.map(|fact| (fact.id, fact.entry.taken));
        // A clock that was set back must not make a new snapshot older than the one before it.
        let after = parent.map(|(_, taken)| WallTime::from_micros(taken.as_micros().saturating_add(1)));
        let started = self.local(folder).started;
        let snapshot = SnapshotEntry {
            folder,
            manifest: taken.manifest,
            parent: parent.map(|(id, _)| id),
            copies: entry.copies,
            taken: after.map_or(started, |after| after.max(started)),
            complete,
            counts: taken.counts,
            sealed: Vec::new(),
        };
        let report = &taken.report;
        let text = SnapshotText {
            tree: taken.tree,
            skipped: report.skipped(),
            torn: report.torn,
            shared: taken.shared.clone(),
        };
        Some(Draft::new(snapshot, text))
    }

    /// What calls are told of a snapshot that was made.
    pub(super) fn snapshot_line(&self, folder: &FolderId, id: &SnapshotId, taken: &Taken) -> Value {
        let Taken { counts, report, .. } = taken;
        json!({
            "event": "snapshot", "folder": self.folder_name(folder), "snapshot": id.hex(), "draft": true,
            "files": counts.files, "bytes": counts.bytes, "chunks": counts.chunks,
            "stored_bytes": counts.stored_bytes, "unchanged": false, "skipped": report.skipped(),
            "torn": report.torn, "silent": report.silent, "too_large": report.large, "unreadable": paths(report),
        })
    }

    /// A complete draft is kept: partial ones of its folder are forgotten, as by a person. What is saved with it.
    pub(super) fn forget_partial_drafts(&mut self, folder: &FolderId, settings: &mut Settings) {
        let drafts = self.folders.drafts.iter().filter(|draft| draft.is_partial_of(folder));
        let partial: Vec<_> = drafts.filter(|draft| !self.is_forgotten(draft)).map(Draft::meant).collect();
        for meant in partial {
            self.upkeep.collect.forget(self.now.time, meant.id, meant.manifest, settings);
        }
        self.upkeep.recheck(self.now.time);
    }

    /// Retires partial snapshots of own folders whose place a complete one has taken.
    pub(super) fn retire_partials(&mut self) {
        let Some(member) = self.member.as_ref().filter(|member| member.sealer.is_some()) else { return };
        let partial = member.view.snapshots().filter(|fact| !fact.entry.complete);
        let mut own: BTreeSet<FolderId> = partial.map(|fact| fact.entry.folder).collect();
        if own.is_empty() {
            return;
        }
        // Those of a lost node too, whose folder this one has taken over.
        let mine: BTreeSet<FolderId> = self.own_folders().iter().map(|(entry, _)| entry.folder).collect();
        own.retain(|folder| mine.contains(folder));
        if own.is_empty() || !self.may_append() {
            return;
        }
        for folder in own {
            // Of complete ones this policy retires none.
            let (changes, _) = self.retired_by(folder, Policy::EVERY);
            let count = changes.len();
            if count > 0 && self.write_checkpoints(&changes, AfterAppend::Nothing) {
                let name = self.folder_name(&folder);
                let message = format!(
                    "{name}: {count} partial snapshots were retired, a complete one has taken their place"
                );
                self.note(Level::Info, "retention", message);
            }
        }
    }

    /// Partial snapshots of a folder behind which there is a complete one that is at least as well protected.
    pub(super) fn outdone_partials(&self, folder: &FolderId) -> BTreeSet<SnapshotId> {
        let facts = self.snapshots(Some(folder));
        let Some(place) = facts.iter().rposition(|fact| fact.entry.complete) else { return BTreeSet::new() };
        let complete = self.protection_of(&facts[place]).have;
        let partial = facts[..place].iter().filter(|fact| !fact.entry.complete);
        partial.filter(|fact| self.protection_of(fact).have <= complete).map(|fact| fact.id).collect()
    }

    /// For `status`: what a partial snapshot has of a folder, and how safe that is.
    pub(super) fn partial_status(&self, partial: Option<&SnapshotFact>) -> Value {
        let Some(fact) = partial else { return Value::Null };
        let protection = self.protection_of(fact);
        json!({
            "snapshot": fact.id.hex(), "taken": fact.entry.taken.to_string(), "draft": fact.draft,
            "files": fact.entry.counts.files, "bytes": fact.entry.counts.bytes,
            "protected": {"have": protection.have, "wanted": protection.wanted, "sites": protection.sites},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Span;

    #[test]
    fn a_partial_snapshot_is_due_by_bytes_by_a_part_of_the_whole_and_by_time() {
        let at = |hours: u64| Time::ZERO + Span::from_secs(3_600).times(hours);
        let done = |new_bytes, bytes| Progress { new_bytes, bytes, ..Progress::default() };
        let (gib, every) = (1 << 30, 64 << 30);
        let mut pace = Pace::begin(at(0));
        assert!(!pace.is_due(at(1), &done(63 * gib, 63 * gib), every));
        assert!(pace.is_due(at(1), &done(64 * gib, 64 * gib), every));
        assert!(!pace.is_due(at(2), &done(65 * gib, 65 * gib), every), "it counts on from there");
        assert!(pace.is_due(at(7), &done(65 * gib, 65 * gib), every), "six hours later it is due");
        assert!(!pace.is_due(at(14), &done(65 * gib, 65 * gib), every), "not if nothing was stored");
        let mut pace = Pace::begin(at(0));
        assert!(!pace.is_due(at(1), &done(65 * gib, 4_096 * gib), every), "of a large folder an eighth");
        assert!(pace.is_due(at(1), &done(512 * gib, 4_096 * gib), every));
    }
}
