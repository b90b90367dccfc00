//! Running API calls: which piece goes to whom, and when a call is over.
//!
//! At most [`CALL_PIECES_MAX`] pieces of a call are under way; the rest waits here, bounded by what the call can say.
//! Progress is dropped rather than queued for a slow client.

mod protecting;
mod setting;

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use super::api::{ApiError, Call, Piece};
use super::core::{Core, Duty};
use super::edit::Act;
use super::ports::{CallId, Ending, Output};
use crate::base::ids::FolderId;
use crate::base::limits::{CALLS_MAX, CALL_PIECES_MAX, WAIT_FOR_PEERS_MAX};
use crate::base::units::{Span, Time};

/// All running calls.
#[derive(Default)]
pub struct Calls {
    /// By id.
    running: BTreeMap<CallId, Running>,
    /// Calls that came before the state was loaded.
    pub(super) early: VecDeque<(CallId, Call)>,
    /// What is to be told of a snapshot once it is durable.
    snapshot_lines: BTreeMap<FolderId, Value>,
}

/// One running call.
#[derive(Default)]
struct Running {
    /// Pieces that the client has not taken.
    under_way: usize,
    /// Pieces that wait for those.
    queue: VecDeque<Piece>,
    /// How it ended, once the queue is empty.
    end: Option<Result<Ending, ApiError>>,
    /// The duty that fills it.
    duty: Option<u64>,
    /// Events of the activity log that it has seen, if it follows.
    follows: Option<u64>,
    /// Backups that it still expects the end of.
    backups: usize,
    /// The first failure among them.
    failure: Option<ApiError>,
    /// Some of them were done in part.
    partial: bool,
    /// Folders whose protection it waits for.
    protecting: BTreeMap<FolderId, Waiting>,
}

/// Waits for copies.
struct Waiting {
    /// When something was last heard that could make a copy.
    heard: Time,
    /// The copies that were told last.
    told: Option<u8>,
    /// When to look whether it is to be given up.
    next_look: Time,
}

impl Calls {
    /// The duty that fills a call, or takes what its client sends.
    pub(super) fn duty_of(&self, call: CallId) -> Option<u64> {
        self.running.get(&call)?.duty
    }

    /// A backup call ends when so many folders have been told of.
    pub(super) fn expect_backups(&mut self, call: CallId, count: usize) {
        if let Some(running) = self.running.get_mut(&call) {
            running.backups = count;
        }
    }

    /// The call waits until the folder is protected.
    pub(super) fn wait_protected(&mut self, call: CallId, folder: FolderId, now: Time) {
        if let Some(running) = self.running.get_mut(&call) {
            running
                .protecting
                .insert(folder, Waiting { heard: now, told: None, next_look: now + WAIT_FOR_PEERS_MAX });
        }
    }

    /// The call is told what happens after so many events.
    pub(super) fn follow(&mut self, call: CallId, seen: u64) {
        if let Some(running) = self.running.get_mut(&call) {
            running.follows = Some(seen);
        }
    }

    /// What to tell of a snapshot once it is durable.
    pub(super) fn put_snapshot_line(&mut self, folder: FolderId, line: Value) {
        self.snapshot_lines.insert(folder, line);
    }

    /// Takes what [`Calls::put_snapshot_line`] kept.
    pub(super) fn take_snapshot_line(&mut self, folder: &FolderId) -> Option<Value> {
        self.snapshot_lines.remove(folder)
    }

    /// Whether a call waits for copies.
    pub(super) fn is_waiting_for_copies(&self) -> bool {
        self.running.values().any(|running| !running.protecting.is_empty())
    }

    /// When a wait may be given up.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let waits = self.running.values().flat_map(|running| running.protecting.values());
        waits.map(|waiting| waiting.next_look).min()
    }
}

impl Core {
    /// Somebody called.
    pub(super) fn called(&mut self, id: CallId, call: Call) {
        if self.calls.running.len() >= CALLS_MAX {
            let error = ApiError::new("busy", "too many requests at once", "try again in a moment");
            self.outputs.push_back(Output::Done { id, result: Err(error) });
            return;
        }
        self.calls.running.insert(id, Running::default());
        if self.loading.is_some() {
            self.calls.early.push_back((id, call));
            self.refuse_if_unreadable();
        } else {
            self.dispatch(id, call);
        }
    }

    /// The state is loaded: calls that came early are served.
    pub(super) fn serve_waiting_calls(&mut self) {
        while let Some((id, call)) = self.calls.early.pop_front() {
            self.dispatch(id, call);
        }
    }

    /// To whom each call goes.
    pub(super) fn dispatch(&mut self, id: CallId, call: Call) {
        if let Err(error) = self.check_allowed(&call) {
            return self.end_call(id, Err(error));
        }
        let Some(call) = self.set_aside(id, call) else { return };
        match call {
            Call::Init { name, site } => self.call_init(id, name, site),
            Call::Join { code, peer, name, site } => self.call_join(id, &code, peer, (name, site)),
            Call::Recover { phrase, peer, replace, name, site } => {
                let phrase = zeroize::Zeroizing::new(phrase);
                self.call_recover(id, &phrase, peer, replace, (name, site));
            }
            Call::Invite { role, wait } => self.call_invite(id, role, wait),
            Call::Nodes => self.call_nodes(id),
            Call::Remove { node, how } => self.call_remove(id, &node, how),
            Call::FolderAdd(add) => self.call_folder_add(id, add),
            Call::FolderList => self.call_folder_list(id),
            Call::FolderSet { name, changes } => self.call_folder_set(id, &name, &changes),
            Call::FolderRemove { name } => self.call_folder_remove(id, &name),
            Call::Backup { name, wait } => self.call_backup(id, name.as_deref(), wait),
            Call::Checksum { name, wait } => self.call_checksum(id, name.as_deref(), wait),
            Call::Sync { wait } => self.call_sync(id, wait),
            Call::Pause { span_us } => self.call_pause(id, span_us.map(Span::from_micros)),
            Call::Resume => self.call_resume(id),
            Call::Snapshots { name } => self.call_snapshots(id, name.as_deref()),
            Call::Forget { what } => self.call_forget(id, &what),
            Call::Undo { what } => self.call_undo(id, &what),
            Call::Erase { folder, snapshots, phrase } => {
                self.call_erase(id, &folder, &snapshots, phrase.map(zeroize::Zeroizing::new));
            }
            Call::Confirm { what } => self.call_confirm(id, &what),
            Call::List { what, recursive } => self.call_list(id, &what, recursive),
            Call::History { what } => self.call_history(id, &what),
            Call::Diff { before, after } => self.call_diff(id, &before, after.as_deref()),
            Call::Find { pattern, folder, all } => self.call_find(id, &pattern, folder.as_deref(), all),
            call @ (Call::Restore { .. } | Call::RestoreSome { .. }) => self.call_restore(id, call),
            Call::Read { what, offset, length } => self.call_read(id, &what, offset, length),
            Call::Put { what, file, wait } => self.call_put(id, &what, file, wait),
            Call::Delete { what, recursive } => self.call_delete(id, &what, recursive),
            Call::MakeDirectory { what } => self.call_make_directory(id, &what),
            Call::Move { from, to, copy, overwrite } => {
                self.call_transfer(
                    id,
                    (&from, &to),
                    Act::Transfer { from: Vec::new(), keep: copy, overwrite },
                );
            }
            Call::Status => self.call_status(id),
            Call::Verify { all } => self.call_verify(id, all),
            Call::Drill { name } => self.call_drill(id, name.as_deref()),
            Call::Say { text } => self.call_say(id, &text),
            Call::TestAlert { event } => self.call_test_alert(id, event.as_deref()),
            Call::Log { follow, after } => self.call_log(id, follow, after),
            Call::Charts => self.call_charts(id),
            Call::ConfigGet { key } => self.call_config_get(id, key.as_deref()),
            Call::ConfigKeys => self.call_config_keys(id),
            Call::ConfigSet { key, value } => self.call_config_set(id, &key, &value),
        }
    }

    /// A JSON piece.
    pub(super) fn json(&mut self, id: CallId, value: Value) {
        self.piece(id, Piece::Json(value));
    }

    /// A JSON piece that may be dropped if the client is slow.
    pub(super) fn progress(&mut self, id: CallId, value: Value) {
        if self.calls.running.get(&id).is_some_and(|running| running.under_way < CALL_PIECES_MAX) {
            self.json(id, value);
        }
    }

    /// A piece of an answer.
    pub(super) fn piece(&mut self, id: CallId, piece: Piece) {
        if let Some(running) = self.calls.running.get_mut(&id) {
            running.queue.push_back(piece);
            self.flow(id);
        }
    }

    /// The call is over once its pieces are sent.
    pub(super) fn end_call(&mut self, id: CallId, result: Result<Ending, ApiError>) {
        if let Some(running) = self.calls.running.get_mut(&id) {
            running.end.get_or_insert(result);
            self.flow(id);
        }
    }

    /// The client took a piece.
    pub(super) fn taken(&mut self, id: CallId) {
        let Some(running) = self.calls.running.get_mut(&id) else { return };
        running.under_way = running.under_way.saturating_sub(1);
        match running.duty.and_then(|duty| self.duties.get_mut(&duty)) {
            Some(Duty::Restore(restore, _)) => restore.taken(),
            Some(Duty::List(list, _)) => list.taken(),
            _ => {}
        }
        self.flow(id);
        self.show_activity();
    }

    /// The client went away.
    pub(super) fn dropped(&mut self, id: CallId) {
        let running = self.calls.running.remove(&id);
        self.drop_duty(running.and_then(|running| running.duty));
        self.calls.early.retain(|(early, _)| *early != id);
        self.edits_dropped(id);
        self.confirming.dropped(id);
        self.entering_dropped(id);
    }

    /// Sends what the client has room for.
    fn flow(&mut self, id: CallId) {
        let Some(running) = self.calls.running.get_mut(&id) else { return };
        while running.under_way < CALL_PIECES_MAX {
            let Some(piece) = running.queue.pop_front() else { break };
            running.under_way += 1;
            self.outputs.push_back(Output::Piece { id, piece });
        }
        if running.queue.is_empty() {
            if let Some(result) = running.end.take() {
                self.calls.running.remove(&id);
                self.outputs.push_back(Output::Done { id, result });
            }
        }
    }

    /// A duty fills the call from now on.
    pub(super) fn fill_call(&mut self, id: CallId, make: impl FnOnce(u64) -> Duty) {
        let number = self.begin_duty(make);
        if let Some(running) = self.calls.running.get_mut(&id) {
            running.duty = Some(number);
        }
    }

    /// The duty behind a call has ended.
    pub(super) fn duty_call_ends(&mut self, number: u64, id: CallId, result: Result<Ending, ApiError>) {
        self.duties.remove(&number);
        self.end_call(id, result);
    }

    /// One folder of a backup call is done.
    pub(super) fn backup_call_ends(&mut self, id: CallId, result: Result<Ending, ApiError>) {
        let Some(running) = self.calls.running.get_mut(&id) else { return };
        running.backups = running.backups.saturating_sub(1);
        match result {
            Ok(Ending::Complete) => {}
            Ok(Ending::Partial) => running.partial = true,
            Err(error) => running.failure = running.failure.take().or(Some(error)),
        }
        if running.backups > 0 {
            return;
        }
        let result = match running.failure.take() {
            Some(error) => Err(error),
            None if running.partial => Ok(Ending::Partial),
            None => Ok(Ending::Complete),
        };
        self.end_call(id, result);
    }

    /// Tells followers what they have not seen; those that are slow, when they have taken the rest.
    pub(super) fn show_activity(&mut self) {
        let count = self.activity.last();
        let followers: Vec<(CallId, u64)> = self
            .calls
            .running
            .iter()
            .filter(|(_, running)| running.queue.is_empty())
            .filter_map(|(id, running)| Some((*id, running.follows?)))
            .collect();
        for (id, seen) in followers {
            let lines: Vec<Value> = self.activity.since(seen).collect();
            if let Some(running) = self.calls.running.get_mut(&id) {
                running.follows = Some(count);
            }
            for line in lines {
                self.json(id, line);
            }
        }
    }
}
