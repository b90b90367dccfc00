//! The layout of frames, and what is no frame.

use super::*;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// What `write` writes.
fn written(write: impl FnOnce(&mut FrameWriter<'_>)) -> Vec<u8> {
    let mut out = [0xee; 1_200];
    let mut writer = FrameWriter::new(&mut out);
    write(&mut writer);
    let length = writer.len();
    out[..length].to_vec()
}

#[test]
fn every_frame_is_golden() {
    // type 1
    assert_eq!(written(|writer| assert!(writer.ping())), [1]);
    // type 2, three ranges, delay, largest; 20 to 15; gap of 3; 11 to 11; gap of 1; 9 to 0
    let ack = written(|writer| assert!(writer.ack(0x0403_0201, &[(0, 9), (11, 11), (15, 20)])));
    let golden = [
        2, 3, 1, 2, 3, 4, 20, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, // 20..=15
        2, 0, 0, 0, 0, 0, 0, 0, // 11
        0, 0, 0, 0, 9, 0, 0, 0, // 9..=0
    ];
    assert_eq!(ack, golden);
    // type 3, lane 2, length, offset, data
    let lane = written(|writer| {
        let place = writer.lane(Lane::Bulk, 0x0807_0605_0403_0201, 3).expect("it fits");
        place.copy_from_slice(b"abc");
    });
    assert_eq!(lane, [3, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, b'a', b'b', b'c']);
    // type 4, lane 3, offset
    let credit = written(|writer| assert!(writer.lane_max(Lane::Background, 0x0807_0605_0403_0201)));
    assert_eq!(credit, [4, 3, 1, 2, 3, 4, 5, 6, 7, 8]);
    // type 5, code, length, text
    let close = written(|writer| assert!(writer.close(0x0201, "bye")));
    assert_eq!(close, [5, 1, 2, 3, b'b', b'y', b'e']);
    // type 6, lane 1, offset
    let want = written(|writer| assert!(writer.lane_want(Lane::Interactive, 0x0807_0605_0403_0201)));
    assert_eq!(want, [6, 1, 1, 2, 3, 4, 5, 6, 7, 8]);
    // type 7, lane 2, start, end
    let skip = written(|writer| assert!(writer.lane_skip(Lane::Bulk, 0x0807_0605_0403_0201, 0x090a)));
    assert_eq!(skip, [7, 2, 1, 2, 3, 4, 5, 6, 7, 8, 10, 9, 0, 0, 0, 0, 0, 0]);
    // type 8 and lane 2, lowest bits of the offset, data to the end; 4 more where it asks as a ping does
    for (ping, kind) in [(false, 10), (true, 14)] {
        let tail = written(|writer| {
            let place = writer.lane_tail(Lane::Bulk, 0x0807_0605_0403_0201, 3).expect("it fits");
            place.copy_from_slice(b"abc");
            assert!(writer.takes_ping() && writer.room() == 0);
            assert!(!ping || writer.ping());
        });
        assert_eq!(tail, [kind, 1, 2, 3, 4, b'a', b'b', b'c']);
        let frame = Frame::LaneTail { lane: Lane::Bulk, offset: 0x0403_0201, ping, data: b"abc" };
        assert_eq!(Frames::new(&tail).collect::<Vec<_>>(), [Ok(frame)]);
    }
    assert_eq!(Frames::new(&[8, 0, 0, 0, 0]).next(), Some(Err(FrameError::BadLaneData)));
    assert_eq!(Frames::new(&[8, 0, 0]).next(), Some(Err(FrameError::Truncated)));
}

#[test]
fn frames_are_read_as_they_were_written() {
    let payload = written(|writer| {
        writer.ack(7, &[(0, 9), (11, 11), (15, 20)]);
        writer.lane_max(Lane::Control, 99);
        writer.lane(Lane::Interactive, 5, 2).expect("it fits").copy_from_slice(b"hi");
        writer.ping();
        writer.lane_want(Lane::Bulk, 77);
        writer.lane_skip(Lane::Bulk, 5, 70);
        writer.close(3, "so long");
    });
    let mut padded = vec![0, 0];
    padded.extend(payload);
    padded.push(0);
    let frames: Vec<Frame<'_>> = Frames::new(&padded).map(|frame| frame.expect("well formed")).collect();
    let Frame::Ack(ack) = frames[0] else { panic!("the acknowledgement comes first") };
    assert_eq!((ack.delay_us, ack.largest), (7, 20));
    assert_eq!(ack.ranges().collect::<Vec<_>>(), [(15, 20), (11, 11), (0, 9)]);
    let rest = [
        Frame::LaneMax { lane: Lane::Control, offset: 99 },
        Frame::Lane { lane: Lane::Interactive, offset: 5, data: b"hi" },
        Frame::Ping,
        Frame::LaneWant { lane: Lane::Bulk, offset: 77 },
        Frame::LaneSkip { lane: Lane::Bulk, start: 5, end: 70 },
        Frame::Close { code: 3, text: "so long" },
    ];
    assert_eq!(frames[1..], rest);
}

#[test]
fn impossible_frames_are_refused_by_name() {
    let first = |bytes: &[u8]| Frames::new(bytes).next().expect("one frame").expect_err("impossible");
    assert_eq!(first(&[16]), FrameError::UnknownType(16));
    assert_eq!(first(&[4, 4, 0, 0, 0, 0, 0, 0, 0, 0]), FrameError::UnknownLane(4));
    assert_eq!(first(&[4, 3, 0, 0, 0, 0, 0, 0, 0]), FrameError::Truncated);
    assert_eq!(first(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), FrameError::BadLaneData);
    assert_eq!(first(&[3, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 1]), FrameError::BadLaneData);
    let skip = |start: u64, end: u64| [&[7, 0][..], &start.to_le_bytes(), &end.to_le_bytes()].concat();
    assert_eq!(first(&skip(5, 5)), FrameError::BadLaneData);
    assert_eq!(first(&skip(5, LANE_OFFSET_MAX + 1)), FrameError::BadLaneData);
    assert_eq!(first(&skip(5, 6)[..17]), FrameError::Truncated);
    assert_eq!(first(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]), FrameError::BadAck);
    assert_eq!(first(&[2, 1, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0]), FrameError::BadAck);
    // As many ranges as may be, and one more.
    let ack =
        |count: u8| [&[2, count, 0, 0, 0, 0, 0, 4][..], &vec![0; 10 + 8 * (usize::from(count) - 1)]].concat();
    assert!(matches!(Frames::new(&ack(32)).next(), Some(Ok(Frame::Ack(_)))));
    assert_eq!(first(&ack(33)), FrameError::BadAck);
    assert_eq!(first(&[5, 0, 0, 1, 0xff]), FrameError::BadText);
    let mut long = vec![5, 0, 0, 65];
    long.resize(4 + 65, b'a');
    assert_eq!(first(&long), FrameError::BadText);
}

#[test]
fn an_acknowledgement_keeps_its_newest_ranges_when_room_is_short() {
    let ranges: Vec<(u64, u64)> = (0..40).map(|index| (index * 10, index * 10 + 1)).collect();
    let whole = written(|writer| assert!(writer.ack(0, &ranges)));
    assert_eq!(whole.len(), ACK_BYTES_MIN + (ACK_RANGES_MAX - 1) * ACK_RANGE_BYTES);
    let mut out = [0; ACK_BYTES_MIN + ACK_RANGE_BYTES + 3];
    let mut writer = FrameWriter::new(&mut out);
    assert!(writer.ack(0, &ranges));
    let length = writer.len();
    let Some(Ok(Frame::Ack(ack))) = Frames::new(&out[..length]).next() else { panic!("no acknowledgement") };
    assert_eq!(ack.ranges().collect::<Vec<_>>(), [(390, 391), (380, 381)]);
    assert!(!FrameWriter::new(&mut out[..ACK_BYTES_MIN - 1]).ack(0, &ranges));
}

#[test]
fn a_long_text_is_cut_at_a_character() {
    let text = "\u{e9}".repeat(CLOSE_TEXT_BYTES_MAX);
    let mut payload = written(|writer| assert!(writer.close(0, &format!("x{text}"))));
    let Some(Ok(Frame::Close { text, .. })) = Frames::new(&payload).next() else { panic!("no close") };
    assert_eq!(text.len(), CLOSE_TEXT_BYTES_MAX - 1);
    payload.pop();
    assert_eq!(Frames::new(&payload).next(), Some(Err(FrameError::Truncated)));
}

#[test]
fn mutated_frames_never_panic() {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(2);
    let good = written(|writer| {
        writer.ack(7, &[(0, 9), (11, 11), (15, 20), (30, 31)]);
        writer.lane(Lane::Interactive, 5, 20).expect("it fits").fill(3);
        writer.lane_max(Lane::Control, 99);
        writer.lane_want(Lane::Bulk, 77);
        writer.lane_skip(Lane::Bulk, 5, 70);
        writer.close(3, "so long");
    });
    let (mut whole, mut refused) = (0, 0);
    for _ in 0..100_000 {
        let mut payload = good.clone();
        for _ in 0..random.next_u32() % 4 {
            let place = usize::try_from(random.next_u32()).expect("32 bits") % payload.len();
            payload[place] = random.next_u32().to_le_bytes()[0] % 36;
        }
        let length = usize::try_from(random.next_u32()).expect("32 bits") % (payload.len() + 1);
        for frame in Frames::new(&payload[..length]) {
            match frame {
                Ok(Frame::Ack(ack)) => {
                    whole += usize::from(ack.ranges().all(|(start, end)| start <= end && end <= ack.largest));
                }
                Ok(_) => {}
                Err(_) => refused += 1,
            }
        }
    }
    assert!(whole > 1_000 && refused > 1_000, "both ways are taken: {whole}, {refused}");
}
