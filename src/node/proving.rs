//! Answering challenges: one chunk is read at a time, so many an hour for each peer.
//!
//! Owns the queue and the budget. The whole chunk is read, and checked against its id, so a challenge costs one read of at most a
//! chunk; what cannot be read is answered with "not here", and is looked for elsewhere. Read `replicate/audit.rs` first.

use std::collections::{BTreeMap, VecDeque};

use super::duty::{Ask, Ops, Told};
use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits::{ANSWERS_WITHIN, PROOFS_PER_PEER_MAX, PROOFS_WAITING_PER_PEER_MAX};
use crate::base::units::Time;
use crate::replicate::audit::{proof, ChunkRange, Nonce};
use crate::store::service::{Op, Reply, Request};
use crate::wire::message::Message;

/// All challenges of others.
#[derive(Debug)]
pub struct Proving {
    /// Numbers of what is asked.
    ops: Ops,
    /// Oldest first.
    waiting: VecDeque<Asked>,
    /// The one whose chunk is being read.
    reading: Option<(Op, Asked)>,
    /// Challenges of each peer, and since when they are counted.
    askers: BTreeMap<NodeId, (u32, Time)>,
    /// Challenges met.
    proven: u64,
    /// Challenges that were answered with "not here".
    missing: u64,
    /// Challenges that were not answered.
    refused: u64,
    /// Tests: it claims what it has not got.
    #[cfg(test)]
    pub(super) lies: bool,
}

/// A challenge.
#[derive(Debug)]
struct Asked {
    /// By whom.
    peer: NodeId,
    /// Its nonce.
    nonce: Nonce,
    /// Which chunk.
    id: ChunkId,
    /// Which range of it.
    range: ChunkRange,
}

/// What it wants.
#[derive(Debug)]
pub enum ProvingOutput {
    /// Of the core.
    Ask(Ask),
    /// To be sent to a peer.
    Say(NodeId, Message),
    /// A peer asked for this chunk, which is not here, or damaged.
    Lacking(NodeId, ChunkId),
}

impl Proving {
    /// Nobody has asked. Its operations carry this duty's number.
    #[must_use]
    pub fn new(duty: u64) -> Self {
        Self {
            ops: Ops::new(duty),
            waiting: VecDeque::new(),
            reading: None,
            askers: BTreeMap::new(),
            proven: 0,
            missing: 0,
            refused: 0,
            #[cfg(test)]
            lies: false,
        }
    }

    /// Challenges met, answered with "not here", and not answered.
    #[must_use]
    pub const fn counts(&self) -> (u64, u64, u64) {
        (self.proven, self.missing, self.refused)
    }

    /// A peer asks for a proof. What is beyond its budget is not heard.
    pub fn challenged(&mut self, now: Time, peer: &NodeId, nonce: Nonce, id: ChunkId, range: ChunkRange) {
        self.askers.retain(|_, (_, since)| *since + ANSWERS_WITHIN > now);
        let (count, _) = self.askers.entry(*peer).or_insert((0, now));
        let waiting = self.waiting.iter().filter(|asked| asked.peer == *peer).count();
        if *count >= PROOFS_PER_PEER_MAX || waiting >= PROOFS_WAITING_PER_PEER_MAX {
            self.refused += 1;
            return;
        }
        *count += 1;
        self.waiting.push_back(Asked { peer: *peer, nonce, id, range });
    }

    /// The next thing it wants; None while it waits.
    pub fn poll(&mut self) -> Option<ProvingOutput> {
        if self.reading.is_some() {
            return None;
        }
        let asked = self.waiting.pop_front()?;
        let (op, id) = (self.ops.draw(), asked.id);
        self.reading = Some((op, asked));
        Some(ProvingOutput::Ask(Ask::Store(Request::Get { op, id })))
    }

    /// Takes the chunk. Gives what is to be said, by `own`.
    pub fn told(&mut self, own: &NodeId, told: Told) -> Vec<ProvingOutput> {
        let Some((op, asked)) = self.reading.take() else { return Vec::new() };
        let Told::Store(Reply::Get { op: of, result, .. }) = told else {
            self.reading = Some((op, asked));
            return Vec::new();
        };
        if of != op {
            self.reading = Some((op, asked));
            return Vec::new();
        }
        let Asked { peer, nonce, id, range } = asked;
        let sealed = result.ok().flatten();
        let answer = sealed.as_ref().and_then(|sealed| proof(&nonce, own, &id, range, sealed));
        #[cfg(test)]
        let answer = if self.lies { Some(nonce) } else { answer };
        let mut outputs = vec![ProvingOutput::Say(peer, Message::Proof { nonce, answer })];
        if sealed.is_none() {
            self.missing += 1;
            outputs.push(ProvingOutput::Lacking(peer, id));
        } else {
            self.proven += 1;
        }
        outputs
    }
}
