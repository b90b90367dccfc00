//! The keys of what goes out of the node when something happens: hooks and alerts.

use super::{span_or_off, span_or_off_text, Key, Refused};
use crate::base::limits::{PERMIT_EVERY_MAX, PERMIT_EVERY_MIN};
use crate::node::events::address::Address;
use crate::node::events::alerts::Format;
use serde_json::Value as Json;

/// `hooks.dir`.
pub(super) const HOOKS_DIR: Key = Key {
    name: "hooks.dir",
    meaning: "The directory of hooks: executables named as an event (such as backup_failed) or `any`, which are run when it happens and get it as JSON on standard input. They run as the node's user, so only that user and root may own or change them.",
    default: "\"hooks\"",
    range: "a path; one that does not begin with / is meant from the node's home on",
    read: |config, value| {
        let path = value.as_str().filter(|path| !path.is_empty() && !path.contains('\0')).ok_or(Refused)?;
        config.hooks = path.to_owned();
        Ok(())
    },
    show: |config| Json::from(config.hooks.clone()),
};

/// `hooks.permit`.
pub(super) const HOOKS_PERMIT: Key = Key {
    name: "hooks.permit",
    meaning: "How often the hook `permit` is asked whether this node may work by itself: while it ends with another exit code than 0 (on battery, on a metered line) nothing is backed up or copied unless a person asks for it.",
    default: "\"off\"",
    range: "\"off\", or a time from \"1m\" to \"1d\"",
    read: |config, value| {
        config.hooks_permit = span_or_off(value, PERMIT_EVERY_MIN, PERMIT_EVERY_MAX)?;
        Ok(())
    },
    show: |config| span_or_off_text(config.hooks_permit),
};

/// `alerts.url`.
pub(super) const ALERTS_URL: Key = Key {
    name: "alerts.url",
    meaning: "Where warnings and errors are posted to: a webhook, or an ntfy topic. Unencrypted, so in the home network only. `nuthatch test-alert` tries it.",
    default: "\"off\"",
    range: "\"off\", or an address such as \"http://192.168.1.5:8080/nuthatch\" (https:// is not there yet: a hook that calls curl does it, docs/GUIDE.md shows one)",
    read: |config, value| {
        config.alerts = match value.as_str().ok_or(Refused)? {
            "off" => None,
            text => Some(Address::read(text).ok_or(Refused)?),
        };
        Ok(())
    },
    show: |config| Json::from(config.alerts.as_ref().map_or("off", Address::text)),
};

/// `alerts.format`.
pub(super) const ALERTS_FORMAT: Key = Key {
    name: "alerts.format",
    meaning: "How alerts are written: one JSON object, or the text and headers that ntfy takes.",
    default: "\"json\"",
    range: "\"json\" or \"ntfy\"",
    read: |config, value| {
        config.alerts_format = match value.as_str().ok_or(Refused)? {
            "json" => Format::Json,
            "ntfy" => Format::Ntfy,
            _ => return Err(Refused),
        };
        Ok(())
    },
    show: |config| {
        Json::from(match config.alerts_format {
            Format::Json => "json",
            Format::Ntfy => "ntfy",
        })
    },
};
