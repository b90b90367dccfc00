//! How often events leave the node: the first of its kind about something at once, those of the next minute together as one.
//!
//! A folder that is saved all day must not start a script each time; and what a person should know must not wait.

use std::collections::BTreeMap;

use super::{Event, Kind};
use crate::base::limits::{EVENT_PAUSE, EVENT_THINGS_MAX};
use crate::base::units::{Time, WallTime};

/// An event on its way out of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// When it happened (the last of several).
    pub wall: WallTime,
    /// What.
    pub event: Event,
    /// Of how many events like it, this one included, it is the last.
    pub times: u64,
}

/// Events that are alike.
type Thing = (Kind, Option<String>, Option<String>, Option<String>);

/// Holds events back.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// What went out lately: until when the next one waits, and that.
    recent: BTreeMap<Thing, (Time, Option<Leaving>)>,
}

impl Gate {
    /// An event wants to go out; if it may now, it is given back.
    pub(super) fn pass(&mut self, now: Time, wall: WallTime, event: Event) -> Option<Leaving> {
        let fresh = Leaving { wall, event, times: 1 };
        let thing = thing_of(&fresh.event);
        let has_room = self.recent.len() < EVENT_THINGS_MAX;
        match self.recent.get_mut(&thing) {
            Some((_, waiting)) => {
                let before = waiting.as_ref().map_or(0, |before| before.times);
                *waiting = Some(Leaving { times: before + 1, ..fresh });
                None
            }
            None => {
                if has_room {
                    self.recent.insert(thing, (now + EVENT_PAUSE, None));
                }
                Some(fresh)
            }
        }
    }

    /// What has waited long enough.
    pub(super) fn due(&mut self, now: Time) -> Vec<Leaving> {
        let mut due = Vec::new();
        self.recent.retain(|_, (until, waiting)| {
            if *until > now {
                return true;
            }
            *until = now + EVENT_PAUSE;
            let leaving = waiting.take();
            let goes_out = leaving.is_some();
            due.extend(leaving);
            goes_out
        });
        due
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.recent.values().map(|(until, _)| *until).min()
    }
}

/// What an event is alike to: another of its kind about the same folder and device. Notes and what has no word of its own are
/// alike only to what says the same.
fn thing_of(event: &Event) -> Thing {
    let text = matches!(event.kind, Kind::Note | Kind::Other | Kind::HookFailed)
        .then(|| format!("{}{}", event.subject.as_deref().unwrap_or_default(), event.message));
    (event.kind, event.folder.clone(), event.node.clone(), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Span;
    use crate::node::activity::Level;

    /// A backup of a folder was done.
    fn done(folder: &str, number: u64) -> Event {
        Event::new(Kind::BackupDone, Level::Info, "backup", number.to_string()).of_folder(folder)
    }

    #[test]
    fn the_first_goes_out_at_once_and_those_of_a_minute_as_one() {
        let (mut gate, wall) = (Gate::default(), WallTime::default());
        let start = Time::ZERO + Span::from_secs(10);
        assert_eq!(gate.pass(start, wall, done("photos", 0)).map(|leaving| leaving.times), Some(1));
        for number in 1..=5 {
            assert_eq!(gate.pass(start + Span::from_secs(number), wall, done("photos", number)), None);
        }
        assert!(gate.pass(start, wall, done("letters", 0)).is_some(), "another folder waits for nothing");
        assert!(gate.due(start + Span::from_secs(59)).is_empty());
        let due = gate.due(gate.deadline().unwrap());
        assert_eq!(due.len(), 1);
        assert_eq!((due[0].times, due[0].event.message.as_str()), (5, "5"), "the last of them speaks");
        let later = gate.deadline().unwrap();
        assert!(gate.pass(later - Span::from_secs(1), wall, done("photos", 6)).is_none());
        assert_eq!(gate.due(later).len(), 1);
        assert!(gate.due(later + EVENT_PAUSE).is_empty());
        assert_eq!(gate.deadline(), None, "nothing is remembered of what is quiet");
    }

    #[test]
    fn notes_that_say_different_things_are_not_alike_and_memory_is_bounded() {
        let (mut gate, wall, now) = (Gate::default(), WallTime::default(), Time::ZERO);
        for number in 0..2 * EVENT_THINGS_MAX {
            let note = Event::new(Kind::Note, Level::Info, "note", number.to_string()).of_node("attic");
            assert!(gate.pass(now, wall, note).is_some());
        }
        assert_eq!(gate.recent.len(), EVENT_THINGS_MAX);
    }
}
