//! Reconciliation: two nodes find in which chunks they differ, for a cost that grows with the difference and not with the store.
//!
//! Range-based set reconciliation (A. Meyer, "Range-Based Set Reconciliation", 2022, arXiv:2212.13567; "negentropy" is a known
//! implementation for other keys): a range of ids whose fingerprints are equal on both sides is done with, any other is cut into
//! 64, until so few ids are left that they are told. Ids are hashes, so a prefix is a range and no bounds go over the wire.
//!
//! ```text
//!   initiator [`Exchange`]                              responder [`Answer`]
//!   Digest: fingerprint of all that is compared  ---->
//!                                                <----  children that differ are named by their children's fingerprints,
//!   differing children: their children, or,               or, where few are here, by their ids
//!   where few are here, short ids                ---->
//!                                                <----  ids that are here and there not, or children
//!   .. until nothing differs that was not told
//! ```
//!
//! **Fingerprint**: count and sum of the ids modulo 2^256, hashed with the exchange's salt, the first 8 bytes. The sum can be
//! kept up to date as chunks come and go, which no hash of a list can. A chance collision hides one difference with 2^-64, and in the next
//! exchange, which has another salt, not again. Whoever may choose ids freely can find sets of them with equal sums
//! (Wagner's k-tree), and so hide that *those chunks of its own* are on one side only; it cannot hide that somebody else's are. A
//! peer that lies about its fingerprint needs no such art: comparing finds damage and loss, `replicate/audit.rs` finds lies.
//!
//! **Short ids**: 8 bytes of a hash of salt and id, so that nobody can make two chunks that look alike. The responder tells whole
//! ids, for the initiator has to know what to fetch; what the *responder* lacks it learns as a number, and begins an exchange of
//! its own.
//!
//! **Bounds**: the initiator keeps at most [`RANGES_WAITING_MAX`] ranges and [`EXCHANGE_FOUND_MAX`] ids, and asks
//! [`EXCHANGE_MESSAGES_MAX`] times; what was not asked for ends the exchange. The responder keeps nothing between two messages. Which
//! of the ids matter is not known here.

mod matching;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

pub use self::matching::Survey;
use self::matching::{fingerprint, Compared, Matching, Step};
use crate::base::ids::{ChunkId, Group};
use crate::base::limits::{EXCHANGE_FOUND_MAX, EXCHANGE_MESSAGES_MAX, RANGES_WAITING_MAX};
use crate::base::ranges::{GroupTallies, IdRange};
use crate::feed::entry::GroupSet;
use crate::wire::message::range::{ExchangeId, Part, Says, Standing, GROUPS_BYTES};
use crate::wire::message::Message;

/// What a machine wants next.
#[derive(Debug)]
pub enum Next {
    /// Every id of the range that is here, in order: [`Survey::take`], then `surveyed`.
    Survey(Survey),
    /// To be sent to the peer.
    Say(Message),
    /// The peer's answer.
    Wait,
    /// Nothing more.
    Over,
}

/// The side that asks.
#[derive(Debug)]
pub struct Exchange {
    /// What is compared.
    matching: Matching,
    /// Ranges of the message whose answer is awaited.
    asked: BTreeMap<IdRange, Asked>,
    /// The Digest, until it is sent.
    opening: Option<Message>,
    /// Messages asked so far.
    asked_count: usize,
    /// Ids that the peer has and that may not be here.
    found: BTreeSet<ChunkId>,
    /// How it ended.
    ended: Option<Ended>,
    /// Not all that differs was told.
    cut: bool,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All differences were told.
    Whole,
    /// More differs than one exchange tells.
    Cut,
    /// The peer does not compare now.
    Refused,
    /// The peer said what was not asked, or what cannot be.
    Nonsense,
}

/// What was asked about a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Which of its children differ.
    Children,
    /// What of it is not among these ids.
    Shorts,
}

impl Exchange {
    /// Compares `groups`, in which `tallies` are here. `id` is drawn at random.
    #[must_use]
    pub fn new(id: ExchangeId, groups: GroupSet, tallies: Rc<GroupTallies>) -> Self {
        let matching = Matching::new(id, groups, tallies, true);
        let all = matching.tally(IdRange::ALL);
        let opening = Message::Digest {
            exchange: id,
            groups: bitmap(matching.groups()),
            count: all.count(),
            fingerprint: fingerprint(&id, &all),
        };
        Self {
            matching,
            asked: BTreeMap::from([(IdRange::ALL, Asked::Shorts)]),
            opening: Some(opening),
            asked_count: 0,
            found: BTreeSet::new(),
            ended: None,
            cut: false,
        }
    }

    /// What it wants next.
    pub fn poll(&mut self) -> Next {
        if let Some(opening) = self.opening.take() {
            self.asked_count += 1;
            return Next::Say(opening);
        }
        if self.ended.is_some() {
            return Next::Over;
        }
        if !self.asked.is_empty() {
            return Next::Wait;
        }
        match self.matching.step() {
            Step::Survey(survey) => Next::Survey(survey),
            Step::Parts(_) if self.asked_count >= EXCHANGE_MESSAGES_MAX => self.end(Ended::Cut),
            Step::Parts(parts) => {
                self.asked_count += 1;
                self.asked = parts.iter().map(asked).collect();
                Next::Say(Message::Range { exchange: self.matching.id(), standing: Standing::Whole, parts })
            }
            Step::Done => self.end(if self.cut { Ended::Cut } else { Ended::Whole }),
        }
    }

    /// What is here of the range that was asked for.
    pub fn surveyed(&mut self, survey: Survey) {
        self.matching.surveyed(survey);
    }

    /// The peer answered. False: that was no answer to this exchange, and changes nothing.
    pub fn answered(&mut self, exchange: &ExchangeId, standing: Standing, parts: Vec<Part>) -> bool {
        if *exchange != self.matching.id() || self.asked.is_empty() || self.opening.is_some() {
            return false;
        }
        let asked = std::mem::take(&mut self.asked);
        let mut seen = BTreeSet::new();
        for part in parts {
            if !is_answer(&asked, &part) || !seen.insert(part.range) {
                self.end(Ended::Nonsense);
                return true;
            }
            match part.says {
                Says::Ids(ids) => self.found(part.range, &ids),
                Says::Children(children) if self.matching.waiting() < RANGES_WAITING_MAX => {
                    self.matching.compare(Compared::Children(part.range, children));
                }
                Says::Children(_) | Says::Shorts(_) => self.cut = true,
            }
        }
        match standing {
            Standing::Whole => {}
            Standing::Cut => self.cut = true,
            Standing::Refused => {
                self.end(Ended::Refused);
            }
        }
        true
    }

    /// The peer has these.
    fn found(&mut self, range: IdRange, ids: &[ChunkId]) {
        let groups = self.matching.groups();
        let is_right = |id: &ChunkId| range.contains(id) && groups.contains(Group::of(id));
        if !ids.is_sorted_by(|one, other| one < other) || !ids.iter().all(is_right) {
            self.end(Ended::Nonsense);
            return;
        }
        for id in ids {
            if self.found.len() >= EXCHANGE_FOUND_MAX {
                self.cut = true;
                return;
            }
            self.found.insert(*id);
        }
    }

    /// It is over.
    fn end(&mut self, ended: Ended) -> Next {
        self.ended.get_or_insert(ended);
        self.asked.clear();
        Next::Over
    }

    /// How it ended, once it has.
    #[must_use]
    pub const fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// Messages asked so far; each is a round trip.
    #[must_use]
    pub const fn asked_count(&self) -> usize {
        self.asked_count
    }

    /// What the peer has and may be missing here; some of it may be here.
    #[must_use]
    pub fn into_found(self) -> Vec<ChunkId> {
        self.found.into_iter().collect()
    }
}

/// The side that answers: one for each message, nothing is kept between two.
#[derive(Debug)]
pub struct Answer {
    /// What is compared.
    matching: Matching,
    /// The answer was given.
    is_over: bool,
}

impl Answer {
    /// The answer to a Digest.
    #[must_use]
    pub fn to_digest(id: ExchangeId, groups: &[u8], theirs: [u8; 8], tallies: Rc<GroupTallies>) -> Self {
        let mut matching = Matching::new(id, groups_of(groups), tallies, false);
        if fingerprint(&id, &matching.tally(IdRange::ALL)) != theirs {
            matching.compare(Compared::Differs(IdRange::ALL));
        }
        Self { matching, is_over: false }
    }

    /// The answer to a Range; `groups` are those that the exchange was opened with.
    #[must_use]
    pub fn to_range(id: ExchangeId, groups: GroupSet, parts: Vec<Part>, tallies: Rc<GroupTallies>) -> Self {
        let mut matching = Matching::new(id, groups, tallies, false);
        for Part { range, says } in parts {
            match says {
                Says::Children(children) => matching.compare(Compared::Children(range, children)),
                Says::Shorts(shorts) => matching.compare(Compared::Shorts(range, shorts)),
                // An initiator has no reason to name whole ids.
                Says::Ids(_) => {}
            }
        }
        Self { matching, is_over: false }
    }

    /// What it wants next; never [`Next::Wait`].
    pub fn poll(&mut self) -> Next {
        if self.is_over {
            return Next::Over;
        }
        let parts = match self.matching.step() {
            Step::Survey(survey) => return Next::Survey(survey),
            Step::Parts(parts) => parts,
            Step::Done => Vec::new(),
        };
        self.is_over = true;
        let standing = if self.matching.waiting() > 0 { Standing::Cut } else { Standing::Whole };
        Next::Say(Message::Range { exchange: self.matching.id(), standing, parts })
    }

    /// What is here of the range that was asked for.
    pub fn surveyed(&mut self, survey: Survey) {
        self.matching.surveyed(survey);
    }

    /// Ids that the initiator has and that are not here.
    #[must_use]
    pub const fn lacking(&self) -> u64 {
        self.matching.lacking()
    }
}

/// What a part asks.
fn asked(part: &Part) -> (IdRange, Asked) {
    let asked = if matches!(part.says, Says::Shorts(_)) { Asked::Shorts } else { Asked::Children };
    (part.range, asked)
}

/// Whether a part answers what was asked: about the range itself where its ids were told, else about one of its children.
fn is_answer(asked: &BTreeMap<IdRange, Asked>, part: &Part) -> bool {
    let parent = part.range.parent().and_then(|parent| asked.get(&parent));
    let is_asked = asked.get(&part.range) == Some(&Asked::Shorts) || parent == Some(&Asked::Children);
    is_asked && !matches!(part.says, Says::Shorts(_))
}

/// Groups as a Digest names them.
#[must_use]
pub fn bitmap(groups: &GroupSet) -> Vec<u8> {
    if groups.is_all() {
        return Vec::new();
    }
    let mut bytes = vec![0; GROUPS_BYTES];
    for group in groups.iter() {
        bytes[usize::from(group.number() / 8)] |= 1 << (group.number() % 8);
    }
    bytes
}

/// The groups that a Digest names.
#[must_use]
pub fn groups_of(bitmap: &[u8]) -> GroupSet {
    if bitmap.is_empty() {
        return GroupSet::all();
    }
    let has = |group: &Group| {
        let byte = bitmap.get(usize::from(group.number() / 8)).copied().unwrap_or(0);
        byte >> (group.number() % 8) & 1 == 1
    };
    Group::all().filter(has).collect()
}

#[cfg(test)]
mod tests;
