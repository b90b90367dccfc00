//! What the machines behind an endpoint share: randomness, what goes out, what is reported, what is counted; and what
//! this node is in its vault.
//!
//! Owns: these queues and their bounds. Refuses: decisions. Read first: `table.rs`.

use super::event::{Counters, Door, Event, Identity};
use super::handshake::DoorKeys;
use super::lasting::Lasting;
use crate::base::limits::OUTBOX_DATAGRAMS_MAX;
use crate::base::units::Span;
use crate::feed::roster::Roster;
use core::fmt;
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

/// Shared by handshakes, pairing and sessions of one endpoint.
pub struct Desk {
    /// Every random choice comes from here.
    pub random: ChaCha20Rng,
    /// Datagrams outside of sessions, to be sent.
    outbox: VecDeque<(SocketAddr, Vec<u8>)>,
    /// What the owner has not taken yet.
    events: VecDeque<Event>,
    /// What was dropped.
    pub counters: Counters,
}

/// What this node is in its vault.
pub struct Membership {
    /// Who.
    pub identity: Identity,
    /// Its channel key.
    pub lasting: Arc<Lasting>,
    /// What the door secret gives.
    pub keys: DoorKeys,
    /// Who the members are.
    pub roster: Roster,
    /// Admit entries from the root to this node, raw.
    pub chain: Vec<Vec<u8>>,
    /// How often it wants an idle session to prove its life; None: it need not.
    pub keepalive: Option<Span>,
}

impl Membership {
    /// A member that knows nobody yet but whoever proves a chain from the root.
    #[must_use]
    pub fn new(identity: Identity, door: &Door, keepalive: Option<Span>) -> Self {
        let lasting = Arc::new(Lasting::new(identity.channel_secret));
        let (keys, roster) = (DoorKeys::new(door), Roster::new(door.root_public));
        Self { identity, lasting, keys, roster, chain: Vec::new(), keepalive }
    }
}

impl Desk {
    /// An empty one.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        let random = ChaCha20Rng::from_seed(seed);
        Self { random, outbox: VecDeque::new(), events: VecDeque::new(), counters: Counters::default() }
    }

    /// 32 fresh bytes.
    pub fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        self.random.fill_bytes(&mut seed);
        seed
    }

    /// Sends a datagram; whoever causes more than the queue takes loses some, as on any network.
    pub fn transmit(&mut self, to: SocketAddr, datagram: Vec<u8>) {
        if self.outbox.len() < OUTBOX_DATAGRAMS_MAX {
            self.outbox.push_back((to, datagram));
        } else {
            self.counters.refused += 1;
        }
    }

    /// Reports. The owner drains after every call, and no call reports more than a few.
    pub fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// The next datagram.
    pub fn next_datagram(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        self.outbox.pop_front()
    }

    /// Datagrams and reports that wait.
    #[cfg(test)]
    pub fn lengths(&self) -> (usize, usize) {
        (self.outbox.len(), self.events.len())
    }

    /// The next report.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Desk").field("counters", &self.counters).finish_non_exhaustive()
    }
}
