//! Feed entries and settings: small state that must change as one, in redb on trait Disk.
//!
//! Owns `state.redb`. A new database is made aside and renamed, so that a file of that name is always a whole one. After any
//! failed write the database is copied to a new file before it is written again: what a failed sync left in the
//! page cache cannot be trusted, what is read back and written anew can. Refuses a home of a newer format.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use redb::{Database, Durability, TableDefinition, WriteTransaction};

use super::disk::{Disk, DiskError, DiskErrorKind, RedbFile};
use super::error::StoreError;
use super::overlay::Overlay;
use super::segment::FORMAT;
use super::soundness;
use crate::base::ids::{FeedId, NodeId};
use crate::base::limits::{
    ENTRIES_PAGE_BYTES_MAX, FEED_ENTRY_BYTES_MAX, SETTING_NAME_BYTES_MAX, SETTING_VALUE_BYTES_MAX,
    STATE_CACHE_BYTES,
};

/// (feed, sequence) -> signed entry. The key is node (32), random (8), sequence (8, big-endian).
const ENTRIES: TableDefinition<'_, &[u8; 48], &[u8]> = TableDefinition::new("entries");
/// Name -> value.
const SETTINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("settings");
/// What the store knows of itself: `format`.
const ABOUT: TableDefinition<'_, &str, u32> = TableDefinition::new("about");
/// The file.
pub const STATE_NAME: &str = "state.redb";
/// Where a new one is made.
const STATE_NAME_ASIDE: &str = "state.redb.new";
/// Bytes copied at once.
const COPY_BYTES: usize = 256 * 1024;

/// A setting to write: name and value; `None` removes it.
pub type Setting = (String, Option<Vec<u8>>);

/// Feed entries and settings of a data home.
#[derive(Debug)]
pub struct Feeds {
    /// Where the file is.
    disk: Arc<dyn Disk>,
    /// The open database; `None` only while it is being replaced, or when that failed.
    database: Option<Database>,
    /// A write failed: copy before writing again.
    distrusted: bool,
    /// A sync may have failed: copy before even opening it again.
    lossy: bool,
    /// Becomes true when a sync fails.
    sync_failed: Arc<AtomicBool>,
}

/// A page of feed entries: feed, sequence, signed bytes.
pub type EntryPage = Vec<(FeedId, u64, Vec<u8>)>;

impl Feeds {
    /// Opens the database, or makes it.
    ///
    /// # Errors
    /// [`StoreError::NewerFormat`], [`StoreError::Corrupt`], or when the disk fails.
    pub fn open(disk: Arc<dyn Disk>) -> Result<Self, StoreError> {
        if disk.exists(STATE_NAME_ASIDE)? {
            disk.remove(STATE_NAME_ASIDE)?;
        }
        if !disk.exists(STATE_NAME)? {
            let aside = open_database(&disk, STATE_NAME_ASIDE, &Arc::default())?;
            write(&aside, |transaction| {
                transaction.open_table(ABOUT).map_err(failure)?.insert("format", FORMAT).map_err(failure)?;
                transaction.open_table(ENTRIES).map_err(failure)?;
                transaction.open_table(SETTINGS).map_err(failure)?;
                Ok(())
            })?;
            drop(aside);
            put_in_place(&*disk)?;
        }
        let mut feeds =
            Self { disk, database: None, distrusted: false, lossy: false, sync_failed: Arc::default() };
        let format = {
            let transaction = feeds.database()?.begin_read().map_err(failure)?;
            let about = transaction.open_table(ABOUT).map_err(failure)?;
            let format = about.get("format").map_err(failure)?;
            format.map_or(0, |format| format.value())
        };
        match format {
            0 => Err(corrupt("it states no format")),
            1..=FORMAT => Ok(feeds),
            found => Err(StoreError::NewerFormat { name: STATE_NAME.to_owned(), found, supported: FORMAT }),
        }
    }

    /// Writes feed entries and settings in one transaction, durably.
    ///
    /// # Errors
    /// When a bound is exceeded or the disk fails: then nothing is written, or (after a failed sync) all or nothing.
    /// [`StoreError::Behind`] when the entry before the first one is not here.
    pub fn append(
        &mut self,
        feed: &FeedId,
        sequence: u64,
        entries: &[Vec<u8>],
        settings: &[Setting],
    ) -> Result<(), StoreError> {
        check_bounds(entries, settings)?;
        if let Some(before) = sequence.checked_sub(1).filter(|_| !entries.is_empty()) {
            let transaction = self.database()?.begin_read().map_err(failure)?;
            let table = transaction.open_table(ENTRIES).map_err(failure)?;
            if table.get(&key(feed, before)).map_err(failure)?.is_none() {
                return Err(StoreError::Behind { sequence });
            }
        }
        self.change(|transaction| {
            let mut table = transaction.open_table(ENTRIES).map_err(failure)?;
            for (sequence, entry) in (sequence..).zip(entries) {
                table.insert(&key(feed, sequence), entry.as_slice()).map_err(failure)?;
            }
            drop(table);
            let mut table = transaction.open_table(SETTINGS).map_err(failure)?;
            for (name, value) in settings {
                match value {
                    Some(value) => table.insert(name.as_str(), value.as_slice()).map_err(failure)?,
                    None => table.remove(name.as_str()).map_err(failure)?,
                };
            }
            Ok(())
        })
    }

    /// A page of entries after `after`, of one feed or of all; and whether others follow.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn entries(
        &mut self,
        feed: Option<&FeedId>,
        after: Option<&(FeedId, u64)>,
        limit_bytes: usize,
    ) -> Result<(EntryPage, bool), StoreError> {
        let limit_bytes = limit_bytes.min(ENTRIES_PAGE_BYTES_MAX);
        let first = match (feed, after) {
            (None, None) => [0; 48],
            (Some(feed), None) => key(feed, 0),
            (None, Some((after, sequence))) => key(after, *sequence),
            (Some(feed), Some((after, sequence))) => key(feed, 0).max(key(after, *sequence)),
        };
        let last = feed.map_or([0xff; 48], |feed| key(feed, u64::MAX));
        if first > last {
            return Ok((Vec::new(), false));
        }
        let skip = after.map(|(feed, sequence)| key(feed, *sequence));
        let transaction = self.database()?.begin_read().map_err(failure)?;
        let table = transaction.open_table(ENTRIES).map_err(failure)?;
        let (mut page, mut page_bytes) = (Vec::new(), 0);
        for row in table.range::<&[u8; 48]>(&first..=&last).map_err(failure)? {
            let (at, entry) = row.map_err(failure)?;
            if Some(*at.value()) == skip {
                continue;
            }
            page_bytes += entry.value().len();
            if page_bytes > limit_bytes && !page.is_empty() {
                return Ok((page, true));
            }
            let (feed, sequence) = unkey(at.value());
            page.push((feed, sequence, entry.value().to_vec()));
        }
        Ok((page, false))
    }

    /// All settings whose name begins with `prefix`, by name.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn settings(&mut self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let transaction = self.database()?.begin_read().map_err(failure)?;
        let table = transaction.open_table(SETTINGS).map_err(failure)?;
        let mut found = Vec::new();
        for row in table.range(prefix..).map_err(failure)? {
            let (name, value) = row.map_err(failure)?;
            if !name.value().starts_with(prefix) {
                break;
            }
            found.push((name.value().to_owned(), value.value().to_vec()));
        }
        Ok(found)
    }

    /// Carries out one durable change.
    fn change(
        &mut self,
        body: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.distrusted {
            self.replace()?;
        }
        let database = match self.database.take() {
            Some(database) => database,
            None => self.open_again()?,
        };
        let result = write(&database, body);
        match &result {
            Ok(()) => self.database = Some(database),
            Err(error) => {
                // redb refuses everything after a failed write; and what it wrote last may not be on the medium.
                drop(database);
                self.distrusted = true;
                self.lossy |= self.sync_failed.swap(false, Ordering::Relaxed)
                    || !matches!(error, StoreError::Full { .. });
            }
        }
        result
    }

    /// The database, opened again if need be; only to be read.
    fn database(&mut self) -> Result<&Database, StoreError> {
        if self.database.is_none() {
            let opened = match self.open_again() {
                Err(StoreError::Full { .. }) => {
                    // There is no room for a copy, or for what a repair writes: all of it can be read. It is replaced before it is written.
                    self.distrusted = true;
                    let shown: Arc<dyn Disk> = Arc::new(Overlay::new(Arc::clone(&self.disk)));
                    open_checked(&shown, &Arc::default())
                }
                opened => opened,
            };
            self.database = Some(opened?);
        }
        self.database.as_ref().ok_or_else(|| corrupt("it could not be opened again"))
    }

    /// Opens the database again.
    fn open_again(&mut self) -> Result<Database, StoreError> {
        if self.lossy {
            // What reads as written may be lost, and redb repairs in place: it must not build on that.
            self.replace()?;
        }
        let opened = open_checked(&self.disk, &self.sync_failed);
        self.lossy |= self.sync_failed.swap(false, Ordering::Relaxed);
        opened
    }

    /// Copies the file as it reads now, all of it synced, and puts the copy in its place. Until then the old file is not
    /// written to, so that a power cut finds the last state that was synced.
    fn replace(&mut self) -> Result<(), StoreError> {
        self.database = None;
        if self.disk.exists(STATE_NAME_ASIDE)? {
            self.disk.remove(STATE_NAME_ASIDE)?;
        }
        let copied = self.copy();
        if copied.is_err() {
            // On a full disk what is left over would take the room that others need.
            let _ = self.disk.remove(STATE_NAME_ASIDE);
        }
        copied?;
        (self.distrusted, self.lossy) = (false, false);
        Ok(())
    }

    /// Makes the copy and puts it in place.
    fn copy(&self) -> Result<(), StoreError> {
        let mut buffer = vec![0; COPY_BYTES];
        let mut offset = 0;
        loop {
            let read = self.disk.read_at(STATE_NAME, offset, &mut buffer)?;
            if read == 0 {
                break;
            }
            self.disk.write_at(STATE_NAME_ASIDE, offset, &buffer[..read])?;
            offset += u64::try_from(read).unwrap_or(u64::MAX);
        }
        put_in_place(&*self.disk)
    }
}

/// Opens the database, once all of it was found to be as it was written: a damaged page that redb meets later it takes
/// for its own mistake.
fn open_checked(disk: &Arc<dyn Disk>, sync_failed: &Arc<AtomicBool>) -> Result<Database, StoreError> {
    soundness::lengthen(disk, STATE_NAME)?;
    soundness::check(disk, STATE_NAME)?;
    open_database(disk, STATE_NAME, sync_failed)
}

/// Opens or makes the database `name`.
fn open_database(
    disk: &Arc<dyn Disk>,
    name: &str,
    sync_failed: &Arc<AtomicBool>,
) -> Result<Database, StoreError> {
    let file = RedbFile::open(Arc::clone(disk), name, Arc::clone(sync_failed))?;
    let mut builder = Database::builder();
    builder.set_cache_size(STATE_CACHE_BYTES).create_with_file_format_v3(true);
    builder.create_with_backend(file).map_err(failure)
}

/// Gives the database that was made aside its name.
fn put_in_place(disk: &dyn Disk) -> Result<(), StoreError> {
    disk.sync(STATE_NAME_ASIDE)?;
    disk.rename(STATE_NAME_ASIDE, STATE_NAME)?;
    disk.sync_dir("")?;
    Ok(())
}

/// One transaction, durable when this returns `Ok`.
fn write(
    database: &Database,
    body: impl FnOnce(&WriteTransaction) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut transaction = database.begin_write().map_err(failure)?;
    transaction.set_durability(Durability::Immediate);
    body(&transaction)?;
    transaction.commit().map_err(failure)
}

/// Refuses what is too long to be stored.
fn check_bounds(entries: &[Vec<u8>], settings: &[Setting]) -> Result<(), StoreError> {
    let longest = entries.iter().map(Vec::len).max().unwrap_or(0);
    let name = settings.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let value = settings.iter().filter_map(|(_, value)| value.as_ref()).map(Vec::len).max().unwrap_or(0);
    for (what, found, limit) in [
        ("bytes of a feed entry", longest, FEED_ENTRY_BYTES_MAX),
        ("bytes of a setting's name", name, SETTING_NAME_BYTES_MAX),
        ("bytes of a setting", value, SETTING_VALUE_BYTES_MAX),
    ] {
        if found > limit {
            return Err(StoreError::TooMuch { what, found, limit });
        }
    }
    Ok(())
}

/// The key of an entry.
fn key(feed: &FeedId, sequence: u64) -> [u8; 48] {
    let mut key = [0; 48];
    key[..32].copy_from_slice(feed.node.as_bytes());
    key[32..40].copy_from_slice(&feed.random);
    key[40..].copy_from_slice(&sequence.to_be_bytes());
    key
}

/// The feed and sequence of a key.
fn unkey(key: &[u8; 48]) -> (FeedId, u64) {
    let (mut node, mut random, mut sequence) = ([0; 32], [0; 8], [0; 8]);
    node.copy_from_slice(&key[..32]);
    random.copy_from_slice(&key[32..40]);
    sequence.copy_from_slice(&key[40..]);
    (FeedId { node: NodeId::from_bytes(node), random }, u64::from_be_bytes(sequence))
}

/// redb's failure as the store tells it.
pub(super) fn failure(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Io(error) => DiskError::from_io("use", STATE_NAME, &error).into(),
        redb::Error::PreviousIo => {
            DiskError::new("use", STATE_NAME, DiskErrorKind::Io, "an earlier call failed").into()
        }
        other => corrupt(&other.to_string()),
    }
}

/// The database is not what it should be.
pub(super) fn corrupt(reason: &str) -> StoreError {
    StoreError::Corrupt { name: STATE_NAME.to_owned(), reason: reason.to_owned() }
}
