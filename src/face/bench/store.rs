//! `bench store`: what this machine's disk and processor give the store; the directory for it, and what is printed.
//!
//! Refuses a directory that holds anything, and leaves it as it was. The rounds themselves are in `face/bench/rounds.rs`.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use super::rounds::{play, Figures, Load, Round};
use crate::base::limits::SEGMENT_BYTES_MAX;
use crate::base::units::Span;
use crate::face::exit::{Exit, Fail};
use crate::face::options::BenchStore;
use crate::face::out::Out;
use crate::face::show;
use crate::io::os::{self, StopSignal};
use serde_json::{json, Value};

/// `bench store`.
///
/// # Errors
/// When the directory is not empty, the disk is too small, or the store fails.
pub fn store(out: Out, options: &BenchStore) -> Result<Exit, Fail> {
    let size = if options.index_only { 0 } else { options.size };
    let load = Load { chunks: options.chunks, size, segment_bytes: SEGMENT_BYTES_MAX };
    let place = Place::take(&options.dir)?;
    place.check_room(load)?;
    let stop = watch()?;
    out.advice("Measuring; the disk is busy with nothing else, is it? Ctrl-C ends it and clears away.");
    let figures = play(&place.home, load, &stop)?;
    drop(place);
    let value = told(load, &figures);
    out.both(&value, |value| text(load, &figures, value))?;
    Ok(Exit::Done)
}

/// A directory to measure in. What was written is removed when this is dropped.
struct Place {
    /// The directory that was named.
    directory: PathBuf,
    /// It was not there before.
    is_new: bool,
    /// Where the store is.
    home: PathBuf,
}

impl Place {
    /// Takes a directory that is empty or not there.
    fn take(directory: &Path) -> Result<Self, Fail> {
        let is_new = match std::fs::read_dir(directory) {
            Ok(entries) => {
                if entries.count() > 0 {
                    let message = format!("{} holds something already", directory.display());
                    return Err(Fail::usage(message, "name an empty directory on the disk to be measured"));
                }
                false
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                make(directory)?;
                true
            }
            Err(error) => return Err(Fail::file("read", directory, &error)),
        };
        let place = Self { home: directory.join("bench"), directory: directory.to_path_buf(), is_new };
        make(&place.home)?;
        Ok(place)
    }

    /// Refuses to fill the disk.
    fn check_room(&self, load: Load) -> Result<(), Fail> {
        let facts = rustix::fs::statvfs(&self.home)
            .map_err(|errno| Fail::file("look at", &self.home, &errno.into()))?;
        let free = facts.f_bavail.saturating_mul(facts.f_frsize);
        let size = u64::try_from(load.size).unwrap_or(u64::MAX).saturating_add(RECORD_BYTES);
        let wanted = load.chunks.saturating_mul(size);
        if wanted > free {
            let message =
                format!("this needs about {}, and {} are free", show::bytes(wanted), show::bytes(free));
            return Err(Fail::usage(message, "give smaller --chunks or --size, or another --dir"));
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut removed = std::fs::remove_dir_all(&self.home);
        if self.is_new && removed.is_ok() {
            removed = std::fs::remove_dir(&self.directory);
        }
        if let Err(error) = removed {
            log::error!("cannot remove {}: {error}; remove it by hand", self.home.display());
        }
    }
}

/// Makes a directory of this user alone.
fn make(directory: &Path) -> Result<(), Fail> {
    let made = DirBuilder::new().mode(0o700).create(directory);
    made.map_err(|error| Fail::file("make", directory, &error))
}

/// Becomes true with the first Ctrl-C or SIGTERM.
fn watch() -> Result<Arc<AtomicBool>, Fail> {
    let trouble = |message: String| Fail::new("system", message, "");
    let mut signal = StopSignal::new().map_err(|error| trouble(error.to_string()))?;
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let wait = move || {
        smol::block_on(signal.wait());
        told.store(true, Ordering::Relaxed);
    };
    let thread = std::thread::Builder::new().name("signals".to_owned()).spawn(wait);
    thread.map(|_| stop).map_err(|error| trouble(format!("cannot start a thread: {error}")))
}

/// The figures for programs; null where nothing was measured.
fn told(load: Load, figures: &Figures) -> Value {
    let bodies = load.size > 0;
    let payload = figures.put.bytes;
    let written = figures.written;
    // What is beside the sealed bytes themselves: records, marks, index, state.
    let beside = written.total().saturating_sub(payload);
    let compacted = &figures.compaction.round;
    // A store of one segment has none that is full.
    let is_compacted = compacted.chunks > 0;
    json!({
        "chunks": load.chunks,
        "chunk_bytes": load.size,
        "index_only": !bodies,
        "syncs": figures.syncs,
        "plain_mb_per_s": bodies.then(|| mb_per_s(&figures.plain)),
        "put_mb_per_s": bodies.then(|| mb_per_s(&figures.put)),
        "put_mb_per_cpu_second": bodies.then(|| per_cpu_second(&figures.put)),
        "puts_per_s": per_second(&figures.put),
        "put_seconds": figures.put.span.as_secs_f64(),
        "put_cpu_seconds": figures.put.cpu_seconds,
        "open_seconds": figures.open.as_secs_f64(),
        "lookups_per_s": per_second(&figures.lookups),
        "get_mb_per_s": bodies.then(|| mb_per_s(&figures.gets)),
        "gets_per_s": bodies.then(|| per_second(&figures.random_gets)),
        "index_bytes_written_per_chunk": ratio(written.index, load.chunks),
        "bookkeeping_bytes_written_per_chunk": ratio(beside, load.chunks),
        "bytes_written_per_byte_stored": bodies.then(|| ratio(written.total(), payload)),
        "scrub_mb_per_s": bodies.then(|| mb_per_s(&figures.scrub)),
        "scrub_mb_per_cpu_second": bodies.then(|| per_cpu_second(&figures.scrub)),
        "drops_per_s": bodies.then(|| per_second(&figures.compaction.drops)),
        "compacted_segments": compacted.chunks,
        "compact_freed_mb_per_s": is_compacted.then(|| mb_per_s(compacted)),
        "compact_freed_mb_per_cpu_second": is_compacted.then(|| per_cpu_second(compacted)),
        "compact_bytes_written_per_byte_freed": is_compacted.then(|| ratio(figures.compaction.written_bytes, compacted.bytes)),
        "compact_bytes_copied_per_byte_freed": is_compacted.then(|| ratio(figures.compaction.copied_bytes, compacted.bytes)),
        "index_runs": figures.stats.runs,
        "peak_rss_bytes": os::peak_rss_bytes(),
    })
}

/// The figures for people.
fn text(load: Load, figures: &Figures, value: &Value) -> String {
    let figure = |name: &str| value[name].as_f64().unwrap_or_default();
    let count = show::count(load.chunks, "chunk");
    let mut lines = Vec::new();
    if load.size > 0 {
        let size = u64::try_from(load.size).unwrap_or(u64::MAX);
        lines.push(format!("{count} of {}", show::bytes(size)));
        let (plain, put) = (figure("plain_mb_per_s"), figure("put_mb_per_s"));
        lines.push(format!("plain file, one sync   {plain:.1} MB/s"));
        let cpu = figure("put_mb_per_cpu_second");
        lines.push(format!("put, synced            {put:.1} MB/s, {cpu:.0} MB per CPU-second"));
        lines.push(format!("get, in order          {:.1} MB/s", figure("get_mb_per_s")));
        lines.push(format!("get, random            {:.0} a second", figure("gets_per_s")));
        let per_byte = figure("bytes_written_per_byte_stored");
        lines.push(format!("written                {per_byte:.4} bytes for each byte stored"));
    } else {
        lines.push(format!("{count} without bodies"));
        lines.push(format!("put, synced by 1,000   {:.0} a second", figure("puts_per_s")));
    }
    lines.push(format!("look up, random        {:.0} a second", figure("lookups_per_s")));
    let (index, beside) =
        (figure("index_bytes_written_per_chunk"), figure("bookkeeping_bytes_written_per_chunk"));
    lines.push(format!(
        "index                  {index:.1} bytes written a chunk, {beside:.1} with records and state"
    ));
    lines.push(format!("open after a close     {}", show::span(figures.open)));
    if load.size > 0 {
        lines.extend(upkeep_text(figures, value));
    }
    let peak = value["peak_rss_bytes"].as_u64().unwrap_or_default();
    lines.push(format!("memory, at most        {}\n", show::bytes(peak)));
    lines.join("\n")
}

/// What a node does by itself: the figures for people.
fn upkeep_text(figures: &Figures, value: &Value) -> Vec<String> {
    let figure = |name: &str| value[name].as_f64().unwrap_or_default();
    let (scrub, cpu) = (figure("scrub_mb_per_s"), figure("scrub_mb_per_cpu_second"));
    let mut lines = vec![format!("scrub                  {scrub:.1} MB/s, {cpu:.0} MB per CPU-second")];
    lines.push(format!("give up                {:.0} chunks a second", figure("drops_per_s")));
    let compacted = &figures.compaction.round;
    if compacted.chunks == 0 {
        lines.push("compaction             not measured: no segment was full".to_owned());
    } else {
        let freed = figure("compact_freed_mb_per_s");
        let written = figure("compact_bytes_written_per_byte_freed");
        let segments = show::count(compacted.chunks, "segment");
        lines.push(format!(
            "compaction             {freed:.1} MB/s given back, {written:.2} bytes written for each ({segments})"
        ));
    }
    lines
}

/// Megabytes a second.
fn mb_per_s(round: &Round) -> f64 {
    // Bytes in a microsecond.
    ratio(round.bytes, round.span.as_micros())
}

/// Megabytes for each second of the processor.
fn per_cpu_second(round: &Round) -> f64 {
    mb_per_s(round) * round.span.as_secs_f64() / round.cpu_seconds.max(1e-6)
}

/// Chunks a second.
fn per_second(round: &Round) -> f64 {
    ratio(round.chunks.saturating_mul(Span::from_secs(1).as_micros()), round.span.as_micros())
}

/// One number divided by another, to four places.
fn ratio(part: u64, whole: u64) -> f64 {
    let places = u128::from(part) * 10_000 / u128::from(whole.max(1));
    u64::try_from(places).ok().and_then(|places| places.to_string().parse::<f64>().ok()).unwrap_or(f64::MAX)
        / 10_000.0
}

/// What a record adds to a chunk, and the index to that, at the most.
const RECORD_BYTES: u64 = 400;

#[cfg(test)]
mod tests {
    use super::*;

    /// A quiet way of speaking.
    const OUT: Out = Out { json: false, quiet: true };

    #[test]
    fn it_measures_and_leaves_nothing_behind() {
        let parent = tempfile::tempdir().unwrap();
        for (dir, index_only) in [(parent.path().join("new"), false), (parent.path().to_path_buf(), true)] {
            let options = BenchStore { dir: dir.clone(), chunks: 1_500, size: 5_000, index_only };
            let load = Load {
                chunks: options.chunks,
                size: if index_only { 0 } else { options.size },
                segment_bytes: 1024 * 1024,
            };
            let place = Place::take(&dir).unwrap();
            let figures = play(&place.home, load, &AtomicBool::new(false)).unwrap();
            drop(place);
            assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
            let value = told(load, &figures);
            assert_eq!(figures.stats.chunks, 1_500);
            // Each chunk is in one run, which the close wrote: 44 bytes, and what blocks are filled up with.
            let index = value["index_bytes_written_per_chunk"].as_f64().unwrap();
            assert!((44.0..52.0).contains(&index), "{value}");
            let beside = value["bookkeeping_bytes_written_per_chunk"].as_f64().unwrap();
            assert!(beside > index + 60.0, "{value}");
            assert_eq!(value["put_mb_per_s"].is_null(), index_only);
            // Of 9 dead and 7 live in 16 the live are copied.
            assert_eq!(value["compact_freed_mb_per_s"].is_null(), index_only);
            let copied = value["compact_bytes_copied_per_byte_freed"].as_f64();
            assert!(copied.is_none_or(|copied| (0.4..0.45).contains(&copied)), "{value}");
            assert_eq!(value["scrub_mb_per_s"].is_null(), index_only);
            assert!(text(load, &figures, &value).ends_with('\n'));
        }
    }

    #[test]
    fn a_directory_that_holds_something_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        std::fs::write(parent.path().join("photo"), b"x").unwrap();
        let options =
            BenchStore { dir: parent.path().to_path_buf(), chunks: 1, size: 100, index_only: false };
        let fail = store(OUT, &options).unwrap_err();
        assert_eq!(fail.exit, Exit::Usage);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
        let options =
            BenchStore { dir: parent.path().join("a"), chunks: u64::MAX, size: 100, index_only: false };
        assert!(store(OUT, &options).unwrap_err().to_string().contains("free"));
        assert!(!parent.path().join("a").exists());
    }

    #[test]
    fn a_stop_ends_it_early_without_a_word() {
        let parent = tempfile::tempdir().unwrap();
        let place = Place::take(parent.path()).unwrap();
        let load = Load { chunks: 10, size: 100, segment_bytes: SEGMENT_BYTES_MAX };
        let fail = play(&place.home, load, &AtomicBool::new(true)).unwrap_err();
        assert_eq!(fail, Fail::silent(Exit::Interrupted));
    }
}
