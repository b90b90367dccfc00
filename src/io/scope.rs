//! Addresses as people write them: the link of a link-local address by its name, as in `[fe80::1%eth0]:7117`.
//!
//! The standard library knows links by number only. Decides nothing.

use std::net::{IpAddr, SocketAddr};

use if_addrs::get_if_addrs;

/// Reads `IP:port`, where a link may be named.
///
/// # Errors
/// When it is no address, or there is no such link; the text says which.
pub fn socket_address(text: &str) -> Result<SocketAddr, String> {
    let links = get_if_addrs().unwrap_or_default();
    let number = |name: &str| links.iter().find(|link| link.name == name).and_then(|link| link.index);
    with_links(text, number)
}

/// [`socket_address`], where `number` knows the links.
fn with_links(text: &str, number: impl Fn(&str) -> Option<u32>) -> Result<SocketAddr, String> {
    let wrong = || format!("'{text}' is no IP:port, such as 192.168.1.20:7117 or [fe80::1%eth0]:7117");
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (before, rest) = text.split_once('%').ok_or_else(wrong)?;
    let (name, after) = rest.split_once(']').ok_or_else(wrong)?;
    let index = number(name).ok_or_else(|| format!("this machine has no network interface '{name}'"))?;
    format!("{before}%{index}]{after}").parse().map_err(|_| wrong())
}

/// The addresses of this machine that a person can type on another one: IPv4 first, none of loopback or one link alone.
#[must_use]
pub fn addresses() -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = get_if_addrs()
        .unwrap_or_default()
        .iter()
        .filter(|link| !link.is_loopback())
        .map(if_addrs::Interface::ip)
        .filter(|ip| !matches!(ip, IpAddr::V6(six) if six.is_unicast_link_local()))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_known_by_name_and_by_number() {
        let read = |text| with_links(text, |name| (name == "eth0").then_some(7));
        let SocketAddr::V6(six) = read("[fe80::1%eth0]:7117").unwrap() else { panic!("IPv6") };
        assert_eq!((six.scope_id(), six.port()), (7, 7117));
        assert_eq!(read("[fe80::1%7]:7117"), Ok(SocketAddr::V6(six)));
        assert_eq!(read("10.0.0.1:5"), Ok("10.0.0.1:5".parse().unwrap()));
        assert!(read("[fe80::1%wlan9]:5").unwrap_err().contains("wlan9"));
        for text in ["", "fe80::1%eth0", "[fe80::1%eth0", "host:5", "%]"] {
            assert!(read(text).unwrap_err().contains("IP:port") || text == "%]", "{text}");
        }
    }
}
