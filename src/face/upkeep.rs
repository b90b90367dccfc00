//! What a node says of its store's upkeep, as text for people: how far the scrub is, and how full the node is.
//!
//! Takes the JSON of `status` and `verify` and makes lines; prints nothing. What is unknown is said to be unknown.

use super::report::{amount, word};
use super::show::{bytes, count, percent, span, text};
use crate::base::units::Span;
use serde_json::Value;

/// The scrub: how far it is, what it found, and how the last whole one ended. Empty when the node says nothing of it.
#[must_use]
pub fn scrub(value: &Value) -> String {
    let Some(days) = amount(value, "days") else { return String::new() };
    let (all, left) = (amount(value, "segments").unwrap_or(0), amount(value, "segments_left").unwrap_or(0));
    let damaged = |found: u64| match found {
        0 => "none damaged".to_owned(),
        found => format!("{} damaged", count(found, "chunk")),
    };
    let read = amount(value, "chunks").unwrap_or(0);
    let mut out = match &value["last"] {
        last if last.is_object() => {
            let found = damaged(amount(last, "damaged").unwrap_or(0));
            format!("all was read again until {}, {found}", text(word(last, "ended")))
        }
        _ => "not everything was read again yet".to_owned(),
    };
    if read > 0 {
        let share = percent(all.saturating_sub(left), all);
        let found = damaged(amount(value, "damaged").unwrap_or(0));
        let size = amount(value, "read_bytes").map_or_else(String::new, |read| format!(", {}", bytes(read)));
        out.push_str(&format!(
            "; since then {}{size} ({share}% of the segments), {found}",
            count(read, "chunk")
        ));
    }
    if let Some(places) = amount(value, "damaged_places").filter(|places| *places > 0) {
        out.push_str(&format!(", {} that no chunk owns", count(places, "damaged place")));
    }
    out.push_str(&format!("; within {}", count(days, "day")));
    if !word(value, "failure").is_empty() {
        out.push_str(&format!("; the last step failed: {}", text(word(value, "failure"))));
    }
    out
}

/// How full the node is; empty when the node does not know.
#[must_use]
pub fn room(value: &Value) -> String {
    let Some(limit) = amount(value, "limit_bytes") else { return String::new() };
    let used = amount(value, "used_percent")
        .map_or_else(|| "nothing can be ".to_owned(), |used| format!("{used}% "));
    let why = if amount(value, "capacity_bytes") == Some(limit) {
        "node.capacity allows"
    } else {
        "the disk and its reserve allow"
    };
    let full = if word(value, "full").is_empty() { "" } else { "; full, takes no more copies" };
    format!("{used}used of the {} that {why}{full}", bytes(limit))
}

/// How the last drill ended, and how long ago; empty when the node says nothing of it.
#[must_use]
pub fn drill(value: &Value) -> String {
    match &value["last"] {
        last if last.is_object() => {
            let age = amount(last, "age_us").map(Span::from_micros);
            let age = age.map_or_else(|| text(word(last, "ended")), |age| format!("{} ago", span(age)));
            format!("{age}, {}", drill_result(last))
        }
        _ if value.is_object() => "no drill yet; `nuthatch drill` makes one".to_owned(),
        _ => String::new(),
    }
}

/// What a drill has come to.
#[must_use]
pub fn drill_result(last: &Value) -> String {
    let nodes: Vec<String> =
        last["nodes"].as_array().into_iter().flatten().filter_map(Value::as_str).map(text).collect();
    let size = amount(last, "bytes").map_or_else(|| "-".to_owned(), bytes);
    let files = amount(last, "files").map_or_else(|| "-".to_owned(), |files| count(files, "file"));
    let verdict = match amount(last, "problems") {
        None => "how well is unknown".to_owned(),
        Some(0) => "all good".to_owned(),
        Some(problems) => count(problems, "problem"),
    };
    let untested = match amount(last, "untested") {
        Some(0) | None => String::new(),
        Some(untested) => format!(", {} could not be tried", count(untested, "file")),
    };
    let from = if nodes.is_empty() { String::new() } else { format!(" from {}", nodes.join(", ")) };
    format!("{files}, {size}{from}, {verdict}{untested}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_scrub_says_how_far_it_is_and_what_it_found() {
        assert_eq!(scrub(&Value::Null), "");
        let mut value = json!({"days": 30, "segments": 0, "segments_left": 0, "chunks": 0, "last": null});
        assert_eq!(scrub(&value), "not everything was read again yet; within 30 days");
        value["last"] = json!({"ended": "2026-11-01T12:00:00Z", "damaged": 1});
        (value["segments"], value["segments_left"], value["chunks"]) = (json!(4), json!(1), json!(300));
        (value["read_bytes"], value["damaged_places"]) = (json!(2_500_000), json!(2));
        let told = scrub(&value);
        assert!(
            told.starts_with("all was read again until 2026-11-01T12:00:00Z, 1 chunk damaged; "),
            "{told}"
        );
        assert!(
            told.contains("since then 300 chunks, 2.50 MB (75% of the segments), none damaged"),
            "{told}"
        );
        assert!(told.contains("2 damaged places that no chunk owns"), "{told}");
        value["failure"] = json!("read: bad\u{1b}");
        assert!(scrub(&value).ends_with("the last step failed: read: bad\\u{1b}"));
    }

    #[test]
    fn a_drill_that_was_never_made_is_not_shown_as_good() {
        assert_eq!(drill(&Value::Null), "");
        assert!(drill(&json!({"last": null})).starts_with("no drill yet"));
        assert!(!drill(&json!({"last": {"files": 3}})).contains("good"));
        let mut last = json!({"files": 32, "bytes": 14_000_000, "nodes": ["attic", "shed"], "problems": 0, "untested": 0});
        last["age_us"] = json!(259_200_000_000_u64);
        let told = drill(&json!({"last": last}));
        assert_eq!(told, "3 d 0 h ago, 32 files, 14.0 MB from attic, shed, all good");
        let last = json!({"ended": "x", "files": 1, "bytes": 5, "nodes": [], "problems": 2, "untested": 3});
        assert_eq!(drill(&json!({"last": last})), "x, 1 file, 5 B, 2 problems, 3 files could not be tried");
    }

    #[test]
    fn the_room_says_what_bounds_it() {
        assert_eq!(room(&json!({"capacity_bytes": null, "full": null})), "");
        let value = json!({"capacity_bytes": 200_000_000_000_u64, "limit_bytes": 200_000_000_000_u64, "used_percent": 62});
        assert_eq!(room(&value), "62% used of the 200 GB that node.capacity allows");
        let value = json!({"capacity_bytes": null, "limit_bytes": 0, "used_percent": null});
        assert_eq!(room(&value), "nothing can be used of the 0 B that the disk and its reserve allow");
        let value = json!({"capacity_bytes": null, "limit_bytes": 5_000, "used_percent": 100, "full": "x"});
        assert!(room(&value)
            .ends_with("of the 5.00 kB that the disk and its reserve allow; full, takes no more copies"));
    }
}
