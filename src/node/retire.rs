//! Retiring snapshots and taking them back: `forget`, `undo`, and the retention policy of this node's own folders.
//!
//! A snapshot is retired by a Checkpoint in a feed, so that every holder learns of it (feed/standing.rs); nothing is deleted
//! by that. What a person takes back is held: the policy does not retire it again. A policy that would retire more than
//! half of a folder at once asks first. Read `file/retain.rs` and `node/collect.rs` too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::activity::Level;
use super::after::AfterAppend;
use super::api::{ApiError, FolderAdd};
use super::core::Core;
use super::names::{Place, Wanted};
use super::ports::{CallId, Ending};
use super::status::attention::{Attention, Severity};
use super::unpublished::Meant;
use crate::base::ids::{FeedId, FolderId, NodeId, SnapshotId};
use crate::base::limits::{CHECKPOINT_STANDING_MAX, MASS_RETIRED_MIN, RETAIN_EVERY};
use crate::base::units::Time;
use crate::feed::entry::{Body, Checkpoint, FolderText, Head, SnapshotEntry, Standing};
use crate::feed::view::{SnapshotFact, View};
use crate::file::retain::{Label, Policy};

/// What is remembered of retirement.
#[derive(Debug, Default)]
pub struct Retiring {
    /// When each folder's policy was applied last.
    applied: BTreeMap<FolderId, Time>,
    /// Folders whose policy would retire so many at once that a person is asked: name and number.
    asks: BTreeMap<FolderId, (String, usize)>,
}

/// What becomes of snapshots: None retires; else whether a person holds them.
pub(super) type Changes = BTreeMap<SnapshotId, Option<bool>>;

impl Core {
    /// `forget`.
    pub(super) fn call_forget(&mut self, id: CallId, what: &str) {
        match self.find_to_forget(what) {
            Ok(fact) => self.call_change(id, &fact, None),
            Err(error) => self.end_call(id, Err(error)),
        }
    }

    /// `undo`.
    pub(super) fn call_undo(&mut self, id: CallId, what: &str) {
        match self.find_to_undo(what) {
            Ok(fact) => self.call_change(id, &fact, Some(true)),
            Err(error) => self.end_call(id, Err(error)),
        }
    }

    /// `confirm`: a folder's name, or `collect`.
    pub(super) fn call_confirm(&mut self, id: CallId, what: &str) {
        let folder =
            self.upkeep.retire.asks.iter().find(|(_, (name, _))| name == what).map(|(folder, _)| *folder);
        if what == "collect" && self.upkeep.collect.frozen().is_some() {
            let settings = self.upkeep.collect.thaw(self.now.time);
            self.upkeep.recheck(self.now.time);
            self.save(settings, super::after::AfterSave::Nothing);
        } else if self.guard_confirmed(what) {
            log::debug!("the guard over {what} was answered");
        } else if let Some(folder) = folder {
            self.upkeep.retire.asks.remove(&folder);
            self.retain_folder(folder, true);
        } else {
            let error = ApiError::new(
                "nothing_asked",
                format!("nothing is asked about '{what}'"),
                "see `nuthatch status`",
            );
            return self.end_call(id, Err(error));
        }
        self.note(Level::Info, "retention", format!("confirmed: {what}"));
        self.json(id, json!({"confirmed": what}));
        self.end_call(id, Ok(Ending::Complete));
    }

    /// Whether a call would retire or take back something, and so has to wait until this node may write.
    pub(super) fn would_retire(&self, what: &str, undo: bool) -> bool {
        let meant = if undo { self.find_to_undo(what) } else { self.find_to_forget(what) };
        meant.is_ok_and(|meant| !meant.draft)
    }

    /// Writes what a person wants of one snapshot.
    fn call_change(&mut self, id: CallId, meant: &Meant, stands: Option<bool>) {
        let name = self.folder_name(&meant.folder);
        let floor = self.setup.config.retired.as_micros();
        let value = json!({
            "snapshot": meant.id.hex(), "folder": name, "taken": meant.taken.to_string(),
            "retired": stands.is_none(), "floor_us": floor,
        });
        let word = if stands.is_none() { "forgotten" } else { "taken back" };
        let message = format!("snapshot {} of {name} was {word}", meant.id.short());
        if meant.draft {
            self.change_draft(id, meant, stands.is_none(), value);
            return self.note(Level::Info, "retention", message);
        }
        let then = AfterAppend::Done { call: id, value };
        let changes = Changes::from([(meant.id, stands)]);
        if !self.write_checkpoints(&changes, then) {
            return self.end_call(id, Err(self.refusal()));
        }
        self.note(Level::Info, "retention", message);
    }

    /// The snapshot that may be forgotten from here.
    fn find_to_forget(&self, what: &str) -> Result<Meant, ApiError> {
        let (fact, path) = self.find_place(what)?;
        if !path.is_empty() {
            return Err(ApiError::new(
                "bad_path",
                "a snapshot is forgotten as a whole",
                "leave the path away",
            ));
        }
        let is_backed_up = self
            .all_folders()
            .iter()
            .any(|(_, entry, _)| entry.folder == fact.entry.folder && !entry.removed);
        let newest = self.newest_complete(&fact.entry.folder);
        let newest = newest.or_else(|| self.newest_snapshot(&fact.entry.folder));
        let is_newest = newest.is_some_and(|newest| newest.id == fact.id);
        if is_backed_up && (is_newest || self.is_own_state(&fact.entry.folder, &fact.id)) {
            let hint = "make another backup first, or remove the folder";
            return Err(ApiError::new(
                "newest",
                "the newest snapshot of a folder that is backed up stays",
                hint,
            ));
        }
        if fact.draft {
            let SnapshotEntry { folder, taken, manifest, .. } = fact.entry;
            return Ok(Meant { id: fact.id, folder, taken, manifest, draft: true });
        }
        self.may_speak_of(&fact.id)
    }

    /// The snapshot that may be taken back from here.
    fn find_to_undo(&self, what: &str) -> Result<Meant, ApiError> {
        let place = Place::parse(what)?;
        let folders = self.all_folders();
        let is_meant = |folder: &FolderId| {
            folders.iter().any(|(_, entry, text)| entry.folder == *folder && text.name == place.folder)
        };
        let retired = self.member.iter().flat_map(|member| member.view.retired());
        let fitting: Vec<Meant> = retired
            .map(meant)
            .chain(self.forgotten_drafts())
            .filter(|meant| is_meant(&meant.folder) && place.snapshot.fits(&meant.id, meant.taken))
            .collect();
        let Some(found) = newest_forgotten(&place, fitting)? else {
            let message = format!("'{}' has no such forgotten snapshot", place.folder);
            return Err(ApiError::new("no_snapshot", message, "see `nuthatch snapshots`"));
        };
        if !self.upkeep.collect.pins().contains_key(&found.id) {
            let hint = "another device that still has it may take it back";
            return Err(ApiError::new(
                "collected",
                "its time in the trash is over, and it was given up here",
                hint,
            ));
        }
        if found.draft {
            return Ok(found);
        }
        self.may_speak_of(&found.id)
    }

    /// The published snapshot, if this node may retire it or take it back: its own, or that of a removed node.
    fn may_speak_of(&self, id: &SnapshotId) -> Result<Meant, ApiError> {
        let fact = self.member.as_ref().and_then(|member| Some((member, member.view.snapshot(id)?)));
        match fact {
            Some((member, fact))
                if fact.writer == member.node || member.view.roster().is_removed(&fact.writer) =>
            {
                Ok(meant(fact))
            }
            Some((member, fact)) => {
                let name = member.name_of(&fact.writer);
                Err(ApiError::new(
                    "not_writer",
                    format!("{name} wrote this snapshot"),
                    format!("run this on {name}"),
                ))
            }
            None => {
                Err(ApiError::new("no_snapshot", "there is no such snapshot", "see `nuthatch snapshots`"))
            }
        }
    }

    /// A snapshot of an own folder is published: its policy may retire others.
    pub(super) fn retain(&mut self, folder: FolderId) {
        let now = self.now.time;
        if self.upkeep.retire.applied.get(&folder).is_some_and(|last| *last + RETAIN_EVERY > now) {
            return;
        }
        self.upkeep.retire.applied.insert(folder, now);
        self.retain_folder(folder, false);
    }

    /// A folder has another policy: it is applied soon, and what was asked about the one before is answered.
    pub(super) fn policy_changed(&mut self, folder: FolderId) {
        self.upkeep.retire.asks.remove(&folder);
        self.upkeep.retire.applied.remove(&folder);
        self.retain(folder);
    }

    /// Nothing keeps a folder's policy from being applied any more.
    pub(super) fn retain_again(&mut self, folder: FolderId) {
        self.upkeep.retire.applied.remove(&folder);
        self.retain(folder);
    }

    /// Applies a folder's policy; `sure`: whatever it retires.
    fn retain_folder(&mut self, folder: FolderId, sure: bool) {
        if self.folders.guards.is_asking(&folder) {
            return;
        }
        let Some((_, FolderText { name, keep, .. })) = self.writable_folder(&folder) else { return };
        let (changes, standing) = self.retired_by(folder, Policy::from_counts(keep));
        if changes.is_empty() {
            return;
        }
        let complete = |id: &&SnapshotId| {
            self.member
                .as_ref()
                .and_then(|member| member.view.snapshot(id))
                .is_some_and(|fact| fact.entry.complete)
        };
        let count = changes.keys().filter(complete).count();
        if !sure && count >= MASS_RETIRED_MIN && count * 2 > standing {
            let message = format!("{name}: its policy would retire {count} of {standing} snapshots; `nuthatch confirm {name}` if that is meant");
            self.note(Level::Warn, "retention", message);
            self.upkeep.retire.asks.insert(folder, (name, count));
            return;
        }
        if self.write_checkpoints(&changes, AfterAppend::Nothing) {
            let message = format!("{name}: {} snapshots were retired by its policy", changes.len());
            self.note(Level::Info, "retention", message);
        }
    }

    /// What a policy retires of a folder now, and how many complete snapshots of it stand.
    pub(super) fn retired_by(&self, folder: FolderId, policy: Policy) -> (Changes, usize) {
        let member = self.member.as_ref().filter(|member| member.view.open_forks().next().is_none());
        let Some(member) = member else { return (Changes::new(), 0) };
        let view = &member.view;
        let facts: Vec<&SnapshotFact> = view.all_snapshots_of(&folder).collect();
        let outdone = self.outdone_partials(&folder);
        let own_state = self.own_shared(&folder).map(|fact| fact.id);
        // What another member says of a backup folder of this node takes the place of none of its snapshots.
        let is_own = member.backs_up(&folder);
        let is_of_line =
            |writer: &NodeId| !is_own || *writer == member.node || view.roster().is_removed(writer);
        let label = |fact: &&SnapshotFact| Label {
            taken: fact.entry.taken,
            stands: view.stands(&fact.id) && is_of_line(&fact.writer),
            complete: fact.entry.complete,
            // Of what others wrote nothing is retired from here; and a partial one not before others have what follows it.
            held: view.is_held(&fact.id)
                || own_state == Some(fact.id)
                || !(fact.writer == member.node || view.roster().is_removed(&fact.writer))
                || !(fact.entry.complete || outdone.contains(&fact.id)),
        };
        let labels: Vec<Label> = facts.iter().map(label).collect();
        let gone = facts.iter().zip(policy.kept(&labels)).filter(|(_, kept)| !kept);
        let changes = gone.map(|(fact, _)| (fact.id, None)).collect();
        (changes, labels.iter().filter(|label| label.stands && label.complete).count())
    }

    /// Writes Checkpoints that make these changes and leave everything else as it is; `then` follows the last. False when
    /// one was refused.
    pub(super) fn write_checkpoints(&mut self, changes: &Changes, then: AfterAppend) -> bool {
        let Some(member) = &self.member else { return false };
        let mut checkpoints = Vec::new();
        for (feed, places) in places_of(&member.view, changes) {
            let version = member.view.checkpoint_version(&feed).saturating_add(1);
            checkpoints.extend(windows(&member.view, feed, &places, changes, version));
        }
        let last = checkpoints.pop();
        let all = checkpoints.into_iter().all(|checkpoint| {
            self.append(Body::Checkpoint(checkpoint), Vec::new(), AfterAppend::Nothing).is_some()
        });
        all && last.is_some_and(|last| self.append(Body::Checkpoint(last), Vec::new(), then).is_some())
    }

    /// The policy of a new folder.
    pub(super) fn policy_of(&self, add: &FolderAdd) -> Result<Policy, ApiError> {
        let Some(text) = &add.keep else { return Ok(self.setup.config.keep) };
        let hint = "write rules such as last=10,daily=30,monthly=24, or all";
        Policy::parse(text).map_err(|error| ApiError::new("bad_policy", error.to_string(), hint))
    }

    /// What status asks about policies.
    pub(super) fn retire_attention(&self, attention: &mut Attention) {
        for (name, count) in self.upkeep.retire.asks.values() {
            let message = format!("the policy of {name} would retire {count} snapshots at once");
            let hint = format!("if that is meant: `nuthatch confirm {name}`; if not: `nuthatch folder set {name} keep=POLICY`");
            attention.add(Severity::Trouble, message, hint);
        }
    }
}

/// Of the forgotten snapshots that a person may mean the one that was taken last; a part of an id must fit one alone.
pub(super) fn newest_forgotten(place: &Place, mut fitting: Vec<Meant>) -> Result<Option<Meant>, ApiError> {
    if matches!(place.snapshot, Wanted::Prefix(_)) && fitting.len() > 1 {
        let message = "several forgotten snapshots begin like this";
        return Err(ApiError::new("ambiguous", message, "write more digits of the id"));
    }
    fitting.sort_by_key(|meant| meant.taken);
    Ok(fitting.pop())
}

/// A published snapshot.
pub(super) fn meant(fact: &SnapshotFact) -> Meant {
    let SnapshotEntry { folder, taken, manifest, .. } = fact.entry;
    Meant { id: fact.id, folder, taken, manifest, draft: false }
}

/// In which feeds, at which places, the snapshots stand.
fn places_of(view: &View, changes: &Changes) -> BTreeMap<FeedId, BTreeSet<u64>> {
    let mut places: BTreeMap<FeedId, BTreeSet<u64>> = BTreeMap::new();
    for fact in changes.keys().filter_map(|id| view.snapshot(id)) {
        places.entry(fact.feed).or_default().insert(fact.sequence);
    }
    places
}

/// Checkpoints over these places of a feed, each no longer than it may be.
fn windows(
    view: &View,
    feed: FeedId,
    places: &BTreeSet<u64>,
    changes: &Changes,
    version: u64,
) -> Vec<Checkpoint> {
    let (Some(first), Some(last)) = (places.first(), places.last()) else { return Vec::new() };
    let mut found: Vec<Checkpoint> = Vec::new();
    // The window that is open: it begins with a change, and ends with one.
    let mut open: Option<(u64, Vec<Standing>)> = None;
    for fact in view.snapshots_at(&feed, *first, last + 1) {
        let changed = changes.get(&fact.id);
        let before = view.stands(&fact.id).then(|| view.is_held(&fact.id));
        let stands = changed.copied().unwrap_or(before);
        if open.as_ref().is_some_and(|(_, standing)| standing.len() >= CHECKPOINT_STANDING_MAX) {
            open = None;
        }
        if open.is_none() && changed.is_none() {
            continue;
        }
        let (from, standing) = open.get_or_insert((fact.sequence, Vec::new()));
        standing.extend(stands.map(|held| Standing { sequence: fact.sequence, held }));
        let Some(hash) = view.hash_at(&feed, fact.sequence).filter(|_| changed.is_some()) else { continue };
        let until = Head { feed, length: fact.sequence + 1, hash };
        let checkpoint = Checkpoint { until, from: *from, version, standing: standing.clone() };
        // The same window, grown, replaces what it was.
        match found.last_mut().filter(|last| last.from == *from) {
            Some(last) => *last = checkpoint,
            None => found.push(checkpoint),
        }
    }
    found
}
