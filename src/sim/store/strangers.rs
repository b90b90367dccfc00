//! Tests: a home that somebody's hands were in: files lost, renamed, doubled, cut, or of another store.

use std::sync::Arc;

use super::compaction::compact;
use super::damage::{filled, place_of};
use super::tester::{chunk, equals_rebuild, Tester, OPTIONS};
use crate::sim::disk::SimDisk;
use crate::store::disk::{Disk, DiskError, DiskErrorKind};
use crate::store::segment::segment_name;
use crate::store::service::{OpenReport, Request, Service, StoreError};

/// Opens the store; what it reports.
fn open(disk: &SimDisk) -> (Tester, OpenReport) {
    let (service, report) = Service::open(Arc::new(disk.clone()), OPTIONS).unwrap();
    drop(service);
    let (service, again) = Service::open(Arc::new(disk.clone()), OPTIONS).unwrap();
    let quiet = [again.segments_lost, again.segments_renamed, again.files_set_aside, again.torn_bytes];
    assert_eq!(quiet, [0; 4], "said once: {again:?}");
    drop(service);
    (Tester::open(disk).unwrap(), report)
}

/// A store with removed segments, and the numbers of the chunks in it.
fn compacted() -> (SimDisk, Vec<u64>) {
    let (disk, mut tester) = filled(0..200);
    tester.give_up(&(30..170).collect::<Vec<_>>());
    tester.ask(Request::Flush { op: 0 });
    assert!(compact(&mut tester, &[]).removed_segments > 2);
    tester.service.close();
    (disk, (0..30).chain(170..200).collect())
}

/// A copy of a file.
fn copy(disk: &SimDisk, from: &str, to: &str) {
    disk.write_at(to, 0, &disk.content(from).unwrap()).unwrap();
}

/// Numbers of the segments that are there.
fn segments(disk: &SimDisk) -> Vec<u32> {
    let leaves = disk.list("segments").unwrap();
    leaves.iter().filter_map(|leaf| crate::store::segment::segment_number(leaf)).collect()
}

/// All these chunks are there.
fn all_here(tester: &mut Tester, numbers: &[u64]) {
    for number in numbers {
        assert_eq!(tester.get(*number), Ok(Some(chunk(*number).1)), "chunk {number}");
    }
}

#[test]
fn a_lost_segment_is_told_from_a_removed_one_and_its_chunks_are_missing() {
    let (disk, numbers) = compacted();
    let (mut tester, report) = open(&disk);
    assert_eq!(
        (report.segments_lost, report.chunks_lost, report.rotten_places),
        (0, 0, 0),
        "removed on purpose"
    );
    all_here(&mut tester, &numbers);
    let before = tester.stats().chunks;
    drop(tester);
    let lost = place_of(&disk, 5).0;
    disk.remove(&lost).unwrap();
    let (mut tester, report) = open(&disk);
    assert_eq!(report.segments_lost, 1);
    assert!(report.chunks_lost > 0 && report.chunks_lost < 30, "{report:?}");
    assert_eq!(tester.stats().chunks, before - report.chunks_lost);
    assert_eq!(tester.stats().quarantined, report.chunks_lost);
    let missing: Vec<u64> =
        numbers.iter().copied().filter(|number| tester.get(*number) == Ok(None)).collect();
    assert_eq!(
        u64::try_from(missing.len()).unwrap(),
        report.chunks_lost,
        "and none is found damaged only when it is read"
    );
    missing.iter().for_each(|number| tester.put(*number));
    tester.ask(Request::Flush { op: 0 });
    all_here(&mut tester, &numbers);
    equals_rebuild(&mut tester);
}

#[test]
fn a_lost_segment_is_told_even_without_an_index() {
    let (disk, numbers) = compacted();
    let lost = place_of(&disk, 5).0;
    disk.remove(&lost).unwrap();
    for (name, _) in disk.files().into_iter().filter(|(name, _)| name.starts_with("index/")) {
        disk.remove(&name).unwrap();
    }
    let (mut tester, report) = open(&disk);
    assert_eq!((report.segments_lost, report.chunks_lost), (1, 0), "nobody knows what was in it");
    let missing = numbers.iter().filter(|number| tester.get(**number) == Ok(None)).count();
    assert!(missing > 0 && missing < 30);
}

#[test]
fn a_segment_under_a_wrong_name_gets_its_own_again() {
    let (disk, numbers) = compacted();
    let there = segments(&disk);
    let wrong = [100, there[there.len() - 1] + 1, there[1] + 1];
    for number in [there[1], there[there.len() - 1]] {
        for wrong in wrong.iter().filter(|wrong| !there.contains(wrong)) {
            disk.rename(&segment_name(number), &segment_name(*wrong)).unwrap();
            let (mut tester, report) = open(&disk);
            assert_eq!(
                (report.segments_renamed, report.segments_lost, report.rotten_places),
                (1, 0, 0),
                "{number} {wrong}"
            );
            assert_eq!(report.runs_discarded, 0);
            all_here(&mut tester, &numbers);
            assert_eq!(segments(&disk), there);
        }
    }
}

#[test]
fn a_double_of_a_segment_is_set_aside() {
    let (disk, numbers) = compacted();
    let there = segments(&disk);
    let removed = (0..there[there.len() - 1]).find(|number| !there.contains(number)).unwrap();
    for double in [removed, there[there.len() - 1] + 1, 0x7fff_ffff] {
        copy(&disk, &segment_name(there[1]), &segment_name(double));
        let (mut tester, report) = open(&disk);
        assert_eq!(
            (report.files_set_aside, report.segments_lost, report.rotten_places),
            (1, 0, 0),
            "{double}"
        );
        all_here(&mut tester, &numbers);
        let aside = format!("segments/{double:08x}.aside-0");
        assert_eq!(disk.content(&aside), disk.content(&segment_name(there[1])), "nothing is thrown away");
        equals_rebuild(&mut tester);
    }
}

#[test]
fn a_removed_segment_that_a_backup_brought_back_is_removed_again() {
    let (disk, mut tester) = filled(0..200);
    tester.give_up(&(0..150).collect::<Vec<_>>());
    tester.ask(Request::Flush { op: 0 });
    let old = disk.content(&segment_name(1)).unwrap();
    compact(&mut tester, &[]);
    tester.service.close();
    assert!(!segments(&disk).contains(&1));
    disk.write_at(&segment_name(1), 0, &old).unwrap();
    let (mut tester, report) = open(&disk);
    assert_eq!((report.files_set_aside, report.segments_lost), (0, 0));
    assert!(!segments(&disk).contains(&1));
    assert_eq!((tester.get(3), tester.stats().chunks), (Ok(None), 50));
}

#[test]
fn foreign_files_are_left_alone() {
    let (disk, numbers) = compacted();
    let foreign = [
        "segments/README",
        "segments/1.seg",
        "segments/copy of 00000001.seg",
        "index/cafe.txt",
        "index/12.run.bak",
        "index/notes",
        "photo.jpg",
    ];
    for name in foreign {
        disk.write_at(name, 0, name.as_bytes()).unwrap();
    }
    let (mut tester, report) = open(&disk);
    assert_eq!(
        (report.runs_discarded, report.files_set_aside, report.segments_lost),
        (0, 0, 0),
        "{report:?}"
    );
    all_here(&mut tester, &numbers);
    for name in foreign {
        assert_eq!(disk.content(name).as_deref(), Some(name.as_bytes()));
    }
}

#[test]
fn a_cut_segment_costs_what_was_cut() {
    let (disk, numbers) = compacted();
    let (name, at) = place_of(&disk, 20);
    disk.set_len(&name, at + 5).unwrap();
    for with_index in [true, false] {
        if !with_index {
            for (name, _) in disk.files().into_iter().filter(|(name, _)| name.starts_with("index/")) {
                disk.remove(&name).unwrap();
            }
        }
        let (mut tester, _) = open(&disk);
        let mut missing = 0;
        for number in &numbers {
            match tester.get(*number) {
                Ok(Some(bytes)) => assert_eq!(bytes, chunk(*number).1),
                Ok(None) | Err(StoreError::Damaged { .. }) => missing += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(missing > 0 && missing < 30, "{missing}");
        assert_eq!(tester.get(20), Ok(None));
    }
}

#[test]
fn an_index_of_another_store_is_not_believed() {
    let (disk, numbers) = compacted();
    let (other, tester) = filled(1_000..1_300);
    tester.service.close();
    for (name, _) in disk.files().into_iter().filter(|(name, _)| name.starts_with("index/")) {
        disk.remove(&name).unwrap();
    }
    for (name, _) in other.files().into_iter().filter(|(name, _)| name.starts_with("index/")) {
        disk.write_at(&name, 0, &other.content(&name).unwrap()).unwrap();
    }
    let (mut tester, report) = open(&disk);
    assert!(report.runs_discarded > 0, "{report:?}");
    all_here(&mut tester, &numbers);
    assert_eq!(tester.get(1_000), Ok(None));
    tester.put(1_000);
    tester.ask(Request::Flush { op: 0 });
    assert_eq!(tester.get(1_000), Ok(Some(chunk(1_000).1)), "it is not taken for stored");
    equals_rebuild(&mut tester);
}

#[test]
fn a_home_that_may_not_be_written_is_refused_with_a_sentence_and_left_as_it_is() {
    let (disk, tester) = filled(0..40);
    drop(tester);
    let before: Vec<_> = disk.files().into_iter().map(|(name, _)| (disk.content(&name), name)).collect();
    let error = Service::open(Arc::new(ReadOnly(disk.clone())), OPTIONS).unwrap_err();
    assert!(error.to_string().ends_with("check the mount options and the owner of the data home"), "{error}");
    let after: Vec<_> = disk.files().into_iter().map(|(name, _)| (disk.content(&name), name)).collect();
    assert!(before == after);
    assert_eq!(Tester::open(&disk).unwrap().get(7), Ok(Some(chunk(7).1)));
}

/// A disk that may not be written.
#[derive(Debug)]
struct ReadOnly(SimDisk);

/// What it says.
fn refused(verb: &'static str, name: &str) -> Result<(), DiskError> {
    Err(DiskError::new(verb, name, DiskErrorKind::ReadOnly, "read-only file system"))
}

impl Disk for ReadOnly {
    fn list(&self, directory: &str) -> Result<Vec<String>, DiskError> {
        self.0.list(directory)
    }

    fn create_dir(&self, directory: &str) -> Result<(), DiskError> {
        refused("create", directory)
    }

    fn len(&self, name: &str) -> Result<u64, DiskError> {
        self.0.len(name)
    }

    fn exists(&self, name: &str) -> Result<bool, DiskError> {
        self.0.exists(name)
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.0.read_at(name, offset, buffer)
    }

    fn write_at(&self, name: &str, _: u64, _: &[u8]) -> Result<(), DiskError> {
        refused("write", name)
    }

    fn set_len(&self, name: &str, _: u64) -> Result<(), DiskError> {
        refused("cut", name)
    }

    fn sync(&self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_dir(&self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn rename(&self, from: &str, _: &str) -> Result<(), DiskError> {
        refused("rename", from)
    }

    fn remove(&self, name: &str) -> Result<(), DiskError> {
        refused("remove", name)
    }

    fn free_bytes(&self) -> Result<u64, DiskError> {
        self.0.free_bytes()
    }
}
