//! What is stored, and what is counted: the same chunks, groups and rounds for everybody.

use std::path::Path;
use std::time::Instant;

use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{json, Value};
use sha2::{Digest as _, Sha256};

use super::Result;

/// An id.
pub type Id = [u8; 32];

/// What is stored.
#[derive(Clone, Copy)]
pub struct Load {
    /// How many chunks.
    pub chunks: u64,
    /// Bytes of each; 0: a location of 12 bytes stands for it.
    pub size: u64,
}

/// Something that keeps values by id.
pub trait Rival: Sized {
    /// Opens what is in a directory, or begins it; ready to answer.
    fn open(dir: &Path) -> Result<Self>;
    /// Keeps these; durable when it returns.
    fn put(&mut self, group: &[(Id, Vec<u8>)]) -> Result<()>;
    /// The value of an id.
    fn get(&mut self, id: &Id) -> Result<Option<Vec<u8>>>;
    /// Ends it cleanly.
    fn close(self) -> Result<()>;
}

/// Bytes of a group: as nuthatch syncs them.
const GROUP_BYTES: u64 = 8 << 20;
/// Ids in a group when there are no bodies.
const GROUP_IDS: u64 = 1_000;
/// What is looked up, and got in random order, at the most: as in `nuthatch bench store`.
const LOOKUPS_MAX: u64 = 100_000;
const RANDOM_GETS_MAX: u64 = 20_000;
/// Bytes at the end of a body that no other has.
const TAIL_BYTES: usize = 16;

/// Plays all rounds with a rival.
pub fn play<R: Rival>(dir: &Path, load: Load) -> Result<Value> {
    let chunks = Chunks::new(load);
    let mut rival = R::open(dir)?;
    let begun = begin()?;
    for group in groups(load) {
        let group: Vec<_> = group.map(|number| chunks.chunk(number)).collect();
        rival.put(&group)?;
    }
    let put = end(begun)?;
    rival.close()?;
    drop_cache(dir)?;
    let begun = Instant::now();
    let mut rival = R::open(dir)?;
    if rival.get(&chunks.id(0))?.is_none() {
        return Err("the first chunk is not there after opening it again".into());
    }
    let open = begun.elapsed().as_secs_f64();
    let mut told = json!({"put_seconds": put.0, "put_cpu_seconds": put.1, "open_seconds": open});
    if load.size == 0 {
        told["lookups_per_s"] = json!(lookups(&mut rival, &chunks, load)?);
    } else {
        let bytes = (load.chunks * load.size) as f64;
        told["put_mb_per_s"] = json!(bytes / put.0 / 1e6);
        drop_cache(dir)?;
        let count = load.chunks.min(RANDOM_GETS_MAX);
        told["gets_per_s"] = json!(count as f64 / gets(&mut rival, &chunks, load, count, true)?);
        drop_cache(dir)?;
        told["get_mb_per_s"] = json!(bytes / gets(&mut rival, &chunks, load, load.chunks, false)? / 1e6);
    }
    rival.close()?;
    told["peak_rss_bytes"] = json!(peak_rss_bytes()?);
    Ok(told)
}

/// Asks for ids that are there, and for as many that are not; how many a second.
fn lookups(rival: &mut impl Rival, chunks: &Chunks, load: Load) -> Result<f64> {
    let count = load.chunks.min(LOOKUPS_MAX);
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let begun = Instant::now();
    for _ in 0..count {
        let number = random.next_u64() % load.chunks;
        let there = rival.get(&chunks.id(number))?.is_some();
        let not_there = rival.get(&chunks.id(number + load.chunks))?.is_none();
        if !(there && not_there) {
            return Err("a lookup was answered wrongly".into());
        }
    }
    Ok((count * 2) as f64 / begun.elapsed().as_secs_f64())
}

/// Reads chunks and checks each against its id, as nuthatch does; the seconds.
fn gets(rival: &mut impl Rival, chunks: &Chunks, load: Load, count: u64, random: bool) -> Result<f64> {
    let mut generator = ChaCha8Rng::seed_from_u64(3);
    let begun = Instant::now();
    for number in 0..count {
        let number = if random { generator.next_u64() % load.chunks } else { number };
        let id = chunks.id(number);
        match rival.get(&id)? {
            Some(bytes) if Id::from(Sha256::digest(&bytes)) == id => {}
            _ => return Err("a chunk is not what was put".into()),
        }
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// The numbers of the chunks of each group.
pub fn groups(load: Load) -> impl Iterator<Item = std::ops::Range<u64>> {
    let step = GROUP_BYTES.checked_div(load.size).unwrap_or(GROUP_IDS).max(1);
    (0..load.chunks)
        .step_by(usize::try_from(step).unwrap_or(usize::MAX))
        .map(move |first| first..(first + step).min(load.chunks))
}

/// Makes chunks by their numbers, in next to no time; they do not compress.
pub struct Chunks {
    /// What bodies begin with, and the state of the hash behind it.
    bodies: Vec<(Vec<u8>, Sha256)>,
    /// There are bodies.
    has_bodies: bool,
}

impl Chunks {
    /// For chunks of one size.
    pub fn new(load: Load) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let size = usize::try_from(load.size).unwrap_or(usize::MAX);
        let body = |_| {
            let mut body = vec![0; size.saturating_sub(TAIL_BYTES)];
            random.fill_bytes(&mut body);
            let hash = Sha256::new_with_prefix(&body);
            (body, hash)
        };
        Self { bodies: (0..8).map(body).collect(), has_bodies: size > 0 }
    }

    /// The id of a chunk: SHA-256 of its bytes.
    pub fn id(&self, number: u64) -> Id {
        self.bodies[place(number)].1.clone().chain_update(tail(number)).finalize().into()
    }

    /// A chunk; if there are no bodies, 12 bytes that stand for its place.
    pub fn chunk(&self, number: u64) -> (Id, Vec<u8>) {
        let bytes = if self.has_bodies {
            [&self.bodies[place(number)].0[..], &tail(number)].concat()
        } else {
            tail(number)[..12].to_vec()
        };
        (self.id(number), bytes)
    }
}

/// Which body.
fn place(number: u64) -> usize {
    usize::try_from(number % 8).unwrap_or(0)
}

/// What a chunk ends with.
fn tail(number: u64) -> [u8; TAIL_BYTES] {
    let mut tail = [0; TAIL_BYTES];
    tail[..8].copy_from_slice(&number.to_le_bytes());
    tail
}

/// Lets the system forget what it has of these files in memory. All of it is synced.
pub fn drop_cache(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let file = std::fs::File::open(entry?.path())?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

/// A round begins: wall and processor.
pub fn begin() -> Result<(Instant, f64)> {
    Ok((Instant::now(), cpu_seconds()?))
}

/// It ends: seconds of both.
pub fn end((wall, cpu): (Instant, f64)) -> Result<(f64, f64)> {
    Ok((wall.elapsed().as_secs_f64(), cpu_seconds()? - cpu))
}

/// Processor time of this process, in the kernel's ticks of 10 ms.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}

/// Bytes that this process, and those it has waited for, caused to be written: `write_bytes` of /proc/self/io. Counted when
/// a page becomes dirty; the file system's own journal is not in it.
pub fn io_written() -> Result<u64> {
    number_of("/proc/self/io", "write_bytes:")
}

/// The most memory this process had.
pub fn peak_rss_bytes() -> Result<u64> {
    Ok(number_of("/proc/self/status", "VmHWM:")? * 1024)
}

/// A number that stands in a file of the kernel's behind a word.
fn number_of(file: &str, word: &str) -> Result<u64> {
    let text = std::fs::read_to_string(file)?;
    let line = text.lines().find_map(|line| line.strip_prefix(word)).ok_or("the kernel does not tell")?;
    Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
}
