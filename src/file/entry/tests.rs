//! Entries, pieces and attributes: their bytes, and what is refused.

use crate::base::ids::ChunkId;
use crate::base::limits::{ATTRIBUTES_BYTES_MAX, ATTRIBUTES_HERE_BYTES_MAX, ENTRY_BYTES_MAX};
use crate::file::entry::texture::Texture;
use crate::file::entry::{
    check_entry_bytes, decode_attributes, encode_attributes, Attributes, Content, Entry, EntryError, Kind,
    Piece, Stat,
};
use crate::file::field::with_version;
use proptest::prelude::{any, prop_assert_eq, prop_oneof, proptest, Just, Strategy};

/// A chunk id of equal bytes.
fn id(byte: u8) -> ChunkId {
    ChunkId::from_bytes([byte; 32])
}

/// A stat with small numbers.
fn stat() -> Stat {
    Stat { size: 300, mtime_ns: -1, ctime_ns: 2, inode: 3, mode: 0o644, uid: 0, gid: 1, links: 1 }
}

/// An empty file without attributes.
fn plain() -> Entry {
    Entry {
        kind: Kind::File,
        stat: stat(),
        attributes: Attributes::Here(vec![]),
        content: Content::None,
        torn: false,
        texture: Texture::Plain,
        version: None,
    }
}

/// Any piece that there can be.
fn piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        (any::<[u8; 32]>(), 1_u32..=1 << 20)
            .prop_map(|(bytes, length)| Piece::Chunk { id: ChunkId::from_bytes(bytes), length }),
        (1_u64..1 << 40).prop_map(|length| Piece::Hole { length }),
    ]
}

/// Any entry that there can be.
fn entry() -> impl Strategy<Value = Entry> {
    let content = prop_oneof![
        Just((Kind::Directory, Content::None)),
        Just((Kind::File, Content::None)),
        Just((Kind::File, Content::Inline)),
        proptest::collection::vec(piece(), 1..20).prop_map(|pieces| (Kind::File, Content::Pieces(pieces))),
        (any::<[u8; 32]>(), 1_u64..).prop_map(|(root, pieces)| {
            (Kind::File, Content::List { root: ChunkId::from_bytes(root), pieces })
        }),
        proptest::collection::vec(1_u8.., 1..100).prop_map(|target| (Kind::Symlink, Content::Target(target))),
    ];
    let value = proptest::collection::vec(any::<u8>(), 0..50);
    let attributes = prop_oneof![
        proptest::collection::btree_map(proptest::collection::vec(1_u8.., 1..20), value, 0..10)
            .prop_map(|map| Attributes::Here(map.into_iter().collect())),
        any::<[u8; 32]>().prop_map(|bytes| Attributes::Away { id: ChunkId::from_bytes(bytes) }),
    ];
    let numbers = (any::<[u64; 2]>(), any::<[i64; 2]>(), 0_u32..=0o7777, any::<[u32; 3]>());
    (content, attributes, numbers, any::<bool>()).prop_map(|((kind, content), attributes, numbers, torn)| {
        let ([size, inode], [mtime_ns, ctime_ns], mode, [uid, gid, links]) = numbers;
        let texture = if torn { Texture::Noise } else { Texture::Packed };
        let stat = Stat { size, mtime_ns, ctime_ns, inode, mode, uid, gid, links };
        Entry { kind, stat, attributes, content, torn, texture, version: None }
    })
}

#[test]
fn entries_are_golden() {
    let mut entry = plain();
    entry.attributes = Attributes::Here(vec![(b"user.a".to_vec(), b"1".to_vec())]);
    entry.content =
        Content::Pieces(vec![Piece::Chunk { id: id(0xab), length: 256 }, Piece::Hole { length: 44 }]);
    entry.texture = Texture::Noise;
    let mut golden = vec![
        1, // version
        0, // File
        0xac, 2, // size 300
        1, // mtime -1, zigzag
        4, // ctime 2, zigzag
        3, // inode
        0xa4, 3, // mode 0o644
        0, 1, 1, // uid, gid, links
        0, // attributes Here
        1, 6, b'u', b's', b'e', b'r', b'.', b'a', 1, b'1', // one: name, value
        2,    // Pieces
        2,    // two
        0,    // Chunk
    ];
    golden.extend([0xab; 32]);
    golden.extend([
        0x80, 2, // length 256
        1, 44, // Hole of 44
        0,  // not torn
        2,  // Noise
        0,  // no version
    ]);
    assert_eq!(entry.encode(), Ok(golden));

    let mut link = plain();
    link.kind = Kind::Symlink;
    link.attributes = Attributes::Away { id: id(0xcd) };
    link.content = Content::Target(b"../x".to_vec());
    let bytes = link.encode().unwrap();
    assert_eq!(bytes[..2], [1, 2]);
    assert_eq!(bytes[12..14], [1, 0xcd]);
    assert_eq!(bytes[45..], [4, 4, b'.', b'.', b'/', b'x', 0, 0, 0]);
}

#[test]
fn pieces_are_golden() {
    assert_eq!(Piece::Hole { length: 300 }.encode(), Ok(vec![1, 1, 0xac, 2]));
    let chunk = Piece::Chunk { id: id(7), length: 5 }.encode().unwrap();
    assert_eq!(chunk, [&[1, 0][..], &[7; 32], &[5]].concat());
}

#[test]
fn what_makes_no_sense_is_refused_on_both_ways() {
    let mut directory = plain();
    directory.kind = Kind::Directory;
    directory.content = Content::Inline;
    assert!(directory.encode().is_err());
    let bytes = with_version(&directory).unwrap();
    assert_eq!(Entry::decode(&bytes), Err(EntryError::Senseless("content of another kind")));

    let mut file = plain();
    file.attributes = Attributes::Here(vec![(b"b".to_vec(), vec![]), (b"a".to_vec(), vec![])]);
    assert_eq!(file.encode(), Err(EntryError::Senseless("order of the extended attributes")));
    file.attributes = Attributes::Here(vec![(b"a".to_vec(), vec![0; ATTRIBUTES_HERE_BYTES_MAX])]);
    assert_eq!(file.encode(), Err(EntryError::TooLong));

    let hole = Piece::Hole { length: u64::MAX / 3 };
    file.attributes = Attributes::Here(vec![]);
    file.content = Content::Pieces(vec![hole, hole]);
    assert_eq!(file.encode(), Err(EntryError::Senseless("sum of the pieces' lengths")));
    assert!(Piece::Chunk { id: id(1), length: 0 }.encode().is_err());

    let mut link = plain();
    link.kind = Kind::Symlink;
    link.content = Content::Target(b"a\0b".to_vec());
    assert!(link.encode().is_err());
    let mut moded = plain();
    moded.stat.mode = 0o10_0644;
    assert_eq!(moded.encode(), Err(EntryError::Senseless("mode")));
}

#[test]
fn a_newer_version_and_trailing_bytes_are_refused() {
    let mut bytes = plain().encode().unwrap();
    bytes.push(0);
    assert_eq!(Entry::decode(&bytes), Err(EntryError::Malformed));
    bytes[0] = 2;
    assert_eq!(Entry::decode(&bytes), Err(EntryError::Version(2)));
    assert_eq!(Entry::decode(&[]), Err(EntryError::Malformed));
    assert_eq!(Entry::decode(&vec![1; ENTRY_BYTES_MAX + 1]), Err(EntryError::TooLong));
}

#[test]
fn attributes_too_long_for_the_entry_go_into_a_chunk() {
    let pairs = vec![(b"user.big".to_vec(), vec![7; 60_000]), (b"user.small".to_vec(), vec![])];
    let bytes = encode_attributes(&pairs).unwrap();
    assert!(bytes.len() > ATTRIBUTES_HERE_BYTES_MAX);
    assert_eq!(decode_attributes(&bytes), Ok(pairs));
    let overhead = 1 + 1 + 7 + 3; // version, count, name, length of the value
    let just = vec![(b"user.a".to_vec(), vec![0; ATTRIBUTES_BYTES_MAX - overhead])];
    assert_eq!(encode_attributes(&just).unwrap().len(), ATTRIBUTES_BYTES_MAX);
    let too_many = vec![(b"user.a".to_vec(), vec![0; ATTRIBUTES_BYTES_MAX - overhead + 1])];
    assert_eq!(encode_attributes(&too_many), Err(EntryError::TooLong));
}

#[test]
fn attributes_stand_in_the_entry_exactly_if_their_encoding_is_short_enough() {
    let mut pairs: Vec<_> =
        (0..2_000_u32).map(|number| (format!("user.{number:05}").into_bytes(), vec![])).collect();
    while encode_attributes(&pairs).unwrap().len() > ATTRIBUTES_HERE_BYTES_MAX {
        pairs.pop();
    }
    let spare = ATTRIBUTES_HERE_BYTES_MAX - encode_attributes(&pairs).unwrap().len();
    pairs[0].1 = vec![1; spare];
    assert_eq!(encode_attributes(&pairs).unwrap().len(), ATTRIBUTES_HERE_BYTES_MAX);
    let mut entry = plain();
    entry.attributes = Attributes::Here(pairs.clone());
    assert!(entry.encode().is_ok());
    pairs[0].1.push(1);
    entry.attributes = Attributes::Here(pairs);
    assert_eq!(entry.encode(), Err(EntryError::TooLong));
}

#[test]
fn a_claimed_length_allocates_nothing() {
    // Pieces, 2^28 of them, and no byte more.
    let mut bytes = plain().encode().unwrap();
    bytes.truncate(bytes.len() - 2);
    bytes.extend([2, 0x80, 0x80, 0x80, 0x80, 1]);
    assert_eq!(Entry::decode(&bytes), Err(EntryError::Malformed));
}

proptest! {
    #[test]
    fn every_entry_survives_a_round_trip(entry in entry()) {
        prop_assert_eq!(Entry::decode(&entry.encode().unwrap()), Ok(entry));
    }

    #[test]
    fn every_piece_survives_a_round_trip(piece in piece()) {
        prop_assert_eq!(Piece::decode(&piece.encode().unwrap()), Ok(piece));
    }

    #[test]
    fn any_bytes_decode_or_do_not(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check_entry_bytes(&bytes);
        check_entry_bytes(&[&[1], &bytes[..]].concat());
    }

    #[test]
    fn damaged_entries_decode_or_do_not(entry in entry(), position in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = entry.encode().unwrap();
        let position = position % bytes.len();
        bytes[position] = byte;
        check_entry_bytes(&bytes);
        check_entry_bytes(&bytes[..position]);
    }
}
