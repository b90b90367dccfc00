//! Tests: segments that are given back, and what must not go with them.

use std::collections::BTreeSet;

use super::damage::{filled, place_of};
use super::tester::{chunk, equals_rebuild, Tester, OPTIONS};
use crate::base::ids::ChunkId;
use crate::sim::disk::SimDisk;
use crate::store::disk::Disk;
use crate::store::service::{CompactState, Compacted, Reply, Request, StoreError};

/// Compacts until there is nothing to do; what all steps came to. `held`: chunks that are held when it asks.
pub(super) fn compact(tester: &mut Tester, held: &[u64]) -> Compacted {
    let held: BTreeSet<ChunkId> = held.iter().map(|number| chunk(*number).0).collect();
    let mut sum = Compacted::default();
    loop {
        let keep = sum.asks.iter().filter(|id| held.contains(id)).copied().collect();
        let Some(Reply::Compact { result, .. }) = tester.ask(Request::Compact { op: 0, bytes: 1_500, keep })
        else {
            panic!("no reply")
        };
        let done = result.unwrap();
        assert_eq!(done.asks.is_empty(), done.state != CompactState::Asking);
        sum.damaged.extend(done.damaged);
        sum.kept += done.kept;
        sum.copied_bytes += done.copied_bytes;
        sum.removed_segments += done.removed_segments;
        sum.freed_bytes += done.freed_bytes;
        if done.state == CompactState::Idle {
            return sum;
        }
        sum.asks = done.asks;
    }
}

/// Bytes of all segments.
fn segment_bytes(disk: &SimDisk) -> u64 {
    disk.files().iter().filter(|(name, _)| name.ends_with(".seg")).map(|(_, length)| length).sum()
}

#[test]
fn segments_of_which_half_is_dead_are_given_back() {
    let (disk, mut tester) = filled(0..200);
    let (before, full) = (tester.stats(), segment_bytes(&disk));
    assert_eq!(compact(&mut tester, &[]), Compacted::default(), "nothing is dead");
    let given_up: Vec<u64> = (0..200).filter(|number| number % 4 != 0).collect();
    given_up.chunks(20).for_each(|numbers| tester.give_up(numbers));
    tester.ask(Request::Flush { op: 0 });
    let done = compact(&mut tester, &[]);
    assert!(done.removed_segments >= before.segments / 2, "{done:?}");
    let left = segment_bytes(&disk);
    assert!(left < full * 2 / 3, "{left} of {full}");
    equals_rebuild(&mut tester);
    let written = tester.stats().written;
    assert_eq!(compact(&mut tester, &[]).removed_segments, 0);
    assert_eq!(tester.stats().written, written, "idle writes nothing");
    tester.service.close();
    let mut tester = Tester::open(&disk).unwrap();
    for number in 0..200 {
        let expected = (number % 4 == 0).then(|| chunk(number).1);
        assert_eq!(tester.get(number), Ok(expected));
    }
    assert_eq!((tester.stats().chunks, tester.stats().rotten_bytes), (50, 0));
}

#[test]
fn a_chunk_that_is_held_after_all_is_kept() {
    let (_, mut tester) = filled(0..100);
    let given_up: Vec<u64> = (0..90).collect();
    tester.give_up(&given_up);
    tester.ask(Request::Flush { op: 0 });
    let done = compact(&mut tester, &[7, 50, 95]);
    assert_eq!((done.kept, tester.get(7), tester.get(8)), (2, Ok(Some(chunk(7).1)), Ok(None)));
    tester.ask(Request::Flush { op: 0 });
    assert_eq!(tester.stats().chunks, 12);
    equals_rebuild(&mut tester);
}

#[test]
fn what_was_given_up_does_not_come_back_when_the_drop_goes_first() {
    // Few dead bytes in the segment of the records, many in that of the drops.
    let (_, mut tester) = filled(0..60);
    tester.give_up(&[0, 1, 2]);
    (100..160).for_each(|number| tester.put(number));
    tester.give_up(&(100..160).collect::<Vec<_>>());
    (200..240).for_each(|number| tester.put(number));
    tester.ask(Request::Flush { op: 0 });
    assert!(compact(&mut tester, &[]).removed_segments > 1);
    equals_rebuild(&mut tester);
    tester.put(1);
    tester.ask(Request::Flush { op: 0 });
    (300..400).for_each(|number| tester.put(number));
    tester.give_up(&(300..400).collect::<Vec<_>>());
    (500..540).for_each(|number| tester.put(number));
    tester.ask(Request::Flush { op: 0 });
    compact(&mut tester, &[]);
    assert_eq!((tester.get(0), tester.get(1)), (Ok(None), Ok(Some(chunk(1).1))));
    equals_rebuild(&mut tester);
}

#[test]
fn a_full_disk_can_be_compacted() {
    let (disk, mut tester) = filled(0..200);
    let used: u64 = disk.files().iter().map(|(_, length)| length).sum();
    disk.set_capacity(used + 8 * OPTIONS.segment_bytes_max);
    let full = segment_bytes(&disk);
    tester.give_up(&(0..200).filter(|number| number % 5 != 1).collect::<Vec<_>>());
    tester.ask(Request::Flush { op: 0 });
    assert!(compact(&mut tester, &[]).removed_segments > 5);
    assert_eq!(tester.error, None);
    assert!(segment_bytes(&disk) < full / 2);
    disk.set_capacity(1 << 24);
    equals_rebuild(&mut tester);
}

#[test]
fn bodies_behind_damaged_headers_are_saved_and_damaged_bodies_are_said() {
    let (disk, mut tester) = filled(0..100);
    let (name, at) = place_of(&disk, 8);
    disk.flip_bits(&name, at - 30, 4);
    let (damaged_name, damaged_at) = place_of(&disk, 4);
    disk.flip_bits(&damaged_name, damaged_at + 1, 4);
    tester.give_up(&(0..100).filter(|number| ![4, 8].contains(number)).collect::<Vec<_>>());
    tester.ask(Request::Flush { op: 0 });
    let done = compact(&mut tester, &[]);
    assert_eq!(done.damaged, [chunk(4).0]);
    assert!(!disk.exists(&name).unwrap() && !disk.exists(&damaged_name).unwrap());
    assert_eq!((tester.get(8), tester.get(4)), (Ok(Some(chunk(8).1)), Ok(None)));
    assert_eq!(tester.stats().chunks, 1);
    equals_rebuild(&mut tester);
}

#[test]
fn a_failing_disk_delays_compaction_and_loses_nothing() {
    for call in 0..250 {
        let (disk, mut tester) = filled(0..60);
        tester.give_up(&(0..60).filter(|number| number % 4 != 0).collect::<Vec<_>>());
        tester.ask(Request::Flush { op: 0 });
        match call % 3 {
            0 => disk.fail_sync_after(call / 30),
            1 => disk.fail_after(call, crate::sim::disk::Fault::Io),
            _ => disk.fail_after(call, crate::sim::disk::Fault::Full),
        }
        while let Some(Reply::Compact { result, .. }) =
            tester.ask(Request::Compact { op: 0, bytes: 900, keep: vec![] })
        {
            match result {
                Ok(Compacted { state: CompactState::Idle, .. }) => break,
                Ok(_) | Err(StoreError::Disk(_) | StoreError::Full { .. } | StoreError::NotSynced { .. }) => {
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        disk.heal();
        tester.ask(Request::Flush { op: 0 });
        for number in (0..60).step_by(4) {
            assert_eq!(tester.get(number), Ok(Some(chunk(number).1)), "call {call}");
        }
        tester.put(99);
        tester.ask(Request::Flush { op: 0 });
        tester.error = None;
        equals_rebuild(&mut tester);
    }
}

#[test]
fn a_drop_that_is_said_again_does_not_hide_what_was_put_since() {
    let (disk, mut tester) = filled(0..60);
    tester.give_up(&[0, 1, 2]);
    (100..160).for_each(|number| tester.put(number));
    tester.put(1);
    tester.give_up(&(100..160).collect::<Vec<_>>());
    (200..240).for_each(|number| tester.put(number));
    tester.ask(Request::Flush { op: 0 });
    assert!(compact(&mut tester, &[]).removed_segments > 1);
    tester.ask(Request::Flush { op: 0 });
    assert_eq!(tester.get(1), Ok(Some(chunk(1).1)));
    equals_rebuild(&mut tester);
    drop(tester);
    assert_eq!(Tester::open(&disk).unwrap().get(1), Ok(Some(chunk(1).1)));
}

#[test]
fn after_a_compaction_that_was_cut_off_nothing_that_was_given_up_comes_back() {
    let (disk, mut tester) = filled(0..60);
    let first: Vec<u64> =
        (0..60).filter(|number| place_of(&disk, *number).0.ends_with("/00000000.seg")).collect();
    // Just half of the first segment dies, so that others have more dead bytes later.
    let half = usize::try_from(disk.len("segments/00000000.seg").unwrap()).unwrap() / 2;
    let (mut lives, mut kept) = (Vec::new(), 100);
    for number in &first {
        let length = chunk(*number).1.len() + 60;
        if kept + length < half {
            kept += length;
            lives.push(*number);
        }
    }
    tester.give_up(&first.iter().copied().filter(|number| !lives.contains(number)).collect::<Vec<_>>());
    tester.ask(Request::Flush { op: 0 });
    let mut copied = 0;
    while copied == 0 {
        match tester.ask(Request::Compact { op: 0, bytes: 1, keep: vec![] }) {
            Some(Reply::Compact { result: Ok(done), .. }) => copied += done.copied_bytes,
            other => panic!("{other:?}"),
        }
    }
    // The program ends in the middle of it; then what was moved is given up, and all else where it was moved to.
    tester.service.close();
    let mut tester = Tester::open(&disk).unwrap();
    tester.give_up(&lives[..1]);
    (200..230).for_each(|number| tester.put(number));
    tester.give_up(&(first[first.len() - 1] + 1..60).chain(200..230).collect::<Vec<_>>());
    (300..320).for_each(|number| tester.put(number));
    tester.ask(Request::Flush { op: 0 });
    let mut removed = 0;
    loop {
        let reply = tester.ask(Request::Compact { op: 0, bytes: 500, keep: vec![] });
        let Some(Reply::Compact { result: Ok(done), .. }) = reply else { panic!("{reply:?}") };
        removed += done.removed_segments;
        if done.removed_segments > 0 {
            equals_rebuild(&mut tester);
        }
        if done.state == CompactState::Idle {
            break;
        }
    }
    assert!(removed > 3, "{removed}");
}

/// The bytes of a chunk on the medium, in whatever segment.
fn is_on_medium(disk: &SimDisk, number: u64) -> bool {
    let sealed = chunk(number).1;
    let names = disk.files().into_iter().map(|(name, _)| name).filter(|name| name.ends_with(".seg"));
    names
        .filter_map(|name| disk.content(&name))
        .any(|content| content.windows(sealed.len()).any(|window| window == sealed.as_slice()))
}

#[test]
fn what_shall_go_soon_is_on_the_medium_no_more_however_much_of_its_segment_lives() {
    let (disk, mut tester) = filled(0..100);
    // One in the midst, and one in the segment that is being written.
    tester.give_up(&[40, 99]);
    tester.ask(Request::Flush { op: 0 });
    assert_eq!(compact(&mut tester, &[]).removed_segments, 0, "little is dead");
    assert!(is_on_medium(&disk, 40) && is_on_medium(&disk, 99));
    tester.ask(Request::Hasten);
    tester.put(200);
    let done = compact(&mut tester, &[]);
    assert!((1..=3).contains(&done.removed_segments), "only those segments: {done:?}");
    assert!(!is_on_medium(&disk, 40) && !is_on_medium(&disk, 99));
    equals_rebuild(&mut tester);
    let written = tester.stats().written;
    tester.ask(Request::Hasten);
    assert_eq!(compact(&mut tester, &[]).removed_segments, 0, "that is done");
    assert_eq!(tester.stats().written, written, "and costs nothing more");
    for number in (0..100).filter(|number| ![40, 99].contains(number)) {
        assert_eq!(tester.get(number), Ok(Some(chunk(number).1)));
    }
}
