//! Answering other nodes' comparisons: one message after the other, each from what is here then.
//!
//! ```text
//!   message --> (budget) --> waiting --> Counting --> Working <--> Reading --> answer
//!                  \-- refused, and once an hour told so
//! ```
//!
//! Keeps of a peer only which exchange it opened last, over which groups, and how often it was answered: a peer that asks without
//! end is answered [`ANSWERS_PER_PEER_MAX`] times an hour, told once that this was enough, and then not heard. Each answer reads
//! a bounded part of the index (`replicate/reconcile/matching.rs`). What a peer has that is not here is told to the core, which
//! may begin a comparison of its own.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use super::duty::{Ask, Ops, Told};
use super::reconcile::range_read::RangeRead;
use crate::base::ids::NodeId;
use crate::base::limits::{
    ANSWERS_PER_PEER_MAX, ANSWERS_WAITING_MAX, ANSWERS_WITHIN, TALLY_PAUSE, TALLY_STEP_IDS,
};
use crate::base::ranges::GroupTallies;
use crate::base::units::Time;
use crate::feed::entry::GroupSet;
use crate::replicate::reconcile::{groups_of, Answer, Next};
use crate::store::service::{Op, Reply, Request};
use crate::wire::message::range::{ExchangeId, Part, Short, Standing};
use crate::wire::message::Message;

/// All peers' comparisons.
#[derive(Debug)]
pub struct Answering {
    /// Numbers of what is asked.
    ops: Ops,
    /// Messages that wait, oldest first.
    waiting: VecDeque<(NodeId, Query)>,
    /// The one that is being answered.
    current: Option<(NodeId, State)>,
    /// What is known of each peer's.
    askers: BTreeMap<NodeId, Asker>,
    /// Nothing is asked of the disk before then.
    rest_until: Time,
    /// Messages answered.
    answered: u64,
    /// Messages that were not.
    refused: u64,
}

/// What is known of one peer's comparisons.
#[derive(Debug)]
struct Asker {
    /// The exchange that it opened last.
    exchange: ExchangeId,
    /// What that compares.
    groups: GroupSet,
    /// Answers since `since`.
    answers: u32,
    /// When the counting began.
    since: Time,
    /// It was told that it is not answered any more.
    told_off: bool,
}

/// A message that is to be answered.
#[derive(Debug)]
enum Query {
    /// A Digest.
    Digest(ExchangeId, Vec<u8>, Short),
    /// A Range.
    Range(ExchangeId, Vec<Part>),
}

/// How far an answer is.
#[derive(Debug)]
enum State {
    /// What is here is being counted; None: the next step is to be asked for.
    Counting(Query, Option<Op>),
    /// It is being put together.
    Working(Box<Answer>),
    /// A range is being read for it.
    Reading(Box<Answer>, RangeRead),
}

/// What it wants.
#[derive(Debug)]
pub enum AnsweringOutput {
    /// Of the core.
    Ask(Ask),
    /// To be sent to a peer.
    Say(NodeId, Message),
    /// A peer has so many chunks of what it compares that are not here.
    Lacking(NodeId, u64),
    /// A peer has been answered often enough for now.
    ToldOff(NodeId),
}

impl Answering {
    /// Nobody has asked. Its operations carry this duty's number.
    #[must_use]
    pub fn new(duty: u64) -> Self {
        Self {
            ops: Ops::new(duty),
            waiting: VecDeque::new(),
            current: None,
            askers: BTreeMap::new(),
            rest_until: Time::ZERO,
            answered: 0,
            refused: 0,
        }
    }

    /// Messages answered, and refused.
    #[must_use]
    pub const fn counts(&self) -> (u64, u64) {
        (self.answered, self.refused)
    }

    /// A peer opens a comparison. Gives what is to be said at once.
    pub fn digest(
        &mut self,
        now: Time,
        peer: &NodeId,
        exchange: ExchangeId,
        groups: Vec<u8>,
        fingerprint: Short,
    ) -> Option<AnsweringOutput> {
        self.askers.retain(|_, asker| asker.since + ANSWERS_WITHIN > now);
        let fresh = Asker { exchange, groups: GroupSet::new(), answers: 0, since: now, told_off: false };
        let asker = self.askers.entry(*peer).or_insert(fresh);
        (asker.exchange, asker.groups) = (exchange, groups_of(&groups));
        self.enqueue(peer, Query::Digest(exchange, groups, fingerprint))
    }

    /// A peer goes on with one. Gives what is to be said at once.
    pub fn range(
        &mut self,
        peer: &NodeId,
        exchange: ExchangeId,
        parts: Vec<Part>,
    ) -> Option<AnsweringOutput> {
        if self.askers.get(peer).is_none_or(|asker| asker.exchange != exchange) {
            self.refused += 1;
            return None;
        }
        self.enqueue(peer, Query::Range(exchange, parts))
    }

    /// A message waits for its answer, if its sender may have one.
    fn enqueue(&mut self, peer: &NodeId, query: Query) -> Option<AnsweringOutput> {
        let is_busy = |(node, _): &(NodeId, Query)| node == peer;
        // Who asks again before it was answered does not listen.
        let is_early =
            self.waiting.iter().any(is_busy) || self.current.as_ref().is_some_and(|(node, _)| node == peer);
        let asker = self.askers.get_mut(peer)?;
        if is_early || asker.answers >= ANSWERS_PER_PEER_MAX || self.waiting.len() >= ANSWERS_WAITING_MAX {
            self.refused += 1;
            let is_news = !asker.told_off && !is_early;
            if asker.answers >= ANSWERS_PER_PEER_MAX && is_news {
                asker.told_off = true;
                return Some(AnsweringOutput::ToldOff(*peer));
            }
            return is_news.then(|| AnsweringOutput::Say(*peer, refusal(asker.exchange)));
        }
        asker.answers += 1;
        self.waiting.push_back((*peer, query));
        None
    }

    /// A peer is gone: it needs no answer. How often it asked is not forgotten.
    pub fn forget(&mut self, peer: &NodeId) {
        self.waiting.retain(|(node, _)| node != peer);
        self.current = self.current.take().filter(|(node, _)| node != peer);
    }

    /// When it goes on if nothing happens.
    #[must_use]
    pub fn deadline(&self, now: Time) -> Option<Time> {
        let rests = matches!(self.current, Some((_, State::Counting(_, None))));
        rests.then(|| self.rest_until.max(now))
    }

    /// What a peer that is told off hears.
    #[must_use]
    pub fn refusal_to(&self, peer: &NodeId) -> Option<Message> {
        self.askers.get(peer).map(|asker| refusal(asker.exchange))
    }

    /// The next thing it wants; None while it waits.
    pub fn poll(&mut self, now: Time) -> Option<AnsweringOutput> {
        loop {
            let (peer, state) = match self.current.take() {
                Some(current) => current,
                None => {
                    let (peer, query) = self.waiting.pop_front()?;
                    (peer, State::Counting(query, None))
                }
            };
            match state {
                State::Counting(query, None) if self.rest_until <= now => {
                    let op = self.ops.draw();
                    self.current = Some((peer, State::Counting(query, Some(op))));
                    let request = Request::Tally { op, limit: TALLY_STEP_IDS };
                    return Some(AnsweringOutput::Ask(Ask::Store(request)));
                }
                State::Working(mut answer) => match answer.poll() {
                    Next::Survey(survey) => {
                        self.current = Some((peer, State::Reading(answer, RangeRead::new(survey))));
                    }
                    Next::Say(message) => {
                        self.answered += 1;
                        self.current = Some((peer, State::Working(answer)));
                        return Some(AnsweringOutput::Say(peer, message));
                    }
                    Next::Wait | Next::Over => {
                        if answer.lacking() > 0 {
                            return Some(AnsweringOutput::Lacking(peer, answer.lacking()));
                        }
                    }
                },
                State::Reading(mut answer, mut read) => match read.whole() {
                    Some(survey) => {
                        answer.surveyed(survey);
                        self.current = Some((peer, State::Working(answer)));
                    }
                    None => {
                        let ask = read.ask(&mut self.ops);
                        self.current = Some((peer, State::Reading(answer, read)));
                        return ask.map(AnsweringOutput::Ask);
                    }
                },
                counting @ State::Counting(..) => {
                    self.current = Some((peer, counting));
                    return None;
                }
            }
        }
    }

    /// Takes an answer.
    pub fn told(&mut self, now: Time, told: Told) {
        let Some((peer, state)) = self.current.take() else { return };
        let state = match (state, told) {
            (State::Counting(query, Some(op)), Told::Store(Reply::Tally { op: of, groups })) if op == of => {
                self.rest_until = now + TALLY_PAUSE;
                match groups {
                    None => State::Counting(query, None),
                    Some(all) => match self.begin(&peer, query, Rc::new(all)) {
                        Some(answer) => State::Working(Box::new(answer)),
                        None => return,
                    },
                }
            }
            (State::Reading(answer, mut read), told @ Told::Store(Reply::Scan { .. })) => {
                read.told(&told);
                State::Reading(answer, read)
            }
            // The other side asks again another day.
            (_, Told::Store(Reply::Failed { .. })) => return,
            (state, _) => state,
        };
        self.current = Some((peer, state));
    }

    /// Begins an answer.
    fn begin(&self, peer: &NodeId, query: Query, tallies: Rc<GroupTallies>) -> Option<Answer> {
        match query {
            Query::Digest(id, groups, theirs) => Some(Answer::to_digest(id, &groups, theirs, tallies)),
            Query::Range(id, parts) => {
                let groups = self.askers.get(peer)?.groups.clone();
                Some(Answer::to_range(id, groups, parts, tallies))
            }
        }
    }
}

/// That an exchange is not gone on with.
fn refusal(exchange: ExchangeId) -> Message {
    Message::Range { exchange, standing: Standing::Refused, parts: Vec::new() }
}
