//! Tests: feed entries and settings on a disk that fails, fills and rots.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::base::ids::{FeedId, NodeId};
use crate::base::limits::SETTING_VALUE_BYTES_MAX;
use crate::sim::disk::{Fault, SimDisk};
use crate::store::disk::RedbFile;
use crate::store::feeds::{Feeds, STATE_NAME};
use crate::store::segment::FORMAT;
use crate::store::service::StoreError;

/// A feed.
fn feed(number: u8) -> FeedId {
    FeedId { node: NodeId::from_bytes([number; 32]), random: [number; 8] }
}

/// Feeds on a fresh disk.
fn fresh() -> (SimDisk, Feeds) {
    let disk = SimDisk::new(1 << 24);
    let feeds = Feeds::open(Arc::new(disk.clone())).unwrap();
    (disk, feeds)
}

#[test]
fn entries_come_in_pages_by_feed_and_sequence() {
    let (_, mut feeds) = fresh();
    for number in [3, 1, 2] {
        let entries: Vec<Vec<u8>> = (0..10_u8).map(|sequence| vec![sequence; 100]).collect();
        feeds.append(&feed(number), 0, &entries, &[]).unwrap();
    }
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (page, more) = feeds.entries(None, after.as_ref(), 350).unwrap();
        assert_eq!(page.len(), 3, "30 entries of 100 bytes, 350 bytes a page");
        after = page.last().map(|(feed, sequence, _)| (*feed, *sequence));
        all.extend(page);
        if !more {
            break;
        }
    }
    let expected: Vec<_> =
        (1..=3).flat_map(|number| (0..10).map(move |sequence| (feed(number), sequence))).collect();
    assert_eq!(all.iter().map(|(feed, sequence, _)| (*feed, *sequence)).collect::<Vec<_>>(), expected);
    assert_eq!(feeds.entries(Some(&feed(2)), Some(&(feed(2), 7)), 10_000).unwrap().0.len(), 2);
    assert_eq!(feeds.entries(Some(&feed(2)), Some(&(feed(3), 0)), 10_000).unwrap().0.len(), 0);
    assert_eq!(feeds.entries(Some(&feed(2)), None, 1).unwrap(), (vec![(feed(2), 0, vec![0; 100])], true));
}

#[test]
fn settings_are_written_removed_and_listed_by_prefix() {
    let (disk, mut feeds) = fresh();
    let set = |name: &str, value: &[u8]| (name.to_owned(), Some(value.to_vec()));
    feeds.append(&feed(1), 0, &[], &[set("a/1", b"x"), set("a/2", b"y"), set("b", b"z")]).unwrap();
    feeds.append(&feed(1), 0, &[vec![1]], &[("a/1".to_owned(), None)]).unwrap();
    drop(feeds);
    let mut feeds = Feeds::open(Arc::new(disk)).unwrap();
    assert_eq!(feeds.settings("a/").unwrap(), [("a/2".to_owned(), b"y".to_vec())]);
    assert_eq!(feeds.settings("").unwrap().len(), 2);
    assert_eq!(feeds.entries(None, None, 9).unwrap().0, [(feed(1), 0, vec![1])]);
}

#[test]
fn a_newer_format_is_refused_with_a_sentence() {
    let (disk, feeds) = fresh();
    drop(feeds);
    let file = RedbFile::open(Arc::new(disk.clone()), STATE_NAME, Arc::default()).unwrap();
    let database = redb::Database::builder().create_with_backend(file).unwrap();
    let transaction = database.begin_write().unwrap();
    let about = redb::TableDefinition::<&str, u32>::new("about");
    transaction.open_table(about).unwrap().insert("format", FORMAT + 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = Feeds::open(Arc::new(disk)).unwrap_err();
    assert!(error.to_string().ends_with("update nuthatch on this device"), "{error}");
}

#[test]
fn a_damaged_entry_is_never_given_out() {
    let (disk, mut feeds) = fresh();
    for sequence in 0..50 {
        feeds.append(&feed(1), sequence, &[vec![7; 300]], &[]).unwrap();
    }
    drop(feeds);
    let file = disk.content(STATE_NAME).unwrap();
    let places = file.windows(64).enumerate().filter(|(_, bytes)| **bytes == [7; 64]).map(|(at, _)| at);
    let mut refused = 0;
    for at in places.step_by(997) {
        let copy = disk.image(&mut ChaCha8Rng::seed_from_u64(0));
        copy.flip_bits(STATE_NAME, u64::try_from(at).unwrap(), 0x20);
        match Feeds::open(Arc::new(copy)) {
            Ok(mut feeds) => {
                let entries = feeds.entries(None, None, 1 << 20).unwrap().0;
                assert!(entries.iter().all(|(_, _, entry)| *entry == [7; 300]), "old pages may rot");
            }
            Err(StoreError::Corrupt { .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 0);
}

#[test]
fn after_a_failed_write_the_state_is_copied_before_it_is_written_again() {
    for call in 0..12 {
        let (disk, mut feeds) = fresh();
        feeds.append(&feed(1), 0, &[vec![1]], &[]).unwrap();
        disk.fail_after(call, Fault::Io);
        let failed = feeds.append(&feed(1), 1, &[vec![2]], &[]).is_err();
        disk.heal();
        feeds.append(&feed(2), 0, &[vec![3]], &[]).unwrap();
        for seed in 0..4 {
            let image = disk.image(&mut ChaCha8Rng::seed_from_u64(seed));
            let mut reopened = Feeds::open(Arc::new(image)).unwrap();
            let all = reopened.entries(None, None, 99).unwrap().0;
            assert!(all.contains(&(feed(1), 0, vec![1])) && all.contains(&(feed(2), 0, vec![3])));
            assert!(failed || all.contains(&(feed(1), 1, vec![2])));
        }
    }
}

#[test]
fn a_power_cut_after_a_failed_sync_finds_the_last_state_though_it_was_read_meanwhile() {
    for sync in 0..3 {
        let (disk, mut feeds) = fresh();
        for sequence in 0..40 {
            feeds.append(&feed(1), sequence, &[vec![1; 2_000]], &[]).unwrap();
        }
        disk.fail_sync_after(sync);
        let failed = feeds.append(&feed(1), 40, &[vec![2; 2_000]], &[]).is_err();
        disk.heal();
        assert!(feeds.entries(None, None, 1 << 20).unwrap().0.len() >= 40);
        for seed in 0..8 {
            let image = disk.image(&mut ChaCha8Rng::seed_from_u64(seed));
            let mut reopened = Feeds::open(Arc::new(image)).unwrap();
            let count = reopened.entries(None, None, 1 << 20).unwrap().0.len();
            assert!(count == 41 || (failed && count == 40), "after {sync} syncs: {count}");
        }
    }
}

#[test]
fn entries_that_would_leave_a_hole_are_refused() {
    let (_disk, mut feeds) = fresh();
    feeds.append(&feed(1), 0, &[vec![1]], &[]).unwrap();
    assert_eq!(feeds.append(&feed(1), 2, &[vec![3]], &[]), Err(StoreError::Behind { sequence: 2 }));
    feeds.append(&feed(1), 1, &[vec![2]], &[]).unwrap();
    feeds.append(&feed(1), 2, &[vec![3]], &[]).unwrap();
}

#[test]
fn a_full_disk_can_still_be_read_and_written_to_after_space_was_made() {
    let (disk, mut feeds) = fresh();
    feeds.append(&feed(1), 0, &[vec![1]], &[]).unwrap();
    let used: u64 = disk.files().iter().map(|(_, length)| length).sum();
    disk.set_capacity(used);
    let big = ("big".to_owned(), Some(vec![0; SETTING_VALUE_BYTES_MAX]));
    let error = feeds.append(&feed(1), 1, &[vec![2]], &[big]).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
    assert_eq!(feeds.entries(None, None, 99).unwrap().0.len(), 1);
    assert!(feeds.append(&feed(1), 1, &[vec![2]], &[]).is_err(), "no room for a copy yet");
    assert_eq!(feeds.entries(None, None, 99).unwrap().0.len(), 1);
    disk.set_capacity(1 << 24);
    feeds.append(&feed(1), 1, &[vec![2]], &[]).unwrap();
    assert_eq!(feeds.entries(None, None, 99).unwrap().0.len(), 2);
}
