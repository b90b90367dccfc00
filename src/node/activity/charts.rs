//! Charts: how much this node sent, received, stored and saved, in small steps for a day and larger ones for a month.
//!
//! Owns these sums, how they outlive a restart, and what a clock that jumps does to them: steps are counted in this run's own time, so
//! that a jump moves nothing that was measured. Where the clock runs ahead of that time - the node was off, or asleep, or its clock was
//! wrong before - so many steps are unknown in between; where it goes back, such steps are taken away again. Bounded, whatever happens.
//!
//! Bytes are of four kinds: datagrams sent and received (to and from whomever), sealed bytes that the store did not have, and what of
//! the content that was read for backups needed not be stored, for it compresses or was there already.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use series::{SavedSeries, Series};

use crate::base::limits::{
    CHART_DAY_STEP, CHART_DAY_STEPS, CHART_JUMP_MIN, CHART_MONTH_STEP, CHART_MONTH_STEPS, CHART_SAVE_EVERY,
    CHART_UNSAVED_MAX, PUT_BYTES_MAX,
};
use crate::base::units::{Moment, Span, Time, WallTime};
use crate::node::after::AfterSave;
use crate::node::bandwidth::CLOCK_SET_MICROS;
use crate::node::collect::Settings;
use crate::node::core::Core;
use crate::node::duty::Ops;
use crate::node::ports::{CallId, Ending, Output};
use crate::node::pushing::PUSH_DUTY;
use crate::store::service::{Reply, Request};

mod series;

/// What is saved.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    /// What the clock showed, in microseconds since 1970; 0 if it was never set.
    wall_us: i64,
    /// The day, and the month.
    series: [SavedSeries; 2],
}

/// The charts of a node.
#[derive(Debug)]
pub struct Charts {
    /// The day, and the month.
    series: [Series; 2],
    /// Whether what was saved has been read.
    begun: bool,
    /// What the clock showed at which time of this run, or of the run before.
    clock: Option<(Time, WallTime)>,
    /// Sealed bytes that the store did not have, in this run.
    stored: u64,
    /// Those of them that were made here.
    stored_own: u64,
    /// What was counted when it was last looked: sent, received, stored, content read, stored of it.
    counted: [u64; 5],
    /// Bytes that were stored of content that was counted as saved before: on their way then.
    owed: u64,
    /// Bytes of all kinds that are not saved yet.
    unsaved: u64,
    /// When they were saved last.
    saved: Time,
}

impl Default for Charts {
    fn default() -> Self {
        let day = Series::new(CHART_DAY_STEP, CHART_DAY_STEPS);
        let month = Series::new(CHART_MONTH_STEP, CHART_MONTH_STEPS);
        Self {
            series: [day, month],
            begun: false,
            clock: None,
            stored: 0,
            stored_own: 0,
            counted: [0; 5],
            owed: 0,
            unsaved: 0,
            saved: Time::ZERO,
        }
    }
}

impl Charts {
    /// When a step is over.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.begun.then(|| self.series.iter().map(|series| series.ends).min()).flatten()
    }

    /// Goes on with what was saved, if anything was.
    fn begin(&mut self, now: Moment, saved: Option<Saved>) {
        self.begun = true;
        self.saved = now.time;
        let is_set = |wall: &WallTime| wall.as_micros() >= CLOCK_SET_MICROS;
        self.clock = Some((now.time, now.wall)).filter(|(_, wall)| is_set(wall));
        let Some(saved) = saved else {
            for series in &mut self.series {
                series.ends = now.time + series.step;
            }
            return;
        };
        for (series, saved) in self.series.iter_mut().zip(saved.series) {
            series.load(now.time, saved);
        }
        let before = WallTime::from_micros(saved.wall_us);
        if is_set(&before) && now.wall < before && self.clock.is_some() {
            return;
        }
        // A clock that is not set yet tells later how long the node was off.
        self.clock = Some((now.time, before)).filter(|(_, wall)| is_set(wall)).or(self.clock);
        self.follow_clock(now, Span::ZERO);
    }

    /// Compares the clock with the time of this run; differences from `jump` on count.
    fn follow_clock(&mut self, now: Moment, jump: Span) {
        if now.wall.as_micros() < CLOCK_SET_MICROS {
            return;
        }
        let Some((time, wall)) = self.clock.replace((now.time, now.wall)) else { return };
        let passed = i64::try_from(now.time.since(time).as_micros()).unwrap_or(i64::MAX);
        let expected = wall.as_micros().saturating_add(passed);
        let span = Span::from_micros(now.wall.as_micros().abs_diff(expected));
        if span < jump {
            return;
        }
        for series in &mut self.series {
            match now.wall.as_micros() >= expected {
                true => series.skip(now.time, span),
                false => series.take_back(span),
            }
        }
    }

    /// Takes in what was counted since the last look: `sent`, `received` and `content` are sums of this run.
    fn look(&mut self, now: Moment, [sent, received, content]: [u64; 3]) {
        let sums = [sent, received, self.stored, content, self.stored_own];
        let before = std::mem::replace(&mut self.counted, sums);
        // What seals content may have begun anew, in another vault.
        let grown = |kind: usize| sums[kind].saturating_sub(before[kind]);
        let kept = grown(4).saturating_add(self.owed);
        self.owed = kept.saturating_sub(grown(3)).min(PUT_BYTES_MAX);
        let fresh = [grown(0), grown(1), grown(2), grown(3).saturating_sub(kept)];
        for bytes in fresh {
            self.unsaved = self.unsaved.saturating_add(bytes);
        }
        for series in &mut self.series {
            for (sum, bytes) in series.current.iter_mut().zip(fresh) {
                *sum = sum.saturating_add(bytes);
            }
            series.pass(now.time);
        }
        self.follow_clock(now, CHART_JUMP_MIN);
    }

    /// As it is saved: a byte for the version, then postcard.
    fn encode(&self, now: Moment) -> Option<Vec<u8>> {
        let is_set = now.wall.as_micros() >= CLOCK_SET_MICROS;
        let passed = |(time, wall): (Time, WallTime)| {
            let passed = i64::try_from(now.time.since(time).as_micros()).unwrap_or(0);
            wall.as_micros().saturating_add(passed)
        };
        let wall_us = if is_set { now.wall.as_micros() } else { self.clock.map_or(0, passed) };
        let [day, month] = &self.series;
        let saved = Saved { wall_us, series: [day.save(now.time), month.save(now.time)] };
        postcard::to_extend(&saved, vec![VERSION]).ok()
    }
}

/// Reads what was saved. Total: what cannot be read is nothing.
fn decode(bytes: &[u8]) -> Option<Saved> {
    let (version, body) = bytes.split_first()?;
    let (saved, rest) = postcard::take_from_bytes(body).ok()?;
    (*version == VERSION && rest.is_empty()).then_some(saved)
}

impl Core {
    /// The state is loaded.
    pub(in crate::node) fn charts_begin(&mut self, settings: &BTreeMap<String, Vec<u8>>) {
        let saved = settings.get(CHARTS_KEY).and_then(|bytes| decode(bytes));
        self.activity.charts.begin(self.now, saved);
        self.activity.begin(self.now.wall);
    }

    /// Takes in what was counted.
    fn charts_look(&mut self) {
        let counters = self.endpoint.counters();
        let sealer = self.member.as_ref().and_then(|member| member.sealer.as_ref());
        let content = sealer.map_or(0, crate::seal::sealed::Sealer::content_bytes);
        self.activity.charts.look(self.now, [counters.sent_bytes, counters.received_bytes, content]);
    }

    /// A step may be over.
    pub(in crate::node) fn charts_timeout(&mut self) {
        if self.activity.charts.deadline().is_none_or(|due| due > self.now.time) {
            return;
        }
        self.charts_look();
        let charts = &self.activity.charts;
        let is_due = self.now.time.since(charts.saved) >= CHART_SAVE_EVERY;
        // An idle node writes nothing; what it says to others meanwhile rides along with what is written anyway, or is lost with the power.
        if is_due && charts.unsaved >= CHART_UNSAVED_MAX && self.member.is_some() {
            self.save(Settings::new(), AfterSave::Nothing);
        }
    }

    /// Adds the charts to what is written anyway, now and then.
    pub(in crate::node) fn charts_ride_along(&mut self, settings: &mut Settings) {
        let charts = &mut self.activity.charts;
        if charts.begun && charts.unsaved > 0 && self.now.time.since(charts.saved) >= CHART_SAVE_EVERY {
            settings.extend(charts.setting(self.now));
        }
    }

    /// The node is about to stop: what would be forgotten is written first, and peers are told.
    pub(in crate::node) fn stops(&mut self) {
        self.charts_look();
        let charts = &mut self.activity.charts;
        if charts.begun && charts.unsaved > 0 && self.member.is_some() {
            let settings = charts.setting(self.now).into_iter().collect();
            let op = self.ops.draw();
            self.outputs.push_front(Output::Store(Request::Save { op, settings }));
        }
        self.endpoint.farewell(self.now.time);
    }

    /// The storage thread answered a put of whomever.
    pub(in crate::node) fn put_replied(&mut self, reply: &Reply) {
        let Reply::Put { op, bytes, result, .. } = reply else { return };
        match result {
            Ok(_) => {
                let charts = &mut self.activity.charts;
                charts.stored = charts.stored.saturating_add(u64::from(*bytes));
                if Ops::duty(*op) > PUSH_DUTY {
                    charts.stored_own = charts.stored_own.saturating_add(u64::from(*bytes));
                }
            }
            Err(error) => {
                self.put_failed(&error.to_string());
                self.heal_again_if_healing();
            }
        }
        self.push_synced(reply);
    }

    /// `charts`.
    pub(in crate::node) fn call_charts(&mut self, id: CallId) {
        self.charts_look();
        let [day, month] = &self.activity.charts.series;
        let value = json!({"day": day.json(self.now), "month": month.json(self.now)});
        self.json(id, value);
        self.end_call(id, Ok(Ending::Complete));
    }
}

impl Charts {
    /// What is to be saved; it counts as saved from now on.
    fn setting(&mut self, now: Moment) -> Option<(String, Option<Vec<u8>>)> {
        let bytes = self.encode(now)?;
        (self.unsaved, self.saved) = (0, now.time);
        Some((CHARTS_KEY.to_owned(), Some(bytes)))
    }
}

/// The setting that remembers the charts.
const CHARTS_KEY: &str = "charts";
/// The first byte of it.
const VERSION: u8 = 1;

#[cfg(test)]
mod tests;
