//! Extended attributes: names and values, in an entry or, where they are long, in a chunk of their own.
//!
//! What they mean is the file system's business. How they stand in an entry is `file/entry.rs`'s.

use crate::base::limits::{ATTRIBUTES_BYTES_MAX, ATTRIBUTES_MAX, COMPONENT_BYTES_MAX};
use crate::file::field::{bytes, list, versioned, with_version, EntryError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names and values of extended attributes.
pub type AttributeList = Vec<(Vec<u8>, Vec<u8>)>;

/// Extended attributes in a form that is stored by itself, for `Attributes::Away`. Exactly if it is no longer than
/// `ATTRIBUTES_HERE_BYTES_MAX`, the attributes may stand in the entry.
///
/// # Errors
/// When names do not ascend, or there is more than fits into a chunk.
pub fn encode_attributes(pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<Vec<u8>, EntryError> {
    check_attributes(pairs, ATTRIBUTES_BYTES_MAX)?;
    with_version(&PairsRef(pairs))
}

/// Reads what [`encode_attributes`] wrote.
///
/// # Errors
/// For any other bytes.
pub fn decode_attributes(bytes: &[u8]) -> Result<AttributeList, EntryError> {
    if bytes.len() > ATTRIBUTES_BYTES_MAX {
        return Err(EntryError::TooLong);
    }
    let Pairs(pairs) = versioned(bytes)?;
    check_attributes(&pairs, ATTRIBUTES_BYTES_MAX)?;
    Ok(pairs)
}

/// Do the names ascend, and is the whole, encoded by itself, at most `bytes_max` long?
///
/// # Errors
/// Says what is wrong with them.
pub fn check_attributes(pairs: &[(Vec<u8>, Vec<u8>)], bytes_max: usize) -> Result<(), EntryError> {
    if pairs.iter().any(|(name, _)| name.is_empty() || name.len() > COMPONENT_BYTES_MAX || name.contains(&0))
    {
        return Err(EntryError::Senseless("name of an extended attribute"));
    }
    if pairs.windows(2).any(|two| two[0].0 >= two[1].0) {
        return Err(EntryError::Senseless("order of the extended attributes"));
    }
    if pairs.len() > ATTRIBUTES_MAX || encoded_length(pairs) > bytes_max {
        return Err(EntryError::TooLong);
    }
    Ok(())
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

/// Extended attributes as they are read.
#[derive(Deserialize)]
struct Pairs(#[serde(deserialize_with = "pairs::deserialize")] AttributeList);

/// Extended attributes as they are written.
#[derive(Serialize)]
struct PairsRef<'a>(#[serde(serialize_with = "pairs::serialize")] &'a [(Vec<u8>, Vec<u8>)]);

/// Encoded length with the version byte, in bytes.
fn encoded_length(list: &[(Vec<u8>, Vec<u8>)]) -> usize {
    let text = |bytes: &[u8]| number_length(bytes.len()) + bytes.len();
    1 + number_length(list.len()) + list.iter().map(|(name, value)| text(name) + text(value)).sum::<usize>()
}

/// Length of a number in postcard: seven bits a byte.
fn number_length(number: usize) -> usize {
    let mut rest = number >> 7;
    let mut length = 1;
    while rest > 0 {
        rest >>= 7;
        length += 1;
    }
    length
}
