//! A node whose disk did not take an entry of a feed starts anew once the disk takes something again.
//!
//! What the view believes and the disk does not have cannot be made up for in place: what hung on it was told that it failed, and what
//! follows in that feed must not be written. A start reads what is on the disk, and the rest comes from others, as after any crash.

use super::super::activity::Level;
use super::super::after::AfterSave;
use super::super::core::Core;
use super::super::duties::Duty;
use super::super::ports::Output;
use crate::base::limits::{AFRESH_EVERY, AFRESH_PUT_OFF_MAX};
use crate::base::units::Time;

/// When the disk is tried again.
#[derive(Debug, Default)]
pub struct Afresh {
    /// When to try it.
    due: Option<Time>,
    /// How often a start was put off for what it would cut off.
    put_off: u32,
}

impl Afresh {
    /// When to try the disk.
    pub(super) const fn deadline(&self) -> Option<Time> {
        self.due
    }
}

impl Core {
    /// The disk did not take an entry.
    pub(in crate::node) fn afresh_later(&mut self) {
        let afresh = &mut self.upkeep.afresh;
        afresh.due = afresh.due.or(Some(self.now.time + AFRESH_EVERY));
    }

    /// Tries whether the disk takes something: what a node writes anyway, its running time.
    pub(super) fn afresh_timeout(&mut self) {
        let afresh = &mut self.upkeep.afresh;
        if afresh.due.is_none_or(|due| due > self.now.time) {
            return;
        }
        afresh.due = Some(self.now.time + AFRESH_EVERY);
        self.save(Vec::new(), AfterSave::Afresh);
    }

    /// It took it: this node starts anew, as soon as nothing is at work that a start would cut off, or has been so for long enough.
    pub(in crate::node) fn afresh_possible(&mut self) {
        let is_stopped = self.member.as_ref().is_some_and(|member| member.stopped);
        let waits = |duty: &Duty| match duty {
            Duty::Restore(..) | Duty::Upload(..) | Duty::Verify(_, Some(_)) => true,
            // What they come to cannot be written where an own entry was refused.
            Duty::Backup(..) | Duty::Merge(..) => !is_stopped,
            _ => false,
        };
        if self.upkeep.afresh.put_off < AFRESH_PUT_OFF_MAX && self.duties.values().any(waits) {
            self.upkeep.afresh.put_off += 1;
            return;
        }
        self.note(Level::Warn, "store", "the disk takes what is written again: this node starts anew");
        self.outputs.push_back(Output::Restart);
    }
}
