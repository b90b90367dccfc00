//! Edits that bring no content: a directory is made, something is moved or copied within its folder.

use serde_json::json;

use super::super::api::ApiError;
use super::super::core::Core;
use super::super::edit::{directory, in_itself, shown, Act, Edit};
use super::super::ports::CallId;
use super::Ordered;
use crate::base::ids::FolderId;
use crate::file::entry::Stat;
use crate::file::tree::is_within;

impl Core {
    /// Makes an empty directory.
    pub(in crate::node) fn call_make_directory(&mut self, id: CallId, what: &str) {
        let (folder, key) = match self.find_editable(what) {
            Ok(found) => found,
            Err(error) => return self.end_call(id, Err(error)),
        };
        let mtime_ns = self.now.wall.as_micros().saturating_mul(1_000);
        let stat = Stat { size: 0, mtime_ns, ctime_ns: 0, inode: 0, mode: 0o755, uid: 0, gid: 0, links: 1 };
        let line = json!({"event": "made", "path": shown(&key)});
        let act = Act::Put { entry: Box::new(directory(&stat)), tail: Vec::new(), manifest: None };
        self.order_at_once(id, folder, Edit { key, act }, line);
    }

    /// `move`: `act` says how.
    pub(in crate::node) fn call_transfer(&mut self, id: CallId, (from, to): (&str, &str), act: Act) {
        let found = self.find_editable(from).and_then(|from| Ok((from, self.find_editable(to)?)));
        let ((folder, source), (other, key)) = match found {
            Ok(found) => found,
            Err(error) => return self.end_call(id, Err(error)),
        };
        if folder != other {
            let message = format!("'{from}' and '{to}' are not in the same folder");
            let error = ApiError::new("bad_path", message, "get it from the one, and put it into the other");
            return self.end_call(id, Err(error));
        }
        if is_within(&key, &source) || is_within(&source, &key) {
            return self.end_call(id, Err(in_itself(&source)));
        }
        let Act::Transfer { keep, overwrite, .. } = act else { return };
        let event = if keep { "copied" } else { "moved" };
        let line = json!({"event": event, "path": shown(&key), "from": shown(&source)});
        self.order_at_once(
            id,
            folder,
            Edit { key, act: Act::Transfer { from: source, keep, overwrite } },
            line,
        );
    }

    /// An edit for which nothing has to come.
    fn order_at_once(&mut self, call: CallId, folder: FolderId, edit: Edit, line: serde_json::Value) {
        let since = self.now.time;
        self.order(folder, Ordered { edit, call, wait: false, upload: None, line, since });
    }
}
