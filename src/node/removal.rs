//! Removing a member: at once, or when the others have what it holds.
//!
//! ```text
//!   remove --it may be here: "it leaves" (an entry, `feed/leave.rs`)--> others make the copies --all have receipted--> Remove
//!      |                                  \-- `remove --keep` takes it back
//!      \-- it is not, or --now, or --alone and nobody is --> Remove
//! ```
//!
//! From the word on placement goes round the member, as it does round a full one; so the removal itself moves nothing. It
//! stays a member until then: it is read from, its receipts count, and if it can read it reads what is new. Whoever said the word looks
//! every few seconds whether all that the member holds of what stands is receipted by those whom placement now names and who are here, and whether all
//! that it has written is known; a restart forgets nothing, for the word is in its feed. A holder that is away for long, or that was found lying, is not
//! waited for, but what nobody else has is: then a person has to say `--now`.

use std::collections::BTreeMap;

use serde_json::{json, Value};

use super::activity::Level;
use super::after::AfterAppend;
use super::api::{ApiError, Removal};
use super::boot::role_word;
use super::core::Core;
use super::events::{Event, Kind};
use super::folders::folders_of;
use super::member::Membership;
use super::ports::{CallId, Ending};
use super::status::attention::{Attention, Severity};
use crate::base::gather;
use crate::base::ids::NodeId;
use crate::base::limits::{LEAVES_PER_FEED_MAX, LEAVING_LOOK_EVERY, LEAVING_LOOK_PAUSE, LEAVING_LOOK_SELDOM};
use crate::base::units::{Copies, Time};
use crate::feed::entry::{Body, FolderKind, GroupSet, Remove, Role};
use crate::feed::view::{Applied, SnapshotFact};

/// Members that leave by this node's word.
#[derive(Debug, Default)]
pub(super) struct Removing {
    /// When to look whether all is receipted that one holds.
    due: Option<Time>,
    /// Of how many snapshots that was not so, by member.
    lacking: Vec<(NodeId, usize)>,
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
        let is_alone = self.gossip.peers().next().is_none();
        if how == Removal::Alone && !self.may_append() {
            if !is_alone {
                let hint =
                    "remove it without --alone; a device that is connected knows what this node has written";
                let message = "nothing was changed: this node is not alone";
                return self.end_call(id, Err(ApiError::new("not_alone", message, hint)));
            }
            self.begin_feed_alone();
        }
        // With somebody there it is a removal as any other.
        let waits = how == Removal::Drained || how == Removal::Alone && !is_alone;
        if waits && self.may_be_here(&node) {
            match self.begin_leaving(id, node) {
                Ok(false) => {}
                Ok(true) => return,
                Err(error) => return self.end_call(id, Err(error)),
            }
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

    /// Whether a member is connected, or may be there all the same where not everybody is linked with everybody.
    fn may_be_here(&self, node: &NodeId) -> bool {
        let may_be_far = self.reach.linking.is_choosing() && self.gossip.peers().next().is_some();
        let is_silent = || self.hearing.around.absences.overdue().contains(node);
        self.gossip.is_connected(node) || (may_be_far && !is_silent())
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

    /// Says that a member leaves. False: nothing that it holds is needed, and it may be removed at once.
    fn begin_leaving(&mut self, id: CallId, node: NodeId) -> Result<bool, ApiError> {
        let Some(member) = &self.member else { return Ok(false) };
        let (own, name) = (member.node, member.name_of(&node));
        let word = member.view.next_leave(node, true);
        let is_said = member.view.leaving(&node) == Some(own);
        // A word is needed to know who would hold what without it.
        let is_written =
            is_said || self.append(Body::Leave(word), Vec::new(), AfterAppend::Nothing).is_some();
        let is_heard = self.member.as_ref().is_some_and(|member| member.view.leaving(&node) == Some(own));
        if !is_written || !is_heard {
            let message = format!("this node cannot say that {name} leaves: it has said so of {LEAVES_PER_FEED_MAX} members, or another one keeps the last word");
            let hint = "`--now` removes it at once, also where others do not have yet what it holds";
            return Err(ApiError::new("refused", message, hint));
        }
        let lacking = self.still_to_move(&node);
        // Of one that is far its newest entries may be on their way.
        if lacking == 0 && self.knows_all_of(&node) && self.gossip.is_connected(&node) {
            return Ok(false);
        }
        let most = self.needed_max();
        if !self.gossip.is_connected(&node) && self.reach.linking.need(self.now.time, node, most) {
            self.reach.recheck(self.now.time);
        }
        self.upkeep.removing.recheck(self.now.time);
        if !is_said {
            let message =
                format!("{name} is removed when other devices have what it holds: of {lacking} snapshots they do not yet");
            self.note(Level::Info, "members", message);
        }
        let mut value = self.removal_told(&node, "leaving");
        value["snapshots"] = lacking.into();
        self.json(id, value);
        self.end_call(id, Ok(Ending::Complete));
        Ok(true)
    }

    /// Entries came: a word of this node that its disk had lost may be among them, or a receipt.
    pub(super) fn removal_heard(&mut self, entries: &[(Applied, Vec<u8>)]) {
        let any =
            |is_meant: fn(&Body) -> bool| entries.iter().any(|(applied, _)| is_meant(&applied.entry.body));
        // With who is removed its word goes: that of another one may decide again.
        if any(|body| matches!(body, Body::Leave(_))) {
            self.upkeep.removing.recheck(self.now.time);
        } else if any(|body| matches!(body, Body::Remove(_))) {
            self.upkeep.removing.recheck(self.now.time + LEAVING_LOOK_PAUSE);
        } else if any(|body| matches!(body, Body::Receipt(_))) {
            // Perhaps the last one that was waited for.
            let soon = self.now.time + LEAVING_LOOK_PAUSE;
            self.upkeep.removing.due = self.upkeep.removing.due.map(|due| due.min(soon));
        }
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
        self.upkeep.removing = Removing::default();
        let Some(member) = &self.member else { return };
        let pause = if member.view.snapshots().nth(1_000).is_some() {
            LEAVING_LOOK_SELDOM
        } else {
            LEAVING_LOOK_EVERY
        };
        let (own, is_stopped) = (member.node, member.stopped);
        for (node, _) in self.all_leaving().into_iter().filter(|(_, by)| *by == own) {
            self.upkeep.removing.due = Some(now + pause);
            let lacking = self.still_to_move(&node);
            self.upkeep.removing.lacking.push((node, lacking));
            if lacking == 0 && !is_stopped && self.may_append() && self.knows_all_of(&node) {
                // What is refused is tried again, and stands in the log.
                let _ = self.remove_member(node, |_| AfterAppend::Nothing);
            }
        }
    }

    /// Whether all that a member has written is here, as far as those who are connected know: what is not named in its Remove is void.
    fn knows_all_of(&self, node: &NodeId) -> bool {
        let lacks_nothing = |member: &Membership| self.gossip.lacks_nothing_of(node, &member.view);
        self.gossip.is_settled() && self.member.as_ref().is_some_and(lacks_nothing)
    }

    /// How many snapshots that stand the others do not have of this member's copies all that they are to have without it.
    fn still_to_move(&self, node: &NodeId) -> usize {
        let Some(member) = &self.member else { return 0 };
        let mut places = Places::new();
        member.view.snapshots().filter(|fact| self.is_unmoved(fact, node, &mut places)).count()
    }

    /// Whether of what the member holds of a snapshot somebody who is here and is to hold it has not receipted something, or nobody
    /// else has it at all.
    fn is_unmoved(&self, fact: &SnapshotFact, node: &NodeId, places: &mut Places) -> bool {
        let Some(member) = &self.member else { return false };
        let receipts = || member.view.receipts(&fact.id).filter(|(holder, _)| *holder != fact.writer);
        let held = if fact.writer == *node {
            GroupSet::all()
        } else {
            // Of one that has begun a new feed, too: it may be the only one that has it.
            member.view.once_receipted(&fact.id, node)
        };
        if held.is_empty() {
            return false;
        }
        let copies = fact.entry.copies;
        let places = places.entry(copies).or_insert_with(|| {
            let holders = member.holders();
            let here = holders.iter().filter(|holder| *holder != node && self.is_believed(holder));
            gather::map(here.map(|holder| (*holder, member.kept_groups_of(holder, copies))))
        });
        let is_lacking =
            places.iter().filter(|(holder, _)| **holder != fact.writer).any(|(holder, groups)| {
                let mut lacking = groups.clone();
                lacking.intersect(&held);
                if !lacking.is_empty() {
                    let has = receipts().find(|(node, _)| node == holder);
                    has.iter().for_each(|(_, has)| lacking.subtract(has));
                }
                !lacking.is_empty()
            });
        let is_with_writer = fact.writer != *node && self.is_whole_at_writer(fact);
        if is_lacking || is_with_writer {
            return is_lacking;
        }
        let mut only_here = held;
        for (_, has) in receipts().filter(|(holder, _)| holder != node && self.is_believed(holder)) {
            only_here.subtract(has);
        }
        !only_here.is_empty()
    }

    /// Whether its writer is to have all of a snapshot. Its disk was put back to an older image if it has begun a new feed since, and
    /// what it lacks by that is seen here only where the writer is this node: by what is pinned.
    fn is_whole_at_writer(&self, fact: &SnapshotFact) -> bool {
        let Some(member) = &self.member else { return false };
        let is_whole = if fact.writer == member.node {
            self.upkeep.collect.pins().contains_key(&fact.id)
        } else {
            member.view.newest_feed(&fact.writer) == Some(fact.feed)
        };
        is_whole && self.is_believed(&fact.writer)
    }

    /// Who leaves, for `status`.
    pub(super) fn removing_status(&self, attention: &mut Attention) -> Value {
        let Some(member) = &self.member else { return Value::Null };
        let is_alone = self.gossip.peers().next().is_none();
        let tell = |(node, by): (NodeId, NodeId)| {
            let (name, by_name) = (member.name_of(&node), member.name_of(&by));
            let is_here = self.may_be_here(&node);
            let lacking = self.upkeep.removing.lacking.iter().find(|(leaving, _)| *leaving == node);
            let lacking = lacking.filter(|_| by == member.node).map(|(_, lacking)| *lacking);
            let (severity, message, hint) = if node == member.node && is_alone {
                let message = format!("{by_name} has told this device to leave, and no other device is connected any more: most likely it was removed");
                (
                    Severity::Trouble,
                    message,
                    "it may be switched off; what is backed up here reaches no other device any more"
                        .to_owned(),
                )
            } else if node == member.node {
                let message = format!(
                    "{by_name} removes this device from the vault when other devices have what it holds"
                );
                (
                    Severity::Trouble,
                    message,
                    "let it run until then, and back nothing up here that others are still to get".to_owned(),
                )
            } else {
                let away = if is_here { "" } else { ", which is not connected," };
                let count = lacking
                    .map_or_else(String::new, |count| format!("; of {count} snapshots they do not yet"));
                let message = format!("{name}{away} is removed when other devices have what it holds{count}");
                let hint = format!("`nuthatch remove {name} --now` does not wait, `nuthatch remove {name} --keep` lets it stay ({by_name} has said that it leaves)");
                (if is_here { Severity::Advice } else { Severity::Trouble }, message, hint)
            };
            attention.add(severity, message, hint);
            json!({"node": node.hex(), "name": name, "by": by_name, "snapshots": lacking})
        };
        self.all_leaving().into_iter().map(tell).collect()
    }
}

/// Who is to hold which groups, by how many copies are wanted.
type Places = BTreeMap<Copies, BTreeMap<NodeId, GroupSet>>;
