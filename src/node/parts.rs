//! The queue of a restore: what will leave, in order, some of it still on its way.
//!
//! Owns the bounds on what is asked for ahead. Read `node/restore.rs` for what comes in and goes out.

use std::collections::VecDeque;

use super::duty::ChunkLost;
use super::frames::Frame;
use crate::base::limits::{RESTORE_CHUNKS_MAX, RESTORE_PARTS_MAX};
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
    /// The rest of the file cannot be had.
    Lost(String),
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
        Part::Hole(_) | Part::Chunk { .. } => 0,
    };
    own + 2 * placed.path.len()
}

/// Bytes of entries and small content that wait.
const PART_BYTES_MAX: usize = 1024 * 1024;
