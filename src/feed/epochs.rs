//! Which content key epochs there are, whom each keeps out, and for whom each was wrapped: what Key entries say, by what is
//! known now. It opens nothing. Read [`super::key`] and [`super::view`] first.
//!
//! A Key entry counts if the root wrote it, or a full node within its time as a member. An epoch is there if such an entry
//! began it (it names whom the epoch keeps out). It is *clean* if a present full node or the root began it, it keeps
//! out every full node that was removed and no member, and it was wrapped for none of those that were removed: only with a
//! clean epoch may new content be sealed. Whoever has the Key entry and not yet the Remove behind it wraps the key for
//! nobody whom it keeps out. So a Remove by itself puts an
//! end to all epochs that the removed node may know, whatever comes of them; its author writes the Key entry of the next
//! one before it in the same feed, so whoever knows of the removal has that entry too.
//!
//! Two full nodes that remove two others at once begin two epochs, neither of which keeps out both: then there is no clean
//! one, and a full node begins another. Two that remove the same one begin two clean epochs, and all use the same
//! ([`Epochs::best`]).

use super::entry::{Entry, Role};
use super::key::KeyEntry;
use super::view::View;
use crate::base::gather;
use crate::base::ids::{EpochId, FeedId, NodeId};
use crate::base::limits::{EPOCHS_BEGUN_MAX, KEY_ENTRIES_PER_FEED_MAX, KEY_WRAPS_PER_FEED_MAX};
use std::collections::{BTreeMap, BTreeSet};

/// A Key entry and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFact {
    /// Its feed; the node in it is the writer.
    pub feed: FeedId,
    /// Its place.
    pub sequence: u64,
    /// What it says.
    pub entry: KeyEntry,
}

/// Every Key entry, whether it counts or not; of each feed the first ones.
pub(super) type KeyFacts = BTreeMap<FeedId, Vec<KeyFact>>;

/// The epochs after the vault's first, which no entry names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Epochs {
    /// By id.
    all: BTreeMap<EpochId, EpochFact>,
}

/// What is known of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EpochFact {
    /// New content may be sealed with it.
    pub is_clean: bool,
    /// Whom it keeps out, by those who began it and are present.
    pub without: BTreeSet<NodeId>,
    /// For whom it was wrapped, and who began it.
    pub known_to: BTreeSet<NodeId>,
}

impl Epochs {
    /// Every epoch.
    pub fn iter(&self) -> impl Iterator<Item = (&EpochId, &EpochFact)> {
        self.all.iter()
    }

    /// The epoch with this id.
    #[must_use]
    pub fn get(&self, epoch: &EpochId) -> Option<&EpochFact> {
        self.all.get(epoch)
    }

    /// Epochs that new content may be sealed with.
    pub fn clean(&self) -> impl Iterator<Item = (&EpochId, &EpochFact)> {
        self.iter().filter(|(_, fact)| fact.is_clean)
    }

    /// Of the clean epochs that `is_here`, the one that all seal with: that which keeps out most, of equals the greatest.
    pub fn best(&self, is_here: impl Fn(&EpochId) -> bool) -> Option<EpochId> {
        let here = self.clean().filter(|(epoch, _)| is_here(epoch));
        here.max_by_key(|(epoch, fact)| (fact.without.len(), **epoch)).map(|(epoch, _)| *epoch)
    }
}

impl View {
    /// Full nodes that were removed: no new content is for them.
    #[must_use]
    pub fn removed_full(&self) -> BTreeSet<NodeId> {
        let full = self.roster().former().filter(|former| former.role == Role::Full);
        full.map(|former| former.node).collect()
    }

    /// Key entries that count.
    pub fn key_facts(&self) -> impl Iterator<Item = &KeyFact> {
        self.keys.values().flatten().filter(|fact| self.may_write_keys(&fact.feed, fact.sequence))
    }

    /// The epochs that Key entries began.
    #[must_use]
    pub fn epochs(&self) -> Epochs {
        let removed = self.removed_full();
        let mut epochs = Epochs::default();
        let mut begun: BTreeMap<NodeId, BTreeSet<EpochId>> = BTreeMap::new();
        for fact in self.key_facts().filter(|fact| !fact.entry.without.is_empty()) {
            let (writer, entry) = (fact.feed.node, &fact.entry);
            // Of each writer the first ones count, or one could fill everybody's memory.
            let own = begun.entry(writer).or_default();
            if own.len() >= EPOCHS_BEGUN_MAX && !own.contains(&entry.epoch) {
                continue;
            }
            own.insert(entry.epoch);
            let epoch = epochs.all.entry(entry.epoch).or_default();
            let is_present = writer == self.roster().root() || self.roster().member(&writer).is_some();
            if is_present {
                epoch.without.extend(&entry.without);
            }
            epoch.known_to.insert(writer);
        }
        for fact in self.key_facts() {
            if let Some(epoch) = epochs.all.get_mut(&fact.entry.epoch) {
                epoch.known_to.extend(fact.entry.wraps.iter().map(|wrap| wrap.to));
            }
        }
        for epoch in epochs.all.values_mut() {
            let names_no_member = epoch.without.iter().all(|node| self.roster().member(node).is_none());
            let keeps_out = epoch.without.is_superset(&removed) && epoch.known_to.is_disjoint(&removed);
            epoch.is_clean = !epoch.without.is_empty() && names_no_member && keeps_out;
        }
        epochs
    }

    /// Whether another epoch that this node begins would count.
    #[must_use]
    pub fn may_begin_epoch(&self, writer: &NodeId) -> bool {
        let own = self.key_facts().filter(|fact| fact.feed.node == *writer && !fact.entry.without.is_empty());
        gather::set(own.map(|fact| fact.entry.epoch)).len() < EPOCHS_BEGUN_MAX
    }

    /// Whether another Key entry of this feed, with so many wrapped keys, would be kept.
    #[must_use]
    pub fn has_key_room(&self, feed: &FeedId, wraps: usize) -> bool {
        let facts = self.keys.get(feed).map_or(&[][..], Vec::as_slice);
        let kept: usize = facts.iter().map(|fact| fact.entry.wraps.len()).sum();
        facts.len() < KEY_ENTRIES_PER_FEED_MAX && kept + wraps <= KEY_WRAPS_PER_FEED_MAX
    }

    /// Keeps a Key entry, if its feed has not too many.
    pub(super) fn take_key(&mut self, entry: &Entry, key: &KeyEntry) {
        if self.has_key_room(&entry.feed, key.wraps.len()) {
            let fact = KeyFact { feed: entry.feed, sequence: entry.sequence, entry: key.clone() };
            self.keys.entry(entry.feed).or_default().push(fact);
        }
    }

    /// Whether a Key entry at this place means anything by what is known now.
    pub(super) fn may_write_keys(&self, feed: &FeedId, sequence: u64) -> bool {
        let is_full = self.roster().role_of(&feed.node) == Some(Role::Full);
        (is_full || feed.node == self.roster().root()) && self.roster().is_within(feed, sequence)
    }
}

#[cfg(test)]
mod tests;
