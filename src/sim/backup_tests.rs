//! What is true of a backup (`node/backup.rs`), driven over the bench of `sim/duties.rs`.

use std::collections::BTreeSet;

use super::duties::{Bench, ROOT};
use super::files::Trouble;
use crate::base::ids::ChunkId;
use crate::node::backup::{BackupError, Outcome, Parent, Taken};
use crate::node::frames::Frame;
use crate::node::ports::{Ending, Extent};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

/// Random bytes that are the same in every run.
pub(super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// A folder with something of everything.
pub(super) fn varied(bench: &mut Bench) {
    let files = &mut bench.files;
    files.write(ROOT, b"a", b"a file whose name begins those of others");
    files.write(ROOT, b"a-b", b"sorts before what is in a directory a, by bytes of paths");
    files.write(ROOT, b"d/\xff\xfe", b"no UTF-8");
    files.write(ROOT, b"d/empty", b"");
    files.write(ROOT, b"d/e/f/g", &noise(1, 5_000));
    files.write(ROOT, b"d-e", &noise(2, 300_000));
    files.write(ROOT, b"d.e", &vec![0x2a; 300_000]);
    files.make_directory(ROOT, b"hollow/inner");
    files.link_symbolic(ROOT, b"link", b"../some where\xff");
    files.link_hard(ROOT, b"d-e", b"d/same");
    files.set_mode(ROOT, b"a-b", 0o4751);
    files.set_attributes(ROOT, b"a", vec![(b"user.x".to_vec(), b"1".to_vec())]);
    files.set_attributes(ROOT, b"d/empty", vec![(b"user.long".to_vec(), noise(3, 60_000))]);
    files.make_special(ROOT, b"socket");
    let sparse = vec![
        Extent::Hole(200_000),
        Extent::Data(noise(4, 70_000)),
        Extent::Hole(9_000),
        Extent::Data(b"after a short hole".to_vec()),
        Extent::Hole(1 << 30),
    ];
    files.write_extents(ROOT, b"sparse", sparse);
}

/// Expects that a restore gives what is in the folder.
pub(super) fn assert_restores(bench: &mut Bench, parent: &Parent, path: &[u8], expected: &[(&[u8], &[u8])]) {
    let (stream, ending) = bench.restore(parent, path, false).unwrap();
    assert_eq!(ending, Ending::Complete, "{:?}", stream.losses);
    for (path, content) in expected {
        let found = stream.files.get(*path).map(|file| file.content.as_slice());
        assert!(found == Some(*content), "{} comes back", String::from_utf8_lossy(path));
    }
}

#[test]
fn everything_of_a_varied_folder_comes_back() {
    let mut bench = Bench::new();
    varied(&mut bench);
    let (parent, report) = bench.changed(bench.job(None));
    assert_eq!((report.special, report.torn, report.unreadable), (1, 0, 0));
    assert_eq!((parent.counts.files, parent.counts.directories), (10, 5));
    let (stream, ending) = bench.restore(&parent, b"", false).unwrap();
    assert_eq!(ending, Ending::Complete);
    let order: Vec<&[u8]> = vec![
        b"a",
        b"a-b",
        b"d",
        b"d/\xff\xfe",
        b"d/e",
        b"d/e/f",
        b"d/e/f/g",
        b"d/empty",
        b"d/same",
        b"d-e",
        b"d.e",
        b"hollow",
        b"hollow/inner",
        b"link",
        b"sparse",
    ];
    let mut sorted = order.clone();
    sorted.sort_by_key(|path| {
        path.iter().map(|byte| if *byte == b'/' { 0 } else { *byte }).collect::<Vec<u8>>()
    });
    assert_eq!(stream.order, sorted, "the order of the tree is that of its keys");
    for (path, file) in &stream.files {
        let Frame::Entry { stat, attributes, target, torn, .. } = &file.entry else {
            panic!("it is an entry")
        };
        assert_eq!(Some(*stat), bench.files.stat(ROOT, path), "{path:?} keeps its stat");
        assert!(!torn);
        match path.as_slice() {
            b"a" => assert_eq!(attributes, &[(b"user.x".to_vec(), b"1".to_vec())]),
            b"d/empty" => assert_eq!(attributes, &[(b"user.long".to_vec(), noise(3, 60_000))]),
            b"link" => assert_eq!(target.as_deref(), Some(&b"../some where\xff"[..])),
            _ => assert!(attributes.is_empty() && target.is_none()),
        }
    }
    let content = |path: &[u8]| stream.files[path].content.clone();
    assert_eq!(content(b"d/\xff\xfe"), b"no UTF-8");
    assert_eq!(content(b"d/e/f/g"), noise(1, 5_000));
    assert!(content(b"d-e") == noise(2, 300_000) && content(b"d/same") == noise(2, 300_000));
    assert!(content(b"d.e") == vec![0x2a; 300_000]);
    let sparse = &stream.files[&b"sparse"[..]];
    assert_eq!(sparse.holes, 200_000 + (1 << 30), "long holes stay holes, short ones become zeros");
    assert!(sparse.content[200_000..270_000] == noise(4, 70_000)[..]);
    assert!(sparse.content[270_000..279_000].iter().all(|byte| *byte == 0));
    assert_eq!(&sparse.content[279_000..279_018], b"after a short hole");
}

#[test]
fn a_manifest_lists_all_that_a_restore_asks_for() {
    let mut bench = Bench::new();
    varied(&mut bench);
    let (parent, _) = bench.changed(bench.job(None));
    let listed = bench.manifest(parent.manifest);
    assert_eq!(u64::try_from(listed.len()).unwrap(), parent.counts.chunks);
    assert_eq!(parent.counts.stale, 0);
    bench.asked.clear();
    bench.restore(&parent, b"", false).unwrap();
    let asked: BTreeSet<ChunkId> = bench.asked.iter().copied().collect();
    assert_eq!(asked, listed, "of a first backup, the manifest is exact");
    let sealed: u64 = listed.iter().map(|id| u64::try_from(bench.chunks[id].len()).unwrap()).sum();
    assert!(parent.counts.stored_bytes >= sealed);
}

#[test]
fn an_unchanged_folder_is_neither_read_nor_put() {
    let mut bench = Bench::new();
    varied(&mut bench);
    let (parent, _) = bench.changed(bench.job(None));
    let (before, puts) = (bench.files.asked(), bench.puts);
    let report = bench.unchanged(bench.job(Some(parent)));
    let after = bench.files.asked();
    assert_eq!((after.opens, after.reads, after.data_bytes), (before.opens, before.reads, before.data_bytes));
    assert_eq!(bench.puts, puts);
    assert_eq!(report.special, 1, "what is never kept is said each time");
}

#[test]
fn five_thousand_files_come_back_and_one_more_costs_little() {
    let mut bench = Bench::new();
    for number in 0..5_000_u64 {
        let path = format!("dir{}/sub{}/file {number}", number % 7, number % 31);
        bench.files.write(ROOT, path.as_bytes(), format!("content of {number}").repeat(9).as_bytes());
    }
    bench.files.set_page_bytes(2_000);
    let (parent, _) = bench.changed(bench.job(None));
    assert_eq!((parent.counts.files, parent.counts.directories), (5_000, 7 + 7 * 31));
    bench.files.set_page_bytes(1 << 20);
    bench.unchanged(bench.job(Some(parent)));
    bench.files.write(ROOT, b"dir3/sub4/one more", b"new");
    let opens = bench.files.asked().opens;
    let (next, _) = bench.changed(bench.job(Some(parent)));
    assert_eq!(bench.files.asked().opens - opens, 2, "the new file and the directory that it is in");
    assert!(next.counts.stored_bytes < parent.counts.stored_bytes / 2);
    let wanted = "content of 4999".repeat(9);
    let expected: [(&[u8], &[u8]); 2] =
        [(b"dir3/sub4/one more", b"new"), (b"dir1/sub8/file 4999", wanted.as_bytes())];
    assert_restores(&mut bench, &next, b"", &expected);
    assert!(bench.manifest(next.manifest).is_superset(&bench.manifest(parent.manifest)));
}

#[test]
fn a_small_edit_of_a_large_file_reuses_its_chunks() {
    let mut bench = Bench::new();
    let mut content = noise(5, 20 << 20);
    bench.files.write(ROOT, b"large", &content);
    let (parent, _) = bench.changed(bench.job(None));
    assert!(parent.counts.stored_bytes > 20 << 20);
    content.splice(9 << 20..9 << 20, *b"inserted");
    bench.files.write(ROOT, b"large", &content);
    let (next, _) = bench.changed(bench.job(Some(parent)));
    assert!(next.counts.stored_bytes < 4 << 20, "{} bytes are new", next.counts.stored_bytes);
    assert_restores(&mut bench, &next, b"", &[(b"large", &content)]);
}

#[test]
fn many_pieces_go_into_a_list_of_their_own() {
    let mut bench = Bench::new();
    let mut extents = Vec::new();
    for number in 0..600 {
        extents.push(Extent::Data(noise(number, 100)));
        extents.push(Extent::Hole(70_000));
    }
    bench.files.write_extents(ROOT, b"holey", extents);
    bench.files.write(ROOT, b"other", b"1");
    let (parent, _) = bench.changed(bench.job(None));
    let (stream, _) = bench.restore(&parent, b"holey", false).unwrap();
    let file = &stream.files[&b"holey"[..]];
    assert_eq!((file.content.len(), file.holes), (600 * 70_100, 600 * 70_000));
    assert!((0..600)
        .all(|number| file.content[number * 70_100..][..100] == noise(u64::try_from(number).unwrap(), 100)));
    bench.files.write(ROOT, b"other", b"2");
    let mut job = bench.job(Some(parent));
    job.exact = true;
    let opens = bench.files.asked().opens;
    let (exact, _) = bench.changed(job);
    assert_eq!(bench.files.asked().opens - opens, 1, "only what changed is opened");
    bench.asked.clear();
    bench.restore(&exact, b"", false).unwrap();
    let asked: BTreeSet<ChunkId> = bench.asked.iter().copied().collect();
    assert_eq!(
        asked,
        bench.manifest(exact.manifest),
        "an exact manifest lists the list's nodes and pieces too"
    );
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_again_or_marked() {
    let mut bench = Bench::new();
    bench.files.write(ROOT, b"calms down", &noise(1, 400_000));
    bench.files.trouble(ROOT, b"calms down", Some(Trouble::Rewrite(2, noise(2, 500_000))));
    bench.files.write(ROOT, b"never still", &noise(3, 400_000));
    bench.files.trouble(ROOT, b"never still", Some(Trouble::Rewrite(9, noise(4, 500_000))));
    let (parent, report) = bench.changed(bench.job(None));
    assert_eq!((report.torn, report.paths.len()), (1, 1));
    assert_eq!(report.paths[0].0, b"never still");
    let (stream, _) = bench.restore(&parent, b"", false).unwrap();
    let torn = |path: &[u8]| matches!(stream.files[path].entry, Frame::Entry { torn: true, .. });
    assert!(!torn(b"calms down") && torn(b"never still"));
    assert!(stream.files[&b"calms down"[..]].content == noise(2, 500_000));
    bench.files.trouble(ROOT, b"never still", None);
    let (next, report) = bench.changed(bench.job(Some(parent)));
    assert_eq!(report.torn, 0, "once it holds still it is whole");
    assert_restores(&mut bench, &next, b"", &[(b"never still", &noise(4, 500_000))]);
}

#[test]
fn what_cannot_be_read_keeps_the_version_of_before() {
    let mut bench = Bench::new();
    bench.files.write(ROOT, b"closed/in/side", b"1");
    bench.files.write(ROOT, b"denied", b"2");
    bench.files.write(ROOT, b"hidden/below", b"3");
    bench.files.write(ROOT, b"broken", &noise(1, 600_000));
    bench.files.write(ROOT, b"other", b"4");
    bench.files.write(ROOT, b"vanishing", b"5");
    let (parent, _) = bench.changed(bench.job(None));
    for path in [&b"denied"[..], b"broken", b"vanishing"] {
        bench.files.set_mode(ROOT, path, 0o600);
    }
    bench.files.trouble(ROOT, b"closed", Some(Trouble::Denied));
    bench.files.trouble(ROOT, b"denied", Some(Trouble::Denied));
    bench.files.trouble(ROOT, b"hidden", Some(Trouble::Hidden));
    bench.files.trouble(ROOT, b"broken", Some(Trouble::Broken));
    bench.files.trouble(ROOT, b"vanishing", Some(Trouble::Vanish));
    let (next, report) = bench.changed(bench.job(Some(parent)));
    assert_eq!(report.unreadable, 4, "{:?}", report.paths);
    let broken = noise(1, 600_000);
    let expected: [(&[u8], &[u8]); 5] = [
        (b"closed/in/side", b"1"),
        (b"denied", b"2"),
        (b"hidden/below", b"3"),
        (b"broken", &broken),
        (b"other", b"4"),
    ];
    assert_restores(&mut bench, &next, b"", &expected);
    let (stream, _) = bench.restore(&next, b"", false).unwrap();
    assert!(!stream.files.contains_key(&b"vanishing"[..]), "what vanished is just not there");
}

#[test]
fn a_folder_of_which_nothing_but_the_unreadable_differs_is_unchanged() {
    let mut bench = Bench::new();
    bench.files.write(ROOT, b"closed/in/side", b"1");
    bench.files.write(ROOT, b"other", b"4");
    let (parent, _) = bench.changed(bench.job(None));
    bench.files.trouble(ROOT, b"closed", Some(Trouble::Denied));
    let report = bench.unchanged(bench.job(Some(parent)));
    assert_eq!((report.unreadable, report.paths[0].0.as_slice()), (1, &b"closed"[..]));
}

#[test]
fn a_root_that_is_missing_emptied_or_another_one_is_refused() {
    let mut bench = Bench::new();
    bench.files.write(ROOT, b"file", b"1");
    let Ok(Outcome::Changed(Taken { tree, manifest, counts, marker, .. })) = bench.run(bench.job(None))
    else {
        panic!("a first backup changes something")
    };
    let parent = Parent { tree, manifest, counts };
    let mut job = bench.job(Some(parent));
    job.marker = Some(marker);
    let root = ROOT.to_vec();
    let puts = bench.puts;
    bench.files.remove(ROOT, b"file");
    assert_eq!(bench.run(job.clone()), Err(BackupError::RootEmptied { root: root.clone() }));
    bench.files.remove_root(ROOT);
    assert_eq!(bench.run(job.clone()), Err(BackupError::RootMissing { root: root.clone() }));
    bench.files.make_root(ROOT);
    bench.files.write(ROOT, b"file", b"1");
    let refused = bench.run(job);
    assert_eq!(refused, Err(BackupError::RootChanged { root }));
    assert!(refused.unwrap_err().to_string().contains("mount the right one"));
    assert_eq!(bench.puts, puts);
}

#[test]
fn ignore_rules_caches_and_mounts_are_left_out() {
    let mut bench = Bench::new();
    let files = &mut bench.files;
    files.write(ROOT, b"kept", b"1");
    files.write(ROOT, b"core.o", b"2");
    files.write(ROOT, b"src/main.o", b"3");
    files.write(ROOT, b"src/main.c", b"4");
    files.write(ROOT, b"src/.nuthatchignore", b"/local\n");
    files.write(ROOT, b"src/local/x", b"5");
    files.write(ROOT, b"src/deep/local/x", b"6");
    files.write(ROOT, b"cache/CACHEDIR.TAG", b"Signature: 8a477f597d28d172789f06886806bc55\nmore");
    files.write(ROOT, b"cache/x", b"7");
    files.write(ROOT, b"false cache/CACHEDIR.TAG", b"Signature: none");
    files.make_directory(ROOT, b"mounted");
    files.mount(ROOT, b"mounted");
    files.write(ROOT, b"mounted/x", b"8");
    let mut job = bench.job(None);
    job.ignore = vec!["*.o".into()];
    job.one_file_system = true;
    let (parent, _) = bench.changed(job);
    let (stream, _) = bench.restore(&parent, b"", false).unwrap();
    let names: Vec<&str> = stream.order.iter().map(|path| std::str::from_utf8(path).unwrap()).collect();
    assert_eq!(
        names,
        [
            "cache",
            "false cache",
            "false cache/CACHEDIR.TAG",
            "kept",
            "mounted",
            "src",
            "src/.nuthatchignore",
            "src/deep",
            "src/deep/local",
            "src/deep/local/x",
            "src/main.c",
        ]
    );
}

#[test]
fn files_above_the_greatest_size_are_left_out_and_counted() {
    let mut bench = Bench::new();
    let files = &mut bench.files;
    files.write(ROOT, b"film", b"123456");
    files.write(ROOT, b"photo", b"12345");
    files.write(ROOT, b"src/film", b"1234567");
    files.link_symbolic(ROOT, b"link", b"longer than five");
    let with = |bench: &Bench, parent, max_size| {
        let mut job = bench.job(parent);
        job.max_size = max_size;
        job
    };
    let job = with(&bench, None, None);
    let (all, _) = bench.changed(job);
    assert_eq!((all.counts.files, all.counts.bytes), (4, 18));
    let job = with(&bench, Some(all), Some(5));
    let (some, report) = bench.changed(job);
    let (stream, _) = bench.restore(&some, b"", false).unwrap();
    let names: Vec<&str> = stream.order.iter().map(|path| std::str::from_utf8(path).unwrap()).collect();
    assert_eq!((report.large, report.skipped(), names), (2, 0, vec!["link", "photo", "src"]));
    let job = with(&bench, Some(some), Some(5));
    let Ok(Outcome::Unchanged { report, .. }) = bench.run(job) else { panic!("nothing has changed") };
    assert_eq!(report.large, 2);
    let job = with(&bench, Some(some), Some(6));
    assert_eq!(bench.changed(job).1.large, 1);
}

#[test]
fn a_change_right_before_the_scan_is_read_again_at_the_next_one() {
    let mut bench = Bench::new();
    bench.files.write(ROOT, b"old", b"1");
    bench.files.set_clock_ns(1_799_999_999_000_000_000);
    bench.files.write(ROOT, b"fresh", b"2");
    let (parent, _) = bench.changed(bench.job(None));
    let opens = bench.files.asked().opens;
    bench.unchanged(bench.job(Some(parent)));
    assert_eq!(bench.files.asked().opens - opens, 1, "only the fresh one, for its stat cannot be trusted");
}

#[test]
fn a_much_changed_folder_gets_an_exact_manifest() {
    let mut bench = Bench::new();
    bench.files.write(ROOT, b"stays", &noise(1, 3 << 20));
    bench.files.write(ROOT, b"goes", &noise(2, 3 << 20));
    let (first, _) = bench.changed(bench.job(None));
    bench.files.remove(ROOT, b"goes");
    let (second, _) = bench.changed(bench.job(Some(first)));
    let listed = bench.manifest(second.manifest);
    bench.asked.clear();
    bench.restore(&second, b"", false).unwrap();
    let needed: BTreeSet<ChunkId> = bench.asked.iter().copied().collect();
    let stale = u64::try_from(listed.difference(&needed).count()).unwrap();
    assert!(listed.is_superset(&needed) && second.counts.stale == stale && stale > 3);
    bench.files.write(ROOT, b"new", b"x");
    let (third, _) = bench.changed(bench.job(Some(second)));
    bench.asked.clear();
    bench.restore(&third, b"", false).unwrap();
    let needed: BTreeSet<ChunkId> = bench.asked.iter().copied().collect();
    assert_eq!(bench.manifest(third.manifest), needed);
    assert_eq!(third.counts.stale, 0);
}

#[test]
fn a_lost_node_of_the_parent_is_healed_by_reading_anew() {
    let mut bench = Bench::new();
    varied(&mut bench);
    let (parent, _) = bench.changed(bench.job(None));
    bench.chunks.remove(&parent.tree);
    bench.unchanged(bench.job(Some(parent)));
    assert!(bench.chunks.contains_key(&parent.tree), "the same tree came out, and is there again");
    bench.chunks.remove(&parent.manifest);
    bench.files.write(ROOT, b"new", b"x");
    let (next, _) = bench.changed(bench.job(Some(parent)));
    bench.asked.clear();
    bench.restore(&next, b"", false).unwrap();
    let needed: BTreeSet<ChunkId> = bench.asked.iter().copied().collect();
    assert_eq!(bench.manifest(next.manifest), needed, "without the parent's manifest, it is built anew");
}
