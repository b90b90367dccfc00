//! Credit and bandwidth over all sessions: who is given what next, and who is cut.
//!
//! Owns the order in which sessions meet the pool. Refuses to decide how much: [`super::super::pool`] does. Read "Flow
//! control" in `wire/PROTOCOL.md` first.

use super::Links;
use crate::base::limits::SESSIONS_MAX;
use crate::base::units::Time;
use crate::peer::bucket::Bucket;
use crate::peer::desk::Desk;

impl Links {
    /// Limits what all sessions together send and receive, in bytes a second; None: no limit.
    pub fn set_bandwidth(&mut self, now: Time, up: Option<u64>, down: Option<u64>) {
        if self.up.as_ref().map(Bucket::rate) != up {
            self.up = up.map(|rate| Bucket::new(now, rate));
        }
        self.pool.set_down(now, down);
        let all: Vec<u32> = self.links.keys().copied().collect();
        for index in all {
            self.settle(now, index);
        }
    }

    /// Gives a session the credit that is due to it, and then others what that has made free.
    pub(super) fn settle(&mut self, now: Time, index: u32) {
        if let Some(link) = self.links.get_mut(&index) {
            link.session.settle(now, &mut self.pool);
        }
        self.serve(now);
    }

    /// Gives credit to those that wait for it, as far as there is any.
    pub(super) fn serve(&mut self, now: Time) {
        loop {
            let waiting = self.pool.waiting();
            let first: heapless::Vec<u32, 2> = self.pool.first().collect();
            for index in first {
                if let Some(link) = self.links.get_mut(&index) {
                    link.session.settle(now, &mut self.pool);
                }
            }
            if self.pool.waiting() >= waiting {
                break;
            }
        }
        while let Some(index) = self.pool.next(now) {
            if let Some(link) = self.links.get_mut(&index) {
                link.session.settle(now, &mut self.pool);
            }
        }
    }

    /// Ends the sessions of peers that sit on credit while others wait for it.
    pub(super) fn cut_sitting(&mut self, desk: &mut Desk, now: Time) {
        if !self.pool.watch(now) {
            return;
        }
        let pool = &self.pool;
        let cut = self
            .links
            .iter_mut()
            .filter_map(|(index, link)| link.session.cut_if_sitting(now, pool).then_some(*index));
        let cut: heapless::Vec<u32, SESSIONS_MAX> = cut.collect();
        for index in cut {
            desk.counters.cut += 1;
            self.settle(now, index);
        }
    }
}
