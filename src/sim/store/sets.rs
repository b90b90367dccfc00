//! Tests: sets larger than memory, on a disk that may fail.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::ids::ChunkId;
use crate::base::limits::{SETS_MAX, SET_RUNS_MAX};
use crate::sim::disk::{Fault, SimDisk};
use crate::store::disk::Disk;
use crate::store::service::StoreError;
use crate::store::sets::Sets;

/// An id like any other.
fn id(number: u32) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// All of a set, by pages of `limit`.
fn all(sets: &mut Sets, number: u64, limit: usize) -> Vec<ChunkId> {
    let mut found: Vec<ChunkId> = Vec::new();
    loop {
        let page = sets.page(number, found.last().copied().as_ref(), limit).unwrap();
        if page.is_empty() {
            return found;
        }
        found.extend(page);
    }
}

#[test]
fn a_set_larger_than_memory_comes_back_sorted_and_once() {
    let disk = SimDisk::new(1 << 30);
    let mut sets = Sets::open(Arc::new(disk.clone()), 0).unwrap();
    let mut model = BTreeSet::new();
    for batch in 0..150_u32 {
        let ids: Vec<ChunkId> = (0..1_000).map(|number| id((batch * 700 + number) % 90_000)).collect();
        model.extend(ids.iter().copied());
        sets.add(1, &ids);
        sets.add(2, &ids[..10]);
    }
    assert!(disk.files().len() > 3, "it went to disk");
    assert_eq!(all(&mut sets, 1, 1_024), model.into_iter().collect::<Vec<_>>());
    assert_eq!(all(&mut sets, 2, 7).len(), 1_500 - doubles(150, 10, 700, 90_000));
    sets.remove(1);
    sets.remove(2);
    assert_eq!(disk.files(), []);
    assert_eq!(sets.page(1, None, 10).unwrap(), []);
}

/// How many of `batches` x `each` numbers (step, modulus) come twice.
fn doubles(batches: u32, each: u32, step: u32, modulus: u32) -> usize {
    let all: Vec<u32> = (0..batches).flat_map(|b| (0..each).map(move |n| (b * step + n) % modulus)).collect();
    all.len() - all.iter().collect::<BTreeSet<_>>().len()
}

#[test]
fn many_files_of_one_set_are_merged() {
    let disk = SimDisk::new(1 << 30);
    let mut sets = Sets::with_memory(Arc::new(disk.clone()), 0, 10).unwrap();
    let mut model = BTreeSet::new();
    for batch in 0..150 {
        let ids: Vec<ChunkId> = (0..20).map(|number| id(batch * 15 + number)).collect();
        model.extend(ids.iter().copied());
        sets.add(7, &ids);
        assert!(disk.files().len() <= SET_RUNS_MAX);
    }
    assert_eq!(all(&mut sets, 7, 100), model.into_iter().collect::<Vec<_>>());
}

#[test]
fn a_set_that_may_lack_ids_gives_no_page() {
    let disk = SimDisk::new(1 << 30);
    let mut sets = Sets::open(Arc::new(disk.clone()), 0).unwrap();
    for batch in 0..32 {
        sets.add(1, &(0..1_024).map(|number| id(batch * 1_024 + number)).collect::<Vec<_>>());
    }
    disk.fail_after(1, Fault::Io);
    sets.add(1, &[id(1_000_000)]);
    assert!(matches!(sets.page(1, None, 10), Err(StoreError::Disk(_))));
    sets.remove(1);
    sets.add(1, &[id(1)]);
    assert_eq!(sets.page(1, None, 10).unwrap(), [id(1)]);
}

#[test]
fn what_an_earlier_run_left_is_removed() {
    let disk = SimDisk::new(1 << 30);
    disk.create_dir("tmp").unwrap();
    disk.write_at("tmp/set-1-1.run", 0, &[0; 32]).unwrap();
    let mut sets = Sets::open(Arc::new(disk.clone()), 0).unwrap();
    assert_eq!(disk.files(), []);
    assert_eq!(sets.page(1, None, 10).unwrap(), []);
}

#[test]
fn more_sets_than_the_bound_are_refused() {
    let mut sets = Sets::open(Arc::new(SimDisk::new(1 << 20)), 0).unwrap();
    for number in 0..=u64::try_from(SETS_MAX).unwrap() {
        sets.add(number, &[id(1)]);
    }
    assert!(sets.page(64, None, 1).is_err());
    assert_eq!(sets.page(63, None, 1).unwrap(), [id(1)]);
}
