//! `snapshots`: a line for each, and how protected it is.

use serde_json::json;

use super::core::Core;
use super::names;
use super::ports::{CallId, Ending};
use super::status::no_folder;

impl Core {
    /// `snapshots`.
    pub(super) fn call_snapshots(&mut self, id: CallId, name: Option<&str>) {
        let folders = self.all_folders();
        if let Some(name) = name {
            if !folders.iter().any(|(_, _, text)| text.name == name) {
                let near = names::nearest(name, folders.iter().map(|(_, _, text)| text.name.as_str()));
                return self.end_call(id, Err(no_folder(name, &near)));
            }
        }
        let mut facts = self.snapshots(None);
        facts.sort_by_key(|fact| fact.entry.taken);
        for fact in facts {
            let folder = folders
                .iter()
                .find(|(_, entry, _)| entry.folder == fact.entry.folder)
                .map(|(_, _, text)| text.name.clone());
            if name.is_some() && folder.as_deref() != name {
                continue;
            }
            let protection = self.protection_of(&fact);
            let writer = self.member.as_ref().map(|member| member.name_of(&fact.writer));
            let counts = fact.entry.counts;
            self.json(id, json!({
                "snapshot": fact.id.hex(), "folder": folder, "taken": fact.entry.taken.to_string(),
                "files": counts.files, "directories": counts.directories, "bytes": counts.bytes, "chunks": counts.chunks,
                "stored_bytes": counts.stored_bytes, "skipped": fact.skipped, "torn": fact.torn, "writer": writer,
                "protected": {"have": protection.have, "wanted": protection.wanted, "sites": protection.sites}, "draft": fact.draft,
                "partial": !fact.entry.complete,
            }));
        }
        self.end_call(id, Ok(Ending::Complete));
    }
}
