//! A session that remembers whether anything was done to it since it was asked last: of many sessions nearly all have nothing to say,
//! and are not asked again with every packet of the others.
//!
//! What a session would answer changes only when something is done to it, or when its deadline comes. Whatever is done to it goes
//! through `DerefMut`, so nothing can be forgotten.

use crate::base::units::Time;
use crate::peer::session::Session;
use crate::wire::frame::Lane;
use core::ops::{Deref, DerefMut};

/// See above.
pub(super) struct Watched {
    /// It.
    session: Session,
    /// Nothing is to be sent before this deadline (if there is one); None: that is not known.
    quiet_until: Option<Option<Time>>,
    /// It has nothing to report.
    is_told: bool,
}

impl Watched {
    /// One that was not asked yet.
    pub const fn new(session: Session) -> Self {
        Self { session, quiet_until: None, is_told: false }
    }

    /// The session alone.
    pub fn into_inner(self) -> Session {
        self.session
    }

    /// See [`Session::deadline`].
    pub fn deadline(&self) -> Option<Time> {
        self.quiet_until.unwrap_or_else(|| self.session.deadline())
    }

    /// See [`Session::poll_batch`].
    pub fn poll_batch(&mut self, now: Time, out: &mut [u8]) -> Option<(usize, usize)> {
        if self.quiet_until.is_some_and(|due| due.is_none_or(|due| now < due)) {
            return None;
        }
        let batch = self.session.poll_batch(now, out);
        if batch.is_some() {
            (self.quiet_until, self.is_told) = (None, false);
        } else {
            self.quiet_until = Some(self.session.deadline());
        }
        batch
    }

    /// See [`Session::poll_message`].
    pub fn poll_message(&mut self) -> Option<(Lane, Vec<u8>)> {
        if self.is_told {
            return None;
        }
        let message = self.session.poll_message();
        if message.is_some() {
            self.quiet_until = None;
        }
        message
    }

    /// Whether it was seen to have nothing to report: neither a message nor its end nor room.
    pub const fn is_told(&self) -> bool {
        self.is_told
    }

    /// All that it had to report was taken.
    pub const fn told(&mut self) {
        self.is_told = true;
    }
}

impl Deref for Watched {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for Watched {
    fn deref_mut(&mut self) -> &mut Session {
        (self.quiet_until, self.is_told) = (None, false);
        &mut self.session
    }
}
