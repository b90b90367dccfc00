//! Who may prove to be a member when more is known: admitted within what a removed node is said to have written, of which the end is not here
//! yet. Feeds arrive one after another, so a Remove is often read before the feed that it ends, and whoever tells it may
//! be one that the removed node let in: to end that session would be to hang up on the only one who can tell the rest.

use super::{Roster, What};
use crate::base::ids::{FeedId, NodeId};
use crate::feed::entry::author_of;
use std::collections::BTreeSet;

impl Roster {
    /// Whether a node that is no member was admitted at a place of which it is not known yet whether it counts, or by such a node. It is
    /// no member until that is known: a session that stands may go on, and nothing else follows from it. Each fact is looked at once.
    #[must_use]
    pub fn is_undecided(&self, node: &NodeId) -> bool {
        let awaited = self.former.values().flat_map(|former| &former.awaited);
        let mut open: Vec<NodeId> =
            awaited.flat_map(|(feed, length)| self.admitted_in(feed, *length)).collect();
        let mut seen = BTreeSet::new();
        while let Some(next) = open.pop() {
            if self.is_removed(&next) || self.member(&next).is_some() || !seen.insert(next) {
                continue;
            }
            if next == *node {
                return true;
            }
            open.extend(self.feeds_of(&next).flat_map(|(feed, _)| self.admitted_in(feed, u64::MAX)));
        }
        false
    }

    /// Whom the entries of a feed before this place admit.
    fn admitted_in(&self, feed: &FeedId, before: u64) -> impl Iterator<Item = NodeId> + '_ {
        let facts = self.facts.get(feed).into_iter().flatten().take_while(move |fact| fact.sequence < before);
        facts.filter_map(|fact| match &fact.what {
            What::Admit(admit) => Some(author_of(&admit.signing)),
            What::Remove(_) => None,
        })
    }
}
