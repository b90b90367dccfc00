//! `/metrics`: the status as numbers, in the text format of Prometheus; and `/health`.
//!
//! A table says which number is where in the status (docs/METRICS.md is made from it). What is not known is left out, never shown as zero.

use std::fmt::Write as _;

use hyper::header::{HeaderValue, CONTENT_TYPE};
use hyper::{Response, StatusCode};
use serde_json::{json, Value};
use smol::Timer;

use super::rights::Grant;
use super::site::{value_of, WebSite};
use crate::base::limits::HEALTH_TIME_MAX;
use crate::io::http::{json_response, Answer, AnswerBody};
use crate::io::os::duration;
use crate::node::api::{ApiError, Call};

/// How a value of the status becomes a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A number, or true and false as 1 and 0.
    Number,
    /// Microseconds, as seconds.
    Seconds,
    /// A time, as seconds since 1970.
    Moment,
    /// A list, by its length.
    Length,
    /// Whether anything is there.
    Any,
    /// Members of an object, each with its name as the label.
    Each,
}

/// One number, or one for each of a list.
struct Metric {
    /// Behind `nuthatch_`.
    name: &'static str,
    /// What it means.
    help: &'static str,
    /// `gauge` or `counter`.
    kind: &'static str,
    /// The list of things that each have it, and the label that tells them apart; empty: the status itself.
    list: (&'static str, &'static str),
    /// Where it is, from there.
    path: &'static str,
    /// How it is read.
    form: Form,
}

/// A row of the table.
const fn row(
    name: &'static str,
    kind: &'static str,
    (list, path): ((&'static str, &'static str), &'static str),
    form: Form,
    help: &'static str,
) -> Metric {
    Metric { name, help, kind, list, path, form }
}

/// The status itself.
const NODE: (&str, &str) = ("", "");
/// Each folder.
const FOLDER: (&str, &str) = ("folders", "folder");
/// Each device that this one is connected with.
const PEER: (&str, &str) = ("peers", "peer");

/// All of them.
const METRICS: &[Metric] = &[
    row("members", "gauge", (NODE, "members"), Form::Number, "Devices of the vault."),
    row("peers", "gauge", (NODE, "peers"), Form::Length, "Devices that this one is connected with."),
    row("paused", "gauge", (NODE, "paused"), Form::Any, "1 while this node is paused."),
    row("attention_items", "gauge", (NODE, "attention"), Form::Length, "What needs a person's attention."),
    row(
        "losses",
        "gauge",
        (NODE, "losses"),
        Form::Length,
        "What only one device or one place has, by what could go; older snapshots count.",
    ),
    row(
        "running_seconds_total",
        "counter",
        (NODE, "collect.running_us"),
        Form::Seconds,
        "How long this node has run, in all its runs.",
    ),
    row(
        "sent_bytes_total",
        "counter",
        (NODE, "counters.sent_bytes"),
        Form::Number,
        "Bytes of all datagrams sent since the start.",
    ),
    row(
        "received_bytes_total",
        "counter",
        (NODE, "counters.received_bytes"),
        Form::Number,
        "Bytes of all datagrams received since the start.",
    ),
    row(
        "datagrams_total",
        "counter",
        (NODE, "counters"),
        Form::Each,
        "Datagrams that were dropped, by reason (and cookies that were asked for), since the start.",
    ),
    row("store_chunks", "gauge", (NODE, "store.chunks"), Form::Number, "Chunks that are stored here."),
    row("store_bytes", "gauge", (NODE, "store.stored_bytes"), Form::Number, "Their sealed bytes."),
    row(
        "store_free_bytes",
        "gauge",
        (NODE, "store.free_bytes"),
        Form::Number,
        "Free bytes on the disk of the store.",
    ),
    row(
        "store_quarantined_chunks_total",
        "counter",
        (NODE, "store.quarantined"),
        Form::Number,
        "Chunks that were found damaged, ever.",
    ),
    row(
        "store_written_bytes_total",
        "counter",
        (NODE, "store.written.total_bytes"),
        Form::Number,
        "Bytes written to the disk since the store was made.",
    ),
    row(
        "store_written_per_stored_byte",
        "gauge",
        (NODE, "store.written.per_stored_byte"),
        Form::Number,
        "Bytes written for each byte that was stored.",
    ),
    row(
        "disk_life_used_percent",
        "gauge",
        (NODE, "store.life.used_percent_max"),
        Form::Number,
        "How much of its life the disk has used, where it tells.",
    ),
    row(
        "disk_life_days_left",
        "gauge",
        (NODE, "store.life.days_left"),
        Form::Number,
        "Days that are left of it, where that is known.",
    ),
    row(
        "room_limit_bytes",
        "gauge",
        (NODE, "room.limit_bytes"),
        Form::Number,
        "What the vault may use here.",
    ),
    row("room_used_percent", "gauge", (NODE, "room.used_percent"), Form::Number, "How much of that is used."),
    row("room_full", "gauge", (NODE, "room.full"), Form::Any, "1 while no more copies are taken for others."),
    row(
        "scrub_segments_left",
        "gauge",
        (NODE, "scrub.segments_left"),
        Form::Number,
        "Segments that this scrub has still to read.",
    ),
    row(
        "scrub_damaged_chunks",
        "gauge",
        (NODE, "scrub.damaged"),
        Form::Number,
        "Chunks that it has found damaged.",
    ),
    row(
        "scrub_last_timestamp_seconds",
        "gauge",
        (NODE, "scrub.last.ended"),
        Form::Moment,
        "When the last scrub ended.",
    ),
    row(
        "retired_snapshots",
        "gauge",
        (NODE, "collect.retired_snapshots"),
        Form::Number,
        "Retired snapshots whose chunks are still here.",
    ),
    row(
        "drill_last_timestamp_seconds",
        "gauge",
        (NODE, "drill.last.ended"),
        Form::Moment,
        "When the last restore drill ended.",
    ),
    row("folder_files", "gauge", (FOLDER, "files"), Form::Number, "Files of the newest snapshot."),
    row("folder_bytes", "gauge", (FOLDER, "bytes"), Form::Number, "Their bytes."),
    row(
        "folder_last_snapshot_timestamp_seconds",
        "gauge",
        (FOLDER, "taken"),
        Form::Moment,
        "When the newest snapshot was taken.",
    ),
    row(
        "folder_last_scan_timestamp_seconds",
        "gauge",
        (FOLDER, "checked"),
        Form::Moment,
        "When this node last found the folder as the newest snapshot has it.",
    ),
    row(
        "folder_copies",
        "gauge",
        (FOLDER, "protected.have"),
        Form::Number,
        "Devices that have all of the newest snapshot.",
    ),
    row(
        "folder_copies_wanted",
        "gauge",
        (FOLDER, "protected.wanted"),
        Form::Number,
        "Devices that shall have it.",
    ),
    row("folder_sites", "gauge", (FOLDER, "protected.sites"), Form::Number, "Places where it is."),
    row(
        "folder_pending_bytes",
        "gauge",
        (FOLDER, "pending_bytes"),
        Form::Number,
        "New bytes that are not on enough devices yet.",
    ),
    row("folder_scanning", "gauge", (FOLDER, "scanning"), Form::Number, "1 while this node scans it."),
    row("folder_failed", "gauge", (FOLDER, "failure"), Form::Any, "1 while it cannot be backed up."),
    row("folder_guard", "gauge", (FOLDER, "guard"), Form::Any, "1 while a person is asked about it."),
    row(
        "silence_seconds",
        "gauge",
        (("silence", "folder"), "silent_us"),
        Form::Seconds,
        "How long nothing was heard of the backups of another device's folder.",
    ),
    row(
        "silence_too_long",
        "gauge",
        (("silence", "folder"), "too_long"),
        Form::Number,
        "1 where that is too long.",
    ),
    row("peer_rtt_seconds", "gauge", (PEER, "rtt_us"), Form::Seconds, "Round-trip time to a device."),
    row(
        "peer_sent_bytes_total",
        "counter",
        (PEER, "sent_bytes"),
        Form::Number,
        "Bytes sent in the present session.",
    ),
    row(
        "peer_received_bytes_total",
        "counter",
        (PEER, "received_bytes"),
        Form::Number,
        "Bytes received in it.",
    ),
    row("peer_lost_packets_total", "counter", (PEER, "lost_packets"), Form::Number, "Packets lost in it."),
];

impl WebSite {
    /// `/metrics`.
    pub(super) async fn metrics(&self, grant: &Grant) -> Result<Answer, ApiError> {
        let status = value_of(self.begin(grant, Call::Status)?).await?;
        let mut answer = Response::new(AnswerBody::whole(text(&status)));
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        Ok(answer)
    }

    /// `/health`: whether the node lives is answered by answering; it is ready when it has read its state.
    pub(super) async fn health(&self) -> Answer {
        let asked = async { self.ask(Call::ConfigGet { key: Some("node.site".to_owned()) }).await.is_ok() };
        let late = async {
            Timer::after(duration(HEALTH_TIME_MAX)).await;
            false
        };
        let ready = smol::future::or(asked, late).await;
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        json_response(status, &json!({"live": true, "ready": ready}))
    }
}

/// The status as numbers.
fn text(status: &Value) -> String {
    let word = |key: &str| label(status[key].as_str().unwrap_or_default());
    let mut out = String::with_capacity(8 * 1024);
    out.push_str("# HELP nuthatch_info What runs here; always 1.\n# TYPE nuthatch_info gauge\n");
    let _ = writeln!(
        out,
        "nuthatch_info{{version=\"{}\",name=\"{}\",role=\"{}\",state=\"{}\"}} 1",
        word("version"),
        word("name"),
        word("role"),
        word("state")
    );
    for metric in METRICS {
        let mut samples = String::new();
        match metric.list {
            ("", _) => sample(&mut samples, metric, "", at(status, metric.path)),
            (list, name) => {
                for item in status[list].as_array().into_iter().flatten() {
                    let labels = labels(item, name);
                    sample(&mut samples, metric, &labels, at(item, metric.path));
                }
            }
        }
        if !samples.is_empty() {
            let Metric { name, help, kind, .. } = metric;
            let _ = write!(out, "# HELP nuthatch_{name} {help}\n# TYPE nuthatch_{name} {kind}\n{samples}");
        }
    }
    out
}

/// What tells one of a list from the others: a folder may have the name of another, a device too.
fn labels(item: &Value, name: &str) -> String {
    let node = item["writer"].as_str().or_else(|| item["node"].as_str()).unwrap_or_default();
    let called = label(item["name"].as_str().unwrap_or_default());
    let node = label(node.get(..8).unwrap_or(node));
    let also = if name == "peer" { "node" } else { "writer" };
    format!("{name}=\"{called}\",{also}=\"{node}\"")
}

/// Writes a value, if it is known.
fn sample(out: &mut String, metric: &Metric, labels: &str, value: &Value) {
    let name = metric.name;
    let number = match metric.form {
        Form::Number => value
            .as_bool()
            .map(|is| u8::from(is).to_string())
            .or_else(|| value.is_number().then(|| value.to_string())),
        Form::Seconds => value.as_f64().map(|micros| (micros / 1e6).to_string()),
        Form::Moment => value.as_str().and_then(seconds_of).map(|seconds| seconds.to_string()),
        Form::Length => value.as_array().map(|list| list.len().to_string()),
        Form::Any => Some(u8::from(!value.is_null()).to_string()),
        Form::Each => {
            let members = value.as_object().into_iter().flatten();
            for (reason, count) in members.filter(|(key, _)| !key.ends_with("_bytes")) {
                let _ = writeln!(out, "nuthatch_{name}{{reason=\"{}\"}} {count}", label(reason));
            }
            None
        }
    };
    let Some(number) = number else { return };
    let _ = match labels {
        "" => writeln!(out, "nuthatch_{name} {number}"),
        labels => writeln!(out, "nuthatch_{name}{{{labels}}} {number}"),
    };
}

/// What is at a dotted path.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, key| &value[key])
}

/// A text as a label's value.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Seconds since 1970 of `2026-11-27T01:02:03Z` (Howard Hinnant's `days_from_civil`).
fn seconds_of(text: &str) -> Option<i64> {
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(days * 86_400 + part(11, 13)? * 3_600 + part(14, 16)? * 60 + part(17, 19)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::WallTime;
    use crate::io::calls::{Calls, Inward};
    use crate::io::os::Clock;
    use crate::io::run::SiteParts;
    use crate::node::ports::Ending;
    use http_body_util::BodyExt as _;
    use std::rc::Weak;

    /// The table of docs/METRICS.md.
    fn table() -> String {
        let mut table = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
        table.push_str(
            "| `nuthatch_info` | gauge | `version`, `name`, `role`, `state` | What runs here; always 1. |\n",
        );
        for Metric { name, help, kind, list, form, .. } in METRICS {
            let labels = match (list.1, form) {
                ("", Form::Each) => "`reason`".to_owned(),
                ("", _) => String::new(),
                ("peer", _) => "`peer`, `node`".to_owned(),
                (label, _) => format!("`{label}`, `writer`"),
            };
            let _ = writeln!(table, "| `nuthatch_{name}` | {kind} | {labels} | {help} |");
        }
        table
    }

    #[test]
    fn the_documentation_lists_every_metric() {
        let document = include_str!("../../../docs/METRICS.md");
        assert!(document.contains(&table()), "docs/METRICS.md should have this table:\n{}", table());
    }

    #[test]
    fn what_is_known_is_told_in_the_format_and_what_is_not_is_left_out() {
        let status = json!({
            "version": "0.1.0", "name": "a \"b\"\\\n", "role": "full", "state": "member", "members": 2, "paused": null,
            "peers": [{"node": "0123456789", "name": "attic", "rtt_us": 1_500, "sent_bytes": 7}],
            "store": {"chunks": 5, "life": null, "written": {"per_stored_byte": 1.25}},
            "folders": [{"name": "photos", "writer": "ff00ff00ff", "taken": "2026-11-22T00:00:00Z", "protected": null, "scanning": true, "failure": null}],
            "counters": {"garbage": 3, "sent_bytes": 9},
        });
        let text = text(&status);
        let mut families = std::collections::BTreeMap::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
            } else if !line.starts_with("# HELP ") {
                let (series, value) = line.rsplit_once(' ').unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
                let name = series.split('{').next().unwrap();
                assert!(families.contains_key(name) && name.starts_with("nuthatch_"), "{line}");
                let counts = families[name] == "counter";
                assert_eq!(counts, name.ends_with("_total"), "{line}");
            }
        }
        for line in [
            "nuthatch_info{version=\"0.1.0\",name=\"a \\\"b\\\"\\\\\\n\",role=\"full\",state=\"member\"} 1",
            "nuthatch_peers 1",
            "nuthatch_paused 0",
            "nuthatch_peer_rtt_seconds{peer=\"attic\",node=\"01234567\"} 0.0015",
            "nuthatch_folder_last_snapshot_timestamp_seconds{folder=\"photos\",writer=\"ff00ff00\"} 1795305600",
            "nuthatch_folder_scanning{folder=\"photos\",writer=\"ff00ff00\"} 1",
            "nuthatch_store_written_per_stored_byte 1.25",
            "nuthatch_datagrams_total{reason=\"garbage\"} 3",
            "nuthatch_sent_bytes_total 9",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("folder_copies") && !text.contains("disk_life") && !text.contains("null"));
    }

    #[test]
    fn a_node_that_does_not_answer_yet_lives_and_is_not_ready() {
        let home = tempfile::tempdir().unwrap();
        let (calls, heard) = Calls::new();
        let parts = SiteParts {
            calls: calls.clone(),
            home: home.path().to_path_buf(),
            clock: Clock::new(),
            host_name: "attic".into(),
            hosts: Vec::new(),
            web: None,
            is_encrypted: false,
            executor: Weak::new(),
        };
        let site = WebSite::new(parts).unwrap();
        let body = |answer: Answer| smol::block_on(answer.into_body().collect()).unwrap().to_bytes();
        let answer = smol::block_on(site.health());
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(&body(answer)[..], b"{\"live\":true,\"ready\":false}\n");
        // Once somebody answers, it is.
        let core = async {
            while let Ok(inward) = heard.recv().await {
                if let Inward::Call { id, .. } = inward {
                    calls.done(id, Ok(Ending::Complete));
                }
            }
            unreachable!("the site holds the other end")
        };
        let answer = smol::block_on(smol::future::or(site.health(), core));
        assert_eq!(answer.status(), StatusCode::OK);
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        for seconds in [0, 951_827_696, 1_795_305_600, 4_102_444_799] {
            assert_eq!(seconds_of(&WallTime::from_micros(seconds * 1_000_000).to_string()), Some(seconds));
        }
        assert_eq!(seconds_of("never"), None);
    }
}
