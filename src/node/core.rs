//! The node as one value: everything that decides, and nothing that touches a clock, a file or a socket.
//!
//! ```text
//!   Input --> Core::handle --> (state) --> Core::poll --> Output
//!                                     \--> Core::poll_transmit --> datagrams
//!
//!   Loading --settings, entries--> Unconfigured --init, join, recover--> Member
//!                              \-------------------------------------------^
//! ```
//!
//! This file owns the routing between the ports, the endpoint and the duties. What is done in each case stands in the
//! files beside it: `boot` (loading), `enter` (init, join, recover, invite), `gossip` (feeds), `reach` (connecting),
//! `holding` (receipts), `folders` (backups and drafts), `source` (chunks), `calls` (the API), `status`.

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use super::activity::{Activity, Level};
use super::bandwidth::Throttle;
use super::boot::Loading;
use super::calls::Calls;
use super::confirm::Confirming;
pub(super) use super::duties::Duty;
use super::duty::{op_of, op_of_file, Ops, Told};
use super::enter::Entering;
use super::folders::Folders;
use super::gossip::Gossip;
use super::holding::Holding;
use super::keyring::Keyring;
use super::member::Membership;
use super::pausing::Pausing;
pub(super) use super::pending::Pending;
use super::ports::{FileReply, Input, Listening, Output};
use super::pushing::{conduct::Conduct, Pushing, PUSH_DUTY};
use super::reach::Reach;
use super::reconciling::Reconciling;
use super::source::{Source, SOURCE_DUTY};
use super::upkeep::Upkeep;
use crate::base::ids::NodeId;
use crate::base::units::{Moment, Time};
use crate::peer::event::{Event, Transmit};
use crate::peer::table::Endpoint;
use crate::store::service::{Op, Reply, Request};
use crate::wire::{frame::Lane, message, message::Message};

mod setup;

pub use setup::Setup;

/// One node.
pub struct Core {
    /// How it was started; changes with `config set`.
    pub(super) setup: Setup,
    /// The only source of randomness.
    pub(super) rng: ChaCha20Rng,
    /// The moment of the present input.
    pub(super) now: Moment,
    /// What is to be done by whoever drives the core.
    pub(super) outputs: VecDeque<Output>,
    /// Set while the state is read from the disk.
    pub(super) loading: Option<Loading>,
    /// Set once this node belongs to a vault.
    pub(super) member: Option<Membership>,
    /// Sessions and pairing.
    pub(super) endpoint: Endpoint,
    /// Limits on what goes out and comes in.
    pub(super) throttle: Throttle,
    /// Where this node can be reached.
    pub(super) listening: Listening,
    /// Numbers of the core's own operations.
    pub(super) ops: Ops,
    /// What the core's own operations are about.
    pub(super) pending: BTreeMap<Op, Pending>,
    /// Chunks in both directions.
    pub(super) source: Source,
    /// Chunks that go out and come in before a snapshot lists them.
    pub(super) pushing: Pushing,
    /// How peers behave.
    pub(super) conduct: Conduct,
    /// Jobs of many turns, by their number.
    pub(super) duties: BTreeMap<u64, Duty>,
    /// The next duty's number.
    next_duty: u64,
    /// The duty that was polled last: the next turn begins behind it.
    pub(super) last_duty: u64,
    /// Running API calls.
    pub(super) calls: Calls,
    /// Feed exchange with each peer.
    pub(super) gossip: Gossip,
    /// Whom to connect to, and when.
    pub(super) reach: Reach,
    /// This node's shares of snapshots.
    pub(super) holding: Holding,
    /// Comparing with peers what both hold.
    pub(super) reconciling: Reconciling,
    /// This node's folders.
    pub(super) folders: Folders,
    /// Whether it holds still.
    pub(super) pausing: Pausing,
    /// Init, join, recover and invite while they run.
    pub(super) entering: Entering,
    /// Calls that wait until this node may write.
    pub(super) confirming: Confirming,
    /// Content keys.
    pub(super) keyring: Keyring,
    /// Which devices are silent.
    pub(super) hearing: super::hearing::Hearing,
    /// What the node does for its own store.
    pub(super) upkeep: Upkeep,
    /// What happened lately.
    pub(super) activity: Activity,
    /// What goes out when something happens.
    pub(super) outward: super::events::errands::Outward,
    /// Ends the name under which mDNS announces this run.
    pub(super) instance_suffix: Option<String>,
    /// The day whose tag is announced.
    pub(super) announced_day: i64,
}

impl Core {
    /// A node that has yet to read its state; the first `poll` asks for it. `seed` is fresh entropy (in the simulator:
    /// drawn from the run's seed) and never used twice.
    #[must_use]
    pub fn new(seed: [u8; 32], setup: Setup) -> Self {
        let mut rng = ChaCha20Rng::from_seed(seed);
        let mut endpoint_seed = [0; 32];
        rng.fill_bytes(&mut endpoint_seed);
        let mut core = Self {
            setup,
            rng,
            now: Moment::default(),
            outputs: VecDeque::new(),
            loading: None,
            member: None,
            endpoint: Endpoint::new(endpoint_seed),
            listening: Listening::default(),
            ops: Ops::new(0),
            pending: BTreeMap::new(),
            source: Source::default(),
            pushing: Pushing::default(),
            conduct: Conduct::default(),
            duties: BTreeMap::new(),
            next_duty: PUSH_DUTY + 1,
            last_duty: 0,
            calls: Calls::default(),
            gossip: Gossip::default(),
            reach: Reach::default(),
            holding: Holding::default(),
            reconciling: Reconciling::default(),
            folders: Folders::default(),
            pausing: Pausing::default(),
            entering: Entering::default(),
            confirming: Confirming::default(),
            keyring: Keyring::default(),
            hearing: super::hearing::Hearing::default(),
            upkeep: Upkeep::default(),
            activity: Activity::default(),
            outward: super::events::errands::Outward::default(),
            instance_suffix: None,
            announced_day: 0,
            throttle: Throttle::default(),
        };
        core.reach.linking.most = core.setup.config.sessions;
        core.begin_loading();
        core
    }

    /// Something happened. Then `poll` and `poll_transmit` are drained.
    pub fn handle(&mut self, moment: Moment, input: Input<'_>) {
        self.now = moment;
        match input {
            Input::Datagram { from, bytes } => self.endpoint.handle_datagram(moment.time, from, bytes),
            Input::Store(reply) => self.store_replied(reply),
            Input::File(reply) => self.file_replied(reply),
            Input::Call { id, call } => self.called(id, call),
            Input::Data { id, bytes, end } => self.data_came(id, bytes, end),
            Input::Taken(id) => self.taken(id),
            Input::Dropped(id) => self.dropped(id),
            Input::Sighted { addresses, announcement } => self.sighted(&addresses, &announcement),
            Input::Listening(listening) => self.now_listening(listening),
            Input::Notice(notice) => self.noticed(notice),
            Input::Errand(end) => self.errand_ended(end),
            Input::Stop => return self.stops(),
            Input::Rest => {
                if let Some(sealer) = self.member.as_mut().and_then(|member| member.sealer.as_mut()) {
                    sealer.rest();
                }
            }
            Input::Tick => {}
        }
        self.handle_timeouts();
    }

    /// The next thing to do; None when everything waits. At most one chunk is cut or sealed in a call.
    pub fn poll(&mut self, moment: Moment) -> Option<Output> {
        self.now = moment;
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if !self.turn() {
                return None;
            }
        }
    }

    /// Fills `out` with the next datagram to send and says where to and how long it is.
    pub fn poll_transmit(&mut self, moment: Moment, out: &mut [u8]) -> Option<Transmit> {
        self.now = moment;
        self.endpoint.poll_transmit(moment.time, out)
    }

    /// When to come back with [`Input::Tick`] if nothing else happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        [
            self.endpoint.deadline(),
            self.source.deadline(),
            self.pushing.deadline(),
            self.reach.deadline(),
            self.links_deadline(),
            self.holding.deadline(),
            self.folders.deadline(self.pausing.is_on()),
            self.pausing.deadline(),
            self.calls.deadline(),
            self.entering.deadline(),
            self.throttle.deadline(),
            self.confirming.deadline(),
            self.keyring.deadline(),
            self.hearing.deadline(),
            self.upkeep.deadline(),
            self.reconciling.deadline(self.now.time),
            self.outward.deadline(),
            self.activity.charts.deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether a duty has more work ready although [`Core::poll`] returned None: look at the sockets, then poll again.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.duties.values().filter(|duty| !self.stands_still(duty)).any(|duty| match duty {
            Duty::Backup(backup, _) => backup.busy(),
            Duty::Merge(merging, _) => merging.busy(),
            Duty::Upload(upload, _) => upload.busy(),
            Duty::Restore(restore, _) => restore.busy(),
            Duty::List(list, _) => list.busy(),
            Duty::Verify(verify, _) => verify.busy(),
            Duty::Keep(_) | Duty::Collect(_) => false,
        })
    }

    /// One step of something that is ready. False when nothing is.
    fn turn(&mut self) -> bool {
        if let Some(event) = self.endpoint.poll_event() {
            self.peer_event(event);
            return true;
        }
        if let Some(output) = self.source.poll() {
            self.source_wants(output);
            return true;
        }
        self.reconciling_turn() || self.poll_duties()
    }

    /// What is due by the clock.
    fn handle_timeouts(&mut self) {
        let now = self.now.time;
        if self.throttle.deadline().is_some_and(|due| due <= now) {
            self.throttle();
        }
        if self.endpoint.deadline().is_some_and(|due| due <= now) {
            self.endpoint.handle_timeout(now);
        }
        if self.source.deadline().is_some_and(|due| due <= now) {
            for peer in self.endpoint.peers() {
                self.source.heard(now, &peer.node, peer.received_bytes);
            }
            self.source.handle_timeout(now);
        }
        self.outward_timeout();
        if self.loading.is_some() {
            return;
        }
        self.entering_timeout();
        self.confirming_timeout();
        self.announce_daily();
        self.links_timeout();
        self.reach_timeout();
        self.pushing_timeout();
        self.holding_timeout();
        self.keyring_timeout();
        self.hearing_timeout();
        self.pausing_timeout();
        self.folders_timeout();
        self.upkeep_timeout();
        self.reconciling_timeout();
        self.charts_timeout();
    }

    /// Asks the storage thread for something of the core's own.
    pub(super) fn ask_store(&mut self, pending: Pending, request: impl FnOnce(Op) -> Request) {
        let op = self.ops.draw();
        self.pending.insert(op, pending);
        self.outputs.push_back(Output::Store(request(op)));
    }

    /// Sends a message, if there is a session with room; the feeds' exchange repeats itself, so a loss only delays.
    pub(super) fn send(&mut self, node: &NodeId, lane: Lane, message: &Message) -> bool {
        match message::encode(message) {
            Ok(bytes) => self.endpoint.send(self.now.time, node, lane, bytes).is_ok(),
            Err(error) => {
                log::error!("a message to {} was not sent: {error}", node.short());
                false
            }
        }
    }

    /// Takes a duty in and gives it its number.
    pub(super) fn begin_duty(&mut self, make: impl FnOnce(u64) -> Duty) -> u64 {
        let number = self.next_duty;
        self.next_duty += 1;
        let duty = make(number);
        if duty.lists() {
            self.upkeep.collect.disturb();
        }
        self.duties.insert(number, duty);
        number
    }

    /// The storage thread answered: to whom?
    fn store_replied(&mut self, reply: Reply) {
        self.put_replied(&reply);
        self.rotted(&reply);
        let op = op_of(&reply);
        match Ops::duty(op) {
            0 => self.own_reply(op, reply),
            SOURCE_DUTY => self.source.stored(self.now.time, reply),
            PUSH_DUTY => self.push_replied(op, reply),
            duty => self.tell(duty, Told::Store(reply)),
        }
    }

    /// The file thread answered.
    fn file_replied(&mut self, reply: FileReply) {
        self.tell(Ops::duty(op_of_file(&reply)), Told::File(reply));
    }

    /// An answer to one of the core's own operations.
    fn own_reply(&mut self, op: Op, reply: Reply) {
        let Some(pending) = self.pending.remove(&op) else { return };
        if let Reply::Failed { error, .. } = &reply {
            self.note(Level::Error, "store", format!("the store refused an operation: {error}"));
        }
        match (pending, reply) {
            (Pending::LoadSettings, Reply::Load { settings, .. }) => self.settings_loaded(settings),
            (Pending::LoadEntries, Reply::Entries { entries, more, .. }) => {
                self.entries_loaded(entries, more)
            }
            (Pending::LoadSettings | Pending::LoadEntries, _) => self.loading_failed(),
            (Pending::Append(appended), Reply::Append { result, .. }) => self.appended(appended, result),
            (Pending::ReadEntries { peer, feed, from }, reply) => self.entries_read(&peer, feed, from, reply),
            (Pending::Save(then), Reply::Save { result, .. }) => self.saved(then, result),
            (Pending::Stats(call), Reply::Stats { stats, .. }) => self.status_with(call, Some(&stats)),
            (Pending::Stats(call), _) => self.status_with(call, None),
            (Pending::Upkeep, Reply::Stats { stats, .. }) => self.pass_begins(Some(&stats)),
            (Pending::Upkeep, _) => self.pass_begins(None),
            (Pending::Room, Reply::Stats { stats, .. }) => self.room_known(Some(stats)),
            (Pending::Room, _) => self.room_known(None),
            (Pending::Offer, Reply::Stats { stats, .. }) => self.offer_known(Some(stats)),
            (Pending::Offer, _) => self.offer_known(None),
            (Pending::Compact, Reply::Compact { result, .. }) => self.compacted(result),
            (Pending::Scrub, Reply::Scrub { result, .. }) => self.scrubbed(result),
            _ => {}
        }
    }

    /// Something happened between this node and a peer.
    fn peer_event(&mut self, event: Event) {
        match event {
            Event::Up { node, address } => self.peer_up(node, address),
            Event::Down { node, reason } => self.peer_down(&node, &reason),
            Event::Message { node, lane, bytes } => self.message_came(&node, lane, &bytes),
            Event::Introduced { member, chain } => self.introduced(&member, &chain),
            Event::PairRequest { ticket, hello, from } => self.pair_requested(ticket, &hello, from),
            Event::PairAnswered { payload, from } => self.pair_answered(&payload, from),
            Event::PairFailed { reason, from } => self.pair_failed(reason, from),
            Event::InvitationClosed { reason } => self.invitation_closed(reason),
            Event::Room { node } => self.room(&node),
            attempt => self.reach_event(&attempt),
        }
    }
}
