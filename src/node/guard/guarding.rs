//! The guards over this node's folders: what follows when much of a folder is suddenly gone or noise (`node/guard.rs` judges).
//!
//! ```text
//!   watching --a scan lost too much--> asked --confirm NAME--> watching
//!                                       |  \--what was lost is back--> watching, and it is said
//!                                       \--(shared folder, or an emptied one) confirm NAME--> answered --next scan--> watching
//! ```
//!
//! Owns the state, which outlives a restart, and the answer. Of a backup folder the snapshot is taken and kept as ever, for what is there
//! now is a version too; but its policy retires nothing until somebody has answered. Of a shared folder, whose deletions would travel,
//! and of a root that is empty, what the scan found is not published at all.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::base::ids::{FolderId, SnapshotId};
use crate::base::limits::GUARD_LOST_MAX;
use crate::base::units::WallTime;
use crate::node::activity::Level;
use crate::node::after::AfterSave;
use crate::node::core::Core;
use crate::node::events::{Event, Kind};
use crate::node::guard::tally::Tally;
use crate::node::guard::{Limits, Loss, Losses, What, Window};
use crate::node::outcome::{BackupError, Outcome};
use crate::node::status::attention::{Attention, Severity};

/// All guards of this node, by folder.
#[derive(Debug, Default)]
pub struct Guards {
    /// Those that have something to remember.
    all: BTreeMap<FolderId, Guard>,
    /// What running scans had counted when they took a partial snapshot.
    partial: BTreeMap<FolderId, Losses>,
}

/// What is remembered of one folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Guard {
    /// The losses of the last day.
    window: Window,
    /// Contents that were lost in it and are not back: the smallest hashes.
    lost: BTreeSet<u64>,
    /// How many of such are back, since something is asked.
    returned: usize,
    /// What is asked.
    asked: Option<Asked>,
}

/// What a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Asked {
    /// What happened.
    loss: Loss,
    /// Since when, by this node's clock; once it was answered: when.
    since: WallTime,
    /// The newest snapshot from before.
    before: Option<SnapshotId>,
    /// It was meant: the next scan passes if it finds that, for a day.
    answered: bool,
}

impl Asked {
    /// Whether what was answered still counts. (A clock that was set back by more than that ends it too.)
    fn is_answered(&self, now: WallTime) -> bool {
        let age = now.as_micros().saturating_sub(self.since.as_micros());
        self.answered && age.unsigned_abs() <= ANSWER_MICROS
    }
}

/// What a scan is told of the guard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Guarded {
    /// Contents that are missed, their hashes ascending.
    pub missed: Vec<u64>,
    /// That the folder is empty is meant.
    pub may_be_empty: bool,
    /// It is empty, and that is meant only if nothing was ever written here of what others have (set by the scan itself).
    pub is_empty: bool,
}

/// Prefix of the settings that keep guards.
const GUARD_PREFIX: &str = "guard:";

impl Guards {
    /// What was remembered.
    pub(in crate::node) fn load(&mut self, settings: &BTreeMap<String, Vec<u8>>) {
        for (key, bytes) in settings {
            let Some(folder) = key.strip_prefix(GUARD_PREFIX).and_then(|id| id.parse().ok()) else {
                continue;
            };
            if let Ok((guard, [])) = postcard::take_from_bytes(bytes) {
                self.all.insert(folder, guard);
            }
        }
    }

    /// Whether something is asked about a folder, so that nothing of it is retired.
    pub(in crate::node) fn is_asking(&self, folder: &FolderId) -> bool {
        self.all.get(folder).is_some_and(|guard| guard.asked.is_some())
    }

    /// A scan has no end: what it had counted is counted again by the next one.
    pub(in crate::node) fn forget_scan(&mut self, folder: &FolderId) {
        self.partial.remove(folder);
    }

    /// What a scan of a folder is told.
    pub(in crate::node) fn of_scan(&self, folder: &FolderId, now: WallTime) -> Guarded {
        let Some(guard) = self.all.get(folder) else { return Guarded::default() };
        let Some(asked) = guard.asked else { return Guarded::default() };
        Guarded {
            missed: guard.lost.iter().copied().collect(),
            may_be_empty: asked.is_answered(now),
            is_empty: false,
        }
    }
}

impl Guard {
    /// Remembers contents that were lost, as many as there is room for.
    fn miss(&mut self, tally: &Tally) {
        self.lost.extend(tally.lost.smallest());
        while self.lost.len() > GUARD_LOST_MAX {
            self.lost.pop_last();
        }
    }

    /// Forgets contents that are here again; whether most of all that was lost is.
    fn is_back(&mut self, tally: &Tally) -> bool {
        let missed = self.lost.len();
        self.lost.retain(|hash| !tally.returned.contains(hash));
        self.returned += missed - self.lost.len();
        let all = self.returned + self.lost.len();
        self.returned > 0 && self.returned * BACK_OF >= all * BACK
    }
}

impl Core {
    /// A scan has ended: what its result becomes, once the guard has seen it.
    pub(in crate::node) fn guarded(
        &mut self,
        folder: FolderId,
        result: Result<Outcome, BackupError>,
    ) -> Result<Outcome, BackupError> {
        let partial = self.folders.guards.partial.remove(&folder).unwrap_or_default();
        let tally = match &result {
            Ok(Outcome::Unchanged { report, .. }) => report.tally.clone(),
            Ok(Outcome::Changed(taken)) => taken.report.tally.clone(),
            Err(BackupError::RootEmptied { .. }) => {
                let of = self.newest_complete(&folder).map(|fact| fact.entry.counts).unwrap_or_default();
                let of = crate::node::guard::tally::Amount { files: of.files, bytes: of.bytes };
                self.guard_asks(folder, Loss { what: What::Emptied, lost: of, of }, None);
                return result;
            }
            Err(_) => return result,
        };
        if self.receives(&folder) {
            // Whatever went here goes nowhere else, and comes back.
            return result;
        }
        let is_shared = self.is_shared(&folder);
        let guard = self.folders.guards.all.entry(folder).or_default();
        match guard.asked {
            Some(asked) if asked.answered => {
                if self.is_as_answered(folder, &asked, &tally) {
                    self.guard_ends(folder, "goes on as it was confirmed");
                    return result;
                }
                let why = "is not as it was when that was confirmed, or that is too long ago";
                self.guard_begins_anew(folder, why);
            }
            Some(asked) if asked.loss.what == What::Emptied => {
                self.guard_begins_anew(folder, "is not empty any more");
            }
            Some(_) if !is_shared => {
                if guard.is_back(&tally) {
                    self.guard_ends(folder, "has most of what was missing again: nothing is asked any more");
                } else if !tally.is_quiet() {
                    guard.miss(&tally);
                    self.save_guard(folder);
                }
                return result;
            }
            _ => {}
        }
        self.guard_judges(folder, is_shared, (&tally, partial), result)
    }

    /// Whether a scan has found what a person has answered for.
    fn is_as_answered(&self, folder: FolderId, asked: &Asked, tally: &Tally) -> bool {
        let (share, files) = (self.setup.config.guard_share, self.setup.config.guard_files);
        let Some(limits) = share.map(|share| Limits { share, files }) else { return true };
        let mut window =
            self.folders.guards.all.get(&folder).map(|guard| guard.window.clone()).unwrap_or_default();
        let losses = Losses::of(tally, tally.before);
        window.add(self.now.wall.as_micros().div_euclid(HOUR_MICROS), losses);
        let found = window.judge(&losses, limits).filter(|_| !tally.is_quiet());
        found.is_none_or(|loss| asked.is_answered(self.now.wall) && loss.is_within(&asked.loss))
    }

    /// A running scan of a backup folder has taken a partial snapshot: what it has counted so far counts, whatever becomes of it.
    pub(in crate::node) fn guard_counts(&mut self, folder: FolderId, tally: &Tally) {
        let losses = Losses::of(tally, tally.before);
        let earlier = self.folders.guards.partial.insert(folder, losses).unwrap_or_default();
        if losses.since(earlier).is_some() {
            let guard = self.folders.guards.all.entry(folder).or_default();
            guard.window.add(self.now.wall.as_micros().div_euclid(HOUR_MICROS), losses.since(earlier));
            guard.miss(tally);
            self.save_guard(folder);
        }
    }

    /// Nothing is asked about what was known so far: is something now?
    fn guard_judges(
        &mut self,
        folder: FolderId,
        is_shared: bool,
        (tally, partial): (&Tally, Losses),
        result: Result<Outcome, BackupError>,
    ) -> Result<Outcome, BackupError> {
        let (share, files) = (self.setup.config.guard_share, self.setup.config.guard_files);
        let Some(limits) = share.map(|share| Limits { share, files }) else {
            self.guard_ends(folder, "is not guarded any more");
            return result;
        };
        let losses = Losses::of(tally, tally.before);
        // What a scan that was interrupted has counted was not judged yet.
        let is_behind = self.local(folder).binding.partial_from.is_some();
        let guard = self.folders.guards.all.entry(folder).or_default();
        let mut window = guard.window.clone();
        window.add(self.now.wall.as_micros().div_euclid(HOUR_MICROS), losses.since(partial));
        let found = window.judge(&losses, limits).filter(|_| is_behind || !tally.is_quiet());
        match (found, is_shared) {
            (None, true) if guard.asked.is_some() => {
                self.guard_ends(folder, "has enough of what was missing again: nothing is asked any more");
            }
            (Some(loss), true) => {
                // Nothing of it is published: the next scan finds the same, or what has come back.
                self.guard_asks(folder, loss, None);
                let what = sentence(&loss);
                return Err(BackupError::Guarded { what });
            }
            _ => {}
        }
        let guard = self.folders.guards.all.entry(folder).or_default();
        guard.window = window;
        if guard.window.is_quiet() {
            guard.lost.clear();
        }
        match found {
            Some(loss) => self.guard_asks(folder, loss, Some(tally)),
            None if losses.is_some() => {
                guard.miss(tally);
                self.save_guard(folder);
            }
            None => {}
        }
        result
    }

    /// A person is asked, unless that was done before.
    fn guard_asks(&mut self, folder: FolderId, loss: Loss, tally: Option<&Tally>) {
        let before = self.newest_complete(&folder).map(|fact| fact.id);
        let guard = self.folders.guards.all.entry(folder).or_default();
        if guard.asked.is_some() {
            return;
        }
        tally.into_iter().for_each(|tally| guard.miss(tally));
        guard.returned = 0;
        guard.asked = Some(Asked { loss, since: self.now.wall, before, answered: false });
        self.save_guard(folder);
        let name = self.folder_name(&folder);
        let message = format!("{name}: {}; {}", sentence(&loss), self.consequence(&folder, &loss));
        let message = format!("{message}; `nuthatch confirm {name}` if that is meant");
        self.raise(Event::new(Kind::Guard, Level::Warn, "guard", message).of_folder(name));
    }

    /// Nothing is asked any more.
    fn guard_ends(&mut self, folder: FolderId, why: &str) {
        let had = self.folders.guards.all.remove(&folder);
        if had.is_some_and(|guard| guard.asked.is_some()) {
            let name = self.folder_name(&folder);
            let message = format!("{name} {why}");
            self.raise(Event::new(Kind::Guard, Level::Info, "guard", message).of_folder(name));
            self.save_guard(folder);
        }
    }

    /// It may be another question: what was lost in the last day counts.
    fn guard_begins_anew(&mut self, folder: FolderId, why: &str) {
        let guard = self.folders.guards.all.entry(folder).or_default();
        let window = std::mem::take(&mut guard.window);
        self.guard_ends(folder, why);
        self.folders.guards.all.insert(folder, Guard { window, ..Guard::default() });
    }

    /// `confirm NAME`: what is asked about a folder was meant. False when nothing is.
    pub(in crate::node) fn guard_confirmed(&mut self, name: &str) -> bool {
        let own = self.own_folders();
        let Some((entry, _)) = own.iter().find(|(_, text)| text.name == name) else { return false };
        let folder = entry.folder;
        let is_shared = self.is_shared(&folder);
        let guard = self.folders.guards.all.get_mut(&folder);
        let Some(asked) = guard.and_then(|guard| guard.asked.as_mut()) else { return false };
        if is_shared || asked.loss.what == What::Emptied {
            (asked.answered, asked.since) = (true, self.now.wall);
            self.save_guard(folder);
            self.begin_scan(folder);
        } else {
            self.guard_ends(folder, "is as it should be, as was confirmed");
            self.retain_again(folder);
        }
        true
    }

    /// For `status`.
    pub(in crate::node) fn guard_attention(&self, attention: &mut Attention) {
        for (folder, guard) in &self.folders.guards.all {
            let Some(asked) = guard.asked.filter(|asked| !asked.is_answered(self.now.wall)) else { continue };
            let Asked { loss, since, before, .. } = asked;
            if !self.own_folders().iter().any(|(entry, _)| entry.folder == *folder) {
                continue;
            }
            let name = self.folder_name(folder);
            let message =
                format!("{name}: {} ({since}); {}", sentence(&loss), self.consequence(folder, &loss));
            let look = before.map_or_else(String::new, |before| {
                format!("; to get it back: `nuthatch restore {name}@{} --to DIR`", before.short())
            });
            attention.add(
                Severity::Danger,
                message,
                format!("if that is meant: `nuthatch confirm {name}`{look}"),
            );
        }
    }

    /// Whether something is asked about a folder, for `status`.
    pub(in crate::node) fn guard_status(&self, folder: &FolderId) -> serde_json::Value {
        let asked = self.folders.guards.all.get(folder).and_then(|guard| guard.asked);
        asked.map_or(serde_json::Value::Null, |Asked { loss, since, before, answered }| {
            serde_json::json!({
                "what": match loss.what { What::Emptied => "emptied", What::Vanished => "vanished", What::Noise => "noise" },
                "lost_files": loss.lost.files, "lost_bytes": loss.lost.bytes, "of_files": loss.of.files, "of_bytes": loss.of.bytes,
                "since": since.to_string(), "before": before.map(|id| id.hex()), "answered": answered,
            })
        })
    }

    /// What follows from it.
    fn consequence(&self, folder: &FolderId, loss: &Loss) -> &'static str {
        if loss.what == What::Emptied || self.is_shared(folder) {
            "it is not taken over before it is confirmed"
        } else {
            "every older snapshot stays until it is confirmed"
        }
    }

    /// Saves what is remembered of a folder.
    fn save_guard(&mut self, folder: FolderId) {
        let value = self.folders.guards.all.get(&folder).and_then(|guard| postcard::to_stdvec(guard).ok());
        self.save(vec![(format!("{GUARD_PREFIX}{folder}"), value)], AfterSave::Nothing);
    }
}

/// What happened, in words.
fn sentence(loss: &Loss) -> String {
    let Loss { what, lost, of } = loss;
    match what {
        What::Emptied => format!("all {} files are gone, the directory is empty", of.files),
        What::Vanished => format!("{} of {} files are gone at once", lost.files, of.files),
        What::Noise => {
            format!("{} of {} files became such as look encrypted or packed", lost.files, of.files)
        }
    }
}

/// What was lost is back when so many parts of it are...
const BACK: usize = 3;
/// ... of so many.
const BACK_OF: usize = 4;
/// How long an answer counts: whoever confirms does so while the folder is as it is.
const ANSWER_MICROS: u64 = 24 * 3_600_000_000;
/// An hour.
const HOUR_MICROS: i64 = 3_600_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_back_when_most_of_it_is() {
        let mut guard = Guard { lost: (0..100).collect(), ..Guard::default() };
        let returned = |range: core::ops::Range<u64>| Tally { returned: range.collect(), ..Tally::default() };
        assert!(!guard.is_back(&returned(0..0)) && !guard.is_back(&returned(0..40)));
        assert!(!guard.is_back(&returned(0..74)), "what was back before counts once");
        assert!(guard.is_back(&returned(74..75)));
        assert_eq!((guard.returned, guard.lost.len()), (75, 25));
    }
}
