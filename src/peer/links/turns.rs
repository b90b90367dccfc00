//! Whose turn it is to send.
//!
//! Read "Sending" in `wire/PROTOCOL.md` first.

use super::{Link, Links, Transmit};
use crate::base::limits::{DATAGRAM_BYTES_MAX, LANE_SHARE_PACKETS, SESSIONS_MAX};
use crate::base::units::Time;
use core::ops::Bound;

impl Links {
    /// The next datagrams of any session: one batch each in turn, so that a busy session does not keep others waiting.
    pub fn poll_transmit(&mut self, now: Time, out: &mut [u8]) -> Option<Transmit> {
        for leaving in &mut self.leaving {
            if let Some(length) = leaving.session.poll_transmit(now, out) {
                return Some(Transmit { to: leaving.address, length, segment: length });
            }
        }
        let mut out = out;
        if let Some(up) = &mut self.up {
            up.fill(now);
            self.held_up = !up.is_positive();
            if self.held_up {
                return None;
            }
            // A batch is no longer than what may pass at once, so that nothing urgent waits longer behind it.
            let step = usize::try_from(up.step()).unwrap_or(usize::MAX).max(DATAGRAM_BYTES_MAX);
            let length = step.min(out.len());
            out = &mut out[..length];
        }
        self.batches = self.batches.wrapping_add(1);
        let mut order = self.in_turn(now);
        if self.up.is_some() && self.batches % LANE_SHARE_PACKETS != 0 {
            order.sort_by_key(|index| self.links.get(index).map(|link| link.session.rank()));
        }
        order.into_iter().find_map(|index| {
            let link = self.links.get_mut(&index)?;
            let (length, segment) = link.session.poll_batch(now, out)?;
            self.turn = index;
            if let Some(up) = &mut self.up {
                up.take(u64::try_from(length).expect("a batch is short"));
            }
            Some(Transmit { to: link.address, length, segment })
        })
    }

    /// The sessions that may have something to send, beginning with the one after the one that sent last.
    fn in_turn(&self, now: Time) -> heapless::Vec<u32, SESSIONS_MAX> {
        let is_loud = |link: &Link| !link.session.is_quiet(now);
        if !self.links.values().any(is_loud) {
            return heapless::Vec::new();
        }
        let after = self.links.range((Bound::Excluded(self.turn), Bound::Unbounded));
        let all = after.chain(self.links.range(..=self.turn));
        all.filter(|(_, link)| is_loud(link)).map(|(index, _)| *index).collect()
    }
}
