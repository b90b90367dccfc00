//! `diff` and `find`: what differs between snapshots, as JSON Lines.
//!
//! A job is a row of comparisons of two trees, or of nothing and a tree (then all of it is "added"). Only nodes that differ are read
//! (file/map/differ.rs), so a year of snapshots of a folder that seldom changes is gone through quickly. Owns the shape of
//! a line; reads no content. A part of a tree that cannot be had ends a comparison of two trees, for what is not known to be there would look
//! deleted; a tree that is only searched is searched on behind it, and the end is "in part".

use std::collections::VecDeque;

use serde_json::{json, Map, Value};

use super::api::ApiError;
use super::duty::{Ask, ChunkLost, Ops, Told};
use super::list::{entry_line, Lines, ListOutput};
use super::lookup::lost;
use super::outbox::Outbox;
use super::ports::Ending;
use crate::base::ids::ChunkId;
use crate::base::limits::STEPS_PER_TURN_MAX;
use crate::file::entry::{Attributes, Content, Entry, Kind};
use crate::file::ignore::pattern::Pattern;
use crate::file::map::{Differ, Difference, Side};
use crate::file::tree::{check_key, is_within, path_of};
use crate::seal::sealed::{ChunkKind, Sealer};
use crate::store::service::Op;

/// Two trees of which the differences are told.
#[derive(Debug, Clone)]
pub struct Pair {
    /// What every line begins with: which folder, which snapshot.
    pub label: Map<String, Value>,
    /// Root of the earlier tree; None: nothing was there.
    pub before: Option<ChunkId>,
    /// Root of the later one.
    pub after: ChunkId,
}

/// What is to be told.
#[derive(Debug)]
pub struct ChangesJob {
    /// Of these, one after the other.
    pub pairs: VecDeque<Pair>,
    /// Only what is within this key; empty: everything.
    pub key: Vec<u8>,
    /// Only paths that this matches.
    pub pattern: Option<Pattern>,
    /// At the end a line sums up.
    pub sum: bool,
    /// Lines say what became of the path. (Without, all that is there is just named.)
    pub changes: bool,
    /// It is known beforehand that not all can be told.
    pub partial: bool,
}

/// The job.
#[derive(Debug)]
pub struct Changes {
    /// What is left of it.
    job: ChangesJob,
    /// The comparison that runs.
    running: Option<Running>,
    /// Numbers of what is asked.
    ops: Ops,
    /// Questions and lines on their way out.
    out: Outbox,
    /// What was counted.
    sums: Sums,
    /// How it ended, until that is told.
    end: Option<Result<Ending, ApiError>>,
    /// That was told.
    over: bool,
    /// A part of a tree cannot be had.
    partial: bool,
    /// Nothing can be done before something is told.
    idle: bool,
    /// This turn's work is done.
    worked: bool,
}

/// A comparison.
#[derive(Debug)]
struct Running {
    /// Of these.
    pair: Pair,
    /// Both walks.
    differ: Differ,
    /// The node that is on its way.
    asked: Option<(Op, Side, ChunkId)>,
}

/// Counts of paths, and bytes of files.
#[derive(Debug, Default)]
struct Sums {
    /// That came.
    added: (u64, u64),
    /// That are different, with their later size.
    changed: (u64, u64),
    /// That went.
    deleted: (u64, u64),
}

impl Changes {
    /// A job that has not begun; `duty` numbers its operations.
    #[must_use]
    pub fn new(job: ChangesJob, duty: u64) -> Self {
        Self {
            partial: job.partial,
            job,
            running: None,
            ops: Ops::new(duty),
            out: Outbox::new(),
            sums: Sums::default(),
            end: None,
            over: false,
            idle: false,
            worked: false,
        }
    }

    /// Does a turn's work. False if nothing can be done before something is told.
    fn work(&mut self) -> bool {
        for step in 0..STEPS_PER_TURN_MAX {
            let is_full = self.out.is_full();
            if is_full || self.over || self.end.is_some() || !self.go_on() {
                return step > 0;
            }
        }
        true
    }

    /// Goes on by one difference. False if it waits.
    fn go_on(&mut self) -> bool {
        let Some(running) = &mut self.running else {
            match self.job.pairs.pop_front() {
                Some(pair) => self.begin(pair),
                None => self.finish(),
            }
            return true;
        };
        if running.asked.is_some() {
            return false;
        }
        match running.differ.step() {
            Ok(Difference::Need(side, id)) => {
                let op = self.ops.draw();
                running.asked = Some((op, side, id));
                self.out.asks.push_back(Ask::Chunk { op, id });
            }
            Ok(Difference::End) => self.running = None,
            Ok(Difference::Entry { key, .. }) if !is_within(key, &self.job.key) => self.running = None,
            Ok(Difference::Entry { key, before, after }) => {
                let path = path_of(key);
                let is_meant = self.job.pattern.as_ref().is_none_or(|pattern| pattern.matches(&path));
                let told = match (check_key(key), is_meant) {
                    (Ok(()), false) => Ok(None),
                    (Err(_), _) => Err(()),
                    (Ok(()), true) => told(&running.pair.label, &path, before, after, &mut self.sums),
                };
                match told {
                    Ok(line) => line.into_iter().for_each(|line| self.out.tell(self.job.shaped(line))),
                    Err(()) => self.damaged("an entry of the tree is damaged"),
                }
            }
            Err(error) => {
                let reason = error.to_string();
                self.running = None;
                self.damaged(&reason);
            }
        }
        true
    }

    /// The next comparison.
    fn begin(&mut self, pair: Pair) {
        let mut differ = Differ::new(pair.before, Some(pair.after));
        differ.seek(&self.job.key);
        self.running = Some(Running { pair, differ, asked: None });
    }

    /// Something is not as it should be, and all else goes on.
    fn damaged(&mut self, reason: &str) {
        self.partial = true;
        self.out.tell(json!({"lost": true, "reason": reason}));
    }

    /// All is told.
    fn finish(&mut self) {
        if self.job.sum {
            let sum = |(paths, bytes): (u64, u64)| json!({"paths": paths, "bytes": bytes});
            let Sums { added, changed, deleted } = self.sums;
            self.out.tell(json!({
                "event": "result", "added": sum(added), "changed": sum(changed), "deleted": sum(deleted),
            }));
        }
        self.end = Some(Ok(if self.partial { Ending::Partial } else { Ending::Complete }));
    }

    /// A node came, or does not.
    fn node_came(&mut self, op: Op, result: Result<Vec<u8>, ChunkLost>, sealer: &mut Sealer) {
        let Some(running) = &mut self.running else { return };
        let Some((_, side, id)) = running.asked.take_if(|(asked, ..)| *asked == op) else { return };
        let plain = result
            .map_err(|lost| lost.reason)
            .and_then(|bytes| sealer.open(ChunkKind::Tree, &bytes).map_err(|error| error.to_string()));
        let given =
            plain.and_then(|plain| running.differ.give(side, id, plain).map_err(|error| error.to_string()));
        match given {
            Ok(()) => {}
            Err(reason) if running.pair.before.is_some() => self.end = Some(Err(lost(&reason))),
            Err(reason) => {
                running.differ.skip(side);
                self.damaged(&reason);
            }
        }
    }
}

impl Lines for Changes {
    fn busy(&self) -> bool {
        !self.idle && !self.over
    }

    fn taken(&mut self) {
        self.out.taken();
        self.idle = false;
    }

    fn told(&mut self, told: Told, sealer: &mut Sealer) {
        self.idle = false;
        if let Told::Chunk { op, result, .. } = told {
            self.node_came(op, result, sealer);
        }
    }

    fn poll(&mut self) -> Option<ListOutput> {
        loop {
            if let Some(output) = self.out.pop() {
                return Some(output);
            }
            if !self.out.has_lines() {
                if let Some(end) = self.end.take() {
                    self.over = true;
                    return Some(ListOutput::Finished(end));
                }
            }
            if self.idle || self.worked {
                self.worked = false;
                return None;
            }
            self.idle = !self.work();
            self.worked = !self.idle;
        }
    }
}

impl ChangesJob {
    /// A line as this job shows it.
    fn shaped(&self, mut line: Map<String, Value>) -> Value {
        if !self.changes {
            line.remove("change");
        }
        Value::Object(line)
    }
}

/// What became of a path, as a line, and counted; None: nothing that a person sees.
fn told(
    label: &Map<String, Value>,
    path: &[u8],
    before: Option<(&[u8], &[u8])>,
    after: Option<(&[u8], &[u8])>,
    sums: &mut Sums,
) -> Result<Option<Map<String, Value>>, ()> {
    let read = |side: Option<(&[u8], &[u8])>| side.map(|(value, _)| Entry::decode(value)).transpose();
    let (Ok(one), Ok(other)) = (read(before), read(after)) else { return Err(()) };
    let (word, entry, sum) = match (&one, &other) {
        (None, Some(entry)) => ("added", entry, &mut sums.added),
        (Some(entry), None) => ("deleted", entry, &mut sums.deleted),
        (Some(_), Some(entry)) => ("changed", entry, &mut sums.changed),
        (None, None) => return Ok(None),
    };
    let mut line = label.clone();
    line.insert("change".into(), word.into());
    line.extend(entry_line(path, entry));
    if let (Some(one), Some(other)) = (&one, &other) {
        let tails = before.zip(after).is_some_and(|((_, one), (_, other))| one != other);
        let what = changed(one, other, tails);
        // Only what no person sees has changed, such as the number of the inode.
        if what.is_empty() {
            return Ok(None);
        }
        line.insert("what".into(), what.into());
        if one.kind == Kind::File {
            line.insert("before_size_bytes".into(), one.stat.size.into());
        }
    }
    let size = if entry.kind == Kind::File { entry.stat.size } else { 0 };
    *sum = (sum.0 + 1, sum.1.saturating_add(size));
    Ok(Some(line))
}

/// What differs of an entry that is on both sides.
fn changed(one: &Entry, other: &Entry, tails: bool) -> Vec<&'static str> {
    let (before, after) = (&one.stat, &other.stat);
    let is_same_content = match (&one.content, &other.content) {
        (Content::Inline, Content::Inline) => !tails,
        (one, other) => one == other,
    };
    let attributes = |entry: &Entry| match &entry.attributes {
        Attributes::Here(pairs) => Ok(pairs.clone()),
        Attributes::Away { id } => Err(*id),
    };
    let all = [
        ("kind", one.kind != other.kind),
        ("content", one.kind == other.kind && !(is_same_content && before.size == after.size)),
        // That of a directory follows what is in it.
        ("mtime", one.kind != Kind::Directory && before.mtime_ns != after.mtime_ns),
        ("mode", before.mode != after.mode),
        ("owner", (before.uid, before.gid) != (after.uid, after.gid)),
        ("attributes", attributes(one) != attributes(other)),
    ];
    all.into_iter().filter(|(_, is_different)| *is_different).map(|(what, _)| what).collect()
}
