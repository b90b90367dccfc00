//! Planning around those who are away: hearing of members, deciding who has been silent for longer than usual, and telling people.
//!
//! A holder that is away stays a member and a holder: its receipts count, and when it is heard again everything is as it was.
//! Meanwhile others stand in for its groups (`replicate/stand_in.rs`): they owe receipts for them (`node/holding.rs`) and new chunks
//! go to them at once (`node/pushing.rs`). What they have made they keep. The books are `node/absence.rs`.
//!
//! What is heard of a member: a session with it, an entry of its feed or a mark of one of its folders that were not known here,
//! whoever brings them. Where this node is linked with a few members only, others that seem to fall silent are tried
//! first, a few at a time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{json, Value};

use super::absence::{planned_around, Absences};
use super::activity::Level;
use super::after::AfterSave;
use super::collect::Settings;
use super::core::Core;
use super::hearing::in_words;
use super::member::Membership;
use super::status::attention::{Attention, Severity};
use crate::base::ids::{Group, NodeId};
use crate::base::limits::{
    ABSENCE_LOOK_EVERY, ABSENCE_NAMES_MAX, ABSENCE_PROBES_MAX, ABSENCE_PROBE_AGAIN, ABSENCE_PROBE_EVERY,
    ABSENCE_SAVE_EVERY,
};
use crate::base::units::Time;
use crate::feed::entry::GroupSet;
use crate::feed::view::SnapshotFact;

/// Who is heard, and what follows.
#[derive(Debug, Default)]
pub struct Around {
    /// The books.
    pub(super) absences: Absences,
    /// More than half of the holders seem to be away: it is this node that hears nothing.
    is_cut_off: bool,
    /// When to look again.
    due: Option<Time>,
    /// When silences were last saved by themselves.
    saved: Time,
    /// Members that were tried because they seemed to fall silent: when.
    probed: BTreeMap<NodeId, Time>,
}

impl Around {
    /// When to look again.
    #[must_use]
    pub const fn deadline(&self) -> Option<Time> {
        self.due
    }

    /// More than half of the holders seem to be away: it is this node that hears nothing.
    #[must_use]
    pub const fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// Adds what has changed to what is written anyway.
    pub fn ride_along(&mut self, now: Time, settings: &mut Settings) {
        self.absences.ride_along(now, settings);
    }
}

impl Membership {
    /// How many copies of these groups of a snapshot are with members that are not away, of the group that has the fewest. The
    /// writer counts as one.
    pub(super) fn live_copies(&self, fact: &SnapshotFact, groups: &GroupSet) -> usize {
        let is_live = |node: &NodeId| !self.placing.away().contains(node);
        let writer = self.view.roster().member(&fact.writer).is_some() && is_live(&fact.writer);
        let held: Vec<&GroupSet> = self
            .view
            .receipts(&fact.id)
            .filter(|(node, _)| *node != fact.writer && is_live(node))
            .map(|(_, held)| held)
            .collect();
        let is_whole = held.iter().all(|held| held.is_all());
        let looked_at = if is_whole { 1 } else { usize::from(Group::COUNT) };
        let count = |group: Group| held.iter().filter(|held| held.contains(group)).count();
        groups.iter().take(looked_at).map(count).min().unwrap_or(0) + usize::from(writer)
    }
}

impl Core {
    /// The state is loaded, or this node has become a member.
    pub(super) fn around_begins(&mut self, settings: &BTreeMap<String, Vec<u8>>) {
        let now = self.now.time;
        self.hearing.around.absences = Absences::load(settings, now);
        (self.hearing.around.due, self.hearing.around.saved) = (Some(now), now);
    }

    /// Something of a member's own came that was not known here.
    pub(super) fn member_heard(&mut self, node: &NodeId) {
        self.hearing.around.absences.heard(self.now.time, node);
        self.look_around_if_away(node);
    }

    /// A session with a member stands, or has ended.
    pub(super) fn member_session(&mut self, node: &NodeId, is_here: bool) {
        self.watch_members();
        self.hearing.around.absences.session(self.now.time, node, is_here);
        self.hearing.around.due.get_or_insert(self.now.time);
        self.look_around_if_away(node);
    }

    /// Who was away and is heard is made use of again at once.
    fn look_around_if_away(&mut self, node: &NodeId) {
        if self.member.as_ref().is_some_and(|member| member.placing.away().contains(node)) {
            self.hearing.around.due = Some(self.now.time);
        }
    }

    /// Follows who is a member.
    fn watch_members(&mut self) {
        let Some(member) = &self.member else { return };
        let others =
            member.view.roster().members().map(|other| other.node).filter(|node| *node != member.node);
        let others: BTreeSet<NodeId> = others.collect();
        self.hearing.around.probed.retain(|node, _| others.contains(node));
        self.hearing.around.absences.watch(&others);
    }

    /// Looks who is silent for longer than usual, and plans around them.
    pub(super) fn around_timeout(&mut self) {
        let now = self.now.time;
        if self.hearing.around.due.is_none_or(|due| due > now) {
            return;
        }
        self.watch_members();
        let Some(member) = &mut self.member else {
            self.hearing.around.due = None;
            return;
        };
        let around = &mut self.hearing.around;
        around.absences.count(now);
        let overdue = around.absences.overdue();
        let away = planned_around(&member.holders(), &overdue);
        around.is_cut_off = away.is_empty() && member.holders().intersection(&overdue).next().is_some();
        let before = member.placing.away().clone();
        if member.placing.plan_around(away.clone()) {
            self.holding.recheck(now);
            self.tell_of_away(&before, &away);
        }
        self.see_who_stalls();
        self.seek_proof();
        let probing = self.probe_doubtful();
        let around = &mut self.hearing.around;
        let next = around.absences.next_overdue().unwrap_or(ABSENCE_LOOK_EVERY).min(ABSENCE_LOOK_EVERY);
        around.due = Some(now + if probing { next.min(ABSENCE_PROBE_EVERY) } else { next });
        if around.absences.is_anybody_silent() && now.since(around.saved) >= ABSENCE_SAVE_EVERY {
            around.saved = now;
            self.save(Settings::new(), AfterSave::Nothing);
        }
    }

    /// Where there are too many members to be linked with all: tries some of whom nothing was heard for long. True if any are.
    fn probe_doubtful(&mut self) -> bool {
        if !self.reach.linking.is_choosing() || self.gossip.peers().next().is_none() {
            return false;
        }
        let (now, most) = (self.now.time, self.needed_max());
        let probed = &mut self.hearing.around.probed;
        probed.retain(|_, at| *at + ABSENCE_PROBE_AGAIN > now);
        let doubtful = self.hearing.around.absences.doubtful();
        let fresh: Vec<NodeId> = doubtful.into_iter().filter(|node| !probed.contains_key(node)).collect();
        let mut count = 0;
        for node in fresh.iter().take(ABSENCE_PROBES_MAX.min(most / 2)) {
            if self.reach.linking.need(now, *node, most) {
                self.hearing.around.probed.insert(*node, now);
                count += 1;
            }
        }
        if count > 0 {
            self.reach.recheck(now);
        }
        !fresh.is_empty()
    }

    /// Notes who is planned around from now on, and who no more.
    fn tell_of_away(&mut self, before: &BTreeSet<NodeId>, away: &BTreeSet<NodeId>) {
        let name =
            |node: &NodeId| self.member.as_ref().map_or_else(|| node.short(), |member| member.name_of(node));
        let gone = away.difference(before).map(|node| {
            let since = self
                .hearing
                .around
                .absences
                .of(node)
                .map_or_else(String::new, |(silent, _)| in_words(silent));
            let message = format!(
                "{} was not heard of for {since}, longer than usual: others keep copies in its place",
                name(node)
            );
            (Level::Warn, message)
        });
        let back = before
            .difference(away)
            .map(|node| (Level::Info, format!("{} is no longer planned around", name(node))));
        let notes: Vec<(Level, String)> = gone.chain(back).take(ABSENCE_NAMES_MAX * 2).collect();
        for (level, message) in notes {
            self.note(level, "copies", message);
        }
    }

    /// For `nodes`: since how long nothing was heard of a member, after how long that is longer than usual, and whether it is planned
    /// around. None of this node itself.
    pub(super) fn absence_of(&self, node: &NodeId) -> Value {
        let is_away = self.member.as_ref().is_some_and(|member| member.placing.away().contains(node));
        self.hearing.around.absences.of(node).map_or(Value::Null, |(silent, limit)| {
            json!({"silent_us": silent.as_micros(), "limit_us": limit.as_micros(), "planned_around": is_away})
        })
    }

    /// For `status`: who is planned around, and whether it is rather this node that hears nothing.
    pub(super) fn around_status(&self, attention: &mut Attention) -> Value {
        let Some(member) = &self.member else { return Value::Null };
        let away = member.placing.away();
        if !away.is_empty() {
            let mut names: Vec<String> =
                away.iter().take(ABSENCE_NAMES_MAX).map(|node| member.name_of(node)).collect();
            if away.len() > names.len() {
                names.push(format!("{} more", away.len() - names.len()));
            }
            let verb = if away.len() == 1 { "was" } else { "were" };
            let message = format!(
                "{} {verb} not heard of for longer than usual: other devices keep copies in that place",
                names.join(", ")
            );
            let first = away.iter().next().map_or_else(String::new, |node| member.name_of(node));
            let hint = format!(
                "start it again and it is made use of as before; if it is gone for good: `nuthatch remove {first}`"
            );
            attention.add(Severity::Trouble, message, hint);
        } else if self.hearing.around.is_cut_off {
            let message =
                "more than half of the devices that keep copies were not heard of for longer than usual";
            let hint = "as likely as not it is this device that is cut off, or was removed from the vault: look at its network, and at `nuthatch nodes`. Nothing is copied on that account";
            attention.add(Severity::Trouble, message, hint);
        }
        let told = away.iter().map(|node| {
            json!({"node": node.hex(), "name": member.name_of(node), "absence": self.absence_of(node)})
        });
        json!({"away": told.collect::<Vec<_>>(), "cut_off": self.hearing.around.is_cut_off})
    }
}
