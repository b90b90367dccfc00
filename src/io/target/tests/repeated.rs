//! A restore that is repeated, after it was whole or broke off: what stands there already is left alone.

use super::*;
use crate::node::put::ASIDE_PREFIX;
use rustix::fs::{flock, FlockOperation};

/// A tree of a bit of everything.
fn tree() -> Vec<Vec<u8>> {
    let two_names = Stat { links: 2, inode: 4, ..stat(0o644, 3) };
    let name =
        |path: &[u8]| [entry(path, Kind::File, two_names, None).encode().unwrap(), data(b"two")].concat();
    vec![
        directory(b"d"),
        file(b"d/a", b"content"),
        directory(b"d/e"),
        file(b"d/e/odd \xff\n", b"more"),
        link(b"d/link", b"../nowhere"),
        name(b"d/name 1"),
        name(b"d/name 2"),
        entry(b"empty", Kind::File, stat(0o400, 0), None).encode().unwrap(),
    ]
}

/// Inode and time of last change of everything below.
fn traces(root: &Path) -> Vec<(std::path::PathBuf, u64, i64, i64)> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let facts = fs::symlink_metadata(&path).unwrap();
            if facts.is_dir() {
                todo.push(path.clone());
            }
            found.push((path, facts.ino(), facts.ctime(), facts.ctime_nsec()));
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_there_already_is_not_touched() {
    let place = tempfile::tempdir().unwrap();
    let first = restore(place.path(), PLAIN, &tree());
    assert_eq!((first.new, first.equal), (6, 0));
    let before = traces(place.path());
    for options in
        [PLAIN, OVERWRITE, Options { checksum: true, ..PLAIN }, Options { checksum: true, ..OVERWRITE }]
    {
        let report = restore(place.path(), options, &tree());
        assert_eq!((report.new, report.overwritten, report.kept, report.lost_count), (0, 0, 0, 0));
        assert_eq!((report.equal, report.equal_bytes, report.bytes), (6, 17, 0));
        assert_eq!((report.corrected, report.modes_not_kept, report.links_copied), (0, 0, 0));
        assert_eq!(traces(place.path()), before, "{options:?}");
    }
}

#[test]
fn a_restore_that_was_killed_is_finished_by_the_same_command() {
    let place = tempfile::tempdir().unwrap();
    let whole = stream(&tree());
    let expected = tempfile::tempdir().unwrap();
    restore(expected.path(), PLAIN, &tree());
    for cut in (4..whole.len()).step_by(7) {
        let target = place.path().join(cut.to_string());
        let mut writer = Writer::new(&target, PLAIN).unwrap();
        writer.take(&whole[..cut]).unwrap();
        // A killed process drops nothing and gives no directory its mode.
        std::mem::forget(writer);
        let report = restore(&target, PLAIN, &tree());
        assert_eq!((report.kept, report.lost_count, report.new + report.equal), (0, 0, 6), "{cut}");
        let look = |root: &Path, path: &str| {
            let facts = fs::symlink_metadata(root.join(path)).unwrap();
            (facts.mode(), facts.mtime(), facts.mtime_nsec(), facts.len(), facts.nlink())
        };
        for path in ["d", "d/a", "d/e", "d/link", "d/name 1", "d/name 2", "empty"] {
            assert_eq!(look(&target, path), look(expected.path(), path), "{path} after {cut} bytes");
        }
    }
}

#[test]
fn what_a_killed_restore_left_aside_goes_and_what_another_is_writing_stays() {
    let place = tempfile::tempdir().unwrap();
    restore(place.path(), PLAIN, &tree());
    let prefix = std::str::from_utf8(ASIDE_PREFIX).unwrap();
    let [left, written, link] = ["left", "written", "link"].map(|name| format!("d/e/{prefix}{name}"));
    fs::write(place.path().join(&left), b"half").unwrap();
    symlink("x", place.path().join(&link)).unwrap();
    let writer = fs::File::create(place.path().join(&written)).unwrap();
    flock(&writer, FlockOperation::NonBlockingLockExclusive).unwrap();
    restore(place.path(), Options { dry_run: true, ..PLAIN }, &tree());
    assert!(place.path().join(&left).exists(), "a dry run removes nothing");
    restore(place.path(), PLAIN, &tree());
    let there = |name: &String| fs::symlink_metadata(place.path().join(name)).is_ok();
    assert_eq!((there(&left), there(&link), there(&written)), (false, false, true));
    let facts = fs::metadata(place.path().join("d/e")).unwrap();
    assert_eq!(facts.mtime(), 987_654_321, "and the directory has its time again");
    drop(writer);
    restore(place.path(), PLAIN, &tree());
    assert!(!there(&written));
}

#[test]
fn a_file_that_differs_by_size_or_time_is_another_and_by_mode_is_not() {
    let place = tempfile::tempdir().unwrap();
    restore(place.path(), PLAIN, &tree());
    let path = place.path().join("d/a");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let report = restore(place.path(), PLAIN, &tree());
    assert_eq!((report.equal, report.kept, report.modes_not_kept), (6, 0, 1), "the mode is told, and stays");
    let inode = fs::metadata(&path).unwrap().ino();
    let report = restore(place.path(), OVERWRITE, &tree());
    assert_eq!((report.equal, report.overwritten, report.corrected), (6, 0, 1));
    let facts = fs::metadata(&path).unwrap();
    assert_eq!((facts.mode() & 0o7777, facts.ino()), (0o640, inode), "it got its mode and no new content");
    fs::write(&path, b"CONTENT").unwrap();
    let report = restore(place.path(), PLAIN, &tree());
    assert_eq!((report.equal, report.kept_paths), (5, vec![b"d/a".to_vec()]));
    let report = restore(place.path(), OVERWRITE, &tree());
    assert_eq!((report.equal, report.overwritten), (5, 1));
    assert_eq!(fs::read(&path).unwrap(), b"content");
}

#[test]
fn by_content_what_has_the_same_size_and_time_is_found_and_what_has_only_another_time_is_equal() {
    let long: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let size = stat(0o644, 1_300_000);
    let parts = [
        entry(b"long", Kind::File, size, None).encode().unwrap(),
        data(&long),
        Frame::Hole(100_000).encode().unwrap(),
    ];
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("long");
    let by_content = Options { checksum: true, ..PLAIN };
    restore(place.path(), PLAIN, &parts);
    let whole = fs::read(&path).unwrap();
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    let change = |content: &[u8], time| {
        fs::write(&path, content).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    };
    for at in [0, 64 * 1024, 1_199_999, 1_200_001, 1_299_999] {
        let mut other = whole.clone();
        other[at] ^= 1;
        change(&other, time);
        assert_eq!(restore(place.path(), PLAIN, &parts).equal, 1, "size and time tell nothing");
        let report = restore(place.path(), by_content, &parts);
        assert_eq!((report.equal, report.kept, report.bytes), (0, 1, 0), "{at}");
        assert_eq!(fs::read(&path).unwrap(), other, "it stays");
        let report = restore(place.path(), Options { overwrite: true, ..by_content }, &parts);
        assert_eq!((report.equal, report.overwritten, report.bytes), (0, 1, 1_300_000), "{at}");
        assert!(fs::read(&path).unwrap() == whole, "{at}");
    }
    for other in [&whole[..1_250_000], &whole[..7], &[whole.as_slice(), b"x"].concat()] {
        change(other, time);
        assert_eq!(restore(place.path(), by_content, &parts).kept, 1);
        restore(place.path(), Options { overwrite: true, ..by_content }, &parts);
        assert!(fs::read(&path).unwrap() == whole);
    }
    change(&whole, std::time::SystemTime::UNIX_EPOCH);
    assert_eq!(restore(place.path(), PLAIN, &parts).kept, 1);
    assert_eq!(restore(place.path(), by_content, &parts).equal, 1);
    let report = restore(place.path(), Options { overwrite: true, ..by_content }, &parts);
    assert_eq!((report.equal, report.corrected), (1, 1), "and it gets its time");
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), time);
    assert_no_leftovers(place.path());
}

#[test]
fn content_that_was_left_out_is_only_missed_where_something_has_changed_since() {
    let place = tempfile::tempdir().unwrap();
    restore(place.path(), PLAIN, &[file(b"a", b"content"), file(b"b", b"content")]);
    fs::remove_file(place.path().join("b")).unwrap();
    let bare = |path| {
        let entry = entry(path, Kind::File, stat(0o640, 7), None).encode().unwrap();
        [entry, Frame::LeftOut.encode().unwrap()].concat()
    };
    let report = restore(place.path(), OVERWRITE, &[bare(b"a"), bare(b"b"), file(b"c", b"x")]);
    assert_eq!((report.equal, report.new, report.lost_count), (1, 1, 1));
    assert_eq!(report.lost[0].0, b"b");
    assert!(!place.path().join("b").exists(), "no empty file stands in for it");
    assert_no_leftovers(place.path());
}

#[test]
fn a_plan_names_every_path_and_what_would_become_of_it() {
    let place = tempfile::tempdir().unwrap();
    restore(place.path(), PLAIN, &tree()[..2]);
    symlink("elsewhere", place.path().join("d/link")).unwrap();
    for (overwrite, link) in [(false, Fate::Kept), (true, Fate::Overwritten)] {
        let options = Options { dry_run: true, overwrite, ..PLAIN };
        let mut writer = Writer::new(place.path(), options).unwrap();
        writer.take(&stream(&tree())).unwrap();
        let planned = writer.take_planned();
        let told: Vec<(Fate, bool, &[u8])> = planned
            .iter()
            .map(|planned| (planned.fate, planned.directory, planned.path.as_slice()))
            .collect();
        let expected = [
            (Fate::Equal, false, &b"d/a"[..]),
            (Fate::New, true, b"d/e"),
            (Fate::New, false, b"d/e/odd \xff\n"),
            (link, false, b"d/link"),
            (Fate::New, false, b"d/name 1"),
            (Fate::New, false, b"d/name 2"),
            (Fate::New, false, b"empty"),
        ];
        assert_eq!(told, expected);
        assert!(writer.take_planned().is_empty());
    }
    assert_eq!(fs::read_dir(place.path().join("d")).unwrap().count(), 2, "nothing was written");
}
