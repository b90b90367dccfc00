//! Messages that were withdrawn before all of them was sent: the parts of a stream that the receiver is to skip.
//!
//! Owns which of these parts are ahead of what is sent, which are to be told, and which are on their way. Refuses to know
//! messages and credit: [`super::send`] does.

use super::ranges::RangeSet;
use std::collections::VecDeque;

/// Where a withdrawn part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// What is sent has not come to it: what is withdrawn beside it joins it.
    Ahead,
    /// It is to be told.
    Due,
    /// It was told, and may be lost.
    Told,
}

/// A withdrawn part of a stream.
#[derive(Debug)]
struct Part {
    /// Where it begins: a message does, too.
    start: u64,
    /// The offset behind it.
    end: u64,
    /// Where it is.
    stage: Stage,
}

/// The withdrawn parts of one lane, in the order of their offsets, until the receiver is known to know them.
#[derive(Debug, Default)]
pub struct Withdrawn {
    /// They.
    parts: VecDeque<Part>,
}

impl Withdrawn {
    /// A message from `start` to `end` is withdrawn; `begun`: a part of it was sent.
    pub fn add(&mut self, start: u64, end: u64, begun: bool) {
        let place = self.parts.partition_point(|part| part.start < start);
        let ahead = |part: Option<&Part>| part.is_some_and(|part| part.stage == Stage::Ahead);
        let stage = if begun { Stage::Due } else { Stage::Ahead };
        let mut added = Part { start, end, stage };
        let mut from = place;
        if !begun && place > 0 {
            let before = self.parts.get(place - 1);
            if ahead(before) && before.is_some_and(|part| part.end == start) {
                from = place - 1;
                added.start = self.parts[from].start;
            }
        }
        let mut to = place;
        if ahead(self.parts.get(place)) && self.parts[place].start == end {
            added.end = self.parts[place].end;
            to = place + 1;
        }
        self.parts.drain(from..to);
        self.parts.insert(from, added);
    }

    /// What is sent has come to `sent`: where it goes on, behind parts that begin there.
    pub fn pass(&mut self, mut sent: u64) -> u64 {
        for part in &mut self.parts {
            if part.stage == Stage::Ahead && part.start <= sent {
                part.stage = Stage::Due;
                sent = sent.max(part.end);
            } else {
                // One that was begun took in the one behind it.
                sent = if part.start <= sent { sent.max(part.end) } else { sent };
            }
        }
        sent
    }

    /// Where the next part ahead begins.
    pub fn ahead(&self) -> u64 {
        self.parts.iter().find(|part| part.stage == Stage::Ahead).map_or(u64::MAX, |part| part.start)
    }

    /// Whether any is to be told.
    pub fn is_due(&self) -> bool {
        self.parts.iter().any(|part| part.stage == Stage::Due)
    }

    /// The next to be told, which counts as told.
    pub fn take(&mut self) -> Option<(u64, u64)> {
        let part = self.parts.iter_mut().find(|part| part.stage == Stage::Due)?;
        part.stage = Stage::Told;
        Some((part.start, part.end))
    }

    /// The receiver knows the part that begins at `start`: its end, if that is news.
    pub fn on_acked(&mut self, start: u64) -> Option<u64> {
        let place = self.parts.binary_search_by_key(&start, |part| part.start).ok()?;
        self.parts.remove(place).map(|part| part.end)
    }

    /// The packet that told the part that begins at `start` is lost.
    pub fn on_lost(&mut self, start: u64) {
        for part in self.parts.iter_mut().filter(|part| part.start == start) {
            part.stage = Stage::Due;
        }
    }

    /// What is withdrawn is not sent again.
    pub fn exclude_from(&self, lost: &mut RangeSet) {
        for part in &self.parts {
            lost.remove(part.start, part.end);
        }
    }
}
