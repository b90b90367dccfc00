//! A bench for one duty at a time: the ports of a node, in memory, for tests of `node/backup.rs`, `restore.rs` and `list.rs`.
//!
//! Chunks lie in a map; puts are confirmed as the real store does it, late and in groups. The owner's files are
//! `sim/files.rs`, sealing and cutting are the real ones.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::files::FakeFiles;
use crate::base::ids::{ChunkId, FolderId, SnapshotId};
use crate::base::limits::{CALL_PIECES_MAX, GROUP_BYTES_MAX, PAGE_IDS_MAX, PUT_BYTES_MAX, READ_AHEAD_FILES};
use crate::base::units::WallTime;
use crate::feed::entry::Counts;
use crate::file::map::{MapCursor, Step};
use crate::node::api::ApiError;
use crate::node::backup::{Backup, BackupError, BackupJob, BackupOutput, Outcome, Parent, Report, Taken};
use crate::node::duty::{Ask, ChunkLost, Told};
use crate::node::frames::Frame;
use crate::node::list::{Lines as _, List, ListJob, ListOutput};
use crate::node::ports::{Ending, FileRequest};
use crate::node::restore::selection::ContentOf;
use crate::node::restore::{Restore, RestoreJob, RestoreOutput};
use crate::seal::keys::{FullKeys, RootSecret};
use crate::seal::sealed::{chunk_id, ChunkKind, Sealer};
use crate::store::service::{Op, Reply, Request};

/// Where the files are.
pub(super) const ROOT: &[u8] = b"/home/family";

/// The ports of a node, and what went through them.
pub(super) struct Bench {
    /// The owner's files.
    pub(super) files: FakeFiles,
    /// The store.
    pub(super) chunks: BTreeMap<ChunkId, Vec<u8>>,
    /// Chunks that cannot be had.
    pub(super) lost: BTreeSet<ChunkId>,
    /// Puts so far.
    pub(super) puts: u64,
    /// Chunks asked for so far, in order.
    pub(super) asked: Vec<ChunkId>,
    /// Temporary sets.
    pub(super) sets: BTreeMap<u64, BTreeSet<ChunkId>>,
    /// Puts that are not confirmed.
    unconfirmed: Vec<Reply>,
    /// Their bytes.
    unconfirmed_bytes: u64,
    /// The vault's keys.
    keys: FullKeys,
    /// Seals and opens.
    pub(super) sealer: Sealer,
    /// Duties so far.
    duties: u64,
}

/// A restored file, directory or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Restored {
    /// Its entry.
    pub(super) entry: Frame,
    /// Its content, holes as zeros.
    pub(super) content: Vec<u8>,
    /// Bytes of holes.
    pub(super) holes: u64,
    /// It was told to be lost.
    pub(super) lost: bool,
}

/// All that a restore gave.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// By path.
    pub(super) files: BTreeMap<Vec<u8>, Restored>,
    /// Paths in the order of their entries.
    pub(super) order: Vec<Vec<u8>>,
    /// Losses: path and reason.
    pub(super) losses: Vec<(Vec<u8>, String)>,
    /// Files whose content was not asked for.
    pub(super) left_out: Vec<Vec<u8>>,
    /// The last frame.
    pub(super) end: Option<Frame>,
}

impl Bench {
    /// An empty node of a vault.
    pub(super) fn new() -> Self {
        let keys = RootSecret::from_bytes([7; 32]).full_keys();
        let sealer = Sealer::new(&keys);
        let mut files = FakeFiles::default();
        files.make_root(ROOT);
        Self {
            files,
            chunks: BTreeMap::new(),
            lost: BTreeSet::new(),
            puts: 0,
            asked: Vec::new(),
            sets: BTreeMap::new(),
            unconfirmed: Vec::new(),
            unconfirmed_bytes: 0,
            keys,
            sealer,
            duties: 0,
        }
    }

    /// A job without anything special, long after all files were written.
    pub(super) fn job(&self, parent: Option<Parent>) -> BackupJob {
        BackupJob {
            folder: FolderId::from_bytes([1; 16]),
            root: ROOT.to_vec(),
            ignore: Vec::new(),
            one_file_system: false,
            max_size: None,
            marker: None,
            parent,
            partial: None,
            trusted_before: WallTime::from_micros(1_800_000_000_000_000),
            cut_key: self.keys.cut,
            map_key: self.keys.map,
            exact: false,
            anew: false,
            watch: false,
            checksum: false,
            lost: BTreeSet::new(),
            fresh: false,
            news: false,
            shared: None,
            guarded: crate::node::guard::guarding::Guarded::default(),
        }
    }

    /// Runs a backup to its end.
    pub(super) fn run(&mut self, job: BackupJob) -> Result<Outcome, BackupError> {
        self.drive(job, None).expect("nobody stops it")
    }

    /// Runs a backup that takes a partial snapshot whenever it can, until `stops` says so of one (then the power goes: None)
    /// or it ends.
    pub(super) fn run_in_parts(
        &mut self,
        job: BackupJob,
        stops: &mut dyn FnMut(&Taken) -> bool,
    ) -> Option<Result<Outcome, BackupError>> {
        self.drive(job, Some(stops))
    }

    /// Runs a backup.
    fn drive(
        &mut self,
        job: BackupJob,
        mut stops: Option<&mut dyn FnMut(&Taken) -> bool>,
    ) -> Option<Result<Outcome, BackupError>> {
        self.duties += 1;
        let mut backup = Backup::new(job, self.duties);
        if stops.is_some() {
            backup.take_partial();
        }
        let mut replies = VecDeque::new();
        let mut opens: u64 = 0;
        loop {
            let before = self.puts;
            while let Some(output) = backup.poll(&mut self.sealer) {
                match output {
                    BackupOutput::Ask(ask) => {
                        opens += u64::from(matches!(ask, Ask::File(FileRequest::Open { .. })));
                        self.serve(ask, &mut replies);
                    }
                    BackupOutput::Progress(_) => {}
                    BackupOutput::Partial(taken) => {
                        let stops = stops.as_mut().expect("none is taken unless it is wanted");
                        if stops(&taken) {
                            self.sets.clear();
                            self.confirm(&mut replies);
                            return None;
                        }
                        backup.take_partial();
                    }
                    BackupOutput::Finished(result) => {
                        assert!(!backup.busy(), "nothing follows the end");
                        assert!(self.sets.is_empty() || result.is_err(), "the set is dropped");
                        return Some(result);
                    }
                }
            }
            assert!(self.puts - before <= 10, "a turn seals a piece and the nodes that it closes");
            assert!(self.unconfirmed_bytes <= PUT_BYTES_MAX, "the window of puts holds");
            let waiting = u64::try_from(replies.iter().filter(|told| matches!(told, Told::File(_))).count());
            assert!(waiting.is_ok_and(|count| count <= u64::try_from(READ_AHEAD_FILES).unwrap() + 2));
            if backup.busy() {
                continue;
            }
            match replies.pop_front() {
                Some(told) => backup.told(told, &mut self.sealer),
                None => {
                    assert!(self.confirm(&mut replies), "the backup waits for nothing, after {opens} opens")
                }
            }
        }
    }

    /// Backs up and expects something new.
    pub(super) fn changed(&mut self, job: BackupJob) -> (Parent, Report) {
        match self.run(job) {
            Ok(Outcome::Changed(Taken { tree, manifest, counts, report, .. })) => {
                (Parent { tree, manifest, counts }, report)
            }
            other => panic!("not changed: {other:?}"),
        }
    }

    /// Backs up and expects nothing new.
    pub(super) fn unchanged(&mut self, job: BackupJob) -> Report {
        match self.run(job) {
            Ok(Outcome::Unchanged { report, .. }) => report,
            other => panic!("not unchanged: {other:?}"),
        }
    }

    /// Restores a path to its end.
    pub(super) fn restore(
        &mut self,
        parent: &Parent,
        path: &[u8],
        dry_run: bool,
    ) -> Result<(Stream, Ending), ApiError> {
        self.restore_some(parent, path, if dry_run { ContentOf::None } else { ContentOf::All })
    }

    /// Restores a path to its end, with the content of some files.
    pub(super) fn restore_some(
        &mut self,
        parent: &Parent,
        path: &[u8],
        content: ContentOf,
    ) -> Result<(Stream, Ending), ApiError> {
        self.duties += 1;
        let Counts { files, bytes, .. } = parent.counts;
        let snapshot = SnapshotId::from_bytes([3; 32]);
        let job = RestoreJob {
            snapshot,
            tree: parent.tree,
            path: path.to_vec(),
            content,
            partial: false,
            files,
            bytes,
        };
        let mut restore = Restore::new(job, self.duties);
        let (mut replies, mut stream, mut untaken) = (VecDeque::new(), Vec::new(), 0);
        loop {
            while let Some(output) = restore.poll(&mut self.sealer) {
                match output {
                    RestoreOutput::Ask(ask) => self.serve(ask, &mut replies),
                    RestoreOutput::Piece(piece) => {
                        assert!(piece.len() <= 1024 * 1024 + 64, "pieces are bounded");
                        stream.extend_from_slice(&piece);
                        untaken += 1;
                        assert!(untaken <= CALL_PIECES_MAX, "no more pieces than the client has room for");
                    }
                    RestoreOutput::Finished(result) => return result.map(|ending| (read(&stream), ending)),
                }
            }
            if restore.busy() {
                continue;
            }
            if untaken > 0 {
                untaken -= 1;
                restore.taken();
                continue;
            }
            let told = replies.pop_front().expect("the restore waits for something");
            restore.told(told, &mut self.sealer);
        }
    }

    /// How many chunks of content a restore asks for before any of them came.
    pub(super) fn ahead(&mut self, parent: &Parent) -> usize {
        self.duties += 1;
        let snapshot = SnapshotId::from_bytes([3; 32]);
        let job = RestoreJob {
            snapshot,
            tree: parent.tree,
            path: Vec::new(),
            content: ContentOf::All,
            partial: false,
            files: 0,
            bytes: 0,
        };
        let mut restore = Restore::new(job, self.duties);
        let (mut content, mut replies) = (0, VecDeque::new());
        loop {
            while let Some(output) = restore.poll(&mut self.sealer) {
                match output {
                    RestoreOutput::Ask(Ask::Chunk { id, .. })
                        if self.sealer.open(ChunkKind::Content, &self.chunks[&id]).is_ok() =>
                    {
                        content += 1;
                    }
                    RestoreOutput::Ask(ask) => self.serve(ask, &mut replies),
                    RestoreOutput::Piece(_) | RestoreOutput::Finished(_) => {}
                }
            }
            if restore.busy() {
                continue;
            }
            match replies.pop_front() {
                Some(told) => restore.told(told, &mut self.sealer),
                None => return content,
            }
        }
    }

    /// Lists a path to the end.
    pub(super) fn list(
        &mut self,
        tree: ChunkId,
        path: &[u8],
        recursive: bool,
    ) -> Result<Vec<serde_json::Value>, ApiError> {
        self.duties += 1;
        let mut list = List::new(ListJob { tree, path: path.to_vec(), recursive }, self.duties);
        let (mut replies, mut lines) = (VecDeque::new(), Vec::new());
        loop {
            while let Some(output) = list.poll() {
                match output {
                    ListOutput::Ask(ask) => self.serve(ask, &mut replies),
                    ListOutput::Line(line) => {
                        lines.push(line);
                        list.taken();
                    }
                    ListOutput::Bytes(_) => panic!("a listing has no content"),
                    ListOutput::Finished(result) => return result.map(|_| lines),
                }
            }
            if !list.busy() {
                let told = replies.pop_front().expect("the listing waits for something");
                list.told(told, &mut self.sealer);
            }
        }
    }

    /// The ids of a manifest.
    pub(super) fn manifest(&self, root: ChunkId) -> BTreeSet<ChunkId> {
        let mut cursor = MapCursor::new(root);
        let mut ids = BTreeSet::new();
        loop {
            match cursor.step().expect("a manifest is sound") {
                Step::Need(id) => {
                    let bytes = self.chunks.get(&id).expect("nodes of a manifest are kept").clone();
                    assert_eq!(
                        chunk_id(&bytes),
                        id,
                        "a node of a manifest is not sealed, and checked as it is"
                    );
                    cursor.give(id, bytes).expect("it was asked for");
                }
                Step::Entry { key, .. } => {
                    ids.insert(ChunkId::from_bytes(key.try_into().expect("keys of a manifest are ids")));
                }
                Step::End => return ids,
            }
        }
    }

    /// Does what a duty asks.
    pub(super) fn serve(&mut self, ask: Ask, replies: &mut VecDeque<Told>) {
        match ask {
            Ask::File(request) => replies.push_back(Told::File(self.files.answer(request))),
            Ask::Chunk { op, id } => {
                self.asked.push(id);
                let lost = || ChunkLost { reason: "no connected device holds it".into() };
                let result = match self.chunks.get(&id) {
                    Some(bytes) if !self.lost.contains(&id) => Ok(bytes.clone()),
                    _ => Err(lost()),
                };
                replies.push_back(Told::Chunk { op, id, result });
            }
            Ask::Store(request) => self.store(request, replies),
            Ask::Keep { .. } => panic!("these duties fetch nothing"),
        }
    }

    /// Does what is asked of the store.
    fn store(&mut self, request: Request, replies: &mut VecDeque<Told>) {
        match request {
            Request::Put { op, id, bytes } => self.put(op, id, bytes, replies),
            Request::Flush { op } => {
                self.confirm(replies);
                replies.push_back(Told::Store(Reply::Flush { op, result: Ok(()) }));
            }
            Request::Has { op, ids } => {
                let have = ids.iter().map(|id| self.chunks.contains_key(id)).collect();
                replies.push_back(Told::Store(Reply::Has { op, have }));
            }
            Request::SetAdd { set, ids } => {
                assert!(ids.len() <= PAGE_IDS_MAX);
                self.sets.entry(set).or_default().extend(ids);
            }
            Request::SetPage { op, set, after, limit } => {
                let ids = self.sets.get(&set).map_or(Vec::new(), |ids| {
                    ids.iter()
                        .filter(|id| after.is_none_or(|after| **id > after))
                        .take(limit)
                        .copied()
                        .collect()
                });
                replies.push_back(Told::Store(Reply::SetPage { op, ids }));
            }
            Request::SetDrop { set } => {
                self.sets.remove(&set);
            }
            other => panic!("these duties do not ask for this: {other:?}"),
        }
    }

    /// Keeps a chunk; it is confirmed later.
    fn put(&mut self, op: Op, id: ChunkId, bytes: Vec<u8>, replies: &mut VecDeque<Told>) {
        assert_eq!(chunk_id(&bytes), id, "an id is the hash of its bytes");
        self.puts += 1;
        self.unconfirmed_bytes += u64::try_from(bytes.len()).unwrap();
        let length = u32::try_from(bytes.len()).unwrap();
        let new = self.chunks.insert(id, bytes).is_none();
        let bytes = if new { length } else { 0 };
        self.unconfirmed.push(Reply::Put { op, id, bytes, result: Ok(new) });
        if self.unconfirmed_bytes >= GROUP_BYTES_MAX {
            self.confirm(replies);
        }
    }

    /// Confirms all puts. False if there are none.
    pub(super) fn confirm(&mut self, replies: &mut VecDeque<Told>) -> bool {
        let any = !self.unconfirmed.is_empty();
        replies.extend(self.unconfirmed.drain(..).map(Told::Store));
        self.unconfirmed_bytes = 0;
        any
    }
}

/// Reads a stream of frames.
fn read(mut bytes: &[u8]) -> Stream {
    let mut stream = Stream::default();
    let mut current = Vec::new();
    let mut begun = false;
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_at(4);
        let length = usize::try_from(u32::from_le_bytes(length.try_into().unwrap())).unwrap();
        let (body, mut rest) = rest.split_at(length);
        assert!(stream.end.is_none(), "nothing follows the end");
        match Frame::decode(body).expect("frames are frames") {
            Frame::Begin { .. } => begun = true,
            frame @ Frame::Entry { .. } => {
                let Frame::Entry { path, .. } = &frame else { panic!("it is an entry") };
                assert!(!path.split(|byte| *byte == b'/').any(|name| matches!(name, b"" | b"." | b"..")));
                current.clone_from(path);
                stream.order.push(path.clone());
                let restored = Restored { entry: frame, content: Vec::new(), holes: 0, lost: false };
                assert!(stream.files.insert(current.clone(), restored).is_none(), "each path comes once");
            }
            Frame::Data(length) => {
                let (data, behind) = rest.split_at(usize::try_from(length).unwrap());
                let file = stream.files.get_mut(&current).expect("data follow an entry");
                assert!(!file.lost, "nothing of a lost file follows");
                file.content.extend_from_slice(data);
                rest = behind;
            }
            Frame::Hole(length) => {
                let file = stream.files.get_mut(&current).expect("holes follow an entry");
                file.content.resize(file.content.len() + usize::try_from(length).unwrap(), 0);
                file.holes += length;
            }
            Frame::Lost { path, reason } => {
                if let Some(file) = stream.files.get_mut(&path) {
                    file.lost = true;
                }
                stream.losses.push((path, reason));
            }
            Frame::LeftOut => stream.left_out.push(current.clone()),
            frame @ Frame::End { .. } => stream.end = Some(frame),
        }
        bytes = rest;
    }
    assert!(begun && stream.end.is_some(), "a stream has a beginning and an end");
    stream
}
