//! The cipher with its synthetic nonce. It knows neither what it seals nor how that is laid out; [`super::sealed`]
//! does.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) needs a nonce that never serves two different texts. No counter can
//! promise that here, since a copied SD card repeats it. So the nonce is the first 24 bytes of a keyed BLAKE3 over
//! exactly what enters the cipher, the associated data and the padded plaintext: another text gives another nonce, and
//! equal text gives equal sealed bytes (the construction of RFC 5297 and of Rogaway and Shrimpton's SIV, with a hash
//! in the place of the PRF).
//!
//! The bulk is ring's work, which knows no long nonces: the draft defines XChaCha20-Poly1305 as ChaCha20-Poly1305 (RFC 8439) under a key that
//! HChaCha20 makes of the key and the first 16 bytes of the nonce, with four zero bytes and its last 8 as the nonce. For chunks that is
//! 2.3 times as fast on x86 as the crate `chacha20poly1305`, and has NEON code (docs/PERFORMANCE.md). That crate is what the tests compare with.

use super::derive::derive;
use crate::base::ids::EpochId;
use chacha20::cipher::consts::U10;
use chacha20::hchacha;
use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey, CHACHA20_POLY1305};
use zeroize::Zeroizing;

/// One purpose's cipher under one content key.
pub(super) struct Cipher {
    /// The key of the AEAD.
    key: Zeroizing<[u8; 32]>,
    /// The key of the hash that nonces come from.
    nonce_key: Zeroizing<[u8; 32]>,
}

/// The ciphers of one content key epoch.
pub(super) struct Epoch {
    /// Its id, in the head of whatever it seals.
    pub id: EpochId,
    /// Seals chunks.
    pub chunk: Cipher,
    /// Seals texts in feed entries.
    pub text: Cipher,
}

/// The tag does not hold: another key, other associated data, or other bytes than were sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forged;

impl Epoch {
    /// The ciphers under a content key.
    pub fn new(id: EpochId, content_key: &[u8; 32]) -> Self {
        Self {
            id,
            chunk: Cipher::new(content_key, b"chunk cipher", b"chunk nonce"),
            text: Cipher::new(content_key, b"text cipher", b"text nonce"),
        }
    }
}

impl Cipher {
    /// A cipher of its own, by the two info strings of its derivations.
    fn new(content_key: &[u8; 32], cipher_info: &[u8], nonce_info: &[u8]) -> Self {
        Self { key: derive(content_key, cipher_info), nonce_key: derive(content_key, nonce_info) }
    }

    /// Seals `bytes[head..]` in place and appends the tag; the nonce is written into the last 24 bytes of the head.
    pub fn seal(&self, associated: &[u8], bytes: &mut Vec<u8>, head: usize) {
        let nonce = self.nonce(associated, &bytes[head..]);
        bytes[head - NONCE_BYTES..head].copy_from_slice(&nonce);
        let (key, nonce) = short(&self.key, &nonce);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(associated), &mut bytes[head..])
            .expect("the cipher takes up to 256 GiB, and a chunk has a few MiB at most");
        bytes.extend_from_slice(tag.as_ref());
    }

    /// Opens `bytes`, ciphertext and tag, in place; the tag is cut off. What is in `bytes` after a failure means nothing.
    pub fn open(
        &self,
        associated: &[u8],
        nonce: &[u8; NONCE_BYTES],
        bytes: &mut Vec<u8>,
    ) -> Result<(), Forged> {
        let (key, nonce) = short(&self.key, nonce);
        let length = key.open_in_place(nonce, Aad::from(associated), bytes).map_err(|_| Forged)?.len();
        bytes.truncate(length);
        Ok(())
    }

    /// The synthetic nonce: keyed BLAKE3 of the associated data with its length, and the text.
    pub fn nonce(&self, associated: &[u8], text: &[u8]) -> [u8; NONCE_BYTES] {
        let length = u64::try_from(associated.len()).expect("a length in memory fits 64 bits");
        let mut hasher = blake3::Hasher::new_keyed(&self.nonce_key);
        hasher.update(&length.to_le_bytes()).update(associated).update(text);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&hasher.finalize().as_bytes()[..NONCE_BYTES]);
        nonce
    }
}

/// The key and the nonce of RFC 8439 for a long nonce.
fn short(key: &[u8; 32], nonce: &[u8; NONCE_BYTES]) -> (LessSafeKey, Nonce) {
    let (first, last) = nonce.split_at(16);
    let derived = Zeroizing::new(<[u8; 32]>::from(hchacha::<U10>(key.into(), first.into())));
    let mut short = [0; 12];
    short[4..].copy_from_slice(last);
    let key = UnboundKey::new(&CHACHA20_POLY1305, &*derived).expect("the key of this cipher has 32 bytes");
    (LessSafeKey::new(key), Nonce::assume_unique_for_key(short))
}

/// Length of a nonce, in bytes.
pub(super) const NONCE_BYTES: usize = 24;

/// Length of the authentication tag, in bytes.
pub(super) const TAG_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20poly1305::aead::{Aead, Payload};
    use chacha20poly1305::{KeyInit, XChaCha20Poly1305};

    /// Test vector of draft-irtf-cfrg-xchacha-03, appendix A.3.1: the first bytes of the ciphertext, and the tag.
    #[test]
    fn the_drafts_vector_holds() {
        let key: [u8; 32] = core::array::from_fn(|at| 0x80 + u8::try_from(at).unwrap());
        let nonce: [u8; 24] = core::array::from_fn(|at| 0x40 + u8::try_from(at).unwrap());
        let associated = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let mut text = plain.to_vec();
        let (short_key, short_nonce) = short(&key, &nonce);
        let tag =
            short_key.seal_in_place_separate_tag(short_nonce, Aad::from(associated), &mut text).unwrap();
        assert_eq!(text[..8], [0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b]);
        assert_eq!(
            tag.as_ref(),
            [0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79, 0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a, 0xcf, 0x49]
        );
    }

    #[test]
    fn what_is_sealed_is_what_the_crate_of_that_cipher_seals_and_opens_only_as_itself() {
        for length in [0, 1, 15, 16, 63, 64, 65, 1_000, 70_000] {
            let cipher = Cipher::new(&[7; 32], b"cipher", b"nonce");
            let plain: Vec<u8> = (0..length).map(|at: usize| u8::try_from(at % 251).unwrap()).collect();
            let mut bytes = [&[0; NONCE_BYTES][..], &plain].concat();
            cipher.seal(b"associated", &mut bytes, NONCE_BYTES);
            let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().unwrap();
            let other = XChaCha20Poly1305::new((&*cipher.key).into());
            let payload = Payload { msg: &plain, aad: b"associated" };
            assert_eq!(other.encrypt(nonce.into(), payload).unwrap(), sealed, "{length}");
            let open = |associated: &[u8], sealed: &[u8]| {
                let mut sealed = sealed.to_vec();
                cipher.open(associated, nonce, &mut sealed).map(|()| sealed)
            };
            assert_eq!(open(b"associated", sealed), Ok(plain));
            assert_eq!(open(b"other", sealed), Err(Forged));
            assert_eq!(open(b"associated", &sealed[..sealed.len() - 1]), Err(Forged));
            for at in [0, sealed.len() / 2, sealed.len() - 1] {
                let mut changed = sealed.to_vec();
                changed[at] ^= 1;
                assert_eq!(open(b"associated", &changed), Err(Forged), "{length}, byte {at}");
            }
        }
    }
}
