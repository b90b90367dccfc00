//! Stories of backups that nobody asks for: what changes is protected, a pause holds still, a call during a scan sees what was
//! there before it.

use serde_json::Value;

use super::check::{add_folder, found, join, text, unpack, weather, Expected, MINUTE, ROOT};
use super::cluster::Cluster;
use crate::base::limits::{SETTLE, SETTLE_ENDED, SNAPSHOTS_FREE};
use crate::base::units::Span;
use crate::feed::entry::Role;
use crate::node::api::Call;
use crate::node::ports::{Ending, Input, Notice};
use crate::node::watching::writing::Touched;

/// Three nodes that watch, and a folder with a file.
fn household(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(seed, 0, weather(seed));
    cluster.watch = true;
    for _ in 0..3 {
        cluster.add_node();
    }
    found(&mut cluster);
    join(&mut cluster, 1, Role::Full);
    join(&mut cluster, 2, Role::Store);
    cluster.nodes[0].files.write(ROOT, b"first", b"first");
    add_folder(&mut cluster);
    cluster
}

/// The first folder, as the first node tells of it.
fn folder(cluster: &mut Cluster) -> Value {
    status(cluster)["folders"][0].clone()
}

/// All that the first node tells.
fn status(cluster: &mut Cluster) -> Value {
    cluster.ask(0, Call::Status, MINUTE).lines.remove(0)
}

/// The owner writes a file, and the system tells of it once that is closed.
fn write(cluster: &mut Cluster, name: &str, content: &[u8]) {
    write_on(cluster, name, content, Touched::default());
}

/// The owner writes to a file, and the system tells this of it.
fn write_on(cluster: &mut Cluster, name: &str, content: &[u8], touched: Touched) {
    cluster.nodes[0].files.write(ROOT, name.as_bytes(), content);
    let folder = text(&folder(cluster), "folder").parse().expect("an id");
    cluster.give(0, Input::Notice(Notice::Changed(folder, touched)));
}

/// Whether the newest snapshot has so many files, and is where it should be.
fn has(cluster: &mut Cluster, files: u64) -> bool {
    let folder = folder(cluster);
    folder["files"] == files && folder["state"] == "protected"
}

/// What a node restores.
fn restored(cluster: &mut Cluster, number: usize) -> Expected {
    let call = Call::Restore { what: "family".into(), dry_run: false };
    let answer = cluster.ask(number, call, MINUTE);
    assert_eq!(answer.end, Some(Ok(Ending::Complete)));
    unpack(&answer.bytes)
}

/// Snapshots so far.
fn snapshots(cluster: &mut Cluster) -> usize {
    cluster.ask(0, Call::Snapshots { name: None }, MINUTE).lines.len()
}

#[test]
fn what_changes_is_protected_seconds_after_it_has_settled() {
    for seed in 0..3 {
        let mut cluster = household(seed);
        cluster.run_until(MINUTE, |_| false);
        assert!(has(&mut cluster, 1), "a new folder is backed up by itself");
        write(&mut cluster, "second", b"second");
        cluster.run_until(SETTLE_ENDED.part(2), |_| false);
        assert_eq!(snapshots(&mut cluster), 1, "it settles first");
        let begun = cluster.now();
        while !has(&mut cluster, 2) {
            cluster.run_until(Span::from_millis(100), |_| false);
            assert!(cluster.now().since(begun) < Span::from_secs(3), "{}", folder(&mut cluster));
        }
        // What is still open may be half of something.
        let mut open = Touched::default();
        open.write(1);
        write_on(&mut cluster, "third", b"th", open);
        cluster.run_until(SETTLE.part(2), |_| false);
        assert_eq!(snapshots(&mut cluster), 2);
        write(&mut cluster, "third", b"third");
        cluster.run_until(MINUTE, |_| false);
        assert_eq!(snapshots(&mut cluster), 3);
        let back = restored(&mut cluster, 1);
        assert_eq!(back.get(b"second".as_slice()), Some(&b"second".to_vec()));
    }
}

#[test]
fn what_changes_every_few_seconds_makes_few_snapshots_and_misses_nothing_in_the_end() {
    let mut cluster = household(5);
    cluster.run_until(MINUTE, |_| false);
    for number in 0..240_u32 {
        write(&mut cluster, "log", &number.to_le_bytes());
        cluster.run_until(Span::from_secs(15), |_| false);
    }
    let many = snapshots(&mut cluster);
    let free = usize::try_from(SNAPSHOTS_FREE).unwrap_or(0);
    // The first one of all was not made for a change.
    assert!((free + 5..free + 13).contains(&many), "{many} snapshots in an hour");
    let told = status(&mut cluster);
    assert!(
        text(&told, "summary")
            .starts_with("Everything is protected but the latest changes in family: 3 copies"),
        "{told}"
    );
    assert!(told["folders"][0]["changed"]["left_us"].as_u64() > Some(0), "{told}");
    cluster.run_until(MINUTE.times(16), |_| false);
    let told = status(&mut cluster);
    assert!(text(&told, "summary").starts_with("Everything is protected: "), "{told}");
    assert!(told["folders"][0]["changed"].is_null(), "{told}");
    let back = restored(&mut cluster, 1);
    assert_eq!(back.get(b"log".as_slice()), Some(&239_u32.to_le_bytes().to_vec()));
}

#[test]
fn a_node_that_is_paused_holds_still_also_after_a_restart_and_does_what_it_is_asked() {
    let mut cluster = household(7);
    cluster.run_until(MINUTE, |_| false);
    let paused = cluster.ask(0, Call::Pause { span_us: None }, MINUTE);
    assert_eq!(paused.lines[0]["paused"], true);
    write(&mut cluster, "second", b"second");
    cluster.run_until(MINUTE.times(5), |_| false);
    assert!(has(&mut cluster, 1), "nothing is backed up");
    cluster.stop(0);
    cluster.start(0);
    cluster.run_until(MINUTE.times(90), |_| false);
    let told = status(&mut cluster);
    assert!(text(&told, "summary").starts_with("Paused."), "{told}");
    assert!(told["attention"].to_string().contains("nuthatch resume"), "{told}");
    assert!(has(&mut cluster, 1), "not at its hour either");
    let backup = cluster.ask(0, Call::Backup { name: None, wait: true }, MINUTE.times(3));
    assert_eq!(backup.end, Some(Ok(Ending::Complete)), "{:?}", backup.lines);
    assert!(has(&mut cluster, 2), "what a person asks for is done");
    write(&mut cluster, "third", b"third");
    cluster.run_until(MINUTE.times(5), |_| false);
    assert!(has(&mut cluster, 2));
    assert_eq!(cluster.ask(0, Call::Resume, MINUTE).lines[0]["was_paused"], true);
    cluster.run_until(MINUTE, |_| false);
    assert!(has(&mut cluster, 3), "what waited is made up for");
}

#[test]
fn a_holder_that_is_paused_fetches_nothing_until_its_pause_is_over() {
    let mut cluster = household(9);
    cluster.run_until(MINUTE, |_| false);
    cluster.ask(2, Call::Pause { span_us: Some(MINUTE.times(10).as_micros()) }, MINUTE);
    write(&mut cluster, "second", b"second");
    cluster.run_until(MINUTE.times(5), |_| false);
    let told = folder(&mut cluster);
    assert_eq!((&told["files"], &told["protected"]["have"]), (&2.into(), &2.into()), "{told}");
    cluster.run_until(MINUTE.times(7), |_| false);
    assert!(has(&mut cluster, 2));
}

#[test]
fn a_call_that_comes_during_a_scan_waits_for_the_next_one() {
    let mut cluster = household(11);
    cluster.run_until(MINUTE, |_| false);
    cluster.nodes[0].files.write(ROOT, b"large", &vec![7; 3_000_000]);
    cluster.source_bytes_per_second = Some(500_000);
    let first = cluster.call(0, Call::Backup { name: None, wait: false });
    cluster.run_until(Span::from_secs(1), |_| false);
    // The scan is behind this name by now.
    cluster.nodes[0].files.write(ROOT, b"aaa", b"aaa");
    let second = cluster.ask(0, Call::Backup { name: None, wait: false }, MINUTE);
    let line = second.lines.iter().find(|line| line["event"] == "snapshot").expect("a snapshot is told");
    assert_eq!(line["files"], 3, "{:?}", second.lines);
    let first = cluster.finish(0, first, MINUTE);
    assert_eq!(first.lines.iter().filter(|line| line["event"] == "snapshot").count(), 1);
}

#[test]
fn syncing_reaches_whoever_is_there_and_scans() {
    let mut cluster = household(13);
    cluster.run_until(MINUTE, |_| false);
    cluster.nodes[0].files.write(ROOT, b"second", b"second");
    let answer = cluster.ask(0, Call::Sync { wait: true }, MINUTE);
    assert_eq!(answer.end, Some(Ok(Ending::Complete)));
    assert_eq!((&answer.lines[0]["event"], &answer.lines[0]["connected"]), (&"sync".into(), &2.into()));
    assert!(has(&mut cluster, 2));
}

#[test]
fn content_that_changed_without_a_sign_is_found_by_reading_everything() {
    let mut cluster = household(15);
    let large = vec![7; 300_000];
    cluster.nodes[0].files.write(ROOT, b"large", &large);
    cluster.nodes[0].files.write(ROOT, b"small", b"small");
    // Long ago: the clock of these files is far behind that of the node.
    cluster.run_until(MINUTE, |_| false);
    cluster.ask(0, Call::Backup { name: None, wait: true }, MINUTE);
    let checksum = || Call::Checksum { name: Some("family".into()), wait: true };
    let line = |cluster: &mut Cluster, call: Call| {
        let answer = cluster.ask(0, call, MINUTE);
        assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
        answer.lines.into_iter().find(|line| line["event"] == "snapshot").expect("a snapshot is told")
    };
    let told = line(&mut cluster, checksum());
    assert_eq!((&told["unchanged"], &told["silent"]), (&true.into(), &0.into()), "{told}");
    let mut rotten = large;
    rotten[150_000] = 8;
    cluster.nodes[0].files.rot(ROOT, b"large", &rotten);
    cluster.nodes[0].files.rot(ROOT, b"small", b"smell");
    let told = line(&mut cluster, Call::Backup { name: None, wait: true });
    assert_eq!(told["unchanged"], true, "a stat does not tell");
    let told = line(&mut cluster, checksum());
    assert_eq!((&told["unchanged"], &told["silent"]), (&false.into(), &2.into()), "{told}");
    assert!(told["unreadable"].to_string().contains("small"), "it is named: {told}");
    let log = cluster.ask(0, Call::Log { follow: false, after: None }, MINUTE);
    assert!(log.lines.iter().any(|line| line["message"].to_string().contains("2 files have other content")));
}

#[test]
fn what_is_said_of_a_folder_can_be_said_otherwise() {
    let mut cluster = household(17);
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(folder(&mut cluster)["protected"]["wanted"], 3);
    let set = |cluster: &mut Cluster, changes: &[&str]| {
        let changes = changes.iter().map(|change| (*change).to_owned()).collect();
        cluster.ask(0, Call::FolderSet { name: "family".into(), changes }, MINUTE)
    };
    let answer = set(&mut cluster, &["copies=2", "ignore+=*.tmp", "keep=last=2"]);
    assert_eq!(answer.end, Some(Ok(Ending::Complete)));
    assert_eq!(answer.lines[0]["copies"], 2);
    cluster.nodes[0].files.write(ROOT, b"left.tmp", b"out");
    cluster.run_until(MINUTE, |_| false);
    let told = folder(&mut cluster);
    assert_eq!((&told["protected"]["wanted"], &told["files"]), (&2.into(), &1.into()), "{told}");
    assert_eq!((&told["keep"], &told["ignore"][0]), (&"last=2".into(), &"*.tmp".into()));
    let wrong = set(&mut cluster, &["copies=2", "kind=shared"]);
    assert!(matches!(&wrong.end, Some(Err(error)) if error.code == "bad_folder"), "{wrong:?}");
    // It moves: what is there is not taken for another disk.
    cluster.nodes[0].files.write(b"/moved", b"first", b"first");
    cluster.nodes[0].files.remove_root(ROOT);
    assert_eq!(set(&mut cluster, &["directory=/moved"]).end, Some(Ok(Ending::Complete)));
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(folder(&mut cluster)["state"], "protected", "{}", folder(&mut cluster));
}
