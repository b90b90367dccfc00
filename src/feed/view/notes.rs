//! The newest notes of a vault, as the feeds have them. Bounded: which of them are here depends on what was written, not on
//! the order in which it arrived, so that all nodes keep the same. Opens nothing.

use super::{NoteFact, View};
use crate::base::ids::EntryHash;
use crate::base::limits::NOTES_MAX;
use crate::base::units::WallTime;
use crate::feed::entry::{Entry, Note, Role};
use std::collections::BTreeMap;

/// The newest notes, by what their writers' clocks showed; of one moment, by hash.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes(BTreeMap<(WallTime, EntryHash), NoteFact>);

impl View {
    /// Takes a note. Where there are too many the oldest goes; sooner one that does not count (any more).
    pub(super) fn take_note(&mut self, entry: &Entry, note: &Note, hash: EntryHash) {
        let fact = NoteFact {
            writer: entry.feed.node,
            feed: entry.feed,
            sequence: entry.sequence,
            hash,
            wall: entry.wall,
            sealed: note.sealed.clone(),
        };
        self.notes.0.insert((entry.wall, hash), fact);
        if self.notes.0.len() > NOTES_MAX {
            let void = self.notes.0.iter().find(|(_, fact)| !self.note_counts(fact)).map(|(key, _)| *key);
            match void {
                Some(key) => drop(self.notes.0.remove(&key)),
                None => drop(self.notes.0.pop_first()),
            }
        }
    }

    /// The newest notes that count, oldest first.
    pub fn notes(&self) -> impl Iterator<Item = &NoteFact> {
        self.notes.0.values().filter(|fact| self.note_counts(fact))
    }

    /// Whether a note was written by a full node within its time as a member.
    fn note_counts(&self, fact: &NoteFact) -> bool {
        let roster = self.roster();
        roster.role_of(&fact.writer) == Some(Role::Full) && roster.is_within(&fact.feed, fact.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::entry::{Body, Head};
    use crate::feed::writer::Writer;

    /// Writes a note; its bytes.
    fn note(writer: &mut Writer) -> Vec<u8> {
        writer.write(Body::Note(Note { sealed: vec![7] }))
    }

    #[test]
    fn the_newest_notes_are_the_same_in_whatever_order_feeds_arrive() {
        let (mut root, mut one, mut other) = (Writer::new(1), Writer::new(2), Writer::new(3));
        let admits = [root.admit(&one, Role::Full), root.admit(&other, Role::Full)];
        let ones: Vec<Vec<u8>> = (0..NOTES_MAX).map(|_| note(&mut one)).collect();
        let others: Vec<Vec<u8>> = (0..NOTES_MAX).map(|_| note(&mut other)).collect();
        let hashes = |orders: [&[Vec<u8>]; 2]| {
            let mut view = View::new(root.public());
            for bytes in admits.iter().chain(orders.into_iter().flatten()) {
                view.apply(bytes).unwrap();
            }
            view.notes().map(|fact| (fact.wall, fact.hash)).collect::<Vec<_>>()
        };
        let kept = hashes([&ones, &others]);
        assert_eq!(kept.len(), NOTES_MAX);
        assert!(kept
            .iter()
            .all(|(wall, _)| wall.as_micros() >= 1_000_000 * i64::try_from(NOTES_MAX / 2).unwrap()));
        assert_eq!(hashes([&others, &ones]), kept);
    }

    #[test]
    fn notes_of_a_store_node_and_of_who_was_removed_before_do_not_count() {
        let (mut root, mut full, mut store) = (Writer::new(1), Writer::new(2), Writer::new(3));
        let mut view = View::new(root.public());
        view.apply(&root.admit(&full, Role::Full)).unwrap();
        view.apply(&root.admit(&store, Role::Store)).unwrap();
        assert!(!view.apply(&note(&mut store)).unwrap().counts);
        view.apply(&note(&mut full)).unwrap();
        let head: Head = view.head(&full.feed).unwrap();
        view.apply(&note(&mut full)).unwrap();
        assert_eq!(view.notes().count(), 2);
        view.apply(&root.remove(full.node(), vec![head])).unwrap();
        assert_eq!(view.notes().map(|fact| fact.sequence).collect::<Vec<_>>(), [0]);
        for _ in 0..NOTES_MAX * 2 {
            view.apply(&note(&mut full)).unwrap();
        }
        assert_eq!(view.notes().count(), 1, "what does not count takes nobody's place");
    }
}
