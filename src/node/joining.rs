//! Joining a vault by a code, from the side of who joins: where the code is tried, and what came of it.
//!
//! `node/admit.rs` is the inviter's side, `node/enter.rs` what follows; that one code costs one try at one invitation is
//! `peer/joins.rs`'s to see to.

use std::net::SocketAddr;

use super::admit::{Application, Welcome};
use super::after::AfterSave;
use super::api::ApiError;
use super::core::Core;
use super::enter::{member_settings, Way, WayKind};
use super::member::Membership;
use super::ports::CallId;
use crate::base::ids::FeedId;
use crate::base::limits::{ENTER_CLOSED_WAIT, ENTER_TIME_MAX, PAIRING_JOINS_MAX};
use crate::peer::event::PairFailure;
use crate::seal::keys::NodeSecret;

/// What `join` keeps while it runs.
pub(super) struct Pairing {
    /// Eight digits.
    code: String,
    /// This node's secrets to be.
    secret: NodeSecret,
    /// Addresses that are being tried, or failed.
    tried: Vec<SocketAddr>,
    /// An address was named: no other is tried.
    fixed: bool,
    /// Where and why it failed last; that nobody answered counts only where that is all there is to say.
    failure: Option<(SocketAddr, PairFailure)>,
}

impl Pairing {
    /// What is told when it has failed.
    pub(super) fn error(&self) -> ApiError {
        let Some((from, reason)) = self.failure else {
            let hint = "run `nuthatch invite` on a member, or name its address with --peer ADDR";
            return ApiError::new("no_peer", "no node that invites was found on this network", hint);
        };
        let code = match reason {
            PairFailure::WrongCode => "wrong_code",
            PairFailure::Used | PairFailure::Attempts | PairFailure::Closed | PairFailure::Expired => {
                "invitation_closed"
            }
            PairFailure::Declined => "refused",
            PairFailure::NoAnswer => "no_peer",
        };
        ApiError::new(code, format!("joining at {from} failed: {reason}"), "")
    }
}

impl Core {
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
        self.endpoint.cancel_joins();
        let admitted = member.view.roster().member(&member.node).map(|admitted| admitted.name.clone());
        let settings = member_settings(&member, &welcome.chain);
        self.member = Some(member);
        self.adopt_name(admitted);
        self.save(settings, AfterSave::Joined { from });
    }

    /// Pairing did not work at an address. Where several may be tried, others may still open, but not for long where an
    /// inviter has said that it is too late.
    pub(super) fn pair_failed(&mut self, reason: PairFailure, from: SocketAddr) {
        let Some(Way { kind: WayKind::Pairing(pairing), until, .. }) = &mut self.entering.way else { return };
        if reason != PairFailure::NoAnswer || pairing.failure.is_none() {
            pairing.failure = Some((from, reason));
        }
        let is_told = matches!(reason, PairFailure::WrongCode | PairFailure::Declined);
        if pairing.fixed || is_told {
            let error = pairing.error();
            self.way_fails(error);
        } else if reason != PairFailure::NoAnswer {
            *until = (*until).min(self.now.time + ENTER_CLOSED_WAIT);
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
            .take(PAIRING_JOINS_MAX.saturating_sub(tried.len()))
            .copied()
            .collect();
        for address in fresh {
            self.try_code(address);
        }
    }

    /// An address is tried with the code.
    fn try_code(&mut self, address: SocketAddr) {
        let name = self.own_name();
        let Some(Way { kind: WayKind::Pairing(pairing), .. }) = &mut self.entering.way else { return };
        pairing.tried.push(address);
        let (signing, channel) = (pairing.secret.signing_public(), pairing.secret.channel_public());
        let application = Application { signing, channel, name };
        let Ok(hello) = postcard::to_stdvec(&application) else { return };
        let code = pairing.code.clone();
        if let Err(error) = self.endpoint.join(self.now.time, address, &code, hello) {
            return self.way_fails(ApiError::new("bad_code", error.to_string(), ""));
        }
        self.way_says(&format!("asking at {address}"));
    }

    /// This node is known by the name that it was admitted under: the one that it asked for, or, where another member has
    /// that, one with a number behind it.
    fn adopt_name(&mut self, admitted: Option<String>) {
        let Some(name) = admitted.filter(|name| *name != self.own_name()) else { return };
        self.way_says(&format!("another node is called {} already; this one is {name} now", self.own_name()));
        if let Err(error) = self.take_names(Some(name), None) {
            log::warn!("this node keeps a name that another one has: {error}");
        }
    }
}
