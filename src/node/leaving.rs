//! Answering those who leave: a peer has released groups and asks what is held here (`node/moving.rs` on its side).
//!
//! It is answered from what is true in this turn, and not from what was receipted once; `replicate/leave.rs` says why that is enough.

use std::collections::BTreeMap;

use super::core::Core;
use crate::base::ids::{NodeId, SnapshotId};
use crate::base::limits::{LEAVING_ANSWERS_MAX, LEAVING_WITHIN};
use crate::base::units::Time;
use crate::feed::entry::GroupSet;
use crate::replicate::reconcile::{bitmap, groups_of};
use crate::wire::frame::Lane;
use crate::wire::message::{Confirmed, Leaving, Message};

/// Questions of each peer: since when they are counted, and how many were answered.
#[derive(Debug, Default)]
pub(super) struct Answered(BTreeMap<NodeId, (Time, u32)>);

impl Answered {
    /// Whether one more is answered.
    fn may_answer(&mut self, now: Time, node: NodeId) -> bool {
        self.0.retain(|_, (since, _)| *since + LEAVING_WITHIN > now);
        let (_, count) = self.0.entry(node).or_insert((now, 0));
        *count += 1;
        *count <= LEAVING_ANSWERS_MAX
    }
}

impl Core {
    /// A peer asks.
    pub(super) fn leaving_came(&mut self, node: &NodeId, leaving: &Leaving) {
        let Some(member) = &self.member else { return };
        let is_member = member.view.roster().member(node).is_some();
        if !is_member || !self.upkeep.moving.answered.may_answer(self.now.time, *node) {
            return;
        }
        let is_known = leaving.feed.node == *node
            && member.view.leaving(&member.node).is_none()
            && member.view.newest_feed(node) == Some(leaving.feed)
            && member.durable.get(&leaving.feed).is_some_and(|head| head.length >= leaving.length)
            && member.view.forks().all(|fork| fork.feed.node != *node);
        let mut groups = if is_known && member.confirmed && !member.stopped {
            groups_of(&leaving.groups)
        } else {
            GroupSet::new()
        };
        for id in &leaving.snapshots {
            match self.held_of(id) {
                Some(held) => groups.intersect(&held),
                None => groups = GroupSet::new(),
            }
        }
        let answer = Confirmed { number: leaving.number, groups: bitmap(&groups) };
        self.send(node, Lane::Background, &Message::Confirmed(answer));
    }

    /// What this node holds of a snapshot and would go on holding: it stands, is pinned, and is its own or receipted.
    fn held_of(&self, id: &SnapshotId) -> Option<GroupSet> {
        let member = self.member.as_ref()?;
        let fact = member.view.snapshot(id).filter(|fact| member.view.stands(&fact.id))?;
        self.upkeep.collect.pins().get(id).filter(|pin| pin.gone.is_none())?;
        if fact.writer == member.node {
            // One that offers nothing keeps what it wrote only until others have it.
            return member.holders().contains(&member.node).then(GroupSet::all);
        }
        let own = member.view.receipts(id).find(|(node, _)| *node == member.node);
        own.map(|(_, groups)| groups.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_asks_without_end_is_answered_a_few_hundred_times_an_hour_and_others_as_before() {
        let (mut answered, begun) = (Answered::default(), Time::ZERO);
        let (eager, other) = (NodeId::from_bytes([1; 32]), NodeId::from_bytes([2; 32]));
        let count = (0..10_000).filter(|_| answered.may_answer(begun, eager)).count();
        assert_eq!(count, usize::try_from(LEAVING_ANSWERS_MAX).unwrap());
        assert!(answered.may_answer(begun, other) && !answered.may_answer(begun, eager));
        assert!(answered.may_answer(begun + LEAVING_WITHIN, eager), "an hour later");
        assert_eq!(answered.0.len(), 1, "who asks no more is forgotten");
    }
}
