//! One challenge, from choosing a chunk to the holder's proof.
//!
//! ```text
//!   Choosing --a few ids--> Rooting --> Listing --the first listed--> Reading --its bytes--> Waiting --> Finished
//!       \-- nothing there           \-- no snapshot that the holder has receipted lists any of them: Skipped
//! ```
//!
//! Only such chunks are asked for as this node has on its own disk, whole, and as a snapshot lists that the holder has receipted: what
//! nobody promised proves nothing. Of the chunk only the expected proof is kept. When holders are asked, and what is
//! thought of them, is `node/auditing.rs`'s.

use super::duty::{Ask, Ops, Told};
use super::listed::Listed;
use crate::base::ids::{ChunkId, Group, NodeId};
use crate::base::limits::{AUDIT_CHOICES_MAX, AUDIT_LOOK_MAX, AUDIT_PATIENCE};
use crate::base::units::Time;
use crate::feed::entry::GroupSet;
use crate::replicate::audit::{proof, ChunkRange, Nonce};
use crate::store::service::{Op, Reply, Request};
use crate::wire::message::Message;

/// The machine.
#[derive(Debug)]
pub struct Challenge {
    /// Who is asked.
    holder: NodeId,
    /// Drawn at random: the nonce, and what else is left to chance.
    nonce: Nonce,
    /// Places the range.
    chance: u64,
    /// The chunk is one of these groups.
    groups: GroupSet,
    /// Among how many chunks of these groups one is looked for that the holder has promised.
    choices: usize,
    /// Numbers of what is asked.
    ops: Ops,
    /// Where it stands.
    state: State,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The holder has it.
    Proven,
    /// It has not, or did not say.
    Failed(ChunkId),
    /// The session ended while the proof was awaited.
    Broken(ChunkId),
    /// Nothing was asked.
    Skipped,
}

/// What it wants.
#[derive(Debug)]
pub enum ChallengeOutput {
    /// Of the core.
    Ask(Ask),
    /// The roots of the manifests of all snapshots that the holder has receipted, or of which it has promised this group: [`Challenge::receipted`].
    Roots(Group),
    /// To be sent to the holder.
    Say(Message),
    /// It is over.
    Finished(Outcome),
}

/// The states of a [`Challenge`].
#[derive(Debug)]
enum State {
    /// The first ids behind this one, if there are none the first of all; then, the question to the store.
    Choosing(Option<ChunkId>, Option<Op>),
    /// Which snapshots has the holder receipted?
    Rooting(Vec<ChunkId>),
    /// Do they list one of these? None: the next node is to be asked for.
    Listing(Vec<ChunkId>, Listed, Option<Op>),
    /// The chunk is read. None: the store is to be asked.
    Reading(ChunkId, Option<Op>),
    /// It is to be sent.
    Sending(ChunkId, ChunkRange, [u8; 32]),
    /// The proof is awaited.
    Waiting(ChunkId, [u8; 32], Time),
    /// To be told.
    Ending(Outcome),
    /// It was told.
    Over,
}

impl Challenge {
    /// Asks `holder` for the first chunk here behind `after`, a random id in `groups`.
    #[must_use]
    pub fn new(
        holder: NodeId,
        groups: GroupSet,
        after: ChunkId,
        nonce: Nonce,
        chance: u64,
        duty: u64,
    ) -> Self {
        let (ops, state) = (Ops::new(duty), State::Choosing(Some(after), None));
        Self { holder, nonce, chance, groups, choices: AUDIT_CHOICES_MAX, ops, state }
    }

    /// Of one chunk alone it is asked whether the holder has promised it: that may depend on its group.
    #[must_use]
    pub fn of_one(self) -> Self {
        Self { choices: 1, ..self }
    }

    /// Who is asked.
    #[must_use]
    pub const fn holder(&self) -> NodeId {
        self.holder
    }

    /// Until when it waits.
    #[must_use]
    pub const fn deadline(&self) -> Option<Time> {
        match self.state {
            State::Waiting(_, _, until) => Some(until),
            _ => None,
        }
    }

    /// What is due by the clock.
    pub fn handle_timeout(&mut self, now: Time) {
        if let State::Waiting(id, _, until) = self.state {
            if until <= now {
                self.state = State::Ending(Outcome::Failed(id));
            }
        }
    }

    /// The question could not be sent: that is nobody's fault.
    pub fn unsent(&mut self) {
        self.state = State::Ending(Outcome::Skipped);
    }

    /// The session has ended. What was found out before stays so.
    pub fn session_ended(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Waiting(id, ..) => State::Ending(Outcome::Broken(id)),
            over @ (State::Ending(_) | State::Over) => over,
            _ => State::Ending(Outcome::Skipped),
        };
    }

    /// The roots of the manifests that the holder has receipted.
    pub fn receipted(&mut self, roots: Vec<ChunkId>) {
        if let State::Rooting(ids) = &mut self.state {
            let ids = std::mem::take(ids);
            let listed = Listed::new(ids.iter().copied(), roots);
            self.state = State::Listing(ids, listed, None);
        }
    }

    /// The holder answered; None: it has not got it.
    pub fn proved(&mut self, nonce: &Nonce, answer: Option<[u8; 32]>) {
        if let State::Waiting(id, expected, _) = self.state {
            if *nonce == self.nonce {
                let is_right = answer == Some(expected);
                self.state = State::Ending(if is_right { Outcome::Proven } else { Outcome::Failed(id) });
            }
        }
    }

    /// The next thing it wants; None while it waits.
    pub fn poll(&mut self, now: Time) -> Option<ChallengeOutput> {
        let ask = |request| Some(ChallengeOutput::Ask(Ask::Store(request)));
        match std::mem::replace(&mut self.state, State::Over) {
            State::Choosing(after, None) => {
                let op = self.ops.draw();
                self.state = State::Choosing(after, Some(op));
                ask(Request::Scan { op, after, limit: AUDIT_LOOK_MAX, read: false })
            }
            State::Rooting(ids) => {
                let group = ids.first().map(Group::of);
                self.state = State::Rooting(ids);
                group.map(ChallengeOutput::Roots)
            }
            State::Listing(ids, mut listed, None) => {
                if let Some(node) = listed.poll() {
                    let op = self.ops.draw();
                    self.state = State::Listing(ids, listed, Some(op));
                    return Some(ChallengeOutput::Ask(Ask::Chunk { op, id: node }));
                }
                let found = listed.into_found();
                let Some(id) = ids.into_iter().find(|id| found.contains(id)) else {
                    return Some(ChallengeOutput::Finished(Outcome::Skipped));
                };
                let op = self.ops.draw();
                self.state = State::Reading(id, Some(op));
                ask(Request::Get { op, id })
            }
            State::Sending(id, range, expected) => {
                self.state = State::Waiting(id, expected, now + AUDIT_PATIENCE);
                let ChunkRange { offset, length } = range;
                Some(ChallengeOutput::Say(Message::Challenge { nonce: self.nonce, id, offset, length }))
            }
            State::Ending(outcome) => Some(ChallengeOutput::Finished(outcome)),
            waiting => {
                self.state = waiting;
                None
            }
        }
    }

    /// Takes an answer.
    pub fn told(&mut self, told: Told) {
        self.state = match (std::mem::replace(&mut self.state, State::Over), told) {
            (State::Choosing(after, Some(op)), Told::Store(Reply::Scan { op: of, found, .. }))
                if op == of =>
            {
                let common = found.into_iter().map(|(id, _)| id);
                let common = common.filter(|id| self.groups.contains(Group::of(id)));
                let chosen: Vec<ChunkId> = common.take(self.choices).collect();
                match (chosen.is_empty(), after) {
                    (false, _) => State::Rooting(chosen),
                    (true, Some(_)) => State::Choosing(None, None),
                    (true, None) => State::Ending(Outcome::Skipped),
                }
            }
            (State::Listing(ids, mut listed, Some(op)), Told::Chunk { op: of, result, .. }) if op == of => {
                listed.came(result.ok());
                State::Listing(ids, listed, None)
            }
            (State::Reading(id, Some(op)), Told::Store(Reply::Get { op: of, result, .. })) if op == of => {
                let sealed = result.ok().flatten();
                let range = ChunkRange::random(sealed.as_ref().map_or(0, Vec::len), self.chance);
                let expected =
                    sealed.and_then(|sealed| proof(&self.nonce, &self.holder, &id, range, &sealed));
                match expected {
                    Some(expected) => State::Sending(id, range, expected),
                    None => State::Ending(Outcome::Skipped),
                }
            }
            (State::Over, _) => State::Over,
            (_, Told::Store(Reply::Failed { .. })) => State::Ending(Outcome::Skipped),
            (state, _) => state,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::map::{MapBuilder, NodeParts};
    use crate::node::manifest::MANIFEST_MAP_KEY;
    use crate::seal::sealed::chunk_id;
    use crate::store::service::ScanState;

    /// A challenge that was sent, and the chunk that it is about.
    fn sent() -> (Challenge, ChunkId) {
        let (challenge, id) = played(|challenge| challenge, &[]);
        (challenge.expect("it is listed"), id)
    }

    /// A challenge for one of these chunks here, which nobody has promised, or one more that is promised: as far as the word to the
    /// holder; None: it is skipped.
    fn played(with: impl Fn(Challenge) -> Challenge, others: &[ChunkId]) -> (Option<Challenge>, ChunkId) {
        let sealed = vec![7; 5_000];
        let (id, mut node) = (chunk_id(&sealed), Vec::new());
        let mut seal = |parts: NodeParts<'_>| {
            node = [parts.compress, parts.follow].concat();
            chunk_id(&node)
        };
        let mut builder = MapBuilder::new(&MANIFEST_MAP_KEY);
        builder.push(id.as_bytes(), &[], &[], &mut seal).unwrap();
        let root = builder.finish(&mut seal).unwrap();
        let (holder, after) = (NodeId::from_bytes([1; 32]), ChunkId::from_bytes([0; 32]));
        let mut challenge = with(Challenge::new(holder, GroupSet::all(), after, [9; 32], 3, 4));
        let here: Vec<_> = others.iter().chain([&id]).map(|id| (*id, ScanState::Unread)).collect();
        loop {
            match challenge.poll(Time::ZERO).expect("it goes on") {
                ChallengeOutput::Ask(Ask::Store(Request::Scan { op, .. })) => {
                    challenge.told(Told::Store(Reply::Scan { op, found: here.clone(), more: false }));
                }
                ChallengeOutput::Roots(_) => challenge.receipted(vec![root]),
                ChallengeOutput::Ask(Ask::Chunk { op, id }) => {
                    challenge.told(Told::Chunk { op, id, result: Ok(node.clone()) });
                }
                ChallengeOutput::Ask(Ask::Store(Request::Get { op, id })) => {
                    challenge.told(Told::Store(Reply::Get { op, id, result: Ok(Some(sealed.clone())) }));
                }
                ChallengeOutput::Say(Message::Challenge { id: of, .. }) => {
                    assert_eq!(of, id);
                    return (Some(challenge), id);
                }
                ChallengeOutput::Finished(Outcome::Skipped) => return (None, id),
                other => panic!("{other:?}"),
            }
        }
    }

    fn end(challenge: &mut Challenge) -> Outcome {
        match challenge.poll(Time::ZERO) {
            Some(ChallengeOutput::Finished(outcome)) => outcome,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn of_several_chunks_the_first_that_is_promised_is_asked_for() {
        let others: Vec<ChunkId> = (1..5).map(|byte| ChunkId::from_bytes([byte; 32])).collect();
        assert!(played(|challenge| challenge, &others).0.is_some());
        assert!(played(Challenge::of_one, &others).0.is_none(), "the first alone was looked at");
        let many: Vec<ChunkId> = (1..20).map(|byte| ChunkId::from_bytes([byte; 32])).collect();
        assert!(played(|challenge| challenge, &many).0.is_none(), "a few and no more");
    }

    #[test]
    fn a_session_that_ends_before_the_proof_comes_is_no_excuse_and_after_a_failure_none_at_all() {
        let (mut challenge, id) = sent();
        assert!(challenge.poll(Time::ZERO).is_none(), "it waits");
        challenge.session_ended();
        assert_eq!(end(&mut challenge), Outcome::Broken(id));
        let (mut challenge, id) = sent();
        challenge.proved(&[9; 32], None);
        challenge.session_ended();
        assert_eq!(end(&mut challenge), Outcome::Failed(id));
        let (mut challenge, _) = sent();
        challenge.unsent();
        assert_eq!(end(&mut challenge), Outcome::Skipped);
    }
}
