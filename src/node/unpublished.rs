//! Forgetting a draft, and taking it back: what a person orders of a snapshot that is in no feed yet.
//!
//! ```text
//!   draft --forget--> forgotten (a pin of its own name, and since when) --floor of running time--> given up
//!     ^                   |
//!     '------ undo -------'  (published then, if this node may publish)
//! ```
//!
//! Nobody else knows a draft, so that no Checkpoint is needed; the books of collection (`node/collect.rs`) count its time as
//! they do for what was retired. A draft that is forgotten is not listed and not published. A node that is alone in its
//! vault has drafts only: without this it could free nothing.

use std::collections::BTreeSet;

use serde_json::Value;

use super::after::AfterSave;
use super::collect::Settings;
use super::core::Core;
use super::drafts::Draft;
use super::ports::CallId;
use crate::base::ids::{ChunkId, FolderId, SnapshotId};
use crate::base::units::WallTime;

/// The snapshot that a person means to forget or to take back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Meant {
    /// Its id.
    pub(super) id: SnapshotId,
    /// Of which folder.
    pub(super) folder: FolderId,
    /// When it was taken.
    pub(super) taken: WallTime,
    /// What it needs.
    pub(super) manifest: ChunkId,
    /// It is in no feed.
    pub(super) draft: bool,
}

impl Core {
    /// Whether a draft is forgotten: drafts have no pin else, for they hold their chunks themselves.
    pub(super) fn is_forgotten(&self, draft: &Draft) -> bool {
        self.upkeep.collect.pins().contains_key(&draft.id())
    }

    /// Drafts that are forgotten and can be taken back.
    pub(super) fn forgotten_drafts(&self) -> Vec<Meant> {
        let forgotten = self.folders.drafts.iter().filter(|draft| self.is_forgotten(draft));
        forgotten.map(Draft::meant).collect()
    }

    /// The names of drafts that are forgotten.
    pub(super) fn forgotten_ids(&self) -> BTreeSet<SnapshotId> {
        self.forgotten_drafts().into_iter().map(|meant| meant.id).collect()
    }

    /// Forgets a draft, or takes it back; the call ends when that is durable.
    pub(super) fn change_draft(&mut self, call: CallId, meant: &Meant, forget: bool, value: Value) {
        let now = self.now.time;
        let mut settings = Settings::new();
        if forget {
            self.upkeep.collect.forget(now, meant.id, meant.manifest, &mut settings);
        } else {
            self.upkeep.collect.take_back(&meant.id, &mut settings);
        }
        self.save(settings, AfterSave::Done { call, value });
        self.upkeep.recheck(now);
        if !forget && self.member.as_ref().is_some_and(|member| member.confirmed) {
            self.publish_drafts();
        }
    }

    /// A draft's time is over: it goes with its pin. What is to be saved.
    pub(super) fn give_up_draft(&mut self, snapshot: &SnapshotId) -> Settings {
        let (gone, stay): (Vec<Draft>, Vec<Draft>) =
            std::mem::take(&mut self.folders.drafts).into_iter().partition(|draft| draft.id() == *snapshot);
        self.folders.drafts = stay;
        gone.iter().map(|draft| (draft.key(), None)).collect()
    }
}
