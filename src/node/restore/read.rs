//! `read`: what is known of one path of a snapshot, and a range of a file's bytes.
//!
//! ```text
//!   Seeking --the path is there--> facts --it has content--> Finding (a list: the piece that the range begins in)
//!                                                                |
//!                                                             Filling --the range's end--> Ended, once all was taken
//! ```
//!
//! Chunks outside of the range are not asked for; those in it a little ahead ([`READ_AHEAD_BYTES`]), from wherever they are, as a
//! restore does (`node/restore.rs`). What is lost ends the answer with an error: half a file is none.

use std::collections::VecDeque;

use serde_json::{json, Value};

use super::super::api::ApiError;
use super::super::duty::{Ask, Ops, Told};
use super::super::list::{entry_line, Lines, ListOutput};
use super::super::lookup::{lost, wanted_key, Seek, Sought};
use super::super::ports::Ending;
use super::super::reader::{Form, Reader};
use super::super::stream::open;
use crate::base::ids::{ChunkId, SnapshotId};
use crate::base::limits::{CALL_PIECES_MAX, CUT_BYTES_MAX, READ_AHEAD_BYTES, READ_PIECE_BYTES};
use crate::file::entry::{Content, Entry, InlineCodec, Kind, Piece};
use crate::file::tree::path_of;
use crate::seal::sealed::{ChunkKind, Sealer};
use crate::store::service::Op;

mod span;

use self::span::{Source, Span};

/// What is to be read.
#[derive(Debug, Clone)]
pub struct ReadJob {
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// Root of its tree.
    pub tree: ChunkId,
    /// `/` or 0x00 between components; empty: the folder itself.
    pub path: Vec<u8>,
    /// The first byte.
    pub offset: u64,
    /// At most so many; None: to the end. Zero: facts only, of whatever stands there.
    pub length: Option<u64>,
}

/// A read.
#[derive(Debug)]
pub struct Read {
    /// What is to be done.
    job: ReadJob,
    /// Numbers of what is asked.
    ops: Ops,
    /// What is asked.
    asks: VecDeque<Ask>,
    /// The tree.
    reader: Reader,
    /// Where it stands.
    state: State,
    /// What is known of the path, until it is told.
    facts: Option<Value>,
    /// What leaves next, in order.
    parts: VecDeque<Part>,
    /// Bytes of content among them, here or awaited.
    ahead: u64,
    /// Pieces that the client has room for.
    credit: usize,
    /// Nothing can be done before something is told.
    idle: bool,
    /// This turn's work is done.
    worked: bool,
}

/// The states of a [`Read`].
#[derive(Debug)]
enum State {
    /// The path is looked for.
    Seeking(Seek),
    /// Pieces are queued.
    Filling(Span),
    /// All was queued, or it failed; that was not told yet.
    Ended(Result<Ending, ApiError>),
    /// That was told.
    Over,
}

/// Something that leaves.
#[derive(Debug)]
enum Part {
    /// Bytes, from the second on.
    Plain(Vec<u8>, usize),
    /// So many zeros.
    Zeros(u64),
    /// A chunk of this length on its way; a part of it is wanted.
    Chunk {
        /// The request.
        op: Op,
        /// The chunk's plain bytes.
        length: u32,
        /// The first that is wanted.
        from: usize,
        /// The first behind it that is not.
        to: usize,
    },
}

impl Read {
    /// A read that has not begun; `duty` numbers its operations.
    #[must_use]
    pub fn new(job: ReadJob, duty: u64) -> Self {
        let state = match wanted_key(&job.path) {
            Ok(key) => State::Seeking(Seek::new(key)),
            Err(error) => State::Ended(Err(error)),
        };
        Self {
            ops: Ops::new(duty),
            asks: VecDeque::new(),
            reader: Reader::new(job.tree, Form::Tree),
            state,
            facts: None,
            parts: VecDeque::new(),
            ahead: 0,
            credit: CALL_PIECES_MAX,
            idle: false,
            worked: false,
            job,
        }
    }

    /// Does a turn's work. False if nothing can be done before something is told.
    fn work(&mut self) -> bool {
        let sought = match &mut self.state {
            State::Over | State::Ended(_) => return false,
            State::Filling(_) => return self.fill(),
            State::Seeking(seek) => seek.look(&mut self.reader, &mut self.ops, &mut self.asks),
        };
        match sought {
            Sought::Wait => return false,
            Sought::Failed(error) => self.state = State::Ended(Err(error)),
            Sought::Found => self.found(),
        }
        true
    }

    /// The path is there: tells what it is.
    fn found(&mut self) {
        let decoded = (!self.job.path.is_empty()).then(|| Entry::decode(self.reader.value()));
        let mut facts = match decoded {
            None => json!({"path": "", "kind": "directory"}),
            Some(Err(error)) => {
                self.state = State::Ended(Err(lost(&error.to_string())));
                return;
            }
            Some(Ok(entry)) => match self.take(&entry) {
                Ok(facts) => facts,
                Err(error) => {
                    self.state = State::Ended(Err(error));
                    return;
                }
            },
        };
        facts["snapshot"] = self.job.snapshot.hex().into();
        self.facts = Some(facts);
        if matches!(self.state, State::Seeking(_)) {
            self.state = State::Ended(Ok(Ending::Complete));
        }
    }

    /// Begins with what the entry has.
    fn take(&mut self, entry: &Entry) -> Result<Value, ApiError> {
        let path = path_of(self.reader.key());
        let mut facts = Value::Object(entry_line(&path, entry));
        facts["mtime_ns"] = entry.stat.mtime_ns.into();
        if entry.kind != Kind::File {
            return match self.job.length {
                Some(0) => Ok(facts),
                _ => Err(no_file(&path, entry.kind)),
            };
        }
        let mut plain = Vec::new();
        if entry.content == Content::Inline {
            plain =
                InlineCodec::new().unpack(self.reader.tail()).map_err(|error| lost(&error.to_string()))?;
        }
        let length = u64::try_from(plain.len()).unwrap_or(u64::MAX);
        let size = match &entry.content {
            Content::Pieces(pieces) => pieces.iter().map(Piece::length).sum(),
            Content::List { .. } => entry.stat.size,
            _ => length,
        };
        facts["size_bytes"] = size.into();
        facts["etag"] = tag_of(&entry.content, self.reader.tail()).into();
        let at = self.job.offset.min(size);
        let end = self.job.length.map_or(size, |length| at.saturating_add(length).min(size));
        let source = match entry.content.clone() {
            Content::Pieces(pieces) => Source::Here(pieces.into_iter()),
            Content::List { root, .. } if at < end => {
                let mut list = Box::new(Reader::new(root, Form::Pieces));
                let back = u64::try_from(CUT_BYTES_MAX).unwrap_or(u64::MAX);
                list.seek(&at.saturating_sub(back).to_be_bytes());
                Source::List(list, Some(back))
            }
            _ => Source::Here(Vec::new().into_iter()),
        };
        if at < end && !plain.is_empty() {
            plain.truncate(usize::try_from(end).unwrap_or(usize::MAX));
            self.ahead = length;
            self.parts.push_back(Part::Plain(plain, usize::try_from(at).unwrap_or(usize::MAX)));
        } else if at < end {
            self.state = State::Filling(Span { at, end, start: 0, source });
        }
        Ok(facts)
    }

    /// Queues parts while there is room. True if it did anything.
    fn fill(&mut self) -> bool {
        let mut did = false;
        while self.ahead < READ_AHEAD_BYTES && self.parts.len() < PARTS_MAX {
            let State::Filling(span) = &mut self.state else { return did };
            if span.at >= span.end {
                self.state = State::Ended(Ok(Ending::Complete));
                return true;
            }
            match span.next(&mut self.ops, &mut self.asks) {
                None => return did,
                Some(Ok(None)) => {}
                Some(Ok(Some(piece))) => self.queue(piece),
                Some(Err(reason)) => self.state = State::Ended(Err(self.gone(&reason))),
            }
            did = true;
        }
        did
    }

    /// Queues what is wanted of a piece.
    fn queue(&mut self, piece: Piece) {
        let State::Filling(span) = &mut self.state else { return };
        let skipped = span.at - (span.start - piece.length());
        let end = span.start.min(span.end);
        let wanted = end - span.at;
        span.at = end;
        let Piece::Chunk { id, length } = piece else { return self.parts.push_back(Part::Zeros(wanted)) };
        let from = usize::try_from(skipped).unwrap_or(usize::MAX);
        let to = from.saturating_add(usize::try_from(wanted).unwrap_or(usize::MAX));
        let op = self.ops.draw();
        self.asks.push_back(Ask::Chunk { op, id });
        self.ahead += u64::from(length);
        self.parts.push_back(Part::Chunk { op, length, from, to });
    }

    /// The next thing that leaves, if it is here.
    fn next_piece(&mut self) -> Option<ListOutput> {
        if let Some(facts) = self.facts.take() {
            return Some(ListOutput::Line(facts));
        }
        match self.parts.front_mut()? {
            Part::Chunk { .. } => None,
            Part::Zeros(left) => {
                let now = usize::try_from(*left).unwrap_or(usize::MAX).min(READ_PIECE_BYTES);
                *left -= u64::try_from(now).unwrap_or(*left);
                if *left == 0 {
                    self.parts.pop_front();
                }
                Some(ListOutput::Bytes(vec![0; now]))
            }
            Part::Plain(plain, at) => {
                let piece = plain.get(*at..).unwrap_or_default();
                let piece = piece.get(..READ_PIECE_BYTES).unwrap_or(piece).to_vec();
                *at += piece.len();
                if *at >= plain.len() {
                    self.parts.pop_front();
                    self.ahead = self.parts.iter().map(Part::weight).sum();
                    self.idle = false;
                }
                Some(ListOutput::Bytes(piece))
            }
        }
    }

    /// A chunk came, or does not.
    fn came(&mut self, op: Op, plain: Result<Vec<u8>, String>) {
        let is_it = |part: &Part| matches!(part, Part::Chunk { op: asked, .. } if *asked == op);
        let Some(at) = self.parts.iter().position(is_it) else { return };
        let Part::Chunk { length, from, to, .. } = self.parts[at] else { return };
        match plain {
            Ok(mut plain) if u32::try_from(plain.len()) == Ok(length) => {
                plain.truncate(to);
                self.parts[at] = Part::Plain(plain, from);
            }
            other => {
                let reason =
                    other.err().unwrap_or_else(|| "a chunk has another length than it should".into());
                self.state = State::Ended(Err(self.gone(&reason)));
                // What comes before it may leave.
                self.parts.truncate(at);
            }
        }
    }

    /// The error for content that cannot be had.
    fn gone(&self, reason: &str) -> ApiError {
        let path = String::from_utf8_lossy(&path_of(&self.job.path)).into_owned();
        let message = format!("a part of '{path}' cannot be had: {reason}");
        ApiError::new("chunk_missing", message, "connect a device that holds the snapshot, then try again")
    }
}

impl Part {
    /// Bytes that it holds or will hold.
    fn weight(&self) -> u64 {
        match self {
            Self::Plain(plain, _) => u64::try_from(plain.len()).unwrap_or(u64::MAX),
            Self::Zeros(_) => 0,
            Self::Chunk { length, .. } => u64::from(*length),
        }
    }
}

impl Lines for Read {
    fn busy(&self) -> bool {
        !self.idle && !matches!(self.state, State::Over)
    }

    fn taken(&mut self) {
        self.credit = (self.credit + 1).min(CALL_PIECES_MAX);
        self.idle = false;
    }

    fn told(&mut self, told: Told, sealer: &mut Sealer) {
        self.idle = false;
        let Told::Chunk { op, result, .. } = told else { return };
        if self.reader.has_asked(op) {
            self.reader.chunk_came(op, result, sealer);
            return;
        }
        if let State::Filling(Span { source: Source::List(list, _), .. }) = &mut self.state {
            if list.has_asked(op) {
                list.chunk_came(op, result, sealer);
                return;
            }
        }
        self.came(op, open(Some(result), ChunkKind::Content, sealer));
    }

    fn poll(&mut self) -> Option<ListOutput> {
        loop {
            if let Some(ask) = self.asks.pop_front() {
                return Some(ListOutput::Ask(ask));
            }
            if self.credit > 0 {
                if let Some(output) = self.next_piece() {
                    self.credit -= 1;
                    return Some(output);
                }
            }
            if self.facts.is_none() && self.parts.is_empty() {
                if let State::Ended(_) = self.state {
                    let State::Ended(result) = std::mem::replace(&mut self.state, State::Over) else {
                        return None;
                    };
                    return Some(ListOutput::Finished(result));
                }
            }
            if self.idle || self.worked {
                self.worked = false;
                return None;
            }
            self.idle = !self.work();
            self.worked = !self.idle;
        }
    }
}

/// What tells content from any other content: a hash of what it consists of. `tail`: of its entry.
pub(in crate::node) fn tag_of(content: &Content, tail: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    // Content that is the same has the same chunks; where a new key came between it has others, and is only fetched again.
    hasher.update(&postcard::to_stdvec(content).unwrap_or_default());
    if *content == Content::Inline {
        hasher.update(tail);
    }
    hasher.finalize().to_hex()[..TAG_DIGITS].to_owned()
}

/// The error for something that has no content.
fn no_file(path: &[u8], kind: Kind) -> ApiError {
    let path = String::from_utf8_lossy(path).into_owned();
    let (what, hint) = match kind {
        Kind::Directory => ("a directory", "read a file in it; `nuthatch ls` shows them"),
        _ => ("a symbolic link", "read what it points to"),
    };
    ApiError::new("bad_path", format!("'{path}' is {what}, which has no content"), hint)
}

/// Hexadecimal digits of a tag.
const TAG_DIGITS: usize = 32;
/// Parts that wait, zeros included.
const PARTS_MAX: usize = 32;
