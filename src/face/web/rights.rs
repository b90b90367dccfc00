//! What each role may ask of the core: the one place where that is decided.
//!
//! A call that is added later is for admins until somebody writes here that it is not.

use super::access::Role;
use crate::node::api::{ApiError, Call};
use crate::node::config_keys::{key_named, Key};

/// What whoever asks may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The user's name, or the token's label.
    pub name: String,
    /// What they may.
    pub role: Role,
    /// Of which folders; None: of all.
    pub folders: Option<Vec<String>>,
    /// They came through the control socket: whoever can open it can read the node's files anyway.
    pub is_local: bool,
}

impl Grant {
    /// Of the control socket.
    #[must_use]
    pub fn owner() -> Self {
        Self { name: "owner".to_owned(), role: Role::Admin, folders: None, is_local: true }
    }

    /// Whether they are at least this.
    ///
    /// # Errors
    /// `forbidden`.
    pub fn check_role(&self, role: Role) -> Result<(), ApiError> {
        if self.role >= role {
            return Ok(());
        }
        let who = match role {
            Role::Admin => "admins",
            Role::Member => "members and admins",
            Role::Read => "those who are logged in",
        };
        Err(forbidden(format!("only {who} may do this")))
    }

    /// Whether they may have to do with a folder, by its name.
    ///
    /// # Errors
    /// `forbidden`, in the same words whether it exists or not.
    pub fn check_folder(&self, folder: &str) -> Result<(), ApiError> {
        match &self.folders {
            Some(folders) if !folders.iter().any(|name| name == folder) => {
                Err(forbidden(format!("there is no folder {folder} for you")))
            }
            _ => Ok(()),
        }
    }

    /// Whether they may have to do with all folders.
    fn check_all(&self) -> Result<(), ApiError> {
        match self.folders {
            Some(_) => Err(forbidden("this concerns folders that are not for you".to_owned())),
            None => Ok(()),
        }
    }

    /// Whether they may set a key of the configuration: over the network none that decides which programs the node runs.
    fn check_key(&self, key: &str) -> Result<(), ApiError> {
        if self.is_local || !key_named(key).is_some_and(Key::is_local_only) {
            return Ok(());
        }
        Err(ApiError::new(
            "local_only",
            format!("{key} is not set over the network, for it decides which programs this node runs"),
            format!("set it on the machine itself: nuthatch config set {key} VALUE"),
        ))
    }

    /// Whether they may ask this.
    ///
    /// # Errors
    /// `forbidden`, or `local_only`.
    pub fn check(&self, call: &Call) -> Result<(), ApiError> {
        let (role, scope) = needs(call);
        self.check_role(role)?;
        if let Call::ConfigSet { key, .. } = call {
            self.check_key(key)?;
        }
        match scope {
            Scope::What(what) => self.check_folder(folder_of(what)),
            Scope::Folder(Some(folder)) => self.check_folder(folder),
            Scope::Folder(None) | Scope::Everything => self.check_all(),
        }
    }
}

/// What a call has to do with.
pub(super) enum Scope<'a> {
    /// What is named so: `NAME[@SNAPSHOT][:PATH]`.
    What(&'a str),
    /// A folder; None: all of them.
    Folder(Option<&'a str>),
    /// The whole vault.
    Everything,
}

/// The least role that may ask this, and what it has to do with.
pub(super) fn needs(call: &Call) -> (Role, Scope<'_>) {
    match call {
        Call::List { what, .. }
        | Call::Read { what, .. }
        | Call::History { what }
        | Call::Restore { what, .. }
        | Call::RestoreSome { what, .. } => (Role::Read, Scope::What(what)),
        Call::Find { folder, .. } => (Role::Read, Scope::Folder(folder.as_deref())),
        Call::Snapshots { name } => (Role::Read, Scope::Folder(name.as_deref())),
        // The second side of a comparison must be of the same folder, or of one that may be seen too.
        Call::Diff { before, after } => match after {
            Some(after) if !after.starts_with('@') && folder_of(after) != folder_of(before) => {
                (Role::Read, Scope::Everything)
            }
            _ => (Role::Read, Scope::What(before)),
        },
        Call::Status | Call::Charts | Call::FolderList | Call::Nodes | Call::Log { .. } => {
            (Role::Read, Scope::Everything)
        }
        Call::Put { what, .. } | Call::Delete { what, .. } | Call::MakeDirectory { what } => {
            (Role::Member, Scope::What(what))
        }
        Call::Move { from, to, .. } if folder_of(from) == folder_of(to) => (Role::Member, Scope::What(to)),
        Call::Move { .. } => (Role::Member, Scope::Everything),
        Call::Backup { name, .. } | Call::Checksum { name, .. } => {
            (Role::Member, Scope::Folder(name.as_deref()))
        }
        Call::Sync { .. } | Call::Say { .. } => (Role::Member, Scope::Everything),
        Call::Init { .. }
        | Call::Join { .. }
        | Call::Recover { .. }
        | Call::Invite { .. }
        | Call::Remove { .. }
        | Call::FolderAdd(_)
        | Call::FolderSet { .. }
        | Call::FolderRemove { .. }
        | Call::Pause { .. }
        | Call::Resume
        | Call::Forget { .. }
        | Call::Undo { .. }
        | Call::Erase { .. }
        | Call::Confirm { .. }
        | Call::Verify { .. }
        | Call::Drill { .. }
        | Call::TestAlert { .. }
        | Call::ConfigGet { .. }
        | Call::ConfigKeys
        | Call::ConfigSet { .. } => (Role::Admin, Scope::Everything),
    }
}

/// The folder in `NAME[@SNAPSHOT][:PATH]`.
pub(super) fn folder_of(what: &str) -> &str {
    what.split(['@', ':']).next().unwrap_or_default()
}

/// The error for what somebody may not.
pub(super) fn forbidden(message: String) -> ApiError {
    ApiError::new("forbidden", message, "ask an admin of this node")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::api::PutFile;

    fn grant(role: Role, folders: Option<&[&str]>) -> Grant {
        let folders = folders.map(|folders| folders.iter().map(ToString::to_string).collect());
        Grant { name: "ada".into(), role, folders, is_local: false }
    }

    #[test]
    fn a_reader_changes_nothing_and_a_member_no_settings() {
        let put =
            Call::Put { what: "family:a".into(), file: PutFile { mtime_ns: None, mode: None }, wait: false };
        let delete = Call::Delete { what: "family:a".into(), recursive: true };
        let set = Call::ConfigSet { key: "node.name".into(), value: "x".into() };
        let list = Call::List { what: "family".into(), recursive: false };
        let may = |role, call: &Call| grant(role, None).check(call).is_ok();
        assert!(may(Role::Read, &list) && may(Role::Read, &Call::Status));
        assert!(!may(Role::Read, &put) && !may(Role::Read, &delete) && !may(Role::Read, &set));
        assert!(
            !may(Role::Read, &Call::Say { text: "x".into() })
                && !may(Role::Read, &Call::Sync { wait: false })
        );
        assert!(may(Role::Member, &put) && may(Role::Member, &delete) && !may(Role::Member, &set));
        assert!(!may(Role::Member, &Call::Resume) && !may(Role::Member, &Call::ConfigGet { key: None }));
        assert!(may(Role::Admin, &set));
        let hooks = Call::ConfigSet { key: "hooks.dir".into(), value: "/tmp".into() };
        assert_eq!(grant(Role::Admin, None).check(&hooks).unwrap_err().code, "local_only");
        assert!(Grant::owner().check(&hooks).is_ok());
    }

    #[test]
    fn who_may_see_some_folders_sees_no_other_by_any_way() {
        let some = grant(Role::Admin, Some(&["photos"]));
        let sees = |call: Call| some.check(&call).is_ok();
        let list = |what: &str| Call::List { what: what.into(), recursive: true };
        assert!(sees(list("photos")) && sees(list("photos@latest:a")) && sees(list("photos:x@y")));
        assert!(
            !sees(list("letters"))
                && !sees(list("letters:photos"))
                && !sees(list(""))
                && !sees(list(":photos"))
        );
        assert!(!sees(Call::Find { pattern: "*".into(), folder: None, all: true }));
        assert!(
            !sees(Call::Snapshots { name: None }) && sees(Call::Snapshots { name: Some("photos".into()) })
        );
        let diff = |before: &str, after: Option<&str>| Call::Diff {
            before: before.into(),
            after: after.map(Into::into),
        };
        assert!(sees(diff("photos", None)) && sees(diff("photos@aaaaaa", Some("@latest"))));
        assert!(!sees(diff("photos", Some("letters"))) && !sees(diff("letters", Some("photos"))));
        assert!(
            !sees(Call::Status)
                && !sees(Call::Log { follow: true, after: None })
                && !sees(Call::Backup { name: None, wait: false })
        );
    }
}
