//! What `restore` tells: a line for each path of a plan, and the result in words and as JSON.

use super::super::show::{bytes, count, name, number, text};
use super::Wish;
use crate::io::target::{Fate, Planned, Report};
use base64::engine::general_purpose::STANDARD as BASE64;
use base64::Engine as _;
use serde_json::{json, Value};

/// A path as JSON: `path`, and `path_base64` where it is not UTF-8.
fn path_json(path: &[u8]) -> Value {
    match std::str::from_utf8(path) {
        Ok(text) => json!({"path": text}),
        Err(_) => json!({"path": String::from_utf8_lossy(path), "path_base64": BASE64.encode(path)}),
    }
}

/// The word for what becomes of a path.
const fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::New => "new",
        Fate::Overwritten => "overwritten",
        Fate::Kept => "kept",
        Fate::Equal => "equal",
    }
}

/// A line of a plan as JSON.
pub(super) fn planned_json(planned: &Planned) -> Value {
    let mut line = path_json(&planned.path);
    line["plan"] = json!(word(planned.fate));
    line["directory"] = json!(planned.directory);
    line["file_bytes"] = json!(planned.size);
    line
}

/// A line of a plan in words.
pub(super) fn planned_text(planned: &Planned) -> String {
    let slash = if planned.directory { "/" } else { "" };
    format!("{:<11}  {}{slash}\n", word(planned.fate), name(&planned.path))
}

/// The result as JSON.
pub(super) fn as_json(report: &Report, wish: &Wish<'_>) -> Value {
    let lost = report.lost.iter().map(|(lost, reason)| {
        let mut entry = path_json(lost);
        entry["reason"] = json!(reason);
        entry
    });
    json!({
        "to": wish.target.to_string_lossy(),
        "dry_run": wish.options.dry_run,
        "snapshot": report.snapshot,
        "partial": report.partial,
        "new": report.new,
        "overwritten": report.overwritten,
        "kept": report.kept,
        "kept_paths": report.kept_paths.iter().map(|kept| path_json(kept)).collect::<Vec<_>>(),
        "equal": report.equal,
        "equal_bytes": report.equal_bytes,
        "corrected": report.corrected,
        "directories": report.directories,
        "file_bytes": report.bytes,
        "lost": report.lost_count,
        "lost_paths": lost.collect::<Vec<_>>(),
        "torn": report.torn,
        "owners_not_kept": report.owners_not_kept,
        "attributes_not_kept": report.attributes_not_kept,
        "modes_not_kept": report.modes_not_kept,
        "times_not_kept": report.times_not_kept,
        "links_copied": report.links_copied,
    })
}

/// The result in words.
pub(super) fn as_text(report: &Report, wish: &Wish<'_>) -> String {
    let verb = if wish.options.dry_run { "Would write" } else { "Wrote" };
    let mut out = format!(
        "{verb} {}, {} in {} to {}: {} new, {} overwritten, {} kept, {} there already, {} lost.\n",
        count(report.new + report.overwritten, "file"),
        bytes(report.bytes),
        count(report.directories, "new directory"),
        name(wish.target.as_os_str().as_encoded_bytes()),
        number(report.new),
        number(report.overwritten),
        number(report.kept),
        number(report.equal),
        number(report.lost_count),
    );
    if report.partial {
        out.push_str("This was a partial snapshot: its backup had not come to its end, and the folder may have had more.\n");
    }
    if report.kept > 0 {
        out.push_str("They differ and are kept as they are, since --overwrite was not given:\n");
        list(&mut out, report.kept, report.kept_paths.iter().map(|path| name(path)));
    }
    if report.lost_count > 0 {
        out.push_str("Lost for now; try again when more devices are connected:\n");
        list(
            &mut out,
            report.lost_count,
            report.lost.iter().map(|(path, reason)| format!("{}: {}", name(path), text(reason))),
        );
    }
    let corrected = if wish.options.dry_run { "would get" } else { "got" };
    if report.corrected > 0 {
        out.push_str(&format!(
            "  {}: {corrected} mode, owner, time or attributes as in the snapshot\n",
            count(report.corrected, "path")
        ));
    }
    let notes = [
        (report.torn, "changed while it was backed up"),
        (report.owners_not_kept, "has another owner now"),
        (report.attributes_not_kept, "lacks an extended attribute"),
        (report.modes_not_kept, "has another mode"),
        (report.times_not_kept, "has another time"),
        (report.links_copied, "is a copy now, not a hard link"),
    ];
    for (number, what) in notes.iter().filter(|(number, _)| *number > 0) {
        out.push_str(&format!("  {}: {what}\n", count(*number, "file")));
    }
    out
}

/// The first of many, and how many more there are.
fn list(out: &mut String, all: u64, shown: impl Iterator<Item = String>) {
    let mut left = all;
    for line in shown {
        out.push_str(&format!("  {line}\n"));
        left = left.saturating_sub(1);
    }
    if left > 0 {
        out.push_str(&format!("  and {} more\n", number(left)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::target::Options;
    use std::path::Path;

    #[test]
    fn what_was_not_written_is_named() {
        let wish = Wish { what: "x", target: Path::new("/t"), options: Options::default() };
        let report = Report {
            new: 2,
            kept: 3,
            equal: 4,
            kept_paths: vec![b"a\n".to_vec()],
            lost_count: 1,
            lost: vec![(b"b\xff".to_vec(), "no device holds it".to_owned())],
            ..Report::default()
        };
        let told = as_text(&report, &wish);
        assert!(
            told.starts_with(
                "Wrote 2 files, 0 B in 0 new directories to /t: 2 new, 0 overwritten, 3 kept, 4 there already, 1 lost.\n"
            ),
            "{told}"
        );
        assert!(
            told.contains("  a\\n\n  and 2 more\n") && told.contains("  b\\xff: no device holds it\n"),
            "{told}"
        );
        let value = as_json(&report, &wish);
        assert_eq!(value["lost_paths"][0]["path_base64"], "Yv8=");
        assert_eq!((value["kept"].as_u64(), value["lost"].as_u64()), (Some(3), Some(1)));
    }

    #[test]
    fn a_line_of_a_plan_says_what_would_become_of_a_path() {
        let planned =
            |fate, directory, path: &[u8]| Planned { fate, directory, path: path.to_vec(), size: 7 };
        let text = planned_text(&planned(Fate::Overwritten, false, b"a\nb"));
        assert_eq!(text, "overwritten  a\\nb\n");
        assert_eq!(planned_text(&planned(Fate::New, true, b"d")), "new          d/\n");
        let value = planned_json(&planned(Fate::Equal, false, b"\xff"));
        assert_eq!(
            value,
            json!({"plan": "equal", "path": "\u{fffd}", "path_base64": "/w==", "directory": false, "file_bytes": 7})
        );
    }
}
