//! The applied map of a shared folder: what this device last read or wrote at each path.
//!
//! It is kept apart from the tree because stats differ from device to device, and because what another device has made may not
//! have reached this disk: what the tree has and the applied map lacks is still to be written, and is no deletion. It is a map like
//! any other (`file/map.rs`), with the keys of the tree.

use serde::{Deserialize, Serialize};

use super::entry::{Kind, Stat};
use super::field::{self, EntryError};
use crate::base::version::Dot;

/// The value under a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// What it was.
    pub kind: Kind,
    /// Its stat here.
    pub stat: Stat,
    /// Which version of the tree's it is.
    pub dot: Dot,
    /// On which file system it lies: without a disk that is mounted there it is not gone.
    pub disk: Disk,
    /// This device has written it, with a time of its own choice: any later change shows in the stat, however coarse the clock.
    pub placed: bool,
}

/// On which file system something lies. (Encoded as the flag that was here before it: only "another than the root's" was known.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Disk {
    /// On that of the folder's root, as the directory that it is in.
    Root,
    /// On another, as the directory that it is in.
    Other,
    /// On another than the directory that it is in: a disk is mounted here.
    Mounted,
}

impl Applied {
    /// The value as bytes.
    ///
    /// # Errors
    /// None that the encoder would give for such a value.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        field::with_version(self)
    }

    /// Reads what [`Applied::encode`] wrote.
    ///
    /// # Errors
    /// For any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        field::versioned(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{FeedId, NodeId};

    #[test]
    fn what_an_older_version_wrote_is_read() {
        let stat = Stat { size: 1, mtime_ns: 2, ctime_ns: 3, inode: 4, mode: 5, uid: 6, gid: 7, links: 1 };
        let dot = Dot { counter: 9, feed: FeedId { node: NodeId::from_bytes([1; 32]), random: [2; 8] } };
        let applied = |disk| Applied { kind: Kind::Directory, stat, dot, disk, placed: false };
        let [root, other, mounted] =
            [Disk::Root, Disk::Other, Disk::Mounted].map(|disk| applied(disk).encode().unwrap());
        // The flag "beyond" was a byte, the last but one.
        let at = root.len() - 2;
        assert_eq!((root[at], other[at], mounted[at]), (0, 1, 2));
        assert_eq!(Applied::decode(&mounted), Ok(applied(Disk::Mounted)));
    }
}
