//! What a node answered, as text for people: status, nodes, folders, snapshots, entries.
//!
//! Takes the JSON of the API and makes lines; prints nothing. What is missing or null in it is shown as `-`, never as zero
//! and never as good.

use super::losses::losses;
use super::show::{bytes, count, name, number, span, text, Table};
use super::upkeep;
use crate::base::units::Span;
use attention::attention;
use base64::engine::general_purpose::STANDARD as BASE64;
use base64::Engine as _;
use serde_json::Value;

mod attention;

/// A text in an object; empty when there is none.
#[must_use]
pub fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A whole number in an object; None when it is unknown.
#[must_use]
pub fn amount(value: &Value, key: &str) -> Option<u64> {
    value[key].as_u64()
}

/// The members of an array, or nothing.
pub fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A text, safe on a terminal; `-` when it is unknown.
fn cell(value: &Value, key: &str) -> String {
    match word(value, key) {
        "" => "-".to_owned(),
        known => text(known),
    }
}

/// A number of things; `-` when it is unknown.
fn number_cell(value: &Value, key: &str) -> String {
    amount(value, key).map_or_else(|| "-".to_owned(), number)
}

/// A size; `-` when it is unknown.
fn bytes_cell(value: &Value, key: &str) -> String {
    amount(value, key).map_or_else(|| "-".to_owned(), bytes)
}

/// A path, safe on a terminal; its exact bytes stand beside it where it is not UTF-8.
#[must_use]
pub fn path(value: &Value, key: &str) -> String {
    let exact = word(value, &format!("{key}_base64"));
    match BASE64.decode(exact) {
        Ok(bytes) if !bytes.is_empty() => name(&bytes),
        _ => text(word(value, key)),
    }
}

/// The first eight digits of an id.
#[must_use]
pub fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// "2 of 3, in 1 site", from `{have, wanted, sites}`; `-` when it is unknown.
#[must_use]
pub fn copies(value: &Value) -> String {
    match (amount(value, "have"), amount(value, "wanted")) {
        (Some(have), Some(wanted)) => match amount(value, "sites") {
            Some(sites) => format!("{have} of {wanted}, in {}", count(sites, "site")),
            None => format!("{have} of {wanted}"),
        },
        _ => "-".to_owned(),
    }
}

/// The answer to `status`; `all`: with everything that needs attention.
#[must_use]
pub fn status(value: &Value, all: bool) -> String {
    let mut out = format!("{}\n\n", text(word(value, "summary")));
    out.push_str(&this_node(value));
    if items(&value["folders"]).next().is_some() {
        out.push_str("\nFolders\n");
        out.push_str(&indented(&folders(&value["folders"])));
    }
    if items(&value["peers"]).next().is_some() {
        out.push_str("\nConnected nodes\n");
        let mut table = Table::new(&["name", "id", "address", ">round trip", ">sent", ">received"]);
        for peer in items(&value["peers"]) {
            let trip = amount(peer, "rtt_us")
                .map_or_else(|| "-".to_owned(), |micros| milliseconds(Span::from_micros(micros)));
            table.row([
                cell(peer, "name"),
                short(word(peer, "node")).to_owned(),
                cell(peer, "address"),
                trip,
                bytes_cell(peer, "sent_bytes"),
                bytes_cell(peer, "received_bytes"),
            ]);
        }
        out.push_str(&table.render("  "));
    }
    if items(&value["losses"]).next().is_some() {
        out.push_str(&format!("\nWhat a fire would take\n{}", losses(&value["losses"])));
    }
    out.push_str(&attention(&value["attention"], all));
    out
}

/// The part of `status` about the node itself.
fn this_node(value: &Value) -> String {
    let mut out = String::new();
    let mut line = |name: &str, what: String| out.push_str(&format!("{name:<10} {what}\n"));
    let member = word(value, "state") == "member";
    if member {
        let role = cell(value, "role");
        line("node", format!("{} ({}), role {role}", cell(value, "name"), short(word(value, "node"))));
        line("vault", short(word(value, "vault")).to_owned());
    } else {
        line("node", format!("{}, in no vault yet", cell(value, "name")));
    }
    let addresses: Vec<String> = items(&value["listen"]).filter_map(Value::as_str).map(text).collect();
    line("listens on", if addresses.is_empty() { "-".to_owned() } else { addresses.join(", ") });
    if let Some(fingerprint) = value["web_certificate"].as_str() {
        line("web page", format!("encrypted; SHA-256 of its certificate {}", text(fingerprint)));
    }
    line("version", cell(value, "version"));
    let store = &value["store"];
    if store.is_object() {
        let chunks = amount(store, "chunks").map_or_else(|| "-".to_owned(), |chunks| count(chunks, "chunk"));
        let (stored, free) = (bytes_cell(store, "stored_bytes"), bytes_cell(store, "free_bytes"));
        let damaged = match amount(store, "quarantined") {
            Some(0) | None => String::new(),
            Some(damaged) => format!(", {} damaged", number(damaged)),
        };
        line("store", format!("{chunks}, {stored}; {free} free{damaged}"));
        line("disk", disk_line(store));
        for (name, told) in
            [("room", upkeep::room(&value["room"])), ("scrub", upkeep::scrub(&value["scrub"]))]
        {
            if !told.is_empty() {
                line(name, told);
            }
        }
    }
    let drill = upkeep::drill(&value["drill"]);
    if !drill.is_empty() {
        line("drill", drill);
    }
    if let Some(peak) = amount(value, "peak_rss_bytes") {
        line("memory", format!("{} at most so far", bytes(peak)));
    }
    out
}

/// What the disk had to take, and what it says of its life.
fn disk_line(store: &Value) -> String {
    let written = &store["written"];
    let mut out = format!("{} written so far", bytes_cell(written, "total_bytes"));
    // Beside next to nothing that is stored, the database of an empty home is a multiple that says nothing.
    if let Some(times) = written["per_stored_byte"].as_f64().filter(|times| *times < 100.0) {
        out.push_str(&format!(", {times:.2} for each byte stored"));
    }
    match (amount(&store["life"], "used_percent_max"), amount(&store["life"], "days_left")) {
        (None, _) => out.push_str("; its wear is unknown"),
        (Some(used), None) => out.push_str(&format!("; at most {used}% worn")),
        (Some(used), Some(days)) => {
            out.push_str(&format!("; at most {used}% worn, {} left at this rate", count(days, "day")));
        }
    }
    out
}

/// The answer to `folder list`.
#[must_use]
pub fn folders(value: &Value) -> String {
    let mut table = Table::new(&[
        "name",
        "directory",
        ">files",
        ">size",
        "last snapshot",
        "on devices",
        ">pending",
        ">left",
        "state",
    ]);
    for folder in items(value) {
        let state = match word(folder, "state") {
            _ if folder["removed"] == true => "removed; its snapshots stay".to_owned(),
            "protected" => "protected".to_owned(),
            "partly_protected" => "partly protected".to_owned(),
            "never" => "not backed up yet".to_owned(),
            "partial" => format!("in part so far: {} files", number_cell(&folder["partial"], "files")),
            other => text(other),
        };
        let scanning = match amount(&folder["changed"], "left_us") {
            _ if folder["scanning"] == true => ", backing up".to_owned(),
            Some(left) if left > 1_000_000 => format!(", changes wait {}", span(Span::from_micros(left))),
            _ => String::new(),
        };
        table.row([
            cell(folder, "name"),
            cell(folder, "directory"),
            number_cell(folder, "files"),
            bytes_cell(folder, "bytes"),
            cell(folder, "taken"),
            copies(&folder["protected"]),
            bytes_cell(folder, "pending_bytes"),
            amount(folder, "left_us").map_or_else(|| "-".to_owned(), |left| span(Span::from_micros(left))),
            format!("{state}{scanning}"),
        ]);
    }
    table.render("")
}

/// The answer to `nodes`.
#[must_use]
pub fn nodes(value: &Value) -> String {
    let mut table =
        Table::new(&["name", "id", "role", "site", "state", "address", ">capacity", ">snapshots held"]);
    for node in items(value) {
        let state = match (node["self"] == true, node["connected"] == true) {
            (true, _) if node["leaving"] == true => "this node, leaves",
            (true, _) => "this node",
            (false, true) if node["leaving"] == true => "connected, leaves",
            (false, true) => "connected",
            (false, false) if node["absence"]["planned_around"] == true => "away, planned around",
            (false, false) => "not connected",
        };
        let capacity = match amount(node, "capacity_bytes") {
            Some(_) if node["full"] == true => format!("{}, full", bytes_cell(node, "capacity_bytes")),
            _ => bytes_cell(node, "capacity_bytes"),
        };
        let known = items(&node["addresses"]).next().and_then(Value::as_str).map(text);
        let address = match word(node, "address") {
            "" => known.unwrap_or_else(|| "-".to_owned()),
            connected => text(connected),
        };
        table.row([
            cell(node, "name"),
            short(word(node, "node")).to_owned(),
            cell(node, "role"),
            cell(node, "site"),
            state.to_owned(),
            address,
            capacity,
            number_cell(node, "held_snapshots"),
        ]);
    }
    table.render("")
}

/// The answer to `snapshots`, all lines of it.
#[must_use]
pub fn snapshots(lines: &[Value]) -> String {
    let mut table = Table::new(&[
        "snapshot",
        "folder",
        "taken",
        ">files",
        ">size",
        ">newly stored",
        "written by",
        "on devices",
    ]);
    for line in lines {
        let draft = if line["draft"] == true { " (draft)" } else { "" };
        let partial = if line["partial"] == true { " (partial)" } else { "" };
        table.row([
            short(word(line, "snapshot")).to_owned(),
            cell(line, "folder"),
            cell(line, "taken"),
            number_cell(line, "files"),
            bytes_cell(line, "bytes"),
            bytes_cell(line, "stored_bytes"),
            cell(line, "writer"),
            format!("{}{draft}{partial}", copies(&line["protected"])),
        ]);
    }
    table.render("")
}

/// What stands out in a line about a new snapshot: what was left out, could not be read or would not hold still.
#[must_use]
pub fn snapshot(line: &Value) -> String {
    let folder = cell(line, "folder");
    let size = format!(
        "{}, {}",
        amount(line, "files").map_or_else(|| "-".to_owned(), |files| count(files, "file")),
        bytes_cell(line, "bytes")
    );
    let id = short(word(line, "snapshot"));
    let mut out = if line["unchanged"] == true {
        format!("{folder}: nothing has changed since snapshot {id} ({size})\n")
    } else {
        format!("{folder}: snapshot {id} of {size}; {} newly stored\n", bytes_cell(line, "stored_bytes"))
    };
    if line["draft"] == true {
        out.push_str("  kept as a draft here until another node of the vault has answered\n");
    }
    if let Some(skipped) = amount(line, "skipped").filter(|skipped| *skipped > 0) {
        out.push_str(&format!(
            "  {} left out: sockets, devices, unreadable, or such as this disk cannot have\n",
            count(skipped, "entry")
        ));
    }
    if let Some(large) = amount(line, "too_large").filter(|large| *large > 0) {
        out.push_str(&format!("  {} left out: larger than the folder's max-size\n", count(large, "file")));
    }
    if let Some(silent) = amount(line, "silent").filter(|silent| *silent > 0) {
        let files = count(silent, "file");
        out.push_str(&format!("  {files}: other content than before, though size and times are the same\n"));
    }
    if let Some(torn) = amount(line, "torn").filter(|torn| *torn > 0) {
        out.push_str(&format!(
            "  {} changed while being read, and will be read again next time\n",
            count(torn, "file")
        ));
    }
    for entry in items(&line["unreadable"]).take(NAMED_MAX) {
        out.push_str(&format!("  {}: {}\n", path(entry, "path"), text(word(entry, "reason"))));
    }
    let more = items(&line["unreadable"]).skip(NAMED_MAX).count();
    if more > 0 {
        out.push_str(&format!("  ... and {more} more, which --json names\n"));
    }
    out
}

/// A line of `ls`.
#[must_use]
pub fn entry(line: &Value) -> String {
    if line["partial"] == true {
        let id = short(word(line, "snapshot"));
        return format!(
            "partial snapshot {id}: its backup had not come to its end, the folder may have had more\n"
        );
    }
    let kind = match word(line, "kind") {
        "directory" => 'd',
        "symlink" => 'l',
        "file" => '-',
        _ => '?',
    };
    let size = if kind == '-' { bytes_cell(line, "size_bytes") } else { String::new() };
    // Of the directories of a shared folder no time is known.
    let time = match word(line, "mtime") {
        "1970-01-01T00:00:00Z" if kind == 'd' => "-",
        time => time,
    };
    let path = path(line, "path");
    let tail = match word(line, "target") {
        "" => String::new(),
        _ => format!(" -> {}", self::path(line, "target")),
    };
    let slash = if kind == 'd' { "/" } else { "" };
    format!("{kind}{} {size:>9}  {time:<20}  {path}{slash}{tail}\n", permissions(word(line, "mode")))
}

/// Nine letters for the permission bits.
fn permissions(octal: &str) -> String {
    let mode = u32::from_str_radix(octal, 8).unwrap_or(0);
    (0..9).rev().map(|bit| if mode >> bit & 1 == 1 { ['x', 'w', 'r'][bit % 3] } else { '-' }).collect()
}

/// A short span in milliseconds.
fn milliseconds(short: Span) -> String {
    if short < Span::from_millis(1_000) {
        format!("{}.{} ms", short.as_millis(), short.as_micros() / 100 % 10)
    } else {
        span(short)
    }
}

/// Every line two columns further in.
fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("  {line}\n")).collect()
}

/// Entries that a line about a snapshot names.
const NAMED_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::face::act::say::activity;
    use serde_json::json;

    #[test]
    fn the_sentence_comes_first_and_the_unknown_is_shown_as_unknown() {
        let value = json!({
            "summary": "Partly protected: photos (2 of 3).", "state": "member", "name": "attic", "node": "ab".repeat(32),
            "folders": [{"name": "photos", "state": "partly_protected", "protected": {"have": 2, "wanted": 3}}],
            "peers": [{"name": "shed", "rtt_us": 1_250}],
            "attention": [{"message": "photos is partly protected", "hint": "start shed\u{1b}[2J"}],
        });
        let told = status(&value, false);
        assert!(told.starts_with("Partly protected: photos (2 of 3).\n\n"));
        assert!(told.contains("attic (abababab)"), "{told}");
        assert!(told.contains("2 of 3") && told.contains("1.2 ms"), "{told}");
        assert!(told.ends_with("  - photos is partly protected\n    start shed\\u{1b}[2J\n"), "{told}");
        let folder = told.lines().find(|line| line.trim_start().starts_with("photos")).unwrap();
        assert_eq!(folder.split_whitespace().filter(|word| *word == "-").count(), 6, "{folder}");
    }

    #[test]
    fn an_empty_answer_makes_no_panic() {
        for value in [json!(null), json!({}), json!([]), json!([{}, 1, "x"])] {
            let _ = (
                status(&value, false),
                folders(&value),
                nodes(&value),
                snapshot(&value),
                activity(&value),
                entry(&value),
            );
        }
    }

    #[test]
    fn an_entry_looks_as_in_a_long_listing() {
        let line = json!({"path": "a/b", "kind": "file", "mode": "0754", "size_bytes": 1_500, "mtime": "2024-01-01T00:00:00Z"});
        assert_eq!(entry(&line), "-rwxr-xr--   1.50 kB  2024-01-01T00:00:00Z  a/b\n");
        let line = json!({"path": "d", "kind": "directory", "mode": "0755", "mtime": "1970-01-01T00:00:00Z"});
        assert_eq!(entry(&line), "drwxr-xr-x            -                     d/\n");
        let line = json!({"path": "l", "kind": "symlink", "mode": "0777", "target": "a\nb"});
        assert!(entry(&line).ends_with("  l -> a\\nb\n"));
        let line = json!({"path": "\u{fffd}", "path_base64": "/w==", "kind": "file"});
        assert!(entry(&line).ends_with("  \\xff\n"));
    }

    #[test]
    fn a_snapshot_says_what_it_lacks() {
        let line = json!({
            "folder": "photos", "snapshot": "0123456789", "files": 1, "bytes": 5, "stored_bytes": 3, "skipped": 2, "torn": 1, "too_large": 3,
            "unreadable": [{"path": "x", "reason": "open: Permission denied"}],
        });
        let told = snapshot(&line);
        assert!(told.starts_with("photos: snapshot 01234567 of 1 file, 5 B; 3 B newly stored\n"), "{told}");
        assert!(told.contains("3 files left out: larger"), "{told}");
        assert!(told.contains("2 entries left out") && told.contains("x: open: Permission denied"), "{told}");
        let many: Vec<_> =
            (0..30).map(|number| json!({"path": format!("p{number}"), "reason": "r"})).collect();
        let told = snapshot(&json!({"folder": "photos", "snapshot": "0123456789", "unreadable": many}));
        assert!(told.contains("p7: r") && !told.contains("p8") && told.contains("... and 22 more"), "{told}");
    }
}
