//! Bounds on the restore drill: how much is restored from other devices, and how often.

use crate::base::units::Span;

/// Files of one drill...
pub const DRILL_FILES_MAX: u64 = 32;
/// ... and their bytes; a file that is larger than what is left is restored in part.
pub const DRILL_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Pieces of one file: of a larger one so many, drawn at random.
pub const DRILL_PIECES_MAX: usize = 16;
/// Pieces of a file whose list of pieces is a map of its own: each takes a way down from its root.
pub const DRILL_LISTED_PIECES: usize = 4;
/// Attempts to find a file: in a folder of directories and links most of them find none.
pub const DRILL_ATTEMPTS_MAX: u64 = 4 * DRILL_FILES_MAX;
/// Nodes of trees that are kept until the next file: the upper ones are the same for all.
pub const DRILL_NODES_MAX: usize = 8;
/// A device that does not answer for so long has failed; a whole chunk takes 130 s at 64 kbit/s.
pub const DRILL_PATIENCE: Span = Span::from_secs(300);
/// After start, and after a drill that could not be made, the next one waits for so long.
pub const DRILL_RETRY: Span = Span::from_secs(3_600);
/// Problems that outlive a restart.
pub const DRILL_PROBLEMS_MAX: usize = 16;
/// The least and the most time between drills.
pub const DRILL_EVERY_MIN: Span = Span::from_secs(86_400);
/// See [`DRILL_EVERY_MIN`].
pub const DRILL_EVERY_MAX: Span = Span::from_secs(90 * 86_400);
