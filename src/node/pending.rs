//! What the core's own requests to the storage thread are about, so that their answers find their way.

use super::ports::CallId;
use crate::base::ids::{FeedId, NodeId};

/// What one of the core's own operations is about.
#[derive(Debug)]
pub(super) enum Pending {
    /// Settings at the start.
    LoadSettings,
    /// Feed entries at the start.
    LoadEntries,
    /// Entries became durable: show them to others, then go on with this.
    Append(super::after::Appended),
    /// Entries for a peer that wants them.
    ReadEntries {
        /// Who.
        peer: NodeId,
        /// Of which feed.
        feed: FeedId,
        /// From where on.
        from: u64,
    },
    /// Settings were saved; then go on with this.
    Save(super::after::AfterSave),
    /// Numbers of the store for a status call.
    Stats(CallId),
    /// Numbers of the store for a pass that begins.
    Upkeep,
    /// Numbers of the store for a share that is to begin.
    Room,
    /// Numbers of the store for what is offered to others.
    Offer,
    /// A step of compaction.
    Compact,
    /// A step of the scrub.
    Scrub,
}
