//! Shared folders of this node: when they are scanned, when what others have made is merged, and what becomes of that.
//!
//! ```text
//!   another device's snapshot --kept here whole--> due --scan--> own changes are numbered --> Merge --> disk, own snapshot
//! ```
//!
//! Every device publishes its own snapshot of the folder. What has something new is kept whole (`node/holding.rs`), whatever this
//! node's part is, so that a merge waits for nobody. A scan comes right before a merge: what was changed here has its number then. No
//! change is numbered before a peer has shown what it knows of this node, or while there is another device and none was met: a disk
//! that was restored from an image would use numbers again that others know.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::activity::Level;
use super::after::AfterAppend;
use super::api::{ApiError, FolderAdd};
use super::core::{Core, Duty};
use super::folder_add::check_place;
use super::folder_set::max_size_of;
use super::member::SnapshotFact;
use super::merging::{MergeJob, Merging};
use super::names;
use super::outcome::Parent;
use super::ports::CallId;
use super::share_scan::SharedScan;
use crate::base::gather;
use crate::base::ids::{FolderId, NodeId, SnapshotId};
use crate::base::units::WallTime;
use crate::base::version::Vector;
use crate::feed::entry::{FolderEntry, FolderKind, FolderText, Mode, SharedText};
use crate::file::merge::needs_merge;

mod end;
pub(super) mod unwritten;

impl SnapshotFact {
    /// How new it is: of a shared folder by what its writer had seen, whatever clocks say, then by its label.
    pub(super) fn age(&self) -> (u64, WallTime) {
        (self.shared.as_ref().map_or(0, |shared| shared.seen.sum()), self.entry.taken)
    }

    /// What it says of a shared folder: its tree, and what its writer knew.
    pub(super) fn shared_state(&self) -> Option<(Parent, SharedText)> {
        let parent = Parent { tree: self.tree?, manifest: self.entry.manifest, counts: self.entry.counts };
        Some((parent, self.shared.clone()?))
    }
}

/// What is known of a shared folder.
struct Standing {
    /// The state that this device has, and whether its disk is as that says. Not so where the folder was attached anew or lies
    /// elsewhere now: then all of it counts as not applied yet, and what stands there is adopted or set aside.
    own: Option<(SnapshotFact, bool)>,
    /// The newest state of each other device that has written one: the one that has seen most, whatever clocks say.
    heads: BTreeMap<NodeId, SnapshotFact>,
}

impl Standing {
    /// States of other devices that have something new.
    fn news(self) -> Vec<SnapshotFact> {
        let ours = self.own.and_then(|(fact, _)| fact.shared_state());
        let (tree, seen) = ours.map(|(parent, shared)| (parent.tree, shared.seen)).unzip();
        let seen = seen.unwrap_or_default();
        let is_new = |fact: &SnapshotFact| {
            fact.shared_state()
                .is_some_and(|(parent, shared)| needs_merge(&seen, &shared.seen, tree == Some(parent.tree)))
        };
        self.heads.into_values().filter(is_new).collect()
    }
}

/// A kind of folder in a word.
pub(super) const fn kind_word(kind: FolderKind) -> &'static str {
    match kind {
        FolderKind::Backup => "backup",
        FolderKind::Shared => "shared",
    }
}

impl Core {
    /// Whether the only device that backed a folder up is a member no more: another one may take it over.
    pub(super) fn is_left_behind(&self, writer: &NodeId, entry: &FolderEntry) -> bool {
        let member = self.member.as_ref();
        entry.kind == FolderKind::Backup
            && !entry.removed
            && member.is_some_and(|member| member.view.roster().member(writer).is_none())
    }

    /// Another member that backs up a folder which this one backs up as well: two have taken it over at once.
    pub(super) fn rival_of(&self, folder: &FolderId) -> Option<String> {
        let member = self.member.as_ref()?;
        let mut writers = member.view.folder_facts(folder).filter(|fact| {
            let is_member = member.view.roster().member(&fact.writer).is_some();
            fact.entry.kind == FolderKind::Backup && !fact.entry.removed && is_member
        });
        writers.find(|fact| fact.writer != member.node).map(|fact| member.name_of(&fact.writer))
    }

    /// Every folder once: of a shared one this device's side, or that of the first who has it.
    pub(super) fn shown_folders(&self) -> Vec<(NodeId, FolderEntry, FolderText)> {
        let own = self.member.as_ref().map(|member| member.node);
        let mut all = self.all_folders();
        let rank = |writer: &NodeId, entry: &FolderEntry| (entry.removed, Some(*writer) != own);
        let best: BTreeMap<FolderId, NodeId> = {
            let mut sorted: Vec<_> =
                all.iter().filter(|(_, entry, _)| entry.kind == FolderKind::Shared).collect();
            sorted.sort_by_key(|(writer, entry, _)| std::cmp::Reverse(rank(writer, entry)));
            gather::map(sorted.into_iter().map(|(writer, entry, _)| (entry.folder, *writer)))
        };
        all.retain(|(writer, entry, _)| best.get(&entry.folder).is_none_or(|shown| shown == writer));
        all
    }

    /// Shared folders that this device has.
    fn own_shared_folders(&self) -> Vec<FolderId> {
        let Some(member) = &self.member else { return Vec::new() };
        let own = member.view.folders().filter(|fact| {
            fact.writer == member.node && fact.entry.kind == FolderKind::Shared && !fact.entry.removed
        });
        own.map(|fact| fact.entry.folder).collect()
    }

    /// Whether a folder is a shared one that this device has.
    pub(super) fn is_shared(&self, folder: &FolderId) -> bool {
        self.own_shared_folders().contains(folder)
    }

    /// What is known of a shared folder.
    fn standing(&self, folder: &FolderId) -> Option<Standing> {
        let member = self.member.as_ref()?;
        let binding = self.folders.binding(folder);
        let recorded = binding.applied.filter(|_| binding.marker.is_some());
        let (mut heads, mut here) = (BTreeMap::new(), None);
        // They come by what they have seen: later ones take the place of earlier ones.
        for fact in self.snapshots(Some(folder)).into_iter().filter(|fact| fact.shared.is_some()) {
            let applied = fact.shared.as_ref().map(|shared| shared.applied);
            if fact.writer == member.node && applied == recorded {
                here = Some(fact.clone());
            }
            heads.insert(fact.writer, fact);
        }
        // Whoever knows more of this feed's changes than this node does says what was forgotten here: no number is used twice.
        let count =
            |fact: &SnapshotFact| fact.shared.as_ref().map_or(0, |shared| shared.seen.of(&member.own));
        let most = heads.values().max_by_key(|fact| count(fact)).filter(|most| count(most) > 0).cloned();
        let newest = heads.remove(&member.node).map(|fact| (fact, false));
        let own = match (here.map(|fact| (fact, true)).or(newest), most) {
            (Some((own, _)), Some(most)) if count(&most) > count(&own) => Some((most, false)),
            (None, Some(most)) => Some((most, false)),
            (own, _) => own,
        };
        Some(Standing { own, heads })
    }

    /// The snapshot that says what this device knows of a shared folder.
    pub(super) fn own_shared(&self, folder: &FolderId) -> Option<SnapshotFact> {
        Some(self.standing(folder)?.own?.0)
    }

    /// Whether a snapshot is what this device knows of a shared folder: it must stay.
    pub(super) fn is_own_state(&self, folder: &FolderId, snapshot: &SnapshotId) -> bool {
        self.own_shared(folder).is_some_and(|fact| fact.id == *snapshot)
    }

    /// What a scan of a shared folder begins with.
    pub(super) fn shared_scan(&self, folder: &FolderId) -> Option<(Option<Parent>, SharedScan)> {
        let feed = self.member.as_ref()?.own;
        let receive = self.receives(folder);
        let Standing { own, heads } = self.standing(folder)?;
        // Who only receives begins with what others have: what is just so here already is not set aside.
        let whole = heads.into_values().filter(|fact| receive && self.is_whole(&fact.id));
        let own = own.or_else(|| whole.max_by_key(SnapshotFact::age).map(|fact| (fact, false)));
        let own = own.and_then(|(fact, is_here)| Some((fact.shared_state()?, is_here)));
        let Some(((parent, SharedText { applied, seen }), is_here)) = own else {
            return Some((None, SharedScan { applied: None, seen: Vector::default(), feed, receive }));
        };
        Some((Some(parent), SharedScan { applied: Some(applied).filter(|_| is_here), seen, feed, receive }))
    }

    /// Whether a scan has to wait until what others have is here: this device only receives, and has nothing of it yet.
    pub(super) fn waits_for_others(&self, folder: &FolderId) -> bool {
        self.receives(folder)
            && self.standing(folder).is_some_and(|Standing { own, heads }| {
                let is_whole = heads.values().any(|fact| self.is_whole(&fact.id));
                own.is_none() && !heads.is_empty() && !is_whole
            })
    }

    /// Whether this device only receives what others do in a folder.
    pub(super) fn receives(&self, folder: &FolderId) -> bool {
        self.mode_of(folder) == Mode::Receive
    }

    /// What this device does with the changes of a shared folder.
    fn mode_of(&self, folder: &FolderId) -> Mode {
        let own = self.own_folders().into_iter().find(|(entry, _)| entry.folder == *folder);
        own.map_or(Mode::Both, |(_, text)| text.mode)
    }

    /// Whether changes may be numbered now.
    pub(super) fn may_number(&self) -> bool {
        self.member.as_ref().is_some_and(|member| member.confirmed || member.is_alone())
    }

    /// States of other devices that have something new for a shared folder here.
    pub(super) fn news(&self, folder: &FolderId) -> Vec<SnapshotFact> {
        let news = self.standing(folder).map(Standing::news).unwrap_or_default();
        // The mode stands in a sealed text, which is opened only where it matters.
        if news.is_empty() || self.mode_of(folder) == Mode::Send {
            return Vec::new();
        }
        news
    }

    /// Snapshots that are to be kept whole, because they have something new for a shared folder here.
    pub(super) fn shared_wanted(&self) -> BTreeSet<SnapshotId> {
        let folders = self.own_shared_folders();
        let edited = self
            .folders
            .local
            .iter()
            .filter(|(folder, local)| !local.edits.is_empty() && !folders.contains(folder));
        let edited = edited.flat_map(|(folder, _)| self.shared_heads(folder));
        folders.iter().flat_map(|folder| self.news(folder)).chain(edited).map(|fact| fact.id).collect()
    }

    /// The newest state of each device that has written one: last the one that has seen most.
    pub(super) fn all_heads(&self, folder: &FolderId) -> Vec<SnapshotFact> {
        let facts = self.snapshots(Some(folder)).into_iter().filter(|fact| fact.shared.is_some());
        let heads: BTreeMap<NodeId, SnapshotFact> = gather::map(facts.map(|fact| (fact.writer, fact)));
        let mut heads: Vec<SnapshotFact> = heads.into_values().collect();
        heads.sort_by_key(SnapshotFact::age);
        heads
    }

    /// Whether all chunks of a snapshot are here.
    pub(super) fn is_whole(&self, snapshot: &SnapshotId) -> bool {
        let Some(member) = &self.member else { return false };
        let is_own = member.view.snapshot(snapshot).is_some_and(|fact| fact.writer == member.node);
        let mut receipts = member.view.receipts(snapshot);
        is_own || receipts.any(|(node, groups)| node == member.node && groups.is_all())
    }

    /// A snapshot is kept here: if it has something new for a shared folder, that is scanned, and merged then.
    pub(super) fn share_kept(&mut self, snapshot: &SnapshotId) {
        let folder = self.member.as_ref().and_then(|member| member.view.snapshot(snapshot));
        let Some(folder) = folder.map(|fact| fact.entry.folder) else { return };
        if !self.is_shared(&folder) {
            self.begin_edits(folder);
        } else if self.news(&folder).iter().any(|fact| fact.id == *snapshot) {
            self.begin_scan(folder);
        }
    }

    /// A peer has shown what it knows of this node: what waited for that is looked at.
    pub(super) fn share_may_number(&mut self) {
        let due = self.now.time;
        for folder in self.own_shared_folders() {
            let local = self.local(folder);
            local.next_scan = Some(local.next_scan.map_or(due, |next| next.min(due)));
        }
    }

    /// A shared folder was scanned: what others have made is merged, if all of it is here. Whether a merge began.
    pub(super) fn begin_merge(&mut self, folder: FolderId) -> bool {
        let own = self.own_folders().into_iter().find(|(entry, _)| entry.folder == folder);
        let shared = own.filter(|(entry, _)| entry.kind == FolderKind::Shared);
        let (Some((_, text)), Some(standing)) = (shared, self.standing(&folder)) else { return false };
        // The scan right before has told what this disk is as, unless that could not be kept.
        let own = standing.own.as_ref().filter(|(_, is_here)| *is_here && self.may_number());
        let Some(ours) = own.and_then(|(fact, _)| fact.shared_state()) else { return false };
        let news = if text.mode == Mode::Send { Vec::new() } else { standing.news() };
        let whole = news.into_iter().filter(|fact| self.is_whole(&fact.id));
        let theirs: Vec<(Parent, SharedText)> = whole.filter_map(|fact| fact.shared_state()).collect();
        let local = self.folders.local.get(&folder);
        if theirs.is_empty()
            && local.is_none_or(|local| !local.unwritten.is_worth_a_merge() && local.edits.is_empty())
        {
            return false;
        }
        let Some(job) = self.merge_job(&folder, ours, theirs) else { return false };
        let marker = self.folders.binding(&folder).marker;
        let edits = self.take_edits(folder);
        self.begin_merge_duty(folder, MergeJob { root: Some(text.directory), marker, edits, ..job });
        true
    }

    /// A merge of these states that changes nothing on the disk yet.
    pub(super) fn merge_job(
        &self,
        folder: &FolderId,
        ours: (Parent, SharedText),
        theirs: Vec<(Parent, SharedText)>,
    ) -> Option<MergeJob> {
        let member = self.member.as_ref()?;
        let super::member::Keys::Full(keys) = &member.keys else { return None };
        // The name that a device was let in with: all know the same, and it does not change, nor when it is removed.
        let name = |node: &NodeId| {
            let roster = member.view.roster();
            let known = roster.member(node).or_else(|| roster.former().find(|former| former.node == *node));
            let named = known.map(|member| member.name.clone());
            named.filter(|name| !name.is_empty()).unwrap_or_else(|| node.short())
        };
        let of_folder = member.view.snapshots().filter(|fact| fact.entry.folder == *folder);
        let writers = of_folder.map(|fact| fact.writer);
        let members = member.view.roster().members().map(|member| member.node);
        Some(MergeJob {
            root: None,
            marker: None,
            ours,
            theirs,
            feed: member.own,
            names: members.chain(writers).map(|node| (node, name(&node))).collect(),
            own_name: name(&member.node),
            map_key: keys.map,
            edits: Vec::new(),
        })
    }

    /// Begins a merge.
    pub(super) fn begin_merge_duty(&mut self, folder: FolderId, job: MergeJob) {
        let number = self.begin_duty(|duty| Duty::Merge(Box::new(Merging::new(job, duty)), folder));
        self.local(folder).running = Some(number);
    }

    /// `folder attach`: an existing shared folder, on this device too.
    pub(super) fn call_folder_attach(&mut self, call: CallId, add: FolderAdd) {
        let (entry, known) = match self.check_attach(&add) {
            Ok(found) => found,
            Err(error) => return self.end_call(call, Err(error)),
        };
        let kind = kind_word(entry.kind);
        let text = FolderText {
            max_size: max_size_of(&add, known.max_size).ok().flatten(),
            directory: add.directory,
            ignore: if add.ignore.is_empty() { known.ignore.clone() } else { add.ignore },
            one_file_system: add.one_file_system,
            mode: add.mode,
            ..known
        };
        let value = json!({
            "folder": entry.folder.hex(), "name": text.name, "copies": entry.copies.get(), "kind": kind,
        });
        let then = AfterAppend::Done { call, value };
        if !self.append_folder(entry.folder, entry.kind, entry.copies, &text, false, then) {
            return self.end_call(call, Err(self.refusal()));
        }
        let what =
            if kind == "shared" { "is on this device, too" } else { "is backed up by this device now" };
        self.note(Level::Info, "folders", format!("folder {} {what}", text.name));
        let due = self.now.time;
        self.forget_place(entry.folder);
        self.local(entry.folder).next_scan = Some(due);
        self.holding.recheck(due);
    }

    /// The folder that is meant by `folder attach`: a shared one, or one that is left behind.
    pub(super) fn check_attach(&self, add: &FolderAdd) -> Result<(FolderEntry, FolderText), ApiError> {
        check_place(add)?;
        let all = self.all_folders();
        let open = all.iter().filter(|(writer, entry, _)| {
            entry.kind == FolderKind::Shared && !entry.removed || self.is_left_behind(writer, entry)
        });
        let found = open.clone().find(|(_, _, text)| text.name == add.name);
        let Some((_, entry, text)) = found else {
            let of_one = all.iter().find(|(_, entry, text)| text.name == add.name && !entry.removed);
            if let (Some((writer, ..)), Some(member)) = (of_one, &self.member) {
                let name = member.name_of(writer);
                let message = format!("'{}' is no shared folder: it is backed up by {name} alone", add.name);
                let hint =
                    format!("if that device is gone for good: `nuthatch remove {name}`, then attach it");
                return Err(ApiError::new("no_folder", message, hint));
            }
            let near = names::nearest(&add.name, open.map(|(_, _, text)| text.name.as_str()));
            let message = format!("the vault has no shared folder '{}'{near}", add.name);
            let hint =
                "see `nuthatch folder list`; make one with `nuthatch folder add NAME DIR --kind shared`";
            return Err(ApiError::new("no_folder", message, hint));
        };
        if entry.kind == FolderKind::Backup && add.mode != Mode::Both {
            let message = format!("'{}' is a backup folder, which only sends", add.name);
            return Err(ApiError::new("not_shared", message, "leave --mode away"));
        }
        if entry.kind == FolderKind::Backup
            && self.gossip.peers().next().is_some()
            && !self.gossip.is_settled()
        {
            let message = "what other devices know is still on its way: one may have taken the folder over";
            return Err(ApiError::new("offline", message, "try again in a moment"));
        }
        if self.is_shared(&entry.folder) {
            let message = format!("this device has the folder '{}' already", add.name);
            return Err(ApiError::new("exists", message, "see `nuthatch folder list`"));
        }
        Ok((entry.clone(), text.clone()))
    }
}
