//! Loading: from an empty core to what the disk remembers.
//!
//! Settings first, then all feed entries, page by page. An entry whose author is admitted by an entry that comes later is
//! tried again in another pass; passes end when one brings nothing new, so memory stays bounded whatever is stored.

use std::collections::BTreeMap;

use super::activity::Level;
use super::api::ApiError;
use super::core::{Core, Pending};
use super::member::{Keys, Membership};
use crate::base::ids::FeedId;
use crate::base::limits::FEED_ENTRIES_MESSAGE_BYTES_MAX;
use crate::feed::entry::{FeedError, Role};
use crate::seal::keys::{FullKeys, NodeSecret, StoreKeys};
use crate::store::service::Request;

/// The state of loading.
#[derive(Debug, Default)]
pub struct Loading {
    /// The settings, once they are read.
    settings: BTreeMap<String, Vec<u8>>,
    /// The last entry of the page before.
    after: Option<(FeedId, u64)>,
    /// Entries that this pass has brought.
    applied_count: u64,
    /// Entries whose author is not known yet.
    deferred_count: u64,
    /// The store could not read it all. The node stays as it is: half of a state must not be written behind.
    failed: bool,
}

/// Settings under which a member remembers itself.
pub mod setting {
    /// The node's secrets.
    pub const IDENTITY: &str = "identity";
    /// The vault's keys: role byte, then the keys.
    pub const KEYS: &str = "keys";
    /// The random part of the live feed.
    pub const FEED: &str = "feed";
}

impl Core {
    /// Asks for the settings.
    pub(super) fn begin_loading(&mut self) {
        self.loading = Some(Loading::default());
        self.ask_store(Pending::LoadSettings, |op| Request::Load { op, prefix: String::new() });
    }

    /// The settings are here: is this a member?
    pub(super) fn settings_loaded(&mut self, settings: Vec<(String, Vec<u8>)>) {
        let settings: BTreeMap<String, Vec<u8>> = settings.into_iter().collect();
        let Some(member) = membership(&settings) else {
            if settings.contains_key(setting::IDENTITY) {
                self.note(Level::Error, "home", "the identity in this home cannot be read; restore state.redb or use `nuthatch recover` in an empty home");
            }
            self.loaded();
            return;
        };
        self.member = Some(member);
        if let Some(loading) = &mut self.loading {
            loading.settings = settings;
        }
        self.load_entries(None);
    }

    /// Asks for the next page of entries.
    fn load_entries(&mut self, after: Option<(FeedId, u64)>) {
        self.ask_store(Pending::LoadEntries, |op| Request::Entries {
            op,
            feed: None,
            after,
            limit_bytes: FEED_ENTRIES_MESSAGE_BYTES_MAX,
        });
    }

    /// A page of entries is here.
    pub(super) fn entries_loaded(&mut self, entries: Vec<(FeedId, u64, Vec<u8>)>, more: bool) {
        let (Some(loading), Some(member)) = (&mut self.loading, &mut self.member) else { return };
        for (feed, sequence, bytes) in entries {
            loading.after = Some((feed, sequence));
            match member.view.apply(&bytes) {
                Ok(_) => {
                    loading.applied_count += 1;
                    if let Some(head) = member.view.head(&feed) {
                        member.durable.insert(feed, head);
                    }
                }
                Err(FeedError::Known) => {}
                Err(FeedError::UnknownAuthor(_) | FeedError::Gap { .. }) => loading.deferred_count += 1,
                Err(error) => {
                    log::error!("entry {sequence} of feed {} is damaged: {error}", feed.node.short())
                }
            }
        }
        if more {
            let after = loading.after;
            self.load_entries(after);
            return;
        }
        let again = loading.deferred_count > 0 && loading.applied_count > 0;
        loading.applied_count = 0;
        loading.deferred_count = 0;
        if again {
            self.load_entries(None);
        } else {
            self.loaded();
        }
    }

    /// The store could not read what it was asked for: no call is kept waiting for it.
    pub(super) fn loading_failed(&mut self) {
        if let Some(loading) = &mut self.loading {
            loading.failed = true;
        }
        self.refuse_if_unreadable();
    }

    /// If the state cannot be loaded, calls that wait for it are told so.
    pub(super) fn refuse_if_unreadable(&mut self) {
        let hint = "look at the disk and the system log, then start the node again";
        while self.loading.as_ref().is_some_and(|loading| loading.failed) {
            let Some((id, _)) = self.calls.early.pop_front() else { break };
            self.end_call(
                id,
                Err(ApiError::new("disk", "the node's state cannot be read from its disk", hint)),
            );
        }
    }

    /// Everything is known: the node begins to live.
    fn loaded(&mut self) {
        let settings = self.loading.take().map(|loading| loading.settings).unwrap_or_default();
        self.charts_begin(&settings);
        if self.member.is_some() {
            self.load_chain(&settings);
            self.folders.load(&settings);
            self.pausing_begins(&settings);
            self.reach.seen.load(&settings);
            self.become_member();
            self.keyring_changed();
        }
        self.upkeep_begins(&settings);
        self.announce();
        self.serve_waiting_calls();
    }
}

/// The membership that the settings describe.
fn membership(settings: &BTreeMap<String, Vec<u8>>) -> Option<Membership> {
    let secret = NodeSecret::decode(settings.get(setting::IDENTITY)?).ok()?;
    let keys = decode_keys(settings.get(setting::KEYS)?)?;
    let random = settings.get(setting::FEED)?.as_slice().try_into().ok()?;
    let own = FeedId { node: secret.node_id(), random };
    Some(Membership::new(secret, keys, own))
}

/// Keys as they are stored: a byte for the role, then the keys of that role.
#[must_use]
pub fn encode_keys(keys: &Keys) -> Vec<u8> {
    let (role, body) = match keys {
        Keys::Full(keys) => (ROLE_FULL, keys.encode()),
        Keys::Store(keys) => (ROLE_STORE, keys.encode()),
    };
    [&[role], body.as_slice()].concat()
}

/// Reads what [`encode_keys`] wrote.
#[must_use]
pub fn decode_keys(bytes: &[u8]) -> Option<Keys> {
    match bytes.split_first()? {
        (&ROLE_FULL, body) => FullKeys::decode(body).ok().map(Keys::Full),
        (&ROLE_STORE, body) => StoreKeys::decode(body).ok().map(Keys::Store),
        _ => None,
    }
}

/// The word for a role.
#[must_use]
pub const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Full => "full",
        Role::Store => "store",
    }
}

/// Begins the stored keys of a full node.
const ROLE_FULL: u8 = 1;
/// Begins the stored keys of a store node.
const ROLE_STORE: u8 = 2;
