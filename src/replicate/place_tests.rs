//! What placement promises: sites before nodes, nobody more than its share, little moved, the same everywhere.

use super::place::{Placement, Seat};
use crate::base::ids::{Group, NodeId};
use crate::base::units::Copies;
use std::collections::{BTreeMap, BTreeSet};

/// Numbers that look random and are the same in every run (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn node(&mut self) -> NodeId {
        let mut bytes = [0; 32];
        bytes.chunks_mut(8).for_each(|part| part.copy_from_slice(&self.next().to_be_bytes()));
        NodeId::from_bytes(bytes)
    }

    /// Between 1 GB and 256 GB, small ones as often as great ones.
    fn capacity(&mut self) -> u64 {
        let octave = self.below(8);
        (1 << octave) * (1_000_000_000 + self.below(1_000_000_000))
    }
}

/// A roster of these capacities (in hundredths of a terabyte) and sites.
fn roster(seed: u64, nodes: &[(u64, &str)]) -> Vec<Seat> {
    let mut numbers = Numbers(seed);
    let seat = |(size, site): &(u64, &str)| Seat {
        node: numbers.node(),
        site: (*site).to_owned(),
        capacity_bytes: size * 10_000_000_000,
        is_full: false,
    };
    nodes.iter().map(seat).collect()
}

/// The same, each node in a site of its own.
fn apart(seed: u64, sizes: &[u64]) -> Vec<Seat> {
    let mut seats = roster(seed, &sizes.iter().map(|size| (*size, "")).collect::<Vec<_>>());
    seats.iter_mut().enumerate().for_each(|(number, seat)| seat.site = format!("site {number}"));
    seats
}

/// Every group and who holds it.
fn pairs(placement: &Placement) -> BTreeSet<(u16, NodeId)> {
    Group::all().flat_map(|group| placement.holders(group).map(move |node| (group.number(), *node))).collect()
}

/// How much data fits, in bytes: until the first node is full.
fn usable(seats: &[Seat], placement: &Placement) -> u64 {
    let held =
        seats.iter().map(|seat| (u64::from(placement.groups_of(&seat.node).len()), seat.capacity_bytes));
    held.filter(|(groups, _)| *groups > 0)
        .map(|(groups, capacity)| capacity / groups * 4_096)
        .min()
        .unwrap_or(0)
}

/// The sites' capacities, how many copies each gets at least and at most.
fn sites(seats: &[Seat], copies: usize) -> Vec<(Vec<u64>, usize, usize)> {
    let mut by_name: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for seat in seats {
        by_name.entry(&seat.site).or_default().push(seat.capacity_bytes);
    }
    let mut sites: Vec<_> = by_name.into_values().map(|capacities| (capacities, 0, 0)).collect();
    let mut left = copies;
    // One copy for everybody, then a second one for everybody that can, until they are too few.
    loop {
        let open = sites.iter().filter(|(capacities, least, _)| capacities.len() > *least).count();
        let all = left >= open;
        for (capacities, least, most) in &mut sites {
            *most = (*least + 1).min(capacities.len());
            *least = if all { *most } else { *least };
        }
        if !all || open == 0 || left == open {
            let exact = left == open || open == 0;
            sites.iter_mut().filter(|_| exact).for_each(|(_, least, most)| *most = *least);
            return sites;
        }
        left -= open;
    }
}

/// The most data that can be kept with so many copies, sites before nodes, if groups could be divided.
fn best(seats: &[Seat], copies: usize) -> u64 {
    let sites = sites(seats, copies);
    let fits = |data: u64| {
        let room =
            |capacities: &[u64]| -> u128 { capacities.iter().map(|one| u128::from(*one.min(&data))).sum() };
        let times = |copies: usize| u128::from(data) * u128::try_from(copies).unwrap();
        let least = sites.iter().all(|(capacities, least, _)| room(capacities) >= times(*least));
        let all: u128 = sites.iter().map(|(capacities, _, most)| room(capacities).min(times(*most))).sum();
        least && all >= times(copies)
    };
    let (mut low, mut high) = (0, 1 << 50);
    while low + 1 < high {
        let middle = (low + high) / 2;
        if fits(middle) {
            low = middle
        } else {
            high = middle
        }
    }
    low
}

/// The least that must move from one placement to the other, if each node holds its ideal share: what the nodes that
/// shall hold more shall hold more, in groups.
fn least_moved(before: &[Seat], after: &[Seat], copies: usize) -> u64 {
    let (before, after) = (ideal(before, copies), ideal(after, copies));
    let more = after.iter().map(|(node, share)| share.saturating_sub(*before.get(node).unwrap_or(&0)));
    more.sum::<u64>() / 1_024
}

/// What each node shall hold, ideally: parts of 2^22 of everything.
fn ideal(seats: &[Seat], copies: usize) -> BTreeMap<NodeId, u64> {
    let mut seats = seats.to_vec();
    seats.sort_unstable_by_key(|seat| seat.node);
    if seats.len() <= copies {
        return seats.iter().map(|seat| (seat.node, 1 << 22)).collect();
    }
    let capacities: Vec<u64> = seats.iter().map(|seat| seat.capacity_bytes).collect();
    let names: BTreeSet<&str> = seats.iter().map(|seat| seat.site.as_str()).collect();
    let number = |seat: &Seat| names.iter().position(|name| *name == seat.site).unwrap();
    let numbers: Vec<usize> = seats.iter().map(number).collect();
    let shares = super::share::shares(&capacities, &numbers, copies);
    seats.iter().map(|seat| seat.node).zip(shares.nodes).collect()
}

/// Groups that somebody must fetch who did not hold them before.
fn moved(before: &[Seat], after: &[Seat], copies: Copies) -> u64 {
    let (old, new) = (Placement::new(before, copies), Placement::new(after, copies));
    u64::try_from(pairs(&new).difference(&pairs(&old)).count()).unwrap()
}

#[test]
fn no_more_nodes_than_copies_hold_everything() {
    let mut seats = apart(1, &[400, 100, 1]);
    let placement = Placement::new(&seats, Copies::new(3));
    for seat in &seats {
        assert!(placement.groups_of(&seat.node).is_all());
    }
    assert!(Group::all().all(|group| placement.holders(group).count() == 3));
    seats[0].is_full = true;
    seats[1].capacity_bytes = 0;
    let placement = Placement::new(&seats, Copies::new(3));
    assert_eq!(placement.nodes(), [seats[2].node]);
    assert!(placement.groups_of(&seats[0].node).is_empty() && placement.groups_of(&seats[1].node).is_empty());
    assert!(placement.groups_of(&seats[2].node).is_all());
    assert_eq!(Placement::new(&[], Copies::new(3)).holders(Group::new(5).unwrap()).count(), 0);
}

#[test]
fn full_nodes_and_those_without_capacity_are_never_holders() {
    let mut seats = apart(2, &[400, 200, 100, 100, 50, 300, 300]);
    seats[5].is_full = true;
    seats[6].capacity_bytes = 0;
    let placement = Placement::new(&seats, Copies::new(2));
    for group in Group::all() {
        let holders: Vec<NodeId> = placement.holders(group).copied().collect();
        assert_eq!(holders.len(), 2);
        assert!(holders.iter().all(|node| *node != seats[5].node && *node != seats[6].node));
    }
    let open = Placement::new(&seats[..5], Copies::new(2));
    assert_eq!(pairs(&placement), pairs(&open), "who holds nothing changes nothing");
}

#[test]
fn the_list_and_the_question_agree_in_whatever_order_members_come() {
    let mut seats = roster(3, &[(9, "a"), (5, "a"), (7, "b"), (3, "c"), (3, "c"), (8, "d")]);
    let placement = Placement::new(&seats, Copies::new(3));
    seats.reverse();
    assert_eq!(placement, Placement::new(&seats, Copies::new(3)));
    for seat in &seats {
        let groups = placement.groups_of(&seat.node);
        assert!(Group::all()
            .all(|group| placement.holders(group).any(|node| *node == seat.node) == groups.contains(group)));
    }
}

#[test]
fn sites_come_before_nodes() {
    let mut numbers = Numbers(4);
    for case in 0..40 {
        let copies = 2 + usize::try_from(case % 3).unwrap();
        let count = copies + 1 + usize::try_from(numbers.below(12)).unwrap();
        let places = 1 + numbers.below(6);
        let mut seats = apart(case, &vec![1; count]);
        for seat in &mut seats {
            seat.capacity_bytes = numbers.capacity();
            seat.site = format!("place {}", numbers.below(places));
        }
        let placement = Placement::new(&seats, Copies::new(u8::try_from(copies).unwrap()));
        let site_of: BTreeMap<NodeId, &str> =
            seats.iter().map(|seat| (seat.node, seat.site.as_str())).collect();
        // What was too small for a group is no holder: the sites are those of the holders.
        let open: Vec<Seat> =
            seats.iter().filter(|seat| placement.nodes().contains(&seat.node)).cloned().collect();
        let bounds: BTreeSet<(usize, usize)> =
            sites(&open, copies).iter().map(|(_, least, most)| (*least, *most)).collect();
        let (least, most) =
            (bounds.iter().map(|(least, _)| *least).min(), bounds.iter().map(|(_, most)| *most).max());
        for group in Group::all() {
            let mut here: BTreeMap<&str, usize> = open.iter().map(|seat| (seat.site.as_str(), 0)).collect();
            placement.holders(group).for_each(|node| *here.get_mut(site_of[node]).unwrap() += 1);
            assert_eq!(here.values().sum::<usize>(), copies, "case {case}");
            assert!(
                here.values().min().copied() >= least && here.values().max().copied() <= most,
                "case {case}: {here:?}"
            );
        }
    }
}

#[test]
fn usable_space_is_within_two_hundredths_of_the_best() {
    let uneven = [400, 200, 100, 100, 50];
    for (copies, seed) in (2..=3).flat_map(|copies| (0..8).map(move |seed| (copies, seed))) {
        check_balance(&apart(seed, &uneven), copies, &format!("4:2:1:1:0.5, {copies} copies, seed {seed}"));
    }
    let mut numbers = Numbers(5);
    for case in 0..80 {
        let space = random_space(&mut numbers, case);
        assert!(space >= 980, "case {case}: {space} thousandths of the best");
    }
}

/// The usable space of a random roster of 3 to 17 nodes, in thousandths of the best.
fn random_space(numbers: &mut Numbers, case: u64) -> u64 {
    let copies = 2 + usize::try_from(case % 2).unwrap();
    let count = copies + 1 + usize::try_from(numbers.below(14)).unwrap();
    let mut seats = apart(1_000 + case, &vec![1; count]);
    let places = 1 + numbers.below(8);
    for seat in &mut seats {
        seat.capacity_bytes = numbers.capacity();
        if case % 3 > 0 {
            seat.site = format!("place {}", numbers.below(places));
        }
    }
    let placement = Placement::new(&seats, Copies::new(u8::try_from(copies).unwrap()));
    usable(&seats, &placement) * 1_000 / best(&seats, copies)
}

fn check_balance(seats: &[Seat], copies: usize, what: &str) {
    let placement = Placement::new(seats, Copies::new(u8::try_from(copies).unwrap()));
    let (usable, best) = (usable(seats, &placement), best(seats, copies));
    assert!(usable >= best / 100 * 98, "{what}: {usable} of {best}");
}

/// The most that any roster here moves beyond the least, in thousandths, and the mean.
fn moves(rosters: &[(Vec<Seat>, u8)]) -> (u64, u64) {
    let mut excess = Vec::new();
    for (seats, copies) in rosters {
        let fewer = &seats[..seats.len() - 1];
        let least = |one, other| least_moved(one, other, usize::from(*copies));
        for (before, after) in [(fewer, seats.as_slice()), (seats.as_slice(), fewer)] {
            let moved = moved(before, after, Copies::new(*copies));
            excess.push((moved * 1_000 / least(before, after).max(1)).saturating_sub(1_000));
        }
    }
    let count = u64::try_from(excess.len()).unwrap().max(1);
    (excess.iter().max().copied().unwrap_or(0), excess.iter().sum::<u64>() / count)
}

/// Rosters and how many copies each wants.
type Rosters = Vec<(Vec<Seat>, u8)>;

/// Rosters whose last node comes and goes, each kind so many times.
fn rosters(count: u64) -> Vec<(&'static str, Rosters)> {
    let seeded = |make: &dyn Fn(u64) -> (Vec<Seat>, u8)| (0..count).map(make).collect::<Vec<_>>();
    let equal = |nodes: usize| move |seed| (apart(seed, &vec![100; nodes]), 3);
    let home = [
        (200, "home"),
        (100, "home"),
        (200, "parents"),
        (100, "parents"),
        (100, "office"),
        (200, "office"),
        (100, "home"),
    ];
    vec![
        ("4:2:1:1:0.5 and 1, 2 copies", seeded(&|seed| (apart(seed, &[400, 200, 100, 100, 50, 100]), 2))),
        ("4:2:1:1:0.5 and 1, 3 copies", seeded(&|seed| (apart(seed, &[400, 200, 100, 100, 50, 100]), 3))),
        ("4:2:1:1:0.5 and 4, 3 copies", seeded(&|seed| (apart(seed, &[400, 200, 100, 100, 50, 400]), 3))),
        ("5 equal", seeded(&equal(5))),
        ("8 equal", seeded(&equal(8))),
        ("16 equal", seeded(&equal(16))),
        ("32 equal", seeded(&equal(32))),
        ("7 in 3 sites, 3 copies", seeded(&|seed| (roster(seed, &home), 3))),
        ("7 in 3 sites, 2 copies", seeded(&|seed| (roster(seed, &home), 2))),
        (
            "6 in one site",
            seeded(&|seed| {
                (roster(seed, &[(200, "a"), (100, "a"), (100, "a"), (50, "a"), (300, "a"), (100, "a")]), 3)
            }),
        ),
    ]
}

#[test]
fn what_comes_or_goes_moves_little_more_than_it_must() {
    let mut means = Vec::new();
    for (name, rosters) in rosters(3) {
        let (most, mean) = moves(&rosters);
        assert!(mean <= 155 && most <= 225, "{name}: {mean} thousandths more than it must, at most {most}");
        means.push(mean);
    }
    let count = u64::try_from(means.len()).unwrap();
    assert!(means.iter().sum::<u64>() / count <= 90, "{means:?}");
}

/// What each site holds (where more sites are than copies, so that none has two), or each node (where all are in one site).
fn by_unit(seats: &[Seat], shares: &BTreeMap<NodeId, u64>, is_by_site: bool) -> BTreeMap<Vec<u8>, u64> {
    let mut held = BTreeMap::new();
    for seat in seats {
        let unit = if is_by_site { seat.site.clone().into_bytes() } else { seat.node.as_bytes().to_vec() };
        *held.entry(unit).or_default() += shares.get(&seat.node).copied().unwrap_or(0);
    }
    held
}

/// The least, in groups, that must move while each node in turn goes from this roster (and comes back: that is as much),
/// whatever function of the roster says who holds what, if each node holds its ideal share.
///
/// What a node that went held must be fetched by others. One of these, `b`, gains a group that the other one held at no further
/// cost; a group that it did not hold only in the place of somebody else, who moves for nothing. Each group
/// without `b` has `copies` holders, so over all who go `b` can gain no more than `copies` times what it does not hold at no
/// further cost. A node that holds nearly everything gains little room and much, whoever goes: so 15% more than the least
/// of each change alone is more than any placement can keep for such rosters.
fn least_moved_by_all(seats: &[Seat], copies: usize) -> u64 {
    let sites = |seats: &[Seat]| seats.iter().map(|seat| &seat.site).collect::<BTreeSet<_>>().len();
    let (is_by_site, is_by_node) = (sites(seats) > copies, sites(seats) == 1);
    let shares = ideal(seats, copies);
    let before = by_unit(seats, &shares, is_by_site);
    let (mut alone, mut gains) = (0, BTreeMap::new());
    for gone in 0..seats.len() {
        let fewer = without(seats, gone);
        alone += least_moved(seats, &fewer, copies);
        if is_by_node || is_by_site && sites(&fewer) > copies {
            for (unit, share) in by_unit(&fewer, &ideal(&fewer, copies), is_by_site) {
                let is_own = is_by_site && unit == seats[gone].site.as_bytes();
                let gain = if is_own { 0 } else { share.saturating_sub(before[&unit]) };
                *gains.entry(unit).or_insert(0) += gain;
            }
        }
    }
    let parts = |copies: usize| u64::try_from(copies).unwrap() << 22;
    let cheap = |unit: &Vec<u8>| parts(copies).saturating_sub(before[unit] * u64::try_from(copies).unwrap());
    let dear: u64 = gains.iter().map(|(unit, gain)| gain.saturating_sub(cheap(unit))).sum();
    alone.max((parts(copies) + dear) / 1_024)
}

/// All but one of them.
fn without(seats: &[Seat], gone: usize) -> Vec<Seat> {
    let mut fewer = seats.to_vec();
    fewer.remove(gone);
    fewer
}

/// What moves while each node in turn goes: beyond the least of all these changes, and the worst of them beyond its own
/// least, in thousandths.
fn moves_of_all(seats: &[Seat], copies: u8) -> (u64, u64) {
    let (mut all, mut worst) = (0, 0);
    for gone in 0..seats.len() {
        let fewer = without(seats, gone);
        let moved = moved(seats, &fewer, Copies::new(copies));
        let least = least_moved(seats, &fewer, usize::from(copies)).max(1);
        worst = worst.max((moved * 1_000 / least).saturating_sub(1_000));
        all += moved;
    }
    let least = least_moved_by_all(seats, usize::from(copies));
    ((all * 1_000 / least).saturating_sub(1_000), worst)
}

/// A random roster of 3 to 12 nodes between half a terabyte and four: in one site, each in its own, or in up to six.
fn random_home(numbers: &mut Numbers, case: u64) -> (Vec<Seat>, u8) {
    let copies = 2 + case % 2;
    let count = copies + 1 + numbers.below(12 - copies);
    let places = [1, 0, 4, 6][usize::try_from(case / 2 % 4).unwrap()];
    let mut seats = apart(2_000 + case, &vec![50; usize::try_from(count).unwrap()]);
    for seat in &mut seats {
        seat.capacity_bytes <<= numbers.below(4);
        if places > 0 {
            seat.site = format!("place {}", numbers.below(places));
        }
    }
    (seats, u8::try_from(copies).unwrap())
}

#[test]
fn whoever_comes_or_goes_all_of_it_together_moves_little_more_than_any_placement_must() {
    let mut homes = Vec::new();
    for copies in 2..=3 {
        homes.push((apart(11, &[400, 200, 100, 100, 50]), copies));
        homes.push((apart(12, &[400, 200, 100, 100, 50, 100]), copies));
        homes.push((apart(13, &[400, 100, 100, 100, 100, 100]), copies));
        homes.extend([4, 6, 9, 12].map(|count| (apart(14, &vec![100; count]), copies)));
    }
    let mut numbers = Numbers(10);
    homes.extend((0..24).map(|case| random_home(&mut numbers, case)));
    for (number, (seats, copies)) in homes.iter().enumerate() {
        let sites: BTreeSet<&str> = seats.iter().map(|seat| seat.site.as_str()).collect();
        // Where several nodes share one of several sites, a site is as good as its best node, and that costs some more.
        let bound = if sites.len() == 1 || sites.len() == seats.len() { 150 } else { 220 };
        let (all, _) = moves_of_all(seats, *copies);
        assert!(all <= bound, "roster {number}, {copies} copies: {all} thousandths more than it must");
    }
}

#[test]
fn in_a_crowd_the_groups_are_too_coarse_but_the_sites_still_hold() {
    let mut numbers = Numbers(8);
    let mut seats = apart(8, &[100; 300]);
    for seat in &mut seats {
        seat.site = format!("place {}", numbers.below(100));
    }
    let placement = Placement::new(&seats, Copies::new(3));
    let site_of: BTreeMap<NodeId, &str> = seats.iter().map(|seat| (seat.node, seat.site.as_str())).collect();
    for group in Group::all() {
        let sites: BTreeSet<&str> = placement.holders(group).map(|node| site_of[node]).collect();
        assert_eq!(sites.len(), 3);
    }
    let most = seats.iter().map(|seat| placement.groups_of(&seat.node).len()).max().unwrap();
    assert!(most <= 46, "41 groups are everybody's share, somebody has {most}");
}

#[test]
fn what_is_too_small_for_a_group_holds_nothing() {
    let mut seats = apart(9, &[100, 100, 100, 100]);
    seats[3].capacity_bytes = 10_000_000;
    let placement = Placement::new(&seats, Copies::new(2));
    assert_eq!(placement.nodes().len(), 3);
    seats[2].site = seats[1].site.clone();
    seats[0].site = seats[1].site.clone();
    let placement = Placement::new(&seats, Copies::new(2));
    assert!(placement.groups_of(&seats[3].node).is_all(), "it is the only one in its site");
}

#[test]
fn the_same_roster_gives_the_same_holders_on_every_machine() {
    let home =
        [(400, "home"), (200, "home"), (100, "parents"), (100, "office"), (50, "office"), (75, "attic")];
    let mut digest = blake3::Hasher::new();
    for copies in [2, 3, 5] {
        let seats = roster(42, &home);
        for (group, node) in pairs(&Placement::new(&seats, Copies::new(copies))) {
            digest.update(&group.to_be_bytes()).update(node.as_bytes());
        }
    }
    assert_eq!(digest.finalize().to_hex().as_str(), GOLDEN);
}

/// Digest of (group, holder) of three placements, ascending: what every machine must come to.
const GOLDEN: &str = "bec45a8fa61f6e5b675e27f6f3c62e2eebeb7035c67b6e40d97bb49f45631148";

/// The figures of docs/PERFORMANCE.md.
#[test]
#[ignore = "prints figures"]
fn placement_figures() {
    for (name, rosters) in rosters(10) {
        let (most, mean) = moves(&rosters);
        let space = |(seats, copies): &(Vec<Seat>, u8)| {
            usable(seats, &Placement::new(seats, Copies::new(*copies))) * 1_000
                / best(seats, usize::from(*copies))
        };
        let least = rosters.iter().map(space).min().unwrap_or(0);
        println!("{name:28} usable at least {least:3} of 1,000; moved beyond the least: mean {mean:3}, most {most:3} of 1,000");
    }
    let mut numbers = Numbers(10);
    let mut kinds: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for case in 0..400 {
        let (seats, copies) = random_home(&mut numbers, case);
        let sites = seats.iter().map(|seat| seat.site.as_str()).collect::<BTreeSet<_>>().len();
        let kind =
            if sites == 1 || sites == seats.len() { "one site, or each its own" } else { "several sites" };
        kinds.entry(kind).or_default().push(moves_of_all(&seats, copies));
    }
    for (kind, mut moves) in kinds {
        let count = moves.len();
        let mean = moves.iter().map(|(all, _)| all).sum::<u64>() / u64::try_from(count).unwrap();
        moves.sort_unstable();
        let most = moves[count - 1].0;
        moves.sort_unstable_by_key(|(_, worst)| *worst);
        let (middle, worst) = (moves[count / 2].1, moves[count - 1].1);
        println!("{count} random rosters, {kind}: each in turn, all together: mean {mean}, most {most}; worst single change: median {middle}, most {worst} of 1,000");
    }
    let mut numbers = Numbers(5);
    let mut spaces: Vec<u64> = (0..2_000).map(|case| random_space(&mut numbers, case)).collect();
    spaces.sort_unstable();
    let short = spaces.iter().filter(|space| **space < 980).count();
    println!("2,000 random rosters: usable at least {} of 1,000, below 980: {short}", spaces[0]);
    for count in [50, 100, 300, 1_000] {
        let seats = apart(7, &vec![100; count]);
        let space = usable(&seats, &Placement::new(&seats, Copies::new(3))) * 1_000 / best(&seats, 3);
        let (most, _) = moves(&[(seats, 3)]);
        println!("{count} equal nodes: usable {space} of 1,000; moved beyond the least {most} of 1,000");
    }
}
