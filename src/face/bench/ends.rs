//! Both ends of a measurement: one sends messages as large as chunks, as fast as the session takes them, the other counts
//! and drops them. Real endpoints, without stores or disks behind them.
//!
//! ```text
//!  sender   knocking --Up--> sending --all queued--> draining --all acknowledged--> over (says goodbye)
//!  server   waiting  --Up--> counting --End message--> lingering --Down, or a while--> over
//!  either   --Down, ConnectFailed at any earlier time--> failed
//! ```
//!
//! A message begins with a byte that says what it is; what it goes on with counts for data, and is the number of payload bytes for End.

use super::vault::{endpoint, Who};
use crate::base::ids::NodeId;
use crate::base::limits::{BENCH_LINGER, BENCH_MESSAGE_BYTES};
use crate::base::units::{Span, Time};
use crate::io::post::Party;
use crate::peer::event::{Event, PeerInfo, Transmit};
use crate::peer::table::Endpoint;
use crate::wire::frame::Lane;
use std::net::SocketAddr;

/// First byte of a message that is counted.
const DATA: u8 = 0;
/// First byte of the last message.
const END: u8 = 1;

/// How much is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantity {
    /// So many bytes of payload.
    Bytes(u64),
    /// As much as is taken in this time.
    Time(Span),
}

/// What was measured, seen from one end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Bytes of messages: acknowledged at the sender, delivered at the server.
    pub payload_bytes: u64,
    /// From the session's beginning to the last of these bytes.
    pub span: Span,
    /// The session at its end.
    pub peer: Option<PeerInfo>,
}

/// Why nothing was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answered.
    NoAnswer,
    /// The session ended in the middle; its own words.
    Lost(String),
    /// Fewer or more bytes arrived than were sent.
    Miscounted {
        /// What the sender says.
        sent: u64,
        /// What arrived.
        received: u64,
    },
}

/// Where an end stands.
#[derive(Debug)]
enum Stage {
    /// No session yet.
    Waiting,
    /// Bytes flow, since then.
    Flowing(Time),
    /// The sender waits for the last acknowledgement, and has sent since then.
    Draining(Time),
    /// It is measured; until then the other end may still ask something.
    Leaving(Measured, Time),
    /// It came to nothing.
    Failed(Failure),
}

/// What both ends have.
#[derive(Debug)]
struct End {
    /// The real thing.
    endpoint: Endpoint,
    /// Where it stands.
    stage: Stage,
    /// Payload sent or received.
    payload_bytes: u64,
}

impl End {
    /// An end without a session.
    fn new(seed: [u8; 32], who: Who) -> Self {
        Self { endpoint: endpoint(seed, who), stage: Stage::Waiting, payload_bytes: 0 }
    }

    /// What the session's beginning or end means; gives messages.
    fn poll(&mut self, now: Time) -> Option<Vec<u8>> {
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Up { .. } if matches!(self.stage, Stage::Waiting) => self.stage = Stage::Flowing(now),
                Event::Down { reason, .. } => match self.stage {
                    Stage::Leaving(measured, _) => self.stage = Stage::Leaving(measured, now),
                    Stage::Failed(_) => {}
                    _ => self.stage = Stage::Failed(Failure::Lost(reason)),
                },
                Event::ConnectFailed { .. } => self.stage = Stage::Failed(Failure::NoAnswer),
                Event::Message { bytes, .. } => return Some(bytes),
                _ => {}
            }
        }
        None
    }

    /// Ends the measurement, with what was measured since `begun`.
    fn finish(&mut self, now: Time, begun: Time, until: Time) {
        let measured = Measured {
            payload_bytes: self.payload_bytes,
            span: now.since(begun),
            peer: self.endpoint.peers().next(),
        };
        self.stage = Stage::Leaving(measured, until);
    }

    /// Whether nothing is left to be done.
    fn is_over(&self, now: Time) -> bool {
        match self.stage {
            Stage::Waiting | Stage::Flowing(_) | Stage::Draining(_) => false,
            Stage::Leaving(_, until) => until <= now,
            Stage::Failed(_) => true,
        }
    }

    /// What came of it.
    fn result(self) -> Result<Measured, Failure> {
        match self.stage {
            Stage::Leaving(measured, _) => Ok(measured),
            Stage::Failed(failure) => Err(failure),
            Stage::Waiting | Stage::Flowing(_) | Stage::Draining(_) => {
                Err(Failure::Lost("ended early".to_owned()))
            }
        }
    }
}

/// The end that sends.
#[derive(Debug)]
pub struct Sender {
    /// The session.
    end: End,
    /// The other end.
    server: NodeId,
    /// How much.
    quantity: Quantity,
    /// On which lane.
    lane: Lane,
    /// What messages are copies of.
    noise: Box<[u8]>,
}

impl Sender {
    /// Begins to knock at `address`. All randomness comes from `seed`.
    #[must_use]
    pub fn new(now: Time, seed: [u8; 32], address: SocketAddr, lane: Lane, quantity: Quantity) -> Self {
        let mut end = End::new(seed, Who::Sender);
        let server = Who::Server.node();
        end.endpoint.connect(now, Some(server), address);
        // Nothing on the way compresses; that it repeats every 251 bytes is of no matter.
        let mut noise: Box<[u8]> = (0..=250).cycle().take(BENCH_MESSAGE_BYTES).collect();
        noise[0] = DATA;
        Self { end, server, quantity, lane, noise }
    }

    /// What came of it.
    ///
    /// # Errors
    /// When there was no session, or it broke off.
    pub fn result(self) -> Result<Measured, Failure> {
        self.end.result()
    }

    /// Bytes of the next message; 0: no more is sent.
    fn next_length(&self, now: Time, begun: Time) -> usize {
        match self.quantity {
            Quantity::Bytes(bytes) => {
                let left = bytes.saturating_sub(self.end.payload_bytes);
                usize::try_from(left).unwrap_or(usize::MAX).min(BENCH_MESSAGE_BYTES)
            }
            Quantity::Time(span) if now.since(begun) < span => BENCH_MESSAGE_BYTES,
            Quantity::Time(_) => 0,
        }
    }

    /// Queues what the session takes. True: nothing more will be queued.
    fn fill(&mut self, now: Time, begun: Time) -> bool {
        loop {
            let length = self.next_length(now, begun);
            if self.end.endpoint.room(&self.server, self.lane) < length.max(END_BYTES) {
                return false;
            }
            let message =
                if length == 0 { end_message(self.end.payload_bytes) } else { self.noise[..length].to_vec() };
            if self.end.endpoint.send(now, &self.server, self.lane, message).is_err() {
                // The session has ended; its Down follows.
                return false;
            }
            if length == 0 {
                return true;
            }
            self.end.payload_bytes += bytes_of(length);
        }
    }
}

impl Party for Sender {
    fn handle_datagram(&mut self, now: Time, from: SocketAddr, bytes: &mut [u8]) {
        self.end.endpoint.handle_datagram(now, from, bytes);
    }

    fn handle_timeout(&mut self, now: Time) {
        self.end.endpoint.handle_timeout(now);
    }

    fn work(&mut self, now: Time) -> bool {
        while self.end.poll(now).is_some() {}
        if let Stage::Flowing(begun) = self.end.stage {
            if self.fill(now, begun) {
                self.end.stage = Stage::Draining(begun);
            }
        }
        if let Stage::Draining(begun) = self.end.stage {
            if self.end.endpoint.peers().all(|peer| peer.queued_bytes == 0) {
                self.end.finish(now, begun, now);
                self.end.endpoint.disconnect(now, self.server);
            }
        }
        self.end.is_over(now)
    }

    fn poll_transmit(&mut self, now: Time, out: &mut [u8]) -> Option<Transmit> {
        self.end.endpoint.poll_transmit(now, out)
    }

    fn deadline(&self) -> Option<Time> {
        self.end.endpoint.deadline()
    }
}

/// The end that counts.
#[derive(Debug)]
pub struct Server {
    /// The session.
    end: End,
}

impl Server {
    /// Waits for a sender. All randomness comes from `seed`.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self { end: End::new(seed, Who::Server) }
    }

    /// What came of it.
    ///
    /// # Errors
    /// When the session broke off.
    pub fn result(self) -> Result<Measured, Failure> {
        self.end.result()
    }

    /// Counts a message.
    fn count(&mut self, now: Time, message: &[u8]) {
        let Stage::Flowing(begun) = self.end.stage else { return };
        match sent_in_all(message) {
            None => self.end.payload_bytes += bytes_of(message.len()),
            Some(sent) if sent == self.end.payload_bytes => {
                self.end.finish(now, begun, now + BENCH_LINGER);
            }
            Some(sent) => {
                let received = self.end.payload_bytes;
                self.end.stage = Stage::Failed(Failure::Miscounted { sent, received });
            }
        }
    }
}

impl Party for Server {
    fn handle_datagram(&mut self, now: Time, from: SocketAddr, bytes: &mut [u8]) {
        self.end.endpoint.handle_datagram(now, from, bytes);
    }

    fn handle_timeout(&mut self, now: Time) {
        self.end.endpoint.handle_timeout(now);
    }

    fn work(&mut self, now: Time) -> bool {
        while let Some(message) = self.end.poll(now) {
            self.count(now, &message);
        }
        self.end.is_over(now)
    }

    fn poll_transmit(&mut self, now: Time, out: &mut [u8]) -> Option<Transmit> {
        self.end.endpoint.poll_transmit(now, out)
    }

    fn deadline(&self) -> Option<Time> {
        let until = match self.end.stage {
            Stage::Leaving(_, until) => Some(until),
            _ => None,
        };
        self.end.endpoint.deadline().into_iter().chain(until).min()
    }
}

/// Bytes of an End message.
const END_BYTES: usize = 9;

/// The last message.
fn end_message(payload_bytes: u64) -> Vec<u8> {
    let mut message = vec![END];
    message.extend_from_slice(&payload_bytes.to_le_bytes());
    message
}

/// What an End message says; None for data.
fn sent_in_all(message: &[u8]) -> Option<u64> {
    let (kind, rest) = message.split_first()?;
    (*kind == END).then(|| rest.try_into().ok().map(u64::from_le_bytes)).flatten()
}

/// A length as a count.
fn bytes_of(length: usize) -> u64 {
    u64::try_from(length).expect("memory has fewer bytes than that")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets two ends talk until both are over; whatever goes there and back takes a tenth of a millisecond.
    fn meet(
        quantity: Quantity,
        drop_from: Option<u32>,
    ) -> (Result<Measured, Failure>, Result<Measured, Failure>) {
        let to = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut now = Time::from_micros(1_000_000);
        let mut sender = Sender::new(now, [1; 32], to(2), Lane::Bulk, quantity);
        let mut server = Server::new([2; 32]);
        let mut out = vec![0; 65_507];
        let mut datagrams = 0;
        loop {
            now = now + Span::from_micros(50);
            let mut quiet = true;
            let over = sender.work(now) & server.work(now);
            let mut carried = Vec::new();
            while let Some(transmit) = sender.poll_transmit(now, &mut out) {
                carried.extend(transmit.datagrams(&out).map(|bytes| (true, bytes.to_vec())));
            }
            while let Some(transmit) = server.poll_transmit(now, &mut out) {
                carried.extend(transmit.datagrams(&out).map(|bytes| (false, bytes.to_vec())));
            }
            for (from_sender, mut bytes) in carried {
                quiet = false;
                datagrams += 1;
                if drop_from.is_some_and(|first| datagrams >= first) {
                    continue;
                }
                match from_sender {
                    true => server.handle_datagram(now, to(1), &mut bytes),
                    false => sender.handle_datagram(now, to(2), &mut bytes),
                }
            }
            if over {
                return (sender.result(), server.result());
            }
            if quiet {
                let due = [sender.deadline(), server.deadline()].into_iter().flatten().min();
                now = now.max(due.expect("an end that waits has a deadline"));
                sender.handle_timeout(now);
                server.handle_timeout(now);
            }
        }
    }

    #[test]
    fn what_is_sent_is_acknowledged_and_counted() {
        for bytes in [1, 262_144, 1_000_000] {
            let (sender, server) = meet(Quantity::Bytes(bytes), None);
            let (sender, server) = (sender.unwrap(), server.unwrap());
            assert_eq!((sender.payload_bytes, server.payload_bytes), (bytes, bytes));
            let peer = sender.peer.unwrap();
            assert!(peer.sent_packets > bytes / 9_000 && peer.queued_bytes == 0, "{peer:?}");
        }
        let (sender, server) = meet(Quantity::Time(Span::from_millis(1)), None);
        assert_eq!(sender.unwrap().payload_bytes, server.unwrap().payload_bytes);
    }

    #[test]
    fn nobody_there_and_a_lost_peer_are_errors_and_not_waits() {
        let (sender, _) = meet_alone();
        assert_eq!(sender, Failure::NoAnswer);
        let (sender, server) = meet(Quantity::Bytes(10_000_000), Some(500));
        assert!(matches!(sender, Err(Failure::Lost(_))), "{sender:?}");
        assert!(matches!(server, Err(Failure::Lost(_))), "{server:?}");
    }

    /// A sender to whom nobody answers.
    fn meet_alone() -> (Failure, Time) {
        let mut now = Time::from_micros(1_000_000);
        let to = SocketAddr::from(([127, 0, 0, 1], 2));
        let mut sender = Sender::new(now, [1; 32], to, Lane::Bulk, Quantity::Bytes(1));
        let mut out = vec![0; 65_507];
        while !sender.work(now) {
            while sender.poll_transmit(now, &mut out).is_some() {}
            now = sender.deadline().expect("it waits for an answer");
            sender.handle_timeout(now);
        }
        (sender.result().unwrap_err(), now)
    }
}
