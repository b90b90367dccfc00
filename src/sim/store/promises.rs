//! Tests: what the store answers, and when: only what was asked for, and only once it is synced.

use super::damage::filled;
use super::tester::{chunk, equals_rebuild, Tester, OPTIONS};
use crate::base::ids::ChunkId;
use crate::sim::disk::{Fault, SimDisk};
use crate::store::disk::Disk;
use crate::store::segment::{segment_name, Frame};
use crate::store::service::{Dropped, Reply, Request, Service, StoreError, StoreOptions};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use sha2::{Digest, Sha256};
use std::sync::Arc;

#[test]
fn what_was_put_under_the_name_of_another_chunk_is_not_given_out() {
    let (_, mut tester) = filled(0..3);
    let ((id, _), (_, bytes)) = (chunk(7), chunk(8));
    tester.ask(Request::Put { op: 0, id, bytes });
    tester.ask(Request::Flush { op: 0 });
    assert_eq!(tester.get(7), Err(StoreError::Damaged { id }));
    assert_eq!(tester.get(7), Ok(None));
}

#[test]
fn a_chunk_that_is_put_again_before_its_sync_is_not_acknowledged_either() {
    let (_, mut tester) = filled(0..3);
    let (id, bytes) = chunk(9);
    let mut replies = Vec::new();
    for op in [100, 101] {
        tester.service.execute(Request::Put { op, id, bytes: bytes.clone() }, &mut replies);
        assert_eq!(replies, [], "{op}");
    }
    tester.service.execute(Request::Flush { op: 0 }, &mut replies);
    for op in [100, 101] {
        let is_told = |reply: &Reply| matches!(reply, Reply::Put { op: of, result: Ok(_), .. } if *of == op);
        assert!(replies.iter().any(is_told), "{op}");
    }
}

#[test]
fn a_store_that_streams_has_the_system_keep_only_the_newest_segments_in_memory() {
    let (disk, mut tester) = filled(0..60);
    assert!(disk.let_go_of().is_empty(), "what is read again stays in memory");
    let first = disk.list("segments").unwrap().len() - 1;
    tester.ask(Request::Stream);
    (60..120).for_each(|number| tester.put(number));
    tester.ask(Request::Flush { op: 0 });
    let mut segments = disk.list("segments").unwrap();
    assert!(segments.len() > 5, "{segments:?}");
    segments.truncate(segments.len() - 2);
    let names: Vec<String> = segments[first - 1..].iter().map(|name| format!("segments/{name}")).collect();
    assert!(disk.let_go_of().iter().eq(&names), "{:?}", disk.let_go_of());
    assert!((0..120).all(|number| tester.get(number).unwrap() == Some(chunk(number).1)));
}

#[test]
fn a_tail_that_cannot_be_read_once_is_not_cut() {
    for call in 0..120 {
        let (disk, tester) = filled(0..5);
        drop(tester);
        // The last mark was lost in a crash: what was acknowledged stands behind the one before.
        let last = disk.list("segments").unwrap().len() - 1;
        let name = segment_name(u32::try_from(last).unwrap());
        disk.set_len(&name, disk.len(&name).unwrap() - Frame::mark(0).total()).unwrap();
        disk.fail_after(call, Fault::Io);
        drop(Tester::open(&disk));
        disk.heal();
        let mut tester = Tester::open(&disk).unwrap();
        for number in 0..5 {
            assert_eq!(tester.get(number), Ok(Some(chunk(number).1)), "call {call}");
        }
    }
}

#[test]
fn what_is_given_up_is_gone_once_that_is_durable_and_can_be_put_again() {
    let (disk, mut tester) = filled(0..40);
    tester.give_up(&[3, 4, 5, 1_000]);
    assert_eq!(tester.get(4), Ok(None));
    assert!(tester.gone.is_empty(), "said only when it is durable");
    tester.ask(Request::Flush { op: 0 });
    assert_eq!(tester.gone.iter().copied().collect::<Vec<_>>(), [3, 4, 5, 1_000]);
    let stats = tester.stats();
    assert_eq!((stats.chunks, stats.quarantined), (37, 0), "given up is not damaged");
    equals_rebuild(&mut tester);
    tester.service.close();
    let mut tester = Tester::open(&disk).unwrap();
    assert_eq!((tester.get(4), tester.stats().chunks), (Ok(None), 37));
    tester.put(4);
    tester.ask(Request::Flush { op: 0 });
    assert_eq!(tester.get(4), Ok(Some(chunk(4).1)));
    equals_rebuild(&mut tester);
}

#[test]
fn a_reply_counts_what_was_here_and_needs_no_sync_when_nothing_was() {
    let (_, mut tester) = filled(0..10);
    let ids = |numbers: &[u64]| numbers.iter().map(|number| chunk(*number).0).collect();
    let nothing = Reply::Drop { op: 7, result: Ok(Dropped::default()) };
    assert_eq!(tester.ask(Request::Drop { op: 7, ids: ids(&[100, 101]) }), Some(nothing));
    assert_eq!(tester.ask(Request::Drop { op: 8, ids: ids(&[1, 2, 100, 2]) }), None);
    let mut replies = Vec::new();
    tester.service.flush(&mut replies);
    let bytes = u64::try_from(chunk(1).1.len() + chunk(2).1.len()).unwrap();
    assert_eq!(replies, [Reply::Drop { op: 8, result: Ok(Dropped { chunks: 2, bytes }) }]);
}

#[test]
fn giving_up_is_taken_back_by_a_failed_sync() {
    let (disk, mut tester) = filled(0..10);
    tester.put(50);
    tester.give_up(&[1, 50]);
    disk.fail_sync_after(0);
    tester.ask(Request::Flush { op: 0 });
    assert!(matches!(tester.error.take(), Some(StoreError::NotSynced { .. })));
    assert!(tester.gone.is_empty());
    assert_eq!((tester.get(1), tester.get(50)), (Ok(Some(chunk(1).1)), Ok(None)));
    assert_eq!(tester.stats().chunks, 10);
    // Until a segment follows, nobody knows where the one that was given up ends.
    tester.put(51);
    tester.ask(Request::Flush { op: 0 });
    equals_rebuild(&mut tester);
}

#[test]
fn a_full_disk_can_give_up_chunks() {
    let (disk, tester) = filled(0..40);
    tester.service.close();
    let used: u64 = disk.files().iter().map(|(_, length)| length).sum();
    disk.set_capacity(used + OPTIONS.reserve_bytes);
    let mut tester = Tester::open(&disk).unwrap();
    tester.put(50);
    assert!(matches!(tester.error.take(), Some(StoreError::Full { .. })));
    tester.give_up(&[1, 2]);
    tester.ask(Request::Flush { op: 0 });
    assert_eq!((tester.error.take(), tester.get(1)), (None, Ok(None)));
}

#[test]
fn what_was_closed_is_opened_without_reading_it_again() {
    let (disk, mut tester) = filled(0..60);
    tester.give_up(&[3, 4]);
    tester.ask(Request::Flush { op: 0 });
    tester.service.close();
    let (service, report) = Service::open(Arc::new(disk.clone()), OPTIONS).unwrap();
    assert_eq!((report.replayed, report.torn_bytes), (0, 0), "the last map became a run");
    drop(service);
    let mut tester = Tester::open(&disk).unwrap();
    assert_eq!((tester.get(3), tester.get(5)), (Ok(None), Ok(Some(chunk(5).1))));
    equals_rebuild(&mut tester);
}

#[test]
fn a_store_that_has_nothing_to_do_writes_nothing_and_one_that_has_counts_it() {
    let (disk, mut tester) = filled(0..20);
    let before = tester.stats().written;
    assert!(before.segments > 0 && before.state > 0 && before.total() > before.segments);
    for number in 0..20 {
        assert!(tester.get(number).unwrap().is_some());
    }
    tester.ask(Request::Flush { op: 0 });
    assert_eq!(tester.stats().written, before);
    tester.put(100);
    tester.ask(Request::Flush { op: 0 });
    assert!(tester.stats().written.segments > before.segments);
    tester.service.close();
    // Opened and closed again, only the database says that it is open and closed.
    let tester = Tester::open(&disk).unwrap();
    let written = tester.service.close();
    assert_eq!((written.segments, written.index, written.sets), (0, 0, 0), "{written:?}");
}

#[test]
fn what_was_ever_written_is_noted_with_other_writes_and_never_by_itself() {
    let (disk, mut tester) = filled(0..20);
    let ask = |tester: &mut Tester| tester.ask(Request::Save { op: 0, settings: vec![("a".into(), None)] });
    ask(&mut tester);
    let noted = tester.stats();
    let payload: usize = (0..20).map(|number| chunk(number).1.len()).sum();
    assert_eq!(noted.written_ever.payload, u64::try_from(payload).unwrap());
    assert_eq!(noted.written_ever, noted.written, "the store was new");
    drop(tester);
    let mut tester = Tester::open(&disk).unwrap();
    let again = tester.stats();
    assert!(again.written_ever.segments >= noted.written_ever.segments && again.written.payload == 0);
    assert_eq!(again.written_ever.payload, noted.written_ever.payload);
    assert!(again.written_ever.state > again.written.state);
    let settings = tester.ask(Request::Load { op: 1, prefix: String::new() });
    assert_eq!(settings, Some(Reply::Load { op: 1, settings: Vec::new() }), "it is the store's own");
}

#[test]
fn a_home_of_which_a_part_is_missing_is_no_empty_store() {
    let (disk, tester) = filled(0..20);
    tester.service.close();
    let refused = |disk: &SimDisk, name: &str| {
        let files = disk.files();
        let error = Tester::open(disk).map(|_| ()).unwrap_err();
        assert!(matches!(error, StoreError::Missing { .. }), "{error}");
        assert!(error.to_string().contains(name) && error.to_string().contains("mounted"), "{error}");
        assert_eq!(disk.files(), files, "nothing is made in its place");
    };
    let copy = disk.image(&mut ChaCha8Rng::seed_from_u64(1));
    copy.remove("state.redb").unwrap();
    refused(&copy, "state.redb");
    // Small as it was, a clean end did not note what was written; the next save does.
    let mut tester = Tester::open(&disk).unwrap();
    tester.ask(Request::Put { op: 50, id: chunk(50).0, bytes: chunk(50).1 });
    tester.ask(Request::Save { op: 0, settings: vec![("a".into(), None)] });
    tester.service.close();
    for (name, _) in disk.files().into_iter().filter(|(name, _)| name.starts_with("segments/")) {
        disk.remove(&name).unwrap();
    }
    refused(&disk, "segments");
}

#[test]
fn after_a_crash_no_more_of_the_log_is_read_again_than_the_bound() {
    let disk = SimDisk::new(1 << 24);
    let options = StoreOptions { delta_entries_max: 10_000, delta_log_bytes_max: 20_000, ..OPTIONS };
    let (mut service, _) = Service::open(Arc::new(disk.clone()), options).unwrap();
    let mut replies = Vec::new();
    for number in 0..100_u64 {
        let mut bytes = vec![0; 1_000];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        let id = ChunkId::from_bytes(Sha256::digest(&bytes).into());
        service.execute(Request::Put { op: number, id, bytes }, &mut replies);
        service.flush(&mut replies);
        let image = disk.image(&mut ChaCha8Rng::seed_from_u64(number));
        let (_, report) = Service::open(Arc::new(image), options).unwrap();
        assert!(report.replayed <= 20_000 / 1_060 + 1, "{report:?}");
    }
    assert_eq!(replies.len(), 100);
}
