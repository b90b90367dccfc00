//! What one peer has told of feeds, and owes. [`super::gossip`] asks.

use std::collections::{BTreeMap, BTreeSet};

use super::status::pending::Progress;
use crate::base::ids::{FeedId, NodeId};
use crate::base::units::Time;
use crate::feed::view::View;

/// What one peer has.
#[derive(Debug, Default)]
pub(super) struct PeerFeeds {
    /// Entries it has of each feed of which it had more than this node when it said so, as far as this node's own were not
    /// told of since.
    pub(super) lengths: BTreeMap<FeedId, u64>,
    /// Feeds that it was asked for and has not answered.
    pub(super) asked: BTreeSet<FeedId>,
    /// Feeds of which an answer brought nothing that could be used yet.
    pub(super) stuck: BTreeSet<FeedId>,
    /// It has told all its heads.
    pub(super) told: bool,
    /// When it last did what brings the exchange on: it came, told all, or sent an entry that was not known here.
    pub(super) moved: Time,
    /// It has done nothing of that for long though it has not told all, or not sent what it was asked for: nobody waits for it.
    pub(super) stalls: bool,
    /// It says that it knows more of this node's own feed than is known here. Until it shows that, it confirms nothing.
    pub(super) ahead: bool,
    /// It was not told of something, for there was no room.
    pub(super) behind: bool,
    /// Reads for it that are on their way from the disk.
    pub(super) reading: usize,
    /// What it wants and was not answered yet: from where on.
    pub(super) unanswered: BTreeMap<FeedId, u64>,
    /// Its program's version.
    pub(super) version: String,
    /// What it would still store.
    pub(super) free_bytes: u64,
    /// Its share of a snapshot: which, held, total.
    pub(super) progress: Option<Progress>,
}

impl PeerFeeds {
    /// It came just now.
    pub(super) fn new(now: Time) -> Self {
        Self { moved: now, ..Self::default() }
    }

    /// Whether all that it says it has of a node's feeds is here, or is of a feed with two histories.
    pub(super) fn has_sent_all_of(&self, node: &NodeId, view: &View) -> bool {
        let is_here = |feed: &FeedId, length: u64| {
            view.head(feed).is_some_and(|head| head.length >= length)
                || view.forks().any(|fork| fork.feed == *feed)
        };
        let mut lengths = self.lengths.iter().filter(|(feed, _)| feed.node == *node);
        lengths.all(|(feed, length)| is_here(feed, *length))
    }

    /// It says that it knows more of this node's own feed than is known here, and has not shown it.
    pub(super) const fn is_ahead(&self) -> bool {
        self.ahead
    }
}
