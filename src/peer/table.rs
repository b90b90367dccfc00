//! The endpoint: all of a node's peers behind one socket.
//!
//! Owns: which datagram belongs to whom, sessions by node, what a session's end or replacement means, fairness between
//! sessions. Refuses: sockets, clocks, entropy (datagrams, time and a seed come in), and what messages mean. Read
//! first: PROTOCOL.md; then `opening.rs` (handshakes), `session.rs`, `invite.rs` and `join.rs` (pairing).

use super::desk::{Desk, Membership};
use super::invite::Invitation;
use super::join::Join;
use super::opening::Openings;
use super::pairing::{Code, Tag8};
use crate::base::ids::NodeId;
use crate::base::limits::PAIRING_JOINS_MAX;
use crate::base::units::Time;
use crate::feed::roster::Roster;
use crate::wire::frame::Lane;
use core::fmt;
use rand_core::RngCore;
use std::collections::BTreeMap;
use std::net::SocketAddr;

pub use super::event::{
    CloseReason, CodeError, Counters, Door, Event, Identity, PairFailure, PeerInfo, SendError,
};

/// All peers of a node behind one socket.
pub struct Endpoint {
    /// Randomness, datagrams to send, reports, counters.
    desk: Desk,
    /// What this node is in its vault; None before it is in one.
    member: Option<Membership>,
    /// Handshakes on their way.
    openings: Openings,
    /// This node's invitation.
    invitation: Option<Invitation>,
    /// This node's tries to join, by exchange.
    joins: BTreeMap<u64, Join>,
}

impl Endpoint {
    /// One that is in no vault yet: it can pair, and nothing else. All randomness comes from `seed`.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        let mut desk = Desk::new(seed);
        let mut incarnation = [0; 8];
        desk.random.fill_bytes(&mut incarnation);
        Self {
            desk,
            member: None,
            openings: Openings::new(incarnation),
            invitation: None,
            joins: BTreeMap::new(),
        }
    }

    /// The node is a member now. Until `set_roster`, it knows only who proves a chain from the root.
    pub fn open(&mut self, identity: Identity, door: Door) {
        self.member = Some(Membership::new(identity, &door));
    }

    /// Who the members are, and this node's Admit chain (raw entries, root first); again whenever either changes.
    /// Sessions of removed members end at once.
    pub fn set_roster(&mut self, roster: Roster, chain: Vec<Vec<u8>>) {
        if let Some(member) = &mut self.member {
            (member.roster, member.chain) = (roster, chain);
        }
    }

    /// Begins a session: with `peer`, or (None) with whatever member is there. Ends in Up or ConnectFailed; nothing
    /// happens if there is a session or the same is on its way.
    pub fn connect(&mut self, now: Time, peer: Option<NodeId>, address: SocketAddr) {
        let index = self.desk.random.next_u32();
        match &self.member {
            Some(member) => self.openings.begin(member, &mut self.desk, now, index, (peer, address)),
            None => self.desk.event(Event::ConnectFailed { peer, address }),
        }
    }

    /// Ends the session with `node`, if there is one.
    pub fn disconnect(&mut self, now: Time, node: NodeId) {
        let _ = (now, node);
    }

    /// A datagram has come. Opened in place.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, datagram: &mut [u8]) {
        let _ = (now, from, datagram);
    }

    /// The deadline has passed.
    pub fn handle_timeout(&mut self, now: Time) {
        self.openings.handle_timeout(&mut self.desk, now);
    }

    /// When `handle_timeout` is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.openings.deadline()
    }

    /// Writes the next datagram into `out` (at least `DATAGRAM_BYTES_MAX` bytes) and says to whom it goes and how long
    /// it is. Drained until None after every call.
    pub fn poll_transmit(&mut self, now: Time, out: &mut [u8]) -> Option<(SocketAddr, usize)> {
        let _ = now;
        let (to, datagram) = self.desk.next_datagram()?;
        out[..datagram.len()].copy_from_slice(&datagram);
        Some((to, datagram.len()))
    }

    /// What happened. Drained until None after every call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.desk.next_event()
    }

    /// Queues an encoded message.
    ///
    /// # Errors
    /// When there is no session, no room, or the message is longer than any may be.
    pub fn send(&mut self, now: Time, node: &NodeId, lane: Lane, message: Vec<u8>) -> Result<(), SendError> {
        let _ = (now, node, lane, message);
        Err(SendError::NoSession)
    }

    /// Bytes that `send` would still take; 0 without a session.
    #[must_use]
    pub fn room(&self, node: &NodeId, lane: Lane) -> usize {
        let _ = (node, lane);
        0
    }

    /// All sessions.
    pub fn peers(&self) -> impl Iterator<Item = PeerInfo> + '_ {
        core::iter::empty()
    }

    /// What was dropped in silence.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.desk.counters
    }

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

    /// Tries to join with a code at an address; ends in PairAnswered or PairFailed. The hello has at most
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
        self.joins.retain(|_, join| !join.is_over() && join.address() != address);
        let join = (self.joins.len() < PAIRING_JOINS_MAX)
            .then(|| Join::begin(&mut self.desk, now, address, code, hello))
            .flatten();
        match join {
            Some(join) => drop(self.joins.insert(join.exchange(), join)),
            None => self.desk.event(Event::PairFailed { reason: PairFailure::NoAnswer, from: address }),
        }
        Ok(())
    }

    /// Gives up all tries to join, silently.
    pub fn cancel_joins(&mut self) {
        self.joins.clear();
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Endpoint").field("desk", &self.desk).finish_non_exhaustive()
    }
}
