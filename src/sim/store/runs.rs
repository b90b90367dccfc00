//! Tests: index runs, their bytes and their search.

use std::collections::BTreeMap;

use crate::base::ids::{hex, ChunkId};
use crate::sim::disk::SimDisk;
use crate::store::disk::Disk;
use crate::store::run::{Cover, Entry, Run, INDEX_DIRECTORY};
use crate::store::run_cursor::RunCursor;
use crate::store::run_writer::RunWriter;
use crate::store::segment::{Location, Position};
use crate::store::usage::Usage;

/// What the golden run covers.
const COVER: Cover =
    Cover { from: Position { segment: 0, offset: 0 }, to: Position { segment: 2, offset: 0x1234 } };

/// Writes a run of these entries.
fn run(entries: &BTreeMap<ChunkId, Entry>) -> (SimDisk, Run) {
    let disk = SimDisk::new(1 << 30);
    disk.create_dir(INDEX_DIRECTORY).unwrap();
    let mut writer = RunWriter::new("index/1.tmp", u64::try_from(entries.len()).unwrap());
    for (id, entry) in entries {
        writer.push(&disk, id, entry).unwrap();
    }
    let run = writer.finish(&disk, "index/1.run", COVER, Some(&usage())).unwrap();
    (disk, run)
}

/// What is in use where the golden run ends.
fn usage() -> Usage {
    let rows = [[1_u32, 7, 0x500, 0], [2, 1, 5, 3]];
    Usage::decode(&rows.concat().iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<_>>(), 4)
}

/// An id like any other.
fn id(number: u32) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// A location that tells its number.
fn here(number: u32) -> Entry {
    Entry::Here(Location { segment: number, offset: 32, length: 4 })
}

#[test]
fn golden_bytes_of_a_run() {
    let entries = [
        (ChunkId::from_bytes([1; 32]), here(3)),
        (ChunkId::from_bytes([2; 32]), Entry::Gone(Position { segment: 2, offset: 0x99 })),
    ]
    .into_iter()
    .collect();
    let (disk, _) = run(&entries);
    let file = disk.content("index/1.run").unwrap();
    let block = [
        "0101010101010101010101010101010101010101010101010101010101010101", // id
        "030000002000000004000000",                                         // segment, offset, length
        "0202020202020202020202020202020202020202020202020202020202020202", // id
        "0200000099000000ffffffff",                                         // gone since segment, offset
    ];
    assert_eq!(hex(&file[..88]), block.concat());
    assert!(file[88..4088].iter().all(|byte| *byte == 0));
    assert_eq!(hex(&file[4088..4096]), "328a0b27ae74173f", "BLAKE3 of the 4,088 bytes before, first 8");
    assert_eq!(
        hex(&file[4096..4104]),
        "0101010101010101",
        "fence: first 8 bytes of the first id of every stride-th block"
    );
    let table = [
        "01000000070000000005000000000000", // segment, chunks, their sealed bytes, drops
        "02000000010000000500000003000000",
    ];
    assert_eq!(hex(&file[4104..4136]), table.concat());
    assert_eq!(Run::open(&disk, "index/1.run").unwrap().usage(&disk).unwrap(), Some(usage()));
    let footer = [
        "4e55544852554e00", // magic: NUTHRUN and a zero
        "01000000",         // format 1
        "01000000",         // ids in the fence
        "0200000000000000", // entries
        "0100000000000000", // stride of the fence, in blocks
        "00000000",         // covers the log from segment 0 ...
        "02000000",         // ... to segment 2:
        "0000000000000000", // from offset
        "3412000000000000", // to offset
        "02000000",         // rows of the table
        "00000000",         // zeros
        "0400000000000000", // chunks found damaged, ever
        "8b7d3964437d43b9", // BLAKE3 of the table, first 8
        "447f5c1ab2afed31", // BLAKE3 of the fence, first 8
        "f912a79530f7ec36", // BLAKE3 of the footer so far, first 8
    ];
    assert_eq!(hex(&file[4136..]), footer.concat());
}

#[test]
fn every_entry_is_found_and_nothing_else() {
    for count in [0, 1, 91, 92, 93, 5_000, 40_000_u32] {
        let entries: BTreeMap<_, _> = (0..count).map(|number| (id(number), here(number))).collect();
        let (disk, _) = run(&entries);
        let blocks = u64::from(count).div_ceil(92);
        assert!(
            disk.len("index/1.run").unwrap() <= blocks * 4096 + 256 * 8 + 2 * 16 + 96,
            "the fence stays small"
        );
        let reopened = Run::open(&disk, "index/1.run").unwrap();
        assert_eq!((reopened.cover(), reopened.entries()), (COVER, u64::from(count)));
        for number in (0..count).step_by(7) {
            assert_eq!(reopened.find(&disk, &id(number)).unwrap(), Some(here(number)));
        }
        for number in count..count + 300 {
            assert_eq!(reopened.find(&disk, &id(number)).unwrap(), None);
        }
    }
}

#[test]
fn a_lookup_reads_two_blocks_or_so() {
    let entries: BTreeMap<_, _> = (0..100_000).map(|number| (id(number), here(number))).collect();
    let (disk, run) = run(&entries);
    let before = disk.calls();
    for number in 0..1_000 {
        run.find(&disk, &id(number * 200)).unwrap();
    }
    assert!(disk.calls() - before < 2_000, "{} reads", disk.calls() - before);
}

#[test]
fn ids_that_are_not_spread_evenly_are_found_by_bisection() {
    let entries: BTreeMap<_, _> = (0..30_000_u32)
        .map(|number| {
            let mut bytes = [0; 32];
            bytes[28..].copy_from_slice(&(number * 2).to_be_bytes());
            (ChunkId::from_bytes(bytes), here(number))
        })
        .collect();
    let (disk, run) = run(&entries);
    for (id, entry) in entries.iter().step_by(11) {
        assert_eq!(run.find(&disk, id).unwrap(), Some(*entry));
    }
    let before = disk.calls();
    run.find(&disk, entries.keys().nth(12_345).unwrap()).unwrap();
    assert!(disk.calls() - before <= 12, "{}", disk.calls() - before);
}

#[test]
fn a_cursor_gives_all_in_order_from_any_place() {
    let entries: BTreeMap<_, _> = (0..1_000).map(|number| (id(number), here(number))).collect();
    let (disk, run) = run(&entries);
    for start in [None, Some(id(5)), Some(id(99_999)), Some(ChunkId::from_bytes([0xff; 32]))] {
        let mut cursor = RunCursor::new(&run, &disk, start.as_ref()).unwrap();
        let expected = entries.iter().filter(|(id, _)| start.is_none_or(|start| **id >= start));
        for (id, entry) in expected {
            assert_eq!(cursor.peek(&run, &disk).unwrap(), Some((*id, *entry)));
            cursor.skip();
        }
        assert_eq!(cursor.peek(&run, &disk).unwrap(), None);
    }
}

#[test]
fn any_damage_is_noticed() {
    let entries: BTreeMap<_, _> = (0..200).map(|number| (id(number), here(number))).collect();
    let (disk, _) = run(&entries);
    let length = disk.len("index/1.run").unwrap();
    for at in (0..length).step_by(37) {
        disk.flip_bits("index/1.run", at, 0x10);
        let noticed = match Run::open(&disk, "index/1.run") {
            Err(_) => true,
            Ok(run) => {
                entries.keys().any(|id| run.find(&disk, id).is_err()) || run.usage(&disk).unwrap().is_none()
            }
        };
        assert!(noticed, "byte {at}");
        disk.flip_bits("index/1.run", at, 0x10);
    }
}
