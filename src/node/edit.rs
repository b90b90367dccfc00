//! What a person wants of a shared folder without touching a directory: plain values, and why it cannot be done.

use super::api::ApiError;
use crate::base::ids::ChunkId;
use crate::file::entry::texture::Texture;
use crate::file::entry::{Attributes, Content, Entry, Kind, Stat};
use crate::file::tree::{is_within, path_of};

/// Something that a person wants of a shared folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Where.
    pub key: Vec<u8>,
    /// What.
    pub act: Act,
}

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// This file.
    Put {
        /// It.
        entry: Box<Entry>,
        /// Its inline content.
        tail: Vec<u8>,
        /// A manifest of its chunks, if there are any.
        manifest: Option<ChunkId>,
    },
    /// Nothing.
    Remove {
        /// A directory goes with all that is in it.
        recursive: bool,
    },
    /// What stands elsewhere in the folder, with all that is in it.
    Transfer {
        /// Where.
        from: Vec<u8>,
        /// It stays there, too.
        keep: bool,
        /// What stands here goes, with all that is in it.
        overwrite: bool,
    },
}

impl Edit {
    /// Whether the two change the same path, or one that the other is in.
    #[must_use]
    pub fn touches(&self, other: &Self) -> bool {
        let meet = |one: &[u8], two: &[u8]| is_within(one, two) || is_within(two, one);
        self.places().any(|one| other.places().any(|two| meet(one, two)))
    }

    /// The paths that it is about.
    fn places(&self) -> impl Iterator<Item = &[u8]> {
        let from = match &self.act {
            Act::Transfer { from, .. } => Some(from.as_slice()),
            Act::Put { .. } | Act::Remove { .. } => None,
        };
        std::iter::once(self.key.as_slice()).chain(from)
    }
}

/// What became of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// There was nothing, and is something.
    Created,
    /// There was something else.
    Replaced,
    /// It was so already.
    Unchanged,
    /// It is not there any more.
    Removed,
}

/// A directory that is made because something is put into it.
pub(super) fn directory(stat: &Stat) -> Entry {
    let stat = Stat { mode: 0o755, ..*stat };
    let attributes = Attributes::Here(Vec::new());
    Entry {
        kind: Kind::Directory,
        stat,
        attributes,
        content: Content::None,
        torn: false,
        texture: Texture::Plain,
        version: None,
    }
}

/// The error for something put where a directory is.
pub(super) fn is_directory(key: &[u8]) -> ApiError {
    let path = shown(key);
    let message = format!("'{path}' is a directory");
    ApiError::new("bad_path", message, format!("write '{path}/' to put the file into it"))
}

/// The error for something that is to be made where something is.
pub(super) fn exists(key: &[u8]) -> ApiError {
    let message = format!("there is a '{}' in the folder already", shown(key));
    ApiError::new("exists", message, "choose another name, or remove it first")
}

/// The error for a place that is part of what is to be put there, or has it within.
pub(super) fn in_itself(key: &[u8]) -> ApiError {
    let message = format!("'{}' cannot be put into itself, or take the place of what it is in", shown(key));
    ApiError::new("bad_path", message, "choose another place")
}

/// The error for something that would have paths that nothing can have.
pub(super) fn too_deep(key: &[u8]) -> ApiError {
    let message = format!("in '{}' the longest paths would become longer than paths can be", shown(key));
    ApiError::new("bad_path", message, "choose a shorter path")
}

/// The error for a directory that is not empty.
pub(super) fn not_empty(key: &[u8]) -> ApiError {
    let path = shown(key);
    let message = format!("'{path}' is a directory with something in it");
    ApiError::new("not_empty", message, "add --recursive to remove it with all that is in it")
}

/// The error for a path that is not there.
pub(super) fn missing(key: &[u8]) -> ApiError {
    let message = format!("there is no '{}' in the folder", shown(key));
    ApiError::new("not_found", message, "list it with `nuthatch ls`")
}

/// The error for a path in something that is no directory.
pub(super) fn in_file(key: &[u8]) -> ApiError {
    let message = format!("'{}' is a file, and nothing can be put into it", shown(key));
    ApiError::new("bad_path", message, "choose another path, or remove the file first")
}

/// A key as a person reads it.
pub(super) fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(&path_of(key)).into_owned()
}
