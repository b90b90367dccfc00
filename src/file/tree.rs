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
mod tests;
