//! The sorted walk over a folder's directory, in the order of a tree's keys.
//!
//! Owns which directory is listed when, what is ignored, and the memory of it: a page of names a level, all together at
//! most [`SCAN_BYTES_MAX`]; above, the pages of the upper levels are dropped and listed again from the last name on. Beside them, what
//! was listed ahead (`scan/ahead.rs`): nothing more is asked for ahead above half of that.
//! Opens no file and compares nothing. Read `node/join.rs` next.
//!
//! A directory is given when the first page of what is in it has come: one that vanished meanwhile is never given, and
//! one that cannot be listed is given as such. Names are sorted by bytes and a directory is entered right after it was
//! given: "a", "a/x", "a-b", which is the order of keys joined by 0x00.

use std::collections::VecDeque;

use super::duty::{Ask, Ops};
use super::outcome::Report;
use super::ports::{FileError, FileErrorKind, FileRequest, Found, FoundKind, Item, Listing};
use super::put::{Act, Put, ASIDE_PREFIX};
use crate::base::ids::FolderId;
use crate::base::limits::{LIST_ITEM_BYTES, MAP_KEY_BYTES_MAX, SCAN_BYTES_MAX};
use crate::file::applied::Disk;
use crate::file::ignore::{IgnoreError, IgnoreStack};
use crate::store::service::Op;
use ahead::{LooksAhead, Page};
use walked::path_below;

mod ahead;
mod walked;

pub(super) use walked::{Ahead, Walked, What};

/// A directory that the walk is in.
#[derive(Debug)]
struct Level {
    /// Length of its path.
    path_length: usize,
    /// Names that were listed and not yet looked at.
    items: VecDeque<Item>,
    /// How many of them, from the first on, were looked at for what can be asked for ahead.
    looked: usize,
    /// Names follow the last of `items`.
    more: bool,
    /// The last name that was taken from `items`.
    last: Vec<u8>,
}

/// A listing that is on its way.
#[derive(Debug)]
enum Asked {
    /// The first page of a directory, which is given when it has come (None: the root, which is not given).
    First(Op, Option<Found>),
    /// A later page of the innermost directory.
    Next(Op),
}

/// A walk over one folder.
#[derive(Debug)]
pub(super) struct Walker {
    /// Absolute path of the folder.
    root: Vec<u8>,
    /// What is left out.
    ignore: IgnoreStack,
    /// Mount points are not entered.
    one_file_system: bool,
    /// Files of more bytes than that are left out.
    max_size: Option<u64>,
    /// For which folder the directories are watched from now on.
    watch: Option<FolderId>,
    /// The directories that the walk is in, the root first.
    levels: Vec<Level>,
    /// Path of the innermost directory, or of the one whose first page is on its way.
    path: Vec<u8>,
    /// What was come upon.
    head: Option<Walked>,
    /// The listing on its way.
    asked: Option<Asked>,
    /// Listings that are wanted later.
    ahead: LooksAhead,
    /// The root cannot be listed.
    failed: Option<FileError>,
    /// The root was asked for.
    begun: bool,
    /// Bytes of all pages.
    bytes: usize,
    /// Sockets, devices and pipes seen.
    special: u64,
    /// Files that were left out for their size.
    large: u64,
    /// It is a shared folder's: what is left out is told, for it must not be taken for deleted.
    is_shared: bool,
}

impl Walker {
    /// A walk that has not begun.
    ///
    /// # Errors
    /// When a pattern of `ignore` is none.
    pub(super) fn new(root: &[u8], ignore: &[String], one_file_system: bool) -> Result<Self, IgnoreError> {
        Ok(Self {
            root: root.to_vec(),
            ignore: IgnoreStack::new(ignore)?,
            one_file_system,
            max_size: None,
            watch: None,
            levels: Vec::new(),
            path: Vec::new(),
            head: None,
            asked: None,
            ahead: LooksAhead::default(),
            failed: None,
            begun: false,
            bytes: 0,
            special: 0,
            large: 0,
            is_shared: false,
        })
    }

    /// The same, and the directories are watched for this folder from then on.
    pub(super) const fn watching(mut self, folder: Option<FolderId>) -> Self {
        self.watch = folder;
        self
    }

    /// The same, without files of more bytes than this.
    pub(super) const fn up_to(mut self, max_size: Option<u64>) -> Self {
        self.max_size = max_size;
        self
    }

    /// The same, over a shared folder or not.
    pub(super) const fn shared(mut self, is_shared: bool) -> Self {
        self.is_shared = is_shared;
        self
    }

    /// Whether it is over a shared folder.
    pub(super) const fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Looks what comes next; asks for listings.
    ///
    /// # Errors
    /// When the root cannot be listed.
    pub(super) fn look(&mut self, ops: &mut Ops, asks: &mut VecDeque<Ask>) -> Result<Ahead, FileError> {
        if !self.begun {
            self.begun = true;
            let op = self.list(ops, asks, self.path.clone(), None, false);
            self.asked = Some(Asked::First(op, None));
        }
        loop {
            if let Some(error) = &self.failed {
                return Err(error.clone());
            }
            if self.head.is_some() {
                return Ok(Ahead::Item);
            }
            if self.asked.is_some() {
                return Ok(Ahead::Wait);
            }
            self.ask_ahead(ops, asks);
            let Some(level) = self.levels.last_mut() else { return Ok(Ahead::End) };
            match level.items.pop_front() {
                Some(item) => {
                    level.looked = level.looked.saturating_sub(1);
                    self.bytes -= weight(&item);
                    level.last.clear();
                    level.last.extend_from_slice(&item.name);
                    self.take(item, ops, asks);
                }
                None if level.more => {
                    let after = level.last.clone();
                    let op = self.list(ops, asks, self.path.clone(), Some(after), false);
                    self.asked = Some(Asked::Next(op));
                }
                None => self.leave(),
            }
        }
    }

    /// What was come upon.
    pub(super) const fn head(&self) -> Option<&Walked> {
        self.head.as_ref()
    }

    /// Takes it and goes on.
    pub(super) fn take_head(&mut self) -> Option<Walked> {
        self.head.take()
    }

    /// What is left out without being asked for, and for its size, is told so far.
    pub(super) const fn tell(&self, report: &mut Report) {
        (report.special, report.large) = (self.special, self.large);
    }

    /// Takes a listing; gives it back if it is not for this walk.
    pub(super) fn listed(
        &mut self,
        op: Op,
        result: Result<Listing, FileError>,
    ) -> Option<Result<Listing, FileError>> {
        match self.asked.take() {
            Some(Asked::First(asked, found)) if asked == op => self.first_page(found, result),
            Some(Asked::Next(asked)) if asked == op => self.next_page(result),
            other => {
                self.asked = other;
                return self.ahead.came(op, result);
            }
        }
        None
    }

    /// Asks for a page of a directory.
    fn list(
        &self,
        ops: &mut Ops,
        asks: &mut VecDeque<Ask>,
        path: Vec<u8>,
        after: Option<Vec<u8>>,
        ahead: bool,
    ) -> Op {
        let (op, root) = (ops.draw(), self.root.clone());
        let watch = self.watch.filter(|_| after.is_none());
        asks.push_back(Ask::File(FileRequest::List { op, root, path, after, ahead, watch }));
        op
    }

    /// Looks at one name of the innermost directory.
    fn take(&mut self, item: Item, ops: &mut Ops, asks: &mut VecDeque<Ask>) {
        let path = path_below(&self.path, &item.name);
        let what = match item.found {
            _ if item.name.starts_with(ASIDE_PREFIX) => {
                if self.is_shared {
                    // Nothing is merged during a scan: it was left over.
                    let (op, root) = (ops.draw(), self.root.clone());
                    asks.push_back(Ask::File(FileRequest::Put(Put {
                        op,
                        root,
                        path,
                        mount: 0,
                        act: Act::Clean,
                    })));
                }
                return;
            }
            Err(error) if error.kind == FileErrorKind::Missing => return,
            Err(error) if !self.ignore.is_ignored(&path, false) => What::Hidden(error.detail),
            // What is left out here is no deletion.
            Err(_) if self.is_shared => What::Ignored,
            Err(_) => return,
            Ok(found) if self.ignore.is_ignored(&path, found.kind == FoundKind::Directory) => {
                if !self.is_shared {
                    return;
                }
                What::Ignored
            }
            Ok(found) if found.kind == FoundKind::File && self.is_large(found.stat.size) => {
                self.large += 1;
                if !self.is_shared {
                    return;
                }
                What::Large(found)
            }
            Ok(found) => match found.kind {
                FoundKind::Special => {
                    self.special += 1;
                    return;
                }
                _ if path.len() > MAP_KEY_BYTES_MAX => {
                    // No key is that long, so nothing is known of it: it is only reported.
                    What::Hidden("its path is too long".into())
                }
                FoundKind::File | FoundKind::Symlink => What::Leaf(found),
                FoundKind::Directory if self.one_file_system && found.disk != Disk::Root => What::Bare(found),
                FoundKind::Directory => {
                    let page = self.ahead.take(&path);
                    self.path = path;
                    match page {
                        Page::Here(result) => self.first_page(Some(found), result),
                        Page::Coming(op) => self.asked = Some(Asked::First(op, Some(found))),
                        Page::None => {
                            let op = self.list(ops, asks, self.path.clone(), None, false);
                            self.asked = Some(Asked::First(op, Some(found)));
                        }
                    }
                    return;
                }
            },
        };
        self.head = Some(Walked { path, what });
    }

    /// The first page of a directory came.
    fn first_page(&mut self, found: Option<Found>, result: Result<Listing, FileError>) {
        let path = self.path.clone();
        let Some(found) = found else {
            match result {
                Ok(listing) => self.enter(listing),
                Err(error) => self.failed = Some(error),
            }
            return;
        };
        let what = match result {
            Ok(listing) if listing.cache => What::Bare(found),
            Ok(listing) => {
                self.enter(listing);
                self.head = Some(Walked { path, what: What::Directory(found) });
                return;
            }
            Err(error) if error.kind == FileErrorKind::Missing => {
                self.step_back();
                return;
            }
            Err(error) if error.kind == FileErrorKind::Changed => What::Hidden(error.detail),
            Err(error) => What::Closed(found, error.detail),
        };
        self.step_back();
        self.head = Some(Walked { path, what });
    }

    /// A later page of the innermost directory came.
    fn next_page(&mut self, result: Result<Listing, FileError>) {
        match result {
            Ok(listing) => {
                let added: usize = listing.items.iter().map(weight).sum();
                if let Some(level) = self.levels.last_mut() {
                    // A page that brings nothing ends the directory, lest it be asked for again and again.
                    level.more = listing.more && !listing.items.is_empty();
                    level.items = listing.items.into();
                    level.looked = 0;
                    self.bytes += added;
                }
                self.shed();
            }
            Err(error) if self.levels.len() == 1 => self.failed = Some(error),
            Err(error) => {
                if let Some(level) = self.levels.last_mut() {
                    level.more = false;
                }
                self.head = Some(Walked { path: self.path.clone(), what: What::Rest(error.detail) });
            }
        }
    }

    /// Goes into the directory at `path`.
    fn enter(&mut self, listing: Listing) {
        self.ignore.enter(&self.path, listing.ignore.as_deref());
        self.bytes += listing.items.iter().map(weight).sum::<usize>();
        self.levels.push(Level {
            path_length: self.path.len(),
            more: listing.more && !listing.items.is_empty(),
            items: listing.items.into(),
            looked: 0,
            last: Vec::new(),
        });
        self.shed();
    }

    /// Leaves the innermost directory, of which nothing is left.
    fn leave(&mut self) {
        self.ahead.leave(self.levels.len());
        self.levels.pop();
        self.ignore.leave();
        self.step_back();
    }

    /// The path is that of the innermost directory again.
    fn step_back(&mut self) {
        let length = self.levels.last().map_or(0, |level| level.path_length);
        self.path.truncate(length);
    }

    /// Drops pages of upper levels until all together are small enough.
    fn shed(&mut self) {
        let Some((_, upper)) = self.levels.split_last_mut() else { return };
        for level in upper {
            if self.bytes <= SCAN_BYTES_MAX {
                return;
            }
            if level.items.is_empty() {
                continue;
            }
            self.bytes -= level.items.iter().map(weight).sum::<usize>();
            level.items = VecDeque::new();
            level.looked = 0;
            level.more = true;
        }
    }
}

/// What an item costs, in bytes of memory.
fn weight(item: &Item) -> usize {
    item.name.len() + LIST_ITEM_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::LIST_BYTES_MAX;
    use crate::node::ports::FileReply;
    use crate::sim::files::FakeFiles;

    /// Walks over all of a root; the greatest number of bytes that pages took, the paths, and how often the walk waited.
    fn walk(files: &mut FakeFiles, looks_ahead: bool) -> (usize, Vec<Vec<u8>>, u64) {
        let mut walker = Walker::new(b"/r", &["left-out".into()], false).unwrap();
        if looks_ahead {
            walker.look_ahead();
        }
        let mut waits = 0;
        let (mut ops, mut asks) = (Ops::new(1), VecDeque::new());
        let (mut most, mut paths) = (0, Vec::new());
        loop {
            match walker.look(&mut ops, &mut asks).unwrap() {
                Ahead::End => return (most, paths, waits),
                Ahead::Item => paths.push(walker.take_head().unwrap().path),
                Ahead::Wait => {
                    waits += 1;
                    assert!(!asks.is_empty(), "a listing is asked for");
                    for ask in asks.drain(..) {
                        let Ask::File(request) = ask else { panic!("only listings are") };
                        let FileReply::List { op, result } = files.answer(request) else {
                            panic!("it is listed")
                        };
                        walker.listed(op, result);
                    }
                }
            }
            most = most.max(walker.bytes + walker.ahead.bytes());
        }
    }

    #[test]
    fn deep_trees_of_large_directories_do_not_add_up() {
        let mut files = FakeFiles::default();
        let mut expected = Vec::new();
        for depth in 0..25 {
            for number in 0..700 {
                for side in ["a", "z"] {
                    let path = format!("{}{side}{number:0200}", "m/".repeat(depth));
                    files.write(b"/r", path.as_bytes(), b"");
                    expected.push(path.into_bytes());
                }
            }
            expected.push("m/".repeat(depth + 1).trim_end_matches('/').as_bytes().to_vec());
        }
        files.make_directory(b"/r", "m/".repeat(25).trim_end_matches('/').as_bytes());
        expected.sort_by_key(|path| {
            path.iter().map(|byte| if *byte == b'/' { 0 } else { *byte }).collect::<Vec<u8>>()
        });
        for looks_ahead in [false, true] {
            let (most, paths, _) = walk(&mut files, looks_ahead);
            assert!(paths == expected, "every name comes once and in order, though pages were dropped");
            assert!(most <= SCAN_BYTES_MAX + LIST_BYTES_MAX, "{most} bytes of listings at once");
        }
        let (most, ..) = walk(&mut files, false);
        assert!(most > LIST_BYTES_MAX, "the directories are large enough to tell");
    }

    #[test]
    fn who_looks_ahead_finds_the_same_waits_less_often_and_lists_nothing_that_is_left_out() {
        let mut files = FakeFiles::default();
        for number in 0..40_u64 {
            for depth in 0..number % 7 {
                let below = "d/".repeat(usize::try_from(depth).unwrap());
                for name in ["a", "left-out/x", "e/f", "e-/g"] {
                    files.write(b"/r", format!("{number:02}/{below}{name}").as_bytes(), b"");
                }
            }
        }
        for number in 0..300 {
            files.write(b"/r", format!("05/large/{number:03}").as_bytes(), b"");
        }
        files.make_directory(b"/r", b"07");
        let (_, expected, alone) = walk(&mut files, false);
        let listed = files.asked().lists;
        let (_, paths, together) = walk(&mut files, true);
        assert_eq!(paths, expected);
        assert!(together * 5 < alone * 2, "{together} and {alone} waits");
        assert_eq!(files.asked().lists, 2 * listed);
    }

    #[test]
    fn a_root_that_goes_away_ends_the_walk() {
        let mut files = FakeFiles::default();
        files.set_page_bytes(300);
        for name in [b"1", b"2", b"3", b"4"] {
            files.write(b"/r", name, b"");
        }
        let mut walker = Walker::new(b"/r", &[], false).unwrap();
        let (mut ops, mut asks) = (Ops::new(1), VecDeque::new());
        let error = loop {
            match walker.look(&mut ops, &mut asks) {
                Err(error) => break error,
                Ok(Ahead::Item) => {
                    walker.take_head();
                    files.remove_root(b"/r");
                }
                Ok(_) => {
                    let Some(Ask::File(request)) = asks.pop_front() else { panic!("a listing is asked for") };
                    let FileReply::List { op, result } = files.answer(request) else {
                        panic!("it is listed")
                    };
                    walker.listed(op, result);
                }
            }
        };
        assert_eq!(error.kind, FileErrorKind::Missing);
    }
}
