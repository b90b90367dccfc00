//! Guards among whole nodes: what encrypts or empties a folder retires nothing and is not passed on before somebody has answered;
//! what people do every day is not asked about.

use rand_core::RngCore;
use serde_json::Value;

use super::check::{found, join, text, unpack, weather, Expected, MINUTE, ROOT};
use super::cluster::{Answer, Cluster};
use crate::base::units::Span;
use crate::feed::entry::Role;
use crate::node::api::{Call, FolderAdd};
use crate::node::ports::Ending;

/// Two full nodes; the first has a folder of 60 documents and 40 pictures, of which two snapshots are kept.
fn household(seed: u64, kind: &str) -> (Cluster, Expected) {
    let mut cluster = Cluster::new(seed, 1, weather(0));
    cluster.retired = Span::from_secs(7_200);
    cluster.crash(0);
    cluster.start(0);
    cluster.add_node();
    found(&mut cluster);
    join(&mut cluster, 1, Role::Full);
    let mut expected = Expected::new();
    for number in 0..100 {
        let path = format!("d{}/f{number}", number % 10).into_bytes();
        let content = if number < 60 { document(number) } else { picture(&mut cluster) };
        cluster.nodes[0].files.write(ROOT, &path, &content);
        expected.insert(path, content);
    }
    let folder = FolderAdd {
        name: "family".into(),
        directory: ROOT.to_vec(),
        kind: kind.into(),
        copies: Some(2),
        keep: Some("last=2".into()),
        ignore: Vec::new(),
        one_file_system: false,
        max_size: None,
        mode: crate::feed::entry::Mode::Both,
    };
    good(&cluster.ask(0, Call::FolderAdd(folder), MINUTE));
    back_up(&mut cluster);
    (cluster, expected)
}

/// Text that compresses, in pieces or within its entry.
fn document(number: u64) -> Vec<u8> {
    format!("the {number}th letter to the landlord, about the window. ")
        .repeat(20 + 10 * usize::try_from(number % 30).unwrap_or(0))
        .into_bytes()
}

/// What does not compress and begins as a picture does.
fn picture(cluster: &mut Cluster) -> Vec<u8> {
    [b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01".as_slice(), &noise(cluster, 9_000)].concat()
}

/// Random bytes.
fn noise(cluster: &mut Cluster, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    cluster.rng.fill_bytes(&mut bytes);
    bytes
}

/// It was done.
fn good(answer: &Answer) {
    assert_eq!(answer.end, Some(Ok(Ending::Complete)), "{:?}", answer.lines);
}

/// Backs up until it is protected; the snapshot.
fn back_up(cluster: &mut Cluster) -> String {
    let answer = cluster.ask(0, Call::Backup { name: Some("family".into()), wait: true }, MINUTE.times(20));
    good(&answer);
    let line = answer.lines.iter().rfind(|line| line["event"] == "snapshot" || line["event"] == "protected");
    text(line.expect("a snapshot is told"), "snapshot")
}

/// What the first node says of itself.
fn status(cluster: &mut Cluster) -> Value {
    cluster.ask(0, Call::Status, MINUTE).lines.remove(0)
}

/// What is asked about the folder, and that `status` says so as it must.
fn asked(cluster: &mut Cluster) -> Option<String> {
    let told = status(cluster);
    let what = told["folders"][0]["guard"]["what"].as_str().map(str::to_owned);
    let is_said = told["attention"].to_string().contains("nuthatch confirm family");
    assert_eq!(is_said, what.is_some(), "{}", told["attention"]);
    assert_eq!(text(&told, "summary").contains("an answer is awaited"), what.is_some(), "{told}");
    what
}

/// Snapshots that stand.
fn standing(cluster: &mut Cluster) -> Vec<String> {
    let lines = cluster.ask(0, Call::Snapshots { name: Some("family".into()) }, MINUTE).lines;
    lines.iter().map(|line| text(line, "snapshot")).collect()
}

/// What a snapshot holds, as the second node gives it back.
fn restored(cluster: &mut Cluster, what: &str) -> Expected {
    let answer = cluster.ask(1, Call::Restore { what: what.into(), dry_run: false }, MINUTE.times(10));
    good(&answer);
    unpack(&answer.bytes)
}

/// Days in which a document is written now and then.
fn days(cluster: &mut Cluster, count: u64) {
    for day in 0..count {
        cluster.run_until(MINUTE.times(60 * 24), |_| false);
        if day % 5 == 0 {
            cluster.nodes[0].files.write(ROOT, b"diary", format!("day {day}").repeat(50).as_bytes());
            back_up(cluster);
        }
    }
}

#[test]
fn files_that_are_left_out_for_their_size_are_no_loss_to_be_asked_about() {
    let (mut cluster, _) = household(9, "backup");
    let changes = vec!["max-size=3kB".into()];
    good(&cluster.ask(0, Call::FolderSet { name: "family".into(), changes }, MINUTE));
    back_up(&mut cluster);
    assert_eq!(asked(&mut cluster), None);
    let folder = status(&mut cluster)["folders"][0].take();
    assert!(folder["too_large"].as_u64() > Some(80) && folder["files"].as_u64() < Some(20), "{folder}");
}

#[test]
fn large_files_that_are_deleted_from_a_shared_folder_are_asked_about_whatever_it_leaves_out() {
    let (mut cluster, expected) = household(10, "shared");
    let changes = vec!["max-size=1kB".into()];
    good(&cluster.ask(0, Call::FolderSet { name: "family".into(), changes }, MINUTE));
    back_up(&mut cluster);
    assert_eq!(asked(&mut cluster), None);
    expected.keys().take(90).for_each(|path| cluster.nodes[0].files.remove(ROOT, path));
    cluster.ask(0, Call::Backup { name: Some("family".into()), wait: false }, MINUTE);
    assert!(asked(&mut cluster).is_some());
}

#[test]
fn what_ransomware_leaves_behind_retires_nothing_until_somebody_answers() {
    let (mut cluster, expected) = household(1, "backup");
    let before = back_up(&mut cluster);
    // A minute for each tenth of the files, under other names; the node scans all the while.
    for tenth in 0..10 {
        for (path, content) in &expected {
            if path.starts_with(format!("d{tenth}/").as_bytes()) {
                let cipher = noise(&mut cluster, content.len());
                cluster.nodes[0].files.remove(ROOT, path);
                cluster.nodes[0].files.write(ROOT, &[path.as_slice(), b".locked"].concat(), &cipher);
            }
        }
        back_up(&mut cluster);
        cluster.run_until(MINUTE, |_| false);
    }
    assert_eq!(asked(&mut cluster).as_deref(), Some("noise"));
    let stood = standing(&mut cluster);
    cluster.crash(0);
    cluster.start(0);
    days(&mut cluster, 65);
    assert_eq!(asked(&mut cluster).as_deref(), Some("noise"), "a restart forgets nothing");
    let stands = standing(&mut cluster);
    assert!(stood.iter().all(|snapshot| stands.contains(snapshot)), "nothing was retired");
    assert_eq!(restored(&mut cluster, &format!("family@{before}")), expected);
    good(&cluster.ask(0, Call::Confirm { what: "family".into() }, MINUTE));
    assert_eq!(asked(&mut cluster), None);
    let stands = standing(&mut cluster);
    assert!(stands.len() < stood.len() && !stands.contains(&before), "the policy goes on: {stands:?}");
}

#[test]
fn what_is_encrypted_in_place_or_deleted_is_asked_about_and_what_comes_back_ends_that_by_itself() {
    let (mut cluster, expected) = household(2, "backup");
    for (path, content) in expected.iter().take(70) {
        let cipher = noise(&mut cluster, content.len());
        cluster.nodes[0].files.write(ROOT, path, &cipher);
    }
    back_up(&mut cluster);
    assert_eq!(asked(&mut cluster).as_deref(), Some("noise"));
    for (path, content) in &expected {
        cluster.nodes[0].files.write(ROOT, path, content);
    }
    back_up(&mut cluster);
    assert_eq!(asked(&mut cluster), None, "what was lost is back");

    for path in expected.keys().take(60) {
        cluster.nodes[0].files.remove(ROOT, path);
    }
    let without = back_up(&mut cluster);
    assert_eq!(asked(&mut cluster).as_deref(), Some("vanished"));
    assert_eq!(
        restored(&mut cluster, &format!("family@{without}")).len(),
        40,
        "what is there now is a version too"
    );
    for (path, content) in expected.iter().take(20) {
        cluster.nodes[0].files.write(ROOT, path, content);
    }
    back_up(&mut cluster);
    assert_eq!(asked(&mut cluster).as_deref(), Some("vanished"), "a third of it is not all");
    for (path, content) in &expected {
        cluster.nodes[0].files.write(ROOT, path, content);
    }
    back_up(&mut cluster);
    assert_eq!(asked(&mut cluster), None);
    let log = cluster.ask(0, Call::Log { follow: false, after: None }, MINUTE).lines;
    let guard: Vec<&Value> = log.iter().filter(|line| line["event"] == "guard").collect();
    assert_eq!(guard.len(), 4, "two questions, two ends: {guard:?}");
}

#[test]
fn what_people_do_every_day_is_not_asked_about() {
    let (mut cluster, expected) = household(3, "backup");
    let paths: Vec<&Vec<u8>> = expected.keys().collect();
    // Photographs are imported.
    for number in 0..300 {
        let picture = picture(&mut cluster);
        cluster.nodes[0].files.write(ROOT, format!("holiday/{number}.jpg").as_bytes(), &picture);
    }
    back_up(&mut cluster);
    assert_eq!(asked(&mut cluster), None);
    // One of ten directories is deleted.
    for path in paths.iter().filter(|path| path.starts_with(b"d3/")) {
        cluster.nodes[0].files.remove(ROOT, path);
    }
    back_up(&mut cluster);
    assert_eq!(asked(&mut cluster), None);
    // Some documents are packed, a few encrypted.
    for (number, path) in paths.iter().filter(|path| path.starts_with(b"d1/")).enumerate() {
        let content = if number < 3 { noise(&mut cluster, 5_000) } else { picture(&mut cluster) };
        cluster.nodes[0].files.remove(ROOT, path);
        cluster.nodes[0].files.write(ROOT, &[path.as_slice(), b".gpg"].concat(), &content);
    }
    back_up(&mut cluster);
    assert_eq!(asked(&mut cluster), None);
    // All of it moves into another directory.
    for (path, content) in cluster.nodes[0].files.all(ROOT) {
        let Some(content) = content else { continue };
        cluster.nodes[0].files.remove(ROOT, &path);
        cluster.nodes[0].files.write(ROOT, &[b"old/".as_slice(), &path].concat(), &content);
    }
    back_up(&mut cluster);
    assert_eq!(asked(&mut cluster), None);
    // And every document is written again.
    for (path, content) in cluster.nodes[0].files.all(ROOT) {
        let Some(content) = content else { continue };
        if content.starts_with(b"the ") {
            cluster.nodes[0].files.write(ROOT, &path, &[b"edited: ", content.as_slice()].concat());
        }
    }
    back_up(&mut cluster);
    assert_eq!(asked(&mut cluster), None);
}

#[test]
fn an_emptied_folder_is_taken_over_when_that_is_confirmed() {
    let (mut cluster, expected) = household(4, "backup");
    for path in cluster.nodes[0].files.all(ROOT).into_keys().rev() {
        cluster.nodes[0].files.remove(ROOT, &path);
    }
    let backup = Call::Backup { name: Some("family".into()), wait: false };
    let end = cluster.ask(0, backup.clone(), MINUTE).end;
    assert!(matches!(end, Some(Err(error)) if error.code == "folder_emptied"));
    assert_eq!(asked(&mut cluster).as_deref(), Some("emptied"));
    good(&cluster.ask(0, Call::Confirm { what: "family".into() }, MINUTE));
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(asked(&mut cluster), None);
    let stands = standing(&mut cluster);
    assert!(restored(&mut cluster, "family").is_empty(), "{stands:?}");
    assert_eq!(restored(&mut cluster, &format!("family@{}", stands[0])), expected);
}

#[test]
fn a_mass_of_deletions_in_a_shared_folder_is_not_passed_on_before_it_is_confirmed() {
    let (mut cluster, expected) = household(5, "shared");
    let attach = FolderAdd {
        name: "family".into(),
        directory: ROOT.to_vec(),
        kind: "attach".into(),
        copies: None,
        keep: None,
        ignore: Vec::new(),
        one_file_system: false,
        max_size: None,
        mode: crate::feed::entry::Mode::Both,
    };
    cluster.nodes[1].files.make_root(ROOT);
    good(&cluster.ask(1, Call::FolderAdd(attach), MINUTE));
    let files = |cluster: &Cluster, number: usize| {
        cluster.nodes[number].files.all(ROOT).into_values().flatten().count()
    };
    let arrived = cluster.run_until(MINUTE.times(30), |cluster| files(cluster, 1) == expected.len());
    assert!(arrived, "{} files arrived", files(&cluster, 1));
    for path in expected.keys().take(80) {
        cluster.nodes[0].files.remove(ROOT, path);
    }
    let backup = Call::Backup { name: Some("family".into()), wait: false };
    for _ in 0..2 {
        let end = cluster.ask(0, backup.clone(), MINUTE).end;
        assert!(matches!(&end, Some(Err(error)) if error.code == "folder_guarded"), "{end:?}");
    }
    assert_eq!(asked(&mut cluster).as_deref(), Some("vanished"));
    cluster.run_until(MINUTE.times(60 * 24), |_| false);
    assert_eq!(files(&cluster, 1), expected.len(), "the other device has lost nothing");
    // Half of it is found again: what is missing now is no mass any more, and is passed on.
    for (path, content) in expected.iter().take(40) {
        cluster.nodes[0].files.write(ROOT, path, content);
    }
    cluster.run_until(MINUTE.times(5), |_| false);
    assert_eq!(asked(&mut cluster), None);
    assert!(cluster.run_until(MINUTE.times(30), |cluster| files(cluster, 1) == 60), "{}", files(&cluster, 1));
    for path in expected.keys().take(90) {
        cluster.nodes[0].files.remove(ROOT, path);
    }
    let end = cluster.ask(0, backup, MINUTE).end;
    assert!(matches!(&end, Some(Err(error)) if error.code == "folder_guarded"), "{end:?}");
    cluster.run_until(MINUTE.times(10), |_| false);
    assert_eq!(files(&cluster, 1), 60);
    good(&cluster.ask(0, Call::Confirm { what: "family".into() }, MINUTE));
    assert!(cluster.run_until(MINUTE.times(30), |cluster| files(cluster, 1) == 10), "{}", files(&cluster, 1));
    assert_eq!(asked(&mut cluster), None);
}

#[test]
fn an_answer_counts_for_what_was_asked_and_for_a_day() {
    let (mut cluster, expected) = household(6, "shared");
    let backup = Call::Backup { name: Some("family".into()), wait: false };
    let confirm = Call::Confirm { what: "family".into() };
    let is_refused = |cluster: &mut Cluster, code: &str| {
        let end = cluster.ask(0, backup.clone(), MINUTE).end;
        assert!(matches!(&end, Some(Err(error)) if error.code == code), "{code}: {end:?}");
    };
    for path in expected.keys().take(60) {
        cluster.nodes[0].files.remove(ROOT, path);
    }
    is_refused(&mut cluster, "folder_guarded");
    // More goes before somebody answers: that was not asked about.
    for path in expected.keys().skip(60).take(30) {
        cluster.nodes[0].files.remove(ROOT, path);
    }
    good(&cluster.ask(0, confirm.clone(), MINUTE));
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(asked(&mut cluster).as_deref(), Some("vanished"));
    assert_eq!(restored(&mut cluster, "family"), expected, "nothing of it was passed on");
    // Somebody answers while the disk is away; when it is back, nobody may remember that.
    let disk = cluster.nodes[0].files.clone();
    cluster.nodes[0].files.remove_root(ROOT);
    good(&cluster.ask(0, confirm.clone(), MINUTE));
    cluster.run_until(MINUTE.times(60 * 25), |_| false);
    cluster.nodes[0].files = disk;
    is_refused(&mut cluster, "folder_guarded");
    assert_eq!(asked(&mut cluster).as_deref(), Some("vanished"));
    good(&cluster.ask(0, confirm, MINUTE));
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(asked(&mut cluster), None);
    assert_eq!(restored(&mut cluster, "family").len(), 10);
}

#[test]
fn what_is_lost_after_the_question_is_judged_with_what_was_lost_before_it() {
    let (mut cluster, expected) = household(12, "shared");
    let backup = Call::Backup { name: Some("family".into()), wait: false };
    let lose = |cluster: &mut Cluster, from: usize, count: usize| {
        for path in expected.keys().skip(from).take(count) {
            cluster.nodes[0].files.remove(ROOT, path);
        }
    };
    lose(&mut cluster, 0, 45);
    good(&cluster.ask(0, backup.clone(), MINUTE));
    assert_eq!(asked(&mut cluster), None, "less than half of it");
    lose(&mut cluster, 45, 10);
    assert!(matches!(cluster.ask(0, backup, MINUTE).end, Some(Err(_))));
    assert_eq!(asked(&mut cluster).as_deref(), Some("vanished"), "more than half in one day");
    // More than a tenth more goes before somebody answers, which is little of what is left.
    lose(&mut cluster, 55, 10);
    good(&cluster.ask(0, Call::Confirm { what: "family".into() }, MINUTE));
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(asked(&mut cluster).as_deref(), Some("vanished"), "that is another question");
    good(&cluster.ask(0, Call::Confirm { what: "family".into() }, MINUTE));
    cluster.run_until(MINUTE, |_| false);
    assert_eq!(asked(&mut cluster), None);
}

#[test]
fn an_answer_on_a_disk_that_is_older_than_others_know_waits_until_they_have_said_so() {
    let (mut cluster, expected) = household(13, "backup");
    for path in expected.keys().take(80) {
        cluster.nodes[0].files.remove(ROOT, path);
    }
    for number in 0..4 {
        cluster.nodes[0].files.write(ROOT, b"diary", format!("day {number}").as_bytes());
        back_up(&mut cluster);
    }
    assert!(asked(&mut cluster).is_some());
    let image = std::sync::Arc::new(cluster.nodes[0].disk.image(&mut cluster.rng));
    for number in 4..7 {
        cluster.nodes[0].files.write(ROOT, b"diary", format!("day {number}").as_bytes());
        back_up(&mut cluster);
    }
    cluster.crash(0);
    cluster.crash(1);
    cluster.nodes[0].disk = image;
    cluster.start(0);
    let confirm = Call::Confirm { what: "family".into() };
    let end = cluster.ask(0, confirm.clone(), MINUTE.times(10)).end;
    assert!(matches!(&end, Some(Err(error)) if error.code == "unconfirmed"), "{end:?}");
    cluster.start(1);
    cluster.run_until(MINUTE.times(5), |_| false);
    good(&cluster.ask(0, confirm, MINUTE));
    assert!(!status(&mut cluster)["attention"].to_string().contains("histories"));
    cluster.nodes[0].files.write(ROOT, b"diary", b"the end");
    back_up(&mut cluster);
    let told = cluster.ask(1, Call::Status, MINUTE).lines.remove(0)["attention"].to_string();
    assert!(!told.contains("histories"), "{told}");
    assert_eq!(restored(&mut cluster, "family")[&b"diary"[..]], b"the end");
}
