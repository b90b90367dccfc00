//! Coming back from the 24 words: the root admits this node, and what it replaces is removed in the root's name.
//!
//! Nothing is written before a member has answered. The root secret is wiped when the call ends. Called again on a node
//! that is back, `recover` replaces a lost node that was not replaced the first time (its name was misspelt, or the
//! power failed). Read `node/enter.rs` first.

use std::net::SocketAddr;

use serde_json::json;

use super::activity::Level;
use super::after::AfterAppend;
use super::api::ApiError;
use super::core::Core;
use super::enter::{member_settings, Way, WayKind};
use super::member::{Keys, Membership};
use super::ports::{CallId, Ending};
use crate::base::ids::{EntryHash, FeedId, NodeId};
use crate::base::limits::ENTER_TIME_MAX;
use crate::feed::entry::{sign, Admit, Body, Entry, Remove, Role};
use crate::seal::keys::{NodeSecret, RootSecret};
use crate::seal::phrase;

/// What `recover` keeps while it runs.
pub(super) struct Recovery {
    /// Wiped when it is dropped.
    pub(super) root: RootSecret,
    /// The root's feed that admits this node.
    pub(super) feed: FeedId,
    /// That entry.
    pub(super) admit: Vec<u8>,
    /// The node that this one takes the place of.
    pub(super) replace: Option<String>,
}

impl Core {
    /// `recover`: back from the 24 words.
    pub(super) fn call_recover(
        &mut self,
        call: CallId,
        words: &str,
        peer: Option<SocketAddr>,
        replace: Option<String>,
        names: (Option<String>, Option<String>),
    ) {
        if let (Some(_), None, Some(lost)) = (&self.member, &self.entering.way, &replace) {
            return match self.check_replace_later(words) {
                Ok(root) => self.replace_later(call, root, lost),
                Err(error) => self.end_call(call, Err(error)),
            };
        }
        if let Err(error) = self.check_outside().and_then(|()| self.take_names(names.0, names.1)) {
            return self.end_call(call, Err(error));
        }
        let root = match read_phrase(words) {
            Ok(root) => root,
            Err(error) => return self.end_call(call, Err(error)),
        };
        let secret = self.new_secret();
        let feed = self.root_feed(&root);
        let admit = match self.sign_admit(&root, feed, &secret) {
            Ok(admit) => admit,
            Err(error) => return self.end_call(call, Err(error)),
        };
        let own = FeedId { node: secret.node_id(), random: self.random() };
        let mut member = Membership::new(secret, Keys::Full(root.full_keys()), own);
        if let Err(error) = member.view.introduce(std::slice::from_ref(&admit)) {
            return self
                .end_call(call, Err(ApiError::new("internal", error.to_string(), "please report this")));
        }
        self.member = Some(member);
        self.open_endpoint(vec![admit.clone()]);
        self.way_begins(call, WayKind::Seeking(Box::new(Recovery { root, feed, admit, replace })));
        let now = self.now.time;
        match peer {
            Some(address) => self.reach.add_now(now, address),
            None => {
                self.way_says("looking for a device of the vault on this network");
                self.heed_all();
            }
        }
        self.reach.recheck(now);
    }

    /// A member of the vault to recover was seen: it is tried at once.
    pub(super) fn entering_vault_sighted(&mut self, addresses: &[SocketAddr]) {
        if matches!(self.entering.way, Some(Way { kind: WayKind::Seeking(_), .. })) {
            for address in addresses {
                self.reach.add(self.now.time, *address, None);
            }
        }
    }

    /// A first session stands.
    pub(super) fn entered_up(&mut self, node: NodeId) {
        let Some(Way { kind: WayKind::Seeking(_), .. }) = &self.entering.way else { return };
        let Some(mut way) = self.entering.way.take() else { return };
        let WayKind::Seeking(recovery) = way.kind else { return };
        let Some(member) = &mut self.member else { return };
        let settings = member_settings(member, std::slice::from_ref(&recovery.admit));
        let admit = recovery.admit.clone();
        let applied = member.view.apply(&admit);
        way.kind = WayKind::Settling(recovery);
        way.until = self.now.time + ENTER_TIME_MAX;
        self.entering.way = Some(way);
        match applied {
            Ok(applied) => self.keep_entries(vec![(applied, admit)], None, settings, AfterAppend::Nothing),
            Err(error) => log::debug!("the own admission is known already: {error}"),
        }
        self.way_says(&format!("connected to {}", node.short()));
        self.announce();
    }

    /// Entries still arrive: what waits for all of them is not late yet.
    pub(super) fn settling_goes_on(&mut self) {
        if let Some(way) = self.entering.way.as_mut().filter(|way| matches!(way.kind, WayKind::Settling(_))) {
            way.until = self.now.time + ENTER_TIME_MAX;
        }
    }

    /// Whether this node knows of the lost one all that anybody who is connected knows. Its removal names what stands of
    /// its feeds: what were not here yet would be cut off for good. (If nobody else is left, this node knows most.)
    pub(super) fn is_all_known_of(&self, lost: &str) -> bool {
        let (Some(member), Ok(node)) = (&self.member, self.find_node(lost, true)) else { return true };
        let told = self.gossip.has_anyone_told() && self.may_append();
        (told || self.is_last_but(lost)) && self.gossip.lacks_nothing_of(&node, &member.view)
    }

    /// Whether this node and the lost one are all that is left of the vault: there is nobody to wait for.
    pub(super) fn is_last_but(&self, lost: &str) -> bool {
        let (Some(member), Ok(node)) = (&self.member, self.find_node(lost, true)) else { return false };
        member.view.roster().members().all(|known| known.node == node || known.node == member.node)
    }

    /// The recovered node knows what the vault knows (of the lost node, all of it if `complete`): it takes the lost
    /// node's place, if it should.
    pub(super) fn way_recovered(&mut self, complete: bool) {
        let Some(way) = self.entering.way.take() else { return };
        let WayKind::Settling(recovery) = way.kind else { return };
        let mut adopted = Vec::new();
        if let Some(lost) = &recovery.replace {
            if complete && self.is_last_but(lost) && !self.may_append() {
                self.begin_feed_alone();
            }
            let replaced = if complete {
                self.find_node(lost, true).map_err(|error| {
                    let hint = "see `nuthatch nodes`, then run recover again with the right --replace; folders of one that was removed already: `nuthatch folder attach`";
                    ApiError { hint: hint.into(), ..error }
                })
            } else {
                Err(self.incomplete())
            }
            .and_then(|node| self.take_place_of(node, &recovery.root, recovery.feed));
            match replaced {
                Ok(names) => adopted = names,
                Err(mut error) => {
                    error.message =
                        format!("this node is in the vault again, but has replaced none: {}", error.message);
                    self.end_call(way.call, Err(error));
                    return self.describe_self();
                }
            }
        }
        self.recovered(way.call, &adopted);
    }

    /// The node is where it should be: said once it is durable.
    fn recovered(&mut self, call: CallId, adopted: &[String]) {
        let Some(member) = &self.member else { return };
        let (vault, node) = (member.keys.vault().hex(), member.node.hex());
        let value =
            json!({"event": "recovered", "vault": vault, "node": node, "role": "full", "adopted": adopted});
        let until = self.now.time + ENTER_TIME_MAX;
        self.entering.way = Some(Way { call, kind: WayKind::Recovered(value), until });
        // What was adopted is backed up from now on.
        self.folders_begin();
        self.describe_self();
        if self.pending.is_empty() {
            self.way_told();
        }
    }

    /// All that a recovery has written is durable.
    pub(super) fn way_told(&mut self) {
        let Some(Way { call, kind: WayKind::Recovered(value), .. }) = self.entering.way.take() else {
            return;
        };
        self.json(call, value);
        self.note(Level::Info, "members", "this node was recovered from the phrase");
        self.end_call(call, Ok(Ending::Complete));
    }

    /// The disk did not take an entry: a recovery that counts on it has failed.
    pub(super) fn recovery_failed(&mut self, error: ApiError) {
        if let Some(Way { kind: WayKind::Settling(_) | WayKind::Recovered(_), .. }) = &self.entering.way {
            self.way_fails(error);
        }
    }

    /// Why a lost node cannot be replaced now.
    fn incomplete(&self) -> ApiError {
        let (message, hint) = if self.gossip.peers().next().is_some() {
            (
                "what the other devices know of the lost one has not arrived whole",
                "run recover again with --replace when they can be reached well",
            )
        } else {
            (
                "no other device can be reached that knows what the lost one wrote last",
                "start another device of the vault and run recover again with --replace; \
                 if others are lost for good too, first run `nuthatch remove NODE --alone` for each of them",
            )
        };
        ApiError::new("incomplete", message, hint)
    }

    /// This node is a member already: are these the words of its vault?
    fn check_replace_later(&self, words: &str) -> Result<RootSecret, ApiError> {
        let root = read_phrase(words)?;
        let fits =
            |member: &Membership| member.keys.vault() == root.vault() && member.keys.role() == Role::Full;
        if self.member.as_ref().is_some_and(fits) {
            Ok(root)
        } else {
            Err(self.check_outside().err().unwrap_or_else(|| {
                ApiError::new("bad_phrase", "these words are of another vault", "use those of this one")
            }))
        }
    }

    /// This node is a member already, and takes a lost node's place as soon as it knows all of it.
    fn replace_later(&mut self, call: CallId, root: RootSecret, lost: &str) {
        let feed = self.root_feed(&root);
        let replace = Some(lost.to_owned());
        self.way_begins(
            call,
            WayKind::Settling(Box::new(Recovery { root, feed, admit: Vec::new(), replace })),
        );
        self.keyring_changed();
    }

    /// Removes the lost node in the root's name and adopts its folders; their names.
    fn take_place_of(
        &mut self,
        lost: NodeId,
        root: &RootSecret,
        feed: FeedId,
    ) -> Result<Vec<String>, ApiError> {
        let key = self.begin_epoch(&feed.node, Some(&lost));
        let Some(member) = &mut self.member else { return Ok(Vec::new()) };
        let folders = super::folders::folders_of(member, &lost);
        let heads = member.view.heads_of(&lost);
        let mut signed = Vec::new();
        for body in key.map(Body::Key).into_iter().chain([Body::Remove(Remove { node: lost, heads })]) {
            let entry = member.view.next_entry(&feed, self.now.wall, body);
            let applied = sign(&entry, &root.signing_key())
                .and_then(|bytes| member.view.apply(&bytes).map(|applied| (applied, bytes)));
            signed.push(applied.map_err(|error| {
                ApiError::new(
                    "refused",
                    format!("the lost node was not removed: {error}"),
                    "see `nuthatch log`",
                )
            })?);
        }
        self.keep_removal(signed, AfterAppend::Nothing);
        let mut names = Vec::new();
        for (entry, text, _) in folders {
            // A shared folder that is on this device already stays where it is.
            let is_here = self.is_shared(&entry.folder);
            if !is_here
                && self.append_folder(
                    entry.folder,
                    entry.kind,
                    entry.copies,
                    &text,
                    false,
                    AfterAppend::Nothing,
                )
            {
                names.push(text.name);
            }
        }
        Ok(names)
    }

    /// A new feed of the vault's root.
    pub(super) fn root_feed(&mut self, root: &RootSecret) -> FeedId {
        FeedId { node: NodeId::from_bytes(*root.vault().as_bytes()), random: self.random() }
    }

    /// The root admits this node, as the first entry of `feed`.
    pub(super) fn sign_admit(
        &self,
        root: &RootSecret,
        feed: FeedId,
        secret: &NodeSecret,
    ) -> Result<Vec<u8>, ApiError> {
        let name = self.setup.config.name.clone().unwrap_or_else(|| self.setup.host_name.clone());
        let admit = Admit {
            signing: secret.signing_public(),
            channel: secret.channel_public(),
            role: Role::Full,
            name,
        };
        let previous = EntryHash::from_bytes([0; 32]);
        let entry = Entry { feed, sequence: 0, previous, wall: self.now.wall, body: Body::Admit(admit) };
        sign(&entry, &root.signing_key())
            .map_err(|error| ApiError::new("bad_name", error.to_string(), "choose a shorter name"))
    }
}

/// The root from its words.
pub(super) fn read_phrase(words: &str) -> Result<RootSecret, ApiError> {
    phrase::from_words(words).map_err(|error| {
        let hint = "compare the words with the recovery sheet, in order";
        ApiError::new("bad_phrase", error.to_string(), hint)
    })
}
