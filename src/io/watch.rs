//! Watches over the directories of folders (inotify): the file thread sets them, the main thread hears of changes.
//!
//! A directory is watched when a scan lists it, before its names are read, so that nothing slips through between the two
//! and what the scan leaves out (ignored directories, caches, other file systems, what lies behind symbolic links) is not
//! watched. Watches that a whole scan did not renew go: their directories were moved away or are left out by now. What is
//! kept of a watch is its number, its folder and the scan that renewed it last: eight bytes, for any change leads to a scan
//! of the whole folder, which looks for itself. The kernel's share is about a kilobyte.
//!
//! Decides nothing: when a change leads to a scan stands in `node/watching.rs`. Changes made by other machines on a network
//! file system are not told by the kernel; the rescan finds them.

use std::collections::BTreeSet;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use smol::Async;

use crate::base::ids::FolderId;
use crate::base::limits::{WATCHES_MAX, WATCH_READS_MAX, WATCH_REST};
use crate::base::units::Time;
use crate::node::ports::{Notice, Unwatched, WatchOrder};
use crate::node::put::ASIDE_PREFIX;

/// The file thread's side: sets watches and takes them away.
#[derive(Debug)]
pub struct Watches(Arc<Shared>);

/// The main thread's side: what has changed.
#[derive(Debug)]
pub struct Changes {
    /// Both sides'.
    shared: Arc<Shared>,
    /// Nothing is read before then, so that a storm of changes wakes nobody for each of them.
    rests_until: Option<Time>,
    /// There is something to read.
    is_ready: bool,
    /// When it was read last: a busy node does not ask in each of its turns.
    read_at: Time,
}

/// What both sides have.
#[derive(Debug)]
struct Shared {
    /// The kernel's side.
    inotify: Async<OwnedFd>,
    /// What is watched. Held for moments only, and never while the kernel is asked.
    table: Mutex<Table>,
}

/// What is watched.
#[derive(Debug, Default)]
struct Table {
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

/// What is told of a directory.
const MASK: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CLOSE_WRITE)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::EXCL_UNLINK)
    .union(WatchFlags::ONLYDIR);
/// And of a root, which has no watched directory above it.
const ROOT_MASK: WatchFlags = MASK.union(WatchFlags::DELETE_SELF).union(WatchFlags::MOVE_SELF);

/// Begins to watch, nothing so far.
///
/// # Errors
/// What the system says.
pub fn start() -> io::Result<(Watches, Changes)> {
    let inotify = Async::new(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)?;
    let shared = Arc::new(Shared { inotify, table: Mutex::default() });
    Ok((
        Watches(Arc::clone(&shared)),
        Changes { shared, rests_until: None, is_ready: false, read_at: Time::ZERO },
    ))
}

impl Watches {
    /// Does as ordered; what is to be told of it.
    pub fn obey(&self, order: &WatchOrder) -> Option<Notice> {
        match order {
            WatchOrder::Begin(folder) => {
                self.0.with(|table| table.begin(*folder));
                None
            }
            WatchOrder::End(folder) => {
                let (gone, notice) = self.0.with(|table| table.end(*folder))?;
                self.take_away(&gone);
                Some(notice)
            }
            WatchOrder::Forget(folder) => {
                let gone = self.0.with(|table| table.forget(*folder));
                self.take_away(&gone);
                None
            }
        }
    }

    /// Watches a directory of a folder whose scan has begun, or renews its watch. What this gives takes it away again.
    pub fn watch(&self, folder: FolderId, directory: BorrowedFd<'_>, is_root: bool) -> Option<i32> {
        let place = self.0.with(|table| table.may_set(folder))?;
        // The open directory itself, whatever may stand at its path by now.
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let mask = if is_root { ROOT_MASK } else { MASK };
        let result = inotify::add_watch(self.0.inotify.as_fd(), path.as_str(), mask);
        let number = result.ok();
        let is_kept = self.0.with(|table| table.set(place, result));
        if !is_kept {
            number.into_iter().for_each(|number| self.unwatch(folder, number));
        }
        number.filter(|_| is_kept)
    }

    /// Takes a watch of a folder away.
    pub fn unwatch(&self, folder: FolderId, number: i32) {
        if self.0.with(|table| table.remove(folder, number)) {
            self.take_away(&[number]);
        }
    }

    /// Takes watches away that no folder has any more.
    fn take_away(&self, numbers: &[i32]) {
        for number in numbers {
            // One whose directory is gone has gone by itself.
            let _ = inotify::remove_watch(self.0.inotify.as_fd(), *number);
        }
    }
}

impl Changes {
    /// What has changed since this was asked last; nothing while it rests.
    pub fn take(&mut self, now: Time) -> Vec<Notice> {
        if self.rests_until.is_some_and(|until| until > now) {
            return Vec::new();
        }
        let has_rested = self.rests_until.take().is_some();
        if !has_rested && !self.is_ready && now < self.read_at + WATCH_REST {
            return Vec::new();
        }
        (self.is_ready, self.read_at) = (false, now);
        let mut found = Found::default();
        let mut buffer = [MaybeUninit::uninit(); 8 * 1024];
        let mut reader = Reader::new(self.shared.inotify.as_fd(), &mut buffer);
        let mut reads = 0;
        loop {
            if reader.is_buffer_empty() {
                reads += 1;
                if reads > WATCH_READS_MAX {
                    break;
                }
            }
            match reader.next() {
                // What this process writes aside is no change; that it gets its name is.
                Ok(event)
                    if event.file_name().is_some_and(|name| name.to_bytes().starts_with(ASIDE_PREFIX)) => {}
                Ok(event) => self.shared.with(|table| table.heard(event.wd(), event.events(), &mut found)),
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        if found.is_any() {
            self.rests_until = Some(now + WATCH_REST);
        }
        found.notices()
    }

    /// When it is to be asked again at the latest.
    #[must_use]
    pub const fn due(&self) -> Option<Time> {
        self.rests_until
    }

    /// Whether something has changed; who waits is woken when it does.
    pub fn poll(&mut self, context: &mut Context<'_>) -> bool {
        self.is_ready |= self.rests_until.is_none() && self.shared.inotify.poll_readable(context).is_ready();
        self.is_ready
    }
}

impl Shared {
    /// Looks into the table.
    fn with<T>(&self, look: impl FnOnce(&mut Table) -> T) -> T {
        look(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What the kernel has told.
#[derive(Debug, Default)]
struct Found {
    /// Folders in which something has changed.
    folders: BTreeSet<FolderId>,
    /// Some of it was lost.
    overflowed: bool,
}

impl Found {
    /// Whether it told anything.
    fn is_any(&self) -> bool {
        self.overflowed || !self.folders.is_empty()
    }

    /// For the core.
    fn notices(self) -> Vec<Notice> {
        let overflowed = self.overflowed.then_some(Notice::Overflowed);
        self.folders.into_iter().map(Notice::Changed).chain(overflowed).collect()
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
    fn begin(&mut self, folder: FolderId) {
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
    fn end(&mut self, folder: FolderId) -> Option<(Vec<i32>, Notice)> {
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
    fn forget(&mut self, folder: FolderId) -> Vec<i32> {
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
    fn may_set(&mut self, folder: FolderId) -> Option<u16> {
        let place = self.place(folder)?;
        // One that is only renewed needs no room; this is known when the kernel has given its number.
        self.setting = Some(place);
        Some(place)
    }

    /// The kernel has set it, or not. Whether it is kept.
    fn set(&mut self, place: u16, result: Result<i32, Errno>) -> bool {
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
    fn remove(&mut self, folder: FolderId, number: i32) -> bool {
        let Some(place) = self.place(folder) else { return false };
        self.watches.retain(|watch| (watch.number, watch.folder) != (number, place));
        self.those_of(number).is_empty()
    }

    /// The kernel told something.
    fn heard(&mut self, number: i32, events: ReadFlags, found: &mut Found) {
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
            found.folders.extend(self.folder(place).map(|watching| watching.folder));
        }
    }
}

/// How many directories a user may have watched.
fn watch_limit() -> Option<u64> {
    std::fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::path::Path;

    /// A folder's name.
    fn folder(number: u8) -> FolderId {
        FolderId::from_bytes([number; 16])
    }

    /// Watches a directory as a scan does.
    fn watch(watches: &Watches, number: u8, path: &Path, is_root: bool) -> Option<i32> {
        let directory = File::open(path).unwrap();
        watches.watch(folder(number), directory.as_fd(), is_root)
    }

    /// A scan that lists these directories, the first of which is the root; how many are watched then.
    fn scan(watches: &Watches, number: u8, paths: &[&Path]) -> u64 {
        assert_eq!(watches.obey(&WatchOrder::Begin(folder(number))), None);
        for (index, path) in paths.iter().enumerate() {
            assert!(watch(watches, number, path, index == 0).is_some());
        }
        match watches.obey(&WatchOrder::End(folder(number))) {
            Some(Notice::Watching { directories, missed: 0, reason: None, .. }) => directories,
            other => panic!("{other:?}"),
        }
    }

    /// What was told, however long ago it was read last.
    fn told(changes: &mut Changes) -> Vec<Notice> {
        changes.rests_until = None;
        changes.is_ready = true;
        changes.take(Time::ZERO)
    }

    #[test]
    fn each_folder_hears_of_its_own_directories_and_of_those_that_it_shares() {
        let place = tempfile::tempdir().unwrap();
        let (outer, inner) = (place.path(), place.path().join("inner"));
        fs::create_dir(&inner).unwrap();
        let (watches, mut changes) = start().unwrap();
        assert_eq!(scan(&watches, 1, &[outer, &inner]), 2);
        assert_eq!(scan(&watches, 2, &[&inner]), 1);
        assert_eq!(told(&mut changes), []);
        fs::write(outer.join("a"), "a").unwrap();
        assert_eq!(told(&mut changes), [Notice::Changed(folder(1))]);
        fs::write(inner.join("b"), "b").unwrap();
        assert_eq!(told(&mut changes), [Notice::Changed(folder(1)), Notice::Changed(folder(2))]);
        // The next scan leaves it out; the other folder has it still.
        assert_eq!(scan(&watches, 1, &[outer]), 1);
        fs::write(inner.join("c"), "c").unwrap();
        assert_eq!(told(&mut changes), [Notice::Changed(folder(2))]);
        assert_eq!(watches.obey(&WatchOrder::Forget(folder(2))), None);
        fs::write(inner.join("d"), "d").unwrap();
        assert_eq!(told(&mut changes), []);
        assert_eq!(watch(&watches, 2, &inner, true), None, "no scan of it has begun");
    }

    #[test]
    fn a_root_that_goes_away_is_a_change_and_reading_is_none() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("root");
        fs::create_dir(&root).unwrap();
        fs::write(root.join("a"), "a").unwrap();
        let (watches, mut changes) = start().unwrap();
        assert_eq!(scan(&watches, 1, &[&root]), 1);
        assert_eq!(fs::read(root.join("a")).unwrap(), b"a");
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
        assert_eq!(told(&mut changes), []);
        fs::rename(&root, place.path().join("away")).unwrap();
        assert_eq!(told(&mut changes), [Notice::Changed(folder(1))]);
    }

    #[test]
    fn what_is_too_much_at_once_is_told_as_such() {
        let place = tempfile::tempdir().unwrap();
        let (watches, mut changes) = start().unwrap();
        assert_eq!(scan(&watches, 1, &[place.path()]), 1);
        let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let most: u64 = most.trim().parse().unwrap();
        for number in 0..most.min(1 << 20) {
            File::create(place.path().join(if number % 2 == 0 { "a" } else { "b" })).unwrap();
        }
        let all: Vec<Notice> = std::iter::repeat_with(|| told(&mut changes))
            .take_while(|all| !all.is_empty())
            .flatten()
            .collect();
        assert!(all.contains(&Notice::Overflowed) && all.contains(&Notice::Changed(folder(1))), "{all:?}");
    }

    #[test]
    fn a_storm_is_read_ten_times_a_second_and_a_busy_node_asks_no_oftener() {
        let place = tempfile::tempdir().unwrap();
        let (watches, mut changes) = start().unwrap();
        assert_eq!(scan(&watches, 1, &[place.path()]), 1);
        let now = Time::from_micros(1_000_000);
        fs::write(place.path().join("a"), "a").unwrap();
        assert_eq!(changes.take(now), [Notice::Changed(folder(1))]);
        assert_eq!(changes.due(), Some(now + WATCH_REST));
        fs::write(place.path().join("b"), "b").unwrap();
        assert_eq!(changes.take(now + WATCH_REST.part(2)), []);
        assert_eq!(changes.take(now + WATCH_REST), [Notice::Changed(folder(1))]);
    }
}
