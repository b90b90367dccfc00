//! Bounds of what nodes tell people: notes, hooks and alerts.

use super::SEALED_TEXT_BYTES_MAX;

/// Longest note, in bytes: a page of text. What is longer is a file.
pub const NOTE_BYTES_MAX: usize = 2_000;
/// Notes that are kept at hand, the newest of the vault; all of them stand in the feeds. At the longest that is 260 kB.
pub const NOTES_MAX: usize = 128;

const _: () = assert!(NOTE_BYTES_MAX + 512 < SEALED_TEXT_BYTES_MAX);
