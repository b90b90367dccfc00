//! The sending half of a session: what goes into the next packet, and whether one goes.
//!
//! Read "Packets" and "Sending" in `wire/PROTOCOL.md` first.

use super::{Session, State};
use crate::base::limits::{DATAGRAM_BYTES_BASE, FAREWELLS_MAX, PACKET_NUMBER_MAX};
use crate::base::units::Time;
use crate::peer::congestion::CongestionControl;
use crate::peer::loss::{credit_bit, Fate, SentPacket};
use crate::peer::reasons::{CloseCode, CloseReason};
use crate::peer::send::CarriedList;
use crate::wire::frame::{FrameWriter, Lane};
use crate::wire::packet::{DataHeader, DATA_HEADER_BYTES, TAG_BYTES};

impl Session {
    /// Writes the next datagrams into `out`, one behind the other, as many as are ready and fit: bytes in all, and bytes
    /// of each but the last. Only full datagrams are followed by another one.
    pub fn poll_batch(&mut self, now: Time, out: &mut [u8]) -> Option<(usize, usize)> {
        let segment = self.poll_transmit(now, out)?;
        let mut length = segment;
        let mut last = segment;
        while last == DATAGRAM_BYTES_BASE {
            let Some(more) = out.get_mut(length..).and_then(|rest| self.poll_transmit(now, rest)) else {
                break;
            };
            (length, last) = (length + more, more);
        }
        Some((length, segment))
    }

    /// Writes the next datagram into `out`, which has at least [`DATAGRAM_BYTES_BASE`] bytes; its length, or None if
    /// there is nothing to send now. To be drained after every other call.
    pub fn poll_transmit(&mut self, now: Time, out: &mut [u8]) -> Option<usize> {
        let out = out.get_mut(..DATAGRAM_BYTES_BASE)?;
        if self.sent.next_number() >= PACKET_NUMBER_MAX - u64::from(FAREWELLS_MAX) - 1 {
            self.close(CloseCode::Exhausted);
        }
        let (length, packet) = self.write_packet(now, &mut out[DATA_HEADER_BYTES..])?;
        let number = self.sent.next_number();
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
            packet.at_once = self.wants_answer(&writer, &packet);
            if packet.at_once {
                writer.ping();
                self.ping = false;
            }
            self.probes = self.probes.saturating_sub(1);
        }
        Some((writer.len(), packet)).filter(|(length, _)| *length > 0)
    }

    /// Whether the congestion window has room for a datagram.
    pub(super) fn fits_window(&self) -> bool {
        self.sent.in_flight() + DATAGRAM_BYTES <= self.control.window()
    }

    /// Whether window and pace let a packet go.
    fn may_send(&mut self, now: Time) -> bool {
        self.fits_window() && self.pacer.is_ready(now, &self.control, self.trip.smoothed())
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
}

/// One datagram, in bytes.
const DATAGRAM_BYTES: u64 = 1_200;
const _: () = assert!(DATAGRAM_BYTES_BASE == 1_200);
