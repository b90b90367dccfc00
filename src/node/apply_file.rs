//! One thing of a shared folder on its way to the disk: the content of a file from chunks, written aside; attributes.
//!
//! Chunks are asked for ahead (`node/parts.rs`) and handed to the file thread in order, a few at a time. Decides nothing about names:
//! `node/apply_pass.rs` places what is filled here.

use super::duty::{Ask, ChunkLost};
use super::parts::{Part, Parts, Placed, Source};
use super::ports::{FileError, FileErrorKind, FileRequest};
use super::put::{Act, Put, Thing};
use super::reader::{Form, Reader};
use super::sink::Out;
use super::stream::open;
use crate::base::limits::PUTS_AHEAD_MAX;
use crate::file::entry::{self, decode_attributes, Attributes, InlineCodec, Kind, Piece};
use crate::file::merge::Version;
use crate::file::tree::path_of;
use crate::seal::sealed::{ChunkKind, Sealer};
use crate::store::service::Op;

/// What a step did.
#[derive(Debug)]
pub(super) enum Content {
    /// It waits for an answer.
    Wait,
    /// It did something.
    Worked,
    /// All of it is ready for its place.
    Filled(Box<Filled>),
    /// It cannot be had, or not be here.
    Lost(Box<Version>, FileError),
}

/// Something that is ready for its place.
#[derive(Debug)]
pub(super) struct Filled {
    /// What it is.
    pub(super) version: Version,
    /// The same in the words of the file thread.
    pub(super) thing: Thing,
    /// Extended attributes.
    pub(super) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// What stood in its way was given another name.
    pub(super) is_aside: bool,
}

/// A chunk that is on its way, or came.
type Away = (Op, Option<Result<Vec<u8>, ChunkLost>>);

/// Something that is being made ready.
#[derive(Debug)]
pub(super) struct Filling {
    /// What it is.
    version: Option<Version>,
    /// Length of the path of the directory above it in which a disk is mounted.
    mount: usize,
    /// Its attributes, once they are here.
    attributes: Option<Vec<(Vec<u8>, Vec<u8>)>>,
    /// The chunk with its attributes.
    away: Option<Away>,
    /// Where its pieces come from; None when all were asked for.
    source: Option<Source>,
    /// Pieces on their way.
    parts: Parts,
    /// Acts that were not answered.
    asked: usize,
    /// The file was begun.
    begun: bool,
    /// It was told that the file will not be placed.
    dropped: bool,
    /// Why it cannot be had.
    failed: Option<FileError>,
}

impl Filling {
    /// Nothing was asked for yet.
    pub(super) fn new(version: Version, mount: usize) -> Self {
        Self {
            version: Some(version),
            mount,
            attributes: None,
            away: None,
            source: None,
            parts: Parts::default(),
            asked: 0,
            begun: false,
            dropped: false,
            failed: None,
        }
    }

    /// Takes a chunk.
    pub(super) fn chunk_came(&mut self, op: Op, result: Result<Vec<u8>, ChunkLost>, sealer: &mut Sealer) {
        match &mut self.away {
            Some((asked, came)) if *asked == op => *came = Some(result),
            _ => match self.source.as_mut().and_then(|source| source.reader_of(op)) {
                Some(list) => drop(list.chunk_came(op, result, sealer)),
                None => self.parts.came(op, result),
            },
        }
    }

    /// Takes an answer of the file thread.
    pub(super) fn put_came(&mut self, error: Option<FileError>) {
        self.asked = self.asked.saturating_sub(1);
        if self.failed.is_none() {
            self.failed = error;
        }
    }

    /// Does at most one chunk's work.
    pub(super) fn step(&mut self, root: &[u8], out: &mut Out<'_>) -> Content {
        let Some(version) = self.version.take() else { return Content::Wait };
        if !self.begun {
            self.begin(&version, root, out);
            self.version = Some(version);
            return Content::Worked;
        }
        if self.failed.is_some() {
            return self.give_up(version, root, out);
        }
        let worked = self.take_attributes(out) | self.fill(out) | self.drain(&version, root, out);
        let is_whole = self.source.is_none() && self.parts.is_empty() && self.asked == 0;
        if is_whole && self.failed.is_none() {
            if let Some(attributes) = self.attributes.take() {
                let thing = Thing::from(&version);
                let filled = Filled { version, thing, attributes, is_aside: false };
                return Content::Filled(Box::new(filled));
            }
        }
        self.version = Some(version);
        if worked {
            Content::Worked
        } else {
            Content::Wait
        }
    }

    /// Begins: a file is opened aside, and what lies in chunks is asked for.
    fn begin(&mut self, version: &Version, root: &[u8], out: &mut Out<'_>) {
        self.begun = true;
        match &version.entry.attributes {
            Attributes::Here(attributes) => self.attributes = Some(attributes.clone()),
            Attributes::Away { id } => {
                let op = out.sink.ops.draw();
                out.sink.asks.push_back(Ask::Chunk { op, id: *id });
                self.away = Some((op, None));
            }
        }
        if version.entry.kind != Kind::File {
            return;
        }
        self.put(version, root, Act::Begin(version.entry.stat.size), out);
        match &version.entry.content {
            entry::Content::None | entry::Content::Target(_) => {}
            entry::Content::Inline => match InlineCodec::new().unpack(&version.tail) {
                Ok(plain) => self.put(version, root, Act::Data(plain), out),
                Err(error) => self.fail(error.to_string()),
            },
            entry::Content::Pieces(pieces) => self.source = Some(Source::Here(pieces.clone().into_iter())),
            entry::Content::List { root, .. } => {
                self.source = Some(Source::List(Box::new(Reader::new(*root, Form::Pieces))));
            }
        }
    }

    /// It cannot be had: what was begun is dropped.
    fn give_up(&mut self, version: Version, root: &[u8], out: &mut Out<'_>) -> Content {
        if self.asked > 0 {
            self.version = Some(version);
            return Content::Wait;
        }
        if !self.dropped {
            self.dropped = true;
            self.put(&version, root, Act::Drop, out);
            self.version = Some(version);
            return Content::Worked;
        }
        let failed = self.failed.take();
        Content::Lost(Box::new(version), failed.unwrap_or_else(|| lost(String::new())))
    }

    /// It cannot be had.
    fn fail(&mut self, reason: String) {
        self.failed = Some(lost(reason));
    }

    /// Opens attributes that came.
    fn take_attributes(&mut self, out: &mut Out<'_>) -> bool {
        let Some((_, came @ Some(_))) = &mut self.away else { return false };
        let opened = open(came.take(), ChunkKind::Attributes, out.sealer)
            .and_then(|plain| decode_attributes(&plain).map_err(|error| error.to_string()));
        self.away = None;
        match opened {
            Ok(attributes) => self.attributes = Some(attributes),
            Err(reason) => self.fail(format!("its attributes cannot be had: {reason}")),
        }
        true
    }

    /// Asks for pieces ahead.
    fn fill(&mut self, out: &mut Out<'_>) -> bool {
        let mut did = false;
        while !self.parts.are_full() {
            let Some(source) = &mut self.source else { break };
            let Some(piece) = source.next(&mut out.sink.ops, &mut out.sink.asks) else { break };
            did = true;
            match piece {
                None => self.source = None,
                Some(Ok(Piece::Hole { length })) => self.parts.push(Placed::default(), Part::Hole(length)),
                Some(Ok(Piece::Chunk { id, length })) => {
                    let op = out.sink.ops.draw();
                    out.sink.asks.push_back(Ask::Chunk { op, id });
                    self.parts.push(Placed::default(), Part::Chunk { op, length, came: None });
                }
                Some(Err(reason)) => {
                    self.fail(reason);
                    self.source = None;
                }
            }
        }
        did
    }

    /// Hands the next piece to the file thread.
    fn drain(&mut self, version: &Version, root: &[u8], out: &mut Out<'_>) -> bool {
        if self.asked >= PUTS_AHEAD_MAX {
            return false;
        }
        let Some((_, part)) = self.parts.pop_ready() else { return false };
        match part {
            Part::Hole(length) => self.put(version, root, Act::Hole(length), out),
            Part::Chunk { length, came, .. } => match open(came, ChunkKind::Content, out.sealer) {
                Ok(plain) if u32::try_from(plain.len()) == Ok(length) => {
                    self.put(version, root, Act::Data(plain), out);
                }
                Ok(_) => self.fail("a chunk has another length than the tree says".into()),
                Err(reason) => self.fail(reason),
            },
            Part::Entry(_) | Part::EntryAway { .. } | Part::Data(_) | Part::LeftOut | Part::Lost(_) => {}
        }
        true
    }

    /// Asks the file thread for an act.
    fn put(&mut self, version: &Version, root: &[u8], act: Act, out: &mut Out<'_>) {
        let op = out.sink.ops.draw();
        self.asked += 1;
        let (root, path) = (root.to_vec(), path_of(&version.key));
        let mount = self.mount;
        out.sink.asks.push_back(Ask::File(FileRequest::Put(Put { op, root, path, mount, act })));
    }
}

/// An error of which nobody knows more.
fn lost(detail: String) -> FileError {
    FileError { kind: FileErrorKind::Failed, detail }
}

impl From<&Version> for Thing {
    fn from(version: &Version) -> Self {
        match (version.entry.kind, &version.entry.content) {
            (Kind::Directory, _) => Self::Directory,
            (Kind::Symlink, entry::Content::Target(target)) => Self::Symlink(target.clone()),
            _ => Self::File,
        }
    }
}
