//! The end of a backup: the root is looked at once more, all is synced, the manifest is built and synced too.

use super::{root, Ask, Backup, ChunkId, FileError, Merge, Merged, Op, Outcome, Parent, Request, RootFacts};
use super::{Scanned, State};
use crate::node::guard::tally::Amount;

impl Backup {
    /// How much there was before, as far as this scan is compared with all of it.
    pub(super) fn before(&self, with_old: bool) -> Amount {
        let parent = self.job.parent.filter(|_| with_old);
        let counts = parent.filter(|_| !self.job.is_elsewhere()).map(|parent| parent.counts);
        counts.map_or_else(Amount::default, |counts| Amount { files: counts.files, bytes: counts.bytes })
    }

    /// Looks at the root once more.
    pub(super) fn check(&mut self, scanned: Scanned) {
        let op = root::ask(&self.job, &mut self.sink);
        self.state = State::Check(op, scanned);
    }

    /// The root was looked at once more.
    pub(super) fn checked(&mut self, scanned: Scanned, result: Result<RootFacts, FileError>) {
        match (root::after(&self.job, self.marker, result), scanned.tree) {
            (Err(error), _) => self.end(Err(error)),
            (Ok(()), None) => self.unchanged(scanned),
            (Ok(()), Some(tree)) => {
                let op = self.flush();
                self.state = State::Settle(op, scanned, tree);
            }
        }
    }

    /// Asks for a sync of all that was put.
    pub(super) fn flush(&mut self) -> Op {
        let op = self.sink.ops.draw();
        self.sink.asks.push_back(Ask::Store(Request::Flush { op }));
        op
    }

    /// All chunks of the tree are durable.
    pub(super) fn settled(&mut self, scanned: Scanned, tree: ChunkId) {
        // Behind a partial snapshot a complete one is made in any case.
        let is_new = self.job.anew || self.job.fresh;
        let parent = self.job.parent.filter(|_| self.job.partial.is_none() && !is_new);
        if !scanned.restated && parent.is_some_and(|parent| parent.tree == tree) {
            self.sink.drop_set();
            self.unchanged(scanned);
            return;
        }
        let base = self.listed_before(&scanned).map(|base| base.manifest);
        self.state = State::Manifest(scanned, tree, Box::new(Merge::new(self.duty, base, Vec::new())));
    }

    /// What the manifest goes on from; nothing if it is to be exact. An exact one names what was sealed or looked at here, and of a shared
    /// folder the tree keeps what others have made and this disk does not have, or cannot read: all that was listed before stays so then.
    fn listed_before(&self, scanned: &Scanned) -> Option<Parent> {
        self.job.base().filter(|_| !self.job.exact || scanned.unlisted)
    }

    /// Merges on. False if it waits.
    pub(super) fn merge(&mut self, scanned: Scanned, tree: ChunkId, mut merge: Box<Merge>) -> bool {
        let merged = merge.step(&mut self.sink);
        match merged {
            Merged::Whole(manifest) => {
                self.sink.drop_set();
                let parent = self.job.parent.filter(|_| self.job.partial.is_none() && !self.job.fresh);
                let is_same = |parent: Parent| (parent.tree, parent.manifest) == (tree, manifest.root);
                if !scanned.restated && parent.is_some_and(is_same) {
                    self.unchanged(scanned);
                    return true;
                }
                let base = self.listed_before(&scanned);
                let taken =
                    scanned.taken(base, self.job.exact, tree, manifest, self.sink.new_bytes(), self.marker);
                let outcome = Outcome::Changed(taken);
                let op = self.flush();
                self.state = State::Flush(op, Box::new(outcome));
                true
            }
            Merged::ParentLost => {
                self.sink.drop_set();
                if self.job.exact {
                    self.old_lost();
                } else {
                    self.begin_build(true, true);
                }
                true
            }
            Merged::Wait | Merged::Worked => {
                self.state = State::Manifest(scanned, tree, merge);
                matches!(merged, Merged::Worked)
            }
        }
    }

    /// There is nothing new.
    pub(super) fn unchanged(&mut self, scanned: Scanned) {
        let outcome = scanned.unchanged(self.marker);
        self.end(Ok(Box::new(outcome)));
    }
}
