//! Stories of content keys: full nodes that are removed, what they can still read, and who is given the key that comes next.

use serde_json::Value;

use super::check::{add_folder, assert_protected, back_up, fill, found, join, text, unpack, weather};
use super::check::{Expected, MINUTE, ROOT};
use super::cluster::Cluster;
use super::feed_stories::{good, nodes, refused, short_folder};
use crate::base::ids::ChunkId;
use crate::feed::entry::Role;
use crate::node::api::{Call, FolderAdd, Removal};
use crate::node::ports::Ending;
use crate::seal::keys::FullKeys;
use crate::seal::sealed::{ChunkKind, OpenError, Sealer};
use crate::store::service::{Reply, Request};

/// A vault with these members beside its founder, and the words.
fn vault(seed: u64, others: &[Role]) -> (Cluster, String) {
    let mut cluster = Cluster::new(seed, 1 + others.len(), weather(0));
    let phrase = found(&mut cluster);
    for (number, role) in (1..).zip(others) {
        join(&mut cluster, number, *role);
    }
    cluster.run_until(MINUTE, |_| false);
    (cluster, phrase)
}

/// What a node's `status` says of its keys.
fn keys(cluster: &mut Cluster, number: usize) -> Value {
    let status = cluster.ask(number, Call::Status, MINUTE).lines.remove(0);
    status["keys"].clone()
}

/// The keys that a node holds.
fn held(cluster: &Cluster, number: usize) -> FullKeys {
    let running = cluster.nodes[number].running.as_ref().expect("it runs");
    running.core.full_keys().expect("a full node")
}

/// All chunks on a node's disk.
pub(super) fn chunks(cluster: &mut Cluster, number: usize) -> Vec<(ChunkId, Vec<u8>)> {
    let service = &mut cluster.nodes[number].running.as_mut().expect("it runs").service;
    let mut ids: Vec<ChunkId> = Vec::new();
    loop {
        let mut replies = Vec::new();
        let after = ids.last().copied();
        service.execute(Request::Scan { op: 1, after, limit: 1_000, read: false }, &mut replies);
        let before = ids.len();
        for reply in replies {
            if let Reply::Scan { found, .. } = reply {
                ids.extend(found.into_iter().map(|(id, _)| id));
            }
        }
        if ids.len() == before {
            break;
        }
    }
    let mut all = Vec::new();
    for id in ids {
        let mut replies = Vec::new();
        service.execute(Request::Get { op: 1, id }, &mut replies);
        for reply in replies {
            if let Reply::Get { result: Ok(Some(bytes)), .. } = reply {
                all.push((id, bytes));
            }
        }
    }
    all
}

/// Of these chunks, how many open as content, and how many are sealed with a key that is not among these.
fn open(chunks: &[(ChunkId, Vec<u8>)], keys: &FullKeys) -> (usize, usize) {
    let mut sealer = Sealer::new(keys);
    let results = chunks.iter().map(|(_, bytes)| sealer.open(ChunkKind::Content, bytes));
    let results: Vec<_> = results.collect();
    let missing = |result: &&Result<_, _>| matches!(result, Err(OpenError::Epoch(_)));
    (results.iter().filter(|result| result.is_ok()).count(), results.iter().filter(missing).count())
}

/// A file of some size comes into the owner's folder.
fn write(cluster: &mut Cluster, expected: &mut Expected, name: &str) {
    let seed = name.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let content: Vec<u8> = (0..90_000_u32)
        .map(|at| (at.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0])
        .collect();
    cluster.nodes[0].files.write(ROOT, name.as_bytes(), &content);
    expected.insert(name.into(), content);
}

/// Backs up; how much was sealed anew.
fn back_up_now(cluster: &mut Cluster) -> u64 {
    let call = Call::Backup { name: Some("family".into()), wait: false };
    let answer = cluster.ask(0, call, MINUTE.times(5));
    good(&answer);
    let line = answer.lines.iter().rev().find(|line| line["event"] == "snapshot").expect("it is told");
    line["stored_bytes"].as_u64().expect("bytes are counted")
}

/// What a node restores.
fn restored(cluster: &mut Cluster, number: usize) -> Expected {
    let call = Call::Restore { what: "family".into(), dry_run: false };
    let answer = cluster.ask(number, call, MINUTE.times(10));
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "node {number}: {:?}", answer.lines);
    unpack(&answer.bytes)
}

/// Removes a node.
fn remove(cluster: &mut Cluster, by: usize, node: &str) -> Value {
    let mut answer = cluster.ask(by, Call::Remove { node: node.into(), how: Removal::Now }, MINUTE);
    good(&answer);
    answer.lines.remove(0)
}

/// Seed 60036473 of `sim/turmoil.rs`: a chunk rotted on the only disk that had it, and everything that is read again is sealed with the
/// newer key, which makes other chunks. No file was read again therefore, and the folder stayed partly protected.
#[test]
fn what_rots_before_it_is_copied_is_read_again_and_nothing_else_where_a_full_node_was_removed() {
    let (mut cluster, _) = vault(13, &[Role::Full]);
    cluster.add_node();
    cluster.add_node();
    cluster.crash(1);
    let mut expected = fill(&mut cluster, 6);
    ["one", "two", "three"].iter().for_each(|name| write(&mut cluster, &mut expected, name));
    cluster.run_until(MINUTE, |_| false);
    add_folder(&mut cluster);
    let all = back_up_now(&mut cluster);
    let before = chunks(&mut cluster, 0);
    let segment = "segments/00000000.seg";
    let length = cluster.nodes[0].disk.content(segment).map_or(0, |bytes| bytes.len());
    cluster.nodes[0].disk.flip_bits(segment, u64::try_from(length / 2).unwrap_or(0), 1 << 3);
    remove(&mut cluster, 0, "node1");
    join(&mut cluster, 2, Role::Full);
    join(&mut cluster, 3, Role::Store);
    cluster.run_until(MINUTE.times(10), |_| false);
    assert_protected(&back_up(&mut cluster).lines);
    assert_eq!(restored(&mut cluster, 2), expected);
    let added: usize = chunks(&mut cluster, 0)
        .iter()
        .filter(|chunk| !before.contains(chunk))
        .map(|(_, bytes)| bytes.len())
        .sum();
    assert!(
        u64::try_from(added).is_ok_and(|added| added < all),
        "one file of three was read again: {added} of {all} bytes"
    );
}

#[test]
fn a_full_node_that_was_removed_opens_nothing_that_came_after_and_what_it_had_it_has() {
    let (mut cluster, _) = vault(1, &[Role::Full, Role::Full, Role::Store]);
    let mut expected = fill(&mut cluster, 6);
    write(&mut cluster, &mut expected, "before");
    add_folder(&mut cluster);
    assert_protected(&back_up(&mut cluster).lines);
    let old = chunks(&mut cluster, 0);
    let stolen = held(&cluster, 2);
    let told = remove(&mut cluster, 0, "node2");
    assert_eq!((&told["role"], &told["new_key"]), (&"full".into(), &true.into()));
    write(&mut cluster, &mut expected, "after");
    let fresh = back_up_now(&mut cluster);
    assert!(fresh < 250_000, "what has not changed is not sealed again: {fresh} bytes");
    assert_protected(&back_up(&mut cluster).lines);
    let new: Vec<_> = chunks(&mut cluster, 3).into_iter().filter(|chunk| !old.contains(chunk)).collect();
    assert!(!new.is_empty());
    let is_sealed = |(_, bytes): &&(ChunkId, Vec<u8>)| bytes.first() == Some(&1) && bytes.len() > 34;
    let sealed = new.iter().filter(is_sealed).count();
    // Manifests are not sealed: they alone open or fail otherwise than for want of a key.
    let (opened, locked) = open(&new, &stolen);
    assert_eq!(opened, 0, "the thief opens nothing of it");
    assert!(locked > 0 && locked >= open(&new, &held(&cluster, 0)).0, "{locked} of {sealed}");
    assert!(open(&old, &stolen).0 > 0 && open(&new, &held(&cluster, 1)).0 > 0);
    // The removed one runs on, and is given no key: nobody talks to it, and what it finds is not for it.
    cluster.run_until(MINUTE.times(3), |_| false);
    assert_eq!(held(&cluster, 2), stolen);
    assert_eq!((restored(&mut cluster, 0), restored(&mut cluster, 1)), (expected.clone(), expected));
}

#[test]
fn a_store_node_that_leaves_changes_no_key() {
    let (mut cluster, _) = vault(2, &[Role::Full, Role::Store]);
    let before = held(&cluster, 0);
    let told = remove(&mut cluster, 0, "node2");
    assert_eq!((&told["role"], &told["new_key"]), (&"store".into(), &false.into()));
    cluster.run_until(MINUTE, |_| false);
    assert_eq!((held(&cluster, 0), held(&cluster, 1)), (before.clone(), before));
}

#[test]
fn the_phrase_and_one_store_node_bring_back_what_was_sealed_before_and_after() {
    let (mut cluster, phrase) = vault(3, &[Role::Full, Role::Store, Role::Store]);
    let mut expected = fill(&mut cluster, 6);
    add_folder(&mut cluster);
    assert_protected(&back_up(&mut cluster).lines);
    remove(&mut cluster, 0, "node1");
    write(&mut cluster, &mut expected, "after");
    assert_protected(&back_up(&mut cluster).lines);
    for lost in [0, 1, 3] {
        cluster.crash(lost);
    }
    let number = cluster.add_node();
    let peer = Some(cluster.nodes[2].address);
    let replace = Some("node0".to_owned());
    let recover = Call::Recover { phrase, peer, replace, name: None, site: None };
    good(&cluster.ask(number, recover, MINUTE.times(5)));
    assert_eq!(restored(&mut cluster, number), expected);
    // The lost node may have been stolen: what comes now is not for its key.
    let status = keys(&mut cluster, number);
    assert_eq!((&status["epochs"], &status["waits"]), (&3.into(), &false.into()), "{status}");
    // And again, from the same words, with the epoch that the root began.
    cluster.nodes[number].files.make_root(ROOT);
    cluster.run_until(MINUTE.times(2), |_| false);
    assert_eq!(restored(&mut cluster, number), expected);
}

#[test]
fn two_that_remove_two_at_once_come_to_a_key_that_neither_of_those_has() {
    for seed in 0..4 {
        let full = Role::Full;
        let (mut cluster, _) = vault(10 + seed, &[full, full, full, Role::Store]);
        let mut expected = fill(&mut cluster, 4);
        add_folder(&mut cluster);
        assert_protected(&back_up(&mut cluster).lines);
        // Each side removes one that the other side still counts on.
        cluster.cut(&[1, 3]);
        cluster.run_until(MINUTE.times(5), |_| false);
        remove(&mut cluster, 0, "node3");
        remove(&mut cluster, 1, "node2");
        cluster.run_until(MINUTE, |_| false);
        let stolen = [held(&cluster, 2), held(&cluster, 3)];
        cluster.cut(&[]);
        cluster.run_until(MINUTE.times(5), |_| false);
        let (first, second) = (keys(&mut cluster, 0), keys(&mut cluster, 1));
        assert_eq!(first, second, "seed {seed}: both know all, and seal with the same");
        assert!(first["seals_with"].is_string(), "{first}");
        for thief in &stolen {
            let epoch = held(&cluster, 0).epoch().expect("one seals");
            assert!(thief.content_key(&epoch).is_none(), "seed {seed}");
        }
        write(&mut cluster, &mut expected, "after");
        assert_protected(&back_up(&mut cluster).lines);
        assert_eq!(restored(&mut cluster, 1), expected, "seed {seed}");
        assert_eq!(nodes(&mut cluster, 1).len(), 3);
    }
}

#[test]
fn two_that_remove_the_same_one_at_once_seal_with_one_key() {
    let (mut cluster, _) = vault(20, &[Role::Full, Role::Full, Role::Store]);
    cluster.cut(&[1]);
    cluster.run_until(MINUTE.times(5), |_| false);
    remove(&mut cluster, 0, "node2");
    remove(&mut cluster, 1, "node2");
    let stolen = held(&cluster, 2);
    cluster.cut(&[]);
    cluster.run_until(MINUTE.times(5), |_| false);
    let (first, second) = (keys(&mut cluster, 0), keys(&mut cluster, 1));
    assert_eq!(first, second);
    assert_eq!(first["epochs"], 3, "the first, and one of each");
    assert_eq!(held(&cluster, 2), stolen);
}

#[test]
fn a_full_node_that_is_admitted_after_two_epochs_reads_everything_and_seals_with_the_newest() {
    let (mut cluster, phrase) = vault(30, &[Role::Full, Role::Full, Role::Store]);
    let mut expected = fill(&mut cluster, 4);
    add_folder(&mut cluster);
    assert_protected(&back_up(&mut cluster).lines);
    for (name, file) in [("node1", "one"), ("node2", "two")] {
        remove(&mut cluster, 0, name);
        write(&mut cluster, &mut expected, file);
        back_up_now(&mut cluster);
    }
    let number = cluster.add_node();
    join(&mut cluster, number, Role::Full);
    cluster.run_until(MINUTE.times(2), |_| false);
    assert_eq!(restored(&mut cluster, number), expected);
    assert_eq!(held(&cluster, number).epoch(), held(&cluster, 0).epoch());
    // What it was given stands in the feeds too: its own disk is not the only place.
    assert_protected(&back_up(&mut cluster).lines);
    cluster.crash(number);
    cluster.start(number);
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(held(&cluster, number).epoch(), held(&cluster, 0).epoch());
    cluster.crash(0);
    let other = cluster.add_node();
    let peer = Some(cluster.nodes[3].address);
    let recover = Call::Recover { phrase, peer, replace: None, name: None, site: None };
    good(&cluster.ask(other, recover, MINUTE.times(5)));
    assert_eq!(restored(&mut cluster, other), expected);
}

#[test]
fn a_disk_restored_from_an_image_learns_the_key_that_it_missed_and_seals_with_it() {
    let (mut cluster, _) = vault(40, &[Role::Full, Role::Full, Role::Store]);
    let mut expected = fill(&mut cluster, 4);
    add_folder(&mut cluster);
    assert_protected(&back_up(&mut cluster).lines);
    let image = std::sync::Arc::new(cluster.nodes[0].disk.image(&mut cluster.rng));
    // The node that removes is itself the one whose disk grows old.
    remove(&mut cluster, 0, "node2");
    cluster.run_until(MINUTE, |_| false);
    let epoch = held(&cluster, 0).epoch();
    cluster.crash(0);
    cluster.nodes[0].disk = image;
    cluster.start(0);
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(held(&cluster, 0).epoch(), epoch, "its own entry brings its own key back");
    write(&mut cluster, &mut expected, "after");
    assert_protected(&back_up(&mut cluster).lines);
    assert_eq!(restored(&mut cluster, 1), expected);
}

#[test]
fn who_knows_of_a_removal_and_not_of_the_key_waits_for_it_and_seals_nothing_meanwhile() {
    let (mut cluster, _) = vault(50, &[Role::Full, Role::Full, Role::Store]);
    // A shared folder that the newcomer has no directory of.
    cluster.nodes[0].files.make_root(ROOT);
    cluster.nodes[0].files.write(ROOT, b"common", &[3; 20_000]);
    let Call::FolderAdd(add) = short_folder("common") else { panic!("a folder is added") };
    good(&cluster.ask(0, Call::FolderAdd(FolderAdd { kind: "shared".into(), ..add }), MINUTE));
    cluster.run_until(MINUTE.times(3), |_| false);
    // The second admits another full node while the first, which does not hear of it, removes the third.
    cluster.cut(&[0, 3]);
    cluster.run_until(MINUTE.times(5), |_| false);
    let number = cluster.add_node();
    let invitation = cluster.call(1, Call::Invite { role: Role::Full, wait: true });
    assert!(cluster.run_until(MINUTE, |cluster| !cluster.answer(1, invitation).lines.is_empty()));
    let code = text(&cluster.answer(1, invitation).lines[0], "code");
    let peer = Some(cluster.nodes[1].address);
    good(&cluster.ask(number, Call::Join { code, peer, name: None, site: None }, MINUTE.times(2)));
    cluster.run_until(MINUTE, |_| false);
    cluster.nodes[number].files.make_root(ROOT);
    cluster.nodes[number].files.write(ROOT, b"first", &[1; 50_000]);
    good(&cluster.ask(number, short_folder("late"), MINUTE));
    good(&cluster.ask(number, Call::Backup { name: None, wait: false }, MINUTE));
    remove(&mut cluster, 0, "node2");
    cluster.run_until(MINUTE, |_| false);
    // The new one meets only the store node, which tells it of the removal; nobody who has the key is there.
    cluster.crash(0);
    cluster.crash(1);
    cluster.cut(&[]);
    cluster.run_until(MINUTE.times(5), |_| false);
    assert_eq!(keys(&mut cluster, number)["waits"], true);
    let before = chunks(&mut cluster, number).len();
    cluster.nodes[number].files.write(ROOT, b"second", &[2; 50_000]);
    let call = Call::Backup { name: None, wait: false };
    assert_eq!(refused(&cluster.ask(number, call, MINUTE)), "key_waits");
    assert_eq!(chunks(&mut cluster, number).len(), before, "nothing was sealed");
    assert_eq!(refused(&cluster.ask(number, short_folder("another"), MINUTE)), "key_waits");
    let make = Call::MakeDirectory { what: "common:new".into() };
    assert_eq!(refused(&cluster.ask(number, make, MINUTE)), "key_waits");
    assert_eq!(chunks(&mut cluster, number).len(), before, "nor for an edit");
    let status = cluster.ask(number, Call::Status, MINUTE).lines.remove(0);
    assert!(status["attention"].to_string().contains("has not been given"), "{}", status["attention"]);
    // The second was given it, and passes it on.
    cluster.start(1);
    cluster.run_until(MINUTE.times(4), |_| false);
    assert_eq!(keys(&mut cluster, number)["waits"], false);
    assert_eq!(held(&cluster, number).epoch(), held(&cluster, 1).epoch());
    let listed = cluster.ask(number, Call::Snapshots { name: Some("late".into()) }, MINUTE).lines;
    assert_eq!(listed.len(), 2, "what was put off was made up for: {listed:?}");
}
