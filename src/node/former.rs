//! What is known of a folder from before, as one walk: the tree of the last complete snapshot, and, where a later backup was
//! interrupted, the tree of its partial snapshot as far as that goes.
//!
//! ```text
//!   partial     a b c d |             what the interrupted backup had done
//!   complete            | e f g h     the rest, as it was before
//! ```
//!
//! A partial snapshot is a prefix in the order of keys, so the two never overlap. Owns the seam. Decides nothing about entries.

use std::collections::VecDeque;

use super::duty::{Ask, Ops};
use super::join::Old;
use super::reader::{Form, Reader, Seen};
use super::share_scan::Known;
use crate::base::ids::ChunkId;
use crate::file::applied::Applied;
use crate::store::service::Op;

/// A walk over what is known from before.
#[derive(Debug)]
pub(super) struct Former {
    /// Of a shared folder: what was applied here, walked beside the complete tree.
    applied: Option<Reader>,
    /// It is a shared folder's.
    is_shared: bool,
    /// The complete tree, and the applied map, stand on an entry.
    on: (bool, bool),
    /// The partial tree, until its end.
    partial: Option<Reader>,
    /// The complete one; behind the seam once the other has ended.
    complete: Option<Reader>,
    /// Nodes of the partial tree.
    nodes: u64,
}

impl Former {
    /// A walk over these trees, from the first entry on.
    pub(super) fn new(partial: Option<ChunkId>, complete: Option<ChunkId>) -> Self {
        let reader = |tree| Reader::new(tree, Form::Tree);
        Self {
            applied: None,
            is_shared: false,
            on: (false, false),
            partial: partial.map(reader),
            complete: complete.map(reader),
            nodes: 0,
        }
    }

    /// A walk over the tree of a shared folder and what was applied of it.
    pub(super) fn shared(tree: Option<ChunkId>, applied: Option<ChunkId>) -> Self {
        let applied = applied.map(|root| Reader::new(root, Form::Tree));
        Self { applied, is_shared: true, ..Self::new(None, tree) }
    }

    /// What comes next; asks for what is missing.
    pub(super) fn look(&mut self, ops: &mut Ops, asks: &mut VecDeque<Ask>) -> Seen {
        if let Some(partial) = &mut self.partial {
            match partial.look(ops, asks) {
                Seen::End => {}
                seen => return seen,
            }
            if let Some(complete) = &mut self.complete {
                // The least key that is greater than the last one.
                let mut behind = partial.key().to_vec();
                behind.push(0);
                complete.seek(&behind);
            }
            self.nodes = partial.nodes();
            self.partial = None;
        }
        let complete = self.complete.as_mut().map_or(Seen::End, |complete| complete.look(ops, asks));
        let applied = self.applied.as_mut().map_or(Seen::End, |applied| applied.look(ops, asks));
        self.on = (complete == Seen::Entry, applied == Seen::Entry);
        match (complete, applied) {
            (lost @ Seen::Lost { .. }, _) | (_, lost @ Seen::Lost { .. }) => lost,
            (Seen::Wait, _) | (_, Seen::Wait) => Seen::Wait,
            (Seen::End, Seen::End) => Seen::End,
            (Seen::Entry, _) | (_, Seen::Entry) => Seen::Entry,
        }
    }

    /// The walk that waits for the answer to this request.
    pub(super) fn reader_of(&mut self, op: Op) -> Option<&mut Reader> {
        [self.partial.as_mut(), self.complete.as_mut(), self.applied.as_mut()]
            .into_iter()
            .flatten()
            .find(|reader| reader.has_asked(op))
    }

    /// The key of the entry that the walk stands on.
    pub(super) fn key(&self) -> Option<&[u8]> {
        if !self.is_shared {
            return self.entry().map(Reader::key);
        }
        let tree = self.complete.as_ref().filter(|_| self.on.0).map(Reader::key);
        let applied = self.applied.as_ref().filter(|_| self.on.1).map(Reader::key);
        match (tree, applied) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Takes the entry that the walk stands on, and goes on.
    pub(super) fn take(&mut self) -> Option<Old> {
        if self.is_shared {
            return self.take_shared();
        }
        let of_partial = !self.is_past_partial();
        let reader = self.partial.as_mut().or(self.complete.as_mut())?;
        let (key, value, tail) = (reader.key().to_vec(), reader.value().to_vec(), reader.tail().to_vec());
        reader.advance();
        Some(Old { key, value, tail, of_partial, shared: None })
    }

    /// The same in a shared folder: what the tree has, what was applied, or both.
    fn take_shared(&mut self) -> Option<Old> {
        let key = self.key()?.to_vec();
        let at = |reader: &Option<Reader>, on| {
            on && reader.as_ref().is_some_and(|reader| reader.key() == key.as_slice())
        };
        let (in_tree, is_applied) = (at(&self.complete, self.on.0), at(&self.applied, self.on.1));
        let mut known = Known { published: in_tree, applied: None, gone: false };
        let (mut value, mut tail) = (Vec::new(), Vec::new());
        if let Some(reader) = self.complete.as_mut().filter(|_| in_tree) {
            value = reader.value().to_vec();
            tail = reader.tail().to_vec();
            reader.advance();
        }
        if let Some(reader) = self.applied.as_mut().filter(|_| is_applied) {
            known.applied = Applied::decode(reader.value()).ok();
            reader.advance();
        }
        Some(Old { key, value, tail, of_partial: false, shared: Some(Box::new(known)) })
    }

    /// The walk of a backup folder's tree, if it stands somewhere.
    const fn entry(&self) -> Option<&Reader> {
        match (&self.partial, &self.complete) {
            (Some(reader), _) | (None, Some(reader)) => Some(reader),
            (None, None) => None,
        }
    }

    /// What comes from now on is of the complete snapshot.
    pub(super) const fn is_past_partial(&self) -> bool {
        self.partial.is_none()
    }

    /// Nodes read so far.
    pub(super) const fn nodes(&self) -> u64 {
        let reading = match self.entry() {
            Some(reader) => reader.nodes(),
            None => 0,
        };
        self.nodes + reading
    }
}
