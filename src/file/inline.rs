//! How the content of a small file is packed into the tail of its tree entry.
//!
//! Each file is packed by itself: were it compressed together with its neighbours, whoever can place a file beside a
//! secret one could measure from the sealed length what the secret has in common with it. It does not seal.

use crate::base::limits::{INLINE_BYTES_MAX, TAIL_BYTES_MAX};
use crate::file::field::EntryError;
use core::fmt;
use zstd::bulk::{Compressor, Decompressor};

/// Packs and unpacks; keeps what zstd needs between calls.
pub struct InlineCodec {
    /// Made when it is first needed.
    compressor: Option<Compressor<'static>>,
    /// Made when it is first needed.
    decompressor: Option<Decompressor<'static>>,
    /// Room for what comes out of the compressor.
    scratch: Vec<u8>,
}

impl InlineCodec {
    /// A codec that has allocated nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { compressor: None, decompressor: None, scratch: Vec::new() }
    }

    /// `plain`, of at most [`INLINE_BYTES_MAX`] bytes, in at most one byte more: one that tells how, and the content
    /// compressed if that is shorter.
    ///
    /// # Panics
    /// When `plain` is longer: such content is cut into chunks.
    pub fn pack(&mut self, plain: &[u8]) -> Vec<u8> {
        assert!(plain.len() <= INLINE_BYTES_MAX, "inline content is small");
        let (method, body) = match self.compress(plain) {
            Some(length) => (METHOD_ZSTD, &self.scratch[..length]),
            None => (METHOD_RAW, plain),
        };
        let mut tail = Vec::with_capacity(1 + body.len());
        tail.push(method);
        tail.extend_from_slice(body);
        tail
    }

    /// The content that [`InlineCodec::pack`] made `tail` of, at most [`INLINE_BYTES_MAX`] bytes.
    ///
    /// # Errors
    /// When it was not made so.
    pub fn unpack(&mut self, tail: &[u8]) -> Result<Vec<u8>, EntryError> {
        if tail.len() > TAIL_BYTES_MAX {
            return Err(EntryError::TooLong);
        }
        match tail.split_first() {
            Some((&METHOD_RAW, body)) => Ok(body.to_vec()),
            Some((&METHOD_ZSTD, body)) => self.decompress(body),
            Some(_) => Err(EntryError::Senseless("method of inline content")),
            None => Err(EntryError::Malformed),
        }
    }

    /// Compresses into `scratch`; None if that does not make it shorter.
    fn compress(&mut self, plain: &[u8]) -> Option<usize> {
        if plain.len() < SHORTEST_COMPRESSED {
            return None;
        }
        let compressor = match &mut self.compressor {
            Some(compressor) => compressor,
            empty => {
                let mut compressor = Compressor::new(LEVEL).ok()?;
                compressor.include_contentsize(false).ok()?;
                compressor.include_checksum(false).ok()?;
                empty.insert(compressor)
            }
        };
        // Too little room is an error, and means that it did not get shorter.
        self.scratch.resize(plain.len() - 1, 0);
        compressor.compress_to_buffer(plain, self.scratch.as_mut_slice()).ok()
    }

    /// Decompresses at most [`INLINE_BYTES_MAX`] bytes.
    fn decompress(&mut self, body: &[u8]) -> Result<Vec<u8>, EntryError> {
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            empty => empty.insert(Decompressor::new().map_err(|_| EntryError::Malformed)?),
        };
        self.scratch.resize(INLINE_BYTES_MAX, 0);
        match decompressor.decompress_to_buffer(body, self.scratch.as_mut_slice()) {
            Ok(length) => Ok(self.scratch[..length].to_vec()),
            Err(_) => Err(EntryError::Malformed),
        }
    }
}

impl Default for InlineCodec {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for InlineCodec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("InlineCodec")
    }
}

/// What a fuzzer calls: any bytes unpack to a small file or do not.
///
/// # Panics
/// When what comes out is not small, which is what the fuzzer looks for.
pub fn check_tail_bytes(bytes: &[u8]) {
    if let Ok(plain) = InlineCodec::new().unpack(bytes) {
        assert!(plain.len() <= TAIL_BYTES_MAX, "inline content is small");
    }
}

/// The content follows as it is.
const METHOD_RAW: u8 = 0;
/// One zstd frame follows.
const METHOD_ZSTD: u8 = 1;
/// Shorter content never pays for a frame's header.
const SHORTEST_COMPRESSED: usize = 16;
/// The level of all of nuthatch's compression.
const LEVEL: i32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest, Strategy};

    #[test]
    fn content_that_does_not_shrink_costs_one_byte() {
        let mut noise = [0; INLINE_BYTES_MAX];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let mut codec = InlineCodec::new();
        for plain in [&noise[..], b"", b"x"] {
            let tail = codec.pack(plain);
            assert_eq!(tail, [&[METHOD_RAW], plain].concat());
            assert_eq!(codec.unpack(&tail).as_deref(), Ok(plain));
        }
    }

    #[test]
    fn content_that_repeats_gets_short() {
        let plain = b"use std::fmt;\n".repeat(200);
        let mut codec = InlineCodec::new();
        let tail = codec.pack(&plain);
        assert!(tail.len() < 60, "{} bytes", tail.len());
        assert_eq!(codec.unpack(&tail), Ok(plain));
    }

    #[test]
    fn what_unpacks_to_more_than_a_small_file_is_refused() {
        let bomb = zstd::bulk::compress(&vec![0; INLINE_BYTES_MAX + 1], 1).unwrap();
        let mut codec = InlineCodec::new();
        assert_eq!(codec.unpack(&[&[METHOD_ZSTD], &bomb[..]].concat()), Err(EntryError::Malformed));
        assert_eq!(codec.unpack(&vec![METHOD_RAW; TAIL_BYTES_MAX + 1]), Err(EntryError::TooLong));
        assert_eq!(codec.unpack(&[2]), Err(EntryError::Senseless("method of inline content")));
        assert_eq!(codec.unpack(&[]), Err(EntryError::Malformed));
    }

    proptest! {
        #[test]
        fn every_small_file_survives_a_round_trip(plain in (proptest::collection::vec(0_u8..6, 0..64), 0_usize..64).prop_map(|(part, times)| part.repeat(times))) {
            let mut codec = InlineCodec::new();
            let tail = codec.pack(&plain);
            prop_assert!(tail.len() <= TAIL_BYTES_MAX);
            prop_assert_eq!(codec.unpack(&tail), Ok(plain));
        }

        #[test]
        fn any_tail_unpacks_or_does_not(bytes in proptest::collection::vec(any::<u8>(), 0..600), method in 0_u8..3) {
            check_tail_bytes(&bytes);
            check_tail_bytes(&[&[method], &bytes[..]].concat());
            check_tail_bytes(&[&[METHOD_ZSTD, 0x28, 0xb5, 0x2f, 0xfd], &bytes[..]].concat());
        }
    }
}
