//! The roots of a pass of collection (`node/marking.rs`): every manifest whose chunks stay.

use crate::node::core::Core;
use crate::node::drafts::Draft;
use crate::node::marking::Root;

impl Core {
    /// Every manifest whose chunks stay: what is pinned, drafts, and what stands in the feeds. Of what others wrote and stands, groups
    /// may have been moved.
    pub(in crate::node) fn roots(&self) -> Vec<Root> {
        let pins = self.upkeep.collect.pins().iter();
        let pinned = pins.map(|(id, pin)| Root {
            manifest: pin.manifest,
            pinned: true,
            whole: !self.may_be_moved(id),
        });
        let drafts = self.folders.drafts.iter().map(Draft::manifest);
        let drafts = drafts.map(|manifest| Root { manifest, pinned: true, whole: true });
        let standing = self.member.iter().flat_map(|member| member.view.snapshots());
        let standing = standing.map(|fact| Root {
            manifest: fact.entry.manifest,
            pinned: false,
            whole: !self.may_be_moved(&fact.id),
        });
        let mut roots: Vec<Root> = pinned.chain(drafts).chain(standing).collect();
        // Of equal manifests one stays, and is what any of them is.
        roots.sort_unstable_by_key(|root| root.manifest);
        roots.dedup_by(|one, kept| {
            let is_equal = one.manifest == kept.manifest;
            if is_equal {
                (kept.pinned, kept.whole) = (kept.pinned || one.pinned, kept.whole || one.whole);
            }
            is_equal
        });
        roots
    }
}
