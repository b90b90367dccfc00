//! Stories of moving: what a node keeps beyond its part is given up when space is short, and never before enough others have it.
//! The oracle looks at the disks: every chunk that a standing snapshot lists is on as many as are wanted.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use serde_json::Value;

use super::away_stories::hours;
use super::check::{back_up, fill, found, join, unpack, weather, Expected, MINUTE, ROOT};
use super::cluster::Cluster;
use super::collect_stories::{forget, undo};
use super::feed_stories::short_folder;
use super::place_stories::status;
use crate::base::ids::ChunkId;
use crate::base::units::Span;
use crate::feed::entry::Role;
use crate::node::api::Call;
use crate::node::ports::{Ending, Input};
use crate::node::room::Capacity;
use crate::store::service::{Reply, Request};

/// So many nodes that can read, the first with a folder of many chunks in two copies. Each may hold so many hundredths of all
/// that there is.
pub(super) fn household(seed: u64, nodes: usize, percent: u64) -> (Cluster, Expected) {
    let mut cluster = Cluster::new(seed, 1, weather(0));
    let mut expected = fill(&mut cluster, 12);
    for number in 0_u8..90 {
        let path = format!("large{number}").into_bytes();
        let content = pattern(number);
        cluster.nodes[0].files.write(ROOT, &path, &content);
        expected.insert(path, content);
    }
    let bytes: usize = expected.values().map(Vec::len).sum();
    cluster.capacity = Capacity::Bytes(u64::try_from(bytes).expect("files are small here") * percent / 100);
    cluster.segment_bytes = 256 * 1024;
    // What was pushed and is not listed yet would keep collection waiting for two days.
    cluster.push = false;
    cluster.crash(0);
    cluster.start(0);
    (1..nodes).for_each(|_| _ = cluster.add_node());
    found(&mut cluster);
    (1..nodes).for_each(|number| join(&mut cluster, number, Role::Full));
    assert_eq!(cluster.ask(0, short_folder("family"), MINUTE).end, Some(Ok(Ending::Complete)));
    assert_eq!(back_up(&mut cluster).end, Some(Ok(Ending::Complete)));
    cluster.run_until(MINUTE.times(5), |_| false);
    (cluster, expected)
}

/// A file that is a chunk of its own, and as long stored as it is.
fn pattern(number: u8) -> Vec<u8> {
    let mut content = vec![0; 12_000];
    ChaCha20Rng::seed_from_u64(number.into()).fill_bytes(&mut content);
    content
}

/// The chunks on the disk of a node that runs.
pub(super) fn on_disk(cluster: &mut Cluster, number: usize) -> BTreeSet<ChunkId> {
    let mut ids = BTreeSet::new();
    let running = cluster.nodes[number].running.as_mut().expect("it runs");
    loop {
        let mut replies = Vec::new();
        let request = Request::Scan { op: 1, after: ids.last().copied(), limit: 1_000, read: false };
        running.service.execute(request, &mut replies);
        let Some(Reply::Scan { found, more, .. }) = replies.pop() else { panic!("a scan is answered") };
        ids.extend(found.into_iter().map(|(id, _)| id));
        if !more {
            return ids;
        }
    }
}

/// On how many disks each chunk of the writer's is, but for the disk of one that does not count.
fn copies(cluster: &mut Cluster, but: Option<usize>) -> BTreeMap<ChunkId, usize> {
    let mut counts: BTreeMap<ChunkId, usize> = on_disk(cluster, 0).into_iter().map(|id| (id, 0)).collect();
    for number in (0..cluster.nodes.len()).filter(|number| Some(*number) != but) {
        for id in on_disk(cluster, number) {
            counts.entry(id).and_modify(|count| *count += 1);
        }
    }
    counts
}

/// Each of them is on at least two.
fn assert_two_copies(cluster: &mut Cluster, but: Option<usize>) {
    for (id, count) in copies(cluster, but) {
        assert!(count >= 2, "{id:?} is on {count} disks");
    }
}

/// All lose their power at once, in whatever they do, and come back.
fn blackout(cluster: &mut Cluster) {
    (0..cluster.nodes.len()).for_each(|number| cluster.crash(number));
    (0..cluster.nodes.len()).for_each(|number| cluster.start(number));
    cluster.run_until(MINUTE, |_| false);
}

/// A node is to hold nothing from now on, or as much as the others.
fn hold(cluster: &mut Cluster, number: usize, nothing: bool) {
    let Capacity::Bytes(bytes) = cluster.capacity else { panic!("all may hold so much") };
    let value = if nothing { "0".to_owned() } else { bytes.to_string() };
    let set = Call::ConfigSet { key: "node.capacity".into(), value };
    assert_eq!(cluster.ask(number, set, MINUTE).end, Some(Ok(Ending::Complete)));
}

/// What `status` says of moving.
fn moving(cluster: &mut Cluster, number: usize, what: &str) -> u64 {
    let said: Value = status(cluster, number)["collect"]["moving"].clone();
    said[what].as_u64().unwrap_or_else(|| panic!("{what} is told: {said}"))
}

/// With the writer gone the folder comes back on another node, and every disk is what it should be.
fn assert_well(cluster: &mut Cluster, expected: &Expected) {
    assert_eq!(status(cluster, 0)["folders"][0]["protected"]["have"], 2);
    for number in 0..cluster.nodes.len() {
        let answer = cluster.ask(number, Call::Verify { all: true }, MINUTE.times(20));
        assert_eq!(answer.end, Some(Ok(Ending::Complete)), "node {number}: {:?}", answer.lines.last());
    }
    cluster.crash(0);
    cluster.run_until(MINUTE, |_| false);
    let restore = Call::Restore { what: "family".into(), dry_run: false };
    let answer = cluster.ask(3, restore, MINUTE.times(20));
    assert_eq!(answer.end, Some(Ok(Ending::Complete)));
    assert!(unpack(&answer.bytes) == *expected);
    cluster.start(0);
    cluster.run_until(MINUTE.times(2), |_| false);
}

/// Chunks on all disks but the writer's.
fn all(cluster: &mut Cluster) -> usize {
    (1..cluster.nodes.len()).map(|number| on_disk(cluster, number).len()).sum()
}

#[test]
fn a_node_that_is_to_hold_nothing_gives_all_up_and_others_keep_more_than_their_part_while_there_is_room() {
    let (mut cluster, expected) = household(81, 6, 300);
    let before = on_disk(&mut cluster, 1).len();
    hold(&mut cluster, 1, true);
    hours(&mut cluster, 1);
    let left = on_disk(&mut cluster, 1).len();
    assert!(left * 4 < before, "of {before} chunks {left} are left");
    assert_two_copies(&mut cluster, Some(1));
    hold(&mut cluster, 1, false);
    hours(&mut cluster, 1);
    let surplus: Vec<u64> = (2..6).map(|number| moving(&mut cluster, number, "surplus_groups")).collect();
    assert!(surplus.iter().all(|count| *count > 0), "{surplus:?}");
    let full = all(&mut cluster);
    hours(&mut cluster, 2);
    assert_eq!(all(&mut cluster), full, "there is room: nothing goes");
    assert_well(&mut cluster, &expected);
}

#[test]
fn those_who_leave_at_once_on_two_sides_of_a_cut_and_lose_their_power_never_delete_the_last_copies() {
    let mut given_up = 0;
    for seed in 82..84 {
        let (mut cluster, expected) = household(seed, 6, 55);
        for (side, away) in [(&[0, 3, 4][..], 1), (&[0, 1, 2], 5), (&[1], 3)] {
            // Others hold more than their part when it is back, and none of them has the room.
            hold(&mut cluster, away, true);
            cluster.run_until(MINUTE.times(5), |_| false);
            hold(&mut cluster, away, false);
            cluster.run_until(Span::from_secs(20), |_| false);
            // Neither side hears of the other's Releases.
            cluster.cut(side);
            for pause in [61, 1_801, 63] {
                let before = all(&mut cluster);
                cluster.run_until(Span::from_secs(pause), |_| false);
                given_up += before.saturating_sub(all(&mut cluster));
                assert_two_copies(&mut cluster, None);
                blackout(&mut cluster);
                assert_two_copies(&mut cluster, None);
            }
            cluster.cut(&[]);
        }
        let before = all(&mut cluster);
        hours(&mut cluster, 2);
        given_up += before.saturating_sub(all(&mut cluster));
        assert_two_copies(&mut cluster, None);
        assert_well(&mut cluster, &expected);
    }
    assert!(given_up > 0, "something has gone");
}

#[test]
fn what_is_stood_in_for_is_not_given_up_as_long_as_its_holder_is_away_and_not_made_again_when_it_is_back() {
    let (mut cluster, expected) = household(85, 5, 64);
    cluster.cut(&[2]);
    hours(&mut cluster, 26);
    let states = |cluster: &mut Cluster| -> Vec<BTreeSet<ChunkId>> {
        (0..5).map(|number| on_disk(cluster, number)).collect()
    };
    let stood_in = states(&mut cluster);
    hours(&mut cluster, 3);
    assert_eq!(stood_in, states(&mut cluster), "nobody gives up anything while a holder is away");
    assert!([1, 3, 4]
        .iter()
        .any(|number| status(&mut cluster, *number)["collect"]["moving"]["is_short"] == true));
    cluster.cut(&[]);
    hours(&mut cluster, 2);
    let given_up = [1, 3, 4].map(|number| moving(&mut cluster, number, "given_up_groups"));
    assert!(given_up.iter().any(|count| *count > 0), "it is back: {given_up:?}");
    assert_two_copies(&mut cluster, None);
    let after = states(&mut cluster);
    hours(&mut cluster, 4);
    assert_eq!(after, states(&mut cluster), "nothing is made again");
    assert_well(&mut cluster, &expected);
}

#[test]
fn nothing_is_left_to_a_holder_that_confirms_and_cannot_prove() {
    let (mut cluster, _) = household(86, 6, 300);
    cluster.stop(4);
    let lost = cluster.chunks_of(4);
    cluster.lose_chunks(4, &lost);
    cluster.start(4);
    cluster.claim_falsely(4, true);
    cluster.run_until(MINUTE, |_| false);
    let before = on_disk(&mut cluster, 1);
    hold(&mut cluster, 1, true);
    hours(&mut cluster, 2);
    let after = on_disk(&mut cluster, 1);
    assert!(moving(&mut cluster, 1, "given_up_groups") > 0);
    assert!(after.len() < before.len() && after.len() * 4 > before.len(), "{} {}", before.len(), after.len());
    let counts = copies(&mut cluster, Some(4));
    for id in before.difference(&after) {
        assert!(counts[id] >= 2, "{id:?} was left to a liar");
    }
}

#[test]
fn a_pass_that_stands_still_for_longer_than_a_confirmation_is_good_for_drops_nothing_of_it() {
    let (mut cluster, _) = household(87, 6, 300);
    let before = on_disk(&mut cluster, 1);
    hold(&mut cluster, 1, true);
    // It is about to drop what the others have confirmed and proven, when a restore begins, and nobody takes what comes of it.
    let is_dropping = |cluster: &Cluster| {
        cluster.nodes[1].running.as_ref().is_some_and(|running| running.core.is_dropping_moved())
    };
    assert!(cluster.run_until(MINUTE.times(300), is_dropping));
    cluster.nodes[1].stalled = true;
    let restore = cluster.call(1, Call::Restore { what: "family".into(), dry_run: false });
    assert!(cluster.run_until(MINUTE, |cluster| !cluster.answer(1, restore).bytes.is_empty()));
    assert!(on_disk(&mut cluster, 1).is_superset(&before), "nothing is dropped yet");
    // What they have said is too old when all others burn and the restore is given up.
    hours(&mut cluster, 7);
    assert!(on_disk(&mut cluster, 1).is_superset(&before), "a pass waits for a restore");
    (0..6).filter(|number| *number != 1).for_each(|number| cluster.crash(number));
    cluster.give(1, Input::Dropped(restore));
    hours(&mut cluster, 2);
    assert!(on_disk(&mut cluster, 1).is_superset(&before), "it has the only copies");
}

#[test]
fn what_lies_in_the_trash_stays_whoever_holds_its_groups_and_can_be_taken_back() {
    let (mut cluster, mut expected) = household(87, 6, 300);
    for number in 100_u8..110 {
        cluster.nodes[0].files.write(ROOT, &[b'p', number], &pattern(number));
        expected.insert(vec![b'p', number], pattern(number));
    }
    let answer = back_up(&mut cluster);
    let snapshot = answer.lines.iter().rev().find(|line| line["event"] == "snapshot").expect("it is told");
    let snapshot = snapshot["snapshot"].as_str().expect("an id").to_owned();
    cluster.run_until(MINUTE.times(5), |_| false);
    let with = on_disk(&mut cluster, 1);
    let passing = expected.clone();
    for number in 100_u8..110 {
        cluster.nodes[0].files.remove(ROOT, &[b'p', number]);
        expected.remove(&vec![b'p', number]);
    }
    assert_eq!(back_up(&mut cluster).end, Some(Ok(Ending::Complete)));
    assert_eq!(forget(&mut cluster, &snapshot[..12]).end, Some(Ok(Ending::Complete)));
    cluster.run_until(MINUTE.times(5), |_| false);
    hold(&mut cluster, 1, true);
    hours(&mut cluster, 1);
    assert!(moving(&mut cluster, 1, "given_up_groups") > 0);
    let lost = with.difference(&on_disk(&mut cluster, 1)).count();
    assert_eq!(lost, 0, "all of it is listed by what is in the trash");
    assert_eq!(undo(&mut cluster, &snapshot[..12]).end, Some(Ok(Ending::Complete)));
    hours(&mut cluster, 1);
    assert_two_copies(&mut cluster, None);
    cluster.crash(0);
    let restore = Call::Restore { what: format!("family@{}", &snapshot[..12]), dry_run: false };
    let answer = cluster.ask(3, restore, MINUTE.times(20));
    assert!(answer.end == Some(Ok(Ending::Complete)) && unpack(&answer.bytes) == passing);
}

#[test]
fn what_only_new_members_hold_beside_one_is_not_given_up_to_them_before_the_floor() {
    let (mut cluster, _) = household(96, 3, 300);
    cluster.retired = Span::from_secs(2 * 86_400);
    hours(&mut cluster, 25);
    // Whoever has let these in may have them for the purpose, and says of them what makes them the holders of nearly everything.
    let Capacity::Bytes(bytes) = cluster.capacity else { panic!("all may hold so much") };
    cluster.capacity = Capacity::Bytes(bytes * 50);
    for number in 3..6 {
        cluster.add_node();
        join(&mut cluster, number, Role::Full);
    }
    hours(&mut cluster, 1);
    let before = on_disk(&mut cluster, 1);
    cluster.crash(1);
    cluster.capacity = Capacity::Bytes(0);
    cluster.start(1);
    hours(&mut cluster, 5);
    let kept = on_disk(&mut cluster, 1);
    assert!(kept.len() * 5 > before.len() * 4, "{} of {} are kept", kept.len(), before.len());
    hours(&mut cluster, 46);
    let left = on_disk(&mut cluster, 1);
    assert!(left.len() * 4 < before.len(), "{} of {} are left in the end", left.len(), before.len());
    assert_two_copies(&mut cluster, Some(1));
}
