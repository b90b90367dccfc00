//! Why bytes are no message.
//!
//! Owns the words; the bounds are held by whoever reads or writes a message.

use core::fmt;

/// Why bytes are no message, or a message cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// The encoding ends before the message does, or a number in it cannot be read.
    Malformed,
    /// A version that this program does not speak.
    Version(u8),
    /// A kind that this program does not know; a newer peer may send it, it is ignored.
    Kind(u8),
    /// A list, a text or the whole is longer than limits.rs allows.
    TooLong,
    /// Bytes follow the end of the message.
    Trailing,
}

impl fmt::Display for WireError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => formatter.write_str("a message is cut short or malformed"),
            Self::Version(version) => {
                write!(formatter, "message version {version} is unknown; update nuthatch")
            }
            Self::Kind(kind) => write!(formatter, "message kind {kind} is unknown; update nuthatch"),
            Self::TooLong => formatter.write_str("a message is longer than allowed"),
            Self::Trailing => formatter.write_str("bytes follow the end of a message"),
        }
    }
}

impl std::error::Error for WireError {}
