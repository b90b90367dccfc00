//! Whether multicast works: who is there but is not sighted.
//!
//! mDNS that does not get through is silent. Two things show it: this node does not hear its own announcement, or a
//! neighbour on the same network has been connected for long and was never sighted. Then new devices do not find this one
//! by themselves, and a person is told what to do. Owns that judgement, and what an announcement calls for; what was sighted
//! lies in `node/reach.rs`.

use std::net::{IpAddr, SocketAddr};

use super::activity::Level;
use super::core::Core;
use crate::base::limits::SIGHTING_OVERDUE;
use crate::peer::discovery::{Announcement, Search, State};

/// What to do about it.
pub(super) const HINT: &str = "name addresses (`nuthatch config set peers.addresses IP:PORT`); let the router or access point pass multicast (no client isolation), \
     and see mdns.enabled and mdns.interfaces on both devices";

impl Core {
    /// Somebody announced itself on the network.
    pub(super) fn sighted(&mut self, addresses: &[SocketAddr], announcement: &Announcement) {
        if self.instance() == announcement.instance {
            self.reach.own_heard = Some(self.now.time);
            return;
        }
        self.reach.hear(self.now.time, addresses, announcement);
        self.heed(addresses, announcement);
    }

    /// A way into a vault has begun: what was announced before is news again.
    pub(super) fn heed_all(&mut self) {
        let heard: Vec<_> =
            self.reach.heard.values().map(|one| (one.addresses.clone(), one.announcement.clone())).collect();
        for (addresses, announcement) in heard {
            self.heed(&addresses, &announcement);
        }
    }

    /// Does what an announcement calls for.
    fn heed(&mut self, addresses: &[SocketAddr], announcement: &Announcement) {
        let now = self.now.time;
        if announcement.state == State::Inviting {
            self.entering_sighted(addresses);
        }
        let day = self.day();
        let ours = self
            .member
            .as_ref()
            .is_some_and(|member| announcement.matches(Search::Vault(member.keys.door().as_bytes(), day)));
        if ours {
            for address in addresses {
                self.reach.add_announced(now, *address, &announcement.instance);
            }
            self.entering_vault_sighted(addresses);
        }
    }

    /// What a person should know of discovery on the local network; None: it works, is off, or cannot be judged yet.
    pub(super) fn multicast_doubt(&self) -> Option<String> {
        let since = self.reach.listening_since.filter(|_| self.setup.discovery)?;
        let now = self.now.time;
        if since.max(self.reach.own_heard.unwrap_or(since)) + SIGHTING_OVERDUE <= now {
            return Some(
                "this node does not hear its own announcements: multicast does not work on its network"
                    .into(),
            );
        }
        let is_sighted = |ip: IpAddr| {
            let heard = self.reach.heard.values().filter(|heard| now < heard.last + SIGHTING_OVERDUE);
            heard.flat_map(|heard| &heard.addresses).any(|address| address.ip() == ip)
        };
        let (mut missing, mut sighted) = (Vec::new(), 0);
        for peer in self.endpoint.peers() {
            let ip = peer.address.ip();
            if !self.listening.addresses.iter().any(|own| is_neighbour(own.ip(), ip)) {
                continue;
            }
            if is_sighted(ip) {
                sighted += 1;
            } else if peer.since.max(since) + SIGHTING_OVERDUE <= now {
                missing.push(
                    self.member.as_ref().map_or_else(|| peer.node.short(), |own| own.name_of(&peer.node)),
                );
            }
        }
        if missing.is_empty() {
            return None;
        }
        let names = missing.join(", ");
        Some(if sighted == 0 {
            format!("multicast does not get through on this network: {names} is connected, but its announcements are not heard")
        } else {
            format!("{names} is connected and on this network, but its announcements are not heard")
        })
    }

    /// Says it in the log when it begins and when it ends.
    pub(super) fn note_multicast(&mut self) {
        let doubt = self.multicast_doubt();
        if doubt.is_some() == self.reach.doubted {
            return;
        }
        self.reach.doubted = doubt.is_some();
        match doubt {
            Some(doubt) => self.note(Level::Warn, "network", format!("{doubt}; {HINT}")),
            None => self.note(Level::Info, "network", "announcements on the local network are heard again"),
        }
    }
}

/// Whether two addresses are likely of one network: the usual lengths of a home's networks are taken for granted.
fn is_neighbour(one: IpAddr, other: IpAddr) -> bool {
    match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => {
            (one.is_private() || one.is_link_local())
                && one.octets()[..3] == other.octets()[..3]
                && one != other
        }
        (IpAddr::V6(one), IpAddr::V6(other)) => one.segments()[..4] == other.segments()[..4] && one != other,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_the_network_part() {
        let near = |one: &str, other: &str| is_neighbour(one.parse().unwrap(), other.parse().unwrap());
        assert!(near("192.168.1.5", "192.168.1.77") && near("fd00::1", "fd00::2"));
        assert!(!near("192.168.1.5", "192.168.2.5") && !near("8.8.8.8", "8.8.8.9"));
        assert!(!near("fd00::1", "fd00:0:0:1::1") && !near("192.168.1.5", "192.168.1.5"));
    }
}
