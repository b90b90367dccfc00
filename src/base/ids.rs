//! Names of things: distinct types, so that one cannot be passed where another is meant.
//!
//! All are plain bytes with a hexadecimal form. None has `From<[u8; N]>`: the constructor `from_bytes` is searched
//! for easily, and a reader sees where bytes become a name.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdError;

impl fmt::Display for IdError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an id is written in lowercase hexadecimal digits, two for each byte")
    }
}

impl std::error::Error for IdError {}

/// Defines one id type of `$bytes` bytes.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Length in bytes.
            pub const SIZE: usize = $bytes;

            /// The id with these bytes; the caller vouches that they name what the type says.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The bytes of the id.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// The first eight hexadecimal digits, for logs and tables.
            #[must_use]
            pub fn short(&self) -> String {
                hex(&self.0[..4])
            }

            /// All hexadecimal digits.
            #[must_use]
            pub fn hex(&self) -> String {
                hex(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.hex())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut bytes = [0; $bytes];
                unhex(text, &mut bytes)?;
                Ok(Self(bytes))
            }
        }
    };
}

id!(
    /// A node: SHA-256 of its public signing key.
    NodeId, 32
);
id!(
    /// A chunk: SHA-256 of its sealed bytes.
    ChunkId, 32
);
id!(
    /// A vault: SHA-256 of its root public signing key.
    VaultId, 32
);
id!(
    /// A folder of a vault, random.
    FolderId, 16
);
id!(
    /// A snapshot: the hash of the feed entry (or draft) that states it.
    SnapshotId, 32
);
id!(
    /// A feed entry: SHA-256 of its signed bytes as received.
    EntryHash, 32
);
id!(
    /// A content key epoch: a hash of the key, so that it needs no order.
    EpochId, 8
);

/// A feed: its writer, and a random part that is new whenever the writer has to start afresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FeedId {
    /// The only node that writes this feed (for root feeds: the vault's id read as a node).
    pub node: NodeId,
    /// Drawn when the feed is begun.
    pub random: [u8; 8],
}

/// One of the 4,096 placement groups: the first 12 bits of a chunk id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Group(u16);

impl Group {
    /// How many there are.
    pub const COUNT: u16 = 4096;

    /// The group that a chunk belongs to.
    #[must_use]
    pub const fn of(chunk: &ChunkId) -> Self {
        let bytes = chunk.as_bytes();
        Self(u16::from_be_bytes([bytes[0], bytes[1]]) >> 4)
    }

    /// The group with this number, if there is one.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number < Self::COUNT {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Its number, below [`Group::COUNT`].
    #[must_use]
    #[inline]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// All of them, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }
}

/// Lowercase hexadecimal digits of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

/// Reads exactly `out.len()` bytes of hexadecimal digits.
///
/// # Errors
/// When the length differs or a character is no hexadecimal digit.
pub fn unhex(text: &str, out: &mut [u8]) -> Result<(), IdError> {
    if text.len() != out.len() * 2 {
        return Err(IdError);
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(())
}

/// The value of one hexadecimal digit.
fn digit(character: u8) -> Result<u8, IdError> {
    match character {
        b'0'..=b'9' => Ok(character - b'0'),
        b'a'..=b'f' => Ok(character - b'a' + 10),
        _ => Err(IdError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_survives_a_round_trip() {
        let id = FolderId::from_bytes(*b"0123456789abcdef");
        assert_eq!(id.to_string().parse::<FolderId>(), Ok(id));
        assert_eq!("zz".parse::<FolderId>(), Err(IdError));
        assert_eq!(
            id.to_string().to_uppercase().parse::<FolderId>().is_err(),
            id.to_string().chars().any(|c| c.is_ascii_lowercase())
        );
    }

    #[test]
    fn a_group_is_the_first_twelve_bits() {
        let mut bytes = [0; 32];
        bytes[0] = 0xab;
        bytes[1] = 0xcd;
        assert_eq!(Group::of(&ChunkId::from_bytes(bytes)).number(), 0xabc);
        assert_eq!(Group::new(Group::COUNT), None);
    }
}
