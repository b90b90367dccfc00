//! What a drill draws: a snapshot, a way down its tree, a file, and of a large file some pieces.

use rand_core::RngCore;

use super::{Doing, Drill, Reading, Todo};
use crate::base::limits::{DRILL_LISTED_PIECES, DRILL_PIECES_MAX};
use crate::file::entry::{Content, Entry, Kind, Piece};
use crate::file::map::node::NodeReader;
use crate::file::tree::path_of;

impl Drill {
    /// Draws a snapshot.
    pub(super) fn draw(&mut self) {
        let (files, attempts) = self.left;
        if files == 0 || attempts == 0 || self.bytes_left == 0 || self.open.is_empty() {
            self.doing = Doing::Over;
            return;
        }
        self.left.1 -= 1;
        let drawn = self.below(self.open.len());
        let target = self.open[drawn];
        self.doing = Doing::Descending(target, self.targets[target].tree);
    }

    /// Draws a way down, or a file of a leaf.
    pub(super) fn descend(&mut self, target: usize, node: &[u8]) {
        let Some(reader) = self.drawn_of(node, |level, value| {
            level > 0
                || Entry::decode(value).is_ok_and(|entry| entry.kind == Kind::File && entry.stat.size > 0)
        }) else {
            self.doing = Doing::Idle;
            return;
        };
        if reader.level() > 0 {
            self.doing = Doing::Descending(target, reader.child());
            return;
        }
        let key = reader.key().to_vec();
        let Ok(entry) = Entry::decode(reader.value()) else { return };
        let is_new = self.drawn.insert((target, key.clone()));
        self.doing = Doing::Idle;
        if !is_new {
            return;
        }
        self.left.0 -= 1;
        let mut reading = Reading {
            target,
            path: path_of(&key),
            size: entry.stat.size,
            todo: Vec::new(),
            bytes: 0,
            whole: true,
        };
        match entry.content {
            Content::Inline => match self.inline.unpack(reader.tail()) {
                Ok(plain) => reading.bytes = u64::try_from(plain.len()).unwrap_or(u64::MAX),
                Err(_) => reading.whole = false,
            },
            Content::Pieces(pieces) => self.pieces(&mut reading, &pieces),
            Content::List { root, .. } => {
                reading.whole = false;
                reading.todo = vec![Todo::List(root); DRILL_LISTED_PIECES];
            }
            Content::None | Content::Target(_) => {}
        }
        self.doing = Doing::Reading(Box::new(reading));
    }

    /// The pieces of a file that are read: all of them, or as many as there is room for, drawn at random.
    pub(super) fn pieces(&mut self, reading: &mut Reading, pieces: &[Piece]) {
        let mut chunks: Vec<Todo> = Vec::new();
        let mut wanted = 0_u64;
        for piece in pieces {
            match piece {
                Piece::Chunk { id, length } => {
                    chunks.push(Todo::Piece(*id, *length));
                    wanted = wanted.saturating_add(u64::from(*length));
                }
                Piece::Hole { length } => reading.bytes = reading.bytes.saturating_add(*length),
            }
        }
        if chunks.len() > DRILL_PIECES_MAX || wanted > self.bytes_left {
            (reading.whole, reading.bytes) = (false, 0);
            while chunks.len() > DRILL_LISTED_PIECES {
                let out = self.below(chunks.len());
                chunks.swap_remove(out);
            }
        }
        reading.todo = chunks;
    }

    /// Draws a piece, or a way down to one, of a list of pieces.
    pub(super) fn list(&mut self, node: &[u8]) {
        let found = self.drawn_of(node, |_, _| true);
        let Doing::Reading(reading) = &mut self.doing else { return };
        match found {
            Some(found) if found.level() > 0 => reading.todo.push(Todo::List(found.child())),
            Some(found) => {
                if let Ok(Piece::Chunk { id, length }) = Piece::decode(found.value()) {
                    reading.todo.push(Todo::Piece(id, length));
                }
            }
            None => {}
        }
    }

    /// A reader of a node that stands at an entry which was drawn from those that fit.
    pub(super) fn drawn_of(&mut self, node: &[u8], fits: impl Fn(u8, &[u8]) -> bool) -> Option<NodeReader> {
        let mut count = 0_usize;
        let mut reader = NodeReader::new(node.to_vec()).ok()?;
        while reader.advance().ok()? {
            count += usize::from(fits(reader.level(), reader.value()));
        }
        if count == 0 {
            return None;
        }
        let drawn = self.below(count);
        reader.rewind();
        let mut passed = 0;
        while reader.advance().ok()? {
            if fits(reader.level(), reader.value()) {
                if passed == drawn {
                    return Some(reader);
                }
                passed += 1;
            }
        }
        None
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.rng.next_u64() % bound).unwrap_or(0)
    }
}
