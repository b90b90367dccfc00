//! Two devices' trees of a shared folder become one, and nothing that either has and the other has not seen is lost.
//!
//! ```text
//!   ours    a1  b1      d1        seen {1: 4}      a1 was not touched, b1 was deleted there (its dot was seen, it is not there),
//!   theirs  a1      c2  d2        seen {1: 2, 2:3} c2 is new, d1 and d2 have not seen each other: one keeps the name, the other
//!   ------------------------                       gets one of its own
//!   merged  a1      c2  d1  d (conflict ...)2
//! ```
//!
//! A version goes exactly if the other side has seen its dot and lacks it. Of two that have not seen each other and have equal
//! content the greater dot stays; else the one that was changed later keeps the name, ties by dot, and the other becomes a
//! *conflict copy*: an ordinary file whose name is made from the version itself, so that all devices that meet this conflict make the
//! same one. A directory in which something stays, stays; a file in its place becomes a conflict copy. Clocks decide over names
//! only, never over what is kept.
//!
//! Pure, and streaming: entries go in in the order of their keys and come out so. Read `base/version.rs` first;
//! `node/merging.rs` feeds it from chunks.

use std::collections::VecDeque;

use super::entry::{Entry, Kind};
use super::tree::{is_within, name_of, parent_of};
use crate::base::limits::{COMPONENT_BYTES_MAX, CONFLICT_BYTES_MAX, MAP_KEY_BYTES_MAX};
use crate::base::units::WallTime;
use crate::base::version::{Dot, Vector};

/// An entry of a shared folder's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its key.
    pub key: Vec<u8>,
    /// What is known of it.
    pub entry: Entry,
    /// The change that made it.
    pub dot: Dot,
    /// The entry as the tree has it.
    pub value: Vec<u8>,
    /// Its inline content.
    pub tail: Vec<u8>,
    /// It comes from the other side.
    pub theirs: bool,
}

impl Version {
    /// Reads an entry of a tree; None if it is none, or none of a shared folder.
    #[must_use]
    pub fn read(key: &[u8], value: &[u8], tail: &[u8], theirs: bool) -> Option<Self> {
        let entry = Entry::decode(value).ok()?;
        let dot = entry.version?;
        Some(Self { key: key.to_vec(), entry, dot, value: value.to_vec(), tail: tail.to_vec(), theirs })
    }

    /// What it weighs while it waits, in bytes.
    fn weight(&self) -> usize {
        self.key.len() + self.value.len() + self.tail.len()
    }

    /// Whether it is a directory.
    fn is_directory(&self) -> bool {
        self.entry.kind == Kind::Directory
    }
}

/// Whether a side that has seen `ours` has something to take from one that has seen `theirs`. Two that have seen the same may still
/// differ: in which of several versions of a directory came to stay because of what is in it.
#[must_use]
pub fn needs_merge(ours: &Vector, theirs: &Vector, equal_trees: bool) -> bool {
    !ours.covers_all(theirs) || (ours == theirs && !equal_trees)
}

/// Whether two entries have the same content. Chunks of one vault are equal where content is, unless the content key moved on
/// in between.
#[must_use]
pub fn has_content(one: (&Entry, &[u8]), other: (&Entry, &[u8])) -> bool {
    one.0.kind == other.0.kind
        && one.0.content == other.0.content
        && one.1 == other.1
        && (one.0.kind != Kind::File || one.0.stat.size == other.0.stat.size)
}

/// Permission bits that a shared folder carries: no device lets another decide who runs what as whom.
pub const SHARED_MODE: u32 = 0o1777;

/// Whether two entries are the same in all that a shared folder carries.
#[must_use]
pub fn is_level(one: (&Entry, &[u8]), other: (&Entry, &[u8])) -> bool {
    let is_directory = one.0.kind == Kind::Directory;
    let is_link = one.0.kind == Kind::Symlink;
    has_content(one, other)
        && one.0.attributes == other.0.attributes
        && (is_link || one.0.stat.mode & SHARED_MODE == other.0.stat.mode & SHARED_MODE)
        && (is_directory || one.0.stat.mtime_ns == other.0.stat.mtime_ns)
        && one.0.torn == other.0.torn
}

/// An entry as the shared tree has it: without what differs from device to device.
#[must_use]
pub fn shared(mut entry: Entry, dot: Dot) -> Entry {
    entry.stat.ctime_ns = 0;
    entry.stat.inode = 0;
    entry.stat.links = 1;
    entry.stat.mode &= SHARED_MODE;
    if entry.kind == Kind::Directory {
        // It changes with whatever changes in it.
        (entry.stat.size, entry.stat.mtime_ns) = (0, 0);
    }
    entry.version = Some(dot);
    entry
}

/// Puts off directories that nobody wants any more until it is known whether something in them stays.
#[derive(Debug, Default)]
pub struct Keeper {
    /// Each in the one before it.
    held: Vec<Held>,
    /// What stays, in order.
    ready: VecDeque<Version>,
    /// Files in whose place a directory stays.
    displaced: Vec<Version>,
}

/// A directory that goes unless something in it stays.
#[derive(Debug)]
struct Held {
    /// The directory.
    directory: Version,
    /// What has its place if it goes.
    instead: Option<Version>,
}

impl Keeper {
    /// This version stays, and so do the directories that it is in.
    pub fn keep(&mut self, version: Version) {
        self.leave(&version.key);
        self.stay(version);
    }

    /// This directory goes unless something in it stays; then `instead`, if there is something, becomes displaced.
    pub fn hold(&mut self, directory: Version, instead: Option<Version>) {
        self.leave(&directory.key);
        self.held.push(Held { directory, instead });
    }

    /// Nothing more comes.
    pub fn end(&mut self) {
        while let Some(held) = self.held.pop() {
            if let Some(instead) = held.instead {
                self.stay(instead);
            }
        }
    }

    /// What stays next.
    pub fn pop(&mut self) -> Option<Version> {
        self.ready.pop_front()
    }

    /// Files in whose place a directory stayed.
    pub fn take_displaced(&mut self) -> Vec<Version> {
        std::mem::take(&mut self.displaced)
    }

    /// Directories that `key` is not in can keep nothing any more.
    pub fn leave(&mut self, key: &[u8]) {
        while let Some(held) = self.held.pop() {
            if is_within(key, &held.directory.key) {
                self.held.push(held);
                return;
            }
            if let Some(instead) = held.instead {
                self.stay(instead);
            }
        }
    }

    /// It stays; all that is held now is what it is in.
    fn stay(&mut self, version: Version) {
        for held in self.held.drain(..) {
            self.ready.push_back(held.directory);
            self.displaced.extend(held.instead);
        }
        self.ready.push_back(version);
    }
}

/// One pass of a merge.
#[derive(Debug)]
pub struct Merger {
    /// What this side has seen.
    ours: Vector,
    /// What the other side has seen.
    theirs: Vector,
    /// Conflicts below this key were dealt with in an earlier pass.
    settled: Vec<u8>,
    /// The first conflict for which this pass had no room.
    put_off: Option<Vec<u8>>,
    /// What stays.
    keeper: Keeper,
    /// Versions that lost their place.
    losers: Vec<Version>,
    /// What they weigh, in bytes.
    weight: usize,
}

impl Merger {
    /// A pass over the trees of two sides that have seen this; conflicts below the key `settled` were dealt with.
    #[must_use]
    pub fn new(ours: Vector, theirs: Vector, settled: Vec<u8>) -> Self {
        Self {
            ours,
            theirs,
            settled,
            put_off: None,
            keeper: Keeper::default(),
            losers: Vec::new(),
            weight: 0,
        }
    }

    /// Takes what the sides have at the next key, at least one of them something.
    pub fn take(&mut self, ours: Option<Version>, theirs: Option<Version>) {
        match (ours, theirs) {
            (None, None) => {}
            (Some(one), None) => self.alone(one),
            (None, Some(other)) => self.alone(other),
            (Some(one), Some(other)) => self.both(one, other),
        }
        self.collect();
    }

    /// Nothing more comes.
    pub fn end(&mut self) {
        self.keeper.end();
        self.collect();
    }

    /// What stays next, in the order of keys.
    pub fn pop(&mut self) -> Option<Version> {
        self.keeper.pop()
    }

    /// Versions that lost their place so far, to become conflict copies.
    pub fn take_losers(&mut self) -> Vec<Version> {
        std::mem::take(&mut self.losers)
    }

    /// From which conflict on another pass has to deal with the rest, if there is one.
    #[must_use]
    pub fn put_off(&self) -> Option<&[u8]> {
        self.put_off.as_deref()
    }

    /// One side has it.
    fn alone(&mut self, version: Version) {
        let other = if version.theirs { &self.ours } else { &self.theirs };
        match (other.covers(&version.dot), version.is_directory()) {
            (false, _) => self.keeper.keep(version),
            (true, true) => self.keeper.hold(version, None),
            (true, false) => {}
        }
    }

    /// Both sides have something there.
    fn both(&mut self, one: Version, other: Version) {
        if one.dot == other.dot {
            return self.keeper.keep(one);
        }
        match (self.theirs.covers(&one.dot), self.ours.covers(&other.dot)) {
            (true, false) => self.replaced(one, other),
            (false, true) => self.replaced(other, one),
            (true, true) if one.dot < other.dot => self.replaced(one, other),
            (true, true) => self.replaced(other, one),
            (false, false) => self.concurrent(one, other),
        }
    }

    /// `old` was there when `new` was made.
    fn replaced(&mut self, old: Version, new: Version) {
        if old.is_directory() && !new.is_directory() {
            self.keeper.hold(old, Some(new));
        } else {
            self.keeper.keep(new);
        }
    }

    /// Neither has seen the other.
    fn concurrent(&mut self, one: Version, other: Version) {
        let equal = has_content((&one.entry, &one.tail), (&other.entry, &other.tail));
        match (one.is_directory(), other.is_directory()) {
            (true, false) => self.displace(one, other),
            (false, true) => self.displace(other, one),
            _ if equal && one.dot > other.dot => self.keeper.keep(one),
            _ if equal => self.keeper.keep(other),
            _ => self.conflict(one, other),
        }
    }

    /// A directory stays in the place of something else.
    fn displace(&mut self, directory: Version, file: Version) {
        self.keeper.keep(directory);
        self.lose(file);
    }

    /// Two contents want one name.
    fn conflict(&mut self, one: Version, other: Version) {
        if one.key < self.settled {
            // An earlier pass made a copy of the other, and left this one in its place.
            return self.keeper.keep(one);
        }
        let rank = |version: &Version| (version.entry.stat.mtime_ns, version.dot);
        let one_wins = rank(&one) > rank(&other);
        let loser = if one_wins { &other } else { &one };
        if self.put_off.is_some() || self.weight + loser.weight() > CONFLICT_BYTES_MAX {
            self.put_off.get_or_insert_with(|| one.key.clone());
            return self.keeper.keep(one);
        }
        let (winner, loser) = if one_wins { (one, other) } else { (other, one) };
        self.keeper.keep(winner);
        self.lose(loser);
    }

    /// Something lost its place.
    fn lose(&mut self, version: Version) {
        if version.key >= self.settled {
            self.weight += version.weight();
            self.losers.push(version);
        }
    }

    /// Takes what was displaced.
    fn collect(&mut self) {
        for version in self.keeper.take_displaced() {
            self.lose(version);
        }
    }
}

/// The key of a conflict copy: `name (conflict DEVICE DATE DOT6).ext` beside the file, made from the version (`attempt`: 1, or
/// more where something else has that name). `device` is what people call the device that made it.
#[must_use]
pub fn conflict_key(version: &Version, device: &str, attempt: u32) -> Vec<u8> {
    let name = name_of(&version.key);
    let dot =
        name.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0 && name.len() - at <= EXTENSION_MAX);
    let (stem, extension) = name.split_at(dot.unwrap_or(name.len()));
    let device: String = device
        .chars()
        .filter(|character| !character.is_control() && *character != '/')
        .take(DEVICE_CHARACTERS_MAX)
        .collect();
    let device = device.trim();
    let made = WallTime::from_micros(version.entry.stat.mtime_ns.div_euclid(1_000)).to_string();
    let date = made.get(..10).unwrap_or(&made);
    let again = if attempt > 1 { format!(" {attempt}") } else { String::new() };
    let mark = format!(" (conflict {device} {date} {}{again})", version.dot.short());
    let parent = parent_of(&version.key);
    let room = COMPONENT_BYTES_MAX
        .min(MAP_KEY_BYTES_MAX.saturating_sub(parent.len() + 1))
        .saturating_sub(mark.len() + extension.len());
    let mut end = stem.len().min(room);
    // Not in the midst of a character.
    while end < stem.len() && end > 0 && stem[end] & 0b1100_0000 == 0b1000_0000 {
        end -= 1;
    }
    let mut key = parent.to_vec();
    if !key.is_empty() {
        key.push(0);
    }
    key.extend_from_slice(&stem[..end]);
    key.extend_from_slice(mark.as_bytes());
    key.extend_from_slice(extension);
    key
}

/// Longer ones are no extensions, in bytes with the dot.
const EXTENSION_MAX: usize = 20;
/// Characters of a device's name in that of a conflict copy: with 4 bytes each the whole mark is below 150.
const DEVICE_CHARACTERS_MAX: usize = 24;

#[cfg(test)]
mod tests;
