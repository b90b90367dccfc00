//! The ledger: how many copies of a snapshot there are, counted from receipts and nothing else.
//!
//! A copy counts for a group when another member than the writer has signed a receipt that names the snapshot and the
//! group. A snapshot is as safe as its least safe group.

use crate::base::ids::{Group, NodeId};
use crate::base::units::Copies;
use crate::feed::entry::GroupSet;

/// How well a snapshot is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protection {
    /// Devices that are known to hold every group, the writer counted as one.
    pub have: u8,
    /// Devices that shall.
    pub wanted: u8,
}

impl Protection {
    /// Whether the wanted number of devices has said "stored".
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.have >= self.wanted
    }
}

/// Counts the receipts of a snapshot of `writer`, who counts as one more copy while it is a member (`is_here`): a node
/// that was lost and removed holds nothing.
#[must_use]
pub fn protection<'a>(
    writer: &NodeId,
    is_here: bool,
    copies: Copies,
    receipts: impl Iterator<Item = (NodeId, &'a GroupSet)>,
) -> Protection {
    let mut whole: u32 = 0;
    let mut parts: Vec<&GroupSet> = Vec::new();
    for (_, groups) in receipts.filter(|(node, _)| node != writer) {
        if groups.is_all() {
            whole += 1;
        } else {
            parts.push(groups);
        }
    }
    let least = if parts.is_empty() { 0 } else { least_count(&parts) };
    let have = u8::try_from(whole + least + u32::from(is_here)).unwrap_or(u8::MAX);
    Protection { have: have.min(copies.get()), wanted: copies.get() }
}

/// The number of sets that hold the group which the fewest hold.
fn least_count(parts: &[&GroupSet]) -> u32 {
    Group::all()
        .map(|group| parts.iter().map(|groups| u32::from(groups.contains(group))).sum())
        .min()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId::from_bytes([number; 32])
    }

    fn half(even: bool) -> GroupSet {
        let mut set = GroupSet::default();
        for group in Group::all().filter(|group| (group.number() % 2 == 0) == even) {
            set.insert(group);
        }
        set
    }

    #[test]
    fn a_snapshot_is_as_safe_as_its_least_safe_group() {
        let (even, odd, all) = (half(true), half(false), GroupSet::all());
        let count = |receipts: &[(NodeId, &GroupSet)]| {
            protection(&node(0), true, Copies::new(3), receipts.iter().map(|(node, set)| (*node, *set))).have
        };
        assert_eq!(count(&[]), 1);
        assert_eq!(count(&[(node(1), &even)]), 1);
        assert_eq!(count(&[(node(1), &even), (node(2), &odd)]), 2);
        assert_eq!(count(&[(node(1), &even), (node(2), &odd), (node(3), &all)]), 3);
    }

    #[test]
    fn a_writer_that_was_removed_holds_no_copy() {
        let all = GroupSet::all();
        let receipts = [(node(1), &all), (node(2), &all)];
        let count = |is_here| protection(&node(0), is_here, Copies::new(3), receipts.into_iter()).have;
        assert_eq!((count(true), count(false)), (3, 2));
    }

    #[test]
    fn the_writers_own_receipt_is_no_further_copy() {
        let all = GroupSet::all();
        let protection = protection(&node(0), true, Copies::new(2), [(node(0), &all)].into_iter());
        assert_eq!(protection, Protection { have: 1, wanted: 2 });
        assert!(!protection.is_full());
    }
}
