//! Which key is meant by a name that none has. Owns the distance between words.

use super::{Key, KEYS};

/// The key with this name.
#[must_use]
pub fn key_named(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// The key whose name is nearest to `name`, by the whole name or by its last part.
///
/// # Panics
/// Never: the table is not empty.
#[must_use]
pub fn nearest_key(name: &str) -> &'static Key {
    let (section, leaf) = name.split_once('.').unwrap_or(("", name));
    let by_leaf = |key: &Key| {
        edit_distance(leaf, key.leaf())
            + if section.is_empty() { 1 } else { edit_distance(section, key.section()) }
    };
    let by_section = |key: &Key| edit_distance(name, key.section()) + 1;
    KEYS.iter().min_by_key(|key| by_leaf(key).min(by_section(key))).expect("KEYS has rows")
}

/// How many insertions, deletions and replacements of a character lead from one text to the other (Levenshtein).
#[must_use]
pub fn edit_distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, character) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(character != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}
