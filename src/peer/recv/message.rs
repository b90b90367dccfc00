//! The message that a lane's receiver is putting together.
//!
//! Owns its bytes. Refuses to know which of them have arrived.

use super::within;

/// The message that is being put together. Its length is known, and the credit covers it.
#[derive(Debug)]
pub(super) struct Message {
    /// Where its first byte behind the prefix lies in the stream.
    pub(super) start: u64,
    /// The offset behind it.
    pub(super) end: u64,
    /// Its bytes as far as any have arrived; gaps are zeros until they are filled.
    pub(super) body: Vec<u8>,
}

impl Message {
    /// Puts bytes of it, which begin at `offset` of the stream, into their place.
    pub(super) fn write(&mut self, offset: u64, data: &[u8]) {
        let place = within(offset - self.start);
        if place > self.body.len() {
            self.body.resize(place, 0);
        }
        let known = (self.body.len() - place).min(data.len());
        self.body[place..place + known].copy_from_slice(&data[..known]);
        self.body.extend_from_slice(&data[known..]);
    }
}
