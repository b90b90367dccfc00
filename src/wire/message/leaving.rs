//! The messages of a holder that leaves groups: it asks others what they hold of all that it has released, and they answer from
//! what is true of them at that moment. Who may delete what, node/ knows.

use super::range::{check_groups, GROUPS_BYTES};
use super::{bounded, kind, put, start, Message, Reader, WireError};
use crate::base::ids::{FeedId, SnapshotId};
use crate::base::limits::LEAVING_SNAPSHOTS_MAX;

/// Asks what the receiver holds of these snapshots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaving {
    /// Drawn for this question.
    pub number: u64,
    /// The sender's feed in which it has released the groups,
    pub feed: FeedId,
    /// and how long that is with the Release in it: who does not know so much of it confirms nothing.
    pub length: u64,
    /// The groups, as a bitmap; empty: all.
    pub groups: Vec<u8>,
    /// At most [`LEAVING_SNAPSHOTS_MAX`].
    pub snapshots: Vec<SnapshotId>,
}

/// Answers a [`Leaving`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmed {
    /// Of the question.
    pub number: u64,
    /// The groups of which the sender holds every snapshot that was named, now, and of none of which it has written a Release
    /// since; a bitmap; empty: all.
    pub groups: Vec<u8>,
}

/// The bytes of a Leaving.
pub(super) fn encode_leaving(leaving: &Leaving) -> Result<Vec<u8>, WireError> {
    let Leaving { number, feed, length, groups, snapshots } = leaving;
    check_groups(groups)?;
    bounded(snapshots.len(), LEAVING_SNAPSHOTS_MAX)?;
    put(start(kind::LEAVING), &(number, feed, length, groups, snapshots))
}

/// The bytes of a Confirmed.
pub(super) fn encode_confirmed(confirmed: &Confirmed) -> Result<Vec<u8>, WireError> {
    check_groups(&confirmed.groups)?;
    put(start(kind::CONFIRMED), &(confirmed.number, &confirmed.groups))
}

/// Reads what [`encode_leaving`] wrote behind version and kind.
pub(super) fn read_leaving(reader: &mut Reader<'_>) -> Result<Message, WireError> {
    let (number, feed, length) = reader.take()?;
    let groups = reader.list(GROUPS_BYTES)?;
    check_groups(&groups)?;
    let snapshots = reader.list(LEAVING_SNAPSHOTS_MAX)?;
    Ok(Message::Leaving(Leaving { number, feed, length, groups, snapshots }))
}

/// Reads what [`encode_confirmed`] wrote behind version and kind.
pub(super) fn read_confirmed(reader: &mut Reader<'_>) -> Result<Message, WireError> {
    let (number, groups) = (reader.take()?, reader.list(GROUPS_BYTES)?);
    check_groups(&groups)?;
    Ok(Message::Confirmed(Confirmed { number, groups }))
}
