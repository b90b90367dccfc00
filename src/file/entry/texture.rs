//! What kind of bytes a file is made of: something that compresses, something packed that can be told by its head, or noise.
//!
//! Owns that judgement, which the guard over a folder goes by (`node/guard.rs`): whoever encrypts other people's files turns what
//! compresses, and pictures with a head that says so, into bytes that look drawn at random. Judges by lengths and by the first
//! bytes alone; a single file proves nothing, and nothing is refused on that account.

use serde::{Deserialize, Serialize};

/// What a file's content looks like. The order of the variants is part of the encoding of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub enum Texture {
    /// It compresses, or is too short to tell, or there is none.
    #[default]
    Plain,
    /// It does not compress, and begins as programs have files begin: pictures, films, archives.
    Packed,
    /// It does not compress, and begins like random bytes.
    Noise,
}

impl Texture {
    /// Of content that begins with `head` (at most [`HEAD_BYTES`] of it are looked at); `shrinks`: it compresses.
    #[must_use]
    pub fn of(head: &[u8], shrinks: bool) -> Self {
        if shrinks {
            Self::Plain
        } else if is_random(head) {
            Self::Noise
        } else {
            Self::Packed
        }
    }

    /// Of small content, by its length before and after packing.
    #[must_use]
    pub fn of_small(plain: &[u8], packed: usize) -> Self {
        Self::of(plain, plain.len() < SHORTEST_JUDGED || packed < plain.len() - plain.len() / WORTH_PARTS)
    }
}

/// Adds up whether the pieces of a file shrink when they are sealed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shrinking {
    /// Bytes of pieces that do.
    does: u64,
    /// Bytes of those that do not.
    does_not: u64,
}

impl Shrinking {
    /// One more piece.
    pub fn add(&mut self, length: usize, shrinks: bool) {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        let side = if shrinks { &mut self.does } else { &mut self.does_not };
        *side = side.saturating_add(length);
    }

    /// Whether more than an eighth of the file does; also of a file without any.
    #[must_use]
    pub const fn shrinks(&self) -> bool {
        self.does_not == 0 || self.does > self.does_not / 7
    }
}

/// Whether bytes look drawn at random: as many different ones as chance gives, and no beginning that is known.
fn is_random(head: &[u8]) -> bool {
    let head = &head[..head.len().min(HEAD_BYTES)];
    if head.len() < HEAD_BYTES || HEADS.iter().any(|known| head.starts_with(known)) {
        return false;
    }
    let mut seen = [false; 256];
    head.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    seen.iter().filter(|seen| **seen).count() >= DISTINCT_MIN
}

/// How much of the beginning of a file is looked at, in bytes.
pub const HEAD_BYTES: usize = 64;

/// Of 64 random bytes 56.7 are different ones on average, with a deviation of 2.5: one in 5,000 heads has fewer than this.
const DISTINCT_MIN: usize = 48;

/// What is shorter may well not compress.
const SHORTEST_JUDGED: usize = 256;

/// Small content compresses if one part in this many is saved.
const WORTH_PARTS: usize = 32;

/// Beginnings of packed files whose head may hold too many different bytes: gzip, zlib, zip, 7z, xz, zstd, bzip2, rar, Matroska, MP3 (two
/// kinds), JPEG, Ogg, git's packs, age.
const HEADS: [&[u8]; 18] = [
    b"\x1f\x8b",
    b"\x78\x01",
    b"\x78\x9c",
    b"\x78\xda",
    b"PK\x03\x04",
    b"7z\xbc\xaf\x27\x1c",
    b"\xfd7zXZ",
    b"\x28\xb5\x2f\xfd",
    b"BZh",
    b"Rar!",
    b"\x1a\x45\xdf\xa3",
    b"ID3",
    b"\xff\xfb",
    b"\xff\xf3",
    b"\xff\xd8\xff",
    b"OggS",
    b"PACK",
    b"age-encryption",
];

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{RngCore, SeedableRng};

    /// Random bytes.
    fn random(seed: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
        bytes
    }

    #[test]
    fn random_bytes_are_noise_and_what_begins_as_a_file_does_is_not() {
        let noise =
            (0..1_000).filter(|seed| Texture::of(&random(*seed, 64), false) == Texture::Noise).count();
        assert!(noise >= 995, "{noise} of 1,000");
        assert_eq!(Texture::of(&random(1, 64), true), Texture::Plain, "it compresses");
        assert_eq!(Texture::of(&random(1, 63), false), Texture::Packed, "too short to tell");
        for head in HEADS {
            let file = [head, &random(2, 64)].concat();
            assert_eq!(Texture::of(&file, false), Texture::Packed);
        }
        // An MP4 and a PNG: sizes and words with many zeros.
        let film = [b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41\0\0\0\x08free".as_slice(), &random(3, 28)]
            .concat();
        let picture =
            [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x04\0\0\0\x03\0\x08\x02\0\0\0".as_slice(), &random(4, 36)]
                .concat();
        assert_eq!([film, picture].map(|file| Texture::of(&file, false)), [Texture::Packed; 2]);
    }

    #[test]
    fn a_small_file_is_judged_by_what_packing_saves() {
        let (short, long) = (random(1, 255), random(2, 1_000));
        assert_eq!(Texture::of_small(&short, 256), Texture::Plain, "too short to tell");
        assert_eq!(Texture::of_small(&long, 1_001), Texture::Noise);
        assert_eq!(Texture::of_small(&long, 900), Texture::Plain);
        assert_eq!(Texture::of_small(&[], 0), Texture::Plain);
    }

    #[test]
    fn a_file_that_shrinks_in_a_small_part_only_does_not() {
        let mut shrinking = Shrinking::default();
        assert!(shrinking.shrinks(), "there is nothing yet");
        shrinking.add(1_000, false);
        assert!(!shrinking.shrinks());
        shrinking.add(100, true);
        assert!(!shrinking.shrinks());
        shrinking.add(100, true);
        assert!(shrinking.shrinks());
    }
}
