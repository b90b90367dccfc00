//! What a complete handshake is: who it is with, the keys, and its place among the handshakes of the two nodes.
//!
//! Owns: who is let in (roster or Admit chain), and which of two sessions of the same nodes stays. Refuses: datagrams
//! of handshakes (`knocks.rs`, `answers.rs`). Read first: PROTOCOL.md, "Handshake".

use super::desk::Membership;
use super::handshake::{Claims, Noise, CLOCK_MAX};
use super::session::{PacketKeys, Session};
use crate::base::ids::NodeId;
use crate::base::limits::MEMBERS_MAX;
use crate::base::units::{Span, Time};
use crate::feed::roster::{Member, Roster};
use crate::wire::packet::{Data, MAC_BYTES};
use core::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// A session that has just begun to stand.
pub struct Opened {
    /// With whom.
    pub node: NodeId,
    /// Where it is.
    pub address: SocketAddr,
    /// This side's index.
    pub local: u32,
    /// The session.
    pub session: Session,
    /// Its place.
    pub order: Order,
    /// How the other side proved its membership, if the roster did not know it.
    pub introduced: Option<(Member, Vec<Vec<u8>>)>,
}

/// A handshake that is complete on this side; the other side may have yet to show that it is there as well.
pub struct Ready {
    /// Who.
    pub member: Member,
    /// How it proved its membership, if the roster did not know it.
    pub chain: Option<Vec<Vec<u8>>>,
    /// Keys of the session to be.
    pub keys: PacketKeys,
    /// The other side's index.
    pub remote: u32,
    /// Its place.
    pub order: Order,
    /// How often an idle session proves its life, as both want it.
    pub keepalive: Option<Span>,
}

/// The other side of a handshake.
pub struct Known {
    /// Who.
    pub member: Member,
    /// How it proved its membership, if the roster does not know it.
    pub chain: Option<Vec<Vec<u8>>>,
    /// What it claims.
    pub claims: Claims,
}

/// The place of a handshake among those of the same two nodes. Both sides judge alike without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Who began it.
    pub initiator: NodeId,
    /// The initiator's clock: greater than that of every handshake of the two that it knew of.
    pub clock: u64,
    /// The other side's run.
    pub incarnation: [u8; 8],
    /// Which of this side's handshakes.
    pub serial: u64,
}

/// A handshake that this side has begun, as it is compared with those that it has answered.
pub struct Rival {
    /// With whom (IK).
    pub peer: Option<NodeId>,
    /// Its initiator and clock.
    pub place: (NodeId, u64),
    /// Where its first message went.
    pub address: SocketAddr,
    /// That message's MAC.
    pub mac: [u8; MAC_BYTES],
}

/// What gives handshakes their places.
pub struct Clocks {
    /// This run.
    incarnation: [u8; 8],
    /// The greatest clock seen in a handshake with each node.
    clocks: BTreeMap<NodeId, u64>,
    /// Counts handshakes.
    serial: u64,
}

impl Ready {
    /// The session, with this side's index.
    #[must_use]
    pub fn session(&self, now: Time, local: u32) -> Session {
        let keys = PacketKeys { send: self.keys.send, receive: self.keys.receive };
        let mut session = Session::new(now, keys, local, self.remote);
        session.set_keepalive(self.keepalive);
        session
    }

    /// The session, if this packet is of it; it has read the packet then.
    #[must_use]
    pub fn session_of(&self, now: Time, data: Data<'_>) -> Option<Session> {
        let mut session = self.session(now, data.header.receiver);
        session.handle_data(now, data.header, data.sealed).ok()?;
        Some(session)
    }

    /// The handshake is complete on both sides.
    #[must_use]
    pub fn open(self, session: Session, address: SocketAddr) -> Opened {
        let (node, local) = (self.member.node, session.local_index());
        let member = self.member;
        let introduced = self.chain.map(|chain| (member, chain));
        Opened { node, address, local, session, order: self.order, introduced }
    }
}

impl Order {
    /// Whether a session of this handshake takes the place of one of `current`.
    #[must_use]
    pub fn replaces(&self, current: &Self) -> bool {
        if self.incarnation != current.incarnation {
            // The other side was started anew; what was begun later is of the later run.
            return self.serial > current.serial;
        }
        self.rank() >= current.rank()
    }

    /// The later clock wins; of equal ones (both sides began at once) the lower initiator.
    #[must_use]
    pub const fn rank(&self) -> (u64, Reverse<NodeId>) {
        (self.clock, Reverse(self.initiator))
    }
}

impl Clocks {
    /// Those of a new run.
    #[must_use]
    pub const fn new(incarnation: [u8; 8]) -> Self {
        Self { incarnation, clocks: BTreeMap::new(), serial: 0 }
    }

    /// The number of one more handshake.
    pub const fn count(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Gives a handshake that `initiator` began at `clock` its place, with what the other side claims.
    pub fn place(&mut self, peer: &NodeId, (initiator, clock): (NodeId, u64), claims: &Claims) -> Order {
        self.see(*peer, claims.clock);
        Order { initiator, clock, incarnation: claims.incarnation, serial: self.count() }
    }

    /// What this side claims in a handshake of this clock.
    #[must_use]
    pub const fn claims(&self, member: &Membership, clock: u64, chain: Vec<Vec<u8>>) -> Claims {
        Claims { incarnation: self.incarnation, clock, keepalive: member.keepalive, chain }
    }

    /// The clock of the next handshake that this side begins with `node`.
    pub fn tick(&mut self, node: NodeId) -> u64 {
        let clock = (self.latest(&node) + 1).min(CLOCK_MAX);
        self.see(node, clock);
        clock
    }

    /// The greatest clock seen in a handshake with `node`.
    #[must_use]
    pub fn latest(&self, node: &NodeId) -> u64 {
        self.clocks.get(node).copied().unwrap_or(0)
    }

    /// Forgets removed nodes.
    pub fn set_roster(&mut self, roster: &Roster) {
        self.clocks.retain(|node, _| !roster.is_removed(node));
    }

    /// Remembers the greatest clock of `node`.
    fn see(&mut self, node: NodeId, clock: u64) {
        if self.clocks.len() >= MEMBERS_MAX && !self.clocks.contains_key(&node) {
            self.clocks.pop_first();
        }
        let known = self.clocks.entry(node).or_insert(0);
        *known = clock.max(*known);
    }
}

/// Who the other side is, and what it claims: a member that the roster knows, or one that proves an Admit chain. None
/// for strangers, for removed members and for this node itself.
#[must_use]
pub fn identify(member: &Membership, noise: &Noise, payload: &[u8]) -> Option<Known> {
    let claims = Claims::decode(payload).ok()?;
    let channel = noise.remote()?;
    if channel == *member.lasting.public() {
        return None;
    }
    if let Some(known) = member.roster.by_channel(&channel) {
        let is_member = !member.roster.is_removed(&known.node);
        return is_member.then(|| Known { member: known.clone(), chain: None, claims });
    }
    let proven = member.roster.verify_chain(&claims.chain).ok()?;
    if proven.channel != channel
        || proven.node == member.identity.node
        || member.roster.is_removed(&proven.node)
    {
        return None;
    }
    Some(Known { member: proven, chain: Some(claims.chain.clone()), claims })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A handshake's place.
    fn order(initiator: u8, clock: u64, incarnation: u8, serial: u64) -> Order {
        Order { initiator: NodeId::from_bytes([initiator; 32]), clock, incarnation: [incarnation; 8], serial }
    }

    #[test]
    fn both_sides_keep_the_same_of_two_handshakes() {
        // Whatever order they became known in: serial numbers do not count within a run.
        for (first, second) in [(1, 2), (2, 1)] {
            let (low, high) = (order(1, 5, 7, first), order(2, 5, 7, second));
            assert!(low.replaces(&high) && !high.replaces(&low));
            let later = order(2, 6, 7, first);
            assert!(later.replaces(&low) && !low.replaces(&later));
        }
    }

    #[test]
    fn a_handshake_of_a_later_run_wins_whatever_its_clock() {
        let (before, after) = (order(1, 900, 7, 1), order(1, 1, 8, 2));
        assert!(after.replaces(&before) && !before.replaces(&after));
    }

    #[test]
    fn a_clock_passes_every_one_that_was_seen_and_never_overflows() {
        let mut clocks = Clocks::new([1; 8]);
        let peer = NodeId::from_bytes([1; 32]);
        assert_eq!((clocks.tick(peer), clocks.tick(peer)), (1, 2));
        clocks.place(&peer, (peer, 70), &Claims { clock: 70, ..Claims::default() });
        assert_eq!(clocks.tick(peer), 71);
        clocks.place(&peer, (peer, CLOCK_MAX), &Claims { clock: CLOCK_MAX, ..Claims::default() });
        assert_eq!((clocks.tick(peer), clocks.tick(peer)), (CLOCK_MAX, CLOCK_MAX));
        assert_eq!(clocks.tick(NodeId::from_bytes([2; 32])), 1);
    }
}
