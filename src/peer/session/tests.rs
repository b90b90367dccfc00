//! Two sessions over a simulated link: loss, delay, reordering, duplicates, a bottleneck with a short queue.

use super::*;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What the link does to packets.
#[derive(Debug, Clone, Copy)]
struct Weather {
    /// Packets lost, of 1,000.
    loss: u32,
    /// Packets that come twice, of 1,000.
    duplicates: u32,
    /// Every packet takes this long.
    delay: Span,
    /// And up to this much longer, each for itself.
    jitter: Span,
    /// Bytes a millisecond that pass; what would wait longer than 20 ms is dropped. 0: no limit.
    rate: u64,
}

/// A link without faults, 10 ms each way.
const FAIR: Weather =
    Weather { loss: 0, duplicates: 0, delay: Span::from_millis(10), jitter: Span::ZERO, rate: 0 };

/// Two sessions and what lies between them.
struct Link {
    /// The virtual clock.
    now: Time,
    /// Both ends.
    ends: [Session; 2],
    /// Messages that came out at each end.
    out: [Vec<(Lane, Vec<u8>)>; 2],
    /// Whether an end takes messages out.
    takes: [bool; 2],
    /// Packets on their way: arrival, serial number, receiving end, bytes.
    on_the_way: BinaryHeap<Reverse<(Time, u64, usize, Vec<u8>)>>,
    /// When the bottleneck towards each end is free again.
    free: [Time; 2],
    /// The dice.
    random: ChaCha8Rng,
    /// The link's faults.
    weather: Weather,
    /// Serial numbers given out.
    serial: u64,
    /// What the most memory was that one end's incoming lanes took.
    held_max: usize,
    /// Every datagram sent to each end.
    seen: [Vec<Vec<u8>>; 2],
    /// Whether `seen` is filled.
    records: bool,
}

impl Link {
    /// Two fresh sessions.
    fn new(seed: u64, weather: Weather) -> Self {
        let keys = |send, receive| PacketKeys { send: [send; 32], receive: [receive; 32] };
        let now = Time::from_micros(1_000_000);
        Self {
            now,
            ends: [Session::new(now, keys(1, 2), 10, 20), Session::new(now, keys(2, 1), 20, 10)],
            out: [Vec::new(), Vec::new()],
            takes: [true, true],
            on_the_way: BinaryHeap::new(),
            free: [now; 2],
            random: ChaCha8Rng::seed_from_u64(seed),
            weather,
            serial: 0,
            held_max: 0,
            seen: [Vec::new(), Vec::new()],
            records: false,
        }
    }

    /// Whether something happens that happens `permille` times of 1,000.
    fn chance(&mut self, permille: u32) -> bool {
        self.random.next_u32() % 1_000 < permille
    }

    /// Puts a datagram on its way to end `to`.
    fn carry(&mut self, to: usize, datagram: &[u8]) {
        if self.records {
            self.seen[to].push(datagram.to_vec());
        }
        if self.chance(self.weather.loss) {
            return;
        }
        let mut departure = self.now;
        if self.weather.rate > 0 {
            let start = self.free[to].max(self.now);
            if start.since(self.now) > Span::from_millis(20) {
                return;
            }
            let length = u64::try_from(datagram.len()).expect("short");
            departure = start + Span::from_micros(length * 1_000 / self.weather.rate);
            self.free[to] = departure;
        }
        let copies = if self.chance(self.weather.duplicates) { 2 } else { 1 };
        for _ in 0..copies {
            let jitter = u64::from(self.random.next_u32()) % (self.weather.jitter.as_micros() + 1);
            let arrival = departure + self.weather.delay + Span::from_micros(jitter);
            self.serial += 1;
            self.on_the_way.push(Reverse((arrival, self.serial, to, datagram.to_vec())));
        }
    }

    /// Lets both ends take messages out and send what they want to send.
    fn drain(&mut self) {
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        for end in 0..2 {
            self.held_max = self.held_max.max(self.ends[end].held());
            while self.takes[end] {
                let Some(message) = self.ends[end].poll_message() else { break };
                self.out[end].push(message);
            }
            while let Some(length) = self.ends[end].poll_transmit(self.now, &mut datagram) {
                self.carry(1 - end, &datagram[..length]);
            }
        }
    }

    /// Hands a datagram to end `to`.
    fn deliver(&mut self, to: usize, datagram: &mut [u8]) -> Result<(), SessionError> {
        let Ok(crate::wire::packet::Packet::Data(data)) = crate::wire::packet::parse(datagram) else {
            panic!("a session sends data packets")
        };
        assert_eq!(data.header.receiver, self.ends[to].local_index());
        self.ends[to].handle_data(self.now, data.header.number, data.sealed)
    }

    /// Goes on to the next thing that happens, if that is before `end`.
    fn step(&mut self, end: Time) -> bool {
        self.drain();
        let packet = self.on_the_way.peek().map(|Reverse((at, ..))| *at);
        let timer = self.ends.iter().filter_map(Session::deadline).min();
        let Some(next) = packet.into_iter().chain(timer).min().filter(|next| *next <= end) else {
            self.now = end;
            return false;
        };
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
    fn run(&mut self, span: Span) {
        let end = self.now + span;
        while self.step(end) {}
    }

    /// Sends `messages` from end 0 as room allows until all have arrived; the time that took.
    fn transfer(&mut self, messages: Vec<(Lane, Vec<u8>)>) -> Span {
        let start = self.now;
        let count = self.out[1].len() + messages.len();
        let mut waiting = messages.into_iter().peekable();
        let mut steps = 0_u64;
        while self.out[1].len() < count {
            while let Some((lane, message)) =
                waiting.next_if(|next| self.ends[0].room(next.0) >= next.1.len())
            {
                self.ends[0].send(lane, message).expect("there is room");
            }
            assert!(self.step(start + Span::from_secs(3_600)), "it takes for ever");
            steps += 1;
            assert!(steps < 3_000_000, "the sessions spin");
        }
        self.now.since(start)
    }
}

/// `count` messages of up to `length_max` bytes on random lanes, each telling its lane and its place in it.
fn messages(random: &mut ChaCha8Rng, count: u32, length_max: u32) -> Vec<(Lane, Vec<u8>)> {
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
fn of_lane(messages: &[(Lane, Vec<u8>)], lane: Lane) -> Vec<&[u8]> {
    messages.iter().filter(|message| message.0 == lane).map(|message| &message.1[..]).collect()
}

#[test]
fn every_message_arrives_once_whole_and_in_the_order_of_its_lane() {
    for seed in 0..24 {
        let pick = |choices: [u64; 4], shift: u64| choices[usize::try_from(seed / shift % 4).expect("small")];
        let weather = Weather {
            loss: u32::try_from(pick([0, 20, 100, 300], 1)).expect("small"),
            duplicates: u32::try_from(pick([0, 10, 100, 0], 2)).expect("small"),
            delay: Span::from_micros(pick([50, 1_000, 20_000, 100_000], 3)),
            jitter: Span::from_micros(pick([0, 500, 10_000, 50_000], 2)),
            rate: 0,
        };
        let mut link = Link::new(seed, weather);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let there = messages(&mut random, 60, 40_000);
        let back = messages(&mut random, 20, 3_000);
        for (lane, message) in back.clone() {
            link.ends[1].send(lane, message).expect("there is room");
        }
        link.transfer(there.clone());
        link.run(Span::from_secs(19));
        for lane in Lane::ALL {
            assert_eq!(of_lane(&link.out[1], lane), of_lane(&there, lane), "seed {seed}, {weather:?}");
            assert_eq!(of_lane(&link.out[0], lane), of_lane(&back, lane), "seed {seed}, {weather:?}");
        }
        assert_eq!((link.out[1].len(), link.out[0].len()), (60, 20));
        assert_eq!((link.ends[0].queued(), link.ends[1].queued()), (0, 0), "seed {seed}, {weather:?}");
        assert_eq!((link.ends[0].sent.in_flight(), link.ends[1].sent.in_flight()), (0, 0));
        assert_eq!(link.ends[0].is_closed(), None);
    }
}
