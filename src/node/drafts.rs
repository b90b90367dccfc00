//! Drafts: snapshots that are safe on this disk but not yet in a feed.
//!
//! After start nobody may append to its feed before a peer has shown what it knows of it: a disk that was restored from
//! an image would write two histories. Until then (and on a node that is alone) snapshots wait here. They pin their
//! chunks, can be listed and restored, and are published in order as soon as a peer confirms.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::after::{AfterAppend, AfterSave};
use super::core::Core;
use super::member::SnapshotFact;
use super::unpublished::Meant;
use crate::base::ids::{ChunkId, FolderId, SnapshotId};
use crate::feed::entry::{Body, SnapshotEntry, SnapshotText};

/// Prefix of the settings that keep drafts.
const DRAFT_PREFIX: &str = "draft:";

/// A snapshot that is not in a feed yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// What will be published; its text is not sealed yet.
    entry: SnapshotEntry,
    /// What will be sealed.
    text: SnapshotText,
}

impl Draft {
    /// A draft of this snapshot.
    #[must_use]
    pub fn new(entry: SnapshotEntry, text: SnapshotText) -> Self {
        Self { entry, text }
    }

    /// A name for it until it is published.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        let bytes = postcard::to_stdvec(self).unwrap_or_default();
        SnapshotId::from_bytes(Sha256::digest(&bytes).into())
    }

    /// The set of chunks that it needs.
    #[must_use]
    pub const fn manifest(&self) -> ChunkId {
        self.entry.manifest
    }

    /// What is meant by its name.
    pub(super) fn meant(&self) -> Meant {
        let SnapshotEntry { folder, taken, manifest, .. } = self.entry;
        Meant { id: self.id(), folder, taken, manifest, draft: true }
    }

    /// A partial snapshot of this folder.
    pub(super) fn is_partial_of(&self, folder: &FolderId) -> bool {
        !self.entry.complete && self.entry.folder == *folder
    }

    /// The setting that keeps it: ordered by the time of the scan.
    pub(super) fn key(&self) -> String {
        format!("{DRAFT_PREFIX}{:020}:{}", self.entry.taken.as_micros().max(0), self.id().short())
    }
}

/// Drafts among the settings, oldest first.
#[must_use]
pub fn load(settings: &BTreeMap<String, Vec<u8>>) -> Vec<Draft> {
    let drafts = settings.iter().filter(|(key, _)| key.starts_with(DRAFT_PREFIX));
    drafts
        .filter_map(|(_, bytes)| match postcard::take_from_bytes(bytes) {
            Ok((draft, [])) => Some(draft),
            _ => None,
        })
        .collect()
}

impl Core {
    /// Keeps a new snapshot: in the feed if that is allowed now, else as a draft. `line` is told when it is durable.
    pub(super) fn keep_snapshot(
        &mut self,
        draft: Draft,
        line: Value,
        mut settings: Vec<(String, Option<Vec<u8>>)>,
    ) {
        let folder = draft.entry.folder;
        self.calls.put_snapshot_line(folder, line);
        settings.extend(self.backup_listed(&folder));
        if self.may_publish() {
            if self.publish(draft, settings, true).is_none() {
                self.backup_failed(folder, self.refusal());
            }
            return;
        }
        settings.push((draft.key(), postcard::to_stdvec(&draft).ok()));
        self.forget_partial_drafts(&folder, &mut settings);
        self.folders.drafts.push(draft);
        self.save(settings, AfterSave::Drafted { folder });
    }

    /// Keeps a snapshot that no call waits for, a partial one or one of a merge, in the same way.
    pub(super) fn keep_unasked(&mut self, draft: Draft, mut settings: Vec<(String, Option<Vec<u8>>)>) {
        if self.may_publish() {
            if self.publish(draft, settings, false).is_none() {
                log::warn!("a snapshot was not published: {}", self.refusal());
            }
            return;
        }
        settings.push((draft.key(), postcard::to_stdvec(&draft).ok()));
        self.folders.drafts.push(draft);
        self.save(settings, AfterSave::Nothing);
    }

    /// Whether a snapshot may go into the feed now: no draft comes before it.
    fn may_publish(&self) -> bool {
        self.member.as_ref().is_some_and(|member| member.confirmed && !member.is_alone())
            && self.keyring.may_seal()
            && self.folders.drafts.iter().all(|draft| self.is_forgotten(draft))
    }

    /// Publishes what waits, in order.
    pub(super) fn publish_drafts(&mut self) {
        let is_no_time = self.member.as_ref().is_none_or(|member| member.is_alone() || member.stopped);
        if is_no_time || !self.keyring.may_seal() {
            return;
        }
        let forgotten = self.forgotten_ids();
        let drafts = std::mem::take(&mut self.folders.drafts);
        // What took the place of a draft; of one that nobody will ever see, its parent.
        let mut renamed: BTreeMap<SnapshotId, Option<SnapshotId>> = BTreeMap::new();
        for draft in drafts {
            let (key, id) = (draft.key(), draft.id());
            let parent =
                draft.entry.parent.and_then(|parent| renamed.get(&parent).copied().unwrap_or(Some(parent)));
            if forgotten.contains(&id) {
                renamed.insert(id, parent);
                self.folders.drafts.push(draft);
                continue;
            }
            let entry = SnapshotEntry { parent, ..draft.entry.clone() };
            match self.publish(Draft { entry, text: draft.text.clone() }, vec![(key, None)], false) {
                Some(published) => drop(renamed.insert(id, Some(published))),
                // It is on the disk as a draft, and its chunks stay for it.
                None => self.folders.drafts.push(draft),
            }
        }
    }

    /// Seals the text and appends the entry.
    fn publish(
        &mut self,
        draft: Draft,
        settings: Vec<(String, Option<Vec<u8>>)>,
        announce: bool,
    ) -> Option<SnapshotId> {
        let folder = draft.entry.folder;
        let member = self.member.as_ref()?;
        let sealer = member.sealer.as_ref()?;
        let plain = draft.text.encode().ok()?;
        let sealed = sealer.seal_text(&member.own, member.next_sequence(), &plain);
        let entry = SnapshotEntry { sealed, ..draft.entry };
        let applied =
            self.append(Body::Snapshot(entry), settings, AfterAppend::Published { folder, announce })?;
        Some(SnapshotId::from_bytes(*applied.hash.as_bytes()))
    }

    /// All snapshots (of one folder), published or not, oldest first: of a shared folder what has seen less, whatever clocks say.
    pub(super) fn snapshots(&self, folder: Option<&FolderId>) -> Vec<SnapshotFact> {
        let Some(member) = &self.member else { return Vec::new() };
        let wanted = |of: &FolderId| folder.is_none_or(|folder| folder == of);
        let published = member.view.snapshots().filter(|fact| wanted(&fact.entry.folder)).map(|fact| {
            let text = member.snapshot_text(&fact.feed, fact.sequence, &fact.entry.sealed);
            SnapshotFact {
                id: fact.id,
                writer: fact.writer,
                tree: text.as_ref().map(|text| text.tree),
                skipped: text.as_ref().map_or(0, |text| text.skipped),
                torn: text.as_ref().map_or(0, |text| text.torn),
                shared: text.and_then(|text| text.shared),
                entry: fact.entry.clone(),
                draft: false,
            }
        });
        let drafts = self.folders.drafts.iter().filter(|draft| wanted(&draft.entry.folder));
        let drafts = drafts.filter(|draft| !self.is_forgotten(draft)).map(|draft| SnapshotFact {
            id: draft.id(),
            writer: member.node,
            tree: Some(draft.text.tree),
            skipped: draft.text.skipped,
            torn: draft.text.torn,
            shared: draft.text.shared.clone(),
            entry: draft.entry.clone(),
            draft: true,
        });
        let mut all: Vec<SnapshotFact> = published.chain(drafts).collect();
        all.sort_unstable_by_key(|fact| (fact.entry.folder, fact.age(), fact.draft, fact.id));
        all
    }
}
