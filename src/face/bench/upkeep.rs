//! The rounds of `bench store` that a node makes when nothing else is to do: the scrub, and compaction.
//!
//! A node makes them in steps of [`UPKEEP_STEP_BYTES`] with pauses between; here the same steps follow each other without a pause, so
//! that what they cost is seen. Read `face/bench/rounds.rs` first.

use super::rounds::{broken, store_failed, Player, Round};
use crate::base::limits::{PAGE_IDS_MAX, UPKEEP_STEP_BYTES};
use crate::face::exit::Fail;
use crate::store::service::{CompactState, Reply, Request, Service};

/// What giving space back came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Compaction {
    /// From the first step to the last: segments compacted, and the bytes of segments that are gone.
    pub round: Round,
    /// Bytes of live chunks written anew.
    pub copied_bytes: u64,
    /// Bytes written for it in all.
    pub written_bytes: u64,
    /// Giving chunks up, which is timed by itself.
    pub drops: Round,
}

/// Of so many chunks one after the other
const DROP_OF: u64 = 16;
/// so many are given up: a little more than half, for half a segment must be dead before it is compacted.
const DROPPED: u64 = 9;

impl Player<'_> {
    /// Reads all again and checks it.
    pub(super) fn scrub(&self, service: &mut Service) -> Result<Round, Fail> {
        let mut replies = Vec::new();
        let (mut chunks, mut bytes) = (0, 0);
        let begun = self.begin();
        loop {
            self.go_on()?;
            service.execute(Request::Scrub { op: 0, bytes: UPKEEP_STEP_BYTES }, &mut replies);
            match replies.pop() {
                Some(Reply::Scrub { result: Ok(step), .. }) => {
                    if !step.damaged.is_empty() || step.places > 0 {
                        return Err(broken("what was just stored is damaged"));
                    }
                    chunks += step.chunks;
                    bytes += step.bytes;
                    if step.finished {
                        break;
                    }
                }
                Some(Reply::Scrub { result: Err(error), .. }) => return Err(store_failed(error)),
                other => return Err(broken(&format!("a scrub was answered with {other:?}"))),
            }
        }
        if chunks != self.load.chunks {
            return Err(broken(&format!("{chunks} chunks of {} were read again", self.load.chunks)));
        }
        Ok(self.end(begun, chunks, bytes))
    }

    /// Gives up somewhat more than half of each segment, and compacts until nothing is left to do.
    pub(super) fn compact(&self, service: &mut Service) -> Result<Compaction, Fail> {
        let drops = self.drop_some(service)?;
        let before = self.stats(service)?.written.total();
        let mut done = Compaction { drops, ..Compaction::default() };
        let mut replies = Vec::new();
        let (mut segments, mut freed) = (0, 0);
        let begun = self.begin();
        loop {
            self.go_on()?;
            let request = Request::Compact { op: 0, bytes: UPKEEP_STEP_BYTES, keep: Vec::new() };
            service.execute(request, &mut replies);
            match replies.pop() {
                Some(Reply::Compact { result: Ok(step), .. }) => {
                    done.copied_bytes += step.copied_bytes;
                    segments += step.removed_segments;
                    freed += step.freed_bytes;
                    if step.state == CompactState::Idle {
                        break;
                    }
                }
                Some(Reply::Compact { result: Err(error), .. }) => return Err(store_failed(error)),
                other => return Err(broken(&format!("a compaction was answered with {other:?}"))),
            }
        }
        service.flush(&mut replies);
        done.round = self.end(begun, segments, freed);
        let stats = self.stats(service)?;
        if stats.chunks != self.load.chunks - drops.chunks {
            return Err(broken(&format!("{} chunks are there after a compaction", stats.chunks)));
        }
        done.written_bytes = stats.written.total().saturating_sub(before);
        Ok(done)
    }

    /// Gives up some of the chunks, all over the store.
    fn drop_some(&self, service: &mut Service) -> Result<Round, Fail> {
        let mut replies = Vec::new();
        let (mut asked, mut chunks, mut bytes) = (0, 0, 0);
        let numbers: Vec<u64> = (0..self.load.chunks).filter(|number| number % DROP_OF < DROPPED).collect();
        let begun = self.begin();
        for numbers in numbers.chunks(PAGE_IDS_MAX) {
            self.go_on()?;
            let ids = self.ids(numbers.iter().copied());
            asked += 1;
            service.execute(Request::Drop { op: asked, ids }, &mut replies);
        }
        service.flush(&mut replies);
        for reply in replies {
            match reply {
                Reply::Drop { result: Ok(dropped), .. } => {
                    chunks += dropped.chunks;
                    bytes += dropped.bytes;
                }
                Reply::Drop { result: Err(error), .. } => return Err(store_failed(error)),
                other => return Err(broken(&format!("giving chunks up was answered with {other:?}"))),
            }
        }
        Ok(self.end(begun, chunks, bytes))
    }
}
