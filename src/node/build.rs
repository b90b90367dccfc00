//! The build pass of a backup: the merge of directory and parent becomes a tree, and what changed is read and sealed.
//!
//! Owns what becomes of files that change or cannot be read. Files are opened ahead of the one being cut
//! (`node/queue.rs`), and entries come out in the order in which they went in. Read `node/join.rs` and
//! `node/content.rs` first.

use std::collections::BTreeSet;

use super::content::{Reading, Stepped, Tools, Whole};
use super::guard::tally::{Amount, Tally};
use super::join::{is_same, is_unchanged, kind_of, Join, Joined, New, Old};
use super::outcome::Progress;
use super::ports::{Block, FileError, FileErrorKind, FileReply, Found, FoundKind, Opened};
use super::queue::{Fresh, Popped, Queue};
use super::reader::Reader;
use super::scanned::Scanned;
use super::share_scan::SharedScan;
use super::sink::{Out, Sink};
use super::writer::{Listed, Made, Writer};
use crate::base::ids::ChunkId;
use crate::base::limits::{READ_ATTEMPTS_MAX, STEPS_PER_TURN_MAX};
use crate::feed::entry::{Counts, SharedText};
use crate::file::entry::texture::Texture;
use crate::file::entry::{Content, Entry, Kind};
use crate::file::piece::Piece;
use crate::file::tree::path_of;
use crate::store::service::Op;

mod counting;
mod missing;
mod opening;

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

/// What became of the first entry of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Front {
    /// It went on.
    Went,
    /// It waits for an answer.
    Waits,
    /// There is none.
    Empty,
}

/// The build pass.
#[derive(Debug)]
pub(super) struct Build {
    /// What is here, merged with what the parent has.
    pub(super) join: Join,
    /// For reading files.
    tools: Tools,
    /// The tree.
    writer: Writer,
    /// Entries that wait for those before them.
    queue: Queue,
    /// The file being read, with its opening (whose block is gone).
    reading: Option<(Fresh, Opened, Reading)>,
    /// The merge is over.
    joined: bool,
    /// Changes later than this may hide behind an equal stat, in nanoseconds since 1970: of the complete snapshot before,
    /// and of a partial one.
    trusted_ns: (i64, i64),
    /// Every file is read, whatever its stat says.
    reads_all: bool,
    /// Every file that lists one of these is.
    lost: BTreeSet<ChunkId>,
    /// What went and came, once there is something to compare with.
    tally: Tally,
    /// Contents that are missed, their hashes ascending.
    missed: Vec<u64>,
    /// What is new here stays here, unread.
    receives: bool,
}

impl Build {
    /// A build pass that has not begun.
    pub(super) fn new(
        join: Join,
        tools: Tools,
        trusted_ns: (i64, i64),
        exact: bool,
        shared: Option<&SharedScan>,
    ) -> Self {
        Self {
            join,
            writer: Writer::new(&tools.map_key, exact, shared),
            tools,
            queue: Queue::default(),
            reading: None,
            joined: false,
            trusted_ns,
            reads_all: false,
            lost: BTreeSet::new(),
            tally: Tally::default(),
            missed: Vec::new(),
            receives: shared.is_some_and(|scan| scan.receive),
        }
    }

    /// The same, and every file is read, whatever its stat says; or those that list what is lost.
    pub(super) fn reading_again(self, reads_all: bool, lost: &BTreeSet<ChunkId>) -> Self {
        Self { reads_all, lost: lost.clone(), ..self }
    }

    /// Whether a file is not read, for it is as it was and nothing of it is lost. (Pieces that a map of their own lists are not
    /// looked at: it would have to be read for every large file.)
    fn is_kept(&self, found: &Found, entry: &Entry, old: &Old) -> bool {
        let is_lost = match &entry.content {
            Content::Pieces(pieces) => {
                pieces.iter().any(|piece| matches!(piece, Piece::Chunk { id, .. } if self.lost.contains(id)))
            }
            Content::List { root, .. } => self.lost.contains(root),
            Content::None | Content::Inline | Content::Target(_) => false,
        };
        !self.reads_all && !is_lost && is_unchanged(found, entry, self.trusted_of(old))
    }

    /// The same, for the guard: how much there was before, and contents that are missed.
    pub(super) fn guarded(self, before: Amount, missed: &[u64]) -> Self {
        Self { tally: Tally { before, ..self.tally }, missed: missed.to_vec(), ..self }
    }

    /// What was counted so far: files, directories, bytes.
    pub(super) const fn counts(&self) -> &Counts {
        self.writer.counts()
    }

    /// Ids that the parent needed and this tree, by all that is known, does not: those of entries that went or changed,
    /// and all nodes of the parent's tree.
    pub(super) fn dropped(&mut self) -> u64 {
        self.writer.dropped() + self.join.old_nodes()
    }

    /// How far it is, if a partial snapshot would go further than one that an earlier backup took: entries so far.
    pub(super) fn behind_partial(&self) -> Option<u64> {
        Some(self.writer.entries()).filter(|entries| self.join.is_past_partial() && *entries > 0)
    }

    /// The tree of the entries so far: its root, and the nodes that only it has.
    pub(super) fn so_far(&self, out: &mut Out<'_>) -> Option<(ChunkId, Vec<ChunkId>)> {
        self.writer.so_far(out)
    }

    /// What was found so far, and became this tree.
    pub(super) fn scanned(&mut self, tree: ChunkId) -> Scanned {
        let mut report = self.writer.report.clone();
        self.join.walker().tell(&mut report);
        report.tally = Box::new(self.tally.clone());
        let (shared, restated) = (self.take_shared(), self.writer.is_restated());
        Scanned {
            tree: Some(tree),
            counts: *self.counts(),
            report,
            dropped: self.dropped(),
            shared,
            restated,
            unlisted: self.writer.is_unlisted(),
        }
    }

    /// Of a shared folder: what else is known now.
    pub(super) fn take_shared(&mut self) -> Option<SharedText> {
        self.writer.take_shared()
    }

    /// How far it is.
    pub(super) fn progress(&self, new_bytes: u64) -> Progress {
        let Counts { files, bytes, .. } = *self.writer.counts();
        Progress { files, bytes, new_bytes, path: self.writer.path().to_vec() }
    }

    /// Takes an answer of the file thread; one that nothing waits for is dropped.
    pub(super) fn file_told(&mut self, reply: FileReply) {
        match reply {
            FileReply::List { op, result } => {
                self.join.walker().listed(op, result);
            }
            FileReply::Open { op, result } => self.queue.came(op, result),
            FileReply::Read { op, result } => {
                if let Some((_, _, reading)) = &mut self.reading {
                    reading.came(op, result);
                }
            }
            FileReply::Root { .. } | FileReply::Put { .. } => {}
        }
    }

    /// The walk that waits for the answer to this request: of a list of pieces, or of the parent's tree.
    pub(super) fn reader_of(&mut self, op: Op) -> Option<&mut Reader> {
        match self.writer.reader_of(op) {
            Some(list) => Some(list),
            None => self.join.reader_of(op),
        }
    }

    /// Does at most one piece's work.
    pub(super) fn step(&mut self, out: &mut Out<'_>) -> Built {
        let mut built = match self.fill(out.sink) {
            Ok(true) => Built::Worked,
            Ok(false) => Built::Wait,
            Err(ended) => return ended,
        };
        let sealed = out.sink.sealed();
        for _ in 0..STEPS_PER_TURN_MAX {
            if !out.sink.has_room() {
                return built;
            }
            match self.front(out) {
                Front::Went => built = Built::Worked,
                Front::Waits => return built,
                Front::Empty if self.joined => {
                    return self.writer.finish(out).map_or(Built::Wait, Built::Tree)
                }
                Front::Empty => return built,
            }
            if out.sink.sealed() != sealed {
                return built;
            }
        }
        built
    }

    /// Merges on while the queue has room. True if it did anything.
    fn fill(&mut self, sink: &mut Sink) -> Result<bool, Built> {
        for step in 0..STEPS_PER_TURN_MAX {
            if self.joined || !self.queue.takes_more() {
                return Ok(step > 0);
            }
            match self.join.next(&mut sink.ops, &mut sink.asks, &mut self.writer.report) {
                Joined::New(_) if self.receives => {}
                Joined::New(new) => self.open(new, None, sink),
                Joined::Both(new, old) if old.shared.is_some() => match old.entry() {
                    Some(entry) if self.is_kept(&new.found, &entry, &old) => self.queue.keep(old, entry),
                    Some(entry) => self.open(new, Some((old, entry)), sink),
                    None => self.open(new, None, sink),
                },
                Joined::Both(new, old) => match Entry::decode(&old.value) {
                    Ok(entry) if self.is_kept(&new.found, &entry, &old) => self.queue.keep(old, entry),
                    Ok(entry) if Some(entry.kind) == kind_of(new.found.kind) => {
                        self.open(new, Some((old, entry)), sink);
                    }
                    Ok(entry) => {
                        self.writer.drop_old(&entry);
                        self.open(new, None, sink);
                    }
                    Err(_) => self.open(new, None, sink),
                },
                Joined::Kept(old) => match old.entry() {
                    Some(entry) => self.queue.keep(old, entry),
                    None => self.writer.report.unreadable(path_of(&old.key), "its entry cannot be read"),
                },
                Joined::Gone(mut old) => {
                    if let Some(entry) = old.entry() {
                        self.tally_gone(&old, &entry);
                        if let Some(known) = &mut old.shared {
                            known.gone = true;
                            self.queue.keep(old, entry);
                        } else {
                            self.writer.drop_old(&entry);
                        }
                    }
                }
                Joined::OldLost => return Err(Built::OldLost),
                Joined::Failed(error) => return Err(Built::RootFailed(error)),
                Joined::Wait => return Ok(step > 0),
                Joined::End => self.joined = true,
            }
        }
        Ok(true)
    }

    /// From when on changes may hide behind this entry's stat.
    fn trusted_of(&self, old: &Old) -> i64 {
        let (complete, partial) = self.trusted_ns;
        old.trusted(if old.of_partial { partial } else { complete })
    }

    /// Goes on with what is first.
    fn front(&mut self, out: &mut Out<'_>) -> Front {
        if let Some((_, _, reading)) = &mut self.reading {
            match reading.step(&mut self.tools, out) {
                Stepped::Wait => return Front::Waits,
                Stepped::Worked => {}
                Stepped::Whole(whole) => self.whole(whole, out),
                Stepped::Failed(error) => {
                    if let Some((fresh, _, _)) = self.reading.take() {
                        self.unreadable(fresh, &error, out);
                    }
                }
            }
            return Front::Went;
        }
        match self.writer.list(out) {
            Listed::Nothing => {}
            Listed::Wait => return Front::Waits,
            Listed::Went => return Front::Went,
            Listed::Lost(lost) => {
                self.read_again(&lost.0, &lost.1, out.sink);
                return Front::Went;
            }
        }
        match self.queue.pop() {
            Popped::Empty => return Front::Empty,
            Popped::Waits => return Front::Waits,
            Popped::Keep(old, entry) => self.writer.keep(old, entry, out),
            Popped::Opened(fresh, result) => self.came(fresh, result, out),
        }
        Front::Went
    }

    /// The first entry was opened, or not.
    fn came(&mut self, fresh: Fresh, result: Result<Opened, FileError>, out: &mut Out<'_>) {
        let failed = |kind, detail: &str| FileError { kind, detail: detail.into() };
        let mut opened = match result {
            Ok(opened) if opened.found.kind == fresh.new.found.kind => opened,
            Ok(_) => {
                let error =
                    failed(FileErrorKind::Changed, "it became something else while the folder was scanned");
                return self.unreadable(fresh, &error, out);
            }
            Err(error) => return self.unreadable(fresh, &error, out),
        };
        match (kind_of(opened.found.kind), opened.target.take()) {
            (Some(Kind::File), _) => {
                let block = std::mem::take(&mut opened.block);
                let reading =
                    Reading::new(fresh.new.path.clone(), opened.found.stat.size, block, &self.tools);
                self.reading = Some((fresh, opened, reading));
            }
            (Some(Kind::Symlink), Some(target)) => self.made(fresh, opened, Content::Target(target), out),
            (Some(Kind::Directory), _) => self.made(fresh, opened, Content::None, out),
            (Some(Kind::Symlink) | None, _) => {
                self.unreadable(fresh, &failed(FileErrorKind::Failed, "it has no target"), out);
            }
        }
    }

    /// Something that is no file is complete.
    fn made(&mut self, fresh: Fresh, opened: Opened, content: Content, out: &mut Out<'_>) {
        self.forget_old(&fresh);
        let Fresh { new, old, .. } = fresh;
        let old = old.map(|(old, _)| old);
        let (tail, texture) = (Vec::new(), Texture::Plain);
        self.writer.add(Made { new: &new, opened, content, tail, texture, torn: false, old }, out);
    }

    /// The file being read has come to its end: it held still, or it is read again, or it is torn.
    fn whole(&mut self, whole: Whole, out: &mut Out<'_>) {
        let Some((mut fresh, mut opened, _)) = self.reading.take() else { return };
        let torn = whole.after.is_some_and(|after| !is_same(&after, &opened.found.stat));
        if torn && fresh.attempts < READ_ATTEMPTS_MAX {
            fresh.attempts += 1;
            let op = self.ask_open(&fresh.new, None, out.sink);
            return self.queue.open_again(op, fresh);
        }
        if torn {
            self.writer.report.torn(fresh.new.path.clone());
        }
        self.compare_with_old(&fresh, &opened, &whole);
        self.tally_read(&fresh, &whole);
        self.forget_old(&fresh);
        opened.found.stat.size = whole.length;
        let Whole { content, tail, texture, .. } = whole;
        let Fresh { new, old, .. } = fresh;
        let old = old.map(|(old, _)| old);
        self.writer.add(Made { new: &new, opened, content, tail, texture, torn, old }, out);
    }

    /// A file that was read though its stat is as before: is its content?
    fn compare_with_old(&mut self, fresh: &Fresh, opened: &Opened, whole: &Whole) {
        let Some((old, entry)) = &fresh.old else { return };
        if !self.reads_all || !is_unchanged(&opened.found, entry, self.trusted_of(old)) {
            return;
        }
        let is_same = entry.content == whole.content
            && (whole.content != Content::Inline || self.tools.has_same_content(&old.tail, &whole.tail));
        if !is_same {
            self.writer.report.silent(fresh.new.path.clone());
        }
    }
}
