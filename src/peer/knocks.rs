//! The initiator's side: handshakes that this node has begun.
//!
//! Owns: first and third messages sent again with growing waits, replies, giving up. Refuses: other nodes' handshakes
//! (`answers.rs`). Read first: PROTOCOL.md, "Handshake".

use super::cookie;
use super::desk::{Desk, Membership};
use super::event::Event;
use super::handshake::{Local, Noise};
use super::life::Life;
use super::opened::{identify, Clocks, Known, Opened, Order, Ready, Rival};
use crate::base::ids::NodeId;
use crate::base::limits::{HANDSHAKES_BEGUN_MAX, HANDSHAKE_TIME_MAX, HANDSHAKE_WAIT_FIRST};
use crate::base::units::{Span, Time};
use crate::feed::roster::Roster;
use crate::wire::packet::{self, Data, Handshake, HandshakeHeader, Pattern, Stage, MAC_BYTES};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Handshakes that this node has begun.
///
/// ```text
///  Waiting --- Reply (IK) ----------------------------------------> Opened
///     |   \--- Reply (XX) --> Finished --- first data packet -----> Opened
///     |                          |
///     +--------------------------+--- ten seconds, or somebody else --> ConnectFailed
/// ```
#[derive(Default)]
pub struct Knocks {
    /// By this side's index.
    begun: BTreeMap<u32, Begun>,
}

/// One of them.
struct Begun {
    /// Who is wanted; None: whichever member is there.
    peer: Option<NodeId>,
    /// Where.
    address: SocketAddr,
    /// What was sent last, and is sent again as it is.
    datagram: Vec<u8>,
    /// The clock in it (IK).
    clock: u64,
    /// When that was sent first.
    since: Time,
    /// When it is sent again, and how long the wait after that is.
    again: (Time, Span),
    /// Whether `datagram` shows a cookie.
    has_cookie: bool,
    /// How far it is.
    stage: BegunStage,
}

/// What such a handshake waits for.
enum BegunStage {
    /// The reply.
    Waiting(Box<Noise>),
    /// XX: a data packet, which shows that the third message has arrived and was accepted.
    Finished(Box<Ready>),
}

impl Knocks {
    /// Whether this side's index is taken.
    #[must_use]
    pub fn has(&self, index: u32) -> bool {
        self.begun.contains_key(&index)
    }

    /// How many there are.
    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.begun.len()
    }

    /// Whether the same is on its way.
    #[must_use]
    pub fn is_begun(&self, peer: Option<NodeId>, address: SocketAddr) -> bool {
        self.begun.values().any(|begun| begun.peer == peer && begun.address == address)
    }

    /// Begins: IK with a peer whose channel key is known, else XX. If the peer was answered a moment ago
    /// (`is_expected`), the first message waits a little: it will hardly be needed.
    pub fn begin(
        &mut self,
        member: &Membership,
        desk: &mut Desk,
        clocks: &mut Clocks,
        now: Time,
        (index, peer, address, is_expected): (u32, Option<NodeId>, SocketAddr, bool),
    ) {
        let channel = peer.and_then(|node| member.roster.member(&node)).map(|known| known.channel);
        let clock = peer.map_or(0, |node| clocks.tick(node));
        let local = Local { door: &member.keys, lasting: &member.lasting, seed: desk.seed() };
        if let Some(channel) = &channel {
            member.lasting.vouch(channel);
        }
        let made = Noise::initiate(local, channel.as_ref()).and_then(|mut noise| {
            let (stage, pattern) = (Stage::Init, noise.pattern());
            let header = HandshakeHeader { stage, pattern, sender: index, receiver: 0 };
            let claims = channel.map(|_| clocks.claims(member, clock, member.chain.clone()));
            let datagram = noise.write(&member.keys, header, claims.as_ref())?;
            Ok((noise, datagram))
        });
        let (noise, datagram) = match made {
            Ok(made) if self.begun.len() < HANDSHAKES_BEGUN_MAX => made,
            _ => {
                desk.counters.refused += 1;
                return desk.event(Event::ConnectFailed { peer, address });
            }
        };
        if !is_expected {
            desk.transmit(address, datagram.clone());
        }
        let stage = BegunStage::Waiting(Box::new(noise));
        self.begun.insert(
            index,
            Begun {
                peer,
                address,
                datagram,
                clock,
                since: now,
                again: first_wait(now),
                has_cookie: false,
                stage,
            },
        );
    }

    /// The other side is under load, and wants to see that the first message comes from where it seems to. The first
    /// cookie is used at once, others when the message is due again anyhow.
    pub fn on_cookie(&mut self, member: &Membership, desk: &mut Desk, answer: &packet::Cookie<'_>) {
        let waiting = self.begun.get_mut(&answer.receiver).filter(|begun| begun.stage.is_waiting());
        let opened = waiting.and_then(|begun| {
            let init = begun.datagram.last_chunk::<MAC_BYTES>()?;
            let cookie = cookie::open(&member.keys.cookie, init, answer)?;
            Some((begun, cookie))
        });
        let Some((begun, cookie)) = opened else {
            desk.counters.forged += 1;
            return;
        };
        begun.datagram = member.keys.with_cookie(&begun.datagram, &cookie);
        if !begun.has_cookie {
            begun.has_cookie = true;
            desk.transmit(begun.address, begun.datagram.clone());
        }
    }

    /// What waits for a reply of this pattern.
    #[must_use]
    pub fn waiting(&self, own: NodeId, header: &HandshakeHeader) -> Option<Rival> {
        let begun = self.begun.get(&header.receiver)?;
        match &begun.stage {
            BegunStage::Waiting(noise) if noise.pattern() == header.pattern => Some(Rival {
                peer: begun.peer.filter(|_| header.pattern == Pattern::Ik),
                place: (own, begun.clock),
                address: begun.address,
                mac: *begun.datagram.last_chunk::<MAC_BYTES>()?,
            }),
            BegunStage::Waiting(_) | BegunStage::Finished(_) => None,
        }
    }

    /// The reply to a first message, whose MAC is right. IK: the session stands.
    pub fn on_reply(
        &mut self,
        member: &Membership,
        desk: &mut Desk,
        clocks: &mut Clocks,
        now: Time,
        (from, packet): (SocketAddr, &Handshake<'_>),
        is_needless: impl Fn(&NodeId, [u8; 8]) -> bool,
    ) -> Option<Opened> {
        let index = packet.header.receiver;
        let BegunStage::Waiting(noise) = &mut self.begun.get_mut(&index)?.stage else {
            return None;
        };
        let Ok(payload) = noise.read(packet.noise) else {
            desk.counters.forged += 1;
            return None;
        };
        let Begun { peer, address, clock, stage: BegunStage::Waiting(mut noise), .. } =
            self.begun.remove(&index)?
        else {
            return None;
        };
        let known = identify(member, &noise, &payload)
            .filter(|known| peer.is_none_or(|node| node == known.member.node));
        let same = known.as_ref().filter(|known| {
            let (node, run) = (known.member.node, known.claims.incarnation);
            packet.header.pattern == Pattern::Xx && (is_needless(&node, run) || self.is_finished(&node, run))
        });
        if let Some(known) = same {
            // It has several addresses, and was reached at another one before.
            desk.event(Event::Reached { node: known.member.node, address: from });
            return None;
        }
        let finished = known.and_then(|Known { member: other, chain, claims }| {
            let (clock, finish) = match packet.header.pattern {
                Pattern::Ik => (clock, None),
                Pattern::Xx => {
                    let clock = clocks.tick(other.node).max(claims.clock);
                    (clock, Some(finish(member, clocks, &mut noise, packet.header, clock)?))
                }
            };
            let order = clocks.place(&other.node, (member.identity.node, clock), &claims);
            let keepalive = Life::agree(member.keepalive, claims.keepalive);
            let ready = Ready {
                member: other,
                chain,
                keys: noise.keys()?,
                remote: packet.header.sender,
                order,
                keepalive,
            };
            Some((ready, finish))
        });
        match finished {
            None => desk.event(Event::ConnectFailed { peer, address }),
            Some((ready, None)) => {
                let session = ready.session(now, index);
                return Some(ready.open(session, from));
            }
            Some((ready, Some(datagram))) => {
                desk.transmit(from, datagram.clone());
                let (clock, again) = (ready.order.clock, first_wait(now));
                let stage = BegunStage::Finished(Box::new(ready));
                let begun = Begun {
                    peer,
                    address: from,
                    datagram,
                    clock,
                    since: now,
                    again,
                    has_cookie: false,
                    stage,
                };
                self.begun.insert(index, begun);
            }
        }
        None
    }

    /// Whether a data packet with this index may complete a handshake.
    #[must_use]
    pub fn is_ready(&self, index: u32) -> bool {
        matches!(self.begun.get(&index), Some(Begun { stage: BegunStage::Finished(_), .. }))
    }

    /// Whether a third message to this run of `node` is on its way.
    fn is_finished(&self, node: &NodeId, run: [u8; 8]) -> bool {
        self.finished().any(|ready| ready.member.node == *node && ready.order.incarnation == run)
    }

    /// Whether a third message to `node` is on its way whose session would stay if the other stood as well.
    #[must_use]
    pub fn beats(&self, node: &NodeId, other: &Order) -> bool {
        self.finished().any(|ready| ready.member.node == *node && ready.order.rank() > other.rank())
    }

    /// Handshakes whose third message is on its way.
    fn finished(&self) -> impl Iterator<Item = &Ready> {
        self.begun.values().filter_map(|begun| match &begun.stage {
            BegunStage::Finished(ready) => Some(&**ready),
            BegunStage::Waiting(_) => None,
        })
    }

    /// Such a data packet: if it authenticates, the session stands.
    pub fn on_data(
        &mut self,
        desk: &mut Desk,
        now: Time,
        from: SocketAddr,
        data: Data<'_>,
    ) -> Option<Opened> {
        let index = data.header.receiver;
        let BegunStage::Finished(ready) = &self.begun.get(&index)?.stage else {
            return None;
        };
        let Some(session) = ready.session_of(now, data) else {
            desk.counters.forged += 1;
            return None;
        };
        let BegunStage::Finished(ready) = self.begun.remove(&index)?.stage else {
            return None;
        };
        Some(ready.open(session, from))
    }

    /// Somebody at the address does not speak our version.
    pub fn on_versions(&mut self, desk: &mut Desk, index: u32) {
        if let Some(begun) = self.begun.remove(&index) {
            desk.event(Event::ConnectFailed { peer: begun.peer, address: begun.address });
        }
    }

    /// A session with `node` stands, reached at `address`, of this place: what waits for the same is not needed.
    pub fn abandon(&mut self, node: &NodeId, stands: Option<(SocketAddr, &Order)>) {
        self.begun.retain(|_, begun| match &begun.stage {
            BegunStage::Waiting(_) => {
                let there = || stands.is_none_or(|(address, _)| begun.address != address);
                begun.peer.map_or_else(there, |peer| peer != *node)
            }
            BegunStage::Finished(ready) => {
                let stays = |(_, order): (_, &Order)| ready.order.rank() > order.rank();
                ready.member.node != *node || stands.is_none_or(stays)
            }
        });
    }

    /// What this side has begun there, with whomever, is not needed.
    pub fn abandon_at(&mut self, address: SocketAddr) {
        self.begun.retain(|_, begun| begun.address != address || !begun.stage.is_waiting());
    }

    /// Sends again, gives up.
    pub fn handle_timeout(&mut self, desk: &mut Desk, now: Time) {
        self.begun.retain(|_, begun| {
            if now >= begun.since + HANDSHAKE_TIME_MAX {
                desk.event(Event::ConnectFailed { peer: begun.peer, address: begun.address });
                return false;
            }
            let (at, wait) = begun.again;
            if now >= at {
                desk.transmit(begun.address, begun.datagram.clone());
                begun.again = (now + wait, wait.times(2));
            }
            true
        });
    }

    /// When [`Knocks::handle_timeout`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.begun.values().map(|begun| begun.again.0.min(begun.since + HANDSHAKE_TIME_MAX)).min()
    }

    /// Forgets handshakes with nodes that are removed.
    pub fn set_roster(&mut self, roster: &Roster) {
        self.begun.retain(|_, begun| {
            let is_removed = |node: &NodeId| roster.is_removed(node);
            let proven = match &begun.stage {
                BegunStage::Finished(ready) => Some(ready.member.node),
                BegunStage::Waiting(_) => None,
            };
            !begun.peer.as_ref().is_some_and(is_removed) && !proven.as_ref().is_some_and(is_removed)
        });
    }
}

impl BegunStage {
    /// Whether it waits for the reply.
    const fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }
}

/// When something is sent for the second time, and how long the wait after that is.
fn first_wait(now: Time) -> (Time, Span) {
    (now + HANDSHAKE_WAIT_FIRST, HANDSHAKE_WAIT_FIRST.times(2))
}

/// Writes the third message of XX.
fn finish(
    member: &Membership,
    clocks: &Clocks,
    noise: &mut Noise,
    reply: HandshakeHeader,
    clock: u64,
) -> Option<Vec<u8>> {
    let (stage, pattern) = (Stage::Finish, Pattern::Xx);
    let header = HandshakeHeader { stage, pattern, sender: reply.receiver, receiver: reply.sender };
    noise.write(&member.keys, header, Some(&clocks.claims(member, clock, member.chain.clone()))).ok()
}
