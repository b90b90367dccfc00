//! Surplus: what this node holds of others beyond its part, and whether those whom placement names hold it.
//!
//! This node's part of a snapshot is what placement gives it, what it stands in for (`node/placing.rs`), and what it would
//! be given were it not full: a full node gives nothing up for being full. Everything else that it has receipted is surplus.
//! `node/moving.rs` asks, and gives it up.

use std::collections::{BTreeMap, BTreeSet};

use super::core::Core;
use crate::base::gather;
use crate::base::ids::{Group, NodeId};
use crate::base::limits::MOVE_ASKED_MAX;
use crate::base::units::Copies;
use crate::feed::entry::GroupSet;
use crate::feed::view::SnapshotFact;
use crate::replicate::leave::held_by_enough;

/// What this node holds for others.
pub(super) struct ForOthers<'a> {
    /// The snapshots that stand and that it has pinned.
    pub(super) facts: Vec<&'a SnapshotFact>,
    /// Groups of any of them that it has receipted.
    pub(super) receipted: GroupSet,
    /// Groups that are its part of anything that others wrote, pinned or not.
    pub(super) part: GroupSet,
    /// How many copies any of that wants, each number once.
    pub(super) kinds: BTreeSet<Copies>,
}

impl ForOthers<'_> {
    /// What it has receipted and nobody expects here.
    pub(super) fn surplus(&self) -> GroupSet {
        let mut surplus = self.receipted.clone();
        surplus.subtract(&self.part);
        surplus
    }

    /// What it has not receipted and nobody expects here.
    pub(super) fn unclaimed(&self) -> GroupSet {
        let mut groups = GroupSet::all();
        groups.subtract(&self.part);
        groups.subtract(&self.receipted);
        groups
    }
}

impl Core {
    /// What this node holds for others; None as long as it may not write.
    pub(super) fn held_for_others(&self) -> Option<ForOthers<'_>> {
        let member = self.member.as_ref().filter(|member| member.confirmed && !member.stopped)?;
        let pins = self.upkeep.collect.pins();
        let (mut facts, mut kinds) = (Vec::new(), BTreeSet::new());
        let (mut receipted, mut part) = (GroupSet::new(), GroupSet::new());
        for fact in member.view.snapshots().filter(|fact| fact.writer != member.node) {
            kinds.insert(fact.entry.copies);
            if pins.contains_key(&fact.id) {
                facts.push(fact);
                let own = member.view.receipts(&fact.id).find(|(node, _)| *node == member.node);
                own.iter().for_each(|(_, held)| receipted.union(held));
            }
        }
        for copies in &kinds {
            part.union(&member.own_kept_groups(*copies));
            part.union(&member.own_groups_if_not_full(*copies));
        }
        let capacity = self.setup.config.capacity;
        let has_room = self.upkeep.offer.stats().is_none_or(|stats| capacity.room(stats).is_ok());
        if has_room && !self.shared_wanted().is_empty() {
            // What a shared folder waits for is kept whole; what was released of it would be signed for again at once.
            part = GroupSet::all();
        }
        Some(ForOthers { facts, receipted, part, kinds })
    }

    /// Whether the copies of a member count when something is given up for them.
    pub(super) fn is_believed(&self, node: &NodeId) -> bool {
        let Some(member) = &self.member else { return false };
        member.view.roster().member(node).is_some()
            && !self.reconciling.auditing.is_marked(node)
            && !member.placing.away().contains(node)
    }

    /// Whether a member has been known here for the whole floor, or from the start.
    pub(super) fn is_known_for_long(&self, node: &NodeId) -> bool {
        let running = self.upkeep.collect.running(self.now.time);
        self.upkeep.known.is_old(node, running, self.setup.config.retired)
    }

    /// What placement gives each of the others that are believed, of what wants so many copies.
    pub(super) fn believed_places(&self, copies: Copies) -> BTreeMap<NodeId, GroupSet> {
        let Some(member) = &self.member else { return BTreeMap::new() };
        let placement = member.placement(copies);
        let mut places: BTreeMap<NodeId, Vec<Group>> = BTreeMap::new();
        for group in Group::all() {
            for holder in placement.holders(group).filter(|holder| **holder != member.node) {
                places.entry(*holder).or_default().push(group);
            }
        }
        let believed = places.into_iter().filter(|(node, _)| self.is_believed(node));
        gather::map(believed.map(|(node, groups)| (node, groups.into_iter().collect())))
    }

    /// Who is connected and has a place in any of these groups. Groups of which not all holders are, are taken out.
    pub(super) fn who_may_confirm(&self, held: &ForOthers<'_>, groups: &mut GroupSet) -> Vec<NodeId> {
        let mut peers = BTreeSet::new();
        let kinds: BTreeSet<Copies> = gather::set(held.facts.iter().map(|fact| fact.entry.copies));
        for copies in kinds {
            let mut places = self.believed_places(copies);
            places.retain(|node, _| self.gossip.is_connected(node));
            let holders = places.iter().map(|(node, groups)| (self.is_known_for_long(node), groups));
            groups.intersect(&held_by_enough(copies, &holders.collect::<Vec<_>>()));
            peers.extend(places.into_keys());
        }
        peers.into_iter().take(MOVE_ASKED_MAX).collect()
    }

    /// Of the surplus, what all that this node has receipted of it is receipted for (or written) by as many of those
    /// whom placement names as there are to be copies, two of them known for long: nothing becomes less protected if this node holds it
    /// no more.
    pub(super) fn superfluous(&self, held: &ForOthers<'_>) -> GroupSet {
        let (mut surplus, Some(member)) = (held.surplus(), &self.member) else { return GroupSet::new() };
        let mut places: BTreeMap<Copies, BTreeMap<NodeId, GroupSet>> = BTreeMap::new();
        for fact in &held.facts {
            if surplus.is_empty() {
                break;
            }
            let Some((_, own)) = member.view.receipts(&fact.id).find(|(node, _)| *node == member.node) else {
                continue;
            };
            let copies = fact.entry.copies;
            let places = places.entry(copies).or_insert_with(|| self.believed_places(copies));
            let mut others: Vec<(NodeId, GroupSet)> =
                places.get(&fact.writer).map(|place| (fact.writer, place.clone())).into_iter().collect();
            for (node, groups) in member.view.receipts(&fact.id).filter(|(node, _)| *node != fact.writer) {
                if let Some(place) = places.get(&node) {
                    let mut groups = groups.clone();
                    groups.intersect(place);
                    others.push((node, groups));
                }
            }
            let others = others.iter().map(|(node, groups)| (self.is_known_for_long(node), groups));
            let mut short = own.clone();
            short.subtract(&held_by_enough(copies, &others.collect::<Vec<_>>()));
            surplus.subtract(&short);
        }
        surplus
    }
}
