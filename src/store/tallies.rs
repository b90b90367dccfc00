//! What the ids of all chunks add up to, by placement group: for comparing with other nodes without telling them.
//!
//! Counted in one pass over the index, some ids at a time, when somebody first asks; kept up to date from then on, as chunks come
//! and go. Owns the rule for a chunk that comes or goes while the pass runs: it counts now if the pass is past it, else when
//! the pass gets there. Nothing of it is on the disk, and after a failed sync it is counted again.

use super::chunks::Chunks;
use super::delta::Change;
use super::error::StoreError;
use crate::base::ids::ChunkId;
use crate::base::ranges::GroupTallies;

/// The tallies, as far as they are counted.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    /// By group.
    groups: GroupTallies,
    /// The last id that the pass has counted.
    after: Option<ChunkId>,
    /// The pass has come to the end.
    is_whole: bool,
}

impl Tallies {
    /// The last id that the pass has counted.
    pub(super) const fn after(&self) -> Option<&ChunkId> {
        self.after.as_ref()
    }

    /// The tallies, once all is counted.
    pub(super) const fn whole(&self) -> Option<&GroupTallies> {
        if self.is_whole {
            Some(&self.groups)
        } else {
            None
        }
    }

    /// Counts the next ids; `more`: others follow them.
    pub(super) fn count(&mut self, ids: impl Iterator<Item = ChunkId>, more: bool) {
        for id in ids {
            self.groups.add(&id);
            self.after = Some(id);
        }
        self.is_whole = !more;
    }

    /// A chunk comes or goes.
    pub(super) fn apply(&mut self, id: &ChunkId, change: Change) {
        if !self.is_whole && self.after.is_none_or(|after| *id > after) {
            return;
        }
        match change {
            Change::Put(_) => self.groups.add(id),
            Change::Drop(..) | Change::Rot(..) => self.groups.remove(id),
            Change::Moved(..) | Change::Kept(..) => {}
        }
    }
}

impl Chunks {
    /// What the ids of all chunks add up to, by placement group; None while `limit` ids more are counted each time.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn tally(&mut self, limit: usize) -> Result<Option<GroupTallies>, StoreError> {
        self.index.tally(&self.log, limit, &mut self.report)
    }
}
