//! Restore: a walk over a snapshot's tree that comes out as a stream of frames (`node/frames.rs`).
//!
//! ```text
//!   Seeking --path found--> Walking --tree's end--> (parts run out) --> Finished
//!
//!   tree --fill--> parts: frames that are ready, chunks on their way --drain--> pieces of the stream, in order
//! ```
//!
//! Owns the order: chunks of this file and the next ones are asked for ahead, and leave in the order of the tree
//! (`node/parts.rs`, `node/stream.rs`). What cannot be had is told as [`Frame::Lost`], and the rest goes on. Trees may
//! come from a device that was taken over: no path that leads out of the target leaves here, and nothing below what is no
//! directory. The frames are written to disk elsewhere, with the rights of whoever asked.

use std::collections::VecDeque;

use super::api::ApiError;
use super::duty::{Ask, Ops, Told};
use super::frames::Frame;
use super::lookup::{lost, wanted_key, Seek, Sought};
use super::parts::{Part, Parts, Placed, Source};
use super::ports::Ending;
use super::reader::{Form, Reader, Seen};
use super::stream::Stream;
use crate::base::ids::{ChunkId, SnapshotId};
use crate::base::limits::{CALL_PIECES_MAX, STEPS_PER_TURN_MAX};
use crate::file::entry::{Attributes, Content, Entry, InlineCodec, Kind, Piece};
use crate::file::tree::{check_key, is_within, parent_of, path_of};
use crate::seal::sealed::Sealer;
use crate::store::service::Op;

mod asked;
pub mod read;
pub mod selection;

use self::selection::{ContentOf, Selection};

/// What is to be restored.
#[derive(Debug, Clone)]
pub struct RestoreJob {
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// Root of its tree.
    pub tree: ChunkId,
    /// Only this path and what is below it (`/` or 0x00 between components); empty: all of it.
    pub path: Vec<u8>,
    /// The content of which files.
    pub content: ContentOf,
    /// The snapshot is a partial one.
    pub partial: bool,
    /// Files of the whole snapshot.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What a restore wants, or gives.
#[derive(Debug)]
pub enum RestoreOutput {
    /// Of the core.
    Ask(Ask),
    /// The next bytes of the stream.
    Piece(Vec<u8>),
    /// It is over.
    Finished(Result<Ending, ApiError>),
}

/// A restore.
#[derive(Debug)]
pub struct Restore {
    /// What is to be done.
    job: RestoreJob,
    /// The wanted key.
    key: Vec<u8>,
    /// How much of a key is not shown: what the wanted entry is in.
    hidden: usize,
    /// Which content is given.
    selection: Selection,
    /// Numbers of what is asked.
    ops: Ops,
    /// What is asked.
    asks: VecDeque<Ask>,
    /// The tree.
    reader: Reader,
    /// Where it stands.
    state: State,
    /// The file whose pieces are being queued.
    file: Option<Queued>,
    /// Files queued so far: their numbers.
    file_number: u64,
    /// The last key that is no directory: nothing may be below it.
    leaf: Vec<u8>,
    /// What waits for those before it.
    parts: Parts,
    /// What leaves.
    stream: Stream,
    /// Pieces that the client has room for.
    credit: usize,
    /// Unpacks small content.
    inline: InlineCodec,
    /// Nothing can be done before something is told.
    idle: bool,
    /// This turn's work is done.
    worked: bool,
}

/// The states of a [`Restore`].
#[derive(Debug)]
enum State {
    /// The path is looked for.
    Seeking(Seek),
    /// The tree is walked.
    Walking,
    /// The walk is over; parts are still on their way.
    Draining,
    /// It ended, and that was not told yet.
    Ended(Result<Ending, ApiError>),
    /// That was told.
    Over,
}

/// A file whose pieces are being queued.
#[derive(Debug)]
struct Queued {
    /// Its place.
    placed: Placed,
    /// Its pieces, or the list of them.
    source: Source,
}

impl Restore {
    /// A restore that has not begun; `duty` numbers its operations.
    #[must_use]
    pub fn new(job: RestoreJob, duty: u64) -> Self {
        let (key, state) = match wanted_key(&job.path) {
            Ok(key) => (key.clone(), State::Seeking(Seek::new(key))),
            Err(error) => (Vec::new(), State::Ended(Err(error))),
        };
        let parent = parent_of(&key).len();
        let hidden = if parent == 0 { 0 } else { parent + 1 };
        let selection = Selection::of(&job.content, &key[..hidden]);
        Self {
            hidden,
            selection,
            key,
            ops: Ops::new(duty),
            asks: VecDeque::new(),
            reader: Reader::new(job.tree, Form::Tree),
            state,
            file: None,
            file_number: 0,
            leaf: Vec::new(),
            parts: Parts::default(),
            stream: Stream::new(job.content == ContentOf::None),
            credit: CALL_PIECES_MAX,
            inline: InlineCodec::new(),
            idle: false,
            worked: false,
            job,
        }
    }

    /// There is work to do without waiting for an answer.
    #[must_use]
    pub fn busy(&self) -> bool {
        !self.idle && !matches!(self.state, State::Over)
    }

    /// The client took a piece.
    pub fn taken(&mut self) {
        self.credit = (self.credit + 1).min(CALL_PIECES_MAX);
        self.idle = false;
    }

    /// Takes an answer.
    pub fn told(&mut self, told: Told, sealer: &mut Sealer) {
        self.idle = false;
        let Told::Chunk { op, result, .. } = told else { return };
        if self.reader.has_asked(op) {
            self.reader.chunk_came(op, result, sealer);
            return;
        }
        if let Some(list) = self.file.as_mut().and_then(|file| file.source.reader_of(op)) {
            list.chunk_came(op, result, sealer);
            return;
        }
        self.parts.came(op, result);
    }

    /// The next thing it wants or gives; drained to None. At most one chunk is opened until then.
    pub fn poll(&mut self, sealer: &mut Sealer) -> Option<RestoreOutput> {
        loop {
            if let Some(ask) = self.asks.pop_front() {
                return Some(RestoreOutput::Ask(ask));
            }
            if self.credit > 0 {
                if let Some(piece) = self.stream.pop() {
                    self.credit -= 1;
                    return Some(RestoreOutput::Piece(piece));
                }
            }
            if self.stream.is_empty() {
                if let State::Ended(_) = self.state {
                    let State::Ended(result) = std::mem::replace(&mut self.state, State::Over) else {
                        return None;
                    };
                    return Some(RestoreOutput::Finished(result));
                }
            }
            if self.idle || self.worked {
                self.worked = false;
                return None;
            }
            self.idle = !self.work(sealer);
            self.worked = !self.idle;
        }
    }

    /// Does a turn's work. False if nothing can be done before something is told.
    fn work(&mut self, sealer: &mut Sealer) -> bool {
        match &mut self.state {
            State::Over | State::Ended(_) => false,
            State::Seeking(seek) => match seek.look(&mut self.reader, &mut self.ops, &mut self.asks) {
                Sought::Wait => false,
                Sought::Failed(error) => {
                    self.state = State::Ended(Err(error));
                    true
                }
                Sought::Found => {
                    self.state = State::Walking;
                    let RestoreJob { snapshot, files, bytes, partial, .. } = self.job;
                    self.stream.frame(&Frame::Begin { snapshot: snapshot.hex(), files, bytes, partial });
                    true
                }
            },
            State::Walking | State::Draining => {
                let filled = self.fill();
                let drained = self.drain(sealer);
                filled || drained
            }
        }
    }

    /// Queues parts while there is room. True if it did anything.
    fn fill(&mut self) -> bool {
        for step in 0..STEPS_PER_TURN_MAX {
            if self.parts.are_full() || !matches!(self.state, State::Walking) {
                return step > 0;
            }
            let went_on = if self.file.is_some() { self.fill_file() } else { self.fill_tree() };
            if !went_on {
                return step > 0;
            }
        }
        true
    }

    /// Queues the next piece of the file. False if it waits.
    fn fill_file(&mut self) -> bool {
        let Some(queued) = &mut self.file else { return false };
        if self.stream.is_spoiled(queued.placed.file) {
            self.file = None;
            return true;
        }
        let placed = queued.placed.clone();
        let Some(piece) = queued.source.next(&mut self.ops, &mut self.asks) else { return false };
        match piece {
            None => self.file = None,
            Some(Ok(Piece::Hole { length })) => self.parts.push(placed, Part::Hole(length)),
            Some(Ok(Piece::Chunk { id, length })) => {
                let op = self.ask(id);
                self.parts.push(placed, Part::Chunk { op, length, came: None });
            }
            Some(Err(reason)) => {
                self.parts.push(placed, Part::Lost(reason));
                self.file = None;
            }
        }
        true
    }

    /// Queues the next entry of the tree. False if it waits.
    fn fill_tree(&mut self) -> bool {
        match self.reader.look(&mut self.ops, &mut self.asks) {
            Seen::Wait => false,
            Seen::End => {
                self.state = State::Draining;
                true
            }
            Seen::Lost { reason, .. } if self.reader.nodes() == 0 => {
                self.state = State::Ended(Err(lost(&reason)));
                true
            }
            Seen::Lost { reason, .. } => {
                self.reader.skip();
                self.lose_part(format!("a part of the tree cannot be had: {reason}"));
                true
            }
            Seen::Entry if !is_within(self.reader.key(), &self.key) => {
                self.state = State::Draining;
                true
            }
            Seen::Entry => {
                self.entry();
                self.reader.advance();
                true
            }
        }
    }

    /// Queues the entry that the walk stands on.
    fn entry(&mut self) {
        let key = self.reader.key();
        let below_leaf = !self.leaf.is_empty() && is_within(key, &self.leaf);
        if check_key(key).is_err() || below_leaf || key.len() < self.hidden {
            return self.lose_part("an entry has an impossible path; it was left out".into());
        }
        let key = key.to_vec();
        self.file_number += 1;
        let placed = Placed { file: self.file_number, path: path_of(&key[self.hidden..]) };
        let entry = match Entry::decode(self.reader.value()) {
            Ok(entry) => entry,
            Err(error) => return self.parts.push(placed, Part::Lost(error.to_string())),
        };
        let wanted = entry.kind == Kind::File && self.selection.has(&key);
        if entry.kind != Kind::Directory {
            self.leaf = key;
        }
        self.queue(placed, entry, wanted);
    }

    /// Queues an entry and what is known of its content.
    fn queue(&mut self, placed: Placed, entry: Entry, wanted: bool) {
        let Entry { kind, stat, attributes, content, torn, texture: _, version: _ } = entry;
        let target = match &content {
            Content::Target(target) => Some(target.clone()),
            _ => None,
        };
        let path = placed.path.clone();
        match attributes {
            Attributes::Here(attributes) => {
                let frame = Frame::Entry { path, kind, stat, attributes, target, torn };
                self.parts.push(placed.clone(), Part::Entry(Box::new(frame)));
            }
            Attributes::Away { id } => {
                let frame = Frame::Entry { path, kind, stat, attributes: Vec::new(), target, torn };
                let op = self.ask(id);
                self.parts.push(placed.clone(), Part::EntryAway { op, frame: Box::new(frame), came: None });
            }
        }
        let source = match content {
            Content::None | Content::Target(_) => return,
            _ if self.job.content == ContentOf::None => return,
            _ if !wanted => return self.parts.push(placed, Part::LeftOut),
            Content::Inline => {
                let part = match self.inline.unpack(self.reader.tail()) {
                    Ok(plain) => Part::Data(plain),
                    Err(error) => Part::Lost(error.to_string()),
                };
                return self.parts.push(placed, part);
            }
            Content::Pieces(pieces) => Source::Here(pieces.into_iter()),
            Content::List { root, .. } => Source::List(Box::new(Reader::new(root, Form::Pieces))),
        };
        self.file = Some(Queued { placed, source });
    }

    /// Queues the loss of a part of the tree, under the path that was asked for.
    fn lose_part(&mut self, reason: String) {
        self.file_number += 1;
        let path = path_of(self.key.get(self.hidden..).unwrap_or_default());
        self.parts.push(Placed { file: self.file_number, path }, Part::Lost(reason));
    }

    /// Asks for a chunk.
    fn ask(&mut self, id: ChunkId) -> Op {
        let op = self.ops.draw();
        self.asks.push_back(Ask::Chunk { op, id });
        op
    }

    /// Sends parts that are ready while the client has room. True if it did anything.
    fn drain(&mut self, sealer: &mut Sealer) -> bool {
        let mut did = false;
        while self.stream.has_room() {
            let Some((placed, part)) = self.parts.pop_ready() else { break };
            did = true;
            if self.stream.part(placed, part, sealer) {
                return true;
            }
        }
        if self.parts.is_empty() && matches!(self.state, State::Draining) {
            self.state = State::Ended(Ok(self.stream.end()));
            return true;
        }
        // The next part may take long to come.
        did || (self.stream.is_empty() && self.stream.flush())
    }
}
