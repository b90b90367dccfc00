//! Stories of holders that fall silent: who is planned around, who stands in, and that nobody ever holds less for what it believes
//! of others. Five nodes of three sites (`place_stories`), all able to read.

use serde_json::Value;

use super::check::{fill, MINUTE, ROOT};
use super::cluster::Cluster;
use super::place_stories::{back_up, comes_back, household, status};
use crate::node::api::Call;
use crate::node::ports::Ending;

/// Runs on for so many hours; the clocks on the walls jump meanwhile.
pub(super) fn hours(cluster: &mut Cluster, count: u64) {
    let ten_years = 315_360_000_000_000;
    for hour in 0..count {
        if hour % 5 == 2 {
            cluster.shift_clocks(if hour % 2 == 0 { ten_years } else { -ten_years });
        }
        cluster.run_until(MINUTE.times(60), |_| false);
    }
}

/// The names of those whom a node plans around.
fn away(cluster: &mut Cluster, number: usize) -> Vec<String> {
    let said = status(cluster, number);
    let names = said["around"]["away"].as_array().expect("a list").iter();
    let names: Vec<String> = names.map(|away| away["name"].as_str().expect("a name").to_owned()).collect();
    let nodes = cluster.ask(number, Call::Nodes, MINUTE).lines.remove(0);
    let planned =
        nodes.as_array().into_iter().flatten().filter(|node| node["absence"]["planned_around"] == true);
    assert_eq!(planned.count(), names.len(), "`nodes` says what `status` says");
    assert!(names.iter().all(|name| said["attention"].to_string().contains(name)), "{}", said["attention"]);
    names
}

/// Chunks on a node's disk.
fn chunks(cluster: &mut Cluster, number: usize) -> u64 {
    status(cluster, number)["store"]["chunks"].as_u64().expect("chunks are counted")
}

/// How many copies of the folder are known.
fn have(cluster: &mut Cluster, number: usize) -> Value {
    status(cluster, number)["folders"][0]["protected"]["have"].clone()
}

#[test]
fn a_holder_that_is_gone_for_longer_than_usual_is_stood_in_for_and_then_another_may_be_lost() {
    let mut cluster = household(71);
    assert_eq!(back_up(&mut cluster, 2).end, Some(Ok(Ending::Complete)));
    // Of some groups the writer and this one have the only two copies.
    cluster.crash(2);
    hours(&mut cluster, 20);
    for number in [0, 1, 3, 4] {
        assert!(away(&mut cluster, number).is_empty(), "a night is nothing");
    }
    let before: u64 = [1, 3, 4].iter().map(|number| chunks(&mut cluster, *number)).sum();
    hours(&mut cluster, 5);
    for number in [0, 1, 3, 4] {
        assert_eq!(away(&mut cluster, number), ["node2"]);
    }
    let after: u64 = [1, 3, 4].iter().map(|number| chunks(&mut cluster, *number)).sum();
    assert!(after > before, "others have made copies: {before}, {after}");
    assert_eq!(have(&mut cluster, 1), 2);
    cluster.crash(0);
    cluster.run_until(MINUTE, |_| false);
    assert!(comes_back(&mut cluster, 1), "both holders of a group are gone, and it was stood in for");
}

#[test]
fn a_backup_made_while_a_holder_is_away_is_protected_and_the_holder_is_made_use_of_when_it_is_back() {
    let mut cluster = household(72);
    assert_eq!(back_up(&mut cluster, 3).end, Some(Ok(Ending::Complete)));
    cluster.crash(4);
    cluster.run_until(MINUTE, |_| false);
    fill(&mut cluster, 6);
    let again = Call::Backup { name: None, wait: true };
    let early = cluster.ask(0, again.clone(), MINUTE.times(20));
    assert_eq!(early.end, Some(Ok(Ending::Partial)), "its copies are waited for at first");
    hours(&mut cluster, 25);
    assert_eq!(have(&mut cluster, 0), 3, "others have made them");
    cluster.nodes[0].files.write(ROOT, b"new", &[7; 90_000]);
    let late = cluster.ask(0, again.clone(), MINUTE.times(20));
    assert_eq!(late.end, Some(Ok(Ending::Complete)), "{:?}", late.lines.last());
    cluster.start(4);
    cluster.run_until(MINUTE.times(5), |_| false);
    for number in 0..5 {
        assert!(away(&mut cluster, number).is_empty());
    }
    // The others' copies of old snapshots are one more; of new ones they make none.
    let before: Vec<u64> = (1..4).map(|number| chunks(&mut cluster, number)).collect();
    cluster.nodes[0].files.write(ROOT, b"newer", &[8; 90_000]);
    assert_eq!(cluster.ask(0, again, MINUTE.times(20)).end, Some(Ok(Ending::Complete)));
    let nodes = cluster.ask(0, Call::Nodes, MINUTE).lines.remove(0);
    let office =
        nodes.as_array().into_iter().flatten().find(|node| node["name"] == "node4").expect("it is listed");
    assert_eq!(office["held_snapshots"], 4, "{office}");
    assert!(before.iter().all(|count| *count > 0));
    let lost = [1, 2];
    lost.iter().for_each(|number| cluster.crash(*number));
    assert!(comes_back(&mut cluster, 4));
}

#[test]
fn a_laptop_that_is_off_every_night_is_not_planned_around_and_nothing_is_copied_for_it() {
    let mut cluster = household(73);
    assert_eq!(back_up(&mut cluster, 2).end, Some(Ok(Ending::Complete)));
    let before: Vec<u64> = (0..4).map(|number| chunks(&mut cluster, number)).collect();
    for night in 0..5 {
        hours(&mut cluster, 9);
        cluster.cut(&[4]);
        hours(&mut cluster, 15);
        assert!(away(&mut cluster, night % 4).is_empty(), "night {night}");
        cluster.cut(&[]);
        cluster.run_until(MINUTE, |_| false);
    }
    let after: Vec<u64> = (0..4).map(|number| chunks(&mut cluster, number)).collect();
    assert_eq!(before, after);
    let nodes = cluster.ask(0, Call::Nodes, MINUTE).lines.remove(0);
    let laptop =
        nodes.as_array().into_iter().flatten().find(|node| node["name"] == "node4").expect("it is listed");
    let limit = laptop["absence"]["limit_us"].as_u64().expect("a span") / 3_600_000_000;
    assert!((29..=31).contains(&limit), "twice a night: {limit} hours");
}

#[test]
fn who_is_cut_off_plans_around_nobody_and_where_views_differ_nobody_holds_less() {
    let mut cluster = household(74);
    assert_eq!(back_up(&mut cluster, 3).end, Some(Ok(Ending::Complete)));
    let before: Vec<u64> = (0..5).map(|number| chunks(&mut cluster, number)).collect();
    cluster.cut(&[0, 1]);
    hours(&mut cluster, 30);
    for number in [0, 1] {
        assert!(away(&mut cluster, number).is_empty());
        let said = status(&mut cluster, number);
        assert_eq!(said["around"]["cut_off"], true, "three of five are silent: {}", said["around"]);
        assert!(said["attention"].to_string().contains("cut off"));
    }
    let summary = status(&mut cluster, 0)["summary"].clone();
    assert!(summary.as_str().is_some_and(|text| text.contains("but most of the devices")), "{summary}");
    for number in [2, 3, 4] {
        assert_eq!(away(&mut cluster, number), ["node0", "node1"]);
    }
    cluster.cut(&[]);
    cluster.run_until(MINUTE.times(10), |_| false);
    for (number, before) in before.iter().enumerate() {
        assert!(away(&mut cluster, number).is_empty());
        assert_eq!(have(&mut cluster, number), 3);
        assert!(chunks(&mut cluster, number) >= *before, "nobody holds less");
    }
    for gone in [[0, 1], [0, 2], [3, 4]] {
        gone.iter().for_each(|number| cluster.crash(*number));
        cluster.run_until(MINUTE, |_| false);
        let left = (0..5).find(|number| !gone.contains(number)).expect("three are left");
        assert!(comes_back(&mut cluster, left), "{gone:?}");
        gone.iter().for_each(|number| cluster.start(*number));
        cluster.run_until(MINUTE.times(2), |_| false);
    }
}

#[test]
fn a_silence_is_remembered_by_nodes_that_are_started_anew_every_few_hours() {
    let mut cluster = household(75);
    assert_eq!(back_up(&mut cluster, 2).end, Some(Ok(Ending::Complete)));
    cluster.crash(2);
    for turn in 0_u8..10 {
        hours(&mut cluster, 3);
        for number in [0, 1, 3, 4] {
            cluster.nodes[0].files.write(ROOT, b"new", &[turn; 9_000]);
            cluster.ask(0, Call::Backup { name: None, wait: false }, MINUTE);
            cluster.run_until(MINUTE, |_| false);
            cluster.stop(number);
            cluster.start(number);
            cluster.run_until(MINUTE, |_| false);
        }
    }
    for number in [0, 1, 3, 4] {
        assert_eq!(away(&mut cluster, number), ["node2"]);
    }
}
