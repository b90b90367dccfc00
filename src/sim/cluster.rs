//! Many real nodes (floors 0 to 3) in one thread, in virtual time, from one seed.
//!
//! Each node is a real core, a real store service on a [`SimDisk`], and a tree of [`FakeFiles`]. The cluster plays the
//! part of `io/`: it carries requests to the store and replies back after a while, so that a crash can fall between
//! the two. Nothing here knows what is right: `check.rs` does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use serde_json::Value;

use super::disk::SimDisk;
use super::files::FakeFiles;
use super::net::{Net, Weather};
use crate::base::limits::{
    DATAGRAM_BYTES_MAX, FEED_ENTRIES_OWN_MAX, GROUP_DELAY_MAX, PARTIAL_BYTES, RETIRED_MIN, SEGMENT_BYTES_MAX,
};
use crate::base::units::{Moment, Span, Time, WallTime};
use crate::node::api::{ApiError, Call, Piece};
use crate::node::config::Config;
use crate::node::core::{Core, Setup};
use crate::node::events::errands::ErrandEnd;
use crate::node::ports::{CallId, Ending, Input, Listening, Output};
use crate::node::room::Capacity;
use crate::peer::discovery::Announcement;
use crate::store::disk::Disk;
use crate::store::service::{Reply, Request, Service, StoreOptions};
use surroundings::{Errands, SourceDisk};

#[cfg(test)]
mod hostile;
mod surroundings;

/// A household of simulated nodes.
pub struct Cluster {
    /// The only source of chance.
    pub rng: ChaCha20Rng,
    /// Virtual time.
    now: Time,
    /// What clocks on the wall show at the origin of virtual time.
    wall: i64,
    /// The nodes, by number.
    pub nodes: Vec<SimNode>,
    /// The network.
    pub net: Net,
    /// How long nodes that are started from now on keep what was retired; nobody's configuration may say less than the default.
    pub retired: Span,
    /// How much nodes that are started from now on may hold.
    pub capacity: Capacity,
    /// Whether nodes that are started from now on push.
    pub push: bool,
    /// Whether their folders are backed up when something changes in them; most stories say themselves when they are.
    pub watch: bool,
    /// After how many new bytes nodes that are started from now on take a partial snapshot.
    pub partial_bytes: u64,
    /// What the owners' disks read in a second; None: as much as is asked for.
    pub source_bytes_per_second: Option<u64>,
    /// Length of their segments.
    pub segment_bytes: u64,
    /// Entries of a feed after which they begin another one.
    pub feed_entries: u64,
    /// How many sessions nodes that are started from now on may have; None: as many as by default.
    pub sessions: Option<usize>,
    /// Draws the numbers of calls.
    call_count: u64,
    /// When each node has something to do: only those are woken.
    due: BTreeSet<(Time, usize)>,
    /// Where nodes put what they send.
    buffer: Box<[u8; DATAGRAM_BYTES_MAX]>,
    /// Kept for its memory: the nodes that a step has given something.
    touched: Vec<usize>,
}

/// One simulated node.
pub struct SimNode {
    /// Where it listens.
    pub address: SocketAddr,
    /// How far its clock is before those of the others, in microseconds.
    pub clock_micros: i64,
    /// Another address of the same node, as of a second interface.
    pub second_address: Option<SocketAddr>,
    /// At which of its own addresses each peer talks to it: answers come from there.
    met_at: BTreeMap<SocketAddr, SocketAddr>,
    /// What it announces on the network.
    pub announced: Option<Announcement>,
    /// Its disk, which survives it.
    pub disk: Arc<SimDisk>,
    /// The files of its owner.
    pub files: FakeFiles,
    /// Where it stands, if its configuration says so.
    pub site: Option<String>,
    /// Where it may look for others, by its configuration.
    pub peers: Vec<SocketAddr>,
    /// The running program; None while it is off.
    pub(super) running: Option<Running>,
    /// Hooks that it was to run and alerts that it was to send, the last of them, and what comes of each.
    pub errands: Errands,
    /// Answers to calls.
    answers: BTreeMap<CallId, Answer>,
    /// Whoever called it takes nothing more of an answer.
    pub stalled: bool,
    /// In [`Cluster::due`] for then.
    due: Option<Time>,
    /// It wants to start anew.
    afresh: bool,
}

impl SimNode {
    /// Whoever waits for an answer waits in vain.
    fn end_answers(&mut self, code: &'static str, message: &str) {
        for answer in self.answers.values_mut() {
            answer.end.get_or_insert(Err(ApiError::new(code, message, "")));
        }
    }
}

/// A running program.
pub(super) struct Running {
    /// It decides.
    pub(super) core: Core,
    /// It stores.
    pub(super) service: Service,
    /// Replies on their way to the core.
    replies: VecDeque<(Time, Arriving)>,
    /// Answers of the file thread on their way.
    source: SourceDisk,
    /// When the unsynced group is flushed.
    flush_due: Option<Time>,
    /// How long it keeps what was retired: what it was started with, which may be less than a configuration can say.
    retired: Span,
    /// What the core said of its deadline, since it was given something last; None: it was not asked since then.
    core_due: Option<Option<Time>>,
}

/// A reply on its way.
enum Arriving {
    /// Of the store.
    Store(Reply),
    /// A client took a piece.
    Taken(CallId),
    /// What came of a hook or an alert.
    Errand(ErrandEnd),
    /// A client sends a piece, the last one or not.
    Data(CallId, Vec<u8>, bool),
}

/// What a call has answered so far.
#[derive(Debug, Default)]
pub struct Answer {
    /// JSON pieces.
    pub lines: Vec<Value>,
    /// Byte pieces, one after the other.
    pub bytes: Vec<u8>,
    /// How it ended.
    pub end: Option<Result<Ending, ApiError>>,
    /// What its client sends when it is asked for more.
    sends: VecDeque<Vec<u8>>,
}

impl Cluster {
    /// `count` empty nodes that run.
    #[must_use]
    pub fn new(seed: u64, count: usize, weather: Weather) -> Self {
        let mut cluster = Self {
            rng: ChaCha20Rng::seed_from_u64(seed),
            now: Time::ZERO,
            wall: 1_800_000_000_000_000,
            nodes: Vec::new(),
            net: Net::new(weather),
            retired: RETIRED_MIN,
            capacity: Capacity::All,
            push: true,
            watch: false,
            partial_bytes: PARTIAL_BYTES,
            source_bytes_per_second: None,
            segment_bytes: SEGMENT_BYTES_MAX,
            feed_entries: FEED_ENTRIES_OWN_MAX,
            sessions: None,
            call_count: 0,
            due: BTreeSet::new(),
            buffer: Box::new([0; DATAGRAM_BYTES_MAX]),
            touched: Vec::new(),
        };
        for _ in 0..count {
            cluster.add_node();
        }
        cluster
    }

    /// One more empty node; its number.
    pub fn add_node(&mut self) -> usize {
        let number = self.add_node_off();
        self.start(number);
        number
    }

    /// One more node, which was never started; its number.
    pub fn add_node_off(&mut self) -> usize {
        let number = self.nodes.len();
        let host = u8::try_from(number + 1).expect("a simulated household has fewer than 255 nodes");
        let address = SocketAddr::from((Ipv4Addr::new(10, 0, 0, host), 7117));
        self.nodes.push(SimNode {
            address,
            clock_micros: 0,
            second_address: None,
            met_at: BTreeMap::new(),
            announced: None,
            disk: Arc::new(SimDisk::new(1 << 40)),
            files: FakeFiles::default(),
            site: None,
            peers: Vec::new(),
            running: None,
            errands: Errands::default(),
            answers: BTreeMap::new(),
            stalled: false,
            due: None,
            afresh: false,
        });
        number
    }

    /// Virtual time.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// Sets every clock on the wall forward (or back).
    pub fn shift_clocks(&mut self, micros: i64) {
        self.wall += micros;
    }

    /// Whether the node's program runs.
    #[must_use]
    pub fn is_running(&self, number: usize) -> bool {
        self.nodes[number].running.is_some()
    }

    /// Starts a node on what its disk has.
    pub fn start(&mut self, number: usize) {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let node = &mut self.nodes[number];
        let disk: Arc<dyn Disk> = Arc::clone(&node.disk) as Arc<dyn Disk>;
        let segment_bytes_max = self.segment_bytes;
        let options = StoreOptions { reserve_bytes: 0, segment_bytes_max, ..StoreOptions::default() };
        let (service, report) = Service::open(disk, options).expect("the store opens after any crash");
        let mut config = Config::parse("").expect("an empty configuration is the default");
        (config.retired, config.capacity, config.push) = (self.retired, self.capacity, self.push);
        (config.partial_bytes, config.watch) = (self.partial_bytes, self.watch);
        config.peers.clone_from(&node.peers);
        config.site = node.site.clone().unwrap_or(config.site);
        config.sessions = self.sessions.unwrap_or(config.sessions);
        let host_name = format!("node{number}");
        let lost = (report.segments_lost > 0).then(|| format!("{report:?}"));
        let (config_text, discovery, certificate) = (String::new(), false, None);
        let retired = config.retired;
        let feed_entries = self.feed_entries;
        let setup = Setup { config, config_text, host_name, discovery, certificate, feed_entries, lost };
        let core = Core::new(seed, setup);
        let source = SourceDisk::default();
        let replies = VecDeque::new();
        node.running =
            Some(Running { core, service, replies, source, flush_due: None, retired, core_due: None });
        let listening = Input::Listening(Listening { addresses: vec![node.address], ..Listening::default() });
        self.give(number, listening);
    }

    /// The power goes: what was not synced may be lost, in any part.
    pub fn crash(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if let Some(running) = node.running.take() {
            die(running.service, &node.disk);
        }
        node.disk.crash(&mut self.rng);
        node.end_answers("crashed", "the node crashed");
        self.plan(number);
    }

    /// The program is ended in good order: it has its last words, and the store is closed.
    pub fn stop(&mut self, number: usize) {
        self.give(number, Input::Stop);
        let _ = self.nodes[number].running.take().map(|running| running.service.close());
        self.plan(number);
    }

    /// Calls a node's API.
    pub fn call(&mut self, number: usize, call: Call) -> CallId {
        self.call_sending(number, call, &[])
    }

    /// Calls a node's API with something to send.
    pub fn call_sending(&mut self, number: usize, call: Call, bytes: &[u8]) -> CallId {
        self.call_count += 1;
        let id = CallId(self.call_count);
        let sends = bytes.chunks(50_000).map(<[u8]>::to_vec).collect();
        self.nodes[number].answers.insert(id, Answer { sends, ..Answer::default() });
        self.give(number, Input::Call { id, call });
        id
    }

    /// What a call has answered.
    #[must_use]
    pub fn answer(&self, number: usize, id: CallId) -> &Answer {
        &self.nodes[number].answers[&id]
    }

    /// Runs until `done` says so, or `span` has passed. True if it was done.
    pub fn run_until(&mut self, span: Span, mut done: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + span;
        while !done(self) {
            if self.now >= end || !self.step(end) {
                return done(self);
            }
        }
        true
    }

    /// Runs until the call has ended; its answer.
    pub fn finish(&mut self, number: usize, id: CallId, span: Span) -> Answer {
        let ended = self.run_until(span, |cluster| cluster.answer(number, id).end.is_some());
        assert!(ended, "call {id:?} of node {number} has not ended: {:?}", self.answer(number, id).lines);
        self.nodes[number].answers.remove(&id).expect("the call was made")
    }

    /// Calls and runs until the end.
    pub fn ask(&mut self, number: usize, call: Call, span: Span) -> Answer {
        let id = self.call(number, call);
        self.finish(number, id, span)
    }

    /// Goes on to the next thing that happens, at `end` at the latest. False when nothing will happen any more.
    fn step(&mut self, end: Time) -> bool {
        let due = self.due.first().map(|(due, _)| *due).into_iter().chain(self.net.deadline()).min();
        let Some(due) = due else { return false };
        self.now = due.min(end).max(self.now);
        let mut touched = std::mem::take(&mut self.touched);
        while let Some((to, from, mut bytes)) = self.net.arrived(self.now) {
            let is_at = |node: &SimNode| node.address == to || node.second_address == Some(to);
            if let Some(number) = self.nodes.iter().position(is_at) {
                self.nodes[number].met_at.insert(from, to);
                self.hand(number, Input::Datagram { from, bytes: &mut bytes });
                touched.push(number);
            }
        }
        let met = touched.len();
        touched.extend(self.due.iter().take_while(|(due, _)| *due <= self.now).map(|(_, number)| *number));
        touched[met..].iter().for_each(|number| self.wake(*number));
        touched.sort_unstable();
        touched.dedup();
        for number in touched.drain(..) {
            self.plan(number);
            self.begin_afresh(number);
        }
        self.touched = touched;
        true
    }

    /// Starts a node anew that wants it.
    fn begin_afresh(&mut self, number: usize) {
        if std::mem::take(&mut self.nodes[number].afresh) && self.is_running(number) {
            self.stop(number);
            self.nodes[number].end_answers("restarted", "the node starts anew");
            self.start(number);
        }
    }

    /// Notes when a node has something to do next.
    fn plan(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let due = node.running.as_mut().and_then(|running| {
            let reply = running.replies.front().map(|(due, _)| *due);
            let others = [reply, running.source.deadline(), running.flush_due];
            others.into_iter().chain([running.core_deadline()]).flatten().min()
        });
        if node.due != due {
            if let Some(before) = node.due {
                self.due.remove(&(before, number));
            }
            node.due = due;
            self.due.extend(due.map(|due| (due, number)));
        }
    }

    /// Does what is due on one node.
    fn wake(&mut self, number: usize) {
        let now = self.now;
        loop {
            let Some(running) = &mut self.nodes[number].running else { return };
            if running.replies.front().is_none_or(|(due, _)| *due > now) {
                break;
            }
            let Some((_, reply)) = running.replies.pop_front() else { break };
            match reply {
                Arriving::Store(reply) => self.hand(number, Input::Store(reply)),
                Arriving::Taken(id) => self.hand(number, Input::Taken(id)),
                Arriving::Errand(end) => self.hand(number, Input::Errand(end)),
                Arriving::Data(id, bytes, end) => self.hand(number, Input::Data { id, bytes, end }),
            }
        }
        while let Some(reply) = self.nodes[number].running.as_mut().and_then(|at| at.source.arrived(now)) {
            self.hand(number, Input::File(reply));
        }
        let Some(running) = &mut self.nodes[number].running else { return };
        if running.flush_due.is_some_and(|due| due <= now) {
            let mut replies = Vec::new();
            running.service.flush(&mut replies);
            running.flush_due = None;
            let arriving = replies.into_iter().map(|reply| (now, Arriving::Store(reply)));
            running.replies.extend(arriving);
        }
        if running.core_deadline().is_some_and(|due| due <= now) {
            self.hand(number, Input::Tick);
        }
    }

    /// Gives a node an input and does all that it wants.
    pub fn give(&mut self, number: usize, input: Input<'_>) {
        self.hand(number, input);
        self.plan(number);
    }

    /// The same, and it is planned later when the node is woken next.
    fn hand(&mut self, number: usize, input: Input<'_>) {
        let moment = self.moment(number);
        let Some(running) = &mut self.nodes[number].running else { return };
        running.core_due = None;
        running.core.handle(moment, input);
        loop {
            while let Some(output) = self.next_output(number, moment) {
                self.obey(number, output);
            }
            self.transmit(number, moment);
            if !self.nodes[number].running.as_ref().is_some_and(|running| running.core.busy()) {
                break;
            }
        }
    }

    /// The next thing a node wants.
    fn next_output(&mut self, number: usize, moment: Moment) -> Option<Output> {
        self.nodes[number].running.as_mut()?.core.poll(moment)
    }

    /// Sends what a node has to send.
    fn transmit(&mut self, number: usize, moment: Moment) {
        let buffer = &mut self.buffer[..];
        let node = &mut self.nodes[number];
        let Some(running) = &mut node.running else { return };
        while let Some(transmit) = running.core.poll_transmit(moment, buffer) {
            for datagram in transmit.datagrams(buffer) {
                let met_at = node.met_at.get(&transmit.to).copied();
                let is_own = |at: &SocketAddr| *at == node.address || node.second_address == Some(*at);
                let from = met_at.filter(is_own).unwrap_or(node.address);
                self.net.send(moment.time, &mut self.rng, from, transmit.to, datagram);
            }
        }
    }

    /// Does what a node wants.
    fn obey(&mut self, number: usize, output: Output) {
        let latency = Span::from_micros(50 + self.rng.next_u64() % 3_000);
        let now = self.now;
        let node = &mut self.nodes[number];
        let Some(running) = &mut node.running else { return };
        match output {
            Output::Store(request) => running.store(now, latency, request),
            Output::File(request) => {
                let before = node.files.asked().data_bytes;
                let reply = node.files.answer(request);
                let bytes = node.files.asked().data_bytes - before;
                running.source.answer(now, latency, bytes, self.source_bytes_per_second, reply);
            }
            Output::Piece { id, piece } => {
                if let Some(answer) = node.answers.get_mut(&id) {
                    match piece {
                        Piece::Json(line) => answer.lines.push(line),
                        Piece::Bytes(bytes) => answer.bytes.extend_from_slice(&bytes),
                    }
                }
                if !node.stalled {
                    running.later(now + latency, Arriving::Taken(id));
                }
            }
            Output::Done { id, result } => {
                if let Some(answer) = node.answers.get_mut(&id) {
                    answer.end = Some(result);
                }
            }
            Output::More(id) => {
                let answer = node.answers.get_mut(&id);
                let (bytes, end) = answer.map_or((None, true), |answer| {
                    let bytes = answer.sends.pop_front();
                    (bytes, answer.sends.is_empty())
                });
                running.later(now + latency, Arriving::Data(id, bytes.unwrap_or_default(), end));
            }
            Output::Announce(announced) => node.announced = announced,
            Output::Errand(errand) => {
                let end = node.errands.run(errand);
                running.later(now + latency, Arriving::Errand(end));
            }
            Output::Restart => node.afresh = true,
            Output::SaveConfig(_) => running.core.keep_retired_for(running.retired),
            Output::Watch(_) => {}
        }
    }

    /// Both clocks of a node.
    fn moment(&self, number: usize) -> Moment {
        let micros = i64::try_from(self.now.as_micros()).unwrap_or(i64::MAX);
        let micros = micros.saturating_add(self.nodes[number].clock_micros);
        Moment { time: self.now, wall: WallTime::from_micros(self.wall.saturating_add(micros)) }
    }
}

impl Running {
    /// When the core wants to be woken: it is asked once after whatever it was given, for nearly all that it is woken for comes from
    /// outside.
    fn core_deadline(&mut self) -> Option<Time> {
        *self.core_due.get_or_insert_with(|| self.core.deadline())
    }

    /// The storage thread does a request; its replies take a while.
    fn store(&mut self, now: Time, latency: Span, request: Request) {
        let mut replies = Vec::new();
        self.service.execute(request, &mut replies);
        for reply in replies {
            self.later(now + latency, Arriving::Store(reply));
        }
        self.flush_due =
            if self.service.unsynced() { self.flush_due.or(Some(now + GROUP_DELAY_MAX)) } else { None };
    }

    /// A reply arrives then, and not before those that were sent before it.
    fn later(&mut self, due: Time, arriving: Arriving) {
        let due = self.replies.back().map_or(due, |(last, _)| due.max(*last));
        self.replies.push_back((due, arriving));
    }
}

/// The power of a store is gone: nothing that the dead program does may reach the disk, and a database whose last write has failed is not
/// closed in good order, which costs more than all that a node does in a minute.
pub(super) fn die(mut service: Service, disk: &SimDisk) {
    disk.turn_off();
    let settings = vec![("last".to_owned(), None)];
    service.execute(Request::Save { op: 0, settings }, &mut Vec::new());
}
