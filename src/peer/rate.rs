//! How fast the path delivers: a sample of bytes over time for each acknowledgement.
//!
//! Owns the algorithm of draft-cheng-iccrg-delivery-rate-estimation: every packet remembers what had been delivered when
//! it was sent, and when it comes back, the difference over the longer of the sending and the acknowledging interval is
//! what the path carried. Refuses to judge samples: [`super::bbr`] does.

use crate::base::units::{Span, Time};

/// What a packet remembers of the moment at which it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes that had been delivered.
    pub delivered: u64,
    /// When the last of them was.
    delivered_at: Time,
    /// When the first packet of the same flight was sent.
    flight_began: Time,
    /// The sender had nothing to send: the path may be faster than the sample says.
    app_limited: bool,
}

/// What one acknowledgement says of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateSample {
    /// Bytes a second.
    pub rate: u64,
    /// What had been delivered when the newest acknowledged packet was sent: tells rounds apart.
    pub prior_delivered: u64,
    /// The sender did not use what it might have.
    pub app_limited: bool,
}

/// Counts what is delivered.
#[derive(Debug)]
pub struct DeliveryRate {
    /// Bytes delivered since the session began.
    delivered: u64,
    /// When the last of them was.
    delivered_at: Time,
    /// When the first packet of the present flight was sent.
    flight_began: Time,
    /// Until this much is delivered, samples tell of the sender and not of the path; 0: they tell of the path.
    app_limited_until: u64,
    /// Of the present acknowledgement, the packet sent last: when, and what it remembers.
    newest: Option<(Time, Stamp)>,
}

impl Default for DeliveryRate {
    fn default() -> Self {
        Self::new()
    }
}

impl DeliveryRate {
    /// Nothing delivered.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            delivered: 0,
            delivered_at: Time::ZERO,
            flight_began: Time::ZERO,
            app_limited_until: 0,
            newest: None,
        }
    }

    /// Bytes delivered so far.
    #[must_use]
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// A packet goes; `idle`: nothing else is in flight. What it is to remember.
    pub fn on_sent(&mut self, now: Time, idle: bool) -> Stamp {
        if idle {
            (self.flight_began, self.delivered_at) = (now, now);
        }
        Stamp {
            delivered: self.delivered,
            delivered_at: self.delivered_at,
            flight_began: self.flight_began,
            app_limited: self.app_limited_until != 0,
        }
    }

    /// The sender has nothing to send although it might; `in_flight` bytes are on their way.
    pub fn on_app_limited(&mut self, in_flight: u64) {
        self.app_limited_until = (self.delivered + in_flight).max(1);
    }

    /// A packet that was sent at `sent` has arrived.
    pub fn on_acked(&mut self, now: Time, sent: Time, stamp: Stamp, bytes: u64) {
        self.delivered += bytes;
        self.delivered_at = now;
        if self.newest.is_none_or(|(_, newest)| stamp.delivered >= newest.delivered) {
            self.newest = Some((sent, stamp));
        }
    }

    /// A packet that was given up has arrived after all.
    pub fn on_late(&mut self, bytes: u64) {
        self.delivered += bytes;
    }

    /// What the acknowledgement that ends here says; None if it says nothing new, or over so short a time (`shortest`)
    /// that it would be noise.
    pub fn sample(&mut self, now: Time, shortest: Span) -> Option<RateSample> {
        let (sent, stamp) = self.newest.take()?;
        self.flight_began = sent;
        if self.app_limited_until != 0 && self.delivered > self.app_limited_until {
            self.app_limited_until = 0;
        }
        let interval = sent.since(stamp.flight_began).max(now.since(stamp.delivered_at));
        let micros = interval.as_micros();
        if micros == 0 || interval < shortest {
            return None;
        }
        Some(RateSample {
            rate: (self.delivered - stamp.delivered).saturating_mul(1_000_000) / micros,
            prior_delivered: stamp.delivered,
            app_limited: stamp.app_limited,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment, in milliseconds.
    fn at(millis: u64) -> Time {
        Time::ZERO + Span::from_millis(millis)
    }

    #[test]
    fn a_steady_flow_is_measured_at_its_speed_even_when_acknowledgements_come_in_bunches() {
        let mut rate = DeliveryRate::new();
        // 1,000 bytes a millisecond, 10 ms of round trip, acknowledged four at a time.
        let mut stamps = Vec::new();
        let mut samples = Vec::new();
        for millis in 0..100_u64 {
            stamps.push(rate.on_sent(at(millis), millis == 0));
            if millis >= 16 && millis % 4 == 3 {
                for old in (0..4).map(|index| millis - 13 + index).filter(|old| *old < millis) {
                    let place = usize::try_from(old).expect("small");
                    rate.on_acked(at(millis), at(old), stamps[place], 1_000);
                }
                samples.extend(rate.sample(at(millis), Span::from_millis(5)));
            }
        }
        assert!(samples.len() > 15);
        for sample in &samples[6..] {
            assert!(sample.rate > 850_000 && sample.rate <= 1_050_000, "{sample:?}");
            assert!(!sample.app_limited);
        }
    }

    #[test]
    fn what_a_sender_did_not_use_is_told_apart() {
        let mut rate = DeliveryRate::new();
        let first = rate.on_sent(at(0), true);
        rate.on_app_limited(1_000);
        rate.on_acked(at(10), at(0), first, 1_000);
        assert_eq!(
            rate.sample(at(10), Span::ZERO).map(|sample| (sample.rate, sample.app_limited)),
            Some((100_000, false))
        );
        let second = rate.on_sent(at(20), true);
        rate.on_acked(at(30), at(20), second, 1_000);
        let sample = rate.sample(at(30), Span::ZERO).expect("10 ms");
        assert!(sample.app_limited);
        assert_eq!(rate.sample(at(31), Span::ZERO), None, "nothing new");
        let third = rate.on_sent(at(40), true);
        assert!(!third.app_limited, "what was limited has been delivered");
    }
}
