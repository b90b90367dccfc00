//! What this node and a peer are both to hold: the ground on which they can be compared, and asked for proof.
//!
//! Nodes of manifests outside of these groups are kept by every storer too, and are not compared: the walk that needs one fetches it.
//! Owns no state. Placement is `replicate/place.rs`'s, receipts are the feeds'.

use super::core::Core;
use crate::base::ids::NodeId;
use crate::base::units::Copies;
use crate::feed::entry::GroupSet;

impl Core {
    /// The groups that both this node and the peer are to hold of everything of which either is to hold them; None: there are none.
    pub(super) fn common_groups(&self, peer: &NodeId) -> Option<GroupSet> {
        let member = self.member.as_ref().filter(|member| member.confirmed)?;
        member.view.roster().member(peer)?;
        let mut copies: Vec<Copies> = member.view.snapshots().map(|fact| fact.entry.copies).collect();
        copies.sort_unstable();
        copies.dedup();
        let mut common: Option<GroupSet> = None;
        let mut apart = GroupSet::new();
        for copies in copies {
            let (own, theirs) = (member.own_groups(copies), member.groups_of(peer, copies));
            let mut both = own.clone();
            both.union(&theirs);
            let (mut own_only, mut theirs_only) = (own, theirs.clone());
            own_only.subtract(&theirs);
            theirs_only.subtract(&member.own_groups(copies));
            apart.union(&own_only);
            apart.union(&theirs_only);
            match &mut common {
                Some(common) => common.union(&both),
                None => common = Some(both),
            }
        }
        let mut common = common?;
        common.subtract(&apart);
        Some(common).filter(|common| !common.is_empty())
    }

    /// The groups in which a peer has promised something that this node has promised too, or written; None: it has promised nothing.
    pub(super) fn promised_to_both(&self, peer: &NodeId) -> Option<GroupSet> {
        let member = self.member.as_ref().filter(|member| member.confirmed)?;
        let mut both: Option<GroupSet> = None;
        for fact in member.view.snapshots() {
            let of = |node: &NodeId| {
                let mut receipts = member.view.receipts(&fact.id);
                receipts.find(|(by, _)| by == node).map(|(_, groups)| groups.clone())
            };
            let Some(mut groups) = of(peer) else { continue };
            if fact.writer != member.node {
                groups.intersect(&of(&member.node).unwrap_or_default());
            }
            both.get_or_insert_default().union(&groups);
        }
        both
    }

    /// Whether a member has promised anything of what this node has promised or written.
    pub(super) fn has_promised_with(&self, peer: &NodeId) -> bool {
        let Some(member) = &self.member else { return false };
        member.view.snapshots().any(|fact| {
            let of = |node: &NodeId| member.view.receipts(&fact.id).find(|(by, _)| by == node);
            of(peer).is_some_and(|(_, theirs)| {
                let is_own = fact.writer == member.node && !theirs.is_empty();
                is_own || of(&member.node).is_some_and(|(_, own)| own.meets(theirs))
            })
        })
    }

    /// Whether this node and the peer have receipted all that both are to hold: before that there is nothing to compare.
    pub(super) fn is_level(&self, peer: &NodeId) -> bool {
        let Some(member) = &self.member else { return false };
        member.view.snapshots().all(|fact| {
            [member.node, *peer].iter().filter(|node| **node != fact.writer).all(|node| {
                let mut wanted = member.groups_of(node, fact.entry.copies);
                let mut receipts = member.view.receipts(&fact.id);
                if let Some((_, held)) = receipts.find(|(by, _)| by == node) {
                    wanted.subtract(held);
                }
                wanted.is_empty()
            })
        })
    }
}

#[cfg(test)]
impl Core {
    /// Tests: a member gone bad says something.
    pub(crate) fn say_anything(
        &mut self,
        moment: crate::base::units::Moment,
        to: &NodeId,
        message: &crate::wire::message::Message,
    ) {
        self.now = moment;
        self.send(to, crate::wire::frame::Lane::Background, message);
    }

    /// Tests: a program that claims what it has not got, or one that is honest again.
    pub(crate) fn claim_falsely(&mut self, lies: bool) {
        self.reconciling.auditing.claim_falsely(lies);
    }
}
