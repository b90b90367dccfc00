//! What giving things up waits for.

use super::World;
use crate::node::core::{Core, Duty};

impl Core {
    /// Whether anything may be given up now; if not, why.
    pub(in crate::node) fn may_collect(&self) -> Result<(), &'static str> {
        let Some(member) = &self.member else { return Err("this node belongs to no vault") };
        if member.stopped {
            return Err("the disk did not take an earlier entry of this node");
        }
        if !self.may_append() {
            return Err("no other device has answered since this node was started");
        }
        if self.gossip.peers().next().is_some() && !self.gossip.is_settled() {
            return Err("not all that the others know has arrived");
        }
        if member.view.open_forks().next().is_some() {
            return Err("a device has written two histories; nothing is given up until it is removed");
        }
        self.upkeep.collect.may_drop(self.now.time)?;
        if self.pausing.is_on() {
            return Err("this node is paused");
        }
        if self.upkeep.pushed_here {
            return Err("another device has pushed chunks here that its backup may still list");
        }
        if self.upkeep.unfinished.is_any() && self.world().is_calm {
            return Err("a backup was interrupted; what it has stored is kept until it is gone on with");
        }
        if self.world().is_calm {
            Ok(())
        } else {
            Err("a backup is being made or kept")
        }
    }

    /// Whether nobody waits for the disk.
    pub(in crate::node) fn is_disk_idle(&self) -> bool {
        let World { is_calm, is_idle, .. } = self.world();
        is_calm && is_idle && !self.pausing.is_on()
    }

    /// What a pass must know of the node around it.
    pub(super) fn world(&self) -> World {
        World {
            disturbances: self.upkeep.collect.disturbances(),
            is_calm: !self.duties.values().any(Duty::lists),
            is_idle: !self.duties.values().any(|duty| matches!(duty, Duty::Restore(..))),
        }
    }
}
