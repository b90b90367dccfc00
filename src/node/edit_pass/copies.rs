//! What an edit moves or copies, as it is read from its old place in the order of its new one.
//!
//! Parts of a tree that are not within each other lie one behind the other in the order of keys, so of several only the first in the
//! order of their new places is read.

use std::collections::VecDeque;

use super::super::edit::{too_deep, Act};
use super::super::merge_pass::Passed;
use super::super::reader::{Form, Reader, Seen};
use super::super::sink::Out;
use super::super::writer::ids_of;
use super::{EditPass, Look};
use crate::base::ids::ChunkId;
use crate::base::limits::MAP_KEY_BYTES_MAX;
use crate::file::entry::Entry;
use crate::file::tree::is_within;
use crate::store::service::Op;

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// In the order of their new places.
    all: VecDeque<Copy>,
    /// The new key of the entry that was given last.
    key: Vec<u8>,
    /// Ids that entries need which were moved.
    moved: u64,
}

/// One of them.
#[derive(Debug)]
struct Copy {
    /// A walk over the tree.
    reader: Reader,
    /// Its old place.
    from: Vec<u8>,
    /// Its new one.
    to: Vec<u8>,
    /// It stays at the old one, too.
    keep: bool,
}

impl Copies {
    /// Another one.
    pub(super) fn add(&mut self, tree: ChunkId, from: &[u8], to: &[u8], keep: bool) {
        let mut reader = Reader::new(tree, Form::Tree);
        reader.seek(from);
        let copy = Copy { reader, from: from.to_vec(), to: to.to_vec(), keep };
        let at = self.all.partition_point(|other| other.to < copy.to);
        self.all.insert(at, copy);
    }

    /// There are none, or no more.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The walk that waits for the answer to this request.
    pub(super) fn reader_of(&mut self, op: Op) -> Option<&mut Reader> {
        self.all.iter_mut().map(|copy| &mut copy.reader).find(|reader| reader.has_asked(op))
    }

    /// The new key of the entry that was given last.
    pub(super) fn key(&self) -> Vec<u8> {
        self.key.clone()
    }

    /// Ids that entries need which were moved: they are counted where these are missing now.
    pub(super) const fn moved(&self) -> u64 {
        self.moved
    }

    /// The next entry, if its new key is before `other`. `Err`: it waits, or cannot be had.
    pub(super) fn next(
        &mut self,
        other: Option<&[u8]>,
        out: &mut Out<'_>,
    ) -> Result<Option<(Entry, Vec<u8>)>, Passed> {
        while let Some(copy) = self.all.front_mut() {
            match copy.reader.look(&mut out.sink.ops, &mut out.sink.asks) {
                Seen::Wait => return Err(Passed::Wait),
                Seen::Lost { reason, .. } => return Err(Passed::Lost(reason)),
                Seen::Entry if is_within(copy.reader.key(), &copy.from) => {}
                Seen::Entry | Seen::End => {
                    self.all.pop_front();
                    continue;
                }
            }
            let rest = copy.reader.key().get(copy.from.len()..).unwrap_or_default();
            self.key.clear();
            self.key.extend_from_slice(&copy.to);
            self.key.extend_from_slice(rest);
            if other.is_some_and(|other| other <= self.key.as_slice()) {
                return Ok(None);
            }
            let entry =
                Entry::decode(copy.reader.value()).map_err(|error| Passed::Lost(error.to_string()))?;
            let tail = copy.reader.tail().to_vec();
            if !copy.keep {
                self.moved += ids_of(&entry);
            }
            copy.reader.advance();
            return Ok(Some((entry, tail)));
        }
        Ok(None)
    }
}

impl EditPass {
    /// Something that is to be moved or copied was looked at: its path must not become too long.
    pub(super) fn below(&mut self) -> Result<(), Passed> {
        let edit = &self.edits[self.edited.results.len()];
        let key = self.reader.key();
        match &edit.act {
            Act::Transfer { from, .. } if is_within(key, from) => {
                if key.len() - from.len() + edit.key.len() > MAP_KEY_BYTES_MAX {
                    self.settle(Err(too_deep(&edit.key)));
                } else {
                    self.reader.advance();
                    self.look = Some(Look::Below);
                }
            }
            _ => self.go_to_path(),
        }
        Ok(())
    }

    /// Looks at the path itself.
    pub(super) fn go_to_path(&mut self) {
        let edit = &self.edits[self.edited.results.len()];
        self.reader.seek(&edit.key);
        self.look = Some(Look::Path);
    }
}
