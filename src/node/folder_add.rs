//! `folder add`: what must hold of a new folder, and the entry that says so.

use serde_json::json;

use super::activity::Level;
use super::after::AfterAppend;
use super::api::{ApiError, FolderAdd};
use super::core::Core;
use super::folder_set::max_size_of;
use super::names;
use super::ports::CallId;
use crate::base::ids::FolderId;
use crate::base::limits::{FOLDERS_MAX, SCAN_AFTER_START};
use crate::base::units::Copies;
use crate::feed::entry::{Body, FolderEntry, FolderKind, FolderText, Mode};
use crate::file::ignore::IgnoreStack;
use crate::file::retain::Policy;

impl Core {
    /// `folder add`.
    pub(super) fn call_folder_add(&mut self, call: CallId, add: FolderAdd) {
        if add.kind == "attach" {
            return self.call_folder_attach(call, add);
        }
        let checked = self.check_folder(&add);
        let (kind, copies, keep) = match checked {
            Ok(good) => good,
            Err(error) => return self.end_call(call, Err(error)),
        };
        let folder = FolderId::from_bytes(self.random());
        let text = FolderText {
            name: add.name.clone(),
            max_size: max_size_of(&add, None).ok().flatten(),
            directory: add.directory,
            ignore: add.ignore,
            one_file_system: add.one_file_system,
            keep: keep.counts(),
            mode: add.mode,
        };
        let value = json!({"folder": folder.hex(), "name": add.name, "copies": copies.get(), "keep": keep.to_string(), "kind": add.kind});
        let then = AfterAppend::Done { call, value };
        if self.append_folder(folder, kind, copies, &text, false, then) {
            self.note(Level::Info, "folders", format!("folder {} was added", add.name));
            let wait = if self.setup.config.watch { SCAN_AFTER_START } else { self.setup.config.rescan };
            let due = self.now.time + wait;
            self.local(folder).next_scan = Some(due);
        } else {
            let mut error = self.refusal();
            if error.code == "refused" {
                let hint = "use fewer or shorter --ignore patterns";
                error = ApiError::new("bad_folder", "the folder's description is too long", hint);
            }
            self.end_call(call, Err(error));
        }
    }

    /// What must hold of a new folder.
    pub(super) fn check_folder(&self, add: &FolderAdd) -> Result<(FolderKind, Copies, Policy), ApiError> {
        names::check_folder_name(&add.name)?;
        let kind = match add.kind.as_str() {
            "backup" => FolderKind::Backup,
            "shared" => FolderKind::Shared,
            other => {
                let message = format!("there are no folders of kind '{other}'");
                return Err(ApiError::new("not_supported", message, "use --kind backup or --kind shared"));
            }
        };
        if kind == FolderKind::Backup && add.mode != Mode::Both {
            let message = format!("'{}' would be a backup folder, which only sends", add.name);
            return Err(ApiError::new("not_shared", message, "leave --mode away, or add --kind shared"));
        }
        names::check_copies(add.copies)?;
        check_place(add)?;
        let folders = self.all_folders();
        let same = folders.iter().find(|(_, entry, text)| text.name == add.name && !entry.removed);
        if let Some((writer, entry, _)) = same {
            let hint = if self.is_left_behind(writer, entry) {
                "choose another name, or take it over with `nuthatch folder attach`: its device was removed"
            } else {
                "choose another name"
            };
            return Err(ApiError::new("exists", format!("there is a folder '{}' already", add.name), hint));
        }
        let present = folders.iter().filter(|(_, entry, _)| !entry.removed);
        let mut present: Vec<FolderId> = present.map(|(_, entry, _)| entry.folder).collect();
        present.dedup();
        if present.len() >= FOLDERS_MAX {
            return Err(ApiError::new(
                "too_many",
                format!("a vault has at most {FOLDERS_MAX} folders"),
                "remove one first",
            ));
        }
        let copies = add.copies.map_or(self.setup.config.copies, Copies::new);
        Ok((kind, copies, self.policy_of(add)?))
    }

    /// Writes a folder's entry. False when it was refused.
    pub(super) fn append_folder(
        &mut self,
        folder: FolderId,
        kind: FolderKind,
        copies: Copies,
        text: &FolderText,
        removed: bool,
        then: AfterAppend,
    ) -> bool {
        let Some(member) = self.member.as_ref().filter(|_| self.keyring.may_seal()) else { return false };
        let (Some(sealer), Ok(plain)) = (&member.sealer, text.encode()) else { return false };
        let sealed = sealer.seal_text(&member.own, member.next_sequence(), &plain);
        let entry = FolderEntry { folder, kind, copies, removed, sealed };
        self.append(Body::Folder(entry), Vec::new(), then).is_some()
    }
}

/// What must hold of the place of a folder.
pub(super) fn check_place(add: &FolderAdd) -> Result<(), ApiError> {
    if !add.directory.starts_with(b"/") {
        return Err(ApiError::new(
            "bad_directory",
            "the directory must be an absolute path",
            "write the path from / on",
        ));
    }
    max_size_of(add, None)?;
    IgnoreStack::new(&add.ignore)
        .map(|_| ())
        .map_err(|error| ApiError::new("bad_pattern", error.to_string(), "patterns follow .gitignore"))
}
