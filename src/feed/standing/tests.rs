//! Retirement, told as stories. That order changes nothing is shown in [`crate::feed::order_tests`].

use crate::base::ids::SnapshotId;
use crate::base::units::Span;
use crate::feed::entry::{snapshot_id, Body, Checkpoint, Head, Role, Standing};
use crate::feed::tests::view::snapshot;
use crate::feed::view::View;
use crate::feed::writer::Writer;

/// A root, two full nodes, the second of which has written three snapshots.
fn household() -> (View, Writer, Writer, Writer, Vec<SnapshotId>) {
    let (mut root, mut writer, other) = (Writer::new(1), Writer::new(2), Writer::new(3));
    let mut view = View::new(root.public());
    for who in [&writer, &other] {
        view.apply(&root.admit(who, Role::Full)).unwrap();
    }
    let made = |view: &mut View, writer: &mut Writer, taken| {
        snapshot_id(&view.apply(&writer.write(snapshot(1, taken))).unwrap().hash)
    };
    let ids = (0..3).map(|taken| made(&mut view, &mut writer, taken)).collect();
    (view, root, writer, other, ids)
}

/// A Checkpoint of all of a feed so far, in which these places stand.
fn checkpoint(until: Head, version: u64, standing: &[u64]) -> Body {
    let standing =
        standing.iter().map(|sequence| Standing { sequence: *sequence, held: *sequence == 1 }).collect();
    Body::Checkpoint(Checkpoint { until, from: 0, version, standing })
}

fn standing(view: &View) -> Vec<SnapshotId> {
    view.snapshots().map(|fact| fact.id).collect()
}

#[test]
fn what_the_writer_does_not_list_is_retired_until_it_is_listed_again() {
    let (mut view, _, mut writer, _, ids) = household();
    let until = writer.head();
    assert!(view.apply(&writer.write(checkpoint(until, 1, &[1]))).unwrap().counts);
    assert_eq!(standing(&view), [ids[1]]);
    assert_eq!(view.retired().count(), 2);
    assert!(view.is_held(&ids[1]) && view.snapshot(&ids[0]).is_some(), "the entries stay");
    // What came later is not spoken of.
    view.apply(&writer.write(snapshot(1, 9))).unwrap();
    assert_eq!(standing(&view).len(), 2);
    view.apply(&writer.write(checkpoint(until, 2, &[0, 1]))).unwrap();
    assert_eq!(standing(&view)[..2], ids[..2]);
    assert_eq!(view.checkpoint_version(&writer.feed), 2);
    // An older word that comes late changes nothing.
    view.apply(&writer.write(checkpoint(until, 1, &[]))).unwrap();
    assert_eq!(standing(&view)[..2], ids[..2]);
}

#[test]
fn nobody_retires_what_another_member_wrote() {
    let (mut view, mut root, writer, mut other, ids) = household();
    assert!(!view.apply(&other.write(checkpoint(writer.head(), 1, &[]))).unwrap().counts);
    assert!(!view.apply(&root.write(checkpoint(writer.head(), 1, &[]))).unwrap().counts);
    assert_eq!(standing(&view), ids);
    // Once the writer was removed, what a full node said of its feed counts; a higher version takes it back.
    view.apply(&root.remove(writer.node(), vec![writer.head()])).unwrap();
    assert_eq!(view.retired().count(), 3);
    view.apply(&other.write(checkpoint(writer.head(), 2, &[2]))).unwrap();
    assert_eq!(standing(&view), [ids[2]]);
}

#[test]
fn no_version_is_so_great_that_what_it_retires_could_not_be_taken_back() {
    let (mut view, mut root, writer, other, ids) = household();
    let third = Writer::new(4);
    view.apply(&root.admit(&third, Role::Full)).unwrap();
    view.apply(&root.remove(writer.node(), vec![writer.head()])).unwrap();
    // Whichever of the two has the greater feed.
    for (evil, good) in [(0, 1), (1, 0)] {
        let mut view = view.clone();
        let mut both = [other.clone(), third.clone()];
        view.apply(&both[evil].write(checkpoint(writer.head(), u64::MAX, &[]))).unwrap();
        assert_eq!(view.retired().count(), 3);
        let version = view.checkpoint_version(&writer.feed).saturating_add(1);
        view.apply(&both[good].write(checkpoint(writer.head(), version, &[0, 1]))).unwrap();
        assert_eq!(standing(&view), ids[..2]);
        view.apply(&both[evil].write(checkpoint(writer.head(), u64::MAX, &[]))).unwrap();
        assert_eq!(standing(&view), ids[..2], "it cannot be retired once more");
    }
}

#[test]
fn a_checkpoint_of_another_history_retires_nothing() {
    let (mut view, _, mut writer, _, ids) = household();
    let mut until = writer.head();
    until.hash = Writer::new(9).last;
    assert!(!view.apply(&writer.write(checkpoint(until, 7, &[]))).unwrap().counts);
    let beyond = Head { length: 99, ..writer.head() };
    assert!(!view.apply(&writer.write(checkpoint(beyond, 8, &[]))).unwrap().counts);
    assert_eq!((standing(&view), view.checkpoint_version(&writer.feed)), (ids, 0));
}

#[test]
fn store_nodes_retire_nothing() {
    let (mut view, mut root, ..) = household();
    let mut store = Writer::new(4);
    view.apply(&root.admit(&store, Role::Store)).unwrap();
    view.apply(&store.write(snapshot(1, 5))).unwrap();
    let until = store.head();
    assert!(!view.apply(&store.write(checkpoint(until, 1, &[]))).unwrap().counts);
    assert_eq!(view.retired().count(), 0);
}

#[test]
fn thinned_is_what_has_a_neighbour_that_stands_and_no_label_written_later_excuses_more() {
    let (mut root, mut writer) = (Writer::new(1), Writer::new(2));
    let mut view = View::new(root.public());
    view.apply(&root.admit(&writer, Role::Full)).unwrap();
    let minutes = [0, 30, 60, 400, 410, 420, 900];
    let ids: Vec<SnapshotId> = minutes
        .iter()
        .map(|minute| snapshot_id(&view.apply(&writer.write(snapshot(1, minute * 60_000_000))).unwrap().hash))
        .collect();
    let hour = Span::from_secs(3_600);
    assert!(view.thinned(hour).is_empty(), "nothing is retired");
    // Of each run of them the last stays.
    view.apply(&writer.write(checkpoint(writer.head(), 1, &[2, 5, 6]))).unwrap();
    assert_eq!(view.thinned(hour), [ids[0], ids[1], ids[3], ids[4]].into());
    assert_eq!(view.thinned(Span::from_secs(1_800)), [ids[1], ids[3], ids[4]].into());
    // All go: what is written after them under an old label stands in for an hour, and the last one of all is beside none.
    let late = [30, 410, 900].map(|minute| writer.write(snapshot(1, minute * 60_000_000)));
    late.iter().for_each(|entry| {
        view.apply(entry).unwrap();
    });
    view.apply(&writer.write(checkpoint(writer.head(), 2, &[8, 9, 10]))).unwrap();
    assert_eq!(view.thinned(hour), [ids[0], ids[1], ids[2]].into());
}
