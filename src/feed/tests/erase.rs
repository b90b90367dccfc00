//! Erasing early, told as stories. That order changes nothing is shown in [`super::order`].

use super::view::snapshot;
use crate::base::ids::{NodeId, SnapshotId};
use crate::base::limits::{ERASED_PER_ENTRY_MAX, ERASED_PER_FEED_MAX};
use crate::feed::entry::{snapshot_id, Body, Checkpoint, Erase, Erased, Head, Role, Standing};
use crate::feed::view::View;
use crate::feed::writer::Writer;

/// A vault of a writer with two snapshots, another full node and a store node.
struct House {
    view: View,
    root: Writer,
    writer: Writer,
    other: Writer,
    store: Writer,
    ids: Vec<SnapshotId>,
    /// How far the writer's feed went with its snapshots.
    until: Head,
}

impl House {
    fn new() -> Self {
        let (mut root, mut writer, other, store) =
            (Writer::new(1), Writer::new(2), Writer::new(3), Writer::new(4));
        let mut view = View::new(root.public());
        for (who, role) in [(&writer, Role::Full), (&other, Role::Full), (&store, Role::Store)] {
            view.apply(&root.admit(who, role)).unwrap();
        }
        let made = |view: &mut View, writer: &mut Writer, taken| {
            snapshot_id(&view.apply(&writer.write(snapshot(1, taken))).unwrap().hash)
        };
        let ids = (0..2).map(|taken| made(&mut view, &mut writer, taken)).collect();
        let until = writer.head();
        Self { view, root, writer, other, store, ids, until }
    }

    /// The writer says which of its two snapshots stand.
    fn checkpoint(&mut self, version: u64, standing: &[u64]) {
        let standing = standing.iter().map(|at| Standing { sequence: *at, held: true }).collect();
        let body = Body::Checkpoint(Checkpoint { until: self.until, from: 0, version, standing });
        self.view.apply(&self.writer.write(body)).unwrap();
    }

    /// Whose words count on the first snapshot.
    fn words(&self) -> Vec<NodeId> {
        self.view.erased_by(&self.ids[0]).into_iter().collect()
    }
}

/// A word on the snapshot.
fn erase(snapshot: SnapshotId, version: u64) -> Body {
    Body::Erase(Erase { snapshots: vec![Erased { snapshot, version }] })
}

#[test]
fn a_word_counts_while_the_snapshot_is_retired_and_of_one_that_stands_never() {
    let mut house = House::new();
    let (id, version) = (house.ids[0], 1);
    assert_eq!(house.view.erasable(&id), None, "it stands");
    let early = house.view.apply(&house.other.write(erase(id, version))).unwrap();
    assert!(!early.counts && house.words().is_empty());
    assert_eq!(house.view.erased().count(), 0);
    house.checkpoint(1, &[1]);
    assert_eq!(house.words(), [house.other.node()], "it came before the Checkpoint, and counts now");
    assert_eq!(house.view.erasable(&id), Some(Erased { snapshot: id, version }));
    assert!(house.view.erased_by(&house.ids[1]).is_empty(), "the other one stands");
    assert!(house.view.apply(&house.writer.write(erase(id, version))).unwrap().counts);
    assert_eq!(house.words().len(), 2);
    // Its own word a second time is no second word.
    house.view.apply(&house.writer.write(erase(id, version))).unwrap();
    assert_eq!(house.words().len(), 2);
}

#[test]
fn whoever_takes_a_snapshot_back_wins_over_all_words_that_did_not_know_of_it() {
    let mut house = House::new();
    let id = house.ids[0];
    house.checkpoint(1, &[1]);
    house.view.apply(&house.other.write(erase(id, 1))).unwrap();
    house.view.apply(&house.root.write(erase(id, 1))).unwrap();
    assert_eq!(house.words().len(), 2);
    house.checkpoint(2, &[0, 1]);
    assert!(house.words().is_empty(), "it stands");
    house.checkpoint(3, &[1]);
    assert!(house.words().is_empty(), "it is retired again, and needs new words");
    // A later Checkpoint that goes on leaving it out takes nothing away.
    house.view.apply(&house.other.write(erase(id, 3))).unwrap();
    house.checkpoint(4, &[1]);
    assert_eq!(house.words(), [house.other.node()]);
    assert_eq!(house.view.erasable(&id).map(|erased| erased.version), Some(4));
}

#[test]
fn the_words_of_store_nodes_of_strangers_and_of_removed_nodes_are_void() {
    let mut house = House::new();
    let id = house.ids[0];
    house.checkpoint(1, &[1]);
    assert!(!house.view.apply(&house.store.write(erase(id, 1))).unwrap().counts);
    assert!(house.view.apply(&Writer::new(9).write(erase(id, 1))).is_err());
    assert!(house.words().is_empty());
    assert!(house.view.apply(&house.other.write(erase(id, 1))).unwrap().counts);
    let (other, head) = (house.other.node(), house.other.head());
    house.view.apply(&house.root.remove(other, vec![head])).unwrap();
    assert!(house.words().is_empty(), "also what it said in its time");
    assert!(house.view.apply(&house.root.write(erase(id, 1))).unwrap().counts);
    assert_eq!(house.words(), [house.view.roster().root()]);
}

#[test]
fn of_each_feed_no_more_words_are_kept_than_may_be() {
    let mut house = House::new();
    house.checkpoint(1, &[1]);
    let number = |number: usize| {
        let mut id = [7; 32];
        id[..8].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
        Erased { snapshot: SnapshotId::from_bytes(id), version: 1 }
    };
    for entry in 0..ERASED_PER_FEED_MAX / ERASED_PER_ENTRY_MAX {
        let first = entry * ERASED_PER_ENTRY_MAX;
        let snapshots = (first..first + ERASED_PER_ENTRY_MAX).map(number).collect();
        house.view.apply(&house.other.write(Body::Erase(Erase { snapshots }))).unwrap();
    }
    assert!(!house.view.has_room_to_erase(&house.other.feed, 1));
    assert!(!house.view.apply(&house.other.write(erase(house.ids[0], 1))).unwrap().counts);
    assert!(house.words().is_empty());
    house.view.apply(&house.other.begin(5)).unwrap();
    assert!(house.view.apply(&house.other.write(erase(house.ids[0], 1))).unwrap().counts);
}
