//! The certificate of the web page: made by the node itself, kept in its home, known to people by its fingerprint.
//!
//! Key and certificate lie in one file, so that they always belong together. Whoever has a better certificate may put it there, with
//! its key; nothing else is known of authorities here. Refuses keys other than P-384: every browser takes it, and ring's code for P-256
//! brings a table of 150 kB.

use std::io::ErrorKind;
use std::path::Path;

use base64::engine::general_purpose::STANDARD as BASE64;
use base64::Engine as _;
use ring::rand::SystemRandom;
use ring::signature::{EcdsaKeyPair, KeyPair as _, ECDSA_P384_SHA384_ASN1_SIGNING};
use sha2::{Digest as _, Sha256};

use crate::base::units::WallTime;
use crate::io::home::replace_file;
use crate::io::os::entropy;
use crate::node::api::ApiError;

mod der;

use der::Names;

/// The file in the home.
pub const FILE_NAME: &str = "web-tls.pem";

/// A key, and what says whose it is.
#[derive(Debug)]
pub struct Certificate {
    /// Signs.
    pub key: EcdsaKeyPair,
    /// The certificate in DER, and those that it was signed with.
    pub chain: Vec<Vec<u8>>,
}

impl Certificate {
    /// The one in the home; where there is none, one is made for these names.
    ///
    /// # Errors
    /// When it cannot be read, used or written.
    pub fn open(home: &Path, names: &[String], now: WallTime) -> Result<Self, ApiError> {
        let path = home.join(FILE_NAME);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let text = make(names, now)?;
                replace_file(home, FILE_NAME, &text)
                    .map_err(|error| refused(format!("cannot be written: {error}")))?;
                Self::parse(&text)
            }
            Err(error) => Err(refused(format!("cannot be read: {error}"))),
        }
    }

    /// From the text of the file.
    fn parse(text: &str) -> Result<Self, ApiError> {
        let key = blocks(text, "PRIVATE KEY")?.into_iter().next();
        let key = key.ok_or_else(|| refused("has no PRIVATE KEY in it (PKCS #8)".to_owned()))?;
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &key, &SystemRandom::new())
            .map_err(|error| refused(format!("has no P-384 key in PKCS #8 in it: {error}")))?;
        let chain = blocks(text, "CERTIFICATE")?;
        let public = key.public_key().as_ref();
        let is_for_it = |der: &Vec<u8>| der.windows(public.len()).any(|window| window == public);
        if !chain.first().is_some_and(is_for_it) {
            return Err(refused(
                "has no CERTIFICATE in it that belongs to its key, as the first one".to_owned(),
            ));
        }
        Ok(Self { key, chain })
    }

    /// What a person compares: SHA-256, in pairs of hexadecimal digits, as browsers show it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.chain.first().map_or(&[][..], Vec::as_slice));
        let pairs: Vec<String> = digest.iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }
}

/// A new key and certificate, as the text of the file.
fn make(names: &[String], now: WallTime) -> Result<String, ApiError> {
    let failed = |_| refused("cannot be made".to_owned());
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &random).map_err(failed)?;
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, pkcs8.as_ref(), &random)
        .map_err(|error| refused(format!("cannot be made: {error}")))?;
    let seed = entropy().map_err(|error| refused(format!("cannot be made: {error}")))?;
    let body = der::body(&Names { names, serial: &seed[..16], public: key.public_key().as_ref(), now });
    let signature = key.sign(&random, &body).map_err(failed)?;
    let whole = der::signed(&body, signature.as_ref());
    Ok(block("PRIVATE KEY", pkcs8.as_ref()) + &block("CERTIFICATE", &whole))
}

/// Bytes as a block of PEM (RFC 7468).
fn block(kind: &str, bytes: &[u8]) -> String {
    let text = BASE64.encode(bytes);
    let mut out = format!("-----BEGIN {kind}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(64));
        out.push_str(line);
        out.push('\n');
        rest = behind;
    }
    out.push_str(&format!("-----END {kind}-----\n"));
    out
}

/// All blocks of this kind.
fn blocks(text: &str, kind: &str) -> Result<Vec<Vec<u8>>, ApiError> {
    let (begin, end) = (format!("-----BEGIN {kind}-----"), format!("-----END {kind}-----"));
    let read = |part: &str| {
        let body: String = part.split(&end).next().unwrap_or_default().split_whitespace().collect();
        BASE64.decode(body).map_err(|error| refused(format!("has a damaged {kind} in it: {error}")))
    };
    text.split(&begin).skip(1).map(read).collect()
}

/// The error for a file that is of no use.
fn refused(why: String) -> ApiError {
    ApiError::new(
        "tls_invalid",
        format!("{FILE_NAME} in the node's home {why}"),
        "mend it; or remove it, and the next start makes a new one, which browsers will ask about; or turn web.tls off",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names() -> Vec<String> {
        vec!["attic.local".to_owned(), "localhost".to_owned()]
    }

    #[test]
    fn it_is_made_once_for_the_owner_alone_and_stays_the_same() {
        let home = tempfile::tempdir().unwrap();
        let now = WallTime::from_micros(1_800_000_000_000_000);
        let first = Certificate::open(home.path(), &names(), now).unwrap().fingerprint();
        let path = home.path().join(FILE_NAME);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Certificate::open(home.path(), &[], now).unwrap().fingerprint(), first);
        assert_eq!((first.len(), first.matches(':').count()), (95, 31));
        std::fs::remove_file(&path).unwrap();
        assert_ne!(Certificate::open(home.path(), &names(), now).unwrap().fingerprint(), first);
    }

    #[test]
    fn what_is_no_certificate_with_its_key_is_refused_in_words() {
        let now = WallTime::from_micros(0);
        let (one, other) = (make(&names(), now).unwrap(), make(&names(), now).unwrap());
        let key = one.split("-----BEGIN CERTIFICATE").next().unwrap().to_owned();
        let foreign = key.clone() + &block("CERTIFICATE", &blocks(&other, "CERTIFICATE").unwrap()[0]);
        let damaged = one.replacen("-----END CERT", "!!\n-----END CERT", 1);
        for (text, why) in [
            ("", "no PRIVATE KEY"),
            (key.as_str(), "belongs to its key"),
            (&foreign, "belongs to its key"),
            (&damaged, "damaged"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no P-384 key"),
        ] {
            let error = Certificate::parse(text).unwrap_err();
            assert!(error.code == "tls_invalid" && error.message.contains(why), "{why}: {error:?}");
        }
        let chain = one.clone() + &block("CERTIFICATE", b"of somebody who signed it");
        assert_eq!(Certificate::parse(&chain).unwrap().chain.len(), 2);
    }

    /// What OpenSSL, where there is one, says of a certificate.
    fn read_by_openssl(text: &str) -> Option<String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.pem");
        std::fs::write(&path, text).unwrap();
        let output = std::process::Command::new("openssl")
            .args(["x509", "-noout", "-text", "-in"])
            .arg(&path)
            .output()
            .ok()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let verified = std::process::Command::new("openssl")
            .arg("verify")
            .arg("-CAfile")
            .args([&path, &path])
            .output()
            .ok()?;
        assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
        Some(String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn other_programs_read_it_whatever_the_clock_said() {
        for (now, until) in [
            (0, "Jan  1 00:00:00 2036 GMT"),
            (-5_000_000_000, "Jan  1 00:00:00 2036 GMT"),
            (1_800_000_000, "Jan 14 08:00:00 2037 GMT"),
            (4_000_000_000, "Oct  3 07:06:40 2106 GMT"),
            (i64::MAX / 1_000_000, "Dec 31 23:59:59 9999 GMT"),
        ] {
            let text = make(&names(), WallTime::from_micros(now * 1_000_000)).unwrap();
            let Some(said) = read_by_openssl(&text) else { return eprintln!("not tried: no openssl here") };
            for wanted in [
                "Not Before: Jan  1 00:00:00 2026 GMT",
                until,
                "DNS:attic.local, DNS:localhost",
                "CA:FALSE",
                "TLS Web Server Authentication",
                "ecdsa-with-SHA384",
                "secp384r1",
            ] {
                assert!(said.contains(wanted), "{wanted} is not in {said}");
            }
        }
    }
}
