//! The cryptography of a handshake: Noise IKpsk2 and XXpsk0, the first-message MAC, and what each side claims inside.
//!
//! Owns: keys that come from the door secret, building and reading of the three datagrams, the payload. Refuses: to
//! remember handshakes, to send again, to judge who is a member (`opening.rs`). Randomness is a seed from the caller;
//! the operating system is never asked. Read first: PROTOCOL.md, "Handshake"; Noise specification revision 34,
//! sections 7.5 (IK, XX) and 9 (psk).

use super::cookie::{self, Cookie};
use super::event::Door;
use super::lasting::{HandshakeKey, Lasting};
use super::session::PacketKeys;
use crate::base::limits::{ADMIT_CHAIN_MAX, DATAGRAM_BYTES_BASE, FEED_ENTRY_BYTES_MAX};
use crate::base::units::Span;
use crate::wire::packet::{
    HandshakeHeader, Pattern, Stage, HANDSHAKE_HEADER_BYTES, MAC_BYTES, PROOF_FLAG_AT, TAG_BYTES,
};
use core::fmt;
use core::num::NonZeroU16;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::Sha256;
use snow::params::{CipherChoice, DHChoice, HashChoice, NoiseParams};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use std::sync::Arc;
use zeroize::Zeroizing;

/// What the door secret gives a handshake.
pub struct DoorKeys {
    /// Mixed into every handshake.
    psk: Zeroizing<[u8; 32]>,
    /// Keys the MAC at the end of every handshake datagram.
    mac: Zeroizing<[u8; 32]>,
    /// Seals cookies.
    pub cookie: Zeroizing<[u8; 32]>,
    /// Hashed into every handshake: protocol and vault.
    prologue: Vec<u8>,
}

/// What a side says of itself inside the handshake, encrypted and authenticated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// Drawn once a run: tells a restart from a second handshake of the same run.
    pub incarnation: [u8; 8],
    /// Orders the handshakes of two nodes: greater than that of any earlier one that the sender knew of. At most
    /// [`CLOCK_MAX`].
    pub clock: u64,
    /// How often the sender wants an idle session to prove its life, in whole seconds; None: it need not.
    pub keepalive: Option<Span>,
    /// Admit entries from the root to the sender, raw; empty where it cannot be had or does not fit.
    pub chain: Vec<Vec<u8>>,
}

/// One side of a Noise handshake.
pub struct Noise {
    /// snow's state.
    state: HandshakeState,
    /// Which pattern it runs.
    pattern: Pattern,
}

/// The secrets of the side that runs a handshake.
pub struct Local<'a> {
    /// From the door secret.
    pub door: &'a DoorKeys,
    /// X25519.
    pub lasting: &'a Arc<Lasting>,
    /// Fresh for each handshake: the ephemeral key comes from it.
    pub seed: [u8; 32],
}

/// Why a handshake datagram is worth nothing. It is dropped in silence and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeError {
    /// Noise refused it: wrong keys, wrong secret, changed on the way, or out of turn.
    Noise,
    /// The payload is no claim.
    Claims,
    /// It would not fit a datagram.
    TooLong,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Noise => "the handshake does not authenticate",
            Self::Claims => "the handshake's payload is malformed",
            Self::TooLong => "the handshake does not fit a datagram",
        })
    }
}

impl std::error::Error for HandshakeError {}

impl DoorKeys {
    /// Derives them.
    #[must_use]
    pub fn new(door: &Door) -> Self {
        let mut prologue = PROLOGUE.to_vec();
        prologue.extend_from_slice(door.vault.as_bytes());
        Self {
            psk: derive(&door.secret, PSK_INFO),
            mac: derive(&door.secret, MAC_INFO),
            cookie: derive(&door.secret, cookie::INFO),
            prologue,
        }
    }

    /// The MAC over `covered`: all of a datagram that stands before it.
    #[must_use]
    pub fn mac(&self, covered: &[u8]) -> [u8; MAC_BYTES] {
        let full = self.hmac(covered).finalize().into_bytes();
        let mut mac = [0; MAC_BYTES];
        mac.copy_from_slice(&full[..MAC_BYTES]);
        mac
    }

    /// Whether the sender of a datagram knows the door secret; in constant time.
    #[must_use]
    pub fn proves(&self, covered: &[u8], mac: &[u8; MAC_BYTES]) -> bool {
        self.hmac(covered).verify_truncated_left(mac).is_ok()
    }

    /// A first message again, with a cookie in the place of one that it may have had.
    #[must_use]
    pub fn with_cookie(&self, init: &[u8], shown: &Cookie) -> Vec<u8> {
        let macs = if init.get(PROOF_FLAG_AT) == Some(&1) { 2 * MAC_BYTES } else { MAC_BYTES };
        let mut datagram = init[..init.len().saturating_sub(macs)].to_vec();
        if let Some(flag) = datagram.get_mut(PROOF_FLAG_AT) {
            *flag = 1;
        }
        let proof = cookie::proof(shown, &datagram);
        datagram.extend_from_slice(&proof);
        let mac = self.mac(&datagram);
        datagram.extend_from_slice(&mac);
        datagram
    }

    /// HMAC-SHA-256 over `covered`.
    fn hmac(&self, covered: &[u8]) -> Hmac<Sha256> {
        let mut hmac =
            <Hmac<Sha256> as Mac>::new_from_slice(&self.mac[..]).expect("HMAC takes keys of any length");
        hmac.update(covered);
        hmac
    }
}

impl Noise {
    /// The initiator's side: IK where the responder's channel key is known, else XX.
    ///
    /// # Errors
    /// [`HandshakeError::Noise`] if snow refuses the keys.
    pub fn initiate(local: Local<'_>, responder: Option<&[u8; 32]>) -> Result<Self, HandshakeError> {
        let pattern = if responder.is_some() { Pattern::Ik } else { Pattern::Xx };
        let state = build(pattern, &local, |builder| match responder {
            Some(key) => builder.remote_public_key(key)?.build_initiator(),
            None => builder.build_initiator(),
        })?;
        Ok(Self { state, pattern })
    }

    /// The responder's side.
    ///
    /// # Errors
    /// [`HandshakeError::Noise`] if snow refuses the keys.
    pub fn respond(local: Local<'_>, pattern: Pattern) -> Result<Self, HandshakeError> {
        Ok(Self { state: build(pattern, &local, |builder| builder.build_responder())?, pattern })
    }

    /// The next datagram of this side, whole. A chain that does not fit is left out.
    ///
    /// # Errors
    /// When it is not this side's turn.
    pub fn write(
        &mut self,
        door: &DoorKeys,
        header: HandshakeHeader,
        claims: Option<&Claims>,
    ) -> Result<Vec<u8>, HandshakeError> {
        let room = payload_bytes_max(header.stage, header.pattern);
        let payload = match claims {
            Some(claims) => claims.encode(room),
            // The first message of XX has nothing to say yet, and is long so that the answer is never longer.
            None => vec![0; room],
        };
        let mut datagram = vec![0; DATAGRAM_BYTES_BASE];
        datagram[..HANDSHAKE_HEADER_BYTES].copy_from_slice(&header.to_bytes());
        let body = &mut datagram[HANDSHAKE_HEADER_BYTES..DATAGRAM_BYTES_BASE - MAC_BYTES];
        let length = self.state.write_message(&payload, body).map_err(|_| HandshakeError::Noise)?;
        datagram.truncate(HANDSHAKE_HEADER_BYTES + length);
        let mac = door.mac(&datagram);
        datagram.extend_from_slice(&mac);
        Ok(datagram)
    }

    /// Reads the other side's next Noise message and gives its payload. After an error the state is as before.
    ///
    /// # Errors
    /// [`HandshakeError::Noise`] when it does not authenticate or is out of turn.
    pub fn read(&mut self, message: &[u8]) -> Result<Vec<u8>, HandshakeError> {
        if message.len() > DATAGRAM_BYTES_BASE || message.len() < KEY_BYTES + TAG_BYTES {
            return Err(HandshakeError::TooLong);
        }
        let mut payload = vec![0; message.len()];
        let length = self.state.read_message(message, &mut payload).map_err(|_| HandshakeError::Noise)?;
        payload.truncate(length);
        Ok(payload)
    }

    /// The pattern that it runs.
    #[must_use]
    pub const fn pattern(&self) -> Pattern {
        self.pattern
    }

    /// The other side's channel key, once it is known.
    #[must_use]
    pub fn remote(&self) -> Option<[u8; 32]> {
        self.state.get_remote_static().and_then(|key| key.try_into().ok())
    }

    /// The session's keys; None before the last message.
    pub fn keys(&mut self) -> Option<PacketKeys> {
        if !self.state.is_handshake_finished() {
            return None;
        }
        let (initiator, responder) = self.state.dangerously_get_raw_split();
        Some(if self.state.is_initiator() {
            PacketKeys { send: initiator, receive: responder }
        } else {
            PacketKeys { send: responder, receive: initiator }
        })
    }
}

impl Claims {
    /// As a payload of at most `room` bytes: version, incarnation, clock, keepalive, number of entries, and each entry with its
    /// length. Without the chain where that would be longer.
    #[must_use]
    pub fn encode(&self, room: usize) -> Vec<u8> {
        let mut bytes = vec![CLAIMS_VERSION];
        bytes.extend_from_slice(&self.incarnation);
        bytes.extend_from_slice(&self.clock.to_le_bytes());
        let seconds = self.keepalive.map_or(0, |keepalive| keepalive.as_micros() / 1_000_000);
        bytes.extend_from_slice(&u16::try_from(seconds).unwrap_or(u16::MAX).to_le_bytes());
        let alone = bytes.len();
        bytes.push(u8::try_from(self.chain.len()).unwrap_or(u8::MAX));
        for entry in &self.chain {
            bytes.extend_from_slice(&u16::try_from(entry.len()).unwrap_or(u16::MAX).to_le_bytes());
            bytes.extend_from_slice(entry);
        }
        if bytes.len() > room || self.chain.len() > ADMIT_CHAIN_MAX {
            bytes.truncate(alone);
            bytes.push(0);
        }
        bytes
    }

    /// Reads a payload. Total; nothing may follow it.
    ///
    /// # Errors
    /// [`HandshakeError::Claims`].
    pub fn decode(payload: &[u8]) -> Result<Self, HandshakeError> {
        Self::read(payload).ok_or(HandshakeError::Claims)
    }

    /// [`Claims::decode`], with None for every fault.
    fn read(payload: &[u8]) -> Option<Self> {
        let (&version, rest) = payload.split_first()?;
        let (&incarnation, rest) = rest.split_first_chunk::<8>()?;
        let (&clock, rest) = rest.split_first_chunk::<8>()?;
        let (&keepalive, rest) = rest.split_first_chunk::<2>()?;
        let (&count, mut rest) = rest.split_first()?;
        let keepalive = NonZeroU16::new(u16::from_le_bytes(keepalive));
        let keepalive = keepalive.map(|seconds| Span::from_secs(u64::from(seconds.get())));
        let clock = u64::from_le_bytes(clock);
        if version != CLAIMS_VERSION || clock > CLOCK_MAX || usize::from(count) > ADMIT_CHAIN_MAX {
            return None;
        }
        let mut chain = Vec::with_capacity(usize::from(count));
        for _ in 0..count {
            let (&length, after) = rest.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_le_bytes(length));
            if length == 0 || length > FEED_ENTRY_BYTES_MAX || length > after.len() {
                return None;
            }
            let (entry, after) = after.split_at(length);
            chain.push(entry.to_vec());
            rest = after;
        }
        rest.is_empty().then_some(Self { incarnation, clock, keepalive, chain })
    }
}

/// A snow resolver whose randomness is a seed, and that knows the lasting key.
struct Seeded([u8; 32], Arc<Lasting>);

impl CryptoResolver for Seeded {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(SeededRandom(ChaCha20Rng::from_seed(self.0))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(HandshakeKey::new(Arc::clone(&self.1)))),
            DHChoice::Curve448 => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// The generator that snow draws the ephemeral key from.
struct SeededRandom(ChaCha20Rng);

impl Random for SeededRandom {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        self.0.fill_bytes(dest);
        Ok(())
    }
}

/// Prepares snow for one side of `pattern`; `finish` says which.
fn build(
    pattern: Pattern,
    local: &Local<'_>,
    finish: impl FnOnce(Builder<'_>) -> Result<HandshakeState, snow::Error>,
) -> Result<HandshakeState, HandshakeError> {
    let (name, location) = match pattern {
        Pattern::Ik => ("Noise_IKpsk2_25519_ChaChaPoly_SHA256", 2),
        Pattern::Xx => ("Noise_XXpsk0_25519_ChaChaPoly_SHA256", 0),
    };
    let params: NoiseParams = name.parse().map_err(|_| HandshakeError::Noise)?;
    Builder::with_resolver(params, Box::new(Seeded(local.seed, Arc::clone(local.lasting))))
        .local_private_key(local.lasting.secret())
        .and_then(|builder| builder.psk(location, &local.door.psk))
        .and_then(|builder| builder.prologue(&local.door.prologue))
        .and_then(finish)
        .map_err(|_| HandshakeError::Noise)
}

/// How long a payload may be so that header, Noise message and MACs (a first message may need two) fit [`DATAGRAM_BYTES_BASE`].
const fn payload_bytes_max(stage: Stage, pattern: Pattern) -> usize {
    let keys = match (stage, pattern) {
        (Stage::Init, Pattern::Ik) | (Stage::Reply, Pattern::Xx) => KEY_BYTES + KEY_BYTES + TAG_BYTES,
        (Stage::Init, Pattern::Xx) | (Stage::Reply, Pattern::Ik) => KEY_BYTES,
        (Stage::Finish, _) => KEY_BYTES + TAG_BYTES,
    };
    let proof = if matches!(stage, Stage::Init) { MAC_BYTES } else { 0 };
    DATAGRAM_BYTES_BASE - HANDSHAKE_HEADER_BYTES - keys - TAG_BYTES - proof - MAC_BYTES
}

/// A key from the door secret (HKDF-SHA-256, RFC 5869).
#[must_use]
pub fn derive(secret: &[u8; 32], info: &[u8]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    Hkdf::<Sha256>::new(None, secret)
        .expand(info, &mut key[..])
        .expect("32 bytes are less than HKDF's bound");
    key
}

impl fmt::Debug for DoorKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DoorKeys")
    }
}

impl fmt::Debug for Noise {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Noise").field("pattern", &self.pattern).finish_non_exhaustive()
    }
}

/// Largest clock that is believed: no run counts that far, and adding one never overflows.
pub const CLOCK_MAX: u64 = 1 << 48;

/// Version of the payload; 1: the first.
const CLAIMS_VERSION: u8 = 1;
/// Length of an X25519 public key.
const KEY_BYTES: usize = 32;
/// Begins the prologue.
const PROLOGUE: &[u8] = b"nuthatch channel v1 ";
/// HKDF info of the pre-shared key.
const PSK_INFO: &[u8] = b"nuthatch channel psk v1";
/// HKDF info of the first-message MAC key.
const MAC_INFO: &[u8] = b"nuthatch channel mac v1";

#[cfg(test)]
mod tests;
