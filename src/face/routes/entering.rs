//! The requests that make a vault, or enter one.

use super::super::bodies::{InitBody, InviteBody, JoinBody, RecoverBody};
use super::{plain, post, Request};
use crate::node::api::Call;
use crate::node::boot::role_word;

/// The request that asks for one of these calls.
pub(super) fn request_of(call: &Call) -> Request {
    match call {
        Call::Init { name, site } => post("init", &InitBody { name: name.clone(), site: site.clone() }),
        Call::Join { code, peer, name, site } => post(
            "join",
            &JoinBody { code: code.clone(), peer: *peer, name: name.clone(), site: site.clone() },
        ),
        Call::Recover { phrase, peer, replace, name, site } => post(
            "recover",
            &RecoverBody {
                phrase: phrase.clone(),
                peer: *peer,
                replace: replace.clone(),
                name: name.clone(),
                site: site.clone(),
            },
        ),
        Call::Invite { role, wait } => {
            post("invite", &InviteBody { role: Some(role_word(*role).to_owned()), wait: *wait })
        }
        _ => plain("POST", String::new()),
    }
}
