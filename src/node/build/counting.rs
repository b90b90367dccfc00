//! What a build pass counts for the guard over the folder (`node/guard/tally.rs`): nothing where there is nothing to compare with.

use super::{Build, Entry, Fresh, Old, Whole};
use crate::node::guard::tally::Seen;

impl Build {
    /// Something is not there any more. What a backup folder leaves out for its size is no loss that anybody has to be asked about; what
    /// a shared one leaves out stands, so that what is gone there was deleted, however large.
    pub(super) fn tally_gone(&mut self, old: &Old, entry: &Entry) {
        let is_left_out = old.shared.is_none() && self.join.walker().is_large(entry.stat.size);
        let counts = self.compares() && !old.is_pending() && !is_left_out;
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
