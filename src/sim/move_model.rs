//! A small model of moving, and every interleaving of its operations: a few holders of one group of one snapshot, all of which may
//! leave at once, change their mind, and lose their power.
//!
//! What the model says of one step is what `node/moving.rs`, `node/leaving.rs` and `node/holding.rs` do in one turn of the core. An
//! answer takes no time in it, for a leaver may wait as long as it likes before it drops what was confirmed. The oracle:
//! as many copies as are wanted are on disks, and whose receipt counts has one. Each guard is taken away once, and the search must find the
//! loss that it prevents: else the model would show nothing. Read `replicate/leave.rs` first.

use std::collections::HashSet;

/// A rule that keeps copies from being lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// Nothing is missing: the program as it is.
    Whole,
    /// A leaver's round lives on though it has written a receipt.
    Withdraw,
    /// Who was ever counted on confirms, though it has released.
    Live,
    /// A leaver is answered before its Release is on its disk.
    Known,
    /// A drop falls into a share that has looked, and has not signed yet.
    Calm,
    /// One copy less is enough.
    Enough,
}

/// A holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Holder {
    /// The copy is on its disk.
    has: bool,
    /// It counts on having it: its receipt as it believes it, and as its disk has it.
    receipt: bool,
    saved: bool,
    /// A share has found the copy here, or fetched it, and will sign.
    share: bool,
    /// Who has confirmed, in the round under way.
    round: Option<u8>,
}

/// The household.
type World<const N: usize> = [Holder; N];

/// All worlds that one step leads to.
fn steps<const N: usize>(world: &World<N>, wanted: u32, without: Guard) -> Vec<World<N>> {
    let mut next = Vec::new();
    for (number, holder) in world.iter().enumerate() {
        let mut step = |change: &dyn Fn(&mut Holder)| {
            let mut after = *world;
            change(&mut after[number]);
            next.push(after);
        };
        if holder.receipt != holder.saved {
            step(&|at| at.saved = at.receipt);
        }
        if holder.receipt && holder.round.is_none() {
            step(&|at| at.receipt = false);
        }
        if holder.has && !holder.receipt && holder.round.is_none() {
            step(&|at| at.round = Some(0));
        }
        if !holder.share && !holder.receipt && world.iter().any(|other| other.has) {
            step(&|at| (at.has, at.share) = (true, true));
        }
        if holder.share {
            let ends = without != Guard::Withdraw;
            step(&|at| {
                (at.receipt, at.share) = (true, false);
                at.round = at.round.filter(|_| !ends);
            });
        }
        step(&|at| (at.receipt, at.share, at.round) = (at.saved, false, None));
        let Some(round) = holder.round else { continue };
        let is_known = without == Guard::Known || !holder.saved;
        for (other, asked) in world.iter().enumerate().filter(|(other, _)| *other != number) {
            let confirms = asked.receipt || (without == Guard::Live && (asked.saved || asked.has));
            if confirms && is_known && round & (1 << other) == 0 {
                step(&|at| at.round = Some(round | 1 << other));
            }
        }
        let enough = if without == Guard::Enough { wanted - 1 } else { wanted };
        let is_calm = without == Guard::Calm || !holder.share;
        if round.count_ones() >= enough && is_calm {
            step(&|at| (at.has, at.round) = (false, None));
        }
    }
    next
}

/// Whether something is lost that somebody counts on.
fn is_lost<const N: usize>(world: &World<N>, wanted: u32) -> bool {
    let copies = world.iter().filter(|holder| holder.has).count();
    copies < usize::try_from(wanted).unwrap_or(0) || world.iter().any(|holder| holder.receipt && !holder.has)
}

/// Searches everything that so many steps lead to; how many worlds were seen, and whether anything was lost. All hold it at first.
fn search<const N: usize>(wanted: u32, depth: usize, without: Guard) -> (usize, bool) {
    let holder = Holder { has: true, receipt: true, saved: true, share: false, round: None };
    let first = [holder; N];
    let mut seen = HashSet::from([first]);
    let mut todo = vec![first];
    for _ in 0..depth {
        let mut later = Vec::new();
        for world in &todo {
            for next in steps(world, wanted, without) {
                if is_lost(&next, wanted) {
                    return (seen.len(), true);
                }
                if seen.insert(next) {
                    later.push(next);
                }
            }
        }
        if later.is_empty() {
            return (seen.len(), false);
        }
        todo = later;
    }
    (seen.len(), false)
}

#[test]
fn whoever_leaves_in_whatever_order_the_wanted_copies_stay() {
    let (seen, is_lost) = search::<3>(1, usize::MAX, Guard::Whole);
    assert!(!is_lost, "after {seen} worlds of three");
    assert!(seen > 4_000, "{seen} worlds are few");
    let (seen, is_lost) = search::<4>(2, usize::MAX, Guard::Whole);
    assert!(!is_lost, "after {seen} worlds of four");
    assert!(seen > 100_000, "{seen} worlds are few");
}

#[test]
fn the_model_loses_something_without_any_one_of_its_guards() {
    for guard in [Guard::Withdraw, Guard::Live, Guard::Known, Guard::Calm, Guard::Enough] {
        assert!(search::<3>(1, usize::MAX, guard).1, "{guard:?} guards nothing");
        assert!(search::<4>(2, usize::MAX, guard).1, "{guard:?} guards nothing among four");
    }
}
