//! Small maps and sets, gathered one by one. `collect` sorts what it gathers first, and each kind of sorting is 5 kB of the program: more than
//! it saves where there are a few entries.

use std::collections::{BTreeMap, BTreeSet};

/// A map of these; of equal keys the last one stays.
pub fn map<K: Ord, V>(pairs: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    for (key, value) in pairs {
        map.insert(key, value);
    }
    map
}

/// A set of these.
pub fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    for item in items {
        set.insert(item);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gathered_is_what_would_be_collected() {
        let pairs = [(3, 'a'), (1, 'b'), (3, 'c')];
        assert_eq!(map(pairs), pairs.into_iter().collect());
        assert_eq!(set([2, 1, 2]), BTreeSet::from([1, 2]));
    }
}
