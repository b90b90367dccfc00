//! Listings that are asked for before the walk gets there, in lots.
//!
//! A walk that asks for one directory after the other waits for the file thread, and is waited for, at each of them. Only a walk that
//! opens no file looks ahead: it is over soon, what changes behind a listing changes after the scan's beginning and is told by the watch
//! that was set before it, and whoever finds a difference lists anew.

use std::collections::VecDeque;

use super::super::duty::{Ask, Ops};
use super::super::ports::{FileError, FoundKind, Listing};
use super::super::put::ASIDE_PREFIX;
use super::walked::path_below;
use super::{weight, Walker};
use crate::base::limits::{LISTS_AHEAD, LISTS_AHEAD_MAX, MAP_KEY_BYTES_MAX, SCAN_BYTES_MAX};
use crate::file::applied::Disk;
use crate::store::service::Op;

/// A first page of a directory: on its way, or here.
#[derive(Debug)]
struct Asked {
    /// Asked for with this.
    op: Op,
    /// How deep the directory is that it stands in.
    depth: usize,
    /// The directory.
    path: Vec<u8>,
    /// The page, when it has come.
    page: Option<Result<Listing, FileError>>,
    /// What that costs, in bytes of memory.
    bytes: usize,
}

/// First pages that the walk will want.
#[derive(Debug, Default)]
pub(super) struct LooksAhead {
    /// Whether it looks ahead at all.
    is_on: bool,
    /// In no order; few.
    pages: Vec<Asked>,
}

/// What there is of a directory.
#[derive(Debug)]
pub(super) enum Page {
    /// Its first page.
    Here(Result<Listing, FileError>),
    /// That is on its way.
    Coming(Op),
    /// Nothing: it was not asked for.
    None,
}

impl LooksAhead {
    /// Looks ahead from now on.
    pub(super) const fn turn_on(&mut self) {
        self.is_on = true;
    }

    /// Whether the next lot of a directory that deep is to be asked for.
    pub(super) fn wants(&self, depth: usize) -> bool {
        self.is_on && self.count(depth) <= LISTS_AHEAD / 2
    }

    /// Whether one more may be asked for.
    pub(super) fn has_room(&self, depth: usize) -> bool {
        self.count(depth) < LISTS_AHEAD
            && self.pages.len() < LISTS_AHEAD_MAX
            && self.bytes() < SCAN_BYTES_MAX / 2
    }

    /// What the pages that are here cost, in bytes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.pages.iter().map(|page| page.bytes).sum()
    }

    /// How many there are of a directory that deep.
    fn count(&self, depth: usize) -> usize {
        self.pages.iter().filter(|page| page.depth == depth).count()
    }

    /// Whether a directory was asked for.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.pages.iter().any(|page| page.path == path)
    }

    /// A directory was asked for.
    pub(super) fn asked(&mut self, op: Op, depth: usize, path: Vec<u8>) {
        self.pages.push(Asked { op, depth, path, page: None, bytes: 0 });
    }

    /// Takes a page; gives it back if it was not asked for here.
    pub(super) fn came(
        &mut self,
        op: Op,
        page: Result<Listing, FileError>,
    ) -> Option<Result<Listing, FileError>> {
        match self.pages.iter_mut().find(|ahead| ahead.op == op) {
            Some(ahead) => {
                ahead.bytes = page.as_ref().map_or(0, |listing| {
                    let ignore = listing.ignore.as_ref().map_or(0, Vec::len);
                    listing.items.iter().map(weight).sum::<usize>() + ignore
                });
                ahead.page = Some(page);
                None
            }
            None => Some(page),
        }
    }

    /// The walk has come to this directory.
    pub(super) fn take(&mut self, path: &[u8]) -> Page {
        let Some(at) = self.pages.iter().position(|page| page.path == path) else { return Page::None };
        let Asked { op, page, .. } = self.pages.swap_remove(at);
        page.map_or(Page::Coming(op), Page::Here)
    }

    /// The walk leaves a directory that deep: what was asked for in it and is not wanted any more goes.
    pub(super) fn leave(&mut self, depth: usize) {
        self.pages.retain(|page| page.depth < depth);
    }
}

impl Walker {
    /// Asks for listings before it gets there, from now on: for a walk on which no file is opened.
    pub(in crate::node) const fn look_ahead(&mut self) {
        self.ahead.turn_on();
    }

    /// Asks for the next directories in the innermost one, if it is time for that.
    pub(super) fn ask_ahead(&mut self, ops: &mut Ops, asks: &mut VecDeque<Ask>) {
        let depth = self.levels.len();
        if depth == 0 || !self.ahead.wants(depth) {
            return;
        }
        while self.ahead.has_room(depth) {
            let Some(level) = self.levels.last_mut() else { return };
            let Some(item) = level.items.get(level.looked) else { return };
            level.looked += 1;
            let is_entered = item.found.as_ref().is_ok_and(|found| {
                found.kind == FoundKind::Directory && !(self.one_file_system && found.disk != Disk::Root)
            });
            if !is_entered || item.name.starts_with(ASIDE_PREFIX) {
                continue;
            }
            let path = path_below(&self.path, &item.name);
            let is_too_long = path.len() > MAP_KEY_BYTES_MAX;
            if !is_too_long && !self.ignore.is_ignored(&path, true) && !self.ahead.has(&path) {
                let op = self.list(ops, asks, path.clone(), None, true);
                self.ahead.asked(op, depth, path);
            }
        }
    }
}
