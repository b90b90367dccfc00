//! Beginning a new feed of this node: when its disk is older than what others know of it, when nobody is left who could tell, and when the
//! one that it has is full. What counts in the newest feed only (receipts) is said again in it.

use crate::base::ids::FeedId;
use crate::feed::entry::{Begin, Body};
use crate::node::activity::Level;
use crate::node::after::AfterAppend;
use crate::node::boot::setting;
use crate::node::core::Core;
use crate::node::member::Membership;

impl Core {
    /// Begins a new feed, so that no two entries ever carry one number: a peer has shown own entries that the disk did not
    /// have (this home was restored from an older state), or nobody is left who could. What a peer merely says of the own
    /// feed is no reason, for a new feed voids this node's receipts.
    pub(in crate::node) fn begin_feed_anew(&mut self, why: &str) {
        let random = self.random();
        let Some(member) = &mut self.member else { return };
        // It follows all that is known: a feed that was begun after this disk's image was made counts no longer then.
        let newest = member.view.newest_feed(&member.node).unwrap_or(member.own);
        let predecessor = member.view.head(&newest);
        member.own = FeedId { node: member.node, random };
        self.note(Level::Warn, "feeds", format!("{why}; a new feed is begun"));
        let doubt = self.doubt_pins();
        let settings = vec![(setting::FEED.to_owned(), Some(random.to_vec())), doubt];
        self.append(Body::Begin(Begin { predecessor }), settings, AfterAppend::Nothing);
        self.holding.recheck(self.now.time);
    }

    /// Nobody is left who could tell whether this disk is up to date, says the owner. Of a new feed nobody knows more.
    pub(in crate::node) fn begin_feed_alone(&mut self) {
        self.begin_feed_anew("no other device is left that could tell whether this disk is up to date");
        if let Some(member) = &mut self.member {
            member.confirmed = true;
        }
        self.share_may_number();
    }

    /// Nothing may follow in a feed that has as many entries as one may have. In the next one stands again what counts in the newest only:
    /// where that would be as much, none is begun, or there were no end to it.
    pub(super) fn begin_feed_if_full(&mut self) {
        let most = self.setup.feed_entries;
        let is_full = |member: &Membership| {
            let standing = u64::try_from(member.view.snapshots().count()).unwrap_or(u64::MAX);
            standing < most / 2 && member.view.room_for_feed_of(&member.node).is_ok() && !member.stopped
        };
        if self.member.as_ref().is_some_and(|member| member.next_sequence() >= most && is_full(member)) {
            self.begin_feed_anew("this node's feed has as many entries as a feed may have");
        }
    }
}
