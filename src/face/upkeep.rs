//! What a node says of its store's upkeep, as text for people: how far the scrub is, and how full the node is.
//!
//! Takes the JSON of `status` and `verify` and makes lines; prints nothing. What is unknown is said to be unknown.

use super::report::{amount, word};
use super::show::{bytes, count, percent, text};
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
    let used = amount(value, "used_percent").map_or_else(String::new, |used| format!("{used}% "));
    let why = if amount(value, "capacity_bytes") == Some(limit) {
        "node.capacity allows"
    } else {
        "the disk and its reserve allow"
    };
    let full = if word(value, "full").is_empty() { "" } else { "; full, takes no more copies" };
    format!("{used}used of the {} that {why}{full}", bytes(limit))
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
    fn the_room_says_what_bounds_it() {
        assert_eq!(room(&json!({"capacity_bytes": null, "full": null})), "");
        let value = json!({"capacity_bytes": 200_000_000_000_u64, "limit_bytes": 200_000_000_000_u64, "used_percent": 62});
        assert_eq!(room(&value), "62% used of the 200 GB that node.capacity allows");
        let value = json!({"capacity_bytes": null, "limit_bytes": 5_000, "used_percent": 100, "full": "x"});
        assert!(room(&value)
            .ends_with("of the 5.00 kB that the disk and its reserve allow; full, takes no more copies"));
    }
}
