//! One comparison with a peer, from counting what is here to having fetched what was missing.
//!
//! ```text
//!   Counting --tallies--> Talking <--> Reading          (replicate/reconcile.rs, ranges of the index)
//!                            | over, ids found
//!                            v
//!                         Checking --> Listing --> Healing --> Syncing --> Confirming --> Finished
//!                         (not here)   (listed by  (fetched)   (durable)   (here now)
//!                                      a pinned manifest)
//! ```
//!
//! Owns nothing but the order. When it is begun, and what its end means, is `node/reconciling.rs`'s. Everything it asks of the
//! storage thread is small, and one thing at a time.

pub(super) mod range_read;

use std::collections::VecDeque;
use std::rc::Rc;

use self::range_read::RangeRead;
use super::duty::{Ask, Ops, Told};
use super::listed::Listed;
use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits::{COMPARE_FETCHES_MAX, EXCHANGE_PATIENCE, TALLY_PAUSE, TALLY_STEP_IDS};
use crate::base::units::Time;
use crate::feed::entry::GroupSet;
use crate::replicate::reconcile::{Ended, Exchange, Next};
use crate::store::service::{Op, Reply, Request};
use crate::wire::message::range::{ExchangeId, Part, Standing};
use crate::wire::message::Message;

/// The machine.
#[derive(Debug)]
pub struct Reconcile {
    /// With whom.
    peer: NodeId,
    /// Its number, which is its salt.
    id: ExchangeId,
    /// What is compared.
    groups: GroupSet,
    /// Numbers of what is asked.
    ops: Ops,
    /// Where it stands.
    state: State,
    /// Nothing is asked before then.
    rest_until: Time,
    /// Until when an answer is waited for.
    patience: Option<Time>,
    /// What came of it.
    report: Report,
    /// What is missing and was fetched.
    fetched: Vec<ChunkId>,
}

/// What came of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report {
    /// How the exchange ended; None: it was not answered, or the disk failed.
    pub ended: Option<Ended>,
    /// Round trips.
    pub trips: usize,
    /// Chunks that the peer has and this node has not.
    pub differ: u64,
    /// Of these, such as this node's pinned manifests list: it should have them.
    pub lacking: u64,
    /// Of these, such as are here now, durably.
    pub healed: u64,
    /// Parts of pinned manifests that could not be had: what they list is not known.
    pub unread: u64,
    /// Nothing was compared: the peer had asked for this one in vain.
    pub missed: Option<ChunkId>,
}

/// What it wants.
#[derive(Debug)]
pub enum ReconcileOutput {
    /// Of the core.
    Ask(Ask),
    /// To be sent to the peer.
    Say(Message),
    /// The roots of all pinned manifests, or of those that may list what was missed: [`Reconcile::pinned`].
    Roots,
    /// It is over.
    Finished(Report),
}

/// The states of a [`Reconcile`].
#[derive(Debug)]
enum State {
    /// What is here is being counted; None: the next step is to be asked for.
    Counting(Option<Op>),
    /// The exchange goes on.
    Talking(Box<Exchange>),
    /// A range is being read.
    Reading(Box<Exchange>, RangeRead),
    /// Which of these are here? None: the store is to be asked.
    Checking(Option<Op>, Vec<ChunkId>),
    /// The pinned manifests are needed; then, which of these do they list?
    Rooting(Vec<ChunkId>),
    /// Which do they list? None: the next node is to be asked for.
    Listing(Listed, Option<Op>),
    /// These are fetched; so many are on their way.
    Healing(VecDeque<ChunkId>, usize),
    /// What was fetched is made durable.
    Syncing(Op),
    /// Is it here? None: the store is to be asked.
    Confirming(Option<Op>),
    /// To be told.
    Ending,
    /// It was told.
    Over,
}

impl Reconcile {
    /// Compares `groups` with `peer`. `id` is drawn at random.
    #[must_use]
    pub fn new(peer: NodeId, id: ExchangeId, groups: GroupSet, duty: u64) -> Self {
        Self {
            peer,
            id,
            groups,
            ops: Ops::new(duty),
            state: State::Counting(None),
            rest_until: Time::ZERO,
            patience: None,
            report: Report::default(),
            fetched: Vec::new(),
        }
    }

    /// Looks for a chunk alone, which a peer asked for in vain.
    #[must_use]
    pub fn of_missed(peer: NodeId, id: ChunkId, duty: u64) -> Self {
        let report = Report { missed: Some(id), ..Report::default() };
        let state = State::Checking(None, vec![id]);
        Self { report, state, ..Self::new(peer, ExchangeId::default(), GroupSet::new(), duty) }
    }

    /// The chunk that is looked for alone.
    #[must_use]
    pub const fn missed(&self) -> Option<ChunkId> {
        self.report.missed
    }

    /// With whom.
    #[must_use]
    pub const fn peer(&self) -> NodeId {
        self.peer
    }

    /// Whether it is this exchange with this peer.
    #[must_use]
    pub fn is(&self, peer: &NodeId, exchange: &ExchangeId) -> bool {
        self.peer == *peer && self.id == *exchange
    }

    /// When it goes on if nothing happens.
    #[must_use]
    pub fn deadline(&self, now: Time) -> Option<Time> {
        match self.state {
            State::Counting(None) => Some(self.rest_until.max(now)),
            _ => self.patience,
        }
    }

    /// The peer is silent, or gone.
    pub fn give_up(&mut self) {
        if matches!(self.state, State::Counting(_) | State::Talking(_) | State::Reading(..)) {
            self.state = State::Ending;
            self.patience = None;
        }
    }

    /// What is due by the clock.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.patience.is_some_and(|until| until <= now) {
            self.give_up();
        }
    }

    /// The peer answered.
    pub fn answered(&mut self, exchange: &ExchangeId, standing: Standing, parts: Vec<Part>) {
        if let State::Talking(talk) = &mut self.state {
            if talk.answered(exchange, standing, parts) {
                self.patience = None;
            }
        }
    }

    /// The roots of all pinned manifests.
    pub fn pinned(&mut self, roots: impl IntoIterator<Item = ChunkId>) {
        if let State::Rooting(missing) = &mut self.state {
            self.state = State::Listing(Listed::new(std::mem::take(missing), roots), None);
        }
    }

    /// The next thing it wants; None while it waits.
    pub fn poll(&mut self, now: Time) -> Option<ReconcileOutput> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Talking(talk) => {
                    let output = self.talk(now, talk);
                    if output.is_some() || matches!(self.state, State::Talking(_)) {
                        return output;
                    }
                }
                State::Reading(mut talk, mut read) => match read.whole() {
                    Some(survey) => {
                        talk.surveyed(survey);
                        self.state = State::Talking(talk);
                    }
                    None => {
                        let ask = read.ask(&mut self.ops);
                        self.state = State::Reading(talk, read);
                        return ask.map(ReconcileOutput::Ask);
                    }
                },
                State::Listing(mut listed, None) => match listed.poll() {
                    Some(id) => {
                        let op = self.ops.draw();
                        self.state = State::Listing(listed, Some(op));
                        return Some(ReconcileOutput::Ask(Ask::Chunk { op, id }));
                    }
                    None => {
                        self.report.unread += listed.unread();
                        self.listed(listed.into_found());
                    }
                },
                State::Rooting(ids) => {
                    self.state = State::Rooting(ids);
                    return Some(ReconcileOutput::Roots);
                }
                State::Ending => return Some(ReconcileOutput::Finished(self.report)),
                state => {
                    let (state, ask) = self.ask_store(now, state);
                    self.state = state;
                    return ask.map(ReconcileOutput::Ask);
                }
            }
        }
    }

    /// Goes on with the exchange.
    fn talk(&mut self, now: Time, mut talk: Box<Exchange>) -> Option<ReconcileOutput> {
        match talk.poll() {
            Next::Say(message) => {
                self.patience = Some(now + EXCHANGE_PATIENCE);
                self.state = State::Talking(talk);
                return Some(ReconcileOutput::Say(message));
            }
            Next::Survey(survey) => self.state = State::Reading(talk, RangeRead::new(survey)),
            Next::Wait => self.state = State::Talking(talk),
            Next::Over => self.talked(*talk),
        }
        None
    }

    /// What is to be asked in a state, and the state after that.
    fn ask_store(&mut self, now: Time, state: State) -> (State, Option<Ask>) {
        match state {
            State::Counting(None) if self.rest_until <= now => {
                let op = self.ops.draw();
                let request = Request::Tally { op, limit: TALLY_STEP_IDS };
                (State::Counting(Some(op)), Some(Ask::Store(request)))
            }
            State::Checking(None, ids) => {
                let op = self.ops.draw();
                let request = Request::Has { op, ids: ids.clone() };
                (State::Checking(Some(op), ids), Some(Ask::Store(request)))
            }
            State::Healing(mut ids, fetching) if fetching < COMPARE_FETCHES_MAX && !ids.is_empty() => {
                let ask = ids.pop_front().map(|id| Ask::Keep { op: self.ops.draw(), id });
                (State::Healing(ids, fetching + 1), ask)
            }
            State::Healing(ids, 0) if ids.is_empty() => {
                let op = self.ops.draw();
                (State::Syncing(op), Some(Ask::Store(Request::Flush { op })))
            }
            State::Confirming(None) => {
                let op = self.ops.draw();
                let request = Request::Has { op, ids: self.fetched.clone() };
                (State::Confirming(Some(op)), Some(Ask::Store(request)))
            }
            waiting => (waiting, None),
        }
    }

    /// Takes an answer.
    pub fn told(&mut self, now: Time, told: Told) {
        self.state = match (std::mem::replace(&mut self.state, State::Over), told) {
            (State::Counting(Some(op)), Told::Store(Reply::Tally { op: of, groups })) if op == of => {
                self.rest_until = now + TALLY_PAUSE;
                match groups {
                    None => State::Counting(None),
                    Some(all) => {
                        let exchange = Exchange::new(self.id, self.groups.clone(), Rc::new(all));
                        State::Talking(Box::new(exchange))
                    }
                }
            }
            (State::Reading(talk, mut read), told @ Told::Store(Reply::Scan { .. })) => {
                read.told(&told);
                State::Reading(talk, read)
            }
            (State::Checking(Some(op), ids), Told::Store(Reply::Has { op: of, have })) if op == of => {
                let missing = ids.into_iter().zip(have).filter(|(_, have)| !have);
                let missing: Vec<ChunkId> = missing.map(|(id, _)| id).collect();
                self.report.differ = count(missing.len());
                if missing.is_empty() {
                    State::Ending
                } else {
                    State::Rooting(missing)
                }
            }
            (State::Listing(mut listed, Some(op)), Told::Chunk { op: of, result, .. }) if op == of => {
                listed.came(result.ok());
                State::Listing(listed, None)
            }
            (State::Healing(ids, fetching), Told::Kept { id, result, .. }) => {
                self.fetched.extend(result.is_ok().then_some(id));
                State::Healing(ids, fetching.saturating_sub(1))
            }
            (State::Syncing(op), Told::Store(Reply::Flush { op: of, result })) if op == of => match result {
                Ok(()) if !self.fetched.is_empty() => State::Confirming(None),
                _ => State::Ending,
            },
            (State::Confirming(Some(op)), Told::Store(Reply::Has { op: of, have })) if op == of => {
                self.report.healed = count(have.iter().filter(|have| **have).count());
                State::Ending
            }
            (State::Over, _) => State::Over,
            (_, Told::Store(Reply::Failed { error, .. })) => {
                log::warn!("a comparison with {} was given up: {error}", self.peer.short());
                State::Ending
            }
            (state, _) => state,
        };
    }

    /// The exchange is over.
    fn talked(&mut self, talk: Exchange) {
        (self.report.ended, self.report.trips) = (talk.ended(), talk.asked_count());
        let found = talk.into_found();
        self.patience = None;
        self.state = if found.is_empty() { State::Ending } else { State::Checking(None, found) };
    }

    /// These should be here.
    fn listed(&mut self, missing: Vec<ChunkId>) {
        self.report.lacking = count(missing.len());
        self.state = if missing.is_empty() { State::Ending } else { State::Healing(missing.into(), 0) };
    }
}

/// A length as a count.
fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
