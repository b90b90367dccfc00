//! Where a stream of bytes is cut into pieces: content-defined, so that an insertion moves no cut but its neighbours.
//!
//! FastCDC with normalised chunking and two bytes a step, after W. Xia et al., "The Design of Fast Content-Defined
//! Chunking for Data Deduplication Based Storage Systems", IEEE TPDS 31 (2020). Two things differ from the paper. The
//! gear table is drawn from the vault's cut key, so that a stranger cannot tell from the lengths of pieces which
//! known file they belong to by running the algorithm himself. And hashing starts a window before the smallest
//! length, so that a cut depends on the bytes before it and never on where the piece began.
//!
//! It owns no buffer and reads nothing: the caller shows what it has, and cuts where it is told.

use crate::base::limits::{CUT_BYTES_MAX, CUT_BYTES_MIN, CUT_BYTES_NORMAL};
use core::fmt;
use std::rc::Rc;

/// The table that turns bytes into hashes; one a vault, shared by all cutters.
pub struct Gear {
    /// A random number for each byte value.
    single: [u64; 256],
    /// The same numbers doubled, for the first byte of a step.
    double: [u64; 256],
}

/// Finds the ends of pieces, one after the other.
///
/// ```text
///  0               MIN - 64     MIN                   NORMAL                MAX
///  | not looked at | warming up | 20 zero bits end it | 16 zero bits end it | ends here
/// ```
#[derive(Debug)]
pub struct Cutter {
    /// The vault's table.
    gear: Rc<Gear>,
    /// Hash of the 64 bytes before `scanned`.
    hash: u64,
    /// How much of the current piece needs no second look: 0, or at least [`CUT_BYTES_MIN`].
    scanned: usize,
}

impl Gear {
    /// The table of a vault with this cut key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let mut stream = blake3::Hasher::new_keyed(key).update(GEAR_LABEL).finalize_xof();
        let mut single = [0; 256];
        for value in &mut single {
            let mut bytes = [0; 8];
            stream.fill(&mut bytes);
            *value = u64::from_le_bytes(bytes);
        }
        Self { single, double: single.map(|value| value << 1) }
    }

    /// The hash after `bytes`, of which only the last 64 count.
    fn warm(&self, bytes: &[u8]) -> u64 {
        bytes.iter().fold(0, |hash, byte| (hash << 1_u32).wrapping_add(self.single[usize::from(*byte)]))
    }

    /// Hashes on from `hash` through `bytes`, until all bits of `mask` are zeros.
    fn scan(&self, mut hash: u64, bytes: &[u8], mask: u64) -> Scan {
        let doubled_mask = mask << 1;
        let mut steps = bytes.chunks_exact(8);
        let mut taken = 0;
        for step in steps.by_ref() {
            for pair in 0..4 {
                let first = (hash << 2).wrapping_add(self.double[usize::from(step[2 * pair])]);
                hash = first.wrapping_add(self.single[usize::from(step[2 * pair + 1])]);
                if first & doubled_mask == 0 {
                    return Scan::Found { taken: taken + 2 * pair + 1 };
                }
                if hash & mask == 0 {
                    return Scan::Found { taken: taken + 2 * pair + 2 };
                }
            }
            taken += 8;
        }
        for byte in steps.remainder() {
            hash = (hash << 1).wrapping_add(self.single[usize::from(*byte)]);
            taken += 1;
            if hash & mask == 0 {
                return Scan::Found { taken };
            }
        }
        Scan::Nothing { hash }
    }
}

/// What a stretch of bytes gave.
enum Scan {
    /// The piece ends behind this many bytes of it.
    Found {
        /// At least 1.
        taken: usize,
    },
    /// The piece goes on.
    Nothing {
        /// The hash at the end of the stretch.
        hash: u64,
    },
}

impl fmt::Debug for Gear {
    /// Without the table, which is a secret of the vault.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Gear")
    }
}

impl Cutter {
    /// A cutter at the start of a stream.
    #[must_use]
    pub fn new(gear: Rc<Gear>) -> Self {
        Self { gear, hash: 0, scanned: 0 }
    }

    /// Forgets the current piece: the next call shows the start of another stream.
    pub fn reset(&mut self) {
        self.hash = 0;
        self.scanned = 0;
    }

    /// Length of the first piece of `buffer`, from 1 to [`CUT_BYTES_MAX`], or None if more bytes are needed to tell.
    ///
    /// `buffer` starts where the last piece ended; as long as the answer is None, the next call shows the same bytes
    /// and more behind them, and only those are looked at. `end` says that the stream ends with `buffer`: the answer
    /// is then None only if `buffer` is empty.
    pub fn cut(&mut self, buffer: &[u8], end: bool) -> Option<usize> {
        debug_assert!(self.scanned <= buffer.len(), "a piece does not shrink while it is looked for");
        let piece = &buffer[..buffer.len().min(CUT_BYTES_MAX)];
        let found = self.find(piece);
        let length = match found {
            Some(length) => length,
            None if piece.len() == CUT_BYTES_MAX => CUT_BYTES_MAX,
            None if end && !piece.is_empty() => piece.len(),
            None => return None,
        };
        self.reset();
        Some(length)
    }

    /// Looks on through `piece` for a place where the hash ends it.
    fn find(&mut self, piece: &[u8]) -> Option<usize> {
        if piece.len() <= CUT_BYTES_MIN {
            return None;
        }
        if self.scanned == 0 {
            self.hash = self.gear.warm(&piece[CUT_BYTES_MIN - WINDOW_BYTES..CUT_BYTES_MIN]);
            self.scanned = CUT_BYTES_MIN;
        }
        for (limit, mask) in [(CUT_BYTES_NORMAL, MASK_STRICT), (CUT_BYTES_MAX, MASK_EAGER)] {
            let limit = limit.min(piece.len());
            if self.scanned >= limit {
                continue;
            }
            match self.gear.scan(self.hash, &piece[self.scanned..limit], mask) {
                Scan::Found { taken } => return Some(self.scanned + taken),
                Scan::Nothing { hash } => self.hash = hash,
            }
            self.scanned = limit;
        }
        None
    }
}

/// What the key is used for, in case that it is ever used for more.
const GEAR_LABEL: &[u8] = b"nuthatch gear 1";
/// A bit of the hash depends on as many bytes as lie below it and itself: this many bytes decide all.
const WINDOW_BYTES: usize = 64;
/// Before the normal length: 20 bits, two more than the 18 of 256 KiB. Bit 63 is free, since a step doubles the mask.
const MASK_STRICT: u64 = 0x7fff_f800_0000_0000;
/// After the normal length: 16 bits, two less.
const MASK_EAGER: u64 = 0x7fff_8000_0000_0000;
const _: () = assert!(MASK_STRICT.count_ones() == 20 && MASK_EAGER.count_ones() == 16);
const _: () = assert!(CUT_BYTES_MIN > WINDOW_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::limits::CUT_BYTES_MEAN;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest, ProptestConfig};

    /// Random bytes that are the same in every run.
    fn noise(seed: u8, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
        bytes
    }

    /// Lengths of all pieces of `bytes`.
    fn pieces(key: u8, bytes: &[u8]) -> Vec<usize> {
        let mut cutter = Cutter::new(Rc::new(Gear::new(&[key; 32])));
        let mut lengths = Vec::new();
        let mut rest = bytes;
        while let Some(length) = cutter.cut(rest, true) {
            lengths.push(length);
            rest = &rest[length..];
        }
        lengths
    }

    /// Offsets at which pieces end.
    fn ends(lengths: &[usize]) -> Vec<usize> {
        lengths
            .iter()
            .scan(0, |offset, length| {
                *offset += length;
                Some(*offset)
            })
            .collect()
    }

    /// The definition, a byte at a time, to hold the fast loop against.
    fn slow_cut(gear: &Gear, bytes: &[u8]) -> usize {
        let end = bytes.len().min(CUT_BYTES_MAX);
        let mut hash = gear.warm(&bytes[..CUT_BYTES_MIN]);
        for length in CUT_BYTES_MIN + 1..=end {
            hash = (hash << 1).wrapping_add(gear.single[usize::from(bytes[length - 1])]);
            let mask = if length <= CUT_BYTES_NORMAL { MASK_STRICT } else { MASK_EAGER };
            if hash & mask == 0 {
                return length;
            }
        }
        end
    }

    #[test]
    fn pieces_respect_the_bounds_and_the_mean_comes_out_right() {
        let bytes = noise(1, 24 << 20);
        let lengths = pieces(1, &bytes);
        assert_eq!(lengths.iter().sum::<usize>(), bytes.len());
        let (_, all_but_last) = lengths.split_last().unwrap();
        assert!(all_but_last.iter().all(|length| (CUT_BYTES_MIN..=CUT_BYTES_MAX).contains(length)));
        let mean = bytes.len() / lengths.len();
        assert!(mean.abs_diff(CUT_BYTES_MEAN) < CUT_BYTES_MEAN / 8, "the mean is {mean}");
    }

    #[test]
    fn cuts_are_golden() {
        // A change here cuts every file of every vault anew: nothing would be shared with older snapshots.
        assert_eq!(pieces(7, &noise(7, 1 << 20)), GOLDEN_LENGTHS);
        let gear = Gear::new(&[7; 32]);
        assert_eq!([gear.single[0], gear.single[255]], GOLDEN_GEAR);
    }

    #[test]
    fn equal_bytes_are_cut_at_the_largest_length() {
        assert_eq!(pieces(1, &vec![0; CUT_BYTES_MAX + 5]), [CUT_BYTES_MAX, 5]);
    }

    #[test]
    fn cuts_move_only_near_an_insertion() {
        let before = noise(2, 8 << 20);
        let mut after = before.clone();
        after.splice(3_000_000..3_000_000, *b"inserted");
        let old = ends(&pieces(1, &before));
        let new = ends(&pieces(1, &after));
        let shared =
            new.iter().filter(|end| **end > 8 && old.contains(&(**end - 8)) || old.contains(end)).count();
        assert!(new.len() - shared <= 4, "{} of {} cuts moved", new.len() - shared, new.len());
    }

    #[test]
    fn a_cut_depends_on_the_bytes_before_it_and_not_on_where_the_piece_began() {
        let bytes = noise(4, 8 << 20);
        let gear = Gear::new(&[1; 32]);
        let Scan::Found { taken } = gear.scan(0, &bytes[CUT_BYTES_MIN..], MASK_STRICT) else {
            panic!("8 MiB have a place with 20 zero bits");
        };
        // Wherever a piece begins, as long as the place is not too near.
        let place = CUT_BYTES_MIN + taken;
        for length in [CUT_BYTES_MIN + 1, CUT_BYTES_MIN + 9, CUT_BYTES_MIN + 1_000] {
            assert_eq!(pieces(1, &bytes[place - length..])[0], length);
        }
    }

    #[test]
    fn another_key_cuts_elsewhere() {
        let bytes = noise(3, 8 << 20);
        let one = ends(&pieces(1, &bytes));
        let two = ends(&pieces(2, &bytes));
        let shared = one.iter().filter(|end| two.contains(end)).count();
        assert_eq!(shared, 1, "only the end of the stream is the same");
    }

    #[test]
    fn an_empty_stream_has_no_piece_and_a_short_one_has_one() {
        let mut cutter = Cutter::new(Rc::new(Gear::new(&[1; 32])));
        assert_eq!(cutter.cut(&[], true), None);
        assert_eq!(cutter.cut(b"x", false), None);
        assert_eq!(cutter.cut(b"x", true), Some(1));
        assert_eq!(cutter.cut(&[0; CUT_BYTES_MIN], true), Some(CUT_BYTES_MIN));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn what_is_shown_in_parts_is_cut_as_the_whole(seed in any::<u8>(), steps in proptest::collection::vec(1_usize..300_000, 1..12)) {
            let bytes = noise(seed, 3 << 20);
            let mut cutter = Cutter::new(Rc::new(Gear::new(&[seed; 32])));
            let (mut start, mut shown, mut lengths) = (0, 0, Vec::new());
            for step in steps.iter().cycle() {
                shown = (shown + step).min(bytes.len());
                while let Some(length) = cutter.cut(&bytes[start..shown], shown == bytes.len()) {
                    prop_assert!(length <= CUT_BYTES_MAX);
                    lengths.push(length);
                    start += length;
                }
                if shown == bytes.len() {
                    break;
                }
            }
            prop_assert_eq!(lengths, pieces(seed, &bytes));
        }

        #[test]
        fn two_bytes_a_step_find_what_one_byte_a_step_finds(seed in any::<u8>(), odd in 0_usize..16) {
            let bytes = noise(seed, CUT_BYTES_MAX + odd);
            let gear = Gear::new(&[seed; 32]);
            prop_assert_eq!(pieces(seed, &bytes)[0], slow_cut(&gear, &bytes));
        }
    }

    /// Lengths of the pieces of the golden stream.
    const GOLDEN_LENGTHS: [usize; 4] = [224_996, 237_219, 323_225, 263_136];
    /// First and last number of the golden table.
    const GOLDEN_GEAR: [u64; 2] = [14_937_502_325_992_085_901, 15_515_471_428_013_473_839];
}
