//! Which packets have arrived: replays are told, acknowledgements are owed.
//!
//! Owns the sliding window of packet numbers (the algorithm of RFC 6479) and the ranges that go into Ack frames, with
//! the moment at which one is due. Refuses to know what the packets said.

use crate::base::limits::{
    ACK_DELAY_MAX, ACK_PACKETS_MAX, ACK_RANGES_MAX, ACK_URGENT_PACKETS, REPLAY_WINDOW_PACKETS,
};
use crate::base::units::Time;
use crate::wire::frame::FrameWriter;

/// Words of the window: one more than it promises, for the word that is being filled.
const WORDS: u64 = REPLAY_WINDOW_PACKETS / 64 + 1;
/// The same as a length.
const WORDS_LENGTH: usize = 33;
const _: () = assert!(REPLAY_WINDOW_PACKETS % 64 == 0 && WORDS == 33);

/// Tells packet numbers that were seen from those that were not; what is older than its window counts as seen.
#[derive(Debug)]
pub struct ReplayWindow {
    /// One bit a number, in a ring.
    words: [u64; WORDS_LENGTH],
    /// One more than the largest number seen.
    next: u64,
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplayWindow {
    /// Nothing seen.
    #[must_use]
    pub const fn new() -> Self {
        Self { words: [0; WORDS_LENGTH], next: 0 }
    }

    /// Where a number's bit is.
    fn place(number: u64) -> (usize, u64) {
        let word = usize::try_from(number / 64 % WORDS).expect("the ring has 33 words");
        (word, 1 << (number % 64))
    }

    /// Whether `number` was seen, or may have been.
    #[must_use]
    pub fn is_seen(&self, number: u64) -> bool {
        if number >= self.next {
            return false;
        }
        let (word, bit) = Self::place(number);
        self.next - number > REPLAY_WINDOW_PACKETS || self.words[word] & bit != 0
    }

    /// One more than the largest number seen.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// Marks `number`, which was authenticated, as seen.
    pub fn insert(&mut self, number: u64) {
        if number >= self.next {
            let (newest, target) = (self.next.saturating_sub(1) / 64, number / 64);
            for word in (newest + 1..=target).take(WORDS_LENGTH) {
                let (index, _) = Self::place(word * 64);
                self.words[index] = 0;
            }
            self.next = number + 1;
        }
        let (word, bit) = Self::place(number);
        self.words[word] |= bit;
    }
}

/// What is owed to the peer in acknowledgements.
#[derive(Debug)]
pub struct Received {
    /// Ranges of packet numbers, both ends included, oldest first.
    ranges: heapless::Vec<(u64, u64), ACK_RANGES_MAX>,
    /// When the largest number arrived.
    largest_at: Time,
    /// Whether anything arrived since the last Ack frame.
    news: bool,
    /// Packets asking for an acknowledgement since the last one.
    asking: u32,
    /// Of the next packets, this many are acknowledged at once.
    urgent: u32,
    /// When an acknowledgement must go at the latest.
    due: Option<Time>,
}

impl Received {
    /// Nothing arrived.
    #[must_use]
    pub const fn new(now: Time) -> Self {
        Self { ranges: heapless::Vec::new(), largest_at: now, news: false, asking: 0, urgent: 0, due: None }
    }

    /// A new packet has arrived. `asks`: it carries more than acknowledgements; `at_once`: it has a Ping.
    pub fn on_packet(&mut self, now: Time, number: u64, asks: bool, at_once: bool) {
        let largest = self.ranges.last().map(|range| range.1);
        let in_order = largest.is_none_or(|largest| number == largest.saturating_add(1));
        if largest.is_none_or(|largest| number > largest) {
            self.largest_at = now;
        }
        self.insert(number);
        self.news = true;
        if !asks {
            return;
        }
        self.asking += 1;
        if !in_order {
            self.urgent = ACK_URGENT_PACKETS + 1;
        }
        let hurry = at_once || self.urgent > 0 || self.asking >= ACK_PACKETS_MAX;
        self.urgent = self.urgent.saturating_sub(1);
        if hurry {
            self.due = Some(now);
        } else if self.due.is_none() {
            self.due = Some(now + ACK_DELAY_MAX);
        }
    }

    /// Adds a number to the ranges; the oldest is dropped where there are too many.
    fn insert(&mut self, number: u64) {
        if let Some(last) = self.ranges.last_mut() {
            if last.1.checked_add(1) == Some(number) {
                last.1 = number;
                return;
            }
        }
        let place = self.ranges.partition_point(|range| range.1 < number);
        if self.ranges.get(place).is_some_and(|range| range.0 <= number) {
            return;
        }
        let joins_left = place > 0 && self.ranges[place - 1].1 + 1 == number;
        let joins_right = self.ranges.get(place).is_some_and(|range| range.0 == number + 1);
        match (joins_left, joins_right) {
            (true, true) => {
                self.ranges[place - 1].1 = self.ranges[place].1;
                self.ranges.remove(place);
            }
            (true, false) => self.ranges[place - 1].1 = number,
            (false, true) => self.ranges[place].0 = number,
            (false, false) => {
                let mut place = place;
                if self.ranges.is_full() {
                    if place == 0 {
                        return;
                    }
                    self.ranges.remove(0);
                    place -= 1;
                }
                self.ranges.insert(place, (number, number)).expect("a full list was made shorter");
            }
        }
    }

    /// Whether an acknowledgement must go now.
    #[must_use]
    pub fn is_due(&self, now: Time) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// When one must go at the latest.
    #[must_use]
    pub const fn due(&self) -> Option<Time> {
        self.due
    }

    /// Writes an acknowledgement if there is anything new to say, and gives the largest number that it names.
    pub fn write(&mut self, now: Time, writer: &mut FrameWriter<'_>) -> Option<u64> {
        if !self.news {
            return None;
        }
        let delay = u32::try_from(now.since(self.largest_at).as_micros()).unwrap_or(u32::MAX);
        let largest = self.ranges.last()?.1;
        if !writer.ack(delay, &self.ranges) {
            return None;
        }
        self.news = false;
        self.asking = 0;
        self.due = None;
        Some(largest)
    }

    /// The peer knows of all packets up to `largest`: they need not be named again (RFC 9000, section 13.2.4).
    pub fn on_ack_acked(&mut self, largest: u64) {
        // The newest range stays, so that the next number can be told to be in order.
        while self.ranges.len() > 1 && self.ranges[0].1 <= largest {
            self.ranges.remove(0);
        }
        if let Some(first) = self.ranges.first_mut() {
            first.0 = first.0.max(largest.min(first.1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Span;
    use crate::wire::frame::{Frame, Frames};
    use rand_chacha::rand_core::{RngCore, SeedableRng};
    use std::collections::BTreeSet;

    #[test]
    fn the_replay_window_agrees_with_a_set() {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for jump in [3, 100, 3_000, 100_000] {
            let mut window = ReplayWindow::new();
            let mut seen = BTreeSet::new();
            let mut base = 0;
            for _ in 0..20_000 {
                base += u64::from(random.next_u32()) % jump;
                let number = base.saturating_sub(u64::from(random.next_u32()) % 2_500);
                let next = seen.last().map_or(0, |last| last + 1);
                let old = next > number && next - number > REPLAY_WINDOW_PACKETS;
                assert_eq!(window.is_seen(number), old || seen.contains(&number), "{number} of {next}");
                if !window.is_seen(number) {
                    window.insert(number);
                    seen.insert(number);
                    assert!(window.is_seen(number));
                }
            }
        }
    }

    /// The ranges that the next Ack frame names.
    fn acknowledged(received: &mut Received, now: Time) -> Vec<(u64, u64)> {
        let mut out = [0; 1_000];
        let mut writer = FrameWriter::new(&mut out);
        received.write(now, &mut writer);
        let length = writer.len();
        match Frames::new(&out[..length]).next() {
            Some(Ok(Frame::Ack(ack))) => ack.ranges().collect(),
            None => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ranges_merge_and_are_forgotten_when_the_peer_knows_them() {
        let now = Time::ZERO;
        let mut received = Received::new(now);
        for number in [0, 1, 5, 3, 9, 4, 4, 2] {
            received.on_packet(now, number, true, false);
        }
        assert_eq!(acknowledged(&mut received, now), [(9, 9), (0, 5)]);
        assert_eq!(acknowledged(&mut received, now), [], "it has been said");
        received.on_ack_acked(7);
        received.on_packet(now, 10, true, false);
        assert_eq!(acknowledged(&mut received, now), [(9, 10)]);
        received.on_packet(now, 6, true, false);
        assert_eq!(acknowledged(&mut received, now), [(9, 10), (6, 6)]);
    }

    #[test]
    fn the_oldest_ranges_give_way() {
        let now = Time::ZERO;
        let mut received = Received::new(now);
        for number in 0..100 {
            received.on_packet(now, number * 2, true, false);
        }
        let ranges = acknowledged(&mut received, now);
        assert_eq!((ranges.len(), ranges[0], ranges[31]), (32, (198, 198), (136, 136)));
        received.on_packet(now, 1, true, false);
        assert_eq!(acknowledged(&mut received, now).len(), 32, "too old to be named");
    }

    #[test]
    fn an_acknowledgement_waits_for_company_but_not_behind_a_gap() {
        let mut now = Time::ZERO;
        let mut received = Received::new(now);
        received.on_packet(now, 0, false, false);
        assert_eq!(received.due(), None, "acknowledgements are not acknowledged");
        received.on_packet(now, 1, true, false);
        assert_eq!(received.due(), Some(now + ACK_DELAY_MAX));
        for number in 2..u64::from(ACK_PACKETS_MAX) {
            now = now + Span::from_micros(10);
            received.on_packet(now, number, true, false);
            assert!(!received.is_due(now));
        }
        received.on_packet(now, 64, true, false);
        assert!(received.is_due(now), "so many packets are company");
        assert_eq!(acknowledged(&mut received, now), [(0, 64)]);
        assert_eq!(received.due(), None);
        received.on_packet(now, 65, true, true);
        assert!(received.is_due(now), "a ping is answered at once");
        acknowledged(&mut received, now);
        for (number, due) in [(67, true), (68, true), (69, true), (70, true), (71, false), (66, true)] {
            received.on_packet(now, number, true, false);
            assert_eq!(received.is_due(now), due, "{number}");
            if due {
                acknowledged(&mut received, now);
            }
        }
    }
}
