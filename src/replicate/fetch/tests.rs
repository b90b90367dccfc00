//! Who is asked for what, and what happens when it does not come.

use super::*;
use crate::base::limits::{
    FETCH_CHUNKS_PER_PEER_MAX, FETCH_LATE_MIN, FETCH_PASSED_CHUNKS_MAX, FETCH_PROGRESS_BYTES_MIN,
};
use crate::base::units::Span;
use sha2::Digest;

fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

fn chunk(number: u8) -> ChunkId {
    ChunkId::from_bytes([number; 32])
}

fn drain(fetch: &mut Fetch, now: Time) -> Vec<Order> {
    std::iter::from_fn(|| fetch.poll(now)).collect()
}

/// A chunk that somebody waits for is asked of a peer.
fn ask(peer: u8, id: u8) -> Order {
    Order::Ask { peer: node(peer), ids: vec![chunk(id)], urgent: true }
}

/// A chunk that nobody waits for is asked of a peer.
fn ask_slow(peer: u8, id: u8) -> Order {
    Order::Ask { peer: node(peer), ids: vec![chunk(id)], urgent: false }
}

#[test]
fn a_chunk_that_one_peer_lacks_is_asked_of_the_next_and_then_fails() {
    let mut fetch = Fetch::default();
    fetch.peer_up(Time::ZERO, node(1));
    fetch.peer_up(Time::ZERO, node(2));
    fetch.want(chunk(9), Some(node(2)), false);
    assert_eq!(drain(&mut fetch, Time::ZERO), [ask_slow(2, 9)]);
    fetch.missing(&node(1), &[chunk(9)]);
    assert_eq!(drain(&mut fetch, Time::ZERO), [], "only the asked peer can say that it lacks it");
    fetch.missing(&node(2), &[chunk(9)]);
    assert_eq!(drain(&mut fetch, Time::ZERO), [ask_slow(1, 9)]);
    fetch.missing(&node(1), &[chunk(9)]);
    assert_eq!(drain(&mut fetch, Time::ZERO), [Order::Failed { id: chunk(9) }]);
    assert!(!fetch.is_wanted(&chunk(9)));
}

/// A disk that fails when it reads one chunk, and ends its node by that each time.
#[test]
fn what_ends_each_session_with_a_holder_before_anything_came_holds_nobody_up() {
    let mut fetch = Fetch::default();
    let at = |secs: u64| Time::ZERO + Span::from_secs(secs);
    fetch.want(chunk(9), None, true);
    for session in 0..2 {
        fetch.peer_up(at(session * 30), node(1));
        assert_eq!(drain(&mut fetch, at(session * 30)), [ask(1, 9)]);
        fetch.peer_down(at(session * 30 + 20), &node(1));
        assert_eq!(drain(&mut fetch, at(session * 30 + 20)), [], "it may come back");
    }
    // What comes from it counts as before.
    fetch.want(chunk(8), None, true);
    fetch.peer_up(at(60), node(1));
    assert_eq!(
        drain(&mut fetch, at(60)),
        [Order::Ask { peer: node(1), ids: vec![chunk(9), chunk(8)], urgent: true }]
    );
    assert!(fetch.arrived(at(61), &node(1), &chunk(8), 1_000));
    fetch.peer_down(at(62), &node(1));
    for session in 3..6 {
        assert_eq!(drain(&mut fetch, at(session * 30 - 10)), [], "it may come back");
        fetch.peer_up(at(session * 30), node(1));
        assert_eq!(drain(&mut fetch, at(session * 30)), [ask(1, 9)]);
        fetch.peer_down(at(session * 30 + 20), &node(1));
    }
    // Another one that has it is asked; if nobody has, who waits hears of it.
    fetch.peer_up(at(180), node(1));
    assert_eq!(drain(&mut fetch, at(180)), [Order::Failed { id: chunk(9) }]);
}

#[test]
fn who_sends_anything_but_what_was_asked_is_not_waited_for() {
    let mut fetch = Fetch::default();
    let at = |secs: u64| Time::ZERO + Span::from_secs(secs);
    (1..3).for_each(|number| fetch.peer_up(at(0), node(number)));
    fetch.want(chunk(9), Some(node(1)), true);
    assert_eq!(drain(&mut fetch, at(0)), [ask(1, 9)]);
    let (mut second, mut third) = (None, None);
    for step in 1..200_u64 {
        let now = at(step * 10);
        fetch.heard(now, &node(1), step * FETCH_PROGRESS_BYTES_MIN);
        fetch.heard(now, &node(2), step * FETCH_PROGRESS_BYTES_MIN);
        if step == 100 {
            fetch.peer_up(now, node(3));
        }
        fetch.handle_timeout(now);
        for order in drain(&mut fetch, now) {
            match order {
                Order::Ask { peer, .. } if peer == node(2) => second = Some(now),
                Order::Ask { peer, .. } if peer == node(3) => third = Some(now),
                _ => {}
            }
        }
    }
    assert!(
        second.is_some_and(|second| second < at(330)),
        "another one is asked though nobody knows how fast it is"
    );
    assert!(third.is_some_and(|third| third <= at(2_200)), "and then the next: {third:?}");
}

#[test]
fn whoever_had_it_not_is_asked_again_when_somebody_else_wants_it() {
    // A holder kept its share while the writer was killed; a restore began after another holder had got that chunk.
    let mut fetch = Fetch::default();
    fetch.peer_up(Time::ZERO, node(1));
    fetch.peer_up(Time::ZERO, node(2));
    fetch.want(chunk(9), Some(node(2)), false);
    drain(&mut fetch, Time::ZERO);
    fetch.missing(&node(2), &[chunk(9)]);
    assert_eq!(drain(&mut fetch, Time::ZERO), [ask_slow(1, 9)]);
    fetch.want(chunk(9), None, true);
    fetch.peer_down(Time::ZERO, &node(1));
    assert_eq!(drain(&mut fetch, Time::ZERO), [ask(2, 9)]);
}

#[test]
fn the_only_holder_may_restart() {
    let mut fetch = Fetch::default();
    fetch.peer_up(Time::ZERO, node(1));
    fetch.want(chunk(9), None, true);
    let asked = [ask(1, 9)];
    assert_eq!(drain(&mut fetch, Time::ZERO), asked);
    fetch.peer_down(Time::ZERO, &node(1));
    assert_eq!(drain(&mut fetch, Time::ZERO), []);
    let later = Time::ZERO + Span::from_secs(5);
    fetch.handle_timeout(later);
    fetch.peer_up(later, node(1));
    assert_eq!(drain(&mut fetch, later), asked);
    fetch.peer_down(later, &node(1));
    let due = fetch.deadline().unwrap();
    assert_eq!(due, later + HOLDER_PATIENCE);
    fetch.handle_timeout(due);
    assert_eq!(drain(&mut fetch, due), [Order::Failed { id: chunk(9) }]);
    assert_eq!(fetch.deadline(), None);
}

#[test]
fn what_nobody_has_waits_for_those_who_are_expected() {
    let mut fetch = Fetch::default();
    fetch.expect(Time::ZERO, node(2));
    fetch.peer_up(Time::ZERO, node(1));
    fetch.want(chunk(9), None, true);
    drain(&mut fetch, Time::ZERO);
    fetch.missing(&node(1), &[chunk(9)]);
    assert_eq!(drain(&mut fetch, Time::ZERO), []);
    let later = Time::ZERO + Span::from_secs(5);
    fetch.peer_up(later, node(2));
    assert_eq!(drain(&mut fetch, later), [ask(2, 9)]);
    fetch.missing(&node(2), &[chunk(9)]);
    assert_eq!(drain(&mut fetch, later), [Order::Failed { id: chunk(9) }]);
    // One that does not come is waited for once, and not for ever.
    fetch.expect(later, node(3));
    fetch.expect(later + Span::from_secs(30), node(3));
    fetch.want(chunk(8), None, true);
    drain(&mut fetch, later);
    fetch.missing(&node(1), &[chunk(8)]);
    drain(&mut fetch, later);
    fetch.missing(&node(2), &[chunk(8)]);
    assert_eq!(drain(&mut fetch, later), []);
    let due = fetch.deadline().unwrap();
    assert_eq!(due, later + HOLDER_PATIENCE);
    fetch.handle_timeout(due);
    assert_eq!(drain(&mut fetch, due), [Order::Failed { id: chunk(8) }]);
}

#[test]
fn what_somebody_waits_for_goes_first() {
    let mut fetch = Fetch::default();
    for number in 0..50 {
        fetch.want(chunk(number), None, false);
    }
    fetch.want(chunk(40), None, true);
    fetch.want(chunk(60), None, true);
    fetch.peer_up(Time::ZERO, node(1));
    let orders = drain(&mut fetch, Time::ZERO);
    let [Order::Ask { ids, urgent: true, .. }, Order::Ask { ids: slow, urgent: false, .. }] = &orders[..]
    else {
        panic!("{orders:?}")
    };
    assert_eq!((&ids[..], slow[0]), (&[chunk(40), chunk(60)][..], chunk(0)));
    assert_eq!(ids.len() + slow.len(), FETCH_CHUNKS_PER_PEER_MAX);
    // What nobody waits for takes no place from what somebody does.
    (100..120).for_each(|number| fetch.want(chunk(number), None, true));
    let orders = drain(&mut fetch, Time::ZERO);
    let [Order::Ask { ids, urgent: true, .. }] = &orders[..] else { panic!("{orders:?}") };
    assert_eq!(ids.len(), FETCH_CHUNKS_PER_PEER_MAX - 2);
    // What was asked for already is asked for anew when somebody begins to wait for it: it would come behind all else.
    fetch.missing(&node(1), &ids[..1]);
    drain(&mut fetch, Time::ZERO);
    fetch.want(chunk(3), None, true);
    assert_eq!(drain(&mut fetch, Time::ZERO), [Order::Cancel { peer: node(1), ids: vec![chunk(3)] }]);
    fetch.missing(&node(1), &[chunk(40), chunk(60)]);
    for number in 101..120 {
        fetch.arrived(Time::from_micros(5), &node(1), &chunk(number), 9);
    }
    assert!(drain(&mut fetch, Time::from_micros(5)).contains(&ask(1, 3)));
}

#[test]
fn windows_bound_what_is_on_its_way_and_every_chunk_comes_in_the_end() {
    let mut fetch = Fetch::default();
    fetch.peer_up(Time::ZERO, node(1));
    fetch.peer_up(Time::ZERO, node(2));
    for number in 0..100 {
        fetch.want(chunk(number), None, false);
    }
    let mut on_the_way: VecDeque<(NodeId, ChunkId)> = VecDeque::new();
    let mut got = 0;
    loop {
        for order in drain(&mut fetch, Time::ZERO) {
            let Order::Ask { peer, ids, .. } = order else { panic!("nobody may fail here") };
            on_the_way.extend(ids.into_iter().map(|id| (peer, id)));
        }
        assert!(on_the_way.len() <= FETCH_CHUNKS_MAX);
        for peer in [node(1), node(2)] {
            assert!(
                on_the_way.iter().filter(|(asked, _)| *asked == peer).count() <= FETCH_CHUNKS_PER_PEER_MAX
            );
        }
        let Some((peer, id)) = on_the_way.pop_front() else { break };
        assert!(fetch.arrived(Time::from_micros(5), &peer, &id, 1_000));
        got += 1;
    }
    assert_eq!(got, 100);
}

#[test]
fn silence_is_a_no_after_the_timeout() {
    let mut fetch = Fetch::default();
    fetch.peer_up(Time::ZERO, node(1));
    fetch.want(chunk(1), None, false);
    assert_eq!(drain(&mut fetch, Time::ZERO).len(), 1);
    let due = fetch.deadline().unwrap();
    fetch.handle_timeout(due);
    let cancelled = Order::Cancel { peer: node(1), ids: vec![chunk(1)] };
    assert_eq!(drain(&mut fetch, due), [cancelled, Order::Failed { id: chunk(1) }]);
    assert_eq!(fetch.deadline(), None);
}

#[test]
fn a_slow_peer_may_take_as_long_as_its_bytes_go_on_arriving() {
    let mut fetch = Fetch::default();
    fetch.peer_up(Time::ZERO, node(1));
    for number in 0..8 {
        fetch.want(chunk(number), None, false);
    }
    let mut now = Time::ZERO;
    assert_eq!(drain(&mut fetch, now).len(), 1);
    // A line of 100 kbit/s: the eight chunks take three minutes.
    for (number, bytes) in (0..8).zip((1..).map(|chunks| chunks * 256 * 1024)) {
        now = now + Span::from_secs(19);
        fetch.heard(now, &node(1), bytes);
        fetch.handle_timeout(now);
        assert_eq!(drain(&mut fetch, now), [], "nothing is given up");
        now = now + Span::from_secs(2);
        assert!(fetch.arrived(now, &node(1), &chunk(number), 1_000));
    }
    assert_eq!(fetch.deadline(), None);
}

#[test]
fn signs_of_life_are_no_chunks() {
    let mut fetch = Fetch::default();
    fetch.peer_up(Time::ZERO, node(1));
    fetch.want(chunk(1), None, false);
    drain(&mut fetch, Time::ZERO);
    let due = fetch.deadline().unwrap();
    fetch.heard(due, &node(1), FETCH_PROGRESS_BYTES_MIN - 1);
    fetch.handle_timeout(due);
    assert_eq!(drain(&mut fetch, due).last(), Some(&Order::Failed { id: chunk(1) }));
}

#[test]
fn a_chunk_that_a_busy_peer_passes_over_is_asked_of_another() {
    let mut fetch = Fetch::default();
    fetch.peer_up(Time::ZERO, node(1));
    fetch.want(chunk(255), None, false);
    drain(&mut fetch, Time::ZERO);
    fetch.peer_up(Time::ZERO, node(2));
    for number in 0..=u8::try_from(FETCH_PASSED_CHUNKS_MAX).unwrap() {
        fetch.want(chunk(number), Some(node(1)), false);
        let asked = drain(&mut fetch, Time::ZERO);
        assert_eq!(asked, [ask_slow(1, number)]);
        assert!(fetch.arrived(Time::ZERO, &node(1), &chunk(number), 1_000));
    }
    let cancelled = Order::Cancel { peer: node(1), ids: vec![chunk(255)] };
    let asked = ask_slow(2, 255);
    assert_eq!(drain(&mut fetch, Time::ZERO), [cancelled, asked]);
    assert!(fetch.arrived(Time::ZERO, &node(1), &chunk(255), 1_000), "it came all the same");
    let cancelled = Order::Cancel { peer: node(2), ids: vec![chunk(255)] };
    assert_eq!(drain(&mut fetch, Time::ZERO), [cancelled], "and need not come twice");
}

/// Peers that send what they are asked for one after the other, each with its own speed: how long each chunk took to be here
/// from the beginning, if at most `ahead` are wanted at once, in order.
struct Line {
    /// Bytes a second.
    rate: u64,
    /// What is to be sent, oldest first.
    queue: VecDeque<ChunkId>,
    /// When what is being sent will be there.
    due: Option<Time>,
}

/// Plays a fetch of so many chunks; when each came, in the order of the chunks.
fn play(rates: &[u64], chunks: usize, ahead: usize, urgent: bool) -> Vec<Time> {
    let trip = Span::from_millis(2);
    let bytes = |id: &ChunkId| 100_000 + u64::from(id.as_bytes()[1]) * 1_200;
    let numbered = |number: usize| {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&u16::try_from(number).unwrap().to_be_bytes());
        ChunkId::from_bytes(id)
    };
    let mut fetch = Fetch::default();
    let mut lines: BTreeMap<NodeId, Line> = BTreeMap::new();
    for (number, rate) in rates.iter().enumerate() {
        let peer = node(u8::try_from(number).unwrap());
        fetch.peer_up(Time::ZERO, peer);
        lines.insert(peer, Line { rate: *rate, queue: VecDeque::new(), due: None });
    }
    let mut came: BTreeMap<ChunkId, Time> = BTreeMap::new();
    let (mut now, mut next) = (Time::ZERO, 0);
    while came.len() < chunks {
        // A window over the order, as a restore has it; or over the number, as a share has it.
        let first = if urgent {
            (0..next).take_while(|number| came.contains_key(&numbered(*number))).count()
        } else {
            came.len()
        };
        while next < chunks && next < first + ahead {
            fetch.want(numbered(next), None, urgent);
            next += 1;
        }
        while let Some(order) = fetch.poll(now) {
            match order {
                Order::Ask { peer, ids, .. } => lines.get_mut(&peer).unwrap().queue.extend(ids),
                Order::Cancel { peer, ids } => {
                    let line = lines.get_mut(&peer).unwrap();
                    if line.queue.front().is_some_and(|first| ids.contains(first)) {
                        line.due = None;
                    }
                    line.queue.retain(|id| !ids.contains(id));
                }
                Order::Failed { .. } => panic!("all have it"),
            }
        }
        for line in lines.values_mut() {
            if let (None, Some(id)) = (line.due, line.queue.front()) {
                line.due = Some(now + trip + Span::from_micros(bytes(id) * 1_000_000 / line.rate));
            }
        }
        let due = lines
            .values()
            .filter_map(|line| line.due)
            .chain(fetch.deadline().filter(|due| *due > now))
            .min()
            .unwrap();
        now = due.max(now);
        fetch.handle_timeout(now);
        let there = lines.iter_mut().filter(|(_, line)| line.due.is_some_and(|due| due <= now));
        let there: Vec<(NodeId, ChunkId)> = there
            .map(|(peer, line)| {
                // What follows is on the line already: only the first waits for a round trip.
                line.due =
                    line.queue.get(1).map(|id| now + Span::from_micros(bytes(id) * 1_000_000 / line.rate));
                (*peer, line.queue.pop_front().unwrap())
            })
            .collect();
        for (peer, id) in there {
            fetch.arrived(now, &peer, &id, bytes(&id));
            came.entry(id).or_insert(now);
        }
    }
    (0..chunks).map(|number| came[&numbered(number)]).collect()
}

/// Holders at 100, 50 and 1 Mbit/s, in bytes a second.
const UNEVEN: [u64; 3] = [12_500_000, 6_250_000, 125_000];

/// What came, in bytes a second, and how long the last chunk came after nine tenths of all.
fn speed(came: &[Time]) -> (u64, Span) {
    let bytes: u64 =
        (0..came.len()).map(|number| 100_000 + u64::try_from(number % 256).unwrap() * 1_200).sum();
    let last = *came.iter().max().unwrap();
    let mut sorted = came.to_vec();
    sorted.sort();
    (bytes * 1_000_000 / last.as_micros(), last.since(sorted[sorted.len() * 9 / 10]))
}

#[test]
fn three_holders_send_together_what_each_can_and_the_slowest_does_not_hold_up_the_end() {
    let sum: u64 = UNEVEN.iter().sum();
    for (urgent, ahead) in [(false, 16), (true, 16), (true, 8)] {
        let (rate, tail) = speed(&play(&UNEVEN, 400, ahead, urgent));
        println!(
            "urgent {urgent}, {ahead} ahead: {rate} bytes a second of {sum}, the last tenth took {tail:?}"
        );
        assert!(rate * 10 >= sum * 9, "{rate} of {sum} with {ahead} ahead, urgent: {urgent}");
        // A tenth of all takes 0.55 s at full speed.
        assert!(tail < Span::from_millis(900), "{tail:?}");
    }
}

#[test]
fn three_holders_are_faster_than_the_fastest_alone() {
    let (alone, _) = speed(&play(&UNEVEN[..1], 300, 8, true));
    let (three, _) = speed(&play(&UNEVEN, 300, 8, true));
    let (equal, _) = speed(&play(&[6_000_000; 3], 300, 8, true));
    println!("alone {alone}, uneven three {three}, equal three {equal}");
    assert!(three * 10 > alone * 13 && equal > 15_000_000);
}

#[test]
fn a_holder_that_becomes_slow_is_overtaken_and_told() {
    let mut fetch = Fetch::default();
    let mut now = Time::ZERO;
    fetch.peer_up(now, node(1));
    fetch.peer_up(now, node(2));
    // Both are as fast as one another: 1 MB/s.
    for round in 0..8 {
        fetch.want(chunk(round), Some(node(1 + round % 2)), true);
        drain(&mut fetch, now);
        now = now + Span::from_millis(100);
        fetch.arrived(now, &node(1 + round % 2), &chunk(round), 100_000);
    }
    fetch.want(chunk(100), Some(node(1)), true);
    assert_eq!(drain(&mut fetch, now), [ask(1, 100)]);
    let late = fetch.deadline().unwrap();
    assert!(late.since(now) > FETCH_LATE_MIN && late.since(now) < Span::from_secs(2));
    fetch.handle_timeout(late);
    assert_eq!(drain(&mut fetch, late), [ask(2, 100)]);
    let there = late + Span::from_millis(100);
    assert!(fetch.arrived(there, &node(2), &chunk(100), 100_000));
    assert_eq!(drain(&mut fetch, there), [Order::Cancel { peer: node(1), ids: vec![chunk(100)] }]);
    assert_eq!((fetch.asked, fetch.on_way.len(), fetch.deadline()), (Counts::default(), 0, None));
    fetch.want(chunk(101), None, true);
    assert_eq!(drain(&mut fetch, there), [ask(2, 101)], "the faster one");
}

#[test]
fn of_two_that_were_asked_one_may_lack_it_or_go() {
    for goes in [false, true] {
        let mut fetch = Fetch::default();
        let now = Time::ZERO;
        fetch.peer_up(now, node(1));
        fetch.peer_up(now, node(2));
        fetch.want(chunk(1), Some(node(2)), true);
        drain(&mut fetch, now);
        let now = now + Span::from_millis(10);
        fetch.arrived(now, &node(2), &chunk(1), 100_000);
        fetch.want(chunk(2), Some(node(1)), true);
        drain(&mut fetch, now);
        let late = fetch.deadline().unwrap();
        assert_eq!(drain(&mut fetch, late), [ask(2, 2)]);
        if goes {
            fetch.peer_down(late, &node(1));
        } else {
            fetch.missing(&node(1), &[chunk(2)]);
        }
        assert_eq!(drain(&mut fetch, late), [], "it comes from the second");
        assert!(fetch.arrived(late, &node(2), &chunk(2), 100_000));
        assert_eq!(fetch.asked, Counts::default());
    }
}

#[test]
fn readers_that_know_no_speeds_do_not_all_ask_the_same_holder_first() {
    let holder = |number: u8| NodeId::from_bytes(sha2::Sha256::digest([number]).into());
    let mut firsts: BTreeMap<NodeId, usize> = BTreeMap::new();
    for reader in 100..140 {
        let mut fetch = Fetch::default();
        fetch.asks_for(&holder(reader));
        (0..3).for_each(|number| fetch.peer_up(Time::ZERO, holder(number)));
        fetch.want(chunk(9), None, true);
        let orders = drain(&mut fetch, Time::ZERO);
        let [Order::Ask { peer, .. }] = &orders[..] else { panic!("{orders:?}") };
        *firsts.entry(*peer).or_default() += 1;
    }
    assert_eq!(firsts.len(), 3, "{firsts:?}");
    assert!(firsts.values().all(|count| *count >= 5), "of 40 readers: {firsts:?}");
}
