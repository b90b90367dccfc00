//! When a restore drill is made, whom it asks, and what is remembered of it; `node/drill.rs` is the drill itself.
//!
//! Every `drill.every`, and when a person says so, some files of this node's folders are read from the devices that have signed for them,
//! each chunk from another one in turn. A device that does not have what it signed for, or gives something else, is named; the
//! next one is asked. What cannot be tried, because nobody is connected, is no failure and no success.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};

use crate::base::ids::{ChunkId, Group, NodeId, SnapshotId};
use crate::base::limits::{DRILL_PATIENCE, DRILL_PROBLEMS_MAX, DRILL_RETRY};
use crate::base::units::{Span, Time, WallTime};
use crate::node::activity::Level;
use crate::node::after::AfterSave;
use crate::node::api::ApiError;
use crate::node::core::Core;
use crate::node::drill::{Drill, Drilled, Next, Target};
use crate::node::events::{Event, Kind};
use crate::node::member::SnapshotFact;
use crate::node::names;
use crate::node::ports::{CallId, Ending};
use crate::node::pushing::conduct::is_right;
use crate::node::status::attention::{Attention, Severity};
use crate::wire::frame::Lane;
use crate::wire::message::Message;

/// What is known of drills.
#[derive(Debug, Default)]
pub(in crate::node) struct Drilling {
    /// When the next one begins by itself.
    due: Option<Time>,
    /// The one that is made.
    running: Option<Box<Running>>,
    /// How the last one ended that could be made.
    last: Option<Record>,
}

/// A drill that is made.
#[derive(Debug)]
struct Running {
    /// The drill.
    drill: Drill,
    /// Who waits for it.
    call: Option<CallId>,
    /// The chunk that was asked for, of whom, and until when it is waited for.
    asked: Option<(ChunkId, NodeId, Time)>,
    /// Who was asked for this chunk and did not give it.
    tried: BTreeSet<NodeId>,
    /// Chunks asked for so far: whose turn it is.
    turn: usize,
}

/// How a drill ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// When, by this node's clock.
    wall: WallTime,
    /// Files that came back.
    files: u64,
    /// Bytes of them.
    bytes: u64,
    /// Files that nobody could be asked for.
    untested: u64,
    /// The names of those who gave anything.
    nodes: Vec<String>,
    /// How many problems there were.
    problem_count: u64,
    /// The first of them: what, of whom, why.
    problems: Vec<(String, String, String)>,
}

impl Drilling {
    /// When something is to be done if nothing happens.
    pub(in crate::node) fn deadline(&self) -> Option<Time> {
        match &self.running {
            Some(running) => running.asked.map(|(_, _, until)| until),
            None => self.due,
        }
    }
}

impl Core {
    /// After start.
    pub(in crate::node) fn drilling_begins(&mut self, settings: &BTreeMap<String, Vec<u8>>) {
        let saved = settings.get(LAST_KEY).and_then(|bytes| postcard::take_from_bytes(bytes).ok());
        self.upkeep.drilling.last = saved.map(|(last, _): (Record, _)| last);
        self.drill_next();
    }

    /// Says when the next drill begins by itself; one that failed is repeated sooner.
    pub(in crate::node) fn drill_next(&mut self) {
        let (now, wall) = (self.now.time, self.now.wall);
        self.upkeep.drilling.due = self.setup.config.drill_every.map(|every| {
            let last = self.upkeep.drilling.last.as_ref();
            let pause = match last {
                Some(last) if last.problem_count > 0 => every.min(Span::from_secs(86_400)),
                Some(_) => every,
                None => Span::ZERO,
            };
            let since = last.map_or(0, |last| wall.as_micros().saturating_sub(last.wall.as_micros()));
            // A clock that was set back must not put it off for ever.
            let left = pause.as_micros().saturating_sub(u64::try_from(since).unwrap_or(0));
            now + Span::from_micros(left).max(DRILL_RETRY)
        });
    }

    /// What is due by the clock.
    pub(in crate::node) fn drilling_timeout(&mut self) {
        let now = self.now.time;
        if let Some(running) = &mut self.upkeep.drilling.running {
            if let Some((_, node, until)) = running.asked.filter(|(_, _, until)| *until <= now) {
                running.asked = None;
                log::debug!("{} was waited for until {until:?}", node.short());
                self.drill_failed_by(&node, "it does not answer");
                self.drill_on();
            }
        } else if self.upkeep.drilling.due.is_some_and(|due| due <= now) {
            self.upkeep.drilling.due = Some(now + DRILL_RETRY);
            let is_possible = self.setup.config.drill_every.is_some() && !self.pausing.is_on();
            let targets = if is_possible { self.drill_targets(None) } else { Vec::new() };
            if !targets.is_empty() && self.gossip.peers().next().is_some() {
                self.begin_drill(targets, None);
            }
        }
    }

    /// `drill`: now.
    pub(in crate::node) fn call_drill(&mut self, call: CallId, name: Option<&str>) {
        let own = self.own_folders();
        let error = if self.upkeep.drilling.running.is_some() {
            ApiError::new("busy", "a drill is under way already", "see `nuthatch status`")
        } else if let Some(name) = name.filter(|name| !own.iter().any(|(_, text)| text.name == *name)) {
            let near = names::nearest(name, own.iter().map(|(_, text)| text.name.as_str()));
            let message = format!("this node has no folder '{name}'{near}");
            ApiError::new("no_folder", message, "see `nuthatch folder list`; a device drills its own folders")
        } else {
            let targets = self.drill_targets(name);
            if !targets.is_empty() {
                return self.begin_drill(targets, Some(call));
            }
            let message = "nothing can be drilled: no other device has signed for a snapshot of this node's folders yet";
            ApiError::new("no_copies", message, "`nuthatch backup --wait`, with another device connected")
        };
        self.end_call(call, Err(error));
    }

    /// Of each own folder the newest snapshot that is protected, or that another device holds at all.
    fn drill_targets(&self, name: Option<&str>) -> Vec<Target> {
        let mut targets = Vec::new();
        for (entry, text) in self.own_folders() {
            if name.is_some_and(|name| name != text.name) {
                continue;
            }
            let mut facts = self.snapshots(Some(&entry.folder));
            facts.retain(|fact| fact.entry.complete && !fact.draft && self.is_held_elsewhere(fact));
            let newest = facts.iter().rfind(|fact| self.protection_of(fact).is_full()).or(facts.last());
            if let Some((fact, tree)) = newest.and_then(|fact| Some((fact, fact.tree?))) {
                targets.push(Target { folder: text.name, snapshot: fact.id, tree });
            }
        }
        targets
    }

    /// Whether another device has signed for anything of it.
    fn is_held_elsewhere(&self, fact: &SnapshotFact) -> bool {
        self.member.as_ref().is_some_and(|member| {
            member.view.receipts(&fact.id).any(|(node, groups)| node != member.node && !groups.is_empty())
        })
    }

    /// Begins one.
    fn begin_drill(&mut self, targets: Vec<Target>, call: Option<CallId>) {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let drill = Drill::new(targets, ChaCha20Rng::from_seed(seed));
        let running = Running { drill, call, asked: None, tried: BTreeSet::new(), turn: 0 };
        self.upkeep.drilling.running = Some(Box::new(running));
        self.drill_on();
    }

    /// Goes on until a chunk is on its way, or it is over.
    fn drill_on(&mut self) {
        loop {
            let Some(running) = self.upkeep.drilling.running.as_mut() else { return };
            if running.asked.is_some() {
                return;
            }
            match running.drill.step() {
                Next::Line(line) => {
                    if let Some(call) = running.call {
                        self.json(call, line);
                    }
                }
                Next::Over => return self.drill_ends(),
                Next::Chunk { snapshot, id } => {
                    let holders = self.drill_holders(&snapshot, &id);
                    let Some(running) = self.upkeep.drilling.running.as_mut() else { return };
                    if holders.is_empty() {
                        let tried = !std::mem::take(&mut running.tried).is_empty();
                        running.drill.lost(tried);
                        continue;
                    }
                    let node = holders[running.turn % holders.len()];
                    running.turn = running.turn.wrapping_add(1);
                    running.asked = Some((id, node, self.now.time + DRILL_PATIENCE));
                    // A session without room is waited for like one that is slow.
                    self.send(&node, Lane::Interactive, &Message::Get { ids: vec![id] });
                }
            }
        }
    }

    /// Connected devices that have signed for a chunk of a snapshot and were not tried.
    fn drill_holders(&self, snapshot: &SnapshotId, id: &ChunkId) -> Vec<NodeId> {
        let (Some(member), Some(running)) = (&self.member, &self.upkeep.drilling.running) else {
            return Vec::new();
        };
        let group = Group::of(id);
        let signed = member.view.receipts(snapshot).filter(|(_, groups)| groups.contains(group));
        let others = signed.map(|(node, _)| node).filter(|node| *node != member.node);
        let is_here = |node: &NodeId| self.gossip.peers().any(|peer| peer == node);
        others.filter(|node| !running.tried.contains(node) && is_here(node)).collect()
    }

    /// A chunk came. True when it was for the drill alone.
    pub(in crate::node) fn drill_came(&mut self, node: &NodeId, id: &ChunkId, bytes: &[u8]) -> bool {
        let name = self.member.as_ref().map_or_else(String::new, |member| member.name_of(node));
        let Some(running) = self.upkeep.drilling.running.as_mut() else { return false };
        if running.asked.is_none_or(|(asked, of, _)| (asked, of) != (*id, *node)) {
            return false;
        }
        running.asked = None;
        let is_right = is_right(id, bytes);
        if is_right {
            running.tried.clear();
            if let Some(sealer) = self.member.as_mut().and_then(|member| member.sealer.as_mut()) {
                running.drill.came((*node, &name), bytes, sealer);
            }
        } else {
            self.drill_failed_by(node, "what it sent is something else");
        }
        let is_for_others = self.source.is_wanted(id);
        if !is_right && !is_for_others {
            self.blame(node, "the bytes of a chunk that it sent are not what its id says");
        }
        self.drill_on();
        !is_for_others
    }

    /// A device says that it lacks chunks.
    pub(in crate::node) fn drill_missing(&mut self, node: &NodeId, ids: &[ChunkId]) {
        let Some(running) = self.upkeep.drilling.running.as_mut() else { return };
        if running.asked.is_some_and(|(id, of, _)| of == *node && ids.contains(&id)) {
            running.asked = None;
            self.drill_failed_by(node, "it does not have it, though it signed for it");
            self.drill_on();
        }
    }

    /// A session has ended: another device is asked, which says nothing against this one.
    pub(in crate::node) fn drill_peer_down(&mut self, node: &NodeId) {
        let Some(running) = self.upkeep.drilling.running.as_mut() else { return };
        if running.asked.is_some_and(|(_, of, _)| of == *node) {
            running.asked = None;
            self.drill_on();
        }
    }

    /// A device did not give what it was asked for.
    fn drill_failed_by(&mut self, node: &NodeId, reason: &str) {
        let name = self.member.as_ref().map_or_else(String::new, |member| member.name_of(node));
        if let Some(running) = self.upkeep.drilling.running.as_mut() {
            running.tried.insert(*node);
            running.drill.failed(&name, reason);
        }
    }

    /// It is over: what came of it is said, and remembered if there is anything to remember.
    fn drill_ends(&mut self) {
        let Some(running) = self.upkeep.drilling.running.take() else { return };
        let Drilled { files, bytes, untested, nodes, problems } = running.drill.drilled;
        let name =
            |node: &NodeId| self.member.as_ref().map_or_else(String::new, |member| member.name_of(node));
        let problem_count = u64::try_from(problems.len()).unwrap_or(u64::MAX);
        let told = |problem: crate::node::drill::Problem| (problem.what, problem.node, problem.reason);
        let record = Record {
            wall: self.now.wall,
            files,
            bytes,
            untested,
            nodes: nodes.iter().map(name).collect(),
            problem_count,
            problems: problems.into_iter().take(DRILL_PROBLEMS_MAX).map(told).collect(),
        };
        let is_done = files > 0 || problem_count > 0;
        if is_done {
            self.upkeep.drilling.last = Some(record.clone());
            self.save(vec![(LAST_KEY.to_owned(), postcard::to_stdvec(&record).ok())], AfterSave::Nothing);
            let (kind, level) = match problem_count {
                0 => (Kind::DrillDone, Level::Info),
                _ => (Kind::DrillFailed, Level::Error),
            };
            self.raise(Event::new(kind, level, "drill", record.sentence()));
            self.drill_next();
        }
        let Some(call) = running.call else { return };
        let mut line = record.told();
        line["event"] = json!("result");
        line["done"] = json!(is_done);
        self.json(call, line);
        let end = match record.problems.first() {
            Some(_) => {
                let hint = "see the lines above; `nuthatch verify --all` on the devices that are named says what is damaged there";
                Err(ApiError::new("drill_failed", record.sentence(), hint))
            }
            None if untested > 0 || !is_done => Ok(Ending::Partial),
            None => Ok(Ending::Complete),
        };
        self.end_call(call, end);
    }

    /// For `status`; the last one is null until there was one.
    pub(in crate::node) fn drill_status(&self, attention: &mut Attention) -> Value {
        let Drilling { running, last, .. } = &self.upkeep.drilling;
        if let Some(last) = last.as_ref().filter(|last| last.problem_count > 0) {
            let device = last.problems.iter().map(|(_, node, _)| node.as_str()).find(|node| !node.is_empty());
            let there =
                device.map_or_else(String::new, |device| format!("; on {device}: `nuthatch verify --all`"));
            let message = format!("{} ({})", last.sentence(), last.wall);
            attention.add(Severity::Danger, message, format!("`nuthatch drill` tries again{there}"));
        }
        let told = last.as_ref().map(|last| {
            let age = self.now.wall.as_micros().saturating_sub(last.wall.as_micros());
            let mut told = last.told();
            // A clock that was set back knows no age.
            told["age_us"] = json!(u64::try_from(age).ok());
            told
        });
        json!({
            "every_us": self.setup.config.drill_every.map(Span::as_micros), "running": running.is_some(),
            "last": told,
        })
    }

    /// Whether the last drill failed.
    pub(in crate::node) fn is_drill_bad(&self) -> bool {
        self.upkeep.drilling.last.as_ref().is_some_and(|last| last.problem_count > 0)
    }
}

impl Record {
    /// In words.
    fn sentence(&self) -> String {
        let files = if self.files == 1 { "1 file".into() } else { format!("{} files", self.files) };
        match self.problems.first() {
            Some((what, node, reason)) => {
                let of = if node.is_empty() { String::new() } else { format!(" of {node}") };
                let more = match self.problem_count {
                    0 | 1 => String::new(),
                    count => format!(", and {} more problems", count - 1),
                };
                format!("the restore drill failed: {what}{of}: {reason}{more}; {files} came back")
            }
            None => format!("restore drill: {files} came back from {}", self.nodes.join(", ")),
        }
    }

    /// As JSON.
    fn told(&self) -> Value {
        let problem = |(what, node, reason): &(String, String, String)| json!({"what": what, "node": node, "reason": reason});
        json!({
            "ended": self.wall.to_string(), "files": self.files, "bytes": self.bytes, "untested": self.untested,
            "nodes": self.nodes, "problems": self.problem_count,
            "first_problems": self.problems.iter().map(problem).collect::<Vec<_>>(),
        })
    }
}

/// Under which name the last drill is kept.
const LAST_KEY: &str = "drill:last";
