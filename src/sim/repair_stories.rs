//! Stories of the share that repair has of a line: what somebody waits for goes first, and a line that is free is used.

use super::check::{found, join, MINUTE, ROOT};
use super::cluster::Cluster;
use super::net::Weather;
use super::place_stories::{add_folder, status};
use crate::base::units::Span;
use crate::feed::entry::Role;
use crate::node::api::Call;
use crate::node::ports::Ending;
use rand_core::RngCore;

/// A line of a home to the world: half of its round trip.
const WEATHER: Weather = Weather {
    loss_per_mille: 0,
    double_per_mille: 0,
    delay: Span::from_millis(10),
    jitter: Span::from_micros(500),
};

/// Bytes a second that the only holder can send.
const LINE: u64 = 1_000_000;

/// Bytes of the folder.
const FOLDER: u64 = 12_000_000;

/// What holds the holder back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// Its line.
    Line,
    /// The setting `bandwidth.up`.
    Setting,
}

/// A writer that is gone, the one holder that is left, two nodes that owe a copy and begin now, and one that holds nothing for others.
fn household(bound: Bound) -> Cluster {
    let mut cluster = Cluster::new(77, 5, WEATHER);
    found(&mut cluster);
    for (number, role) in [Role::Full, Role::Store, Role::Store, Role::Full].into_iter().enumerate() {
        join(&mut cluster, number + 1, role);
    }
    let nothing = Call::ConfigSet { key: "node.capacity".into(), value: "0".into() };
    assert_eq!(cluster.ask(4, nothing, MINUTE).end, Some(Ok(Ending::Complete)));
    cluster.run_until(MINUTE, |_| false);
    (2..5).for_each(|number| cluster.stop(number));
    for number in 0..FOLDER / 300_000 {
        let mut content = vec![0; 300_000];
        cluster.rng.fill_bytes(&mut content);
        cluster.nodes[0].files.write(ROOT, format!("f{number:03}").as_bytes(), &content);
    }
    add_folder(&mut cluster, "family", ROOT, 4);
    cluster.ask(0, Call::Backup { name: None, wait: false }, MINUTE);
    assert!(copies(&mut cluster, MINUTE.times(2), 2));
    cluster.stop(0);
    // The nodes that repair hear of nobody else's copy.
    let addresses: Vec<_> = cluster.nodes.iter().map(|node| node.address).collect();
    for from in 2..5 {
        (2..5).for_each(|to| cluster.net.cut_one_way(addresses[from], addresses[to], true));
    }
    if bound == Bound::Setting {
        let limit = Call::ConfigSet { key: "bandwidth.up".into(), value: "8Mbit".into() };
        let answer = cluster.ask(1, limit, MINUTE);
        assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
    } else {
        cluster.net.shared = true;
        cluster.net.uplinks.insert(addresses[1], LINE);
    }
    cluster
}

/// Waits until the holder knows of so many copies.
fn copies(cluster: &mut Cluster, span: Span, count: u64) -> bool {
    let end = cluster.now() + span;
    while cluster.now() < end {
        let said = status(cluster, 1);
        if said["folders"][0]["protected"]["have"].as_u64() >= Some(count) {
            return true;
        }
        cluster.run_until(Span::from_millis(200), |_| false);
    }
    false
}

/// Bytes a second of a restore of all, beside the repairs or alone; and of the repairs, from the restore's end on.
fn speeds(bound: Bound, repairs: bool) -> (u64, u64) {
    let mut cluster = household(bound);
    if repairs {
        [2, 3].into_iter().for_each(|number| cluster.start(number));
        cluster.run_until(Span::from_secs(4), |_| false);
    }
    cluster.start(4);
    cluster.run_until(Span::from_secs(1), |_| false);
    let sent = cluster.net.sent_bytes();
    let began = cluster.now();
    let restore = cluster.ask(4, Call::Restore { what: "family".into(), dry_run: false }, MINUTE.times(10));
    assert_eq!(restore.end, Some(Ok(Ending::Complete)), "{:?}", restore.lines);
    let ended = cluster.now();
    let restored = FOLDER * 1_000 / ended.since(began).as_millis();
    let beside = (cluster.net.sent_bytes() - sent) * 1_000 / ended.since(began).as_millis();
    let sent = cluster.net.sent_bytes();
    assert!(!repairs || copies(&mut cluster, MINUTE.times(10), 4), "the repairs come to their end");
    let after = (cluster.net.sent_bytes() - sent) * 1_000 / cluster.now().since(ended).as_millis().max(1);
    println!("{bound:?}, repairs {repairs}: restore {restored} B/s of {beside} B/s in all, repair after it {after} B/s");
    (restored, after)
}

/// Bytes a second of the two repairs while nobody waits for anything.
fn repair_alone(bound: Bound) -> u64 {
    let mut cluster = household(bound);
    [2, 3].into_iter().for_each(|number| cluster.start(number));
    let began = cluster.now();
    assert!(copies(&mut cluster, MINUTE.times(10), 4));
    2 * FOLDER * 1_000 / cluster.now().since(began).as_millis()
}

/// A repair takes what a restore leaves, and all of the line when that is over.
fn repair_waits(bound: Bound) {
    let (alone, _) = speeds(bound, false);
    let (beside, after) = speeds(bound, true);
    assert!(beside * 4 >= alone * 3, "{beside} of {alone} B/s beside two repairs");
    assert!(after * 10 >= LINE * 8, "{after} of {LINE} B/s when the restore is over");
    let repair = repair_alone(bound);
    println!("{bound:?}: two repairs alone {repair} B/s, their start included");
    assert!(repair * 100 >= LINE * 75, "{repair} of {LINE} B/s, their start included");
}

#[test]
fn a_restore_goes_before_repairs_that_come_over_the_same_line() {
    repair_waits(Bound::Line);
}

#[test]
fn a_restore_goes_before_repairs_within_the_limit_that_is_set() {
    repair_waits(Bound::Setting);
}
