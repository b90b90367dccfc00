//! `history`, `diff` and `find`: their options, and their lines for people.

use clap::Args;
use serde_json::Value;

use super::exit::{Exit, Fail};
use super::link::Link;
use super::out::Out;
use super::report::{amount, items, path, short, word};
use super::show::{bytes, count, text};
use crate::node::api::Call;

/// Options of `history`.
#[derive(Debug, Args)]
pub struct History {
    /// `NAME:PATH`.
    #[arg(value_name = "WHAT")]
    pub what: String,
}

/// Options of `diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// The earlier one: `NAME[@SNAPSHOT][:PATH]`.
    #[arg(value_name = "A")]
    pub before: String,
    /// The later one: `NAME[@SNAPSHOT]`, or `@SNAPSHOT` of the same folder (else its newest).
    #[arg(value_name = "B")]
    pub after: Option<String>,
}

/// Options of `find`.
#[derive(Debug, Args)]
pub struct Find {
    /// A name or glob, as in .gitignore.
    #[arg(value_name = "PATTERN")]
    pub pattern: String,
    /// Only in this folder.
    #[arg(long, value_name = "NAME")]
    pub folder: Option<String>,
    /// In all snapshots: what came, changed and went in each.
    #[arg(long)]
    pub all: bool,
}

/// `history`.
///
/// # Errors
/// When the node does not do it, or nobody reads any more.
pub fn history(link: &Link, out: Out, options: History) -> Result<Exit, Fail> {
    link.lines(&Call::History { what: options.what }, &mut |line| out.both(&line, version)).map(Exit::from)
}

/// `diff`.
///
/// # Errors
/// Likewise.
pub fn diff(link: &Link, out: Out, options: Diff) -> Result<Exit, Fail> {
    let call = Call::Diff { before: options.before, after: options.after };
    link.lines(&call, &mut |line| out.both(&line, difference)).map(Exit::from)
}

/// `find`.
///
/// # Errors
/// Likewise.
pub fn find(link: &Link, out: Out, options: Find) -> Result<Exit, Fail> {
    let Find { pattern, folder, all } = options;
    let part = pattern.clone();
    let call = Call::Find { pattern, folder, all };
    let mut lines = 0_u64;
    let ending = link.lines(&call, &mut |line| {
        lines += 1;
        out.both(&line, found)
    })?;
    if lines == 0 {
        let older = if all { "" } else { "; what was there once is found with --all" };
        out.advice(&format!(
            "Nothing is called that. Parts of names are found with stars, as in '*{part}*'{older}."
        ));
    }
    Ok(Exit::from(ending))
}

/// A line of a history.
fn version(line: &Value) -> String {
    let moment = |end: &Value| format!("{} ({})", short(word(end, "snapshot")), text(word(end, "taken")));
    let (first, last) = (moment(&line["first"]), moment(&line["last"]));
    let during = match amount(line, "snapshots") {
        Some(1) => format!("in {first}"),
        Some(number) => format!("in {}, {first} to {last}", count(number, "snapshot")),
        None => format!("from {first} to {last}"),
    };
    match word(line, "state") {
        "there" => {
            let changed = text(word(line, "mtime"));
            format!("{:>9}  changed {changed:<20}  {during}\n", size(line, "size_bytes"))
        }
        "absent" => format!("{:>9}  {:<28}  {during}\n", "-", "not there"),
        _ => format!("{:>9}  {:<28}  {during}: {}\n", "?", "not known", text(word(line, "reason"))),
    }
}

/// A line of a difference.
fn difference(line: &Value) -> String {
    let mark = match word(line, "change") {
        "added" => '+',
        "deleted" => '-',
        "changed" => '~',
        _ => return frame(line),
    };
    let mut notes = size(line, "size_bytes");
    if amount(line, "before_size_bytes").is_some_and(|before| Some(before) != amount(line, "size_bytes")) {
        notes = format!("{} -> {notes}", size(line, "before_size_bytes"));
    }
    let what: Vec<&str> = items(&line["what"]).filter_map(Value::as_str).collect();
    let notes: Vec<String> = [notes, what.join(", ")].into_iter().filter(|note| !note.is_empty()).collect();
    let notes = if notes.is_empty() { String::new() } else { format!("  ({})", notes.join("; ")) };
    format!("{mark} {}{}{notes}\n", path(line, "path"), slash(line))
}

/// The first and the last line of a difference, and what cannot be told.
fn frame(line: &Value) -> String {
    match word(line, "event") {
        "diff" => {
            let side = |side: &Value| {
                let partial = if side["partial"] == true { ", partial" } else { "" };
                let (id, taken) = (short(word(side, "snapshot")), text(word(side, "taken")));
                format!("{}@{id} ({taken}{partial})", text(word(side, "folder")))
            };
            format!("{} -> {}\n", side(&line["before"]), side(&line["after"]))
        }
        "result" => {
            let sum = |name: &str| {
                let (paths, size) = (amount(&line[name], "paths"), amount(&line[name], "bytes"));
                format!("{} {name} ({})", count(paths.unwrap_or(0), "path"), bytes(size.unwrap_or(0)))
            };
            format!("{}, {}, {}\n", sum("added"), sum("changed"), sum("deleted"))
        }
        _ => format!("? {}\n", text(word(line, "reason"))),
    }
}

/// A path that was found.
fn found(line: &Value) -> String {
    if line["lost"] == true {
        let folder = word(line, "folder");
        let of = if folder.is_empty() { String::new() } else { format!("{}: ", text(folder)) };
        return format!("? {of}{}\n", text(word(line, "reason")));
    }
    let place = format!(
        "{}@{}:{}{}",
        text(word(line, "folder")),
        short(word(line, "snapshot")),
        path(line, "path"),
        slash(line)
    );
    let (size, changed) = (size(line, "size_bytes"), text(word(line, "mtime")));
    match word(line, "change") {
        "" => format!("{size:>9}  {changed:<20}  {place}\n"),
        change => format!("{}  {change:<7}  {size:>9}  {place}\n", text(word(line, "taken"))),
    }
}

/// A size; nothing where there is none.
fn size(line: &Value, key: &str) -> String {
    amount(line, key).map_or_else(String::new, bytes)
}

/// Behind the names of directories.
fn slash(line: &Value) -> &'static str {
    if word(line, "kind") == "directory" {
        "/"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lines_are_short_and_say_what_differs() {
        let changed = json!({
            "change": "changed", "path": "a/b", "kind": "file", "size_bytes": 2_000, "before_size_bytes": 1_000,
            "what": ["content", "mtime"],
        });
        assert_eq!(difference(&changed), "~ a/b  (1.00 kB -> 2.00 kB; content, mtime)\n");
        let added = json!({"change": "added", "path": "d", "kind": "directory"});
        assert_eq!(difference(&added), "+ d/\n");
        let sums = json!({
            "event": "result", "added": {"paths": 1, "bytes": 10}, "changed": {"paths": 0, "bytes": 0},
            "deleted": {"paths": 2, "bytes": 3_000},
        });
        assert_eq!(
            difference(&sums),
            "1 path added (10 B), 0 paths changed (0 B), 2 paths deleted (3.00 kB)\n"
        );
        let end = |id: &str| json!({"snapshot": id, "taken": "2026-11-21T08:30:00Z"});
        let there = json!({
            "state": "there", "size_bytes": 5, "mtime": "2026-11-20T08:30:00Z", "snapshots": 1,
            "first": end("3fa4b2c100"), "last": end("3fa4b2c100"),
        });
        assert_eq!(
            version(&there),
            "      5 B  changed 2026-11-20T08:30:00Z  in 3fa4b2c1 (2026-11-21T08:30:00Z)\n"
        );
        let hit = json!({
            "folder": "photos", "snapshot": "3fa4b2c100", "path": "x.pdf", "kind": "file", "size_bytes": 5,
            "mtime": "2026-11-20T08:30:00Z",
        });
        assert_eq!(found(&hit), "      5 B  2026-11-20T08:30:00Z  photos@3fa4b2c1:x.pdf\n");
    }
}
