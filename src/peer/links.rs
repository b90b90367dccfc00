//! Established sessions, by index and by node.
//!
//! Owns: at most one session a node, which of two stays, addresses that move, whose turn it is to send. Refuses:
//! handshakes (`opening.rs`) and what is inside a session (`session.rs`). Read first: `table.rs`.

use super::bucket::Bucket;
use super::desk::Desk;
use super::event::{Event, PeerInfo, SendError, Transmit};
use super::opened::{Opened, Order};
use super::pool::Pool;
use super::send::MessageId;
use super::session::{CloseCode, SendError as SessionSendError, Session, SessionError};
use crate::base::derived::Derived;
use crate::base::ids::NodeId;
use crate::base::limits::SEND_QUEUE_BYTES_MAX;
use crate::base::units::{Span, Time};
use crate::feed::roster::Roster;
use crate::wire::frame::Lane;
use crate::wire::packet::{DataHeader, DATA_HEADER_BYTES};
use core::fmt;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// All sessions of an endpoint.
#[derive(Default)]
pub struct Links {
    /// By this side's index.
    links: Derived<BTreeMap<u32, Link>, Option<Time>>,
    /// Which of them is the node's.
    nodes: BTreeMap<NodeId, u32>,
    /// Who sent last: the next one sends next.
    turn: u32,
    /// Sessions that this side has closed: they say so to a peer that goes on.
    leaving: Vec<Leaving>,
    /// What peers may send.
    pool: Pool,
    /// How fast this side may send; None: as fast as it can.
    up: Option<Bucket>,
    /// Whether something waits for `up`.
    held_up: bool,
    /// Batches that went, so that not every one is an urgent one.
    batches: u32,
    /// How many sessions there may be; None: as many as ever.
    sessions_max: Option<usize>,
}

/// A session that was closed.
struct Leaving {
    /// This side's index.
    index: u32,
    /// Where its last words go.
    address: SocketAddr,
    /// It.
    session: Session,
    /// When it is forgotten.
    until: Time,
}

/// One session and what is around it.
struct Link {
    /// With whom.
    node: NodeId,
    /// Where packets go.
    address: SocketAddr,
    /// Since when.
    since: Time,
    /// Its place among the two nodes' handshakes.
    order: Order,
    /// Delivery.
    session: Session,
    /// How the other side proved its membership, until the roster has it.
    chain: Option<Vec<Vec<u8>>>,
    /// The greatest packet number that has authenticated: older packets do not move the address back.
    newest: Option<u64>,
    /// What did not fit the queue: on which lane, and how long it was. Room is reported when it would.
    starved: Option<(Lane, usize)>,
}

impl Links {
    /// Whether this side's index is taken.
    #[must_use]
    pub fn has(&self, index: u32) -> bool {
        self.links.contains_key(&index) || self.leaving.iter().any(|leaving| leaving.index == index)
    }

    /// Whether there is a session with the node.
    #[must_use]
    pub fn has_node(&self, node: &NodeId) -> bool {
        self.nodes.contains_key(node)
    }

    /// A handshake has led to a session. It takes the place of an earlier one of the same node, or loses against it.
    /// The session may have read its first packet already.
    pub fn establish(&mut self, desk: &mut Desk, now: Time, opened: Opened) {
        let (node, mut session) = (opened.node, opened.session);
        if let Some(current) = self.nodes.get(&node).and_then(|index| self.links.get(index)) {
            if !opened.order.replaces(&current.order) {
                return;
            }
            self.drop_link(desk, &node, "a newer session took its place");
        } else if self.is_crowded() {
            return self.turn_away(desk, now, opened.local, opened.address, session);
        }
        let chain = opened.introduced.map(|(member, chain)| {
            desk.event(Event::Introduced { member, chain: chain.clone() });
            chain
        });
        // The other side's session stands when it has read a packet of ours.
        session.ping();
        desk.event(Event::Up { node, address: opened.address });
        let link = Link {
            node,
            address: opened.address,
            since: now,
            order: opened.order,
            session,
            chain,
            newest: None,
            starved: None,
        };
        self.links.insert(opened.local, link);
        self.nodes.insert(node, opened.local);
        self.settle(now, opened.local);
    }

    /// A data packet for the session with this index.
    pub fn receive(
        &mut self,
        desk: &mut Desk,
        now: Time,
        from: SocketAddr,
        header: DataHeader,
        sealed: &mut [u8],
    ) {
        let Some(link) = self.links.get_mut(&header.receiver) else {
            let leaving = self.leaving.iter_mut().find(|leaving| leaving.index == header.receiver);
            match leaving.map(|leaving| leaving.session.handle_data(now, header, sealed)) {
                Some(_) => {}
                None => {
                    desk.counters.garbage += 1;
                    desk.event(Event::Unclaimed { from });
                }
            }
            return;
        };
        let before = link.session.arrived();
        let bytes = u64::try_from(DATA_HEADER_BYTES + sealed.len()).expect("a datagram is short");
        let header = link.session.expanded(header);
        let result = link.session.handle_data(now, header, sealed);
        if !matches!(result, Err(SessionError::Forged | SessionError::Replayed)) {
            self.pool.on_received(now, bytes, link.session.arrived() - before);
        }
        match result {
            Ok(()) => {
                if link.newest.is_none_or(|newest| header.number > newest) {
                    link.newest = Some(header.number);
                    link.move_to(now, from);
                }
            }
            Err(SessionError::Forged) => desk.counters.forged += 1,
            Err(SessionError::Replayed) => desk.counters.replayed += 1,
            Err(SessionError::Crowded) => desk.counters.refused += 1,
            Err(SessionError::Closed | SessionError::Violation(_)) => {}
        }
        self.settle(now, header.receiver);
    }

    /// Ends the session with a node and tells it so, and why.
    pub fn disconnect(&mut self, desk: &mut Desk, now: Time, node: &NodeId, code: CloseCode) {
        if let Some(link) = self.nodes.get(node).and_then(|index| self.links.get_mut(index)) {
            link.session.close(code);
            self.leave(desk, now, node);
        }
    }

    /// Ends the sessions with nodes that are members no more, without a word to them; not yet where more has to be known to say that.
    pub fn set_roster(&mut self, desk: &mut Desk, roster: &Roster) {
        let mut gone = Vec::new();
        for link in self.links.values_mut() {
            if roster.member(&link.node).is_some() {
                link.chain = None;
                continue;
            }
            let proven = link.chain.as_ref().is_some_and(|chain| roster.verify_chain(chain).is_ok());
            if roster.is_removed(&link.node) || !(proven || roster.is_undecided(&link.node)) {
                gone.push(link.node);
            }
        }
        for node in gone {
            self.drop_link(desk, &node, "it is a member of the vault no more");
        }
    }

    /// Ends all sessions without a word.
    pub fn clear(&mut self, desk: &mut Desk) {
        while let Some(node) = self.nodes.keys().next().copied() {
            self.drop_link(desk, &node, "this node has changed its vault");
        }
    }

    /// Timers of sessions.
    pub fn handle_timeout(&mut self, desk: &mut Desk, now: Time) {
        self.leaving.retain(|leaving| now < leaving.until);
        if self.next_session().is_some_and(|deadline| deadline <= now) {
            for link in self.links.values_mut() {
                if link.session.deadline().is_some_and(|deadline| deadline <= now) {
                    link.session.handle_timeout(now);
                }
            }
        }
        self.cut_sitting(desk, now);
        self.serve(now);
        self.held_up = false;
    }

    /// When a session has something to do.
    fn next_session(&self) -> Option<Time> {
        self.links.follows(|links| links.values().filter_map(|link| link.session.deadline()).min())
    }

    /// When [`Links::handle_timeout`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let sessions = self.next_session();
        let leaving = self.leaving.iter().map(|leaving| leaving.until);
        let up = self.up.as_ref().filter(|_| self.held_up).map(Bucket::positive_at);
        sessions.into_iter().chain(leaving).chain(self.pool.deadline()).chain(up).min()
    }

    /// What a session reports, if one does. Sessions that have ended are forgotten here.
    pub fn poll_event(&mut self, desk: &mut Desk, now: Time) -> Option<Event> {
        let has_news = |link: &Link| {
            link.session.has_message() || link.session.is_closed().is_some() || link.has_drained()
        };
        if !self.links.values().any(has_news) {
            return None;
        }
        let mut ended = None;
        for link in self.links.values_mut() {
            let node = link.node;
            if let Some((lane, bytes)) = link.session.poll_message() {
                let index = link.session.local_index();
                self.settle(now, index);
                return Some(Event::Message { node, lane, bytes });
            }
            if link.session.is_closed().is_some() {
                ended = Some(node);
                break;
            }
            if link.has_drained() {
                link.starved = None;
                return Some(Event::Room { node });
            }
        }
        self.leave(desk, now, &ended?);
        desk.next_event()
    }

    /// Queues a message.
    ///
    /// # Errors
    /// When there is no session, no room, or the message is too long for any, or empty.
    pub fn send(&mut self, node: &NodeId, lane: Lane, message: Vec<u8>) -> Result<MessageId, SendError> {
        self.send_headed(node, lane, &[], message).map_err(|(error, _)| error)
    }

    /// Queues a message that begins with `head` and goes on with `body`, which is not copied.
    ///
    /// # Errors
    /// As [`Self::send`], with the body if there was no room.
    pub fn send_headed(
        &mut self,
        node: &NodeId,
        lane: Lane,
        head: &[u8],
        body: Vec<u8>,
    ) -> Result<MessageId, (SendError, Option<Vec<u8>>)> {
        let link = self.nodes.get(node).and_then(|index| self.links.get_mut(index));
        let Some(link) = link else { return Err((SendError::NoSession, None)) };
        link.session.send_headed(lane, head, body).map_err(|error| match error {
            SessionSendError::Full(body) => {
                link.starved = Some((lane, head.len() + body.len()));
                (SendError::Full { room: link.session.room(lane) }, Some(body))
            }
            SessionSendError::TooLong | SessionSendError::Empty => (SendError::Length, None),
            SessionSendError::Closed => (SendError::NoSession, None),
        })
    }

    /// Withdraws a message, unless all of it was sent; whether it did. Its id is one of the session that there is now.
    pub fn cancel(&mut self, node: &NodeId, message: MessageId) -> bool {
        let link = self.nodes.get(node).and_then(|index| self.links.get_mut(index));
        link.is_some_and(|link| link.session.cancel(message))
    }

    /// Bytes that [`Links::send`] would take.
    #[must_use]
    pub fn room(&self, node: &NodeId, lane: Lane) -> usize {
        self.nodes.get(node).and_then(|index| self.links.get(index)).map_or(0, |link| link.session.room(lane))
    }

    /// All sessions.
    pub fn peers(&self) -> impl Iterator<Item = PeerInfo> + '_ {
        self.links.values().map(|link| {
            let stats = link.session.stats();
            PeerInfo {
                node: link.node,
                address: link.address,
                since: link.since,
                rtt: stats.rtt.unwrap_or(Span::ZERO),
                sent_bytes: stats.sent_bytes,
                received_bytes: stats.received_bytes,
                sent_packets: stats.sent_packets,
                lost_packets: stats.lost_packets,
                retransmitted_bytes: stats.retransmitted_bytes,
                queued_bytes: u64::try_from(link.session.queued()).unwrap_or(u64::MAX),
            }
        })
    }

    /// Reports the end of a closed session, and keeps it a little for its last words.
    fn leave(&mut self, desk: &mut Desk, now: Time, node: &NodeId) {
        let Some(index) = self.nodes.remove(node) else {
            return;
        };
        if let Some(Link { session, address, .. }) = self.links.remove(&index) {
            session.leave(&mut self.pool);
            self.serve(now);
            let reason = session.is_closed().map_or_else(String::new, ToString::to_string);
            desk.event(Event::Down { node: *node, reason });
            if crowd::is_crowded(&session) {
                desk.event(Event::Crowded { node: *node });
            }
            self.remember(now, index, address, session);
        }
    }

    /// Forgets a session and says so.
    fn drop_link(&mut self, desk: &mut Desk, node: &NodeId, reason: &str) {
        if let Some(index) = self.nodes.remove(node) {
            if let Some(link) = self.links.remove(&index) {
                link.session.leave(&mut self.pool);
            }
            desk.event(Event::Down { node: *node, reason: reason.to_owned() });
        }
    }
}

impl Link {
    /// Whether a message that did not fit would fit now, with half of the queue free.
    fn has_drained(&self) -> bool {
        self.starved.is_some_and(|(lane, bytes)| {
            self.session.queued() <= SEND_QUEUE_BYTES_MAX / 2 && self.session.room(lane) >= bytes
        })
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Links").field("nodes", &self.nodes).finish_non_exhaustive()
    }
}

mod credit;
mod crowd;
mod moves;
#[cfg(test)]
mod tests;
mod turns;
