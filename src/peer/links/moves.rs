//! Peers that change their address, and this node when it does.
//!
//! Read "Sessions" in `wire/PROTOCOL.md` first.

use super::{Link, Links};
use crate::base::ids::NodeId;
use crate::base::units::Time;
use std::net::SocketAddr;

impl Links {
    /// This node's addresses have changed: every peer hears at once from the new ones.
    pub fn on_moved(&mut self, now: Time) {
        for link in self.links.values_mut() {
            link.session.on_path_change(now);
            link.session.ping();
        }
    }

    /// With which run of a node there is a session.
    #[must_use]
    pub fn run_of(&self, node: &NodeId) -> Option<[u8; 8]> {
        let link = self.links.get(self.nodes.get(node)?)?;
        Some(link.order.incarnation)
    }

    /// Sessions, and those that have ended a moment ago.
    #[cfg(test)]
    pub fn lengths(&self) -> (usize, usize) {
        (self.links.len(), self.leaving.len())
    }
}

impl Link {
    /// The newest authentic packet came from there. Another port alone is a router that has forgotten; another IP address
    /// is another path, and to one where nobody answers goes no more than a first window.
    pub(super) fn move_to(&mut self, now: Time, from: SocketAddr) {
        if self.address.ip() != from.ip() {
            self.session.on_path_change(now);
        }
        self.address = from;
    }
}
