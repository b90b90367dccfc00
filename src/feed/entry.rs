//! One feed entry: signed bytes <-> [`Entry`]. It owns the wire form, the kind numbers and the signature; it judges
//! neither order ([`super::chain`]) nor right ([`super::roster`], [`super::view`]). Read [`super::body`] for what
//! entries say.
//!
//! ```text
//! version u8 = 1 | envelope (postcard): node 32, random 8, sequence varint, previous 32, wall zigzag varint,
//!                  kind u8, body length varint, body | Ed25519 signature 64 (RFC 8032)
//! ```
//!
//! The signature covers [`SIGNED_CONTEXT`] and all bytes before itself, so it means nothing elsewhere; the hash is
//! SHA-256 of all bytes, the signature included. Both are taken over the bytes as received: postcard's varints are not
//! unique, so an entry is never encoded anew to check it. The body has a length of its own, so that entries of unknown
//! kinds can be kept and chained.

use super::body::exactly;
use crate::base::ids::{EntryHash, FeedId, NodeId, SnapshotId};
use crate::base::limits::FEED_ENTRY_BYTES_MAX;
use crate::base::units::WallTime;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use super::body::{
    Admit, Alert, Begin, Checkpoint, Counts, Describe, FolderEntry, FolderKind, GroupSet, Head, Note,
    Receipt, Release, Remove, Role, SnapshotEntry, Standing,
};
pub use super::erase::{Erase, Erased};
pub use super::error::FeedError;
pub use super::key::{KeyEntry, Wrap};
pub use super::leave::Leave;
pub use super::text::{FolderText, Mode, NoteText, SharedText, SnapshotText};

/// One entry of a feed, without its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The feed that it belongs to; its node is the author.
    pub feed: FeedId,
    /// Its place in the feed, from 0.
    pub sequence: u64,
    /// Hash of the entry before; all zeros exactly for the first.
    pub previous: EntryHash,
    /// When it was written: a label.
    pub wall: WallTime,
    /// What it says.
    pub body: Body,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A node becomes a member.
    Admit(Admit),
    /// A node is a member no more.
    Remove(Remove),
    /// The content key of an epoch.
    Key(KeyEntry),
    /// The author speaks of itself.
    Describe(Describe),
    /// A folder as its writer wants it.
    Folder(FolderEntry),
    /// A folder at one moment.
    Snapshot(SnapshotEntry),
    /// What of a feed still stands.
    Checkpoint(Checkpoint),
    /// What the author holds.
    Receipt(Receipt),
    /// What the author's receipts no longer cover.
    Release(Release),
    /// A word to the household.
    Note(Note),
    /// Something to look at.
    Alert(Alert),
    /// The feed follows an older one.
    Begin(Begin),
    /// Retired snapshots go at once.
    Erase(Erase),
    /// A member is about to be removed.
    Leave(Leave),
    /// A kind that this version does not understand: kept and chained, void.
    Reserved {
        /// Its number.
        kind: u8,
        /// Its body as received.
        bytes: Vec<u8>,
    },
}

/// Numbers of the kinds on the wire. They are never reused; a new kind takes the next one.
///
/// Reserved, without a meaning in this version: Confirm 13, User 14.
pub mod kind {
    /// [`super::Body::Admit`]
    pub const ADMIT: u8 = 1;
    /// [`super::Body::Remove`]
    pub const REMOVE: u8 = 2;
    /// [`super::Body::Key`]
    pub const KEY: u8 = 3;
    /// [`super::Body::Describe`]
    pub const DESCRIBE: u8 = 4;
    /// [`super::Body::Folder`]
    pub const FOLDER: u8 = 5;
    /// [`super::Body::Snapshot`]
    pub const SNAPSHOT: u8 = 6;
    /// [`super::Body::Checkpoint`]
    pub const CHECKPOINT: u8 = 7;
    /// [`super::Body::Receipt`]
    pub const RECEIPT: u8 = 8;
    /// [`super::Body::Release`]
    pub const RELEASE: u8 = 9;
    /// [`super::Body::Note`]
    pub const NOTE: u8 = 10;
    /// [`super::Body::Alert`]
    pub const ALERT: u8 = 11;
    /// [`super::Body::Erase`]
    pub const ERASE: u8 = 12;
    /// A person's answer: reserved.
    pub const CONFIRM: u8 = 13;
    /// A person of the household: reserved.
    pub const USER: u8 = 14;
    /// [`super::Body::Begin`]
    pub const BEGIN: u8 = 15;
    /// [`super::Body::Leave`]
    pub const LEAVE: u8 = 16;
}

/// Encodes and signs an entry.
///
/// # Errors
/// [`FeedError::Author`] when the key is not the feed's; [`FeedError::Malformed`] or [`FeedError::TooLong`] when a part
/// is beyond its bound, so that nothing is signed that others would refuse.
pub fn sign(entry: &Entry, key: &SigningKey) -> Result<Vec<u8>, FeedError> {
    if author_of(key.verifying_key().as_bytes()) != entry.feed.node {
        return Err(FeedError::Author);
    }
    let (kind, body) =
        encode_body(&entry.body).map_err(|_| FeedError::Malformed("a body that cannot be encoded"))?;
    let envelope = Envelope {
        feed: entry.feed,
        sequence: entry.sequence,
        previous: entry.previous,
        wall: entry.wall,
        kind,
        body: &body,
    };
    let mut bytes = postcard::to_extend(&envelope, vec![VERSION])
        .map_err(|_| FeedError::Malformed("an envelope that cannot be encoded"))?;
    let signature = key.sign(&signed_text(&bytes));
    bytes.extend_from_slice(&signature.to_bytes());
    decode(&bytes).map(|_| bytes)
}

/// Reads an entry without checking its signature. Total: any bytes give an entry or an error, and what is allocated is
/// bounded by the input's length.
///
/// # Errors
/// [`FeedError::TooLong`], [`FeedError::Version`] or [`FeedError::Malformed`].
pub fn decode(bytes: &[u8]) -> Result<Entry, FeedError> {
    // Of a later version nothing is known, not how long it may be either.
    if let Some(version) = bytes.first().filter(|version| **version != VERSION) {
        return Err(FeedError::Version(*version));
    }
    if bytes.len() > FEED_ENTRY_BYTES_MAX {
        return Err(FeedError::TooLong(bytes.len()));
    }
    let (signed, _) = split(bytes)?;
    let Some((_, rest)) = signed.split_first() else { return Err(FeedError::Malformed("the version")) };
    let envelope: Envelope<'_> = exactly(rest, "the envelope")?;
    if (envelope.sequence == 0) != (envelope.previous == NO_ENTRY) {
        return Err(FeedError::Malformed("only the first entry follows none"));
    }
    Ok(Entry {
        feed: envelope.feed,
        sequence: envelope.sequence,
        previous: envelope.previous,
        wall: envelope.wall,
        body: decode_body(envelope.kind, envelope.body)?,
    })
}

/// Reads an entry and checks that the holder of `public` signed it as its author.
///
/// # Errors
/// As [`decode`]; [`FeedError::Author`] and [`FeedError::Signature`].
pub fn verify(bytes: &[u8], public: &[u8; 32]) -> Result<Entry, FeedError> {
    let entry = decode(bytes)?;
    check_signature(bytes, &entry, public)?;
    Ok(entry)
}

/// Checks the signature of bytes that were decoded to `entry`.
pub(super) fn check_signature(bytes: &[u8], entry: &Entry, public: &[u8; 32]) -> Result<(), FeedError> {
    if author_of(public) != entry.feed.node {
        return Err(FeedError::Author);
    }
    let (signed, signature) = split(bytes)?;
    let is_signed = is_signed_by(public, &signed_text(signed), signature);
    is_signed.then_some(()).ok_or(FeedError::Signature)
}

/// Whether the holder of `public` has signed this text.
#[cfg(not(test))]
pub(super) fn is_signed_by(public: &[u8; 32], text: &[u8], signature: &[u8; 64]) -> bool {
    verify_strict(public, text, signature)
}

/// The same, and nodes that are simulated in one thread look once for all of them: it follows from these bytes alone.
#[cfg(test)]
pub(super) fn is_signed_by(public: &[u8; 32], text: &[u8], signature: &[u8; 64]) -> bool {
    thread_local! {
        static KNOWN: std::cell::RefCell<std::collections::BTreeMap<[u8; 32], bool>> = const {
            std::cell::RefCell::new(std::collections::BTreeMap::new())
        };
    }
    let question = blake3::keyed_hash(public, &[signature, text].concat()).into();
    KNOWN.with_borrow_mut(|known| {
        if known.len() >= 4_096 {
            known.clear();
        }
        *known.entry(question).or_insert_with(|| verify_strict(public, text, signature))
    })
}

/// Ed25519, without what is ambiguous in it.
fn verify_strict(public: &[u8; 32], text: &[u8], signature: &[u8; 64]) -> bool {
    let signature = Signature::from_bytes(signature);
    VerifyingKey::from_bytes(public).is_ok_and(|key| key.verify_strict(text, &signature).is_ok())
}

/// The hash that names an entry: SHA-256 of its signed bytes.
#[must_use]
pub fn hash(bytes: &[u8]) -> EntryHash {
    EntryHash::from_bytes(Sha256::digest(bytes).into())
}

/// The node whose feeds this signing key signs; for the root key, the vault's id read as a node.
#[must_use]
pub fn author_of(public: &[u8; 32]) -> NodeId {
    NodeId::from_bytes(Sha256::digest(public).into())
}

/// The id of the snapshot that the entry with this hash states.
#[must_use]
pub const fn snapshot_id(hash: &EntryHash) -> SnapshotId {
    SnapshotId::from_bytes(*hash.as_bytes())
}

/// What stands before the first entry of a feed.
pub const NO_ENTRY: EntryHash = EntryHash::from_bytes([0; 32]);

/// What is signed before the bytes of the entry.
pub const SIGNED_CONTEXT: &[u8] = b"nuthatch feed entry\0";

/// The version that this program writes and reads.
const VERSION: u8 = 1;

/// Length of the signature at the end, in bytes.
const SIGNATURE_BYTES: usize = 64;

/// What is signed, after the version byte.
#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    /// The feed.
    feed: FeedId,
    /// Place in the feed.
    sequence: u64,
    /// Hash of the entry before.
    previous: EntryHash,
    /// Label.
    wall: WallTime,
    /// Number of the kind.
    kind: u8,
    /// The body, in the kind's own form.
    body: &'a [u8],
}

/// The signed part and the signature.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8; SIGNATURE_BYTES]), FeedError> {
    bytes.split_last_chunk().ok_or(FeedError::Malformed("shorter than a signature"))
}

/// The bytes that go into the signature.
fn signed_text(bytes: &[u8]) -> Vec<u8> {
    [SIGNED_CONTEXT, bytes].concat()
}

/// The kind number and the encoded body.
fn encode_body(body: &Body) -> postcard::Result<(u8, Vec<u8>)> {
    Ok(match body {
        Body::Admit(admit) => (kind::ADMIT, postcard::to_stdvec(admit)?),
        Body::Remove(remove) => (kind::REMOVE, postcard::to_stdvec(remove)?),
        Body::Key(key) => (kind::KEY, postcard::to_stdvec(key)?),
        Body::Describe(describe) => (kind::DESCRIBE, postcard::to_stdvec(describe)?),
        Body::Folder(folder) => (kind::FOLDER, postcard::to_stdvec(folder)?),
        Body::Snapshot(snapshot) => (kind::SNAPSHOT, postcard::to_stdvec(snapshot)?),
        Body::Checkpoint(checkpoint) => (kind::CHECKPOINT, postcard::to_stdvec(checkpoint)?),
        Body::Receipt(receipt) => (kind::RECEIPT, postcard::to_stdvec(receipt)?),
        Body::Release(release) => (kind::RELEASE, postcard::to_stdvec(release)?),
        Body::Note(note) => (kind::NOTE, postcard::to_stdvec(note)?),
        Body::Alert(alert) => (kind::ALERT, postcard::to_stdvec(alert)?),
        Body::Begin(begin) => (kind::BEGIN, postcard::to_stdvec(begin)?),
        Body::Erase(erase) => (kind::ERASE, postcard::to_stdvec(erase)?),
        Body::Leave(leave) => (kind::LEAVE, postcard::to_stdvec(leave)?),
        Body::Reserved { kind, bytes } => (*kind, bytes.clone()),
    })
}

/// The body of a kind; kinds that this version does not understand are kept as they are.
fn decode_body(number: u8, bytes: &[u8]) -> Result<Body, FeedError> {
    Ok(match number {
        kind::ADMIT => Body::Admit(exactly(bytes, "an Admit")?),
        kind::REMOVE => Body::Remove(exactly(bytes, "a Remove")?),
        kind::KEY => Body::Key(exactly(bytes, "a Key")?),
        kind::DESCRIBE => Body::Describe(exactly(bytes, "a Describe")?),
        kind::FOLDER => Body::Folder(exactly(bytes, "a Folder")?),
        kind::SNAPSHOT => Body::Snapshot(exactly(bytes, "a Snapshot")?),
        kind::CHECKPOINT => Body::Checkpoint(exactly(bytes, "a Checkpoint")?),
        kind::RECEIPT => Body::Receipt(exactly(bytes, "a Receipt")?),
        kind::RELEASE => Body::Release(exactly(bytes, "a Release")?),
        kind::NOTE => Body::Note(exactly(bytes, "a Note")?),
        kind::ALERT => Body::Alert(exactly(bytes, "an Alert")?),
        kind::BEGIN => Body::Begin(exactly(bytes, "a Begin")?),
        kind::ERASE => Body::Erase(exactly(bytes, "an Erase")?),
        kind::LEAVE => Body::Leave(exactly(bytes, "a Leave")?),
        _ => Body::Reserved { kind: number, bytes: bytes.to_vec() },
    })
}
