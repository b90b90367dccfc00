//! Acknowledgements come in bunches: what they bring beyond the rate must be in flight beyond it.
//!
//! Owns the measure of that. Refuses to set the window: [`super`] does.

use crate::base::units::{Span, Time};

/// What acknowledgements bring beyond the rate, because they come in bunches (after Linux' `tcp_bbr.c`, "extra acked").
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bunching {
    /// When the present count began.
    since: Time,
    /// Bytes acknowledged since.
    acked: u64,
    /// The most that was beyond the rate, in this window of rounds and in the one before.
    most: [u64; 2],
    /// Rounds left in this window.
    rounds: u8,
}

impl Bunching {
    /// `bytes` were acknowledged, on a path of `rate` bytes a second.
    pub fn take(&mut self, now: Time, bytes: u64, rate: u64) {
        if self.acked <= over(rate, now.since(self.since)) {
            (self.since, self.acked) = (now, 0);
        }
        self.acked += bytes;
        let expected = over(rate, now.since(self.since));
        let extra = self.acked.saturating_sub(expected).min(over(rate, SPAN_MAX));
        self.most[0] = self.most[0].max(extra);
    }

    /// A round has ended.
    pub fn end_round(&mut self) {
        self.rounds = self.rounds.saturating_sub(1);
        if self.rounds == 0 {
            (self.rounds, self.most) = (ROUNDS, [0, self.most[0]]);
        }
    }

    /// The most that came beyond the rate lately, in bytes.
    pub fn extra(&self) -> u64 {
        self.most[0].max(self.most[1])
    }
}

/// Bytes that pass in a span at a rate.
pub(super) fn over(rate: u64, span: Span) -> u64 {
    rate.saturating_mul(span.as_micros()) / 1_000_000
}

/// Rounds after which the bunching seen before them is forgotten, halved by the two windows.
const ROUNDS: u8 = 10;
/// Bunching is believed up to this much time of the rate.
const SPAN_MAX: Span = Span::from_millis(100);
