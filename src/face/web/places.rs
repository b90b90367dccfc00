//! Places on this machine: directories to choose from, and disks.
//!
//! For admins only: names of directories are a part of what a node knows. Looked up in the turn of the request; a dead network
//! disk would hold the node up, so file systems over the network are told by name only and not looked into.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::statvfs;
use serde_json::{json, Value};

use crate::base::limits::DIRECTORIES_TOLD_MAX;
use crate::node::api::ApiError;

/// File systems that are disks, or lie on some.
const DISKS: [&str; 12] =
    ["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat", "exfat", "ntfs3", "fuseblk", "zfs", "overlay"];

/// One line of `/proc/self/mounts`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    /// The device.
    device: String,
    /// Where it is.
    place: PathBuf,
    /// Its file system.
    kind: String,
}

/// The directories in a directory, by name.
pub(super) fn directories(path: &str) -> Result<Value, ApiError> {
    let path = Path::new(path);
    if !path.is_absolute() || path.components().any(|part| part.as_os_str() == "..") {
        return Err(ApiError::new(
            "bad_request",
            format!("{} is no absolute path", path.display()),
            "begin with /",
        ));
    }
    if let Some(mount) = mount_of(path).filter(|mount| is_remote(&mount.kind)) {
        let message = format!("{} is on a disk of the network ({})", path.display(), mount.kind);
        return Err(ApiError::new("directory", message, "type the path instead of choosing it"));
    }
    let cannot = |error: std::io::Error| {
        ApiError::new(
            "directory",
            format!("cannot list {}: {error}", path.display()),
            "choose another directory",
        )
    };
    let mut found = Vec::new();
    let mut is_cut = false;
    for entry in fs::read_dir(path).map_err(cannot)?.flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if found.len() >= DIRECTORIES_TOLD_MAX {
            is_cut = true;
            break;
        }
        // What is no text can be given to the command line.
        if let Ok(name) = entry.file_name().into_string() {
            found.push(name);
        }
    }
    found.sort_by_key(|name| (name.starts_with('.'), name.to_lowercase()));
    let parent = path.parent().map(|parent| parent.to_string_lossy().into_owned());
    let list: Vec<Value> =
        found.iter().map(|name| json!({"name": name, "readable": is_readable(&path.join(name))})).collect();
    Ok(json!({"path": path.to_string_lossy(), "parent": parent, "directories": list, "cut": is_cut}))
}

/// Whether a directory can be listed.
fn is_readable(path: &Path) -> bool {
    rustix::fs::access(path, rustix::fs::Access::READ_OK | rustix::fs::Access::EXEC_OK).is_ok()
}

/// The disks of this machine.
pub(super) fn disks(home: &Path) -> Value {
    let own = mount_of(home);
    let mut seen = Vec::new();
    let mut list = Vec::new();
    for mount in mounts() {
        let is_home = own.as_ref().is_some_and(|own| own.place == mount.place);
        if !DISKS.contains(&mount.kind.as_str()) || (seen.contains(&mount.device) && !is_home) {
            continue;
        }
        let Ok(space) = statvfs(&mount.place) else { continue };
        seen.push(mount.device.clone());
        let facts = block_facts(&mount.place);
        list.push(json!({
            "mount": mount.place.to_string_lossy(),
            "device": mount.device,
            "kind": mount.kind,
            "total_bytes": space.f_blocks.saturating_mul(space.f_frsize),
            "free_bytes": space.f_bavail.saturating_mul(space.f_frsize),
            "removable": facts.map(|facts| facts.0),
            "sd_card": facts.map(|facts| facts.1),
            "home": is_home,
        }));
    }
    json!({"home": home.to_string_lossy(), "disks": list})
}

/// Whether the disk below a mount can be pulled out, and whether it is an SD card; None: it is not known.
fn block_facts(place: &Path) -> Option<(bool, bool)> {
    let device = fs::metadata(place).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let link = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    // A partition lies below its disk.
    let disk = if link.join("partition").exists() { link.parent()?.to_path_buf() } else { link };
    let removable = fs::read_to_string(disk.join("removable")).ok()?.trim() == "1";
    let is_card = fs::read_to_string(disk.join("device/type")).is_ok_and(|kind| kind.trim() == "SD");
    Some((removable, is_card))
}

/// The mount that a path is on.
fn mount_of(path: &Path) -> Option<Mount> {
    mounts()
        .into_iter()
        .filter(|mount| path.starts_with(&mount.place))
        .max_by_key(|mount| mount.place.as_os_str().len())
}

/// Whether a file system is over the network, where a look may take for ever.
fn is_remote(kind: &str) -> bool {
    matches!(kind, "nfs" | "nfs4" | "cifs" | "smb3" | "9p" | "afs" | "ceph" | "autofs")
        || kind.starts_with("fuse.")
}

/// What is mounted.
fn mounts() -> Vec<Mount> {
    fs::read_to_string("/proc/self/mounts").map_or_else(|_| Vec::new(), |text| parse(&text))
}

/// The lines of `/proc/self/mounts` (fstab(5): space, tab, newline and backslash are octal).
fn parse(text: &str) -> Vec<Mount> {
    let line = |line: &str| {
        let mut fields = line.split(' ');
        let (device, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Mount {
            device: text_of(device),
            place: PathBuf::from(OsStr::from_bytes(&unescape(place))),
            kind: kind.to_owned(),
        })
    };
    text.lines().filter_map(line).collect()
}

/// A field as text.
fn text_of(field: &str) -> String {
    String::from_utf8_lossy(&unescape(field)).into_owned()
}

/// A field without its octal numbers.
fn unescape(field: &str) -> Vec<u8> {
    let mut parts = field.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[3..]);
            }
            None => {
                bytes.push(b'\\');
                bytes.extend_from_slice(part.as_bytes());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_spaces_in_their_names() {
        let text = "/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /media/my\\040disk vfat rw 0 0\nbroken\n";
        let mounts = parse(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[1].place, Path::new("/media/my disk"));
        assert_eq!(unescape("a\\134b\\x"), b"a\\b\\x");
    }

    #[test]
    fn directories_are_listed_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        for name in ["b", "A", ".hidden"] {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        fs::write(root.path().join("file"), "x").unwrap();
        let value = directories(root.path().to_str().unwrap()).unwrap();
        let names: Vec<&str> =
            value["directories"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
        assert_eq!(names, ["A", "b", ".hidden"]);
        for wrong in ["", "relative", "/a/../etc", "/does/not/exist"] {
            assert!(directories(wrong).is_err(), "{wrong}");
        }
        let told = disks(root.path());
        assert!(told["disks"].as_array().is_some());
    }
}
