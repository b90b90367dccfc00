//! Times of day at which all folders are scanned (`backup.daily`). UTC, as all times of day here: a node knows no zone.
//!
//! A clock that was never set means no time of day; then the rescan alone counts. A time that was slept through is made up for when
//! the clock is looked at again, once, however often it would have come.

use super::bandwidth::{minute_of, CLOCK_SET_MICROS, DAY_MINUTES};
use super::core::Core;
use crate::base::limits::{BANDWIDTH_CHECK, DAILY_TIMES_MAX};
use crate::base::units::{Span, Time, WallTime};
use serde_json::Value as Json;

/// The times of day; empty: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Daily {
    /// As they were written, and the minutes that they mean.
    times: Vec<(String, i64)>,
}

/// When the clock was looked at, and when it will be.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// What it showed last.
    last: Option<WallTime>,
    /// When to look again.
    due: Option<Time>,
}

impl Looks {
    /// When to look at the clock again.
    pub(super) const fn deadline(&self) -> Option<Time> {
        self.due
    }
}

impl Daily {
    /// As it stands in the configuration: "off", a time such as "02:30", or a list of them.
    #[must_use]
    pub fn read(value: &toml_edit::Value) -> Option<Self> {
        let texts: Vec<String> = match (value.as_str(), value.as_array()) {
            (Some("off"), _) => return Some(Self::default()),
            (Some(text), _) => vec![text.to_owned()],
            (None, list) => {
                list?.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<_>>()?
            }
        };
        if texts.len() > DAILY_TIMES_MAX {
            return None;
        }
        let times = texts.into_iter().map(|text| minute_of(&text).map(|minute| (text, minute)));
        Some(Self { times: times.collect::<Option<_>>()? })
    }

    /// As it would be set.
    #[must_use]
    pub fn show(&self) -> Json {
        match &self.times[..] {
            [] => Json::from("off"),
            [(text, _)] => Json::from(text.clone()),
            times => times.iter().map(|(text, _)| text.clone()).collect(),
        }
    }

    /// Whether one of the times has come since the clock showed `last`.
    #[must_use]
    pub fn has_come(&self, last: WallTime, now: WallTime) -> bool {
        if last.as_micros() < CLOCK_SET_MICROS || now <= last {
            return false;
        }
        let minute = |wall: WallTime| wall.as_micros().div_euclid(60_000_000);
        let (from, to) = (minute(last), minute(now));
        let first_after = |time: &i64| from + 1 + (time - (from + 1)).rem_euclid(DAY_MINUTES);
        self.times.iter().any(|(_, time)| first_after(time) <= to)
    }
}

impl Core {
    /// The configuration is read, or has changed.
    pub(super) fn daily_configured(&mut self) {
        let wanted = !self.setup.config.daily.times.is_empty();
        self.folders.looks =
            Looks { last: wanted.then_some(self.now.wall), due: wanted.then_some(self.now.time) };
    }

    /// Looks at the clock: is it time?
    pub(super) fn daily_timeout(&mut self) {
        let (time, wall) = (self.now.time, self.now.wall);
        if self.folders.looks.due.is_none_or(|due| due > time) {
            return;
        }
        // The clock may jump: so it is looked at often.
        let minute = Span::from_micros(wall.as_micros().rem_euclid(60_000_000).unsigned_abs());
        self.folders.looks.due = Some(time + (BANDWIDTH_CHECK - minute));
        let last = self.folders.looks.last.replace(wall);
        if last.is_some_and(|last| self.setup.config.daily.has_come(last, wall)) {
            for (entry, _) in self.own_folders() {
                self.local(entry.folder).next_scan = Some(time);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daily(text: &str) -> Option<Daily> {
        Daily::read(&text.parse().expect("a TOML value"))
    }

    /// That time of a day in 2026, and so many days later.
    fn at(days: i64, hours: i64, minutes: i64) -> WallTime {
        WallTime::from_micros(1_767_225_600_000_000 + ((days * 24 + hours) * 60 + minutes) * 60_000_000)
    }

    #[test]
    fn a_time_of_day_comes_once_a_day_however_often_the_clock_is_looked_at() {
        let twice = daily("[\"02:30\", \"14:00\"]").expect("two times");
        let mut count = 0;
        for minute in 0..3 * 1_440 {
            count += u64::from(twice.has_come(at(0, 0, minute), at(0, 0, minute + 1)));
        }
        assert_eq!(count, 6);
        assert!(twice.has_come(at(0, 2, 29), at(0, 2, 30)) && !twice.has_come(at(0, 2, 30), at(0, 2, 31)));
        assert!(twice.has_come(at(0, 15, 0), at(1, 8, 0)), "slept through");
        assert!(!twice.has_come(at(0, 3, 0), at(0, 13, 59)));
        assert!(!twice.has_come(at(1, 3, 0), at(0, 1, 0)), "a clock that went back");
        assert!(!twice.has_come(WallTime::from_micros(0), at(0, 3, 0)), "a clock that was not set");
    }

    #[test]
    fn what_is_no_time_of_day_is_refused() {
        assert_eq!(daily("\"off\""), Some(Daily::default()));
        assert_eq!(daily("\"02:30\"").map(|daily| daily.show()), Some(Json::from("02:30")));
        for wrong in ["\"2:30\"", "\"25:00\"", "\"\"", "3", "[\"off\"]"] {
            assert_eq!(daily(wrong), None, "{wrong}");
        }
    }
}
