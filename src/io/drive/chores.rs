//! What the loop does now and then, beside what it carries.

use super::Rest;
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
    /// Turns since the interfaces were looked at.
    pub(super) turns: u32,
    /// There was much to do: memory is to be given back when that is over.
    pub(super) owes_memory: bool,
    /// There is little to do.
    pub(super) rest: Rest,
}

impl Chores {
    /// One turn more. Little is going on while neither the time since the interfaces were looked at nor the time before had many.
    pub(super) fn turned(&mut self) {
        self.turns = self.turns.saturating_add(1);
        self.rest.set(!self.owes_memory && self.turns <= BUSY_TURNS);
    }

    /// Whether much was done and that is over: then memory is to be given back.
    pub(super) fn came_to_rest(&mut self) -> bool {
        let is_busy = std::mem::take(&mut self.turns) > BUSY_TURNS;
        std::mem::replace(&mut self.owes_memory, is_busy) && !is_busy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_when_much_was_done_and_that_is_over() {
        let mut chores = Chores {
            next_interfaces: Time::ZERO,
            listening: Listening::default(),
            turns: 0,
            owes_memory: false,
            rest: Rest::default(),
        };
        let looks = [0, BUSY_TURNS + 1, 2 * BUSY_TURNS, 3, 0, BUSY_TURNS, 0].map(|turns| {
            chores.turns = turns;
            chores.came_to_rest()
        });
        assert_eq!(looks, [false, false, false, true, false, false, false]);
        assert!(!chores.rest.is_on(), "nothing was said of it");
        chores.turned();
        assert!(chores.rest.is_on());
        chores.turns = BUSY_TURNS;
        chores.turned();
        assert!(!chores.rest.is_on(), "it is noticed while it happens");
        chores.came_to_rest();
        chores.turned();
        assert!(!chores.rest.is_on(), "and not forgotten at once");
    }
}
