//! Of which files of a tree the content is wanted: a list of ranges, short however many files there are.
//!
//! Whoever restores looks first at what stands there already ([`Choice`] gathers ranges from that, in the order of the tree),
//! and the node then leaves out the content of all other files ([`Selection`] goes along with its walk). Where the list would
//! become too long, ranges with the fewest bytes between them become one: some content comes that nobody needs.

use serde::{Deserialize, Serialize};

use crate::base::limits::{SELECTION_BYTES_MAX, SELECTION_RANGES_MAX};

/// Files next to each other in the order of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// The path of the first, components joined by `/`, as the frames of a restore tell it.
    pub first: Vec<u8>,
    /// The path of the last.
    pub last: Vec<u8>,
}

/// Gathers what is wanted, in the order of the tree.
#[derive(Debug, Default)]
pub struct Choice {
    /// In order.
    ranges: Vec<Range>,
    /// Before each of them, bytes that are not wanted and lie between it and the one before.
    gaps: Vec<u64>,
    /// The same behind the last one.
    gap: u64,
    /// Bytes of all paths.
    path_bytes: usize,
}

impl Choice {
    /// The next file is not wanted.
    pub fn leave(&mut self, size: u64) {
        self.gap = self.gap.saturating_add(size);
    }

    /// The next file is wanted.
    pub fn take(&mut self, path: Vec<u8>) {
        let gap = std::mem::take(&mut self.gap);
        match self.ranges.last_mut() {
            Some(range) if gap == 0 => {
                self.path_bytes = self.path_bytes + path.len() - range.last.len();
                range.last = path;
            }
            _ => {
                self.path_bytes += 2 * path.len();
                self.ranges.push(Range { first: path.clone(), last: path });
                self.gaps.push(gap);
            }
        }
        if self.ranges.len() > SELECTION_RANGES_MAX || self.path_bytes > SELECTION_BYTES_MAX {
            self.merge();
        }
    }

    /// The ranges.
    #[must_use]
    pub fn into_ranges(self) -> Vec<Range> {
        self.ranges
    }

    /// Closes half of the gaps: the smallest ones.
    fn merge(&mut self) {
        let mut sorted: Vec<u64> = self.gaps.iter().skip(1).copied().collect();
        sorted.sort_unstable();
        let Some(&middle) = sorted.get(sorted.len() / 2) else { return };
        let (ranges, gaps) = (std::mem::take(&mut self.ranges), std::mem::take(&mut self.gaps));
        for (range, gap) in ranges.into_iter().zip(gaps) {
            match self.ranges.last_mut() {
                Some(before) if gap <= middle => before.last = range.last,
                _ => {
                    self.ranges.push(range);
                    self.gaps.push(gap);
                }
            }
        }
        self.path_bytes = self.ranges.iter().map(|range| range.first.len() + range.last.len()).sum();
    }
}

/// Of which files the content is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentOf {
    /// Of all.
    All,
    /// Of none: entries only.
    None,
    /// Of those in these ranges.
    Some(Vec<Range>),
}

/// Which content a walk over a tree gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// All of it.
    All,
    /// None.
    None,
    /// That of the files in these ranges: keys, and how many of them the walk has left behind.
    Ranges(Vec<(Vec<u8>, Vec<u8>)>, usize),
}

impl Selection {
    /// For a walk whose frames do not tell the start `hidden` of each key (it ends with 0x00, or is nothing).
    #[must_use]
    pub fn of(content: &ContentOf, hidden: &[u8]) -> Self {
        let ranges = match content {
            ContentOf::All => return Self::All,
            ContentOf::None => return Self::None,
            ContentOf::Some(ranges) => ranges,
        };
        let key = |path: &[u8]| {
            let shown = path.iter().map(|byte| if *byte == b'/' { 0 } else { *byte });
            hidden.iter().copied().chain(shown).collect::<Vec<u8>>()
        };
        Self::Ranges(ranges.iter().map(|range| (key(&range.first), key(&range.last))).collect(), 0)
    }

    /// Whether the content of the file at `key` is wanted; asked in the order of the tree.
    pub fn has(&mut self, key: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Ranges(ranges, at) => {
                while ranges.get(*at).is_some_and(|(_, last)| last.as_slice() < key) {
                    *at += 1;
                }
                ranges.get(*at).is_some_and(|(first, _)| first.as_slice() <= key)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of numbered files a selection has.
    fn selected(selection: &mut Selection, files: usize) -> Vec<usize> {
        (0..files).filter(|number| selection.has(format!("a\0d\0{number:05}").as_bytes())).collect()
    }

    /// The selection of the numbered files that are wanted.
    fn chosen(files: usize, size: u64, wanted: impl Fn(usize) -> bool) -> (usize, Selection) {
        let mut choice = Choice::default();
        for number in 0..files {
            if wanted(number) {
                choice.take(format!("d/{number:05}").into_bytes());
            } else {
                choice.leave(size * u64::try_from(number).unwrap());
            }
        }
        let ranges = choice.into_ranges();
        (ranges.len(), Selection::of(&ContentOf::Some(ranges.clone()), b"a\0"))
    }

    #[test]
    fn exactly_what_is_wanted_is_selected_as_long_as_the_list_is_short() {
        let wanted = |number: usize| number % 7 < 3 || number > 95;
        let (ranges, mut selection) = chosen(100, 1, wanted);
        assert_eq!(ranges, 15);
        assert_eq!(selected(&mut selection, 100), (0..100).filter(|&n| wanted(n)).collect::<Vec<_>>());
        let (ranges, mut selection) = chosen(100, 1, |_| false);
        assert_eq!((ranges, selected(&mut selection, 100).len()), (0, 0));
        assert_eq!(selected(&mut Selection::All, 9).len(), 9);
        assert_eq!(selected(&mut Selection::None, 9).len(), 0);
    }

    #[test]
    fn empty_files_between_wanted_ones_make_no_new_range() {
        assert_eq!(chosen(1_000, 0, |number| number % 2 == 0).0, 1);
    }

    #[test]
    fn a_list_that_becomes_too_long_gives_up_its_smallest_gaps_and_loses_nothing() {
        let files = 10 * SELECTION_RANGES_MAX;
        let (ranges, mut selection) = chosen(files, 1, |number| number % 2 == 0);
        assert!(ranges <= SELECTION_RANGES_MAX, "{ranges}");
        let got = selected(&mut selection, files);
        assert!((0..files).step_by(2).all(|number| got.binary_search(&number).is_ok()));
        let late = got.iter().filter(|&&number| number % 2 == 1).count();
        assert!(late < files / 2, "the largest gaps are still left out");
    }

    #[test]
    fn long_paths_count_too() {
        let mut choice = Choice::default();
        for number in 0..2_000 {
            choice.take([format!("{number:05}").as_bytes(), &[b'x'; 3_000]].concat());
            choice.leave(number + 1);
        }
        let bytes: usize =
            choice.into_ranges().iter().map(|range| range.first.len() + range.last.len()).sum();
        assert!(bytes <= SELECTION_BYTES_MAX, "{bytes}");
    }
}
