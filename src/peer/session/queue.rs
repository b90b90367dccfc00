//! What a session takes to send.

use super::due::Found;
use super::{SendError, Session, State};
use crate::base::limits::{MESSAGE_BYTES_MAX, MESSAGE_HEAD_BYTES_MAX};
use crate::peer::send::MessageId;
use crate::wire::frame::Lane;

impl Session {
    /// Queues a message.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&mut self, lane: Lane, message: Vec<u8>) -> Result<MessageId, SendError> {
        self.send_headed(lane, &[], message)
    }

    /// Queues a message that begins with `head` and goes on with `body`, which is not copied.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send_headed(&mut self, lane: Lane, head: &[u8], body: Vec<u8>) -> Result<MessageId, SendError> {
        let length = head.len() + body.len();
        if matches!(self.state, State::Closed { .. }) {
            return Err(SendError::Closed);
        }
        if length == 0 {
            return Err(SendError::Empty);
        }
        if length > MESSAGE_BYTES_MAX || head.len() > MESSAGE_HEAD_BYTES_MAX {
            return Err(SendError::TooLong);
        }
        if length > self.outgoing.room(lane) {
            return Err(SendError::Full(body));
        }
        self.found = Found::default();
        Ok(self.outgoing.push(lane, head, body))
    }
}
