//! Paths and keys of a tree: a folder at one moment is a map from path to entry.
//!
//! A key is the components of a path relative to the folder, joined by zeros. Zero is less than any byte of a name, so
//! a directory stands right before all that is in it. Names are bytes, never assumed to be UTF-8. The folder itself has
//! no entry; where a key says what to walk, the empty key means everything.
//!
//! Trees may come from a device that was taken over: whoever writes files after a tree asks [`check_key`] and [`Shape`]
//! before every one. [`Lookup`] and [`Prefix`] are places in a tree with the manners of `file/map/cursor.rs`; what the
//! values mean is `file/entry.rs`.

use crate::base::ids::ChunkId;
use crate::base::limits::{COMPONENT_BYTES_MAX, MAP_KEY_BYTES_MAX};
use crate::file::entry::Kind;
use crate::file::map::{MapCursor, MapError, Step};
use core::fmt;

/// Why a path or key is none of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreeError {
    /// It names nothing.
    Empty,
    /// It starts at the root of the file system.
    Absolute,
    /// A component is empty, as between two slashes.
    EmptyComponent,
    /// A component is `.` or `..`.
    Dots,
    /// A component contains a zero (in a path) or a slash (in a key).
    Separator,
    /// A component or the whole is longer than names can be.
    TooLong,
    /// What it is in is no directory of the tree.
    NoDirectory,
}

impl fmt::Display for TreeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "the path is empty: name a file or directory of the folder, or leave the path out",
            Self::Absolute => "the path starts with a slash: write it relative to the folder",
            Self::EmptyComponent => {
                "the path has an empty component: write one slash between names, none at the end"
            }
            Self::Dots => "the path contains . or ..: write it without them, relative to the folder",
            Self::Separator => "the path contains a byte that no name can have: check how it was written",
            Self::TooLong => {
                "the path or one of its names is longer than paths can be: check how it was written"
            }
            Self::NoDirectory => "the tree has an entry below something that is no directory: it is damaged",
        })
    }
}

impl std::error::Error for TreeError {}

/// The key of these components, which the caller has from a file system.
#[must_use]
pub fn key_of<'a>(components: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut key = Vec::new();
    for (index, component) in components.enumerate() {
        if index > 0 {
            key.push(SEPARATOR);
        }
        key.extend_from_slice(component);
    }
    key
}

/// The key of a path with slashes, as a person writes it.
///
/// # Errors
/// When it is absolute, or a component is empty, `.`, `..`, too long or contains a zero.
pub fn key_from_path(path: &[u8]) -> Result<Vec<u8>, TreeError> {
    if path.first() == Some(&b'/') {
        return Err(TreeError::Absolute);
    }
    if path.contains(&SEPARATOR) {
        return Err(TreeError::Separator);
    }
    let key: Vec<u8> = path.iter().map(|byte| if *byte == b'/' { SEPARATOR } else { *byte }).collect();
    check_key(&key)?;
    Ok(key)
}

/// The key as a path with slashes.
#[must_use]
pub fn path_of(key: &[u8]) -> Vec<u8> {
    key.iter().map(|byte| if *byte == SEPARATOR { b'/' } else { *byte }).collect()
}

/// The last component.
#[must_use]
pub fn name_of(key: &[u8]) -> &[u8] {
    key.rsplit(|byte| *byte == SEPARATOR).next().unwrap_or(key)
}

/// The key of the directory that it is in; empty for what lies in the folder itself.
#[must_use]
pub fn parent_of(key: &[u8]) -> &[u8] {
    key.iter().rposition(|byte| *byte == SEPARATOR).map_or(&[], |end| &key[..end])
}

/// Is `key` the key `ancestor`, or something below it? Everything is within the empty key.
#[must_use]
pub fn is_within(key: &[u8], ancestor: &[u8]) -> bool {
    match key.strip_prefix(ancestor) {
        Some(rest) => ancestor.is_empty() || rest.first().is_none_or(|byte| *byte == SEPARATOR),
        None => false,
    }
}

/// Does `key` name something inside the folder, and nothing but that?
///
/// # Errors
/// When it is empty or too long, or a component is empty, `.`, `..`, too long or contains a slash.
pub fn check_key(key: &[u8]) -> Result<(), TreeError> {
    if key.is_empty() {
        return Err(TreeError::Empty);
    }
    if key.len() > MAP_KEY_BYTES_MAX {
        return Err(TreeError::TooLong);
    }
    for component in key.split(|byte| *byte == SEPARATOR) {
        match component {
            b"" => return Err(TreeError::EmptyComponent),
            b"." | b".." => return Err(TreeError::Dots),
            _ if component.len() > COMPONENT_BYTES_MAX => return Err(TreeError::TooLong),
            _ if component.contains(&b'/') => return Err(TreeError::Separator),
            _ => {}
        }
    }
    Ok(())
}

/// Watches a walk in key order: everything has to be in a directory that the walk has passed. Without this, a tree with
/// a link `a` and a file `a/b` could make a restore write behind the link.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// The last directory passed; all that it is in were passed too. None before the first entry.
    directory: Option<Vec<u8>>,
}

impl Shape {
    /// A watch at the start of a walk. What the first entry is in is taken for a directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// When [`check_key`] refuses the key, or it is in no directory.
    pub fn check(&mut self, key: &[u8], kind: Kind) -> Result<(), TreeError> {
        check_key(key)?;
        let parent = parent_of(key);
        let directory = self.directory.get_or_insert_with(|| parent.to_vec());
        if !is_within(directory, parent) {
            return Err(TreeError::NoDirectory);
        }
        if kind == Kind::Directory {
            directory.clear();
            directory.extend_from_slice(key);
        } else {
            directory.truncate(parent.len());
        }
        Ok(())
    }
}

/// Finds the entry of one key: steps to that entry and then the end, or to the end at once if there is none.
#[derive(Debug)]
pub struct Lookup {
    /// Where it looks.
    cursor: MapCursor,
    /// What for.
    key: Vec<u8>,
    /// It was found.
    found: bool,
}

impl Lookup {
    /// Looks for `key` in the tree with this root.
    #[must_use]
    pub fn new(root: ChunkId, key: &[u8]) -> Self {
        let mut lookup = Self { cursor: MapCursor::new(root), key: Vec::new(), found: false };
        lookup.another(key);
        lookup
    }

    /// Looks for another key; nodes that are held and lie on the way are not needed again.
    pub fn another(&mut self, key: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(key);
        self.found = false;
        self.cursor.seek(key);
    }

    /// The entry, or the node that is needed to know it.
    ///
    /// # Errors
    /// See [`MapCursor::step`].
    pub fn step(&mut self) -> Result<Step<'_>, MapError> {
        if self.found {
            return Ok(Step::End);
        }
        Ok(match self.cursor.step()? {
            Step::Entry { key, value, tail } if key == self.key => {
                self.found = true;
                Step::Entry { key, value, tail }
            }
            Step::Need(id) => Step::Need(id),
            Step::Entry { .. } | Step::End => {
                self.found = true;
                Step::End
            }
        })
    }

    /// Gives a node that is needed.
    ///
    /// # Errors
    /// See [`MapCursor::give`].
    pub fn give(&mut self, id: ChunkId, bytes: Vec<u8>) -> Result<(), MapError> {
        self.cursor.give(id, bytes)
    }
}

/// Walks over the entry of one key and all below it, in key order.
#[derive(Debug)]
pub struct Prefix {
    /// Where it is.
    cursor: MapCursor,
    /// What all keys are within.
    ancestor: Vec<u8>,
    /// It has come to the end.
    over: bool,
}

impl Prefix {
    /// A walk over what is within `ancestor` in the tree with this root; the empty key means all of it.
    #[must_use]
    pub fn new(root: ChunkId, ancestor: &[u8]) -> Self {
        let mut cursor = MapCursor::new(root);
        cursor.seek(ancestor);
        Self { cursor, ancestor: ancestor.to_vec(), over: false }
    }

    /// The next entry, or the node that is needed to know it.
    ///
    /// # Errors
    /// See [`MapCursor::step`].
    pub fn step(&mut self) -> Result<Step<'_>, MapError> {
        if self.over {
            return Ok(Step::End);
        }
        Ok(match self.cursor.step()? {
            Step::Entry { key, value, tail } if is_within(key, &self.ancestor) => {
                Step::Entry { key, value, tail }
            }
            Step::Need(id) => Step::Need(id),
            Step::Entry { .. } | Step::End => {
                self.over = true;
                Step::End
            }
        })
    }

    /// Gives a node that is needed.
    ///
    /// # Errors
    /// See [`MapCursor::give`].
    pub fn give(&mut self, id: ChunkId, bytes: Vec<u8>) -> Result<(), MapError> {
        self.cursor.give(id, bytes)
    }

    /// At most `limit` nodes that will be needed after the present one, in order, as far as the held nodes tell.
    #[must_use]
    pub fn upcoming(&self, limit: usize) -> Vec<ChunkId> {
        if self.over {
            return Vec::new();
        }
        // What is greater than this key is of interest if the key is not behind the walk's end.
        self.cursor
            .upcoming_while(limit, |key| key < self.ancestor.as_slice() || is_within(key, &self.ancestor))
    }
}

/// What a fuzzer calls: any bytes are a key or path or are not.
///
/// # Panics
/// When a key does not survive being written as a path, which is what the fuzzer looks for.
pub fn check_key_bytes(bytes: &[u8]) {
    if check_key(bytes).is_ok() {
        assert_eq!(key_from_path(&path_of(bytes)).as_deref(), Ok(bytes), "a key is what its path says");
        assert!(
            is_within(bytes, parent_of(bytes)) && bytes.ends_with(name_of(bytes)),
            "a key is in its directory"
        );
    }
    if let Ok(key) = key_from_path(bytes) {
        assert_eq!(path_of(&key), bytes, "a path is what its key says");
    }
}

/// Stands between the components of a key.
const SEPARATOR: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::map::{MapBuilder, NodeParts};
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
                        prefix
                            .upcoming(1)
                            .into_iter()
                            .filter(|id| !announced.contains(id))
                            .collect::<Vec<_>>(),
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
}
