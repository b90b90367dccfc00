//! Where alerts go: `http://HOST[:PORT][/PATH]`, taken apart.

use crate::base::limits::ALERT_URL_BYTES_MAX;

/// An address that alerts are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query, with the slash that they begin with.
    pub path: String,
    /// As it was given.
    text: String,
}

impl Address {
    /// Reads `http://HOST[:PORT][/PATH][?QUERY]`. None for what is none, for `https`, and for one with a user's name in it.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://").filter(|_| text.len() <= ALERT_URL_BYTES_MAX)?;
        if !rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\\\"<>^`{|}".contains(&byte)) {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, behind) = bracketed.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, behind)
            }
            None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port != 0)?,
            None if port.is_empty() => 80,
            None => return None,
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host) {
            return None;
        }
        let path = if tail.starts_with('/') { tail.to_owned() } else { format!("/{tail}") };
        Some(Self { host: host.to_owned(), port, path, text: text.to_owned() })
    }

    /// As it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Host and port, as a request names them. What follows in the address may be a secret, and is for no log.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == 80 {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let parts = |text: &str| {
            Address::read(text).map(|address| (address.authority(), address.host, address.port, address.path))
        };
        let of = |authority: &str, host: &str, port, path: &str| {
            Some((authority.to_owned(), host.to_owned(), port, path.to_owned()))
        };
        assert_eq!(parts("http://ntfy.lan/topic"), of("ntfy.lan", "ntfy.lan", 80, "/topic"));
        assert_eq!(parts("http://10.0.0.2:8080"), of("10.0.0.2:8080", "10.0.0.2", 8080, "/"));
        assert_eq!(parts("http://[fd00::7]:81/a?b=c"), of("[fd00::7]:81", "fd00::7", 81, "/a?b=c"));
        assert_eq!(parts("http://host?x"), of("host", "host", 80, "/?x"));
    }

    #[test]
    fn what_is_no_plain_address_is_refused() {
        for text in [
            "",
            "https://ntfy.sh/topic",
            "http://",
            "http:///path",
            "http://user@host/",
            "http://user:secret@host/",
            "http://host:0/",
            "http://host:99999/",
            "http://host:/",
            "http://[::1/",
            "http://[host]/",
            "http://host/a b",
            "http://host/\r\nX: y",
            "http://h\u{f6}st/",
            "http://host/#part",
            "ftp://host/",
        ] {
            assert_eq!(Address::read(text), None, "{text}");
        }
        assert_eq!(Address::read(&format!("http://host/{}", "a".repeat(ALERT_URL_BYTES_MAX))), None);
    }
}
