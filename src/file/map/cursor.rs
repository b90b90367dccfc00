//! Reads a map from its root, entry by entry; asks for the nodes that it needs and never waits.
//!
//! ```text
//!             step: Need(id)            give(id, bytes)
//!  at an end ----------------> waiting ----------------> at a node ---step: Entry, Entry, ...---> at an end
//! ```
//!
//! Nodes may come from a stranger: each is checked as a whole when it is given (level, order, the range that its
//! parent tells, no byte too many), so an entry is never shown of a node that turns out to be wrong further on. That the
//! bytes belong to the id is for the giver to check, who knows whether they were sealed. One node a level is held.

use super::error::MapError;
use super::node::NodeReader;
use crate::base::ids::ChunkId;
use crate::base::limits::MAP_LEVELS_MAX;

/// What [`MapCursor::step`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Give this node, then step again.
    Need(ChunkId),
    /// The next entry.
    Entry {
        /// Greater than the one before.
        key: &'a [u8],
        /// Its value.
        value: &'a [u8],
        /// Its tail, empty if there is none.
        tail: &'a [u8],
    },
    /// There are no more.
    End,
}

/// A place in a map.
#[derive(Debug)]
pub struct MapCursor {
    /// The nodes on the way from the root to here.
    path: Vec<Place>,
    /// The node that is needed next: the root, or the child where the last of the path stands.
    pending: Option<ChunkId>,
    /// Entries before this key are passed over, if `seeking`.
    target: Vec<u8>,
    /// The first entry from `target` on is looked for.
    seeking: bool,
}

/// What a parent tells of a child that was not read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead<'a> {
    /// Its level.
    pub(super) level: u8,
    /// All its keys are greater than this.
    pub(super) floor: Option<&'a [u8]>,
    /// Its last key.
    pub(super) last: &'a [u8],
}

/// A node on the way.
#[derive(Debug)]
struct Place {
    /// The node and the entry where it stands.
    node: NodeReader,
    /// Above the leaves: all keys of the child where it stands are greater than this.
    floor: Option<Vec<u8>>,
}

impl MapCursor {
    /// A cursor before the first entry of the map with this root.
    #[must_use]
    pub fn new(root: ChunkId) -> Self {
        Self { path: Vec::new(), pending: Some(root), target: Vec::new(), seeking: false }
    }

    /// Moves so that the next step yields the first entry with this key or a greater one. Nodes that are held and lie on the
    /// way are not needed again.
    pub fn seek(&mut self, key: &[u8]) {
        self.target.clear();
        self.target.extend_from_slice(key);
        self.seeking = true;
        let kept = 1 + self.path.iter().take_while(|place| place.stands_over(key)).count();
        if kept <= self.path.len() {
            self.path.truncate(kept);
            self.pending = None;
            let above = self.floor_above(kept - 1);
            if let Some(place) = self.path.last_mut().filter(|place| !place.is_before(key)) {
                place.node.rewind();
                place.floor = above;
            }
        } else if self.pending.is_none() {
            // A seek went on from this child, and this one comes back before any step.
            self.pending = self.path.last().map(|place| place.node.child());
        }
    }

    /// The next entry, or the node that is needed to know it. The entry is valid until the next call.
    ///
    /// # Errors
    /// None that [`MapCursor::give`] would not have found before.
    pub fn step(&mut self) -> Result<Step<'_>, MapError> {
        loop {
            if let Some(id) = self.pending {
                return Ok(Step::Need(id));
            }
            let depth = self.path.len();
            let Some(place) = self.path.last_mut() else {
                return Ok(Step::End);
            };
            if !place.advance()? {
                if depth == 1 {
                    return Ok(Step::End);
                }
                self.path.pop();
            } else if self.seeking && place.node.key() < self.target.as_slice() {
                // Not there yet. Above the leaves: the child ends before it.
            } else if place.node.level() > 0 {
                self.pending = Some(place.node.child());
            } else {
                self.seeking = false;
                break;
            }
        }
        Ok(match self.path.last() {
            Some(Place { node, .. }) => {
                Step::Entry { key: node.key(), value: node.value(), tail: node.tail() }
            }
            None => Step::End,
        })
    }

    /// Gives the node that [`MapCursor::step`] needs: its plain bytes, which the caller has checked to be those of `id`.
    ///
    /// # Errors
    /// When it is not the one that is needed, or cannot stand at its place; it is then still needed.
    pub fn give(&mut self, id: ChunkId, bytes: Vec<u8>) -> Result<(), MapError> {
        if self.pending != Some(id) {
            return Err(MapError::Unexpected(id));
        }
        let floor = self.floor_above(self.path.len());
        let mut place = Place { node: NodeReader::new(bytes)?, floor };
        place.check(self.path.last())?;
        if self.path.len() >= usize::from(MAP_LEVELS_MAX) {
            return Err(MapError::TooDeep);
        }
        self.path.push(place);
        self.pending = None;
        Ok(())
    }

    /// Gives up on the node that is needed: the walk goes on behind it, as if it held nothing.
    pub fn skip(&mut self) {
        self.pending = None;
    }

    /// The entry that the last step came to, if it came to one.
    pub(super) fn entry(&self) -> Option<(&[u8], &[u8], &[u8])> {
        let place = self.path.last().filter(|place| place.node.level() == 0 && place.node.started())?;
        Some((place.node.key(), place.node.value(), place.node.tail()))
    }

    /// What is known of the node that is needed, if it is not the root.
    pub(super) fn ahead(&self) -> Option<Ahead<'_>> {
        let parent = self.path.last().filter(|_| self.pending.is_some())?;
        let level = parent.node.level().saturating_sub(1);
        Some(Ahead { level, floor: parent.floor.as_deref(), last: parent.node.key() })
    }

    /// At most `limit` nodes that will be needed after the present one, in order, as far as the held nodes tell.
    #[must_use]
    pub fn upcoming(&self, limit: usize) -> Vec<ChunkId> {
        self.upcoming_while(limit, |_| true)
    }

    /// Likewise, until `wanted` says false of a key that all keys of the node are greater than.
    pub(crate) fn upcoming_while(&self, limit: usize, mut wanted: impl FnMut(&[u8]) -> bool) -> Vec<ChunkId> {
        let mut ids = Vec::new();
        if limit == 0 {
            return ids;
        }
        for place in self.path.iter().rev().filter(|place| place.node.level() > 0) {
            let mut go_on = true;
            place.node.look_ahead(|before, id| {
                go_on = wanted(before);
                if go_on {
                    ids.push(id);
                }
                go_on && ids.len() < limit
            });
            if !go_on || ids.len() == limit {
                break;
            }
        }
        ids
    }

    /// What all keys of a node at this depth are greater than.
    fn floor_above(&self, depth: usize) -> Option<Vec<u8>> {
        self.path[..depth].last().and_then(|parent| parent.floor.clone())
    }
}

impl Place {
    /// Moves to the next entry.
    fn advance(&mut self) -> Result<bool, MapError> {
        if self.node.level() > 0 && self.node.started() {
            let floor = self.floor.get_or_insert_default();
            floor.clear();
            floor.extend_from_slice(self.node.key());
        }
        self.node.advance()
    }

    /// Is the first entry from `key` on in the child where it stands, if anywhere?
    fn stands_over(&self, key: &[u8]) -> bool {
        let above_floor = self.floor.as_deref().is_none_or(|floor| key > floor);
        self.node.level() > 0 && self.node.started() && above_floor && key <= self.node.key()
    }

    /// Lies the first entry from `key` on behind the entry where it stands?
    fn is_before(&self, key: &[u8]) -> bool {
        self.node.started() && self.node.key() < key
    }

    /// Reads the whole node once: can it stand below `parent`, or be a root if there is none?
    fn check(&mut self, parent: Option<&Place>) -> Result<(), MapError> {
        let level = self.node.level();
        if parent.is_some_and(|parent| parent.node.level() != level + 1) {
            return Err(MapError::Level { found: level });
        }
        let mut entries: usize = 0;
        while self.node.advance()? {
            entries += 1;
            if entries == 1 && self.floor.as_deref().is_some_and(|floor| self.node.key() <= floor) {
                return Err(MapError::Range);
            }
        }
        match parent {
            Some(_) if entries == 0 => return Err(MapError::Malformed),
            Some(parent) if parent.node.key() != self.node.key() => return Err(MapError::Range),
            // A root above the leaves with one child is not the lowest level of one node.
            None if level > 0 && entries < 2 => return Err(MapError::Malformed),
            _ => {}
        }
        self.node.rewind();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MapBuilder, NodeParts};
    use super::*;
    use std::collections::HashMap;

    /// Nodes by their id.
    type Nodes = HashMap<ChunkId, Vec<u8>>;

    /// The key of a number, long enough for several nodes above the leaves.
    fn key_of(number: u32) -> Vec<u8> {
        [&[b'k'; 100], &number.to_be_bytes()[..]].concat()
    }

    /// A map of `count` numbers.
    fn numbers(count: u32) -> (ChunkId, Nodes) {
        let mut nodes = Nodes::new();
        let mut seal = |parts: NodeParts<'_>| {
            let id = ChunkId::from_bytes(*blake3::hash(parts.compress).as_bytes());
            nodes.insert(id, parts.compress.to_vec());
            id
        };
        let mut builder = MapBuilder::new(&[0; 32]);
        for number in 0..count {
            builder.push(&key_of(number), &[5; 1_000], b"", &mut seal).unwrap();
        }
        let root = builder.finish(&mut seal).unwrap();
        (root, nodes)
    }

    /// A node of these entries.
    fn node(level: u8, entries: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut writer = super::super::node::NodeWriter::new(level);
        for (key, value) in entries {
            writer.add(super::super::node::Added { key, value, tail: b"" });
        }
        writer.parts().compress.to_vec()
    }

    /// A chunk id of equal bytes.
    fn id(byte: u8) -> ChunkId {
        ChunkId::from_bytes([byte; 32])
    }

    /// A cursor that needs the second child, with keys above "f" up to "k", of a root that was given.
    fn waiting() -> MapCursor {
        let mut cursor = MapCursor::new(id(9));
        cursor.give(id(9), node(1, &[(b"f", &[1; 32]), (b"k", &[2; 32])])).unwrap();
        cursor.seek(b"g");
        assert_eq!(cursor.step(), Ok(Step::Need(id(2))));
        cursor
    }

    #[test]
    fn nodes_that_cannot_stand_at_their_place_are_refused_and_still_needed() {
        let mut cursor = waiting();
        assert_eq!(cursor.give(id(1), node(0, &[(b"f", b"")])), Err(MapError::Unexpected(id(1))));
        for (bytes, error) in [
            (node(1, &[(b"k", &[3; 32])]), MapError::Level { found: 1 }),
            (node(0, &[(b"f", b""), (b"k", b"")]), MapError::Range), // not above the child before
            (node(0, &[(b"g", b""), (b"j", b"")]), MapError::Range), // does not end where it should
            (node(0, &[(b"g", b""), (b"l", b"")]), MapError::Range), // ends too late
            (node(0, &[]), MapError::Malformed),
            ([node(0, &[(b"k", b"")]), vec![0]].concat(), MapError::Malformed),
        ] {
            assert_eq!(cursor.give(id(2), bytes), Err(error));
            assert_eq!(cursor.step(), Ok(Step::Need(id(2))));
        }
        cursor.give(id(2), node(0, &[(b"g", b"7"), (b"k", b"")])).unwrap();
        assert_eq!(cursor.step(), Ok(Step::Entry { key: b"g", value: b"7", tail: b"" }));
    }

    #[test]
    fn a_root_above_the_leaves_has_several_children() {
        let mut cursor = MapCursor::new(id(1));
        assert_eq!(cursor.give(id(1), node(1, &[(b"k", &[2; 32])])), Err(MapError::Malformed));
        assert_eq!(cursor.give(id(1), node(MAP_LEVELS_MAX, &[(b"k", &[2; 32])])), Err(MapError::TooDeep));
        assert_eq!(cursor.give(id(1), node(0, &[])), Ok(()));
        assert_eq!(cursor.step(), Ok(Step::End));
        assert_eq!(cursor.step(), Ok(Step::End));
    }

    #[test]
    fn upcoming_nodes_are_those_that_are_needed_next() {
        let (root, nodes) = numbers(20_000);
        assert!(nodes[&root][1] == 2, "three levels");
        let mut cursor = MapCursor::new(root);
        let mut announced: Vec<ChunkId> = Vec::new();
        loop {
            match cursor.step().unwrap() {
                Step::Need(id) => {
                    let level = nodes[&id][1];
                    if let Some(expected) = announced.first().filter(|first| nodes[*first][1] == level) {
                        assert_eq!(id, *expected);
                    }
                    announced = cursor.upcoming(3);
                    assert!(announced.len() <= 3);
                    cursor.give(id, nodes[&id].clone()).unwrap();
                }
                Step::Entry { .. } => {}
                Step::End => break,
            }
        }
        assert!(cursor.upcoming(3).is_empty());
    }

    #[test]
    fn seeking_forward_needs_no_node_twice() {
        let (root, nodes) = numbers(5_000);
        let mut cursor = MapCursor::new(root);
        let mut needed = Vec::new();
        for number in (0_u32..5_000).step_by(7) {
            cursor.seek(&key_of(number));
            loop {
                match cursor.step().unwrap() {
                    Step::Need(id) => {
                        needed.push(id);
                        cursor.give(id, nodes[&id].clone()).unwrap();
                    }
                    Step::Entry { key, .. } => {
                        assert_eq!(key, key_of(number));
                        break;
                    }
                    Step::End => panic!("{number} is there"),
                }
            }
        }
        let count = needed.len();
        needed.sort_unstable();
        needed.dedup();
        assert_eq!(needed.len(), count);
    }

    #[test]
    fn a_cursor_at_the_end_can_seek_back() {
        let (root, nodes) = numbers(500);
        let mut cursor = MapCursor::new(root);
        for _ in 0..2 {
            cursor.seek(&key_of(499));
            let mut last = None;
            loop {
                match cursor.step().unwrap() {
                    Step::Need(id) => cursor.give(id, nodes[&id].clone()).unwrap(),
                    Step::Entry { key, .. } => last = Some(key.to_vec()),
                    Step::End => break,
                }
            }
            assert_eq!(last, Some(key_of(499)));
        }
    }
}
