//! A content key wrapped for somebody: only who holds the secret half of the recipient's X25519 key reads it. Pure: what
//! is random comes in. Read [`super::keys`] first; who is a recipient is `feed/epochs.rs`'s business.
//!
//! ```text
//! shared  = X25519(ephemeral secret, recipient's public key)
//! wrapping key = HKDF-SHA-256(shared, info = "key wrap" | ephemeral public | recipient's public)   used once
//! wrapped = XChaCha20-Poly1305(wrapping key, nonce 0, content key, associated = vault | epoch | writer | recipient)
//! ```
//!
//! This is the shape of HPKE's base mode (RFC 9180): one ephemeral key for an entry, and a wrapping key for each recipient
//! that no other text meets, so a fixed nonce is safe. The writer proves itself by the entry's signature. The ephemeral
//! secret is derived from randomness *and* the content key, so that a copied machine that draws the same number twice
//! wraps two keys under two secrets all the same.

use super::derive::derive;
use super::keys::epoch_id;
use crate::base::ids::{EpochId, NodeId, VaultId};
use chacha20poly1305::{AeadInPlace, KeyInit, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// A content key as it is wrapped for one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrapped {
    /// The sealed key.
    pub key: [u8; 32],
    /// Its authentication tag.
    pub tag: [u8; TAG_BYTES],
}

/// What a wrapped key belongs to; part of what is authenticated, so that it cannot be moved.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The vault.
    pub vault: VaultId,
    /// The epoch whose key it is.
    pub epoch: EpochId,
    /// Who wraps it.
    pub writer: NodeId,
    /// For whom; the vault's id read as a node is the recovery key's.
    pub recipient: NodeId,
}

/// Wraps one content key for several recipients.
pub struct Wrapper {
    /// Used for one entry.
    ephemeral: StaticSecret,
    /// What is wrapped.
    content: Zeroizing<[u8; 32]>,
}

impl Wrapper {
    /// For this content key; `random` are 32 fresh random bytes.
    #[must_use]
    pub fn new(random: &[u8; 32], content: &[u8; 32]) -> Self {
        let mut info = Zeroizing::new([0; 64]);
        info[..32].copy_from_slice(content);
        info[32..].copy_from_slice(EPHEMERAL);
        let ephemeral = StaticSecret::from(*derive(random, info.as_slice()));
        Self { ephemeral, content: Zeroizing::new(*content) }
    }

    /// The ephemeral public key, which stands beside what is wrapped.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        PublicKey::from(&self.ephemeral).to_bytes()
    }

    /// Wraps the key for who holds the secret half of `public`; None if that is no key that two can agree on.
    #[must_use]
    pub fn wrap(&self, place: &Place, public: &[u8; 32]) -> Option<Wrapped> {
        let cipher = cipher(&self.ephemeral, public, &self.public(), public)?;
        let mut key = Zeroizing::new(*self.content);
        let tag = cipher
            .encrypt_in_place_detached(&XNonce::default(), &associated(place), key.as_mut_slice())
            .ok()?;
        Some(Wrapped { key: *key, tag: tag.into() })
    }
}

/// Unwraps a key with the recipient's secret; None if it was not wrapped for it, here, or is another epoch's.
#[must_use]
pub fn unwrap(
    secret: &[u8; 32],
    ephemeral: &[u8; 32],
    place: &Place,
    wrapped: &Wrapped,
) -> Option<Zeroizing<[u8; 32]>> {
    let secret = StaticSecret::from(*secret);
    let public = PublicKey::from(&secret).to_bytes();
    let cipher = cipher(&secret, ephemeral, ephemeral, &public)?;
    let mut key = Zeroizing::new(wrapped.key);
    let tag = chacha20poly1305::Tag::from(wrapped.tag);
    cipher
        .decrypt_in_place_detached(&XNonce::default(), &associated(place), key.as_mut_slice(), &tag)
        .ok()?;
    (epoch_id(&key) == place.epoch).then_some(key)
}

/// The cipher between an ephemeral key and a recipient's: `own` and `other` are the two halves that this side has.
fn cipher(
    own: &StaticSecret,
    other: &[u8; 32],
    ephemeral: &[u8; 32],
    recipient: &[u8; 32],
) -> Option<XChaCha20Poly1305> {
    let shared = own.diffie_hellman(&PublicKey::from(*other));
    if !shared.was_contributory() {
        return None;
    }
    let info = [WRAP, ephemeral.as_slice(), recipient].concat();
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, shared.as_bytes()).expand(&info, key.as_mut_slice()).ok()?;
    Some(XChaCha20Poly1305::new(chacha20poly1305::Key::from_slice(key.as_slice())))
}

/// What is authenticated beside the key.
fn associated(place: &Place) -> Vec<u8> {
    [
        place.vault.as_bytes().as_slice(),
        place.epoch.as_bytes(),
        place.writer.as_bytes(),
        place.recipient.as_bytes(),
    ]
    .concat()
}

/// Length of the authentication tag, in bytes.
pub const TAG_BYTES: usize = 16;

/// Separates wrapping keys from whatever else comes of an X25519 key.
const WRAP: &[u8] = b"nuthatch key wrap 1";

/// Separates ephemeral secrets from whatever else is derived; 32 bytes, so that the whole info has one length.
const EPHEMERAL: &[u8; 32] = b"nuthatch key wrap 1 ephemeral\0\0\0";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::hex;

    const CONTENT: [u8; 32] = [5; 32];

    fn place() -> Place {
        Place {
            vault: VaultId::from_bytes([1; 32]),
            epoch: epoch_id(&CONTENT),
            writer: NodeId::from_bytes([2; 32]),
            recipient: NodeId::from_bytes([3; 32]),
        }
    }

    fn public(secret: [u8; 32]) -> [u8; 32] {
        PublicKey::from(&StaticSecret::from(secret)).to_bytes()
    }

    #[test]
    fn a_wrapped_key_never_changes_its_form() {
        let wrapper = Wrapper::new(&[7; 32], &CONTENT);
        let wrapped = wrapper.wrap(&place(), &public([9; 32])).unwrap();
        assert_eq!(
            hex(&wrapper.public()),
            "6ebb8dcc86df2718dcd5514022d732639ac226cbce8b3741a46cbe920c0c1b6b"
        );
        assert_eq!(hex(&wrapped.key), "6fd7e8ff656e2a538904bbd9ac8f34ba0c1c64ab3170457a7a2a7fc8b48ec10b");
        assert_eq!(hex(&wrapped.tag), "5381479c449576aa96ffb93963ea89c6");
    }

    #[test]
    fn only_the_recipient_unwraps_and_only_in_its_place() {
        let wrapper = Wrapper::new(&[7; 32], &CONTENT);
        let wrapped = wrapper.wrap(&place(), &public([9; 32])).unwrap();
        let ephemeral = wrapper.public();
        assert_eq!(unwrap(&[9; 32], &ephemeral, &place(), &wrapped).map(|key| *key), Some(CONTENT));
        assert_eq!(unwrap(&[10; 32], &ephemeral, &place(), &wrapped), None, "another's secret");
        let moved = [
            Place { vault: VaultId::from_bytes([0; 32]), ..place() },
            Place { epoch: epoch_id(&[6; 32]), ..place() },
            Place { writer: NodeId::from_bytes([0; 32]), ..place() },
            Place { recipient: NodeId::from_bytes([0; 32]), ..place() },
        ];
        for place in moved {
            assert_eq!(unwrap(&[9; 32], &ephemeral, &place, &wrapped), None, "{place:?}");
        }
        let mut broken = wrapped;
        broken.key[0] ^= 1;
        assert_eq!(unwrap(&[9; 32], &ephemeral, &place(), &broken), None);
    }

    #[test]
    fn a_key_that_is_not_the_epochs_is_not_taken() {
        let wrapper = Wrapper::new(&[7; 32], &[6; 32]);
        let wrapped = wrapper.wrap(&place(), &public([9; 32])).unwrap();
        assert_eq!(unwrap(&[9; 32], &wrapper.public(), &place(), &wrapped), None);
    }

    #[test]
    fn a_recipient_whose_key_is_no_key_is_passed_over() {
        let wrapper = Wrapper::new(&[7; 32], &CONTENT);
        assert_eq!(wrapper.wrap(&place(), &[0; 32]), None);
    }

    #[test]
    fn one_random_number_for_two_keys_gives_two_ephemeral_keys() {
        assert_ne!(Wrapper::new(&[7; 32], &CONTENT).public(), Wrapper::new(&[7; 32], &[6; 32]).public());
    }
}
