//! Lanes without packets: order, memory, credit.

use super::*;
use crate::base::limits::{
    LANE_FIXED_BYTES, POOL_BYTES, RECEIVE_BYTES_MAX, RECEIVE_SESSION_BYTES_MAX, SESSIONS_MAX,
};
use crate::base::units::Span;
use crate::peer::pool::Pool;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A message with its prefix.
fn prefixed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("short");
    [&length.to_le_bytes(), message].concat()
}

/// A number below `end`.
fn below(random: &mut ChaCha8Rng, end: usize) -> usize {
    usize::try_from(random.next_u32()).expect("32 bits") % end.max(1)
}

/// Lanes of which Control and Bulk have much to send, and their pool.
fn thirsty_lanes() -> (RecvLanes, Pool) {
    let (mut lanes, mut pool) = (RecvLanes::new(), Pool::default());
    lanes.on_want(Lane::Control, LANE_OFFSET_MAX);
    lanes.on_want(Lane::Bulk, LANE_OFFSET_MAX);
    settle(&mut lanes, &mut pool);
    (lanes, pool)
}

/// Gives credit, and says so to the peer.
fn settle(lanes: &mut RecvLanes, pool: &mut Pool) {
    pool.settle(Time::ZERO, 1, lanes).expect("good lengths");
    for lane in Lane::ALL {
        lanes.take_credit(lane);
    }
}

#[test]
fn bytes_in_any_order_become_messages_in_order() {
    for seed in 0..40 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let length_max = if seed % 2 == 0 { 900 } else { 9_000 };
        let messages: Vec<Vec<u8>> = (0..150)
            .map(|_| {
                let mut message = vec![0; 1 + below(&mut random, length_max)];
                random.fill_bytes(&mut message);
                message
            })
            .collect();
        let stream: Vec<u8> = messages.iter().flat_map(|message| prefixed(message)).collect();
        let mut pieces = Vec::new();
        let mut start = 0;
        while start < stream.len() {
            let end = (start + 1 + below(&mut random, 1_200)).min(stream.len());
            // Reaches back now and then, as a retransmission cut otherwise does.
            pieces.push((start.saturating_sub(below(&mut random, 90)), end));
            start = end;
        }
        for index in (1..pieces.len()).rev() {
            let other = index - below(&mut random, 30).min(index);
            pieces.swap(index, other);
        }
        let (mut lanes, mut pool) = thirsty_lanes();
        let mut out = Vec::new();
        for (start, end) in pieces {
            lanes.insert(Lane::Bulk, distance(start), &stream[start..end]).expect("within the rules");
            while let Some((lane, message)) = lanes.pop().expect("good lengths") {
                assert_eq!((lane, message.capacity()), (Lane::Bulk, message.len()), "allocated once");
                out.push(message);
            }
            settle(&mut lanes, &mut pool);
        }
        assert_eq!(out, messages, "seed {seed}");
        assert!(lanes.arrived() >= distance(stream.len()), "each byte is counted when it is new");
        assert!(lanes.bytes() <= Lane::COUNT * LANE_FIXED_BYTES, "seed {seed}: {}", lanes.bytes());
    }
}

#[test]
fn tiny_messages_stay_bytes_until_there_is_room() {
    let (mut lanes, _) = thirsty_lanes();
    let stream: Vec<u8> = (0..1_000_u32).flat_map(|index| prefixed(&index.to_le_bytes())).collect();
    lanes.insert(Lane::Control, 0, &stream[..5_000]).expect("fits");
    lanes.insert(Lane::Control, 5_000, &stream[5_000..]).expect("fits");
    assert_eq!(lanes.lanes[0].ready.len(), READY_MESSAGES_MAX);
    for index in 0..1_000_u32 {
        let message = lanes.pop().expect("good").expect("there are a thousand");
        assert_eq!(message, (Lane::Control, index.to_le_bytes().to_vec()));
    }
    assert_eq!(lanes.pop(), Ok(None));
}

#[test]
fn a_claimed_length_costs_no_memory_before_there_is_credit_for_it() {
    let mut lanes = RecvLanes::new();
    let claimed = u32::try_from(MESSAGE_BYTES_MAX).expect("fits").to_le_bytes();
    lanes.insert(Lane::Bulk, 0, &[&claimed[..], &[1; 100]].concat()).expect("fits");
    assert!(lanes.bytes() <= LANE_FIXED_BYTES, "{}", lanes.bytes());
    let mut pool = Pool::default();
    pool.settle(Time::ZERO, 1, &mut lanes).expect("good");
    let credit = LANE_CREDIT_BYTES[2];
    assert_eq!(
        pool.used(),
        distance(MESSAGE_BYTES_MAX + PREFIX_BYTES) - credit,
        "it is reserved, and counted"
    );
    assert!(lanes.bytes() >= MESSAGE_BYTES_MAX);
    let mut lanes = RecvLanes::new();
    let claimed = u32::try_from(MESSAGE_BYTES_MAX + 1).expect("fits").to_le_bytes();
    assert_eq!(lanes.insert(Lane::Bulk, 0, &claimed), Err(LaneError::BadLength));
    assert_eq!(RecvLanes::new().insert(Lane::Bulk, 0, &[0; 4]), Err(LaneError::BadLength));
}

#[test]
fn credit_is_given_for_what_is_wanted_and_comes_back_when_it_is_taken() {
    let (mut lanes, mut pool) = (RecvLanes::new(), Pool::default());
    let own = LANE_CREDIT_BYTES[2];
    settle(&mut lanes, &mut pool);
    assert_eq!((lanes.lanes[2].limit, pool.used()), (own, 0), "who wants nothing gets nothing");
    lanes.on_want(Lane::Bulk, 500_000);
    assert_eq!(lanes.insert(Lane::Bulk, own, &[0]), Err(LaneError::BeyondCredit));
    pool.settle(Time::ZERO, 1, &mut lanes).expect("good");
    assert_eq!(
        lanes.insert(Lane::Bulk, own, &[0]),
        Err(LaneError::BeyondCredit),
        "it is credit that was sent that counts"
    );
    assert_eq!(lanes.take_credit(Lane::Bulk), Some(500_000), "all of it at once");
    assert_eq!(lanes.take_credit(Lane::Bulk), None);
    lanes.repeat_credits(1 << 2);
    assert_eq!(lanes.take_credit(Lane::Bulk), Some(500_000), "what was lost is said again");
    let stream = prefixed(&vec![9; 499_996]);
    lanes.insert(Lane::Bulk, 0, &stream).expect("fits");
    settle(&mut lanes, &mut pool);
    assert_eq!((lanes.lanes[2].limit, pool.used()), (500_000, 500_000 - own), "nobody has taken it");
    lanes.pop().expect("good").expect("whole");
    settle(&mut lanes, &mut pool);
    assert_eq!(
        (lanes.lanes[2].limit, pool.used()),
        (500_000 + own, 0),
        "an idle lane has its own credit, no more"
    );
}

#[test]
fn too_many_gaps_are_not_kept() {
    let (mut lanes, _) = thirsty_lanes();
    let gaps = LANE_GAPS_MAX[2];
    for index in 0..gaps {
        lanes.insert(Lane::Bulk, distance(index * 2 + 1), &[1]).expect("a gap is kept");
    }
    let beyond = distance(gaps * 2 + 1);
    assert_eq!(lanes.insert(Lane::Bulk, beyond, &[1]), Err(LaneError::Crowded));
    lanes.insert(Lane::Bulk, 2, &[1]).expect("what closes a gap is taken");
    lanes.insert(Lane::Bulk, beyond, &[1]).expect("and then there is room");
}

#[test]
fn what_was_withdrawn_is_skipped_wherever_it_is() {
    let stream: Vec<u8> = (1..=6_u8).flat_map(|number| prefixed(&vec![number; 1_000])).collect();
    let place = |number: u64| (number - 1) * 1_004;
    for order in 0..4 {
        let (mut lanes, mut pool) = thirsty_lanes();
        let first = |lanes: &mut RecvLanes| lanes.insert(Lane::Bulk, 0, &stream[..1_500]).expect("fits");
        let skips = |lanes: &mut RecvLanes| {
            for (from, to) in [(4, 6), (2, 3)] {
                lanes.on_skip(Lane::Bulk, place(from), place(to)).expect("fits");
                lanes.on_skip(Lane::Bulk, place(from), place(to)).expect("again is nothing");
            }
        };
        let rest = |lanes: &mut RecvLanes, number: u64| {
            let start = usize::try_from(place(number)).expect("small");
            lanes.insert(Lane::Bulk, place(number), &stream[start..start + 1_004]).expect("fits");
        };
        match order {
            0 => (first(&mut lanes), skips(&mut lanes), rest(&mut lanes, 3), rest(&mut lanes, 6)),
            1 => (skips(&mut lanes), rest(&mut lanes, 6), rest(&mut lanes, 3), first(&mut lanes)),
            2 => (rest(&mut lanes, 6), first(&mut lanes), rest(&mut lanes, 3), skips(&mut lanes)),
            _ => (rest(&mut lanes, 3), skips(&mut lanes), rest(&mut lanes, 6), first(&mut lanes)),
        };
        let mut numbers = Vec::new();
        while let Some((_, message)) = lanes.pop().expect("good") {
            assert_eq!(message, vec![message[0]; 1_000]);
            numbers.push(message[0]);
        }
        assert_eq!(numbers, [1, 3, 6], "order {order}");
        settle(&mut lanes, &mut pool);
        assert!(lanes.bytes() <= LANE_FIXED_BYTES, "{}", lanes.bytes());
    }
}

#[test]
fn a_skip_that_lies_ends_the_session() {
    let (mut lanes, mut pool) = thirsty_lanes();
    lanes.on_skip(Lane::Bulk, 500, 900).expect("perhaps a message begins there");
    let message = prefixed(&[1; 800]);
    assert_eq!(lanes.insert(Lane::Bulk, 0, &message), Err(LaneError::BadSkip));
    let (mut lanes, _) = thirsty_lanes();
    lanes.on_skip(Lane::Bulk, 0, LANE_OFFSET_MAX).expect("far, and harmless");
    pool.settle(Time::ZERO, 1, &mut lanes).expect("good");
    assert!(lanes.bytes() <= LANE_FIXED_BYTES);
    let (mut lanes, _) = thirsty_lanes();
    for index in 0..distance(LANE_SKIPS_MAX) {
        lanes.on_skip(Lane::Bulk, 10 + 20 * index, 20 + 20 * index).expect("kept");
    }
    assert_eq!(lanes.on_skip(Lane::Bulk, 1_000, 1_001), Err(LaneError::Crowded));
}

/// What an adversary sends next.
fn attack(random: &mut ChaCha8Rng, kind: usize, lane: &RecvLane) -> (u64, Vec<u8>) {
    let window = usize::try_from(lane.limit - lane.next.min(lane.limit)).expect("in memory");
    let claim = u32::try_from(1 + below(random, MESSAGE_BYTES_MAX)).expect("fits").to_le_bytes();
    match kind {
        // One byte a page, from the far end on.
        0 => (lane.limit - 1 - distance(below(random, window.max(1)) / 1_024 * 1_024), vec![0]),
        // Claims of long messages, and a little of each.
        1 => (lane.begin, [&claim[..], &[0; 600]].concat()),
        // Tiny messages in order.
        2 => (lane.next, [1, 0, 0, 0, 7].repeat(200)),
        // One byte everywhere.
        3 => (lane.next + distance(below(random, window)), vec![0]),
        // In order, as long as there is credit.
        _ => (lane.next, if lane.next == lane.begin { claim.to_vec() } else { vec![0; 1_100] }),
    }
}

#[test]
fn memory_stays_within_its_bounds_whatever_peers_send() {
    let (mut most, mut most_of_one) = (0, 0);
    for (seed, takes) in [(1, 0), (2, 0), (3, 1), (4, 30)] {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut pool = Pool::default();
        let mut sessions: Vec<RecvLanes> = (0..SESSIONS_MAX).map(|_| RecvLanes::new()).collect();
        let mut alive = [true; SESSIONS_MAX];
        for round in 0..60_000_usize {
            let index = if seed == 2 { round / 20 % SESSIONS_MAX } else { below(&mut random, SESSIONS_MAX) };
            let lanes = &mut sessions[index];
            if !alive[index] {
                continue;
            }
            let now = Time::ZERO + Span::from_millis(distance(round));
            let lane = Lane::ALL[below(&mut random, Lane::COUNT)];
            if random.next_u32() % 8 == 0 {
                lanes.on_want(lane, LANE_OFFSET_MAX);
            }
            let stream = &lanes.lanes[lane.index()];
            let (offset, mut data) = attack(&mut random, (index + round / 9_000) % 5, stream);
            data.truncate(usize::try_from(stream.limit.saturating_sub(offset)).expect("in memory"));
            let result = if data.is_empty() { Ok(()) } else { lanes.insert(lane, offset, &data) };
            if random.next_u32() % 100 < takes {
                let _ = lanes.pop();
            }
            if !matches!(result, Ok(()) | Err(LaneError::Crowded))
                || pool.settle(now, distance32(index), lanes).is_err()
            {
                // It broke the rules: its session ends, and another one takes its place.
                lanes.clear();
                pool.leave(distance32(index), lanes);
                *lanes = RecvLanes::new();
            }
            for lane in Lane::ALL {
                lanes.take_credit(lane);
            }
            for waiting in pool.first().collect::<Vec<u32>>() {
                let waiting = usize::try_from(waiting).expect("small");
                alive[waiting] &= pool.settle(now, distance32(waiting), &mut sessions[waiting]).is_ok();
            }
            most_of_one = most_of_one.max(sessions[index].bytes());
            assert!(pool.used() <= POOL_BYTES, "{} of the pool", pool.used());
            if round % 16 == 0 {
                most = most.max(sessions.iter().map(RecvLanes::bytes).sum());
            }
        }
        let counted: u64 = sessions.iter().flat_map(|lanes| &lanes.lanes).map(|lane| lane.charged).sum();
        assert_eq!(counted, pool.used(), "seed {seed}");
    }
    assert!(most <= RECEIVE_BYTES_MAX, "{most} bytes of all");
    assert!(most_of_one <= RECEIVE_SESSION_BYTES_MAX, "{most_of_one} bytes of one");
    assert!(most > RECEIVE_BYTES_MAX / 4, "the attack is one: {most}, {most_of_one}");
}

/// A small number as a session's index.
fn distance32(index: usize) -> u32 {
    u32::try_from(index).expect("small")
}
