//! Two and three endpoints over a bad network.

mod invitations;
mod life;
mod load;
mod net;

use super::*;
use crate::base::limits::{HANDSHAKES_ANSWERED_MAX, HANDSHAKES_ANSWERED_PER_NODE_MAX, SESSION_IDLE_MAX};
use crate::base::units::Span;
use net::{address, Net, Vault, FAIR, FOUL};

/// Long enough for a handshake on a bad network.
const WHILE: Span = Span::from_secs(12);

#[test]
fn members_who_know_each_other_connect_by_ik() {
    let (mut net, _, people) = Net::household(1, 2, FAIR);
    net.connect(0, 1, Some(people[1].node()));
    net.run(Span::from_millis(100));
    assert_eq!(net.sent.iter().filter(|(_, _, datagram)| datagram[..3] == [1, 1, 1]).count(), 1);
    assert_eq!((net.peers(0), net.peers(1)), (vec![people[1].node()], vec![people[0].node()]));
    assert!(net.events[0].contains(&Event::Up { node: people[1].node(), address: address(1) }));
    assert!(net.talks(0, 1, &people[1].node()) && net.talks(1, 0, &people[0].node()));
    assert_eq!((net.ups_and_downs(0), net.ups_and_downs(1)), ((1, 0), (1, 0)));
    for end in &net.ends[..2] {
        let counters = end.counters();
        assert!(counters.sent_bytes > 0 && counters.received_bytes > 0);
        assert_eq!(Counters { sent_bytes: 0, received_bytes: 0, ..counters }, Counters::default());
    }
}

#[test]
fn a_node_that_knows_nobody_connects_by_xx() {
    let mut vault = Vault::new(1);
    let (old, new) = (vault.admit(10), vault.admit_quietly(11));
    let mut net = Net::new(2, 2, FAIR);
    net.enter(0, &vault, &old);
    // A recovering node has the root secret, hence the door and its own Admit entry, and no roster.
    net.enter(1, &Vault::new(1), &new);
    net.connect(1, 0, None);
    net.run(Span::from_millis(200));
    assert_eq!((net.peers(0), net.peers(1)), (vec![new.node()], vec![old.node()]));
    for (place, other) in [(0, &new), (1, &old)] {
        let introduced = net.events[place].iter().any(
            |event| matches!(event, Event::Introduced { member, chain } if member.node == other.node() && *chain == other.chain),
        );
        assert!(introduced, "end {place} was shown the chain");
    }
    assert!(net.talks(1, 0, &old.node()) && net.talks(0, 1, &new.node()));
    assert_eq!((net.ups_and_downs(0), net.ups_and_downs(1)), ((1, 0), (1, 0)));
}

#[test]
fn a_member_not_heard_of_is_introduced_by_its_chain() {
    let mut vault = Vault::new(1);
    let old = vault.admit(10);
    let before = vault.roster.clone();
    let new = vault.admit(11);
    let mut net = Net::new(3, 2, FAIR);
    net.enter(0, &vault, &old);
    net.ends[0].set_roster(before.clone(), old.chain.clone());
    net.enter(1, &vault, &new);
    net.connect(1, 0, Some(old.node()));
    net.run(Span::from_millis(100));
    assert_eq!(net.peers(0), [new.node()]);
    let place = |which: fn(&Event) -> bool| net.events[0].iter().position(which).unwrap();
    assert!(
        place(|event| matches!(event, Event::Introduced { .. }))
            < place(|event| matches!(event, Event::Up { .. }))
    );
    // A roster that still lacks the member does not end its session, nor does the one that has it.
    net.ends[0].set_roster(before, old.chain.clone());
    net.ends[0].set_roster(vault.roster.clone(), old.chain.clone());
    assert!(net.talks(0, 1, &new.node()));
}

#[test]
fn sessions_are_made_on_a_bad_network() {
    for seed in 0..40 {
        let (mut net, _, people) = Net::household(seed, 2, FOUL);
        let by_name = (seed % 2 == 0).then(|| people[1].node());
        net.connect(0, 1, by_name);
        net.run(WHILE);
        let tried_again = net.events[0].iter().any(|event| matches!(event, Event::ConnectFailed { .. }));
        assert!(tried_again || net.talks(0, 1, &people[1].node()), "seed {seed}");
        assert!(tried_again || net.talks(1, 0, &people[0].node()), "seed {seed}");
        assert!(net.ups_and_downs(0).1 == 0 && net.ups_and_downs(1).1 == 0, "seed {seed}: nothing flaps");
    }
}

#[test]
fn a_lost_first_message_is_sent_again_and_given_up_in_the_end() {
    let (mut net, _, people) = Net::household(4, 2, net::Weather { loss: 1_000, ..FAIR });
    net.connect(0, 1, Some(people[1].node()));
    net.run(Span::from_secs(11));
    assert_eq!(net.sent.len(), 5, "at once and after 0.5, 1.5, 3.5 and 7.5 s");
    assert!(net.sent.windows(2).all(|pair| pair[0] == pair[1]));
    let failed = Event::ConnectFailed { peer: Some(people[1].node()), address: address(1) };
    assert_eq!(net.events[0], [failed]);
    assert_eq!(net.ends[0].deadline(), None);
}

#[test]
fn nodes_that_knock_at_once_make_one_session() {
    for seed in 0..60 {
        let weather = if seed % 3 == 0 { FAIR } else { FOUL };
        let (mut net, _, people) = Net::household(seed, 2, weather);
        for (from, to) in [(0, 1), (1, 0)] {
            net.connect(from, to, Some(people[to].node()));
            net.run(Span::from_millis(seed % 7 * 3));
        }
        net.run(WHILE);
        if seed % 3 == 0 {
            assert_eq!(
                (net.ups_and_downs(0), net.ups_and_downs(1)),
                ((1, 0), (1, 0)),
                "seed {seed}: no flap"
            );
        }
        let quiet = (net.ups_and_downs(0), net.ups_and_downs(1));
        assert!(net.talks(0, 1, &people[1].node()) && net.talks(1, 0, &people[0].node()), "seed {seed}");
        assert_eq!((net.ups_and_downs(0), net.ups_and_downs(1)), quiet, "seed {seed}: it stays");
    }
}

#[test]
fn strangers_that_find_each_other_at_once_make_one_session_too() {
    for seed in 0..30 {
        let (mut net, _, people) = Net::household(seed, 2, FAIR);
        net.connect(0, 1, None);
        net.connect(1, 0, None);
        net.run(WHILE);
        let quiet = (net.ups_and_downs(0), net.ups_and_downs(1));
        assert!(quiet.0 .1 <= 1 && quiet.1 .1 <= 1, "seed {seed}: {quiet:?}");
        assert!(net.talks(0, 1, &people[1].node()) && net.talks(1, 0, &people[0].node()), "seed {seed}");
        assert_eq!((net.ups_and_downs(0), net.ups_and_downs(1)), quiet, "seed {seed}: it stays");
    }
}

#[test]
fn a_node_that_was_started_anew_is_back_at_once() {
    for (restarted, seed) in [(0, 5), (1, 6), (0, 7), (1, 8)] {
        let (mut net, vault, people) = Net::household(seed, 2, FAIR);
        net.connect(0, 1, Some(people[1].node()));
        net.run(Span::from_millis(100));
        net.restart(restarted, &vault, &people[restarted]);
        let other = 1 - restarted;
        net.connect(restarted, other, Some(people[other].node()));
        net.run(Span::from_millis(200));
        assert_eq!(net.ups_and_downs(other), (2, 1), "the other side is told that the old session is gone");
        assert!(net.talks(0, 1, &people[1].node()) && net.talks(1, 0, &people[0].node()));
    }
}

#[test]
fn a_replayed_first_message_disturbs_nothing() {
    let (mut net, vault, people) = Net::household(9, 2, FAIR);
    net.connect(0, 1, Some(people[1].node()));
    net.run(Span::from_secs(1));
    let first = net.sent.iter().find(|(from, _, datagram)| *from == 0 && datagram[0] == 1).cloned().unwrap();
    let before = net.sent.len();
    net.deliver(first.clone());
    assert_eq!((net.ends[1].counters().replayed, net.sent.len()), (1, before), "it is not answered");
    // A node started anew has not seen it, and answers; still no session comes of it.
    net.restart(1, &vault, &people[1]);
    net.deliver(first.clone());
    net.deliver(first);
    net.run(Span::from_secs(1));
    assert_eq!(net.peers(1), []);
    net.connect(1, 0, Some(people[0].node()));
    net.run(Span::from_secs(1));
    assert!(net.talks(0, 1, &people[1].node()) && net.talks(1, 0, &people[0].node()));
}

#[test]
fn a_removed_member_is_dropped_and_stays_out() {
    let (mut net, mut vault, people) = Net::household(10, 3, FAIR);
    for to in [1, 2] {
        net.connect(0, to, Some(people[to].node()));
    }
    net.run(Span::from_secs(1));
    vault.remove(&people[1]);
    net.ends[0].set_roster(vault.roster.clone(), people[0].chain.clone());
    net.drain();
    assert_eq!(net.peers(0), [people[2].node()]);
    assert!(net.events[0]
        .iter()
        .any(|event| matches!(event, Event::Down { node, .. } if *node == people[1].node())));
    let strangers = net.ends[0].counters().strangers;
    net.run(SESSION_IDLE_MAX + Span::from_secs(1));
    net.connect(1, 0, Some(people[0].node()));
    net.run(WHILE);
    net.connect(1, 0, None);
    net.run(WHILE);
    assert_eq!(net.peers(0), [people[2].node()]);
    assert!(net.ends[0].counters().strangers > strangers);
    assert_eq!((net.peers(1), net.ups_and_downs(1)), (Vec::new(), (1, 1)), "it never believes that it is in");
}

#[test]
fn who_does_not_know_the_door_secret_hears_nothing() {
    // It knows all else, even a member's keys: IK's first message would be readable without the secret.
    let (mut net, vault, people) = Net::household(11, 2, FAIR);
    let identity = Identity { node: people[1].node(), channel_secret: *people[1].secret.channel_secret() };
    net.ends[1].open(identity, Door { secret: [0; 32], ..vault.door().clone() });
    net.ends[1].set_roster(vault.roster, people[1].chain.clone());
    for peer in [Some(people[0].node()), None] {
        net.connect(1, 0, peer);
        net.run(WHILE);
    }
    assert!(net.sent.iter().all(|(from, ..)| *from == 1), "not a byte is answered");
    assert_eq!(net.ends[0].counters().strangers, 10);
}

#[test]
fn a_node_never_has_a_session_with_itself() {
    let (mut net, _, people) = Net::household(12, 2, FAIR);
    net.connect(0, 0, None);
    net.connect(0, 0, Some(people[0].node()));
    net.connect(0, 0, Some(people[1].node()));
    net.run(WHILE);
    assert_eq!(net.peers(0), []);
    let failures = net.events[0].iter().filter(|event| matches!(event, Event::ConnectFailed { .. })).count();
    assert_eq!(failures, 3);
}

#[test]
fn somebody_else_at_the_address_is_no_success() {
    let (mut net, _, people) = Net::household(13, 3, FAIR);
    net.connect(0, 2, Some(people[1].node()));
    net.run(WHILE);
    assert_eq!(net.peers(0), []);
    let failed = Event::ConnectFailed { peer: Some(people[1].node()), address: address(2) };
    assert_eq!(net.events[0], [failed]);
}

#[test]
fn garbage_leaves_a_session_alive() {
    let (mut net, _, people) = Net::household(14, 2, FAIR);
    net.connect(0, 1, Some(people[1].node()));
    net.run(Span::from_secs(1));
    let real: Vec<_> = net.sent.iter().map(|(.., datagram)| datagram.clone()).collect();
    for round in 0..20_000 {
        let mut datagram = if round % 2 == 0 {
            let length = net.below(1_400);
            net.bytes(length)
        } else {
            let mut datagram = real[net.below(real.len())].clone();
            let place = net.below(datagram.len());
            match net.below(3) {
                0 => datagram.truncate(place),
                1 => datagram[place] ^= 1 << net.below(8),
                _ => datagram[0] = u8::try_from(net.below(22)).unwrap(),
            }
            datagram
        };
        let (now, to) = (net.now, net.below(2));
        net.ends[to].handle_datagram(now, address(77), &mut datagram);
    }
    net.run(Span::from_secs(1));
    assert!(net.talks(0, 1, &people[1].node()) && net.talks(1, 0, &people[0].node()));
    assert_eq!((net.ups_and_downs(0), net.ups_and_downs(1)), ((1, 0), (1, 0)));
    assert_eq!(net.ends[0].peers().next().unwrap().address, address(1));
    let counters = net.ends[0].counters();
    assert!(
        counters.garbage > 1_000 && counters.strangers > 100 && counters.forged + counters.replayed > 100
    );
}

#[test]
fn a_session_follows_its_peer_to_another_address() {
    let (mut net, _, people) = Net::household(15, 2, FAIR);
    net.connect(0, 1, Some(people[1].node()));
    net.run(Span::from_secs(1));
    net.moved.insert(1, address(99));
    assert!(net.talks(1, 0, &people[0].node()));
    assert_eq!(net.ends[0].peers().next().unwrap().address, address(99));
    assert!(net.talks(0, 1, &people[1].node()));
    assert_eq!((net.ups_and_downs(0), net.ups_and_downs(1)), ((1, 0), (1, 0)));
}

#[test]
fn a_closed_session_ends_on_both_sides() {
    let (mut net, _, people) = Net::household(16, 2, FAIR);
    net.connect(0, 1, Some(people[1].node()));
    net.run(Span::from_secs(1));
    let now = net.now;
    net.ends[0].disconnect(now, people[1].node());
    assert_eq!(net.ends[0].room(&people[1].node(), Lane::Bulk), 0);
    net.run(Span::from_secs(10));
    assert_eq!((net.ups_and_downs(0), net.ups_and_downs(1)), ((1, 1), (1, 1)));
    assert_eq!((net.ends[0].deadline(), net.ends[1].deadline()), (None, None), "nothing is left");
    net.connect(1, 0, Some(people[0].node()));
    net.run(Span::from_secs(1));
    assert!(net.talks(1, 0, &people[0].node()));
}

#[test]
fn answered_handshakes_are_bounded() {
    let (mut net, _, people) = Net::household(17, 2, FAIR);
    for round in 0..150 {
        // Not so many a second that cookies are asked for.
        net.now = net.now + Span::from_millis(50);
        net.ends[0].connect(net.now, (round < 50).then(|| people[1].node()), address(1));
        let mut out = [0; 1_200];
        while let Some(sent) = net.ends[0].poll_transmit(net.now, &mut out) {
            net.ends[1].handle_datagram(net.now, address(round + 3), &mut out[..sent.length]);
        }
        net.ends[0].openings.clear();
        let most = if round < 50 { HANDSHAKES_ANSWERED_PER_NODE_MAX } else { HANDSHAKES_ANSWERED_MAX };
        assert!(net.ends[1].openings.answered_count() <= most, "round {round}");
    }
    assert_eq!(net.ends[1].openings.answered_count(), HANDSHAKES_ANSWERED_MAX);
    net.connect(0, 1, Some(people[1].node()));
    net.run(WHILE);
    assert!(net.talks(0, 1, &people[1].node()));
}

#[test]
fn another_version_is_told_which_ones_are_spoken() {
    let (mut net, vault, people) = Net::household(18, 2, FAIR);
    net.connect(0, 1, Some(people[1].node()));
    let mut datagram = net.sent[0].2.clone();
    let covered = datagram.len() - 16;
    datagram[1] = 9;
    let now = net.now;
    net.ends[1].handle_datagram(now, address(0), &mut datagram.clone());
    assert_eq!(net.ends[1].counters().strangers, 1, "the MAC covers the version");
    let mac = super::super::handshake::DoorKeys::new(&vault.door()).mac(&datagram[..covered]);
    datagram[covered..].copy_from_slice(&mac);
    net.ends[1].handle_datagram(now, address(0), &mut datagram);
    let mut out = [0; 1_200];
    let sent = net.ends[1].poll_transmit(now, &mut out).unwrap();
    assert_eq!((sent.to, &out[..4], out[8]), (address(0), &[5, 0, 1, 0][..], 1));
    let mut forged = out;
    forged[sent.length - 1] ^= 1;
    net.ends[0].handle_datagram(now, address(1), &mut forged[..sent.length]);
    assert!(net.ends[0].poll_event().is_none(), "a stranger ends no attempt");
    net.ends[0].handle_datagram(now, address(1), &mut out[..sent.length]);
    assert!(matches!(net.ends[0].poll_event(), Some(Event::ConnectFailed { .. })));
}

#[test]
fn real_chains_fit_the_first_message() {
    let mut vault = Vault::new(1);
    let person = vault.admit(10);
    assert!(person.chain[0].len() <= 290, "handshake.rs counts on it: {}", person.chain[0].len());
}

#[test]
fn a_busy_session_does_not_keep_others_waiting() {
    let (mut net, _, people) = Net::household(19, 4, FAIR);
    for (to, person) in people.iter().enumerate().skip(1) {
        net.connect(0, to, Some(person.node()));
    }
    net.run(Span::from_secs(1));
    let now = net.now;
    for person in &people[1..4] {
        for _ in 0..3 {
            net.ends[0].send(now, &person.node(), Lane::Bulk, vec![1; 200_000]).unwrap();
        }
    }
    let mut out = [0; 1_200];
    let mut receivers = Vec::new();
    while let Some(sent) = net.ends[0].poll_transmit(now, &mut out) {
        receivers.push(sent.to);
    }
    assert!(receivers.len() >= 24, "the first windows: {}", receivers.len());
    for (round, three) in receivers.chunks_exact(3).enumerate().take(6) {
        let mut three = three.to_vec();
        three.sort();
        assert_eq!(three, [address(1), address(2), address(3)], "round {round}");
    }
}

#[test]
fn room_is_reported_when_a_full_queue_has_drained() {
    let (mut net, _, people) = Net::household(20, 2, FAIR);
    net.connect(0, 1, Some(people[1].node()));
    net.run(Span::from_secs(1));
    let (now, node) = (net.now, people[1].node());
    let mut taken = 0;
    let full = loop {
        match net.ends[0].send(now, &node, Lane::Bulk, vec![taken; 1_000_000]) {
            Ok(_) => taken += 1,
            Err(full) => break full,
        }
    };
    assert!(matches!(full, SendError::Full { room } if room < 1_000_000), "{full:?}");
    assert!(taken >= 2);
    assert_eq!(net.ends[0].send(now, &node, Lane::Bulk, Vec::new()), Err(SendError::Length));
    assert_eq!(net.ends[0].send(now, &people[0].node(), Lane::Bulk, vec![1]), Err(SendError::NoSession));
    net.run(Span::from_secs(20));
    assert_eq!(net.events[0].iter().filter(|event| matches!(event, Event::Room { .. })).count(), 1);
    let arrived =
        net.events[1].iter().filter(|event| matches!(event, Event::Message { lane: Lane::Bulk, .. }));
    assert_eq!(arrived.count(), usize::from(taken));
    assert!(net.ends[0].room(&node, Lane::Bulk) >= 1_000_000);
}
