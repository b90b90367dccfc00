//! What the encodings of entries, pieces and attributes have in common: a version byte, then postcard.
//!
//! serde's own lists reserve room for as many elements as the bytes claim, and take byte strings apart into numbers.
//! Here lists grow with what is really there and stop at a bound; byte strings are copied as one. The encoding is that
//! of postcard's lists and byte strings: a length, then the elements. Read `file/entry.rs` first.

use core::fmt;
use core::marker::PhantomData;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why an entry cannot be encoded or bytes are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryError {
    /// Written by a version of nuthatch that is newer than this one, or damaged.
    Version(u8),
    /// Longer than it may be.
    TooLong,
    /// The bytes do not end where the entry ends, or do not make one.
    Malformed,
    /// The parts do not fit together; this one is wrong.
    Senseless(&'static str),
}

impl fmt::Display for EntryError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(
                    formatter,
                    "tree entry of version {version}, known is {VERSION}: update nuthatch on this device"
                )
            }
            Self::TooLong => formatter.write_str("tree entry is longer than an entry may be"),
            Self::Malformed => formatter.write_str("tree entry is malformed"),
            Self::Senseless(part) => write!(formatter, "tree entry makes no sense: {part}"),
        }
    }
}

impl std::error::Error for EntryError {}

/// A version byte and the value.
///
/// # Errors
/// None of the types here gives one.
pub fn with_version<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EntryError> {
    postcard::to_extend(value, vec![VERSION]).map_err(|_| EntryError::Malformed)
}

/// Reads a version byte and what follows it, to the last byte.
///
/// # Errors
/// When the version is unknown, or the bytes are none of it, too few or too many.
pub fn versioned<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, EntryError> {
    match bytes.split_first() {
        Some((&VERSION, body)) => match postcard::take_from_bytes(body) {
            Ok((value, [])) => Ok(value),
            _ => Err(EntryError::Malformed),
        },
        Some((version, _)) => Err(EntryError::Version(*version)),
        None => Err(EntryError::Malformed),
    }
}

/// A list of at most `MAX` elements.
///
/// # Errors
/// When there are more of them, or one is none.
pub fn list<'de, D, T, const MAX: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(ListVisitor::<T, MAX>(PhantomData))
}

/// Byte strings.
pub mod bytes {
    use super::{BytesVisitor, Deserializer, Serializer};

    /// Writes one.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    /// Reads one.
    ///
    /// # Errors
    /// Those of the deserializer.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_bytes(BytesVisitor)
    }
}

/// Takes the elements of a list.
struct ListVisitor<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for ListVisitor<T, MAX> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a list of at most {MAX} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            if list.len() == MAX {
                return Err(A::Error::invalid_length(MAX + 1, &self));
            }
            list.push(element);
        }
        Ok(list)
    }
}

/// Takes a byte string.
struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a byte string")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }
}

/// First byte of every encoding. History: 1, the first.
const VERSION: u8 = 1;
