//! `erase`: forgotten snapshots go at once.
//!
//! With the recovery phrase it is done; the word of this node alone asks for a second one. Decides nothing: the node does.

use super::exit::{Exit, Fail};
use super::link::Link;
use super::out::Out;
use super::report::{items, short, word};
use super::secret::recovery_phrase;
use super::show::{count, text};
use super::vault::ask_first;
use crate::node::api::Call;
use clap::Args;
use serde_json::Value;
use std::path::PathBuf;

/// Options of `erase`.
#[derive(Debug, Args)]
pub struct Erase {
    /// The folder.
    #[arg(value_name = "FOLDER")]
    pub folder: String,
    /// At least six digits of the id of a forgotten snapshot, or a time as `ls` takes it; without, all that is forgotten of the folder.
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,
    /// Ask for the recovery phrase: no second full node is needed then.
    #[arg(long)]
    pub phrase: bool,
    /// A file with the 24 words; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub phrase_file: Option<PathBuf>,
    /// Do not ask; needed where nobody can be asked.
    #[arg(long, short)]
    pub yes: bool,
}

/// `erase`: gives the word.
///
/// # Errors
/// When nobody confirms it, the words are wrong, or nothing like it is forgotten.
pub fn erase(link: &Link, out: Out, options: Erase) -> Result<Exit, Fail> {
    let Erase { folder, snapshots, phrase, phrase_file, yes } = options;
    if !yes {
        let what = match snapshots.as_slice() {
            [] => format!("everything that is forgotten of {}", text(&folder)),
            some => {
                format!("{} of {}", count(u64::try_from(some.len()).unwrap_or(0), "snapshot"), text(&folder))
            }
        };
        ask_first(out, &format!("Erase {what} for good, without the usual 37 days?"), "erased")?;
    }
    let has_phrase = phrase || phrase_file.is_some();
    let phrase = has_phrase.then(|| recovery_phrase(phrase_file.as_deref())).transpose()?;
    let phrase = phrase.map(|words| words.to_string());
    let (value, ending) = link.value(&Call::Erase { folder, snapshots, phrase })?;
    out.both(&value, told)?;
    Ok(ending.into())
}

/// What was done, and what is missing.
fn told(value: &Value) -> String {
    let folder = text(word(value, "folder"));
    let all: Vec<&Value> = items(&value["snapshots"]).collect();
    let ids = |erased: bool| -> Vec<String> {
        let chosen = all.iter().filter(|snapshot| (snapshot["erased"] == true) == erased);
        chosen.map(|snapshot| short(word(snapshot, "snapshot")).to_string()).collect()
    };
    let (gone, waiting) = (ids(true), ids(false));
    let mut out = String::new();
    let number = |ids: &[String]| count(u64::try_from(ids.len()).unwrap_or(0), "snapshot");
    if !gone.is_empty() {
        out.push_str(&format!(
            "Erased: {} of {folder} ({}). Every device gives it up when it hears of this and makes no backup;\n\
             `nuthatch status` names those that have it still. What other snapshots have too stays.\n",
            number(&gone),
            gone.join(", ")
        ));
    }
    if !waiting.is_empty() {
        let list = waiting.join(" ");
        let verb = if waiting.len() == 1 { "waits" } else { "wait" };
        out.push_str(&format!("{} of {folder} {verb} for a second word:", number(&waiting)));
        if value["full_nodes"].as_u64().is_some_and(|full| full > 1) {
            out.push_str(&format!(
                "\n  nuthatch erase {folder} {list}            on another full node, or\n  \
                 nuthatch erase {folder} {list} --phrase   here, with the recovery phrase\n"
            ));
        } else {
            out.push_str(&format!(
                " there is no other full node, so give the recovery phrase:\n  nuthatch erase {folder} {list} --phrase\n"
            ));
        }
    }
    let listed: Vec<String> =
        items(&value["listed_by"]).filter_map(Value::as_str).map(|id| short(id).to_owned()).collect();
    if !listed.is_empty() {
        out.push_str(&format!(
            "What they held may be listed by later snapshots that do not need it: {}. It stays as long as these do. A backup that\n\
             lists only what it needs is made now on the device that has the folder; forget and erase those before it, too.\n",
            listed.join(", ")
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_missing_is_said_as_a_command() {
        let id = "3fa4b2c1".repeat(8);
        let value = |erased, full| json!({"folder": "photos", "snapshots": [{"snapshot": id, "erased": erased}], "full_nodes": full});
        let done = told(&value(true, 2));
        assert!(done.starts_with("Erased: 1 snapshot of photos (3fa4b2c1"), "{done}");
        let second = told(&value(false, 2));
        assert!(
            second.contains("nuthatch erase photos 3fa4b2c1") && second.contains("on another full node"),
            "{second}"
        );
        let phrase = told(&value(false, 1));
        assert!(phrase.contains("--phrase\n") && !phrase.contains("another full node,"), "{phrase}");
    }
}
