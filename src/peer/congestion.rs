//! How much may be on its way, and how fast it may go: the words between loss detection and whoever decides.
//!
//! Owns what the controllers are told: [`super::bbr`] for all that somebody waits for, [`super::ledbat`] for what yields to
//! everybody else. Refuses to know packets: it is told bytes and moments, and
//! [`super::loss`] counts what is in flight.

use super::rate::RateSample;
use crate::base::units::{Span, Time};

/// What an acknowledgement has told.
#[derive(Debug, Clone, Copy)]
pub struct Acked {
    /// When.
    pub now: Time,
    /// Bytes that it acknowledged for the first time.
    pub bytes: u64,
    /// Bytes still in flight.
    pub in_flight: u64,
    /// Bytes delivered since the session began.
    pub delivered: u64,
    /// A round trip without the time for which the peer kept the acknowledgement.
    pub round_trip: Option<Span>,
    /// How fast the path delivered.
    pub rate: Option<RateSample>,
}

/// What was lost at once.
#[derive(Debug, Clone, Copy)]
pub struct Lost {
    /// When that was found.
    pub now: Time,
    /// Bytes.
    pub bytes: u64,
    /// When the youngest of the lost packets was sent.
    pub youngest: Time,
    /// So many, for so long, that the path is to be learnt anew (RFC 9002, section 7.6).
    pub persistent: bool,
}
