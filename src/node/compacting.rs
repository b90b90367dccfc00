//! Giving space back: what was given up is dead bytes in segments, and the store compacts those of which half is dead.
//!
//! Owns the pace: a step of [`UPKEEP_STEP_BYTES`] at a time, with a pause after each, and none while somebody waits for the
//! disk. How it is done, and that no crash harms, is the business of `store/compact.rs`.

use super::core::{Core, Pending};
use super::ports::Output;
use crate::base::limits::{
    COLLECT_AFTER_START, COLLECT_RETRY, COMPACT_EVERY, UPKEEP_PAUSE, UPKEEP_STEP_BYTES,
};
use crate::base::units::Time;
use crate::store::service::{CompactState, Compacted, Request, StoreError};
use serde_json::{json, Value};

/// What is known of compaction.
#[derive(Debug, Default)]
pub(super) struct Compacting {
    /// When the next step is asked for; None while one is under way.
    due: Option<Time>,
    /// Chunks were given up while one was under way, which may have looked before.
    again: bool,
    /// Done since this run began.
    done: Compacted,
    /// Why the last step failed.
    failure: Option<String>,
}

impl Compacting {
    /// When the next step is asked for.
    pub(super) const fn deadline(&self) -> Option<Time> {
        self.due
    }
}

impl Core {
    /// After start.
    pub(super) fn compacting_begins(&mut self) {
        self.upkeep.compacting.due = Some(self.now.time + COLLECT_AFTER_START);
    }

    /// Of what was erased the bytes shall go, too: the segments that it was in are rewritten, however little of them is dead.
    pub(super) fn compact_erased(&mut self) {
        self.outputs.push_back(Output::Store(Request::Hasten));
    }

    /// Chunks were given up: look whether that leaves segments half dead.
    pub(super) fn compact_soon(&mut self) {
        match &mut self.upkeep.compacting.due {
            Some(due) => *due = self.now.time,
            None => self.upkeep.compacting.again = true,
        }
    }

    /// Asks for a step that is due.
    pub(super) fn compacting_timeout(&mut self) {
        let now = self.now.time;
        if self.upkeep.compacting.due.is_none_or(|due| due > now) {
            return;
        }
        if !self.is_disk_idle() {
            self.upkeep.compacting.due = Some(now + UPKEEP_PAUSE.times(10));
            return;
        }
        self.upkeep.compacting.due = None;
        // Of dropped chunks none is held: whoever needed one since has put it anew (node/marking.rs).
        self.ask_store(Pending::Compact, |op| Request::Compact {
            op,
            bytes: UPKEEP_STEP_BYTES,
            keep: Vec::new(),
        });
    }

    /// A step was done, or failed.
    pub(super) fn compacted(&mut self, result: Result<Compacted, StoreError>) {
        let now = self.now.time;
        let step = match result {
            Ok(step) => step,
            Err(error) => {
                self.upkeep.compacting.failure = Some(error.to_string());
                self.upkeep.compacting.due = Some(now + COLLECT_RETRY);
                return;
            }
        };
        let compacting = &mut self.upkeep.compacting;
        compacting.failure = None;
        compacting.done.copied_bytes += step.copied_bytes;
        compacting.done.removed_segments += step.removed_segments;
        compacting.done.freed_bytes += step.freed_bytes;
        let again = std::mem::take(&mut compacting.again);
        let pause = if step.state == CompactState::Idle && !again { COMPACT_EVERY } else { UPKEEP_PAUSE };
        compacting.due = Some(now + pause);
        self.heal(&step.damaged);
    }

    /// For `status`.
    pub(super) fn compacting_status(&self) -> Value {
        let Compacting { done, failure, .. } = &self.upkeep.compacting;
        json!({
            "copied_bytes": done.copied_bytes, "removed_segments": done.removed_segments,
            "freed_bytes": done.freed_bytes, "failure": failure,
        })
    }
}
