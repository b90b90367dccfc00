//! One challenge, from choosing a chunk to the holder's proof.
//!
//! ```text
//!   Choosing --a few ids--> Rooting --> Listing --the first listed--> Reading --its bytes--> Waiting --> Finished
//!    ^  |                      ^ \         |-- no snapshot of which the holder has receipted their group lists one: those of the next
//!    |  |-- none in the groups,|  \-- none: Skipped
//!    '--'   and there are others; none in those either: the root of a manifest, which is promised with any group of it
//! ```
//!
//! Only such chunks are asked for as this node has on its own disk, whole, and as a snapshot lists that the holder has receipted: what
//! nobody promised proves nothing. What both are to hold now is asked for first, then what both have promised once: where places have
//! changed there may be nothing else, and a mark would stay for good. Of the chunk only the expected proof is kept. When holders
//! are asked, and what is thought of them, is `node/auditing.rs`'s.

use super::duty::{Ask, Ops, Told};
use super::listed::Listed;
use crate::base::ids::{ChunkId, Group, NodeId};
use crate::base::limits::{AUDIT_CHOICES_MAX, AUDIT_LOOKS_MAX, AUDIT_LOOK_MAX, AUDIT_PATIENCE};
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
    /// The chunk is one of these groups,
    groups: GroupSet,
    /// ... or of these, from here on, if there is none.
    others: Option<(GroupSet, ChunkId)>,
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
    /// The roots of the manifests of all snapshots of which the holder has promised this group, or any: [`Challenge::receipted`].
    Roots(Option<Group>),
    /// To be sent to the holder.
    Say(Message),
    /// It is over.
    Finished(Outcome),
}

/// The states of a [`Challenge`].
#[derive(Debug)]
enum State {
    /// The first ids behind this one; looks before this one; then, the question to the store.
    Choosing(ChunkId, u8, Option<Op>),
    /// Which snapshots has the holder receipted that may list the first of these? If there is none: which at all?
    Rooting(Vec<ChunkId>),
    /// Do they list any of these that is of the first one's group? None: the next node is to be asked for.
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
        let (ops, state) = (Ops::new(duty), State::Choosing(after, 0, None));
        Self { holder, nonce, chance, groups, others: None, choices: AUDIT_CHOICES_MAX, ops, state }
    }

    /// If there is nothing in the groups, a chunk in one of these will do: the first behind `after`, a random id in them.
    #[must_use]
    pub fn or_of(self, others: GroupSet, after: ChunkId) -> Self {
        Self { others: Some((others, after)), ..self }
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
            let nth = self.chance.checked_rem(u64::try_from(roots.len()).unwrap_or(0));
            let root = nth.and_then(|nth| roots.get(usize::try_from(nth).ok()?).copied());
            self.state = match (ids.first().copied(), root) {
                (Some(first), _) => {
                    // One look through the manifests for all that they are asked about.
                    let same = ids.iter().copied().filter(|id| Group::of(id) == Group::of(&first));
                    let listed = Listed::new(same, roots);
                    State::Listing(ids, listed, None)
                }
                (None, Some(root)) => State::Reading(root, None),
                (None, None) => State::Ending(Outcome::Skipped),
            };
        }
    }

    /// Nothing of what was looked through will do: it goes on behind it, or with the other groups, or without a group.
    fn look_on(&self, reached: Option<Group>, looks: u8) -> State {
        let next = self.groups.iter().find(|group| reached.is_some_and(|reached| *group > reached));
        let half = AUDIT_LOOKS_MAX / 2;
        let next = match next {
            Some(group) => Some((group, looks + 1)),
            None => self.groups.iter().next().filter(|_| looks < half).map(|group| (group, half)),
        };
        match next.filter(|(_, looks)| *looks < AUDIT_LOOKS_MAX) {
            Some((group, looks)) => State::Choosing(first_of(group), looks, None),
            None => State::Rooting(Vec::new()),
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
            State::Choosing(after, looks, None) => {
                let op = self.ops.draw();
                self.state = State::Choosing(after, looks, Some(op));
                ask(Request::Scan { op, after: Some(after), limit: AUDIT_LOOK_MAX, read: false })
            }
            State::Rooting(ids) if ids.is_empty() => match self.others.take() {
                Some((others, after)) => {
                    (self.groups, self.state) = (others, State::Choosing(after, 0, None));
                    self.poll(now)
                }
                // What is to be proven before something is given up lies in its groups.
                None if self.choices == 1 => Some(ChallengeOutput::Finished(Outcome::Skipped)),
                None => {
                    self.state = State::Rooting(ids);
                    Some(ChallengeOutput::Roots(None))
                }
            },
            State::Rooting(ids) => {
                let group = ids.first().map(Group::of);
                self.state = State::Rooting(ids);
                Some(ChallengeOutput::Roots(group))
            }
            State::Listing(mut ids, mut listed, None) => {
                if let Some(node) = listed.poll() {
                    let op = self.ops.draw();
                    self.state = State::Listing(ids, listed, Some(op));
                    return Some(ChallengeOutput::Ask(Ask::Chunk { op, id: node }));
                }
                let (found, looked_for) = (listed.into_found(), ids.first().map(Group::of));
                self.state = match ids.iter().copied().find(|id| found.contains(id)) {
                    Some(id) => State::Reading(id, None),
                    None => {
                        ids.retain(|id| Some(Group::of(id)) != looked_for);
                        State::Rooting(ids)
                    }
                };
                self.poll(now)
            }
            State::Reading(id, None) => {
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
            (State::Choosing(_, looks, Some(op)), Told::Store(Reply::Scan { op: of, found, more }))
                if op == of =>
            {
                let reached = found.last().filter(|_| more).map(|(id, _)| Group::of(id));
                let common = found.into_iter().map(|(id, _)| id);
                let common = common.filter(|id| self.groups.contains(Group::of(id)));
                let chosen: Vec<ChunkId> = common.take(self.choices).collect();
                if chosen.is_empty() {
                    self.look_on(reached, looks)
                } else {
                    State::Rooting(chosen)
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

/// The id where a group begins.
pub(super) fn first_of(group: Group) -> ChunkId {
    let mut id = [0; ChunkId::SIZE];
    id[..2].copy_from_slice(&(group.number() << 4).to_be_bytes());
    ChunkId::from_bytes(id)
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
        let (challenge, id, asked) = played(|challenge| challenge, &[]);
        assert_eq!(asked, Some(id), "it is listed");
        (challenge, id)
    }

    /// A challenge for one of these chunks here, which nobody has promised, or one more that is promised: as far as the word to the
    /// holder; then the one that is promised, and which one is asked for.
    fn played(
        with: impl Fn(Challenge) -> Challenge,
        others: &[ChunkId],
    ) -> (Challenge, ChunkId, Option<ChunkId>) {
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
        let here: Vec<_> = others.iter().chain([&id, &root]).map(|id| (*id, ScanState::Unread)).collect();
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
                    return (challenge, id, Some(of));
                }
                ChallengeOutput::Finished(Outcome::Skipped) => return (challenge, id, None),
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
        let (_, id, asked) = played(|challenge| challenge, &others);
        assert_eq!(asked, Some(id));
        assert_eq!(played(Challenge::of_one, &others).2, None, "the first alone was looked at");
        let many: Vec<ChunkId> = (1..20).map(|byte| ChunkId::from_bytes([byte; 32])).collect();
        let (_, id, asked) = played(|challenge| challenge, &many);
        assert!(
            asked.is_some_and(|asked| asked != id),
            "a few and no more: the root of the manifest is asked for"
        );
    }

    #[test]
    fn where_nothing_is_in_the_groups_others_are_looked_through_and_then_the_root_is_asked_for() {
        let (_, id, _) = played(|challenge| challenge, &[]);
        let nowhere = |challenge| Challenge { groups: GroupSet::new(), ..challenge };
        let mut there = GroupSet::new();
        there.insert(Group::of(&id));
        let after = first_of(Group::of(&id));
        assert_eq!(played(|challenge| nowhere(challenge).or_of(there.clone(), after), &[]).2, Some(id));
        let elsewhere = |challenge| nowhere(challenge).or_of(GroupSet::new(), after);
        assert!(played(elsewhere, &[]).2.is_some_and(|asked| asked != id), "it is the root");
        assert_eq!(played(|challenge| nowhere(challenge).of_one(), &[]).2, None);
    }

    #[test]
    fn a_look_goes_on_behind_what_it_has_seen_and_once_more_from_the_first_group() {
        let groups = [3, 9, 4_000].into_iter().filter_map(Group::new).collect::<GroupSet>();
        let (holder, after) = (NodeId::from_bytes([1; 32]), first_of(Group::new(9).unwrap()));
        let challenge = Challenge::new(holder, groups, after, [9; 32], 3, 4);
        let state = |reached, looks| match challenge.look_on(Group::new(reached), looks) {
            State::Choosing(after, looks, None) => Some((Group::of(&after).number(), looks)),
            _ => None,
        };
        assert_eq!(state(10, 0), Some((4_000, 1)));
        assert_eq!(state(4_000, 1), Some((3, AUDIT_LOOKS_MAX / 2)));
        assert_eq!(state(4_001, AUDIT_LOOKS_MAX / 2), None);
        assert_eq!(state(5, AUDIT_LOOKS_MAX - 1), None);
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
