//! Erasing early among whole nodes: whose word is enough, and what it can never touch. The floor is the real one, and never over here.

use std::collections::BTreeSet;

use rand_core::RngCore;
use serde_json::Value;

use super::check::{add_folder, assert_protected, back_up, fill, found, join, text, weather, MINUTE, ROOT};
use super::cluster::{Answer, Cluster};
use super::collect_stories::{chunks, come_and_go, forget, hours, refusal, status, undo};
use super::feed_stories::good;
use crate::base::ids::{ChunkId, SnapshotId};
use crate::base::limits::MASS_RETIRED_MIN;
use crate::feed::entry::{Body, Erase, Erased, Role};
use crate::node::api::{Call, Removal};
use crate::node::ports::Input;

/// A vault of the first node, which has a folder, and others with these roles; all hold all. The recovery phrase.
fn household(seed: u64, roles: &[Role]) -> (Cluster, String) {
    let mut cluster = Cluster::new(seed, 1 + roles.len(), weather(0));
    let phrase = found(&mut cluster);
    for (number, role) in (1..).zip(roles) {
        join(&mut cluster, number, *role);
    }
    fill(&mut cluster, 3);
    add_folder(&mut cluster);
    assert_protected(&back_up(&mut cluster).lines);
    (cluster, phrase)
}

/// Two full nodes and a store node.
const USUAL: [Role; 2] = [Role::Full, Role::Store];

/// A node gives its word; or the root does.
fn erase(cluster: &mut Cluster, number: usize, snapshot: &str, phrase: Option<&str>) -> Answer {
    let snapshots = vec![snapshot.to_owned()];
    let phrase = phrase.map(str::to_owned);
    cluster.ask(number, Call::Erase { folder: "family".into(), snapshots, phrase }, MINUTE)
}

/// Whether the answer says that the words are enough.
fn is_erased(answer: &Answer) -> bool {
    good(answer);
    answer.lines[0]["erased"] == true
}

/// Signs a word in the node's name, whether the node would give it or not.
fn forge(cluster: &mut Cluster, number: usize, snapshot: &str, version: u64) {
    let snapshot: SnapshotId = snapshot.parse().expect("an id");
    let body = Body::Erase(Erase { snapshots: vec![Erased { snapshot, version }] });
    let core = &mut cluster.nodes[number].running.as_mut().expect("it runs").core;
    assert!(core.forge(body), "its signature is valid");
    cluster.give(number, Input::Tick);
    cluster.run_until(MINUTE, |_| false);
}

/// The snapshot that a backup has made.
fn newest(answer: &Answer) -> String {
    text(answer.lines.iter().rfind(|line| line["event"] == "snapshot").expect("it is told"), "snapshot")
}

/// What a node asks or says of what is to be erased.
fn told(cluster: &mut Cluster, number: usize) -> String {
    let status = status(cluster, number);
    let all = status["attention"].as_array().cloned().unwrap_or_default();
    let mine = all.into_iter().filter(|line| line.to_string().contains("erase"));
    Value::Array(mine.collect()).to_string()
}

/// Everything is whole everywhere, and the newest snapshot comes back.
fn assert_whole(cluster: &mut Cluster) {
    for number in 0..cluster.nodes.len() {
        good(&cluster.ask(number, Call::Verify { all: true }, MINUTE.times(5)));
    }
    for number in 0..2 {
        let call = Call::Restore { what: "family".into(), dry_run: false };
        good(&cluster.ask(number, call, MINUTE.times(5)));
    }
}

#[test]
fn two_full_nodes_erase_and_one_alone_does_not() {
    let (mut cluster, _) = household(1, &USUAL);
    let before = chunks(&mut cluster);
    let snapshot = come_and_go(&mut cluster, 1);
    let full = chunks(&mut cluster);
    assert_eq!(refusal(erase(&mut cluster, 0, &snapshot, None)), "not_forgotten", "it stands");
    good(&forget(&mut cluster, &snapshot));
    assert!(!is_erased(&erase(&mut cluster, 0, &snapshot, None)));
    assert!(!is_erased(&erase(&mut cluster, 0, &snapshot, None)), "twice the same word");
    hours(&mut cluster, 5);
    assert_eq!(chunks(&mut cluster), full, "one word alone does nothing");
    let asked = told(&mut cluster, 1);
    assert!(asked.contains("node0 wants snapshot") && asked.contains("`nuthatch erase family"), "{asked}");
    assert!(told(&mut cluster, 0).contains("waits for a second word"));
    // The store node is off; it hears of it when it comes back.
    cluster.crash(2);
    assert!(is_erased(&erase(&mut cluster, 1, &snapshot, None)));
    hours(&mut cluster, 1);
    assert!(told(&mut cluster, 0).contains("is still on node2"), "who has it is named");
    cluster.start(2);
    hours(&mut cluster, 1);
    let after = chunks(&mut cluster);
    for number in 0..3 {
        assert!(after[number] < full[number] && after[number] >= before[number], "{full:?} {after:?}");
        assert_eq!(told(&mut cluster, number), "[]", "nothing is left to be done");
    }
    assert_whole(&mut cluster);
    assert_eq!(refusal(undo(&mut cluster, &snapshot)), "collected");
}

#[test]
fn the_recovery_phrase_erases_alone_and_only_that_of_this_vault() {
    let (mut cluster, phrase) = household(2, &[Role::Store, Role::Store]);
    let snapshot = come_and_go(&mut cluster, 2);
    let full = chunks(&mut cluster);
    good(&forget(&mut cluster, &snapshot));
    assert!(!is_erased(&erase(&mut cluster, 0, &snapshot, None)));
    let strangers = found(&mut Cluster::new(99, 1, weather(0)));
    for words in [strangers.as_str(), "able acid"] {
        assert_eq!(refusal(erase(&mut cluster, 0, &snapshot, Some(words))), "bad_phrase");
    }
    assert_eq!(refusal(erase(&mut cluster, 1, &snapshot, Some(&phrase))), "not_full");
    hours(&mut cluster, 2);
    assert_eq!(chunks(&mut cluster), full);
    assert!(is_erased(&erase(&mut cluster, 0, &snapshot, Some(&phrase))));
    hours(&mut cluster, 1);
    let after = chunks(&mut cluster);
    assert!((0..3).all(|number| after[number] < full[number]), "{full:?} {after:?}");
    good(&cluster.ask(1, Call::Verify { all: true }, MINUTE.times(5)));
}

#[test]
fn what_stands_is_never_touched_whoever_says_so() {
    let (mut cluster, phrase) = household(3, &USUAL);
    let snapshot = come_and_go(&mut cluster, 3);
    let full = chunks(&mut cluster);
    for number in 0..2 {
        forge(&mut cluster, number, &snapshot, u64::MAX);
    }
    assert_eq!(refusal(erase(&mut cluster, 1, &snapshot, Some(&phrase))), "not_forgotten");
    hours(&mut cluster, 5);
    assert_eq!(chunks(&mut cluster), full);
    good(&cluster.ask(
        1,
        Call::Restore { what: format!("family@{snapshot}"), dry_run: false },
        MINUTE.times(5),
    ));
}

#[test]
fn whoever_takes_it_back_wins_over_words_given_at_the_same_time_and_over_old_ones() {
    let (mut cluster, _) = household(4, &USUAL);
    let snapshot = come_and_go(&mut cluster, 4);
    let full = chunks(&mut cluster);
    good(&forget(&mut cluster, &snapshot));
    assert!(!is_erased(&erase(&mut cluster, 0, &snapshot, None)));
    cluster.run_until(MINUTE, |_| false);
    // The store node hears of both only later, first of the second word.
    cluster.crash(2);
    cluster.net.cut([cluster.nodes[1].address].into());
    good(&undo(&mut cluster, &snapshot));
    cluster.crash(0);
    assert!(is_erased(&erase(&mut cluster, 1, &snapshot, None)), "for all that it knows");
    cluster.start(0);
    cluster.net.cut([].into());
    hours(&mut cluster, 1);
    cluster.start(2);
    hours(&mut cluster, 4);
    assert_eq!(chunks(&mut cluster)[0], full[0]);
    assert_eq!(chunks(&mut cluster)[2], full[2]);
    assert_eq!(chunks(&mut cluster)[1], full[1], "what had gone was copied anew");
    // It is forgotten again: the words of before are void.
    good(&forget(&mut cluster, &snapshot));
    hours(&mut cluster, 4);
    assert_eq!(chunks(&mut cluster), full);
    for number in 0..2 {
        erase(&mut cluster, number, &snapshot, None);
    }
    hours(&mut cluster, 1);
    let after = chunks(&mut cluster);
    assert!((0..3).all(|number| after[number] < full[number]), "{full:?} {after:?}");
    assert_whole(&mut cluster);
}

#[test]
fn whoever_owns_one_full_node_cannot_make_up_a_second_one() {
    let (mut cluster, _) = household(5, &USUAL);
    let snapshot = come_and_go(&mut cluster, 5);
    let full = chunks(&mut cluster);
    hours(&mut cluster, 25);
    let made_up = cluster.add_node();
    join(&mut cluster, made_up, Role::Full);
    cluster.run_until(MINUTE.times(3), |_| false);
    good(&forget(&mut cluster, &snapshot));
    good(&erase(&mut cluster, 0, &snapshot, None));
    cluster.run_until(MINUTE, |_| false);
    assert!(is_erased(&erase(&mut cluster, made_up, &snapshot, None)), "two say so");
    hours(&mut cluster, 24);
    let after = chunks(&mut cluster);
    assert_eq!(after[1..3], full[1..3], "devices that have known both for long are not deceived");
    assert!(told(&mut cluster, 1).contains("has not known those who say so for long enough"));
    // A restart is no way round it.
    for number in 1..3 {
        cluster.crash(number);
        cluster.start(number);
    }
    hours(&mut cluster, 2);
    assert_eq!(chunks(&mut cluster)[1..3], full[1..3]);
    // A person at the other full node means it, too.
    good(&erase(&mut cluster, 1, &snapshot, None));
    hours(&mut cluster, 1);
    let after = chunks(&mut cluster);
    assert!(after[1] < full[1] && after[2] < full[2], "{full:?} {after:?}");
}

#[test]
fn the_word_of_a_node_that_was_removed_is_void() {
    let (mut cluster, _) = household(6, &[Role::Full, Role::Full]);
    let snapshot = come_and_go(&mut cluster, 6);
    let full = chunks(&mut cluster);
    good(&forget(&mut cluster, &snapshot));
    cluster.run_until(MINUTE, |_| false);
    assert!(!is_erased(&erase(&mut cluster, 1, &snapshot, None)));
    cluster.run_until(MINUTE, |_| false);
    good(&cluster.ask(0, Call::Remove { node: "node1".into(), how: Removal::Drained }, MINUTE));
    cluster.crash(1);
    assert!(!is_erased(&erase(&mut cluster, 0, &snapshot, None)), "it is the only word");
    hours(&mut cluster, 5);
    let after = chunks(&mut cluster);
    assert!(after[0] >= full[0] && after[1] >= full[2], "{full:?} {after:?}");
    let full = after;
    assert!(is_erased(&erase(&mut cluster, 2, &snapshot, None)));
    hours(&mut cluster, 1);
    let after = chunks(&mut cluster);
    assert!(after[0] < full[0] && after[1] < full[1], "{full:?} {after:?}");
}

/// The manifest of the snapshot that came after a deletion goes on listing what was deleted.
#[test]
fn what_was_deleted_is_on_no_disk_when_all_that_lists_it_is_erased() {
    let (mut cluster, phrase) = household(8, &USUAL);
    let ids = |cluster: &mut Cluster, number| -> BTreeSet<ChunkId> {
        super::key_stories::chunks(cluster, number).into_iter().map(|(id, _)| id).collect()
    };
    // So much that one file more or less is no reason to build the manifest anew.
    let mut much = vec![0; 6_000_000];
    cluster.rng.fill_bytes(&mut much);
    cluster.nodes[0].files.write(ROOT, b"much", &much);
    assert_protected(&back_up(&mut cluster).lines);
    let before: Vec<_> = (0..3).map(|number| ids(&mut cluster, number)).collect();
    let content: Vec<u8> =
        (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    cluster.nodes[0].files.write(ROOT, b"secret", &content);
    let first = newest(&back_up(&mut cluster));
    let secret: Vec<BTreeSet<ChunkId>> = (0..3)
        .map(|number| ids(&mut cluster, number).difference(&before[number]).copied().collect())
        .collect();
    assert!(secret.iter().all(|ids| ids.len() >= 3), "content, tree and manifest: {secret:?}");
    cluster.nodes[0].files.remove(ROOT, b"secret");
    let second = newest(&back_up(&mut cluster));
    good(&forget(&mut cluster, &first));
    let answer = erase(&mut cluster, 0, &first, Some(&phrase));
    assert!(is_erased(&answer));
    assert_eq!(answer.lines[0]["listed_by"], serde_json::json!([second]));
    hours(&mut cluster, 1);
    let left = |cluster: &mut Cluster| -> usize {
        (0..3).map(|number| ids(cluster, number).intersection(&secret[number]).count()).sum()
    };
    assert!(left(&mut cluster) > 0, "the second snapshot lists it still");
    good(&forget(&mut cluster, &second));
    let answer = erase(&mut cluster, 0, &second, Some(&phrase));
    assert!(is_erased(&answer), "the node has made a third snapshot by itself");
    assert_eq!(answer.lines[0]["listed_by"], serde_json::json!([]));
    hours(&mut cluster, 1);
    assert_eq!(left(&mut cluster), 0, "no chunk of it is anywhere");
    assert_whole(&mut cluster);
    let listed = cluster.ask(0, Call::Snapshots { name: None }, MINUTE).lines.len();
    hours(&mut cluster, 1);
    assert_eq!(
        cluster.ask(0, Call::Snapshots { name: None }, MINUTE).lines.len(),
        listed,
        "and no more are made"
    );
}

#[test]
fn a_draft_of_a_node_that_is_alone_goes_by_the_phrase() {
    let mut cluster = Cluster::new(7, 1, weather(0));
    let phrase = found(&mut cluster);
    fill(&mut cluster, 2);
    add_folder(&mut cluster);
    back_up(&mut cluster);
    let content: Vec<u8> =
        (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    cluster.nodes[0].files.write(ROOT, b"passing", &content);
    let snapshot = newest(&back_up(&mut cluster));
    cluster.nodes[0].files.remove(ROOT, b"passing");
    let second = newest(&back_up(&mut cluster));
    // The manifest of that one lists what the one before needed; so much is stale that the next one is built anew.
    cluster.nodes[0].files.write(ROOT, b"other", b"other");
    back_up(&mut cluster);
    let full = chunks(&mut cluster);
    good(&forget(&mut cluster, &snapshot));
    good(&forget(&mut cluster, &second));
    assert_eq!(refusal(erase(&mut cluster, 0, &snapshot, None)), "needs_phrase");
    hours(&mut cluster, 2);
    assert_eq!(chunks(&mut cluster), full);
    let all = Call::Erase { folder: "family".into(), snapshots: Vec::new(), phrase: Some(phrase) };
    let answer = cluster.ask(0, all, MINUTE);
    assert!(is_erased(&answer));
    assert_eq!(answer.lines[0]["snapshots"].as_array().map(Vec::len), Some(2));
    hours(&mut cluster, 1);
    assert!(chunks(&mut cluster)[0] < full[0]);
    good(&cluster.ask(0, Call::Verify { all: true }, MINUTE.times(5)));
}

/// All snapshots, oldest first.
fn snapshots(cluster: &mut Cluster) -> Vec<String> {
    let answer = cluster.ask(0, Call::Snapshots { name: None }, MINUTE);
    answer.lines.iter().map(|line| text(line, "snapshot")).collect()
}

/// A household in which all snapshots but the newest were forgotten: what was on each disk before, the phrase, and all that are forgotten.
fn mass(seed: u64) -> (Cluster, Vec<u64>, String, Vec<String>) {
    let (mut cluster, phrase) = household(seed, &[Role::Store, Role::Store]);
    for number in 0..u8::try_from(MASS_RETIRED_MIN + 1).expect("a small number") {
        cluster.nodes[0].files.write(ROOT, b"changing", &[number; 20_000]);
        good(&cluster.ask(0, Call::Backup { name: None, wait: false }, MINUTE));
        // Closer to each other they would be a busy day that was thinned.
        hours(&mut cluster, 2);
    }
    let full = chunks(&mut cluster);
    let mut all = snapshots(&mut cluster);
    all.pop();
    for snapshot in &all {
        good(&forget(&mut cluster, snapshot));
    }
    (cluster, full, phrase, all)
}

#[test]
fn a_mass_that_is_taken_back_asks_nobody_any_more() {
    let (mut cluster, _, _, all) = mass(10);
    let asks = |cluster: &mut Cluster, number: usize| {
        status(cluster, number)["attention"].to_string().contains("retired at once")
    };
    cluster.run_until(MINUTE, |_| false);
    assert!((0..3).all(|number| asks(&mut cluster, number)));
    for (number, snapshot) in all.iter().enumerate() {
        assert!(number > 0 || asks(&mut cluster, 1));
        good(&undo(&mut cluster, snapshot));
    }
    cluster.run_until(MINUTE, |_| false);
    assert!(!(0..3).any(|number| asks(&mut cluster, number)));
    cluster.crash(1);
    cluster.start(1);
    cluster.run_until(MINUTE, |_| false);
    assert!(!asks(&mut cluster, 1));
}

#[test]
fn a_mass_that_is_erased_is_frozen_as_any_other_mass() {
    let (mut cluster, full, phrase, _) = mass(9);
    let erase_all = Call::Erase { folder: "family".into(), snapshots: Vec::new(), phrase: Some(phrase) };
    assert!(is_erased(&cluster.ask(0, erase_all, MINUTE)));
    hours(&mut cluster, 2);
    let after = chunks(&mut cluster);
    assert!(
        (0..2).all(|number| after[number] >= full[number]),
        "{full:?} {after:?}: a person is asked first"
    );
    // Nor does it end with a restart.
    cluster.crash(1);
    cluster.start(1);
    hours(&mut cluster, 2);
    assert!(chunks(&mut cluster)[1] >= full[1]);
    for number in 0..2 {
        let told = status(&mut cluster, number)["attention"].to_string();
        assert!(told.contains("retired at once"), "{told}");
        good(&cluster.ask(number, Call::Confirm { what: "collect".into() }, MINUTE));
    }
    hours(&mut cluster, 1);
    let after = chunks(&mut cluster);
    assert!((0..2).all(|number| after[number] + 20 < full[number]), "{full:?} {after:?}");
    good(&cluster.ask(1, Call::Verify { all: true }, MINUTE));
}

#[test]
fn a_busy_day_that_is_thinned_is_no_mass() {
    let (mut cluster, _) = household(13, &[Role::Store, Role::Store]);
    for number in 0..u8::try_from(MASS_RETIRED_MIN + 10).expect("a small number") {
        cluster.nodes[0].files.write(ROOT, b"changing", &[number; 20_000]);
        good(&cluster.ask(0, Call::Backup { name: None, wait: false }, MINUTE));
    }
    cluster.run_until(MINUTE, |_| false);
    // All but the last of an hour, as a policy has it.
    let made = snapshots(&mut cluster);
    for snapshot in &made[..made.len() - 1] {
        good(&forget(&mut cluster, snapshot));
    }
    hours(&mut cluster, 2);
    for number in 0..3 {
        let told = status(&mut cluster, number)["attention"].to_string();
        assert!(!told.contains("retired at once"), "{told}");
    }
}
