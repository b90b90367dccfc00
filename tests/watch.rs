//! Automatic backup through the real binary: what changes is on another node without anybody asking for it.

mod household;

use household::{snapshot_of, wait_for, Node};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A path as an argument.
fn plain(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Two nodes, and a folder of the first that both shall have.
fn two_nodes() -> (Node, Node, PathBuf) {
    let (first, second) = (Node::started(), Node::started());
    first.init();
    first.admit(&second, "store", "second");
    let root = first.dir.path().join("data");
    std::fs::create_dir_all(root.join("sub/deep")).expect("directories can be made");
    std::fs::write(root.join("sub/deep/first"), "first").expect("a file can be written");
    first.ok(&["folder", "add", "docs", plain(&root), "--copies", "2"]);
    (first, second, root)
}

/// The only folder, as status tells it.
fn folder(node: &Node) -> Value {
    node.json(&["status"])[0]["folders"][0].clone()
}

/// Whether the newest snapshot has so many files, and is on both nodes.
fn has(node: &Node, files: u64) -> bool {
    let folder = folder(node);
    folder["files"] == files && folder["state"] == "protected"
}

#[test]
fn what_changes_is_on_another_node_by_itself() {
    let (first, _second, root) = two_nodes();
    wait_for("a new folder is backed up", || has(&first, 1));
    assert_eq!(folder(&first)["watch"]["directories"], 3, "{}", folder(&first));
    std::fs::write(root.join("sub/deep/second"), "second").expect("a file can be written");
    wait_for("a new file", || has(&first, 2));
    // A directory that came later, and what comes into it after that.
    std::fs::create_dir_all(root.join("new/er")).expect("directories can be made");
    wait_for("new directories", || folder(&first)["watch"]["directories"] == 5);
    std::fs::write(root.join("new/er/third"), "third").expect("a file can be written");
    wait_for("a file in a new directory", || has(&first, 3));
    std::fs::rename(root.join("new"), first.dir.path().join("away")).expect("a directory can be moved");
    wait_for("a directory that was moved away", || has(&first, 2));
    wait_for("its watches", || folder(&first)["watch"]["directories"] == 3);
    std::fs::write(root.join("sub/deep/first"), "changed").expect("a file can be written");
    let target = first.dir.path().join("back");
    wait_for("a file that has changed", || {
        let _ = std::fs::remove_dir_all(&target);
        first.ok(&["restore", "docs", "--to", plain(&target)]);
        snapshot_of(&target) == snapshot_of(&root)
    });
}

#[test]
fn what_is_left_out_is_not_watched() {
    let (first, _second, root) = two_nodes();
    wait_for("a new folder is backed up", || has(&first, 1));
    std::fs::create_dir_all(root.join("cache/inner")).expect("directories can be made");
    std::fs::create_dir_all(root.join("target/inner")).expect("directories can be made");
    let tag = "Signature: 8a477f597d28d172789f06886806bc55";
    std::fs::write(root.join("cache/CACHEDIR.TAG"), tag).expect("a file can be written");
    std::fs::write(root.join(".nuthatchignore"), "target/\n").expect("a file can be written");
    std::os::unix::fs::symlink("/usr", root.join("elsewhere")).expect("a link can be made");
    wait_for("the rules are backed up", || has(&first, 3));
    assert_eq!(folder(&first)["watch"]["directories"], 3, "{}", folder(&first));
}

#[test]
fn a_folder_whose_directory_is_away_is_said_once_and_backed_up_when_it_is_back() {
    let (first, _second, root) = two_nodes();
    wait_for("a new folder is backed up", || has(&first, 1));
    let away = first.dir.path().join("away");
    std::fs::rename(&root, &away).expect("a directory can be moved");
    wait_for("it is missed", || folder(&first)["state"] == "failed");
    first.run(&["backup"]);
    let said = |word: &str| {
        first.json(&["log"]).iter().filter(|line| line["message"].to_string().contains(word)).count()
    };
    assert_eq!(said("is not there"), 1, "the same failure is said once");
    std::fs::write(away.join("second"), "second").expect("a file can be written");
    std::fs::rename(&away, &root).expect("a directory can be moved back");
    first.ok(&["backup"]);
    wait_for("it is backed up again", || has(&first, 2));
    assert_eq!(said("can be backed up again"), 1);
}

#[test]
fn without_watches_nothing_is_backed_up_before_its_time() {
    let (first, _second, root) = two_nodes();
    wait_for("a new folder is backed up", || has(&first, 1));
    first.ok(&["config", "set", "backup.watch", "false"]);
    assert!(folder(&first)["watch"].is_null());
    std::fs::write(root.join("second"), "second").expect("a file can be written");
    first.ok(&["backup", "--wait"]);
    assert!(has(&first, 2) && folder(&first)["watch"].is_null());
    first.ok(&["config", "set", "backup.watch", "true"]);
    wait_for("it is watched again", || folder(&first)["watch"]["directories"] == 3);
}

#[test]
fn a_pause_holds_backups_back_and_outlives_a_restart() {
    let (mut first, _second, root) = two_nodes();
    wait_for("a new folder is backed up", || has(&first, 1));
    assert_eq!(first.json(&["pause"])[0]["paused"], true);
    first.kill();
    first.start();
    let status = first.json(&["status"]);
    assert!(status[0]["paused"].is_object(), "{status:?}");
    std::fs::write(root.join("second"), "second").expect("a file can be written");
    assert_eq!(first.json(&["resume"])[0]["was_paused"], true);
    wait_for("what waited is backed up", || has(&first, 2));
    std::fs::write(root.join("third"), "third").expect("a file can be written");
    let synced = first.json(&["sync", "--wait"]);
    assert_eq!(synced[0]["event"], "sync");
    assert!(has(&first, 3), "{synced:?}");
}
