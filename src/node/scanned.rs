//! What a pass over a folder found, and the outcome that it becomes; how far it is on the way.
//!
//! Owns the estimate of what is stale in a manifest. Read `node/outcome.rs` first.

use super::manifest::Manifest;
use super::outcome::{BackupJob, Outcome, Parent, Progress, Report, Taken};
use super::root::Marker;
use crate::base::ids::ChunkId;
use crate::base::limits::RACY_SPAN;
use crate::base::units::WallTime;
use crate::feed::entry::{Counts, SharedText};

/// What a pass over a folder found.
#[derive(Debug, Clone)]
pub(super) struct Scanned {
    /// Root of the new tree; None: all is as the parent has it.
    pub(super) tree: Option<ChunkId>,
    /// Files, directories, bytes.
    pub(super) counts: Counts,
    /// What a person should hear of.
    pub(super) report: Report,
    /// Ids that the parent needed and this tree does not.
    pub(super) dropped: u64,
    /// Of a shared folder: what else is known now.
    pub(super) shared: Option<SharedText>,
    /// Of a shared folder: a snapshot is due though the tree is the same.
    pub(super) restated: bool,
    /// Of a shared folder, in an exact build: the tree needs more than was listed.
    pub(super) unlisted: bool,
}

impl Scanned {
    /// All is as the parent has it.
    pub(super) const fn same(counts: Counts, report: Report) -> Self {
        Self { tree: None, counts, report, dropped: 0, shared: None, restated: false, unlisted: false }
    }

    /// There is nothing new.
    pub(super) fn unchanged(self, marker: Marker) -> Outcome {
        let Self { counts, report, .. } = self;
        Outcome::Unchanged { files: counts.files, bytes: counts.bytes, report, marker }
    }

    /// There is something new, on top of what the manifest of `base` lists. How much of it is stale is estimated: what was
    /// stale before, and what the base needed and the new tree does not, less what the new tree needs that the base's
    /// manifest has. Ids that a changed file shares with an unchanged one are the error, in either direction. In an exact build that goes
    /// on from a base nevertheless it is all of the base's that was not listed: some of that the tree may need.
    pub(super) fn taken(
        self,
        base: Option<Parent>,
        exact: bool,
        tree: ChunkId,
        manifest: Manifest,
        new_bytes: u64,
        marker: Marker,
    ) -> Taken {
        let before = base.map(|base| base.counts);
        let stale = |before: Counts| if exact { before.chunks } else { before.stale + self.dropped };
        let stale = before.map_or(0, |before| stale(before).saturating_sub(manifest.common));
        let counts = Counts {
            chunks: manifest.chunks,
            stored_bytes: new_bytes,
            stale: stale.min(manifest.chunks),
            ..self.counts
        };
        Taken { tree, manifest: manifest.root, counts, report: self.report, marker, shared: self.shared }
    }
}

impl BackupJob {
    /// Changes later than this may hide behind an equal stat, in nanoseconds since 1970.
    pub(super) fn trusted_ns(&self) -> i64 {
        trusted_ns(self.trusted_before)
    }

    /// The same of what the partial snapshot has.
    pub(super) fn partial_trusted_ns(&self) -> i64 {
        self.partial.map_or(i64::MIN, |partial| trusted_ns(partial.trusted_before))
    }
}

/// What changed later than this may hide behind a stat that was taken by a scan that began then.
fn trusted_ns(began: WallTime) -> i64 {
    let racy = i64::try_from(RACY_SPAN.as_micros()).unwrap_or(i64::MAX);
    began.as_micros().saturating_sub(racy).saturating_mul(1_000)
}

impl Parent {
    /// More than a tenth of its manifest is stale: the next one is built anew.
    pub(super) const fn is_stale(&self) -> bool {
        self.counts.stale.saturating_mul(10) > self.counts.chunks
    }
}

/// Tells progress now and then.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Files when it was last told.
    files: u64,
    /// Bytes then.
    bytes: u64,
    /// Sealed bytes that were new, then: of one large file these alone move.
    new_bytes: u64,
}

impl Meter {
    /// The progress, if there was enough of it since it was last told.
    pub(super) fn due(&mut self, progress: Progress) -> Option<Progress> {
        let enough = progress.files >= self.files + PROGRESS_FILES
            || progress.bytes >= self.bytes + PROGRESS_BYTES
            || progress.new_bytes >= self.new_bytes + PROGRESS_BYTES;
        if !enough {
            return None;
        }
        (self.files, self.bytes, self.new_bytes) = (progress.files, progress.bytes, progress.new_bytes);
        Some(progress)
    }
}

/// Progress is told after this many files.
const PROGRESS_FILES: u64 = 500;
/// Progress is told after this many bytes.
const PROGRESS_BYTES: u64 = 8 * 1024 * 1024;
