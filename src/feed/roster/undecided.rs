//! Who may prove to be a member when more is known: admitted within what a removed node is said to have written, of which the end is not here
//! yet. Feeds arrive one after another, so a Remove is often read before the feed that it ends, and whoever tells it may
//! be one that the removed node let in: to end that session would be to hang up on the only one who can tell the rest.

use super::{Roster, What};
use crate::base::ids::NodeId;
use crate::base::limits::ADMIT_CHAIN_MAX;
use crate::feed::entry::author_of;

impl Roster {
    /// Whether a node that is no member was admitted at a place of which it is not known yet whether it counts, or by such a node. It is
    /// no member until that is known: a session that stands may go on, and nothing else follows from it.
    #[must_use]
    pub fn is_undecided(&self, node: &NodeId) -> bool {
        self.is_undecided_within(node, ADMIT_CHAIN_MAX)
    }

    /// The same for chains of at most this length.
    fn is_undecided_within(&self, node: &NodeId, steps: usize) -> bool {
        if steps == 0 || self.is_removed(node) || self.member(node).is_some() {
            return false;
        }
        self.facts.iter().any(|(feed, facts)| {
            let admits =
                |what: &What| matches!(what, What::Admit(admit) if author_of(&admit.signing) == *node);
            let mut places = facts.iter().filter(|fact| admits(&fact.what)).map(|fact| fact.sequence);
            match self.former.get(&feed.node) {
                Some(former) => {
                    former.awaited.get(feed).is_some_and(|length| places.any(|sequence| sequence < *length))
                }
                None => places.next().is_some() && self.is_undecided_within(&feed.node, steps - 1),
            }
        })
    }
}
