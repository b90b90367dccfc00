//! An upload: what a client sends becomes chunks that the store has, and a manifest of them; no tree names them yet.
//!
//! ```text
//!   More --first bytes--> Reading (cut, seal, list) --all--> Manifest --> Flush --> Finished
//! ```
//!
//! One piece is asked for when the one before it is cut, so a client that is faster than the disk waits, and memory is bounded.
//! The cutting is that of a scan (`node/content.rs`); what it asks of the file thread is answered here from what has come.
//! The duty stays, and with it a collection waits, until what was sent is part of a snapshot (`node/editing.rs`).

use std::collections::VecDeque;
use std::rc::Rc;

use super::api::PutFile;
use super::content::{Reading, Stepped, Tools, Whole};
use super::duty::{Ask, Ops, Told};
use super::manifest::{Merge, Merged};
use super::outcome::BackupError;
use super::ports::{Block, Extent, FileRequest};
use super::sink::{Out, Sink};
use crate::base::ids::{ChunkId, FolderId};
use crate::file::cut::Gear;
use crate::file::entry::texture::Texture;
use crate::file::entry::{Content, InlineCodec};
use crate::seal::sealed::Sealer;
use crate::store::service::{Op, Reply, Request};

/// What an upload wants, or tells.
#[derive(Debug)]
pub enum UploadOutput {
    /// Of the core.
    Ask(Ask),
    /// The next piece of what the client sends.
    More,
    /// All of it is durable in the store.
    Finished(Result<Box<Uploaded>, BackupError>),
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// Where its content is.
    pub content: Content,
    /// The content itself, packed, if it is small.
    pub tail: Vec<u8>,
    /// What it looks like.
    pub texture: Texture,
    /// Its length in bytes.
    pub length: u64,
    /// A manifest of its chunks, if there are any.
    pub manifest: Option<ChunkId>,
    /// Sealed bytes that the store did not have.
    pub new_bytes: u64,
}

/// What is sent, and what it is for.
#[derive(Debug, Clone)]
pub struct UploadJob {
    /// The shared folder.
    pub folder: FolderId,
    /// Where in it.
    pub key: Vec<u8>,
    /// What is known of the file.
    pub file: PutFile,
    /// The call waits until it is protected.
    pub wait: bool,
    /// The vault's cut key.
    pub cut_key: [u8; 32],
    /// The vault's map key.
    pub map_key: [u8; 32],
}

/// An upload.
#[derive(Debug)]
pub struct Upload {
    /// What is to be done.
    pub(super) job: UploadJob,
    /// Number of the duty, and of its temporary set.
    duty: u64,
    /// The way into the store, and all that is asked.
    sink: Sink,
    /// How content is cut and packed.
    tools: Tools,
    /// What has come and is not cut yet.
    came: VecDeque<Vec<u8>>,
    /// The client has sent everything.
    ended: bool,
    /// A piece was asked for.
    asked: bool,
    /// The read that waits for it.
    wanted: Option<Op>,
    /// Where it stands.
    state: State,
    /// Nothing can be done before something is told.
    idle: bool,
    /// This turn's work is done.
    worked: bool,
}

/// The states of an [`Upload`].
#[derive(Debug)]
enum State {
    /// Nothing has come.
    Begin,
    /// It is cut.
    Reading(Box<Reading>),
    /// Its chunks are listed.
    Manifest(Whole, Box<Merge>),
    /// The last sync of the store is awaited.
    Flush(Op, Box<Uploaded>),
    /// It ended, and that was not told yet.
    Ended(Result<Box<Uploaded>, BackupError>),
    /// That was told.
    Over,
}

impl Upload {
    /// An upload that has not begun; `duty` numbers its operations.
    #[must_use]
    pub fn new(job: UploadJob, duty: u64) -> Self {
        let gear = Rc::new(Gear::new(&job.cut_key));
        Self {
            duty,
            sink: Sink::new(Ops::new(duty), duty),
            tools: Tools { gear, map_key: job.map_key, inline: InlineCodec::new(), root: Vec::new() },
            came: VecDeque::new(),
            ended: false,
            asked: false,
            wanted: None,
            state: State::Begin,
            idle: false,
            worked: false,
            job,
        }
    }

    /// What it puts now are nodes of a manifest.
    #[must_use]
    pub const fn is_listing(&self) -> bool {
        matches!(self.state, State::Manifest(..) | State::Flush(..))
    }

    /// There is work to do without waiting for an answer.
    #[must_use]
    pub fn busy(&self) -> bool {
        !self.idle && !matches!(self.state, State::Over)
    }

    /// The client sent a piece; `end`: the last one.
    pub fn data(&mut self, bytes: Vec<u8>, end: bool) {
        self.idle = false;
        self.asked = false;
        self.ended |= end;
        if !bytes.is_empty() {
            self.came.push_back(bytes);
        }
    }

    /// Takes an answer.
    pub fn told(&mut self, told: Told) {
        self.idle = false;
        let Told::Store(reply) = told else { return };
        let Some(reply) = self.sink.told(reply) else { return };
        if let State::Manifest(_, merge) = &mut self.state {
            merge.told(reply, &mut self.sink);
            return;
        }
        match (std::mem::replace(&mut self.state, State::Over), reply) {
            (State::Flush(asked, mut uploaded), Reply::Flush { op, result }) if asked == op => {
                uploaded.new_bytes = self.sink.new_bytes();
                self.end(result.map(|()| uploaded).map_err(BackupError::Store));
            }
            (state, _) => self.state = state,
        }
    }

    /// The next thing it wants or tells; drained to None. At most one piece is cut and sealed until then.
    pub fn poll(&mut self, sealer: &mut Sealer) -> Option<UploadOutput> {
        loop {
            if let (false, Some(error)) =
                (matches!(self.state, State::Ended(_) | State::Over), self.sink.take_failure())
            {
                self.end(Err(error));
            }
            match self.sink.asks.pop_front() {
                Some(Ask::File(FileRequest::Read { op, .. })) => {
                    self.wanted = Some(op);
                    continue;
                }
                Some(ask) => return Some(UploadOutput::Ask(ask)),
                None => {}
            }
            if self.wants_more() {
                self.asked = true;
                return Some(UploadOutput::More);
            }
            match std::mem::replace(&mut self.state, State::Over) {
                State::Ended(result) => return Some(UploadOutput::Finished(result)),
                going => self.state = going,
            }
            if self.idle || self.worked || matches!(self.state, State::Over) {
                self.worked = false;
                return None;
            }
            self.idle = !self.work(sealer);
            self.worked = !self.idle;
        }
    }

    /// Whether the client may send another piece.
    fn wants_more(&self) -> bool {
        let waits = matches!(self.state, State::Begin) || self.wanted.is_some();
        waits && self.came.is_empty() && !self.ended && !self.asked
    }

    /// What has come, as a file thread would have read it; None: nothing has.
    fn block(&mut self) -> Option<Block> {
        let bytes = self.came.pop_front();
        if bytes.is_none() && !self.ended {
            return None;
        }
        let extents = bytes.into_iter().map(Extent::Data).collect();
        Some(Block { extents, end: self.ended && self.came.is_empty(), after: None })
    }

    /// Does a turn's work. False if nothing can be done before something is told.
    fn work(&mut self, sealer: &mut Sealer) -> bool {
        if !self.sink.has_room() {
            return false;
        }
        match std::mem::replace(&mut self.state, State::Over) {
            State::Begin => {
                let Some(first) = self.block() else {
                    self.state = State::Begin;
                    return false;
                };
                let reading = Reading::new(Vec::new(), u64::MAX, first, &self.tools);
                self.state = State::Reading(Box::new(reading));
                true
            }
            State::Reading(reading) => self.read(reading, sealer),
            State::Manifest(whole, merge) => self.list(whole, merge),
            waiting => {
                self.state = waiting;
                false
            }
        }
    }

    /// Cuts on.
    fn read(&mut self, mut reading: Box<Reading>, sealer: &mut Sealer) -> bool {
        if let Some(op) = self.wanted.take() {
            match self.block() {
                Some(block) => drop(reading.came(op, Ok(block))),
                None => self.wanted = Some(op),
            }
        }
        let stepped = reading.step(&mut self.tools, &mut Out { sealer, sink: &mut self.sink });
        match stepped {
            Stepped::Wait | Stepped::Worked => {
                self.state = State::Reading(reading);
                // It may have asked for the next block, and that may have come.
                matches!(stepped, Stepped::Worked) || !self.sink.asks.is_empty()
            }
            Stepped::Whole(whole) if self.sink.listed() == 0 => {
                self.whole(whole, None);
                true
            }
            Stepped::Whole(whole) => {
                self.sink.flush_ids();
                let merge = Merge::new(self.duty, None, Vec::new());
                self.state = State::Manifest(whole, Box::new(merge));
                true
            }
            Stepped::Failed(error) => {
                self.end(Err(BackupError::Broken { what: error.detail }));
                true
            }
        }
    }

    /// Lists on.
    fn list(&mut self, whole: Whole, mut merge: Box<Merge>) -> bool {
        let merged = merge.step(&mut self.sink);
        match merged {
            Merged::Wait | Merged::Worked => {
                self.state = State::Manifest(whole, merge);
                return matches!(merged, Merged::Worked);
            }
            Merged::Whole(manifest) => self.whole(whole, Some(manifest.root)),
            Merged::ParentLost => {
                let what = "a list of what was sent cannot be made".into();
                self.end(Err(BackupError::Broken { what }));
            }
        }
        true
    }

    /// All of it is in the store's hands.
    fn whole(&mut self, whole: Whole, manifest: Option<ChunkId>) {
        let Whole { content, tail, texture, length, .. } = whole;
        let uploaded = Uploaded { content, tail, texture, length, manifest, new_bytes: 0 };
        self.sink.drop_set();
        let op = self.sink.ops.draw();
        self.sink.asks.push_back(Ask::Store(Request::Flush { op }));
        self.state = State::Flush(op, Box::new(uploaded));
    }

    /// It is over.
    fn end(&mut self, result: Result<Box<Uploaded>, BackupError>) {
        if result.is_err() {
            self.sink.asks.clear();
            self.sink.drop_set();
        }
        self.state = State::Ended(result);
    }
}
