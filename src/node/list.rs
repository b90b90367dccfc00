//! `ls`: a walk over a part of a snapshot's tree that comes out as JSON Lines.
//!
//! Owns the shape of a line. One level is listed without reading what is below its directories. Reads no content.

use base64::Engine as _;
use serde_json::{json, Map, Value};

use super::api::ApiError;
use super::duty::{Ask, Ops, Told};
use super::lookup::{behind, lost, wanted_key, Seek, Sought};
use super::outbox::Outbox;
use super::ports::Ending;
use super::reader::{Form, Reader, Seen};
use super::restore::read::tag_of;
use crate::base::ids::ChunkId;
use crate::base::limits::STEPS_PER_TURN_MAX;
use crate::base::units::WallTime;
use crate::file::entry::{Content, Entry, Kind};
use crate::file::tree::{check_key, is_within, path_of};
use crate::seal::sealed::Sealer;

/// What is to be listed.
#[derive(Debug, Clone)]
pub struct ListJob {
    /// Root of the tree.
    pub tree: ChunkId,
    /// A directory or file (`/` or 0x00 between components); empty: the whole folder.
    pub path: Vec<u8>,
    /// Everything below, not only one level.
    pub recursive: bool,
}

/// What a listing wants, or gives.
#[derive(Debug)]
pub enum ListOutput {
    /// Of the core.
    Ask(Ask),
    /// The next line.
    Line(Value),
    /// The next bytes.
    Bytes(Vec<u8>),
    /// It is over.
    Finished(Result<Ending, ApiError>),
}

/// A duty that tells lines to a client, as fast as that takes them.
pub trait Lines {
    /// There is work to do without waiting for an answer.
    fn busy(&self) -> bool;

    /// The client took a line.
    fn taken(&mut self);

    /// Takes an answer.
    fn told(&mut self, told: Told, sealer: &mut Sealer);

    /// The next thing it wants or gives; drained to None.
    fn poll(&mut self) -> Option<ListOutput>;
}

/// A listing.
#[derive(Debug)]
pub struct List {
    /// Everything below, not only one level.
    recursive: bool,
    /// The wanted key.
    key: Vec<u8>,
    /// Numbers of what is asked.
    ops: Ops,
    /// Questions and lines on their way out.
    out: Outbox,
    /// The tree.
    reader: Reader,
    /// Where it stands.
    state: State,
    /// A part of the tree cannot be had.
    partial: bool,
    /// Nothing can be done before something is told.
    idle: bool,
    /// This turn's work is done.
    worked: bool,
}

/// The states of a [`List`].
#[derive(Debug)]
enum State {
    /// The path is looked for.
    Seeking(Seek),
    /// The tree is walked.
    Walking,
    /// It ended, and that was not told yet.
    Ended(Result<Ending, ApiError>),
    /// That was told.
    Over,
}

impl List {
    /// A listing that has not begun; `duty` numbers its operations.
    #[must_use]
    pub fn new(job: ListJob, duty: u64) -> Self {
        let (key, state) = match wanted_key(&job.path) {
            Ok(key) => (key.clone(), State::Seeking(Seek::new(key))),
            Err(error) => (Vec::new(), State::Ended(Err(error))),
        };
        Self {
            recursive: job.recursive,
            key,
            ops: Ops::new(duty),
            out: Outbox::new(),
            reader: Reader::new(job.tree, Form::Tree),
            state,
            partial: false,
            idle: false,
            worked: false,
        }
    }

    /// Does a turn's work. False if nothing can be done before something is told.
    fn work(&mut self) -> bool {
        for step in 0..STEPS_PER_TURN_MAX {
            if self.out.is_full() {
                return step > 0;
            }
            let went_on = match &mut self.state {
                State::Over | State::Ended(_) => false,
                State::Seeking(seek) => {
                    match seek.look(&mut self.reader, &mut self.ops, &mut self.out.asks) {
                        Sought::Wait => false,
                        Sought::Failed(error) => {
                            self.state = State::Ended(Err(error));
                            true
                        }
                        Sought::Found => {
                            self.state = State::Walking;
                            true
                        }
                    }
                }
                State::Walking => self.walk(),
            };
            if !went_on {
                return step > 0;
            }
        }
        true
    }

    /// Goes on by one entry. False if it waits.
    fn walk(&mut self) -> bool {
        match self.reader.look(&mut self.ops, &mut self.out.asks) {
            Seen::Wait => return false,
            Seen::End => self.end(),
            Seen::Lost { reason, .. } if self.reader.nodes() == 0 => {
                self.state = State::Ended(Err(lost(&reason)));
            }
            Seen::Lost { reason, .. } => {
                self.partial = true;
                self.out.tell(json!({"lost": true, "reason": reason}));
                self.reader.skip();
            }
            Seen::Entry if !is_within(self.reader.key(), &self.key) => self.end(),
            Seen::Entry => self.entry(),
        }
        true
    }

    /// Lists the entry that the walk stands on.
    fn entry(&mut self) {
        let key = self.reader.key().to_vec();
        let entry = match (check_key(&key), Entry::decode(self.reader.value())) {
            (Ok(()), Ok(entry)) => entry,
            (Err(_), _) | (_, Err(_)) => {
                self.partial = true;
                self.out.tell(json!({"lost": true, "reason": "an entry of the tree is damaged"}));
                self.reader.advance();
                return;
            }
        };
        let is_directory = entry.kind == Kind::Directory;
        // A directory that was named is not listed itself, only what is in it.
        let named = key == self.key;
        if !(named && is_directory) {
            let mut line = entry_line(&path_of(&key), &entry);
            line.insert("mtime_ns".into(), entry.stat.mtime_ns.into());
            if entry.kind == Kind::File {
                line.insert("etag".into(), tag_of(&entry.content, self.reader.tail()).into());
            }
            self.out.tell(Value::Object(line));
        }
        if is_directory && !named && !self.recursive {
            self.reader.seek(&behind(&key));
        } else {
            self.reader.advance();
        }
    }

    /// The listing is over.
    fn end(&mut self) {
        self.state = State::Ended(Ok(if self.partial { Ending::Partial } else { Ending::Complete }));
    }
}

impl Lines for List {
    fn busy(&self) -> bool {
        !self.idle && !matches!(self.state, State::Over)
    }

    fn taken(&mut self) {
        self.out.taken();
        self.idle = false;
    }

    fn told(&mut self, told: Told, sealer: &mut Sealer) {
        self.idle = false;
        if let Told::Chunk { op, result, .. } = told {
            self.reader.chunk_came(op, result, sealer);
        }
    }

    fn poll(&mut self) -> Option<ListOutput> {
        loop {
            if let Some(output) = self.out.pop() {
                return Some(output);
            }
            if !self.out.has_lines() {
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

/// One entry as the fields of a line.
pub(super) fn entry_line(path: &[u8], entry: &Entry) -> Map<String, Value> {
    let mut line = Map::new();
    put_path(&mut line, "path", path);
    let kind = match entry.kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Symlink => "symlink",
    };
    line.insert("kind".into(), kind.into());
    if entry.kind == Kind::File {
        line.insert("size_bytes".into(), entry.stat.size.into());
    }
    let mtime = WallTime::from_micros(entry.stat.mtime_ns.div_euclid(1_000));
    line.insert("mtime".into(), mtime.to_string().into());
    line.insert("mode".into(), format!("{:04o}", entry.stat.mode).into());
    line.insert("uid".into(), entry.stat.uid.into());
    line.insert("gid".into(), entry.stat.gid.into());
    if let Content::Target(target) = &entry.content {
        put_path(&mut line, "target", target);
    }
    if entry.torn {
        line.insert("torn".into(), true.into());
    }
    line
}

/// Puts a path under `name`, and, where it is not UTF-8, its bytes beside it.
pub(super) fn put_path(line: &mut Map<String, Value>, name: &str, path: &[u8]) {
    match std::str::from_utf8(path) {
        Ok(text) => {
            line.insert(name.into(), text.into());
        }
        Err(_) => {
            line.insert(name.into(), String::from_utf8_lossy(path).into_owned().into());
            let bytes = base64::engine::general_purpose::STANDARD.encode(path);
            line.insert(format!("{name}_base64"), bytes.into());
        }
    }
}
