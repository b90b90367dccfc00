//! What a build pass counts for the guard over the folder (`node/guard/tally.rs`): nothing where there is nothing to compare with.

use super::{Build, Entry, Fresh, Old, Whole};
use crate::node::guard::tally::Seen;

impl Build {
    /// Something is not there any more. A file that is only left out for its size is no loss that anybody has to be asked about.
    pub(super) fn tally_gone(&mut self, old: &Old, entry: &Entry) {
        let counts = self.compares() && !old.is_pending() && !self.join.walker().is_large(entry.stat.size);
        if let Some(seen) = Seen::of(entry, &old.tail).filter(|_| counts) {
            self.tally.gone(seen);
        }
    }

    /// A file was read.
    pub(super) fn tally_read(&mut self, fresh: &Fresh, whole: &Whole) {
        if !self.compares() {
            return;
        }
        let now = Seen::new(whole.length, whole.texture, &whole.content, &whole.tail);
        let before = fresh.old.as_ref().filter(|(old, _)| !old.is_pending());
        match before.and_then(|(old, entry)| Seen::of(entry, &old.tail)) {
            Some(before) => self.tally.changed(before, now, &self.missed),
            None => self.tally.fresh(now, &self.missed),
        }
    }

    /// There is something to compare with.
    const fn compares(&self) -> bool {
        self.tally.before.files > 0
    }
}
