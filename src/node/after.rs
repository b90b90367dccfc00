//! What follows when something is durable: an entry that others may see from now on, or a setting.

use std::net::SocketAddr;

use serde_json::json;

use super::activity::Level;
use super::api::ApiError;
use super::core::{Core, Pending};
use super::ports::{CallId, Ending, Output};
use crate::base::ids::{FolderId, NodeId};
use crate::feed::entry::Head;
use crate::store::service::{Request, StoreError};

/// Entries that become durable.
#[derive(Debug)]
pub struct Appended {
    /// The feed and its head after them.
    pub(super) head: Head,
    /// Whom they came from; None: written here.
    pub(super) from: Option<NodeId>,
    /// What waits for it.
    pub(super) then: AfterAppend,
}

/// What follows when entries are durable.
#[derive(Debug)]
pub enum AfterAppend {
    /// Nothing.
    Nothing,
    /// The vault exists.
    Initialised {
        /// Who waits for the words.
        call: CallId,
        /// The words.
        phrase: zeroize::Zeroizing<String>,
    },
    /// The joiner is a member: welcome it.
    Admitted {
        /// Its request.
        ticket: u64,
        /// The answer.
        payload: Vec<u8>,
        /// Its name.
        name: String,
        /// Its id.
        node: NodeId,
    },
    /// A call has done what it should, with this result.
    Done {
        /// Which call.
        call: CallId,
        /// The result.
        value: serde_json::Value,
    },
    /// A snapshot is published.
    Published {
        /// Of which folder.
        folder: FolderId,
        /// Calls that are told.
        announce: bool,
    },
}

/// What follows when settings are saved.
#[derive(Debug)]
pub enum AfterSave {
    /// Nothing.
    Nothing,
    /// This node is a member by pairing.
    Joined {
        /// The inviter.
        from: SocketAddr,
    },
    /// A call has done what it should, with this result.
    Done {
        /// Which call.
        call: CallId,
        /// The result.
        value: serde_json::Value,
    },
    /// A snapshot is a draft.
    Drafted {
        /// Of which folder.
        folder: FolderId,
    },
    /// Whether the disk takes something again was to be seen.
    Afresh,
}

impl Core {
    /// Saves settings, then does what follows.
    pub(super) fn save(&mut self, mut settings: Vec<(String, Option<Vec<u8>>)>, then: AfterSave) {
        self.upkeep.collect.ride_along(self.now.time, &mut settings);
        self.hearing_rides_along(&mut settings);
        self.ask_store(Pending::Save(then), |op| Request::Save { op, settings });
    }

    /// Entries are durable: what follows.
    pub(super) fn after_append(&mut self, then: AfterAppend) {
        match then {
            AfterAppend::Nothing => {}
            AfterAppend::Initialised { call, phrase } => {
                self.become_member();
                let Some(member) = &self.member else { return };
                let name = self.setup.config.name.clone().unwrap_or_else(|| self.setup.host_name.clone());
                let value = json!({"vault": member.keys.vault().hex(), "node": member.node.hex(), "name": name, "recovery_phrase": *phrase});
                self.json(call, value);
                self.note(Level::Info, "members", "a new vault was made");
                self.end_call(call, Ok(Ending::Complete));
                self.describe_self();
                self.announce();
            }
            AfterAppend::Admitted { ticket, payload, name, node } => {
                if let Err(error) = self.endpoint.answer_pairing(self.now.time, ticket, payload) {
                    log::warn!("the joiner was not answered: {error}");
                }
                if let Some(call) = self.entering.invitation.as_ref().and_then(|invitation| invitation.call) {
                    self.json(call, json!({"event": "joined", "node": node.hex(), "name": name}));
                }
            }
            AfterAppend::Done { call, value } => {
                self.json(call, value);
                self.end_call(call, Ok(Ending::Complete));
            }
            AfterAppend::Published { folder, announce } => {
                self.published(folder, announce);
                self.retain(folder);
            }
        }
    }

    /// The disk did not take entries.
    pub(super) fn append_failed(&mut self, then: AfterAppend, reason: &str) {
        let error = ApiError::new(
            "disk",
            format!("the disk did not take it: {reason}"),
            "free space on the node's disk and try again",
        );
        match then {
            AfterAppend::Initialised { call, .. } => {
                // Nobody has seen the words: there is no such vault.
                self.member = None;
                self.end_call(call, Err(error));
            }
            AfterAppend::Done { call, .. } => self.end_call(call, Err(error)),
            AfterAppend::Published { folder, .. } => self.backup_failed(folder, error),
            AfterAppend::Nothing => self.recovery_failed(error),
            AfterAppend::Admitted { ticket, .. } => self.grant_failed(ticket, &error.message),
        }
    }

    /// Ends a duty in the middle; its temporary set goes with it.
    pub(super) fn drop_duty(&mut self, number: Option<u64>) {
        if let Some(number) = number.filter(|number| self.duties.remove(number).is_some()) {
            self.outputs.push_back(Output::Store(Request::SetDrop { set: number }));
        }
    }

    /// Why no entry of this node can be written.
    pub(super) fn refusal(&self) -> ApiError {
        if self.member.as_ref().is_some_and(|member| member.stopped) {
            let hint =
                "free space on the node's disk: it starts anew by itself within minutes, then try again";
            return ApiError::new("disk", "the disk did not take an earlier entry of this node", hint);
        }
        if !self.keyring.may_seal() {
            return super::keyring::waiting();
        }
        ApiError::new(
            "refused",
            "it is too long, or not this node's to write (any more)",
            "see `nuthatch log`",
        )
    }

    /// Settings are saved, or not.
    pub(super) fn saved(&mut self, then: AfterSave, result: Result<(), StoreError>) {
        let failure = result.err().map(|error| {
            ApiError::new(
                "disk",
                format!("the disk did not take it: {error}"),
                "free space on the node's disk and try again",
            )
        });
        match (then, failure) {
            (AfterSave::Nothing, None) => {}
            (AfterSave::Afresh, None) => self.afresh_possible(),
            (AfterSave::Afresh, Some(error)) => log::debug!("{error}"),
            (AfterSave::Nothing, Some(error)) => self.note(Level::Error, "store", error.to_string()),
            (AfterSave::Done { call, value }, None) => {
                self.json(call, value);
                self.end_call(call, Ok(Ending::Complete));
            }
            (AfterSave::Done { call, .. }, Some(error)) => self.end_call(call, Err(error)),
            (AfterSave::Joined { .. }, Some(error)) => {
                self.member = None;
                self.way_fails(error);
            }
            (AfterSave::Joined { from }, None) => {
                self.become_member();
                self.way_says("the code was right; connecting");
                self.reach.add_now(self.now.time, from);
                self.announce();
            }
            (AfterSave::Drafted { folder }, None) => self.published(folder, true),
            (AfterSave::Drafted { folder }, Some(error)) => self.backup_failed(folder, error),
        }
    }
}
