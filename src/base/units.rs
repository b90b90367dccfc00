//! Quantities: time that only moves forward, spans of it, wall time as a label, numbers of bytes and copies.
//!
//! Nothing here reads a clock. [`Time`] is what the caller says it is; [`WallTime`] may be wrong and decides nothing
//! but what people are shown and which versions a retention policy counts.

use core::fmt;
use core::ops::{Add, Sub};
use serde::{Deserialize, Serialize};

/// A moment of this run: microseconds since an arbitrary origin, never going back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

/// A length of time in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Span(u64);

/// What a clock on the wall showed: microseconds since 1970-01-01T00:00:00Z, may be wrong by years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct WallTime(i64);

/// Both clocks, read at the same moment by `io/` (or made up by the simulator).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// For every decision.
    pub time: Time,
    /// For labels.
    pub wall: WallTime,
}

/// How many devices shall hold each chunk, the writer included; at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Copies(u8);

impl Time {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// The moment `micros` microseconds after the origin.
    #[must_use]
    #[inline]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    #[must_use]
    #[inline]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it was not.
    #[must_use]
    #[inline]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Time {
    type Output = Self;
    #[inline]
    fn add(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for Time {
    type Output = Self;
    #[inline]
    fn sub(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// This many microseconds.
    #[must_use]
    #[inline]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// This many milliseconds.
    #[must_use]
    #[inline]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000)
    }

    /// This many seconds.
    #[must_use]
    #[inline]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1_000_000)
    }

    /// In microseconds.
    #[must_use]
    #[inline]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// In whole milliseconds, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000
    }

    /// In seconds, for people.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        std::time::Duration::from_micros(self.0).as_secs_f64()
    }

    /// `times` as long, or as long as can be expressed.
    #[must_use]
    #[inline]
    pub const fn times(self, times: u64) -> Self {
        Self(self.0.saturating_mul(times))
    }

    /// A part of it; `parts` is not zero.
    #[must_use]
    #[inline]
    pub const fn part(self, parts: u64) -> Self {
        Self(self.0 / parts)
    }

    /// A part of it by chance (any number), in steps of 1/1,024, less than the whole.
    #[must_use]
    pub const fn by_chance(self, chance: u64) -> Self {
        self.part(1_024).times(chance % 1_024)
    }
}

impl Add for Span {
    type Output = Self;
    #[inline]
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Span {
    type Output = Self;
    #[inline]
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl WallTime {
    /// This many microseconds after (before, if negative) 1970.
    #[must_use]
    #[inline]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    #[must_use]
    #[inline]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Calendar fields in UTC: year, month 1-12, day 1-31, hour, minute, second, microsecond.
    /// Howard Hinnant's `civil_from_days` (chrono-compatible low-level date algorithms).
    #[must_use]
    pub fn civil(self) -> (i64, u8, u8, u8, u8, u8, u32) {
        let seconds = self.0.div_euclid(1_000_000);
        let micros = self.0.rem_euclid(1_000_000);
        let days = seconds.div_euclid(86_400);
        let second_of_day = seconds.rem_euclid(86_400);
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_index = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_index + 2) / 5 + 1;
        let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let small = |value: i64| u8::try_from(value).unwrap_or(0);
        (
            year,
            small(month),
            small(day),
            small(second_of_day / 3_600),
            small(second_of_day / 60 % 60),
            small(second_of_day % 60),
            u32::try_from(micros).unwrap_or(0),
        )
    }
}

impl fmt::Display for WallTime {
    /// RFC 3339 in UTC, to the second.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day, hour, minute, second, _) = self.civil();
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl Copies {
    /// `count` copies; zero is read as one, for the writer's own copy always exists.
    #[must_use]
    pub const fn new(count: u8) -> Self {
        Self(if count == 0 { 1 } else { count })
    }

    /// How many.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_shown_as_rfc_3339() {
        assert_eq!(WallTime::from_micros(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(WallTime::from_micros(951_827_696_000_000).to_string(), "2000-02-29T12:34:56Z");
        assert_eq!(WallTime::from_micros(-1).to_string(), "1969-12-31T23:59:59Z");
        assert_eq!(WallTime::from_micros(1_795_305_600_000_000).to_string(), "2026-11-22T00:00:00Z");
    }

    #[test]
    fn time_does_not_wrap() {
        assert_eq!(Time::ZERO - Span::from_secs(1), Time::ZERO);
        assert_eq!(Time::from_micros(u64::MAX) + Span::from_secs(1), Time::from_micros(u64::MAX));
        assert_eq!(Time::ZERO.since(Time::from_micros(5)), Span::ZERO);
    }
}
