//! Who says that it holds what: Receipts, and the Releases that take them back. [`super::view`] asks.

use super::entry::{GroupSet, Receipt, Release};
use super::view::View;
use crate::base::ids::{FeedId, NodeId, SnapshotId};

impl View {
    /// Which members hold a snapshot, and which groups of it. Only receipts in a member's newest feed count.
    pub fn receipts(&self, snapshot: &SnapshotId) -> impl Iterator<Item = (NodeId, &GroupSet)> {
        let first = FeedId { node: NodeId::from_bytes([0; 32]), random: [0; 8] };
        let last = FeedId { node: NodeId::from_bytes([u8::MAX; 32]), random: [u8::MAX; 8] };
        self.receipts.range((*snapshot, first)..=(*snapshot, last)).filter_map(|((_, feed), groups)| {
            let counts =
                self.newest.get(&feed.node) == Some(feed) && self.roster().member(&feed.node).is_some();
            counts.then_some((feed.node, groups))
        })
    }

    /// Adds to what its feed has receipted.
    pub(super) fn take_receipt(&mut self, feed: &FeedId, receipt: &Receipt) {
        if !receipt.groups.is_empty() {
            self.receipts.entry((receipt.snapshot, *feed)).or_default().union(&receipt.groups);
        }
    }

    /// Takes a Release off the receipts of its feed so far.
    pub(super) fn take_release(&mut self, feed: &FeedId, release: &Release) {
        let Some(snapshot) = release.snapshot else {
            return self.receipts.retain(|(_, of), held| {
                if of == feed {
                    held.subtract(&release.groups);
                }
                !held.is_empty()
            });
        };
        if let Some(held) = self.receipts.get_mut(&(snapshot, *feed)) {
            held.subtract(&release.groups);
            if held.is_empty() {
                self.receipts.remove(&(snapshot, *feed));
            }
        }
    }
}
