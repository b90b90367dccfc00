//! The activity log: what happened lately, for people. Bounded, in memory; what must last stands in the feeds.

use std::collections::VecDeque;

use serde_json::{json, Value};

use crate::base::limits::ACTIVITY_ENTRIES_MAX;
use crate::base::units::WallTime;

/// The last events.
#[derive(Debug, Default)]
pub struct Activity {
    /// Oldest first.
    events: VecDeque<Event>,
    /// How many there have been in this run.
    count: u64,
}

/// How much an event matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be.
    Info,
    /// A person should look.
    Warn,
    /// Data is at risk.
    Error,
}

/// Something that happened.
#[derive(Debug, Clone)]
struct Event {
    /// When, by this node's clock.
    wall: WallTime,
    /// How much it matters.
    level: Level,
    /// Which part of the node.
    area: &'static str,
    /// What, in a sentence.
    message: String,
}

impl Activity {
    /// Notes an event, here and in the program's log.
    pub fn note(&mut self, wall: WallTime, level: Level, area: &'static str, message: impl Into<String>) {
        let message = message.into();
        match level {
            Level::Info => log::info!(target: "nuthatch", "{area}: {message}"),
            Level::Warn => log::warn!(target: "nuthatch", "{area}: {message}"),
            Level::Error => log::error!(target: "nuthatch", "{area}: {message}"),
        }
        if self.events.len() >= ACTIVITY_ENTRIES_MAX {
            self.events.pop_front();
        }
        self.events.push_back(Event { wall, level, area, message });
        self.count += 1;
    }

    /// The number of events so far: what a follower has seen.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Events after the first `seen` of this run, as JSON lines.
    pub fn since(&self, seen: u64) -> impl Iterator<Item = Value> + '_ {
        let kept = u64::try_from(self.events.len()).unwrap_or(u64::MAX);
        let forgotten = self.count - kept.min(self.count);
        let skip = usize::try_from(seen.saturating_sub(forgotten)).unwrap_or(usize::MAX);
        self.events.iter().skip(skip).map(|event| {
            json!({
                "time": event.wall.to_string(),
                "level": match event.level { Level::Info => "info", Level::Warn => "warn", Level::Error => "error" },
                "area": event.area,
                "message": event.message,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_follower_sees_each_event_once_even_when_old_ones_are_forgotten() {
        let mut activity = Activity::default();
        for number in 0..ACTIVITY_ENTRIES_MAX + 10 {
            activity.note(WallTime::default(), Level::Info, "test", number.to_string());
        }
        assert_eq!(activity.since(0).count(), ACTIVITY_ENTRIES_MAX);
        let seen = activity.count();
        activity.note(WallTime::default(), Level::Warn, "test", "last");
        let new: Vec<Value> = activity.since(seen).collect();
        assert_eq!(new.len(), 1);
        assert_eq!(new[0]["message"], "last");
    }
}
