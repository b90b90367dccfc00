//! File systems that fold case, refuse names, or forget inodes: how the file system in memory plays them.

use super::{Body, FakeFiles};

/// Which names a file system takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// All, and it tells them apart.
    #[default]
    Plain,
    /// All, and names that differ in the case of their letters are one.
    Folding,
    /// The same, and none with `:` in it or a dot at its end.
    Restricted,
}

impl FakeFiles {
    /// It takes these names from now on.
    pub fn set_manner(&mut self, manner: Manner) {
        self.manner = manner;
    }

    /// It is mounted anew, and is of a kind (FAT) that keeps neither inodes nor ctimes.
    pub fn remount(&mut self, root: &[u8]) {
        let paths: Vec<Vec<u8>> = self.all(root).into_keys().filter(|path| !path.is_empty()).collect();
        for path in paths {
            let number = self.find(root, &path).expect("it was listed");
            let (next, clock_ns) = (self.next, self.clock_ns);
            self.next += 1;
            let stat = &mut self.inode(number).stat;
            (stat.inode, stat.ctime_ns) = (next, clock_ns);
        }
    }

    /// What a directory has under a name, and how that is written there.
    pub(super) fn child(&self, directory: u64, name: &[u8]) -> Option<(Vec<u8>, u64)> {
        let Body::Directory(children) = &self.inodes.get(&directory)?.body else { return None };
        let folded = || {
            let mut all = children.iter().filter(|_| self.manner != Manner::Plain);
            all.find(|(there, _)| there.eq_ignore_ascii_case(name))
        };
        let (name, inode) = children.get_key_value(name).or_else(folded)?;
        Some((name.clone(), *inode))
    }

    /// Why a path cannot be had as it is, if so.
    pub(in crate::sim) fn refused(&self, root: &[u8], path: &[u8]) -> Option<&'static str> {
        let (parent, name) = split(path);
        if self.manner == Manner::Restricted && (name.contains(&b':') || name.ends_with(b".")) {
            return Some("it does not take this name");
        }
        let there = self.find(root, parent).and_then(|directory| self.child(directory, name));
        there.filter(|(real, _)| real != name).map(|_| "it takes this name for that of something else")
    }
}

/// The directory that a path is in, and its name there.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    let at = path.iter().rposition(|byte| *byte == b'/');
    at.map_or((&[], path), |at| (&path[..at], &path[at + 1..]))
}
