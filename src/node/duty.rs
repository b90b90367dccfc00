//! The contract of a duty: a job of the node that takes many turns (backup, restore, keep, verify).
//!
//! A duty is a state machine on floor 3. It asks for things through [`Ask`], is told the answers through [`Told`], and
//! does at most one chunk's worth of work in a turn. The core routes: every [`Op`] carries the number of its duty in
//! its upper bits ([`Ops`]). A duty that needs a chunk asks with [`Ask::Chunk`]; the core looks in the store first,
//! then at the holders.

use crate::base::ids::ChunkId;
use crate::node::ports::{FileReply, FileRequest};
use crate::store::service::{Op, Reply, Request};

/// Draws the operation numbers of one duty.
#[derive(Debug)]
pub struct Ops {
    /// The next number; its upper bits name the duty.
    next: Op,
}

/// How many lower bits of an [`Op`] count within a duty.
const COUNTER_BITS: u32 = 40;

impl Ops {
    /// Numbers for the duty with this number (below 2^24).
    #[must_use]
    pub const fn new(duty: u64) -> Self {
        Self { next: duty << COUNTER_BITS }
    }

    /// A number that was not used before.
    pub fn draw(&mut self) -> Op {
        self.next += 1;
        self.next
    }

    /// The duty that an operation belongs to.
    #[must_use]
    pub const fn duty(op: Op) -> u64 {
        op >> COUNTER_BITS
    }
}

/// What a duty wants.
#[derive(Debug)]
pub enum Ask {
    /// Of the storage thread.
    Store(Request),
    /// Of the file thread.
    File(FileRequest),
    /// A chunk's sealed bytes, from wherever they are.
    Chunk {
        /// Repeated in the answer.
        op: Op,
        /// Which.
        id: ChunkId,
    },
    /// A chunk of a holder, into the store; its bytes are not needed here.
    Keep {
        /// Repeated in the answer.
        op: Op,
        /// Which.
        id: ChunkId,
    },
}

/// What a duty is told.
#[derive(Debug)]
pub enum Told {
    /// By the storage thread.
    Store(Reply),
    /// By the file thread.
    File(FileReply),
    /// A chunk's sealed bytes, checked against its id; Err: neither here nor, at present, at any holder that is connected.
    Chunk {
        /// As asked.
        op: Op,
        /// Which.
        id: ChunkId,
        /// The bytes.
        result: Result<Vec<u8>, ChunkLost>,
    },
    /// A chunk was handed to the store (durable after a Flush); Err: at present at no holder that is connected.
    Kept {
        /// As asked.
        op: Op,
        /// Which.
        id: ChunkId,
        /// Its length in bytes.
        result: Result<u64, ChunkLost>,
    },
}

/// A chunk cannot be had now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkLost {
    /// Why, for a person: "no connected device holds it".
    pub reason: String,
}

/// The operation that a reply of the file thread belongs to.
#[must_use]
pub const fn op_of_file(reply: &FileReply) -> Op {
    match reply {
        FileReply::Root { op, .. }
        | FileReply::List { op, .. }
        | FileReply::Open { op, .. }
        | FileReply::Read { op, .. }
        | FileReply::Put { op, .. } => *op,
    }
}

/// The operation that a reply of the store belongs to.
#[must_use]
pub const fn op_of(reply: &Reply) -> Op {
    match reply {
        Reply::Put { op, .. }
        | Reply::Get { op, .. }
        | Reply::Has { op, .. }
        | Reply::Drop { op, .. }
        | Reply::Compact { op, .. }
        | Reply::Scrub { op, .. }
        | Reply::Flush { op, .. }
        | Reply::SetPage { op, .. }
        | Reply::Append { op, .. }
        | Reply::Entries { op, .. }
        | Reply::Save { op, .. }
        | Reply::Load { op, .. }
        | Reply::Scan { op, .. }
        | Reply::Stats { op, .. }
        | Reply::Tally { op, .. }
        | Reply::Failed { op, .. } => *op,
    }
}
