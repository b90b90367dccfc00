//! Writing into a shared folder on a real file system.

use super::*;
use std::fs;
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
use std::path::Path;

fn stat(size: u64, mode: u32) -> Stat {
    Stat { size, mtime_ns: 1_000_000_000_123_456_789, ctime_ns: 0, inode: 0, mode, uid: 0, gid: 0, links: 1 }
}

fn place(thing: Thing, size: u64, expected: Option<Expected>) -> Act {
    Act::Place { thing, stat: stat(size, 0o640), attributes: Vec::new(), expected }
}

/// Does an act on a folder.
fn act(putter: &mut Putter, root: &Path, path: &str, act: Act) -> Result<Option<Found>, FileError> {
    let folder = root.as_os_str().as_encoded_bytes();
    let root = fs::File::open(root).unwrap();
    let device = facts::look(root.as_fd()).unwrap().device;
    putter.act(Target { root: root.as_fd(), folder, device, path: path.as_bytes(), mount: 0 }, act)
}

fn expected(root: &Path, path: &str) -> Expected {
    let directory = fs::File::open(root).unwrap();
    let facts = facts::look_at(directory.as_fd(), path.as_bytes()).unwrap();
    Expected { kind: facts.kind, stat: facts.stat }
}

#[test]
fn a_file_appears_whole_with_its_mode_and_time() {
    let folder = tempfile::tempdir().unwrap();
    let (root, mut putter) = (folder.path(), Putter::default());
    act(&mut putter, root, "d", place(Thing::Directory, 0, None)).unwrap();
    act(&mut putter, root, "d/f", Act::Begin(0)).unwrap();
    act(&mut putter, root, "d/f", Act::Data(b"one ".to_vec())).unwrap();
    act(&mut putter, root, "d/f", Act::Hole(4096)).unwrap();
    act(&mut putter, root, "d/f", Act::Data(b"two".to_vec())).unwrap();
    assert!(!root.join("d/f").exists(), "nobody sees half of it");
    let found = act(&mut putter, root, "d/f", place(Thing::File, 4103, None)).unwrap().unwrap();
    let facts = fs::metadata(root.join("d/f")).unwrap();
    assert_eq!((facts.len(), facts.permissions().mode() & 0o7777), (4103, 0o640));
    assert_eq!((facts.mtime(), facts.mtime_nsec()), (1_000_000_000, 123_456_789));
    assert_eq!((found.stat.inode, found.stat.mtime_ns), (facts.ino(), 1_000_000_000_123_456_789));
    assert_eq!(fs::read_dir(root.join("d")).unwrap().count(), 1, "nothing is left aside");
    act(&mut putter, root, "l", place(Thing::Symlink(b"d/f".to_vec()), 3, None)).unwrap();
    assert_eq!(fs::read_link(root.join("l")).unwrap(), Path::new("d/f"));
    act(&mut putter, root, "", Act::Sync).unwrap();
}

#[test]
fn a_directory_that_is_made_has_the_time_of_now() {
    let folder = tempfile::tempdir().unwrap();
    let (root, mut putter) = (folder.path(), Putter::default());
    let now = fs::metadata(root).unwrap().mtime();
    let stat = Stat { mtime_ns: 0, ..stat(0, 0o750) };
    let made = Act::Place { thing: Thing::Directory, stat, attributes: Vec::new(), expected: None };
    act(&mut putter, root, "d", made).unwrap();
    let made = fs::metadata(root.join("d")).unwrap();
    assert!(made.mtime() >= now && made.permissions().mode() & 0o777 == 0o750, "{}", made.mtime());
}

#[test]
fn what_a_person_changed_is_neither_replaced_nor_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (root, mut putter) = (folder.path(), Putter::default());
    fs::write(root.join("f"), "old").unwrap();
    let known = expected(root, "f");
    fs::write(root.join("f"), "changed by hand").unwrap();
    act(&mut putter, root, "f", Act::Begin(0)).unwrap();
    act(&mut putter, root, "f", Act::Data(b"theirs".to_vec())).unwrap();
    let refused = act(&mut putter, root, "f", place(Thing::File, 6, Some(known))).unwrap_err();
    assert_eq!(refused.kind, FileErrorKind::Changed);
    assert!(act(&mut putter, root, "f", Act::Remove(known)).is_err());
    assert!(
        act(&mut putter, root, "f", place(Thing::File, 6, None)).is_err(),
        "nor when nothing is expected"
    );
    assert_eq!(fs::read_to_string(root.join("f")).unwrap(), "changed by hand");
    act(&mut putter, root, "f", Act::SetAside(b"f (mine)".to_vec())).unwrap();
    act(&mut putter, root, "f", place(Thing::File, 6, None)).expect("what was begun is still there");
    assert_eq!(fs::read_to_string(root.join("f")).unwrap(), "theirs");
    assert_eq!(fs::read_to_string(root.join("f (mine)")).unwrap(), "changed by hand");
    assert!(act(&mut putter, root, "f", Act::SetAside(b"f (mine)".to_vec())).is_err(), "the name is taken");
    let known = expected(root, "f");
    act(&mut putter, root, "f", Act::Remove(known)).unwrap();
    assert!(!root.join("f").exists());
}

#[test]
fn two_folders_that_are_written_at_once_do_not_mix() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut putter = Putter::default();
    let both = [(one.path(), "a", "first"), (other.path(), "b", "other")];
    for (root, name, _) in both {
        act(&mut putter, root, name, Act::Begin(0)).unwrap();
    }
    for (root, name, text) in both {
        act(&mut putter, root, name, Act::Data(text.into())).unwrap();
        assert!(act(&mut putter, root, "elsewhere", Act::Data(b"x".to_vec())).is_err());
    }
    for (root, name, text) in both {
        assert!(act(&mut putter, root, "elsewhere", place(Thing::File, 5, None)).is_err());
        act(&mut putter, root, name, Act::Begin(0)).unwrap();
        act(&mut putter, root, name, Act::Data(text.into())).unwrap();
        act(&mut putter, root, name, place(Thing::File, 5, None)).unwrap();
        assert_eq!(fs::read_to_string(root.join(name)).unwrap(), text);
    }
    act(&mut putter, one.path(), "short", Act::Begin(0)).unwrap();
    assert!(
        act(&mut putter, one.path(), "short", place(Thing::File, 5, None)).is_err(),
        "nothing was written"
    );
}

#[test]
fn only_what_another_process_left_aside_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (root, mut putter) = (folder.path(), Putter::default());
    act(&mut putter, root, "f", Act::Begin(0)).unwrap();
    let own = fs::read_dir(root).unwrap().next().unwrap().unwrap().file_name().into_string().unwrap();
    for name in [".nuthatch-aside-0-1", "file"] {
        fs::write(root.join(name), "x").unwrap();
    }
    for name in [own.as_str(), ".nuthatch-aside-0-1", "file"] {
        act(&mut putter, root, name, Act::Clean).unwrap();
    }
    assert!(
        root.join(&own).exists() && root.join("file").exists() && !root.join(".nuthatch-aside-0-1").exists()
    );
}

#[test]
fn a_directory_with_something_in_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (root, mut putter) = (folder.path(), Putter::default());
    fs::create_dir(root.join("d")).unwrap();
    let known = expected(root, "d");
    fs::write(root.join("d/new"), "made meanwhile").unwrap();
    assert!(act(&mut putter, root, "d", Act::Remove(known)).is_err());
    fs::remove_file(root.join("d/new")).unwrap();
    act(&mut putter, root, "d", Act::Remove(known)).expect("its times do not matter");
}

#[test]
fn no_link_leads_out_of_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let (root, mut putter) = (folder.path(), Putter::default());
    symlink(outside.path(), root.join("out")).unwrap();
    for path in ["out/f", "../f", "out/../f", ""] {
        assert!(act(&mut putter, root, path, Act::Begin(0)).is_err(), "{path}");
        assert!(act(&mut putter, root, path, place(Thing::Directory, 0, None)).is_err(), "{path}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn nothing_is_done_where_a_disk_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let (root, mut putter) = (folder.path(), Putter::default());
    fs::create_dir(root.join("usb")).unwrap();
    let opened = fs::File::open(root).unwrap();
    let device = facts::look(opened.as_fd()).unwrap().device;
    for path in ["usb/new", "usb/not/there"] {
        let target = Target { root: opened.as_fd(), folder: b"f", device, path: path.as_bytes(), mount: 3 };
        let refused = putter.act(target, place(Thing::Directory, 0, None)).unwrap_err();
        assert_eq!(refused.kind, FileErrorKind::Failed, "it is neither gone nor changed: {refused:?}");
    }
    assert_eq!(fs::read_dir(root.join("usb")).unwrap().count(), 0);
}

#[test]
#[ignore = "needs NUTHATCH_FOLDING_DIR, an empty directory on a disk that folds case and has no links (exFAT, FAT)"]
fn a_disk_that_takes_two_names_for_one_keeps_what_stands_there() {
    let root = std::env::var_os("NUTHATCH_FOLDING_DIR").expect("it says where");
    let (root, mut putter) = (Path::new(&root), Putter::default());
    let mut put = |path: &str, text: &str| {
        act(&mut putter, root, path, Act::Begin(4))?;
        act(&mut putter, root, path, Act::Data(text.into()))?;
        let size = u64::try_from(text.len()).unwrap();
        act(&mut putter, root, path, place(Thing::File, size, None))
    };
    put("Readme", "quiet").unwrap();
    put("with \u{e4} umlaut.txt", "text").unwrap();
    let long = "x".repeat(256);
    for name in ["README", "readme", "a:b", "what?", &long] {
        let refused = put(name, "loud").unwrap_err();
        println!("{name}: {}", refused.detail);
        assert_eq!(refused.kind, FileErrorKind::Unfit, "{name}: {refused:?}");
    }
    let mut make = |path: &str, thing| act(&mut putter, root, path, place(thing, 0, None));
    make("docs", Thing::Directory).unwrap();
    make("docs", Thing::Directory).expect("it is there");
    for (name, thing) in [
        ("Docs", Thing::Directory),
        ("README", Thing::Directory),
        ("c:", Thing::Directory),
        ("link", Thing::Symlink(b"docs".to_vec())),
    ] {
        let refused = make(name, thing).unwrap_err();
        println!("{name}: {}", refused.detail);
        assert_eq!(refused.kind, FileErrorKind::Unfit, "{name}: {refused:?}");
    }
    let known = expected(root, "Readme");
    for refused in [Act::Remove(known), Act::SetAside(b"aside".to_vec())] {
        assert_eq!(act(&mut putter, root, "README", refused).unwrap_err().kind, FileErrorKind::Unfit);
    }
    act(&mut putter, root, "Readme", Act::SetAside(b"aside".to_vec())).expect("another name for it");
    act(&mut putter, root, "aside", Act::Remove(expected(root, "aside"))).unwrap();
    let names: std::collections::BTreeSet<_> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names, ["docs", "with \u{e4} umlaut.txt"].map(str::to_owned).into());
}
