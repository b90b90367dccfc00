//! The pass that makes the disk as a shared folder's tree is: what the tree has and the applied map has not is written, what is the
//! other way round is removed, and the applied map is written anew.
//!
//! ```text
//!   tree        a1  b2  c3      e5
//!   applied     a1  b1      d4          a stands; b is replaced, if b1 still stands there; c is made; d is removed, if it is as it
//!   ------------------------------      was; e is made. What has changed meanwhile is set aside under another name, never lost.
//! ```
//!
//! Things are dealt with one after the other in the order of keys; a directory goes when all that was in it has been dealt with.
//! What cannot be written is counted and stays pending: the applied map tells what is owed. What cannot *be* here - a name that this
//! file system does not take, or takes for that of something else that stands here - stays pending too, and all in such a directory
//! with it: so it is as if it had not arrived yet, and no scan takes it for deleted. What stands goes on standing; its turn comes when
//! that is gone. Read `node/put.rs` for the acts, `file/applied.rs` for the map.

use super::apply_file::{Content, Filled, Filling};
use super::duty::{Ask, ChunkLost};
use super::merge_pass::{finish, push};
use super::outcome::Report;
use super::ports::{FileError, FileErrorKind, FileRequest, Found, FoundKind};
use super::put::{Act, Expected, Put};
use super::reader::{Form, Reader, Seen};
use super::share_scan::applied_of;
use super::sink::{Out, Sink};
use super::writer::count;
use crate::base::ids::ChunkId;
use crate::base::limits::STEPS_PER_TURN_MAX;
use crate::feed::entry::Counts;
use crate::file::applied;
use crate::file::entry::Kind;
use crate::file::map::MapBuilder;
use crate::file::merge::{conflict_key, Version};
use crate::file::tree::{is_within, name_of, path_of};
use crate::seal::sealed::Sealer;
use crate::store::service::Op;

mod answers;
mod former;

/// What does not change during the pass.
#[derive(Debug)]
pub(super) struct Tools {
    /// Absolute path of the folder.
    pub(super) root: Vec<u8>,
    /// The vault's map key.
    pub(super) map_key: [u8; 32],
    /// What this device is called.
    pub(super) own_name: String,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Applied {
    /// Root of the applied map.
    pub(super) root: ChunkId,
    /// What the tree has.
    pub(super) counts: Counts,
    /// What a person should hear of.
    pub(super) report: Report,
    /// Nodes of the old map that were read.
    pub(super) nodes: u64,
    /// Paths that could not be written or removed.
    pub(super) pending: u64,
    /// Those of them that cannot be here as long as the disk is as it is.
    pub(super) unfit: u64,
    /// Paths that were removed.
    pub(super) removed: u64,
    /// Paths that were.
    pub(super) written: u64,
}

impl Applied {
    /// Nothing was done yet.
    pub(super) fn nothing(root: ChunkId) -> Self {
        let (counts, report) = (Counts::default(), Report::default());
        Self { root, counts, report, nodes: 0, pending: 0, unfit: 0, removed: 0, written: 0 }
    }
}

/// The pass.
#[derive(Debug)]
pub(super) struct Apply {
    /// What does not change.
    tools: Tools,
    /// What is to be.
    tree: Reader,
    /// What is.
    applied: Reader,
    /// The tree that the applied map belongs to.
    former: Reader,
    /// The new applied map; None once it is finished.
    builder: Option<MapBuilder>,
    /// Directories that go when all in them has been dealt with, each in the one before it.
    leaving: Vec<Leaving>,
    /// The last directory that could not be made (empty: none): what is in it cannot either, and counts as so many that are unfit.
    barred: (Vec<u8>, u64),
    /// Directories where a disk is mounted, each in the one before it.
    mounted: Vec<Vec<u8>>,
    /// What is being dealt with.
    doing: Option<Doing>,
    /// Counts and losses.
    done: Applied,
    /// The last step did something.
    did: bool,
}

/// A directory that goes.
#[derive(Debug)]
struct Leaving {
    /// Its key.
    key: Vec<u8>,
    /// As it was applied.
    was: applied::Applied,
    /// What has its place then.
    instead: Option<Version>,
    /// It cannot be removed.
    stays: bool,
}

/// Something that is being dealt with.
#[derive(Debug)]
enum Doing {
    /// A file's content, or what a link or directory needs, is on its way aside.
    Fill(Box<Filling>, Option<applied::Applied>),
    /// It gets its place.
    Place(Op, Box<Filled>, Option<applied::Applied>),
    /// What stands there gets another name first.
    SetAside(Op, Box<Filled>, u32),
    /// A path goes.
    Remove(Op, Box<Leaving>),
    /// The file thread has answered; what follows is done in the next step, where the applied map can be written.
    Next(Next),
}

/// What follows on an answer of the file thread.
#[derive(Debug)]
enum Next {
    /// What stood in the way has another name: its place is asked for again.
    Place(Box<Filled>),
    /// It got its place, or not.
    Placed(Box<Filled>, Option<applied::Applied>, Result<Found, FileError>),
    /// What stands in its way is given another name; so many were tried.
    SetAside(Box<Filled>, u32),
    /// A path went, or cannot go.
    Removed(Box<Leaving>),
}

impl Apply {
    /// A pass that has not begun.
    pub(super) fn new(tree: ChunkId, (former, applied): (ChunkId, ChunkId), tools: Tools) -> Self {
        Self {
            tree: Reader::new(tree, Form::Tree),
            applied: Reader::new(applied, Form::Tree),
            former: Reader::new(former, Form::Tree),
            builder: Some(MapBuilder::new(&tools.map_key)),
            leaving: Vec::new(),
            barred: (Vec::new(), 0),
            mounted: Vec::new(),
            doing: None,
            done: Applied::nothing(tree),
            did: false,
            tools,
        }
    }

    /// Whether the last step did something.
    pub(super) const fn did_something(&self) -> bool {
        self.did
    }

    /// Takes a chunk.
    pub(super) fn chunk_came(&mut self, op: Op, result: Result<Vec<u8>, ChunkLost>, sealer: &mut Sealer) {
        let readers = [&mut self.tree, &mut self.applied, &mut self.former];
        if let Some(reader) = readers.into_iter().find(|reader| reader.has_asked(op)) {
            reader.chunk_came(op, result, sealer);
        } else if let Some(Doing::Fill(filling, _)) = &mut self.doing {
            filling.chunk_came(op, result, sealer);
        }
    }

    /// Takes an answer of the file thread.
    pub(super) fn put_came(&mut self, op: Op, result: Result<Option<Found>, FileError>) {
        match self.doing.take() {
            Some(Doing::Fill(mut filling, was)) => {
                filling.put_came(result.err());
                self.doing = Some(Doing::Fill(filling, was));
            }
            Some(Doing::Place(asked, filled, was)) if asked == op => self.placed(filled, was, result),
            Some(Doing::SetAside(asked, filled, attempt)) if asked == op => {
                self.set_aside(filled, attempt, result);
            }
            Some(Doing::Remove(asked, leaving)) if asked == op => self.removed(leaving, result),
            other => self.doing = other,
        }
    }

    /// Does a turn's work: what became of it, once all was dealt with.
    pub(super) fn step(&mut self, out: &mut Out<'_>) -> Result<Option<Applied>, String> {
        self.did = false;
        for _ in 0..STEPS_PER_TURN_MAX {
            if !out.sink.has_room() {
                return Ok(None);
            }
            let worked = match self.doing.take() {
                Some(doing) => self.go_on(doing, out),
                None => match self.next(out)? {
                    Some(worked) => worked,
                    None => return Ok(self.end(out)),
                },
            };
            if !worked {
                return Ok(None);
            }
            self.did = true;
        }
        Ok(None)
    }

    /// Goes on with what is being dealt with. False if it waits.
    fn go_on(&mut self, doing: Doing, out: &mut Out<'_>) -> bool {
        match doing {
            Doing::Fill(mut filling, was) => match filling.step(&self.tools.root, out) {
                Content::Wait => {
                    self.doing = Some(Doing::Fill(filling, was));
                    false
                }
                Content::Worked => {
                    self.doing = Some(Doing::Fill(filling, was));
                    true
                }
                Content::Filled(filled) => {
                    self.place(filled, was, out.sink);
                    true
                }
                Content::Lost(version, error) => {
                    self.fail(&version, was.as_ref(), error, out);
                    true
                }
            },
            Doing::Next(next) => {
                self.act_on(next, out);
                true
            }
            waiting => {
                self.doing = Some(waiting);
                false
            }
        }
    }

    /// Begins with the next key: whether it did something; None at the end.
    fn next(&mut self, out: &mut Out<'_>) -> Result<Option<bool>, String> {
        let tree = see(&mut self.tree, out)?;
        let applied = see(&mut self.applied, out)?;
        let (Some(tree), Some(applied)) = (tree, applied) else { return Ok(Some(false)) };
        let one = Some(&self.tree).filter(|_| tree).map(Reader::key);
        let other = Some(&self.applied).filter(|_| applied).map(Reader::key);
        let key = one.into_iter().chain(other).min().map(<[u8]>::to_vec);
        if let Some(leaving) = self.leaving.pop() {
            if key.as_deref().is_some_and(|key| is_within(key, &leaving.key)) {
                self.leaving.push(leaving);
            } else {
                self.remove(leaving, out.sink);
                return Ok(Some(true));
            }
        }
        let Some(key) = key else { return Ok(None) };
        let in_tree = one == Some(&key[..]);
        let Some(former) = self.former_at(&key, out)? else { return Ok(Some(false)) };
        let version = if in_tree {
            let read = Version::read(self.tree.key(), self.tree.value(), self.tree.tail(), false);
            self.tree.advance();
            Some(read.ok_or("the tree has an entry that is none of a shared folder")?)
        } else {
            None
        };
        let was = match Some(&mut self.applied).filter(|reader| applied && reader.key() == key) {
            Some(reader) => {
                let was = applied::Applied::decode(reader.value()).ok();
                reader.advance();
                was
            }
            None => None,
        };
        let was = was.map(|was| former::adopted(was, former, version.as_ref()));
        self.begin(key, version, was, out);
        Ok(Some(true))
    }

    /// Begins with a path.
    fn begin(
        &mut self,
        key: Vec<u8>,
        version: Option<Version>,
        was: Option<applied::Applied>,
        out: &mut Out<'_>,
    ) {
        if let Some(version) = &version {
            count(&mut self.done.counts, version.entry.kind, &version.entry.stat);
        }
        let is_directory = was.is_some_and(|was| was.kind == Kind::Directory);
        if let Some(was) = was.as_ref().filter(|_| is_directory) {
            self.note_mount(&key, was.disk);
        }
        if was.is_none() && self.is_barred(&key) {
            return;
        }
        match (version, was) {
            (Some(version), Some(was)) if version.dot == was.dot => self.push(&key, &was, out),
            (Some(version), Some(was)) if is_directory && version.entry.kind != Kind::Directory => {
                self.leaving.push(Leaving { key, was, instead: Some(version), stays: false });
            }
            (Some(version), Some(was)) if version.entry.kind == Kind::Directory && !is_directory => {
                self.remove(Leaving { key, was, instead: Some(version), stays: false }, out.sink);
            }
            (Some(version), was) => self.fill(version, was),
            (None, Some(was)) if is_directory => {
                self.leaving.push(Leaving { key, was, instead: None, stays: false });
            }
            (None, Some(was)) => self.remove(Leaving { key, was, instead: None, stays: false }, out.sink),
            (None, None) => {}
        }
    }

    /// Begins to make something.
    fn fill(&mut self, version: Version, was: Option<applied::Applied>) {
        let mount = self.mount_of(&version.key);
        self.doing = Some(Doing::Fill(Box::new(Filling::new(version, mount)), was));
    }

    /// Asks for its place.
    fn place(&mut self, filled: Box<Filled>, was: Option<applied::Applied>, sink: &mut Sink) {
        let expected = was.as_ref().map(expected);
        let Filled { version, thing, attributes, .. } = &*filled;
        let act = Act::Place {
            thing: thing.clone(),
            stat: version.entry.stat,
            attributes: attributes.clone(),
            expected,
        };
        let op = self.ask(&version.key, act, sink);
        self.doing = Some(Doing::Place(op, filled, was));
    }

    /// All was dealt with.
    fn end(&mut self, out: &mut Out<'_>) -> Option<Applied> {
        let builder = self.builder.take()?;
        let root = finish(builder, out)?;
        let nodes = self.tree.nodes() + self.applied.nodes();
        let report = std::mem::take(&mut self.done.report);
        let Applied { counts, pending, unfit, removed, written, .. } = self.done;
        Some(Applied { root, counts, report, nodes, pending, unfit, removed, written })
    }

    /// Puts a path into the applied map.
    fn push(&mut self, key: &[u8], applied: &applied::Applied, out: &mut Out<'_>) {
        let Some(builder) = &mut self.builder else { return };
        match applied.encode() {
            Ok(value) => push(builder, (key, &value, &[]), out),
            Err(error) => self.done.report.unreadable(path_of(key), error.to_string()),
        }
    }

    /// Asks the file thread for an act.
    fn ask(&self, key: &[u8], act: Act, sink: &mut Sink) -> Op {
        let op = sink.ops.draw();
        let root = self.tools.root.clone();
        sink.asks.push_back(Ask::File(FileRequest::Put(Put {
            op,
            root,
            path: path_of(key),
            mount: self.mount_of(key),
            act,
        })));
        op
    }
}

/// Whether a reader stands on an entry; None while it waits.
fn see(reader: &mut Reader, out: &mut Out<'_>) -> Result<Option<bool>, String> {
    match reader.look(&mut out.sink.ops, &mut out.sink.asks) {
        Seen::Entry => Ok(Some(true)),
        Seen::End => Ok(Some(false)),
        Seen::Wait => Ok(None),
        Seen::Lost { reason, .. } => Err(reason),
    }
}

/// What must stand where something was applied.
fn expected(was: &applied::Applied) -> Expected {
    let kind = match was.kind {
        Kind::File => FoundKind::File,
        Kind::Directory => FoundKind::Directory,
        Kind::Symlink => FoundKind::Symlink,
    };
    Expected { kind, stat: was.stat }
}

/// Names that are tried for what is in the way.
const ASIDE_ATTEMPTS_MAX: u32 = 9;
