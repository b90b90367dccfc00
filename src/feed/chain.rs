//! One feed as a hash chain: which entry may come next. It holds the hash of every entry, so that a second history is
//! recognised wherever it leaves the first; it checks no signature and knows no rights.

use super::entry::{hash, Entry, FeedError, Head, NO_ENTRY};
use crate::base::ids::{EntryHash, FeedId};
use crate::base::limits::FEED_ENTRIES_MAX;

/// What is known of one feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Which feed.
    feed: FeedId,
    /// The hash of each entry, from the first.
    hashes: Vec<EntryHash>,
}

impl Chain {
    /// A feed of which nothing is known yet.
    #[must_use]
    pub const fn new(feed: FeedId) -> Self {
        Self { feed, hashes: Vec::new() }
    }

    /// How many entries are here.
    #[must_use]
    pub fn length(&self) -> u64 {
        u64::try_from(self.hashes.len()).expect("a length in memory fits 64 bits")
    }

    /// How far the feed is known.
    #[must_use]
    pub fn head(&self) -> Head {
        let hash = self.hashes.last().copied().unwrap_or(NO_ENTRY);
        Head { feed: self.feed, length: self.length(), hash }
    }

    /// The hash of the entry with this sequence number, if it is here.
    #[must_use]
    pub fn hash_at(&self, sequence: u64) -> Option<EntryHash> {
        self.hashes.get(usize::try_from(sequence).ok()?).copied()
    }

    /// Whether the entry with this hash may come next.
    ///
    /// # Errors
    /// [`FeedError::Known`], [`FeedError::Gap`], [`FeedError::Full`]; [`FeedError::Fork`], which is proven only once
    /// the entry's signature was checked too.
    pub fn check(&self, hash: &EntryHash, entry: &Entry) -> Result<(), FeedError> {
        assert_eq!(self.feed, entry.feed, "an entry is checked against its own feed");
        if let Some(known) = self.hash_at(entry.sequence) {
            let fork = FeedError::Fork { feed: self.feed, sequence: entry.sequence };
            return Err(if known == *hash { FeedError::Known } else { fork });
        }
        if entry.sequence > self.length() {
            return Err(FeedError::Gap { feed: self.feed, have: self.length() });
        }
        if entry.previous != self.head().hash {
            // The author signed a follower of an entry that is not ours: there are two at the place before.
            return Err(FeedError::Fork { feed: self.feed, sequence: entry.sequence.saturating_sub(1) });
        }
        if self.hashes.len() >= FEED_ENTRIES_MAX {
            return Err(FeedError::Full("entries of one feed"));
        }
        Ok(())
    }

    /// Appends the entry that was decoded from `bytes`.
    ///
    /// # Errors
    /// As [`Chain::check`]; the chain is as before then.
    pub fn extend(&mut self, bytes: &[u8], entry: &Entry) -> Result<(), FeedError> {
        let hash = hash(bytes);
        self.check(&hash, entry)?;
        self.hashes.push(hash);
        Ok(())
    }
}
