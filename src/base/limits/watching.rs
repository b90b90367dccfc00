//! Bounds of automatic backup: when a folder is scanned by itself (node/watching.rs, node/order.rs).

use super::{RESCAN_MAX, RESCAN_MIN, WATCH_REST};
use crate::base::units::Span;

/// A folder is scanned when nothing has changed in it for so long and nobody is writing to a file in it: programs that save a file
/// do it in several steps, which follow each other within this time.
pub const SETTLE_ENDED: Span = Span::from_millis(350);
/// ... or for this part of the time that it has been changing for, up to [`SETTLE`]: who copies a tree pauses between two files.
pub const SETTLE_PARTS: u64 = 2;
/// A file that was changed and not closed since counts as being written for so long after its last change: some are kept open.
/// Changes that follow each other within this time are one run.
pub const SETTLE: Span = Span::from_secs(2);
/// ... or when something has been changing all the time for so long, as during a long copy or in a log.
pub const SETTLE_MAX: Span = Span::from_secs(60);
/// A scan is made up for by so many times its own length without one: at most a twentieth of the time goes into scans.
pub const SCAN_PAUSE_TIMES: u64 = 20;
/// ... of which so much may be owed before one that is due has to wait,
pub const SCAN_CREDIT: Span = Span::from_secs(300);
/// ... but for no longer than this.
pub const SCAN_PAUSE_MAX: Span = Span::from_secs(3_600);
/// A scan that stored no more than this tells what scans of its folder cost.
pub const SCAN_COST_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Snapshots of a folder that follow each other as fast as its files change; each costs every holder some syncs, nodes of
/// trees and manifests (measured: 0.3 MB written on each of two nodes for one small file among 78,000), and a feed entry.
pub const SNAPSHOTS_FREE: u32 = 5;
/// The next one waits for so long, and each after it twice as long as the one before,
pub const SNAPSHOT_PAUSE: Span = Span::from_secs(5);
/// ... up to this long,
pub const SNAPSHOT_PAUSE_MAX: Span = Span::from_secs(15 * 60);
/// ... and every so often one of them is forgiven. So a folder makes about a hundred snapshots a day at the most, of which
/// the policy keeps 24 by the next day.
pub const SNAPSHOT_FORGIVEN_EVERY: Span = Span::from_secs(15 * 60);
/// The same for a shared folder, whose snapshots bring changes to where somebody waits for them: more follow each other freely,
pub const SHARED_SNAPSHOTS_FREE: u32 = 20;
/// ... and whatever goes on, others have it after so long: some 480 a day at the most.
pub const SHARED_SNAPSHOT_PAUSE_MAX: Span = Span::from_secs(3 * 60);
/// See [`SNAPSHOT_FORGIVEN_EVERY`].
pub const SHARED_SNAPSHOT_FORGIVEN_EVERY: Span = Span::from_secs(3 * 60);
/// That a change waits for its snapshot is part of how things are, once it has waited for so long.
pub const CHANGE_WAITS_TOLD: Span = Span::from_secs(60);
/// After a scan for changes that found nothing new the next one waits for so long, twice as long if that finds nothing either,
pub const FRUITLESS_PAUSE: Span = Span::from_secs(2);
/// ... up to this long.
pub const FRUITLESS_PAUSE_MAX: Span = Span::from_secs(60);
/// Times of day in `backup.daily`.
pub const DAILY_TIMES_MAX: usize = 24;
/// Longest pause that ends by itself.
pub const PAUSE_MAX: Span = Span::from_secs(30 * 86_400);
/// A folder whose directory is not there, or is another one, is looked at again after this long; that costs a system call.
pub const SCAN_RETRY: Span = Span::from_secs(60);

const _: () =
    assert!(SETTLE_ENDED.as_micros() < SETTLE.as_micros() && SETTLE.as_micros() < SETTLE_MAX.as_micros());
// Changes are told no oftener than that: what goes on must be heard of before it counts as over.
const _: () = assert!(SETTLE_ENDED.as_micros() > WATCH_REST.times(2).as_micros());
const _: () = assert!(SNAPSHOT_PAUSE_MAX.as_micros() <= SNAPSHOT_FORGIVEN_EVERY.as_micros());
const _: () = assert!(SHARED_SNAPSHOT_PAUSE_MAX.as_micros() <= SHARED_SNAPSHOT_FORGIVEN_EVERY.as_micros());
const _: () = assert!(
    SCAN_RETRY.as_micros() <= RESCAN_MIN.as_micros() && SCAN_PAUSE_MAX.as_micros() < RESCAN_MAX.as_micros()
);
