//! Many sessions through one bottleneck, in virtual time.

use super::{PacketKeys, Session};
use crate::base::limits::DATAGRAM_BYTES_MAX;
use crate::base::units::{Span, Time};
use crate::peer::pool::Pool;
use crate::wire::frame::Lane;
use crate::wire::packet;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// One way of a session: who sends, who receives, what arrived.
struct Flow {
    /// Sender and receiver.
    ends: [Session; 2],
    /// Their memory.
    pools: [Pool; 2],
    /// When it begins.
    begins: Time,
    /// On which lane it sends.
    lane: Lane,
    /// Bytes of messages that arrived.
    arrived: usize,
}

/// A datagram on its way: arrival, serial number, flow, receiving end, bytes.
type Flying = (Time, u64, usize, usize, Vec<u8>);

/// Flows that share a link.
struct Shared {
    /// They.
    flows: Vec<Flow>,
    /// The virtual clock.
    now: Time,
    /// When the bottleneck is free again.
    free: Time,
    /// Bytes a millisecond that pass it.
    rate: u64,
    /// What would wait longer is dropped.
    queue: Span,
    /// Each way takes this long.
    delay: Span,
    /// On their way, the next to arrive first.
    flying: BinaryHeap<Reverse<Flying>>,
    /// Serial numbers given out.
    serial: u64,
}

impl Shared {
    /// `count` flows, each beginning some milliseconds after the one before.
    fn new(count: u64, rate: u64, queue: Span, delay: Span) -> Self {
        let now = Time::from_micros(1_000_000);
        let keys = |send, receive| PacketKeys { send: [send; 32], receive: [receive; 32] };
        let flows = (0..count).map(|place| Flow {
            ends: [Session::new(now, keys(1, 2), 10, 20), Session::new(now, keys(2, 1), 20, 10)],
            pools: [Pool::default(), Pool::default()],
            begins: now + Span::from_millis(place * 23),
            lane: Lane::Bulk,
            arrived: 0,
        });
        let flows = flows.collect();
        Self { flows, now, free: now, rate, queue, delay, flying: BinaryHeap::new(), serial: 0 }
    }

    /// Lets one flow queue, take and send.
    fn drain(&mut self, place: usize) {
        let flow = &mut self.flows[place];
        while flow.begins <= self.now && flow.ends[0].room(flow.lane) > 300_000 {
            flow.ends[0].send(flow.lane, vec![7; 32_000]).expect("there is room");
        }
        let mut batch = [0; 2 * DATAGRAM_BYTES_MAX];
        for end in 0..2 {
            while let Some((_, message)) = flow.ends[end].poll_message() {
                flow.arrived += message.len();
            }
            flow.ends[end].settle(self.now, &mut flow.pools[end]);
            while let Some((length, segment)) = flow.ends[end].poll_batch(self.now, &mut batch) {
                for datagram in batch[..length].chunks(segment).filter(|datagram| datagram.len() <= 1_472) {
                    let mut departure = self.now;
                    if end == 0 {
                        let start = self.free.max(self.now);
                        if start.since(self.now) > self.queue {
                            continue;
                        }
                        let bytes = u64::try_from(datagram.len()).expect("short") + 42;
                        departure = start + Span::from_micros(bytes * 1_000 / self.rate);
                        self.free = departure;
                    }
                    self.serial += 1;
                    let arrival = departure + self.delay;
                    self.flying.push(Reverse((arrival, self.serial, place, 1 - end, datagram.to_vec())));
                }
            }
        }
    }

    /// Lets time pass.
    fn run(&mut self, span: Span) {
        let end = self.now + span;
        for place in 0..self.flows.len() {
            self.drain(place);
        }
        loop {
            let packet = self.flying.peek().map(|Reverse((at, ..))| *at);
            let timers = self.flows.iter().enumerate().flat_map(|(place, flow)| {
                let begins = Some(flow.begins).filter(|begins| *begins > self.now);
                let due = flow.ends.iter().filter_map(Session::deadline).chain(begins).min();
                due.map(|due| (due, place))
            });
            let timer = timers.min();
            let next = packet.into_iter().chain(timer.map(|timer| timer.0)).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if packet == Some(next) {
                let Some(Reverse((_, _, place, to, mut datagram))) = self.flying.pop() else { break };
                let Ok(packet::Packet::Data(data)) = packet::parse(&mut datagram) else { panic!("no data") };
                self.flows[place].ends[to]
                    .handle_data(self.now, data.header, data.sealed)
                    .expect("authentic");
                self.drain(place);
            } else if let Some((_, place)) = timer {
                for session in &mut self.flows[place].ends {
                    if session.deadline().is_some_and(|due| due <= self.now) {
                        session.handle_timeout(self.now);
                    }
                }
                self.drain(place);
            }
        }
        self.now = end;
    }

    /// Jain's index of what the flows get in the next `span`, in thousandths, and bytes a millisecond of all.
    fn shares(&mut self, span: Span) -> (u64, u64) {
        let before: Vec<usize> = self.flows.iter().map(|flow| flow.arrived).collect();
        self.run(span);
        let got = self.flows.iter().zip(&before).map(|(flow, before)| flow.arrived - before);
        let got: Vec<u64> = got.map(|bytes| u64::try_from(bytes / 1_000).expect("small")).collect();
        let (sum, squares) = (got.iter().sum::<u64>(), got.iter().map(|share| share * share).sum::<u64>());
        let count = u64::try_from(got.len()).expect("small");
        (sum * sum * 1_000 / (count * squares), sum * 1_000 / span.as_millis())
    }
}

#[test]
fn fifty_sessions_share_a_link_fairly_and_fill_it() {
    // 200 Mbit/s, 20 ms, a buffer of 20 ms.
    let mut shared = Shared::new(50, 25_000, Span::from_millis(20), Span::from_millis(10));
    // The first ones know the path without a queue, and get less until all have seen it so.
    shared.run(Span::from_secs(8));
    let (jain, rate) = shared.shares(Span::from_secs(10));
    assert!(jain >= 950 && rate >= 22_000, "Jain's index {jain}, {rate} bytes a millisecond");
}

/// What each flow gets of a line of 10 Mbit/s and 20 ms, in thousandths, when the bulk ones begin 2 s after those of background work.
fn beside(bulk: u64, background: u64) -> Vec<u64> {
    let mut shared = Shared::new(bulk + background, 1_250, Span::from_millis(200), Span::from_millis(10));
    for (flow, place) in shared.flows.iter_mut().zip(0..) {
        let begins = Time::from_micros(1_000_000);
        (flow.lane, flow.begins) = if place < bulk {
            (Lane::Bulk, begins + Span::from_secs(2))
        } else {
            (Lane::Background, begins + Span::from_millis(300 * (place - bulk)))
        };
    }
    shared.run(Span::from_secs(4));
    let before: Vec<usize> = shared.flows.iter().map(|flow| flow.arrived).collect();
    shared.run(Span::from_secs(12));
    let got = shared.flows.iter().zip(&before).map(|(flow, before)| flow.arrived - before);
    got.map(|bytes| u64::try_from(bytes).expect("small") / (12 * 1_250)).collect()
}

#[test]
fn background_work_leaves_a_line_to_others_and_fills_it_alone() {
    let shares = beside(1, 2);
    println!("one of bulk, two of background work: {shares:?} thousandths");
    assert!(shares[0] >= 750 && shares[1..].iter().all(|share| *share >= 20), "{shares:?}");
    for alone in [beside(0, 1), beside(0, 2), beside(0, 4)] {
        println!("background work alone: {alone:?} thousandths");
        assert!(alone.iter().sum::<u64>() >= 900, "{alone:?}");
    }
}
