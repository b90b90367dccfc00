//! What is inside a sealed chunk: lengths, the parts, and padding. It compresses; it knows no key.
//!
//! ```text
//! method u8 (0 raw, 1 zstd) | length of the first part u32 LE | its stored length u32 LE | length of the second u32 LE
//! | the first part as stored | the second part | zeros up to the Padme length
//! ```
//!
//! The first part is compressed as a whole, the second follows untouched: contents in it were compressed each by itself
//! before, so that an injected small file cannot measure a secret one beside it.

use crate::base::limits::CUT_BYTES_MAX;
use zstd::bulk::{Compressor, Decompressor};

/// Packs and unpacks the inside of chunks; keeps its contexts and one buffer from chunk to chunk.
pub(super) struct Layout {
    /// zstd, level 1; made when it is first needed.
    compressor: Option<Compressor<'static>>,
    /// zstd; made when it is first needed.
    decompressor: Option<Decompressor<'static>>,
    /// Holds compressed output until its length is known; at most one piece long.
    compressed: Vec<u8>,
}

/// What is wrong with the inside of a chunk that was sealed under the right key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LayoutError {
    /// The lengths do not fit together, or are too large.
    Lengths,
    /// The padding is not zeros up to the Padme length.
    Padding,
    /// The first part does not unpack to its length.
    Compression,
}

impl Layout {
    /// Has allocated nothing yet.
    pub const fn new() -> Self {
        Self { compressor: None, decompressor: None, compressed: Vec::new() }
    }

    /// Packs both parts behind `head` zeros (the place for what stands outside), in a vector of exactly the length
    /// that it has with `tail` more bytes. The parts together are at most [`CUT_BYTES_MAX`] bytes.
    pub fn pack(&mut self, head: usize, tail: usize, first: &[u8], second: &[u8]) -> Vec<u8> {
        let is_smaller = self.compress(first);
        let (method, stored) = if is_smaller { (ZSTD, self.compressed.as_slice()) } else { (RAW, first) };
        let length = padme(INNER_BYTES + stored.len() + second.len());
        let mut bytes = Vec::with_capacity(head + length + tail);
        bytes.resize(head, 0);
        bytes.push(method);
        for part in [first.len(), stored.len(), second.len()] {
            let part = u32::try_from(part).expect("a part is at most 1 MiB");
            bytes.extend_from_slice(&part.to_le_bytes());
        }
        bytes.extend_from_slice(stored);
        bytes.extend_from_slice(second);
        bytes.resize(head + length, 0);
        bytes
    }

    /// Unpacks what [`Layout::pack`] packed, without head and tail; total. Gives the first part followed by the second,
    /// at most [`CUT_BYTES_MAX`] bytes; nothing larger is allocated on the way.
    pub fn unpack(&mut self, bytes: &[u8]) -> Result<Vec<u8>, LayoutError> {
        let (&[method, ref lengths @ ..], rest) =
            bytes.split_first_chunk::<INNER_BYTES>().ok_or(LayoutError::Lengths)?;
        let [first, stored, second] = read_lengths(lengths)?;
        let used = stored.checked_add(second).ok_or(LayoutError::Lengths)?;
        let total = first.checked_add(second).ok_or(LayoutError::Lengths)?;
        let fits = match method {
            RAW => stored == first,
            ZSTD => stored < first,
            _ => false,
        };
        if !fits || total > CUT_BYTES_MAX || used > rest.len() {
            return Err(LayoutError::Lengths);
        }
        let (parts, padding) = rest.split_at(used);
        if bytes.len() != padme(INNER_BYTES + used) || padding.iter().any(|byte| *byte != 0) {
            return Err(LayoutError::Padding);
        }
        let mut plain = Vec::with_capacity(total);
        if method == RAW {
            plain.extend_from_slice(parts);
        } else {
            // zstd writes no further than the capacity; a part of another length is refused.
            let decompressor = self.decompressor.get_or_insert_with(|| {
                Decompressor::new().expect("zstd without a dictionary has nothing to refuse")
            });
            let unpacked = decompressor.decompress_to_buffer(&parts[..stored], &mut plain);
            if !unpacked.is_ok_and(|length| length == first) {
                return Err(LayoutError::Compression);
            }
            plain.extend_from_slice(&parts[stored..]);
        }
        Ok(plain)
    }

    /// Compresses `part` into the buffer; false if that is not worth it.
    fn compress(&mut self, part: &[u8]) -> bool {
        let samples = [0, part.len() / 2];
        let is_promising = part.len() < 4 * SAMPLE_BYTES
            || samples.iter().any(|at| self.shrinks(&part[*at..*at + SAMPLE_BYTES]));
        is_promising && self.shrinks(part)
    }

    /// Compresses `part` into the buffer; whether that saves at least one part in [`WORTH_PARTS`].
    fn shrinks(&mut self, part: &[u8]) -> bool {
        let bound = part.len() - part.len().div_ceil(WORTH_PARTS);
        self.compressed.clear();
        self.compressed.reserve_exact(bound);
        let compressor = self
            .compressor
            .get_or_insert_with(|| Compressor::new(LEVEL).expect("zstd takes its own level 1"));
        // A buffer that is too small is the usual error: the part does not shrink.
        compressor.compress_to_buffer(part, &mut self.compressed).is_ok_and(|length| length <= bound)
    }
}

/// The length that hides a length: at most 12% longer, for long ones much less, and only so many different ones that it
/// tells no more than a floating point number with a short mantissa would (Nikitin et al., "Reducing Metadata Leakage
/// from Encrypted Files and Communication with PURBs", 2019, algorithm 1).
#[must_use]
pub(super) fn padme(length: usize) -> usize {
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    let mantissa_bits = exponent.ilog2() + 1;
    let mask = (1 << (exponent - mantissa_bits)) - 1;
    (length + mask) & !mask
}

/// Reads the three lengths.
fn read_lengths(bytes: &[u8; 12]) -> Result<[usize; 3], LayoutError> {
    let mut lengths = [0; 3];
    for (length, bytes) in lengths.iter_mut().zip(bytes.chunks_exact(4)) {
        let bytes = <[u8; 4]>::try_from(bytes).map_err(|_| LayoutError::Lengths)?;
        *length = usize::try_from(u32::from_le_bytes(bytes)).map_err(|_| LayoutError::Lengths)?;
    }
    Ok(lengths)
}

/// Method: the first part is stored as it is.
const RAW: u8 = 0;

/// Method: the first part is one zstd frame (RFC 8878).
const ZSTD: u8 = 1;

/// zstd's level: on small devices the network and the disk are faster than higher ones.
const LEVEL: i32 = 1;

/// Length of what stands before the parts, in bytes.
pub(super) const INNER_BYTES: usize = 13;

/// A sample of a part, in bytes: two of them decide whether all of it is compressed.
const SAMPLE_BYTES: usize = 8 * 1024;

/// Compression is worth opening it again if it saves one part in this many.
const WORTH_PARTS: usize = 32;
