//! Handshakes on their way: those that this node began, and those that it has answered.
//!
//! Owns: sending first messages again, who is let in (roster or Admit chain), replays of first messages, and which of
//! two handshakes of the same two nodes wins. Refuses: cryptography (`handshake.rs`), established sessions and what
//! replaces them (`table.rs`). Strangers get silence and are counted. Read first: PROTOCOL.md, "Handshake".

use super::desk::{Desk, Membership};
use super::event::Event;
use super::handshake::{Claims, Local, Noise, CLOCK_MAX};
use super::session::{PacketKeys, Session};
use crate::base::ids::NodeId;
use crate::base::limits::{
    HANDSHAKES_ANSWERED_MAX, HANDSHAKES_ANSWERED_PER_NODE_MAX, HANDSHAKES_BEGUN_MAX, HANDSHAKE_MACS_MAX,
    HANDSHAKE_TIME_MAX, HANDSHAKE_WAIT_FIRST, MEMBERS_MAX, SIMULTANEOUS_WAIT,
};
use crate::base::units::{Span, Time};
use crate::feed::roster::{Member, Roster};
use crate::wire::packet::{Data, Handshake, HandshakeHeader, Pattern, Stage, MAC_BYTES};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// All handshakes on their way.
///
/// ```text
///  begin ----> Begun --- Reply ----------------------------> Opened (XX: with a Finish to send)
///                \--- 10 s without one, or somebody else --> ConnectFailed
///  Init -----> Answered::Ready (IK) --- first data packet -> Opened
///         \--> Answered::Half  (XX) --- Finish ------------> Opened
///                \--- 10 s ---> forgotten
/// ```
pub struct Openings {
    /// This run.
    incarnation: [u8; 8],
    /// The greatest clock seen in a handshake with each member.
    clocks: BTreeMap<NodeId, u64>,
    /// By this side's index.
    begun: BTreeMap<u32, Begun>,
    /// By this side's index.
    answered: BTreeMap<u32, Answered>,
    /// MACs of the latest first messages that led to a session: they do not count twice.
    used: VecDeque<[u8; MAC_BYTES]>,
    /// Counts the handshakes whose other side became known.
    serial: u64,
}

/// A handshake that led to a session.
pub struct Opened {
    /// With whom.
    pub node: NodeId,
    /// Where it is.
    pub address: SocketAddr,
    /// This side's index.
    pub local: u32,
    /// The session.
    pub session: Session,
    /// Where it stands among the handshakes of the two nodes.
    pub order: Order,
    /// How the other side proved its membership, if the roster did not know it.
    pub introduced: Option<(Member, Vec<Vec<u8>>)>,
    /// The third message of XX, to be sent again until the other side is heard.
    pub finish: Option<Vec<u8>>,
}

/// Where a handshake stands among those of the same two nodes. Both sides come to the same result without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Who began it.
    pub initiator: NodeId,
    /// The initiator's clock: greater than that of every handshake that it knew of.
    pub clock: u64,
    /// The other side's run.
    pub incarnation: [u8; 8],
    /// Which of this side's.
    pub serial: u64,
}

/// A handshake that this side began.
struct Begun {
    /// Who is wanted; None: whoever knows the door secret and is a member.
    peer: Option<NodeId>,
    /// Where.
    address: SocketAddr,
    /// Waits for the reply.
    noise: Noise,
    /// The first message, sent again as it is.
    datagram: Vec<u8>,
    /// The clock in it (IK).
    clock: u64,
    /// When it was begun.
    since: Time,
    /// When it is sent again, and how long the wait after that is.
    again: (Time, Span),
}

/// A handshake that this side has answered.
struct Answered {
    /// The first message's MAC: the same message is answered with the same bytes.
    mac: [u8; MAC_BYTES],
    /// That answer.
    reply: Vec<u8>,
    /// The other side's index.
    remote: u32,
    /// When it was answered.
    since: Time,
    /// Which of this side's.
    serial: u64,
    /// What is still missing.
    stage: AnsweredStage,
}

/// What an answered handshake waits for.
enum AnsweredStage {
    /// IK: the first authenticated data packet.
    Ready(Box<Ready>),
    /// XX: the third message.
    Half(Box<Noise>),
}

/// An IK handshake that is complete on this side.
struct Ready {
    /// Who.
    member: Member,
    /// Keys of the session to be.
    keys: PacketKeys,
    /// Its place.
    order: Order,
    /// The chain, if the roster did not know the member.
    chain: Option<Vec<Vec<u8>>>,
}

impl Order {
    /// Whether a session of this handshake takes the place of one of `current`.
    #[must_use]
    pub fn replaces(&self, current: &Self) -> bool {
        if self.incarnation != current.incarnation {
            // The other side was started anew; the handshake that we saw later is of the later run.
            return self.serial > current.serial;
        }
        self.rank() >= current.rank()
    }

    /// Later clocks first; of equal ones (both began at once) the lower initiator.
    const fn rank(&self) -> (u64, core::cmp::Reverse<NodeId>) {
        (self.clock, core::cmp::Reverse(self.initiator))
    }
}

impl Openings {
    /// None yet.
    #[must_use]
    pub const fn new(incarnation: [u8; 8]) -> Self {
        Self {
            incarnation,
            clocks: BTreeMap::new(),
            begun: BTreeMap::new(),
            answered: BTreeMap::new(),
            used: VecDeque::new(),
            serial: 0,
        }
    }

    /// Whether this side's index is taken.
    #[must_use]
    pub fn has(&self, index: u32) -> bool {
        self.begun.contains_key(&index) || self.answered.contains_key(&index)
    }

    /// Begins a handshake with `peer`, or with whoever is there. Does nothing if the same is on its way.
    pub fn begin(
        &mut self,
        member: &Membership,
        desk: &mut Desk,
        now: Time,
        index: u32,
        (peer, address): (Option<NodeId>, SocketAddr),
    ) {
        if self.begun.values().any(|begun| begun.peer == peer && begun.address == address) {
            return;
        }
        let known = peer.and_then(|node| member.roster.member(&node)).map(|known| known.channel);
        let clock = peer.map_or(0, |node| self.tick(node));
        let made = (self.begun.len() < HANDSHAKES_BEGUN_MAX)
            .then(|| self.first_message(member, desk, index, known.as_ref(), clock))
            .flatten();
        let Some((noise, datagram)) = made else {
            desk.counters.refused += 1;
            return desk.event(Event::ConnectFailed { peer, address });
        };
        desk.transmit(address, datagram.clone());
        let again = (now + HANDSHAKE_WAIT_FIRST, HANDSHAKE_WAIT_FIRST.times(2));
        self.begun.insert(index, Begun { peer, address, noise, datagram, clock, since: now, again });
    }

    /// Writes a first message: IK to a known channel key, else XX.
    fn first_message(
        &self,
        member: &Membership,
        desk: &mut Desk,
        index: u32,
        responder: Option<&[u8; 32]>,
        clock: u64,
    ) -> Option<(Noise, Vec<u8>)> {
        let mut noise = Noise::initiate(local(member, desk), responder).ok()?;
        let header =
            HandshakeHeader { stage: Stage::Init, pattern: noise.pattern(), sender: index, receiver: 0 };
        let claims = Claims { incarnation: self.incarnation, clock, chain: member.chain.clone() };
        let datagram = noise.write(&member.keys, header, responder.map(|_| &claims)).ok()?;
        Some((noise, datagram))
    }

    /// Somebody's first message, whose MAC is right. `index` is free for the answer.
    pub fn on_init(
        &mut self,
        member: &Membership,
        desk: &mut Desk,
        now: Time,
        index: u32,
        (from, packet): (SocketAddr, &Handshake<'_>),
    ) {
        if self.used.contains(packet.mac) {
            desk.counters.replayed += 1;
            return;
        }
        if let Some(answered) = self.answered.values().find(|answered| answered.mac == *packet.mac) {
            return desk.transmit(from, answered.reply.clone());
        }
        let Ok(mut noise) = Noise::respond(local(member, desk), packet.header.pattern) else {
            return;
        };
        let Ok(payload) = noise.read(packet.noise) else {
            desk.counters.strangers += 1;
            return;
        };
        let header = HandshakeHeader {
            stage: Stage::Reply,
            pattern: packet.header.pattern,
            sender: index,
            receiver: packet.header.sender,
        };
        let made = match packet.header.pattern {
            Pattern::Ik => self.answer_ik(member, desk, now, noise, header, &payload),
            Pattern::Xx => self.answer_xx(member, noise, header),
        };
        let Some((stage, reply)) = made else {
            return;
        };
        self.make_room(&stage);
        desk.transmit(from, reply.clone());
        let (mac, remote, serial) = (*packet.mac, packet.header.sender, self.serial);
        self.answered.insert(index, Answered { mac, reply, remote, since: now, serial, stage });
    }

    /// Answers an IK handshake: now the other side is known.
    fn answer_ik(
        &mut self,
        member: &Membership,
        desk: &mut Desk,
        now: Time,
        mut noise: Noise,
        header: HandshakeHeader,
        payload: &[u8],
    ) -> Option<(AnsweredStage, Vec<u8>)> {
        let claims = Claims::decode(payload).ok();
        let known = claims.and_then(|claims| {
            let (peer, chain) = identify(member, &noise, &claims)?;
            Some((peer, chain, claims))
        });
        let Some((peer, chain, claims)) = known else {
            desk.counters.strangers += 1;
            return None;
        };
        let order = self.place(&peer.node, peer.node, &claims, claims.clock);
        if self.own_is_better(member, now, &order) {
            return None;
        }
        let answer = self.claims(peer.node, Vec::new());
        let reply = noise.write(&member.keys, header, Some(&answer)).ok()?;
        let keys = noise.keys()?;
        Some((AnsweredStage::Ready(Box::new(Ready { member: peer, keys, order, chain })), reply))
    }

    /// Answers an XX handshake: the other side is known only with its next message.
    fn answer_xx(
        &mut self,
        member: &Membership,
        mut noise: Noise,
        header: HandshakeHeader,
    ) -> Option<(AnsweredStage, Vec<u8>)> {
        self.serial += 1;
        let claims = Claims { incarnation: self.incarnation, clock: 0, chain: member.chain.clone() };
        let reply = noise.write(&member.keys, header, Some(&claims)).ok()?;
        Some((AnsweredStage::Half(Box::new(noise)), reply))
    }

    /// The answer to a first message of ours; gives the session that this side now has.
    pub fn on_reply(
        &mut self,
        member: &Membership,
        desk: &mut Desk,
        now: Time,
        (from, packet): (SocketAddr, &Handshake<'_>),
    ) -> Option<Opened> {
        let index = packet.header.receiver;
        let Some(begun) =
            self.begun.get(&index).filter(|begun| begun.noise.pattern() == packet.header.pattern)
        else {
            desk.counters.replayed += 1;
            return None;
        };
        if begun.peer.is_some_and(|peer| self.theirs_is_better(member, now, peer, begun.clock)) {
            return None;
        }
        let begun = self.begun.get_mut(&index)?;
        let Ok(payload) = begun.noise.read(packet.noise) else {
            desk.counters.forged += 1;
            return None;
        };
        let mut begun = self.begun.remove(&index)?;
        let claims = Claims::decode(&payload).ok();
        let known = claims.and_then(|claims| {
            let (peer, chain) = identify(member, &begun.noise, &claims)?;
            begun.peer.is_none_or(|wanted| wanted == peer.node).then_some((peer, chain, claims))
        });
        let opened = known.and_then(|(peer, chain, claims)| {
            let finish = self.finish(member, &mut begun, packet.header, &peer)?;
            let clock = begun.clock;
            let order = self.place(&peer.node, member.identity.node, &claims, clock);
            let session = Session::new(now, begun.noise.keys()?, index, packet.header.sender);
            let introduced = chain.map(|chain| (peer.clone(), chain));
            let node = peer.node;
            Some(Opened { node, address: from, local: index, session, order, introduced, finish })
        });
        match &opened {
            Some(opened) => self.begun.retain(|_, begun| begun.peer != Some(opened.node)),
            None => desk.event(Event::ConnectFailed { peer: begun.peer, address: begun.address }),
        }
        opened
    }

    /// Writes the third message of XX (`Some(None)` for IK, which has none), and sets the clock that it carries.
    fn finish(
        &mut self,
        member: &Membership,
        begun: &mut Begun,
        reply: HandshakeHeader,
        peer: &Member,
    ) -> Option<Option<Vec<u8>>> {
        if reply.pattern == Pattern::Ik {
            return Some(None);
        }
        begun.clock = self.tick(peer.node);
        let claims =
            Claims { incarnation: self.incarnation, clock: begun.clock, chain: member.chain.clone() };
        let header = HandshakeHeader {
            stage: Stage::Finish,
            pattern: Pattern::Xx,
            sender: reply.receiver,
            receiver: reply.sender,
        };
        begun.noise.write(&member.keys, header, Some(&claims)).ok().map(Some)
    }

    /// The third message of XX, whose MAC is right. It is fresh, for it depends on this side's answer.
    pub fn on_finish(
        &mut self,
        member: &Membership,
        desk: &mut Desk,
        now: Time,
        (from, packet): (SocketAddr, &Handshake<'_>),
    ) -> Option<Opened> {
        let index = packet.header.receiver;
        let answered = self.answered.get_mut(&index)?;
        let AnsweredStage::Half(noise) = &mut answered.stage else {
            return None;
        };
        if packet.header.sender != answered.remote {
            return None;
        }
        let Ok(payload) = noise.read(packet.noise) else {
            desk.counters.forged += 1;
            return None;
        };
        let Answered { mac, remote, serial, stage: AnsweredStage::Half(mut noise), .. } =
            self.answered.remove(&index)?
        else {
            return None;
        };
        let claims = Claims::decode(&payload).ok();
        let known = claims.and_then(|claims| {
            let (peer, chain) = identify(member, &noise, &claims)?;
            Some((peer, chain, claims))
        });
        let Some((peer, chain, claims)) = known else {
            desk.counters.strangers += 1;
            return None;
        };
        let order = Order { serial, ..self.place(&peer.node, peer.node, &claims, claims.clock) };
        let introduced = chain.map(|chain| (peer.clone(), chain));
        let (node, session) = (peer.node, Session::new(now, noise.keys()?, index, remote));
        self.spend(mac);
        Some(Opened { node, address: from, local: index, session, order, introduced, finish: None })
    }

    /// Whether a data packet with this index may complete a handshake.
    #[must_use]
    pub fn is_ready(&self, index: u32) -> bool {
        matches!(self.answered.get(&index), Some(Answered { stage: AnsweredStage::Ready(_), .. }))
    }

    /// Such a data packet: if it authenticates, the handshake is complete.
    pub fn on_data(
        &mut self,
        desk: &mut Desk,
        now: Time,
        from: SocketAddr,
        data: Data<'_>,
    ) -> Option<Opened> {
        let index = data.header.receiver;
        let answered = self.answered.get(&index)?;
        let AnsweredStage::Ready(ready) = &answered.stage else {
            return None;
        };
        let keys = PacketKeys { send: ready.keys.send, receive: ready.keys.receive };
        let mut session = Session::new(now, keys, index, answered.remote);
        if session.handle_data(now, data.header.number, data.sealed).is_err() {
            desk.counters.forged += 1;
            return None;
        }
        let Answered { mac, stage: AnsweredStage::Ready(ready), .. } = self.answered.remove(&index)? else {
            return None;
        };
        self.spend(mac);
        let Ready { member, order, chain, .. } = *ready;
        let node = member.node;
        self.begun.retain(|_, begun| begun.peer != Some(node) || begun.clock > order.clock);
        let introduced = chain.map(|chain| (member, chain));
        Some(Opened { node, address: from, local: index, session, order, introduced, finish: None })
    }

    /// A peer has said which versions it speaks: it does not speak ours.
    pub fn on_versions(&mut self, desk: &mut Desk, index: u32) {
        if let Some(begun) = self.begun.remove(&index) {
            desk.event(Event::ConnectFailed { peer: begun.peer, address: begun.address });
        }
    }

    /// Sends first messages again, gives up, forgets.
    pub fn handle_timeout(&mut self, desk: &mut Desk, now: Time) {
        self.answered.retain(|_, answered| now < answered.since + HANDSHAKE_TIME_MAX);
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

    /// When [`Openings::handle_timeout`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let begun = self.begun.values().map(|begun| begun.again.0.min(begun.since + HANDSHAKE_TIME_MAX));
        let answered = self.answered.values().map(|answered| answered.since + HANDSHAKE_TIME_MAX);
        begun.chain(answered).min()
    }

    /// Forgets handshakes with nodes that are removed.
    pub fn set_roster(&mut self, roster: &Roster) {
        self.clocks.retain(|node, _| !roster.is_removed(node));
        self.begun.retain(|_, begun| begun.peer.is_none_or(|node| !roster.is_removed(&node)));
        self.answered.retain(|_, answered| match &answered.stage {
            AnsweredStage::Ready(ready) => !roster.is_removed(&ready.member.node),
            AnsweredStage::Half(_) => true,
        });
    }

    /// Forgets all handshakes.
    pub fn clear(&mut self) {
        self.begun.clear();
        self.answered.clear();
    }

    /// Forgets the handshakes that this side began with `node`.
    pub fn abandon(&mut self, node: &NodeId) {
        self.begun.retain(|_, begun| begun.peer.as_ref() != Some(node));
    }

    /// Whether this side has begun a handshake with the same node a moment ago that will win: then the other side's
    /// is not answered yet, and no session is made to be replaced at once.
    fn own_is_better(&self, member: &Membership, now: Time, theirs: &Order) -> bool {
        self.begun.values().any(|begun| {
            let own = Order { initiator: member.identity.node, clock: begun.clock, ..*theirs };
            begun.peer == Some(theirs.initiator)
                && begun.noise.pattern() == Pattern::Ik
                && now < begun.since + SIMULTANEOUS_WAIT
                && own.rank() > theirs.rank()
        })
    }

    /// The same seen from the other side: whether `peer` has begun a handshake that will win, answered a moment ago.
    fn theirs_is_better(&self, member: &Membership, now: Time, peer: NodeId, clock: u64) -> bool {
        self.answered.values().any(|answered| match &answered.stage {
            AnsweredStage::Ready(ready) => {
                let own = Order { initiator: member.identity.node, clock, ..ready.order };
                ready.member.node == peer
                    && now < answered.since + SIMULTANEOUS_WAIT
                    && ready.order.rank() > own.rank()
            }
            AnsweredStage::Half(_) => false,
        })
    }

    /// Makes room for one more answered handshake: the oldest goes, of the same node first.
    fn make_room(&mut self, stage: &AnsweredStage) {
        if let AnsweredStage::Ready(new) = stage {
            let same = |answered: &Answered| matches!(&answered.stage, AnsweredStage::Ready(old) if old.member.node == new.member.node);
            if self.answered.values().filter(|answered| same(answered)).count()
                >= HANDSHAKES_ANSWERED_PER_NODE_MAX
            {
                self.forget_oldest(same);
            }
        }
        if self.answered.len() >= HANDSHAKES_ANSWERED_MAX {
            self.forget_oldest(|_| true);
        }
    }

    /// Forgets the oldest answered handshake among those that `which` names.
    fn forget_oldest(&mut self, which: impl Fn(&Answered) -> bool) {
        let among = self.answered.iter().filter(|(_, answered)| which(answered));
        if let Some(index) = among.min_by_key(|(_, answered)| answered.serial).map(|(index, _)| *index) {
            self.answered.remove(&index);
        }
    }

    /// Gives a handshake its place, and keeps the clock that it shows.
    fn place(&mut self, peer: &NodeId, initiator: NodeId, claims: &Claims, clock: u64) -> Order {
        self.serial += 1;
        self.see(*peer, claims.clock);
        Order { initiator, clock, incarnation: claims.incarnation, serial: self.serial }
    }

    /// What this side says to `node` in an answer.
    fn claims(&self, node: NodeId, chain: Vec<Vec<u8>>) -> Claims {
        let clock = self.clocks.get(&node).copied().unwrap_or(0);
        Claims { incarnation: self.incarnation, clock, chain }
    }

    /// The clock of the next handshake with `node`.
    fn tick(&mut self, node: NodeId) -> u64 {
        let clock = (self.clocks.get(&node).copied().unwrap_or(0) + 1).min(CLOCK_MAX);
        self.see(node, clock);
        clock
    }

    /// Remembers the greatest clock of `node`.
    fn see(&mut self, node: NodeId, clock: u64) {
        if self.clocks.len() >= MEMBERS_MAX && !self.clocks.contains_key(&node) {
            self.clocks.pop_first();
        }
        let known = self.clocks.entry(node).or_insert(0);
        *known = clock.max(*known);
    }

    /// Remembers that a first message has led to a session.
    fn spend(&mut self, mac: [u8; MAC_BYTES]) {
        if self.used.len() >= HANDSHAKE_MACS_MAX {
            self.used.pop_front();
        }
        self.used.push_back(mac);
    }
}

/// Who the other side is: a member that the roster knows, or one that proves an Admit chain (then with that chain).
/// None for strangers, for removed members and for this node itself.
fn identify(member: &Membership, noise: &Noise, claims: &Claims) -> Option<(Member, Option<Vec<Vec<u8>>>)> {
    let channel = noise.remote()?;
    if channel == member.channel {
        return None;
    }
    if let Some(known) = member.roster.by_channel(&channel) {
        return (!member.roster.is_removed(&known.node)).then(|| (known.clone(), None));
    }
    if claims.chain.is_empty() {
        return None;
    }
    let proven = member.roster.verify_chain(&claims.chain).ok()?;
    let is_right = proven.channel == channel && proven.node != member.identity.node;
    (is_right && !member.roster.is_removed(&proven.node)).then(|| (proven, Some(claims.chain.clone())))
}

/// This side's secrets, with a fresh seed.
fn local<'a>(member: &'a Membership, desk: &mut Desk) -> Local<'a> {
    Local { door: &member.keys, channel_secret: &member.identity.channel_secret, seed: desk.seed() }
}
