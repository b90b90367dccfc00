//! `history`, `diff` and `find`: which snapshots a person means, and the jobs that go through them (`node/history.rs`,
//! `node/changes.rs`).

use std::collections::VecDeque;

use serde_json::{json, Map, Value};

use super::api::ApiError;
use super::changes::{Changes, ChangesJob, Pair};
use super::core::{Core, Duty};
use super::history::{History, Moment};
use super::lookup::wanted_key;
use super::member::SnapshotFact;
use super::names::{nearest, Place, Wanted};
use super::ports::CallId;
use super::status::{no_folder, sealed_elsewhere};
use crate::base::ids::{ChunkId, FolderId};
use crate::file::ignore::pattern::Pattern;

impl Core {
    /// `history`.
    pub(super) fn call_history(&mut self, id: CallId, what: &str) {
        match self.find_history(what) {
            Ok((key, moments)) => {
                self.fill_call(id, |duty| Duty::List(Box::new(History::new(key, moments, duty)), id));
            }
            Err(error) => self.end_call(id, Err(error)),
        }
    }

    /// `diff`.
    pub(super) fn call_diff(&mut self, id: CallId, before: &str, after: Option<&str>) {
        match self.find_both(before, after) {
            Ok((first, job)) => {
                self.json(id, first);
                self.fill_call(id, |duty| Duty::List(Box::new(Changes::new(job, duty)), id));
            }
            Err(error) => self.end_call(id, Err(error)),
        }
    }

    /// `find`.
    pub(super) fn call_find(&mut self, id: CallId, pattern: &str, folder: Option<&str>, all: bool) {
        match self.find_pattern(pattern, folder, all) {
            Ok((sealed, job)) => {
                for line in sealed {
                    self.json(id, line);
                }
                self.fill_call(id, |duty| Duty::List(Box::new(Changes::new(job, duty)), id));
            }
            Err(error) => self.end_call(id, Err(error)),
        }
    }

    /// The folders that have this name: one, unless two devices made one at the same time.
    fn named_folders(&self, name: &str) -> Result<Vec<FolderId>, ApiError> {
        let folders = self.all_folders();
        let meant = folders.iter().filter(|(_, _, text)| text.name == name);
        let mut ids: Vec<FolderId> = meant.map(|(_, entry, _)| entry.folder).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            let near = nearest(name, folders.iter().map(|(_, _, text)| text.name.as_str()));
            return Err(no_folder(name, &near));
        }
        Ok(ids)
    }

    /// The complete snapshots of these folders (if there are none, the others), oldest first.
    fn snapshots_in_order(&self, folders: &[FolderId]) -> Vec<SnapshotFact> {
        let mut facts: Vec<SnapshotFact> =
            folders.iter().flat_map(|folder| self.snapshots(Some(folder))).collect();
        facts.sort_unstable_by_key(|fact| (fact.age(), fact.id));
        // What a backup that was not over had not reached yet was not gone.
        if facts.iter().any(|fact| fact.entry.complete) {
            facts.retain(|fact| fact.entry.complete);
        }
        facts
    }

    /// The key and the snapshots of which the history is told.
    fn find_history(&self, what: &str) -> Result<(Vec<u8>, VecDeque<Moment>), ApiError> {
        let place = Place::parse(what)?;
        if place.snapshot != Wanted::Latest {
            return Err(ApiError::new(
                "bad_snapshot",
                "a history goes through all snapshots",
                "leave the part from the @ to the : away",
            ));
        }
        if place.path.is_empty() {
            return Err(ApiError::new(
                "bad_path",
                "a history is that of one path",
                format!(
                    "write {}:PATH; snapshots as a whole: `nuthatch snapshots`, `nuthatch diff`",
                    place.folder
                ),
            ));
        }
        let key = wanted_key(place.path.as_bytes())?;
        let facts = self.snapshots_in_order(&self.named_folders(&place.folder)?);
        let moment =
            |fact: SnapshotFact| Moment { snapshot: fact.id, taken: fact.entry.taken, tree: fact.tree };
        Ok((key, facts.into_iter().map(moment).collect()))
    }

    /// The two snapshots that are compared, and a line that says which.
    fn find_both(&self, before: &str, after: Option<&str>) -> Result<(Value, ChangesJob), ApiError> {
        let (one, path) = self.find_place(before)?;
        let folder = Place::parse(before)?.folder;
        let after = match after {
            None => folder,
            Some(after) if after.starts_with('@') => format!("{folder}{after}"),
            Some(after) => after.to_owned(),
        };
        let (other, other_path) = self.find_place(&after)?;
        if !other_path.is_empty() && other_path != path {
            return Err(ApiError::new(
                "bad_path",
                "both snapshots are compared below the same path",
                "write the path behind the first one only",
            ));
        }
        let key = wanted_key(path.as_bytes())?;
        let (Some(tree), Some(other_tree)) = (one.tree, other.tree) else { return Err(sealed_elsewhere()) };
        let told = |fact: &SnapshotFact| {
            json!({
                "snapshot": fact.id.hex(), "taken": fact.entry.taken.to_string(),
                "folder": self.folder_name(&fact.entry.folder), "partial": !fact.entry.complete,
            })
        };
        let first = json!({"event": "diff", "before": told(&one), "after": told(&other)});
        let pair = Pair { label: Map::new(), before: Some(tree), after: other_tree };
        let job =
            ChangesJob { pairs: [pair].into(), key, pattern: None, sum: true, changes: true, partial: false };
        Ok((first, job))
    }

    /// In which trees a pattern is looked for; and lines for folders that this node cannot read.
    fn find_pattern(
        &self,
        pattern: &str,
        folder: Option<&str>,
        all: bool,
    ) -> Result<(Vec<Value>, ChangesJob), ApiError> {
        let pattern = Pattern::parse(pattern.trim_end_matches('/').as_bytes())
            .filter(|_| !pattern.trim_matches('/').is_empty())
            .ok_or_else(|| {
                let hint = "write a name or a glob such as '*.pdf', or 'letters/**/*.pdf' for whole paths";
                ApiError::new("bad_pattern", "this pattern can match nothing", hint)
            })?;
        if self.member.as_ref().is_none_or(|member| member.sealer.is_none()) {
            return Err(sealed_elsewhere());
        }
        let mut folders: Vec<FolderId> = match folder {
            Some(name) => self.named_folders(name)?,
            None => self.all_folders().into_iter().map(|(_, entry, _)| entry.folder).collect(),
        };
        folders.sort_unstable();
        folders.dedup();
        let (mut sealed, mut pairs) = (Vec::new(), VecDeque::new());
        for folder in folders {
            let name = self.folder_name(&folder);
            let mut facts = self.snapshots_in_order(&[folder]);
            if !all {
                facts = facts.pop().into_iter().collect();
            }
            let mut before: Option<ChunkId> = None;
            for fact in facts {
                let label =
                    json!({"folder": name, "snapshot": fact.id.hex(), "taken": fact.entry.taken.to_string()});
                let Value::Object(label) = label else { continue };
                let Some(after) = fact.tree else {
                    sealed.push(json!({"lost": true, "folder": name, "reason": sealed_elsewhere().message}));
                    continue;
                };
                pairs.push_back(Pair { label, before, after });
                before = Some(after);
            }
        }
        let partial = !sealed.is_empty();
        let (key, pattern) = (Vec::new(), Some(pattern));
        Ok((sealed, ChangesJob { pairs, key, pattern, sum: false, changes: all, partial }))
    }
}
