//! Just as much of X.509 (RFC 5280) as a certificate needs that signs itself, written in DER.

use crate::base::units::WallTime;

/// What a certificate says.
pub(super) struct Names<'a> {
    /// Whose it is; the first one is its name.
    pub(super) names: &'a [String],
    /// Its number, of 16 random bytes.
    pub(super) serial: &'a [u8],
    /// The point that is the public key.
    pub(super) public: &'a [u8],
    /// By the clock of this machine, which may be wrong.
    pub(super) now: WallTime,
}

/// What is signed.
pub(super) fn body(said: &Names<'_>) -> Vec<u8> {
    let name = said.names.first().map_or("nuthatch", String::as_str);
    let name: String = name.chars().take(COMMON_NAME_MAX).collect();
    let name = sequence(&[&tlv(SET, &[&sequence(&[&COMMON_NAME, &tlv(UTF8, &[name.as_bytes()])])])]);
    // Positive, and not beginning with a zero.
    let mut serial = said.serial.to_vec();
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x3f | 0x40;
    }
    let until = said.now.as_micros().max(BEGIN_MICROS).saturating_add(TEN_YEARS_MICROS);
    let validity =
        sequence(&[&time(WallTime::from_micros(BEGIN_MICROS)), &time(WallTime::from_micros(until))]);
    let key = sequence(&[&sequence(&[&EC_PUBLIC_KEY, &P384]), &tlv(BITS, &[&[0], said.public])]);
    let names: Vec<u8> = said.names.iter().flat_map(|name| tlv(DNS_NAME, &[name.as_bytes()])).collect();
    let extensions = sequence(&[
        &sequence(&[&ALTERNATIVE_NAMES, &tlv(OCTETS, &[&sequence(&[&names])])]),
        // Not an authority: whoever trusts this trusts it for its own names only.
        &sequence(&[&BASIC_CONSTRAINTS, &[0x01, 0x01, 0xff], &tlv(OCTETS, &[&sequence(&[])])]),
        &sequence(&[&EXTENDED_USE, &tlv(OCTETS, &[&sequence(&[&SERVER_AUTH])])]),
    ]);
    sequence(&[
        &tlv(VERSION, &[&[0x02, 0x01, 0x02]]),
        &tlv(INTEGER, &[&serial]),
        &sequence(&[&ECDSA_SHA384]),
        &name,
        &validity,
        &name,
        &key,
        &tlv(EXTENSIONS, &[&extensions]),
    ])
}

/// The whole certificate.
pub(super) fn signed(body: &[u8], signature: &[u8]) -> Vec<u8> {
    sequence(&[body, &sequence(&[&ECDSA_SHA384]), &tlv(BITS, &[&[0], signature])])
}

/// A moment: with two digits of the year as long as they mean one.
fn time(at: WallTime) -> Vec<u8> {
    let (year, month, day, hour, minute, second, _) = at.civil();
    if year > 9_999 {
        return tlv(GENERAL_TIME, &[b"99991231235959Z"]);
    }
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    match year < 2_050 {
        true => tlv(UTC_TIME, &[format!("{:02}{rest}", year % 100).as_bytes()]),
        false => tlv(GENERAL_TIME, &[format!("{year:04}{rest}").as_bytes()]),
    }
}

/// A sequence of these.
fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

/// A tag, the length and these parts.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut out = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length) if length < 0x80 => out.push(length),
        _ => {
            let bytes = content.len().to_be_bytes();
            let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
            let digits = bytes.get(zeros..).unwrap_or_default();
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or(0));
            out.extend_from_slice(digits);
        }
    }
    out.extend_from_slice(&content);
    out
}

/// From the first of January 2026 on: a clock that begins in 1970 at each start is no reason to be refused.
const BEGIN_MICROS: i64 = 1_767_225_600_000_000;
/// ... for so long after it was made.
const TEN_YEARS_MICROS: i64 = 3_652 * 86_400_000_000;
/// Characters of a name (RFC 5280, upper bounds).
const COMMON_NAME_MAX: usize = 64;
/// A whole number.
const INTEGER: u8 = 0x02;
/// A string of bits.
const BITS: u8 = 0x03;
/// A string of bytes.
const OCTETS: u8 = 0x04;
/// Text.
const UTF8: u8 = 0x0c;
/// A moment with two digits of the year.
const UTC_TIME: u8 = 0x17;
/// A moment with four.
const GENERAL_TIME: u8 = 0x18;
/// A set.
const SET: u8 = 0x31;
/// `[0]` of the body.
const VERSION: u8 = 0xa0;
/// `[3]` of the body.
const EXTENSIONS: u8 = 0xa3;
/// `[2]` of a general name.
const DNS_NAME: u8 = 0x82;

/// 1.2.840.10045.4.3.3: the signature's algorithm.
const ECDSA_SHA384: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
/// 1.2.840.10045.2.1: the key's.
const EC_PUBLIC_KEY: [u8; 9] = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// 1.3.132.0.34: its curve.
const P384: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
/// 2.5.4.3: a name.
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
/// 2.5.29.17: the names of a server.
const ALTERNATIVE_NAMES: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x11];
/// 2.5.29.19: whether it may sign others.
const BASIC_CONSTRAINTS: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x13];
/// 2.5.29.37: what it is for.
const EXTENDED_USE: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 0x25];
/// 1.3.6.1.5.5.7.3.1: a server.
const SERVER_AUTH: [u8; 10] = [0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
