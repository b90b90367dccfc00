//! What a Key entry says: the content key of an epoch, wrapped for some of those who may have it. The wrapped keys are
//! opaque here ([`super::epochs`] judges the entry, `seal/wrap.rs` opens what is in it).

use super::body::items;
use crate::base::ids::{EpochId, NodeId};
use crate::base::limits::{KEY_WITHOUT_MAX, KEY_WRAPS_MAX};
use serde::{Deserialize, Serialize};

/// The content key of an epoch for these nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEntry {
    /// Which epoch.
    pub epoch: EpochId,
    /// Whom the epoch keeps out: every full node that was removed when it was begun. Empty: it was begun by another entry,
    /// and is wrapped here for who lacks it.
    #[serde(deserialize_with = "items::<_, _, KEY_WITHOUT_MAX>")]
    pub without: Vec<NodeId>,
    /// The ephemeral public key (X25519) that all of these were wrapped with.
    pub ephemeral: [u8; 32],
    /// For whom.
    #[serde(deserialize_with = "items::<_, _, KEY_WRAPS_MAX>")]
    pub wraps: Vec<Wrap>,
}

/// A content key for one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrap {
    /// Who; the vault's id read as a node is the recovery key's.
    pub to: NodeId,
    /// The sealed key.
    pub key: [u8; 32],
    /// Its authentication tag.
    pub tag: [u8; 16],
}
