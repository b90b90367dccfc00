//! What is said of watches over folders, in both directions. Read `node/ports.rs` first, which has them among its words.

use super::writing::Touched;
use crate::base::ids::FolderId;
#[cfg(doc)]
use crate::{base::limits::WATCHES_MAX, node::ports::FileRequest};

/// What watches over folders tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Something in the folder has changed, or may have.
    Changed(FolderId, Touched),
    /// So much happened that some of it was not told: something may have changed in any watched folder.
    Overflowed,
    /// Directories of this folder are watched from now on.
    Watching {
        /// Which folder.
        folder: FolderId,
        /// How many directories are.
        directories: u64,
        /// How many are not, though they should be.
        missed: u64,
        /// Why the last of those is not.
        reason: Option<Unwatched>,
    },
    /// The system gives no watches at all, in its words.
    Unavailable(String),
}

/// Why a directory is not watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unwatched {
    /// The system's limit on watches (`fs.inotify.max_user_watches`), if that is known.
    Limit {
        /// What it is at present.
        limit: Option<u64>,
    },
    /// This program's own ([`WATCHES_MAX`]).
    Bound,
    /// Something else, in the system's words.
    Failed {
        /// Those.
        reason: String,
    },
}

/// What becomes of the watches over a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchOrder {
    /// A scan begins: what it lists ([`FileRequest::List`] with `watch`) is watched from then on.
    Begin(FolderId),
    /// It has come to its end: what it did not list is watched no more.
    End(FolderId),
    /// The folder is watched no more.
    Forget(FolderId),
}
