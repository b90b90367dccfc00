//! Stories of partial snapshots: the writer burns down, or is killed, in the midst of a long backup.

use rand_core::RngCore as _;
use serde_json::Value;

use super::check::{
    add_folder, assert_protected, back_up, found, join, text, unpack, weather, Expected, MINUTE, ROOT,
};
use super::cluster::Cluster;
use super::net::Weather;
use crate::base::units::Span;
use crate::feed::entry::Role;
use crate::node::api::Call;
use crate::node::ports::Ending;

/// Files of the folder here, and bytes of each.
const FILES: usize = 60;
/// See [`FILES`].
const BYTES: usize = 200_000;
/// A partial snapshot is taken after so many new bytes.
const EVERY: u64 = 2_000_000;

/// So many nodes, the first with a folder whose disk is slow enough for a backup to be interrupted.
fn household(seed: u64, nodes: usize, sky: Weather) -> (Cluster, Expected) {
    let mut cluster = Cluster::new(seed, 0, sky);
    cluster.partial_bytes = EVERY;
    for _ in 0..nodes {
        cluster.add_node();
    }
    found(&mut cluster);
    for number in 1..nodes {
        join(&mut cluster, number, if number == 1 { Role::Full } else { Role::Store });
    }
    let expected = write(&mut cluster, "f", FILES);
    add_folder(&mut cluster);
    cluster.run_until(MINUTE, |_| false);
    cluster.source_bytes_per_second = Some(3_000_000);
    (cluster, expected)
}

/// Writes so many files that do not compress.
fn write(cluster: &mut Cluster, name: &str, files: usize) -> Expected {
    let mut written = Expected::new();
    for number in 0..files {
        let mut content = vec![0; BYTES];
        cluster.rng.fill_bytes(&mut content);
        let path = format!("{name}{number:03}").into_bytes();
        cluster.nodes[0].files.write(ROOT, &path, &content);
        written.insert(path, content);
    }
    written
}

/// Writes so many larger ones that begin so.
fn write_large(cluster: &mut Cluster, name: &str, files: usize, head: &[u8]) {
    for number in 0..files {
        let mut content = vec![0; 3 * BYTES];
        cluster.rng.fill_bytes(&mut content);
        content[..head.len()].copy_from_slice(head);
        cluster.nodes[0].files.write(ROOT, format!("{name}{number:03}").as_bytes(), &content);
    }
}

/// What a node lists.
fn listed(cluster: &mut Cluster, number: usize) -> Vec<Value> {
    cluster.ask(number, Call::Snapshots { name: None }, MINUTE).lines
}

/// The first folder as a node tells of it, and the sentence.
fn folder(cluster: &mut Cluster, number: usize) -> (Value, String) {
    let status = cluster.ask(number, Call::Status, MINUTE).lines.remove(0);
    (status["folders"][0].clone(), text(&status, "summary"))
}

/// A restore on a node.
fn restored(cluster: &mut Cluster, number: usize, what: &str) -> Expected {
    let call = Call::Restore { what: what.to_owned(), dry_run: false };
    let answer = cluster.ask(number, call, MINUTE.times(10));
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{what} on node {number}");
    unpack(&answer.bytes)
}

/// A backup begins, and runs until a node lists a partial snapshot of which there are so many copies: its line. The backup is
/// not over then.
fn until_partial(cluster: &mut Cluster, by: usize, have: u64) -> Value {
    let call = cluster.call(0, Call::Backup { name: None, wait: false });
    for _ in 0..200 {
        cluster.run_until(Span::from_millis(100), |_| false);
        assert!(cluster.answer(0, call).end.is_none(), "the backup runs on");
        let is_it =
            |line: &&Value| line["partial"] == true && line["protected"]["have"].as_u64() >= Some(have);
        if let Some(line) = listed(cluster, by).iter().rev().find(is_it) {
            return line.clone();
        }
    }
    panic!("no partial snapshot with {have} copies: {:?}", listed(cluster, by));
}

#[test]
fn what_a_long_backup_has_stored_survives_its_writer_and_another_node() {
    for seed in 0..3 {
        let (mut cluster, expected) = household(seed, 3, weather(seed));
        let line = until_partial(&mut cluster, 1, 3);
        // The writer burns down in the midst, and a holder with it.
        cluster.crash(0);
        cluster.crash(2);
        let (told, summary) = folder(&mut cluster, 1);
        assert_eq!((&told["state"], &told["protected"]), (&Value::from("partial"), &Value::Null), "{told}");
        assert_eq!(told["last_snapshot"], Value::Null, "a partial snapshot is no backup of the folder");
        assert!(summary.contains("in part so far: family"), "{summary}");
        let id = text(&line, "snapshot");
        let back = restored(&mut cluster, 1, &format!("family@{}", &id[..12]));
        assert_eq!(Some(u64::try_from(back.len()).unwrap()), line["files"].as_u64());
        assert!(back.len() >= 9 && back.len() < FILES, "{} of {FILES}", back.len());
        assert!(back.iter().all(|(path, content)| expected.get(path) == Some(content)));
        let ls =
            cluster.ask(1, Call::List { what: format!("family@{}", &id[..12]), recursive: true }, MINUTE);
        assert_eq!(ls.lines[0]["partial"], true, "a listing says so first");
    }
}

#[test]
fn a_killed_backup_goes_on_where_it_was_and_reads_stores_and_sends_nothing_twice() {
    let (mut smooth, _) = household(7, 3, weather(0));
    assert_protected(&back_up(&mut smooth).lines);
    let (mut cluster, expected) = household(7, 3, weather(0));
    until_partial(&mut cluster, 1, 3);
    let read_first = cluster.nodes[0].files.asked().data_bytes;
    cluster.crash(0);
    cluster.start(0);
    assert_protected(&back_up(&mut cluster).lines);
    let all = u64::try_from(FILES * BYTES).unwrap();
    let read = cluster.nodes[0].files.asked().data_bytes;
    assert!(
        read_first > EVERY && read < all + 3 * EVERY,
        "{read} bytes of {all} were read, {read_first} at first"
    );
    let stored = |cluster: &mut Cluster, number: usize| {
        let status = cluster.ask(number, Call::Status, MINUTE).lines.remove(0);
        status["store"]["stored_bytes"].as_u64().expect("the store is there")
    };
    for number in 0..3 {
        let (with, without) = (stored(&mut cluster, number), stored(&mut smooth, number));
        assert!(with < without + without / 20, "node {number} stores {with}, undisturbed {without}");
    }
    let (with, without) = (cluster.net.sent_bytes(), smooth.net.sent_bytes());
    assert!(with < without + without / 10, "{with} bytes were sent, {without} undisturbed");
    // The complete one has taken the place of the partial ones; they can be taken back for a while, like any other.
    cluster.run_until(MINUTE, |_| false);
    let lines = listed(&mut cluster, 1);
    assert_eq!((lines.len(), &lines[0]["partial"]), (1, &Value::Bool(false)), "{lines:?}");
    let status = cluster.ask(1, Call::Status, MINUTE).lines.remove(0);
    assert!(status["collect"]["retired_snapshots"].as_u64() >= Some(1), "{}", status["collect"]);
    assert_eq!(status["folders"][0]["state"], "protected");
    assert_eq!(restored(&mut cluster, 1, "family"), expected);
}

#[test]
fn a_node_that_is_alone_keeps_partial_drafts_and_forgets_them_when_it_is_done() {
    let (mut cluster, expected) = household(8, 1, weather(0));
    let line = until_partial(&mut cluster, 0, 1);
    assert_eq!(line["draft"], true);
    let read_first = cluster.nodes[0].files.asked().data_bytes;
    cluster.crash(0);
    cluster.start(0);
    let kept = listed(&mut cluster, 0);
    assert!(kept.iter().any(|other| other["snapshot"] == line["snapshot"]), "{kept:?}");
    let answer = cluster.ask(0, Call::Backup { name: None, wait: false }, MINUTE.times(10));
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
    let all = u64::try_from(FILES * BYTES).unwrap();
    assert!(read_first > EVERY && cluster.nodes[0].files.asked().data_bytes < all + 3 * EVERY);
    let lines = listed(&mut cluster, 0);
    assert_eq!((lines.len(), &lines[0]["partial"]), (1, &Value::Bool(false)), "{lines:?}");
    cluster.add_node();
    join(&mut cluster, 1, Role::Full);
    cluster.run_until(MINUTE.times(2), |_| false);
    assert_eq!(listed(&mut cluster, 1).len(), 1, "whoever comes later sees the complete one only");
    assert_eq!(restored(&mut cluster, 1, "family"), expected);
}

#[test]
fn the_newest_complete_snapshot_is_what_latest_means_while_a_later_backup_is_interrupted() {
    let (mut cluster, expected) = household(9, 3, weather(0));
    assert_protected(&back_up(&mut cluster).lines);
    // A year of photographs is put in front of all else.
    let new = write(&mut cluster, "a", FILES);
    cluster.run_until(MINUTE, |_| false);
    let line = until_partial(&mut cluster, 1, 3);
    cluster.crash(0);
    let (told, summary) = folder(&mut cluster, 1);
    assert_eq!(told["state"], "protected", "{told}");
    assert_eq!(told["partial"]["snapshot"].as_str().map(|id| id.is_empty()), Some(false));
    assert!(summary.contains("protected"), "{summary}");
    assert_eq!(restored(&mut cluster, 1, "family"), expected, "the last complete one");
    let back = restored(&mut cluster, 1, &format!("family@{}", &text(&line, "snapshot")[..12]));
    assert!(!back.is_empty() && back.iter().all(|(path, content)| new.get(path) == Some(content)));
    let opens = cluster.nodes[0].files.asked().opens;
    cluster.start(0);
    assert_protected(&back_up(&mut cluster).lines);
    let opens = usize::try_from(cluster.nodes[0].files.asked().opens - opens).unwrap();
    assert!(opens < FILES, "neither what the partial nor what the complete snapshot has is opened: {opens}");
    let mut all = expected;
    all.extend(new);
    assert_eq!(restored(&mut cluster, 1, "family"), all);
}

#[test]
fn through_any_number_of_kills_a_backup_comes_to_its_end_and_is_whole() {
    for seed in 20..24 {
        println!("seed {seed}");
        let (mut cluster, expected) = household(seed, 3, weather(seed));
        for _ in 0..4 {
            cluster.call(0, Call::Backup { name: None, wait: false });
            let pause = Span::from_millis(cluster.rng.next_u64() % 3_000);
            cluster.run_until(pause, |_| false);
            let victim = usize::try_from(cluster.rng.next_u64() % 4).unwrap().saturating_sub(1);
            cluster.crash(victim);
            let outage = Span::from_millis(cluster.rng.next_u64() % 2_000);
            cluster.run_until(outage, |_| false);
            cluster.start(victim);
        }
        assert_protected(&back_up(&mut cluster).lines);
        cluster.run_until(MINUTE.times(2), |_| false);
        let lines = listed(&mut cluster, 1);
        assert!(lines.iter().all(|line| line["partial"] == false), "seed {seed}: {lines:?}");
        cluster.crash(0);
        cluster.crash(2);
        assert_eq!(restored(&mut cluster, 1, "family"), expected, "seed {seed}");
    }
}

#[test]
fn what_went_before_a_backup_was_interrupted_is_asked_about_too() {
    let (mut cluster, expected) = household(10, 3, weather(0));
    assert_protected(&back_up(&mut cluster).lines);
    for path in expected.keys().take(55) {
        cluster.nodes[0].files.remove(ROOT, path);
    }
    // Few and large: a scan says how far it is every 8 MiB, and what came is taken off from what went.
    write_large(&mut cluster, "g", 20, b"");
    // Slow enough for the partial snapshot to be on the other node before the backup is over.
    cluster.source_bytes_per_second = Some(1_000_000);
    until_partial(&mut cluster, 1, 1);
    let (told, _) = folder(&mut cluster, 0);
    assert_eq!(told["guard"], Value::Null, "the rest may be where it has gone: {told}");
    cluster.crash(0);
    cluster.start(0);
    assert_protected(&back_up(&mut cluster).lines);
    let (told, _) = folder(&mut cluster, 0);
    assert_eq!(told["guard"]["what"], "vanished", "{told}");
}

#[test]
fn what_was_moved_while_a_backup_was_interrupted_is_not_asked_about() {
    let (mut cluster, expected) = household(11, 3, weather(0));
    let text = |path: &[u8]| [path, b" is a letter to the landlord. "].concat().repeat(1_000);
    for path in expected.keys() {
        cluster.nodes[0].files.write(ROOT, path, &text(path));
    }
    assert_protected(&back_up(&mut cluster).lines);
    // All of it gets names behind those that it had, and something new makes the scan long.
    for path in expected.keys() {
        cluster.nodes[0].files.remove(ROOT, path);
        cluster.nodes[0].files.write(ROOT, &[b"z", path.as_slice()].concat(), &text(path));
    }
    write_large(&mut cluster, "m", 20, b"\xff\xd8\xff\xe0\0\x10JFIF");
    cluster.source_bytes_per_second = Some(700_000);
    until_partial(&mut cluster, 1, 1);
    cluster.crash(0);
    cluster.start(0);
    assert_protected(&back_up(&mut cluster).lines);
    let (told, _) = folder(&mut cluster, 0);
    assert_eq!(told["guard"], Value::Null, "{told}");
}
