//! For tests: a member that signs whatever it likes, with its own valid key.

use super::after::AfterAppend;
use super::core::{Core, Duty};
use crate::base::ids::{ChunkId, FeedId, NodeId, SnapshotId};
use crate::base::limits::ERASED_PER_ENTRY_MAX;
use crate::base::units::WallTime;
use crate::feed::entry::{sign, Alert, Body, Checkpoint, Erase, Erased, FolderEntry, GroupSet, Head, Remove};
use crate::feed::view::SnapshotFact;

impl Core {
    /// Appends an entry to the own feed, whether the node would ever write it or not.
    pub fn forge(&mut self, body: Body) -> bool {
        self.append(body, Vec::new(), AfterAppend::Nothing).is_some()
    }

    /// An entry of the own feed that is not taken here: the next one or, with entries skipped, one before its turn; signed or
    /// with a signature that does not hold.
    #[must_use]
    pub fn odd_entry(&self, skipped: u64, is_signed: bool) -> Option<(FeedId, Vec<u8>)> {
        let member = self.member.as_ref()?;
        let body = Body::Alert(Alert { code: 1, about: Vec::new() });
        let mut entry = member.view.next_entry(&member.own, WallTime::default(), body);
        entry.sequence += skipped;
        let mut bytes = sign(&entry, member.secret.signing_key()).ok()?;
        *bytes.last_mut()? ^= u8::from(!is_signed);
        Some((member.own, bytes))
    }

    /// Feeds of which it remembers that a peer had nothing of use.
    #[must_use]
    pub fn useless_feeds(&self) -> usize {
        self.gossip.peers.values().map(|peer| peer.stuck.len()).sum()
    }

    /// All snapshots that stand, as their entries say.
    #[must_use]
    pub fn published_snapshots(&self) -> Vec<SnapshotFact> {
        self.member.iter().flat_map(|member| member.view.snapshots()).cloned().collect()
    }

    /// Checkpoints that leave nothing standing, one over every feed that this node knows, of any version.
    #[must_use]
    pub fn retire_everything(&self, version: u64) -> Vec<Body> {
        let heads = self.member.iter().flat_map(|member| member.view.heads());
        let retire = |until| Body::Checkpoint(Checkpoint { until, from: 0, version, standing: Vec::new() });
        heads.map(retire).collect()
    }

    /// Its word that every snapshot that it knows goes at once, whether it is retired or not.
    #[must_use]
    pub fn erase_everything(&self) -> Vec<Body> {
        let all = self.member.iter().flat_map(|member| member.view.retired().chain(member.view.snapshots()));
        let all: Vec<Erased> = all.map(|fact| Erased { snapshot: fact.id, version: u64::MAX }).collect();
        all.chunks(ERASED_PER_ENTRY_MAX).map(|some| Body::Erase(Erase { snapshots: some.to_vec() })).collect()
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

    /// Whether a pass of collection is at work, while a round of moving has confirmed something.
    #[must_use]
    pub fn is_dropping_moved(&self) -> bool {
        let is_collecting = self.duties.values().any(|duty| matches!(duty, Duty::Collect(_)));
        is_collecting && self.moving_status()["step"] == "leaving"
    }

    /// Why nothing is given up here at present.
    #[must_use]
    pub fn collection_waits(&self) -> Option<&'static str> {
        self.may_collect().err()
    }

    /// Snapshots whose manifests are pinned here.
    #[must_use]
    pub fn pinned(&self) -> Vec<SnapshotId> {
        self.upkeep.collect.pins().keys().copied().collect()
    }

    /// The roots of the manifests whose chunks stay, as far as they are here.
    #[must_use]
    pub fn kept_manifests(&self) -> Vec<ChunkId> {
        self.roots().into_iter().map(|root| root.manifest).collect()
    }

    /// Who this node is, if it belongs to a vault.
    #[must_use]
    pub fn own_id(&self) -> Option<NodeId> {
        self.member.as_ref().map(|member| member.node)
    }

    /// Whether a node is a member, as far as this one has heard.
    #[must_use]
    pub fn counts_as_member(&self, node: &NodeId) -> bool {
        self.member.as_ref().is_some_and(|member| member.view.roster().member(node).is_some())
    }

    /// How far it knows each feed, in words.
    #[must_use]
    pub fn told_heads(&self) -> Vec<String> {
        self.member.iter().flat_map(|member| member.view.heads()).map(|head| format!("{head:?}")).collect()
    }

    /// Every copy that this node counts on: of snapshots that stand, by their writers and receipts.
    #[must_use]
    pub fn claims(&self) -> Vec<Claim> {
        let Some(member) = &self.member else { return Vec::new() };
        let mut claims = Vec::new();
        for fact in member.view.snapshots() {
            let (snapshot, manifest, copies) = (fact.id, fact.entry.manifest, fact.entry.copies.get());
            let writer = member.view.roster().member(&fact.writer).map(|_| (fact.writer, GroupSet::all()));
            let receipts = member.view.receipts(&fact.id).filter(|(node, _)| *node != fact.writer);
            let holders = writer.into_iter().chain(receipts.map(|(node, groups)| (node, groups.clone())));
            claims.extend(holders.map(|(holder, groups)| Claim {
                snapshot,
                manifest,
                copies,
                holder,
                groups,
            }));
        }
        claims
    }
}

/// One copy that somebody counts on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Claim {
    /// Of this snapshot,
    pub snapshot: SnapshotId,
    /// which has this manifest,
    pub manifest: ChunkId,
    /// and of which so many copies are wanted,
    pub copies: u8,
    /// this node,
    pub holder: NodeId,
    /// has these groups.
    pub groups: GroupSet,
}
