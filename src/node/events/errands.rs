//! Errands: what somebody outside of the core is asked to do when something happens, and what comes of it. Read
//! `node/events/gate.rs` for how often, `hooks.rs` and `alerts.rs` for what.
//!
//! ```text
//!   raise --> gate --> hooks  (any event but "other" as it should be)   --> Errand::Hook --> ErrandEnd::Hook
//!                \---> alerts (what a person should look at, or worse)  --> Errand::Post --> ErrandEnd::Post
//! ```
//! So that nothing turns in a circle: that a hook failed runs no hook, and that an alert failed does neither.

use serde_json::json;

use super::alerts::{Alert, Alerts, Post, PostEnd};
use super::gate::{Gate, Leaving};
use super::hooks::{HookEnd, HookRun, Hooks, Waiting};
use super::notes::Notes;
use super::{Event, Kind};
use crate::base::units::{Time, WallTime};
use crate::node::activity::Level;
use crate::node::api::ApiError;
use crate::node::core::Core;
use crate::node::names;
use crate::node::ports::{CallId, Ending, Output};

/// Something that is to be done outside; of each kind one is under way at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// Run an executable.
    Hook(HookRun),
    /// Send a request.
    Post(Post),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrandEnd {
    /// Of [`Errand::Hook`].
    Hook(HookEnd),
    /// Of [`Errand::Post`].
    Post(PostEnd),
}

/// What goes out of the node when something happens.
#[derive(Debug, Default)]
pub(in crate::node) struct Outward {
    /// What people said.
    pub(super) notes: Notes,
    /// How often.
    gate: Gate,
    /// Executables.
    hooks: Hooks,
    /// Requests.
    alerts: Alerts,
    /// A call that tries them out: who, and whether all went well and anything was done so far.
    trial: Option<Trial>,
}

/// A call that tries hooks and alerts out.
#[derive(Debug, Clone, Copy)]
struct Trial {
    /// Who waits.
    call: CallId,
    /// There was a hook or an address.
    is_any: bool,
    /// Something went wrong.
    is_bad: bool,
}

impl Outward {
    /// When to look again.
    #[must_use]
    pub(in crate::node) fn deadline(&self) -> Option<Time> {
        self.gate.deadline().into_iter().chain(self.alerts.deadline()).min()
    }
}

impl Core {
    /// An event was noted: hooks and alerts of it, now or a little later.
    pub(super) fn goes_out(&mut self, wall: WallTime, event: &Event) {
        let is_for_hooks = runs_hooks(event);
        if !is_for_hooks && !is_alert(event) {
            return;
        }
        if let Some(leaving) = self.outward.gate.pass(self.now.time, wall, event.clone()) {
            self.leave(leaving, None);
        }
        self.run_errands();
    }

    /// An event leaves the node.
    fn leave(&mut self, leaving: Leaving, call: Option<CallId>) {
        let device = self.own_name();
        let mut body = leaving.event.json_at(leaving.wall);
        body["device"] = json!(device);
        if leaving.times > 1 {
            body["times"] = json!(leaving.times);
        }
        if call.is_some() {
            body["test"] = json!(true);
        }
        let body = body.to_string();
        if call.is_some() || runs_hooks(&leaving.event) {
            self.outward.hooks.push(Waiting { kind: leaving.event.kind, body: body.clone(), call });
        }
        let is_sent = self.setup.config.alerts.is_some() && (call.is_some() || is_alert(&leaving.event));
        if is_sent {
            self.outward.alerts.push(Alert::new(leaving, body, device, call));
        }
    }

    /// Asks for the next errands, if there is something to be done.
    fn run_errands(&mut self) {
        if let Some(run) = self.outward.hooks.next(&self.setup.config.hooks) {
            self.outputs.push_back(Output::Errand(Errand::Hook(run)));
        }
        match &self.setup.config.alerts {
            Some(to) => {
                let format = self.setup.config.alerts_format;
                if let Some(post) = self.outward.alerts.next(self.now.time, to, format) {
                    self.outputs.push_back(Output::Errand(Errand::Post(post)));
                }
            }
            None if !self.outward.alerts.forget().is_empty() => self.end_trial(),
            None => {}
        }
    }

    /// The hook that says whether this node may work by itself is to be asked.
    pub(in crate::node) fn ask_permit(&mut self) {
        self.outward.hooks.ask();
        self.run_errands();
    }

    /// What has waited long enough goes out.
    pub(in crate::node) fn outward_timeout(&mut self) {
        if self.outward.deadline().is_none_or(|due| due > self.now.time) {
            return;
        }
        for leaving in self.outward.gate.due(self.now.time) {
            self.leave(leaving, None);
        }
        self.run_errands();
    }

    /// An errand has ended.
    pub(in crate::node) fn errand_ended(&mut self, end: ErrandEnd) {
        match end {
            ErrandEnd::Hook(end) if self.outward.hooks.has_answered() => self.permit_answered(end),
            ErrandEnd::Hook(end) => {
                let Some(verdict) = self.outward.hooks.ended(end) else { return };
                if let Some((call, name, went, is_well)) = verdict.call {
                    let went_or_not = went.as_deref().unwrap_or("there is none");
                    let line = json!({"hook": name, "is_there": went.is_some(), "result": went_or_not, "done": is_well});
                    self.tried(call, line, went.is_some(), is_well);
                }
                verdict.event.into_iter().for_each(|event| self.raise(event));
            }
            ErrandEnd::Post(end) => {
                let Some(verdict) = self.outward.alerts.ended(self.now.time, end) else { return };
                if let Some((call, wrong)) = verdict.call {
                    let to = self.setup.config.alerts.as_ref().map(|to| to.authority());
                    let line = json!({"alert": to, "result": wrong.as_deref().unwrap_or("delivered"), "done": wrong.is_none()});
                    self.tried(call, line, true, wrong.is_none());
                }
                verdict.event.into_iter().for_each(|event| self.raise(event));
            }
        }
        self.say_left_out();
        self.run_errands();
        self.end_trial();
    }

    /// Says what found no room in a queue.
    fn say_left_out(&mut self) {
        let hooks = self.outward.hooks.take_left_out();
        if hooks > 0 {
            let message = format!("{hooks} events ran no hooks, for too many were waiting");
            self.raise(Event::new(Kind::HookFailed, Level::Warn, "hook", message));
        }
        let alerts = self.outward.alerts.take_left_out();
        if alerts > 0 {
            let message = format!("{alerts} alerts were not delivered, for too many were waiting");
            self.raise(Event::new(Kind::AlertFailed, Level::Warn, "alert", message));
        }
    }

    /// `test-alert`: runs hooks and posts an alert as if something had happened.
    pub(in crate::node) fn call_test_alert(&mut self, call: CallId, word: Option<&str>) {
        let word = word.unwrap_or(Kind::Test.word());
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.word() == word) else {
            let near = names::nearest(word, Kind::ALL.iter().map(|kind| kind.word()));
            let hint = "docs/EVENTS.md lists all events";
            return self.end_call(
                call,
                Err(ApiError::new("no_event", format!("there is no event '{word}'{near}"), hint)),
            );
        };
        if self.outward.trial.is_some() {
            let error =
                ApiError::new("busy", "hooks and alerts are being tried out already", "wait for its end");
            return self.end_call(call, Err(error));
        }
        let message = format!("this is a test of hooks and alerts by nuthatch on {}", self.own_name());
        let event = Event::new(kind, Level::Warn, "test", message);
        self.outward.trial = Some(Trial { call, is_any: false, is_bad: false });
        self.leave(Leaving { wall: self.now.wall, event, times: 1 }, Some(call));
        self.run_errands();
    }

    /// A part of a trial has ended.
    fn tried(&mut self, call: CallId, line: serde_json::Value, is_there: bool, is_well: bool) {
        let Some(trial) = self.outward.trial.as_mut().filter(|trial| trial.call == call) else { return };
        trial.is_any |= is_there;
        trial.is_bad |= !is_well;
        self.json(call, line);
    }

    /// Ends a trial of which nothing is under way any more.
    fn end_trial(&mut self) {
        let Some(trial) = self.outward.trial else { return };
        if self.outward.hooks.is_for(trial.call) || self.outward.alerts.is_for(trial.call) {
            return;
        }
        self.outward.trial = None;
        let result = match trial {
            Trial { is_any: false, .. } => {
                let directory = &self.setup.config.hooks;
                let message = format!(
                    "there is no hook of this name in hooks.dir ({directory}), none called any, and alerts.url is off"
                );
                let hint = "put an executable there, or `nuthatch config set alerts.url http://...`; docs/GUIDE.md shows both";
                Err(ApiError::new("nothing_set_up", message, hint))
            }
            Trial { is_bad: true, .. } => {
                let hint = "correct what is said above, and try again";
                Err(ApiError::new("alert_failed", "not everything worked", hint))
            }
            _ => Ok(Ending::Complete),
        };
        self.end_call(trial.call, result);
    }
}

/// Whether hooks are run.
fn runs_hooks(event: &Event) -> bool {
    match event.kind {
        Kind::HookFailed | Kind::AlertFailed => false,
        Kind::Other => event.level > Level::Info,
        _ => true,
    }
}

/// Whether it is worth an alert.
fn is_alert(event: &Event) -> bool {
    event.kind != Kind::AlertFailed && event.level > Level::Info
}
