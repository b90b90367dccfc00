//! Tests: everything is read again, whatever rots is found, and a restart does not begin from the start.

use super::compaction::compact;
use super::damage::{filled, place_of};
use super::tester::{chunk, equals_rebuild, Tester};
use crate::sim::disk::SimDisk;
use crate::store::disk::Disk;
use crate::store::service::{Reply, Request, Scrubbed, StoreError};

/// One step.
fn step(tester: &mut Tester, bytes: u64) -> Scrubbed {
    match tester.ask(Request::Scrub { op: 0, bytes }) {
        Some(Reply::Scrub { result, .. }) => result.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Scrubs to the end, in steps of that size; the sum.
fn scrub(tester: &mut Tester, bytes: u64) -> Scrubbed {
    let mut sum = Scrubbed::default();
    loop {
        let done = step(tester, bytes);
        sum.bytes += done.bytes;
        sum.chunks += done.chunks;
        sum.places += done.places;
        sum.damaged.extend(done.damaged);
        if done.finished {
            return sum;
        }
    }
}

#[test]
fn everything_is_read_once_and_nothing_is_found_where_nothing_is_wrong() {
    let (disk, mut tester) = filled(0..100);
    tester.give_up(&[3, 4, 5]);
    tester.ask(Request::Flush { op: 0 });
    for bytes in [1, 700, 1 << 30] {
        let done = scrub(&mut tester, bytes);
        assert_eq!((done.chunks, done.places, done.damaged), (97, 0, vec![]), "{bytes}");
    }
    let before = tester.stats().written;
    scrub(&mut tester, 1 << 30);
    assert_eq!(
        (tester.stats().written.segments, tester.stats().written.index),
        (before.segments, before.index)
    );
    drop(tester);
    equals_rebuild(&mut Tester::open(&disk).unwrap());
}

#[test]
fn damaged_chunks_are_told_and_can_be_put_again() {
    let (disk, mut tester) = filled(0..100);
    for number in [7, 50, 99] {
        let (name, at) = place_of(&disk, number);
        disk.flip_bits(&name, at, 0x80);
    }
    let mut done = scrub(&mut tester, 2_000);
    let mut expected = [7, 50, 99].map(|number| chunk(number).0).to_vec();
    expected.sort();
    done.damaged.sort();
    assert_eq!((done.damaged, tester.stats().quarantined), (expected, 3));
    [7, 50, 99].into_iter().for_each(|number| tester.put(number));
    tester.ask(Request::Flush { op: 0 });
    let done = scrub(&mut tester, 2_000);
    assert_eq!((done.chunks, done.damaged), (100, vec![]));
    equals_rebuild(&mut tester);
}

#[test]
fn a_restart_goes_on_where_the_scrub_was() {
    let (disk, mut tester) = filled(0..200);
    let all = scrub(&mut tester, 1 << 30).bytes;
    let mut read = 0;
    while read < all / 2 {
        read += step(&mut tester, 3_000).bytes;
    }
    let left = step(&mut tester, 1);
    assert!(left.segments_left < left.segments * 2 / 3, "{left:?}");
    tester.service.close();
    let mut tester = Tester::open(&disk).unwrap();
    let rest = scrub(&mut tester, 1 << 30).bytes;
    assert!(rest < all * 2 / 3, "{rest} of {all}");
    assert!(scrub(&mut tester, 1 << 30).bytes >= all, "the next one reads everything");
}

#[test]
fn a_disk_that_is_gone_ends_no_chunk() {
    let (disk, mut tester) = filled(0..50);
    disk.fail_after(4, crate::sim::disk::Fault::PowerLoss);
    let reply = tester.ask(Request::Scrub { op: 0, bytes: 1 << 30 });
    assert!(matches!(reply, Some(Reply::Scrub { result: Err(StoreError::Disk(_)), .. })), "{reply:?}");
    disk.heal();
    let done = scrub(&mut tester, 1 << 30);
    assert_eq!((done.damaged, done.places, tester.stats().chunks), (vec![], 0, 50));
}

#[test]
fn a_whole_body_behind_a_damaged_header_is_saved_and_the_segment_replaced() {
    let (disk, mut tester) = filled(0..100);
    let (name, at) = place_of(&disk, 7);
    disk.flip_bits(&name, at - 40, 2);
    let done = scrub(&mut tester, 2_000);
    assert_eq!((done.places, done.damaged), (1, vec![]));
    tester.ask(Request::Flush { op: 0 });
    assert!(compact(&mut tester, &[]).removed_segments >= 1);
    assert!(!disk.exists(&name).unwrap(), "what is damaged is written anew");
    assert_eq!((scrub(&mut tester, 2_000).places, tester.get(7)), (0, Ok(Some(chunk(7).1))));
    assert_eq!(tester.stats().chunks, 100);
    equals_rebuild(&mut tester);
}

#[test]
fn a_read_sees_a_damaged_header_and_the_segment_is_replaced() {
    let (disk, mut tester) = filled(0..100);
    let (name, at) = place_of(&disk, 7);
    disk.flip_bits(&name, at - 40, 2);
    assert_eq!(tester.get(7), Ok(Some(chunk(7).1)), "the body is right");
    tester.ask(Request::Flush { op: 0 });
    assert!(compact(&mut tester, &[]).removed_segments >= 1);
    assert!(!disk.exists(&name).unwrap(), "what is damaged is written anew");
    assert_eq!((tester.get(7), tester.stats().chunks), (Ok(Some(chunk(7).1)), 100));
    equals_rebuild(&mut tester);
}

#[test]
fn a_chunk_whose_checksum_alone_has_rotted_is_whole_and_its_segment_replaced() {
    let (disk, mut tester) = filled(0..100);
    let (name, at) = place_of(&disk, 7);
    let body = chunk(7).1;
    disk.flip_bits(&name, at + u64::try_from(body.len()).unwrap() + 3, 2);
    let lend = |tester: &mut Tester| tester.ask(Request::Lend { op: 1, id: chunk(7).0 });
    assert_eq!(lend(&mut tester), Some(Reply::Get { op: 1, id: chunk(7).0, result: Ok(Some(body.clone())) }));
    assert_eq!(tester.get(7), Ok(Some(body.clone())));
    tester.ask(Request::Flush { op: 0 });
    assert!(compact(&mut tester, &[]).removed_segments >= 1);
    assert!(!disk.exists(&name).unwrap(), "what is damaged is written anew");
    assert_eq!((scrub(&mut tester, 2_000).places, tester.get(7)), (0, Ok(Some(body.clone()))));
    assert_eq!((tester.stats().chunks, tester.stats().quarantined), (100, 0));
    let (name, at) = place_of(&disk, 7);
    disk.flip_bits(&name, at + 3, 2);
    let damaged = Err(StoreError::Damaged { id: chunk(7).0 });
    assert_eq!(lend(&mut tester), Some(Reply::Get { op: 1, id: chunk(7).0, result: damaged }));
    assert_eq!(tester.get(7), Ok(None), "it counts as missing");
    equals_rebuild(&mut tester);
}

#[test]
fn any_flipped_bit_of_segments_and_index_is_found() {
    let (disk, tester) = filled(0..40);
    tester.service.close();
    let mut flips = 0_usize;
    for (name, length) in disk.files() {
        let is_checked = name.ends_with(".seg") || name.ends_with(".run");
        // Behind what was in use a mark may be the last thing: it is covered by the next sync.
        let end = if name.ends_with(".seg") { length.saturating_sub(52) } else { length };
        for at in (0..end).step_by(97).filter(|_| is_checked) {
            let copy: SimDisk = disk.bare_copy();
            let mut tester = Tester::open(&copy).unwrap();
            copy.flip_bits(&name, at, 1 << (at % 8));
            let done = scrub(&mut tester, 1 << 30);
            let rebuilt = !copy.exists(&name).unwrap();
            assert!(done.places > 0 || !done.damaged.is_empty() || rebuilt, "byte {at} of {name}: {done:?}");
            assert_eq!(done.damaged.len(), usize::try_from(tester.stats().quarantined).unwrap());
            flips += 1;
        }
    }
    assert!(flips > 300, "{flips}");
}
