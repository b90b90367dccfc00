//! What a person is told: status, members, folders, snapshots; and which snapshot a person means.
//!
//! Nothing unknown is shown as good: protection is counted from receipts, and a snapshot that only this node has is
//! called so.

use serde_json::{json, Value};

use super::activity::Level;
use super::after::AfterAppend;
use super::api::ApiError;
use super::boot::role_word;
use super::config_keys::size_text;
use super::core::{Core, Duty, Pending};
use super::list::{List, ListJob};
use super::member::SnapshotFact;
use super::names::{self, Place, Wanted};
use super::ports::{CallId, Ending, Listening, Output};
use super::share::kind_word;
use super::verify::job::VerifyJob;
use super::verify::Verify;
use crate::base::units::Span;
use crate::feed::entry::{Body, Describe};
use crate::peer::discovery::{vault_tag, Announcement, State};
use crate::store::service::{Request, StoreStats};
use attention::{gone_attention, hurdles, rival_attention, About, Attention};
use std::net::SocketAddr;

pub(super) mod attention;
pub(super) mod pending;
mod summary;
mod wear;

impl Core {
    /// `status`: the store's numbers are asked for first.
    pub(super) fn call_status(&mut self, id: CallId) {
        self.ask_store(Pending::Stats(id), |op| Request::Stats { op });
    }

    /// `status`, with the store's numbers.
    pub(super) fn status_with(&mut self, id: CallId, stats: Option<&StoreStats>) {
        let mut attention = Attention::default();
        let folders = self.folder_states(&mut attention);
        self.guard_attention(&mut attention);
        self.surroundings_attention(stats, &mut attention);
        let upkeep = self.upkeep_status(&mut attention);
        let compared = self.reconciling_status(&mut attention);
        let audited = self.auditing_status(&mut attention);
        let drill = self.drill_status(&mut attention);
        let room = self.room_status(stats, &mut attention);
        let keys = self.keyring_status(&mut attention);
        let (silence, around) = (self.silence_status(&mut attention), self.around_status(&mut attention));
        let leaving = self.removing_status(&mut attention);
        let summary = self.pausing.summary(self.summary(&folders));
        let paused = self.pausing_status(&mut attention);
        let counters = self.endpoint.counters();
        let member = self.member.as_ref();
        let mut value = json!({
            "summary": summary, "paused": paused,
            "state": if member.is_some() { "member" } else { "unconfigured" },
            "node": member.map(|member| member.node.hex()),
            "name": self.own_name(),
            "site": self.setup.config.site,
            "role": member.map(|member| role_word(member.keys.role())),
            "vault": member.map(|member| member.keys.vault().hex()),
            "listen": self.listening.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "port_fell_back": self.listening.fell_back,
            "web_certificate": self.setup.certificate,
            "udp": {
                "gso": self.listening.offload.send_segments > 1,
                "gro": self.listening.offload.receive_segments > 1,
            },
            "version": env!("CARGO_PKG_VERSION"),
            "members": member.map_or(0, |member| member.view.roster().members().count()),
            "peers": self.endpoint.peers().map(|peer| json!({
                "node": peer.node.hex(),
                "name": member.map(|member| member.name_of(&peer.node)),
                "address": peer.address.to_string(),
                "rtt_us": peer.rtt.as_micros(),
                "sent_bytes": peer.sent_bytes,
                "received_bytes": peer.received_bytes,
                "sent_packets": peer.sent_packets,
                "lost_packets": peer.lost_packets,
                "retransmitted_bytes": peer.retransmitted_bytes,
            })).collect::<Vec<_>>(),
            "folders": folders,
            "losses": self.losses(),
            "store": stats.map(|stats| json!({
                "chunks": stats.chunks, "stored_bytes": stats.bytes, "free_bytes": stats.free_bytes,
                "quarantined": stats.quarantined, "merge_wants_bytes": stats.merge_wants_bytes, "written": wear::written(stats), "life": wear::life(stats),
            })),
            "room": room,
            "scrub": self.scrub_status(),
            "collect": upkeep, "push": self.push_status(),
            "keys": keys,
            "silence": silence, "around": around,
            "compare": compared,
            "audit": audited, "drill": drill,
            "attention": attention.told(),
            "bandwidth": self.throttle.status(), "links": self.links_status(), "lookup": self.lookup_status(),
            "counters": {
                "strangers": counters.strangers, "garbage": counters.garbage, "replayed": counters.replayed,
                "forged": counters.forged, "refused": counters.refused, "cookies": counters.cookies,
                "sent_bytes": counters.sent_bytes, "received_bytes": counters.received_bytes,
            },
            "log_number": self.activity.last(),
        });
        value["leaving"] = leaving;
        self.json(id, value);
        self.end_call(id, Ok(Ending::Complete));
    }

    /// Each folder and how it is.
    fn folder_states(&mut self, attention: &mut Attention) -> Vec<Value> {
        let own = self.member.as_ref().map(|member| member.node);
        let mut states = Vec::new();
        for (writer, entry, text) in self.shown_folders() {
            let newest = self.newest_complete(&entry.folder);
            let partial = self.newest_partial(&entry.folder);
            if entry.removed && newest.is_none() && partial.is_none() {
                continue;
            }
            let protection = newest.as_ref().map(|fact| self.protection_of(fact));
            let is_own = own == Some(writer);
            let local = self.folders.local.get(&entry.folder).filter(|_| is_own);
            let failure = local.and_then(|local| local.failure.clone());
            let scanning = local.is_some_and(|local| local.progress.is_some());
            let state = match (&failure, protection) {
                (Some(_), _) => "failed",
                (None, None) if partial.is_some() => "partial",
                (None, None) => "never",
                (None, Some(protection)) if protection.is_full() => "protected",
                (None, Some(_)) => "partly_protected",
            };
            if protection.is_some_and(|protection| protection.have == 0) && !entry.removed {
                gone_attention(&text.name, attention);
            }
            let is_left = self.is_left_behind(&writer, &entry);
            if is_left {
                self.left_attention(&text.name, &writer, attention);
            } else if !entry.removed {
                let about = About { name: &text.name, state, failure: failure.as_ref(), protection, is_own };
                self.folder_attention(&about, attention);
            }
            if let Some(rival) = self.rival_of(&entry.folder).filter(|_| is_own && !entry.removed) {
                rival_attention(&text.name, &rival, attention);
            }
            local.into_iter().for_each(|local| hurdles(local, &text.name, attention));
            states.push(json!({
                "name": text.name,
                "folder": entry.folder.hex(),
                "kind": kind_word(entry.kind),
                "writer": writer.hex(),
                "own": is_own,
                "removed": entry.removed, "left_behind": is_left,
                "directory": String::from_utf8_lossy(&text.directory),
                "copies": entry.copies.get(),
                "keep": crate::file::retain::Policy::from_counts(text.keep).to_string(),
                "ignore": text.ignore,
                "one_file_system": text.one_file_system, "max_size": text.max_size.map(size_text), "too_large": local.map(|local| local.too_large),
                "files": newest.as_ref().map(|fact| fact.entry.counts.files),
                "bytes": newest.as_ref().map(|fact| fact.entry.counts.bytes),
                "last_snapshot": newest.as_ref().map(|fact| fact.id.hex()),
                "taken": newest.as_ref().map(|fact| fact.entry.taken.to_string()),
                "draft": newest.as_ref().is_some_and(|fact| fact.draft),
                "watch": self.watch_status(&entry.folder, &text.name, attention),
                "changed": local.and_then(|local| local.timing.waits()).map(|(since, due)| json!({"for_us": self.now.time.since(since).as_micros(), "left_us": due.since(self.now.time).as_micros()})),
                "checked": local.and_then(|local| local.checked).map(|wall| wall.to_string()),
                "scanning": scanning, "guard": self.guard_status(&entry.folder),
                "protected": protection.map(|protection| json!({"have": protection.have, "wanted": protection.wanted, "sites": protection.sites})),
                "pending_bytes": self.pending_bytes(newest.as_ref()), "left_us": self.pending_time(newest.as_ref()).map(Span::as_micros),
                "partial": self.partial_status(partial.as_ref()),
                "state": state,
                "unwritten": local.map(|local| local.unwritten.told()),
                "failure": failure.map(|failure| failure.message),
            }));
        }
        states
    }

    /// `folder list`.
    pub(super) fn call_folder_list(&mut self, id: CallId) {
        let states = self.folder_states(&mut Attention::default());
        self.json(id, Value::Array(states));
        self.end_call(id, Ok(Ending::Complete));
    }

    /// `nodes`.
    pub(super) fn call_nodes(&mut self, id: CallId) {
        let Some(member) = &self.member else { return };
        let nodes: Vec<Value> = member
            .view
            .roster()
            .members()
            .map(|other| {
                let describe = member.view.describe(&other.node);
                let peer = self.endpoint.peers().find(|peer| peer.node == other.node);
                let own = self.listening.addresses.first().filter(|_| other.node == member.node);
                let address = peer.as_ref().map(|peer| peer.address).or(own.copied());
                // A writer writes no receipts for its own.
                let has = |id| member.view.receipts(id).any(|(node, _)| node == other.node);
                let held = member.view.snapshots().filter(|fact| fact.writer == other.node || has(&fact.id));
                let held = held.count();
                json!({
                    "node": other.node.hex(),
                    "name": member.name_of(&other.node),
                    "absence": self.absence_of(&other.node),
                    "site": describe.map(|describe| describe.site.clone()),
                    "role": role_word(other.role),
                    "self": other.node == member.node,
                    "leaving": member.view.leaving(&other.node).is_some(),
                    "connected": peer.is_some(),
                    "address": address.map(|address| address.to_string()),
                    "addresses": describe.map(|describe| describe.addresses.iter().map(ToString::to_string).collect::<Vec<_>>()),
                    "capacity_bytes": describe.map(|describe| describe.capacity_bytes),
                    "full": describe.map(|describe| describe.is_full),
                    "version": describe.map(|describe| describe.version.clone()),
                    "held_snapshots": held,
                })
            })
            .collect();
        self.json(id, Value::Array(nodes));
        self.end_call(id, Ok(Ending::Complete));
    }

    /// The snapshot and the path that a person means.
    pub(super) fn find_place(&self, what: &str) -> Result<(SnapshotFact, String), ApiError> {
        let place = Place::parse(what)?;
        let folders = self.all_folders();
        let mut ids: Vec<_> = folders
            .iter()
            .filter(|(_, _, text)| text.name == place.folder)
            .map(|(_, entry, _)| entry.folder)
            .collect();
        ids.dedup();
        if ids.is_empty() {
            let near = names::nearest(&place.folder, folders.iter().map(|(_, _, text)| text.name.as_str()));
            return Err(no_folder(&place.folder, &near));
        }
        let all: Vec<SnapshotFact> = ids.iter().flat_map(|folder| self.snapshots(Some(folder))).collect();
        let mut fitting: Vec<&SnapshotFact> =
            all.iter().filter(|fact| place.snapshot.fits(&fact.id, fact.entry.taken)).collect();
        fitting.sort_by_key(|fact| fact.age());
        let is_named = matches!(place.snapshot, Wanted::Prefix(_));
        fitting.retain(|fact| is_named || self.is_by_a_writer(fact));
        if !is_named && fitting.iter().any(|fact| fact.entry.complete) {
            fitting.retain(|fact| fact.entry.complete);
        }
        if is_named && fitting.len() > 1 {
            return Err(ApiError::new(
                "ambiguous",
                format!("several snapshots of '{}' begin like this", place.folder),
                "write more digits of the id",
            ));
        }
        match fitting.pop() {
            Some(fact) => Ok((fact.clone(), place.path)),
            None if all.is_empty() => Err(ApiError::new(
                "no_snapshot",
                format!("'{}' has no snapshot yet", place.folder),
                "run `nuthatch backup`",
            )),
            None => {
                let newest = all.last().map(|fact| fact.id.short()).unwrap_or_default();
                Err(ApiError::new(
                    "no_snapshot",
                    format!("'{}' has no such snapshot; the newest is {newest}", place.folder),
                    "see `nuthatch snapshots`",
                ))
            }
        }
    }

    /// `ls`.
    pub(super) fn call_list(&mut self, id: CallId, what: &str, recursive: bool) {
        let (fact, path) = match self.find_place(what) {
            Ok(found) => found,
            Err(error) => return self.end_call(id, Err(error)),
        };
        let Some(tree) = fact.tree else { return self.end_call(id, Err(sealed_elsewhere())) };
        if !fact.entry.complete {
            self.json(
                id,
                json!({"partial": true, "snapshot": fact.id.hex(), "taken": fact.entry.taken.to_string()}),
            );
        }
        let job = ListJob { tree, path: path.into_bytes(), recursive };
        self.fill_call(id, |duty| Duty::List(Box::new(List::new(job, duty)), id));
    }

    /// `verify`.
    pub(super) fn call_verify(&mut self, id: CallId, all: bool) {
        let Some(snapshots) = self.held_snapshots() else { return };
        let job = VerifyJob { snapshots, all };
        self.tell_scrub(id);
        self.fill_call(id, |duty| Duty::Verify(Box::new(Verify::new(job, duty)), Some(id)));
    }

    /// The sockets are bound.
    pub(super) fn now_listening(&mut self, listening: Listening) {
        let before = core::mem::replace(&mut self.listening, listening);
        self.reach.listening_since.get_or_insert(self.now.time);
        if !before.addresses.is_empty() && before.addresses != self.listening.addresses {
            // Peers learn the new address from the first packet that comes from it: it goes at once.
            let now = self.now.time;
            self.endpoint.on_moved(now);
            self.reach.network_changed(now);
        }
        if self.listening.fell_back && !before.fell_back {
            self.note(Level::Warn, "network", "the usual port is busy; another one is used and announced");
        }
        self.describe_self();
        self.announce();
    }

    /// The tag changes daily; and so often it is looked at whether what this node says of itself is still true.
    pub(super) fn announce_daily(&mut self) {
        if self.announced_day != self.day() {
            self.announce();
            self.describe_self();
        }
    }

    /// Days since 1970, as the wall clock has it.
    pub(super) fn day(&self) -> i64 {
        self.now.wall.as_micros().div_euclid(86_400_000_000)
    }

    /// What mDNS shall say.
    pub(super) fn announce(&mut self) {
        if self.loading.is_some() || self.listening.addresses.is_empty() {
            return;
        }
        let day = self.day();
        self.announced_day = day;
        let tag = self.member.as_ref().map(|member| vault_tag(member.keys.door().as_bytes(), day));
        let state = match (&self.member, self.entering.is_inviting()) {
            (None, _) => State::New,
            (Some(_), false) => State::Member,
            (Some(_), true) => State::Inviting,
        };
        let port = self.listening.addresses.first().map_or(0, SocketAddr::port);
        let instance = self.instance();
        let announcement = Announcement { instance, port, state, tag };
        self.outputs.push_back(Output::Announce(Some(announcement)));
    }

    /// Writes a Describe entry if what it would say has changed; only when the own head is confirmed, or alone.
    pub(super) fn describe_self(&mut self) {
        if self.listening.addresses.is_empty() || !self.may_describe() {
            return;
        }
        let Some((capacity_bytes, is_full)) = self.offered() else { return };
        let Some(member) = &self.member else { return };
        let describe = Describe {
            name: self.own_name(),
            site: self.setup.config.site.clone(),
            capacity_bytes,
            is_full,
            addresses: self
                .listening
                .addresses
                .iter()
                .take(crate::base::limits::ADDRESSES_MAX)
                .copied()
                .collect(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        if member.view.describe(&member.node) != Some(&describe) {
            self.append(Body::Describe(describe), Vec::new(), AfterAppend::Nothing);
        }
        self.full_again_or_not(is_full);
    }

    /// This node's name.
    pub(super) fn own_name(&self) -> String {
        self.setup.config.name.clone().unwrap_or_else(|| self.setup.host_name.clone())
    }

    /// The running announcement's instance name: the node's name and a little of its id or randomness, so that two nodes of one name differ.
    pub(super) fn instance(&mut self) -> String {
        if self.instance_suffix.is_none() {
            self.instance_suffix = Some(crate::base::ids::hex(&self.random::<3>()));
        }
        format!("nuthatch-{}", self.instance_suffix.clone().unwrap_or_default())
    }
}

/// Unknown folder.
pub(super) fn no_folder(name: &str, near: &str) -> ApiError {
    ApiError::new("no_folder", format!("there is no folder '{name}'{near}"), "see `nuthatch folder list`")
}

/// A snapshot that cannot be read here.
pub(super) fn sealed_elsewhere() -> ApiError {
    ApiError::new(
        "sealed",
        "this snapshot is sealed with a key that this node does not hold",
        "run this on a full node",
    )
}
