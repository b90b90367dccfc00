//! The compare pass of a backup: is the folder as the last snapshot has it?
//!
//! By stat only: nothing is opened, read or sealed. It ends at the first difference, for which the build pass walks
//! again from the start. Read `node/join.rs` first.

use super::join::{is_unchanged, Join, Joined};
use super::outcome::Report;
use super::ports::FileError;
use super::sink::Sink;
use super::writer::count;
use crate::base::limits::STEPS_PER_TURN_MAX;
use crate::feed::entry::Counts;
use crate::file::entry::Entry;

/// What a step found.
#[derive(Debug)]
pub(super) enum Compared {
    /// It waits for an answer.
    Wait,
    /// All the same so far; there is more.
    Worked,
    /// All the same to the end.
    Same,
    /// Something differs.
    Different,
    /// The parent's tree cannot be read.
    OldLost,
    /// The root cannot be listed.
    RootFailed(FileError),
}

/// The compare pass.
#[derive(Debug)]
pub(super) struct Compare {
    /// What is here, merged with what the parent has.
    pub(super) join: Join,
    /// What was counted.
    pub(super) counts: Counts,
    /// What a person should hear of.
    pub(super) report: Report,
    /// Changes later than this may hide behind an equal stat, in nanoseconds since 1970.
    trusted_ns: i64,
}

impl Compare {
    /// A compare pass that has not begun.
    pub(super) fn new(mut join: Join, trusted_ns: i64) -> Self {
        join.walker().look_ahead();
        Self { join, counts: Counts::default(), report: Report::default(), trusted_ns }
    }

    /// Compares a turn's worth of entries.
    pub(super) fn step(&mut self, sink: &mut Sink) -> Compared {
        for step in 0..STEPS_PER_TURN_MAX {
            let joined = self.join.next(&mut sink.ops, &mut sink.asks, &mut self.report);
            if let Joined::Both(_, old) | Joined::Kept(old) | Joined::Gone(old) = &joined {
                self.report.owed += u64::from(old.is_owed());
            }
            let same = match joined {
                Joined::Both(new, old) => {
                    let is_same = |entry: &Entry| {
                        is_unchanged(&new.found, entry, old.trusted(self.trusted_ns))
                            || old.is_same_directory(&new.found)
                    };
                    old.entry().filter(is_same)
                }
                Joined::Kept(old) => old.entry(),
                // It was never here.
                Joined::Gone(old) if old.is_pending() => continue,
                Joined::New(_) | Joined::Gone(_) => None,
                Joined::Wait if step > 0 => return Compared::Worked,
                Joined::Wait => return Compared::Wait,
                Joined::End => {
                    self.join.walker().tell(&mut self.report);
                    return Compared::Same;
                }
                Joined::OldLost => return Compared::OldLost,
                Joined::Failed(error) => return Compared::RootFailed(error),
            };
            match same {
                Some(entry) => count(&mut self.counts, entry.kind, &entry.stat),
                None => return Compared::Different,
            }
        }
        Compared::Worked
    }
}
