//! Keys and paths, what hostile trees are refused for, and walks over trees.

use crate::base::ids::ChunkId;
use crate::file::entry::Kind;
use crate::file::map::{MapBuilder, NodeParts, Step};
use crate::file::tree::{
    check_key, check_key_bytes, is_within, key_from_path, key_of, name_of, parent_of, path_of, Lookup,
    Prefix, Shape, TreeError,
};
use proptest::prelude::{any, prop_assert_eq, proptest};
use std::collections::{BTreeSet, HashMap};

/// Nodes by their id.
type Nodes = HashMap<ChunkId, Vec<u8>>;

/// A tree of these keys, each with its own value.
fn tree(keys: &BTreeSet<Vec<u8>>) -> (ChunkId, Nodes) {
    let mut nodes = Nodes::new();
    let mut seal = |parts: NodeParts<'_>| {
        let id = ChunkId::from_bytes(*blake3::hash(parts.compress).as_bytes());
        nodes.insert(id, parts.compress.to_vec());
        id
    };
    let mut builder = MapBuilder::new(&[1; 32]);
    for key in keys {
        builder.push(key, &key.repeat(40), b"", &mut seal).unwrap();
    }
    let root = builder.finish(&mut seal).unwrap();
    (root, nodes)
}

/// All keys within `ancestor`, as the walk finds them, and how many nodes it needed.
fn walk(root: ChunkId, nodes: &Nodes, ancestor: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let mut prefix = Prefix::new(root, ancestor);
    let (mut keys, mut needed, mut announced) = (Vec::new(), 0, Vec::new());
    loop {
        match prefix.step().unwrap() {
            Step::Need(id) => {
                needed += 1;
                announced.retain(|announced| *announced != id);
                prefix.give(id, nodes[&id].clone()).unwrap();
                announced.extend(
                    prefix.upcoming(1).into_iter().filter(|id| !announced.contains(id)).collect::<Vec<_>>(),
                );
            }
            Step::Entry { key, .. } => keys.push(key.to_vec()),
            Step::End => break,
        }
    }
    assert!(announced.len() <= 1, "at most the node behind the end is announced in vain");
    assert!(prefix.upcoming(9).is_empty());
    (keys, needed)
}

#[test]
fn paths_become_keys_and_come_back() {
    let key = key_from_path(b"a/\xff b/c").unwrap();
    assert_eq!(key, b"a\0\xff b\0c");
    assert_eq!(key, key_of([&b"a"[..], b"\xff b", b"c"].into_iter()));
    assert_eq!(path_of(&key), b"a/\xff b/c");
    assert_eq!((parent_of(&key), name_of(&key)), (&b"a\0\xff b"[..], &b"c"[..]));
    assert_eq!((parent_of(b"a"), name_of(b"a")), (&b""[..], &b"a"[..]));
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for (path, error) in [
        (&b""[..], TreeError::Empty),
        (b"/a", TreeError::Absolute),
        (b"a//b", TreeError::EmptyComponent),
        (b"a/", TreeError::EmptyComponent),
        (b"a/../b", TreeError::Dots),
        (b"./a", TreeError::Dots),
        (b"a\0b", TreeError::Separator),
        (&[b'a'; 256], TreeError::TooLong),
        (&b"ab/".repeat(2_000), TreeError::TooLong),
    ] {
        assert_eq!(key_from_path(path), Err(error), "{path:?}");
    }
    assert!(key_from_path(b"a/.../..b/c").is_ok());
}

#[test]
fn hostile_keys_are_refused() {
    for (key, error) in [
        (&b"a\0..\0b"[..], TreeError::Dots),
        (b"..", TreeError::Dots),
        (b"a/b", TreeError::Separator),
        (b"/", TreeError::Separator),
        (b"\0a", TreeError::EmptyComponent),
        (b"a\0", TreeError::EmptyComponent),
        (b"", TreeError::Empty),
    ] {
        assert_eq!(check_key(key), Err(error), "{key:?}");
    }
}

#[test]
fn a_neighbour_with_the_same_start_is_not_within() {
    assert!(is_within(b"a\0b", b"a") && is_within(b"a", b"a") && is_within(b"a", b""));
    assert!(!is_within(b"ab", b"a") && !is_within(b"a", b"a\0b") && !is_within(b"b", b"a"));
}

#[test]
fn an_entry_below_a_link_or_file_or_nothing_is_refused() {
    let mut shape = Shape::new();
    for (key, kind) in [
        (&b"a"[..], Kind::Directory),
        (b"a\0b", Kind::Directory),
        (b"a\0b\0c", Kind::File),
        (b"a\0d", Kind::Symlink),
        (b"a\0e", Kind::Directory),
        (b"f", Kind::Symlink),
    ] {
        assert_eq!(shape.check(key, kind), Ok(()), "{key:?}");
    }
    assert_eq!(shape.clone().check(b"f\0x", Kind::File), Err(TreeError::NoDirectory));
    assert_eq!(shape.clone().check(b"g\0x", Kind::File), Err(TreeError::NoDirectory));
    assert_eq!(shape.check(b"..", Kind::File), Err(TreeError::Dots));
    let mut part = Shape::new();
    assert_eq!(part.check(b"a\0b", Kind::Directory), Ok(()), "a walk may begin inside");
    assert_eq!(part.check(b"a\0b\0c", Kind::File), Ok(()));
    assert_eq!(part.check(b"a\0b\0c\0d", Kind::File), Err(TreeError::NoDirectory));
}

#[test]
fn a_lookup_finds_what_is_there_and_nothing_else() {
    let keys: BTreeSet<Vec<u8>> =
        (0..4_000).map(|number| format!("d{}\0f{number}", number / 50).into_bytes()).collect();
    let (root, nodes) = tree(&keys);
    let mut lookup = Lookup::new(root, b"");
    for number in [3_999, 0, 17, 18, 5_000] {
        let key = format!("d{}\0f{number}", number / 50).into_bytes();
        lookup.another(&key);
        let mut found = false;
        loop {
            match lookup.step().unwrap() {
                Step::Need(id) => lookup.give(id, nodes[&id].clone()).unwrap(),
                Step::Entry { key: seen, .. } => {
                    assert_eq!(seen, key);
                    found = true;
                }
                Step::End => break,
            }
        }
        assert_eq!(found, keys.contains(&key), "{number}");
    }
}

#[test]
fn a_walk_over_one_directory_needs_only_its_nodes() {
    let mut keys: BTreeSet<Vec<u8>> =
        (0..9_000).map(|number| format!("d{}\0f{number}", number / 50).into_bytes()).collect();
    keys.extend((0..180).map(|number| format!("d{number}").into_bytes()));
    let (root, nodes) = tree(&keys);
    let (found, needed) = walk(root, &nodes, b"d17");
    assert_eq!(found.len(), 51);
    assert_eq!(found, keys.iter().filter(|key| is_within(key, b"d17")).cloned().collect::<Vec<_>>());
    assert!(needed <= 6, "{needed} of {} nodes", nodes.len());
    assert_eq!(walk(root, &nodes, b"d17\0f850").0, [b"d17\0f850"]);
    assert!(walk(root, &nodes, b"d17\0").0.is_empty() && walk(root, &nodes, b"nothing").0.is_empty());
    assert_eq!(walk(root, &nodes, b"").0.len(), keys.len());
}

proptest! {
    #[test]
    fn a_walk_finds_what_a_filter_finds(
        keys in proptest::collection::btree_set(proptest::collection::vec(0_u8..3, 1..6), 0..200),
        ancestor in proptest::collection::vec(0_u8..3, 0..4),
    ) {
        let (root, nodes) = tree(&keys);
        let expected: Vec<_> = keys.iter().filter(|key| is_within(key, &ancestor)).cloned().collect();
        prop_assert_eq!(walk(root, &nodes, &ancestor).0, expected);
    }

    #[test]
    fn any_bytes_are_a_key_or_are_not(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        check_key_bytes(&bytes);
        let few: Vec<u8> = bytes.iter().map(|byte| b"a./\0\xff"[usize::from(byte % 5)]).collect();
        check_key_bytes(&few);
    }
}
