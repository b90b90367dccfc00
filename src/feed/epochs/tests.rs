//! Which epochs there are, told as stories. Wrapped keys are opaque here.

use crate::base::ids::{EpochId, NodeId};
use crate::base::limits::{EPOCHS_BEGUN_MAX, KEY_ENTRIES_PER_FEED_MAX, KEY_WRAPS_MAX, REMOVE_HEADS_MAX};
use crate::feed::entry::{Body, KeyEntry, Role, Wrap};
use crate::feed::view::View;
use crate::feed::writer::Writer;

fn epoch(number: u8) -> EpochId {
    EpochId::from_bytes([number; 8])
}

/// A Key entry of this epoch.
fn key(number: u8, without: &[&Writer], to: &[&Writer]) -> Body {
    let wrap = |who: &&Writer| Wrap { to: who.node(), key: [0; 32], tag: [0; 16] };
    Body::Key(KeyEntry {
        epoch: epoch(number),
        without: without.iter().map(|who| who.node()).collect(),
        ephemeral: [0; 32],
        wraps: to.iter().map(wrap).collect(),
    })
}

/// A root and four full nodes, ascending by rank, and a store node.
fn household() -> (View, Writer, Vec<Writer>, Writer) {
    let mut root = Writer::new(1);
    let full: Vec<Writer> = (2..6).map(Writer::new).collect();
    let store = Writer::new(9);
    let mut view = View::new(root.public());
    for who in &full {
        view.apply(&root.admit(who, Role::Full)).unwrap();
    }
    view.apply(&root.admit(&store, Role::Store)).unwrap();
    (view, root, full, store)
}

/// Applies an entry; whether it counts.
fn take(view: &mut View, writer: &mut Writer, body: Body) -> bool {
    view.apply(&writer.write(body)).unwrap().counts
}

/// Applies a Remove with all that is known of the removed node.
fn remove(view: &mut View, by: &mut Writer, who: NodeId) {
    let heads = view.heads_of(&who);
    view.apply(&by.remove(who, heads)).unwrap();
}

fn best(view: &View) -> Option<EpochId> {
    view.epochs().best(|_| true)
}

#[test]
fn an_epoch_that_keeps_out_all_who_were_removed_is_clean_and_others_are_not() {
    let (mut view, _, mut full, _) = household();
    let (mut first, third) = (full[0].clone(), full[2].clone());
    assert!(take(&mut view, &mut first, key(7, &[&third], &[&full[0], &full[1]])));
    remove(&mut view, &mut first, third.node());
    let epochs = view.epochs();
    assert_eq!((best(&view), epochs.iter().count()), (Some(epoch(7)), 1));
    let known_to = &epochs.get(&epoch(7)).unwrap().known_to;
    assert!(known_to.contains(&full[1].node()) && !known_to.contains(&third.node()), "{known_to:?}");
    // Another is removed, by someone whose epoch does not reckon with the first: neither is clean.
    let mut second = full.remove(1);
    let fourth = full.pop().unwrap();
    assert!(take(&mut view, &mut second, key(8, &[&fourth], &[])));
    remove(&mut view, &mut second, fourth.node());
    assert_eq!((best(&view), view.epochs().iter().count()), (None, 2));
    assert!(take(&mut view, &mut second, key(9, &[&third, &fourth], &[])));
    assert_eq!(best(&view), Some(epoch(9)));
}

#[test]
fn an_epoch_counts_only_once_its_removal_is_known_and_if_it_was_wrapped_for_nobody_who_was_removed() {
    let (mut view, _, full, _) = household();
    let (mut first, mut second, third) = (full[0].clone(), full[1].clone(), full[2].clone());
    assert!(take(&mut view, &mut first, key(7, &[&third], &[&full[1]])));
    assert_eq!(best(&view), None, "the third is a member still");
    assert!(
        view.epochs().get(&epoch(7)).unwrap().without.contains(&third.node()),
        "nobody wraps it for the third"
    );
    let mut leaked = view.clone();
    remove(&mut view, &mut first.clone(), third.node());
    assert_eq!(best(&view), Some(epoch(7)));
    // Somebody did: what is sealed with it would not be kept from the third.
    assert!(take(&mut leaked, &mut second, key(7, &[], &[&third])));
    remove(&mut leaked, &mut first, third.node());
    assert_eq!(best(&leaked), None);
}

#[test]
fn a_node_with_more_feeds_than_a_removal_may_name_can_be_removed() {
    let (mut view, _, full, _) = household();
    let (mut first, third) = (full[0].clone(), full[2].clone());
    for number in 0..u8::try_from(REMOVE_HEADS_MAX).unwrap() + 6 {
        view.apply(&third.clone().begin(100 + number)).unwrap();
    }
    assert_eq!(view.heads_of(&third.node()).len(), REMOVE_HEADS_MAX);
    remove(&mut view, &mut first, third.node());
    assert!(view.roster().is_removed(&third.node()));
}

#[test]
fn of_two_epochs_that_keep_out_the_same_all_choose_one_in_every_order() {
    let (before, _, full, _) = household();
    let (mut first, mut second, fourth) = (full[0].clone(), full[1].clone(), full[3].clone());
    let a = [first.write(key(7, &[&fourth], &[])), first.remove(fourth.node(), vec![])];
    let b = [second.write(key(8, &[&fourth], &[])), second.remove(fourth.node(), vec![])];
    for order in [[&a, &b], [&b, &a]] {
        let mut view = before.clone();
        order.iter().flat_map(|entries| entries.iter()).for_each(|bytes| drop(view.apply(bytes).unwrap()));
        assert_eq!(best(&view), Some(epoch(8)));
        let only = view.epochs().best(|epoch| *epoch == self::epoch(7));
        assert_eq!(only, Some(epoch(7)), "who has only the other seals with that meanwhile");
    }
}

#[test]
fn who_was_removed_vouches_for_no_epoch_and_began_none_after_its_time() {
    let (mut view, _, full, store) = household();
    let (mut first, mut third, fourth) = (full[0].clone(), full[2].clone(), full[3].clone());
    let itself = third.clone();
    // It claims ahead of time that an epoch which it knows keeps everybody out, itself too.
    assert!(take(&mut view, &mut third, key(7, &[&itself, &fourth], &[])));
    remove(&mut view, &mut first, third.node());
    assert_eq!(best(&view), None);
    assert!(view.epochs().get(&epoch(7)).is_some(), "what was sealed with it is still readable");
    assert!(!take(&mut view, &mut third, key(8, &[&itself], &[])), "it is no member any more");
    assert!(view.epochs().get(&epoch(8)).is_none());
    let mut store = store;
    assert!(!take(&mut view, &mut store, key(9, &[&third], &[])), "store nodes have no keys");
    assert!(view.epochs().get(&epoch(9)).is_none());
}

#[test]
fn what_nobody_began_is_no_epoch_and_a_store_node_that_leaves_ends_none() {
    let (mut view, mut root, full, store) = household();
    let mut first = full[0].clone();
    assert!(take(&mut view, &mut first, key(7, &[], &[&full[1]])));
    assert_eq!(view.epochs().iter().count(), 0);
    view.apply(&root.remove(store.node(), vec![])).unwrap();
    assert!(view.removed_full().is_empty());
    // The root begins one as well.
    assert!(take(&mut view, &mut root, key(8, &[&full[3]], &[])));
    remove(&mut view, &mut root, full[3].node());
    assert_eq!(best(&view), Some(epoch(8)));
}

#[test]
fn nobody_fills_the_others_memory_with_epochs() {
    let (mut view, _, full, _) = household();
    let (mut first, fourth) = (full[0].clone(), full[3].clone());
    let many: Vec<&Writer> = (0..KEY_WRAPS_MAX).map(|_| &full[1]).collect();
    for number in 0..KEY_ENTRIES_PER_FEED_MAX + 100 {
        let number = u8::try_from(number % 250).unwrap();
        view.apply(&first.write(key(number, &[&fourth], if number % 2 == 0 { &many } else { &[] }))).unwrap();
    }
    assert_eq!(view.epochs().iter().count(), EPOCHS_BEGUN_MAX);
    assert!(!view.may_begin_epoch(&full[0].node()) && view.may_begin_epoch(&full[1].node()));
    let kept = view.key_facts().map(|fact| 100 + fact.entry.wraps.len() * 80).sum::<usize>();
    assert!(kept < 1 << 20, "{kept} bytes are kept of one feed");
    assert!(!view.has_key_room(&first.feed, KEY_WRAPS_MAX));
}
