//! One session with one peer: from sealed packets to messages, and back.
//!
//! Owns the order of things: what goes into a packet, when one goes, and when the session ends. Lanes, loss, congestion
//! and acknowledgements are the machines of [`super::send`], [`super::recv`], [`super::loss`], [`super::congestion`] and
//! [`super::received`]; this file joins them. Refuses to shake hands, to choose keys, and to know addresses or messages:
//! [`super::table`] and [`super::handshake`] do. Read "Sessions" in `wire/PROTOCOL.md` first.

use super::bbr::Bbr;
use super::generations::Generations;
use super::ledbat::Ledbat;
use super::life::Life;
use super::loss::SentPackets;
use super::mtu::PathLength;
use super::pacing::Pacer;
use super::reasons::code_of;
pub use super::reasons::{CloseCode, CloseReason, SendError, SessionError, Stats};
use super::received::{Received, ReplayWindow};
use super::recv::{LaneError, RecvLanes};
use super::send::SendLanes;
use super::timers::RoundTrip;
use crate::base::limits::{
    DATAGRAM_BYTES_BASE, FAREWELLS_MAX, FIRST_FLIGHT_DATAGRAMS, FORGED_PACKETS_MAX, PACKET_NUMBER_MAX,
    PROBE_PACKETS,
};
use crate::base::units::{Span, Time};
use crate::wire::frame::{Frame, Frames, Lane};
use crate::wire::packet::{DataHeader, DATA_HEADER_BYTES};
use core::fmt;
use due::Found;
use zeroize::Zeroize;

/// The keys that a handshake ends with; wiped when dropped.
pub struct PacketKeys {
    /// For packets that we send.
    pub send: [u8; 32],
    /// For packets that we receive.
    pub receive: [u8; 32],
}

impl Drop for PacketKeys {
    fn drop(&mut self) {
        self.send.zeroize();
        self.receive.zeroize();
    }
}

impl fmt::Debug for PacketKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PacketKeys(..)")
    }
}

/// The state of a session.
///
/// ```text
///  Open --close(), violation, a key exhausted--> Closed (one Close is sent, and again to a peer that goes on)
///    |---Close from the peer, silence-----------> Closed (nothing is sent)
/// ```
#[derive(Debug)]
enum State {
    /// Packets are taken and sent.
    Open,
    /// Nothing is taken any more.
    Closed {
        /// Why.
        reason: CloseReason,
        /// Close datagrams to send now.
        due: u8,
        /// Close datagrams that may still be sent.
        left: u8,
    },
}

/// A session with one peer, established.
#[derive(Debug)]
pub struct Session {
    /// By which the peer addresses us.
    local_index: u32,
    /// By which we address the peer.
    peer_index: u32,
    /// Seal what we send, open what we receive.
    keys: Generations,
    /// Open or closed.
    state: State,
    /// Packets that were taken.
    replay: ReplayWindow,
    /// Acknowledgements that we owe.
    received: Received,
    /// Incoming lanes.
    incoming: RecvLanes,
    /// Outgoing lanes.
    outgoing: SendLanes,
    /// Packets that we wait to see acknowledged.
    sent: SentPackets,
    /// The round trip.
    trip: RoundTrip,
    /// How much may be in flight, and how fast it goes.
    control: Bbr,
    /// How much of it may be background work that is sent alone.
    yielding: Ledbat,
    /// It was `yielding` that held background work back.
    yields: bool,
    /// How long a datagram may be.
    path: PathLength,
    /// The pace.
    pacer: Pacer,
    /// Packets that may go although the window is full, because a probe is due.
    probes: u8,
    /// Whether a Ping must go.
    ping: bool,
    /// When the last one went.
    asked: Time,
    /// Whether the peer is there.
    life: Life,
    /// When [`Self::handle_timeout`] was last called.
    timeout_at: Time,
    /// What was found out since something happened to it last.
    found: Found,
    /// Counters; the rest of [`Stats`] is kept where it happens.
    stats: Stats,
}

impl Session {
    /// A session whose handshake is done. `local_index` is what the peer puts into the headers of its packets,
    /// `peer_index` what we put into ours.
    #[must_use]
    pub fn new(now: Time, keys: PacketKeys, local_index: u32, peer_index: u32) -> Self {
        Self {
            local_index,
            peer_index,
            keys: Generations::new(now, &keys),
            state: State::Open,
            replay: ReplayWindow::new(),
            received: Received::new(now),
            incoming: RecvLanes::new(),
            outgoing: SendLanes::new(),
            sent: SentPackets::new(),
            trip: RoundTrip::new(),
            control: Bbr::new(BASE),
            yielding: Ledbat::new(BASE),
            yields: false,
            path: PathLength::new(),
            pacer: Pacer::new(now, FIRST_FLIGHT_DATAGRAMS * BASE),
            probes: 0,
            ping: false,
            asked: now,
            life: Life::new(now, local_index < peer_index),
            timeout_at: now,
            found: Found::default(),
            stats: Stats::default(),
        }
    }

    /// The index by which the peer addresses this session.
    #[must_use]
    pub const fn local_index(&self) -> u32 {
        self.local_index
    }

    /// Takes a data packet addressed to [`Self::local_index`]; opens it in place. After it, drain
    /// [`Self::poll_message`], then [`Self::poll_transmit`].
    ///
    /// # Errors
    /// See [`SessionError`]; whatever it is, there is nothing to answer but what [`Self::poll_transmit`] gives.
    pub fn handle_data(
        &mut self,
        now: Time,
        header: DataHeader,
        sealed: &mut [u8],
    ) -> Result<(), SessionError> {
        self.found = Found::default();
        let header = self.expanded(header);
        let packet_number = header.number;
        if self.replay.is_seen(packet_number) {
            self.stats.replayed_packets += 1;
            return Err(SessionError::Replayed);
        }
        let header = DataHeader { receiver: self.local_index, ..header };
        let bytes = DATA_HEADER_BYTES + sealed.len();
        let payload = match self.keys.open(now, header, sealed) {
            Some(payload) if packet_number < PACKET_NUMBER_MAX => payload,
            _ => return Err(self.on_forged()),
        };
        if let State::Closed { due, left, .. } = &mut self.state {
            if *left > 0 {
                *left -= 1;
                *due = 1;
            }
            return Err(SessionError::Closed);
        }
        self.replay.insert(packet_number);
        self.life.on_heard(now);
        self.stats.received_packets += 1;
        self.stats.received_bytes += u64::try_from(bytes).expect("a datagram");
        let (asks, at_once) = self.handle_frames(now, payload)?;
        self.received.on_packet(now, packet_number, asks, at_once);
        Ok(())
    }

    /// Counts a packet that does not open; the session ends when there were too many.
    fn on_forged(&mut self) -> SessionError {
        self.stats.forged_packets += 1;
        if self.stats.forged_packets >= FORGED_PACKETS_MAX {
            return self.violate(CloseCode::Exhausted);
        }
        SessionError::Forged
    }

    /// Takes the frames of a packet; whether it asks to be acknowledged, and at once.
    fn handle_frames(&mut self, now: Time, payload: &[u8]) -> Result<(bool, bool), SessionError> {
        let (mut asks, mut at_once, mut crowded) = (false, false, false);
        for frame in Frames::new(payload) {
            match frame {
                Ok(Frame::Ping) => (asks, at_once) = (true, true),
                Ok(Frame::Ack(ack)) => self.handle_ack(now, &ack)?,
                Ok(Frame::LaneTail { lane, offset, ping, data }) => {
                    (asks, at_once) = (true, at_once | ping);
                    let offset = self.incoming.expanded(lane, offset);
                    match self.incoming.insert(lane, offset, data) {
                        Ok(()) => {}
                        Err(LaneError::Crowded) => crowded = true,
                        Err(error) => return Err(self.violate(code_of(error))),
                    }
                }
                Ok(Frame::Lane { lane, offset, data }) => {
                    asks = true;
                    match self.incoming.insert(lane, offset, data) {
                        Ok(()) => {}
                        Err(LaneError::Crowded) => crowded = true,
                        Err(error) => return Err(self.violate(code_of(error))),
                    }
                }
                Ok(Frame::LaneMax { lane, offset }) => {
                    asks = true;
                    self.outgoing.on_credit(lane, offset);
                }
                Ok(Frame::LaneWant { lane, offset }) => {
                    asks = true;
                    self.incoming.on_want(lane, offset);
                }
                Ok(Frame::LaneSkip { lane, start, end }) => {
                    asks = true;
                    match self.incoming.on_skip(lane, start, end) {
                        Ok(()) => {}
                        Err(LaneError::Crowded) => crowded = true,
                        Err(error) => return Err(self.violate(code_of(error))),
                    }
                }
                Ok(Frame::Close { code, text }) => {
                    self.end(CloseReason::Peer { code, text: text.to_owned() }, 0);
                    return Ok((false, false));
                }
                Err(_) => return Err(self.violate(CloseCode::BadFrame)),
            }
        }
        if crowded {
            return Err(SessionError::Crowded);
        }
        Ok((asks, at_once))
    }

    /// The next whole message; messages of one lane come in the order in which they were sent. Taking them gives the
    /// peer credit: [`Self::poll_transmit`] is to be drained afterwards.
    pub fn poll_message(&mut self) -> Option<(Lane, Vec<u8>)> {
        match self.incoming.pop() {
            Ok(None) => None,
            Ok(message) => {
                self.found = Found::default();
                message
            }
            Err(error) => {
                self.violate(code_of(error));
                None
            }
        }
    }

    /// Lets a packet go out that asks to be acknowledged at once.
    pub fn ping(&mut self) {
        self.found = Found::default();
        self.ping = true;
    }

    /// Sets how often an idle session proves its life; None: never.
    pub fn set_keepalive(&mut self, keepalive: Option<Span>) {
        self.found = Found::default();
        self.life.set_keepalive(keepalive);
    }

    /// Ends the session and tells the peer.
    pub fn close(&mut self, code: CloseCode) {
        self.end(CloseReason::Local(code), 1);
    }

    /// How the session ended, if it did.
    #[must_use]
    pub const fn is_closed(&self) -> Option<&CloseReason> {
        match &self.state {
            State::Open => None,
            State::Closed { reason, .. } => Some(reason),
        }
    }

    /// Ends the session, unless it has ended, with `due` Close datagrams to send; what was queued is dropped.
    fn end(&mut self, reason: CloseReason, due: u8) {
        if matches!(self.state, State::Open) {
            let left = if due > 0 { FAREWELLS_MAX } else { 0 };
            self.found = Found::default();
            self.state = State::Closed { reason, due, left };
            self.outgoing.clear();
            self.incoming.clear();
        }
    }

    /// Ends the session because the peer broke a rule.
    fn violate(&mut self, code: CloseCode) -> SessionError {
        self.close(code);
        SessionError::Violation(code)
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (lost_packets, spurious_packets) = self.sent.losses();
        Stats {
            rtt: self.trip.measured(),
            lost_packets,
            spurious_packets,
            retransmitted_bytes: self.outgoing.retransmitted(),
            congestion_window: self.control.window(),
            bandwidth: self.control.bandwidth(),
            datagram_bytes: self.datagram(),
            ..self.stats
        }
    }

    /// Does what is due; afterwards [`Self::poll_transmit`] is to be drained.
    pub fn handle_timeout(&mut self, now: Time) {
        if matches!(self.state, State::Closed { .. }) {
            return;
        }
        self.found = Found::default();
        self.timeout_at = self.timeout_at.max(now);
        if self.life.ends_at().is_some_and(|end| end <= now) {
            self.end(CloseReason::Idle, 0);
            return;
        }
        self.keys.handle_timeout(now);
        if self.life.ping_at().is_some_and(|due| due <= now) {
            self.ping = true;
        }
        if self.probes == 0 && self.sent.deadline(&self.trip).is_some_and(|due| due <= now) {
            if self.sent.on_deadline(&self.trip, &mut self.outgoing) {
                self.probes = PROBE_PACKETS;
                self.repeat_credits(self.sent.credits_in_flight());
                if self.path.on_timeouts(now, self.sent.timeouts()) {
                    self.on_datagram_length();
                }
            } else {
                self.detect_lost(now);
            }
        }
    }
}

mod credit;
mod due;
mod path;
mod queue;

/// The length of a datagram before the path has shown that it takes longer ones, in bytes.
const BASE: u64 = 1_200;
const _: () = assert!(DATAGRAM_BYTES_BASE == 1_200);

#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod link;
#[cfg(test)]
mod share_tests;
#[cfg(test)]
mod tests;
mod transmit;
