//! People's edits in a merge: they come behind what other devices have made, and what follows where there is no directory.

use super::{Applied, Edit, EditPass, Edited, Merge, MergeEnd, Merging, Sealer, State, Taken};
use crate::file::map::MapBuilder;
use crate::node::edit::Act;
use crate::node::merge_pass::finish;
use crate::node::outcome::Report;
use crate::node::sink::Out;

impl Merging {
    /// Begins to put people's edits into the tree, or goes on to the disk.
    pub(super) fn edit(&mut self) {
        let edits = std::mem::take(&mut self.job.edits);
        if edits.is_empty() {
            return match self.job.root.clone() {
                Some(root) => self.apply(root),
                // Others' changes are merged by those who have a directory.
                None => self.nothing_changed(),
            };
        }
        let manifest = |edit: &Edit| match &edit.act {
            Act::Put { manifest, .. } => *manifest,
            Act::Remove { .. } | Act::Transfer { .. } => None,
        };
        self.put = edits.iter().filter_map(manifest).collect();
        let pass = EditPass::new(self.job.map_key, self.tree, edits, self.job.feed);
        self.state = State::Edit(Box::new(pass));
    }

    /// The tree has them.
    pub(super) fn edits_are_in(&mut self, edited: Edited, sealer: &mut Sealer) {
        let (counts, written) = (edited.counts, edited.written);
        self.edited = Some(edited);
        if let Some(root) = self.job.root.clone() {
            return self.apply(root);
        }
        if !written {
            return self.nothing_changed();
        }
        let mut out = Out { sealer, sink: &mut self.sink };
        let Some(root) = finish(MapBuilder::new(&self.job.map_key), &mut out) else { return };
        let report = Report::default();
        self.list(Box::new(Applied { counts, report, ..Applied::nothing(root) }));
    }

    /// Begins to list what the tree needs.
    pub(super) fn list(&mut self, applied: Box<Applied>) {
        let sides = std::iter::once(&self.job.ours).chain(&self.job.theirs);
        let parents = sides.map(|(parent, _)| parent.manifest).chain(self.put.drain(..)).collect();
        let merge = Merge::of_several(self.duty, parents, Vec::new());
        self.sink.flush_ids();
        self.state = State::Manifest(applied, Box::new(merge));
    }

    /// All is as this device has had it.
    fn nothing_changed(&mut self) {
        let (parent, shared) = self.job.ours.clone();
        let taken = Taken {
            tree: parent.tree,
            manifest: parent.manifest,
            counts: parent.counts,
            report: Report::default(),
            marker: self.marker,
            shared: Some(shared),
        };
        let edits = self.edited.take().map(|edited| edited.results).unwrap_or_default();
        self.sink.drop_set();
        let end = MergeEnd {
            taken,
            is_new: false,
            is_here: false,
            pending: 0,
            unfit: 0,
            has_room: false,
            written: 0,
            conflicts: 0,
            edits,
        };
        self.end(Ok(Box::new(end)));
    }
}
