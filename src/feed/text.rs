//! What entries say to key holders only: texts that are sealed into them. Their plain form is a version byte and postcard, bounded while
//! decoded.

use super::body::{bytes, exactly, globs, name};
use super::error::FeedError;
use crate::base::ids::ChunkId;
use crate::base::limits::{DIRECTORY_BYTES_MAX, NOTE_BYTES_MAX};
use crate::base::version::Vector;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// What only key holders may know of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderText {
    /// What people call it.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// Where it lies on the writer's disk.
    #[serde(deserialize_with = "bytes::<_, DIRECTORY_BYTES_MAX>")]
    pub directory: Vec<u8>,
    /// What is left out, in gitignore syntax.
    #[serde(deserialize_with = "globs")]
    pub ignore: Vec<String>,
    /// Whether other file systems mounted below it are left out.
    pub one_file_system: bool,
    /// How many snapshots its writer keeps: last, hourly, daily, weekly, monthly, yearly (`file/retain.rs`).
    pub keep: [u16; 6],
    /// Of a shared folder: what this device does with changes.
    pub mode: Mode,
    /// Files of more bytes than that are left out; at least 1 (`FolderText::encode` writes it).
    #[serde(skip)]
    pub max_size: Option<u64>,
}

/// What a device does with the changes of a shared folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Its own go to the others, and theirs come here.
    #[default]
    Both,
    /// Its own go to the others; nothing of theirs is written here.
    Send,
    /// Theirs come here; what is changed here stays here, under another name.
    Receive,
}

impl Mode {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Send => "send",
            Self::Receive => "receive",
        }
    }

    /// The mode that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Both, Self::Send, Self::Receive].into_iter().find(|mode| mode.word() == word)
    }
}

/// What only key holders may know of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotText {
    /// The root of the tree.
    pub tree: ChunkId,
    /// What could not be kept: sockets, devices, unreadable files.
    pub skipped: u64,
    /// Files that changed while they were read.
    pub torn: u64,
    /// Of a shared folder: what else its writer knows.
    pub shared: Option<SharedText>,
}

/// What a device knows of a shared folder besides the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedText {
    /// The root of its applied map: what stands on its own disk. Its nodes are listed in the snapshot's manifest.
    pub applied: ChunkId,
    /// The changes that it has seen.
    pub seen: Vector,
}

/// A note to the household.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteText {
    /// What a person wrote: any characters, at most [`NOTE_BYTES_MAX`] bytes.
    #[serde(deserialize_with = "note")]
    pub text: String,
}

/// Begins a text before it is sealed.
const TEXT_VERSION: u8 = 1;

/// Gives a text its plain form: the version byte, then postcard.
macro_rules! text {
    ($name:ident) => {
        impl $name {
            /// The plain bytes that are sealed into the entry.
            ///
            /// # Errors
            /// [`FeedError::Malformed`] when a part is beyond its bound.
            pub fn encode(&self) -> Result<Vec<u8>, FeedError> {
                let bytes = postcard::to_extend(self, vec![TEXT_VERSION])
                    .map_err(|_| FeedError::Malformed("a text that cannot be encoded"))?;
                Self::decode(&bytes).map(|_| bytes)
            }

            /// Reads what [`Self::encode`] wrote; total.
            ///
            /// # Errors
            /// [`FeedError::Version`] or [`FeedError::Malformed`].
            pub fn decode(bytes: &[u8]) -> Result<Self, FeedError> {
                match bytes.split_first() {
                    Some((&TEXT_VERSION, rest)) => exactly(rest, "a sealed text"),
                    Some((&version, _)) => Err(FeedError::Version(version)),
                    None => Err(FeedError::Malformed("an empty text")),
                }
            }
        }
    };
}

text!(SnapshotText);
text!(NoteText);

/// Begins a [`FolderText`] behind which the greatest size of its files stands.
const LIMITED_VERSION: u8 = 2;

impl FolderText {
    /// The plain bytes that are sealed into the entry. Without a greatest size they are as they were before there was one, so
    /// that older programs read them.
    ///
    /// # Errors
    /// [`FeedError::Malformed`] when a part is beyond its bound.
    pub fn encode(&self) -> Result<Vec<u8>, FeedError> {
        let bytes = match self.max_size {
            None => postcard::to_extend(self, vec![TEXT_VERSION]),
            Some(most) => postcard::to_extend(&(self, most), vec![LIMITED_VERSION]),
        };
        let bytes = bytes.map_err(|_| FeedError::Malformed("a text that cannot be encoded"))?;
        Self::decode(&bytes).map(|_| bytes)
    }

    /// Reads what [`Self::encode`] wrote; total.
    ///
    /// # Errors
    /// [`FeedError::Version`] or [`FeedError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FeedError> {
        match bytes.split_first() {
            Some((&LIMITED_VERSION, rest)) => match exactly(rest, "a sealed text")? {
                (_, 0) => Err(FeedError::Malformed("a folder in which no file may have any content")),
                (text, most) => Ok(Self { max_size: Some(most), ..text }),
            },
            Some((&TEXT_VERSION, rest)) => exactly(rest, "a sealed text"),
            Some((&version, _)) => Err(FeedError::Version(version)),
            None => Err(FeedError::Malformed("an empty text")),
        }
    }
}

/// A note's text, bounded.
fn note<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = <&str>::deserialize(deserializer)?;
    if text.len() > NOTE_BYTES_MAX {
        return Err(D::Error::custom("too long"));
    }
    Ok(text.to_owned())
}
