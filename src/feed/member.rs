//! A node of the vault, and how much of a removed one's past counts. [`super::roster`] finds both out.

use super::entry::{Admit, Head, Role};
use crate::base::ids::{EntryHash, FeedId, NodeId};
use std::collections::BTreeMap;

/// A node of the vault, present or former.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub node: NodeId,
    /// Its public signing key.
    pub signing: [u8; 32],
    /// Its public channel key.
    pub channel: [u8; 32],
    /// What it may do.
    pub role: Role,
    /// The name that it was admitted under.
    pub name: String,
    /// Places of the Admit entries from the root's to its own; lower ranks remove higher ones.
    pub rank: Vec<u64>,
}

impl Member {
    /// The node that an Admit lets in, at this rank.
    pub(super) fn admitted(node: NodeId, admit: &Admit, rank: Vec<u64>) -> Self {
        let Admit { signing, channel, role, .. } = *admit;
        Self { node, signing, channel, role, name: admit.name.clone(), rank }
    }
}

/// The hash of an entry of a feed, where it is known.
pub(super) type HashAt<'a> = dyn Fn(&FeedId, u64) -> Option<EntryHash> + 'a;

/// How far the feeds of a removed node count: as far as every Remove of it says.
pub(super) fn limits_of(removes: &[Vec<Head>], hash_at: &HashAt<'_>) -> BTreeMap<FeedId, u64> {
    let proven = |heads: &Vec<Head>| -> BTreeMap<FeedId, u64> {
        let is_here =
            |head: &&Head| head.length > 0 && hash_at(&head.feed, head.length - 1) == Some(head.hash);
        heads.iter().filter(is_here).map(|head| (head.feed, head.length)).collect()
    };
    let mut all = removes.iter().map(proven);
    let mut limits = all.next().unwrap_or_default();
    for other in all {
        limits.retain(|feed, limit| {
            *limit = (*limit).min(other.get(feed).copied().unwrap_or(0));
            *limit > 0
        });
    }
    limits
}

/// Of a removed node's feeds whose last entry, as a Remove names it, is not here yet: how many entries every Remove leaves them.
pub(super) fn awaited_of(removes: &[Vec<Head>], hash_at: &HashAt<'_>) -> BTreeMap<FeedId, u64> {
    let mut awaited = BTreeMap::new();
    for head in removes.iter().flatten() {
        let is_missing = head.length > 0 && hash_at(&head.feed, head.length - 1).is_none();
        if is_missing && removes.iter().all(|heads| heads.iter().any(|other| other.feed == head.feed)) {
            let length = awaited.entry(head.feed).or_insert(head.length);
            *length = head.length.min(*length);
        }
    }
    awaited
}
