//! Tests: a walk through a damaged segment.

use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::base::ids::ChunkId;
use crate::sim::disk::{Fault, SimDisk};
use crate::store::disk::Disk;
use crate::store::segment::{checksum, segment_name, Frame, Position};
use crate::store::walk::{Found, Gap, Walk};

/// A length as the disk counts it.
fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap()
}

/// One chunk's record for that place.
fn record(at: Position, sealed: &[u8]) -> Vec<u8> {
    let id = ChunkId::from_bytes(Sha256::digest(sealed).into());
    let frame = Frame::chunk(id, u32::try_from(sealed.len()).unwrap());
    [&frame.encode(at)[..], sealed, &checksum(sealed)].concat()
}

/// A segment of these chunks, from offset 32 on.
fn segment(chunks: &[&[u8]]) -> (SimDisk, Vec<Range<u64>>) {
    let disk = SimDisk::new(1 << 30);
    disk.create_dir("segments").unwrap();
    let mut offset = 32;
    let mut ranges = Vec::new();
    for sealed in chunks {
        let record = record(Position { segment: 0, offset }, sealed);
        disk.write_at(&segment_name(0), offset, &record).unwrap();
        ranges.push(offset..offset + bytes(record.len()));
        offset += bytes(record.len());
    }
    (disk, ranges)
}

/// Everything that a walk finds: chunk lengths as `Ok`, gaps as `Err`.
fn walk(disk: &SimDisk, end: u64, verify_from: u64) -> Vec<Result<u32, Range<u64>>> {
    let mut walk = Walk::new(disk, Position { segment: 0, offset: 32 }, end, verify_from);
    let mut all = Vec::new();
    while let Some(found) = walk.step().unwrap() {
        match found {
            Found::Chunk(_, location, _) => all.push(Ok(location.length)),
            Found::Gap(gap) => all.push(Err(gap.from..gap.to)),
            Found::Drop(..) | Found::Mark(_) | Found::Void | Found::Removed(_) => {}
        }
    }
    all
}

#[test]
fn reading_resumes_at_the_record_after_a_damaged_header() {
    let (disk, ranges) = segment(&[&[1; 40_000], &[2; 100], &[3; 50]]);
    disk.flip_bits(&segment_name(0), ranges[0].start + 9, 1);
    let found = walk(&disk, ranges[2].end, u64::MAX);
    assert_eq!(found, [Err(ranges[0].clone()), Ok(100), Ok(50)]);
}

#[test]
fn a_damaged_body_is_found_where_bodies_are_verified() {
    let (disk, ranges) = segment(&[&[1; 400], &[2; 100], &[3; 50]]);
    disk.flip_bits(&segment_name(0), ranges[1].start + 60, 1);
    assert_eq!(walk(&disk, ranges[2].end, u64::MAX), [Ok(400), Ok(100), Ok(50)]);
    assert_eq!(walk(&disk, ranges[2].end, ranges[0].end), [Ok(400), Err(ranges[1].clone()), Ok(50)]);
}

#[test]
fn a_record_inside_a_damaged_chunk_cannot_stand_for_another_chunk() {
    // A peer sent a chunk that holds a record made for just this place, naming a chunk that it is not.
    let inner = Position { segment: 0, offset: 32 + 52 + 10 };
    let forged = Frame::chunk(ChunkId::from_bytes([9; 32]), 5).encode(inner);
    let chunk = [&[0; 10][..], &forged, &[7; 5], &checksum(&[7; 5]), &[0; 40]].concat();
    let (disk, ranges) = segment(&[&chunk, &[3; 50]]);
    disk.flip_bits(&segment_name(0), 40, 1);
    assert_eq!(walk(&disk, ranges[1].end, u64::MAX), [Err(ranges[0].clone()), Ok(50)]);
}

#[test]
fn unreadable_blocks_are_a_gap_that_says_so() {
    let (disk, ranges) = segment(&[&[1; 40_000], &[2; 100]]);
    disk.fail_after(0, Fault::Io);
    let mut walk = Walk::new(&disk, Position { segment: 0, offset: 32 }, ranges[1].end, u64::MAX);
    let found = walk.step().unwrap();
    assert_eq!(found, Some(Found::Gap(Gap { from: 32, to: ranges[1].start, unreadable: true })));
}
