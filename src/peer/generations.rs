//! The keys of a session, one generation after another, so that no key seals too much or for too long.
//!
//! Owns: which generation a packet is sealed with, when the next one begins, how long the last one is still opened, and
//! that keys are wiped. Refuses: packet numbers (they go on through all generations) and frames. Read first: PROTOCOL.md,
//! "Keys of a session"; RFC 9001, section 6, is where it comes from.

use super::cipher::{ChaChaCipher, PacketCipher};
use super::handshake::derive;
use super::session::PacketKeys;
use crate::base::limits::{KEY_LINGER, KEY_PACKETS_MAX, KEY_TIME_MAX};
use crate::base::units::{Span, Time};
use crate::wire::packet::DataHeader;
use core::fmt;
use zeroize::Zeroizing;

/// The keys of both directions.
///
/// ```text
///  Settled n --we seal 2^32 packets or for an hour--> Ahead: we seal n+1, the peer still n
///     ^  |                                               |
///     |  '--a packet of n+1 opens: we seal n+1 too--.    |--a packet of n+1 opens
///     '---------------------------------------------+----'
/// ```
pub struct Generations {
    /// What this side seals with: of the same generation as `receive`, or of the next.
    send: Keyed,
    /// What the peer was last seen to seal with.
    receive: Keyed,
    /// The generation after that, once a packet has claimed to be of it.
    next: Option<Keyed>,
    /// The generation before, for packets that are late.
    last: Option<Last>,
    /// When this side began to seal with its key.
    since: Time,
    /// Packets sealed with it.
    sealed: u64,
    /// A key seals this many packets...
    packets_max: u64,
    /// ... or for this long.
    time_max: Span,
}

/// One key of one direction.
struct Keyed {
    /// Which generation.
    number: u8,
    /// What this key and the next generation come from.
    secret: Zeroizing<[u8; 32]>,
    /// It.
    cipher: ChaChaCipher,
}

/// The key that the peer has used before.
struct Last {
    /// It.
    cipher: ChaChaCipher,
    /// Packets of the generation after it begin at this number: what comes late is older.
    before: u64,
    /// When it is wiped.
    until: Time,
}

impl Generations {
    /// Generation 0, from the secrets that the handshake has left.
    #[must_use]
    pub fn new(now: Time, keys: &PacketKeys) -> Self {
        Self {
            send: Keyed::new(0, Zeroizing::new(keys.send)),
            receive: Keyed::new(0, Zeroizing::new(keys.receive)),
            next: None,
            last: None,
            since: now,
            sealed: 0,
            packets_max: KEY_PACKETS_MAX,
            time_max: KEY_TIME_MAX,
        }
    }

    /// The generation of the packet that is sealed next. A new one begins only when the peer was seen to have followed
    /// into the last one, so that it never has to know more than two.
    pub fn turn(&mut self, now: Time) -> u8 {
        let is_due = self.sealed >= self.packets_max || now >= self.since + self.time_max;
        if is_due && self.send.number == self.receive.number {
            self.advance(now);
        }
        self.send.number
    }

    /// Seals a packet, whose header names the generation that [`Self::turn`] gave.
    pub fn seal(&mut self, header: DataHeader, buffer: &mut [u8]) {
        assert_eq!(header.generation, self.send.number, "the header names the key");
        self.sealed += 1;
        self.send.cipher.seal(header.number, &header.to_bytes(), buffer);
    }

    /// Opens a packet in place; None if it is not authentic. Costs one pass of the cipher at the most, and the first
    /// packet of a new generation a derivation, once.
    pub fn open<'a>(&mut self, now: Time, header: DataHeader, sealed: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let bytes = header.to_bytes();
        if header.generation == self.receive.number {
            return self.receive.cipher.open(header.number, &bytes, sealed);
        }
        if header.generation == self.receive.number.wrapping_add(1) {
            let next = self.next.get_or_insert_with(|| self.receive.next());
            let payload = next.cipher.open(header.number, &bytes, sealed)?;
            self.promote(now, header.number);
            return Some(payload);
        }
        let last = self.last.as_ref().filter(|last| now < last.until && header.number < last.before)?;
        let is_last = header.generation == self.receive.number.wrapping_sub(1);
        is_last.then(|| last.cipher.open(header.number, &bytes, sealed)).flatten()
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.last.as_ref().map(|last| last.until)
    }

    /// Wipes what is no longer needed.
    pub fn handle_timeout(&mut self, now: Time) {
        self.last = self.last.take().filter(|last| now < last.until);
    }

    /// A packet of the next generation has opened: the peer seals with it, and so does this side from now on.
    fn promote(&mut self, now: Time, number: u64) {
        let Some(next) = self.next.take() else { return };
        let before = core::mem::replace(&mut self.receive, next);
        self.last = Some(Last { cipher: before.cipher, before: number, until: now + KEY_LINGER });
        if self.send.number != self.receive.number {
            self.advance(now);
        }
    }

    /// Seals with the next generation from now on.
    fn advance(&mut self, now: Time) {
        self.send = self.send.next();
        (self.since, self.sealed) = (now, 0);
    }

    /// Lets a key seal no more than this many packets.
    #[cfg(test)]
    pub fn limit_packets(&mut self, packets_max: u64) {
        self.packets_max = packets_max;
    }
}

impl Keyed {
    /// The key that comes from a secret.
    fn new(number: u8, secret: Zeroizing<[u8; 32]>) -> Self {
        let cipher = ChaChaCipher::new(&derive(&secret, KEY_INFO));
        Self { number, secret, cipher }
    }

    /// The next generation. The way back is a hash: who finds this key does not find the one before.
    fn next(&self) -> Self {
        Self::new(self.number.wrapping_add(1), derive(&self.secret, UPDATE_INFO))
    }
}

impl fmt::Debug for Generations {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = (self.send.number, self.receive.number);
        formatter.debug_struct("Generations").field("numbers", &numbers).finish_non_exhaustive()
    }
}

/// HKDF info of a packet key.
const KEY_INFO: &[u8] = b"nuthatch packet key v1";
/// HKDF info of the next generation's secret.
const UPDATE_INFO: &[u8] = b"nuthatch key update v1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::hex;
    use crate::wire::packet::TAG_BYTES;

    /// Both ends of a session.
    fn ends() -> [Generations; 2] {
        let keys = |send, receive| PacketKeys { send: [send; 32], receive: [receive; 32] };
        [Generations::new(Time::ZERO, &keys(1, 2)), Generations::new(Time::ZERO, &keys(2, 1))]
    }

    /// A packet with this number.
    fn packet(from: &mut Generations, now: Time, number: u64) -> (DataHeader, Vec<u8>) {
        let header = DataHeader { generation: from.turn(now), receiver: 9, number };
        let mut bytes = vec![7; 1 + TAG_BYTES];
        from.seal(header, &mut bytes);
        (header, bytes)
    }

    /// Whether it opens.
    fn opens(at: &mut Generations, now: Time, (header, bytes): &(DataHeader, Vec<u8>)) -> bool {
        at.open(now, *header, &mut bytes.clone()).is_some_and(|payload| payload == [7])
    }

    #[test]
    fn keys_are_golden() {
        assert_eq!(
            hex(&derive(&[1; 32], KEY_INFO)[..]),
            "87d98e64c053a54bf183279aca30b7f4ea3edbd103d4476b2f197a60b627ad3e"
        );
        assert_eq!(
            hex(&derive(&[1; 32], UPDATE_INFO)[..]),
            "b1f24674bda42846be159263f06e854d7f3c26392422088316abd1b3490f57d3"
        );
        let [mut one, _] = ends();
        one.limit_packets(1);
        let first = packet(&mut one, Time::ZERO, 5);
        assert_eq!((first.0.generation, hex(&first.1)), (0, "ac270fad164ade4bc615096b22c3dc76d3".to_owned()));
        let second = packet(&mut one, Time::ZERO, 6);
        assert_eq!(
            (second.0.generation, hex(&second.1)),
            (1, "cba5bc0c34412d7b2f277d8da662fafaed".to_owned())
        );
    }

    #[test]
    fn a_key_ends_after_its_packets_or_its_time_and_the_peer_follows() {
        let [mut one, mut two] = ends();
        one.limit_packets(2);
        let now = Time::ZERO;
        let sent: Vec<_> = (0..4).map(|number| packet(&mut one, now, number)).collect();
        assert_eq!(sent.iter().map(|sent| sent.0.generation).collect::<Vec<_>>(), [0, 0, 1, 1]);
        assert!(opens(&mut two, now, &sent[2]), "the new key is derived when it is met");
        assert!(opens(&mut two, now, &sent[0]) && opens(&mut two, now, &sent[3]), "late packets open");
        let answer = packet(&mut two, now, 0);
        assert_eq!(answer.0.generation, 1, "the peer seals with the same generation");
        assert!(packet(&mut one, now, 4).0.generation == 1, "no third generation before it has");
        assert!(opens(&mut one, now, &answer));
        assert_eq!(packet(&mut one, now, 5).0.generation, 2);
        let [mut one, _] = ends();
        assert_eq!(one.turn(Time::ZERO + KEY_TIME_MAX), 1, "an hour is enough");
    }

    #[test]
    fn both_ends_may_begin_at_once() {
        let [mut one, mut two] = ends();
        let now = Time::ZERO + KEY_TIME_MAX;
        let (left, right) = (packet(&mut one, now, 0), packet(&mut two, now, 0));
        assert!(opens(&mut two, now, &left) && opens(&mut one, now, &right));
        assert_eq!((one.turn(now), two.turn(now)), (1, 1));
    }

    #[test]
    fn the_last_key_is_wiped_and_opens_only_what_is_older() {
        let [mut one, mut two] = ends();
        one.limit_packets(2);
        let now = Time::ZERO;
        let sent: Vec<_> = (0..3).map(|number| packet(&mut one, now, number)).collect();
        let [mut liar, _] = ends();
        let newer = packet(&mut liar, now, 9);
        assert!(opens(&mut two, now, &sent[2]));
        assert!(!opens(&mut two, now, &newer), "an old key does not seal new packets");
        let late = now + KEY_LINGER;
        assert_eq!(two.deadline(), Some(late));
        assert!(!opens(&mut two, late, &sent[0]));
        two.handle_timeout(late);
        assert!(two.last.is_none() && two.deadline().is_none());
    }

    #[test]
    fn claims_of_other_generations_change_nothing() {
        let [mut one, mut two] = ends();
        let now = Time::ZERO;
        let (header, bytes) = packet(&mut one, now, 0);
        for generation in [1, 2, 7, u8::MAX] {
            assert!(!opens(&mut two, now, &(DataHeader { generation, ..header }, bytes.clone())));
        }
        assert!(two.next.is_some(), "one derivation, and no more");
        assert_eq!((two.receive.number, two.send.number), (0, 0));
        assert!(opens(&mut two, now, &(header, bytes)));
    }

    #[test]
    fn generations_go_round() {
        let [mut one, mut two] = ends();
        (one.send.number, one.receive.number) = (u8::MAX, u8::MAX);
        (two.send.number, two.receive.number) = (u8::MAX, u8::MAX);
        let now = Time::ZERO + KEY_TIME_MAX;
        let sent = packet(&mut one, now, 0);
        assert_eq!(sent.0.generation, 0);
        assert!(opens(&mut two, now, &sent));
    }
}
