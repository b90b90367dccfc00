//! Many sessions of one node: credit, memory and bandwidth over all of them.

use super::*;
use crate::base::limits::{
    CREDIT_PATIENCE, MESSAGE_BYTES_MAX, RECEIVE_BYTES_MAX, RECEIVE_SESSION_BYTES_MAX, SESSIONS_MAX,
    SESSION_IDLE_MAX,
};
use crate::peer::session::PacketKeys;
use crate::wire::packet::{self, Packet};
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::net::Ipv4Addr;

/// A hub and its peers, each with one session with the hub.
struct Star {
    /// The virtual clock.
    now: Time,
    /// The hub is the first.
    ends: Vec<(Links, Desk)>,
    /// Messages that came out at each end: when, lane, length.
    out: Vec<Vec<(Time, Lane, usize)>>,
    /// Ends of sessions that each end reported.
    downs: Vec<Vec<String>>,
    /// Datagrams on their way, by arrival and serial number.
    flights: BTreeMap<(Time, u64), (usize, usize, Vec<u8>)>,
    /// Serial numbers given out.
    serial: u64,
    /// How long a datagram takes.
    delay: Span,
    /// Datagrams lost, of 1,000.
    loss: u32,
    /// The dice.
    random: ChaCha8Rng,
    /// Of datagrams from these ends, only short ones arrive after the first few.
    mute: Vec<usize>,
    /// Bytes that each end has sent.
    sent: Vec<u64>,
    /// Things that have happened.
    steps: u64,
    /// The most that the hub held: over all sessions, and in one.
    held: (usize, usize),
}

/// Where an end is.
fn address(place: usize) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(10, 0, 0, u8::try_from(place).expect("few")), 7117))
}

/// Who an end is.
fn node(place: usize) -> NodeId {
    NodeId::from_bytes([u8::try_from(place).expect("few"); 32])
}

impl Star {
    /// A hub with so many peers.
    fn new(peers: usize, delay: Span) -> Self {
        let now = Time::from_micros(1_000_000);
        let mut ends: Vec<(Links, Desk)> = (0..=peers)
            .map(|place| (Links::default(), Desk::new([u8::try_from(place).expect("few"); 32])))
            .collect();
        for place in 1..=peers {
            let key = u8::try_from(place).expect("few");
            let index = u32::from(key);
            let keys = |send, receive| PacketKeys { send: [send; 32], receive: [receive; 32] };
            let opened = |other, local, session| {
                let order = Order { initiator: node(0), clock: 1, incarnation: [0; 8], serial: 1 };
                Opened { node: node(other), address: address(other), local, session, order, introduced: None }
            };
            let there = opened(place, index, Session::new(now, keys(key, 200), index, 1_000 + index));
            let here = opened(0, 1_000 + index, Session::new(now, keys(200, key), 1_000 + index, index));
            for (end, opened) in [(0, there), (place, here)] {
                let (links, desk) = &mut ends[end];
                links.establish(desk, now, opened);
            }
        }
        Self {
            now,
            out: vec![Vec::new(); ends.len()],
            downs: vec![Vec::new(); ends.len()],
            sent: vec![0; ends.len()],
            ends,
            flights: BTreeMap::new(),
            serial: 0,
            delay,
            loss: 0,
            random: ChaCha8Rng::seed_from_u64(1),
            mute: Vec::new(),
            steps: 0,
            held: (0, 0),
        }
    }

    /// Queues a message.
    fn send(&mut self, from: usize, to: usize, lane: Lane, length: usize) -> bool {
        self.ends[from].0.send(&node(to), lane, vec![7; length]).is_ok()
    }

    /// Lets all ends report and send.
    fn drain(&mut self) {
        let mut buffer = vec![0; 16 * 1_200];
        for end in 0..self.ends.len() {
            let (links, desk) = &mut self.ends[end];
            while let Some(event) = links.poll_event(desk, self.now) {
                match event {
                    Event::Message { lane, bytes, .. } => self.out[end].push((self.now, lane, bytes.len())),
                    Event::Down { reason, .. } => self.downs[end].push(reason),
                    _ => {}
                }
            }
            while let Some(transmit) = links.poll_transmit(self.now, &mut buffer) {
                let to = usize::from(match transmit.to {
                    SocketAddr::V4(to) => to.ip().octets()[3],
                    SocketAddr::V6(_) => panic!("no such address"),
                });
                for datagram in transmit.datagrams(&buffer) {
                    self.sent[end] += u64::try_from(datagram.len()).expect("short");
                    let muted = self.mute.contains(&end)
                        && datagram.len() > 300
                        && self.now > Time::from_micros(1_100_000);
                    if muted || self.random.next_u32() % 1_000 < self.loss {
                        continue;
                    }
                    self.serial += 1;
                    self.flights.insert((self.now + self.delay, self.serial), (end, to, datagram.to_vec()));
                }
            }
        }
        let held = || self.ends[0].0.links.values().map(|link| link.session.held());
        self.held = (self.held.0.max(held().sum()), self.held.1.max(held().max().unwrap_or(0)));
    }

    /// Goes on to the next thing that happens, if that is before `end`.
    fn step(&mut self, end: Time) -> bool {
        self.drain();
        let flight = self.flights.keys().next().map(|(at, _)| *at);
        let timer = self.ends.iter().filter_map(|(links, _)| links.deadline()).min();
        let Some(next) = flight.into_iter().chain(timer).min().filter(|next| *next <= end) else {
            self.now = end;
            return false;
        };
        self.steps += 1;
        assert!(self.steps < 100_000, "the sessions spin at {:?}", self.now);
        self.now = self.now.max(next);
        while let Some(entry) = self.flights.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let (from, to, mut datagram) = entry.remove();
            let Ok(Packet::Data(data)) = packet::parse(&mut datagram) else { panic!("no data packet") };
            let (links, desk) = &mut self.ends[to];
            links.receive(desk, self.now, address(from), data.header, data.sealed);
        }
        for (links, desk) in &mut self.ends {
            if links.deadline().is_some_and(|due| due <= self.now) {
                links.handle_timeout(desk, self.now);
            }
        }
        true
    }

    /// Lets time pass, while these ends send 200 KiB messages on Bulk without a pause.
    fn run(&mut self, span: Span, busy: &[(usize, usize)]) {
        let end = self.now + span;
        loop {
            for &(from, to) in busy {
                while self.ends[from].0.room(&node(to), Lane::Bulk) >= 200 << 10 {
                    assert!(self.send(from, to, Lane::Bulk, 200 << 10));
                }
            }
            if !self.step(end) {
                break;
            }
        }
    }

    /// Lets time pass until the end has got so many messages.
    fn until(&mut self, end: usize, count: usize, at_most: Span) -> Span {
        let start = self.now;
        while self.out[end].len() < count {
            assert!(self.step(start + at_most), "{} of {count} messages in {at_most:?}", self.out[end].len());
        }
        self.now.since(start)
    }
}

#[test]
fn a_lane_alone_is_not_held_up_by_credit_over_a_long_path() {
    let mut star = Star::new(1, Span::from_millis(50));
    assert!(star.send(1, 0, Lane::Bulk, 1_000_000));
    let first = star.until(0, 1, Span::from_secs(5));
    // 12 kB, then twice as much each round trip: a million bytes are there after six and a half of them.
    assert!(first <= Span::from_millis(800), "{first:?}");
    star.run(Span::from_secs(2), &[(1, 0)]);
    let before = star.ends[0].0.peers().next().expect("one").received_bytes;
    star.run(Span::from_secs(2), &[(1, 0)]);
    let bytes = star.ends[0].0.peers().next().expect("one").received_bytes - before;
    assert!(bytes * 8 / 2 > 100_000_000, "{} bit/s over 100 ms", bytes * 8 / 2);
    assert!(star.held.1 <= RECEIVE_SESSION_BYTES_MAX);
}

#[test]
fn sixty_four_peers_with_a_longest_message_each_all_get_through() {
    let mut star = Star::new(SESSIONS_MAX, Span::from_millis(5));
    star.loss = 10;
    for place in 1..=SESSIONS_MAX {
        assert!(star.send(place, 0, Lane::ALL[place % Lane::COUNT], MESSAGE_BYTES_MAX));
    }
    star.until(0, SESSIONS_MAX, Span::from_secs(120));
    assert!(star.held.0 <= RECEIVE_BYTES_MAX && star.held.1 <= RECEIVE_SESSION_BYTES_MAX, "{:?}", star.held);
    assert!(star.held.0 > 3 << 20, "the memory is used: {:?}", star.held);
    star.run(Span::from_secs(1), &[]);
    assert_eq!((star.ends[0].0.pool.used(), star.ends[0].0.pool.waiting()), (0, 0), "and is free again");
    assert_eq!(star.downs[0], [""; 0]);
}

#[test]
fn who_sits_on_credit_is_cut_when_others_wait_for_it_and_not_before() {
    let mut star = Star::new(5, Span::from_millis(5));
    star.mute = vec![1, 2, 3, 4];
    assert!(star.send(1, 0, Lane::Bulk, MESSAGE_BYTES_MAX));
    star.run(SESSION_IDLE_MAX, &[]);
    assert_eq!(star.downs[0], [""; 0], "nobody waits");
    for place in [2, 3, 4] {
        star.mute.retain(|muted| *muted != place);
        assert!(star.send(place, 0, Lane::Bulk, MESSAGE_BYTES_MAX));
        star.run(Span::from_millis(21), &[]);
        star.mute.push(place);
    }
    let start = star.now;
    assert!(star.send(5, 0, Lane::Bulk, MESSAGE_BYTES_MAX));
    while !star.out[0].iter().any(|message| message.0 > start) {
        assert!(star.step(start + CREDIT_PATIENCE.times(3)), "it waits for ever");
    }
    assert!(star.ends[0].1.counters.cut >= 1, "{:?}", star.ends[0].1.counters);
    assert!(star.downs[0].iter().all(|reason| reason.contains("credit")), "{:?}", star.downs[0]);
    star.run(Span::from_secs(40), &[]);
    assert!(star.ends[0].0.has_node(&node(5)), "who uses its credit stays");
}

#[test]
fn urgent_lanes_do_not_wait_behind_the_bulk_of_other_sessions() {
    let mut star = Star::new(16, Span::from_millis(5));
    let busy: Vec<(usize, usize)> = (1..16).map(|place| (place, 0)).collect();
    star.run(Span::from_millis(500), &busy);
    let start = star.now;
    assert!(star.send(16, 0, Lane::Control, 60_000));
    star.run(Span::from_millis(500), &busy);
    let arrived = star.out[0].iter().find(|message| message.1 == Lane::Control).expect("it arrives");
    assert!(arrived.0.since(start) < Span::from_millis(150), "{:?}", arrived.0.since(start));
}

#[test]
fn what_comes_in_stays_within_the_limit_of_all_sessions_together() {
    let mut star = Star::new(2, Span::from_millis(5));
    let received = |star: &Star| star.ends[0].0.peers().map(|peer| peer.received_bytes).collect::<Vec<u64>>();
    for rate in [2_500_000, 500_000] {
        let now = star.now;
        star.ends[0].0.set_bandwidth(now, None, Some(rate));
        star.run(Span::from_secs(1), &[(1, 0), (2, 0)]);
        let before = received(&star);
        star.run(Span::from_secs(10), &[(1, 0), (2, 0)]);
        let each: Vec<u64> =
            received(&star).iter().zip(before).map(|(after, before)| after - before).collect();
        let (sum, expected) = (each[0] + each[1], rate * 10);
        assert!(sum > expected * 97 / 100 && sum < expected * 103 / 100, "{sum} of {expected}");
        assert!(each[0] > sum / 3 && each[1] > sum / 3, "a fair share: {each:?}");
    }
    let now = star.now;
    star.ends[0].0.set_bandwidth(now, None, None);
    let before = received(&star);
    star.run(Span::from_secs(1), &[(1, 0), (2, 0)]);
    assert!(received(&star)[0] - before[0] > 5_000_000, "and is gone when it is lifted");
}

#[test]
fn what_goes_out_stays_within_the_limit_of_all_sessions_together() {
    let mut star = Star::new(2, Span::from_millis(5));
    for rate in [2_500_000, 500_000] {
        let now = star.now;
        star.ends[0].0.set_bandwidth(now, Some(rate), None);
        star.run(Span::from_secs(1), &[(0, 1), (0, 2)]);
        let before = star.sent[0];
        star.run(Span::from_secs(5), &[(0, 1), (0, 2)]);
        let start = star.now;
        assert!(star.send(0, 1, Lane::Control, 900));
        star.run(Span::from_secs(5), &[(0, 1), (0, 2)]);
        let (sum, expected) = (star.sent[0] - before, rate * 10);
        assert!(sum > expected * 97 / 100 && sum < expected * 103 / 100, "{sum} of {expected}");
        let arrived = star.out[1].iter().rfind(|message| message.1 == Lane::Control).expect("it arrives");
        assert!(
            arrived.0.since(start) < Span::from_millis(40),
            "no longer than a burst: {:?}",
            arrived.0.since(start)
        );
    }
    assert!(star.out[1].len() > 20 && star.out[2].len() > 20, "both get some");
}
