//! Two vaults on one network: they see each other's announcements and addresses, and have nothing to do with each other.

use serde_json::Value;
use std::collections::BTreeSet;

use super::check::{text, weather, MINUTE, ROOT};
use super::cluster::Cluster;
use super::feed_stories::{good, nodes, short_folder};
use super::key_stories::chunks;
use crate::base::ids::ChunkId;
use crate::feed::entry::Role;
use crate::node::api::Call;

/// A vault of two nodes; the first of them has a folder.
fn make_vault(cluster: &mut Cluster, first: usize) {
    good(&cluster.ask(first, Call::Init { name: None, site: None }, MINUTE));
    let invitation = cluster.call(first, Call::Invite { role: Role::Full, wait: true });
    assert!(cluster.run_until(MINUTE, |cluster| !cluster.answer(first, invitation).lines.is_empty()));
    let code = text(&cluster.answer(first, invitation).lines[0], "code");
    let peer = Some(cluster.nodes[first].address);
    good(&cluster.ask(first + 1, Call::Join { code, peer, name: None, site: None }, MINUTE.times(2)));
    for number in 0..20_u8 {
        // Both have the same files.
        cluster.nodes[first].files.write(ROOT, &[b'a' + number], &[number; 20_000]);
    }
    good(&cluster.ask(first, short_folder("family"), MINUTE));
}

/// Everybody sees everybody's announcement.
fn sight_all(cluster: &mut Cluster) {
    for number in 0..4 {
        (0..4).filter(|other| *other != number).for_each(|other| cluster.sight(number, other));
    }
}

/// The names of those with whom a node has a session.
fn sessions(cluster: &mut Cluster, number: usize) -> Vec<String> {
    let status = cluster.ask(number, Call::Status, MINUTE).lines.remove(0);
    status["peers"].as_array().into_iter().flatten().map(|peer: &Value| text(peer, "name")).collect()
}

#[test]
fn two_vaults_on_one_network_have_nothing_to_do_with_each_other() {
    let mut cluster = Cluster::new(61, 0, weather(0));
    (0..4).for_each(|_| _ = cluster.add_node_off());
    let addresses: Vec<_> = cluster.nodes.iter().map(|node| node.address).collect();
    for number in 0..4 {
        cluster.nodes[number].peers.clone_from(&addresses);
        cluster.start(number);
    }
    sight_all(&mut cluster);
    make_vault(&mut cluster, 0);
    sight_all(&mut cluster);
    make_vault(&mut cluster, 2);
    for round in 0..3 {
        for first in [0, 2] {
            good(&cluster.ask(first, Call::Backup { name: None, wait: true }, MINUTE.times(5)));
            cluster.nodes[first].files.write(ROOT, b"more", &[100 + round; 50_000]);
        }
        sight_all(&mut cluster);
        cluster.run_until(MINUTE.times(20), |_| false);
        for (number, other) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
            assert_eq!(sessions(&mut cluster, number), [format!("node{other}")], "of node {number}");
        }
        // Whoever starts anew looks everywhere again.
        for number in 0..4 {
            cluster.crash(number);
            cluster.start(number);
        }
        cluster.run_until(MINUTE, |_| false);
    }
    let held: Vec<BTreeSet<ChunkId>> =
        (0..4).map(|number| chunks(&mut cluster, number).into_iter().map(|(id, _)| id).collect()).collect();
    for first in [0, 2] {
        for number in [first, first + 1] {
            let names = [format!("node{first}"), format!("node{}", first + 1)];
            assert_eq!(nodes(&mut cluster, number), names);
            let listed = cluster.ask(number, Call::Snapshots { name: None }, MINUTE).lines;
            let writers: BTreeSet<String> = listed.iter().map(|line| text(line, "writer")).collect();
            assert!(listed.len() >= 3 && writers == BTreeSet::from([names[0].clone()]), "{listed:?}");
            assert!(held[number].len() > 20);
            assert!((0..4).all(|other| other / 2 == number / 2 || held[number].is_disjoint(&held[other])));
        }
    }
}
