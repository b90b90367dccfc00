//! First messages under load: who is answered at once, who is asked for a cookie, who is refused.
//!
//! Owns: when there is load, the secret that cookies come from, what one source may cause. Refuses: to look into
//! messages; whoever comes here has shown that it knows the door secret, or has recorded somebody who does. Read first:
//! PROTOCOL.md, "Load"; WireGuard's paper, section 5.4.7, is where it comes from.

use super::cookie;
use super::desk::{Desk, Membership};
use crate::base::limits::{
    COOKIE_SECRET_TIME, HANDSHAKE_LOAD_PER_SECOND, HANDSHAKE_SOURCES_MAX, HANDSHAKE_SOURCE_PER_SECOND,
};
use crate::base::units::{Span, Time};
use crate::wire::packet::{cookie_bytes, Handshake, COOKIE_BYTES, MAC_BYTES};
use core::fmt;
use rand_core::RngCore;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use zeroize::Zeroizing;

/// What is to be done with a first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is answered.
    Pass,
    /// Its sender is to repeat it with a cookie.
    Ask,
    /// Its source has had its share.
    Refuse,
}

/// Counts first messages, and makes and checks cookies.
#[derive(Default)]
pub struct Gate {
    /// What cookies are made from: the secret of now, and the one before it.
    secrets: Option<[Zeroizing<[u8; 32]>; 2]>,
    /// When the first of them was drawn.
    drawn: Time,
    /// When the second began in which first messages are counted.
    second: Time,
    /// First messages in it.
    count: u32,
    /// First messages in the second before.
    count_before: u32,
    /// First messages with a true cookie in it, by source.
    sources: BTreeMap<[u8; 8], u32>,
}

impl Gate {
    /// Counts a first message whose MAC is right and that was not seen before, and judges it.
    pub fn judge(&mut self, desk: &mut Desk, now: Time, from: SocketAddr, packet: &Handshake<'_>) -> Verdict {
        self.turn(now);
        self.count = self.count.saturating_add(1);
        if self.count.max(self.count_before) <= HANDSHAKE_LOAD_PER_SECOND {
            return Verdict::Pass;
        }
        if !self.is_proven(desk, now, from, packet) {
            return Verdict::Ask;
        }
        let source = source_of(from);
        if self.sources.len() >= HANDSHAKE_SOURCES_MAX && !self.sources.contains_key(&source) {
            return Verdict::Refuse;
        }
        let count = self.sources.entry(source).or_insert(0);
        *count = count.saturating_add(1);
        if *count > HANDSHAKE_SOURCE_PER_SECOND {
            return Verdict::Refuse;
        }
        Verdict::Pass
    }

    /// Sends its cookie to whoever has sent this first message from there.
    pub fn ask(
        &mut self,
        member: &Membership,
        desk: &mut Desk,
        now: Time,
        from: SocketAddr,
        packet: &Handshake<'_>,
    ) {
        desk.counters.cookies += 1;
        let [secret, _] = self.secrets(desk, now);
        let made = cookie::of(secret, from);
        let mut nonce = [0; MAC_BYTES];
        desk.random.fill_bytes(&mut nonce);
        let sealed = cookie::seal(&member.keys.cookie, &nonce, packet.mac, &made);
        if packet.covered.len() + MAC_BYTES >= COOKIE_BYTES {
            desk.transmit(from, cookie_bytes(packet.header.sender, &nonce, &sealed).to_vec());
        }
    }

    /// Whether the message carries the cookie of the address that it comes from.
    fn is_proven(&mut self, desk: &mut Desk, now: Time, from: SocketAddr, packet: &Handshake<'_>) -> bool {
        let Some(proof) = &packet.proof else { return false };
        self.secrets(desk, now)
            .iter()
            .any(|secret| cookie::is_proven(&cookie::of(secret, from), proof.covered, proof.mac))
    }

    /// The secrets of now; new ones are drawn only while there is load.
    fn secrets(&mut self, desk: &mut Desk, now: Time) -> &[Zeroizing<[u8; 32]>; 2] {
        let age = now.since(self.drawn);
        let fresh = |desk: &mut Desk| Zeroizing::new(desk.seed());
        let kept = match self.secrets.take() {
            Some(kept) if age < COOKIE_SECRET_TIME => kept,
            Some([latest, _]) if age < COOKIE_SECRET_TIME.times(2) => {
                self.drawn = now;
                [fresh(desk), latest]
            }
            _ => {
                self.drawn = now;
                [fresh(desk), fresh(desk)]
            }
        };
        self.secrets.insert(kept)
    }

    /// Begins another second of counting, if it is time.
    fn turn(&mut self, now: Time) {
        let passed = now.since(self.second);
        if passed >= SECOND {
            self.count_before = if passed < SECOND.times(2) { self.count } else { 0 };
            self.count = 0;
            self.second = now;
            self.sources.clear();
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = (self.count_before, self.count);
        formatter.debug_struct("Gate").field("counts", &counts).finish_non_exhaustive()
    }
}

/// What counts as one source: an IPv4 address, or the half of an IPv6 address that a household gets.
fn source_of(from: SocketAddr) -> [u8; 8] {
    let mut source = [0; 8];
    match from.ip() {
        IpAddr::V4(four) => source[4..].copy_from_slice(&four.octets()),
        IpAddr::V6(six) => source.copy_from_slice(&six.octets()[..8]),
    }
    source
}

/// First messages are counted for this long.
const SECOND: Span = Span::from_secs(1);
