//! The rounds of `bench store`: put, close, open, get, scrub, compact, each through the real store on real files.
//!
//! Everything goes the way of a node's storage thread: the same service, the same groups. Nothing is counted that is not
//! timed, and what is timed contains what a node would do too. Knows nothing of options and output: `face/bench/store.rs`.
//! What a node does by itself when nothing else is to do is in `face/bench/upkeep.rs`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use super::upkeep::Compaction;
use crate::base::ids::ChunkId;
use crate::base::limits::GROUP_DELAY_MAX;
use crate::base::units::{Span, Time};
use crate::face::exit::{Exit, Fail};
use crate::io::disk::FileDisk;
use crate::io::os::{cpu_seconds, Clock};
use crate::node::api::ApiError;
use crate::store::disk::Disk as _;
use crate::store::service::{Reply, Request, Service, StoreError, StoreOptions, StoreStats, Written};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

/// What is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// How many chunks.
    pub chunks: u64,
    /// Bytes of each; 0: their records only, without bodies, synced every [`SYNC_EVERY`].
    pub size: usize,
    /// How large a segment gets; compaction is measured on those that are full.
    pub segment_bytes: u64,
}

/// One round: how much was done, and what that took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Round {
    /// Chunks.
    pub chunks: u64,
    /// Their bytes.
    pub bytes: u64,
    /// From the first call to the last answer.
    pub span: Span,
    /// Processor time of this process in it.
    pub cpu_seconds: f64,
}

/// What was measured.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    /// The same bytes written to one plain file and synced once; nothing if there are no bodies.
    pub plain: Round,
    /// Chunks put and synced.
    pub put: Round,
    /// The store when all was put and it was opened again.
    pub stats: StoreStats,
    /// What was written for all that, until the store was closed.
    pub written: Written,
    /// Groups synced.
    pub syncs: u64,
    /// From a clean close to the next answer, with nothing of the store in the page cache.
    pub open: Span,
    /// Whether chunks are here, asked in random order.
    pub lookups: Round,
    /// All chunks read and checked, in the order in which they were put; nothing if there are no bodies.
    pub gets: Round,
    /// Some chunks read and checked, in random order; nothing if there are no bodies.
    pub random_gets: Round,
    /// All of it read again as the scrub does it, from a cold cache; nothing if there are no bodies.
    pub scrub: Round,
    /// Somewhat more than half of the chunks given up, and what that frees compacted; nothing if there are no bodies.
    pub compaction: Compaction,
}

/// Chunks without bodies are synced after so many: what the figures of other databases were measured with.
pub const SYNC_EVERY: u64 = 1_000;
/// Chunks got in random order at the most.
const RANDOM_GETS_MAX: u64 = 20_000;
/// Lookups at the most.
const LOOKUPS_MAX: u64 = 100_000;
/// Bytes of different bodies at the most: chunks share bodies but for their ends, so that making them takes no time.
const BODIES_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes at the end of a body that no other chunk has.
const TAIL_BYTES: usize = 16;
/// The plain file beside the store.
const PLAIN_NAME: &str = "plain";

/// Does all rounds in the empty directory `home`; `stop` ends it early.
///
/// # Errors
/// When the store fails, or does not answer as it should; silently if it was stopped.
pub fn play(home: &Path, load: Load, stop: &AtomicBool) -> Result<Figures, Fail> {
    let player = Player { home, clock: Clock::new(), chunks: Chunks::new(load), load, stop };
    let mut figures = Figures::default();
    if load.size > 0 {
        figures.plain = player.plain()?;
    }
    let (mut service, _) = player.open()?;
    figures.put = player.put(&mut service)?;
    figures.syncs = player.stats(&mut service)?.syncs;
    figures.written = service.close();
    player.drop_cache()?;
    let (mut service, span) = player.open()?;
    figures.open = span;
    figures.stats = player.stats(&mut service)?;
    if figures.stats.chunks != load.chunks {
        return Err(broken(&format!(
            "{} chunks of {} are there after opening it again",
            figures.stats.chunks, load.chunks
        )));
    }
    figures.lookups = player.lookups(&mut service)?;
    if load.size > 0 {
        player.drop_cache()?;
        figures.random_gets = player.gets(&mut service, load.chunks.min(RANDOM_GETS_MAX), true)?;
        player.drop_cache()?;
        figures.gets = player.gets(&mut service, load.chunks, false)?;
        player.drop_cache()?;
        figures.scrub = player.scrub(&mut service)?;
        player.drop_cache()?;
        figures.compaction = player.compact(&mut service)?;
    }
    service.close();
    Ok(figures)
}

/// Who plays.
pub(super) struct Player<'a> {
    /// Where.
    home: &'a Path,
    /// Tells the time.
    clock: Clock,
    /// Makes chunks.
    chunks: Chunks,
    /// How many and how large.
    pub(super) load: Load,
    /// Somebody asked to stop.
    stop: &'a AtomicBool,
}

impl Player<'_> {
    /// Writes the bytes of all chunks to one file, and syncs it once: what the disk gives without a store.
    fn plain(&self) -> Result<Round, Fail> {
        let disk = FileDisk::new(self.home);
        let failed = |error| store_failed(StoreError::Disk(error));
        let begun = self.begin();
        let mut offset = 0;
        for number in 0..self.load.chunks {
            self.go_on()?;
            let (_, body) = self.chunks.chunk(number);
            disk.write_at(PLAIN_NAME, offset, &body).map_err(failed)?;
            offset += length(&body);
        }
        disk.sync(PLAIN_NAME).map_err(failed)?;
        let round = self.end(begun, self.load.chunks, offset);
        disk.remove(PLAIN_NAME).map_err(failed)?;
        Ok(round)
    }

    /// Opens the store; how long that took.
    fn open(&self) -> Result<(Service, Span), Fail> {
        let begun = self.clock.time();
        let segment_bytes_max = self.load.segment_bytes;
        let options = StoreOptions { reserve_bytes: 0, segment_bytes_max, ..StoreOptions::default() };
        let (service, _) =
            Service::open(Arc::new(FileDisk::new(self.home)), options).map_err(store_failed)?;
        Ok((service, self.clock.time().since(begun)))
    }

    /// Puts all chunks, in the groups of a node; until the last one is synced.
    fn put(&self, service: &mut Service) -> Result<Round, Fail> {
        let mut replies = Vec::new();
        let (mut stored, mut bytes) = (0, 0);
        let mut waiting_since: Option<Time> = None;
        let begun = self.begin();
        for number in 0..self.load.chunks {
            self.go_on()?;
            let (id, body) = self.chunks.chunk(number);
            bytes += length(&body);
            service.execute(Request::Put { op: number, id, bytes: body }, &mut replies);
            let now = self.clock.time();
            let is_due = match waiting_since {
                _ if self.load.size == 0 => number % SYNC_EVERY == SYNC_EVERY - 1,
                since => since.is_some_and(|since| now.since(since) >= GROUP_DELAY_MAX),
            };
            if is_due {
                service.flush(&mut replies);
            }
            waiting_since = service.unsynced().then(|| waiting_since.unwrap_or(now));
            stored += settled(&mut replies)?;
        }
        service.flush(&mut replies);
        stored += settled(&mut replies)?;
        let round = self.end(begun, stored, bytes);
        if stored != self.load.chunks {
            return Err(broken(&format!("{stored} chunks of {} were stored", self.load.chunks)));
        }
        Ok(round)
    }

    /// Asks for chunks that are there, and for as many that are not.
    fn lookups(&self, service: &mut Service) -> Result<Round, Fail> {
        let count = self.load.chunks.min(LOOKUPS_MAX);
        let mut random = ChaCha8Rng::seed_from_u64(2);
        let mut replies = Vec::new();
        let begun = self.begin();
        for _ in 0..count {
            self.go_on()?;
            let number = random.next_u64() % self.load.chunks;
            let ids = [number, number + self.load.chunks].map(|number| self.chunks.id(number)).to_vec();
            service.execute(Request::Has { op: 0, ids }, &mut replies);
            match replies.pop() {
                Some(Reply::Has { have, .. }) if have == [true, false] => {}
                other => return Err(broken(&format!("a lookup was answered with {other:?}"))),
            }
        }
        Ok(self.end(begun, count * 2, 0))
    }

    /// Reads so many chunks, each checked by the store; in random order if `random`.
    fn gets(&self, service: &mut Service, count: u64, random: bool) -> Result<Round, Fail> {
        let mut generator = ChaCha8Rng::seed_from_u64(3);
        let mut replies = Vec::new();
        let mut bytes = 0;
        let begun = self.begin();
        for number in 0..count {
            self.go_on()?;
            let number = if random { generator.next_u64() % self.load.chunks } else { number };
            service.execute(Request::Get { op: 0, id: self.chunks.id(number) }, &mut replies);
            match replies.pop() {
                Some(Reply::Get { result: Ok(Some(body)), .. }) => bytes += length(&body),
                Some(Reply::Get { result: Err(error), .. }) => return Err(store_failed(error)),
                _ => return Err(broken("a chunk that was stored is not there")),
            }
        }
        Ok(self.end(begun, count, bytes))
    }

    /// Counts and sizes.
    pub(super) fn stats(&self, service: &mut Service) -> Result<StoreStats, Fail> {
        let mut replies = Vec::new();
        service.execute(Request::Stats { op: 0 }, &mut replies);
        match replies.pop() {
            Some(Reply::Stats { stats, .. }) => Ok(stats),
            Some(Reply::Failed { error, .. }) => Err(store_failed(error)),
            _ => Err(broken("it does not tell its figures")),
        }
    }

    /// Lets the system forget what it has of the store in memory, so that the disk is measured. All of it is synced.
    fn drop_cache(&self) -> Result<(), Fail> {
        for directory in ["", "segments", "index"] {
            let directory = self.home.join(directory);
            let failed = |error| Fail::file("read", &directory, &error);
            for entry in std::fs::read_dir(&directory).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                if path.is_file() {
                    let file = std::fs::File::open(&path).map_err(failed)?;
                    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed);
                }
            }
        }
        Ok(())
    }

    /// The ids of some chunks by their numbers.
    pub(super) fn ids(&self, numbers: impl Iterator<Item = u64>) -> Vec<ChunkId> {
        numbers.map(|number| self.chunks.id(number)).collect()
    }

    /// Whether to go on.
    pub(super) fn go_on(&self) -> Result<(), Fail> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Fail::silent(Exit::Interrupted));
        }
        Ok(())
    }

    /// A round begins.
    pub(super) fn begin(&self) -> (Time, f64) {
        (self.clock.time(), cpu_seconds())
    }

    /// A round ends.
    pub(super) fn end(&self, begun: (Time, f64), chunks: u64, bytes: u64) -> Round {
        Round { chunks, bytes, span: self.clock.time().since(begun.0), cpu_seconds: cpu_seconds() - begun.1 }
    }
}

/// Makes chunks by their numbers, in no time.
struct Chunks {
    /// What bodies begin with, and the state of the hash after that.
    bodies: Vec<(Vec<u8>, Sha256)>,
}

impl Chunks {
    /// For chunks of one size; 0: without bodies.
    fn new(load: Load) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let count = BODIES_BYTES_MAX.checked_div(load.size).unwrap_or(0).clamp(1, 64);
        let body = |_| {
            let mut body = vec![0; load.size.saturating_sub(TAIL_BYTES)];
            random.fill_bytes(&mut body);
            let hash = Sha256::new_with_prefix(&body);
            (body, hash)
        };
        Self { bodies: (0..count).map(body).collect() }
    }

    /// The id of a chunk.
    fn id(&self, number: u64) -> ChunkId {
        let (_, hash) = self.body(number);
        ChunkId::from_bytes(hash.clone().chain_update(tail(number)).finalize().into())
    }

    /// The id and the bytes of a chunk; no bytes if there are no bodies.
    fn chunk(&self, number: u64) -> (ChunkId, Vec<u8>) {
        let (body, _) = self.body(number);
        let mut bytes = Vec::new();
        if !body.is_empty() {
            bytes.reserve_exact(body.len() + TAIL_BYTES);
            bytes.extend_from_slice(body);
            bytes.extend_from_slice(&tail(number));
        }
        (self.id(number), bytes)
    }

    /// What a chunk begins with.
    fn body(&self, number: u64) -> &(Vec<u8>, Sha256) {
        let count = u64::try_from(self.bodies.len()).unwrap_or(1).max(1);
        let index = usize::try_from(number % count).unwrap_or(0);
        &self.bodies[index]
    }
}

/// What a chunk ends with.
fn tail(number: u64) -> [u8; TAIL_BYTES] {
    let mut tail = [0; TAIL_BYTES];
    tail[..8].copy_from_slice(&number.to_le_bytes());
    tail
}

/// How many of these puts were stored, all of them anew.
fn settled(replies: &mut Vec<Reply>) -> Result<u64, Fail> {
    let mut stored = 0;
    for reply in replies.drain(..) {
        match reply {
            Reply::Put { result: Ok(true), .. } => stored += 1,
            Reply::Put { result: Err(error), .. } => return Err(store_failed(error)),
            _ => return Err(broken("a new chunk was there before")),
        }
    }
    Ok(stored)
}

/// The store's failure as the command line tells it.
pub(super) fn store_failed(error: StoreError) -> Fail {
    ApiError::new("disk", error.to_string(), "").into()
}

/// The store does not do what it should.
pub(super) fn broken(message: &str) -> Fail {
    Fail::new("internal", message, "this is a mistake of this program; please report it")
}

/// A length as a count.
fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("memory has fewer bytes than that")
}
