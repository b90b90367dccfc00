//! The key tree: what is derived from the vault's root secret, what each role holds, and a node's own identity. It draws
//! no randomness (seeds come in) and stores nothing; everything secret is wiped when it is dropped and never printed.
//!
//! ```text
//! root secret --HKDF-SHA-256 (RFC 5869)--+-- root signing key (Ed25519); its public half names the vault
//!                                        +-- recovery key (X25519)
//!                                        +-- door secret          full and store nodes
//!                                        +-- cut, fingerprint, map keys        full nodes
//!                                        +-- content key of the first epoch    full nodes
//! ```
//!
//! Only the content key ever changes: later epochs' keys are random, and wrapped for whoever may have them
//! ([`super::wrap`]).

use super::derive::{decode, derive, encode};
use crate::base::ids::{EpochId, NodeId, VaultId};
use crate::base::limits::EPOCHS_MAX;
use core::fmt;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

pub use super::derive::KeysError;

/// The 256 bits that everything else comes from. They live on paper; a node has them only while it makes or recovers
/// a vault.
#[derive(Clone, PartialEq, Eq)]
pub struct RootSecret([u8; 32]);

/// What opens the door of a vault's members to each other, and keeps them silent to strangers.
#[derive(Clone, PartialEq, Eq)]
pub struct DoorSecret([u8; 32]);

/// What a full node holds.
#[derive(Clone, PartialEq, Eq)]
pub struct FullKeys {
    /// The vault's id.
    pub vault: VaultId,
    /// The root's public signing key.
    pub root_public: [u8; 32],
    /// The door secret.
    pub door: DoorSecret,
    /// Where content is cut.
    pub cut: [u8; 32],
    /// Fingerprints of plain content.
    pub fingerprint: [u8; 32],
    /// Where tree nodes are cut.
    pub map: [u8; 32],
    /// The public half of the recovery key, for which later epochs' keys are wrapped.
    pub recovery: [u8; 32],
    /// Content keys by epoch; the last one seals. Never empty, and at most [`EPOCHS_MAX`].
    pub content: Vec<(EpochId, [u8; 32])>,
}

/// What a store node holds.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreKeys {
    /// The vault's id.
    pub vault: VaultId,
    /// The root's public signing key.
    pub root_public: [u8; 32],
    /// The door secret.
    pub door: DoorSecret,
}

/// A node's own identity. It never leaves the node.
#[derive(Clone)]
pub struct NodeSecret {
    /// Signs feed entries.
    signing: SigningKey,
    /// Proves the node on channels (X25519).
    channel: [u8; 32],
}

impl RootSecret {
    /// The root secret with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes: what the recovery phrase spells.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The vault's id: SHA-256 of the root's public signing key.
    #[must_use]
    pub fn vault(&self) -> VaultId {
        VaultId::from_bytes(Sha256::digest(self.root_public()).into())
    }

    /// The root's public signing key.
    #[must_use]
    pub fn root_public(&self) -> [u8; 32] {
        self.signing_key().verifying_key().to_bytes()
    }

    /// The key that admits the first node and a recovered one.
    #[must_use]
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_bytes(&derive(&self.0, b"root signing"))
    }

    /// The key that later epochs' content keys are wrapped for, so that paper alone opens everything.
    #[must_use]
    pub fn recovery_key(&self) -> StaticSecret {
        StaticSecret::from(*derive(&self.0, b"recovery"))
    }

    /// What a full node of this vault holds, with the first epoch's content key.
    #[must_use]
    pub fn full_keys(&self) -> FullKeys {
        let content = derive(&self.0, b"content");
        FullKeys {
            vault: self.vault(),
            root_public: self.root_public(),
            door: DoorSecret(*derive(&self.0, b"door")),
            cut: *derive(&self.0, b"cut"),
            fingerprint: *derive(&self.0, b"fingerprint"),
            map: *derive(&self.0, b"map"),
            recovery: PublicKey::from(&self.recovery_key()).to_bytes(),
            content: vec![(epoch_id(&content), *content)],
        }
    }
}

impl DoorSecret {
    /// The door secret with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FullKeys {
    /// What a store node may be given of these.
    #[must_use]
    pub fn store_keys(&self) -> StoreKeys {
        StoreKeys { vault: self.vault, root_public: self.root_public, door: self.door.clone() }
    }

    /// The epoch that seals.
    #[must_use]
    pub fn epoch(&self) -> Option<EpochId> {
        self.content.last().map(|(id, _)| *id)
    }

    /// The content key of an epoch, if it is here.
    #[must_use]
    pub fn content_key(&self, epoch: &EpochId) -> Option<&[u8; 32]> {
        self.content.iter().find(|(id, _)| id == epoch).map(|(_, key)| key)
    }

    /// Takes another epoch's content key, behind that of the epoch that seals. False if it is here, or there are too many.
    pub fn learn(&mut self, key: &[u8; 32]) -> bool {
        let epoch = epoch_id(key);
        if self.content.len() >= EPOCHS_MAX || self.content_key(&epoch).is_some() {
            return false;
        }
        // A vector that grows would leave its keys behind in memory: they are copied and wiped.
        let mut content = Vec::with_capacity(self.content.len() + 1);
        content.push((epoch, *key));
        content.extend_from_slice(&self.content);
        core::mem::swap(&mut self.content, &mut content);
        content.iter_mut().for_each(|(_, key)| key.zeroize());
        true
    }

    /// From now on this epoch seals. False if its key is not here.
    pub fn seal_with(&mut self, epoch: &EpochId) -> bool {
        let found = self.content.iter().position(|(id, _)| id == epoch);
        if let Some(index) = found {
            self.content[index..].rotate_left(1);
        }
        found.is_some()
    }

    /// The form in which they are kept in the home, or sent to a node that joins.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let wire = FullWire {
            root_public: self.root_public,
            door: self.door.0,
            cut: self.cut,
            fingerprint: self.fingerprint,
            map: self.map,
            recovery: self.recovery,
            content: self.content.iter().map(|(_, key)| *key).collect(),
        };
        encode(&wire)
    }

    /// Reads what [`FullKeys::encode`] wrote; total. Ids are derived anew, not trusted.
    ///
    /// # Errors
    /// [`KeysError`]
    pub fn decode(bytes: &[u8]) -> Result<Self, KeysError> {
        // Each key is 32 bytes, so the number of epochs is bounded by the length before anything is read.
        if bytes.len() > 256 + 32 * EPOCHS_MAX {
            return Err(KeysError::Malformed);
        }
        let wire: FullWire = decode(bytes)?;
        let keys = (!wire.content.is_empty()).then(|| Self {
            vault: vault_of(&wire.root_public),
            root_public: wire.root_public,
            door: DoorSecret(wire.door),
            cut: wire.cut,
            fingerprint: wire.fingerprint,
            map: wire.map,
            recovery: wire.recovery,
            content: wire.content.iter().map(|key| (epoch_id(key), *key)).collect(),
        });
        keys.ok_or(KeysError::Malformed)
    }
}

impl StoreKeys {
    /// The form in which they are kept in the home, or sent to a node that joins.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut wire = (self.root_public, self.door.0);
        let bytes = encode(&wire);
        wire.1.zeroize();
        bytes
    }

    /// Reads what [`StoreKeys::encode`] wrote; total.
    ///
    /// # Errors
    /// [`KeysError`]
    pub fn decode(bytes: &[u8]) -> Result<Self, KeysError> {
        let (root_public, mut door) = decode::<([u8; 32], [u8; 32])>(bytes)?;
        let keys = Self { vault: vault_of(&root_public), root_public, door: DoorSecret(door) };
        door.zeroize();
        Ok(keys)
    }
}

impl NodeSecret {
    /// The identity that grows from 32 random bytes.
    #[must_use]
    pub fn from_seed(mut seed: [u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(&derive(&seed, b"node signing"));
        let channel = *derive(&seed, b"node channel");
        seed.zeroize();
        Self { signing, channel }
    }

    /// The node's id.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        node_id(&self.signing_public())
    }

    /// The key that signs its feeds.
    #[must_use]
    pub const fn signing_key(&self) -> &SigningKey {
        &self.signing
    }

    /// Its public half.
    #[must_use]
    pub fn signing_public(&self) -> [u8; 32] {
        self.signing.verifying_key().to_bytes()
    }

    /// The secret half of the channel key (X25519).
    #[must_use]
    pub const fn channel_secret(&self) -> &[u8; 32] {
        &self.channel
    }

    /// The public half of the channel key.
    #[must_use]
    pub fn channel_public(&self) -> [u8; 32] {
        PublicKey::from(&StaticSecret::from(self.channel)).to_bytes()
    }

    /// The form in which it is kept in the home.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut wire = (self.signing.to_bytes(), self.channel);
        let bytes = encode(&wire);
        wire.0.zeroize();
        wire.1.zeroize();
        bytes
    }

    /// Reads what [`NodeSecret::encode`] wrote; total.
    ///
    /// # Errors
    /// [`KeysError`]
    pub fn decode(bytes: &[u8]) -> Result<Self, KeysError> {
        let (mut signing, mut channel) = decode::<([u8; 32], [u8; 32])>(bytes)?;
        let secret = Self { signing: SigningKey::from_bytes(&signing), channel };
        signing.zeroize();
        channel.zeroize();
        Ok(secret)
    }
}

/// The id of the node with this public signing key.
#[must_use]
pub fn node_id(signing_public: &[u8; 32]) -> NodeId {
    NodeId::from_bytes(Sha256::digest(signing_public).into())
}

/// The id of the epoch with this content key: derived, so that it tells nothing of the key and needs no order.
#[must_use]
pub fn epoch_id(content_key: &[u8; 32]) -> EpochId {
    let derived = derive(content_key, b"epoch id");
    let mut id = [0; 8];
    id.copy_from_slice(&derived[..8]);
    EpochId::from_bytes(id)
}

/// The vault whose root has this public signing key.
fn vault_of(root_public: &[u8; 32]) -> VaultId {
    VaultId::from_bytes(Sha256::digest(root_public).into())
}

/// The encoded form of [`FullKeys`].
#[derive(Serialize, Deserialize)]
struct FullWire {
    /// The root's public signing key.
    root_public: [u8; 32],
    /// The door secret.
    door: [u8; 32],
    /// The cut key.
    cut: [u8; 32],
    /// The fingerprint key.
    fingerprint: [u8; 32],
    /// The map key.
    map: [u8; 32],
    /// The public half of the recovery key.
    recovery: [u8; 32],
    /// Content keys; the last one seals.
    content: Vec<[u8; 32]>,
}

/// Wipes on drop, and prints without its secrets.
macro_rules! secret {
    ($name:ident: $($field:tt),+) => {
        impl Drop for $name {
            fn drop(&mut self) {
                $(self.$field.zeroize();)+
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

secret!(RootSecret: 0);
secret!(DoorSecret: 0);
secret!(FullWire: door, cut, fingerprint, map, content);
secret!(NodeSecret: channel);

impl Drop for FullKeys {
    fn drop(&mut self) {
        for key in [&mut self.cut, &mut self.fingerprint, &mut self.map] {
            key.zeroize();
        }
        for (_, key) in &mut self.content {
            key.zeroize();
        }
    }
}

impl fmt::Debug for FullKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FullKeys({}, {} epochs)", self.vault.short(), self.content.len())
    }
}

impl fmt::Debug for StoreKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StoreKeys({})", self.vault.short())
    }
}

#[cfg(test)]
mod tests;
