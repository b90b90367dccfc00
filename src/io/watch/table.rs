//! What is watched, by the kernel's numbers, and what the kernel has told of it. Touches nothing.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use rustix::fs::inotify::ReadFlags;
use rustix::io::Errno;

use crate::base::ids::FolderId;
use crate::base::limits::WATCHES_MAX;
use crate::node::ports::{Notice, Unwatched};
use crate::node::watching::writing::Touched;

/// What is watched.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// In ascending order.
    watches: Vec<Watch>,
    /// Folders by their number in [`Watch::folder`]; None: free.
    folders: Vec<Option<Watching>>,
    /// For which folder a watch is being set whose number is not known yet.
    setting: Option<u16>,
}

/// A watch of one folder; of two folders that share a directory each has one, with the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Watch {
    /// The kernel's number for it.
    number: i32,
    /// Which folder.
    folder: u16,
    /// The scan that renewed it last.
    scan: u16,
}

/// A folder that is watched.
#[derive(Debug)]
struct Watching {
    /// Which.
    folder: FolderId,
    /// The running scan, or the last one.
    scan: u16,
    /// Directories of it that could not be watched, and why the last of them could not.
    missed: u64,
    /// See [`Watching::missed`].
    reason: Option<Unwatched>,
}

/// What the kernel has told.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Folders in which something has changed, and which files of theirs.
    folders: BTreeMap<FolderId, Touched>,
    /// Some of it was lost.
    overflowed: bool,
}

impl Found {
    /// Whether it told anything.
    pub(super) fn is_any(&self) -> bool {
        self.overflowed || !self.folders.is_empty()
    }

    /// For the core.
    pub(super) fn notices(self) -> Vec<Notice> {
        let overflowed = self.overflowed.then_some(Notice::Overflowed);
        let changed = self.folders.into_iter().map(|(folder, touched)| Notice::Changed(folder, touched));
        changed.chain(overflowed).collect()
    }
}

impl Table {
    /// The number of a folder.
    fn place(&self, folder: FolderId) -> Option<u16> {
        let is_it = |place: &Option<Watching>| place.as_ref().is_some_and(|known| known.folder == folder);
        u16::try_from(self.folders.iter().position(is_it)?).ok()
    }

    /// A folder by its number.
    fn folder(&mut self, place: u16) -> Option<&mut Watching> {
        self.folders.get_mut(usize::from(place))?.as_mut()
    }

    /// A scan begins.
    pub(super) fn begin(&mut self, folder: FolderId) {
        if self.place(folder).is_none() {
            let fresh = Watching { folder, scan: 0, missed: 0, reason: None };
            match self.folders.iter_mut().find(|place| place.is_none()) {
                Some(free) => *free = Some(fresh),
                None => self.folders.push(Some(fresh)),
            }
        }
        let watching = self.place(folder).and_then(|place| self.folder(place));
        if let Some(watching) = watching {
            watching.scan = watching.scan.wrapping_add(1);
            (watching.missed, watching.reason) = (0, None);
        }
    }

    /// A scan has come to its end: watches that it did not renew go. Those that nobody has any more, and how it stands.
    pub(super) fn end(&mut self, folder: FolderId) -> Option<(Vec<i32>, Notice)> {
        let place = self.place(folder)?;
        let (scan, missed, reason) = {
            let watching = self.folder(place)?;
            (watching.scan, watching.missed, watching.reason.clone())
        };
        let gone = self.drop_where(|watch| watch.folder == place && watch.scan != scan);
        let count = self.watches.iter().filter(|watch| watch.folder == place).count();
        let directories = u64::try_from(count).unwrap_or(u64::MAX);
        Some((gone, Notice::Watching { folder, directories, missed, reason }))
    }

    /// A folder is watched no more. The watches that nobody has any more.
    pub(super) fn forget(&mut self, folder: FolderId) -> Vec<i32> {
        let Some(place) = self.place(folder) else { return Vec::new() };
        if let Some(slot) = self.folders.get_mut(usize::from(place)) {
            *slot = None;
        }
        self.drop_where(|watch| watch.folder == place)
    }

    /// Drops watches; the numbers that nobody has any more.
    fn drop_where(&mut self, goes: impl Fn(&Watch) -> bool) -> Vec<i32> {
        let mut gone: Vec<i32> =
            self.watches.iter().filter(|watch| goes(watch)).map(|watch| watch.number).collect();
        self.watches.retain(|watch| !goes(watch));
        gone.retain(|number| self.those_of(*number).is_empty());
        self.watches.shrink_to(self.watches.len().saturating_mul(2));
        gone
    }

    /// The watches with this number: one a folder.
    fn those_of(&self, number: i32) -> &[Watch] {
        let from = self.watches.partition_point(|watch| watch.number < number);
        let rest = &self.watches[from..];
        &rest[..rest.partition_point(|watch| watch.number == number)]
    }

    /// A watch is about to be set: the folder's number, if it may be.
    pub(super) fn may_set(&mut self, folder: FolderId) -> Option<u16> {
        let place = self.place(folder)?;
        // One that is only renewed needs no room; this is known when the kernel has given its number.
        self.setting = Some(place);
        Some(place)
    }

    /// The kernel has set it, or not. Whether it is kept.
    pub(super) fn set(&mut self, place: u16, result: Result<i32, Errno>) -> bool {
        self.setting = None;
        let is_full = self.watches.len() >= WATCHES_MAX;
        let Some(scan) = self.folder(place).map(|watching| watching.scan) else { return false };
        let number = match result {
            Ok(number) => number,
            // It may not be read: the scan sees that itself.
            Err(Errno::ACCESS) => return false,
            Err(Errno::NOSPC) => return self.miss(place, Unwatched::Limit { limit: watch_limit() }),
            Err(errno) => {
                let reason = io::Error::from(errno).to_string();
                return self.miss(place, Unwatched::Failed { reason });
            }
        };
        let at = self.watches.partition_point(|watch| (watch.number, watch.folder) < (number, place));
        match self.watches.get_mut(at).filter(|watch| (watch.number, watch.folder) == (number, place)) {
            Some(known) => known.scan = scan,
            None if is_full => return self.miss(place, Unwatched::Bound),
            // The kernel's numbers ascend, so this is the end of the list.
            None => self.watches.insert(at, Watch { number, folder: place, scan }),
        }
        true
    }

    /// A directory is not watched.
    fn miss(&mut self, place: u16, reason: Unwatched) -> bool {
        if let Some(watching) = self.folder(place) {
            (watching.missed, watching.reason) = (watching.missed + 1, Some(reason));
        }
        false
    }

    /// Removes a folder's watch; whether nobody has it any more.
    pub(super) fn remove(&mut self, folder: FolderId, number: i32) -> bool {
        let Some(place) = self.place(folder) else { return false };
        self.watches.retain(|watch| (watch.number, watch.folder) != (number, place));
        self.those_of(number).is_empty()
    }

    /// The kernel told something.
    pub(super) fn heard(&mut self, number: i32, events: ReadFlags, name: &[u8], found: &mut Found) {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            found.overflowed = true;
            return;
        }
        if events.contains(ReadFlags::IGNORED) {
            // A watch that went by itself is dropped at the end of the next scan, which does not renew it.
            return;
        }
        let places: Vec<u16> = self.those_of(number).iter().map(|watch| watch.folder).collect();
        // What is not known may be the one that is being set; else it was taken away.
        let setting = self.setting.filter(|_| places.is_empty());
        for place in places.into_iter().chain(setting) {
            let Some(watching) = self.folder(place) else { continue };
            touch(found.folders.entry(watching.folder).or_default(), number, events, name);
        }
    }
}

/// Notes what happened to a file.
fn touch(touched: &mut Touched, number: i32, events: ReadFlags, name: &[u8]) {
    const ENDS: ReadFlags = ReadFlags::CLOSE_WRITE
        .union(ReadFlags::DELETE)
        .union(ReadFlags::MOVED_FROM)
        .union(ReadFlags::MOVED_TO);
    if name.is_empty() || events.contains(ReadFlags::ISDIR) {
        return;
    }
    let mut hasher = DefaultHasher::new();
    (number, name).hash(&mut hasher);
    if events.contains(ReadFlags::MODIFY) {
        touched.write(hasher.finish());
    } else if events.intersects(ENDS) {
        touched.end(hasher.finish());
    }
}

/// How many directories a user may have watched.
fn watch_limit() -> Option<u64> {
    std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok()?.trim().parse().ok()
}
