//! What is remembered of a sent packet, and what loss detection reports.

use crate::base::units::{Span, Time};
use crate::peer::rate::{RateSample, Stamp};
use crate::peer::send::CarriedList;

/// Where a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Carries only acknowledgements: nobody acknowledges it for its own sake, and it is not in flight.
    Unasked,
    /// On its way, or lost without our knowing.
    InFlight,
    /// Acknowledged or declared lost.
    Settled,
}

/// A packet to be sent.
#[derive(Debug, Clone)]
pub struct SentPacket {
    /// When.
    pub sent: Time,
    /// Its length as a datagram, in bytes.
    pub bytes: u16,
    /// Where it is.
    pub fate: Fate,
    /// Whether it asked for an acknowledgement at once.
    pub at_once: bool,
    /// It only tries whether the path takes its length.
    pub tries_length: bool,
    /// Credits that it carried, one bit a lane.
    pub credits: u8,
    /// The largest number that it acknowledged.
    pub acknowledges: Option<u64>,
    /// Ranges of lanes that it carried.
    pub carried: CarriedList,
}

/// A sent packet, and what had been delivered by then.
#[derive(Debug, Clone)]
pub(super) struct Record {
    /// What was sent.
    pub packet: SentPacket,
    /// For the delivery rate.
    pub stamp: Stamp,
}

/// A packet that was declared lost: perhaps it is only late.
#[derive(Debug, Clone)]
pub(super) struct Missed {
    /// Its number.
    pub number: u64,
    /// When it was sent.
    pub sent: Time,
    /// Its length as a datagram, in bytes.
    pub bytes: u16,
    /// What it carried.
    pub carried: CarriedList,
}

/// What an acknowledgement has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Bytes acknowledged for the first time.
    pub bytes: u64,
    /// A round trip: the newest acknowledged packet was newly acknowledged and asked for it.
    pub sample: Option<Span>,
    /// How fast the path delivered.
    pub rate: Option<RateSample>,
    /// The largest number in an Ack frame that has now arrived.
    pub acknowledges: Option<u64>,
    /// The length of a packet that tried it and has arrived, in bytes.
    pub length: Option<u16>,
}

/// What was found lost at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Bytes, of packets that do not only try a length.
    pub bytes: u64,
    /// When the youngest of them was sent.
    pub youngest: Option<Time>,
    /// So much, for so long, that the path is to be learnt anew (RFC 9002, section 7.6).
    pub persistent: bool,
    /// Credits that they carried, one bit a lane.
    pub credits: u8,
    /// A packet that tried a length was among them.
    pub length: bool,
}
