//! What differs between two maps, in key order, without reading what they have in common: equal ranges are equal nodes.
//!
//! Two cursors walk side by side. Where both are before the same node it is passed over on both sides; where they are before
//! different ones the higher is read, or both. So it costs the nodes that differ, and those above them. It asks for nodes and never waits, as a
//! cursor does; read `file/map/cursor.rs` first.

use core::cmp::Ordering;

use super::cursor::{Ahead, MapCursor, Step};
use super::error::MapError;
use crate::base::ids::ChunkId;

/// One of the two maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The first.
    Before,
    /// The second.
    After,
}

/// What [`Differ::step`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference<'a> {
    /// Give this node of this side, then step again.
    Need(Side, ChunkId),
    /// An entry of one side, or two with the same key that differ.
    Entry {
        /// Greater than the one before.
        key: &'a [u8],
        /// Value and tail in the first map, if it is there.
        before: Option<(&'a [u8], &'a [u8])>,
        /// ... and in the second.
        after: Option<(&'a [u8], &'a [u8])>,
    },
    /// There are no more.
    End,
}

/// Two places, one in each map.
#[derive(Debug)]
pub struct Differ {
    /// In the first.
    before: Walk,
    /// In the second.
    after: Walk,
}

/// A place in one map.
#[derive(Debug)]
struct Walk {
    /// The place; None: this map is empty.
    cursor: Option<MapCursor>,
    /// What is there.
    at: At,
}

/// What is at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// It was not looked at yet, or the entry there was told.
    Fresh,
    /// A node that was not read.
    Node(ChunkId),
    /// An entry.
    Entry,
    /// The end.
    End,
}

/// What is to be done next.
enum Turn {
    /// A side's node must be read.
    Read(Side, ChunkId),
    /// The entry of the first map is told, that of the second, or both.
    Tell(bool, bool),
    /// Both go on.
    PassOver,
    /// Nothing.
    End,
}

impl Differ {
    /// Before the first difference of the maps with these roots. None is an empty map.
    #[must_use]
    pub fn new(before: Option<ChunkId>, after: Option<ChunkId>) -> Self {
        Self { before: Walk::new(before), after: Walk::new(after) }
    }

    /// What is below `key` is passed over in both; before the first step.
    pub fn seek(&mut self, key: &[u8]) {
        for walk in [&mut self.before, &mut self.after] {
            if let Some(cursor) = &mut walk.cursor {
                cursor.seek(key);
            }
        }
    }

    /// The next difference, or a node that is needed to know it.
    ///
    /// # Errors
    /// See [`MapCursor::step`].
    pub fn step(&mut self) -> Result<Difference<'_>, MapError> {
        loop {
            self.before.look()?;
            self.after.look()?;
            match self.turn() {
                Turn::End => return Ok(Difference::End),
                Turn::Read(side, id) => return Ok(Difference::Need(side, id)),
                Turn::PassOver => {
                    self.before.pass_over();
                    self.after.pass_over();
                }
                Turn::Tell(before, after) => {
                    let before = if before { self.before.told() } else { None };
                    let after = if after { self.after.told() } else { None };
                    let Some((key, ..)) = before.or(after) else { return Err(MapError::Malformed) };
                    let rest = |(_, value, tail)| (value, tail);
                    return Ok(Difference::Entry { key, before: before.map(rest), after: after.map(rest) });
                }
            }
        }
    }

    /// Gives a node that is needed.
    ///
    /// # Errors
    /// See [`MapCursor::give`].
    pub fn give(&mut self, side: Side, id: ChunkId, bytes: Vec<u8>) -> Result<(), MapError> {
        let walk = self.walk(side);
        let Some(cursor) = &mut walk.cursor else { return Err(MapError::Unexpected(id)) };
        cursor.give(id, bytes)?;
        walk.at = At::Fresh;
        Ok(())
    }

    /// Gives up on the node that is needed: the walk goes on as if it held nothing.
    pub fn skip(&mut self, side: Side) {
        self.walk(side).pass_over();
    }

    /// One of the two.
    fn walk(&mut self, side: Side) -> &mut Walk {
        match side {
            Side::Before => &mut self.before,
            Side::After => &mut self.after,
        }
    }

    /// Decides from what is at both places.
    fn turn(&self) -> Turn {
        let (before, after) = (&self.before, &self.after);
        match (before.at, after.at) {
            (At::End, At::End) => Turn::End,
            (At::Node(one), At::Node(other)) if one == other => Turn::PassOver,
            (At::Node(one), At::Node(other)) => match before.level().cmp(&after.level()) {
                // What one side has not got at all need not be compared: the other one's nodes stay unread for later.
                _ if before.ends_before(after) => Turn::Read(Side::Before, one),
                _ if after.ends_before(before) => Turn::Read(Side::After, other),
                Ordering::Less => Turn::Read(Side::After, other),
                Ordering::Equal | Ordering::Greater => Turn::Read(Side::Before, one),
            },
            (At::Entry, At::Node(_)) if before.ends_before(after) => Turn::Tell(true, false),
            (At::Node(_), At::Entry) if after.ends_before(before) => Turn::Tell(false, true),
            (At::Node(id), _) => Turn::Read(Side::Before, id),
            (_, At::Node(id)) => Turn::Read(Side::After, id),
            (At::Entry, At::Entry) => match (before.entry(), after.entry()) {
                (Some(one), Some(other)) if one == other => Turn::PassOver,
                (Some((one, ..)), Some((other, ..))) => Turn::Tell(one <= other, other <= one),
                _ => Turn::End,
            },
            (At::Entry, _) => Turn::Tell(true, false),
            (_, At::Entry) => Turn::Tell(false, true),
            // Both were looked at.
            (At::Fresh, _) | (_, At::Fresh) => Turn::End,
        }
    }
}

impl Walk {
    /// Before the first entry.
    fn new(root: Option<ChunkId>) -> Self {
        Self { cursor: root.map(MapCursor::new), at: At::Fresh }
    }

    /// Looks at what is there, if that was not done.
    fn look(&mut self) -> Result<(), MapError> {
        if self.at == At::Fresh {
            self.at = match self.cursor.as_mut().map(MapCursor::step).transpose()? {
                Some(Step::Need(id)) => At::Node(id),
                Some(Step::Entry { .. }) => At::Entry,
                Some(Step::End) | None => At::End,
            };
        }
        Ok(())
    }

    /// Goes on behind the node or entry.
    fn pass_over(&mut self) {
        if let (Some(cursor), At::Node(_)) = (&mut self.cursor, self.at) {
            cursor.skip();
        }
        if self.at != At::End {
            self.at = At::Fresh;
        }
    }

    /// The entry; the next look goes on behind it.
    fn told(&mut self) -> Option<(&[u8], &[u8], &[u8])> {
        self.at = At::Fresh;
        self.entry()
    }

    /// The entry.
    fn entry(&self) -> Option<(&[u8], &[u8], &[u8])> {
        self.cursor.as_ref().and_then(MapCursor::entry)
    }

    /// What is known of the node.
    fn ahead(&self) -> Option<Ahead<'_>> {
        self.cursor.as_ref().and_then(MapCursor::ahead)
    }

    /// The level of the node; of a root it is not known, and more than any.
    fn level(&self) -> u8 {
        self.ahead().map_or(u8::MAX, |ahead| ahead.level)
    }

    /// Whether all of the node or entry here comes before all of the node there.
    fn ends_before(&self, other: &Self) -> bool {
        let floor = other.ahead().and_then(|ahead| ahead.floor);
        let last = match self.at {
            At::Entry => self.entry().map(|(key, ..)| key),
            At::Node(_) => self.ahead().map(|ahead| ahead.last),
            At::Fresh | At::End => None,
        };
        matches!((last, floor), (Some(last), Some(floor)) if last <= floor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MapBuilder, NodeParts};
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_core::{RngCore, SeedableRng};
    use std::collections::{BTreeMap, HashMap};

    /// Entries of a map.
    type Entries = BTreeMap<Vec<u8>, Vec<u8>>;
    /// Nodes by their id.
    type Nodes = HashMap<ChunkId, Vec<u8>>;
    /// Key, value before, value after.
    type Found = Vec<(Vec<u8>, Option<Vec<u8>>, Option<Vec<u8>>)>;

    /// Builds a map; its nodes are added.
    fn build(entries: &Entries, nodes: &mut Nodes) -> ChunkId {
        let mut seal = |parts: NodeParts<'_>| {
            let id = ChunkId::from_bytes(*blake3::hash(parts.compress).as_bytes());
            nodes.insert(id, parts.compress.to_vec());
            id
        };
        let mut builder = MapBuilder::new(&[0; 32]);
        for (key, value) in entries {
            builder.push(key, value, b"", &mut seal).unwrap();
        }
        builder.finish(&mut seal).unwrap()
    }

    /// All differences from `key` on, and how many nodes were read.
    fn differences(
        before: Option<ChunkId>,
        after: Option<ChunkId>,
        nodes: &Nodes,
        key: &[u8],
    ) -> (Found, usize) {
        let mut differ = Differ::new(before, after);
        differ.seek(key);
        let (mut found, mut read) = (Found::new(), 0);
        loop {
            match differ.step().unwrap() {
                Difference::Need(side, id) => {
                    read += 1;
                    differ.give(side, id, nodes[&id].clone()).unwrap();
                }
                Difference::Entry { key, before, after } => {
                    let value = |side: Option<(&[u8], &[u8])>| side.map(|(value, _)| value.to_vec());
                    found.push((key.to_vec(), value(before), value(after)));
                }
                Difference::End => return (found, read),
            }
        }
    }

    /// What a comparison of all entries finds from `key` on.
    fn expected(before: &Entries, after: &Entries, from: &[u8]) -> Found {
        let mut keys: Vec<&Vec<u8>> = before.keys().chain(after.keys()).collect();
        keys.sort();
        keys.dedup();
        keys.into_iter()
            .filter(|key| key.as_slice() >= from && before.get(*key) != after.get(*key))
            .map(|key| (key.clone(), before.get(key).cloned(), after.get(key).cloned()))
            .collect()
    }

    /// The key of a number.
    fn key_of(number: u32) -> Vec<u8> {
        [&[b'k'; 60], &number.to_be_bytes()[..]].concat()
    }

    #[test]
    fn what_differs_is_found_and_nothing_else() {
        for seed in 0..60 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut draw = |bound: u32| rng.next_u32() % bound;
            let mut nodes = Nodes::new();
            let count = [0, 1, 30, 3_000][usize::try_from(seed % 4).unwrap()];
            let before: Entries =
                (0..count).filter(|_| draw(10) > 0).map(|number| (key_of(number), vec![1; 300])).collect();
            let mut after = if seed % 7 == 0 { Entries::new() } else { before.clone() };
            for _ in 0..draw(40) {
                let number = draw(count + 50);
                match draw(3) {
                    0 => after.remove(&key_of(number)),
                    1 => after.insert(key_of(number), vec![2; 300]),
                    _ => after.insert([key_of(number), vec![0]].concat(), vec![3; 900]),
                };
            }
            let (one, other) = (build(&before, &mut nodes), build(&after, &mut nodes));
            let from = if seed % 3 == 0 { key_of(draw(count + 1)) } else { Vec::new() };
            let (found, _) = differences(Some(one), Some(other), &nodes, &from);
            assert_eq!(found, expected(&before, &after, &from), "seed {seed}");
            let (back, _) = differences(Some(other), Some(one), &nodes, &from);
            assert_eq!(back, expected(&after, &before, &from), "seed {seed}, turned round");
            let (all, _) = differences(None, Some(other), &nodes, &from);
            assert_eq!(all, expected(&Entries::new(), &after, &from), "seed {seed}, against nothing");
        }
    }

    #[test]
    fn only_the_nodes_that_differ_are_read() {
        let mut nodes = Nodes::new();
        let before: Entries = (0..40_000).map(|number| (key_of(number), vec![1; 300])).collect();
        let mut after = before.clone();
        for number in [5, 20_000, 39_999] {
            after.insert(key_of(number), vec![2; 300]);
        }
        after.remove(&key_of(10_000));
        after.insert([key_of(30_000), vec![7]].concat(), vec![3; 300]);
        let (one, other) = (build(&before, &mut nodes), build(&after, &mut nodes));
        assert!(nodes.len() > 300, "{} nodes", nodes.len());
        let (found, read) = differences(Some(one), Some(other), &nodes, b"");
        assert_eq!(found, expected(&before, &after, b""));
        assert!(read <= 40, "{read} of {} nodes are read", nodes.len());
        assert_eq!(
            differences(Some(one), Some(one), &nodes, b""),
            (Found::new(), 0),
            "equal maps cost nothing"
        );
    }

    #[test]
    fn a_node_that_cannot_be_had_is_passed_over() {
        let mut nodes = Nodes::new();
        let before: Entries = (0..3_000).map(|number| (key_of(number), vec![1; 300])).collect();
        let mut after = before.clone();
        after.insert(key_of(1_000), vec![2; 300]);
        after.insert(key_of(2_999), vec![2; 300]);
        let (one, other) = (build(&before, &mut nodes), build(&after, &mut nodes));
        let mut differ = Differ::new(Some(one), Some(other));
        let mut keys = Vec::new();
        let mut lost = false;
        loop {
            match differ.step().unwrap() {
                Difference::Need(side, id) if !lost && side == Side::After && nodes[&id][1] == 0 => {
                    lost = true;
                    differ.skip(side);
                }
                Difference::Need(side, id) => differ.give(side, id, nodes[&id].clone()).unwrap(),
                Difference::Entry { key, .. } => keys.push(key.to_vec()),
                Difference::End => break,
            }
        }
        assert!(lost && keys.contains(&key_of(2_999)), "what lies behind it is found");
    }
}
