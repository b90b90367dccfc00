//! Telling: what peers are shown of the feeds. Nothing that is not durable here; a bounded number of reads for each peer;
//! what found no room in a session's queue is told when there is some. And what chunks need: of the store, duties and peers. Read `node/gossip.rs` first.

use super::core::{Core, Pending};
use super::duty::{op_of, Ops, Told};
use super::gossip::FEEDS_ASKED_MAX;
use super::peer_feeds::PeerFeeds;
use super::ports::Output;
use super::source::SourceOutput;
use crate::base::ids::{ChunkId, FeedId, NodeId};
use crate::base::limits::{FEED_ENTRIES_MESSAGE_BYTES_MAX, HEADS_PER_MESSAGE_MAX, LINKS_FEW};
use crate::base::units::Span;
use crate::feed::entry::Head;
use crate::store::service::{Reply, Request};
use crate::wire::frame::Lane;
use crate::wire::message::{chunk_head, FeedHead, Message};

impl Core {
    /// What the source wants.
    pub(super) fn source_wants(&mut self, output: SourceOutput) {
        match output {
            SourceOutput::Store(request) => self.outputs.push_back(Output::Store(request)),
            SourceOutput::Tell(told) => {
                let op = match &told {
                    Told::Chunk { op, .. } | Told::Kept { op, .. } => *op,
                    Told::Store(reply) => op_of(reply),
                    Told::File(_) => return,
                };
                self.tell(Ops::duty(op), told);
            }
            for_peers => self.tell_of_chunks(for_peers),
        }
    }

    /// A session stands: greet, and tell all heads.
    pub(super) fn greet(&mut self, node: NodeId) {
        self.gossip.peers.insert(node, PeerFeeds::new(self.now.time));
        self.member_session(&node, true);
        self.push_peer_up(node);
        let hello = self.hello();
        self.send(&node, Lane::Control, &hello);
        self.tell_heads(&node);
        self.tell_marks(&node);
    }

    /// Tells a peer all heads.
    fn tell_heads(&mut self, node: &NodeId) {
        let durable = self.member.iter().flat_map(|member| member.durable.values());
        let heads: Vec<FeedHead> =
            durable.filter(|head| self.is_for(node, &head.feed)).map(wire_head).collect();
        let mut pages = heads.chunks(HEADS_PER_MESSAGE_MAX).peekable();
        if pages.peek().is_none() {
            self.tell_some(node, Vec::new(), false);
        }
        while let Some(page) = pages.next() {
            let more = pages.peek().is_some();
            self.tell_some(node, page.to_vec(), more);
        }
    }

    /// Whether a peer is told of a feed. In a large vault feeds travel over the mesh; with who is connected for a transfer, only
    /// what the two have written is exchanged, which is all that it takes to confirm a node's own feed. A node that has
    /// written nothing yet, or is met by one that has hardly anybody else, is told everything.
    fn is_for(&self, peer: &NodeId, feed: &FeedId) -> bool {
        let Some(member) = &self.member else { return true };
        self.reach.linking.is_meshed(peer)
            || feed.node == *peer
            || feed.node == member.node
            || self.gossip.peers.len() < LINKS_FEW
            || member.view.newest_feed(peer).is_none()
    }

    /// A feed is longer here than it was: tells all who do not have it, at once, or in a large vault with others a little later.
    pub(super) fn tell_head(&mut self, head: FeedHead) {
        self.gossip.telling.insert(head.feed, head);
        if self.reach.linking.is_choosing() {
            self.gossip.tell_due.get_or_insert(self.now.time + TELL_PAUSE);
        } else {
            self.tell_collected();
        }
    }

    /// Tells each peer of the collected heads, but for those that it has itself.
    pub(super) fn tell_collected(&mut self) {
        self.gossip.tell_due = None;
        let telling = std::mem::take(&mut self.gossip.telling);
        let peers: Vec<NodeId> = self.gossip.peers.keys().copied().collect();
        for node in peers {
            let Some(peer) = self.gossip.peers.get_mut(&node) else { continue };
            let mut news = Vec::new();
            for head in telling.values() {
                match peer.lengths.get(&head.feed) {
                    Some(length) if *length > head.length => {}
                    Some(length) if *length == head.length => drop(peer.lengths.remove(&head.feed)),
                    _ => {
                        peer.lengths.remove(&head.feed);
                        news.push(*head);
                    }
                }
            }
            news.retain(|head| self.is_for(&node, &head.feed));
            for page in news.chunks(HEADS_PER_MESSAGE_MAX) {
                self.tell_some(&node, page.to_vec(), false);
            }
        }
    }

    /// Tells a peer these heads; if there is no room, all of them when there is.
    pub(super) fn tell_some(&mut self, node: &NodeId, heads: Vec<FeedHead>, more: bool) {
        if !self.send(node, Lane::Control, &Message::FeedHave { heads, more }) {
            if let Some(peer) = self.gossip.peers.get_mut(node) {
                peer.behind = true;
            }
        }
    }

    /// A peer's queue has room again: what did not fit is told now.
    pub(super) fn room(&mut self, node: &NodeId) {
        self.source.room(node);
        let Some(peer) = self.gossip.peers.get_mut(node) else { return };
        let unanswered = std::mem::take(&mut peer.unanswered);
        if std::mem::take(&mut peer.behind) {
            self.tell_heads(node);
        }
        for (feed, from) in unanswered {
            self.peer_wants(node, feed, from);
        }
        self.want_from(node);
    }

    /// A peer asks for entries: read them from the disk, for they are durable there. A few at a time: it asks for no more
    /// than [`FEEDS_ASKED_MAX`] feeds at once, and what it asks beyond is not remembered.
    pub(super) fn peer_wants(&mut self, node: &NodeId, feed: FeedId, from: u64) {
        let Some(peer) = self.gossip.peers.get_mut(node) else { return };
        if peer.reading >= FEEDS_ASKED_MAX {
            if peer.unanswered.len() < FEEDS_ASKED_MAX {
                peer.unanswered.insert(feed, from);
            }
            return;
        }
        peer.reading += 1;
        let after = from.checked_sub(1).map(|before| (feed, before));
        self.ask_store(Pending::ReadEntries { peer: *node, feed, from }, |op| Request::Entries {
            op,
            feed: Some(feed),
            after,
            limit_bytes: FEED_ENTRIES_MESSAGE_BYTES_MAX / 2,
        });
    }

    /// The disk gave what a peer wants (or could not: then the answer is empty, so that the peer does not wait).
    pub(super) fn entries_read(&mut self, node: &NodeId, feed: FeedId, from: u64, reply: Reply) {
        let Some(member) = &self.member else { return };
        let durable = member.durable.get(&feed).map_or(0, |head| head.length);
        let entries = match reply {
            Reply::Entries { entries, .. } => {
                let shown = entries.into_iter().filter(|(_, sequence, _)| *sequence < durable);
                shown.map(|(_, _, bytes)| bytes).collect()
            }
            _ => Vec::new(),
        };
        let sent = self.send(node, Lane::Control, &Message::FeedEntries { feed, from, entries });
        let Some(peer) = self.gossip.peers.get_mut(node) else { return };
        peer.reading = peer.reading.saturating_sub(1);
        if !sent {
            peer.unanswered.insert(feed, from);
        } else if let Some((feed, from)) = peer.unanswered.pop_first() {
            self.peer_wants(node, feed, from);
        }
    }

    /// Tells a peer what the source wants of it, or has for it.
    pub(super) fn tell_of_chunks(&mut self, output: SourceOutput) {
        let lane = Lane::Interactive;
        match output {
            SourceOutput::Ask { peer, ids, urgent } => {
                let ids = self.pushing.not_coming(&peer, ids);
                if ids.is_empty() {
                    return;
                }
                // The answer comes on the lane that belongs to the question's. Where that of background work is full, it is asked all the same.
                let get = Message::Get { ids: ids.clone() };
                let is_sent = !urgent && self.send(&peer, Lane::Background, &get);
                if !is_sent && !self.send(&peer, lane, &get) {
                    self.source.missing(self.now.time, &peer, &ids);
                }
            }
            SourceOutput::Missing { peer, ids } => {
                self.push_vanished(&peer, &ids);
                // If it was promised, or is of an own backup, it is looked for.
                ids.iter().for_each(|id| self.asked_in_vain(peer, *id));
                self.send(&peer, lane, &Message::Missing { ids });
            }
            SourceOutput::Cancel { peer, ids } => {
                self.conduct.cancelled(&peer, ids.len());
                self.send(&peer, lane, &Message::Cancel { ids });
            }
            SourceOutput::Withdraw { peer, message } => {
                self.endpoint.cancel(&peer, message);
            }
            SourceOutput::Send { peer, id, bytes, urgent } => self.send_chunk(&peer, id, bytes, urgent),
            SourceOutput::Seek { id, again } => self.seek(id, again),
            SourceOutput::Store(_) | SourceOutput::Tell(_) => {}
        }
    }

    /// Sends a chunk, or keeps it until there is room. What nobody waits for lets all else go first.
    fn send_chunk(&mut self, peer: &NodeId, id: ChunkId, bytes: Vec<u8>, urgent: bool) {
        let lane = if urgent { Lane::Bulk } else { Lane::Background };
        let head = match chunk_head(&id, &bytes) {
            Ok(head) => head,
            Err(error) => return log::error!("chunk {} cannot be sent: {error}", id.short()),
        };
        match self.endpoint.send_headed(self.now.time, peer, lane, &head, bytes) {
            Ok(message) => self.source.sent(peer, id, message, urgent),
            Err((_, Some(bytes))) => self.source.hold(peer, id, bytes, urgent),
            Err((error, None)) => log::debug!("chunk {} was not sent: {error}", id.short()),
        }
    }
}

/// A head as the wire has it.
pub(super) fn wire_head(head: &Head) -> FeedHead {
    FeedHead { feed: head.feed, length: head.length, hash: head.hash }
}

/// In a large vault, heads are collected for this long before peers are told: a few hops are still a second or two.
const TELL_PAUSE: Span = Span::from_millis(200);
