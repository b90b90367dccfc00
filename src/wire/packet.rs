//! Datagram headers: which of six kinds a datagram is, and where its parts lie.
//!
//! Owns the type numbers and the fixed offsets of every datagram, data packets as well as handshake and pairing ones.
//! Refuses to decrypt, to check a MAC, or to keep anything: what it returns borrows the datagram. Parsing is total.
//! Read "Packets" in `PROTOCOL.md` first.

use core::fmt;

pub use reception::{
    cookie_bytes, parse_any_init, versions_bytes, AnyInit, Cookie, Versions, COOKIE_BYTES,
    COOKIE_SEALED_BYTES, COOKIE_SECRET_BYTES,
};
use reception::{parse_cookie, parse_versions};

/// The version that this program speaks; second byte of every datagram but [`Versions`].
pub const VERSION: u8 = 1;
/// Length of the first-message MAC that ends every handshake datagram, in bytes.
pub const MAC_BYTES: usize = 16;
/// Length of the authentication tag that ends every sealed payload, in bytes.
pub const TAG_BYTES: usize = 16;
/// Length of a handshake header, in bytes.
pub const HANDSHAKE_HEADER_BYTES: usize = 12;
/// Length of a data header, in bytes.
pub const DATA_HEADER_BYTES: usize = 10;
/// Length of a pairing header, in bytes.
pub const PAIR_HEADER_BYTES: usize = 12;
/// Length of a versions header, in bytes.
pub const VERSIONS_HEADER_BYTES: usize = 8;
/// Where a [`Stage::Init`] says whether it has a second MAC.
pub const PROOF_FLAG_AT: usize = 3;
/// Most versions that one [`Versions`] datagram lists.
pub const VERSIONS_MAX: usize = 16;
/// Most fragments of one pairing message.
pub const PAIR_FRAGMENTS_MAX: u8 = 16;

/// First byte of a [`Stage::Init`] datagram, in this and every later version.
const TYPE_HANDSHAKE_INIT: u8 = 1;
/// First byte of a [`Stage::Reply`] datagram.
const TYPE_HANDSHAKE_REPLY: u8 = 2;
/// First byte of a [`Stage::Finish`] datagram.
const TYPE_HANDSHAKE_FINISH: u8 = 3;
/// First byte of a data datagram.
const TYPE_DATA: u8 = 4;
/// First byte of a versions datagram, in this and every later version.
const TYPE_VERSIONS: u8 = 5;
/// Bits of a packet number that are sent: far more than packets can be on their way.
const NUMBER_BITS: u32 = 24;
/// First byte of a cookie datagram.
const TYPE_COOKIE: u8 = 6;
/// First byte of the first pairing datagram; the other three follow.
const TYPE_PAIR_FIRST: u8 = 16;
/// Version byte of a versions datagram, whose layout never changes.
const VERSION_OF_VERSIONS: u8 = 0;

/// A datagram, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A Noise message.
    Handshake(Handshake<'a>),
    /// A packet of an established session.
    Data(Data<'a>),
    /// A step of joining by code.
    Pair(Pair<'a>),
    /// Which versions the sender speaks.
    Versions(Versions<'a>),
    /// What a first message is to be repeated with.
    Cookie(Cookie<'a>),
}

/// Which message of a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The initiator's first message.
    Init,
    /// The responder's answer.
    Reply,
    /// The initiator's second message (pattern XX only).
    Finish,
}

/// Which Noise pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// IKpsk2: the initiator knows the responder's channel key.
    Ik,
    /// XXpsk0: neither knows the other.
    Xx,
}

/// Header of a handshake datagram; followed by the Noise message and [`MAC_BYTES`] of MAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeHeader {
    /// Which message.
    pub stage: Stage,
    /// Of which pattern.
    pub pattern: Pattern,
    /// The index by which the sender wants to be addressed in what follows.
    pub sender: u32,
    /// The index that the receiver chose; 0 in [`Stage::Init`].
    pub receiver: u32,
}

/// A handshake datagram.
#[derive(Debug, PartialEq, Eq)]
pub struct Handshake<'a> {
    /// Its first [`HANDSHAKE_HEADER_BYTES`].
    pub header: HandshakeHeader,
    /// The Noise message, not empty.
    pub noise: &'a [u8],
    /// A second MAC, by which a [`Stage::Init`] shows a cookie.
    pub proof: Option<Proof<'a>>,
    /// All that the MAC covers: header, Noise message and second MAC.
    pub covered: &'a [u8],
    /// The MAC, unchecked.
    pub mac: &'a [u8; MAC_BYTES],
}

/// The second MAC of a [`Stage::Init`], under a cookie.
#[derive(Debug, PartialEq, Eq)]
pub struct Proof<'a> {
    /// All that it covers: header and Noise message.
    pub covered: &'a [u8],
    /// It, unchecked.
    pub mac: &'a [u8; MAC_BYTES],
}

/// Header of a data packet; it is the associated data of the sealed payload that follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataHeader {
    /// Which generation of the sender's keys has sealed it; wraps.
    pub generation: u8,
    /// The receiver's index for the session.
    pub receiver: u32,
    /// Packet number: counts up from 0 in each direction, is never used twice, and is the nonce. Only its lowest 24 bits
    /// are sent; as it is read it has no others, until [`DataHeader::expanded`].
    pub number: u64,
}

/// A data packet.
#[derive(Debug, PartialEq, Eq)]
pub struct Data<'a> {
    /// Its first [`DATA_HEADER_BYTES`].
    pub header: DataHeader,
    /// Sealed frames and tag, at least [`TAG_BYTES`]; opened in place.
    pub sealed: &'a mut [u8],
}

/// Which pairing message; odd ones come from the joiner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairStage {
    /// Joiner: its SPAKE2 message.
    Hello,
    /// Inviter: its SPAKE2 message.
    Reply,
    /// Joiner: key confirmation and what it wants to be admitted as.
    Confirm,
    /// Inviter: key confirmation and what a member has to know.
    Answer,
}

/// Header of a pairing datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairHeader {
    /// Which message.
    pub stage: PairStage,
    /// Which fragment of the message this is, below `fragments`.
    pub fragment: u8,
    /// In how many fragments the message comes: 1 to [`PAIR_FRAGMENTS_MAX`].
    pub fragments: u8,
    /// Drawn by the joiner for each attempt.
    pub exchange: u64,
}

/// A pairing datagram.
#[derive(Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Its first [`PAIR_HEADER_BYTES`].
    pub header: PairHeader,
    /// The rest, not empty.
    pub body: &'a [u8],
}

/// Why a datagram is none of ours. Whatever it is, it is dropped and counted, never answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketError {
    /// It ends before its header, its payload or its MAC does.
    Truncated,
    /// No type that we know.
    UnknownType(u8),
    /// A type that we know, of a version that we do not.
    UnknownVersion(u8),
    /// A field has a value that the layout does not allow.
    Malformed,
}

impl fmt::Display for PacketError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => formatter.write_str("the datagram is truncated"),
            Self::UnknownType(number) => write!(formatter, "no datagram has the type {number}"),
            Self::UnknownVersion(version) => write!(formatter, "version {version} is unknown here"),
            Self::Malformed => formatter.write_str("a field of the datagram's header has no such value"),
        }
    }
}

impl std::error::Error for PacketError {}

/// Takes a datagram apart.
///
/// # Errors
/// For whatever is not exactly one of the layouts of this version.
pub fn parse(datagram: &mut [u8]) -> Result<Packet<'_>, PacketError> {
    let (Some(&kind), Some(&version)) = (datagram.first(), datagram.get(1)) else {
        return Err(PacketError::Truncated);
    };
    let expected = if kind == TYPE_VERSIONS { VERSION_OF_VERSIONS } else { VERSION };
    match kind {
        TYPE_HANDSHAKE_INIT..=TYPE_COOKIE | TYPE_PAIR_FIRST..=19 if version != expected => {
            Err(PacketError::UnknownVersion(version))
        }
        TYPE_HANDSHAKE_INIT => parse_handshake(Stage::Init, datagram).map(Packet::Handshake),
        TYPE_HANDSHAKE_REPLY => parse_handshake(Stage::Reply, datagram).map(Packet::Handshake),
        TYPE_HANDSHAKE_FINISH => parse_handshake(Stage::Finish, datagram).map(Packet::Handshake),
        TYPE_DATA => parse_data(datagram).map(Packet::Data),
        TYPE_VERSIONS => parse_versions(datagram).map(Packet::Versions),
        TYPE_COOKIE => parse_cookie(datagram).map(Packet::Cookie),
        16 => parse_pair(PairStage::Hello, datagram).map(Packet::Pair),
        17 => parse_pair(PairStage::Reply, datagram).map(Packet::Pair),
        18 => parse_pair(PairStage::Confirm, datagram).map(Packet::Pair),
        19 => parse_pair(PairStage::Answer, datagram).map(Packet::Pair),
        other => Err(PacketError::UnknownType(other)),
    }
}

/// Takes a handshake datagram apart.
fn parse_handshake(stage: Stage, datagram: &[u8]) -> Result<Handshake<'_>, PacketError> {
    let (covered, mac) = datagram.split_last_chunk::<MAC_BYTES>().ok_or(PacketError::Truncated)?;
    let (bytes, noise) =
        covered.split_first_chunk::<HANDSHAKE_HEADER_BYTES>().ok_or(PacketError::Truncated)?;
    let (noise, proof) = match bytes[PROOF_FLAG_AT] {
        0 => (noise, None),
        1 if stage == Stage::Init => {
            let (noise, mac) = noise.split_last_chunk::<MAC_BYTES>().ok_or(PacketError::Truncated)?;
            (noise, Some(Proof { covered: &covered[..covered.len() - MAC_BYTES], mac }))
        }
        _ => return Err(PacketError::Malformed),
    };
    if noise.is_empty() {
        return Err(PacketError::Truncated);
    }
    let pattern = match bytes[2] {
        1 => Pattern::Ik,
        2 => Pattern::Xx,
        _ => return Err(PacketError::Malformed),
    };
    let [_, _, _, _, s0, s1, s2, s3, r0, r1, r2, r3] = *bytes;
    let header = HandshakeHeader {
        stage,
        pattern,
        sender: u32::from_le_bytes([s0, s1, s2, s3]),
        receiver: u32::from_le_bytes([r0, r1, r2, r3]),
    };
    let finish_of_ik = stage == Stage::Finish && pattern == Pattern::Ik;
    if finish_of_ik || (stage == Stage::Init && header.receiver != 0) {
        return Err(PacketError::Malformed);
    }
    Ok(Handshake { header, noise, proof, covered, mac })
}

/// Takes a data packet apart.
fn parse_data(datagram: &mut [u8]) -> Result<Data<'_>, PacketError> {
    let (bytes, sealed) =
        datagram.split_first_chunk_mut::<DATA_HEADER_BYTES>().ok_or(PacketError::Truncated)?;
    let [_, _, generation, r0, r1, r2, r3, n0, n1, n2] = *bytes;
    if sealed.len() < TAG_BYTES {
        return Err(PacketError::Truncated);
    }
    let header = DataHeader {
        generation,
        receiver: u32::from_le_bytes([r0, r1, r2, r3]),
        number: u64::from(u32::from_le_bytes([n0, n1, n2, 0])),
    };
    Ok(Data { header, sealed })
}

/// Takes a pairing datagram apart.
fn parse_pair(stage: PairStage, datagram: &[u8]) -> Result<Pair<'_>, PacketError> {
    let (bytes, body) = datagram.split_first_chunk::<PAIR_HEADER_BYTES>().ok_or(PacketError::Truncated)?;
    if body.is_empty() {
        return Err(PacketError::Truncated);
    }
    let [_, _, fragment, fragments, exchange @ ..] = *bytes;
    if fragment >= fragments || fragments > PAIR_FRAGMENTS_MAX {
        return Err(PacketError::Malformed);
    }
    let header = PairHeader { stage, fragment, fragments, exchange: u64::from_le_bytes(exchange) };
    Ok(Pair { header, body })
}

impl HandshakeHeader {
    /// The header as it is sent; the Noise message and the MAC over both follow it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; HANDSHAKE_HEADER_BYTES] {
        let kind = match self.stage {
            Stage::Init => TYPE_HANDSHAKE_INIT,
            Stage::Reply => TYPE_HANDSHAKE_REPLY,
            Stage::Finish => TYPE_HANDSHAKE_FINISH,
        };
        let pattern = match self.pattern {
            Pattern::Ik => 1,
            Pattern::Xx => 2,
        };
        let mut bytes = [kind, VERSION, pattern, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[4..8].copy_from_slice(&self.sender.to_le_bytes());
        bytes[8..].copy_from_slice(&self.receiver.to_le_bytes());
        bytes
    }
}

/// Of the numbers whose lowest `bits` are those of `low`, the one nearest to `expected`.
#[must_use]
pub fn nearest(low: u64, expected: u64, bits: u32) -> u64 {
    let (window, half) = (1_u64 << bits, 1_u64 << (bits - 1));
    let candidate = (expected & !(window - 1)) | (low & (window - 1));
    if candidate.saturating_add(half) <= expected && candidate < u64::MAX - window {
        candidate + window
    } else if candidate > expected.saturating_add(half) && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

impl DataHeader {
    /// The header as it is sent, and as it is authenticated.
    #[must_use]
    pub fn to_bytes(self) -> [u8; DATA_HEADER_BYTES] {
        let mut bytes = [0; DATA_HEADER_BYTES];
        bytes[0] = TYPE_DATA;
        bytes[1] = VERSION;
        bytes[2] = self.generation;
        bytes[3..7].copy_from_slice(&self.receiver.to_le_bytes());
        bytes[7..].copy_from_slice(&self.number.to_le_bytes()[..3]);
        bytes
    }

    /// The header with its whole packet number: of those that end in the bits that were sent, the one nearest to `next`,
    /// which is expected (RFC 9000, appendix A.3).
    #[must_use]
    pub fn expanded(self, next: u64) -> Self {
        Self { number: nearest(self.number, next, NUMBER_BITS), ..self }
    }
}

impl PairHeader {
    /// The header as it is sent; the body follows it.
    #[must_use]
    pub fn to_bytes(self) -> [u8; PAIR_HEADER_BYTES] {
        let step = match self.stage {
            PairStage::Hello => 0,
            PairStage::Reply => 1,
            PairStage::Confirm => 2,
            PairStage::Answer => 3,
        };
        let mut bytes = [0; PAIR_HEADER_BYTES];
        bytes[..4].copy_from_slice(&[TYPE_PAIR_FIRST + step, VERSION, self.fragment, self.fragments]);
        bytes[4..].copy_from_slice(&self.exchange.to_le_bytes());
        bytes
    }
}

mod reception;

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::{RngCore, SeedableRng};

    #[test]
    fn handshake_headers_are_golden() {
        let header =
            HandshakeHeader { stage: Stage::Init, pattern: Pattern::Ik, sender: 0x0403_0201, receiver: 0 };
        // type 1, version 1, IK, zero, sender, no receiver
        assert_eq!(header.to_bytes(), [1, 1, 1, 0, 1, 2, 3, 4, 0, 0, 0, 0]);
        let mut datagram = header.to_bytes().to_vec();
        datagram.extend_from_slice(&[0xaa; 3]);
        datagram.extend_from_slice(&[0xbb; MAC_BYTES]);
        let Ok(Packet::Handshake(parsed)) = parse(&mut datagram) else { panic!("not a handshake") };
        assert_eq!((parsed.header, parsed.noise, parsed.mac), (header, &[0xaa; 3][..], &[0xbb; MAC_BYTES]));
        assert_eq!(parsed.covered.len(), HANDSHAKE_HEADER_BYTES + 3);
        let any = parse_any_init(&datagram).expect("a first message");
        assert_eq!((any.version, any.sender, any.covered.len()), (1, 0x0403_0201, 15));

        let finish = HandshakeHeader { stage: Stage::Finish, pattern: Pattern::Xx, sender: 1, receiver: 2 };
        assert_eq!(finish.to_bytes(), [3, 1, 2, 0, 1, 0, 0, 0, 2, 0, 0, 0]);
        let reply = HandshakeHeader { stage: Stage::Reply, pattern: Pattern::Xx, sender: 1, receiver: 2 };
        assert_eq!(reply.to_bytes(), [2, 1, 2, 0, 1, 0, 0, 0, 2, 0, 0, 0]);
    }

    #[test]
    fn cookies_and_their_proofs_are_golden() {
        let mut datagram = cookie_bytes(0x0403_0201, &[9; 16], &[8; 32]);
        // type 6, version 1, two zeros, receiver; then nonce, sealed cookie and tag
        assert_eq!(datagram[..8], [6, 1, 0, 0, 1, 2, 3, 4]);
        let cookie = Cookie { receiver: 0x0403_0201, nonce: &[9; 16], sealed: &[8; 32] };
        assert_eq!(parse(&mut datagram), Ok(Packet::Cookie(cookie)));
        assert_eq!(parse(&mut datagram[..55]), Err(PacketError::Truncated));
        assert_eq!(parse(&mut [&datagram[..], &[0]].concat()), Err(PacketError::Malformed));

        let header = HandshakeHeader { stage: Stage::Init, pattern: Pattern::Ik, sender: 1, receiver: 0 };
        let mut datagram = header.to_bytes().to_vec();
        datagram[PROOF_FLAG_AT] = 1;
        datagram.extend_from_slice(&[&[5; 3][..], &[6; 16], &[7; 16]].concat());
        let Ok(Packet::Handshake(parsed)) = parse(&mut datagram) else { panic!("not a handshake") };
        assert_eq!((parsed.noise, parsed.mac, parsed.covered.len()), (&[5; 3][..], &[7; 16], 31));
        let proof = parsed.proof.expect("a second MAC");
        assert_eq!((proof.mac, proof.covered.len()), (&[6; 16], 15));
        assert!(parse(&mut datagram[..44]).is_err(), "nothing is left for Noise");
        datagram[0] = 2;
        assert_eq!(parse(&mut datagram), Err(PacketError::Malformed), "a reply has none");
    }

    #[test]
    fn the_data_header_is_golden() {
        let header = DataHeader { generation: 13, receiver: 0x0403_0201, number: 0x07_0605 };
        // type 4, version 1, generation, receiver, the packet number's lowest 24 bits
        assert_eq!(header.to_bytes(), [4, 1, 13, 1, 2, 3, 4, 5, 6, 7]);
        let later = DataHeader { number: 0x0c0b_0a09_0807_0605, ..header };
        assert_eq!(later.to_bytes(), header.to_bytes());
        assert_eq!(header.expanded(0x0c0b_0a09_0807_0000), later);
        let mut datagram = header.to_bytes().to_vec();
        datagram.extend_from_slice(&[7; TAG_BYTES - 1]);
        assert_eq!(parse(&mut datagram), Err(PacketError::Truncated));
        datagram.push(7);
        let Ok(Packet::Data(data)) = parse(&mut datagram) else { panic!("no data packet") };
        assert_eq!((data.header, data.sealed.len()), (header, TAG_BYTES));
    }

    #[test]
    fn a_number_is_the_nearest_one_that_ends_so() {
        for (low, expected, number) in [
            (5, 0, 5),
            (0xff_ffff, 0, 0xff_ffff),
            (0xff_ffff, 0x100_0000, 0xff_ffff),
            (1, 0xff_fff0, 0x100_0001),
            (0xff_fff0, 0x300_0001, 0x2ff_fff0),
            (0x80_0001, 0x300_0000, 0x280_0001),
            (7, u64::MAX, u64::MAX - 0xff_fff8),
        ] {
            assert_eq!(nearest(low, expected, 24), number, "{low:x} near {expected:x}");
        }
        assert_eq!(nearest(3, (5 << 32) - 1, 32), (5 << 32) + 3);
    }

    #[test]
    fn pairing_headers_are_golden() {
        let header = PairHeader {
            stage: PairStage::Answer,
            fragment: 2,
            fragments: 3,
            exchange: 0x0807_0605_0403_0201,
        };
        assert_eq!(header.to_bytes(), [19, 1, 2, 3, 1, 2, 3, 4, 5, 6, 7, 8]);
        let mut datagram = header.to_bytes().to_vec();
        datagram.push(9);
        assert_eq!(parse(&mut datagram), Ok(Packet::Pair(Pair { header, body: &[9] })));
        datagram[2] = 3;
        assert_eq!(parse(&mut datagram), Err(PacketError::Malformed));
        datagram[3] = PAIR_FRAGMENTS_MAX;
        assert!(parse(&mut datagram).is_ok());
        datagram[3] = PAIR_FRAGMENTS_MAX + 1;
        assert_eq!(parse(&mut datagram), Err(PacketError::Malformed));
        for (stage, kind) in [(PairStage::Hello, 16), (PairStage::Reply, 17), (PairStage::Confirm, 18)] {
            assert_eq!(PairHeader { stage, ..header }.to_bytes()[0], kind);
        }
    }

    #[test]
    fn the_versions_datagram_is_golden() {
        let mut datagram = versions_bytes(0x0403_0201, &[1, 2]);
        assert_eq!(datagram, [5, 0, 2, 0, 1, 2, 3, 4, 1, 2]);
        datagram.extend_from_slice(&[3; MAC_BYTES]);
        let Ok(Packet::Versions(parsed)) = parse(&mut datagram) else { panic!("no versions") };
        assert_eq!((parsed.receiver, parsed.versions), (0x0403_0201, &[1, 2][..]));
    }

    #[test]
    fn another_version_is_told_apart_from_another_type() {
        let mut datagram =
            [1, 9, 1, 0, 1, 2, 3, 4, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(parse(&mut datagram), Err(PacketError::UnknownVersion(9)));
        assert_eq!(parse_any_init(&datagram).map(|init| init.version), Some(9));
        datagram[0] = 7;
        assert_eq!(parse(&mut datagram), Err(PacketError::UnknownType(7)));
        assert_eq!(parse_any_init(&datagram), None);
    }

    #[test]
    fn any_bytes_parse_or_are_refused() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut parsed = 0;
        for _ in 0..50_000 {
            let mut datagram = [0; 64];
            random.fill_bytes(&mut datagram);
            datagram[0] %= 24;
            datagram[1] %= 2;
            datagram[2] %= 3;
            datagram[3] %= 4;
            let length = usize::from(datagram[63] % 64);
            parsed += usize::from(parse(&mut datagram[..length]).is_ok());
            let _ = parse_any_init(&datagram[..length]);
        }
        assert!(parsed > 500, "the generator reaches the layouts: {parsed}");
    }
}
