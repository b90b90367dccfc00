//! Who says that it holds what: Receipts, and the Releases that take them back. [`super::view`] asks.
//!
//! Feeds arrive in any order, so a receipt may come before the snapshot that it is for, and is kept. Anybody may say that it holds what
//! nobody has written, as often as a feed has entries: that is counted, so that people can be told. (Such receipts are not refused beyond some
//! number: of two histories that a third node has written some know the one and some the other, and who is honest and holds the one
//! would be followed no further by who knows the other.)

use super::entry::{GroupSet, Receipt, Release};
use super::view::View;
use crate::base::ids::{FeedId, NodeId, SnapshotId};

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

    /// Whether any member has said in any of its feeds that it holds some of it, and has not taken that back in the same feed: whoever
    /// begins a new feed holds what it held, as far as it is still there.
    pub(super) fn has_receipted(&self, snapshot: &SnapshotId) -> bool {
        self.receipts_of(snapshot).any(|(feed, _)| self.roster().member(&feed.node).is_some())
    }

    /// What a node has said in any of its feeds that it holds of a snapshot, but for what it has released in the same or in its newest.
    /// What stands in an earlier feed is no copy that counts, but may still be there.
    #[must_use]
    pub fn once_receipted(&self, snapshot: &SnapshotId, node: &NodeId) -> GroupSet {
        let newest = self.newest.get(node);
        let (mut said, mut now) = (GroupSet::new(), GroupSet::new());
        for (feed, groups) in self.receipts_of(snapshot).filter(|(feed, _)| feed.node == *node) {
            if newest == Some(feed) { &mut now } else { &mut said }.union(groups);
        }
        let released = newest.and_then(|newest| self.feeds.get(newest)).map(|feed| &feed.released);
        released.iter().for_each(|released| said.subtract(released));
        said.union(&now);
        said
    }

    /// Who wrote a snapshot, whether it counts or not.
    #[must_use]
    pub fn written_by(&self, snapshot: &SnapshotId) -> Option<NodeId> {
        self.snapshots.get(snapshot).map(|fact| fact.writer)
    }

    /// How many receipts of a node are for snapshots that nobody is known to have written.
    #[must_use]
    pub fn unwritten_of(&self, node: &NodeId) -> usize {
        self.feeds_of(node).map(|(_, feed)| feed.unwritten).sum()
    }

    /// A snapshot came: what was said of it before counts no longer as said of what nobody has written.
    pub(super) fn receipts_were_early(&mut self, snapshot: &SnapshotId) {
        let said: Vec<FeedId> = self.receipts_of(snapshot).map(|(feed, _)| *feed).collect();
        said.iter().for_each(|feed| self.told_less(feed, 1));
    }

    /// Of a feed's receipts so many fewer are for what nobody has written.
    fn told_less(&mut self, feed: &FeedId, count: usize) {
        if let Some(feed) = self.feeds.get_mut(feed) {
            feed.unwritten = feed.unwritten.saturating_sub(count);
        }
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
        if release.groups.is_empty() {
            return;
        }
        let (snapshots, mut count) = (&self.snapshots, 0);
        let mut is_left = |snapshot: &SnapshotId, held: &mut GroupSet| {
            if !held.meets(&release.groups) {
                return true;
            }
            held.subtract(&release.groups);
            count += usize::from(held.is_empty() && !snapshots.contains_key(snapshot));
            !held.is_empty()
        };
        match release.snapshot {
            None => {
                self.receipts.retain(|(snapshot, of), held| of != feed || is_left(snapshot, held));
                if let Some(feed) = self.feeds.get_mut(feed) {
                    feed.released.union(&release.groups);
                }
            }
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
    use crate::base::ids::{ChunkId, Group, SnapshotId};
    use crate::feed::entry::{hash, snapshot_id, Body, GroupSet, Receipt, Release, Role};
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
    fn nothing(number: u8) -> SnapshotId {
        SnapshotId::from_bytes([number; 32])
    }

    #[test]
    fn what_an_earlier_feed_receipted_may_be_there_until_the_newest_releases_it() {
        let (mut view, mut full, mut store) = household();
        let written = full.write(snapshot(1, 5));
        view.apply(&written).unwrap();
        let (id, node) = (snapshot_id(&hash(&written)), store.node());
        let some = |numbers: &[u16]| numbers.iter().filter_map(|number| Group::new(*number)).collect();
        let release = |groups| Body::Release(Release { snapshot: None, groups });
        view.apply(&store.write(Body::Receipt(Receipt { snapshot: id, groups: some(&[1, 2, 3, 4]) })))
            .unwrap();
        view.apply(&store.write(release(some(&[4])))).unwrap();
        assert_eq!(view.once_receipted(&id, &node), some(&[1, 2, 3]));
        view.apply(&store.begin(7)).unwrap();
        assert_eq!((view.receipts(&id).count(), view.once_receipted(&id, &node)), (0, some(&[1, 2, 3])));
        view.apply(&store.write(release(some(&[1, 2])))).unwrap();
        assert_eq!(view.once_receipted(&id, &node), some(&[3]));
        view.apply(&store.write(Body::Receipt(Receipt { snapshot: id, groups: some(&[1]) }))).unwrap();
        assert_eq!(view.once_receipted(&id, &node), some(&[1, 3]));
        assert_eq!(view.once_receipted(&id, &full.node()), GroupSet::new());
    }

    #[test]
    fn what_nobody_wrote_is_counted_until_it_comes_or_is_released() {
        let (mut view, mut full, mut store) = household();
        let written = full.write(snapshot(1, 5));
        let id = snapshot_id(&hash(&written));
        let node = store.node();
        let mut say =
            |view: &mut View, body| view.apply(&store.write(body)).map(|_| view.unwritten_of(&node));
        assert_eq!(say(&mut view, receipt(id)), Ok(1));
        assert_eq!(say(&mut view, receipt(id)), Ok(1), "what is said twice counts once");
        for number in 0..3 {
            assert_eq!(say(&mut view, receipt(nothing(number))), Ok(2 + usize::from(number)));
        }
        view.apply(&written).unwrap();
        assert_eq!(view.unwritten_of(&node), 3);
        assert!(view.receipts(&id).any(|(holder, _)| holder == node));
        let some = Release {
            snapshot: Some(nothing(0)),
            groups: [Group::of(&ChunkId::from_bytes([0; 32]))].into_iter().collect(),
        };
        assert_eq!(say(&mut view, Body::Release(some)), Ok(3), "it still holds the rest of it");
        let one = Release { snapshot: Some(nothing(0)), groups: GroupSet::all() };
        assert_eq!(say(&mut view, Body::Release(one)), Ok(2));
        assert_eq!(say(&mut view, receipt(id)), Ok(2), "what is written is none of it");
        let everything = Release { snapshot: None, groups: GroupSet::all() };
        assert_eq!(say(&mut view, Body::Release(everything)), Ok(0));
    }
}
