//! What peers say, and where it belongs: every message is decoded here and handed to whoever deals with it.

use super::core::Core;
use crate::base::ids::NodeId;
use crate::wire::frame::Lane;
use crate::wire::message::{self, Message};

impl Core {
    /// A peer said something.
    pub(super) fn message_came(&mut self, node: &NodeId, lane: Lane, bytes: &[u8]) {
        let message = match message::decode(bytes) {
            Ok(message) => message,
            Err(error) => {
                log::debug!("a message of {} was not understood: {error}", node.short());
                return;
            }
        };
        self.reach.linking.used(self.now.time, node, &message);
        match message {
            Message::FeedHave { heads, more } => self.peer_has(node, &heads, more),
            Message::FeedWant { feed, from } => self.peer_wants(node, feed, from),
            Message::FeedEntries { feed, entries, .. } => self.entries_came(node, feed, entries),
            Message::Get { ids } => self.source.asked(node, ids, lane != Lane::Background),
            Message::Chunk { id, bytes } if !self.drill_came(node, &id, &bytes) => {
                self.chunk_came(node, id, bytes);
            }
            Message::Chunk { .. } => {}
            Message::Missing { ids } => {
                self.chunks_missing(node, &ids);
                self.drill_missing(node, &ids);
            }
            Message::Cancel { ids } => self.source.cancelled(node, &ids),
            Message::Checked(checked) => self.mark_came(node, checked),
            Message::Status { snapshot, held, total } => self.peer_progress(node, snapshot, held, total),
            comparing @ (Message::Digest { .. } | Message::Range { .. }) => self.compare(node, comparing),
            auditing @ (Message::Challenge { .. } | Message::Proof { .. }) => self.audit(node, auditing),
            Message::Leaving(leaving) => self.leaving_came(node, &leaving),
            Message::Confirmed(confirmed) => self.confirmed_came(node, &confirmed),
            Message::Hello { version, free_bytes } => self.gossip.hello(node, version, free_bytes),
            Message::Offer { chunks } => self.push_offered(node, chunks),
            Message::Want { ids } => self.push_wanted(node, &ids),
            Message::Stored { ids } => self.push_stored(node, &ids),
            Message::Decline { ids } => self.push_declined(node, &ids),
            lookup @ (Message::Who { .. } | Message::Known { .. }) => self.lookup_came(node, lookup),
        }
    }
}
