//! What is to be verified: of which snapshots something should be on this disk, and of which groups.

use crate::base::ids::{ChunkId, SnapshotId};
use crate::feed::entry::GroupSet;
use crate::node::core::Core;
use crate::node::healing::Whose;

/// What is to be verified.
#[derive(Debug, Clone)]
pub struct VerifyJob {
    /// The snapshots of which this node should hold something.
    pub snapshots: Vec<VerifySnapshot>,
    /// Read every byte, not only what gives structure.
    pub all: bool,
}

/// One snapshot and what of it should be here.
#[derive(Debug, Clone)]
pub struct VerifySnapshot {
    /// Its id.
    pub id: SnapshotId,
    /// Its folder's name, as far as this node knows it.
    pub folder: String,
    /// The root of its manifest.
    pub manifest: ChunkId,
    /// The root of its tree, where this node can read it.
    pub tree: Option<ChunkId>,
    /// The groups that should be here.
    pub groups: GroupSet,
    /// Who wrote it.
    pub whose: Whose,
}

impl Core {
    /// The snapshots of which something should be here.
    pub(in crate::node) fn held_snapshots(&self) -> Option<Vec<VerifySnapshot>> {
        let folders = self.all_folders();
        let facts = self.snapshots(None);
        let member = self.member.as_ref()?;
        let snapshots = facts
            .iter()
            .filter(|fact| {
                // A share that is still being fetched is pending, not damaged: only what was receipted must be here.
                fact.writer == member.node
                    || member.view.receipts(&fact.id).any(|(node, _)| node == member.node)
            })
            .map(|fact| {
                let name = folders
                    .iter()
                    .find(|(_, entry, _)| entry.folder == fact.entry.folder)
                    .map(|(_, _, text)| text.name.clone());
                let receipted = member
                    .view
                    .receipts(&fact.id)
                    .find(|(node, _)| *node == member.node)
                    .map(|(_, groups)| groups.clone());
                let groups =
                    if fact.writer == member.node { GroupSet::all() } else { receipted.unwrap_or_default() };
                VerifySnapshot {
                    id: fact.id,
                    folder: name.unwrap_or_else(|| fact.entry.folder.short()),
                    manifest: fact.entry.manifest,
                    tree: fact.tree,
                    groups,
                    whose: if fact.writer == member.node { Whose::Own } else { Whose::Others },
                }
            })
            .collect();
        Some(snapshots)
    }
}

/// Lines of damage that are told; the counts go on.
pub(super) const DAMAGE_LINES_MAX: u64 = 10_000;
