//! What the model of the path is doing, and what the present round has shown.
//!
//! Owns the states and the round; [`super`] decides between them.

use crate::base::units::{Span, Time};

/// What the model is doing.
///
/// ```text
///  Startup --the rate grows no more, or a queue stands--> Drain --queue gone--> Cruise --its time is over--> Up
///     ^                                                                          ^  ^                         |
///     |                                                              queue gone  |  '---------- Down <--------'
///     '-- persistent congestion (from any)                                       |     1.25 times was in flight
///                                                                                |
///             (from any) the shortest round trip is old --> ProbeTrip --measured-'
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Doubles each round until the rate stops growing.
    Startup {
        /// The highest rate that counted as growth.
        best: u64,
        /// Rounds without growth since.
        rounds: u8,
    },
    /// Lets go of the queue that Startup has made.
    Drain,
    /// Keeps to the rate.
    Cruise {
        /// When the next probe begins.
        until: Time,
    },
    /// Sends more for a round trip or so, to see whether it arrives.
    Up {
        /// Since when.
        since: Time,
        /// The rate at that moment.
        from: u64,
    },
    /// Lets go of the queue that Up has made.
    Down {
        /// Since when.
        since: Time,
    },
    /// Keeps little in flight, to see the round trip without a queue.
    ProbeTrip {
        /// When it is over; None until little is in flight.
        until: Option<Time>,
        /// The shortest round trip seen meanwhile.
        shortest: Option<Span>,
    },
}

/// One round trip's worth of acknowledgements.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Round {
    /// It ends when a packet arrives that was sent when this much had been delivered.
    pub ends_at: u64,
    /// Bytes acknowledged in it.
    pub acked: u64,
    /// Bytes lost in it.
    pub lost: u64,
    /// The highest rate in it.
    pub rate: u64,
    /// The shortest round trip in it.
    pub shortest: Option<Span>,
    /// Round trips measured in it.
    pub trips: u32,
    /// Of its rate samples, whether the newest was limited by the sender.
    pub app_limited: bool,
}
