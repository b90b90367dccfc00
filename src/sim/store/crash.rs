//! Tests only: the whole service on a disk that loses what it may lose, at every call.
//!
//! Owns the choice of where to crash. Read `tester.rs` first.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::tester::{check, Tester};
use crate::sim::disk::{Fault, SimDisk};

/// Crashes a workload in call `call`, checks, goes on, crashes again in call `again` of the recovery, and checks.
fn crash_twice(seed: u64, call: u64, again: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ call << 20);
    let disk = SimDisk::new(1 << 24);
    disk.fail_after(call, Fault::PowerLoss);
    let Ok(mut before) = Tester::open(&disk) else {
        let disk = disk.lose_power(&mut rng);
        Tester::open(&disk).expect("it opens after a crash of the first open").put(1);
        return;
    };
    before.work(seed);
    let disk = disk.lose_power(&mut rng);
    let before = before.die();
    let second = disk.image(&mut rng);
    second.fail_after(again, Fault::PowerLoss);
    let mut interrupted = Tester::open(&second);
    if let Ok(interrupted) = &mut interrupted {
        interrupted.appends = false;
        interrupted.work(seed + 500);
    }
    let second = second.lose_power(&mut rng);
    drop(interrupted);
    check(&second, &before);
    let mut after = check(&disk, &before);
    after.work(seed + 700);
    assert_eq!(after.error, None, "the store goes on working");
    let disk = disk.lose_power(&mut rng);
    let mut after = after.die();
    after.tried.extend(&before.tried);
    check(&disk, &after);
}

/// Disk calls of a whole workload.
fn calls(seed: u64) -> u64 {
    let disk = SimDisk::new(1 << 24);
    let mut tester = Tester::open(&disk).unwrap();
    tester.work(seed);
    assert_eq!(tester.error, None);
    let calls = disk.calls();
    // Runs are numbered as they are written; at the end they may have been merged into one.
    let runs = disk.files().into_iter().filter_map(|(name, _)| {
        let number = name.strip_prefix("index/")?.strip_suffix(".run")?;
        u64::from_str_radix(number, 16).ok()
    });
    assert!(tester.stats().segments > 1 && runs.max() > Some(1), "{:?}", tester.stats());
    calls
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_any_call() {
    let total = calls(1);
    println!("seed 1, {total} calls");
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for sample in 0..SAMPLES {
        let call = sample * total / SAMPLES + u64::from(rng.next_u32()) % (total / SAMPLES);
        let again = u64::from(rng.next_u32()) % 120;
        crash_twice(1, call, again);
    }
}

#[test]
#[ignore = "every call of many workloads takes minutes"]
fn what_was_acknowledged_survives_a_crash_at_every_call_of_many_workloads() {
    for seed in 1..=10 {
        let total = calls(seed);
        println!("seed {seed}, {total} calls");
        for call in 0..total {
            crash_twice(seed, call, call * 7 % 150);
        }
    }
}

/// Workloads crashed in an ordinary test run, three images of each checked, spread over all calls.
const SAMPLES: u64 = 80;
