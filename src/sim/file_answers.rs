//! How the file system in memory (`sim/files.rs`) answers what a file thread is asked.
//!
//! Follows `node/ports.rs` to the letter: pages, holes, stats after a read, errors that differ by kind.

use std::collections::BTreeMap;

use super::files::{length, size, Body, FakeFiles, Inode, Trouble};
use crate::base::limits::LIST_ITEM_BYTES;
use crate::file::applied::Disk;
use crate::file::ignore::CACHEDIR_SIGNATURE;
use crate::node::ports::{
    Block, Extent, FileError, FileErrorKind, FileReply, FileRequest, Found, FoundKind, Item, Listing, Opened,
    RootFacts,
};

impl FakeFiles {
    /// Answers as the file thread does.
    pub fn answer(&mut self, request: FileRequest) -> FileReply {
        match request {
            FileRequest::Put(put) => FileReply::Put { op: put.op, result: self.put(put) },
            FileRequest::Root { op, root } => FileReply::Root { op, result: self.root_facts(&root) },
            FileRequest::List { op, root, path, after, .. } => {
                self.asked.lists += 1;
                FileReply::List { op, result: self.listing(&root, &path, after.as_deref()) }
            }
            FileRequest::Open { op, root, path, budget, .. } => {
                self.asked.opens += 1;
                FileReply::Open { op, result: self.open(&root, &path, budget) }
            }
            FileRequest::Read { op, root, path, offset, budget } => {
                self.asked.reads += 1;
                FileReply::Read { op, result: self.read(&root, &path, offset, budget) }
            }
        }
    }

    /// Answer to [`FileRequest::Root`].
    fn root_facts(&self, root: &[u8]) -> Result<RootFacts, FileError> {
        let number = *self.roots.get(root).ok_or_else(|| missing("stat"))?;
        let inode = &self.inodes[&number];
        let empty = matches!(&inode.body, Body::Directory(children) if children.is_empty());
        Ok(RootFacts { file_system: inode.file_system, inode: number, empty, stat: inode.stat })
    }

    /// Answer to [`FileRequest::List`].
    fn listing(&self, root: &[u8], path: &[u8], after: Option<&[u8]>) -> Result<Listing, FileError> {
        let inode = self.find(root, path).ok_or_else(|| missing("open"))?;
        let inode = &self.inodes[&inode];
        if inode.trouble == Some(Trouble::Denied) {
            return Err(denied("open"));
        }
        let Body::Directory(children) = &inode.body else {
            return Err(FileError { kind: FileErrorKind::Changed, detail: "open: Not a directory".into() });
        };
        let home = self.inodes[&self.roots[root]].file_system;
        let mut listing = Listing::default();
        let mut bytes = 0;
        for (name, number) in children {
            if after.is_some_and(|after| name.as_slice() <= after) {
                continue;
            }
            bytes += name.len() + LIST_ITEM_BYTES;
            if bytes > self.page_bytes && !listing.items.is_empty() {
                listing.more = true;
                break;
            }
            let child = &self.inodes[number];
            let found = match child.trouble {
                Some(Trouble::Hidden) => Err(denied("stat")),
                _ => Ok(found(child, home, inode.file_system)),
            };
            listing.items.push(Item { name: name.clone(), found });
        }
        if after.is_none() {
            listing.ignore = self.content(children, b".nuthatchignore");
            let tag = self.content(children, b"CACHEDIR.TAG");
            listing.cache = tag.is_some_and(|tag| tag.starts_with(CACHEDIR_SIGNATURE));
        }
        Ok(listing)
    }

    /// Answer to [`FileRequest::Open`].
    fn open(&mut self, root: &[u8], path: &[u8], budget: usize) -> Result<Opened, FileError> {
        let number = self.find(root, path).ok_or_else(|| missing("open"))?;
        let home = self.inodes[&self.roots[root]].file_system;
        let inode = &self.inodes[&number];
        match inode.trouble {
            Some(Trouble::Vanish) => return Err(missing("open")),
            Some(Trouble::Denied | Trouble::Hidden) => return Err(denied("open")),
            _ => {}
        }
        let target = match &inode.body {
            Body::Symlink(target) => Some(target.clone()),
            _ => None,
        };
        let (found, attributes) = (found(inode, home, inode.file_system), inode.attributes.clone());
        let block = match found.kind {
            FoundKind::File => self.block(root, path, 0, budget),
            _ => Block::default(),
        };
        Ok(Opened { found, attributes, target, block })
    }

    /// Answer to [`FileRequest::Read`].
    fn read(&mut self, root: &[u8], path: &[u8], offset: u64, budget: usize) -> Result<Block, FileError> {
        let number = self.find(root, path).ok_or_else(|| missing("open"))?;
        if self.inodes[&number].trouble == Some(Trouble::Broken) {
            return Err(FileError { kind: FileErrorKind::Failed, detail: "read: Input/output error".into() });
        }
        Ok(self.block(root, path, offset, budget))
    }

    /// A block of a file, which may be written anew behind it.
    fn block(&mut self, root: &[u8], path: &[u8], offset: u64, budget: usize) -> Block {
        let number = self.find(root, path).expect("it was found before");
        let Body::File(extents) = &self.inodes[&number].body else { return Block::default() };
        let (extents, end) = stretch(extents, offset, budget);
        for extent in &extents {
            if let Extent::Data(data) = extent {
                self.asked.data_bytes += size(data);
            }
        }
        if let Some(Trouble::Rewrite(times, content)) = self.inodes[&number].trouble.clone() {
            if times > 0 && offset == 0 {
                self.write(root, path, &content);
                self.inode(number).trouble = Some(Trouble::Rewrite(times - 1, content));
            }
        }
        Block { extents, end, after: Some(self.inodes[&number].stat) }
    }

    /// All of a small file in a directory.
    fn content(&self, children: &BTreeMap<Vec<u8>, u64>, name: &[u8]) -> Option<Vec<u8>> {
        match &self.inodes[children.get(name)?].body {
            Body::File(extents) => Some(stretch(extents, 0, IGNORE_BYTES).0.iter().flat_map(bytes).collect()),
            _ => None,
        }
    }
}

/// What a listing says of an inode.
pub(super) fn found(inode: &Inode, home: u64, parent: u64) -> Found {
    let kind = match inode.body {
        Body::File(_) => FoundKind::File,
        Body::Directory(_) => FoundKind::Directory,
        Body::Symlink(_) => FoundKind::Symlink,
        Body::Special => FoundKind::Special,
    };
    let disk = match inode.file_system {
        own if own != parent => Disk::Mounted,
        own if own == home => Disk::Root,
        _ => Disk::Other,
    };
    Found { kind, stat: inode.stat, disk }
}

/// The part of a file from `offset` on with at most `budget` bytes of data, and whether the file ends there.
fn stretch(extents: &[Extent], offset: u64, budget: usize) -> (Vec<Extent>, bool) {
    let (mut skip, mut left) = (offset, budget);
    let mut part = Vec::new();
    for extent in extents {
        let whole = length(extent);
        if skip >= whole {
            skip -= whole;
            continue;
        }
        match extent {
            Extent::Hole(_) => part.push(Extent::Hole(whole - skip)),
            Extent::Data(data) => {
                if left == 0 {
                    return (part, false);
                }
                let from = usize::try_from(skip).expect("files are small here");
                let to = data.len().min(from + left);
                left -= to - from;
                part.push(Extent::Data(data[from..to].to_vec()));
                if to < data.len() {
                    return (part, false);
                }
            }
        }
        skip = 0;
    }
    (part, true)
}

/// The bytes of an extent of a small file.
fn bytes(extent: &Extent) -> Vec<u8> {
    match extent {
        Extent::Data(data) => data.clone(),
        Extent::Hole(length) => vec![0; usize::try_from(*length).expect("files are small here")],
    }
}

/// It is not there.
pub(super) fn missing(verb: &str) -> FileError {
    FileError { kind: FileErrorKind::Missing, detail: format!("{verb}: No such file or directory") }
}

/// It is not allowed.
fn denied(verb: &str) -> FileError {
    FileError { kind: FileErrorKind::Denied, detail: format!("{verb}: Permission denied") }
}

/// What is read of an ignore file.
const IGNORE_BYTES: usize = 64 * 1024;

/// It failed for another reason.
pub(super) fn failed(detail: &str) -> FileError {
    FileError { kind: FileErrorKind::Failed, detail: detail.into() }
}
