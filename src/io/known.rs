//! Which store was at which place: a disk that is missing at the start, or another one in its stead, is an error and never an
//! empty store.
//!
//! A home on another disk than the system has an id in a file of its own, and a note of it is kept on the system's disk, by the path of the
//! home. Who removes the note says that a new store is meant. Where no such place is known, nothing is noted and nothing refused.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::home::{make_directory, replace_file, HomeError};
use super::os::entropy;
use crate::base::ids::hex;
use crate::store::feeds::STATE_NAME;

/// The file with the id in the home.
const ID_NAME: &str = "id";

/// Compares what is at `home` with what was there before, and takes note of it.
///
/// # Errors
/// [`HomeError::Absent`] and [`HomeError::Other`].
pub fn recognise(home: &Path) -> Result<(), HomeError> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let own = variable("STATE_DIRECTORY")
        .or_else(|| variable("XDG_STATE_HOME").map(|state| state.join("nuthatch")))
        .or_else(|| variable("HOME").map(|user| user.join(".local/state/nuthatch")));
    match own.filter(|notes| notes.is_absolute() && !home.starts_with(notes)) {
        Some(notes) => compare(home, &notes.join("homes"), is_apart(home, &notes)),
        None => Ok(()),
    }
}

/// [`recognise`] with the directory of the notes; `apart`: the home is on another disk than they are.
fn compare(home: &Path, notes: &Path, apart: bool) -> Result<(), HomeError> {
    let name = &blake3::hash(home.as_os_str().as_bytes()).to_hex()[..16];
    let note = notes.join(name);
    let id = read(&home.join(ID_NAME));
    match (read(&note), id) {
        (Some(known), Some(id)) if known == id => Ok(()),
        (Some(_), Some(_)) => Err(HomeError::Other { home: home.to_path_buf(), note }),
        (Some(_), None) => Err(HomeError::Absent { home: home.to_path_buf(), note }),
        (None, _) if !apart || !home.join(STATE_NAME).exists() => Ok(()),
        (None, id) => {
            let kept = keep(home, notes, name, id);
            if let Err(error) = kept {
                log::info!(
                    "it is not noted which store this is, so a missing disk will not be noticed: {error}"
                );
            }
            Ok(())
        }
    }
}

/// Takes note of a store, which gets an id if it has none.
fn keep(home: &Path, notes: &Path, name: &str, id: Option<String>) -> Result<(), HomeError> {
    let id = match id {
        Some(id) => id,
        None => {
            let seed = entropy().map_err(|error| HomeError::Io {
                verb: "make an id for",
                path: home.to_path_buf(),
                error: std::io::Error::other(error.to_string()),
            })?;
            let id = hex(&seed[..16]);
            replace_file(home, ID_NAME, &id)?;
            id
        }
    };
    make_directory(notes)?;
    replace_file(notes, name, &id)
}

/// The first line of a small file, if it is there.
fn read(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().next().map(str::to_owned).filter(|line| !line.is_empty())
}

/// Whether two places, as far as they are there, lie on different file systems.
fn is_apart(home: &Path, notes: &Path) -> bool {
    let device =
        |path: &Path| path.ancestors().find_map(|path| std::fs::metadata(path).ok()).map(|facts| facts.dev());
    device(home) != device(notes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_and_another_disk_are_told_from_a_new_store() {
        let (disk, system) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (home, notes) = (disk.path().join("home"), system.path().join("homes"));
        assert!(compare(&home, &notes, true).is_ok() && !notes.exists(), "nothing is there yet");
        std::fs::create_dir(&home).unwrap();
        std::fs::write(home.join(STATE_NAME), b"x").unwrap();
        assert!(
            compare(&home, &notes, false).is_ok() && !notes.exists(),
            "on the same disk nothing is noted"
        );
        compare(&home, &notes, true).unwrap();
        compare(&home, &notes, true).unwrap();
        let id = std::fs::read_to_string(home.join(ID_NAME)).unwrap();
        // The disk is not mounted: its place is empty, or not there.
        let aside = disk.path().join("aside");
        std::fs::rename(&home, &aside).unwrap();
        for _ in 0..2 {
            let error = compare(&home, &notes, false).unwrap_err();
            assert!(
                matches!(error, HomeError::Absent { .. }) && error.to_string().contains("mounted"),
                "{error}"
            );
            std::fs::create_dir_all(&home).unwrap();
        }
        assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0, "nothing was made there");
        std::fs::write(home.join(ID_NAME), b"0123").unwrap();
        let error = compare(&home, &notes, true).unwrap_err();
        let HomeError::Other { note, .. } = &error else { panic!("{error}") };
        // Whoever removes the note has another store there from now on.
        std::fs::remove_file(note).unwrap();
        std::fs::write(home.join(STATE_NAME), b"x").unwrap();
        compare(&home, &notes, true).unwrap();
        std::fs::remove_dir_all(&home).unwrap();
        std::fs::rename(&aside, &home).unwrap();
        assert_eq!(std::fs::read_to_string(home.join(ID_NAME)).unwrap(), id);
        assert!(matches!(compare(&home, &notes, true), Err(HomeError::Other { .. })));
    }
}
