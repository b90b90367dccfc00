//! Being a member: this node's secrets, its vault's keys, what the feeds say, and the one place where entries are signed.
//!
//! Owns the rule that an entry is shown to others only when it is on the disk ([`Membership::durable`]), and the
//! rule that snapshots wait as drafts until somebody has confirmed this node's own head ([`Membership::confirmed`]).

use std::collections::BTreeMap;

use super::placing::Placing;
use crate::base::ids::{ChunkId, EntryHash, FeedId, FolderId, NodeId, VaultId};
use crate::base::units::WallTime;
use crate::feed::entry::{sign, Body, Entry, FeedError, FolderKind, Head, Role, SnapshotText};
use crate::feed::view::{Applied, FolderFact, View};
use crate::seal::keys::{DoorSecret, FullKeys, NodeSecret, StoreKeys};
use crate::seal::sealed::Sealer;

/// What this node holds of its vault's secrets.
#[derive(Clone)]
pub enum Keys {
    /// Everything but the root.
    Full(FullKeys),
    /// The door secret only.
    Store(StoreKeys),
}

impl Keys {
    /// The vault.
    #[must_use]
    pub fn vault(&self) -> VaultId {
        match self {
            Self::Full(keys) => keys.vault,
            Self::Store(keys) => keys.vault,
        }
    }

    /// The root's public signing key.
    #[must_use]
    pub fn root_public(&self) -> [u8; 32] {
        match self {
            Self::Full(keys) => keys.root_public,
            Self::Store(keys) => keys.root_public,
        }
    }

    /// What all members know.
    #[must_use]
    pub fn door(&self) -> &DoorSecret {
        match self {
            Self::Full(keys) => &keys.door,
            Self::Store(keys) => &keys.door,
        }
    }

    /// The role that goes with these keys.
    #[must_use]
    pub fn role(&self) -> Role {
        match self {
            Self::Full(_) => Role::Full,
            Self::Store(_) => Role::Store,
        }
    }
}

/// A node that belongs to a vault.
pub struct Membership {
    /// Its signing and channel secrets.
    pub secret: NodeSecret,
    /// Its id.
    pub node: NodeId,
    /// The vault's keys.
    pub keys: Keys,
    /// Seals and opens; only full nodes have one.
    pub sealer: Option<Sealer>,
    /// What the feeds say.
    pub view: View,
    /// The feed that this node writes at present.
    pub own: FeedId,
    /// Entries of each feed that are on the disk (what may be shown to others).
    pub durable: BTreeMap<FeedId, Head>,
    /// A peer has shown that it knows no more of the own feed than the disk does.
    pub confirmed: bool,
    /// It was the only member when it started: others can know of its feed only what was written since.
    pub began_alone: bool,
    /// The disk did not take an own entry that is believed here already: nothing more is signed before the node starts anew, for
    /// it would stand behind an entry that nobody else will ever see.
    pub stopped: bool,
    /// Why the disk did not take an entry of any feed, in its words: what follows in that feed cannot be written before the node starts anew.
    pub refused: Option<String>,
    /// Who holds what.
    pub placing: Placing,
}

impl Membership {
    /// The membership with these secrets and nothing known yet.
    #[must_use]
    pub fn new(secret: NodeSecret, keys: Keys, own: FeedId) -> Self {
        let sealer = match &keys {
            Keys::Full(full) => Some(Sealer::new(full)),
            Keys::Store(_) => None,
        };
        let view = View::new(keys.root_public());
        Self {
            node: secret.node_id(),
            secret,
            keys,
            sealer,
            view,
            own,
            durable: BTreeMap::new(),
            confirmed: false,
            began_alone: false,
            stopped: false,
            refused: None,
            placing: Placing::default(),
        }
    }

    /// Signs an entry of the own feed and believes it at once; it becomes durable later.
    ///
    /// # Errors
    /// When the entry is too long, this node may not write it, or the disk did not take an earlier one.
    pub fn append(&mut self, wall: WallTime, body: Body) -> Result<(Applied, Vec<u8>), FeedError> {
        if self.stopped {
            return Err(FeedError::Stopped);
        }
        let (sequence, previous) = match self.view.head(&self.own) {
            Some(head) => (head.length, head.hash),
            None => (0, EntryHash::from_bytes([0; 32])),
        };
        let entry = Entry { feed: self.own, sequence, previous, wall, body };
        let bytes = sign(&entry, self.secret.signing_key())?;
        let applied = self.view.apply(&bytes)?;
        Ok((applied, bytes))
    }

    /// The sequence that the next own entry will have.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.view.head(&self.own).map_or(0, |head| head.length)
    }

    /// Whether this is the only member that is known.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.view.roster().members().all(|member| member.node == self.node)
    }

    /// The name of a member, or the beginning of its id.
    #[must_use]
    pub fn name_of(&self, node: &NodeId) -> String {
        let described = self.view.describe(node).map(|describe| describe.name.clone());
        described
            .filter(|name| !name.is_empty())
            .or_else(|| self.view.roster().member(node).map(|member| member.name.clone()))
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| node.short())
    }

    /// Whether this node writes a backup folder.
    #[must_use]
    pub fn backs_up(&self, folder: &FolderId) -> bool {
        let is_own = |fact: &FolderFact| {
            fact.writer == self.node && fact.entry.kind == FolderKind::Backup && !fact.entry.removed
        };
        self.view.folder_facts(folder).any(is_own)
    }

    /// Opens what a snapshot entry says for key holders only.
    #[must_use]
    pub fn snapshot_text(&self, feed: &FeedId, sequence: u64, sealed: &[u8]) -> Option<SnapshotText> {
        let plain = self.sealer.as_ref()?.open_text(feed, sequence, sealed).ok()?;
        SnapshotText::decode(&plain).ok()
    }
}

/// One snapshot as this node knows it: an entry of a feed, or a draft.
#[derive(Debug, Clone)]
pub struct SnapshotFact {
    /// Its id.
    pub id: crate::base::ids::SnapshotId,
    /// Who wrote it.
    pub writer: NodeId,
    /// What it says.
    pub entry: crate::feed::entry::SnapshotEntry,
    /// The root of its tree; None without the content key.
    pub tree: Option<ChunkId>,
    /// What could not be kept.
    pub skipped: u64,
    /// Files that changed while they were read.
    pub torn: u64,
    /// Of a shared folder: what its writer knew.
    pub shared: Option<crate::feed::entry::SharedText>,
    /// Not yet in a feed.
    pub draft: bool,
}
