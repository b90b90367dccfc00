//! Stories of feeds that are known in part: a node that comes back, a disk that is older than what others know, a node
//! whose others are all gone; and of chunks over a slow line.

use super::check::{add_folder, back_up, found, household, join, text, weather, MINUTE, ROOT};
use super::cluster::{Answer, Cluster};
use crate::base::units::Span;
use crate::feed::entry::Role;
use crate::node::api::{Call, FolderAdd, Removal};
use crate::node::ports::Ending;
use rand_core::RngCore;

/// A folder whose description is as long as it may be, so that a feed of some of them is long.
fn long_folder(number: usize) -> Call {
    let pattern = |index: usize| format!("{index:02}{}", "x".repeat(1_000));
    Call::FolderAdd(FolderAdd {
        name: format!("folder-{number}"),
        directory: format!("/srv/{number}").into_bytes(),
        kind: "backup".into(),
        copies: Some(2),
        keep: None,
        ignore: (0..11).map(pattern).collect(),
        one_file_system: false,
        max_size: None,
        mode: crate::feed::entry::Mode::Both,
    })
}

/// A small folder.
pub(super) fn short_folder(name: &str) -> Call {
    folder_in(name, 2)
}

/// A folder with what is there, in so many copies.
pub(super) fn folder_in(name: &str, copies: u8) -> Call {
    Call::FolderAdd(FolderAdd {
        name: name.into(),
        directory: ROOT.to_vec(),
        kind: "backup".into(),
        copies: Some(copies),
        keep: None,
        ignore: Vec::new(),
        one_file_system: false,
        max_size: None,
        mode: crate::feed::entry::Mode::Both,
    })
}

/// Two full nodes, the first of which has so many folders.
fn couple(seed: u64, folders: usize) -> (Cluster, String) {
    let mut cluster = Cluster::new(seed, 2, weather(0));
    let phrase = found(&mut cluster);
    join(&mut cluster, 1, Role::Full);
    for number in 0..folders {
        good(&cluster.ask(0, long_folder(number), MINUTE));
    }
    let last = format!("folder-{}", folders - 1);
    cluster.run_until(MINUTE, |_| false);
    let listed = cluster.ask(1, Call::FolderList, MINUTE);
    assert!(format!("{:?}", listed.lines).contains(&last), "the other knows all folders");
    (cluster, phrase)
}

/// Comes back from the words in place of the first node.
fn replace(cluster: &mut Cluster, number: usize, phrase: &str) -> Answer {
    let peer = Some(cluster.nodes[1].address);
    let (phrase, replace) = (phrase.to_owned(), Some("node0".to_owned()));
    let call = Call::Recover { phrase, peer, replace, name: None, site: None };
    cluster.ask(number, call, MINUTE.times(20))
}

/// How many folders were taken over.
fn adopted(answer: &Answer) -> usize {
    let line = answer.lines.iter().find(|line| line["event"] == "recovered").expect("it is told");
    line["adopted"].as_array().expect("a list").len()
}

/// The call did what it should.
pub(super) fn good(answer: &Answer) {
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
}

/// The code of the call's failure.
pub(super) fn refused(answer: &Answer) -> &str {
    match &answer.end {
        Some(Err(error)) => &error.code,
        other => panic!("it was not refused: {other:?}"),
    }
}

/// The names of the members.
pub(super) fn nodes(cluster: &mut Cluster, number: usize) -> Vec<String> {
    let answer = cluster.ask(number, Call::Nodes, MINUTE);
    let list = answer.lines[0].as_array().expect("a list");
    let mut names: Vec<String> = list.iter().map(|node| text(node, "name")).collect();
    names.sort();
    names
}

/// Nobody has met a second history of a feed.
fn assert_no_fork(cluster: &mut Cluster) {
    for number in 0..cluster.nodes.len() {
        if cluster.is_running(number) {
            let log = cluster.ask(number, Call::Log { follow: false, after: None }, MINUTE).lines;
            let log = serde_json::to_string(&log).expect("JSON can be written");
            assert!(!log.contains("another history"), "{log}");
        }
    }
}

#[test]
fn a_lost_node_is_replaced_when_all_that_is_known_of_it_has_arrived_however_long_that_takes() {
    let (mut cluster, phrase) = couple(1, 40);
    cluster.crash(0);
    cluster.net.weather.delay = Span::from_millis(1_500);
    let number = cluster.add_node();
    let before = cluster.now();
    let answer = replace(&mut cluster, number, &phrase);
    good(&answer);
    assert!(
        cluster.now().since(before) > Span::from_secs(30),
        "the feed takes longer than a call may stand still"
    );
    assert_eq!(adopted(&answer), 40, "no folder was cut off");
}

#[test]
fn who_comes_back_in_place_of_a_lost_node_backs_its_folders_up_from_then_on() {
    let mut cluster = Cluster::new(77, 2, weather(0));
    let phrase = found(&mut cluster);
    join(&mut cluster, 1, Role::Store);
    cluster.nodes[0].files.make_root(ROOT);
    cluster.nodes[0].files.write(ROOT, b"one", b"first");
    good(&cluster.ask(0, short_folder("family"), MINUTE));
    good(&cluster.ask(0, Call::Backup { name: None, wait: true }, MINUTE.times(5)));
    cluster.crash(0);
    let number = cluster.add_node();
    cluster.nodes[number].files = std::mem::take(&mut cluster.nodes[0].files);
    let answer = replace(&mut cluster, number, &phrase);
    good(&answer);
    assert_eq!(adopted(&answer), 1);
    cluster.nodes[number].files.write(ROOT, b"two", b"second");
    cluster.run_until(MINUTE.times(90), |_| false);
    let listed = cluster.ask(1, Call::Status, MINUTE).lines.remove(0);
    let listed = (listed, cluster.ask(number, Call::Snapshots { name: None }, MINUTE).lines);
    assert_eq!(listed.1.len(), 2, "nobody had to ask for it: {listed:?}");
}

/// In the turmoil seed 17 found this: the removal of the first node was read before that node's own feed, and the session with whoever told
/// it, whom the first node had let in, was ended then.
#[test]
fn whoever_was_let_in_by_a_node_that_is_gone_can_tell_a_newcomer_everything() {
    for seed in 1..=6 {
        let (mut cluster, phrase) = couple(seed, 12);
        cluster.crash(0);
        let second = cluster.add_node();
        good(&replace(&mut cluster, second, &phrase));
        cluster.run_until(MINUTE.times(2), |_| false);
        cluster.crash(second);
        let third = cluster.add_node();
        let peer = Some(cluster.nodes[1].address);
        let call = Call::Recover { phrase, peer, replace: None, name: None, site: None };
        good(&cluster.ask(third, call, MINUTE.times(20)));
        let folders = cluster.ask(third, Call::FolderList, MINUTE).lines;
        assert_eq!(folders[0].as_array().map(Vec::len), Some(12), "seed {seed}");
        assert!(nodes(&mut cluster, third).contains(&"node1".to_owned()), "seed {seed}");
    }
}

#[test]
fn a_lost_node_is_not_replaced_while_it_is_known_in_part_and_is_when_the_rest_has_come() {
    let (mut cluster, phrase) = couple(2, 40);
    cluster.crash(0);
    cluster.net.weather.delay = Span::from_millis(1_500);
    let number = cluster.add_node();
    let peer = Some(cluster.nodes[1].address);
    let call =
        Call::Recover { phrase: phrase.clone(), peer, replace: Some("node0".into()), name: None, site: None };
    let id = cluster.call(number, call);
    cluster.run_until(Span::from_secs(25), |_| false);
    cluster.cut(&[1]);
    let answer = cluster.finish(number, id, MINUTE.times(5));
    assert_eq!(refused(&answer), "incomplete");
    assert!(nodes(&mut cluster, number).contains(&"node0".to_owned()), "nothing was removed");
    cluster.cut(&[]);
    cluster.net.weather.delay = Span::from_millis(1);
    cluster.run_until(MINUTE.times(2), |_| false);
    let answer = replace(&mut cluster, number, &phrase);
    good(&answer);
    assert_eq!(adopted(&answer), 40);
}

#[test]
fn an_old_image_that_is_given_orders_before_it_has_met_anybody_forks_nothing() {
    let mut cluster = household(6);
    let old = std::sync::Arc::new(cluster.nodes[0].disk.image(&mut cluster.rng));
    good(&cluster.ask(0, short_folder("second"), MINUTE));
    cluster.run_until(MINUTE, |_| false);
    cluster.crash(0);
    cluster.nodes[0].disk = old;
    cluster.cut(&[0]);
    cluster.start(0);
    for call in [
        short_folder("third"),
        Call::FolderRemove { name: "family".into() },
        Call::Remove { node: "node2".into(), how: Removal::Drained },
        Call::Invite { role: Role::Store, wait: true },
    ] {
        let answer = cluster.ask(0, call, MINUTE);
        assert_eq!(refused(&answer), "unconfirmed");
        assert!(answer.lines.is_empty());
    }
    let bad = cluster.call(0, short_folder("no name"));
    assert_eq!(
        refused(&cluster.finish(0, bad, Span::from_millis(1))),
        "bad_name",
        "mistakes are told at once"
    );
    cluster.crash(0);
    cluster.cut(&[]);
    cluster.start(0);
    // The order comes before the first session, and is carried out behind it.
    good(&cluster.ask(0, short_folder("third"), MINUTE));
    cluster.run_until(MINUTE, |_| false);
    assert_no_fork(&mut cluster);
    let folders = format!("{:?}", cluster.ask(0, Call::FolderList, MINUTE).lines);
    for name in ["family", "second", "third"] {
        assert!(folders.contains(name), "{name} is not in {folders}");
    }
}

/// In the turmoil seed 20001141 found this: the first who answered had been off when the image's node wrote last, and the one that had heard
/// of it answered a moment later, when another entry had that place.
#[test]
fn an_old_image_that_meets_one_who_knows_no_more_waits_for_the_others_and_forks_nothing() {
    let mut cluster = household(11);
    let old = std::sync::Arc::new(cluster.nodes[0].disk.image(&mut cluster.rng));
    cluster.crash(1);
    good(&cluster.ask(0, short_folder("second"), MINUTE));
    cluster.run_until(MINUTE, |_| false);
    cluster.crash(0);
    cluster.nodes[0].disk = old;
    cluster.cut(&[2]);
    cluster.start(1);
    cluster.start(0);
    let third = cluster.call(0, short_folder("third"));
    cluster.run_until(Span::from_secs(1), |_| false);
    cluster.cut(&[]);
    good(&cluster.finish(0, third, MINUTE));
    cluster.run_until(MINUTE, |_| false);
    assert_no_fork(&mut cluster);
    let folders = format!("{:?}", cluster.ask(0, Call::FolderList, MINUTE).lines);
    for name in ["family", "second", "third"] {
        assert!(folders.contains(name), "{name} is not in {folders}");
    }
}

#[test]
fn a_node_whose_others_are_lost_for_good_goes_on_when_it_is_told_so() {
    let mut cluster = household(7);
    for number in 0..3 {
        cluster.crash(number);
    }
    cluster.start(0);
    let answer = cluster.ask(0, Call::Remove { node: "node1".into(), how: Removal::Drained }, MINUTE);
    assert_eq!(refused(&answer), "unconfirmed");
    for node in ["node1", "node2"] {
        good(&cluster.ask(0, Call::Remove { node: node.into(), how: Removal::Alone }, MINUTE));
    }
    let number = cluster.add_node();
    join(&mut cluster, number, Role::Store);
    cluster.nodes[0].files.write(ROOT, b"new", &[7; 90_000]);
    let answer = back_up(&mut cluster);
    let last = answer.lines.iter().rev().find(|line| line["event"] == "protected").expect("it is told");
    assert_eq!(last["have"], 2, "on this node and the new one");
    // They were not lost after all: nobody is confused, and they stay outside.
    cluster.start(1);
    cluster.start(2);
    cluster.run_until(MINUTE.times(2), |_| false);
    assert_no_fork(&mut cluster);
    assert_eq!(nodes(&mut cluster, 0), ["node0", "node3"]);
}

#[test]
fn with_somebody_there_nobody_is_removed_as_if_all_were_lost() {
    let mut cluster = household(8);
    let log_before = cluster.ask(0, Call::Log { follow: false, after: None }, MINUTE).lines.len();
    good(&cluster.ask(0, Call::Remove { node: "node1".into(), how: Removal::Alone }, MINUTE));
    let log = cluster.ask(0, Call::Log { follow: false, after: None }, MINUTE).lines;
    assert!(!format!("{:?}", &log[log_before..]).contains("a new feed is begun"), "there was no need of one");
}

#[test]
fn a_slow_line_carries_a_backup_and_a_restore_without_sending_anything_twice() {
    let mut cluster = Cluster::new(9, 2, weather(0));
    let phrase = found(&mut cluster);
    join(&mut cluster, 1, Role::Full);
    let mut content = vec![0; 3 << 20];
    cluster.rng.fill_bytes(&mut content);
    cluster.nodes[0].files.write(ROOT, b"large", &content);
    add_folder(&mut cluster);
    // 128 kbit/s: a chunk takes 16 seconds on the average, and eight of them are on their way.
    cluster.net.line_bytes_per_second = Some(16_000);
    let answer = cluster.ask(0, Call::Backup { name: None, wait: true }, MINUTE.times(10));
    assert_eq!(
        answer.end,
        Some(Ok(Ending::Partial)),
        "two of three, for there is no third: {:?}",
        answer.lines
    );
    let last = answer.lines.iter().rev().find(|line| line["event"] == "protected").expect("it is told");
    assert_eq!((text(last, "folder").as_str(), &last["have"]), ("family", &2.into()));
    let bytes = cluster.net.sent_bytes();
    assert!(bytes < (3 << 20) * 3 / 2, "{bytes} bytes for 3 MiB");
    cluster.crash(0);
    let number = cluster.add_node();
    let peer = Some(cluster.nodes[1].address);
    let recover = Call::Recover { phrase, peer, replace: None, name: None, site: None };
    good(&cluster.ask(number, recover, MINUTE.times(5)));
    good(&cluster.ask(number, Call::Restore { what: "family".into(), dry_run: false }, MINUTE.times(20)));
}

#[test]
fn a_node_that_is_seen_at_two_addresses_keeps_its_one_session() {
    let mut cluster = household(10);
    cluster.nodes[1].second_address = Some("10.0.1.2:7117".parse().expect("an address"));
    for _ in 0..3 {
        for number in [0, 2] {
            cluster.sight(number, 1);
        }
        cluster.run_until(MINUTE.times(3), |_| false);
    }
    // Seen for the first time after a restart, both addresses are new.
    cluster.crash(0);
    cluster.start(0);
    cluster.sight(0, 1);
    cluster.run_until(MINUTE, |_| false);
    let log = cluster.ask(0, Call::Log { follow: false, after: None }, MINUTE).lines;
    let log = serde_json::to_string(&log).expect("JSON can be written");
    assert!(log.contains("connected to node1") && !log.contains("lost"), "{log}");
    let log = cluster.ask(1, Call::Log { follow: false, after: None }, MINUTE).lines;
    let log = serde_json::to_string(&log).expect("JSON can be written");
    assert_eq!(log.matches("lost node0").count(), 1, "when it was off: {log}");
    assert_eq!(log.matches("lost node2").count(), 0, "{log}");
}

/// The lab of real processes found it: the new writer's manifest had all that the lost one's had listed, also what no tree needed
/// any more, and of that there was its share on its disk; `verify` called the rest missing.
#[test]
fn whoever_goes_on_with_a_lost_nodes_folder_has_all_that_its_snapshots_list() {
    let mut cluster = Cluster::new(8, 5, weather(0));
    let phrase = found(&mut cluster);
    for number in 1..5 {
        join(&mut cluster, number, if number == 1 { Role::Full } else { Role::Store });
    }
    let write = |cluster: &mut Cluster, number: usize, path: &[u8], length: usize| {
        let mut content = vec![0; length];
        cluster.rng.fill_bytes(&mut content);
        cluster.nodes[number].files.write(ROOT, path, &content);
    };
    (b'A'..=b'Z').for_each(|letter| write(&mut cluster, 0, &[b'f', letter], 40_000));
    add_folder(&mut cluster);
    back_up(&mut cluster);
    // What one snapshot needed and the next one does not.
    cluster.nodes[0].files.remove(ROOT, b"fK");
    cluster.nodes[0].files.remove(ROOT, b"fQ");
    write(&mut cluster, 0, b"new", 30_000);
    good(&back_up(&mut cluster));
    cluster.crash(0);
    let number = cluster.add_node();
    // The disk with the owner's files was not lost.
    cluster.nodes[number].files = std::mem::take(&mut cluster.nodes[0].files);
    assert_eq!(adopted(&replace(&mut cluster, number, &phrase)), 1);
    write(&mut cluster, number, b"newer", 30_000);
    good(&cluster.ask(number, Call::Backup { name: None, wait: false }, MINUTE.times(5)));
    good(&cluster.ask(number, Call::Verify { all: true }, MINUTE.times(5)));
}
