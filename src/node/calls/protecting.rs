//! Calls that wait until a snapshot is on enough devices: what they are told, and when they are let go.

use serde_json::{json, Value};

use crate::base::ids::{FolderId, NodeId};
use crate::base::limits::{WAIT_FOR_PEERS_MAX, WAIT_FOR_STALLED_MAX};
use crate::base::units::Time;
use crate::node::core::Core;
use crate::node::ports::{CallId, Ending};

impl Core {
    /// Looks whether what calls wait for is protected now.
    pub(in crate::node) fn check_waiting_backups(&mut self) {
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
    pub(in crate::node) fn give_up_waiting(&mut self) {
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
    pub(in crate::node) fn show_replication(&mut self, snapshot: &crate::base::ids::SnapshotId) {
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
}
