//! Placing: who holds what, as this node's feeds tell it. The placement is worked out when it is asked for and kept until a
//! member comes, goes, moves, is full, or offers more or less (`View::seats_version`).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::member::Membership;
use crate::base::ids::NodeId;
use crate::base::limits::PLACEMENTS_KEPT_MAX;
use crate::base::units::Copies;
use crate::feed::entry::GroupSet;
use crate::replicate::place::{Placement, Seat};

/// What was worked out.
#[derive(Debug, Default)]
pub struct Placing {
    /// By number of copies; the oldest words are forgotten together when they no longer hold.
    kept: RefCell<Kept>,
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
        let placement = Rc::new(Placement::new(&kept.seats, copies));
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

    /// The groups that a member shall hold of what wants `copies`.
    #[must_use]
    pub fn groups_of(&self, node: &NodeId, copies: Copies) -> GroupSet {
        self.placement(copies).groups_of(node)
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
                is_full: describe.is_full,
            })
        };
        self.view.roster().members().filter_map(|member| seat(&member.node)).collect()
    }
}
