//! The queue between the merge of a scan and the tree that comes out of it, in order.
//!
//! Owns the bounds on what waits: entries in bytes, files that are opened ahead. Read `node/build.rs` for what happens
//! at both ends.

use std::collections::VecDeque;

use super::join::{kind_of, New, Old};
use super::ports::{FileError, Opened};
use crate::base::limits::{
    FIRST_BLOCK_BYTES, INLINE_BYTES_MAX, OPEN_AHEAD_BYTES, READ_AHEAD_FILES, SCAN_QUEUE_BYTES_MAX,
};
use crate::file::entry::{Entry, Kind};
use crate::store::service::Op;

/// Something that is new or changed.
#[derive(Debug)]
pub(super) struct Fresh {
    /// What it is.
    pub(super) new: New,
    /// What the parent has at its path, if it is of the same kind.
    pub(super) old: Option<(Old, Entry)>,
    /// How often it was opened.
    pub(super) attempts: u8,
}

/// What comes out of the queue.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack")]
pub(super) enum Popped {
    /// An entry as the parent has it.
    Keep(Old, Entry),
    /// Something that was opened, or not.
    Opened(Fresh, Result<Opened, FileError>),
    /// The first is not opened yet.
    Waits,
    /// There is nothing.
    Empty,
}

/// An entry on its way into the tree.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are Keep: a box would cost every unchanged file an allocation"
)]
enum Task {
    /// As the parent has it.
    Keep(Old, Entry),
    /// To be read.
    Open(Box<Opening>),
}

/// Something that is being opened.
#[derive(Debug)]
struct Opening {
    /// What it is.
    fresh: Fresh,
    /// The request.
    op: Op,
    /// The answer.
    came: Option<Result<Opened, FileError>>,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// In order.
    tasks: VecDeque<Task>,
    /// Bytes of the parent's entries among them.
    bytes: usize,
    /// Those of them that are opened.
    opens: usize,
    /// Content bytes that come with their openings, as far as is known.
    ahead: usize,
    /// It was full, and is not half empty yet.
    rests: bool,
}

impl Queue {
    /// Nothing more may wait.
    pub(super) const fn is_full(&self) -> bool {
        self.is_filled_to(READ_AHEAD_FILES, OPEN_AHEAD_BYTES, SCAN_QUEUE_BYTES_MAX)
    }

    /// Whether more is to be asked for: once it was full, not before half of it is done.
    pub(super) const fn takes_more(&mut self) -> bool {
        let is_low = !self.is_filled_to(
            READ_AHEAD_FILES.div_ceil(2),
            OPEN_AHEAD_BYTES.div_ceil(2),
            SCAN_QUEUE_BYTES_MAX.div_ceil(2),
        );
        self.rests = self.is_full() || (self.rests && !is_low);
        !self.rests
    }

    /// Whether any of its bounds is reached, if they were these.
    const fn is_filled_to(&self, opens: usize, ahead: usize, bytes: usize) -> bool {
        self.opens >= opens || self.ahead >= ahead || self.bytes >= bytes
    }

    /// Adds an entry as the parent has it.
    pub(super) fn keep(&mut self, old: Old, entry: Entry) {
        self.bytes += weight(&old);
        self.tasks.push_back(Task::Keep(old, entry));
    }

    /// Adds something that is being opened.
    pub(super) fn open(&mut self, op: Op, fresh: Fresh) {
        self.count(&fresh);
        self.tasks.push_back(Task::Open(Box::new(Opening { fresh, op, came: None })));
    }

    /// Puts the first one back: it is opened once more.
    pub(super) fn open_again(&mut self, op: Op, fresh: Fresh) {
        self.count(&fresh);
        self.tasks.push_front(Task::Open(Box::new(Opening { fresh, op, came: None })));
    }

    /// Takes an opening; one that nothing waits for is dropped.
    pub(super) fn came(&mut self, op: Op, result: Result<Opened, FileError>) {
        for task in &mut self.tasks {
            if let Task::Open(opening) = task {
                if opening.op == op {
                    opening.came = Some(result);
                    return;
                }
            }
        }
    }

    /// Takes the first one, if it waits for nothing.
    pub(super) fn pop(&mut self) -> Popped {
        match self.tasks.pop_front() {
            None => Popped::Empty,
            Some(Task::Keep(old, entry)) => {
                self.bytes -= weight(&old);
                Popped::Keep(old, entry)
            }
            Some(Task::Open(mut opening)) => match opening.came.take() {
                Some(result) => {
                    self.bytes -= opening.fresh.old.as_ref().map_or(0, |(old, _)| weight(old));
                    self.opens -= 1;
                    self.ahead -= opening_budget(&opening.fresh.new);
                    Popped::Opened(opening.fresh, result)
                }
                None => {
                    self.tasks.push_front(Task::Open(opening));
                    Popped::Waits
                }
            },
        }
    }

    /// Counts one that is being opened.
    fn count(&mut self, fresh: &Fresh) {
        self.bytes += fresh.old.as_ref().map_or(0, |(old, _)| weight(old));
        self.opens += 1;
        self.ahead += opening_budget(&fresh.new);
    }
}

/// Content bytes that are asked for with an opening: all of a small file, so that many of them may be on their way at once. One that has
/// grown is read on.
pub(super) fn opening_budget(new: &New) -> usize {
    match kind_of(new.found.kind) {
        Some(Kind::File) => {
            let size = usize::try_from(new.found.stat.size).unwrap_or(usize::MAX);
            size.clamp(INLINE_BYTES_MAX, FIRST_BLOCK_BYTES)
        }
        _ => 0,
    }
}

/// What an entry costs in the queue, in bytes.
fn weight(old: &Old) -> usize {
    old.key.len() + old.value.len() + old.tail.len() + TASK_BYTES
}

/// About what an entry takes beside its bytes.
const TASK_BYTES: usize = 256;
