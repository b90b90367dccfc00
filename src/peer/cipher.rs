//! The cipher of data packets, behind a trait, so that measurement can replace it.
//!
//! Owns how a packet number becomes a nonce and where the tag lies. Refuses to choose packet numbers: a number that is
//! used twice under one key gives both packets away, and [`super::session`] is the one place that counts them.

use crate::wire::packet::{DATA_HEADER_BYTES, TAG_BYTES};
use core::fmt;
use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey, CHACHA20_POLY1305};

/// Seals and opens the payloads of one direction of a session.
pub trait PacketCipher {
    /// Seals `buffer` in place: all but its last [`TAG_BYTES`] is the payload, there the tag is written.
    fn seal(&self, number: u64, header: &[u8; DATA_HEADER_BYTES], buffer: &mut [u8]);

    /// Opens a sealed payload in place; None if it is not exactly what was sealed under this key, number and header.
    fn open<'a>(
        &self,
        number: u64,
        header: &[u8; DATA_HEADER_BYTES],
        sealed: &'a mut [u8],
    ) -> Option<&'a mut [u8]>;
}

/// ChaCha20-Poly1305 (RFC 8439); the nonce is four zero bytes and the packet number, least significant byte first, as
/// in Noise. Of the implementations that were measured, ring's is by far the fastest for the few hundred bytes of a packet,
/// and the only one with NEON code for Poly1305 (docs/PERFORMANCE.md).
pub struct ChaChaCipher(LessSafeKey);

impl ChaChaCipher {
    /// The cipher with this key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("the key of this cipher has 32 bytes");
        Self(LessSafeKey::new(key))
    }
}

impl fmt::Debug for ChaChaCipher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ChaChaCipher(..)")
    }
}

/// The nonce of a packet.
fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

impl PacketCipher for ChaChaCipher {
    fn seal(&self, number: u64, header: &[u8; DATA_HEADER_BYTES], buffer: &mut [u8]) {
        let (payload, place) =
            buffer.split_last_chunk_mut::<TAG_BYTES>().expect("the session leaves room for the tag");
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce(number), Aad::from(header), payload)
            .expect("a datagram is shorter than the 256 GiB at which this cipher gives up");
        place.copy_from_slice(tag.as_ref());
    }

    fn open<'a>(
        &self,
        number: u64,
        header: &[u8; DATA_HEADER_BYTES],
        sealed: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        self.0.open_in_place(nonce(number), Aad::from(header), sealed).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::hex;

    #[test]
    fn a_sealed_packet_is_golden_and_opens_only_as_itself() {
        let cipher = ChaChaCipher::new(&[7; 32]);
        let header = [4, 1, 0, 1, 2, 3, 4, 5, 0, 0];
        let mut buffer = [1; 1 + TAG_BYTES];
        cipher.seal(5, &header, &mut buffer);
        assert_eq!(hex(&buffer), "4dcdd911fdf0e498aaa4fbcd160845856d");
        let open = |number, header: &[u8; DATA_HEADER_BYTES], bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            cipher.open(number, header, &mut bytes).map(|payload| payload.to_vec())
        };
        assert_eq!(open(5, &header, &buffer), Some(vec![1]));
        assert_eq!(open(6, &header, &buffer), None);
        assert_eq!(open(5, &[0; DATA_HEADER_BYTES], &buffer), None);
        assert_eq!(open(5, &header, &buffer[..16]), None);
        assert_eq!(open(5, &header, &[]), None);
        for index in 0..buffer.len() {
            let mut changed = buffer;
            changed[index] ^= 1;
            assert_eq!(open(5, &header, &changed), None);
        }
    }
}
