//! What is true of a restore and a listing (`node/restore.rs`, `node/list.rs`), driven over the bench of `sim/duties.rs`.

use serde_json::Value;

use super::backup_tests::{noise, varied};
use super::duties::{Bench, ROOT};
use crate::base::ids::ChunkId;
use crate::feed::entry::Counts;
use crate::file::entry::{Attributes, Content, Entry, Kind, Stat};
use crate::file::map::{MapBuilder, NodeParts};
use crate::node::backup::Parent;
use crate::node::frames::Frame;
use crate::node::ports::Ending;
use crate::node::restore::selection::{ContentOf, Range};
use crate::seal::sealed::ChunkKind;

/// A tree of these entries, however hostile, in the bench's store.
fn forged(bench: &mut Bench, entries: &[(&[u8], Kind)]) -> Parent {
    let mut builder = MapBuilder::new(&[0; 32]);
    let (sealer, chunks) = (&mut bench.sealer, &mut bench.chunks);
    let mut seal = |parts: NodeParts<'_>| {
        let sealed = sealer.seal(ChunkKind::Tree, parts.compress, parts.follow).unwrap();
        chunks.insert(sealed.id, sealed.bytes);
        sealed.id
    };
    for (key, kind) in entries {
        let stat =
            Stat { size: 0, mtime_ns: 0, ctime_ns: 0, inode: 1, mode: 0o644, uid: 0, gid: 0, links: 1 };
        let content = if *kind == Kind::Symlink { Content::Target(b"/etc".to_vec()) } else { Content::None };
        let entry = Entry {
            kind: *kind,
            stat,
            attributes: Attributes::Here(Vec::new()),
            content,
            torn: false,
            texture: crate::file::entry::texture::Texture::Plain,
            version: None,
        };
        builder.push(key, &entry.encode().unwrap(), b"", &mut seal).unwrap();
    }
    let tree = builder.finish(&mut seal).unwrap();
    Parent { tree, manifest: tree, counts: Counts::default() }
}

/// The names in lines of a listing.
fn names(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["path"].as_str().unwrap()).collect()
}

#[test]
fn a_path_is_restored_under_its_own_name() {
    let mut bench = Bench::new();
    varied(&mut bench);
    let (parent, _) = bench.changed(bench.job(None));
    let (stream, _) = bench.restore(&parent, b"d/e", false).unwrap();
    assert_eq!(stream.order, [&b"e"[..], b"e/f", b"e/f/g"]);
    assert_eq!(stream.files[&b"e/f/g"[..]].content, noise(1, 5_000));
    let (stream, _) = bench.restore(&parent, b"d/e/f/g", false).unwrap();
    assert_eq!(stream.order, [b"g"]);
    let (stream, _) = bench.restore(&parent, b"a", false).unwrap();
    assert_eq!(stream.order, [b"a"], "and what merely begins like it is not");
}

#[test]
fn a_dry_run_gives_entries_without_asking_for_content() {
    let mut bench = Bench::new();
    bench.files.write(ROOT, b"large", &noise(1, 3 << 20));
    bench.files.write(ROOT, b"small", b"s");
    let (parent, _) = bench.changed(bench.job(None));
    bench.asked.clear();
    let (stream, ending) = bench.restore(&parent, b"", true).unwrap();
    assert_eq!((stream.order.len(), ending, bench.asked.len()), (2, Ending::Complete, 1));
    assert!(stream.files.values().all(|file| file.content.is_empty()));
    assert_eq!(stream.end, Some(Frame::End { files: 2, bytes: (3 << 20) + 1, lost: 0 }));
}

#[test]
fn content_that_is_not_wanted_is_neither_asked_for_nor_sent() {
    let mut bench = Bench::new();
    for name in ["d/a", "d/b", "d/c", "d/e/f", "d/g", "d.txt"] {
        bench.files.write(ROOT, name.as_bytes(), &noise(u64::from(name.as_bytes()[2]), 300_000));
    }
    bench.files.write(ROOT, b"d/small", b"s");
    bench.files.write(ROOT, b"d/zero", b"");
    let (parent, _) = bench.changed(bench.job(None));
    bench.asked.clear();
    let range = |first: &[u8], last: &[u8]| Range { first: first.to_vec(), last: last.to_vec() };
    let wanted = vec![range(b"d/b", b"d/c"), range(b"d/e/f", b"d/e/f")];
    let (stream, ending) = bench.restore_some(&parent, b"", ContentOf::Some(wanted)).unwrap();
    assert_eq!((stream.order.len(), ending), (10, Ending::Complete), "every entry is told");
    let left: Vec<&[u8]> = stream.left_out.iter().map(Vec::as_slice).collect();
    assert_eq!(left, [&b"d/a"[..], b"d/g", b"d/small", b"d.txt"], "an empty file needs nothing");
    for (path, file) in &stream.files {
        let given = [&b"d/b"[..], b"d/c", b"d/e/f"].contains(&path.as_slice());
        assert_eq!(file.content.len(), if given { 300_000 } else { 0 }, "{}", String::from_utf8_lossy(path));
    }
    let whole = bench.asked.len();
    bench.asked.clear();
    bench.restore(&parent, b"", false).unwrap();
    assert!(bench.asked.len() > whole + 3, "{} and {whole} chunks", bench.asked.len());
    let wanted = ContentOf::Some(vec![range(b"e/f", b"e/f")]);
    let (stream, _) = bench.restore_some(&parent, b"d/e", wanted).unwrap();
    assert_eq!(stream.files[&b"e/f"[..]].content.len(), 300_000, "paths are told as the frames tell them");
    assert_eq!(stream.left_out.len(), 0);
}

#[test]
fn an_unknown_path_names_the_nearest() {
    let mut bench = Bench::new();
    bench.files.write(ROOT, b"photos/2024/beach.jpg", b"x");
    bench.files.write(ROOT, b"photos/2023/snow.jpg", b"x");
    let (parent, _) = bench.changed(bench.job(None));
    let message = |bench: &mut Bench, path: &[u8]| bench.restore(&parent, path, false).unwrap_err();
    let error = message(&mut bench, b"photos/2024/beech.jpg");
    assert_eq!(error.code, "not_found");
    assert!(error.message.contains("'beach.jpg'"), "{}", error.message);
    assert!(message(&mut bench, b"photo").message.contains("'photos'"));
    assert!(message(&mut bench, b"photos/2025/beach.jpg")
        .message
        .contains("there is no 'photos/2025/beach.jpg'"));
    assert_eq!(message(&mut bench, b"photos/../etc").code, "bad_path");
    assert_eq!(bench.list(parent.tree, b"phots", false).unwrap_err().code, "not_found");
}

#[test]
fn a_chunk_that_cannot_be_had_costs_its_file_and_no_other() {
    let mut bench = Bench::new();
    bench.files.write(ROOT, b"1 before", &noise(1, 600_000));
    bench.files.write(ROOT, b"2 lost", &noise(2, 3_000_000));
    bench.files.write(ROOT, b"3 after", &noise(3, 600_000));
    let (parent, _) = bench.changed(bench.job(None));
    bench.asked.clear();
    bench.restore(&parent, b"2 lost", false).unwrap();
    let second = bench.asked[2];
    bench.lost.insert(second);
    let (stream, ending) = bench.restore(&parent, b"", false).unwrap();
    assert_eq!(ending, Ending::Partial);
    assert_eq!(stream.losses, [(b"2 lost".to_vec(), "no connected device holds it".to_owned())]);
    assert!(stream.files[&b"1 before"[..]].content == noise(1, 600_000));
    assert!(stream.files[&b"3 after"[..]].content == noise(3, 600_000));
    let Some(Frame::End { lost, .. }) = stream.end else { panic!("there is an end") };
    assert_eq!(lost, 1);
}

#[test]
fn a_lost_node_of_the_tree_costs_only_what_is_in_it() {
    let mut bench = Bench::new();
    for number in 0..3_000 {
        let content = noise(number, 100);
        bench.files.write(ROOT, format!("file {number:04}").as_bytes(), &content);
    }
    let (parent, _) = bench.changed(bench.job(None));
    bench.asked.clear();
    bench.restore(&parent, b"", false).unwrap();
    let nodes: Vec<ChunkId> = bench.asked.clone();
    assert!(nodes.len() > 5, "{} nodes", nodes.len());
    bench.lost.insert(nodes[3]);
    let (stream, ending) = bench.restore(&parent, b"", false).unwrap();
    assert_eq!((ending, stream.losses.len()), (Ending::Partial, 1));
    assert!(stream.order.len() > 1_000 && stream.order.len() < 3_000);
    assert!(stream.order.contains(&b"file 0000".to_vec()) && stream.order.contains(&b"file 2999".to_vec()));
    bench.lost.insert(parent.tree);
    assert_eq!(bench.restore(&parent, b"", false).unwrap_err().code, "chunk_missing");
}

#[test]
fn impossible_paths_of_a_hostile_tree_never_leave() {
    let mut bench = Bench::new();
    let entries: Vec<(&[u8], Kind)> = vec![
        (b"..\0up", Kind::File),
        (b"../x", Kind::File),
        (b"/etc/passwd", Kind::File),
        (b"a\0..\0b", Kind::File),
        (b"good", Kind::File),
        (b"link", Kind::Symlink),
        (b"link\0behind", Kind::File),
        (b"link\0behind\0deeper", Kind::File),
        (b"link-a", Kind::File),
        (b"name\0", Kind::File),
        (b"x/y", Kind::File),
    ];
    let parent = forged(&mut bench, &entries);
    let (stream, ending) = bench.restore(&parent, b"", false).unwrap();
    assert_eq!(stream.order, [&b"good"[..], b"link", b"link-a"]);
    assert_eq!((ending, stream.losses.len()), (Ending::Partial, 8));
    assert!(stream.losses.iter().all(|(path, _)| path.is_empty()), "not even a loss names such a path");
}

#[test]
fn chunks_are_asked_for_ahead_in_a_bounded_window() {
    let mut bench = Bench::new();
    for number in 0..40_u64 {
        bench.files.write(ROOT, format!("{number:02}").as_bytes(), &noise(number, 90_000));
    }
    let (parent, _) = bench.changed(bench.job(None));
    assert_eq!(bench.ahead(&parent), 8);
}

#[test]
fn a_directory_is_listed_one_level_or_whole() {
    let mut bench = Bench::new();
    varied(&mut bench);
    let (parent, _) = bench.changed(bench.job(None));
    let lines = bench.list(parent.tree, b"", false).unwrap();
    assert_eq!(names(&lines), ["a", "a-b", "d", "d-e", "d.e", "hollow", "link", "sparse"]);
    let lines = bench.list(parent.tree, b"d", false).unwrap();
    assert_eq!(names(&lines), ["d/e", "d/empty", "d/same", "d/\u{fffd}\u{fffd}"]);
    assert_eq!(lines[3]["path_base64"], "ZC///g==");
    let lines = bench.list(parent.tree, b"d/e", true).unwrap();
    assert_eq!(names(&lines), ["d/e/f", "d/e/f/g"]);
    let lines = bench.list(parent.tree, b"a-b", false).unwrap();
    assert_eq!(
        (names(&lines), &lines[0]["mode"], &lines[0]["kind"]),
        (vec!["a-b"], &"4751".into(), &"file".into())
    );
    let lines = bench.list(parent.tree, b"link", false).unwrap();
    assert_eq!((&lines[0]["kind"], lines[0].get("size_bytes")), (&"symlink".into(), None));
    assert_eq!(lines[0]["target_base64"], "Li4vc29tZSB3aGVyZf8=");
    let lines = bench.list(parent.tree, b"sparse", false).unwrap();
    assert_eq!(lines[0]["size_bytes"], 200_000 + 70_000 + 9_000 + 18 + (1_u64 << 30));
    assert_eq!(lines[0]["mtime"], "2020-09-13T12:26:40Z");
}
