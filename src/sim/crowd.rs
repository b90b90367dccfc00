//! A vault of very many nodes: real cores, real stores on simulated disks, a real network between them; but no
//! crashes at any disk call, and only those nodes are woken for which something is due.
//!
//! `cluster.rs` plays a household that anything may happen to; this plays a crowd that little happens to, so that a
//! thousand nodes fit into one process. `forge.rs` makes the vault.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use serde_json::Value;

use super::disk::SimDisk;
use super::files::FakeFiles;
use super::net::Net;
use crate::base::ids::NodeId;
use crate::base::limits::{DATAGRAM_BYTES_MAX, FEED_ENTRIES_OWN_MAX, GROUP_DELAY_MAX};
use crate::base::units::{Moment, Span, Time, WallTime};
use crate::node::api::{ApiError, Call, Piece};
use crate::node::config::Config;
use crate::node::core::{Core, Setup};
use crate::node::ports::{CallId, Ending, FileReply, Input, Listening, Output};
use crate::store::disk::Disk;
use crate::store::service::{Reply, Service, StoreOptions};
use crate::wire::message::{self, Message};

mod forge;
mod stories;

/// Very many nodes.
pub struct Crowd {
    /// The only source of chance.
    pub rng: ChaCha20Rng,
    /// Virtual time.
    pub now: Time,
    /// The nodes, by number.
    pub nodes: Vec<Person>,
    /// The network.
    pub net: Net,
    /// Who is at which address.
    pub(super) places: BTreeMap<SocketAddr, usize>,
    /// When each node has something to do.
    pub(super) due: BTreeSet<(Time, usize)>,
    /// Draws the numbers of calls.
    pub(super) call_count: u64,
}

/// One of them.
pub struct Person {
    /// Who it is.
    pub node: NodeId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its configuration.
    pub config: Config,
    /// Its disk.
    pub(super) disk: Arc<SimDisk>,
    /// The files of its owner, if it has any.
    pub files: FakeFiles,
    /// The running program; None while it is off.
    pub(super) running: Option<Running>,
    /// In `due` for then.
    pub(super) due: Option<Time>,
    /// Bytes of datagrams that it has sent.
    pub sent_bytes: u64,
    /// Bytes of datagrams that came to it.
    pub received_bytes: u64,
    /// Datagrams that it has sent to each address to which nobody listens.
    pub stray_count: BTreeMap<SocketAddr, u64>,
    /// Answers to calls.
    pub(super) answers: BTreeMap<CallId, Answer>,
}

/// What a call has answered, and how it ended.
pub(super) type Answer = (Vec<Value>, Option<Result<Ending, ApiError>>);

/// A running program.
pub(super) struct Running {
    /// It decides.
    core: Core,
    /// It stores.
    service: Service,
    /// Replies on their way to the core.
    replies: VecDeque<(Time, Reply)>,
    /// Answers of the file thread on their way.
    found: VecDeque<(Time, FileReply)>,
    /// When the unsynced group is flushed.
    flush_due: Option<Time>,
    /// A client took a piece.
    taken: VecDeque<CallId>,
}

impl Crowd {
    /// Each node is told where one other is: one of those before it, so that all hang together.
    pub fn acquaint(&mut self) {
        for number in 1..self.nodes.len() {
            let before = u64::try_from(number).expect("counts are small");
            let other = usize::try_from(self.rng.next_u64() % before).expect("it is below a count");
            self.nodes[number].config.peers = vec![self.nodes[other].address];
        }
    }

    /// Starts a node on what its disk has.
    pub fn start(&mut self, number: usize) {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let node = &mut self.nodes[number];
        let service = open(&node.disk);
        let setup = Setup {
            config: node.config.clone(),
            config_text: String::new(),
            host_name: format!("node{number}"),
            discovery: false,
            certificate: None,
            feed_entries: FEED_ENTRIES_OWN_MAX,
            lost: None,
        };
        let core = Core::new(seed, setup);
        let (replies, found, taken) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        node.running = Some(Running { core, service, replies, found, flush_due: None, taken });
        let listening = Listening { addresses: vec![node.address], ..Listening::default() };
        self.give(number, Input::Listening(listening));
    }

    /// The power of a node goes.
    pub fn crash(&mut self, number: usize) {
        self.nodes[number].running = None;
        let disk = Arc::clone(&self.nodes[number].disk);
        disk.crash(&mut self.rng);
        self.plan(number);
    }

    /// The network of a node that is off gives it another address.
    pub fn move_to(&mut self, number: usize, generation: u8) {
        self.places.remove(&self.nodes[number].address);
        self.nodes[number].address = address_of(number, generation);
        self.places.insert(self.nodes[number].address, number);
    }

    /// Takes a node's program away, with all that it has in memory.
    pub fn take(&mut self, number: usize) -> Option<impl Sized> {
        self.nodes[number].running.take()
    }

    /// Whether a node is on.
    #[must_use]
    pub fn is_running(&self, number: usize) -> bool {
        self.nodes[number].running.is_some()
    }

    /// Goes on for so long.
    pub fn run(&mut self, span: Span) {
        let end = self.now + span;
        loop {
            let next = self.due.first().map(|(due, _)| *due).into_iter().chain(self.net.deadline()).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            while let Some((to, from, mut bytes)) = self.net.arrived(self.now) {
                let length = u64::try_from(bytes.len()).unwrap_or(0);
                match self.places.get(&to).copied() {
                    Some(number) => {
                        self.nodes[number].received_bytes += length;
                        self.give(number, Input::Datagram { from, bytes: &mut bytes });
                    }
                    None => {
                        if let Some(number) = self.places.get(&from) {
                            *self.nodes[*number].stray_count.entry(to).or_default() += 1;
                        }
                    }
                }
            }
            while let Some((_, number)) = self.due.first().copied().filter(|(due, _)| *due <= self.now) {
                self.wake(number);
            }
        }
        self.now = end;
    }

    /// Calls a node's API and runs until the call has ended: its lines and its end.
    pub fn ask(&mut self, number: usize, call: Call) -> (Vec<Value>, Result<Ending, ApiError>) {
        self.call_count += 1;
        let id = CallId(self.call_count);
        self.nodes[number].answers.insert(id, (Vec::new(), None));
        self.give(number, Input::Call { id, call });
        for step in 0..CALL_STEPS_MAX + CALL_SECONDS_MAX {
            if let Some((_, Some(_))) = self.nodes[number].answers.get(&id) {
                break;
            }
            self.run(if step < CALL_STEPS_MAX { Span::from_millis(1) } else { Span::from_secs(1) });
        }
        let (lines, end) = self.nodes[number].answers.remove(&id).expect("the call was made");
        (lines, end.expect("the call has ended"))
    }

    /// A member gone bad says this to another one, in the session that they have; true if there is one.
    pub fn say(&mut self, number: usize, to: usize, said: &Message) -> bool {
        let node = self.nodes[to].node;
        let bytes = message::encode(said).expect("the message is within its bounds");
        let moment = self.moment();
        let Some(running) = &mut self.nodes[number].running else { return false };
        let sent = running.core.say(moment, &node, bytes);
        self.settle(number);
        sent
    }

    /// Does what is due on one node.
    fn wake(&mut self, number: usize) {
        let now = self.now;
        while let Some(running) = &mut self.nodes[number].running {
            if let Some(id) = running.taken.pop_front() {
                self.give(number, Input::Taken(id));
                continue;
            }
            if running.found.front().is_some_and(|(due, _)| *due <= now) {
                let Some((_, reply)) = running.found.pop_front() else { break };
                self.give(number, Input::File(reply));
                continue;
            }
            if running.replies.front().is_none_or(|(due, _)| *due > now) {
                break;
            }
            let Some((_, reply)) = running.replies.pop_front() else { break };
            self.give(number, Input::Store(reply));
        }
        if let Some(running) = &mut self.nodes[number].running {
            if running.flush_due.is_some_and(|due| due <= now) {
                let mut replies = Vec::new();
                running.service.flush(&mut replies);
                running.flush_due = None;
                running.replies.extend(replies.into_iter().map(|reply| (now, reply)));
            }
            if running.core.deadline().is_some_and(|due| due <= now) {
                self.give(number, Input::Tick);
            }
        }
        self.plan(number);
    }

    /// Gives a node an input and does all that it wants.
    fn give(&mut self, number: usize, input: Input<'_>) {
        let moment = self.moment();
        let Some(running) = &mut self.nodes[number].running else { return };
        running.core.handle(moment, input);
        self.settle(number);
    }

    /// Does all that a node wants.
    fn settle(&mut self, number: usize) {
        let moment = self.moment();
        loop {
            while let Some(output) =
                self.nodes[number].running.as_mut().and_then(|running| running.core.poll(moment))
            {
                self.obey(number, output);
            }
            self.transmit(number, moment);
            if !self.nodes[number].running.as_ref().is_some_and(|running| running.core.busy()) {
                break;
            }
        }
        self.plan(number);
    }

    /// Sends what a node has to send.
    fn transmit(&mut self, number: usize, moment: Moment) {
        let mut buffer = [0; DATAGRAM_BYTES_MAX];
        let node = &mut self.nodes[number];
        let Some(running) = &mut node.running else { return };
        while let Some(transmit) = running.core.poll_transmit(moment, &mut buffer) {
            for datagram in transmit.datagrams(&buffer) {
                node.sent_bytes += u64::try_from(datagram.len()).unwrap_or(0);
                self.net.send(moment.time, &mut self.rng, node.address, transmit.to, datagram);
            }
        }
    }

    /// Does what a node wants.
    fn obey(&mut self, number: usize, output: Output) {
        let due = self.now + Span::from_micros(50 + self.rng.next_u64() % 3_000);
        let now = self.now;
        let node = &mut self.nodes[number];
        let Some(running) = &mut node.running else { return };
        match output {
            Output::Store(request) => {
                let mut replies = Vec::new();
                running.service.execute(request, &mut replies);
                for reply in replies {
                    let due = running.replies.back().map_or(due, |(last, _)| due.max(*last));
                    running.replies.push_back((due, reply));
                }
                let waits = running.service.unsynced();
                running.flush_due = waits.then(|| running.flush_due.unwrap_or(now + GROUP_DELAY_MAX));
            }
            Output::Piece { id, piece } => {
                if let (Some((lines, _)), Piece::Json(line)) = (node.answers.get_mut(&id), piece) {
                    lines.push(line);
                }
                running.taken.push_back(id);
            }
            Output::Done { id, result } => {
                if let Some((_, end)) = node.answers.get_mut(&id) {
                    *end = Some(result);
                }
            }
            Output::File(request) => {
                let due = running.found.back().map_or(due, |(last, _)| due.max(*last));
                running.found.push_back((due, node.files.answer(request)));
            }
            Output::Errand(_)
            | Output::More(_)
            | Output::Watch(_)
            | Output::Announce(_)
            | Output::SaveConfig(_)
            | Output::Restart => {}
        }
    }

    /// Notes when a node has something to do next.
    fn plan(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let due = node.running.as_ref().and_then(|running| {
            let reply = running.replies.front().map(|(due, _)| *due);
            let found = running.found.front().map(|(due, _)| *due);
            let taken = (!running.taken.is_empty()).then_some(self.now);
            [running.core.deadline(), reply, found, running.flush_due, taken].into_iter().flatten().min()
        });
        if node.due != due {
            if let Some(before) = node.due {
                self.due.remove(&(before, number));
            }
            node.due = due;
            self.due.extend(due.map(|due| (due, number)));
        }
    }

    /// Both clocks.
    fn moment(&self) -> Moment {
        let micros = i64::try_from(self.now.as_micros()).unwrap_or(i64::MAX);
        Moment { time: self.now, wall: WallTime::from_micros(WALL.saturating_add(micros)) }
    }
}

/// Where a node is, in its so many-th network.
pub(super) fn address_of(number: usize, generation: u8) -> SocketAddr {
    let [.., high, low] = u32::try_from(number).expect("there are not that many").to_be_bytes();
    SocketAddr::from(([10, generation, high, low], 7117))
}

/// Opens the store on a disk.
pub(super) fn open(disk: &Arc<SimDisk>) -> Service {
    let disk: Arc<dyn Disk> = Arc::clone(disk) as Arc<dyn Disk>;
    let options = StoreOptions { reserve_bytes: 0, ..StoreOptions::default() };
    Service::open(disk, options).expect("the store opens").0
}

/// What clocks on the wall show at the origin of virtual time.
pub(super) const WALL: i64 = 1_800_000_000_000_000;

/// Milliseconds that a call may take.
const CALL_STEPS_MAX: usize = 20_000;
/// ... and then seconds.
const CALL_SECONDS_MAX: usize = 900;
