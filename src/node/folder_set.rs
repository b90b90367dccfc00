//! `folder set`: what is said of a folder when it was added can be said otherwise later.
//!
//! Owns the words (`copies`, `keep`, `ignore`, `one-file-system`, `max-size`, `directory`, `name`) and what follows from a change. All
//! of it stands in the folder's entry, so a change is a new entry of its writer; snapshots that exist are not touched.

use super::after::AfterAppend;
use super::api::{ApiError, FolderAdd};
use super::config_keys::{bytes_of, size_text};
use super::core::Core;
use super::names;
use super::ports::CallId;
use crate::base::ids::FolderId;
use crate::base::units::Copies;
use crate::feed::entry::{FolderEntry, FolderKind, FolderText, Mode};
use crate::file::ignore::IgnoreStack;
use crate::file::retain::Policy;
use serde_json::json;

/// What can be set, for people.
const KEYS: &str = "copies, keep, ignore (also += and -=), one-file-system, max-size (or off), directory, name; of a shared folder mode (both, send, receive)";

/// A folder as it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wish {
    /// How many devices.
    pub(super) copies: Copies,
    /// The rest.
    pub(super) text: FolderText,
}

impl Wish {
    /// Takes one change: `KEY=VALUE`, `ignore+=GLOB` or `ignore-=GLOB`.
    ///
    /// # Errors
    /// When there is no such key, or its value is none.
    pub(super) fn take(&mut self, change: &str) -> Result<(), ApiError> {
        let Some((key, value)) = change.split_once('=') else {
            return Err(wrong(change, "is no KEY=VALUE"));
        };
        match key {
            "copies" => {
                let copies = value.parse().map_err(|_| wrong(change, "has no number"))?;
                names::check_copies(Some(copies))?;
                self.copies = Copies::new(copies);
            }
            "keep" => {
                let hint = "write rules such as last=10,daily=30,monthly=24, or all";
                let policy = Policy::parse(value);
                self.text.keep =
                    policy.map_err(|error| ApiError::new("bad_policy", error.to_string(), hint))?.counts();
            }
            "ignore" => {
                self.text.ignore =
                    value.split(',').filter(|glob| !glob.is_empty()).map(str::to_owned).collect()
            }
            "ignore+" => {
                if !self.text.ignore.iter().any(|glob| glob == value) {
                    self.text.ignore.push(value.to_owned());
                }
            }
            "ignore-" => {
                let before = self.text.ignore.len();
                self.text.ignore.retain(|glob| glob != value);
                if self.text.ignore.len() == before {
                    return Err(wrong(change, "names no pattern that is there"));
                }
            }
            "one-file-system" => {
                self.text.one_file_system =
                    value.parse().map_err(|_| wrong(change, "is neither true nor false"))?;
            }
            "max-size" => self.text.max_size = largest(value)?,
            "directory" if value.starts_with('/') => self.text.directory = value.as_bytes().to_vec(),
            "directory" => {
                let hint = "write the path from / on";
                return Err(ApiError::new("bad_directory", "the directory must be an absolute path", hint));
            }
            "mode" => {
                self.text.mode = Mode::from_word(value)
                    .ok_or_else(|| wrong(change, "is neither both, send nor receive"))?;
            }
            "name" => {
                names::check_folder_name(value)?;
                self.text.name = value.to_owned();
            }
            _ => return Err(wrong(change, "begins with no key that a folder has")),
        }
        IgnoreStack::new(&self.text.ignore)
            .map(|_| ())
            .map_err(|error| ApiError::new("bad_pattern", error.to_string(), "patterns follow .gitignore"))
    }
}

/// The greatest size of files that a word tells; `off`: there is none.
///
/// # Errors
/// When it is no size.
fn largest(word: &str) -> Result<Option<u64>, ApiError> {
    if word == "off" {
        return Ok(None);
    }
    let hint = "write a size such as 500MB or 2GiB, or off";
    let most = bytes_of(word).filter(|most| *most > 0);
    most.map(Some).ok_or_else(|| ApiError::new("bad_folder", format!("'{word}' is no size"), hint))
}

/// The greatest size of files that is wanted of a new folder; `otherwise` where nothing is said of it.
///
/// # Errors
/// When it is no size.
pub(super) fn max_size_of(add: &FolderAdd, otherwise: Option<u64>) -> Result<Option<u64>, ApiError> {
    add.max_size.as_deref().map_or(Ok(otherwise), largest)
}

/// A change that cannot be made.
fn wrong(change: &str, what: &str) -> ApiError {
    ApiError::new("bad_folder", format!("'{change}' {what}"), format!("there are {KEYS}"))
}

impl Core {
    /// The folder as it would be, if all changes can be made.
    fn wished(&self, name: &str, changes: &[String]) -> Result<(FolderEntry, FolderText, Wish), ApiError> {
        let own = self.own_folders();
        let Some((entry, text)) = own.iter().find(|(_, text)| text.name == name).cloned() else {
            let near = names::nearest(name, own.iter().map(|(_, text)| text.name.as_str()));
            let message = format!("this node has no folder '{name}'{near}");
            return Err(ApiError::new(
                "no_folder",
                message,
                "see `nuthatch folder list`; only its own node changes a folder",
            ));
        };
        let mut wish = Wish { copies: entry.copies, text: text.clone() };
        changes.iter().try_for_each(|change| wish.take(change))?;
        if wish.text.mode != text.mode && entry.kind != FolderKind::Shared {
            let message = format!("'{name}' is a backup folder, which only sends");
            return Err(ApiError::new("not_shared", message, "a shared folder is made with `--kind shared`"));
        }
        let is_taken = self.all_folders().iter().any(|(_, other, text)| {
            other.folder != entry.folder && !other.removed && text.name == wish.text.name
        });
        if is_taken {
            let message = format!("there is a folder '{}' already", wish.text.name);
            return Err(ApiError::new("exists", message, "choose another name"));
        }
        Ok((entry, text, wish))
    }

    /// Whether a call would change a folder, and so has to wait until this node may write.
    pub(super) fn would_set(&self, name: &str, changes: &[String]) -> bool {
        self.wished(name, changes).is_ok()
    }

    /// `folder set`.
    pub(super) fn call_folder_set(&mut self, call: CallId, name: &str, changes: &[String]) {
        let (entry, before, wish) = match self.wished(name, changes) {
            Ok(found) => found,
            Err(error) => return self.end_call(call, Err(error)),
        };
        let value = json!({
            "folder": entry.folder.hex(), "name": wish.text.name, "copies": wish.copies.get(),
            "keep": Policy::from_counts(wish.text.keep).to_string(), "ignore": wish.text.ignore,
            "one_file_system": wish.text.one_file_system, "max_size": wish.text.max_size.map(size_text), "mode": wish.text.mode.word(),
            "directory": String::from_utf8_lossy(&wish.text.directory),
        });
        let then = AfterAppend::Done { call, value };
        if !self.append_folder(entry.folder, entry.kind, wish.copies, &wish.text, false, then) {
            return self.end_call(call, Err(self.refusal()));
        }
        let is_placed = changes.iter().any(|change| change.starts_with("directory="));
        self.folder_was_set(entry.folder, &before, &wish.text, is_placed);
    }

    /// What follows from a change: the next scan goes by it, and begins soon. `is_placed`: a directory was named.
    fn folder_was_set(&mut self, folder: FolderId, before: &FolderText, after: &FolderText, is_placed: bool) {
        let now = self.now.time;
        if is_placed {
            // It has moved, and says so, perhaps onto another disk in the same place: what is found there now is not compared with where it
            // was, and a scan that runs would remember that.
            self.cut_scan_off(folder);
            self.local(folder).binding.marker = None;
            let settings = self.binding_settings(folder);
            self.save(settings, super::after::AfterSave::Nothing);
        }
        if before.keep != after.keep {
            self.policy_changed(folder);
        }
        self.holding.recheck(now);
        let local = self.local(folder);
        if local.running.is_some() {
            local.again = true;
        }
        local.next_scan = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish() -> Wish {
        let text = FolderText {
            name: "photos".into(),
            directory: b"/home/ada/photos".to_vec(),
            ignore: vec!["*.tmp".into()],
            one_file_system: false,
            keep: Policy::default().counts(),
            mode: Mode::Both,
            max_size: None,
        };
        Wish { copies: Copies::new(3), text }
    }

    #[test]
    fn every_key_changes_what_it_names_and_nothing_else() {
        let mut all = wish();
        for change in [
            "copies=2",
            "keep=last=3,daily=7",
            "ignore+=target/",
            "ignore-=*.tmp",
            "one-file-system=true",
            "directory=/mnt/new",
            "name=pictures",
            "mode=send",
            "max-size=2GB",
        ] {
            let before = all.clone();
            all.take(change).expect(change);
            assert_ne!(all, before, "{change}");
        }
        let Wish { copies, text } = all;
        assert_eq!((copies.get(), text.name.as_str()), (2, "pictures"));
        assert_eq!((text.ignore, text.one_file_system), (vec!["target/".to_owned()], true));
        assert_eq!(text.directory, b"/mnt/new");
        assert_eq!(Policy::from_counts(text.keep).to_string(), "last=3,daily=7");
        assert_eq!(text.max_size, Some(2_000_000_000));
        let mut some = wish();
        some.take("max-size=1MiB").and_then(|()| some.take("max-size=off")).expect("off again");
        assert_eq!(some, wish());
        some.take("ignore=a,b").expect("a list");
        assert_eq!(some.text.ignore, ["a", "b"]);
        some.take("ignore=").expect("nothing");
        assert!(some.text.ignore.is_empty());
    }

    #[test]
    fn what_cannot_be_set_is_refused_in_words() {
        for (change, code) in [
            ("copies", "bad_folder"),
            ("copies=0", "bad_copies"),
            ("copies=many", "bad_folder"),
            ("keep=dayly=3", "bad_policy"),
            ("ignore-=*.o", "bad_folder"),
            ("one-file-system=perhaps", "bad_folder"),
            ("max-size=0", "bad_folder"),
            ("max-size=large", "bad_folder"),
            ("directory=photos", "bad_directory"),
            ("name=a/b", "bad_name"),
            ("kind=shared", "bad_folder"),
        ] {
            assert_eq!(wish().take(change).map_err(|error| error.code), Err(code.to_owned()), "{change}");
        }
    }
}
