//! A shared folder on two devices through the real binary: both write, one is killed in the midst, nothing is lost.

mod household;

use household::{lines, wait_for, write_noise, Node};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Paths and contents of all files below a directory.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                left.push(path);
            } else if let Ok(content) = std::fs::read(&path) {
                found.insert(path.strip_prefix(root).expect("it is below").to_path_buf(), content);
            }
        }
    }
    found
}

/// A path as an argument.
fn plain(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

/// Both scan until both have the same.
fn level(first: &Node, second: &Node, here: &Path, there: &Path) {
    wait_for("both have the same files", || {
        let (one, other) = (first.run(&["backup"]), second.run(&["backup"]));
        assert!(one.status.success() && other.status.success(), "{one:?} {other:?}");
        files(here) == files(there)
    });
}

#[test]
fn two_devices_write_one_folder() {
    let (first, mut second) = (Node::started(), Node::started());
    first.init();
    first.admit(&second, "full", "second");
    let (here, there) = (first.dir.path().join("family"), second.dir.path().join("ours"));
    write_noise(&here.join("photos/large"), 5_000_000, 1);
    std::fs::write(here.join("list"), "milk").expect("a file can be written");
    std::fs::create_dir(&there).expect("a directory can be made");
    std::fs::write(there.join("list"), "milk").expect("a file can be written");
    std::fs::write(there.join("only there"), "kept").expect("a file can be written");
    let unknown = second.run(&["folder", "attach", "family", plain(&there), "--json"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no_folder"), "{unknown:?}");
    first.ok(&["folder", "add", "family", plain(&here), "--kind", "shared"]);
    wait_for("the other device knows the folder", || {
        second.json(&["folder", "list"]).iter().any(|line| line.to_string().contains("family"))
    });
    second.ok(&["folder", "attach", "family", plain(&there)]);
    level(&first, &second, &here, &there);
    assert_eq!(files(&here).len(), 3, "equal files are no conflict: {:?}", files(&here).keys());

    // Both change one file, before they meet again.
    second.kill();
    std::fs::write(here.join("list"), "milk and bread").expect("a file can be written");
    std::fs::write(there.join("list"), "milk and honey").expect("a file can be written");
    std::fs::remove_file(here.join("only there")).expect("it came from there");
    std::fs::rename(there.join("photos"), there.join("pictures")).expect("a directory can be renamed");
    first.ok(&["backup"]);
    second.start();
    level(&first, &second, &here, &there);
    let all = files(&here);
    let lists: Vec<&Vec<u8>> =
        all.iter().filter(|(path, _)| plain(path).starts_with("list")).map(|(_, content)| content).collect();
    assert_eq!(lists.len(), 2, "{:?}", all.keys());
    assert!(lists.contains(&&b"milk and bread".to_vec()) && lists.contains(&&b"milk and honey".to_vec()));
    assert!(all.contains_key(Path::new("pictures/large")) && !all.contains_key(Path::new("photos/large")));
    assert!(!all.contains_key(Path::new("only there")), "a deletion travels");

    // Versions stay: what was deleted is still in the first snapshot of whoever had it.
    let snapshots = second.json(&["snapshots", "family"]);
    let oldest = snapshots.first().and_then(|line| line["snapshot"].as_str()).expect("there are snapshots");
    let target = second.dir.path().join("back");
    second.ok(&["restore", &format!("family@{oldest}"), "--to", plain(&target)]);
    assert!(target.join("list").exists());
}

#[test]
fn files_are_put_and_got_on_a_device_without_a_directory() {
    let (first, second) = (Node::started(), Node::started());
    first.init();
    first.admit(&second, "full", "second");
    let here = first.dir.path().join("family");
    std::fs::create_dir(&here).expect("a directory can be made");
    std::fs::write(here.join("list"), "milk").expect("a file can be written");
    first.ok(&["folder", "add", "family", plain(&here), "--kind", "shared"]);
    first.ok(&["backup"]);
    wait_for("the other device knows the folder and its snapshot", || {
        let told = second.run(&["snapshots", "family", "--json"]);
        told.status.success() && !lines(&String::from_utf8_lossy(&told.stdout)).is_empty()
    });
    write_noise(&second.dir.path().join("large"), 3_000_000, 7);
    let large = second.dir.path().join("large");
    second.ok(&["put", plain(&large), "family:new/"]);
    let again = second.run(&["put", plain(&large), "family:new/large"]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("just so"), "{again:?}");
    wait_for("the file is in the directory", || {
        first.ok(&["backup"]);
        files(&here).get(Path::new("new/large")) == std::fs::read(&large).ok().as_ref()
    });
    // To a file with its time, to standard output, and not over what is there.
    let copy = second.dir.path().join("copy");
    second.ok(&["get", "family:new/large", plain(&copy)]);
    assert!(std::fs::read(&copy).ok() == std::fs::read(&large).ok());
    let time = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    assert_eq!(time(&copy), time(&large));
    let output = second.run(&["get", "family:list", "-"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "milk");
    let kept = second.run(&["get", "family:list", plain(&copy), "--json"]);
    assert!(String::from_utf8_lossy(&kept.stderr).contains("exists"), "{kept:?}");
    // What is refused is told while the client may still be sending; what is removed goes everywhere.
    let refused = second.run(&["put", plain(&large), "nowhere:x", "--json"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no_folder"), "{refused:?}");
    second.ok(&["rm", "family:new", "--recursive"]);
    wait_for("the directory is gone", || {
        first.ok(&["backup"]);
        !here.join("new").exists()
    });
    let missing = second.run(&["get", "family:new/large", "-", "--json"]);
    assert!(String::from_utf8_lossy(&missing.stderr).contains("not_found"), "{missing:?}");
}
