//! The long commands: `backup` and `verify`, with their progress. `restore` is in `face/restore.rs`.

use super::exit::{Exit, Fail};
use super::link::Link;
use super::options::Verify;
use super::out::Out;
use super::report::{amount, copies, snapshot, word};
use super::show::{bytes, count, text};
use super::upkeep;
use crate::node::api::Call;
use clap::Args;
use serde_json::Value;

/// Options of `backup`.
#[derive(Debug, Args)]
pub struct Backup {
    /// Only this folder.
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Wait until enough other devices hold it, or until it is clear that they cannot now.
    #[arg(long)]
    pub wait: bool,
    /// Read every file, also those whose size and times are as before, and say which have other content all the same.
    #[arg(long)]
    pub checksum: bool,
}

/// `backup`: scans now, and waits for copies if asked to.
///
/// # Errors
/// When a folder cannot be read or stored.
pub fn backup(link: &Link, out: Out, options: Backup) -> Result<Exit, Fail> {
    let Backup { name, wait, checksum } = options;
    scan(link, out, &if checksum { Call::Checksum { name, wait } } else { Call::Backup { name, wait } })
}

/// A call that scans.
///
/// # Errors
/// When a folder cannot be read or stored.
pub(super) fn scan(link: &Link, out: Out, call: &Call) -> Result<Exit, Fail> {
    let bar = out.bar();
    let ending = link.lines(call, &mut |line| {
        if word(&line, "event") == "progress" {
            bar.backup(&line);
            return if out.quiet { Ok(()) } else { out.value(&line) };
        }
        bar.aside(|| out.both(&line, told))
    });
    bar.clear();
    ending.map(Exit::from)
}

/// A line that is no progress.
pub(super) fn told(line: &Value) -> String {
    match word(line, "event") {
        "snapshot" => snapshot(line),
        "sync" => {
            let others = amount(line, "members").unwrap_or(1).saturating_sub(1);
            let connected = amount(line, "connected").unwrap_or(0);
            format!("connected with {connected} of {}; the rest is tried now\n", count(others, "other node"))
        }
        "partial" => format!(
            "{}: a partial snapshot lists {} so far; the backup goes on\n",
            text(word(line, "folder")),
            count(amount(line, "files").unwrap_or(0), "file")
        ),
        "protected" => {
            let full = amount(line, "have") >= amount(line, "wanted");
            let state = if full { "protected" } else { "partly protected" };
            let mut out = format!("{}: {state}, on {} devices\n", text(word(line, "folder")), copies(line));
            if !word(line, "pending").is_empty() {
                out.push_str(&format!("  {}\n", text(word(line, "pending"))));
            }
            out
        }
        _ => String::new(),
    }
}

/// `verify`: looks whether everything is there, and right.
///
/// # Errors
/// When something is damaged or missing: `damaged`.
pub fn verify(link: &Link, out: Out, options: &Verify) -> Result<Exit, Fail> {
    let bar = out.bar();
    let mut wrong = 0;
    let ending = link.lines(&Call::Verify { all: options.all }, &mut |line| {
        match word(&line, "event") {
            "progress" => {
                bar.say(checked(&line));
                return if out.quiet { Ok(()) } else { out.value(&line) };
            }
            "result" => wrong = amount(&line, "damaged").unwrap_or(0) + amount(&line, "missing").unwrap_or(0),
            _ => {}
        }
        bar.aside(|| out.both(&line, verified))
    });
    bar.clear();
    match ending? {
        _ if wrong > 0 => Err(Fail::new(
            "damaged",
            format!("{} damaged or missing", count(wrong, "chunk")),
            "it is being fetched from the devices that hold it: run `nuthatch verify` again; what stays damaged no device has (`nuthatch forget` lets go of \
             a snapshot that lists it); think of replacing the disk",
        )),
        ending => Ok(ending.into()),
    }
}

/// `drill`: restores a sample from other nodes.
///
/// # Errors
/// When a node does not have what it signed for: `drill_failed`.
pub fn drill(link: &Link, out: Out, name: Option<String>) -> Result<Exit, Fail> {
    link.lines(&Call::Drill { name }, &mut |line| out.both(&line, drilled)).map(Exit::from)
}

/// A line of a drill.
fn drilled(line: &Value) -> String {
    let what = || text(word(line, "what"));
    match word(line, "event") {
        "restored" => {
            let part = if line["in_part"] == true { " (in part)" } else { "" };
            let size = amount(line, "bytes").map_or_else(|| "-".to_owned(), bytes);
            format!("good      {}:{}  {size}{part}\n", text(word(line, "folder")), text(word(line, "path")))
        }
        "problem" if word(line, "node").is_empty() => {
            format!("problem   {}: {}\n", what(), text(word(line, "reason")))
        }
        "problem" => {
            format!("problem   {}, of {}: {}\n", what(), text(word(line, "node")), text(word(line, "reason")))
        }
        "untested" => format!("untested  {}: {}\n", what(), text(word(line, "reason"))),
        "result" if line["done"] == true => format!("{}\n", upkeep::drill_result(line)),
        _ => "nothing could be restored: see above\n".to_owned(),
    }
}

/// How far a check is.
fn checked(line: &Value) -> String {
    let chunks = amount(line, "chunks").map_or_else(String::new, |chunks| count(chunks, "chunk"));
    let size = amount(line, "bytes").map_or_else(String::new, |size| format!(", {}", bytes(size)));
    format!("checked {chunks}{size}")
}

/// A line of a check that is no progress.
fn verified(line: &Value) -> String {
    if word(line, "event") == "scrub" {
        return format!("scrub: {}\n", upkeep::scrub(line));
    }
    if word(line, "event") == "result" {
        let wrong = amount(line, "damaged").unwrap_or(0) + amount(line, "missing").unwrap_or(0);
        let verdict = if wrong == 0 { "everything is there and right" } else { "not everything is right" };
        return format!("{}: {verdict}\n", checked(line));
    }
    let (path, chunk) = (word(line, "path"), word(line, "damaged"));
    let what = if path.is_empty() {
        format!("chunk {}", text(chunk.get(..8).unwrap_or(chunk)))
    } else {
        text(path).to_string()
    };
    let folder = word(line, "folder");
    let of = if folder.is_empty() { String::new() } else { format!(" of {}", text(folder)) };
    format!("{}: {what}{of}: {}\n", text(word(line, "event")), text(word(line, "reason")))
}
