//! What the restore writer must do with hostile streams and strange targets.

use super::*;
use crate::file::entry::{Kind, Stat};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};

mod repeated;

/// A stat for tests: 2001, with nanoseconds.
fn stat(mode: u32, size: u64) -> Stat {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Stat { size, mtime_ns: 987_654_321_123_456_789, ctime_ns: 5, inode: 77, mode, uid, gid, links: 1 }
}

fn entry(path: &[u8], kind: Kind, stat: Stat, target: Option<&[u8]>) -> Frame {
    let target = target.map(<[u8]>::to_vec);
    Frame::Entry { path: path.to_vec(), kind, stat, attributes: Vec::new(), target, torn: false }
}

fn directory(path: &[u8]) -> Vec<u8> {
    entry(path, Kind::Directory, stat(0o755, 0), None).encode().unwrap()
}

fn data(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [Frame::Data(length).encode().unwrap(), bytes.to_vec()].concat()
}

fn file(path: &[u8], content: &[u8]) -> Vec<u8> {
    let size = u64::try_from(content.len()).unwrap();
    [entry(path, Kind::File, stat(0o640, size), None).encode().unwrap(), data(content)].concat()
}

fn link(path: &[u8], target: &[u8]) -> Vec<u8> {
    entry(path, Kind::Symlink, stat(0o777, 0), Some(target)).encode().unwrap()
}

/// The parts with the first and the last frame around them.
fn stream(parts: &[Vec<u8>]) -> Vec<u8> {
    let begin = Frame::Begin { snapshot: "ab".into(), files: 3, bytes: 30, partial: false }.encode().unwrap();
    let end = Frame::End { files: 3, bytes: 30, lost: 0 }.encode().unwrap();
    [begin, parts.concat(), end].concat()
}

/// Restores in slices of `cut` bytes.
fn restore_cut(target: &Path, options: Options, bytes: &[u8], cut: usize) -> Result<Report, TargetError> {
    let mut writer = Writer::new(target, options)?;
    for slice in bytes.chunks(cut) {
        writer.take(slice)?;
    }
    writer.finish()
}

fn restore(target: &Path, options: Options, parts: &[Vec<u8>]) -> Report {
    restore_cut(target, options, &stream(parts), 100_000).unwrap()
}

const PLAIN: Options = Options { overwrite: false, dry_run: false, owner: false, checksum: false };
const OVERWRITE: Options = Options { overwrite: true, ..PLAIN };

/// No name of ours is left in the directory.
fn assert_no_leftovers(target: &Path) {
    for entry in fs::read_dir(target).unwrap() {
        let name = entry.unwrap().file_name();
        assert!(!name.as_bytes().starts_with(b".nuthatch-aside"), "{name:?}");
    }
}

#[test]
fn a_tree_is_restored_with_all_that_is_known_of_it_however_the_stream_is_cut() {
    let odd = b"odd \xff\n";
    let mut sparse_stat = stat(0o400, 3_000_005);
    sparse_stat.mtime_ns = -1_500_000_000;
    let parts = [
        directory(b"d"),
        file(&[&b"d/"[..], odd].concat(), b"content"),
        link(b"d/link", b"../nowhere"),
        entry(b"d/sparse", Kind::File, sparse_stat, None).encode().unwrap(),
        Frame::Hole(1_000_000).encode().unwrap(),
        data(b"hello"),
        Frame::Hole(2_000_000).encode().unwrap(),
        entry(b"empty", Kind::Directory, stat(0o1700, 0), None).encode().unwrap(),
        entry(b"nothing", Kind::File, stat(0o644, 0), None).encode().unwrap(),
    ];
    for cut in [1, 7, 1_000_000] {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("made/here");
        let report = restore_cut(&target, PLAIN, &stream(&parts), cut).unwrap();
        assert_eq!((report.new, report.directories, report.kept, report.lost_count), (4, 2, 0, 0));
        assert_eq!((report.bytes, report.files_expected, report.times_not_kept), (3_000_012, 3, 0));
        let path = target.join("d").join(OsStr::from_bytes(odd));
        assert_eq!(fs::read(&path).unwrap(), b"content");
        for (path, mode) in
            [(path.as_path(), 0o640), (&target.join("d"), 0o755), (&target.join("empty"), 0o1700)]
        {
            let facts = fs::metadata(path).unwrap();
            assert_eq!(facts.mode() & 0o7777, mode, "{}", path.display());
            assert_eq!((facts.mtime(), facts.mtime_nsec()), (987_654_321, 123_456_789));
        }
        let facts = fs::symlink_metadata(target.join("d/link")).unwrap();
        assert_eq!(facts.mtime(), 987_654_321);
        assert_eq!(fs::read_link(target.join("d/link")).unwrap(), Path::new("../nowhere"));
        let facts = fs::metadata(target.join("d/sparse")).unwrap();
        assert_eq!((facts.len(), facts.mtime(), facts.mtime_nsec()), (3_000_005, -2, 500_000_000));
        assert!(facts.blocks() * 512 < 1_000_000, "holes take no room");
        let content = fs::read(target.join("d/sparse")).unwrap();
        assert_eq!(&content[999_999..1_000_006], b"\0hello\0");
        assert_eq!(fs::metadata(target.join("nothing")).unwrap().len(), 0);
        assert_no_leftovers(&target.join("d"));
    }
}

#[test]
fn a_directory_of_a_shared_folder_gets_no_time_and_one_of_1970_gets_its_own() {
    let target = tempfile::tempdir().unwrap();
    let now = fs::metadata(target.path()).unwrap().mtime();
    let shared = Stat { mtime_ns: 0, ctime_ns: 0, inode: 0, ..stat(0o750, 0) };
    let parts = [
        entry(b"shared", Kind::Directory, shared, None).encode().unwrap(),
        entry(b"old", Kind::Directory, Stat { mtime_ns: 0, ..stat(0o755, 0) }, None).encode().unwrap(),
    ];
    for options in [PLAIN, OVERWRITE] {
        let report = restore(target.path(), options, &parts);
        assert_eq!(report.overwritten, 0, "{report:?}");
        let found = |name: &str| fs::metadata(target.path().join(name)).unwrap();
        assert!(found("shared").mtime() >= now, "{}", found("shared").mtime());
        assert_eq!((found("shared").mode() & 0o777, found("old").mtime()), (0o750, 0));
    }
}

#[test]
fn what_is_there_stays_unless_it_may_be_overwritten() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path();
    fs::create_dir(target.join("d")).unwrap();
    fs::set_permissions(target.join("d"), fs::Permissions::from_mode(0o711)).unwrap();
    fs::write(target.join("d/old"), b"mine").unwrap();
    symlink("mine", target.join("d/link")).unwrap();
    fs::create_dir(target.join("d/taken")).unwrap();
    let parts = [
        directory(b"d"),
        link(b"d/link", b"yours"),
        file(b"d/new", b"new"),
        file(b"d/old", b"yours"),
        file(b"d/taken", b"x"),
    ];
    let report = restore(target, PLAIN, &parts);
    assert_eq!((report.new, report.kept, report.overwritten, report.directories), (1, 2, 0, 0));
    assert_eq!(report.kept_paths, [b"d/link".to_vec(), b"d/old".to_vec()]);
    assert_eq!(report.lost.iter().map(|(path, _)| path.as_slice()).collect::<Vec<_>>(), [b"d/taken"]);
    assert_eq!(fs::read(target.join("d/old")).unwrap(), b"mine");
    assert_eq!(fs::metadata(target.join("d")).unwrap().mode() & 0o777, 0o711);
    let report = restore(target, OVERWRITE, &parts);
    assert_eq!((report.new, report.kept, report.overwritten, report.lost_count), (0, 0, 2, 1));
    assert_eq!(report.equal, 1, "what the first restore has written is there");
    assert_eq!(fs::read(target.join("d/old")).unwrap(), b"yours");
    assert_eq!(fs::read_link(target.join("d/link")).unwrap(), Path::new("yours"));
    assert!(target.join("d/taken").is_dir());
    assert_eq!(fs::metadata(target.join("d")).unwrap().mode() & 0o777, 0o755);
    assert_no_leftovers(&target.join("d"));
}

#[test]
fn a_planted_link_does_not_lead_out_of_the_target() {
    let place = tempfile::tempdir().unwrap();
    let (target, outside) = (place.path().join("target"), place.path().join("outside"));
    fs::create_dir(&target).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), b"safe").unwrap();
    symlink(&outside, target.join("d")).unwrap();
    symlink(outside.join("victim"), target.join("f")).unwrap();
    let parts = [
        directory(b"d"),
        directory(b"d/e"),
        file(b"d/e/deep", b"x"),
        file(b"d/victim", b"evil"),
        file(b"dd", b"fine"),
        file(b"f", b"evil"),
    ];
    let report = restore(&target, PLAIN, &parts);
    assert_eq!((report.new, report.kept, report.lost_count), (1, 1, 4));
    let mut overwritten = restore(&target, OVERWRITE, &parts);
    assert_eq!(overwritten.lost.pop(), None);
    assert!(fs::symlink_metadata(target.join("d")).unwrap().is_dir());
    assert_eq!(fs::read(target.join("f")).unwrap(), b"evil");
    assert!(fs::symlink_metadata(target.join("f")).unwrap().is_file());
    assert_eq!(fs::read(outside.join("victim")).unwrap(), b"safe");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[test]
fn a_link_from_the_stream_itself_is_not_written_through() {
    let place = tempfile::tempdir().unwrap();
    let outside = place.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let target = place.path().join("target");
    let parts = [link(b"d", outside.as_os_str().as_bytes()), file(b"d/evil", b"x")];
    let report = restore(&target, PLAIN, &parts);
    assert_eq!((report.new, report.lost_count), (1, 2));
    restore(&target, OVERWRITE, &parts);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn hostile_paths_are_refused_and_counted() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("target");
    let hostile: [&[u8]; 9] =
        [b"", b"/etc/x", b"../x", b"a/../../x", b".", b"a//b", b"a/", b"a\0b", b"a/./b"];
    let parts: Vec<Vec<u8>> = hostile.iter().map(|path| file(path, b"x")).collect();
    let report = restore(&target, PLAIN, &parts);
    assert_eq!((report.new, report.lost_count), (0, 9));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    let long = restore(&target, PLAIN, &[file(&[b'n'; 300], b"x"), file(&[b'n'; 255], b"x")]);
    assert_eq!((long.new, long.lost_count), (1, 1));
}

#[test]
fn names_of_one_file_become_names_of_one_file_again() {
    let place = tempfile::tempdir().unwrap();
    let several = |path: &[u8], inode, content: &[u8]| {
        let size = u64::try_from(content.len()).unwrap();
        let stat = Stat { links: 3, inode, ..stat(0o644, size) };
        [entry(path, Kind::File, stat, None).encode().unwrap(), data(content)].concat()
    };
    let parts = [
        several(b"a", 1, b"one"),
        directory(b"d"),
        several(b"d/b", 1, b"one"),
        several(b"d/c", 2, b"two"),
        several(b"e", 1, b"one"),
        several(b"f", 2, b"another file with that inode number"),
    ];
    for options in [PLAIN, OVERWRITE, OVERWRITE] {
        restore(place.path(), options, &parts);
        let inode = |name: &str| fs::metadata(place.path().join(name)).unwrap().ino();
        assert_eq!((inode("a"), inode("a")), (inode("d/b"), inode("e")));
        assert_ne!(inode("d/c"), inode("f"));
        assert_eq!(fs::metadata(place.path().join("a")).unwrap().nlink(), 3);
        assert_eq!(fs::read(place.path().join("e")).unwrap(), b"one");
        assert_no_leftovers(place.path());
        assert_no_leftovers(&place.path().join("d"));
    }
}

#[test]
fn what_the_node_could_not_find_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let lost =
        |path: &[u8]| Frame::Lost { path: path.to_vec(), reason: "no holder".into() }.encode().unwrap();
    let size = stat(0o644, 100);
    let parts = [
        entry(b"half", Kind::File, size, None).encode().unwrap(),
        data(b"some"),
        lost(b"half"),
        file(b"whole", b"whole"),
        lost(b"x/y"),
        file(b"z", b"z"),
    ];
    let report = restore(place.path(), PLAIN, &parts);
    assert_eq!((report.new, report.lost_count), (2, 2));
    assert_eq!(report.lost[0], (b"half".to_vec(), "no holder".to_owned()));
    let mut names: Vec<_> =
        fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["whole", "z"]);
}

#[test]
fn a_broken_stream_keeps_what_was_complete_and_says_so() {
    let place = tempfile::tempdir().unwrap();
    let whole = stream(&[file(b"a", b"complete"), file(b"b", &[1; 1_000])]);
    let cut = &whole[..whole.len() - 200];
    assert!(matches!(restore_cut(place.path(), PLAIN, cut, 50), Err(TargetError::Short)));
    assert_eq!(fs::read(place.path().join("a")).unwrap(), b"complete");
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "half a file has no name");
    for garbage in
        [&b"\xff\xff\xff\xff"[..], b"\x02\0\0\0\xff\xff", &whole[20..], &[whole.as_slice(), b"x"].concat()]
    {
        let other = tempfile::tempdir().unwrap();
        let answer = restore_cut(other.path(), PLAIN, garbage, 50);
        assert!(matches!(answer, Err(TargetError::Stream(_))), "{answer:?}");
    }
}

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("old"), b"mine").unwrap();
    let dry = Options { dry_run: true, ..PLAIN };
    let size = stat(0o644, 5);
    let parts = [
        directory(b"d"),
        entry(b"d/new", Kind::File, size, None).encode().unwrap(),
        entry(b"old", Kind::File, size, None).encode().unwrap(),
    ];
    for (target, kept) in [(place.path().to_path_buf(), 1), (place.path().join("missing"), 0)] {
        let report = restore(&target, dry, &parts);
        assert_eq!((report.new, report.kept, report.directories), (2 - kept, kept, 1));
    }
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn a_tree_deeper_than_open_directories_and_than_a_path_may_be_long_is_restored() {
    let place = tempfile::tempdir().unwrap();
    let name = [b'd'; 150];
    let mut path = Vec::new();
    let mut parts = Vec::new();
    for _ in 0..60 {
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&name);
        parts.push(directory(&path));
    }
    parts.push(file(&[path.as_slice(), b"/leaf"].concat(), b"deep"));
    parts.push(file(b"e", b"flat"));
    let report = restore(place.path(), PLAIN, &parts);
    assert_eq!((report.new, report.directories, report.lost_count, report.times_not_kept), (2, 60, 0, 0));
    let first = place.path().join(OsStr::from_bytes(&name));
    assert_eq!(fs::metadata(&first).unwrap().mtime(), 987_654_321);
}

#[test]
fn owners_and_setuid_bits_go_together() {
    let place = tempfile::tempdir().unwrap();
    let foreign = Stat { uid: 4_321, gid: 4_322, ..stat(0o6755, 1) };
    let parts = [entry(b"f", Kind::File, foreign, None).encode().unwrap(), data(b"x")];
    let report = restore(place.path(), PLAIN, &parts);
    let facts = fs::metadata(place.path().join("f")).unwrap();
    assert_eq!((facts.mode() & 0o7777, report.modes_not_kept), (0o755, 1));
    let report = restore(place.path(), Options { owner: true, ..OVERWRITE }, &parts);
    let facts = fs::metadata(place.path().join("f")).unwrap();
    if rustix::process::geteuid().is_root() {
        assert_eq!((facts.uid(), facts.gid(), facts.mode() & 0o7777), (4_321, 4_322, 0o6755));
        assert_eq!((report.owners_not_kept, report.modes_not_kept), (0, 0));
    } else {
        assert_eq!((facts.mode() & 0o7777, report.owners_not_kept), (0o755, 1));
    }
}

#[test]
fn attributes_are_set_on_what_will_be_read_only_and_refused_ones_are_counted() {
    let place = tempfile::tempdir().unwrap();
    let probe = fs::File::create(place.path().join("probe")).unwrap();
    let supported = rustix::fs::fsetxattr(&probe, "user.p", b"", rustix::fs::XattrFlags::empty()).is_ok();
    let attributes = vec![(b"user.k".to_vec(), b"v".to_vec()), (b"weird.namespace".to_vec(), b"v".to_vec())];
    let frame = Frame::Entry {
        path: b"f".to_vec(),
        kind: Kind::File,
        stat: stat(0o400, 0),
        attributes,
        target: None,
        torn: true,
    };
    let report = restore(place.path(), PLAIN, &[frame.encode().unwrap()]);
    assert_eq!((report.new, report.torn), (1, 1));
    assert_eq!(report.attributes_not_kept, if supported { 1 } else { 2 });
    if supported {
        let mut value = [0; 8];
        assert_eq!(rustix::fs::getxattr(place.path().join("f"), "user.k", &mut value), Ok(1));
    }
}
