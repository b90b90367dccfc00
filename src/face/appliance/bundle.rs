//! The head of an update bundle: what it is for, what follows, and who signed that. The format is in docs/UPDATES.md.
//!
//! Total: any bytes give a head or an error, and no more than `HEAD_BYTES_MAX` are read before the signature is known to be right.

use std::io::Read;

use base64::engine::general_purpose::STANDARD as BASE64;
use base64::Engine as _;
use ed25519_dalek::{Signature, VerifyingKey};

use crate::base::ids::unhex;

/// Most bytes of the head.
const HEAD_BYTES_MAX: usize = 4096;
/// Its first line.
const FIRST: &str = "nuthatch-update 1";

/// What stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The version of nuthatch in the new system, for people.
    pub version: String,
    /// Which image it belongs to.
    pub target: String,
    /// The release of the kernel whose modules it has.
    pub kernel: String,
    /// The format of the store that its nuthatch writes.
    pub data: u32,
    /// How long the system is.
    pub root_bytes: u64,
    /// Its SHA-256.
    pub root_hash: [u8; 32],
}

impl Head {
    /// Reads and checks the head; what comes next from `input` is the system itself.
    ///
    /// # Errors
    /// In words, when it is no bundle, was cut off, or none of `keys` signed it.
    pub fn read(input: &mut impl Read, keys: &[VerifyingKey]) -> Result<Self, String> {
        let head = up_to_blank_line(input)?;
        let (signed, signature) =
            head.rsplit_once("signature=").ok_or("it is not signed: the line `signature=` is missing")?;
        let signature = BASE64.decode(signature.trim_end()).ok().and_then(|bytes| bytes.try_into().ok());
        let signature = Signature::from_bytes(&signature.ok_or("its signature is damaged")?);
        if !keys.iter().any(|key| key.verify_strict(signed.as_bytes(), &signature).is_ok()) {
            return Err("its signature is not by a key that this system trusts, or it was changed after it was signed".into());
        }
        Self::parse(signed)
    }

    /// The signed part.
    fn parse(signed: &str) -> Result<Self, String> {
        let mut lines = signed.lines().skip(1);
        let mut take = |key: &str| {
            let line = lines.next().and_then(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.ok_or_else(|| format!("its head does not say {key} where it should"))
        };
        let (version, target, kernel) =
            (take("version")?.to_owned(), take("target")?.to_owned(), take("kernel")?.to_owned());
        let number =
            |text: &str| text.parse::<u64>().map_err(|_| format!("{text:?} in its head is no number"));
        let data =
            u32::try_from(number(take("data")?)?).map_err(|_| "its data format is no number of ours")?;
        let root_bytes = number(take("root_bytes")?)?;
        let mut root_hash = [0; 32];
        unhex(take("root_sha256")?, &mut root_hash).map_err(|_| "the hash in its head is none")?;
        Ok(Self { version, target, kernel, data, root_bytes, root_hash })
    }
}

/// The keys of a file: 64 hexadecimal digits a line, `#` begins a comment.
///
/// # Errors
/// In words, with the line that is no key.
pub fn keys(text: &str) -> Result<Vec<VerifyingKey>, String> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let key = |line: &str| {
        let mut bytes = [0; 32];
        let good = unhex(line, &mut bytes).ok().and_then(|()| VerifyingKey::from_bytes(&bytes).ok());
        good.ok_or_else(|| format!("{line:?} is no key"))
    };
    lines.filter(|line| !line.is_empty()).map(key).collect()
}

/// Reads byte by byte, so that nothing of what follows is taken; the caller buffers.
fn up_to_blank_line(input: &mut impl Read) -> Result<String, String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\n\n") {
        if head.len() >= HEAD_BYTES_MAX || head.len() == FIRST.len() && head != FIRST.as_bytes() {
            return Err("this is no update bundle".into());
        }
        match input.read(&mut byte) {
            Ok(0) => return Err("this is no update bundle, or it was cut off".into()),
            Ok(_) => head.extend(byte),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(format!("it cannot be read: {error}")),
        }
    }
    String::from_utf8(head).map_err(|_| "this is no update bundle".into())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::ids::hex;
    use ed25519_dalek::{Signer as _, SigningKey};
    use sha2::{Digest as _, Sha256};

    /// A bundle as `images/sign` makes it.
    pub(in crate::face::appliance) fn bundle(
        key: &SigningKey,
        target: &str,
        data: u32,
        root: &[u8],
    ) -> Vec<u8> {
        let hash = hex(&Sha256::digest(root));
        let signed = format!(
            "{FIRST}\nversion=0.2.0\ntarget={target}\nkernel=6.1.0-test\ndata={data}\nroot_bytes={}\nroot_sha256={hash}\n",
            root.len()
        );
        let signature = BASE64.encode(key.sign(signed.as_bytes()).to_bytes());
        let mut out = format!("{signed}signature={signature}\n\n").into_bytes();
        out.extend(root);
        out
    }

    #[test]
    fn a_head_is_right_or_refused_whatever_byte_is_changed() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let trusted = [key.verifying_key()];
        let whole = bundle(&key, "rpi-arm64", 1, b"system");
        let mut input = whole.as_slice();
        let head = Head::read(&mut input, &trusted).unwrap();
        assert_eq!((head.target.as_str(), head.data, head.root_bytes), ("rpi-arm64", 1, 6));
        assert_eq!(input, b"system");
        let length = whole.len() - 6;
        for place in 0..length {
            assert!(Head::read(&mut &whole[..place], &trusted).is_err(), "cut at {place}");
            let mut changed = whole.clone();
            changed[place] ^= 1;
            assert!(Head::read(&mut changed.as_slice(), &trusted).is_err(), "changed at {place}");
        }
        let stranger = [SigningKey::from_bytes(&[8; 32]).verifying_key()];
        assert!(Head::read(&mut whole.as_slice(), &stranger).is_err());
        assert!(Head::read(&mut whole.as_slice(), &[]).is_err());
    }

    #[test]
    fn keys_are_read_a_line_each() {
        let key = SigningKey::from_bytes(&[7; 32]).verifying_key();
        let text = format!("# release keys\n{}  # the old one\n\n", hex(key.as_bytes()));
        assert_eq!(keys(&text), Ok(vec![key]));
        assert!(keys("abc\n").is_err());
    }
}
