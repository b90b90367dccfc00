//! What the loop does now and then, beside what it carries.

use crate::base::limits::BUSY_TURNS;
use crate::base::units::Time;
use crate::node::ports::Listening;

/// What is done now and then.
#[derive(Debug)]
pub(super) struct Chores {
    /// When to look at the interfaces again.
    pub(super) next_interfaces: Time,
    /// Where this node was reachable when it was last looked at.
    pub(super) listening: Listening,
    /// Turns in which something was done since the interfaces were looked at.
    pub(super) turns: u32,
    /// There was much to do: memory is to be given back when that is over.
    pub(super) owes_memory: bool,
}

impl Chores {
    /// Gives memory back when much was done and that is over.
    pub(super) fn keep_memory(&mut self) {
        let is_busy = std::mem::take(&mut self.turns) > BUSY_TURNS;
        if self.owes_memory && !is_busy {
            nuthatch_heap::give_back();
        }
        self.owes_memory = is_busy;
    }
}
