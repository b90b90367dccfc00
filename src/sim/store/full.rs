//! Tests: a disk that has no space left, found out by any call that might need some.
//!
//! Owns the choice of the call. Whatever it is, nothing that was acknowledged is lost, reading goes on, and with room the store goes on
//! as if nothing had been. Read `images.rs` for what is known of chunks.

use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::images::{step, Known, Shelf};
use super::tester::{check, chunk, Tester, OPTIONS};
use crate::sim::disk::{Fault, SimDisk};
use crate::store::chunks::Chunks;
use crate::store::disk::Disk;
use crate::store::error::StoreError;
use crate::store::service::{Reply, Request, Service, StoreOptions};

/// What calls that may need space are for.
const NEEDS_SPACE: [&str; 5] = ["write", "sync", "rename", "create", "cut"];
/// Room for everything.
const ROOM: u64 = 1 << 24;
/// Steps of the workload.
const STEPS: u64 = 160;

/// Puts, gives up, compacts, merges, scrubs, and builds an index run anew.
fn work(disk: &SimDisk, shelf: &mut Shelf, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut asks = Vec::new();
    for number in 0..STEPS {
        if number == STEPS / 2 {
            let runs = disk.files().into_iter().filter(|(name, _)| name.ends_with(".run"));
            if let Some((name, _)) = runs.max_by_key(|(_, length)| *length) {
                disk.flip_bits(&name, 5, 1);
            }
        }
        step(shelf, &mut rng, number, &mut asks);
    }
}

/// Opens a store whose index may be damaged.
fn open(disk: &SimDisk, known: Known) -> Result<Shelf, StoreError> {
    let (chunks, report) = Chunks::open(Arc::new(disk.clone()), OPTIONS)?;
    let wrong = [report.rotten_places, report.segments_lost, report.chunks_lost, report.files_set_aside];
    assert_eq!(wrong, [0; 4], "{report:?}");
    Ok(Shelf::over(chunks, known))
}

/// What was acknowledged is there, what was given up is not.
fn reads(shelf: &mut Shelf, call: u64) {
    for number in &shelf.known.here {
        let (id, sealed) = chunk(*number);
        assert_eq!(shelf.chunks.read(&id), Ok(Some(sealed)), "chunk {number}, call {call}");
    }
    for number in &shelf.known.gone {
        assert_eq!(shelf.chunks.read(&chunk(*number).0), Ok(None), "chunk {number}, call {call}");
    }
}

/// Files of the index that are no run: one of a merge under way is no waste.
fn unfinished(disk: &SimDisk) -> usize {
    disk.files().iter().filter(|(name, _)| name.ends_with(".tmp")).count()
}

/// Lets `call` suffer `fault` while the store is at work; then there is room, and it goes on.
fn suffer(seed: u64, call: u64, fault: Fault) {
    let disk = SimDisk::new(ROOM);
    disk.fail_after(call, fault);
    let mut shelf = open(&disk, Known::default()).unwrap_or_else(|_| {
        disk.set_capacity(ROOM);
        open(&disk, Known::default()).expect("it opens when there is room")
    });
    work(&disk, &mut shelf, seed);
    reads(&mut shelf, call);
    assert!(unfinished(&disk) <= 1, "call {call}: {:?}", disk.files());
    let mut rng = ChaCha8Rng::seed_from_u64(call);
    let image = disk.image(&mut rng);
    let opened = match open(&image, shelf.known.clone()) {
        // A damaged index of which more must be read again than memory may hold: that takes a little of the reserve.
        Err(StoreError::Full { .. }) => {
            image.set_capacity(image.used() + 50_000);
            open(&image, shelf.known.clone())
        }
        opened => opened,
    };
    match opened {
        Ok(mut opened) => reads(&mut opened, call),
        Err(error) => panic!("call {call}: a full store cannot be opened: {error:?} {:?}", image.files()),
    }
    disk.set_capacity(ROOM);
    disk.heal();
    shelf.errors = 0;
    shelf.chunks.flush().expect("it goes on when there is room");
    shelf.put(1_000_000);
    let given_up: Vec<u64> = shelf.known.here.iter().copied().step_by(5).collect();
    shelf.give_up(&given_up);
    let mut asks = Vec::new();
    while shelf.compact(2_000, &mut asks) {}
    while !shelf.chunks.scrub(1 << 20).expect("it goes on when there is room").finished {}
    shelf.chunks.flush().expect("it goes on when there is room");
    shelf.hear();
    assert_eq!(shelf.errors, 0, "call {call}");
    assert!(shelf.known.here.contains(&1_000_000), "call {call}");
    shelf.check(&disk, OPTIONS);
    let known = shelf.known.clone();
    shelf.chunks.close().expect("it goes on when there is room");
    let mut again = Shelf::open(&disk, OPTIONS, known);
    again.check(&disk, OPTIONS);
    assert_eq!(unfinished(&disk), 0);
}

/// Every `stride`-th call of a workload that may need space, from the `first`; how many these were.
fn suffer_everywhere(seed: u64, first: usize, stride: usize, fault: Fault) -> usize {
    let disk = SimDisk::new(ROOM);
    disk.trace();
    let mut shelf = open(&disk, Known::default()).unwrap();
    work(&disk, &mut shelf, seed);
    assert_eq!(shelf.errors, 0);
    assert!(shelf.removed > 0, "it is no busy store");
    let calls = disk.traced();
    let needing =
        (0..).zip(&calls).filter(|(_, verb)| NEEDS_SPACE.contains(verb)).skip(first).step_by(stride);
    let needing: Vec<u64> = needing.map(|(call, _)| call).collect();
    println!("seed {seed}: {} calls, {} of them with {fault:?}", calls.len(), needing.len());
    needing.iter().for_each(|call| suffer(seed, *call, fault));
    needing.len()
}

/// A store of large segments, beside which runs and the reserve are as small as they are in truth.
const SCALED: StoreOptions = StoreOptions {
    segment_bytes_max: 64 * 1024,
    reserve_bytes: 64 * 1024,
    delta_entries_max: 92,
    delta_log_bytes_max: 1 << 20,
};

/// Puts chunks until the disk is full.
fn fill(shelf: &mut Shelf) {
    for number in 0.. {
        shelf.put(number);
        shelf.hear();
        if shelf.errors > 0 {
            break;
        }
    }
    shelf.chunks.flush().unwrap();
    shelf.hear();
    shelf.errors = 0;
}

/// A full store, and how much is free.
fn filled(capacity: u64) -> (SimDisk, Shelf, u64) {
    let disk = SimDisk::new(capacity);
    let mut shelf = Shelf::open(&disk, SCALED, Known::default());
    fill(&mut shelf);
    let free = disk.free_bytes().unwrap();
    (disk, shelf, free)
}

#[test]
fn a_disk_that_is_full_from_any_call_on_costs_nothing_acknowledged() {
    assert!(suffer_everywhere(1, 0, 3, Fault::Fills) > 100);
}

#[test]
fn any_call_that_finds_no_space_once_costs_nothing_acknowledged() {
    assert!(suffer_everywhere(1, 1, 5, Fault::Full) > 60);
}

#[test]
fn any_call_that_fails_to_change_the_medium_costs_nothing_acknowledged() {
    assert!(suffer_everywhere(1, 2, 5, Fault::Io) > 60);
}

#[test]
fn a_sync_that_fails_in_the_midst_of_a_request_takes_back_all_that_it_gave_up() {
    let mut failed = 0;
    for earlier in 0..60 {
        let disk = SimDisk::new(ROOM);
        let mut shelf = open(&disk, Known::default()).unwrap();
        (1..=100).filter(|number| number % 5 != 0).for_each(|number| shelf.put(number));
        shelf.chunks.flush().unwrap();
        shelf.hear();
        let all: Vec<u64> = shelf.known.here.iter().copied().collect();
        let (before, rest) = all.split_at(earlier);
        for number in before {
            shelf.give_up(&[*number]);
            shelf.chunks.flush().unwrap();
        }
        shelf.hear();
        disk.fail_sync_after(0);
        shelf.give_up(&rest[..8]);
        let _ = shelf.chunks.flush();
        shelf.hear();
        // Only the sync of a last mark may fail without anybody's loss.
        let expected = if shelf.errors == 0 { earlier + 8 } else { earlier };
        assert_eq!(shelf.known.gone.len(), expected, "what was not synced is not said to be gone");
        failed += shelf.errors;
        shelf.put(1_000_000);
        shelf.chunks.flush().unwrap();
        shelf.hear();
        shelf.check(&disk, OPTIONS);
    }
    assert!(failed > 40, "{failed}");
}

#[test]
#[ignore = "every call of many workloads takes minutes"]
fn a_full_or_failing_disk_at_every_call_of_many_workloads_costs_nothing_acknowledged() {
    for seed in 1..=10 {
        for fault in [Fault::Fills, Fault::Full, Fault::Io] {
            suffer_everywhere(seed, 0, 1, fault);
        }
    }
}

#[test]
fn a_full_store_can_give_up_almost_half_of_every_segment_before_anything_is_given_back() {
    let (disk, mut shelf, free) = filled(3 << 20);
    let stats = shelf.chunks.stats().unwrap();
    assert!(stats.chunks > 2_000 && stats.segments > 30, "{stats:?}");
    // In the order of ids, as collection does: that is none of the log.
    let ids: Vec<u64> =
        shelf.known.tried.values().copied().filter(|number| shelf.known.here.contains(number)).collect();
    let half: Vec<u64> = ids.iter().copied().filter(|number| number % 20 < 9).collect();
    for some in half.chunks(50) {
        shelf.give_up(some);
        shelf.hear();
    }
    shelf.chunks.flush().unwrap();
    shelf.hear();
    assert_eq!((shelf.errors, shelf.known.gone.len()), (0, half.len()));
    reads(&mut shelf, 0);
    let rest: Vec<u64> = ids.iter().copied().filter(|number| number % 20 == 9 || number % 20 > 13).collect();
    for some in rest.chunks(50) {
        shelf.give_up(some);
        let mut asks = Vec::new();
        while shelf.compact(20_000, &mut asks) {}
        shelf.hear();
    }
    shelf.chunks.flush().unwrap();
    shelf.hear();
    assert_eq!((shelf.errors, shelf.known.gone.len()), (0, half.len() + rest.len()));
    assert!(disk.free_bytes().unwrap() > free + (1 << 20), "{} and {free}", disk.free_bytes().unwrap());
    shelf.put(1_000_000);
    shelf.chunks.flush().unwrap();
    shelf.hear();
    assert!(shelf.known.here.contains(&1_000_000));
    disk.set_capacity(ROOM);
    shelf.check(&disk, SCALED);
}

#[test]
fn a_merge_that_needs_the_reserve_waits_and_says_so() {
    let (disk, mut shelf, _) = filled(3 << 20);
    let wants = |shelf: &Shelf| shelf.chunks.stats().unwrap().merge_wants_bytes;
    // Somebody else takes what the store leaves.
    disk.set_capacity(disk.used() + 100_000);
    let mut most = 0;
    for turn in 0..20_u64 {
        let some: Vec<u64> = (turn * 30..turn * 30 + 30).collect();
        shelf.give_up(&some);
        let written = shelf.chunks.flush();
        assert_eq!(written, Ok(()));
        shelf.hear();
        most = most.max(wants(&shelf));
        assert_eq!(unfinished(&disk), 0, "nothing is begun that cannot be ended");
    }
    assert!(most > 0 && shelf.errors == 0, "{most}");
    reads(&mut shelf, 0);
    let before = shelf.chunks.stats().unwrap().runs;
    disk.set_capacity(ROOM);
    for number in 2_000_000..2_000_200 {
        shelf.put(number);
        shelf.chunks.flush().unwrap();
    }
    shelf.hear();
    let after = shelf.chunks.stats().unwrap();
    assert!(after.merge_wants_bytes == 0 && after.runs < before, "{before} {after:?}");
    shelf.check(&disk, SCALED);
}

#[test]
fn a_merge_under_way_ends_when_its_room_goes() {
    let (disk, mut shelf, _) = filled(3 << 20);
    disk.set_capacity(ROOM);
    for number in 3_000_000.. {
        shelf.put(number);
        shelf.chunks.flush().unwrap();
        if unfinished(&disk) == 1 {
            break;
        }
    }
    disk.set_capacity(disk.used() + 1_000);
    shelf.give_up(&[1]);
    shelf.chunks.flush().unwrap();
    shelf.hear();
    assert!(unfinished(&disk) == 0 && shelf.chunks.stats().unwrap().merge_wants_bytes > 0);
    reads(&mut shelf, 0);
}

#[test]
fn a_damaged_segment_without_room_to_save_it_does_not_keep_others_from_being_given_back() {
    let (disk, mut shelf, _) = filled(1 << 20);
    let sealed = chunk(5).1;
    let content = disk.content("segments/00000000.seg").unwrap();
    let at = content.windows(sealed.len()).position(|bytes| bytes == sealed).unwrap();
    // The header of the record: its body can be saved.
    disk.flip_bits("segments/00000000.seg", u64::try_from(at).unwrap() - 30, 4);
    while !shelf.chunks.scrub(1 << 20).unwrap().finished {}
    let last: Vec<u64> = shelf.known.here.iter().copied().filter(|number| *number > 900).collect();
    shelf.give_up(&last);
    shelf.chunks.flush().unwrap();
    shelf.hear();
    disk.set_capacity(disk.used() + 50_000);
    let mut asks = Vec::new();
    while shelf.compact(20_000, &mut asks) {}
    assert_eq!(
        (shelf.errors, disk.exists("segments/00000000.seg")),
        (0, Ok(false)),
        "with the room from others it is saved"
    );
    assert!(shelf.removed > 3, "{}", shelf.removed);
    reads(&mut shelf, 0);
}

/// The whole service, with feeds, settings and sets, on a disk that is full from `call` on.
fn suffer_whole(call: u64) {
    let disk = SimDisk::new(ROOM);
    disk.fail_after(call, Fault::Fills);
    let mut tester = Tester::open(&disk).unwrap_or_else(|_| {
        disk.set_capacity(ROOM);
        Tester::open(&disk).expect("it opens when there is room")
    });
    tester.stubborn = true;
    tester.work(2);
    // The database's calls are not quite the same each time: the one that was meant may not have come.
    disk.heal();
    still_reads(&mut tester, call);
    let mut rng = ChaCha8Rng::seed_from_u64(call);
    let image = disk.image(&mut rng);
    let opened = Service::open(Arc::new(image), OPTIONS);
    let (service, _) =
        opened.unwrap_or_else(|error| panic!("call {call}: a full home cannot be opened: {error}"));
    let mut again = Tester::open(&SimDisk::new(ROOM)).unwrap();
    again.service = service;
    (again.acknowledged, again.entries) = (tester.acknowledged.clone(), tester.entries);
    still_reads(&mut again, call);
    disk.set_capacity(ROOM);
    tester.error = None;
    tester.put(1);
    tester.ask(Request::Flush { op: 0 });
    tester.append();
    assert_eq!(tester.error, None, "call {call}");
    let after = disk.lose_power(&mut rng);
    check(&after, &tester.die());
}

/// Chunks and feed entries that were acknowledged are read.
fn still_reads(tester: &mut Tester, call: u64) {
    for number in tester.acknowledged.clone() {
        assert_eq!(tester.get(number), Ok(Some(chunk(number).1)), "call {call}");
    }
    let entries = tester.ask(Request::Entries { op: 0, feed: None, after: None, limit_bytes: 1 << 20 });
    let Some(Reply::Entries { entries, .. }) = entries else { panic!("call {call}: {entries:?}") };
    assert!(u64::try_from(entries.len()).unwrap() >= tester.entries.1, "call {call}");
}

#[test]
fn a_home_on_a_disk_that_is_full_from_any_call_on_is_read_and_loses_nothing() {
    let disk = SimDisk::new(ROOM);
    disk.trace();
    Tester::open(&disk).unwrap().work(2);
    let calls = disk.traced();
    let needing = (0..).zip(&calls).filter(|(_, verb)| NEEDS_SPACE.contains(verb));
    let needing: Vec<u64> = needing.map(|(call, _)| call).step_by(8).collect();
    println!("{} calls, {} of them", calls.len(), needing.len());
    assert!(needing.len() > 40);
    needing.into_iter().for_each(suffer_whole);
}
