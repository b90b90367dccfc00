//! `history`, `diff` and `find` on whole nodes: what they tell is what was done to the files, and they read little for it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::{add_folder, back_up, found, text, weather, MINUTE, ROOT};
use super::cluster::{Answer, Cluster};
use crate::node::api::Call;
use crate::node::ports::Ending;

/// What is done to files: a path, and its content from now on (None: it is deleted).
type Step = &'static [(&'static str, Option<&'static [u8]>)];

/// A node with a folder; each step changes some files (None deletes) and makes a backup. The snapshots.
fn played(steps: &[Step]) -> (Cluster, Vec<String>) {
    let mut cluster = Cluster::new(1, 1, weather(0));
    found(&mut cluster);
    // Enough other files that a tree has many nodes.
    for number in 0..4_000 {
        let path = format!("many/{number:05}/a-name-that-takes-some-room");
        cluster.nodes[0].files.write(ROOT, path.as_bytes(), &[7; 40]);
    }
    let mut snapshots = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        for (path, content) in *step {
            match content {
                Some(content) => cluster.nodes[0].files.write(ROOT, path.as_bytes(), content),
                None => cluster.nodes[0].files.remove(ROOT, path.as_bytes()),
            }
        }
        cluster.run_until(MINUTE, |_| false);
        if number == 0 {
            add_folder(&mut cluster);
        }
        let answer = back_up(&mut cluster);
        let line = answer.lines.iter().rfind(|line| line["event"] == "snapshot").expect("it is told");
        snapshots.push(text(line, "snapshot"));
    }
    (cluster, snapshots)
}

/// The first node's answer, which is complete.
fn ask(cluster: &mut Cluster, call: Call) -> Vec<Value> {
    let Answer { lines, end, .. } = cluster.ask(0, call, MINUTE.times(5));
    assert_eq!(end, Some(Ok(Ending::Complete)), "{lines:?}");
    lines
}

/// The code of a refusal.
fn refusal(cluster: &mut Cluster, call: Call) -> String {
    let end = cluster.ask(0, call, MINUTE).end;
    end.and_then(Result::err).map_or_else(|| "none".to_owned(), |error| error.code)
}

/// What a difference tells of each path.
fn told(lines: &[Value]) -> BTreeMap<String, String> {
    let paths = lines.iter().filter(|line| line["change"].is_string());
    paths.map(|line| (text(line, "path"), text(line, "change"))).collect()
}

/// A difference between two snapshots.
fn diff(cluster: &mut Cluster, before: &str, after: Option<&str>) -> Vec<Value> {
    ask(cluster, Call::Diff { before: before.to_owned(), after: after.map(ToOwned::to_owned) })
}

/// A file that comes, changes, stays, goes, and comes back as it was.
const LIFE: [Step; 6] = [
    &[("other", Some(b"1"))],
    &[("d/file", Some(b"first"))],
    &[("d/file", Some(b"second, longer")), ("d/new", Some(b"n"))],
    &[("other", Some(b"2"))],
    &[("d/file", None), ("many/00007/a-name-that-takes-some-room", None)],
    &[("d/file", Some(b"first"))],
];

#[test]
fn a_history_has_a_line_for_each_version() {
    let (mut cluster, snapshots) = played(&LIFE);
    let lines = ask(&mut cluster, Call::History { what: "family:d/file".into() });
    let seen: Vec<(String, Option<u64>, String, String, u64)> = lines
        .iter()
        .map(|line| {
            let end = |name: &str| text(&line[name], "snapshot");
            let count = line["snapshots"].as_u64().expect("a number");
            (text(line, "state"), line["size_bytes"].as_u64(), end("first"), end("last"), count)
        })
        .collect();
    let at = |number: usize| snapshots[number].clone();
    assert_eq!(
        seen,
        [
            ("there".to_owned(), Some(5), at(1), at(1), 1),
            ("there".to_owned(), Some(14), at(2), at(3), 2),
            ("absent".to_owned(), None, at(4), at(4), 1),
            ("there".to_owned(), Some(5), at(5), at(5), 1),
        ]
    );
    let other = ask(&mut cluster, Call::History { what: "family:other".into() });
    assert_eq!(other.iter().map(|line| line["snapshots"].as_u64()).collect::<Vec<_>>(), [Some(3), Some(3)]);
    for (what, code) in
        [("family:nothing", "not_found"), ("family", "bad_path"), ("family@latest0:x", "bad_snapshot")]
    {
        assert_eq!(refusal(&mut cluster, Call::History { what: what.into() }), code, "{what}");
    }
    assert_eq!(refusal(&mut cluster, Call::History { what: "famly:x".into() }), "no_folder");
    let old = format!("family@{}:d/file", &snapshots[0][..8]);
    assert_eq!(refusal(&mut cluster, Call::History { what: old }), "bad_snapshot");
}

#[test]
fn a_difference_is_what_was_done_between_two_snapshots() {
    let (mut cluster, snapshots) = played(&LIFE);
    let at = |number: usize| format!("family@{}", &snapshots[number][..12]);
    let lines = diff(&mut cluster, &at(1), Some(&at(2)));
    let expected = BTreeMap::from([("d/file".into(), "changed".into()), ("d/new".into(), "added".into())]);
    assert_eq!(told(&lines), expected);
    let changed = lines.iter().find(|line| line["path"] == "d/file").expect("it is told");
    assert_eq!((&changed["before_size_bytes"], &changed["size_bytes"]), (&5.into(), &14.into()));
    assert!(changed["what"].to_string().contains("content"), "{changed}");
    assert_eq!(lines[0]["after"]["snapshot"], snapshots[2].as_str());
    let sums = lines.last().expect("the sums are told");
    assert_eq!((&sums["added"]["paths"], &sums["added"]["bytes"]), (&1.into(), &1.into()), "{sums}");
    // From long ago to the newest; both ways; below a path; of one and the same.
    let lines = diff(&mut cluster, &at(0), None);
    let gone = "many/00007/a-name-that-takes-some-room".to_owned();
    let word = |word: &str| word.to_owned();
    let all = [(word("d"), word("added")), (word("d/file"), word("added")), (word("d/new"), word("added"))];
    let mut expected: BTreeMap<String, String> = all.into();
    expected.insert(gone.clone(), word("deleted"));
    expected.insert(word("other"), word("changed"));
    let mut seen = told(&lines);
    // A directory goes with the last file in it, where the file system says so.
    seen.remove("many/00007");
    assert_eq!(seen, expected);
    let back = diff(&mut cluster, "family", Some(&format!("@{}", &snapshots[0][..12])));
    let mut back = told(&back);
    back.remove("many/00007");
    assert_eq!(back.len(), expected.len());
    assert_eq!(back["d/file"], "deleted");
    assert_eq!(back[&gone], "added");
    let below = diff(&mut cluster, &format!("{}:d", at(1)), Some(&at(4)));
    assert_eq!(
        told(&below),
        BTreeMap::from([(word("d/file"), word("deleted")), (word("d/new"), word("added"))])
    );
    assert_eq!(told(&diff(&mut cluster, &at(3), Some(&at(3)))), BTreeMap::new());
    let wrong = Call::Diff { before: at(0), after: Some("family:d".into()) };
    assert_eq!(refusal(&mut cluster, wrong), "bad_path");
}

#[test]
fn a_name_is_found_in_the_newest_snapshot_or_in_all_of_them() {
    let (mut cluster, snapshots) = played(&LIFE);
    let find = |pattern: &str, folder: Option<&str>, all| Call::Find {
        pattern: pattern.to_owned(),
        folder: folder.map(ToOwned::to_owned),
        all,
    };
    let lines = ask(&mut cluster, find("f?le", None, false));
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(
        (text(&lines[0], "path"), text(&lines[0], "snapshot"), lines[0]["change"].is_null()),
        ("d/file".to_owned(), snapshots[5].clone(), true)
    );
    let lines = ask(&mut cluster, find("d/f*", Some("family"), true));
    let seen: Vec<(String, String)> =
        lines.iter().map(|line| (text(line, "change"), text(line, "snapshot"))).collect();
    let expected = [("added", 1), ("changed", 2), ("deleted", 4), ("added", 5)];
    assert_eq!(seen, expected.map(|(change, at)| (change.to_owned(), snapshots[at].clone())));
    assert_eq!(ask(&mut cluster, find("a-name-that*", None, false)).len(), 3_999, "lines are not lost");
    assert_eq!(ask(&mut cluster, find("*.pdf", None, true)), Vec::<Value>::new());
    for wrong in ["", "/", "a[", "//"] {
        let code = refusal(&mut cluster, find(wrong, None, false));
        assert!(code == "bad_pattern" || wrong == "a[", "{wrong}: {code}");
    }
    assert_eq!(refusal(&mut cluster, find("x", Some("music"), false)), "no_folder");
}

#[test]
fn a_device_without_the_key_says_so() {
    let mut cluster = super::check::household(3);
    for call in [
        Call::History { what: "family:x".into() },
        Call::Diff { before: "family".into(), after: None },
        Call::Find { pattern: "x".into(), folder: None, all: false },
    ] {
        let answer = cluster.ask(1, call, MINUTE);
        assert!(answer.end.is_some_and(|end| end.is_err()), "{:?}", answer.lines);
    }
}
