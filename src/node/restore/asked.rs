//! `restore` and `read` as they are asked of a node: which snapshot, which path, and which content.

use super::super::api::{ApiError, Call};
use super::super::core::{Core, Duty};
use super::super::ports::CallId;
use super::super::status::sealed_elsewhere;
use super::read::{Read, ReadJob};
use super::selection::ContentOf;
use super::{Restore, RestoreJob};

impl Core {
    /// `restore`, also of some content only.
    pub(in crate::node) fn call_restore(&mut self, id: CallId, call: Call) {
        let (what, content) = match call {
            Call::Restore { what, dry_run: true } => (what, ContentOf::None),
            Call::Restore { what, dry_run: false } => (what, ContentOf::All),
            Call::RestoreSome { what, wanted } => (what, ContentOf::Some(wanted)),
            other => {
                let message = format!("this is no restore: {other:?}");
                return self.end_call(id, Err(ApiError::new("internal", message, "please report this")));
            }
        };
        let (fact, path) = match self.find_place(&what) {
            Ok(found) => found,
            Err(error) => return self.end_call(id, Err(error)),
        };
        let Some(tree) = fact.tree else { return self.end_call(id, Err(sealed_elsewhere())) };
        let job = RestoreJob {
            snapshot: fact.id,
            tree,
            path: path.into_bytes(),
            content,
            partial: !fact.entry.complete,
            files: fact.entry.counts.files,
            bytes: fact.entry.counts.bytes,
        };
        self.fill_call(id, |duty| Duty::Restore(Box::new(Restore::new(job, duty)), id));
    }

    /// `read`.
    pub(in crate::node) fn call_read(&mut self, id: CallId, what: &str, offset: u64, length: Option<u64>) {
        let (fact, path) = match self.find_place(what) {
            Ok(found) => found,
            Err(error) => return self.end_call(id, Err(error)),
        };
        let Some(tree) = fact.tree else { return self.end_call(id, Err(sealed_elsewhere())) };
        let job = ReadJob { snapshot: fact.id, tree, path: path.into_bytes(), offset, length };
        self.fill_call(id, |duty| Duty::List(Box::new(Read::new(job, duty)), id));
    }
}
