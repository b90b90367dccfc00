//! The file thread's work: listing directories, looking at files and reading them, for backups.
//!
//! Refuses to write anything but what is put into a shared folder (`io/put.rs`), to follow a symbolic link below a folder's root, and to wait for a pipe. What is open stays open
//! for the next request of the same file, and is let go when nothing is asked for a while ([`FileService::rest`]), so
//! that a disk can be unmounted. Read `node/ports.rs` first.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::attributes::{Carrier, Reader};
use super::facts::{self, Device, Facts};
use super::list::Pages;
use super::put::{Putter, Target};
use super::watch::Watches;
use super::{beneath, extents};
use crate::base::ids::FolderId;
use crate::base::limits::{
    LIST_BYTES_MAX, LIST_ITEMS_MAX, OPEN_LISTINGS_MAX, OPEN_ROOTS_MAX, OPEN_SOURCE_FILES_MAX,
};
use crate::file::entry::Stat;
use crate::node::ports::{
    Block, FileError, FileReply, FileRequest, FoundKind, Listing, Notice, Opened, RootFacts, WatchOrder,
};
use crate::node::put::Put;
use roots::{file_system, is_empty, open_root};

mod roots;

/// Answers the core's requests about files, one at a time.
#[derive(Debug, Default)]
pub struct FileService {
    /// Roots that were asked about, the last used first.
    roots: VecDeque<Root>,
    /// Directories that are not fully listed, the last used first.
    listings: VecDeque<(Place, Pages)>,
    /// Files that are not fully read, the last used first.
    files: VecDeque<(Place, OpenFile)>,
    /// Buffers for attributes.
    attributes: Reader,
    /// Watches over folders, where the system has any.
    watches: Option<Watches>,
    /// Writes into shared folders.
    putter: Putter,
    /// The last file that was opened has holes, as far as its stat tells: on some file systems all have.
    was_sparse: bool,
    /// The node's own data directory: file system and inode. It is not backed up, for it grows by that very backup.
    home: Option<(Device, u64)>,
}

/// A path below a root.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// The root, as the core named it.
    root: Vec<u8>,
    /// Relative to it.
    path: Vec<u8>,
}

/// A folder's root.
#[derive(Debug)]
struct Root {
    /// As the core named it.
    path: Vec<u8>,
    /// The open directory; None while the service rests.
    directory: Option<Rc<OwnedFd>>,
    /// Its file system.
    device: Device,
    /// Its inode.
    inode: u64,
}

/// A regular file that is being read.
#[derive(Debug)]
struct OpenFile {
    /// The file.
    file: OwnedFd,
    /// What was known of it when it was last looked at.
    facts: Facts,
}

impl FileService {
    /// Nothing is open yet, and what stands in `home` is left out of every listing.
    #[must_use]
    pub fn outside(home: &Path) -> Self {
        let known = open_root(home.as_os_str().as_bytes()).ok();
        Self { home: known.map(|(_, facts)| (facts.device, facts.stat.inode)), ..Self::default() }
    }

    /// The same with these watches.
    #[must_use]
    pub fn watching(self, watches: Option<Watches>) -> Self {
        Self { watches, ..self }
    }

    /// Does as ordered with the watches over a folder; what is to be told of it.
    pub fn watch(&self, order: &WatchOrder) -> Option<Notice> {
        self.watches.as_ref()?.obey(order)
    }

    /// Answers one request.
    pub fn execute(&mut self, request: FileRequest) -> FileReply {
        match request {
            FileRequest::Put(put) => self.put(put),
            FileRequest::Root { op, root } => FileReply::Root { op, result: self.root_facts(&root) },
            FileRequest::List { op, root, path, after, ahead, watch } => {
                FileReply::List { op, result: self.list(Place { root, path }, after, ahead, watch) }
            }
            FileRequest::Open { op, root, path, budget, known } => {
                FileReply::Open { op, result: self.open(Place { root, path }, budget, known) }
            }
            FileRequest::Read { op, root, path, offset, budget } => {
                FileReply::Read { op, result: self.read(Place { root, path }, offset, budget) }
            }
        }
    }

    /// Something in a shared folder becomes as another has it.
    fn put(&mut self, Put { op, root, path, mount, act }: Put) -> FileReply {
        self.listings.retain(|(place, _)| place.root != root);
        let result = self.root(&root).and_then(|(directory, device)| {
            self.putter
                .act(Target { root: directory.as_fd(), folder: &root, device, path: &path, mount }, act)
        });
        FileReply::Put { op, result }
    }

    /// Lets go of everything that is open. A root is opened again when it is needed, and must then be the same.
    pub fn rest(&mut self) {
        self.listings.clear();
        self.files.clear();
        self.putter.forget();
        for root in &mut self.roots {
            root.directory = None;
        }
    }

    /// What stands at `root`; what was known of it before is forgotten.
    fn root_facts(&mut self, root: &[u8]) -> Result<RootFacts, FileError> {
        self.roots.retain(|known| known.path != root);
        self.listings.retain(|(place, _)| place.root != root);
        self.files.retain(|(place, _)| place.root != root);
        self.putter.forget();
        let (directory, facts) = open_root(root)?;
        if self.home == Some((facts.device, facts.stat.inode)) {
            return Err(facts::failure("use nuthatch's own data directory as a folder", Errno::PERM));
        }
        let file_system =
            file_system(directory.as_fd(), facts.device).map_err(|errno| facts::failure("statfs", errno))?;
        let again = beneath::open(directory.as_fd(), b"", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
            .map_err(|errno| facts::failure("open", errno))?;
        let empty = is_empty(&again).map_err(|errno| facts::failure("list", errno))?;
        self.remember(root, directory, &facts);
        Ok(RootFacts { file_system, inode: facts.stat.inode, empty, stat: facts.stat })
    }

    /// Keeps a root open.
    fn remember(&mut self, root: &[u8], directory: OwnedFd, facts: &Facts) -> (Rc<OwnedFd>, Device) {
        let directory = Rc::new(directory);
        self.roots.push_front(Root {
            path: root.to_vec(),
            directory: Some(Rc::clone(&directory)),
            device: facts.device,
            inode: facts.stat.inode,
        });
        self.roots.truncate(OPEN_ROOTS_MAX);
        (directory, facts.device)
    }

    /// The open root. One that was another directory when it was asked about last is refused: the disk with the folder
    /// may have been unmounted in the middle of a scan.
    fn root(&mut self, path: &[u8]) -> Result<(Rc<OwnedFd>, Device), FileError> {
        let Some(at) = self.roots.iter().position(|root| root.path == path) else {
            let (directory, facts) = open_root(path)?;
            return Ok(self.remember(path, directory, &facts));
        };
        let root = &mut self.roots[at];
        if let Some(directory) = &root.directory {
            return Ok((Rc::clone(directory), root.device));
        }
        let (directory, facts) = open_root(path)?;
        if facts.device != root.device || facts.stat.inode != root.inode {
            return Err(facts::changed("the folder's directory became another one during the scan"));
        }
        let directory = Rc::new(directory);
        root.directory = Some(Rc::clone(&directory));
        Ok((directory, root.device))
    }

    /// A page of a directory.
    fn list(
        &mut self,
        place: Place,
        after: Option<Vec<u8>>,
        ahead: bool,
        watch: Option<FolderId>,
    ) -> Result<Listing, FileError> {
        let mut watched = None;
        let known = self.listings.iter().position(|(known, pages)| {
            *known == place && after.is_some() && pages.reported() == after.as_deref()
        });
        let mut pages = match known.and_then(|at| self.listings.remove(at)) {
            Some((_, pages)) => pages,
            None => {
                self.listings.retain(|(known, _)| *known != place);
                let (root, device) = self.root(&place.root)?;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let directory = open_quietly(root.as_fd(), &place.path, flags)
                    .map_err(|errno| facts::failure("open", errno))?;
                let facts = facts::look(directory.as_fd()).map_err(|errno| facts::failure("stat", errno))?;
                if self.home == Some((facts.device, facts.stat.inode)) {
                    return Ok(Listing { cache: true, ..Listing::default() });
                }
                // Before its names are read, so that none slips through in between.
                if let (Some(folder), Some(watches), None) = (watch, &self.watches, &after) {
                    watched = watches
                        .watch(folder, directory.as_fd(), place.path.is_empty())
                        .map(|number| (folder, number));
                }
                Pages::new(directory, (device, facts.device), after, LIST_BYTES_MAX)?
            }
        };
        let listing = pages.page(LIST_ITEMS_MAX)?;
        if let (true, Some((folder, number)), Some(watches)) = (listing.cache, watched, &self.watches) {
            watches.unwatch(folder, number);
        }
        if listing.more && !ahead {
            self.listings.push_front((place, pages));
            self.listings.truncate(OPEN_LISTINGS_MAX);
        }
        Ok(listing)
    }

    /// Everything about one path, and its first bytes.
    fn open(&mut self, place: Place, budget: usize, listed: Option<Stat>) -> Result<Opened, FileError> {
        self.files.retain(|(known, _)| *known != place);
        let (root, device) = self.root(&place.root)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match open_quietly(root.as_fd(), &place.path, flags) {
            Ok(file) => file,
            Err(Errno::LOOP) => return self.open_link(root.as_fd(), device, &place.path),
            Err(errno) => return Err(facts::failure("open", errno)),
        };
        let first =
            listed.filter(|_| !self.was_sparse).and_then(|stat| read_listed(file.as_fd(), stat, budget));
        let known = match &first {
            Some((known, _)) => *known,
            None => facts::look(file.as_fd()).map_err(|errno| facts::failure("stat", errno))?,
        };
        let mut opened = Opened {
            found: known.found(device, known.device),
            attributes: Vec::new(),
            target: None,
            block: Block { extents: Vec::new(), end: true, after: None },
        };
        if known.kind == FoundKind::Special {
            return Ok(opened);
        }
        opened.attributes = self.attributes.read(Carrier::Open(file.as_fd()));
        if known.kind == FoundKind::File {
            self.was_sparse = known.sparse;
            let mut open = OpenFile { file, facts: known };
            opened.block.end = known.stat.size == 0;
            if let Some((_, block)) = first {
                opened.block = block;
            } else if budget > 0 {
                opened.block = open.read(0, budget)?;
            }
            if !opened.block.end {
                self.keep_open(place, open);
            }
        }
        Ok(opened)
    }

    /// A symbolic link: what it is and where it points.
    fn open_link(&mut self, root: BorrowedFd<'_>, device: Device, path: &[u8]) -> Result<Opened, FileError> {
        let link = beneath::open(root, path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|errno| facts::failure("open", errno))?;
        let known = facts::look(link.as_fd()).map_err(|errno| facts::failure("stat", errno))?;
        if known.kind != FoundKind::Symlink {
            return Err(facts::changed("it was replaced while it was looked at"));
        }
        let target = rustix::fs::readlinkat(&link, c"", Vec::new())
            .map_err(|errno| facts::failure("read link", errno))?;
        Ok(Opened {
            found: known.found(device, known.device),
            attributes: self.attributes.read(Carrier::Path(link.as_fd())),
            target: Some(target.into_bytes()),
            block: Block { extents: Vec::new(), end: true, after: Some(known.stat) },
        })
    }

    /// The next block of a file, whether it is still open or not.
    fn read(&mut self, place: Place, offset: u64, budget: usize) -> Result<Block, FileError> {
        let known = self.files.iter().position(|(known, _)| *known == place);
        let mut open = match known.and_then(|at| self.files.remove(at)) {
            Some((_, open)) => open,
            None => self.reopen(&place)?,
        };
        let block = open.read(offset, budget)?;
        if !block.end {
            self.keep_open(place, open);
        }
        Ok(block)
    }

    /// Opens a regular file again.
    fn reopen(&mut self, place: &Place) -> Result<OpenFile, FileError> {
        let (root, _) = self.root(&place.root)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file =
            open_quietly(root.as_fd(), &place.path, flags).map_err(|errno| facts::failure("open", errno))?;
        let facts = facts::look(file.as_fd()).map_err(|errno| facts::failure("stat", errno))?;
        if facts.kind != FoundKind::File {
            return Err(facts::changed("it is no regular file any more"));
        }
        Ok(OpenFile { file, facts })
    }

    /// Keeps a file open for its next block.
    fn keep_open(&mut self, place: Place, open: OpenFile) {
        self.files.push_front((place, open));
        self.files.truncate(OPEN_SOURCE_FILES_MAX);
    }
}

impl OpenFile {
    /// Reads a block and looks at the file again.
    fn read(&mut self, offset: u64, budget: usize) -> Result<Block, FileError> {
        let (extents, end) =
            extents::read(self.file.as_fd(), offset, self.facts.stat.size, self.facts.sparse, budget)
                .map_err(|errno| facts::failure("read", errno))?;
        self.facts = facts::look(self.file.as_fd()).map_err(|errno| facts::failure("stat", errno))?;
        // A file that grew is read on; one that shrank ends where reading ended.
        let end = match end {
            extents::End::Reached(position) => position >= self.facts.stat.size,
            extents::End::Short => true,
            extents::End::Budget => false,
        };
        Ok(Block { extents, end, after: Some(self.facts.stat) })
    }
}

/// Reads the first bytes of a file of which it is known what it was when it was listed, and looks at it behind that: if it is just the
/// same, it has not changed while it was read, either. None if anything is otherwise: then it is looked at before it is read, too.
fn read_listed(file: BorrowedFd<'_>, listed: Stat, budget: usize) -> Option<(Facts, Block)> {
    let (extents, end) = extents::read(file, 0, listed.size, false, budget).ok()?;
    let facts = facts::look(file).ok()?;
    let is_same = facts.kind == FoundKind::File && facts.stat == listed && !facts.sparse;
    let end = match end {
        extents::End::Reached(_) => true,
        extents::End::Budget => false,
        extents::End::Short => return None,
    };
    is_same.then_some((facts, Block { extents, end, after: Some(facts.stat) }))
}

/// Opens beneath `root` without touching access times, where that is allowed.
fn open_quietly(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    match beneath::open(root, path, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => beneath::open(root, path, flags, Mode::empty()),
        answer => answer,
    }
}

#[cfg(test)]
mod tests;
