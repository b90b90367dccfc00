//! Is `state.redb` what it was? Asked before it is opened, for redb takes what it reads of its own bookkeeping for granted
//! and ends the program where that has rotted.
//!
//! redb checks every page against its checksum only when it repairs. So it is shown the file as one that needs repair,
//! with whatever it writes kept in memory, and is stopped as soon as it has checked: nothing on the disk changes. Its own
//! parameters at the front of the file, which no checksum covers, are compared with what this version writes.
//!
//! What rots while the file is open is found at the next start. Read `feeds.rs` first.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use redb::{Database, DatabaseError, StorageBackend};

use super::disk::{Disk, RedbFile};
use super::error::StoreError;
use super::feeds::{corrupt, failure};
use crate::base::limits::STATE_CACHE_BYTES;

/// Checks all that is in the database `name`; changes nothing.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not what it was, or when the disk fails.
pub fn check(disk: &Arc<dyn Disk>, name: &str) -> Result<(), StoreError> {
    let mut front = [0; FRONT_BYTES];
    let read = disk.read_at(name, 0, &mut front)?;
    let length = disk.len(name)?;
    if read < FRONT_BYTES || front[..MAGIC.len()] != MAGIC {
        return Err(corrupt("it does not begin as it should"));
    }
    check_layout(&front, length)?;
    let flags = front[FLAGS_AT];
    // Only a crash in the middle of a commit leaves a newest state that is not whole; then the one before it stands.
    let may_go_back = flags & NEEDS_REPAIR != 0 && flags & TWO_PHASES == 0;
    let mut changes =
        vec![(u64::try_from(FLAGS_AT).unwrap_or(u64::MAX), vec![(flags | NEEDS_REPAIR) & !TWO_PHASES])];
    if !may_go_back {
        // Where redb would not look at the other state, a repair is not to take it, though it may be the newer one: of the two times
        // that a commit writes the front of the file, a crash may have kept the first.
        let other = if flags & PRIMARY == 0 { CHECKSUMS_AT[1] } else { CHECKSUMS_AT[0] };
        let mut byte = [0];
        disk.read_at(name, other, &mut byte)?;
        changes.push((other, vec![!byte[0]]));
    }
    let shown = Shown {
        file: RedbFile::open(Arc::clone(disk), name, Arc::default())?,
        written: Arc::new(Mutex::new(changes)),
    };
    let written = Arc::clone(&shown.written);
    let checked = Rc::new(Cell::new(false));
    let whole = Rc::clone(&checked);
    let mut builder = Database::builder();
    builder.set_cache_size(STATE_CACHE_BYTES).set_repair_callback(move |repair| {
        if repair.progress() >= ALL_CHECKED {
            whole.set(true);
            repair.abort();
        } else if repair.progress() >= NEWEST_DAMAGED && !may_go_back {
            repair.abort();
        }
    });
    match builder.create_with_backend(shown) {
        Err(DatabaseError::RepairAborted) if checked.get() => {}
        Err(DatabaseError::RepairAborted) | Ok(_) => return Err(corrupt("a page is not what was written")),
        Err(error) => return Err(failure(error)),
    }
    let primary = |flags: u8| flags & PRIMARY;
    let chosen = Shown::patched(&written, FLAGS_AT, flags);
    if !may_go_back && primary(chosen) != primary(flags) {
        return Err(corrupt("its newest state is not what was written"));
    }
    Ok(())
}

/// Where a crash has kept what a commit wrote to the front of the file, and not yet that it made the file longer, or only a part
/// of its last page: makes it so long. redb ends the program where it is shorter than it says, or no whole pages long. What the
/// commit wrote beyond the old end is lost; its state is found not to be whole by that, and the one before it stands.
///
/// # Errors
/// When the disk fails.
pub fn lengthen(disk: &Arc<dyn Disk>, name: &str) -> Result<(), StoreError> {
    let mut front = [0; FRONT_BYTES];
    let read = disk.read_at(name, 0, &mut front)?;
    let length = disk.len(name)?;
    let was_open =
        read == FRONT_BYTES && front[..MAGIC.len()] == MAGIC && front[FLAGS_AT] & NEEDS_REPAIR != 0;
    let wanted = stated(&front).max(length.next_multiple_of(PAGE_BYTES));
    // A state grows to twice its size, or by twice what a large entry needs. More than that is rot.
    let may_be = length.saturating_mul(2).saturating_add(GROWTH_MAX);
    if was_open && (length + 1..=may_be).contains(&wanted) && length >= PAGE_BYTES + region(1) {
        log::warn!("`{name}` is shorter than it should be, after a crash in the middle of a write; the state before that stands");
        disk.set_len(name, wanted)?;
        disk.sync(name)?;
    }
    Ok(())
}

/// One of redb's parameters.
fn parameter(front: &[u8; FRONT_BYTES], index: usize) -> u64 {
    let at = NUMBERS_AT + index * 4;
    let bytes = front.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    u64::from(bytes.map_or(0, u32::from_le_bytes))
}

/// Bytes of a region of so many pages.
const fn region(pages: u64) -> u64 {
    if pages == 0 {
        0
    } else {
        (REGION_HEADER_PAGES + pages) * PAGE_BYTES
    }
}

/// How long the file is by what it says.
fn stated(front: &[u8; FRONT_BYTES]) -> u64 {
    let full = parameter(front, 3).saturating_mul(region(REGION_PAGES));
    full.saturating_add(PAGE_BYTES).saturating_add(region(parameter(front, 4)))
}

/// Compares redb's parameters with those of a database that this version makes, and its idea of the length with the file.
fn check_layout(front: &[u8; FRONT_BYTES], length: u64) -> Result<(), StoreError> {
    let parameters = [0, 1, 2].map(|index| parameter(front, index));
    if parameters != [PAGE_BYTES, REGION_HEADER_PAGES, REGION_PAGES] {
        return Err(corrupt("its parameters are not those of this version"));
    }
    // After a crash the file may be longer than its last whole state says, by whole pages.
    let is_whole = length % PAGE_BYTES == 0 && length >= PAGE_BYTES + region(1);
    if !is_whole || stated(front) > length || parameter(front, 4) >= REGION_PAGES {
        return Err(corrupt("it is shorter or longer than it says"));
    }
    Ok(())
}

/// What was written and is on no disk: where, and what.
type Written = Mutex<Vec<(u64, Vec<u8>)>>;

/// The file with changes that are kept in memory.
#[derive(Debug)]
struct Shown {
    /// What is on the disk; only read.
    file: RedbFile,
    /// Where something else is shown, in the order in which it was written. A check writes the front of the file only.
    written: Arc<Written>,
}

impl Shown {
    /// The byte that is shown at a place where the file has `byte`.
    fn patched(written: &Written, at: usize, byte: u8) -> u8 {
        let mut bytes = [byte];
        patch(written, u64::try_from(at).unwrap_or(u64::MAX), &mut bytes);
        bytes[0]
    }
}

/// Lays what was written over bytes that were read at `offset`.
fn patch(written: &Written, offset: u64, bytes: &mut [u8]) {
    let Ok(written) = written.lock() else { return };
    for (at, new) in written.iter() {
        for (place, byte) in (*at..).zip(new) {
            let index = place.checked_sub(offset).and_then(|index| usize::try_from(index).ok());
            if let Some(shown) = index.and_then(|index| bytes.get_mut(index)) {
                *shown = *byte;
            }
        }
    }
}

impl StorageBackend for Shown {
    fn len(&self) -> Result<u64, io::Error> {
        self.file.len()
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, io::Error> {
        let mut bytes = self.file.read(offset, len)?;
        patch(&self.written, offset, &mut bytes);
        Ok(bytes)
    }

    fn set_len(&self, _: u64) -> Result<(), io::Error> {
        Err(io::Error::other("a check changes nothing"))
    }

    fn sync_data(&self, _eventual: bool) -> Result<(), io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut written = self.written.lock().map_err(|_| io::Error::other("the check has failed"))?;
        if written.len() >= WRITES_MAX {
            return Err(io::Error::other("a check changes nothing"));
        }
        written.push((offset, data.to_vec()));
        Ok(())
    }
}

/// How a database begins (redb 2.6, `page_store/header.rs`, as everything below).
const MAGIC: [u8; 9] = *b"redb\x1a\x0a\xa9\x0d\x0a";
/// Where its flags are.
const FLAGS_AT: usize = MAGIC.len();
/// The flag that tells which of two states is the newest.
const PRIMARY: u8 = 1;
/// The flag of a database that was not closed.
const NEEDS_REPAIR: u8 = 2;
/// The flag of a newest state that was synced before it was named so.
const TWO_PHASES: u8 = 4;
/// Where its parameters are: page size, pages of a region's header, pages of a region, full regions, pages of the last.
const NUMBERS_AT: usize = FLAGS_AT + 3;
/// Bytes in front of the two states.
const FRONT_BYTES: usize = 64;
/// Where the checksums of the two states end.
const CHECKSUMS_AT: [u64; 2] = [64 + 127, 64 + 128 + 127];
/// Bytes of a page.
const PAGE_BYTES: u64 = 4_096;
/// Pages of a region's header.
const REGION_HEADER_PAGES: u64 = 130;
/// A state that is small may be longer by so many bytes for one large entry.
const GROWTH_MAX: u64 = 4 << 20;
/// Pages of a region.
const REGION_PAGES: u64 = 1 << 20;
/// A repair has come so far when the newest state is found to be damaged...
const NEWEST_DAMAGED: f64 = 0.25;
/// ... and so far when a state is found to be whole.
const ALL_CHECKED: f64 = 0.55;
/// The front of the file is written once or twice.
const WRITES_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{FeedId, NodeId};
    use crate::sim::disk::SimDisk;
    use crate::store::feeds::{Feeds, STATE_NAME};
    use rand_chacha::ChaCha8Rng;
    use rand_core::{RngCore, SeedableRng};

    /// The feed of the tests.
    const FEED: FeedId = FeedId { node: NodeId::from_bytes([1; 32]), random: [1; 8] };
    /// Its entries.
    const COUNT: usize = 40;

    /// An entry that looks like no other.
    fn entry(sequence: usize) -> Vec<u8> {
        let mut bytes = vec![0; 900];
        ChaCha8Rng::seed_from_u64(u64::try_from(sequence).unwrap()).fill_bytes(&mut bytes);
        bytes
    }

    /// A database with some entries; closed, or as a crash leaves it.
    fn state(closed: bool) -> SimDisk {
        let disk = SimDisk::new(1 << 24);
        let mut feeds = Feeds::open(Arc::new(disk.clone())).unwrap();
        for (number, sequence) in (0..COUNT).zip(0..) {
            feeds.append(&FEED, sequence, &[entry(number)], &[]).unwrap();
        }
        if closed {
            drop(feeds);
            return disk;
        }
        let image = disk.image(&mut ChaCha8Rng::seed_from_u64(1));
        std::mem::forget(feeds);
        image
    }

    /// Opens a damaged database and goes on with it; how many of its entries are there. None if it was refused in words.
    fn entries_of_damaged(disk: &SimDisk) -> Option<usize> {
        let mut feeds = match Feeds::open(Arc::new(disk.clone())) {
            Ok(feeds) => feeds,
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(STATE_NAME) && text.contains("nuthatch recover"), "{text}");
                return None;
            }
        };
        let count = feeds.entries(None, None, 1 << 20).unwrap().0.len();
        feeds.append(&FEED, u64::try_from(count).unwrap(), &[entry(count)], &[]).unwrap();
        let entries = feeds.entries(None, None, 1 << 20).unwrap().0;
        assert_eq!(entries.len(), count + 1);
        assert!(entries.iter().zip(0..).all(|((_, _, bytes), number)| *bytes == entry(number)));
        Some(count)
    }

    #[test]
    fn parameters_are_those_that_redb_writes() {
        let disk = state(true);
        let bytes = disk.content(STATE_NAME).unwrap();
        let number = |index: usize| u32::from_le_bytes(bytes[12 + index * 4..][..4].try_into().unwrap());
        let expected = (PAGE_BYTES, REGION_HEADER_PAGES, REGION_PAGES);
        assert_eq!((u64::from(number(0)), u64::from(number(1)), u64::from(number(2))), expected);
    }

    #[test]
    fn a_check_changes_nothing_and_finds_nothing_wrong_with_what_is_whole() {
        for closed in [true, false] {
            let disk = state(closed);
            let before = disk.content(STATE_NAME).unwrap();
            let shared: Arc<dyn Disk> = Arc::new(disk.clone());
            check(&shared, STATE_NAME).unwrap();
            assert_eq!(disk.content(STATE_NAME).unwrap(), before);
        }
    }

    #[test]
    fn rot_anywhere_is_a_sentence_and_never_the_end_of_the_program() {
        for closed in [true, false] {
            let disk = state(closed);
            let bytes = disk.content(STATE_NAME).unwrap();
            let used = bytes.iter().enumerate().filter(|(at, byte)| *at < 320 || **byte != 0);
            let mut refused = 0;
            for (at, _) in
                used.filter(|(at, _)| *at < FRONT_BYTES || at % if *at < 320 { 7 } else { 1_499 } == 0)
            {
                let copy = disk.image(&mut ChaCha8Rng::seed_from_u64(0));
                copy.flip_bits(STATE_NAME, u64::try_from(at).unwrap(), 0x24);
                match entries_of_damaged(&copy) {
                    // A page that is free, or (after a crash) a newest state that counts as not written.
                    Some(count) => assert!(count == COUNT || (!closed && count == COUNT - 1), "at {at}"),
                    None => refused += 1,
                }
            }
            // Most of the file is pages that earlier states have left.
            assert!(refused > COUNT, "{refused}");
        }
    }

    #[test]
    fn a_crash_in_the_first_commit_after_a_clean_end_is_no_damage() {
        let disk = state(true);
        let before = disk.content(STATE_NAME).unwrap();
        assert_ne!(before[FLAGS_AT] & TWO_PHASES, 0, "a clean end is a commit in two phases");
        let mut feeds = Feeds::open(Arc::new(disk.clone())).unwrap();
        let sequence = u64::try_from(COUNT).unwrap();
        feeds.append(&FEED, sequence, &[entry(COUNT)], &[]).unwrap();
        let crashed = disk.image(&mut ChaCha8Rng::seed_from_u64(1));
        std::mem::forget(feeds);
        // A commit writes the front twice: the new state as the other one, then that it is the newest. The second write is lost.
        crashed.write_at(STATE_NAME, 9, &[before[FLAGS_AT] | NEEDS_REPAIR]).unwrap();
        assert_eq!(entries_of_damaged(&crashed), Some(COUNT));
    }

    #[test]
    fn a_crash_between_the_front_of_the_file_and_its_new_length_is_no_damage() {
        let disk = SimDisk::new(1 << 26);
        let mut feeds = Feeds::open(Arc::new(disk.clone())).unwrap();
        let length = || disk.len(STATE_NAME).unwrap();
        let (mut count, mut grown) = (0_usize, 0);
        while grown < 3 {
            let before = disk.image(&mut ChaCha8Rng::seed_from_u64(1));
            feeds.append(&FEED, u64::try_from(count).unwrap(), &[entry(count)], &[]).unwrap();
            let (now, old) = (length(), before.len(STATE_NAME).unwrap());
            if now > old {
                grown += 1;
                let after = disk.content(STATE_NAME).unwrap();
                // All that was written within the old length is there, or the front alone.
                for kept in [usize::try_from(old).unwrap(), 4_096] {
                    let crashed = before.image(&mut ChaCha8Rng::seed_from_u64(1));
                    crashed.write_at(STATE_NAME, 0, &after[..kept]).unwrap();
                    let found = entries_of_damaged(&crashed);
                    assert!(found == Some(count) || found == Some(count + 1), "{found:?} of {count}");
                    assert_eq!(crashed.len(STATE_NAME).unwrap() % 4_096, 0);
                }
                // The front is the old one, and the file became longer by a part of what was written behind its end.
                let crashed = before.image(&mut ChaCha8Rng::seed_from_u64(1));
                let behind = usize::try_from(old).unwrap();
                crashed.write_at(STATE_NAME, old, &after[behind..behind + 2_560]).unwrap();
                assert_eq!(entries_of_damaged(&crashed), Some(count));
            }
            count += 1;
        }
        std::mem::forget(feeds);
    }

    #[test]
    fn rot_in_an_entry_is_always_found() {
        for closed in [true, false] {
            let disk = state(closed);
            let bytes = disk.content(STATE_NAME).unwrap();
            for number in 0..COUNT {
                // Earlier states have left copies of the page: one of them is the one that counts.
                let (copy, entry) = (disk.image(&mut ChaCha8Rng::seed_from_u64(0)), entry(number));
                let places = bytes.windows(16).enumerate().filter(|(_, bytes)| **bytes == entry[..16]);
                for (at, _) in places {
                    copy.flip_bits(STATE_NAME, u64::try_from(at).unwrap() + 5, 0x24);
                }
                let is_newest_given_up = !closed && number == COUNT - 1;
                let expected = is_newest_given_up.then_some(number);
                assert_eq!(entries_of_damaged(&copy), expected, "entry {number}");
            }
        }
    }

    #[test]
    fn a_file_that_lost_its_end_is_a_sentence() {
        let disk = state(true);
        let length = disk.len(STATE_NAME).unwrap();
        for rest in [0, 1, 63, 64, 319, 4_096, 8_191, 8_192, length / 2, length - 4_096, length - 1] {
            let copy = disk.image(&mut ChaCha8Rng::seed_from_u64(0));
            copy.set_len(STATE_NAME, rest).unwrap();
            assert!(matches!(Feeds::open(Arc::new(copy)), Err(StoreError::Corrupt { .. })), "{rest}");
        }
    }
}
