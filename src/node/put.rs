//! What the file thread does to a shared folder's directory, one act at a time.
//!
//! ```text
//!   Begin --> Data, Hole ... --> Place      a file: written aside, synced, then given its name
//!         '----------------> Drop           it cannot be had after all
//!   Place    a directory or a link          Remove, SetAside, Sync
//! ```
//!
//! Whatever would replace or remove something says what it expects to stand there, and does nothing where something else does: what a
//! person has changed meanwhile is never lost. Plain values; `io/put.rs` acts on them, `node/apply_pass.rs` asks.

use super::ports::FoundKind;
use crate::file::entry::Stat;
use crate::store::service::Op;

/// Names that begin so are files on their way into a shared folder: no scan looks at them.
pub const ASIDE_PREFIX: &[u8] = b".nuthatch-aside-";

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// Repeated in the reply.
    pub op: Op,
    /// Absolute path of the folder.
    pub root: Vec<u8>,
    /// Relative to it.
    pub path: Vec<u8>,
    /// Length of the path of the innermost directory above it in which a disk is mounted (0: none): where it is not, nothing is done.
    pub mount: usize,
    /// What is to be done.
    pub act: Act,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A file of this many bytes is written aside, in the directory of the path. What the file system cannot have there is refused
    /// now.
    Begin(u64),
    /// The next bytes of the file that was begun.
    Data(Vec<u8>),
    /// A hole of this many bytes follows.
    Hole(u64),
    /// The file that was begun will not be placed.
    Drop,
    /// The path becomes this.
    Place {
        /// What it becomes.
        thing: Thing,
        /// Mode and time.
        stat: Stat,
        /// Extended attributes.
        attributes: Vec<(Vec<u8>, Vec<u8>)>,
        /// What must stand there; None: nothing.
        expected: Option<Expected>,
    },
    /// The path goes. A directory goes if it is empty.
    Remove(Expected),
    /// What stands at the path gets this name in the same directory, if nothing has it.
    SetAside(Vec<u8>),
    /// A file that was left aside by a process that is no more goes.
    Clean,
    /// All that was done in the folder is made durable.
    Sync,
}

/// What a path becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// The file that was begun.
    File,
    /// A directory; one that is there becomes as told.
    Directory,
    /// A symbolic link with this target.
    Symlink(Vec<u8>),
}

/// What must stand at a path. Of a directory the kind is enough: its times change with what is done in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// Its kind.
    pub kind: FoundKind,
    /// Its stat.
    pub stat: Stat,
}

impl Expected {
    /// Whether this is it.
    #[must_use]
    pub fn is(&self, kind: FoundKind, stat: &Stat) -> bool {
        let same = kind == self.kind;
        same && (kind == FoundKind::Directory || super::join::is_same(stat, &self.stat))
    }
}
