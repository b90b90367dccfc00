//! Standing in: which groups a node holds for others that are away, beside those that placement gives it.
//!
//! ```text
//!   placement of all members      (base)    -- what everybody holds for good; the same on every machine
//!   placement without the absent  (around)  -- who would hold a group if they were no members
//!   stands in for: groups of which an absent one is a holder in `base` and this node one in `around`
//! ```
//!
//! Who is away is a matter of opinion: every node goes by what it has heard itself, and two nodes may differ. Nobody therefore
//! ever holds *less* than its placement for what it believes of others; it holds more. Nodes that agree on who is away
//! have together as many holders of every group as there were, while enough are left; where they differ a group
//! may have more, or as many as before, and never fewer.

use super::place::{Placement, Seat};
use crate::base::ids::NodeId;
use crate::base::units::Copies;
use crate::feed::entry::GroupSet;
use std::collections::BTreeSet;

/// The placement on those who are not away.
#[must_use]
pub fn around(seats: &[Seat], away: &BTreeSet<NodeId>, copies: Copies) -> Placement {
    let here: Vec<Seat> = seats.iter().filter(|seat| !away.contains(&seat.node)).cloned().collect();
    Placement::new(&here, copies)
}

/// The groups for which `node` stands in.
#[must_use]
pub fn groups(base: &Placement, around: &Placement, away: &BTreeSet<NodeId>, node: &NodeId) -> GroupSet {
    let misses = |group: &_| base.holders(*group).any(|holder| away.contains(holder));
    around.groups_of(node).iter().filter(misses).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Group;

    const COPIES: Copies = Copies::new(3);

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 32])
    }

    /// So many members in four sites, of unequal size.
    fn seats(count: u8) -> Vec<Seat> {
        let seat = |number: u8| Seat {
            node: node(number),
            site: format!("site {}", number % 4),
            capacity_bytes: (1 + u64::from(number % 5)) << 40,
            is_full: false,
        };
        (1..=count).map(seat).collect()
    }

    /// What a node holds that believes these to be away.
    fn held(seats: &[Seat], number: u8, away: &[u8]) -> GroupSet {
        let away: BTreeSet<NodeId> = away.iter().map(|number| node(*number)).collect();
        let base = Placement::new(seats, COPIES);
        let mut held = base.groups_of(&node(number));
        held.union(&groups(&base, &around(seats, &away, COPIES), &away, &node(number)));
        held
    }

    #[test]
    fn those_who_are_left_hold_as_many_copies_of_every_group_as_were_wanted() {
        for away in [&[3][..], &[3, 4], &[1, 5, 9], &[2, 6, 7, 8]] {
            let seats = seats(9);
            let here: Vec<GroupSet> = (1..=9)
                .filter(|number| !away.contains(number))
                .map(|number| held(&seats, number, away))
                .collect();
            for group in Group::all() {
                let live = here.iter().filter(|held| held.contains(group)).count();
                assert!(live >= 3, "{away:?}: {live} of {group:?}");
            }
        }
    }

    #[test]
    fn no_more_is_taken_over_than_the_absent_hold() {
        let (seats, base) = (seats(9), Placement::new(&seats(9), COPIES));
        let extra: u16 = (1..=9)
            .filter(|number| *number != 3)
            .map(|number| held(&seats, number, &[3]).len() - base.groups_of(&node(number)).len())
            .sum();
        let lost = base.groups_of(&node(3)).len();
        assert!(extra >= lost && extra <= lost + lost / 5, "{extra} for {lost}");
    }

    #[test]
    fn nobody_holds_less_for_what_it_believes_of_others() {
        let (seats, base) = (seats(7), Placement::new(&seats(7), COPIES));
        for beliefs in 0_u8..128 {
            let away: Vec<u8> = (1..=7).filter(|number| beliefs & (1 << (number - 1)) != 0).collect();
            for number in [1, 4, 7] {
                let mut lacks = base.groups_of(&node(number));
                lacks.subtract(&held(&seats, number, &away));
                assert!(lacks.is_empty(), "{number} believes {away:?} to be away");
            }
        }
    }

    #[test]
    fn with_no_more_nodes_than_copies_there_is_nobody_to_stand_in() {
        assert_eq!(held(&seats(3), 1, &[2]), GroupSet::all());
        assert_eq!(held(&seats(3), 1, &[]), GroupSet::all());
        assert_eq!(held(&seats(4), 1, &[2]), GroupSet::all(), "three are left of four: all hold everything");
    }
}
