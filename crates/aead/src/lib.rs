//! XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) as plain functions.
//!
//! The cipher's crate is generic, so its loops are compiled wherever they are called, at that crate's level; the nodes are compiled
//! for size, and at that level its rounds are calls. Here they are compiled once, for speed. Owns nothing else: nonces,
//! layouts and keys are the business of `seal/` in nuthatch.

use chacha20poly1305::{AeadInPlace, Key, KeyInit, Tag, XChaCha20Poly1305, XNonce};

/// A key, ready for use; wiped when it goes.
pub struct Aead(XChaCha20Poly1305);

impl Aead {
    /// The cipher under a key.
    #[inline(never)]
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(Key::from_slice(key)))
    }

    /// Enciphers `text` in place; its tag. None when it is longer than the cipher takes (256 GiB).
    #[inline(never)]
    #[must_use]
    pub fn seal(&self, nonce: &[u8; 24], associated: &[u8], text: &mut [u8]) -> Option<[u8; 16]> {
        let tag = self.0.encrypt_in_place_detached(XNonce::from_slice(nonce), associated, text);
        tag.ok().map(Into::into)
    }

    /// Deciphers `text` in place if the tag holds; else false, and `text` is what it was.
    #[inline(never)]
    #[must_use]
    pub fn open(&self, nonce: &[u8; 24], associated: &[u8], text: &mut [u8], tag: &[u8; 16]) -> bool {
        let (nonce, tag) = (XNonce::from_slice(nonce), Tag::from_slice(tag));
        self.0.decrypt_in_place_detached(nonce, associated, text, tag).is_ok()
    }
}
