//! How much of a folder is not on enough devices yet, and how long that takes at the present pace.
//!
//! Counts from receipts and from what holders say of their progress. What cannot be known - the pace of a holder that has not begun,
//! the part of one that holds not everything - stays unknown.

use crate::base::ids::SnapshotId;
use crate::base::limits::PROGRESS_STALE;
use crate::base::units::{Span, Time};
use crate::feed::entry::Counts;
use crate::node::core::Core;
use crate::node::member::SnapshotFact;
use crate::replicate::ledger::Protection;

/// How far a holder is with its share of a snapshot, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::node) struct Progress {
    /// Which snapshot.
    pub(in crate::node) snapshot: SnapshotId,
    /// Chunks that it holds.
    pub(in crate::node) held: u64,
    /// Chunks of its share that it has seen in the manifest.
    pub(in crate::node) total: u64,
    /// When it was heard of this first, and what it held then.
    first: (Time, u64),
    /// When it was heard last.
    last: Time,
}

impl Progress {
    /// A holder says how far it is; `before`: what was known of it.
    pub(in crate::node) fn heard(
        before: Option<Self>,
        now: Time,
        (snapshot, held, total): (SnapshotId, u64, u64),
    ) -> Self {
        let goes_on = before.filter(|before| before.snapshot == snapshot && before.held <= held);
        let first = goes_on.map_or((now, held), |before| before.first);
        Self { snapshot, held, total, first, last: now }
    }

    /// How long it takes until it holds so many chunks, at its pace so far.
    fn left(&self, now: Time, chunks: u64) -> Option<Span> {
        let (began, held) = self.first;
        let done = self.held.checked_sub(held).filter(|done| *done > 0)?;
        if now.since(self.last) > PROGRESS_STALE {
            return None;
        }
        let spent = u128::from(self.last.since(began).as_micros());
        let left = spent * u128::from(chunks.saturating_sub(self.held)) / u128::from(done);
        Some(Span::from_micros(u64::try_from(left).ok()?))
    }
}

impl Core {
    /// Newly stored bytes of a folder since the last snapshot of it that is protected; None where there is no snapshot.
    pub(in crate::node) fn pending_bytes(&self, newest: Option<&SnapshotFact>) -> Option<u64> {
        let newest = newest?;
        let mut pending = 0_u64;
        for fact in self.snapshots(Some(&newest.entry.folder)).iter().rev() {
            if self.protection_of(fact).is_full() {
                break;
            }
            pending = pending.saturating_add(fact.entry.counts.stored_bytes);
        }
        Some(pending)
    }

    /// How long it takes until enough devices hold the newest snapshot, at the pace of those that are at it.
    pub(in crate::node) fn pending_time(&self, newest: Option<&SnapshotFact>) -> Option<Span> {
        let (member, newest) = (self.member.as_ref()?, newest?);
        let Protection { have, wanted, .. } = self.protection_of(newest);
        // Of a part of the chunks it is not known here how many it is.
        let holds_all = member.view.roster().members().count() <= usize::from(wanted);
        let Counts { chunks, .. } = newest.entry.counts;
        let mut left: Vec<Span> = self
            .gossip
            .peers()
            .filter(|_| holds_all)
            .filter_map(|peer| self.gossip.pace(peer, &newest.id)?.left(self.now.time, chunks))
            .collect();
        left.sort_unstable();
        let needed = usize::from(wanted.checked_sub(have)?.checked_sub(1)?);
        left.get(needed).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_known_once_something_was_done_and_while_it_goes_on() {
        let at = |seconds| Time::ZERO + Span::from_secs(seconds);
        let id = SnapshotId::from_bytes([1; 32]);
        let first = Progress::heard(None, at(100), (id, 50, 60));
        assert_eq!(first.left(at(100), 1_000), None, "nothing was seen to move yet");
        let next = Progress::heard(Some(first), at(110), (id, 150, 200));
        assert_eq!(next.left(at(111), 1_000), Some(Span::from_secs(85)));
        assert_eq!(next.left(at(111), 100), Some(Span::ZERO));
        assert_eq!(next.left(at(110) + PROGRESS_STALE + Span::from_secs(1), 1_000), None);
        let other = Progress::heard(Some(next), at(120), (SnapshotId::from_bytes([2; 32]), 160, 200));
        assert_eq!(other.left(at(121), 1_000), None, "another snapshot begins anew");
    }
}
