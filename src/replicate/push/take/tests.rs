//! What is taken of what is offered, and what a peer cannot bring about.

use super::*;
use crate::base::units::Span;

const ROOM: Option<u64> = Some(1 << 40);

fn node(number: u8) -> NodeId {
    NodeId::from_bytes([number; 32])
}

fn chunk(number: u16, bytes: u32) -> Offered {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&number.to_be_bytes());
    Offered { id: ChunkId::from_bytes(id), bytes }
}

/// Carries looks out for a store that has nothing, and gives back all other orders.
fn drain(take: &mut Take, now: Time, room: Option<u64>) -> Vec<Order> {
    let mut orders = Vec::new();
    loop {
        match take.poll() {
            Some(Order::Look(peer, ids)) => take.looked(&peer, Some(&vec![false; ids.len()]), |_| false),
            Some(order) => orders.push(order),
            None => {
                take.pump(now, room, |_| false);
                match take.poll() {
                    Some(order) => orders.push(order),
                    None => return orders,
                }
            }
        }
    }
}

/// What is asked for.
fn wanted(orders: &[Order]) -> Vec<ChunkId> {
    let of = |order: &Order| if let Order::Want(_, ids) = order { ids.clone() } else { Vec::new() };
    orders.iter().flat_map(of).collect()
}

/// What is declined.
fn declined(orders: &[Order]) -> usize {
    orders.iter().map(|order| if let Order::Decline(_, ids) = order { ids.len() } else { 0 }).sum()
}

#[test]
fn chunks_are_asked_for_as_their_bytes_fit_and_told_when_they_are_synced() {
    let mut take = Take::default();
    take.peer_up(node(1), true);
    let chunks: Vec<Offered> = (0..60).map(|number| chunk(number, 100_000)).collect();
    take.offered(&node(1), chunks.clone()).unwrap();
    let first = wanted(&drain(&mut take, Time::ZERO, ROOM));
    assert_eq!(first.len(), 20, "two megabytes of them");
    for id in &first {
        assert!(take.expects(&node(1), id));
        take.came(Time::ZERO, &node(1), id, 100_000).unwrap();
    }
    let second = wanted(&drain(&mut take, Time::ZERO, ROOM));
    assert_eq!(second.len(), 20);
    for id in &first {
        take.put(&node(1), *id, 100_000, true);
    }
    assert_eq!(drain(&mut take, Time::ZERO, ROOM), [Order::Stored(node(1), first)]);
    assert_eq!(take.unlisted_bytes(), 2_000_000);
}

#[test]
fn small_chunks_cost_no_round_trip_each() {
    let mut take = Take::default();
    take.peer_up(node(1), true);
    for lot in 0..4 {
        let lot = (0..64).map(|number| chunk(lot * 64 + number, 8_000));
        take.offered(&node(1), lot.collect()).unwrap();
    }
    assert_eq!(wanted(&drain(&mut take, Time::ZERO, ROOM)).len(), PUSH_OFFERED_MAX);
}

#[test]
fn what_is_here_or_on_its_way_or_offered_by_a_store_node_is_declined() {
    let mut take = Take::default();
    take.peer_up(node(1), true);
    take.peer_up(node(2), false);
    take.peer_up(node(3), true);
    take.offered(&node(2), vec![chunk(1, 5)]).unwrap();
    assert_eq!(take.poll(), Some(Order::Decline(node(2), vec![chunk(1, 5).id])));
    let offer = vec![chunk(1, 5), chunk(2, 5), chunk(3, 5)];
    take.offered(&node(1), offer.clone()).unwrap();
    assert!(matches!(take.poll(), Some(Order::Look(..))));
    take.looked(&node(1), Some(&[true, false, false]), |id| *id == chunk(2, 5).id);
    assert_eq!(take.poll(), Some(Order::Decline(node(1), vec![offer[0].id, offer[1].id])));
    assert_eq!(drain(&mut take, Time::ZERO, ROOM), [Order::Want(node(1), vec![offer[2].id])]);
    take.offered(&node(3), vec![chunk(3, 5)]).unwrap();
    assert_eq!(drain(&mut take, Time::ZERO, ROOM), [Order::Decline(node(3), vec![offer[2].id])]);
    take.offered(&node(3), vec![chunk(4, 5)]).unwrap();
    assert!(matches!(take.poll(), Some(Order::Look(..))));
    take.looked(&node(3), None, |_| false);
    assert_eq!(declined(&drain(&mut take, Time::ZERO, ROOM)), 1, "the store did not answer");
}

#[test]
fn endless_offers_break_the_rule_and_are_not_kept() {
    let mut take = Take::default();
    take.peer_up(node(1), true);
    let lot = |lot: u16| (0..64).map(|number| chunk(lot * 64 + number, 1_000_000)).collect::<Vec<_>>();
    for number in 0..4 {
        assert_eq!(take.offered(&node(1), lot(number)), Ok(()));
    }
    drain(&mut take, Time::ZERO, ROOM);
    for number in 4..1_000 {
        assert_eq!(take.offered(&node(1), lot(number)), Err(Fault::TooMany));
    }
    assert_eq!(take.peers[&node(1)].open_count(), PUSH_OFFERED_MAX);
    assert_eq!(take.offered(&node(1), vec![chunk(1, 0)]), Err(Fault::Length));
    assert_eq!(take.offered(&node(1), vec![chunk(1, 2_000_000)]), Err(Fault::Length));
}

#[test]
fn a_member_fills_no_more_than_its_quota_and_half_of_the_room() {
    let mut take = Take::default();
    take.peer_up(node(1), true);
    let room = 10_000_000_u64;
    let mut stored = 0;
    for number in 0..100 {
        take.offered(&node(1), vec![chunk(number, 200_000)]).unwrap();
        for id in wanted(&drain(&mut take, Time::ZERO, Some(room - stored))) {
            take.came(Time::ZERO, &node(1), &id, 200_000).unwrap();
            take.put(&node(1), id, 200_000, true);
            stored += 200_000;
        }
    }
    assert_eq!(stored, room / 2);
    take.peer_down(&node(1));
    take.peer_up(node(1), true);
    take.offered(&node(1), vec![chunk(200, 200_000)]).unwrap();
    assert_eq!(
        declined(&drain(&mut take, Time::ZERO, Some(room - stored))),
        1,
        "a new session is no new quota"
    );
    take.listed(&node(1));
    take.offered(&node(1), vec![chunk(201, 200_000)]).unwrap();
    assert_eq!(wanted(&drain(&mut take, Time::ZERO, Some(room - stored))).len(), 1);
    take.offered(&node(1), vec![chunk(202, 200_000)]).unwrap();
    assert_eq!(drain(&mut take, Time::ZERO, None), [], "how much room there is, is not known yet");
    assert_eq!(declined(&drain(&mut take, Time::ZERO, Some(0))), 1);
}

#[test]
fn a_chunk_of_another_length_than_offered_is_not_put() {
    let mut take = Take::default();
    take.peer_up(node(1), true);
    take.offered(&node(1), vec![chunk(1, 500), chunk(2, 500)]).unwrap();
    drain(&mut take, Time::ZERO, ROOM);
    assert_eq!(take.came(Time::ZERO, &node(1), &chunk(1, 0).id, 900_000), Err(Fault::Length));
    assert_eq!(take.came(Time::ZERO, &node(1), &chunk(3, 0).id, 500), Err(Fault::NotOffered));
    take.wrong(&node(1), &chunk(2, 0).id);
    assert_eq!(take.came(Time::ZERO, &node(1), &chunk(2, 0).id, 500), Err(Fault::NotOffered));
    assert_eq!((take.wanted_bytes, take.unsynced_bytes, take.on_way.len()), (0, 0, 0));
}

#[test]
fn who_never_sends_what_it_offered_is_not_asked_again() {
    let mut take = Take::default();
    take.peer_up(node(1), true);
    take.offered(&node(1), (0..64).map(|number| chunk(number, 100_000)).collect()).unwrap();
    let asked = wanted(&drain(&mut take, Time::ZERO, ROOM));
    let due = take.deadline().unwrap();
    take.handle_timeout(due);
    let orders = drain(&mut take, due, ROOM);
    assert_eq!(orders[0], Order::Cancel(node(1), asked.clone()));
    assert_eq!((declined(&orders), wanted(&orders), take.deadline()), (64, vec![], None));
    assert_eq!(take.wanted_bytes, 0);
    take.offered(&node(1), vec![chunk(99, 5)]).unwrap();
    assert_eq!(drain(&mut take, due, ROOM), [Order::Decline(node(1), vec![chunk(99, 5).id])]);
}

#[test]
fn a_share_takes_over_what_is_on_its_way() {
    let mut take = Take::default();
    take.peer_up(node(1), true);
    take.offered(&node(1), vec![chunk(1, 500)]).unwrap();
    drain(&mut take, Time::ZERO, ROOM);
    assert_eq!(take.take_over(&chunk(1, 0).id), Some(node(1)));
    assert_eq!(take.take_over(&chunk(1, 0).id), None);
    assert_eq!(drain(&mut take, Time::ZERO, ROOM), [Order::Decline(node(1), vec![chunk(1, 0).id])]);
}

#[test]
fn collection_waits_for_what_was_pushed_lately_but_not_for_ever() {
    let mut take = Take::default();
    take.peer_up(node(1), true);
    let mut now = Time::ZERO;
    let push = |take: &mut Take, now: Time, number: u16| {
        take.offered(&node(1), vec![chunk(number, 500)]).unwrap();
        drain(take, now, ROOM);
        take.came(now, &node(1), &chunk(number, 0).id, 500).unwrap();
        take.put(&node(1), chunk(number, 0).id, 500, true);
        drain(take, now, ROOM);
    };
    assert!(!take.holds(now));
    push(&mut take, now, 1);
    assert!(take.holds(now));
    take.listed(&node(1));
    assert!(!take.holds(now) && take.unlisted_bytes() == 0, "a snapshot lists it now");
    push(&mut take, now, 2);
    now = now + PUSH_HOLD;
    assert!(!take.holds(now) && take.unlisted_bytes() == 500, "the quota is not given back for waiting");
    take.listed(&node(1));
    let begun = now;
    for day in 0.. {
        push(&mut take, now, 10 + day);
        if now.since(begun) == PUSH_HOLD_MAX {
            break;
        }
        assert!(take.holds(now), "day {day}");
        now = now + Span::from_secs(86_400);
    }
    assert!(!take.holds(now));
    push(&mut take, now, 100);
    assert!(!take.holds(now), "pushing on does not begin it anew");
    take.listed(&node(1));
    push(&mut take, now, 101);
    assert!(take.holds(now));
}

#[test]
fn what_was_fetched_before_its_turn_came_is_not_asked_for_as_an_offer() {
    let mut take = Take::default();
    take.peer_up(node(1), true);
    let chunks: Vec<Offered> = (0..60).map(|number| chunk(number, 100_000)).collect();
    take.offered(&node(1), chunks.clone()).unwrap();
    let first = wanted(&drain(&mut take, Time::ZERO, ROOM));
    assert!(first.contains(&chunks[0].id) && !first.contains(&chunks[59].id));
    // One is on its way, another one only lacking.
    assert_eq!(take.take_over(&chunks[0].id), Some(node(1)));
    assert_eq!(take.take_over(&chunks[59].id), None);
    let mut later = drain(&mut take, Time::ZERO, ROOM);
    assert_eq!(declined(&later), 2, "the peer is told of both");
    for _ in 0..3 {
        for id in wanted(&later) {
            assert_ne!(id, chunks[59].id);
            take.came(Time::ZERO, &node(1), &id, 100_000).unwrap();
            take.put(&node(1), id, 100_000, true);
        }
        for id in first.iter().filter(|id| take.expects(&node(1), id)).copied().collect::<Vec<_>>() {
            take.came(Time::ZERO, &node(1), &id, 100_000).unwrap();
            take.put(&node(1), id, 100_000, true);
        }
        later = drain(&mut take, Time::ZERO, ROOM);
    }
    assert_eq!(take.taken().0, 58);
}
