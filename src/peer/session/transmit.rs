//! The sending half of a session: what goes into the next packet, and whether one goes.
//!
//! Read "Packets" and "Sending" in `wire/PROTOCOL.md` first.

use super::due::Found;
use super::{Session, State};
use crate::base::limits::{ANSWERS_PER_TRIP, ANSWER_SPAN_MIN, FAREWELLS_MAX, PACKET_NUMBER_MAX};
use crate::base::units::Time;
use crate::peer::loss::{credit_bit, Fate, SentPacket};
use crate::peer::reasons::{CloseCode, CloseReason};
use crate::peer::send::CarriedList;
use crate::wire::frame::{FrameWriter, Lane};
use crate::wire::packet::{DataHeader, DATA_HEADER_BYTES, TAG_BYTES};

impl Session {
    /// Writes the next datagrams into `out`, one behind the other, as many as are ready and fit: bytes in all, and bytes
    /// of each but the last. Only full datagrams are followed by another one.
    pub fn poll_batch(&mut self, now: Time, out: &mut [u8]) -> Option<(usize, usize)> {
        if self.is_quiet(now) {
            return None;
        }
        self.found = Found::default();
        if let Some(length) = self.poll_length_probe(now, out) {
            return Some((length, length));
        }
        let segment = self.poll_transmit(now, out)?;
        let mut length = segment;
        let mut last = segment;
        while last == self.path.bytes() {
            let Some(more) = out.get_mut(length..).and_then(|rest| self.poll_transmit(now, rest)) else {
                break;
            };
            (length, last) = (length + more, more);
        }
        Some((length, segment))
    }

    /// Writes the next datagram into `out`, which has room for a full one of this path; its length, or None if
    /// there is nothing to send now. To be drained after every other call.
    pub fn poll_transmit(&mut self, now: Time, out: &mut [u8]) -> Option<usize> {
        if self.is_quiet(now) {
            return None;
        }
        self.found = Found::default();
        let room = self.path.bytes();
        let out = out.get_mut(..room)?;
        if self.sent.next_number() >= PACKET_NUMBER_MAX - u64::from(FAREWELLS_MAX) - 1 {
            self.close(CloseCode::Exhausted);
        }
        let Some((length, packet)) = self.write_packet(now, &mut out[DATA_HEADER_BYTES..]) else {
            self.notice_idleness();
            // What is pending waits for the window, or for the clock.
            self.found.quiet = !self.outgoing.is_pending();
            return None;
        };
        Some(self.seal(out, length, packet))
    }

    /// Seals a payload of `length` bytes that was written behind the header, and records its packet; the datagram's
    /// length.
    fn seal(&mut self, out: &mut [u8], length: usize, packet: SentPacket) -> usize {
        let (now, number) = (packet.sent, self.sent.next_number());
        let header = DataHeader { generation: self.keys.turn(now), receiver: self.peer_index, number };
        let end = DATA_HEADER_BYTES + length + TAG_BYTES;
        out[..DATA_HEADER_BYTES].copy_from_slice(&header.to_bytes());
        self.keys.seal(header, &mut out[DATA_HEADER_BYTES..end]);
        let bytes = u16::try_from(end).expect("a datagram is short");
        if packet.fate == Fate::InFlight {
            self.pacer.on_sent(u64::from(bytes));
            self.life.on_asked(now);
        }
        self.sent.push(SentPacket { bytes, ..packet });
        self.stats.sent_packets += 1;
        self.stats.sent_bytes += u64::from(bytes);
        end
    }

    /// Writes a datagram that only tries whether the path takes its length, if it is time for one: while there is
    /// something to send anyhow.
    fn poll_length_probe(&mut self, now: Time, out: &mut [u8]) -> Option<usize> {
        if self.trip.measured().is_none() || !self.outgoing.is_pending() || self.is_closed().is_some() {
            return None;
        }
        let length = self.path.probe(now).filter(|length| *length <= out.len())?;
        if !self.may_send(now) {
            return None;
        }
        let payload = &mut out[DATA_HEADER_BYTES..length - TAG_BYTES];
        payload.fill(0);
        FrameWriter::new(payload).ping();
        self.path.on_probe_sent();
        let packet = SentPacket { fate: Fate::InFlight, at_once: true, tries_length: true, ..unsent(now) };
        Some(self.seal(out, length - DATA_HEADER_BYTES - TAG_BYTES, packet))
    }

    /// Nothing goes: if that is for want of something to send, rates measured now say nothing of the path.
    fn notice_idleness(&mut self) {
        let in_flight = self.sent.in_flight();
        let held = self.outgoing.is_awaited_pending()
            || in_flight + self.datagram() > self.control.window()
            || self.control.is_filled(in_flight);
        if !held && !matches!(self.state, State::Closed { .. }) {
            self.sent.on_app_limited();
        }
    }

    /// Writes the payload of the next packet, leaving room for its tag; its length and its record.
    fn write_packet(&mut self, now: Time, out: &mut [u8]) -> Option<(usize, SentPacket)> {
        let room = out.len() - TAG_BYTES;
        let mut writer = FrameWriter::new(&mut out[..room]);
        let mut packet = unsent(now);
        if let State::Closed { reason, due, .. } = &mut self.state {
            *due = due.checked_sub(1)?;
            let CloseReason::Local(code) = reason else { return None };
            writer.close(code.number(), &code.to_string());
            return Some((writer.len(), packet));
        }
        let probing = self.probes > 0;
        let data = self.outgoing.is_pending() && (probing || self.may_send(now));
        let asks = data
            || probing
            || self.ping
            || self.incoming.is_any_credit_due()
            || self.outgoing.is_any_want_due();
        if !asks && !self.received.is_due(now) {
            return None;
        }
        packet.acknowledges = self.received.write(now, &mut writer);
        if asks {
            packet.fate = Fate::InFlight;
            self.write_credits(&mut writer, &mut packet);
            if data {
                self.outgoing.write(&mut writer, &mut packet.carried);
            }
            packet.at_once = self.wants_answer(now, &writer, &packet);
            if packet.at_once {
                writer.ping();
                (self.ping, self.asked) = (false, now);
            }
            self.probes = self.probes.saturating_sub(1);
        }
        Some((writer.len(), packet)).filter(|(length, _)| *length > 0)
    }

    /// Whether the congestion window has room for a datagram, and, while only background work is to be sent, the window
    /// that yields has.
    pub(super) fn fits_window(&self) -> bool {
        let after = self.sent.in_flight() + self.datagram();
        after <= self.control.window()
            && (self.outgoing.is_awaited_pending() || after <= self.yielding.window())
    }

    /// Bytes a second: the controller's, or, while only background work is to be sent, 5/4 of its window a round trip.
    pub(super) fn rate(&self) -> u64 {
        if self.outgoing.is_awaited_pending() {
            return self.control.rate();
        }
        let trip = self.trip.smoothed().as_micros().max(1);
        self.control.rate().min(self.yielding.window().saturating_mul(1_250_000) / trip)
    }

    /// Whether window and pace let a packet go.
    fn may_send(&mut self, now: Time) -> bool {
        if !self.fits_window() {
            self.yields |= self.sent.in_flight() + self.datagram() <= self.control.window();
            return false;
        }
        let (rate, datagram) = (self.rate(), self.datagram());
        self.pacer.is_ready(now, rate, self.trip.smoothed(), datagram)
    }

    /// Writes the credits that are due, and those that are to be asked for.
    fn write_credits(&mut self, writer: &mut FrameWriter<'_>, packet: &mut SentPacket) {
        for lane in Lane::ALL {
            if let Some(offset) = self.incoming.take_credit(lane) {
                writer.lane_max(lane, offset);
                packet.credits |= credit_bit(lane);
            }
            if let Some(offset) = self.outgoing.take_want(lane) {
                writer.lane_want(lane, offset);
                packet.credits |= credit_bit(lane) << Lane::COUNT;
            }
        }
    }

    /// Whether the packet should have a Ping: it must, it is a probe, it has nothing else that asks, none was asked for an
    /// eighth of a round trip, or it is the last one for now and nothing in flight will bring an answer soon.
    fn wants_answer(&self, now: Time, writer: &FrameWriter<'_>, packet: &SentPacket) -> bool {
        if !writer.takes_ping() {
            return false;
        }
        let alone = packet.carried.is_empty() && packet.credits == 0;
        let silent =
            now.since(self.asked) >= self.trip.smoothed().part(ANSWERS_PER_TRIP).max(ANSWER_SPAN_MIN);
        if self.ping || self.probes > 0 || alone || silent {
            return true;
        }
        let after = self.sent.in_flight() + 2 * self.datagram();
        let window = if self.outgoing.is_awaited_pending() { u64::MAX } else { self.yielding.window() };
        let last = !self.outgoing.is_pending() || after > self.control.window().min(window);
        last && !packet.carried.is_empty() && (self.control.is_starting() || !self.sent.is_answer_due())
    }
}

/// A packet that has not gone yet and asks for nothing.
const fn unsent(now: Time) -> SentPacket {
    SentPacket {
        sent: now,
        bytes: 0,
        fate: Fate::Unasked,
        at_once: false,
        tries_length: false,
        credits: 0,
        acknowledges: None,
        carried: CarriedList::new(),
    }
}
