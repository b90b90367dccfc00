//! Who is a member: a pure function of the set of Admit and Remove facts, whatever order they came in. It trusts that
//! the facts' signatures were checked ([`super::view`]) and holds no other state of the vault.
//!
//! A node is a member if a chain of Admit entries leads from the root key to it and no valid Remove names it. Its rank
//! is the path of the Admits' places in their feeds, compared like words in a dictionary, ties by node id; of several
//! chains the one with the lowest rank counts, and of what they say of the node the word of the author of lowest rank. A Remove is
//! valid if its author ranks before the node that it names (the root before everyone), and is final: only an Admit by a node that ranks before
//! the remover could outweigh it. It names how far the removed node's feeds count: all beyond is void, and all in a feed whose named hash is not the one here.
//!
//! Since only nodes of lower rank can void what a node wrote, one pass in the order of rank settles everything
//! (`Roster::settle`); it is repeated whenever a fact is added, unless that can change nothing but to let one node in
//! (`grow.rs`): a vault of a thousand would be settled a thousand times while it is read.

use super::entry::{author_of, verify, Admit, Body, Entry, FeedError, Head, Remove, Role};
use super::member::{awaited_of, limits_of, HashAt};
use crate::base::ids::{FeedId, NodeId, VaultId};
use crate::base::limits::{ADMIT_CHAIN_MAX, FEEDS_MAX, MEMBERS_MAX, ROSTER_FACTS_PER_FEED_MAX};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use super::member::Member;

pub(super) use grow::Noted;

mod grow;
mod undecided;

/// The members of a vault, from the facts that are known.
#[derive(Debug, Clone)]
pub struct Roster {
    /// The root's public signing key.
    root_public: [u8; 32],
    /// The root, read as a node.
    root: NodeId,
    /// All Admits and Removes, by feed, ascending by sequence.
    facts: BTreeMap<FeedId, Vec<Fact>>,
    /// Last entries that some Remove names, valid or not, by feed and sequence.
    awaited: BTreeSet<(FeedId, u64)>,
    /// Nodes that some Remove names, valid or not.
    named: BTreeSet<NodeId>,
    /// Members.
    members: BTreeMap<NodeId, Standing>,
    /// Nodes that were members.
    former: BTreeMap<NodeId, Standing>,
    /// Channel key to member; of two with the same, the lower rank.
    channels: BTreeMap<[u8; 32], NodeId>,
}

/// An Admit or Remove entry.
#[derive(Debug, Clone)]
struct Fact {
    /// Its place in its feed.
    sequence: u64,
    /// Its bytes as received.
    bytes: Arc<[u8]>,
    /// What it says.
    what: What,
}

/// What a fact says.
#[derive(Debug, Clone)]
enum What {
    /// A node becomes a member.
    Admit(Admit),
    /// A node is a member no more.
    Remove(Remove),
}

/// What the facts make of a node.
#[derive(Debug, Clone)]
struct Standing {
    /// The node.
    member: Member,
    /// The Admit that counts: its feed and its place.
    admitted: (FeedId, u64),
    /// For a removed node: how many entries of each of its feeds count; none of a feed that is not named.
    limits: BTreeMap<FeedId, u64>,
    /// For a removed node: of feeds whose named last entry is not here yet, how many entries may count.
    awaited: BTreeMap<FeedId, u64>,
}

/// An Admit that waits for its turn: ordered by rank, then node.
type Waiting = BTreeSet<(Vec<u64>, NodeId, FeedId, usize)>;

impl Roster {
    /// The roster of the vault with this root key, before any fact.
    #[must_use]
    pub fn new(root_public: [u8; 32]) -> Self {
        Self {
            root_public,
            root: author_of(&root_public),
            facts: BTreeMap::new(),
            awaited: BTreeSet::new(),
            named: BTreeSet::new(),
            members: BTreeMap::new(),
            former: BTreeMap::new(),
            channels: BTreeMap::new(),
        }
    }

    /// The vault's id.
    #[must_use]
    pub const fn vault(&self) -> VaultId {
        VaultId::from_bytes(*self.root.as_bytes())
    }

    /// The root, read as a node: the author of root feeds. It is no member.
    #[must_use]
    pub const fn root(&self) -> NodeId {
        self.root
    }

    /// Takes an entry whose signature was checked: an Admit or Remove becomes a fact. Without the feeds' hashes, of
    /// nodes that are removed nothing counts (see `Roster::settle`).
    pub fn add(&mut self, bytes: &[u8], entry: &Entry) {
        if self.note(bytes, entry) != Noted::Nothing {
            self.settle(&|_, _| None);
        }
    }

    /// Takes what stands at a place of a feed without drawing conclusions; returns whether there is something to
    /// settle. It replaces another fact that was thought to stand there: one that came with an introduction, when its
    /// author has written two histories. Of each feed the first facts are kept, as many as may be.
    pub(super) fn note(&mut self, bytes: &[u8], entry: &Entry) -> Noted {
        let what = match &entry.body {
            Body::Admit(admit) => Some(What::Admit(admit.clone())),
            Body::Remove(remove) => Some(What::Remove(remove.clone())),
            _ => None,
        };
        if what.is_none() && !self.facts.contains_key(&entry.feed) {
            return Noted::Nothing;
        }
        if let Some(What::Remove(remove)) = &what {
            self.named.insert(remove.node);
            self.awaited.extend(remove.heads.iter().map(|head| (head.feed, head.length.saturating_sub(1))));
        }
        let facts = self.facts.entry(entry.feed).or_default();
        let fact = what.map(|what| Fact { sequence: entry.sequence, bytes: Arc::from(bytes), what });
        match (facts.binary_search_by_key(&entry.sequence, |fact| fact.sequence), fact) {
            (Ok(index), _) if *facts[index].bytes == *bytes => return Noted::Nothing,
            (Ok(index), Some(fact)) => facts[index] = fact,
            (Ok(index), None) => drop(facts.remove(index)),
            (Err(index), Some(fact)) => {
                facts.insert(index, fact);
                if facts.len() <= ROSTER_FACTS_PER_FEED_MAX {
                    return Noted::Added;
                }
            }
            (Err(_), None) => return Noted::Nothing,
        }
        facts.truncate(ROSTER_FACTS_PER_FEED_MAX);
        Noted::Changed
    }

    /// Takes a fact ahead of its feed, unless something is known of its place already (or too many feeds are).
    pub(super) fn introduce(&mut self, bytes: &[u8], entry: &Entry) -> Noted {
        let is_known = match self.facts.get(&entry.feed) {
            Some(facts) => facts.binary_search_by_key(&entry.sequence, |fact| fact.sequence).is_ok(),
            None => self.facts.len() >= FEEDS_MAX,
        };
        if is_known {
            Noted::Nothing
        } else {
            self.note(bytes, entry)
        }
    }

    /// Whether some Remove names this entry as the last one that counts, so that its arrival settles something.
    #[must_use]
    pub(super) fn is_awaited(&self, feed: &FeedId, sequence: u64) -> bool {
        self.awaited.contains(&(*feed, sequence))
    }

    /// Draws all conclusions anew. `hash_at` gives the hash of an entry by feed and sequence: a removed node's entries
    /// count only where the last one that its Remove names is known to be the one named.
    pub(super) fn settle(&mut self, hash_at: &HashAt<'_>) {
        let mut pass = Pass { waiting: Waiting::new(), seniors: BTreeMap::new(), removes: BTreeMap::new() };
        let mut members = BTreeMap::new();
        let mut former = BTreeMap::new();
        let mut channels = BTreeMap::new();
        self.count_facts(&self.root, &[], None, &mut pass);
        while let Some((rank, node, feed, index)) = pass.waiting.pop_first() {
            if node == self.root || members.contains_key(&node) || former.contains_key(&node) {
                continue;
            }
            if members.len() + former.len() >= MEMBERS_MAX {
                break;
            }
            let (_, _, feed, index) = pass.seniors.remove(&node).unwrap_or((Vec::new(), 0, feed, index));
            let fact = &self.facts[&feed][index];
            let What::Admit(admit) = &fact.what else { continue };
            let admitted = (feed, fact.sequence);
            let member = Member::admitted(node, admit, rank);
            let removes = pass.removes.get(&node);
            let awaited = removes.map(|removes| awaited_of(removes, hash_at)).unwrap_or_default();
            let limits = removes.map(|removes| limits_of(removes, hash_at));
            if member.role == Role::Full {
                self.count_facts(&node, &member.rank, limits.as_ref(), &mut pass);
            }
            match limits {
                None => {
                    channels.entry(member.channel).or_insert(node);
                    members.insert(node, Standing { member, admitted, limits: BTreeMap::new(), awaited });
                }
                Some(limits) => {
                    former.insert(node, Standing { member, admitted, limits, awaited });
                }
            }
        }
        (self.members, self.former, self.channels) = (members, former, channels);
    }

    /// Puts the facts of one author that count into the pass: its Admits wait for their turn, its Removes for their
    /// nodes'.
    fn count_facts(
        &self,
        author: &NodeId,
        rank: &[u64],
        limits: Option<&BTreeMap<FeedId, u64>>,
        pass: &mut Pass,
    ) {
        for (feed, facts) in self.feeds_of(author) {
            let limit = limits.map_or(u64::MAX, |limits| limits.get(feed).copied().unwrap_or(0));
            for (index, fact) in facts.iter().enumerate().take_while(|(_, fact)| fact.sequence < limit) {
                match &fact.what {
                    What::Admit(admit) if rank.len() < ADMIT_CHAIN_MAX => {
                        let (path, node) = ([rank, &[fact.sequence]].concat(), author_of(&admit.signing));
                        let said = (rank.to_vec(), fact.sequence, *feed, index);
                        let senior = pass.seniors.entry(node).or_insert_with(|| said.clone());
                        if said < *senior {
                            *senior = said;
                        }
                        pass.waiting.insert((path, node, *feed, index));
                    }
                    What::Admit(_) => {}
                    What::Remove(remove) => {
                        pass.removes.entry(remove.node).or_default().push(remove.heads.clone());
                    }
                }
            }
        }
    }

    /// The facts of one author, feed by feed.
    fn feeds_of(&self, author: &NodeId) -> impl Iterator<Item = (&FeedId, &Vec<Fact>)> {
        let from = FeedId { node: *author, random: [0; 8] };
        let to = FeedId { node: *author, random: [u8::MAX; 8] };
        self.facts.range(from..=to)
    }

    /// Everyone who is a member, ascending by node id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values().map(|standing| &standing.member)
    }

    /// The member with this id.
    #[must_use]
    pub fn member(&self, node: &NodeId) -> Option<&Member> {
        self.members.get(node).map(|standing| &standing.member)
    }

    /// The member with this public channel key.
    #[must_use]
    pub fn by_channel(&self, channel: &[u8; 32]) -> Option<&Member> {
        self.member(self.channels.get(channel)?)
    }

    /// Everyone who was a member and was removed, ascending by node id.
    pub fn former(&self) -> impl Iterator<Item = &Member> {
        self.former.values().map(|standing| &standing.member)
    }

    /// Whether the node was a member and was removed.
    #[must_use]
    pub fn is_removed(&self, node: &NodeId) -> bool {
        self.former.contains_key(node)
    }

    /// Whether an Admit that the node writes now would make somebody a member.
    #[must_use]
    pub fn may_admit(&self, node: &NodeId) -> bool {
        *node == self.root
            || self
                .member(node)
                .is_some_and(|member| member.role == Role::Full && member.rank.len() < ADMIT_CHAIN_MAX)
    }

    /// The key that the node's entries are signed with, if it is the root, a member or a former one.
    #[must_use]
    pub fn signing_of(&self, node: &NodeId) -> Option<&[u8; 32]> {
        if *node == self.root {
            return Some(&self.root_public);
        }
        self.known(node).map(|standing| &standing.member.signing)
    }

    /// What a present or former member may do.
    #[must_use]
    pub fn role_of(&self, node: &NodeId) -> Option<Role> {
        self.known(node).map(|standing| standing.member.role)
    }

    /// Whether an entry at this place of this feed was written within its author's time as a member. True for members
    /// and the root, for former members as far as their Removes say, false for strangers.
    #[must_use]
    pub fn is_within(&self, feed: &FeedId, sequence: u64) -> bool {
        match self.former.get(&feed.node) {
            Some(former) => former.limits.get(feed).is_some_and(|limit| sequence < *limit),
            None => feed.node == self.root || self.members.contains_key(&feed.node),
        }
    }

    /// The Admit entries from the root's to the node's own, as received: what a stranger to it needs to believe it.
    /// Empty if the node is no member.
    #[must_use]
    pub fn admit_chain(&self, node: &NodeId) -> Vec<Vec<u8>> {
        let mut chain = Vec::new();
        let mut next = self.members.get(node);
        while let Some(standing) = next {
            let (feed, sequence) = &standing.admitted;
            let Some(fact) = self.fact(feed, *sequence) else { return Vec::new() };
            chain.push(fact.bytes.to_vec());
            next = self.known(&feed.node);
        }
        chain.reverse();
        chain
    }

    /// Checks Admit entries that a stranger shows, from the root's to its own, each signed by whom the one before
    /// admits. What the roster itself knows of the node prevails over what the chain says.
    ///
    /// # Errors
    /// [`FeedError::Removed`] for a node that was removed, or that a removed node admitted by an entry which is not
    /// known to be from its time as a member; [`FeedError::Chain`]; or what [`verify`] says of an entry.
    pub fn verify_chain(&self, chain: &[Vec<u8>]) -> Result<Member, FeedError> {
        if chain.is_empty() || chain.len() > ADMIT_CHAIN_MAX {
            return Err(FeedError::Chain("too few or too many entries"));
        }
        let mut author = (self.root_public, Role::Full);
        let mut rank = Vec::new();
        let mut last = None;
        for bytes in chain {
            let entry = verify(bytes, &author.0)?;
            let Body::Admit(admit) = entry.body else {
                return Err(FeedError::Chain("an entry that admits nobody"));
            };
            if author.1 != Role::Full {
                return Err(FeedError::Chain("store nodes admit nobody"));
            }
            if self.is_removed(&entry.feed.node) && !self.is_counted(&entry.feed, entry.sequence, bytes) {
                return Err(FeedError::Removed(entry.feed.node));
            }
            author = (admit.signing, admit.role);
            rank.push(entry.sequence);
            last = Some(admit);
        }
        let admit = last.ok_or(FeedError::Chain("no entry"))?;
        let node = author_of(&admit.signing);
        if self.is_removed(&node) {
            return Err(FeedError::Removed(node));
        }
        if node == self.root {
            return Err(FeedError::Chain("the root is no member"));
        }
        Ok(self.member(&node).cloned().unwrap_or(Member {
            node,
            signing: admit.signing,
            channel: admit.channel,
            role: admit.role,
            name: admit.name,
            rank,
        }))
    }

    /// Whether exactly this entry is here and within its author's time.
    fn is_counted(&self, feed: &FeedId, sequence: u64, bytes: &[u8]) -> bool {
        self.is_within(feed, sequence) && self.fact(feed, sequence).is_some_and(|fact| *fact.bytes == *bytes)
    }

    /// The fact at a place.
    fn fact(&self, feed: &FeedId, sequence: u64) -> Option<&Fact> {
        let facts = self.facts.get(feed)?;
        facts.get(facts.binary_search_by_key(&sequence, |fact| fact.sequence).ok()?)
    }

    /// A present or former member.
    fn known(&self, node: &NodeId) -> Option<&Standing> {
        self.members.get(node).or_else(|| self.former.get(node))
    }
}

/// What one pass over the facts, from low rank to high, still has before it.
struct Pass {
    /// Admits whose turn comes.
    waiting: Waiting,
    /// By the node that they let in: of those that wait the one whose author has the lowest rank, and its place there.
    seniors: BTreeMap<NodeId, (Vec<u64>, u64, FeedId, usize)>,
    /// Removes that count, by the node that they name: what each says of its feeds.
    removes: BTreeMap<NodeId, Vec<Vec<Head>>>,
}
