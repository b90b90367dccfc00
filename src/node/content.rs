//! One file on its way into chunks: reading on, cutting, sealing, and the list of its pieces.
//!
//! Owns the buffer, of at most two largest pieces, and the pieces. One piece a step. Does not decide whether the file
//! held still while it was read; [`Whole::after`] lets `node/build.rs` see. Read `file/cut.rs` first.
//!
//! ```text
//!   block -> extents -> buffer -> cut -> seal -> pieces (in the entry, or a list of their own when many)
//!                 \---- a long hole ends the piece before it, and is a piece itself
//! ```

use std::collections::VecDeque;
use std::rc::Rc;

use super::duty::Ask;
use super::outcome::BackupError;
use super::ports::{Block, Extent, FileError, FileRequest};
use super::sink::Out;
use crate::base::limits::{
    CUT_BYTES_MAX, GROWTH_BYTES_MAX, HOLE_BYTES_MIN, INLINE_BYTES_MAX, NEXT_BLOCK_BYTES, PIECES_INLINE_MAX,
};
use crate::file::cut::{Cutter, Gear};
use crate::file::entry::texture::{Shrinking, Texture, HEAD_BYTES};
use crate::file::entry::{Content, InlineCodec, Piece, Stat};
use crate::file::map::{MapBuilder, NodeParts};
use crate::seal::sealed::ChunkKind;
use crate::store::service::Op;

/// What does not change while a file is read.
#[derive(Debug)]
pub(super) struct Tools {
    /// The cutter's table.
    pub(super) gear: Rc<Gear>,
    /// The vault's map key, for long lists.
    pub(super) map_key: [u8; 32],
    /// Packs small content.
    pub(super) inline: InlineCodec,
    /// Absolute path of the folder.
    pub(super) root: Vec<u8>,
}

impl Tools {
    /// Whether two tails hold the same content, however it is packed.
    pub(super) fn has_same_content(&mut self, one: &[u8], other: &[u8]) -> bool {
        one == other
            || matches!((self.inline.unpack(one), self.inline.unpack(other)), (Ok(one), Ok(other)) if one == other)
    }
}

/// What a step did.
#[derive(Debug)]
pub(super) enum Stepped {
    /// It waits for a block.
    Wait,
    /// It sealed a piece; there may be more at once.
    Worked,
    /// All of the file is in the store's hands.
    Whole(Whole),
    /// It cannot be read.
    Failed(FileError),
}

/// A file that was read to its end.
#[derive(Debug)]
pub(super) struct Whole {
    /// Where its content is.
    pub(super) content: Content,
    /// The content itself, packed, if it is small.
    pub(super) tail: Vec<u8>,
    /// What it looks like.
    pub(super) texture: Texture,
    /// Its length as it was read, in bytes.
    pub(super) length: u64,
    /// Its stat after the last block.
    pub(super) after: Option<Stat>,
}

/// A file that is being read.
#[derive(Debug)]
pub(super) struct Reading {
    /// Relative to the folder.
    path: Vec<u8>,
    /// Blocks that are not in the buffer yet.
    extents: VecDeque<Extent>,
    /// Data that is not cut yet, from `taken` on.
    buffer: Vec<u8>,
    /// How much of the buffer is cut.
    taken: usize,
    /// Where the next read begins.
    offset: u64,
    /// Offset at which it is cut off, lest a growing file be read for ever.
    offset_max: u64,
    /// The read on its way.
    asked: Option<Op>,
    /// The file has no more.
    ended: bool,
    /// Its stat after the last block.
    after: Option<Stat>,
    /// Finds the ends of pieces.
    cutter: Cutter,
    /// The pieces so far.
    pieces: Pieces,
    /// Its first bytes, unless it begins with a hole.
    head: Vec<u8>,
    /// Whether its pieces shrink.
    shrinking: Shrinking,
    /// A read that failed.
    failed: Option<FileError>,
}

/// The pieces of a file, in its entry or in a list of their own.
#[derive(Debug, Default)]
struct Pieces {
    /// The first ones; empty once there is a list.
    here: Vec<Piece>,
    /// The list, once there are many.
    list: Option<MapBuilder>,
    /// Where the next piece begins, in bytes.
    end: u64,
    /// The last piece, if it is a hole: it may go on.
    hole: u64,
}

impl Reading {
    /// A file of `size` bytes (as its stat says) whose first block is here.
    pub(super) fn new(path: Vec<u8>, size: u64, first: Block, tools: &Tools) -> Self {
        let mut reading = Self {
            path,
            extents: VecDeque::new(),
            buffer: Vec::new(),
            taken: 0,
            offset: 0,
            offset_max: size.saturating_add(GROWTH_BYTES_MAX),
            asked: None,
            ended: false,
            after: None,
            cutter: Cutter::new(Rc::clone(&tools.gear)),
            pieces: Pieces::default(),
            head: Vec::new(),
            shrinking: Shrinking::default(),
            failed: None,
        };
        if let Some(Extent::Data(data)) = first.extents.first() {
            reading.head = data[..data.len().min(HEAD_BYTES)].to_vec();
        }
        reading.take_block(first);
        reading
    }

    /// Takes a block that was asked for; gives it back if it is not for this file.
    pub(super) fn came(
        &mut self,
        op: Op,
        result: Result<Block, FileError>,
    ) -> Option<Result<Block, FileError>> {
        if self.asked != Some(op) {
            return Some(result);
        }
        self.asked = None;
        match result {
            Ok(block) => self.take_block(block),
            Err(error) => self.failed = Some(error),
        }
        None
    }

    /// Does at most one piece's work.
    pub(super) fn step(&mut self, tools: &mut Tools, out: &mut Out<'_>) -> Stepped {
        if let Some(error) = self.failed.take() {
            return Stepped::Failed(error);
        }
        if let Some(whole) = self.small(tools) {
            return Stepped::Whole(whole);
        }
        loop {
            self.refill();
            self.read_on(tools, out);
            let waiting = self.buffer.len() - self.taken;
            if waiting == 0 {
                match self.extents.pop_front() {
                    Some(Extent::Hole(length)) => self.pieces.hole(length),
                    Some(data) => self.extents.push_front(data),
                    None if self.ended => return self.finish(tools, out),
                    None => return Stepped::Wait,
                }
                continue;
            }
            let run_ends = match self.extents.front() {
                Some(Extent::Hole(_)) => true,
                Some(Extent::Data(_)) => false,
                None => self.ended,
            };
            return match self.cutter.cut(&self.buffer[self.taken..], run_ends) {
                Some(length) => {
                    self.cut(length, tools, out);
                    Stepped::Worked
                }
                None if self.extents.is_empty() => Stepped::Wait,
                // The cutter wants more, and there is more: `refill` takes it.
                None => continue,
            };
        }
    }

    /// All of it, if it is short enough to lie in the entry.
    fn small(&self, tools: &mut Tools) -> Option<Whole> {
        let inline_max = u64::try_from(INLINE_BYTES_MAX).unwrap_or(0);
        if !self.ended || self.offset > inline_max || self.pieces.end > 0 {
            return None;
        }
        let mut plain = self.buffer.clone();
        for extent in &self.extents {
            match extent {
                Extent::Data(data) => plain.extend_from_slice(data),
                Extent::Hole(length) => plain.resize(plain.len() + usize::try_from(*length).ok()?, 0),
            }
        }
        let length = u64::try_from(plain.len()).unwrap_or(u64::MAX);
        if plain.is_empty() {
            let (content, texture) = (Content::None, Texture::Plain);
            return Some(Whole { content, tail: Vec::new(), texture, length, after: self.after });
        }
        let tail = tools.inline.pack(&plain);
        let texture = Texture::of_small(&plain, tail.len());
        Some(Whole { content: Content::Inline, tail, texture, length, after: self.after })
    }

    /// Takes a block: short holes become data.
    fn take_block(&mut self, block: Block) {
        let before = self.offset;
        for extent in block.extents {
            let (extent, length) = match extent {
                Extent::Hole(0) => continue,
                Extent::Data(data) if data.is_empty() => continue,
                Extent::Hole(length) if length < HOLE_BYTES_MIN => {
                    (Extent::Data(vec![0; usize::try_from(length).unwrap_or(0)]), length)
                }
                Extent::Hole(length) => (Extent::Hole(length), length),
                Extent::Data(data) => {
                    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    (Extent::Data(data), length)
                }
            };
            self.offset = self.offset.saturating_add(length);
            self.extents.push_back(extent);
        }
        self.after = block.after.or(self.after);
        // A block that brings nothing ends the file, lest it be asked for again and again.
        self.ended = block.end || self.offset >= self.offset_max || self.offset == before;
    }

    /// Moves data into the buffer while it holds less than a largest piece.
    fn refill(&mut self) {
        while self.buffer.len() - self.taken < CUT_BYTES_MAX {
            let Some(Extent::Data(data)) = self.extents.front() else { return };
            if self.taken > 0 {
                self.buffer.drain(..self.taken);
                self.taken = 0;
            }
            self.buffer.extend_from_slice(data);
            self.extents.pop_front();
        }
    }

    /// Asks for the next block once the last one is in the buffer.
    fn read_on(&mut self, tools: &Tools, out: &mut Out<'_>) {
        if self.ended || self.asked.is_some() || !self.extents.is_empty() {
            return;
        }
        let op = out.sink.ops.draw();
        self.asked = Some(op);
        out.sink.asks.push_back(Ask::File(FileRequest::Read {
            op,
            root: tools.root.clone(),
            path: self.path.clone(),
            offset: self.offset,
            budget: NEXT_BLOCK_BYTES,
        }));
    }

    /// Seals the first `length` bytes of the buffer.
    fn cut(&mut self, length: usize, tools: &Tools, out: &mut Out<'_>) {
        let plain = &self.buffer[self.taken..self.taken + length];
        let (id, shrinks) = out.seal_content(plain);
        self.shrinking.add(length, shrinks);
        self.taken += length;
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.pieces.settle_hole(&tools.map_key, out);
        self.pieces.add(Piece::Chunk { id, length }, &tools.map_key, out);
    }

    /// The file has come to its end.
    fn finish(&mut self, tools: &Tools, out: &mut Out<'_>) -> Stepped {
        self.pieces.settle_hole(&tools.map_key, out);
        let pieces = std::mem::take(&mut self.pieces);
        let length = pieces.end;
        let content = pieces.finish(out);
        let texture = Texture::of(&self.head, self.shrinking.shrinks());
        Stepped::Whole(Whole { content, tail: Vec::new(), texture, length, after: self.after })
    }
}

impl Pieces {
    /// A hole follows; neighbouring ones are one.
    fn hole(&mut self, length: u64) {
        self.hole = self.hole.saturating_add(length);
    }

    /// The hole, if there is one, is over.
    fn settle_hole(&mut self, map_key: &[u8; 32], out: &mut Out<'_>) {
        if self.hole > 0 {
            let piece = Piece::Hole { length: std::mem::take(&mut self.hole) };
            self.add(piece, map_key, out);
        }
    }

    /// The next piece.
    fn add(&mut self, piece: Piece, map_key: &[u8; 32], out: &mut Out<'_>) {
        if self.list.is_none() && self.here.len() < PIECES_INLINE_MAX {
            self.end += piece.length();
            self.here.push(piece);
            return;
        }
        if self.list.is_none() {
            self.list = Some(MapBuilder::new(map_key));
            self.end = 0;
            for piece in std::mem::take(&mut self.here) {
                self.push(piece, out);
            }
        }
        self.push(piece, out);
    }

    /// The next piece of the list.
    fn push(&mut self, piece: Piece, out: &mut Out<'_>) {
        let Some(list) = &mut self.list else { return };
        let key = self.end.to_be_bytes();
        self.end = self.end.saturating_add(piece.length());
        let mut seal = |parts: NodeParts<'_>| out.seal(ChunkKind::Pieces, parts.compress, parts.follow);
        let pushed = piece
            .encode()
            .map_err(|error| error.to_string())
            .and_then(|value| list.push(&key, &value, &[], &mut seal).map_err(|error| error.to_string()));
        if let Err(what) = pushed {
            out.sink.fail(BackupError::Broken { what });
        }
    }

    /// Where the content is.
    fn finish(self, out: &mut Out<'_>) -> Content {
        let Some(list) = self.list else {
            return if self.here.is_empty() { Content::None } else { Content::Pieces(self.here) };
        };
        let pieces = list.entries();
        let mut seal = |parts: NodeParts<'_>| out.seal(ChunkKind::Pieces, parts.compress, parts.follow);
        match list.finish(&mut seal) {
            Ok(root) => Content::List { root, pieces },
            Err(error) => {
                out.sink.fail(BackupError::Broken { what: error.to_string() });
                Content::None
            }
        }
    }
}
