//! When conclusions are drawn on who is a member: all of them only where they may be others than before.

use super::View;
use crate::base::ids::FeedId;
use crate::feed::entry::Role;
use crate::feed::roster::Noted;

impl View {
    /// A fact was noted at this place. What a node wrote that comes in by it could count from now on; a node of which no
    /// feed is here has written nothing.
    pub(super) fn conclude(&mut self, noted: Noted, feed: &FeedId, sequence: u64) {
        if self.roster.role_of(&feed.node) == Some(Role::Store) && !self.roster.is_awaited(feed, sequence) {
            // It admits and removes nobody, however much it writes: no reason to calculate.
            return;
        }
        let grown = if noted == Noted::Added { self.roster.grow(feed, sequence) } else { None };
        let is_all = grown.is_some_and(|node| self.feeds_of(&node).next().is_none());
        self.seats += u64::from(grown.is_some());
        if !is_all && (noted != Noted::Nothing || self.roster.is_awaited(feed, sequence)) {
            self.settle();
        }
    }

    /// Draws all conclusions anew.
    fn settle(&mut self) {
        let feeds = &self.feeds;
        self.roster.settle(&|feed, sequence| feeds.get(feed)?.chain.hash_at(sequence));
        self.seats += 1;
        self.decide_again();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::entry::author_of;
    use crate::feed::writer::Writer;

    #[test]
    fn a_store_node_that_admits_a_thousand_nodes_admits_nobody() {
        let (mut root, mut full, mut store) = (Writer::new(1), Writer::new(2), Writer::new(3));
        let mut view = View::new(root.public());
        view.apply(&root.admit(&full, Role::Full)).unwrap();
        view.apply(&full.admit(&store, Role::Store)).unwrap();
        let before = format!("{:?}", view.roster().members().collect::<Vec<_>>());
        for number in 0..1_000_u16 {
            let mut fake = Writer::new(4);
            let [low, high] = number.to_le_bytes();
            let mut seed = [0x55; 32];
            (seed[0], seed[1]) = (low, high);
            fake.key = ed25519_dalek::SigningKey::from_bytes(&seed);
            fake.feed.node = author_of(&fake.public());
            let applied = view.apply(&store.admit(&fake, Role::Full)).unwrap();
            assert!(!applied.counts);
            assert!(view.apply(&fake.admit(&store, Role::Full)).is_err(), "nobody has let it in");
        }
        view.apply(&store.remove(full.node(), Vec::new())).unwrap();
        assert_eq!(format!("{:?}", view.roster().members().collect::<Vec<_>>()), before);
    }
}
