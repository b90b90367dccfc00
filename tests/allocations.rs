//! Counts what a transfer allocates once a session is up: nothing for a packet, and a bounded number for a message as
//! large as a chunk. The counter is thread-local, so what other tests do meanwhile does not matter.

use std::net::SocketAddr;

use allocation_counter::measure;
use nuthatch::base::units::{Span, Time};
use nuthatch::io::post::Post;
use nuthatch::io::udp::{Arrivals, UdpPort};
use nuthatch::peer::event::Transmit;
use nuthatch::peer::pool::Pool;
use nuthatch::peer::session::{PacketKeys, Session};
use nuthatch::wire::frame::Lane;
use nuthatch::wire::packet::{parse, Packet};

/// Bytes of a message: a chunk of mean length.
const MESSAGE_BYTES: usize = 256 * 1024;
/// Packets that are counted.
const PACKETS: u64 = 10_000;
/// Allocations that a message may cost at both ends together: its own bytes at each end, and the queues' now and then.
/// Nearly two hundred packets carry it, so one for each would be seen at once.
const PER_MESSAGE: u64 = 8;

/// Two sessions with a round trip of a millisecond between them; nothing is lost.
struct Pair {
    now: Time,
    ends: [Session; 2],
    pools: [Pool; 2],
    messages: u64,
    packets: u64,
    out: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        let now = Time::from_micros(1_000_000);
        let keys = |send, receive| PacketKeys { send: [send; 32], receive: [receive; 32] };
        let ends = [Session::new(now, keys(1, 2), 10, 20), Session::new(now, keys(2, 1), 20, 10)];
        let pools = [Pool::default(), Pool::default()];
        Self { now, ends, pools, messages: 0, packets: 0, out: vec![0; 65_507] }
    }

    /// Half a millisecond passes: each end does what is due and sends what it may, and the other takes it.
    fn step(&mut self) {
        self.now = self.now + Span::from_micros(500);
        while self.ends[0].room(Lane::Bulk) >= MESSAGE_BYTES {
            self.ends[0].send(Lane::Bulk, vec![7; MESSAGE_BYTES]).expect("there is room");
            self.messages += 1;
        }
        for from in 0..2 {
            if self.ends[from].deadline().is_some_and(|due| due <= self.now) {
                self.ends[from].handle_timeout(self.now);
            }
            while let Some((length, segment)) = self.ends[from].poll_batch(self.now, &mut self.out) {
                for datagram in self.out[..length].chunks_mut(segment).filter(|bytes| bytes.len() <= 1_472) {
                    self.packets += 1;
                    let Ok(Packet::Data(data)) = parse(datagram) else {
                        panic!("a session sends data packets")
                    };
                    let result = self.ends[1 - from].handle_data(self.now, data.header, data.sealed);
                    result.expect("nothing is wrong with it");
                    while let Some((_, message)) = self.ends[1 - from].poll_message() {
                        assert_eq!(message.len(), MESSAGE_BYTES);
                    }
                    self.ends[1 - from].settle(self.now, &mut self.pools[1 - from]);
                }
            }
        }
    }

    /// Goes on until `packets` more were carried.
    fn carry(&mut self, packets: u64) {
        let end = self.packets + packets;
        while self.packets < end {
            self.step();
        }
    }
}

#[test]
fn a_session_allocates_for_messages_and_not_for_packets() {
    let mut pair = Pair::new();
    // Windows and queues grow to what they stay at.
    pair.carry(PACKETS);
    let (packets, messages) = (pair.packets, pair.messages);
    let counted = measure(|| pair.carry(PACKETS));
    let (packets, messages) = (pair.packets - packets, pair.messages - messages);
    println!("{packets} packets, {messages} messages: {counted:?}");
    assert!(packets >= PACKETS && messages > 30, "{packets} {messages}");
    assert!(counted.count_total <= (messages + 1) * PER_MESSAGE, "{counted:?} for {messages} messages");
}

#[test]
fn the_socket_allocates_nothing() {
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let mut ports = [0, 1].map(|_| UdpPort::bind(Some(any)).expect("a free port"));
    let to = ports[1].local();
    let bytes = vec![7; 40 * 1_200];
    let transmit = Transmit { to, length: bytes.len(), segment: 1_200 };
    let mut arrivals = Arrivals::default();
    let mut exchange = |rounds: u32| {
        for _ in 0..rounds {
            assert_eq!(ports[0].send(&transmit, &bytes), bytes.len());
            let mut found = 0;
            while found < 40 {
                if ports[1].receive(&mut arrivals) {
                    found += arrivals.datagrams().count();
                }
            }
        }
    };
    exchange(1);
    assert_eq!(measure(|| exchange(250)).count_total, 0);
}

#[test]
fn waiting_for_the_socket_allocates_nothing_for_a_packet() {
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let mut sending = UdpPort::bind(Some(any)).expect("a free port");
    let mut receiving = Post::new(UdpPort::bind(Some(any)).expect("a free port"));
    let to = receiving.udp().local();
    let bytes = vec![7; 40 * 1_200];
    let transmit = Transmit { to, length: bytes.len(), segment: 1_200 };
    let mut exchange = |rounds: u32| {
        for _ in 0..rounds {
            assert_eq!(sending.send(&transmit, &bytes), bytes.len());
            let mut found = 0;
            while found < 40 {
                receiving.receive(|_, _| found += 1);
                if found < 40 {
                    smol::block_on(std::future::poll_fn(|context| {
                        if receiving.poll(context) {
                            std::task::Poll::Ready(())
                        } else {
                            std::task::Poll::Pending
                        }
                    }));
                }
            }
        }
    };
    exchange(10);
    let counted = measure(|| exchange(250));
    println!("10,000 datagrams: {counted:?}");
    // A wait may cost a few; one is for many datagrams.
    assert!(counted.count_total <= 250 * 4, "{counted:?}");
}
