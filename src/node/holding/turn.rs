//! Turns: a share that takes weeks (a first backup over a slow line) must not keep this node from signing for others that are here in seconds, nor
//! a shared folder from what is new, nor all that waits for the disk to be idle: collection, scrubbing, comparing, proofs.
//!
//! ```text
//!   at work --something more urgent is owed--------------------------> gives way, goes on when nothing else is owed
//!      |  ---[`KEEP_TURN`] over, and anything else is owed------------------^
//!      '-----[`KEEP_BUSY_MAX`] with a share at work all the time--> rests for [`KEEP_REST`]
//! ```
//!
//! What was fetched stays, for its manifest is pinned: to go on is to walk the manifest again.

use super::Holding;
use crate::base::ids::SnapshotId;
use crate::base::units::{Span, Time};
use crate::node::core::{Core, Duty};

/// Who waits for a share, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// A shared folder here.
    Shared,
    /// Whoever makes a backup, until the first has signed.
    Awaited,
    /// Nobody: others have it already.
    Spare,
}

/// The turn of a share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Who waits for it.
    urgency: Urgency,
    /// When it was looked last whether another one is more urgent.
    looked: Time,
    /// Until when it goes before what is as urgent.
    until: Time,
    /// It rests afterwards.
    rests: bool,
}

impl Turn {
    /// A turn that begins now.
    pub(super) fn new(now: Time, urgency: Urgency) -> Self {
        Self { urgency, looked: now, until: now + KEEP_TURN, rests: false }
    }

    /// Who waits for it.
    pub(super) const fn urgency(&self) -> Urgency {
        self.urgency
    }

    /// When to look whether another one has its turn; `due`: when something has changed.
    pub(super) fn look(&self, due: Option<Time>) -> Time {
        due.map_or(self.until, |due| due.max(self.looked + KEEP_TURN_MIN).min(self.until))
    }
}

impl Holding {
    /// Nothing else is owed: what has given way goes on. Whether there is any.
    pub(super) fn go_on(&mut self) -> bool {
        let mut any = false;
        for tried in self.tried.values_mut().filter(|tried| tried.has_yielded) {
            (tried.until, tried.has_yielded) = (Time::ZERO, false);
            any = true;
        }
        any
    }
}

impl Core {
    /// A share is at work for a while, or something has changed: perhaps another one has its turn.
    pub(super) fn see_whose_turn(&mut self) {
        let now = self.now.time;
        self.holding.due = None;
        let Some(running) = &mut self.holding.running else { return };
        let (duty, snapshot, urgency) = (running.duty, running.snapshot, running.turn.urgency);
        // A large one that goes on has to walk past all that is here before it fetches anything.
        let has_fetched = |duty: &Duty| matches!(duty, Duty::Keep(keep) if keep.progress().fetched_bytes > 0);
        let is_over = running.turn.until <= now && self.duties.get(&duty).is_some_and(has_fetched);
        running.turn.looked = now;
        if running.turn.until <= now {
            running.turn.until = now + KEEP_TURN;
        }
        let rests = is_over && self.holding.busy_since.is_some_and(|since| since + KEEP_BUSY_MAX <= now);
        let gives_way =
            rests || self.owed(Some(snapshot)).is_some_and(|other| is_over || other.urgency < urgency);
        let Some(Duty::Keep(keep)) = self.duties.get_mut(&duty).filter(|_| gives_way) else { return };
        if let Some(running) = self.holding.running.as_mut().filter(|_| keep.yields()) {
            running.turn.rests = rests;
        }
    }

    /// A share has given way.
    pub(super) fn yielded(&mut self, snapshot: SnapshotId, turn: Option<Turn>) {
        let now = self.now.time;
        let rests = turn.is_some_and(|turn| turn.rests);
        self.holding.pinned.insert(snapshot);
        let tried = self.holding.tried.entry(snapshot).or_default();
        if rests {
            tried.rests_until = now + KEEP_REST;
            self.holding.busy_since = None;
        } else {
            (tried.until, tried.has_yielded) = (now + KEEP_TURN, true);
        }
    }
}

/// A share goes before others that are as urgent for this long,
const KEEP_TURN: Span = Span::from_secs(600);

/// and for this long before anything.
const KEEP_TURN_MIN: Span = Span::from_secs(30);

/// After so long with a share at work all the time one rests,
const KEEP_BUSY_MAX: Span = Span::from_secs(6 * 3_600);

/// for this long.
const KEEP_REST: Span = Span::from_secs(1_800);
