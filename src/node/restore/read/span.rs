//! What is left of a range that is read, and of the pieces of its file.
//!
//! A long list of pieces is sought a little before the range: a chunk that the range begins in cannot begin earlier, a hole can.

use std::collections::VecDeque;

use super::super::super::duty::{Ask, Ops};
use super::super::super::reader::{Reader, Seen};
use crate::file::entry::Piece;

/// What is left of the range, and of the pieces.
#[derive(Debug)]
pub(super) struct Span {
    /// The next byte of the file that is to be queued.
    pub(super) at: u64,
    /// The first that is not.
    pub(super) end: u64,
    /// Where the next piece of `source` begins.
    pub(super) start: u64,
    /// The pieces.
    pub(super) source: Source,
}

/// Where pieces come from.
#[derive(Debug)]
pub(super) enum Source {
    /// The entry.
    Here(std::vec::IntoIter<Piece>),
    /// A list of their own, and how far before the range's beginning it was sought; None: the right piece was found.
    List(Box<Reader>, Option<u64>),
}

impl Span {
    /// The next piece of which something is wanted (`start` is behind it then); `Some(Ok(None))`: look again; None: it waits.
    pub(super) fn next(
        &mut self,
        ops: &mut Ops,
        asks: &mut VecDeque<Ask>,
    ) -> Option<Result<Option<Piece>, String>> {
        let (start, piece) = match &mut self.source {
            Source::Here(pieces) => match pieces.next() {
                Some(piece) => (self.start, piece),
                None => return Some(Err("the file is shorter than it should be".into())),
            },
            Source::List(list, back) => {
                let seen = list.look(ops, asks);
                let start = match &seen {
                    Seen::Wait => return None,
                    Seen::Lost { reason, .. } => return Some(Err(reason.clone())),
                    Seen::End => u64::MAX,
                    Seen::Entry => match <[u8; 8]>::try_from(list.key()) {
                        Ok(key) => u64::from_be_bytes(key),
                        Err(_) => return Some(Err("a list of pieces is damaged".into())),
                    },
                };
                match back {
                    // The range begins in a hole: the piece before is further off.
                    Some(back) if start > self.at && *back < self.at => {
                        *back = back.saturating_mul(8);
                        list.seek(&self.at.saturating_sub(*back).to_be_bytes());
                        return Some(Ok(None));
                    }
                    _ if start > self.at => return Some(Err("the file is shorter than it should be".into())),
                    _ => *back = None,
                }
                let piece = Piece::decode(list.value()).map_err(|error| error.to_string());
                list.advance();
                match piece {
                    Ok(piece) => (start, piece),
                    Err(reason) => return Some(Err(reason)),
                }
            }
        };
        self.start = start.saturating_add(piece.length());
        Some(Ok((self.start > self.at).then_some(piece)))
    }
}
