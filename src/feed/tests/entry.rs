//! Golden bytes of every kind of entry, and that nothing else is read.

use crate::base::ids::{hex, ChunkId, EntryHash, EpochId, FeedId, FolderId, Group, NodeId, SnapshotId};
use crate::base::limits::{FEED_ENTRY_BYTES_MAX, NAME_BYTES_MAX, REMOVE_HEADS_MAX};
use crate::base::units::{Copies, WallTime};
use crate::base::version::Vector;
use crate::feed::body::{
    Admit, Alert, Begin, Checkpoint, Counts, Describe, FolderEntry, FolderKind, GroupSet, Head, Note,
    Receipt, Release, Remove, Role, SnapshotEntry, Standing,
};
use crate::feed::entry::{
    author_of, decode, hash, kind, sign, verify, Body, Entry, Erase, Erased, FeedError, FolderText, KeyEntry,
    Leave, Mode, SharedText, SnapshotText, Wrap, NO_ENTRY,
};
use crate::feed::writer::Writer;
use ed25519_dalek::SigningKey;
use proptest::prelude::{any, prop, proptest, ProptestConfig};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// `count` times the same byte, in hexadecimal.
fn times(byte: &str, count: usize) -> String {
    byte.repeat(count)
}

fn head() -> Head {
    let feed = FeedId { node: NodeId::from_bytes([1; 32]), random: [2; 8] };
    Head { feed, length: 9, hash: EntryHash::from_bytes([0x0a; 32]) }
}

/// [`head`] on the wire.
fn golden_head() -> String {
    [
        times("01", 32), // node
        times("02", 8),  // random
        "09".into(),     // length
        times("0a", 32), // hash
    ]
    .concat()
}

fn snapshot() -> SnapshotEntry {
    let counts = Counts { files: 1, directories: 2, bytes: 300, chunks: 4, stored_bytes: 5, stale: 6 };
    SnapshotEntry {
        folder: FolderId::from_bytes([5; 16]),
        manifest: ChunkId::from_bytes([6; 32]),
        parent: Some(SnapshotId::from_bytes([7; 32])),
        copies: Copies::new(3),
        taken: WallTime::from_micros(-1),
        complete: true,
        counts,
        sealed: vec![0xcc],
    }
}

fn checkpoint() -> Checkpoint {
    let standing = vec![Standing { sequence: 3, held: false }, Standing { sequence: 300, held: true }];
    Checkpoint { until: head(), from: 2, version: 300, standing }
}

/// Every kind of body with its number and its bytes.
fn goldens() -> Vec<(u8, Body, String)> {
    let mut goldens = member_goldens();
    goldens.extend(data_goldens());
    goldens
}

/// Who is a member, and what members say of themselves.
fn member_goldens() -> Vec<(u8, Body, String)> {
    let admit = Admit { signing: [3; 32], channel: [4; 32], role: Role::Store, name: "attic".into() };
    let describe = Describe {
        name: "attic".into(),
        site: "home".into(),
        capacity_bytes: 1 << 40,
        is_full: true,
        addresses: vec!["192.168.0.7:7117".parse().unwrap(), "[::1]:7117".parse().unwrap()],
        version: "0.1.0".into(),
    };
    vec![
        (
            1,
            Body::Admit(admit),
            [
                times("03", 32),       // signing key
                times("04", 32),       // channel key
                "02".into(),           // role: store
                "056174746963".into(), // name: 5 bytes, "attic"
            ]
            .concat(),
        ),
        (
            2,
            Body::Remove(Remove { node: NodeId::from_bytes([0x0b; 32]), heads: vec![head()] }),
            [
                times("0b", 32), // node
                "01".into(),     // one head
                golden_head(),
            ]
            .concat(),
        ),
        (
            4,
            Body::Describe(describe),
            [
                "056174746963",                           // name
                "04686f6d65",                             // site: "home"
                "808080808020",                           // capacity: 2^40
                "01",                                     // full
                "02",                                     // two addresses
                "00c0a80007cd37",                         // IPv4, 192.168.0.7, port 7117
                "0100000000000000000000000000000001cd37", // IPv6, ::1, port 7117
                "05302e312e30",                           // version: "0.1.0"
            ]
            .concat(),
        ),
        (11, Body::Alert(Alert { code: 300, about: vec![1, 2] }), "ac02020102".into()), // code, 2 bytes
        (15, Body::Begin(Begin { predecessor: Some(head()) }), format!("01{}", golden_head())), // some
        (
            3,
            Body::Key(KeyEntry {
                epoch: EpochId::from_bytes([0x0c; 8]),
                without: vec![NodeId::from_bytes([0x0d; 32])],
                ephemeral: [0x0e; 32],
                wraps: vec![Wrap { to: NodeId::from_bytes([0x0f; 32]), key: [0x1a; 32], tag: [0x1b; 16] }],
            }),
            [
                times("0c", 8),                     // epoch
                "01".to_owned() + &times("0d", 32), // keeps one out
                times("0e", 32),                    // ephemeral key
                "01".into(),                        // for one node
                times("0f", 32),                    // which
                times("1a", 32),                    // sealed key
                times("1b", 16),                    // tag
            ]
            .concat(),
        ),
        (13, Body::Reserved { kind: kind::CONFIRM, bytes: vec![0xee; 2] }, "eeee".into()),
        (200, Body::Reserved { kind: 200, bytes: vec![] }, String::new()),
    ]
}

/// Folders, snapshots, and who holds them.
fn data_goldens() -> Vec<(u8, Body, String)> {
    let folder = FolderEntry {
        folder: FolderId::from_bytes([5; 16]),
        kind: FolderKind::Backup,
        copies: Copies::new(3),
        removed: false,
        sealed: vec![0xaa, 0xbb],
    };
    let groups: GroupSet = Group::new(0).into_iter().collect();
    let erased = Erased { snapshot: SnapshotId::from_bytes([0x0f; 32]), version: 300 };
    let leave = Leave { node: NodeId::from_bytes([0x0b; 32]), version: 300, leaves: true };
    vec![
        (5, Body::Folder(folder), times("05", 16) + "01" + "03" + "00" + "02aabb"), // id, backup, copies, removed, text
        (
            6,
            Body::Snapshot(snapshot()),
            [
                times("05", 16),                    // folder
                times("06", 32),                    // manifest
                "01".to_owned() + &times("07", 32), // parent: some
                "03".into(),                        // copies
                "01".into(),                        // taken: -1, zigzag
                "01".into(),                        // complete
                "0102ac02040506".into(),            // counts: 1, 2, 300, 4, 5, 6
                "01cc".into(),                      // sealed text
            ]
            .concat(),
        ),
        (7, Body::Checkpoint(checkpoint()), golden_head() + "02" + "ac02" + "02" + "0300" + "ac0201"), // until, from, version, two
        (
            8,
            Body::Receipt(Receipt { snapshot: SnapshotId::from_bytes([8; 32]), groups: GroupSet::all() }),
            times("08", 32) + "00", // snapshot, all groups
        ),
        (
            9,
            Body::Release(Release { snapshot: None, groups }),
            ["00", "01", "8004", "01", &times("00", 511)].concat(), // every snapshot, a bitmap of 512 bytes, group 0
        ),
        (12, Body::Erase(Erase { snapshots: vec![erased] }), "01".to_owned() + &times("0f", 32) + "ac02"), // one, version
        (10, Body::Note(Note { sealed: vec![0xdd] }), "01dd".into()),
        (16, Body::Leave(leave), times("0b", 32) + "ac02" + "01"), // who, version, yes
    ]
}

/// An entry with this body by the writer of number 1, at its second place.
fn entry(body: Body) -> Entry {
    let feed = FeedId { random: [2; 8], ..Writer::new(1).feed };
    Entry {
        feed,
        sequence: 1,
        previous: EntryHash::from_bytes([9; 32]),
        wall: WallTime::from_micros(64),
        body,
    }
}

#[test]
fn every_kind_has_its_golden_bytes() {
    let key = Writer::new(1).key;
    for (number, body, golden) in goldens() {
        let entry = entry(body);
        let bytes = sign(&entry, &key).unwrap();
        let mut length = golden.len() / 2;
        let mut varint = String::new();
        while length >= 128 {
            varint += &hex(&[u8::try_from(length % 128).unwrap() | 128]);
            length /= 128;
        }
        varint += &hex(&[u8::try_from(length).unwrap()]);
        let expected = [
            "01".into(),                                                               // version
            "34750f98bd59fcfc946da45aaabe933be154a4b5094e1c4abf42866505f3c97e".into(), // node
            times("02", 8),                                                            // random
            "01".into(),                                                               // sequence
            times("09", 32),                                                           // previous
            "8001".into(),                                                             // wall: 64, zigzag
            hex(&[number]),                                                            // kind
            varint,                                                                    // length of the body
            golden,                                                                    // body
        ]
        .concat();
        let (signed, signature) = bytes.split_last_chunk::<64>().unwrap();
        assert_eq!(hex(signed), expected, "kind {number}");
        assert_ne!(signature, &[0; 64]);
        assert_eq!(verify(&bytes, &Writer::new(1).public()), Ok(entry));
    }
}

#[test]
fn the_signature_never_changes() {
    let bytes = sign(&entry(Body::Note(Note { sealed: vec![0xdd] })), &Writer::new(1).key).unwrap();
    let (_, signature) = bytes.split_last_chunk::<64>().unwrap();
    assert_eq!(hex(signature), "b2fa8be05a524e6ef9693408d86d6f002b77754e2e935a6664a8c8fd9268014529b25600182d3c7dbbcc472d6e9de5fb2e5f508f0c008d6e39047e3d2d8d3c03");
    assert_eq!(hash(&bytes).hex(), "e6905b448cc5e06b923d981e44390ea9d8e142e392b68fd519f221897959b0a3");
}

#[test]
fn a_signature_is_the_authors_or_nothing() {
    let bytes = sign(&entry(Body::Note(Note { sealed: vec![1] })), &Writer::new(1).key).unwrap();
    assert_eq!(verify(&bytes, &Writer::new(2).public()), Err(FeedError::Author));
    assert_eq!(sign(&decode(&bytes).unwrap(), &Writer::new(2).key), Err(FeedError::Author));
    for at in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[at] ^= 0x20;
        assert!(verify(&forged, &Writer::new(1).public()).is_err(), "byte {at}");
    }
    // A signature of the same bytes made for something else does not count.
    let (signed, _) = bytes.split_last_chunk::<64>().unwrap();
    let bare = ed25519_dalek::Signer::sign(&Writer::new(1).key, signed);
    let moved = [signed, &bare.to_bytes()].concat();
    assert_eq!(verify(&moved, &Writer::new(1).public()), Err(FeedError::Signature));
}

#[test]
fn an_entry_ends_where_it_ends() {
    let key = Writer::new(1).key;
    for (_, body, _) in goldens() {
        let bytes = sign(&entry(body), &key).unwrap();
        let (signed, signature) = bytes.split_last_chunk::<64>().unwrap();
        let longer = [signed, &[0], signature.as_slice()].concat();
        assert_eq!(decode(&longer), Err(FeedError::Malformed("the envelope")));
        let other = [&[2], &bytes[1..]].concat();
        assert_eq!(decode(&other), Err(FeedError::Version(2)));
        for length in 0..signed.len() {
            assert!(decode(&[&signed[..length], signature].concat()).is_err());
        }
    }
    assert_eq!(decode(&[1; FEED_ENTRY_BYTES_MAX + 1]), Err(FeedError::TooLong(FEED_ENTRY_BYTES_MAX + 1)));
}

#[test]
fn nothing_is_signed_that_others_would_refuse() {
    let key = Writer::new(1).key;
    let refused = |body: Body| sign(&entry(body), &key).unwrap_err();
    let admit =
        |name: String| Body::Admit(Admit { signing: [3; 32], channel: [4; 32], role: Role::Full, name });
    assert!(sign(&entry(admit("x".repeat(NAME_BYTES_MAX))), &key).is_ok());
    assert_eq!(refused(admit("x".repeat(NAME_BYTES_MAX + 1))), FeedError::Malformed("an Admit"));
    assert_eq!(refused(admit("\u{1b}[2J".into())), FeedError::Malformed("an Admit"), "a terminal would obey");
    let heads = vec![head(); REMOVE_HEADS_MAX + 1];
    assert_eq!(
        refused(Body::Remove(Remove { node: head().feed.node, heads })),
        FeedError::Malformed("a Remove")
    );
    assert_eq!(refused(Body::Note(Note { sealed: vec![0; 13 * 1024] })), FeedError::Malformed("a Note"));
    let bytes = vec![0; FEED_ENTRY_BYTES_MAX];
    assert!(matches!(refused(Body::Reserved { kind: 99, bytes }), FeedError::TooLong(_)));
    assert_eq!(refused(Body::Reserved { kind: kind::NOTE, bytes: vec![9] }), FeedError::Malformed("a Note"));

    let mut first = entry(Body::Begin(Begin { predecessor: None }));
    first.sequence = 0;
    assert_eq!(sign(&first, &key), Err(FeedError::Malformed("only the first entry follows none")));
    first.previous = NO_ENTRY;
    assert!(sign(&first, &key).is_ok());
}

#[test]
fn a_length_that_is_only_claimed_allocates_nothing() {
    // A Remove whose list of heads claims 2^63 items: refused, and at once.
    let mut body = vec![0x0b; 32];
    body.extend_from_slice(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]);
    assert_eq!(
        sign(&entry(Body::Reserved { kind: kind::REMOVE, bytes: body }), &Writer::new(1).key).unwrap_err(),
        FeedError::Malformed("a Remove")
    );
}

#[test]
fn texts_survive_and_have_a_version() {
    let text = FolderText {
        name: "p".into(),
        directory: b"/a\xff".to_vec(),
        ignore: vec!["*.o".into()],
        one_file_system: true,
        keep: [10, 24, 30, 12, 24, 500],
        mode: Mode::Receive,
        max_size: None,
    };
    let bytes = text.encode().unwrap();
    // 01 version; 01 70 name "p"; 03 2f 61 ff directory; 01 03 2a 2e 6f one pattern, "*.o"; 01 one file system; retention; 02 receive
    assert_eq!(
        hex(&bytes),
        "01".to_owned() + "0170" + "032f61ff" + "01032a2e6f" + "01" + "0a181e0c18f403" + "02"
    );
    assert_eq!(FolderText::decode(&bytes), Ok(text.clone()));
    let limited = FolderText { max_size: Some(300), ..text };
    let with_size = limited.encode().unwrap();
    // 02 version; the same; ac02 300 bytes
    assert_eq!(hex(&with_size), "02".to_owned() + &hex(&bytes[1..]) + "ac02");
    assert_eq!(FolderText::decode(&with_size), Ok(limited.clone()));
    assert!(FolderText { max_size: Some(0), ..limited }.encode().is_err());
    assert_eq!(FolderText::decode(&[3]), Err(FeedError::Version(3)));
    let text = SnapshotText { tree: ChunkId::from_bytes([6; 32]), skipped: 1, torn: 200, shared: None };
    let bytes = text.encode().unwrap();
    assert_eq!(hex(&bytes), "01".to_owned() + &times("06", 32) + "01" + "c801" + "00");
    assert_eq!(SnapshotText::decode(&bytes), Ok(text));
    let feed = FeedId { node: NodeId::from_bytes([7; 32]), random: [8; 8] };
    let mut shared = SharedText { applied: ChunkId::from_bytes([9; 32]), seen: Vector::default() };
    shared.seen.next(feed);
    let text = SnapshotText { tree: ChunkId::from_bytes([6; 32]), skipped: 0, torn: 0, shared: Some(shared) };
    let bytes = text.encode().unwrap();
    // ... 01 shared; applied map; one feed, with one change
    let golden =
        "01".to_owned() + &times("06", 32) + "0000" + "01" + &times("09", 32) + "01" + &times("07", 32);
    assert_eq!(hex(&bytes), golden + &times("08", 8) + "01");
    assert_eq!(SnapshotText::decode(&bytes), Ok(text));
    assert_eq!(SnapshotText::decode(&[]), Err(FeedError::Malformed("an empty text")));
    assert_eq!(SnapshotText::decode(&[7]), Err(FeedError::Version(7)));
    assert!(SnapshotText::decode(&[&bytes[..], &[0]].concat()).is_err());
}

/// Takes any bytes.
fn fuzz_decode(bytes: &[u8]) {
    if let Ok(entry) = decode(bytes) {
        // What decodes can be written again, by whoever has the key.
        let key = SigningKey::from_bytes(&[1; 32]);
        let feed = FeedId { node: author_of(key.verifying_key().as_bytes()), ..entry.feed };
        let own = Entry { feed, ..entry };
        assert_eq!(decode(&sign(&own, &key).unwrap()), Ok(own));
    }
    let _ = FolderText::decode(bytes);
    let _ = SnapshotText::decode(bytes);
}

#[test]
fn decoders_are_total_on_seeded_garbage() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for round in 0..5_000_usize {
        let mut bytes = vec![0; round % 600];
        rng.fill_bytes(&mut bytes);
        fuzz_decode(&bytes);
        if let Some(first) = bytes.first_mut() {
            *first = 1;
            fuzz_decode(&bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn mutated_entries_decode_or_not(which in any::<prop::sample::Index>(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let goldens = goldens();
        let mut bytes = sign(&entry(which.get(&goldens).1.clone()), &Writer::new(1).key).unwrap();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            fuzz_decode(&bytes);
        }
        bytes.truncate(which.index(bytes.len()));
        fuzz_decode(&bytes);
    }
}
