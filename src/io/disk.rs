//! Trait [`Disk`] on real files below the data home.
//!
//! Keeps the last few files open, because the store reads and appends to the same ones again and again. Refuses names
//! that could leave the home. What is durable when is said in `store/disk.rs`; read that first.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{beneath, os::Pulse, wear};
use crate::base::limits::{OPEN_STORE_FILES_MAX, WRITE_PARTS_MAX};
use crate::store::disk::{Disk, DiskError, DiskErrorKind};
use crate::store::meter::Wear;

/// The files below one directory.
#[derive(Debug)]
pub struct FileDisk {
    /// The home.
    home: PathBuf,
    /// Nothing is changed.
    read_only: bool,
    /// Open files, the last used last.
    open: Mutex<Vec<OpenFile>>,
    /// Every call is a step of it, so that a call that never ends can be told from much work.
    pulse: Pulse,
}

/// A file that is kept open.
#[derive(Debug)]
struct OpenFile {
    /// Relative to the home.
    name: String,
    /// The file.
    file: Arc<File>,
    /// Written to and not synced: it stays open until it is, for a descriptor opened later might not be told that
    /// writing back failed in between (Linux reports such an error to those who had the file open).
    unsynced: bool,
}

impl OpenFile {
    /// The same, unless somebody else has removed the file: what is read from it or written to it then is gone with the last descriptor, and
    /// must count for nothing. What takes its name later is opened anew.
    fn if_there(self, verb: &'static str, path: &Path) -> Result<Self, DiskError> {
        let has_no_name = rustix::fs::fstat(&self.file).is_ok_and(|facts| facts.st_nlink == 0);
        // Some file systems in user space count no links at all.
        if has_no_name && !self.is_at(path) {
            let reason = "it was removed while it was in use";
            return Err(DiskError::new(verb, &self.name, DiskErrorKind::NotFound, reason));
        }
        Ok(self)
    }

    /// Whether this file stands there.
    fn is_at(&self, path: &Path) -> bool {
        let (here, there) = (self.file.metadata(), std::fs::metadata(path));
        here.is_ok_and(|here| there.is_ok_and(|there| (here.dev(), here.ino()) == (there.dev(), there.ino())))
    }
}

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// It exists and stays as it is.
    Read,
    /// It exists and will be changed.
    Change,
    /// It is created if need be, and will be changed.
    Create,
    /// It exists and will be clean.
    Sync,
}

impl FileDisk {
    /// The files below `home`, which exists.
    #[must_use]
    pub fn new(home: &Path) -> Self {
        Self { home: home.to_path_buf(), read_only: false, open: Mutex::default(), pulse: Pulse::default() }
    }

    /// The same; every call is a step of this pulse.
    #[must_use]
    pub fn with_pulse(self, pulse: Pulse) -> Self {
        Self { pulse, ..self }
    }

    /// The same, only to be read: on a medium, too, that cannot be written.
    #[must_use]
    pub fn read_only(home: &Path) -> Self {
        Self { read_only: true, ..Self::new(home) }
    }

    /// Refuses to change what is only read.
    fn may_change(&self, verb: &'static str, name: &str) -> Result<(), DiskError> {
        if self.read_only {
            return Err(DiskError::new(verb, name, DiskErrorKind::ReadOnly, "it is only to be read"));
        }
        Ok(())
    }

    /// The path of a name; refuses what could leave the home.
    fn path(&self, verb: &'static str, name: &str) -> Result<PathBuf, DiskError> {
        self.pulse.step();
        if beneath::is_plain(name.as_bytes()) {
            Ok(self.home.join(name))
        } else {
            Err(DiskError::new(verb, name, DiskErrorKind::Io, "the name leaves the data home"))
        }
    }

    /// The open files. A thread that panicked while it held them left them whole: they are a cache.
    fn open_files(&self) -> MutexGuard<'_, Vec<OpenFile>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The open file of that name.
    fn file(&self, verb: &'static str, name: &str, purpose: Purpose) -> Result<Arc<File>, DiskError> {
        if purpose != Purpose::Read {
            self.may_change(verb, name)?;
        }
        self.pulse.step();
        let mut open = self.open_files();
        let mut entry = match open.iter().position(|entry| entry.name == name) {
            Some(at) => open.remove(at).if_there(verb, &self.path(verb, name)?)?,
            None => self.open_file(verb, name, purpose == Purpose::Create)?,
        };
        match purpose {
            Purpose::Read => {}
            Purpose::Change | Purpose::Create => entry.unsynced = true,
            // One call at a time writes to a file, so nothing is written between this and the sync itself.
            Purpose::Sync => entry.unsynced = false,
        }
        let file = Arc::clone(&entry.file);
        if open.len() >= OPEN_STORE_FILES_MAX {
            if let Some(at) = open.iter().position(|entry| !entry.unsynced) {
                open.remove(at);
            }
        }
        open.push(entry);
        Ok(file)
    }

    /// Opens a file, which is created if `create`.
    fn open_file(&self, verb: &'static str, name: &str, create: bool) -> Result<OpenFile, DiskError> {
        let path = self.path(verb, name)?;
        let mut options = OpenOptions::new();
        options.read(true).write(!self.read_only).create(create).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|error| DiskError::from_io(verb, name, &error))?;
        Ok(OpenFile { name: name.to_owned(), file: Arc::new(file), unsynced: false })
    }

    /// Forgets the open files of these names, which are about to mean something else.
    fn forget(&self, names: &[&str]) {
        self.open_files().retain(|entry| !names.contains(&entry.name.as_str()));
    }
}

impl Disk for FileDisk {
    fn list(&self, directory: &str) -> Result<Vec<String>, DiskError> {
        let path = self.path("list", directory)?;
        let failed = |error: io::Error| DiskError::from_io("list", directory, &error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn create_dir(&self, directory: &str) -> Result<(), DiskError> {
        self.may_change("create", directory)?;
        let path = self.path("create", directory)?;
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            answer => answer.map_err(|error| DiskError::from_io("create", directory, &error)),
        }
    }

    fn len(&self, name: &str) -> Result<u64, DiskError> {
        let facts = std::fs::metadata(self.path("stat", name)?);
        facts.map(|facts| facts.len()).map_err(|error| DiskError::from_io("stat", name, &error))
    }

    fn exists(&self, name: &str) -> Result<bool, DiskError> {
        let path = self.path("stat", name)?;
        path.try_exists().map_err(|error| DiskError::from_io("stat", name, &error))
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let file = self.file("read", name, Purpose::Read)?;
        let mut filled = 0;
        while filled < buffer.len() {
            let at = offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
            match file.read_at(&mut buffer[filled..], at) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DiskError::from_io("read", name, &error)),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let file = self.file("write", name, Purpose::Create)?;
        file.write_all_at(bytes, offset).map_err(|error| DiskError::from_io("write", name, &error))
    }

    fn write_parts_at(&self, name: &str, offset: u64, parts: &[&[u8]]) -> Result<(), DiskError> {
        let file = self.file("write", name, Purpose::Create)?;
        let failed = |error: io::Error| DiskError::from_io("write", name, &error);
        let mut at = offset;
        for group in parts.chunks(WRITE_PARTS_MAX) {
            let slices: Vec<IoSlice<'_>> = group.iter().map(|part| IoSlice::new(part)).collect();
            let mut written = loop {
                match rustix::io::pwritev(file.as_fd(), &slices, at) {
                    Ok(count) => break count,
                    Err(rustix::io::Errno::INTR) => {}
                    Err(errno) => return Err(failed(errno.into())),
                }
            };
            // The rest of a short write goes part by part.
            for part in group {
                let done = written.min(part.len());
                written -= done;
                at = at.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
                file.write_all_at(&part[done..], at).map_err(failed)?;
                at = at.saturating_add(u64::try_from(part.len() - done).unwrap_or(u64::MAX));
            }
        }
        Ok(())
    }

    fn set_len(&self, name: &str, length: u64) -> Result<(), DiskError> {
        let file = self.file("cut", name, Purpose::Change)?;
        file.set_len(length).map_err(|error| DiskError::from_io("cut", name, &error))
    }

    fn sync(&self, name: &str) -> Result<(), DiskError> {
        let file = self.file("sync", name, Purpose::Sync)?;
        file.sync_data().map_err(|error| DiskError::from_io("sync", name, &error))
    }

    fn sync_dir(&self, directory: &str) -> Result<(), DiskError> {
        let path = self.path("sync", directory)?;
        let failed = |error| DiskError::from_io("sync", directory, &error);
        File::open(path).map_err(failed)?.sync_all().map_err(failed)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        self.may_change("rename", from)?;
        let (old, new) = (self.path("rename", from)?, self.path("rename", to)?);
        self.forget(&[from, to]);
        std::fs::rename(old, new).map_err(|error| DiskError::from_io("rename", from, &error))
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.may_change("remove", name)?;
        let path = self.path("remove", name)?;
        self.forget(&[name]);
        std::fs::remove_file(path).map_err(|error| DiskError::from_io("remove", name, &error))
    }

    fn free_bytes(&self) -> Result<u64, DiskError> {
        let facts = rustix::fs::statvfs(&self.home)
            .map_err(|errno| DiskError::from_io("ask for free space of", "", &errno.into()))?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }

    fn let_go(&self, name: &str) {
        if let Ok(file) = self.file("read", name, Purpose::Read) {
            // Who does not take the hint keeps it until the memory is wanted.
            let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
        }
    }

    fn wear(&self) -> Option<Wear> {
        wear::of(&self.home)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lab() -> (tempfile::TempDir, FileDisk) {
        let directory = tempfile::tempdir().unwrap();
        let disk = FileDisk::new(directory.path());
        (directory, disk)
    }

    #[test]
    fn what_is_written_is_read_with_its_gaps_and_ends() {
        let (_directory, disk) = lab();
        disk.write_at("f", 5, b"five").unwrap();
        let mut buffer = [9; 20];
        assert_eq!(disk.read_at("f", 0, &mut buffer), Ok(9));
        assert_eq!(&buffer[..9], b"\0\0\0\0\0five");
        assert_eq!(disk.read_at("f", 7, &mut buffer[..1]), Ok(1));
        assert_eq!(buffer[0], b'v');
        assert_eq!(disk.read_at("f", 100, &mut buffer), Ok(0));
        disk.set_len("f", 6).unwrap();
        assert_eq!((disk.len("f"), disk.read_at("f", 0, &mut buffer)), (Ok(6), Ok(6)));
        disk.sync("f").unwrap();
        disk.sync_dir("").unwrap();
        disk.let_go("f");
        disk.let_go("none");
        assert_eq!((disk.exists("none"), disk.read_at("f", 0, &mut buffer)), (Ok(false), Ok(6)));
        assert!(disk.free_bytes().unwrap() > 0);
    }

    #[test]
    fn parts_are_written_one_after_the_other_however_many() {
        let (_directory, disk) = lab();
        let parts: Vec<Vec<u8>> =
            (0..2_500_usize).map(|number| vec![number.to_le_bytes()[0]; number % 50]).collect();
        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        disk.write_parts_at("f", 3, &slices).unwrap();
        let wanted = parts.concat();
        let mut found = vec![0; wanted.len() + 10];
        assert_eq!(disk.read_at("f", 3, &mut found), Ok(wanted.len()));
        assert!(found[..wanted.len()] == wanted[..]);
    }

    #[test]
    fn a_name_means_the_new_file_after_a_rename_and_none_after_a_removal() {
        let (_directory, disk) = lab();
        disk.create_dir("d").unwrap();
        disk.create_dir("d").unwrap();
        disk.write_at("d/a", 0, b"a").unwrap();
        disk.write_at("d/b", 0, b"b").unwrap();
        disk.rename("d/a", "d/b").unwrap();
        let mut byte = [0];
        assert_eq!(disk.read_at("d/b", 0, &mut byte), Ok(1));
        assert_eq!(byte, *b"a");
        assert_eq!(disk.list("d").unwrap(), ["b"]);
        assert_eq!(disk.read_at("d/a", 0, &mut byte).unwrap_err().kind, DiskErrorKind::NotFound);
        disk.remove("d/b").unwrap();
        assert_eq!(disk.exists("d/b"), Ok(false));
        assert_eq!(disk.sync("d/b").unwrap_err().kind, DiskErrorKind::NotFound);
        assert_eq!(disk.set_len("d/b", 0).unwrap_err().kind, DiskErrorKind::NotFound);
    }

    #[test]
    fn what_somebody_else_has_removed_counts_for_nothing_though_it_is_open() {
        let (directory, disk) = lab();
        let mut byte = [0];
        for call in 0..3 {
            disk.write_at("f", 0, b"abc").unwrap();
            std::fs::remove_file(directory.path().join("f")).unwrap();
            let failed = match call {
                0 => disk.sync("f"),
                1 => disk.write_at("f", 3, b"d"),
                _ => disk.read_at("f", 0, &mut byte).map(|_| ()),
            };
            let error = failed.unwrap_err();
            assert_eq!(error.kind, DiskErrorKind::NotFound);
            assert!(error.to_string().contains("removed"), "{error}");
            assert_eq!(disk.read_at("f", 0, &mut byte).unwrap_err().kind, DiskErrorKind::NotFound);
        }
    }

    #[test]
    fn no_name_leaves_the_home_and_few_files_stay_open() {
        let (_directory, disk) = lab();
        for name in ["../x", "/etc/passwd", "a/../../x", "a//b", "."] {
            assert!(disk.write_at(name, 0, b"x").is_err(), "{name}");
        }
        for number in 0..100 {
            disk.write_at(&number.to_string(), 0, b"x").unwrap();
            disk.sync(&number.to_string()).unwrap();
        }
        assert!(disk.open_files().len() <= OPEN_STORE_FILES_MAX);
        for number in 0..100 {
            disk.write_at(&number.to_string(), 0, b"y").unwrap();
        }
        assert_eq!(
            disk.open_files().iter().filter(|file| file.unsynced).count(),
            100,
            "none is closed unsynced"
        );
    }
}
