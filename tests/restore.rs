//! Restoring through the real binary: repeated after a kill, shown before, in place, onto a disk that is full.

mod household;

use household::{snapshot_of, wait_for, write_noise, Node};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A path as an argument.
fn plain(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// A node and its folder `docs`, which is backed up.
fn backed_up(fill: impl Fn(&Path)) -> (Node, PathBuf) {
    let node = Node::started();
    node.init();
    let root = node.dir.path().join("data");
    std::fs::create_dir(&root).expect("a directory can be made");
    fill(&root);
    node.ok(&["folder", "add", "docs", plain(&root), "--copies", "1"]);
    node.ok(&["backup", "docs", "--wait"]);
    (node, root)
}

/// The inodes of all regular files below.
fn inodes(root: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(directory) = todo.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for entry in entries {
            let path = entry.expect("an entry can be read").path();
            // What is written aside may have got its name since.
            let Ok(facts) = std::fs::symlink_metadata(&path) else { continue };
            if facts.is_dir() {
                todo.push(path);
            } else if !path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".nuthatch")) {
                found.insert(path, facts.ino());
            }
        }
    }
    found
}

/// The last JSON line of a command.
fn last(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    household::lines(&text).pop().unwrap_or_else(|| {
        panic!("nothing was told: {}", String::from_utf8_lossy(&output.stderr));
    })
}

/// Ends a restore when it has written this many files; what stands there then.
fn broken_off(node: &Node, target: &Path, files: usize, end: impl FnOnce()) -> BTreeMap<PathBuf, u64> {
    let mut restore = node
        .command(&["restore", "docs", "--to", plain(target)])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    wait_for("some files", || {
        inodes(target).len() >= files || restore.try_wait().expect("it can be asked").is_some()
    });
    end();
    // Without any warning; if it has ended already there is nothing to kill.
    let _ = restore.kill();
    restore.wait().expect("the process is waited for");
    inodes(target)
}

#[test]
fn a_restore_that_was_killed_is_repeated_without_writing_anything_twice() {
    let (mut node, root) = backed_up(|root| {
        for number in 0..60 {
            write_noise(&root.join(format!("d{}/f{number}", number % 3)), 2 << 20, number);
        }
        write_noise(&root.join("z/last"), 1 << 20, 77);
        // Names are bytes, up to 255 of them.
        write_noise(&root.join(OsStr::from_bytes(b"z/odd \xff\n\x1b[2J")), 5_000, 78);
        write_noise(&root.join("n".repeat(255)), 5_000, 79);
    });
    let target = node.dir.path().join("back");
    let before = broken_off(&node, &target, 5, || {});
    assert!(before.len() >= 5);
    let before = {
        // Once more, and now it is the node that goes.
        let pid = broken_off(&node, &target, before.len() + 5, || {});
        node.kill();
        let output = node.run(&["restore", "docs", "--to", plain(&target)]);
        assert_eq!(output.status.code(), Some(3), "no node runs");
        node.start();
        pid
    };
    let output = node.run(&["restore", "docs", "--to", plain(&target), "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = last(&output);
    let there = u64::try_from(before.len()).expect("a count");
    assert_eq!((told["equal"].as_u64(), told["new"].as_u64()), (Some(there), Some(63 - there)), "{told}");
    assert_eq!(told["kept"], 0);
    let after = inodes(&target);
    assert!(before.iter().all(|(path, inode)| after.get(path) == Some(inode)), "nothing was written twice");
    assert_eq!(
        snapshot_of(&target),
        snapshot_of(&root),
        "directories have their modes and times, nothing is left aside"
    );
    let again = last(&node.run(&["restore", "docs", "--to", plain(&target), "--overwrite", "--json"]));
    assert_eq!((again["equal"].as_u64(), again["file_bytes"].as_u64()), (Some(63), Some(0)), "{again}");
    assert_eq!(inodes(&target), after);
    let checked = node.run(&["restore", "docs", "--to", plain(&target), "--checksum", "--json"]);
    assert!(checked.status.success());
    assert_eq!(last(&checked)["equal"], 63);
}

#[test]
fn in_place_only_what_differs_is_written_and_the_next_scan_finds_nothing_new() {
    let (node, root) = backed_up(|root| {
        for name in ["a", "b/c", "b/d", "e\n\u{fc}"] {
            write_noise(&root.join(name), 10_000, 1);
        }
    });
    let entries = |node: &Node| node.json(&["snapshots", "docs"]).len();
    let (before, count) = (inodes(&root), entries(&node));
    let whole = last(&node.run(&["restore", "docs", "--to", plain(&root), "--overwrite", "--json"]));
    assert_eq!((whole["equal"].as_u64(), whole["corrected"].as_u64()), (Some(4), Some(0)), "{whole}");
    assert_eq!(inodes(&root), before);
    node.ok(&["backup", "docs", "--wait"]);
    assert_eq!(entries(&node), count, "nothing has changed");
    std::fs::write(root.join("b/c"), "mine").expect("a file can be written");
    std::fs::remove_file(root.join("a")).expect("a file can be removed");
    let oldest = node.json(&["snapshots", "docs"])[0]["snapshot"].as_str().expect("an id").to_owned();
    let what = format!("docs@{oldest}");
    let plan = node.run(&["restore", &what, "--to", plain(&root), "--dry-run", "--json"]);
    assert!(plan.status.success(), "a plan is no failure");
    let lines = household::lines(&String::from_utf8_lossy(&plan.stdout));
    let told: Vec<(&str, &str)> = lines[..lines.len() - 1]
        .iter()
        .map(|line| (line["path"].as_str().expect("a path"), line["plan"].as_str().expect("a word")))
        .collect();
    assert_eq!(told, [("a", "new"), ("b/c", "kept"), ("b/d", "equal"), ("e\n\u{fc}", "equal")]);
    let sums = &lines[lines.len() - 1];
    assert_eq!((sums["new"].as_u64(), sums["kept"].as_u64()), (Some(1), Some(1)), "{sums}");
    assert!(!root.join("a").exists(), "nothing was written");
    let text = node.ok(&["restore", &what, "--to", plain(&root), "--dry-run"]);
    assert!(
        text.starts_with(
            "new          a\nkept         b/c\nequal        b/d\nequal        e\\n\u{fc}\nWould write 1 file"
        ),
        "{text}"
    );
    let kept = node.run(&["restore", &what, "--to", plain(&root), "--json"]);
    assert_eq!(kept.status.code(), Some(4), "what differs was kept");
    assert_eq!(last(&kept)["kept_paths"][0]["path"], "b/c");
    assert_eq!(std::fs::read(root.join("b/c")).expect("it is there"), b"mine");
    let done = node.run(&["restore", &what, "--to", plain(&root), "--overwrite", "--json"]);
    assert!(done.status.success());
    let done = last(&done);
    assert_eq!((done["overwritten"].as_u64(), done["equal"].as_u64()), (Some(1), Some(3)), "{done}");
    assert_eq!(std::fs::metadata(root.join("b/c")).expect("it is there").len(), 10_000);
}

#[test]
fn a_target_that_becomes_full_ends_the_restore_and_room_lets_it_go_on() {
    let (node, root) = backed_up(|root| {
        for number in 0..8 {
            write_noise(&root.join(format!("f{number}")), 1 << 20, number);
        }
    });
    let target = node.dir.path().join("small");
    std::fs::create_dir(&target).expect("a directory can be made");
    // A disk for five files and a half, in a mount namespace of its own; first too small, then with room.
    let script = r#"
        mount -t tmpfs -o size=5500k none "$1" || exit 77
        "$2" restore docs --to "$1" --home "$3" --json; echo "first $?"
        mount -o remount,size=20m "$1"
        "$2" restore docs --to "$1" --home "$3" --json; echo "second $?"
        cmp -s "$1/f7" "$4/f7" && echo whole; ls -A "$1" | wc -l
    "#;
    let output = Command::new("unshare")
        .args(["-rm", "sh", "-c", script, "sh", plain(&target), household::binary()])
        .args([plain(&node.home()), plain(&root)])
        .output();
    let Ok(output) = output else { return eprintln!("not tried: there is no unshare here") };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(77) || !text.contains("first") {
        return eprintln!("not tried: no mount namespace here: {errors}");
    }
    assert!(text.contains("first 1\n"), "{text}{errors}");
    assert!(errors.contains("\"code\":\"no_room\"") && errors.contains("make room"), "{errors}");
    assert!(text.contains("\"equal\":5") && text.contains("second 0\nwhole\n8\n"), "{text}{errors}");
}

#[test]
fn what_names_no_snapshot_or_path_is_refused_in_words() {
    let (node, root) = backed_up(|root| write_noise(&root.join("photos/beach.jpg"), 5_000, 1));
    let code = |arguments: &[&str]| {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        let output = node.run(&arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let error = household::lines(&String::from_utf8_lossy(&output.stderr)).remove(0)["error"].clone();
        assert!(!error["hint"].as_str().expect("a hint").is_empty(), "{error}");
        error["code"].as_str().expect("a code").to_owned()
    };
    let target = node.dir.path().join("back");
    for (what, expected) in [
        ("docs@3fa", "bad_snapshot"),
        ("docs@2026-13-01T0000", "bad_snapshot"),
        ("docs@2026-01-01T2460", "bad_snapshot"),
        ("docs@2020-01-01T0000", "no_snapshot"),
        ("docs@000000", "no_snapshot"),
        ("dox", "no_folder"),
        ("docs:photos/beech.jpg", "not_found"),
        ("docs:../etc/passwd", "bad_path"),
    ] {
        assert_eq!(code(&["restore", what, "--to", plain(&target)]), expected, "restore {what}");
        assert_eq!(code(&["ls", what]), expected, "ls {what}");
        assert!(!target.exists(), "{what}: nothing is made where nothing is found");
    }
    // A date in the future is the newest there is; all of an id is an id.
    node.ok(&["restore", "docs@2999-01-01T0000", "--to", plain(&target)]);
    assert_eq!(snapshot_of(&target), snapshot_of(&root));
}
