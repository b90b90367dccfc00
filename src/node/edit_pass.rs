//! The pass that changes a shared folder's tree as people ask for it without a directory: `put` and `rm`.
//!
//! ```text
//!   Look: each edit, in turn      at the path --> the directories that it is in --> (rm) something in it?
//!         what cannot be done is refused, and the rest goes on
//!   Write: the tree once more     what is put has its place, what is removed is left out, missing directories are made
//! ```
//!
//! What is moved or copied is read once more while the tree is written (`copies`), and written at its new place on the way.
//!
//! What is put, made or removed is a change of this device and gets a dot. Edits of one pass do not touch each other; whoever
//! begins it sees to that ([`Edit::touches`]). Read `node/merge_pass.rs` first.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::api::ApiError;
use super::edit::{directory, exists, in_file, is_directory, missing, not_empty, Act, Done, Edit};
use super::lookup::lost;
use super::merge_pass::{finish, push, Passed};
use super::outcome::BackupError;
use super::reader::{Form, Reader, Seen};
use super::sink::Out;
use super::writer::{count, ids_of};
use crate::base::ids::{ChunkId, FeedId};
use crate::base::limits::STEPS_PER_TURN_MAX;
use crate::base::version::Vector;
use crate::feed::entry::Counts;
use crate::file::entry::{Entry, Kind, Stat};
use crate::file::map::MapBuilder;
use crate::file::merge::{is_level, shared};
use crate::file::tree::{is_within, parent_of};

mod copies;

use self::copies::Copies;

/// What became of all of them.
#[derive(Debug)]
pub struct Edited {
    /// Of each, in their order.
    pub results: Vec<Result<Done, ApiError>>,
    /// The tree is another one now.
    pub written: bool,
    /// What it has then.
    pub counts: Counts,
    /// Ids that the tree needed and does not any more, nodes included.
    pub stale: u64,
}

/// The pass.
#[derive(Debug)]
pub(super) struct EditPass {
    /// The tree.
    tree: ChunkId,
    /// A walk over it.
    reader: Reader,
    /// What is wanted.
    edits: Vec<Edit>,
    /// What is looked at, for the edit behind the last result; None: it is written.
    look: Option<Look>,
    /// Directories that are missing for the edit that is looked at.
    missing: Vec<Vec<u8>>,
    /// What became of it so far.
    edited: Edited,
    /// What gets a place, by key.
    made: BTreeMap<Vec<u8>, (Entry, Vec<u8>)>,
    /// What goes, with all that is in it.
    gone: BTreeSet<Vec<u8>>,
    /// The same, on its way into the tree.
    queue: VecDeque<(Vec<u8>, Entry, Vec<u8>)>,
    /// What is moved or copied.
    copies: Copies,
    /// The new tree, while it is written.
    builder: Option<MapBuilder>,
    /// Shapes it.
    map_key: [u8; 32],
    /// The feed in which edits are changes.
    feed: FeedId,
}

/// What is looked at.
#[derive(Debug)]
enum Look {
    /// Nothing yet.
    Next,
    /// What is to be moved or copied.
    From,
    /// What is in that.
    Below,
    /// The path itself.
    Path,
    /// What follows on the directory there.
    Inside,
    /// A directory that the path is in.
    Above(Vec<u8>),
}

/// What the reader stands on.
enum Spot {
    /// This entry.
    Entry(Box<Entry>),
    /// Something else, or the end.
    Other,
}

impl EditPass {
    /// A pass that has not begun.
    pub(super) fn new(map_key: [u8; 32], tree: ChunkId, edits: Vec<Edit>, feed: FeedId) -> Self {
        Self {
            tree,
            reader: Reader::new(tree, Form::Tree),
            edits,
            look: Some(Look::Next),
            missing: Vec::new(),
            edited: Edited { results: Vec::new(), written: false, counts: Counts::default(), stale: 0 },
            made: BTreeMap::new(),
            gone: BTreeSet::new(),
            queue: VecDeque::new(),
            copies: Copies::default(),
            builder: None,
            map_key,
            feed,
        }
    }

    /// The walk that waits for the answer to this request.
    pub(super) fn reader_of(&mut self, op: crate::store::service::Op) -> Option<&mut Reader> {
        if self.reader.has_asked(op) {
            return Some(&mut self.reader);
        }
        self.copies.reader_of(op)
    }

    /// What became of the edits.
    pub(super) fn end(self) -> Edited {
        self.edited
    }

    /// Goes on; what is changed is numbered in `seen`.
    pub(super) fn step(&mut self, seen: &mut Vector, out: &mut Out<'_>) -> Passed {
        for step in 0..STEPS_PER_TURN_MAX {
            if !out.sink.has_room() {
                return if step == 0 { Passed::Wait } else { Passed::Worked };
            }
            let went = match self.look.take() {
                Some(look) => self.look_on(look, seen, out),
                None => self.write_on(seen, out),
            };
            match went {
                Ok(()) => {}
                Err(Passed::Wait) if step > 0 => return Passed::Worked,
                Err(passed) => return passed,
            }
        }
        Passed::Worked
    }

    /// Looks at the next thing.
    fn look_on(&mut self, look: Look, seen: &mut Vector, out: &mut Out<'_>) -> Result<(), Passed> {
        let Some(edit) = self.edits.get(self.edited.results.len()) else {
            return self.begin_write(seen);
        };
        let from = match &edit.act {
            Act::Transfer { from, .. } => Some(from),
            Act::Put { .. } | Act::Remove { .. } => None,
        };
        if matches!(look, Look::Next) {
            self.missing.clear();
            self.reader.seek(from.unwrap_or(&edit.key));
            self.look = Some(if from.is_some() { Look::From } else { Look::Path });
            return Ok(());
        }
        let wanted = match (&look, from) {
            (Look::Above(key), _) => key,
            (Look::From, Some(from)) => from,
            _ => &edit.key,
        };
        let spot = match self.reader.look(&mut out.sink.ops, &mut out.sink.asks) {
            Seen::Wait => {
                self.look = Some(look);
                return Err(Passed::Wait);
            }
            Seen::Lost { reason, .. } => {
                self.settle(Err(lost(&reason)));
                return Ok(());
            }
            Seen::End => Spot::Other,
            Seen::Entry if matches!(look, Look::Inside) => {
                let result = if is_within(self.reader.key(), &edit.key) {
                    Err(not_empty(&edit.key))
                } else {
                    Ok(Done::Removed)
                };
                self.settle(result);
                return Ok(());
            }
            Seen::Entry if matches!(look, Look::Below) => {
                return self.below();
            }
            Seen::Entry if self.reader.key() != wanted.as_slice() => Spot::Other,
            Seen::Entry => match Entry::decode(self.reader.value()) {
                Ok(entry) => Spot::Entry(Box::new(entry)),
                Err(error) => return Err(Passed::Lost(error.to_string())),
            },
        };
        match look {
            Look::Inside => self.settle(Ok(Done::Removed)),
            Look::Above(key) => self.above(key, &spot),
            Look::From => match (spot, from) {
                (Spot::Other, Some(from)) => self.settle(Err(missing(from))),
                _ => self.look = Some(Look::Below),
            },
            Look::Below => self.go_to_path(),
            Look::Path | Look::Next => self.at_path(spot),
        }
        Ok(())
    }

    /// What is at the path itself was looked at.
    fn at_path(&mut self, spot: Spot) {
        let edit = &self.edits[self.edited.results.len()];
        match (&edit.act, spot) {
            (Act::Put { entry, .. }, Spot::Entry(_)) if entry.kind == Kind::Directory => {
                self.settle(Err(exists(&edit.key)));
            }
            (Act::Transfer { overwrite, .. }, Spot::Entry(_)) => {
                let result = if *overwrite { Ok(Done::Replaced) } else { Err(exists(&edit.key)) };
                self.settle(result);
            }
            (Act::Put { entry, tail, .. }, Spot::Entry(there)) => {
                let result = if there.kind == Kind::Directory {
                    Err(is_directory(&edit.key))
                } else if is_level((entry, tail), (&there, self.reader.tail())) {
                    Ok(Done::Unchanged)
                } else {
                    Ok(Done::Replaced)
                };
                self.settle(result);
            }
            (Act::Put { .. } | Act::Transfer { .. }, Spot::Other) => self.go_up(edit.key.clone()),
            (Act::Remove { recursive: false }, Spot::Entry(there)) if there.kind == Kind::Directory => {
                self.reader.advance();
                self.look = Some(Look::Inside);
            }
            (Act::Remove { .. }, Spot::Entry(_)) => self.settle(Ok(Done::Removed)),
            (Act::Remove { .. }, Spot::Other) => {
                self.settle(Err(missing(&edit.key)));
            }
        }
    }

    /// A directory that the path is in was looked at.
    fn above(&mut self, key: Vec<u8>, spot: &Spot) {
        match spot {
            Spot::Entry(there) if there.kind == Kind::Directory => self.settle(Ok(Done::Created)),
            Spot::Entry(_) => self.settle(Err(in_file(&key))),
            Spot::Other => {
                self.missing.push(key.clone());
                self.go_up(key);
            }
        }
    }

    /// Looks at the directory that `key` is in.
    fn go_up(&mut self, key: Vec<u8>) {
        let parent = parent_of(&key).to_vec();
        if parent.is_empty() {
            return self.settle(Ok(Done::Created));
        }
        self.reader.seek(&parent);
        self.look = Some(Look::Above(parent));
    }

    /// What becomes of an edit is known.
    fn settle(&mut self, result: Result<Done, ApiError>) {
        let edit = &self.edits[self.edited.results.len()];
        match (&result, &edit.act) {
            (Ok(Done::Created | Done::Replaced), Act::Put { entry, tail, .. }) => {
                self.made.insert(edit.key.clone(), (Entry::clone(entry), tail.clone()));
                for key in self.missing.drain(..) {
                    self.made.insert(key, (directory(&entry.stat), Vec::new()));
                }
            }
            (Ok(done @ (Done::Created | Done::Replaced)), Act::Transfer { from, keep, .. }) => {
                self.copies.add(self.tree, from, &edit.key, *keep);
                if !keep {
                    self.gone.insert(from.clone());
                }
                if *done == Done::Replaced {
                    self.gone.insert(edit.key.clone());
                }
                for key in self.missing.drain(..) {
                    self.made.insert(key, (directory(&NEW_DIRECTORY), Vec::new()));
                }
            }
            (Ok(Done::Removed), Act::Remove { .. }) => {
                self.gone.insert(edit.key.clone());
            }
            _ => {}
        }
        self.edited.results.push(result);
        self.look = Some(Look::Next);
    }

    /// All was looked at: the tree is written, if there is anything to write.
    fn begin_write(&mut self, seen: &mut Vector) -> Result<(), Passed> {
        if self.made.is_empty() && self.gone.is_empty() && self.copies.is_empty() {
            return Err(Passed::Tree(self.tree));
        }
        for _ in &self.gone {
            // Whoever has seen this number and finds the version missing knows that it was removed.
            let _ = seen.next(self.feed);
        }
        let made = std::mem::take(&mut self.made);
        let numbered =
            made.into_iter().map(|(key, (entry, tail))| (key, shared(entry, seen.next(self.feed)), tail));
        self.queue = numbered.collect();
        self.reader = Reader::new(self.tree, Form::Tree);
        self.builder = Some(MapBuilder::new(&self.map_key));
        self.edited.written = true;
        Ok(())
    }

    /// Writes the next entry.
    fn write_on(&mut self, seen_changes: &mut Vector, out: &mut Out<'_>) -> Result<(), Passed> {
        if let Some((entry, tail)) =
            self.copies.next(self.queue.front().map(|(key, ..)| key.as_slice()), out)?
        {
            let key = self.copies.key();
            self.queue.push_front((key, shared(entry, seen_changes.next(self.feed)), tail));
        }
        let seen = self.reader.look(&mut out.sink.ops, &mut out.sink.asks);
        let is_at_end = match seen {
            Seen::Wait => return Err(Passed::Wait),
            Seen::Lost { reason, .. } => return Err(Passed::Lost(reason)),
            Seen::Entry => false,
            Seen::End => true,
        };
        let order = match self.queue.front() {
            Some(_) if is_at_end => Ordering::Less,
            Some((key, ..)) => key.as_slice().cmp(self.reader.key()),
            None if is_at_end => {
                self.edited.stale += self.reader.nodes();
                self.edited.stale = self.edited.stale.saturating_sub(self.copies.moved());
                let root = self.builder.take().and_then(|builder| finish(builder, out));
                return Err(root.map_or(Passed::Wait, Passed::Tree));
            }
            None => Ordering::Greater,
        };
        if order != Ordering::Greater {
            if let Some((key, entry, tail)) = self.queue.pop_front() {
                self.put(&key, &entry, &tail, out);
            }
        }
        if order != Ordering::Less {
            self.keep(order == Ordering::Greater, out)?;
        }
        Ok(())
    }

    /// Something gets a place.
    fn put(&mut self, key: &[u8], entry: &Entry, tail: &[u8], out: &mut Out<'_>) {
        let Some(builder) = &mut self.builder else { return };
        match entry.encode() {
            Ok(value) => push(builder, (key, &value, tail), out),
            Err(error) => out.sink.fail(BackupError::Broken { what: error.to_string() }),
        }
        count(&mut self.edited.counts, entry.kind, &entry.stat);
    }

    /// The entry that the walk stands on stays, unless it was removed or something else has its place.
    fn keep(&mut self, has_place: bool, out: &mut Out<'_>) -> Result<(), Passed> {
        let (key, value) = (self.reader.key(), self.reader.value());
        let entry = Entry::decode(value).map_err(|error| Passed::Lost(error.to_string()))?;
        let above = self.gone.range(..=key.to_vec()).next_back();
        if !has_place || above.is_some_and(|gone| is_within(key, gone)) {
            self.edited.stale += ids_of(&entry);
        } else if let Some(builder) = &mut self.builder {
            push(builder, (key, value, self.reader.tail()), out);
            count(&mut self.edited.counts, entry.kind, &entry.stat);
        }
        self.reader.advance();
        Ok(())
    }
}

/// What is known of a directory that is made for what is moved into it.
const NEW_DIRECTORY: Stat =
    Stat { size: 0, mtime_ns: 0, ctime_ns: 0, inode: 0, mode: 0o755, uid: 0, gid: 0, links: 1 };
