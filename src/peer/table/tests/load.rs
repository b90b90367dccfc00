//! Floods: cookies, silence, bounded memory, nothing amplified, nothing left behind.

use super::net::{address, Net, FAIR};
use super::*;
use crate::base::limits::{
    COOKIE_SECRET_TIME, HANDSHAKE_LOAD_PER_SECOND, HANDSHAKE_REPEATS_MAX, HANDSHAKE_SOURCE_PER_SECOND,
};
use crate::wire::packet::COOKIE_BYTES;

/// How much an endpoint remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Lengths {
    /// Sessions, and those that have ended a moment ago.
    links: (usize, usize),
    /// Handshakes begun and answered.
    handshakes: (usize, usize),
    /// First messages that led to a session.
    used: usize,
    /// Datagrams and reports that wait.
    waiting: (usize, usize),
    /// Tries to join.
    joins: usize,
}

impl Endpoint {
    /// How much it remembers.
    fn lengths(&self) -> Lengths {
        let (handshakes, used) = self.openings.lengths();
        Lengths {
            links: self.links.lengths(),
            handshakes,
            used,
            waiting: self.desk.lengths(),
            joins: self.joins.count(),
        }
    }
}

/// What an end wants to send now.
fn sent(end: &mut Endpoint, now: Time) -> Vec<Vec<u8>> {
    let mut out = [0; 1_200];
    let mut all = Vec::new();
    loop {
        while end.poll_event().is_some() {}
        let Some(transmit) = end.poll_transmit(now, &mut out) else { return all };
        all.push(out[..transmit.length].to_vec());
    }
}

/// A new first message of an end, which forgets it.
fn init(net: &mut Net, place: usize) -> Vec<u8> {
    net.ends[place].connect(net.now, None, address(1));
    let mut all = sent(&mut net.ends[place], net.now);
    net.ends[place].openings.clear();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

/// What end 1 answers to a datagram from there.
fn answer(net: &mut Net, from: SocketAddr, datagram: &[u8]) -> Vec<Vec<u8>> {
    net.ends[1].handle_datagram(net.now, from, &mut datagram.to_vec());
    sent(&mut net.ends[1], net.now)
}

/// Lets end 2 bring as many first messages to end 1 as are load; from a different address each.
fn storm(net: &mut Net) {
    for count in 0..=HANDSHAKE_LOAD_PER_SECOND {
        let datagram = init(net, 2);
        let from = SocketAddr::from(([10, 1, 0, u8::try_from(count).unwrap()], 7117));
        assert_eq!(answer(net, from, &datagram)[0][0], if count < HANDSHAKE_LOAD_PER_SECOND { 2 } else { 6 });
    }
}

/// A first message of end 0 with the cookie that it was given under load.
fn init_with_cookie(net: &mut Net) -> Vec<u8> {
    net.ends[0].connect(net.now, None, address(1));
    let first = sent(&mut net.ends[0], net.now);
    let cookie = answer(net, address(0), &first[0]);
    assert_eq!((cookie[0][0], cookie[0].len()), (6, COOKIE_BYTES));
    let now = net.now;
    net.ends[0].handle_datagram(now, address(1), &mut cookie[0].clone());
    let second = sent(&mut net.ends[0], now);
    assert_eq!(
        (second.len(), second[0][..4].to_vec()),
        (1, vec![1, 1, 2, 1]),
        "repeated at once, with a flag"
    );
    net.ends[0].handle_datagram(now, address(1), &mut cookie[0].clone());
    assert!(sent(&mut net.ends[0], now).is_empty(), "the same cookie again brings nothing");
    second[0].clone()
}

#[test]
fn under_load_a_node_gets_in_with_a_cookie() {
    for by_name in [true, false] {
        let (mut net, _, people) = Net::household(40, 3, FAIR);
        storm(&mut net);
        net.connect(0, 1, by_name.then(|| people[1].node()));
        net.run(Span::from_millis(100));
        assert_eq!((net.ups_and_downs(0), net.ups_and_downs(1)), ((1, 0), (1, 0)));
        let cookies =
            net.sent.iter().filter(|(from, to, datagram)| (*from, *to, datagram[0]) == (1, address(0), 6));
        assert_eq!(cookies.count(), 1);
        assert!(net.talks(0, 1, &people[1].node()) && net.talks(1, 0, &people[0].node()));
    }
}

#[test]
fn a_cookie_is_worth_nothing_at_another_address_or_port_or_after_its_time() {
    let (mut net, ..) = Net::household(41, 3, FAIR);
    storm(&mut net);
    let late = init_with_cookie(&mut net);
    net.ends[0].openings.clear();
    let proven = init_with_cookie(&mut net);
    let (mut ip, mut port) = (address(0), address(0));
    ip.set_ip([10, 0, 0, 77].into());
    port.set_port(7118);
    for from in [ip, port] {
        let answers = answer(&mut net, from, &proven);
        assert_eq!((answers.len(), answers[0][0]), (1, 6), "{from} is asked for a cookie of its own");
    }
    let mut changed = proven.clone();
    let place = changed.len() - 17; // of the second MAC
    changed[place] ^= 1;
    assert!(answer(&mut net, address(0), &changed).is_empty(), "the first MAC covers the second");
    assert_eq!(answer(&mut net, address(0), &proven)[0][0], 2, "where it was given it is good");
    net.run(COOKIE_SECRET_TIME.times(2) + Span::from_secs(1));
    storm(&mut net);
    assert_eq!(answer(&mut net, address(0), &late)[0][0], 6, "its secret is gone");
}

#[test]
fn a_cookie_is_for_one_first_message_only() {
    let (mut net, ..) = Net::household(42, 3, FAIR);
    storm(&mut net);
    let first = init(&mut net, 2);
    let cookie = answer(&mut net, address(2), &first);
    net.ends[0].connect(net.now, None, address(1));
    let mine = sent(&mut net.ends[0], net.now);
    let mut stolen = cookie[0].clone();
    stolen[4..8].copy_from_slice(&mine[0][4..8]); // addressed to another message
    let now = net.now;
    net.ends[0].handle_datagram(now, address(1), &mut stolen);
    assert_eq!((sent(&mut net.ends[0], now).len(), net.ends[0].counters().forged), (0, 1));
}

#[test]
fn one_source_has_its_share_and_no_more() {
    let (mut net, ..) = Net::household(43, 3, FAIR);
    storm(&mut net);
    let mut replies = 0;
    for _ in 0..HANDSHAKE_SOURCE_PER_SECOND + 5 {
        net.ends[0].openings.clear();
        let proven = init_with_cookie(&mut net);
        replies += u32::try_from(answer(&mut net, address(0), &proven).len()).unwrap();
    }
    assert_eq!(replies, HANDSHAKE_SOURCE_PER_SECOND);
    assert_eq!(net.ends[1].counters().refused, 5);
}

#[test]
fn a_first_message_is_answered_again_only_so_often() {
    let (mut net, ..) = Net::household(44, 3, FAIR);
    let datagram = init(&mut net, 0);
    let answers: usize = (0..100).map(|_| answer(&mut net, address(0), &datagram).len()).sum();
    assert_eq!(answers, 1 + usize::from(HANDSHAKE_REPEATS_MAX));
}

#[test]
fn a_million_datagrams_of_strangers_cost_no_memory_and_no_answer() {
    const EACH: usize = 333_334;
    let (mut net, _, people) = Net::household(45, 2, FAIR);
    net.connect(0, 1, Some(people[1].node()));
    net.run(Span::from_secs(1));
    let used = net.sent.iter().find(|(.., datagram)| datagram[0] == 1).unwrap().2.clone();
    let noise = net.bytes(4_096);
    let lengths = (net.ends[1].lengths(), net.ends[1].deadline());
    for round in 0..EACH {
        let start = round % 3_000;
        let mut random = noise[start..start + 1 + round % 1_000].to_vec();
        random[0] = u8::try_from(round % 24).unwrap();
        if let Some(version) = random.get_mut(1) {
            *version = u8::try_from(round % 3).unwrap();
        }
        let mut wrong = used.clone();
        let place = 12 + round % (wrong.len() - 12);
        wrong[place] ^= 1 << (round % 8);
        for mut datagram in [random, used.clone(), wrong] {
            net.ends[1].handle_datagram(net.now, address(77), &mut datagram);
            while net.ends[1].poll_event().is_some() {}
            assert_eq!(net.ends[1].poll_transmit(net.now, &mut [0; 1_200]), None, "round {round}");
        }
        if round % 10_000 == 0 {
            assert_eq!((net.ends[1].lengths(), net.ends[1].deadline()), lengths, "round {round}");
        }
    }
    assert_eq!((net.ends[1].lengths(), net.ends[1].deadline()), lengths);
    let counters = net.ends[1].counters();
    assert!(counters.replayed >= 333_334 && counters.strangers >= 333_334);
    assert!(net.talks(0, 1, &people[1].node()) && net.talks(1, 0, &people[0].node()));
    assert_eq!((net.ups_and_downs(0), net.ups_and_downs(1)), ((1, 0), (1, 0)));
}

#[test]
fn no_datagram_is_answered_by_more_bytes_than_it_had() {
    let code = "1234 5678";
    // All that members, joiners and inviters say to each other...
    let (mut net, vault, people) = Net::household(46, 2, FAIR);
    net.connect(0, 1, Some(people[1].node()));
    net.run(Span::from_secs(1));
    let mut strange = Net::household(50, 2, FAIR).0;
    strange.connect(1, 0, None);
    strange.run(Span::from_secs(1));
    net.sent.append(&mut strange.sent);
    let mut corpus: Vec<_> = net.sent.drain(..).map(|(.., datagram)| datagram).collect();
    let mut pair = Net::new(47, 2, FAIR);
    let now = pair.now;
    pair.ends[0].open_invitation(now, code).unwrap();
    pair.ends[1].join(now, address(0), code, vec![1; 100]).unwrap();
    pair.run(Span::from_secs(2));
    corpus.extend(pair.sent.drain(..).map(|(.., datagram)| datagram));
    let mut other_version = corpus[0].clone();
    let covered = other_version.len() - 16;
    other_version[1] = 9;
    let mac = super::super::super::handshake::DoorKeys::new(&vault.door()).mac(&other_version[..covered]);
    other_version[covered..].copy_from_slice(&mac);
    corpus.push(other_version);
    let kinds: std::collections::BTreeSet<u8> = corpus.iter().map(|datagram| datagram[0]).collect();
    assert!([1, 2, 3, 4, 16, 17, 18, 19].iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    // ... comes from somebody who has recorded it, whole and cut, to a node that was started anew, with and without load.
    for is_loaded in [false, true] {
        let (mut answered, mut asked) = (0, 0);
        let mut fresh = Net::household(48, 3, FAIR).0;
        fresh.enter(1, &vault, &people[1]);
        let now = fresh.now;
        fresh.ends[1].open_invitation(now, code).unwrap();
        if is_loaded {
            storm(&mut fresh);
        }
        for datagram in &corpus {
            for length in [datagram.len(), datagram.len() - 1, datagram.len() / 2, 40, 12] {
                let datagram = &datagram[..length.min(datagram.len())];
                let answers = answer(&mut fresh, address(77), datagram);
                let bytes: usize = answers.iter().map(Vec::len).sum();
                assert!(bytes <= datagram.len(), "{bytes} for {} of type {}", datagram.len(), datagram[0]);
                answered += answers.len();
                asked += answers.iter().filter(|answer| answer[0] == 6).count();
            }
        }
        assert!(answered >= 3, "some are answered: {answered}");
        assert_eq!(asked > 0, is_loaded);
    }
}

#[test]
fn a_thousand_connects_and_closes_leave_nothing_behind() {
    let (mut net, _, people) = Net::household(49, 2, FAIR);
    for round in 0..1_000_usize {
        let (from, to) = (round % 2, 1 - round % 2);
        net.connect(from, to, (round % 3 != 0).then(|| people[to].node()));
        net.run(Span::from_millis(60));
        assert_eq!(net.peers(from), [people[to].node()], "round {round}");
        let (closing, now) = (round / 2 % 2, net.now);
        net.ends[closing].disconnect(now, people[1 - closing].node());
        net.run(Span::from_millis(60));
        assert!(net.peers(0).is_empty() && net.peers(1).is_empty(), "round {round}");
        net.sent.clear();
    }
    assert_eq!((net.ups_and_downs(0), net.ups_and_downs(1)), ((1_000, 1_000), (1_000, 1_000)));
    net.run(Span::from_secs(12));
    for end in &net.ends {
        assert_eq!(
            end.lengths(),
            Lengths { used: crate::base::limits::HANDSHAKE_MACS_MAX, ..Lengths::default() }
        );
        assert_eq!(end.deadline(), None);
    }
}
