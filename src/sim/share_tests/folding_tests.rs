//! Disks that take two names for one, or do not take some: what cannot be there is elsewhere, and nothing is lost for it.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::rand_core::{RngCore, SeedableRng};
use rand_chacha::ChaCha20Rng;

use super::{carry, has, settle, shown, Device};
use crate::base::ids::ChunkId;
use crate::sim::backup_tests::noise;
use crate::sim::duties::ROOT;
use crate::sim::files::Manner;

/// What lies in a folder: paths, and the content of files.
type All = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Whether a path, or a directory on its way, cannot be on a disk on which this stands.
pub(super) fn cannot_be(path: &[u8], there: &All, manner: Manner) -> bool {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    ends.chain([path.len()]).any(|end| {
        let part = &path[..end];
        let name = part.rsplit(|byte| *byte == b'/').next().unwrap();
        let is_refused = manner == Manner::Restricted && (name.contains(&b':') || name.ends_with(b"."));
        is_refused || there.keys().any(|other| other != part && other.eq_ignore_ascii_case(part))
    })
}

/// A disk that cannot have all has nothing else than the others, and all that it can have.
pub(super) fn check(there: &All, all: &All, manner: Manner) {
    for (path, content) in there {
        assert_eq!(
            all.get(path),
            Some(content),
            "{:?} has {:?}",
            shown(there),
            String::from_utf8_lossy(path)
        );
    }
    for path in all.keys().filter(|path| !there.contains_key(*path)) {
        let cannot = cannot_be(path, there, manner);
        assert!(cannot, "{:?} lacks {:?}", shown(there), String::from_utf8_lossy(path));
    }
}

/// A plain device and one of this manner, which have met.
fn pair(manner: Manner, files: &[(&str, &str)]) -> [Device; 2] {
    let mut devices = [Device::new(1), Device::taking(2, manner)];
    for (path, text) in files {
        devices[0].write(path, text);
    }
    settle(&mut devices);
    devices
}

#[test]
fn names_that_differ_in_case_alone_stay_two_files_where_they_can() {
    let files = [("README", "loud"), ("Readme", "quiet"), ("docs/x", "small"), ("Docs/x", "large")];
    let mut devices = pair(Manner::Folding, &files);
    let there = devices[1].bench.files.all(ROOT);
    assert_eq!(there.len(), 4, "the root, one of each two, what is in one: {:?}", shown(&there));
    assert!(has(&there, "README", "loud") && has(&there, "Docs/x", "large"), "{:?}", shown(&there));
    // What is changed where one of them stands is a change of that one.
    devices[1].write("README", "louder");
    devices[1].write("docs/new", "made there");
    let all = settle(&mut devices);
    assert!(has(&all, "README", "louder") && has(&all, "Readme", "quiet"), "{:?}", shown(&all));
    assert!(
        has(&all, "docs/x", "small") && has(&all, "Docs/x", "large") && has(&all, "Docs/new", "made there")
    );
    // What stands in the way goes elsewhere: the other comes.
    devices[0].remove("README");
    devices[0].remove("Docs");
    settle(&mut devices);
    let there = devices[1].bench.files.all(ROOT);
    assert!(has(&there, "Readme", "quiet") && has(&there, "docs/x", "small"), "{:?}", shown(&there));
    assert_eq!(there.len(), 4);
    // The same if it goes there.
    devices[0].write("readme", "third");
    settle(&mut devices);
    devices[1].remove("Readme");
    let all = settle(&mut devices);
    assert!(has(&all, "readme", "third") && !all.contains_key(&b"Readme"[..]), "{:?}", shown(&all));
    assert!(has(&devices[1].bench.files.all(ROOT), "readme", "third"));
}

#[test]
fn a_name_that_only_changes_its_case_is_a_name_that_changes() {
    let mut devices = pair(Manner::Folding, &[("Readme", "text"), ("docs/a", "one"), ("docs/b", "two")]);
    for (from, to) in [("Readme", "README"), ("README", "readme")] {
        devices[0].remove(from);
        devices[0].write(to, "text");
        settle(&mut devices);
        let there = devices[1].bench.files.all(ROOT);
        assert!(has(&there, to, "text") && !there.contains_key(from.as_bytes()), "{to}: {:?}", shown(&there));
    }
    devices[0].remove("docs");
    devices[0].write("DOCS/a", "one");
    settle(&mut devices);
    assert!(has(&devices[1].bench.files.all(ROOT), "DOCS/a", "one"));
    // Also where that is done on such a disk.
    devices[1].remove("readme");
    devices[1].write("ReadMe", "text");
    let all = settle(&mut devices);
    assert!(has(&all, "ReadMe", "text") && !all.contains_key(&b"readme"[..]), "{:?}", shown(&all));
}

#[test]
fn what_a_disk_does_not_take_stays_elsewhere_and_is_said_once() {
    let mut devices = pair(Manner::Restricted, &[("a:b", "colon"), ("end./x", "dot"), ("fine", "f")]);
    let there = devices[1].bench.files.all(ROOT);
    assert!(there.len() == 2 && has(&there, "fine", "f"), "{:?}", shown(&there));
    devices[0].write("a:b", "colon again");
    devices[0].scan();
    carry(&mut devices, 0, 1);
    let theirs = devices[0].state.clone().unwrap();
    let end = devices[1].meet(&[theirs]).unwrap();
    let told: Vec<_> = end.taken.report.paths.iter().map(|(path, _)| path.as_slice()).collect();
    assert_eq!(
        (end.pending, end.unfit, told),
        (3, 3, vec![&b"a:b"[..], b"end."]),
        "what is in it is not named"
    );
    devices[1].write("fine", "changed there");
    devices[1].scan();
    assert_eq!(devices[1].owed, 3);
    let all = settle(&mut devices);
    assert!(
        has(&all, "a:b", "colon again") && has(&all, "end./x", "dot") && has(&all, "fine", "changed there")
    );
    // Another name for it, and it comes.
    devices[0].remove("a:b");
    devices[0].write("a-b", "colon again");
    settle(&mut devices);
    assert!(has(&devices[1].bench.files.all(ROOT), "a-b", "colon again"));
}

/// What a restore asks for and no manifest lists would be given up everywhere once no older snapshot lists it.
#[test]
fn what_a_disk_does_not_take_is_listed_by_its_snapshots_all_the_same() {
    let large =
        |seed| noise(seed, 3_000_000).iter().map(|byte| char::from(b'0' + byte % 64)).collect::<String>();
    let files = [("a:b", large(1)), ("end./x", large(2)), ("gone", large(3)), ("fine", "f".to_owned())];
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (*path, text.as_str())).collect();
    for receives in [false, true] {
        let mut devices = pair(Manner::Restricted, &files);
        (devices[1].anew, devices[1].receives) = (true, receives);
        devices[1].remove("gone");
        devices[1].write("fine", "changed there");
        devices[1].scan();
        assert_eq!(devices[1].owed, if receives { 5 } else { 3 }, "receives: {receives}");
        let (parent, _) = devices[1].state.clone().unwrap();
        let bench = &mut devices[1].bench;
        bench.asked.clear();
        let (stream, _) = bench.restore(&parent, b"", false).unwrap();
        assert_eq!(stream.files.contains_key(&b"gone"[..]), receives);
        let asked: BTreeSet<ChunkId> = bench.asked.iter().copied().collect();
        assert!(bench.manifest(parent.manifest).is_superset(&asked), "receives: {receives}");
    }
}

#[test]
fn a_disk_that_keeps_times_coarsely_changes_nothing_for_others() {
    let mut devices = pair(Manner::Folding, &[("a", "text")]);
    let before = devices[0].state.clone().unwrap().0.tree;
    // What FAT does to a file: another time, another inode, no attributes.
    devices[1].bench.files.remount(ROOT);
    let all = settle(&mut devices);
    assert!(has(&all, "a", "text"));
    assert_eq!(devices[0].state.clone().unwrap().0.tree, before, "nobody has changed anything");
}

/// Edits on a plain device only: whatever the disks of others cannot have, nothing of it comes back as a change.
#[test]
fn whoever_only_looks_changes_nothing_whatever_its_disk_takes() {
    for seed in 0..40 {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut draw =
            move |below: usize| usize::try_from(rng.next_u64() % u64::try_from(below).unwrap()).unwrap();
        let mut devices =
            [Device::new(1), Device::taking(2, Manner::Folding), Device::taking(3, Manner::Restricted)];
        let names = ["a", "A", "b", "B", "c:", "d."];
        for step in 0..30 {
            let path = (0..=draw(3)).map(|_| names[draw(6)]).collect::<Vec<_>>().join("/");
            match draw(5) {
                0 => devices[0].remove(&path),
                1 | 2 => {
                    let other = 1 + draw(2);
                    devices[0].scan();
                    carry(&mut devices, 0, other);
                    let theirs = devices[0].state.clone().unwrap();
                    devices[other].meet(&[theirs]);
                }
                _ => devices[0].write(&path, &format!("at {step}")),
            }
            if draw(12) == 0 {
                let before = devices[0].bench.files.all(ROOT);
                settle(&mut devices);
                assert_eq!(shown(&devices[0].bench.files.all(ROOT)), shown(&before), "seed {seed}");
            }
        }
        let before = devices[0].bench.files.all(ROOT);
        settle(&mut devices);
        assert_eq!(shown(&devices[0].bench.files.all(ROOT)), shown(&before), "seed {seed}");
    }
}
