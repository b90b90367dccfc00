//! Snapshots that are forgotten, taken back and erased in the midst of it all, and what must be true of that: nothing goes before its
//! time, and what was let go is gone in the end.

use std::collections::BTreeSet;

use super::{Health, Kept, Turmoil};
use crate::base::ids::{ChunkId, SnapshotId};
use crate::base::units::Span;
use crate::node::api::{ApiError, Call};
use crate::node::ports::Ending;
use crate::sim::check::{Expected, MINUTE};

/// How long what was forgotten stays, in every second household; in the others it is the least that a configuration may say.
pub(super) const FLOOR_SHORT: Span = Span::from_secs(1_200);

impl Turmoil {
    /// A snapshot was said to be protected.
    pub(super) fn keep(&mut self, id: String, files: Expected) {
        let claims = self.running().into_iter().flat_map(|number| self.core(number).claims());
        let claim =
            id.parse().ok().and_then(|id: SnapshotId| claims.into_iter().find(|claim| claim.snapshot == id));
        let manifest = claim.map(|claim| claim.manifest);
        // What it lists is read now, while all of it is there.
        if let Some(manifest) = manifest {
            self.manifest(manifest);
        }
        self.kept.retain(|kept| kept.id != id);
        let unpinned = BTreeSet::new();
        self.kept.push(Kept {
            id,
            files,
            manifest,
            forgotten: None,
            erased: false,
            returned: false,
            unpinned,
        });
    }

    /// Calls the owner's node; None: it is off, or was cut off in the midst of it, or its disk was: what was written then may be there or not.
    pub(super) fn order(&mut self, call: Call) -> Option<Result<Ending, ApiError>> {
        if !self.cluster.is_running(self.owner) {
            return None;
        }
        let (owner, id) = (self.owner, self.cluster.call(self.owner, call));
        self.cluster.run_until(MINUTE, |cluster| cluster.answer(owner, id).end.is_some());
        self.cluster.answer(owner, id).end.clone().filter(|end| !end.as_ref().is_err_and(is_cut_off))
    }

    /// One of the snapshots that are like this.
    fn some_kept(&mut self, is_meant: impl Fn(&Kept) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..self.kept.len()).filter(|at| is_meant(&self.kept[*at])).collect();
        self.cluster.pick(&fitting)
    }

    /// A snapshot is forgotten, but for the newest.
    pub(super) fn forget(&mut self) {
        let newest = self.kept.last().map(|kept| kept.id.clone());
        let Some(at) = self.some_kept(|kept| kept.forgotten.is_none() && Some(&kept.id) != newest.as_ref())
        else {
            return;
        };
        let (id, begun) = (self.kept[at].id.clone(), self.cluster.now());
        let pins = |number: &usize| self.core(*number).pinned().iter().any(|pinned| pinned.to_string() == id);
        let full = self.running().into_iter().filter(|number| self.squeezed.contains(number));
        let unpinned = full.filter(|number| !pins(number)).collect();
        self.kept[at].unpinned = unpinned;
        let end = self.order(Call::Forget { what: format!("family@{id}") });
        self.note(format!("{} is forgotten: {end:?}", &id[..8]));
        // Where nothing was answered it may be or not.
        if !matches!(end, Some(Err(_))) {
            self.kept[at].forgotten = Some(begun);
        }
    }

    /// What was forgotten is taken back.
    pub(super) fn take_back(&mut self) {
        let Some(at) = self.some_kept(|kept| kept.forgotten.is_some()) else { return };
        let id = self.kept[at].id.clone();
        let end = self.order(Call::Undo { what: format!("family@{id}") });
        self.note(format!("{} is taken back: {end:?}", &id[..8]));
        if !matches!(end, Some(Err(_))) {
            self.undone.insert(id);
        }
        match end {
            Some(Ok(Ending::Complete)) => {
                self.kept[at].forgotten = None;
                self.kept[at].returned = true;
            }
            Some(_) => {}
            // It stands or does not: nothing is to be said of it any more.
            None => {
                self.kept.remove(at);
            }
        }
    }

    /// What was forgotten shall go at once.
    pub(super) fn erase(&mut self) {
        let Some(at) = self.some_kept(|kept| kept.forgotten.is_some()) else { return };
        let id = self.kept[at].id.clone();
        let (folder, snapshots) = ("family".to_owned(), vec![id.clone()]);
        let end = self.order(Call::Erase { folder, snapshots, phrase: Some(self.words.clone()) });
        self.note(format!("{} is erased: {end:?}", &id[..8]));
        if !matches!(end, Some(Err(_))) {
            self.kept[at].erased = true;
        }
    }

    /// Whether a holder may have given this snapshot up by now.
    pub(super) fn may_be_gone(&self, id: &str) -> bool {
        let (now, floor) = (self.cluster.now(), self.cluster.retired);
        let is_over = |kept: &Kept| kept.erased || kept.forgotten.is_some_and(|begun| begun + floor <= now);
        self.undone.contains(id) || self.kept.iter().any(|kept| kept.id == id && is_over(kept))
    }

    /// Nothing goes before its time: as many nodes have what was forgotten as wanted to have it before, but for those that lost it and are
    /// whole again: the trash is not repaired, and who was restored from an older image than a forgotten snapshot does not fetch that.
    pub(super) fn check_the_floor(&mut self, on_disk: &[BTreeSet<ChunkId>]) {
        let (now, floor) = (self.cluster.now(), self.cluster.retired);
        let waiting: Vec<(String, ChunkId)> = self
            .kept
            .iter()
            .filter(|kept| !kept.erased && !kept.returned)
            .filter(|kept| kept.forgotten.is_some_and(|begun| now < begun + floor))
            .filter_map(|kept| Some((kept.id.clone(), kept.manifest?)))
            .collect();
        // Whoever was told to leave took its copy of what is in the trash with it: nobody waits for that to be copied (seed 70020358).
        let left = self.health.iter().filter(|health| **health == Health::Gone).count();
        for (id, manifest) in waiting {
            for chunk in self.manifest(manifest).iter() {
                let is_asked = |number: &&usize| {
                    self.health[**number] == Health::Sound && self.cluster.is_running(**number)
                };
                let mended = self.mended.iter().filter(is_asked);
                let lost = mended.filter(|number| !on_disk[**number].contains(chunk)).count();
                let have = self.may_have(*chunk, on_disk) + lost + left;
                if have < usize::from(self.copies) {
                    self.fail(&format!(
                        "{} was forgotten a moment ago, and {have} have a chunk of it",
                        &id[..8]
                    ));
                }
            }
        }
    }

    /// What of all that shall be gone is still there, after hours of quiet; and what stands and is not protected.
    pub(super) fn not_let_go(&mut self) -> String {
        let listed = self.cluster.ask(self.owner, Call::Snapshots { name: None }, MINUTE).lines;
        let line = |id: &str| listed.iter().find(|line| line["snapshot"] == *id);
        for kept in &self.kept {
            let protection = line(&kept.id).map(|line| &line["protected"]);
            let is_whole = protection.is_some_and(|told| told["have"] == told["wanted"]);
            if kept.forgotten.is_none() && !kept.returned && !is_whole {
                return format!("{} is not protected any more: {protection:?}", &kept.id[..8]);
            }
        }
        let is_short = self.cluster.retired == FLOOR_SHORT;
        let gone = self.kept.iter().filter(|kept| line(&kept.id).is_none() && (kept.erased || is_short));
        let gone: Vec<(String, ChunkId, BTreeSet<usize>)> = gone
            .filter_map(|kept| {
                // What was erased has to go from everywhere.
                let unpinned = if kept.erased { BTreeSet::new() } else { kept.unpinned.clone() };
                Some((kept.id.clone(), kept.manifest?, unpinned))
            })
            .collect();
        for number in self.members() {
            // Restored from an image it gives nothing up for a whole floor; and what was pushed is waited for for days.
            let waits = self.status(number)["collect"]["waits"].take();
            let may_wait = ["older state", "pushed chunks"];
            if waits.as_str().is_some_and(|reason| may_wait.iter().any(|part| reason.contains(part))) {
                continue;
            }
            // What stands is kept wherever it lies, whether that node is counted on for it or not.
            let standing: BTreeSet<ChunkId> = self.core(number).kept_manifests().into_iter().collect();
            let mut listed: BTreeSet<ChunkId> = BTreeSet::new();
            for manifest in standing {
                listed.extend(self.manifest(manifest).iter());
            }
            // Who had little room kept nothing of a snapshot as such. What it has of that (of an earlier one, or pushed) is given up for the sake
            // of no snapshot, and goes with the pass of the week (seeds 75017390, 75054742).
            for (_, manifest, _) in gone.iter().filter(|(.., unpinned)| unpinned.contains(&number)) {
                listed.extend(self.manifest(*manifest).iter());
            }
            let on_disk = self.chunks(number);
            for (id, manifest, _) in &gone {
                let left = self.manifest(*manifest);
                let left = left.iter().filter(|chunk| on_disk.contains(chunk) && !listed.contains(chunk));
                let count = left.count();
                if count > 0 {
                    return format!(
                        "node {number} has {count} chunks of {}, which was let go; {waits}",
                        &id[..8]
                    );
                }
            }
        }
        String::new()
    }

    /// A snapshot that is protected now, mostly the newest, and what is in it.
    pub(super) fn one_that_is_promised(&mut self) -> Option<(String, Expected)> {
        let listed = self.cluster.ask(self.owner, Call::Snapshots { name: None }, MINUTE).lines;
        let is_whole = |kept: &Kept| {
            let line = listed.iter().find(|line| line["snapshot"] == *kept.id);
            line.is_some_and(|line| line["protected"]["have"] == line["protected"]["wanted"])
        };
        let newest = self.kept.len().checked_sub(1)?;
        let at = if self.cluster.draw(2) == 0 { Some(newest) } else { self.some_kept(is_whole) };
        let kept = &self.kept[at.unwrap_or(newest)];
        Some((kept.id.clone(), kept.files.clone()))
    }
}

/// Whether a node or its disk was cut off in the midst of an order.
pub(super) fn is_cut_off(error: &ApiError) -> bool {
    error.code == "crashed" || error.message.contains("no power")
}
