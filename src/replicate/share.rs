//! Shares: how much of everything each node shall hold, so that all fill in step. Pure integers; read [`super::place`] first.
//!
//! Every site gets `least` copies of each group and, where some are left, a few sites one more (`most`), as evenly as the
//! numbers of nodes allow. Below that, a node's share is its capacity divided by a *level*, the same for all, and at
//! most one: the level is the amount of data at which everything is full.

/// Copies of a group in a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Always so many,
    pub least: usize,
    /// and at most so many.
    pub most: usize,
}

/// What everybody shall hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// By node: parts of 2^22 of everything; [`SHARE_ONE`]: always.
    pub nodes: Vec<u64>,
    /// By site.
    pub sites: Vec<Bounds>,
    /// Copies beyond what the sites get at least.
    pub extra: usize,
}

/// Shares of nodes with these capacities (none of them zero), in these sites (`sites[i]` is the site of node `i`, sites are
/// numbered from zero), of `copies` of everything; there are more nodes than copies.
#[must_use]
pub fn shares(capacities: &[u64], sites: &[usize], copies: usize) -> Shares {
    let capacities = scaled(capacities, copies);
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); sites.iter().max().map_or(0, |last| last + 1)];
    for (node, site) in sites.iter().enumerate() {
        members[*site].push(node);
    }
    let mut bounds = even(&members, copies);
    let level = level_of(&capacities, &members, &bounds, copies);
    let mut nodes = vec![0; capacities.len()];
    for (site, bound) in members.iter().zip(&mut bounds) {
        let wanted = sum_at(&capacities, site, level);
        let (least, most) = (parts(bound.least), parts(bound.most));
        let level = if wanted >= most {
            bound.least = bound.most;
            fill(&capacities, site, most)
        } else if wanted <= least {
            bound.most = bound.least;
            fill(&capacities, site, least)
        } else {
            level
        };
        for node in site {
            nodes[*node] = share_at(capacities[*node], level);
        }
    }
    let extra = copies - bounds.iter().map(|bound| bound.least).sum::<usize>();
    Shares { nodes, sites: bounds, extra }
}

/// Capacities that fit the arithmetic: nobody can use more than all but the `copies - 1` greatest have together.
fn scaled(capacities: &[u64], copies: usize) -> Vec<u64> {
    let mut sorted = capacities.to_vec();
    sorted.sort_unstable_by(|one, other| other.cmp(one));
    let usable: u128 = sorted.iter().skip(copies - 1).map(|capacity| u128::from(*capacity)).sum();
    let scale = |capacity: &u64| {
        let part = (u128::from(*capacity).min(usable) << CAPACITY_BITS) / usable.max(1);
        u64::try_from(part).unwrap_or(u64::MAX).max(1)
    };
    capacities.iter().map(scale).collect()
}

/// How many copies each site gets, as evenly as it goes.
fn even(members: &[Vec<usize>], copies: usize) -> Vec<Bounds> {
    let at_level = |level: usize| members.iter().map(|site| site.len().min(level)).sum::<usize>();
    let level = (0..copies).rev().find(|level| at_level(*level) <= copies).unwrap_or(0);
    let level = if at_level(copies) <= copies { copies } else { level };
    let left = copies - at_level(level);
    let bound = |site: &Vec<usize>| {
        let least = site.len().min(level);
        Bounds { least, most: if left > 0 { site.len().min(level + 1) } else { least } }
    };
    members.iter().map(bound).collect()
}

/// The greatest level at which the sites' shares still make up all copies.
fn level_of(capacities: &[u64], members: &[Vec<usize>], bounds: &[Bounds], copies: usize) -> u64 {
    let is_enough = |level: u64| {
        let site = |(site, bound): (&Vec<usize>, &Bounds)| {
            sum_at(capacities, site, level).clamp(parts(bound.least), parts(bound.most))
        };
        members.iter().zip(bounds).map(site).sum::<u64>() >= parts(copies)
    };
    greatest(is_enough)
}

/// The greatest level at which the nodes of a site still make up `wanted`.
fn fill(capacities: &[u64], site: &[usize], wanted: u64) -> u64 {
    greatest(|level| sum_at(capacities, site, level) >= wanted)
}

/// The greatest level for which `is_enough` holds; it holds at one, and from some level on no more.
fn greatest(is_enough: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (1, 1 << (CAPACITY_BITS + 2));
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if is_enough(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// What the nodes of a site hold together at a level.
fn sum_at(capacities: &[u64], site: &[usize], level: u64) -> u64 {
    site.iter().map(|node| share_at(capacities[*node], level)).sum()
}

/// What a node holds at a level.
fn share_at(capacity: u64, level: u64) -> u64 {
    if capacity >= level {
        SHARE_ONE
    } else {
        (capacity << SHARE_BITS) / level
    }
}

/// So many copies of everything.
fn parts(copies: usize) -> u64 {
    u64::try_from(copies).unwrap_or(0) << SHARE_BITS
}

/// Shares are counted in parts of 2^22 of everything: 1,024 to a group.
pub const SHARE_BITS: u32 = 22;

/// All of everything.
pub const SHARE_ONE: u64 = 1 << SHARE_BITS;

/// Capacities are scaled to this many bits: what is shifted by a share's bits still fits.
const CAPACITY_BITS: u32 = 40;
