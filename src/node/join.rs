//! The merge of the walk over a directory with the tree of the last snapshot: what is new, what is in both, what went.
//!
//! Owns the rule that what cannot be looked at is not gone: the parent's entries stand in for it. Decides by stat
//! whether an entry is unchanged. Seals and reads nothing. Read `node/scan.rs` and `node/former.rs` first.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::duty::{Ask, Ops};
use super::former::Former;
use super::outcome::Report;
use super::ports::{FileError, FileErrorKind, Found, FoundKind};
use super::reader::{Reader, Seen};
use super::scan::{Ahead, Walked, Walker, What};
use super::share_scan::Known;
use crate::file::entry::{Entry, Kind, Stat};
use crate::file::tree::is_within;
use crate::store::service::Op;

/// An entry of the parent's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Old {
    /// Its key.
    pub(super) key: Vec<u8>,
    /// The entry, encoded.
    pub(super) value: Vec<u8>,
    /// Its inline content.
    pub(super) tail: Vec<u8>,
    /// A partial snapshot has it.
    pub(super) of_partial: bool,
    /// Of a shared folder: what else is known.
    pub(super) shared: Option<Box<Known>>,
}

/// What stands at a path now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct New {
    /// Its key.
    pub(super) key: Vec<u8>,
    /// Components joined by `/`.
    pub(super) path: Vec<u8>,
    /// What it is.
    pub(super) found: Found,
}

/// One step of the merge.
#[derive(Debug)]
pub(super) enum Joined {
    /// Here, and not in the parent.
    New(New),
    /// Here and in the parent.
    Both(New, Old),
    /// In the parent, and not looked at now: it stands.
    Kept(Old),
    /// In the parent, and not here any more.
    Gone(Old),
    /// The parent's tree cannot be read.
    OldLost,
    /// The root cannot be listed.
    Failed(FileError),
    /// Nothing yet.
    Wait,
    /// Nothing more.
    End,
}

/// The merge.
#[derive(Debug)]
pub(super) struct Join {
    /// What is here.
    walker: Walker,
    /// What the parent has.
    old: Former,
    /// The parent's entries at and below this key stand.
    stands: Option<Vec<u8>>,
    /// The last key here that is no directory: nothing of the parent's can stand below it.
    leaf: Vec<u8>,
    /// Nothing may be gone.
    is_empty: bool,
}

impl Join {
    /// A merge that has not begun.
    /// (`is_empty`: and must not have been anything else.)
    pub(super) const fn new(walker: Walker, old: Former, is_empty: bool) -> Self {
        Self { walker, old, stands: None, leaf: Vec::new(), is_empty }
    }

    /// The walk, for listings that came.
    pub(super) fn walker(&mut self) -> &mut Walker {
        &mut self.walker
    }

    /// The walk over what is known from before that waits for the answer to this request.
    pub(super) fn reader_of(&mut self, op: Op) -> Option<&mut Reader> {
        self.old.reader_of(op)
    }

    /// Nodes of the parent's tree read so far.
    pub(super) const fn old_nodes(&self) -> u64 {
        self.old.nodes()
    }

    /// The merge is behind all that the partial snapshot before this scan has.
    pub(super) const fn is_past_partial(&self) -> bool {
        self.old.is_past_partial()
    }

    /// The next step; what cannot be looked at goes into `report`.
    pub(super) fn next(&mut self, ops: &mut Ops, asks: &mut VecDeque<Ask>, report: &mut Report) -> Joined {
        loop {
            let old = self.old.look(ops, asks);
            let here = match self.walker.look(ops, asks) {
                Ok(here) => here,
                Err(error) => return Joined::Failed(error),
            };
            match (&here, old) {
                (_, Seen::Lost { .. }) => return Joined::OldLost,
                (Ahead::Wait, _) | (_, Seen::Wait) => return Joined::Wait,
                (Ahead::End, Seen::End) => return Joined::End,
                (Ahead::End, Seen::Entry) => return self.without_new(),
                (Ahead::Item, seen) => {
                    if let Some(joined) = self.with_new(seen == Seen::Entry, report) {
                        return joined;
                    }
                }
            }
        }
    }

    /// There is something here, and perhaps an entry of the parent's.
    fn with_new(&mut self, has_old: bool, report: &mut Report) -> Option<Joined> {
        let key = key_of_path(&self.walker.head()?.path);
        let order = match self.old.key().filter(|_| has_old) {
            Some(old) => old.cmp(&key),
            None => Ordering::Greater,
        };
        let rest = matches!(self.walker.head()?.what, What::Rest(_));
        if order == Ordering::Less && !rest {
            return Some(self.without_new());
        }
        let Walked { path, what } = self.walker.take_head()?;
        let found = match what {
            What::Leaf(found) => {
                self.leaf.clone_from(&key);
                found
            }
            What::Bare(found) => {
                if self.walker.is_shared() {
                    // What is left out here is no deletion.
                    self.stands = Some(key.clone());
                }
                found
            }
            What::Large(found) if order == Ordering::Equal => {
                let old = self.old.take()?;
                if !old.is_pending() {
                    return Some(Joined::Kept(old));
                }
                // Others have one, too, and whether it is this one is not known yet: as where the folder has moved.
                self.leaf.clone_from(&key);
                return Some(Joined::Both(New { key, path, found }, old));
            }
            What::Ignored | What::Large(_) => {
                self.stands = Some(key);
                return None;
            }
            What::Directory(found) => found,
            What::Closed(found, reason) => {
                self.stands = Some(key.clone());
                report.unreadable(path.clone(), reason);
                found
            }
            What::Hidden(reason) | What::Rest(reason) => {
                // What the parent has of it comes next, and stands.
                self.stands = Some(key);
                report.unreadable(path, reason);
                return None;
            }
        };
        let new = New { key, path, found };
        if order == Ordering::Equal {
            let old = self.old.take()?;
            if old.is_unplugged(&new.found) {
                report.unreadable(new.path, UNPLUGGED);
                self.stands = Some(new.key);
                return Some(Joined::Kept(old));
            }
            return Some(Joined::Both(new, old));
        }
        Some(Joined::New(new))
    }

    /// There is only an entry of the parent's.
    fn without_new(&mut self) -> Joined {
        let Some(old) = self.old.take() else { return Joined::End };
        let stands = self.stands.as_ref().is_some_and(|key| old.key == *key || is_within(&old.key, key));
        let below_leaf = !self.leaf.is_empty() && is_within(&old.key, &self.leaf);
        if stands && !below_leaf {
            Joined::Kept(old)
        } else if self.is_empty && !old.is_pending() {
            Joined::Failed(FileError { kind: FileErrorKind::Failed, detail: "it has become empty".into() })
        } else {
            Joined::Gone(old)
        }
    }
}

/// What is said of a directory of a shared folder where a disk is missing: nothing in it is taken for deleted.
const UNPLUGGED: &str =
    "a disk was mounted there, and is not any more: plug it in, or remove the directory if it is not to come back";

/// Is the entry as `found` says, and old enough that this can be told from its stat?
pub(super) fn is_unchanged(found: &Found, entry: &Entry, trusted_ns: i64) -> bool {
    let same_kind = kind_of(found.kind) == Some(entry.kind);
    same_kind && !entry.torn && is_same(&found.stat, &entry.stat) && found.stat.ctime_ns <= trusted_ns
}

/// Do two stats tell of the same file in the same state?
pub(super) fn is_same(one: &Stat, other: &Stat) -> bool {
    let key =
        |stat: &Stat| (stat.size, stat.mtime_ns, stat.ctime_ns, stat.inode, stat.mode, stat.uid, stat.gid);
    key(one) == key(other)
}

/// The kind of entry that something becomes.
pub(super) const fn kind_of(kind: FoundKind) -> Option<Kind> {
    match kind {
        FoundKind::File => Some(Kind::File),
        FoundKind::Directory => Some(Kind::Directory),
        FoundKind::Symlink => Some(Kind::Symlink),
        FoundKind::Special => None,
    }
}

/// The key of a path that the walk made.
fn key_of_path(path: &[u8]) -> Vec<u8> {
    path.iter().map(|byte| if *byte == b'/' { 0 } else { *byte }).collect()
}
