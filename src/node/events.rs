//! Events: what happens on a node, for people in a sentence and for programs in a word.
//!
//! Whoever notices something says so with `Core::note`, or with `Core::raise` where it has a word of its own. All of
//! it stands in the activity log (`node/activity.rs`). To add a word: a row in [`Kind`], its text in [`Kind::word`], a
//! place in [`Kind::ALL`] and a row in `docs/EVENTS.md` (a test compares them).

pub mod address;
pub mod alerts;
pub mod errands;
mod gate;
pub mod hooks;
mod notes;

use super::activity::Level;
use super::core::Core;
use crate::base::units::WallTime;
use serde_json::{json, Value};

/// What kind of thing happened. Words are for ever: programs that people write know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Anything that has no word of its own.
    Other,
    /// A backup made a new snapshot.
    BackupDone,
    /// A backup could not be made; said once for a reason.
    BackupFailed,
    /// A backup that failed before works again.
    BackupWorks,
    /// Two devices changed the same file of a shared folder; both versions are kept.
    Conflict,
    /// What others have made of a shared folder cannot be written on this disk.
    Unwritten,
    /// No backup by a device was heard of for too long.
    NodeSilent,
    /// It is heard again.
    NodeHeard,
    /// The store is nearly full.
    DiskNearlyFull,
    /// This node takes no more copies, for there is no room.
    DiskFull,
    /// What was stored is damaged or gone, here or with another member.
    Damaged,
    /// A sample was restored from other nodes and is as it should be.
    DrillDone,
    /// A sample could not be restored from other nodes, or differs.
    DrillFailed,
    /// A folder does not look as it should, and a person is asked.
    Guard,
    /// A device became a member of the vault.
    MemberJoined,
    /// A member was removed for good.
    MemberRemoved,
    /// Somebody wrote a note to the household.
    Note,
    /// A hook failed, or may not be run.
    HookFailed,
    /// An alert was not delivered.
    AlertFailed,
    /// Somebody tries hooks and alerts out.
    Test,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Other,
        Self::BackupDone,
        Self::BackupFailed,
        Self::BackupWorks,
        Self::Conflict,
        Self::Unwritten,
        Self::NodeSilent,
        Self::NodeHeard,
        Self::DiskNearlyFull,
        Self::DiskFull,
        Self::Damaged,
        Self::DrillDone,
        Self::DrillFailed,
        Self::Guard,
        Self::MemberJoined,
        Self::MemberRemoved,
        Self::Note,
        Self::HookFailed,
        Self::AlertFailed,
        Self::Test,
    ];

    /// Its word: stable, snake_case.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::BackupDone => "backup_done",
            Self::BackupFailed => "backup_failed",
            Self::BackupWorks => "backup_works",
            Self::Conflict => "conflict",
            Self::Unwritten => "unwritten",
            Self::NodeSilent => "node_silent",
            Self::NodeHeard => "node_heard",
            Self::DiskNearlyFull => "disk_nearly_full",
            Self::DiskFull => "disk_full",
            Self::Damaged => "damaged",
            Self::DrillDone => "drill_done",
            Self::DrillFailed => "drill_failed",
            Self::Guard => "guard",
            Self::MemberJoined => "member_joined",
            Self::MemberRemoved => "member_removed",
            Self::Note => "note",
            Self::HookFailed => "hook_failed",
            Self::AlertFailed => "alert_failed",
            Self::Test => "test",
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What kind of thing.
    pub kind: Kind,
    /// How much it matters.
    pub level: Level,
    /// Which part of the node.
    pub area: &'static str,
    /// What, in a sentence.
    pub message: String,
    /// The name of the folder that it is about, if it is.
    pub folder: Option<String>,
    /// The name of the device that it is about, if it is another than this one.
    pub node: Option<String>,
    /// What else it is about, as programs want it: an id, a path, a count.
    pub subject: Option<String>,
}

impl Event {
    /// An event about this node.
    #[must_use]
    pub fn new(kind: Kind, level: Level, area: &'static str, message: impl Into<String>) -> Self {
        Self { kind, level, area, message: message.into(), folder: None, node: None, subject: None }
    }

    /// It is about this folder, by its name.
    #[must_use]
    pub fn of_folder(mut self, name: impl Into<String>) -> Self {
        self.folder = Some(name.into());
        self
    }

    /// It is about this device, by its name.
    #[must_use]
    pub fn of_node(mut self, name: impl Into<String>) -> Self {
        self.node = Some(name.into());
        self
    }

    /// It is about this, too.
    #[must_use]
    pub fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// As one JSON object, with this time.
    #[must_use]
    pub fn json_at(&self, wall: WallTime) -> Value {
        let mut value = self.json();
        value["time"] = json!(wall.to_string());
        value
    }

    /// As one JSON object, without a time.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut value = json!({
            "event": self.kind.word(),
            "level": self.level.word(),
            "area": self.area,
            "message": self.message,
        });
        for (key, part) in [("folder", &self.folder), ("node", &self.node), ("subject", &self.subject)] {
            if let Some(part) = part {
                value[key] = json!(part);
            }
        }
        value
    }
}

impl Core {
    /// Notes what happened, and tells followers.
    pub(super) fn note(&mut self, level: Level, area: &'static str, message: impl Into<String>) {
        self.raise(Event::new(Kind::Other, level, area, message));
    }

    /// Notes what happened by a word that programs know, and tells followers.
    pub(super) fn raise(&mut self, event: Event) {
        self.raise_at(self.now.wall, event);
    }

    /// The same of something that happened then, by whoever's clock.
    pub(super) fn raise_at(&mut self, wall: WallTime, event: Event) {
        self.goes_out(wall, &event);
        self.activity.take(wall, event);
        self.show_activity();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_explained_in_the_documentation() {
        let document = include_str!("../../docs/EVENTS.md");
        for (index, kind) in Kind::ALL.iter().enumerate() {
            let word = kind.word();
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{word}");
            assert!(document.contains(&format!("| `{word}` |")), "{word} is not in docs/EVENTS.md");
            assert!(Kind::ALL[..index].iter().all(|other| other.word() != word), "{word} twice");
        }
        assert_eq!(
            document.matches("\n| `").count(),
            Kind::ALL.len(),
            "docs/EVENTS.md has a word that is none"
        );
    }

    #[test]
    fn an_event_says_what_it_is_about_and_nothing_else() {
        let event = Event::new(Kind::NodeSilent, Level::Warn, "silence", "too long").of_node("attic");
        let value = event.json();
        assert_eq!((&value["event"], &value["level"]), (&json!("node_silent"), &json!("warn")));
        assert_eq!(value["node"], "attic");
        assert!(value.get("folder").is_none() && value.get("subject").is_none());
    }
}
