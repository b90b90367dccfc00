//! The sorted map cut into chunks by content: trees, manifests and long lists of pieces are three uses of it.
//!
//! A map is a tree of nodes. Leaves (level 0) hold the entries: key, value and an optional tail. A node above holds
//! for each child its last key and its chunk id. Where nodes end is decided by the keys alone: a key closes its node
//! when its hash, keyed by the map key and the level, is below the entry's length / 32 KiB as a fraction; and a cut is
//! forced 512 KiB after the node's start. So the shape is a function of the set of entries, whatever the history, and
//! equal ranges of two maps are equal nodes. The lowest level that has but one node is the root.
//!
//! ```text
//!  level 1                [ c | f | k ]
//!                        /      |      \
//!  level 0      [ a b c ]   [ d e f ]   [ g h i j k ]
//! ```
//!
//! This file builds; `map/node.rs` owns the bytes of a node, `map/cursor.rs` reads. None of them knows a cipher or a
//! store: who builds is given a function from node to chunk id, who reads gives the nodes that are asked for. Memory
//! is one open node a level, whatever the number of entries.

pub mod cursor;
pub mod node;

pub use cursor::{MapCursor, Step};
pub use node::check_node_bytes;

use crate::base::ids::ChunkId;
use crate::base::limits::{
    ENTRY_BYTES_MAX, MAP_KEY_BYTES_MAX, MAP_LEVELS_MAX, NODE_BYTES_MAX, NODE_BYTES_MEAN, TAIL_BYTES_MAX,
};
use core::fmt;
use node::{Added, NodeWriter};

/// A finished node. Its bytes are `compress` and then `follow`, and tell by themselves where one ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeParts<'a> {
    /// 0 for a leaf.
    pub level: u8,
    /// Keys and values, to be compressed as one.
    pub compress: &'a [u8],
    /// Tails, compressed each by itself, to be left as they are.
    pub follow: &'a [u8],
}

/// Takes a finished node away and says what it is called from now on.
pub type SealNode<'a> = dyn FnMut(NodeParts<'_>) -> ChunkId + 'a;

/// Why entries make no map, or bytes are no part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapError {
    /// A key is not greater than the one before it.
    Order,
    /// A key, an entry, a tail or a node is longer than it may be.
    TooLong,
    /// More levels than a map can have.
    TooDeep,
    /// The node was written by a version of nuthatch that is newer than this one, or is damaged.
    Format(u8),
    /// The bytes are no node.
    Malformed,
    /// The node is of another level than its place.
    Level {
        /// What it says.
        found: u8,
    },
    /// The node's keys are not those that its parent tells of.
    Range,
    /// This node was not asked for.
    Unexpected(ChunkId),
}

impl fmt::Display for MapError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order => formatter.write_str("keys of a map do not ascend"),
            Self::TooLong => formatter.write_str("an entry or node of a map is longer than it may be"),
            Self::TooDeep => formatter.write_str("a map has too many levels"),
            Self::Format(format) => {
                write!(
                    formatter,
                    "map node of format {format}, which this version does not know: update nuthatch"
                )
            }
            Self::Malformed => formatter.write_str("map node is malformed"),
            Self::Level { found } => {
                write!(formatter, "map node of level {found} stands in another level's place")
            }
            Self::Range => formatter.write_str("map node's keys are not those that its parent tells of"),
            Self::Unexpected(id) => write!(formatter, "map node {} was not asked for", id.short()),
        }
    }
}

impl std::error::Error for MapError {}

/// Builds a map from its entries in ascending order.
#[derive(Debug)]
pub struct MapBuilder {
    /// What decides over cuts.
    key: [u8; 32],
    /// The open node of each level that has begun, leaves first.
    levels: Vec<Level>,
    /// Entries so far.
    entries: u64,
}

/// The open node of one level.
#[derive(Debug)]
struct Level {
    /// The map key, bound to this level.
    key: [u8; 32],
    /// The node.
    open: NodeWriter,
    /// Length of the open node as the rule of cutting counts it, in bytes.
    length: usize,
    /// The last entry closes the node. It is sealed only when another follows on this level, or at the end: only then it
    /// is known whether it is the root.
    closed: bool,
    /// A node of this level was sealed.
    sealed: bool,
}

impl MapBuilder {
    /// Begins an empty map whose shape is decided by `key`.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self { key: *key, levels: vec![Level::new(key, 0)], entries: 0 }
    }

    /// Adds an entry, whose key is greater than all so far. Nodes that it closes are given to `seal`, children first.
    ///
    /// # Errors
    /// When the key is not greater, or something is longer than limits.rs allows. The entry is not added then.
    pub fn push(
        &mut self,
        key: &[u8],
        value: &[u8],
        tail: &[u8],
        seal: &mut SealNode<'_>,
    ) -> Result<(), MapError> {
        if key.len() > MAP_KEY_BYTES_MAX
            || key.len() + value.len() > ENTRY_BYTES_MAX
            || tail.len() > TAIL_BYTES_MAX
        {
            return Err(MapError::TooLong);
        }
        if self.entries > 0 && key <= self.levels[0].open.last_key() {
            return Err(MapError::Order);
        }
        if self.levels[0].closed {
            self.rise(0, seal)?;
        }
        self.levels[0].add(Added { key, value, tail });
        self.entries += 1;
        Ok(())
    }

    /// How many entries it has.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Ends the map: seals what is open and gives the root. An empty map is one empty leaf.
    ///
    /// # Errors
    /// When there are too many levels.
    pub fn finish(mut self, seal: &mut SealNode<'_>) -> Result<ChunkId, MapError> {
        let mut level = 0;
        loop {
            let top = &mut self.levels[level];
            if !top.sealed {
                // The only node of its level; above the leaves it has several children, for the level below was sealed
                // before.
                return Ok(top.seal(seal));
            }
            self.rise(level, seal)?;
            level += 1;
        }
    }

    /// Seals the open node of `level` and tells the level above of it.
    fn rise(&mut self, level: usize, seal: &mut SealNode<'_>) -> Result<(), MapError> {
        let above = level + 1;
        if above == self.levels.len() {
            let number = u8::try_from(above).map_err(|_| MapError::TooDeep)?;
            if number >= MAP_LEVELS_MAX {
                return Err(MapError::TooDeep);
            }
            self.levels.push(Level::new(&self.key, number));
        }
        if self.levels[above].closed {
            self.rise(above, seal)?;
        }
        let (below, upper) = self.levels.split_at_mut(above);
        let id = below[level].seal(seal);
        upper[0].add(Added { key: below[level].open.last_key(), value: id.as_bytes(), tail: &[] });
        Ok(())
    }
}

impl Level {
    /// A level without a node.
    fn new(key: &[u8; 32], number: u8) -> Self {
        let key = *blake3::keyed_hash(key, &[number]).as_bytes();
        Self { key, open: NodeWriter::new(number), length: 0, closed: false, sealed: false }
    }

    /// Adds an entry to the open node, and decides whether it closes it.
    fn add(&mut self, entry: Added<'_>) {
        self.open.add(entry);
        let length = entry.key.len() + entry.value.len() + entry.tail.len() + ENTRY_OVERHEAD_BYTES;
        self.length += length;
        self.closed = self.length >= NODE_BYTES_MAX || self.closes(entry.key, length);
    }

    /// Is the hash of `key` below `length` / [`NODE_BYTES_MEAN`] as a fraction?
    fn closes(&self, key: &[u8], length: usize) -> bool {
        let hash = blake3::keyed_hash(&self.key, key);
        let (eight, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        // hash / 2^64 < length / mean, without division. Both lengths are below 2^20.
        let mean = u128::try_from(NODE_BYTES_MEAN).unwrap_or(u128::MAX);
        let length = u128::try_from(length).unwrap_or(0);
        u128::from(u64::from_be_bytes(*eight)) * mean < length << 64
    }

    /// Gives the open node to `seal` and begins the next.
    fn seal(&mut self, seal: &mut SealNode<'_>) -> ChunkId {
        let id = seal(self.open.parts());
        self.open.clear();
        self.length = 0;
        self.closed = false;
        self.sealed = true;
        id
    }
}

/// What an entry counts beside its key, value and tail: about what their lengths take in a node.
const ENTRY_OVERHEAD_BYTES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
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
        let bytes = || proptest::collection::vec(any::<u8>(), 0..2_000);
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
        #![proptest_config(ProptestConfig::with_cases(64))]

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
    const GOLDEN_ROOT: (&str, usize) =
        ("b36f177754d076edcd6322d87f962ff570f6f50e91401d6f987d834bbba3a693", 21);
}
