//! What an endpoint does for pairing: one invitation, and this node's tries to join.
//!
//! Read first: `table.rs`; then `peer/invite.rs` and `peer/joins.rs`, which decide.

use super::{CloseReason, CodeError, Endpoint, SendError};
use crate::base::units::Time;
use crate::peer::invite::Invitation;
use crate::peer::pairing::{Code, Tag8};
use crate::wire::packet::{Pair, PairStage};
use std::net::SocketAddr;

impl Endpoint {
    /// Opens an invitation with this code, in place of one that is there. Gives its random tag.
    ///
    /// # Errors
    /// When the code has not eight digits.
    pub fn open_invitation(&mut self, now: Time, code: &str) -> Result<Tag8, CodeError> {
        let code = Code::parse(code)?;
        self.close_invitation(now);
        let invitation = Invitation::open(&mut self.desk, now, code);
        Ok(self.invitation.insert(invitation).tag())
    }

    /// Closes the invitation, if one is open.
    pub fn close_invitation(&mut self, now: Time) {
        if let Some(invitation) = &mut self.invitation {
            invitation.close(&mut self.desk, now, CloseReason::Withdrawn);
        }
    }

    /// Answers a PairRequest with at most `PAIRING_PAYLOAD_BYTES_MAX` bytes; the invitation is used up by that.
    ///
    /// # Errors
    /// When the request has lapsed, or the payload is too long.
    pub fn answer_pairing(&mut self, now: Time, ticket: u64, payload: Vec<u8>) -> Result<(), SendError> {
        let invitation = self.invitation.as_mut().ok_or(SendError::NoSession)?;
        invitation.answer(&mut self.desk, now, ticket, payload)
    }

    /// Answers a PairRequest with no: this node cannot let the joiner in. The invitation stays open for others.
    pub fn decline_pairing(&mut self, now: Time, ticket: u64) {
        if let Some(invitation) = &mut self.invitation {
            invitation.decline(&mut self.desk, now, ticket);
        }
    }

    /// Tries to join with a code at an address, in turn where several lead to one invitation; ends in PairAnswered or PairFailed. The hello has at most
    /// `PAIRING_HELLO_BYTES_MAX` bytes.
    ///
    /// # Errors
    /// When the code has not eight digits. (A hello that is too long, or too many tries at once, is PairFailed.)
    pub fn join(
        &mut self,
        now: Time,
        address: SocketAddr,
        code: &str,
        hello: Vec<u8>,
    ) -> Result<(), CodeError> {
        let code = Code::parse(code)?;
        self.joins.begin(&mut self.desk, now, address, code, hello);
        Ok(())
    }

    /// Whether this node tries to join somewhere.
    #[must_use]
    pub fn is_joining(&self) -> bool {
        self.joins.count() > 0
    }

    /// Gives up all tries to join, silently.
    pub fn cancel_joins(&mut self) {
        self.joins.clear();
    }

    /// A pairing datagram: from a joiner, if this node invites; from an inviter, if it tries to join.
    pub(super) fn on_pair(&mut self, now: Time, from: SocketAddr, pair: &Pair<'_>) {
        match pair.header.stage {
            PairStage::Hello | PairStage::Confirm => match &mut self.invitation {
                Some(invitation) => invitation.handle(&mut self.desk, now, from, pair),
                None => self.desk.counters.strangers += 1,
            },
            PairStage::Reply | PairStage::Answer => self.joins.handle(&mut self.desk, now, from, pair),
        }
    }
}
