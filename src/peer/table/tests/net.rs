//! Endpoints over a network that loses, delays, reorders and repeats datagrams, in virtual time.

use super::super::*;
use crate::base::ids::{EntryHash, FeedId};
use crate::base::limits::DATAGRAM_BYTES_MAX;
use crate::base::units::{Span, WallTime};
use crate::feed::entry::{hash, sign, Admit, Body, Entry, Remove, Role};
use crate::seal::keys::{NodeSecret, RootSecret};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A vault's root, and what its feed says.
pub struct Vault {
    /// The root's secret.
    root: RootSecret,
    /// Members and former members.
    pub roster: Roster,
    /// Next place in the root's feed.
    sequence: u64,
    /// Hash of the last entry.
    head: EntryHash,
}

/// A member's secrets and proof.
#[derive(Clone)]
pub struct Person {
    /// Its keys.
    pub secret: NodeSecret,
    /// Its Admit chain.
    pub chain: Vec<Vec<u8>>,
}

impl Person {
    /// Its id.
    pub fn node(&self) -> NodeId {
        self.secret.node_id()
    }
}

impl Vault {
    /// A vault of its own for each seed.
    pub fn new(seed: u8) -> Self {
        let root = RootSecret::from_bytes([seed; 32]);
        let roster = Roster::new(root.root_public());
        Self { root, roster, sequence: 0, head: EntryHash::from_bytes([0; 32]) }
    }

    /// What members know.
    pub fn door(&self) -> Door {
        let secret = *self.root.full_keys().door.as_bytes();
        Door { vault: self.root.vault(), secret, root_public: self.root.root_public() }
    }

    /// Admits a node, without telling the roster.
    pub fn admit_quietly(&mut self, seed: u8) -> Person {
        let secret = NodeSecret::from_seed([seed; 32]);
        let body = self.admission(&secret);
        let (bytes, _) = self.write(body);
        Person { secret, chain: vec![bytes] }
    }

    /// Admits a node.
    pub fn admit(&mut self, seed: u8) -> Person {
        let secret = NodeSecret::from_seed([seed; 32]);
        let body = self.admission(&secret);
        let (bytes, entry) = self.write(body);
        self.roster.add(&bytes, &entry);
        Person { secret, chain: vec![bytes] }
    }

    /// Removes a node.
    pub fn remove(&mut self, person: &Person) {
        let (bytes, entry) = self.write(Body::Remove(Remove { node: person.node(), heads: Vec::new() }));
        self.roster.add(&bytes, &entry);
    }

    /// An Admit with the longest name.
    pub fn admission(&self, secret: &NodeSecret) -> Body {
        let (signing, channel) = (secret.signing_public(), secret.channel_public());
        Body::Admit(Admit { signing, channel, role: Role::Full, name: "n".repeat(64) })
    }

    /// Appends to the root's feed.
    fn write(&mut self, body: Body) -> (Vec<u8>, Entry) {
        let feed = FeedId { node: self.roster.root(), random: [7; 8] };
        let wall = WallTime::from_micros(1_700_000_000_000_000);
        let entry = Entry { feed, sequence: self.sequence, previous: self.head, wall, body };
        let bytes = sign(&entry, &self.root.signing_key()).unwrap();
        (self.sequence, self.head) = (self.sequence + 1, hash(&bytes));
        (bytes, entry)
    }
}

/// What the network does to datagrams.
#[derive(Clone, Copy)]
pub struct Weather {
    /// Datagrams lost, of 1,000.
    pub loss: u32,
    /// Datagrams that come twice, of 1,000.
    pub duplicates: u32,
    /// Every datagram takes this long, and up to as long again.
    pub delay: Span,
}

/// No faults.
pub const FAIR: Weather = Weather { loss: 0, duplicates: 0, delay: Span::from_millis(5) };
/// A bad radio link.
pub const FOUL: Weather = Weather { loss: 200, duplicates: 150, delay: Span::from_millis(40) };

/// A datagram: from, to, bytes.
pub type Flight = (usize, SocketAddr, Vec<u8>);

/// Endpoints and what lies between them.
pub struct Net {
    /// The virtual clock.
    pub now: Time,
    /// The endpoints; each has the address [`address`] of its place.
    pub ends: Vec<Endpoint>,
    /// What each has reported.
    pub events: Vec<Vec<Event>>,
    /// Datagrams on their way, by arrival and serial number.
    flights: BTreeMap<(Time, u64), Flight>,
    /// Every datagram that was sent.
    pub sent: Vec<Flight>,
    /// The dice.
    random: ChaCha8Rng,
    /// The faults.
    pub weather: Weather,
    /// Where the datagrams of an end come from, if it has moved.
    pub moved: BTreeMap<usize, SocketAddr>,
    /// Other addresses at which an end is reached, too.
    pub also: BTreeMap<SocketAddr, usize>,
    /// Serial numbers given out.
    serial: u64,
}

/// Where the end at this place is.
pub fn address(place: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, u8::try_from(place + 1).unwrap()), 7117))
}

impl Net {
    /// As many endpoints, in no vault.
    pub fn new(seed: u64, count: u8, weather: Weather) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut fresh = || {
            let mut seed = [0; 32];
            random.fill_bytes(&mut seed);
            Endpoint::new(seed)
        };
        let ends: Vec<_> = (0..count).map(|_| fresh()).collect();
        Self {
            now: Time::from_micros(1_000_000),
            events: ends.iter().map(|_| Vec::new()).collect(),
            ends,
            flights: BTreeMap::new(),
            sent: Vec::new(),
            random,
            weather,
            moved: BTreeMap::new(),
            also: BTreeMap::new(),
            serial: 0,
        }
    }

    /// A vault and as many members, who all know each other.
    pub fn household(seed: u64, count: u8, weather: Weather) -> (Self, Vault, Vec<Person>) {
        let mut vault = Vault::new(1);
        let people: Vec<_> = (0..count).map(|place| vault.admit(place + 10)).collect();
        let mut net = Self::new(seed, count, weather);
        for (place, person) in people.iter().enumerate() {
            net.enter(place, &vault, person);
        }
        (net, vault, people)
    }

    /// Makes an end a member.
    pub fn enter(&mut self, place: usize, vault: &Vault, person: &Person) {
        let identity = Identity { node: person.node(), channel_secret: *person.secret.channel_secret() };
        self.ends[place].open(identity, vault.door());
        self.ends[place].set_roster(vault.roster.clone(), person.chain.clone());
    }

    /// Starts an end anew, with the same identity.
    pub fn restart(&mut self, place: usize, vault: &Vault, person: &Person) {
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        self.ends[place] = Endpoint::new(seed);
        self.enter(place, vault, person);
    }

    /// Lets an end begin a session with the end at another place.
    pub fn connect(&mut self, place: usize, to: usize, peer: Option<NodeId>) {
        self.ends[place].connect(self.now, peer, address(to));
        self.drain();
    }

    /// Takes reports and datagrams out of all ends.
    pub fn drain(&mut self) {
        let mut out = [0; DATAGRAM_BYTES_MAX];
        for place in 0..self.ends.len() {
            loop {
                while let Some(event) = self.ends[place].poll_event() {
                    self.events[place].push(event);
                }
                let Some(transmit) = self.ends[place].poll_transmit(self.now, &mut out) else { break };
                for datagram in transmit.datagrams(&out) {
                    self.carry(place, transmit.to, datagram);
                }
            }
        }
    }

    /// Puts a datagram on its way.
    fn carry(&mut self, place: usize, to: SocketAddr, datagram: &[u8]) {
        self.sent.push((place, to, datagram.to_vec()));
        let dice = self.random.next_u32() % 1_000;
        let copies = if dice < self.weather.loss {
            0
        } else if dice < self.weather.loss + self.weather.duplicates {
            2
        } else {
            1
        };
        for _ in 0..copies {
            let jitter = u64::from(self.random.next_u32()) % self.weather.delay.as_micros();
            self.serial += 1;
            let at = self.now + self.weather.delay + Span::from_micros(jitter);
            self.flights.insert((at, self.serial), (place, to, datagram.to_vec()));
        }
    }

    /// Hands a datagram to whom it is addressed.
    pub fn deliver(&mut self, (from, to, mut datagram): Flight) {
        let source = self.moved.get(&from).copied().unwrap_or_else(|| address(from));
        let is_there =
            |place: &usize| self.moved.get(place).copied().unwrap_or_else(|| address(*place)) == to;
        let also = self.also.get(&to).copied();
        if let Some(place) = (0..self.ends.len()).find(is_there).or(also) {
            self.ends[place].handle_datagram(self.now, source, &mut datagram);
        }
        self.drain();
    }

    /// Goes on for `span`.
    pub fn run(&mut self, span: Span) {
        let end = self.now + span;
        self.drain();
        loop {
            let flight = self.flights.keys().next().map(|(at, _)| *at);
            let timer = self.ends.iter().filter_map(Endpoint::deadline).min();
            let Some(next) = flight.into_iter().chain(timer).min().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if flight == Some(next) {
                let (_, flight) = self.flights.pop_first().unwrap();
                self.deliver(flight);
            } else {
                for end in &mut self.ends {
                    if end.deadline().is_some_and(|deadline| deadline <= self.now) {
                        end.handle_timeout(self.now);
                    }
                }
                self.drain();
            }
        }
        self.now = end;
    }

    /// With whom an end has sessions.
    pub fn peers(&self, place: usize) -> Vec<NodeId> {
        self.ends[place].peers().map(|peer| peer.node).collect()
    }

    /// How often an end has reported Up and Down.
    pub fn ups_and_downs(&self, place: usize) -> (usize, usize) {
        let count =
            |which: fn(&Event) -> bool| self.events[place].iter().filter(|event| which(event)).count();
        (count(|event| matches!(event, Event::Up { .. })), count(|event| matches!(event, Event::Down { .. })))
    }

    /// Whether a message sent from one end now comes out at the other.
    pub fn talks(&mut self, from: usize, to: usize, node: &NodeId) -> bool {
        self.serial += 1;
        let message = format!("message {}", self.serial).into_bytes();
        if self.ends[from].send(self.now, node, Lane::Control, message.clone()).is_err() {
            return false;
        }
        self.run(Span::from_secs(5));
        let is_it = |event: &Event| matches!(event, Event::Message { bytes, .. } if *bytes == message);
        self.events[to].iter().any(is_it)
    }

    /// Random bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.random.fill_bytes(&mut bytes);
        bytes
    }

    /// A random number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.random.next_u32()).unwrap() % bound
    }
}
