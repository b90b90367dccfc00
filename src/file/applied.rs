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
    /// It lies on another file system than the folder's root: without the disk that is mounted there it is not gone.
    pub beyond: bool,
    /// This device has written it, with a time of its own choice: any later change shows in the stat, however coarse the clock.
    pub placed: bool,
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
