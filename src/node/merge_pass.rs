//! The passes of a merge over trees in chunks: two trees become one (`file/merge.rs`), and conflict copies are put into it.
//!
//! Each reads its maps in the order of keys and writes another; at most one node a level of each is in memory. Read
//! `node/merging.rs` for their order.

use std::collections::{BTreeMap, VecDeque};

use super::outcome::BackupError;
use super::reader::{Form, Reader, Seen};
use super::sink::Out;
use crate::base::ids::{ChunkId, FeedId, NodeId};
use crate::base::limits::STEPS_PER_TURN_MAX;
use crate::base::version::Vector;
use crate::file::map::{MapBuilder, NodeParts};
use crate::file::merge::{conflict_key, has_content, shared, Merger, Version};
use crate::file::tree::check_key;
use crate::seal::sealed::ChunkKind;
use crate::store::service::Op;

/// What a step of a pass did.
#[derive(Debug)]
pub(super) enum Passed {
    /// It waits for an answer.
    Wait,
    /// It did something; there may be more at once.
    Worked,
    /// A tree cannot be read.
    Lost(String),
    /// The tree is in the store's hands; this is its root.
    Tree(ChunkId),
}

/// What an input of a pass has next.
enum Next {
    /// An entry: see its key.
    Entry,
    /// No more.
    End,
}

/// Looks at an input. `Err`: the pass waits, or has failed.
fn look(reader: &mut Reader, out: &mut Out<'_>) -> Result<Next, Passed> {
    match reader.look(&mut out.sink.ops, &mut out.sink.asks) {
        Seen::Entry => Ok(Next::Entry),
        Seen::End => Ok(Next::End),
        Seen::Wait => Err(Passed::Wait),
        Seen::Lost { reason, .. } => Err(Passed::Lost(reason)),
    }
}

/// Takes the entry that a reader stands on.
fn take(reader: &mut Reader, theirs: bool) -> Result<Version, Passed> {
    if let Err(error) = check_key(reader.key()) {
        return Err(Passed::Lost(error.to_string()));
    }
    let version = Version::read(reader.key(), reader.value(), reader.tail(), theirs);
    reader.advance();
    version.ok_or_else(|| Passed::Lost("the tree has an entry that is none of a shared folder".into()))
}

/// Puts an entry into a tree.
pub(super) fn push(builder: &mut MapBuilder, (key, value, tail): (&[u8], &[u8], &[u8]), out: &mut Out<'_>) {
    let mut seal = |parts: NodeParts<'_>| out.seal(ChunkKind::Tree, parts.compress, parts.follow);
    if let Err(error) = builder.push(key, value, tail, &mut seal) {
        out.sink.fail(BackupError::Broken { what: error.to_string() });
    }
}

/// Ends a tree.
pub(super) fn finish(builder: MapBuilder, out: &mut Out<'_>) -> Option<ChunkId> {
    let mut seal = |parts: NodeParts<'_>| out.seal(ChunkKind::Tree, parts.compress, parts.follow);
    match builder.finish(&mut seal) {
        Ok(root) => Some(root),
        Err(error) => {
            out.sink.fail(BackupError::Broken { what: error.to_string() });
            None
        }
    }
}

/// Two trees become one.
#[derive(Debug)]
pub(super) struct Meet {
    /// The tree here.
    ours: Reader,
    /// The other one.
    theirs: Reader,
    /// Decides.
    merger: Merger,
    /// The merged tree; None once it is finished.
    builder: Option<MapBuilder>,
}

impl Meet {
    /// A pass that has not begun; conflicts below the key `settled` were dealt with in an earlier one.
    pub(super) fn new(
        map_key: &[u8; 32],
        (ours, ours_seen): (ChunkId, Vector),
        (theirs, theirs_seen): (ChunkId, Vector),
        settled: Vec<u8>,
    ) -> Self {
        Self {
            ours: Reader::new(ours, Form::Tree),
            theirs: Reader::new(theirs, Form::Tree),
            merger: Merger::new(ours_seen, theirs_seen, settled),
            builder: Some(MapBuilder::new(map_key)),
        }
    }

    /// The walk that waits for the answer to this request.
    pub(super) fn reader_of(&mut self, op: Op) -> Option<&mut Reader> {
        [&mut self.ours, &mut self.theirs].into_iter().find(|reader| reader.has_asked(op))
    }

    /// Versions that lost their place, and from which key on another pass has to deal with the rest.
    pub(super) fn take_losers(&mut self) -> (Vec<Version>, Option<Vec<u8>>) {
        (self.merger.take_losers(), self.merger.put_off().map(<[u8]>::to_vec))
    }

    /// Merges on.
    pub(super) fn step(&mut self, out: &mut Out<'_>) -> Passed {
        for step in 0..STEPS_PER_TURN_MAX {
            if !out.sink.has_room() {
                return if step == 0 { Passed::Wait } else { Passed::Worked };
            }
            match self.next(out) {
                Ok(true) => {}
                Ok(false) => {
                    self.merger.end();
                    self.drain(out);
                    let root = self.builder.take().and_then(|builder| finish(builder, out));
                    return root.map_or(Passed::Wait, Passed::Tree);
                }
                Err(Passed::Wait) if step > 0 => return Passed::Worked,
                Err(passed) => return passed,
            }
        }
        Passed::Worked
    }

    /// Takes what stands at the next key; false at the end of both.
    fn next(&mut self, out: &mut Out<'_>) -> Result<bool, Passed> {
        let ours = look(&mut self.ours, out);
        let theirs = look(&mut self.theirs, out);
        let (ours, theirs) = (ours?, theirs?);
        let one = Some(&mut self.ours).filter(|_| matches!(ours, Next::Entry));
        let other = Some(&mut self.theirs).filter(|_| matches!(theirs, Next::Entry));
        let (one, other) = match (one, other) {
            (None, None) => return Ok(false),
            (Some(one), Some(other)) => match one.key().cmp(other.key()) {
                std::cmp::Ordering::Less => (Some(one), None),
                std::cmp::Ordering::Equal => (Some(one), Some(other)),
                std::cmp::Ordering::Greater => (None, Some(other)),
            },
            alone => alone,
        };
        let one = one.map(|reader| take(reader, false)).transpose()?;
        let other = other.map(|reader| take(reader, true)).transpose()?;
        self.merger.take(one, other);
        self.drain(out);
        Ok(true)
    }

    /// Puts what stays into the tree.
    fn drain(&mut self, out: &mut Out<'_>) {
        let Some(builder) = &mut self.builder else { return };
        while let Some(version) = self.merger.pop() {
            push(builder, (&version.key, &version.value, &version.tail), out);
        }
    }
}

/// A version on its way to a name of its own.
#[derive(Debug)]
pub(super) struct Copy {
    /// The version that lost its place.
    pub(super) loser: Version,
    /// Which name is tried.
    pub(super) attempt: u32,
}

/// Conflict copies are put into a tree.
#[derive(Debug)]
pub(super) struct Insert {
    /// The tree.
    tree: Reader,
    /// What is put in: the key, and the version that lost its place; by key.
    copies: VecDeque<(Vec<u8>, Copy)>,
    /// Those whose name something else has.
    again: Vec<Copy>,
    /// The new tree; None once it is finished.
    builder: Option<MapBuilder>,
    /// The feed in which copies are changes.
    feed: FeedId,
}

impl Insert {
    /// A pass that has not begun; `names` are those of devices.
    pub(super) fn new(
        map_key: &[u8; 32],
        tree: ChunkId,
        copies: Vec<Copy>,
        names: &BTreeMap<NodeId, String>,
        feed: FeedId,
    ) -> Self {
        let name = |version: &Version| names.get(&version.dot.feed.node).map_or("?", String::as_str);
        let keyed =
            copies.into_iter().map(|copy| (conflict_key(&copy.loser, name(&copy.loser), copy.attempt), copy));
        let mut copies: Vec<(Vec<u8>, Copy)> = keyed.collect();
        copies.sort_by(|one, other| one.0.cmp(&other.0));
        let (mut sorted, mut again) = (VecDeque::<(Vec<u8>, Copy)>::new(), Vec::new());
        for (key, copy) in copies {
            match sorted.back() {
                // The digits in the name are few.
                Some((last, _)) if *last == key => again.push(Copy { attempt: copy.attempt + 1, ..copy }),
                _ => sorted.push_back((key, copy)),
            }
        }
        Self {
            tree: Reader::new(tree, Form::Tree),
            copies: sorted,
            again,
            builder: Some(MapBuilder::new(map_key)),
            feed,
        }
    }

    /// The walk that waits for the answer to this request.
    pub(super) fn reader_of(&mut self, op: Op) -> Option<&mut Reader> {
        Some(&mut self.tree).filter(|reader| reader.has_asked(op))
    }

    /// Those whose name something else has: they want another.
    pub(super) fn take_again(&mut self) -> Vec<Copy> {
        std::mem::take(&mut self.again)
    }

    /// Puts on; copies are changes of this device, which has then seen them.
    pub(super) fn step(&mut self, seen: &mut Vector, out: &mut Out<'_>) -> Passed {
        for step in 0..STEPS_PER_TURN_MAX {
            if !out.sink.has_room() {
                return if step == 0 { Passed::Wait } else { Passed::Worked };
            }
            let next = match look(&mut self.tree, out) {
                Ok(next) => next,
                Err(Passed::Wait) if step > 0 => return Passed::Worked,
                Err(passed) => return passed,
            };
            let Some(builder) = &mut self.builder else { return Passed::Wait };
            let is_at_end = matches!(next, Next::End);
            let order = self.copies.front().map(|(key, _)| key.as_slice().cmp(self.tree.key()));
            match (order, is_at_end) {
                (None, true) => {
                    let root = self.builder.take().and_then(|builder| finish(builder, out));
                    return root.map_or(Passed::Wait, Passed::Tree);
                }
                (Some(std::cmp::Ordering::Equal), false) => {
                    let there = Version::read(self.tree.key(), self.tree.value(), self.tree.tail(), false);
                    if let Some((_, copy)) = self.copies.pop_front() {
                        let Version { entry, tail, .. } = &copy.loser;
                        let is_made = there
                            .is_some_and(|there| has_content((&there.entry, &there.tail), (entry, tail)));
                        if !is_made {
                            self.again.push(Copy { attempt: copy.attempt + 1, ..copy });
                        }
                    }
                }
                (Some(std::cmp::Ordering::Less), false) | (Some(_), true) => {
                    let Some((key, copy)) = self.copies.pop_front() else { continue };
                    let dot = seen.next(self.feed);
                    let entry = shared(copy.loser.entry, dot);
                    match entry.encode() {
                        Ok(value) => push(builder, (&key, &value, &copy.loser.tail), out),
                        Err(error) => out.sink.fail(BackupError::Broken { what: error.to_string() }),
                    }
                }
                (Some(std::cmp::Ordering::Greater) | None, false) => {
                    push(builder, (self.tree.key(), self.tree.value(), self.tree.tail()), out);
                    self.tree.advance();
                }
            }
        }
        Passed::Worked
    }
}
