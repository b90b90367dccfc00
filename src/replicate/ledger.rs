//! The ledger: where copies of a snapshot are, and what is left of it when some burn; counted from receipts and nothing else.
//!
//! A copy counts for a group when a member has signed a receipt that names the snapshot and the group, whatever placement says
//! today; the writer counts as a copy of everything while it is a member. A snapshot is as safe as its least safe group. What is
//! not known never makes it safer: a node whose site is unknown adds no site, and burns with every one.

use crate::base::gather;
use crate::base::ids::NodeId;
use crate::base::units::Copies;
use crate::feed::entry::GroupSet;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// How well a snapshot is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protection {
    /// Devices that are known to hold every group, the writer counted as one.
    pub have: u8,
    /// Devices that shall.
    pub wanted: u8,
    /// Places in which every group is known to be.
    pub sites: u8,
}

impl Protection {
    /// Whether the wanted number of devices has said "stored".
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.have >= self.wanted
    }
}

/// What one device holds of a snapshot.
#[derive(Debug, Clone)]
pub struct Copy<'a> {
    /// Which device.
    pub node: NodeId,
    /// Where it stands, if that is known.
    pub site: Option<&'a str>,
    /// What of it.
    pub groups: Cow<'a, GroupSet>,
}

/// What burns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fire<'a> {
    /// One device.
    Node(NodeId),
    /// All devices of a place, and those of which nobody knows where they stand.
    Site(&'a str),
}

/// The fires that a snapshot does not survive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fires<'a> {
    /// Those whose device or place alone has some of it.
    pub some: BTreeSet<Fire<'a>>,
    /// Every place's, because some of it stands nobody knows where.
    pub every_site: bool,
}

impl Fires<'_> {
    /// Whether this is one of them.
    #[must_use]
    pub fn has(&self, fire: &Fire<'_>) -> bool {
        self.some.contains(fire) || self.every_site && matches!(fire, Fire::Site(_))
    }
}

/// All copies of one snapshot.
#[derive(Debug, Clone, Default)]
pub struct Ledger<'a> {
    /// At most one a device.
    copies: Vec<Copy<'a>>,
}

impl<'a> Ledger<'a> {
    /// The copies of a snapshot of `writer`, who holds all of it while it is a member (`is_here`): a node that was lost and
    /// removed holds nothing. `site_of` tells where a member stands.
    #[must_use]
    pub fn new(
        writer: NodeId,
        is_here: bool,
        receipts: impl Iterator<Item = (NodeId, &'a GroupSet)>,
        site_of: impl Fn(&NodeId) -> Option<&'a str>,
    ) -> Self {
        let own = Copy { node: writer, site: site_of(&writer), groups: Cow::Owned(GroupSet::all()) };
        let others = receipts.filter(|(node, _)| *node != writer).map(|(node, groups)| Copy {
            node,
            site: site_of(&node),
            groups: Cow::Borrowed(groups),
        });
        Self { copies: Some(own).filter(|_| is_here).into_iter().chain(others).collect() }
    }

    /// How well it is protected, when so many copies are wanted.
    #[must_use]
    pub fn protection(&self, wanted: Copies) -> Protection {
        let copies: Vec<&GroupSet> = self.copies.iter().map(|copy| copy.groups.as_ref()).collect();
        let have = GroupSet::least(&copies, usize::from(wanted.get()));
        let known = self.known_sites();
        // What is nowhere known is in one place at least.
        let places: Vec<&GroupSet> = known.values().collect();
        let sites = GroupSet::least(&places, usize::from(u8::MAX)).max(have.min(1));
        let few = |count| u8::try_from(count).unwrap_or(u8::MAX);
        Protection { have: few(have), wanted: wanted.get(), sites: few(sites) }
    }

    /// What is in each place of which somebody has said that a copy stands there.
    fn known_sites(&self) -> BTreeMap<&'a str, GroupSet> {
        let mut known: BTreeMap<&str, GroupSet> = BTreeMap::new();
        for copy in &self.copies {
            if let Some(site) = copy.site {
                known.entry(site).or_default().union(&copy.groups);
            }
        }
        known
    }

    /// Whether all of it is somewhere.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        GroupSet::in_at_least(1, self.copies.iter().map(|copy| copy.groups.as_ref())).is_all()
    }

    /// The fires that take something of it, where all of it [is somewhere](Self::is_whole).
    #[must_use]
    pub fn fires(&self) -> Fires<'a> {
        let twice = GroupSet::in_at_least(2, self.copies.iter().map(|copy| copy.groups.as_ref()));
        let nodes = self.copies.iter().filter(|copy| !copy.groups.is_within(&twice));
        let nodes = nodes.map(|copy| Fire::Node(copy.node));
        let known = self.known_sites();
        let in_two = GroupSet::in_at_least(2, known.values());
        let sites = known.iter().filter(|(_, groups)| !groups.is_within(&in_two));
        let sites = sites.map(|(site, _)| Fire::Site(site));
        Fires {
            some: gather::set(nodes.chain(sites)),
            every_site: !GroupSet::in_at_least(1, known.values()).is_all(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Group;

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 32])
    }

    fn half(even: bool) -> GroupSet {
        Group::all().filter(|group| (group.number() % 2 == 0) == even).collect()
    }

    /// Devices 0 to 9 stand in site "a", 10 to 19 in site "b", others nobody knows where.
    fn site_of<'a>(node: &NodeId) -> Option<&'a str> {
        match node.as_bytes()[0] {
            0..=9 => Some("a"),
            10..=19 => Some("b"),
            _ => None,
        }
    }

    fn ledger<'a>(is_here: bool, receipts: &[(u8, &'a GroupSet)]) -> Ledger<'a> {
        let receipts: Vec<_> = receipts.iter().map(|(number, set)| (node(*number), *set)).collect();
        Ledger::new(node(0), is_here, receipts.into_iter(), site_of)
    }

    fn counts(ledger: &Ledger<'_>) -> (u8, u8) {
        let protection = ledger.protection(Copies::new(3));
        (protection.have, protection.sites)
    }

    #[test]
    fn a_snapshot_is_as_safe_as_its_least_safe_group() {
        let (even, odd, all) = (half(true), half(false), GroupSet::all());
        assert_eq!(counts(&ledger(true, &[])), (1, 1));
        assert_eq!(counts(&ledger(true, &[(1, &even)])), (1, 1));
        assert_eq!(counts(&ledger(true, &[(1, &even), (12, &odd)])), (2, 1));
        assert_eq!(counts(&ledger(true, &[(11, &even), (12, &odd)])), (2, 2));
        assert_eq!(counts(&ledger(true, &[(1, &even), (2, &odd), (13, &all)])), (3, 2));
        assert_eq!(counts(&ledger(false, &[(1, &even)])), (0, 0));
    }

    #[test]
    fn a_writer_that_was_removed_holds_no_copy_and_its_own_receipt_is_no_further_one() {
        let all = GroupSet::all();
        let receipts = [(1, &all), (2, &all)];
        assert_eq!((counts(&ledger(true, &receipts)).0, counts(&ledger(false, &receipts)).0), (3, 2));
        assert_eq!(counts(&ledger(true, &[(0, &all)])), (1, 1));
        assert_eq!(counts(&ledger(false, &[(0, &all)])), (0, 0));
    }

    #[test]
    fn a_site_that_nobody_knows_is_none_and_burns_with_every_one() {
        let all = GroupSet::all();
        let ledger = ledger(false, &[(30, &all), (31, &all)]);
        assert_eq!(counts(&ledger), (2, 1));
        assert!(ledger.is_whole() && !ledger.fires().has(&Fire::Node(node(30))));
        assert!(ledger.fires().has(&Fire::Site("a")));
    }

    #[test]
    fn what_survives_a_fire_is_what_can_be_put_together_again() {
        // All ways to give 4 devices one of 5 sets of groups, compared group by group.
        let sets = [
            GroupSet::default(),
            half(true),
            half(false),
            GroupSet::all(),
            Group::all().take(2_049).collect(),
        ];
        // Nobody knows where the last one stands: it burns with every site.
        let numbers = [1, 2, 11, 25];
        for code in 0..625_usize {
            let mine: Vec<&GroupSet> = (0..4_u32).map(|at| &sets[code / 5_usize.pow(at) % 5]).collect();
            let receipts: Vec<(u8, &GroupSet)> = numbers.iter().copied().zip(mine.iter().copied()).collect();
            let ledger = ledger(code % 3 == 0, &receipts);
            let survives = |gone: &dyn Fn(u8) -> bool| {
                let writer = code % 3 == 0 && !gone(0);
                let has = |group| receipts.iter().any(|(number, set)| !gone(*number) && set.contains(group));
                writer || Group::all().all(has)
            };
            assert_eq!(ledger.is_whole(), survives(&|_| false));
            if !ledger.is_whole() {
                continue;
            }
            let fires = ledger.fires();
            for number in [0, 1, 2, 11, 12, 25] {
                let fire = Fire::Node(node(number));
                assert_eq!(fires.has(&fire), !survives(&|other| other == number), "{code}: {fire:?}");
            }
            assert_eq!(
                fires.has(&Fire::Site("a")),
                !survives(&|number| !(10..=20).contains(&number)),
                "{code}"
            );
            assert_eq!(fires.has(&Fire::Site("b")), !survives(&|number| number >= 10), "{code}");
            assert_eq!(fires.has(&Fire::Site("c")), !survives(&|number| number > 20), "{code}");
        }
    }
}
