//! The content keys of this node: learning, choosing the one that seals, beginning an epoch, wrapping for others what they lack.
//!
//! ```text
//!   Seals --a full node is removed; its Key entry is not for this node--> Waits --wrapped for it--> Seals
//!     |  ^                                                                  |
//!     |  '-- begun here: nobody who could wrap it is left, or no epoch keeps out all who were removed
//!     '--removes a full node itself: the Key entry goes before the Remove, in one transaction--> Seals (the new one)
//! ```
//!
//! While it waits nothing is sealed: no scan begins, and drafts stay drafts. Which epoch is clean is `feed/epochs.rs`'s to
//! say, how a key is wrapped `seal/wrap.rs`'s. A store node has no keys and does none of this.

use serde_json::{json, Value};

use super::activity::Level;
use super::after::{AfterAppend, AfterSave};
use super::api::ApiError;
use super::boot::{encode_keys, setting};
use super::core::Core;
use super::enter::{Way, WayKind};
use super::member::{Keys, Membership};
use super::status::attention::Attention;
use crate::base::ids::{EpochId, NodeId};
use crate::base::limits::{KEY_ENTRIES_PER_TURN_MAX, KEY_RETRY, KEY_WITHOUT_MAX, KEY_WRAPS_MAX};
use crate::base::units::Time;
use crate::feed::entry::{Body, FeedError, KeyEntry, Remove, Role, Wrap};
use crate::feed::epochs::Epochs;
use crate::feed::view::Applied;
use crate::seal::keys::epoch_id;
use crate::seal::wrap::{unwrap, Place, Wrapped, Wrapper};
use zeroize::Zeroizing;

/// What is remembered of content keys.
#[derive(Debug, Default)]
pub struct Keyring {
    /// When to look what is to be written.
    due: Option<Time>,
    /// No key is here that may seal.
    waits: bool,
    /// There is one again: what was put off is done.
    resumes: bool,
}

/// A node that a key is wrapped for, and its channel key.
type Recipient = (NodeId, [u8; 32]);

/// Which epoch seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// This one.
    Seal(EpochId),
    /// None that is here; another full node has one that may.
    Wait,
    /// There is none that may, or nobody who could wrap it: a new one has to be begun.
    Begin,
}

impl Keyring {
    /// When to look again.
    #[must_use]
    pub const fn deadline(&self) -> Option<Time> {
        self.due
    }

    /// Whether something may be sealed now.
    #[must_use]
    pub const fn may_seal(&self) -> bool {
        !self.waits
    }
}

impl Core {
    /// Entries came, or were written: some may change which keys there are.
    pub(super) fn keyring_heard(&mut self, entries: &[(Applied, Vec<u8>)]) {
        let is_of_keys = |(applied, _): &(Applied, Vec<u8>)| {
            matches!(applied.entry.body, Body::Key(_) | Body::Admit(_) | Body::Remove(_))
        };
        if entries.iter().any(is_of_keys) {
            self.keyring_changed();
        }
    }

    /// What is known of members and keys has changed: keys are learnt, and the one that seals is chosen. What is to be written
    /// is written soon, not now: this may be called between an entry and its way to the disk.
    pub(super) fn keyring_changed(&mut self) {
        let learnt = self.learn_keys();
        let Some(member) = &mut self.member else { return };
        let choice = choose(member);
        let Keys::Full(keys) = &mut member.keys else { return };
        let (mut changed, had) = (learnt > 0, self.keyring.waits);
        self.keyring.waits = true;
        if let Choice::Seal(epoch) = choice {
            changed |= keys.epoch() != Some(epoch);
            self.keyring.waits = !keys.seal_with(&epoch);
        }
        if changed {
            if let Some(sealer) = &mut member.sealer {
                sealer.renew(keys);
            }
            let settings = vec![keys_setting(member)];
            self.save(settings, AfterSave::Nothing);
        }
        if learnt > 0 {
            self.keys_learnt(learnt);
        }
        self.keyring.resumes |= had && !self.keyring.waits;
        self.keyring.due = Some(self.now.time);
    }

    /// Writes what is owed: a new epoch, keys for who lacks them. While this node may not write, it is tried again.
    pub(super) fn keyring_timeout(&mut self) {
        let now = self.now.time;
        if self.keyring.due.is_none_or(|due| due > now) {
            return;
        }
        self.keyring.due = None;
        let is_owed = self.begin_if_owed() | self.wrap_what_is_owed();
        if self.keyring.waits {
            self.stop_scans(&waiting());
        } else if std::mem::take(&mut self.keyring.resumes) {
            self.scan_all_now();
        }
        if is_owed || self.keyring.waits {
            self.keyring.due = Some(now + KEY_RETRY);
        }
    }

    /// Writes a Remove, of a full node together with the next epoch's Key entry (`then` is told of one). False, and a note, when refused.
    pub(super) fn append_removal(&mut self, remove: Remove, then: impl FnOnce(bool) -> AfterAppend) -> bool {
        let wall = self.now.wall;
        let Some(writer) = self.member.as_ref().map(|member| member.node) else { return false };
        let key = self.begin_epoch(&writer, Some(&remove.node));
        let append = |core: &mut Self, body| -> Result<(Applied, Vec<u8>), FeedError> {
            core.member.as_mut().map_or(Err(FeedError::Stopped), |member| member.append(wall, body))
        };
        let (mut entries, then) = (Vec::new(), then(key.is_some()));
        for body in key.map(Body::Key).into_iter().chain([Body::Remove(remove)]) {
            match append(self, body) {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    self.note(Level::Error, "feeds", format!("a removal was refused: {error}"));
                    // What the view has taken must get to the disk, or nothing could be written behind it.
                    self.keep_removal(entries, AfterAppend::Nothing);
                    return false;
                }
            }
        }
        self.keep_removal(entries, then);
        true
    }

    /// Makes the entries of a removal durable, with the keys as they are now.
    pub(super) fn keep_removal(&mut self, entries: Vec<(Applied, Vec<u8>)>, then: AfterAppend) {
        let mut settings: Vec<_> = self.member.as_ref().map(keys_setting).into_iter().collect();
        self.upkeep.collect.ride_along(self.now.time, &mut settings);
        self.keep_entries(entries, None, settings, then);
    }

    /// Begins an epoch that keeps out all full nodes that were removed, and the one that is about to be: its key is in the
    /// ring from now on, and the entry is to be written by `writer`. None where none is needed or possible.
    pub(super) fn begin_epoch(&mut self, writer: &NodeId, leaving: Option<&NodeId>) -> Option<KeyEntry> {
        let content = Zeroizing::new(self.random::<32>());
        let random = Zeroizing::new(self.random::<32>());
        let member = self.member.as_mut()?;
        let mut without = member.view.removed_full();
        if let Some(node) = leaving {
            let leaves = member.view.roster().member(node)?;
            if leaves.role != Role::Full {
                return None;
            }
            without.insert(*node);
        }
        // What the view would not keep would be a key that nobody else gets.
        let may_begin = member.view.may_begin_epoch(writer)
            && (*writer != member.node || member.view.has_key_room(&member.own, KEY_WRAPS_MAX));
        let Keys::Full(keys) = &mut member.keys else { return None };
        if !may_begin || without.is_empty() || without.len() > KEY_WITHOUT_MAX || !keys.learn(&content) {
            let message = "no new content key was begun: this vault has had as many as it may";
            self.note(Level::Error, "keys", message);
            return None;
        }
        let recipients = recipients(member).into_iter().filter(|(node, _)| !without.contains(node));
        let recipients: Vec<Recipient> = recipients.take(KEY_WRAPS_MAX).collect();
        let mut entry = wrap_for(member, writer, &content, &random, &recipients);
        entry.without = without.into_iter().collect();
        Some(entry)
    }

    /// Takes keys that were wrapped for this node (or, while it is recovered, for the recovery key); how many.
    fn learn_keys(&mut self) -> usize {
        let recovery = match &self.entering.way {
            Some(Way { kind: WayKind::Settling(recovery), .. }) => Some(recovery.root.recovery_key()),
            _ => None,
        };
        let Some(member) = &mut self.member else { return 0 };
        let Keys::Full(keys) = &mut member.keys else { return 0 };
        let (view, root) = (&member.view, member.view.roster().root());
        let epochs = view.epochs();
        let mut count = 0;
        for fact in view.key_facts() {
            let (epoch, writer) = (fact.entry.epoch, fact.feed.node);
            if epochs.get(&epoch).is_none() || keys.content_key(&epoch).is_some() {
                continue;
            }
            for wrap in &fact.entry.wraps {
                let secret = match (&recovery, wrap.to) {
                    (_, to) if to == member.node => member.secret.channel_secret(),
                    (Some(recovery), to) if to == root => recovery.as_bytes(),
                    _ => continue,
                };
                let place = Place { vault: keys.vault, epoch, writer, recipient: wrap.to };
                let wrapped = Wrapped { key: wrap.key, tag: wrap.tag };
                let key = unwrap(secret, &fact.entry.ephemeral, &place, &wrapped);
                count += usize::from(key.is_some_and(|key| keys.learn(&key)));
            }
        }
        count
    }

    /// Begins an epoch if there is none that may seal and it falls to this node. True while it is still owed.
    fn begin_if_owed(&mut self) -> bool {
        let Some(member) = &self.member else { return false };
        if member.sealer.is_none() || choose(member) != Choice::Begin {
            return false;
        }
        let writer = member.node;
        // One that has begun as many as it may is not waited for.
        let may_begin = |node: &NodeId| member.view.may_begin_epoch(node);
        let is_able = !member.stopped && self.may_append() && may_begin(&writer);
        if !is_able || !self.falls_to_this_node(may_begin) {
            return true;
        }
        let Some(entry) = self.begin_epoch(&writer, None) else { return true };
        let settings = self.member.as_ref().map(keys_setting).into_iter().collect();
        self.append(Body::Key(entry), settings, AfterAppend::Nothing);
        self.note(Level::Info, "keys", "a new content key was begun, for a full node was removed");
        false
    }

    /// Wraps keys that are here for full nodes that lack them, and for the recovery key. True while there is more.
    fn wrap_what_is_owed(&mut self) -> bool {
        let Some(member) = self.member.as_ref().filter(|member| member.sealer.is_some()) else {
            return false;
        };
        let owed = owed(member, &member.view.epochs());
        if owed.is_empty() {
            return false;
        }
        if member.stopped || !self.may_append() {
            return true;
        }
        for (epoch, lacking) in owed.iter().take(KEY_ENTRIES_PER_TURN_MAX) {
            let random = Zeroizing::new(self.random::<32>());
            let Some(member) = &self.member else { return false };
            let known_to = member.view.epochs().get(epoch).map(|fact| fact.known_to.clone());
            let Keys::Full(keys) = &member.keys else { return false };
            let content = keys.content_key(epoch).map(|key| Zeroizing::new(*key));
            let (Some(known_to), Some(content)) = (known_to, content) else { continue };
            if !self.falls_to_this_node(|node| known_to.contains(node)) {
                continue;
            }
            let entry = wrap_for(member, &member.node, &content, &random, lacking);
            // A member whose key is none gets nothing, and what the view would not keep need not be written.
            if entry.wraps.is_empty() || !member.view.has_key_room(&member.own, entry.wraps.len()) {
                continue;
            }
            self.append(Body::Key(entry), Vec::new(), AfterAppend::Nothing);
        }
        self.member.as_ref().is_some_and(|member| !self::owed(member, &member.view.epochs()).is_empty())
    }

    /// Of the full nodes that can do something and are connected, the one that was a member first does it.
    fn falls_to_this_node(&self, can: impl Fn(&NodeId) -> bool) -> bool {
        let Some(member) = &self.member else { return false };
        let others = member.view.roster().members().filter(|other| {
            other.role == Role::Full && self.gossip.is_connected(&other.node) && can(&other.node)
        });
        let rank = member.view.roster().member(&member.node).map(|own| (own.rank.clone(), own.node));
        let first = others.map(|other| (other.rank.clone(), other.node)).min();
        first.is_none_or(|first| rank.is_some_and(|rank| rank < first))
    }

    /// What this node holds, for tests that play a thief.
    #[cfg(test)]
    pub fn full_keys(&self) -> Option<crate::seal::keys::FullKeys> {
        match &self.member.as_ref()?.keys {
            Keys::Full(keys) => Some(keys.clone()),
            Keys::Store(_) => None,
        }
    }

    /// For `status`.
    pub(super) fn keyring_status(&self, attention: &mut Attention) -> Value {
        let Some(Keys::Full(keys)) = self.member.as_ref().map(|member| &member.keys) else {
            return Value::Null;
        };
        if self.keyring.waits {
            attention.error(waiting());
        }
        let epoch = keys.epoch().filter(|_| !self.keyring.waits).map(|epoch| epoch.hex());
        json!({"epochs": keys.content.len(), "seals_with": epoch, "waits": self.keyring.waits})
    }
}

/// Which epoch this node seals with.
fn choose(member: &Membership) -> Choice {
    let Keys::Full(keys) = &member.keys else { return Choice::Wait };
    if member.view.removed_full().is_empty() {
        // A joiner that has not read the feeds yet was told by its inviter which one seals: the last.
        return keys.epoch().map_or(Choice::Wait, Choice::Seal);
    }
    let epochs = member.view.epochs();
    let is_here = |epoch: &EpochId| keys.content_key(epoch).is_some();
    if let Some(epoch) = epochs.best(is_here) {
        return Choice::Seal(epoch);
    }
    // One that was wrapped for this node and is not here was not wrapped well: nobody will do it again.
    let hopeful = epochs.clean().filter(|(_, fact)| !fact.known_to.contains(&member.node));
    let others = || member.view.roster().members().filter(|other| other.role == Role::Full);
    let has_hope =
        hopeful.into_iter().any(|(_, fact)| others().any(|other| fact.known_to.contains(&other.node)));
    if has_hope {
        Choice::Wait
    } else {
        Choice::Begin
    }
}

/// Everybody who shall have every key: full members, and the recovery key.
fn recipients(member: &Membership) -> Vec<Recipient> {
    let Keys::Full(keys) = &member.keys else { return Vec::new() };
    let recovery = (member.view.roster().root(), keys.recovery);
    let full = member.view.roster().members().filter(|other| other.role == Role::Full);
    [recovery].into_iter().chain(full.map(|other| (other.node, other.channel))).collect()
}

/// Epochs whose keys are here, and who lacks them by what the feeds say.
fn owed(member: &Membership, epochs: &Epochs) -> Vec<(EpochId, Vec<Recipient>)> {
    let Keys::Full(keys) = &member.keys else { return Vec::new() };
    let all = recipients(member);
    let here = epochs.iter().filter(|(epoch, _)| keys.content_key(epoch).is_some());
    let lacking = here.map(|(epoch, fact)| {
        let lack =
            all.iter().filter(|(node, _)| !fact.known_to.contains(node) && !fact.without.contains(node));
        (*epoch, lack.take(KEY_WRAPS_MAX).copied().collect::<Vec<_>>())
    });
    lacking.filter(|(_, lacking)| !lacking.is_empty()).collect()
}

/// A Key entry that wraps a content key for these nodes.
fn wrap_for(
    member: &Membership,
    writer: &NodeId,
    content: &[u8; 32],
    random: &[u8; 32],
    recipients: &[Recipient],
) -> KeyEntry {
    let (vault, epoch) = (member.keys.vault(), epoch_id(content));
    let wrapper = Wrapper::new(random, content);
    let wrap = |(node, public): &Recipient| {
        let place = Place { vault, epoch, writer: *writer, recipient: *node };
        let wrapped = wrapper.wrap(&place, public);
        wrapped.map(|Wrapped { key, tag }| Wrap { to: *node, key, tag })
    };
    let wraps = recipients.iter().filter_map(wrap).collect();
    KeyEntry { epoch, without: Vec::new(), ephemeral: wrapper.public(), wraps }
}

/// The setting that keeps the keys.
fn keys_setting(member: &Membership) -> (String, Option<Vec<u8>>) {
    (setting::KEYS.to_owned(), Some(encode_keys(&member.keys)))
}

/// Why nothing is sealed.
pub(super) fn waiting() -> ApiError {
    ApiError::new(
        "key_waits",
        "a full node was removed, and the content key that came after it has not been given to this node yet",
        "connect it to another full node of the vault (see `nuthatch nodes`); backups go on by themselves then",
    )
}
