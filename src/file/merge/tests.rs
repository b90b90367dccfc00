//! Merging, with the whole of a folder in memory: any edits on any devices, any order of meetings.

use crate::file::entry::texture::Texture;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use crate::base::ids::{FeedId, NodeId};
use crate::base::version::Vector;
use crate::file::entry::{Attributes, Content, Entry, Kind, Stat};
use crate::file::merge::{conflict_key, has_content, needs_merge, shared, Merger, Version};
use crate::file::tree::{is_within, parent_of, Shape};

/// A device's folder.
#[derive(Debug, Clone)]
struct Device {
    /// Its feed.
    feed: FeedId,
    /// What is in the folder.
    tree: BTreeMap<Vec<u8>, Version>,
    /// What it has seen.
    seen: Vector,
}

impl Device {
    fn new(number: u8) -> Self {
        let feed = FeedId { node: NodeId::from_bytes([number; 32]), random: [number; 8] };
        Self { feed, tree: BTreeMap::new(), seen: Vector::default() }
    }

    /// Writes a file or directory, with the directories that it is in; what was there goes.
    fn write(&mut self, path: &[&str], kind: Kind, text: &str, mtime: i64) {
        for depth in 1..path.len() {
            let key = path[..depth].join("\0").into_bytes();
            if self.tree.get(&key).is_none_or(|version| version.entry.kind != Kind::Directory) {
                self.put(&key, Kind::Directory, "", 0);
            }
        }
        let key = path.join("\0").into_bytes();
        if self
            .tree
            .get(&key)
            .is_some_and(|version| version.entry.kind == Kind::Directory && kind == Kind::Directory)
        {
            return;
        }
        self.tree.retain(|other, _| !is_within(other, &key));
        self.put(&key, kind, text, mtime);
    }

    /// Deletes something and what is in it.
    fn delete(&mut self, path: &[&str]) {
        let key = path.join("\0").into_bytes();
        let before = self.tree.len();
        self.tree.retain(|other, _| !is_within(other, &key));
        if self.tree.len() < before {
            // A deletion is a change, too: who has seen it has seen more.
            self.seen.next(self.feed);
        }
    }

    fn put(&mut self, key: &[u8], kind: Kind, text: &str, mtime_ns: i64) {
        let stat = Stat {
            size: u64::try_from(text.len()).unwrap(),
            mtime_ns,
            ctime_ns: 0,
            inode: 0,
            mode: 0o644,
            uid: 0,
            gid: 0,
            links: 1,
        };
        let content = if text.is_empty() { Content::None } else { Content::Inline };
        let attributes = Attributes::Here(Vec::new());
        let dot = self.seen.next(self.feed);
        let (torn, texture) = (false, Texture::Plain);
        let entry = shared(Entry { kind, stat, attributes, content, torn, texture, version: None }, dot);
        let value = entry.encode().unwrap();
        let version = Version { key: key.to_vec(), entry, dot, value, tail: text.into(), theirs: false };
        self.tree.insert(key.to_vec(), version);
    }

    /// Takes what another device has.
    fn meet(&mut self, other: &Self) {
        if !needs_merge(&self.seen, &other.seen, self.tree == other.tree) {
            return;
        }
        let mut merger = Merger::new(self.seen.clone(), other.seen.clone(), Vec::new());
        let keys: BTreeSet<&Vec<u8>> = self.tree.keys().chain(other.tree.keys()).collect();
        for key in keys {
            let theirs = other.tree.get(key).map(|version| Version { theirs: true, ..version.clone() });
            merger.take(self.tree.get(key).cloned(), theirs);
        }
        merger.end();
        assert_eq!(merger.put_off(), None);
        let (mut tree, mut shape) = (BTreeMap::new(), Shape::new());
        while let Some(version) = merger.pop() {
            shape.check(&version.key, version.entry.kind).expect("the merged tree is a tree, in order");
            tree.insert(version.key.clone(), Version { theirs: false, ..version });
        }
        self.seen.join(&other.seen);
        for loser in merger.take_losers() {
            self.copy(&mut tree, &loser);
        }
        self.tree = tree;
    }

    /// Makes a conflict copy.
    fn copy(&mut self, tree: &mut BTreeMap<Vec<u8>, Version>, loser: &Version) {
        for attempt in 1.. {
            let key = conflict_key(loser, "device", attempt);
            match tree.get(&key) {
                Some(there) if has_content((&there.entry, &there.tail), (&loser.entry, &loser.tail)) => {
                    return
                }
                Some(_) => {}
                None => {
                    let dot = self.seen.next(self.feed);
                    let entry = shared(loser.entry.clone(), dot);
                    let value = entry.encode().unwrap();
                    let copy = Version {
                        key: key.clone(),
                        entry,
                        dot,
                        value,
                        tail: loser.tail.clone(),
                        theirs: false,
                    };
                    tree.insert(key, copy);
                    return;
                }
            }
        }
    }

    /// Contents of all files.
    fn contents(&self) -> BTreeSet<Vec<u8>> {
        let files = self.tree.values().filter(|version| version.entry.kind == Kind::File);
        files.map(|version| version.tail.clone()).collect()
    }

    /// Paths and contents.
    fn shown(&self) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\0', "/");
        self.tree.iter().map(|(key, version)| (text(key), text(&version.tail))).collect()
    }
}

/// All devices meet until nothing changes.
fn settle(devices: &mut [Device]) {
    for _ in 0..20 {
        let before = devices.to_vec();
        for one in 0..devices.len() {
            for other in 0..devices.len() {
                if one != other {
                    let other = devices[other].clone();
                    devices[one].meet(&other);
                }
            }
        }
        if devices.iter().zip(&before).all(|(now, then)| now.tree == then.tree && now.seen == then.seen) {
            return;
        }
    }
    panic!("they never agree: {:#?}", devices.iter().map(Device::shown).collect::<Vec<_>>());
}

/// Two devices with the same folder.
fn pair() -> (Device, Device) {
    let (mut one, mut other) = (Device::new(1), Device::new(2));
    one.write(&["a", "x"], Kind::File, "first", 1);
    one.write(&["b"], Kind::File, "kept", 1);
    other.meet(&one);
    assert_eq!(other.shown(), one.shown());
    (one, other)
}

#[test]
fn what_one_changes_reaches_the_other_and_nothing_comes_back() {
    let (mut one, mut other) = pair();
    one.write(&["a", "x"], Kind::File, "second", 2);
    one.delete(&["b"]);
    other.write(&["c"], Kind::File, "new", 2);
    let mut both = [one, other];
    settle(&mut both);
    for device in &both {
        assert_eq!(
            device.shown(),
            [("a", ""), ("a/x", "second"), ("c", "new")].map(|(key, text)| (key.to_owned(), text.to_owned()))
        );
    }
}

#[test]
fn two_changes_of_one_file_are_both_kept_and_the_later_has_the_name() {
    let (mut one, mut other) = pair();
    one.write(&["b"], Kind::File, "mine", 20);
    other.write(&["b"], Kind::File, "yours", 30);
    let mut both = [one, other];
    settle(&mut both);
    let shown = both[0].shown();
    assert_eq!(both[1].shown(), shown);
    let at = |name: &str| shown.iter().find(|(key, _)| key == name).map(|(_, text)| text.as_str());
    assert_eq!(at("b"), Some("yours"));
    let copy =
        shown.iter().find(|(key, _)| key.starts_with("b (conflict device 1970-01-01 ")).expect("a copy");
    assert_eq!(copy.1, "mine");
    assert_eq!(shown.len(), 4, "no copy is made twice: {shown:?}");
}

#[test]
fn who_deletes_a_copy_or_a_file_is_obeyed_by_devices_that_met_only_one_side() {
    let (mut one, mut other) = pair();
    let mut third = other.clone();
    third.feed = Device::new(3).feed;
    one.write(&["b"], Kind::File, "mine", 20);
    other.write(&["b"], Kind::File, "yours", 30);
    third.meet(&one);
    one.meet(&other);
    let copy: Vec<u8> = one.tree.keys().find(|key| key.starts_with(b"b (conflict")).unwrap().clone();
    one.delete(&[std::str::from_utf8(&copy).unwrap()]);
    let mut all = [one, other, third];
    settle(&mut all);
    for device in &all {
        // The third had made no copy: it has seen the deletion's past.
        let shown = device.shown();
        assert!(shown.iter().any(|(key, text)| key == "b" && text == "yours"), "{shown:?}");
    }
}

#[test]
fn a_change_wins_over_a_deletion_that_has_not_seen_it() {
    let (mut one, mut other) = pair();
    one.delete(&["a"]);
    other.write(&["a", "x"], Kind::File, "changed", 5);
    other.write(&["a", "deep", "y"], Kind::File, "made", 5);
    let mut both = [one, other];
    settle(&mut both);
    for device in &both {
        let contents = device.contents();
        assert!(
            contents.contains(b"changed".as_slice()) && contents.contains(b"made".as_slice()),
            "{:?}",
            device.shown()
        );
    }
}

#[test]
fn a_directory_in_which_something_stays_displaces_a_file() {
    let (mut one, mut other) = pair();
    one.write(&["a"], Kind::File, "a file now", 9);
    other.write(&["a", "z"], Kind::File, "in the directory", 9);
    let mut both = [one, other];
    settle(&mut both);
    let shown = both[0].shown();
    assert_eq!(both[1].shown(), shown);
    assert!(shown.contains(&("a/z".to_owned(), "in the directory".to_owned())));
    assert!(
        shown.iter().any(|(key, text)| key.starts_with("a (conflict") && text == "a file now"),
        "{shown:?}"
    );
    assert!(!shown.iter().any(|(key, _)| key == "a/x"), "it was deleted, and nobody changed it: {shown:?}");
}

#[test]
fn equal_content_is_no_conflict() {
    let (mut one, mut other) = (Device::new(1), Device::new(2));
    one.write(&["p"], Kind::File, "same", 1);
    other.write(&["p"], Kind::File, "same", 7);
    let mut both = [one, other];
    settle(&mut both);
    assert_eq!(both[0].shown(), [("p".to_owned(), "same".to_owned())]);
    assert_eq!(both[0].tree, both[1].tree, "and the versions are the same");
}

#[test]
fn conflict_copies_have_names_that_can_be() {
    let mut device = Device::new(9);
    let long = "\u{e4}".repeat(120) + ".tar";
    for name in ["plain", "photo.jpg", ".hidden", "trailing.", &long] {
        device.write(&["dir", name], Kind::File, "x", 1_700_000_000_000_000_000);
    }
    for version in device.tree.values().filter(|version| version.entry.kind == Kind::File) {
        let key = conflict_key(version, "B\u{fc}ro/\u{7}PC with a name that goes on and on", 1);
        crate::file::tree::check_key(&key).unwrap();
        assert_eq!(parent_of(&key), b"dir");
        let text = String::from_utf8(key).expect("characters stay whole");
        assert!(text.contains(" (conflict B\u{fc}roPC with a name that 2023-11-14 "), "{text}");
        assert_ne!(conflict_key(version, "x", 1), conflict_key(version, "x", 2));
    }
    let photo = device.tree.values().find(|version| version.key.ends_with(b".jpg")).unwrap();
    assert!(conflict_key(photo, "x", 1).ends_with(b").jpg"));
}

/// What happens to one device.
#[derive(Debug, Clone)]
enum Act {
    Write(usize, Vec<usize>, bool, u8, i64),
    Delete(usize, Vec<usize>),
    Meet(usize, usize),
}

fn act() -> impl Strategy<Value = Act> {
    let path = || proptest::collection::vec(0_usize..3, 1..4);
    prop_oneof![
        4 => (0_usize..5, path(), any::<bool>(), 0_u8..6, 0_i64..4)
            .prop_map(|(device, path, directory, text, mtime)| Act::Write(device, path, directory, text, mtime)),
        2 => (0_usize..5, path()).prop_map(|(device, path)| Act::Delete(device, path)),
        3 => (0_usize..5, 0_usize..5).prop_map(|(one, other)| Act::Meet(one, other)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Random edits on two to five devices that meet or do not: in the end all have one tree, and every content that a device
    /// had made, and that nobody who had seen it replaced or deleted, is in it.
    #[test]
    fn all_devices_agree_and_nothing_unseen_is_lost(
        count in 2_usize..=5,
        acts in proptest::collection::vec(act(), 1..40),
    ) {
        let mut devices: Vec<Device> = (0..count).map(|number| Device::new(u8::try_from(number).unwrap() + 1)).collect();
        let names = ["a", "b", "c"];
        for act in acts {
            match act {
                Act::Write(device, path, directory, text, mtime) => {
                    let path: Vec<&str> = path.iter().map(|name| names[*name]).collect();
                    let kind = if directory { Kind::Directory } else { Kind::File };
                    let text = if directory { String::new() } else { format!("text {text}") };
                    devices[device % count].write(&path, kind, &text, mtime);
                }
                Act::Delete(device, path) => {
                    let path: Vec<&str> = path.iter().map(|name| names[*name]).collect();
                    devices[device % count].delete(&path);
                }
                Act::Meet(one, other) if one % count != other % count => {
                    let other = devices[other % count].clone();
                    let mine = &mut devices[one % count];
                    // What neither has seen of the other's.
                    let must: Vec<Vec<u8>> = other.tree.values().filter(|version| !mine.seen.covers(&version.dot))
                        .chain(mine.tree.values().filter(|version| !other.seen.covers(&version.dot)))
                        .filter(|version| version.entry.kind == Kind::File)
                        .map(|version| version.tail.clone())
                        .collect();
                    mine.meet(&other);
                    let contents = mine.contents();
                    for text in must {
                        prop_assert!(contents.contains(&text), "{:?} is lost: {:?}", text, mine.shown());
                    }
                }
                Act::Meet(..) => {}
            }
        }
        settle(&mut devices);
        for device in &devices[1..] {
            prop_assert_eq!(device.shown(), devices[0].shown());
            prop_assert_eq!(&device.tree, &devices[0].tree);
        }
    }
}
