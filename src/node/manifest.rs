//! The manifest of a new snapshot: the ids of the build pass (a temporary set in the store), and the parent's with them.
//!
//! Owns the merge of two ascending streams of ids. A manifest may list more than its tree needs, never less; how much
//! more is estimated by whoever knows what went. Read `node/sink.rs` first.

use std::collections::VecDeque;

use super::duty::Ask;
use super::outcome::BackupError;
use super::reader::{Form, Reader, Seen};
use super::sink::Sink;
use crate::base::ids::ChunkId;
use crate::base::limits::{PAGE_IDS_MAX, STEPS_PER_TURN_MAX};
use crate::file::map::{MapBuilder, NodeParts};
use crate::store::service::{Op, Reply, Request};

/// What a step did.
#[derive(Debug)]
pub(super) enum Merged {
    /// It waits for an answer.
    Wait,
    /// It did something; there may be more at once.
    Worked,
    /// All of the manifest is in the store's hands.
    Whole(Manifest),
    /// The parent's manifest cannot be read.
    ParentLost,
}

/// A finished manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manifest {
    /// Its root.
    pub(super) root: ChunkId,
    /// Ids in it.
    pub(super) chunks: u64,
    /// Ids of the build pass that the parent's manifest has too.
    pub(super) common: u64,
}

/// The merge.
#[derive(Debug)]
pub(super) struct Merge {
    /// Number of the temporary set.
    set: u64,
    /// Manifests that are added to: the parent's, and of a shared folder those of the sides that were merged.
    parents: Vec<Reader>,
    /// The new one; None once it is finished.
    builder: Option<MapBuilder>,
    /// Ids that are not in the set, ascending.
    apart: VecDeque<ChunkId>,
    /// Ids of the set that are here.
    page: VecDeque<ChunkId>,
    /// The last id that was in a page.
    last: Option<ChunkId>,
    /// The page on its way.
    asked: Option<Op>,
    /// The set has no more.
    ended: bool,
    /// Ids in both.
    common: u64,
}

/// Shapes manifests: storage nodes know no keys.
pub const MANIFEST_MAP_KEY: [u8; 32] = [0; 32];

impl Merge {
    /// A merge of the set, and of a few ids `apart` from it, with the manifest of `parent` (None: without one).
    pub(super) fn new(set: u64, parent: Option<ChunkId>, apart: Vec<ChunkId>) -> Self {
        Self::of_several(set, parent.into_iter().collect(), apart)
    }

    /// The same with several manifests.
    pub(super) fn of_several(set: u64, parents: Vec<ChunkId>, mut apart: Vec<ChunkId>) -> Self {
        apart.sort_unstable();
        apart.dedup();
        Self {
            set,
            apart: apart.into(),
            parents: parents.into_iter().map(|root| Reader::new(root, Form::Manifest)).collect(),
            builder: Some(MapBuilder::new(&MANIFEST_MAP_KEY)),
            page: VecDeque::new(),
            last: None,
            asked: None,
            ended: false,
            common: 0,
        }
    }

    /// The walk over a manifest that waits for the answer to this request.
    pub(super) fn reader_of(&mut self, op: Op) -> Option<&mut Reader> {
        self.parents.iter_mut().find(|reader| reader.has_asked(op))
    }

    /// Takes a page; gives the answer back if it is for somebody else.
    pub(super) fn told(&mut self, reply: Reply, sink: &mut Sink) -> Option<Reply> {
        match reply {
            Reply::SetPage { op, ids } if self.asked == Some(op) => {
                self.asked = None;
                self.ended = ids.len() < PAGE_IDS_MAX;
                self.last = ids.last().copied().or(self.last);
                self.page.extend(ids);
                None
            }
            Reply::Failed { op, error } if self.asked == Some(op) => {
                self.asked = None;
                sink.fail(BackupError::Store(error));
                None
            }
            other => Some(other),
        }
    }

    /// Does a turn's work.
    pub(super) fn step(&mut self, sink: &mut Sink) -> Merged {
        let kept = sink.sealed();
        for step in 0..STEPS_PER_TURN_MAX {
            let waited = if step == 0 { Merged::Wait } else { Merged::Worked };
            if !sink.has_room() {
                return waited;
            }
            self.ask_page(sink);
            if self.page.is_empty() && !self.ended {
                return waited;
            }
            let fresh = self.page.front().into_iter().chain(self.apart.front()).min().copied();
            let listed = match self.look(sink) {
                Ok(Some(listed)) => listed,
                Ok(None) => return waited,
                Err(lost) => return lost,
            };
            let next = match (fresh, listed) {
                (None, None) => return self.finish(sink),
                (Some(id), None) | (None, Some(id)) => id,
                (Some(fresh), Some(listed)) => fresh.min(listed),
            };
            self.common += u64::from(fresh == listed);
            for ids in [&mut self.page, &mut self.apart] {
                if ids.front() == Some(&next) {
                    ids.pop_front();
                }
            }
            self.advance(&next);
            self.push(next, sink);
            if sink.sealed() != kept {
                break;
            }
        }
        Merged::Worked
    }

    /// The least id that one of the parents has next: `Ok(None)` while a node is on its way, `Ok(Some(None))` at the end of all.
    fn look(&mut self, sink: &mut Sink) -> Result<Option<Option<ChunkId>>, Merged> {
        let (mut least, mut waits) = (None::<ChunkId>, false);
        for parent in &mut self.parents {
            match parent.look(&mut sink.ops, &mut sink.asks) {
                Seen::Wait => waits = true,
                Seen::End => {}
                Seen::Lost { .. } => return Err(Merged::ParentLost),
                Seen::Entry => match <[u8; 32]>::try_from(parent.key()).map(ChunkId::from_bytes) {
                    Ok(id) => least = Some(least.map_or(id, |least| least.min(id))),
                    Err(_) => return Err(Merged::ParentLost),
                },
            }
        }
        Ok(if waits { None } else { Some(least) })
    }

    /// Goes on behind an id in each parent that has it.
    fn advance(&mut self, id: &ChunkId) {
        for parent in &mut self.parents {
            if parent.key() == id.as_bytes() {
                parent.advance();
            }
        }
    }

    /// Asks for the next page of the set before the last one is used up.
    fn ask_page(&mut self, sink: &mut Sink) {
        if self.ended || self.asked.is_some() || self.page.len() > PAGE_IDS_MAX / 2 {
            return;
        }
        let op = sink.ops.draw();
        self.asked = Some(op);
        let page = Request::SetPage { op, set: self.set, after: self.last, limit: PAGE_IDS_MAX };
        sink.asks.push_back(Ask::Store(page));
    }

    /// The next id of the manifest.
    fn push(&mut self, id: ChunkId, sink: &mut Sink) {
        let Some(builder) = &mut self.builder else { return };
        let pushed = builder.push(id.as_bytes(), &[], &[], &mut |parts: NodeParts<'_>| sink.keep_open(parts));
        if let Err(error) = pushed {
            sink.fail(BackupError::Broken { what: error.to_string() });
        }
    }

    /// Ends the manifest.
    fn finish(&mut self, sink: &mut Sink) -> Merged {
        let Some(builder) = self.builder.take() else { return Merged::Wait };
        let chunks = builder.entries();
        match builder.finish(&mut |parts: NodeParts<'_>| sink.keep_open(parts)) {
            Ok(root) => Merged::Whole(Manifest { root, chunks, common: self.common }),
            Err(error) => {
                sink.fail(BackupError::Broken { what: error.to_string() });
                Merged::Wait
            }
        }
    }
}
