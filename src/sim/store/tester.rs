//! Tests only: a service with a memory of what it said, and the oracle of the store.
//!
//! Owns the oracle: what was acknowledged is there, what was not is absent or whole, what was given up is gone, the index equals one
//! built anew, nothing is taken for rot that is none, and the store goes on working. Read `sim/disk.rs` first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

use crate::base::ids::{ChunkId, FeedId, NodeId};
use crate::sim::disk::SimDisk;
use crate::store::disk::Disk;
use crate::store::service::{Reply, Request, ScanState, Service, StoreError, StoreOptions, StoreStats};

/// Small enough that a short workload rolls segments, writes runs and merges them.
pub(super) const OPTIONS: StoreOptions = StoreOptions {
    segment_bytes_max: 8_000,
    reserve_bytes: 2_000_000,
    delta_entries_max: 12,
    delta_log_bytes_max: 12_000,
};

/// The feed that workloads append to.
const FEED: FeedId = FeedId { node: NodeId::from_bytes([5; 32]), random: [6; 8] };

/// A chunk like any other, of at most 4,000 bytes.
pub(super) fn chunk(number: u64) -> (ChunkId, Vec<u8>) {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    let length = match number % 5 {
        0 => rng.next_u32() % 4_000,
        _ => rng.next_u32() % 600,
    };
    let mut sealed = vec![0; usize::try_from(length).unwrap()];
    rng.fill_bytes(&mut sealed);
    sealed.extend_from_slice(&number.to_le_bytes());
    (ChunkId::from_bytes(Sha256::digest(&sealed).into()), sealed)
}

/// A service with a memory of what it said.
pub(super) struct Tester {
    /// The disk.
    pub(super) disk: SimDisk,
    /// What is tested.
    pub(super) service: Service,
    /// Numbers of chunks that were ever put.
    pub(super) tried: BTreeSet<u64>,
    /// Numbers of chunks acknowledged.
    pub(super) acknowledged: BTreeSet<u64>,
    /// Numbers of chunks that were given up, acknowledged.
    pub(super) gone: BTreeSet<u64>,
    /// Chunks that are being put, by request; one that came before the chunk was given up speaks for nothing.
    putting: BTreeMap<u64, u64>,
    /// Chunks that are being given up, by number, and by which request.
    dropping: BTreeMap<u64, u64>,
    /// The number of the next such request.
    next_op: u64,
    /// Feed entries tried and acknowledged.
    pub(super) entries: (u64, u64),
    /// Whether the workload appends feed entries.
    pub(super) appends: bool,
    /// Whether the workload goes on after an error.
    pub(super) stubborn: bool,
    /// The first error.
    pub(super) error: Option<StoreError>,
}

impl Tester {
    /// Opens a service.
    pub(super) fn open(disk: &SimDisk) -> Result<Self, StoreError> {
        let (service, _) = Service::open(Arc::new(disk.clone()), OPTIONS)?;
        Ok(Self {
            disk: disk.clone(),
            service,
            tried: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            gone: BTreeSet::new(),
            putting: BTreeMap::new(),
            dropping: BTreeMap::new(),
            next_op: 1 << 32,
            entries: (0, 0),
            appends: true,
            stubborn: false,
            error: None,
        })
    }

    /// Carries out a request and takes note of the replies; the last one is given.
    pub(super) fn ask(&mut self, request: Request) -> Option<Reply> {
        let mut replies = Vec::new();
        self.service.execute(request, &mut replies);
        for reply in &replies {
            match reply {
                // What is to be given up since it was put need not be there.
                Reply::Put { op, result: Ok(_), .. } => self.acknowledged.extend(self.putting.remove(op)),
                Reply::Drop { op, result: Ok(_) } => {
                    let given_up = self.dropping.iter().filter(|(_, by)| *by == op);
                    self.gone.extend(given_up.map(|(number, _)| *number));
                }
                Reply::Append { op, result: Ok(()) } => self.entries.1 = *op + 1,
                Reply::Put { result: Err(error), .. }
                | Reply::Drop { result: Err(error), .. }
                | Reply::Append { result: Err(error), .. }
                | Reply::Flush { result: Err(error), .. }
                | Reply::Failed { error, .. } => drop(self.error.get_or_insert(error.clone())),
                _ => {}
            }
        }
        replies.pop()
    }

    /// The process ends after its disk lost power, so that nothing of it gets a last word. What it remembers is kept.
    pub(super) fn die(mut self) -> Self {
        self.service = Self::open(&SimDisk::new(1 << 24)).unwrap().service;
        self
    }

    /// Puts a chunk.
    pub(super) fn put(&mut self, number: u64) {
        let (id, bytes) = chunk(number);
        self.tried.insert(number);
        self.gone.remove(&number);
        self.dropping.remove(&number);
        self.next_op += 1;
        self.putting.insert(self.next_op, number);
        self.ask(Request::Put { op: self.next_op, id, bytes });
    }

    /// Gives chunks up.
    pub(super) fn give_up(&mut self, numbers: &[u64]) {
        self.next_op += 1;
        let op = self.next_op;
        for number in numbers {
            self.acknowledged.remove(number);
            self.putting.retain(|_, putting| putting != number);
            self.dropping.insert(*number, op);
        }
        self.ask(Request::Drop { op, ids: numbers.iter().map(|number| chunk(*number).0).collect() });
    }

    /// Reads a chunk.
    pub(super) fn get(&mut self, number: u64) -> Result<Option<Vec<u8>>, StoreError> {
        match self.ask(Request::Get { op: 0, id: chunk(number).0 }) {
            Some(Reply::Get { result, .. }) => result,
            other => panic!("{other:?}"),
        }
    }

    /// Appends the next feed entry.
    pub(super) fn append(&mut self) {
        let sequence = self.entries.1;
        self.entries.0 = sequence + 1;
        let entries = vec![sequence.to_le_bytes().to_vec()];
        let settings = vec![("last".to_owned(), Some(sequence.to_le_bytes().to_vec()))];
        self.ask(Request::Append { op: sequence, feed: FEED, sequence, entries, settings });
    }

    /// All chunks, by scanning in pages of 7.
    pub(super) fn scan(&mut self, read: bool) -> BTreeMap<ChunkId, ScanState> {
        let mut all: BTreeMap<ChunkId, ScanState> = BTreeMap::new();
        loop {
            let after = all.last_key_value().map(|(id, _)| *id);
            let Some(Reply::Scan { found, more, .. }) =
                self.ask(Request::Scan { op: 0, after, limit: 7, read })
            else {
                panic!("no scan")
            };
            assert!(found.len() <= 7 && found.windows(2).all(|pair| pair[0].0 < pair[1].0));
            all.extend(found);
            if !more {
                return all;
            }
        }
    }

    /// Counts and sizes.
    pub(super) fn stats(&mut self) -> StoreStats {
        match self.ask(Request::Stats { op: 0 }) {
            Some(Reply::Stats { stats, .. }) => stats,
            other => panic!("{other:?}"),
        }
    }

    /// Takes note of what maintenance came to.
    fn note(&mut self, reply: Option<Reply>) {
        match reply {
            Some(Reply::Compact { result: Err(error), .. } | Reply::Scrub { result: Err(error), .. }) => {
                self.error.get_or_insert(error);
            }
            Some(Reply::Compact { result: Ok(done), .. }) => assert_eq!(done.damaged, []),
            Some(Reply::Scrub { result: Ok(done), .. }) => {
                // A place that could not be read once counts as damaged.
                let may_fail = self.stubborn || self.disk.is_off();
                assert!(done.damaged.is_empty() && (done.places == 0 || may_fail), "{done:?}");
            }

            other => panic!("{other:?}"),
        }
    }

    /// A seeded mix of everything, until it is done or something fails.
    pub(super) fn work(&mut self, seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for step in 0..150 {
            match rng.next_u32() % 20 {
                0..=11 => self.put(seed * 1_000 + step),
                12 => {
                    let first = rng.next_u32();
                    let number = |turn| seed * 1_000 + u64::from(first + turn) % (step + 1);
                    self.give_up(&[0, 3, 6, 9].map(number));
                }
                19 => {
                    let bytes = u64::from(rng.next_u32() % 9_000);
                    if bytes % 4 == 0 {
                        self.ask(Request::Hasten);
                    }
                    let reply = self.ask(Request::Compact { op: 0, bytes, keep: Vec::new() });
                    self.note(reply);
                    let reply = self.ask(Request::Scrub { op: 0, bytes });
                    self.note(reply);
                }
                13 => self.put(seed * 1_000 + u64::from(rng.next_u32()) % (step + 1)),
                14 | 15 => drop(self.ask(Request::Flush { op: 0 })),
                16 if self.appends => self.append(),
                17 => drop(self.ask(Request::SetAdd { set: 1, ids: vec![chunk(step).0] })),
                18 => drop(self.get(seed * 1_000 + u64::from(rng.next_u32()) % (step + 1))),
                _ => drop(self.ask(Request::Has { op: 0, ids: vec![chunk(step).0] })),
            }
            if self.error.is_some() && !self.stubborn {
                return;
            }
        }
        self.ask(Request::Flush { op: 0 });
    }
}

/// Checks a disk after a crash against what had been said before it; gives the disk's service.
pub(super) fn check(disk: &SimDisk, before: &Tester) -> Tester {
    let (service, report) = Service::open(Arc::new(disk.clone()), OPTIONS).expect("it opens after any crash");
    assert_eq!((report.rotten_places, report.rotten_bytes, report.runs_discarded), (0, 0, 0), "{report:?}");
    let mut tester = Tester { service, ..Tester::open(&SimDisk::new(1 << 24)).unwrap() };
    tester.disk = disk.clone();
    for number in &before.tried {
        match tester.get(*number).expect("nothing is damaged by a crash") {
            Some(bytes) => {
                assert_eq!(bytes, chunk(*number).1);
                assert!(!before.gone.contains(number), "chunk {number} was given up and is there");
            }
            None => {
                assert!(!before.acknowledged.contains(number), "chunk {number} was acknowledged and is gone")
            }
        }
    }
    let Some(Reply::Entries { entries, .. }) =
        tester.ask(Request::Entries { op: 0, feed: None, after: None, limit_bytes: 1 << 20 })
    else {
        panic!("no entries")
    };
    let have = u64::try_from(entries.len()).unwrap();
    assert!(before.entries.1 <= have && have <= before.entries.0, "{:?}, {have}", before.entries);
    let Some(Reply::Load { settings, .. }) = tester.ask(Request::Load { op: 0, prefix: String::new() })
    else {
        panic!("no settings")
    };
    let last = have.checked_sub(1).map(|last| ("last".to_owned(), last.to_le_bytes().to_vec()));
    tester.entries = (have, have);
    let settings: Vec<_> = settings.into_iter().filter(|(name, _)| name != "store/scrub").collect();
    assert_eq!(settings, last.into_iter().collect::<Vec<_>>(), "entries and settings change as one");
    equals_rebuild(&mut tester);
    tester
}

/// The index equals one built anew from the segments.
pub(super) fn equals_rebuild(tester: &mut Tester) {
    let found = tester.scan(true);
    assert!(found.values().all(|state| *state == ScanState::Good));
    tester.ask(Request::Flush { op: 0 });
    let copy = tester.disk.image(&mut ChaCha8Rng::seed_from_u64(1));
    for (name, _) in copy.files() {
        if name.starts_with("index/") {
            copy.remove(&name).unwrap();
        }
    }
    let mut rebuilt = Tester::open(&copy).unwrap();
    assert_eq!(rebuilt.scan(true), found);
    let (one, other) = (tester.stats(), rebuilt.stats());
    assert_eq!((one.chunks, one.bytes, one.quarantined), (other.chunks, other.bytes, other.quarantined));
    assert_eq!(one.chunks, u64::try_from(found.len()).unwrap());
}
