//! Retention: which snapshots of a folder a policy keeps. Pure: no clock, no feed; the same labels give the same answer on
//! every device.
//!
//! Times are labels that may be wrong, so nothing is compared with "now", and age is the order of writing. Of each hour
//! (day, week, month, year, in UTC) that has snapshots the newest is kept, for so many hours as the policy says, beginning
//! with the newest snapshot. A label that says nothing (before 2020, or less than a second from its neighbour, as when a
//! clock was set back and the writer could only count on) puts its snapshot in no such hour: of those the newest are
//! kept, as many as the whole policy would keep, so that a clock that stands still retires nothing in a hurry.

use core::fmt;
use std::collections::BTreeSet;

use crate::base::limits::{RETAIN_COUNT_MAX, RETAIN_LABEL_MIN, RETAIN_STEP_MIN};
use crate::base::units::WallTime;

/// How many snapshots are kept of what; see [`Policy::kept`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Of each rule, in the order of [`RULES`]. All of them [`ALL`]: every snapshot.
    counts: [u16; 6],
}

/// What is known of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// When it was taken, as its writer's clock had it.
    pub taken: WallTime,
    /// It has not been retired.
    pub stands: bool,
    /// A person has said that it shall stay.
    pub held: bool,
    /// It has the folder whole: the backup that took it was over.
    pub complete: bool,
}

/// Why a text is no policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// The part that is wrong.
    part: String,
    /// What is wrong with it.
    reason: &'static str,
}

impl Policy {
    /// Keeps every snapshot.
    pub const EVERY: Self = Self { counts: [ALL; 6] };

    /// The policy with these counts, as [`Policy::counts`] gives them.
    #[must_use]
    pub const fn from_counts(counts: [u16; 6]) -> Self {
        Self { counts }
    }

    /// Last, hourly, daily, weekly, monthly, yearly.
    #[must_use]
    pub const fn counts(&self) -> [u16; 6] {
        self.counts
    }

    /// Reads `all`, or rules with commas between them: `last=10,daily=30`. A rule that is not named keeps nothing.
    ///
    /// # Errors
    /// When a rule does not exist, stands there twice, has no number or a number that is too large, or all are zero.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let wrong = |part: &str, reason| Err(PolicyError { part: part.trim().to_owned(), reason });
        if text.trim() == "all" {
            return Ok(Self::EVERY);
        }
        let mut counts = [None; 6];
        for part in text.split(',') {
            let Some((name, count)) = part.split_once('=') else {
                return wrong(part, "is no rule; write NAME=NUMBER");
            };
            let Some(index) = RULES.iter().position(|rule| *rule == name.trim()) else {
                return wrong(name, "is no rule; there are last, hourly, daily, weekly, monthly, yearly");
            };
            match count.trim().parse() {
                Ok(count) if count <= RETAIN_COUNT_MAX && counts[index].is_none() => {
                    counts[index] = Some(count)
                }
                Ok(count) if count <= RETAIN_COUNT_MAX => return wrong(name, "stands there twice"),
                _ => return wrong(part, "has no number from 0 to 10000"),
            }
        }
        let counts = counts.map(Option::unwrap_or_default);
        if counts == [0; 6] {
            return wrong(text, "keeps nothing");
        }
        Ok(Self { counts })
    }

    /// Which of these snapshots of one folder, in the order in which they were written, the policy keeps. The newest
    /// that stands, those that a person holds, and those that do not stand are never among the others.
    ///
    /// Partial snapshots take no place in any rule. One stays, whatever the policy, until a complete one was written
    /// after it; then it is among the others, even if every snapshot is kept.
    #[must_use]
    pub fn kept(&self, labels: &[Label]) -> Vec<bool> {
        let complete: Vec<Label> = labels.iter().filter(|label| label.complete).copied().collect();
        let mut complete = self.kept_complete(&complete).into_iter();
        let last = labels.iter().rposition(|label| label.complete && label.stands);
        let kept = |(index, label): (usize, &Label)| match label.complete {
            true => complete.next().unwrap_or(true),
            false => !label.stands || label.held || last.is_none_or(|last| last < index),
        };
        labels.iter().enumerate().map(kept).collect()
    }

    /// The same where all are complete.
    fn kept_complete(&self, labels: &[Label]) -> Vec<bool> {
        let mut kept: Vec<bool> = labels.iter().map(|label| !label.stands || label.held).collect();
        if *self == Self::EVERY {
            return vec![true; labels.len()];
        }
        let standing = || (0..labels.len()).rev().filter(|index| labels[*index].stands);
        for index in standing().take(usize::from(self.counts[0].max(1))) {
            kept[index] = true;
        }
        for (rule, count) in self.counts.iter().enumerate().skip(1) {
            let mut seen = BTreeSet::new();
            for index in standing().filter(|index| is_telling(labels, *index)) {
                if seen.len() >= usize::from(*count) {
                    break;
                }
                kept[index] |= seen.insert(period(rule, labels[index].taken));
            }
        }
        let total = self.counts.iter().map(|count| usize::from(*count)).sum();
        for index in standing().filter(|index| !is_telling(labels, *index)).take(total) {
            kept[index] = true;
        }
        kept
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self { counts: [10, 24, 30, 12, 24, 5] }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::EVERY {
            return formatter.write_str("all");
        }
        let rules = RULES.iter().zip(self.counts).filter(|(_, count)| *count > 0);
        for (index, (name, count)) in rules.enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(formatter, "{comma}{name}={count}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "'{}' {}", self.part, self.reason)
    }
}

impl std::error::Error for PolicyError {}

/// Whether a label says when its snapshot was taken.
fn is_telling(labels: &[Label], index: usize) -> bool {
    let taken = labels[index].taken.as_micros();
    let before = index.checked_sub(1).map(|before| labels[before].taken.as_micros());
    taken >= RETAIN_LABEL_MIN.as_micros()
        && before.is_none_or(|before| taken.abs_diff(before) >= RETAIN_STEP_MIN.as_micros())
}

/// The number of the hour, day, week, month or year.
fn period(rule: usize, taken: WallTime) -> i64 {
    let hours = taken.as_micros().div_euclid(3_600_000_000);
    let days = hours.div_euclid(24);
    let (year, month, ..) = taken.civil();
    match rule {
        1 => hours,
        2 => days,
        // Weeks begin on Monday; 1 January 1970 was a Thursday.
        3 => (days + 3).div_euclid(7),
        4 => year * 12 + i64::from(month),
        _ => year,
    }
}

/// The rules by name.
const RULES: [&str; 6] = ["last", "hourly", "daily", "weekly", "monthly", "yearly"];
/// The count that stands for "as many as there are".
const ALL: u16 = u16::MAX;
const _: () = assert!(RETAIN_COUNT_MAX < ALL);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest, Strategy};

    const HOUR: i64 = 3_600_000_000;
    /// Thursday, 1 January 2026, midnight.
    const NEW_YEAR: i64 = 1_767_225_600_000_000;

    fn at(micros: i64) -> Label {
        Label { taken: WallTime::from_micros(micros), stands: true, held: false, complete: true }
    }

    fn policy(text: &str) -> Policy {
        Policy::parse(text).unwrap()
    }

    /// The numbers of those that are kept.
    fn kept(text: &str, labels: &[Label]) -> Vec<usize> {
        let kept = policy(text).kept(labels);
        (0..labels.len()).filter(|index| kept[*index]).collect()
    }

    #[test]
    fn a_policy_is_shown_as_it_is_read() {
        let text = "last=10,hourly=24,daily=30,weekly=12,monthly=24,yearly=5";
        assert_eq!(policy(text), Policy::default());
        for text in [text, "all", "daily=3", "last=1,yearly=10000"] {
            assert_eq!(policy(text).to_string(), text);
        }
        assert_eq!(policy(" weekly = 2 , last = 1 ").to_string(), "last=1,weekly=2");
        for (text, part) in [
            ("", "''"),
            ("dayly=3", "'dayly'"),
            ("daily=3,daily=4", "'daily' stands there twice"),
            ("daily=-3", "'daily=-3'"),
            ("daily=10001", "'daily=10001'"),
            ("last", "'last'"),
            ("last=0,daily=0", "keeps nothing"),
        ] {
            let error = Policy::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn the_newest_of_each_period_is_kept() {
        let hours: Vec<Label> = (0..72).map(|hour| at(NEW_YEAR + hour * HOUR)).collect();
        assert_eq!(kept("daily=2", &hours), [47, 71]);
        assert_eq!(kept("last=2,daily=2", &hours), [47, 70, 71]);
        assert_eq!(kept("hourly=3", &hours), [69, 70, 71]);
        let days: Vec<Label> = (0..400).map(|day| at(NEW_YEAR + day * 24 * HOUR)).collect();
        // Sundays; the last day is a Thursday.
        assert_eq!(kept("weekly=3", &days), [388, 395, 399]);
        assert_eq!(kept("monthly=3", &days), [364, 395, 399]);
        assert_eq!(kept("yearly=5", &days), [364, 399]);
    }

    #[test]
    fn periods_without_snapshots_do_not_count() {
        let labels = [at(NEW_YEAR), at(NEW_YEAR + 24 * HOUR * 500), at(NEW_YEAR + 24 * HOUR * 1_000)];
        assert_eq!(kept("daily=3", &labels), [0, 1, 2]);
    }

    #[test]
    fn one_label_far_in_the_future_costs_one_place_and_no_more() {
        let mut labels: Vec<Label> = (0..10).map(|day| at(NEW_YEAR + day * 24 * HOUR)).collect();
        labels[4] = at(NEW_YEAR * 4);
        assert_eq!(kept("daily=4", &labels), [6, 7, 8, 9]);
        assert_eq!(kept("daily=9", &labels), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_clock_that_went_back_or_stands_in_1970_retires_nothing_before_the_policy_is_full() {
        // What a writer does whose clock was in 2099 once: it counts on from there.
        let counted: Vec<Label> = (0..60).map(|step| at(NEW_YEAR * 4 + step)).collect();
        assert_eq!(kept("daily=30,monthly=12", &counted).len(), 43);
        let epoch: Vec<Label> = (0..60).map(|hour| at(hour * HOUR)).collect();
        assert_eq!(kept("daily=30,monthly=12", &epoch), (18..60).collect::<Vec<_>>());
    }

    #[test]
    fn a_partial_snapshot_stays_until_a_complete_one_follows_and_takes_no_place() {
        let mut labels: Vec<Label> = (0..6).map(|day| at(NEW_YEAR + day * 24 * HOUR)).collect();
        for index in [1, 2, 5] {
            labels[index].complete = false;
        }
        for text in ["all", "last=10"] {
            assert_eq!(kept(text, &labels), [0, 3, 4, 5], "{text}");
        }
        assert_eq!(kept("last=1", &labels), [4, 5], "the newest complete one is kept beside it");
        assert_eq!(kept("daily=2", &labels[..3]), [0, 1, 2]);
        labels[1].held = true;
        assert_eq!(kept("last=1", &labels), [1, 4, 5]);
        // A label right behind that of a partial one tells as much as any other.
        labels[2].taken = WallTime::from_micros(labels[3].taken.as_micros() - 1);
        assert_eq!(kept("daily=3", &labels), [0, 1, 3, 4, 5]);
    }

    #[test]
    fn what_a_person_holds_is_kept_and_takes_no_place_from_others() {
        let mut labels: Vec<Label> = (0..10).map(|day| at(NEW_YEAR + day * 24 * HOUR)).collect();
        labels[2].held = true;
        assert_eq!(kept("daily=3", &labels), [2, 7, 8, 9]);
    }

    fn labels() -> impl Strategy<Value = Vec<Label>> {
        let micros = (0..6_u8, any::<u32>(), any::<i64>()).prop_map(|(kind, some, any)| match kind {
            0 => any,
            1 => i64::from(some),
            2 => NEW_YEAR * 4 + i64::from(some % 100),
            _ => NEW_YEAR + i64::from(some) * 10_000_000,
        });
        let label = (micros, any::<bool>(), 0..10_u8).prop_map(|(micros, stands, kind)| Label {
            taken: WallTime::from_micros(micros),
            stands,
            held: kind == 0,
            complete: kind < 8,
        });
        prop::collection::vec(label, 0..60)
    }

    fn policies() -> impl Strategy<Value = Policy> {
        prop::array::uniform6(0..20_u16).prop_map(Policy::from_counts)
    }

    proptest! {
        #[test]
        fn no_policy_and_no_clock_retires_too_much(labels in labels(), policy in policies()) {
            let kept = policy.kept(&labels);
            let is_standing = |index: &usize| labels[*index].stands && labels[*index].complete;
            let standing: Vec<usize> = (0..labels.len()).filter(is_standing).collect();
            // Partial ones stay exactly until a complete one follows.
            let last = standing.last().copied();
            for (index, label) in labels.iter().enumerate().filter(|(_, label)| label.stands && !label.complete) {
                prop_assert_eq!(kept[index], label.held || last.is_none_or(|last| last < index));
            }
            let held = |index: &&usize| kept[**index];
            prop_assert!(standing.last().is_none_or(|newest| kept[*newest]));
            prop_assert!(labels.iter().zip(&kept).all(|(label, kept)| *kept || !label.held));
            // At least as many as the largest rule could fill, of what tells nothing at least that many too.
            let [last, ..] = policy.counts();
            prop_assert!(standing.iter().rev().take(usize::from(last)).all(|index| kept[*index]));
            // At most what all rules together allow, twice, the newest, and what is held.
            let total: usize = policy.counts().iter().map(|count| usize::from(*count)).sum();
            let held_by_people = standing.iter().filter(|index| labels[**index].held).count();
            prop_assert!(standing.iter().filter(held).count() <= 2 * total + 1 + held_by_people);
        }

        #[test]
        fn what_is_kept_stays_kept_when_the_rest_is_retired(labels in labels(), policy in policies()) {
            let kept = policy.kept(&labels);
            let after: Vec<Label> =
                labels.iter().zip(&kept).map(|(label, kept)| Label { stands: label.stands && *kept, ..*label }).collect();
            prop_assert_eq!(policy.kept(&after), vec![true; labels.len()]);
        }

        #[test]
        fn more_is_kept_by_a_policy_that_names_more(labels in labels(), policy in policies(), rule in 0..6_usize) {
            let mut counts = policy.counts();
            counts[rule] += 5;
            let more = Policy::from_counts(counts).kept(&labels);
            prop_assert!(policy.kept(&labels).iter().zip(more).all(|(less, more)| more || !less));
        }

        #[test]
        fn any_text_is_a_policy_or_an_error(text in "[a-z0-9=, ]{0,40}") {
            if let Ok(policy) = Policy::parse(&text) {
                prop_assert_eq!(Policy::parse(&policy.to_string()), Ok(policy));
            }
        }
    }
}
