//! A network that loses, delays, reorders and doubles datagrams, and that can be cut in two.
//!
//! Everything is drawn from one generator, so that a seed is a run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;

use crate::base::units::{Span, Time};

/// Longest datagram that passes, in bytes: Ethernet's. What is longer is a probe that shall find that out.
const DATAGRAM_LENGTH: usize = 1_472;

/// How bad the network is.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    /// Datagrams lost, in thousandths.
    pub loss_per_mille: u64,
    /// Datagrams that arrive twice, in thousandths.
    pub double_per_mille: u64,
    /// Every datagram takes at least this long.
    pub delay: Span,
    /// And up to this much longer: what makes datagrams overtake each other.
    pub jitter: Span,
}

/// A datagram on its way, ordered by arrival.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    /// When it arrives.
    due: Time,
    /// Breaks ties in the order of sending.
    number: u64,
    /// Where to.
    to: SocketAddr,
    /// Where from.
    from: SocketAddr,
    /// What.
    bytes: Vec<u8>,
}

/// All datagrams on their way.
#[derive(Debug)]
pub struct Net {
    /// Soonest first.
    flying: BinaryHeap<Reverse<Flying>>,
    /// How bad it is.
    pub weather: Weather,
    /// What each direction between two addresses carries, in bytes a second; None: as much as is sent.
    pub line_bytes_per_second: Option<u64>,
    /// What single nodes send, in bytes a second, where that is less.
    pub uplinks: BTreeMap<SocketAddr, u64>,
    /// Whether what a node sends to all others goes over one line.
    pub shared: bool,
    /// When each direction has carried what waits for it.
    lines: BTreeMap<(SocketAddr, SocketAddr), Time>,
    /// On which side of a cut an address is, if not on the first: only those on the same side hear each other.
    sides: BTreeMap<SocketAddr, usize>,
    /// What is lost in one direction only: from the first to the second.
    deaf: BTreeSet<(SocketAddr, SocketAddr)>,
    /// Datagrams sent so far.
    sent_count: u64,
    /// Their bytes.
    sent_bytes: u64,
}

impl Net {
    /// A network with this weather.
    #[must_use]
    pub fn new(weather: Weather) -> Self {
        Self {
            flying: BinaryHeap::new(),
            weather,
            line_bytes_per_second: None,
            uplinks: BTreeMap::new(),
            shared: false,
            lines: BTreeMap::new(),
            sides: BTreeMap::new(),
            deaf: BTreeSet::new(),
            sent_count: 0,
            sent_bytes: 0,
        }
    }

    /// Puts these addresses on the far side of a cut; an empty set heals it, and what was cut in one direction only.
    pub fn cut(&mut self, far: BTreeSet<SocketAddr>) {
        if far.is_empty() {
            self.deaf.clear();
        }
        self.sides = far.into_iter().map(|address| (address, 1)).collect();
    }

    /// Puts one address on a side of its own choice, and leaves the others where they are; 0 is the side of all who were never put
    /// anywhere.
    pub fn put(&mut self, address: SocketAddr, side: usize) {
        self.sides.remove(&address);
        self.sides.extend(Some((address, side)).filter(|_| side > 0));
    }

    /// Whether somebody does not hear this address, or it does not hear somebody.
    #[must_use]
    pub fn is_apart(&self, address: &SocketAddr) -> bool {
        self.sides.contains_key(address)
            || self.deaf.iter().any(|(from, to)| from == address || to == address)
    }

    /// From now on nothing arrives that one address sends to another one, or it does again; the other direction is left as it is.
    pub fn cut_one_way(&mut self, from: SocketAddr, to: SocketAddr, is_cut: bool) {
        if is_cut {
            self.deaf.insert((from, to));
        } else {
            self.deaf.remove(&(from, to));
        }
    }

    /// Sends a datagram.
    pub fn send(&mut self, now: Time, rng: &mut ChaCha20Rng, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let weather = self.weather;
        let copies = 1 + u64::from(rng.next_u64() % 1000 < weather.double_per_mille);
        for _ in 0..copies {
            if bytes.len() > DATAGRAM_LENGTH || rng.next_u64() % 1000 < weather.loss_per_mille {
                continue;
            }
            let jitter = rng.next_u64() % (weather.jitter.as_micros() + 1);
            let Some(sent) = self.carry(now, (from, to), bytes.len()) else { continue };
            let due = sent + weather.delay + Span::from_micros(jitter);
            self.sent_count += 1;
            self.sent_bytes += u64::try_from(bytes.len()).unwrap_or(0);
            self.flying.push(Reverse(Flying {
                due,
                number: self.sent_count,
                to,
                from,
                bytes: bytes.to_vec(),
            }));
        }
    }

    /// When a line has carried a datagram behind those that wait already; None when too many wait.
    fn carry(&mut self, now: Time, line: (SocketAddr, SocketAddr), bytes: usize) -> Option<Time> {
        let rate = self.uplinks.get(&line.0).copied().or(self.line_bytes_per_second);
        let Some(rate) = rate else { return Some(now) };
        let line = if self.shared { (line.0, line.0) } else { line };
        let free = self.lines.get(&line).copied().unwrap_or(now).max(now);
        if free.since(now) > LINE_QUEUE_MAX {
            return None;
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let sent = free + Span::from_micros(bytes.saturating_mul(1_000_000) / rate.max(1));
        self.lines.insert(line, sent);
        Some(sent)
    }

    /// When the next datagram arrives.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.flying.peek().map(|Reverse(flying)| flying.due)
    }

    /// The next datagram that has arrived: to, from, bytes. One that meets a cut is gone.
    pub fn arrived(&mut self, now: Time) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        while self.deadline().is_some_and(|due| due <= now) {
            let Reverse(flying) = self.flying.pop()?;
            let is_heard = !self.deaf.contains(&(flying.from, flying.to));
            if is_heard && self.sides.get(&flying.to) == self.sides.get(&flying.from) {
                return Some((flying.to, flying.from, flying.bytes));
            }
        }
        None
    }

    /// Bytes sent so far, counted likewise.
    #[must_use]
    pub const fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }

    /// Datagrams sent so far, those that were lost on the way not counted.
    #[must_use]
    pub const fn sent_count(&self) -> u64 {
        self.sent_count
    }
}

/// A line loses what would have to wait for longer.
const LINE_QUEUE_MAX: Span = Span::from_millis(500);
