//! Handshakes on their way, this node's own and others', and what one kind means for the other.
//!
//! Owns: two nodes that knock at each other's door at once make one session. Refuses: the handshakes themselves
//! (`knocks.rs`, `answers.rs`), and established sessions (`links.rs`). Strangers get silence and are counted. Read
//! first: PROTOCOL.md, "Handshake".

use super::answers::Answers;
use super::desk::{Desk, Membership};
use super::gate::{Gate, Verdict};
use super::knocks::Knocks;
use super::opened::{Clocks, Opened, Order};
use crate::base::ids::NodeId;
use crate::base::limits::{HANDSHAKE_WAIT_FIRST, SIMULTANEOUS_WAIT};
use crate::base::units::Time;
use crate::feed::roster::Roster;
use crate::wire::packet::{Cookie, Data, Handshake, Stage};
use std::net::SocketAddr;

/// All handshakes on their way.
pub struct Openings {
    /// What gives them their places.
    clocks: Clocks,
    /// Begun by this node.
    knocks: Knocks,
    /// Begun by others.
    answers: Answers,
    /// How many of those there may be.
    gate: Gate,
}

impl Openings {
    /// None yet, in a run with this random name.
    #[must_use]
    pub fn new(incarnation: [u8; 8]) -> Self {
        Self {
            clocks: Clocks::new(incarnation),
            knocks: Knocks::default(),
            answers: Answers::default(),
            gate: Gate::default(),
        }
    }

    /// Whether this side's index is taken.
    #[must_use]
    pub fn has(&self, index: u32) -> bool {
        self.knocks.has(index) || self.answers.has(index)
    }

    /// How many of others' handshakes are answered and not complete.
    #[must_use]
    pub fn answered_count(&self) -> usize {
        self.answers.count()
    }

    /// Begins a handshake with `peer`, or with whichever member is there. Does nothing if the same is on its way.
    pub fn begin(
        &mut self,
        member: &Membership,
        desk: &mut Desk,
        now: Time,
        index: u32,
        (peer, address): (Option<NodeId>, SocketAddr),
    ) {
        if self.knocks.is_begun(peer, address) {
            return;
        }
        let is_expected = peer.is_some_and(|peer| self.answers.is_expected(&peer, now, HANDSHAKE_WAIT_FIRST));
        self.knocks.begin(member, desk, &mut self.clocks, now, (index, peer, address, is_expected));
    }

    /// A handshake datagram whose MAC is right. `index` is free for an answer, `runs` tells which run of a node there is
    /// a session with. Gives the session that stands now.
    pub fn handle(
        &mut self,
        member: &Membership,
        desk: &mut Desk,
        now: Time,
        index: u32,
        (from, packet): (SocketAddr, &Handshake<'_>),
        runs: impl Fn(&NodeId) -> Option<[u8; 8]>,
    ) -> Option<Opened> {
        let opened = match packet.header.stage {
            Stage::Init => {
                self.on_init(member, desk, (now, index, from), packet);
                None
            }
            Stage::Reply => self.on_reply(member, desk, now, (from, packet), runs),
            Stage::Finish => {
                let Self { answers, knocks, clocks, .. } = self;
                let is_beaten = |node: &NodeId, order: &Order| knocks.beats(node, order);
                answers.on_finish(member, desk, clocks, now, (from, packet), is_beaten)
            }
        };
        self.abandon_for(opened)
    }

    /// A first message: what was seen before costs no curve, and under load what is new has to show a cookie first.
    fn on_init(
        &mut self,
        member: &Membership,
        desk: &mut Desk,
        (now, index, from): (Time, u32, SocketAddr),
        packet: &Handshake<'_>,
    ) {
        if self.answers.on_repeated(desk, from, packet) {
            return;
        }
        match self.gate.judge(desk, now, from, packet) {
            Verdict::Pass => {
                self.answers.on_init(member, desk, &mut self.clocks, (now, index, from), packet);
            }
            Verdict::Ask => self.gate.ask(member, desk, now, from, packet),
            Verdict::Refuse => desk.counters.refused += 1,
        }
    }

    /// What a first message of ours is to be repeated with.
    pub fn on_cookie(&mut self, member: &Membership, desk: &mut Desk, cookie: &Cookie<'_>) {
        self.knocks.on_cookie(member, desk, cookie);
    }

    /// The reply to a first message of ours.
    fn on_reply(
        &mut self,
        member: &Membership,
        desk: &mut Desk,
        now: Time,
        (from, packet): (SocketAddr, &Handshake<'_>),
        runs: impl Fn(&NodeId) -> Option<[u8; 8]>,
    ) -> Option<Opened> {
        let Some(ours) = self.knocks.waiting(member.identity.node, &packet.header) else {
            desk.counters.replayed += 1;
            return None;
        };
        // The peer has knocked here too and will win, but has yet to send its next message. If it does not, its reply
        // to ours comes again.
        if self.answers.is_better(&ours, now, SIMULTANEOUS_WAIT) {
            return None;
        }
        let Self { answers, knocks, clocks, .. } = self;
        // There is a session with this run of the node already, or its own handshake is further than this one.
        let is_needless =
            |node: &NodeId, run| runs(node) == Some(run) || answers.is_expected(node, now, SIMULTANEOUS_WAIT);
        knocks.on_reply(member, desk, clocks, now, (from, packet), is_needless)
    }

    /// Whether a data packet with this index may complete a handshake.
    #[must_use]
    pub fn is_ready(&self, index: u32) -> bool {
        self.knocks.is_ready(index) || self.answers.is_ready(index)
    }

    /// Such a data packet: if it authenticates, the session stands.
    pub fn on_data(
        &mut self,
        desk: &mut Desk,
        now: Time,
        from: SocketAddr,
        data: Data<'_>,
    ) -> Option<Opened> {
        let opened = if self.knocks.is_ready(data.header.receiver) {
            self.knocks.on_data(desk, now, from, data)
        } else {
            self.answers.on_data(desk, now, from, data)
        };
        self.abandon_for(opened)
    }

    /// A peer has said which versions it speaks: not ours.
    pub fn on_versions(&mut self, desk: &mut Desk, index: u32) {
        self.knocks.on_versions(desk, index);
    }

    /// Sends again, gives up, forgets.
    pub fn handle_timeout(&mut self, desk: &mut Desk, now: Time) {
        self.knocks.handle_timeout(desk, now);
        self.answers.handle_timeout(now);
    }

    /// When [`Openings::handle_timeout`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.knocks.deadline().into_iter().chain(self.answers.deadline()).min()
    }

    /// Forgets handshakes with nodes that are removed.
    pub fn set_roster(&mut self, roster: &Roster) {
        self.clocks.set_roster(roster);
        self.knocks.set_roster(roster);
        self.answers.set_roster(roster);
    }

    /// Forgets the handshakes that this side began with `node`.
    pub fn abandon(&mut self, node: &NodeId) {
        self.knocks.abandon(node, None);
    }

    /// Forgets what this side has begun at `address` and that was not answered.
    pub fn abandon_at(&mut self, address: SocketAddr) {
        self.knocks.abandon_at(address);
    }

    /// Forgets all handshakes on their way, silently.
    pub fn clear(&mut self) {
        self.knocks = Knocks::default();
        self.answers = Answers::default();
    }

    /// Handshakes begun and answered; first messages that led to a session.
    #[cfg(test)]
    pub fn lengths(&self) -> ((usize, usize), usize) {
        ((self.knocks.count(), self.answers.count()), self.answers.used_count())
    }

    /// A session stands: what waits for the same is not needed.
    fn abandon_for(&mut self, opened: Option<Opened>) -> Option<Opened> {
        if let Some(opened) = &opened {
            self.knocks.abandon(&opened.node, Some((opened.address, &opened.order)));
        }
        opened
    }
}
