//! Whether a request that came over TCP is meant for this node, and from where it comes.
//!
//! A strange page can make a browser of this network ask us: with its own name pointing at our address (DNS rebinding), or
//! across sites. Against the first stands the name that the browser believes to talk to: an address, or a name that no public
//! server answers for. Against the second the header [`SIGN`], which a browser sends across sites only after having asked,
//! which we refuse, and the cookie that it does not send at all (SameSite).

use std::net::IpAddr;

use hyper::header::{HeaderMap, HeaderValue, HOST, LOCATION};
use hyper::{Method, Response, StatusCode, Uri};

use crate::io::http::{Answer, AnswerBody};
use crate::node::api::ApiError;

/// A header that pages of other sites cannot send.
pub(super) const SIGN: &str = "x-nuthatch";

/// Names below these are known to the local network only (RFC 6762, RFC 8375, ICANN's reserved names, and a habit of routers).
const LOCAL_DOMAINS: [&str; 7] = ["local", "localhost", "lan", "home.arpa", "internal", "home", "fritz.box"];

/// The names by which this node may be called.
#[derive(Debug)]
pub(super) struct Gate {
    /// Of the configuration, in lower case.
    pub(super) hosts: Vec<String>,
}

impl Gate {
    /// Whether the browser means us.
    pub(super) fn check_host(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let mut hosts = headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().unwrap_or_default(),
            _ => "",
        };
        let name = name_of(host).to_ascii_lowercase();
        if self.is_ours(name.trim_end_matches('.')) {
            return Ok(());
        }
        Err(ApiError::new(
            "wrong_host",
            format!("this node does not answer to the name {name:?}"),
            "open it by its address or its name in the local network, or add the name to web.hosts",
        ))
    }

    /// Whether a name is one of ours.
    fn is_ours(&self, name: &str) -> bool {
        let is_address =
            name.trim_matches(['[', ']']).split('%').next().is_some_and(|ip| ip.parse::<IpAddr>().is_ok());
        let is_plain = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        // A name without a dot is in no public zone.
        let is_local = !name.contains('.')
            || LOCAL_DOMAINS
                .iter()
                .any(|domain| name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')));
        is_address || is_plain && (is_local || self.hosts.iter().any(|host| host == name))
    }
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rfind(']') {
        Some(end) => &host[..=end],
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Whether a request that changes something comes from our own page or from a program.
pub(super) fn check_sign(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let is_reading = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    if is_reading || headers.contains_key(SIGN) {
        return Ok(());
    }
    Err(ApiError::new(
        "csrf",
        "this request could come from a page of another site",
        format!("send the header {SIGN}: 1, or log in with a token"),
    ))
}

/// Sends somebody who came unencrypted to the same place, encrypted. Not for good: TLS may be turned off again.
pub(super) fn to_https(headers: &HeaderMap, uri: &Uri) -> Result<Answer, ApiError> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let path = uri.path_and_query().map(|path| path.as_str()).filter(|path| path.starts_with('/'));
    let place = HeaderValue::from_str(&format!("https://{host}{}", path.unwrap_or("/")));
    let mut answer = Response::new(AnswerBody::empty());
    *answer.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    answer.headers_mut().insert(
        LOCATION,
        place.map_err(|_| {
            ApiError::new(
                "bad_request",
                "this address cannot be sent anywhere else",
                "write https:// instead of http://",
            )
        })?,
    );
    Ok(answer)
}

/// Whether an address is of this machine or of a network around it.
pub(super) fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(four) => four.is_private() || four.is_loopback() || four.is_link_local(),
        IpAddr::V6(six) => six.is_loopback() || six.is_unicast_link_local() || six.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn asked(host: &str) -> bool {
        let gate = Gate { hosts: vec!["box.example.org".into()] };
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        gate.check_host(&headers).is_ok()
    }

    #[test]
    fn a_name_that_a_stranger_can_point_at_us_is_refused() {
        for host in [
            "127.0.0.1:7118",
            "192.168.1.5",
            "[fe80::1%25eth0]:7118",
            "[::1]",
            "attic:7118",
            "localhost:7118",
            "nuthatch-3f.local.:7118",
            "Attic.LAN",
            "attic.fritz.box",
            "x.home.arpa",
            "box.example.org:7118",
        ] {
            assert!(asked(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "evil.box.example.org",
            "127.0.0.1.example.org",
            "attic.local.example.org:7118",
            "fritz.box.evil.com",
            "notlocal.com",
            "a b",
            "192.168.1.5.nip.io",
        ] {
            assert!(!asked(host), "{host}");
        }
        let gate = Gate { hosts: Vec::new() };
        assert!(gate.check_host(&HeaderMap::new()).is_err());
        let mut twice = HeaderMap::new();
        twice.append(HOST, HeaderValue::from_static("localhost"));
        twice.append(HOST, HeaderValue::from_static("evil.com"));
        assert!(gate.check_host(&twice).is_err());
    }

    #[test]
    fn who_comes_unencrypted_is_sent_to_the_same_place() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("attic.local:7118"));
        for (asked, place) in [
            ("/", "https://attic.local:7118/"),
            (
                "/api/v1/zip?what=a%0d%0aSet-Cookie:%20x",
                "https://attic.local:7118/api/v1/zip?what=a%0d%0aSet-Cookie:%20x",
            ),
            ("//evil.example/x", "https://attic.local:7118//evil.example/x"),
            ("http://evil.example/x", "https://attic.local:7118/x"),
            ("*", "https://attic.local:7118/"),
        ] {
            let answer = to_https(&headers, &asked.parse().unwrap()).unwrap();
            assert_eq!(answer.status(), StatusCode::TEMPORARY_REDIRECT);
            assert_eq!(answer.headers()[LOCATION], place);
        }
    }

    #[test]
    fn only_networks_around_us_are_near() {
        for near in
            ["127.0.0.1", "10.1.2.3", "192.168.0.9", "::1", "fe80::1", "fd00::7", "::ffff:192.168.1.1"]
        {
            assert!(is_near(near.parse().unwrap()), "{near}");
        }
        for far in ["8.8.8.8", "2001:db8::1", "::ffff:8.8.8.8", "100.64.0.1"] {
            assert!(!is_near(far.parse().unwrap()), "{far}");
        }
    }

    #[test]
    fn what_changes_something_carries_a_sign() {
        let mut headers = HeaderMap::new();
        assert!(check_sign(&Method::GET, &headers).is_ok());
        assert!(
            check_sign(&Method::POST, &headers).is_err() && check_sign(&Method::DELETE, &headers).is_err()
        );
        headers.insert(SIGN, HeaderValue::from_static("1"));
        assert!(check_sign(&Method::POST, &headers).is_ok());
    }
}
