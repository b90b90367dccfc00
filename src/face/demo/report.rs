//! What a demo found out, as JSON and as a short table with one closing sentence.

use super::stage::Usage;
use crate::base::units::Span;
use crate::face::compare::Comparison;
use crate::face::show::{bytes, count, number, percent, span, Table};
use serde_json::{json, Value};

/// The result of a demo.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Plain bytes that were backed up.
    pub bytes: u64,
    /// Chunks in the snapshot.
    pub chunks: u64,
    /// Sealed bytes that were stored for it.
    pub stored_bytes: u64,
    /// Entries that the backup could not keep, or not whole.
    pub unkept: u64,
    /// Files that could not be restored.
    pub lost: u64,
    /// The comparison, once it was made.
    pub found: Option<Comparison>,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// What each node has used.
    pub nodes: Vec<NodeUsage>,
    /// All of it together.
    pub elapsed: Span,
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// What was done.
    pub name: &'static str,
    /// How long it took.
    pub took: Span,
}

/// One node.
#[derive(Debug)]
pub struct NodeUsage {
    /// Its name.
    pub name: &'static str,
    /// What its process has used.
    pub usage: Usage,
}

impl Outcome {
    /// Whether everything came back.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.lost == 0 && self.found.as_ref().is_some_and(|found| found.differences == 0)
    }

    /// The one object of `demo --json`.
    #[must_use]
    pub fn json(&self) -> Value {
        let found = self.found.clone().unwrap_or_default();
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| json!({"name": step.name, "seconds": step.took.as_secs_f64()}))
            .collect();
        let node = |node: &NodeUsage| json!({"name": node.name, "peak_rss_bytes": node.usage.peak_rss_bytes, "cpu_seconds": node.usage.cpu_seconds});
        json!({
            "equal": self.is_equal(),
            "files": found.files,
            "directories": found.directories,
            "symlinks": found.symlinks,
            "hard_links": found.hard_links,
            "special": found.special,
            "ignored": found.ignored,
            "bytes": found.bytes,
            "chunks": self.chunks,
            "stored_bytes": self.stored_bytes,
            "lost": self.lost,
            "differences": found.differences,
            "examples": found.examples,
            "sparse_allocated_bytes": [found.sparse_allocated_bytes.0, found.sparse_allocated_bytes.1],
            "seconds": self.elapsed.as_secs_f64(),
            "steps": steps,
            "nodes": self.nodes.iter().map(node).collect::<Vec<_>>(),
        })
    }
}

/// The result in words.
#[must_use]
pub fn told(outcome: &Outcome) -> String {
    let found = outcome.found.clone().unwrap_or_default();
    let saved = outcome.bytes.saturating_sub(outcome.stored_bytes);
    let mut out = format!(
        "\n{}, {}, {}; {} in {}\nstored {} on each node: {}% saved by deduplication and compression\n",
        count(found.files, "file"),
        count(found.directories, "directory"),
        count(found.symlinks, "symbolic link"),
        bytes(outcome.bytes),
        count(outcome.chunks, "chunk"),
        bytes(outcome.stored_bytes),
        percent(saved, outcome.bytes.max(1)),
    );
    let (before, after) = found.sparse_allocated_bytes;
    if before > 0 || after > 0 {
        out.push_str(&format!(
            "files with holes take {} on disk, {} after the restore\n",
            bytes(before),
            bytes(after)
        ));
    }
    if found.special + found.ignored > 0 {
        let special = count(found.special, "socket or device");
        out.push_str(&format!("left out: {special}, {} excluded by rules\n", count(found.ignored, "entry")));
    }
    out.push('\n');
    let mut table = Table::new(&["node", ">peak memory", ">processor time"]);
    for node in &outcome.nodes {
        let spent = format!("{:.2} s", node.usage.cpu_seconds);
        table.row([node.name.to_owned(), bytes(node.usage.peak_rss_bytes), spent]);
    }
    out.push_str(&table.render(""));
    out.push('\n');
    out.push_str(&closing(outcome, &found));
    out
}

/// The last sentence, with the differences before it if there are any.
fn closing(outcome: &Outcome, found: &Comparison) -> String {
    if outcome.is_equal() {
        return format!(
            "Equal: the first node is gone, and all of its {} came back from the other two, byte by byte and with every \
             attribute, in {}.\n",
            count(found.files, "file"),
            span(outcome.elapsed),
        );
    }
    let mut out = String::new();
    for example in &found.examples {
        out.push_str(&format!("  {example}\n"));
    }
    if outcome.lost > 0 {
        out.push_str(&format!("  {} could not be restored\n", count(outcome.lost, "file")));
    }
    let unkept = if outcome.unkept > 0 {
        " (some could not be read, or changed while being read; see above)"
    } else {
        ""
    };
    out.push_str(&format!(
        "Not equal: {} differences{unkept}.\n",
        number(found.differences.max(outcome.lost))
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An outcome with one file.
    fn outcome(differences: u64) -> Outcome {
        Outcome {
            bytes: 1_000,
            stored_bytes: 250,
            chunks: 3,
            found: Some(Comparison {
                files: 1,
                bytes: 1_000,
                differences,
                examples: vec!["a differs".into()],
                ..Comparison::default()
            }),
            steps: vec![Step { name: "restore", took: Span::from_millis(1_500) }],
            nodes: vec![NodeUsage {
                name: "first",
                usage: Usage { peak_rss_bytes: 9_000_000, cpu_seconds: 0.5 },
            }],
            ..Outcome::default()
        }
    }

    #[test]
    fn equal_is_said_only_if_nothing_differs() {
        assert!(told(&outcome(0)).contains("\nEqual: "));
        let told = told(&outcome(1));
        assert!(
            told.contains("  a differs\nNot equal: 1 differences") && !told.contains("\nEqual"),
            "{told}"
        );
        assert!(!Outcome { lost: 1, ..outcome(0) }.is_equal());
        assert!(!Outcome { found: None, ..outcome(0) }.is_equal());
    }

    #[test]
    fn the_json_has_what_scripts_read() {
        let value = outcome(0).json();
        assert_eq!(value["equal"], true);
        assert_eq!(
            (value["files"].as_u64(), value["bytes"].as_u64(), value["chunks"].as_u64()),
            (Some(1), Some(1_000), Some(3))
        );
        assert_eq!(value["steps"][0], json!({"name": "restore", "seconds": 1.5}));
        assert_eq!(
            value["nodes"][0],
            json!({"name": "first", "peak_rss_bytes": 9_000_000, "cpu_seconds": 0.5})
        );
        assert!(told(&outcome(0)).contains("75% saved"));
    }
}
