//! Joining by a code over a bad network.

use super::net::{address, Net, Weather, FAIR, FOUL};
use super::*;
use crate::base::limits::{
    PAIRING_ATTEMPTS_MAX, PAIRING_HELLO_BYTES_MAX, PAIRING_PAYLOAD_BYTES_MAX, PAIRING_TIME_MAX,
};

/// The right code.
const CODE: &str = "1234 5678";

/// An inviter and as many others.
fn invited(seed: u64, others: u8, weather: Weather) -> Net {
    let mut net = Net::new(seed, others + 1, weather);
    let now = net.now;
    net.ends[0].open_invitation(now, CODE).unwrap();
    net
}

/// Lets an end try.
fn join(net: &mut Net, place: usize, code: &str, hello: Vec<u8>) {
    let now = net.now;
    net.ends[place].join(now, address(0), code, hello).unwrap();
    net.drain();
}

/// The first request that the inviter got.
fn request(net: &Net) -> Option<(u64, Vec<u8>)> {
    net.events[0].iter().find_map(|event| match event {
        Event::PairRequest { ticket, hello, .. } => Some((*ticket, hello.clone())),
        _ => None,
    })
}

/// What the end's try came to.
fn outcome(net: &Net, place: usize) -> Option<&Event> {
    net.events[place]
        .iter()
        .find(|event| matches!(event, Event::PairAnswered { .. } | Event::PairFailed { .. }))
}

/// What a try came to that failed.
fn failed(reason: PairFailure) -> Event {
    Event::PairFailed { reason, from: address(0) }
}

/// Why the invitation was closed.
fn closed(net: &Net) -> Vec<CloseReason> {
    let reason = |event: &Event| match event {
        Event::InvitationClosed { reason } => Some(*reason),
        _ => None,
    };
    net.events[0].iter().filter_map(reason).collect()
}

#[test]
fn the_right_code_joins() {
    let mut net = invited(1, 1, FAIR);
    let hello = net.bytes(PAIRING_HELLO_BYTES_MAX);
    join(&mut net, 1, "1234-5678", hello.clone());
    net.run(Span::from_secs(3));
    let (ticket, heard) = request(&net).unwrap();
    assert_eq!(heard, hello);
    assert_eq!(outcome(&net, 1), None, "the joiner waits for the owner's answer");
    let payload = net.bytes(PAIRING_PAYLOAD_BYTES_MAX);
    let now = net.now;
    net.ends[0].answer_pairing(now, ticket, payload.clone()).unwrap();
    net.run(Span::from_secs(3));
    assert_eq!(outcome(&net, 1), Some(&Event::PairAnswered { payload, from: address(0) }));
    assert_eq!(closed(&net), [CloseReason::Used]);
    net.run(PAIRING_TIME_MAX);
    assert_eq!((net.ends[0].deadline(), net.ends[1].deadline()), (None, None), "nothing is left");
    let is_covered = |(from, _, sent): &(usize, SocketAddr, Vec<u8>)| *from == 1 || sent.len() <= 1_200;
    assert!(
        net.sent.iter().all(is_covered)
            && net.sent.iter().all(|(from, _, sent)| *from == 0 || sent.len() == 1_200)
    );
}

#[test]
fn the_right_code_joins_on_a_bad_network() {
    for seed in 0..40 {
        let mut net = invited(seed, 1, FOUL);
        join(&mut net, 1, CODE, b"hello".to_vec());
        net.run(Span::from_secs(10));
        let (ticket, _) = request(&net).unwrap();
        let requests =
            net.events[0].iter().filter(|event| matches!(event, Event::PairRequest { .. })).count();
        assert_eq!(requests, 1, "seed {seed}: what is sent again is not counted again");
        let payload = net.bytes(3_000);
        let now = net.now;
        net.ends[0].answer_pairing(now, ticket, payload.clone()).unwrap();
        net.run(Span::from_secs(20));
        assert_eq!(outcome(&net, 1), Some(&Event::PairAnswered { payload, from: address(0) }), "seed {seed}");
    }
}

#[test]
fn a_wrong_code_is_told_and_five_close_the_invitation() {
    for weather in [FAIR, FOUL] {
        let mut net = invited(2, 6, weather);
        for place in 1..=usize::from(PAIRING_ATTEMPTS_MAX) {
            assert_eq!(closed(&net), []);
            join(&mut net, place, "87654321", b"hello".to_vec());
            net.run(Span::from_secs(10));
            assert_eq!(outcome(&net, place), Some(&failed(PairFailure::WrongCode)));
        }
        assert_eq!(closed(&net), [CloseReason::Attempts]);
        assert_eq!(request(&net), None);
        join(&mut net, 6, CODE, b"hello".to_vec());
        net.run(Span::from_secs(30));
        assert_eq!(
            outcome(&net, 6),
            Some(&failed(PairFailure::Attempts)),
            "even the right code comes too late"
        );
    }
}

/// Three nodes came in with one code: each was let in until the first one's admission was on the disk.
#[test]
fn one_invitation_lets_one_node_in_however_many_come_at_once() {
    for (seed, weather) in (0..30).map(|seed| (seed, if seed % 2 == 0 { FAIR } else { FOUL })) {
        let mut net = invited(seed, 5, weather);
        for place in 1..=4 {
            join(&mut net, place, CODE, b"hello".to_vec());
        }
        // The owner takes its time.
        net.run(Span::from_secs(12));
        let requests = |net: &Net| {
            net.events[0].iter().filter(|event| matches!(event, Event::PairRequest { .. })).count()
        };
        assert_eq!(requests(&net), 1, "seed {seed}");
        let (ticket, _) = request(&net).unwrap();
        let now = net.now;
        net.ends[0].answer_pairing(now, ticket, b"welcome".to_vec()).unwrap();
        net.run(Span::from_secs(12));
        let is_in = |place: &usize| matches!(outcome(&net, *place), Some(Event::PairAnswered { .. }));
        let inside: Vec<usize> = (1..=4).filter(is_in).collect();
        assert_eq!((inside.len(), requests(&net)), (1, 1), "seed {seed}");
        for place in (1..=4).filter(|place| !inside.contains(place)) {
            assert_eq!(outcome(&net, place), Some(&failed(PairFailure::Used)), "seed {seed}");
        }
        // Whoever comes later hears the same.
        join(&mut net, 5, CODE, b"hello".to_vec());
        net.run(Span::from_secs(12));
        assert_eq!(outcome(&net, 5), Some(&failed(PairFailure::Used)), "seed {seed}");
        assert_eq!(closed(&net), [CloseReason::Used]);
    }
}

#[test]
fn a_joiner_who_cannot_be_let_in_is_told_and_leaves_the_invitation_to_others() {
    let mut net = invited(8, 2, FAIR);
    join(&mut net, 1, CODE, b"garbage".to_vec());
    net.run(Span::from_secs(1));
    let (ticket, _) = request(&net).unwrap();
    let now = net.now;
    net.ends[0].decline_pairing(now, ticket);
    net.run(Span::from_secs(1));
    assert_eq!(outcome(&net, 1), Some(&failed(PairFailure::Declined)));
    net.events[0].clear();
    join(&mut net, 2, CODE, b"hello".to_vec());
    net.run(Span::from_secs(1));
    let (ticket, _) = request(&net).unwrap();
    let now = net.now;
    assert_eq!(net.ends[0].answer_pairing(now, ticket, Vec::new()), Ok(()));
    net.run(Span::from_secs(1));
    assert!(matches!(outcome(&net, 2), Some(Event::PairAnswered { .. })));
}

#[test]
fn the_fifth_attempt_may_be_the_right_one() {
    let mut net = invited(3, 5, FAIR);
    for place in 1..=4 {
        join(&mut net, place, "00000000", Vec::new());
        net.run(Span::from_secs(1));
    }
    join(&mut net, 5, CODE, Vec::new());
    net.run(Span::from_secs(1));
    let (ticket, _) = request(&net).unwrap();
    let now = net.now;
    net.ends[0].answer_pairing(now, ticket, Vec::new()).unwrap();
    net.run(Span::from_secs(1));
    assert_eq!(outcome(&net, 5), Some(&Event::PairAnswered { payload: Vec::new(), from: address(0) }));
}

#[test]
fn attempts_that_are_never_confirmed_count_too() {
    let mut net = invited(4, 5, FAIR);
    for place in 1..=5 {
        join(&mut net, place, CODE, Vec::new());
        // Ask, invitation, SPAKE2 there; then the joiner vanishes.
        net.run(Span::from_micros(19_999));
        net.ends[place].cancel_joins();
    }
    net.run(Span::from_secs(5));
    let now = net.now;
    net.ends[1].join(now, address(0), CODE, Vec::new()).unwrap();
    net.run(Span::from_secs(5));
    let is_refused = outcome(&net, 1) == Some(&failed(PairFailure::Attempts));
    assert!(is_refused, "{:?}", net.events[1]);
    net.run(Span::from_secs(60));
    assert_eq!(closed(&net), [CloseReason::Attempts]);
}

#[test]
fn an_invitation_expires() {
    let mut net = invited(5, 1, FAIR);
    net.run(PAIRING_TIME_MAX);
    assert_eq!(closed(&net), [CloseReason::Expired]);
    join(&mut net, 1, CODE, Vec::new());
    net.run(Span::from_secs(30));
    assert_eq!((outcome(&net, 1), request(&net)), (Some(&failed(PairFailure::NoAnswer)), None));
}

#[test]
fn a_withdrawn_invitation_answers_nobody() {
    let mut net = invited(6, 1, FAIR);
    let now = net.now;
    net.ends[0].close_invitation(now);
    net.ends[0].close_invitation(now);
    join(&mut net, 1, CODE, Vec::new());
    net.run(Span::from_secs(30));
    assert_eq!(
        (closed(&net), net.sent.iter().filter(|(from, ..)| *from == 0).count()),
        (vec![CloseReason::Withdrawn], 0)
    );
}

#[test]
fn a_node_that_does_not_invite_is_silent() {
    let mut net = Net::new(7, 2, FAIR);
    join(&mut net, 1, CODE, Vec::new());
    net.run(Span::from_secs(30));
    assert_eq!(outcome(&net, 1), Some(&failed(PairFailure::NoAnswer)));
    assert!(net.sent.iter().all(|(from, ..)| *from == 1));
    assert!(net.ends[0].counters().strangers >= 20);
}

#[test]
fn codes_are_read_as_people_type_them() {
    let mut endpoint = Endpoint::new([1; 32]);
    for right in ["12345678", "1234 5678", " 1234-5678 ", "12-34-56-78", "1 2 3 4 5 6 7 8"] {
        assert!(endpoint.open_invitation(Time::ZERO, right).is_ok(), "{right:?}");
    }
    for wrong in ["", "1234567", "123456789", "1234567a", "1234_5678", "\u{661}2345678", "1234 5678 9"] {
        assert_eq!(endpoint.open_invitation(Time::ZERO, wrong), Err(CodeError), "{wrong:?}");
    }
}

#[test]
fn changed_datagrams_never_make_a_joiner_or_an_inviter_believe() {
    for seed in 0..300 {
        let mut net = invited(seed, 1, FAIR);
        join(&mut net, 1, CODE, b"hello".to_vec());
        net.run(Span::from_millis(seed * 2 % 60));
        // One datagram of either side is changed on the way, at a place that is no padding.
        for (from, to, mut datagram) in net.sent.clone() {
            let place = net.below(datagram.len().min(110));
            datagram[place] ^= 1 << net.below(8);
            net.deliver((from, to, datagram));
        }
        net.run(Span::from_secs(2));
        if let Some((ticket, hello)) = request(&net) {
            assert_eq!(hello, b"hello", "seed {seed}");
            let now = net.now;
            let _ = net.ends[0].answer_pairing(now, ticket, b"payload".to_vec());
        }
        net.run(Span::from_secs(30));
        if let Some(Event::PairAnswered { payload, .. }) = outcome(&net, 1) {
            assert_eq!(payload, b"payload", "seed {seed}");
        }
    }
}
