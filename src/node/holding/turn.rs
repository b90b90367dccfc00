//! Turns: a share that takes weeks (a first backup over a slow line) must not keep this node from signing for others that are here in seconds, nor
//! a shared folder from what is new, nor all that waits for the disk to be idle: collection, scrubbing, comparing, proofs.
//!
//! ```text
//!   at work --something more urgent is owed-----------------> gives way; goes on after [`KEEP_TURN`] or when nothing else is owed
//!      |  ---[`KEEP_TURN`] over, and anything else is owed-----------^ (that time goes to those first that have waited for longest)
//!      '-----[`KEEP_BUSY_MAX`] with a share at work all the time--> all but shared folders rest for [`KEEP_REST`]
//! ```
//!
//! What was fetched stays, for its manifest is pinned: to go on is to walk the manifest again.

use super::{Holding, Owed};
use crate::base::ids::{ChunkId, SnapshotId};
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
    /// When it began.
    begun: Time,
    /// When it was seen first that it fetches something.
    fetches_since: Option<Time>,
    /// The node of the manifest that it waited for then.
    awaits: Option<ChunkId>,
    /// When it was looked last whether another one is more urgent.
    looked: Time,
    /// Until when it goes before what is as urgent.
    until: Time,
    /// How it ended.
    end: TurnEnd,
}

/// How a turn has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum TurnEnd {
    /// Something more urgent was owed.
    #[default]
    Early,
    /// It was over: others have as much time.
    Over,
    /// All rest.
    Rest,
}

impl Turn {
    /// A turn that begins now.
    pub(super) fn new(now: Time, urgency: Urgency) -> Self {
        let until = now + KEEP_TURN;
        Self {
            urgency,
            begun: now,
            fetches_since: None,
            awaits: None,
            looked: now,
            until,
            end: TurnEnd::default(),
        }
    }

    /// A turn that has not begun, for nothing moves while this node is paused.
    fn paused(now: Time, urgency: Urgency) -> Self {
        Self { fetches_since: Some(now), until: now + KEEP_PAUSED_LOOK, ..Self::new(now, urgency) }
    }

    /// Who waits for it.
    pub(super) const fn urgency(&self) -> Urgency {
        self.urgency
    }

    /// When to look whether another one has its turn; `due`: when something has changed.
    pub(super) fn look(&self, due: Option<Time>) -> Time {
        let soon = self.looked + KEEP_TURN_LOOK;
        let due = if self.fetches_since.is_none() { Some(soon) } else { due.map(|due| due.max(soon)) };
        due.map_or(self.until, |due| due.min(self.until))
    }

    /// It is looked at. Whether its turn is over, and whether it may give way at all: one that goes on has to walk past all that is here
    /// before it fetches anything, and fetches for several times as long as it has walked.
    fn looks(&mut self, now: Time, fetches: bool, awaits: Option<ChunkId>) -> (bool, bool) {
        self.looked = now;
        // A disk is faster than that.
        let is_far = awaits.is_some() && self.awaits == awaits;
        self.awaits = awaits;
        if fetches || is_far {
            self.fetches_since.get_or_insert(now);
        }
        let free = |since: Time| since + since.since(self.begun).times(KEEP_FETCH_FOR_WALK);
        let free = self.fetches_since.map(free);
        let (is_over, may) = (self.until <= now, free.is_some_and(|free| free <= now));
        if is_over {
            self.until = if may { now + KEEP_TURN } else { free.unwrap_or(now + KEEP_TURN_LOOK) };
        }
        (is_over, may)
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

    /// Whether there always was a share at work for so long.
    fn is_tired(&self, now: Time) -> bool {
        self.busy_since.is_some_and(|since| since + KEEP_BUSY_MAX <= now)
    }

    /// Whether nothing is begun now. If so it is looked at afterwards.
    pub(super) fn rests(&mut self, now: Time) -> bool {
        if self.is_tired(now) {
            (self.busy_since, self.rests_until) = (None, now + KEEP_REST);
        }
        let rests = self.rests_until > now;
        if rests {
            self.look_at(self.rests_until);
        }
        rests
    }
}

impl Core {
    /// A share is at work for a while, or something has changed: perhaps another one has its turn.
    pub(super) fn see_whose_turn(&mut self) {
        let now = self.now.time;
        self.holding.due = None;
        let is_tired = self.holding.is_tired(now);
        let Some(running) = &mut self.holding.running else { return };
        let (duty, urgency) = (running.duty, running.turn.urgency);
        if self.pausing.is_on() {
            running.turn = Turn::paused(now, urgency);
            self.holding.busy_since = Some(now);
            return;
        }
        let Some(Duty::Keep(keep)) = self.duties.get(&duty) else { return };
        let (snapshot, (is_over, may)) =
            (keep.snapshot(), running.turn.looks(now, keep.fetches(), keep.awaits()));
        if !may {
            return;
        }
        let rests = is_tired && is_over && urgency > Urgency::Shared;
        let is_others_turn = |other: Owed| !other.has_failed && (is_over || other.urgency < urgency);
        if !rests && !self.owed(Some(snapshot), false).is_some_and(is_others_turn) {
            return;
        }
        let Some(Duty::Keep(keep)) = self.duties.get_mut(&duty) else { return };
        if let Some(running) = self.holding.running.as_mut().filter(|_| keep.yields()) {
            running.turn.end = match (rests, is_over) {
                (true, _) => TurnEnd::Rest,
                (_, true) => TurnEnd::Over,
                _ => TurnEnd::Early,
            };
        }
    }

    /// A share has given way.
    pub(super) fn yielded(&mut self, snapshot: SnapshotId, turn: Option<Turn>) {
        let now = self.now.time;
        self.holding.pinned.insert(snapshot);
        let end = turn.map(|turn| turn.end).unwrap_or_default();
        let rests = end == TurnEnd::Rest && self.holding.rests(now);
        let tried = self.holding.tried.entry(snapshot).or_default();
        let until = if rests { self.holding.rests_until } else { now };
        (tried.until, tried.has_yielded, tried.served) = (until + KEEP_TURN, true, now);
        if end == TurnEnd::Over {
            self.holding.others_until = now + KEEP_TURN;
        }
    }
}

/// A share goes before others that are as urgent for this long: not longer than a person waits for a backup to be signed for.
const KEEP_TURN: Span = Span::from_secs(45);

/// It fetches for so many times as long as it has walked before it gives way: at most a fifth of its time is walks.
const KEEP_FETCH_FOR_WALK: u64 = 4;

/// While this node is paused it is looked at so often.
const KEEP_PAUSED_LOOK: Span = Span::from_secs(600);

/// Whether another one has its turn is not looked at more often than this.
const KEEP_TURN_LOOK: Span = Span::from_secs(10);

/// After so long with a share at work all the time none is begun,
const KEEP_BUSY_MAX: Span = Span::from_secs(6 * 3_600);

/// for this long.
const KEEP_REST: Span = Span::from_secs(1_800);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_walked_fetches_for_four_times_as_long_before_it_gives_way() {
        let at = |seconds| Time::ZERO + Span::from_secs(seconds);
        let mut turn = Turn::new(at(0), Urgency::Spare);
        assert_eq!(turn.look(None), at(10), "whether it fetches yet");
        assert_eq!(turn.looks(at(10), false, None), (false, false));
        assert_eq!(turn.looks(at(20), true, None), (false, false), "it has just begun to fetch");
        assert_eq!((turn.look(None), turn.look(Some(at(21)))), (at(45), at(30)));
        assert_eq!(turn.looks(at(45), true, None), (true, false));
        assert_eq!(turn.look(None), at(100));
        assert_eq!(turn.looks(at(100), true, None), (true, true));
        assert_eq!(turn.look(None), at(145), "nobody else was there");
        let mut turn = Turn::new(at(0), Urgency::Spare);
        assert_eq!(
            turn.looks(at(3_600), false, None),
            (true, false),
            "to stop it now would be to walk for ever"
        );
        assert_eq!(turn.look(None), at(3_610));
        let mut turn = Turn::paused(at(0), Urgency::Spare);
        assert_eq!(turn.look(None), at(600), "seldom");
        assert_eq!(turn.looks(at(5), false, None), (false, true), "it has not walked");
        let mut turn = Turn::new(at(0), Urgency::Spare);
        let node = Some(ChunkId::from_bytes([1; 32]));
        assert_eq!(turn.looks(at(10), false, node), (false, false));
        assert_eq!(turn.looks(at(20), false, node), (false, false), "it is on its way: no walk any more");
        assert_eq!(turn.looks(at(100), false, node), (true, true));
    }

    #[test]
    fn after_hours_at_work_all_rest_once() {
        let at = |hours: u64| Time::ZERO + Span::from_secs(3_600 * hours);
        let mut holding = Holding { busy_since: Some(at(1)), ..Holding::default() };
        assert!(!holding.rests(at(6)));
        assert!(holding.rests(at(7)));
        assert_eq!(holding.deadline(), Some(at(7) + KEEP_REST));
        assert!(!holding.rests(at(8)) && !holding.rests(at(20)));
    }
}
