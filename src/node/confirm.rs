//! Whether this node may append to its feed, and calls that wait until it may.
//!
//! After start nobody appends before a peer has shown what it knows of this node's feed: a disk that was restored from an
//! image would write two histories. The first peer that answers may have been off when this node wrote last, so that those
//! who are there too are waited for, for a moment. Snapshots become drafts meanwhile (`node/drafts.rs`), receipts and descriptions
//! come later by themselves; what a person orders (a folder, an invitation, a removal) waits here for a moment and is
//! then refused in words. A node that was the only member when it started knows all there is to know.

use std::collections::VecDeque;

use super::api::{ApiError, Call, Removal};
use super::core::Core;
use super::gossip::Gossip;
use super::ports::CallId;
use crate::base::ids::NodeId;
use crate::base::limits::{CONFIRM_OTHERS_WAIT, CONFIRM_WAIT_MAX};
use crate::base::units::Time;

/// Calls that wait for a peer's word on this node's feed.
#[derive(Default)]
pub struct Confirming {
    /// In the order in which they came, which is that of their ends.
    waiting: VecDeque<(CallId, Call, Time)>,
    /// Until when a peer may be expected to answer after start.
    grace: Option<Time>,
    /// A peer has shown what it knows, and others that may know more are waited for: until when, and whether that is the last time.
    pub(super) others: Option<(Time, bool)>,
    /// A peer knew more of this node's feed than its disk: what that has lost is looked for when all of it is known.
    pub(super) was_behind: bool,
}

impl Confirming {
    /// When a call is to be refused, or no more others are waited for.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.others.map(|(until, _)| until).or_else(|| self.refusal())
    }

    /// When a call is to be refused.
    fn refusal(&self) -> Option<Time> {
        self.waiting.front().map(|(_, _, until)| *until)
    }

    /// The client went away.
    pub(super) fn dropped(&mut self, id: CallId) {
        self.waiting.retain(|(waiting, _, _)| *waiting != id);
    }
}

impl Core {
    /// This node has become a member, or has read that it is one.
    pub(super) fn confirming_begins(&mut self) {
        self.confirming.grace = Some(self.now.time + CONFIRM_WAIT_MAX);
        if let Some(member) = &mut self.member {
            member.began_alone = member.is_alone();
        }
    }

    /// Whether an entry of this node cannot become a second history of its feed.
    pub(super) fn may_append(&self) -> bool {
        self.member.as_ref().is_some_and(|member| {
            member.confirmed || member.is_alone() || (member.began_alone && !self.gossip.is_anyone_ahead())
        })
    }

    /// Whether this node may say of itself what has changed. Who was alone when its disk was as it is now asks nobody how long ago that
    /// was: whoever was let in since has a moment to come and say so.
    pub(super) fn may_describe(&self) -> bool {
        let Some(member) = &self.member else { return false };
        let is_first = member.view.describe(&member.node).is_none();
        let is_over = self.confirming.grace.is_none_or(|grace| grace <= self.now.time);
        self.may_append() && (member.confirmed || is_first || is_over)
    }

    /// What a node must be for a call.
    pub(super) fn check_allowed(&self, call: &Call) -> Result<(), ApiError> {
        let anybody = matches!(
            call,
            Call::Init { .. }
                | Call::Join { .. }
                | Call::Recover { .. }
                | Call::Status
                | Call::Log { .. }
                | Call::Charts
                | Call::TestAlert { .. }
                | Call::ConfigGet { .. }
                | Call::ConfigKeys
                | Call::ConfigSet { .. }
        );
        let Some(member) = &self.member else {
            return if anybody {
                Ok(())
            } else {
                let hint = "run `nuthatch init` for a new vault, `nuthatch join` or `nuthatch recover` for an existing one";
                Err(ApiError::new("not_member", "this node belongs to no vault yet", hint))
            };
        };
        let any_member = anybody
            || matches!(
                call,
                Call::Nodes
                    | Call::Verify { .. }
                    | Call::Confirm { .. }
                    | Call::Sync { .. }
                    | Call::Pause { .. }
                    | Call::Resume
            );
        if !any_member && member.sealer.is_none() {
            let hint = "run this on a full node";
            return Err(ApiError::new(
                "not_full",
                "this node stores sealed chunks only and holds no key to read or write folders and notes",
                hint,
            ));
        }
        Ok(())
    }

    /// Puts a call aside if it would write what must not be written yet. What would be refused anyway is refused at once.
    pub(super) fn set_aside(&mut self, id: CallId, call: Call) -> Option<Call> {
        let writes = match &call {
            Call::FolderAdd(add) if add.kind == "attach" => self.check_attach(add).is_ok(),
            Call::FolderAdd(add) => self.check_folder(add).is_ok(),
            Call::FolderSet { name, changes } => self.would_set(name, changes),
            Call::FolderRemove { name } => {
                self.removable_folders().iter().any(|(_, text)| text.name == *name)
            }
            Call::Remove { node, how } => *how != Removal::Alone && self.find_node(node, true).is_ok(),
            Call::Forget { what } => self.would_retire(what, false),
            Call::Undo { what } => self.would_retire(what, true),
            Call::Erase { folder, snapshots, phrase } => {
                self.would_erase(folder, snapshots, phrase.is_some())
            }
            Call::Put { what, .. }
            | Call::Delete { what, .. }
            | Call::MakeDirectory { what }
            | Call::Move { to: what, .. } => self.find_editable(what).is_ok(),
            Call::Invite { .. } => true,
            Call::Confirm { what } => self.own_folders().iter().any(|(_, text)| text.name == *what),
            Call::Say { text } => self.would_say(text),
            _ => false,
        };
        if !writes || self.may_append() {
            return Some(call);
        }
        let now = self.now.time;
        let connected = self.gossip.peers().next().is_some();
        if self.confirming.grace.is_none_or(|grace| grace <= now) && !connected {
            // There was time enough to answer, and nobody did.
            self.end_call(id, Err(self.unconfirmed()));
            return None;
        }
        self.confirming.waiting.push_back((id, call, now + CONFIRM_WAIT_MAX));
        None
    }

    /// A peer has shown that it knows no more of this node than its disk does. That confirms the disk if all members have, or if
    /// nobody could know more; else the others have a moment to say so, too.
    pub(super) fn head_shown(&mut self) {
        let Some(member) = &self.member else { return };
        let has_shown = |other: &NodeId| *other == member.node || self.gossip.has_shown(other);
        let is_certain = member.confirmed
            || member.began_alone
            || (member.next_sequence() == 0 && !self.gossip.is_anyone_ahead())
            || member.view.roster().members().all(|other| has_shown(&other.node));
        if is_certain {
            self.head_confirmed();
        } else {
            self.confirming.others.get_or_insert((self.now.time + CONFIRM_OTHERS_WAIT, false));
        }
    }

    /// No more others are waited for; but for somebody who says that it knows more, once more.
    fn others_timeout(&mut self) {
        let now = self.now.time;
        let Some((_, is_last)) = self.confirming.others.filter(|(until, _)| *until <= now) else { return };
        if !is_last && self.gossip.is_anyone_ahead() {
            self.confirming.others = Some((now + CONFIRM_OTHERS_WAIT, true));
            return;
        }
        self.confirming.others = None;
        if self.gossip.peers().any(|peer| self.gossip.has_shown(peer)) {
            self.head_confirmed();
        }
    }

    /// Carries out what waited, if that is allowed now; refuses what has waited too long.
    pub(super) fn confirming_timeout(&mut self) {
        self.others_timeout();
        if self.confirming.waiting.is_empty() {
            return;
        }
        if self.may_append() {
            for (id, call, _) in std::mem::take(&mut self.confirming.waiting) {
                self.dispatch(id, call);
            }
            return;
        }
        if self.confirming.others.is_some() {
            // A peer has answered: that is decided in a moment.
            return;
        }
        let now = self.now.time;
        while self.confirming.refusal().is_some_and(|until| until <= now) {
            let Some((id, _, _)) = self.confirming.waiting.pop_front() else { break };
            self.end_call(id, Err(self.unconfirmed()));
        }
    }

    /// Why nothing may be written now, and what to do.
    pub(super) fn unconfirmed(&self) -> ApiError {
        let connected = self.gossip.peers().next().is_some();
        let message = if connected {
            "nothing was changed: another device knows more of this node than its own disk does, and has not shown it yet"
        } else {
            "nothing was changed: no other device of the vault can be reached, and until one has answered since the start, \
             this node cannot know whether its own disk is up to date (backups go on, and are published later)"
        };
        let hint = if connected {
            "try again in a moment"
        } else {
            "start another device of the vault, or name its address (`nuthatch config set peers.addresses`); \
             if all others are lost for good, run `nuthatch remove NODE --alone` for each of them"
        };
        ApiError::new("unconfirmed", message, hint)
    }
}

impl Gossip {
    /// Whether somebody says that it knows more of this node's own feed than is known here.
    pub(super) fn is_anyone_ahead(&self) -> bool {
        self.peers.values().any(super::peer_feeds::PeerFeeds::is_ahead)
    }
}
