//! Hooks: executables of the owner that are run when something happens: one named as the event, then one named `any`.
//!
//! One runs at a time; a bounded number of events waits. Whoever runs them (`io/hooks.rs`) looks whether they are there and may
//! be run. What comes of it is told; a hook that fails is told by an event that runs no hooks.

use std::collections::{BTreeMap, VecDeque};

use super::{Event, Kind};
use crate::base::limits::HOOKS_WAITING_MAX;
use crate::node::activity::Level;
use crate::node::ports::CallId;

/// A hook that is to be run, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRun {
    /// Where hooks are, from the home on.
    pub directory: String,
    /// The file's name there.
    pub name: &'static str,
    /// The event's word.
    pub event: &'static str,
    /// One JSON object, for its standard input.
    pub body: String,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookEnd {
    /// There is none of that name.
    Absent,
    /// It is not run: why, and what to do.
    Refused(String),
    /// It ran to its end.
    Ended {
        /// Its exit code.
        code: i32,
        /// The first line of its standard error.
        line: String,
    },
    /// A signal ended it, or it took too long and was killed.
    Killed {
        /// By what, in words.
        reason: String,
        /// The first line of its standard error.
        line: String,
    },
}

/// An event that waits for its hooks.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    /// What happened.
    pub(super) kind: Kind,
    /// As hooks get it.
    pub(super) body: String,
    /// Who wants to know what comes of it.
    pub(super) call: Option<CallId>,
}

/// What is to be told of a hook that has ended.
#[derive(Debug)]
pub(super) struct Verdict {
    /// For the activity log, if it is worth it.
    pub(super) event: Option<Event>,
    /// For a call that waits: which, the hook's name, how it went (None: there is no such hook), whether well.
    pub(super) call: Option<(CallId, &'static str, Option<String>, bool)>,
}

/// Hooks that run and wait.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    /// The names that are still to be run for the first event.
    names: VecDeque<&'static str>,
    /// Events, oldest first; hooks of the first are being run.
    waiting: VecDeque<Waiting>,
    /// A hook is being run: its name.
    running: Option<&'static str>,
    /// The hook that says whether the node may work by itself is to be asked.
    asks: bool,
    /// Why a hook was last not run, by its name: that is said once.
    refused: BTreeMap<&'static str, String>,
    /// Events that were left out since that was last said.
    left_out: u64,
}

impl Hooks {
    /// An event happened.
    pub(super) fn push(&mut self, waiting: Waiting) {
        if self.waiting.len() >= HOOKS_WAITING_MAX {
            // Hooks of the first are being run.
            self.waiting.remove(1);
            self.left_out += 1;
        }
        self.waiting.push_back(waiting);
    }

    /// The hook that says whether the node may work by itself is run next.
    pub(super) fn ask(&mut self) {
        self.asks = true;
    }

    /// Whether the hook that has ended is that one; the end is told to who asked, not to [`Hooks::ended`].
    pub(super) fn has_answered(&mut self) -> bool {
        self.running.take_if(|name| *name == PERMIT).is_some()
    }

    /// The next hook to be run, if none is.
    pub(super) fn next(&mut self, directory: &str) -> Option<HookRun> {
        if self.running.is_some() {
            return None;
        }
        if std::mem::take(&mut self.asks) {
            self.running = Some(PERMIT);
            let body = format!("{{\"event\":\"{PERMIT}\"}}");
            return Some(HookRun { directory: directory.to_owned(), name: PERMIT, event: PERMIT, body });
        }
        let first = self.waiting.front()?;
        if self.names.is_empty() {
            self.names.extend([first.kind.word(), ANY]);
        }
        let name = self.names.pop_front()?;
        self.running = Some(name);
        let (directory, body) = (directory.to_owned(), first.body.clone());
        Some(HookRun { directory, name, event: first.kind.word(), body })
    }

    /// The hook that was run has ended.
    pub(super) fn ended(&mut self, end: HookEnd) -> Option<Verdict> {
        let name = self.running.take()?;
        let call = self.waiting.front().and_then(|first| first.call);
        if self.names.is_empty() {
            self.waiting.pop_front();
        }
        if !matches!(end, HookEnd::Refused(_)) {
            self.refused.remove(name);
        }
        let (went, level) = match end {
            HookEnd::Absent => {
                return Some(Verdict { event: None, call: call.map(|call| (call, name, None, true)) })
            }
            HookEnd::Refused(why) => (format!("was not run: {why}"), Level::Warn),
            HookEnd::Ended { code: 0, line } => {
                (with_line("ended with exit code 0".into(), &line), Level::Info)
            }
            HookEnd::Ended { code, line } => {
                (with_line(format!("failed with exit code {code}"), &line), Level::Warn)
            }
            HookEnd::Killed { reason, line } => {
                (with_line(format!("was ended {reason}"), &line), Level::Warn)
            }
        };
        let is_well = level == Level::Info;
        let kind = if is_well { Kind::Other } else { Kind::HookFailed };
        let is_new = is_well || self.refused.get(name) != Some(&went);
        if went.starts_with("was not run") {
            self.refused.insert(name, went.clone());
        }
        let event = Event::new(kind, level, "hook", format!("hook {name} {went}")).about(name);
        let call = call.map(|call| (call, name, Some(went), is_well));
        Some(Verdict { event: is_new.then_some(event), call })
    }

    /// Events that were left out, once.
    pub(super) fn take_left_out(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }

    /// Whether anything still waits for this call.
    pub(super) fn is_for(&self, call: CallId) -> bool {
        self.waiting.iter().any(|waiting| waiting.call == Some(call))
    }
}

/// A sentence with what the hook said.
fn with_line(sentence: String, line: &str) -> String {
    if line.is_empty() {
        sentence
    } else {
        format!("{sentence}: {line}")
    }
}

/// The hook that is run on all events.
const ANY: &str = "any";
/// The hook that says whether the node may work by itself.
const PERMIT: &str = "permit";

#[cfg(test)]
mod tests {
    use super::*;

    /// Hooks of this event are to be run.
    fn push(hooks: &mut Hooks, kind: Kind, call: Option<u64>) {
        hooks.push(Waiting {
            kind,
            body: format!("{{\"event\":\"{}\"}}", kind.word()),
            call: call.map(CallId),
        });
    }

    #[test]
    fn one_runs_at_a_time_first_that_of_the_event_then_any() {
        let mut hooks = Hooks::default();
        push(&mut hooks, Kind::Conflict, None);
        push(&mut hooks, Kind::Note, Some(7));
        let mut order = Vec::new();
        while let Some(run) = hooks.next("hooks") {
            assert!(hooks.next("hooks").is_none(), "one at a time");
            assert!(run.body.contains(run.event));
            order.push((run.name, run.event));
            let verdict = hooks.ended(HookEnd::Absent).unwrap();
            assert!(verdict.event.is_none(), "a hook that is not there is nothing to talk about");
        }
        let expected = [("conflict", "conflict"), ("any", "conflict"), ("note", "note"), ("any", "note")];
        assert_eq!(order, expected);
        assert!(!hooks.is_for(CallId(7)));
    }

    #[test]
    fn a_question_comes_before_what_waits_and_leaves_it_as_it_is() {
        let mut hooks = Hooks::default();
        push(&mut hooks, Kind::Note, None);
        hooks.next("hooks").unwrap();
        hooks.ask();
        hooks.ask();
        assert!(hooks.next("hooks").is_none() && !hooks.has_answered(), "one at a time");
        hooks.ended(HookEnd::Absent).unwrap();
        assert_eq!(hooks.next("hooks").unwrap().name, "permit");
        assert!(hooks.has_answered());
        assert_eq!(hooks.next("hooks").unwrap().name, "any");
        assert!(!hooks.has_answered() && hooks.ended(HookEnd::Absent).is_some());
        assert!(hooks.next("hooks").is_none());
    }

    #[test]
    fn what_came_of_a_hook_is_told_and_a_refusal_once() {
        let mut hooks = Hooks::default();
        let mut end = |end: HookEnd| {
            push(&mut hooks, Kind::Note, Some(1));
            hooks.next("hooks").unwrap();
            let verdict = hooks.ended(end).unwrap();
            hooks.next("hooks").unwrap();
            hooks.ended(HookEnd::Absent).unwrap();
            let (_, name, went, is_well) = verdict.call.unwrap();
            (verdict.event, name, went.unwrap_or_default(), is_well)
        };
        let (event, name, went, is_well) = end(HookEnd::Ended { code: 0, line: String::new() });
        assert_eq!((name, went.as_str(), is_well), ("note", "ended with exit code 0", true));
        assert_eq!(event.unwrap().kind, Kind::Other);
        let (event, _, went, is_well) = end(HookEnd::Ended { code: 3, line: "no such host".into() });
        assert_eq!((went.as_str(), is_well), ("failed with exit code 3: no such host", false));
        assert_eq!(event.map(|event| (event.kind, event.level)), Some((Kind::HookFailed, Level::Warn)));
        let killed = HookEnd::Killed { reason: "after 60 s".into(), line: String::new() };
        assert!(end(killed).0.is_some());
        let refused = HookEnd::Refused("others may write to it".into());
        assert!(end(refused.clone()).0.is_some());
        assert!(end(refused.clone()).0.is_none(), "once for a reason");
        assert!(end(HookEnd::Absent).0.is_none());
        assert!(end(refused).0.is_some(), "and again after it was put right");
    }

    #[test]
    fn of_too_many_events_the_oldest_are_left_out_but_for_that_which_runs() {
        let mut hooks = Hooks::default();
        push(&mut hooks, Kind::Conflict, None);
        assert_eq!(hooks.next("hooks").unwrap().name, "conflict");
        for _ in 0..HOOKS_WAITING_MAX + 9 {
            push(&mut hooks, Kind::Note, None);
        }
        assert_eq!((hooks.waiting.len(), hooks.take_left_out()), (HOOKS_WAITING_MAX, 10));
        hooks.ended(HookEnd::Absent).unwrap();
        assert_eq!(hooks.next("hooks").unwrap().event, "conflict");
    }
}
