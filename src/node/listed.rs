//! Which of a few ids do manifests list? Asked after a comparison with another node, before anything is fetched.
//!
//! Reads the nodes above the leaves of every manifest (they are chunks too, and name their children), and of the leaves those in
//! which a wanted id would stand: a few nodes for each manifest, and each once however many manifests share it. Owns no
//! storage: it says which node it needs, and takes its bytes. Read `file/map/node.rs` first.

use std::collections::BTreeSet;
use std::ops::Bound;

use crate::base::ids::ChunkId;
use crate::base::limits::COLLECT_VISITED_MAX;
use crate::file::map::node::NodeReader;

/// The search.
#[derive(Debug)]
pub struct Listed {
    /// Not found yet.
    wanted: BTreeSet<ChunkId>,
    /// Found.
    found: Vec<ChunkId>,
    /// Nodes that are to be read.
    todo: Vec<ChunkId>,
    /// Nodes that were read.
    visited: BTreeSet<ChunkId>,
    /// Nodes that could not be had, or are none: what they list is not known.
    unread: u64,
}

impl Listed {
    /// Looks for `wanted` in the manifests with these roots.
    #[must_use]
    pub fn new(wanted: impl IntoIterator<Item = ChunkId>, roots: impl IntoIterator<Item = ChunkId>) -> Self {
        let mut listed = Self {
            wanted: wanted.into_iter().collect(),
            found: Vec::new(),
            todo: roots.into_iter().collect(),
            visited: BTreeSet::new(),
            unread: 0,
        };
        for root in listed.todo.clone() {
            listed.see(root);
        }
        listed
    }

    /// The node that it needs next; None: all is known.
    pub fn poll(&mut self) -> Option<ChunkId> {
        while let Some(id) = self.todo.pop().filter(|_| !self.wanted.is_empty()) {
            if self.visited.len() >= COLLECT_VISITED_MAX {
                self.visited.clear();
            }
            if self.visited.insert(id) {
                return Some(id);
            }
        }
        None
    }

    /// The node came; None: it cannot be had.
    pub fn came(&mut self, bytes: Option<Vec<u8>>) {
        if bytes.is_none_or(|bytes| self.read(bytes).is_none()) {
            self.unread += 1;
        }
    }

    /// Nodes of which it is not known what they list.
    #[must_use]
    pub const fn unread(&self) -> u64 {
        self.unread
    }

    /// Those of the wanted ids that are listed.
    #[must_use]
    pub fn into_found(self) -> Vec<ChunkId> {
        self.found
    }

    /// Reads a node. None: it is none.
    fn read(&mut self, bytes: Vec<u8>) -> Option<()> {
        let mut reader = NodeReader::new(bytes).ok()?;
        let level = reader.level();
        let mut before: Option<ChunkId> = None;
        while reader.advance().ok()? {
            let key = ChunkId::from_bytes(<[u8; 32]>::try_from(reader.key()).ok()?);
            if level == 0 {
                self.see(key);
                continue;
            }
            // The key is the last one below the child.
            let child = reader.child();
            self.see(child);
            let from = before.map_or(Bound::Unbounded, Bound::Excluded);
            let is_near = || self.wanted.range((from, Bound::Included(key))).next().is_some();
            if (level > 1 || is_near()) && !self.visited.contains(&child) {
                self.todo.push(child);
            }
            before = Some(key);
        }
        Some(())
    }

    /// An id is listed.
    fn see(&mut self, id: ChunkId) {
        if self.wanted.remove(&id) {
            self.found.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::map::{MapBuilder, NodeParts};
    use crate::node::manifest::MANIFEST_MAP_KEY;
    use crate::seal::sealed::chunk_id;
    use std::collections::BTreeMap;

    /// The manifest of these ids, as nodes by their ids, and its root.
    fn manifest(ids: &BTreeSet<ChunkId>) -> (BTreeMap<ChunkId, Vec<u8>>, ChunkId) {
        let mut nodes = BTreeMap::new();
        let mut seal = |parts: NodeParts<'_>| {
            let node = [parts.compress, parts.follow].concat();
            let id = chunk_id(&node);
            nodes.insert(id, node);
            id
        };
        let mut builder = MapBuilder::new(&MANIFEST_MAP_KEY);
        for id in ids {
            builder.push(id.as_bytes(), &[], &[], &mut seal).unwrap();
        }
        let root = builder.finish(&mut seal).unwrap();
        (nodes, root)
    }

    #[test]
    fn a_few_ids_are_found_without_reading_all_of_a_manifest() {
        let id = |number: u32| ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes());
        let ids: BTreeSet<ChunkId> = (0..100_000).map(id).collect();
        let (nodes, root) = manifest(&ids);
        let (other, other_root) = manifest(&[id(200_001)].into());
        let leaf = *nodes.iter().find(|(_, bytes)| bytes[1] == 0).unwrap().0;
        let expected: BTreeSet<ChunkId> = [id(7), id(70_000), id(200_001), root, leaf].into();
        let strange = (300_000..300_020).map(id);
        let mut listed = Listed::new(expected.iter().copied().chain(strange), [root, other_root, root]);
        let mut read = 0;
        while let Some(id) = listed.poll() {
            read += 1;
            listed.came(nodes.get(&id).or(other.get(&id)).cloned());
        }
        assert!(nodes.len() > 60 && read < nodes.len() / 2, "{read} of {} nodes are read", nodes.len());
        assert_eq!(listed.unread(), 0);
        assert_eq!(listed.into_found().into_iter().collect::<BTreeSet<_>>(), expected);
    }

    #[test]
    fn what_cannot_be_read_is_counted() {
        let id = |number| ChunkId::from_bytes([number; 32]);
        let mut listed = Listed::new([id(1)], [id(2), id(3)]);
        while let Some(node) = listed.poll() {
            listed.came((node == id(2)).then(|| b"no node".to_vec()));
        }
        assert_eq!((listed.unread(), listed.into_found()), (2, Vec::new()));
    }
}
