//! The inviter's side of joining by a code.
//!
//! Owns: one invitation, its attempts and their count, answers repeated byte for byte. Refuses: to answer before an
//! attempt is counted, or to prove that it knows the code before the joiner has. Read first: PROTOCOL.md, "Pairing".

use super::desk::Desk;
use super::event::{CloseReason, Event, SendError};
use super::pairing::{
    head, head_of, mac, parse_body, parse_confirmation, verifies, why_closed, Body, Code, PairKeys, Step,
    Tag8, MAC_BYTES, SPAKE_BYTES, WHY_DECLINED,
};
use crate::base::limits::{
    DATAGRAM_BYTES_BASE, PAIRING_ATTEMPTS_MAX, PAIRING_CONFIRM_TIME_MAX, PAIRING_LINGER,
    PAIRING_PART_BYTES_MAX, PAIRING_PAYLOAD_BYTES_MAX, PAIRING_TIME_MAX,
};
use crate::base::units::Time;
use crate::wire::packet::{Pair, PairHeader, PairStage, PAIR_HEADER_BYTES};
use core::fmt;
use rand_core::RngCore;
use std::net::SocketAddr;

/// An invitation.
///
/// ```text
///  Open --- answer_pairing ------------------------> Closed (Used)
///       --- five attempts answered, all failed ----> Closed (Attempts)
///       --- ten minutes, or withdrawn -------------> Closed (Expired, Withdrawn)
///  Closed --- lingers, repeats answers, fetches go on --> gone
/// ```
///
/// From the first right confirmation on it is taken: whoever else comes hears that it is used, unless the owner declines.
pub struct Invitation {
    /// Its random name.
    tag: Tag8,
    /// What the person reads out.
    code: Code,
    /// Until when it is open, or lingers.
    phase: Phase,
    /// Every attempt that was answered.
    attempts: Vec<Attempt>,
}

/// How far an invitation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Until then.
    Open(Time),
    /// Still there until then, and why it is over.
    Closed(Time, CloseReason),
}

/// One joiner's try.
struct Attempt {
    /// Drawn by the joiner.
    exchange: u64,
    /// The answer to its Start, repeated as it is.
    reply: Vec<u8>,
    /// When that was first given.
    since: Time,
    /// How far it is.
    stage: AttemptStage,
}

/// How far an attempt is.
enum AttemptStage {
    /// The joiner has yet to confirm.
    Answered(Box<PairKeys>),
    /// It confirmed another code, or never did.
    Failed,
    /// It knows the code, and the owner cannot let it in.
    Declined,
    /// It knows the code: no other attempt can come so far while this one is there.
    Confirmed {
        /// Keys of the rest.
        keys: Box<PairKeys>,
        /// Names it to the owner.
        ticket: u64,
        /// The joiner's confirmation, which ours covers.
        confirmed: [u8; MAC_BYTES],
        /// What the owner answers, once it has.
        payload: Option<Vec<u8>>,
    },
}

impl Invitation {
    /// Opens one.
    pub fn open(desk: &mut Desk, now: Time, code: Code) -> Self {
        let mut tag = [0; 8];
        desk.random.fill_bytes(&mut tag);
        Self { tag, code, phase: Phase::Open(now + PAIRING_TIME_MAX), attempts: Vec::new() }
    }

    /// Its random name.
    #[must_use]
    pub const fn tag(&self) -> Tag8 {
        self.tag
    }

    /// Whether a joiner may still begin or confirm.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
    }

    /// A joiner's datagram.
    pub fn handle(&mut self, desk: &mut Desk, now: Time, from: SocketAddr, packet: &Pair<'_>) {
        let length = PAIR_HEADER_BYTES + packet.body.len();
        let Some(body) = parse_body(packet.body).filter(|_| length >= DATAGRAM_BYTES_BASE) else {
            desk.counters.garbage += 1;
            return;
        };
        let is_ours = body.tag == self.tag;
        let answer = match (packet.header.stage, body.step) {
            (PairStage::Hello, Step::Ask) => self.on_ask(packet.header),
            (PairStage::Hello, Step::Start) if is_ours => self.on_start(desk, now, packet.header, &body),
            (PairStage::Confirm, Step::Confirm) if is_ours => {
                self.on_confirm(desk, now, from, packet.header, &body)
            }
            (PairStage::Confirm, Step::Part) if is_ours => self.on_part(now, packet.header, &body),
            _ => {
                desk.counters.garbage += 1;
                None
            }
        };
        if let Some(answer) = answer {
            desk.transmit(from, answer);
        }
        self.close_if_spent(desk, now);
    }

    /// What the owner answers to a request.
    ///
    /// # Errors
    /// When the ticket is unknown or has lapsed, or the payload is too long.
    pub fn answer(
        &mut self,
        desk: &mut Desk,
        now: Time,
        ticket: u64,
        payload: Vec<u8>,
    ) -> Result<(), SendError> {
        if payload.len() > PAIRING_PAYLOAD_BYTES_MAX {
            return Err(SendError::Length);
        }
        let place = self.attempts.iter_mut().find_map(|attempt| match &mut attempt.stage {
            AttemptStage::Confirmed { ticket: number, payload, .. } if *number == ticket => Some(payload),
            _ => None,
        });
        *place.ok_or(SendError::NoSession)? = Some(payload);
        self.close(desk, now, CloseReason::Used);
        Ok(())
    }

    /// The owner cannot let in who has made this request: it is told so, and others may try as before.
    pub fn decline(&mut self, desk: &mut Desk, now: Time, ticket: u64) {
        let is_it = |attempt: &&mut Attempt| matches!(attempt.stage, AttemptStage::Confirmed { ticket: number, payload: None, .. } if number == ticket);
        if let Some(attempt) = self.attempts.iter_mut().find(is_it) {
            attempt.stage = AttemptStage::Declined;
        }
        self.close_if_spent(desk, now);
    }

    /// Closes it, and says so if it was open. Who comes too late is told why until its time would have been over.
    pub fn close(&mut self, desk: &mut Desk, now: Time, reason: CloseReason) {
        if let Phase::Open(until) = self.phase {
            self.phase = Phase::Closed(until.max(now + PAIRING_LINGER), reason);
            desk.event(Event::InvitationClosed { reason });
        }
    }

    /// Looks at the time; false when nothing is left of the invitation.
    pub fn handle_timeout(&mut self, desk: &mut Desk, now: Time) -> bool {
        for attempt in &mut self.attempts {
            let is_late = now >= attempt.since + PAIRING_CONFIRM_TIME_MAX;
            if is_late && matches!(attempt.stage, AttemptStage::Answered(_)) {
                attempt.stage = AttemptStage::Failed;
            }
        }
        self.close_if_spent(desk, now);
        match self.phase {
            Phase::Open(until) if now >= until => self.close(desk, now, CloseReason::Expired),
            Phase::Closed(until, _) if now >= until => return false,
            Phase::Open(_) | Phase::Closed(..) => {}
        }
        true
    }

    /// When [`Invitation::handle_timeout`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Time {
        let (Phase::Open(until) | Phase::Closed(until, _)) = self.phase;
        let waiting =
            self.attempts.iter().filter(|attempt| matches!(attempt.stage, AttemptStage::Answered(_)));
        waiting.map(|attempt| attempt.since + PAIRING_CONFIRM_TIME_MAX).fold(until, Time::min)
    }

    /// Who invites here? What was taken back or has expired answers nobody any more.
    fn on_ask(&self, header: PairHeader) -> Option<Vec<u8>> {
        match self.phase {
            Phase::Open(_) => Some(self.word(header, Step::Ask)),
            Phase::Closed(_, CloseReason::Used | CloseReason::Attempts) => Some(self.closed(header)),
            Phase::Closed(_, CloseReason::Expired | CloseReason::Withdrawn) => None,
        }
    }

    /// A SPAKE2 message: counted, and answered with ours. The same exchange is answered with the same bytes.
    fn on_start(
        &mut self,
        desk: &mut Desk,
        now: Time,
        header: PairHeader,
        body: &Body<'_>,
    ) -> Option<Vec<u8>> {
        if let Some(attempt) = self.attempts.iter().find(|attempt| attempt.exchange == header.exchange) {
            return Some(attempt.reply.clone());
        }
        let is_full = self.attempts.len() >= usize::from(PAIRING_ATTEMPTS_MAX);
        if !self.is_open() || self.is_taken() || is_full {
            return Some(self.closed(header));
        }
        let theirs = body.rest.get(..SPAKE_BYTES)?;
        let (spake, ours) = self.code.start_inviter(header.exchange, &self.tag, &mut desk.random);
        let keys = PairKeys::finish(spake, theirs)?;
        let mut reply = self.word(header, Step::Start);
        reply.extend_from_slice(&ours);
        let stage = AttemptStage::Answered(Box::new(keys));
        self.attempts.push(Attempt { exchange: header.exchange, reply: reply.clone(), since: now, stage });
        Some(reply)
    }

    /// The joiner proves that it knows the code, or that it does not.
    fn on_confirm(
        &mut self,
        desk: &mut Desk,
        now: Time,
        from: SocketAddr,
        header: PairHeader,
        body: &Body<'_>,
    ) -> Option<Vec<u8>> {
        let (rejected, closed) = (self.word(header, Step::Rejected), self.closed(header));
        let (mut declined, mut accepted) =
            (self.word(header, Step::Closed), self.word(header, Step::Confirm));
        let is_open = matches!(self.phase, Phase::Open(until) if now < until) && !self.is_taken();
        let attempt = self.attempts.iter_mut().find(|attempt| attempt.exchange == header.exchange)?;
        let head = head_of(header, body);
        if let AttemptStage::Answered(keys) = &attempt.stage {
            if !is_open {
                return Some(closed);
            }
            let confirmation = parse_confirmation(body.rest)?;
            let hello = verifies(&keys.joiner, &[&head, confirmation.sealed], confirmation.mac)
                .then(|| keys.open_hello(&head, confirmation.sealed))
                .flatten();
            let Some(hello) = hello else {
                attempt.stage = AttemptStage::Failed;
                return Some(rejected);
            };
            let ticket = desk.random.next_u64();
            let AttemptStage::Answered(keys) = core::mem::replace(&mut attempt.stage, AttemptStage::Failed)
            else {
                return None;
            };
            attempt.stage =
                AttemptStage::Confirmed { keys, ticket, confirmed: *confirmation.mac, payload: None };
            desk.event(Event::PairRequest { ticket, hello, from });
            // The owner has time to answer, however late the joiner came.
            if let Phase::Open(until) = &mut self.phase {
                *until = (*until).max(now + PAIRING_CONFIRM_TIME_MAX);
            }
        }
        match &attempt.stage {
            AttemptStage::Confirmed { keys, confirmed, .. } => {
                let ours = mac(&keys.inviter, &[&accepted, confirmed]);
                accepted.extend_from_slice(&ours);
                Some(accepted)
            }
            AttemptStage::Declined => {
                declined.push(WHY_DECLINED);
                Some(declined)
            }
            AttemptStage::Failed | AttemptStage::Answered(_) => Some(rejected),
        }
    }

    /// The joiner, who has confirmed, asks for a part of the payload.
    fn on_part(&mut self, now: Time, header: PairHeader, body: &Body<'_>) -> Option<Vec<u8>> {
        let attempt = self.attempts.iter().find(|attempt| attempt.exchange == header.exchange)?;
        if matches!(attempt.stage, AttemptStage::Declined) {
            let mut declined = self.word(header, Step::Closed);
            declined.push(WHY_DECLINED);
            return Some(declined);
        }
        let AttemptStage::Confirmed { keys, payload, .. } = &attempt.stage else {
            return None;
        };
        let proof = body.rest.get(..MAC_BYTES)?;
        if !verifies(&keys.joiner, &[&head_of(header, body)], proof) {
            return None;
        }
        let Some(payload) = payload else {
            let mut wait = self.word(header, Step::Wait);
            let ours = mac(&keys.inviter, &[&wait]);
            wait.extend_from_slice(&ours);
            return Some(wait);
        };
        let count = payload.len().div_ceil(PAIRING_PART_BYTES_MAX).max(1);
        let count = u8::try_from(count).expect("limits.rs: a payload has at most 16 parts");
        let start = usize::from(header.fragment) * PAIRING_PART_BYTES_MAX;
        let end = payload.len().min(start + PAIRING_PART_BYTES_MAX);
        let part = payload.get(start..end)?;
        let place = (header.fragment, count);
        if header.fragment >= count {
            return None;
        }
        let mut answer = head(PairStage::Answer, place, header.exchange, Step::Part, &self.tag);
        let sealed = keys.seal_part(header.fragment, &answer, part);
        answer.extend_from_slice(&sealed);
        if let Phase::Closed(until, _) = &mut self.phase {
            *until = (*until).max(now + PAIRING_LINGER);
        }
        Some(answer)
    }

    /// Closes when all attempts that may be answered have failed.
    fn close_if_spent(&mut self, desk: &mut Desk, now: Time) {
        let is_over =
            |attempt: &&Attempt| matches!(attempt.stage, AttemptStage::Failed | AttemptStage::Declined);
        let failed = self.attempts.iter().filter(is_over).count();
        if failed >= usize::from(PAIRING_ATTEMPTS_MAX) {
            self.close(desk, now, CloseReason::Attempts);
        }
    }

    /// Whether somebody has shown that it knows the code.
    fn is_taken(&self) -> bool {
        self.attempts.iter().any(|attempt| matches!(attempt.stage, AttemptStage::Confirmed { .. }))
    }

    /// Says that it is too late, and why.
    fn closed(&self, header: PairHeader) -> Vec<u8> {
        let mut answer = self.word(header, Step::Closed);
        answer.push(match self.phase {
            Phase::Open(_) if self.is_taken() => why_closed(CloseReason::Used),
            Phase::Open(_) => why_closed(CloseReason::Attempts),
            Phase::Closed(_, reason) => why_closed(reason),
        });
        answer
    }

    /// A datagram of this side in answer to one with `header`, up to the tag.
    fn word(&self, header: PairHeader, step: Step) -> Vec<u8> {
        let stage = match header.stage {
            PairStage::Hello | PairStage::Reply => PairStage::Reply,
            PairStage::Confirm | PairStage::Answer => PairStage::Answer,
        };
        head(stage, (0, 1), header.exchange, step, &self.tag)
    }
}

impl fmt::Debug for Invitation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Invitation")
            .field("phase", &self.phase)
            .field("attempts", &self.attempts.len())
            .finish_non_exhaustive()
    }
}
