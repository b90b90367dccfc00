//! What entries can say: one type a kind, with its bounds. Numbers of kinds, versions and signatures are [`super::entry`]'s
//! business. It knows no key: sealed texts are opaque bytes here.
//! The types are the wire form (postcard, in order): what needs other fields takes a new kind number. All is bounded while decoded.

use super::error::FeedError;
pub use super::groups::GroupSet;
use crate::base::ids::{ChunkId, EntryHash, FeedId, FolderId, NodeId, SnapshotId};
use crate::base::limits::{
    ADDRESSES_MAX, ALERT_ABOUT_BYTES_MAX, CHECKPOINT_STANDING_MAX, GLOB_BYTES_MAX, IGNORE_GLOBS_MAX,
    NAME_BYTES_MAX, REMOVE_HEADS_MAX, SEALED_TEXT_BYTES_MAX,
};
use crate::base::units::{Copies, WallTime};
use core::{fmt, marker::PhantomData};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::net::SocketAddr;

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Role {
    /// Holds the content key, reads, writes folders, admits and removes.
    Full,
    /// Holds sealed bytes; reads nothing.
    Store,
}

/// A node becomes a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admit {
    /// Its public signing key; the node id is SHA-256 of this.
    pub signing: [u8; 32],
    /// Its public channel key (X25519).
    pub channel: [u8; 32],
    /// What it may do.
    pub role: Role,
    /// What people call it until it describes itself.
    #[serde(deserialize_with = "name")]
    pub name: String,
}

/// A node is a member no more, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remove {
    /// Who.
    pub node: NodeId,
    /// How far its feeds count; a feed that is not named counts not at all.
    #[serde(deserialize_with = "items::<_, _, REMOVE_HEADS_MAX>")]
    pub heads: Vec<Head>,
}

/// How far a feed is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Head {
    /// Which feed.
    pub feed: FeedId,
    /// How many entries.
    pub length: u64,
    /// Hash of the last of them; all zeros if there is none.
    pub hash: EntryHash,
}

/// A node speaks of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Describe {
    /// What people call it.
    #[serde(deserialize_with = "name")]
    pub name: String,
    /// The place that it can burn down with.
    #[serde(deserialize_with = "name")]
    pub site: String,
    /// How much it offers to hold, in bytes; zero: it is never a holder.
    pub capacity_bytes: u64,
    /// It takes no more: placement goes round it until it says otherwise.
    pub is_full: bool,
    /// Where it may be reached.
    #[serde(deserialize_with = "items::<_, _, ADDRESSES_MAX>")]
    pub addresses: Vec<SocketAddr>,
    /// The version of its program.
    #[serde(deserialize_with = "name")]
    pub version: String,
}

/// Who writes a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum FolderKind {
    /// One device.
    Backup,
    /// Every device.
    Shared,
}

/// A folder as its writer wants it; the latest entry replaces those before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderEntry {
    /// Which folder.
    pub folder: FolderId,
    /// Who writes it.
    pub kind: FolderKind,
    /// How many devices shall hold each chunk.
    #[serde(deserialize_with = "copies")]
    pub copies: Copies,
    /// Whether it is given up; its snapshots stay until they are retired.
    pub removed: bool,
    /// A sealed [`super::text::FolderText`].
    #[serde(deserialize_with = "bytes::<_, SEALED_TEXT_BYTES_MAX>")]
    pub sealed: Vec<u8>,
}

/// A folder at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotEntry {
    /// Which folder.
    pub folder: FolderId,
    /// The root of the set of chunks that it needs.
    pub manifest: ChunkId,
    /// The snapshot before it.
    pub parent: Option<SnapshotId>,
    /// How many devices shall hold each chunk.
    #[serde(deserialize_with = "copies")]
    pub copies: Copies,
    /// When the scan began: a label.
    pub taken: WallTime,
    /// Whether the scan reached its end; a partial one has a beginning of the folder, and lists all that was stored so far.
    pub complete: bool,
    /// How much it is.
    pub counts: Counts,
    /// A sealed [`super::text::SnapshotText`].
    #[serde(deserialize_with = "bytes::<_, SEALED_TEXT_BYTES_MAX>")]
    pub sealed: Vec<u8>,
}

/// How much a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Files, symbolic links included.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Plain content, in bytes.
    pub bytes: u64,
    /// Chunks in the manifest.
    pub chunks: u64,
    /// Sealed by this snapshot and not there before, in bytes.
    pub stored_bytes: u64,
    /// Chunks in the manifest that the tree no longer needs.
    pub stale: u64,
}

/// What of a feed still stands: of the snapshots from `from` to the end of `until`, those that it does not list are
/// retired. Of several that speak of one snapshot the highest `version` decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Which feed, and how far: it means something only to who has exactly this entry there.
    pub until: Head,
    /// It says nothing of entries before this place.
    pub from: u64,
    /// One more than the highest that its author knew for this feed.
    pub version: u64,
    /// Snapshots that stand.
    #[serde(deserialize_with = "items::<_, _, CHECKPOINT_STANDING_MAX>")]
    pub standing: Vec<Standing>,
}

/// A snapshot that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Its place in the feed.
    pub sequence: u64,
    /// A person wants it to stay: no retention policy retires it.
    pub held: bool,
}

/// "I hold, synced, all chunks of this snapshot in these groups."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Which snapshot.
    pub snapshot: SnapshotId,
    /// Which groups of it; several receipts for one snapshot add up.
    pub groups: GroupSet,
}

/// "From now on my receipts count for nothing in these groups."
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Which snapshot; none: every one that the feed has receipted so far.
    pub snapshot: Option<SnapshotId>,
    /// Which groups.
    pub groups: GroupSet,
}

/// A word to the household.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// A sealed text.
    #[serde(deserialize_with = "bytes::<_, SEALED_TEXT_BYTES_MAX>")]
    pub sealed: Vec<u8>,
}

/// Something that people should look at, as a code, since store nodes can seal nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What happened.
    pub code: u16,
    /// To what: the bytes of an id, as the code says.
    #[serde(deserialize_with = "bytes::<_, ALERT_ABOUT_BYTES_MAX>")]
    pub about: Vec<u8>,
}

/// The first entry of a feed whose writer had one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// The feed that this one follows, as far as the writer knew it.
    pub predecessor: Option<Head>,
}

/// Decodes all of `bytes`; a rest is an error, since postcard alone would ignore it.
pub(super) fn exactly<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    part: &'static str,
) -> Result<T, FeedError> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        _ => Err(FeedError::Malformed(part)),
    }
}

/// A byte string of at most `MAX` bytes.
pub(super) fn bytes<'de, D: Deserializer<'de>, const MAX: usize>(
    deserializer: D,
) -> Result<Vec<u8>, D::Error> {
    let bytes = <&[u8]>::deserialize(deserializer)?;
    if bytes.len() > MAX {
        return Err(D::Error::custom("too long"));
    }
    Ok(bytes.to_vec())
}

/// A name that may stand in a terminal: bounded, without control characters.
pub(super) fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = <&str>::deserialize(deserializer)?;
    if text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(D::Error::custom("too long, or with control characters"));
    }
    Ok(text.to_owned())
}

/// Ignore patterns, bounded in number and length.
pub(super) fn globs<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let globs: Vec<String> =
        items::<_, &str, IGNORE_GLOBS_MAX>(deserializer)?.into_iter().map(str::to_owned).collect();
    if globs.iter().any(|glob| glob.len() > GLOB_BYTES_MAX) {
        return Err(D::Error::custom("a pattern is too long"));
    }
    Ok(globs)
}

/// Copies: at least one.
fn copies<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Copies, D::Error> {
    match u8::deserialize(deserializer)? {
        0 => Err(D::Error::custom("no copies")),
        count => Ok(Copies::new(count)),
    }
}

/// A list of at most `MAX` items; grows with what is really there, not with the length that is claimed.
pub(super) fn items<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(Items::<T, MAX>(PhantomData))
}

/// The visitor behind [`items`].
struct Items<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Items<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "at most {MAX} items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = sequence.next_element()? {
            if items.len() == MAX {
                return Err(A::Error::custom("too many items"));
            }
            items.push(item);
        }
        Ok(items)
    }
}

impl From<Role> for u8 {
    fn from(role: Role) -> Self {
        match role {
            Role::Full => 1,
            Role::Store => 2,
        }
    }
}

impl TryFrom<u8> for Role {
    type Error = FeedError;

    fn try_from(number: u8) -> Result<Self, FeedError> {
        match number {
            1 => Ok(Self::Full),
            2 => Ok(Self::Store),
            _ => Err(FeedError::Malformed("a role")),
        }
    }
}

impl From<FolderKind> for u8 {
    fn from(kind: FolderKind) -> Self {
        match kind {
            FolderKind::Backup => 1,
            FolderKind::Shared => 2,
        }
    }
}

impl TryFrom<u8> for FolderKind {
    type Error = FeedError;

    fn try_from(number: u8) -> Result<Self, FeedError> {
        match number {
            1 => Ok(Self::Backup),
            2 => Ok(Self::Shared),
            _ => Err(FeedError::Malformed("a folder kind")),
        }
    }
}
