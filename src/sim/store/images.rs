//! Tests only: what a crash at any disk call leaves, by the ten thousand.
//!
//! Owns the chunks' half of the oracle on its own, without feeds, so that an image costs a millisecond: a workload runs once, the disk is copied
//! before every call, and each copy is crashed, opened and checked. Read `tester.rs` first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::tester::{chunk, OPTIONS};
use crate::base::ids::ChunkId;
use crate::sim::disk::SimDisk;
use crate::store::chunks::Chunks;
use crate::store::disk::Disk;
use crate::store::segment::{segment_number, Position};
use crate::store::service::{CompactState, Reply, ScanState, StoreOptions};
use crate::store::walk::{Found, Walk};

/// What is known of chunks from what was asked and answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// All that were ever put, by id.
    pub(super) tried: BTreeMap<ChunkId, u64>,
    /// Must be there.
    pub(super) here: BTreeSet<u64>,
    /// Must not be there.
    pub(super) gone: BTreeSet<u64>,
    /// Being put, by request; one that came before the chunk was given up speaks for nothing.
    putting: BTreeMap<u64, u64>,
    /// Being given up, by which request.
    dropping: BTreeMap<u64, u64>,
}

/// Chunks with a memory of what was said of them.
pub(super) struct Shelf {
    /// What is tested.
    pub(super) chunks: Chunks,
    /// What was said.
    pub(super) known: Known,
    /// The number of the next request.
    next_op: u64,
    /// Whether an error was answered.
    pub(super) errors: usize,
    /// Chunks that are held when compaction asks.
    pub(super) held: BTreeSet<ChunkId>,
    /// Segments that compaction removed.
    pub(super) removed: u64,
}

impl Shelf {
    /// Opens it; nothing is found wrong after a crash.
    pub(super) fn open(disk: &SimDisk, options: StoreOptions, known: Known) -> Self {
        let (chunks, report) =
            Chunks::open(Arc::new(disk.clone()), options).expect("it opens after any crash");
        let wrong = [report.rotten_places, report.runs_discarded, report.segments_lost, report.chunks_lost];
        assert_eq!(wrong, [0; 4], "{report:?}");
        assert_eq!([report.files_set_aside, report.segments_renamed], [0; 2], "{report:?}");
        Self::over(chunks, known)
    }

    /// The same for chunks that are open already.
    pub(super) fn over(chunks: Chunks, mut known: Known) -> Self {
        known.putting.clear();
        known.dropping.clear();
        Self { chunks, known, next_op: 1 << 32, errors: 0, held: BTreeSet::new(), removed: 0 }
    }

    /// Takes note of the answers.
    pub(super) fn hear(&mut self) {
        let mut replies = Vec::new();
        self.chunks.drain(&mut replies);
        for reply in replies {
            match reply {
                Reply::Put { op, result: Ok(_), .. } => {
                    self.known.here.extend(self.known.putting.remove(&op))
                }
                Reply::Drop { op, result: Ok(_) } => {
                    let given_up = self.known.dropping.iter().filter(|(_, by)| **by == op);
                    self.known.gone.extend(given_up.map(|(number, _)| *number));
                }
                Reply::Put { .. } | Reply::Drop { .. } => self.errors += 1,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Puts a chunk.
    pub(super) fn put(&mut self, number: u64) {
        let (id, sealed) = chunk(number);
        self.known.tried.insert(id, number);
        self.known.gone.remove(&number);
        self.known.dropping.remove(&number);
        self.next_op += 1;
        self.known.putting.insert(self.next_op, number);
        self.chunks.put(self.next_op, id, &sealed);
    }

    /// Gives chunks up.
    pub(super) fn give_up(&mut self, numbers: &[u64]) {
        self.next_op += 1;
        for number in numbers {
            self.known.here.remove(number);
            self.known.putting.retain(|_, putting| putting != number);
            self.known.dropping.insert(*number, self.next_op);
        }
        let ids: Vec<ChunkId> = numbers.iter().map(|number| chunk(*number).0).collect();
        self.chunks.give_up(self.next_op, &ids);
    }

    /// A step of compaction; `true` if there is more to do.
    pub(super) fn compact(&mut self, budget: u64, asks: &mut Vec<ChunkId>) -> bool {
        let keep: Vec<ChunkId> = asks.drain(..).filter(|id| self.held.contains(id)).collect();
        for number in keep.iter().filter_map(|id| self.known.tried.get(id)) {
            self.known.gone.remove(number);
            self.known.dropping.remove(number);
        }
        match self.chunks.compact(budget, &keep) {
            Ok(done) => {
                assert_eq!(done.damaged, []);
                *asks = done.asks;
                self.removed += done.removed_segments;
                done.state != CompactState::Idle
            }
            Err(_) => {
                self.errors += 1;
                false
            }
        }
    }

    /// Checks all chunks against what is known, and the index and its counts against a rebuild.
    pub(super) fn check(&mut self, disk: &SimDisk, options: StoreOptions) {
        for (id, number) in &self.known.tried {
            match self.chunks.read(id).expect("nothing is damaged by a crash") {
                Some(_) => {
                    assert!(
                        !self.known.gone.contains(number),
                        "chunk {number} was given up and is there: {}",
                        frames_of(disk, id)
                    );
                }
                None => assert!(
                    !self.known.here.contains(number),
                    "chunk {number} was acknowledged and is gone: {}",
                    frames_of(disk, id)
                ),
            }
        }
        let found = all(&mut self.chunks);
        let bare = disk.bare_copy();
        for (name, _) in bare.files() {
            if name.starts_with("index/") {
                bare.remove(&name).unwrap();
            }
        }
        let (mut rebuilt, _) = Chunks::open(Arc::new(bare), options).unwrap();
        assert_eq!(all(&mut rebuilt), found, "the index equals one built anew");
        assert_eq!(self.chunks.usage_by_segment(), rebuilt.usage_by_segment(), "and so does what is in use");
    }
}

/// Everything that the segments say of a chunk, for whoever reads a failure.
fn frames_of(disk: &SimDisk, id: &ChunkId) -> String {
    let mut text = String::new();
    for (name, length) in disk.files() {
        text += &format!("\n{name} {length}");
        let Some(number) = name.strip_prefix("segments/").and_then(segment_number) else { continue };
        let mut walk = Walk::new(disk, Position { segment: number, offset: 32 }, length, u64::MAX);
        while let Some(found) = walk.step().unwrap() {
            let at = walk.position().offset;
            match found {
                Found::Chunk(of, ..) | Found::Drop(of, _) if of != *id => {}
                Found::Mark(_) => text += " m",
                other => text += &format!("\n    before {at}: {other:?}"),
            }
        }
    }
    text
}

/// All chunks, in pages.
fn all(chunks: &mut Chunks) -> BTreeSet<ChunkId> {
    let mut found: BTreeSet<ChunkId> = BTreeSet::new();
    loop {
        let (page, more) = chunks.scan(found.last().copied().as_ref(), 100, false).unwrap();
        assert!(page.iter().all(|(_, state)| *state == ScanState::Unread));
        found.extend(page.into_iter().map(|(id, _)| id));
        if !more {
            return found;
        }
    }
}

/// Carries out one step of a workload.
pub(super) fn step(shelf: &mut Shelf, rng: &mut ChaCha8Rng, number: u64, asks: &mut Vec<ChunkId>) {
    let earlier = |rng: &mut ChaCha8Rng| number - u64::from(rng.next_u32()) % 40.min(number + 1);
    match rng.next_u32() % 20 {
        0..=8 => shelf.put(number),
        9 | 10 => {
            let again = earlier(rng);
            shelf.put(again);
        }
        11..=13 => {
            let numbers: Vec<u64> = (0..5).map(|_| earlier(rng)).collect();
            shelf.give_up(&numbers);
        }
        14 => drop(shelf.chunks.flush()),
        15 => match shelf.chunks.scrub(u64::from(rng.next_u32() % 20_000)) {
            Ok(done) => assert_eq!((done.damaged, done.places), (vec![], 0)),
            Err(_) => shelf.errors += 1,
        },
        _ => {
            let budget = u64::from(rng.next_u32() % 12_000);
            shelf.compact(budget, asks);
        }
    }
    shelf.hear();
}

/// Crashes that disk, opens it, checks it and goes on a little; gives the images that were checked.
fn crash_and_check(image: &SimDisk, known: &Known, rng: &mut ChaCha8Rng, again: bool) -> u64 {
    image.crash(rng);
    if again {
        image.watch();
    }
    let mut shelf = Shelf::open(image, OPTIONS, known.clone());
    let mut images = 1;
    for second in image.watched() {
        if rng.next_u32() % 4 == 0 {
            images += crash_and_check(&second, known, rng, false);
        }
    }
    shelf.check(image, OPTIONS);
    shelf.put(1_000_000);
    let given_up: Vec<u64> = shelf.known.here.iter().copied().step_by(7).collect();
    shelf.give_up(&given_up);
    let mut asks = Vec::new();
    while shelf.compact(2_000, &mut asks) {}
    if again {
        while !shelf.chunks.scrub(1 << 20).is_ok_and(|done| done.finished) {}
    }
    shelf.chunks.flush().expect("the store goes on working");
    shelf.hear();
    assert_eq!(shelf.errors, 0);
    assert!(
        shelf.known.here.contains(&1_000_000) && shelf.known.gone.contains(given_up.first().unwrap_or(&0))
            || given_up.is_empty()
    );
    if again {
        shelf.check(image, OPTIONS);
    }
    images
}

/// Runs a workload of that many steps and checks an image of every `stride`-th disk call of it.
fn run(seed: u64, steps: u64, stride: usize) -> u64 {
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let disk = SimDisk::new(1 << 24);
    let mut shelf = Shelf::open(&disk, OPTIONS, Known::default());
    let (mut images, mut calls, mut asks) = (0, 0, Vec::new());
    for number in 0..steps {
        // What is about to be asked may be carried out or not.
        let before = shelf.known.clone();
        disk.watch();
        step(&mut shelf, &mut rng, number, &mut asks);
        let mut allowed = before;
        allowed.tried.clone_from(&shelf.known.tried);
        allowed.here.retain(|number| shelf.known.here.contains(number));
        allowed.gone.retain(|number| shelf.known.gone.contains(number));
        for image in disk.watched() {
            calls += 1;
            if calls % stride == 0 {
                images += crash_and_check(&image, &allowed, &mut rng, calls % (stride * 8) == 0);
            }
        }
    }
    let stats = shelf.chunks.stats().unwrap();
    println!("seed {seed}: {calls} calls, {images} images, {} segments removed, {stats:?}", shelf.removed);
    assert_eq!(shelf.errors, 0);
    images
}

/// Images of an ordinary test run, in two tests so that two processors share them.
const IMAGES_MIN: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_crash_of_a_busy_store_is_survived() {
        let images: u64 = (1..=2).map(|seed| run(seed, 260, 1)).sum();
        assert!(images > IMAGES_MIN, "{images}");
    }

    #[test]
    fn any_crash_of_another_busy_store_is_survived() {
        let images: u64 = (3..=4).map(|seed| run(seed, 260, 1)).sum();
        assert!(images > IMAGES_MIN, "{images}");
    }

    #[test]
    #[ignore = "goes on for NUTHATCH_CRASH_SECONDS, an hour if that is not set"]
    #[allow(clippy::disallowed_methods, reason = "a test that is told how long to go on needs a clock")]
    fn crashes_long() {
        let text = std::env::var("NUTHATCH_CRASH_SECONDS");
        let seconds = text.ok().and_then(|text| text.parse().ok()).unwrap_or(3_600);
        let begun = std::time::Instant::now();
        let first = std::env::var("NUTHATCH_CRASH_SEED").ok().and_then(|text| text.parse().ok());
        let (mut seed, mut images) = (first.unwrap_or(1_000), 0);
        while begun.elapsed().as_secs() < seconds {
            seed += 1;
            images += run(seed, 300, 1);
            println!("{images} images so far");
        }
    }
}
