//! Which files of a folder somebody is still writing, as far as the system tells: those that were changed and not closed since.
//!
//! Owns no time of its own and no file: a file is known by one of 64 lots, drawn from where it lies and what it is called, so that it
//! costs a few bits to tell and a bounded number of them to remember, however many files are copied at once. Two files of one lot are
//! taken for one: when one of them is closed the other counts as closed too, until its next change. Nothing rests on it but how long
//! a folder has to be still before it is scanned.

use std::collections::BTreeMap;

use crate::base::units::Time;

/// What happened to files since it was told last: their lots, by what came last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Touched {
    /// Changed, and not closed since.
    written: u64,
    /// Closed, moved away, replaced or deleted.
    ended: u64,
}

impl Touched {
    /// All that may have happened.
    pub const UNKNOWN: Self = Self { written: u64::MAX, ended: 0 };

    /// A file was changed, and whoever did that has it open still. `file`: any number that is always the same for it.
    pub const fn write(&mut self, file: u64) {
        let lot = 1 << (file % 64);
        (self.written, self.ended) = (self.written | lot, self.ended & !lot);
    }

    /// A file was closed by one who could write, or has lost its name.
    pub const fn end(&mut self, file: u64) {
        let lot = 1 << (file % 64);
        (self.written, self.ended) = (self.written & !lot, self.ended | lot);
    }
}

/// Files that are being written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Writing {
    /// When each lot was changed last.
    changed: BTreeMap<u8, Time>,
}

impl Writing {
    /// Something was told.
    pub(super) fn heard(&mut self, now: Time, touched: Touched) {
        let Touched { written, ended } = touched;
        for lot in (0..64).filter(|lot| (written | ended) >> lot & 1 == 1) {
            if written >> lot & 1 == 1 {
                self.changed.insert(lot, now);
            } else {
                self.changed.remove(&lot);
            }
        }
    }

    /// When a file was changed last that is not closed.
    pub(super) fn last(&self) -> Option<Time> {
        self.changed.values().max().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_last_counts() {
        let mut touched = Touched::default();
        for file in [3, 5, 1 << 40] {
            touched.write(file);
        }
        touched.end(5);
        touched.end(7);
        touched.write(7);
        let mut writing = Writing::default();
        writing.heard(Time::from_micros(1), touched);
        assert_eq!(writing.changed.keys().copied().collect::<Vec<_>>(), [0, 3, 7]);
        let mut later = Touched::default();
        later.write(3);
        [7, 0].into_iter().for_each(|file| later.end(file));
        writing.heard(Time::from_micros(2), later);
        assert_eq!(writing.last(), Some(Time::from_micros(2)));
        later.end(3);
        writing.heard(Time::from_micros(3), later);
        assert_eq!(writing, Writing::default());
    }

    #[test]
    fn what_is_not_known_may_be_anything_and_no_more_is_remembered_than_there_are_lots() {
        let mut writing = Writing::default();
        writing.heard(Time::from_micros(9), Touched::UNKNOWN);
        assert_eq!((writing.changed.len(), writing.last()), (64, Some(Time::from_micros(9))));
    }
}
