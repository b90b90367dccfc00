//! `nuthatch.toml` as values: reads it, changes one key of it, and says what is wrong with it.
//!
//! Owns the type [`Config`] and the errors; the table of keys is in `node/config_keys.rs`. Text in, text out: no file is
//! touched here. A wrong key is never skipped, for a typing error must not quietly mean "the default".

use std::fmt;
use std::net::SocketAddr;

use super::api::ApiError;
use super::bandwidth::Schedule;
use super::config_keys::{key_named, nearest_key, Key, WebListen, KEYS};
use super::daily::Daily;
use super::events::address::Address;
use super::events::alerts::Format;
use super::room::Capacity;
use crate::base::limits::{CONFIG_BYTES_MAX, PARTIAL_BYTES, RETIRED_MIN, SESSIONS_MAX, SESSION_KEEPALIVE};
use crate::base::units::{Copies, Span};
use crate::file::retain::Policy;
use serde_json::{Map, Value as Json};
use toml_edit::{Array, DocumentMut, ImDocument, Item, Value};

/// The file's name in the data home, as errors give it.
pub const FILE_NAME: &str = "nuthatch.toml";

/// Everything that can be set. `Config::default()` is what an empty file means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `node.name`; None: the host's name.
    pub name: Option<String>,
    /// `node.site`.
    pub site: String,
    /// `node.capacity`.
    pub capacity: Capacity,
    /// `peers.addresses`: tried beside what mDNS and the vault know.
    pub peers: Vec<SocketAddr>,
    /// `network.listen`; None: the default port on every address, or a free one where that is busy.
    pub listen: Option<SocketAddr>,
    /// `bandwidth.up`.
    pub up: Schedule,
    /// `bandwidth.down`.
    pub down: Schedule,
    /// `peers.keepalive`; None: off.
    pub keepalive: Option<Span>,
    /// `peers.sessions`: how many there may be at once.
    pub sessions: usize,
    /// `mdns.enabled`.
    pub mdns: bool,
    /// `mdns.interfaces`; empty: all but loopback, container and bridge interfaces.
    pub mdns_interfaces: Vec<String>,
    /// `backup.copies`, for folders that do not say how many.
    pub copies: Copies,
    /// `backup.rescan`: how long after a scan the next one begins.
    pub rescan: Span,
    /// `backup.daily`: when all folders are scanned.
    pub daily: Daily,
    /// `backup.watch`: a folder is scanned when something changes in it.
    pub watch: bool,
    /// `backup.keep`, for folders that do not say how many snapshots they keep.
    pub keep: Policy,
    /// `backup.push`: new chunks go to other nodes while a backup runs.
    pub push: bool,
    /// `backup.partial`: after how many new bytes a running backup publishes a partial snapshot.
    pub partial_bytes: u64,
    /// `store.retired`: how long a retired snapshot keeps its chunks, in own running time.
    pub retired: Span,
    /// `drill.every`; None: off.
    pub drill_every: Option<Span>,
    /// `guard.share`: more than so many of a hundred; None: off.
    pub guard_share: Option<u64>,
    /// `guard.files`: and at least so many.
    pub guard_files: u64,
    /// `scrub.days`.
    pub scrub_days: u64,
    /// `log.level`.
    pub log_level: log::LevelFilter,
    /// `hooks.dir`: where hooks are, from the home on.
    pub hooks: String,
    /// `hooks.permit`: how often the hook of this name is asked; None: never.
    pub hooks_permit: Option<Span>,
    /// `alerts.url`; None: off.
    pub alerts: Option<Address>,
    /// `alerts.format`.
    pub alerts_format: Format,
    /// `web.listen`.
    pub web: WebListen,
    /// `web.tls`.
    pub web_tls: bool,
    /// `web.hosts`: names of the page beside those that only the local network knows.
    pub web_hosts: Vec<String>,
}

/// Why a configuration, or a change to it, is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The dotted key, where it is about one.
    pub key: Option<String>,
    /// Line in the file, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl Config {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// When it is no TOML, has a key that does not exist, or a value of the wrong type or out of range.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let document = read_document(text)?;
        let line_of = |span: Option<std::ops::Range<usize>>| span.map(|span| line_at(text, span.start));
        let mut config = Self::default();
        for (section, item) in document.iter() {
            let section_line = line_of(document.key(section).and_then(toml_edit::Key::span));
            let Some(table) = item.as_table_like() else {
                return Err(unknown(section, section_line));
            };
            for (name, item) in table.iter() {
                let full = format!("{section}.{name}");
                let line = line_of(table.key(name).and_then(toml_edit::Key::span));
                let key = key_named(&full).ok_or_else(|| unknown(&full, line))?;
                let value = item.as_value().ok_or_else(|| wrong(key, "a table", line))?;
                (key.read)(&mut config, value).map_err(|_| wrong(key, &shown(value), line))?;
            }
            if table.is_empty() && !KEYS.iter().any(|key| key.section() == section) {
                return Err(unknown(section, section_line));
            }
        }
        Ok(config)
    }

    /// One key's value.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn value(&self, key: &str) -> Result<Json, ConfigError> {
        key_named(key).map(|found| (found.show)(self)).ok_or_else(|| unknown(key, None))
    }

    /// Every key with its value and what one has to know to choose another, in the order of the sample file.
    #[must_use]
    pub fn explained(&self) -> Json {
        let told = |key: &Key| {
            serde_json::json!({
                "key": key.name, "value": (key.show)(self), "default": key.default, "meaning": key.meaning, "range": key.range,
                "local_only": key.is_local_only(), "next_start": key.is_for_next_start(),
            })
        };
        KEYS.iter().map(told).collect()
    }

    /// Every key with its value, as one object.
    #[must_use]
    pub fn values(&self) -> Json {
        Json::Object(KEYS.iter().map(|key| (key.name.to_owned(), (key.show)(self))).collect::<Map<_, _>>())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            name: None,
            site: "home".to_owned(),
            capacity: Capacity::All,
            peers: Vec::new(),
            keepalive: Some(SESSION_KEEPALIVE),
            sessions: SESSIONS_MAX,
            listen: None,
            up: Schedule::default(),
            down: Schedule::default(),
            mdns: true,
            mdns_interfaces: Vec::new(),
            copies: Copies::new(3),
            rescan: Span::from_secs(3_600),
            watch: true,
            daily: Daily::default(),
            keep: Policy::default(),
            push: true,
            partial_bytes: PARTIAL_BYTES,
            retired: RETIRED_MIN,
            drill_every: Some(Span::from_secs(7 * 86_400)),
            guard_share: Some(50),
            guard_files: 20,
            scrub_days: 30,
            log_level: log::LevelFilter::Info,
            hooks: "hooks".to_owned(),
            hooks_permit: None,
            alerts: None,
            alerts_format: Format::Json,
            web: WebListen::Default,
            web_tls: false,
            web_hosts: Vec::new(),
        }
    }
}

/// The text with one key changed; everything else, comments too, stays as it is. `value` is a TOML value, or a bare
/// word for a string, or words with commas between them for a list.
///
/// # Errors
/// When the text is wrong already, the key does not exist, or the value does not fit it.
pub fn set(text: &str, key: &str, value: &str) -> Result<String, ConfigError> {
    Config::parse(text)?;
    // The first change of a home without a file gives it one that explains itself.
    let fresh = sample();
    let text = if text.trim().is_empty() { &fresh } else { text };
    let found = key_named(key).ok_or_else(|| unknown(key, None))?;
    let fitting = candidates(value)
        .into_iter()
        .find(|candidate| (found.read)(&mut Config::default(), candidate).is_ok())
        .ok_or_else(|| wrong(found, value, None))?;
    let changed = match uncommented(text, found, &fitting) {
        Some(changed) => changed,
        None => edited(text, found, fitting)?,
    };
    Config::parse(&changed)?;
    Ok(changed)
}

/// The file that a new home gets: every key with its meaning, commented out, so that a later default reaches it.
#[must_use]
pub fn sample() -> String {
    let mut text = String::from(
        "# The configuration of this nuthatch node. Every key is optional; what is commented out shows the default.\n\
         # `nuthatch config set KEY VALUE` changes a key and keeps these comments; `nuthatch config check` checks the file.\n",
    );
    let mut section = "";
    for key in KEYS {
        if key.section() != section {
            section = key.section();
            text.push_str(&format!("\n[{section}]\n"));
        }
        text.push_str(&format!("# {}\n# Give {}.\n", key.meaning, key.range));
        text.push_str(&format!("{}\n", key.commented()));
    }
    text
}

/// Parses the text, keeping where each key stands.
fn read_document(text: &str) -> Result<ImDocument<&str>, ConfigError> {
    if text.len() > CONFIG_BYTES_MAX {
        return Err(ConfigError {
            key: None,
            line: None,
            message: format!("{FILE_NAME} is longer than {CONFIG_BYTES_MAX} bytes"),
            hint: "shorten it; `nuthatch config get` shows what can be set".to_owned(),
        });
    }
    ImDocument::parse(text).map_err(|error| ConfigError {
        key: None,
        line: error.span().map(|span| line_at(text, span.start)),
        message: error.message().lines().collect::<Vec<_>>().join(", "),
        hint: "correct the line; values are written as in TOML: \"text\", 3, true, [\"a\", \"b\"]".to_owned(),
    })
}

/// What a person may have meant by `value`, best guess first.
fn candidates(value: &str) -> Vec<Value> {
    let mut found = Vec::new();
    if let Ok(parsed) = value.trim().parse::<Value>() {
        found.push(parsed);
    }
    found.push(Value::from(value));
    let words = value.split(',').map(str::trim).filter(|word| !word.is_empty());
    found.push(Value::Array(words.collect::<Array>()));
    found
}

/// The text with the sample's commented line of this key replaced, if it stands under its section.
fn uncommented(text: &str, key: &Key, value: &Value) -> Option<String> {
    let document = text.parse::<DocumentMut>().ok()?;
    if document.get(key.section()).and_then(|section| section.get(key.leaf())).is_some() {
        return None;
    }
    let mut section = String::new();
    let mut changed = String::with_capacity(text.len() + 64);
    let mut done = false;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if let Some(header) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = header.trim().to_owned();
        }
        if !done && section == key.section() && bare == key.commented() {
            changed.push_str(&format!("{} = {}\n", key.leaf(), value.to_string().trim()));
            done = true;
        } else {
            changed.push_str(line);
        }
    }
    done.then_some(changed)
}

/// The text with the key set in the parsed document.
fn edited(text: &str, key: &Key, mut value: Value) -> Result<String, ConfigError> {
    let mut document = text.parse::<DocumentMut>().map_err(|error| ConfigError {
        key: None,
        line: None,
        message: error.message().to_owned(),
        hint: "correct the file first".to_owned(),
    })?;
    let section = document.entry(key.section()).or_insert_with(toml_edit::table);
    let table = section.as_table_like_mut().ok_or_else(|| unknown(key.section(), None))?;
    match table.get_mut(key.leaf()) {
        Some(Item::Value(old)) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        _ => {
            table.insert(key.leaf(), Item::Value(value));
        }
    }
    Ok(document.to_string())
}

/// The error for a key that does not exist.
fn unknown(name: &str, line: Option<usize>) -> ConfigError {
    ConfigError {
        key: Some(name.to_owned()),
        line,
        message: format!("there is no key {name}"),
        hint: format!("did you mean {}? `nuthatch config get` lists every key", nearest_key(name).name),
    }
}

/// The error for a value that does not fit its key.
fn wrong(key: &Key, value: &str, line: Option<usize>) -> ConfigError {
    ConfigError {
        key: Some(key.name.to_owned()),
        line,
        message: format!("{} cannot be {value}", key.name),
        hint: format!("give {}", key.range),
    }
}

/// A value as it stands in the file.
fn shown(value: &Value) -> String {
    value.to_string().trim().to_owned()
}

/// The line, from 1, in which a byte stands.
fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(formatter, "{FILE_NAME}, line {line}: ")?;
        }
        write!(formatter, "{}; {}", self.message, self.hint)
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for ApiError {
    fn from(error: ConfigError) -> Self {
        let place = error.line.map_or_else(String::new, |line| format!("{FILE_NAME}, line {line}: "));
        Self::new("config_invalid", format!("{place}{}", error.message), error.hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_means_the_defaults_with_and_without_its_comment_signs() {
        assert_eq!(Config::parse(&sample()), Ok(Config::default()));
        let live: String = sample()
            .lines()
            .map(|line| {
                let key = KEYS.iter().find(|key| key.commented() == line);
                key.map_or_else(|| format!("{line}\n"), |key| format!("{} = {}\n", key.leaf(), key.default))
            })
            .collect();
        assert_eq!(
            live.lines().filter(|line| line.contains(" = ") && !line.starts_with('#')).count(),
            KEYS.len()
        );
        assert_eq!(Config::parse(&live), Ok(Config::default()));
        assert_eq!(Config::parse(""), Ok(Config::default()));
    }

    #[test]
    fn every_key_is_read() {
        let text = "[node]\nname = \"attic\"\nsite = \"parents\"\ncapacity = \"200GB\"\n[peers]\naddresses = [\"10.0.0.7:7117\"]\nkeepalive = \"off\"\nsessions = 16\n\
                    [network]\nlisten = \"127.0.0.1:0\"\n[bandwidth]\nup = \"20Mbit\"\ndown = [\"08:00-23:00 20Mbit\", \"1Gbit\"]\n[mdns]\nenabled = false\ninterfaces = [\"eth0\"]\n\
                    [backup]\npush = false\nwatch = false\ndaily = \"02:30\"\npartial = \"1GiB\"\ncopies = 2\nrescan = \"15m\"\nkeep = \"daily=7\"\n[drill]\nevery = \"30d\"\n[guard]\nshare = \"off\"\nfiles = 5\n[store]\nretired = \"90d\"\n[scrub]\ndays = 7\n[log]\nlevel = \"debug\"\n\
                    [hooks]\ndir = \"/etc/nuthatch/hooks\"\npermit = \"5m\"\n[alerts]\nurl = \"http://10.0.0.2/nuthatch\"\nformat = \"ntfy\"\n[web]\nlisten = \"off\"\ntls = \"on\"\nhosts = [\"box.example.org\"]\n";
        let config = Config::parse(text).unwrap();
        assert_eq!(config.name.as_deref(), Some("attic"));
        assert_eq!(config.site, "parents");
        assert_eq!(config.capacity, Capacity::Bytes(200_000_000_000));
        assert_eq!(config.peers, ["10.0.0.7:7117".parse().unwrap()]);
        assert_eq!((config.keepalive, config.sessions), (None, 16));
        assert_eq!(config.listen, Some("127.0.0.1:0".parse().unwrap()));
        assert!(!config.mdns);
        assert_eq!(config.mdns_interfaces, ["eth0"]);
        assert_eq!(config.copies, Copies::new(2));
        assert_eq!(config.rescan, Span::from_secs(900));
        assert_eq!(config.log_level, log::LevelFilter::Debug);
        assert!(
            KEYS.iter().all(|key| (key.show)(&config) != (key.show)(&Config::default())),
            "a key does nothing"
        );
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_right_one() {
        let error = Config::parse("# mine\n[backup]\ncopis = 2\n").unwrap_err();
        assert_eq!((error.key.as_deref(), error.line), (Some("backup.copis"), Some(3)));
        assert!(error.to_string().contains("did you mean backup.copies?"), "{error}");
        let error = Config::parse("copies = 2\n").unwrap_err();
        assert!(error.hint.contains("backup.copies"), "{error}");
        let error = Config::parse("[netwrk]\nlisten = \"x\"\n").unwrap_err();
        assert!(error.hint.contains("network.listen"), "{error}");
        assert!(Config::parse("[netwrk]\n").is_err());
    }

    #[test]
    fn a_wrong_type_or_range_is_named_with_its_line() {
        for (text, key) in [
            ("[backup]\ncopies = \"many\"\n", "backup.copies"),
            ("[backup]\ncopies = 0\n", "backup.copies"),
            ("[backup]\nrescan = 5\n", "backup.rescan"),
            ("[backup]\nrescan = \"5 parsecs\"\n", "backup.rescan"),
            ("[node]\ncapacity = \"-1GB\"\n", "node.capacity"),
            ("[node]\ncapacity = \"101%\"\n", "node.capacity"),
            ("[node]\nname = \"a\\nb\"\n", "node.name"),
            ("[network]\nlisten = \"here\"\n", "network.listen"),
            ("[mdns]\nenabled = \"yes\"\n", "mdns.enabled"),
            ("[peers]\naddresses = \"10.0.0.7:7117\"\n", "peers.addresses"),
            ("[peers]\nkeepalive = \"9s\"\n", "peers.keepalive"),
            ("[peers]\nkeepalive = 50\n", "peers.keepalive"),
            ("[peers]\nsessions = 65\n", "peers.sessions"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert_eq!((error.key.as_deref(), error.line), (Some(key), Some(2)), "{text}");
        }
        assert_eq!(Config::parse("[node]\n\nname = \n").unwrap_err().line, Some(3));
    }

    #[test]
    fn setting_a_key_keeps_comments_and_other_keys() {
        let before = "# top\n[node] # here\nname = \"old\" # why\nsite = \"home\"\n";
        let after = set(before, "node.name", "attic").unwrap();
        assert_eq!(after, "# top\n[node] # here\nname = \"attic\" # why\nsite = \"home\"\n");
        let after = set(&after, "peers.addresses", "10.0.0.7:7117, [fe80::1]:7117").unwrap();
        assert_eq!(Config::parse(&after).unwrap().peers.len(), 2);
        assert!(after.starts_with("# top\n[node] # here\n"));
        let error = set(before, "backup.copies", "none").unwrap_err();
        assert!(error.message.contains("backup.copies cannot be none"), "{error}");
        assert!(set(before, "backup.copy", "2").unwrap_err().hint.contains("backup.copies"));
        assert!(set("copies = 1", "node.name", "x").is_err());
    }

    #[test]
    fn setting_a_key_of_the_sample_replaces_its_commented_line() {
        let after = set(&sample(), "node.capacity", "200GB").unwrap();
        assert_eq!(after.lines().count(), sample().lines().count());
        assert!(after.contains("\ncapacity = \"200GB\"\n"));
        assert_eq!(set("", "node.capacity", "200GB"), Ok(after.clone()));
        let again = set(&after, "node.capacity", "all").unwrap();
        assert_eq!(Config::parse(&again), Ok(Config::default()));
        assert_eq!(again.lines().count(), sample().lines().count());
    }

    #[test]
    fn a_value_is_shown_as_json() {
        let config = Config::default();
        assert_eq!(config.value("backup.copies"), Ok(Json::from(3)));
        assert!(config.value("backup.coppies").unwrap_err().hint.contains("backup.copies"));
        assert_eq!(config.values().as_object().map(Map::len), Some(KEYS.len()));
    }
}
