//! Placement: which nodes hold which groups. A pure function of what the members say of themselves and the number of
//! copies, the same on every machine: no node asks another where something is.
//!
//! ```text
//!   members' sites, capacities, full or not --share--> how much each shall hold
//!                                           --score, weigh--> the holders of each of the 4,096 groups
//! ```
//!
//! Sites come before nodes: no site gets a second copy of a group while another has none. Nodes without capacity and full
//! ones hold nothing; where no more are left than copies are wanted, all of them hold everything. Else each fills in step with
//! its capacity ([`super::share`]), to within two hundredths ([`super::weigh`]). Groups are the unit, so a node that
//! would hold less than one holds nothing, and with hundreds of nodes the groups are too coarse for two hundredths.

use super::score::key_of;
use super::share::{shares, Shares, SHARE_BITS};
use super::weigh::{assign, Field};
use crate::base::ids::{Group, NodeId};
use crate::base::limits::COPIES_MAX;
use crate::base::units::Copies;
use crate::feed::entry::GroupSet;
use std::collections::BTreeMap;

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// Who.
    pub node: NodeId,
    /// The place that it can burn down with; empty: unknown, all of these count as one.
    pub site: String,
    /// What it offers to hold.
    pub capacity_bytes: u64,
    /// It takes no more.
    pub is_full: bool,
}

/// Who holds what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Those that hold something, ascending.
    nodes: Vec<NodeId>,
    /// Holders of each group, as numbers into `nodes`, so many for each; empty: all hold everything.
    table: Vec<u16>,
    /// Holders of a group.
    width: usize,
}

impl Placement {
    /// The placement of `copies` of everything (at most [`COPIES_MAX`]) on these members, in whatever order they come.
    #[must_use]
    pub fn new(seats: &[Seat], copies: Copies) -> Self {
        let copies = usize::from(copies.get().min(COPIES_MAX));
        let can_hold = |seat: &&Seat| seat.capacity_bytes > 0 && !seat.is_full;
        let mut open: Vec<&Seat> = seats.iter().filter(can_hold).collect();
        open.sort_unstable_by_key(|seat| seat.node);
        open.dedup_by_key(|seat| seat.node);
        while open.len() > copies {
            let (sites, shares) = divide(&open, copies);
            let is_enough = |share: &u64| *share >= GROUP_SHARE;
            if shares.nodes.iter().all(is_enough) {
                let keys: Vec<u64> = open.iter().map(|seat| key_of(&seat.node)).collect();
                let table = assign(&Field { keys: &keys, sites: &sites, shares: &shares, copies });
                return Self { nodes: names(&open), table, width: copies };
            }
            let mut kept = shares.nodes.iter().map(is_enough);
            open.retain(|_| kept.next().unwrap_or(false));
        }
        Self { width: open.len(), nodes: names(&open), table: Vec::new() }
    }

    /// The nodes that hold a group, the one that fits best first (where all hold everything: in the order of their ids).
    pub fn holders(&self, group: Group) -> impl Iterator<Item = &NodeId> {
        let start = usize::from(group.number()) * self.width;
        let row = self.table.get(start..start + self.width).unwrap_or(&[]);
        let all = if self.table.is_empty() { self.nodes.as_slice() } else { &[] };
        all.iter().chain(row.iter().filter_map(|number| self.nodes.get(usize::from(*number))))
    }

    /// The groups that a node holds.
    #[must_use]
    pub fn groups_of(&self, node: &NodeId) -> GroupSet {
        match self.nodes.binary_search(node) {
            Err(_) => GroupSet::default(),
            Ok(_) if self.table.is_empty() => GroupSet::all(),
            Ok(number) => Group::all()
                .zip(self.table.chunks(self.width))
                .filter(|(_, row)| row.iter().any(|holder| usize::from(*holder) == number))
                .map(|(group, _)| group)
                .collect(),
        }
    }

    /// Those that hold something, ascending.
    #[must_use]
    pub fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }
}

/// Numbers the sites, and finds out how much each node shall hold.
fn divide(open: &[&Seat], copies: usize) -> (Vec<usize>, Shares) {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let mut sites = Vec::with_capacity(open.len());
    for seat in open {
        let next = numbers.len();
        sites.push(*numbers.entry(seat.site.as_str()).or_insert(next));
    }
    let capacities: Vec<u64> = open.iter().map(|seat| seat.capacity_bytes).collect();
    let shares = shares(&capacities, &sites, copies);
    (sites, shares)
}

/// The ids of these.
fn names(open: &[&Seat]) -> Vec<NodeId> {
    open.iter().map(|seat| seat.node).collect()
}

/// One group, in parts of a share.
const GROUP_SHARE: u64 = 1 << (SHARE_BITS - 12);
