//! Which seeds are played, and those that found something once.

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Mutex, PoisonError};

    use super::super::{play, Size};
    use crate::peer::lasting::pretended;

    /// A number from the environment.
    fn number(name: &str) -> Option<u64> {
        std::env::var(name).ok().and_then(|text| text.parse().ok())
    }

    /// How much the household of a seed has: as usual, or as `NUTHATCH_TURMOIL_NODES`, `_STEPS` and `_SESSIONS` say.
    fn size(seed: u64) -> Size {
        let usual = Size::of(seed);
        let small = |name| number(name).and_then(|number| usize::try_from(number).ok());
        Size {
            nodes: small("NUTHATCH_TURMOIL_NODES").unwrap_or(usual.nodes),
            steps: number("NUTHATCH_TURMOIL_STEPS").unwrap_or(usual.steps),
            sessions: small("NUTHATCH_TURMOIL_SESSIONS"),
        }
    }

    /// Plays these seeds, each told before it begins: `NUTHATCH_TURMOIL_SEED=N cargo test turmoil` plays one alone.
    fn play_all(seeds: impl Iterator<Item = u64>) {
        for seed in seeds {
            println!("seed {seed}");
            let _ = play(seed, size(seed));
        }
    }

    /// A part of the usual seeds: each is a test of its own, so that they are played side by side.
    fn part(of: u64) {
        match number("NUTHATCH_TURMOIL_SEED") {
            Some(seed) => play_all((seed..=seed).filter(|seed| seed % 4 == of)),
            None => {
                play_all((0..number("NUTHATCH_TURMOIL_SEEDS").unwrap_or(40)).filter(|seed| seed % 4 == of))
            }
        }
    }

    #[test]
    fn whatever_happens_nothing_promised_is_lost_first_quarter() {
        part(0);
    }

    #[test]
    fn whatever_happens_nothing_promised_is_lost_second_quarter() {
        part(1);
    }

    #[test]
    fn whatever_happens_nothing_promised_is_lost_third_quarter() {
        part(2);
    }

    #[test]
    fn whatever_happens_nothing_promised_is_lost_fourth_quarter() {
        part(3);
    }

    // In 39 nodes with 8 sessions each a holder never reached the writer, who alone had the chunks that it was to keep, and a folder stayed at
    // one copy of two (node/seeking.rs; told in crowd/stories.rs, for this takes minutes):
    // NUTHATCH_TURMOIL_NODES=39 NUTHATCH_TURMOIL_SESSIONS=8 NUTHATCH_TURMOIL_STEPS=3 NUTHATCH_TURMOIL_SEED=7000077 cargo test turmoil

    /// What a seed plays changes with the program, so that what they found is told in stories as well.
    const FOUND: [u64; 25] = [
        // Whoever had let a node in burnt before anybody else heard of that: it is a member to nobody, and has to join anew. (No fault.)
        75_070_868,
        // A node that was full kept nothing of a snapshot, some of which it had of an earlier one, or was pushed: when that was let go it went
        // with the pass of the week. (No fault.)
        75_017_390, 75_054_742,
        // A chunk was pushed to a node whose pass was at work, and nothing had that pass go on when nothing else happened (node/upkeep.rs).
        78_029_976,
        // Simulated nodes that were told how much they may hold kept from then on what was let go for as long as real ones. (No fault.)
        73_001_694,
        // A node whose disk was without power for an hour could prove nothing, and so another one was let go without it. (No fault.)
        71_049_293,
        // An owner burnt in the moment in which it had taken over from one that had burnt, and nobody had heard of that: the next one has to
        // take the place of both. (No fault: it is told so.)
        72_069_212, 71_090_788,
        // The same where the others had heard that the first one was removed, and not that its folder was taken over: it has to be
        // attached. (No fault: `status` says so.)
        74_005_256,
        // The owner's disk became older than its newest snapshot, of which nobody else had fetched anything: files that had not changed since
        // were in every later one, and their chunks on no disk.
        70_008_903,
        // What was found damaged of a snapshot that was let go came back after everything else of it had been given up, and stayed for a week.
        70_003_102,
        // The writer was lost and removed, so that there are two content keys; on the disk of whoever went on with its folder a chunk rotted
        // before anybody else had it, and no file was read again, for that is sealed with the newer key and makes other chunks.
        60_036_473,
        // A marked holder that is well again was asked for proofs every six hours, and seldom for something that it had promised.
        2_000_078, 2_000_117, 3_000_005, 3_000_012, 3_000_133,
        // Where a disk was full when an entry was to be written nothing that followed it in its feed was taken before a person restarted the node.
        1_000_384, 1_000_834,
        // A holder was marked before places changed, and was asked for nothing any more by whoever shared no group with it now.
        1_000_450,
        // A marked holder that had lost half fetched one chunk in six hours, where its place had changed and nobody compared with it.
        20_001_149,
        // What rotted before it was copied, and was come upon by whoever read it, was fetched by nobody and read from no file again.
        20_000_372, 20_003_108,
        // A disk from an older image was confirmed by one that had been off, a moment before another one told of what it lacked.
        20_001_141,
        // The power went in the moment in which the database became longer, and it was not opened again (store/soundness.rs).
        1_000_629,
    ];

    #[test]
    fn seeds_that_found_something_once_find_nothing_any_more() {
        if number("NUTHATCH_TURMOIL_SEED").is_none() {
            play_all(FOUND.into_iter());
        }
    }

    // Without troubles, for where the power goes while the database writes, the order of its writes decides what is left of them, and that
    // order is none of ours.
    #[test]
    fn a_quiet_household_takes_the_same_course_each_time_and_with_pretended_keys_too() {
        let quiet = Size { steps: 0, ..Size::of(8) };
        let course = play(8, quiet);
        assert_eq!(play(8, quiet), course);
        pretended::set_used(true);
        assert_eq!(play(8, quiet), course);
        pretended::set_used(false);
    }

    /// What came of seeds that were played side by side.
    #[derive(Default)]
    struct Played {
        /// Those that found something.
        found: Vec<u64>,
        /// What each took of a processor, in milliseconds.
        taken_ms: Vec<(i64, u64)>,
    }

    /// What this thread has taken of a processor, in milliseconds.
    fn processor_ms() -> i64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
    }

    /// Plays a seed and says what came of it.
    fn play_one(seed: u64, played: &Mutex<Played>) -> usize {
        let before = processor_ms();
        let course = std::panic::catch_unwind(|| play(seed, size(seed)));
        let taken = processor_ms() - before;
        if number("NUTHATCH_TURMOIL_TELL").is_some() {
            println!("seed {seed} took {taken} ms: {course:?}");
        }
        let mut played = played.lock().unwrap_or_else(PoisonError::into_inner);
        if course.is_err() {
            println!("seed {seed} found something");
            played.found.push(seed);
        }
        played.taken_ms.push((taken, seed));
        played.taken_ms.len()
    }

    /// Plays seeds on every processor until the time is up or `most` were played.
    #[expect(clippy::disallowed_methods, reason = "a test that is told how long to go on needs a clock")]
    fn play_for(span: std::time::Duration, from: u64, most: u64) -> Played {
        let (begun, next) = (std::time::Instant::now(), AtomicU64::new(from));
        let played = Mutex::new(Played::default());
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    pretended::set_used(number("NUTHATCH_TURMOIL_CURVE").is_none());
                    while begun.elapsed() < span {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed - from >= most {
                            break;
                        }
                        let count = play_one(seed, &played);
                        if count % 100 == 0 {
                            println!("{count} seeds after {} s", begun.elapsed().as_secs());
                        }
                    }
                });
            }
        });
        played.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    #[test]
    #[ignore = "plays seeds for NUTHATCH_TURMOIL_MINUTES (60), from NUTHATCH_TURMOIL_FROM (1000000) on, at most NUTHATCH_TURMOIL_SEEDS"]
    fn turmoil_long() {
        let minutes = number("NUTHATCH_TURMOIL_MINUTES").unwrap_or(60);
        let from = number("NUTHATCH_TURMOIL_FROM").unwrap_or(1_000_000);
        let most = number("NUTHATCH_TURMOIL_SEEDS").unwrap_or(u64::MAX);
        let mut played = play_for(std::time::Duration::from_secs(60 * minutes), from, most);
        let (count, found) = (played.taken_ms.len(), played.found);
        println!("{count} seeds were played in at most {minutes} minutes, {} found something", found.len());
        played.taken_ms.sort_unstable();
        let all: i64 = played.taken_ms.iter().map(|(taken, _)| taken).sum();
        println!("they took {all} ms of a processor, the slowest (ms, seed):");
        println!("{:?}", played.taken_ms.iter().rev().take(8).collect::<Vec<_>>());
        assert!(found.is_empty(), "{found:?}");
    }
}
