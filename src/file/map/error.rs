//! What can be wrong with a map.

use crate::base::ids::ChunkId;
use core::fmt;

/// Why entries make no map, or bytes are no part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapError {
    /// A key is not greater than the one before it.
    Order,
    /// A key, an entry, a tail or a node is longer than it may be.
    TooLong,
    /// More levels than a map can have.
    TooDeep,
    /// The node was written by a version of nuthatch that is newer than this one, or is damaged.
    Format(u8),
    /// The bytes are no node.
    Malformed,
    /// The node is of another level than its place.
    Level {
        /// What it says.
        found: u8,
    },
    /// The node's keys are not those that its parent tells of.
    Range,
    /// This node was not asked for.
    Unexpected(ChunkId),
}

impl fmt::Display for MapError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order => formatter.write_str("keys of a map do not ascend"),
            Self::TooLong => formatter.write_str("an entry or node of a map is longer than it may be"),
            Self::TooDeep => formatter.write_str("a map has too many levels"),
            Self::Format(format) => {
                write!(
                    formatter,
                    "map node of format {format}, which this version does not know: update nuthatch"
                )
            }
            Self::Malformed => formatter.write_str("map node is malformed"),
            Self::Level { found } => {
                write!(formatter, "map node of level {found} stands in another level's place")
            }
            Self::Range => formatter.write_str("map node's keys are not those that its parent tells of"),
            Self::Unexpected(id) => write!(formatter, "map node {} was not asked for", id.short()),
        }
    }
}

impl std::error::Error for MapError {}
