//! What both sides of a reconciliation do with a range: cut it, compare it, tell it.
//!
//! Owns the order of work (one range at a time, one message at a time) and the rule when ids are told instead of
//! fingerprints. Down to the placement groups everything is known from the store's tallies; below, a range is read ([`Survey`]).

use core::cmp::Ordering;
use std::collections::{BTreeSet, VecDeque};
use std::rc::Rc;

use crate::base::ids::{ChunkId, Group};
use crate::base::limits::{RANGE_IDS_MAX, RANGE_PARTS_MAX, RANGE_SHORTS_MAX, RANGE_WHOLE_MAX};
use crate::base::ranges::{GroupTallies, IdRange, Tally};
use crate::feed::entry::GroupSet;
use crate::wire::message::range::{ExchangeId, Part, Says, Short};

/// What is here of a range, read from the index.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Which range.
    range: IdRange,
    /// Only ids of these groups count.
    groups: GroupSet,
    /// What the ids of each child add up to.
    children: Vec<Tally>,
    /// All of them together.
    count: u64,
    /// The first ids.
    ids: Vec<ChunkId>,
}

impl Survey {
    /// Which range.
    #[must_use]
    pub const fn range(&self) -> IdRange {
        self.range
    }

    /// Takes the next ids in order. False: they go beyond the range, so all of it is known.
    pub fn take(&mut self, ids: impl Iterator<Item = ChunkId>) -> bool {
        for id in ids {
            if !self.range.contains(&id) {
                return false;
            }
            if !self.groups.contains(Group::of(&id)) {
                continue;
            }
            self.children[self.range.place_of(&id)].add(&id);
            self.count += 1;
            if self.ids.len() < RANGE_IDS_MAX {
                self.ids.push(id);
            }
        }
        true
    }

    /// Whether there are at most so many ids.
    fn has_at_most(&self, ids: usize) -> bool {
        u64::try_from(ids).is_ok_and(|ids| self.count <= ids)
    }
}

/// What the other side said of a range.
#[derive(Debug)]
pub(super) enum Compared {
    /// Its fingerprint is another one.
    Differs(IdRange),
    /// These are the fingerprints of its children.
    Children(IdRange, Box<[Short; IdRange::CHILDREN]>),
    /// These are all its ids.
    Shorts(IdRange, Vec<Short>),
}

impl Compared {
    /// Which range.
    const fn range(&self) -> IdRange {
        match self {
            Self::Differs(range) | Self::Children(range, _) | Self::Shorts(range, _) => *range,
        }
    }
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Step {
    /// A range is to be read.
    Survey(Survey),
    /// A message is full, or all is said; not empty.
    Parts(Vec<Part>),
    /// Nothing differs.
    Done,
}

/// The work of one side.
#[derive(Debug)]
pub(super) struct Matching {
    /// The exchange, which is its salt.
    id: ExchangeId,
    /// Only ids of these groups count.
    groups: GroupSet,
    /// What is here, by group.
    tallies: Rc<GroupTallies>,
    /// This side asks.
    asks: bool,
    /// What was said of ranges and is not compared yet.
    todo: VecDeque<Compared>,
    /// What is here of the first of them.
    survey: Option<Survey>,
    /// What is to be said.
    parts: Vec<Part>,
    /// Ids that the other side has and this one has not.
    lacking: u64,
}

impl Matching {
    /// Nothing was said yet.
    pub(super) fn new(id: ExchangeId, groups: GroupSet, tallies: Rc<GroupTallies>, asks: bool) -> Self {
        Self { id, groups, tallies, asks, todo: VecDeque::new(), survey: None, parts: Vec::new(), lacking: 0 }
    }

    /// The exchange.
    pub(super) const fn id(&self) -> ExchangeId {
        self.id
    }

    /// What is compared.
    pub(super) const fn groups(&self) -> &GroupSet {
        &self.groups
    }

    /// Ranges that wait.
    pub(super) fn waiting(&self) -> usize {
        self.todo.len()
    }

    /// Ids that the other side has told and that are not here.
    pub(super) const fn lacking(&self) -> u64 {
        self.lacking
    }

    /// The other side has said something of a range.
    pub(super) fn compare(&mut self, said: Compared) {
        self.todo.push_back(said);
    }

    /// What is here of the range that was asked for.
    pub(super) fn surveyed(&mut self, survey: Survey) {
        self.survey = Some(survey);
    }

    /// Goes on until a range has to be read, a message is full, or nothing is left.
    pub(super) fn step(&mut self) -> Step {
        while self.parts.len() < RANGE_PARTS_MAX {
            let Some(said) = self.todo.pop_front() else { break };
            let range = said.range();
            let survey = self.survey.take().filter(|survey| survey.range == range);
            if survey.is_none() && self.must_read(&said) {
                self.todo.push_front(said);
                return Step::Survey(self.empty_survey(range));
            }
            match said {
                Compared::Differs(range) => self.tell(range, survey.as_ref()),
                Compared::Children(range, theirs) => self.descend(range, &theirs, survey.as_ref()),
                Compared::Shorts(range, theirs) => self.match_ids(range, theirs, survey.as_ref()),
            }
        }
        if self.parts.is_empty() {
            Step::Done
        } else {
            Step::Parts(std::mem::take(&mut self.parts))
        }
    }

    /// What the ids of a range add up to, down to the level of the groups.
    pub(super) fn tally(&self, range: IdRange) -> Tally {
        let mut sum = Tally::default();
        let groups = range.groups().into_iter().flatten().filter_map(Group::new);
        for group in groups.filter(|group| self.groups.contains(*group)) {
            sum.join(self.tallies.group(group));
        }
        sum
    }

    /// Whether the range is to be read. Above the groups only where that is short: nobody can have the whole index read.
    fn must_read(&self, said: &Compared) -> bool {
        let range = said.range();
        let is_short = |ids: usize| u64::try_from(ids).is_ok_and(|ids| self.here(range) <= ids);
        match (said, range.level().cmp(&IdRange::GROUP_LEVEL)) {
            (Compared::Shorts(..), Ordering::Greater) => true,
            (Compared::Shorts(..), _) => is_short(RANGE_IDS_MAX),
            (Compared::Differs(_), Ordering::Less) => is_short(self.told_max()),
            (Compared::Children(..), Ordering::Less) => false,
            (_, _) => true,
        }
    }

    /// Ids here in a range, whether their groups count or not.
    fn here(&self, range: IdRange) -> u64 {
        let groups = range.groups().into_iter().flatten().filter_map(Group::new);
        groups.map(|group| self.tallies.group(group).count()).sum()
    }

    /// Nothing was read of a range.
    fn empty_survey(&self, range: IdRange) -> Survey {
        let children = vec![Tally::default(); IdRange::CHILDREN];
        Survey { range, groups: self.groups.clone(), children, count: 0, ids: Vec::new() }
    }

    /// How many ids of a range are told instead of fingerprints.
    const fn told_max(&self) -> usize {
        if self.asks {
            RANGE_SHORTS_MAX
        } else {
            RANGE_WHOLE_MAX
        }
    }

    /// Tells a range that differs.
    fn tell(&mut self, range: IdRange, survey: Option<&Survey>) {
        let says = match survey {
            Some(survey) if survey.has_at_most(self.told_max()) && self.asks => {
                Says::Shorts(survey.ids.iter().map(|id| short(&self.id, id)).collect())
            }
            Some(survey) if survey.has_at_most(self.told_max()) => Says::Ids(survey.ids.clone()),
            _ => self.children(range, survey),
        };
        self.parts.push(Part { range, says });
    }

    /// The fingerprints of the children of a range.
    fn children(&self, range: IdRange, survey: Option<&Survey>) -> Says {
        let mut shorts = Box::new([[0; 8]; IdRange::CHILDREN]);
        for (place, short) in shorts.iter_mut().enumerate() {
            *short = fingerprint(&self.id, &self.child_tally(range, place, survey));
        }
        Says::Children(shorts)
    }

    /// What the ids of a child add up to.
    fn child_tally(&self, range: IdRange, place: usize, survey: Option<&Survey>) -> Tally {
        match survey {
            Some(survey) => survey.children.get(place).copied().unwrap_or_default(),
            None => range.child(place).map(|child| self.tally(child)).unwrap_or_default(),
        }
    }

    /// Compares the children of a range; those that differ are looked at next.
    fn descend(&mut self, range: IdRange, theirs: &[Short; IdRange::CHILDREN], survey: Option<&Survey>) {
        for (place, theirs) in theirs.iter().enumerate().rev() {
            let own = self.child_tally(range, place, survey);
            let child = range.child(place).filter(|_| fingerprint(&self.id, &own) != *theirs);
            if let Some(child) = child {
                self.todo.push_front(Compared::Differs(child));
            }
        }
    }

    /// Tells what is here of a range and not among `theirs`.
    fn match_ids(&mut self, range: IdRange, theirs: Vec<Short>, survey: Option<&Survey>) {
        let Some(survey) = survey.filter(|survey| survey.has_at_most(RANGE_IDS_MAX)) else {
            let says = self.children(range, survey);
            self.parts.push(Part { range, says });
            return;
        };
        let mut theirs: BTreeSet<Short> = theirs.into_iter().collect();
        let mut ids = survey.ids.clone();
        ids.retain(|id| !theirs.remove(&short(&self.id, id)));
        self.lacking += u64::try_from(theirs.len()).unwrap_or(0);
        if !ids.is_empty() {
            self.parts.push(Part { range, says: Says::Ids(ids) });
        }
    }
}

/// The fingerprint of what adds up to `tally`.
pub(super) fn fingerprint(id: &ExchangeId, tally: &Tally) -> Short {
    let mut hasher = blake3::Hasher::new_derive_key("nuthatch 2026 range fingerprint v1");
    hasher.update(id).update(&tally.count().to_le_bytes()).update(&tally.sum());
    cut(&hasher)
}

/// The short form of an id.
fn short(id: &ExchangeId, chunk: &ChunkId) -> Short {
    let mut hasher = blake3::Hasher::new_derive_key("nuthatch 2026 short chunk id v1");
    hasher.update(id).update(chunk.as_bytes());
    cut(&hasher)
}

/// The first bytes of a hash.
fn cut(hasher: &blake3::Hasher) -> Short {
    let mut short = Short::default();
    hasher.finalize_xof().fill(&mut short);
    short
}
