//! The roots of a pass of collection (`node/marking.rs`): every manifest whose chunks stay.

use crate::base::ids::{ChunkId, SnapshotId};
use crate::node::after::AfterSave;
use crate::node::collect::Settings;
use crate::node::core::Core;
use crate::node::drafts::Draft;
use crate::node::keep::pin_key;
use crate::node::marking::Root;

impl Core {
    /// Every manifest whose chunks stay: what is pinned, drafts, and what stands in the feeds. Of what others wrote and stands, groups
    /// may have been moved.
    pub(in crate::node) fn roots(&self) -> Vec<Root> {
        let pins = self.upkeep.collect.pins().iter();
        let pinned = pins.map(|(id, pin)| Root {
            manifest: pin.manifest,
            pinned: self.may_count_on(id),
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

    /// Own snapshots that others have copies of, and that came back from them (this disk was put back to an older image): which, and
    /// their manifests.
    pub(in crate::node) fn returned(&self) -> Vec<(SnapshotId, ChunkId)> {
        let Some(member) = &self.member else { return Vec::new() };
        let pins = self.upkeep.collect.pins();
        let is_elsewhere =
            |id: &SnapshotId| member.view.receipts(id).any(|(holder, _)| holder != member.node);
        let own = member.view.snapshots().filter(|fact| fact.writer == member.node);
        let returned = own.filter(|fact| !pins.contains_key(&fact.id) && is_elsewhere(&fact.id));
        returned.map(|fact| (fact.id, fact.entry.manifest)).collect()
    }

    /// They are pinned like those that are written now. Everything was looked through, and all of them is here: what is pinned counts as held.
    pub(in crate::node) fn pin_returned(&mut self, returned: Vec<(SnapshotId, ChunkId)>) {
        let mut settings = Settings::new();
        for (id, manifest) in returned {
            self.upkeep.collect.pin(id, manifest);
            settings.push((pin_key(&id), Some(manifest.as_bytes().to_vec())));
        }
        self.save(settings, AfterSave::Nothing);
    }

    /// The manifests of what is pinned here and counted on: of what is still being fetched nothing can be missing.
    pub(in crate::node) fn pins_that_count(&self) -> Vec<ChunkId> {
        let pins = self.upkeep.collect.pins().iter().filter(|(id, _)| self.may_count_on(id));
        pins.map(|(_, pin)| pin.manifest).collect()
    }

    /// Whether anybody may count on what is pinned here for a snapshot. Of what is still being fetched nobody does, nor of what is void (its
    /// writer was removed by somebody who had not heard of it): of a list that nobody has (its writer burned down before, or never made
    /// it) as much stays as is here, and the pass goes on.
    fn may_count_on(&self, snapshot: &SnapshotId) -> bool {
        let Some(member) = &self.member else { return true };
        member.view.snapshot(snapshot).is_some_and(|fact| {
            let mut receipts = member.view.receipts(snapshot);
            fact.writer == member.node || receipts.any(|(holder, _)| holder == member.node)
        })
    }
}
