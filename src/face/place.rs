//! Places on this machine: paths in full, how large a tree is, and where there is room for it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use super::exit::Fail;
use super::show::bytes;
use crate::base::limits::RESERVE_BYTES;

/// The path from the root; `..` is resolved as the system would.
///
/// # Errors
/// When the working directory is gone, or the path leads nowhere.
pub fn absolute(path: &Path) -> Result<PathBuf, Fail> {
    let full = std::path::absolute(path).map_err(|error| Fail::file("find", path, &error))?;
    if full.components().any(|component| component == Component::ParentDir) {
        return std::fs::canonicalize(&full).map_err(|error| Fail::file("find", path, &error));
    }
    Ok(full)
}

/// The directory in full, if it is one.
///
/// # Errors
/// When it is not there or no directory.
pub fn readable(directory: &Path) -> Result<PathBuf, Fail> {
    let full =
        std::fs::canonicalize(absolute(directory)?).map_err(|error| Fail::file("find", directory, &error))?;
    if full.is_dir() {
        Ok(full)
    } else {
        Err(Fail::usage(format!("{} is no directory", directory.display()), "name a directory"))
    }
}

/// Bytes on disk of everything below `root`, as far as it may be read.
///
/// # Errors
/// When the root itself cannot be read.
pub fn measure(root: &Path) -> Result<u64, Fail> {
    let mut total: u64 = 0;
    let mut waiting = vec![root.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if directory == root => return Err(Fail::file("read", root, &error)),
            // The backup will say so.
            Err(_) => continue,
        };
        for entry in entries.flatten() {
            let Ok(facts) = entry.metadata() else { continue };
            if facts.is_dir() {
                waiting.push(entry.path());
            } else {
                total = total.saturating_add(facts.len().min(facts.blocks().saturating_mul(512)));
            }
        }
    }
    Ok(total)
}

/// The directory for the stage: the wished one, or the first usual one with room.
///
/// # Errors
/// When none has room, or the wished one lies among the files.
pub fn roomy(wished: Option<&Path>, source: Option<&Path>, size: u64) -> Result<PathBuf, Fail> {
    let needed = size.saturating_mul(4).saturating_add(RESERVE_BYTES * 2);
    let candidates = match wished {
        Some(wished) => {
            let full = absolute(wished)?;
            std::fs::create_dir_all(&full).map_err(|error| Fail::file("make", &full, &error))?;
            vec![full]
        }
        None => vec![std::env::temp_dir(), PathBuf::from("/var/tmp")],
    };
    let mut most = (0, PathBuf::new());
    for candidate in candidates {
        let Ok(candidate) = std::fs::canonicalize(candidate) else { continue };
        if source.is_some_and(|source| candidate.starts_with(source)) {
            most.1 = candidate;
            continue;
        }
        let room = rustix::fs::statvfs(&candidate)
            .map(|facts| facts.f_bavail.saturating_mul(facts.f_frsize))
            .unwrap_or(0);
        if room >= needed {
            return Ok(candidate);
        }
        most = most.max((room, candidate));
    }
    let (room, directory) = most;
    if source.is_some_and(|source| directory.starts_with(source)) {
        let message = format!("{} lies inside the files to back up", directory.display());
        return Err(Fail::usage(
            message,
            "give a directory outside with --work DIR; the demo writes nothing among your files",
        ));
    }
    Err(Fail::new(
        "no_room",
        format!("{} has {} free, and about {} are needed", directory.display(), bytes(room), bytes(needed)),
        "give a directory on a larger disk with --work DIR",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::exit::Exit;

    #[test]
    fn the_stage_is_never_among_the_files() {
        let directory = tempfile::tempdir().unwrap();
        let source = std::fs::canonicalize(directory.path()).unwrap();
        let fail = roomy(Some(&source.join("work")), Some(&source), 0).unwrap_err();
        assert_eq!(fail.exit, Exit::Usage);
        let other = tempfile::tempdir().unwrap();
        assert!(roomy(Some(other.path()), Some(&source), 0).is_ok());
    }

    #[test]
    fn too_little_room_is_said_before_anything_is_done() {
        let work = tempfile::tempdir().unwrap();
        let fail = roomy(Some(work.path()), None, u64::MAX / 8).unwrap_err();
        assert_eq!(fail.error.map(|error| error.code).as_deref(), Some("no_room"));
    }
}
