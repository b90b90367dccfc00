//! A file system in memory that answers as the file thread does: the owner's files of a simulated node, and the source of
//! every test of a backup.
//!
//! Deterministic: time goes on by one microsecond with every change. It can be told to be in the way ([`Trouble`]).
//! Nothing here is a real file. This half makes the files; `sim/file_answers.rs` answers.

use std::collections::BTreeMap;

use crate::base::limits::LIST_BYTES_MAX;
use crate::file::entry::Stat;
use crate::node::ports::Extent;

mod manner;

pub use manner::Manner;

/// What may be in the way of reading a file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It is listed, and gone when it is opened.
    Vanish,
    /// Not allowed to open or list it.
    Denied,
    /// Its name cannot even be looked at.
    Hidden,
    /// Opening works, reading on fails.
    Broken,
    /// It is written anew after its first block was read; so many times.
    Rewrite(u32, Vec<u8>),
}

/// What was asked so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// Listings.
    pub lists: u64,
    /// Openings.
    pub opens: u64,
    /// Later blocks.
    pub reads: u64,
    /// Bytes of content given.
    pub data_bytes: u64,
}

/// Directories by their absolute path, and what is in them.
#[derive(Debug, Clone)]
pub struct FakeFiles {
    /// Inodes of the roots.
    pub(super) roots: BTreeMap<Vec<u8>, u64>,
    /// All inodes.
    pub(super) inodes: BTreeMap<u64, Inode>,
    /// The next inode's number.
    next: u64,
    /// Nanoseconds since 1970.
    clock_ns: i64,
    /// Bytes of a listing's page.
    pub(super) page_bytes: usize,
    /// What was asked so far.
    pub(super) asked: Asked,
    /// The file that is being written into each shared folder: its path, and what was written.
    pub(super) aside: BTreeMap<Vec<u8>, (Vec<u8>, Vec<Extent>)>,
    /// Which names it takes.
    pub(super) manner: Manner,
}

/// A file, directory, link or device.
#[derive(Debug, Clone)]
pub(super) struct Inode {
    /// Its stat.
    pub(super) stat: Stat,
    /// Number of its file system.
    pub(super) file_system: u64,
    /// What it is.
    pub(super) body: Body,
    /// Extended attributes.
    pub(super) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// What is in the way.
    pub(super) trouble: Option<Trouble>,
}

/// What an inode is.
#[derive(Debug, Clone)]
pub(super) enum Body {
    /// A file.
    File(Vec<Extent>),
    /// A directory.
    Directory(BTreeMap<Vec<u8>, u64>),
    /// A symbolic link.
    Symlink(Vec<u8>),
    /// A socket or the like.
    Special,
}

impl Default for FakeFiles {
    fn default() -> Self {
        Self {
            roots: BTreeMap::new(),
            inodes: BTreeMap::new(),
            next: 1,
            clock_ns: CLOCK_START_NS,
            page_bytes: LIST_BYTES_MAX,
            asked: Asked::default(),
            aside: BTreeMap::new(),
            manner: Manner::Plain,
        }
    }
}

impl FakeFiles {
    /// Makes an empty root, if there is none, as a file system of its own.
    pub fn make_root(&mut self, root: &[u8]) {
        if !self.roots.contains_key(root) {
            let file_system = self.next;
            let inode = self.add(Body::Directory(BTreeMap::new()), file_system);
            self.roots.insert(root.to_vec(), inode);
        }
    }

    /// Takes a root away, as if its disk were unplugged.
    pub fn remove_root(&mut self, root: &[u8]) {
        self.roots.remove(root);
    }

    /// Writes a file, and the directories that it is in.
    pub fn write(&mut self, root: &[u8], path: &[u8], content: &[u8]) {
        self.write_extents(root, path, vec![Extent::Data(content.to_vec())]);
    }

    /// Writes a file with holes, and the directories that it is in.
    pub fn write_extents(&mut self, root: &[u8], path: &[u8], extents: Vec<Extent>) {
        let size = extents.iter().map(length).sum();
        let inode = match self.find(root, path) {
            Some(inode) => {
                self.touch(inode);
                inode
            }
            None => self.place(root, path, Body::Special),
        };
        let file = self.inode(inode);
        file.stat.size = size;
        file.body = Body::File(extents);
    }

    /// A file's content changes without a sign of it, as on a failing disk.
    pub fn rot(&mut self, root: &[u8], path: &[u8], content: &[u8]) {
        let inode = self.find(root, path).expect("what rots is there");
        self.inode(inode).body = Body::File(vec![Extent::Data(content.to_vec())]);
    }

    /// Makes a directory, and those that it is in.
    pub fn make_directory(&mut self, root: &[u8], path: &[u8]) {
        if self.find(root, path).is_none() {
            self.place(root, path, Body::Directory(BTreeMap::new()));
        }
    }

    /// Makes a symbolic link.
    pub fn link_symbolic(&mut self, root: &[u8], path: &[u8], target: &[u8]) {
        let inode = self.place(root, path, Body::Symlink(target.to_vec()));
        self.inode(inode).stat.size = size(target);
    }

    /// Makes a socket.
    pub fn make_special(&mut self, root: &[u8], path: &[u8]) {
        self.place(root, path, Body::Special);
    }

    /// Gives a file a second name.
    pub fn link_hard(&mut self, root: &[u8], path: &[u8], other: &[u8]) {
        let inode = self.find(root, path).expect("what is linked is there");
        let (directory, name) = self.directory_for(root, other);
        self.children(directory).insert(name, inode);
        self.touch(inode);
        self.inode(inode).stat.links += 1;
    }

    /// Removes a name and all below it.
    pub fn remove(&mut self, root: &[u8], path: &[u8]) {
        let (directory, name) = self.directory_for(root, path);
        self.children(directory).remove(&name);
        self.touch(directory);
    }

    /// Gives an inode another name.
    pub(super) fn rename(&mut self, root: &[u8], from: &[u8], to: &[u8], inode: u64) {
        self.remove(root, from);
        let (directory, name) = self.directory_for(root, to);
        self.children(directory).insert(name, inode);
        self.touch(directory);
        let now = self.clock_ns;
        self.inode(inode).stat.ctime_ns = now;
    }

    /// Every file below a root: path and content.
    #[must_use]
    pub fn all(&self, root: &[u8]) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        let mut all = BTreeMap::new();
        let mut left: Vec<(Vec<u8>, u64)> =
            self.roots.get(root).map(|inode| (Vec::new(), *inode)).into_iter().collect();
        while let Some((path, inode)) = left.pop() {
            let content = match &self.inodes[&inode].body {
                Body::Directory(children) => {
                    for (name, child) in children {
                        let mut path = path.clone();
                        if !path.is_empty() {
                            path.push(b'/');
                        }
                        path.extend_from_slice(name);
                        left.push((path, *child));
                    }
                    None
                }
                Body::File(extents) => Some(
                    extents
                        .iter()
                        .flat_map(|extent| match extent {
                            Extent::Data(data) => data.clone(),
                            Extent::Hole(length) => vec![0; usize::try_from(*length).unwrap_or(0)],
                        })
                        .collect(),
                ),
                Body::Symlink(target) => Some(target.clone()),
                Body::Special => None,
            };
            all.insert(path, content);
        }
        all
    }

    /// Changes permission bits.
    pub fn set_mode(&mut self, root: &[u8], path: &[u8], mode: u32) {
        let inode = self.find(root, path).expect("what is changed is there");
        self.clock_ns += 1_000;
        let now = self.clock_ns;
        let stat = &mut self.inode(inode).stat;
        (stat.mode, stat.ctime_ns) = (mode, now);
    }

    /// Sets extended attributes.
    pub fn set_attributes(&mut self, root: &[u8], path: &[u8], attributes: Vec<(Vec<u8>, Vec<u8>)>) {
        let inode = self.find(root, path).expect("what is changed is there");
        self.clock_ns += 1_000;
        let now = self.clock_ns;
        let inode = self.inode(inode);
        (inode.attributes, inode.stat.ctime_ns) = (attributes, now);
    }

    /// Makes a directory (and what is put there later) a file system of its own.
    pub fn mount(&mut self, root: &[u8], path: &[u8]) {
        let inode = self.find(root, path).expect("what is mounted on is there");
        self.inode(inode).file_system = inode;
    }

    /// Puts something in the way of a path, or takes it away.
    pub fn trouble(&mut self, root: &[u8], path: &[u8], trouble: Option<Trouble>) {
        let inode = self.find(root, path).expect("what is troubled is there");
        self.inode(inode).trouble = trouble;
    }

    /// Sets the clock, in nanoseconds since 1970.
    pub fn set_clock_ns(&mut self, clock_ns: i64) {
        self.clock_ns = clock_ns;
    }

    /// Makes pages of listings this small.
    pub fn set_page_bytes(&mut self, page_bytes: usize) {
        self.page_bytes = page_bytes;
    }

    /// What was asked so far.
    #[must_use]
    pub const fn asked(&self) -> Asked {
        self.asked
    }

    /// The stat of a path, if it is there.
    #[must_use]
    pub fn stat(&self, root: &[u8], path: &[u8]) -> Option<Stat> {
        Some(self.inodes.get(&self.find(root, path)?)?.stat)
    }

    /// A new inode.
    fn add(&mut self, body: Body, file_system: u64) -> u64 {
        let inode = self.next;
        self.next += 1;
        self.clock_ns += 1_000;
        let mode = if matches!(body, Body::Directory(_)) { 0o755 } else { 0o644 };
        let size = if matches!(body, Body::Directory(_)) { 4_096 } else { 0 };
        let (mtime_ns, ctime_ns) = (self.clock_ns, self.clock_ns);
        let stat = Stat { size, mtime_ns, ctime_ns, inode, mode, uid: 1_000, gid: 1_000, links: 1 };
        self.inodes.insert(inode, Inode { stat, file_system, body, attributes: Vec::new(), trouble: None });
        inode
    }

    /// A new inode with a name; the directories that it is in are made.
    fn place(&mut self, root: &[u8], path: &[u8], body: Body) -> u64 {
        let (directory, name) = self.directory_for(root, path);
        let file_system = self.inodes[&directory].file_system;
        let inode = self.add(body, file_system);
        self.children(directory).insert(name, inode);
        self.touch(directory);
        inode
    }

    /// The directory that a path is in, which is made if it is not there, and the last name.
    fn directory_for(&mut self, root: &[u8], path: &[u8]) -> (u64, Vec<u8>) {
        self.make_root(root);
        let mut directory = self.roots[root];
        let mut names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let last = names.pop().unwrap_or_default().to_vec();
        for name in names {
            directory = match self.child(directory, name) {
                Some((_, inode)) => inode,
                None => {
                    let file_system = self.inodes[&directory].file_system;
                    let inode = self.add(Body::Directory(BTreeMap::new()), file_system);
                    self.children(directory).insert(name.to_vec(), inode);
                    self.touch(directory);
                    inode
                }
            };
        }
        // Of what is there the name stays as it is.
        let last = self.child(directory, &last).map_or(last, |(name, _)| name);
        (directory, last)
    }

    /// What is in a directory.
    fn children(&mut self, inode: u64) -> &mut BTreeMap<Vec<u8>, u64> {
        match &mut self.inode(inode).body {
            Body::Directory(children) => children,
            _ => panic!("the test puts something into what is no directory"),
        }
    }

    /// An inode that is there.
    pub(super) fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.get_mut(&inode).expect("numbers come from names")
    }

    /// Its content changes now.
    fn touch(&mut self, inode: u64) {
        self.clock_ns += 1_000;
        let now = self.clock_ns;
        let stat = &mut self.inode(inode).stat;
        (stat.mtime_ns, stat.ctime_ns) = (now, now);
    }

    /// The inode of a path.
    pub(super) fn find(&self, root: &[u8], path: &[u8]) -> Option<u64> {
        let mut inode = *self.roots.get(root)?;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            inode = self.child(inode, name)?.1;
        }
        Some(inode)
    }
}

/// Length of an extent, in bytes.
pub(super) fn length(extent: &Extent) -> u64 {
    match extent {
        Extent::Data(data) => size(data),
        Extent::Hole(length) => *length,
    }
}

/// A length as a size.
pub(super) fn size(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("lengths fit")
}

/// 2020-09-13, long before any simulated scan.
const CLOCK_START_NS: i64 = 1_600_000_000_000_000_000;
