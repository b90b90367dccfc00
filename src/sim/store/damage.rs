//! Tests only: the whole service on disks that rot, fail or are full.
//!
//! Owns the stories of what a person should never have to see. Read `tester.rs` for the oracle.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::{prop_oneof, proptest, Just, ProptestConfig, Strategy};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::tester::{check, chunk, equals_rebuild, Tester, OPTIONS};
use crate::sim::disk::{Fault, SimDisk};
use crate::store::disk::{Disk, DiskErrorKind};
use crate::store::segment::{segment_name, SegmentHeader};
use crate::store::service::{Reply, Request, ScanState, Service, StoreError};

/// A store with these chunks, all of them acknowledged.
pub(super) fn filled(numbers: impl Iterator<Item = u64>) -> (SimDisk, Tester) {
    let disk = SimDisk::new(1 << 24);
    let mut tester = Tester::open(&disk).unwrap();
    numbers.for_each(|number| tester.put(number));
    tester.ask(Request::Flush { op: 0 });
    assert_eq!(tester.acknowledged, tester.tried);
    (disk, tester)
}

/// Where the sealed bytes of a chunk begin on the disk.
pub(super) fn place_of(disk: &SimDisk, number: u64) -> (String, u64) {
    let sealed = chunk(number).1;
    for (name, _) in disk.files().into_iter().filter(|(name, _)| name.starts_with("segments/")) {
        let content = disk.content(&name).unwrap();
        if let Some(at) = content.windows(sealed.len()).position(|bytes| bytes == sealed) {
            return (name, u64::try_from(at).unwrap());
        }
    }
    panic!("chunk {number} is in no segment")
}

/// Which of these chunks are here.
fn has(tester: &mut Tester, number: u64) -> bool {
    match tester.ask(Request::Has { op: 0, ids: vec![chunk(number).0] }) {
        Some(Reply::Has { have, .. }) => have[0],
        other => panic!("{other:?}"),
    }
}

#[test]
fn rot_is_found_on_read_and_the_chunk_can_be_put_again() {
    let (disk, mut tester) = filled(0..40);
    let (name, at) = place_of(&disk, 7);
    disk.flip_bits(&name, at + 3, 4);
    assert!(has(&mut tester, 7));
    assert_eq!(tester.get(7), Err(StoreError::Damaged { id: chunk(7).0 }));
    assert_eq!(tester.get(7), Ok(None));
    assert!(!has(&mut tester, 7));
    tester.ask(Request::Flush { op: 0 });
    assert_eq!((tester.stats().quarantined, tester.stats().chunks), (1, 39));
    equals_rebuild(&mut tester);
    tester.service.close();
    let mut tester = Tester::open(&disk).unwrap();
    assert_eq!((tester.stats().quarantined, tester.get(7)), (1, Ok(None)));
    tester.put(7);
    tester.ask(Request::Flush { op: 0 });
    assert_eq!(tester.get(7), Ok(Some(chunk(7).1)));
    assert_eq!(tester.stats().chunks, 40);
    equals_rebuild(&mut tester);
}

#[test]
fn a_scan_tells_which_chunks_are_damaged_and_sets_them_aside() {
    let (disk, mut tester) = filled(0..40);
    let (name, at) = place_of(&disk, 9);
    disk.flip_bits(&name, at, 1);
    assert!(tester.scan(false).values().all(|state| *state == ScanState::Unread));
    let found = tester.scan(true);
    let damaged: Vec<_> =
        found.iter().filter(|(_, state)| **state == ScanState::Damaged).map(|(id, _)| *id).collect();
    assert_eq!((found.len(), damaged), (40, vec![chunk(9).0]));
    assert_eq!(tester.scan(true).len(), 39);
}

#[test]
fn a_lost_segment_costs_its_own_chunks_only() {
    let (disk, mut tester) = filled(0..100);
    let lost = place_of(&disk, 50).0;
    disk.remove(&lost).unwrap();
    let mut missing = 0;
    for number in 0..100 {
        match tester.get(number) {
            Ok(Some(bytes)) => assert_eq!(bytes, chunk(number).1),
            Err(StoreError::Damaged { .. }) => missing += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(missing > 0 && missing < 60, "{missing}");
}

#[test]
fn damage_before_a_mark_is_rot_and_what_follows_is_kept() {
    let (disk, tester) = filled(0..10);
    tester.service.close();
    let (name, at) = place_of(&disk, 4);
    // The header of the record, so that nobody can tell what it was.
    disk.flip_bits(&name, at - 20, 0x80);
    let before = disk.len(&name).unwrap();
    for (index, _) in disk.files().into_iter().filter(|(name, _)| name.starts_with("index/")) {
        disk.remove(&index).unwrap();
    }
    let (service, report) = Service::open(Arc::new(disk.clone()), OPTIONS).unwrap();
    assert_eq!((report.rotten_places, report.torn_bytes), (1, 0));
    assert_eq!(report.rotten_bytes, 60 + u64::try_from(chunk(4).1.len()).unwrap());
    assert!(disk.len(&name).unwrap() >= before, "nothing was cut");
    drop(service);
    let mut tester = Tester::open(&disk).unwrap();
    for number in (0..10).filter(|number| *number != 4) {
        assert_eq!(tester.get(number), Ok(Some(chunk(number).1)));
    }
    assert_eq!(tester.get(4), Ok(None));
}

#[test]
fn a_torn_tail_is_cut_and_counted_once() {
    let (disk, tester) = filled(0..5);
    tester.service.close();
    let name = segment_name(0);
    let end = disk.len(&name).unwrap();
    disk.write_at(&name, end, &[0xbf; 777]).unwrap();
    let (service, report) = Service::open(Arc::new(disk.clone()), OPTIONS).unwrap();
    assert_eq!((report.torn_bytes, report.rotten_places), (777, 0));
    drop(service);
    let (_, report) = Service::open(Arc::new(disk.clone()), OPTIONS).unwrap();
    assert_eq!((report.torn_bytes, report.rotten_places), (0, 0));
}

#[test]
fn a_damaged_run_is_built_anew_and_nobody_notices() {
    let (disk, mut tester) = filled(0..200);
    let runs: Vec<_> = disk.files().into_iter().filter(|(name, _)| name.ends_with(".run")).collect();
    assert!(runs.len() >= 3, "{runs:?}");
    for (name, length) in &runs {
        disk.flip_bits(name, length / 3, 1);
    }
    for number in 0..200 {
        assert_eq!(tester.get(number), Ok(Some(chunk(number).1)));
    }
    equals_rebuild(&mut tester);
    tester.service.close();
    for (name, length) in disk.files().into_iter().filter(|(name, _)| name.ends_with(".run")) {
        disk.flip_bits(&name, length - 1, 1);
    }
    let (service, report) = Service::open(Arc::new(disk.clone()), OPTIONS).unwrap();
    assert!(report.runs_discarded >= 3 && report.rotten_places == 0, "{report:?}");
    drop(service);
    let mut tester = Tester::open(&disk).unwrap();
    assert_eq!(tester.scan(true).len(), 200);
}

#[test]
fn a_failed_sync_acknowledges_nothing_and_loses_nothing() {
    let (disk, mut tester) = filled(0..5);
    tester.put(100);
    tester.put(101);
    disk.fail_sync_after(0);
    let mut replies = Vec::new();
    tester.service.execute(Request::Flush { op: 9 }, &mut replies);
    let failed = replies.iter().filter(|reply| {
        matches!(reply, Reply::Put { result: Err(StoreError::NotSynced { .. }), .. })
            || matches!(reply, Reply::Flush { op: 9, result: Err(StoreError::NotSynced { .. }) })
    });
    assert_eq!((failed.count(), replies.len()), (3, 3));
    assert_eq!(tester.get(100), Ok(None));
    tester.put(100);
    tester.ask(Request::Flush { op: 0 });
    assert!(tester.acknowledged.contains(&100));
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for _ in 0..20 {
        check(&disk.image(&mut rng), &tester);
    }
}

#[test]
fn one_failing_call_anywhere_loses_nothing_acknowledged() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for (turn, fault) in [Fault::Io, Fault::Full].into_iter().enumerate() {
        for call in (u64::try_from(turn).unwrap()..600).step_by(23) {
            let disk = SimDisk::new(1 << 24);
            disk.fail_after(call, fault);
            let mut tester = match Tester::open(&disk) {
                Ok(tester) => tester,
                Err(_) => Tester::open(&disk).expect("it opens when the disk is well again"),
            };
            tester.stubborn = true;
            tester.work(2);
            tester.error = None;
            disk.heal();
            tester.put(1);
            tester.ask(Request::Flush { op: 0 });
            tester.append();
            assert_eq!(tester.error, None, "{fault:?} in call {call}");
            let after = disk.lose_power(&mut rng);
            check(&after, &tester.die());
        }
    }
}

#[test]
fn a_full_disk_says_so_and_everything_else_goes_on() {
    let disk = SimDisk::new(6_000_000);
    let mut tester = Tester::open(&disk).unwrap();
    tester.stubborn = true;
    tester.append();
    let mut number = 0;
    while tester.error.is_none() {
        tester.put(number);
        number += 1;
    }
    let error = tester.error.take().unwrap();
    let reserve = tester.stats().reserve_bytes;
    assert!(reserve > OPTIONS.reserve_bytes, "it grows with what may have to be given up");
    assert!(matches!(error, StoreError::Full { reserve_bytes, .. } if reserve_bytes == reserve), "{error:?}");
    assert!(error.to_string().contains("free some space on this disk"), "{error}");
    assert!(disk.free_bytes().unwrap() >= 1_500_000, "the reserve is kept but for the index");
    tester.ask(Request::Flush { op: 0 });
    tester.append();
    assert_eq!(tester.error, None, "the reserve serves small state");
    let acknowledged = tester.acknowledged.clone();
    assert!(u64::try_from(acknowledged.len()).unwrap() >= number - 2);
    for number in &acknowledged {
        assert_eq!(tester.get(*number), Ok(Some(chunk(*number).1)));
    }
    disk.set_capacity(12_000_000);
    tester.put(1_000_000);
    tester.ask(Request::Flush { op: 0 });
    assert!(tester.acknowledged.contains(&1_000_000));
    check(&disk.image(&mut ChaCha8Rng::seed_from_u64(3)), &tester);
}

#[test]
fn a_disk_that_went_away_is_not_taken_for_rot() {
    let (disk, mut tester) = filled(0..5);
    disk.fail_after(0, Fault::PowerLoss);
    let error = tester.get(3).unwrap_err();
    assert!(matches!(error, StoreError::Disk(ref error) if error.kind == DiskErrorKind::Io), "{error:?}");
    disk.heal();
    assert_eq!(tester.get(3), Ok(Some(chunk(3).1)));
}

#[test]
fn a_newer_segment_is_refused_with_a_sentence() {
    let (disk, tester) = filled(0..5);
    tester.service.close();
    let mut header = SegmentHeader { number: 0, previous_bytes: 0 }.encode();
    header[8] = 9;
    let sum = crate::store::segment::checksum(&header[..24]);
    header[24..].copy_from_slice(&sum);
    disk.write_at(&segment_name(0), 0, &header).unwrap();
    let error = Service::open(Arc::new(disk), OPTIONS).unwrap_err();
    assert!(matches!(error, StoreError::NewerFormat { found: 9, .. }));
    assert!(error.to_string().ends_with("update nuthatch on this device"), "{error}");
}

#[test]
fn what_is_too_much_is_refused() {
    let (_, mut tester) = filled(0..1);
    let ids = vec![chunk(0).0; 2_000];
    assert!(matches!(tester.ask(Request::Has { op: 4, ids }), Some(Reply::Failed { op: 4, .. })));
    let bytes = vec![0; crate::base::limits::SEALED_BYTES_MAX + 1];
    let reply = tester.ask(Request::Put { op: 0, id: chunk(5).0, bytes });
    assert!(matches!(reply, Some(Reply::Put { result: Err(StoreError::TooMuch { .. }), .. })));
}

/// One step of the property test.
#[derive(Debug, Clone)]
enum Step {
    /// Put a chunk.
    Put(u64),
    /// Get a chunk.
    Get(u64),
    /// Let it rot, if it is there, and read it.
    Rot(u64),
    /// Sync.
    Flush,
    /// Close and open.
    Reopen,
    /// Lose power.
    Crash(u64),
    /// Compare everything.
    Scan,
}

/// Any step; few chunks, so that they meet again.
fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..60_u64).prop_map(Step::Put),
        4 => (0..60_u64).prop_map(Step::Get),
        1 => (0..60_u64).prop_map(Step::Rot),
        3 => Just(Step::Flush),
        1 => Just(Step::Reopen),
        1 => (0..1_000_u64).prop_map(Step::Crash),
        1 => Just(Step::Scan),
    ]
}

/// Runs `steps` beside a plain map; `true`: what stands in the map is durable.
fn run_beside_a_map(steps: &[Step]) {
    let mut disk = SimDisk::new(1 << 24);
    let mut tester = Tester::open(&disk).unwrap();
    let mut model: BTreeMap<u64, bool> = BTreeMap::new();
    for step in steps {
        tester.acknowledged.clear();
        match step {
            Step::Put(number) => {
                tester.put(*number);
                model.entry(*number).or_insert(false);
            }
            Step::Get(number) => {
                let expected = model.contains_key(number).then(|| chunk(*number).1);
                assert_eq!(tester.get(*number), Ok(expected));
            }
            Step::Rot(number) if model.contains_key(number) => {
                // The newest copy: an older one may have rotted before.
                let sealed = chunk(*number).1;
                for (name, _) in disk.files().into_iter().filter(|(name, _)| name.starts_with("segments/")) {
                    let content = disk.content(&name).unwrap();
                    if let Some(at) = content.windows(sealed.len()).position(|bytes| bytes == sealed) {
                        disk.flip_bits(&name, u64::try_from(at).unwrap(), 1);
                    }
                }
                assert_eq!(tester.get(*number), Err(StoreError::Damaged { id: chunk(*number).0 }));
                tester.ask(Request::Flush { op: 0 });
                model.values_mut().for_each(|durable| *durable = true);
                model.remove(number);
            }
            Step::Rot(_) => {}
            Step::Flush => {
                tester.ask(Request::Flush { op: 0 });
                model.values_mut().for_each(|durable| *durable = true);
            }
            Step::Reopen => {
                tester.service.close();
                model.values_mut().for_each(|durable| *durable = true);
                tester = Tester::open(&disk).unwrap();
            }
            Step::Crash(seed) => {
                disk = disk.lose_power(&mut ChaCha8Rng::seed_from_u64(*seed));
                drop(tester.die());
                tester = Tester::open(&disk).unwrap();
                model.retain(|number, durable| match tester.get(*number).unwrap() {
                    Some(bytes) => bytes == chunk(*number).1,
                    None => {
                        assert!(!*durable, "chunk {number} was durable");
                        false
                    }
                });
                model.values_mut().for_each(|durable| *durable = true);
            }
            Step::Scan => {
                let ids: BTreeSet<_> = model.keys().map(|number| chunk(*number).0).collect();
                assert_eq!(tester.scan(true).into_keys().collect::<BTreeSet<_>>(), ids);
            }
        }
        for number in &tester.acknowledged {
            model.insert(*number, true);
        }
    }
    equals_rebuild(&mut tester);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_store_behaves_like_a_map(steps in proptest::collection::vec(step(), 1..120)) {
        run_beside_a_map(&steps);
    }
}
