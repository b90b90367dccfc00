//! What the vault agrees on: the union of all feeds, the same whatever order they arrive in (each feed's own entries
//! arrive in theirs). It checks signatures and chains, keeps what later questions need, and answers them; it stores
//! nothing, sends nothing, opens nothing that is sealed. Read [`super::entry`] and [`super::roster`] first.
//!
//! Rights may change after an entry was taken (an Admit or Remove arrives late), so nothing is judged when it is taken:
//! every question filters what is here by the roster of the moment.

use super::chain::Chain;
use super::entry::{check_signature, decode, hash, snapshot_id};
use super::entry::{
    Begin, Body, Describe, Entry, FeedError, FolderEntry, GroupSet, Head, Role, SnapshotEntry,
};
use super::epochs::KeyFacts;
use super::erase::Words;
use super::leave::Leave;
use super::roster::{Member, Roster};
use super::standing::Standings;
use crate::base::ids::{EntryHash, FeedId, FolderId, NodeId, SnapshotId};
use crate::base::limits::REMOVE_HEADS_MAX;
use crate::base::units::WallTime;
use std::collections::{BTreeMap, BTreeSet};

pub use super::facts::{Applied, FolderFact, Fork, NoteFact, SnapshotFact};

mod conclude;
mod generations;
mod notes;

/// The state of a vault as its feeds tell it.
#[derive(Debug, Clone)]
pub struct View {
    /// Who is a member.
    roster: Roster,
    /// Every feed that entries came of.
    pub(super) feeds: BTreeMap<FeedId, Feed>,
    /// Every snapshot, whether it counts or not.
    pub(super) snapshots: BTreeMap<SnapshotId, SnapshotFact>,
    /// Which of them are retired.
    pub(super) standings: Standings,
    /// Which of those go at once.
    pub(super) words: Words,
    /// Who is about to be removed, as each feed says.
    pub(super) leaves: BTreeMap<(NodeId, FeedId), Leave>,
    /// The same in the order in which people want to see them.
    order: BTreeSet<(FolderId, WallTime, SnapshotId)>,
    /// What each feed's receipts cover, releases taken off; none of them empty. Flat, for anybody may say that it holds what nobody knows.
    pub(super) receipts: BTreeMap<(SnapshotId, FeedId), GroupSet>,
    /// Every Folder entry, by folder and feed, ascending by sequence.
    folders: BTreeMap<FolderId, BTreeMap<FeedId, Vec<FolderFact>>>,
    /// The newest feed of each node.
    pub(super) newest: BTreeMap<NodeId, FeedId>,
    /// Proven second histories, the earliest place of each feed.
    forks: BTreeMap<FeedId, Fork>,
    /// Content keys of epochs.
    pub(super) keys: KeyFacts,
    /// The newest notes.
    notes: notes::Notes,
    /// Grows when who is a member, or what one says of itself, may have changed.
    pub(super) seats: u64,
}

/// What is kept of one feed.
#[derive(Debug, Clone)]
pub(super) struct Feed {
    /// Its entries' hashes.
    chain: Chain,
    /// The feed that it follows, as its first entry says.
    predecessor: Option<FeedId>,
    /// The latest Describe in it.
    describe: Option<Describe>,
    /// Of its receipts, those for snapshots that no entry here has written.
    pub(super) unwritten: usize,
    /// Groups of everything that it has released.
    pub(super) released: GroupSet,
}

impl View {
    /// What a node knows of a vault before it has read anything.
    #[must_use]
    pub fn new(root_public: [u8; 32]) -> Self {
        Self {
            roster: Roster::new(root_public),
            feeds: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            standings: Standings::default(),
            words: Words::default(),
            leaves: BTreeMap::new(),
            order: BTreeSet::new(),
            receipts: BTreeMap::new(),
            folders: BTreeMap::new(),
            newest: BTreeMap::new(),
            forks: BTreeMap::new(),
            keys: KeyFacts::new(),
            notes: notes::Notes::default(),
            seats: 0,
        }
    }

    /// Takes the next entry of a feed, as it was received.
    ///
    /// # Errors
    /// What [`decode`] says of the bytes; [`FeedError::UnknownAuthor`] when the author is no member yet,
    /// [`FeedError::Gap`], [`FeedError::Known`]; [`FeedError::Author`], [`FeedError::Signature`];
    /// [`FeedError::Fork`], which is remembered; [`FeedError::Full`]. Nothing else changes then.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<Applied, FeedError> {
        let entry = decode(bytes)?;
        let hash = hash(bytes);
        let author = entry.feed.node;
        let public = self.roster.signing_of(&author).ok_or(FeedError::UnknownAuthor(author))?;
        let checked = match self.feeds.get(&entry.feed) {
            Some(feed) => feed.chain.check(&hash, &entry),
            None => self.room_for_feed_of(&author).and_then(|()| Chain::new(entry.feed).check(&hash, &entry)),
        };
        match checked {
            Ok(()) => check_signature(bytes, &entry, public)?,
            Err(FeedError::Fork { sequence, feed }) => {
                check_signature(bytes, &entry, public)?;
                self.remember_fork(&entry, sequence, hash);
                return Err(FeedError::Fork { sequence, feed });
            }
            Err(error) => return Err(error),
        }
        self.take(bytes, &entry, hash)?;
        let counts = self.counts(&entry, &hash);
        Ok(Applied { feed: entry.feed, sequence: entry.sequence, hash, counts, entry })
    }

    /// Takes the Admit entries of a chain that a node shows, from the root's to its own, ahead of the feeds that they
    /// stand in. When those arrive, what they say at these places is what counts.
    ///
    /// # Errors
    /// What [`Roster::verify_chain`] says of the chain; [`FeedError::Fork`] when a feed that is here says something else
    /// at the place of one of its entries, which is remembered. Nothing else changes then.
    pub fn introduce(&mut self, chain: &[Vec<u8>]) -> Result<Member, FeedError> {
        let introduced = self.roster.verify_chain(chain)?;
        let mut entries = Vec::new();
        for bytes in chain {
            let entry = decode(bytes)?;
            let hash = hash(bytes);
            if self.hash_at(&entry.feed, entry.sequence).is_some_and(|known| known != hash) {
                self.remember_fork(&entry, entry.sequence, hash);
                return Err(FeedError::Fork { feed: entry.feed, sequence: entry.sequence });
            }
            entries.push((bytes, entry));
        }
        for (bytes, entry) in &entries {
            let noted = self.roster.introduce(bytes, entry);
            self.conclude(noted, &entry.feed, entry.sequence);
        }
        self.roster.member(&introduced.node).cloned().ok_or(FeedError::Chain("it contradicts what is known"))
    }

    /// Another number after every change of who is a member or of what one says of itself.
    #[must_use]
    pub const fn seats_version(&self) -> u64 {
        self.seats
    }

    /// Who is a member.
    #[must_use]
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// How far each feed of the root, of members and of former members is known, ascending by feed.
    pub fn heads(&self) -> Vec<Head> {
        let known = self.feeds.iter().filter(|(feed, _)| self.roster.signing_of(&feed.node).is_some());
        known.map(|(_, feed)| feed.chain.head()).collect()
    }

    /// How far the feeds of a node are known, for a Remove that names them: the longest ones, if there are more than it may name.
    #[must_use]
    pub fn heads_of(&self, node: &NodeId) -> Vec<Head> {
        let mut heads: Vec<Head> = self.heads().into_iter().filter(|head| head.feed.node == *node).collect();
        heads.sort_unstable_by_key(|head| std::cmp::Reverse(head.length));
        heads.truncate(REMOVE_HEADS_MAX);
        heads
    }

    /// How far one feed is known; none if no entry of it is here.
    #[must_use]
    pub fn head(&self, feed: &FeedId) -> Option<Head> {
        self.feeds.get(feed).map(|feed| feed.chain.head())
    }

    /// The entry that its writer may sign and append next.
    #[must_use]
    pub fn next_entry(&self, feed: &FeedId, wall: WallTime, body: Body) -> Entry {
        let head = self.head(feed).unwrap_or(Chain::new(*feed).head());
        Entry { feed: *feed, sequence: head.length, previous: head.hash, wall, body }
    }

    /// The hash of an entry that is here.
    #[must_use]
    pub fn hash_at(&self, feed: &FeedId, sequence: u64) -> Option<EntryHash> {
        self.feeds.get(feed)?.chain.hash_at(sequence)
    }

    /// The newest feed of a node: the one with the longest line of predecessors, of equals the greatest.
    #[must_use]
    pub fn newest_feed(&self, node: &NodeId) -> Option<FeedId> {
        self.newest.get(node).copied()
    }

    /// Each folder as those members want it that write it, ascending by id: usually one. What another says takes no folder
    /// away from a member. Where only former members have written it: as [`View::folder`] says.
    pub fn folders(&self) -> impl Iterator<Item = &FolderFact> {
        self.folders.keys().flat_map(|folder| {
            let here = self.folder_facts(folder).filter(|fact| !self.roster.is_removed(&fact.writer));
            let mut here: Vec<&FolderFact> = here.collect();
            if here.is_empty() {
                here.extend(self.folder(folder));
            }
            here
        })
    }

    /// One folder as it is wanted. Where several nodes have written it: members before former ones, then the later label, then
    /// the lower node id.
    #[must_use]
    pub fn folder(&self, folder: &FolderId) -> Option<&FolderFact> {
        self.folder_facts(folder).max_by_key(|fact| {
            (!self.roster.is_removed(&fact.writer), fact.wall, core::cmp::Reverse(fact.writer))
        })
    }

    /// The latest word of each of a folder's writers: the highest sequence in the newest of its feeds that has one.
    pub fn folder_facts(&self, folder: &FolderId) -> impl Iterator<Item = &FolderFact> {
        let mut latest: BTreeMap<NodeId, &FolderFact> = BTreeMap::new();
        for facts in self.folders.get(folder).into_iter().flat_map(BTreeMap::values) {
            let counting = facts.iter().rev().find(|fact| {
                self.roster.role_of(&fact.writer) == Some(Role::Full)
                    && self.roster.is_within(&fact.feed, fact.sequence)
            });
            let Some(fact) = counting else { continue };
            let before = latest.get(&fact.writer);
            if before.is_none_or(|before| self.generation(&before.feed) < self.generation(&fact.feed)) {
                latest.insert(fact.writer, fact);
            }
        }
        latest.into_values()
    }

    /// Every snapshot that counts and stands, by folder, then by when it was taken, then by id.
    pub fn snapshots(&self) -> impl Iterator<Item = &SnapshotFact> {
        self.order.iter().filter(|(_, _, id)| self.stands(id)).filter_map(|(_, _, id)| self.snapshot(id))
    }

    /// Those of one folder, by when they were taken, then by id.
    pub fn snapshots_of(&self, folder: &FolderId) -> impl Iterator<Item = &SnapshotFact> {
        self.in_order(folder).filter(|id| self.stands(id)).filter_map(|id| self.snapshot(id))
    }

    /// Every snapshot of a folder, whether it counts or not.
    pub(super) fn in_order(&self, folder: &FolderId) -> impl Iterator<Item = &SnapshotId> {
        let from = (*folder, WallTime::from_micros(i64::MIN), SnapshotId::from_bytes([0; 32]));
        let to = (*folder, WallTime::from_micros(i64::MAX), SnapshotId::from_bytes([u8::MAX; 32]));
        self.order.range(from..=to).map(|(_, _, id)| id)
    }

    /// The snapshot with this id, retired or not, if it counts: written by a full node within its time as a member, or receipted by a member.
    #[must_use]
    pub fn snapshot(&self, id: &SnapshotId) -> Option<&SnapshotFact> {
        let fact = self.snapshots.get(id)?;
        let is_full = self.roster.role_of(&fact.writer) == Some(Role::Full);
        let stays = self.roster.is_within(&fact.feed, fact.sequence) || self.has_receipted(id);
        (is_full && stays).then_some(fact)
    }

    /// What a present or former member last said of itself.
    #[must_use]
    pub fn describe(&self, node: &NodeId) -> Option<&Describe> {
        self.roster.role_of(node)?;
        let described = self.feeds_of(node).filter_map(|(id, feed)| Some((id, feed.describe.as_ref()?)));
        described.max_by_key(|(id, _)| self.generation(id)).map(|(_, describe)| describe)
    }

    /// The Admit entries from the root's to the node's own, as received, for handshakes with who has not heard of it.
    #[must_use]
    pub fn admit_chain(&self, node: &NodeId) -> Vec<Vec<u8>> {
        self.roster.admit_chain(node)
    }

    /// Feeds whose writers are proven to have signed two histories.
    pub fn forks(&self) -> impl Iterator<Item = &Fork> {
        self.forks.values()
    }

    /// Of these, those of who may still write: what a removed node has written counts as its Remove says.
    pub fn open_forks(&self) -> impl Iterator<Item = &Fork> {
        self.forks().filter(|fork| !self.roster.is_removed(&fork.feed.node))
    }

    /// Takes an entry that was checked.
    fn take(&mut self, bytes: &[u8], entry: &Entry, hash: EntryHash) -> Result<(), FeedError> {
        let is_new = !self.feeds.contains_key(&entry.feed);
        let feed = self.feeds.entry(entry.feed).or_insert_with(|| Feed {
            chain: Chain::new(entry.feed),
            predecessor: None,
            describe: None,
            unwritten: 0,
            released: GroupSet::new(),
        });
        feed.chain.extend(bytes, entry)?;
        match &entry.body {
            Body::Describe(describe) => {
                feed.describe = Some(describe.clone());
                self.seats += 1;
            }
            Body::Begin(Begin { predecessor: Some(head) }) if entry.sequence == 0 => {
                feed.predecessor = Some(head.feed).filter(|feed| feed.node == entry.feed.node);
            }
            Body::Folder(folder) => self.take_folder(entry, folder),
            Body::Snapshot(snapshot) => self.take_snapshot(entry, snapshot, snapshot_id(&hash)),
            Body::Checkpoint(checkpoint) => self.take_checkpoint(entry, checkpoint),
            Body::Key(key) => self.take_key(entry, key),
            Body::Receipt(receipt) => self.take_receipt(&entry.feed, receipt),
            Body::Release(release) => self.take_release(&entry.feed, release),
            Body::Erase(erase) => self.take_erase(&entry.feed, erase),
            Body::Leave(leave) => self.take_leave(entry.feed, *leave),
            Body::Note(note) => self.take_note(entry, note, hash),
            _ => {}
        }
        if is_new {
            self.find_newest(&entry.feed.node);
        }
        let noted = self.roster.note(bytes, entry);
        self.conclude(noted, &entry.feed, entry.sequence);
        self.entry_stands(&entry.feed, entry.sequence);
        Ok(())
    }

    /// Keeps a Folder entry.
    fn take_folder(&mut self, entry: &Entry, folder: &FolderEntry) {
        let facts = self.folders.entry(folder.folder).or_default().entry(entry.feed).or_default();
        facts.push(FolderFact {
            writer: entry.feed.node,
            feed: entry.feed,
            sequence: entry.sequence,
            wall: entry.wall,
            entry: folder.clone(),
        });
    }

    /// Keeps a Snapshot entry.
    fn take_snapshot(&mut self, entry: &Entry, snapshot: &SnapshotEntry, id: SnapshotId) {
        self.order.insert((snapshot.folder, snapshot.taken, id));
        let fact = SnapshotFact {
            id,
            writer: entry.feed.node,
            feed: entry.feed,
            sequence: entry.sequence,
            wall: entry.wall,
            entry: snapshot.clone(),
        };
        self.snapshots.insert(id, fact);
        self.receipts_were_early(&id);
        self.place_snapshot(entry, id);
    }

    /// Remembers that a validly signed entry belongs to another history than ours.
    fn remember_fork(&mut self, entry: &Entry, sequence: u64, hash: EntryHash) {
        let Some(kept) = self.hash_at(&entry.feed, sequence) else { return };
        let refused = if sequence == entry.sequence { hash } else { entry.previous };
        let fork = Fork { feed: entry.feed, sequence, kept, refused };
        let known = self.forks.entry(entry.feed).or_insert(fork);
        if fork.sequence < known.sequence {
            *known = fork;
        }
    }

    /// Whether an entry that is here means anything by what is known now.
    fn counts(&self, entry: &Entry, hash: &EntryHash) -> bool {
        let author = &entry.feed.node;
        let is_within = self.roster.is_within(&entry.feed, entry.sequence);
        let is_root = *author == self.roster.root();
        let role = self.roster.role_of(author);
        match &entry.body {
            Body::Admit(_) | Body::Remove(_) => is_within && (is_root || role == Some(Role::Full)),
            Body::Key(_) => self.may_write_keys(&entry.feed, entry.sequence),
            Body::Folder(_) | Body::Note(_) => is_within && role == Some(Role::Full),
            Body::Snapshot(_) => self.snapshot(&snapshot_id(hash)).is_some(),
            Body::Checkpoint(said) => self.checkpoint_counts(&entry.feed, entry.sequence, said),
            Body::Receipt(_) | Body::Release(_) => {
                self.roster.member(author).is_some() && self.newest.get(author) == Some(&entry.feed)
            }
            Body::Describe(_) | Body::Alert(_) | Body::Begin(_) => is_within && role.is_some(),
            Body::Erase(erase) => self.erase_counts(author, erase),
            Body::Leave(leave) => self.leave_counts(&entry.feed, leave),
            Body::Reserved { .. } => false,
        }
    }
}
