//! How keys come from keys, and the form in which they are stored. It knows no purpose; [`super::keys`] names them.

use crate::base::limits::EPOCHS_MAX;
use core::fmt;
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Why stored or received keys cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeysError {
    /// They are of a version that this program does not know.
    Version(u8),
    /// They are damaged.
    Malformed,
}

/// HKDF-SHA-256 with a fixed salt; each purpose has its own `info`, and no two purposes share one.
#[must_use]
pub(super) fn derive(secret: &[u8; 32], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(SALT), secret)
        .expand(info, key.as_mut_slice())
        .expect("HKDF-SHA-256 gives up to 8,160 bytes, and 32 are asked for");
    key
}

/// The version byte, then postcard.
pub(super) fn encode<T: Serialize>(wire: &T) -> Zeroizing<Vec<u8>> {
    // Large enough at once: a vector that grows would leave copies of secrets behind.
    let mut bytes = Vec::with_capacity(256 + 32 * EPOCHS_MAX);
    bytes.push(VERSION);
    Zeroizing::new(postcard::to_extend(wire, bytes).expect("fixed arrays and lists of them always encode"))
}

/// Reads what [`encode`] wrote, all of it.
pub(super) fn decode<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, KeysError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => match postcard::take_from_bytes(rest) {
            Ok((wire, [])) => Ok(wire),
            _ => Err(KeysError::Malformed),
        },
        Some((&version, _)) => Err(KeysError::Version(version)),
        None => Err(KeysError::Malformed),
    }
}

/// The salt of every derivation: separates nuthatch from whatever else may use the same secret.
const SALT: &[u8] = b"nuthatch key tree 1";

/// The version byte that encoded keys begin with.
const VERSION: u8 = 1;

impl fmt::Display for KeysError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(formatter, "keys of version {version} are newer than this program: update nuthatch")
            }
            Self::Malformed => {
                formatter.write_str("the keys are damaged: recover the node from the recovery phrase")
            }
        }
    }
}

impl std::error::Error for KeysError {}
