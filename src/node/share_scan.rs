//! What a scan of a shared folder does besides what any scan does: it tells own changes from what was applied here, gives them
//! dots, and writes the applied map beside the tree.
//!
//! ```text
//!                      tree (what all devices have made)     applied map (what stands on this disk)
//!   unchanged here     as it was                             as it was
//!   changed here       a new dot                             the new stat, that dot
//!   deleted here       gone                                  gone
//!   the same is here   as it was                             the stat here, its dot
//!   not yet applied    as it was, whatever stands here       as it was: whoever applies it finds what stands in the way
//! ```
//!
//! So a scan never takes what another device has made for deleted because it has not reached this disk, and never replaces a version
//! that the person here cannot have seen. Read `file/merge.rs` and `file/applied.rs` first; `node/writer.rs` owns the tree.

use super::join::{kind_of, Old};
use super::ports::Found;
use super::sink::Out;
use crate::base::ids::{ChunkId, FeedId};
use crate::base::version::{Dot, Vector};
use crate::feed::entry::SharedText;
use crate::file::applied::{Applied, Disk};
use crate::file::entry::texture::Texture;
use crate::file::entry::{Attributes, Content, Entry, Kind, Stat};
use crate::file::map::{MapBuilder, NodeParts};
use crate::file::merge::{has_content, is_level, shared, Keeper, Version};
use crate::file::tree::is_within;
use crate::seal::sealed::ChunkKind;

/// What a scan of a shared folder begins with.
#[derive(Debug, Clone)]
pub struct SharedScan {
    /// Root of the applied map; None: nothing was ever applied here.
    pub applied: Option<ChunkId>,
    /// The changes that this device has seen.
    pub seen: Vector,
    /// The feed that its own changes are numbered in.
    pub feed: FeedId,
    /// What is changed here stays here: the tree is what the others have made, and whoever applies it puts what stands in its way aside.
    pub receive: bool,
}

/// What is known of a path of a shared folder from before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// The tree has it: value and tail are its.
    pub(super) published: bool,
    /// What was applied here.
    pub(super) applied: Option<Applied>,
    /// It is not here any more.
    pub(super) gone: bool,
}

impl Old {
    /// The entry as it was when it was last looked at here. Of a shared folder: with the stat that it has on this disk.
    pub(super) fn entry(&self) -> Option<Entry> {
        let Some(known) = &self.shared else { return Entry::decode(&self.value).ok() };
        let published = if known.published { Entry::decode(&self.value).ok() } else { None };
        let Some(applied) = known.applied else { return published };
        let other = || Entry {
            kind: applied.kind,
            stat: applied.stat,
            attributes: Attributes::Here(Vec::new()),
            content: Content::None,
            torn: false,
            texture: Texture::Plain,
            version: Some(applied.dot),
        };
        let is_applied = |entry: &Entry| entry.version == Some(applied.dot);
        Some(match published.filter(is_applied) {
            Some(entry) => Entry { stat: applied.stat, ..entry },
            None => other(),
        })
    }

    /// The tree has it, and it was never applied here.
    pub(super) fn is_pending(&self) -> bool {
        self.shared.as_ref().is_some_and(|known| known.applied.is_none())
    }

    /// It is a directory of a shared folder, as it was but for its times, which change with whatever is written into it.
    pub(super) fn is_same_directory(&self, found: &Found) -> bool {
        let known = self.shared.as_ref().and_then(|known| known.applied);
        let rights = |stat: &Stat| (stat.mode, stat.uid, stat.gid);
        known.is_some_and(|known| {
            let both = known.kind == Kind::Directory && kind_of(found.kind) == Some(Kind::Directory);
            both && rights(&known.stat) == rights(&found.stat)
        })
    }

    /// It was a directory of a shared folder in which a disk was mounted, and is not any more: a disk is missing.
    pub(super) fn is_unplugged(&self, found: &Found) -> bool {
        let known = self.shared.as_ref().and_then(|known| known.applied);
        let is_missing = |known: Applied| match known.disk {
            Disk::Root => false,
            Disk::Other => found.disk == Disk::Root,
            Disk::Mounted => found.disk != Disk::Mounted,
        };
        known.is_some_and(|known| known.kind == Kind::Directory && is_missing(known))
    }

    /// From when on changes may hide behind its stat, in nanoseconds since 1970, if not from `trusted_ns` on.
    pub(super) fn trusted(&self, trusted_ns: i64) -> i64 {
        let placed =
            self.shared.as_ref().and_then(|known| known.applied).is_some_and(|applied| applied.placed);
        if placed {
            i64::MAX
        } else {
            trusted_ns
        }
    }

    /// What stands there is not what the tree has.
    pub(super) fn is_owed(&self) -> bool {
        let Some(known) = &self.shared else { return false };
        self.version().map(|version| version.dot) != known.applied.map(|applied| applied.dot)
    }

    /// It is not here any more.
    pub(super) fn is_gone(&self) -> bool {
        self.shared.as_ref().is_some_and(|known| known.gone)
    }

    /// The version that the tree has there.
    fn version(&self) -> Option<Version> {
        let published = self.shared.as_ref().is_some_and(|known| known.published);
        Version::read(&self.key, &self.value, &self.tail, false).filter(|_| published)
    }
}

/// Something of a shared folder that is new or changed here.
#[derive(Debug)]
pub(super) struct Changed {
    /// Its key.
    pub(super) key: Vec<u8>,
    /// What it is now, with the stat it has here.
    pub(super) entry: Entry,
    /// Its inline content.
    pub(super) tail: Vec<u8>,
    /// What is known of the path from before.
    pub(super) old: Option<Old>,
    /// On which file system it lies.
    pub(super) disk: Disk,
}

/// The shared folder's side of a tree under construction.
#[derive(Debug)]
pub(super) struct Sharing {
    /// The applied map.
    applied: MapBuilder,
    /// What goes into the tree, in order.
    keeper: Keeper,
    /// The feed that changes are numbered in.
    feed: FeedId,
    /// The changes that were seen.
    seen: Vector,
    /// What is changed here stays here.
    receive: bool,
    /// Something was deleted here.
    deleted: bool,
    /// Paths that stand here as the tree has them.
    level: u64,
    /// The applied map says something new of more than the times of directories.
    restated: bool,
    /// Something stands here in the place of a directory; whether that goes is not known yet.
    instead: Option<(Vec<u8>, Applied)>,
    /// The tree has a file there that was not applied, and a directory stands here: what is in it is taken in once that was set
    /// aside.
    leaf: Option<Vec<u8>>,
}

impl Sharing {
    /// Nothing yet.
    pub(super) fn new(map_key: &[u8; 32], scan: &SharedScan) -> Self {
        Self {
            applied: MapBuilder::new(map_key),
            keeper: Keeper::default(),
            feed: scan.feed,
            seen: scan.seen.clone(),
            receive: scan.receive,
            deleted: false,
            level: 0,
            // What this disk is as was not known: it is from now on.
            restated: scan.applied.is_none(),
            instead: None,
            leaf: None,
        }
    }

    /// Something known from before was not changed here, or cannot be looked at, or is gone.
    pub(super) fn keep(&mut self, old: &Old, out: &mut Out<'_>) -> Result<(), String> {
        let Some(known) = &old.shared else { return Ok(()) };
        self.decide(&old.key, out)?;
        let version = old.version();
        let is_file = version.as_ref().is_some_and(|version| version.entry.kind != Kind::Directory);
        if is_file && known.applied.is_some_and(|applied| applied.kind == Kind::Directory) {
            self.leaf = Some(old.key.clone());
        }
        match (&known.applied, known.gone) {
            (Some(applied), false) => self.apply(&old.key, applied, out)?,
            (applied, _) => self.restated |= applied.is_some(),
        }
        let Some(version) = version else { return Ok(()) };
        let was_here = known.applied.is_some_and(|applied| applied.dot == version.dot);
        if !(known.gone && was_here) || self.receive {
            self.level += u64::from(was_here && !known.gone);
            self.keeper.keep(version);
            return Ok(());
        }
        self.deleted = true;
        if version.entry.kind == Kind::Directory {
            // It stays if there is something in it that was not applied yet.
            self.keeper.hold(version, None);
        }
        Ok(())
    }

    /// Something is new or changed here.
    pub(super) fn change(&mut self, changed: Changed, out: &mut Out<'_>) -> Result<(), String> {
        let Changed { key, mut entry, tail, old, disk } = changed;
        self.decide(&key, out)?;
        if self.leaf.as_ref().is_some_and(|leaf| is_within(&key, leaf)) {
            self.restated = true;
            return Ok(());
        }
        let (kind, stat) = (entry.kind, entry.stat);
        let published = old.as_ref().and_then(Old::version);
        let applied = old.as_ref().and_then(|old| old.shared.as_ref()).and_then(|known| known.applied);
        let mut directory = None;
        if let Some(version) = published {
            let stands =
                applied.filter(|applied| applied.dot == version.dot && applied.stat.mode == stat.mode);
            if stands.is_some() {
                // Nobody has changed it here, though this disk may not keep it as others do.
                entry.stat.mode = version.entry.stat.mode;
            }
            if stands.is_some_and(|applied| applied.stat.mtime_ns == stat.mtime_ns) {
                // The same of the time, and of attributes that this disk has none of.
                entry.stat.mtime_ns = version.entry.stat.mtime_ns;
                if entry.attributes == Attributes::Here(Vec::new()) {
                    entry.attributes = version.entry.attributes.clone();
                }
            }
            let (theirs, here) = ((&version.entry, &version.tail[..]), (&entry, &tail[..]));
            let was_here = applied.is_some_and(|applied| applied.dot == version.dot);
            if is_level(theirs, here) || !was_here && has_content(theirs, here) {
                // Only its stat is new, or it is here just as another device has made it: a folder that was copied to another place.
                let is_mounted = applied.is_some_and(|before| before.disk != disk);
                let applied = Applied { kind, stat, dot: version.dot, placed: false, disk };
                self.level += 1;
                self.restated |= !was_here || kind != Kind::Directory || is_mounted;
                self.keeper.keep(version);
                return self.apply(&key, &applied, out);
            }
            if !was_here || self.receive {
                // The person here cannot have seen what the tree has, or has no say: that comes, and what stands here is set aside.
                self.leaf = Some(key.clone()).filter(|_| version.entry.kind != Kind::Directory);
                self.keeper.keep(version);
                let applied = applied.filter(|_| !was_here);
                self.restated |= was_here;
                return applied.map_or(Ok(()), |applied| self.apply(&key, &applied, out));
            }
            directory = Some(version).filter(|version| version.entry.kind == Kind::Directory);
        }
        if self.receive {
            // Nobody else has it, or has it any more.
            self.restated |= applied.is_some();
            return Ok(());
        }
        let dot = self.seen.next(self.feed);
        let entry = shared(entry, dot);
        let value = entry.encode().map_err(|error| error.to_string())?;
        let is_directory = kind == Kind::Directory;
        let applied = Applied { kind, stat, dot, placed: false, disk };
        let version = Version { key: key.clone(), entry, dot, value, tail, theirs: false };
        if let Some(directory) = directory.filter(|_| !is_directory) {
            // If something in it was not applied yet, the directory stays, and what stands here is set aside.
            self.keeper.hold(directory, Some(version));
            self.instead = Some((key, applied));
            return Ok(());
        }
        self.apply(&key, &applied, out)?;
        self.level += 1;
        self.keeper.keep(version);
        Ok(())
    }

    /// Behind a directory in whose place something else stands here: does it go?
    fn decide(&mut self, key: &[u8], out: &mut Out<'_>) -> Result<(), String> {
        let Some((place, applied)) = self.instead.take() else { return Ok(()) };
        if is_within(key, &place) {
            self.instead = Some((place, applied));
            return Ok(());
        }
        self.keeper.leave(key);
        self.write_instead(&place, &applied, out)
    }

    /// It is known whether a directory stays in the place of this.
    fn write_instead(&mut self, place: &[u8], applied: &Applied, out: &mut Out<'_>) -> Result<(), String> {
        if self.keeper.take_displaced().iter().any(|version| version.dot == applied.dot) {
            self.restated = true;
            return Ok(());
        }
        self.level += 1;
        self.apply(place, applied, out)
    }

    /// What goes into the tree next.
    pub(super) fn pop(&mut self) -> Option<Version> {
        self.keeper.pop()
    }

    /// Nothing more comes; [`Sharing::pop`] gives the rest.
    pub(super) fn end(&mut self, out: &mut Out<'_>) -> Result<(), String> {
        self.keeper.end();
        let written = match self.instead.take() {
            Some((place, applied)) => self.write_instead(&place, &applied, out),
            None => Ok(()),
        };
        if std::mem::take(&mut self.deleted) {
            // A deletion is numbered, too: who has seen it has seen more.
            self.seen.next(self.feed);
        }
        written
    }

    /// Paths at which this disk does not have what the tree has, which has so many entries.
    pub(super) fn owed(&self, entries: u64) -> u64 {
        (entries + self.applied.entries()).saturating_sub(2 * self.level)
    }

    /// Whether the applied map says something new of more than the times of directories: only for those nobody needs a snapshot.
    pub(super) const fn is_restated(&self) -> bool {
        self.restated
    }

    /// The finished map, and what was seen.
    pub(super) fn finish(self, out: &mut Out<'_>) -> Result<SharedText, String> {
        let mut seal = |parts: NodeParts<'_>| out.seal(ChunkKind::Tree, parts.compress, parts.follow);
        let applied = self.applied.finish(&mut seal).map_err(|error| error.to_string())?;
        Ok(SharedText { applied, seen: self.seen })
    }

    /// Puts a path into the applied map.
    fn apply(&mut self, key: &[u8], applied: &Applied, out: &mut Out<'_>) -> Result<(), String> {
        let value = applied.encode().map_err(|error| error.to_string())?;
        let mut seal = |parts: NodeParts<'_>| out.seal(ChunkKind::Tree, parts.compress, parts.follow);
        self.applied.push(key, &value, &[], &mut seal).map_err(|error| error.to_string())
    }
}

/// What is applied once something was placed on the disk, and was found so.
#[must_use]
pub(super) fn applied_of(found: &Found, dot: Dot) -> Option<Applied> {
    let (stat, disk) = (found.stat, found.disk);
    kind_of(found.kind).map(|kind| Applied { kind, stat, dot, placed: true, disk })
}
