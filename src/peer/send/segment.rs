//! A message in a lane's queue.
//!
//! Owns its bytes and its place in the stream. Refuses to know what of it was sent.

use super::PREFIX_BYTES;
use crate::base::limits::MESSAGE_HEAD_BYTES_MAX;

/// A message in the queue, with its length in front.
#[derive(Debug)]
pub(super) struct Segment {
    /// Where its prefix begins in the lane's stream.
    pub(super) start: u64,
    /// The length of the message, and what of it is not in `body`.
    pub(super) head: heapless::Vec<u8, { PREFIX_BYTES + MESSAGE_HEAD_BYTES_MAX }>,
    /// The offset behind it.
    pub(super) end: u64,
    /// The message from there on; empty if it was withdrawn.
    pub(super) body: Vec<u8>,
}

impl Segment {
    /// A message at this place. The session refuses those that are too long.
    pub(super) fn new(start: u64, message_head: &[u8], body: Vec<u8>) -> Self {
        let length = u32::try_from(message_head.len() + body.len()).expect("at most MESSAGE_BYTES_MAX");
        let mut head = heapless::Vec::new();
        head.extend_from_slice(&length.to_le_bytes()).expect("a length fits");
        head.extend_from_slice(message_head).expect("at most MESSAGE_HEAD_BYTES_MAX");
        let end = start + u64::try_from(head.len() + body.len()).expect("lengths fit");
        Self { start, head, end, body }
    }

    /// Bytes that it has in memory.
    pub(super) fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Copies its bytes from `skip` on into `out`; how many.
    pub(super) fn copy(&self, skip: usize, out: &mut [u8]) -> usize {
        let head = self.head.get(skip..).unwrap_or_default();
        let copied = head.len().min(out.len());
        out[..copied].copy_from_slice(&head[..copied]);
        let from = (skip + copied).saturating_sub(self.head.len());
        let length = (self.body.len() - from).min(out.len() - copied);
        out[copied..copied + length].copy_from_slice(&self.body[from..from + length]);
        copied + length
    }
}
