//! Erasing early: a retired snapshot goes at once, for a file that must not exist any more, or for room on a full disk.
//!
//! ```text
//!   standing --forget--> retired --words: the recovery phrase, or two full nodes--> given up at once on every device that hears it
//!      ^                    |    '------------------ 37 days ----------------------> given up
//!      '------ undo --------'  (wins over the words, as far as something is still there)
//! ```
//!
//! A person gives the word with `erase`: on a full node it is an entry in that node's feed, with the recovery phrase an entry of the
//! vault's root in a feed of its own. What the words mean stands in `feed/erase.rs`, whom this node heeds in `node/known.rs`.
//! An erased snapshot is given up as any other whose time is over (`node/upkeep.rs`): not while a mass of retirements is frozen, and
//! nothing that another snapshot lists goes with it. A draft is in no feed: of one that is forgotten the phrase alone decides.

use std::collections::BTreeSet;

use serde_json::{json, Value};
use zeroize::Zeroizing;

use super::activity::Level;
use super::after::AfterAppend;
use super::api::ApiError;
use super::core::Core;
use super::known::Heed;
use super::names::Place;
use super::ports::{CallId, Ending};
use super::recover::read_phrase;
use super::retire::newest_forgotten;
use super::unpublished::Meant;
use crate::base::ids::{FolderId, NodeId, SnapshotId};
use crate::base::limits::{COLLECT_RETRY, ERASED_PER_ENTRY_MAX, ERASED_RETRY, EXPIRED_PER_TURN_MAX};
use crate::base::units::Span;
use crate::feed::entry::{sign, Body, Erase, Erased, Role};
use crate::seal::keys::RootSecret;

/// What is to be erased.
struct ToErase {
    /// In feeds.
    published: Vec<Erased>,
    /// Forgotten drafts.
    drafts: Vec<SnapshotId>,
    /// All, for whoever asked.
    all: Vec<Meant>,
}

impl Core {
    /// `erase`: of these forgotten snapshots of a folder (of all when none is named).
    pub(super) fn call_erase(
        &mut self,
        id: CallId,
        folder: &str,
        snapshots: &[String],
        phrase: Option<Zeroizing<String>>,
    ) {
        let said = match phrase {
            Some(words) => {
                self.root_of(&words).and_then(|root| self.erase_as_root(id, folder, snapshots, &root))
            }
            None => self.erase_as_node(id, folder, snapshots),
        };
        if let Err(error) = said {
            self.end_call(id, Err(error));
        }
    }

    /// Whether a call would write an entry of this node, and so has to wait until it may.
    pub(super) fn would_erase(&self, folder: &str, snapshots: &[String], has_phrase: bool) -> bool {
        !has_phrase
            && self.find_to_erase(folder, snapshots).is_ok_and(|found| self.check_word(&found).is_ok())
    }

    /// The root, if these are the words of this vault.
    fn root_of(&self, words: &str) -> Result<RootSecret, ApiError> {
        let root = read_phrase(words)?;
        let is_own = self.member.as_ref().is_some_and(|member| member.keys.vault() == root.vault());
        if is_own {
            return Ok(root);
        }
        Err(ApiError::new("bad_phrase", "these words are of another vault", "use those of this one"))
    }

    /// The forgotten snapshots that a person means.
    fn find_to_erase(&self, folder: &str, snapshots: &[String]) -> Result<ToErase, ApiError> {
        let Some(member) = &self.member else { return Err(nothing_forgotten(folder)) };
        let all: Vec<Meant> = self.all_forgotten(folder);
        let mut found: Vec<Meant> = Vec::new();
        for wanted in snapshots {
            let place = Place::parse(&format!("{folder}@{wanted}"))?;
            let fitting = all.iter().filter(|meant| place.snapshot.fits(&meant.id, meant.taken));
            match newest_forgotten(&place, fitting.cloned().collect())? {
                Some(meant) => found.push(meant),
                None => return Err(self.not_forgotten(folder, wanted)),
            }
        }
        if snapshots.is_empty() {
            found = all;
        }
        found.sort_unstable_by_key(|meant| (meant.taken, meant.id));
        found.dedup();
        if found.is_empty() {
            return Err(nothing_forgotten(folder));
        }
        if found.len() > ERASED_PER_ENTRY_MAX {
            let message = format!("{} snapshots are too many for one word", found.len());
            return Err(ApiError::new(
                "too_many",
                message,
                "name some of them, and the others with another command",
            ));
        }
        let published = found.iter().filter(|meant| !meant.draft);
        let published: Option<Vec<Erased>> = published.map(|meant| member.view.erasable(&meant.id)).collect();
        let Some(published) = published else {
            let hint = "take it back with `nuthatch undo` and forget it again";
            return Err(ApiError::new(
                "not_forgotten",
                "it was forgotten and taken back at the same time",
                hint,
            ));
        };
        let drafts = found.iter().filter(|meant| meant.draft).map(|meant| meant.id).collect();
        Ok(ToErase { published, drafts, all: found })
    }

    /// All that is forgotten of a folder.
    fn all_forgotten(&self, folder: &str) -> Vec<Meant> {
        let folders = self.all_folders();
        let names = folders.iter().filter(|(_, _, text)| text.name == folder);
        let ids: BTreeSet<_> = names.map(|(_, entry, _)| entry.folder).collect();
        let retired = self.member.iter().flat_map(|member| member.view.retired());
        // What is nowhere any more has nothing to erase.
        let is_somewhere = |id: &SnapshotId| {
            let member = self.member.as_ref();
            self.upkeep.collect.pins().contains_key(id)
                || member.is_some_and(|member| member.view.receipts(id).next().is_some())
        };
        let retired = retired.filter(|fact| is_somewhere(&fact.id));
        let all = retired.map(super::retire::meant).chain(self.forgotten_drafts());
        all.filter(|meant| ids.contains(&meant.folder)).collect()
    }

    /// Why a snapshot is not found among those that are forgotten.
    fn not_forgotten(&self, folder: &str, wanted: &str) -> ApiError {
        match self.find_place(&format!("{folder}@{wanted}")) {
            Ok((fact, _)) => ApiError::new(
                "not_forgotten",
                format!("snapshot {} of {folder} stands, and nobody erases what stands", fact.id.short()),
                format!("if it shall go: `nuthatch forget {folder} {}` first", fact.id.short()),
            ),
            Err(error) => error,
        }
    }

    /// Whether this node's own word may be written.
    fn check_word(&self, found: &ToErase) -> Result<(), ApiError> {
        let Some(member) = &self.member else { return Ok(()) };
        if !found.drafts.is_empty() {
            let message = "no other device knows this snapshot, so that none can confirm it";
            return Err(ApiError::new("needs_phrase", message, "give the recovery phrase: `--phrase`"));
        }
        if !member.view.has_room_to_erase(&member.own, found.published.len()) {
            let message = "this node has spoken of as many snapshots as it may";
            return Err(ApiError::new("too_many", message, "give the recovery phrase: `--phrase`"));
        }
        Ok(())
    }

    /// This node's word.
    fn erase_as_node(&mut self, id: CallId, folder: &str, snapshots: &[String]) -> Result<(), ApiError> {
        let found = self.find_to_erase(folder, snapshots)?;
        self.check_word(&found)?;
        let Some(own) = self.member.as_ref().map(|member| member.node) else { return Ok(()) };
        let then = AfterAppend::Done { call: id, value: self.erase_answer(folder, &found, own) };
        self.list_anew(found.all.iter().map(|meant| meant.folder).collect());
        let body = Body::Erase(Erase { snapshots: found.published });
        if self.append(body, Vec::new(), then).is_none() {
            return Err(self.refusal());
        }
        let count = found.all.len();
        self.note(
            Level::Warn,
            "erase",
            format!("this node says that {count} snapshots of {folder} go at once"),
        );
        Ok(())
    }

    /// The root's word, in a feed of its own: nobody has to be asked what is known of it.
    fn erase_as_root(
        &mut self,
        id: CallId,
        folder: &str,
        snapshots: &[String],
        root: &RootSecret,
    ) -> Result<(), ApiError> {
        let found = self.find_to_erase(folder, snapshots)?;
        let feed = self.root_feed(root);
        let value = self.erase_answer(folder, &found, feed.node);
        self.list_anew(found.all.iter().map(|meant| meant.folder).collect());
        for draft in &found.drafts {
            self.give_up(std::slice::from_ref(draft));
        }
        self.upkeep.erased |= !found.drafts.is_empty();
        self.upkeep.recheck(self.now.time);
        let Some(member) = self.member.as_mut().filter(|_| !found.published.is_empty()) else {
            self.json(id, value);
            self.end_call(id, Ok(Ending::Complete));
            return Ok(());
        };
        let body = Body::Erase(Erase { snapshots: found.published });
        let entry = member.view.next_entry(&feed, self.now.wall, body);
        let signed = sign(&entry, &root.signing_key())
            .and_then(|bytes| member.view.apply(&bytes).map(|applied| (applied, bytes)))
            .map_err(|error| {
                let message = format!("nothing was erased: {error}");
                ApiError::new("refused", message, "see `nuthatch log`")
            })?;
        self.keep_entries(vec![signed], None, Vec::new(), AfterAppend::Done { call: id, value });
        let count = found.all.len();
        self.note(
            Level::Warn,
            "erase",
            format!("the recovery phrase says that {count} snapshots of {folder} go at once"),
        );
        Ok(())
    }

    /// The manifest of a snapshot may list what only those before it needed (section 4 of the design). Of own folders a snapshot is made
    /// that lists no more than it needs, so that the others can go, too.
    fn list_anew(&mut self, folders: BTreeSet<FolderId>) {
        let now = self.now.time;
        let own: BTreeSet<FolderId> = self.own_folders().into_iter().map(|(entry, _)| entry.folder).collect();
        for folder in folders.intersection(&own) {
            let local = self.local(*folder);
            local.anew = true;
            local.again |= local.running.is_some();
            local.next_scan = Some(now);
        }
    }

    /// Snapshots that stand and may list what these needed: they came later, and list more than they need.
    fn listing(&self, found: &ToErase) -> Vec<String> {
        let first = found.all.iter().map(|meant| (meant.folder, meant.taken)).min();
        let Some((folder, taken)) = first else { return Vec::new() };
        let later = self.snapshots(Some(&folder)).into_iter();
        let later = later.filter(|fact| fact.entry.taken >= taken && fact.entry.counts.stale > 0);
        later.map(|fact| fact.id.hex()).collect()
    }

    /// What a person is told, once the word of `author` is durable.
    fn erase_answer(&self, folder: &str, found: &ToErase, author: NodeId) -> Value {
        let view = self.member.as_ref().map(|member| &member.view);
        let is_root = view.is_some_and(|view| view.roster().root() == author);
        let is_enough = |meant: &Meant| {
            let mut words = view.map(|view| view.erased_by(&meant.id)).unwrap_or_default();
            words.insert(author);
            is_root || words.len() >= 2 || view.is_some_and(|view| words.contains(&view.roster().root()))
        };
        let snapshots: Vec<Value> = found
            .all
            .iter()
            .map(|meant| json!({"snapshot": meant.id.hex(), "taken": meant.taken.to_string(), "erased": is_enough(meant)}))
            .collect();
        let full =
            view.map_or(0, |view| view.roster().members().filter(|member| member.role == Role::Full).count());
        json!({
            "folder": folder, "snapshots": snapshots, "phrase": is_root,
            "erased": found.all.iter().all(is_enough), "full_nodes": full, "listed_by": self.listing(found),
        })
    }

    /// What this node makes of the words on a snapshot.
    pub(super) fn heeds(&self, words: &BTreeSet<NodeId>) -> Heed {
        let Some(member) = &self.member else { return Heed::Few };
        let running = self.upkeep.collect.running(self.now.time);
        let root = member.view.roster().root();
        self.upkeep.known.heed(words, (&member.node, &root), running, self.setup.config.retired)
    }

    /// Adds to those whose time is over the snapshots that are erased and wait here. True if there are more of them.
    pub(super) fn add_erased(&mut self, expired: &mut Vec<SnapshotId>) -> bool {
        let Some(member) = &self.member else { return false };
        let waiting = self.upkeep.collect.waiting().map(|(id, _)| *id).filter(|id| !expired.contains(id));
        let erased: Vec<SnapshotId> =
            waiting.filter(|id| self.heeds(&member.view.erased_by(id)) == Heed::Enough).collect();
        let room = EXPIRED_PER_TURN_MAX.saturating_sub(expired.len());
        expired.extend(erased.iter().take(room));
        self.upkeep.erased |= !erased.is_empty();
        erased.len() > room
    }

    /// Gives up snapshots whose time is over, and lists anew the own folders of those that were erased elsewhere. False when some are left.
    pub(super) fn give_up_all(&mut self, expired: &[SnapshotId]) -> bool {
        let Some(member) = &self.member else { return false };
        let erased = expired.iter().filter(|id| self.heeds(&member.view.erased_by(id)) == Heed::Enough);
        let folders: BTreeSet<FolderId> =
            erased.filter_map(|id| member.view.snapshot(id)).map(|fact| fact.entry.folder).collect();
        let lists_more = |folder: &FolderId| {
            self.newest_complete(folder).is_some_and(|newest| newest.entry.counts.stale > 0)
        };
        self.list_anew(folders.into_iter().filter(lists_more).collect());
        self.give_up(expired)
    }

    /// A pass has dropped so many chunks; `all`: nothing was given up since it began. Of what was erased the bytes shall go, too.
    pub(super) fn erased_are_dropped(&mut self, count: u64, all: bool) {
        if self.upkeep.erased && count > 0 {
            self.compact_erased();
        }
        self.upkeep.erased &= !all;
    }

    /// When collection is tried again that could not begin now.
    pub(super) const fn collect_retry(&self) -> Span {
        if self.upkeep.erased {
            ERASED_RETRY
        } else {
            COLLECT_RETRY
        }
    }

    /// Remembers which members there are. What is to be saved is added to `settings`.
    pub(super) fn look_at_members(&mut self, settings: &mut super::collect::Settings) {
        let Some(member) = &self.member else { return };
        let running = self.upkeep.collect.running(self.now.time);
        let roster = member.view.roster();
        let others = roster.members().filter(|known| known.node != member.node);
        let others = others.map(|known| (known.node, known.role == Role::Full));
        let removed = roster.former().map(|former| former.node);
        self.upkeep.known.look(running, others, removed, settings);
    }
}

/// There is nothing to erase.
fn nothing_forgotten(folder: &str) -> ApiError {
    let message = format!("nothing of '{folder}' is forgotten");
    ApiError::new("not_forgotten", message, "erased is what was forgotten before: see `nuthatch forget`")
}
