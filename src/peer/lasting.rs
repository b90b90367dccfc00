//! This node's lasting channel key as handshakes use it: its public half, and what it agrees on with each member's.
//!
//! Every attempt to reach a member needs both, they are always the same, and each costs a small machine half a millisecond or more; a member
//! that is away for a night is tried hundreds of times. So they are kept: in memory only, beside the secret, from which they follow
//! anyway. Refuses to keep what was agreed on with a key that nobody has vouched for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use snow::types::{Dh, Random};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, Zeroizing};

use crate::base::limits::AGREED_KEYS_MAX;

/// The key.
pub struct Lasting {
    /// The secret.
    secret: [u8; 32],
    /// Its public half.
    public: [u8; 32],
    /// What it agrees on with members' keys, once that was needed.
    agreed: Mutex<Agreed>,
}

/// By members' keys: what is agreed on with each; None: that was not needed yet.
type Agreed = BTreeMap<[u8; 32], Option<Zeroizing<[u8; 32]>>>;

/// A key of a handshake as snow asks for one: the lasting one, or one that is drawn for this handshake.
pub struct HandshakeKey {
    /// What is known of the lasting one.
    lasting: Arc<Lasting>,
    /// The secret and public half that this is; None: the lasting one.
    drawn: Option<(Zeroizing<[u8; 32]>, [u8; 32])>,
}

impl Lasting {
    /// The key with this secret.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        let public = PublicKey::from(&StaticSecret::from(secret)).to_bytes();
        Self { secret, public, agreed: Mutex::default() }
    }

    /// The secret.
    #[must_use]
    pub const fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// This is the channel key of a member: what is agreed on with it is worth keeping.
    pub fn vouch(&self, member: &[u8; 32]) {
        let mut agreed = self.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        if agreed.len() >= AGREED_KEYS_MAX && !agreed.contains_key(member) {
            agreed.clear();
        }
        agreed.entry(*member).or_default();
    }

    /// What this key and another one agree on (X25519).
    fn agree(&self, other: &[u8; 32]) -> Zeroizing<[u8; 32]> {
        let mut agreed = self.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        match agreed.get_mut(other) {
            Some(Some(known)) => known.clone(),
            Some(unknown) => unknown.insert(exchange(&self.secret, &self.public, other)).clone(),
            None => exchange(&self.secret, &self.public, other),
        }
    }
}

impl HandshakeKey {
    /// The lasting key, until another one is set or drawn.
    #[must_use]
    pub const fn new(lasting: Arc<Lasting>) -> Self {
        Self { lasting, drawn: None }
    }
}

impl Dh for HandshakeKey {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        KEY_BYTES
    }

    fn priv_len(&self) -> usize {
        KEY_BYTES
    }

    fn set(&mut self, privkey: &[u8]) {
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        secret.copy_from_slice(privkey);
        self.drawn = None;
        if *secret != self.lasting.secret {
            let public = drawn_public(&secret);
            self.drawn = Some((secret, public));
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        let mut secret = Zeroizing::new([0; KEY_BYTES]);
        rng.try_fill_bytes(&mut secret[..])?;
        self.set(&secret[..]);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        self.drawn.as_ref().map_or(&self.lasting.public, |(_, public)| public)
    }

    fn privkey(&self) -> &[u8] {
        self.drawn.as_ref().map_or(&self.lasting.secret[..], |(secret, _)| &secret[..])
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        let other = pubkey.first_chunk::<KEY_BYTES>().ok_or(snow::Error::Dh)?;
        let agreed = match &self.drawn {
            Some((secret, public)) => exchange(secret, public, other),
            None => self.lasting.agree(other),
        };
        out.get_mut(..KEY_BYTES).ok_or(snow::Error::Dh)?.copy_from_slice(&agreed[..]);
        Ok(())
    }
}

/// The public half of a key that was drawn for one handshake.
fn drawn_public(secret: &[u8; 32]) -> [u8; 32] {
    #[cfg(test)]
    if pretended::is_used() {
        return pretended::public(secret);
    }
    PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
}

/// X25519 (RFC 7748, section 5) of a secret, whose public half is `own`, and the other side's public half.
fn exchange(secret: &[u8; 32], own: &[u8; 32], other: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    #[cfg(test)]
    if pretended::is_used() {
        return Zeroizing::new(pretended::exchange(own, other));
    }
    let _ = own;
    Zeroizing::new(x25519_dalek::x25519(*secret, *other))
}

impl Drop for Lasting {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// Length of an X25519 key, secret or public, and of what two agree on.
const KEY_BYTES: usize = 32;

/// Tests only: what simulated households may use in the place of X25519, where nobody listens who could take advantage of it. Both sides
/// agree on as many bytes, from their own key and the other's, and who has another key agrees on something else; but it takes a
/// hundredth of the time, and most of what a household does in its hours of quiet is to knock at nodes that are off.
#[cfg(test)]
pub mod pretended {
    use std::cell::Cell;

    thread_local! {
        /// Whether this thread uses it.
        static USED: Cell<bool> = const { Cell::new(false) };
    }

    /// Whether nodes of this thread use it from now on; handshakes that have begun come to nothing.
    pub fn set_used(is_used: bool) {
        USED.set(is_used);
    }

    /// Whether this thread uses it.
    pub(super) fn is_used() -> bool {
        USED.get()
    }

    /// What stands for the public half of a drawn key.
    pub(super) fn public(secret: &[u8; 32]) -> [u8; 32] {
        blake3::keyed_hash(secret, b"public").into()
    }

    /// What two keys with these public halves agree on.
    pub(super) fn exchange(one: &[u8; 32], other: &[u8; 32]) -> [u8; 32] {
        let (first, second) = (one.min(other), one.max(other));
        blake3::keyed_hash(first, second).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a key agrees on with another one.
    fn dh(key: &HandshakeKey, other: &[u8; 32]) -> [u8; 32] {
        let mut out = [0; 32];
        key.dh(other, &mut out).unwrap();
        out
    }

    #[test]
    fn what_is_kept_is_what_would_be_computed_and_only_of_members() {
        let (ours, theirs) = (Arc::new(Lasting::new([8; 32])), Lasting::new([9; 32]));
        let expected = x25519_dalek::x25519([8; 32], *theirs.public());
        let mut key = HandshakeKey::new(Arc::clone(&ours));
        key.set(&[8; 32]);
        assert_eq!((key.pubkey(), key.privkey()), (&ours.public()[..], &[8; 32][..]));
        assert_eq!(dh(&key, theirs.public()), expected);
        assert!(ours.agreed.lock().unwrap().is_empty(), "nobody has vouched for it");
        ours.vouch(theirs.public());
        for _ in 0..2 {
            assert_eq!(dh(&key, theirs.public()), expected);
        }
        assert_eq!(ours.agreed.lock().unwrap().len(), 1);
        for number in 0..u16::try_from(AGREED_KEYS_MAX + 10).unwrap() {
            let mut other = [1; 32];
            other[..2].copy_from_slice(&number.to_le_bytes());
            ours.vouch(&other);
        }
        assert!(ours.agreed.lock().unwrap().len() <= AGREED_KEYS_MAX);
        assert_eq!(dh(&key, theirs.public()), expected);
    }

    #[test]
    fn a_key_that_is_drawn_is_another_one() {
        /// Bytes that count.
        struct Counting(u8);
        impl Random for Counting {
            fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), snow::Error> {
                out.fill_with(|| {
                    self.0 = self.0.wrapping_add(1);
                    self.0
                });
                Ok(())
            }
        }
        let lasting = Arc::new(Lasting::new([8; 32]));
        let mut key = HandshakeKey::new(Arc::clone(&lasting));
        key.generate(&mut Counting(0)).unwrap();
        let secret = <[u8; 32]>::try_from(key.privkey()).unwrap();
        assert_eq!(secret[..3], [1, 2, 3]);
        assert_eq!(key.pubkey(), PublicKey::from(&StaticSecret::from(secret)).as_bytes());
        let other = Lasting::new([9; 32]);
        lasting.vouch(other.public());
        assert_eq!(dh(&key, other.public()), x25519_dalek::x25519(secret, *other.public()));
        assert!(lasting.agreed.lock().unwrap()[other.public()].is_none(), "that is not kept");
        assert!(key.dh(&[0; 31], &mut [0; 32]).is_err() && key.dh(&[0; 32], &mut [0; 31]).is_err());
    }
}
