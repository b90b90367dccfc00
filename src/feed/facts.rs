//! What the view tells of entries: each with where it stands, for what is sealed in it is bound to that place. Plain
//! values; [`super::view`] decides which of them count.

use super::entry::{Entry, FolderEntry, SnapshotEntry};
use crate::base::ids::{EntryHash, FeedId, NodeId, SnapshotId};
use crate::base::units::WallTime;

/// An entry that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// Its feed.
    pub feed: FeedId,
    /// Its place in the feed.
    pub sequence: u64,
    /// Its hash; of a Snapshot entry, the snapshot's id.
    pub hash: EntryHash,
    /// Whether it means anything by what is known now; if not, it is only chained.
    pub counts: bool,
    /// The entry.
    pub entry: Entry,
}

/// A folder as one writer wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderFact {
    /// Who.
    pub writer: NodeId,
    /// In which feed (with `sequence`, what its sealed text is bound to).
    pub feed: FeedId,
    /// At which place.
    pub sequence: u64,
    /// When, as a label.
    pub wall: WallTime,
    /// What.
    pub entry: FolderEntry,
}

/// A snapshot and where it is stated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotFact {
    /// Its id: the entry's hash.
    pub id: SnapshotId,
    /// Who wrote it.
    pub writer: NodeId,
    /// In which feed (with `sequence`, what its sealed text is bound to).
    pub feed: FeedId,
    /// At which place.
    pub sequence: u64,
    /// When it was published, as a label.
    pub wall: WallTime,
    /// What it says.
    pub entry: SnapshotEntry,
}

/// A note and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteFact {
    /// Who wrote it.
    pub writer: NodeId,
    /// In which feed (with `sequence`, what its sealed text is bound to).
    pub feed: FeedId,
    /// At which place.
    pub sequence: u64,
    /// The entry's hash.
    pub hash: EntryHash,
    /// When, by its writer's clock.
    pub wall: WallTime,
    /// A sealed [`super::text::NoteText`].
    pub sealed: Vec<u8>,
}

/// Proof that a node has signed two histories of one feed: a disk was copied or restored, or it cheats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fork {
    /// The feed.
    pub feed: FeedId,
    /// The first place known to differ.
    pub sequence: u64,
    /// The entry there that is kept: the one that came first.
    pub kept: EntryHash,
    /// The entry there that was refused.
    pub refused: EntryHash,
}
