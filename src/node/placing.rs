//! Placing: who holds what, as this node's feeds tell it. The placement is worked out when it is asked for and kept until a
//! member comes, goes, moves, is full, or offers more or less (`View::seats_version`).
//!
//! Two questions are kept apart. *Placement* ([`Membership::groups_of`]) is the same on every machine: what is compared, proven
//! and called a member's own goes by it. What a member *shall keep* ([`Membership::kept_groups_of`]) is that and what it stands
//! in for, while this node believes others to be away (`node/around.rs`).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::member::Membership;
use crate::base::ids::NodeId;
use crate::base::limits::PLACEMENTS_KEPT_MAX;
use crate::base::units::Copies;
use crate::feed::entry::GroupSet;
use crate::replicate::place::{Placement, Seat};
use crate::replicate::stand_in;

/// What was worked out.
#[derive(Debug, Default)]
pub struct Placing {
    /// By number of copies; the oldest words are forgotten together when they no longer hold.
    kept: RefCell<Kept>,
    /// Who is planned around.
    away: BTreeSet<NodeId>,
    /// How often that has changed.
    away_changes: u64,
}

/// See [`Placing`].
#[derive(Debug, Default)]
struct Kept {
    /// What the view had seen when the seats were read.
    version: Option<u64>,
    /// What the members said.
    seats: Vec<Seat>,
    /// Placements, for a few numbers of copies.
    placements: BTreeMap<Copies, Rc<Placement>>,
    /// This node's groups, for every number of copies that was asked for.
    own: BTreeMap<Copies, GroupSet>,
    /// The placements without those who are away.
    around: BTreeMap<Copies, Rc<Placement>>,
    /// What this node shall keep, for every number of copies that was asked for.
    own_kept: BTreeMap<Copies, GroupSet>,
    /// What it would hold were it not full, likewise.
    own_if_not_full: BTreeMap<Copies, GroupSet>,
}

impl Placing {
    /// These are planned around from now on. False if that is nothing new.
    pub fn plan_around(&mut self, away: BTreeSet<NodeId>) -> bool {
        if away == self.away {
            return false;
        }
        self.away = away;
        self.away_changes += 1;
        let kept = self.kept.get_mut();
        kept.around.clear();
        kept.own_kept.clear();
        true
    }

    /// Who is planned around.
    #[must_use]
    pub const fn away(&self) -> &BTreeSet<NodeId> {
        &self.away
    }
}

impl Membership {
    /// Who holds what of what wants `copies`.
    #[must_use]
    pub fn placement(&self, copies: Copies) -> Rc<Placement> {
        let mut kept = self.placing.kept.borrow_mut();
        self.refresh(&mut kept);
        if let Some(placement) = kept.placements.get(&copies) {
            return Rc::clone(placement);
        }
        let placement = work_out(&kept.seats, copies);
        if kept.placements.len() >= PLACEMENTS_KEPT_MAX {
            kept.placements.pop_last();
        }
        kept.placements.insert(copies, Rc::clone(&placement));
        placement
    }

    /// The groups that this node shall hold of what wants `copies`.
    #[must_use]
    pub fn own_groups(&self, copies: Copies) -> GroupSet {
        {
            let mut kept = self.placing.kept.borrow_mut();
            self.refresh(&mut kept);
            if let Some(groups) = kept.own.get(&copies) {
                return groups.clone();
            }
        }
        let groups = self.groups_of(&self.node, copies);
        self.placing.kept.borrow_mut().own.insert(copies, groups.clone());
        groups
    }

    /// Whether this node takes nothing more: it has said that it is full, or it is to leave.
    #[must_use]
    pub fn takes_no_more(&self) -> bool {
        let is_full = self.view.describe(&self.node).is_some_and(|said| said.is_full);
        is_full || self.view.leaving(&self.node).is_some()
    }

    /// The groups that a member shall hold of what wants `copies`.
    #[must_use]
    pub fn groups_of(&self, node: &NodeId, copies: Copies) -> GroupSet {
        self.placement(copies).groups_of(node)
    }

    /// The groups that this node shall keep of what wants `copies`: its own, and those for which it stands in.
    #[must_use]
    pub fn own_kept_groups(&self, copies: Copies) -> GroupSet {
        {
            let mut kept = self.placing.kept.borrow_mut();
            self.refresh(&mut kept);
            if let Some(groups) = kept.own_kept.get(&copies) {
                return groups.clone();
            }
        }
        let groups = self.kept_groups_of(&self.node, copies);
        self.placing.kept.borrow_mut().own_kept.insert(copies, groups.clone());
        groups
    }

    /// The groups that a member shall keep of what wants `copies`, by what this node believes of who is away.
    #[must_use]
    pub fn kept_groups_of(&self, node: &NodeId, copies: Copies) -> GroupSet {
        let base = self.placement(copies);
        let mut groups = base.groups_of(node);
        if !self.placing.away.is_empty() {
            let around = self.around(copies);
            groups.union(&stand_in::groups(&base, &around, &self.placing.away, node));
        }
        groups
    }

    /// The groups that this node shall hold, or would, were it not full: what it is not to give up merely for being full.
    #[must_use]
    pub fn own_groups_if_not_full(&self, copies: Copies) -> GroupSet {
        let mut kept = self.placing.kept.borrow_mut();
        self.refresh(&mut kept);
        if let Some(groups) = kept.own_if_not_full.get(&copies) {
            return groups.clone();
        }
        let mut seats = kept.seats.clone();
        let Some(own) = seats.iter_mut().find(|seat| seat.node == self.node && seat.is_full) else {
            drop(kept);
            return self.own_groups(copies);
        };
        own.is_full = false;
        let groups = Placement::new(&seats, copies).groups_of(&self.node);
        kept.own_if_not_full.insert(copies, groups.clone());
        groups
    }

    /// The placement without those who are away.
    fn around(&self, copies: Copies) -> Rc<Placement> {
        let mut kept = self.placing.kept.borrow_mut();
        self.refresh(&mut kept);
        if let Some(placement) = kept.around.get(&copies) {
            return Rc::clone(placement);
        }
        let placement = Rc::new(stand_in::around(&kept.seats, &self.placing.away, copies));
        if kept.around.len() >= PLACEMENTS_KEPT_MAX {
            kept.around.pop_last();
        }
        kept.around.insert(copies, Rc::clone(&placement));
        placement
    }

    /// Another number after everything that may change what anybody shall keep.
    #[must_use]
    pub const fn placing_version(&self) -> u64 {
        self.view.seats_version() + self.placing.away_changes
    }

    /// Members that offer to hold anything.
    #[must_use]
    pub fn holders(&self) -> BTreeSet<NodeId> {
        let mut kept = self.placing.kept.borrow_mut();
        self.refresh(&mut kept);
        kept.seats.iter().filter(|seat| seat.capacity_bytes > 0).map(|seat| seat.node).collect()
    }

    /// Where members stand, as far as they have said it.
    pub fn sites(&self) -> impl Iterator<Item = &str> {
        let said = self.view.roster().members().filter_map(|member| self.view.describe(&member.node));
        said.map(|said| said.site.as_str()).filter(|site| !site.is_empty())
    }

    /// Forgets what was worked out if the members have said anything else since.
    fn refresh(&self, kept: &mut Kept) {
        let version = self.view.seats_version();
        if kept.version == Some(version) {
            return;
        }
        kept.version = Some(version);
        let seats = self.seats();
        if seats != kept.seats {
            *kept = Kept { version: Some(version), seats, ..Kept::default() };
        }
    }

    /// What the members say of themselves; one that has said nothing yet holds nothing.
    fn seats(&self) -> Vec<Seat> {
        let seat = |node: &NodeId| {
            let describe = self.view.describe(node)?;
            Some(Seat {
                node: *node,
                site: describe.site.clone(),
                capacity_bytes: describe.capacity_bytes,
                is_full: describe.is_full || self.view.leaving(node).is_some(),
            })
        };
        self.view.roster().members().filter_map(|member| seat(&member.node)).collect()
    }
}

/// Works a placement out.
#[cfg(not(test))]
fn work_out(seats: &[Seat], copies: Copies) -> Rc<Placement> {
    Rc::new(Placement::new(seats, copies))
}

/// The same, and nodes that are simulated in one thread work it out once for all of them: it follows from what the members say alone.
#[cfg(test)]
fn work_out(seats: &[Seat], copies: Copies) -> Rc<Placement> {
    type Known = std::collections::VecDeque<(Vec<Seat>, Copies, Rc<Placement>)>;
    thread_local! {
        static KNOWN: RefCell<Known> = const { RefCell::new(Known::new()) };
    }
    KNOWN.with_borrow_mut(|known| {
        let same = known.iter().find(|(before, wanted, _)| *wanted == copies && before == seats);
        if let Some((_, _, placement)) = same {
            return Rc::clone(placement);
        }
        if known.len() >= 16 {
            known.pop_front();
        }
        let placement = Rc::new(Placement::new(seats, copies));
        known.push_back((seats.to_vec(), copies, Rc::clone(&placement)));
        placement
    })
}
