//! Kill -9 of any node at any moment of a backup; then it is started again, the backup completes, and nothing is damaged.

mod household;

use household::{lines, snapshot_of, wait_for, write_noise, Node};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// Files for a backup that takes a while.
fn fill(node: &Node) -> std::path::PathBuf {
    let root = node.dir.path().join("data");
    for number in 0..300 {
        write_noise(&root.join(format!("d{}/small{number}", number % 7)), 500 + number * 37, number as u64);
    }
    for number in 0..6 {
        write_noise(&root.join(format!("large{number}")), 4_000_000 + number, 1_000 + number as u64);
    }
    root
}

/// Starts `backup --wait` and returns once it has said `lines_wanted` lines of progress, or has ended.
fn backup_until(node: &Node, lines_wanted: usize) -> std::process::Child {
    let mut child = node
        .command(&["backup", "--wait", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let output = child.stdout.take().expect("standard output is piped");
    let reader = BufReader::new(output);
    let _seen = reader.lines().take(lines_wanted).count();
    child
}

/// Everything is there and can be restored.
fn assert_whole(nodes: &[&Node], root: &std::path::Path, target: &std::path::Path) {
    let answer = lines(&nodes[0].ok(&["backup", "--wait", "--json"]));
    let last = answer.last().expect("backup tells how it ended");
    assert_eq!(last["event"], "protected", "{answer:?}");
    assert_eq!(last["have"], 3, "{answer:?}");
    for node in nodes {
        let result = node.json(&["verify", "--all"]);
        let last = result.last().expect("verify tells a result");
        assert_eq!((&last["damaged"], &last["missing"]), (&0.into(), &0.into()), "{result:?}");
    }
    nodes[0].ok(&["restore", "docs", "--to", target.to_str().expect("a plain path")]);
    assert_eq!(snapshot_of(root), snapshot_of(target));
}

#[test]
fn a_backup_survives_the_death_of_any_node_at_any_moment() {
    let (mut first, mut second, mut third) = (Node::started(), Node::started(), Node::started());
    first.init();
    first.admit(&second, "store", "second");
    first.admit(&third, "store", "third");
    let root = fill(&first);
    first.ok(&["folder", "add", "docs", root.to_str().expect("a plain path")]);
    for round in 0..7_usize {
        write_noise(&root.join(format!("more{round}")), 3_000_000, 5_000 + round as u64);
        let mut child = backup_until(&first, round / 3);
        match round % 3 {
            0 => first.kill(),
            1 => second.kill(),
            _ => third.kill(),
        }
        if round % 3 == 0 {
            child.wait().expect("the command line notices");
            first.start();
        } else {
            child.kill().expect("the command line can be stopped");
            child.wait().expect("the command line is waited for");
            if round % 3 == 1 {
                second.start();
            } else {
                third.start();
            }
        }
    }
    let target = first.dir.path().join("back");
    assert_whole(&[&first, &second, &third], &root, &target);
}

#[test]
fn a_lost_node_comes_back_from_the_words_and_one_other() {
    let (first, mut second, mut third) = (Node::started(), Node::started(), Node::started());
    let words = first.init();
    first.admit(&second, "store", "second");
    first.admit(&third, "store", "third");
    let root = fill(&first);
    first.ok(&["folder", "add", "docs", root.to_str().expect("a plain path")]);
    first.ok(&["backup", "--wait"]);
    let expected = snapshot_of(&root);
    drop(first);
    third.kill();
    let fresh = Node::started();
    let phrase_file = fresh.dir.path().join("words");
    std::fs::write(&phrase_file, words).expect("the words can be written");
    let peer = second.address.to_string();
    fresh.ok(&[
        "recover",
        "--phrase-file",
        phrase_file.to_str().expect("a plain path"),
        "--peer",
        &peer,
        "--replace",
        "first",
    ]);
    let target = fresh.dir.path().join("back");
    fresh.ok(&["restore", "docs", "--to", target.to_str().expect("a plain path")]);
    assert_eq!(snapshot_of(&target), expected);
    let kept = std::fs::write(target.join("large0"), "mine");
    kept.expect("the target can be written");
    let again = fresh.run(&["restore", "docs", "--to", target.to_str().expect("a plain path")]);
    assert_eq!(again.status.code(), Some(4), "what is kept is said");
    assert_eq!(
        std::fs::read(target.join("large0")).expect("it is there"),
        b"mine",
        "nothing is overwritten unasked"
    );
    fresh.ok(&["restore", "docs:large0", "--to", target.to_str().expect("a plain path"), "--overwrite"]);
    assert_eq!(snapshot_of(&target)[b"large0".as_slice()], expected[b"large0".as_slice()]);
    third.start();
    wait_for("the third node meets the recovered one", || {
        let status = fresh.json(&["status"]);
        status[0]["peers"].as_array().is_some_and(|peers| peers.len() == 2)
    });
    second.kill();
}

#[test]
fn a_misspelt_replace_is_said_and_can_be_done_again() {
    let (first, second) = (Node::started(), Node::started());
    let words = first.init();
    first.admit(&second, "store", "second");
    let root = fill(&first);
    first.ok(&["folder", "add", "docs", root.to_str().expect("a plain path"), "--copies", "2"]);
    first.ok(&["backup", "--wait"]);
    drop(first);
    let fresh = Node::started();
    let phrase_file = fresh.dir.path().join("words");
    std::fs::write(&phrase_file, words).expect("the words can be written");
    let phrase_file = phrase_file.to_str().expect("a plain path");
    let peer = second.address.to_string();
    // The new node has the name of the lost one, as a new machine of the same host name would.
    let recover = |lost| {
        fresh.run(&[
            "recover",
            "--phrase-file",
            phrase_file,
            "--peer",
            &peer,
            "--name",
            "first",
            "--replace",
            lost,
        ])
    };
    let misspelt = recover("frist");
    assert_eq!(misspelt.status.code(), Some(1));
    let said = String::from_utf8_lossy(&misspelt.stderr).into_owned();
    assert!(said.contains("the nearest name is 'first'"), "{said}");
    let again = recover("first");
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(fresh.json(&["nodes"])[0].as_array().map(Vec::len), Some(2), "the lost one is removed");
    assert_eq!(fresh.json(&["folder", "list"])[0][0]["own"], true, "its folder is this node's now");
}

#[test]
fn a_second_invitation_takes_the_place_of_an_unused_first() {
    let (first, second) = (Node::started(), Node::started());
    first.init();
    first.json(&["invite", "--no-wait"]);
    first.admit(&second, "store", "second");
    assert_eq!(first.json(&["nodes"])[0].as_array().map(Vec::len), Some(2));
}
