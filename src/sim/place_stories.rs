//! Placement and its truth among whole nodes: sites come before nodes, full nodes are gone round, and what `status` says of a fire
//! is what a restore finds.

use std::collections::BTreeSet;

use rand_core::RngCore;
use serde_json::Value;

use super::check::{fill, found, join, text, unpack_partly, weather, Expected, MINUTE, ROOT};
use super::cluster::{Answer, Cluster};
use super::feed_stories::short_folder;
use crate::base::units::Span;
use crate::feed::entry::Role;
use crate::node::api::{Call, FolderAdd, Removal};
use crate::node::ports::Ending;

/// Five nodes: two at home, two at the parents', one in the office.
const SITES: [&str; 5] = ["home", "home", "parents", "parents", "office"];

/// That household, all able to read, before its first backup.
pub(super) fn household(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(seed, SITES.len(), weather(0));
    found(&mut cluster);
    for (number, site) in SITES.iter().enumerate().skip(1) {
        let invitation = cluster.call(0, Call::Invite { role: Role::Full, wait: true });
        assert!(cluster.run_until(MINUTE, |cluster| !cluster.answer(0, invitation).lines.is_empty()));
        let code = text(&cluster.answer(0, invitation).lines[0], "code");
        let peer = Some(cluster.nodes[0].address);
        let call = Call::Join { code, peer, name: None, site: Some((*site).to_owned()) };
        let answer = cluster.ask(number, call, MINUTE.times(2));
        assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
    }
    fill(&mut cluster, 12);
    cluster.run_until(MINUTE, |_| false);
    cluster
}

/// The first node adds a folder with so many copies.
pub(super) fn add_folder(cluster: &mut Cluster, name: &str, directory: &[u8], copies: u8) {
    let add = FolderAdd {
        name: name.into(),
        directory: directory.to_vec(),
        kind: "backup".into(),
        copies: Some(copies),
        keep: None,
        ignore: Vec::new(),
        one_file_system: false,
        max_size: None,
        mode: crate::feed::entry::Mode::Both,
    };
    cluster.ask(0, Call::FolderAdd(add), MINUTE);
}

/// A folder with so many copies is added and backed up.
pub(super) fn back_up(cluster: &mut Cluster, copies: u8) -> Answer {
    add_folder(cluster, "family", ROOT, copies);
    let answer = cluster.ask(0, Call::Backup { name: None, wait: true }, MINUTE.times(10));
    cluster.run_until(MINUTE.times(5), |_| false);
    answer
}

/// What a node says of itself.
pub(super) fn status(cluster: &mut Cluster, number: usize) -> Value {
    cluster.ask(number, Call::Status, MINUTE).lines.remove(0)
}

/// Whether the folder comes back on this node.
pub(super) fn comes_back(cluster: &mut Cluster, number: usize) -> bool {
    let call = Call::Restore { what: "family".into(), dry_run: false };
    cluster.ask(number, call, MINUTE.times(20)).end == Some(Ok(Ending::Complete))
}

/// Whether `status` says that a fire takes the folder.
fn is_said_to_be_lost(status: &Value, fire: &Value) -> bool {
    let losses = status["losses"].as_array().expect("losses are told");
    losses.iter().any(|loss| &loss["node"] == fire || &loss["site"] == fire)
}

/// Lets these burn, asks a node that is left for the folder, and starts them again.
fn survives(cluster: &mut Cluster, burnt: &[usize]) -> bool {
    burnt.iter().for_each(|number| cluster.crash(*number));
    let left = (0..SITES.len()).find(|number| !burnt.contains(number)).expect("somebody is left");
    cluster.run_until(MINUTE, |_| false);
    let comes_back = comes_back(cluster, left);
    burnt.iter().for_each(|number| cluster.start(*number));
    cluster.run_until(MINUTE.times(2), |_| false);
    comes_back
}

/// Compares what is said of every fire with what a restore finds; how many take the folder.
fn compare(cluster: &mut Cluster) -> usize {
    let said = status(cluster, 1);
    let ids: Vec<Value> = (0..SITES.len()).map(|number| status(cluster, number)["node"].clone()).collect();
    let mut lost = 0;
    for (number, id) in ids.iter().enumerate() {
        let survived = survives(cluster, &[number]);
        assert_eq!(survived, !is_said_to_be_lost(&said, id), "node {number}: {}", said["losses"]);
        lost += usize::from(!survived);
    }
    for site in ["home", "parents", "office"] {
        let burnt: Vec<usize> = (0..SITES.len()).filter(|number| SITES[*number] == site).collect();
        let survived = survives(cluster, &burnt);
        assert_eq!(survived, !is_said_to_be_lost(&said, &site.into()), "{site}: {}", said["losses"]);
        lost += usize::from(!survived);
    }
    lost
}

#[test]
fn three_copies_are_in_three_sites_and_no_fire_takes_anything() {
    let mut cluster = household(51);
    assert_eq!(back_up(&mut cluster, 3).end, Some(Ok(Ending::Complete)));
    let said = status(&mut cluster, 0);
    let protected = &said["folders"][0]["protected"];
    assert_eq!((&protected["have"], &protected["sites"]), (&3.into(), &3.into()), "{protected}");
    assert_eq!(compare(&mut cluster), 0);
}

#[test]
fn what_is_said_of_a_fire_is_what_a_restore_finds() {
    let mut cluster = household(52);
    back_up(&mut cluster, 1);
    assert!(compare(&mut cluster) > 0, "with one copy the writer's fire takes something");
}

#[test]
fn what_a_fire_takes_of_older_snapshots_only_is_told_too() {
    let mut cluster = household(56);
    let write = |cluster: &mut Cluster| {
        for number in 0..40_u8 {
            let mut content = vec![0; 60_000];
            cluster.rng.fill_bytes(&mut content);
            cluster.nodes[0].files.write(ROOT, &[b'a', b'A' + number], &content);
        }
    };
    write(&mut cluster);
    let first = back_up(&mut cluster, 1);
    let line = first.lines.iter().find(|line| line["event"] == "snapshot");
    let first = text(line.expect("one is made"), "snapshot");
    // The next one may list what it does not need any more; the one after it, of which there are three copies, does not.
    for copies in ["copies=1", "copies=3"] {
        write(&mut cluster);
        let set = Call::FolderSet { name: "family".into(), changes: vec![copies.into()] };
        assert_eq!(cluster.ask(0, set, MINUTE).end, Some(Ok(Ending::Complete)));
        cluster.ask(0, Call::Backup { name: None, wait: true }, MINUTE.times(10));
        cluster.run_until(MINUTE.times(5), |_| false);
    }
    let writer = status(&mut cluster, 0)["node"].clone();
    let said = status(&mut cluster, 1);
    let of = |fire: &Value| {
        let losses = said["losses"].as_array().into_iter().flatten();
        let mut folders = losses.filter(|loss| &loss["node"] == fire || &loss["site"] == fire);
        folders.next().map_or(Value::Null, |loss| loss["folders"][0].clone())
    };
    for fire in [writer, "home".into()] {
        let lost = of(&fire);
        assert!(lost["left"].is_string() && lost["left"] == lost["newest"], "{}", said["losses"]);
        assert_eq!(lost["older_lost"], 2, "{}", said["losses"]);
    }
    assert_eq!(said["losses"].as_array().map(Vec::len), Some(2), "{}", said["losses"]);
    let older = |cluster: &mut Cluster| {
        let call = Call::Restore { what: format!("family@{first}"), dry_run: false };
        cluster.ask(1, call, MINUTE.times(20)).end
    };
    cluster.crash(0);
    cluster.run_until(MINUTE, |_| false);
    assert!(comes_back(&mut cluster, 1));
    let end = older(&mut cluster);
    assert!(end.as_ref().is_some_and(|end| *end != Ok(Ending::Complete)), "and so it is: {end:?}");
    cluster.start(0);
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(older(&mut cluster), Some(Ok(Ending::Complete)), "with the writer it is there");
}

#[test]
fn placement_goes_round_a_node_that_holds_nothing_for_others() {
    let mut cluster = household(53);
    let none = Call::ConfigSet { key: "node.capacity".into(), value: "0".into() };
    assert_eq!(cluster.ask(4, none, MINUTE).end, Some(Ok(Ending::Complete)));
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(back_up(&mut cluster, 3).end, Some(Ok(Ending::Complete)));
    let nodes = cluster.ask(0, Call::Nodes, MINUTE).lines.remove(0);
    let held = |site: &str| -> Vec<Value> {
        let here = nodes.as_array().into_iter().flatten().filter(|node| node["site"] == site);
        here.map(|node| node["held_snapshots"].clone()).collect()
    };
    assert_eq!(held("office"), [Value::from(0)], "{nodes}");
    assert_eq!(held("parents"), [Value::from(1), Value::from(1)]);
    let writer = nodes.as_array().into_iter().flatten().find(|node| node["self"] == true);
    assert_eq!(writer.map(|node| &node["held_snapshots"]), Some(&Value::from(1)), "its own counts");
    let said = status(&mut cluster, 0);
    assert_eq!(said["folders"][0]["protected"]["sites"], 2);
}

#[test]
fn a_restore_right_after_start_waits_for_the_members_that_are_not_there_yet() {
    let mut cluster = household(11);
    back_up(&mut cluster, 2);
    // The writer has everything: it does not come back.
    for number in [0, 2, 3, 4] {
        cluster.crash(number);
    }
    cluster.start(4);
    let restore = cluster.call(4, Call::Restore { what: "family".into(), dry_run: false });
    cluster.run_until(Span::from_secs(20), |_| false);
    assert_eq!(cluster.answer(4, restore).end, None, "two of five do not have everything");
    cluster.start(2);
    cluster.start(3);
    cluster.run_until(MINUTE, |cluster| cluster.answer(4, restore).end.is_some());
    assert_eq!(cluster.answer(4, restore).end, Some(Ok(Ending::Complete)));
}

#[test]
fn a_folder_of_which_too_little_is_left_is_said_to_be_lost() {
    let mut cluster = household(54);
    (0..20_u8).for_each(|number| cluster.nodes[1].files.write(ROOT, &[b'a' + number], &[number; 30_000]));
    cluster.ask(1, short_folder("family"), MINUTE);
    let backup = cluster.ask(1, Call::Backup { name: None, wait: true }, MINUTE.times(10));
    assert_eq!(backup.end, Some(Ok(Ending::Complete)));
    cluster.run_until(MINUTE.times(5), |_| false);
    let lost = "the newest snapshot of family is lost";
    assert!(!status(&mut cluster, 0)["attention"].to_string().contains(lost), "all is well");
    for number in [1, 4] {
        cluster.crash(number);
    }
    for node in ["node1", "node4"] {
        let remove = Call::Remove { node: node.into(), how: Removal::Now };
        assert_eq!(cluster.ask(0, remove, MINUTE).end, Some(Ok(Ending::Complete)));
    }
    cluster.run_until(MINUTE, |_| false);
    let said = status(&mut cluster, 0);
    let first = &said["attention"][0];
    assert!(text(first, "message").starts_with(lost), "{}", said["attention"]);
    assert_eq!(first["severity"], "danger");
    assert_eq!(said["folders"][0]["protected"]["have"], 0);
    assert!(!comes_back(&mut cluster, 0), "and so it is");
}

/// One more folder of the first node is backed up, in so many copies; its snapshot.
fn back_up_other(cluster: &mut Cluster, name: &str, copies: u8) -> String {
    let directory = format!("/srv/{name}").into_bytes();
    for number in 0..20_u8 {
        cluster.nodes[0].files.write(&directory, &[b'a' + number], &[number; 30_000]);
    }
    add_folder(cluster, name, &directory, copies);
    let answer = cluster.ask(0, Call::Backup { name: Some(name.into()), wait: false }, MINUTE);
    cluster.run_until(MINUTE.times(2), |_| false);
    let line = answer.lines.iter().find(|line| line["event"] == "snapshot");
    text(line.expect("a snapshot is told"), "snapshot")
}

#[test]
fn what_has_the_fewest_copies_is_kept_first() {
    let mut cluster = household(55);
    cluster.crash(4);
    let few = back_up_other(&mut cluster, "few", 2);
    let many = back_up_other(&mut cluster, "many", 4);
    cluster.start(4);
    cluster.run_until(MINUTE.times(5), |_| false);
    let log = cluster.ask(4, Call::Log { follow: false, after: None }, MINUTE).lines;
    let kept: Vec<String> = log
        .iter()
        .map(|line| text(line, "message"))
        .filter(|message| message.contains("is kept here"))
        .collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    // Of equals the newest would be first.
    assert!(kept[0].contains(&few[..8]) && kept[1].contains(&many[..8]), "{few} {many}: {kept:?}");
}

#[test]
fn from_the_words_and_one_store_node_of_many_all_that_it_has_comes_back_and_the_rest_is_named() {
    let mut cluster = Cluster::new(56, 6, weather(0));
    let words = found(&mut cluster);
    (1..6).for_each(|number| join(&mut cluster, number, Role::Store));
    let mut expected = Expected::new();
    for number in 0..40_u8 {
        let mut content = vec![0; 20_000];
        cluster.rng.fill_bytes(&mut content);
        let path = vec![b'a' + number / 20, b'0' + number];
        cluster.nodes[0].files.write(ROOT, &path, &content);
        expected.insert(path, content);
    }
    assert_eq!(back_up(&mut cluster, 2).end, Some(Ok(Ending::Complete)));
    let mut partly = 0;
    for survivor in 1..6 {
        (0..cluster.nodes.len()).for_each(|number| cluster.crash(number));
        cluster.start(survivor);
        let number = cluster.add_node();
        let peer = Some(cluster.nodes[survivor].address);
        let recover = Call::Recover { phrase: words.clone(), peer, replace: None, name: None, site: None };
        assert_eq!(cluster.ask(number, recover, MINUTE.times(5)).end, Some(Ok(Ending::Complete)));
        let restore = Call::Restore { what: "family".into(), dry_run: false };
        let answer = cluster.ask(number, restore, MINUTE.times(30));
        let (whole, lost) = unpack_partly(&answer.bytes);
        assert!(whole.iter().all(|(path, content)| expected.get(path) == Some(content)));
        if answer.end == Some(Ok(Ending::Partial)) {
            let named: BTreeSet<&Vec<u8>> = lost.iter().chain(whole.keys()).collect();
            assert_eq!(named, expected.keys().collect(), "with node {survivor} alone");
            partly += usize::from(!whole.is_empty());
        } else {
            // What lists the files is not there: nothing comes back, and that is said.
            assert!(
                answer.end.clone().is_some_and(|end| end.is_err()) && whole.is_empty(),
                "{:?}",
                answer.end
            );
        }
    }
    assert!(partly > 0, "one of them has the list and some of the files");
}
