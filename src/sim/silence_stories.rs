//! Stories of devices that grow silent, and of clocks on walls, which have no say in it.

use serde_json::Value;

use super::check::{attaching, family_folder, fill, found, household, join, weather, MINUTE, ROOT};
use super::cluster::Cluster;
use super::feed_stories::good;
use crate::feed::entry::Role;
use crate::node::api::{Call, FolderAdd, Removal};

/// What a node says of itself.
fn status(cluster: &mut Cluster, number: usize) -> Value {
    cluster.ask(number, Call::Status, MINUTE).lines.remove(0)
}

/// Whether a node says that the first one's folder has been silent for too long.
fn is_alarmed(cluster: &mut Cluster, number: usize) -> bool {
    let status = status(cluster, number);
    let told = status["silence"].as_array().expect("a list");
    assert_eq!(told.len(), 1, "one folder of others: {told:?}");
    let alarmed = told[0]["too_long"] == true;
    assert_eq!(status["attention"].to_string().contains("node0"), alarmed, "{}", status["attention"]);
    alarmed
}

/// Runs on for some hours; the clocks on the walls jump meanwhile.
fn hours(cluster: &mut Cluster, count: u64, jumps: bool) {
    let ten_years = 315_360_000_000_000;
    for hour in 0..count {
        if jumps && hour % 7 == 3 {
            cluster.shift_clocks(if hour % 2 == 0 { ten_years } else { -ten_years });
        }
        cluster.run_until(MINUTE.times(60), |_| false);
    }
}

/// What a node has noted of silences.
fn notes(cluster: &mut Cluster, number: usize) -> Vec<String> {
    let lines = cluster.ask(number, Call::Log { follow: false, after: None }, MINUTE).lines;
    let of_silence = lines.iter().filter(|line| line["area"] == "silence");
    of_silence.map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_device_that_looks_after_its_folder_is_never_called_silent_and_one_that_is_off_is_whatever_clocks_say() {
    let mut cluster = household(60);
    hours(&mut cluster, 30, true);
    for number in 1..3 {
        assert!(!is_alarmed(&mut cluster, number), "unchanged scans are signs of life");
        let told = status(&mut cluster, number)["silence"][0].clone();
        assert_eq!(told["heard"], true);
        assert!(told["silent_us"].as_u64().expect("a span") < 2 * 3_600_000_000, "{told}");
    }
    assert!(status(&mut cluster, 0)["silence"].as_array().is_some_and(Vec::is_empty), "not of itself");
    cluster.crash(0);
    hours(&mut cluster, 24, true);
    assert!((1..3).all(|number| !is_alarmed(&mut cluster, number)), "a day is nothing");
    hours(&mut cluster, 4, false);
    assert!((1..3).all(|number| is_alarmed(&mut cluster, number)), "the others say so");
    assert_eq!(notes(&mut cluster, 1).len(), 1, "once");
    cluster.start(0);
    cluster.run_until(MINUTE.times(2), |_| false);
    assert!((1..3).all(|number| !is_alarmed(&mut cluster, number)));
    assert!(notes(&mut cluster, 1)[1].contains("again"), "{:?}", notes(&mut cluster, 1));
}

#[test]
fn a_scan_that_fails_is_no_sign_of_life_though_the_device_is_connected() {
    let mut cluster = household(61);
    cluster.nodes[0].files.remove_root(ROOT);
    hours(&mut cluster, 25, false);
    assert!(!is_alarmed(&mut cluster, 1));
    hours(&mut cluster, 3, false);
    assert!(is_alarmed(&mut cluster, 1) && is_alarmed(&mut cluster, 2));
}

#[test]
fn what_was_heard_is_remembered_and_nothing_is_written_for_it() {
    let mut cluster = household(62);
    hours(&mut cluster, 2, false);
    let written = |cluster: &mut Cluster| status(cluster, 1)["store"]["written"]["total_bytes"].clone();
    let before = written(&mut cluster);
    hours(&mut cluster, 6, false);
    assert_eq!(written(&mut cluster), before, "an idle node writes nothing");
    // While a node is off nobody grows silent for it, and a restart is no reason to forget.
    cluster.crash(0);
    hours(&mut cluster, 20, false);
    cluster.stop(1);
    hours(&mut cluster, 40, false);
    cluster.start(1);
    cluster.run_until(MINUTE, |_| false);
    assert!(!is_alarmed(&mut cluster, 1) && is_alarmed(&mut cluster, 2));
    hours(&mut cluster, 28, false);
    assert!(is_alarmed(&mut cluster, 1));
}

#[test]
fn folders_and_devices_that_were_removed_are_not_nagged_about() {
    let mut cluster = household(63);
    good(&cluster.ask(0, Call::FolderRemove { name: "family".into() }, MINUTE));
    cluster.run_until(MINUTE, |_| false);
    assert!(status(&mut cluster, 1)["silence"].as_array().is_some_and(Vec::is_empty));
    let mut cluster = household(64);
    cluster.crash(1);
    cluster.run_until(MINUTE, |_| false);
    cluster.start(1);
    cluster.crash(2);
    hours(&mut cluster, 28, false);
    let told = status(&mut cluster, 0)["silence"].clone();
    assert_eq!(told, Value::Array(Vec::new()), "a store node has no folder to be silent about");
}

/// Two full nodes and a third one, the second with a folder that is protected.
fn two_full(seed: u64, third: Role) -> Cluster {
    let mut cluster = Cluster::new(seed, 3, weather(0));
    found(&mut cluster);
    join(&mut cluster, 1, Role::Full);
    join(&mut cluster, 2, third);
    fill(&mut cluster, 30);
    cluster.nodes[1].files = std::mem::take(&mut cluster.nodes[0].files);
    good(&cluster.ask(1, family_folder(), MINUTE));
    good(&cluster.ask(1, Call::Backup { name: Some("family".into()), wait: true }, MINUTE.times(10)));
    cluster
}

#[test]
fn a_folder_whose_device_was_removed_is_said_to_be_left_behind_until_another_one_takes_it_over() {
    let mut cluster = two_full(65, Role::Store);
    let attach = attaching();
    let refused = cluster.ask(0, attach.clone(), MINUTE).end;
    let Some(Err(error)) = refused else { panic!("{refused:?}") };
    assert!(error.message.contains("node1 alone") && error.hint.contains("remove node1"), "{error:?}");
    cluster.crash(1);
    good(&cluster.ask(0, Call::Remove { node: "node1".into(), how: Removal::Now }, MINUTE));
    let told = status(&mut cluster, 0);
    assert_eq!(told["summary"], "No device backs up family any more.");
    let attention = told["attention"].to_string();
    assert!(attention.contains("its own node1 was removed") && attention.contains("folder attach family"));
    let exists = cluster.ask(0, family_folder(), MINUTE).end;
    assert!(matches!(&exists, Some(Err(error)) if error.hint.contains("attach")), "{exists:?}");
    // The disk with its files was moved over.
    cluster.nodes[0].files = std::mem::take(&mut cluster.nodes[1].files);
    cluster.nodes[0].files.write(ROOT, b"newer", b"written on the other device");
    good(&cluster.ask(0, attach, MINUTE));
    let done = cluster.ask(0, Call::Backup { name: Some("family".into()), wait: false }, MINUTE.times(5));
    good(&done);
    assert_eq!(done.lines[0]["files"], 31, "{:?}", done.lines);
    cluster.run_until(MINUTE.times(5), |_| false);
    let told = status(&mut cluster, 0);
    assert_eq!(told["summary"], "Partly protected: family (2 of 3).");
    assert!(!told["attention"].to_string().contains("any more"), "{told}");
    let snapshots = cluster.ask(0, Call::Snapshots { name: Some("family".into()) }, MINUTE).lines.len();
    assert_eq!(snapshots, 2, "the lost device's one is still there");
}

#[test]
fn a_folder_that_is_left_behind_may_be_removed_by_another_device_and_is_not_asked_about_then() {
    let mut cluster = two_full(66, Role::Store);
    cluster.crash(1);
    good(&cluster.ask(0, Call::Remove { node: "node1".into(), how: Removal::Now }, MINUTE));
    let remove = Call::FolderRemove { name: "family".into() };
    cluster.crash(2);
    cluster.stop(0);
    cluster.start(0);
    let early = cluster.ask(0, remove.clone(), MINUTE.times(10)).end;
    assert!(matches!(&early, Some(Err(error)) if error.code == "unconfirmed"), "{early:?}");
    cluster.start(2);
    cluster.run_until(MINUTE, |_| false);
    good(&cluster.ask(0, remove, MINUTE));
    let told = status(&mut cluster, 0);
    assert!(!told["attention"].to_string().contains("family"), "{told}");
    let snapshots = cluster.ask(0, Call::Snapshots { name: Some("family".into()) }, MINUTE).lines.len();
    assert_eq!(snapshots, 1, "what there is stays");
}

#[test]
fn two_devices_that_take_a_folder_over_at_once_both_say_so_until_one_gives_it_up() {
    let mut cluster = two_full(67, Role::Full);
    cluster.crash(1);
    good(&cluster.ask(0, Call::Remove { node: "node1".into(), how: Removal::Now }, MINUTE));
    cluster.run_until(MINUTE, |_| false);
    for number in [0, 2] {
        cluster.nodes[number].files.write(ROOT, b"mine", &[0, 1]);
        cluster.call(number, attaching());
    }
    cluster.run_until(MINUTE, |_| false);
    for (number, other) in [(0, "node2"), (2, "node0")] {
        let attention = status(&mut cluster, number)["attention"].to_string();
        assert!(attention.contains(&format!("family is backed up by {other} as well")), "{attention}");
    }
    good(&cluster.ask(2, Call::FolderRemove { name: "family".into() }, MINUTE));
    cluster.run_until(MINUTE, |_| false);
    for number in [0, 2] {
        let attention = status(&mut cluster, number)["attention"].to_string();
        assert!(!attention.contains("as well"), "{attention}");
    }
}

/// Three full nodes that share a folder.
fn sharing(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(seed, 3, weather(0));
    found(&mut cluster);
    (1..3).for_each(|number| join(&mut cluster, number, Role::Full));
    fill(&mut cluster, 3);
    let Call::FolderAdd(add) = family_folder() else { panic!("a folder is added") };
    good(&cluster.ask(0, Call::FolderAdd(FolderAdd { kind: "shared".into(), ..add }), MINUTE));
    cluster.run_until(MINUTE.times(3), |_| false);
    for number in 1..3 {
        cluster.nodes[number].files.make_root(ROOT);
        good(&cluster.ask(number, attaching(), MINUTE));
    }
    hours(&mut cluster, 3, false);
    cluster
}

#[test]
fn of_a_shared_folder_each_device_is_watched_by_all_others() {
    for lost in 0..3 {
        let mut cluster = sharing(66);
        let watched = |cluster: &mut Cluster, number: usize, word: &str| -> Vec<bool> {
            let told = status(cluster, number)["silence"].take();
            told.as_array().expect("a list").iter().map(|folder| folder[word] == true).collect()
        };
        for number in 0..3 {
            assert_eq!(
                watched(&mut cluster, number, "heard"),
                [true, true],
                "node {number} hears both others"
            );
        }
        // Its disk is gone, though it is connected.
        cluster.nodes[lost].files.remove_root(ROOT);
        hours(&mut cluster, 28, false);
        for number in (0..3).filter(|number| *number != lost) {
            let alarms = watched(&mut cluster, number, "too_long");
            assert_eq!(alarms.iter().filter(|alarm| **alarm).count(), 1, "node {number}, {lost} is lost");
            let attention = status(&mut cluster, number)["attention"].to_string();
            assert!(attention.contains(&format!("by node{lost} ")), "{attention}");
        }
    }
}
