//! Sets of stream offsets as sorted ranges: what was acknowledged, what is lost, what has arrived beyond a gap.
//!
//! Owns the merging. Refuses to bound itself: the caller knows why its set cannot grow too far, and asks [`len`] before
//! it inserts. Memory is reused; a set that has reached its size allocates no more.
//!
//! [`len`]: RangeSet::len

use std::collections::VecDeque;

/// A set of `u64` as half-open ranges, sorted, apart from each other, none empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// (start, end) pairs.
    ranges: VecDeque<(u64, u64)>,
}

impl RangeSet {
    /// How many ranges there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The lowest range.
    #[must_use]
    pub fn first(&self) -> Option<(u64, u64)> {
        self.ranges.front().copied()
    }

    /// The end of the highest range; 0 if there is none.
    #[must_use]
    pub fn last_end(&self) -> u64 {
        self.ranges.back().map_or(0, |range| range.1)
    }

    /// Bytes of memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.ranges.capacity() * size_of::<(u64, u64)>()
    }

    /// The ranges, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.ranges.iter().copied()
    }

    /// Adds `start..end`.
    pub fn insert(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let low = self.ranges.partition_point(|range| range.1 < start);
        let high = self.ranges.partition_point(|range| range.0 <= end);
        if low == high {
            self.ranges.insert(low, (start, end));
            return;
        }
        let merged = (start.min(self.ranges[low].0), end.max(self.ranges[high - 1].1));
        self.ranges[low] = merged;
        if high - low > 1 {
            self.ranges.drain(low + 1..high);
        }
    }

    /// Takes `start..end` out.
    pub fn remove(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let low = self.ranges.partition_point(|range| range.1 <= start);
        let high = self.ranges.partition_point(|range| range.0 < end);
        if low >= high {
            return;
        }
        let left = (self.ranges[low].0, start);
        let right = (end, self.ranges[high - 1].1);
        match (left.0 < left.1, right.0 < right.1) {
            (true, true) if high - low == 1 => {
                self.ranges[low] = left;
                self.ranges.insert(low + 1, right);
            }
            (keep_left, keep_right) => {
                let mut from = low;
                let mut to = high;
                if keep_left {
                    self.ranges[low] = left;
                    from += 1;
                }
                if keep_right {
                    self.ranges[high - 1] = right;
                    to -= 1;
                }
                self.ranges.drain(from..to);
            }
        }
    }

    /// Takes out all of `start..end` that `other` has.
    pub fn remove_common(&mut self, other: &Self, start: u64, end: u64) {
        let low = other.ranges.partition_point(|range| range.1 <= start);
        for &(from, to) in other.ranges.range(low..) {
            if from >= end {
                break;
            }
            self.remove(from.max(start), to.min(end));
        }
    }

    /// Takes out the lowest range, or the first `length_max` of it.
    pub fn take_first(&mut self, length_max: u64) -> Option<(u64, u64)> {
        let first = self.ranges.front_mut()?;
        let (start, end) = *first;
        if end - start <= length_max {
            self.ranges.pop_front();
            return Some((start, end));
        }
        first.0 = start + length_max;
        Some((start, start + length_max))
    }

    /// Takes out all below `offset`.
    pub fn remove_below(&mut self, offset: u64) {
        while let Some(first) = self.ranges.front_mut() {
            if first.1 > offset {
                first.0 = first.0.max(offset);
                break;
            }
            self.ranges.pop_front();
        }
    }

    /// Whether adding `start..end` would make a range of its own.
    #[must_use]
    pub fn is_apart(&self, start: u64, end: u64) -> bool {
        let low = self.ranges.partition_point(|range| range.1 < start);
        self.ranges.get(low).is_none_or(|range| range.0 > end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    /// The set as a list of booleans.
    fn as_bits(set: &RangeSet) -> Vec<bool> {
        let mut bits = vec![false; 64];
        let mut last_end = None;
        for (start, end) in set.iter() {
            assert!(start < end && last_end.is_none_or(|last| last < start), "sorted and apart: {set:?}");
            last_end = Some(end);
            for offset in start..end {
                bits[usize::try_from(offset).expect("small")] = true;
            }
        }
        bits
    }

    proptest! {
        #[test]
        fn a_range_set_is_a_set(steps in prop::collection::vec((any::<u8>(), 0_u64..64, 0_u64..64), 1..60)) {
            let mut set = RangeSet::default();
            let mut model = vec![false; 64];
            for (step, a, b) in steps {
                let (start, end) = (a.min(b), a.max(b));
                let places = usize::try_from(start).expect("small")..usize::try_from(end).expect("small");
                match step % 4 {
                    0 | 1 => {
                        let apart = set.is_apart(start, end);
                        let count = set.len();
                        set.insert(start, end);
                        model[places].fill(true);
                        if start < end {
                            assert_eq!(apart, set.len() == count + 1);
                        }
                    }
                    2 => {
                        set.remove(start, end);
                        model[places].fill(false);
                    }
                    _ => {
                        let mut other = RangeSet::default();
                        other.insert(start, start + 3);
                        other.insert(start + 5, end);
                        set.remove_common(&other, start, end);
                        for offset in other.iter().flat_map(|(from, to)| from..to.min(end)) {
                            model[usize::try_from(offset).expect("small")] = false;
                        }
                    }
                }
                assert_eq!(as_bits(&set), model);
            }
            if let Some((start, _)) = set.first() {
                let taken = set.take_first(2).expect("not empty");
                assert!(taken.0 == start && taken.1 - taken.0 <= 2);
                set.remove_below(start + 10);
                assert!(set.first().is_none_or(|(next, _)| next >= start + 10));
            }
        }
    }
}
