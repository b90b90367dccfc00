//! What a walk comes upon, and what it is called.

use super::super::ports::Found;

/// What a look finds.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::node) enum Ahead {
    /// Something: see `Walker::head`.
    Item,
    /// Nothing yet: a listing is on its way.
    Wait,
    /// The walk is over.
    End,
}

/// Something that the walk came upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) struct Walked {
    /// Relative to the root, components joined by `/`.
    pub(in crate::node) path: Vec<u8>,
    /// What it is.
    pub(in crate::node) what: What,
}

/// What the walk came upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::node) enum What {
    /// A file or link.
    Leaf(Found),
    /// A directory; what is in it follows.
    Directory(Found),
    /// A directory whose content is left out on purpose: a cache, or another file system.
    Bare(Found),
    /// A directory whose content cannot be listed: what was known of it stands.
    Closed(Found, String),
    /// A name that cannot be looked at: what was known of it and below it stands.
    Hidden(String),
    /// The rest of this directory, which was given before, cannot be listed: what was known of it stands.
    Rest(String),
    /// Something that a pattern leaves out, in a shared folder: what was known of it and below it stands.
    Ignored,
    /// A file that its size leaves out, in a shared folder: what was known of it stands.
    Large(Found),
}

impl super::Walker {
    /// Whether a file of so many bytes is left out.
    pub(in crate::node) fn is_large(&self, size: u64) -> bool {
        self.max_size.is_some_and(|most| size > most)
    }
}

/// The path of a name in a directory.
pub(super) fn path_below(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}
