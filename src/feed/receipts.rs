//! Who says that it holds what: Receipts, and the Releases that take them back. [`super::view`] asks.

use super::entry::{GroupSet, Receipt, Release};
use super::view::View;
use crate::base::ids::{FeedId, NodeId, SnapshotId};
use std::collections::BTreeMap;

impl View {
    /// Which members hold a snapshot, and which groups of it. Only receipts in a member's newest feed count.
    pub fn receipts(&self, snapshot: &SnapshotId) -> impl Iterator<Item = (NodeId, &GroupSet)> {
        self.receipts.get(snapshot).into_iter().flatten().filter_map(|(feed, groups)| {
            let counts =
                self.newest.get(&feed.node) == Some(feed) && self.roster().member(&feed.node).is_some();
            counts.then_some((feed.node, groups))
        })
    }

    /// Adds to what its feed has receipted.
    pub(super) fn take_receipt(&mut self, feed: &FeedId, receipt: &Receipt) {
        if !receipt.groups.is_empty() {
            let held = self.receipts.entry(receipt.snapshot).or_default().entry(*feed).or_default();
            held.union(&receipt.groups);
        }
    }

    /// Takes a Release off the receipts of its feed so far.
    pub(super) fn take_release(&mut self, feed: &FeedId, release: &Release) {
        // Returns whether nobody holds anything of the snapshot any more.
        let subtract = |held: &mut BTreeMap<FeedId, GroupSet>| {
            if let Some(groups) = held.get_mut(feed) {
                groups.subtract(&release.groups);
                if groups.is_empty() {
                    held.remove(feed);
                }
            }
            held.is_empty()
        };
        match &release.snapshot {
            Some(snapshot) => {
                if self.receipts.get_mut(snapshot).is_some_and(subtract) {
                    self.receipts.remove(snapshot);
                }
            }
            None => self.receipts.retain(|_, held| !subtract(held)),
        }
    }
}
