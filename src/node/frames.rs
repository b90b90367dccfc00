//! The restore stream: how a snapshot's files travel from the node to whoever writes them.
//!
//! Frames follow one another: a length (u32, little-endian) and that many bytes of postcard, and for [`Frame::Data`]
//! the raw bytes behind it. Entries come in tree order (a directory before what is in it). After an entry of a
//! file come its data and holes in order; the next entry or [`Frame::End`] ends the file. The stream is written by
//! `node/restore.rs` and read by `io/target.rs`.

use serde::{Deserialize, Serialize};

use crate::file::entry::{Kind, Stat};

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// The first frame: what comes.
    Begin {
        /// The snapshot, in full.
        snapshot: String,
        /// Files below the wanted path as the snapshot counts them for the whole folder.
        files: u64,
        /// Their bytes, likewise.
        bytes: u64,
        /// The backup that took the snapshot had not come to its end: the folder may have had more.
        partial: bool,
    },
    /// A file, directory or link begins.
    Entry {
        /// Components joined by `/`, relative to the target; `restore NAME:a/b` gives `b` and what is below it.
        path: Vec<u8>,
        /// Its kind.
        kind: Kind,
        /// Its stat.
        stat: Stat,
        /// Its extended attributes.
        attributes: Vec<(Vec<u8>, Vec<u8>)>,
        /// A link's target.
        target: Option<Vec<u8>>,
        /// It was changing while it was read for the backup.
        torn: bool,
    },
    /// This many bytes of content follow the frame.
    Data(u32),
    /// A hole of this many bytes.
    Hole(u64),
    /// The current file, or a part of the tree, cannot be had now; what was written of it is not to be kept.
    Lost {
        /// Which path.
        path: Vec<u8>,
        /// Why.
        reason: String,
    },
    /// Nothing more; the counts of what was sent.
    End {
        /// Files.
        files: u64,
        /// Plain bytes.
        bytes: u64,
        /// Frames of [`Frame::Lost`].
        lost: u64,
    },
    /// The content of the current file does not come, for it was not asked for.
    LeftOut,
}

/// Longest encoded frame (data apart), in bytes: a path, attributes and a link target.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;

impl Frame {
    /// The frame with its length before it.
    ///
    /// # Errors
    /// When it would be longer than [`FRAME_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let body = postcard::to_stdvec(self).map_err(|_| FrameError)?;
        let length = u32::try_from(body.len()).map_err(|_| FrameError)?;
        if body.len() > FRAME_BYTES_MAX {
            return Err(FrameError);
        }
        let mut bytes = Vec::with_capacity(4 + body.len());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }

    /// Reads the body of a frame (without its length).
    ///
    /// # Errors
    /// When the bytes are no frame or something follows it.
    pub fn decode(body: &[u8]) -> Result<Self, FrameError> {
        match postcard::take_from_bytes(body) {
            Ok((frame, [])) => Ok(frame),
            _ => Err(FrameError),
        }
    }
}

/// The bytes are no frame of a restore stream, or it would be too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameError;

impl std::fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the restore stream is damaged; run the restore again")
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_a_round_trip_and_garbage_is_refused() {
        let frame = Frame::Lost { path: b"a/\xff".to_vec(), reason: "no holder".into() };
        let bytes = frame.encode().unwrap();
        assert_eq!(Frame::decode(&bytes[4..]), Ok(frame));
        assert_eq!(Frame::decode(&bytes[5..]), Err(FrameError));
        assert_eq!(Frame::decode(&[&bytes[4..], &[0]].concat()), Err(FrameError));
    }
}
