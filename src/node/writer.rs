//! Entries become a tree: what is counted, reported and listed for the manifest on the way.
//!
//! Owns the tree under construction. An entry that stands as the parent has it goes in byte for byte; in an exact build
//! the ids that it names are listed too, for which long lists of pieces are walked. Reads no file. Read
//! `node/build.rs` for where entries come from.

use super::join::{kind_of, New, Old};
use super::outcome::{BackupError, Report};
use super::ports::Opened;
use super::reader::{Form, Reader, Seen};
use super::share_scan::{Changed, SharedScan, Sharing};
use super::sink::{Out, Sink};
use crate::base::ids::ChunkId;
use crate::base::limits::ATTRIBUTES_HERE_BYTES_MAX;
use crate::feed::entry::{Counts, SharedText};
use crate::file::entry::texture::Texture;
use crate::file::entry::{encode_attributes, Attributes, Content, Entry, Kind, Piece, Stat};
use crate::file::map::{MapBuilder, MapError, NodeParts};
use crate::file::tree::path_of;
use crate::seal::sealed::ChunkKind;
use crate::store::service::Op;

/// A new or changed entry with all that belongs to it.
#[derive(Debug)]
pub(super) struct Made<'a> {
    /// Where it is.
    pub(super) new: &'a New,
    /// What was opened; its block is of no interest any more.
    pub(super) opened: Opened,
    /// Where its content is.
    pub(super) content: Content,
    /// Its inline content.
    pub(super) tail: Vec<u8>,
    /// What it looks like.
    pub(super) texture: Texture,
    /// It changed while it was read.
    pub(super) torn: bool,
    /// What is known of the path from before.
    pub(super) old: Option<Old>,
}

/// What a step of a walked list did.
#[derive(Debug)]
pub(super) enum Listed {
    /// There is no list to walk.
    Nothing,
    /// It waits for a node.
    Wait,
    /// It went on.
    Went,
    /// The list cannot be had: this file has to be read again.
    Lost(Box<(Old, Entry)>),
}

/// A tree under construction.
#[derive(Debug)]
pub(super) struct Writer {
    /// The tree; None once it is finished.
    builder: Option<MapBuilder>,
    /// Ids of unchanged entries are listed as well.
    exact: bool,
    /// The unchanged file whose list of pieces is walked for its ids.
    listing: Option<(Old, Entry, Reader)>,
    /// What was counted.
    counts: Counts,
    /// What a person should hear of.
    pub(super) report: Report,
    /// Ids that entries of the parent named which went or changed.
    dropped: u64,
    /// Path of the last entry.
    path: Vec<u8>,
    /// Of a shared folder: what stands on this disk, and whose changes are whose.
    sharing: Option<Sharing>,
    /// The same, finished.
    shared: Option<SharedText>,
    /// It says something new of more than the times of directories.
    restated: bool,
    /// A list could not be walked, so that not all is listed that the tree needs.
    unlisted: bool,
}

impl Writer {
    /// An empty tree.
    pub(super) fn new(map_key: &[u8; 32], exact: bool, shared: Option<&SharedScan>) -> Self {
        Self {
            sharing: shared.map(|scan| Sharing::new(map_key, scan)),
            shared: None,
            restated: false,
            unlisted: false,
            builder: Some(MapBuilder::new(map_key)),
            exact,
            listing: None,
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

    /// Path of the last entry.
    pub(super) fn path(&self) -> &[u8] {
        &self.path
    }

    /// Ids that entries of the parent named which went or changed.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// An entry of the parent's goes, or is replaced.
    pub(super) fn drop_old(&mut self, entry: &Entry) {
        self.dropped = self.dropped.saturating_add(ids_of(entry));
    }

    /// The walk of a list that waits for the answer to this request.
    pub(super) fn reader_of(&mut self, op: Op) -> Option<&mut Reader> {
        self.listing.as_mut().map(|(_, _, reader)| reader).filter(|reader| reader.has_asked(op))
    }

    /// Adds an entry as the parent has it; in an exact build perhaps only after some steps of [`Writer::list`].
    pub(super) fn keep(&mut self, old: Old, entry: Entry, out: &mut Out<'_>) {
        if self.exact && !old.is_gone() {
            if let Content::List { root, .. } = entry.content {
                self.listing = Some((old, entry, Reader::recording(root, Form::Pieces)));
                return;
            }
            list_ids(&entry, out.sink);
        }
        self.push_old(&old, &entry, out);
    }

    /// Adds an entry as the parent has it, whose ids are listed.
    fn push_old(&mut self, old: &Old, entry: &Entry, out: &mut Out<'_>) {
        if let Some(sharing) = &mut self.sharing {
            let kept = sharing.keep(old, out);
            return self.settle(&old.key, kept, out);
        }
        self.push(&old.key, &old.value, &old.tail, out);
        self.count(path_of(&old.key), entry.kind, &entry.stat);
    }

    /// What the shared folder's side has for the tree goes into it.
    fn settle(&mut self, key: &[u8], result: Result<(), String>, out: &mut Out<'_>) {
        if let Err(what) = result {
            self.report.unreadable(path_of(key), what);
        }
        while let Some(version) = self.sharing.as_mut().and_then(Sharing::pop) {
            if self.exact {
                // It may be here without having been sealed here: attributes that this disk has none of.
                list_ids(&version.entry, out.sink);
            }
            self.push(&version.key, &version.value, &version.tail, out);
            self.count(path_of(&version.key), version.entry.kind, &version.entry.stat);
        }
    }

    /// Of a shared folder, after [`Writer::finish`]: whether a snapshot is due though the tree is the same.
    pub(super) const fn is_restated(&self) -> bool {
        self.restated
    }

    /// Of a shared folder: the tree needs more than was listed, which the manifest before lists.
    pub(super) fn is_unlisted(&self) -> bool {
        self.unlisted || self.report.owed > 0
    }

    /// Of a shared folder, after [`Writer::finish`]: what else is known now.
    pub(super) fn take_shared(&mut self) -> Option<SharedText> {
        self.shared.take()
    }

    /// Goes on with the list that is walked.
    pub(super) fn list(&mut self, out: &mut Out<'_>) -> Listed {
        let Some((_, _, reader)) = &mut self.listing else { return Listed::Nothing };
        let seen = reader.look(&mut out.sink.ops, &mut out.sink.asks);
        for id in reader.take_visited() {
            out.sink.list(id);
        }
        match seen {
            Seen::Wait => return Listed::Wait,
            Seen::Entry => {
                if let Ok(Piece::Chunk { id, .. }) = Piece::decode(reader.value()) {
                    out.sink.list(id);
                }
                reader.advance();
            }
            Seen::End => {
                if let Some((old, entry, _)) = self.listing.take() {
                    list_ids(&entry, out.sink);
                    self.push_old(&old, &entry, out);
                }
            }
            Seen::Lost { .. } => {
                if let Some((old, entry, _)) = self.listing.take() {
                    if self.sharing.is_some() {
                        // What others have made stands, whether it can be read here or not.
                        self.unlisted = true;
                        self.push_old(&old, &entry, out);
                        return Listed::Went;
                    }
                    return Listed::Lost(Box::new((old, entry)));
                }
            }
        }
        Listed::Went
    }

    /// Adds a new or changed entry.
    pub(super) fn add(&mut self, made: Made<'_>, out: &mut Out<'_>) {
        let Made { new, opened, content, tail, texture, torn, old } = made;
        let Some(kind) = kind_of(opened.found.kind) else { return };
        let stat = opened.found.stat;
        let attributes = self.attributes(new, opened.attributes, out);
        let entry = Entry { kind, stat, attributes, content, torn, texture, version: None };
        if let Some(sharing) = &mut self.sharing {
            let (key, disk) = (new.key.clone(), new.found.disk);
            let changed = sharing.change(Changed { key, entry, tail, old, disk }, out);
            return self.settle(&new.key, changed, out);
        }
        match entry.encode() {
            Ok(value) => {
                self.push(&new.key, &value, &tail, out);
                self.count(new.path.clone(), kind, &stat);
            }
            Err(error) => self.report.unreadable(new.path.clone(), error.to_string()),
        }
    }

    /// Ends the tree: its root, unless that failed.
    pub(super) fn finish(&mut self, out: &mut Out<'_>) -> Option<ChunkId> {
        if let Some(sharing) = &mut self.sharing {
            let ended = sharing.end(out);
            self.settle(&[], ended, out);
            self.restated = self.sharing.as_ref().is_some_and(Sharing::is_restated);
            self.report.owed = self.sharing.as_ref().map_or(0, |sharing| sharing.owed(self.entries()));
        }
        match self.sharing.take().map(|sharing| sharing.finish(out)) {
            None => {}
            Some(Ok(shared)) => self.shared = Some(shared),
            Some(Err(what)) => out.sink.fail(BackupError::Broken { what }),
        }
        let builder = self.builder.take()?;
        let mut seal = |parts: NodeParts<'_>| out.seal(ChunkKind::Tree, parts.compress, parts.follow);
        match builder.finish(&mut seal) {
            Ok(tree) => {
                out.sink.flush_ids();
                Some(tree)
            }
            Err(error) => {
                out.sink.fail(BackupError::Broken { what: error.to_string() });
                None
            }
        }
    }

    /// Entries so far.
    pub(super) fn entries(&self) -> u64 {
        self.builder.as_ref().map_or(0, MapBuilder::entries)
    }

    /// The tree as if it ended here: its root, and the nodes that nothing else lists. It goes on as if nothing had happened.
    pub(super) fn so_far(&self, out: &mut Out<'_>) -> Option<(ChunkId, Vec<ChunkId>)> {
        let mut apart = Vec::new();
        let mut seal = |parts: NodeParts<'_>| {
            let id = out.seal_apart(ChunkKind::Tree, parts.compress, parts.follow);
            apart.push(id);
            id
        };
        match self.builder.as_ref()?.so_far(&mut seal) {
            Ok(tree) => {
                out.sink.flush_ids();
                Some((tree, apart))
            }
            Err(error) => {
                out.sink.fail(BackupError::Broken { what: error.to_string() });
                None
            }
        }
    }

    /// Attributes as an entry holds them.
    fn attributes(&mut self, new: &New, pairs: Vec<(Vec<u8>, Vec<u8>)>, out: &mut Out<'_>) -> Attributes {
        match encode_attributes(&pairs) {
            Ok(encoded) if encoded.len() > ATTRIBUTES_HERE_BYTES_MAX => {
                Attributes::Away { id: out.seal(ChunkKind::Attributes, &encoded, &[]) }
            }
            Ok(_) => Attributes::Here(pairs),
            Err(error) => {
                self.report.unreadable(new.path.clone(), format!("extended attributes: {error}"));
                Attributes::Here(Vec::new())
            }
        }
    }

    /// Puts an entry into the tree.
    fn push(&mut self, key: &[u8], value: &[u8], tail: &[u8], out: &mut Out<'_>) {
        let Some(builder) = &mut self.builder else { return };
        let mut seal = |parts: NodeParts<'_>| out.seal(ChunkKind::Tree, parts.compress, parts.follow);
        match builder.push(key, value, tail, &mut seal) {
            Ok(()) => {}
            Err(MapError::TooLong) => self.report.unreadable(path_of(key), "its entry is too long"),
            Err(error) => out.sink.fail(BackupError::Broken { what: error.to_string() }),
        }
    }

    /// Counts an entry.
    fn count(&mut self, path: Vec<u8>, kind: Kind, stat: &Stat) {
        count(&mut self.counts, kind, stat);
        self.path = path;
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
pub(super) fn ids_of(entry: &Entry) -> u64 {
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

/// Pieces in a node of a long list, about.
const PIECES_PER_NODE: u64 = 600;
