//! Seeking: chunks in a vault in which this node has sessions with a part of the others only.
//!
//! ```text
//!   sought --a holder is connected--> asked for --came--> gone
//!      ^                                  |
//!      |                                  all that were asked lack it
//!      '----------------------------------'
//!      |--nobody is: holders are reached (node/linking.rs), peers are asked who holds it (node/finding.rs)--> a session --> ..
//!      |--as many are needed already as can be: waits until one of them is done with
//!      '--SEEK_TIME_MAX, or nobody left--> lost
//! ```
//!
//! Receipts say who holds a group, and snapshots who wrote what: both stand in the feeds, so a chunk's holders are known
//! without asking, and only they are asked for it: the writer of what is kept first, for whoever holds older snapshots of that group
//! need not have this chunk. Who says that it lacks it is not asked again. Peers are asked when those do not have it or cannot be reached: they may
//! have heard of newer receipts. Where everybody is linked with everybody nothing of this happens, and every peer is asked.

use std::collections::{BTreeMap, BTreeSet};

use super::core::Core;
use crate::base::ids::{ChunkId, Group, NodeId};
use crate::base::limits::{
    SEEKS_MAX, SEEK_CROWDED_MAX, SEEK_NODES_MAX, SEEK_RETRY, SEEK_SNAPSHOTS_MAX, SEEK_TIME_MAX,
};
use crate::base::units::Time;
use crate::wire::message::About;

/// Chunks that are sought.
#[derive(Debug, Default)]
pub struct Seeking {
    /// By id.
    seeks: BTreeMap<ChunkId, Seek>,
    /// Members that could not be reached for a chunk: until when that is believed.
    unreachable: BTreeMap<NodeId, Time>,
}

/// One of them.
#[derive(Debug)]
struct Seek {
    /// When it began.
    since: Time,
    /// When it is given up.
    until: Time,
    /// Its holders are not reached yet, for as many members are needed as can be: when to look again.
    retry: Option<Time>,
    /// It waits for a session or an answer; else it is being asked for.
    waits: bool,
    /// Who was asked for it.
    tried: BTreeSet<NodeId>,
    /// Of those, who has said that it lacks it, whether its session goes on or not.
    lacking: BTreeSet<NodeId>,
    /// Who was named by a peer.
    named: BTreeSet<NodeId>,
    /// Peers were asked who holds it.
    asked: bool,
}

impl Seek {
    /// Whether somebody was asked, and has answered or is to answer.
    fn has_asked(&self, node: &NodeId) -> bool {
        self.tried.contains(node) || self.lacking.contains(node)
    }
}

impl Seeking {
    /// When something is given up.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let waiting = self.seeks.values().filter(|seek| seek.waits);
        waiting.map(|seek| seek.retry.map_or(seek.until, |retry| retry.min(seek.until))).min()
    }

    /// The chunks that wait for a session or an answer, if `which` is true of them.
    fn waiting(&self, which: impl Fn(&Seek) -> bool) -> Vec<ChunkId> {
        self.seeks.iter().filter(|(_, seek)| seek.waits && which(seek)).map(|(id, _)| *id).collect()
    }
}

impl Core {
    /// Members that hold a group, as far as receipts tell, those with most of them first; then the writers. The newest
    /// snapshots are looked at.
    pub(super) fn holders_of(&self, group: Group) -> Vec<NodeId> {
        self.holders_in(group, SEEK_SNAPSHOTS_MAX)
    }

    /// The same, where so many of the newest snapshots are looked at.
    fn holders_in(&self, group: Group, most: usize) -> Vec<NodeId> {
        let Some(member) = &self.member else { return Vec::new() };
        let mut newest: Vec<_> =
            member.view.snapshots().map(|fact| (fact.entry.taken, fact.id, fact.writer)).collect();
        newest.sort_unstable_by(|one, other| other.cmp(one));
        newest.truncate(most);
        let mut counts: BTreeMap<NodeId, u32> = BTreeMap::new();
        for (_, id, writer) in &newest {
            for (node, held) in member.view.receipts(id) {
                if held.contains(group) {
                    *counts.entry(node).or_default() += 1;
                }
            }
            if member.view.roster().member(writer).is_some() {
                counts.entry(*writer).or_default();
            }
        }
        counts.remove(&member.node);
        let mut holders: Vec<(u32, NodeId)> = counts.into_iter().map(|(node, count)| (count, node)).collect();
        holders.sort_unstable_by_key(|(count, node)| (u32::MAX - count, *node));
        holders.into_iter().map(|(_, node)| node).collect()
    }

    /// A chunk is wanted, or (`again`) those who were asked for it lack it, or somebody has come who may have it.
    pub(super) fn seek(&mut self, id: ChunkId, again: bool) {
        let now = self.now.time;
        if !again {
            self.reach.linking.finding.seeking.seeks.remove(&id);
        }
        if !self.reach.linking.finding.seeking.seeks.contains_key(&id) {
            let source = &self.source;
            self.reach.linking.finding.seeking.seeks.retain(|id, _| source.is_waited_for(id));
            if self.reach.linking.finding.seeking.seeks.len() >= SEEKS_MAX {
                return self.source.lost(id);
            }
        }
        let preferred = self.source.preferred();
        let mut holders = self.holders_of(Group::of(&id));
        let known = self.reach.linking.finding.seeking.seeks.get(&id);
        if holders.iter().all(|node| known.is_some_and(|seek| seek.has_asked(node))) {
            // It may be of an older one, of which others hold this group.
            holders = self.holders_in(Group::of(&id), usize::MAX);
        }
        let seek = self.reach.linking.finding.seeking.seeks.entry(id).or_insert_with(|| Seek {
            since: now,
            until: now + SEEK_TIME_MAX,
            retry: None,
            waits: false,
            tried: BTreeSet::new(),
            lacking: BTreeSet::new(),
            named: BTreeSet::new(),
            asked: false,
        });
        holders.splice(0..0, preferred.into_iter().chain(seek.named.iter().copied()));
        let gossip = &self.gossip;
        // Whose session has ended, for want of room perhaps, has not said that it lacks the chunk.
        seek.tried.retain(|node| gossip.is_connected(node));
        holders.retain(|node| !seek.has_asked(node));
        let (here, mut away): (Vec<NodeId>, Vec<NodeId>) =
            holders.into_iter().partition(|node| gossip.is_connected(node));
        seek.retry = None;
        if !here.is_empty() {
            seek.waits = false;
            seek.tried.extend(&here);
            return self.source.found(now, id, here);
        }
        if !std::mem::replace(&mut seek.waits, true) {
            seek.until = now + SEEK_TIME_MAX;
        }
        let is_first = !std::mem::replace(&mut seek.asked, true);
        self.reach.linking.finding.seeking.unreachable.retain(|_, until| *until > now);
        away.sort_by_key(|node| preferred != Some(*node) && self.reach.linking.is_crowded(node));
        let (needed, lacks_room) = self.need_some(&away);
        if needed > 0 {
            self.reach.recheck(now);
        }
        let is_asking = is_first && self.look_for(About::Chunk(id));
        let Some(seek) = self.reach.linking.finding.seeking.seeks.get_mut(&id) else { return };
        if needed == 0 && lacks_room && seek.since + SEEK_CROWDED_MAX > now {
            seek.retry = Some(now + SEEK_RETRY);
            seek.until = now + SEEK_TIME_MAX;
        } else if needed == 0 && !is_asking {
            self.reach.linking.finding.seeking.seeks.remove(&id);
            self.source.lost(id);
        }
    }

    /// Some of these are needed from now on: how many; and whether others would be if there were room for them.
    fn need_some(&mut self, away: &[NodeId]) -> (usize, bool) {
        let (now, most) = (self.now.time, self.needed_max());
        let (mut needed, mut lacks_room) = (0, false);
        for node in away {
            if needed >= SEEK_NODES_MAX {
                break;
            }
            if self.reach.linking.finding.seeking.unreachable.contains_key(node) {
                continue;
            }
            let source = &self.source;
            let linking = &mut self.reach.linking;
            if linking.need(now, *node, most)
                || (linking.release(|other| source.is_asking(other)) && linking.need(now, *node, most))
            {
                needed += 1;
            } else {
                lacks_room = true;
                break;
            }
        }
        (needed, lacks_room)
    }

    /// A peer that was asked for these lacks them.
    pub(super) fn seeks_lack(&mut self, node: &NodeId, ids: &[ChunkId]) {
        let seeks = &mut self.reach.linking.finding.seeking.seeks;
        for id in ids {
            if let Some(seek) = seeks.get_mut(id).filter(|seek| seek.tried.contains(node)) {
                seek.named.remove(node);
                seek.lacking.insert(*node);
            }
        }
    }

    /// A peer says that this member holds a chunk. Whether it is to be reached.
    pub(super) fn found_holder(&mut self, id: &ChunkId, node: NodeId) -> bool {
        let (now, most) = (self.now.time, self.needed_max());
        if self.member.as_ref().is_some_and(|member| member.node == node) {
            // Who says so has heard that it was here once.
            return false;
        }
        let Some(seek) = self.reach.linking.finding.seeking.seeks.get_mut(id).filter(|seek| seek.waits)
        else {
            return false;
        };
        let was_asked = seek.tried.contains(&node) || seek.lacking.contains(&node);
        let is_new = seek.named.len() < SEEK_NODES_MAX && !was_asked && seek.named.insert(node);
        let is_wanted = is_new && self.reach.linking.need(now, node, most);
        if is_wanted {
            self.reach.recheck(now);
        }
        is_wanted
    }

    /// A session stands: it may be with whom a chunk waits for.
    pub(super) fn seeking_up(&mut self, node: &NodeId) {
        self.reach.linking.finding.seeking.unreachable.remove(node);
        for id in self.reach.linking.finding.seeking.waiting(|_| true) {
            self.seek(id, true);
        }
    }

    /// Gives up what was sought for long enough.
    pub(super) fn seeking_timeout(&mut self) {
        let now = self.now.time;
        if self.reach.linking.finding.seeking.deadline().is_none_or(|due| due > now) {
            return;
        }
        for id in
            self.reach.linking.finding.seeking.waiting(|seek| seek.retry.is_some_and(|retry| retry <= now))
        {
            self.seek(id, true);
        }
        for id in self.reach.linking.finding.seeking.waiting(|seek| seek.until <= now) {
            self.give_up_or_wait(id);
        }
    }

    /// A chunk was sought for long enough: whoever was needed for it and has not come is not believed to come, unless it has said that it has no room
    /// for a session now. Others are reached in their place, as long as there are any.
    fn give_up_or_wait(&mut self, id: ChunkId) {
        let now = self.now.time;
        let holders = self.holders_in(Group::of(&id), usize::MAX);
        let linking = &mut self.reach.linking;
        let Some(seek) = linking.finding.seeking.seeks.get_mut(&id) else { return };
        seek.until = now + SEEK_TIME_MAX;
        let may_wait = seek.since + SEEK_CROWDED_MAX > now;
        let away = holders.into_iter().chain(seek.named.iter().copied());
        let away: Vec<NodeId> = away.filter(|node| !self.gossip.is_connected(node)).collect();
        for node in &away {
            if linking.give_up(node) && !linking.is_crowded(node) {
                linking.finding.seeking.unreachable.insert(*node, now + SEEK_TIME_MAX.times(4));
            }
        }
        let unreachable = &linking.finding.seeking.unreachable;
        if may_wait && away.iter().any(|node| !unreachable.contains_key(node)) {
            return self.seek(id, true);
        }
        linking.finding.seeking.seeks.remove(&id);
        self.source.lost(id);
    }
}
