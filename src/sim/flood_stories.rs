//! Many at once: members gone bad who ask or sign without end, whom the others bear; and readers that all want the same.

use super::check::{assert_protected, back_up, family_folder, fill, found, join, unpack, weather, MINUTE};
use super::cluster::Cluster;
use super::feed_stories::good;
use super::place_stories::status;
use crate::base::ids::ChunkId;
use crate::base::limits::SERVE_QUEUE_PER_PEER_MAX;
use crate::feed::entry::{Admit, Body, Role};
use crate::node::api::{Call, FolderAdd};
use crate::node::ports::{Ending, Input};
use crate::node::room::Capacity;
use crate::wire::message::Message;
use rand_core::RngCore;

/// So many nodes, the third a store node, all others full, and a folder of the first that wants so many copies.
fn household(seed: u64, nodes: usize, copies: u8) -> Cluster {
    let mut cluster = Cluster::new(seed, nodes, weather(0));
    found(&mut cluster);
    for number in 1..nodes {
        join(&mut cluster, number, if number == 2 { Role::Store } else { Role::Full });
    }
    let Call::FolderAdd(add) = family_folder() else { panic!("a folder is added") };
    good(&cluster.ask(0, Call::FolderAdd(FolderAdd { copies: Some(copies), ..add }), MINUTE));
    cluster
}

/// Random bytes.
fn random<const N: usize>(cluster: &mut Cluster) -> [u8; N] {
    let mut bytes = [0; N];
    cluster.rng.fill_bytes(&mut bytes);
    bytes
}

#[test]
fn a_store_node_that_admits_a_thousand_nodes_makes_none_of_them_a_member() {
    let mut cluster = household(81, 3, 3);
    fill(&mut cluster, 5);
    for number in 0..1_000 {
        let key = ed25519_dalek::SigningKey::from_bytes(&random(&mut cluster));
        let (signing, channel) = (key.verifying_key().to_bytes(), random(&mut cluster));
        let admit = Admit { signing, channel, role: Role::Full, name: format!("made up {number}") };
        let core = &mut cluster.nodes[2].running.as_mut().expect("it runs").core;
        assert!(core.forge(Body::Admit(admit)), "its signature is valid");
        if number % 50 == 0 {
            cluster.give(2, Input::Tick);
            cluster.run_until(MINUTE, |_| false);
        }
    }
    cluster.give(2, Input::Tick);
    cluster.run_until(MINUTE.times(5), |_| false);
    for number in 0..3 {
        assert_eq!(status(&mut cluster, number)["members"], 3, "node {number}");
    }
    assert_protected(&back_up(&mut cluster).lines);
    // Nor after a start, when all of them are read from the disk.
    cluster.crash(0);
    cluster.start(0);
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(status(&mut cluster, 0)["members"], 3);
    good(&cluster.ask(0, Call::Remove { node: "node2".into(), how: crate::node::api::Removal::Now }, MINUTE));
    assert_eq!(status(&mut cluster, 0)["members"], 2);
}

#[test]
fn a_peer_that_asks_for_chunks_without_end_is_answered_a_few_at_a_time_and_others_as_before() {
    let mut cluster = household(82, 3, 3);
    let expected = fill(&mut cluster, 20);
    assert_protected(&back_up(&mut cluster).lines);
    let target = status(&mut cluster, 0)["node"].as_str().and_then(|id| id.parse().ok()).expect("a member");
    let listed = cluster.nodes[0].running.as_ref().expect("it runs").core.pinned();
    assert!(!listed.is_empty());
    let restore = cluster.call(1, Call::Restore { what: "family".into(), dry_run: false });
    for turn in 0..200_u32 {
        // What nobody has, and as many as a message may name.
        let ids = (0..SERVE_QUEUE_PER_PEER_MAX).map(|_| ChunkId::from_bytes(random(&mut cluster))).collect();
        cluster.say(2, &target, &Message::Get { ids });
        if turn % 8 == 0 {
            cluster.run_until(crate::base::units::Span::from_millis(20), |_| false);
        }
    }
    let answer = cluster.finish(1, restore, MINUTE.times(5));
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
    assert_eq!(unpack(&answer.bytes), expected);
    assert_protected(&back_up(&mut cluster).lines);
    let healing = status(&mut cluster, 0)["compare"]["lacking_chunks"].take();
    assert_eq!(healing, 0, "what nobody lists is looked for by nobody");
}

#[test]
fn several_that_read_the_same_at_once_share_their_reads_among_all_who_have_it() {
    let mut cluster = household(83, 7, 4);
    cluster.net.line_bytes_per_second = Some(1_000_000);
    cluster.capacity = Capacity::Bytes(0);
    for number in 4..7 {
        cluster.crash(number);
        cluster.start(number);
    }
    cluster.run_until(MINUTE, |_| false);
    let expected = fill(&mut cluster, 150);
    good(&back_up(&mut cluster));
    assert_eq!(status(&mut cluster, 0)["folders"][0]["protected"]["have"], 4);
    cluster.run_until(MINUTE, |_| false);
    let sent = |cluster: &mut Cluster| -> Vec<u64> {
        let one =
            |number: usize| status(cluster, number)["counters"]["sent_bytes"].as_u64().expect("a count");
        (0..4).map(one).collect()
    };
    let before = sent(&mut cluster);
    let what = || Call::Restore { what: "family".into(), dry_run: false };
    let calls: Vec<_> = (4..7).map(|number| (number, cluster.call(number, what()))).collect();
    for (number, call) in calls {
        let answer = cluster.finish(number, call, MINUTE.times(20));
        assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
        assert_eq!(unpack(&answer.bytes), expected);
    }
    let after = sent(&mut cluster);
    let sent: Vec<u64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    let (most, least) = (sent[1..].iter().max().expect("three"), sent[1..].iter().min().expect("three"));
    assert!(*most < 2 * least, "no holder is a hot spot: {sent:?}");
}
