//! A simulated link between two sessions: loss, delay, reordering, duplicates, a bottleneck with a short queue.

use super::{PacketKeys, Session, SessionError};
use crate::base::limits::DATAGRAM_BYTES_MAX;
use crate::base::units::{Span, Time};
use crate::peer::pool::Pool;
use crate::wire::frame::Lane;
use crate::wire::packet;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What the link does to packets.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Packets lost, of 1,000.
    pub loss: u32,
    /// Packets that come twice, of 1,000.
    pub duplicates: u32,
    /// Every packet takes this long.
    pub delay: Span,
    /// And up to this much longer, each for itself.
    pub jitter: Span,
    /// Of 1,000 packets, those that take none of the delay: they overtake all others.
    pub early: u32,
    /// Bytes a millisecond that pass. 0: no limit.
    pub rate: u64,
    /// What would wait longer than this at the bottleneck is dropped.
    pub queue: Span,
    /// Longest datagram that passes, in bytes.
    pub length: usize,
}

/// A link without faults, 10 ms each way.
pub const FAIR: Weather = Weather {
    loss: 0,
    duplicates: 0,
    delay: Span::from_millis(10),
    jitter: Span::ZERO,
    early: 0,
    rate: 0,
    queue: Span::from_millis(20),
    length: 1_472,
};

/// A packet on its way: arrival, serial number, receiving end, bytes.
type OnTheWay = (Time, u64, usize, Vec<u8>);

/// Two sessions and what lies between them.
pub struct Link {
    /// The virtual clock.
    pub now: Time,
    /// Both ends.
    pub ends: [Session; 2],
    /// The credit of each end.
    pub pools: [Pool; 2],
    /// Messages that came out at each end.
    pub out: [Vec<(Lane, Vec<u8>)>; 2],
    /// Whether an end takes messages out.
    pub takes: [bool; 2],
    /// Packets on their way, the next to arrive first.
    pub on_the_way: BinaryHeap<Reverse<OnTheWay>>,
    /// When the bottleneck towards each end is free again.
    pub free: [Time; 2],
    /// The dice.
    pub random: ChaCha8Rng,
    /// The link's faults.
    pub weather: Weather,
    /// Serial numbers given out.
    pub serial: u64,
    /// Things that have happened.
    pub steps: u64,
    /// What the most memory was that one end's incoming lanes took.
    pub held_max: usize,
    /// Every datagram sent to each end.
    pub seen: [Vec<Vec<u8>>; 2],
    /// Whether `seen` is filled.
    pub records: bool,
    /// The longest queue at the bottleneck.
    pub queue_max: Span,
}

impl Link {
    /// Two fresh sessions.
    pub fn new(seed: u64, weather: Weather) -> Self {
        let keys = |send, receive| PacketKeys { send: [send; 32], receive: [receive; 32] };
        let now = Time::from_micros(1_000_000);
        Self {
            now,
            ends: [Session::new(now, keys(1, 2), 10, 20), Session::new(now, keys(2, 1), 20, 10)],
            pools: [Pool::default(), Pool::default()],
            out: [Vec::new(), Vec::new()],
            takes: [true, true],
            on_the_way: BinaryHeap::new(),
            free: [now; 2],
            random: ChaCha8Rng::seed_from_u64(seed),
            weather,
            serial: 0,
            steps: 0,
            held_max: 0,
            seen: [Vec::new(), Vec::new()],
            records: false,
            queue_max: Span::ZERO,
        }
    }

    /// Whether something happens that happens `permille` times of 1,000.
    pub fn chance(&mut self, permille: u32) -> bool {
        self.random.next_u32() % 1_000 < permille
    }

    /// Puts a datagram on its way to end `to`.
    pub fn carry(&mut self, to: usize, datagram: &[u8]) {
        if self.records {
            self.seen[to].push(datagram.to_vec());
        }
        if datagram.len() > self.weather.length {
            return;
        }
        let mut departure = self.now;
        if let Some(rate) = core::num::NonZeroU64::new(self.weather.rate) {
            let start = self.free[to].max(self.now);
            self.queue_max = self.queue_max.max(start.since(self.now));
            if start.since(self.now) > self.weather.queue {
                return;
            }
            // Ethernet, IPv4 and UDP around it, as a shaper counts them.
            let length = u64::try_from(datagram.len()).expect("short") + 42;
            departure = start + Span::from_micros(length * 1_000 / rate);
            self.free[to] = departure;
        }
        // A lost packet has used the bottleneck: what loses it is the radio behind.
        if self.chance(self.weather.loss) {
            return;
        }
        let copies = if self.chance(self.weather.duplicates) { 2 } else { 1 };
        for _ in 0..copies {
            let jitter = u64::from(self.random.next_u32()) % (self.weather.jitter.as_micros() + 1);
            let late = self.weather.delay + Span::from_micros(jitter);
            let arrival = departure + if self.chance(self.weather.early) { Span::ZERO } else { late };
            self.serial += 1;
            self.on_the_way.push(Reverse((arrival, self.serial, to, datagram.to_vec())));
        }
    }

    /// Lets both ends take messages out and send what they want to send.
    pub fn drain(&mut self) {
        let mut batch = [0; 2 * DATAGRAM_BYTES_MAX];
        for end in 0..2 {
            self.held_max = self.held_max.max(self.ends[end].held());
            while self.takes[end] {
                let Some(message) = self.ends[end].poll_message() else { break };
                self.out[end].push(message);
            }
            self.ends[end].settle(self.now, &mut self.pools[end]);
            while let Some((length, segment)) = self.ends[end].poll_batch(self.now, &mut batch) {
                for datagram in batch[..length].chunks(segment) {
                    self.carry(1 - end, datagram);
                }
            }
        }
    }

    /// Hands a datagram to end `to`.
    pub fn deliver(&mut self, to: usize, datagram: &mut [u8]) -> Result<(), SessionError> {
        let Ok(packet::Packet::Data(data)) = packet::parse(datagram) else {
            panic!("a session sends data packets")
        };
        assert_eq!(data.header.receiver, self.ends[to].local_index());
        self.ends[to].handle_data(self.now, data.header, data.sealed)
    }

    /// Goes on to the next thing that happens, if that is before `end`.
    pub fn step(&mut self, end: Time) -> bool {
        self.drain();
        // What sessions remember of themselves is what they would find out.
        self.ends.iter().for_each(Session::assert_found);
        let packet = self.on_the_way.peek().map(|Reverse((at, ..))| *at);
        let timer = self.ends.iter().filter_map(Session::deadline).min();
        let Some(next) = packet.into_iter().chain(timer).min().filter(|next| *next <= end) else {
            self.now = end;
            return false;
        };
        assert!(self.steps < 5_000_000, "the sessions spin");
        self.steps += 1;
        self.now = self.now.max(next);
        if packet == Some(next) {
            let Some(Reverse((_, _, to, mut datagram))) = self.on_the_way.pop() else { return false };
            match self.deliver(to, &mut datagram) {
                Ok(()) | Err(SessionError::Replayed | SessionError::Closed | SessionError::Crowded) => {}
                Err(error) => panic!("{error:?}"),
            }
        } else {
            for session in &mut self.ends {
                if session.deadline().is_some_and(|due| due <= self.now) {
                    session.handle_timeout(self.now);
                }
            }
        }
        true
    }

    /// Lets time pass.
    pub fn run(&mut self, span: Span) {
        let end = self.now + span;
        while self.step(end) {}
    }

    /// Sends `messages` from end 0 as room allows until all have arrived; the time that took.
    pub fn transfer(&mut self, messages: Vec<(Lane, Vec<u8>)>) -> Span {
        let start = self.now;
        let count = self.out[1].len() + messages.len();
        let mut waiting = messages.into_iter().peekable();
        while self.out[1].len() < count {
            while let Some((lane, message)) =
                waiting.next_if(|next| self.ends[0].room(next.0) >= next.1.len())
            {
                self.ends[0].send(lane, message).expect("there is room");
            }
            assert!(self.step(start + Span::from_secs(3_600)), "it takes for ever");
        }
        self.now.since(start)
    }
}

/// `count` messages of up to `length_max` bytes on random lanes, each telling its lane and its place in it.
pub fn messages(random: &mut ChaCha8Rng, count: u32, length_max: u32) -> Vec<(Lane, Vec<u8>)> {
    let mut places = [0_u32; Lane::COUNT];
    (0..count)
        .map(|_| {
            let lane = Lane::ALL[usize::try_from(random.next_u32() % 4).expect("small")];
            let length = usize::try_from(5 + random.next_u32() % length_max).expect("small");
            let mut message = vec![0; length];
            random.fill_bytes(&mut message);
            message[0] = lane.number();
            message[1..5].copy_from_slice(&places[lane.index()].to_le_bytes());
            places[lane.index()] += 1;
            (lane, message)
        })
        .collect()
}

/// The messages of one lane.
pub fn of_lane(messages: &[(Lane, Vec<u8>)], lane: Lane) -> Vec<&[u8]> {
    messages.iter().filter(|message| message.0 == lane).map(|message| &message.1[..]).collect()
}
