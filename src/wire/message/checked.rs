//! The message that a folder was looked after: a device's signed word, by itself or passed on. What is signed, and what it
//! is worth, feed/ and node/ know.

use super::{kind, put, start, Message, Reader, WireError};
use crate::base::ids::{FolderId, NodeId};

/// A device's signed word that it looked after a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Whose word it is.
    pub writer: NodeId,
    /// Which folder.
    pub folder: FolderId,
    /// The writer's own running time then, in microseconds.
    pub number: u64,
    /// How often it means to look, in microseconds.
    pub every_us: u64,
    /// How long ago that was when this was sent, in microseconds; not signed.
    pub age_us: u64,
    /// The writer's signature.
    pub signature: [u8; 64],
}

/// The bytes of the message: the signature is raw, at the end.
pub(super) fn encode(checked: &Checked) -> Result<Vec<u8>, WireError> {
    let Checked { writer, folder, number, every_us, age_us, signature } = checked;
    let bytes = put(start(kind::CHECKED), &(writer, folder, number, every_us, age_us))?;
    Ok([&bytes[..], signature].concat())
}

/// Reads what [`encode`] wrote behind version and kind.
pub(super) fn read(reader: &mut Reader<'_>) -> Result<Message, WireError> {
    let (writer, folder, number, every_us, age_us) = reader.take()?;
    let (signature, rest) = reader.0.split_first_chunk::<64>().ok_or(WireError::Malformed)?;
    reader.0 = rest;
    Ok(Message::Checked(Checked { writer, folder, number, every_us, age_us, signature: *signature }))
}
