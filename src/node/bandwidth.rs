//! Limits on what a node sends and receives, by the time of day.
//!
//! Owns the words of the keys `bandwidth.up` and `bandwidth.down`, and which limit is in force when. Refuses to hold
//! anything up: [`crate::peer::table::Endpoint::set_bandwidth`] does. Times of day are UTC: a node below `io/` knows no
//! zone. A clock that was never set says 1970; then the strictest limit is in force, whatever the time of day.

use super::core::Core;
use crate::base::limits::{BANDWIDTH_CHECK, BANDWIDTH_RATE_MIN, BANDWIDTH_RULES_MAX};
use crate::base::units::{Span, Time, WallTime};
use serde_json::{json, Value as Json};

/// Minutes in a day.
pub(super) const DAY_MINUTES: i64 = 1_440;
/// A clock before 2024 was never set, in microseconds after 1970.
pub(super) const CLOCK_SET_MICROS: i64 = 1_704_067_200_000_000;

/// A limit during a part of each day.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    /// As it was written.
    text: String,
    /// From this minute of the day, UTC; and up to this one, which may lie after midnight. Equal: always.
    minutes: (i64, i64),
    /// Bytes a second.
    rate: u64,
}

/// What a key says; empty: unlimited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Where several apply, the strictest does; where none does, there is no limit.
    rules: Vec<Rule>,
}

impl Schedule {
    /// As it stands in the configuration: one text, or a list of them.
    #[must_use]
    pub fn read(value: &toml_edit::Value) -> Option<Self> {
        let texts: Option<Vec<String>> = match (value.as_str(), value.as_array()) {
            (Some(text), _) => Some(vec![text.to_owned()]),
            (None, list) => list?.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        };
        Self::parse(&texts?)
    }

    /// Reads `"unlimited"`, `"20Mbit"`, `"08:00-23:00 20Mbit"`, or several of the last two.
    #[must_use]
    pub fn parse(texts: &[String]) -> Option<Self> {
        if matches!(texts, [text] if text == "unlimited") {
            return Some(Self::default());
        }
        if texts.len() > BANDWIDTH_RULES_MAX {
            return None;
        }
        texts.iter().map(|text| Rule::parse(text)).collect::<Option<Vec<Rule>>>().map(|rules| Self { rules })
    }

    /// As it would be set.
    #[must_use]
    pub fn show(&self) -> Json {
        match &self.rules[..] {
            [] => Json::from("unlimited"),
            [rule] => Json::from(rule.text.clone()),
            rules => rules.iter().map(|rule| rule.text.clone()).collect(),
        }
    }

    /// Bytes a second that are allowed at this time; None: as many as there are.
    #[must_use]
    pub fn limit(&self, wall: WallTime) -> Option<u64> {
        let unset = wall.as_micros() < CLOCK_SET_MICROS;
        let minute = wall.as_micros().div_euclid(60_000_000).rem_euclid(DAY_MINUTES);
        self.rules.iter().filter(|rule| unset || rule.covers(minute)).map(|rule| rule.rate).min()
    }

    /// Whether the limit depends on the time.
    fn changes(&self) -> bool {
        self.rules.iter().any(|rule| rule.minutes.0 != rule.minutes.1)
    }
}

impl Rule {
    /// Reads one.
    fn parse(text: &str) -> Option<Self> {
        let (minutes, rate) = match text.trim().split_once(' ') {
            Some((span, rate)) => {
                let (from, to) = span.split_once('-')?;
                ((minute_of(from)?, minute_of(to)?), rate)
            }
            None => ((0, 0), text),
        };
        Some(Self { text: text.to_owned(), minutes, rate: rate_of(rate.trim())? })
    }

    /// Whether it applies at this minute of the day.
    fn covers(&self, minute: i64) -> bool {
        let (from, to) = self.minutes;
        (minute - from).rem_euclid(DAY_MINUTES) < (to - from - 1).rem_euclid(DAY_MINUTES) + 1
    }
}

/// `HH:MM` up to 24:00 as a minute of the day.
pub(super) fn minute_of(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let minute = hours * 60 + minutes;
    (minutes < 60 && minute <= DAY_MINUTES).then_some(minute % DAY_MINUTES)
}

/// A whole number of `kbit`, `Mbit` or `Gbit` (powers of 1,000) a second, in bytes a second.
fn rate_of(text: &str) -> Option<u64> {
    let end = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let scale: u64 = match unit {
        "kbit" => 125,
        "Mbit" => 125_000,
        "Gbit" => 125_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(scale).filter(|rate| *rate >= BANDWIDTH_RATE_MIN)
}

/// When the limits are to be looked at again.
#[derive(Debug)]
pub(super) struct Throttle {
    /// None: when the configuration changes.
    due: Option<Time>,
    /// What is in force, up and down, in bytes a second.
    limits: [Option<u64>; 2],
}

impl Default for Throttle {
    fn default() -> Self {
        Self { due: Some(Time::ZERO), limits: [None, None] }
    }
}

impl Throttle {
    /// When [`Core::throttle`] has something to do.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.due
    }

    /// What is in force, for status.
    pub(super) fn status(&self) -> Json {
        let [up, down] = self.limits;
        json!({"up_bytes_per_s": up, "down_bytes_per_s": down})
    }
}

impl Core {
    /// Puts the limits of this time of day into force.
    pub(super) fn throttle(&mut self) {
        let (config, now) = (&self.setup.config, self.now);
        let held = self.pausing.rate();
        let limits =
            [&config.up, &config.down].map(|schedule| schedule.limit(now.wall).into_iter().chain(held).min());
        let changes = config.up.changes() || config.down.changes();
        // The clock may jump: so it is looked at often, and not only when a limit should change.
        let minute = Span::from_micros(now.wall.as_micros().rem_euclid(60_000_000).unsigned_abs());
        self.throttle.due = changes.then_some(now.time + (BANDWIDTH_CHECK - minute));
        self.throttle.limits = limits;
        self.endpoint.set_bandwidth(now.time, limits[0], limits[1]);
    }

    /// The configuration has changed.
    pub(super) fn configured(&mut self) {
        self.throttle();
        self.offer_freely();
        self.watch_configured();
        self.daily_configured();
        self.drill_next();
        // A share that found no room may find it now.
        self.holding.peer_up(self.now.time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A schedule of these.
    fn schedule(texts: &[&str]) -> Option<Schedule> {
        Schedule::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    /// That time of a day in 2026.
    fn at(hours: i64, minutes: i64) -> WallTime {
        WallTime::from_micros(1_767_225_600_000_000 + (hours * 60 + minutes) * 60_000_000)
    }

    #[test]
    fn the_strictest_limit_of_the_hour_is_in_force() {
        let both = schedule(&["08:00-23:00 20Mbit", "22:00-06:00 8Mbit"]).unwrap();
        for (hours, minutes, expected) in [
            (7, 59, None),
            (8, 0, Some(2_500_000)),
            (21, 59, Some(2_500_000)),
            (22, 0, Some(1_000_000)),
            (23, 30, Some(1_000_000)),
            (0, 0, Some(1_000_000)),
            (5, 59, Some(1_000_000)),
            (6, 0, None),
        ] {
            assert_eq!(both.limit(at(hours, minutes)), expected, "{hours}:{minutes}");
        }
        assert_eq!(both.limit(WallTime::from_micros(12 * 3_600_000_000)), Some(1_000_000), "a clock in 1970");
        assert_eq!(schedule(&["00:00-24:00 64kbit"]).unwrap().limit(at(3, 0)), Some(8_000));
        assert_eq!(schedule(&["1Gbit"]).unwrap().limit(at(3, 0)), Some(125_000_000));
        assert_eq!(schedule(&["unlimited"]).unwrap().limit(at(3, 0)), None);
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for wrong in [
            "",
            "20",
            "20MB",
            "0Mbit",
            "1kbit",
            "8:00-9:00 20Mbit",
            "08:00-25:00 1Mbit",
            "08:60-09:00 1Mbit",
            "-1Mbit",
            "08:00 1Mbit",
        ] {
            assert_eq!(schedule(&[wrong]), None, "{wrong}");
        }
        assert_eq!(schedule(&["unlimited", "1Mbit"]), None);
    }
}
