//! Wanting: which feeds are asked of which peer. Read `node/gossip.rs` first.
//!
//! With many peers most of them have what one lacks, and all of them say so at about the same time. So a feed is asked of
//! one of them, and of the next one when the answer did not bring all of it, when the session has ended, or when nothing
//! has come for [`FEED_PATIENCE`]. A feed whose author is not known cannot be checked and is not asked for.

use super::activity::Level;
use super::core::Core;
use super::gossip::{Gossip, FEEDS_ASKED_MAX};
use super::peer_feeds::PeerFeeds;
use crate::base::ids::{FeedId, NodeId};
use crate::base::units::{Span, Time};
use crate::wire::frame::Lane;
use crate::wire::message::Message;

impl Gossip {
    /// When somebody else is to be asked, or peers are to be told.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        let asked = self.asking.values().map(|(_, since)| *since).min();
        asked.map(|since| since + FEED_PATIENCE).into_iter().chain(self.tell_due).min()
    }

    /// Who has owed something for too long, from now on: what it was asked for it is not asked for any more.
    fn stalling(&mut self, now: Time) -> Vec<NodeId> {
        let mut stalling = Vec::new();
        for (node, peer) in &mut self.peers {
            if peer.told && peer.asked.is_empty() || peer.moved + FEED_STALL > now {
                continue;
            }
            let PeerFeeds { stuck, asked, .. } = peer;
            stuck.append(asked);
            peer.moved = now;
            if !std::mem::replace(&mut peer.stalls, true) {
                stalling.push(*node);
            }
        }
        stalling
    }
}

impl Core {
    /// Tells what was collected, and asks others for what did not come.
    pub(super) fn gossip_timeout(&mut self) {
        let now = self.now.time;
        if self.gossip.deadline().is_none_or(|due| due > now) {
            return;
        }
        if self.gossip.tell_due.is_some_and(|due| due <= now) {
            self.tell_collected();
        }
        let before = self.gossip.asking.len();
        self.gossip.asking.retain(|_, (_, since)| *since + FEED_PATIENCE > now);
        if self.gossip.asking.len() < before {
            self.want_from_all();
        }
    }

    /// Whoever has not told all that it has, or not sent what it said to have and was asked for, and sends nothing new, is waited for no
    /// longer: else it would keep everybody from ever giving anything up.
    pub(super) fn see_who_stalls(&mut self) {
        let now = self.now.time;
        for node in self.gossip.stalling(now) {
            let name = self.member.as_ref().map_or_else(|| node.short(), |member| member.name_of(&node));
            let message = format!(
                "{name} does not send all the entries that it says it has; nothing waits for them any more"
            );
            self.note(Level::Warn, "feeds", message);
        }
    }

    /// Asks a peer for what it has and this node lacks.
    pub(super) fn want_from(&mut self, node: &NodeId) {
        let now = self.now.time;
        let Some(member) = &self.member else { return };
        let Some(peer) = self.gossip.peers.get_mut(node) else { return };
        let mut wanted = Vec::new();
        // What it knows of this node comes first: until that is here nothing may be written.
        let of =
            |is_own: bool| peer.lengths.iter().filter(move |(feed, _)| (feed.node == member.node) == is_own);
        for (feed, length) in of(true).chain(of(false)) {
            if peer.asked.len() + wanted.len() >= FEEDS_ASKED_MAX {
                break;
            }
            let from = member.view.head(feed).map_or(0, |head| head.length);
            // Of the own feed everybody is asked: each peer has to show what it says it knows.
            let is_asked = peer.asked.contains(feed)
                || (feed.node != member.node && self.gossip.asking.contains_key(feed));
            let is_author_known = member.view.roster().signing_of(&feed.node).is_some();
            if *length > from && is_author_known && !is_asked && !peer.stuck.contains(feed) {
                wanted.push((*feed, from));
            }
        }
        for (feed, from) in wanted {
            if self.send(node, Lane::Control, &Message::FeedWant { feed, from }) {
                self.gossip.asking.insert(feed, (*node, now));
                if let Some(peer) = self.gossip.peers.get_mut(node) {
                    // Whoever owes nothing has owed nothing for too long.
                    peer.moved = if peer.asked.is_empty() && peer.told { now } else { peer.moved };
                    peer.asked.insert(feed);
                }
            }
        }
    }

    /// Asks everybody for what they have and this node lacks.
    pub(super) fn want_from_all(&mut self) {
        let peers: Vec<NodeId> = self.gossip.peers.keys().copied().collect();
        for node in peers {
            self.want_from(&node);
        }
    }

    /// A peer has answered for a feed: it is asked for more; and if it did not have all of this feed, so is one that has.
    pub(super) fn want_after(&mut self, node: &NodeId, feed: &FeedId) {
        if self.gossip.asking.get(feed).is_some_and(|(asked, _)| asked == node) {
            self.gossip.asking.remove(feed);
        }
        self.want_from(node);
        let have =
            self.member.as_ref().and_then(|member| member.view.head(feed)).map_or(0, |head| head.length);
        let has_more = |(other, peer): (&NodeId, &PeerFeeds)| {
            let is_more = other != node && peer.lengths.get(feed).is_some_and(|length| *length > have);
            is_more.then_some(*other)
        };
        let others: Vec<NodeId> = self.gossip.peers.iter().filter_map(has_more).collect();
        for other in others {
            self.want_from(&other);
        }
    }
}

/// A peer has this long to tell all that it has, or to send anything new of it.
const FEED_STALL: Span = Span::from_secs(600);

/// A peer that was asked for a feed has this long before another one is asked for it too.
const FEED_PATIENCE: Span = Span::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_tells_all_is_waited_for_so_long_and_no_longer() {
        let (one, other) = (NodeId::from_bytes([1; 32]), NodeId::from_bytes([2; 32]));
        let mut gossip = Gossip::default();
        gossip.peers.insert(one, PeerFeeds::new(Time::ZERO));
        let later = Time::ZERO + FEED_STALL;
        gossip.peers.insert(other, PeerFeeds::new(later));
        assert!(gossip.stalling(Time::ZERO + FEED_PATIENCE).is_empty() && !gossip.is_settled());
        assert_eq!(gossip.stalling(later), [one]);
        assert!(!gossip.is_settled(), "the other one came just now");
        let much_later = later + FEED_STALL;
        assert_eq!(gossip.stalling(much_later), [other], "what was said once is not said again");
        assert!(gossip.is_settled());
    }
}
