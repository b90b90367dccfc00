//! Running API calls: which piece goes to whom, and when a call is over.
//!
//! At most [`CALL_PIECES_MAX`] pieces of a call are under way; the rest waits here, bounded by what the call can say.
//! Progress is dropped rather than queued for a slow client.

mod setting;

use std::collections::{BTreeMap, VecDeque};

use serde_json::{json, Value};

use super::api::{ApiError, Call, Piece};
use super::core::{Core, Duty};
use super::ports::{CallId, Ending, Output};
use crate::base::ids::{FolderId, NodeId};
use crate::base::limits::{CALLS_MAX, CALL_PIECES_MAX, WAIT_FOR_PEERS_MAX, WAIT_FOR_STALLED_MAX};
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
            Call::Remove { node, alone } => self.call_remove(id, &node, alone),
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
            Call::Status => self.call_status(id),
            Call::Verify { all } => self.call_verify(id, all),
            Call::Drill { name } => self.call_drill(id, name.as_deref()),
            Call::Say { text } => self.call_say(id, &text),
            Call::TestAlert { event } => self.call_test_alert(id, event.as_deref()),
            Call::Log { follow } => self.call_log(id, follow),
            Call::ConfigGet { key } => self.call_config_get(id, key.as_deref()),
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

    /// Looks whether what calls wait for is protected now.
    pub(super) fn check_waiting_backups(&mut self) {
        let waiting: Vec<(CallId, FolderId)> = self
            .calls
            .running
            .iter()
            .flat_map(|(id, running)| running.protecting.keys().map(|folder| (*id, *folder)))
            .collect();
        for (id, folder) in waiting {
            let Some(fact) = self.newest_complete(&folder) else { continue };
            let protection = self.protection_of(&fact);
            let members = self.member.as_ref().map_or(0, |member| member.view.roster().members().count());
            let reachable = members >= usize::from(protection.wanted);
            let all_have = usize::from(protection.have) >= members.min(usize::from(protection.wanted));
            let folder_name = self.folder_name(&folder);
            // A draft has got another name when it was published.
            let line = json!({
                "event": "protected", "folder": folder_name, "snapshot": fact.id.hex(),
                "have": protection.have, "wanted": protection.wanted,
            });
            let now = self.now.time;
            let Some(wait) =
                self.calls.running.get_mut(&id).and_then(|running| running.protecting.get_mut(&folder))
            else {
                continue;
            };
            if wait.told != Some(protection.have) {
                wait.told = Some(protection.have);
                wait.heard = now;
            }
            if protection.is_full() || (!reachable && all_have) {
                let ending = if protection.is_full() { Ending::Complete } else { Ending::Partial };
                self.stop_waiting(id, folder, line, ending);
            }
        }
    }

    /// Gives up waits for which nothing has been heard for too long: sooner when nobody who is connected still owes a
    /// copy, later when somebody does and is silent about it.
    pub(super) fn give_up_waiting(&mut self) {
        let now = self.now.time;
        for waiting in self.calls.running.values_mut().flat_map(|running| running.protecting.values_mut()) {
            if waiting.next_look <= now {
                waiting.next_look = now + WAIT_FOR_PEERS_MAX.part(3);
            }
        }
        let late: Vec<(CallId, FolderId, Time)> = self
            .calls
            .running
            .iter()
            .flat_map(|(id, running)| {
                running.protecting.iter().map(|(folder, waiting)| (*id, *folder, waiting.heard))
            })
            .filter(|(_, _, heard)| *heard + WAIT_FOR_PEERS_MAX <= now)
            .collect();
        for (id, folder, heard) in late {
            let Some(fact) = self.newest_complete(&folder) else { continue };
            let owes = |node: &NodeId| {
                let member = self.member.as_ref();
                member
                    .is_some_and(|member| !member.view.receipts(&fact.id).any(|(holder, _)| holder == *node))
            };
            if self.gossip.peers().any(owes) && heard + WAIT_FOR_STALLED_MAX > now {
                continue;
            }
            let protection = self.protection_of(&fact);
            let line = json!({
                "event": "protected", "folder": self.folder_name(&folder), "snapshot": fact.id.hex(), "have": protection.have,
                "wanted": protection.wanted, "pending": "no device that lacks it can be reached now; it is copied when one can",
            });
            self.stop_waiting(id, folder, line, Ending::Partial);
        }
    }

    /// A wait is over.
    fn stop_waiting(&mut self, id: CallId, folder: FolderId, line: Value, ending: Ending) {
        if let Some(running) = self.calls.running.get_mut(&id) {
            running.protecting.remove(&folder);
        }
        self.json(id, line);
        self.backup_call_ends(id, Ok(ending));
    }

    /// Tells calls that wait for a snapshot's copies how far the holders are.
    pub(super) fn show_replication(&mut self, snapshot: &crate::base::ids::SnapshotId) {
        let Some(folder) = self
            .member
            .as_ref()
            .and_then(|member| member.view.snapshot(snapshot))
            .map(|fact| fact.entry.folder)
        else {
            return;
        };
        let Some(fact) = self.newest_complete(&folder).filter(|fact| fact.id == *snapshot) else { return };
        let protection = self.protection_of(&fact);
        let progress: Vec<(u64, u64)> =
            self.gossip.peers().filter_map(|peer| self.gossip.progress(peer, snapshot)).collect();
        let line = json!({
            "event": "progress", "folder": self.folder_name(&folder), "phase": "replicate",
            "files": fact.entry.counts.files, "bytes": fact.entry.counts.bytes, "new_bytes": fact.entry.counts.stored_bytes,
            "replicated": {
                "have": protection.have, "wanted": protection.wanted,
                "chunks_done": progress.iter().map(|(held, _)| held).sum::<u64>(),
                "chunks": fact.entry.counts.chunks.saturating_mul(u64::try_from(progress.len()).unwrap_or(1)),
            },
        });
        let calls: Vec<CallId> = self
            .calls
            .running
            .iter()
            .filter(|(_, running)| running.protecting.contains_key(&folder))
            .map(|(id, _)| *id)
            .collect();
        for id in calls {
            if let Some(waiting) =
                self.calls.running.get_mut(&id).and_then(|running| running.protecting.get_mut(&folder))
            {
                waiting.heard = self.now.time;
            }
            self.progress(id, line.clone());
        }
    }

    /// Tells followers what they have not seen; those that are slow, when they have taken the rest.
    pub(super) fn show_activity(&mut self) {
        let count = self.activity.count();
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
