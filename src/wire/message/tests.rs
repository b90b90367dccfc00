//! What messages are, byte for byte, and what is refused.

use super::*;
use crate::base::ids::{hex, EntryHash, FolderId, NodeId};
use crate::base::limits::{RANGE_IDS_MAX, RANGE_PARTS_MAX};
use crate::base::ranges::IdRange;
use proptest::prelude::*;
use range::Says;

/// A feed that is told from others.
const FEED: FeedId = FeedId { node: NodeId::from_bytes([0x11; 32]), random: [0x22; 8] };

/// One of each message.
fn samples() -> Vec<Message> {
    let ids = vec![ChunkId::from_bytes([0x33; 32]), ChunkId::from_bytes([0x44; 32])];
    let hash = EntryHash::from_bytes([0x55; 32]);
    let addresses = vec!["10.1.2.3:7117".parse().unwrap(), "[fd00::1]:80".parse().unwrap()];
    let about = About::Node(NodeId::from_bytes([0x66; 32]));
    vec![
        Message::Hello { version: "0.1.0".to_owned(), free_bytes: 300 },
        Message::FeedHave { heads: vec![FeedHead { feed: FEED, length: 200, hash }], more: true },
        Message::FeedWant { feed: FEED, from: 5 },
        Message::FeedEntries { feed: FEED, from: 5, entries: vec![vec![1, 2, 3], vec![4]] },
        Message::Offer {
            chunks: vec![Offered { id: ids[0], bytes: 9 }, Offered { id: ids[1], bytes: 300_000 }],
        },
        Message::Want { ids: ids.clone() },
        Message::Stored { ids: ids.clone() },
        Message::Get { ids: ids.clone() },
        Message::Chunk { id: ids[0], bytes: vec![7, 8, 9] },
        Message::Missing { ids: ids.clone() },
        Message::Status { snapshot: SnapshotId::from_bytes([0x77; 32]), held: 1, total: 128 },
        Message::Who { about, forwarded: false },
        Message::Known {
            about,
            sightings: vec![Sighting { node: NodeId::from_bytes([0x88; 32]), addresses }],
        },
        Message::Cancel { ids: ids.clone() },
        Message::Checked(Checked {
            writer: NodeId::from_bytes([0x66; 32]),
            folder: FolderId::from_bytes([0x99; 16]),
            number: 128,
            every_us: 1,
            age_us: 300,
            signature: [0xaa; 64],
        }),
        Message::Digest { exchange: [0x99; 16], groups: Vec::new(), count: 300, fingerprint: [0xaa; 8] },
        Message::Range { exchange: [0x99; 16], standing: Standing::Cut, parts: parts(&ids) },
        Message::Challenge { nonce: [0xdd; 32], id: ids[0], offset: 300, length: 16_384 },
        Message::Proof { nonce: [0xdd; 32], answer: Some([0xee; 32]) },
        Message::Proof { nonce: [0xdd; 32], answer: None },
        Message::Decline { ids: ids.clone() },
        Message::Leaving(Leaving {
            number: 9,
            feed: FEED,
            length: 200,
            groups: Vec::new(),
            snapshots: vec![SnapshotId::from_bytes([0x77; 32])],
        }),
        Message::Confirmed(Confirmed { number: 9, groups: vec![0x0f; 512] }),
    ]
}

/// One of each kind of part.
fn parts(ids: &[ChunkId]) -> Vec<Part> {
    let range = |level, number| IdRange::new(level, number).unwrap();
    vec![
        Part { range: IdRange::ALL, says: Says::Children(Box::new([[0xbb; 8]; 64])) },
        Part { range: range(2, 0xabc), says: Says::Shorts(vec![[0xcc; 8]]) },
        Part { range: range(9, 5), says: Says::Ids(ids.to_vec()) },
    ]
}

#[test]
fn messages_are_golden() {
    let (one, two, three, four) = ("11".repeat(32), "22".repeat(8), "33".repeat(32), "44".repeat(32));
    let golden = [
        // version 1, kind 1, text of 5 bytes, 300 as a varint
        "0101".to_owned() + "05302e312e30" + "ac02",
        // one head: node, random, length 200, hash; more
        format!("0102 01 {one} {two} c801 {} 01", "55".repeat(32)),
        format!("0103 {one} {two} 05"),
        // two entries of 3 bytes and 1
        format!("0104 {one} {two} 05 02 03010203 0104"),
        // two chunks, of 9 and of 300,000 bytes
        format!("0105 02 {three} 09 {four} e0a712"),
        format!("0106 02 {three} {four}"),
        format!("0107 02 {three} {four}"),
        format!("0108 02 {three} {four}"),
        // id, then bytes up to the end
        format!("0109 {three} 070809"),
        format!("010a 02 {three} {four}"),
        format!("010b {} 01 8001", "77".repeat(32)),
        // about a node (0), not forwarded
        format!("010c 00 {} 00", "66".repeat(32)),
        // one node with two addresses: IPv4 (0) and IPv6 (1), ports as varints
        format!(
            "010d 00 {} 01 {} 02 00 0a010203 cd37 01 fd{}01 50",
            "66".repeat(32),
            "88".repeat(32),
            "00".repeat(14)
        ),
        format!("0112 02 {three} {four}"),
        // writer, folder, number 128, every 1, age 300, signature
        format!("0115 {} {} 8001 01 ac02 {}", "66".repeat(32), "99".repeat(16), "aa".repeat(64)),
        // exchange, all groups (no bitmap), 300 chunks, fingerprint
        format!("010e {} 00 ac02 {}", "99".repeat(16), "aa".repeat(8)),
        // exchange, cut (1), three parts: level, number, form; 64 fingerprints, one short id, two ids
        format!("010f {} 01 03", "99".repeat(16))
            + &format!("00 00 00 {} 02 bc15 01 01 {}", "bb".repeat(512), "cc".repeat(8))
            + &format!("09 05 02 02 {three} {four}"),
        // nonce, chunk, offset 300, length 16,384
        format!("0110 {} {three} ac02 808001", "dd".repeat(32)),
        // nonce, a proof (1), or none (0)
        format!("0111 {} 01 {}", "dd".repeat(32), "ee".repeat(32)),
        format!("0111 {} 00", "dd".repeat(32)),
        format!("0113 02 {three} {four}"),
        // number 9, feed of 200 entries, all groups, one snapshot
        format!("0116 09 {one} {two} c801 00 01 {}", "77".repeat(32)),
        // number 9, a bitmap of 512 bytes
        format!("0117 09 8004 {}", "0f".repeat(512)),
    ];
    for (message, golden) in samples().iter().zip(golden) {
        let bytes = encode(message).unwrap();
        assert_eq!(hex(&bytes), golden.replace(' ', ""), "{message:?}");
        assert_eq!(decode(&bytes).as_ref(), Ok(message));
    }
}

#[test]
fn bounds_hold_in_both_directions() {
    let ids = vec![ChunkId::from_bytes([1; 32]); IDS_PER_MESSAGE_MAX + 1];
    assert_eq!(encode(&Message::Get { ids }), Err(WireError::TooLong));
    let entries = vec![vec![1; FEED_ENTRY_BYTES_MAX]; 5];
    assert_eq!(encode(&Message::FeedEntries { feed: FEED, from: 0, entries }), Err(WireError::TooLong));
    let leaving = |groups: Vec<u8>, count| {
        let snapshots = vec![SnapshotId::from_bytes([1; 32]); count];
        encode(&Message::Leaving(Leaving { number: 1, feed: FEED, length: 1, groups, snapshots }))
    };
    assert!(leaving(vec![0; 512], 256).is_ok_and(|bytes| decode(&bytes).is_ok()));
    assert_eq!(leaving(Vec::new(), 257), Err(WireError::TooLong));
    assert_eq!(leaving(vec![0; 511], 1), Err(WireError::Malformed));
    let entries = vec![Vec::new()];
    assert_eq!(encode(&Message::FeedEntries { feed: FEED, from: 0, entries }), Err(WireError::Malformed));
    let id = ChunkId::from_bytes([1; 32]);
    let chunk = |length| encode(&Message::Chunk { id, bytes: vec![0; length] });
    assert!(chunk(SEALED_BYTES_MAX).is_ok_and(|bytes| decode(&bytes).is_ok()));
    assert_eq!(chunk(SEALED_BYTES_MAX + 1), Err(WireError::TooLong));
    assert_eq!(decode(&[1, kind::GET, 65]), Err(WireError::TooLong));
    assert_eq!(decode(&[1, kind::GET, 0xff, 0xff, 0xff, 0xff, 0x0f]), Err(WireError::TooLong));
    assert_eq!(decode(&[1, kind::GET, 2]), Err(WireError::Malformed));
}

/// An honest peer sends none of these, so they are put together by hand.
#[test]
fn what_no_peer_of_ours_would_send_is_refused_when_it_is_read() {
    let refused = |bytes: Vec<u8>| assert_eq!(decode(&bytes), Err(WireError::TooLong));
    let hello = |length: u8| [&[1, kind::HELLO, length][..], &vec![b'a'; length.into()], &[0]].concat();
    assert!(decode(&hello(64)).is_ok());
    refused(hello(65));
    // Each node with that many IPv4 addresses.
    let known = |nodes: u8, addresses: u8| {
        let node = [&[0x88; 32][..], &[addresses], &[0, 10, 1, 2, 3, 80].repeat(addresses.into())].concat();
        [&[1, kind::KNOWN, 0][..], &[0x66; 32], &[nodes], &node.repeat(nodes.into())].concat()
    };
    assert!(decode(&known(8, 8)).is_ok());
    refused(known(9, 0));
    refused(known(1, 9));
    let entries = |lengths: &[usize]| {
        let entries: Vec<_> = lengths.iter().map(|length| vec![1; *length]).collect();
        put(start(kind::FEED_ENTRIES), &(FEED, 0_u64, entries)).unwrap()
    };
    assert!(decode(&entries(&[FEED_ENTRY_BYTES_MAX; 4])).is_ok());
    refused(entries(&[FEED_ENTRY_BYTES_MAX; 5]));
    refused(entries(&[FEED_ENTRY_BYTES_MAX + 1]));
    refused(entries(&[1; FEED_ENTRIES_PER_MESSAGE_MAX + 1]));
    assert_eq!(decode(&entries(&[0])), Err(WireError::Malformed));
    refused([&[1, kind::CHUNK][..], &vec![7; ChunkId::SIZE + SEALED_BYTES_MAX + 1]].concat());
    refused(vec![1; MESSAGE_BYTES_MAX + 1]);
}

#[test]
fn ranges_are_bounded_in_both_directions() {
    let (exchange, standing) = ([9; 16], Standing::Whole);
    let range = |says, count| Message::Range {
        exchange,
        standing,
        parts: vec![Part { range: IdRange::ALL, says }; count],
    };
    let full = Says::Ids(vec![ChunkId::from_bytes([1; 32]); RANGE_IDS_MAX]);
    let bytes = encode(&range(full.clone(), RANGE_PARTS_MAX)).unwrap();
    assert!(bytes.len() < MESSAGE_BYTES_MAX && decode(&bytes).is_ok());
    assert_eq!(encode(&range(full, RANGE_PARTS_MAX + 1)), Err(WireError::TooLong));
    let long = Says::Shorts(vec![[1; 8]; RANGE_IDS_MAX + 1]);
    assert_eq!(encode(&range(long, 1)), Err(WireError::TooLong));
    let groups =
        |length| Message::Digest { exchange, groups: vec![1; length], count: 0, fingerprint: [0; 8] };
    assert!(encode(&groups(512)).is_ok_and(|bytes| decode(&bytes) == Ok(groups(512))));
    assert_eq!(
        (encode(&groups(511)), encode(&groups(513))),
        (Err(WireError::Malformed), Err(WireError::Malformed))
    );
    let start = |rest: &[u8]| decode(&[&[1, kind::RANGE][..], &[9; 16], rest].concat());
    assert_eq!(start(&[0, 65]), Err(WireError::TooLong));
    assert_eq!(start(&[3, 0]), Err(WireError::Malformed), "there is no such standing");
    assert_eq!(start(&[0, 1, 11, 0, 1, 0]), Err(WireError::Malformed), "no prefix is so long");
    assert_eq!(start(&[0, 1, 1, 64, 1, 0]), Err(WireError::Malformed), "no such prefix at this level");
    assert_eq!(start(&[0, 1, 1, 0, 3]), Err(WireError::Malformed), "there is no such form");
    assert_eq!(start(&[0, 1, 1, 0, 1, 129]), Err(WireError::Malformed), "a length of two bytes is cut short");
    assert_eq!(start(&[0, 1, 1, 0, 1, 0x81, 1]), Err(WireError::TooLong));
}

#[test]
fn a_chunk_behind_its_head_is_the_message() {
    let (id, bytes) = (ChunkId::from_bytes([1; 32]), vec![5; 1_000]);
    let head = chunk_head(&id, &bytes).unwrap();
    assert_eq!(encode(&Message::Chunk { id, bytes: bytes.clone() }), Ok([&head[..], &bytes].concat()));
    assert!(chunk_head(&id, &vec![0; SEALED_BYTES_MAX + 1]).is_err());
}

#[test]
fn other_versions_and_kinds_are_named() {
    assert_eq!(decode(&[2, 1]), Err(WireError::Version(2)));
    assert_eq!(decode(&[1, 99, 1, 2, 3]), Err(WireError::Kind(99)));
    assert_eq!((decode(&[]), decode(&[1])), (Err(WireError::Malformed), Err(WireError::Malformed)));
}

#[test]
fn every_cut_and_every_appended_byte_is_noticed() {
    for message in samples() {
        let bytes = encode(&message).unwrap();
        let is_chunk = matches!(message, Message::Chunk { .. });
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]) != Ok(message.clone()), "{message:?} cut to {length}");
        }
        assert_eq!(decode(&[&bytes[..], &[0]].concat()).is_ok(), is_chunk, "a chunk goes to the end");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0_u8..20) {
        let _ = decode(&bytes);
        bytes.splice(0..0, [MESSAGE_VERSION, kind]);
        if let Ok(message) = decode(&bytes) {
            let again = encode(&message).unwrap();
            prop_assert_eq!(decode(&again), Ok(message));
        }
    }
}
