//! What is true of reading a range of a file (`node/restore/read.rs`), driven over the bench of `sim/duties.rs`.

use std::collections::VecDeque;

use serde_json::Value;

use super::backup_tests::{noise, varied};
use super::duties::{Bench, ROOT};
use crate::base::ids::{ChunkId, SnapshotId};
use crate::base::limits::{CALL_PIECES_MAX, READ_PIECE_BYTES};
use crate::node::api::ApiError;
use crate::node::list::{Lines as _, ListOutput};
use crate::node::ports::Extent;
use crate::node::restore::read::{Read, ReadJob};

/// Reads a range to its end: what is known, the bytes, and how it ended.
fn read(
    bench: &mut Bench,
    tree: ChunkId,
    path: &str,
    (offset, length): (u64, Option<u64>),
) -> (Option<Value>, Vec<u8>, Result<(), ApiError>) {
    let job = ReadJob {
        snapshot: SnapshotId::from_bytes([3; 32]),
        tree,
        path: path.as_bytes().to_vec(),
        offset,
        length,
    };
    let mut read = Read::new(job, 1_000_000);
    let (mut replies, mut facts, mut bytes, mut untaken) = (VecDeque::new(), None, Vec::new(), 0);
    loop {
        while let Some(output) = read.poll() {
            match output {
                ListOutput::Ask(ask) => bench.serve(ask, &mut replies),
                ListOutput::Line(line) => {
                    assert!(
                        bytes.is_empty() && facts.replace(line).is_none(),
                        "what is known comes once, before all"
                    );
                    untaken += 1;
                }
                ListOutput::Bytes(piece) => {
                    assert!(facts.is_some() && (1..=READ_PIECE_BYTES).contains(&piece.len()));
                    bytes.extend_from_slice(&piece);
                    untaken += 1;
                }
                ListOutput::Finished(result) => return (facts, bytes, result.map(|_| ())),
            }
            assert!(untaken <= CALL_PIECES_MAX, "no more pieces than the client has room for");
        }
        if read.busy() {
            continue;
        }
        match replies.pop_front() {
            Some(told) => read.told(told, &mut bench.sealer),
            None => {
                assert!(untaken > 0, "it waits for something");
                untaken -= 1;
                read.taken();
            }
        }
    }
}

/// A range of a file that is there.
fn range(bench: &mut Bench, tree: ChunkId, path: &str, wanted: (u64, Option<u64>)) -> Vec<u8> {
    let (_, bytes, end) = read(bench, tree, path, wanted);
    assert_eq!(end, Ok(()));
    bytes
}

#[test]
fn a_range_is_what_the_file_has_there() {
    let mut bench = Bench::new();
    let large = noise(7, 3_000_000);
    bench.files.write(ROOT, b"large", &large);
    bench.files.write(ROOT, b"small", b"0123456789");
    bench.files.write(ROOT, b"empty", b"");
    let (parent, _) = bench.changed(bench.job(None));
    let tree = parent.tree;
    assert!(range(&mut bench, tree, "large", (0, None)) == large);
    for (offset, length) in
        [(0, 1), (0, 70_000), (999_999, 2), (1_500_000, 900_000), (2_999_999, 1), (2_999_990, 50)]
    {
        let from = usize::try_from(offset).unwrap();
        let to = (from + usize::try_from(length).unwrap()).min(large.len());
        assert!(
            range(&mut bench, tree, "large", (offset, Some(length))) == large[from..to],
            "{offset}+{length}"
        );
    }
    assert_eq!(range(&mut bench, tree, "large", (3_000_000, None)), b"");
    assert_eq!(range(&mut bench, tree, "large", (u64::MAX, Some(u64::MAX))), b"");
    assert_eq!(range(&mut bench, tree, "small", (3, Some(4))), b"3456");
    assert_eq!(range(&mut bench, tree, "small", (0, None)), b"0123456789");
    assert_eq!(range(&mut bench, tree, "empty", (0, None)), b"");
}

#[test]
fn chunks_outside_of_the_range_are_not_asked_for() {
    let mut bench = Bench::new();
    bench.files.write(ROOT, b"large", &noise(7, 10_000_000));
    let (parent, _) = bench.changed(bench.job(None));
    bench.asked.clear();
    range(&mut bench, parent.tree, "large", (5_000_000, Some(10)));
    assert!(bench.asked.len() <= 2, "a node of the tree and a chunk: {}", bench.asked.len());
    bench.asked.clear();
    let (facts, ..) = read(&mut bench, parent.tree, "large", (0, Some(0)));
    assert_eq!((bench.asked.len(), &facts.unwrap()["size_bytes"]), (1, &10_000_000.into()));
}

#[test]
fn a_long_list_of_pieces_is_entered_where_the_range_begins_even_in_a_hole() {
    let mut bench = Bench::new();
    let (hole, data) = (1_u64 << 32, noise(5, 40_000_000));
    let extents =
        vec![Extent::Data(data.clone()), Extent::Hole(hole), Extent::Data(data[..1_000_000].to_vec())];
    bench.files.write_extents(ROOT, b"image", extents);
    let (parent, _) = bench.changed(bench.job(None));
    let tree = parent.tree;
    let start = u64::try_from(data.len()).unwrap();
    let (facts, bytes, end) = read(&mut bench, tree, "image", (start - 3, Some(5)));
    assert_eq!((end, &bytes[..3], &bytes[3..]), (Ok(()), &data[data.len() - 3..], &[0, 0][..]));
    assert_eq!(facts.unwrap()["size_bytes"], start + hole + 1_000_000);
    assert_eq!(range(&mut bench, tree, "image", (start + hole / 2, Some(4))), [0; 4]);
    assert_eq!(
        range(&mut bench, tree, "image", (start + hole - 2, Some(4))),
        [&[0, 0][..], &data[..2]].concat()
    );
    assert!(range(&mut bench, tree, "image", (start + hole, None)) == data[..1_000_000]);
    bench.asked.clear();
    range(&mut bench, tree, "image", (20_000_000, Some(10)));
    assert!(bench.asked.len() <= 8, "{} chunks", bench.asked.len());
}

#[test]
fn equal_content_has_an_equal_tag_and_other_content_another() {
    let mut bench = Bench::new();
    for (name, content) in [("a", noise(1, 900_000)), ("b", noise(1, 900_000)), ("c", noise(2, 900_000))] {
        bench.files.write(ROOT, name.as_bytes(), &content);
    }
    for (name, content) in [("d", "x"), ("e", "x"), ("f", "y"), ("g", "")] {
        bench.files.write(ROOT, name.as_bytes(), content.as_bytes());
    }
    let (parent, _) = bench.changed(bench.job(None));
    let mut tag = |path| {
        read(&mut bench, parent.tree, path, (0, Some(0))).0.unwrap()["etag"].as_str().unwrap().to_owned()
    };
    let tags: Vec<String> = ["a", "b", "c", "d", "e", "f", "g"].into_iter().map(&mut tag).collect();
    assert!(tags[0] == tags[1] && tags[3] == tags[4]);
    let mut different: Vec<&String> = tags.iter().collect();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 5);
}

#[test]
fn what_is_no_file_has_facts_and_no_content() {
    let mut bench = Bench::new();
    varied(&mut bench);
    let (parent, _) = bench.changed(bench.job(None));
    let mut facts = |path, length| {
        let (facts, _, end) = read(&mut bench, parent.tree, path, (0, length));
        (facts.map(|facts| facts["kind"].clone()), end.err().map(|error| error.code))
    };
    assert_eq!(facts("", Some(0)), (Some("directory".into()), None));
    assert_eq!(facts("d", Some(0)), (Some("directory".into()), None));
    assert_eq!(facts("link", Some(0)), (Some("symlink".into()), None));
    assert_eq!(facts("d", None), (None, Some("bad_path".into())));
    assert_eq!(facts("link", None), (None, Some("bad_path".into())));
    assert_eq!(facts("nowhere", Some(0)), (None, Some("not_found".into())));
    assert_eq!(facts("d/../a", Some(0)), (None, Some("bad_path".into())));
}

#[test]
fn a_lost_chunk_ends_the_answer_with_an_error_after_what_came_before() {
    let mut bench = Bench::new();
    let content = noise(2, 3_000_000);
    bench.files.write(ROOT, b"file", &content);
    let (parent, _) = bench.changed(bench.job(None));
    bench.asked.clear();
    range(&mut bench, parent.tree, "file", (0, None));
    let chunks = bench.asked.clone();
    bench.lost.insert(chunks[4]);
    let (facts, bytes, end) = read(&mut bench, parent.tree, "file", (0, None));
    assert!(facts.is_some() && !bytes.is_empty() && content.starts_with(&bytes));
    assert_eq!(end.unwrap_err().code, "chunk_missing");
    let late = u64::try_from(bytes.len()).unwrap() + 1_100_000;
    assert!(
        !range(&mut bench, parent.tree, "file", (late, None)).is_empty(),
        "what is behind it can be read"
    );
}
