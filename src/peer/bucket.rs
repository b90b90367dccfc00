//! A token bucket: so many bytes a second, over all sessions together.
//!
//! Owns the arithmetic of a limit, for what goes out and for the credit that lets others send. Refuses to know which
//! limit is in force when: `node/bandwidth.rs` reads the schedules.

use crate::base::limits::{BANDWIDTH_BURST_SPAN, BANDWIDTH_STEP_BYTES_MAX, BANDWIDTH_STEP_BYTES_MIN};
use crate::base::units::Time;

/// Millionths of a byte in a byte: what a byte a second gives in a microsecond.
const MICRO: i128 = 1_000_000;

/// Bytes that may pass. More than there are may be taken: what follows waits until the debt is paid.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Bytes a second.
    rate: u64,
    /// What may pass, in millionths of a byte; negative when more has passed.
    level: i128,
    /// When `level` was right.
    filled: Time,
}

impl Bucket {
    /// One with a step in it. `rate` is in bytes a second.
    #[must_use]
    pub fn new(now: Time, rate: u64) -> Self {
        let mut bucket = Self { rate: rate.max(1), level: 0, filled: now };
        bucket.level = i128::from(bucket.step()) * MICRO;
        bucket
    }

    /// Bytes a second.
    #[must_use]
    pub const fn rate(&self) -> u64 {
        self.rate
    }

    /// What passes at once, in bytes: little enough to be smooth, enough to be worth a timer.
    #[must_use]
    pub fn step(&self) -> u64 {
        let burst = self.rate.saturating_mul(BANDWIDTH_BURST_SPAN.as_micros()) / 1_000_000;
        burst.clamp(BANDWIDTH_STEP_BYTES_MIN, BANDWIDTH_STEP_BYTES_MAX)
    }

    /// Time has passed.
    pub fn fill(&mut self, now: Time) {
        let gained = i128::from(now.since(self.filled).as_micros()) * i128::from(self.rate);
        let full = 2 * i128::from(self.step()) * MICRO;
        self.level = (self.level + gained).min(full.max(self.level));
        self.filled = self.filled.max(now);
    }

    /// Whether a step may pass.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.level >= i128::from(self.step()) * MICRO
    }

    /// Whether anything may pass.
    #[must_use]
    pub const fn is_positive(&self) -> bool {
        self.level > 0
    }

    /// When [`Self::is_ready`] will be true.
    #[must_use]
    pub fn ready_at(&self) -> Time {
        self.reaches(i128::from(self.step()) * MICRO)
    }

    /// When [`Self::is_positive`] will be true.
    #[must_use]
    pub fn positive_at(&self) -> Time {
        self.reaches(1)
    }

    /// When the level will be this.
    fn reaches(&self, level: i128) -> Time {
        let missing = (level - self.level).max(0);
        let micros = (missing + i128::from(self.rate) - 1) / i128::from(self.rate);
        self.filled + crate::base::units::Span::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Bytes pass.
    pub fn take(&mut self, bytes: u64) {
        self.level -= i128::from(bytes) * MICRO;
    }
}
