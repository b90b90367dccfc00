//! The loop that drives a node: it carries datagrams, replies, calls and time to the core, and what the core wants to
//! where it belongs. Decides nothing.
//!
//! A turn looks at everything once, each within a bound, and lets the core work for about [`TURN_MAX`]; so packets are
//! answered while a long backup runs. When a turn leaves nothing to do, the loop waits.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use smol::channel::{bounded, Receiver, Sender};
use smol::stream::Stream;

use super::calls::{Calls, Inward};
use super::mdns::{Mdns, Sighting};
use super::os::{self, Clock};
use super::outward::Errands;
use super::post::Post;
use super::threads::{FileJob, ThreadError, Word, Worker};
use super::watch::Changes;
use crate::base::limits::{
    FAREWELL_TURNS_MAX, INTERFACES_EVERY, REPLIES_PER_TURN_MAX, SIGHTINGS_WAITING_MAX, TICK_MIN, TURN_MAX,
};
use crate::base::units::{Span, Time};
use crate::node::ports::{Input, Listening, Output};
use crate::store::service::Request;
use chores::Chores;
use vigil::{Telling, Vigil};

mod chores;
mod machine;
mod rest;
mod vigil;

pub use machine::{Machine, Over};
pub use rest::Rest;

/// What a driver is made of.
#[derive(Debug)]
pub struct Ports {
    /// The time.
    pub clock: Clock,
    /// Other nodes, and the timer.
    pub post: Post,
    /// The storage thread.
    pub store: Worker<Request>,
    /// The file thread.
    pub files: Worker<FileJob>,
    /// What the threads say.
    pub words: Receiver<Word>,
    /// Hooks and alerts.
    pub outward: Errands,
    /// The API.
    pub calls: Calls,
    /// What callers say.
    pub heard: Receiver<Inward>,
    /// What has changed in watched folders, where the system tells.
    pub changes: Option<Changes>,
    /// Discovery, if it is on.
    pub mdns: Option<Mdns>,
    /// Where `nuthatch.toml` lies.
    pub home: PathBuf,
}

/// Drives one machine.
#[derive(Debug)]
pub struct Driver<M> {
    /// What is driven.
    machine: M,
    /// Its surroundings.
    ports: Ports,
    /// What was heard while waiting.
    inbox: VecDeque<Event>,
    /// The threads' words, to wait for.
    words: Pin<Box<Receiver<Word>>>,
    /// Callers' words, to wait for.
    heard: Pin<Box<Receiver<Inward>>>,
    /// Announcements that were seen.
    sightings: Pin<Box<Receiver<Sighting>>>,
    /// For whoever listens to the network.
    sighted: Sender<Sighting>,
    /// When the core was last told that time passed.
    last_tick: Time,
    /// What is done now and then.
    chores: Chores,
    /// What the service manager hears.
    vigil: Vigil,
    /// The longest work of the core at once.
    longest_turn: Span,
    /// The core wants to start anew.
    is_over: bool,
}

/// What was heard.
#[derive(Debug)]
enum Event {
    /// From a thread.
    Word(Word),
    /// From a caller.
    Inward(Inward),
    /// From the network.
    Sighting(Sighting),
}

impl<M: Machine> Driver<M> {
    /// Drives `machine`.
    #[must_use]
    pub fn new(machine: M, ports: Ports) -> Self {
        let (sighted, sightings) = bounded(SIGHTINGS_WAITING_MAX);
        let now = ports.clock.time();
        Self {
            machine,
            inbox: VecDeque::new(),
            words: Box::pin(ports.words.clone()),
            heard: Box::pin(ports.heard.clone()),
            sightings: Box::pin(sightings),
            sighted,
            last_tick: now,
            chores: Chores {
                next_interfaces: now,
                listening: Listening::default(),
                turns: 0,
                owes_memory: false,
                rest: Rest::default(),
            },
            vigil: Vigil::new(now, os::is_supervised(), os::watchdog_interval()),
            longest_turn: Span::ZERO,
            is_over: false,
            ports,
        }
    }

    /// The machine's surroundings.
    #[must_use]
    pub const fn ports(&self) -> &Ports {
        &self.ports
    }

    /// Whether little is going on, for whoever waits for this driver.
    #[must_use]
    pub fn rest(&self) -> Rest {
        self.chores.rest.clone()
    }

    /// For whoever listens to the network.
    #[must_use]
    pub fn sighted(&self) -> Sender<Sighting> {
        self.sighted.clone()
    }

    /// Turns until a thread fails, or the core wants to start anew.
    pub async fn run(&mut self) -> Over {
        loop {
            match self.turn() {
                Err(error) => return Over::Failed(error),
                Ok(_) if self.is_over => return Over::Afresh,
                // Others on this thread (connections of the control socket) get their turn.
                Ok(true) => smol::future::yield_now().await,
                Ok(false) => self.wait().await,
            }
        }
    }

    /// Last words: the machine hears that it is stopped, and what it says to that goes out as far as the socket takes it.
    /// Nothing is waited for: a peer that does not hear it notices by itself, later.
    pub fn farewell(&mut self) {
        self.machine.handle(self.ports.clock.now(), Input::Stop);
        // What is to be remembered comes first.
        if let Some(output @ Output::Store(_)) = self.machine.poll(self.ports.clock.now()) {
            self.carry(output);
            self.hand_over();
        }
        for _ in 0..FAREWELL_TURNS_MAX {
            if !self.transmit() {
                break;
            }
        }
    }

    /// Gives back the surroundings, to be taken down.
    #[must_use]
    pub fn into_ports(self) -> Ports {
        log::debug!("the longest turn took {} us", self.longest_turn.as_micros());
        self.ports
    }

    /// Looks at everything once; whether there is more to do at once.
    fn turn(&mut self) -> Result<bool, ThreadError> {
        self.keep_time();
        self.notice();
        let received = self.receive();
        let heard = self.hear()?;
        let worked = self.work();
        let sent = self.transmit();
        self.report();
        let is_more = received || heard || worked || sent;
        // Whoever receives mostly takes all that there is in one turn: what counts is how often there is something.
        self.chores.turned();
        Ok(is_more)
    }

    /// Tells the core that time passed, and does what is done now and then.
    fn keep_time(&mut self) {
        let moment = self.ports.clock.now();
        if self.machine.deadline().is_some_and(|deadline| deadline <= moment.time) {
            self.last_tick = moment.time;
            self.machine.handle(moment, Input::Tick);
        }
        if self.chores.next_interfaces <= moment.time {
            self.chores.next_interfaces = moment.time + INTERFACES_EVERY;
            if self.chores.came_to_rest() {
                self.machine.handle(moment, Input::Rest);
                nuthatch_heap::give_back();
            }
            let listening = self.ports.post.udp().listening();
            if listening != self.chores.listening {
                self.chores.listening.clone_from(&listening);
                self.machine.handle(moment, Input::Listening(listening));
            }
        }
    }

    /// Tells the service manager that the node serves, how things are, and that it lives.
    fn report(&mut self) {
        let Self { vigil, machine, ports, .. } = self;
        let moment = ports.clock.now();
        if vigil.look(moment.time, [ports.store.pulse(), ports.files.pulse()]) {
            os::notify_watchdog();
        }
        if let Some(Telling { is_first, sentence }) = vigil.tell(moment.time, || machine.sentence(moment)) {
            os::notify_status(is_first, &sentence);
        }
    }

    /// Tells the core what has changed in watched folders.
    fn notice(&mut self) {
        let Some(changes) = &mut self.ports.changes else { return };
        let moment = self.ports.clock.now();
        for notice in changes.take(moment.time) {
            self.machine.handle(moment, Input::Notice(notice));
        }
    }

    /// Takes what arrived on the socket; whether there may be more.
    fn receive(&mut self) -> bool {
        let Self { machine, ports: Ports { post, clock, .. }, .. } = self;
        let moment = clock.now();
        let take = |from, bytes: &mut [u8]| machine.handle(moment, Input::Datagram { from, bytes });
        post.receive_now_and_then(moment.time, take)
    }

    /// Takes what threads, callers and the network say; whether there may be more.
    fn hear(&mut self) -> Result<bool, ThreadError> {
        let mut taken = 0;
        while taken < REPLIES_PER_TURN_MAX {
            taken += 1;
            let event = self
                .inbox
                .pop_front()
                .or_else(|| self.ports.heard.try_recv().ok().map(Event::Inward))
                .or_else(|| self.ports.words.try_recv().ok().map(Event::Word))
                .or_else(|| self.sightings.try_recv().ok().map(Event::Sighting));
            let Some(event) = event else { return Ok(false) };
            let moment = self.ports.clock.now();
            let input = match event {
                Event::Word(Word::Store(replies)) => {
                    taken += replies.len();
                    replies.into_iter().for_each(|reply| self.machine.handle(moment, Input::Store(reply)));
                    continue;
                }
                Event::Word(Word::File(replies)) => {
                    taken += replies.len();
                    replies.into_iter().for_each(|reply| self.machine.handle(moment, Input::File(reply)));
                    continue;
                }
                Event::Word(Word::Notice(notice)) => Input::Notice(notice),
                Event::Word(Word::Errand(end)) => Input::Errand(end),
                Event::Word(Word::Died(name)) => return Err(ThreadError::Died(name)),
                Event::Inward(Inward::Call { id, call }) => Input::Call { id, call },
                Event::Inward(Inward::Data { id, bytes, end }) => Input::Data { id, bytes, end },
                Event::Inward(Inward::Taken(id)) => Input::Taken(id),
                Event::Inward(Inward::Dropped(id)) => Input::Dropped(id),
                Event::Sighting(Sighting { addresses, announcement }) => {
                    Input::Sighted { addresses, announcement }
                }
            };
            self.machine.handle(moment, input);
        }
        Ok(true)
    }

    /// Lets the core work for a while; whether it has more to do.
    fn work(&mut self) -> bool {
        let begun = self.ports.clock.time();
        let mut before = begun;
        let is_more = loop {
            let output = self.machine.poll(self.ports.clock.now());
            let now = self.ports.clock.time();
            self.longest_turn = self.longest_turn.max(now.since(before));
            before = now;
            match output {
                Some(output) => self.carry(output),
                None => break self.machine.busy(),
            }
            if now.since(begun) >= TURN_MAX {
                break true;
            }
        };
        self.hand_over();
        is_more
    }

    /// What was asked of the threads goes to them, together.
    fn hand_over(&mut self) {
        self.ports.store.hand_over();
        self.ports.files.hand_over();
    }

    /// Brings an output to where it belongs.
    fn carry(&mut self, output: Output) {
        match output {
            Output::Store(request) => self.ports.store.ask(request),
            Output::File(request) => self.ports.files.ask(FileJob::Ask(request)),
            Output::Watch(order) => self.ports.files.ask(FileJob::Watch(order)),
            Output::Errand(errand) => self.ports.outward.run(errand),
            Output::Piece { id, piece } => self.ports.calls.piece(id, piece),
            Output::More(id) => self.ports.calls.more(id),
            Output::Done { id, result } => self.ports.calls.done(id, result),
            Output::Announce(announcement) => {
                if let Some(mdns) = &mut self.ports.mdns {
                    mdns.announce(announcement);
                }
            }
            Output::SaveConfig(text) => {
                self.ports.files.ask(FileJob::SaveConfig { home: self.ports.home.clone(), text });
            }
            Output::Restart => self.is_over = true,
        }
    }

    /// Sends what the core has to send; whether there may be more that can be sent now.
    fn transmit(&mut self) -> bool {
        let Self { machine, ports: Ports { post, clock, .. }, .. } = self;
        post.transmit(|out| machine.poll_transmit(clock.now(), out))
    }

    /// Waits until there is something to do.
    async fn wait(&mut self) {
        self.arm();
        std::future::poll_fn(|context| self.poll_wait(context)).await;
    }

    /// Sets the timer to what is due next. A deadline that stays in the past after a tick must not keep us turning.
    fn arm(&mut self) {
        let last = self.last_tick;
        let due = [
            self.machine.deadline().map(|deadline| if deadline > last { deadline } else { last + TICK_MIN }),
            Some(self.chores.next_interfaces),
            self.ports.changes.as_ref().and_then(Changes::due),
            self.vigil.deadline(),
        ]
        .into_iter()
        .flatten()
        .min();
        self.ports.post.arm(&self.ports.clock, due);
    }

    /// Ready when anything is. What was heard is kept in the inbox.
    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut ready = false;
        if let Poll::Ready(Some(word)) = self.words.as_mut().poll_next(context) {
            self.inbox.push_back(Event::Word(word));
            ready = true;
        }
        if let Poll::Ready(Some(inward)) = self.heard.as_mut().poll_next(context) {
            self.inbox.push_back(Event::Inward(inward));
            ready = true;
        }
        if let Poll::Ready(Some(sighting)) = self.sightings.as_mut().poll_next(context) {
            self.inbox.push_back(Event::Sighting(sighting));
            ready = true;
        }
        ready |= self.ports.changes.as_mut().is_some_and(|changes| changes.poll(context));
        ready |= self.ports.post.poll(context);
        if ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

#[cfg(test)]
mod tests;
