//! Watches over real directories.

use super::*;
use crate::base::limits::SETTLE;
use crate::node::watching::Timing;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

/// A folder's name.
fn folder(number: u8) -> FolderId {
    FolderId::from_bytes([number; 16])
}

/// Watches a directory as a scan does.
fn watch(watches: &Watches, number: u8, path: &Path, is_root: bool) -> Option<i32> {
    let directory = File::open(path).unwrap();
    watches.watch(folder(number), directory.as_fd(), is_root)
}

/// A scan that lists these directories, the first of which is the root; how many are watched then.
fn scan(watches: &Watches, number: u8, paths: &[&Path]) -> u64 {
    assert_eq!(watches.obey(&WatchOrder::Begin(folder(number))), None);
    for (index, path) in paths.iter().enumerate() {
        assert!(watch(watches, number, path, index == 0).is_some());
    }
    match watches.obey(&WatchOrder::End(folder(number))) {
        Some(Notice::Watching { directories, missed: 0, reason: None, .. }) => directories,
        other => panic!("{other:?}"),
    }
}

/// What was told, but for which files changed: folders.
fn told(changes: &mut Changes) -> Vec<FolderId> {
    let folder = |notice| match notice {
        Notice::Changed(folder, _) => folder,
        other => panic!("{other:?}"),
    };
    all_told(changes).into_iter().map(folder).collect()
}

/// Whether the files that changed in the only folder are all closed.
fn is_over(changes: &mut Changes) -> bool {
    let mut timing = Timing::default();
    for notice in all_told(changes) {
        let Notice::Changed(_, touched) = notice else { panic!("{notice:?}") };
        timing.changed(Time::ZERO, touched);
    }
    timing.due().expect("something has changed") < Time::ZERO + SETTLE
}

/// What was told, however long ago it was read last.
fn all_told(changes: &mut Changes) -> Vec<Notice> {
    changes.rests_until = None;
    changes.is_ready = true;
    changes.take(Time::ZERO)
}

#[test]
fn each_folder_hears_of_its_own_directories_and_of_those_that_it_shares() {
    let place = tempfile::tempdir().unwrap();
    let (outer, inner) = (place.path(), place.path().join("inner"));
    fs::create_dir(&inner).unwrap();
    let (watches, mut changes) = start().unwrap();
    assert_eq!(scan(&watches, 1, &[outer, &inner]), 2);
    assert_eq!(scan(&watches, 2, &[&inner]), 1);
    assert_eq!(told(&mut changes), []);
    fs::write(outer.join("a"), "a").unwrap();
    assert_eq!(told(&mut changes), [folder(1)]);
    fs::write(inner.join("b"), "b").unwrap();
    assert_eq!(told(&mut changes), [folder(1), folder(2)]);
    // The next scan leaves it out; the other folder has it still.
    assert_eq!(scan(&watches, 1, &[outer]), 1);
    fs::write(inner.join("c"), "c").unwrap();
    assert_eq!(told(&mut changes), [folder(2)]);
    assert_eq!(watches.obey(&WatchOrder::Forget(folder(2))), None);
    fs::write(inner.join("d"), "d").unwrap();
    assert_eq!(told(&mut changes), []);
    assert_eq!(watch(&watches, 2, &inner, true), None, "no scan of it has begun");
}

#[test]
fn a_root_that_goes_away_is_a_change_and_reading_is_none() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a"), "a").unwrap();
    let (watches, mut changes) = start().unwrap();
    assert_eq!(scan(&watches, 1, &[&root]), 1);
    assert_eq!(fs::read(root.join("a")).unwrap(), b"a");
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    assert_eq!(told(&mut changes), []);
    fs::rename(&root, place.path().join("away")).unwrap();
    assert_eq!(told(&mut changes), [folder(1)]);
}

#[test]
fn what_is_too_much_at_once_is_told_as_such() {
    let place = tempfile::tempdir().unwrap();
    let (watches, mut changes) = start().unwrap();
    assert_eq!(scan(&watches, 1, &[place.path()]), 1);
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let most: u64 = most.trim().parse().unwrap();
    for number in 0..most.min(1 << 20) {
        File::create(place.path().join(if number % 2 == 0 { "a" } else { "b" })).unwrap();
    }
    let all: Vec<Notice> = std::iter::repeat_with(|| all_told(&mut changes))
        .take_while(|all| !all.is_empty())
        .flatten()
        .collect();
    let is_told = |notice: &Notice| matches!(notice, Notice::Changed(of, _) if *of == folder(1));
    assert!(all.contains(&Notice::Overflowed) && all.iter().any(is_told), "{all:?}");
}

#[test]
fn a_storm_is_read_ten_times_a_second_and_a_busy_node_asks_no_oftener() {
    let place = tempfile::tempdir().unwrap();
    let (watches, mut changes) = start().unwrap();
    assert_eq!(scan(&watches, 1, &[place.path()]), 1);
    let now = Time::from_micros(1_000_000);
    fs::write(place.path().join("a"), "a").unwrap();
    assert_eq!(changes.take(now).len(), 1);
    assert_eq!(changes.due(), Some(now + WATCH_REST));
    fs::write(place.path().join("b"), "b").unwrap();
    assert_eq!(changes.take(now + WATCH_REST.part(2)), []);
    assert_eq!(changes.take(now + WATCH_REST).len(), 1);
}

#[test]
fn a_file_is_being_written_until_it_is_closed_or_loses_its_name() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let (watches, mut changes) = start().unwrap();
    assert_eq!(scan(&watches, 1, &[root]), 1);
    let mut file = File::create(root.join("a")).unwrap();
    assert!(is_over(&mut changes), "an empty file is made");
    file.write_all(b"half").unwrap();
    assert!(!is_over(&mut changes));
    file.write_all(b"whole").unwrap();
    drop(file);
    assert!(is_over(&mut changes));
    // As editors do: aside, closed, renamed over what was there.
    fs::write(root.join("a~"), b"new").unwrap();
    fs::rename(root.join("a~"), root.join("a")).unwrap();
    assert!(is_over(&mut changes));
    let mut file = File::create(root.join("gone")).unwrap();
    file.write_all(b"x").unwrap();
    fs::remove_file(root.join("gone")).unwrap();
    assert!(is_over(&mut changes));
    fs::create_dir(root.join("made")).unwrap();
    assert!(is_over(&mut changes));
}

#[test]
fn what_this_process_puts_there_is_no_change_and_what_a_restore_puts_there_is() {
    let place = tempfile::tempdir().unwrap();
    let root = place.path();
    let (watches, mut changes) = start().unwrap();
    assert_eq!(scan(&watches, 1, &[root]), 1);
    let own = root.join(format!("{}1", own_prefix()));
    fs::write(&own, "new").unwrap();
    fs::rename(&own, root.join("a")).unwrap();
    assert_eq!(told(&mut changes), []);
    fs::write(root.join("a"), "changed").unwrap();
    assert_eq!(told(&mut changes), [folder(1)]);
    let other = root.join(".nuthatch-aside-x-1");
    fs::write(&other, "new").unwrap();
    fs::rename(&other, root.join("a")).unwrap();
    assert_eq!(told(&mut changes), [folder(1)]);
}
