//! Audit: does a holder have what it has receipted? It proves random ranges of random chunks; who cannot is not believed.
//!
//! A **proof** is BLAKE3, keyed with the challenger's nonce, of the prover's id, the chunk's id, the range and the bytes in it. It can be calculated only with
//! the bytes at hand when the nonce is known, and not be copied from another prover. (A prover may fetch the chunk from somebody else
//! before it answers; against that helps only that the answer has to come soon. See G. Ateniese and others, "Provable Data
//! Possession", CCS 2007, for schemes whose challenger needs no copy; here it has one, and a hash will do.)
//!
//! One failure is damage, not a lie: a node that is asked for what has rotted or is gone looks for it elsewhere and heals it. So a failure
//! only has the holder asked again, soon, for other chunks:
//!
//! ```text
//!              failed                    AUDIT_FAILURES_MAX of the last AUDIT_SAMPLES failed
//!   Believed ---------> Doubted ------------------------------------------------------------> Marked
//!      ^                   |  AUDIT_SAMPLES without reaching that                               |
//!      '-------------------+---------------------- AUDIT_SAMPLES proven in a row ---------------'
//! ```
//!
//! A holder that lacks a small part of what it claims is found by chance only: one that lacks a tenth, within three days at four
//! challenges a day with 72%; but it has then healed, or goes on being caught.

use crate::base::ids::{ChunkId, NodeId};
use crate::base::limits::{
    AUDIT_AFTER_UP, AUDIT_EVERY, AUDIT_FAILURES_MAX, AUDIT_RANGE_BYTES, AUDIT_SAMPLES, AUDIT_SOON,
    SEALED_BYTES_MAX,
};
use crate::base::units::Span;

/// What makes a challenge unpredictable: drawn at random for each.
pub type Nonce = [u8; 32];

/// A range of a chunk's sealed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkRange {
    /// Its first byte.
    pub offset: u32,
    /// Its length in bytes, at most [`AUDIT_RANGE_BYTES`].
    pub length: u32,
}

impl ChunkRange {
    /// A range of a chunk of `length` bytes, by chance.
    #[must_use]
    pub fn random(length: usize, chance: u64) -> Self {
        let whole = u32::try_from(length.min(SEALED_BYTES_MAX)).unwrap_or(0);
        let length = whole.min(AUDIT_RANGE_BYTES);
        let places = u64::from(whole - length) + 1;
        Self { offset: u32::try_from(chance % places).unwrap_or(0), length }
    }

    /// The bytes of it, if the chunk is so long and the range is no longer than it may be.
    fn of(self, sealed: &[u8]) -> Option<&[u8]> {
        let (start, length) = (usize::try_from(self.offset).ok()?, usize::try_from(self.length).ok()?);
        (self.length <= AUDIT_RANGE_BYTES).then(|| sealed.get(start..start.checked_add(length)?)).flatten()
    }
}

/// The proof that `prover` has this range of a chunk; None if the chunk has no such range.
#[must_use]
pub fn proof(
    nonce: &Nonce,
    prover: &NodeId,
    id: &ChunkId,
    range: ChunkRange,
    sealed: &[u8],
) -> Option<[u8; 32]> {
    let bytes = range.of(sealed)?;
    let mut hasher = blake3::Hasher::new_keyed(nonce);
    hasher.update(b"nuthatch 2026 proof of possession v1");
    hasher.update(prover.as_bytes()).update(id.as_bytes());
    hasher.update(&range.offset.to_le_bytes()).update(&range.length.to_le_bytes()).update(bytes);
    Some(*hasher.finalize().as_bytes())
}

/// What is thought of one holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Belief {
    /// It has proven what it was asked, or was not asked yet.
    #[default]
    Believed,
    /// It has failed lately: so many failures, of so many samples.
    Doubted {
        /// Challenges that it failed.
        failed: u8,
        /// Challenges in all.
        asked: u8,
    },
    /// It claims what it cannot prove: its copies do not count.
    Marked {
        /// Challenges that it met since, in a row.
        proven: u8,
        /// Challenges that it failed since, or since it came back.
        failed: u8,
    },
}

/// What a sample has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that anybody has to know.
    Same,
    /// Its copies count no more.
    Marked,
    /// They count again.
    Lifted,
}

impl Belief {
    /// A challenge was met, or was not.
    pub fn sample(&mut self, is_proven: bool) -> Verdict {
        let (next, verdict) = match *self {
            Self::Believed if is_proven => (Self::Believed, Verdict::Same),
            Self::Believed => (Self::Doubted { failed: 1, asked: 1 }, Verdict::Same),
            Self::Doubted { failed, asked } => {
                let (failed, asked) = (failed + u8::from(!is_proven), asked + 1);
                if failed >= AUDIT_FAILURES_MAX {
                    (Self::Marked { proven: 0, failed: 0 }, Verdict::Marked)
                } else if asked >= AUDIT_SAMPLES {
                    (Self::Believed, Verdict::Same)
                } else {
                    (Self::Doubted { failed, asked }, Verdict::Same)
                }
            }
            Self::Marked { proven, .. } if is_proven && proven + 1 >= AUDIT_SAMPLES => {
                (Self::Believed, Verdict::Lifted)
            }
            Self::Marked { proven, failed } if is_proven => {
                (Self::Marked { proven: proven + 1, failed }, Verdict::Same)
            }
            Self::Marked { failed, .. } => {
                (Self::Marked { proven: 0, failed: failed.saturating_add(1) }, Verdict::Same)
            }
        };
        *self = next;
        verdict
    }

    /// Whether its copies do not count.
    #[must_use]
    pub const fn is_marked(self) -> bool {
        matches!(self, Self::Marked { .. })
    }

    /// It was away, and may have been mended.
    pub const fn came_back(&mut self) {
        if let Self::Marked { failed, .. } = self {
            *failed = 0;
        }
    }

    /// When it is asked again after a sample.
    #[must_use]
    pub fn pause(self) -> Span {
        match self {
            Self::Believed => AUDIT_EVERY,
            Self::Doubted { .. } => AUDIT_SOON,
            // One that has begun to prove again is believed again within the hour. One that has not fetches what it was asked for in vain, and
            // all else that it lacks: it is asked soon whether it has, then less and less, and in the end as others are.
            Self::Marked { proven: 0, failed } => AUDIT_AFTER_UP.times(1 << failed.min(4)).min(AUDIT_EVERY),
            Self::Marked { .. } => AUDIT_SOON,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROVER: NodeId = NodeId::from_bytes([1; 32]);
    const CHUNK: ChunkId = ChunkId::from_bytes([2; 32]);

    #[test]
    fn a_proof_needs_every_byte_of_the_range_and_is_good_for_one_prover_and_one_nonce() {
        let mut sealed = vec![7; 40_000];
        let range = ChunkRange { offset: 1_000, length: 4_096 };
        let one = proof(&[3; 32], &PROVER, &CHUNK, range, &sealed).unwrap();
        let other = NodeId::from_bytes([9; 32]);
        assert_ne!(proof(&[3; 32], &other, &CHUNK, range, &sealed), Some(one));
        assert_ne!(proof(&[4; 32], &PROVER, &CHUNK, range, &sealed), Some(one));
        assert_ne!(
            proof(&[3; 32], &PROVER, &CHUNK, ChunkRange { offset: 1_001, ..range }, &sealed),
            Some(one)
        );
        sealed[5_095] ^= 1;
        assert_ne!(proof(&[3; 32], &PROVER, &CHUNK, range, &sealed), Some(one));
        sealed[5_095] ^= 1;
        sealed[5_096] ^= 1;
        assert_eq!(
            proof(&[3; 32], &PROVER, &CHUNK, range, &sealed),
            Some(one),
            "what is outside does not matter"
        );
    }

    #[test]
    fn ranges_lie_in_the_chunk_and_others_are_refused() {
        for length in [0_usize, 1, 4_095, 16_384, 16_385, 1_048_576] {
            let sealed = vec![0; length];
            for chance in [0, 1, 77, u64::MAX] {
                let range = ChunkRange::random(length, chance);
                assert!(proof(&[0; 32], &PROVER, &CHUNK, range, &sealed).is_some(), "{range:?} of {length}");
            }
        }
        let wrong = [(0, AUDIT_RANGE_BYTES + 1), (99_000, 2_000), (u32::MAX, 1), (1, u32::MAX)];
        for (offset, length) in wrong {
            let range = ChunkRange { offset, length };
            assert_eq!(proof(&[0; 32], &PROVER, &CHUNK, range, &[0; 100_000]), None);
        }
    }

    /// Samples a holder that fails by this rule, until a verdict.
    fn judged(samples: usize, fails: impl Fn(usize) -> bool) -> (Belief, Vec<(usize, Verdict)>) {
        let (mut belief, mut verdicts) = (Belief::default(), Vec::new());
        for number in 0..samples {
            let verdict = belief.sample(!fails(number));
            if verdict != Verdict::Same {
                verdicts.push((number, verdict));
            }
        }
        (belief, verdicts)
    }

    #[test]
    fn one_rotten_chunk_is_no_lie_and_a_holder_of_nothing_is_found_at_once() {
        assert_eq!(judged(100, |number| number == 10), (Belief::Believed, Vec::new()));
        assert_eq!(judged(100, |number| number % 20 == 10).1, []);
        let (belief, verdicts) = judged(10, |_| true);
        assert_eq!(verdicts, [(usize::from(AUDIT_FAILURES_MAX) - 1, Verdict::Marked)]);
        assert!(belief.is_marked());
        assert!(judged(60, |number| number % 2 == 0).0.is_marked(), "half is not enough");
    }

    #[test]
    fn a_mark_is_lifted_by_proof_only() {
        let honest_from = 20;
        let (belief, verdicts) = judged(40, |number| number < honest_from);
        let lifted = honest_from + usize::from(AUDIT_SAMPLES) - 1;
        assert_eq!(verdicts.last(), Some(&(lifted, Verdict::Lifted)));
        assert_eq!(belief, Belief::Believed);
        assert_eq!(judged(200, |number| number % 3 == 0).1.len(), 1, "a third is missing: the mark stays");
    }
}
