//! The smallest of many names, in bounded memory: what one pass over a directory keeps.

/// The smallest of the names pushed, sorted, in one buffer.
#[derive(Debug)]
pub struct Names {
    /// All names, one behind the other.
    bytes: Vec<u8>,
    /// Where each name begins and how long it is.
    index: Vec<(u32, u16)>,
    /// Bytes kept at the end, each name counted with its place in the index; at most twice that before.
    budget: usize,
    /// Only smaller names are of interest.
    below: Option<Vec<u8>>,
    /// Names were pushed that are not kept.
    cut_off: bool,
}

/// What one place in the index takes, in bytes.
const INDEX_BYTES: usize = 8;

impl Names {
    /// Keeps at most `budget` bytes.
    #[must_use]
    pub const fn new(budget: usize) -> Self {
        Self { bytes: Vec::new(), index: Vec::new(), budget, below: None, cut_off: false }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.index.clear();
        self.below = None;
        self.cut_off = false;
    }

    /// How many names are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Names were pushed that are not kept.
    #[must_use]
    pub const fn is_cut_off(&self) -> bool {
        self.cut_off
    }

    /// The name at a position.
    #[must_use]
    pub fn name(&self, position: usize) -> &[u8] {
        self.at(self.index[position])
    }

    /// The name at a place.
    fn at(&self, (start, length): (u32, u16)) -> &[u8] {
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        &self.bytes[start..start + usize::from(length)]
    }

    /// Takes a name into account.
    pub fn push(&mut self, name: &[u8]) {
        if self.below.as_deref().is_some_and(|below| name >= below) {
            self.cut_off = true;
            return;
        }
        let (Ok(start), Ok(length)) = (u32::try_from(self.bytes.len()), u16::try_from(name.len())) else {
            return; // no file system has names of 64 KiB, and the buffer is trimmed at 2 MiB
        };
        self.bytes.extend_from_slice(name);
        self.index.push((start, length));
        if self.weight() > self.budget.saturating_mul(2) {
            self.trim();
        }
    }

    /// What is kept now, in bytes.
    fn weight(&self) -> usize {
        self.bytes.len() + self.index.len() * INDEX_BYTES
    }

    /// Sorts, and keeps what the budget allows (at least one name).
    fn trim(&mut self) {
        let mut index = std::mem::take(&mut self.index);
        index.sort_unstable_by(|&left, &right| self.at(left).cmp(self.at(right)));
        index.dedup_by(|left, right| self.at(*left) == self.at(*right));
        let mut weight = 0;
        let fitting = index
            .iter()
            .take_while(|(_, length)| {
                weight += usize::from(*length) + INDEX_BYTES;
                weight <= self.budget
            })
            .count()
            .max(1)
            .min(index.len());
        if fitting < index.len() {
            self.cut_off = true;
            index.truncate(fitting);
            self.below = index.last().map(|&place| self.at(place).to_vec());
        }
        let mut bytes = Vec::with_capacity(index.iter().map(|&(_, length)| usize::from(length)).sum());
        for place in &mut index {
            let start = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            bytes.extend_from_slice(self.at(*place));
            place.0 = start;
        }
        self.bytes = bytes;
        self.index = index;
    }

    /// All names were pushed.
    pub fn finish(&mut self) {
        self.trim();
        self.index.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_smallest_names_are_kept(
            names in proptest::collection::btree_set(proptest::collection::vec(1_u8.., 1..6), 1..60),
            budget in 1_usize..200,
            shift in 0_usize..60,
        ) {
            let sorted: Vec<Vec<u8>> = names.into_iter().collect();
            let mut kept = Names::new(budget);
            for position in 0..sorted.len() {
                kept.push(&sorted[(position * 37 + shift) % sorted.len()]);
            }
            for name in &sorted {
                kept.push(name); // a directory that changes may give a name twice
            }
            kept.finish();
            let found: Vec<Vec<u8>> = (0..kept.len()).map(|position| kept.name(position).to_vec()).collect();
            prop_assert_eq!(&found[..], &sorted[..found.len()]);
            prop_assert!(!found.is_empty());
            prop_assert_eq!(kept.cut_off, found.len() < sorted.len());
            prop_assert!(kept.weight() <= budget.max(14));
        }
    }
}
