//! How the store fails, in words that end with what to do.
//!
//! Owns the one error enum of `store/`. Read `disk.rs` for the failures below it.

use std::fmt;

use super::disk::{DiskError, DiskErrorKind};
use crate::base::ids::ChunkId;
use crate::base::limits::RESERVE_BYTES;

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// The disk failed.
    Disk(DiskError),
    /// Storing this would use the reserve. Nothing was stored; reading goes on.
    Full {
        /// Free now.
        free_bytes: u64,
        /// Kept free.
        reserve_bytes: u64,
    },
    /// The chunk's bytes are no longer what they were; it is quarantined and counts as missing.
    Damaged {
        /// Which chunk.
        id: ChunkId,
    },
    /// The group that this belonged to could not be synced: it counts as not stored.
    NotSynced {
        /// What the disk said.
        cause: DiskError,
    },
    /// A newer nuthatch wrote this.
    NewerFormat {
        /// Which file.
        name: String,
        /// Its format.
        found: u32,
        /// The newest that this version reads.
        supported: u32,
    },
    /// A file that cannot be rebuilt from others is damaged.
    Corrupt {
        /// Which file.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A part of the data home is not there though another one is.
    Missing {
        /// What is not there.
        name: &'static str,
        /// What is.
        beside: &'static str,
    },
    /// The feed entry before those is not here: an earlier write failed, and a feed has no holes.
    Behind {
        /// The first sequence number of what was to be written.
        sequence: u64,
    },
    /// A request exceeds a bound of `base/limits.rs`.
    TooMuch {
        /// What of it.
        what: &'static str,
        /// How much it was.
        found: usize,
        /// How much it may be.
        limit: usize,
    },
}

impl From<DiskError> for StoreError {
    fn from(error: DiskError) -> Self {
        match error.kind {
            DiskErrorKind::Full => Self::Full { free_bytes: 0, reserve_bytes: RESERVE_BYTES },
            DiskErrorKind::NotFound | DiskErrorKind::Io | DiskErrorKind::ReadOnly => Self::Disk(error),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => error.fmt(formatter),
            Self::Full { free_bytes, reserve_bytes } => write!(
                formatter,
                "the disk is full: {} MiB are free and {} MiB of them are kept so that reading and restoring go on; \
                 free some space on this disk, or lower this node's capacity",
                free_bytes >> 20,
                reserve_bytes >> 20
            ),
            Self::Damaged { id } => write!(
                formatter,
                "chunk {} is damaged on this disk and was set aside; it is fetched again from another node, so keep one running",
                id.short()
            ),
            Self::NotSynced { cause } => {
                write!(formatter, "what was just written may be lost, it counts as not stored: {cause}")
            }
            Self::NewerFormat { name, found, supported } => write!(
                formatter,
                "`{name}` was written by a newer nuthatch (format {found}, this one reads up to {supported}); \
                 update nuthatch on this device"
            ),
            Self::Corrupt { name, reason } => write!(
                formatter,
                "`{name}` is damaged ({reason}) and was left as it is. Look at the health of this disk and keep a copy of the data home; \
                 then put back a copy of the home that you may have, or, in an empty home, use `nuthatch recover` (for a store \
                 node `nuthatch join`): the other devices have what was protected"
            ),
            Self::Missing { name, beside } => write!(
                formatter,
                "`{name}` is missing, though `{beside}` is there, and nothing was made in its place; check that the disk of this data home \
                 is mounted, whole and the right one, or put back what was moved. If it is gone for good, use `nuthatch recover` in an empty home \
                 (for a store node `nuthatch join`), and `nuthatch remove` for the node that this was: the other devices have what was protected"
            ),
            Self::Behind { sequence } => write!(
                formatter,
                "feed entry {sequence} was not written, for the one before it is not on the disk; the node starts anew by itself when the disk takes something again"
            ),
            Self::TooMuch { what, found, limit } => {
                write!(formatter, "{found} {what} in one request, at most {limit} are taken; ask for less at once")
            }
        }
    }
}

impl std::error::Error for StoreError {}
