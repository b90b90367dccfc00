//! What is said about first messages without looking into them: which versions are spoken, and that a cookie is wanted.
//!
//! Owns these two layouts, and what first messages of all versions have in common. Refuses to check a MAC or to open
//! anything. Read "Packets", "Load" and "Versioning" in `PROTOCOL.md` first.

use super::{
    PacketError, HANDSHAKE_HEADER_BYTES, MAC_BYTES, TAG_BYTES, TYPE_COOKIE, TYPE_HANDSHAKE_INIT,
    TYPE_VERSIONS, VERSION, VERSIONS_HEADER_BYTES, VERSIONS_MAX, VERSION_OF_VERSIONS,
};

/// Length of a cookie, in bytes.
pub const COOKIE_SECRET_BYTES: usize = 16;
/// Length of a sealed cookie, in bytes.
pub const COOKIE_SEALED_BYTES: usize = COOKIE_SECRET_BYTES + TAG_BYTES;
/// Length of a [`Cookie`] datagram, in bytes: no real first message is shorter.
pub const COOKIE_BYTES: usize = 8 + MAC_BYTES + COOKIE_SEALED_BYTES;
/// An answer to a [`Stage::Init`](super::Stage::Init) under load.
#[derive(Debug, PartialEq, Eq)]
pub struct Cookie<'a> {
    /// The index that the initiator chose.
    pub receiver: u32,
    /// Random.
    pub nonce: &'a [u8; MAC_BYTES],
    /// The cookie, sealed, and its tag.
    pub sealed: &'a [u8; COOKIE_SEALED_BYTES],
}

/// An answer to a [`Stage::Init`](super::Stage::Init) of an unknown version whose MAC was right.
#[derive(Debug, PartialEq, Eq)]
pub struct Versions<'a> {
    /// The index that the initiator chose.
    pub receiver: u32,
    /// The versions that the sender speaks, 1 to [`VERSIONS_MAX`] of them.
    pub versions: &'a [u8],
    /// All that the MAC covers.
    pub covered: &'a [u8],
    /// The MAC, unchecked.
    pub mac: &'a [u8; MAC_BYTES],
}

/// What every version's [`Stage::Init`](super::Stage::Init) has in common, so that it can be answered by [`Versions`].
#[derive(Debug, PartialEq, Eq)]
pub struct AnyInit<'a> {
    /// The version that the initiator speaks.
    pub version: u8,
    /// The index by which the initiator wants to be addressed.
    pub sender: u32,
    /// All that the MAC covers.
    pub covered: &'a [u8],
    /// The MAC, unchecked.
    pub mac: &'a [u8; MAC_BYTES],
}

/// Reads the parts of a first handshake message that no version changes; None if this is no such message.
#[must_use]
pub fn parse_any_init(datagram: &[u8]) -> Option<AnyInit<'_>> {
    let (covered, mac) = datagram.split_last_chunk::<MAC_BYTES>()?;
    let (header, _) = covered.split_first_chunk::<HANDSHAKE_HEADER_BYTES>()?;
    let [TYPE_HANDSHAKE_INIT, version, _, _, sender @ .., _, _, _, _] = header else {
        return None;
    };
    Some(AnyInit { version: *version, sender: little_u32(sender), covered, mac })
}

/// Takes a versions datagram apart.
pub(super) fn parse_versions(datagram: &[u8]) -> Result<Versions<'_>, PacketError> {
    let (covered, mac) = datagram.split_last_chunk::<MAC_BYTES>().ok_or(PacketError::Truncated)?;
    let (bytes, versions) =
        covered.split_first_chunk::<VERSIONS_HEADER_BYTES>().ok_or(PacketError::Truncated)?;
    let [_, _, count, zero, receiver @ ..] = *bytes;
    let wrong_count =
        versions.is_empty() || versions.len() > VERSIONS_MAX || versions.len() != usize::from(count);
    if zero != 0 || wrong_count {
        return Err(PacketError::Malformed);
    }
    Ok(Versions { receiver: u32::from_le_bytes(receiver), versions, covered, mac })
}

/// Takes a cookie datagram apart.
pub(super) fn parse_cookie(datagram: &[u8]) -> Result<Cookie<'_>, PacketError> {
    let (bytes, rest) = datagram.split_first_chunk::<8>().ok_or(PacketError::Truncated)?;
    let (nonce, rest) = rest.split_first_chunk::<MAC_BYTES>().ok_or(PacketError::Truncated)?;
    let (sealed, rest) = rest.split_first_chunk::<COOKIE_SEALED_BYTES>().ok_or(PacketError::Truncated)?;
    let [_, _, 0, 0, receiver @ ..] = *bytes else {
        return Err(PacketError::Malformed);
    };
    if !rest.is_empty() {
        return Err(PacketError::Malformed);
    }
    Ok(Cookie { receiver: u32::from_le_bytes(receiver), nonce, sealed })
}

/// Four bytes, least significant first; 0 if they are not four.
fn little_u32(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// A versions datagram without its MAC, which covers all of what is returned; at most [`VERSIONS_MAX`] are listed.
#[must_use]
pub fn versions_bytes(receiver: u32, versions: &[u8]) -> Vec<u8> {
    let listed = &versions[..versions.len().min(VERSIONS_MAX)];
    let count = u8::try_from(listed.len()).expect("at most VERSIONS_MAX, which is 16");
    let mut bytes = vec![TYPE_VERSIONS, VERSION_OF_VERSIONS, count, 0];
    bytes.extend_from_slice(&receiver.to_le_bytes());
    bytes.extend_from_slice(listed);
    bytes
}

/// A cookie datagram.
#[must_use]
pub fn cookie_bytes(
    receiver: u32,
    nonce: &[u8; MAC_BYTES],
    sealed: &[u8; COOKIE_SEALED_BYTES],
) -> [u8; COOKIE_BYTES] {
    let mut bytes = [0; COOKIE_BYTES];
    bytes[..2].copy_from_slice(&[TYPE_COOKIE, VERSION]);
    bytes[4..8].copy_from_slice(&receiver.to_le_bytes());
    bytes[8..8 + MAC_BYTES].copy_from_slice(nonce);
    bytes[8 + MAC_BYTES..].copy_from_slice(sealed);
    bytes
}
