//! Writing into a shared folder's directory: the file thread's side of `node/put.rs`.
//!
//! A file is written aside under a name that no scan looks at, synced, and only then given its name; what stands there is looked at
//! right before. Between that look and the rename a person may still write: then the rename goes over it, and what was lost is a change
//! of less than a moment (rename(2) cannot ask for an inode). New names are taken with RENAME_NOREPLACE, which has no such gap.
//! What the file system cannot have there as it is, is refused before anything is written (`io/put/fit.rs`): nothing ever gets a name
//! that reads otherwise, or that of something else.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::metadata::{Metadata, NotKept};
use super::place::{place_link, remove_left_over, rename_new, Aside, Placed};
use super::{beneath, facts};
use crate::file::entry::Stat;
use crate::file::merge::SHARED_MODE;
use crate::node::ports::{FileError, FileErrorKind, Found, FoundKind};
use crate::node::put::{Act, Expected, Thing, ASIDE_PREFIX};
use fit::{refusal, unfit, Fit};

mod fit;

/// What is written at present.
#[derive(Debug, Default)]
pub struct Putter {
    /// The file that was begun in each folder, by the folder's root: its path, and what is written.
    begun: BTreeMap<Vec<u8>, (Vec<u8>, Aside)>,
    /// What directories do with names; draws names for what is written aside.
    fit: Fit,
}

/// A path below a folder's root.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The root.
    pub root: BorrowedFd<'a>,
    /// The same, as the core names it.
    pub folder: &'a [u8],
    /// Where it lies.
    pub device: facts::Device,
    /// Relative to it.
    pub path: &'a [u8],
    /// Length of the path of the innermost directory above it in which a disk must be mounted; 0: none.
    pub mount: usize,
}

impl Putter {
    /// Does what is asked: what stands there now, where something was placed.
    ///
    /// # Errors
    /// Of the kind Changed when something else than expected stands there; else what the system says.
    pub fn act(&mut self, target: Target<'_>, act: Act) -> Result<Option<Found>, FileError> {
        match act {
            Act::Begin(size) => self.begin(target, size).map(|()| None),
            Act::Data(bytes) => self.write(target, |aside| aside.write(&bytes)),
            Act::Hole(length) => self.write(target, |aside| aside.hole(length)),
            Act::Drop => {
                self.begun.remove(target.folder);
                Ok(None)
            }
            Act::Place { thing, stat, attributes, expected } => {
                let metadata = metadata(stat, attributes);
                self.place(target, &thing, &metadata, expected).map(Some)
            }
            Act::Remove(expected) => self.remove(target, &expected).map(|()| None),
            Act::SetAside(name) => {
                let (directory, old) = parent(target)?;
                if !beneath::is_plain_name(&name) {
                    return Err(facts::failure("rename", Errno::INVAL));
                }
                self.fit.check_listed(directory.as_fd(), old)?;
                rename_new(directory.as_fd(), old, &name).map_err(|errno| facts::failure("rename", errno))?;
                Ok(None)
            }
            Act::Clean => {
                let (directory, name) = parent(target)?;
                // Another folder's may be on its way in the same directory, if one lies in the other.
                if name.starts_with(ASIDE_PREFIX) && !name.starts_with(own_prefix().as_bytes()) {
                    let removed = remove_left_over(directory.as_fd(), name);
                    removed.map_err(|errno| facts::failure("remove", errno))?;
                }
                Ok(None)
            }
            Act::Sync => {
                rustix::fs::syncfs(target.root).map_err(|errno| facts::failure("sync", errno))?;
                Ok(None)
            }
        }
    }

    /// Forgets what was learnt of directories: another pass begins, or none for a while.
    pub fn forget(&mut self) {
        self.fit.forget();
    }

    /// Begins a file.
    fn begin(&mut self, target: Target<'_>, size: u64) -> Result<(), FileError> {
        self.begun.remove(target.folder);
        let (directory, name) = parent(target)?;
        let own = self.fit.draw();
        let aside = match Aside::new(directory.as_fd(), own.clone()) {
            Err(Errno::EXIST) => {
                // Left over from a process that was killed and had our number.
                let _ = rustix::fs::unlinkat(&directory, &own, AtFlags::empty());
                Aside::new(directory.as_fd(), own.clone())
            }
            other => other,
        };
        let aside = aside.map_err(|errno| facts::failure("create", errno))?;
        if facts::look_at(directory.as_fd(), name).is_ok() {
            self.fit.check_listed(directory.as_fd(), name)?;
        } else {
            let folds = fit::folds(directory.as_fd(), &own);
            self.fit.check_new(directory.as_fd(), name, folds)?;
        }
        if !aside.can_be_so_long(size) {
            return Err(refusal("write", Errno::FBIG));
        }
        self.begun.insert(target.folder.to_vec(), (target.path.to_vec(), aside));
        Ok(())
    }

    /// Writes on.
    fn write(
        &mut self,
        target: Target<'_>,
        write: impl FnOnce(&mut Aside) -> Result<(), Errno>,
    ) -> Result<Option<Found>, FileError> {
        let begun = self.begun.get_mut(target.folder).filter(|(path, _)| path == target.path);
        let (_, aside) = begun.ok_or_else(|| facts::changed("it was not begun"))?;
        write(aside).map_err(|errno| {
            if errno == Errno::FBIG {
                refusal("write", errno)
            } else {
                facts::failure("write", errno)
            }
        })?;
        Ok(None)
    }

    /// Gives something its place.
    fn place(
        &mut self,
        target: Target<'_>,
        thing: &Thing,
        metadata: &Metadata,
        expected: Option<Expected>,
    ) -> Result<Found, FileError> {
        let (directory, name) = parent(target)?;
        let is_there = *thing == Thing::Directory && is_directory(directory.as_fd(), name);
        if !is_there {
            // What was begun waits until what stands in its way is dealt with.
            self.check(directory.as_fd(), name, expected.as_ref())?;
        } else {
            self.fit.check_listed(directory.as_fd(), name)?;
        }
        if *thing != Thing::File && facts::look_at(directory.as_fd(), name) == Err(Errno::NOENT) {
            self.fit.check_new(directory.as_fd(), name, false)?;
        }
        let owner = owner(directory.as_fd(), name);
        let failed = |verb: &'static str| move |errno| facts::failure(verb, errno);
        let mut not_kept = NotKept::default();
        match thing {
            Thing::File => {
                let begun = self.begun.remove(target.folder).filter(|(path, _)| path == target.path);
                let (_, aside) = begun.ok_or_else(|| facts::changed("it was not begun"))?;
                if aside.position() != metadata.stat.size {
                    return Err(facts::changed("it has another length than was told"));
                }
                own(aside.file(), owner);
                aside.end().map_err(failed("write"))?;
                metadata.apply(aside.file(), false, &mut not_kept);
                rustix::fs::fsync(aside.file()).map_err(failed("sync"))?;
                let written = facts::look(aside.file()).map_err(failed("stat"))?.stat;
                placed(aside.place(name, expected.is_some()))?;
                let now = facts::look_at(directory.as_fd(), name).map_err(failed("stat"))?.stat;
                let key = |stat: &Stat| (stat.inode, stat.size, stat.mtime_ns);
                if key(&now) != key(&written) {
                    return Err(facts::changed("it was changed right after it was written"));
                }
            }
            Thing::Directory => {
                if !is_there {
                    rustix::fs::mkdirat(&directory, name, Mode::RWXU)
                        .map_err(|errno| refusal("create", errno))?;
                    if let Err(error) = self.fit.check_listed(directory.as_fd(), name) {
                        let _ = rustix::fs::unlinkat(&directory, name, AtFlags::REMOVEDIR);
                        return Err(error);
                    }
                }
                let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                let made =
                    beneath::open(directory.as_fd(), name, flags, Mode::empty()).map_err(failed("open"))?;
                own(made.as_fd(), owner);
                metadata.apply(made.as_fd(), false, &mut not_kept);
            }
            Thing::Symlink(link) => {
                let aside = self.fit.draw();
                let _ = rustix::fs::unlinkat(&directory, &aside, AtFlags::empty());
                let made = place_link(directory.as_fd(), name, link, expected.is_some(), &aside, |made| {
                    metadata.apply_to_link(directory.as_fd(), made, false, &mut not_kept);
                });
                if matches!(made, Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS)) {
                    return Err(unfit("the file system here has no symbolic links"));
                }
                placed(made)?;
            }
        }
        let now = facts::look_at(directory.as_fd(), name).map_err(failed("stat"))?;
        let own = facts::look(directory.as_fd()).map_err(failed("stat"))?.device;
        Ok(now.found(target.device, own))
    }

    /// Whether that stands there which must.
    fn check(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        expected: Option<&Expected>,
    ) -> Result<(), FileError> {
        let there = match (facts::look_at(directory, name), expected) {
            (Err(Errno::NOENT), None) => return Ok(()),
            (Err(Errno::NOENT), Some(_)) => return Err(facts::changed("it was deleted meanwhile")),
            (Err(errno), _) => return Err(refusal("stat", errno)),
            (Ok(there), _) => there,
        };
        self.fit.check_listed(directory, name)?;
        if expected.is_some_and(|expected| expected.is(there.kind, &there.stat)) {
            Ok(())
        } else {
            Err(facts::changed("it was changed meanwhile"))
        }
    }

    /// Removes what is as expected.
    fn remove(&mut self, target: Target<'_>, expected: &Expected) -> Result<(), FileError> {
        let (directory, name) = parent(target)?;
        self.check(directory.as_fd(), name, Some(expected))?;
        let flags = if expected.kind == FoundKind::Directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
        match rustix::fs::unlinkat(&directory, name, flags) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => Err(facts::changed("something is in it")),
            other => other.map_err(|errno| facts::failure("remove", errno)),
        }
    }
}

/// What the names begin with under which this process writes aside.
pub fn own_prefix() -> String {
    format!("{}{}-", String::from_utf8_lossy(ASIDE_PREFIX), std::process::id())
}

/// What a shared folder may give a file: no setuid or setgid bit, no capability.
fn metadata(mut stat: Stat, mut attributes: Vec<(Vec<u8>, Vec<u8>)>) -> Metadata {
    stat.mode &= SHARED_MODE;
    attributes.retain(|(name, _)| name.starts_with(b"user.") || name.starts_with(b"system.posix_acl"));
    Metadata { stat, attributes }
}

/// Whose something is that is there, or will be made in a directory.
fn owner(directory: BorrowedFd<'_>, name: &[u8]) -> Option<(u32, u32)> {
    let known = facts::look_at(directory, name).or_else(|_| facts::look(directory)).ok()?;
    Some((known.stat.uid, known.stat.gid))
}

/// Gives a file or directory to its owner, if this process may.
fn own(file: BorrowedFd<'_>, owner: Option<(u32, u32)>) {
    let known = facts::look(file).ok().map(|known| (known.stat.uid, known.stat.gid));
    if let Some((user, group)) = owner.filter(|_| owner != known) {
        // What is not allowed stays this process's own: the content is there.
        let _ = rustix::fs::fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
    }
}

/// The directory that a path is in, and its name there.
fn parent<'a>(target: Target<'a>) -> Result<(OwnedFd, &'a [u8]), FileError> {
    let (directory, name) = beneath::split(target.path);
    if !beneath::is_plain_name(name) {
        return Err(facts::failure("open", Errno::INVAL));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let directory = beneath::open(target.root, directory, flags, Mode::empty());
    if target.mount > 0 && !is_mounted(target).unwrap_or(false) {
        let detail = "the disk that was mounted there is not".into();
        return Err(FileError { kind: FileErrorKind::Failed, detail });
    }
    Ok((directory.map_err(|errno| facts::failure("open the directory", errno))?, name))
}

/// Whether a disk is mounted where one must be.
fn is_mounted(target: Target<'_>) -> Result<bool, Errno> {
    let mount = target.path.get(..target.mount).ok_or(Errno::INVAL)?;
    let device = |path: &[u8]| {
        let open = beneath::open(target.root, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        facts::look(open.as_fd()).map(|facts| facts.device)
    };
    Ok(device(mount)? != device(beneath::split(mount).0)?)
}

/// Whether a directory stands there.
fn is_directory(directory: BorrowedFd<'_>, name: &[u8]) -> bool {
    facts::look_at(directory, name).is_ok_and(|there| there.kind == FoundKind::Directory)
}

/// Something got its place, or something else was there first.
fn placed(placed: Result<Placed, Errno>) -> Result<(), FileError> {
    match placed {
        Ok(Placed::New | Placed::Overwrote) => Ok(()),
        Ok(Placed::Kept) => Err(facts::changed("something was made there meanwhile")),
        Err(errno) => Err(refusal("rename", errno)),
    }
}

#[cfg(test)]
mod tests;
