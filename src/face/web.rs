//! The web page and the API over TCP: who asks, whether they may, and what they get.
//!
//! The same API as over the control socket (`face/routes.rs`), behind a login; the page's files; and what only makes sense
//! over HTTP. Begin with `site.rs`, which looks at each request in this order: is it meant for this node (`gate.rs`), who
//! asks (`accounts.rs`), may they (`rights.rs`), what is it. Knows the node only through its [`Call`](crate::node::api::Call)s.

mod access;
mod account;
mod accounts;
mod assets;
mod attempts;
mod classic;
mod content;
mod dav;
#[cfg(test)]
mod document;
mod events;
mod filed;
mod gate;
mod heads;
mod metrics;
mod passwords;
mod places;
mod plain;
mod rights;
mod site;
mod taken;
mod uploads;
mod zip;

pub use classic::check_multipart_bytes;
pub use dav::check_xml_bytes;
pub use site::make_site;

use crate::io::os::Clock;
use crate::node::api::ApiError;
use std::path::Path;

/// Sets a password without a node that runs; whoever calls holds the home.
///
/// # Errors
/// When there is no such user, the password is too short, or the home cannot be written.
pub fn set_password_alone(home: &Path, user: &str, password: &str) -> Result<(), ApiError> {
    let accounts = accounts::Accounts::open(home.to_path_buf(), Clock::new(), 0, false)?;
    smol::block_on(accounts.set_password(user, password)).map(|_| ())
}
