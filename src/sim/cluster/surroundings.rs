//! What is around simulated nodes: cuts of the network, announcements, and the disk on which the owner's files lie.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;

use super::Cluster;
use crate::base::units::{Span, Time};
use crate::node::events::alerts::PostEnd;
use crate::node::events::errands::{Errand, ErrandEnd};
use crate::node::events::hooks::HookEnd;
use crate::node::ports::{FileReply, Input};

/// The file thread's answers on their way: as fast as the owner's disk reads, one after the other.
#[derive(Debug, Default)]
pub(super) struct SourceDisk {
    /// When the disk has read what was asked for.
    free: Time,
    /// Answers, and when they are there.
    replies: VecDeque<(Time, FileReply)>,
}

impl SourceDisk {
    /// An answer of so many bytes of content; `rate` is what the disk reads in a second, None: as much as is asked for.
    pub(super) fn answer(
        &mut self,
        now: Time,
        latency: Span,
        bytes: u64,
        rate: Option<u64>,
        reply: FileReply,
    ) {
        let reading = rate.map_or(0, |rate| bytes.saturating_mul(1_000_000) / rate.max(1));
        self.free = self.free.max(now) + Span::from_micros(reading);
        let due =
            self.replies.back().map_or(self.free + latency, |(last, _)| (self.free + latency).max(*last));
        self.replies.push_back((due, reply));
    }

    /// When the next answer is there.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.replies.front().map(|(due, _)| *due)
    }

    /// The next answer that is there.
    pub(super) fn arrived(&mut self, now: Time) -> Option<FileReply> {
        self.deadline().filter(|due| *due <= now)?;
        self.replies.pop_front().map(|(_, reply)| reply)
    }
}

/// Hooks and alerts of a simulated node.
#[derive(Debug, Default)]
pub struct Errands {
    /// What was asked for, the last of it.
    pub asked: VecDeque<Errand>,
    /// How hooks end; None: there are none.
    pub hooks: Option<HookEnd>,
    /// How requests end.
    pub posts: Option<PostEnd>,
}

impl Errands {
    /// Does an errand.
    pub(super) fn run(&mut self, errand: Errand) -> ErrandEnd {
        let end = match &errand {
            Errand::Hook(_) => ErrandEnd::Hook(self.hooks.clone().unwrap_or(HookEnd::Absent)),
            Errand::Post(_) => ErrandEnd::Post(self.posts.clone().unwrap_or(PostEnd::Taken)),
        };
        self.asked.push_back(errand);
        if self.asked.len() > ERRANDS_KEPT {
            self.asked.pop_front();
        }
        end
    }
}

/// Errands that are remembered.
const ERRANDS_KEPT: usize = 1_000;

impl Cluster {
    /// Cuts these nodes off from the others; none heals the network.
    pub fn cut(&mut self, far: &[usize]) {
        let far: BTreeSet<SocketAddr> = far.iter().map(|number| self.nodes[*number].address).collect();
        self.net.cut(far);
    }

    /// One node sees what another announces, at all of its addresses.
    pub fn sight(&mut self, number: usize, other: usize) {
        let seen = &self.nodes[other];
        let addresses: Vec<SocketAddr> =
            [Some(seen.address), seen.second_address].into_iter().flatten().collect();
        if let Some(announcement) = seen.announced.clone() {
            self.give(number, Input::Sighted { addresses, announcement });
        }
    }
}
