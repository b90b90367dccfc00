//! Who is about to leave: a full node's word that a member is to be removed once others have what it holds.
//!
//! A removal cannot be taken back and ends the node's sessions, so its copies are made elsewhere before. From the word on
//! placement goes round the node, as it does round a full one; it stays a member, its receipts count, and others fetch from it.
//! Whoever said it writes the Remove when it is done (`node/removal.rs`), or takes the word back.
//!
//! A word counts while its author could remove the node: a full member of lower rank. Of several the one with the highest
//! version decides, then the greater feed: a pure function of the entries, whatever the order in which they came.

use super::entry::Role;
use super::view::View;
use crate::base::ids::{FeedId, NodeId};
use crate::base::limits::LEAVES_PER_FEED_MAX;
use serde::{Deserialize, Serialize};

/// "This member is about to be removed", or is not any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leave {
    /// Who.
    pub node: NodeId,
    /// One more than the highest that its author knew for this node.
    pub version: u64,
    /// False: the word is taken back.
    pub leaves: bool,
}

impl View {
    /// By whom this member is about to be removed, if it is.
    #[must_use]
    pub fn leaving(&self, node: &NodeId) -> Option<NodeId> {
        let (feed, said) = self.word_on(node)?;
        said.leaves.then_some(feed.node)
    }

    /// What the next word on this member has to say to count.
    #[must_use]
    pub fn next_leave(&self, node: NodeId, leaves: bool) -> Leave {
        let version = self.word_on(&node).map_or(0, |(_, said)| said.version);
        Leave { node, version: version.saturating_add(1), leaves }
    }

    /// Whether a node may remove another, which has to be a member.
    #[must_use]
    pub fn may_remove(&self, author: &NodeId, node: &NodeId) -> bool {
        let rank = |node| self.roster().member(node).map(|member| (&member.rank, member.node));
        let is_full = self.roster().member(author).is_some_and(|member| member.role == Role::Full);
        is_full && rank(node).is_some() && rank(author) < rank(node)
    }

    /// Whether a word in this feed means anything by what is known now.
    pub(super) fn leave_counts(&self, feed: &FeedId, said: &Leave) -> bool {
        self.may_remove(&feed.node, &said.node) && self.leaves.get(&(said.node, *feed)) == Some(said)
    }

    /// Keeps a word: of each feed the one with the highest version on a node, and no more than it may have.
    pub(super) fn take_leave(&mut self, feed: FeedId, said: Leave) {
        let place = (said.node, feed);
        let is_next = match self.leaves.get(&place) {
            Some(before) => before.version <= said.version && *before != said,
            None => self.leaves.keys().filter(|(_, by)| *by == feed).count() < LEAVES_PER_FEED_MAX,
        };
        if is_next {
            self.leaves.insert(place, said);
            // Who was let in or removed since counts as such then.
            self.seats += u64::from(self.may_remove(&feed.node, &said.node));
        }
    }

    /// The word that decides.
    fn word_on(&self, node: &NodeId) -> Option<(&FeedId, &Leave)> {
        let end = |byte| FeedId { node: NodeId::from_bytes([byte; 32]), random: [byte; 8] };
        let said = self.leaves.range((*node, end(0))..=(*node, end(u8::MAX)));
        let said = said.map(|((_, feed), said)| (feed, said));
        said.filter(|(feed, _)| self.may_remove(&feed.node, node))
            .max_by_key(|(feed, said)| (said.version, **feed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::entry::Body;
    use crate::feed::writer::Writer;

    /// A vault of two full nodes and a store node, let in in this order.
    fn vault() -> (View, Writer, [Writer; 3]) {
        let (mut root, others) = (Writer::new(1), [Writer::new(2), Writer::new(3), Writer::new(4)]);
        let mut view = View::new(root.public());
        for (other, role) in others.iter().zip([Role::Full, Role::Full, Role::Store]) {
            view.apply(&root.admit(other, role)).unwrap();
        }
        (view, root, others)
    }

    /// Says that a node leaves, or not; whether that counts.
    fn say(view: &mut View, by: &mut Writer, node: NodeId, leaves: bool) -> bool {
        let word = view.next_leave(node, leaves);
        view.apply(&by.write(Body::Leave(word))).unwrap().counts
    }

    #[test]
    fn the_last_word_of_those_who_could_remove_it_decides() {
        let (mut view, _, [mut first, mut second, mut store]) = vault();
        let (last, seats) = (store.node(), view.seats_version());
        assert!(!say(&mut view, &mut store, first.node(), true), "it removes nobody");
        assert!(!say(&mut view, &mut second, first.node(), true), "who came later neither");
        assert!(!say(&mut view, &mut first, NodeId::from_bytes([9; 32]), true), "a stranger leaves nothing");
        assert_eq!((view.leaving(&first.node()), view.leaving(&last)), (None, None));
        assert!(say(&mut view, &mut first, last, true));
        assert_eq!(view.leaving(&last), Some(first.node()));
        assert!(view.seats_version() > seats, "placement is worked out anew");
        assert!(say(&mut view, &mut second, last, false) && view.leaving(&last).is_none());
        assert!(say(&mut view, &mut second, last, true));
        assert_eq!(view.leaving(&last), Some(second.node()));
        let old = Leave { node: last, version: 0, leaves: false };
        assert!(!view.apply(&first.write(Body::Leave(old))).unwrap().counts, "it knew less than before");
        assert_eq!(view.leaving(&last), Some(second.node()));
    }

    #[test]
    fn the_word_of_a_removed_node_is_void_and_of_one_feed_so_many_are_kept() {
        let (mut view, _, [mut first, mut second, store]) = vault();
        assert!(say(&mut view, &mut second, store.node(), true));
        view.apply(&first.remove(second.node(), vec![second.head()])).unwrap();
        assert_eq!(view.leaving(&store.node()), None);
        for number in 0..=LEAVES_PER_FEED_MAX {
            let [low, high] = u16::try_from(number).unwrap().to_le_bytes();
            let mut id = [0x77; 32];
            (id[0], id[1]) = (low, high);
            say(&mut view, &mut first, NodeId::from_bytes(id), true);
        }
        assert_eq!(view.leaves.len(), 1 + LEAVES_PER_FEED_MAX);
        assert!(!say(&mut view, &mut first, store.node(), true), "there is no room for it");
        assert_eq!(view.leaving(&store.node()), None);
    }
}
