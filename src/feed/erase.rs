//! Erasing early: who says that a retired snapshot goes at once, without the floor. `feed/standing.rs` says what is retired.
//!
//! An Erase is one author's word on snapshots that it knows to be retired, each with the version of the Checkpoint that
//! retired it. A word means something while all of this holds, whatever the order in which entries came:
//!
//! * its author is the vault's root, or a full node that is a member *now* (a removed node's words are void);
//! * the snapshot is retired now;
//! * no Checkpoint that counts and has that version or a later one lists the snapshot as standing. So whoever takes it back
//!   wins over every word that did not know of it, also when it is retired again afterwards: that needs new words.
//!
//! The view tells whose words they are. How many are enough, and of whom, is for each holder to say, which knows since when it
//! has known them (`node/known.rs`).

use super::body::items;
use super::entry::Role;
use super::view::View;
use crate::base::ids::{FeedId, NodeId, SnapshotId};
use crate::base::limits::{ERASED_PER_ENTRY_MAX, ERASED_PER_FEED_MAX};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// "These snapshots go at once."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erase {
    /// Which.
    #[serde(deserialize_with = "items::<_, _, ERASED_PER_ENTRY_MAX>")]
    pub snapshots: Vec<Erased>,
}

/// A snapshot that shall go at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Erased {
    /// Which.
    pub snapshot: SnapshotId,
    /// The version of the Checkpoint that has retired it, as far as the author knew.
    pub version: u64,
}

/// All words, whether they mean anything or not.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    /// By snapshot and feed: the highest version.
    said: BTreeMap<SnapshotId, BTreeMap<FeedId, u64>>,
    /// How many snapshots each feed has spoken of.
    counts: BTreeMap<FeedId, usize>,
}

impl View {
    /// Whose words say that this retired snapshot goes at once: full members, and the root.
    #[must_use]
    pub fn erased_by(&self, snapshot: &SnapshotId) -> BTreeSet<NodeId> {
        let (Some(said), Some((_, stood))) = (self.words.said.get(snapshot), self.retired_at(snapshot))
        else {
            return BTreeSet::new();
        };
        let counting = said.iter().filter(|(feed, version)| **version > stood && self.may_erase(&feed.node));
        counting.map(|(feed, _)| feed.node).collect()
    }

    /// Retired snapshots of which somebody who may says that they go at once, ascending by id, each with whose words these are.
    pub fn erased(&self) -> impl Iterator<Item = (SnapshotId, BTreeSet<NodeId>)> + '_ {
        let said = self.words.said.keys().map(|snapshot| (*snapshot, self.erased_by(snapshot)));
        said.filter(|(_, authors)| !authors.is_empty())
    }

    /// What an Erase would say of this snapshot; none if it is not retired, or was taken back by a word as strong as the one that
    /// retired it.
    #[must_use]
    pub fn erasable(&self, snapshot: &SnapshotId) -> Option<Erased> {
        let (version, stood) = self.retired_at(snapshot)?;
        (version > stood).then_some(Erased { snapshot: *snapshot, version })
    }

    /// Whether the feed has room for words on these snapshots; what is beyond is void.
    #[must_use]
    pub fn has_room_to_erase(&self, feed: &FeedId, snapshots: usize) -> bool {
        self.words.counts.get(feed).copied().unwrap_or(0) + snapshots <= ERASED_PER_FEED_MAX
    }

    /// Whether the word of this node means anything.
    fn may_erase(&self, node: &NodeId) -> bool {
        *node == self.roster().root()
            || self.roster().member(node).is_some_and(|member| member.role == Role::Full)
    }

    /// Whether an Erase by this author means anything, by what is known now.
    pub(super) fn erase_counts(&self, author: &NodeId, erase: &Erase) -> bool {
        erase.snapshots.iter().any(|erased| self.erased_by(&erased.snapshot).contains(author))
    }

    /// Keeps what an Erase says: of each feed as much as may be.
    pub(super) fn take_erase(&mut self, feed: &FeedId, erase: &Erase) {
        let Words { said, counts } = &mut self.words;
        let count = counts.entry(*feed).or_default();
        for Erased { snapshot, version } in &erase.snapshots {
            let is_known = said.get(snapshot).is_some_and(|feeds| feeds.contains_key(feed));
            if !is_known && *count >= ERASED_PER_FEED_MAX {
                continue;
            }
            *count += usize::from(!is_known);
            let known = said.entry(*snapshot).or_default().entry(*feed).or_default();
            *known = (*known).max(*version);
        }
    }
}
