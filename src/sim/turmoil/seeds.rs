//! Which seeds are played, and those that found something once.

#[cfg(test)]
mod tests {
    use super::super::{play, Size};

    /// A number from the environment.
    fn number(name: &str) -> Option<u64> {
        std::env::var(name).ok().and_then(|text| text.parse().ok())
    }

    /// Plays these seeds, each told before it begins: `NUTHATCH_TURMOIL_SEED=N cargo test turmoil` plays one alone.
    fn play_all(seeds: impl Iterator<Item = u64>) {
        for seed in seeds {
            println!("seed {seed}");
            play(seed, Size::of(seed));
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

    /// What a seed plays changes with the program, so that what they found is told in stories as well.
    const FOUND: [u64; 5] = [
        // A marked holder that is well again was asked for proofs every six hours, and seldom for something that it had promised.
        2_000_078, 2_000_117, 3_000_005, 3_000_012, 3_000_133,
    ];

    #[test]
    fn seeds_that_found_something_once_find_nothing_any_more() {
        if number("NUTHATCH_TURMOIL_SEED").is_none() {
            play_all(FOUND.into_iter());
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test that is told how long to go on needs a clock")]
    #[ignore = "plays seeds for NUTHATCH_TURMOIL_MINUTES (60), from NUTHATCH_TURMOIL_FROM (1000000) on"]
    fn turmoil_long() {
        let span = std::time::Duration::from_secs(60 * number("NUTHATCH_TURMOIL_MINUTES").unwrap_or(60));
        let begun = std::time::Instant::now();
        let from = number("NUTHATCH_TURMOIL_FROM").unwrap_or(1_000_000);
        let (mut found, mut count) = (Vec::new(), 0);
        for seed in (from..).take_while(|_| begun.elapsed() < span) {
            if std::panic::catch_unwind(|| play(seed, Size::of(seed))).is_err() {
                println!("seed {seed} found something");
                found.push(seed);
            }
            count += 1;
            if count % 100 == 0 {
                println!("{count} seeds, {} found something", found.len());
            }
        }
        println!("{count} seeds were played, {} found something", found.len());
        assert!(found.is_empty(), "{found:?}");
    }
}
