//! The joiner's side of joining by a code.
//!
//! Owns: one try at one address: asking, SPAKE2, confirmation, fetching the answer part by part, sending again.
//! Refuses: to trust anything unproven but a refusal, which anybody on the path could cause anyhow. Read first:
//! PROTOCOL.md, "Pairing".

use super::desk::Desk;
use super::event::{Event, PairFailure};
use super::pairing::{
    confirmation_bytes, failure_of, head, head_of, mac, padded, parse_body, verifies, Body, Code, Exchange,
    PairKeys, Step, Tag8, MAC_BYTES, SPAKE_BYTES,
};
use crate::base::limits::{
    PAIRING_HELLO_BYTES_MAX, PAIRING_PART_BYTES_MAX, PAIRING_PAYLOAD_BYTES_MAX, PAIRING_SILENCE_MAX,
    PAIRING_TIME_MAX, PAIRING_WAIT,
};
use crate::base::units::Time;
use crate::wire::packet::{Pair, PairHeader, PairStage};
use core::fmt;
use rand_core::RngCore;
use std::net::SocketAddr;

/// One try to join.
///
/// ```text
///  Asking -- Ask, and its turn --> Starting -- Start --> Confirming -- Confirm --> Fetching -- last Part --> PairAnswered
///    any of them -- Rejected, Closed, silence, ten minutes --> PairFailed
/// ```
pub struct Join {
    /// Names the try.
    exchange: u64,
    /// Where.
    address: SocketAddr,
    /// What the person typed.
    code: Code,
    /// What this node says of itself.
    hello: Vec<u8>,
    /// How far it is.
    stage: JoinStage,
    /// What was sent last, and is sent again.
    datagram: Vec<u8>,
    /// When that is.
    again: Time,
    /// When something was last heard that led on.
    heard: Time,
    /// When it was begun.
    since: Time,
}

/// How far a try is.
enum JoinStage {
    /// Who invites there?
    Asking,
    /// Our SPAKE2 message is on its way.
    Starting(Tag8, Box<Exchange>),
    /// Our confirmation is on its way.
    Confirming(Tag8, Box<PairKeys>, [u8; MAC_BYTES]),
    /// These parts have come.
    Fetching(Tag8, Box<PairKeys>, Vec<u8>),
    /// It was tried; by this invitation the code was refused.
    Over(Option<Tag8>),
}

/// Whether a try may begin with the invitation that it has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It may.
    Go,
    /// Another try is under way there.
    Wait,
    /// The code was refused there.
    Refused,
}

/// What a step of the joiner leads to.
enum Next {
    /// Nothing new.
    Stay,
    /// The inviter is there but not ready.
    Patience,
    /// Another stage, with a datagram to send.
    Go(JoinStage, Vec<u8>),
    /// All of the answer.
    Done(Vec<u8>),
    /// It will not work.
    Fail(PairFailure),
}

impl Join {
    /// Begins to ask; None if the hello is longer than allowed.
    pub fn begin(
        desk: &mut Desk,
        now: Time,
        address: SocketAddr,
        code: Code,
        hello: Vec<u8>,
    ) -> Option<Self> {
        if hello.len() > PAIRING_HELLO_BYTES_MAX {
            return None;
        }
        let exchange = desk.random.next_u64();
        let datagram = padded(head(PairStage::Hello, (0, 1), exchange, Step::Ask, &[0; 8]));
        desk.transmit(address, datagram.clone());
        let again = now + PAIRING_WAIT;
        let stage = JoinStage::Asking;
        Some(Self { exchange, address, code, hello, stage, datagram, again, heard: now, since: now })
    }

    /// The try's name.
    #[must_use]
    pub const fn exchange(&self) -> u64 {
        self.exchange
    }

    /// Where it is tried.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it has ended, well or not.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(self.stage, JoinStage::Over(_))
    }

    /// What the person typed.
    #[must_use]
    pub const fn code(&self) -> &Code {
        &self.code
    }

    /// The invitation with which it has begun.
    #[must_use]
    pub const fn tag(&self) -> Option<Tag8> {
        self.stage.tag()
    }

    /// The invitation whose code another one is, once that is known.
    #[must_use]
    pub const fn refused_by(&self) -> Option<Tag8> {
        match self.stage {
            JoinStage::Over(by) => by,
            _ => None,
        }
    }

    /// An inviter's datagram.
    pub fn handle(&mut self, desk: &mut Desk, now: Time, from: SocketAddr, packet: &Pair<'_>, turn: Turn) {
        let Some(body) = parse_body(packet.body).filter(|_| from == self.address) else {
            desk.counters.garbage += 1;
            return;
        };
        match self.step(desk, packet.header, &body, turn) {
            Next::Stay => desk.counters.garbage += 1,
            Next::Patience => self.heard = now,
            Next::Go(stage, datagram) => {
                self.stage = stage;
                self.datagram = padded(datagram);
                self.heard = now;
                self.again = now + PAIRING_WAIT;
                desk.transmit(self.address, self.datagram.clone());
            }
            Next::Done(payload) => {
                self.stage = JoinStage::Over(None);
                desk.event(Event::PairAnswered { payload, from });
            }
            Next::Fail(reason) => {
                self.fail(desk, reason);
                self.stage = JoinStage::Over((reason == PairFailure::WrongCode).then_some(body.tag));
            }
        }
    }

    /// Sends again, or gives up.
    pub fn handle_timeout(&mut self, desk: &mut Desk, now: Time) {
        if self.is_over() {
            return;
        }
        if now >= self.heard + PAIRING_SILENCE_MAX {
            return self.fail(desk, PairFailure::NoAnswer);
        }
        if now >= self.since + PAIRING_TIME_MAX {
            return self.fail(desk, PairFailure::Expired);
        }
        if now >= self.again {
            self.again = now + PAIRING_WAIT;
            desk.transmit(self.address, self.datagram.clone());
        }
    }

    /// When [`Join::handle_timeout`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Time {
        self.again.min(self.heard + PAIRING_SILENCE_MAX).min(self.since + PAIRING_TIME_MAX)
    }

    /// Ends it.
    fn fail(&mut self, desk: &mut Desk, reason: PairFailure) {
        self.stage = JoinStage::Over(None);
        desk.event(Event::PairFailed { reason, from: self.address });
    }

    /// What a datagram leads to in this stage.
    fn step(&mut self, desk: &mut Desk, header: PairHeader, body: &Body<'_>, turn: Turn) -> Next {
        let stage = core::mem::replace(&mut self.stage, JoinStage::Over(None));
        if !matches!(&stage, JoinStage::Asking) && stage.tag() != Some(body.tag) {
            self.stage = stage;
            return Next::Stay;
        }
        match (stage, header.stage, body.step) {
            (JoinStage::Over(_), ..) => Next::Stay,
            (JoinStage::Asking, PairStage::Reply, Step::Ask) => match turn {
                Turn::Go => self.start(desk, body.tag),
                Turn::Wait => {
                    self.stage = JoinStage::Asking;
                    Next::Patience
                }
                Turn::Refused => Next::Fail(PairFailure::WrongCode),
            },
            (JoinStage::Starting(tag, spake), PairStage::Reply, Step::Start) => {
                self.confirm(tag, *spake, body)
            }
            (JoinStage::Confirming(tag, keys, ours), PairStage::Answer, Step::Confirm) => {
                if verifies(&keys.inviter, &[&head_of(header, body), &ours], body.rest) {
                    let question = self.question(&keys, &tag, (0, 1));
                    return Next::Go(JoinStage::Fetching(tag, keys, Vec::new()), question);
                }
                self.stage = JoinStage::Confirming(tag, keys, ours);
                Next::Stay
            }
            (JoinStage::Confirming(..), PairStage::Answer, Step::Rejected) => {
                Next::Fail(PairFailure::WrongCode)
            }
            (_, _, Step::Closed) => Next::Fail(failure_of(body.rest)),
            (JoinStage::Fetching(tag, keys, parts), PairStage::Answer, Step::Wait) => {
                let is_true = verifies(&keys.inviter, &[&head_of(header, body)], body.rest);
                self.stage = JoinStage::Fetching(tag, keys, parts);
                if is_true {
                    Next::Patience
                } else {
                    Next::Stay
                }
            }
            (JoinStage::Fetching(tag, keys, parts), PairStage::Answer, Step::Part) => {
                self.collect(tag, keys, parts, header, body)
            }
            (stage, ..) => {
                self.stage = stage;
                Next::Stay
            }
        }
    }

    /// An invitation is there: begin SPAKE2.
    fn start(&self, desk: &mut Desk, tag: Tag8) -> Next {
        let (spake, message) = self.code.start_joiner(self.exchange, &tag, &mut desk.random);
        let mut datagram = head(PairStage::Hello, (0, 1), self.exchange, Step::Start, &tag);
        datagram.extend_from_slice(&message);
        Next::Go(JoinStage::Starting(tag, Box::new(spake)), datagram)
    }

    /// The inviter's SPAKE2 message is there: confirm first.
    fn confirm(&self, tag: Tag8, spake: Exchange, body: &Body<'_>) -> Next {
        let keys = body.rest.get(..SPAKE_BYTES).and_then(|message| PairKeys::finish(spake, message));
        let Some(keys) = keys else {
            // SPAKE2's state is used up. Whoever sent this is no inviter.
            return Next::Fail(PairFailure::NoAnswer);
        };
        let mut datagram = head(PairStage::Confirm, (0, 1), self.exchange, Step::Confirm, &tag);
        let confirmation = confirmation_bytes(&keys, &datagram, &self.hello);
        datagram.extend_from_slice(&confirmation);
        let mut ours = [0; MAC_BYTES];
        ours.copy_from_slice(&confirmation[..MAC_BYTES]);
        Next::Go(JoinStage::Confirming(tag, Box::new(keys), ours), datagram)
    }

    /// A part of the answer: the one that was asked for is kept.
    fn collect(
        &mut self,
        tag: Tag8,
        keys: Box<PairKeys>,
        mut parts: Vec<u8>,
        header: PairHeader,
        body: &Body<'_>,
    ) -> Next {
        let is_next = parts.len() == usize::from(header.fragment) * PAIRING_PART_BYTES_MAX;
        let part = keys.open_part(header.fragment, &head_of(header, body), body.rest).filter(|_| is_next);
        let Some(part) = part else {
            self.stage = JoinStage::Fetching(tag, keys, parts);
            return Next::Stay;
        };
        let is_last = header.fragment + 1 == header.fragments;
        let is_odd =
            part.len() > PAIRING_PART_BYTES_MAX || (!is_last && part.len() != PAIRING_PART_BYTES_MAX);
        parts.extend_from_slice(&part);
        if is_odd || parts.len() > PAIRING_PAYLOAD_BYTES_MAX {
            return Next::Fail(PairFailure::NoAnswer);
        }
        if is_last {
            return Next::Done(parts);
        }
        let question = self.question(&keys, &tag, (header.fragment + 1, header.fragments));
        Next::Go(JoinStage::Fetching(tag, keys, parts), question)
    }

    /// Asks for a part of the answer.
    fn question(&self, keys: &PairKeys, tag: &Tag8, place: (u8, u8)) -> Vec<u8> {
        let mut datagram = head(PairStage::Confirm, place, self.exchange, Step::Part, tag);
        let proof = mac(&keys.joiner, &[&datagram]);
        datagram.extend_from_slice(&proof);
        datagram
    }
}

impl JoinStage {
    /// The invitation, once it is known.
    const fn tag(&self) -> Option<Tag8> {
        match self {
            Self::Asking | Self::Over(_) => None,
            Self::Starting(tag, _) | Self::Confirming(tag, ..) | Self::Fetching(tag, ..) => Some(*tag),
        }
    }
}

impl fmt::Debug for Join {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Join").field("address", &self.address).finish_non_exhaustive()
    }
}
