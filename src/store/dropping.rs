//! Giving chunks up, and which segments are rewritten first for it.
//!
//! A chunk that is given up is gone from the index with the next sync; its bytes are gone when its segment is compacted, which half of
//! it must be dead for. Where that is too late ([`Chunks::hasten`]) the segments that anything was dropped from come first, however much of
//! them lives. That is known since the store was opened, and not for longer. Read `compact.rs` for how.

use std::collections::BTreeSet;

use super::chunks::Chunks;
use super::delta::Change;
use super::error::StoreError;
use super::request::{Dropped, Op, Reply};
use super::segment::Frame;
use crate::base::ids::ChunkId;
use crate::base::limits::PAGE_IDS_MAX;

/// Which segments are compacted before others.
#[derive(Debug, Default)]
pub(super) struct Urgent {
    /// Those with damaged places.
    pub(super) sick: BTreeSet<u32>,
    /// Those that chunks were dropped from.
    pub(super) dropped: BTreeSet<u32>,
    /// Those of which what was dropped shall go soon.
    hastened: BTreeSet<u32>,
}

impl Urgent {
    /// In which order they are tried.
    pub(super) fn segments(&self) -> impl Iterator<Item = u32> + '_ {
        self.sick.iter().chain(&self.hastened).copied()
    }

    /// The segment is gone.
    pub(super) fn removed(&mut self, segment: u32) {
        for segments in [&mut self.sick, &mut self.dropped, &mut self.hastened] {
            segments.remove(&segment);
        }
    }
}

impl Chunks {
    /// Gives chunks up; the reply comes with the sync that covers the last of them.
    pub fn give_up(&mut self, op: Op, ids: &[ChunkId]) {
        if ids.len() > PAGE_IDS_MAX {
            let error = StoreError::TooMuch { what: "ids", found: ids.len(), limit: PAGE_IDS_MAX };
            self.replies.push(Reply::Drop { op, result: Err(error) });
            return;
        }
        let mut dropped = Dropped::default();
        for id in ids {
            match self.drop_one(*id) {
                Ok(None) => {}
                Ok(Some(length)) => {
                    dropped.chunks += 1;
                    dropped.bytes += u64::from(length);
                }
                Err(error) => {
                    self.replies.push(Reply::Drop { op, result: Err(error) });
                    return;
                }
            }
        }
        if self.group.is_empty() {
            // What is not here must not be there again after a restart.
            let stated = self.log.state_end();
            self.replies.push(Reply::Drop { op, result: stated.map(|()| dropped).map_err(StoreError::from) });
        } else {
            self.drops.push((op, dropped));
        }
        self.flush_if_full();
    }

    /// The segments that anything was dropped from are compacted next, however little of them is dead; the one that is written is
    /// ended for it.
    ///
    /// # Errors
    /// When the disk fails: the one that is written has its turn when it is full.
    pub fn hasten(&mut self) -> Result<(), StoreError> {
        self.flush()?;
        self.urgent.hastened.append(&mut self.urgent.dropped);
        if self.log.segments().last().is_some_and(|last| self.urgent.hastened.contains(last)) {
            self.log.close_segment()?;
            self.log.state_end()?;
        }
        Ok(())
    }

    /// Appends that a chunk is given up; the length of its sealed bytes, if it was here. Takes no room: the reserve is for this.
    fn drop_one(&mut self, id: ChunkId) -> Result<Option<u32>, StoreError> {
        self.keep_bounded()?;
        if self.log.must_roll(&Frame::drop_of(id, false)) {
            // If this fails, what the same request gave up before is there again.
            self.flush()?;
        }
        let Some(location) = self.index.find(&self.log, &id, &mut self.report)? else { return Ok(None) };
        let at = self.log.append_drop(id, &location, None, false)?;
        self.urgent.dropped.insert(location.segment);
        self.take_in(None, id, Change::Drop(location, at));
        Ok(Some(location.length))
    }
}
