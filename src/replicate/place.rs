//! Placement: which nodes hold a group. A pure function of the members and the number of copies.
//!
//! Plain rendezvous hashing (Thaler and Ravishankar, 1998) for each of the 4,096 groups: every node's score for the
//! group is a hash of both, the highest scores hold it. A node that joins or leaves moves only the groups it gains
//! or loses. Weights and sites come with replication's own issue; until then all holders count alike.

use crate::base::ids::{Group, NodeId};
use crate::base::units::Copies;

/// The nodes that shall hold `group`, best first: all of `nodes` where they are no more than `copies`.
#[must_use]
pub fn holders(group: Group, nodes: &[NodeId], copies: Copies) -> Vec<NodeId> {
    let mut scored: Vec<([u8; 32], NodeId)> = nodes.iter().map(|node| (score(group, node), *node)).collect();
    scored.sort_unstable_by(|one, other| other.cmp(one));
    scored.truncate(usize::from(copies.get()));
    scored.into_iter().map(|(_, node)| node).collect()
}

/// Whether `node` is one of the holders of `group`; no list is made.
#[must_use]
pub fn holds(node: &NodeId, group: Group, nodes: &[NodeId], copies: Copies) -> bool {
    if !nodes.contains(node) {
        return false;
    }
    if nodes.len() <= usize::from(copies.get()) {
        return true;
    }
    let own = (score(group, node), *node);
    let better = nodes.iter().filter(|other| (score(group, other), **other) > own).count();
    better < usize::from(copies.get())
}

/// A node's score for a group. The domain and the order of the inputs are part of the protocol.
fn score(group: Group, node: &NodeId) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("nuthatch 2026 placement v1");
    hasher.update(&group.number().to_be_bytes());
    hasher.update(node.as_bytes());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(count: u8) -> Vec<NodeId> {
        (0..count).map(|number| NodeId::from_bytes([number; 32])).collect()
    }

    #[test]
    fn few_nodes_hold_everything() {
        let nodes = nodes(3);
        for group in Group::all() {
            assert!(nodes.iter().all(|node| holds(node, group, &nodes, Copies::new(3))));
        }
    }

    #[test]
    fn the_list_and_the_question_agree_and_the_load_is_even() {
        let nodes = nodes(7);
        let mut load = [0_u32; 7];
        for group in Group::all() {
            let holders = holders(group, &nodes, Copies::new(3));
            assert_eq!(holders.len(), 3);
            for (index, node) in nodes.iter().enumerate() {
                assert_eq!(holders.contains(node), holds(node, group, &nodes, Copies::new(3)));
                load[index] += u32::from(holders.contains(node));
            }
        }
        assert!(load.iter().all(|count| (1_600..1_900).contains(count)), "{load:?}");
    }

    #[test]
    fn a_leaving_node_moves_only_its_own_groups() {
        let all = nodes(6);
        let fewer = &all[..5];
        for group in Group::all() {
            let before = holders(group, &all, Copies::new(3));
            let after = holders(group, fewer, Copies::new(3));
            assert!(before.iter().filter(|node| **node != all[5]).all(|node| after.contains(node)));
        }
    }

    #[test]
    fn the_same_members_give_the_same_holders_everywhere() {
        let holders = holders(Group::new(0x123).unwrap(), &nodes(5), Copies::new(2));
        assert_eq!(holders.iter().map(|node| node.as_bytes()[0]).collect::<Vec<_>>(), GOLDEN);
    }

    /// Holders of group 0x123 among five nodes whose ids are 00.., 01.., to 04.., two copies.
    const GOLDEN: &[u8] = &[4, 1];
}
