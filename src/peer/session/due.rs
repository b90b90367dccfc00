//! When a session has something to do, and whether it has.
//!
//! A node asks that of all its sessions whatever happens to it, and most of the time nothing has happened to most of them: so the answers
//! are kept until something does.

use super::{Session, State};
use crate::base::units::Time;
use core::cell::Cell;

/// What follows from the state of a session, so that one to which nothing happens costs nothing whenever its node does something. Every
/// method that changes the state forgets it.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// There is nothing to send, whatever the clock says, until something happens or an acknowledgement is due.
    pub(super) quiet: bool,
    /// The deadline.
    deadline: Cell<Option<Option<Time>>>,
}

impl Session {
    /// When [`Self::handle_timeout`] is to be called; None if never. After that call it lies ahead, even while a full
    /// socket keeps [`Self::poll_transmit`] from being drained.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let known = self.found.deadline.get();
        known.unwrap_or_else(|| {
            let deadline = self.work_out_deadline();
            self.found.deadline.set(Some(deadline));
            deadline
        })
    }

    /// Whether [`Self::poll_message`] has one.
    #[must_use]
    pub fn has_message(&self) -> bool {
        self.incoming.lanes.iter().any(|lane| lane.is_ready())
    }

    /// Tests: what is remembered is what would be found out now.
    #[cfg(test)]
    pub(super) fn assert_found(&self) {
        assert!(self.found.deadline.get().is_none_or(|known| known == self.work_out_deadline()), "{self:?}");
        let asks = self.outgoing.is_pending() || self.probes > 0 || self.ping;
        let credits = self.incoming.is_any_credit_due() || self.outgoing.is_any_want_due();
        let is_open = matches!(self.state, State::Open);
        assert!(!(self.found.quiet && is_open && (asks || credits)), "{self:?}");
    }

    /// The deadline that follows from the state.
    fn work_out_deadline(&self) -> Option<Time> {
        if matches!(self.state, State::Closed { .. }) {
            return None;
        }
        let ping = self.life.ping_at().filter(|_| !self.ping);
        let probe = self.sent.deadline(&self.trip).filter(|_| self.probes == 0);
        let paced = self.outgoing.is_pending() && self.fits_window();
        let pace = paced.then(|| self.pacer.ready_at(self.rate(), self.trip.smoothed(), self.datagram()));
        // What was due at the last call of handle_timeout() waits for poll_transmit() and for no clock.
        let new = self.received.due().into_iter().chain(pace).filter(|due| *due > self.timeout_at);
        let others = [self.life.ends_at(), self.keys.deadline(), ping, probe].into_iter().flatten();
        others.chain(new).min()
    }

    /// Whether there was nothing to send when that was asked last, nothing has happened since, and no acknowledgement is due.
    #[must_use]
    pub fn is_quiet(&self, now: Time) -> bool {
        self.found.quiet && !self.received.is_due(now)
    }
}
