//! Entering a vault: init and join; `node/recover.rs` is the third way, `node/admit.rs` the inviter's side.
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
use serde_json::json;

use super::activity::Level;
use super::admit::{Application, Invitation, Welcome};
use super::after::{AfterAppend, AfterSave};
use super::api::ApiError;
use super::boot::{encode_keys, role_word, setting};
use super::core::Core;
use super::member::{Keys, Membership};
use super::ports::{CallId, Ending};
use super::recover::Recovery;
use crate::base::ids::FeedId;
use crate::base::limits::ENTER_TIME_MAX;
use crate::base::units::Time;
use crate::peer::event::{Door, Identity, PairFailure};
use crate::peer::table::Endpoint;
use crate::seal::keys::{NodeSecret, RootSecret};
use crate::seal::phrase;

/// What runs of init, join, recover and invite.
#[derive(Default)]
pub struct Entering {
    /// On the way into a vault.
    pub(super) way: Option<Way>,
    /// An open invitation.
    pub(super) invitation: Option<Invitation>,
}

/// On the way into a vault.
pub(super) struct Way {
    /// Who waits for it.
    pub(super) call: CallId,
    /// Which way.
    pub(super) kind: WayKind,
    /// When it is given up.
    pub(super) until: Time,
}

/// The ways into a vault.
pub(super) enum WayKind {
    /// The code is tried at addresses.
    Pairing(Box<Pairing>),
    /// A member by pairing; the first exchange of feeds is awaited.
    Connecting,
    /// Has the phrase; any member is sought.
    Seeking(Box<Recovery>),
    /// Has met a member; the feeds are awaited.
    Settling(Box<Recovery>),
    /// Has done all it had to: this is told once it is durable.
    Recovered(serde_json::Value),
}

/// What `join` keeps while it runs.
pub(super) struct Pairing {
    /// Eight digits.
    pub(super) code: String,
    /// This node's secrets to be.
    pub(super) secret: NodeSecret,
    /// Addresses that are being tried, or failed.
    pub(super) tried: Vec<SocketAddr>,
    /// An address was named: no other is tried.
    pub(super) fixed: bool,
    /// Why the last one failed.
    pub(super) failure: Option<PairFailure>,
}

/// The setting that keeps this node's Admit chain until the feeds are here.
const CHAIN_KEY: &str = "chain";

impl Entering {
    /// When something is given up.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        // What waits for the own disk only has no deadline.
        let way = self.way.as_ref().filter(|way| !matches!(way.kind, WayKind::Recovered(_)));
        way.map(|way| way.until)
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
        let settings = member_settings(&member, std::slice::from_ref(&admit));
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
            WayKind::Pairing(Box::new(Pairing {
                code: code.to_owned(),
                secret,
                tried: Vec::new(),
                fixed: peer.is_some(),
                failure: None,
            })),
        );
        match peer {
            Some(address) => self.try_code(address),
            None => {
                self.way_says("looking for a node that invites on this network");
                self.heed_all();
            }
        }
    }

    /// The inviter answered: this node is a member.
    pub(super) fn pair_answered(&mut self, payload: &[u8], from: SocketAddr) {
        let Some(Way { kind: WayKind::Pairing(_), .. }) = &self.entering.way else { return };
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
        let WayKind::Pairing(pairing) = std::mem::replace(&mut way.kind, WayKind::Connecting) else { return };
        way.until = self.now.time + ENTER_TIME_MAX;
        let own = FeedId { node: pairing.secret.node_id(), random: self.random() };
        let mut member = Membership::new(pairing.secret, keys, own);
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
        let Some(Way { kind: WayKind::Pairing(pairing), .. }) = &mut self.entering.way else { return };
        pairing.failure = Some(reason);
        if pairing.fixed || reason == PairFailure::WrongCode {
            let code = match reason {
                PairFailure::WrongCode => "wrong_code",
                PairFailure::Closed | PairFailure::Expired => "invitation_closed",
                PairFailure::NoAnswer => "no_peer",
            };
            self.way_fails(ApiError::new(code, format!("joining at {from} failed: {reason}"), ""));
        }
    }

    /// An inviting node was seen.
    pub(super) fn entering_sighted(&mut self, addresses: &[SocketAddr]) {
        let Some(Way { kind: WayKind::Pairing(pairing), .. }) = &self.entering.way else { return };
        if pairing.fixed {
            return;
        }
        let tried = &pairing.tried;
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

    /// Looks whether a way has come to its end, or must be given up.
    pub(super) fn entering_timeout(&mut self) {
        let Some(way) = &self.entering.way else { return };
        let is_late = way.until <= self.now.time;
        let connected = self.gossip.peers().next().is_some();
        let settled = self.gossip.is_settled() && self.pending.is_empty();
        match &way.kind {
            WayKind::Pairing(pairing) if is_late => {
                let reason = pairing.failure.map_or_else(
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
            WayKind::Settling(recovery) => {
                let lost = recovery.replace.as_deref();
                let complete = lost.is_none_or(|lost| self.is_all_known_of(lost));
                let nobody_else = lost.is_some_and(|lost| self.is_last_but(lost));
                if is_late || (complete && (settled || nobody_else)) {
                    self.way_recovered(complete);
                }
            }
            WayKind::Recovered(_) if self.pending.is_empty() => self.way_told(),
            _ => {}
        }
    }

    /// The joined node has what it needs.
    pub(super) fn way_joined(&mut self, connected: bool) {
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

    /// A member from now on: sessions are possible.
    pub(super) fn become_member(&mut self) {
        let Some(member) = &self.member else { return };
        let chain = member.view.admit_chain(&member.node);
        self.open_endpoint(chain);
        self.confirming_begins();
        self.reach.recheck(self.now.time);
        self.holding.recheck(self.now.time);
        self.folders_begin();
    }

    /// Hands the endpoint this node's identity, the vault's door and the roster.
    pub(super) fn open_endpoint(&mut self, chain: Vec<Vec<u8>>) {
        let Some(member) = &self.member else { return };
        let identity = Identity { node: member.node, channel_secret: *member.secret.channel_secret() };
        let door = Door {
            vault: member.keys.vault(),
            secret: *member.keys.door().as_bytes(),
            root_public: member.keys.root_public(),
        };
        self.endpoint.set_keepalive(self.setup.config.keepalive);
        self.endpoint.open(identity, door);
        self.endpoint.set_roster(member.view.roster().clone(), chain);
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
    pub(super) fn try_code(&mut self, address: SocketAddr) {
        let name = self.setup.config.name.clone().unwrap_or_else(|| self.setup.host_name.clone());
        let Some(Way { kind: WayKind::Pairing(pairing), .. }) = &mut self.entering.way else { return };
        pairing.tried.push(address);
        let (signing, channel) = (pairing.secret.signing_public(), pairing.secret.channel_public());
        let application = Application { signing, channel, name };
        let Ok(hello) = postcard::to_stdvec(&application) else { return };
        let code = pairing.code.clone();
        if let Err(error) = self.endpoint.join(self.now.time, address, &code, hello) {
            return self.way_fails(ApiError::new("bad_code", error.to_string(), ""));
        }
        self.way_says(&format!("trying the code at {address}"));
    }

    /// A way begins; an older one is given up.
    pub(super) fn way_begins(&mut self, call: CallId, kind: WayKind) {
        self.entering.way = Some(Way { call, kind, until: self.now.time + ENTER_TIME_MAX });
    }

    /// Tells who waits.
    pub(super) fn way_says(&mut self, message: &str) {
        if let Some(way) = &self.entering.way {
            let call = way.call;
            self.json(call, json!({"event": "progress", "message": message}));
        }
    }

    /// The way has led nowhere.
    pub(super) fn way_fails(&mut self, error: ApiError) {
        if let Some(way) = self.entering.way.take() {
            self.end_call(way.call, Err(error));
        }
    }

    /// Refuses to enter a vault twice, or two at once.
    pub(super) fn check_outside(&self) -> Result<(), ApiError> {
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
    pub(super) fn new_secret(&mut self) -> NodeSecret {
        NodeSecret::from_seed(self.random())
    }
}

/// What a member must never lose.
pub(super) fn member_settings(member: &Membership, chain: &[Vec<u8>]) -> Vec<(String, Option<Vec<u8>>)> {
    vec![
        (setting::IDENTITY.to_owned(), Some(member.secret.encode().to_vec())),
        (setting::KEYS.to_owned(), Some(encode_keys(&member.keys))),
        (setting::FEED.to_owned(), Some(member.own.random.to_vec())),
        (CHAIN_KEY.to_owned(), postcard::to_stdvec(&chain.to_vec()).ok()),
    ]
}

/// Inviting addresses that one join tries at the most: each costs the inviter an attempt.
const CODE_ADDRESSES_MAX: usize = 8;
