//! Shared folders, from scan to disk: real scans, real merges, files in memory, random edits on devices that meet or do not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::duties::{Bench, ROOT};
use super::files::Manner;
use crate::base::ids::{FeedId, NodeId};
use crate::base::version::Vector;
use crate::feed::entry::SharedText;
use crate::file::merge::needs_merge;
use crate::node::api::ApiError;
use crate::node::backup::{BackupError, Outcome, Parent, Taken};
use crate::node::edit::{Done, Edit};
use crate::node::merging::{MergeEnd, MergeJob, MergeOutput, Merging};
use crate::node::share_scan::SharedScan;

#[cfg(test)]
mod folding_tests;
#[cfg(test)]
mod mount_tests;
#[cfg(test)]
mod random_tests;

/// A device with a shared folder.
struct Device {
    /// Its ports.
    bench: Bench,
    /// The feed of its changes.
    feed: FeedId,
    /// The folder as it has it.
    state: Option<(Parent, SharedText)>,
    /// Contents that were written since the last scan.
    fresh: BTreeSet<Vec<u8>>,
    /// Paths that others made and this disk does not have.
    owed: u64,
    /// What it leaves out.
    ignore: Vec<String>,
    /// Files of more bytes than that are left out as well.
    max_size: Option<u64>,
    /// The folder was attached to another place, and not scanned there yet.
    elsewhere: bool,
    /// It has no directory of it.
    is_bare: bool,
    /// What is changed on it stays there.
    receives: bool,
    /// Its manifests are built anew.
    anew: bool,
    /// Which names its disk takes.
    manner: Manner,
}

impl Device {
    fn new(number: u8) -> Self {
        let feed = FeedId { node: NodeId::from_bytes([number; 32]), random: [number; 8] };
        Self {
            bench: Bench::new(),
            feed,
            state: None,
            fresh: BTreeSet::new(),
            owed: 0,
            ignore: Vec::new(),
            max_size: None,
            elsewhere: false,
            is_bare: false,
            receives: false,
            anew: false,
            manner: Manner::Plain,
        }
    }

    /// Its disk takes these names.
    fn taking(number: u8, manner: Manner) -> Self {
        let mut device = Self { manner, ..Self::new(number) };
        device.bench.files.set_manner(manner);
        device
    }

    fn seen(&self) -> Vector {
        self.state.as_ref().map(|(_, shared)| shared.seen.clone()).unwrap_or_default()
    }

    /// Takes in what was changed here; whether anything was.
    fn scan(&mut self) -> bool {
        if self.receives && self.state.is_none() {
            return false;
        }
        let mut job = self.bench.job(self.state.as_ref().map(|(parent, _)| *parent));
        job.shared = Some(SharedScan {
            applied: self.state.as_ref().filter(|_| !self.elsewhere).map(|(_, shared)| shared.applied),
            seen: self.seen(),
            feed: self.feed,
            receive: self.receives,
        });
        job.ignore.clone_from(&self.ignore);
        job.max_size = self.max_size;
        job.anew = self.anew;
        self.fresh.clear();
        match self.bench.run(job) {
            Ok(Outcome::Changed(taken)) => {
                self.elsewhere = false;
                self.owed = taken.report.owed;
                self.take(taken);
                true
            }
            Ok(Outcome::Unchanged { report, .. }) => {
                assert!(!self.elsewhere, "what the disk is as has to be written down");
                self.owed = report.owed;
                false
            }
            Err(error) => {
                // A folder that lost all it had is left alone, and nothing is merged into it, until something is in it again.
                assert!(matches!(error, BackupError::RootEmptied { .. }), "{error:?}");
                self.write("not empty", "something");
                self.scan()
            }
        }
    }

    fn take(&mut self, taken: Taken) {
        let Taken { tree, manifest, counts, shared, .. } = taken;
        self.state = Some((Parent { tree, manifest, counts }, shared.expect("it is a shared folder's")));
    }

    /// Takes in what others have made.
    fn meet(&mut self, others: &[(Parent, SharedText)]) -> Option<MergeEnd> {
        if let (None, true, Some(first)) = (&self.state, self.receives, others.first()) {
            (self.state, self.elsewhere) = (Some(first.clone()), true);
            self.scan();
        }
        if self.state.is_none() {
            self.scan();
        }
        let ours = self.state.as_ref();
        let tree = ours.map(|(parent, _)| parent.tree);
        let theirs: Vec<(Parent, SharedText)> = others
            .iter()
            .filter(|(parent, shared)| needs_merge(&self.seen(), &shared.seen, tree == Some(parent.tree)))
            .cloned()
            .collect();
        if theirs.is_empty() && self.owed == 0 {
            return None;
        }
        let job = self.job(Some(ROOT), self.state.clone().expect("it was scanned"), theirs, Vec::new());
        Some(self.merge(job))
    }

    /// A merge of these.
    fn job(
        &mut self,
        root: Option<&[u8]>,
        ours: (Parent, SharedText),
        theirs: Vec<(Parent, SharedText)>,
        edits: Vec<Edit>,
    ) -> MergeJob {
        MergeJob {
            root: root.map(<[u8]>::to_vec),
            marker: None,
            ours,
            theirs,
            edits,
            feed: self.feed,
            names: (1..=5)
                .map(|number| (NodeId::from_bytes([number; 32]), format!("device {number}")))
                .collect(),
            own_name: format!("device {}", self.feed.random[0]),
            map_key: self.bench.job(None).map_key,
        }
    }

    /// Makes what a person wants, on top of all that these know; None: nothing is known of the folder.
    fn edit(&mut self, others: &[(Parent, SharedText)], edit: Edit) -> Option<Result<Done, ApiError>> {
        if self.receives && self.state.is_none() {
            self.meet(others);
            self.state.as_ref()?;
        }
        if !self.is_bare {
            self.scan();
        }
        let root = Some(ROOT).filter(|_| !self.is_bare);
        let mut states: Vec<(Parent, SharedText)> = self.state.iter().chain(others).cloned().collect();
        if self.is_bare {
            states.sort_by_key(|(_, shared)| std::cmp::Reverse(shared.seen.sum()));
        }
        let mut states = states.into_iter();
        let ours = states.next()?;
        let is_new = |(parent, shared): &(Parent, SharedText)| {
            needs_merge(&ours.1.seen, &shared.seen, ours.0.tree == parent.tree)
        };
        let theirs = states.filter(is_new).collect();
        let job = self.job(root, ours, theirs, vec![edit]);
        let mut end = self.merge(job);
        Some(end.edits.remove(0))
    }

    /// Runs a merge, and takes what comes of it.
    fn merge(&mut self, job: MergeJob) -> MergeEnd {
        let end = self.bench.merge(job);
        if end.is_new || end.is_here {
            self.take(end.taken.clone());
        }
        for content in &self.fresh {
            let all = self.bench.files.all(ROOT);
            assert!(
                all.values().any(|there| there.as_ref() == Some(content)),
                "{:?} was not scanned yet and is lost: {:?}",
                String::from_utf8_lossy(content),
                shown(&all)
            );
        }
        end
    }

    fn write(&mut self, path: &str, text: &str) {
        let (mut parent, path) = (String::new(), path.as_bytes());
        for part in std::str::from_utf8(path).unwrap().split('/') {
            let at = if parent.is_empty() { part.to_owned() } else { format!("{parent}/{part}") };
            let is_last = at.as_bytes() == path;
            let all = self.bench.files.all(ROOT);
            let is_it = |there: &&Vec<u8>| match self.manner {
                Manner::Plain => there.as_slice() == at.as_bytes(),
                Manner::Folding | Manner::Restricted => there.eq_ignore_ascii_case(at.as_bytes()),
            };
            let there = all.keys().find(is_it).map(|path| &all[path]);
            if matches!((there, is_last), (Some(Some(_)), false) | (Some(None), true)) {
                self.remove(&at);
            }
            parent = at;
        }
        self.bench.files.write(ROOT, path, text.as_bytes());
        if !text.starts_with("common") {
            // What stands elsewhere, too, may go there.
            self.fresh.insert(text.into());
        }
        self.forget_gone();
    }

    /// The folder is attached to another place, with some of what it has here.
    fn move_elsewhere(&mut self, mut leaves: impl FnMut() -> bool) {
        let all = self.bench.files.all(ROOT);
        self.bench.files.remove_root(ROOT);
        self.bench.files.make_root(ROOT);
        for (path, content) in all {
            if let (Some(content), false) = (content, leaves()) {
                self.bench.files.write(ROOT, &path, &content);
            }
        }
        self.elsewhere = true;
        self.scan();
    }

    /// What the person here replaced or removed is not fresh any more.
    fn forget_gone(&mut self) {
        let left: BTreeSet<Vec<u8>> = self.bench.files.all(ROOT).into_values().flatten().collect();
        self.fresh.retain(|text| left.contains(text));
    }

    fn remove(&mut self, path: &str) {
        if self.bench.files.stat(ROOT, path.as_bytes()).is_some() {
            self.bench.files.remove(ROOT, path.as_bytes());
            self.forget_gone();
        }
    }
}

impl Bench {
    /// Runs a merge to its end.
    fn merge(&mut self, job: MergeJob) -> MergeEnd {
        let mut merging = Merging::new(job, 4_000);
        let mut replies = VecDeque::new();
        loop {
            while let Some(output) = merging.poll(&mut self.sealer) {
                match output {
                    MergeOutput::Ask(ask) => self.serve(ask, &mut replies),
                    MergeOutput::Finished(result) => {
                        assert!(!merging.busy() && self.sets.is_empty());
                        return *result.expect("it can be merged");
                    }
                }
            }
            if merging.busy() {
                continue;
            }
            match replies.pop_front() {
                Some(told) => merging.told(told, &mut self.sealer),
                None => assert!(self.confirm(&mut replies), "the merge waits for nothing"),
            }
        }
    }
}

fn shown(all: &BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
    all.iter().map(|(path, content)| format!("{}={:?}", text(path), content.as_deref().map(text))).collect()
}

/// Chunks travel: `to` can read all that `from` has.
fn carry(devices: &mut [Device], from: usize, to: usize) {
    let chunks = devices[from].bench.chunks.clone();
    devices[to].bench.chunks.extend(chunks);
}

/// All scan and meet until nothing changes; the folder as all have it then.
fn settle(devices: &mut [Device]) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
    for _ in 0..30 {
        let mut still = true;
        for one in 0..devices.len() {
            if devices[one].is_bare {
                continue;
            }
            still &= !devices[one].scan();
            for other in 0..devices.len() {
                if one != other {
                    carry(devices, other, one);
                }
            }
            let others: Vec<_> = (0..devices.len())
                .filter(|other| *other != one)
                .filter_map(|other| devices[other].state.clone())
                .collect();
            if let Some(end) = devices[one].meet(&others) {
                still &= !end.is_new && end.written == 0;
                assert_eq!(end.pending, end.unfit, "{:?}", end.taken.report);
                assert!(end.pending == 0 || devices[one].manner != Manner::Plain, "{:?}", end.taken.report);
            }
        }
        if still {
            let first = devices[0].bench.files.all(ROOT);
            for device in devices[1..].iter().filter(|device| device.receives) {
                let there = device.bench.files.all(ROOT);
                for (path, content) in &first {
                    let cannot = device.manner != Manner::Plain
                        && folding_tests::cannot_be(path, &there, device.manner);
                    assert!(cannot || there.get(path) == Some(content), "{}", String::from_utf8_lossy(path));
                }
            }
            for device in devices[1..].iter().filter(|device| !device.is_bare && !device.receives) {
                if device.manner != Manner::Plain {
                    folding_tests::check(&device.bench.files.all(ROOT), &first, device.manner);
                    continue;
                }
                assert_eq!(shown(&device.bench.files.all(ROOT)), shown(&first));
                assert_eq!(device.bench.files.all(ROOT), first);
            }
            return first;
        }
    }
    panic!(
        "they never agree: {:#?}",
        devices.iter().map(|d| shown(&d.bench.files.all(ROOT))).collect::<Vec<_>>()
    );
}

fn pair() -> [Device; 2] {
    let mut devices = [Device::new(1), Device::new(2)];
    devices[0].write("a/x", "first");
    devices[0].write("b", "kept");
    let big: String = (0..400_000).map(|number| format!("{number} ")).collect();
    devices[0].write("big", &big);
    devices[0].bench.files.link_symbolic(ROOT, b"link", b"a/x");
    settle(&mut devices);
    devices
}

fn has(all: &BTreeMap<Vec<u8>, Option<Vec<u8>>>, path: &str, text: &str) -> bool {
    all.get(path.as_bytes()) == Some(&Some(text.as_bytes().to_vec()))
}

#[test]
fn both_ways_files_directories_links_and_deletions_travel() {
    let mut devices = pair();
    let mtime = |device: &Device| device.bench.files.stat(ROOT, b"big").unwrap().mtime_ns;
    assert_eq!(mtime(&devices[0]), mtime(&devices[1]), "times are kept");
    devices[1].write("a/x", "second");
    devices[1].write("deep/er/still", "made");
    devices[1].remove("b");
    devices[0].bench.files.set_mode(ROOT, b"big", 0o600);
    devices[0].remove("link");
    let all = settle(&mut devices);
    assert!(has(&all, "a/x", "second") && has(&all, "deep/er/still", "made"));
    assert!(!all.contains_key(b"b".as_slice()) && !all.contains_key(b"link".as_slice()));
    assert_eq!(devices[1].bench.files.stat(ROOT, b"big").unwrap().mode, 0o600);
}

#[test]
fn a_change_here_that_no_scan_has_seen_is_never_overwritten() {
    let mut devices = pair();
    devices[1].write("b", "theirs");
    devices[1].scan();
    devices[0].write("b", "mine, not scanned");
    carry(&mut devices, 1, 0);
    let theirs = devices[1].state.clone().unwrap();
    let end = devices[0].meet(&[theirs]).unwrap();
    assert_eq!((end.conflicts, end.pending), (0, 0), "it was set aside on the disk");
    let all = settle(&mut devices);
    assert!(has(&all, "b", "theirs"));
    let aside =
        all.iter().find(|(path, _)| path.starts_with(b"b (conflict device 1 ")).expect("it has a name");
    assert_eq!(aside.1.as_deref(), Some(b"mine, not scanned".as_slice()));
}

#[test]
fn two_who_had_the_same_files_before_have_no_conflicts() {
    let mut devices = [Device::new(1), Device::new(2), Device::new(3)];
    for device in &mut devices {
        device.write("photos/one", "a picture");
        device.write("photos/two", "another");
    }
    devices[2].write("photos/three", "only here");
    let all = settle(&mut devices);
    assert_eq!(all.len(), 5, "the root, a directory, three files: {:?}", shown(&all));
}

#[test]
fn a_folder_attached_to_another_place_is_filled_there_and_nothing_is_taken_for_deleted() {
    for there in [&[][..], &[("b", "kept")], &[("b", "another b"), ("own", "mine")]] {
        let mut devices = pair();
        let before = devices[0].bench.files.all(ROOT);
        devices[1].bench.files.remove_root(ROOT);
        devices[1].bench.files.make_root(ROOT);
        for (path, text) in there {
            devices[1].write(path, text);
        }
        devices[1].elsewhere = true;
        let all = settle(&mut devices);
        for (path, content) in before {
            assert_eq!(all.get(&path), Some(&content), "{there:?}: {:?}", shown(&all));
        }
        for (_, text) in there {
            let text = Some(text.as_bytes());
            assert!(all.values().any(|content| content.as_deref() == text), "{:?}", shown(&all));
        }
    }
}

#[test]
fn a_device_that_only_receives_keeps_what_is_changed_on_it_to_itself() {
    let mut devices = pair();
    devices[1].receives = true;
    let before = devices[0].bench.files.all(ROOT);
    devices[1].write("b", "changed where nobody shall hear of it");
    devices[1].write("mine/own", "made there");
    devices[1].remove("a/x");
    devices[1].bench.files.remove(ROOT, b"link");
    devices[1].bench.files.make_directory(ROOT, b"link");
    devices[1].write("link/below", "in the way");
    settle(&mut devices);
    assert_eq!(shown(&devices[0].bench.files.all(ROOT)), shown(&before), "nothing of it went out");
    let there = devices[1].bench.files.all(ROOT);
    for content in ["changed where nobody shall hear of it", "made there", "in the way"] {
        assert!(
            there.values().flatten().any(|text| text == content.as_bytes()),
            "{content}: {:?}",
            shown(&there)
        );
    }
    assert!(has(&there, "mine/own", "made there"));
    // What others do still comes, also where something of its own stands.
    devices[0].write("mine/own", "made by the other");
    devices[0].write("b", "newer");
    devices[0].remove("big");
    settle(&mut devices);
    let there = devices[1].bench.files.all(ROOT);
    assert!(has(&there, "mine/own", "made by the other") && has(&there, "b", "newer"), "{:?}", shown(&there));
    assert!(!there.contains_key(&b"big"[..]));
    assert!(there.values().flatten().any(|text| text == b"made there"), "{:?}", shown(&there));
    // If it may send again, it does.
    devices[1].receives = false;
    let all = settle(&mut devices);
    for content in ["changed where nobody shall hear of it", "made there", "in the way"] {
        assert!(
            all.values().flatten().any(|text| text == content.as_bytes()),
            "{content}: {:?}",
            shown(&all)
        );
    }
}

#[test]
fn what_a_killed_process_left_aside_goes_and_reaches_nobody() {
    let mut devices = pair();
    devices[0].bench.files.write(ROOT, b"a/.nuthatch-aside-7-1", b"half of it");
    let all = settle(&mut devices);
    assert!(!all.keys().any(|path| path.ends_with(b"aside-7-1")), "{:?}", shown(&all));
}

#[test]
fn what_one_device_leaves_out_is_not_deleted_elsewhere() {
    let mut devices = pair();
    devices[0].write("build/out", "made");
    devices[0].write("cache/thing", "cached");
    settle(&mut devices);
    devices[1].ignore = vec!["build/".into(), "b".into()];
    let tag = "Signature: 8a477f597d28d172789f06886806bc55";
    devices[1].write("cache/CACHEDIR.TAG", tag);
    devices[1].write("a/x", "changed there");
    let all = settle(&mut devices[..1]);
    assert!(has(&all, "build/out", "made"));
    devices[1].scan();
    carry(&mut devices, 1, 0);
    let theirs = devices[1].state.clone().unwrap();
    devices[0].meet(&[theirs]);
    let all = devices[0].bench.files.all(ROOT);
    assert!(has(&all, "a/x", "changed there") && has(&all, "build/out", "made"), "{:?}", shown(&all));
    assert!(has(&all, "b", "kept") && has(&all, "cache/thing", "cached"), "{:?}", shown(&all));
}

#[test]
fn a_file_that_is_too_large_on_one_device_is_neither_passed_on_nor_deleted_elsewhere() {
    let mut devices = pair();
    devices[0].write("film", "short");
    settle(&mut devices);
    devices[1].max_size = Some(5);
    devices[1].write("film", "longer than that");
    devices[1].write("other film", "longer than that");
    devices[1].write("photo", "small");
    let has_small = |all: &BTreeMap<_, _>| has(all, "film", "short") && has(all, "photo", "small");
    settle(&mut devices[1..]);
    carry(&mut devices, 1, 0);
    let theirs = devices[1].state.clone().unwrap();
    devices[0].meet(&[theirs]);
    let all = devices[0].bench.files.all(ROOT);
    assert!(has_small(&all) && !all.contains_key(b"other film".as_slice()), "{:?}", shown(&all));
    // A change elsewhere does not overwrite it, and without the limit all have all.
    devices[0].write("film", "new");
    devices[1].max_size = None;
    let all = settle(&mut devices);
    let long = |content: &Option<Vec<u8>>| content.as_deref() == Some(b"longer than that".as_slice());
    assert_eq!(all.values().filter(|content| long(content)).count(), 2, "{:?}", shown(&all));
    assert!(has(&all, "photo", "small"));
}

#[test]
fn a_folder_that_was_copied_to_another_place_is_the_same_folder_whatever_its_times() {
    for max_size in [None, Some(5)] {
        let mut devices = [Device::new(1), Device::new(2)];
        devices[0].write("film", "longer than that");
        devices[0].write("a/x", "first");
        let before = settle(&mut devices);
        devices[1].max_size = max_size;
        devices[1].move_elsewhere(|| false);
        assert_eq!(shown(&settle(&mut devices)), shown(&before), "nothing has two versions");
        devices[1].write("other film", "longer than that");
        assert_eq!(devices[1].scan(), max_size.is_none(), "it is left out for its size");
    }
}

#[test]
fn a_directory_that_became_a_file_and_the_other_way_round() {
    let mut devices = pair();
    devices[0].write("a", "a file now");
    devices[1].write("b/c", "a directory now");
    let all = settle(&mut devices);
    assert!(has(&all, "a", "a file now") && has(&all, "b/c", "a directory now"), "{:?}", shown(&all));
    devices[0].write("a/x", "a directory again");
    devices[1].write("a", "another file");
    let all = settle(&mut devices);
    assert!(has(&all, "a/x", "a directory again"), "{:?}", shown(&all));
    assert!(all.values().any(|text| text.as_deref() == Some(b"another file")), "{:?}", shown(&all));
}

#[test]
fn what_stands_in_the_way_without_having_been_scanned_is_set_aside() {
    let mut devices = pair();
    devices[0].write("b", "newer");
    devices[0].write("n", "new");
    devices[0].scan();
    carry(&mut devices, 0, 1);
    let theirs = devices[0].state.clone().unwrap();
    devices[1].bench.files.remove_root(ROOT);
    devices[1].bench.files.make_root(ROOT);
    devices[1].bench.files.write(ROOT, b"b", b"the disk of another folder");
    let end = devices[1].meet(&[theirs]).unwrap();
    assert!(end.written > 0);
    let all = devices[1].bench.files.all(ROOT);
    assert!(has(&all, "b", "newer"), "{:?}", shown(&all));
    assert!(all.values().any(|text| text.as_deref() == Some(b"the disk of another folder")));
}
