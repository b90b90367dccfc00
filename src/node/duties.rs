//! The kinds of duties, and what tells them apart for those who do not do them.

use super::backup::Backup;
use super::keep::Keep;
use super::list::Lines;
use super::marking::Pass;
use super::merging::Merging;
use super::ports::CallId;
use super::restore::Restore;
use super::upload::Upload;
use super::verify::Verify;
use crate::base::ids::FolderId;

/// A job of many turns.
pub(super) enum Duty {
    /// A folder is scanned.
    Backup(Box<Backup>, FolderId),
    /// What others have made of a shared folder becomes part of it.
    Merge(Box<Merging>, FolderId),
    /// A client sends a file of a shared folder.
    Upload(Box<Upload>, CallId),
    /// A snapshot is streamed to a client.
    Restore(Box<Restore>, CallId),
    /// Something of snapshots is listed for a client.
    List(Box<dyn Lines>, CallId),
    /// Everything is checked for a client, or looked through because something was lost here.
    Verify(Box<Verify>, Option<CallId>),
    /// A share is kept.
    Keep(Box<Keep>),
    /// What no manifest lists is given up.
    Collect(Box<Pass>),
}

impl Duty {
    /// Whether it lists chunks, or counts on their being here: nothing is given up beside it.
    pub(super) const fn lists(&self) -> bool {
        matches!(self, Self::Backup(..) | Self::Merge(..) | Self::Upload(..) | Self::Keep(_))
    }
}
