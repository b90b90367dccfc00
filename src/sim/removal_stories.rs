//! Stories of removing: what a member holds is made elsewhere before it goes, where that is possible, and at once where it is not or a
//! person says so. The oracle looks at the disks, in the moment in which the member is none any more.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::MINUTE;
use super::cluster::{Answer, Cluster};
use super::feed_stories::{good, nodes, refused};
use super::move_stories::{household, on_disk};
use super::place_stories::{comes_back, status};
use crate::base::ids::ChunkId;
use crate::base::units::Span;
use crate::node::api::{Call, Removal};

/// The first node is told to remove another.
fn remove(cluster: &mut Cluster, node: &str, how: Removal) -> Answer {
    cluster.ask(0, Call::Remove { node: node.into(), how }, MINUTE)
}

/// Whether it is a member, as the first node knows.
fn is_member(cluster: &mut Cluster, node: &str) -> bool {
    nodes(cluster, 0).iter().any(|name| name == node)
}

/// Of what the writer has, how many chunks are on fewer than two disks but for this one's.
fn short_without(cluster: &mut Cluster, gone: usize) -> usize {
    let mut counts: BTreeMap<ChunkId, usize> = on_disk(cluster, 0).into_iter().map(|id| (id, 0)).collect();
    for number in 0..cluster.nodes.len() {
        if number == gone || !cluster.is_running(number) {
            continue;
        }
        for id in on_disk(cluster, number) {
            counts.entry(id).and_modify(|count| *count += 1);
        }
    }
    counts.values().filter(|count| **count < 2).count()
}

/// Runs until it is no member any more. False if that does not come in a quarter of an hour.
fn goes(cluster: &mut Cluster, node: &str) -> bool {
    (0..900).any(|_| {
        cluster.run_until(Span::from_secs(1), |_| false);
        !is_member(cluster, node)
    })
}

/// What `status` says of those who leave.
fn leaving(cluster: &mut Cluster, number: usize) -> Vec<Value> {
    status(cluster, number)["leaving"].as_array().expect("it is told").clone()
}

#[test]
fn what_a_member_holds_is_on_others_when_it_is_removed() {
    let (mut cluster, _) = household(91, 6, 300);
    let answer = remove(&mut cluster, "node2", Removal::Drained);
    good(&answer);
    assert!(answer.lines[0]["snapshots"].as_u64() > Some(0), "others lack something: {:?}", answer.lines);
    assert!(answer.lines[0].get("removed").is_none() && is_member(&mut cluster, "node2"));
    assert!(short_without(&mut cluster, 2) > 0, "it would be one copy less");
    cluster.run_until(Span::from_millis(500), |_| false);
    for number in 0..6 {
        assert_eq!(leaving(&mut cluster, number)[0]["name"], "node2", "node {number} has heard of it");
    }
    assert!(goes(&mut cluster, "node2"));
    assert_eq!(short_without(&mut cluster, 2), 0, "it is removed when nothing needs it");
    assert!(leaving(&mut cluster, 0).is_empty());
    // Nothing moves for the removal itself.
    let before: Vec<usize> = (0..6).map(|number| on_disk(&mut cluster, number).len()).collect();
    cluster.run_until(MINUTE.times(5), |_| false);
    let after: Vec<usize> = (0..6).map(|number| on_disk(&mut cluster, number).len()).collect();
    assert_eq!(before, after);
    assert_eq!(status(&mut cluster, 0)["folders"][0]["protected"]["have"], 2);
    cluster.crash(0);
    assert!(comes_back(&mut cluster, 4));
}

#[test]
fn where_a_person_says_so_or_it_is_not_here_it_is_removed_at_once() {
    let (mut cluster, _) = household(92, 6, 300);
    let answer = remove(&mut cluster, "node2", Removal::Now);
    good(&answer);
    assert!(answer.lines[0].get("removed").is_some() && !is_member(&mut cluster, "node2"));
    cluster.crash(3);
    cluster.run_until(MINUTE.times(2), |_| false);
    let answer = remove(&mut cluster, "node3", Removal::Drained);
    good(&answer);
    assert!(answer.lines[0].get("removed").is_some() && !is_member(&mut cluster, "node3"));
    cluster.run_until(MINUTE.times(10), |_| false);
    assert_eq!((short_without(&mut cluster, 2), leaving(&mut cluster, 0).len()), (0, 0));
}

#[test]
fn a_removal_that_waits_is_taken_back_and_the_member_takes_its_part_as_before() {
    let (mut cluster, _) = household(93, 6, 300);
    assert_eq!(refused(&remove(&mut cluster, "node2", Removal::Keep)), "not_leaving");
    good(&remove(&mut cluster, "node2", Removal::Drained));
    good(&remove(&mut cluster, "node2", Removal::Keep));
    cluster.run_until(MINUTE.times(15), |_| false);
    assert!(is_member(&mut cluster, "node2") && leaving(&mut cluster, 3).is_empty());
    let before = on_disk(&mut cluster, 2).len();
    for number in 0..30_u8 {
        let path = format!("more{number}");
        cluster.nodes[0].files.write(super::check::ROOT, path.as_bytes(), &[number; 20_000]);
    }
    super::check::back_up(&mut cluster);
    cluster.run_until(MINUTE.times(5), |_| false);
    assert!(on_disk(&mut cluster, 2).len() > before + 5, "new chunks go to it");
    // And once more: the last word counts.
    good(&remove(&mut cluster, "node2", Removal::Drained));
    assert!(goes(&mut cluster, "node2"));
    assert_eq!(short_without(&mut cluster, 2), 0);
}

#[test]
fn a_removal_goes_on_after_a_restart_and_when_the_member_dies_meanwhile() {
    let (mut cluster, _) = household(94, 6, 300);
    good(&remove(&mut cluster, "node2", Removal::Drained));
    cluster.run_until(Span::from_secs(1), |_| false);
    cluster.crash(0);
    cluster.crash(2);
    cluster.run_until(MINUTE.times(3), |_| false);
    cluster.start(0);
    assert!(goes(&mut cluster, "node2"), "{:?}", leaving(&mut cluster, 0));
    assert_eq!(short_without(&mut cluster, 2), 0);
    assert_eq!(status(&mut cluster, 0)["folders"][0]["protected"]["have"], 2);
}

#[test]
fn what_nobody_can_take_over_does_not_hold_a_removal_up() {
    let (mut cluster, _) = household(95, 3, 300);
    let answer = remove(&mut cluster, "node1", Removal::Drained);
    good(&answer);
    // The others have everything that placement gives them; a removal that had to wait would be told of.
    let waits = answer.lines[0].get("leaving").is_some();
    assert!(!waits || goes(&mut cluster, "node1"));
    assert!(!is_member(&mut cluster, "node1"));
    good(&remove(&mut cluster, "node2", Removal::Drained));
    assert!(!is_member(&mut cluster, "node2"), "there is nobody else");
}

#[test]
fn a_member_that_has_just_come_back_is_not_removed_before_what_it_brings_is_known() {
    let (mut cluster, _) = household(97, 4, 300);
    cluster.cut(&[2]);
    cluster.run_until(MINUTE.times(3), |_| false);
    cluster.nodes[2].files.make_root(super::check::ROOT);
    cluster.nodes[2].files.write(super::check::ROOT, b"alone", &[7; 50_000]);
    good(&cluster.ask(2, super::feed_stories::short_folder("mine"), MINUTE));
    good(&cluster.ask(2, Call::Backup { name: Some("mine".into()), wait: false }, MINUTE));
    cluster.cut(&[]);
    // In the first moment in which it is connected again.
    let is_back = |cluster: &mut Cluster| {
        cluster.run_until(Span::from_millis(20), |_| false);
        let list = cluster.ask(0, Call::Nodes, MINUTE).lines.remove(0);
        list.as_array()
            .is_some_and(|list| list.iter().any(|node| node["name"] == "node2" && node["connected"] == true))
    };
    assert!((0..50_000).any(|_| is_back(&mut cluster)));
    let answer = remove(&mut cluster, "node2", Removal::Drained);
    good(&answer);
    assert!(answer.lines[0].get("leaving").is_some(), "{:?}", answer.lines);
    assert!(goes(&mut cluster, "node2"));
    cluster.run_until(MINUTE, |_| false);
    let restore = Call::Restore { what: "mine".into(), dry_run: false };
    let restored = cluster.ask(3, restore, MINUTE.times(5));
    assert_eq!(restored.end, Some(Ok(crate::node::ports::Ending::Complete)));
}

#[test]
fn what_is_with_a_member_alone_keeps_it_until_a_person_says_otherwise() {
    let (mut cluster, _) = household(98, 3, 300);
    // Nobody else can hold anything from now on.
    cluster.crash(1);
    cluster.capacity = crate::node::room::Capacity::Bytes(0);
    cluster.start(1);
    cluster.cut(&[2]);
    cluster.crash(0);
    cluster.start(0);
    cluster.nodes[2].files.make_root(super::check::ROOT);
    cluster.nodes[2].files.write(super::check::ROOT, b"alone", &[7; 50_000]);
    cluster.run_until(MINUTE.times(2), |_| false);
    good(&cluster.ask(2, super::feed_stories::short_folder("mine"), MINUTE));
    good(&cluster.ask(2, Call::Backup { name: Some("mine".into()), wait: false }, MINUTE));
    cluster.cut(&[]);
    cluster.run_until(MINUTE.times(5), |_| false);
    let answer = remove(&mut cluster, "node2", Removal::Drained);
    good(&answer);
    assert!(answer.lines[0].get("leaving").is_some(), "{:?}", answer.lines);
    assert!(!goes(&mut cluster, "node2"), "there is nobody who could take it");
    let said = status(&mut cluster, 0)["attention"].to_string();
    assert!(
        said.contains("node2 is removed when other devices have what it holds; of 1 snapshots"),
        "{said}"
    );
    good(&remove(&mut cluster, "node2", Removal::Now));
    assert!(!is_member(&mut cluster, "node2"));
}

#[test]
fn a_removal_goes_on_when_whoever_gave_it_a_second_time_is_gone() {
    let (mut cluster, _) = household(99, 6, 300);
    // It waits: one that is to take its part holds still.
    good(&cluster.ask(3, Call::Pause { span_us: None }, MINUTE));
    assert!(remove(&mut cluster, "node4", Removal::Drained).lines[0].get("leaving").is_some());
    let again = Call::Remove { node: "node4".into(), how: Removal::Drained };
    good(&cluster.ask(1, again, MINUTE));
    cluster.run_until(MINUTE, |_| false);
    assert!(is_member(&mut cluster, "node4"), "node 3 does not take it over");
    good(&remove(&mut cluster, "node1", Removal::Now));
    cluster.run_until(MINUTE, |_| false);
    good(&cluster.ask(3, Call::Resume, MINUTE));
    assert!(goes(&mut cluster, "node4"), "{:?}", leaving(&mut cluster, 0));
}
