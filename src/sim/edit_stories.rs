//! `put` and `rm` on whole nodes: with and without a directory, beside what others do at the same time, and what a client that goes
//! away leaves behind.

use std::collections::BTreeMap;

use super::check::{fill, found, text, unpack, weather, MINUTE, ROOT};
use super::cluster::{Answer, Cluster};
use crate::feed::entry::Role;
use crate::node::api::{ApiError, Call, FolderAdd, PutFile};
use crate::node::ports::{Ending, Input};

/// Three nodes that can read; the first has a shared folder with some files, which is on all of them.
fn household(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(seed, 3, weather(0));
    found(&mut cluster);
    for number in 1..3 {
        super::check::join(&mut cluster, number, Role::Full);
    }
    fill(&mut cluster, 12);
    let answer = cluster.ask(0, folder("shared"), MINUTE);
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
    let answer = cluster.ask(0, Call::Backup { name: None, wait: true }, MINUTE.times(10));
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
    cluster
}

/// The folder of these stories.
fn folder(kind: &str) -> Call {
    Call::FolderAdd(FolderAdd {
        name: "family".into(),
        directory: ROOT.to_vec(),
        kind: kind.into(),
        copies: Some(3),
        keep: None,
        ignore: Vec::new(),
        one_file_system: false,
        max_size: None,
        mode: crate::feed::entry::Mode::Both,
    })
}

/// Asks a node to put something.
fn putting(path: &str) -> Call {
    let file = PutFile { mtime_ns: Some(1_700_000_000_000_000_000), mode: None };
    Call::Put { what: format!("family:{path}"), file, wait: false }
}

/// Puts something and waits for the answer.
fn put(cluster: &mut Cluster, number: usize, path: &str, content: &[u8]) -> Result<String, ApiError> {
    let id = cluster.call_sending(number, putting(path), content);
    result(cluster.finish(number, id, MINUTE.times(5)))
}

/// Removes something and waits for the answer.
fn remove(cluster: &mut Cluster, number: usize, path: &str, recursive: bool) -> Result<String, ApiError> {
    let call = Call::Delete { what: format!("family:{path}"), recursive };
    result(cluster.ask(number, call, MINUTE.times(5)))
}

/// What became of it.
fn result(answer: Answer) -> Result<String, ApiError> {
    let Answer { lines, end, .. } = answer;
    end.expect("it has ended").map(|_| {
        let told = lines.iter().find(|line| line["result"].is_string()).expect("the result is told");
        text(told, "result")
    })
}

/// The code of a refusal.
fn code(result: Result<String, ApiError>) -> String {
    result.map_or_else(|error| error.code, |done| format!("done: {done}"))
}

/// What the folder has, as this node would restore it.
fn all(cluster: &mut Cluster, number: usize) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let call = Call::Restore { what: "family".into(), dry_run: false };
    let answer = cluster.ask(number, call, MINUTE.times(5));
    unpack(&answer.bytes)
}

/// What stands at a path of a node's directory.
fn on_disk(cluster: &Cluster, number: usize, path: &str) -> Option<Vec<u8>> {
    cluster.nodes[number].files.all(ROOT).remove(path.as_bytes()).flatten()
}

/// Something that has several chunks.
fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

#[test]
fn what_is_put_without_a_directory_is_written_where_there_is_one() {
    let mut cluster = household(301);
    let large = noise(3_000_000);
    assert_eq!(put(&mut cluster, 1, "letters/2026/large", &large), Ok("created".into()));
    assert_eq!(put(&mut cluster, 2, "letters/small", b"dear"), Ok("created".into()));
    assert_eq!(put(&mut cluster, 0, "letters/here", b"with a directory"), Ok("created".into()));
    assert_eq!(put(&mut cluster, 2, "letters/empty", b""), Ok("created".into()));
    cluster.run_until(MINUTE.times(5), |_| false);
    assert!(on_disk(&cluster, 0, "letters/2026/large") == Some(large.clone()));
    assert_eq!(on_disk(&cluster, 0, "letters/small"), Some(b"dear".to_vec()));
    assert_eq!(on_disk(&cluster, 0, "letters/here"), Some(b"with a directory".to_vec()));
    assert_eq!(on_disk(&cluster, 0, "letters/empty"), Some(Vec::new()));
    for number in 0..3 {
        let all = all(&mut cluster, number);
        assert!(all.get(&b"letters/2026/large"[..]) == Some(&large), "node {number}");
        assert_eq!(all.len(), 16, "node {number}");
    }
    assert_eq!(put(&mut cluster, 2, "letters/small", b"dear"), Ok("unchanged".into()));
    assert_eq!(put(&mut cluster, 1, "letters/small", b"dearest"), Ok("replaced".into()));
    assert_eq!(remove(&mut cluster, 1, "letters/2026", true), Ok("removed".into()));
    cluster.run_until(MINUTE.times(5), |_| false);
    assert_eq!(on_disk(&cluster, 0, "letters/small"), Some(b"dearest".to_vec()));
    assert_eq!(on_disk(&cluster, 0, "letters/2026/large"), None);
    assert_eq!(all(&mut cluster, 2).len(), 15);
}

#[test]
fn what_cannot_be_done_is_refused_and_changes_nothing() {
    let mut cluster = household(302);
    assert_eq!(put(&mut cluster, 1, "directory/file", b"x"), Ok("created".into()));
    let before = all(&mut cluster, 1);
    assert_eq!(code(put(&mut cluster, 1, "directory", b"x")), "bad_path");
    assert_eq!(code(put(&mut cluster, 1, "directory/file/below", b"x")), "bad_path");
    assert_eq!(code(put(&mut cluster, 1, "../out", b"x")), "bad_path");
    assert_eq!(code(put(&mut cluster, 1, "", b"x")), "bad_path");
    assert_eq!(code(remove(&mut cluster, 1, "directory", false)), "not_empty");
    assert_eq!(code(remove(&mut cluster, 1, "nowhere", true)), "not_found");
    let unknown = Call::Delete { what: "famly:x".into(), recursive: false };
    assert_eq!(code(result(cluster.ask(1, unknown, MINUTE))), "no_folder");
    let old = Call::Delete { what: "family@aabbcc:x".into(), recursive: false };
    assert_eq!(code(result(cluster.ask(1, old, MINUTE))), "bad_snapshot");
    assert!(all(&mut cluster, 1) == before);
}

#[test]
fn two_who_put_the_same_path_without_hearing_of_each_other_are_both_kept() {
    let mut cluster = household(303);
    cluster.cut(&[1]);
    cluster.nodes[0].files.write(ROOT, b"file-0", b"changed by hand");
    assert_eq!(put(&mut cluster, 2, "new", b"from the third"), Ok("created".into()));
    assert_eq!(put(&mut cluster, 1, "new", b"from the second"), Ok("created".into()));
    assert_eq!(put(&mut cluster, 1, "apart", b"and another"), Ok("created".into()));
    cluster.run_until(MINUTE.times(5), |_| false);
    cluster.cut(&[]);
    cluster.run_until(MINUTE.times(30), |_| false);
    let on_disk: Vec<Vec<u8>> = cluster.nodes[0].files.all(ROOT).into_values().flatten().collect();
    for content in ["from the third", "from the second", "and another", "changed by hand"] {
        assert!(on_disk.iter().any(|there| there == content.as_bytes()), "{content}");
    }
    // Whoever puts next does so on top of all that.
    assert_eq!(put(&mut cluster, 2, "later", b"still all there"), Ok("created".into()));
    let all: Vec<Vec<u8>> = all(&mut cluster, 2).into_values().collect();
    for content in ["from the third", "from the second", "and another", "changed by hand", "still all there"]
    {
        assert!(all.iter().any(|there| there == content.as_bytes()), "{content}");
    }
}

#[test]
fn a_client_that_goes_away_in_the_middle_leaves_nothing_behind() {
    let mut cluster = household(304);
    let id = cluster.call_sending(1, putting("half"), &noise(2_000_000));
    cluster.run_until(crate::base::units::Span::from_millis(20), |_| false);
    assert!(cluster.answer(1, id).end.is_none(), "it is still being sent");
    cluster.give(1, Input::Dropped(id));
    cluster.run_until(MINUTE.times(5), |_| false);
    assert!(!all(&mut cluster, 1).contains_key(&b"half"[..]));
    assert_eq!(put(&mut cluster, 1, "whole", b"x"), Ok("created".into()));
    assert_eq!(on_disk(&cluster, 0, "half"), None);
}

#[test]
fn many_at_once_are_all_done() {
    let mut cluster = household(305);
    let calls: Vec<_> = (0..20_u8)
        .map(|number| {
            let who = usize::from(number % 3);
            (who, cluster.call_sending(who, putting(&format!("many/{number}")), &[number; 5_000]))
        })
        .collect();
    let twice =
        (cluster.call_sending(1, putting("twice"), b"1"), cluster.call_sending(1, putting("twice"), b"2"));
    for (who, id) in calls {
        assert_eq!(result(cluster.finish(who, id, MINUTE.times(10))), Ok("created".into()));
    }
    for id in [twice.0, twice.1] {
        result(cluster.finish(1, id, MINUTE.times(10))).expect("one after the other");
    }
    cluster.run_until(MINUTE.times(10), |_| false);
    let there = cluster.nodes[0].files.all(ROOT);
    for number in 0..20_u8 {
        assert!(
            there.get(format!("many/{number}").as_bytes()) == Some(&Some(vec![number; 5_000])),
            "{number}"
        );
    }
    assert!(there.contains_key(&b"twice"[..]));
    assert_eq!(there.keys().filter(|path| path.starts_with(b"twice")).count(), 1, "no conflict with oneself");
}

/// Moves or copies something and waits for the answer.
fn transfer(
    cluster: &mut Cluster,
    number: usize,
    (from, to): (&str, &str),
    copy: bool,
    overwrite: bool,
) -> Result<String, ApiError> {
    let place = |path: &str| format!("family:{path}");
    let call = Call::Move { from: place(from), to: place(to), copy, overwrite };
    result(cluster.ask(number, call, MINUTE.times(5)))
}

#[test]
fn what_is_moved_or_copied_is_there_with_all_that_is_in_it() {
    let mut cluster = household(306);
    let large = noise(2_000_000);
    for (path, content) in
        [("a/b/large", &large[..]), ("a/b/small", b"dear"), ("a/c", b"c"), ("z", b"z"), ("a-b", b"beside")]
    {
        assert_eq!(put(&mut cluster, 1, path, content), Ok("created".into()));
    }
    let make = |what: &str| Call::MakeDirectory { what: format!("family:{what}") };
    assert_eq!(result(cluster.ask(1, make("empty/inner"), MINUTE.times(5))), Ok("created".into()));
    assert_eq!(code(result(cluster.ask(1, make("a"), MINUTE.times(5)))), "exists");
    assert_eq!(transfer(&mut cluster, 1, ("a", "0/new"), false, false), Ok("created".into()));
    assert_eq!(transfer(&mut cluster, 1, ("0/new/b", "z"), true, true), Ok("replaced".into()));
    assert_eq!(transfer(&mut cluster, 2, ("empty", "filled"), false, false), Ok("created".into()));
    cluster.run_until(MINUTE.times(5), |_| false);
    for number in 0..3 {
        let all = all(&mut cluster, number);
        for (path, content) in [
            ("0/new/b/large", &large[..]),
            ("0/new/b/small", b"dear"),
            ("0/new/c", b"c"),
            ("z/large", &large[..]),
            ("z/small", b"dear"),
            ("a-b", b"beside"),
        ] {
            assert!(all.get(path.as_bytes()).map(Vec::as_slice) == Some(content), "{path} on {number}");
        }
        assert!(!all.keys().any(|path| path.starts_with(b"a/") || path.starts_with(b"empty")), "{number}");
    }
    assert!(on_disk(&cluster, 0, "z/large") == Some(large));
    let disk = cluster.nodes[0].files.all(ROOT);
    assert!(disk.contains_key(&b"filled/inner"[..]) && !disk.contains_key(&b"a"[..]), "{:?}", disk.keys());
    // Where there is a directory, too.
    assert_eq!(transfer(&mut cluster, 0, ("0/new", "family-photos"), false, false), Ok("created".into()));
    cluster.run_until(MINUTE.times(5), |_| false);
    assert_eq!(on_disk(&cluster, 0, "family-photos/c"), Some(b"c".to_vec()));
    assert!(all(&mut cluster, 2).contains_key(&b"family-photos/b/large"[..]));
}

#[test]
fn what_cannot_be_moved_stays_where_it_is() {
    let mut cluster = household(307);
    assert_eq!(put(&mut cluster, 1, "a/b/c", b"x"), Ok("created".into()));
    assert_eq!(put(&mut cluster, 1, "file", b"y"), Ok("created".into()));
    let before = all(&mut cluster, 1);
    let mut refused = |from, to, overwrite| code(transfer(&mut cluster, 1, (from, to), false, overwrite));
    assert_eq!(refused("a", "a/b/d", true), "bad_path");
    assert_eq!(refused("a/b", "a", true), "bad_path");
    assert_eq!(refused("a", "a", true), "bad_path");
    assert_eq!(refused("nowhere", "b", true), "not_found");
    assert_eq!(refused("a", "file", false), "exists");
    assert_eq!(refused("a", "file/x", true), "bad_path");
    let deep = ["d"; 2_047].join("/");
    assert_eq!(refused("a", &deep, true), "bad_path");
    assert!(all(&mut cluster, 1) == before);
}
