//! `say`: a note to the household, and how notes look in `log`.

use std::io::Read as _;

use crate::base::limits::NOTE_BYTES_MAX;
use crate::face::exit::{Exit, Fail};
use crate::face::link::Link;
use crate::face::out::Out;
use crate::face::report::word;
use crate::face::show::{count, text};
use crate::node::api::Call;
use clap::Args;
use serde_json::Value;

/// Options of `say`.
#[derive(Debug, Args)]
pub struct Say {
    /// What to say; `-` reads it from standard input.
    #[arg(required = true, value_name = "TEXT")]
    pub words: Vec<String>,
}

/// `say`.
pub(super) fn say(link: &Link, out: Out, options: &Say) -> Result<Exit, Fail> {
    let note =
        if options.words == ["-"] { piped(&mut std::io::stdin().lock())? } else { options.words.join(" ") };
    let (value, ending) = link.value(&Call::Say { text: note })?;
    out.both(&value, |value| {
        let connected = match value["connected"].as_u64().unwrap_or(0) {
            0 => "no other full node is connected now; they get it when they come".to_owned(),
            nodes => format!("to {} at once, to all others when they come", count(nodes, "full node")),
        };
        format!("Said: {connected}.\n")
    })?;
    Ok(ending.into())
}

/// What stands on standard input, as far as it could be a note; a byte more is enough to be told that it is too long.
fn piped(input: &mut impl std::io::Read) -> Result<String, Fail> {
    let bound = u64::try_from(NOTE_BYTES_MAX * 2).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let read = input.take(bound).read_to_end(&mut bytes);
    read.map_err(|error| Fail::usage(format!("cannot read standard input: {error}"), "pipe a text into it"))?;
    if bytes.len() > NOTE_BYTES_MAX {
        // It is refused in any case, wherever it was cut.
        return Ok(String::from_utf8_lossy(&bytes).into_owned());
    }
    String::from_utf8(bytes)
        .map_err(|_| Fail::usage("this is no UTF-8 text", "a note is text; put files into a folder"))
}

/// A line of the activity log: a note with its lines as they were written, everything else on one line.
#[must_use]
pub fn activity(line: &Value) -> String {
    let (time, message) = (word(line, "time"), word(line, "message"));
    if word(line, "event") != "note" {
        return format!("{time}  {:<5}  {:<9} {}\n", word(line, "level"), word(line, "area"), text(message));
    }
    let lines: Vec<String> = message.lines().map(text).collect();
    format!("{time}  note   {:<9} {}\n", text(word(line, "node")), lines.join(INDENT))
}

/// Before the second and later lines of a note: they stand below the first.
const INDENT: &str = "\n                                       ";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_note_keeps_its_lines_and_cannot_move_the_cursor() {
        let line = json!({"time": "T", "level": "info", "area": "note", "event": "note", "node": "attic", "message": "one\ntwo \u{1b}[2J\rx"});
        let shown = activity(&line);
        assert!(shown.starts_with("T  note   attic     one\n   "), "{shown}");
        assert!(shown.ends_with("two \\u{1b}[2J\\rx\n"), "{shown}");
        let other = activity(
            &json!({"time": "T", "level": "warn", "area": "sync", "event": "other", "message": "a\nb"}),
        );
        assert_eq!(other, "T  warn   sync      a\\nb\n");
    }

    #[test]
    fn an_endless_input_is_not_read_to_its_end() {
        assert_eq!(piped(&mut std::io::repeat(b'a')).unwrap().len(), NOTE_BYTES_MAX * 2);
        assert!(piped(&mut [0xff_u8].as_slice()).is_err());
    }
}
