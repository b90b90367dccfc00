//! Counts what the socket's side of a transfer allocates: nothing for a packet. The counter is thread-local, so what other
//! tests do meanwhile does not matter.

use std::net::SocketAddr;

use allocation_counter::measure;
use nuthatch::io::post::Post;
use nuthatch::io::udp::{Arrivals, UdpPort};
use nuthatch::peer::event::Transmit;

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
