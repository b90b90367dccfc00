//! What other devices have made of a shared folder that is not on this disk: how much, what, and why.
//!
//! Much of it comes with the next merge that finds room or rights. What cannot be here as long as the disk is as it is - a name that the
//! file system does not take, or takes for that of something else - is tried again when something on the disk has changed, or somebody
//! asks, and not after every look at the folder.

use serde_json::{json, Map, Value};

use crate::base::ids::FolderId;
use crate::node::activity::Level;
use crate::node::core::Core;
use crate::node::events::{Event, Kind};
use crate::node::list::put_path;
use crate::node::merging::MergeEnd;

/// What is not on this disk.
#[derive(Debug, Default)]
pub(in crate::node) struct Unwritten {
    /// How many paths.
    pub(in crate::node) count: u64,
    /// So many of them are not worth another try.
    hopeless: u64,
    /// The first of them, each with the reason, as the last merge has found.
    paths: Vec<(Vec<u8>, String)>,
}

impl Unwritten {
    /// A look at the folder has found so many; `is_new`: something on the disk has changed, or somebody wants another try.
    pub(in crate::node) fn scanned(&mut self, count: u64, is_new: bool) {
        self.count = count;
        if is_new {
            self.hopeless = 0;
        }
        if count == 0 {
            self.paths.clear();
        }
    }

    /// Whether another try may write some of it.
    pub(in crate::node) const fn is_worth_a_merge(&self) -> bool {
        self.count > self.hopeless
    }

    /// A merge has left this; whether that is news.
    fn merged(&mut self, end: &MergeEnd) -> bool {
        let is_new = self.paths != end.taken.report.paths || self.count != end.pending;
        self.count = end.pending;
        self.hopeless = if end.has_room { 0 } else { end.unfit };
        self.paths.clone_from(&end.taken.report.paths);
        is_new && self.count > 0
    }

    /// The first of them with their reasons, in a sentence's end; empty where nothing is known.
    pub(in crate::node) fn reasons(&self) -> String {
        let mut told = String::new();
        for (path, reason) in self.paths.iter().take(NAMED_MAX) {
            let before = if told.is_empty() { ": " } else { "; " };
            told.push_str(&format!("{before}{} ({reason})", String::from_utf8_lossy(path)));
        }
        told
    }

    /// As JSON; null where there is nothing.
    pub(in crate::node) fn told(&self) -> Value {
        if self.count == 0 {
            return Value::Null;
        }
        let path = |(path, reason): &(Vec<u8>, String)| {
            let mut told = Map::new();
            put_path(&mut told, "path", path);
            told.insert("reason".into(), json!(reason));
            told
        };
        json!({"count": self.count, "paths": self.paths.iter().map(path).collect::<Vec<_>>()})
    }
}

impl Core {
    /// A merge has left some of it unwritten: it is said once.
    pub(super) fn unwritten_told(&mut self, folder: FolderId, name: &str, end: &MergeEnd) {
        let unwritten = &mut self.local(folder).unwritten;
        if !unwritten.merged(end) {
            return;
        }
        let (count, why) = (unwritten.count, unwritten.reasons());
        let message = format!("{name}: {count} changes of other devices cannot be written here{why}");
        let event = Event::new(Kind::Unwritten, Level::Warn, "sync", message);
        self.raise(event.of_folder(name).about(count.to_string()));
    }
}

/// Paths that a sentence names.
const NAMED_MAX: usize = 3;
