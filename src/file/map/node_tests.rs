//! The bytes of a node, and what is refused.

use super::error::MapError;
use super::node::{check_node_bytes, Added, NodeParts, NodeReader, NodeWriter, FORMAT, HEADER_BYTES};
use crate::base::ids::ChunkId;
use crate::base::limits::{CUT_BYTES_MAX, MAP_LEVELS_MAX};
use core::ops::Range;
use proptest::prelude::{any, prop_assert_eq, proptest};
use std::collections::BTreeMap;

/// Entries of a node: value and tail by key.
type Entries = BTreeMap<Vec<u8>, (Vec<u8>, Vec<u8>)>;

/// Encodes a node; above the leaves every value is a chunk id.
fn encode(level: u8, entries: &Entries) -> Vec<u8> {
    let mut writer = NodeWriter::new(level);
    for (key, (value, tail)) in entries {
        writer.add(Added { key, value, tail });
    }
    let parts = writer.parts();
    [parts.compress, parts.follow].concat()
}

/// Reads all entries.
fn decode(bytes: &[u8]) -> Result<Entries, MapError> {
    let mut reader = NodeReader::new(bytes.to_vec())?;
    let mut entries = BTreeMap::new();
    while reader.advance()? {
        entries.insert(reader.key().to_vec(), (reader.value().to_vec(), reader.tail().to_vec()));
    }
    Ok(entries)
}

/// A leaf of these entry bytes.
fn leaf(entries: &[u8], tails: &[u8]) -> Vec<u8> {
    let length = u8::try_from(HEADER_BYTES + entries.len()).unwrap();
    [&[FORMAT, 0, length, 0, 0, 0], entries, tails].concat()
}

#[test]
fn leaves_are_golden() {
    let mut writer = NodeWriter::new(0);
    writer.add(Added { key: b"", value: b"root", tail: b"" });
    writer.add(Added { key: b"src\0a", value: b"A", tail: b"tail one" });
    writer.add(Added { key: b"src\0bc", value: b"", tail: b"2" });
    let parts = writer.parts();
    let golden = [
        &[1, 0, 29, 0, 0, 0][..], // format, level, length
        &[0, 0, 8],               // nothing shared, empty key, 4 bytes of value, no tail
        b"root",
        &[0, 5, 3, 8], // nothing shared, 5 fresh bytes, 1 byte of value and a tail of 8
        b"src\0a",
        b"A",
        &[4, 2, 1, 1], // "src\0" shared, 2 fresh bytes, no value, a tail of 1
        b"bc",
    ]
    .concat();
    assert_eq!(parts, NodeParts { level: 0, compress: &golden, follow: b"tail one2" });
}

#[test]
fn nodes_above_the_leaves_are_golden() {
    let mut writer = NodeWriter::new(2);
    writer.add(Added { key: b"ab", value: &[0xaa; 32], tail: b"" });
    writer.add(Added { key: b"abc", value: &[0xbb; 32], tail: b"" });
    let golden = [&[1, 2, 77, 0, 0, 0, 0, 2][..], b"ab", &[0xaa; 32], &[2, 1], b"c", &[0xbb; 32]].concat();
    assert_eq!(writer.parts(), NodeParts { level: 2, compress: &golden, follow: b"" });
    let mut reader = NodeReader::new(golden).unwrap();
    let mut seen = Vec::new();
    reader.look_ahead(|before, id| {
        seen.push((before.to_vec(), id));
        true
    });
    let ids = [0xaa, 0xbb].map(|byte| ChunkId::from_bytes([byte; 32]));
    assert_eq!(seen, [(b"".to_vec(), ids[0]), (b"ab".to_vec(), ids[1])]);
    assert_eq!(reader.advance(), Ok(true));
    assert_eq!((reader.key(), reader.child()), (&b"ab"[..], ids[0]));
}

#[test]
fn a_second_form_of_the_same_node_is_refused() {
    assert!(decode(&leaf(&[0, 1, 0, b'a', 1, 1, 0, b'b'], b"")).is_ok());
    for (entries, tails, error) in [
        (&[0, 1, 0, b'a', 0, 2, 0, b'a', b'b'][..], &b""[..], MapError::Malformed), // less shared than can be
        (&[0x80, 0, 1, 0, b'a'], b"", MapError::Malformed),                         // a longer zero
        (&[0, 1, 1, 0, b'a'], b"", MapError::Malformed),                            // a tail of no bytes
        (&[0, 1, 0, b'a'], b"t", MapError::Malformed),                              // bytes too many
        (&[0, 1, 1, 2, b'a'], b"t", MapError::Malformed),                           // bytes too few
        (&[0, 1, 0, b'b', 0, 1, 0, b'a'], b"", MapError::Order),
        (&[0, 1, 0, b'b', 1, 0, 0], b"", MapError::Order),
        (&[1, 1, 0, b'b'], b"", MapError::Malformed), // shares with no key
        (&[0, 0xff, 0xff, 0xff, 0x7f, 0], b"", MapError::TooLong),
        (&[0, 0xff, 0xff, 0xff, 0xff, 1, 0], b"", MapError::Malformed),
    ] {
        assert_eq!(decode(&leaf(entries, tails)), Err(error), "{entries:?}");
    }
}

#[test]
fn a_header_of_another_format_or_length_is_refused() {
    assert_eq!(decode(&[2, 0, 6, 0, 0, 0]), Err(MapError::Format(2)));
    assert_eq!(decode(&[1, 0, 5, 0, 0, 0]), Err(MapError::Malformed));
    assert_eq!(decode(&[1, 0, 7, 0, 0, 0]), Err(MapError::Malformed));
    assert_eq!(decode(&[1, MAP_LEVELS_MAX, 6, 0, 0, 0]), Err(MapError::TooDeep));
    assert_eq!(decode(&[1, 0, 6, 0, 0]), Err(MapError::Malformed));
    assert_eq!(decode(&vec![1; CUT_BYTES_MAX + 1]), Err(MapError::TooLong));
}

proptest! {
    #[test]
    fn every_leaf_survives_a_round_trip(entries in entries(0..200)) {
        prop_assert_eq!(decode(&encode(0, &entries)), Ok(entries));
    }

    #[test]
    fn every_node_above_the_leaves_survives_a_round_trip(keys in proptest::collection::btree_map(key(), any::<[u8; 32]>(), 1..50)) {
        let entries = keys.into_iter().map(|(key, id)| (key, (id.to_vec(), vec![]))).collect();
        prop_assert_eq!(decode(&encode(3, &entries)), Ok(entries));
    }

    #[test]
    fn any_bytes_are_a_node_or_are_not(bytes in proptest::collection::vec(any::<u8>(), 0..400), level in 0_u8..3) {
        check_node_bytes(&bytes);
        let length = u32::try_from(HEADER_BYTES + bytes.len() / 2).unwrap().to_le_bytes();
        check_node_bytes(&[&[FORMAT, level], &length[..], &bytes].concat());
    }

    #[test]
    fn damaged_nodes_are_nodes_or_are_not(entries in entries(1..20), at in any::<usize>(), byte in any::<u8>()) {
        let mut bytes = encode(0, &entries);
        let at = at % bytes.len();
        check_node_bytes(&bytes[..at]);
        bytes[at] = byte;
        check_node_bytes(&bytes);
        bytes[1] = 1;
        check_node_bytes(&bytes);
    }
}

/// Short keys that have much in common.
fn key() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    proptest::collection::vec(0_u8..3, 0..10)
}

/// Entries of a leaf.
fn entries(count: Range<usize>) -> impl proptest::strategy::Strategy<Value = Entries> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
    proptest::collection::btree_map(key(), (bytes(), bytes()), count)
}
