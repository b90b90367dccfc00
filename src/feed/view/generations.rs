//! How many feeds of a node there may be, and which of them is the newest: the one with the longest line of predecessors.

use super::{Feed, View};
use crate::base::ids::{FeedId, NodeId};
use crate::base::limits::{FEEDS_MAX, FEEDS_PER_NODE_MAX, FEEDS_SURE};
use crate::feed::entry::FeedError;

impl View {
    /// Whether one more feed of a node is followed. However many others begin, the first few of each are, and the root's, who may have
    /// to remove them. Of a node that begins more than it may, those are that come first: here others than elsewhere, perhaps.
    ///
    /// # Errors
    /// [`FeedError::Full`].
    pub fn room_for_feed_of(&self, node: &NodeId) -> Result<(), FeedError> {
        let count = self.feeds_of(node).count();
        if *node == self.roster.root() || count < FEEDS_SURE {
            Ok(())
        } else if count >= FEEDS_PER_NODE_MAX {
            Err(FeedError::Full("feeds of one node"))
        } else if self.feeds.len() >= FEEDS_MAX {
            Err(FeedError::Full("feeds"))
        } else {
            Ok(())
        }
    }

    /// All feeds of one node.
    pub(in crate::feed) fn feeds_of(&self, node: &NodeId) -> impl Iterator<Item = (&FeedId, &Feed)> {
        let from = FeedId { node: *node, random: [0; 8] };
        let to = FeedId { node: *node, random: [u8::MAX; 8] };
        self.feeds.range(from..=to)
    }

    /// Orders the feeds of one node by age: how many feeds it follows (as far as they are here), then its id.
    pub(super) fn generation(&self, feed: &FeedId) -> (usize, FeedId) {
        let mut next = self.feeds.get(feed).and_then(|feed| feed.predecessor);
        let mut depth = 0;
        let bound = self.feeds_of(&feed.node).count();
        while let Some(predecessor) = next.filter(|_| depth <= bound) {
            depth += 1;
            next = self.feeds.get(&predecessor).and_then(|feed| feed.predecessor);
        }
        (depth, *feed)
    }

    /// Finds the newest feed of a node anew.
    pub(super) fn find_newest(&mut self, node: &NodeId) {
        let newest = self.feeds_of(node).map(|(feed, _)| self.generation(feed)).max();
        if let Some((_, feed)) = newest {
            self.newest.insert(*node, feed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::chain::Chain;
    use crate::feed::entry::{GroupSet, Role};
    use crate::feed::writer::Writer;

    #[test]
    fn however_many_feeds_there_are_each_node_may_begin_a_few_and_the_root_any() {
        let (mut root, mut full, mut late) = (Writer::new(1), Writer::new(2), Writer::new(3));
        let mut view = View::new(root.public());
        view.apply(&root.admit(&full, Role::Full)).unwrap();
        for number in 0..u16::try_from(FEEDS_MAX).unwrap() {
            let mut feed = FeedId { node: NodeId::from_bytes([0xaa; 32]), random: [0; 8] };
            feed.random[..2].copy_from_slice(&number.to_le_bytes());
            let begun = Feed {
                chain: Chain::new(feed),
                predecessor: None,
                describe: None,
                unwritten: 0,
                released: GroupSet::new(),
            };
            view.feeds.insert(feed, begun);
        }
        for number in 1..=u8::try_from(FEEDS_SURE).unwrap() {
            view.apply(&full.begin(number)).unwrap();
        }
        assert_eq!(view.apply(&full.begin(99)), Err(FeedError::Full("feeds")));
        for number in 1..=u8::try_from(FEEDS_PER_NODE_MAX).unwrap() {
            view.apply(&root.begin(number)).unwrap();
        }
        view.apply(&root.admit(&late, Role::Store)).unwrap();
        assert!(view.apply(&late.begin(1)).unwrap().counts, "who comes later is heard");
        view.apply(&root.remove(full.node(), Vec::new())).unwrap();
        assert!(view.roster().member(&full.node()).is_none());
    }
}
