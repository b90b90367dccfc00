//! Scores: how well a node fits a group, as a number that is the same on every machine. Integers only.
//!
//! A node has a key, drawn from its id (BLAKE3); its draw for a group is that key and the group's number, mixed: uniform. Draw
//! times *handicap* is the score, and the lowest scores hold the group. With handicaps inverse to capacities this is
//! sequential Poisson sampling (Ohlsson, 1998). The usual weighted rendezvous divides the logarithm of the draw by a weight;
//! both were tried: they balance alike once the handicaps are tuned ([`super::weigh`]), this one moves a little less when
//! nodes come and go, and needs no logarithm.

use crate::base::ids::{Group, NodeId};

/// What a node's draws come from. The context and the mixing are part of the protocol.
#[must_use]
pub fn key_of(node: &NodeId) -> u64 {
    let hash =
        blake3::Hasher::new_derive_key("nuthatch 2026 placement v2").update(node.as_bytes()).finalize();
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The draw of the node with this key for a group: uniform over all 32-bit numbers.
#[must_use]
pub fn draw(key: u64, group: Group) -> u32 {
    let place = (u64::from(group.number()) + 1).wrapping_mul(STRIDE);
    u32::try_from(mix(key.wrapping_add(place)) >> 32).unwrap_or(u32::MAX)
}

/// Finishes a draw (Stafford's variant 13 of the 64-bit finaliser, as in SplitMix64).
const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Keeps the draws of one key apart (2^64 divided by the golden ratio).
const STRIDE: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_the_same_everywhere() {
        let key = key_of(&NodeId::from_bytes([7; 32]));
        let draws: Vec<u32> = [0, 1, 4095].map(|group| draw(key, Group::new(group).unwrap())).to_vec();
        assert_eq!(
            (key, draws),
            (13_182_374_918_068_077_311, vec![243_092_751, 1_328_751_315, 1_413_934_975])
        );
    }

    #[test]
    fn draws_are_even_over_groups() {
        let key = key_of(&NodeId::from_bytes([1; 32]));
        let low = Group::all().filter(|group| draw(key, *group) < u32::MAX / 4).count();
        assert!((900..1_150).contains(&low), "{low} of 4,096 in the lowest quarter");
    }
}
