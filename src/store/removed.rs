//! Which segments are no longer part of the log, though later ones are.
//!
//! Owns the list that the log states of itself: at the beginning of every segment, and whenever a segment is compacted away. So open can
//! tell a segment that is gone on purpose from one that was lost. Refuses to name files: that is `log.rs`.

use super::segment::{u32_at, u64_at, Frame};
use crate::base::limits::REMOVED_STRETCHES_MAX;

/// Segments that are not part of the log any more: stretches of numbers, ascending, never touching.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    /// The stretches.
    stretches: Vec<Stretch>,
}

/// Segments that follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    /// The first of them ...
    first: u32,
    /// ... and the last.
    last: u32,
    /// How much of the segment before the first is part of the log; [`UNKNOWN`]: all that is there.
    end_before: u64,
}

/// Length of a stretch in a frame.
const STRETCH_BYTES: usize = 16;
/// The end of a segment whose successor could not tell it any more.
pub(super) const UNKNOWN: u64 = u64::MAX;

impl Removed {
    /// Adds a segment. `end_before` is how much of the one before counts.
    pub fn insert(&mut self, segment: u32, end_before: u64) {
        if self.contains(segment) {
            return;
        }
        let place = self.stretches.partition_point(|stretch| stretch.last < segment);
        let mut added = Stretch { first: segment, last: segment, end_before };
        if let Some(next) = self.stretches.get(place).filter(|next| next.first - 1 == segment) {
            added.last = next.last;
            self.stretches.remove(place);
        }
        let before = place.checked_sub(1).and_then(|place| self.stretches.get_mut(place));
        match before {
            Some(before) if before.last + 1 == segment => before.last = added.last,
            _ => self.stretches.insert(place, added),
        }
    }

    /// Whether that segment was removed.
    #[must_use]
    pub fn contains(&self, segment: u32) -> bool {
        let place = self.stretches.partition_point(|stretch| stretch.last < segment);
        self.stretches.get(place).is_some_and(|stretch| stretch.first <= segment)
    }

    /// How much of `segment` counts, if the one after it was removed and told that.
    #[must_use]
    pub fn end_of(&self, segment: u32) -> Option<u64> {
        let next = segment.checked_add(1)?;
        let place = self.stretches.partition_point(|stretch| stretch.first < next);
        let stretch = self.stretches.get(place).filter(|stretch| stretch.first == next)?;
        (stretch.end_before != UNKNOWN).then_some(stretch.end_before)
    }

    /// The last of them.
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        self.stretches.last().map(|stretch| stretch.last)
    }

    /// Whether another segment can be added without exceeding what a frame holds.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.stretches.len() < REMOVED_STRETCHES_MAX
    }

    /// All removed segments up to `last` that are not in `present` (ascending), each with whether it is known to be removed.
    pub fn holes<'a>(&'a self, present: &'a [u32]) -> impl Iterator<Item = (u32, bool)> + 'a {
        let mut present = present.iter().copied();
        let mut from = 0;
        std::iter::from_fn(move || present.next().map(|next| (std::mem::replace(&mut from, next + 1), next)))
            .flat_map(|(from, to)| from..to)
            .map(|missing| (missing, self.contains(missing)))
    }

    /// The body of a frame.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.stretches.len() * STRETCH_BYTES);
        for stretch in &self.stretches {
            body.extend_from_slice(&stretch.first.to_le_bytes());
            body.extend_from_slice(&stretch.last.to_le_bytes());
            body.extend_from_slice(&stretch.end_before.to_le_bytes());
        }
        body
    }

    /// Reads the body of a frame; `None` if it is none.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        if body.len() % STRETCH_BYTES != 0 || body.len() / STRETCH_BYTES > REMOVED_STRETCHES_MAX {
            return None;
        }
        let stretches: Vec<Stretch> = body
            .chunks_exact(STRETCH_BYTES)
            .map(|one| Stretch { first: u32_at(one, 0), last: u32_at(one, 4), end_before: u64_at(one, 8) })
            .collect();
        let ordered = stretches.iter().all(|one| one.first <= one.last)
            && stretches
                .windows(2)
                .all(|pair| pair[0].last.checked_add(1).is_some_and(|end| end < pair[1].first));
        ordered.then_some(Self { stretches })
    }
}

const _: () = assert!(REMOVED_STRETCHES_MAX * STRETCH_BYTES <= crate::base::limits::SEALED_BYTES_MAX);

/// The frame of a list of removed segments.
pub(super) fn removed_frame(body: &[u8]) -> Frame {
    Frame::removed(u32::try_from(body.len()).expect("the list is bounded by the length of a chunk"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one_stretch_and_keep_what_the_first_one_told() {
        let mut removed = Removed::default();
        for (segment, end_before) in [(5, 50), (7, 70), (2, 20), (6, 60), (1, 10), (5, 99)] {
            removed.insert(segment, end_before);
        }
        assert_eq!(removed.stretches.len(), 2);
        assert_eq!(
            (removed.end_of(0), removed.end_of(4), removed.end_of(5), removed.end_of(7)),
            (Some(10), Some(50), None, None)
        );
        let holes: Vec<_> = removed.holes(&[0, 3, 9]).collect();
        let expected = [(1, true), (2, true), (4, false), (5, true), (6, true), (7, true), (8, false)];
        assert_eq!(holes, expected);
        assert_eq!(Removed::decode(&removed.encode()), Some(removed));
    }

    #[test]
    fn golden_bytes_of_the_body() {
        let mut removed = Removed::default();
        removed.insert(3, 0x0400_0000);
        removed.insert(4, 1);
        let golden = [
            "03000000",         // from segment 3 ...
            "04000000",         // ... to segment 4
            "0000000400000000", // how much of segment 2 counts
        ];
        assert_eq!(crate::base::ids::hex(&removed.encode()), golden.concat());
    }

    #[test]
    fn any_bytes_are_a_list_or_none() {
        let two = |first: [u32; 2], second: [u32; 2]| {
            let mut body = Vec::new();
            for [from, to] in [first, second] {
                body.extend([from.to_le_bytes(), to.to_le_bytes(), [0; 4], [0; 4]].concat());
            }
            Removed::decode(&body)
        };
        assert!(two([1, 2], [4, 4]).is_some());
        for (first, second) in [([1, 2], [3, 4]), ([2, 1], [5, 6]), ([4, 5], [1, 2]), ([1, u32::MAX], [5, 5])]
        {
            assert_eq!(two(first, second), None);
        }
        assert_eq!(Removed::decode(&[0; 17]), None);
        assert!(Removed::default().encode().is_empty());
    }
}
