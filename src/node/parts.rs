//! The queue of a restore: what will leave, in order, some of it still on its way.
//!
//! Owns the bounds on what is asked for ahead. Read `node/restore.rs` for what comes in and goes out.

use std::collections::VecDeque;

use super::duty::{Ask, ChunkLost, Ops};
use super::frames::Frame;
use super::reader::{Reader, Seen};
use crate::base::limits::{RESTORE_CHUNKS_MAX, RESTORE_PARTS_MAX};
use crate::file::entry::Piece;
use crate::store::service::Op;

/// Which file a part is of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Placed {
    /// Its number in this restore.
    pub(super) file: u64,
    /// Its path as the frames tell it.
    pub(super) path: Vec<u8>,
}

/// A part of the stream.
#[derive(Debug)]
pub(super) enum Part {
    /// An entry.
    Entry(Box<Frame>),
    /// An entry whose attributes are on their way.
    EntryAway {
        /// The request.
        op: Op,
        /// The entry without them.
        frame: Box<Frame>,
        /// The chunk, once it came.
        came: Option<Result<Vec<u8>, ChunkLost>>,
    },
    /// Small content.
    Data(Vec<u8>),
    /// A hole of this many bytes.
    Hole(u64),
    /// A chunk of content that is on its way.
    Chunk {
        /// The request.
        op: Op,
        /// Plain bytes in it.
        length: u32,
        /// The chunk, once it came.
        came: Option<Result<Vec<u8>, ChunkLost>>,
    },
    /// The content of the file is not wanted.
    LeftOut,
    /// The rest of the file cannot be had.
    Lost(String),
}

/// Where a file's pieces come from.
#[derive(Debug)]
pub(super) enum Source {
    /// The entry.
    Here(std::vec::IntoIter<Piece>),
    /// A list of their own.
    List(Box<Reader>),
}

impl Source {
    /// The walk of a list that waits for the answer to this request.
    pub(super) fn reader_of(&mut self, op: Op) -> Option<&mut Reader> {
        match self {
            Self::List(list) if list.has_asked(op) => Some(list),
            Self::List(_) | Self::Here(_) => None,
        }
    }

    /// The next piece, or why it cannot be had, or `Some(None)` at the end; None while a node is on its way.
    pub(super) fn next(
        &mut self,
        ops: &mut Ops,
        asks: &mut VecDeque<Ask>,
    ) -> Option<Option<Result<Piece, String>>> {
        let list = match self {
            Self::Here(pieces) => return Some(pieces.next().map(Ok)),
            Self::List(list) => list,
        };
        Some(match list.look(ops, asks) {
            Seen::Wait => return None,
            Seen::End => None,
            Seen::Lost { reason, .. } => Some(Err(reason)),
            Seen::Entry => {
                let piece = Piece::decode(list.value()).map_err(|error| error.to_string());
                list.advance();
                Some(piece)
            }
        })
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// In order.
    queue: VecDeque<(Placed, Part)>,
    /// Chunks among them.
    chunks: usize,
    /// About the bytes of the others.
    bytes: usize,
}

impl Parts {
    /// Nothing may be added.
    pub(super) fn are_full(&self) -> bool {
        self.queue.len() >= RESTORE_PARTS_MAX
            || self.chunks >= RESTORE_CHUNKS_MAX
            || self.bytes >= PART_BYTES_MAX
    }

    /// Nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Adds a part.
    pub(super) fn push(&mut self, placed: Placed, part: Part) {
        self.bytes += weight(&placed, &part);
        self.chunks += usize::from(is_chunk(&part));
        self.queue.push_back((placed, part));
    }

    /// Takes a chunk that came.
    pub(super) fn came(&mut self, op: Op, result: Result<Vec<u8>, ChunkLost>) {
        for (_, part) in &mut self.queue {
            match part {
                Part::Chunk { op: asked, came, .. } | Part::EntryAway { op: asked, came, .. }
                    if *asked == op =>
                {
                    *came = Some(result);
                    return;
                }
                _ => {}
            }
        }
    }

    /// The first part, if it waits for nothing.
    pub(super) fn pop_ready(&mut self) -> Option<(Placed, Part)> {
        if let Some((_, Part::Chunk { came: None, .. } | Part::EntryAway { came: None, .. })) =
            self.queue.front()
        {
            return None;
        }
        let (placed, part) = self.queue.pop_front()?;
        self.bytes -= weight(&placed, &part);
        self.chunks -= usize::from(is_chunk(&part));
        Some((placed, part))
    }
}

/// It is, or waits for, a chunk.
fn is_chunk(part: &Part) -> bool {
    matches!(part, Part::Chunk { .. } | Part::EntryAway { .. })
}

/// About the bytes that a part holds, its chunk apart.
fn weight(placed: &Placed, part: &Part) -> usize {
    let own = match part {
        Part::Entry(frame) | Part::EntryAway { frame, .. } => match frame.as_ref() {
            Frame::Entry { attributes, target, .. } => {
                let pairs: usize = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
                pairs + target.as_ref().map_or(0, Vec::len)
            }
            _ => 0,
        },
        Part::Data(plain) => plain.len(),
        Part::Lost(reason) => reason.len(),
        Part::Hole(_) | Part::LeftOut | Part::Chunk { .. } => 0,
    };
    own + 2 * placed.path.len()
}

/// Bytes of entries and small content that wait.
const PART_BYTES_MAX: usize = 1024 * 1024;
