//! Where not everybody is linked with everybody: who is sought out only to be asked for a proof.
//!
//! Holders that are linked are asked a few times a day, and others whenever something else leads there (`node/auditing.rs`). One to
//! which nothing leads, because it looks alive and nobody fetches anything, would be believed for ever. So one after the other is
//! reached, the one first that was not asked, nor tried, for longest.

use rand_core::RngCore;

use super::Auditing;
use crate::base::ids::NodeId;
use crate::base::limits::{AUDIT_SEEK_AGAIN, AUDIT_SEEK_LOOKS, AUDIT_SEEK_PAUSE};
use crate::base::units::Time;
use crate::node::core::Core;

impl Auditing {
    /// When it is a holder's turn, as far as that is known: as often as one that is linked, but not soon again when it was not reached.
    fn turn(&self, node: &NodeId) -> Time {
        let again = self.sought.get(node).map_or(Time::ZERO, |at| *at + AUDIT_SEEK_AGAIN);
        again.max(self.next_of(node))
    }

    /// Whether somebody was sought lately.
    fn has_sought(&self, now: Time) -> bool {
        self.sought.values().max().is_some_and(|at| *at + AUDIT_SEEK_PAUSE > now)
    }
}

impl Core {
    /// Reaches the holder whose turn it has been for longest, of those of which this node has no session; it is asked when it is up.
    pub(in crate::node) fn seek_proof(&mut self) {
        let now = self.now.time;
        // Half of the places are for those who are needed for more than that.
        let most = (self.needed_max() / 2).max(1);
        let is_alone = self.gossip.peers().next().is_none();
        if !self.reach.linking.is_choosing() || is_alone || !self.is_disk_idle() {
            return;
        }
        let Some(member) = &self.member else { return };
        let auditing = &self.reconciling.auditing;
        if auditing.has_sought(now) {
            return;
        }
        let is_far = |node: &NodeId| !self.gossip.is_connected(node) && !self.reach.linking.is_meshed(node);
        let (holders, away) = (member.holders(), member.placing.away());
        let far = holders.iter().filter(|node| **node != member.node && !away.contains(node));
        let far = far.filter(|node| is_far(node) && auditing.turn(node) <= now);
        let mut far: Vec<(Time, u64, NodeId)> =
            far.map(|node| (auditing.turn(node), self.rng.next_u64(), *node)).collect();
        for _ in 0..AUDIT_SEEK_LOOKS {
            let first = (0..far.len()).min_by_key(|place| &far[*place]);
            let Some((_, _, node)) = first.map(|place| far.swap_remove(place)) else { return };
            let is_fellow = self.has_promised_with(&node);
            if is_fellow && !self.reach.linking.need(now, node, most) {
                return;
            }
            self.reconciling.auditing.sought.insert(node, now);
            if is_fellow {
                return self.reach.recheck(now);
            }
        }
    }
}
