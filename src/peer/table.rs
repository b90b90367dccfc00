//! The endpoint: all of a node's peers behind one socket.
//!
//! Owns: which datagram belongs to whom, sessions by node, what a session's end or replacement means, fairness between
//! sessions. Refuses: sockets, clocks, entropy (datagrams, time and a seed come in), and what messages mean. Read
//! first: PROTOCOL.md; then `opening.rs` (handshakes), `session.rs`, `invite.rs` and `join.rs` (pairing).

use super::desk::{Desk, Membership};
use super::invite::Invitation;
use super::joins::Joins;
use super::links::Links;
use super::opening::Openings;
use super::reasons::CloseCode;
pub use super::send::MessageId;
use crate::base::ids::NodeId;
use crate::base::limits::SESSION_KEEPALIVE;
use crate::base::units::{Span, Time};
use crate::feed::roster::Roster;
use crate::wire::frame::Lane;
use crate::wire::packet::{self, Cookie, Data, Handshake, Packet, PacketError, Versions};
use core::fmt;
use rand_core::RngCore;
use std::net::SocketAddr;

pub use super::event::{
    CloseReason, CodeError, Counters, Door, Event, Identity, PairFailure, PeerInfo, SendError, Transmit,
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
    /// This node's tries to join.
    joins: Joins,
    /// Sessions.
    links: Links,
    /// The latest time that it was told.
    now: Time,
    /// How often this node wants idle sessions to prove their life.
    keepalive: Option<Span>,
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
            joins: Joins::default(),
            links: Links::default(),
            now: Time::ZERO,
            keepalive: Some(SESSION_KEEPALIVE),
        }
    }

    /// How often this node wants an idle session to prove its life, in whole seconds (None: it need not); for sessions
    /// that begin from now on.
    pub fn set_keepalive(&mut self, keepalive: Option<Span>) {
        self.keepalive = keepalive;
        if let Some(member) = &mut self.member {
            member.keepalive = keepalive;
        }
    }

    /// The node is a member now. Until `set_roster`, it knows only who proves a chain from the root.
    pub fn open(&mut self, identity: Identity, door: Door) {
        self.links.clear(&mut self.desk);
        self.openings.clear();
        self.member = Some(Membership::new(identity, &door, self.keepalive));
    }

    /// Who the members are, and this node's Admit chain (raw entries, root first); again whenever either changes.
    /// Sessions of removed members end at once.
    pub fn set_roster(&mut self, roster: Roster, chain: Vec<Vec<u8>>) {
        if let Some(member) = &mut self.member {
            self.links.set_roster(&mut self.desk, &roster);
            self.openings.set_roster(&roster);
            (member.roster, member.chain) = (roster, chain);
        }
    }

    /// Begins a session: with `peer`, or (None) with whatever member is there. Ends in Up or ConnectFailed; nothing
    /// happens if there is a session with the peer, or the same is on its way.
    pub fn connect(&mut self, now: Time, peer: Option<NodeId>, address: SocketAddr) {
        self.see(now);
        let index = self.free_index();
        let Some(member) = &self.member else {
            return self.desk.event(Event::ConnectFailed { peer, address });
        };
        if peer == Some(member.identity.node) {
            return self.desk.event(Event::ConnectFailed { peer, address });
        }
        if peer.is_none_or(|node| !self.links.has_node(&node)) {
            self.openings.begin(member, &mut self.desk, now, index, (peer, address));
        }
    }

    /// Ends the session with `node`, if there is one, and what is on its way to become one.
    pub fn disconnect(&mut self, now: Time, node: NodeId) {
        self.see(now);
        self.openings.abandon(&node);
        self.links.disconnect(&mut self.desk, now, &node, CloseCode::Done);
    }

    /// Ends the session with `node` to make room for others, and says so: it does not begin another one for a while.
    pub fn make_room(&mut self, now: Time, node: NodeId) {
        self.see(now);
        self.links.disconnect(&mut self.desk, now, &node, CloseCode::Crowded);
    }

    /// How many sessions there may be, at most [`SESSIONS_MAX`](crate::base::limits::SESSIONS_MAX). Who comes beyond is
    /// told so.
    pub fn set_sessions_max(&mut self, count: usize) {
        self.links.set_sessions_max(count);
    }

    /// This node stops: all sessions end, and each peer is told so by one datagram. Then drain `poll_transmit` once more.
    pub fn farewell(&mut self, now: Time) {
        self.see(now);
        self.openings.clear();
        let peers: Vec<NodeId> = self.links.peers().map(|peer| peer.node).collect();
        for node in peers {
            self.links.disconnect(&mut self.desk, now, &node, CloseCode::Done);
        }
    }

    /// Gives up what was begun at `address` and not answered yet: whoever is there was reached elsewhere.
    pub fn abandon(&mut self, now: Time, address: SocketAddr) {
        self.see(now);
        self.openings.abandon_at(address);
    }

    /// This node's own addresses have changed: all peers are told at once, by a packet from the new ones.
    pub fn on_moved(&mut self, now: Time) {
        self.see(now);
        self.links.on_moved(now);
    }

    /// A datagram has come; any bytes will do. It is opened in place. Then drain `poll_event`, then `poll_transmit`.
    pub fn handle_datagram(&mut self, now: Time, from: SocketAddr, datagram: &mut [u8]) {
        self.see(now);
        self.desk.counters.received_bytes += u64::try_from(datagram.len()).unwrap_or(0);
        match packet::parse(datagram) {
            Ok(Packet::Data(data)) => self.on_data(now, from, data),
            Ok(Packet::Handshake(handshake)) => self.on_handshake(now, from, &handshake),
            Ok(Packet::Pair(pair)) => self.on_pair(now, from, &pair),
            Ok(Packet::Versions(versions)) => self.on_versions(&versions),
            Ok(Packet::Cookie(cookie)) => self.on_cookie(&cookie),
            Err(PacketError::UnknownVersion(_)) => self.on_other_version(from, datagram),
            Err(_) => self.desk.counters.garbage += 1,
        }
    }

    /// The deadline has passed. Then drain `poll_event`, then `poll_transmit`.
    pub fn handle_timeout(&mut self, now: Time) {
        self.see(now);
        self.openings.handle_timeout(&mut self.desk, now);
        self.links.handle_timeout(&mut self.desk, now);
        if self.invitation.as_mut().is_some_and(|invitation| !invitation.handle_timeout(&mut self.desk, now))
        {
            self.invitation = None;
        }
        self.joins.handle_timeout(&mut self.desk, now);
    }

    /// When `handle_timeout` is to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let invitation = self.invitation.as_ref().map(Invitation::deadline);
        [self.openings.deadline(), self.links.deadline(), invitation, self.joins.deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Writes the next datagrams for one peer into `out` (at least `DATAGRAM_BYTES_BASE` bytes): as many as are ready and
    /// fit. Drained until None after every call, and after `poll_event`: taking messages gives peers credit.
    pub fn poll_transmit(&mut self, now: Time, out: &mut [u8]) -> Option<Transmit> {
        self.see(now);
        let transmit = match self.desk.next_datagram() {
            None => self.links.poll_transmit(now, out)?,
            Some((to, datagram)) => {
                out.get_mut(..datagram.len())?.copy_from_slice(&datagram);
                Transmit { to, length: datagram.len(), segment: datagram.len() }
            }
        };
        self.desk.counters.sent_bytes += u64::try_from(transmit.length).unwrap_or(0);
        Some(transmit)
    }

    /// What happened. Drained until None after every call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.desk.next_event().or_else(|| self.links.poll_event(&mut self.desk, self.now))
    }

    /// Queues an encoded message.
    ///
    /// # Errors
    /// When there is no session, no room (Room will be reported), or the message is empty or longer than any may be.
    pub fn send(
        &mut self,
        now: Time,
        node: &NodeId,
        lane: Lane,
        message: Vec<u8>,
    ) -> Result<MessageId, SendError> {
        self.see(now);
        self.links.send(node, lane, message)
    }

    /// Queues a message that begins with `head` and goes on with `body`, which is not copied.
    ///
    /// # Errors
    /// As [`Self::send`], with the body if there was no room.
    pub fn send_headed(
        &mut self,
        now: Time,
        node: &NodeId,
        lane: Lane,
        head: &[u8],
        body: Vec<u8>,
    ) -> Result<MessageId, (SendError, Option<Vec<u8>>)> {
        self.see(now);
        self.links.send_headed(node, lane, head, body)
    }

    /// Withdraws a message that `send` took in the session that there is now, unless all of it was sent; whether it did.
    pub fn cancel(&mut self, node: &NodeId, message: MessageId) -> bool {
        self.links.cancel(node, message)
    }

    /// Limits what all sessions together send and receive, in bytes a second; None: no limit.
    pub fn set_bandwidth(&mut self, now: Time, up: Option<u64>, down: Option<u64>) {
        self.see(now);
        self.links.set_bandwidth(now, up, down);
    }

    /// Bytes that `send` would still take; 0 without a session.
    #[must_use]
    pub fn room(&self, node: &NodeId, lane: Lane) -> usize {
        self.links.room(node, lane)
    }

    /// All sessions.
    pub fn peers(&self) -> impl Iterator<Item = PeerInfo> + '_ {
        self.links.peers()
    }

    /// What was dropped in silence, and how much was sent and received.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.desk.counters
    }
}

/// What datagrams lead to.
impl Endpoint {
    /// A packet of a session, or the first one of a session to be.
    fn on_data(&mut self, now: Time, from: SocketAddr, data: Data<'_>) {
        if !self.openings.is_ready(data.header.receiver) {
            self.links.receive(&mut self.desk, now, from, data.header, data.sealed);
        } else if let Some(opened) = self.openings.on_data(&mut self.desk, now, from, data) {
            self.links.establish(&mut self.desk, now, opened);
        }
    }

    /// A handshake datagram: nothing is done for who does not know the door secret.
    fn on_handshake(&mut self, now: Time, from: SocketAddr, handshake: &Handshake<'_>) {
        let index = self.free_index();
        let proven =
            self.member.as_ref().filter(|member| member.keys.proves(handshake.covered, handshake.mac));
        let Some(member) = proven else {
            self.desk.counters.strangers += 1;
            return;
        };
        let runs = |node: &NodeId| self.links.run_of(node);
        let opened = self.openings.handle(member, &mut self.desk, now, index, (from, handshake), runs);
        if let Some(opened) = opened {
            self.links.establish(&mut self.desk, now, opened);
        }
    }

    /// A member says which versions it speaks: not ours, or it would have answered.
    fn on_versions(&mut self, versions: &Versions<'_>) {
        match &self.member {
            Some(member) if member.keys.proves(versions.covered, versions.mac) => {
                self.openings.on_versions(&mut self.desk, versions.receiver);
            }
            _ => self.desk.counters.strangers += 1,
        }
    }

    /// A member under load wants a first message again, with a cookie. What is not sealed for that message is dropped.
    fn on_cookie(&mut self, cookie: &Cookie<'_>) {
        match &self.member {
            Some(member) => self.openings.on_cookie(member, &mut self.desk, cookie),
            None => self.desk.counters.strangers += 1,
        }
    }

    /// A member speaks a version that we do not: it is told what we speak.
    fn on_other_version(&mut self, from: SocketAddr, datagram: &[u8]) {
        let init = packet::parse_any_init(datagram);
        let proven = init.and_then(|init| {
            let member = self.member.as_ref()?;
            member.keys.proves(init.covered, init.mac).then_some((member, init.sender))
        });
        let Some((member, sender)) = proven else {
            self.desk.counters.strangers += 1;
            return;
        };
        let mut answer = packet::versions_bytes(sender, &[packet::VERSION]);
        let mac = member.keys.mac(&answer);
        answer.extend_from_slice(&mac);
        if answer.len() <= datagram.len() {
            self.desk.transmit(from, answer);
        }
    }

    /// An index that no session and no handshake has.
    fn free_index(&mut self) -> u32 {
        loop {
            let index = self.desk.random.next_u32();
            if !self.links.has(index) && !self.openings.has(index) {
                return index;
            }
        }
    }

    /// Time does not go back.
    fn see(&mut self, now: Time) {
        self.now = self.now.max(now);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Endpoint").field("desk", &self.desk).finish_non_exhaustive()
    }
}

mod pairs;
#[cfg(test)]
mod tests;
