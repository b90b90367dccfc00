//! The activity log: what happened lately, for people. Bounded, in memory; what must last stands in the feeds.

use std::collections::VecDeque;

use serde_json::{json, Value};

use super::events::{Event, Kind};
use crate::base::limits::ACTIVITY_ENTRIES_MAX;
use crate::base::units::WallTime;

pub mod charts;

/// The last events.
#[derive(Debug, Default)]
pub struct Activity {
    /// Oldest first, each with the time by this node's clock.
    events: VecDeque<(WallTime, Event)>,
    /// The number of the last one, or the one before the first.
    last: u64,
    /// How much went through the node.
    pub(super) charts: charts::Charts,
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// As it should be.
    Info,
    /// A person should look.
    Warn,
    /// Data is at risk.
    Error,
}

impl Level {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl Activity {
    /// Takes an event, here and in the program's log, which is read by more people than notes are meant for.
    pub fn take(&mut self, wall: WallTime, event: Event) {
        let Event { kind, level, area, message, .. } = &event;
        let message = if *kind == Kind::Note { "somebody wrote one, see `nuthatch log`" } else { message };
        match level {
            Level::Info => log::info!(target: "nuthatch", "{area}: {message}"),
            Level::Warn => log::warn!(target: "nuthatch", "{area}: {message}"),
            Level::Error => log::error!(target: "nuthatch", "{area}: {message}"),
        }
        if self.events.len() >= ACTIVITY_ENTRIES_MAX {
            self.events.pop_front();
        }
        self.events.push_back((wall, event));
        self.last += 1;
    }

    /// This run begins: its events are numbered from the milliseconds since 1970 on, so that no earlier run has had these numbers, unless
    /// it noted a thousand events a second or the clock has gone back.
    pub fn begin(&mut self, wall: WallTime) {
        if self.events.is_empty() {
            self.last = u64::try_from(wall.as_micros() / 1_000).unwrap_or(0);
        }
    }

    /// The number of the newest event: what a follower has seen.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Events with greater numbers than `seen`, as JSON lines.
    pub fn since(&self, seen: u64) -> impl Iterator<Item = Value> + '_ {
        let first = self.last + 1 - u64::try_from(self.events.len()).unwrap_or(0);
        let skip = usize::try_from((seen + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        let numbered = self.events.iter().zip(first..).skip(skip);
        numbered.map(|((wall, event), number)| {
            let mut line = event.json_at(*wall);
            line["number"] = json!(number);
            line
        })
    }

    /// What the events of a kind are about.
    pub fn subjects_of(&self, kind: Kind) -> impl Iterator<Item = &str> {
        let of_kind = self.events.iter().filter(move |(_, event)| event.kind == kind);
        of_kind.filter_map(|(_, event)| event.subject.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_sees_each_event_once_even_when_old_ones_are_forgotten() {
        let mut activity = Activity::default();
        let note = |activity: &mut Activity, level, message: String| {
            activity.take(WallTime::default(), Event::new(Kind::Other, level, "test", message));
        };
        for number in 0..ACTIVITY_ENTRIES_MAX + 10 {
            note(&mut activity, Level::Info, number.to_string());
        }
        assert_eq!(activity.since(0).count(), ACTIVITY_ENTRIES_MAX);
        let seen = activity.last();
        note(&mut activity, Level::Warn, "last".into());
        let new: Vec<Value> = activity.since(seen).collect();
        assert_eq!(new.len(), 1);
        assert_eq!(new[0]["message"], "last");
        assert_eq!(new[0]["event"], "other");
    }
}
