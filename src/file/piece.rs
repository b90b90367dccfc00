//! A stretch of a file's content: a chunk or a hole.
//!
//! Pieces stand in their file's entry, or, where there are many, as the values of a map from offset to piece. Which bytes
//! make one is `file/cut.rs`'s to say.

use crate::base::ids::ChunkId;
use crate::base::limits::{CUT_BYTES_MAX, PIECES_INLINE_MAX};
use crate::file::field::{versioned, with_version, EntryError};
use serde::{Deserialize, Serialize};

/// A stretch of a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// Bytes.
    Chunk {
        /// The chunk that holds them.
        id: ChunkId,
        /// How many, from 1 to [`CUT_BYTES_MAX`].
        length: u32,
    },
    /// Zeros that take no room on the disk of a sparse file.
    Hole {
        /// How many, at least 1.
        length: u64,
    },
}

impl Piece {
    /// How many bytes of the file it is.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Chunk { length, .. } => u64::from(*length),
            Self::Hole { length } => *length,
        }
    }

    /// The piece as the value of a list of pieces.
    ///
    /// # Errors
    /// When it is empty or longer than a piece can be.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        self.check()?;
        with_version(self)
    }

    /// Reads what [`Piece::encode`] wrote.
    ///
    /// # Errors
    /// For any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let piece: Self = versioned(bytes)?;
        piece.check()?;
        Ok(piece)
    }

    /// Is its length possible?
    fn check(&self) -> Result<(), EntryError> {
        let possible = match self {
            Self::Chunk { length, .. } => {
                usize::try_from(*length).is_ok_and(|length| (1..=CUT_BYTES_MAX).contains(&length))
            }
            Self::Hole { length } => (1..=FILE_BYTES_MAX).contains(length),
        };
        if possible {
            Ok(())
        } else {
            Err(EntryError::Senseless("length of a piece"))
        }
    }
}

/// Does a file of at most the possible length come out of these pieces of its entry?
///
/// # Errors
/// Says what is wrong with them.
pub fn check_pieces(pieces: &[Piece]) -> Result<(), EntryError> {
    if pieces.is_empty() || pieces.len() > PIECES_INLINE_MAX {
        return Err(EntryError::Senseless("number of pieces"));
    }
    let mut size: u64 = 0;
    for piece in pieces {
        piece.check()?;
        size = size.saturating_add(piece.length());
    }
    if size > FILE_BYTES_MAX {
        return Err(EntryError::Senseless("sum of the pieces' lengths"));
    }
    Ok(())
}

/// Longest file that a 64-bit Linux can have (off_t).
const FILE_BYTES_MAX: u64 = i64::MAX.unsigned_abs();
