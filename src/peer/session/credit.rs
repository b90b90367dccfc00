//! What a session may hold, and what it may queue.
//!
//! Read "Flow control" in `wire/PROTOCOL.md` first.

use super::due::Found;
use super::{CloseCode, Session, State};
use crate::base::limits::MESSAGE_BYTES_MAX;
use crate::base::units::Time;
use crate::peer::pool::Pool;
use crate::peer::reasons::code_of;
use crate::peer::send::MessageId;
use crate::wire::frame::Lane;

impl Session {
    /// Says again what was said in packets that were lost: credits, one bit a lane, and what is wanted, four bits above.
    pub(super) fn repeat_credits(&mut self, bits: u8) {
        self.incoming.repeat_credits(bits & 0x0f);
        self.outgoing.repeat_wants(bits >> 4);
    }

    /// Gives the peer credit, from what the session has of its own and from the pool of all sessions. To be called after
    /// every packet and every message that was taken.
    pub fn settle(&mut self, now: Time, pool: &mut Pool) {
        self.found = Found::default();
        let result = pool.settle(now, self.local_index, &mut self.incoming);
        if let (Err(error), State::Open) = (result, &self.state) {
            self.violate(code_of(error));
        }
    }

    /// Ends the session if the peer has had credit for too long that others wait for; whether it did.
    pub fn cut_if_sitting(&mut self, now: Time, pool: &Pool) -> bool {
        let sits =
            matches!(self.state, State::Open) && pool.is_sitting(now, self.local_index, &mut self.incoming);
        if sits {
            self.close(CloseCode::Sitting);
        }
        sits
    }

    /// The session is forgotten: its credit is free.
    pub fn leave(&self, pool: &mut Pool) {
        pool.leave(self.local_index, &self.incoming);
    }

    /// Withdraws a message, unless all of it was sent; whether it did.
    pub fn cancel(&mut self, message: MessageId) -> bool {
        self.found = Found::default();
        self.outgoing.cancel(message)
    }

    /// The longest message that [`Self::send`] takes on this lane now, in bytes.
    #[must_use]
    pub fn room(&self, lane: Lane) -> usize {
        match self.state {
            State::Open => self.outgoing.room(lane).min(MESSAGE_BYTES_MAX),
            State::Closed { .. } => 0,
        }
    }

    /// Bytes that are queued or not acknowledged yet.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.outgoing.queued()
    }

    /// Bytes of lanes that have arrived, each counted once.
    #[must_use]
    pub const fn arrived(&self) -> u64 {
        self.incoming.arrived()
    }

    /// Its place among those who would send: Control and Interactive come first, and last who has only background work.
    #[must_use]
    pub fn rank(&self) -> u8 {
        1 + u8::from(self.outgoing.is_yielding()) - u8::from(self.outgoing.is_urgent_pending())
    }

    /// Bytes that incoming lanes hold in memory.
    #[must_use]
    pub fn held(&self) -> usize {
        self.incoming.bytes()
    }
}
