//! What is known of one file, directory or link: the value under its path in a tree.
//!
//! Its encoding is a version byte and postcard; whatever comes from outside is checked for sizes and for sense (only a
//! symbolic link has a target, names of attributes ascend, ...), so that the rest of the program need not. It does not
//! know where the entry lies: paths are in `file/tree.rs`. How small content is packed stands in `file/inline.rs`, pieces
//! of large content in `file/piece.rs`, extended attributes in `file/attributes.rs`, and what all these encodings have in
//! common in `file/field.rs`.

use crate::base::ids::ChunkId;
use crate::base::limits::{ATTRIBUTES_HERE_BYTES_MAX, ENTRY_BYTES_MAX, PIECES_INLINE_MAX, TARGET_BYTES_MAX};
use crate::base::version::Dot;
use crate::file::attributes::{self, check_attributes};
pub use crate::file::attributes::{decode_attributes, encode_attributes, AttributeList};
use crate::file::field;
pub use crate::file::field::EntryError;
pub use crate::file::inline::InlineCodec;
use crate::file::piece::check_pieces;
pub use crate::file::piece::Piece;
use serde::{Deserialize, Serialize};
use texture::Texture;

pub mod texture;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A file with content.
    File,
    /// A directory; what is in it are the entries below its path.
    Directory,
    /// A symbolic link, never followed.
    Symlink,
}

/// Where the content is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// There is none: a directory, or an empty file.
    None,
    /// In the tail of the map entry, packed by [`InlineCodec`].
    Inline,
    /// In these pieces, in order; at most [`PIECES_INLINE_MAX`].
    #[serde(deserialize_with = "field::list::<_, _, PIECES_INLINE_MAX>")]
    Pieces(Vec<Piece>),
    /// In pieces that a map of their own lists: offset (u64, big-endian) -> [`Piece`].
    List {
        /// Root of that map.
        root: ChunkId,
        /// How many pieces it has.
        pieces: u64,
    },
    /// A symbolic link points there: any bytes but NUL, 1 to [`TARGET_BYTES_MAX`].
    Target(#[serde(with = "field::bytes")] Vec<u8>),
}

/// What `stat` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stat {
    /// Bytes of content.
    pub size: u64,
    /// When content changed, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// When anything changed, nanoseconds since 1970; cannot be set, tells whether the file is still the same.
    pub ctime_ns: i64,
    /// Number within its file system; equal for hard links of one file.
    pub inode: u64,
    /// Permission bits with setuid, setgid and sticky: at most 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names that the file has.
    pub links: u32,
}

/// Extended attributes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attributes {
    /// Names and values, names ascending; at most [`ATTRIBUTES_HERE_BYTES_MAX`] encoded.
    #[serde(with = "attributes::pairs")]
    Here(AttributeList),
    /// In a chunk of their own, encoded by [`encode_attributes`].
    Away {
        /// That chunk.
        id: ChunkId,
    },
}

/// All that is known of one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// What `stat` says.
    pub stat: Stat,
    /// Extended attributes.
    pub attributes: Attributes,
    /// Where the content is.
    pub content: Content,
    /// The file changed while it was read: the content may be of no one moment.
    pub torn: bool,
    /// What the content of a file looks like.
    pub texture: Texture,
    /// Which change made it, in a shared folder; in a backup folder there is only one writer, and no need to tell.
    pub version: Option<Dot>,
}

impl Entry {
    /// The entry as the value of a tree.
    ///
    /// # Errors
    /// When the parts do not fit together, or there are too many of them.
    pub fn encode(&self) -> Result<Vec<u8>, EntryError> {
        self.check()?;
        let bytes = field::with_version(self)?;
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::TooLong);
        }
        Ok(bytes)
    }

    /// Reads what [`Entry::encode`] wrote.
    ///
    /// # Errors
    /// For any other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > ENTRY_BYTES_MAX {
            return Err(EntryError::TooLong);
        }
        let entry: Self = field::versioned(bytes)?;
        entry.check()?;
        Ok(entry)
    }

    /// Do the parts fit together?
    fn check(&self) -> Result<(), EntryError> {
        if self.stat.mode > MODE_MAX {
            return Err(EntryError::Senseless("mode"));
        }
        if let Attributes::Here(pairs) = &self.attributes {
            check_attributes(pairs, ATTRIBUTES_HERE_BYTES_MAX)?;
        }
        match (self.kind, &self.content) {
            (Kind::File, Content::Pieces(pieces)) => check_pieces(pieces),
            (Kind::Directory | Kind::File, Content::None)
            | (Kind::File, Content::Inline | Content::List { pieces: 1.., .. }) => Ok(()),
            (Kind::Symlink, Content::Target(target)) => check_target(target),
            _ => Err(EntryError::Senseless("content of another kind")),
        }
    }
}

/// Can a link point there?
fn check_target(target: &[u8]) -> Result<(), EntryError> {
    if target.is_empty() || target.len() > TARGET_BYTES_MAX || target.contains(&0) {
        return Err(EntryError::Senseless("target of a symbolic link"));
    }
    Ok(())
}

/// What a fuzzer calls: any bytes are an entry or are not, and an entry is what its encoding says.
///
/// # Panics
/// When they do neither, which is what the fuzzer looks for.
pub fn check_entry_bytes(bytes: &[u8]) {
    if let Ok(entry) = Entry::decode(bytes) {
        let again =
            entry.encode().expect("a decoded entry is sensible, and its shortest encoding is no longer");
        assert_eq!(Entry::decode(&again), Ok(entry), "an entry is what its encoding says");
    }
    if let Ok(piece) = Piece::decode(bytes) {
        let again = piece.encode().expect("a decoded piece is sensible");
        assert_eq!(Piece::decode(&again), Ok(piece), "a piece is what its encoding says");
    }
    if let Ok(pairs) = decode_attributes(bytes) {
        let again = encode_attributes(&pairs).expect("decoded attributes are sensible");
        assert_eq!(decode_attributes(&again), Ok(pairs), "attributes are what their encoding says");
    }
}

/// All permission bits with setuid, setgid and sticky.
const MODE_MAX: u32 = 0o7777;

#[cfg(test)]
mod tests;
