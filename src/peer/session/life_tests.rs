//! A session's life over a simulated link: idle, dead, on another path, with new keys.

use super::link::{messages, of_lane, Link, Weather, FAIR};
use super::*;
use crate::base::limits::{KEY_TIME_MAX, SESSION_ANSWER_MAX, SESSION_KEEPALIVE};
use rand_chacha::rand_core::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Packets that both ends have sent.
fn packets(link: &Link) -> u64 {
    link.ends.iter().map(|end| end.stats().sent_packets).sum()
}

#[test]
fn an_idle_session_costs_at_most_a_packet_in_25_seconds_and_a_dead_one_is_closed() {
    let mut link = Link::new(1, FAIR);
    link.run(Span::from_secs(1_000));
    assert_eq!((link.ends[0].is_closed(), link.ends[1].is_closed()), (None, None));
    assert!((30..=40).contains(&packets(&link)), "a Ping and an Ack in 50 seconds: {}", packets(&link));
    link.weather.loss = 1_000;
    link.run(SESSION_KEEPALIVE + SESSION_ANSWER_MAX + Span::from_secs(6));
    assert_eq!(link.ends[0].is_closed(), Some(&CloseReason::Idle));
    assert_eq!(link.ends[1].is_closed(), Some(&CloseReason::Idle));
}

#[test]
fn an_idle_session_costs_nothing_where_both_agree() {
    let mut link = Link::new(1, FAIR);
    for end in &mut link.ends {
        end.set_keepalive(None);
    }
    link.run(Span::from_secs(100_000));
    assert_eq!((packets(&link), link.ends[0].is_closed()), (0, None));
    assert_eq!((link.ends[0].deadline(), link.ends[1].deadline()), (None, None), "not even a timer runs");
    link.ends[0].send(Lane::Control, vec![1]).expect("room");
    link.run(Span::from_secs(1));
    assert_eq!(link.out[1].len(), 1, "it is as good as new");
    link.weather.loss = 1_000;
    link.ends[0].send(Lane::Control, vec![2]).expect("room");
    link.run(SESSION_ANSWER_MAX);
    assert_eq!(link.ends[0].is_closed(), Some(&CloseReason::Idle), "a question finds out");
}

#[test]
fn keys_are_renewed_in_the_middle_of_a_transfer() {
    for seed in 0..8 {
        let jitter = Span::from_millis(if seed % 2 == 0 { 0 } else { 15 });
        let weather = Weather { loss: 20, duplicates: 20, jitter, rate: 2_000, ..FAIR };
        let mut link = Link::new(seed, weather);
        link.ends[0].keys.limit_packets(80);
        link.ends[1].keys.limit_packets(if seed < 4 { 60 } else { u64::MAX });
        let there = messages(&mut ChaCha8Rng::seed_from_u64(seed), 120, 40_000);
        link.transfer(there.clone());
        for lane in Lane::ALL {
            assert_eq!(of_lane(&link.out[1], lane), of_lane(&there, lane), "seed {seed}");
        }
        link.run(Span::from_secs(12));
        let generation = link.ends[0].keys.turn(link.now);
        assert!(generation > 5, "seed {seed}: {generation}");
        assert!(link.ends[1].keys.turn(link.now).abs_diff(generation) <= 1, "seed {seed}: they go together");
        assert_eq!((link.ends[0].is_closed(), link.ends[1].is_closed()), (None, None));
        let forged = link.ends.iter().map(|end| end.stats().forged_packets).sum::<u64>();
        assert_eq!(forged, 0, "seed {seed}: no true packet is refused for its key");
    }
}

#[test]
fn an_hour_is_enough_for_a_key() {
    let mut link = Link::new(1, FAIR);
    link.run(KEY_TIME_MAX.times(3) + Span::from_secs(300));
    assert_eq!(link.ends[0].keys.turn(link.now), 3);
    assert_eq!(link.ends[1].keys.turn(link.now), 3);
}

#[test]
fn a_new_path_is_measured_anew_and_asked_at_once() {
    let mut link = Link::new(1, FAIR);
    link.ends[0].send(Lane::Control, vec![1]).expect("room");
    link.run(Span::from_secs(1));
    assert_eq!(link.ends[0].stats().rtt, Some(Span::from_millis(20)));
    link.weather.delay = Span::from_millis(40);
    let before = packets(&link);
    link.ends[0].on_path_change(link.now);
    assert_eq!(link.ends[0].stats().rtt, None);
    link.run(Span::from_secs(1));
    assert_eq!(link.ends[0].stats().rtt, Some(Span::from_millis(80)));
    assert_eq!(packets(&link) - before, 2, "a Ping and its answer");
}
