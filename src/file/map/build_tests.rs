//! Maps as a whole: what is built is read, and its shape is a function of the set.

use super::{Level, MapBuilder, MapCursor, MapError, NodeParts, Step};
use crate::base::ids::ChunkId;
use crate::base::limits::{
    ENTRY_BYTES_MAX, MAP_KEY_BYTES_MAX, NODE_BYTES_MAX, NODE_BYTES_MEAN, TAIL_BYTES_MAX,
};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest, ProptestConfig, Strategy};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Entries of a map: value and tail by key.
type Entries = BTreeMap<Vec<u8>, (Vec<u8>, Vec<u8>)>;

/// Nodes by their id.
type Nodes = HashMap<ChunkId, Vec<u8>>;

/// Builds a map: its root, and all its nodes.
fn build(key: u8, entries: &Entries) -> (ChunkId, Nodes) {
    let mut nodes = Nodes::new();
    let mut seal = |parts: NodeParts<'_>| {
        let bytes = [parts.compress, parts.follow].concat();
        let id = ChunkId::from_bytes(*blake3::hash(&bytes).as_bytes());
        nodes.insert(id, bytes);
        id
    };
    let mut builder = MapBuilder::new(&[key; 32]);
    for (key, (value, tail)) in entries {
        builder.push(key, value, tail, &mut seal).unwrap();
    }
    let root = builder.finish(&mut seal).unwrap();
    (root, nodes)
}

/// All entries from where the cursor stands, and the nodes that it needed.
fn read(cursor: &mut MapCursor, nodes: &Nodes) -> (Entries, Vec<ChunkId>) {
    let (mut entries, mut needed) = (Entries::new(), Vec::new());
    loop {
        match cursor.step().unwrap() {
            Step::Need(id) => {
                needed.push(id);
                cursor.give(id, nodes[&id].clone()).unwrap();
            }
            Step::Entry { key, value, tail } => {
                assert!(entries.insert(key.to_vec(), (value.to_vec(), tail.to_vec())).is_none());
            }
            Step::End => return (entries, needed),
        }
    }
}

/// `count` entries with keys like paths, values like those of a tree.
fn tree(count: u32) -> Entries {
    (0..count)
        .map(|number| {
            let key = format!("directory {}\0sub\0file {number}", number / 40).into_bytes();
            (key, (number.to_le_bytes().repeat(15), vec![7; usize::from(number % 8 == 0) * 100]))
        })
        .collect()
}

/// Any small map.
fn entries() -> impl Strategy<Value = Entries> {
    let key = proptest::collection::vec(0_u8..4, 0..12);
    let bytes = || (any::<u8>(), 0_usize..2_000).prop_map(|(byte, length)| vec![byte; length]);
    proptest::collection::btree_map(key, (bytes(), bytes()), 0..300)
}

#[test]
fn an_empty_map_is_one_empty_leaf() {
    let (root, nodes) = build(1, &Entries::new());
    assert_eq!(nodes[&root], [1, 0, 6, 0, 0, 0]);
    assert_eq!(nodes.len(), 1);
    assert_eq!(read(&mut MapCursor::new(root), &nodes), (Entries::new(), vec![root]));
}

#[test]
fn every_node_is_reached_once_and_the_mean_comes_out_right() {
    let entries = tree(40_000);
    let (root, nodes) = build(1, &entries);
    let (found, needed) = read(&mut MapCursor::new(root), &nodes);
    assert!(found == entries);
    assert_eq!(needed.len(), nodes.len());
    assert_eq!(needed.iter().collect::<BTreeSet<_>>().len(), nodes.len());
    let leaves: Vec<usize> = nodes.values().filter(|bytes| bytes[1] == 0).map(Vec::len).collect();
    let plain: usize =
        entries.iter().map(|(key, (value, tail))| key.len() + value.len() + tail.len() + 4).sum();
    let mean = plain / leaves.len();
    assert!(mean.abs_diff(NODE_BYTES_MEAN) < NODE_BYTES_MEAN / 4, "the mean is {mean}");
    assert!(nodes[&root][1] >= 1, "so many entries need levels");
}

#[test]
fn a_change_costs_one_node_a_level() {
    let mut entries = tree(40_000);
    let (_, before) = build(1, &entries);
    let key = entries.keys().nth(20_000).unwrap().clone();
    entries.insert(key, (b"changed".to_vec(), vec![]));
    let (root, after) = build(1, &entries);
    let new = after.keys().filter(|id| !before.contains_key(*id)).count();
    assert!((1..=usize::from(after[&root][1]) + 2).contains(&new), "{new} new nodes");
}

#[test]
fn a_map_key_decides_where_nodes_end() {
    let entries = tree(5_000);
    let (one, _) = build(1, &entries);
    let (two, _) = build(2, &entries);
    assert_ne!(one, two);
}

#[test]
fn a_node_is_cut_by_force_when_no_key_closes_it() {
    // Keys found by trying: none of them closes a leaf under this map key.
    let level = Level::new(&[1; 32], 0);
    let keys = (0_u32..).map(|number| number.to_be_bytes()).filter(|key| !level.closes(key, 4_096 + 8));
    let entries: Entries = keys.take(300).map(|key| (key.to_vec(), (vec![1; 4_096], vec![]))).collect();
    let (root, nodes) = build(1, &entries);
    let longest = nodes.values().map(Vec::len).max().unwrap();
    assert!((NODE_BYTES_MAX - 4_096..NODE_BYTES_MAX + 4_096).contains(&longest), "{longest} bytes");
    assert!(read(&mut MapCursor::new(root), &nodes).0 == entries);
}

#[test]
fn the_longest_keys_still_make_a_map() {
    let key = |number: u32| [&vec![b'k'; MAP_KEY_BYTES_MAX - 4], &number.to_be_bytes()[..]].concat();
    let entries: Entries = (0..500).map(|number| (key(number), (vec![], vec![]))).collect();
    let (root, nodes) = build(1, &entries);
    assert!(read(&mut MapCursor::new(root), &nodes).0 == entries);
}

#[test]
fn entries_out_of_order_and_entries_too_long_are_refused() {
    let mut seal = |_: NodeParts<'_>| ChunkId::from_bytes([0; 32]);
    let mut builder = MapBuilder::new(&[1; 32]);
    builder.push(b"b", b"", b"", &mut seal).unwrap();
    assert_eq!(builder.push(b"b", b"", b"", &mut seal), Err(MapError::Order));
    assert_eq!(builder.push(b"a", b"", b"", &mut seal), Err(MapError::Order));
    assert_eq!(builder.push(&[b'c'; MAP_KEY_BYTES_MAX + 1], b"", b"", &mut seal), Err(MapError::TooLong));
    assert_eq!(builder.push(b"c", &[0; ENTRY_BYTES_MAX], b"", &mut seal), Err(MapError::TooLong));
    assert_eq!(builder.push(b"c", b"", &[0; TAIL_BYTES_MAX + 1], &mut seal), Err(MapError::TooLong));
    assert_eq!(builder.entries(), 1);
}

#[test]
fn roots_are_golden() {
    // A change here makes every snapshot store its whole tree anew.
    let (root, nodes) = build(1, &tree(5_000));
    assert_eq!((root.hex().as_str(), nodes.len()), GOLDEN_ROOT);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_map_is_what_a_btreemap_is_after_any_edits(before in entries(), edits in entries()) {
        let mut entries = before;
        for (number, (key, value)) in edits.into_iter().enumerate() {
            if number % 3 == 0 {
                entries.remove(&key);
            } else {
                entries.insert(key, value);
            }
        }
        let (root, nodes) = build(1, &entries);
        let (found, needed) = read(&mut MapCursor::new(root), &nodes);
        prop_assert!(found == entries);
        prop_assert_eq!(needed.len(), nodes.len());
        // The same set that never saw the edits.
        let again: Entries = entries.into_iter().rev().collect();
        prop_assert_eq!(build(1, &again).0, root);
    }

    #[test]
    fn seeking_finds_what_a_btreemap_range_finds(
        entries in entries(),
        targets in proptest::collection::vec((proptest::collection::vec(0_u8..4, 0..12), 0_usize..9), 1..12),
    ) {
        let (root, nodes) = build(1, &entries);
        let mut cursor = MapCursor::new(root);
        for (target, steps) in targets {
            cursor.seek(&target);
            let mut expected = entries.range(target..);
            let mut left = steps;
            while left > 0 {
                match cursor.step().unwrap() {
                    // Now and then it is left waiting, and the next seek begins there.
                    Step::Need(_) if left == 8 => break,
                    Step::Need(id) => cursor.give(id, nodes[&id].clone()).unwrap(),
                    Step::Entry { key, .. } => {
                        prop_assert_eq!(Some(key), expected.next().map(|(key, _)| key.as_slice()));
                        left -= 1;
                    }
                    Step::End => {
                        prop_assert!(expected.next().is_none());
                        break;
                    }
                }
            }
        }
        cursor.seek(b"");
        prop_assert!(read(&mut cursor, &nodes).0 == entries);
    }
}

/// Root and number of nodes of the golden map.
const GOLDEN_ROOT: (&str, usize) = ("b36f177754d076edcd6322d87f962ff570f6f50e91401d6f987d834bbba3a693", 21);
