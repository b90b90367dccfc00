//! Bounds of placement.

use super::content::MEMBERS_MAX;
use super::outside::COPIES_MAX;

/// Rounds in which the handicaps of placement are tuned: part of the protocol, for another number gives another placement.
pub const PLACEMENT_ROUNDS_MAX: usize = 64;
/// ... and with many nodes no fewer.
pub const PLACEMENT_ROUNDS_MIN: usize = 8;
/// Nodes that come into question for a group, for each copy (and once more): part of the protocol too. In all at most
/// 144 x 4,096 x 6 bytes, 3.5 MB for a moment with 16 copies, 0.8 MB with three.
pub const PLACEMENT_NEAR_MAX: usize = 8;
/// Placements that are kept for as many different numbers of copies; others are worked out when they are asked for.
pub const PLACEMENTS_KEPT_MAX: usize = 4;

const _: () = assert!(MEMBERS_MAX <= 1 << 16, "members are counted in 16 bits");
const _: () = assert!(COPIES_MAX <= 16, "the bounds above are for so many");
