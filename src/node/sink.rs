//! Where a backup's chunks go: into the store, and their ids into a temporary set that becomes the manifest.
//!
//! Owns the windows: bytes on their way to the store, pages of ids on their way into the set. Refuses nothing; whoever
//! produces asks [`Sink::has_room`] first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::duty::{Ask, Ops};
use super::outcome::BackupError;
use crate::base::ids::ChunkId;
use crate::base::limits::{PAGE_IDS_MAX, PUT_BYTES_MAX, SEALED_BYTES_MAX, SET_PAGES_MAX};
use crate::file::map::NodeParts;
use crate::seal::sealed::{ChunkKind, Sealer};
use crate::store::service::{Op, Reply, Request};
use sha2::{Digest, Sha256};

/// The way into the store.
#[derive(Debug)]
pub(super) struct Sink {
    /// Numbers of what is asked.
    pub(super) ops: Ops,
    /// What is asked, in order.
    pub(super) asks: VecDeque<Ask>,
    /// The temporary set.
    set: u64,
    /// Ids listed so far.
    listed: u64,
    /// Ids that will be added next.
    ids: Vec<ChunkId>,
    /// Added pages that the store has not confirmed: an empty question behind each tells when it has come so far.
    barriers: BTreeSet<Op>,
    /// Puts that are not confirmed, with their bytes.
    puts: BTreeMap<Op, u64>,
    /// Their sum.
    put_bytes: u64,
    /// Bytes that the store did not have.
    new_bytes: u64,
    /// Chunks sealed so far.
    sealed: u64,
    /// Those of them that are shorter than what they hold.
    shrunk: u64,
    /// What went wrong; the backup ends with it.
    failed: Option<BackupError>,
}

/// Where a step's work goes.
#[derive(Debug)]
pub(super) struct Out<'a> {
    /// Seals it.
    pub(super) sealer: &'a mut Sealer,
    /// Takes it away.
    pub(super) sink: &'a mut Sink,
}

impl Out<'_> {
    /// Seals content, keeps it, and lists it.
    pub(super) fn seal(&mut self, kind: ChunkKind, compress: &[u8], follow: &[u8]) -> ChunkId {
        let id = self.seal_apart(kind, compress, follow);
        self.sink.list(id);
        id
    }

    /// Seals a piece of a file, keeps it, and lists it; whether it shrinks.
    pub(super) fn seal_content(&mut self, plain: &[u8]) -> (ChunkId, bool) {
        let before = self.sink.shrunk;
        let id = self.seal(ChunkKind::Content, plain, &[]);
        (id, self.sink.shrunk > before)
    }

    /// Seals content and keeps it; whoever asks lists it.
    pub(super) fn seal_apart(&mut self, kind: ChunkKind, compress: &[u8], follow: &[u8]) -> ChunkId {
        match self.sealer.seal(kind, compress, follow) {
            Ok(sealed) => {
                self.sink.shrunk += u64::from(sealed.shrinks(compress.len() + follow.len()));
                self.sink.put(sealed.id, sealed.bytes);
                sealed.id
            }
            Err(error) => {
                self.sink.fail(BackupError::Broken { what: error.to_string() });
                // Named by nobody: the backup has failed.
                ChunkId::from_bytes([0; 32])
            }
        }
    }
}

impl Sink {
    /// A sink whose set has the number `set`.
    pub(super) fn new(ops: Ops, set: u64) -> Self {
        Self {
            ops,
            asks: VecDeque::new(),
            set,
            listed: 0,
            ids: Vec::new(),
            barriers: BTreeSet::new(),
            puts: BTreeMap::new(),
            put_bytes: 0,
            new_bytes: 0,
            sealed: 0,
            shrunk: 0,
            failed: None,
        }
    }

    /// One more chunk or entry may come.
    pub(super) fn has_room(&self) -> bool {
        let chunk = u64::try_from(SEALED_BYTES_MAX).unwrap_or(u64::MAX);
        self.put_bytes + chunk <= PUT_BYTES_MAX && self.barriers.len() < SET_PAGES_MAX
    }

    /// Sealed bytes that the store did not have.
    pub(super) const fn new_bytes(&self) -> u64 {
        self.new_bytes
    }

    /// Chunks sealed so far.
    pub(super) const fn sealed(&self) -> u64 {
        self.sealed
    }

    /// Ids listed so far.
    pub(super) const fn listed(&self) -> u64 {
        self.listed
    }

    /// What went wrong since the last call.
    pub(super) fn take_failure(&mut self) -> Option<BackupError> {
        self.failed.take()
    }

    /// Remembers the first thing that went wrong.
    pub(super) fn fail(&mut self, error: BackupError) {
        self.failed.get_or_insert(error);
    }

    /// Keeps a node of a manifest, which is not sealed and not listed.
    pub(super) fn keep_open(&mut self, parts: NodeParts<'_>) -> ChunkId {
        let mut bytes = Vec::with_capacity(parts.compress.len() + parts.follow.len());
        bytes.extend_from_slice(parts.compress);
        bytes.extend_from_slice(parts.follow);
        let id = ChunkId::from_bytes(Sha256::digest(&bytes).into());
        self.put(id, bytes);
        id
    }

    /// Adds an id to the set.
    pub(super) fn list(&mut self, id: ChunkId) {
        self.listed += 1;
        self.ids.push(id);
        if self.ids.len() >= PAGE_IDS_MAX {
            self.flush_ids();
        }
    }

    /// Sends the ids that wait.
    pub(super) fn flush_ids(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        let ids = std::mem::take(&mut self.ids);
        self.asks.push_back(Ask::Store(Request::SetAdd { set: self.set, ids }));
        let op = self.ops.draw();
        self.barriers.insert(op);
        self.asks.push_back(Ask::Store(Request::Has { op, ids: Vec::new() }));
    }

    /// Forgets the set.
    pub(super) fn drop_set(&mut self) {
        self.ids.clear();
        self.asks.push_back(Ask::Store(Request::SetDrop { set: self.set }));
    }

    /// Takes an answer; gives it back if it is for somebody else.
    pub(super) fn told(&mut self, reply: Reply) -> Option<Reply> {
        match reply {
            Reply::Put { op, result, .. } if self.puts.contains_key(&op) => {
                let bytes = self.puts.remove(&op).unwrap_or(0);
                self.put_bytes -= bytes;
                match result {
                    Ok(true) => self.new_bytes += bytes,
                    Ok(false) => {}
                    Err(error) => self.fail(BackupError::Store(error)),
                }
                None
            }
            Reply::Has { op, .. } if self.barriers.remove(&op) => None,
            Reply::Failed { op, error } if self.barriers.remove(&op) => {
                self.fail(BackupError::Store(error));
                None
            }
            other => Some(other),
        }
    }

    /// Hands bytes to the store.
    fn put(&mut self, id: ChunkId, bytes: Vec<u8>) {
        self.sealed += 1;
        let op = self.ops.draw();
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.puts.insert(op, length);
        self.put_bytes += length;
        self.asks.push_back(Ask::Store(Request::Put { op, id, bytes }));
    }
}
