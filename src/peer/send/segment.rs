//! A message in a lane's queue.
//!
//! Owns its bytes and its place in the stream. Refuses to know what of it was sent.

use super::PREFIX_BYTES;

/// A message in the queue, with its length in front.
#[derive(Debug)]
pub(super) struct Segment {
    /// Where its prefix begins in the lane's stream.
    pub(super) start: u64,
    /// The length of `body`.
    pub(super) prefix: [u8; PREFIX_BYTES],
    /// The offset behind it.
    pub(super) end: u64,
    /// The message; empty if it was withdrawn.
    pub(super) body: Vec<u8>,
}

impl Segment {
    /// Bytes that it has in memory.
    pub(super) fn len(&self) -> usize {
        PREFIX_BYTES + self.body.len()
    }

    /// Copies its bytes from `skip` on into `out`; how many.
    pub(super) fn copy(&self, skip: usize, out: &mut [u8]) -> usize {
        let mut copied = 0;
        if skip < PREFIX_BYTES {
            copied = (PREFIX_BYTES - skip).min(out.len());
            out[..copied].copy_from_slice(&self.prefix[skip..skip + copied]);
        }
        let from = (skip + copied).saturating_sub(PREFIX_BYTES);
        let length = (self.body.len() - from).min(out.len() - copied);
        out[copied..copied + length].copy_from_slice(&self.body[from..from + length]);
        copied + length
    }
}
