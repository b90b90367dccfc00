//! The store as one synchronous service: requests in, replies out.
//!
//! Owns the order of things: chunks (`chunks.rs`), temporary sets (`sets.rs`), feeds and settings (`feeds.rs`) are
//! each used only from here, by one thread. `io/` runs it on the storage thread, the simulator calls it directly.
//! Refuses to read a clock: the caller says when a group has waited long enough ([`Service::flush`]).
//! Read FORMAT.md first, then `request.rs` and `chunks.rs`.

use std::sync::Arc;

use super::chunks::Chunks;
use super::disk::Disk;
pub use super::error::StoreError;
use super::feeds::{Feeds, Setting, STATE_NAME};
use super::meter::Metered;
pub use super::meter::{Wear, Written};
pub use super::request::{
    CompactState, Compacted, Dropped, Op, OpenReport, Reply, Request, ScanState, Scrubbed, StoreOptions,
    StoreStats,
};
use super::segment::{segment_number, SEGMENT_DIRECTORY};
use super::sets::Sets;
use crate::base::ids::{ChunkId, FeedId, NodeId};
use crate::base::limits::{PAGE_IDS_MAX, WRITTEN_UNNOTED_MAX};

/// The store of one data home.
#[derive(Debug)]
pub struct Service {
    /// Chunks and their index.
    chunks: Chunks,
    /// Temporary sets.
    sets: Sets,
    /// Feed entries and settings.
    feeds: Feeds,
    /// Counts what is written.
    meter: Arc<Metered>,
    /// What was written before it was opened.
    written_before: Written,
    /// What the database says of it all.
    written_noted: Written,
}

impl Service {
    /// Opens the store in `disk`, or makes one in an empty home.
    ///
    /// # Errors
    /// [`StoreError::NewerFormat`] when a newer nuthatch wrote it, [`StoreError::Disk`] when the disk fails.
    pub fn open(disk: Arc<dyn Disk>, options: StoreOptions) -> Result<(Self, OpenReport), StoreError> {
        let meter = Arc::new(Metered::new(disk));
        let disk: Arc<dyn Disk> = Arc::clone(&meter) as Arc<dyn Disk>;
        let is_new = begin(&*disk)?;
        // The state first: it is small, and says if the whole home is of a newer format.
        let mut feeds = Feeds::open(Arc::clone(&disk))?;
        let noted = feeds.settings(WRITTEN_NAME)?;
        let noted = noted.first().and_then(|(_, value)| Written::decode(value)).unwrap_or_default();
        if !is_new && noted.payload > 0 && !has_segments(&*disk)? {
            return Err(missing("segments/*.seg", STATE_NAME));
        }
        let sets = Sets::open(Arc::clone(&disk), options.reserve_bytes)?;
        let (chunks, report) = Chunks::open(disk, options)?;
        let mut service = Self { chunks, sets, feeds, meter, written_before: noted, written_noted: noted };
        service.load_scrub()?;
        Ok((service, report))
    }

    /// Carries out one request; replies that are ready are pushed to `replies` (of this or of earlier requests).
    pub fn execute(&mut self, request: Request, replies: &mut Vec<Reply>) {
        let reply = self.reply(request);
        self.chunks.drain(replies);
        replies.extend(reply);
    }

    /// Whether a group waits for its sync: the caller flushes [`crate::base::limits::GROUP_DELAY_MAX`] later.
    #[must_use]
    pub fn unsynced(&self) -> bool {
        self.chunks.unsynced()
    }

    /// Syncs the group that waits, and replies to its puts.
    pub fn flush(&mut self, replies: &mut Vec<Reply>) {
        // A failure is told to every put of the group.
        let _ = self.chunks.flush();
        self.chunks.drain(replies);
    }

    /// Ends it cleanly, and tells what was written since it was opened; a store that is merely dropped loses nothing
    /// acknowledged either.
    pub fn close(mut self) -> Written {
        let ever = self.written_ever();
        if ever.total() - self.written_noted.total() >= WRITTEN_UNNOTED_MAX {
            // Only a count is less exact if this fails.
            let _ = self.append(&NO_FEED, 0, &[], Vec::new());
        }
        let payload = self.chunks.payload_bytes;
        if let Err(error) = self.chunks.close() {
            log::warn!("the store could not be closed cleanly: {error}");
        }
        // The database ends with a write of its own.
        drop(self.feeds);
        Written { payload, ..self.meter.written() }
    }

    /// What was written since the store was opened.
    fn written(&self) -> Written {
        Written { payload: self.chunks.payload_bytes, ..self.meter.written() }
    }

    /// What was ever written.
    fn written_ever(&self) -> Written {
        self.written_before.plus(&self.written())
    }

    /// Writes feed entries and settings, and with them what was written so far: for that alone nothing is written.
    fn append(
        &mut self,
        feed: &FeedId,
        sequence: u64,
        entries: &[Vec<u8>],
        mut settings: Vec<Setting>,
    ) -> Result<(), StoreError> {
        let written = self.written_ever();
        settings.push((WRITTEN_NAME.to_owned(), Some(written.encode())));
        self.feeds.append(feed, sequence, entries, &settings)?;
        self.written_noted = written;
        Ok(())
    }

    /// What was dropped since the store was opened is compacted next.
    fn hasten(&mut self) {
        if let Err(error) = self.chunks.hasten() {
            log::warn!(
                "the segment that is written could not be ended, and is compacted when it is full: {error}"
            );
        }
    }

    /// Carries out one request; the reply, if it is ready.
    fn reply(&mut self, request: Request) -> Option<Reply> {
        match request {
            Request::Put { op, id, bytes } => {
                self.chunks.put(op, id, &bytes);
                None
            }
            Request::Get { op, id } => Some(Reply::Get { op, id, result: self.chunks.read(&id) }),
            Request::Lend { op, id } => Some(Reply::Get { op, id, result: self.chunks.lend(&id) }),
            Request::Has { op, ids } => Some(or_failed(op, self.has(&ids), |have| Reply::Has { op, have })),
            Request::Drop { op, ids } => {
                self.chunks.give_up(op, &ids);
                None
            }
            Request::Compact { op, bytes, keep } => {
                Some(Reply::Compact { op, result: self.chunks.compact(bytes, &keep) })
            }
            Request::Hasten => {
                self.hasten();
                None
            }
            Request::Stream => {
                self.chunks.stream();
                None
            }
            Request::Scrub { op, bytes } => {
                let result = self.chunks.scrub(bytes);
                self.save_scrub();
                Some(Reply::Scrub { op, result })
            }
            Request::Flush { op } => Some(Reply::Flush { op, result: self.chunks.flush() }),
            Request::SetAdd { set, ids } => {
                self.sets.add(set, &ids);
                None
            }
            Request::SetPage { op, set, after, limit } => {
                let page = self.sets.page(set, after.as_ref(), limit);
                Some(or_failed(op, page, |ids| Reply::SetPage { op, ids }))
            }
            Request::SetDrop { set } => {
                self.sets.remove(set);
                None
            }
            Request::Append { op, feed, sequence, entries, settings } => {
                Some(Reply::Append { op, result: self.append(&feed, sequence, &entries, settings) })
            }
            Request::Entries { op, feed, after, limit_bytes } => {
                let page = self.feeds.entries(feed.as_ref(), after.as_ref(), limit_bytes);
                Some(or_failed(op, page, |(entries, more)| Reply::Entries { op, entries, more }))
            }
            Request::Save { op, settings } => {
                Some(Reply::Save { op, result: self.append(&NO_FEED, 0, &[], settings) })
            }
            Request::Load { op, prefix } => {
                let settings = self.feeds.settings(&prefix);
                Some(or_failed(op, settings, |mut settings| {
                    settings.retain(|(name, _)| name != WRITTEN_NAME);
                    Reply::Load { op, settings }
                }))
            }
            Request::Scan { op, after, limit, read } => {
                let page = self.chunks.scan(after.as_ref(), limit, read);
                Some(or_failed(op, page, |(found, more)| Reply::Scan { op, found, more }))
            }
            Request::Tally { op, limit } => Some(self.tally(op, limit)),
            Request::Stats { op } => {
                let (written, written_ever) = (self.written(), self.written_ever());
                let stats = self.chunks.stats().map(|stats| StoreStats { written, written_ever, ..stats });
                Some(or_failed(op, stats, |stats| Reply::Stats { op, stats }))
            }
        }
    }

    /// Saves where the scrub is, now and then.
    fn save_scrub(&mut self) {
        let Some(segment) = self.chunks.scrub_to_save() else { return };
        let setting = (SCRUB_SETTING.to_owned(), Some(segment.to_le_bytes().to_vec()));
        if let Err(error) = self.append(&NO_FEED, 0, &[], vec![setting]) {
            log::warn!("where the scrub is could not be saved, it may read some of the store twice: {error}");
        }
    }

    /// Goes on where an earlier run of the program was with its scrub.
    fn load_scrub(&mut self) -> Result<(), StoreError> {
        let found = self.feeds.settings(SCRUB_SETTING)?;
        if let Some(segment) = found.first().and_then(|(_, value)| value.as_slice().try_into().ok()) {
            self.chunks.scrub_from(u32::from_le_bytes(segment));
        }
        Ok(())
    }

    /// Counts a step, or tells what all ids add up to.
    fn tally(&mut self, op: Op, limit: usize) -> Reply {
        or_failed(op, self.chunks.tally(limit), |groups| Reply::Tally { op, groups })
    }

    /// Which of these are here.
    fn has(&mut self, ids: &[ChunkId]) -> Result<Vec<bool>, StoreError> {
        if ids.len() > PAGE_IDS_MAX {
            return Err(StoreError::TooMuch { what: "ids", found: ids.len(), limit: PAGE_IDS_MAX });
        }
        ids.iter().map(|id| self.chunks.has(id)).collect()
    }
}

/// Makes the directory of segments in an empty home, before anything else; whether it was empty.
///
/// # Errors
/// When a part of the home is not there: what is left of a store on a missing disk is no empty store.
fn begin(disk: &dyn Disk) -> Result<bool, StoreError> {
    let has_state = disk.exists(STATE_NAME)?;
    match (disk.exists(SEGMENT_DIRECTORY)?, has_state) {
        (false, true) => Err(missing(SEGMENT_DIRECTORY, STATE_NAME)),
        (true, false) if has_segments(disk)? => Err(missing(STATE_NAME, SEGMENT_DIRECTORY)),
        (true, _) => Ok(!has_state),
        (false, false) => {
            disk.create_dir(SEGMENT_DIRECTORY)?;
            disk.sync_dir("")?;
            Ok(true)
        }
    }
}

/// Whether there is any segment.
fn has_segments(disk: &dyn Disk) -> Result<bool, StoreError> {
    Ok(disk.list(SEGMENT_DIRECTORY)?.iter().any(|leaf| segment_number(leaf).is_some()))
}

/// A part of a home is not there, and another one is.
fn missing(name: &'static str, beside: &'static str) -> StoreError {
    StoreError::Missing { name, beside }
}

/// The setting that holds what was written: the store's own.
const WRITTEN_NAME: &str = "store/written";
/// The feed of settings, which have none.
const NO_FEED: FeedId = FeedId { node: NodeId::from_bytes([0; 32]), random: [0; 8] };
/// The setting that tells the segment with which the scrub goes on: its number, four bytes, little-endian.
const SCRUB_SETTING: &str = "store/scrub";

/// The reply, or that there is none.
fn or_failed<T>(op: Op, result: Result<T, StoreError>, reply: impl FnOnce(T) -> Reply) -> Reply {
    match result {
        Ok(found) => reply(found),
        Err(error) => Reply::Failed { op, error },
    }
}
