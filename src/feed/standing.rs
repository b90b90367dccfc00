//! Which snapshots stand and which are retired: what Checkpoints say, by what is known now. Retiring is no deletion: the
//! entry stays, and a later Checkpoint may list the snapshot again. Read [`super::view`] first.
//!
//! A Checkpoint counts if its author is a full node that may speak of the feed (its own, or that of a removed node), and if
//! exactly the entry that it names as the last one is here. Of those that speak of one snapshot the highest version
//! decides, of equal ones the one that lets it stand (no version is above the greatest, and that one must not be the last word), then the
//! greater feed, then the later one: whatever the order in which they come.

use super::entry::{Checkpoint, Entry, Role};
use super::facts::SnapshotFact;
use super::view::View;
use crate::base::ids::{FeedId, FolderId, SnapshotId};
use crate::base::units::{Span, WallTime};
use std::collections::{BTreeMap, BTreeSet};

/// What was said of snapshots.
#[derive(Debug, Clone, Default)]
pub(super) struct Standings {
    /// Every Checkpoint, by the feed that it speaks of and the length to which it does, whether it counts or not.
    checkpoints: BTreeMap<(FeedId, u64), Vec<Said>>,
    /// Every snapshot by its place.
    places: BTreeMap<(FeedId, u64), SnapshotId>,
    /// What decides now over each snapshot of which something was said.
    decided: BTreeMap<SnapshotId, Decided>,
    /// The highest version that counts for each feed.
    versions: BTreeMap<FeedId, u64>,
}

/// A Checkpoint and where it stands.
#[derive(Debug, Clone)]
struct Said {
    /// Its feed.
    by: FeedId,
    /// Its place.
    at: u64,
    /// What it says.
    checkpoint: Checkpoint,
}

/// What was decided over a snapshot, and by which Checkpoint.
#[derive(Debug, Clone, Copy)]
struct Decided {
    /// Orders what Checkpoints say of it: version, whether it stands, feed, place.
    rank: (u64, bool, FeedId, u64),
    /// Whether the snapshot stands; then, whether a person holds it.
    held: Option<bool>,
    /// The highest version of those that say that it stands; zero if none does.
    stood: u64,
}

impl View {
    /// Whether the snapshot has not been retired.
    #[must_use]
    pub fn stands(&self, id: &SnapshotId) -> bool {
        self.standings.decided.get(id).is_none_or(|decided| decided.held.is_some())
    }

    /// Whether a person wants the snapshot to stay.
    #[must_use]
    pub fn is_held(&self, id: &SnapshotId) -> bool {
        self.standings.decided.get(id).is_some_and(|decided| decided.held == Some(true))
    }

    /// Of a retired snapshot: the version that has retired it, and the highest that says that it stands.
    pub(super) fn retired_at(&self, id: &SnapshotId) -> Option<(u64, u64)> {
        let decided = self.standings.decided.get(id).filter(|decided| decided.held.is_none())?;
        Some((decided.rank.0, decided.stood))
    }

    /// All snapshots of a folder that count, those that are retired too, by when they were taken, then by id.
    pub fn all_snapshots_of(&self, folder: &FolderId) -> impl Iterator<Item = &SnapshotFact> {
        self.in_order(folder).filter_map(|id| self.snapshot(id))
    }

    /// Snapshots that count and are retired.
    pub fn retired(&self) -> impl Iterator<Item = &SnapshotFact> {
        let gone = self.standings.decided.iter().filter(|(_, decided)| decided.held.is_none());
        gone.filter_map(|(id, _)| self.snapshot(id))
    }

    /// The highest version of a Checkpoint that counts for a feed.
    #[must_use]
    pub fn checkpoint_version(&self, feed: &FeedId) -> u64 {
        self.standings.versions.get(feed).copied().unwrap_or(0)
    }

    /// Complete snapshots that are retired, but within `close` of the next one of their folder in their writer's feed that stands: there
    /// history was thinned, and none of it has gone. Whatever labels say, what is written later comes later in the feed: it can excuse what is
    /// within `close` of itself, and nothing else.
    #[must_use]
    pub fn thinned(&self, close: Span) -> BTreeSet<SnapshotId> {
        let mut next: BTreeMap<(FeedId, FolderId), WallTime> = BTreeMap::new();
        let mut thinned = BTreeSet::new();
        for ((feed, _), id) in self.standings.places.iter().rev() {
            let Some(entry) = self.snapshots.get(id).map(|fact| &fact.entry).filter(|entry| entry.complete)
            else {
                continue;
            };
            let (place, taken) = ((*feed, entry.folder), entry.taken.as_micros());
            if self.stands(id) {
                next.insert(place, entry.taken);
            } else if next
                .get(&place)
                .is_some_and(|next| next.as_micros().abs_diff(taken) <= close.as_micros())
            {
                thinned.insert(*id);
            }
        }
        thinned
    }

    /// Snapshots of a feed at these places, ascending by place.
    pub fn snapshots_at(&self, feed: &FeedId, from: u64, until: u64) -> impl Iterator<Item = &SnapshotFact> {
        let until = until.max(from);
        let places = self.standings.places.range((*feed, from)..(*feed, until));
        places.filter_map(|(_, id)| self.snapshots.get(id))
    }

    /// Remembers where a snapshot stands.
    pub(super) fn place_snapshot(&mut self, entry: &Entry, id: SnapshotId) {
        self.standings.places.insert((entry.feed, entry.sequence), id);
    }

    /// Keeps a Checkpoint.
    pub(super) fn take_checkpoint(&mut self, entry: &Entry, checkpoint: &Checkpoint) {
        let said = Said { by: entry.feed, at: entry.sequence, checkpoint: checkpoint.clone() };
        let until = (checkpoint.until.feed, checkpoint.until.length);
        self.standings.checkpoints.entry(until).or_default().push(said.clone());
        self.obey(&said);
    }

    /// An entry is here: Checkpoints that name it as the last one that they speak of may count from now on.
    pub(super) fn entry_stands(&mut self, feed: &FeedId, sequence: u64) {
        let said = self.standings.checkpoints.get(&(*feed, sequence + 1)).cloned().unwrap_or_default();
        said.iter().for_each(|said| self.obey(said));
    }

    /// Who is a member has changed: everything is decided anew.
    pub(super) fn decide_again(&mut self) {
        self.standings.decided.clear();
        self.standings.versions.clear();
        let all: Vec<Said> = self.standings.checkpoints.values().flatten().cloned().collect();
        all.iter().for_each(|said| self.obey(said));
    }

    /// Whether a Checkpoint at this place means anything by what is known now.
    pub(super) fn checkpoint_counts(&self, by: &FeedId, at: u64, checkpoint: &Checkpoint) -> bool {
        let until = &checkpoint.until;
        let may = by.node == until.feed.node || self.roster().is_removed(&until.feed.node);
        let last = until.length.checked_sub(1).and_then(|last| self.hash_at(&until.feed, last));
        may && self.roster().role_of(&by.node) == Some(Role::Full)
            && self.roster().is_within(by, at)
            && last == Some(until.hash)
    }

    /// Does what a Checkpoint says, where it counts and nothing that stands above it says otherwise.
    fn obey(&mut self, said: &Said) {
        let Said { by, at, checkpoint } = said;
        if !self.checkpoint_counts(by, *at, checkpoint) {
            return;
        }
        let feed = checkpoint.until.feed;
        let Standings { places, decided, versions, .. } = &mut self.standings;
        let version = versions.entry(feed).or_default();
        *version = (*version).max(checkpoint.version);
        let until = checkpoint.until.length.max(checkpoint.from);
        for ((_, place), id) in places.range((feed, checkpoint.from)..(feed, until)) {
            let held = checkpoint.standing.iter().find(|standing| standing.sequence == *place);
            let stood = if held.is_some() { checkpoint.version } else { 0 };
            let rank = (checkpoint.version, held.is_some(), *by, *at);
            let now = Decided { rank, held: held.map(|standing| standing.held), stood };
            let known = decided.entry(*id).or_insert(now);
            let stood = known.stood.max(stood);
            if known.rank < rank {
                *known = now;
            }
            known.stood = stood;
        }
    }
}

#[cfg(test)]
mod tests;
