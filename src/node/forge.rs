//! For tests: a member that signs whatever it likes, with its own valid key.

use super::after::AfterAppend;
use super::core::Core;
use crate::base::ids::{NodeId, SnapshotId};
use crate::feed::entry::{Body, Checkpoint, FolderEntry, Head, Remove};

impl Core {
    /// Appends an entry to the own feed, whether the node would ever write it or not.
    pub fn forge(&mut self, body: Body) -> bool {
        self.append(body, Vec::new(), AfterAppend::Nothing).is_some()
    }

    /// Checkpoints that leave nothing standing, one over every feed that this node knows, of any version.
    #[must_use]
    pub fn retire_everything(&self, version: u64) -> Vec<Body> {
        let heads = self.member.iter().flat_map(|member| member.view.heads());
        let retire = |until| Body::Checkpoint(Checkpoint { until, from: 0, version, standing: Vec::new() });
        heads.map(retire).collect()
    }

    /// Removes of every other member; `heads`: their feeds count as far as they are, else not at all.
    #[must_use]
    pub fn remove_everybody(&self, heads: bool) -> Vec<Body> {
        let Some(member) = &self.member else { return Vec::new() };
        let others = member.view.roster().members().filter(|other| other.node != member.node);
        let of = |node: NodeId| -> Vec<Head> {
            member.view.heads().into_iter().filter(|head| heads && head.feed.node == node).collect()
        };
        others.map(|other| Body::Remove(Remove { node: other.node, heads: of(other.node) })).collect()
    }

    /// Folder entries that call every folder removed, in this node's name.
    #[must_use]
    pub fn remove_all_folders(&self) -> Vec<Body> {
        let folders = self.member.iter().flat_map(|member| member.view.folders());
        folders.map(|fact| Body::Folder(FolderEntry { removed: true, ..fact.entry.clone() })).collect()
    }

    /// Snapshots whose manifests are pinned here.
    #[must_use]
    pub fn pinned(&self) -> Vec<SnapshotId> {
        self.upkeep.collect.pins().keys().copied().collect()
    }
}
