//! Leaving: a round of questions in which a holder that has released groups finds out which of them it may delete.
//!
//! ```text
//!   for each peer:  asked for a lot of snapshots --answer--> asked for the next lot --> .. --> Finished --a proof--> Proven
//!                                                                                     \-- it fails: forgotten
//!   a group may go when, of each lot, as many holders as its snapshots want copies are Proven and have it in every answer
//! ```
//!
//! Snapshots that want different numbers of copies lie in different lots, for they have different holders.
//!
//! **Why those who leave never delete the last copies.** Take a group of a snapshot, and call a *leaver* whoever has deleted its
//! copy of it. Whoever asks has no receipt for the group in its own feed. Who confirms has one at that moment, and means it. And whoever writes
//! a receipt for a group takes the group out of the round that it has under way ([`Round::withdraw`]), as a crash does with all groups.
//! Of all leavers take the one whose round began last. Had one of its confirmers become a leaver too, by a round
//! that began before: it had no receipt when that round began and one when it confirmed, so it wrote the receipt in between, and the
//! round lost the group. So none of its confirmers, as many as are wanted copies, is a leaver. Nothing in this asks how
//! long an answer takes, who hears of whose Release, who is cut off from whom, or where a crash falls: a receipt that a crash takes back before it is
//! on the disk has been confirmed in vain, but whoever confirmed it has no round either when it comes back, and the next begins later.
//! `sim/move_model.rs` goes through all interleavings. Receipts alone, which may be old, would not do.
//!
//! **Whom it is left to.** Two of those who confirm, at least, have been known here for long (`node/known.rs`): a full node can let false
//! holders in, and have placement go round honest ones; it is one liar itself, and all that it lets in are new.
//!
//! **Who lies** is one holder less than was thought, as it was before: only the holders that placement names count (so a stranger to
//! the group adds nothing), all of them must confirm and then prove a random chunk of what they confirmed; whoever was found lying does
//! not count. What they claim and have lost is found by the same audits as ever (`replicate/audit.rs`).

use crate::base::ids::NodeId;
use crate::base::limits::COPIES_MAX;
use crate::base::units::Copies;
use crate::feed::entry::GroupSet;
use std::collections::BTreeMap;

/// A round.
#[derive(Debug)]
pub struct Round {
    /// What is to be left.
    groups: GroupSet,
    /// Lots of snapshots that are asked for, one after the other: how many copies those in it want.
    lots: Vec<Copies>,
    /// Who was asked.
    asked: BTreeMap<NodeId, Asked>,
}

/// What one peer has said.
#[derive(Debug, Clone)]
struct Asked {
    /// The lot for which it is asked.
    next: usize,
    /// Of snapshots that want so many copies: the groups that it has confirmed in every lot so far.
    confirmed: BTreeMap<Copies, GroupSet>,
    /// It has proven a chunk of that.
    is_proven: bool,
}

impl Asked {
    /// Everything that it has confirmed of anything.
    fn of_any(&self) -> GroupSet {
        let mut groups = GroupSet::new();
        self.confirmed.values().for_each(|confirmed| groups.union(confirmed));
        groups
    }
}

impl Round {
    /// Asks these peers for these lots.
    #[must_use]
    pub fn new(groups: GroupSet, lots: Vec<Copies>, peers: &[NodeId]) -> Self {
        let asked = Asked {
            next: 0,
            confirmed: lots.iter().map(|copies| (*copies, groups.clone())).collect(),
            is_proven: false,
        };
        let asked = peers.iter().map(|peer| (*peer, asked.clone())).collect();
        Self { groups, lots, asked }
    }

    /// What is to be left.
    #[must_use]
    pub const fn groups(&self) -> &GroupSet {
        &self.groups
    }

    /// A peer answers for its lot of this number. The lot that it is asked for next; None: none.
    pub fn answered(&mut self, peer: &NodeId, lot: usize, named: &GroupSet) -> Option<usize> {
        let Self { lots, asked, .. } = self;
        let asked = asked.get_mut(peer).filter(|asked| asked.next == lot)?;
        asked.confirmed.get_mut(lots.get(lot)?)?.intersect(named);
        asked.next += 1;
        // Of what it has nothing left in, nothing more is asked.
        while let Some(copies) = lots.get(asked.next) {
            if asked.confirmed.get(copies).is_some_and(|groups| !groups.is_empty()) {
                return Some(asked.next);
            }
            asked.next += 1;
        }
        None
    }

    /// Whether nobody has anything more to say.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.asked.values().all(|asked| asked.next >= self.lots.len())
    }

    /// Nobody is waited for any more: who has not finished has confirmed nothing, nor has who has no group left.
    pub fn close(&mut self) {
        let lots = self.lots.len();
        self.asked.retain(|_, asked| asked.next >= lots && !asked.of_any().is_empty());
    }

    /// Who is still to prove what it has confirmed.
    pub fn unproven(&self) -> impl Iterator<Item = &NodeId> {
        self.asked.iter().filter(|(_, asked)| !asked.is_proven).map(|(peer, _)| peer)
    }

    /// What a peer is still to prove a chunk of.
    #[must_use]
    pub fn to_prove(&self, peer: &NodeId) -> Option<GroupSet> {
        self.asked.get(peer).filter(|asked| !asked.is_proven).map(Asked::of_any)
    }

    /// It has proven one.
    pub fn proven(&mut self, peer: &NodeId) {
        if let Some(asked) = self.asked.get_mut(peer) {
            asked.is_proven = true;
        }
    }

    /// It has failed to, or cannot be asked.
    pub fn forget(&mut self, peer: &NodeId) {
        self.asked.remove(peer);
    }

    /// These are held again.
    pub fn withdraw(&mut self, groups: &GroupSet) {
        self.groups.subtract(groups);
    }

    /// What may go. `counts` tells for which groups of snapshots that want so many copies a peer counts, by what is known now, and `is_old`
    /// whether it has been known for long.
    #[must_use]
    pub fn confirmed(
        &self,
        counts: impl Fn(&NodeId, Copies) -> GroupSet,
        is_old: impl Fn(&NodeId) -> bool,
    ) -> GroupSet {
        let mut kinds = self.lots.clone();
        kinds.sort_unstable();
        kinds.dedup();
        if kinds.is_empty() {
            return GroupSet::new();
        }
        let mut all = self.groups.clone();
        for copies in kinds {
            let mut held = Vec::new();
            for (peer, asked) in self.asked.iter().filter(|(_, asked)| asked.is_proven) {
                let mut groups = counts(peer, copies);
                asked.confirmed.get(&copies).iter().for_each(|confirmed| groups.intersect(confirmed));
                held.push((is_old(peer), groups));
            }
            let held: Vec<(bool, &GroupSet)> =
                held.iter().map(|(is_old, groups)| (*is_old, groups)).collect();
            all.intersect(&held_by_enough(copies, &held));
        }
        all
    }
}

/// How many holders have what wants so many copies.
#[must_use]
pub fn wanted(copies: Copies) -> usize {
    usize::from(copies.get().min(COPIES_MAX))
}

/// The groups that enough of these hold, each with whether it has been known for long: as many as there are to be copies, and two that have
/// been, for one of them may have let the others in for the purpose.
#[must_use]
pub fn held_by_enough(copies: Copies, holders: &[(bool, &GroupSet)]) -> GroupSet {
    let wanted = wanted(copies);
    let old = holders.iter().filter(|(is_old, _)| *is_old).map(|(_, groups)| *groups);
    let mut enough = GroupSet::in_at_least(wanted.min(2), old);
    enough.intersect(&GroupSet::in_at_least(wanted, holders.iter().map(|(_, groups)| *groups)));
    enough
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Group;

    const ONE: Copies = Copies::new(1);
    const TWO: Copies = Copies::new(2);

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 32])
    }

    fn groups(numbers: &[u16]) -> GroupSet {
        numbers.iter().map(|number| Group::new(*number).unwrap()).collect()
    }

    /// What may go if everybody is a holder of everything.
    fn confirmed(round: &Round) -> GroupSet {
        round.confirmed(|_, _| GroupSet::all(), |_| true)
    }

    #[test]
    fn a_group_goes_when_enough_others_have_confirmed_every_lot_of_it_and_proven_it() {
        let peers = [node(1), node(2), node(3)];
        let mut round = Round::new(groups(&[1, 2, 3]), vec![TWO, TWO], &peers);
        assert_eq!(round.answered(&node(1), 0, &GroupSet::all()), Some(1));
        assert_eq!(round.answered(&node(2), 0, &groups(&[1, 2])), Some(1));
        assert_eq!(round.answered(&node(1), 1, &GroupSet::all()), None);
        assert_eq!(round.answered(&node(2), 1, &groups(&[2, 3])), None);
        assert!(!round.is_answered());
        assert_eq!(round.answered(&node(3), 0, &groups(&[9])), None, "it has nothing more to say");
        assert!(round.is_answered());
        round.close();
        assert_eq!(round.unproven().count(), 2);
        assert_eq!(round.to_prove(&node(2)), Some(groups(&[2])));
        round.proven(&node(1));
        assert!(confirmed(&round).is_empty(), "one has proven nothing yet");
        round.proven(&node(2));
        assert_eq!(confirmed(&round), groups(&[2]), "one answer of two is not enough for the others");
        assert_eq!(
            round
                .confirmed(|peer, _| if *peer == node(1) { groups(&[1]) } else { GroupSet::all() }, |_| true),
            groups(&[])
        );
        round.withdraw(&groups(&[2]));
        assert!(confirmed(&round).is_empty(), "it is held again");
    }

    #[test]
    fn nobody_counts_twice_and_nobody_counts_who_was_not_asked_or_has_not_finished() {
        let mut round = Round::new(groups(&[1]), vec![TWO], &[node(1), node(2), node(3)]);
        for _ in 0..3 {
            assert_eq!(round.answered(&node(1), 0, &GroupSet::all()), None);
            assert_eq!(round.answered(&node(9), 0, &GroupSet::all()), None);
            assert_eq!(
                round.answered(&node(2), 1, &GroupSet::all()),
                None,
                "another lot than it was asked for"
            );
        }
        round.close();
        (1..10).for_each(|number| round.proven(&node(number)));
        assert!(confirmed(&round).is_empty());
        let mut round = Round::new(groups(&[1]), vec![TWO], &[node(1), node(2), node(3)]);
        for number in [1, 2, 3] {
            round.answered(&node(number), 0, &GroupSet::all());
        }
        round.close();
        (1..3).for_each(|number| round.proven(&node(number)));
        assert_eq!(confirmed(&round), groups(&[1]));
        round.forget(&node(2));
        assert!(confirmed(&round).is_empty(), "it could not prove it in the end");
    }

    #[test]
    fn what_only_one_holds_that_was_known_for_long_stays() {
        let three = Copies::new(3);
        let mut round = Round::new(groups(&[1, 2]), vec![three], &[node(1), node(2), node(3), node(4)]);
        for (number, held) in [(1, &[1, 2]), (2, &[1, 2]), (3, &[1, 2]), (4, &[2, 3])] {
            round.answered(&node(number), 0, &groups(held));
        }
        round.close();
        (1..5).for_each(|number| round.proven(&node(number)));
        let confirmed = |old: &[u8]| {
            let old: Vec<NodeId> = old.iter().map(|number| node(*number)).collect();
            round.confirmed(|_, _| GroupSet::all(), |peer| old.contains(peer))
        };
        assert_eq!(confirmed(&[1, 2]), groups(&[1, 2]));
        assert_eq!(confirmed(&[1]), groups(&[]), "the others may be its own");
        assert_eq!(confirmed(&[1, 4]), groups(&[2]));
    }

    #[test]
    fn snapshots_that_want_more_copies_are_asked_of_more() {
        let mut round = Round::new(groups(&[1, 2]), vec![ONE, TWO], &[node(1), node(2)]);
        assert_eq!(round.answered(&node(1), 0, &groups(&[])), Some(1), "it may hold the others");
        assert_eq!(round.answered(&node(1), 1, &GroupSet::all()), None);
        assert_eq!(round.answered(&node(2), 0, &groups(&[1, 2])), Some(1));
        assert_eq!(round.answered(&node(2), 1, &groups(&[2])), None);
        round.close();
        (1..3).for_each(|number| round.proven(&node(number)));
        assert_eq!(confirmed(&round), groups(&[2]));
    }

    #[test]
    fn who_holds_nothing_of_others_leaves_nothing() {
        let mut round = Round::new(groups(&[1]), Vec::new(), &[node(1)]);
        round.close();
        round.proven(&node(1));
        assert!(confirmed(&round).is_empty());
    }
}
