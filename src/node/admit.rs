//! Letting others in: the invitation, and what a joiner and its inviter tell each other once the code was right.
//!
//! The Admit entry is durable before the joiner hears of it. Read `node/enter.rs` for the joiner's side.

use std::net::SocketAddr;

use rand_core::RngCore;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::activity::Level;
use super::after::AfterAppend;
use super::api::ApiError;
use super::boot::{encode_keys, role_word};
use super::core::Core;
use super::events::{Event, Kind};
use super::member::Keys;
use super::names::free_name;
use super::ports::{CallId, Ending};
use crate::base::limits::{INVITED_MAX, PAIRING_TIME_MAX};
use crate::base::units::Time;
use crate::feed::entry::{author_of, Admit, Body, Role};
use crate::peer::event::CloseReason;
use crate::seal::keys::StoreKeys;

/// An open invitation.
pub(super) struct Invitation {
    /// Who waits for it, if somebody does.
    pub(super) call: Option<CallId>,
    /// For which role.
    pub(super) role: Role,
    /// The request that is being granted: it is the only one.
    pub(super) granted: Option<u64>,
    /// Until when it is open at the most.
    pub(super) until: Time,
}

/// What a joiner says of itself.
#[derive(Serialize, Deserialize)]
pub(super) struct Application {
    /// Public signing key.
    pub(super) signing: [u8; 32],
    /// Public channel key.
    pub(super) channel: [u8; 32],
    /// Its name.
    pub(super) name: String,
}

/// What an inviter answers.
#[derive(Serialize, Deserialize)]
pub(super) struct Welcome {
    /// As `boot::encode_keys` writes them.
    pub(super) keys: Vec<u8>,
    /// The joiner's Admit chain.
    pub(super) chain: Vec<Vec<u8>>,
}

impl Core {
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
        if self.is_vault_full() {
            let message =
                format!("this vault has had {INVITED_MAX} devices, which is as many as there may be");
            let hint = "begin another vault: `nuthatch init` in an empty home";
            return self.end_call(call, Err(ApiError::new("full_vault", message, hint)));
        }
        let before = self.entering.invitation.as_ref();
        if before.is_some_and(|open| open.granted.is_some()) {
            let message = "a node is being let in with the code that was shown before";
            return self.end_call(call, Err(ApiError::new("busy", message, "try again in a moment")));
        }
        let replaces = before.is_some();
        if replaces {
            self.endpoint.close_invitation(self.now.time);
            self.invitation_over(CloseReason::Withdrawn);
        }
        let number = self.rng.next_u64() % 100_000_000;
        let code = format!("{number:08}");
        if let Err(error) = self.endpoint.open_invitation(self.now.time, &code) {
            return self
                .end_call(call, Err(ApiError::new("internal", error.to_string(), "please report this")));
        }
        let addresses: Vec<String> = self.listening.addresses.iter().map(ToString::to_string).collect();
        let expires_us = PAIRING_TIME_MAX.as_micros();
        let shown = format!("{}-{}", &code[..4], &code[4..]);
        self.json(call, json!({"event": "open", "code": shown, "role": role_word(role), "expires_us": expires_us, "addresses": addresses, "replaces": replaces}));
        if !wait {
            self.end_call(call, Ok(Ending::Complete));
        }
        let until = self.now.time + PAIRING_TIME_MAX;
        let call = wait.then_some(call);
        self.entering.invitation = Some(Invitation { call, role, granted: None, until });
        self.entering.spent = None;
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

    /// Somebody knows the code: it is admitted, or hears that it cannot be. An invitation admits one node, and is closed to
    /// all others from here on (the endpoint sees to it; that this node does too costs nothing).
    pub(super) fn pair_requested(&mut self, ticket: u64, hello: &[u8], from: SocketAddr) {
        let Some(invitation) = self.entering.invitation.as_mut().filter(|open| open.granted.is_none()) else {
            return self.endpoint.decline_pairing(self.now.time, ticket);
        };
        invitation.granted = Some(ticket);
        let role = invitation.role;
        if let Err(why) = self.admit_joiner(ticket, role, hello, from) {
            self.grant_failed(ticket, why);
        }
    }

    /// Whether nobody more may be let in: those who were removed are not forgotten.
    fn is_vault_full(&self) -> bool {
        let roster = self.member.as_ref().map(|member| member.view.roster());
        roster.is_some_and(|roster| roster.members().count() + roster.former().count() >= INVITED_MAX)
    }

    /// Writes the Admit entry of a joiner, who is welcomed once it is durable.
    fn admit_joiner(
        &mut self,
        ticket: u64,
        role: Role,
        hello: &[u8],
        from: SocketAddr,
    ) -> Result<(), &'static str> {
        if !self.may_append() {
            return Err("this node may not write at present");
        }
        if self.is_vault_full() {
            return Err("the vault has had as many devices as there may be");
        }
        let application = postcard::take_from_bytes::<Application>(hello);
        let Ok((application, [])) = application else { return Err("what it says of itself cannot be read") };
        let Some(member) = &self.member else { return Err("this node is in no vault") };
        let node = author_of(&application.signing);
        let name = free_name(&application.name, &self.member_names());
        let (signing, channel) = (application.signing, application.channel);
        let admit = Admit { signing, channel, role, name: name.clone() };
        let keys = match (&member.keys, role) {
            (Keys::Full(full), Role::Full) => Keys::Full(full.clone()),
            (keys, _) => Keys::Store(StoreKeys {
                vault: keys.vault(),
                root_public: keys.root_public(),
                door: keys.door().clone(),
            }),
        };
        let chain_before = member.view.admit_chain(&member.node);
        let wall = self.now.wall;
        let Some(member) = &mut self.member else { return Err("this node is in no vault") };
        let appended = member.append(wall, Body::Admit(admit));
        let Ok((applied, bytes)) = appended else { return Err("its name or its key is refused") };
        let chain = chain_before.into_iter().chain([bytes.clone()]).collect();
        let welcome = postcard::to_stdvec(&Welcome { keys: encode_keys(&keys), chain });
        let payload = welcome.map_err(|_| "the answer cannot be written")?;
        let taken = if name == application.name { "" } else { ", for its name was taken" };
        let message = format!("{name} joins from {from}{taken}");
        self.raise(Event::new(Kind::MemberJoined, Level::Info, "members", message).of_node(name.clone()));
        let then = AfterAppend::Admitted { ticket, payload, name, node };
        self.keep_entries(vec![(applied, bytes)], None, Vec::new(), then);
        Ok(())
    }

    /// A joiner that knows the code cannot be admitted: it hears so, and the code may be used by another.
    pub(super) fn grant_failed(&mut self, ticket: u64, why: &str) {
        self.note(Level::Warn, "members", format!("a node with the right code was not let in: {why}"));
        self.endpoint.decline_pairing(self.now.time, ticket);
        let open = self.entering.invitation.as_mut().filter(|open| open.granted == Some(ticket));
        if let Some(open) = open {
            open.granted = None;
        }
    }

    /// The endpoint says that the invitation is closed. One that was withdrawn was so by this node, which has done then
    /// what there is to do; by now another may be open.
    pub(super) fn invitation_closed(&mut self, reason: CloseReason) {
        if reason != CloseReason::Withdrawn {
            self.invitation_over(reason);
        }
    }

    /// The invitation is over.
    fn invitation_over(&mut self, reason: CloseReason) {
        let Some(invitation) = self.entering.invitation.take() else { return };
        let (word, message) = match reason {
            CloseReason::Used => ("used", "the invitation was used"),
            CloseReason::Attempts => ("attempts", "the invitation is closed: too many wrong codes"),
            CloseReason::Expired => ("expired", "the invitation has expired"),
            CloseReason::Withdrawn => {
                ("withdrawn", "the invitation was withdrawn: another `nuthatch invite` took its place")
            }
        };
        let level = if reason == CloseReason::Attempts { Level::Warn } else { Level::Info };
        self.entering.spent = (reason == CloseReason::Attempts).then_some(invitation.until);
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
}
