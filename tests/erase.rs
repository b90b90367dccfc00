//! Erasing through the real binary: what was deleted leaves the disks of all nodes, one of which is killed in the midst.

mod household;

use household::{snapshot_of, wait_for, write_noise, Node};
use std::path::Path;

/// Bytes of a node's segments.
fn segment_bytes(node: &Node) -> u64 {
    let segments = std::fs::read_dir(node.home().join("segments")).expect("a node has segments");
    segments.filter_map(|entry| entry.ok()?.metadata().ok()).map(|metadata| metadata.len()).sum()
}

/// The ids of all snapshots, oldest first.
fn snapshots(node: &Node) -> Vec<String> {
    let lines = node.json(&["snapshots", "docs"]);
    lines.iter().map(|line| line["snapshot"].as_str().expect("an id").to_owned()).collect()
}

/// A path as an argument.
fn plain(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn what_was_deleted_and_erased_is_on_no_disk_any_more() {
    let (first, second, mut third) = (Node::started(), Node::started(), Node::started());
    let words = first.init();
    first.admit(&second, "full", "second");
    first.admit(&third, "store", "third");
    let root = first.dir.path().join("data");
    write_noise(&root.join("much"), 6_000_000, 1);
    write_noise(&root.join("secret"), 3_000_000, 2);
    first.ok(&["folder", "add", "docs", plain(&root)]);
    first.ok(&["backup", "--wait"]);
    std::fs::remove_file(root.join("secret")).expect("it was just written");
    first.ok(&["backup", "--wait"]);
    let [with, listing] = <[String; 2]>::try_from(snapshots(&first)).expect("two backups were made");
    let stands = first.run(&["erase", "docs", &with, "--yes", "--json"]);
    assert!(String::from_utf8_lossy(&stands.stderr).contains("not_forgotten"), "{stands:?}");
    first.ok(&["forget", "docs", &with]);
    let unasked = first.run(&["erase", "docs", &with, "--json"]);
    assert!(String::from_utf8_lossy(&unasked.stderr).contains("not_confirmed"), "{unasked:?}");

    let answer = first.json(&["erase", "docs", &with, "--yes"]);
    assert_eq!((&answer[0]["erased"], &answer[0]["listed_by"][0]), (&false.into(), &listing.as_str().into()));
    wait_for("the other full node is asked", || {
        let status = second.json(&["status"]);
        status[0]["attention"].to_string().contains("first wants snapshot")
    });
    third.kill();
    assert_eq!(second.json(&["erase", "docs", &with, "--yes"])[0]["erased"], true);
    wait_for("a snapshot that lists only what it needs", || snapshots(&first).len() == 2);

    first.ok(&["forget", "docs", &listing]);
    let phrase_file = first.dir.path().join("words");
    std::fs::write(&phrase_file, "able acid").expect("the words can be written");
    let wrong = first.run(&["erase", "docs", "--yes", "--phrase-file", plain(&phrase_file), "--json"]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("bad_phrase"), "{wrong:?}");
    std::fs::write(&phrase_file, words).expect("the words can be written");
    let answer = first.json(&["erase", "docs", &listing, "--yes", "--phrase-file", plain(&phrase_file)]);
    assert_eq!(answer[0]["erased"], true);
    third.start();
    for node in [&first, &second, &third] {
        wait_for("the segments are rewritten without it", || segment_bytes(node) < 7_000_000);
        let result = node.json(&["verify", "--all"]);
        let last = result.last().expect("verify tells a result");
        assert_eq!((&last["damaged"], &last["missing"]), (&0.into(), &0.into()), "{result:?}");
    }
    let target = second.dir.path().join("back");
    second.ok(&["restore", "docs", "--to", plain(&target)]);
    assert_eq!(snapshot_of(&target), snapshot_of(&root));
}
