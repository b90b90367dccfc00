//! Files are opened ahead of the one being cut, many at a time.

use super::{Build, Entry, Fresh, New, Old, Op, Sink};
use crate::file::entry::Stat;
use crate::node::duty::Ask;
use crate::node::ports::FileRequest;
use crate::node::queue::opening_budget;

impl Build {
    /// Asks for an opening and queues the entry.
    pub(super) fn open(&mut self, new: New, old: Option<(Old, Entry)>, sink: &mut Sink) {
        let op = self.ask_open(&new, Some(new.found.stat), sink);
        self.queue.open(op, Fresh { new, old, attempts: 1 });
    }

    /// Asks for an opening of what was listed with this stat, if it is to be as it was then.
    pub(super) fn ask_open(&self, new: &New, listed: Option<Stat>, sink: &mut Sink) -> Op {
        let op = sink.ops.draw();
        let budget = opening_budget(new);
        let known = listed.filter(|_| budget > 0);
        let (root, path) = (self.tools.root.clone(), new.path.clone());
        sink.asks.push_back(Ask::File(FileRequest::Open { op, root, path, budget, known }));
        op
    }
}
