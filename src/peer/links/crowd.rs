//! How many sessions there may be, who is turned away, and last words.

use super::{Leaving, Links};
use crate::base::limits::{FAREWELL_TIME, SESSIONS_MAX};
use crate::base::units::Time;
use crate::peer::desk::Desk;
use crate::peer::session::{CloseCode, CloseReason, Session};
use std::net::SocketAddr;

impl Links {
    /// How many sessions there may be from now on, at most [`SESSIONS_MAX`]; those that are there stay.
    pub fn set_sessions_max(&mut self, count: usize) {
        self.sessions_max = Some(count.min(SESSIONS_MAX));
    }

    /// Whether no session fits any more.
    pub(super) fn is_crowded(&self) -> bool {
        self.links.len() >= self.sessions_max.unwrap_or(SESSIONS_MAX)
    }

    /// Ends a session that does not fit, before anybody here has heard of it: its peer is told why, so that it does not
    /// wait for answers, and does not come again at once.
    pub(super) fn turn_away(
        &mut self,
        desk: &mut Desk,
        now: Time,
        index: u32,
        address: SocketAddr,
        mut session: Session,
    ) {
        desk.counters.refused += 1;
        session.close(CloseCode::Crowded);
        self.remember(now, index, address, session);
    }

    /// Keeps a closed session for its last words.
    pub(super) fn remember(&mut self, now: Time, index: u32, address: SocketAddr, session: Session) {
        if self.leaving.len() >= SESSIONS_MAX {
            self.leaving.remove(0);
        }
        self.leaving.push(Leaving { index, address, session, until: now + FAREWELL_TIME });
    }
}

/// Whether the peer has ended the session because it holds as many as it may.
pub(super) fn is_crowded(session: &Session) -> bool {
    matches!(session.is_closed(), Some(CloseReason::Peer { code, .. }) if *code == CloseCode::Crowded.number())
}
