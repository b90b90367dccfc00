//! Roots of folders: opened, told apart, and looked whether anything is in them.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::io::facts::{self, Device, Facts};
use crate::node::ports::FileError;

/// Opens a folder's root, which may be a symbolic link itself.
pub(super) fn open_root(path: &[u8]) -> Result<(OwnedFd, Facts), FileError> {
    let path = Path::new(OsStr::from_bytes(path));
    if !path.is_absolute() {
        return Err(facts::changed("the folder's path is not absolute"));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory =
        rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| facts::failure("open", errno))?;
    let facts = facts::look(directory.as_fd()).map_err(|errno| facts::failure("stat", errno))?;
    Ok((directory, facts))
}

/// Whether a directory has no entry. Moves its position: for a descriptor of its own.
pub(super) fn is_empty(directory: &OwnedFd) -> Result<bool, Errno> {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
    let mut entries = rustix::fs::RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What identifies a file system through reboots and replugging: its own id where it has one that is not made from
/// the device number, else the UUID that udev knows for the device, else the device number.
pub(super) fn file_system(directory: BorrowedFd<'_>, device: Device) -> Result<u64, Errno> {
    let own = rustix::fs::fstatvfs(directory)?.f_fsid;
    let number = rustix::fs::makedev(device.major, device.minor);
    if own != 0 && own != number && u32::try_from(own).is_err() {
        return Ok(own);
    }
    let known = std::fs::read_dir("/dev/disk/by-uuid").ok().and_then(|names| {
        names.flatten().find(|name| {
            use std::os::unix::fs::MetadataExt;
            std::fs::metadata(name.path()).is_ok_and(|facts| facts.rdev() == number)
        })
    });
    Ok(match known {
        Some(name) => {
            let hash = blake3::hash(name.file_name().as_bytes());
            u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
        }
        None if own != 0 => own,
        None => number,
    })
}
