//! How much each peer asks where others are: who asks beyond measure is not answered, counted, and told of once.

use std::collections::BTreeMap;

use crate::base::ids::NodeId;
use crate::base::limits::{WHO_BURST, WHO_DROPPED_MAX, WHO_PAUSE, WHO_PEERS_MAX, WHO_SILENCE};
use crate::base::units::Time;

/// What peers have asked.
#[derive(Debug, Default)]
pub struct Askers {
    /// By peer; of one whose session has ended too, or it would only have to come again.
    peers: BTreeMap<NodeId, Asker>,
    /// Questions that were not answered.
    dropped_count: u64,
}

/// How much a peer has asked.
#[derive(Debug)]
struct Asker {
    /// Questions that it may ask at once, as of `since`.
    left: u32,
    /// When that was counted.
    since: Time,
    /// Dropped of it.
    dropped: u32,
    /// It is answered nothing until then.
    silent_until: Option<Time>,
}

impl Askers {
    /// Questions that were not answered, for there were too many.
    #[must_use]
    pub const fn dropped_count(&self) -> u64 {
        self.dropped_count
    }

    /// Lets a peer ask one question more. The second word is true when it is to be told of.
    pub fn admit(&mut self, now: Time, node: &NodeId) -> (bool, bool) {
        if !self.peers.contains_key(node) && self.peers.len() >= WHO_PEERS_MAX {
            let oldest = self.peers.iter().min_by_key(|(_, asker)| asker.since).map(|(node, _)| *node);
            oldest.map(|node| self.peers.remove(&node));
        }
        let fresh = Asker { left: WHO_BURST, since: now, dropped: 0, silent_until: None };
        let asker = self.peers.entry(*node).or_insert(fresh);
        if asker.silent_until.is_some_and(|until| until <= now) {
            (asker.silent_until, asker.dropped) = (None, 0);
        }
        let more = now.since(asker.since).as_micros() / WHO_PAUSE.as_micros();
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(u32::MAX);
            (asker.left, asker.since) = (asker.left.saturating_add(more).min(WHO_BURST), now);
        }
        if asker.left > 0 && asker.silent_until.is_none() {
            asker.left -= 1;
            return (true, false);
        }
        self.dropped_count += 1;
        asker.dropped = asker.dropped.saturating_add(1);
        let is_too_much = asker.dropped == WHO_DROPPED_MAX && asker.silent_until.is_none();
        if is_too_much {
            asker.silent_until = Some(now + WHO_SILENCE);
        }
        (false, is_too_much)
    }
}

#[cfg(test)]
impl crate::node::core::Core {
    /// For tests of what others do then: says anything to a peer. False if there is no session.
    pub fn say(&mut self, moment: crate::base::units::Moment, node: &NodeId, bytes: Vec<u8>) -> bool {
        self.now = moment;
        self.endpoint.send(moment.time, node, crate::wire::frame::Lane::Control, bytes).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Span;

    #[test]
    fn a_storm_of_questions_is_dropped_and_counted_and_told_of_once() {
        let mut askers = Askers::default();
        let (loud, calm) = (NodeId::from_bytes([1; 32]), NodeId::from_bytes([2; 32]));
        let (mut answered, mut told) = (0, 0);
        for number in 0..10_000_u64 {
            let now = Time::ZERO + Span::from_millis(number);
            let (may_ask, is_too_much) = askers.admit(now, &loud);
            answered += u32::from(may_ask);
            told += u32::from(is_too_much);
        }
        assert!(answered <= WHO_BURST + 20, "ten seconds' worth: {answered}");
        assert_eq!((told, askers.dropped_count), (1, 10_000 - u64::from(answered)));
        let now = Time::ZERO + Span::from_secs(11);
        assert_eq!(askers.admit(now, &calm), (true, false), "others are answered");
        assert_eq!(askers.admit(now, &loud), (false, false), "it is not, for a while");
        assert_eq!(askers.admit(now + WHO_SILENCE, &loud), (true, false));
    }

    #[test]
    fn many_askers_take_bounded_memory() {
        let mut askers = Askers::default();
        for number in 0..5_000_u32 {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            let now = Time::ZERO + Span::from_millis(u64::from(number));
            askers.admit(now, &NodeId::from_bytes(bytes));
        }
        assert!(askers.peers.len() <= WHO_PEERS_MAX);
    }
}
