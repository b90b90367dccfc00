//! Which restored files have several names: the first name of each, so that the others become hard links to it.

use std::collections::HashMap;

use crate::base::limits::LINK_GROUPS_MAX;
use crate::file::entry::Stat;

/// Tells the names of one file apart from those of another. The stat has no device number: with the other fields, two
/// files of one inode number on two file systems are not taken for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct LinkGroup {
    /// Inode when it was backed up.
    inode: u64,
    /// Its length.
    size: u64,
    /// Its last modification.
    mtime_ns: i64,
    /// Its last change.
    ctime_ns: i64,
}

impl LinkGroup {
    /// The group of a file; None for one with a single name.
    fn of(stat: &Stat) -> Option<Self> {
        (stat.links > 1).then_some(Self {
            inode: stat.inode,
            size: stat.size,
            mtime_ns: stat.mtime_ns,
            ctime_ns: stat.ctime_ns,
        })
    }
}

/// The first restored name of a file with several.
#[derive(Debug)]
pub struct FirstName {
    /// From the target on.
    pub path: Vec<u8>,
    /// Its inode here, to see that it is still the same file.
    pub inode: u64,
}

/// The first names of all files with several, as many as there is room for.
#[derive(Debug, Default)]
pub struct Links {
    /// By group.
    groups: HashMap<LinkGroup, FirstName>,
}

impl Links {
    /// The first restored name of the file that this is a further name of.
    #[must_use]
    pub fn first(&self, stat: &Stat) -> Option<&FirstName> {
        self.groups.get(&LinkGroup::of(stat)?)
    }

    /// Remembers a restored file, if it has several names and there is room.
    pub fn remember(&mut self, stat: &Stat, path: &[u8], inode: u64) {
        if let Some(group) = LinkGroup::of(stat).filter(|_| self.groups.len() < LINK_GROUPS_MAX) {
            self.groups.entry(group).or_insert_with(|| FirstName { path: path.to_vec(), inode });
        }
    }
}
