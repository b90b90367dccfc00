//! Stories of disks that are put back to older images, again and again, and of what their devices had written since.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::check::{add_folder, assert_protected, back_up, fill, found, join, unpack, weather, MINUTE, ROOT};
use super::cluster::Cluster;
use super::collect_stories::hours;
use super::disk::SimDisk;
use super::feed_stories::folder_in;
use super::key_stories::chunks;
use super::place_stories::status;
use crate::base::ids::ChunkId;
use crate::base::units::Span;
use crate::feed::entry::{Alert, Body, Role};
use crate::node::api::{Call, Removal};
use crate::node::ports::{Ending, Input, Listening};
use crate::node::room::Capacity;
use crate::store::service::{Reply, Request};

/// Three full nodes, the first with a folder that is protected.
fn household(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(seed, 1, weather(0));
    cluster.add_node();
    cluster.add_node();
    found(&mut cluster);
    (1..3).for_each(|number| join(&mut cluster, number, Role::Full));
    fill(&mut cluster, 3);
    add_folder(&mut cluster);
    assert_protected(&back_up(&mut cluster).lines);
    cluster
}

/// A node's disk is put back.
fn put_back(cluster: &mut Cluster, number: usize, old: SimDisk) {
    cluster.crash(number);
    cluster.nodes[number].disk = Arc::new(old);
    cluster.start(number);
    cluster.run_until(MINUTE.times(5), |_| false);
}

/// The first node holds nothing for others from now on.
fn offer_nothing(cluster: &mut Cluster) {
    cluster.crash(0);
    cluster.capacity = Capacity::Bytes(0);
    cluster.start(0);
}

/// All entries that a node knows.
fn entries(cluster: &Cluster, number: usize) -> u64 {
    let core = &cluster.nodes[number].running.as_ref().expect("it runs").core;
    let length = |body: &Body| match body {
        Body::Checkpoint(checkpoint) => checkpoint.until.length,
        _ => 0,
    };
    core.retire_everything(0).iter().map(length).sum()
}

#[test]
fn the_same_image_may_be_put_back_twice() {
    for seed in 61..66 {
        let mut cluster = household(seed);
        let first = cluster.nodes[1].disk.image(&mut cluster.rng);
        let second = first.image(&mut cluster.rng);
        for (round, image) in [first, second].into_iter().enumerate() {
            let content = vec![u8::try_from(round).expect("a few"); 40_000];
            cluster.nodes[0].files.write(ROOT, b"fresh", &content);
            assert_protected(&back_up(&mut cluster).lines);
            put_back(&mut cluster, 1, image);
            cluster.nodes[0].files.write(ROOT, b"fresh", &[&content[..], b"and more"].concat());
            assert_protected(&back_up(&mut cluster).lines);
        }
        let before = entries(&cluster, 2);
        hours(&mut cluster, 1);
        let more = entries(&cluster, 2) - before;
        assert!(more < 20, "seed {seed}: {more} entries in a quiet hour");
    }
}

#[test]
fn a_writer_whose_disk_became_older_has_all_its_backups_again_however_many_there_were() {
    let mut cluster = household(67);
    offer_nothing(&mut cluster);
    cluster.run_until(MINUTE, |_| false);
    let old = cluster.nodes[0].disk.image(&mut cluster.rng);
    // More entries than come with one answer; each of these backups has something that no other one has.
    for number in 0..120_u8 {
        let mut content = vec![number; 3_000];
        rand_core::RngCore::fill_bytes(&mut cluster.rng, &mut content);
        cluster.nodes[0].files.write(ROOT, b"diary", &content);
        let answer = cluster.ask(0, Call::Backup { name: None, wait: false }, MINUTE);
        assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
    }
    cluster.run_until(MINUTE.times(5), |_| false);
    put_back(&mut cluster, 0, old);
    hours(&mut cluster, 4);
    let ids = |cluster: &mut Cluster, number: usize| -> BTreeSet<ChunkId> {
        chunks(cluster, number).into_iter().map(|(id, _)| id).collect()
    };
    let missing = &ids(&mut cluster, 1) - &ids(&mut cluster, 0);
    assert!(missing.is_empty(), "{} chunks of its backups are not on the writer's disk", missing.len());
    let core = &cluster.nodes[0].running.as_ref().expect("it runs").core;
    let pinned: BTreeSet<_> = core.pinned().into_iter().collect();
    let own: Vec<_> = core.claims().iter().map(|claim| claim.snapshot).collect();
    assert!(own.iter().all(|snapshot| pinned.contains(snapshot)), "all of them are pinned there");
}

#[test]
fn what_could_not_be_healed_while_its_only_other_holder_was_off_is_healed_when_it_comes() {
    let mut cluster = household(68);
    offer_nothing(&mut cluster);
    cluster.crash(2);
    for number in 0..60_u8 {
        let mut content = vec![0; 60_000];
        rand_core::RngCore::fill_bytes(&mut cluster.rng, &mut content);
        cluster.nodes[0].files.write(ROOT, &[b'a', b'A' + number], &content);
    }
    let answer = cluster.ask(0, Call::Backup { name: None, wait: false }, MINUTE);
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
    cluster.run_until(MINUTE.times(2), |_| false);
    // One of many is lost on the holder's disk, and that is found out while nobody else is there.
    let all = chunks(&mut cluster, 1);
    let (lost, _) = all.iter().max_by_key(|(_, bytes)| bytes.len()).expect("it holds some");
    cluster.crash(0);
    cluster.stop(1);
    cluster.lose_chunks(1, &[*lost]);
    cluster.start(1);
    cluster.run_until(MINUTE, |_| false);
    let verified = cluster.ask(1, Call::Verify { all: true }, MINUTE.times(5));
    assert_eq!(verified.end.map(|end| end.is_err()), Some(true), "it lacks something");
    hours(&mut cluster, 2);
    cluster.start(0);
    hours(&mut cluster, 2);
    assert!(chunks(&mut cluster, 1).iter().any(|(id, _)| id == lost), "it has come back");
}

#[test]
fn a_feed_that_is_full_is_followed_by_another_one_and_backups_go_on() {
    let mut cluster = household(70);
    cluster.feed_entries = 40;
    for number in 0..3 {
        cluster.stop(number);
        cluster.start(number);
    }
    for number in 0..50 {
        for author in 0..2 {
            let said = cluster.ask(author, Call::Say { text: format!("note {number}") }, MINUTE);
            assert_eq!(said.end, Some(Ok(Ending::Complete)), "{:?}", said.lines);
        }
    }
    cluster.nodes[0].files.write(ROOT, b"diary", b"in another feed");
    assert_protected(&back_up(&mut cluster).lines);
    let lengths = |cluster: &Cluster| -> Vec<u64> {
        let core = &cluster.nodes[2].running.as_ref().expect("it runs").core;
        let length = |body: &Body| match body {
            Body::Checkpoint(checkpoint) => checkpoint.until.length,
            _ => 0,
        };
        core.retire_everything(0).iter().map(length).collect()
    };
    let before = lengths(&cluster);
    assert!(before.len() > 4 && before.iter().all(|length| *length <= 40), "{before:?}");
    // Nobody signs again and again for the same.
    hours(&mut cluster, 1);
    let after = lengths(&cluster);
    assert!(after.iter().sum::<u64>() < before.iter().sum::<u64>() + 20, "{before:?}, {after:?}");
    for number in 0..3 {
        cluster.crash(number);
        cluster.start(number);
    }
    cluster.nodes[0].files.write(ROOT, b"diary", b"the end");
    assert_protected(&back_up(&mut cluster).lines);
    let listed = cluster.ask(1, Call::Snapshots { name: None }, MINUTE).lines;
    assert!(listed.len() == 3, "{} snapshots", listed.len());
}

#[test]
fn an_image_from_when_a_node_was_alone_forks_nothing_though_it_has_something_to_say_of_itself() {
    let mut cluster = Cluster::new(71, 1, weather(0));
    found(&mut cluster);
    cluster.run_until(MINUTE, |_| false);
    let image = Arc::new(cluster.nodes[0].disk.image(&mut cluster.rng));
    (1..3).for_each(|_| _ = cluster.add_node());
    (1..3).for_each(|number| join(&mut cluster, number, Role::Full));
    fill(&mut cluster, 3);
    add_folder(&mut cluster);
    assert_protected(&back_up(&mut cluster).lines);
    cluster.crash(0);
    cluster.nodes[0].disk = image;
    // Its network takes a few seconds longer than itself, and gives it another address besides.
    cluster.cut(&[0]);
    cluster.start(0);
    cluster.run_until(Span::from_secs(3), |_| false);
    let addresses = vec![cluster.nodes[0].address, std::net::SocketAddr::from(([10, 0, 9, 9], 7117))];
    cluster.give(0, Input::Listening(Listening { addresses, ..Listening::default() }));
    cluster.run_until(Span::from_secs(2), |_| false);
    cluster.cut(&[]);
    cluster.run_until(MINUTE.times(10), |_| false);
    for number in 0..3 {
        let status = cluster.ask(number, Call::Status, MINUTE).lines.remove(0);
        assert!(
            !status["attention"].to_string().contains("histories"),
            "node {number}: {}",
            status["attention"]
        );
        assert_eq!((&status["members"], &status["folders"][0]["name"]), (&3.into(), &"family".into()));
    }
    cluster.nodes[0].files.write(ROOT, b"more", &[7; 20_000]);
    assert_protected(&back_up(&mut cluster).lines);
}

/// What a node's store has, in bytes.
fn stored(cluster: &mut Cluster, number: usize) -> u64 {
    let running = cluster.nodes[number].running.as_mut().expect("it runs");
    let mut replies = Vec::new();
    running.service.execute(Request::Stats { op: 1 }, &mut replies);
    let Some(Reply::Stats { stats, .. }) = replies.pop() else { panic!("the store answers") };
    stats.bytes
}

/// So much that compresses to nothing comes into the folder of a node, and is backed up.
fn write(cluster: &mut Cluster, number: usize, bytes: usize) {
    let mut content = vec![0; bytes];
    rand_core::RngCore::fill_bytes(&mut cluster.rng, &mut content);
    cluster.nodes[number].files.write(ROOT, b"more", &content);
    let answer = cluster.ask(number, Call::Backup { name: None, wait: false }, MINUTE.times(5));
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
    cluster.run_until(MINUTE.times(2), |_| false);
}

/// A node says something of itself that its disk does not know afterwards: an image from before that.
fn image_of(cluster: &mut Cluster, number: usize) -> SimDisk {
    let image = cluster.nodes[number].disk.image(&mut cluster.rng);
    let core = &mut cluster.nodes[number].running.as_mut().expect("it runs").core;
    assert!(core.forge(Body::Alert(Alert { code: 1, about: Vec::new() })));
    cluster.give(number, Input::Tick);
    cluster.run_until(MINUTE, |_| false);
    image
}

/// A household whose third node is full and does not have the newest of two snapshots; an image of its disk from a moment ago.
fn full(seed: u64) -> (Cluster, SimDisk) {
    let mut cluster = household(seed);
    let used = stored(&mut cluster, 2);
    cluster.capacity = Capacity::Bytes(used);
    cluster.crash(2);
    cluster.start(2);
    cluster.run_until(MINUTE, |_| false);
    write(&mut cluster, 0, 400_000);
    cluster.run_until(MINUTE.times(10), |_| false);
    assert_eq!(have(&mut cluster, 0), [3, 2], "the third one is full");
    let image = image_of(&mut cluster, 2);
    (cluster, image)
}

/// In how many copies each snapshot is, as the writer says.
fn have(cluster: &mut Cluster, number: usize) -> Vec<u64> {
    let lines = cluster.ask(number, Call::Snapshots { name: None }, MINUTE).lines;
    lines.iter().filter_map(|line| line["protected"]["have"].as_u64()).collect()
}

#[test]
fn a_full_node_whose_disk_became_older_says_again_what_it_has() {
    let (mut cluster, image) = full(77);
    put_back(&mut cluster, 2, image);
    cluster.run_until(MINUTE.times(10), |_| false);
    assert_eq!(have(&mut cluster, 0), [3, 2], "what it has counts again");
    let before = entries(&cluster, 0);
    hours(&mut cluster, 24);
    assert!(entries(&cluster, 0) - before < 20, "and is said once");
}

#[test]
fn what_a_full_node_has_lost_besides_is_signed_for_when_it_is_back_and_nothing_again_and_again() {
    let (mut cluster, image) = full(79);
    let lost =
        chunks(&mut cluster, 2).into_iter().max_by_key(|(_, bytes)| bytes.len()).expect("it has some").0;
    cluster.crash(2);
    cluster.nodes[2].disk = Arc::new(image);
    cluster.lose_chunks(2, &[lost]);
    cluster.start(2);
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(have(&mut cluster, 0), [2, 2], "something is missing there");
    hours(&mut cluster, 7);
    assert_eq!(have(&mut cluster, 0), [3, 2], "it came back, and was counted then");
    let before = entries(&cluster, 0);
    for _ in 0..10 {
        cluster.crash(1);
        cluster.start(1);
        cluster.run_until(MINUTE.times(2), |_| false);
    }
    let more = entries(&cluster, 0) - before;
    assert!(more < 5, "{more} entries for ten sessions");
}

#[test]
fn who_leaves_and_begins_a_new_feed_meanwhile_is_needed_as_before() {
    let mut cluster = household(78);
    assert_eq!(cluster.ask(2, folder_in("desk", 3), MINUTE).end, Some(Ok(Ending::Complete)));
    cluster.crash(0);
    write(&mut cluster, 2, 8 << 20);
    let image = image_of(&mut cluster, 1);
    // The writer burns, and the only one that has all is to leave, over a slow line.
    cluster.crash(2);
    let address = cluster.nodes[1].address;
    cluster.net.uplinks.insert(address, 16_000);
    cluster.start(0);
    cluster.run_until(MINUTE, |_| false);
    for (node, how) in [("node2", Removal::Now), ("node1", Removal::Drained)] {
        let answer = cluster.ask(0, Call::Remove { node: node.into(), how }, MINUTE);
        assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
    }
    let leaves = |cluster: &mut Cluster| {
        status(cluster, 0)["leaving"].as_array().is_some_and(|leaving| !leaving.is_empty())
    };
    assert!(leaves(&mut cluster));
    put_back(&mut cluster, 1, image);
    for _ in 0..60 {
        if leaves(&mut cluster) {
            cluster.run_until(MINUTE, |_| false);
        }
    }
    assert!(!leaves(&mut cluster), "it has gone in the end");
    cluster.crash(1);
    let restore = Call::Restore { what: "desk".into(), dry_run: false };
    let restored = cluster.ask(0, restore, MINUTE.times(5));
    assert_eq!(restored.end, Some(Ok(Ending::Complete)), "{:?}", restored.lines);
    assert!(unpack(&restored.bytes).values().any(|content| content.len() == 8 << 20));
}

// Not even its writer's word is worth anything for that: its disk was put back, and it is only fetching again what it had written since.
#[test]
fn who_leaves_is_needed_while_the_writer_fetches_back_what_its_older_disk_lacks() {
    let mut cluster = household(79);
    offer_nothing(&mut cluster);
    assert_eq!(cluster.ask(2, folder_in("desk", 2), MINUTE).end, Some(Ok(Ending::Complete)));
    let image = image_of(&mut cluster, 2);
    write(&mut cluster, 2, 8 << 20);
    cluster.run_until(MINUTE.times(5), |_| false);
    // The writer's disk is put back, files and all, and the only other one that has all is slow.
    let address = cluster.nodes[1].address;
    cluster.net.uplinks.insert(address, 16_000);
    cluster.crash(2);
    cluster.nodes[2].files.remove(ROOT, b"more");
    assert_eq!(have(&mut cluster, 0).last(), Some(&2));
    put_back(&mut cluster, 2, image);
    let remove = Call::Remove { node: "node1".into(), how: Removal::Drained };
    let answer = cluster.ask(0, remove, MINUTE);
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
    cluster.run_until(MINUTE.times(60), |_| false);
    let restore = Call::Restore { what: "desk".into(), dry_run: false };
    let restored = cluster.ask(0, restore, MINUTE.times(20));
    assert_eq!(restored.end, Some(Ok(Ending::Complete)), "{:?}", restored.lines);
    assert!(unpack(&restored.bytes).values().any(|content| content.len() == 8 << 20));
}
