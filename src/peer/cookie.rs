//! Cookies: proofs of having received something at an address.
//!
//! Owns: what a cookie is made of, how it is sealed on its way, how a first message shows it. Refuses: to say when one is
//! asked for (`gate.rs`). Read first: PROTOCOL.md, "Load"; WireGuard's paper, section 5.4.7.

use crate::wire::packet::{self, COOKIE_SEALED_BYTES, COOKIE_SECRET_BYTES, MAC_BYTES};
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, Tag};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::net::{IpAddr, SocketAddr};
use zeroize::Zeroizing;

/// A proof of having received something at an address.
pub type Cookie = [u8; COOKIE_SECRET_BYTES];

/// HKDF info of the key that seals cookies, and of the key of each single one.
pub const INFO: &[u8] = b"nuthatch channel cookie v1";

/// The cookie of an address: IP *and* port.
#[must_use]
pub fn of(secret: &[u8; 32], from: SocketAddr) -> Cookie {
    let mut bytes = [0; 18];
    let ip = match from.ip() {
        IpAddr::V4(four) => four.to_ipv6_mapped(),
        IpAddr::V6(six) => six,
    };
    bytes[..16].copy_from_slice(&ip.octets());
    bytes[16..].copy_from_slice(&from.port().to_le_bytes());
    let full = hmac(secret, &bytes).finalize().into_bytes();
    let mut cookie = [0; COOKIE_SECRET_BYTES];
    cookie.copy_from_slice(&full[..COOKIE_SECRET_BYTES]);
    cookie
}

/// The MAC by which a first message shows its cookie, over all that stands before it.
#[must_use]
pub fn proof(cookie: &Cookie, covered: &[u8]) -> [u8; MAC_BYTES] {
    let full = hmac(cookie, covered).finalize().into_bytes();
    let mut mac = [0; MAC_BYTES];
    mac.copy_from_slice(&full[..MAC_BYTES]);
    mac
}

/// Whether a first message shows this cookie; in constant time.
#[must_use]
pub fn is_proven(cookie: &Cookie, covered: &[u8], mac: &[u8; MAC_BYTES]) -> bool {
    hmac(cookie, covered).verify_truncated_left(mac).is_ok()
}

/// Seals a cookie for whoever has sent the first message with this MAC.
#[must_use]
pub fn seal(
    key: &[u8; 32],
    nonce: &[u8; MAC_BYTES],
    init: &[u8; MAC_BYTES],
    cookie: &Cookie,
) -> [u8; COOKIE_SEALED_BYTES] {
    let mut sealed = [0; COOKIE_SEALED_BYTES];
    let (place, tag) = sealed.split_at_mut(COOKIE_SECRET_BYTES);
    place.copy_from_slice(cookie);
    let written = cipher(key, nonce)
        .encrypt_in_place_detached(&Nonce::default(), init, place)
        .expect("a cookie is shorter than the 256 GiB at which this cipher gives up");
    tag.copy_from_slice(&written);
    sealed
}

/// Opens the cookie that answers the first message with this MAC.
#[must_use]
pub fn open(key: &[u8; 32], init: &[u8; MAC_BYTES], answer: &packet::Cookie<'_>) -> Option<Cookie> {
    let (sealed, tag) = answer.sealed.split_first_chunk::<COOKIE_SECRET_BYTES>()?;
    let mut cookie = *sealed;
    let tag = Tag::from_slice(tag);
    cipher(key, answer.nonce).decrypt_in_place_detached(&Nonce::default(), init, &mut cookie, tag).ok()?;
    Some(cookie)
}

/// The cipher of one cookie datagram: its key is used once, so that its nonce may be zero.
fn cipher(key: &[u8; 32], nonce: &[u8; MAC_BYTES]) -> ChaCha20Poly1305 {
    let mut once = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(Some(nonce), key)
        .expand(INFO, &mut once[..])
        .expect("32 bytes are less than HKDF's bound");
    ChaCha20Poly1305::new(Key::from_slice(&once[..]))
}

/// HMAC-SHA-256 over `covered`.
fn hmac(key: &[u8], covered: &[u8]) -> Hmac<Sha256> {
    let mut hmac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    hmac.update(covered);
    hmac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::hex;

    #[test]
    fn cookies_are_golden_and_open_for_their_first_message_only() {
        let cookie = of(&[1; 32], "192.168.1.20:7117".parse().unwrap());
        assert_eq!(hex(&cookie), "56eef53bdf249810bb18dbf2241d95da");
        assert_eq!(hex(&proof(&cookie, b"covered")), "820b3654fbf34c3637587f97293eef62");
        assert!(is_proven(&cookie, b"covered", &proof(&cookie, b"covered")));
        let sealed = seal(&[2; 32], &[3; 16], &[4; 16], &cookie);
        assert_eq!(hex(&sealed), "aa2a0cba4e65324a7f0cecc9d8a2b79f714e651e674601885656ba88adf9e587");
        let answer = packet::Cookie { receiver: 0, nonce: &[3; 16], sealed: &sealed };
        assert_eq!(open(&[2; 32], &[4; 16], &answer), Some(cookie));
        assert_eq!(open(&[2; 32], &[5; 16], &answer), None);
        assert_eq!(open(&[9; 32], &[4; 16], &answer), None);
    }
}
