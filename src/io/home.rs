//! The data home: where it is, who holds its lock, where its control socket lies, and how a small file in it is
//! replaced durably.
//!
//! Owns the names `lock`, `control.sock`, `control.path` and `nuthatch.toml`. Refuses a home that another process
//! uses. Knows nothing of what `store/` keeps in the same directory. Read docs/DESIGN.md, section 9, first.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::base::limits::SOCKET_PATH_BYTES_MAX;

/// The configuration file in the home.
pub const CONFIG_NAME: &str = "nuthatch.toml";

/// Why the home cannot be used.
#[derive(Debug)]
pub enum HomeError {
    /// No variable says where it could be.
    NoPlace,
    /// Another process holds the lock.
    Busy {
        /// The home.
        home: PathBuf,
        /// The holder as it wrote itself into the lock file: "nuthatch, process 1234".
        process: String,
    },
    /// The store that was there is not.
    Absent {
        /// The home.
        home: PathBuf,
        /// Where it is noted that there was one.
        note: PathBuf,
    },
    /// Another store is there.
    Other {
        /// The home.
        home: PathBuf,
        /// Where it is noted which one was there.
        note: PathBuf,
    },
    /// The system refused something.
    Io {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// Its words.
        error: io::Error,
    },
}

impl fmt::Display for HomeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPlace => formatter.write_str(
                "there is no place for the node's data, for neither HOME nor XDG_DATA_HOME is set; give one with --home DIR",
            ),
            Self::Busy { home, process } => write!(
                formatter,
                "{} is in use by {process}; stop that process or give another home with --home DIR",
                home.display()
            ),
            Self::Absent { home, note } => write!(
                formatter,
                "the store that was in {} is not there, and nothing was made in its place; is its disk mounted? If a new store is meant, remove {}",
                home.display(),
                note.display()
            ),
            Self::Other { home, note } => write!(
                formatter,
                "in {} is another store than the one that was there; is the right disk mounted? If this one is meant from now on, remove {}",
                home.display(),
                note.display()
            ),
            Self::Io { verb, path, error } => write!(
                formatter,
                "cannot {verb} {}: {error}; check the path and its permissions",
                path.display()
            ),
        }
    }
}

impl std::error::Error for HomeError {}

/// The home where no `--home` was given: `$NUTHATCH_HOME`, else what systemd gave the service (`$STATE_DIRECTORY`),
/// else the user's data directory (XDG base directory specification).
///
/// # Errors
/// [`HomeError::NoPlace`] when no variable helps.
pub fn default_home() -> Result<PathBuf, HomeError> {
    choose_home(|name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

/// [`default_home`] over any source of variables.
fn choose_home(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, HomeError> {
    if let Some(home) = variable("NUTHATCH_HOME") {
        return Ok(home);
    }
    if let Some(list) = variable("STATE_DIRECTORY") {
        let first = list.as_os_str().as_bytes().split(|&byte| byte == b':').next().unwrap_or_default();
        return Ok(PathBuf::from(OsStr::from_bytes(first)));
    }
    if let Some(data) = variable("XDG_DATA_HOME").filter(|path| path.is_absolute()) {
        return Ok(data.join("nuthatch"));
    }
    variable("HOME").map(|home| home.join(".local/share/nuthatch")).ok_or(HomeError::NoPlace)
}

/// Holds the home until it is dropped (or the process ends, however it ends).
#[derive(Debug)]
pub struct HomeLock {
    /// The home, created if need be.
    home: PathBuf,
    /// Carries the lock.
    _file: File,
}

impl HomeLock {
    /// The home that is held.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }
}

/// Creates the home if need be (readable by its owner only) and takes its lock.
///
/// # Errors
/// [`HomeError::Busy`] when another process holds it.
pub fn lock_home(home: &Path) -> Result<HomeLock, HomeError> {
    let failed = |verb, path: &Path| {
        let path = path.to_path_buf();
        move |error: io::Error| HomeError::Io { verb, path, error }
    };
    make_directory(home)?;
    let path = home.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed("open", &path))?;
    take_lock(&file, home, &path)?;
    let name = std::env::args_os().next().map(PathBuf::from);
    let name =
        name.as_deref().and_then(Path::file_name).map_or_else(Default::default, OsStr::to_string_lossy);
    let line = format!("{name}, process {}\n", std::process::id());
    // It is a help, not a need, and written over the one before: a disk without a free block has no room for it otherwise.
    let _ = file.write_all(line.as_bytes()).and_then(|()| file.set_len(line.len().try_into().unwrap_or(0)));
    Ok(HomeLock { home: home.to_path_buf(), _file: file })
}

/// Makes a directory of this user alone, with those above it, unless it is there.
pub(super) fn make_directory(directory: &Path) -> Result<(), HomeError> {
    let failed = |error| HomeError::Io { verb: "create", path: directory.to_path_buf(), error };
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)
}

/// Takes the lock of a home that is only read, if there ever was a node: nothing is written, and none starts meanwhile.
///
/// # Errors
/// [`HomeError::Busy`] when another process holds it.
pub fn hold_home(home: &Path) -> Result<Option<File>, HomeError> {
    let path = home.join("lock");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(HomeError::Io { verb: "open", path, error }),
    };
    take_lock(&file, home, &path)?;
    Ok(Some(file))
}

/// Locks the open lock file.
fn take_lock(file: &File, home: &Path, path: &Path) -> Result<(), HomeError> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // The holder may be just about to write itself; its name is a help, not a need.
            let _ = file.take(200).read_to_string(&mut holder);
            let process = if holder.trim().is_empty() {
                "another process".to_owned()
            } else {
                holder.trim().to_owned()
            };
            Err(HomeError::Busy { home: home.to_path_buf(), process })
        }
        Err(errno) => Err(HomeError::Io { verb: "lock", path: path.to_path_buf(), error: errno.into() }),
    }
}

/// Replaces the small file `home`/`name` so that after a crash the old or the new text is there, whole.
///
/// # Errors
/// With the step that failed; the old text then still stands.
pub fn replace_file(home: &Path, name: &str, text: &str) -> Result<(), HomeError> {
    let aside = home.join(format!("{name}.new"));
    let path = home.join(name);
    let failed = |verb, path: &Path| {
        let path = path.to_path_buf();
        move |error: io::Error| HomeError::Io { verb, path, error }
    };
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(failed("write", &aside))?;
    std::fs::rename(&aside, &path).map_err(failed("replace", &path))?;
    File::open(home).and_then(|directory| directory.sync_all()).map_err(failed("sync", home))
}

/// Where the node shall bind its control socket: in the runtime directory that systemd gave it, else in the home, else
/// (where that path would be too long for a socket) in a directory of this user alone. A path outside the home is
/// published in `control.path` for [`control_path`] to find.
///
/// # Errors
/// When the place or the note of it cannot be written.
pub fn place_control(home: &Path) -> Result<PathBuf, HomeError> {
    let note = home.join("control.path");
    let chosen = choose_control(home)?;
    if chosen.parent() == Some(home) {
        match std::fs::remove_file(&note) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(HomeError::Io { verb: "remove", path: note, error });
            }
            _ => {}
        }
    } else {
        // The note is bytes of a path; where it is not UTF-8 the socket cannot be found through it, but all else works.
        // What says so already stays: a node starts on a disk that has no room for a single block, too.
        let text = chosen.to_string_lossy();
        if std::fs::read_to_string(&note).ok().as_deref() != Some(&*text) {
            replace_file(home, "control.path", &text)?;
        }
    }
    Ok(chosen)
}

/// Chooses for [`place_control`], and creates the directory of last resort.
fn choose_control(home: &Path) -> Result<PathBuf, HomeError> {
    if let Some(list) = std::env::var_os("RUNTIME_DIRECTORY").filter(|value| !value.is_empty()) {
        let first = list.as_bytes().split(|&byte| byte == b':').next().unwrap_or_default();
        return Ok(Path::new(OsStr::from_bytes(first)).join("control.sock"));
    }
    let usual = home.join("control.sock");
    if usual.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return Ok(usual);
    }
    let user = rustix::process::geteuid().as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let directory = match runtime {
        Some(path) if path.as_os_str().len() <= 60 && path.is_dir() => path.join("nuthatch"),
        _ => PathBuf::from(format!("/tmp/nuthatch-{user}")),
    };
    let failed = |error| HomeError::Io { verb: "create", path: directory.clone(), error };
    DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(failed)?;
    // Somebody else may have made it first: then it is not ours to put a socket in.
    let facts = std::fs::symlink_metadata(&directory).map_err(failed)?;
    if !facts.is_dir() || facts.uid() != user || facts.mode() & 0o077 != 0 {
        return Err(failed(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "it belongs to somebody else, or others may write there",
        )));
    }
    let name = blake3::hash(home.as_os_str().as_bytes()).to_hex();
    Ok(directory.join(format!("{}.sock", &name.as_str()[..16])))
}

/// Where the node of this home, if one runs, has its control socket.
#[must_use]
pub fn control_path(home: &Path) -> PathBuf {
    match std::fs::read_to_string(home.join("control.path")) {
        Ok(text) if !text.is_empty() => PathBuf::from(text),
        _ => home.join("control.sock"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Variables as a list of pairs.
    fn chosen(pairs: &[(&str, &str)]) -> Option<PathBuf> {
        choose_home(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value)))
            .ok()
    }

    #[test]
    fn the_home_is_chosen_in_the_order_of_the_design() {
        let all = [
            ("HOME", "/home/me"),
            ("XDG_DATA_HOME", "/data"),
            ("STATE_DIRECTORY", "/var/lib/nuthatch:/var/lib/more"),
            ("NUTHATCH_HOME", "/mine"),
        ];
        assert_eq!(chosen(&all), Some("/mine".into()));
        assert_eq!(chosen(&all[..3]), Some("/var/lib/nuthatch".into()));
        assert_eq!(chosen(&all[..2]), Some("/data/nuthatch".into()));
        assert_eq!(chosen(&all[..1]), Some("/home/me/.local/share/nuthatch".into()));
        assert_eq!(
            chosen(&[("XDG_DATA_HOME", "relative"), ("HOME", "/h")]),
            Some("/h/.local/share/nuthatch".into())
        );
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn a_home_has_one_holder_and_says_who_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().join("a/b");
        let lock = lock_home(&home).unwrap();
        assert_eq!(std::fs::metadata(&home).unwrap().mode() & 0o777, 0o700);
        let busy = lock_home(&home).unwrap_err();
        assert!(busy.to_string().contains(&format!("process {}", std::process::id())), "{busy}");
        drop(lock);
        assert!(lock_home(&home).is_ok());
    }

    #[test]
    fn a_replaced_file_is_whole_and_private() {
        let home = tempfile::tempdir().unwrap();
        replace_file(home.path(), "nuthatch.toml", "a long first text").unwrap();
        replace_file(home.path(), "nuthatch.toml", "short").unwrap();
        let path = home.path().join("nuthatch.toml");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "short");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_long_home_has_its_socket_elsewhere_and_clients_find_it() {
        let directory = tempfile::tempdir().unwrap();
        let near = directory.path().join("n");
        let far = directory.path().join("x".repeat(120));
        for home in [&near, &far] {
            std::fs::create_dir(home).unwrap();
            let bound = place_control(home).unwrap();
            assert!(bound.as_os_str().len() <= SOCKET_PATH_BYTES_MAX, "{}", bound.display());
            assert_eq!(control_path(home), bound);
        }
        assert_eq!(control_path(&near), near.join("control.sock"));
        assert_ne!(control_path(&far).parent(), Some(far.as_path()));
        let written = |home: &Path| std::fs::metadata(home.join("control.path")).unwrap().ino();
        let before = written(&far);
        place_control(&far).unwrap();
        assert_eq!(written(&far), before, "the note was written again");
        std::fs::write(far.join("control.path"), "/elsewhere").unwrap();
        let again = place_control(&far).unwrap();
        assert_eq!(control_path(&far), again);
    }
}
