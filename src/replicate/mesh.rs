//! The mesh: which members a node holds sessions with where there are more than it can hold. A pure function of the members.
//!
//! Members stand in a ring, ordered by id; each is linked with the [`MESH_RING`] next ones on both sides, which alone holds
//! the ring together, whoever else is away. Beside that a pair of members is linked if a hash of the two ids is low
//! enough: a random graph, whose diameter is about the logarithm of the members by the mean number of links (Bollobas,
//! 1981; three for a thousand). How low is low enough follows the number of members rounded up to a power of two. So
//! both ends of a link come to the same answer without a word, and a member that comes or goes changes a link or two
//! of a few others, and none of all the rest (but where a power of two is passed, half of them).
//!
//! This is no routing table: every member knows all others and where they are, and talks straight to whom it needs.
//! The mesh is what feeds travel over.

use crate::base::ids::NodeId;
use crate::base::limits::{MESH_LINKS_MEAN, MESH_RING};

/// The members that `own` is linked with, the most important first: the ring, then the others. `members` are ascending.
#[must_use]
pub fn links(own: &NodeId, members: &[NodeId]) -> Vec<NodeId> {
    let Ok(place) = members.binary_search(own) else { return Vec::new() };
    let count = members.len();
    let mut links: Vec<NodeId> = Vec::new();
    for distance in 1..=MESH_RING.min(count / 2) {
        for other in [(place + distance) % count, (place + count - distance) % count] {
            if other != place && !links.contains(&members[other]) {
                links.push(members[other]);
            }
        }
    }
    let highest = highest(count);
    let hasher = blake3::Hasher::new_derive_key("nuthatch 2026 mesh v1");
    let others = members.iter().filter(|other| *other != own && !links.contains(other));
    let mut drawn: Vec<(u64, NodeId)> = others
        .map(|other| (score(&hasher, own, other), *other))
        .filter(|(score, _)| *score <= highest)
        .collect();
    drawn.sort_unstable();
    links.extend(drawn.into_iter().map(|(_, other)| other));
    links
}

/// The highest score of a pair that is linked, where there are so many members.
fn highest(count: usize) -> u64 {
    let around = u64::try_from(count).unwrap_or(u64::MAX).checked_next_power_of_two().unwrap_or(u64::MAX);
    (u64::MAX / around.max(1)).saturating_mul(MESH_LINKS_MEAN)
}

/// What is drawn for a pair of members; the same at both ends.
fn score(hasher: &blake3::Hasher, one: &NodeId, other: &NodeId) -> u64 {
    let mut hasher = hasher.clone();
    hasher.update(one.min(other).as_bytes());
    hasher.update(one.max(other).as_bytes());
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::{LINKS_OWN_MAX, SESSIONS_MAX};
    use std::collections::{BTreeMap, BTreeSet};

    /// So many members with ids as hashes are.
    fn members(count: u32, seed: u32) -> Vec<NodeId> {
        let id = |number: u32| *blake3::hash(&[number.to_le_bytes(), seed.to_le_bytes()].concat()).as_bytes();
        let mut all: Vec<NodeId> = (0..count).map(|number| NodeId::from_bytes(id(number))).collect();
        all.sort_unstable();
        all
    }

    /// Everybody's links.
    fn mesh(members: &[NodeId]) -> BTreeMap<NodeId, Vec<NodeId>> {
        members.iter().map(|own| (*own, links(own, members))).collect()
    }

    /// How many steps it takes from one to all others; None if some cannot be reached.
    fn reach(mesh: &BTreeMap<NodeId, Vec<NodeId>>, from: NodeId) -> Option<usize> {
        let (mut seen, mut front, mut steps) = (BTreeSet::from([from]), vec![from], 0);
        loop {
            let next: BTreeSet<NodeId> = front
                .iter()
                .flat_map(|node| &mesh[node])
                .filter(|node| mesh.contains_key(node))
                .copied()
                .collect();
            front = next.into_iter().filter(|node| seen.insert(*node)).collect();
            if front.is_empty() {
                return (seen.len() == mesh.len()).then_some(steps);
            }
            steps += 1;
        }
    }

    #[test]
    fn both_ends_agree_and_nobody_has_more_links_than_it_may() {
        for (count, seed) in [(65, 1), (100, 2), (128, 3), (300, 4), (1_000, 5), (1_024, 6)] {
            let members = members(count, seed);
            let mesh = mesh(&members);
            for (own, links) in &mesh {
                assert!(links.iter().all(|other| mesh[other].contains(own)), "{count} members");
                assert_eq!(links.iter().collect::<BTreeSet<_>>().len(), links.len());
                assert!(links.len() <= LINKS_OWN_MAX && LINKS_OWN_MAX < SESSIONS_MAX, "{}", links.len());
            }
        }
    }

    #[test]
    fn a_thousand_members_are_four_steps_apart_at_most_also_when_a_twentieth_is_gone() {
        for seed in 0..3 {
            let members = members(1_000, seed);
            let mut mesh = mesh(&members);
            assert!(reach(&mesh, members[0]).is_some_and(|steps| steps <= 4));
            for gone in members.iter().skip(7).step_by(20) {
                mesh.remove(gone);
            }
            assert_eq!(mesh.len(), 950);
            assert!(reach(&mesh, members[0]).is_some_and(|steps| steps <= 4));
            // The worst case for a ring: half of it goes away in one piece, and then every second one.
            for gone in &members[500..] {
                mesh.remove(gone);
            }
            for gone in members[1..500].iter().step_by(2) {
                mesh.remove(gone);
            }
            let first = *mesh.keys().next().unwrap();
            assert!(reach(&mesh, first).is_some_and(|steps| steps <= 8));
        }
    }

    #[test]
    fn a_member_that_comes_changes_few_links_of_others() {
        let members = members(900, 9);
        let (before, newcomer) = (mesh(&members[1..]), members[0]);
        let after = mesh(&members);
        let mut lost = 0;
        for (own, links) in &before {
            lost += links.iter().filter(|other| !after[own].contains(other)).count();
            let new = after[own].iter().filter(|other| !links.contains(other));
            assert!(new.into_iter().all(|other| *other == newcomer), "nobody else is new to anybody");
        }
        assert!(lost <= 2 * MESH_RING * MESH_RING, "only rings around it close up: {lost}");
    }

    #[test]
    fn few_members_are_all_linked() {
        let members = members(5, 1);
        assert!(mesh(&members).values().all(|links| links.len() == 4));
    }
}
