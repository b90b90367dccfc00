//! Which of a node's feeds is the newest: the one with the longest line of predecessors.

use super::{Feed, View};
use crate::base::ids::{FeedId, NodeId};

impl View {
    /// All feeds of one node.
    pub(super) fn feeds_of(&self, node: &NodeId) -> impl Iterator<Item = (&FeedId, &Feed)> {
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
