//! Watches over the directories of folders (inotify): the file thread sets them, the main thread hears of changes.
//!
//! A directory is watched when a scan lists it, before its names are read, so that nothing slips through between the two
//! and what the scan leaves out (ignored directories, caches, other file systems, what lies behind symbolic links) is not
//! watched. Watches that a whole scan did not renew go: their directories were moved away or are left out by now. What is
//! kept of a watch is its number, its folder and the scan that renewed it last: eight bytes, for any change leads to a scan
//! of the whole folder, which looks for itself. The kernel's share is about a kilobyte.
//!
//! Decides nothing: when a change leads to a scan stands in `node/watching.rs`; all that is told of single files is whether somebody is
//! still writing them. What this process itself gives its place in a shared folder is no change: it knows what it has written.
//! Changes made by other machines on a network file system are not told by the kernel; the rescan finds them.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use smol::Async;

use super::put::own_prefix;
use crate::base::ids::FolderId;
use crate::base::limits::{WATCH_READS_MAX, WATCH_REST};
use crate::base::units::Time;
use crate::node::ports::{Notice, WatchOrder};
use crate::node::put::ASIDE_PREFIX;
use table::{Found, Table};

mod table;

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
    /// What this process writes aside begins so.
    own: Vec<u8>,
    /// The kernel's number for the last move from such a name.
    own_move: Option<u32>,
}

/// What both sides have.
#[derive(Debug)]
struct Shared {
    /// The kernel's side.
    inotify: Async<OwnedFd>,
    /// What is watched. Held for moments only, and never while the kernel is asked.
    table: Mutex<Table>,
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
        Changes {
            shared,
            rests_until: None,
            is_ready: false,
            read_at: Time::ZERO,
            own: own_prefix().into_bytes(),
            own_move: None,
        },
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
                Ok(event) => {
                    let name = event.file_name().map_or(&b""[..], |name| name.to_bytes());
                    let (events, number) = (event.events(), event.wd());
                    // What is written aside is no change; that it gets its name is, if another process has written it.
                    if name.starts_with(ASIDE_PREFIX) {
                        let is_own = name.starts_with(&self.own) && events.contains(ReadFlags::MOVED_FROM);
                        self.own_move = is_own.then(|| event.cookie()).or(self.own_move);
                    } else if !events.contains(ReadFlags::MOVED_TO) || self.own_move != Some(event.cookie()) {
                        self.shared.with(|table| table.heard(number, events, name, &mut found));
                    }
                }
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

#[cfg(test)]
mod tests;
