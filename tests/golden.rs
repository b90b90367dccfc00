//! A small store of format 1 as it was written once: every later version opens it and finds everything, and its bytes are what FORMAT.md
//! says. A newer format is refused with a sentence.
//!
//! Until the first release the fixture changes with the format: `cargo test --test golden -- --ignored` writes it anew.

#![expect(clippy::unwrap_used, reason = "all of it is a test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nuthatch::base::ids::{ChunkId, FeedId, NodeId};
use nuthatch::io::disk::FileDisk;
use nuthatch::store::check::{check, Whole};
use nuthatch::store::service::{Reply, Request, ScanState, Service, StoreError, StoreOptions};
use sha2::{Digest as _, Sha256};

/// The format of the fixture.
const FORMAT: u32 = 1;
/// Chunks that were put; every fifth was given up afterwards.
const CHUNKS: u32 = 150;
/// Feed entries.
const ENTRIES: u64 = 7;
/// The feed.
const FEED: FeedId = FeedId { node: NodeId::from_bytes([0x5e; 32]), random: [0x1d; 8] };

/// Where the fixture is.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("format-{FORMAT}"))
}

/// The sealed bytes of a chunk: its number, then noise (a linear congruential generator, so that nothing else must stay as it is).
fn sealed(number: u32) -> Vec<u8> {
    let mut state = number;
    let mut bytes = number.to_le_bytes().to_vec();
    for _ in 0..number * number % 499 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.push(state.to_be_bytes()[0]);
    }
    bytes
}

/// Its id.
fn id(number: u32) -> ChunkId {
    ChunkId::from_bytes(Sha256::digest(sealed(number)).into())
}

/// The chunks that are there, by id.
fn expected() -> BTreeMap<ChunkId, Vec<u8>> {
    (0..CHUNKS).filter(|number| number % 5 != 0).map(|number| (id(number), sealed(number))).collect()
}

/// A feed entry.
fn entry(sequence: u64) -> Vec<u8> {
    format!("signed entry {sequence}").into_bytes()
}

/// Opens a home.
fn open(home: &Path, options: StoreOptions) -> Result<Service, StoreError> {
    Ok(Service::open(Arc::new(FileDisk::new(home)), options)?.0)
}

/// Asks, and gives the last reply.
fn ask(service: &mut Service, request: Request) -> Option<Reply> {
    let mut replies = Vec::new();
    service.execute(request, &mut replies);
    replies.pop()
}

/// The fixture in a directory of its own.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    for directory in ["segments", "index"] {
        std::fs::create_dir(home.path().join(directory)).unwrap();
        for file in std::fs::read_dir(fixture().join(directory)).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), home.path().join(directory).join(file.file_name())).unwrap();
        }
    }
    let state = std::fs::read(fixture().join("state.redb.zst")).unwrap();
    std::fs::write(home.path().join("state.redb"), zstd::decode_all(&state[..]).unwrap()).unwrap();
    home
}

#[test]
#[ignore = "writes the fixture"]
fn write_the_fixture() {
    let home = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        segment_bytes_max: 30_000,
        reserve_bytes: 0,
        delta_entries_max: 16,
        ..StoreOptions::default()
    };
    let mut service = open(home.path(), options).unwrap();
    let flush = |service: &mut Service| drop(ask(service, Request::Flush { op: 0 }));
    for number in 0..CHUNKS {
        ask(&mut service, Request::Put { op: 0, id: id(number), bytes: sealed(number) });
        if number % 7 == 0 {
            flush(&mut service);
        }
    }
    let ids = (0..CHUNKS).filter(|number| number % 5 == 0).map(id).collect();
    ask(&mut service, Request::Drop { op: 0, ids });
    flush(&mut service);
    let settings = vec![("golden".to_owned(), Some(b"value".to_vec()))];
    let entries = (0..ENTRIES).map(entry).collect();
    ask(&mut service, Request::Append { op: 0, feed: FEED, sequence: 0, entries, settings });
    service.close();
    let _ = std::fs::remove_dir_all(fixture());
    for directory in ["segments", "index"] {
        std::fs::create_dir_all(fixture().join(directory)).unwrap();
        for file in std::fs::read_dir(home.path().join(directory)).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), fixture().join(directory).join(file.file_name())).unwrap();
        }
    }
    let state = std::fs::read(home.path().join("state.redb")).unwrap();
    std::fs::write(fixture().join("state.redb.zst"), zstd::encode_all(&state[..], 19).unwrap()).unwrap();
}

#[test]
fn everything_in_a_store_of_this_format_is_found_and_it_goes_on() {
    let home = home();
    let options = StoreOptions { reserve_bytes: 0, ..StoreOptions::default() };
    let (service, report) = Service::open(Arc::new(FileDisk::new(home.path())), options).unwrap();
    assert!(!report.new && report.rotten_places == 0 && report.runs_discarded == 0, "{report:?}");
    assert_eq!((report.replayed, report.torn_bytes), (0, 0), "it was closed cleanly");
    let mut service = service;
    for number in 0..CHUNKS {
        let found = ask(&mut service, Request::Get { op: 0, id: id(number) });
        let expected = (number % 5 != 0).then(|| sealed(number));
        assert_eq!(found, Some(Reply::Get { op: 0, id: id(number), result: Ok(expected) }), "{number}");
    }
    let Some(Reply::Scan { found, more: false, .. }) =
        ask(&mut service, Request::Scan { op: 0, after: None, limit: 1_000, read: true })
    else {
        panic!("no page")
    };
    let good: Vec<_> = expected().into_keys().map(|id| (id, ScanState::Good)).collect();
    assert_eq!(found, good);
    let request = Request::Entries { op: 0, feed: Some(FEED), after: None, limit_bytes: 100_000 };
    let entries: Vec<_> = (0..ENTRIES).map(|sequence| (FEED, sequence, entry(sequence))).collect();
    assert_eq!(ask(&mut service, request), Some(Reply::Entries { op: 0, entries, more: false }));
    let request = Request::Load { op: 0, prefix: "golden".to_owned() };
    let settings = vec![("golden".to_owned(), b"value".to_vec())];
    assert_eq!(ask(&mut service, request), Some(Reply::Load { op: 0, settings }));
    ask(&mut service, Request::Put { op: 9, id: id(0), bytes: sealed(0) });
    let mut replies = Vec::new();
    service.flush(&mut replies);
    assert!(matches!(replies[..], [Reply::Put { op: 9, bytes: 1.., result: Ok(true), .. }]), "{replies:?}");
    service.close();
    let mut service = open(home.path(), options).unwrap();
    let found = ask(&mut service, Request::Get { op: 0, id: id(0) });
    assert_eq!(found, Some(Reply::Get { op: 0, id: id(0), result: Ok(Some(sealed(0))) }));
}

#[test]
fn a_check_gives_out_everything_and_changes_no_file() {
    let home = home();
    let files = || {
        let mut files = BTreeMap::new();
        for directory in ["", "segments", "index"] {
            for file in std::fs::read_dir(home.path().join(directory)).unwrap() {
                let path = file.unwrap().path();
                if path.is_file() {
                    files.insert(path.clone(), std::fs::read(&path).unwrap());
                }
            }
        }
        files
    };
    let before = files();
    let (mut chunks, mut entries) = (BTreeMap::new(), Vec::new());
    let report = check(Arc::new(FileDisk::read_only(home.path())), &mut |whole| {
        match whole {
            Whole::Chunk(id, sealed) => assert!(chunks.insert(*id, sealed.to_vec()).is_none()),
            Whole::Entry(feed, sequence, entry) => entries.push((*feed, sequence, entry.to_vec())),
        }
        Ok(())
    })
    .unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(chunks, expected());
    assert_eq!(entries, (0..ENTRIES).map(|number| (FEED, number, entry(number))).collect::<Vec<_>>());
    assert!(files() == before);
}

#[test]
fn a_newer_format_is_refused_with_a_sentence() {
    let refused = |change: &dyn Fn(&Path)| {
        let home = home();
        change(home.path());
        let error = open(home.path(), StoreOptions::default()).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, StoreError::NewerFormat { found: 2, .. }), "{text}");
        assert!(text.contains("newer nuthatch") && text.contains("update nuthatch"), "{text}");
    };
    // A segment: format at 8, checksum of 0 to 23 at 24.
    refused(&|home| {
        for file in files_of(&home.join("segments")) {
            let mut bytes = std::fs::read(&file).unwrap();
            bytes[8] = 2;
            let sum = checksum(&bytes[..24]);
            bytes[24..32].copy_from_slice(&sum);
            std::fs::write(&file, bytes).unwrap();
        }
    });
    // A run: the footer is the last 96 bytes, its format at 8, its checksum at 88.
    refused(&|home| {
        for file in files_of(&home.join("index")) {
            let mut bytes = std::fs::read(&file).unwrap();
            let footer = bytes.len() - 96;
            bytes[footer + 8] = 2;
            let sum = checksum(&bytes[footer..footer + 88]);
            bytes[footer + 88..].copy_from_slice(&sum);
            std::fs::write(&file, bytes).unwrap();
        }
    });
    refused(&|home| {
        let database = redb::Database::create(home.join("state.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        let about: redb::TableDefinition<'_, &str, u32> = redb::TableDefinition::new("about");
        transaction.open_table(about).unwrap().insert("format", 2).unwrap();
        transaction.commit().unwrap();
    });
}

/// The files of a directory, in order of their names.
fn files_of(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// A checksum as FORMAT.md has it.
fn checksum(bytes: &[u8]) -> [u8; 8] {
    blake3::hash(bytes).as_bytes()[..8].try_into().unwrap()
}

/// A number of four bytes.
fn four(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// A number of eight bytes.
fn eight(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// What a second implementation finds: where each chunk's last record is, by segment, offset and length.
type Places = BTreeMap<Vec<u8>, (u32, u32, u32)>;

/// Reads the segments by the tables of FORMAT.md alone. Also gives where each segment ends.
fn read_segments() -> (Places, Vec<u64>) {
    let (mut places, mut ends) = (Places::new(), Vec::new());
    for (number, file) in (0_u32..).zip(files_of(&fixture().join("segments"))) {
        assert_eq!(file.file_name().unwrap().to_str(), Some(&*format!("{number:08x}.seg")));
        let bytes = std::fs::read(&file).unwrap();
        assert_eq!((&bytes[..8], four(&bytes, 8), four(&bytes, 12)), (&b"NUTHSEG\0"[..], FORMAT, number));
        assert_eq!(bytes[24..32], checksum(&bytes[..24]));
        let before = eight(&bytes, 16);
        assert!(before <= ends.last().copied().unwrap_or(0), "it states what counts of the one before");
        let (mut at, mut removed_at) = (32, 0);
        assert_eq!(bytes[36], 5, "every segment begins with a list of those that were removed");
        while at < bytes.len() {
            let header = &bytes[at..at + 52];
            let place = [&header[..44], &number.to_le_bytes(), &u64::try_from(at).unwrap().to_le_bytes()];
            assert_eq!(
                (&header[..4], &header[44..]),
                (&b"\xbfnut"[..], &checksum(&place.concat())[..]),
                "{at}"
            );
            let (kind, length) = (header[4], usize::try_from(four(header, 8)).unwrap());
            let (id, body) = (header[12..44].to_vec(), &bytes[at + 52..at + 52 + length]);
            let offset = u32::try_from(at).unwrap();
            at += 52 + length;
            if !matches!(kind, 3 | 4) {
                assert_eq!(bytes[at..at + 8], checksum(body), "a body has its checksum behind it");
                at += 8;
            }
            match kind {
                1 => {
                    assert_eq!(Sha256::digest(body)[..], id[..]);
                    places.insert(id, (number, offset, four(header, 8)));
                }
                2 => {
                    let stood = (four(body, 0), four(body, 4), four(body, 8));
                    let said_first = (four(body, 12), four(body, 16));
                    assert_eq!((length, said_first), (20, (number, offset)), "nothing was compacted");
                    assert_eq!(places.remove(&id), Some(stood), "a drop says where the record stood");
                }
                3 => {
                    assert_eq!((length, &id[8..]), (0, &[0; 24][..]));
                    assert_eq!(
                        eight(&id, 0),
                        removed_at,
                        "a mark says where the last frame of kind 5 begins"
                    );
                }
                5 => {
                    assert_eq!(length, 0, "no segment was removed");
                    removed_at = u64::from(offset);
                }
                _ => {}
            }
        }
        ends.push(u64::try_from(at).unwrap());
    }
    (places, ends)
}

#[test]
fn the_tables_of_the_format_describe_the_segments() {
    let (places, ends) = read_segments();
    assert!(ends.len() >= 2, "the fixture has several segments");
    let found: Vec<_> = places.into_keys().collect();
    let expected: Vec<_> = expected().into_keys().map(|id| id.as_bytes().to_vec()).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_tables_of_the_format_describe_the_runs() {
    let (places, ends) = read_segments();
    let mut runs = Vec::new();
    for file in files_of(&fixture().join("index")) {
        let bytes = std::fs::read(&file).unwrap();
        let footer = &bytes[bytes.len() - 96..];
        assert_eq!((&footer[..8], four(footer, 8)), (&b"NUTHRUN\0"[..], FORMAT));
        assert_eq!(footer[88..], checksum(&footer[..88]));
        let size = |number: u64| usize::try_from(number).unwrap();
        let (fence_ids, entries) = (size(four(footer, 12).into()), size(eight(footer, 16)));
        let stride = size(eight(footer, 24));
        let blocks = entries.div_ceil(92);
        let rows = if four(footer, 56) == u32::MAX { 0 } else { size(four(footer, 56).into()) };
        assert_eq!(bytes.len(), blocks * 4_096 + fence_ids * 8 + rows * 16 + 96);
        let (fence, table) = bytes[blocks * 4_096..bytes.len() - 96].split_at(fence_ids * 8);
        assert_eq!(footer[72..80], checksum(table));
        assert_eq!(footer[80..88], checksum(fence));
        let mut said = Vec::new();
        for (index, block) in bytes[..blocks * 4_096].chunks(4_096).enumerate() {
            assert_eq!(block[4_088..], checksum(&block[..4_088]));
            if index % stride == 0 {
                assert_eq!(fence[index / stride * 8..][..8], block[..8]);
            }
            for entry in block[..4_048].chunks(44).take(entries - index * 92) {
                let place = (four(entry, 32), four(entry, 36), four(entry, 40));
                said.push((entry[..32].to_vec(), place));
            }
        }
        assert!(
            said.len() == entries && said.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "sorted, each once"
        );
        let from = (four(footer, 32), eight(footer, 40));
        let to = (four(footer, 36), eight(footer, 48));
        let row = |row: &[u8]| (four(row, 0), four(row, 4), four(row, 8));
        let table: Vec<_> = table.chunks(16).map(row).collect();
        runs.push((from, to, said, table));
    }
    runs.sort();
    assert_eq!(runs.first().map(|run| run.0), Some((0, 0)));
    assert!(runs.windows(2).all(|pair| pair[0].1 == pair[1].0), "they cover the log without a hole");
    let (segment, offset) = runs.last().map(|run| run.1).unwrap();
    let rest = ends.last().unwrap() - offset;
    assert_eq!(usize::try_from(segment).unwrap(), ends.len() - 1);
    assert!(rest == 0 || rest == 52, "up to its end, but for the last mark: {rest}");
    let mut used = BTreeMap::new();
    for (segment, _, length) in places.values() {
        let row: &mut (u32, u32) = used.entry(*segment).or_default();
        *row = (row.0 + 1, row.1 + length);
    }
    let table: BTreeMap<_, _> =
        runs.last().unwrap().3.iter().map(|row| (row.0, (row.1, row.2))).filter(|row| row.1 .0 > 0).collect();
    assert_eq!(table, used, "the last table tells what is in use");
    let mut found = Places::new();
    for (id, place) in runs.into_iter().flat_map(|run| run.2) {
        match place {
            (.., u32::MAX) => drop(found.remove(&id)),
            _ => drop(found.insert(id, place)),
        }
    }
    assert_eq!(found, places);
}
