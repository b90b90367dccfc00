//! Where not everybody is linked with everybody: who is sought out only to be asked for a proof.
//!
//! Holders that are linked are asked a few times a day, and others whenever something else leads there (`node/auditing.rs`). One to
//! which nothing leads, because it looks alive and nobody fetches anything, would be believed for ever. So one after the other is
//! reached, the one first that was not asked for longest.

use rand_core::RngCore;

use super::auditing::Auditing;
use super::core::Core;
use crate::base::ids::NodeId;
use crate::base::limits::{AUDIT_SEEK_EVERY, AUDIT_SEEK_LOOKS, AUDIT_SEEK_PAUSE};
use crate::base::units::Time;

impl Auditing {
    /// When a holder was last sought, or to be asked again after it last was.
    fn last(&self, node: &NodeId) -> Option<Time> {
        self.sought.get(node).copied().max(self.next_of(node))
    }

    /// Whether somebody was sought lately.
    fn has_sought(&self, now: Time) -> bool {
        self.sought.values().max().is_some_and(|at| *at + AUDIT_SEEK_PAUSE > now)
    }
}

impl Core {
    /// Reaches the holder that was not asked for longest, of those of which this node has no session; it is asked when it is up.
    pub(super) fn seek_proof(&mut self) {
        let (now, most) = (self.now.time, self.needed_max());
        let auditing = &self.reconciling.auditing;
        if !self.reach.linking.is_choosing() || auditing.has_sought(now) {
            return;
        }
        let Some(member) = &self.member else { return };
        let is_due = |node: &NodeId| auditing.last(node).is_none_or(|at| at + AUDIT_SEEK_EVERY <= now);
        let is_far = |node: &NodeId| !self.gossip.is_connected(node) && !self.reach.linking.is_meshed(node);
        let holders = member.holders();
        let away = member.placing.away();
        let far = holders.iter().filter(|node| **node != member.node && !away.contains(node));
        let mut far: Vec<(Option<Time>, u64, NodeId)> = far
            .filter(|node| is_far(node) && is_due(node))
            .map(|node| (auditing.last(node), self.rng.next_u64(), *node))
            .collect();
        far.sort_unstable();
        for (_, _, node) in far.into_iter().take(AUDIT_SEEK_LOOKS) {
            if self.promised_to_both(&node).is_some() {
                if self.reach.linking.need(now, node, most) {
                    self.reconciling.auditing.sought.insert(node, now);
                    self.reach.recheck(now);
                }
                return;
            }
        }
    }
}
