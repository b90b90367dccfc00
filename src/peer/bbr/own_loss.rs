//! What a path loses by itself: a loss that comes without a queue is the radio's and not congestion.
//!
//! Owns the measure of that. Refuses to set the pace: [`super`] does.

/// The share that a path loses by itself, learnt while cruising.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct OwnLoss {
    /// Bytes acknowledged and not yet judged.
    pub acked: u64,
    /// Bytes lost and not yet judged.
    pub lost: u64,
    /// Whether a queue stood while they were counted.
    pub crowded: bool,
    /// In 65,536ths.
    share: u64,
}

impl OwnLoss {
    /// The share, in 65,536ths.
    pub const fn share(&self) -> u64 {
        self.share
    }

    /// Learns from a cruise that is over.
    pub fn judge(&mut self, datagram: u64) {
        let total = self.acked + self.lost;
        if total < LOSS_DATAGRAMS_MIN * datagram {
            return;
        }
        let share = if self.crowded { 0 } else { (self.lost << 16) / total };
        *self = Self { share: (self.share * 3 + share) / 4, ..Self::default() };
    }
}

/// Fewer datagrams than this say nothing about a share of loss.
const LOSS_DATAGRAMS_MIN: u64 = 100;
