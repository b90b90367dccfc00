//! Steps of one length: their sums, the one that goes on, and what is unknown between them. Read `node/activity/charts.rs` first.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use serde_json::{json, Value};

use crate::base::units::{Moment, Span, Time, WallTime};
use crate::node::bandwidth::CLOCK_SET_MICROS;

/// Bytes by kind, in the order of [`KINDS`].
pub(super) type Bytes = [u64; 4];

/// The kinds, as they are called in an answer.
const KINDS: [&str; 4] = ["sent_bytes", "received_bytes", "stored_bytes", "saved_bytes"];

/// What lies behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Past {
    /// One step.
    Bytes(Bytes),
    /// So many steps of which nothing is known.
    Unknown(u64),
}

/// Steps of one length.
#[derive(Debug)]
pub(super) struct Series {
    /// How long each is.
    pub(super) step: Span,
    /// How many are shown.
    pub(super) steps_max: usize,
    /// Those that are over, oldest first; at most as many.
    pub(super) past: VecDeque<Past>,
    /// The one that goes on.
    pub(super) current: Bytes,
    /// When it is over.
    pub(super) ends: Time,
}

/// A series as it is saved.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedSeries {
    /// How much of the step that goes on has passed, in microseconds.
    pub(super) passed_us: u64,
    /// What it has so far.
    pub(super) current: Bytes,
    /// The ones before.
    pub(super) past: Vec<Past>,
}

impl Series {
    /// One that begins.
    pub(super) const fn new(step: Span, steps_max: usize) -> Self {
        Self { step, steps_max, past: VecDeque::new(), current: [0; 4], ends: Time::ZERO }
    }

    /// Puts something behind all that is over.
    fn push(&mut self, past: Past) {
        if let (Some(Past::Unknown(before)), Past::Unknown(more)) = (self.past.back_mut(), past) {
            *before = before.saturating_add(more);
            return;
        }
        self.past.push_back(past);
        if self.past.len() >= self.steps_max {
            self.past.pop_front();
        }
    }

    /// The step that goes on is over.
    fn close(&mut self) {
        let bytes = std::mem::take(&mut self.current);
        self.push(Past::Bytes(bytes));
    }

    /// Time has passed.
    pub(super) fn pass(&mut self, now: Time) {
        if self.ends > now {
            return;
        }
        self.close();
        let late = now.since(self.ends);
        let missed = late.as_micros() / self.step.as_micros();
        if missed > 0 {
            self.push(Past::Unknown(missed));
        }
        self.ends = self.ends + self.step.times(missed + 1);
    }

    /// So much time has passed of which this run knows nothing.
    pub(super) fn skip(&mut self, now: Time, span: Span) {
        let left = self.ends.since(now);
        if span < left {
            self.ends = self.ends - span;
            return;
        }
        self.close();
        let rest = (span - left).as_micros();
        let steps = rest / self.step.as_micros();
        if steps > 0 {
            self.push(Past::Unknown(steps));
        }
        self.ends = now + (self.step - Span::from_micros(rest % self.step.as_micros()));
    }

    /// So much time has not passed, though it was thought that it had: of what is unknown so much goes.
    pub(super) fn take_back(&mut self, span: Span) {
        let mut steps = (span + self.step.part(2)).as_micros() / self.step.as_micros();
        let unknown = self.past.iter_mut().rev().filter_map(|past| match past {
            Past::Unknown(count) => Some(count),
            Past::Bytes(_) => None,
        });
        for count in unknown {
            let taken = steps.min(*count);
            (*count, steps) = (*count - taken, steps - taken);
        }
        self.past.retain(|past| *past != Past::Unknown(0));
    }

    /// As many steps as are shown, oldest first.
    pub(super) fn shown(&self) -> Vec<Option<Bytes>> {
        let mut shown = vec![Some(self.current)];
        for past in self.past.iter().rev() {
            let room = self.steps_max - shown.len();
            match past {
                Past::Bytes(bytes) => shown.extend(Some(Some(*bytes)).into_iter().take(room)),
                Past::Unknown(count) => {
                    let count = usize::try_from(*count).unwrap_or(usize::MAX).min(room);
                    shown.resize(shown.len() + count, None);
                }
            }
        }
        shown.resize(self.steps_max, None);
        shown.reverse();
        shown
    }

    /// As an answer: the numbers of each kind in a list.
    pub(super) fn json(&self, now: Moment) -> Value {
        let left = i64::try_from(self.ends.since(now.time).as_micros()).unwrap_or(0);
        let end = WallTime::from_micros(now.wall.as_micros().saturating_add(left));
        let is_set = now.wall.as_micros() >= CLOCK_SET_MICROS;
        let shown = self.shown();
        let mut value = json!({"step_us": self.step.as_micros(), "end": is_set.then(|| end.to_string())});
        for (kind, name) in KINDS.iter().enumerate() {
            let numbers = shown.iter().map(|bytes| json!(bytes.map(|bytes| bytes[kind])));
            value[*name] = Value::Array(numbers.collect());
        }
        value
    }

    /// As it is saved.
    pub(super) fn save(&self, now: Time) -> SavedSeries {
        let passed_us = (self.step - self.ends.since(now)).as_micros();
        SavedSeries { passed_us, current: self.current, past: self.past.iter().copied().collect() }
    }

    /// Goes on with what was saved.
    pub(super) fn load(&mut self, now: Time, saved: SavedSeries) {
        let passed = saved.passed_us.min(self.step.as_micros() - 1);
        self.ends = now + (self.step - Span::from_micros(passed));
        self.current = saved.current;
        let surplus = saved.past.len().saturating_sub(self.steps_max - 1);
        self.past = saved.past.into_iter().skip(surplus).collect();
    }
}
