//! Removing a member: at once, or when the others have what it holds.
//!
//! ```text
//!   remove --it is connected: "it leaves" (an entry, `feed/leave.rs`)--> others make the copies --all have receipted--> Remove
//!      |                                  \-- `remove --keep` takes it back
//!      \-- it is not, or --now, or --alone --> Remove
//! ```
//!
//! From the word on placement goes round the member, as it does round a full one; so the removal itself moves nothing. It
//! stays a member until then: it is read from, its receipts count, and if it can read it reads what is new. Whoever said the word looks
//! every few seconds whether all that stands is receipted by those whom placement now names and who are here; a restart forgets
//! nothing, for the word is in its feed. A holder that is away for long, or that was found lying, is not waited for: no copy comes of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{json, Value};

use super::activity::Level;
use super::after::AfterAppend;
use super::api::{ApiError, Removal};
use super::boot::role_word;
use super::core::Core;
use super::events::{Event, Kind};
use super::folders::folders_of;
use super::ports::CallId;
use super::status::attention::{Attention, Severity};
use crate::base::gather;
use crate::base::ids::{NodeId, SnapshotId};
use crate::base::limits::{LEAVES_PER_FEED_MAX, LEAVING_LOOK_EVERY};
use crate::base::units::{Copies, Time};
use crate::feed::entry::{Body, FolderKind, GroupSet, Remove, Role};
use crate::feed::view::SnapshotFact;

/// Members that leave by this node's word.
#[derive(Debug, Default)]
pub(super) struct Removing {
    /// When to look whether all is receipted that one holds.
    due: Option<Time>,
    /// A snapshot for which that was not so: looked at first the next time.
    waits_for: Option<SnapshotId>,
}

impl Removing {
    /// When to look again.
    pub(super) const fn deadline(&self) -> Option<Time> {
        self.due
    }

    /// Something may leave.
    pub(super) fn recheck(&mut self, now: Time) {
        self.due = Some(now);
    }
}

impl Core {
    /// `remove`.
    pub(super) fn call_remove(&mut self, id: CallId, wanted: &str, how: Removal) {
        let node = match self.removable(wanted) {
            Ok(node) => node,
            Err(error) => return self.end_call(id, Err(error)),
        };
        if how == Removal::Keep {
            let kept = self.keep_member(id, node);
            return kept.unwrap_or_else(|error| self.end_call(id, Err(error)));
        }
        if how == Removal::Alone && !self.may_append() {
            if self.gossip.peers().next().is_some() {
                let hint =
                    "remove it without --alone; a device that is connected knows what this node has written";
                let message = "nothing was changed: this node is not alone";
                return self.end_call(id, Err(ApiError::new("not_alone", message, hint)));
            }
            self.begin_feed_alone();
        }
        if how == Removal::Drained && self.gossip.is_connected(&node) && self.begin_leaving(id, node) {
            return;
        }
        let told = self.removal_told(&node, "removed");
        let then = |new_key: bool| {
            let mut value = told;
            value["new_key"] = new_key.into();
            AfterAppend::Done { call: id, value }
        };
        if let Err(error) = self.remove_member(node, then) {
            self.end_call(id, Err(error));
        }
    }

    /// The member that is meant, if it may be removed from here.
    fn removable(&self, wanted: &str) -> Result<NodeId, ApiError> {
        let node = self.find_node(wanted, false)?;
        let Some(member) = &self.member else { return Ok(node) };
        if node == member.node {
            let hint = "run `nuthatch remove` on another full node";
            return Err(ApiError::new("own_node", "a node does not remove itself", hint));
        }
        if member.keys.role() == Role::Full && !member.view.may_remove(&member.node, &node) {
            let hint =
                "remove it on a node that was a member before it, or with `nuthatch recover --replace`";
            let name = member.name_of(&node);
            let message = format!("{name} was a member before this node, which cannot remove it");
            return Err(ApiError::new("refused", message, hint));
        }
        Ok(node)
    }

    /// What is told of a member that is `removed`, or `leaving`.
    fn removal_told(&self, node: &NodeId, word: &str) -> Value {
        let Some(member) = &self.member else { return Value::Null };
        let left: Vec<String> = folders_of(member, node)
            .into_iter()
            .filter(|(entry, ..)| entry.kind == FolderKind::Backup)
            .map(|(_, text, _)| text.name)
            .collect();
        let role = member.view.roster().member(node).map_or(Role::Store, |member| member.role);
        json!({word: node.hex(), "name": member.name_of(node), "role": role_word(role), "left_behind": left})
    }

    /// Removes a member for good.
    fn remove_member(
        &mut self,
        node: NodeId,
        then: impl FnOnce(bool) -> AfterAppend,
    ) -> Result<(), ApiError> {
        let Some(member) = &self.member else { return Ok(()) };
        let (name, heads) = (member.name_of(&node), member.view.heads_of(&node));
        let is_full = member.view.roster().member(&node).is_some_and(|member| member.role == Role::Full);
        if !self.append_removal(Remove { node, heads }, then) {
            let hint = "remove it on the node that was a member first, or with `nuthatch recover --replace`";
            return Err(ApiError::new("refused", format!("{name} cannot be removed from here"), hint));
        }
        let key = if is_full { "; what is backed up from now on is sealed with a new key" } else { "" };
        let message = format!("{name} was removed for good{key}");
        self.raise(Event::new(Kind::MemberRemoved, Level::Warn, "members", message).of_node(name));
        Ok(())
    }

    /// Says that a member leaves, if others are still to be given what it holds.
    fn begin_leaving(&mut self, id: CallId, node: NodeId) -> bool {
        let Some(member) = &self.member else { return false };
        let (own, name) = (member.node, member.name_of(&node));
        let word = member.view.next_leave(node, true);
        let is_said = member.view.leaving(&node) == Some(own);
        // A word is needed to know who would hold what without it.
        if !is_said && self.append(Body::Leave(word), Vec::new(), AfterAppend::Nothing).is_none() {
            return false;
        }
        let is_heard = self.member.as_ref().is_some_and(|member| member.view.leaving(&node) == Some(own));
        if !is_heard {
            let message = format!("this node has said of {LEAVES_PER_FEED_MAX} others that they leave: {name} is removed at once");
            self.note(Level::Warn, "members", message);
            return false;
        }
        let (Some(waits_for), (lacking, _)) = (self.unmoved(&node), self.still_to_move(&node)) else {
            return false;
        };
        self.upkeep.removing = Removing { due: Some(self.now.time), waits_for: Some(waits_for) };
        if !is_said {
            let message =
                format!("{name} is removed when other devices have what it holds of {lacking} snapshots");
            self.note(Level::Info, "members", message);
        }
        let mut value = self.removal_told(&node, "leaving");
        value["snapshots"] = lacking.into();
        self.json(id, value);
        self.end_call(id, Ok(super::ports::Ending::Complete));
        true
    }

    /// Takes back that a member leaves.
    fn keep_member(&mut self, id: CallId, node: NodeId) -> Result<(), ApiError> {
        let Some(member) = &self.member else { return Ok(()) };
        let name = member.name_of(&node);
        if member.view.leaving(&node).is_none() {
            let message = format!("{name} is not about to be removed");
            return Err(ApiError::new("not_leaving", message, "nothing has to be done"));
        }
        let word = member.view.next_leave(node, false);
        let value = json!({"kept": node.hex(), "name": name});
        let then = AfterAppend::Done { call: id, value };
        if self.append(Body::Leave(word), Vec::new(), then).is_none() {
            let hint = "see the log";
            return Err(ApiError::new("refused", "the entry was refused", hint));
        }
        self.note(Level::Info, "members", format!("{name} stays"));
        Ok(())
    }

    /// Members that leave, each with who said so.
    fn all_leaving(&self) -> Vec<(NodeId, NodeId)> {
        let Some(member) = &self.member else { return Vec::new() };
        let members = member.view.roster().members().map(|member| member.node);
        members.filter_map(|node| Some((node, member.view.leaving(&node)?))).collect()
    }

    /// Removes those of whom nothing is needed any more.
    pub(super) fn removing_timeout(&mut self) {
        let now = self.now.time;
        if self.upkeep.removing.due.is_none_or(|due| due > now) {
            return;
        }
        self.upkeep.removing.due = None;
        let Some(own) = self.member.as_ref().map(|member| member.node) else { return };
        for (node, _) in self.all_leaving().into_iter().filter(|(_, by)| *by == own) {
            self.upkeep.removing.due = Some(now + LEAVING_LOOK_EVERY);
            if !self.may_append() || !self.gossip.is_settled() {
                continue;
            }
            self.upkeep.removing.waits_for = self.unmoved(&node);
            if self.upkeep.removing.waits_for.is_none() {
                // What is refused is tried again, and stands in the log.
                let _ = self.remove_member(node, |_| AfterAppend::Nothing);
            }
        }
    }

    /// A snapshot that stands and is not receipted by all who are to hold it without this member.
    fn unmoved(&self, node: &NodeId) -> Option<SnapshotId> {
        let member = self.member.as_ref()?;
        let mut places = Places::new();
        let first = self.upkeep.removing.waits_for.filter(|id| member.view.stands(id));
        let first = first.and_then(|id| member.view.snapshot(&id));
        let mut all = first.into_iter().chain(member.view.snapshots());
        all.find(|fact| self.is_unmoved(fact, node, &mut places)).map(|fact| fact.id)
    }

    /// Of how many snapshots that is so, and of how many there are.
    fn still_to_move(&self, node: &NodeId) -> (usize, usize) {
        let Some(member) = &self.member else { return (0, 0) };
        let mut places = Places::new();
        let lacking = member.view.snapshots().filter(|fact| self.is_unmoved(fact, node, &mut places));
        (lacking.count(), member.view.snapshots().count())
    }

    /// Whether somebody who is here and is to hold something of a snapshot has not receipted it.
    fn is_unmoved(&self, fact: &SnapshotFact, node: &NodeId, places: &mut Places) -> bool {
        let Some(member) = &self.member else { return false };
        let copies = fact.entry.copies;
        let places = places.entry(copies).or_insert_with(|| {
            let holders: BTreeSet<NodeId> = member.holders();
            let here = holders.iter().filter(|holder| *holder != node && self.is_believed(holder));
            gather::map(here.map(|holder| (*holder, member.kept_groups_of(holder, copies))))
        });
        places.iter().filter(|(holder, _)| **holder != fact.writer).any(|(holder, groups)| {
            let mut lacking = groups.clone();
            let held = member.view.receipts(&fact.id).find(|(node, _)| node == holder);
            held.iter().for_each(|(_, held)| lacking.subtract(held));
            !lacking.is_empty()
        })
    }

    /// Who leaves, for `status`.
    pub(super) fn removing_status(&self, attention: &mut Attention) -> Value {
        let Some(member) = &self.member else { return Value::Null };
        let tell = |(node, by): (NodeId, NodeId)| {
            let (name, by_name) = (member.name_of(&node), member.name_of(&by));
            let (lacking, all) = self.still_to_move(&node);
            let away = if self.gossip.is_connected(&node) || node == member.node {
                ""
            } else {
                ", which is not connected"
            };
            let message = format!("{name}{away} is removed when other devices have what it holds: {lacking} of {all} snapshots are still to be copied");
            let hint = format!("on {by_name}: `nuthatch remove {name} --now` does not wait, `nuthatch remove {name} --keep` lets it stay");
            let severity = if away.is_empty() { Severity::Advice } else { Severity::Trouble };
            attention.add(severity, message, hint);
            json!({"node": node.hex(), "name": name, "by": by_name, "snapshots": lacking})
        };
        self.all_leaving().into_iter().map(tell).collect()
    }
}

/// Who is to hold which groups, by how many copies are wanted.
type Places = BTreeMap<Copies, BTreeMap<NodeId, GroupSet>>;
