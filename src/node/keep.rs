//! Keeping: a holder's duty for one snapshot, from "there is a snapshot" to "receipt".
//!
//! ```text
//!   Pinning --saved--> Walking --End, nothing missing--> Flushing --synced--> Finished(Kept)
//!                        |  ^
//!             Need, page |  | chunk, have, kept
//!                        v  |
//!                      (store, holders)        any chunk that nobody has --> Finished(Lacking)
//! ```
//!
//! The manifest is pinned durably *before* the share is checked (docs/DESIGN.md, section 7), so that no later
//! collection can fall between the check and the receipt. The walk keeps one manifest node a level and a bounded queue of
//! missing ids; its nodes are kept here whole, for every storer with a share holds the whole manifest.

use std::collections::{BTreeMap, VecDeque};

use super::duty::{Ask, Ops, Told};
use crate::base::ids::{ChunkId, Group, SnapshotId};
use crate::base::limits::{FETCH_CHUNKS_MAX, PAGE_IDS_MAX};
use crate::feed::entry::GroupSet;
use crate::file::map::{MapCursor, Step};
use crate::store::service::{Op, Reply, Request};

/// Keeps the share of one snapshot.
#[derive(Debug)]
pub struct Keep {
    /// Which snapshot.
    snapshot: SnapshotId,
    /// What this node shall hold of it.
    groups: GroupSet,
    /// Only what is here counts: nothing is fetched, and groups of which something is missing are left out.
    recounts: bool,
    /// Some were.
    is_short: bool,
    /// Numbers of what is asked.
    ops: Ops,
    /// Where it stands.
    state: State,
    /// The walk over the manifest.
    cursor: MapCursor,
    /// The manifest node that is awaited.
    awaited: Option<ChunkId>,
    /// The walk has come to its end.
    walked: bool,
    /// Ids of the walk that will be asked of the store next.
    page: Vec<ChunkId>,
    /// Pages whose answer is awaited.
    asked: BTreeMap<Op, Vec<ChunkId>>,
    /// Known to be missing, not yet asked for.
    missing: VecDeque<ChunkId>,
    /// Chunks on their way here.
    fetching: usize,
    /// Chunks that nobody who is connected has.
    lacking: u64,
    /// What to do next.
    asks: VecDeque<Ask>,
    /// How far it is.
    progress: KeepProgress,
    /// Told once.
    finished: Option<KeepEnd>,
}

/// The states of a [`Keep`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The pin is being saved.
    Pinning,
    /// The manifest is walked, missing chunks are fetched.
    Walking,
    /// Everything is there; the sync is awaited.
    Flushing,
    /// The end was told.
    Over,
}

/// How far a share has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeepProgress {
    /// Chunks of the share that are here.
    pub held: u64,
    /// Chunks of the share seen so far in the manifest.
    pub seen: u64,
    /// Bytes that were fetched.
    pub fetched_bytes: u64,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepEnd {
    /// All of the share is here and synced: a receipt may be signed.
    Kept,
    /// So many chunks (or the manifest itself) could not be had from anybody who is connected.
    Lacking {
        /// Chunks, at least one.
        chunks: u64,
    },
    /// Another share has its turn.
    Yielded,
    /// The disk did not take it.
    Disk {
        /// The store's words.
        reason: String,
    },
    /// The manifest is no manifest.
    Damaged {
        /// What is wrong with it.
        reason: String,
    },
}

/// What a [`Keep`] wants.
#[derive(Debug)]
pub enum KeepOutput {
    /// Of the core.
    Ask(Ask),
    /// It is over.
    Finished(KeepEnd),
}

/// The setting under which a pinned manifest is remembered.
#[must_use]
pub fn pin_key(snapshot: &SnapshotId) -> String {
    format!("{PIN_PREFIX}{snapshot}")
}

/// What the names of these settings begin with.
pub const PIN_PREFIX: &str = "pin:";

impl Keep {
    /// Begins to keep the chunks of `groups` that `manifest` lists.
    #[must_use]
    pub fn new(snapshot: SnapshotId, manifest: ChunkId, groups: GroupSet, duty: u64) -> Self {
        let mut ops = Ops::new(duty);
        let pin = vec![(pin_key(&snapshot), Some(manifest.as_bytes().to_vec()))];
        let asks = VecDeque::from([Ask::Store(Request::Save { op: ops.draw(), settings: pin })]);
        Self {
            snapshot,
            groups,
            recounts: false,
            is_short: false,
            ops,
            state: State::Pinning,
            cursor: MapCursor::new(manifest),
            awaited: None,
            walked: false,
            page: Vec::new(),
            asked: BTreeMap::new(),
            missing: VecDeque::new(),
            fetching: 0,
            lacking: 0,
            asks,
            progress: KeepProgress::default(),
            finished: None,
        }
    }

    /// Its manifest's pin is saved already, by a try before this one.
    #[must_use]
    pub fn pinned(mut self) -> Self {
        self.asks.clear();
        self.state = State::Walking;
        self.advance();
        self
    }

    /// Only what is here counts: nothing is fetched, and groups of which something is missing are left out.
    #[must_use]
    pub fn recounting(mut self) -> Self {
        self.recounts = true;
        self
    }

    /// Whether it has come to something that it lacks: what it has asked for comes whether it goes on or not.
    #[must_use]
    pub const fn fetches(&self) -> bool {
        self.fetching > 0 || self.progress.fetched_bytes > 0
    }

    /// The node of the manifest that it waits for.
    #[must_use]
    pub const fn awaits(&self) -> Option<ChunkId> {
        self.awaited
    }

    /// Whether groups were left out of which something is missing.
    #[must_use]
    pub const fn is_short(&self) -> bool {
        self.is_short
    }

    /// Another one has its turn. Whether this one ends now: what it has fetched stays.
    pub fn yields(&mut self) -> bool {
        let may = self.state == State::Walking;
        if may {
            self.end(KeepEnd::Yielded);
        }
        may
    }

    /// Which snapshot it keeps.
    #[must_use]
    pub const fn snapshot(&self) -> SnapshotId {
        self.snapshot
    }

    /// What the receipt will name.
    #[must_use]
    pub const fn groups(&self) -> &GroupSet {
        &self.groups
    }

    /// How far it is.
    #[must_use]
    pub const fn progress(&self) -> KeepProgress {
        self.progress
    }

    /// Takes an answer.
    pub fn told(&mut self, told: Told) {
        match (self.state, told) {
            (State::Over, _) => {}
            (State::Pinning, Told::Store(Reply::Save { result, .. })) => match result {
                Ok(()) => self.state = State::Walking,
                Err(error) => self.end(KeepEnd::Disk { reason: error.to_string() }),
            },
            (State::Walking, Told::Chunk { id, result, .. }) => self.node_came(id, result.ok()),
            (State::Walking, Told::Store(Reply::Has { op, have })) => self.page_came(op, &have),
            (State::Walking, Told::Kept { result, .. }) => self.chunk_came(result.ok()),
            (State::Flushing, Told::Store(Reply::Flush { result, .. })) => match result {
                Ok(()) => self.end(KeepEnd::Kept),
                Err(error) => self.end(KeepEnd::Disk { reason: error.to_string() }),
            },
            (_, Told::Store(Reply::Failed { error, .. })) => {
                self.end(KeepEnd::Disk { reason: error.to_string() });
            }
            (_, _) => {}
        }
        self.advance();
    }

    /// The store did not take a chunk, whoever put it: what the walk has counted as being here may not be, and a later
    /// sync that goes well says nothing of it.
    pub fn put_failed(&mut self, reason: &str) {
        if self.state != State::Over {
            self.end(KeepEnd::Disk { reason: reason.to_owned() });
        }
    }

    /// A chunk comes that nobody here has asked for yet: if it is missing it is fetched now, or it would be once more when its turn comes.
    pub fn claim(&mut self, id: &ChunkId) -> Option<Ask> {
        let place = self.missing.iter().position(|missing| missing == id)?;
        self.missing.remove(place);
        self.fetching += 1;
        Some(Ask::Keep { op: self.ops.draw(), id: *id })
    }

    /// The next thing it wants; drained to None.
    pub fn poll(&mut self) -> Option<KeepOutput> {
        if let Some(ask) = self.asks.pop_front() {
            return Some(KeepOutput::Ask(ask));
        }
        self.finished.take().map(KeepOutput::Finished)
    }

    /// A node of the manifest came, or cannot be had.
    fn node_came(&mut self, id: ChunkId, bytes: Option<Vec<u8>>) {
        if self.awaited != Some(id) {
            return;
        }
        self.awaited = None;
        match bytes {
            Some(bytes) => {
                if let Err(error) = self.cursor.give(id, bytes) {
                    self.end(KeepEnd::Damaged { reason: error.to_string() });
                }
            }
            None => {
                self.lacking += 1;
                self.walked = true;
            }
        }
    }

    /// The store said which of a page it has.
    fn page_came(&mut self, op: Op, have: &[bool]) {
        let Some(ids) = self.asked.remove(&op) else { return };
        for (id, have) in ids.into_iter().zip(have) {
            if *have {
                self.progress.held += 1;
            } else if self.recounts {
                self.groups.remove(Group::of(&id));
                self.is_short = true;
            } else {
                self.missing.push_back(id);
            }
        }
    }

    /// A missing chunk came, or cannot be had.
    fn chunk_came(&mut self, length: Option<u64>) {
        self.fetching = self.fetching.saturating_sub(1);
        match length {
            Some(length) => {
                self.progress.held += 1;
                self.progress.fetched_bytes += length;
            }
            None => self.lacking += 1,
        }
    }

    /// Asks for as much as the windows allow, and sees whether it is done.
    fn advance(&mut self) {
        if self.state != State::Walking {
            return;
        }
        while self.fetching < FETCH_CHUNKS_MAX {
            let Some(id) = self.missing.pop_front() else { break };
            self.fetching += 1;
            self.asks.push_back(Ask::Keep { op: self.ops.draw(), id });
        }
        while !self.walked
            && self.awaited.is_none()
            && self.missing.is_empty()
            && self.asked.len() < PAGES_ASKED_MAX
        {
            if !self.walk() {
                return;
            }
        }
        let idle = self.asked.is_empty() && self.missing.is_empty() && self.fetching == 0;
        if self.walked && idle && self.awaited.is_none() && self.finished.is_none() {
            if self.lacking > 0 || self.groups.is_empty() {
                self.end(KeepEnd::Lacking { chunks: self.lacking.max(1) });
            } else {
                self.state = State::Flushing;
                self.asks.push_back(Ask::Store(Request::Flush { op: self.ops.draw() }));
            }
        }
    }

    /// Walks on until a page is full or a node is needed. False when it ended in failure.
    fn walk(&mut self) -> bool {
        loop {
            match self.cursor.step() {
                Ok(Step::Entry { key, .. }) => {
                    let Ok(bytes) = <[u8; 32]>::try_from(key) else {
                        self.end(KeepEnd::Damaged { reason: "a key of the manifest is no chunk id".into() });
                        return false;
                    };
                    let id = ChunkId::from_bytes(bytes);
                    if self.groups.contains(Group::of(&id)) {
                        self.page.push(id);
                        self.progress.seen += 1;
                    }
                    if self.page.len() >= PAGE_IDS_MAX {
                        self.ask_page();
                        return true;
                    }
                }
                Ok(Step::Need(id)) => {
                    self.awaited = Some(id);
                    self.asks.push_back(Ask::Chunk { op: self.ops.draw(), id });
                    return true;
                }
                Ok(Step::End) => {
                    self.walked = true;
                    self.ask_page();
                    return true;
                }
                Err(error) => {
                    self.end(KeepEnd::Damaged { reason: error.to_string() });
                    return false;
                }
            }
        }
    }

    /// Asks the store about the page.
    fn ask_page(&mut self) {
        if self.page.is_empty() {
            return;
        }
        let op = self.ops.draw();
        let ids = std::mem::take(&mut self.page);
        self.asked.insert(op, ids.clone());
        self.asks.push_back(Ask::Store(Request::Has { op, ids }));
    }

    /// Nothing more will be asked.
    fn end(&mut self, end: KeepEnd) {
        self.state = State::Over;
        self.asks.clear();
        self.finished = Some(end);
    }
}

/// Pages whose answer is awaited at once.
const PAGES_ASKED_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::map::{MapBuilder, NodeParts};
    use crate::node::manifest::MANIFEST_MAP_KEY;
    use crate::store::service::StoreError;
    use sha2::{Digest, Sha256};

    /// A keep that has walked its manifest of one chunk, asked for that chunk, and was told that it came.
    fn fetched() -> Keep {
        let mut node = Vec::new();
        let mut builder = MapBuilder::new(&MANIFEST_MAP_KEY);
        let mut seal = |parts: NodeParts<'_>| {
            node = [parts.compress, parts.follow].concat();
            ChunkId::from_bytes(Sha256::digest(&node).into())
        };
        builder.push(&[7; 32], &[], &[], &mut seal).unwrap();
        let root = builder.finish(&mut seal).unwrap();
        let mut keep = Keep::new(SnapshotId::from_bytes([1; 32]), root, GroupSet::all(), 9);
        loop {
            let Some(KeepOutput::Ask(ask)) = keep.poll() else { panic!("it asks on") };
            match ask {
                Ask::Store(Request::Save { op, .. }) => {
                    keep.told(Told::Store(Reply::Save { op, result: Ok(()) }))
                }
                Ask::Store(Request::Has { op, .. }) => {
                    keep.told(Told::Store(Reply::Has { op, have: vec![false] }));
                }
                Ask::Chunk { op, id } => keep.told(Told::Chunk { op, id, result: Ok(node.clone()) }),
                Ask::Keep { op, id } => {
                    keep.told(Told::Kept { op, id, result: Ok(5) });
                    return keep;
                }
                other => panic!("a keep does not ask for {other:?}"),
            }
        }
    }

    #[test]
    fn another_try_does_not_write_its_pin_again() {
        let begin =
            || Keep::new(SnapshotId::from_bytes([1; 32]), ChunkId::from_bytes([2; 32]), GroupSet::all(), 9);
        assert!(matches!(begin().poll(), Some(KeepOutput::Ask(Ask::Store(Request::Save { .. })))));
        assert!(matches!(begin().pinned().poll(), Some(KeepOutput::Ask(Ask::Chunk { .. }))));
    }

    #[test]
    fn a_chunk_that_the_disk_refused_is_never_receipted_though_the_last_sync_goes_well() {
        let mut keep = fetched();
        let Some(KeepOutput::Ask(Ask::Store(Request::Flush { op }))) = keep.poll() else {
            panic!("it syncs")
        };
        keep.put_failed("full");
        keep.told(Told::Store(Reply::Flush { op, result: Ok(()) }));
        let ended = KeepEnd::Disk { reason: "full".into() };
        assert!(matches!(keep.poll(), Some(KeepOutput::Finished(end)) if end == ended));
        assert!(keep.poll().is_none());
    }

    #[test]
    fn a_question_that_the_store_cannot_answer_ends_it() {
        let mut keep = fetched();
        let error = StoreError::TooMuch { what: "ids", found: 2, limit: 1 };
        keep.told(Told::Store(Reply::Failed { op: 1, error }));
        assert!(matches!(keep.poll(), Some(KeepOutput::Finished(KeepEnd::Disk { .. }))));
    }
}
