//! What must be true, whatever the weather: the stories that the simulator plays, and the oracle that judges them.
//!
//! The oracle of the first slice: *what was acknowledged as protected can be restored with any `copies` - 1 nodes
//! gone*. A story prints its seed first; the same seed plays the same story.

use std::collections::BTreeMap;

use rand_core::RngCore;
use serde_json::Value;

use super::cluster::{Answer, Cluster};
use super::net::Weather;
use crate::base::units::Span;
use crate::feed::entry::Role;
use crate::node::api::{Call, FolderAdd};
use crate::node::frames::Frame;
use crate::node::ports::Ending;

/// Where the simulated owner's files are.
pub const ROOT: &[u8] = b"/home/family";

/// What a restore must bring back: path -> content.
pub type Expected = BTreeMap<Vec<u8>, Vec<u8>>;

/// How much of everything a story has.
#[derive(Debug, Clone, Copy)]
pub struct Story {
    /// Draws everything.
    pub seed: u64,
    /// Nodes, at least 3.
    pub nodes: usize,
    /// Files of the folder.
    pub files: u64,
    /// Crashes and cuts while the backup runs.
    pub troubles: u64,
}

/// Plays a story to its end. Its seed is printed first: `NUTHATCH_SIM_SEED=N cargo test protected_means` plays it again.
///
/// # Panics
/// When something that must be true is not.
pub fn play(story: Story) {
    println!("seed {}", story.seed);
    let mut cluster = Cluster::new(story.seed, story.nodes, weather(story.seed));
    let phrase = found(&mut cluster);
    for number in 1..story.nodes {
        let role = if number == 1 { Role::Full } else { Role::Store };
        join(&mut cluster, number, role);
    }
    let expected = fill(&mut cluster, story.files);
    add_folder(&mut cluster);
    trouble(&mut cluster, story.troubles);
    let answer = back_up(&mut cluster);
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
    assert_protected(&answer.lines);
    let gone = lose_two(&mut cluster);
    restore_somewhere(&mut cluster, &gone, &phrase, &expected);
}

/// Weather that goes with a seed: from a cable to a bad Wi-Fi.
pub(super) fn weather(seed: u64) -> Weather {
    Weather {
        loss_per_mille: (seed % 5) * 20,
        double_per_mille: (seed % 3) * 10,
        delay: Span::from_millis(1 + seed % 10),
        jitter: Span::from_millis(seed % 7),
    }
}

/// The first node makes a vault; the words.
pub(super) fn found(cluster: &mut Cluster) -> String {
    let answer = cluster.ask(0, Call::Init { name: None, site: None }, MINUTE);
    let words = answer.lines.first().and_then(|line| line["recovery_phrase"].as_str());
    words.expect("init tells the words").to_owned()
}

/// A node joins by a code of the first.
pub(super) fn join(cluster: &mut Cluster, number: usize, role: Role) {
    let invitation = cluster.call(0, Call::Invite { role, wait: true });
    assert!(cluster.run_until(MINUTE, |cluster| !cluster.answer(0, invitation).lines.is_empty()));
    let code = text(&cluster.answer(0, invitation).lines[0], "code");
    let peer = Some(cluster.nodes[0].address);
    let answer = cluster.ask(number, Call::Join { code, peer, name: None, site: None }, MINUTE.times(2));
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "node {number} joins: {:?}", answer.lines);
}

/// Fills the owner's files: small and large, some equal.
pub(super) fn fill(cluster: &mut Cluster, count: u64) -> Expected {
    let mut expected = Expected::new();
    for number in 0..count {
        let size = match cluster.rng.next_u64() % 8 {
            0 => 0,
            1..=4 => cluster.rng.next_u64() % 3_000,
            5 | 6 => cluster.rng.next_u64() % 60_000,
            _ => cluster.rng.next_u64() % 400_000,
        };
        let mut content = vec![0; usize::try_from(size).expect("files are small here")];
        cluster.rng.fill_bytes(&mut content);
        let path = format!("d{}/f{number}", number % 5).into_bytes();
        cluster.nodes[0].files.write(ROOT, &path, &content);
        expected.insert(path, content);
    }
    expected
}

/// The folder of a family, in three copies.
pub(super) fn family_folder() -> Call {
    Call::FolderAdd(FolderAdd {
        name: "family".into(),
        directory: ROOT.to_vec(),
        kind: "backup".into(),
        copies: Some(3),
        keep: None,
        ignore: Vec::new(),
        one_file_system: false,
        max_size: None,
        mode: crate::feed::entry::Mode::Both,
    })
}

/// That folder is taken over from a device that was removed, where its files are.
#[cfg(test)]
pub(super) fn attaching() -> Call {
    let Call::FolderAdd(add) = family_folder() else { panic!("a folder is added") };
    Call::FolderAdd(FolderAdd { kind: "attach".into(), copies: None, ..add })
}

/// The first node backs its files up from now on.
pub(super) fn add_folder(cluster: &mut Cluster) {
    let answer = cluster.ask(0, family_folder(), MINUTE);
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
}

/// Crashes and cuts while a backup runs; each is over after a while.
fn trouble(cluster: &mut Cluster, count: u64) {
    for _ in 0..count {
        cluster.call(0, Call::Backup { name: None, wait: true });
        let pause = Span::from_micros(cluster.rng.next_u64() % 400_000);
        cluster.run_until(pause, |_| false);
        let nodes = cluster.nodes.len();
        let victim = draw(cluster, nodes);
        let outage = Span::from_micros(cluster.rng.next_u64() % 3_000_000);
        if cluster.rng.next_u64() % 3 == 0 {
            cluster.cut(&[victim]);
            cluster.run_until(outage, |_| false);
            cluster.cut(&[]);
        } else {
            cluster.crash(victim);
            cluster.run_until(outage, |_| false);
            cluster.start(victim);
        }
        if cluster.rng.next_u64() % 4 == 0 {
            let ten_years = 315_360_000_000_000;
            let forward = cluster.rng.next_u64() % 2 == 0;
            cluster.shift_clocks(if forward { ten_years } else { -ten_years });
        }
    }
}

/// Backs up until it is protected, however often the answer is "partly".
pub(super) fn back_up(cluster: &mut Cluster) -> Answer {
    let mut answer =
        cluster.ask(0, Call::Backup { name: Some("family".into()), wait: true }, MINUTE.times(10));
    for _ in 0..5 {
        if answer.end == Some(Ok(Ending::Complete)) {
            break;
        }
        cluster.run_until(MINUTE, |_| false);
        answer = cluster.ask(0, Call::Backup { name: Some("family".into()), wait: true }, MINUTE.times(10));
    }
    answer
}

/// The last line must say that all copies are there.
pub(super) fn assert_protected(lines: &[Value]) {
    let last = lines.iter().rev().find(|line| line["event"] == "protected").expect("protection is told");
    assert_eq!((&last["have"], &last["wanted"]), (&Value::from(3), &Value::from(3)));
}

/// One of this many, the same one on machines of 32 and of 64 bits.
fn draw(cluster: &mut Cluster, count: usize) -> usize {
    let count = u64::try_from(count).expect("counts are small");
    usize::try_from(cluster.rng.next_u64() % count).expect("it is below a count")
}

/// Two nodes burn down, disks and all.
fn lose_two(cluster: &mut Cluster) -> Vec<usize> {
    let nodes = cluster.nodes.len();
    let first = draw(cluster, nodes);
    let second = (first + 1 + draw(cluster, nodes - 1)) % nodes;
    for number in [first, second] {
        cluster.crash(number);
    }
    vec![first, second]
}

/// Restores on the owner's node, or on a new one that comes back from the words.
fn restore_somewhere(cluster: &mut Cluster, gone: &[usize], phrase: &str, expected: &Expected) {
    let reader = if gone.contains(&0) || cluster.rng.next_u64() % 2 == 0 {
        let survivor =
            (0..cluster.nodes.len()).rfind(|number| !gone.contains(number)).expect("three are left");
        let peer = Some(cluster.nodes[survivor].address);
        let number = cluster.add_node();
        let call = Call::Recover { phrase: phrase.to_owned(), peer, replace: None, name: None, site: None };
        let answer = cluster.ask(number, call, MINUTE.times(3));
        assert_eq!(answer.end, Some(Ok(Ending::Complete)), "recover: {:?}", answer.lines);
        number
    } else {
        0
    };
    let mut restored = Err(String::from("not tried"));
    for _ in 0..6 {
        let call = Call::Restore { what: "family".into(), dry_run: false };
        let answer = cluster.ask(reader, call, MINUTE.times(10));
        restored = match answer.end {
            Some(Ok(Ending::Complete)) => Ok(answer.bytes),
            end => Err(format!("{end:?}")),
        };
        if restored.is_ok() {
            break;
        }
        cluster.run_until(MINUTE, |_| false);
    }
    let bytes =
        restored.unwrap_or_else(|error| panic!("the folder cannot be restored with {gone:?} gone: {error}"));
    assert_eq!(unpack(&bytes), *expected, "what comes back is what was there");
}

/// Reads a restore stream: the files and what is in them.
pub(super) fn unpack(bytes: &[u8]) -> Expected {
    let (files, lost) = unpack_partly(bytes);
    assert!(lost.is_empty(), "{:?} is lost", lost.first().map(|path| String::from_utf8_lossy(path)));
    files
}

/// Reads a restore stream in which something may be missing: the files that are whole, and the paths of what is not.
pub(super) fn unpack_partly(mut bytes: &[u8]) -> (Expected, Vec<Vec<u8>>) {
    let (mut files, mut lost) = (Expected::new(), Vec::new());
    let mut current: Option<Vec<u8>> = None;
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).expect("frames are short");
        let frame = Frame::decode(&rest[..length]).expect("the stream is made of frames");
        bytes = &rest[length..];
        match frame {
            Frame::Entry { path, kind: crate::file::entry::Kind::File, .. } => {
                files.insert(path.clone(), Vec::new());
                current = Some(path);
            }
            Frame::Entry { .. } => current = None,
            Frame::Data(count) => {
                let count = usize::try_from(count).expect("pieces are short");
                let path = current.as_ref().expect("data follows a file");
                files.get_mut(path).expect("it was begun").extend_from_slice(&bytes[..count]);
                bytes = &bytes[count..];
            }
            Frame::Hole(count) => {
                let path = current.as_ref().expect("a hole follows a file");
                let file = files.get_mut(path).expect("it was begun");
                file.resize(file.len() + usize::try_from(count).expect("holes are short here"), 0);
            }
            Frame::Lost { path, .. } => {
                files.remove(&path);
                lost.push(path);
            }
            Frame::LeftOut => panic!("all content was asked for"),
            Frame::Begin { .. } | Frame::End { .. } => {}
        }
    }
    (files, lost)
}

/// A text field of a JSON line.
pub(super) fn text(line: &Value, key: &str) -> String {
    line[key].as_str().unwrap_or_else(|| panic!("{key} is a text in {line}")).to_owned()
}

/// Three nodes, the first with a folder that is protected.
#[cfg(test)]
pub(super) fn household(seed: u64) -> Cluster {
    let mut cluster = Cluster::new(seed, 3, weather(0));
    found(&mut cluster);
    for number in 1..3 {
        join(&mut cluster, number, Role::Store);
    }
    fill(&mut cluster, 3);
    add_folder(&mut cluster);
    assert_protected(&back_up(&mut cluster).lines);
    cluster
}

/// A minute of virtual time.
pub(super) const MINUTE: Span = Span::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::ports::{Input, Listening};
    use crate::sim::disk::Fault;

    #[test]
    fn protected_means_restorable_with_any_two_of_five_nodes_gone() {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let seeds = match number("NUTHATCH_SIM_SEED") {
            Some(seed) => seed..seed + 1,
            None => 0..number("NUTHATCH_SIM_SEEDS").unwrap_or(200),
        };
        for seed in seeds {
            play(Story { seed, nodes: 5, files: 24, troubles: seed % 4 });
        }
    }

    #[test]
    fn what_was_acknowledged_survives_a_crash_though_the_disk_refused_entries_before() {
        for calls in 0..16 {
            let mut cluster = household(calls);
            let mut acknowledged = Vec::new();
            cluster.nodes[0].files.write(ROOT, b"new", &[7; 90_000]);
            cluster.nodes[0].disk.fail_after(calls, Fault::Io);
            for _ in 0..2 {
                // A refused snapshot must not be what the next scan is compared with.
                let answer = cluster.ask(0, Call::Backup { name: None, wait: false }, MINUTE);
                if answer.end == Some(Ok(Ending::Complete)) {
                    acknowledged.push(text(answer.lines.last().expect("a snapshot is told"), "snapshot"));
                }
                cluster.nodes[0].disk.heal();
            }
            cluster.crash(0);
            cluster.start(0);
            let listed = cluster.ask(0, Call::Snapshots { name: None }, MINUTE);
            let listed = serde_json::to_string(&listed.lines).expect("JSON can be written");
            for snapshot in &acknowledged {
                assert!(listed.contains(snapshot), "after {calls} calls: {snapshot} is not in {listed}");
            }
            cluster.run_until(MINUTE, |_| false);
            assert_protected(&back_up(&mut cluster).lines);
        }
    }

    #[test]
    fn a_disk_restored_from_an_old_image_loses_nothing_and_writes_no_number_twice() {
        let mut cluster = household(5);
        let old = std::sync::Arc::new(cluster.nodes[0].disk.image(&mut cluster.rng));
        cluster.nodes[0].files.write(ROOT, b"new", &[7; 90_000]);
        assert_protected(&back_up(&mut cluster).lines);
        cluster.crash(0);
        cluster.nodes[0].disk = old;
        cluster.start(0);
        cluster.run_until(MINUTE, |_| false);
        cluster.nodes[0].files.write(ROOT, b"newer", &[8; 90_000]);
        assert_protected(&back_up(&mut cluster).lines);
        let snapshots = cluster.ask(0, Call::Snapshots { name: None }, MINUTE).lines;
        assert_eq!(
            snapshots.iter().filter(|line| line["protected"]["have"] == 3).count(),
            3,
            "{snapshots:?}"
        );
        for number in 0..3 {
            let log = cluster.ask(number, Call::Log { follow: false, after: None }, MINUTE).lines;
            let log = serde_json::to_string(&log).expect("JSON can be written");
            assert!(!log.contains("another history"), "{log}");
            assert_eq!(log.contains("a new feed is begun"), number == 0, "{log}");
        }
    }

    /// How often a node's log tells this.
    fn told(cluster: &mut Cluster, number: usize, what: &str) -> usize {
        let log = cluster.ask(number, Call::Log { follow: false, after: None }, MINUTE).lines;
        log.iter().filter(|line| line["message"].as_str().is_some_and(|text| text.contains(what))).count()
    }

    #[test]
    fn whoever_is_started_anew_has_all_its_sessions_again_within_a_second() {
        let mut cluster = household(9);
        for number in [1, 0, 2] {
            cluster.run_until(MINUTE, |_| false);
            let count = |cluster: &mut Cluster, other| told(cluster, other, "a newer session took its place");
            let others: Vec<usize> = (0..3).filter(|other| *other != number).collect();
            let before: Vec<usize> = others.iter().map(|other| count(&mut cluster, *other)).collect();
            cluster.crash(number);
            cluster.run_until(Span::from_secs(5), |_| false);
            cluster.start(number);
            cluster.run_until(Span::from_secs(1), |_| false);
            let after: Vec<usize> = others.iter().map(|other| count(&mut cluster, *other)).collect();
            assert!(
                after.iter().zip(&before).all(|(after, before)| *after == before + 1),
                "{before:?}, {after:?}"
            );
            let status = cluster.ask(number, Call::Status, MINUTE).lines;
            assert_eq!(status[0]["peers"].as_array().map(Vec::len), Some(2), "{status:?}");
        }
    }

    #[test]
    fn whoever_gets_another_address_tells_it_within_a_second_and_keeps_its_sessions() {
        let mut cluster = household(10);
        cluster.run_until(MINUTE, |_| false);
        let before = told(&mut cluster, 0, "connected to");
        let address = std::net::SocketAddr::from(([10, 0, 0, 99], 7117));
        cluster.nodes[1].address = address;
        cluster.give(1, Input::Listening(Listening { addresses: vec![address], ..Listening::default() }));
        cluster.run_until(Span::from_secs(1), |_| false);
        let status = cluster.ask(0, Call::Status, MINUTE).lines;
        let peers = status[0]["peers"].as_array().expect("peers are listed");
        assert!(peers.iter().any(|peer| peer["address"] == address.to_string()), "{peers:?}");
        assert_eq!(told(&mut cluster, 0, "connected to"), before, "no new session was needed");
        cluster.nodes[0].files.write(ROOT, b"new", &[7; 90_000]);
        assert_protected(&back_up(&mut cluster).lines);
    }

    #[test]
    fn a_backup_that_waits_ends_when_its_folder_is_removed() {
        let mut cluster = household(1);
        cluster.nodes[0].files.write(ROOT, b"new", &[7; 90_000]);
        let waiting = cluster.call(0, Call::Backup { name: None, wait: true });
        let removed = cluster.ask(0, Call::FolderRemove { name: "family".into() }, MINUTE);
        assert_eq!(removed.end, Some(Ok(Ending::Complete)));
        let answer = cluster.finish(0, waiting, MINUTE);
        assert!(matches!(answer.end, Some(Err(error)) if error.code == "no_folder"));
    }

    #[test]
    #[ignore = "runs as many seeds as NUTHATCH_SIM_SEEDS says; for a long night"]
    fn sim_long() {
        let seeds =
            std::env::var("NUTHATCH_SIM_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
        for seed in 0..seeds {
            let nodes = 3 + usize::try_from(seed % 6).unwrap_or(0);
            play(Story { seed: 1_000_000 + seed, nodes, files: 10 + seed % 60, troubles: seed % 8 });
        }
    }
}
