//! Why an entry, or a chain of them, was not taken. One type for the whole directory; it decides nothing.

use crate::base::ids::{FeedId, NodeId};
use core::fmt;

/// Why an entry was not taken. The caller sees from the variant whether the peer is at fault, or only early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeedError {
    /// The bytes are no entry: the named part is broken. The sender is at fault.
    Malformed(&'static str),
    /// The entry is of a version that this program does not know.
    Version(u8),
    /// Longer than an entry may be, in bytes.
    TooLong(usize),
    /// The signing key is not the one that the feed's node id is the hash of.
    Author,
    /// The signature does not hold.
    Signature,
    /// The author is no member that we know of (yet): other feeds must be read first.
    UnknownAuthor(NodeId),
    /// Entries before this one are missing; `have` of the feed are here.
    Gap {
        /// The feed that lacks entries.
        feed: FeedId,
        /// How many of its entries are here.
        have: u64,
    },
    /// Exactly this entry is here already.
    Known,
    /// The author has signed two histories; the first that was seen is kept.
    Fork {
        /// The feed that was split.
        feed: FeedId,
        /// The first sequence number known to differ.
        sequence: u64,
    },
    /// The node was removed from the vault.
    Removed(NodeId),
    /// A chain of Admit entries does not lead from the root to a node: the reason.
    Chain(&'static str),
    /// A bound of `base/limits` is reached: which.
    Full(&'static str),
    /// This node signs nothing more for now: its disk did not take an entry.
    Stopped,
}

impl FeedError {
    /// Whether who sends such an entry breaks a rule: whoever keeps one has checked that it is sound and signed, whatever its version.
    #[must_use]
    pub const fn is_fault(&self) -> bool {
        matches!(self, Self::Malformed(_) | Self::TooLong(_) | Self::Author | Self::Signature)
    }
}

impl fmt::Display for FeedError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(part) => write!(formatter, "the feed entry is malformed: {part}"),
            Self::Version(version) => {
                write!(formatter, "the feed entry has version {version}, which this program does not know: update nuthatch")
            }
            Self::TooLong(bytes) => write!(formatter, "the feed entry would be {bytes} bytes long, which is too long: shorten its names or lists"),
            Self::Author => formatter.write_str("the signing key is not that of the feed's writer"),
            Self::Signature => formatter.write_str("the signature of the feed entry does not hold"),
            Self::UnknownAuthor(node) => write!(formatter, "node {} is no known member", node.short()),
            Self::Gap { feed, have } => {
                write!(formatter, "entries of the feed of node {} are missing after {have}", feed.node.short())
            }
            Self::Known => formatter.write_str("the feed entry is known already"),
            Self::Fork { feed, sequence } => write!(
                formatter,
                "node {} has written two histories from entry {sequence} on: was its disk copied or restored?",
                feed.node.short()
            ),
            Self::Removed(node) => write!(formatter, "node {} was removed from the vault", node.short()),
            Self::Chain(reason) => write!(formatter, "the admission is not valid: {reason}"),
            Self::Full(bound) => write!(formatter, "the limit of {bound} is reached"),
            Self::Stopped => formatter.write_str(
                "the disk did not take an earlier feed entry: free space on it, the node then starts anew by itself",
            ),
        }
    }
}

impl std::error::Error for FeedError {}
