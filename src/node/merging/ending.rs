//! Both ends of a merge: the root is looked at; what was written is made durable and listed.

use super::{
    Act, Applied, Ask, BackupError, ChunkId, Counts, FileError, FileErrorKind, FileRequest, MergeEnd,
    Merging, Put, Request, RootFacts, SharedText, State, Taken,
};

impl Merging {
    /// The directory here; empty where there is none.
    pub(super) fn root(&self) -> Vec<u8> {
        self.job.root.clone().unwrap_or_default()
    }

    /// All that can be written is written.
    pub(super) fn sync(&mut self, applied: Applied) {
        let op = self.sink.ops.draw();
        let root = self.root();
        self.sink.asks.push_back(Ask::File(FileRequest::Put(Put {
            op,
            root,
            path: Vec::new(),
            mount: 0,
            act: Act::Sync,
        })));
        self.state = State::Sync(op, Box::new(applied));
    }

    /// The manifest is in the store's hands.
    pub(super) fn listed(&mut self, manifest: ChunkId, chunks: u64) {
        let State::Manifest(applied, _) = std::mem::replace(&mut self.state, State::Over) else { return };
        self.sink.drop_set();
        let tree = self.tree;
        let (parent, before) = &self.job.ours;
        let sides = std::iter::once(parent).chain(self.job.theirs.iter().map(|(parent, _)| parent));
        // What any side had that the merged tree does not need, and the nodes that were read and are replaced.
        let edited = self.edited.take().map(|edited| (edited.stale, edited.results));
        let (left, edits) = edited.unwrap_or_default();
        let stale = sides.fold(applied.nodes + left, |stale, side| stale.saturating_add(side.counts.stale));
        let counts = Counts { chunks, stored_bytes: 0, stale: stale.min(chunks), ..applied.counts };
        let shared = SharedText { applied: applied.root, seen: self.seen.clone() };
        let is_new = parent.tree != tree || *before != shared;
        let taken = Taken {
            tree,
            manifest,
            counts,
            report: applied.report,
            marker: self.marker,
            shared: Some(shared),
        };
        let end = MergeEnd {
            taken,
            is_new,
            is_here: self.job.root.is_some(),
            pending: applied.pending,
            unfit: applied.unfit,
            has_room: applied.unfit > 0 && applied.removed > 0,
            written: applied.written,
            conflicts: self.conflicts,
            edits,
        };
        let op = self.sink.ops.draw();
        self.sink.asks.push_back(Ask::Store(Request::Flush { op }));
        self.state = State::Flush(op, Box::new(end));
    }

    /// The root was looked at.
    pub(super) fn root_came(&mut self, result: Result<RootFacts, FileError>) {
        let root = self.root();
        let facts = match result {
            Ok(facts) => facts,
            Err(error) if error.kind == FileErrorKind::Missing => {
                return self.end(Err(BackupError::RootMissing { root }))
            }
            Err(error) => return self.end(Err(BackupError::RootUnreadable { root, detail: error.detail })),
        };
        self.marker = (facts.file_system, facts.inode);
        if self.job.marker.is_some_and(|known| known != self.marker) {
            return self.end(Err(BackupError::RootChanged { root }));
        }
        self.next_side();
    }

    /// It is over.
    pub(super) fn end(&mut self, result: Result<Box<MergeEnd>, BackupError>) {
        if result.is_err() {
            self.sink.asks.clear();
            self.sink.drop_set();
        }
        self.state = State::Ended(result);
    }
}
