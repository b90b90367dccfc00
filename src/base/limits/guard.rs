//! Bounds on the guards over folders: what they remember of what went.

/// Hashes of contents in a sketch: with 256 of them a share is off by 6 in 100, one time in three; 16 KiB a scan.
pub const GUARD_SKETCH_MAX: usize = 256;

/// Hashes of lost contents that outlive a restart, by which it is known that they are back: 1 KiB of state a folder.
pub const GUARD_LOST_MAX: usize = 128;

/// Hours whose losses are added up, by this device's clock: what empties a folder bit by bit is noticed as well.
pub const GUARD_HOURS_MAX: usize = 24;

const _: () = assert!(GUARD_LOST_MAX <= GUARD_SKETCH_MAX);
