//! Joining by a code: the cryptography and the datagrams that both sides share.
//!
//! Owns: reading a code, the keys that come from SPAKE2, the layout of the bodies. Refuses: to count attempts
//! (`invite.rs`) and to send again (`join.rs`). Read first: PROTOCOL.md, "Pairing"; RFC 9382 for SPAKE2 (the `spake2`
//! crate predates it: same group and flow, its own transcript).

use super::event::{CloseReason, CodeError, PairFailure};
use crate::base::limits::{DATAGRAM_BYTES_BASE, PAIRING_CODE_DIGITS, PAIRING_HELLO_BYTES_MAX};
use crate::wire::packet::{PairHeader, PairStage, PAIR_HEADER_BYTES, TAG_BYTES};
use chacha20poly1305::aead::{AeadInPlace, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce, Tag};
use core::fmt;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use rand_chacha::ChaCha20Rng;
use sha2::Sha256;
use spake2::{Ed25519Group, Identity, Password, Spake2};
use zeroize::Zeroizing;

/// Random name of an invitation; never a function of the code.
pub type Tag8 = [u8; 8];

/// One side of SPAKE2.
pub type Exchange = Spake2<Ed25519Group>;

/// The digits of a code, without what people type between them.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Zeroizing<[u8; PAIRING_CODE_DIGITS]>);

/// What a finished SPAKE2 gives both sides.
pub struct PairKeys {
    /// Keys the joiner's confirmation and requests.
    pub joiner: Zeroizing<[u8; 32]>,
    /// Keys the inviter's confirmation and small answers.
    pub inviter: Zeroizing<[u8; 32]>,
    /// Seals the joiner's hello, with nonce 0.
    joiner_seal: Zeroizing<[u8; 32]>,
    /// Seals the parts of the inviter's payload, each with its number as nonce.
    inviter_seal: Zeroizing<[u8; 32]>,
}

/// What a datagram says; the second byte after the header's stage, so to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Joiner: who invites here? Inviter: this invitation.
    Ask = 1,
    /// Both: their SPAKE2 message. This is an attempt.
    Start = 2,
    /// Joiner: confirmation and hello. Inviter: confirmation.
    Confirm = 3,
    /// Joiner: asks for a part of the payload. Inviter: that part.
    Part = 4,
    /// Inviter: the payload is not there yet.
    Wait = 5,
    /// Inviter: the confirmation is wrong, so the code is.
    Rejected = 6,
    /// Inviter: no more attempts, or none of this joiner's; why is one byte.
    Closed = 7,
}

/// A body, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Body<'a> {
    /// What it says.
    pub step: Step,
    /// Which invitation; zeros in a joiner's Ask.
    pub tag: Tag8,
    /// What follows.
    pub rest: &'a [u8],
}

/// The joiner's Confirm, taken apart.
pub struct Confirmation<'a> {
    /// Over header, step, tag and sealed hello.
    pub mac: &'a [u8; MAC_BYTES],
    /// The hello and its tag.
    pub sealed: &'a [u8],
}

impl Code {
    /// Reads eight digits; spaces and hyphens between them do not count.
    ///
    /// # Errors
    /// [`CodeError`].
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let mut digits = Zeroizing::new([0; PAIRING_CODE_DIGITS]);
        let mut places = digits.iter_mut();
        for character in text.trim().bytes().filter(|character| !matches!(character, b' ' | b'-')) {
            let place = places.next().filter(|_| character.is_ascii_digit()).ok_or(CodeError)?;
            *place = character;
        }
        if places.next().is_some() {
            return Err(CodeError);
        }
        drop(places);
        Ok(Self(digits))
    }

    /// Begins SPAKE2 as the joiner: the state and the message.
    pub fn start_joiner(&self, exchange: u64, tag: &Tag8, random: &mut ChaCha20Rng) -> (Exchange, Vec<u8>) {
        let (joiner, inviter) = identities(exchange, tag);
        Spake2::start_a_with_rng(&Password::new(&self.0[..]), &joiner, &inviter, random)
    }

    /// Begins SPAKE2 as the inviter: the state and the message.
    pub fn start_inviter(&self, exchange: u64, tag: &Tag8, random: &mut ChaCha20Rng) -> (Exchange, Vec<u8>) {
        let (joiner, inviter) = identities(exchange, tag);
        Spake2::start_b_with_rng(&Password::new(&self.0[..]), &joiner, &inviter, random)
    }
}

impl PairKeys {
    /// Ends SPAKE2 with the other side's message; None if it is none.
    #[must_use]
    pub fn finish(exchange: Exchange, message: &[u8]) -> Option<Self> {
        let shared = Zeroizing::new(exchange.finish(message).ok()?);
        let kdf = Hkdf::<Sha256>::new(None, &shared);
        let derive = |info: &[u8]| {
            let mut key = Zeroizing::new([0; 32]);
            kdf.expand(info, &mut key[..]).expect("32 bytes are less than HKDF's bound");
            key
        };
        Some(Self {
            joiner: derive(b"nuthatch pairing joiner mac v1"),
            inviter: derive(b"nuthatch pairing inviter mac v1"),
            joiner_seal: derive(b"nuthatch pairing joiner seal v1"),
            inviter_seal: derive(b"nuthatch pairing inviter seal v1"),
        })
    }

    /// Seals the joiner's hello, once an exchange. `head` is the datagram before it.
    #[must_use]
    pub fn seal_hello(&self, head: &[u8], hello: &[u8]) -> Vec<u8> {
        seal(&self.joiner_seal, 0, head, hello)
    }

    /// Opens the joiner's hello.
    #[must_use]
    pub fn open_hello(&self, head: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        open(&self.joiner_seal, 0, head, sealed)
    }

    /// Seals a part of the inviter's payload; the payload of an exchange never changes.
    #[must_use]
    pub fn seal_part(&self, number: u8, head: &[u8], part: &[u8]) -> Vec<u8> {
        seal(&self.inviter_seal, number, head, part)
    }

    /// Opens a part of the inviter's payload.
    #[must_use]
    pub fn open_part(&self, number: u8, head: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        open(&self.inviter_seal, number, head, sealed)
    }
}

/// The start of a datagram: header, step, tag. It is covered by whatever authenticates the rest.
#[must_use]
pub fn head(
    stage: PairStage,
    (fragment, fragments): (u8, u8),
    exchange: u64,
    step: Step,
    tag: &Tag8,
) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(DATAGRAM_BYTES_BASE);
    bytes.extend_from_slice(&PairHeader { stage, fragment, fragments, exchange }.to_bytes());
    bytes.push(step as u8);
    bytes.extend_from_slice(tag);
    bytes
}

/// The start of a datagram as it was received.
#[must_use]
pub fn head_of(header: PairHeader, body: &Body<'_>) -> Vec<u8> {
    head(header.stage, (header.fragment, header.fragments), header.exchange, body.step, &body.tag)
}

/// Fills a joiner's datagram with zeros, so that no answer is longer than the question.
#[must_use]
pub fn padded(mut datagram: Vec<u8>) -> Vec<u8> {
    datagram.resize(datagram.len().max(DATAGRAM_BYTES_BASE), 0);
    datagram
}

/// Takes a body apart; None if it is none.
#[must_use]
pub fn parse_body(bytes: &[u8]) -> Option<Body<'_>> {
    let (&step, rest) = bytes.split_first()?;
    let (&tag, rest) = rest.split_first_chunk::<8>()?;
    let step = match step {
        1 => Step::Ask,
        2 => Step::Start,
        3 => Step::Confirm,
        4 => Step::Part,
        5 => Step::Wait,
        6 => Step::Rejected,
        7 => Step::Closed,
        _ => return None,
    };
    Some(Body { step, tag, rest })
}

/// The rest of a joiner's Confirm: MAC, length, sealed hello.
#[must_use]
pub fn confirmation_bytes(keys: &PairKeys, head: &[u8], hello: &[u8]) -> Vec<u8> {
    let sealed = keys.seal_hello(head, hello);
    let length = u16::try_from(sealed.len()).expect("a hello is shorter than a datagram");
    let mut bytes = mac(&keys.joiner, &[head, &sealed]).to_vec();
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&sealed);
    bytes
}

/// Takes the rest of a joiner's Confirm apart.
#[must_use]
pub fn parse_confirmation(rest: &[u8]) -> Option<Confirmation<'_>> {
    let (mac, rest) = rest.split_first_chunk::<MAC_BYTES>()?;
    let (&length, rest) = rest.split_first_chunk::<2>()?;
    let length = usize::from(u16::from_le_bytes(length));
    let sealed = rest.get(..length)?;
    (length <= PAIRING_HELLO_BYTES_MAX + TAG_BYTES).then_some(Confirmation { mac, sealed })
}

/// HMAC-SHA-256 over `parts`. Unlike the seal's tag it commits to its key, so that one attempt tests one code only.
#[must_use]
pub fn mac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; MAC_BYTES] {
    hmac(key, parts).finalize().into_bytes().into()
}

/// Whether `mac` is right; in constant time.
#[must_use]
pub fn verifies(key: &[u8; 32], parts: &[&[u8]], mac: &[u8]) -> bool {
    hmac(key, parts).verify_slice(mac).is_ok()
}

/// HMAC-SHA-256 that has read `parts`.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Hmac<Sha256> {
    let mut hmac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        hmac.update(part);
    }
    hmac
}

/// Why it is too late, as the byte behind a Closed.
#[must_use]
pub const fn why_closed(reason: CloseReason) -> u8 {
    match reason {
        CloseReason::Used => 1,
        CloseReason::Attempts => 2,
        CloseReason::Expired | CloseReason::Withdrawn => 3,
    }
}

/// What a Closed with these bytes behind it means for the joiner.
#[must_use]
pub fn failure_of(rest: &[u8]) -> PairFailure {
    match rest.first() {
        Some(1) => PairFailure::Used,
        Some(2) => PairFailure::Attempts,
        Some(&WHY_DECLINED) => PairFailure::Declined,
        _ => PairFailure::Closed,
    }
}

/// Names of joiner and inviter, which SPAKE2 binds into its key.
fn identities(exchange: u64, tag: &Tag8) -> (Identity, Identity) {
    let joiner = [&b"nuthatch pairing joiner v1 "[..], &exchange.to_le_bytes()].concat();
    let inviter = [&b"nuthatch pairing inviter v1 "[..], tag].concat();
    (Identity::new(&joiner), Identity::new(&inviter))
}

/// ChaCha20-Poly1305; a number is used for one text only.
fn seal(key: &[u8; 32], number: u8, head: &[u8], plain: &[u8]) -> Vec<u8> {
    let cipher = ChaCha20Poly1305::new(Key::from_slice(key));
    let mut sealed = plain.to_vec();
    let tag = cipher
        .encrypt_in_place_detached(&nonce(number), head, &mut sealed)
        .expect("the text is shorter than the cipher's bound");
    sealed.extend_from_slice(&tag);
    sealed
}

/// The reverse of [`seal`].
fn open(key: &[u8; 32], number: u8, head: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (text, tag) = sealed.split_last_chunk::<TAG_BYTES>()?;
    let mut plain = text.to_vec();
    ChaCha20Poly1305::new(Key::from_slice(key))
        .decrypt_in_place_detached(&nonce(number), head, &mut plain, Tag::from_slice(tag))
        .ok()?;
    Some(plain)
}

/// A nonce from a number.
fn nonce(number: u8) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[0] = number;
    nonce
}

impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Code")
    }
}

impl fmt::Debug for PairKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PairKeys")
    }
}

/// Length of a confirmation and of every other MAC here.
pub const MAC_BYTES: usize = 32;

/// The byte behind a Closed that says: the code was right, and the inviter cannot let this joiner in.
pub const WHY_DECLINED: u8 = 4;

/// Length of a SPAKE2 message: side and group element.
pub const SPAKE_BYTES: usize = 33;

const _: () = assert!(
    PAIR_HEADER_BYTES + 9 + MAC_BYTES + 2 + PAIRING_HELLO_BYTES_MAX + TAG_BYTES <= DATAGRAM_BYTES_BASE
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::hex;
    use rand_core::SeedableRng;

    /// Both sides of an exchange, each with its own code, and their messages.
    fn exchange(joiner: &str, inviter: &str) -> (PairKeys, PairKeys, [Vec<u8>; 2]) {
        let mut random = ChaCha20Rng::from_seed([1; 32]);
        let (number, tag) = (0x0807_0605_0403_0201, [9; 8]);
        let (left, hers) = Code::parse(joiner).unwrap().start_joiner(number, &tag, &mut random);
        let (right, his) = Code::parse(inviter).unwrap().start_inviter(number, &tag, &mut random);
        assert_eq!((hers.len(), his.len()), (SPAKE_BYTES, SPAKE_BYTES));
        (PairKeys::finish(left, &his).unwrap(), PairKeys::finish(right, &hers).unwrap(), [hers, his])
    }

    #[test]
    fn the_start_is_golden() {
        let (.., [hers, _]) = exchange("12345678", "12345678");
        let mut datagram = head(PairStage::Hello, (0, 1), 0x0807_0605_0403_0201, Step::Start, &[9; 8]);
        datagram.extend_from_slice(&hers);
        let golden = [
            // type 16, version 1, fragment 0 of 1, exchange
            "100100010102030405060708",
            // step 2, tag
            "020909090909090909",
            // 'A', group element
            "41e18ff3acfd4cf9d396b5859b1a6e0e3b6df1b9d3d5b135f4392161b5183e18d2",
        ];
        assert_eq!(hex(&datagram), golden.concat());
        assert_eq!(padded(datagram).len(), DATAGRAM_BYTES_BASE);
    }

    #[test]
    fn the_same_code_gives_the_same_keys_and_another_code_others() {
        let start = head(PairStage::Confirm, (0, 1), 1, Step::Confirm, &[9; 8]);
        for (joiner, inviter, same) in [("12345678", "1234 5678", true), ("12345678", "12345679", false)] {
            let (left, right, _) = exchange(joiner, inviter);
            let bytes = confirmation_bytes(&left, &start, b"hello");
            let confirmation = parse_confirmation(&bytes).unwrap();
            let is_right = verifies(&right.joiner, &[&start, confirmation.sealed], confirmation.mac);
            assert_eq!(is_right, same);
            assert_eq!(right.open_hello(&start, confirmation.sealed), same.then(|| b"hello".to_vec()));
            assert_eq!(*left.inviter == *right.inviter, same);
        }
    }

    #[test]
    fn the_invitation_and_the_exchange_are_bound_into_the_key() {
        let mut random = ChaCha20Rng::from_seed([1; 32]);
        let code = Code::parse("12345678").unwrap();
        for (number, tag, same) in [(1, [1; 8], true), (2, [1; 8], false), (1, [2; 8], false)] {
            let (left, hers) = code.start_joiner(1, &[1; 8], &mut random);
            let (right, his) = code.start_inviter(number, &tag, &mut random);
            let keys = (PairKeys::finish(left, &his).unwrap(), PairKeys::finish(right, &hers).unwrap());
            assert_eq!(*keys.0.joiner == *keys.1.joiner, same);
        }
    }

    #[test]
    fn bodies_are_parsed_or_refused() {
        let whole = head(PairStage::Hello, (0, 1), 1, Step::Closed, &[9; 8]);
        let body = &whole[PAIR_HEADER_BYTES..];
        assert_eq!(parse_body(body), Some(Body { step: Step::Closed, tag: [9; 8], rest: &[] }));
        assert!((0..body.len()).all(|length| parse_body(&body[..length]).is_none()));
        assert_eq!((parse_body(&[0; 20]), parse_body(&[8; 20])), (None, None));
        let (left, ..) = exchange("12345678", "12345678");
        let bytes = confirmation_bytes(&left, &whole, &[5; PAIRING_HELLO_BYTES_MAX]);
        assert!(parse_confirmation(&bytes).is_some());
        assert!((0..bytes.len()).all(|length| parse_confirmation(&bytes[..length]).is_none()));
        let long = confirmation_bytes(&left, &whole, &[5; PAIRING_HELLO_BYTES_MAX + 1]);
        assert!(parse_confirmation(&long).is_none());
    }
}
