//! When this node compares what it holds with which peer, and what it makes of the end.
//!
//! With every connected member that is to hold the same groups: soon after it, or this node, was away, and once a day as an audit of
//! both disks, one at a time and only while nobody waits for the disk. Where more differs than one exchange can tell, the groups are gone
//! through in slices. What the peer has, this node has not and a pinned manifest lists was lost here: it is fetched again, counted
//! and shown. The exchange is `node/reconcile.rs`, other nodes' are answered by `node/answering.rs`.

use std::collections::BTreeMap;

use rand_core::RngCore;
use serde_json::{json, Value};

use super::activity::Level;
use super::answering::{Answering, AnsweringOutput};
use super::auditing::{Auditing, CHALLENGE_DUTY};
use super::core::Core;
use super::duty::Told;
use super::events::{Event, Kind};
use super::reconcile::{Reconcile, ReconcileOutput, Report};
use super::status::attention::{Attention, Severity};
use crate::base::derived::Derived;
use crate::base::ids::{ChunkId, Group, NodeId};
use crate::base::limits::{
    COMPARE_ABSENCE_MIN, COMPARE_AFTER_ABSENCE, COMPARE_EVERY, COMPARE_GO_ON, COMPARE_GROUPS_MIN,
    COMPARE_OVERDUE, COMPARE_RETRY,
};
use crate::base::units::{Time, WallTime};
use crate::feed::entry::GroupSet;
use crate::replicate::reconcile::Ended;
use crate::wire::frame::Lane;
use crate::wire::message::range::ExchangeId;
use crate::wire::message::Message;

/// The duty number of comparisons that this node makes.
pub(super) const RECONCILE_DUTY: u64 = 2;
/// The duty number of those that it answers.
pub(super) const ANSWER_DUTY: u64 = 3;

/// What is known of comparisons.
#[derive(Debug)]
pub(super) struct Reconciling {
    /// Every peer's turn.
    turns: Derived<BTreeMap<NodeId, Turn>, Option<Time>>,
    /// The comparison that is being made.
    pub(super) running: Option<Box<Reconcile>>,
    /// Those that are being answered.
    answering: Answering,
    /// What came of them.
    totals: Totals,
    /// Who is asked for proof, and believed.
    pub(super) auditing: Auditing,
}

/// When a peer is compared with, and where.
#[derive(Debug)]
struct Turn {
    /// Not before then.
    due: Time,
    /// When the round that is due was first due.
    since: Time,
    /// When the session ended, if it has.
    down: Option<Time>,
    /// The first group of the next slice.
    first: u16,
    /// Groups in a slice.
    width: u16,
    /// The last comparison of all groups that ended.
    last: Option<WallTime>,
    /// What the last exchange that was answered found missing here and could not fetch.
    open: u64,
}

/// What came of all comparisons since the start.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    /// Exchanges that ended whole.
    whole: u64,
    /// Exchanges in which more differed than was told.
    cut: u64,
    /// Exchanges that were refused, or not answered.
    refused: u64,
    /// Exchanges in which the peer said what cannot be.
    nonsense: u64,
    /// Chunks that should have been here and were not.
    lacking: u64,
    /// Of these, fetched again.
    healed: u64,
}

impl Default for Reconciling {
    fn default() -> Self {
        Self {
            turns: Derived::default(),
            running: None,
            answering: Answering::new(ANSWER_DUTY),
            totals: Totals::default(),
            auditing: Auditing::default(),
        }
    }
}

impl Reconciling {
    /// A peer came up; `chance` spreads what many nodes would do at once.
    pub(super) fn peer_up(&mut self, now: Time, peer: NodeId, for_long: bool, chance: u64) {
        self.auditing.peer_up(now, peer, for_long, chance);
        let soon = now + COMPARE_AFTER_ABSENCE + COMPARE_AFTER_ABSENCE.by_chance(chance);
        let turn = self.turns.entry(peer).or_insert(Turn {
            due: soon,
            since: soon,
            down: None,
            first: 0,
            width: Group::COUNT,
            last: None,
            open: 0,
        });
        if turn.down.take().is_some_and(|down| now.since(down) >= COMPARE_ABSENCE_MIN) {
            (turn.due, turn.since, turn.first) = (soon, soon, 0);
        }
    }

    /// A peer is gone.
    pub(super) fn peer_down(&mut self, now: Time, peer: &NodeId) {
        if let Some(turn) = self.turns.get_mut(peer) {
            turn.down = Some(now);
        }
        if let Some(running) = self.running.as_mut().filter(|running| running.peer() == *peer) {
            running.give_up();
        }
        self.answering.forget(peer);
        self.auditing.peer_down(peer);
    }

    /// Who is no member any more is forgotten.
    pub(super) fn keep_members(&mut self, is_member: impl Fn(&NodeId) -> bool) {
        self.turns.retain(|node, _| is_member(node));
        self.auditing.keep_members(is_member);
    }

    /// When the next turn of a peer is due that is connected.
    fn next_turn(&self) -> Option<Time> {
        self.turns
            .follows(|turns| turns.values().filter(|turn| turn.down.is_none()).map(|turn| turn.due).min())
    }

    /// When something is to be done if nothing happens.
    pub(super) fn deadline(&self, now: Time) -> Option<Time> {
        let next = match &self.running {
            Some(running) => running.deadline(now),
            None => self.next_turn(),
        };
        [next, self.answering.deadline(now), self.auditing.deadline()].into_iter().flatten().min()
    }
}

impl Core {
    /// Begins a comparison that is due.
    pub(super) fn reconciling_timeout(&mut self) {
        let now = self.now.time;
        self.auditing_timeout();
        if let Some(running) = &mut self.reconciling.running {
            return running.handle_timeout(now);
        }
        if self.reconciling.next_turn().is_none_or(|due| due > now) {
            return;
        }
        let is_due = |turn: &Turn| turn.down.is_none() && turn.due <= now;
        let due = self.reconciling.turns.iter().filter(|(_, turn)| is_due(turn));
        let Some(peer) = due.min_by_key(|(_, turn)| turn.due).map(|(peer, _)| *peer) else { return };
        let is_overdue =
            self.reconciling.turns.get(&peer).is_some_and(|turn| turn.since + COMPARE_OVERDUE <= now);
        let common = self.common_groups(&peer);
        let is_idle = self.is_disk_idle() && !self.source.is_fetching();
        let may_begin = is_idle && common.is_some() && (is_overdue || self.is_level(&peer));
        let id = self.random_exchange();
        let chance = self.rng.next_u64();
        let Some(turn) = self.reconciling.turns.get_mut(&peer) else { return };
        let Some(common) = common.filter(|_| may_begin) else {
            turn.due = now + COMPARE_RETRY + COMPARE_RETRY.by_chance(chance);
            return;
        };
        let slice = turn.first..turn.first.saturating_add(turn.width);
        let groups: GroupSet = if turn.width == Group::COUNT {
            common
        } else {
            common.iter().filter(|group| slice.contains(&group.number())).collect()
        };
        self.reconciling.running = Some(Box::new(Reconcile::new(peer, id, groups, RECONCILE_DUTY)));
    }

    /// One step of a comparison. False when there is nothing to do.
    pub(super) fn reconciling_turn(&mut self) -> bool {
        let now = self.now.time;
        if let Some(output) = self.reconciling.answering.poll(now) {
            self.answering_wants(output);
            return true;
        }
        if self.auditing_turn() {
            return true;
        }
        let Some(running) = &mut self.reconciling.running else { return self.heal_missed() };
        let peer = running.peer();
        match running.poll(now) {
            None => return false,
            Some(ReconcileOutput::Ask(ask)) => self.ask(ask),
            Some(ReconcileOutput::Say(message)) => {
                if !self.send(&peer, Lane::Background, &message) {
                    if let Some(running) = &mut self.reconciling.running {
                        running.give_up();
                    }
                }
            }
            Some(ReconcileOutput::Roots) => {
                let roots: Vec<ChunkId> = match running.missed() {
                    Some(id) => self.promised_with(id),
                    None => self.pins_that_count(),
                };
                if let Some(running) = &mut self.reconciling.running {
                    running.pinned(roots);
                }
            }
            Some(ReconcileOutput::Finished(report)) => {
                self.reconciling.running = None;
                self.reconciled(&peer, report);
            }
        }
        true
    }

    /// An answer to an operation of a comparison.
    pub(super) fn reconciling_told(&mut self, number: u64, told: Told) {
        let now = self.now.time;
        if number >= CHALLENGE_DUTY {
            return self.auditing_told(number, told);
        }
        match (number, &mut self.reconciling.running) {
            (ANSWER_DUTY, _) => self.reconciling.answering.told(now, told),
            (_, Some(running)) => running.told(now, told),
            (_, None) => {}
        }
    }

    /// A peer opens a comparison, or goes on with one of this node's or of its own.
    pub(super) fn compare(&mut self, peer: &NodeId, message: Message) {
        let now = self.now.time;
        let Reconciling { running, answering, .. } = &mut self.reconciling;
        let said = match message {
            Message::Digest { exchange, groups, fingerprint, .. } => {
                answering.digest(now, peer, exchange, groups, fingerprint)
            }
            Message::Range { exchange, standing, parts } => {
                match running.as_mut().filter(|running| running.is(peer, &exchange)) {
                    Some(running) => return running.answered(&exchange, standing, parts),
                    None => answering.range(peer, exchange, parts),
                }
            }
            _ => None,
        };
        said.into_iter().for_each(|output| self.answering_wants(output));
    }

    /// What answering wants.
    fn answering_wants(&mut self, output: AnsweringOutput) {
        match output {
            AnsweringOutput::Ask(ask) => self.ask(ask),
            AnsweringOutput::Say(peer, message) => {
                // If there is no room the other side gives up, and asks again another time.
                self.send(&peer, Lane::Background, &message);
            }
            AnsweringOutput::Lacking(peer, count) => {
                log::debug!("{} has {count} chunks that are not here", peer.short());
                self.compare_soon(&peer);
            }
            AnsweringOutput::ToldOff(peer) => {
                let name = self.member.as_ref().map_or_else(|| peer.short(), |member| member.name_of(&peer));
                let message = format!("{name} compares what it holds with this node without end; it is not answered for an hour");
                self.note(Level::Warn, "copies", message);
                if let Some(refusal) = self.reconciling.answering.refusal_to(&peer) {
                    self.send(&peer, Lane::Background, &refusal);
                }
            }
        }
    }

    /// A peer has something that is not here: this node looks what it is, unless it did lately.
    pub(super) fn compare_soon(&mut self, peer: &NodeId) {
        let now = self.now.time;
        let chance = self.rng.next_u64();
        if let Some(turn) = self.reconciling.turns.get_mut(peer) {
            // A turn that was had within the last hour is due again in more than the rest of its day.
            let was_lately = turn.last.is_some() && turn.due > now + COMPARE_EVERY.part(8).times(7);
            if !was_lately {
                turn.due = turn.due.min(now + COMPARE_GO_ON + COMPARE_GO_ON.by_chance(chance));
            }
        }
    }

    /// A comparison is over.
    fn reconciled(&mut self, peer: &NodeId, report: Report) {
        let (now, wall, chance) = (self.now.time, self.now.wall, self.rng.next_u64());
        let totals = &mut self.reconciling.totals;
        totals.lacking += report.lacking;
        totals.healed += report.healed;
        match report.ended {
            Some(Ended::Whole) => totals.whole += 1,
            Some(Ended::Cut) => totals.cut += 1,
            Some(Ended::Nonsense) => totals.nonsense += 1,
            None if report.missed.is_some() => {}
            Some(Ended::Refused) | None => totals.refused += 1,
        }
        let turn = self.reconciling.turns.get_mut(peer).filter(|_| report.missed.is_none());
        if let Some(turn) = turn {
            turn.ended(now, wall, &report, chance);
        }
        let name = self.member.as_ref().map_or_else(|| peer.short(), |member| member.name_of(peer));
        // What was asked for by name may be what is lost for good, and is said when everything is looked through.
        if report.lacking > 0 {
            self.look_through();
        }
        if report.lacking > 0 && (report.missed.is_none() || report.healed > 0) {
            let message = format!(
                "{} chunks that this device keeps for the vault were not on its disk; {} were fetched again ({name} has them)",
                report.lacking, report.healed
            );
            let event = Event::new(Kind::Damaged, Level::Error, "copies", message);
            self.raise(event.about(report.lacking.to_string()));
        }
        if report.ended == Some(Ended::Nonsense) {
            let message =
                format!("{name} answered a comparison with what cannot be; it is asked again tomorrow");
            self.note(Level::Warn, "copies", message);
        }
    }

    /// A number for an exchange.
    fn random_exchange(&mut self) -> ExchangeId {
        let mut id = ExchangeId::default();
        self.rng.fill_bytes(&mut id);
        id
    }

    /// For `status`.
    pub(super) fn reconciling_status(&self, attention: &mut Attention) -> Value {
        let Reconciling { turns, running, answering, totals, .. } = &self.reconciling;
        // Several peers may miss the same ones here.
        let open = turns.values().map(|turn| turn.open).max().unwrap_or(0);
        if open > 0 {
            let message = format!("{open} chunks that this device keeps for the vault are not on its disk");
            let hint = "they are fetched again as soon as another device has them; `nuthatch verify --all` says whether the disk is whole";
            attention.add(Severity::Danger, message, hint);
        }
        let (answered, refused) = answering.counts();
        json!({
            "running": running.as_ref().map(|running| running.peer().hex()),
            "exchanges": totals.whole, "cut": totals.cut, "unanswered": totals.refused, "nonsense": totals.nonsense,
            "lacking_chunks": totals.lacking, "healed_chunks": totals.healed,
            "answered": answered, "refused": refused,
            "peers": turns.iter().map(|(node, turn)| json!({
                "node": node.hex(), "last": turn.last.map(|wall| wall.to_string()),
            })).collect::<Vec<_>>(),
        })
    }
}

impl Turn {
    /// A comparison of a slice has ended: what comes next.
    fn ended(&mut self, now: Time, wall: WallTime, report: &Report, chance: u64) {
        self.due = now + COMPARE_GO_ON + COMPARE_GO_ON.by_chance(chance);
        if matches!(report.ended, Some(Ended::Whole | Ended::Cut)) {
            self.open = report.lacking.saturating_sub(report.healed);
            if report.unread > 0 {
                // What these parts of manifests list is not known: this was no comparison of everything.
                self.due = now + COMPARE_RETRY + COMPARE_RETRY.by_chance(chance);
                return;
            }
        }
        match report.ended {
            // What was healed differs no more: the same slice again.
            Some(Ended::Cut) if report.healed > 0 => return,
            Some(Ended::Cut) if self.width > COMPARE_GROUPS_MIN => {
                self.width = (self.width / 4).max(COMPARE_GROUPS_MIN);
                return;
            }
            Some(Ended::Whole | Ended::Cut) => {}
            Some(Ended::Refused) | None => {
                self.due = now + COMPARE_RETRY + COMPARE_RETRY.by_chance(chance);
                return;
            }
            Some(Ended::Nonsense) => self.first = Group::COUNT,
        }
        self.first = self.first.saturating_add(self.width);
        if self.first >= Group::COUNT {
            let day = COMPARE_EVERY + COMPARE_EVERY.part(8).by_chance(chance);
            (self.first, self.due, self.since) = (0, now + day, now + day);
            self.width = self.width.saturating_mul(4).min(Group::COUNT);
            if report.ended != Some(Ended::Nonsense) {
                self.last = Some(wall);
            }
        }
    }
}
