//! What acknowledgements, losses and silence teach a session of its path.
//!
//! Joins loss detection with the controllers and the search for longer datagrams. Read "Loss detection", "Congestion
//! control" and "Datagram length" in `wire/PROTOCOL.md` first.

use super::due::Found;
use super::{CloseCode, Session, SessionError, BASE};
use crate::base::limits::{ACK_DELAY_MAX, FIRST_FLIGHT_DATAGRAMS};
use crate::base::units::{Span, Time};
use crate::peer::bbr::Bbr;
use crate::peer::congestion::{Acked, Lost};
use crate::peer::ledbat::Ledbat;
use crate::peer::mtu::PathLength;
use crate::peer::pacing::Pacer;
use crate::peer::timers::RoundTrip;
use crate::wire::frame::Ack;
use crate::wire::packet::DataHeader;

impl Session {
    /// The header of a packet of this session with its whole number.
    #[must_use]
    pub fn expanded(&self, header: DataHeader) -> DataHeader {
        header.expanded(self.replay.next())
    }

    /// Takes an acknowledgement.
    pub(super) fn handle_ack(&mut self, now: Time, ack: &Ack<'_>) -> Result<(), SessionError> {
        let shortest = self.control.shortest_trip().unwrap_or(Span::ZERO);
        let Some(outcome) = self.sent.on_ack(now, ack, shortest, &mut self.outgoing) else {
            return Err(self.violate(CloseCode::BadAck));
        };
        let delay = Span::from_micros(u64::from(ack.delay_us)).min(ACK_DELAY_MAX);
        if let Some(sample) = outcome.sample {
            self.trip.update(sample, delay);
        }
        if outcome.bytes > 0 {
            self.probes = 0;
            let acked = Acked {
                now,
                bytes: outcome.bytes,
                in_flight: self.sent.in_flight(),
                delivered: self.sent.delivered(),
                round_trip: outcome.sample.map(|sample| if sample > delay { sample - delay } else { sample }),
                rate: outcome.rate,
            };
            self.control.on_acked(&acked);
            let limited = core::mem::take(&mut self.yields);
            self.yielding.on_acked(&acked, self.control.shortest_trip(), limited);
        }
        if let Some(length) = outcome.length {
            if self.path.on_probe_acked(now, usize::from(length)) {
                self.on_datagram_length();
            }
        }
        if let Some(largest) = outcome.acknowledges {
            self.received.on_ack_acked(largest);
        }
        self.detect_lost(now);
        Ok(())
    }

    /// Declares lost what must be, and sees to it that it goes again.
    pub(super) fn detect_lost(&mut self, now: Time) {
        let losses = self.sent.detect_lost(now, &self.trip, &mut self.outgoing);
        self.repeat_credits(losses.credits);
        if losses.length {
            self.path.on_probe_lost(now);
        }
        if let Some(youngest) = losses.youngest {
            let lost = Lost { now, bytes: losses.bytes, youngest, persistent: losses.persistent };
            self.yielding.on_lost(&lost, self.control.shortest_trip());
            self.control.on_lost(&lost);
        }
    }

    /// Datagrams are of another length now.
    pub(super) fn on_datagram_length(&mut self) {
        let datagram = self.datagram();
        self.control.on_datagram_length(datagram);
        self.yielding.on_datagram_length(datagram);
    }

    /// The length of a full datagram, in bytes.
    pub(super) fn datagram(&self) -> u64 {
        u64::try_from(self.path.bytes()).expect("a datagram is short")
    }

    /// Packets go another way from now on (an address has changed): what was learnt of the old one does not hold.
    pub fn on_path_change(&mut self, now: Time) {
        self.found = Found::default();
        self.trip = RoundTrip::new();
        self.path = PathLength::new();
        self.control = Bbr::new(BASE);
        self.yielding = Ledbat::new(BASE);
        self.pacer = Pacer::new(now, FIRST_FLIGHT_DATAGRAMS * BASE);
        self.sent.on_path_change();
        self.ping = true;
    }
}
