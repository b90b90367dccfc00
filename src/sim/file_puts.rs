//! What the file thread does to a shared folder, on the file system in memory (`sim/files.rs`): `node/put.rs` to the letter.

use super::file_answers::{failed, found, missing};
use super::files::{length, Body, FakeFiles};
use crate::file::entry::Stat;
use crate::node::ports::{Extent, FileError, FileErrorKind, Found, FoundKind};
use crate::node::put::{Act, Expected, Put, Thing};

impl FakeFiles {
    /// Answers as the file thread does.
    pub(super) fn put(&mut self, put: Put) -> Result<Option<Found>, FileError> {
        let Put { root, path, mount, act, .. } = put;
        let (root, path) = (&root[..], &path[..]);
        if !self.roots.contains_key(root) {
            return Err(missing("open"));
        }
        if mount > 0 && !self.is_mounted(root, &path[..mount]) {
            return Err(failed("the disk that was mounted there is not"));
        }
        match act {
            Act::Begin(_) => {
                self.parent(root, path)?;
                self.fits(root, path)?;
                self.aside.insert(root.to_vec(), (path.to_vec(), Vec::new()));
                Ok(None)
            }
            Act::Data(bytes) => self.write_aside(root, path, Extent::Data(bytes)),
            Act::Hole(length) => self.write_aside(root, path, Extent::Hole(length)),
            Act::Drop => {
                self.aside.remove(root);
                Ok(None)
            }
            Act::Place { thing, stat, attributes, expected } => {
                self.place_thing(root, path, thing, &stat, attributes, expected).map(Some)
            }
            Act::Remove(expected) => self.remove_expected(root, path, &expected),
            Act::SetAside(name) => self.set_aside(root, path, &name),
            Act::Clean => {
                self.remove(root, path);
                Ok(None)
            }
            Act::Sync => Ok(None),
        }
    }

    /// Whether a path can be had as it is.
    fn fits(&self, root: &[u8], path: &[u8]) -> Result<(), FileError> {
        match self.refused(root, path) {
            Some(detail) => Err(FileError { kind: FileErrorKind::Unfit, detail: detail.into() }),
            None => Ok(()),
        }
    }

    /// The directory that a path is in, as a path; it must be there.
    fn parent(&self, root: &[u8], path: &[u8]) -> Result<Vec<u8>, FileError> {
        let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        let inode = self.find(root, &path[..end]).ok_or_else(|| missing("open the directory"))?;
        match self.inodes[&inode].body {
            Body::Directory(_) => Ok(path[..end].to_vec()),
            _ => Err(changed("it is no directory")),
        }
    }

    /// Whether a directory lies on another file system than the one that it is in.
    fn is_mounted(&self, root: &[u8], path: &[u8]) -> bool {
        let parent = self.parent(root, path).ok().and_then(|parent| self.find(root, &parent));
        let system = |inode: u64| self.inodes[&inode].file_system;
        let both = self.find(root, path).zip(parent);
        both.is_some_and(|(inode, parent)| system(inode) != system(parent))
    }

    /// Writes on.
    fn write_aside(&mut self, root: &[u8], path: &[u8], extent: Extent) -> Result<Option<Found>, FileError> {
        let begun = self.aside.get_mut(root).filter(|(begun, _)| begun == path);
        begun.ok_or_else(|| changed("it was not begun"))?.1.push(extent);
        Ok(None)
    }

    /// What stands at a path.
    fn standing(&self, root: &[u8], path: &[u8]) -> Option<Found> {
        let home = self.inodes[&self.roots[root]].file_system;
        let parent = self.parent(root, path).ok().and_then(|parent| self.find(root, &parent))?;
        let parent = self.inodes[&parent].file_system;
        self.find(root, path).map(|inode| found(&self.inodes[&inode], home, parent))
    }

    /// Whether that stands there which must.
    fn check(&self, root: &[u8], path: &[u8], expected: Option<&Expected>) -> Result<(), FileError> {
        match (self.standing(root, path), expected) {
            (None, None) => Ok(()),
            (Some(there), Some(expected)) if expected.is(there.kind, &there.stat) => Ok(()),
            _ => Err(changed("it was changed meanwhile")),
        }
    }

    /// Gives something its place.
    fn place_thing(
        &mut self,
        root: &[u8],
        path: &[u8],
        thing: Thing,
        stat: &Stat,
        attributes: Vec<(Vec<u8>, Vec<u8>)>,
        expected: Option<Expected>,
    ) -> Result<Found, FileError> {
        self.parent(root, path)?;
        self.fits(root, path)?;
        let there = self.standing(root, path);
        let is_there =
            thing == Thing::Directory && there.is_some_and(|there| there.kind == FoundKind::Directory);
        if !is_there {
            self.check(root, path, expected.as_ref())?;
            if there.is_some_and(|there| there.kind == FoundKind::Directory) {
                return Err(failed("rename: Is a directory"));
            }
            if there.is_some() {
                self.remove(root, path);
            }
        }
        match thing {
            Thing::File => {
                let extents = self.aside.remove(root).filter(|(begun, _)| begun == path);
                let (_, extents) = extents.ok_or_else(|| changed("it was not begun"))?;
                assert_eq!(extents.iter().map(length).sum::<u64>(), stat.size, "all of it was written");
                self.write_extents(root, path, extents);
            }
            Thing::Directory => self.make_directory(root, path),
            Thing::Symlink(target) => self.link_symbolic(root, path, &target),
        }
        self.set_attributes(root, path, attributes);
        self.set_mode(root, path, stat.mode);
        let inode = self.find(root, path).ok_or_else(|| missing("stat"))?;
        self.inode(inode).stat.mtime_ns = stat.mtime_ns;
        self.standing(root, path).ok_or_else(|| missing("stat"))
    }

    /// Removes what is as expected.
    fn remove_expected(
        &mut self,
        root: &[u8],
        path: &[u8],
        expected: &Expected,
    ) -> Result<Option<Found>, FileError> {
        self.parent(root, path)?;
        self.fits(root, path)?;
        self.check(root, path, Some(expected))?;
        let inode = self.find(root, path).ok_or_else(|| missing("remove"))?;
        if matches!(&self.inodes[&inode].body, Body::Directory(children) if !children.is_empty()) {
            return Err(changed("something is in it"));
        }
        self.remove(root, path);
        Ok(None)
    }

    /// Gives what stands there another name.
    fn set_aside(&mut self, root: &[u8], path: &[u8], name: &[u8]) -> Result<Option<Found>, FileError> {
        let mut to = self.parent(root, path)?;
        self.fits(root, path)?;
        if !to.is_empty() {
            to.push(b'/');
        }
        to.extend_from_slice(name);
        let inode = self.find(root, path).ok_or_else(|| missing("rename"))?;
        if self.find(root, &to).is_some() {
            return Err(failed("rename: File exists"));
        }
        self.rename(root, path, &to, inode);
        Ok(None)
    }
}

/// Something is not what it was.
fn changed(detail: &str) -> FileError {
    FileError { kind: FileErrorKind::Changed, detail: detail.into() }
}
