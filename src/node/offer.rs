//! The offer: what this node tells the others that it can hold, and whether it is full. Placement follows it, so every change of
//! it moves data: it changes seldom, and never by itself back and forth.
//!
//! ```text
//!   has room --a share was refused for want of room--> full
//!      ^                                                 |
//!      +-- so much is free again, and so long after -----+     (or at once when a person changes node.capacity)
//! ```
//!
//! A capacity in bytes is offered as it is. What follows from the disk (all, hundredths, or less than the capacity) is rounded,
//! and said anew only when it has become quite another one, at most daily. `room.rs` decides what is taken.

use super::core::{Core, Pending};
use crate::base::limits::{
    OFFER_AGAIN_PART, OFFER_CHANGE_PART, OFFER_EVERY, OFFER_FULL_MIN, OFFER_LOOK_EVERY, ROOM_LOOK_EVERY,
};
use crate::base::units::{Span, Time};
use crate::store::service::{Request, StoreStats};

/// What the offer follows from.
#[derive(Debug, Default)]
pub(super) struct Offer {
    /// The store's figures, since they were read first.
    stats: Option<StoreStats>,
    /// They were asked for.
    asked: bool,
    /// When to look again.
    due: Option<Time>,
    /// When the capacity last changed.
    changed: Option<Time>,
    /// When the node was found full.
    full_since: Option<Time>,
    /// A person has changed the configuration: what is said now may change at once.
    free: bool,
}

impl Offer {
    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.due
    }

    /// The store's figures, as they were read last.
    pub(super) const fn stats(&self) -> Option<&StoreStats> {
        self.stats.as_ref()
    }

    /// Whether so long has passed since then, or a person wants it so.
    fn may_change(&self, since: Option<Time>, pause: Span, now: Time) -> bool {
        self.free || since.is_none_or(|since| now.since(since) >= pause)
    }
}

impl Core {
    /// What the Describe entry shall say: capacity in bytes, and whether the node is full. None before the store's figures are
    /// known; they are asked for.
    pub(super) fn offered(&mut self) -> Option<(u64, bool)> {
        let now = self.now.time;
        let member = self.member.as_ref()?;
        let said = member.view.describe(&member.node).map(|said| (said.capacity_bytes, said.is_full));
        let Some(stats) = self.upkeep.offer.stats else {
            self.ask_offer();
            // What was said before is not taken back for want of knowledge.
            return said;
        };
        let config = self.setup.config.capacity;
        let limit = config.limit(&stats);
        let exact = config.bytes(None).is_some_and(|bytes| bytes == limit);
        let capacity = said.map_or_else(|| rounded(limit, exact), |(said, _)| steady(said, limit, exact));
        let mut offer = (capacity, said.is_some_and(|(_, is_full)| is_full));
        if let Some((before, _)) = said.filter(|(before, _)| *before != capacity) {
            if self.upkeep.offer.may_change(self.upkeep.offer.changed, OFFER_EVERY, now) {
                self.upkeep.offer.changed = Some(now);
            } else {
                offer.0 = before;
            }
        }
        let is_refusing = self.upkeep.room.is_full();
        if !offer.1 && is_refusing {
            offer.1 = true;
            self.upkeep.offer.full_since = Some(now);
        } else if offer.1 {
            let room = limit.saturating_sub(stats.bytes);
            let enough = if self.upkeep.offer.free { room > 0 } else { room >= limit / OFFER_AGAIN_PART };
            if enough && self.upkeep.offer.may_change(self.upkeep.offer.full_since, OFFER_FULL_MIN, now) {
                offer.1 = false;
            }
        }
        self.upkeep.offer.free = false;
        self.upkeep.offer.due = Some(now + if offer.1 { ROOM_LOOK_EVERY } else { OFFER_LOOK_EVERY });
        Some(offer)
    }

    /// A person has changed the configuration.
    pub(super) fn offer_freely(&mut self) {
        self.upkeep.offer.free = true;
        self.upkeep.moving.recheck(self.now.time);
        self.describe_self();
    }

    /// The store's figures have come, whoever asked for them.
    pub(super) fn offer_known(&mut self, stats: Option<StoreStats>) {
        self.upkeep.offer.asked = false;
        if stats.is_some() {
            self.upkeep.offer.stats = stats;
            self.describe_self();
        } else {
            self.upkeep.offer.due = Some(self.now.time + ROOM_LOOK_EVERY);
        }
    }

    /// Looks at the store's figures again when it is time.
    pub(super) fn offer_timeout(&mut self) {
        if self.upkeep.offer.due.is_some_and(|due| due <= self.now.time) {
            self.upkeep.offer.due = Some(self.now.time + OFFER_LOOK_EVERY);
            self.ask_offer();
        }
    }

    /// Asks for the store's figures.
    fn ask_offer(&mut self) {
        if !std::mem::replace(&mut self.upkeep.offer.asked, true) {
            self.ask_store(Pending::Offer, |op| Request::Stats { op });
        }
    }
}

/// What is offered after `said`, when the limit is now this one: the same, unless it is quite another.
fn steady(said: u64, limit: u64, exact: bool) -> u64 {
    let slack = limit / OFFER_CHANGE_PART;
    let is_near = said >= limit.saturating_sub(slack) && said <= limit.saturating_add(slack);
    if exact || !is_near {
        rounded(limit, exact)
    } else {
        said
    }
}

/// A number of bytes with its five leading bits only, unless a person has named it.
fn rounded(limit: u64, exact: bool) -> u64 {
    let low = (u64::BITS - limit.leading_zeros()).saturating_sub(5);
    if exact {
        limit
    } else {
        limit >> low << low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_has_named_is_offered_as_it_is() {
        assert_eq!(steady(999, 1_000, true), 1_000);
        assert_eq!(rounded(1_000_001, true), 1_000_001);
        assert_eq!(rounded(0, true), 0);
    }

    #[test]
    fn what_the_disk_leaves_is_rounded_and_kept_while_it_is_about_the_same() {
        assert_eq!(rounded(0, false), 0);
        assert_eq!(rounded(31, false), 31);
        assert_eq!(rounded(1_000_001, false), 30 << 15);
        assert!(rounded(1_000_001, false) > 1_000_001 / 100 * 93);
        let said = rounded(1_000_000, false);
        for limit in [900_000, 1_000_000, 1_100_000] {
            assert_eq!(steady(said, limit, false), said);
        }
        assert_ne!(steady(said, 800_000, false), said);
        assert_ne!(steady(said, 1_300_000, false), said);
    }
}
