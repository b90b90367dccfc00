//! `folder remove`: no more scans here; the snapshots stay.

use serde_json::json;

use crate::feed::entry::{FolderEntry, FolderKind, FolderText};
use crate::node::activity::Level;
use crate::node::after::AfterAppend;
use crate::node::api::ApiError;
use crate::node::core::Core;
use crate::node::names;
use crate::node::ports::{CallId, Output, WatchOrder};
use crate::node::share::kind_word;

impl Core {
    /// `folder remove`: no more scans here; the snapshots stay.
    pub(in crate::node) fn call_folder_remove(&mut self, call: CallId, name: &str) {
        let own = self.removable_folders();
        let Some((entry, text)) = own.iter().find(|(_, text)| text.name == name) else {
            let near = names::nearest(name, own.iter().map(|(_, text)| text.name.as_str()));
            return self.end_call(
                call,
                Err(ApiError::new(
                    "no_folder",
                    format!("this node has no folder '{name}'{near}"),
                    "see `nuthatch folder list`",
                )),
            );
        };
        let value = json!({"folder": entry.folder.hex(), "name": name, "kind": kind_word(entry.kind), "removed": true});
        let then = AfterAppend::Done { call, value };
        if !self.append_folder(entry.folder, entry.kind, entry.copies, text, true, then) {
            return self.end_call(call, Err(self.refusal()));
        }
        let local = self.folders.local.remove(&entry.folder).unwrap_or_default();
        self.drop_duty(local.running);
        let gone = ApiError::new("no_folder", format!("the folder '{name}' was removed"), "");
        self.outputs.push_back(Output::Watch(WatchOrder::Forget(entry.folder)));
        for (waiting, _) in local.waiters.into_iter().chain(local.later).chain(local.telling) {
            self.backup_call_ends(waiting, Err(gone.clone()));
        }
        for ordered in local.edits.into_iter().chain(local.editing) {
            self.ordered_ends(ordered, Err(gone.clone()));
        }
        let message = match entry.kind {
            FolderKind::Backup => format!("folder {name} is no longer backed up; its snapshots stay"),
            FolderKind::Shared => format!("folder {name} is no longer on this device"),
        };
        self.note(Level::Info, "folders", message);
    }

    /// The folders that this node may remove: its own, and those that are left behind.
    pub(in crate::node) fn removable_folders(&self) -> Vec<(FolderEntry, FolderText)> {
        let mut found = self.own_folders();
        let others = self.all_folders().into_iter();
        let left = others.filter(|(writer, entry, _)| self.is_left_behind(writer, entry));
        found.extend(left.map(|(_, entry, text)| (entry, text)));
        found
    }
}
