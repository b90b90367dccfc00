//! The responder's side: other nodes' handshakes that this node has answered.
//!
//! Owns: answers repeated byte for byte, replays of first messages, bounds on what strangers and members may leave
//! here. Refuses: this node's own handshakes (`knocks.rs`). Read first: PROTOCOL.md, "Handshake".

use super::desk::{Desk, Membership};
use super::handshake::{Local, Noise};
use super::life::Life;
use super::opened::{identify, Clocks, Known, Opened, Order, Ready, Rival};
use crate::base::ids::NodeId;
use crate::base::limits::{
    HANDSHAKES_ANSWERED_MAX, HANDSHAKES_ANSWERED_PER_NODE_MAX, HANDSHAKE_MACS_MAX, HANDSHAKE_REPEATS_MAX,
    HANDSHAKE_TIME_MAX,
};
use crate::base::units::{Span, Time};
use crate::feed::roster::Roster;
use crate::wire::packet::{Data, Handshake, HandshakeHeader, Pattern, Stage, MAC_BYTES};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// Other nodes' handshakes that this node has answered.
///
/// ```text
///  Init (IK) --> Complete --- first data packet ---> Opened
///  Init (XX) --> Half ------- Finish --------------> Opened
///     either --- ten seconds ---> forgotten
/// ```
#[derive(Default)]
pub struct Answers {
    /// By this side's index.
    answered: BTreeMap<u32, Answered>,
    /// MACs of the latest first messages that led to a session: they lead to no other.
    used: VecDeque<[u8; MAC_BYTES]>,
}

/// One of them.
struct Answered {
    /// The first message's MAC: the same message is answered with the same bytes.
    mac: [u8; MAC_BYTES],
    /// That answer.
    reply: Vec<u8>,
    /// How often it was given again.
    repeats: u8,
    /// Where the first message came from.
    address: SocketAddr,
    /// The other side's index.
    remote: u32,
    /// When it was answered.
    since: Time,
    /// Which of this side's.
    serial: u64,
    /// What is still missing.
    stage: AnsweredStage,
}

/// What such a handshake waits for.
enum AnsweredStage {
    /// IK: the first data packet.
    Complete(Box<Ready>),
    /// XX: the third message.
    Half(Box<Noise>),
}

impl Answers {
    /// Whether this side's index is taken.
    #[must_use]
    pub fn has(&self, index: u32) -> bool {
        self.answered.contains_key(&index)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.answered.len()
    }

    /// First messages that led to a session and are remembered.
    #[cfg(test)]
    pub fn used_count(&self) -> usize {
        self.used.len()
    }

    /// A first message that was seen before: dropped if it led to a session, else answered as before. False if it is
    /// new.
    pub fn on_repeated(&mut self, desk: &mut Desk, from: SocketAddr, packet: &Handshake<'_>) -> bool {
        if self.used.contains(packet.mac) {
            desk.counters.replayed += 1;
            return true;
        }
        let Some(answered) = self.answered.values_mut().find(|answered| answered.mac == *packet.mac) else {
            return false;
        };
        if answered.repeats < HANDSHAKE_REPEATS_MAX {
            answered.repeats += 1;
            desk.transmit(from, answered.reply.clone());
        } else {
            desk.counters.replayed += 1;
        }
        true
    }

    /// A new first message, whose MAC is right; `index` is free for the answer.
    pub fn on_init(
        &mut self,
        member: &Membership,
        desk: &mut Desk,
        clocks: &mut Clocks,
        (now, index, from): (Time, u32, SocketAddr),
        packet: &Handshake<'_>,
    ) {
        let pattern = packet.header.pattern;
        let local = Local { door: &member.keys, lasting: &member.lasting, seed: desk.seed() };
        let Ok(mut noise) = Noise::respond(local, pattern) else {
            return;
        };
        let Ok(payload) = noise.read(packet.noise) else {
            desk.counters.strangers += 1;
            return;
        };
        let remote = packet.header.sender;
        let header = HandshakeHeader { stage: Stage::Reply, pattern, sender: index, receiver: remote };
        let made = match pattern {
            Pattern::Ik => {
                let Some(Known { member: other, chain, claims }) = identify(member, &noise, &payload) else {
                    desk.counters.strangers += 1;
                    return;
                };
                let order = clocks.place(&other.node, (other.node, claims.clock), &claims);
                let answer = clocks.claims(member, clocks.latest(&other.node), Vec::new());
                noise.write(&member.keys, header, Some(&answer)).ok().and_then(|reply| {
                    let keepalive = Life::agree(member.keepalive, claims.keepalive);
                    let ready = Ready { member: other, chain, keys: noise.keys()?, remote, order, keepalive };
                    Some((AnsweredStage::Complete(Box::new(ready)), reply))
                })
            }
            Pattern::Xx => {
                let answer = clocks.claims(member, 0, member.chain.clone());
                let reply = noise.write(&member.keys, header, Some(&answer)).ok();
                reply.map(|reply| (AnsweredStage::Half(Box::new(noise)), reply))
            }
        };
        let Some((stage, reply)) = made else {
            return;
        };
        self.make_room(&stage);
        desk.transmit(from, reply.clone());
        let (mac, serial) = (*packet.mac, clocks.count());
        self.answered.insert(
            index,
            Answered { mac, reply, repeats: 0, address: from, remote, since: now, serial, stage },
        );
    }

    /// The third message of XX, whose MAC is right. It is fresh, for it depends on this side's answer.
    pub fn on_finish(
        &mut self,
        member: &Membership,
        desk: &mut Desk,
        clocks: &mut Clocks,
        now: Time,
        (from, packet): (SocketAddr, &Handshake<'_>),
        is_beaten: impl Fn(&NodeId, &Order) -> bool,
    ) -> Option<Opened> {
        let index = packet.header.receiver;
        let answered =
            self.answered.get_mut(&index).filter(|answered| answered.remote == packet.header.sender)?;
        let AnsweredStage::Half(noise) = &mut answered.stage else {
            return None;
        };
        let Ok(payload) = noise.read(packet.noise) else {
            desk.counters.forged += 1;
            return None;
        };
        let answered = self.answered.remove(&index)?;
        let (remote, serial) = (answered.remote, answered.serial);
        let AnsweredStage::Half(mut noise) = answered.stage else {
            return None;
        };
        let Some(Known { member: other, chain, claims }) = identify(member, &noise, &payload) else {
            desk.counters.strangers += 1;
            return None;
        };
        let placed = clocks.place(&other.node, (other.node, claims.clock), &claims);
        let order = Order { serial, ..placed };
        let keepalive = Life::agree(member.keepalive, claims.keepalive);
        let ready = Ready { member: other, chain, keys: noise.keys()?, remote, order, keepalive };
        if is_beaten(&ready.member.node, &ready.order) {
            // Both knocked, and ours will stand. If it does not, the other side's first packet makes this one stand.
            let stage = AnsweredStage::Complete(Box::new(ready));
            self.answered.insert(index, Answered { stage, ..answered });
            return None;
        }
        self.spend(answered.mac);
        let session = ready.session(now, index);
        Some(ready.open(session, from))
    }

    /// Whether a data packet with this index may complete a handshake.
    #[must_use]
    pub fn is_ready(&self, index: u32) -> bool {
        matches!(self.answered.get(&index), Some(Answered { stage: AnsweredStage::Complete(_), .. }))
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
        let AnsweredStage::Complete(ready) = &self.answered.get(&index)?.stage else {
            return None;
        };
        let Some(session) = ready.session_of(now, data) else {
            desk.counters.forged += 1;
            return None;
        };
        let Answered { mac, stage: AnsweredStage::Complete(ready), .. } = self.answered.remove(&index)?
        else {
            return None;
        };
        self.spend(mac);
        Some(ready.open(session, from))
    }

    /// Whether a handshake that `peer` began was answered at most `age` ago.
    #[must_use]
    pub fn is_expected(&self, peer: &NodeId, now: Time, age: Span) -> bool {
        self.answered.values().any(|answered| match &answered.stage {
            AnsweredStage::Complete(ready) => ready.member.node == *peer && now < answered.since + age,
            AnsweredStage::Half(_) => false,
        })
    }

    /// Whether a handshake that the same peer began, answered at most `age` ago, will win over ours. In XX nobody
    /// knows the other yet: there the peer is known by its address, and the lower first message wins.
    #[must_use]
    pub fn is_better(&self, ours: &Rival, now: Time, age: Span) -> bool {
        self.answered.values().filter(|answered| now < answered.since + age).any(|answered| {
            match &answered.stage {
                AnsweredStage::Complete(ready) => {
                    let (initiator, clock) = ours.place;
                    let place = Order { initiator, clock, ..ready.order };
                    ours.peer == Some(ready.member.node) && ready.order.rank() > place.rank()
                }
                AnsweredStage::Half(_) => {
                    ours.peer.is_none() && answered.address == ours.address && answered.mac < ours.mac
                }
            }
        })
    }

    /// Forgets what is too old.
    pub fn handle_timeout(&mut self, now: Time) {
        self.answered.retain(|_, answered| now < answered.since + HANDSHAKE_TIME_MAX);
    }

    /// When [`Answers::handle_timeout`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.answered.values().map(|answered| answered.since + HANDSHAKE_TIME_MAX).min()
    }

    /// Forgets handshakes of nodes that are removed.
    pub fn set_roster(&mut self, roster: &Roster) {
        self.answered.retain(|_, answered| match &answered.stage {
            AnsweredStage::Complete(ready) => !roster.is_removed(&ready.member.node),
            AnsweredStage::Half(_) => true,
        });
    }

    /// Makes room for one more: the oldest goes, of the same node first.
    fn make_room(&mut self, stage: &AnsweredStage) {
        if let AnsweredStage::Complete(new) = stage {
            let node = new.member.node;
            let is_same = |answered: &Answered| match &answered.stage {
                AnsweredStage::Complete(old) => old.member.node == node,
                AnsweredStage::Half(_) => false,
            };
            let count = self.answered.values().filter(|answered| is_same(answered)).count();
            if count >= HANDSHAKES_ANSWERED_PER_NODE_MAX {
                self.forget_oldest(is_same);
            }
        }
        if self.answered.len() >= HANDSHAKES_ANSWERED_MAX {
            self.forget_oldest(|_| true);
        }
    }

    /// Forgets the oldest of those that `which` names.
    fn forget_oldest(&mut self, which: impl Fn(&Answered) -> bool) {
        let among = self.answered.iter().filter(|(_, answered)| which(answered));
        if let Some(index) = among.min_by_key(|(_, answered)| answered.serial).map(|(index, _)| *index) {
            self.answered.remove(&index);
        }
    }

    /// Remembers that a first message has led to a session.
    fn spend(&mut self, mac: [u8; MAC_BYTES]) {
        if self.used.len() >= HANDSHAKE_MACS_MAX {
            self.used.pop_front();
        }
        self.used.push_back(mac);
    }
}
