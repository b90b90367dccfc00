//! Weighing: finds the handicaps at which the real assignment of the 4,096 groups gives nobody more than its share, and
//! that assignment. Pure integers; read [`super::place`] first.
//!
//! Every round assigns all groups, counts, and makes the handicap of each node that got more than its share (and
//! `SLACK_PER_MILLE`) greater; nodes that got too little are left alone, for they waste nothing that is not
//! wasted anyway, and every change of a handicap moves data. The best of the rounds counts.
//!
//! With many nodes most are never near a group: of each group only the nodes that come into question are looked at again
//! (`Near`), so that memory and the cost of a round do not depend on the number of nodes.

use super::score::draw;
use super::share::{Shares, SHARE_BITS, SHARE_ONE};
use crate::base::ids::Group;
use crate::base::limits::{PLACEMENT_NEAR_MAX, PLACEMENT_ROUNDS_MAX, PLACEMENT_ROUNDS_MIN};

/// Nodes and what they shall hold.
#[derive(Debug)]
pub struct Field<'a> {
    /// What each node's draws come from.
    pub keys: &'a [u64],
    /// Each node's site.
    pub sites: &'a [usize],
    /// What each shall hold.
    pub shares: &'a Shares,
    /// Copies of each group.
    pub copies: usize,
}

/// For each group the nodes that come into question, so many for each: their numbers and their draws.
#[derive(Debug)]
struct Near {
    /// Nodes for each group.
    width: usize,
    /// By group.
    nodes: Vec<u16>,
    /// The same.
    draws: Vec<u32>,
}

/// A node that may come into question for a group: whether its site may do without, score, number, draw.
type Candidate = (bool, u64, u16, u32);

/// The holders of every group, `copies` for each, best first.
#[must_use]
pub fn assign(field: &Field<'_>) -> Vec<u16> {
    let mut handicaps: Vec<u64> = field.shares.nodes.iter().map(|share| first(*share)).collect();
    let near = near(field, &handicaps);
    let mut best: Option<(u64, Vec<u16>)> = None;
    for _ in 0..rounds(field.keys.len()) {
        let table = choose_all(field, &near, &handicaps);
        let counts = counts(field.keys.len(), &table);
        let worst =
            counts.iter().zip(&field.shares.nodes).map(|(count, share)| (count << 40) / (*share).max(1));
        let worst = worst.max().unwrap_or(0);
        if best.as_ref().is_none_or(|(least, _)| worst < *least) {
            best = Some((worst, table));
        }
        if !tune(field, &counts, &mut handicaps) {
            break;
        }
    }
    best.map(|(_, table)| table).unwrap_or_default()
}

/// Rounds for so many nodes: with many nodes groups are too coarse for more to be worth their while.
fn rounds(nodes: usize) -> usize {
    (PLACEMENT_ROUNDS_MAX * MANY_NODES / nodes.max(1)).clamp(PLACEMENT_ROUNDS_MIN, PLACEMENT_ROUNDS_MAX)
}

/// The handicap to begin with: none for who holds everything, else inverse to the share.
fn first(share: u64) -> u64 {
    if share >= SHARE_ONE {
        0
    } else {
        ((1 << 40) / share.max(1)).min(HANDICAP_MAX)
    }
}

/// How often each node is a holder.
fn counts(nodes: usize, table: &[u16]) -> Vec<u64> {
    let mut counts = vec![0; nodes];
    for node in table {
        counts[usize::from(*node)] += 1;
    }
    counts
}

/// Makes it harder for those that have too much; whether there was anybody.
fn tune(field: &Field<'_>, counts: &[u64], handicaps: &mut [u64]) -> bool {
    let mut has_changed = false;
    for ((handicap, count), share) in handicaps.iter_mut().zip(counts).zip(&field.shares.nodes) {
        let have = count << (SHARE_BITS - 12);
        let limit = share + share * SLACK_PER_MILLE / 1_000;
        if *handicap == 0 || have <= limit {
            continue;
        }
        // Groups are whole: of ten and a half, ten may be held.
        let goal =
            (limit >> (SHARE_BITS - 12) << (SHARE_BITS - 12)).clamp(HALF_GROUP, SHARE_ONE - HALF_GROUP);
        let have = have.min(SHARE_ONE - HALF_GROUP / 2);
        // As odds, since a share near one hardly moves with the handicap.
        let harder = u128::from(*handicap) * u128::from(have) * u128::from(SHARE_ONE - goal);
        let odds = harder / (u128::from(goal) * u128::from(SHARE_ONE - have));
        *handicap = u64::try_from(odds).unwrap_or(HANDICAP_MAX).min(HANDICAP_MAX);
        has_changed = true;
    }
    has_changed
}

/// Finds the nodes that come into question for each group: all where they are few; else the best few of each site and
/// of these the best, those of sites that always hold first.
fn near(field: &Field<'_>, handicaps: &[u64]) -> Near {
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); field.shares.sites.len()];
    for (node, site) in field.sites.iter().enumerate() {
        members[*site].push(node);
    }
    let kept = |site: usize| members[site].len().min(field.shares.sites[site].most + SPARE_NODES);
    let total: usize = (0..members.len()).map(kept).sum();
    let width = total.min(PLACEMENT_NEAR_MAX * field.copies + PLACEMENT_NEAR_MAX);
    let mut near = Near { width, nodes: Vec::new(), draws: Vec::new() };
    let mut pool: Vec<Candidate> = Vec::new();
    for group in Group::all() {
        // Where many nodes are, most are far from the group: they are not even listed, unless too few are left then.
        for bound in [FAR * u64::try_from(width / field.copies + 1).unwrap_or(1), u64::MAX] {
            pool.clear();
            for (site, nodes) in members.iter().enumerate() {
                let start = pool.len();
                let is_open = field.shares.sites[site].least == 0;
                for node in nodes {
                    let draw = draw(field.keys[*node], group);
                    let score = u64::from(draw) * handicaps[*node];
                    if score < bound || !is_open {
                        pool.push((is_open, score, u16::try_from(*node).unwrap_or(u16::MAX), draw));
                    }
                }
                cut(&mut pool, start, kept(site));
            }
            if pool.len() >= width {
                break;
            }
        }
        cut(&mut pool, 0, width);
        near.nodes.extend(pool.iter().map(|(_, _, node, _)| *node));
        near.draws.extend(pool.iter().map(|(_, _, _, draw)| *draw));
    }
    near
}

/// Keeps the lowest `count` of what stands from `start` on.
fn cut(pool: &mut Vec<Candidate>, start: usize, count: usize) {
    if pool.len() - start > count {
        pool[start..].select_nth_unstable(count);
        pool.truncate(start + count);
    }
}

/// Assigns every group.
fn choose_all(field: &Field<'_>, near: &Near, handicaps: &[u64]) -> Vec<u16> {
    let mut table = Vec::with_capacity(usize::from(Group::COUNT) * field.copies);
    let mut scores: Vec<(u64, u16)> = Vec::with_capacity(near.width + 1);
    let mut chosen = Vec::with_capacity(field.copies);
    for (nodes, draws) in near.nodes.chunks(near.width).zip(near.draws.chunks(near.width)) {
        // The best few nearly always do; else all are put in order.
        for count in [2 * field.copies + 2, near.width] {
            lowest(nodes, draws, handicaps, count, &mut scores);
            chosen.clear();
            choose(field, &scores, &mut chosen);
            if chosen.len() == field.copies {
                break;
            }
        }
        table.extend_from_slice(&chosen);
    }
    table
}

/// The `count` lowest scores among these candidates, ascending.
fn lowest(nodes: &[u16], draws: &[u32], handicaps: &[u64], count: usize, scores: &mut Vec<(u64, u16)>) {
    scores.clear();
    let mut worst = u64::MAX;
    for (node, draw) in nodes.iter().zip(draws) {
        let score = u64::from(*draw) * handicaps[usize::from(*node)];
        if score > worst {
            continue;
        }
        let place = scores.iter().rposition(|other| *other < (score, *node)).map_or(0, |before| before + 1);
        scores.insert(place, (score, *node));
        scores.truncate(count);
        if scores.len() == count {
            worst = scores[count - 1].0;
        }
    }
}

/// The holders of one group: the lowest scores, while a site may still have one.
fn choose(field: &Field<'_>, scores: &[(u64, u16)], chosen: &mut Vec<u16>) {
    let mut extra = field.shares.extra;
    for (_, node) in scores {
        let site = field.sites[usize::from(*node)];
        let bounds = field.shares.sites[site];
        let here = chosen.iter().filter(|other| field.sites[usize::from(**other)] == site).count();
        if here < bounds.least {
            chosen.push(*node);
        } else if here < bounds.most && extra > 0 {
            extra -= 1;
            chosen.push(*node);
        }
        if chosen.len() == field.copies {
            return;
        }
    }
}

/// Nobody is corrected before it has so much more than its share, in thousandths: the usable space is then at least
/// 98% of the best possible.
const SLACK_PER_MILLE: u64 = 18;

/// From so many nodes on there are fewer rounds.
const MANY_NODES: usize = 32;

/// Of each site so many nodes more than it can hold copies come into question.
const SPARE_NODES: usize = 2;

/// Half a group, in parts of a share.
const HALF_GROUP: u64 = 1 << (SHARE_BITS - 13);

/// Handicaps stay below this: a draw of 32 bits times a handicap fits into 63.
const HANDICAP_MAX: u64 = 1 << 31;

/// A score at which a share has been drawn once: a share of all draws times the handicap to begin with.
const FAR: u64 = 1 << (32 + 40 - SHARE_BITS);
