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
use super::reader::{Form, Reader, Seen};
use crate::base::ids::ChunkId;

/// A walk over what is known from before.
#[derive(Debug)]
pub(super) struct Former {
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
        Self { partial: partial.map(reader), complete: complete.map(reader), nodes: 0 }
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
        self.complete.as_mut().map_or(Seen::End, |complete| complete.look(ops, asks))
    }

    /// The walk, if it stands somewhere: for the entry, and for nodes that came.
    pub(super) fn reader(&mut self) -> Option<&mut Reader> {
        self.partial.as_mut().or(self.complete.as_mut())
    }

    /// The same, to look at.
    pub(super) const fn entry(&self) -> Option<&Reader> {
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
