//! How postcard writes the fields of an entry that have no fixed length.
//!
//! serde's own lists reserve room for as many elements as the bytes claim, and take byte strings apart into numbers.
//! Here lists grow with what is really there and stop at a bound; byte strings are copied as one. The encoding is that
//! of postcard's lists and byte strings: a length, then the elements. Read `file/entry.rs` first.

use crate::base::limits::ATTRIBUTES_MAX;
use core::fmt;
use core::marker::PhantomData;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names and values of extended attributes.
pub type AttributeList = Vec<(Vec<u8>, Vec<u8>)>;

/// Extended attributes as they are read.
#[derive(Debug, Deserialize)]
pub struct Pairs(#[serde(deserialize_with = "pairs::deserialize")] pub AttributeList);

/// Extended attributes as they are written.
#[derive(Debug, Serialize)]
pub struct PairsRef<'a>(#[serde(serialize_with = "pairs::serialize")] pub &'a [(Vec<u8>, Vec<u8>)]);

/// Upper bound of the encoded length of extended attributes, in bytes.
#[must_use]
pub fn pairs_length(list: &[(Vec<u8>, Vec<u8>)]) -> usize {
    list.iter().map(|(name, value)| name.len() + value.len() + 2 * LENGTH_BYTES_MAX).sum::<usize>()
        + LENGTH_BYTES_MAX
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

/// Lists of names and values.
pub mod pairs {
    use super::{list, AttributeList, Bytes, BytesRef, Deserializer, Serializer, ATTRIBUTES_MAX};

    /// Writes one.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(list: &[(Vec<u8>, Vec<u8>)], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(list.iter().map(|(name, value)| (BytesRef(name), BytesRef(value))))
    }

    /// Reads one.
    ///
    /// # Errors
    /// Those of the deserializer; more than [`ATTRIBUTES_MAX`] are too many.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AttributeList, D::Error> {
        let list = list::<D, (Bytes, Bytes), ATTRIBUTES_MAX>(deserializer)?;
        Ok(list.into_iter().map(|(name, value)| (name.0, value.0)).collect())
    }
}

/// A byte string in a list, as it is read.
#[derive(Deserialize)]
struct Bytes(#[serde(deserialize_with = "bytes::deserialize")] Vec<u8>);

/// A byte string in a list, as it is written.
#[derive(Serialize)]
struct BytesRef<'a>(#[serde(serialize_with = "bytes::serialize")] &'a [u8]);

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

/// Longest encoding of a length that fits into a chunk: three groups of seven bits.
const LENGTH_BYTES_MAX: usize = 3;
