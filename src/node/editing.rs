//! `put` and `rm`: what a person wants of a shared folder, on any full node, with or without a directory of it there.
//!
//! ```text
//!   put --> Upload (node/upload.rs) --all of it is in the store--.
//!   rm ----------------------------------------------------------+--> waits --> Merge with edits --> snapshot --> told
//!                                                                      ^   a directory here: behind the next scan (node/share.rs)
//!                                                                      |   none: as soon as all that others have made is here
//! ```
//!
//! An edit is a change of this device, made on top of all that it knows, and published like any other; devices that have a
//! directory write it there. A device that publishes a snapshot counts as one that has all of it, so one without a directory
//! keeps the folder's newest snapshots whole (sealed, in the store) before it changes anything. Of what it has published it
//! retires what the folder's policy would.

use serde_json::{json, Value};

use super::api::{ApiError, PutFile};
use super::core::{Core, Duty};
use super::edit::{shown, Act, Done, Edit};
use super::lookup::wanted_key;
use super::member::{Keys, SnapshotFact};
use super::merging::{MergeEnd, MergeJob};
use super::names::{nearest, Place, Wanted};
use super::order::backup_error;
use super::outcome::{BackupError, Parent};
use super::ports::{CallId, Ending, Output};
use super::status::no_folder;
use super::upload::{Upload, UploadJob, UploadOutput, Uploaded};
use crate::base::ids::FolderId;
use crate::base::limits::{EDITS_AT_ONCE_MAX, EDIT_WAIT_MAX};
use crate::base::units::Time;
use crate::feed::entry::{FolderEntry, FolderKind, FolderText, SharedText};
use crate::file::entry::{Attributes, Entry, Kind, Stat};
use crate::file::merge::needs_merge;

mod places;

/// An edit that waits, and who waits for it.
#[derive(Debug)]
pub(super) struct Ordered {
    /// It.
    edit: Edit,
    /// The call.
    call: CallId,
    /// It waits until protected.
    wait: bool,
    /// The duty that has brought its content.
    upload: Option<u64>,
    /// What its call is told when it is done.
    line: Value,
    /// Since when it waits.
    since: Time,
}

impl Ordered {
    /// When it is given up.
    pub(super) fn due(&self) -> Time {
        self.since + EDIT_WAIT_MAX
    }
}

impl Core {
    /// A shared folder as this device says of it, or else as another one does.
    pub(super) fn writable_folder(&self, folder: &FolderId) -> Option<(FolderEntry, FolderText)> {
        let own = self.own_folders().into_iter().find(|(entry, _)| entry.folder == *folder);
        own.or_else(|| {
            let all = self.all_folders().into_iter().map(|(_, entry, text)| (entry, text));
            let is_it = |entry: &FolderEntry| entry.folder == *folder && entry.kind == FolderKind::Shared;
            all.into_iter().find(|(entry, _)| is_it(entry) && !entry.removed)
        })
    }

    /// The shared folder and the key in it that `NAME:PATH` means.
    pub(super) fn find_editable(&self, what: &str) -> Result<(FolderId, Vec<u8>), ApiError> {
        let place = Place::parse(what)?;
        let all = self.all_folders();
        let standing = all.iter().filter(|(_, entry, _)| !entry.removed);
        let named: Vec<_> = standing.clone().filter(|(_, _, text)| text.name == place.folder).collect();
        let shared = named.iter().find(|(_, entry, _)| entry.kind == FolderKind::Shared);
        let Some((_, entry, _)) = shared else {
            if named.is_empty() {
                let near = nearest(&place.folder, standing.map(|(_, _, text)| text.name.as_str()));
                return Err(no_folder(&place.folder, &near));
            }
            let message = format!(
                "'{}' is a backup folder, which only the device that backs it up changes",
                place.folder
            );
            let hint = "change the file there; a folder that is made with `--kind shared` can be changed from everywhere";
            return Err(ApiError::new("not_shared", message, hint));
        };
        if place.snapshot != Wanted::Latest {
            let hint = "leave the @SNAPSHOT away";
            return Err(ApiError::new(
                "bad_snapshot",
                "a snapshot never changes; only the folder as it is now does",
                hint,
            ));
        }
        match wanted_key(place.path.as_bytes())? {
            key if key.is_empty() => {
                let hint = "write it as NAME:PATH";
                Err(ApiError::new("bad_path", format!("'{what}' names no path in the folder"), hint))
            }
            key => Ok((entry.folder, key)),
        }
    }

    /// `put`: takes what the client sends.
    pub(super) fn call_put(&mut self, id: CallId, what: &str, file: PutFile, wait: bool) {
        let found = self.find_editable(what);
        let keys = self.member.as_ref().and_then(|member| match &member.keys {
            Keys::Full(keys) => Some((keys.cut, keys.map)),
            Keys::Store(_) => None,
        });
        let may_seal = self.keyring.may_seal();
        match (found, keys.filter(|_| may_seal)) {
            (Err(error), _) => self.end_call(id, Err(error)),
            (Ok(_), None) => self.end_call(id, Err(self.refusal())),
            (Ok((folder, key)), Some((cut_key, map_key))) => {
                let job = UploadJob { folder, key, file, wait, cut_key, map_key };
                self.fill_call(id, |duty| Duty::Upload(Box::new(Upload::new(job, duty)), id));
            }
        }
    }

    /// The client of a call sent a piece of what it sends.
    pub(super) fn data_came(&mut self, id: CallId, bytes: Vec<u8>, end: bool) {
        if let Some(Duty::Upload(upload, _)) =
            self.calls.duty_of(id).and_then(|duty| self.duties.get_mut(&duty))
        {
            upload.data(bytes, end);
        }
    }

    /// `rm`.
    pub(super) fn call_delete(&mut self, id: CallId, what: &str, recursive: bool) {
        match self.find_editable(what) {
            Err(error) => self.end_call(id, Err(error)),
            Ok((folder, key)) => {
                let line = json!({"event": "removed", "path": shown(&key)});
                let edit = Edit { key, act: Act::Remove { recursive } };
                self.order(
                    folder,
                    Ordered { edit, call: id, wait: false, upload: None, line, since: self.now.time },
                );
            }
        }
    }

    /// One turn of an upload. False when it waits.
    pub(super) fn poll_upload(&mut self, number: u64) -> bool {
        let sealer = self.member.as_mut().and_then(|member| member.sealer.as_mut());
        let (Some(Duty::Upload(upload, call)), Some(sealer)) = (self.duties.get_mut(&number), sealer) else {
            return false;
        };
        let (call, folder, is_listing) = (*call, upload.job.folder, upload.is_listing());
        match upload.poll(sealer) {
            Some(UploadOutput::Ask(ask)) => {
                if !is_listing {
                    self.push_sees(number, folder, &ask);
                }
                self.ask(ask);
            }
            Some(UploadOutput::More) => self.outputs.push_back(Output::More(call)),
            Some(UploadOutput::Finished(result)) => self.upload_finished(number, call, result),
            None => return false,
        }
        true
    }

    /// All that a client sends is in the store, or not.
    pub(super) fn upload_finished(
        &mut self,
        number: u64,
        call: CallId,
        result: Result<Box<Uploaded>, BackupError>,
    ) {
        let Some(Duty::Upload(upload, _)) = self.duties.get(&number) else { return };
        let UploadJob { folder, key, file, wait, .. } = upload.job.clone();
        let uploaded = match result {
            Ok(uploaded) => *uploaded,
            Err(error) => return self.duty_call_ends(number, call, Err(backup_error(&error))),
        };
        let Uploaded { content, tail, texture, length, manifest, new_bytes } = uploaded;
        let line = json!({
            "event": "put", "path": shown(&key), "bytes": length, "stored_bytes": new_bytes,
        });
        let stat = Stat {
            size: length,
            mtime_ns: file.mtime_ns.unwrap_or_else(|| self.now.wall.as_micros().saturating_mul(1_000)),
            ctime_ns: 0,
            inode: 0,
            mode: file.mode.unwrap_or(0o644),
            uid: 0,
            gid: 0,
            links: 1,
        };
        let attributes = Attributes::Here(Vec::new());
        let entry =
            Entry { kind: Kind::File, stat, attributes, content, torn: false, texture, version: None };
        let edit = Edit { key, act: Act::Put { entry: Box::new(entry), tail, manifest } };
        self.order(folder, Ordered { edit, call, wait, upload: Some(number), line, since: self.now.time });
    }

    /// An edit is ready.
    fn order(&mut self, folder: FolderId, ordered: Ordered) {
        self.local(folder).edits.push(ordered);
        self.begin_edits(folder);
    }

    /// Edits that wait are made, as soon as that is possible.
    pub(super) fn begin_edits(&mut self, folder: FolderId) {
        if self.folders.local.get(&folder).is_none_or(|local| local.edits.is_empty()) {
            return;
        }
        if self.is_shared(&folder) {
            return self.begin_scan(folder);
        }
        if self.local(folder).running.is_some() {
            return;
        }
        if !self.may_number() {
            return self.edits_fail(folder, &self.unconfirmed());
        }
        // The key that is here is known to a device that was removed.
        if !self.keyring.may_seal() {
            return self.edits_fail(folder, &super::keyring::waiting());
        }
        let heads = self.shared_heads(&folder);
        if heads.is_empty() {
            let hint = "try again when the device that made it has backed it up once";
            let error = ApiError::new("no_snapshot", "the folder has no snapshot yet", hint);
            return self.edits_fail(folder, &error);
        }
        // All of an own draft is here.
        if !heads.iter().all(|fact| fact.draft || self.is_whole(&fact.id)) {
            let line =
                json!({"event": "waiting", "message": "the folder's newest snapshot comes here first"});
            let calls: Vec<CallId> = self.local(folder).edits.iter().map(|ordered| ordered.call).collect();
            calls.into_iter().for_each(|call| self.progress(call, line.clone()));
            return self.holding.recheck(self.now.time);
        }
        self.edit_without_directory(folder, heads);
    }

    /// States of a shared folder that this device has no directory of: the one that has seen most, and those with something new to it.
    pub(super) fn shared_heads(&self, folder: &FolderId) -> Vec<SnapshotFact> {
        let mut heads = self.all_heads(folder);
        let Some(base) = heads.pop() else { return heads };
        let seen = base.shared.as_ref().map(|shared| shared.seen.clone()).unwrap_or_default();
        heads.retain(|fact| {
            fact.shared
                .as_ref()
                .is_some_and(|shared| needs_merge(&seen, &shared.seen, fact.tree == base.tree))
        });
        heads.insert(0, base);
        heads
    }

    /// Merges all states into the first, and edits what comes out.
    fn edit_without_directory(&mut self, folder: FolderId, heads: Vec<SnapshotFact>) {
        let mut states = heads.iter().filter_map(SnapshotFact::shared_state);
        let Some(ours) = states.next() else { return };
        let theirs: Vec<(Parent, SharedText)> = states.collect();
        let edits = self.take_edits(folder);
        let job = self.merge_job(&folder, ours, theirs);
        let Some(job) = job.map(|job| MergeJob { edits, ..job }) else {
            return self.edits_fail(folder, &self.refusal());
        };
        self.local(folder).started = self.now.wall;
        self.begin_merge_duty(folder, job);
    }

    /// Takes edits that do not touch each other: they are being made now.
    pub(super) fn take_edits(&mut self, folder: FolderId) -> Vec<Edit> {
        let local = self.local(folder);
        let (mut later, mut taken) = (Vec::new(), Vec::<Ordered>::new());
        for ordered in local.edits.drain(..) {
            let mut before = taken.iter().chain(&later);
            let is_free = !before.any(|other| other.edit.touches(&ordered.edit));
            if is_free && taken.len() < EDITS_AT_ONCE_MAX {
                taken.push(ordered);
            } else {
                later.push(ordered);
            }
        }
        let edits = taken.iter().map(|ordered| ordered.edit.clone()).collect();
        (local.edits, local.editing) = (later, taken);
        edits
    }

    /// Gives up edits that have waited for too long for what other devices have.
    pub(super) fn give_up_edits(&mut self) {
        let now = self.now.time;
        let is_late = |ordered: &Ordered| ordered.due() <= now;
        let late: Vec<FolderId> = self
            .folders
            .local
            .iter()
            .filter(|(_, local)| local.running.is_none() && local.edits.iter().any(is_late))
            .map(|(folder, _)| *folder)
            .collect();
        for folder in late {
            let hint = "try again when a device that has the folder is on";
            let message = "what other devices have of the folder did not come here";
            self.edits_fail(folder, &ApiError::new("offline", message, hint));
        }
    }

    /// Edits were made, or refused: those that were wait for the snapshot to be durable. Whether any does.
    pub(super) fn edits_made(&mut self, folder: FolderId, end: &mut MergeEnd) -> bool {
        let editing = std::mem::take(&mut self.local(folder).editing);
        let mut is_awaited = false;
        for (ordered, result) in editing.into_iter().zip(std::mem::take(&mut end.edits)) {
            match result {
                Err(error) => self.ordered_ends(ordered, Err(error)),
                Ok(done) => {
                    let Ordered { call, wait, upload, mut line, .. } = ordered;
                    self.drop_duty(upload);
                    line["result"] = json!(word(done));
                    self.json(call, line);
                    if end.is_new && done != Done::Unchanged {
                        self.calls.expect_backups(call, 1);
                        self.local(folder).telling.push((call, wait));
                        is_awaited = true;
                    } else {
                        self.end_call(call, Ok(Ending::Complete));
                    }
                }
            }
        }
        is_awaited
    }

    /// Nothing that waits can be made.
    pub(super) fn edits_fail(&mut self, folder: FolderId, error: &ApiError) {
        let Some(local) = self.folders.local.get_mut(&folder) else { return };
        let mut all = std::mem::take(&mut local.editing);
        all.append(&mut local.edits);
        for ordered in all {
            self.ordered_ends(ordered, Err(error.clone()));
        }
    }

    /// Nobody waits for this call any more: what was not begun for it is not made.
    pub(super) fn edits_dropped(&mut self, call: CallId) {
        for local in self.folders.local.values_mut() {
            local.edits.retain(|ordered| ordered.call != call);
        }
    }

    /// An edit is over.
    pub(super) fn ordered_ends(&mut self, ordered: Ordered, result: Result<Ending, ApiError>) {
        self.drop_duty(ordered.upload);
        self.end_call(ordered.call, result);
    }
}

/// What became of an edit, in a word.
const fn word(done: Done) -> &'static str {
    match done {
        Done::Created => "created",
        Done::Replaced => "replaced",
        Done::Unchanged => "unchanged",
        Done::Removed => "removed",
    }
}
