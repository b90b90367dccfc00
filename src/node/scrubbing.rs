//! The scrub: everything that is stored is read again within `scrub.days`, so that rot is found while others can heal it.
//!
//! Owns the pace: a step at a time, spread over the days by how many segments there are, and none while somebody waits for
//! the disk. What is found damaged is fetched anew from whoever has it. Where the scrub stands the store remembers.

use std::collections::BTreeMap;

use serde_json::{json, Value};

use super::activity::Level;
use super::after::AfterSave;
use super::core::{Core, Pending};
use super::ports::CallId;
use crate::base::limits::{
    COLLECT_AFTER_START, COLLECT_RETRY, SEGMENT_BYTES_MAX, UPKEEP_PAUSE, UPKEEP_STEP_BYTES,
};
use crate::base::units::{Span, Time, WallTime};
use crate::store::service::{Request, Scrubbed, StoreError};

/// What is known of the scrub.
#[derive(Debug, Default)]
pub(super) struct Scrubbing {
    /// When the next step is asked for; None while one is under way.
    due: Option<Time>,
    /// Read and found since this run, or the scrub, began.
    found: Scrubbed,
    /// Chunks found damaged by then.
    damaged: u64,
    /// When all had been read last, by this node's clock, and how many chunks were damaged.
    last: Option<(WallTime, u64)>,
    /// Why the last step failed.
    failure: Option<String>,
}

impl Scrubbing {
    /// When the next step is asked for.
    pub(super) const fn deadline(&self) -> Option<Time> {
        self.due
    }
}

impl Core {
    /// After start.
    pub(super) fn scrubbing_begins(&mut self, settings: &BTreeMap<String, Vec<u8>>) {
        self.upkeep.scrubbing.due = Some(self.now.time + COLLECT_AFTER_START);
        let saved = settings.get(LAST_KEY).and_then(|bytes| postcard::take_from_bytes(bytes).ok());
        self.upkeep.scrubbing.last = saved.map(|(last, _)| last);
    }

    /// Asks for a step that is due.
    pub(super) fn scrubbing_timeout(&mut self) {
        let now = self.now.time;
        if self.upkeep.scrubbing.due.is_none_or(|due| due > now) {
            return;
        }
        if !self.is_disk_idle() {
            self.upkeep.scrubbing.due = Some(now + UPKEEP_PAUSE.times(10));
            return;
        }
        self.upkeep.scrubbing.due = None;
        self.ask_store(Pending::Scrub, |op| Request::Scrub { op, bytes: UPKEEP_STEP_BYTES });
    }

    /// A step was done, or failed.
    pub(super) fn scrubbed(&mut self, result: Result<Scrubbed, StoreError>) {
        let (now, wall) = (self.now.time, self.now.wall);
        let step = match result {
            Ok(step) => step,
            Err(error) => {
                self.upkeep.scrubbing.failure = Some(error.to_string());
                self.upkeep.scrubbing.due = Some(now + COLLECT_RETRY);
                return;
            }
        };
        let days = Span::from_secs(86_400).times(self.setup.config.scrub_days);
        let steps = step.segments.max(1).saturating_mul(SEGMENT_BYTES_MAX / UPKEEP_STEP_BYTES);
        let scrubbing = &mut self.upkeep.scrubbing;
        scrubbing.due = Some(now + days.part(steps).max(UPKEEP_PAUSE));
        scrubbing.failure = None;
        scrubbing.damaged += u64::try_from(step.damaged.len()).unwrap_or(u64::MAX);
        scrubbing.found.bytes += step.bytes;
        scrubbing.found.chunks += step.chunks;
        scrubbing.found.places += step.places;
        (scrubbing.found.segments, scrubbing.found.segments_left) = (step.segments, step.segments_left);
        if step.finished {
            let (damaged, before) = (std::mem::take(&mut scrubbing.damaged), scrubbing.last);
            scrubbing.found = Scrubbed { segments: step.segments, ..Scrubbed::default() };
            scrubbing.last = Some((wall, damaged));
            // A small store is read in less than its time; that is not worth a write each time.
            let micros = i64::try_from(days.part(2).as_micros()).unwrap_or(i64::MAX);
            let is_new =
                before.is_none_or(|(last, _)| wall.as_micros().saturating_sub(last.as_micros()) >= micros);
            if is_new || damaged > 0 {
                let message = format!("everything stored here was read again; {damaged} chunks were damaged");
                self.note(Level::Info, "store", message);
                let value = postcard::to_stdvec(&(wall, damaged)).ok();
                self.save(vec![(LAST_KEY.to_owned(), value)], AfterSave::Nothing);
            }
        }
        self.heal(&step.damaged);
    }

    /// For `verify`: a line about what is read again without being asked.
    pub(super) fn tell_scrub(&mut self, call: CallId) {
        let mut line = self.scrub_status();
        line["event"] = json!("scrub");
        self.json(call, line);
    }

    /// For `status`.
    pub(super) fn scrub_status(&self) -> Value {
        let Scrubbing { found, damaged, last, failure, .. } = &self.upkeep.scrubbing;
        json!({
            "days": self.setup.config.scrub_days, "segments": found.segments, "segments_left": found.segments_left,
            "read_bytes": found.bytes, "chunks": found.chunks, "damaged": damaged, "damaged_places": found.places,
            "last": last.map(|(wall, damaged)| json!({"ended": wall.to_string(), "damaged": damaged})),
            "failure": failure,
        })
    }
}

/// Under which name the end of the last scrub is kept.
const LAST_KEY: &str = "scrub:last";
