//! Feed exchange: what each peer has of every feed, asking for what is missing, and keeping what comes.
//!
//! There is no order between feeds and no leader: each side tells its heads, each side asks for what it lacks. An entry
//! is shown only when it is durable here. Feeds whose authors are not known yet are asked for when the roster has changed.
//! What is asked of whom stands in `wanting.rs`, what is told to whom in `tell.rs`.

mod new_feed;

use std::collections::BTreeMap;

use super::activity::Level;
use super::after::{AfterAppend, Appended};
use super::core::{Core, Pending};
use super::member::Membership;
use super::peer_feeds::PeerFeeds;
use super::status::pending::Progress;
use super::tell::wire_head;
use crate::base::ids::{FeedId, NodeId, SnapshotId};
use crate::base::limits::FEEDS_MAX;
use crate::base::units::Time;
use crate::feed::entry::{decode, Body, FeedError, Head};
use crate::feed::view::{Applied, View};
use crate::store::service::{Request, StoreError};
use crate::wire::message::FeedHead;

/// What is known of the peers' feeds.
#[derive(Debug, Default)]
pub struct Gossip {
    /// Connected peers.
    pub(super) peers: BTreeMap<NodeId, PeerFeeds>,
    /// Who was asked for a feed last, and when: others are asked for it only when that has led to nothing.
    pub(super) asking: BTreeMap<FeedId, (NodeId, Time)>,
    /// Heads that peers are told of next.
    pub(super) telling: BTreeMap<FeedId, FeedHead>,
    /// When.
    pub(super) tell_due: Option<Time>,
}

impl Gossip {
    /// A peer introduced itself.
    pub fn hello(&mut self, node: &NodeId, version: String, free_bytes: u64) {
        if let Some(peer) = self.peers.get_mut(node) {
            peer.version = version;
            peer.free_bytes = free_bytes;
        }
    }

    /// Nothing is asked for, and everybody who is connected has told all: what can be known is known.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.peers.is_empty()
            && self.peers.values().all(|peer| peer.stalls || peer.told && peer.asked.is_empty())
    }

    /// Whether a peer has told all that it has, and knows no more of this node's own feed than is known here.
    pub(super) fn has_shown(&self, node: &NodeId) -> bool {
        self.peers.get(node).is_some_and(|peer| peer.told && !peer.ahead)
    }

    /// Whether anybody who is connected has told all that it has.
    #[must_use]
    pub fn has_anyone_told(&self) -> bool {
        self.peers.values().any(|peer| peer.told)
    }

    /// Whether all that the connected peers say they have of a node's feeds is here. Of a feed whose writer is proven to
    /// have signed two histories one may be longer there for ever; who says so and sends nothing for long is not waited for.
    #[must_use]
    pub fn lacks_nothing_of(&self, node: &NodeId, view: &View) -> bool {
        self.peers.values().all(|peer| peer.stalls || peer.told && peer.has_sent_all_of(node, view))
    }

    /// How far a peer's share of a snapshot has come, as it says: held, total.
    #[must_use]
    pub fn progress(&self, node: &NodeId, snapshot: &SnapshotId) -> Option<(u64, u64)> {
        self.pace(node, snapshot).map(|progress| (progress.held, progress.total))
    }

    /// The same, and at what pace.
    pub(super) fn pace(&self, node: &NodeId, snapshot: &SnapshotId) -> Option<Progress> {
        self.peers.get(node)?.progress.filter(|progress| progress.snapshot == *snapshot)
    }

    /// The version that a peer runs.
    #[must_use]
    pub fn version(&self, node: &NodeId) -> Option<&str> {
        self.peers.get(node).map(|peer| peer.version.as_str())
    }

    /// What a peer would still store.
    #[must_use]
    pub fn free_bytes(&self, node: &NodeId) -> Option<u64> {
        self.peers.get(node).map(|peer| peer.free_bytes)
    }

    /// Whether a peer is connected.
    #[must_use]
    pub fn is_connected(&self, node: &NodeId) -> bool {
        self.peers.contains_key(node)
    }

    /// Who is connected.
    pub fn peers(&self) -> impl Iterator<Item = &NodeId> {
        self.peers.keys()
    }
}

impl Core {
    /// The session ended.
    pub(super) fn forget_feeds_of(&mut self, node: &NodeId) {
        self.gossip.peers.remove(node);
        self.member_session(node, false);
        self.push_peer_down(node);
        self.gossip.asking.retain(|_, (asked, _)| asked != node);
        self.want_from_all();
    }

    /// A peer says what it has.
    pub(super) fn peer_has(&mut self, node: &NodeId, heads: &[FeedHead], more: bool) {
        let Some(member) = &mut self.member else { return };
        let Some(peer) = self.gossip.peers.get_mut(node) else { return };
        let (own, now) = (member.own, self.now.time);
        let mut forked = false;
        for head in heads {
            let mine = member.view.head(&head.feed);
            peer.stuck.remove(&head.feed);
            if head.length <= mine.map_or(0, |mine| mine.length) {
                peer.lengths.remove(&head.feed);
            } else if peer.lengths.len() < FEEDS_MAX || peer.lengths.contains_key(&head.feed) {
                peer.lengths.insert(head.feed, head.length);
            }
            peer.ahead |= head.feed == own && head.length > mine.map_or(0, |mine| mine.length);
            forked |= mine.is_some_and(|mine| mine.length == head.length && mine.hash != head.hash);
        }
        let settled = !more && !peer.told && !peer.ahead;
        if !more {
            peer.moved = if peer.told { peer.moved } else { now };
            peer.told = true;
        }
        if forked {
            let name = member.name_of(node);
            self.note(
                Level::Warn,
                "feeds",
                format!("{name} has another history of a feed than this node; both are kept"),
            );
        }
        if settled {
            self.head_shown();
        }
        self.want_from(node);
    }

    /// A peer has shown what it knows of this node: from now on snapshots may be published.
    pub(super) fn head_confirmed(&mut self) {
        self.confirming.others = None;
        let is_newest = |member: &Membership| {
            member.view.newest_feed(&member.node).is_none_or(|newest| newest == member.own)
        };
        if !self.member.as_ref().is_none_or(is_newest) {
            self.begin_feed_anew(OUTDATED);
            self.confirming.was_behind = true;
            self.healing_opens();
        }
        let Some(member) = &mut self.member else { return };
        if !member.confirmed {
            member.confirmed = true;
            self.holding.recheck(self.now.time);
            self.share_may_number();
        }
        if std::mem::take(&mut self.confirming.was_behind) {
            self.look_through();
        }
        self.publish_drafts();
        self.describe_self();
        self.keyring_changed();
        self.confirming_timeout();
    }

    /// A peer sent entries of a feed. What is of another feed is not taken: all go to the disk under this one. Whoever keeps an
    /// entry has checked its signature, whatever its version: who sends one that is not signed breaks a rule.
    pub(super) fn entries_came(&mut self, node: &NodeId, feed: FeedId, entries: Vec<Vec<u8>>) {
        let mut fresh: Vec<(Applied, Vec<u8>)> = Vec::new();
        let Some(member) = &mut self.member else { return };
        let is_own = feed == member.own;
        let (mut shown, mut refused) = (false, None);
        for bytes in entries {
            let taken = match decode(&bytes) {
                Ok(entry) if entry.feed != feed => Err(FeedError::Malformed("it is of another feed")),
                Ok(_) => member.view.apply(&bytes),
                Err(error) => Err(error),
            };
            match taken {
                Ok(applied) => fresh.push((applied, bytes)),
                Err(FeedError::Known) => {}
                Err(error) => {
                    log::debug!("an entry of {} was not taken: {error}", node.short());
                    shown |= matches!(error, FeedError::Fork { .. });
                    refused = Some(error);
                    break;
                }
            }
        }
        shown |= !fresh.is_empty();
        // Of its own entries a node hears from others when its disk was put back to an older image.
        let is_of_own = feed.node == member.node && !fresh.is_empty();
        let is_outdated = is_of_own && member.view.newest_feed(&member.node) != Some(member.own);
        let mut confirmed = false;
        if let Some(peer) = self.gossip.peers.get_mut(node) {
            if !fresh.is_empty() && peer.asked.contains(&feed) {
                (peer.moved, peer.stalls) = (self.now.time, false);
            }
            // Of feeds that nobody asked it for nothing is remembered, or it could name as many as it likes.
            if peer.asked.remove(&feed) && fresh.is_empty() {
                peer.stuck.insert(feed);
            }
            if feed.node == member.node && shown && peer.ahead {
                peer.ahead = !peer.has_sent_all_of(&member.node, &member.view);
                confirmed = peer.told && !peer.ahead;
            }
        }
        if !fresh.is_empty() {
            self.settling_goes_on();
            self.keep_entries(fresh, Some(*node), Vec::new(), AfterAppend::Nothing);
        }
        let is_confirmed = self.member.as_ref().is_some_and(|member| member.confirmed);
        // Of several that come one after the other the last one is followed, when all are here.
        if is_own && shown || is_outdated && is_confirmed {
            self.begin_feed_anew(OUTDATED);
        }
        if is_own && shown || is_of_own {
            // Its snapshots come page by page, and some after it was confirmed.
            self.confirming.was_behind = true;
            self.healing_opens();
        }
        if confirmed {
            self.head_confirmed();
        }
        if is_of_own && is_confirmed {
            self.confirming.was_behind = false;
            self.look_through();
        }
        self.want_after(node, &feed);
        if let Some(error) = refused.filter(FeedError::is_fault) {
            self.blame(node, format_args!("it sends wrong feed entries ({error})"));
        }
    }

    /// Signs an entry of the own feed and makes it durable; then `then` happens. None (and a note) when it is refused: so also while it is not
    /// known whether this disk is up to date, for it would be a second history, whoever wants it written.
    pub(super) fn append(
        &mut self,
        body: Body,
        mut settings: Vec<(String, Option<Vec<u8>>)>,
        then: AfterAppend,
    ) -> Option<Applied> {
        if !matches!(body, Body::Begin(_)) && !self.may_append() {
            log::warn!("an entry of this node waits until another device has shown what it knows of it");
            return None;
        }
        let wall = self.now.wall;
        let member = self.member.as_mut()?;
        match member.append(wall, body) {
            Ok((applied, bytes)) => {
                self.with_books(&applied, &mut settings);
                self.keep_entries(vec![(applied.clone(), bytes)], None, settings, then);
                // Not before: what is sealed in an entry is bound to the place for which it was made.
                self.begin_feed_if_full();
                Some(applied)
            }
            Err(error) => {
                self.note(Level::Error, "feeds", format!("an entry of this node was refused: {error}"));
                if matches!(error, FeedError::Full(_)) {
                    self.begin_feed_if_full();
                }
                None
            }
        }
    }

    /// Writes entries that the view has taken (all of one feed, in order), and reacts to what they say.
    pub(super) fn keep_entries(
        &mut self,
        entries: Vec<(Applied, Vec<u8>)>,
        from: Option<NodeId>,
        settings: Vec<(String, Option<Vec<u8>>)>,
        then: AfterAppend,
    ) {
        let (Some((first, _)), Some((last, _))) = (entries.first(), entries.last()) else { return };
        let head = Head { feed: last.feed, length: last.sequence + 1, hash: last.hash };
        let (feed, sequence) = (first.feed, first.sequence);
        let any =
            |is_meant: fn(&Body) -> bool| entries.iter().any(|(applied, _)| is_meant(&applied.entry.body));
        let roster_changes = any(|body| matches!(body, Body::Admit(_) | Body::Remove(_)));
        let addresses_change = roster_changes || any(|body| matches!(body, Body::Describe(_)));
        self.keyring_heard(&entries);
        self.hearing_heard(&entries);
        self.notes_heard(&entries);
        self.removal_heard(&entries);
        for (applied, _) in &entries {
            if let Body::Receipt(receipt) = &applied.entry.body {
                self.holding.has_signed(&receipt.snapshot);
            }
        }
        let bytes = entries.into_iter().map(|(_, bytes)| bytes).collect();
        self.ask_store(Pending::Append(Appended { head, from, then }), |op| Request::Append {
            op,
            feed,
            sequence,
            entries: bytes,
            settings,
        });
        if roster_changes {
            self.roster_changed();
        }
        if addresses_change {
            self.reach.recheck(self.now.time);
        }
        self.holding.recheck(self.now.time);
        self.upkeep.recheck(self.now.time);
    }

    /// Entries are on the disk (or are not).
    pub(super) fn appended(&mut self, appended: Appended, result: Result<(), StoreError>) {
        if let Err(error) = result {
            let said = error.to_string();
            self.note(Level::Error, "feeds", format!("the disk did not take an entry: {said}"));
            self.afresh_later();
            if let Some(member) = &mut self.member {
                member.stopped |= appended.from.is_none();
                member.refused.get_or_insert(said);
            }
            self.append_failed(appended.then, &error.to_string());
            return;
        }
        if let Some(member) = &mut self.member {
            member.durable.insert(appended.head.feed, appended.head);
        }
        self.tell_head(wire_head(&appended.head));
        self.after_append(appended.then);
        self.check_waiting_backups();
    }

    /// Members came or went: tell the endpoint, and ask again for what could not be used before.
    pub(super) fn roster_changed(&mut self) {
        let Some(member) = &self.member else { return };
        let roster = member.view.roster().clone();
        let chain = member.view.admit_chain(&member.node);
        self.endpoint.set_roster(roster, chain);
        self.choose_links();
        self.reach.recheck(self.now.time);
        for peer in self.gossip.peers.values_mut() {
            peer.stuck.clear();
        }
        self.want_from_all();
    }

    /// A holder says how far it is with its share.
    pub(super) fn peer_progress(&mut self, node: &NodeId, snapshot: SnapshotId, held: u64, total: u64) {
        if let Some(peer) = self.gossip.peers.get_mut(node) {
            let said = (snapshot, held, total);
            peer.progress = Some(Progress::heard(peer.progress, self.now.time, said));
        }
        self.show_replication(&snapshot);
    }
}

/// Why a feed is begun anew when others know more of this node than its disk does.
const OUTDATED: &str = "this home is older than what other devices know of it (restored from an image?)";

/// Feeds asked of one peer at once.
pub(super) const FEEDS_ASKED_MAX: usize = 8;
