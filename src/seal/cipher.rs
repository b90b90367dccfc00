//! The cipher with its synthetic nonce. It knows neither what it seals nor how that is laid out; [`super::sealed`]
//! does.
//!
//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) needs a nonce that never serves two different texts. No counter can
//! promise that here, since a copied SD card repeats it. So the nonce is the first 24 bytes of a keyed BLAKE3 over
//! exactly what enters the cipher, the associated data and the padded plaintext: another text gives another nonce, and
//! equal text gives equal sealed bytes (the construction of RFC 5297 and of Rogaway and Shrimpton's SIV, with a hash
//! in the place of the PRF).

use super::derive::derive;
use crate::base::ids::EpochId;
use nuthatch_aead::Aead;
use zeroize::Zeroizing;

/// One purpose's cipher under one content key.
pub(super) struct Cipher {
    /// The AEAD; it wipes its key.
    aead: Aead,
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
        let key = derive(content_key, cipher_info);
        Self { aead: Aead::new(&key), nonce_key: derive(content_key, nonce_info) }
    }

    /// Seals `bytes[head..]` in place and appends the tag; the nonce is written into the last 24 bytes of the head.
    pub fn seal(&self, associated: &[u8], bytes: &mut Vec<u8>, head: usize) {
        let nonce = self.nonce(associated, &bytes[head..]);
        bytes[head - NONCE_BYTES..head].copy_from_slice(&nonce);
        let tag = self
            .aead
            .seal(&nonce, associated, &mut bytes[head..])
            .expect("the cipher takes up to 256 GiB, and a chunk has a few MiB at most");
        bytes.extend_from_slice(&tag);
    }

    /// Opens `bytes`, ciphertext and tag, in place; the tag is cut off.
    pub fn open(
        &self,
        associated: &[u8],
        nonce: &[u8; NONCE_BYTES],
        bytes: &mut Vec<u8>,
    ) -> Result<(), Forged> {
        let length = bytes.len().checked_sub(TAG_BYTES).ok_or(Forged)?;
        let (text, tag) = bytes.split_last_chunk_mut::<TAG_BYTES>().ok_or(Forged)?;
        if !self.aead.open(nonce, associated, text, tag) {
            return Err(Forged);
        }
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

/// Length of a nonce, in bytes.
pub(super) const NONCE_BYTES: usize = 24;

/// Length of the authentication tag, in bytes.
pub(super) const TAG_BYTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Test vector of draft-irtf-cfrg-xchacha-03, appendix A.3.1: the first bytes of the ciphertext, and the tag.
    #[test]
    fn the_drafts_vector_holds() {
        let key: [u8; 32] = core::array::from_fn(|at| 0x80 + u8::try_from(at).unwrap());
        let nonce: [u8; 24] = core::array::from_fn(|at| 0x40 + u8::try_from(at).unwrap());
        let associated = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.";
        let mut text = plain.to_vec();
        let aead = Aead::new(&key);
        let tag = aead.seal(&nonce, &associated, &mut text).unwrap();
        assert_eq!(text[..8], [0xbd, 0x6d, 0x17, 0x9d, 0x3e, 0x83, 0xd4, 0x3b]);
        assert_eq!(
            tag,
            [0xc0, 0x87, 0x59, 0x24, 0xc1, 0xc7, 0x98, 0x79, 0x47, 0xde, 0xaf, 0xd8, 0x78, 0x0a, 0xcf, 0x49]
        );
        let sealed = text.clone();
        assert!(!aead.open(&nonce, b"other", &mut text, &tag));
        assert_eq!(text, sealed);
        assert!(aead.open(&nonce, &associated, &mut text, &tag));
        assert_eq!(text, plain);
    }
}
