//! The build pass of a backup: the merge of directory and parent becomes a tree, and what changed is read and sealed.
//!
//! Owns the queue between the merge and the tree (so that files are opened ahead of the one being cut), and what
//! becomes of files that change or cannot be read. Entries come out in the order in which they went in. Read
//! `node/join.rs` and `node/content.rs` first.

use std::collections::VecDeque;

use super::content::{Reading, Stepped, Tools, Whole};
use super::duty::Ask;
use super::join::{is_same, is_unchanged, kind_of, Join, Joined, New, Old};
use super::outcome::{BackupError, Progress, Report};
use super::ports::{Block, FileError, FileErrorKind, FileRequest, Opened};
use super::reader::{Form, From, Reader, Seen};
use super::sink::Sink;
use crate::base::ids::ChunkId;
use crate::base::limits::{
    ATTRIBUTES_HERE_BYTES_MAX, FIRST_BLOCK_BYTES, READ_AHEAD_FILES, READ_ATTEMPTS_MAX, SCAN_QUEUE_BYTES_MAX,
    STEPS_PER_TURN_MAX,
};
use crate::feed::entry::Counts;
use crate::file::entry::{encode_attributes, Attributes, Content, Entry, Kind, Piece, Stat};
use crate::file::map::{MapBuilder, MapError, NodeParts};
use crate::seal::sealed::{ChunkKind, Sealer};
use crate::store::service::Op;

/// What a step did.
#[derive(Debug)]
pub(super) enum Built {
    /// It waits for an answer.
    Wait,
    /// It did something; there may be more at once.
    Worked,
    /// The tree is in the store's hands; this is its root.
    Tree(ChunkId),
    /// The parent's tree cannot be read.
    OldLost,
    /// The root cannot be listed.
    RootFailed(FileError),
}

/// An entry on its way into the tree.
#[derive(Debug)]
enum Task {
    /// As the parent has it.
    Keep(Old, Entry),
    /// To be read.
    Fresh(Fresh),
}

/// Something that is new or changed.
#[derive(Debug)]
struct Fresh {
    /// What it is.
    new: New,
    /// What the parent has at its path, if it is of the same kind.
    old: Option<(Old, Entry)>,
    /// Its opening.
    open: Open,
    /// How often it was opened.
    attempts: u8,
}

/// An opening on its way.
#[derive(Debug)]
enum Open {
    /// Asked for.
    Asked(Op),
    /// Answered.
    Came(Result<Opened, FileError>),
}

/// The build pass.
#[derive(Debug)]
pub(super) struct Build {
    /// What is here, merged with what the parent has.
    pub(super) join: Join,
    /// For reading files.
    tools: Tools,
    /// The tree; None once it is finished.
    builder: Option<MapBuilder>,
    /// Entries that wait for those before them.
    queue: VecDeque<Task>,
    /// Their bytes.
    queue_bytes: usize,
    /// How many of them are opened.
    opens: usize,
    /// The file being read, with its opening (whose block is gone).
    reading: Option<(Fresh, Opened, Reading)>,
    /// The unchanged file whose list of pieces is walked for its ids.
    listing: Option<(Old, Entry, Reader)>,
    /// The merge is over.
    joined: bool,
    /// Ids of unchanged entries are listed as well.
    exact: bool,
    /// Changes later than this may hide behind an equal stat, in nanoseconds since 1970.
    trusted_ns: i64,
    /// What was counted.
    counts: Counts,
    /// What a person should hear of.
    report: Report,
    /// Ids that the parent's entries named which went or changed.
    dropped: u64,
    /// Path of the last entry.
    path: Vec<u8>,
}

impl Build {
    /// A build pass that has not begun.
    pub(super) fn new(join: Join, tools: Tools, trusted_ns: i64, exact: bool) -> Self {
        Self {
            join,
            builder: Some(MapBuilder::new(&tools.map_key)),
            tools,
            queue: VecDeque::new(),
            queue_bytes: 0,
            opens: 0,
            reading: None,
            listing: None,
            joined: false,
            exact,
            trusted_ns,
            counts: Counts::default(),
            report: Report::default(),
            dropped: 0,
            path: Vec::new(),
        }
    }

    /// What was counted so far: files, directories, bytes.
    pub(super) const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Ids that the parent needed and this tree, by all that is known, does not: those of entries that went or changed,
    /// and all nodes of the parent's tree.
    pub(super) fn dropped(&mut self) -> u64 {
        self.dropped + self.join.old().map_or(0, |old| old.nodes())
    }

    /// What a person should hear of.
    pub(super) fn take_report(&mut self) -> Report {
        self.report.special = self.join.walker().special();
        std::mem::take(&mut self.report)
    }

    /// How far it is.
    pub(super) fn progress(&self, new_bytes: u64) -> Progress {
        Progress { files: self.counts.files, bytes: self.counts.bytes, new_bytes, path: self.path.clone() }
    }

    /// Takes an opening; gives it back if it is not for this pass.
    pub(super) fn opened(
        &mut self,
        op: Op,
        result: Result<Opened, FileError>,
    ) -> Option<Result<Opened, FileError>> {
        for task in &mut self.queue {
            if let Task::Fresh(fresh) = task {
                if matches!(fresh.open, Open::Asked(asked) if asked == op) {
                    fresh.open = Open::Came(result);
                    return None;
                }
            }
        }
        Some(result)
    }

    /// Takes a block of the file being read.
    pub(super) fn read(&mut self, op: Op, result: Result<Block, FileError>) {
        if let Some((_, _, reading)) = &mut self.reading {
            // One that was given up may still be on its way: its block is dropped.
            let _ = reading.came(op, result);
        }
    }

    /// The walk that waits for the answer to this request: of a list of pieces, or of the parent's tree.
    pub(super) fn reader_of(&mut self, op: Op) -> Option<&mut Reader> {
        match &mut self.listing {
            Some((_, _, list)) if list.has_asked(op) => Some(list),
            _ => self.join.old(),
        }
    }

    /// Does at most one piece's work.
    pub(super) fn step(&mut self, sealer: &mut Sealer, sink: &mut Sink) -> Built {
        let mut built = match self.fill(sink) {
            Ok(true) => Built::Worked,
            Ok(false) => Built::Wait,
            Err(ended) => return ended,
        };
        let sealed = sink.sealed();
        for _ in 0..STEPS_PER_TURN_MAX {
            if !sink.has_room() {
                return built;
            }
            if !self.front(sealer, sink) {
                break;
            }
            built = Built::Worked;
            if sink.sealed() != sealed {
                return built;
            }
        }
        let idle = self.queue.is_empty() && self.reading.is_none() && self.listing.is_none();
        match self.builder.take() {
            Some(builder) if self.joined && idle => self.finish(builder, sealer, sink),
            other => {
                self.builder = other;
                built
            }
        }
    }

    /// Merges on while the queue has room. True if it did anything.
    fn fill(&mut self, sink: &mut Sink) -> Result<bool, Built> {
        for step in 0..STEPS_PER_TURN_MAX {
            if self.joined || self.opens >= READ_AHEAD_FILES || self.queue_bytes >= SCAN_QUEUE_BYTES_MAX {
                return Ok(step > 0);
            }
            match self.join.next(&mut sink.ops, &mut sink.asks, &mut self.report) {
                Joined::New(new) => self.open(new, None, sink),
                Joined::Both(new, old) => match Entry::decode(&old.value) {
                    Ok(entry) if is_unchanged(&new.found, &entry, self.trusted_ns) => self.keep(old, entry),
                    Ok(entry) if Some(entry.kind) == kind_of(new.found.kind) => {
                        self.open(new, Some((old, entry)), sink);
                    }
                    Ok(entry) => {
                        self.dropped += ids_of(&entry);
                        self.open(new, None, sink);
                    }
                    Err(_) => self.open(new, None, sink),
                },
                Joined::Kept(old) => match Entry::decode(&old.value) {
                    Ok(entry) => self.keep(old, entry),
                    Err(error) => self.report.unreadable(show(&old.key), error.to_string()),
                },
                Joined::Gone(old) => {
                    self.dropped += Entry::decode(&old.value).map_or(0, |entry| ids_of(&entry))
                }
                Joined::OldLost => return Err(Built::OldLost),
                Joined::Failed(error) => return Err(Built::RootFailed(error)),
                Joined::Wait => return Ok(step > 0),
                Joined::End => self.joined = true,
            }
        }
        Ok(true)
    }

    /// Queues an entry of the parent's.
    fn keep(&mut self, old: Old, entry: Entry) {
        self.queue_bytes += weight(&old);
        self.queue.push_back(Task::Keep(old, entry));
    }

    /// Asks for an opening and queues the entry.
    fn open(&mut self, new: New, old: Option<(Old, Entry)>, sink: &mut Sink) {
        let op = self.ask_open(&new, sink);
        self.queue_bytes += old.as_ref().map_or(0, |(old, _)| weight(old));
        self.opens += 1;
        self.queue.push_back(Task::Fresh(Fresh { new, old, open: Open::Asked(op), attempts: 1 }));
    }

    /// Asks for an opening.
    fn ask_open(&self, new: &New, sink: &mut Sink) -> Op {
        let op = sink.ops.draw();
        let budget = if kind_of(new.found.kind) == Some(Kind::File) { FIRST_BLOCK_BYTES } else { 0 };
        let (root, path) = (self.tools.root.clone(), new.path.clone());
        sink.asks.push_back(Ask::File(FileRequest::Open { op, root, path, budget }));
        op
    }

    /// Goes on with what is first. False if that waits or there is nothing.
    fn front(&mut self, sealer: &mut Sealer, sink: &mut Sink) -> bool {
        if let Some((_, _, reading)) = &mut self.reading {
            match reading.step(&mut self.tools, sealer, sink) {
                Stepped::Wait => return false,
                Stepped::Worked => {}
                Stepped::Whole(whole) => self.whole(whole, sealer, sink),
                Stepped::Failed(error) => {
                    if let Some((fresh, _, _)) = self.reading.take() {
                        self.unreadable(fresh, &error, sealer, sink);
                    }
                }
            }
            return true;
        }
        if self.listing.is_some() {
            return self.list_pieces(sealer, sink);
        }
        match self.queue.pop_front() {
            None => false,
            Some(Task::Keep(old, entry)) => {
                self.queue_bytes -= weight(&old);
                self.push_old(old, entry, sealer, sink);
                true
            }
            Some(Task::Fresh(Fresh { new, old, open: Open::Came(result), attempts })) => {
                self.queue_bytes -= old.as_ref().map_or(0, |(old, _)| weight(old));
                self.opens -= 1;
                // The operation is over; its number stands for nothing.
                let fresh = Fresh { new, old, open: Open::Asked(0), attempts };
                self.came(fresh, result, sealer, sink);
                true
            }
            Some(waiting) => {
                self.queue.push_front(waiting);
                false
            }
        }
    }

    /// The first entry was opened, or not.
    fn came(
        &mut self,
        fresh: Fresh,
        result: Result<Opened, FileError>,
        sealer: &mut Sealer,
        sink: &mut Sink,
    ) {
        let mut opened = match result {
            Ok(opened) if opened.found.kind == fresh.new.found.kind => opened,
            Ok(_) => {
                let detail = "it became something else while the folder was scanned".into();
                let error = FileError { kind: FileErrorKind::Changed, detail };
                return self.unreadable(fresh, &error, sealer, sink);
            }
            Err(error) => return self.unreadable(fresh, &error, sealer, sink),
        };
        match (kind_of(opened.found.kind), opened.target.take()) {
            (Some(Kind::File), _) => {
                let block = std::mem::take(&mut opened.block);
                let reading =
                    Reading::new(fresh.new.path.clone(), opened.found.stat.size, block, &self.tools);
                self.reading = Some((fresh, opened, reading));
            }
            (Some(Kind::Symlink), Some(target)) => {
                self.push_fresh(&fresh, opened, Content::Target(target), &[], false, sealer, sink);
            }
            (Some(Kind::Directory), _) => {
                self.push_fresh(&fresh, opened, Content::None, &[], false, sealer, sink)
            }
            (Some(Kind::Symlink) | None, _) => {
                let error = FileError { kind: FileErrorKind::Failed, detail: "it has no target".into() };
                self.unreadable(fresh, &error, sealer, sink);
            }
        }
    }

    /// The file being read has come to its end: it held still, or it is read again, or it is torn.
    fn whole(&mut self, whole: Whole, sealer: &mut Sealer, sink: &mut Sink) {
        let Some((mut fresh, mut opened, _)) = self.reading.take() else { return };
        let changed = whole.after.is_some_and(|after| !is_same(&after, &opened.found.stat));
        if changed && fresh.attempts < READ_ATTEMPTS_MAX {
            fresh.attempts += 1;
            fresh.open = Open::Asked(self.ask_open(&fresh.new, sink));
            self.queue_bytes += fresh.old.as_ref().map_or(0, |(old, _)| weight(old));
            self.opens += 1;
            self.queue.push_front(Task::Fresh(fresh));
            return;
        }
        if changed {
            self.report.torn(fresh.new.path.clone());
        }
        opened.found.stat.size = whole.length;
        self.push_fresh(&fresh, opened, whole.content, &whole.tail, changed, sealer, sink);
    }

    /// It cannot be read: the parent's version stands; a directory is known by its stat; else it is only reported.
    fn unreadable(&mut self, fresh: Fresh, error: &FileError, sealer: &mut Sealer, sink: &mut Sink) {
        let is_directory = kind_of(fresh.new.found.kind) == Some(Kind::Directory);
        if error.kind == FileErrorKind::Missing && !is_directory {
            // It vanished, which is not an error: it is just not there.
            self.dropped += fresh.old.map_or(0, |(_, entry)| ids_of(&entry));
            return;
        }
        self.report.unreadable(fresh.new.path.clone(), error.detail.clone());
        match fresh.old {
            Some((old, entry)) => self.push_old(old, entry, sealer, sink),
            None if is_directory => {
                let opened = Opened {
                    found: fresh.new.found,
                    attributes: Vec::new(),
                    target: None,
                    block: Block::default(),
                };
                self.push_fresh(&fresh, opened, Content::None, &[], false, sealer, sink);
            }
            None => {}
        }
    }

    /// Puts an entry of the parent's into the tree.
    fn push_old(&mut self, old: Old, entry: Entry, sealer: &mut Sealer, sink: &mut Sink) {
        if self.exact {
            if let Content::List { root, .. } = entry.content {
                let reader = Reader::recording(root, Form::Pieces, From::Anywhere);
                self.listing = Some((old, entry, reader));
                return;
            }
            list_ids(&entry, sink);
        }
        self.push(&old.key, &old.value, &old.tail, sealer, sink);
        self.count(show(&old.key), entry.kind, &entry.stat);
    }

    /// Walks the list of pieces of an unchanged file. False if it waits.
    fn list_pieces(&mut self, sealer: &mut Sealer, sink: &mut Sink) -> bool {
        let Some((_, _, reader)) = &mut self.listing else { return false };
        let seen = reader.look(&mut sink.ops, &mut sink.asks);
        for id in reader.take_visited() {
            sink.list(id);
        }
        match seen {
            Seen::Wait => false,
            Seen::Entry => {
                if let Ok(Piece::Chunk { id, .. }) = Piece::decode(reader.value()) {
                    sink.list(id);
                }
                reader.advance();
                true
            }
            Seen::End => {
                if let Some((old, entry, _)) = self.listing.take() {
                    list_ids(&entry, sink);
                    self.push(&old.key, &old.value, &old.tail, sealer, sink);
                    self.count(show(&old.key), entry.kind, &entry.stat);
                }
                true
            }
            Seen::Lost { .. } => {
                // What is listed there cannot be known: the file is read again.
                if let Some((old, entry, _)) = self.listing.take() {
                    self.read_again(&old, &entry, sink);
                }
                true
            }
        }
    }

    /// Reads an unchanged file whose list of pieces is lost.
    fn read_again(&mut self, old: &Old, entry: &Entry, sink: &mut Sink) {
        let found = super::ports::Found {
            kind: super::ports::FoundKind::File,
            stat: entry.stat,
            same_file_system: true,
        };
        let new = New { key: old.key.clone(), path: show(&old.key), found };
        let op = self.ask_open(&new, sink);
        self.opens += 1;
        self.queue.push_front(Task::Fresh(Fresh { new, old: None, open: Open::Asked(op), attempts: 1 }));
    }

    /// Makes an entry of what was opened and puts it into the tree.
    #[allow(clippy::too_many_arguments)] // all of it is one entry
    fn push_fresh(
        &mut self,
        fresh: &Fresh,
        opened: Opened,
        content: Content,
        tail: &[u8],
        torn: bool,
        sealer: &mut Sealer,
        sink: &mut Sink,
    ) {
        let Some(kind) = kind_of(opened.found.kind) else { return };
        self.dropped += fresh.old.as_ref().map_or(0, |(_, entry)| ids_of(entry));
        let stat = opened.found.stat;
        let attributes = self.attributes(fresh, opened.attributes, sealer, sink);
        let entry = Entry { kind, stat, attributes, content, torn };
        match entry.encode() {
            Ok(value) => {
                self.push(&fresh.new.key, &value, tail, sealer, sink);
                self.count(fresh.new.path.clone(), kind, &stat);
            }
            Err(error) => self.report.unreadable(fresh.new.path.clone(), error.to_string()),
        }
    }

    /// Attributes as an entry holds them.
    fn attributes(
        &mut self,
        fresh: &Fresh,
        pairs: Vec<(Vec<u8>, Vec<u8>)>,
        sealer: &mut Sealer,
        sink: &mut Sink,
    ) -> Attributes {
        match encode_attributes(&pairs) {
            Ok(encoded) if encoded.len() > ATTRIBUTES_HERE_BYTES_MAX => {
                Attributes::Away { id: sink.seal(sealer, ChunkKind::Attributes, &encoded, &[]) }
            }
            Ok(_) => Attributes::Here(pairs),
            Err(error) => {
                self.report.unreadable(fresh.new.path.clone(), format!("extended attributes: {error}"));
                Attributes::Here(Vec::new())
            }
        }
    }

    /// Puts an entry into the tree.
    fn push(&mut self, key: &[u8], value: &[u8], tail: &[u8], sealer: &mut Sealer, sink: &mut Sink) {
        let Some(builder) = &mut self.builder else { return };
        let mut seal =
            |parts: NodeParts<'_>| sink.seal(sealer, ChunkKind::Tree, parts.compress, parts.follow);
        match builder.push(key, value, tail, &mut seal) {
            Ok(()) => {}
            Err(MapError::TooLong) => self.report.unreadable(show(key), "its entry is too long"),
            Err(error) => sink.fail(BackupError::Broken { what: error.to_string() }),
        }
    }

    /// Counts an entry.
    fn count(&mut self, path: Vec<u8>, kind: Kind, stat: &Stat) {
        count(&mut self.counts, kind, stat);
        self.path = path;
    }

    /// Ends the tree.
    fn finish(&mut self, builder: MapBuilder, sealer: &mut Sealer, sink: &mut Sink) -> Built {
        let mut seal =
            |parts: NodeParts<'_>| sink.seal(sealer, ChunkKind::Tree, parts.compress, parts.follow);
        match builder.finish(&mut seal) {
            Ok(tree) => {
                sink.flush_ids();
                Built::Tree(tree)
            }
            Err(error) => {
                sink.fail(BackupError::Broken { what: error.to_string() });
                Built::Wait
            }
        }
    }
}

/// Counts an entry.
pub(super) fn count(counts: &mut Counts, kind: Kind, stat: &Stat) {
    match kind {
        Kind::Directory => counts.directories += 1,
        Kind::Symlink => counts.files += 1,
        Kind::File => {
            counts.files += 1;
            counts.bytes = counts.bytes.saturating_add(stat.size);
        }
    }
}

/// How many ids an entry names, lists included (their nodes estimated).
fn ids_of(entry: &Entry) -> u64 {
    let away = u64::from(matches!(entry.attributes, Attributes::Away { .. }));
    let pieces = match &entry.content {
        Content::Pieces(pieces) => pieces.iter().filter(|piece| matches!(piece, Piece::Chunk { .. })).count(),
        Content::List { pieces, .. } => return away + pieces + pieces / PIECES_PER_NODE + 1,
        Content::None | Content::Inline | Content::Target(_) => 0,
    };
    away + u64::try_from(pieces).unwrap_or(u64::MAX)
}

/// Lists the ids that an entry names itself.
fn list_ids(entry: &Entry, sink: &mut Sink) {
    if let Attributes::Away { id } = &entry.attributes {
        sink.list(*id);
    }
    if let Content::Pieces(pieces) = &entry.content {
        for piece in pieces {
            if let Piece::Chunk { id, .. } = piece {
                sink.list(*id);
            }
        }
    }
}

/// What a task costs in the queue, in bytes.
fn weight(old: &Old) -> usize {
    old.key.len() + old.value.len() + old.tail.len() + TASK_BYTES
}

/// A key as a path, for people.
fn show(key: &[u8]) -> Vec<u8> {
    crate::file::tree::path_of(key)
}

/// About what a task takes beside its bytes.
const TASK_BYTES: usize = 256;
/// Pieces in a node of a long list, about.
const PIECES_PER_NODE: u64 = 600;
