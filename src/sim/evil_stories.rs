//! A full member with valid keys that wants everything to be gone. It may sign what it likes: no storer gives a chunk up
//! before the floor of its own running time, and what was not retired in a way that counts it never gives up.

use std::collections::BTreeSet;

use super::check::{
    add_folder, assert_protected, back_up, fill, found, join, text, unpack, weather, MINUTE, ROOT,
};
use super::cluster::Cluster;
use super::feed_stories::{good, short_folder};
use super::key_stories::chunks;
use crate::base::ids::{ChunkId, FolderId, SnapshotId};
use crate::base::units::{Copies, Span, WallTime};
use crate::feed::entry::{Body, Counts, Role, SnapshotEntry};
use crate::node::api::Call;
use crate::node::ports::{Ending, Input};

/// How long retired snapshots keep their chunks here.
const FLOOR: Span = Span::from_secs(7_200);

/// The founder is evil; the second has a folder, the third is a store node, the fourth full. All hold everything.
fn household(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(seed, 1, weather(0));
    cluster.retired = FLOOR;
    cluster.crash(0);
    cluster.start(0);
    (1..4).for_each(|_| _ = cluster.add_node());
    found(&mut cluster);
    for (number, role) in [(1, Role::Full), (2, Role::Store), (3, Role::Full)] {
        join(&mut cluster, number, role);
    }
    cluster.nodes[1].files.make_root(ROOT);
    good(&cluster.ask(1, short_folder("family"), MINUTE));
    for name in [&b"one"[..], b"two", b"three"] {
        let content: Vec<u8> = (0..120_000_u32)
            .map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0] ^ name[1])
            .collect();
        cluster.nodes[1].files.write(ROOT, name, &content);
        good(&cluster.ask(1, Call::Backup { name: None, wait: true }, MINUTE.times(5)));
    }
    cluster.run_until(MINUTE.times(3), |_| false);
    cluster
}

/// The ids of all chunks on a node's disk.
fn ids(cluster: &mut Cluster, number: usize) -> BTreeSet<ChunkId> {
    chunks(cluster, number).into_iter().map(|(id, _)| id).collect()
}

/// The snapshots that a node has pinned.
fn pinned(cluster: &Cluster, number: usize) -> Vec<SnapshotId> {
    cluster.nodes[number].running.as_ref().expect("it runs").core.pinned()
}

/// The first node signs all of these; how many were signed.
fn sign(cluster: &mut Cluster, bodies: Vec<Body>) -> usize {
    let core = &mut cluster.nodes[0].running.as_mut().expect("it runs").core;
    let signed = bodies.into_iter().filter(|body| core.forge(body.clone())).count();
    cluster.give(0, Input::Tick);
    signed
}

/// All that it can do against the others; in this order, or with everybody removed first.
fn attack(cluster: &mut Cluster, heads: bool, removes_first: bool) {
    let core = &cluster.nodes[0].running.as_ref().expect("it runs").core;
    let (retire, folders, remove) =
        (core.retire_everything(u64::MAX - 1), core.remove_all_folders(), core.remove_everybody(heads));
    let steps = if removes_first { [remove, retire, folders] } else { [retire, folders, remove] };
    for bodies in steps {
        let count = bodies.len();
        assert_eq!(sign(cluster, bodies), count, "its signatures are valid, and it believes itself");
        cluster.run_until(MINUTE, |_| false);
    }
    // And once more over what it is allowed to speak of now.
    let core = &cluster.nodes[0].running.as_ref().expect("it runs").core;
    let mut again = core.retire_everything(u64::MAX);
    again.extend(core.erase_everything());
    sign(cluster, again);
    cluster.run_until(MINUTE, |_| false);
}

#[test]
fn no_member_makes_a_chunk_disappear_before_the_floor() {
    for (seed, heads, removes_first) in
        [(1, true, true), (2, true, false), (3, false, true), (4, false, false)]
    {
        let mut cluster = household(seed);
        let before: Vec<_> = (1..4).map(|number| ids(&mut cluster, number)).collect();
        let pins: Vec<_> = (1..4).map(|number| pinned(&cluster, number)).collect();
        assert!(pins.iter().all(|pins| pins.len() >= 3), "all hold all: {pins:?}");
        attack(&mut cluster, heads, removes_first);
        // Clocks on the wall are the attacker's as well.
        cluster.shift_clocks(315_360_000_000_000);
        cluster.run_until(MINUTE.times(100), |_| false);
        for (number, (before, pins)) in (1..4).zip(before.iter().zip(&pins)) {
            assert!(before.is_subset(&ids(&mut cluster, number)), "seed {seed}: node {number} lost chunks");
            assert_eq!(&pinned(&cluster, number), pins, "seed {seed}: node {number}");
        }
        // A restart is no way round it: the running time goes on where it was.
        for number in 1..4 {
            cluster.crash(number);
            cluster.start(number);
        }
        cluster.run_until(MINUTE.times(10), |_| false);
        for (number, before) in (1..4).zip(&before) {
            assert!(before.is_subset(&ids(&mut cluster, number)), "seed {seed}: node {number} lost chunks");
        }
    }
}

#[test]
fn what_another_member_retires_of_a_present_writer_means_nothing_ever() {
    let mut cluster = household(5);
    let before: Vec<_> = (1..4).map(|number| ids(&mut cluster, number)).collect();
    let core = &cluster.nodes[0].running.as_ref().expect("it runs").core;
    let mut bodies = core.retire_everything(u64::MAX);
    bodies.extend(core.remove_all_folders());
    sign(&mut cluster, bodies);
    cluster.run_until(MINUTE.times(60 * 8), |_| false);
    for (number, before) in (1..4).zip(&before) {
        assert!(before.is_subset(&ids(&mut cluster, number)), "node {number}, four floors later");
    }
    // Its word on the folder takes it from nobody: the owner's backups go on, and everybody finds them.
    cluster.nodes[1].files.write(ROOT, b"four", &[4; 50_000]);
    good(&cluster.ask(1, Call::Backup { name: None, wait: true }, MINUTE.times(5)));
    for number in [1, 3] {
        let call = Call::Restore { what: "family".into(), dry_run: false };
        let answer = cluster.ask(number, call, MINUTE.times(5));
        assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
        assert_eq!(unpack(&answer.bytes).len(), 4, "node {number}");
    }
}

#[test]
fn what_the_writer_itself_wants_gone_waits_for_the_floor_too() {
    let mut cluster = Cluster::new(6, 1, weather(0));
    cluster.retired = FLOOR;
    cluster.crash(0);
    cluster.start(0);
    (1..3).for_each(|_| _ = cluster.add_node());
    found(&mut cluster);
    (1..3).for_each(|number| join(&mut cluster, number, Role::Store));
    fill(&mut cluster, 5);
    add_folder(&mut cluster);
    let passing: Vec<u8> =
        (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    cluster.nodes[0].files.write(ROOT, b"passing", &passing);
    assert_protected(&back_up(&mut cluster).lines);
    // The next scan finds it gone, so that nothing lists it any more.
    cluster.nodes[0].files.remove(ROOT, b"passing");
    let before: Vec<_> = (1..3).map(|number| ids(&mut cluster, number)).collect();
    let core = &cluster.nodes[0].running.as_ref().expect("it runs").core;
    let bodies = core.retire_everything(9);
    sign(&mut cluster, bodies);
    cluster.run_until(MINUTE.times(115), |_| false);
    for (number, before) in (1..3).zip(&before) {
        assert!(before.is_subset(&ids(&mut cluster, number)), "node {number} lost chunks");
    }
    cluster.run_until(MINUTE.times(120), |_| false);
    let gone = |cluster: &mut Cluster, number: usize| !before[number - 1].is_subset(&ids(cluster, number));
    assert!((1..3).all(|number| gone(&mut cluster, number)), "then it goes");
}

/// A file of the second's folder is in one backup and not in the next: the snapshot that has it.
fn come_and_go(cluster: &mut Cluster, content: &[u8]) -> String {
    cluster.nodes[1].files.write(ROOT, b"passing", content);
    let with_it = cluster.ask(1, Call::Backup { name: None, wait: true }, MINUTE.times(5));
    good(&with_it);
    let line = with_it.lines.iter().find(|line| line["event"] == "snapshot").expect("it is told");
    cluster.nodes[1].files.remove(ROOT, b"passing");
    good(&cluster.ask(1, Call::Backup { name: None, wait: true }, MINUTE.times(5)));
    text(line, "snapshot")
}

/// A snapshot of which there is nothing.
fn made_up(number: u8) -> Body {
    Body::Snapshot(SnapshotEntry {
        folder: FolderId::from_bytes([number; 16]),
        manifest: ChunkId::from_bytes([number; 32]),
        parent: None,
        copies: Copies::new(3),
        taken: WallTime::from_micros(i64::MAX),
        complete: true,
        counts: Counts::default(),
        sealed: Vec::new(),
    })
}

#[test]
fn snapshots_of_which_nobody_has_anything_keep_nobody_from_giving_up_or_from_keeping_others() {
    let mut cluster = household(7);
    let passing: Vec<u8> =
        (0..300_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    let snapshot = come_and_go(&mut cluster, &passing);
    assert_eq!(sign(&mut cluster, (1..60).map(made_up).collect()), 59);
    cluster.run_until(MINUTE.times(5), |_| false);
    let before: Vec<_> = (1..4).map(|number| ids(&mut cluster, number)).collect();
    cluster.nodes[1].files.write(ROOT, b"five", &[5; 50_000]);
    good(&cluster.ask(1, Call::Backup { name: None, wait: true }, MINUTE.times(10)));
    good(&cluster.ask(1, Call::Forget { what: format!("family@{snapshot}") }, MINUTE));
    cluster.run_until(MINUTE.times(60 * 5), |_| false);
    for (number, before) in (1..4).zip(&before) {
        let gone = before - &ids(&mut cluster, number);
        assert!(!gone.is_empty(), "node {number} gives nothing up");
    }
    let restored = cluster.ask(3, Call::Restore { what: "family".into(), dry_run: false }, MINUTE.times(5));
    assert_eq!(restored.end, Some(Ok(Ending::Complete)), "{:?}", restored.lines);
}

/// One of them begins to fetch a snapshot, whose writer is stolen, and removed by those who never heard of it.
#[test]
fn a_snapshot_that_became_void_while_it_was_fetched_keeps_nobody_from_giving_up() {
    let mut cluster = household(8);
    cluster.cut(&[2, 3]);
    cluster.run_until(MINUTE.times(3), |_| false);
    let core = &mut cluster.nodes[3].running.as_mut().expect("it runs").core;
    assert!(core.forge(made_up(9)));
    cluster.give(3, Input::Tick);
    cluster.run_until(MINUTE.times(3), |_| false);
    let void = pinned(&cluster, 2).len() - pinned(&cluster, 0).len();
    assert_eq!(void, 1, "it is being fetched");
    cluster.crash(3);
    let remove = Call::Remove { node: "node3".into(), how: crate::node::api::Removal::Now };
    good(&cluster.ask(0, remove, MINUTE));
    cluster.cut(&[]);
    cluster.run_until(MINUTE.times(5), |_| false);
    let snapshot = come_and_go(&mut cluster, &[7; 200_000]);
    cluster.run_until(MINUTE.times(5), |_| false);
    let before = ids(&mut cluster, 2);
    good(&cluster.ask(1, Call::Forget { what: format!("family@{snapshot}") }, MINUTE));
    cluster.run_until(MINUTE.times(60 * 5), |_| false);
    assert!(!before.is_subset(&ids(&mut cluster, 2)), "the other gives nothing up");
    assert_eq!(pinned(&cluster, 2).len(), pinned(&cluster, 0).len(), "what became void is given up as well");
}

#[test]
fn what_another_member_writes_of_a_backup_folder_is_nothing_that_its_owner_goes_on_from() {
    let mut cluster = household(9);
    let of = |cluster: &Cluster, number: usize| {
        let core = &cluster.nodes[number].running.as_ref().expect("it runs").core;
        let mut all = core.published_snapshots();
        all.sort_by_key(|fact| fact.entry.taken);
        all
    };
    // The oldest one once more, as the newest of all times.
    let oldest = of(&cluster, 0).remove(0);
    let evil = SnapshotEntry { taken: WallTime::from_micros(i64::MAX), ..oldest.entry.clone() };
    assert_eq!(sign(&mut cluster, vec![Body::Snapshot(evil)]), 1);
    cluster.run_until(MINUTE.times(3), |_| false);
    let newest = of(&cluster, 1).pop().expect("a snapshot");
    assert!(newest.writer != oldest.writer, "it has come there");
    cluster.nodes[1].files.write(ROOT, b"four", &[4; 50_000]);
    good(&cluster.ask(1, Call::Backup { name: None, wait: true }, MINUTE.times(5)));
    let all = of(&cluster, 1);
    let own: Vec<_> = all.iter().filter(|fact| fact.writer == oldest.writer).collect();
    let (last, before) = (own[own.len() - 1], own[own.len() - 2]);
    assert_eq!(last.entry.parent, Some(before.id), "it goes on from its own");
    assert!(last.entry.taken < WallTime::from_micros(i64::MAX));
    for number in [1, 3] {
        let call = Call::Restore { what: "family".into(), dry_run: false };
        let answer = cluster.ask(number, call, MINUTE.times(5));
        assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
        assert_eq!(unpack(&answer.bytes).len(), 4, "node {number}: the newest is its owner's");
    }
}
