//! Space: it is given back by whole nodes, through crashes too; drafts can be forgotten; an interrupted backup keeps its work.

use rand_core::RngCore as _;

use super::check::{
    add_folder, assert_protected, back_up, fill, found, join, text, unpack, weather, Expected, MINUTE, ROOT,
};
use super::cluster::Cluster;
use super::collect_stories::{chunks, forget, hours, listed, refusal, status, undo, FLOOR};
use super::disk::Fault;
use crate::feed::entry::Role;
use crate::node::api::Call;
use crate::node::ports::Ending;

/// Length of a segment here: many are filled by a few files.
const SEGMENT: u64 = 256 * 1024;

/// So many nodes with small segments, the first with a folder; what is retired goes after two hours.
fn household(seed: u64, nodes: usize) -> (Cluster, Expected) {
    let mut cluster = Cluster::new(seed, 0, weather(0));
    (cluster.retired, cluster.segment_bytes) = (FLOOR, SEGMENT);
    for _ in 0..nodes {
        cluster.add_node();
    }
    found(&mut cluster);
    for number in 1..nodes {
        join(&mut cluster, number, Role::Full);
    }
    let expected = fill(&mut cluster, 6);
    add_folder(&mut cluster);
    (cluster, expected)
}

/// Writes a file that does not compress.
fn write(cluster: &mut Cluster, path: &[u8], bytes: usize) {
    let mut content = vec![0; bytes];
    cluster.rng.fill_bytes(&mut content);
    cluster.nodes[0].files.write(ROOT, path, &content);
}

/// Bytes of all segments on a node's disk.
fn used(cluster: &Cluster, number: usize) -> u64 {
    let files = cluster.nodes[number].disk.files();
    files.into_iter().filter(|(name, _)| name.starts_with("segments/")).map(|(_, bytes)| bytes).sum()
}

/// Backs up, not waiting for copies; the snapshot's name.
fn snapshot(cluster: &mut Cluster) -> String {
    let answer = cluster.ask(0, Call::Backup { name: None, wait: false }, MINUTE.times(10));
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
    let mut lines = answer.lines.iter().filter(|line| line["event"] == "snapshot");
    text(lines.next_back().expect("a snapshot is told"), "snapshot")
}

/// A node restores what it is asked for, and it is what it was.
fn assert_restored(cluster: &mut Cluster, number: usize, what: &str, expected: &Expected) {
    let restore = Call::Restore { what: what.to_owned(), dry_run: false };
    let answer = cluster.ask(number, restore, MINUTE.times(10));
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{what} on node {number}");
    assert!(unpack(&answer.bytes) == *expected, "{what} on node {number} is not what it was");
}

/// A large file comes and goes, and nothing that stands lists it any more: the names of the two snapshots that do. The first
/// manifest without it is its parent's and more (a superset is safe); the next one is built anew.
fn large_file_passes(cluster: &mut Cluster) -> [String; 2] {
    snapshot(cluster);
    write(cluster, b"passing", 1_500_000);
    let with = snapshot(cluster);
    cluster.nodes[0].files.remove(ROOT, b"passing");
    write(cluster, b"small", 10_000);
    let after = snapshot(cluster);
    cluster.nodes[0].files.remove(ROOT, b"small");
    snapshot(cluster);
    [with, after]
}

/// The same among three nodes, and the snapshots that list it are forgotten.
fn large_file_is_forgotten(cluster: &mut Cluster) {
    let names = large_file_passes(cluster);
    assert_protected(&back_up(cluster).lines);
    for name in names {
        assert_eq!(forget(cluster, &name).end, Some(Ok(Ending::Complete)));
    }
    cluster.run_until(MINUTE, |_| false);
}

/// What must be true when a forgotten file's space was given back.
fn assert_given_back(cluster: &mut Cluster, full: &[u64], expected: &Expected) {
    for (number, before) in full.iter().enumerate() {
        let after = used(cluster, number);
        assert!(after + 1_200_000 < *before, "node {number} uses {after} bytes of {before} still");
        let verified = cluster.ask(number, Call::Verify { all: true }, MINUTE);
        assert_eq!(verified.end, Some(Ok(Ending::Complete)), "{:?}", verified.lines);
        assert_restored(cluster, number, "family", expected);
    }
}

#[test]
fn segments_are_freed_when_a_forgotten_snapshots_time_is_over_and_what_stands_is_whole() {
    let (mut cluster, expected) = household(1, 3);
    large_file_is_forgotten(&mut cluster);
    let full: Vec<u64> = (0..3).map(|number| used(&cluster, number)).collect();
    let stored = status(&mut cluster, 1)["store"]["stored_bytes"].as_u64();
    hours(&mut cluster, 1);
    assert!((0..3).all(|number| used(&cluster, number) >= full[number]), "nothing goes before its time");
    hours(&mut cluster, 3);
    assert_given_back(&mut cluster, &full, &expected);
    let status = status(&mut cluster, 1);
    assert!(status["store"]["stored_bytes"].as_u64() < stored, "{}", status["store"]);
    let compaction = &status["collect"]["compaction"];
    assert!(compaction["removed_segments"].as_u64() >= Some(4), "{compaction}");
    assert!(compaction["freed_bytes"].as_u64() > Some(1_200_000), "{compaction}");
}

#[test]
fn segments_are_freed_through_crashes_of_the_nodes_that_free_them() {
    for seed in 2..6 {
        let (mut cluster, expected) = household(seed, 3);
        large_file_is_forgotten(&mut cluster);
        let full: Vec<u64> = (0..3).map(|number| used(&cluster, number)).collect();
        // One node loses its power in the turn in which it drops or compacts; another one when its first segment has gone.
        let last = cluster.nodes[0].disk.calls();
        cluster.run_until(MINUTE.times(60 * 2), |_| false);
        cluster.run_until(MINUTE.times(60), |cluster| {
            cluster.nodes[0].disk.calls() > last + seed * 7 && used(cluster, 0) != full[0]
        });
        cluster.crash(0);
        let is_less = cluster.run_until(MINUTE.times(60), |cluster| used(cluster, 1) < full[1]);
        assert!(is_less, "seed {seed}: a segment goes on the second node");
        cluster.crash(1);
        cluster.start(0);
        cluster.start(1);
        hours(&mut cluster, 5);
        assert_given_back(&mut cluster, &full, &expected);
    }
}

#[test]
fn a_draft_is_forgotten_taken_back_and_given_up_by_a_node_that_is_alone() {
    let (mut cluster, expected) = household(7, 1);
    let [middle, after] = large_file_passes(&mut cluster);
    assert_eq!(forget(&mut cluster, &after).end, Some(Ok(Ending::Complete)));
    let (full, used_before) = (chunks(&mut cluster), used(&cluster, 0));
    assert_eq!(refusal(forget(&mut cluster, "latest")), "newest");
    assert_eq!(forget(&mut cluster, &middle).end, Some(Ok(Ending::Complete)));
    assert_eq!(listed(&mut cluster, 0), 2);
    assert_eq!(refusal(forget(&mut cluster, &middle)), "no_snapshot");
    assert_eq!(undo(&mut cluster, &middle).end, Some(Ok(Ending::Complete)));
    assert_eq!(listed(&mut cluster, 0), 3);
    assert_eq!(forget(&mut cluster, &middle).end, Some(Ok(Ending::Complete)));
    assert_eq!(status(&mut cluster, 0)["collect"]["retired_snapshots"], 2);
    cluster.crash(0);
    cluster.start(0);
    hours(&mut cluster, 1);
    assert_eq!((listed(&mut cluster, 0), chunks(&mut cluster)), (2, full.clone()), "a crash forgets nothing");
    hours(&mut cluster, 3);
    assert!(chunks(&mut cluster) < full && used(&cluster, 0) + 1_200_000 < used_before);
    assert_eq!(refusal(undo(&mut cluster, &middle)), "no_snapshot");
    assert_restored(&mut cluster, 0, "family", &expected);
    // Whoever comes later sees the two that stand.
    cluster.add_node();
    join(&mut cluster, 1, Role::Full);
    cluster.run_until(MINUTE.times(5), |_| false);
    assert_eq!(listed(&mut cluster, 1), 2);
    assert_restored(&mut cluster, 1, "family", &expected);
}

#[test]
fn a_forgotten_draft_is_published_only_if_it_is_taken_back() {
    let (mut cluster, _) = household(8, 1);
    let first = snapshot(&mut cluster);
    write(&mut cluster, b"more", 100_000);
    snapshot(&mut cluster);
    assert_eq!(forget(&mut cluster, &first).end, Some(Ok(Ending::Complete)));
    cluster.add_node();
    join(&mut cluster, 1, Role::Full);
    cluster.run_until(MINUTE.times(2), |_| false);
    assert_eq!((listed(&mut cluster, 0), listed(&mut cluster, 1)), (1, 1));
    // New snapshots do not wait behind it.
    write(&mut cluster, b"more", 120_000);
    snapshot(&mut cluster);
    cluster.run_until(MINUTE.times(2), |_| false);
    assert_eq!((listed(&mut cluster, 0), listed(&mut cluster, 1)), (2, 2));
    assert_eq!(undo(&mut cluster, &first).end, Some(Ok(Ending::Complete)));
    cluster.run_until(MINUTE.times(2), |_| false);
    assert_eq!((listed(&mut cluster, 0), listed(&mut cluster, 1)), (3, 3));
    let lines = cluster.ask(1, Call::Snapshots { name: None }, MINUTE).lines;
    assert!(lines.iter().all(|line| line["draft"] == false), "{lines:?}");
}

#[test]
fn an_interrupted_first_backup_keeps_its_work_for_a_week_though_its_disk_is_unplugged() {
    let (mut cluster, _) = household(9, 1);
    write(&mut cluster, b"large", 80_000_000);
    cluster.call(0, Call::Backup { name: None, wait: false });
    let many = cluster.run_until(MINUTE.times(10), |cluster| used(cluster, 0) > 75_000_000);
    assert!(many, "the backup stores much before it ends");
    cluster.crash(0);
    cluster.nodes[0].files.remove_root(ROOT);
    cluster.start(0);
    cluster.run_until(MINUTE, |_| false);
    let stored = chunks(&mut cluster);
    assert!(stored[0] > 200, "{stored:?}");
    hours(&mut cluster, 24 * 6);
    let waits = status(&mut cluster, 0)["collect"].clone();
    assert_eq!(chunks(&mut cluster), stored, "{waits}");
    assert!(waits["waits"].as_str().is_some_and(|reason| reason.contains("interrupted")), "{waits}");
    hours(&mut cluster, 24 * 3);
    assert_eq!(chunks(&mut cluster), vec![0], "its time is over");
}

#[test]
fn a_node_whose_disk_took_no_entry_says_so_first_of_all_and_starts_anew_by_itself_when_the_disk_is_well() {
    let (mut cluster, _) = household(11, 2);
    back_up(&mut cluster);
    let mut told = status(&mut cluster, 0);
    // Which call fails is tried out: most of them have other consequences.
    for calls in 0..60 {
        write(&mut cluster, b"another", 3_000);
        cluster.nodes[0].disk.fail_after(calls, Fault::Io);
        cluster.ask(0, Call::Backup { name: None, wait: false }, MINUTE.times(10));
        cluster.nodes[0].disk.heal();
        told = status(&mut cluster, 0);
        if text(&told, "summary").contains("did not take an entry") {
            break;
        }
    }
    assert!(
        text(&told, "summary").starts_with("The disk with this node's data did not take an entry"),
        "{told}"
    );
    let first = &told["attention"][0];
    assert_eq!(first["severity"], "danger", "{told}");
    assert!(
        text(first, "message").matches("may be failing").count() == 1
            && text(first, "hint").contains("by itself"),
        "{told}"
    );
    cluster.nodes[0].disk.turn_off();
    cluster.run_until(MINUTE.times(30), |_| false);
    let still = status(&mut cluster, 0);
    assert!(text(&still, "summary").contains("did not take an entry"), "{still}");
    cluster.nodes[0].disk.heal();
    cluster.run_until(MINUTE.times(6), |_| false);
    back_up(&mut cluster);
    assert!(!status(&mut cluster, 0)["attention"].to_string().contains("did not take"));
}
