//! Tests: a store is checked without being changed, and what is wrong with it is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::damage::filled;
use super::tester::{chunk, Tester};
use crate::sim::disk::SimDisk;
use crate::store::check::{check, CheckReport, Whole};
use crate::store::disk::Disk;
use crate::store::overlay::Overlay;
use crate::store::service::{Request, StoreError};

/// The report, the chunks given out by their ids, and the number of entries.
type Checked = (CheckReport, BTreeMap<String, Vec<u8>>, usize);

/// Checks; asserts that nothing changed.
fn checked(disk: &SimDisk) -> Result<Checked, StoreError> {
    let before: Vec<_> = disk.files().into_iter().map(|(name, _)| (disk.content(&name), name)).collect();
    let (mut chunks, mut entries) = (BTreeMap::new(), 0);
    let report = check(Arc::new(disk.clone()), &mut |whole| {
        match whole {
            Whole::Chunk(id, sealed) => assert!(chunks.insert(id.hex(), sealed.to_vec()).is_none()),
            Whole::Entry(..) => entries += 1,
        }
        Ok(())
    });
    let after: Vec<_> = disk.files().into_iter().map(|(name, _)| (disk.content(&name), name)).collect();
    assert!(before == after, "a check changes nothing");
    report.map(|report| (report, chunks, entries))
}

/// A store with chunks, some of which are gone or came back, and feed entries; closed, or as a crash leaves it.
fn store(closed: bool) -> SimDisk {
    let (disk, mut tester) = filled(0..60);
    tester.give_up(&[3, 4, 5]);
    tester.ask(Request::Flush { op: 0 });
    tester.put(4);
    tester.ask(Request::Flush { op: 0 });
    if closed {
        tester.service.close();
        return disk;
    }
    tester.put(100);
    disk.image(&mut ChaCha8Rng::seed_from_u64(1))
}

#[test]
fn a_whole_store_is_sound_and_gives_out_every_chunk_once() {
    for closed in [true, false] {
        let (report, chunks, entries) = checked(&store(closed)).unwrap();
        assert!(report.is_sound(), "{report:?}");
        let expected: BTreeSet<_> = (0..60).filter(|number| ![3, 5].contains(number)).collect();
        for number in &expected {
            let (id, sealed) = chunk(*number);
            assert_eq!(chunks.get(&id.hex()), Some(&sealed), "{number}");
        }
        assert!(chunks.len() == expected.len() || (!closed && chunks.len() == expected.len() + 1));
        assert_eq!(report.chunks, u64::try_from(chunks.len()).unwrap());
        assert_eq!(report.entries, u64::try_from(entries).unwrap());
        assert_eq!(report.dead, 3);
    }
}

#[test]
fn rot_in_any_chunk_is_found_and_named() {
    for number in (0..60).filter(|number| ![3, 5].contains(number)) {
        let disk = store(true);
        let (id, sealed) = chunk(number);
        let mut hits = 0;
        for (name, _) in disk.files() {
            let content = disk.content(&name).unwrap();
            let places = content.windows(sealed.len()).enumerate().filter(|(_, bytes)| **bytes == sealed[..]);
            for (at, _) in places.collect::<Vec<_>>() {
                disk.flip_bits(&name, u64::try_from(at + sealed.len() / 2).unwrap(), 0x10);
                hits += 1;
            }
        }
        assert!(hits > 0, "{number}");
        let (report, chunks, _) = checked(&disk).unwrap();
        assert!(!report.is_sound());
        assert_eq!((report.damaged.count, &report.damaged.ids[..]), (1, &[id][..]), "{number}");
        assert!(!chunks.contains_key(&id.hex()));
    }
}

#[test]
fn behind_a_damaged_header_every_chunk_is_given_out_or_named() {
    let disk = store(true);
    let name = "segments/00000000.seg";
    let content = disk.content(name).unwrap();
    let flip = |number: u64, before: u64| {
        let (id, sealed) = chunk(number);
        let at = content.windows(sealed.len()).position(|bytes| *bytes == sealed[..]).unwrap();
        disk.flip_bits(name, u64::try_from(at).unwrap() - before, 1);
        id
    };
    // The head alone: its body is found by the index. A body behind it: the walk believes no head there. Head and body: nothing is left.
    flip(0, 40);
    let damaged = flip(1, 0);
    let missing = flip(2, 40);
    flip(2, 0);
    let (report, chunks, _) = checked(&disk).unwrap();
    assert!(!report.is_sound(), "{report:?}");
    assert_eq!((report.damaged.ids, report.missing.ids), (vec![damaged], vec![missing]));
    assert!(report.rotten_places > 0 && report.unindexed.is_none());
    assert_eq!((report.chunks, chunks.len()), (56, 56));
}

#[test]
fn a_lost_index_is_no_damage_and_a_lost_segment_is() {
    let disk = store(true);
    for (name, _) in disk.files().into_iter().filter(|(name, _)| name.starts_with("index/")) {
        disk.remove(&name).unwrap();
    }
    let (report, chunks, _) = checked(&disk).unwrap();
    assert!(report.is_sound() && chunks.len() == 58, "{report:?}");
    let disk = store(true);
    disk.remove("segments/00000001.seg").unwrap();
    let (report, chunks, _) = checked(&disk).unwrap();
    assert!(!report.is_sound() && !chunks.is_empty(), "{report:?}");
}

#[test]
fn a_damaged_state_is_told_and_the_chunks_are_given_out() {
    let disk = store(true);
    disk.set_len("state.redb", 8_192).unwrap();
    let (report, chunks, _) = checked(&disk).unwrap();
    assert!(report.state.is_some() && !report.is_sound() && chunks.len() == 58);
    disk.remove("state.redb").unwrap();
    assert!(checked(&disk).unwrap().0.state.is_some());
    assert!(checked(&SimDisk::new(1 << 20)).is_err(), "no store is no sound store");
}

#[test]
fn what_is_written_over_a_disk_is_read_back_and_the_disk_stays_as_it_is() {
    let below = SimDisk::new(1 << 20);
    below.create_dir("d").unwrap();
    below.write_at("d/a", 0, &[7; 10_000]).unwrap();
    let disk = Overlay::new(Arc::new(below.clone()));
    let read = |name: &str| {
        let mut bytes = vec![0; 30_000];
        let count = disk.read_at(name, 0, &mut bytes).unwrap();
        bytes.truncate(count);
        bytes
    };
    disk.write_at("d/a", 4_000, &[8; 200]).unwrap();
    let mut expected = vec![7; 10_000];
    expected[4_000..4_200].fill(8);
    assert_eq!(read("d/a"), expected);
    disk.set_len("d/a", 5_000).unwrap();
    disk.set_len("d/a", 6_000).unwrap();
    expected.truncate(5_000);
    expected.resize(6_000, 0);
    assert_eq!((read("d/a"), disk.len("d/a")), (expected.clone(), Ok(6_000)));
    disk.write_at("d/new", 9_000, b"x").unwrap();
    disk.rename("d/a", "d/b").unwrap();
    assert_eq!((disk.list("d").unwrap(), disk.exists("d/a")), (vec!["b".into(), "new".into()], Ok(false)));
    assert_eq!((read("d/b"), read("d/new").len()), (expected, 9_001));
    disk.remove("d/new").unwrap();
    assert!(disk.len("d/new").is_err() && disk.read_at("d/new", 0, &mut [0]).is_err());
    assert_eq!(below.content("d/a"), Some(vec![7; 10_000]));
    assert_eq!(below.files().len(), 1);
}

#[test]
fn a_store_goes_on_after_it_was_checked() {
    let disk = store(false);
    checked(&disk).unwrap();
    let mut tester = Tester::open(&disk).unwrap();
    assert_eq!(tester.get(10), Ok(Some(chunk(10).1)));
}
