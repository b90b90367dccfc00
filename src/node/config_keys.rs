//! The keys of `nuthatch.toml`: what each means, its unit, default and range, how it is read and shown.
//!
//! One table, [`KEYS`]; the sample file, the errors and `nuthatch config get` are made from it. A new key is a new row
//! here and a field in `node/config.rs`.

use std::net::SocketAddr;

use super::bandwidth::Schedule;
use super::config::Config;
use super::daily::Daily;
use super::room::Capacity;
use crate::base::limits::{
    COPIES_MAX, DRILL_EVERY_MAX, DRILL_EVERY_MIN, KEEPALIVE_MAX, KEEPALIVE_MIN, NAME_BYTES_MAX,
    PARTIAL_BYTES_MIN, PEER_ADDRESSES_MAX, RESCAN_MAX, RESCAN_MIN, RETIRED_MAX, RETIRED_MIN, SCRUB_DAYS_MAX,
    SCRUB_DAYS_MIN, SESSIONS_MAX, SESSIONS_MIN,
};
use crate::base::units::{Copies, Span};
use crate::file::retain::Policy;
pub use nearest::{edit_distance, key_named, nearest_key};
use serde_json::Value as Json;
use toml_edit::Value;
pub(super) use units::size_text;
use units::span_text;
pub use units::{bytes_of, span_of};

mod nearest;
mod outward;
mod reach;
mod units;
mod web;

pub use web::WebListen;

/// A key that can be set.
pub struct Key {
    /// `section.leaf`.
    pub name: &'static str,
    /// What it decides, with its unit: one line.
    pub meaning: &'static str,
    /// Its default, written as in the file.
    pub default: &'static str,
    /// What may be given, as a phrase that follows "give".
    pub range: &'static str,
    /// Takes the value over into the configuration.
    pub(super) read: fn(&mut Config, &Value) -> Result<(), Refused>,
    /// The value as JSON, written as it would be set.
    pub(super) show: fn(&Config) -> Json,
}

/// The value is of the wrong type or out of range; [`Key::range`] says what would be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused;

impl Key {
    /// The part before the dot.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(section, _)| section)
    }

    /// The part after the dot.
    #[must_use]
    pub fn leaf(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, leaf)| leaf)
    }

    /// Its line in the sample file.
    #[must_use]
    pub fn commented(&self) -> String {
        format!("# {} = {}", self.leaf(), self.default)
    }
}

/// Every key, in the order of the sample file.
pub const KEYS: &[Key] = &[
    Key {
        name: "node.name",
        meaning: "What this node is called in the vault; \"\" means the host's name. Read by `init`, `join` and `recover`.",
        default: "\"\"",
        range: "a text of at most 64 bytes without control characters",
        read: |config, value| {
            let name = name_of(value)?;
            config.name = (!name.is_empty()).then_some(name);
            Ok(())
        },
        show: |config| Json::from(config.name.clone().unwrap_or_default()),
    },
    Key {
        name: "node.site",
        meaning: "The place that could burn down as one: no site gets a second copy while another one has none.",
        default: "\"home\"",
        range: "a text of 1 to 64 bytes without control characters",
        read: |config, value| {
            let site = name_of(value)?;
            if site.is_empty() {
                return Err(Refused);
            }
            config.site = site;
            Ok(())
        },
        show: |config| Json::from(config.site.clone()),
    },
    Key {
        name: "node.capacity",
        meaning: "How much of this node's disk the vault may fill: beyond it no more copies of others' folders are taken. Copies are spread in step with it; with 0 there are none here.",
        default: "\"all\"",
        range: "\"all\" (as much as there is), a size such as \"200GB\" or \"1.5TiB\", or a part of the disk such as \"50%\"",
        read: |config, value| Capacity::read(value).map(|capacity| config.capacity = capacity).ok_or(Refused),
        show: |config| config.capacity.show(),
    },
    Key {
        name: "peers.addresses",
        meaning: "Addresses of other nodes to try, for networks where mDNS does not reach them.",
        default: "[]",
        range: "a list of at most 64 IP:port, such as [\"192.168.1.20:7117\", \"[fd00::7]:7117\"]",
        read: |config, value| {
            let list = strings_of(value)?;
            config.peers = list.iter().map(|text| text.parse().map_err(|_| Refused)).collect::<Result<_, _>>()?;
            if config.peers.len() > PEER_ADDRESSES_MAX {
                return Err(Refused);
            }
            Ok(())
        },
        show: |config| config.peers.iter().map(SocketAddr::to_string).collect(),
    },
    Key {
        name: "peers.keepalive",
        meaning: "How often an idle connection to another node proves that both are there; \"off\" (on both nodes) sends nothing, and a lost node is noticed only when something is sent.",
        default: "\"50s\"",
        range: "\"off\", or a time from \"10s\" to \"1h\": a number with s, m or h",
        read: |config, value| {
            config.keepalive = span_or_off(value, KEEPALIVE_MIN, KEEPALIVE_MAX)?;
            Ok(())
        },
        show: |config| span_or_off_text(config.keepalive),
    },
    Key {
        name: "peers.sessions",
        meaning: "How many other nodes this one is connected with at most. In a vault with more members a part of the others is chosen, and the rest is connected with when needed.",
        default: "64",
        range: "a whole number from 8 to 64",
        read: |config, value| {
            let count = value.as_integer().and_then(|count| usize::try_from(count).ok()).ok_or(Refused)?;
            if !(SESSIONS_MIN..=SESSIONS_MAX).contains(&count) {
                return Err(Refused);
            }
            config.sessions = count;
            Ok(())
        },
        show: |config| Json::from(config.sessions),
    },
    Key {
        name: "network.listen",
        meaning: "Where other nodes reach this one (UDP); \"default\" falls back to a free port where 7117 is busy.",
        default: "\"default\"",
        range: "\"default\" (port 7117 on every address), or IP:port such as \"0.0.0.0:7117\" or \"[::]:7117\"",
        read: |config, value| {
            config.listen = match value.as_str().ok_or(Refused)? {
                "default" => None,
                text => Some(text.parse().map_err(|_| Refused)?),
            };
            Ok(())
        },
        show: |config| config.listen.map_or_else(|| Json::from("default"), |address| Json::from(address.to_string())),
    },
    Key {
        name: "bandwidth.up",
        meaning: "How much all connections together may send, always or by the time of day (UTC); the strictest applies.",
        default: "\"unlimited\"",
        range: RATES,
        read: |config, value| {
            config.up = Schedule::read(value).ok_or(Refused)?;
            Ok(())
        },
        show: |config| config.up.show(),
    },
    Key {
        name: "bandwidth.down",
        meaning: "How much they may receive.",
        default: "\"unlimited\"",
        range: RATES,
        read: |config, value| {
            config.down = Schedule::read(value).ok_or(Refused)?;
            Ok(())
        },
        show: |config| config.down.show(),
    },
    Key {
        name: "mdns.enabled",
        meaning: "Whether nodes on the local network find each other by themselves.",
        default: "true",
        range: "true or false",
        read: |config, value| value.as_bool().map(|on| config.mdns = on).ok_or(Refused),
        show: |config| Json::from(config.mdns),
    },
    Key {
        name: "mdns.interfaces",
        meaning: "Network interfaces on which to announce; [] means all but loopback, container and bridge interfaces.",
        default: "[]",
        range: "a list of interface names, such as [\"eth0\", \"wlan0\"]",
        read: |config, value| {
            let list = strings_of(value)?;
            if list.iter().any(String::is_empty) {
                return Err(Refused);
            }
            config.mdns_interfaces = list;
            Ok(())
        },
        show: |config| Json::from(config.mdns_interfaces.clone()),
    },
    Key {
        name: "backup.copies",
        meaning: "On how many devices a new folder shall be, this one included.",
        default: "3",
        range: "a whole number from 1 to 16",
        read: |config, value| {
            let count = value.as_integer().and_then(|count| u8::try_from(count).ok()).ok_or(Refused)?;
            if count == 0 || count > COPIES_MAX {
                return Err(Refused);
            }
            config.copies = Copies::new(count);
            Ok(())
        },
        show: |config| Json::from(config.copies.get()),
    },
    Key {
        name: "backup.rescan",
        meaning: "How long after a backup of a folder the next one begins by itself, whether anything changes or not.",
        default: "\"1h\"",
        range: "a time from \"1m\" to \"30d\": a number with s, m, h or d",
        read: |config, value| span_within(value, RESCAN_MIN, RESCAN_MAX).map(|span| config.rescan = span),
        show: |config| Json::from(span_text(config.rescan)),
    },
    Key {
        name: "backup.watch",
        meaning: "Whether a folder is backed up soon when it is new and when something changes in it; if not, by `backup.rescan` alone.",
        default: "true",
        range: "true or false",
        read: |config, value| value.as_bool().map(|on| config.watch = on).ok_or(Refused),
        show: |config| Json::from(config.watch),
    },
    Key {
        name: "backup.daily",
        meaning: "Times of day (UTC) at which all folders are backed up, beside `backup.watch` and `backup.rescan`.",
        default: "\"off\"",
        range: "\"off\", a time such as \"02:30\", or a list of at most 24",
        read: |config, value| Daily::read(value).map(|daily| config.daily = daily).ok_or(Refused),
        show: |config| config.daily.show(),
    },
    Key {
        name: "backup.keep",
        meaning: "Which snapshots of a new folder are kept: the last ones, and the newest of each hour, day, week, month and year.",
        default: "\"last=10,hourly=24,daily=30,weekly=12,monthly=24,yearly=5\"",
        range: "\"all\", or rules such as \"last=10,daily=30,monthly=24\"",
        read: |config, value| value.as_str().and_then(|text| Policy::parse(text).ok()).map(|keep| config.keep = keep).ok_or(Refused),
        show: |config| Json::from(config.keep.to_string()),
    },
    Key {
        name: "backup.push",
        meaning: "Whether new chunks are sent to the other devices while a backup runs; if not, they fetch them when it is done.",
        default: "true",
        range: "true or false",
        read: |config, value| value.as_bool().map(|on| config.push = on).ok_or(Refused),
        show: |config| Json::from(config.push),
    },
    Key {
        name: "backup.partial",
        meaning: "After how many newly stored bytes a long backup lists what it has so far in a partial snapshot, which others keep; it does so every 6 hours too.",
        default: "\"64GiB\"",
        range: "a size of at least \"16MiB\"",
        read: |config, value| {
            let bytes = value.as_str().and_then(bytes_of).filter(|bytes| *bytes >= PARTIAL_BYTES_MIN);
            config.partial_bytes = bytes.ok_or(Refused)?;
            Ok(())
        },
        show: |config| Json::from(size_text(config.partial_bytes)),
    },
    Key {
        name: "drill.every",
        meaning: "How often a sample of this node's folders is restored from other devices and compared, to know that it could be.",
        default: "\"7d\"",
        range: "\"off\", or a time from \"1d\" to \"90d\"",
        read: |config, value| {
            config.drill_every = span_or_off(value, DRILL_EVERY_MIN, DRILL_EVERY_MAX)?;
            Ok(())
        },
        show: |config| span_or_off_text(config.drill_every),
    },
    Key {
        name: "guard.share",
        meaning: "When more than this part of a folder's files, or of their bytes, is suddenly gone, this node asks before anything is retired or passed on; a file that became noise counts twice.",
        default: "\"50%\"",
        range: "\"off\", or from \"1%\" to \"99%\"",
        read: |config, value| {
            config.guard_share = match value.as_str().ok_or(Refused)? {
                "off" => None,
                text => {
                    let share = text.strip_suffix('%').and_then(|share| share.parse().ok());
                    Some(share.filter(|share| (1..=99).contains(share)).ok_or(Refused)?)
                }
            };
            Ok(())
        },
        show: |config| Json::from(config.guard_share.map_or_else(|| "off".to_owned(), |share| format!("{share}%"))),
    },
    Key {
        name: "guard.files",
        meaning: "... and at least so many files.",
        default: "20",
        range: "a whole number from 1 to 1000000",
        read: |config, value| {
            let files = value.as_integer().and_then(|files| u64::try_from(files).ok()).ok_or(Refused)?;
            config.guard_files = (1..=1_000_000).contains(&files).then_some(files).ok_or(Refused)?;
            Ok(())
        },
        show: |config| Json::from(config.guard_files),
    },
    Key {
        name: "store.retired",
        meaning: "How long a retired snapshot can be taken back before this node gives its chunks up, counted in the time that the node itself has run.",
        default: "\"37d\"",
        range: "a time from \"37d\" to \"3650d\"",
        read: |config, value| span_within(value, RETIRED_MIN, RETIRED_MAX).map(|span| config.retired = span),
        show: |config| Json::from(span_text(config.retired)),
    },
    Key {
        name: "scrub.days",
        meaning: "In how many days (of its own running time) this node reads everything that it stores again, to find rot while others can heal it.",
        default: "30",
        range: "a whole number from 1 to 365",
        read: |config, value| {
            let days = value.as_integer().and_then(|days| u64::try_from(days).ok()).ok_or(Refused)?;
            config.scrub_days = (SCRUB_DAYS_MIN..=SCRUB_DAYS_MAX).contains(&days).then_some(days).ok_or(Refused)?;
            Ok(())
        },
        show: |config| Json::from(config.scrub_days),
    },
    Key {
        name: "log.level",
        meaning: "How much goes to the log.",
        default: "\"info\"",
        range: "one of \"error\", \"warn\", \"info\", \"debug\", \"trace\"",
        read: |config, value| {
            config.log_level = match value.as_str().ok_or(Refused)? {
                "error" => log::LevelFilter::Error,
                "warn" => log::LevelFilter::Warn,
                "info" => log::LevelFilter::Info,
                "debug" => log::LevelFilter::Debug,
                "trace" => log::LevelFilter::Trace,
                _ => return Err(Refused),
            };
            Ok(())
        },
        show: |config| Json::from(config.log_level.as_str().to_ascii_lowercase()),
    },
    outward::HOOKS_DIR,
    outward::HOOKS_PERMIT,
    outward::ALERTS_URL,
    outward::ALERTS_FORMAT,
    web::LISTEN,
    web::TLS,
    web::HOSTS,
];

/// What a limit of bandwidth may be.
const RATES: &str = "\"unlimited\", a rate from \"64kbit\" (kbit, Mbit or Gbit), or a list such as [\"08:00-23:00 20Mbit\", \"23:00-08:00 100Mbit\"]";

/// A span within these bounds.
fn span_within(value: &Value, min: Span, max: Span) -> Result<Span, Refused> {
    let span = value.as_str().and_then(span_of).ok_or(Refused)?;
    (min..=max).contains(&span).then_some(span).ok_or(Refused)
}

/// "off" (None), or a span within these bounds.
fn span_or_off(value: &Value, min: Span, max: Span) -> Result<Option<Span>, Refused> {
    if value.as_str() == Some("off") {
        return Ok(None);
    }
    span_within(value, min, max).map(Some)
}

/// As [`span_or_off`] reads it.
fn span_or_off_text(span: Option<Span>) -> Json {
    Json::from(span.map_or_else(|| "off".to_owned(), span_text))
}

/// A name of a node or a site.
fn name_of(value: &Value) -> Result<String, Refused> {
    let name = value.as_str().ok_or(Refused)?;
    if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        return Err(Refused);
    }
    Ok(name.to_owned())
}

/// A list of texts.
fn strings_of(value: &Value) -> Result<Vec<String>, Refused> {
    let list = value.as_array().ok_or(Refused)?;
    list.iter().map(|item| item.as_str().map(str::to_owned).ok_or(Refused)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_are_read_in_the_usual_units() {
        assert_eq!(bytes_of("200GB"), Some(200_000_000_000));
        assert_eq!(bytes_of("1.5 TiB"), Some(1_649_267_441_664));
        assert_eq!(bytes_of("512"), Some(512));
        assert_eq!(bytes_of("0"), Some(0));
        for wrong in ["", "GB", "-1GB", "1XB", "99999999999TB", "1.2.3GB", "1.0000001GB"] {
            assert_eq!(bytes_of(wrong), None, "{wrong}");
        }
        assert_eq!(span_of("90s"), Some(Span::from_secs(90)));
        assert_eq!(span_of("1.5h"), Some(Span::from_secs(5_400)));
        assert_eq!(span_of("1"), None);
        for text in ["90s", "15m", "7h", "30d"] {
            assert_eq!(span_of(text).map(span_text).as_deref(), Some(text));
        }
    }

    #[test]
    fn the_nearest_key_is_found_by_a_misspelt_name_or_part() {
        assert_eq!(nearest_key("node.nmae").name, "node.name");
        assert_eq!(nearest_key("capacity").name, "node.capacity");
        assert_eq!(nearest_key("backup.interval").section(), "backup");
        assert_eq!(nearest_key("mdns.interface").name, "mdns.interfaces");
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
    }

    #[test]
    fn the_ranges_in_the_table_say_what_the_limits_are() {
        let copies = key_named("backup.copies").unwrap();
        assert!(copies.range.ends_with(&format!("1 to {COPIES_MAX}")));
        let rescan = key_named("backup.rescan").unwrap();
        assert!(rescan.range.contains(&format!(
            "\"{}\" to \"{}\"",
            span_text(RESCAN_MIN),
            span_text(RESCAN_MAX)
        )));
        assert!(key_named("peers.addresses")
            .unwrap()
            .range
            .contains(&format!("at most {PEER_ADDRESSES_MAX} ")));
        assert!(key_named("node.name").unwrap().range.contains(&format!("at most {NAME_BYTES_MAX} ")));
    }
}
