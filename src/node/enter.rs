//! Entering a vault: init, join, recover; and letting others in: invite.
//!
//! ```text
//!   Unconfigured --init--------------------------------------------------> Member
//!        |--join--> Pairing --answered--> saved --> Connecting --settled--> Member (call ends)
//!        \--recover--> Seeking --first session--> saved --> Settling -----> Member (call ends)
//! ```
//!
//! The root secret lives in memory only while `init` or `recover` runs; it is wiped when they end. `recover` writes
//! nothing to the disk before a member has answered, so that a wrong address can simply be tried again.

use std::net::SocketAddr;

use rand_core::RngCore;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::activity::Level;
use super::api::ApiError;
use super::boot::{encode_keys, role_word, setting};
use super::core::{Core, Pending};
use super::member::{Keys, Membership};
use super::ports::{CallId, Ending};
use crate::base::ids::{EntryHash, FeedId, FolderId, NodeId};
use crate::base::limits::ENTER_TIME_MAX;
use crate::base::units::Time;
use crate::feed::entry::{author_of, sign, Admit, Body, Entry, Remove, Role};
use crate::peer::event::{CloseReason, Door, Identity, PairFailure};
use crate::peer::table::Endpoint;
use crate::seal::keys::{NodeSecret, RootSecret, StoreKeys};
use crate::seal::phrase;
use crate::store::service::{Request, StoreError};

/// What runs of init, join, recover and invite.
#[derive(Default)]
pub struct Entering {
    /// On the way into a vault.
    way: Option<Way>,
    /// An open invitation.
    invitation: Option<Invitation>,
}

/// On the way into a vault.
struct Way {
    /// Who waits for it.
    call: CallId,
    /// Which way.
    kind: WayKind,
    /// When it is given up.
    until: Time,
}

/// The ways into a vault.
enum WayKind {
    /// The code is tried at addresses.
    Pairing {
        /// Eight digits.
        code: String,
        /// This node's secrets to be.
        secret: NodeSecret,
        /// Addresses that are being tried, or failed.
        tried: Vec<SocketAddr>,
        /// An address was named: no other is tried.
        fixed: bool,
        /// Why the last one failed.
        failure: Option<PairFailure>,
    },
    /// A member by pairing; the first exchange of feeds is awaited.
    Connecting,
    /// Has the phrase; any member is sought.
    Seeking(Box<Recovery>),
    /// Has met a member; the feeds are awaited.
    Settling(Box<Recovery>),
}

/// What `recover` keeps while it runs.
struct Recovery {
    /// Wiped when it is dropped.
    root: RootSecret,
    /// The root's feed that admits this node.
    feed: FeedId,
    /// That entry.
    admit: Vec<u8>,
    /// The node that this one takes the place of.
    replace: Option<String>,
}

/// An open invitation.
struct Invitation {
    /// Who waits for it, if somebody does.
    call: Option<CallId>,
    /// For which role.
    role: Role,
}

/// What a joiner says of itself.
#[derive(Serialize, Deserialize)]
struct Application {
    /// Public signing key.
    signing: [u8; 32],
    /// Public channel key.
    channel: [u8; 32],
    /// Its name.
    name: String,
}

/// What an inviter answers.
#[derive(Serialize, Deserialize)]
struct Welcome {
    /// As `boot::encode_keys` writes them.
    keys: Vec<u8>,
    /// The joiner's Admit chain.
    chain: Vec<Vec<u8>>,
}

/// What follows when entries are durable.
#[derive(Debug)]
pub enum AfterAppend {
    /// Nothing.
    Nothing,
    /// The vault exists.
    Initialised {
        /// Who waits for the words.
        call: CallId,
        /// The words.
        phrase: zeroize::Zeroizing<String>,
    },
    /// The joiner is a member: welcome it.
    Admitted {
        /// Its request.
        ticket: u64,
        /// The answer.
        payload: Vec<u8>,
        /// Its name.
        name: String,
        /// Its id.
        node: NodeId,
    },
    /// A call has done what it should, with this result.
    Done {
        /// Which call.
        call: CallId,
        /// The result.
        value: serde_json::Value,
    },
    /// A snapshot is published.
    Published {
        /// Of which folder.
        folder: FolderId,
        /// Calls that are told.
        announce: bool,
    },
}

/// What follows when settings are saved.
#[derive(Debug)]
pub enum AfterSave {
    /// Nothing.
    Nothing,
    /// This node is a member by pairing.
    Joined {
        /// The inviter.
        from: SocketAddr,
    },
    /// A snapshot is a draft.
    Drafted {
        /// Of which folder.
        folder: FolderId,
    },
}

/// The setting that keeps this node's Admit chain until the feeds are here.
const CHAIN_KEY: &str = "chain";

impl Entering {
    /// When something is given up.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        self.way.as_ref().map(|way| way.until)
    }

    /// Whether others may see that this node invites.
    #[must_use]
    pub fn is_inviting(&self) -> bool {
        self.invitation.is_some()
    }
}

impl Core {
    /// Fresh random bytes.
    pub(super) fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    /// Saves settings, then does what follows.
    pub(super) fn save(&mut self, settings: Vec<(String, Option<Vec<u8>>)>, then: AfterSave) {
        self.ask_store(Pending::Save(then), |op| Request::Save { op, settings });
    }

    /// `init`: a new vault with this node as its first member.
    pub(super) fn call_init(&mut self, call: CallId, name: Option<String>, site: Option<String>) {
        if let Err(error) = self.check_outside().and_then(|()| self.take_names(name, site)) {
            return self.end_call(call, Err(error));
        }
        let root = RootSecret::from_bytes(self.random());
        let secret = self.new_secret();
        let feed = self.root_feed(&root);
        let admit = match self.sign_admit(&root, feed, &secret) {
            Ok(admit) => admit,
            Err(error) => return self.end_call(call, Err(error)),
        };
        let own = FeedId { node: secret.node_id(), random: self.random() };
        let mut member = Membership::new(secret, Keys::Full(root.full_keys()), own);
        let applied = member.view.apply(&admit);
        let settings = member_settings(&member, &[admit.clone()]);
        self.member = Some(member);
        match applied {
            Ok(applied) => {
                let then = AfterAppend::Initialised { call, phrase: phrase::to_words(&root) };
                self.keep_entries(vec![(applied, admit)], None, settings, then);
            }
            Err(error) => {
                self.member = None;
                self.end_call(call, Err(ApiError::new("internal", error.to_string(), "please report this")));
            }
        }
    }

    /// `join`: into a vault by code.
    pub(super) fn call_join(
        &mut self,
        call: CallId,
        code: &str,
        peer: Option<SocketAddr>,
        names: (Option<String>, Option<String>),
    ) {
        if let Err(error) = self.check_outside().and_then(|()| self.take_names(names.0, names.1)) {
            return self.end_call(call, Err(error));
        }
        let secret = self.new_secret();
        self.way_begins(
            call,
            WayKind::Pairing {
                code: code.to_owned(),
                secret,
                tried: Vec::new(),
                fixed: peer.is_some(),
                failure: None,
            },
        );
        match peer {
            Some(address) => self.try_code(address),
            None => self.way_says("looking for a node that invites on this network"),
        }
    }

    /// `recover`: back from the 24 words.
    pub(super) fn call_recover(
        &mut self,
        call: CallId,
        words: &str,
        peer: Option<SocketAddr>,
        replace: Option<String>,
        names: (Option<String>, Option<String>),
    ) {
        if let Err(error) = self.check_outside().and_then(|()| self.take_names(names.0, names.1)) {
            return self.end_call(call, Err(error));
        }
        let root = match phrase::from_words(words) {
            Ok(root) => root,
            Err(error) => {
                let hint = "compare the words with the recovery sheet, in order";
                return self.end_call(call, Err(ApiError::new("bad_phrase", error.to_string(), hint)));
            }
        };
        let secret = self.new_secret();
        let feed = self.root_feed(&root);
        let admit = match self.sign_admit(&root, feed, &secret) {
            Ok(admit) => admit,
            Err(error) => return self.end_call(call, Err(error)),
        };
        let own = FeedId { node: secret.node_id(), random: self.random() };
        let mut member = Membership::new(secret, Keys::Full(root.full_keys()), own);
        if let Err(error) = member.view.introduce(&[admit.clone()]) {
            return self
                .end_call(call, Err(ApiError::new("internal", error.to_string(), "please report this")));
        }
        self.member = Some(member);
        self.open_endpoint(vec![admit.clone()]);
        self.way_begins(call, WayKind::Seeking(Box::new(Recovery { root, feed, admit, replace })));
        let now = self.now.time;
        match peer {
            Some(address) => self.reach.add_now(now, address),
            None => self.way_says("looking for a device of the vault on this network"),
        }
        self.reach.recheck(now);
    }

    /// `invite`: lets a node in.
    pub(super) fn call_invite(&mut self, call: CallId, role: Role, wait: bool) {
        let is_full = self.member.as_ref().is_some_and(|member| member.keys.role() == Role::Full);
        if !is_full {
            let error = ApiError::new(
                "not_full",
                "only a full node of a vault can invite",
                "run `nuthatch invite` on a full node",
            );
            return self.end_call(call, Err(error));
        }
        let number = self.rng.next_u64() % 100_000_000;
        let code = format!("{number:08}");
        if let Err(error) = self.endpoint.open_invitation(self.now.time, &code) {
            return self
                .end_call(call, Err(ApiError::new("internal", error.to_string(), "please report this")));
        }
        let addresses: Vec<String> = self.listening.iter().map(ToString::to_string).collect();
        let expires_us = crate::base::limits::PAIRING_TIME_MAX.as_micros();
        let shown = format!("{} {}", &code[..4], &code[4..]);
        self.json(call, json!({"event": "open", "code": shown, "role": role_word(role), "expires_us": expires_us, "addresses": addresses}));
        if !wait {
            self.end_call(call, Ok(Ending::Complete));
        }
        self.entering.invitation = Some(Invitation { call: wait.then_some(call), role });
        self.announce();
        self.note(Level::Info, "members", "an invitation is open");
    }

    /// The client of an invitation went away: it closes.
    pub(super) fn entering_dropped(&mut self, call: CallId) {
        if self.entering.invitation.as_ref().is_some_and(|invitation| invitation.call == Some(call)) {
            self.endpoint.close_invitation(self.now.time);
            self.entering.invitation = None;
            self.announce();
        }
    }

    /// Somebody knows the code: admit it.
    pub(super) fn pair_requested(&mut self, ticket: u64, hello: &[u8], from: SocketAddr) {
        let Some(role) = self.entering.invitation.as_ref().map(|invitation| invitation.role) else { return };
        let Ok((application, [])) = postcard::take_from_bytes::<Application>(hello) else { return };
        let node = author_of(&application.signing);
        let admit = Admit {
            signing: application.signing,
            channel: application.channel,
            role,
            name: application.name.clone(),
        };
        let Some(member) = &self.member else { return };
        let keys = match (&member.keys, role) {
            (Keys::Full(full), Role::Full) => Keys::Full(full.clone()),
            (keys, _) => Keys::Store(StoreKeys {
                vault: keys.vault(),
                root_public: keys.root_public(),
                door: keys.door().clone(),
            }),
        };
        let chain_before = member.view.admit_chain(&member.node);
        self.note(Level::Info, "members", format!("{} joins from {from}", application.name));
        let wall = self.now.wall;
        let Some(member) = &mut self.member else { return };
        let Ok((applied, bytes)) = member.append(wall, Body::Admit(admit)) else { return };
        let chain = chain_before.into_iter().chain([bytes.clone()]).collect();
        let Ok(payload) = postcard::to_stdvec(&Welcome { keys: encode_keys(&keys), chain }) else { return };
        let then = AfterAppend::Admitted { ticket, payload, name: application.name, node };
        self.keep_entries(vec![(applied, bytes)], None, Vec::new(), then);
    }

    /// The inviter answered: this node is a member.
    pub(super) fn pair_answered(&mut self, payload: &[u8], from: SocketAddr) {
        let Some(Way { kind: WayKind::Pairing { .. }, .. }) = &self.entering.way else { return };
        let welcome = postcard::take_from_bytes::<Welcome>(payload).ok().filter(|(_, rest)| rest.is_empty());
        let keys = welcome.as_ref().and_then(|(welcome, _)| super::boot::decode_keys(&welcome.keys));
        let (Some((welcome, _)), Some(keys)) = (welcome, keys) else {
            return self.way_fails(ApiError::new(
                "bad_answer",
                "the inviter's answer cannot be read",
                "run the same version of nuthatch on both devices",
            ));
        };
        let Some(way) = &mut self.entering.way else { return };
        let WayKind::Pairing { secret, .. } = std::mem::replace(&mut way.kind, WayKind::Connecting) else {
            return;
        };
        way.until = self.now.time + ENTER_TIME_MAX;
        let own = FeedId { node: secret.node_id(), random: self.random() };
        let mut member = Membership::new(secret, keys, own);
        if let Err(error) = member.view.introduce(&welcome.chain) {
            return self.way_fails(ApiError::new(
                "bad_answer",
                format!("the inviter's answer is not valid: {error}"),
                "run `nuthatch invite` again",
            ));
        }
        let settings = member_settings(&member, &welcome.chain);
        self.member = Some(member);
        self.save(settings, AfterSave::Joined { from });
    }

    /// Pairing did not work at an address.
    pub(super) fn pair_failed(&mut self, reason: PairFailure, from: SocketAddr) {
        let Some(Way { kind: WayKind::Pairing { fixed, failure, .. }, .. }) = &mut self.entering.way else {
            return;
        };
        *failure = Some(reason);
        if *fixed || reason == PairFailure::WrongCode {
            let code = match reason {
                PairFailure::WrongCode => "wrong_code",
                PairFailure::Closed | PairFailure::Expired => "invitation_closed",
                PairFailure::NoAnswer => "no_peer",
            };
            self.way_fails(ApiError::new(code, format!("joining at {from} failed: {reason}"), ""));
        }
    }

    /// The invitation is over.
    pub(super) fn invitation_closed(&mut self, reason: CloseReason) {
        let Some(invitation) = self.entering.invitation.take() else { return };
        let (word, message) = match reason {
            CloseReason::Used => ("used", "the invitation was used"),
            CloseReason::Attempts => ("attempts", "the invitation is closed: too many wrong codes"),
            CloseReason::Expired => ("expired", "the invitation has expired"),
            CloseReason::Withdrawn => ("withdrawn", "the invitation was withdrawn"),
        };
        let level = if reason == CloseReason::Attempts { Level::Warn } else { Level::Info };
        self.note(level, "members", message);
        self.announce();
        let Some(call) = invitation.call else { return };
        self.json(call, json!({"event": "closed", "reason": word}));
        let ending = if reason == CloseReason::Used {
            Ok(Ending::Complete)
        } else {
            Err(ApiError::new("invitation_closed", message, "run `nuthatch invite` again"))
        };
        self.end_call(call, ending);
    }

    /// An inviting node was seen.
    pub(super) fn entering_sighted(&mut self, addresses: &[SocketAddr]) {
        let Some(Way { kind: WayKind::Pairing { fixed: false, tried, .. }, .. }) = &self.entering.way else {
            return;
        };
        let fresh: Vec<SocketAddr> = addresses
            .iter()
            .filter(|address| !tried.contains(address))
            .take(CODE_ADDRESSES_MAX.saturating_sub(tried.len()))
            .copied()
            .collect();
        for address in fresh {
            self.try_code(address);
        }
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
        let settings = member_settings(member, &[recovery.admit.clone()]);
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

    /// Looks whether a way has come to its end, or must be given up.
    pub(super) fn entering_timeout(&mut self) {
        let Some(way) = &self.entering.way else { return };
        let is_late = way.until <= self.now.time;
        let connected = self.gossip.peers().next().is_some();
        let settled = self.gossip.is_settled() && self.pending.is_empty();
        match &way.kind {
            WayKind::Pairing { failure, .. } if is_late => {
                let reason = failure.map_or_else(
                    || "no node that invites was found on this network".to_owned(),
                    |reason| reason.to_string(),
                );
                self.way_fails(ApiError::new(
                    "no_peer",
                    reason,
                    "run `nuthatch invite` on a member, or name its address with --peer ADDR",
                ));
            }
            WayKind::Connecting if settled || is_late => self.way_joined(connected),
            WayKind::Seeking(_) if is_late => {
                self.member = None;
                let seed = self.random();
                self.endpoint = Endpoint::new(seed);
                self.way_fails(ApiError::new(
                    "no_peer",
                    "no device of this vault answered",
                    "start one of its other devices and name its address with --peer ADDR; check that the words are of this vault",
                ));
            }
            WayKind::Settling(_) if settled || is_late => self.way_recovered(),
            _ => {}
        }
    }

    /// The joined node has what it needs.
    fn way_joined(&mut self, connected: bool) {
        let Some(way) = self.entering.way.take() else { return };
        let Some(member) = &self.member else { return };
        let (vault, node, role) =
            (member.keys.vault().hex(), member.node.hex(), role_word(member.keys.role()));
        self.json(
            way.call,
            json!({"event": "joined", "vault": vault, "node": node, "role": role, "connected": connected}),
        );
        self.note(Level::Info, "members", "this node has joined a vault");
        self.end_call(way.call, Ok(Ending::Complete));
        self.announce();
    }

    /// The recovered node knows what the vault knows: it takes the lost node's place, if it should.
    fn way_recovered(&mut self) {
        let Some(way) = self.entering.way.take() else { return };
        let WayKind::Settling(recovery) = way.kind else { return };
        let mut adopted = Vec::new();
        if let Some(lost) = &recovery.replace {
            match self.find_node(lost) {
                Ok(node) => adopted = self.take_place_of(node, &recovery),
                Err(error) => return self.end_call(way.call, Err(error)),
            }
        }
        let Some(member) = &self.member else { return };
        let (vault, node) = (member.keys.vault().hex(), member.node.hex());
        self.json(
            way.call,
            json!({"event": "recovered", "vault": vault, "node": node, "role": "full", "adopted": adopted}),
        );
        self.note(Level::Info, "members", "this node was recovered from the phrase");
        self.end_call(way.call, Ok(Ending::Complete));
        self.describe_self();
    }

    /// Removes the lost node in the root's name and adopts its folders.
    fn take_place_of(&mut self, lost: NodeId, recovery: &Recovery) -> Vec<String> {
        let Some(member) = &mut self.member else { return Vec::new() };
        let folders = super::folders::folders_of(member, &lost);
        let heads = member.view.heads().into_iter().filter(|head| head.feed.node == lost).collect();
        let head = member.view.head(&recovery.feed);
        let (sequence, previous) =
            head.map_or((0, EntryHash::from_bytes([0; 32])), |head| (head.length, head.hash));
        let body = Body::Remove(Remove { node: lost, heads });
        let entry = Entry { feed: recovery.feed, sequence, previous, wall: self.now.wall, body };
        match sign(&entry, &recovery.root.signing_key())
            .and_then(|bytes| member.view.apply(&bytes).map(|applied| (applied, bytes)))
        {
            Ok(signed) => self.keep_entries(vec![signed], None, Vec::new(), AfterAppend::Nothing),
            Err(error) => {
                self.note(Level::Error, "members", format!("the lost node was not removed: {error}"))
            }
        }
        let names = folders.iter().map(|(_, text, _)| text.name.clone()).collect();
        for (entry, text, _) in folders {
            self.append_folder(entry.folder, entry.kind, entry.copies, &text, false, AfterAppend::Nothing);
        }
        names
    }

    /// Entries are durable: what follows.
    pub(super) fn after_append(&mut self, then: AfterAppend) {
        match then {
            AfterAppend::Nothing => {}
            AfterAppend::Initialised { call, phrase } => {
                self.become_member();
                let Some(member) = &self.member else { return };
                let name = self.setup.config.name.clone().unwrap_or_else(|| self.setup.host_name.clone());
                let value = json!({"vault": member.keys.vault().hex(), "node": member.node.hex(), "name": name, "recovery_phrase": *phrase});
                self.json(call, value);
                self.note(Level::Info, "members", "a new vault was made");
                self.end_call(call, Ok(Ending::Complete));
                self.describe_self();
                self.announce();
            }
            AfterAppend::Admitted { ticket, payload, name, node } => {
                if let Err(error) = self.endpoint.answer_pairing(self.now.time, ticket, payload) {
                    log::warn!("the joiner was not answered: {error}");
                }
                if let Some(call) = self.entering.invitation.as_ref().and_then(|invitation| invitation.call) {
                    self.json(call, json!({"event": "joined", "node": node.hex(), "name": name}));
                }
            }
            AfterAppend::Done { call, value } => {
                self.json(call, value);
                self.end_call(call, Ok(Ending::Complete));
            }
            AfterAppend::Published { folder, announce } => self.published(folder, announce),
        }
    }

    /// The disk did not take entries.
    pub(super) fn append_failed(&mut self, then: AfterAppend, reason: &str) {
        let error = ApiError::new(
            "disk",
            format!("the disk did not take it: {reason}"),
            "free space on the node's disk and try again",
        );
        match then {
            AfterAppend::Initialised { call, .. } | AfterAppend::Done { call, .. } => {
                self.end_call(call, Err(error))
            }
            AfterAppend::Published { folder, .. } => self.backup_failed(folder, error),
            AfterAppend::Nothing | AfterAppend::Admitted { .. } => {}
        }
    }

    /// Settings are saved, or not.
    pub(super) fn saved(&mut self, then: AfterSave, result: Result<(), StoreError>) {
        let failure = result.err().map(|error| {
            ApiError::new(
                "disk",
                format!("the disk did not take it: {error}"),
                "free space on the node's disk and try again",
            )
        });
        match (then, failure) {
            (AfterSave::Nothing, None) => {}
            (AfterSave::Nothing, Some(error)) => self.note(Level::Error, "store", error.to_string()),
            (AfterSave::Joined { .. }, Some(error)) => {
                self.member = None;
                self.way_fails(error);
            }
            (AfterSave::Joined { from }, None) => {
                self.become_member();
                self.way_says("the code was right; connecting");
                self.reach.add_now(self.now.time, from);
                self.announce();
            }
            (AfterSave::Drafted { folder }, None) => self.published(folder, true),
            (AfterSave::Drafted { folder }, Some(error)) => self.backup_failed(folder, error),
        }
    }

    /// A member from now on: sessions are possible.
    pub(super) fn become_member(&mut self) {
        let Some(member) = &self.member else { return };
        let chain = member.view.admit_chain(&member.node);
        self.open_endpoint(chain);
        self.reach.recheck(self.now.time);
        self.holding.recheck(self.now.time);
        self.folders_begin();
    }

    /// Hands the endpoint this node's identity, the vault's door and the roster.
    fn open_endpoint(&mut self, chain: Vec<Vec<u8>>) {
        let Some(member) = &self.member else { return };
        let identity = Identity { node: member.node, channel_secret: *member.secret.channel_secret() };
        let door = Door {
            vault: member.keys.vault(),
            secret: *member.keys.door().as_bytes(),
            root_public: member.keys.root_public(),
        };
        self.endpoint.open(identity, door);
        self.endpoint.set_roster(member.view.roster().clone(), chain);
    }

    /// A node that was not in the roster proved that it is a member.
    pub(super) fn introduced(&mut self, introduced: &crate::feed::roster::Member, chain: &[Vec<u8>]) {
        let Some(member) = &mut self.member else { return };
        match member.view.introduce(chain) {
            Ok(_) => {
                self.note(Level::Info, "members", format!("{} introduced itself", introduced.name));
                self.roster_changed();
            }
            Err(error) => log::debug!("an introduction was refused: {error}"),
        }
    }

    /// A connection attempt failed: addresses have their own pauses, nothing else follows.
    pub(super) fn connect_failed(&mut self, address: SocketAddr) {
        log::debug!("nobody of this vault answered at {address}");
    }

    /// Remembers an own chain that came with pairing or recovery, for the time before the feeds are here.
    pub(super) fn load_chain(&mut self, settings: &std::collections::BTreeMap<String, Vec<u8>>) {
        let Some(member) = &mut self.member else { return };
        if member.view.roster().member(&member.node).is_some() {
            return;
        }
        let bytes = settings.get(CHAIN_KEY).map_or(&[][..], Vec::as_slice);
        if let Ok((chain, [])) = postcard::take_from_bytes::<Vec<Vec<u8>>>(bytes) {
            if let Err(error) = member.view.introduce(&chain) {
                log::error!("the own admission cannot be read: {error}");
            }
        }
    }

    /// An address is tried with the code.
    fn try_code(&mut self, address: SocketAddr) {
        let name = self.setup.config.name.clone().unwrap_or_else(|| self.setup.host_name.clone());
        let Some(Way { kind: WayKind::Pairing { code, secret, tried, .. }, .. }) = &mut self.entering.way
        else {
            return;
        };
        tried.push(address);
        let application =
            Application { signing: secret.signing_public(), channel: secret.channel_public(), name };
        let Ok(hello) = postcard::to_stdvec(&application) else { return };
        let code = code.clone();
        if let Err(error) = self.endpoint.join(self.now.time, address, &code, hello) {
            return self.way_fails(ApiError::new("bad_code", error.to_string(), ""));
        }
        self.way_says(&format!("trying the code at {address}"));
    }

    /// A way begins; an older one is given up.
    fn way_begins(&mut self, call: CallId, kind: WayKind) {
        self.entering.way = Some(Way { call, kind, until: self.now.time + ENTER_TIME_MAX });
    }

    /// Tells who waits.
    fn way_says(&mut self, message: &str) {
        if let Some(way) = &self.entering.way {
            let call = way.call;
            self.json(call, json!({"event": "progress", "message": message}));
        }
    }

    /// The way has led nowhere.
    fn way_fails(&mut self, error: ApiError) {
        if let Some(way) = self.entering.way.take() {
            self.end_call(way.call, Err(error));
        }
    }

    /// Refuses to enter a vault twice, or two at once.
    fn check_outside(&self) -> Result<(), ApiError> {
        if self.member.is_some() && self.entering.way.is_none() {
            return Err(ApiError::new(
                "member_already",
                "this node belongs to a vault already",
                "use an empty home (--home DIR) for another one",
            ));
        }
        if self.entering.way.is_some() {
            return Err(ApiError::new("busy", "another join or recover is running", "wait until it ends"));
        }
        Ok(())
    }

    /// New secrets for this node.
    fn new_secret(&mut self) -> NodeSecret {
        NodeSecret::from_seed(self.random())
    }

    /// A new feed of the vault's root.
    fn root_feed(&mut self, root: &RootSecret) -> FeedId {
        FeedId { node: NodeId::from_bytes(*root.vault().as_bytes()), random: self.random() }
    }

    /// The root admits this node, as the first entry of `feed`.
    fn sign_admit(&self, root: &RootSecret, feed: FeedId, secret: &NodeSecret) -> Result<Vec<u8>, ApiError> {
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

/// What a member must never lose.
fn member_settings(member: &Membership, chain: &[Vec<u8>]) -> Vec<(String, Option<Vec<u8>>)> {
    vec![
        (setting::IDENTITY.to_owned(), Some(member.secret.encode().to_vec())),
        (setting::KEYS.to_owned(), Some(encode_keys(&member.keys))),
        (setting::FEED.to_owned(), Some(member.own.random.to_vec())),
        (CHAIN_KEY.to_owned(), postcard::to_stdvec(&chain.to_vec()).ok()),
    ]
}

/// Inviting addresses that one join tries at the most: each costs the inviter an attempt.
const CODE_ADDRESSES_MAX: usize = 8;
