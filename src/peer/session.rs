//! One session with one peer: from sealed packets to messages, and back.
//!
//! Owns the order of things: what goes into a packet, when one goes, and when the session ends. Lanes, loss, congestion
//! and acknowledgements are the machines of [`super::send`], [`super::recv`], [`super::loss`], [`super::congestion`] and
//! [`super::received`]; this file joins them. Refuses to shake hands, to choose keys, and to know addresses or messages:
//! [`super::table`] and [`super::handshake`] do. Read "Sessions" in `wire/PROTOCOL.md` first.

use super::cipher::{ChaChaCipher, PacketCipher};
use super::congestion::{CongestionControl, NewReno, Pacer};
use super::loss::{credit_bit, Fate, SentPacket, SentPackets};
use super::received::{Received, ReplayWindow};
use super::recv::{LaneError, RecvLanes};
use super::send::{CarriedList, SendLanes};
use super::timers::RoundTrip;
use crate::base::limits::{
    DATAGRAM_BYTES_MAX, FAREWELLS_MAX, FORGED_PACKETS_MAX, MESSAGE_BYTES_MAX, PACKET_NUMBER_MAX,
    PROBE_PACKETS, SESSION_IDLE_MAX, SESSION_KEEPALIVE,
};
use crate::base::units::{Span, Time};
use crate::wire::frame::{Ack, Frame, FrameWriter, Frames, Lane};
use crate::wire::packet::{DataHeader, DATA_HEADER_BYTES, TAG_BYTES};
use core::fmt;
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

/// Why a session is closed, for programs; the numbers are those of the Close frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// The node stops, or no longer needs the session.
    Done,
    /// A newer session with the same node has taken over.
    Replaced,
    /// The node is no longer a member.
    Removed,
    /// A payload was no sequence of frames.
    BadFrame,
    /// A packet was acknowledged that was never sent.
    BadAck,
    /// Bytes beyond the credit.
    FlowControl,
    /// A message's length is impossible, or (said by the layer above) its content is.
    BadMessage,
    /// A key has done all it may.
    Exhausted,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// We closed it.
    Local(CloseCode),
    /// The peer closed it.
    Peer {
        /// Its code, perhaps one that we do not know.
        code: u16,
        /// What it said; never to be trusted.
        text: String,
    },
    /// Nothing came for [`SESSION_IDLE_MAX`].
    Idle,
}

/// Why a packet was not taken; it is dropped and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionError {
    /// It was not sealed by the peer for this session.
    Forged,
    /// It was taken before, or is too old to tell.
    Replayed,
    /// The session is closed.
    Closed,
    /// It lies beyond too many gaps; the peer will send it again.
    Crowded,
    /// The peer broke the rules, and the session is closed for it.
    Violation(CloseCode),
}

/// Why a message was not queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The queue is full; the message comes back. Try again when [`Session::room`] says so.
    Full(Vec<u8>),
    /// It is longer than [`MESSAGE_BYTES_MAX`].
    TooLong,
    /// It is empty.
    Empty,
    /// The session is closed.
    Closed,
}

/// What a session has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Smoothed round trip, once measured.
    pub rtt: Option<Span>,
    /// Datagram bytes sent.
    pub sent_bytes: u64,
    /// Datagram bytes received and authenticated.
    pub received_bytes: u64,
    /// Packets sent.
    pub sent_packets: u64,
    /// Packets received and authenticated.
    pub received_packets: u64,
    /// Packets declared lost.
    pub lost_packets: u64,
    /// Of these, packets that were only late.
    pub spurious_packets: u64,
    /// Bytes of lanes that were sent more than once.
    pub retransmitted_bytes: u64,
    /// Packets that were not sealed by the peer.
    pub forged_packets: u64,
    /// Packets that came twice or too late.
    pub replayed_packets: u64,
    /// Bytes that may be in flight.
    pub congestion_window: u64,
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
    /// Seals what we send.
    sealing: ChaChaCipher,
    /// Opens what we receive.
    opening: ChaChaCipher,
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
    /// The congestion window.
    control: NewReno,
    /// The pace.
    pacer: Pacer,
    /// Packets that may go although the window is full, because a probe is due.
    probes: u8,
    /// Whether a Ping must go.
    ping: bool,
    /// When the last packet of the peer arrived.
    heard: Time,
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
            sealing: ChaChaCipher::new(&keys.send),
            opening: ChaChaCipher::new(&keys.receive),
            state: State::Open,
            replay: ReplayWindow::new(),
            received: Received::new(now),
            incoming: RecvLanes::new(),
            outgoing: SendLanes::new(),
            sent: SentPackets::new(),
            trip: RoundTrip::new(),
            control: NewReno::new(),
            pacer: Pacer::new(now),
            probes: 0,
            ping: false,
            heard: now,
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
        packet_number: u64,
        sealed: &mut [u8],
    ) -> Result<(), SessionError> {
        if self.replay.is_seen(packet_number) {
            self.stats.replayed_packets += 1;
            return Err(SessionError::Replayed);
        }
        let header = DataHeader { receiver: self.local_index, number: packet_number }.to_bytes();
        let bytes = DATA_HEADER_BYTES + sealed.len();
        let payload = match self.opening.open(packet_number, &header, sealed) {
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
        self.heard = self.heard.max(now);
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

    /// Takes an acknowledgement.
    fn handle_ack(&mut self, now: Time, ack: &Ack<'_>) -> Result<(), SessionError> {
        let Some(outcome) = self.sent.on_ack(now, ack, &mut self.outgoing, &mut self.control) else {
            return Err(self.violate(CloseCode::BadAck));
        };
        if let Some(sample) = outcome.sample {
            self.trip.update(sample, Span::from_micros(u64::from(ack.delay_us)));
        }
        if outcome.progress {
            self.probes = 0;
        }
        if let Some(largest) = outcome.acknowledges {
            self.received.on_ack_acked(largest);
        }
        self.detect_lost(now);
        Ok(())
    }

    /// Declares lost what must be, and sees to it that it goes again.
    fn detect_lost(&mut self, now: Time) {
        let credits = self.sent.detect_lost(now, &self.trip, &mut self.outgoing, &mut self.control);
        self.incoming.repeat_credits(credits);
    }

    /// The next whole message; messages of one lane come in the order in which they were sent. Taking them gives the
    /// peer credit: [`Self::poll_transmit`] is to be drained afterwards.
    pub fn poll_message(&mut self) -> Option<(Lane, Vec<u8>)> {
        match self.incoming.pop() {
            Ok(message) => message,
            Err(error) => {
                self.violate(code_of(error));
                None
            }
        }
    }

    /// Queues a message.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&mut self, lane: Lane, message: Vec<u8>) -> Result<(), SendError> {
        if matches!(self.state, State::Closed { .. }) {
            return Err(SendError::Closed);
        }
        if message.is_empty() {
            return Err(SendError::Empty);
        }
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(SendError::TooLong);
        }
        if message.len() > self.outgoing.room(lane) {
            return Err(SendError::Full(message));
        }
        self.outgoing.push(lane, message);
        Ok(())
    }

    /// The longest message that [`Self::send`] takes on this lane now, in bytes.
    #[must_use]
    pub fn room(&self, lane: Lane) -> usize {
        match self.state {
            State::Open => self.outgoing.room(lane).min(MESSAGE_BYTES_MAX),
            State::Closed { .. } => 0,
        }
    }

    /// Bytes that are queued or not acknowledged yet.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.outgoing.queued()
    }

    /// Bytes that incoming lanes hold in memory.
    #[must_use]
    pub fn held(&self) -> usize {
        self.incoming.bytes()
    }

    /// Lets a packet go out that asks to be acknowledged at once.
    pub fn ping(&mut self) {
        self.ping = true;
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
            ..self.stats
        }
    }

    /// Writes the next datagram into `out`, which has at least [`DATAGRAM_BYTES_MAX`] bytes; its length, or None if
    /// there is nothing to send now. To be drained after every other call.
    pub fn poll_transmit(&mut self, now: Time, out: &mut [u8]) -> Option<usize> {
        let out = out.get_mut(..DATAGRAM_BYTES_MAX)?;
        if self.sent.next_number() >= PACKET_NUMBER_MAX - u64::from(FAREWELLS_MAX) - 1 {
            self.close(CloseCode::Exhausted);
        }
        let (length, packet) = self.write_packet(now, &mut out[DATA_HEADER_BYTES..])?;
        let number = self.sent.next_number();
        let header = DataHeader { receiver: self.peer_index, number }.to_bytes();
        let end = DATA_HEADER_BYTES + length + TAG_BYTES;
        out[..DATA_HEADER_BYTES].copy_from_slice(&header);
        self.sealing.seal(number, &header, &mut out[DATA_HEADER_BYTES..end]);
        let bytes = u16::try_from(end).expect("a datagram is short");
        if packet.fate == Fate::InFlight {
            self.pacer.on_sent(u64::from(bytes));
        }
        self.sent.push(SentPacket { bytes, ..packet });
        self.stats.sent_packets += 1;
        self.stats.sent_bytes += u64::from(bytes);
        Some(end)
    }

    /// Writes the payload of the next packet, leaving room for its tag; its length and its record.
    fn write_packet(&mut self, now: Time, out: &mut [u8]) -> Option<(usize, SentPacket)> {
        let room = out.len() - TAG_BYTES;
        let mut writer = FrameWriter::new(&mut out[..room]);
        let mut packet = SentPacket {
            sent: now,
            bytes: 0,
            fate: Fate::Unasked,
            at_once: false,
            credits: 0,
            acknowledges: None,
            carried: CarriedList::new(),
        };
        if let State::Closed { reason, due, .. } = &mut self.state {
            *due = due.checked_sub(1)?;
            let CloseReason::Local(code) = reason else { return None };
            writer.close(code.number(), &code.to_string());
            return Some((writer.len(), packet));
        }
        let probing = self.probes > 0;
        let data = self.outgoing.is_pending() && (probing || self.may_send(now));
        let asks = data || probing || self.ping || self.incoming.is_any_credit_due();
        if !asks && !self.received.is_due(now) {
            return None;
        }
        packet.acknowledges = self.received.write(now, &mut writer);
        if asks {
            packet.fate = Fate::InFlight;
            self.write_credits(&mut writer, &mut packet);
            if data {
                self.write_lanes(&mut writer, &mut packet);
            }
            packet.at_once = self.wants_answer(&writer, &packet);
            if packet.at_once {
                writer.ping();
                self.ping = false;
            }
            self.probes = self.probes.saturating_sub(1);
        }
        Some((writer.len(), packet)).filter(|(length, _)| *length > 0)
    }

    /// Whether window and pace let a packet go.
    fn may_send(&mut self, now: Time) -> bool {
        let fits = self.sent.in_flight() + DATAGRAM_BYTES <= self.control.window();
        fits && self.pacer.is_ready(now, &self.control, self.trip.smoothed())
    }

    /// Writes the credits that are due.
    fn write_credits(&mut self, writer: &mut FrameWriter<'_>, packet: &mut SentPacket) {
        for lane in Lane::ALL {
            if let Some(offset) = self.incoming.take_credit(lane) {
                writer.lane_max(lane, offset);
                packet.credits |= credit_bit(lane);
            }
        }
    }

    /// Fills the packet with bytes of lanes.
    fn write_lanes(&mut self, writer: &mut FrameWriter<'_>, packet: &mut SentPacket) {
        self.outgoing.write(writer, &mut packet.carried);
    }

    /// Whether the packet should have a Ping: it must, it is a probe, it has nothing else that asks, or it is the last
    /// one for now and nothing in flight will bring an answer soon.
    fn wants_answer(&self, writer: &FrameWriter<'_>, packet: &SentPacket) -> bool {
        if writer.room() == 0 {
            return false;
        }
        let alone = packet.carried.is_empty() && packet.credits == 0;
        if self.ping || self.probes > 0 || alone {
            return true;
        }
        let after = self.sent.in_flight() + 2 * DATAGRAM_BYTES;
        let last = !self.outgoing.is_pending() || after > self.control.window();
        last && !packet.carried.is_empty() && !self.sent.is_answer_due()
    }

    /// When [`Self::handle_timeout`] is to be called; None if never.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        if matches!(self.state, State::Closed { .. }) {
            return None;
        }
        let mut earliest = self.heard + SESSION_IDLE_MAX;
        if !self.ping {
            earliest = earliest.min(self.keepalive_at());
        }
        if let Some(due) = self.received.due() {
            earliest = earliest.min(due);
        }
        if let Some(due) = self.sent.deadline(&self.trip) {
            earliest = earliest.min(due);
        }
        let fits = self.sent.in_flight() + DATAGRAM_BYTES <= self.control.window();
        if fits && self.outgoing.is_pending() {
            earliest = earliest.min(self.pacer.ready_at(&self.control, self.trip.smoothed()));
        }
        Some(earliest)
    }

    /// When life must be proven if nothing else happens.
    fn keepalive_at(&self) -> Time {
        self.heard.max(self.sent.last_asking().unwrap_or(self.heard)) + SESSION_KEEPALIVE
    }

    /// Does what is due; afterwards [`Self::poll_transmit`] is to be drained.
    pub fn handle_timeout(&mut self, now: Time) {
        if matches!(self.state, State::Closed { .. }) {
            return;
        }
        if self.heard + SESSION_IDLE_MAX <= now {
            self.end(CloseReason::Idle, 0);
            return;
        }
        if self.keepalive_at() <= now {
            self.ping = true;
        }
        if self.sent.deadline(&self.trip).is_some_and(|due| due <= now) {
            if self.sent.on_deadline(&self.trip, &mut self.outgoing) {
                self.probes = PROBE_PACKETS;
                self.incoming.repeat_credits(self.sent.credits_in_flight());
            } else {
                self.detect_lost(now);
            }
        }
    }
}

/// The code that says what a lane found wrong.
const fn code_of(error: LaneError) -> CloseCode {
    match error {
        LaneError::BeyondCredit => CloseCode::FlowControl,
        LaneError::BadLength | LaneError::Crowded => CloseCode::BadMessage,
    }
}

/// One datagram, in bytes.
const DATAGRAM_BYTES: u64 = 1_200;
const _: () = assert!(DATAGRAM_BYTES_MAX == 1_200);

impl CloseCode {
    /// The number in a Close frame.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Done => 0,
            Self::Replaced => 1,
            Self::Removed => 2,
            Self::BadFrame => 3,
            Self::BadAck => 4,
            Self::FlowControl => 5,
            Self::BadMessage => 6,
            Self::Exhausted => 7,
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Done => "done",
            Self::Replaced => "replaced by a newer session",
            Self::Removed => "no longer a member",
            Self::BadFrame => "a packet made no sense",
            Self::BadAck => "a packet was acknowledged that was never sent",
            Self::FlowControl => "more was sent than was allowed",
            Self::BadMessage => "a message made no sense",
            Self::Exhausted => "the key has done all it may",
        })
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(code) => write!(formatter, "closed here: {code}"),
            Self::Peer { code, text } => write!(formatter, "closed by the peer ({code}): {text:?}"),
            Self::Idle => formatter.write_str("silent for too long"),
        }
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forged => formatter.write_str("the packet was not sealed by the peer"),
            Self::Replayed => formatter.write_str("the packet came before, or too late"),
            Self::Closed => formatter.write_str("the session is closed"),
            Self::Crowded => formatter.write_str("the packet lies beyond too many gaps"),
            Self::Violation(code) => write!(formatter, "the peer broke the protocol: {code}"),
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => {
                formatter.write_str("the session's queue is full; send again when there is room")
            }
            Self::TooLong => formatter.write_str("the message is longer than a message may be"),
            Self::Empty => formatter.write_str("the message is empty"),
            Self::Closed => formatter.write_str("the session is closed; connect again"),
        }
    }
}

impl std::error::Error for SessionError {}
impl std::error::Error for SendError {}

#[cfg(test)]
mod tests;
