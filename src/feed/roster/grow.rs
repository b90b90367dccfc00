//! The common case without the work of the general one: an Admit at a place where nothing was lets in a node of which
//! nothing was known. What it does is what `settle` would do; where that is not certain, it does nothing and says so.

use super::{Member, Roster, Standing, What};
use crate::base::ids::{FeedId, NodeId};
use crate::base::limits::{ADMIT_CHAIN_MAX, MEMBERS_MAX};
use crate::feed::entry::{author_of, Role};
use std::collections::BTreeMap;

/// What [`Roster::note`] has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::feed) enum Noted {
    /// Nothing that matters.
    Nothing,
    /// A fact is new; all others are as before.
    Added,
    /// Facts have changed otherwise.
    Changed,
}

impl Roster {
    /// Lets in whom the fact that was added at this place admits, if that is all that the fact changes. Gives the node.
    ///
    /// It is all if the author is a member (the root, a full node) whose rank leaves room below it, and if of the node nothing
    /// is known that could count from now on or speak against it: it neither is nor was a member, no Remove names it,
    /// it has written no facts, nobody else has its channel key, and there is room.
    pub(in crate::feed) fn grow(&mut self, feed: &FeedId, sequence: u64) -> Option<NodeId> {
        let facts = self.facts.get(feed)?;
        let fact = &facts[facts.binary_search_by_key(&sequence, |fact| fact.sequence).ok()?];
        let What::Admit(admit) = &fact.what else { return None };
        let above: &[u64] = if feed.node == self.root {
            &[]
        } else {
            let author = self.member(&feed.node).filter(|author| author.role == Role::Full)?;
            &author.rank
        };
        let node = author_of(&admit.signing);
        let is_new = node != self.root
            && !self.members.contains_key(&node)
            && !self.former.contains_key(&node)
            && !self.named.contains(&node)
            && !self.channels.contains_key(&admit.channel)
            && self.feeds_of(&node).next().is_none();
        let fits = above.len() < ADMIT_CHAIN_MAX && self.members.len() + self.former.len() < MEMBERS_MAX;
        if !is_new || !fits || self.is_awaited(feed, sequence) {
            return None;
        }
        let member = Member::admitted(node, admit, [above, &[sequence]].concat());
        self.channels.insert(member.channel, node);
        let (limits, awaited) = (BTreeMap::new(), BTreeMap::new());
        self.members.insert(node, Standing { member, admitted: (*feed, sequence), limits, awaited });
        Some(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::entry::{decode, Role};
    use crate::feed::roster::Noted;
    use crate::feed::writer::Writer;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{RngCore, SeedableRng};

    /// All conclusions, as text.
    fn conclusions(roster: &Roster) -> String {
        format!("{:?} {:?} {:?}", roster.members, roster.former, roster.channels)
    }

    #[test]
    fn whoever_is_let_in_alone_is_where_settling_would_have_put_it() {
        let mut grown = 0;
        for seed in 0..200 {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let mut draw =
                |below: usize| usize::try_from(rng.next_u64() % u64::try_from(below).unwrap()).unwrap();
            let mut writers: Vec<Writer> = (1..=12).map(Writer::new).collect();
            let mut roster = Roster::new(writers[0].public());
            for _ in 0..24 {
                let (author, other) = (draw(5), 1 + draw(11));
                let entry = if draw(6) == 0 {
                    let heads = if draw(2) == 0 { vec![writers[other].head()] } else { Vec::new() };
                    let node = writers[other].node();
                    writers[author].remove(node, heads)
                } else {
                    let role = if draw(3) == 0 { Role::Store } else { Role::Full };
                    let whom = writers[other].clone();
                    writers[author].admit(&whom, role)
                };
                let decoded = decode(&entry).unwrap();
                let noted = roster.note(&entry, &decoded);
                let mut settled = roster.clone();
                settled.settle(&|_, _| None);
                if noted == Noted::Added && roster.grow(&decoded.feed, decoded.sequence).is_some() {
                    grown += 1;
                    assert_eq!(conclusions(&roster), conclusions(&settled), "seed {seed}");
                }
                roster = settled;
            }
        }
        assert!(grown > 500, "it is the common case: {grown}");
    }
}
