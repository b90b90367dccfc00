//! Two sessions over a simulated link.

use super::link::{messages, of_lane, Link, Weather, FAIR};
use super::*;
use crate::base::limits::MESSAGE_BYTES_MAX;
use crate::base::limits::{DATAGRAM_BYTES_MAX, LANE_CREDIT_BYTES, RECEIVE_SESSION_BYTES_MAX};
use crate::wire::packet::TAG_BYTES;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[test]
fn every_message_arrives_once_whole_and_in_the_order_of_its_lane() {
    for seed in 0..24 {
        let pick = |choices: [u64; 4], shift: u64| choices[usize::try_from(seed / shift % 4).expect("small")];
        let weather = Weather {
            loss: u32::try_from(pick([0, 20, 100, 300], 1)).expect("small"),
            duplicates: u32::try_from(pick([0, 10, 100, 0], 2)).expect("small"),
            delay: Span::from_micros(pick([50, 1_000, 20_000, 100_000], 3)),
            jitter: Span::from_micros(pick([0, 500, 10_000, 50_000], 2)),
            ..FAIR
        };
        let mut link = Link::new(seed, weather);
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let there = messages(&mut random, 60, 40_000);
        let back = messages(&mut random, 20, 3_000);
        for (lane, message) in back.clone() {
            link.ends[1].send(lane, message).expect("there is room");
        }
        link.transfer(there.clone());
        link.run(Span::from_secs(19));
        for lane in Lane::ALL {
            assert_eq!(of_lane(&link.out[1], lane), of_lane(&there, lane), "seed {seed}, {weather:?}");
            assert_eq!(of_lane(&link.out[0], lane), of_lane(&back, lane), "seed {seed}, {weather:?}");
        }
        assert_eq!((link.out[1].len(), link.out[0].len()), (60, 20));
        assert_eq!((link.ends[0].queued(), link.ends[1].queued()), (0, 0), "seed {seed}, {weather:?}");
        assert_eq!((link.ends[0].sent.in_flight(), link.ends[1].sent.in_flight()), (0, 0));
        assert_eq!(link.ends[0].is_closed(), None);
    }
}

#[test]
fn throughput_by_link() {
    // The links of a home, in virtual time: goodput in thousandths of the link's rate, bytes on the wire for 100 bytes of
    // payload, the longest queue in ms. Change the table with care: it is what a change of loss detection or of the
    // controller does to a family's Wi-Fi.
    let mut table = String::new();
    let fair = |rate, trip: u64| Weather { rate, delay: Span::from_micros(trip * 500), ..FAIR };
    let slow = Weather { queue: Span::from_millis(100), ..fair(6_250, 100) };
    let rows = [
        ("1 Gbit/s 1 ms", Weather { queue: Span::from_millis(2), ..fair(125_000, 1) }, 48),
        ("100 Mbit/s 20 ms", fair(12_500, 20), 48),
        (".. 0.1% lost", Weather { loss: 1, ..fair(12_500, 20) }, 48),
        (".. 1% lost", Weather { loss: 10, ..fair(12_500, 20) }, 48),
        (".. 5% lost", Weather { loss: 50, ..fair(12_500, 20) }, 48),
        (".. 10% lost", Weather { loss: 100, ..fair(12_500, 20) }, 32),
        (".. 30% lost", Weather { loss: 300, ..fair(12_500, 20) }, 4),
        (".. buffer 100 ms", Weather { queue: Span::from_millis(100), ..fair(12_500, 20) }, 48),
        (".. buffer 2 ms", Weather { queue: Span::from_millis(2), ..fair(12_500, 20) }, 48),
        ("50 Mbit/s 100 ms 1%", Weather { loss: 10, ..slow }, 48),
        (
            "Wi-Fi 100 Mbit/s",
            Weather { loss: 5, early: 10, jitter: Span::from_millis(2), ..fair(12_500, 5) },
            48,
        ),
        ("1 Mbit/s 40 ms", Weather { queue: Span::from_millis(200), ..fair(125, 40) }, 2),
    ];
    for (name, weather, chunks) in rows {
        let mut link = Link::new(7, weather);
        let span = link.transfer(vec![(Lane::Bulk, vec![7; 256 << 10]); chunks]);
        let bytes = u64::try_from(chunks).expect("small") << 18;
        let share = bytes * 1_000_000 / span.as_micros() / weather.rate;
        let stats = link.ends[0].stats();
        let wire = (stats.sent_bytes + 28 * stats.sent_packets) * 100 / bytes;
        let queue = link.queue_max.as_millis();
        table += &format!(
            "{name:<20} {share:>3} {wire:>3} {queue:>3} {} {}\n",
            stats.lost_packets, stats.spurious_packets
        );
    }
    let expected = concat!(
        "1 Gbit/s 1 ms        925 110   2 498 0\n",
        "100 Mbit/s 20 ms     889 106  20 173 0\n",
        ".. 0.1% lost         891 106  20 176 0\n",
        ".. 1% lost           868 107  20 242 0\n",
        ".. 5% lost           834 112  20 614 0\n",
        ".. 10% lost          708 124  20 1038 0\n",
        ".. 30% lost           93 152   0 294 0\n",
        ".. buffer 100 ms     890 104  40 0 0\n",
        ".. buffer 2 ms       807 111   2 604 0\n",
        "50 Mbit/s 100 ms 1%  727 107 100 218 0\n",
        "Wi-Fi 100 Mbit/s     913 107  20 162 63\n",
        "1 Mbit/s 40 ms       846 125 210 31 0\n",
    );
    assert_eq!(table, expected, "\n{table}");
}

#[test]
fn a_lost_packet_of_one_lane_does_not_hold_up_another() {
    let mut link = Link::new(1, FAIR);
    link.ends[0].send(Lane::Bulk, vec![1; 3_000]).expect("room");
    let mut datagram = [0; DATAGRAM_BYTES_MAX];
    let _lost = link.ends[0].poll_transmit(link.now, &mut datagram).expect("a packet");
    link.ends[0].send(Lane::Control, vec![2; 10]).expect("room");
    link.run(Span::from_millis(11));
    assert_eq!(link.out[1], [(Lane::Control, vec![2; 10])]);
    link.run(Span::from_secs(1));
    assert_eq!(link.out[1].len(), 2);
}

#[test]
fn an_urgent_message_overtakes_what_is_queued() {
    let mut link = Link::new(1, Weather { rate: 1_000, ..FAIR });
    for _ in 0..8 {
        link.ends[0].send(Lane::Bulk, vec![1; 256 << 10]).expect("room");
    }
    link.run(Span::from_millis(500));
    link.ends[0].send(Lane::Interactive, vec![2; 1_000]).expect("room");
    link.run(Span::from_millis(200));
    assert!(link.out[1].contains(&(Lane::Interactive, vec![2; 1_000])));
    assert!(link.out[1].len() < 5, "most of the two megabytes is still queued");
}

#[test]
fn tail_loss_is_repaired_by_a_probe_within_a_few_round_trips() {
    for lost_packets in [1, 2, 5] {
        let mut link = Link::new(1, FAIR);
        link.transfer(vec![(Lane::Control, vec![0; 20_000])]);
        link.run(Span::from_secs(1));
        let window = link.ends[0].stats().congestion_window;
        link.ends[0].send(Lane::Control, vec![7; 8_000]).expect("room");
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        let mut packets = Vec::new();
        while let Some(length) = link.ends[0].poll_transmit(link.now, &mut datagram) {
            packets.push(datagram[..length].to_vec());
        }
        assert_eq!(packets.len(), 6);
        for packet in &packets[..6 - lost_packets] {
            link.carry(1, packet);
        }
        let start = link.now;
        while link.out[1].len() < 2 {
            assert!(link.step(start + Span::from_secs(1)), "never repaired");
        }
        // 20 ms of round trip, its variation, an acknowledgement delay at most, the repair, and perhaps losses it shows.
        assert!(link.now.since(start) <= Span::from_millis(130), "{:?}", link.now.since(start));
        if lost_packets == 1 {
            link.run(Span::from_secs(1));
            let stats = link.ends[0].stats();
            assert!(stats.lost_packets <= 1 && stats.congestion_window >= window, "{stats:?}");
        }
    }
}

#[test]
fn replayed_packets_change_nothing() {
    let mut link = Link::new(1, Weather { loss: 50, ..FAIR });
    link.records = true;
    let mut random = ChaCha8Rng::seed_from_u64(4);
    link.transfer(messages(&mut random, 20, 20_000));
    link.run(Span::from_secs(2));
    let before = (link.ends[1].stats(), link.out[1].len());
    let recorded = core::mem::take(&mut link.seen[1]);
    let (mut refused, mut late) = (0, 0);
    for datagram in &recorded {
        match link.deliver(1, &mut datagram.clone()) {
            Err(SessionError::Replayed) => refused += 1,
            // Lost on its way the first time: it arrives late, and its lane bytes are known by now.
            Ok(()) => late += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(link.ends[1].stats().replayed_packets, before.0.replayed_packets + refused);
    assert!(refused > 100 && late < refused / 5, "{refused} {late}");
    for datagram in &recorded {
        assert_eq!(link.deliver(1, &mut datagram.clone()), Err(SessionError::Replayed));
    }
    link.run(Span::from_secs(2));
    assert_eq!(link.out[1].len(), before.1);
    assert_eq!(link.ends[0].is_closed(), None);
}

#[test]
fn garbage_and_changed_packets_are_dropped_and_counted() {
    let mut link = Link::new(1, FAIR);
    let mut random = ChaCha8Rng::seed_from_u64(5);
    link.ends[0].send(Lane::Bulk, vec![1; 900]).expect("room");
    let mut datagram = [0; DATAGRAM_BYTES_MAX];
    let length = link.ends[0].poll_transmit(link.now, &mut datagram).expect("a packet");
    for round in 0..5_000_usize {
        let mut bytes = datagram[DATA_HEADER_BYTES..length].to_vec();
        match round % 3 {
            0 => random.fill_bytes(&mut bytes),
            1 => bytes[round % (length - DATA_HEADER_BYTES)] ^= 1,
            _ => bytes.truncate(round % (length - DATA_HEADER_BYTES)),
        }
        let number = if round % 2 == 0 { 0 } else { random.next_u64() };
        assert_eq!(link.ends[1].handle_data(link.now, header(number), &mut bytes), Err(SessionError::Forged));
    }
    assert_eq!(link.ends[1].stats().forged_packets, 5_000);
    assert_eq!(link.ends[1].stats().received_packets, 0);
    link.deliver(1, &mut datagram[..length]).expect("the true packet is still taken");
}

/// A payload, sealed as end 0 of a link would.
fn sealed(number: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    bytes.extend_from_slice(&[0; TAG_BYTES]);
    let keys = PacketKeys { send: [1; 32], receive: [2; 32] };
    Generations::new(Time::ZERO, &keys).seal(header(number), &mut bytes);
    bytes
}

/// The header of a packet from end 0, of the first generation.
fn header(number: u64) -> DataHeader {
    DataHeader { generation: 0, receiver: 20, number }
}

#[test]
fn authentic_nonsense_closes_the_session_and_never_panics() {
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let mut closed = 0;
    for _ in 0..400 {
        let mut link = Link::new(1, FAIR);
        for number in 0..60 {
            let mut payload = vec![0; usize::try_from(random.next_u32() % 80).expect("small")];
            random.fill_bytes(&mut payload);
            for byte in &mut payload {
                *byte = if random.next_u32() % 4 == 0 { *byte } else { *byte % 8 };
            }
            let _ = link.ends[1].handle_data(link.now, header(number), &mut sealed(number, &payload));
            link.drain();
        }
        closed += usize::from(link.ends[1].is_closed().is_some());
    }
    assert!(closed > 300, "{closed}");
}

#[test]
fn each_broken_rule_closes_the_session_with_its_code() {
    let lane = |lane: u8, offset: u64, data: &[u8]| {
        let length = u16::try_from(data.len()).expect("short").to_le_bytes();
        [&[3, lane][..], &length, &offset.to_le_bytes(), data].concat()
    };
    let cases = [
        (vec![9], CloseCode::BadFrame),
        (lane(4, 0, b"x"), CloseCode::BadFrame),
        (lane(0, 0, b""), CloseCode::BadFrame),
        (lane(0, 1 << 63, b"x"), CloseCode::BadFrame),
        (vec![2, 1, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], CloseCode::BadAck),
        (lane(0, LANE_CREDIT_BYTES[0], b"x"), CloseCode::FlowControl),
        (lane(0, 0, &[0, 0, 0, 0]), CloseCode::BadMessage),
        (
            lane(2, 0, &u32::try_from(MESSAGE_BYTES_MAX + 1).expect("fits").to_le_bytes()),
            CloseCode::BadMessage,
        ),
    ];
    for (payload, code) in cases {
        let mut link = Link::new(1, FAIR);
        link.ends[1].send(Lane::Control, vec![1; 100]).expect("room");
        let result = link.ends[1].handle_data(link.now, header(0), &mut sealed(0, &payload));
        assert_eq!(result, Err(SessionError::Violation(code)), "{payload:?}");
        assert_eq!(link.ends[1].is_closed(), Some(&CloseReason::Local(code)));
        assert_eq!(link.ends[1].send(Lane::Control, vec![1]), Err(SendError::Closed));
        link.run(Span::from_millis(30));
        let told = CloseReason::Peer { code: code.number(), text: code.to_string() };
        assert_eq!(link.ends[0].is_closed(), Some(&told), "the peer is told");
        assert_eq!((link.ends[0].deadline(), link.ends[1].deadline()), (None, None));
    }
}

#[test]
fn a_receiver_that_takes_nothing_bounds_what_it_holds() {
    for (length, loss) in [(200_000, 0), (200_000, 50), (1, 0)] {
        let mut link = Link::new(7, Weather { loss, ..FAIR });
        link.takes[1] = false;
        let mut sent = 0;
        for _ in 0..400 {
            for lane in Lane::ALL.into_iter().rev() {
                while link.ends[0].room(lane) >= length && sent < 300_000 {
                    link.ends[0].send(lane, vec![1; length]).expect("room");
                    sent += 1;
                }
            }
            link.run(Span::from_millis(20));
        }
        let bound = RECEIVE_SESSION_BYTES_MAX;
        assert!(link.held_max <= bound, "{} bytes held, {bound} allowed", link.held_max);
        assert!(link.held_max > 400_000 || length == 1, "the windows are used: {}", link.held_max);
        if length > 1 {
            link.takes[1] = true;
            link.run(Span::from_secs(60));
            assert_eq!(link.out[1].len(), sent, "what was held up goes on");
        }
    }
}

#[test]
fn a_session_survives_an_outage_of_half_a_minute() {
    let mut link = Link::new(1, FAIR);
    link.ends[0].send(Lane::Bulk, vec![1; 1 << 20]).expect("room");
    link.run(Span::from_millis(60));
    link.weather.loss = 1_000;
    link.run(Span::from_secs(30));
    link.weather.loss = 0;
    let start = link.now;
    while link.out[1].is_empty() {
        assert!(link.step(start + Span::from_secs(15)), "the probes go on often enough");
    }
}

#[test]
fn closing_tells_the_peer_and_is_repeated_to_one_that_goes_on() {
    let mut link = Link::new(1, FAIR);
    link.ends[1].close(CloseCode::Done);
    let mut datagram = [0; DATAGRAM_BYTES_MAX];
    assert!(link.ends[1].poll_transmit(link.now, &mut datagram).is_some(), "lost on its way");
    assert!(link.ends[1].poll_transmit(link.now, &mut datagram).is_none());
    link.ends[0].ping();
    link.run(Span::from_secs(1));
    assert!(matches!(link.ends[0].is_closed(), Some(CloseReason::Peer { code: 0, .. })));
    let mut answers = 0;
    for number in 100..120 {
        let result = link.ends[1].handle_data(link.now, header(number), &mut sealed(number, &[1]));
        assert_eq!(result, Err(SessionError::Closed));
        answers += usize::from(link.ends[1].poll_transmit(link.now, &mut datagram).is_some());
    }
    assert!(answers < 3, "not for ever");
}

#[test]
fn messages_that_cannot_be_sent_are_refused() {
    let mut link = Link::new(1, FAIR);
    let session = &mut link.ends[0];
    assert_eq!(session.send(Lane::Bulk, Vec::new()), Err(SendError::Empty));
    assert_eq!(session.send(Lane::Bulk, vec![0; MESSAGE_BYTES_MAX + 1]), Err(SendError::TooLong));
    while session.room(Lane::Bulk) == MESSAGE_BYTES_MAX {
        session.send(Lane::Bulk, vec![0; MESSAGE_BYTES_MAX]).expect("room");
    }
    let room = session.room(Lane::Bulk);
    assert_eq!(session.send(Lane::Bulk, vec![0; room + 1]), Err(SendError::Full(vec![0; room + 1])));
    session.send(Lane::Bulk, vec![0; room]).expect("exactly the room");
    link.run(Span::from_secs(30));
    assert_eq!((link.ends[0].queued(), link.ends[0].room(Lane::Bulk)), (0, MESSAGE_BYTES_MAX));
}

#[test]
fn a_stream_of_bulk_is_acknowledged_in_bunches() {
    let mut link = Link::new(1, Weather { delay: Span::from_micros(100), ..FAIR });
    link.transfer(vec![(Lane::Bulk, vec![1; 256 << 10]); 16]);
    let (data, acks) = (link.ends[0].stats().sent_packets, link.ends[1].stats().sent_packets);
    assert!(acks * 8 < data, "{acks} answers to {data} packets");
}

#[test]
fn a_deadline_that_was_served_lies_ahead_even_if_nothing_can_be_sent() {
    let mut link = Link::new(8, Weather { loss: 100, jitter: Span::from_millis(5), rate: 2_000, ..FAIR });
    let mut served = 0;
    for _ in 0..8 {
        link.ends[0].send(Lane::Bulk, vec![3; 200_000]).expect("room");
    }
    for _ in 0..4_000 {
        link.step(link.now + Span::from_secs(1));
        for session in &mut link.ends {
            if let Some(due) = session.deadline().filter(|due| *due <= link.now) {
                // The socket is full: the timeout is handled, and nothing is drained.
                session.handle_timeout(link.now);
                assert!(session.deadline().is_none_or(|next| next > link.now), "due at {due:?}");
                served += 1;
            }
        }
    }
    assert!(served > 20, "{served}");
}

#[test]
fn a_withdrawn_message_holds_up_nothing_and_never_arrives() {
    for seed in 0..30 {
        let loss = [0, 30, 200][usize::try_from(seed % 3).expect("small")];
        let jitter = Span::from_millis(seed % 4 * 5);
        let mut link = Link::new(seed, Weather { loss, jitter, rate: 2_000, ..FAIR });
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut queued = Vec::new();
        let (mut expected, mut withdrawn) = (Vec::new(), 0);
        for number in 0..120_u8 {
            let length = usize::try_from(1 + random.next_u32() % 60_000).expect("small");
            if link.ends[0].room(Lane::Bulk) >= length {
                let id = link.ends[0].send(Lane::Bulk, vec![number; length]).expect("room");
                queued.push((id, number));
            }
            link.run(Span::from_millis(u64::from(random.next_u32() % 20)));
            while !queued.is_empty() && random.next_u32() % 3 == 0 {
                let place = usize::try_from(random.next_u32()).expect("32 bits") % queued.len();
                let (id, number) = queued.remove(place);
                if link.ends[0].cancel(id) {
                    assert!(!link.ends[0].cancel(id), "it is withdrawn");
                    withdrawn += 1;
                } else {
                    expected.push(number);
                }
            }
        }
        expected.extend(queued.iter().map(|(_, number)| *number));
        expected.sort_unstable();
        link.run(Span::from_secs(200));
        let arrived: Vec<u8> = link.out[1].iter().map(|(_, message)| message[0]).collect();
        assert_eq!(arrived, expected, "seed {seed}");
        assert!(withdrawn > 10, "{withdrawn}");
        assert_eq!((link.ends[0].queued(), link.pools[1].used()), (0, 0), "seed {seed}");
        assert_eq!(link.ends[0].sent.in_flight(), 0);
    }
}

#[test]
fn what_is_behind_a_withdrawn_message_comes_at_once() {
    let mut link = Link::new(1, Weather { rate: 500, ..FAIR });
    let long = link.ends[0].send(Lane::Bulk, vec![1; 1_000_000]).expect("room");
    link.ends[0].send(Lane::Bulk, vec![2; 1_000]).expect("room");
    link.run(Span::from_millis(300));
    assert!(link.ends[0].cancel(long));
    link.run(Span::from_millis(100));
    assert_eq!(link.out[1], [(Lane::Bulk, vec![2; 1_000])], "a million bytes would take two seconds");
    assert!(link.ends[1].held() < 50_000 && link.pools[1].used() == 0);
}
