//! Absence: since when nothing was heard of each member, how long that is usual of it, and who is planned around. The books,
//! without the core; `node/around.rs` connects them.
//!
//! ```text
//!   here --session ends--> silent --longer than usual--> away (others stand in: replicate/stand_in.rs)
//!    ^                        |                            |
//!    '---- a session, a new entry or mark of its own ------'     (the absence is remembered, if it was long)
//! ```
//!
//! Time is *time listened*: what this node has run while it had a session with anybody. No clock on a wall has a say, and
//! a node that is off or cut off learns nothing of others. What is usual is the longest absence but one of the last weeks
//! ([`ABSENCE_WINDOW`]): one journey teaches nothing, two do. A new member is given a day; one that was watched for two
//! weeks and is never away is missed after half a day, one that is away every week-end after five days.
//!
//! Where more than half of all holders seem to be away it is this node that hears nothing: nobody is planned around.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::collect::Settings;
use crate::base::ids::NodeId;
use crate::base::limits::{
    ABSENCES_MAX, ABSENCE_CEILING, ABSENCE_DEFAULT, ABSENCE_FLOOR, ABSENCE_LEARNT_AFTER, ABSENCE_SAVE_STEP,
    ABSENCE_SHORT, ABSENCE_TIMES, ABSENCE_WINDOW,
};
use crate::base::units::{Span, Time};

/// What is known of when members were here.
#[derive(Debug, Default)]
pub struct Absences {
    /// Time listened, as it was when `counted` was set.
    listened: Span,
    /// Until when that was counted.
    counted: Time,
    /// Every other member.
    members: BTreeMap<NodeId, Presence>,
    /// Settings of members that are none any more.
    gone: Vec<NodeId>,
}

/// One member. Times are of time listened, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// A session with it stands.
    is_here: bool,
    /// When it was heard last, or first watched.
    last_us: u64,
    /// Since when it is watched.
    since_us: u64,
    /// Absences: when each ended, and how long it was. The longest.
    past: Vec<(u64, u64)>,
    /// The silence that was saved last; None: something else has changed since.
    saved_us: Option<u64>,
}

/// How one member is saved. The silence is a length and not a time, so that it is never longer than what was saved with it.
#[derive(Serialize, Deserialize)]
struct Saved {
    /// Since how long nothing was heard of it.
    silent_us: u64,
    /// See [`Presence`].
    since_us: u64,
    /// See [`Presence`].
    past: Vec<(u64, u64)>,
}

impl Presence {
    /// How long its absences usually are.
    fn usual(&self, listened: Span) -> Span {
        let from = (listened - ABSENCE_WINDOW).as_micros();
        let mut recent: Vec<u64> =
            self.past.iter().filter(|(ended, _)| *ended >= from).map(|(_, length)| *length).collect();
        recent.sort_unstable();
        Span::from_micros(recent.iter().rev().nth(1).copied().unwrap_or(0))
    }

    /// After how long a silence is longer than usual.
    fn limit(&self, listened: Span) -> Span {
        let is_learnt = listened - Span::from_micros(self.since_us) >= ABSENCE_LEARNT_AFTER;
        let least = if is_learnt { ABSENCE_FLOOR } else { ABSENCE_DEFAULT };
        self.usual(listened).times(ABSENCE_TIMES).clamp(least, ABSENCE_CEILING)
    }

    /// Since how long nothing was heard of it.
    fn silent_for(&self, listened: Span) -> Span {
        if self.is_here {
            Span::default()
        } else {
            listened - Span::from_micros(self.last_us)
        }
    }

    /// It is heard now.
    fn hear(&mut self, listened: Span) {
        let silent = self.silent_for(listened);
        self.last_us = listened.as_micros();
        if silent >= ABSENCE_SHORT {
            self.past.push((listened.as_micros(), silent.as_micros()));
            let from = (listened - ABSENCE_WINDOW).as_micros();
            self.past.retain(|(ended, _)| *ended >= from);
            if self.past.len() > ABSENCES_MAX {
                let shortest =
                    (0..self.past.len()).min_by_key(|index| (self.past[*index].1, self.past[*index].0));
                shortest.map(|index| self.past.remove(index));
            }
            self.saved_us = None;
        }
    }
}

impl Absences {
    /// What was saved.
    #[must_use]
    pub fn load(settings: &BTreeMap<String, Vec<u8>>, now: Time) -> Self {
        let listened = settings.get(LISTENED_KEY).and_then(|bytes| bytes.as_slice().try_into().ok());
        let listened = listened.map_or(0, u64::from_le_bytes);
        let mut absences = Self { listened: Span::from_micros(listened), counted: now, ..Self::default() };
        for (key, bytes) in settings {
            let node = key.strip_prefix(AWAY_PREFIX).and_then(|id| id.parse().ok());
            let saved = postcard::take_from_bytes::<Saved>(bytes);
            if let (Some(node), Ok((saved, []))) = (node, saved) {
                let presence = Presence {
                    is_here: false,
                    last_us: listened.saturating_sub(saved.silent_us),
                    since_us: saved.since_us,
                    past: saved.past.into_iter().take(ABSENCES_MAX).collect(),
                    saved_us: Some(saved.silent_us),
                };
                absences.members.insert(node, presence);
            }
        }
        absences
    }

    /// Time goes on: it is listened to as long as anybody is here.
    pub fn count(&mut self, now: Time) {
        if self.members.values().any(|presence| presence.is_here) {
            self.listened = self.listened + now.since(self.counted);
        }
        self.counted = now;
    }

    /// Watches exactly these members from now on.
    pub fn watch(&mut self, members: &BTreeSet<NodeId>) {
        let gone: Vec<NodeId> = self.members.keys().filter(|node| !members.contains(node)).copied().collect();
        gone.iter().for_each(|node| drop(self.members.remove(node)));
        self.gone.extend(gone);
        let listened = self.listened.as_micros();
        for node in members {
            self.members.entry(*node).or_insert_with(|| Presence {
                is_here: false,
                last_us: listened,
                since_us: listened,
                past: Vec::new(),
                saved_us: None,
            });
        }
    }

    /// Something of this member's own came, which it did not say before.
    pub fn heard(&mut self, now: Time, node: &NodeId) {
        self.count(now);
        if let Some(presence) = self.members.get_mut(node) {
            presence.hear(self.listened);
        }
    }

    /// A session with a member stands, or has ended.
    pub fn session(&mut self, now: Time, node: &NodeId, is_here: bool) {
        self.heard(now, node);
        if let Some(presence) = self.members.get_mut(node) {
            presence.is_here = is_here;
        }
    }

    /// Since how long nothing was heard of a member, and after how long that is longer than usual.
    #[must_use]
    pub fn of(&self, node: &NodeId) -> Option<(Span, Span)> {
        let presence = self.members.get(node)?;
        Some((presence.silent_for(self.listened), presence.limit(self.listened)))
    }

    /// Those of whom nothing was heard for longer than usual.
    #[must_use]
    pub fn overdue(&self) -> BTreeSet<NodeId> {
        let is_overdue =
            |presence: &Presence| presence.silent_for(self.listened) >= presence.limit(self.listened);
        self.members.iter().filter(|(_, presence)| is_overdue(presence)).map(|(node, _)| *node).collect()
    }

    /// Those who have been silent for half of that: the longest silent first.
    #[must_use]
    pub fn doubtful(&self) -> Vec<NodeId> {
        let silence = |presence: &Presence| presence.silent_for(self.listened);
        let is_doubtful = |presence: &Presence| silence(presence).times(2) >= presence.limit(self.listened);
        let mut doubtful: Vec<(Span, NodeId)> = self
            .members
            .iter()
            .filter(|(_, presence)| is_doubtful(presence))
            .map(|(node, presence)| (silence(presence), *node))
            .collect();
        doubtful.sort_unstable_by_key(|(silent, node)| (std::cmp::Reverse(*silent), *node));
        doubtful.into_iter().map(|(_, node)| node).collect()
    }

    /// When the next member becomes overdue if nothing is heard; None: nobody is silent, all are already, or nobody is listened to.
    #[must_use]
    pub fn next_overdue(&self) -> Option<Span> {
        let left = |presence: &Presence| presence.limit(self.listened) - presence.silent_for(self.listened);
        self.members.values().find(|presence| presence.is_here)?;
        let silent = self.members.values().filter(|presence| !presence.is_here);
        silent.map(left).filter(|left| *left > Span::default()).min()
    }

    /// Whether the silence of anybody is worth to be remembered.
    #[must_use]
    pub fn is_anybody_silent(&self) -> bool {
        self.members.values().any(|presence| presence.silent_for(self.listened) >= ABSENCE_SAVE_STEP)
    }

    /// Adds what has changed to what is written anyway.
    pub fn ride_along(&mut self, now: Time, settings: &mut Settings) {
        self.count(now);
        let key = |node: &NodeId| format!("{AWAY_PREFIX}{node}");
        settings.extend(self.gone.drain(..).map(|node| (key(&node), None)));
        if self.members.is_empty() {
            return;
        }
        settings.push((LISTENED_KEY.to_owned(), Some(self.listened.as_micros().to_le_bytes().to_vec())));
        let crowd = 1 + u64::try_from(self.members.len() / CROWD).unwrap_or(u64::MAX);
        let step = ABSENCE_SAVE_STEP.times(crowd).as_micros();
        for (node, presence) in &mut self.members {
            let silent_us = presence.silent_for(self.listened).as_micros();
            if presence
                .saved_us
                .is_none_or(|saved| silent_us < saved || silent_us >= saved.saturating_add(step))
            {
                let saved = Saved { silent_us, since_us: presence.since_us, past: presence.past.clone() };
                settings.push((key(node), postcard::to_stdvec(&saved).ok()));
                presence.saved_us = Some(silent_us);
            }
        }
    }
}

/// Of `holders` (this node among them) those that are planned around: the overdue ones, or nobody, if they are more than half.
#[must_use]
pub fn planned_around(holders: &BTreeSet<NodeId>, overdue: &BTreeSet<NodeId>) -> BTreeSet<NodeId> {
    let away: BTreeSet<NodeId> = holders.intersection(overdue).copied().collect();
    if away.len() * 2 > holders.len() {
        return BTreeSet::new();
    }
    away
}

/// Begins the settings that keep what is known of members.
const AWAY_PREFIX: &str = "away:";
/// Under which name the time listened is kept.
const LISTENED_KEY: &str = "listened";
/// With every so many members silences are saved in longer steps.
const CROWD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Span = Span::from_secs(3_600);
    const FRIEND: NodeId = NodeId::from_bytes([1; 32]);
    const OTHER: NodeId = NodeId::from_bytes([2; 32]);

    /// This node listens to one member all the time; the other one is here too.
    fn listening() -> Absences {
        let mut absences = Absences::default();
        absences.watch(&BTreeSet::from([FRIEND, OTHER]));
        absences.session(Time::ZERO, &FRIEND, true);
        absences.session(Time::ZERO, &OTHER, true);
        absences
    }

    fn at(hour: u64) -> Time {
        Time::ZERO + HOUR.times(hour)
    }

    /// The other one is away between these hours.
    fn is_away(absences: &mut Absences, from: u64, until: u64) {
        absences.session(at(from), &OTHER, false);
        absences.session(at(until), &OTHER, true);
    }

    fn limit(absences: &mut Absences, hour: u64) -> u64 {
        absences.count(at(hour));
        absences.of(&OTHER).unwrap().1.as_micros() / HOUR.as_micros()
    }

    fn is_overdue(absences: &mut Absences, hour: u64) -> bool {
        absences.count(at(hour));
        absences.overdue() == BTreeSet::from([OTHER])
    }

    #[test]
    fn a_holder_that_was_never_away_is_waited_for_a_day_and_when_it_is_known_half_a_day() {
        let mut absences = listening();
        absences.session(at(10), &OTHER, false);
        assert!(!is_overdue(&mut absences, 33) && is_overdue(&mut absences, 34));
        absences.session(at(35), &OTHER, true);
        assert!(!is_overdue(&mut absences, 36), "one word and it is back");
        let month = 24 * 20;
        assert_eq!(limit(&mut absences, month), 12, "one journey teaches nothing");
        absences.session(at(month), &OTHER, false);
        assert!(!is_overdue(&mut absences, month + 11) && is_overdue(&mut absences, month + 12));
    }

    #[test]
    fn a_laptop_that_is_away_every_night_or_every_week_end_is_not_planned_around() {
        let mut absences = listening();
        for day in 0..30 {
            absences.session(at(day * 24 + 9), &OTHER, false);
            assert!(!is_overdue(&mut absences, day * 24 + 23), "night {day}");
            absences.session(at(day * 24 + 23), &OTHER, true);
        }
        assert_eq!(limit(&mut absences, 30 * 24), 28);
        let mut absences = listening();
        for week in 0..8 {
            absences.session(at(week * 168 + 100), &OTHER, false);
            let is_missed = is_overdue(&mut absences, week * 168 + 160);
            assert_eq!(is_missed, week < 2, "week {week}: two week-ends teach what is usual");
            absences.session(at(week * 168 + 160), &OTHER, true);
        }
        is_away(&mut absences, 1_500, 1_900);
        is_away(&mut absences, 1_901, 2_301);
        assert_eq!(limit(&mut absences, 2_302), 168, "a week is the most that is waited");
    }

    #[test]
    fn who_is_cut_off_or_off_learns_nothing_of_others() {
        let mut absences = listening();
        absences.session(at(10), &FRIEND, false);
        absences.session(at(10), &OTHER, false);
        assert!(!is_overdue(&mut absences, 500));
        assert_eq!(absences.next_overdue(), None, "nothing becomes due while nobody is heard");
        absences.session(at(500), &FRIEND, true);
        assert!(!is_overdue(&mut absences, 523) && is_overdue(&mut absences, 524));
        absences.session(at(525), &OTHER, true);
        assert_eq!(absences.members[&OTHER].past, [(35 * HOUR.as_micros(), 25 * HOUR.as_micros())]);
    }

    #[test]
    fn where_more_than_half_of_the_holders_are_silent_nobody_is_planned_around() {
        let node = |number: u8| NodeId::from_bytes([number; 32]);
        let set = |numbers: &[u8]| numbers.iter().map(|number| node(*number)).collect::<BTreeSet<_>>();
        let holders = set(&[1, 2, 3, 4, 5]);
        assert_eq!(planned_around(&holders, &set(&[2, 3])), set(&[2, 3]));
        assert_eq!(planned_around(&holders, &set(&[2, 3, 4])), set(&[]));
        assert_eq!(
            planned_around(&holders, &set(&[2, 9, 10, 11])),
            set(&[2]),
            "who holds nothing is no matter"
        );
        assert_eq!(planned_around(&set(&[1, 2, 3, 4]), &set(&[3, 4])), set(&[3, 4]), "half is not more");
    }

    #[test]
    fn what_is_known_is_saved_with_other_writes_and_a_silence_is_never_longer_for_a_restart() {
        let mut absences = listening();
        is_away(&mut absences, 2, 12);
        is_away(&mut absences, 20, 31);
        let save = |absences: &mut Absences, hour| {
            let mut settings = Settings::new();
            absences.ride_along(at(hour), &mut settings);
            settings.into_iter().map(|(key, value)| (key, value.unwrap())).collect::<BTreeMap<_, _>>()
        };
        let saved = save(&mut absences, 40);
        assert_eq!(saved.len(), 3);
        assert!(saved.values().all(|bytes| bytes.len() < 60));
        assert_eq!(save(&mut absences, 60).len(), 1, "only the time goes on");
        // The time was saved at hour 60, and the member when it was here: what lay between is no silence.
        let mut latest = saved.clone();
        latest.extend(save(&mut absences, 60));
        let mut again = Absences::load(&latest, at(100));
        assert_eq!(again.of(&OTHER).map(|(silent, _)| silent), Some(Span::ZERO));
        assert_eq!(again.members[&OTHER].past, absences.members[&OTHER].past);
        again.session(at(101), &FRIEND, true);
        assert!(!is_overdue(&mut again, 124) && is_overdue(&mut again, 125));
        let saved = save(&mut again, 125);
        assert_eq!(saved.len(), 2, "a silence that has grown is saved");
        let again = Absences::load(&saved, at(0));
        assert_eq!(again.overdue(), BTreeSet::from([OTHER]), "and known after the next start");
        absences.watch(&BTreeSet::from([FRIEND]));
        let mut settings = Settings::new();
        absences.ride_along(at(61), &mut settings);
        assert!(settings.iter().any(|(key, value)| key.starts_with(AWAY_PREFIX) && value.is_none()));
    }
}
