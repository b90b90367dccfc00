//! Entering a vault: init, and what all ways have in common; `node/joining.rs` and `node/recover.rs` are the other ways,
//! `node/admit.rs` is the inviter's side.
//!
//! ```text
//!   Unconfigured --init--------------------------------------------------> Member
//!        |--join--> Pairing --answered--> saved --> Connecting --settled--> Member (call ends)
//!        \--recover--> Seeking --first session--> saved --> Settling -----> Member (call ends)
//! ```
//!
//! The root secret lives in memory only while `init` or `recover` runs; it is wiped when they end. `recover` writes
//! nothing to the disk before a member has answered, so that a wrong address can simply be tried again.

use rand_core::RngCore;
use serde_json::json;

use super::activity::Level;
use super::admit::Invitation;
use super::after::AfterAppend;
use super::api::ApiError;
use super::boot::{encode_keys, role_word, setting};
use super::core::Core;
use super::joining::Pairing;
use super::member::{Keys, Membership};
use super::ports::{CallId, Ending, Output};
use super::recover::Recovery;
use crate::base::ids::FeedId;
use crate::base::limits::ENTER_TIME_MAX;
use crate::base::units::Time;
use crate::feed::entry::Role;
use crate::peer::event::{Door, Identity};
use crate::peer::table::Endpoint;
use crate::seal::keys::{NodeSecret, RootSecret};
use crate::seal::phrase;
use crate::store::service::Request;

/// What runs of init, join, recover and invite.
#[derive(Default)]
pub struct Entering {
    /// On the way into a vault.
    pub(super) way: Option<Way>,
    /// An open invitation.
    pub(super) invitation: Option<Invitation>,
    /// An invitation was closed for too many wrong codes and would have been open until then: until then this node says
    /// that it invites, so that who comes with the right code finds it and is told why it is too late.
    pub(super) spent: Option<Time>,
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

/// The setting that keeps this node's Admit chain until the feeds are here.
const CHAIN_KEY: &str = "chain";

impl Entering {
    /// When something is given up.
    #[must_use]
    pub fn deadline(&self) -> Option<Time> {
        // What waits for the own disk only has no deadline.
        let way = self.way.as_ref().filter(|way| !matches!(way.kind, WayKind::Recovered(_)));
        way.map(|way| way.until).into_iter().chain(self.spent).min()
    }

    /// Whether others may see that this node invites.
    #[must_use]
    pub fn is_inviting(&self) -> bool {
        self.invitation.is_some() || self.spent.is_some()
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

    /// Looks whether a way has come to its end, or must be given up.
    pub(super) fn entering_timeout(&mut self) {
        if self.entering.spent.is_some_and(|until| until <= self.now.time) {
            self.entering.spent = None;
            self.announce();
        }
        let Some(way) = &self.entering.way else { return };
        let is_late = way.until <= self.now.time;
        let connected = self.gossip.peers().next().is_some();
        let settled = self.gossip.is_settled() && self.pending.is_empty();
        match &way.kind {
            WayKind::Pairing(pairing) if is_late => {
                let error = pairing.error();
                self.way_fails(error);
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
        let name = self.own_name();
        self.json(
            way.call,
            json!({"event": "joined", "vault": vault, "node": node, "name": name, "role": role, "connected": connected}),
        );
        self.note(Level::Info, "members", "this node has joined a vault");
        self.end_call(way.call, Ok(Ending::Complete));
        self.announce();
    }

    /// A member from now on: sessions are possible.
    pub(super) fn become_member(&mut self) {
        let Some(member) = &self.member else { return };
        let chain = member.view.admit_chain(&member.node);
        if member.keys.role() == Role::Store {
            // It only keeps for others. Others read again what comes: they write it into shared folders, or send it on.
            self.outputs.push_back(Output::Store(Request::Stream));
        }
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
        self.endpoint.set_sessions_max(self.reach.linking.most);
        self.endpoint.open(identity, door);
        self.endpoint.set_roster(member.view.roster().clone(), chain);
        self.choose_links();
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
            self.endpoint.cancel_joins();
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
pub fn member_settings(member: &Membership, chain: &[Vec<u8>]) -> Vec<(String, Option<Vec<u8>>)> {
    vec![
        (setting::IDENTITY.to_owned(), Some(member.secret.encode().to_vec())),
        (setting::KEYS.to_owned(), Some(encode_keys(&member.keys))),
        (setting::FEED.to_owned(), Some(member.own.random.to_vec())),
        (CHAIN_KEY.to_owned(), postcard::to_stdvec(&chain.to_vec()).ok()),
    ]
}
