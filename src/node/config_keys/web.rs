//! The keys of the web page.

use std::net::SocketAddr;

use super::{strings_of, Key, Refused};
use crate::base::limits::WEB_HOSTS_MAX;
use serde_json::Value as Json;

/// Where the web page is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebListen {
    /// Port 7118 on all addresses, or a free port if that one is busy.
    Default,
    /// Nowhere.
    Off,
    /// Here, which must be free.
    At(SocketAddr),
}

/// `web.listen`.
pub(super) const LISTEN: Key = Key {
    name: "web.listen",
    meaning: "Where the web page is served (TCP); \"default\" falls back to a free port where 7118 is busy. Read at start.",
    default: "\"default\"",
    range: "\"default\" (port 7118 on every address), \"off\", or IP:port such as \"127.0.0.1:7118\"",
    read: |config, value| {
        config.web = match value.as_str().ok_or(Refused)? {
            "default" => WebListen::Default,
            "off" => WebListen::Off,
            text => WebListen::At(text.parse().map_err(|_| Refused)?),
        };
        Ok(())
    },
    show: |config| match config.web {
        WebListen::Default => Json::from("default"),
        WebListen::Off => Json::from("off"),
        WebListen::At(address) => Json::from(address.to_string()),
    },
};

/// `web.tls`.
pub(super) const TLS: Key = Key {
    name: "web.tls",
    meaning: "Whether the web page is encrypted (TLS 1.3), with a certificate that this node makes itself and keeps in its home: a browser asks about it once; compare the fingerprint that `nuthatch status` shows. Unencrypted requests are sent to https. Read at start.",
    default: "\"off\"",
    range: "\"on\" or \"off\"",
    read: |config, value| {
        config.web_tls = match (value.as_str(), value.as_bool()) {
            (Some("on"), _) | (_, Some(true)) => true,
            (Some("off"), _) | (_, Some(false)) => false,
            _ => return Err(Refused),
        };
        Ok(())
    },
    show: |config| Json::from(if config.web_tls { "on" } else { "off" }),
};

/// `web.hosts`.
pub(super) const HOSTS: Key = Key {
    name: "web.hosts",
    meaning: "Names by which browsers may call the web page, beside addresses and names that only the local network knows (such as attic.local): others are refused, since a strange page could point its own name here. Read at start.",
    default: "[]",
    range: "a list of at most 16 names, such as [\"box.example.org\"]",
    read: |config, value| {
        let hosts = strings_of(value)?;
        let fits = |host: &String| {
            !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        };
        if hosts.len() > WEB_HOSTS_MAX || !hosts.iter().all(fits) {
            return Err(Refused);
        }
        config.web_hosts = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Ok(())
    },
    show: |config| Json::from(config.web_hosts.clone()),
};
