//! The messages of comparing and proving, and their bounds.
//!
//! Owns the encoding of Digest and Range; what they mean is PROTOCOL.md's "Reconciliation" and `replicate/reconcile.rs`.

use super::{bounded, kind, put, start, Message, Reader, WireError};
use crate::base::ids::ChunkId;
use crate::base::limits::{RANGE_IDS_MAX, RANGE_PARTS_MAX};
use crate::base::ranges::IdRange;
use serde::{Deserialize, Serialize};

/// Names an exchange, and salts its fingerprints and short ids: drawn at random for each.
pub type ExchangeId = [u8; 16];

/// A fingerprint of a range, or a short id, salted with the exchange.
pub type Short = [u8; 8];

/// What the sender of a Range has still to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// All that was asked is answered.
    Whole,
    /// More differs than the sender says in one message.
    Cut,
    /// The sender does not compare now: it is busy, or has answered enough for the hour.
    Refused,
}

/// What is said of one range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which range.
    pub range: IdRange,
    /// What of it.
    pub says: Says,
}

/// See [`Part`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// The fingerprints of its children, in order.
    Children(Box<[Short; IdRange::CHILDREN]>),
    /// Every id of the sender in it, short; at most [`RANGE_IDS_MAX`].
    Shorts(Vec<Short>),
    /// Ids of the sender in it which the receiver may lack, ascending; at most [`RANGE_IDS_MAX`].
    Ids(Vec<ChunkId>),
}

/// A Digest.
pub(super) fn encode_digest(
    exchange: &ExchangeId,
    groups: &[u8],
    count: u64,
    fingerprint: &Short,
) -> Result<Vec<u8>, WireError> {
    check_groups(groups)?;
    put(start(kind::DIGEST), &(exchange, groups, count, fingerprint))
}

/// A Range.
pub(super) fn encode_range(
    exchange: &ExchangeId,
    standing: Standing,
    parts: &[Part],
) -> Result<Vec<u8>, WireError> {
    bounded(parts.len(), RANGE_PARTS_MAX)?;
    let mut bytes = put(start(kind::RANGE), &(exchange, standing, parts.len()))?;
    for Part { range, says } in parts {
        bytes = put(bytes, &(range.level(), range.number()))?;
        match says {
            Says::Children(children) => {
                bytes.push(0);
                bytes.extend_from_slice(children.as_flattened());
            }
            Says::Shorts(shorts) => {
                bounded(shorts.len(), RANGE_IDS_MAX)?;
                bytes = put(bytes, &(1_u8, shorts))?;
            }
            Says::Ids(ids) => {
                bounded(ids.len(), RANGE_IDS_MAX)?;
                bytes = put(bytes, &(2_u8, ids))?;
            }
        }
    }
    Ok(bytes)
}

impl Reader<'_> {
    /// The rest of a Digest.
    pub(super) fn digest(&mut self) -> Result<Message, WireError> {
        let (exchange, groups) = (self.take()?, self.list(GROUPS_BYTES)?);
        check_groups(&groups)?;
        Ok(Message::Digest { exchange, groups, count: self.take()?, fingerprint: self.take()? })
    }

    /// The rest of a Range.
    pub(super) fn range(&mut self) -> Result<Message, WireError> {
        let (exchange, standing, count): (_, _, usize) = self.take()?;
        bounded(count, RANGE_PARTS_MAX)?;
        let parts = (0..count).map(|_| self.part()).collect::<Result<_, _>>()?;
        Ok(Message::Range { exchange, standing, parts })
    }

    /// The rest of a Challenge.
    pub(super) fn challenge(&mut self) -> Result<Message, WireError> {
        let (nonce, id, offset, length) = self.take()?;
        Ok(Message::Challenge { nonce, id, offset, length })
    }

    /// One part of a Range.
    fn part(&mut self) -> Result<Part, WireError> {
        let (level, number, form): (u8, u64, u8) = self.take()?;
        let range = IdRange::new(level, number).ok_or(WireError::Malformed)?;
        let says = match form {
            0 => {
                let (children, rest) =
                    self.0.split_first_chunk::<CHILDREN_BYTES>().ok_or(WireError::Malformed)?;
                self.0 = rest;
                let mut shorts = Box::new([[0; SHORT_BYTES]; IdRange::CHILDREN]);
                shorts.as_flattened_mut().copy_from_slice(children);
                Says::Children(shorts)
            }
            1 => Says::Shorts(self.list(RANGE_IDS_MAX)?),
            2 => Says::Ids(self.list(RANGE_IDS_MAX)?),
            _ => return Err(WireError::Malformed),
        };
        Ok(Part { range, says })
    }
}

/// Groups are all of them (nothing) or a whole bitmap.
pub(super) fn check_groups(groups: &[u8]) -> Result<(), WireError> {
    match groups.len() {
        0 | GROUPS_BYTES => Ok(()),
        _ => Err(WireError::Malformed),
    }
}

/// Bytes of a bitmap of the placement groups.
pub const GROUPS_BYTES: usize = 512;
/// Bytes of a [`Short`].
const SHORT_BYTES: usize = 8;
/// Bytes of the fingerprints of all children.
const CHILDREN_BYTES: usize = SHORT_BYTES * IdRange::CHILDREN;
