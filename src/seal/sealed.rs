//! Chunk <-> sealed chunk: the only place where content meets the cipher. Pure: keys come in, nothing is drawn at
//! random. Read [`super::layout`] (what is inside) and [`super::cipher`] (how it is sealed) first.
//!
//! ```text
//! sealed chunk:  format u8 = 1 | kind u8 | epoch id 8 | nonce 24 | ciphertext | tag 16
//! associated:    format u8     | kind u8 | vault id 32 | epoch id 8
//! ```
//!
//! Equal input gives equal bytes, so the devices of a vault share chunks; the chunk id is SHA-256 of all of them. Texts
//! in feed entries have the same head, kind 16, keys of their own, and their feed and sequence in the associated data:
//! a text cannot be moved to another entry.

use super::cipher::{Cipher, Epoch, NONCE_BYTES, TAG_BYTES};
use super::keys::FullKeys;
use super::layout::{padme, Layout, LayoutError, INNER_BYTES};
use crate::base::ids::{ChunkId, EpochId, FeedId, VaultId};
use crate::base::limits::{CUT_BYTES_MAX, SEALED_BYTES_MAX, SEALED_TEXT_BYTES_MAX};
use core::fmt;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What a chunk holds; part of what is authenticated, so that one cannot pass for another. Numbers are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ChunkKind {
    /// A piece of a file.
    Content = 1,
    /// A node of a tree.
    Tree = 2,
    /// A node of a long list of pieces.
    Pieces = 3,
    /// Large attributes of an entry.
    Attributes = 4,
}

/// A sealed chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// SHA-256 of the bytes.
    pub id: ChunkId,
    /// What is stored and sent, at most [`SEALED_BYTES_MAX`] bytes.
    pub bytes: Vec<u8>,
}

impl Sealed {
    /// Whether it was compressed, when it holds so many bytes: padding may hide a little that was saved.
    #[must_use]
    pub fn shrinks(&self, length: usize) -> bool {
        self.bytes.len() < HEAD_BYTES + padme(INNER_BYTES + length) + TAG_BYTES
    }
}

/// Why something cannot be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealError {
    /// The parts together have this many bytes, more than a chunk may.
    TooLong(usize),
}

/// Why sealed bytes cannot be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// Too short or too long to be sealed bytes.
    Length(usize),
    /// A format that this program does not know.
    Format(u8),
    /// Another kind than was asked for.
    Kind(u8),
    /// Sealed under a content key that this node does not have.
    Epoch(EpochId),
    /// Not what was sealed: damaged, or forged, or of another vault or place.
    Forged,
    /// Authentic, but not laid out as it must be: the part at fault.
    Layout(&'static str),
}

/// Seals and opens for one vault. Keeps its compression contexts and buffers from chunk to chunk, about 3 MiB, until it rests.
pub struct Sealer {
    /// The vault, part of what is authenticated.
    vault: VaultId,
    /// The ciphers by epoch; the last one seals.
    epochs: Vec<Epoch>,
    /// The key of fingerprints.
    fingerprint: Zeroizing<[u8; 32]>,
    /// Packs and compresses.
    layout: Layout,
    /// Where chunks are opened.
    opened: Vec<u8>,
    /// Bytes of content sealed so far.
    content_bytes: u64,
}

impl Sealer {
    /// For the vault of these keys.
    ///
    /// # Panics
    /// If the keys hold no content key, which [`FullKeys`] excludes.
    #[must_use]
    pub fn new(keys: &FullKeys) -> Self {
        assert!(!keys.content.is_empty(), "full keys hold at least one content key");
        Self {
            vault: keys.vault,
            epochs: keys.content.iter().map(|(id, key)| Epoch::new(*id, key)).collect(),
            fingerprint: Zeroizing::new(keys.fingerprint),
            layout: Layout::new(),
            opened: Vec::new(),
            content_bytes: 0,
        }
    }

    /// Bytes of files' content that were sealed so far, before they were compressed.
    #[must_use]
    pub const fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// Nothing will be sealed or opened for a while: gives up contexts and buffers. They are made anew when they are wanted.
    pub fn rest(&mut self) {
        self.layout = Layout::new();
        self.opened = Vec::new();
    }

    /// Takes the content keys as they are now; buffers stay.
    pub fn renew(&mut self, keys: &FullKeys) {
        assert!(!keys.content.is_empty(), "full keys hold at least one content key");
        self.epochs = keys.content.iter().map(|(id, key)| Epoch::new(*id, key)).collect();
    }

    /// Whether there are keys that seal no more: content that they sealed has another id when it is sealed now.
    #[must_use]
    pub fn has_older_keys(&self) -> bool {
        self.epochs.len() > 1
    }

    /// Seals a chunk: `compress` is compressed as a whole where that is worth it, `follow` stays as it is.
    ///
    /// # Errors
    /// [`SealError::TooLong`]
    pub fn seal(&mut self, kind: ChunkKind, compress: &[u8], follow: &[u8]) -> Result<Sealed, SealError> {
        let length = compress.len().saturating_add(follow.len());
        if length > CUT_BYTES_MAX {
            return Err(SealError::TooLong(length));
        }
        if matches!(kind, ChunkKind::Content) {
            self.content_bytes += u64::try_from(length).unwrap_or(0);
        }
        let epoch = self.epochs.last().expect("a sealer has at least one epoch");
        let mut bytes = self.layout.pack(HEAD_BYTES, TAG_BYTES, compress, follow);
        write_head(&mut bytes, kind as u8, &epoch.id);
        epoch.chunk.seal(&associated(kind as u8, &self.vault, &epoch.id), &mut bytes, HEAD_BYTES);
        Ok(Sealed { id: chunk_id(&bytes), bytes })
    }

    /// Opens a chunk: gives both parts, one after the other, at most [`CUT_BYTES_MAX`] bytes. Total.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(&mut self, kind: ChunkKind, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        if sealed.len() > SEALED_BYTES_MAX {
            return Err(OpenError::Length(sealed.len()));
        }
        let head = Head::read(sealed, kind as u8)?;
        let epoch = find_epoch(&self.epochs, &head.epoch)?;
        let associated = associated(kind as u8, &self.vault, &epoch.id);
        self.opened.clear();
        self.opened.extend_from_slice(head.rest);
        epoch.chunk.open(&associated, head.nonce, &mut self.opened).map_err(|_| OpenError::Forged)?;
        self.layout.unpack(&self.opened).map_err(OpenError::from)
    }

    /// The fingerprint of plain content: tells, to who holds the key, whether content was sealed before.
    #[must_use]
    pub fn fingerprint(&self, plain: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.fingerprint, plain).as_bytes()
    }

    /// Seals a text for the entry at this place of this feed; what is longer than [`SEALED_TEXT_BYTES_MAX`] bytes
    /// sealed, no entry takes.
    #[must_use]
    pub fn seal_text(&self, feed: &FeedId, sequence: u64, plain: &[u8]) -> Vec<u8> {
        let epoch = self.epochs.last().expect("a sealer has at least one epoch");
        let length = u64::try_from(plain.len()).expect("a length in memory fits 64 bits");
        let inner = padded_text(plain.len());
        let mut bytes = Vec::with_capacity(HEAD_BYTES + inner + TAG_BYTES);
        bytes.resize(HEAD_BYTES, 0);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(plain);
        bytes.resize(HEAD_BYTES + inner, 0);
        write_head(&mut bytes, TEXT, &epoch.id);
        let associated = self.associated_text(&epoch.id, feed, sequence);
        epoch.text.seal(&associated, &mut bytes, HEAD_BYTES);
        bytes
    }

    /// Opens a text of the entry at this place of this feed. Total.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open_text(&self, feed: &FeedId, sequence: u64, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        if sealed.len() > SEALED_TEXT_BYTES_MAX {
            return Err(OpenError::Length(sealed.len()));
        }
        let head = Head::read(sealed, TEXT)?;
        let epoch = find_epoch(&self.epochs, &head.epoch)?;
        let mut inner = head.rest.to_vec();
        let cipher: &Cipher = &epoch.text;
        cipher
            .open(&self.associated_text(&epoch.id, feed, sequence), head.nonce, &mut inner)
            .map_err(|_| OpenError::Forged)?;
        let (length, text) = inner.split_first_chunk::<8>().ok_or(OpenError::Layout("a length"))?;
        let length =
            usize::try_from(u64::from_le_bytes(*length)).map_err(|_| OpenError::Layout("a length"))?;
        let (text, padding) = text.split_at_checked(length).ok_or(OpenError::Layout("a length"))?;
        if inner.len() != padded_text(length) || padding.iter().any(|byte| *byte != 0) {
            return Err(OpenError::Layout("the padding"));
        }
        Ok(text.to_vec())
    }

    /// The associated data of a text.
    fn associated_text(&self, epoch: &EpochId, feed: &FeedId, sequence: u64) -> Vec<u8> {
        let head = associated(TEXT, &self.vault, epoch);
        [&head, feed.node.as_bytes().as_slice(), &feed.random, &sequence.to_le_bytes()].concat()
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Sealer({}, {} epochs)", self.vault.short(), self.epochs.len())
    }
}

/// The id of a chunk: SHA-256 of its sealed bytes (or of a manifest node's plain ones).
#[must_use]
pub fn chunk_id(bytes: &[u8]) -> ChunkId {
    ChunkId::from_bytes(Sha256::digest(bytes).into())
}

/// The head of sealed bytes, and what follows it.
struct Head<'a> {
    /// Which content key.
    epoch: EpochId,
    /// Which nonce.
    nonce: &'a [u8; NONCE_BYTES],
    /// Ciphertext and tag.
    rest: &'a [u8],
}

impl<'a> Head<'a> {
    /// Reads the head of bytes that shall be of this kind.
    fn read(sealed: &'a [u8], kind: u8) -> Result<Self, OpenError> {
        let too_short = OpenError::Length(sealed.len());
        let (&[format, found], rest) = sealed.split_first_chunk().ok_or(too_short)?;
        let (epoch, rest) = rest.split_first_chunk().ok_or(too_short)?;
        let (nonce, rest) = rest.split_first_chunk().ok_or(too_short)?;
        if format != FORMAT {
            return Err(OpenError::Format(format));
        }
        if found != kind {
            return Err(OpenError::Kind(found));
        }
        if rest.len() <= TAG_BYTES {
            return Err(too_short);
        }
        Ok(Self { epoch: EpochId::from_bytes(*epoch), nonce, rest })
    }
}

/// Writes the head into its place, all but the nonce.
fn write_head(bytes: &mut [u8], kind: u8, epoch: &EpochId) {
    bytes[0] = FORMAT;
    bytes[1] = kind;
    bytes[2..10].copy_from_slice(epoch.as_bytes());
}

/// What is authenticated beside the text.
fn associated(kind: u8, vault: &VaultId, epoch: &EpochId) -> [u8; 42] {
    let mut bytes = [0; 42];
    bytes[0] = FORMAT;
    bytes[1] = kind;
    bytes[2..34].copy_from_slice(vault.as_bytes());
    bytes[34..].copy_from_slice(epoch.as_bytes());
    bytes
}

/// The epoch with this id; the newest are asked first.
fn find_epoch<'a>(epochs: &'a [Epoch], id: &EpochId) -> Result<&'a Epoch, OpenError> {
    epochs.iter().rev().find(|epoch| epoch.id == *id).ok_or(OpenError::Epoch(*id))
}

/// The padded length of a text with its length: short names all look alike.
fn padded_text(length: usize) -> usize {
    padme((length + 8).max(TEXT_BYTES_MIN))
}

/// The format that this program writes and reads.
const FORMAT: u8 = 1;

/// The kind of texts in feed entries.
const TEXT: u8 = 16;

/// Texts are padded to at least this length, in bytes.
const TEXT_BYTES_MIN: usize = 128;

/// Length of the head: format, kind, epoch id, nonce.
const HEAD_BYTES: usize = 2 + EpochId::SIZE + NONCE_BYTES;

const _: () =
    assert!(CUT_BYTES_MAX + CUT_BYTES_MAX / 32 + INNER_BYTES + HEAD_BYTES + TAG_BYTES <= SEALED_BYTES_MAX);

impl From<LayoutError> for OpenError {
    fn from(error: LayoutError) -> Self {
        Self::Layout(match error {
            LayoutError::Lengths => "a length",
            LayoutError::Padding => "the padding",
            LayoutError::Compression => "the compressed part",
        })
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(bytes) => write!(formatter, "{bytes} bytes are more than a chunk may hold"),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(bytes) => write!(formatter, "{bytes} bytes cannot be a sealed chunk"),
            Self::Format(format) => {
                write!(
                    formatter,
                    "the chunk has format {format}, which this program does not know: update nuthatch"
                )
            }
            Self::Kind(kind) => {
                write!(formatter, "the chunk is of another kind ({kind}) than its place says")
            }
            Self::Epoch(epoch) => {
                write!(
                    formatter,
                    "the content key {epoch} is missing: connect to another full node to be given it"
                )
            }
            Self::Forged => formatter.write_str("the chunk is not what was sealed: it is damaged or forged"),
            Self::Layout(part) => {
                write!(formatter, "the chunk is authentic but {part} in it is wrong: its writer is broken")
            }
        }
    }
}

impl std::error::Error for SealError {}
impl std::error::Error for OpenError {}

#[cfg(test)]
mod tests;
