//! A device's word that it looked after a folder: "I have compared it with its last snapshot, and nothing is missing". A scan
//! that finds nothing new writes no entry, so this travels between peers; the writer signs it, so that nobody else can make
//! a silent device look alive. It says nothing of when: each node measures that with its own running time.
//!
//! ```text
//! signed: "nuthatch mark\0" | vault 32 | writer 32 | folder 16 | number u64 | every u64, little endian      (Ed25519)
//! ```

use super::entry::is_signed_by;
use crate::base::ids::{FolderId, NodeId, VaultId};
use ed25519_dalek::{Signer, SigningKey};

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Who looked.
    pub writer: NodeId,
    /// After which folder.
    pub folder: FolderId,
    /// The writer's own running time then, in microseconds: later marks have greater numbers, unless its disk is old.
    pub number: u64,
    /// How often it means to look, in microseconds.
    pub every_us: u64,
}

/// Signs a mark.
#[must_use]
pub fn sign_mark(mark: &Mark, vault: &VaultId, key: &SigningKey) -> [u8; 64] {
    key.sign(&text(mark, vault)).to_bytes()
}

/// Whether the holder of `public` signed this mark.
#[must_use]
pub fn is_signed(mark: &Mark, vault: &VaultId, public: &[u8; 32], signature: &[u8; 64]) -> bool {
    is_signed_by(public, &text(mark, vault), signature)
}

/// What is signed.
fn text(mark: &Mark, vault: &VaultId) -> Vec<u8> {
    [
        CONTEXT,
        vault.as_bytes().as_slice(),
        mark.writer.as_bytes(),
        mark.folder.as_bytes(),
        &mark.number.to_le_bytes(),
        &mark.every_us.to_le_bytes(),
    ]
    .concat()
}

/// Separates marks from whatever else the key signs.
const CONTEXT: &[u8] = b"nuthatch mark\0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_its_writers_and_says_nothing_else() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let (vault, public) = (VaultId::from_bytes([1; 32]), key.verifying_key().to_bytes());
        let mark = Mark {
            writer: NodeId::from_bytes([2; 32]),
            folder: FolderId::from_bytes([3; 16]),
            number: 4,
            every_us: 5,
        };
        let signature = sign_mark(&mark, &vault, &key);
        assert!(is_signed(&mark, &vault, &public, &signature));
        let others = [
            Mark { writer: NodeId::from_bytes([0; 32]), ..mark },
            Mark { folder: FolderId::from_bytes([0; 16]), ..mark },
            Mark { number: 5, ..mark },
            Mark { every_us: 4, ..mark },
        ];
        assert!(others.iter().all(|other| !is_signed(other, &vault, &public, &signature)));
        assert!(!is_signed(&mark, &VaultId::from_bytes([0; 32]), &public, &signature));
        let stranger = SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes();
        assert!(!is_signed(&mark, &vault, &stranger, &signature));
    }
}
