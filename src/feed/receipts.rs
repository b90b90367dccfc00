//! Who says that it holds what: Receipts, and the Releases that take them back. [`super::view`] asks.
//!
//! Feeds arrive in any order, so a receipt may come before the snapshot that it is for, and is kept. Anybody may say that it holds what
//! nobody has written, so of one node that is done up to a bound: then it waits until other feeds tell of more of these
//! snapshots. Where all are honest none waits for ever: of all the receipts that wait the first to be written is for a snapshot that was
//! written before it, and so were all that come before that snapshot in its feed; none of those waits.

use super::entry::{Body, Entry, FeedError, GroupSet, Receipt, Release};
use super::view::View;
use crate::base::ids::{FeedId, NodeId, SnapshotId};
use crate::base::limits::RECEIPTS_UNWRITTEN_MAX;

impl View {
    /// Which members hold a snapshot, and which groups of it. Only receipts in a member's newest feed count.
    pub fn receipts(&self, snapshot: &SnapshotId) -> impl Iterator<Item = (NodeId, &GroupSet)> {
        self.receipts_of(snapshot).filter_map(|(feed, groups)| {
            let counts =
                self.newest.get(&feed.node) == Some(feed) && self.roster().member(&feed.node).is_some();
            counts.then_some((feed.node, groups))
        })
    }

    /// What is said of a snapshot in any feed.
    fn receipts_of(&self, snapshot: &SnapshotId) -> impl Iterator<Item = (&FeedId, &GroupSet)> {
        let first = FeedId { node: NodeId::from_bytes([0; 32]), random: [0; 8] };
        let last = FeedId { node: NodeId::from_bytes([u8::MAX; 32]), random: [u8::MAX; 8] };
        let range = self.receipts.range((*snapshot, first)..=(*snapshot, last));
        range.map(|((_, feed), groups)| (feed, groups))
    }

    /// Whether a node has said so often that it holds what nobody is known to have written that nothing more is followed of it for now.
    #[must_use]
    pub fn is_early(&self, node: &NodeId) -> bool {
        self.feeds_of(node).map(|(_, feed)| feed.unwritten).sum::<usize>() >= RECEIPTS_UNWRITTEN_MAX
    }

    /// Whether an entry can be taken now, if it is a receipt.
    pub(super) fn check_receipt(&self, entry: &Entry) -> Result<(), FeedError> {
        let Body::Receipt(receipt) = &entry.body else { return Ok(()) };
        let is_new = !self.receipts.contains_key(&(receipt.snapshot, entry.feed));
        if is_new && !self.snapshots.contains_key(&receipt.snapshot) && self.is_early(&entry.feed.node) {
            return Err(FeedError::Unwritten(entry.feed.node));
        }
        Ok(())
    }

    /// A snapshot came: what was said of it before counts no longer as said of what nobody has written.
    pub(super) fn is_written(&mut self, snapshot: &SnapshotId) {
        let said: Vec<FeedId> = self.receipts_of(snapshot).map(|(feed, _)| *feed).collect();
        said.iter().for_each(|feed| self.told_less(feed, 1));
    }

    /// Another number whenever more can be followed again of a node that was early.
    #[must_use]
    pub const fn eased(&self) -> u64 {
        self.eased
    }

    /// Of a feed's receipts so many fewer are for what nobody has written.
    fn told_less(&mut self, id: &FeedId, count: usize) {
        let was_early = self.is_early(&id.node);
        if let Some(feed) = self.feeds.get_mut(id) {
            feed.unwritten = feed.unwritten.saturating_sub(count);
        }
        self.eased += u64::from(was_early && !self.is_early(&id.node));
    }

    /// Adds to what its feed has receipted.
    pub(super) fn take_receipt(&mut self, feed: &FeedId, receipt: &Receipt) {
        if receipt.groups.is_empty() {
            return;
        }
        let held = self.receipts.entry((receipt.snapshot, *feed)).or_default();
        let is_new = held.is_empty();
        held.union(&receipt.groups);
        if let Some(feed) = self.feeds.get_mut(feed).filter(|_| is_new) {
            feed.unwritten += usize::from(!self.snapshots.contains_key(&receipt.snapshot));
        }
    }

    /// Takes a Release off the receipts of its feed so far.
    pub(super) fn take_release(&mut self, feed: &FeedId, release: &Release) {
        let (snapshots, mut count) = (&self.snapshots, 0);
        let mut is_left = |snapshot: &SnapshotId, held: &mut GroupSet| {
            held.subtract(&release.groups);
            count += usize::from(held.is_empty() && !snapshots.contains_key(snapshot));
            !held.is_empty()
        };
        match release.snapshot {
            None => self.receipts.retain(|(snapshot, of), held| of != feed || is_left(snapshot, held)),
            Some(snapshot) => {
                let held = self.receipts.get_mut(&(snapshot, *feed));
                if held.is_some_and(|held| !is_left(&snapshot, held)) {
                    self.receipts.remove(&(snapshot, *feed));
                }
            }
        }
        self.told_less(feed, count);
    }
}

#[cfg(test)]
mod tests {
    use crate::base::ids::SnapshotId;
    use crate::base::limits::RECEIPTS_UNWRITTEN_MAX;
    use crate::feed::entry::{snapshot_id, Body, FeedError, GroupSet, Receipt, Release, Role};
    use crate::feed::tests::view::snapshot;
    use crate::feed::view::View;
    use crate::feed::writer::Writer;

    /// A root, a full node and a store node that are known.
    fn household() -> (View, Writer, Writer) {
        let (mut root, full, store) = (Writer::new(1), Writer::new(2), Writer::new(3));
        let mut view = View::new(root.public());
        view.apply(&root.admit(&full, Role::Full)).unwrap();
        view.apply(&root.admit(&store, Role::Store)).unwrap();
        (view, full, store)
    }

    fn receipt(snapshot: SnapshotId) -> Body {
        Body::Receipt(Receipt { snapshot, groups: GroupSet::all() })
    }

    /// The id of a snapshot that nobody writes.
    fn nothing(number: usize) -> SnapshotId {
        let mut id = [0x55; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        SnapshotId::from_bytes(id)
    }

    #[test]
    fn of_what_nobody_wrote_so_many_receipts_are_taken_and_more_when_a_snapshot_came_or_was_released() {
        let (mut view, mut full, mut store) = household();
        let (first, second) = (full.write(snapshot(1, 5)), full.write(snapshot(1, 6)));
        let ids = [&first, &second].map(|bytes| snapshot_id(&crate::feed::entry::hash(bytes)));
        view.apply(&store.write(receipt(ids[0]))).unwrap();
        for number in 1..RECEIPTS_UNWRITTEN_MAX {
            view.apply(&store.write(receipt(nothing(number)))).unwrap();
        }
        let node = store.node();
        assert!(view.is_early(&node));
        let late = store.write(receipt(nothing(0)));
        assert_eq!(view.apply(&late), Err(FeedError::Unwritten(node)));
        assert_eq!(view.apply(&late), Err(FeedError::Unwritten(node)), "nothing was changed by that");
        // What it was early with comes: it goes on, and stands where it would have in another order.
        let before = view.eased();
        view.apply(&first).unwrap();
        assert!(view.eased() > before && !view.is_early(&node));
        assert!(view.receipts(&ids[0]).any(|(holder, _)| holder == node));
        view.apply(&late).unwrap();
        assert!(view.is_early(&node));
        // What is known may be said, and so may be taken back what is not.
        view.apply(&second).unwrap();
        view.apply(&store.write(receipt(ids[1]))).unwrap();
        let before = view.eased();
        let all = Release { snapshot: Some(nothing(0)), groups: GroupSet::all() };
        view.apply(&store.write(Body::Release(all))).unwrap();
        assert!(view.eased() > before && !view.is_early(&node));
        view.apply(&store.write(receipt(nothing(0)))).unwrap();
        let everything = Release { snapshot: None, groups: GroupSet::all() };
        view.apply(&store.write(Body::Release(everything))).unwrap();
        for number in 0..3 {
            view.apply(&store.write(receipt(nothing(number)))).unwrap();
        }
        assert!(!view.is_early(&node));
    }
}
