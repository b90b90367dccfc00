//! Sessions that outlive addresses, nodes with several of these, and nodes that were started anew.

use super::net::{address, Net, FAIR, FOUL};
use super::*;

/// Handshake datagrams sent so far.
fn handshakes(net: &Net) -> usize {
    net.sent.iter().filter(|(.., datagram)| (1..=3).contains(&datagram[0])).count()
}

/// Bulk messages that have come out at an end.
fn arrived(net: &Net, place: usize) -> usize {
    let is_bulk = |event: &&Event| matches!(event, Event::Message { lane: Lane::Bulk, .. });
    net.events[place].iter().filter(is_bulk).count()
}

/// Two ends in a transfer from the first to the second that is not over.
fn in_a_transfer(seed: u64) -> (Net, Vec<net::Person>) {
    let (mut net, _, people) = Net::household(seed, 2, FAIR);
    net.connect(0, 1, Some(people[1].node()));
    net.run(Span::from_secs(1));
    let now = net.now;
    for _ in 0..2 {
        net.ends[0].send(now, &people[1].node(), Lane::Bulk, vec![1; 1_000_000]).unwrap();
    }
    net.run(Span::from_millis(60));
    assert_eq!(arrived(&net, 1), 0, "the transfer is not over yet");
    (net, people)
}

#[test]
fn a_transfer_goes_on_when_either_end_gets_another_address() {
    for moving in [0, 1] {
        let (mut net, people) = in_a_transfer(30);
        let before = handshakes(&net);
        net.moved.insert(moving, address(99));
        let now = net.now;
        net.ends[moving].on_moved(now);
        let start = net.now;
        while arrived(&net, 1) < 2 && net.now < start + Span::from_secs(8) {
            net.run(Span::from_millis(500));
        }
        assert_eq!(arrived(&net, 1), 2, "end {moving} has moved");
        assert_eq!(handshakes(&net), before, "without a handshake");
        assert_eq!((net.ups_and_downs(0), net.ups_and_downs(1)), ((1, 0), (1, 0)));
        assert_eq!(net.ends[1 - moving].peers().next().unwrap().address, address(99));
        assert!(net.talks(0, 1, &people[1].node()) && net.talks(1, 0, &people[0].node()));
    }
}

#[test]
fn a_session_with_nothing_to_say_tells_its_new_address_at_once() {
    let (mut net, _, people) = Net::household(31, 2, FAIR);
    net.connect(0, 1, Some(people[1].node()));
    net.run(Span::from_secs(20));
    net.moved.insert(1, address(99));
    let now = net.now;
    net.ends[1].on_moved(now);
    net.run(Span::from_millis(15));
    assert_eq!(net.ends[0].peers().next().unwrap().address, address(99));
    assert!(net.talks(0, 1, &people[1].node()));
}

#[test]
fn a_repeated_packet_moves_nobody() {
    let (mut net, people) = in_a_transfer(32);
    let stolen =
        net.sent.iter().rfind(|(from, _, datagram)| *from == 0 && datagram[0] == 4).cloned().unwrap();
    net.run(Span::from_millis(30));
    let now = net.now;
    net.ends[1].handle_datagram(now, address(77), &mut stolen.2.clone());
    assert_eq!(net.ends[1].peers().next().unwrap().address, address(0));
    net.run(Span::from_secs(5));
    assert!(net.talks(1, 0, &people[0].node()));
}

#[test]
fn either_side_is_back_within_a_second_of_the_first_packet_after_a_restart() {
    for (restarted, is_known) in [(0, true), (1, true), (0, false), (1, false)] {
        let (mut net, vault, people) = Net::household(33, 2, FAIR);
        net.connect(0, 1, Some(people[1].node()));
        net.run(Span::from_secs(100));
        let other = 1 - restarted;
        // The other end is in the middle of something.
        let now = net.now;
        net.ends[other].send(now, &people[restarted].node(), Lane::Bulk, vec![1; 500_000]).unwrap();
        net.restart(restarted, &vault, &people[restarted]);
        net.events[restarted].clear();
        net.run(Span::from_secs(3));
        assert!(
            net.events[restarted].iter().any(|event| *event == Event::Unclaimed { from: address(other) }),
            "it sees that it was left behind"
        );
        net.connect(restarted, other, is_known.then(|| people[other].node()));
        net.run(Span::from_millis(100));
        assert_eq!(net.ups_and_downs(other), (2, 1));
        assert_eq!(net.ups_and_downs(restarted), (1, 0));
        assert!(net.talks(0, 1, &people[1].node()) && net.talks(1, 0, &people[0].node()));
    }
}

#[test]
fn a_node_that_is_reached_at_two_addresses_has_one_session() {
    for (seed, weather) in [(34, FAIR), (35, FAIR), (36, FOUL), (37, FOUL)] {
        let (mut net, _, people) = Net::household(seed, 2, weather);
        for place in [50, 51, 52] {
            net.also.insert(address(place), 1);
            net.connect(0, place, None);
            net.run(Span::from_millis(seed % 2 * 250));
        }
        net.run(Span::from_secs(12));
        assert_eq!(net.ups_and_downs(0), (1, 0), "seed {seed}");
        assert_eq!(net.ups_and_downs(1), (1, 0), "seed {seed}");
        let is_reached =
            |event: &&Event| matches!(event, Event::Reached { node, .. } if *node == people[1].node());
        let reached = net.events[0].iter().filter(is_reached).count();
        assert!(reached == 2 || seed >= 36, "seed {seed}: the other two lead to the same: {reached}");
        assert!(net.talks(0, 1, &people[1].node()) && net.talks(1, 0, &people[0].node()));
    }
}

#[test]
fn nodes_that_find_each_other_at_several_addresses_at_once_have_one_session() {
    for seed in 0..40 {
        let weather = if seed % 2 == 0 { FAIR } else { FOUL };
        let (mut net, _, people) = Net::household(seed, 2, weather);
        for place in [50, 51] {
            net.also.insert(address(place), 1);
            net.also.insert(address(place + 10), 0);
        }
        for place in [50, 51] {
            net.connect(0, place, None);
            net.run(Span::from_millis(seed % 5 * 2));
            net.connect(1, place + 10, None);
            net.run(Span::from_millis(seed % 7 * 2));
        }
        net.run(Span::from_secs(24));
        let quiet = (net.ups_and_downs(0), net.ups_and_downs(1));
        if seed % 2 == 0 {
            assert_eq!(quiet, ((1, 0), (1, 0)), "seed {seed}: no flap");
        }
        assert!(net.talks(0, 1, &people[1].node()) && net.talks(1, 0, &people[0].node()), "seed {seed}");
        assert_eq!((net.ups_and_downs(0), net.ups_and_downs(1)), quiet, "seed {seed}: it stays");
    }
}

#[test]
fn a_node_that_stops_says_so_to_all_and_they_know_at_once() {
    let (mut net, _, people) = Net::household(36, 4, FAIR);
    for (place, person) in people.iter().enumerate().skip(1) {
        net.connect(0, place, Some(person.node()));
    }
    net.run(Span::from_secs(5));
    let now = net.now;
    net.ends[0].send(now, &people[1].node(), Lane::Bulk, vec![1; 1_000_000]).unwrap();
    net.run(Span::from_millis(30));
    let (now, before) = (net.now, net.sent.len());
    net.ends[0].farewell(now);
    let mut out = [0; crate::base::limits::DATAGRAM_BYTES_MAX];
    let mut told = Vec::new();
    while let Some(transmit) = net.ends[0].poll_transmit(now, &mut out) {
        assert!(transmit.length < 100, "nothing that was queued goes any more");
        told.push((0, transmit.to, out[..transmit.length].to_vec()));
    }
    assert_eq!((told.len(), net.sent.len()), (3, before), "one datagram to each");
    for flight in told {
        net.deliver(flight);
    }
    for place in 1..4 {
        assert_eq!((net.peers(place).len(), net.ups_and_downs(place)), (0, (1, 1)), "end {place}");
    }
}
